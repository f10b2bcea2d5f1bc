"""The proof room: whatever a candidate is or does, the answer is a verdict, and the same one."""

import asyncio
import contextlib
import functools
import io
import json
import math
import os
import random
import stat
import sys
import threading
import time
from fractions import Fraction

import numpy as np
import pytest
import sympy
import torch
from scipy import stats
from torch import nn

from genart_lessons import runtime, verify
from genart_lessons.equations import find
from genart_lessons.proof import (
    Definition,
    Equation,
    Estimate,
    NearMiss,
    Numeric,
    Picks,
    Total,
    Verdict,
    exact,
    judge,
    progress,
)
from genart_lessons.proof.candidate import is_stub
from genart_lessons.proof.draws import bits, counted, points, simplex, uniform, whole
from genart_lessons.proof.guard import NoAnswer, run_limited
from genart_lessons.proof.words import apart, describe_difference, number

pytestmark = pytest.mark.usefixtures("one_thread")


def kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def ask(candidate, id="3.7", seconds=10.0) -> Verdict:
    return judge(find(id), candidate, seconds)


def refused(candidate, because: str, id="3.7", seconds=10.0) -> Verdict:
    verdict = ask(candidate, id, seconds)
    assert verdict.ok is False and because in verdict.sentence, verdict
    return verdict


# -- what a candidate may be ---------------------------------------------------------------------


class Module(nn.Module):
    def forward(self, m, lv):
        return kl(m, lv)


class Callable:
    def __call__(self, mu, log_var):
        return kl(mu, log_var)


def in_place(mu, log_var):
    answer = kl(mu, log_var)
    mu.zero_(), log_var.fill_(9)
    return answer


def by_position_only(mu, log_var, /):
    return kl(mu, log_var)


def by_name_only(*, log_var, mu):
    return kl(mu, log_var)


RIGHT = {
    "function": kl,
    "other names": lambda m, lv: kl(m, lv),
    "other order": lambda log_var, mu: kl(mu, log_var),
    "one other name": lambda log_var, m: kl(m, log_var),
    "default": lambda mu, log_var, half=0.5: kl(mu, log_var),
    "argument with a default": lambda mu, log_var=None: kl(mu, log_var),
    "*args": lambda *args: kl(*args),
    "**kwargs": lambda **kwargs: kl(**kwargs),
    "positional": by_position_only,
    "keywords": by_name_only,
    "partial": functools.partial(lambda half, mu, log_var: kl(mu, log_var), 0.5),
    "method": Callable().__call__,
    "object": Callable(),
    "module": Module(),
    "in place": in_place,
    "numpy": lambda mu, log_var: kl(mu, log_var).numpy(),
    "list": lambda mu, log_var: kl(mu, log_var).tolist(),
    "tuple of tensors": lambda mu, log_var: tuple(kl(mu, log_var)),
    "with a graph": lambda mu, log_var: nn.Parameter(kl(mu, log_var)),
    "by sampling nothing": lambda mu, log_var: kl(mu, log_var) + 0 * torch.randn_like(mu),
    "sympy": (sympy.Symbol("mu") ** 2 + sympy.Symbol("sigma") ** 2 - 1) / 2
    - sympy.log(sympy.Symbol("sigma")),
}


@pytest.mark.parametrize("form", RIGHT)
def test_a_right_candidate_is_right_in_every_form(form):
    verdict = ask(RIGHT[form])
    assert verdict.ok is True, verdict
    assert verdict.worst < 1e-9


@pytest.mark.parametrize("cast", [torch.Tensor.float, lambda a: a.float().numpy()])
def test_float32_is_right_and_said_so(cast):
    verdict = ask(lambda mu, log_var: cast(kl(mu.float(), log_var.float())))
    assert verdict.ok and "float32, within 1e-05" in verdict.sentence


ASSUMPTIONS = [{}, {"positive": True}, {"real": True}, {"integer": True}, {"commutative": False}]


@pytest.mark.parametrize("assumptions", ASSUMPTIONS, ids=str)
@pytest.mark.parametrize("names", ["mu sigma", "μ σ", r"\mu \sigma"])
def test_sympy_symbols_are_known_by_name_whatever_is_assumed(assumptions, names):
    mu, sigma = sympy.symbols(names, **assumptions)
    assert ask((mu**2 + sigma**2 - 1 - 2 * sympy.log(sigma)) / 2).kind == "exact and numeric"
    refused((mu**2 + sigma**2 - 1 - sympy.log(sigma)) / 2, "the logarithm is of the variance")


INDEX, N = sympy.symbols("i n", integer=True)
ENTRY = (
    sympy.IndexedBase("mu")[INDEX] ** 2
    + sympy.IndexedBase("sigma")[INDEX] ** 2
    - 1
    - 2 * sympy.log(sympy.IndexedBase("sigma")[INDEX])
) / 2


@pytest.mark.parametrize("limits", [(INDEX, 1, N), (INDEX, 0, N - 1), (INDEX, 1, 4)], ids=str)
def test_a_sympy_sum_over_the_whole_axis(limits):
    assert ask(sympy.Sum(ENTRY, limits), "3.11").kind == "exact and numeric"


@pytest.mark.parametrize(
    "limits",
    [
        (INDEX, 1, 2),
        (INDEX, 1, N - 1),
        (INDEX, 0, N),
        (INDEX, 2, N),
        (INDEX, 1, 5),
        (INDEX, 1, sympy.Symbol("mu")),
    ],
    ids=str,
)
def test_a_sympy_sum_over_part_of_the_axis_is_not_taken_for_the_whole(limits):
    refused(sympy.Sum(ENTRY, limits), "whole axis", "3.11")


