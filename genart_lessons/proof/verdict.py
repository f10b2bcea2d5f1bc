"""What ``verify`` answers: a sentence in a terminal, a small card in Jupyter."""

from dataclasses import dataclass, field
from html import escape

MARKS = {True: "✔", False: "✘", None: "○"}
# Okabe-Ito green, vermilion and grey: told apart by colour-blind readers, and the marks differ too.
COLOURS = {True: "#009E73", False: "#D55E00", None: "#7f7f7f"}


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check.

    ``ok`` is True (right), False (wrong) or None (not tried yet, or cannot be decided).
    ``mistake`` is the sentence that names a known slip, where one was recognised.
    ``worst`` is the largest error seen, relative where the value is above 1; it is kept out of the
    text because its last digits differ from machine to machine.
    """

    id: str
    ok: bool | None
    title: str
    sentence: str
    kind: str = ""
    mistake: str | None = None
    counterexample: dict[str, str] = field(default_factory=dict)
    worst: float | None = None

    @property
    def text(self) -> str:
        """The whole verdict on one line, the same on every machine."""
        return f"{MARKS[self.ok]} ({self.id}) {self.title}: {self.sentence}"

    def __repr__(self) -> str:
        return self.text

    def __bool__(self) -> bool:
        return self.ok is True

    def _repr_html_(self) -> str:
        colour = COLOURS[self.ok]
        kind = f'<span style="opacity:.6;font-size:85%"> · {escape(self.kind)}</span>'
        return (
            f'<div style="border-left:4px solid {colour};padding:.3em .8em;margin:.2em 0;'
            'max-width:52em">'
            f'<span style="color:{colour};font-weight:bold">{MARKS[self.ok]}</span> '
            f"<b>({escape(self.id)}) {escape(self.title)}</b>{kind if self.kind else ''}"
            f"<br>{_lines(self.sentence)}</div>"
        )


def _lines(sentence: str) -> str:
    """The first line as text; what follows is a place in a formula, with a mark under it."""
    first, _, place = escape(sentence).partition("\n")
    return f'{first}<pre style="margin:.3em 0">{place}</pre>' if place else first
