"""Evidence by sampling: judged by standard errors, and on the distribution, not on two moments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from genart_lessons.proof.candidate import CandidateError, NotTried
from genart_lessons.proof.equation import Equation
from genart_lessons.proof.evidence import (
    SEED,
    Trial,
    known_mistake,
    refuse,
    relative_error,
    shape_complaint,
    try_out,
)  # fmt: skip
from genart_lessons.proof.verdict import Verdict
from genart_lessons.proof.words import apart, listed, number

TOO_FAR = 4.5  # standard errors: a right candidate is refused about 7 times in a million
TOO_FAR_ANYWHERE = 6.5  # the same where there are ten thousand places to look
TOO_RARE = 1e-5  # the same, for the Kolmogorov-Smirnov test's p-value
Case = dict[str, Any]  # a parameter's value: a number, a list of them, or a tensor as it is
Fresh = Callable[..., Tensor | tuple[Tensor, ...]]  # (count, generator, **case) → (count, …) each


def gaussian(count: int, generator: torch.Generator, **case: Any) -> Tensor:
    """Standard normal noise, whatever the case: (count,)."""
    return torch.randn(count, generator=generator, dtype=torch.float64)


def flat(count: int, generator: torch.Generator, **case: Any) -> Tensor:
    """Noise that is uniform on [0, 1), whatever the case: (count,)."""
    return torch.rand(count, generator=generator, dtype=torch.float64)


@dataclass(frozen=True)
class _Noise:
    """The arguments that chance decides: their names, and how they are drawn."""

    names: tuple[str, ...]
    fresh: Fresh

    @classmethod
    def of(cls, names: str | tuple[str, ...], fresh: Fresh) -> "_Noise":
        return cls((names,) if isinstance(names, str) else names, fresh)

    def drawn(self, count: int, generator: torch.Generator, case: Case) -> dict[str, Tensor]:
        made = self.fresh(count, generator, **case)
        made = made if isinstance(made, tuple) else (made,)
        return dict(zip(self.names, made, strict=True))


@dataclass(frozen=True)
class Draws:
    """The candidate turns noise into draws, which must follow ``law(**case)`` in every case.

    ``law`` returns a frozen scipy distribution, or a number where nothing is left to chance.
    ``noise`` is the argument, or the arguments, that ``fresh`` draws: standard normal unless said
    otherwise. ``differentiable`` names the arguments that a gradient must reach, and rightly.
    """

    cases: tuple[Case, ...]
    law: Callable[..., Any]
    noise: str | tuple[str, ...] = "eps"
    fresh: Fresh = gaussian
    differentiable: tuple[str, ...] = ()
    count: int = 20_000
    kind: str = "sampling"

    def examine(self, equation: Equation, given: Any) -> Verdict:
        trials = [self._try(equation, given, case) for case in self.cases]
        complaint = shape_complaint(trials[0].got, torch.empty(self.count))
        if complaint:
            return refuse(equation, complaint, self.kind)
        for case, trial in zip(self.cases, trials, strict=True):
            fault = (
                self._cut_off(trial)
                or _law_fault(trial.got.detach().numpy(), self.law(**case))
                or self._gradient_fault(trial, case)
            )
            if fault:
                return _wrong(trial, case, fault, _same_law(trials))
        fault = _company_fault(
            trials, self.cases, _Noise.of(self.noise, self.fresh),
            lambda draws, k: _law_fault(draws, self.law(**self.cases[k])),
        )  # fmt: skip
        if fault:
            return refuse(equation, f"{fault}.", self.kind)
        sentence = (
            f"{self.count:,} draws in each of {len(self.cases)} cases follow the stated law (mean "
            "and spread by their standard errors, shape by Kolmogorov-Smirnov)"
        )
        if self.differentiable:
            reached = " and ".join(self.differentiable)
            sentence += f", and the gradient reaches {reached} with the right value"
        return Verdict(equation.id, True, equation.title, f"{sentence}.", self.kind)

    def _try(self, equation: Equation, given: Any, case: dict[str, Any]) -> Trial:
        arguments = _arguments(case, _Noise.of(self.noise, self.fresh), self.count)
        for name in self.differentiable:
            arguments[name].requires_grad_()
        return try_out(equation, given, arguments, keep_graph=True)

    def _cut_off(self, trial: Trial) -> str:
        for name in self.differentiable:
            if _gradient(trial, name) is None:
                return f"no gradient reaches {name}: the draw is cut off from it"
        return ""

    def _gradient_fault(self, trial: Trial, case: Case) -> str:
        """A draw must move with a parameter as the law does: ∂z/∂θ = −(∂F/∂θ) / density, at z.

        That holds for every smooth way to turn one noise into the law, so no way is preferred.
        """
        z, step = trial.got.detach().numpy(), 1e-5
        for name in self.differentiable:
            ahead, behind = (self.law(**{**case, name: case[name] + s}) for s in (step, -step))
            speed = -(ahead.cdf(z) - behind.cdf(z)) / (2 * step) / self.law(**case).pdf(z)
            gradient = _gradient(trial, name)
            assert gradient is not None, "_cut_off comes first"
            got = gradient.numpy()
            central = np.abs(z - np.median(z)) < 3 * z.std()  # beyond, cdf has too few digits
            off = np.abs(got - speed) > 1e-4 * np.maximum(1, np.abs(speed))
            if (off & central).any():
                k = int(np.argmax(off & central))
                given, right = apart(float(got[k]), float(speed[k]))
                return (
                    f"the gradient by {name} is wrong: where the draw is {number(float(z[k]))} it "
                    f"is {given} and should be {right}"
                )
        return ""


def _gradient(trial: Trial, name: str) -> Tensor | None:
    if not trial.got.requires_grad:
        return None
    inputs = trial.arguments[name]
    return torch.autograd.grad(trial.got.sum(), inputs, retain_graph=True, allow_unused=True)[0]


def _same_law(trials: list[Trial]) -> str | None:
    """The near miss whose draws these are in every case: number by number, or as one law."""
    return _same_draws(trials, lambda a, b: bool(stats.ks_2samp(a, b).pvalue > 0.01))


def _same_draws(trials: list[Trial], as_one_law: Callable[[Tensor, Tensor], bool]) -> str | None:

    def alike(trial: Trial, other: Any) -> bool:
        try:
            values = try_out(trial.equation, other, trial.arguments, keep_graph=True).got
        except (CandidateError, NotTried):
            return False
        if values.shape != trial.got.shape or values.requires_grad != trial.got.requires_grad:
            return False
        a, b = values.detach(), trial.got.detach()
        return torch.allclose(a, b, rtol=1e-5, atol=1e-5) or as_one_law(a, b)

    for miss in trials[0].equation.near_misses:
        if all(alike(trial, miss.candidate) for trial in trials):
            return miss.says
    return None


def _company_fault(
    trials: list[Trial], cases: tuple[Case, ...], noise: _Noise,
    law_fault: Callable[[np.ndarray, int], str] | None = None, discrete: bool = False,
) -> str:  # fmt: skip
    """Each answer comes from its own parameters and its own noise, and from nobody else's.

    All cases are shuffled into one: the answers must be the old ones, shuffled. A candidate that
    ignores ``noise`` and draws its own is no sinner: then every case must keep its law in the
    mixture (``law_fault`` of its draws is ""), and neighbours have nothing to do with each other.
    """
    by_chance = (k for k, trial in enumerate(trials) if float(trial.got.detach().std()) > 1e-9)
    one = next(by_chance, 0)  # where nothing is left to chance, all answers are alike
    first = trials[one]
    count = len(first.got)
    generator = torch.Generator().manual_seed(SEED + 2)
    place = torch.randperm(count, generator=generator)
    case = torch.arange(count) % len(trials)

    def shuffled(rows: list[Tensor]) -> Tensor:
        return torch.stack([row.detach() for row in rows])[case, place]

    def ask(arguments: dict[str, Tensor]) -> Tensor:
        return try_out(first.equation, first.candidate.given, arguments).got

    got = ask({n: shuffled([t.arguments[n] for t in trials]) for n in first.arguments})
    expected = shuffled([t.got for t in trials])
    if got.shape == expected.shape and bool((relative_error(got, expected) < 1e-6).all()):
        return ""
    draws, names = first.got.detach(), ", ".join(noise.names)
    alone = f"an answer must depend on its own {names} and parameters"
    fresh = noise.drawn(count, generator, cases[one])
    if bool((ask({**first.arguments, **fresh}) != draws).any()):
        return f"{alone} alone"
    if law_fault and any(law_fault(got[case == k].numpy(), k) for k in range(len(trials))):
        return f"{alone} alone"
    draws = draws[:, 0] if draws.ndim > 1 else draws
    neighbours = float(np.corrcoef(draws[1:], draws[:-1])[0, 1]) * count**0.5
    repeated = _repeats(draws) if discrete else len(draws.unique()) < 0.9 * count
    if abs(neighbours) > TOO_FAR or repeated:
        return "the answers are not independent of each other"
    return ""


def _repeats(symbols: Tensor) -> bool:
    """Have symbols something to do with those at some distance, as where half are drawn twice?"""
    spectrum = torch.fft.rfft(symbols - symbols.mean()).abs().square()
    together = torch.fft.irfft(spectrum, n=len(symbols))[: len(symbols) // 2 + 1]
    at_distance = (together / together[0]).abs() * len(symbols) ** 0.5
    return bool((at_distance[1:] > TOO_FAR_ANYWHERE).any())


def _law_fault(draws: np.ndarray, law: Any) -> str:
    if not np.isfinite(draws).all():
        return "some draws are not finite"
    if isinstance(law, float):
        return _sure_fault(draws, law)
    mean, sd = draws.mean(), draws.std()
    if abs(mean - law.mean()) > TOO_FAR * law.std() / len(draws) ** 0.5:
        given, right = apart(mean, law.mean())
        return f"the draws' mean is {given} and should be {right}"
    fourth = law.expect(lambda x: (x - law.mean()) ** 4)
    spread_se = ((fourth - law.var() ** 2) / len(draws)) ** 0.5 / (2 * law.std())
    if abs(sd - law.std()) > TOO_FAR * spread_se:
        given, right = apart(sd, law.std())
        return f"the draws' standard deviation is {given} and should be {right}"
    if stats.kstest(draws, law.cdf).pvalue < TOO_RARE:
        tail = (((draws - mean) / sd) ** 4).mean()
        return (
            "mean and standard deviation are right but the shape is not: the fourth moment is "
            f"{number(tail, 2)} and should be {number(fourth / law.var() ** 2, 2)}"
        )
    return ""


def _sure_fault(draws: np.ndarray, value: float) -> str:
    """Nothing is left to chance here: every draw is ``value``."""
    off = np.abs(draws - value)
    if off.max() <= 1e-5 * max(1.0, abs(value)):
        return ""
    if draws.std() > 1e-5 * max(1.0, abs(value)):
        return f"nothing is left to chance here, and the draws vary by {number(draws.std(), 2)}"
    given, right = apart(float(draws[0]), value)
    return f"every draw is {given} and should be {right}"


@dataclass(frozen=True)
class View:
    """One number that is seen of a pair, and its law: ``look`` makes (count,) of (count, 2)."""

    words: str
    look: Callable[[Any], Any]
    law: Callable[..., Any]


@dataclass(frozen=True)
class Pairs:
    """The candidate turns noise into points of the plane, (count, 2): judged from many sides.

    Each view must follow its law in every case. If all shadows of a cloud of points, in every
    direction, are right, then so is the cloud (Cramér and Wold 1936).
    """

    cases: tuple[Case, ...]
    views: tuple[View, ...]
    noise: str | tuple[str, ...] = "eps"
    fresh: Fresh = gaussian
    count: int = 20_000
    kind: str = "sampling"

    def examine(self, equation: Equation, given: Any) -> Verdict:
        noise = _Noise.of(self.noise, self.fresh)
        trials = [
            try_out(equation, given, _arguments(case, noise, self.count)) for case in self.cases
        ]
        complaint = shape_complaint(trials[0].got, torch.empty(self.count, 2))
        if complaint:
            return refuse(equation, complaint, self.kind)
        for case, trial in zip(self.cases, trials, strict=True):
            fault = self._fault(trial.got.numpy(), case)
            if fault:
                return _wrong(trial, case, fault, _same_draws(trials, self._alike))
        fault = _company_fault(
            trials, self.cases, noise, lambda draws, k: self._fault(draws, self.cases[k])
        )
        if fault:
            return refuse(equation, f"{fault}.", self.kind)
        sentence = (
            f"{self.count:,} pairs, seen from {len(self.views)} sides: every view follows its law "
            "(mean and spread by their standard errors, shape by Kolmogorov-Smirnov)."
        )
        return Verdict(equation.id, True, equation.title, sentence, self.kind)

    def _fault(self, pairs: np.ndarray, case: Case) -> str:
        for view in self.views:
            fault = _law_fault(view.look(pairs), view.law(**case))
            if fault:
                return f"{view.words}: {fault}"
        return ""

    def _alike(self, a: Tensor, b: Tensor) -> bool:
        looks = ((view.look(a.numpy()), view.look(b.numpy())) for view in self.views)
        return all(stats.ks_2samp(*pair).pvalue > 0.01 for pair in looks)


@dataclass(frozen=True)
class Picks:
    """The candidate turns noise into symbols 0, 1, …, which must come as often as ``law`` says.

    ``law(**case)`` gives their probabilities. ``noise`` is the argument that gets draws which are
    uniform on [0, 1); a candidate may draw its own noise instead.
    """

    cases: tuple[Case, ...]
    law: Callable[..., Tensor]
    noise: str = "u"
    count: int = 20_000
    kind: str = "sampling"

    def examine(self, equation: Equation, given: Any) -> Verdict:
        noise = _Noise.of(self.noise, flat)
        trials = [
            try_out(equation, given, _arguments(case, noise, self.count)) for case in self.cases
        ]
        complaint = shape_complaint(trials[0].got, torch.empty(self.count))
        if complaint:
            return refuse(equation, complaint, self.kind)
        laws = [self._law(case) for case in self.cases]
        for case, trial, law in zip(self.cases, trials, laws, strict=True):
            fault = _frequency_fault(trial.got.numpy(), law)
            if fault:
                return _wrong(trial, case, fault, _same_draws(trials, _same_frequencies))
        fault = _company_fault(
            trials, self.cases, noise, lambda draws, k: _frequency_fault(draws, laws[k]), True
        )
        if fault:
            return refuse(equation, f"{fault}.", self.kind)
        sentence = (
            f"{self.count:,} draws in each of {len(self.cases)} cases: every symbol comes as often "
            "as its probability says (by standard errors, and by chi-square)."
        )
        return Verdict(equation.id, True, equation.title, sentence, self.kind)

    def _law(self, case: Case) -> np.ndarray:
        given = {n: torch.as_tensor(v, dtype=torch.float64)[None] for n, v in case.items()}
        return self.law(**given)[0].numpy()


def _frequency_fault(draws: np.ndarray, law: np.ndarray) -> str:
    """In words, which symbol comes too often or too seldom; "" where all is as it should be."""
    odd = draws[~np.isin(draws, np.arange(len(law)))]
    if len(odd):
        return f"one draw is {number(float(odd[0]))}, but the symbols are 0 to {len(law) - 1}"
    count = len(draws)
    seen = np.bincount(draws.astype(int), minlength=len(law))
    if seen.max() == count > 1 and law.max() < 1:
        return f"all {count:,} draws are the symbol {int(seen.argmax())}"
    can = law > 0
    if seen[~can].any():
        return f"symbol {int(np.argmax(seen * ~can))} comes, and its probability is 0"
    se = np.sqrt(law * (1 - law) / count)
    off = np.abs(seen / count - law) / np.maximum(se, 1e-12)
    if off.max() > TOO_FAR or stats.chisquare(seen[can], count * law[can]).pvalue < TOO_RARE:
        k = int(off.argmax())
        given, right = apart(float(seen[k] / count), float(law[k]))
        return (
            f"symbol {k} comes with frequency {given} ± {number(se[k], 1)} and should with {right}"
        )
    return ""


def _same_frequencies(a: Tensor, b: Tensor) -> bool:
    """Could both be draws from one law? Where each is one symbol only, they must be the same."""
    symbols, which = torch.cat([a, b]).unique(return_inverse=True)
    counts = [torch.bincount(w, minlength=len(symbols)) for w in which.split([len(a), len(b)])]
    if len(symbols) == 1 or torch.equal(*counts):
        return True
    return bool(stats.chi2_contingency(torch.stack(counts).numpy()).pvalue > 0.01)


@dataclass(frozen=True)
class Estimate:
    """The candidate turns noise into independent estimates, whose mean must be ``truth(**case)``.

    ``needs`` is the largest standard error at which the answer still means something; noisier
    estimates are "not decided" rather than right. ``noise`` is what ``fresh`` draws, (count, …).
    """

    cases: tuple[Case, ...]
    truth: Callable[..., float]
    needs: float
    noise: str | tuple[str, ...] = "eps"
    fresh: Fresh = gaussian
    count: int = 200_000
    kind: str = "sampling"

    def examine(self, equation: Equation, given: Any) -> Verdict:
        noise = _Noise.of(self.noise, self.fresh)
        trials = [
            try_out(equation, given, _arguments(case, noise, self.count)) for case in self.cases
        ]
        complaint = shape_complaint(trials[0].got, torch.empty(self.count))
        if complaint:
            return refuse(equation, complaint, self.kind)
        mistake = known_mistake(*trials)
        for case, trial in zip(self.cases, trials, strict=True):
            fault = self._fault(trial, self.truth(**case))
            if fault:
                return _wrong(trial, case, fault, mistake)
        if mistake:
            return Verdict(equation.id, False, equation.title, f"{mistake}.", self.kind, mistake)
        fault = _company_fault(trials, self.cases, noise)
        if max(float(trial.got.std()) for trial in trials) < 1e-9:
            fault = "it gives the same number whatever the noise is, so nothing is estimated"
        if fault:
            return refuse(equation, f"{fault}.", self.kind)
        for case, trial in zip(self.cases, trials, strict=True):
            doubt = self._doubt(trial.got)
            if doubt:
                sentence = f"not decided: {doubt} ({listed(_words(case))})."
                return Verdict(equation.id, None, equation.title, sentence, self.kind)
        sentence = (
            f"unbiased: in each of {len(self.cases)} cases the mean of {self.count:,} estimates is "
            f"within {TOO_FAR} standard errors of the exact value."
        )
        return Verdict(equation.id, True, equation.title, sentence, self.kind)

    def _fault(self, trial: Trial, truth: float) -> str:
        got, quantity = trial.got, trial.equation.quantity
        if not bool(torch.isfinite(got).all()):
            return "some estimates are not finite"
        mean, se = float(got.mean()), float(got.std()) / len(got) ** 0.5
        if abs(mean - truth) > TOO_FAR * max(se, 1e-12):
            return (
                f"the mean of {self.count:,} estimates is {number(mean, 2)} ± {number(se, 1)}; "
                f"{quantity} is {number(truth, 2)}"
            )
        return ""

    def _doubt(self, got: Tensor) -> str:
        spread = (got - got.mean()).square()
        if float(spread.max()) > 0.05 * float(spread.sum()):
            return "one estimate outweighs all the others; is the variance finite?"
        se = float(got.std()) / len(got) ** 0.5
        return f"the standard error is {number(se, 2)}, too wide to tell" if se > self.needs else ""


def _wrong(trial: Trial, case: Case, fault: str, mistake: str | None) -> Verdict:
    at, equation = _words(case), trial.equation
    sentence = f"{fault} ({listed(at)})." if at else f"{fault}."
    if mistake:
        where = f"At {listed(at)}: {fault}" if at else fault[:1].upper() + fault[1:]
        sentence = f"{mistake}. {where}."
    kind = equation.evidence.kind
    return Verdict(equation.id, False, equation.title, sentence, kind, mistake, at)


def _words(case: Case) -> dict[str, str]:
    return {name: number(torch.as_tensor(value)) for name, value in case.items()}


def _arguments(case: Case, noise: _Noise, count: int) -> dict[str, Tensor]:
    """The case's parameters, (count,) or (count, d), and its noise."""
    generator = torch.Generator().manual_seed(SEED)
    arguments = {}
    for name, value in case.items():
        given = isinstance(value, Tensor)  # such as a step, which is a whole number
        one = value if given else torch.as_tensor(value, dtype=torch.float64)
        arguments[name] = one.expand(count, *one.shape).clone()
    return {**arguments, **noise.drawn(count, generator, case)}