def test_a_sympy_equation_stands_for_its_right_hand_side():
    assert ask(sympy.Eq(sympy.Symbol("D"), RIGHT["sympy"])).ok


@pytest.mark.parametrize("half", [16, 16.0, np.float32(16), Fraction(16), torch.tensor(16.0)])
def test_a_number_is_a_candidate(half):
    refused(half, "it gives 16", "3.x1")
    constant = Equation(
        "9.1", "a constant", "c", "16", "", lambda x: 16 + 0 * x, Numeric(points(x=uniform(0, 1)))
    )
    assert judge(constant, half).ok


# -- what a candidate may do ---------------------------------------------------------------------


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError


class Secretive:
    def __getattr__(self, name):
        raise RuntimeError(name)


def raises(error):
    def candidate(mu, log_var):
        raise error

    return candidate


def endless_recursion(mu, log_var):
    return endless_recursion(mu, log_var)


async def asynchronous(mu, log_var):
    return kl(mu, log_var)


def generator(mu, log_var):
    yield kl(mu, log_var)


WRONG = {
    "wrong shape (P, 1)": (lambda mu, log_var: kl(mu, log_var)[:, None], "Is a sum over dim=-1"),
    "wrong shape (1, P)": (lambda mu, log_var: kl(mu, log_var)[None], "shape (1, 200)"),
    "one number": (lambda mu, log_var: kl(mu, log_var).mean(), "it returned one number"),
    "a Python float": (lambda mu, log_var: 1.0, "a different function"),
    "wrong length": (lambda mu, log_var: torch.zeros(7), "shape (7,)"),
    "None": (lambda mu, log_var: print(end=""), "is a return missing?"),
    "NaN at some points": (
        lambda mu, log_var: torch.where(mu > 0, kl(mu, log_var), torch.nan), "not finite"),
    "infinite at one": (
        lambda mu, log_var: torch.where(mu == mu[5], torch.inf, kl(mu, log_var)), "not finite"),
    "complex": (lambda mu, log_var: kl(mu, log_var) + 0j, "complex"),
    "text": (lambda mu, log_var: "0.5", "a str"),
    "coroutine": (asynchronous, "a coroutine"),
    "generator": (generator, "a generator"),
    "meta tensor": (lambda mu, log_var: mu.to("meta"), "cannot be read"),
    "too many arguments": (lambda mu, log_var, eps: mu, "it takes (mu, log_var, eps)"),
    "too few": (lambda m: m, "it takes (m)"),
    "ZeroDivisionError": (lambda mu, log_var: 1 / 0, "raised ZeroDivisionError: division by zero"),
    "KeyboardInterrupt": (raises(KeyboardInterrupt()), "raised KeyboardInterrupt"),
    "GeneratorExit": (raises(GeneratorExit()), "raised GeneratorExit"),
    "BaseException": (raises(BaseException("bare")), "raised BaseException: bare"),
    "exit": (lambda mu, log_var: sys.exit(3), "called exit"),
    "an error without words": (raises(Unspeakable()), "raised Unspeakable"),
    "an error of many lines": (raises(ValueError("one\ntwo\x1b[31m")), "raised ValueError: one"),
    "an address": (raises(ValueError(f"{object()}")), "<object object>"),
    "a long error": (raises(ValueError("x" * 10_000)), "xxx…"),
    "recursion": (endless_recursion, "calls itself without end"),
    "itself": (lambda mu, log_var: ask(kl), "a Verdict"),
    "torch.add": (torch.add, "a different function"),
    "numpy.add": (np.add, "a different function"),
    "dict": (dict, "raised TypeError"),
    "identity": (lambda mu, log_var: mu, "a different function"),
    "a bool": (True, "a bool cannot be checked"),
    "bytes": (b"x", "a bytes cannot be checked"),
    "a list": ([1, 2], "a list cannot be checked"),
    "a complex number": (1j, "a complex cannot be checked"),
    "a tensor": (torch.zeros(200), "a Tensor cannot be checked"),
    "an object": (object(), "an object cannot be checked".replace("an ", "a ")),
    "a secretive object": (Secretive(), "a Secretive cannot be checked"),
    "a huge number": (10**400, "not finite"),
    "nan": (math.nan, "not finite"),
    "sympy matrix": (sympy.Matrix([[1]]), "cannot be checked"),
    "sympy immutable matrix": (sympy.ImmutableMatrix([[1]]), "cannot be computed"),
    "sympy truth": (sympy.true, "is no formula"),
    "sympy relation": (sympy.Symbol("mu") > 1, "is no formula"),
    "sympy unknown function": (sympy.Function("f")(sympy.Symbol("mu")), "f cannot be computed"),
    "sympy unknown symbol": (sympy.Symbol("y"), "unknown symbol y"),
    "sympy integral": (sympy.Integral(sympy.Symbol("mu"), sympy.Symbol("mu")), "cannot be comp"),
    "sympy infinity": (sympy.zoo, "not finite"),
    "sympy i": (sympy.I, "not finite"),
    "sympy tower": (
        functools.reduce(lambda a, _: sympy.Pow(9, a, evaluate=False), range(4), sympy.Integer(9)),
        "not finite"),
    "sympy thousands deep": (
        functools.reduce(
            lambda a, _: sympy.Add(a, sympy.Symbol("mu"), evaluate=False), range(3000),
            sympy.Symbol("mu")),
        "without end"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_candidate_gets_a_reason_and_no_traceback(what):
    candidate, because = WRONG[what]
    verdict = refused(candidate, because)
    assert "\n" not in repr(verdict) and len(repr(verdict)) < 500
    assert repr(verdict) == repr(ask(candidate))
    assert " at 0x" not in repr(verdict)


def test_nobody_is_left_waiting_for_a_coroutine(recwarn):
    ask(asynchronous)
    assert not [w for w in recwarn if "never awaited" in str(w.message)]
    assert asyncio.iscoroutinefunction(asynchronous)


def loop(mu, log_var):
    while True:
        pass


def loop_without_arguments():
    while True:
        pass


def recursion_and_loop(mu, log_var, depth=0):
    return recursion_and_loop(mu, log_var, depth + 1) if depth < 50 else loop(mu, log_var)


@pytest.mark.parametrize("candidate", [loop, loop_without_arguments, recursion_and_loop])
def test_an_endless_loop_is_ended(candidate):
    before = threading.active_count()
    start = time.monotonic()
    # A stub is recognised without being called, or loop_without_arguments would never return.
    refused(candidate, "no answer within 0.5 s", seconds=0.5)
    assert time.monotonic() - start < 60
    time.sleep(0.2)
    assert threading.active_count() <= before


def stubborn(mu, log_var):
    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                pass
        except:  # noqa: E722
            pass


@pytest.mark.parametrize(
    "candidate", [lambda mu, log_var: time.sleep(3), stubborn], ids=["asleep", "stubborn"]
)
def test_what_cannot_be_ended_is_left_behind_and_said_to_be(candidate):
    with pytest.warns(UserWarning, match="still running"):
        refused(candidate, "no answer within 0.2 s", seconds=0.2)
    assert ask(kl).ok
    time.sleep(3)  # it must not slow down the tests that follow


def test_ctrl_c_is_heard_and_ends_the_work():
    running, turns = threading.Event(), [0]

    def work():
        running.set()
        while True:
            turns[0] += 1

    def interrupt():
        running.wait()
        time.sleep(0.2)
        import _thread

        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_limited(work, 20)
    so_far = turns[0]
    time.sleep(0.2)
    assert turns[0] == so_far > 0  # a loop that went on would slow down all that follows
    with pytest.raises(NoAnswer):
        run_limited(lambda: time.sleep(0.5), 0.05)


def test_what_a_candidate_does_to_the_machine_is_undone():
    def meddle(mu, log_var):
        torch.manual_seed(7), np.random.seed(7), random.seed(7)
        torch.set_default_dtype(torch.float16)
        torch.set_grad_enabled(False)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.use_deterministic_algorithms(True)
        return kl(mu, log_var)

    def state():
        return (
            torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(),
            torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
        )  # fmt: skip

    before = state()
    assert ask(meddle).ok
    assert state() == before
    assert ask(lambda mu, log_var: torch.randn_like(mu)).ok is False
    assert state() == before


def test_what_it_prints_is_passed_on_within_reason(capsys):
    def chatty(mu, log_var):
        print("mu has shape", tuple(mu.shape))
        return kl(mu, log_var)

    def flood(mu, log_var):
        while True:
            print("x" * 80)

    assert ask(chatty).ok
    assert capsys.readouterr().out == "mu has shape (200,)\n"
    refused(flood, "no answer", seconds=0.3)
    out = capsys.readouterr().out
    assert 1000 < len(out) < 20_000 and "(more was printed)" in out


def test_a_candidate_cannot_judge_itself():
    verdicts = []
    ask(lambda mu, log_var: verdicts.append(ask(kl)))
    assert verdicts[0].ok is False and "cannot ask verify about itself" in verdicts[0].sentence


# -- not tried yet -----------------------------------------------------------------------------


def documented_stub(mu, log_var):
    """Write me."""
    ...


def unfinished(mu, log_var):
    price = ...
    return price


def not_implemented(mu, log_var):
    raise NotImplementedError


STUBS = [
    ..., None, "", "  ", "...", "…", r"\dots", lambda mu, log_var: ..., lambda: None,
    documented_stub, unfinished, not_implemented,
]  # fmt: skip


@pytest.mark.parametrize("stub", STUBS, ids=lambda s: getattr(s, "__name__", repr(s)))
def test_a_stub_is_neither_right_nor_wrong(stub):
    verdict = ask(stub)
    assert verdict.ok is None and not verdict and "not tried yet" in repr(verdict)


@pytest.mark.parametrize("id", ["0.2", "0.4", "3.12", "3.13", "3.27"])
def test_every_kind_of_evidence_knows_a_stub(id):
    assert ask(..., id).ok is ask(lambda *args: [...][0], id).ok is None


@pytest.mark.parametrize(
    "candidate",
    [lambda mu, log_var: mu, lambda n: n, lambda mu, log_var: (mu, log_var)[0], loop, 0],
)
def test_what_does_something_is_no_stub(candidate):
    assert not is_stub(candidate)


# -- numbers: too narrow, too rounded, nearly right --------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda mu, log_var: torch.where(log_var > -2.4, kl(mu, log_var), 0.0),  # σ > 0.3
        lambda mu, log_var: torch.where(mu == 0.3, kl(mu, log_var), 0.0),  # the example
        lambda mu, log_var: kl(mu, log_var) + 1e-3 * torch.sin(1e3 * mu),
        lambda mu, log_var: kl(mu, log_var).mean().expand(len(mu)),
        lambda mu, log_var: kl(mu, log_var).flip(0),
        lambda mu, log_var: kl(mu.abs(), log_var.clamp(min=-2)),
        lambda mu, log_var: kl(mu.round(), log_var),
    ],
)
def test_right_somewhere_or_on_average_is_wrong(wrong):
    assert ask(wrong).ok is False


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda mu, log_var: 2.5 * kl(mu, log_var), "it is 2.5 times the right value"),
        (lambda mu, log_var: 1.0001 * kl(mu, log_var), "it is 1.0001 times the right value"),
        (lambda mu, log_var: kl(mu, log_var) + 1e-4, "it is off by the constant 0.0001"),
        (lambda mu, log_var: kl(mu.float(), log_var.float()).double(), "nearly right"),
        (lambda mu, log_var: (kl(mu, log_var) * 1e6).round() / 1e6, "nearly right"),
    ],
)
def test_a_difference_is_put_in_words(wrong, words):
    refused(wrong, words)


