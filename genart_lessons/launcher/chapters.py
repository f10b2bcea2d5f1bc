"""Chapters as text: ``chapters/text/*.md`` (MyST Markdown) is the source of ``chapters/*.ipynb``.

One way only: a notebook is made from its text, never the other way round. Each notebook carries, in
its metadata, what it was made from::

    "genart": {"text_sha256": …,    the text file (line ends as \\n)
               "cells_sha256": …,   all its cells as generated: other cells mean edits by hand
               "source_sha256": …}  the code cells that its outputs come from

so that an older source's output can be told from today's, and a learner's own edits from ours.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genart_lessons.launcher import Problem
from genart_lessons.runtime import atomic_write

if TYPE_CHECKING:  # nbformat takes a second to import: not before Lab can start
    from nbformat import NotebookNode

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}


Notebook = dict[str, Any]  # a notebook or a cell, as plain JSON or as nbformat's NotebookNode


@dataclass(frozen=True)
class Chapter:
    """One chapter: its name (``03_vae``), its text and its notebook (either may be missing)."""

    name: str
    text: Path
    notebook: Path

    @property
    def number(self) -> str:
        """``"03"`` of ``03_vae``."""
        return self.name.split("_")[0]


def every(root: Path) -> list[Chapter]:
    """All chapters that have a text or a notebook, in their order."""
    folder = root / "chapters"
    names = {p.stem for p in (folder / "text").glob("[0-9]*.md")}
    names |= {p.stem for p in folder.glob("[0-9]*.ipynb")}
    return [
        Chapter(name, folder / "text" / f"{name}.md", folder / f"{name}.ipynb")
        for name in sorted(names)
    ]


def find(root: Path, asked: Sequence[str]) -> list[Chapter]:
    """The chapters asked for as ``3``, ``03``, ``03_vae`` or a path; all of them if none is named.

    Raises Problem, with a list of what exists, for a name that fits no chapter.
    """
    known = every(root)
    if not asked:
        return known
    by_name = {name: c for c in known for name in (c.name, c.number, c.number.lstrip("0") or "0")}
    wanted = []
    for name in asked:
        stem = Path(name.replace("\\", "/")).name
        for ending in (".ipynb", ".md"):
            stem = stem.removesuffix(ending)
        if stem not in by_name:
            have = ", ".join(c.name for c in known) or "no chapters yet"
            raise Problem(f"there is no chapter {name!r}; there are: {have}.")
        wanted.append(by_name[stem])
    return list(dict.fromkeys(wanted))


# --------------------------------------------------------------------------- text → notebook


def read_text(chapter: Chapter) -> str:
    """The chapter's text, with line ends as ``\\n`` whatever the checkout made of them."""
    return chapter.text.read_text(encoding="utf-8")


def generate(text: str) -> "NotebookNode":
    """The notebook that a text stands for: cells with stable ids, no outputs, our metadata."""
    import jupytext
    import nbformat

    parsed = jupytext.reads(text, fmt="md:myst")
    cells = [_cell(cell) for cell in parsed.cells if cell.source.strip()]
    seen: Counter[str] = Counter()
    for cell in cells:
        digest = _digest([cell.cell_type, cell.source])
        seen[digest] += 1  # the same cell twice: told apart by its turn
        cell["id"] = _digest([digest, seen[digest]])[:12]
    notebook = nbformat.v4.new_notebook(cells=cells)
    sums = {"text_sha256": _digest(text), "cells_sha256": cells_sha256(notebook)}
    notebook.metadata.update(genart=sums, kernelspec=dict(KERNEL), language_info=dict(LANGUAGE))
    return notebook


def _cell(cell: "NotebookNode") -> "NotebookNode":
    """The cell with its source and its tags, and nothing else."""
    import nbformat

    make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
    metadata = {"tags": list(cell.metadata["tags"])} if cell.metadata.get("tags") else {}
    return make(source=cell.source, metadata=metadata)


def tags(cell: Notebook) -> list[str]:
    """The cell's tags."""
    return list(cell["metadata"].get("tags", []))


