"""The committed notebooks are what their texts say: same cells, executed, clean, small.

Each rule is a function from a notebook to a list of complaints; the second half of the file makes
notebooks that break one rule each, and sees them caught.
"""

import json
import re
from pathlib import Path

import pytest

from genart_lessons.launcher import chapters

ROOT = Path(__file__).parents[1]
CHAPTERS = chapters.every(ROOT)
TAGS = {
    *("exercise", "refused", "raises-exception"),
    *("nbval-check-output", "nbval-ignore-output", "nbval-skip"),
}
MACHINE = re.compile(r"/(?:home|root|tmp|Users|var/folders)/|[A-Za-z]:\\{1,2}Users\b")
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)


# --------------------------------------------------------------------------- the rules


def unexecuted(notebook) -> list[str]:
    """nbval says nothing of a cell without execution_count."""
    cells = chapters.code_cells(notebook)
    return [f"cell {k} is not executed" for k, c in enumerate(cells, 1) if not c.execution_count]


def wrong_errors(notebook) -> list[str]:
    """Errors where none belong, and none where one is promised (nbval lets both pass)."""
    said = []
    for k, cell in enumerate(chapters.code_cells(notebook), 1):
        raised = any(out.output_type == "error" for out in cell.outputs)
        if raised != ("raises-exception" in chapters.tags(cell)):
            said.append(f"cell {k} " + ("holds an error" if raised else "is to raise and did not"))
    return said


def stale(notebook) -> list[str]:
    """Outputs of an older source."""
    fits = chapters.note(notebook, "source_sha256") == chapters.source_sha256(notebook)
    return [] if fits else ["the outputs come from an older source"]


def unknown_tags(notebook) -> list[str]:
    """A misspelt tag does nothing, silently."""
    return [f"tag {tag!r}" for c in notebook.cells for tag in chapters.tags(c) if tag not in TAGS]


def long_cells(notebook) -> list[str]:
    """Code cells of more than 20 lines, or lines of more than 100 columns."""
    said = []
    for k, cell in enumerate(chapters.code_cells(notebook), 1):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        said += [f"cell {k} has {len(lines)} lines"] if len(lines) > 20 else []
        said += [f"cell {k} has a line of {len(x)} columns" for x in lines if len(x) > 100]
    return said