def test_a_counterexample_shows_two_different_numbers():
    verdict = refused(lambda mu, log_var: kl(mu, log_var) + 2e-4 * mu**2, "a different function")
    given, right = verdict.sentence.split("it gives ")[1].rstrip(".").split("; the divergence is ")
    assert given != right


def test_a_slip_is_recognised_in_float32_too():
    verdict = ask(lambda mu, log_var: -kl(mu.float(), log_var.float()))
    assert verdict.mistake and verdict.mistake.startswith("the sign is turned round")


def test_numbers_are_rounded_the_same_way_on_every_machine():
    for tie in (0.0825, 0.00125, 2.675, 1234.5, 0.5, 1e-7):
        for jitter in (0, 1e-16, -1e-16, 3e-16):
            assert number(tie * (1 + jitter)) == number(tie)
    assert number(-1e-17) == "0"
    assert number(torch.tensor([1.0, 2, 3, 4, 5])) == "(1, 2, 3, 4, …)"
    assert apart(0.12345, 0.12346) == ("0.12345", "0.12346")
    assert apart(1.0, 1.0) == ("1", "1")
    long, other = torch.arange(9.0), torch.arange(9.0)
    assert apart(long, other) == ("(0, 1, 2, 3, …)",) * 2
    other[5] = -5  # not among the first four: the four from there on are shown
    assert apart(long, other) == ("(…, 5, 6, 7, 8)", "(…, -5, 6, 7, 8)")
    other[4] = 4.0004
    assert apart(long, other) == ("(…, 5, 6, 7, 8)", "(…, -5, 6, 7, 8)")  # what needs no digits
    other[5] = 5
    assert apart(long, other) == ("(…, 4, 5, 6, 7, …)", "(…, 4.0004, 5, 6, 7, …)")
    other[1] = 2
    assert apart(long, other) == ("(0, 1, 2, 3, …)", "(0, 2, 2, 3, …)")
    assert describe_difference(torch.ones(3) * 2, torch.ones(3)).startswith("it is 2 times")