def code_cells(notebook: Notebook) -> list[Any]:
    """The code cells that hold anything."""
    return [c for c in notebook["cells"] if c["cell_type"] == "code" and source(c).strip()]


def source(cell: Notebook) -> str:
    """The cell's text, which a file holds as a list of lines."""
    return "".join(cell["source"])


def contents(notebook: Notebook) -> list[tuple[str, str, list[str]]]:
    """What a reader can edit: type, source and tags of each cell."""
    cells = [(c["cell_type"], source(c), tags(c)) for c in notebook["cells"]]
    return [cell for cell in cells if cell[1].strip()]


def cells_sha256(notebook: Notebook) -> str:
    """A digest of all cells."""
    return _digest(contents(notebook))


def source_sha256(notebook: Notebook) -> str:
    """A digest of the code: outputs belong to one such digest."""
    return _digest([(source(c), tags(c)) for c in code_cells(notebook)])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


# --------------------------------------------------------------------------- what is out of date


def read(path: Path) -> "NotebookNode | None":
    """A notebook from the disk, or None if there is none. Problem if it cannot be read."""
    import nbformat

    if not path.exists():
        return None
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except Exception as error:  # nbformat raises many kinds
        raise Problem(f"{path} is not a notebook that can be read ({error}).") from error


def peek(path: Path) -> Notebook | None:
    """The same as plain JSON: in no time, for a look."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        cells_sha256(found)  # it has the form of a notebook
        return found
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Problem(f"{path} is not a notebook that can be read ({error!r}).") from error


def write(path: Path, notebook: "NotebookNode") -> None:
    """Write a notebook, whole or not at all."""
    import nbformat

    atomic_write(path, nbformat.writes(notebook, indent=1) + "\n")


def note(notebook: Notebook, key: str) -> str | None:
    """An entry of our own metadata."""
    return notebook["metadata"].get("genart", {}).get(key)


def is_executed(notebook: Notebook) -> bool:
    """Whether every code cell was executed."""
    return all(cell["execution_count"] is not None for cell in code_cells(notebook))


def edited_by_hand(notebook: Notebook) -> bool:
    """Whether the cells are no longer those that were generated."""
    return note(notebook, "cells_sha256") != cells_sha256(notebook)


def drift(new: Notebook, old: Notebook | None) -> str:
    """In what ``old`` (on the disk) differs from ``new`` (made from today's text), or ""."""
    if old is None:
        return "there is no notebook"
    if contents(new) != contents(old):
        return "its cells are not those of the text"
    if not is_executed(old):
        return "it is not executed"
    if note(old, "source_sha256") != source_sha256(old):
        return "its outputs come from an older source"
    if note(old, "text_sha256") != note(new, "text_sha256"):
        return "the text has changed outside its cells"
    return ""


def keep_outputs(new: Notebook, old: Notebook | None) -> bool:
    """Move ``old``'s outputs to ``new`` if they come from the same code; say whether they did."""
    if old is None or not is_executed(old):
        return False
    if not source_sha256(new) == source_sha256(old) == note(old, "source_sha256"):
        return False
    for fresh, worn in zip(code_cells(new), code_cells(old), strict=True):
        fresh["outputs"], fresh["execution_count"] = worn["outputs"], worn["execution_count"]
    new["metadata"]["genart"]["source_sha256"] = source_sha256(new)
    return True


def complete(root: Path) -> list[str]:
    """Make the notebooks that are missing or older than their text, without executing anything.

    A notebook in which somebody has written is left alone. Returns what was done, as sentences.
    """
    done = []
    for chapter in every(root):
        if not chapter.text.exists():
            continue
        text, old = read_text(chapter), peek(chapter.notebook)
        if old is not None and note(old, "text_sha256") == _digest(text):
            continue
        if old is not None and edited_by_hand(old):
            done.append(
                f"{chapter.name} has a newer text, and holds your own edits: left as it is. "
                f"(To have the newer one, move your copy away.)"
            )
            continue
        new = generate(text)
        kept = keep_outputs(new, read(chapter.notebook))
        write(chapter.notebook, new)
        done.append(f"made {chapter.notebook.name}" + ("" if kept else " (not executed yet)"))
    return done
