"""How equations and progress look on a page."""

from dataclasses import dataclass
from html import escape

from genart_lessons.proof import Equation
from genart_lessons.proof import progress as kept


def show_equation(equation: Equation) -> str:
    """Plain text about an equation: meaning, source, and how it is checked."""
    lines = [f"({equation.id}) {equation.title}", equation.meaning, f"LaTeX: {equation.latex}"]
    lines.append(f"Checked: {equation.evidence.kind}. Known slips: {len(equation.near_misses)}.")
    if equation.definition:
        lines.append(f"A formula is {equation.definition.words}.")
    if equation.sources:
        lines.append(f"Answers: {', '.join(equation.sources)}.")
    if equation.cite:
        lines.append(f"From: {equation.cite}.")
    return "\n".join(lines)


@dataclass(frozen=True)
class Progress:
    """What has been verified, chapter by chapter: chapter → [(id, title, verified)]."""

    chapters: dict[str, list[tuple[str, str, bool]]]

    def __repr__(self) -> str:
        return "\n".join(
            f"chapter {name}: {sum(done for *_, done in rows)} of {len(rows)} verified"
            for name, rows in self.chapters.items()
        )

    def _repr_html_(self) -> str:
        rows = []
        for name, entries in self.chapters.items():
            marks = " ".join(
                f'<span title="{escape(title)}" style="color:{"#009E73" if done else "#7f7f7f"}">'
                f"{'✔' if done else '○'} {escape(id)}</span>"
                for id, title, done in entries
            )
            rows.append(f"<p><b>Chapter {escape(name)}</b><br>{marks}</p>")
        return "".join(rows)


def progress(exercises_only: bool = False) -> Progress:
    """What this reader has verified so far, from the file kept on this machine."""
    from genart_lessons.equations import every  # the registry imports this module

    verified = {id for id, entry in kept.load().items() if entry.get("verified")}
    chapters: dict[str, list[tuple[str, str, bool]]] = {}
    for e in every():
        if e.is_exercise or not exercises_only:
            chapters.setdefault(e.chapter, []).append((e.id, e.title, e.id in verified))
    return Progress(chapters)