def test_a_verdict_does_not_depend_on_which_wrong_point_is_worst():
    """Errors that are equal but for rounding must not choose the point by their last digits."""
    for noise in (0, 1e-13, -1e-13):

        def wrong(mu, log_var, noise=noise):
            jitter = noise * torch.sin(1e6 * mu)
            return kl(mu, log_var) + torch.where(mu == 0.3, 0.0, 5e-4) + jitter

        assert ask(wrong).text == ask(lambda mu, log_var: wrong(mu, log_var, 0)).text


# -- sampling ----------------------------------------------------------------------------------


def sd(log_var):
    return (log_var / 2).exp()


def doubled_gradient(mu, log_var, eps):
    z = mu + sd(log_var) * eps
    return 2 * z - z.detach()


DRAWS_RIGHT = {
    "as typeset": lambda mu, log_var, eps: mu + sd(log_var) * eps,
    "mirrored noise": lambda mu, log_var, eps: mu - sd(log_var) * eps,
    "rsample": lambda mu, log_var, eps: torch.distributions.Normal(mu, sd(log_var)).rsample(),
    "noise of its own": lambda mu, log_var, eps: mu + sd(log_var) * torch.randn_like(mu),
    "float32": lambda mu, log_var, eps: (mu + sd(log_var) * eps).float(),
    "eps by default": lambda mu, log_var, eps=None: mu + sd(log_var) * eps,
}


@pytest.mark.parametrize("how", DRAWS_RIGHT)
def test_draws_of_the_right_law_are_right(how):
    verdict = ask(DRAWS_RIGHT[how], "3.12")
    assert verdict.ok is True and "gradient reaches mu and log_var" in verdict.sentence, verdict


