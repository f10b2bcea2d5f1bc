"""Take out of a notebook's outputs what belongs to one machine and one moment.

Paths, memory addresses, progress bars, escape codes, widget state: with them, every build would
differ from the one before, and would tell the world about somebody's disk.
"""

import re
import sys
import tempfile
from pathlib import Path

from nbformat import NotebookNode

WIDGET = "application/vnd.jupyter.widget-view+json"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_BAR = re.compile(r"^.*\d+%\|.*\|.*\[.*\].*$\n?|^\d+(?:it|steps?) \[.*\]\n?", re.M)
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")
_PACKAGES = re.compile(r"[^\s\"'<>]*?site-packages[/\\]+")
_EMBEDDED = re.compile(r"(data:[a-z]+/[\w.+-]+;base64,[A-Za-z0-9+/=]+)")
_CELL = re.compile(r"[^\s\"'<>]*?ipykernel_\d+[/\\]+\d+\.py")


def scrub(notebook: NotebookNode, root: Path, home: Path) -> None:
    """Clean every output in place; ``home`` was GENART_HOME while they were made."""
    notebook.metadata.pop("widgets", None)
    names = _names(root, home)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kept = {name: value for name, value in cell.metadata.items() if name == "tags"}
        cell.metadata = NotebookNode(kept)
        cell.outputs = [out for out in _merged(cell.outputs) if _clean(out, names)]


def _names(root: Path, home: Path) -> list[tuple[str, str]]:
    """What to write in place of each folder of this machine, longest first."""
    folders = {
        root: "",
        home: "GENART_HOME",
        Path(sys.prefix): "python",
        Path(sys.base_prefix): "python",
        Path(tempfile.gettempdir()): "TEMP",
        Path.home(): "~",
    }
    pairs = {}
    for folder, name in folders.items():
        for path in {folder, folder.resolve()}:
            for text in {str(path), path.as_posix(), str(path).replace("\\", "\\\\")}:
                pairs[text] = name
    return sorted(pairs.items(), key=lambda pair: -len(pair[0]))


def clean_text(text: str, names: list[tuple[str, str]]) -> str:
    """A text without escape codes, overwritten lines, progress bars, addresses and our paths.

    A sound or picture inside it stays as it is: it names no path, and looking would take minutes.
    """
    parts = _EMBEDDED.split(text)
    parts[::2] = [_clean_words(part, names) for part in parts[::2]]
    return "".join(parts)


def _clean_words(text: str, names: list[tuple[str, str]]) -> str:
    text = _ANSI.sub("", text).replace("\r\n", "\n")
    text = re.sub(r"^[^\n]*\r", "", text, flags=re.M)  # keep what a carriage return left standing
    text = _BAR.sub("", text)
    if "site-packages" in text:  # else sound in a data URI, one word of 100 kB, takes minutes
        text = _PACKAGES.sub("site-packages/", text)
    if "ipykernel_" in text:
        text = _CELL.sub("cell", text)
    for folder, name in names:
        if len(folder) > 2:  # never "/" or "C:"
            text = re.sub(re.escape(folder) + (r"[/\\]*" if not name else r"\b"), name, text)
    return _ADDRESS.sub("0x…", text)


def _merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Streams that were cut at random are joined again."""
    joined: list[NotebookNode] = []
    for out in outputs:
        last = joined[-1] if joined else None
        if last and out.output_type == last.output_type == "stream" and out.name == last.name:
            last.text += out.text
        else:
            joined.append(out)
    return joined


def _clean(out: NotebookNode, names: list[tuple[str, str]]) -> bool:
    """Clean one output in place; False if nothing worth keeping is left of it."""
    if out.output_type == "stream":
        out.text = clean_text(out.text, names)
        return bool(out.text.strip())
    if out.output_type == "error":
        out.evalue = clean_text(out.evalue, names)
        out.traceback = [clean_text(line, names) for line in out.traceback]
        return True
    was_widget = out.data.pop(WIDGET, None) is not None
    out.metadata = NotebookNode({k: v for k, v in out.metadata.items() if k in out.data})
    for kind, value in out.data.items():
        if kind.startswith("text/") or kind == "image/svg+xml":
            out.data[kind] = clean_text(value, names)
    # Without its widget, a picture or a sentence is worth keeping; "VBox(…" is neither.
    plain = "".join(out.data.get("text/plain", ""))
    says = bool(plain) and not re.match(r"\w+\(", plain)
    return not was_widget or says or any(kind != "text/plain" for kind in out.data)
