"""How things are checked: candidates, kinds of evidence, verdicts. It knows no equation by name."""

from genart_lessons.proof.equation import Definition, Equation, NearMiss
from genart_lessons.proof.evidence import Bound, Gradient, Jacobian, Numeric, Total
from genart_lessons.proof.judge import judge
from genart_lessons.proof.sampling import Draws, Estimate, Pairs, Picks, View, flat
from genart_lessons.proof.spelling import LatexError
from genart_lessons.proof.verdict import Verdict

__all__ = [
    "Bound", "Definition", "Draws", "Equation", "Estimate", "Gradient", "Jacobian", "LatexError",
    "NearMiss", "Numeric", "Pairs", "Picks", "Total", "Verdict", "View", "flat", "judge",
]  # fmt: skip