HALF = 10_000
DRAWS_WRONG = {
    "gradient twice too large": (doubled_gradient, "the gradient by mu is wrong"),
    "gradient of sigma cut": (
        lambda mu, log_var, eps: mu + sd(log_var).detach() * eps + 0 * log_var,
        "the gradient by log_var is wrong"),
    "gradient of mu cut": (
        lambda mu, log_var, eps: mu.detach() + sd(log_var) * eps, "no gradient reaches mu"),
    "gradient by a factor": (
        lambda mu, log_var, eps: (
            mu + sd(log_var).detach() * eps + (log_var - log_var.detach()) * eps
        ),
        "the gradient by log_var is wrong"),
    "sorted": (lambda mu, log_var, eps: mu + sd(log_var) * eps.sort().values, "its own eps"),
    "another's noise": (lambda mu, log_var, eps: mu + sd(log_var) * eps.flip(0), "its own eps"),
    "another's sign": (
        lambda mu, log_var, eps: mu + sd(log_var) * eps * eps.sign().roll(1), "its own eps"),
    "in pairs": (
        lambda mu, log_var, eps: mu + sd(log_var) * torch.cat([eps[:HALF], -eps[:HALF]]),
        "its own eps"),
    "repeated": (
        lambda mu, log_var, eps: mu + sd(log_var) * eps[:HALF].repeat(2), "its own eps"),
    "sorted noise of its own": (
        lambda mu, log_var, eps: mu + sd(log_var) * torch.randn_like(eps).sort().values,
        "not independent"),
    "repeated noise of its own": (
        lambda mu, log_var, eps: mu + sd(log_var) * torch.randn_like(eps)[:HALF].repeat(2),
        "not independent"),
    "parameters of the first": (
        lambda mu, log_var, eps: mu[0] + sd(log_var)[0] * eps, "the gradient by mu is wrong"),
    "noise times noise": (
        lambda mu, log_var, eps: mu + sd(log_var) * eps * torch.randn_like(eps),
        "noise is multiplied in twice"),
    "student's t": (
        lambda mu, log_var, eps: mu
        + sd(log_var) * torch.tensor(stats.t(6).rvs(len(eps), random_state=1)) / 1.5**0.5,
        "the shape is not"),
    "not finite": (lambda mu, log_var, eps: mu + log_var + eps / 0, "not finite"),
    "a number": (3.0, "no gradient reaches"),
    "half the noise": (lambda mu, log_var, eps: (mu + sd(log_var) * eps)[:HALF], "shape (10000,)"),
}  # fmt: skip


@pytest.mark.parametrize("how", DRAWS_WRONG)
def test_draws_that_are_wrong_are_found_out(how):
    candidate, because = DRAWS_WRONG[how]
    assert refused(candidate, because, "3.12").text == ask(candidate, "3.12").text


def test_a_mistake_is_named_only_if_it_shows_in_every_case():
    """With log σ² = 0 the variance is the standard deviation: that case alone proves nothing."""
    assert ask(doubled_gradient, "3.12").mistake is None


def test_draws_for_one_common_parameter_are_not_enough():
    refused(
        lambda mu, sigma, eps: mu[0] + sigma[0] * torch.randn_like(eps),
        "its own eps and parameters alone",
        "0.3",
    )
    refused(lambda mu, sigma, eps: mu.mean() + sigma.mean() * eps, "alone", "0.3")
    assert ask(lambda mu, sigma, eps: torch.normal(mu, sigma), "0.3").ok


def picked(p, u):
    return (u.unsqueeze(-1) >= p.cumsum(-1)[:, :-1]).sum(-1)


def own_picks(p, u, seed=3):
    return torch.multinomial(p, 1, generator=torch.Generator().manual_seed(seed)).squeeze(-1)


PICKS = Equation(
    "9.3", "a draw", "x", "u", "", picked,
    Picks(({"p": [0.1, 0.6, 0.3, 0.0]}, {"p": [0.25, 0.25, 0.0, 0.5]}), law=lambda p: p),
    near_misses=(
        NearMiss(lambda p, u: p.argmax(-1), "the most likely one is no draw"),
        NearMiss(lambda p, u: picked(p.softmax(-1), u), "softmax again"),
    ),
    typeset_only="it is a symbol",
)  # fmt: skip
PICKS_RIGHT = {
    "where u falls": picked,
    "from the other end": lambda p, u: 3 - picked(p.flip(-1), 1 - u),
    "in floats": lambda p, u: picked(p, u).float(),
    "searchsorted": lambda p, u: torch.searchsorted(p.cumsum(-1), u[:, None], right=True)[:, 0],
    "noise of its own": own_picks,
    "a distribution": lambda p, u: torch.distributions.Categorical(probs=p).sample(),
    "Gumbel": lambda p, u: (p.log() - torch.rand_like(p).log().neg().log()).argmax(-1),
    "numpy": lambda p, u: np.array([np.random.choice(4, p=row) for row in p.numpy()]),
}  # fmt: skip
PICKS_WRONG = {
    "the most likely": (lambda p, u: p.argmax(-1), "the most likely one is no draw. At"),
    "softmax": (lambda p, u: picked(p.softmax(-1), u), "softmax again"),
    "softmax, noise of its own": (lambda p, u: own_picks(p.softmax(-1), u), "softmax again"),
    "sharper": (lambda p, u: own_picks(p**1.2, u), "comes with frequency"),
    "never the last": (lambda p, u: picked(p, u * 0.97), "symbol 2 comes with frequency 0.2"),
    "one too high": (lambda p, u: picked(p, u) + 1, "symbol 3 comes, and its probability is 0"),
    "two too high": (lambda p, u: picked(p, u) + 2, "the symbols are 0 to 3"),
    "no symbol": (lambda p, u: u, "the symbols are 0 to 3"),
    "not finite": (lambda p, u: u / 0, "the symbols are 0 to 3"),
    "always the same": (lambda p, u: 0 * u, "all 20,000 draws are the symbol 0"),
    "sorted": (lambda p, u: picked(p, u.sort().values), "its own u"),
    "another's noise": (lambda p, u: picked(p, u.flip(0)), "its own u"),
    "p of the first": (lambda p, u: picked(p[:1], u), "its own u"),
    "p of the first, noise of its own": (
        lambda p, u: own_picks(p[:1].expand_as(p), u), "its own u"),
    "repeated": (lambda p, u: own_picks(p, u)[:HALF].repeat(2), "not independent"),
    "each twice": (lambda p, u: own_picks(p, u)[:HALF].repeat_interleave(2), "parameters alone"),
    "sorted noise of its own": (lambda p, u: own_picks(p, u).sort().values, "parameters alone"),
    "as evenly as can be": (
        lambda p, u: picked(p, (torch.arange(len(u)).double() + 0.5) / len(u)), "not independent"),
    "the same noise for neighbours": (
        lambda p, u: picked(p, torch.rand_like(u)[:HALF].repeat_interleave(2)), "not independent"),
    "a column": (lambda p, u: torch.multinomial(p, 1), ".squeeze(-1) missing"),
    "one-hot": (
        lambda p, u: torch.nn.functional.one_hot(picked(p, u), 4), "shape (20000, 4)"),
}  # fmt: skip