def not_portable(notebook) -> list[str]:
    """MyST directives, which neither Lab nor GitHub would render."""
    said = []
    for k, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown" and re.search(r"^\s*(?:`{3,}|:{3,})\{", cell.source, re.M):
            said.append(f"cell {k} holds a MyST directive")
    return said


def machine_paths(notebook) -> list[str]:
    """Folders of the machine that it was built on, anywhere but inside pictures."""
    said = []
    for k, cell in enumerate(notebook.cells, 1):
        texts = [cell.source]
        for out in cell.get("outputs", []):
            data = {m: v for m, v in out.get("data", {}).items() if not m.startswith("image/p")}
            texts.append(json.dumps([out.get("text"), out.get("traceback"), data]))
        said += [f"cell {k}: …{t[m.start() :][:50]}" for t in texts for m in MACHINE.finditer(t)]
    return said


def noise(notebook) -> list[str]:
    """Widget state and metadata that change with every execution."""
    said = ["widget state"] if "widgets" in notebook.metadata else []
    said += ["a kernel's version"] if "version" in notebook.metadata.language_info else []
    for k, cell in enumerate(notebook.cells, 1):
        said += (
            [f"cell {k}: metadata {sorted(cell.metadata)}"] if set(cell.metadata) - {"tags"} else []
        )
        for out in cell.get("outputs", []):
            if "application/vnd.jupyter.widget-view+json" in out.get("data", {}):
                said.append(f"cell {k}: a widget that no reader has")
    return said


RULES = (
    unexecuted,
    wrong_errors,
    stale,
    unknown_tags,
    long_cells,
    not_portable,
    machine_paths,
    noise,
)


# --------------------------------------------------------------------------- our chapters


@each_chapter
def test_the_notebook_is_what_the_text_says(chapter):
    assert chapter.text.exists(), f"{chapter.notebook.name} has no text in chapters/text"
    new = chapters.generate(chapters.read_text(chapter))
    said = chapters.drift(new, chapters.read(chapter.notebook))
    assert not said, f"{chapter.name}: {said}. `genart build {chapter.number}` makes it anew."


@each_chapter
def test_the_notebook_is_byte_for_byte_what_a_rebuild_writes(chapter, tmp_path):
    new = chapters.generate(chapters.read_text(chapter))
    assert chapters.keep_outputs(new, chapters.read(chapter.notebook))
    chapters.write(tmp_path / "again.ipynb", new)
    again, committed = (
        (tmp_path / "again.ipynb").read_text("utf-8"),
        chapter.notebook.read_text("utf-8"),
    )
    assert again == committed


@each_chapter
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_notebook_keeps_the_rules(chapter, rule):
    notebook = chapters.read(chapter.notebook)
    assert notebook is not None and not rule(notebook)


@each_chapter
def test_the_notebook_is_small(chapter):
    assert chapter.notebook.stat().st_size < 2_000_000


# --------------------------------------------------------------------------- bad notebooks

TEXT = """\
# A chapter

```{code-cell} ipython3
:tags: [nbval-check-output]

1 + 1
```

+++

More words.

```{code-cell} ipython3
:tags: [raises-exception]

1 / 0
```
"""


@pytest.fixture
def good():
    """A notebook that keeps every rule."""
    import nbformat

    notebook = chapters.generate(TEXT)
    two, error = chapters.code_cells(notebook)
    two.execution_count, error.execution_count = 1, 2
    two.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=1)]
    error.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=["E"])]
    notebook.metadata["genart"]["source_sha256"] = chapters.source_sha256(notebook)
    return notebook


def test_a_good_notebook_passes(good):
    assert not chapters.drift(chapters.generate(TEXT), good)
    assert not [said for rule in RULES for said in rule(good)]


def _never_ran(notebook):
    chapters.code_cells(notebook)[0].execution_count = None


def _holds_an_error(notebook):
    chapters.code_cells(notebook)[0].outputs = chapters.code_cells(notebook)[1].outputs


def _did_not_raise(notebook):
    chapters.code_cells(notebook)[1].outputs = []


def _newer_code(notebook):
    chapters.code_cells(notebook)[0].source = "1 + 2"


def _newer_tag(notebook):
    chapters.code_cells(notebook)[0].metadata["tags"] = ["exercise"]


def _misspelt(notebook):
    chapters.code_cells(notebook)[0].metadata["tags"] = ["nbval-check-outputs"]


def _long(notebook):
    chapters.code_cells(notebook)[0].source = "\n".join(["x = 1"] * 21)


def _wide(notebook):
    chapters.code_cells(notebook)[0].source = "x = " + "1" * 97


def _directive(notebook):
    notebook.cells[0].source = "```{note}\nLook.\n```"


def _path_in_text(notebook):
    notebook.cells[0].source = r"See C:\Users\me\art."


def _path_in_output(notebook):
    chapters.code_cells(notebook)[0].outputs[0].data["text/html"] = "<b>/home/me/x.png</b>"


def _path_in_traceback(notebook):
    chapters.code_cells(notebook)[1].outputs[0].traceback = ["File /tmp/ipykernel_1/2.py"]


def _widget_state(notebook):
    notebook.metadata["widgets"] = {}


def _widget(notebook):
    view = {"application/vnd.jupyter.widget-view+json": {}}
    chapters.code_cells(notebook)[0].outputs[0].data.update(view)


def _timing(notebook):
    notebook.cells[1].metadata["execution"] = {"iopub.execute_input": "now"}


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (_never_ran, unexecuted),
        (_holds_an_error, wrong_errors),
        (_did_not_raise, wrong_errors),
        (_newer_code, stale),
        (_newer_tag, stale),
        (_misspelt, unknown_tags),
        (_long, long_cells),
        (_wide, long_cells),
        (_directive, not_portable),
        (_path_in_text, machine_paths),
        (_path_in_output, machine_paths),
        (_path_in_traceback, machine_paths),
        (_widget_state, noise),
        (_widget, noise),
        (_timing, noise),
    ],
    ids=lambda f: f.__name__.strip("_"),
)
def test_a_bad_notebook_is_caught(good, spoil, rule):
    spoil(good)
    assert rule(good)


def test_a_picture_may_hold_any_letters(good):
    chapters.code_cells(good)[0].outputs[0].data["image/png"] = "iVBO/tmp/abc"
    assert not machine_paths(good)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda nb: nb.cells.pop(), "cells are not those of the text"),
        (_newer_code, "cells are not those of the text"),
        (_newer_tag, "cells are not those of the text"),
        (_never_ran, "not executed"),
        (lambda nb: nb.metadata["genart"].update(source_sha256="0"), "older source"),
        (lambda nb: nb.metadata.pop("genart"), "older source"),
    ],
)
def test_drift_is_caught(good, spoil, said):
    spoil(good)
    assert said in chapters.drift(chapters.generate(TEXT), good)


def test_a_missing_notebook_is_drift():
    assert "no notebook" in chapters.drift(chapters.generate(TEXT), None)
