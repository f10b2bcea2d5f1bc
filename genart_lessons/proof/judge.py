"""Judge a candidate: whatever it does, the answer is a verdict and never a traceback."""

import contextlib
import threading
from dataclasses import replace
from typing import Any

from genart_lessons.proof.candidate import CandidateError, NotTried, is_stub, said
from genart_lessons.proof.equation import Equation
from genart_lessons.proof.evidence import REPEATED, refuse
from genart_lessons.proof.exact import proof_of
from genart_lessons.proof.guard import WORKER, NoAnswer, few_words, run_limited, undisturbed
from genart_lessons.proof.latex import left_hand_side, other_way_round
from genart_lessons.proof.spelling import LatexError
from genart_lessons.proof.verdict import Verdict

SECONDS = 10.0


def judge(equation: Equation, given: Any, seconds: float = SECONDS) -> Verdict:
    """Check ``given`` against ``equation``.

    Args:
        given: a Python function of tensors, a SymPy expression, LaTeX, a number, or a stub.
        seconds: the time limit; a candidate that never returns is wrong, and is stopped.
    """
    not_tried = Verdict(equation.id, None, equation.title, "not tried yet.")
    if is_stub(given):
        return not_tried
    if threading.current_thread().name == WORKER:
        return refuse(equation, "a candidate cannot ask verify about itself.")
    try:
        verdict = _examine(equation, given, seconds)
        if verdict.sentence == REPEATED and isinstance(given, str) and other_way_round(given):
            with contextlib.suppress(LatexError):  # "… = the left-hand side" is as good
                turned = other_way_round(given)
                verdict, given = _examine(equation, turned, seconds), turned
        return _with_proof(verdict, equation, given) if verdict.ok else verdict
    except NotTried:
        return not_tried
    except LatexError as error:
        if equation.typeset_only:
            return _asks_for_a_function(equation)
        return refuse(equation, f"the formula cannot be read: {error}")
    except NoAnswer:
        return refuse(equation, f"it gave no answer within {seconds:g} s.")
    except CandidateError as error:
        if equation.typeset_only and isinstance(given, str):
            return _asks_for_a_function(equation)  # it was read, but it is made of matrices
        return refuse(equation, f"it cannot be compared: {error}")
    except RecursionError:
        return refuse(equation, "it cannot be compared: it calls itself without end")
    except Exception as error:  # a candidate nobody has thought of
        return refuse(equation, f"it cannot be compared: {type(error).__name__}: {said(error)}")


def _asks_for_a_function(equation: Equation) -> Verdict:
    why = f"this equation is not read as a formula ({equation.typeset_only})"
    return refuse(equation, f"{why}: give a Python function.")


def _examine(equation: Equation, given: Any, seconds: float) -> Verdict:
    with undisturbed(), few_words():
        return run_limited(lambda: equation.evidence.examine(equation, given), seconds)


def _with_proof(verdict: Verdict, equation: Equation, given: Any) -> Verdict:
    """A right candidate, with what SymPy says of it; its time is not the candidate's."""
    proof, sentence, kind = proof_of(equation, given), verdict.sentence, verdict.kind
    if proof:
        sentence, kind = f"{proof}, and {sentence}", f"exact and {kind}"
    left = left_hand_side(given) if isinstance(given, str) else ""
    if left and left != left_hand_side(equation.latex):
        sentence += " Only this side of the formula was checked."
    return replace(verdict, sentence=sentence, kind=kind)