@pytest.mark.parametrize("how", PICKS_RIGHT)
def test_symbols_that_follow_the_law_are_right(how):
    verdict = judge(PICKS, PICKS_RIGHT[how])
    assert verdict.ok is True and "chi-square" in verdict.sentence, verdict


@pytest.mark.parametrize("how", PICKS_WRONG)
def test_symbols_that_do_not_are_found_out(how):
    candidate, because = PICKS_WRONG[how]
    verdict = judge(PICKS, candidate)
    assert verdict.ok is False and because in verdict.sentence, verdict
    assert (verdict.mistake in verdict.sentence) if verdict.mistake else "softmax" not in how


def test_right_symbols_are_hardly_ever_refused():
    """Over many seeds; and a law that is off by a twentieth is refused every time."""
    for seed in range(25):
        assert judge(PICKS, lambda p, u, seed=seed: own_picks(p, u, seed)).ok, seed
        off = [0.13, 0.57, 0.3, 0.0]
        wrong = judge(PICKS, lambda p, u, s=seed, off=off: own_picks(
            torch.where((p[:, :1] == 0.1), torch.tensor(off).double(), p), u, s
        ))  # fmt: skip
        assert wrong.ok is False and "comes with frequency" in wrong.sentence


def test_a_sum_that_is_always_one_must_be_added_up():
    def added(p):
        return p.sum(-1)

    ones = Equation(
        "9.4", "all of it", "1", r"\sum_i p_i", "", added,
        Total(points(p=simplex(3)), spoil=lambda a: {"p": 2 * a["p"]}, spoiled_words="for 2p"),
        near_misses=(NearMiss(lambda p: (p / p.sum(-1, keepdim=True)).sum(-1), "normalised"),),
    )  # fmt: skip
    for right in (added, r"\sum_i p_i", r"\sum_{i=1}^{3}p_i = 1", r"1 = \sum_i p_i"):
        verdict = judge(ones, right)
        assert verdict.ok is True and verdict.sentence.endswith("for 2p too."), verdict
    for wrong, because in (
        (1, "normalised"),
        (lambda p: torch.ones(len(p)), "normalised"),
        (lambda p: p.sum(-1) ** 2, "not added up: for 2p it must change"),
        (lambda p: 1.0, "the sum is 2"),
        ("1", "left-hand side again"),
        (lambda p: (p / p.sum(-1, keepdim=True)).sum(-1), "normalised"),
        (lambda p: p.softmax(-1).sum(-1), "normalised"),
        (r"\sum_i p_i^2", "a different function"),
        (r"\prod_i p_i", "a different function"),
        (lambda p: p.sum(), "one number"),
    ):
        verdict = judge(ones, wrong)
        assert verdict.ok is False and because in verdict.sentence, verdict


def test_counts_and_bits_are_what_they_say():
    generator = torch.Generator().manual_seed(0)
    counts, coins, hot = counted(3, 4)(generator, 500), bits(4)(generator, 500), whole(2, 4)
    assert counts.shape == coins.shape == (500, 4) and counts.dtype == coins.dtype == torch.float64
    assert set(counts.flatten().tolist()) == {0, 1, 2, 3} and (counts[:, 0] >= 1).all()
    assert set(coins.flatten().tolist()) == {0, 1} == set(hot(generator, 50).flatten().tolist())
    assert abs(float(coins.mean()) - 0.5) < 4.5 * 0.5 / 2000**0.5


ESTIMATES = {
    "pathwise": (lambda mu, sigma, eps: 2 * (mu + sigma * eps), True, "unbiased"),
    "noise of its own": (
        lambda mu, sigma, eps: 2 * (mu + sigma * torch.randn_like(eps)), True, "unbiased"),
    "with a control": (lambda mu, sigma, eps: 2 * (mu + sigma * eps) - eps, True, "unbiased"),
    "the answer itself": (lambda mu, sigma, eps: 2 * mu, False, "nothing is estimated"),
    "the batch's mean": (
        lambda mu, sigma, eps: 2 * (mu + sigma * eps).mean().expand(len(eps)), False, "± "),
    "biased": (lambda mu, sigma, eps: 2 * (mu + sigma * eps) + 0.1, False, "the mean of 200,000"),
    "the other gradient": (
        lambda mu, sigma, eps: (mu + sigma * eps) ** 2 * eps / sigma, False, "score-function"),
    "infinite variance": (
        lambda mu, sigma, eps: 2 * mu + (torch.pi * torch.rand_like(eps)).tan(), None, "outweighs"),
    "too noisy": (lambda mu, sigma, eps: 2 * mu + 100 * eps, None, "too wide"),
    "not finite": (lambda mu, sigma, eps: 2 * mu / 0, False, "not finite"),
    "sorted": (lambda mu, sigma, eps: 2 * (mu + sigma * eps.sort().values), False, "its own eps"),
    "latex": (r"2\mu", False, "nothing is estimated"),
}  # fmt: skip


