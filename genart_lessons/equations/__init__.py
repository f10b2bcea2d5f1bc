"""The registry: every numbered equation of the course, one module a chapter.

``verify("3.7", candidate)`` is what learners call. ``find``, ``of_chapter`` and ``every`` are what
chapters and tests use.
"""

from typing import Any

from genart_lessons.equations import (
    attention,
    autoencoder,
    autoregressive,
    diffusion,
    divergences,
    gan,
    maps,
    start_here,
    style,
    vae,
)
from genart_lessons.equations.look import Progress, progress, show_equation
from genart_lessons.proof import Equation, Verdict, judge
from genart_lessons.proof import progress as kept

_MODULES = (
    start_here, maps, divergences, autoencoder, vae, gan, autoregressive, attention, diffusion,
    style,
)  # fmt: skip
_BY_ID: dict[str, Equation] = {e.id: e for module in _MODULES for e in module.EQUATIONS}

__all__ = [
    "Progress", "every", "find", "of_chapter", "progress", "show_equation", "verify",
]  # fmt: skip


def every() -> list[Equation]:
    """All equations and exercises, in the order of the chapters."""
    return list(_BY_ID.values())


def of_chapter(chapter: str | int) -> list[Equation]:
    """Those of one chapter: ``of_chapter(3)`` or ``of_chapter("03")``."""
    return [e for e in every() if e.chapter == str(chapter).zfill(2)]


def find(id: str) -> Equation:
    """The equation with this number.

    Raises:
        LookupError: there is none; the message lists those of the chapter, or the chapters.
            Or the number is not in quotes: (3.10) and (3.1) are one and the same float.
    """
    if not isinstance(id, str):
        raise LookupError(f'write the number in quotes, as in verify("3.10", …), not as {id!r}')
    key = id.strip().strip("()")
    if key in _BY_ID:
        return _BY_ID[key]
    near = [e.id for e in of_chapter(key.partition(".")[0] or "none")]
    exist = ", ".join(near or sorted({str(int(e.chapter)) + ".…" for e in every()}))
    raise LookupError(f"there is no equation ({key}); these exist: {exist}")


def verify(id: str, candidate: Any = ..., *, seconds: float = 10.0) -> Verdict:
    r"""Check ``candidate`` against equation ``id``, and remember what was verified.

    Args:
        id: the number beside the equation, such as ``"3.7"``; exercises are ``"3.x1"``.
        candidate: a Python function of tensors, a SymPy expression, LaTeX such as
            ``r"\frac12\mu^2"`` or a number. A stub (``...``) is "not tried yet".
        seconds: how long it may take.

    Returns:
        A ``Verdict``: ✔ right, ✘ wrong (with a counterexample, and the mistake by name where
        it is a known one), or ○ not tried.

    Raises:
        LookupError: there is no such equation.
    """
    verdict = judge(find(id), candidate, seconds)
    kept.note(verdict)
    return verdict
