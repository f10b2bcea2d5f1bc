"""Formulas with two indices: matrices, products of rows, brackets, and sums that end early."""

import pytest
import sympy
import torch
from torch.nn import functional as F

from genart_lessons.proof import (
    Definition,
    Equation,
    Jacobian,
    LatexError,
    NearMiss,
    Numeric,
    judge,
)
from genart_lessons.proof.candidate import kind_of
from genart_lessons.proof.draws import normal, points, uniform
from genart_lessons.proof.evaluate import evaluate
from genart_lessons.proof.exact import _vanishes
from genart_lessons.proof.latex import parse


def random(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, generator=generator, dtype=torch.float64)


VALUES = {
    "q": random(0, 3, 4), "k": random(1, 3, 4), "s": random(2, 3, 3), "m": random(3, 3),
    "c": random(4), "heads": random(5, 2, 3, 4),
}  # fmt: skip
KINDS = {name: kind_of(name, value.ndim) for name, value in VALUES.items()}
Q, K, S, M, C, _ = VALUES.values()
DOT = Q @ K.mT
UP_TO = torch.ones(3, 3, dtype=torch.float64).tril().expand(2, 3, 3)
AT_T, AT_J = M.unsqueeze(2).expand(2, 3, 3), M.unsqueeze(1).expand(2, 3, 3)


def value(source: str) -> torch.Tensor:
    return evaluate(parse(source, KINDS, "tj"), VALUES, "tj")


READ = {
    r"s_{tj}": S, r"s_{t,j}": S, r"s_{t j}": S, r"s_{jt}": S.mT,
    r"m_t": AT_T, r"m_jm_t": AT_J * AT_T, r"c\,s_{tj}": C[:, None, None] * S,
    r"s_{tj}^2": S**2, r"s^2_{tj}": S**2,
    r"q_t\cdot k_j": DOT, r"k_j\cdot q_t": DOT, r"q_j\cdot k_t": DOT.mT, r"2q_t\cdot k_j": 2 * DOT,
    r"q_t^\top k_j": DOT, r"q_t^{\top}k_j": DOT, r"q_t^T k_j": DOT, r"q_tk_j^\top": DOT,
    r"\mathbf{q}_t\cdot\mathbf{k}_j": DOT, r"\langle q_t,k_j\rangle": DOT,
    r"\left\langle q_t, k_j\right\rangle^2": DOT**2, r"(q_t\cdot k_j)^2": DOT**2,
    r"\frac{q_t\cdot k_j}{c}": DOT / C[:, None, None], r"q_t\cdot k_j/c": DOT / C[:, None, None],
    r"\sum_iq_{ti}k_{ji}": DOT, r"\exp(q_t\cdot k_j)": DOT.exp(),
    r"\sum_i q_i\cdot k_j": DOT.sum(1, keepdim=True).expand(2, 3, 3),
    r"[j\le t]": UP_TO, r"[j\leq t]": UP_TO, r"[t\ge j]": UP_TO, r"[j<t+1]": UP_TO,
    r"[j≤t]": UP_TO, r"1-[j>t]": UP_TO, r"\big[j\le t\big]": UP_TO, r"[j-1<t]": UP_TO,
    r"\mathbf{1}[j\le t]": UP_TO, r"\mathbb{1}\{j\le t\}": UP_TO, r"\mathbf 1_{j\le t}": UP_TO,
    r"\mathbb{1}_{[j\le t]}": UP_TO, r"1_{\{j\le t\}}": UP_TO,
    r"[j<t]": UP_TO - torch.eye(3), r"[j\le t-1]": UP_TO - torch.eye(3),
    r"[j=t]": torch.eye(3).expand(2, 3, 3), r"\delta_{tj}": torch.eye(3).expand(2, 3, 3),
    r"\delta_{j,t}": torch.eye(3).expand(2, 3, 3), r"[j\ne t]": 1 - torch.eye(3).expand(2, 3, 3),
    r"1-\delta_{tj}": 1 - torch.eye(3).expand(2, 3, 3),
    r"\sum_{i\le t}m_i": M.cumsum(-1).unsqueeze(2).expand(2, 3, 3),
    r"\sum_{i=1}^{t}m_i": M.cumsum(-1).unsqueeze(2).expand(2, 3, 3),
    r"\sum_{i<t}m_i": (M.cumsum(-1) - M).unsqueeze(2).expand(2, 3, 3),
    r"\sum_{i=1}^{t-1}m_i": (M.cumsum(-1) - M).unsqueeze(2).expand(2, 3, 3),
    r"m_tm_j\sum_{i,l}s_{il}": S.sum((1, 2))[:, None, None] * AT_T * AT_J,
    r"\operatorname{sgn}(s_{tj})": S.sign(), r"\mathrm{sign}\,s_{tj}": S.sign(),
    r"\prod_{i\le j}m_i": M.cumprod(-1).unsqueeze(1).expand(2, 3, 3),
    r"\sum_{i\ne j}s_{ti}": S.sum(-1, keepdim=True) - S,
    r"\sum_i[i\le t]m_i": M.cumsum(-1).unsqueeze(2).expand(2, 3, 3),
    r"\sum_i\sum_{l\le i}s_{il}m_tm_j": (S * UP_TO).sum((1, 2))[:, None, None] * AT_T * AT_J,
    r"\sum_i\sum_l s_{il}[i=t][l=j]": S,
    r"\sum_is_{ii}": S.diagonal(dim1=1, dim2=2).sum(-1)[:, None, None].expand(2, 3, 3),
    r"\Phi(c)m_tm_j": torch.special.ndtr(C)[:, None, None] * AT_T * AT_J,
    r"\mathrm{erf}(s_{tj})": S.erf(), r"\operatorname{erf}\left(s_{tj}\right)": S.erf(),
}  # fmt: skip
REFUSED = {
    r"q_tk_j": "whole row", r"q_t": "whole row", r"q_t^2": "whole row", r"q_t\cdot k_j^2": "row",
    r"q_t\cdot c": "whole row", r"q_t\cdot k_j\cdot q_j": "whole row", r"q_t^\top": "whole row",
    r"\lVert q_t\rVert": "whole row", r"q_t\cdot m_j": "whole row", r"k_j\cdot": "whole row",
    r"\langle q_t k_j\rangle": "expected ,", r"\langle m_t,k_j\rangle": "two rows",
    r"\langle q_t,k_j": "never closed", r"\langle": "ends too early",
    r"[j\le 3]": "two indices", r"[j\le c]": "two indices", r"[j\le t": "never closed",
    r"[1\le j\le t]": "two indices", r"[t=j=t]": "expected ]", r"[j\le t+c]": "how many steps",
    r"[j\le t+99999]": "how many steps", r"[\le t]": "two indices", r"[j\le]": "two indices",
    r"1_2": "indicate", r"\mathbf{1}_{j}": "indicate", r"1_": "indicate",
    r"s_{tjj}": "unknown symbol", r"s_{tx}": "unknown symbol", r"c_{tj}": "unknown symbol",
    r"m_{tj}": "outside its sum", r"\delta_{tx}": "unknown symbol", r"heads_{tj}": "unknown symbol",
    r"\sum_{i\le n}m_i": "another index", r"\sum_{i\le 2}m_i": "another index",
    r"\sum_{i<3}m_i": "another index", r"\sum_{i\le}m_i": "another index",
    r"\sum_{i\ne i}m_i": "another index", r"\sum_{i\le t}^{n}m_i": "another index",
    r"\sum_{i\ge t}m_i": "needs its index", r"\sum_{i=2}^{t}m_i": "whole axis",
    r"\sum_{i=2}^{t-1}m_i": "whole axis", r"\sum_{i=1}^{t-2}m_i": "whole axis",
    r"\sum_{i,l}^{n}s_{il}": "needs its index", r"\sum_{i,i}s_{ii}": "needs its index",
    r"s_{tj}<c": "did not expect <", r"\Phi": "unknown symbol Phi",
}  # fmt: skip