@pytest.mark.parametrize("how", ESTIMATES)
def test_an_estimate_is_judged_by_its_standard_error(how):
    candidate, ok, because = ESTIMATES[how]
    verdict = ask(candidate, "3.13")
    assert verdict.ok is ok and because in verdict.sentence, verdict


def test_the_two_gradients_are_told_apart():
    path, score = find("3.13").reference, find("3.14").reference
    assert ask(score, "3.14").ok and ask(path, "3.13").ok
    refused(path, "pathwise", "3.14"), refused(score, "score-function", "3.13")
    assert ask(lambda mu, sigma, eps: ((mu + sigma * eps) ** 2 - mu**2) * eps / sigma, "3.14").ok


def test_a_right_sampler_is_hardly_ever_refused():
    """Four and a half standard errors: over many seeds, none of a hundred right estimates fails."""
    refusals = 0
    for seed in range(100):
        shift = torch.Generator().manual_seed(seed)

        def own(x, eps, shift=shift):
            return x + torch.randn(len(x), generator=shift, dtype=torch.float64)

        line = Equation(
            "9.2", "a mean", "m", "x", "", own, Estimate(({"x": 1.0},), lambda x: x, 1, count=1000)
        )
        verdict = line.evidence.examine(line, own)
        refusals += verdict.ok is False and "the mean of" in verdict.sentence
    assert refusals == 0


# -- bounds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "candidate, because",
    [
        (r"\log x", "another bound"),
        (r"\min(\log x, 5)", "another bound"),
        (r"2-\frac{2}{\sqrt{x}}", "another bound"),
        (lambda x: torch.minimum(x.log(), 1 - 1 / x + 1), "another bound"),
        ("x-1", "the bound from the other side"),
        (r"-\frac1x", "never touches"),
        (r"1-\frac1x-10^{-3}", "not equal to log x where x = 1"),
        (r"1-\frac1x+10^{-3}", "it lies above log x"),
        (lambda x: torch.full_like(x, -torch.inf), "not equal"),
        (lambda x: torch.full_like(x, torch.nan), "above"),
    ],
)
def test_a_bound_must_hold_touch_and_be_the_one_that_is_stated(candidate, because):
    refused(candidate, because, "0.4")


@pytest.mark.parametrize(
    "candidate, because",
    [
        (r"10^{9}", "it is not equal to the distance that is left"),
        (r"\frac{L^n}{1-L}\lVert x_1-x_0\rVert-10^{-3}", "it lies below the distance"),
        (r"\max(\frac{L^n}{1-L}\lVert x_1-x_0\rVert,10^{-9})", ""),
        (r"\frac{L^{n}}{1-L}\sum_i|x_{1,i}-x_{0,i}|", "not equal to the distance"),
        (lambda x_0, x_1, L, n, r: find("8.2").evidence.of(x_0, x_1, L, n, r), "one map's own"),
        (lambda x_0, x_1, L, n, r: L.new_full(L.shape, torch.inf), "not equal"),
        (lambda x_0, x_1, L, n, r: L.new_full(L.shape, torch.nan), "below"),
    ],
)
def test_an_upper_bound_is_judged_from_the_other_side(candidate, because):
    if because:
        refused(candidate, because, "8.2")
    else:
        assert judge(find("8.2"), candidate).ok


def test_an_upper_bound_is_read_on_the_right_of_its_sign():
    """Elsewhere ``a \\le b`` states a, as in (0.4): 1 − 1/x ≤ log x."""
    bound = r"\frac{L^n}{1-L}\lVert x_1-x_0\rVert"
    for formula in (bound, rf"\lVert x_n-x^\star\rVert\leq{bound}", rf"a \le b \le {bound}"):
        assert judge(find("8.2"), formula).ok, formula
    assert not judge(find("8.2"), rf"{bound}\le L")
    assert judge(find("0.4"), r"1-\frac1x\le\log x").ok
    assert "there is no formula here" in judge(find("8.2"), rf"{bound}\le").sentence


@pytest.mark.parametrize("formula", [r"\lVert x-DEx\rVert^2", r"\mathrm{softmax}(x)", "D", "x"])
def test_a_formula_of_matrices_is_not_taken_for_a_wrong_one(formula):
    assert "give a Python function" in judge(find("2.6"), formula).sentence


def test_two_names_of_one_thing_are_one_letter_in_a_proof():
    twins = Equation(
        "9.4", "twins", "x", r"\ell+1", "", lambda x: x + 1, Numeric(points(x=uniform(0, 1))),
        symbols={"ell": lambda x: x},
    )  # fmt: skip
    assert judge(twins, "x+1").kind == judge(twins, r"1+\ell").kind == "exact and numeric"


def test_a_slow_proof_is_not_the_candidates_fault(monkeypatch):
    def slowly():
        time.sleep(1.5)
        return sympy.Symbol("x") + 1

    definition = Definition("derived (SymPy)", slowly, {"x": sympy.Symbol("x")})
    slow = Equation(
        "9.5", "slow", "y", "x+1", "", lambda x: x + 1, Numeric(points(x=uniform(0, 1))),
        definition=definition,
    )  # fmt: skip
    assert judge(slow, "1+x", seconds=1.0).kind == "exact and numeric"
    monkeypatch.setattr(exact, "SECONDS", 0.1)
    assert judge(slow, "1+x").kind == "numeric"


# -- how a verdict looks -------------------------------------------------------------------------


def test_a_verdict_is_one_line_and_true_only_when_right():
    right, wrong, stub = ask(kl), ask(r"\mu"), ask(...)
    assert [bool(v) for v in (right, wrong, stub)] == [True, False, False]
    assert [repr(v)[0] for v in (right, wrong, stub)] == ["✔", "✘", "○"]
    assert all("\n" not in repr(v) for v in (right, wrong, stub))
    assert str(right) == repr(right)


@pytest.mark.parametrize(
    "candidate",
    [
        "<script>alert(1)</script>",
        r"\mu<img src=x onerror=alert(1)>",
        lambda mu, log_var: int("<b>"),
        sympy.Symbol("<i>"),
        raises(type("<u>", (Exception,), {})("<s>")),
    ],
)
def test_nothing_a_candidate_says_becomes_markup(candidate):
    html = ask(candidate)._repr_html_()
    assert not [tag for tag in ("<script", "<img", "<b>'", "<i>", "<u>", "<s>") if tag in html]
    assert "&lt;" in html


def test_the_card_of_an_unreadable_formula_keeps_the_mark_in_its_place():
    verdict = refused(r"\mu + \wrong", "cannot be read")
    assert repr(verdict).count("\n") == 2
    html = verdict._repr_html_()
    pre = html[html.index("<pre") : html.index("</pre>")]
    assert r"\wrong" in pre and "^" in pre


def test_a_left_hand_side_of_ones_own_is_not_vouched_for():
    note = "Only this side of the formula was checked."
    right = r"\frac12(\mu^2+\sigma^2-1-\log\sigma^2)"
    assert note not in ask(right).sentence
    assert ask(f"-D = {right}").ok and note in ask(f"-D = {right}").sentence
    assert note not in ask(find("3.7").latex).sentence


def test_verdicts_are_the_same_in_another_process():
    import subprocess

    code = """if True:
        import torch
        from genart_lessons.equations import find
        from genart_lessons.proof import judge
        torch.manual_seed(123)
        own = lambda mu, log_var, eps: mu + log_var.exp() * torch.randn_like(eps)
        print(judge(find("3.7"), lambda mu, log_var: mu + log_var))
        print(judge(find("3.12"), own), judge(find("3.13"), lambda mu, sigma, eps: eps))
    """
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8",
             "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"},
    ).stdout  # fmt: skip
    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(code)
    assert here.getvalue() == there and there.count("✘") == 3


# -- progress ------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENART_HOME", str(tmp_path / "home"))
    assert runtime.home() == tmp_path / "home"
    return runtime.home()


def test_progress_is_kept_and_a_later_failure_does_not_undo_it(home):
    assert verify("3.7", kl).ok
    assert verify("3.7", r"\mu").ok is False
    assert verify("3.8", ...).ok is None
    kept = progress.load()
    assert set(kept) == {"3.7"}
    assert kept["3.7"]["verified"] is True and kept["3.7"]["tries"] == 2


def test_progress_of_another_kernel_is_merged(home):
    verify("3.7", kl)
    kept = json.loads(progress.path().read_text())
    kept["0.1"] = {"verified": True, "tries": 5, "when": 1}
    progress.path().write_text(json.dumps(kept))
    verify("3.9", r"\mu")
    assert {id: e["verified"] for id, e in progress.load().items()} == {
        "3.7": True, "0.1": True, "3.9": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[1]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"3.7": {}}\x00']
)
def test_a_damaged_file_is_set_aside(home, damage, capsys):
    progress.path().write_bytes(damage)
    assert verify("3.7", kl).ok
    assert progress.load()["3.7"]["verified"] is True
    assert (home / "progress.damaged.json").read_bytes() == damage
    assert "damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "odd", ['{"3.7": 5}', '{"3.7": {"tries": "x"}}', '{"3.7": {"verified": "yes", "tries": null}}']
)
def test_odd_entries_do_no_harm(home, odd):
    progress.path().write_text(odd)
    assert verify("3.7", r"\mu").ok is False
    assert progress.load()["3.7"] == {
        "verified": False, "tries": 1, "when": progress.load()["3.7"]["when"],
    }  # fmt: skip


def test_a_folder_that_cannot_be_written_does_not_stop_a_check(home, monkeypatch, capsys):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runtime, "atomic_write", full)
    assert verify("3.7", kl).ok
    assert "could not be written" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_does_not_stop_a_check(home, capsys):
    home.chmod(stat.S_IREAD | stat.S_IEXEC)
    try:
        assert verify("3.7", kl).ok
    finally:
        home.chmod(stat.S_IRWXU)
    assert "could not be written" in capsys.readouterr().out


def test_a_home_that_is_no_folder_does_not_stop_a_check(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENART_HOME", str(tmp_path / "file"))
    assert verify("3.7", kl).ok
    assert "could not be written" in capsys.readouterr().out


def test_a_near_miss_without_a_candidate_would_be_seen():
    """The registry's own candidates are judged like anybody's: a broken one names nothing."""
    broken = Equation(
        "9.3", "t", "x", "x", "", lambda x: x, Numeric(points(x=uniform(0, 1))),
        near_misses=(NearMiss(lambda x: 1 / 0, "never said"),),
    )  # fmt: skip
    verdict = judge(broken, lambda x: 2 * x)
    assert verdict.ok is False and verdict.mistake is None


def test_a_table_of_numbers_is_asked_for_by_its_entries():
    verdict = judge(find("8.3"), r"\frac{1}{2CN}\lVert F-P\rVert^2")
    assert "F is a table of numbers: write F_{ij} under two sums" in verdict.sentence