@pytest.mark.parametrize("source", READ)
def test_two_indices_are_read_as_people_write_them(source):
    got = value(source)
    assert got.shape == (2, 3, 3)
    assert torch.allclose(got, READ[source].double(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("source", REFUSED)
def test_what_is_no_formula_with_indices_is_refused_with_a_reason(source):
    with pytest.raises(LatexError, match=REFUSED[source]):
        parse(source, KINDS, "tj")


@pytest.mark.parametrize("length, why", [("t", "whole axis"), ("j", "whole axis")])
def test_a_sympy_sum_that_ends_at_an_index_is_not_taken_for_the_whole(length, why):
    i = sympy.Symbol("i", integer=True)
    part = sympy.Sum(sympy.IndexedBase("m")[i], (i, 1, sympy.Symbol(length, integer=True)))
    with pytest.raises(ValueError, match=why):
        evaluate(part, VALUES, "tj")


def test_indices_of_different_lengths_are_told_apart():
    with pytest.raises(ValueError, match="different lengths"):
        evaluate(parse(r"\sum_i q_{ti}m_i", KINDS, "tj"), VALUES, "tj")
    with pytest.raises(ValueError, match="not an index"):
        evaluate(sympy.Function("at_most", nonnegative=True)(*sympy.symbols("c t")), VALUES, "t")


# -- as an equation --------------------------------------------------------------------------------

_Q = [sympy.symbols(f"q_{t}(:2)") for t in range(3)]
ROWS = Equation(
    id="9.1", title="rows", lhs="x_{tj}", rhs=r"(q_t\cdot k_j)^2", meaning="Nothing.",
    free_index="tj", reference=lambda q, k: (q @ k.mT).square(),
    evidence=Numeric(points(q=normal(3, 2), k=normal(3, 2))),
    near_misses=(
        NearMiss(r"q_t\cdot k_j", "not squared"),
        NearMiss(lambda q, k: q.mT @ k, "columns are multiplied"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("right", [
    ROWS.rhs, r"\Big(\sum_c q_{tc}k_{jc}\Big)^2", r"\sum_c\sum_b q_{tc}k_{jc}q_{tb}k_{jb}",
    r"(q_t\cdot k_j)(k_j\cdot q_t)", r"\sum_i[i=j](q_t\cdot k_i)^2",
])  # fmt: skip
def test_rows_are_proved_by_algebra_without_a_definition(right):
    verdict = judge(ROWS, right)
    assert verdict.ok and verdict.kind == "exact and numeric", verdict


def test_an_answer_of_the_wrong_shape_is_named_if_it_is_known():
    verdict = judge(ROWS, lambda q, k: torch.einsum("ptc,ptd->pcd", q, k))
    assert verdict.mistake == "columns are multiplied"
    assert verdict.sentence == (
        "columns are multiplied. It returned shape (200, 2, 2): it was asked at 200 points at once "
        "and must answer with shape (200, 3, 3)."
    )
    verdict = judge(ROWS, lambda q, k: q.mT @ k + 1)
    assert verdict.mistake is None and verdict.sentence.startswith("it returned shape")


def test_a_function_of_one_point_can_be_mapped_over_all():
    assert judge(ROWS, torch.vmap(lambda q, k: (q @ k.T) ** 2)).ok
    assert judge(ROWS, torch.vmap(lambda k, q: (q @ k.T) ** 2)).ok, "still by name"
    assert judge(ROWS, lambda q, /, k: (q @ k.mT) ** 2).ok
    assert judge(ROWS, lambda a, scale=2, *, k: (a @ k.mT) ** scale).ok


def _slopes(logits):
    p = logits.softmax(-1)
    return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)


def jacobian_of(of) -> Equation:
    return Equation(
        id="9.2", title="slopes", lhs="J", rhs=r"p_i([i=j]-p_j)", meaning="Nothing.",
        free_index="ij", reference=_slopes, symbols={"p": lambda logits: logits.softmax(-1)},
        evidence=Jacobian(points(logits=uniform(-2, 2, 3)), of=of, wrt="logits"),
    )  # fmt: skip


def test_a_jacobian_is_compared_with_autograds():
    softmax = jacobian_of(lambda logits: logits.softmax(-1))
    assert judge(softmax, softmax.rhs).kind == "exact and gradient"
    for wrong in (r"p_j([i=j]-p_i)+[i<j]", r"p_i(1-p_j)", lambda logits: logits.softmax(-1)):
        assert judge(softmax, wrong).ok is False
    other = jacobian_of(lambda logits: F.log_softmax(logits, -1))
    assert judge(other, softmax.rhs).ok is False
    assert judge(other, lambda logits: torch.eye(3) - logits.softmax(-1).unsqueeze(1)).ok
    turned = jacobian_of(lambda logits: logits.softmax(-1) * torch.tensor([1.0, 2.0, 3.0]))
    right = _slopes(random(6, 3)) * torch.tensor([1.0, 2.0, 3.0])[:, None]
    assert torch.allclose(turned.evidence.target(turned, {"logits": random(6, 3)}), right)


# -- algebra ---------------------------------------------------------------------------------------


def test_sines_and_multiples_in_exponents_are_settled_by_algebra():
    x, y, n = sympy.symbols("x y n", real=True)
    sin, cos, exp = sympy.sin, sympy.cos, sympy.exp
    for zero in (
        sin(x - y) - sin(x) * cos(y) + cos(x) * sin(y),
        cos((n - 2) * x) - cos(n * x) * cos(2 * x) - sin(n * x) * sin(2 * x),
        sin(x) ** 2 + cos(x) ** 2 - 1,
        sin(2 * x) - 2 * sin(x) * cos(x),
        (sin(x) ** 4 - cos(x) ** 4) / (sin(x) ** 2 - cos(x) ** 2) - 1,
        exp(2 * x) - exp(x) ** 2,
        exp(2 * x) / (1 + exp(x)) ** 2 - (1 / (1 + exp(-x))) ** 2,
        exp(x / 2) * exp(3 * x / 2) - exp(x) ** 2,
        1 / (1 + exp(-x / 2)) - exp(x / 3) ** 2 / (exp(2 * x / 3) + exp(x / 6)),
        sympy.log(exp(x / 2) + exp(3 * x / 2)) - x / 2 - sympy.log(1 + exp(x)),
    ):
        assert _vanishes(zero, {}), zero
        assert not _vanishes(zero + sympy.Rational(1, 10**12), {}), zero
        assert not _vanishes(zero + x / 10**9, {}), zero


def test_a_definition_may_have_rows():
    definition = Definition(
        "derived (SymPy)",
        lambda: tuple(q[0] * k[0] + q[1] * k[1] for q in _Q for k in _Q),
        {"q": tuple(_Q), "k": tuple(_Q)},
    )
    same = Equation(
        id="9.3", title="rows", lhs="x", rhs=r"q_t\cdot k_j", meaning="Nothing.", free_index="tj",
        reference=lambda q, k: q @ k.mT, definition=definition,
        evidence=Numeric(points(q=normal(3, 2), k=normal(3, 2))),
    )  # fmt: skip
    assert "derived (SymPy)" in judge(same, r"\sum_c k_{jc}q_{tc}").sentence
    assert judge(same, r"q_j\cdot k_t").ok is False
