"""Reading LaTeX: many spellings of the right thing, no reading of what is ambiguous or hostile."""

import random
import re
import time

import pytest
import sympy
import torch

from genart_lessons.equations import find
from genart_lessons.proof import LatexError, judge
from genart_lessons.proof.candidate import kind_of
from genart_lessons.proof.evaluate import evaluate
from genart_lessons.proof.latex import other_way_round, parse
from genart_lessons.proof.spelling import LONGEST
from genart_lessons.proof.tables import axes, has_steps, one_spelling, with_step

NAMES = {"mu": "scalar", "sigma": "scalar", "log_var": "scalar", "x": "scalar", "a": "vector"}
POINT = {
    "mu": torch.tensor([0.3, -1.2], dtype=torch.float64),
    "sigma": torch.tensor([1.7, 0.4], dtype=torch.float64),
    "log_var": torch.tensor([0.2, -2.0], dtype=torch.float64),
    "x": torch.tensor([0.9, 2.5], dtype=torch.float64),
    "a": torch.tensor([[1.0, 2.0, -3.0], [0.5, -0.1, 4.0]], dtype=torch.float64),
}
MU, SIGMA, X, A = (POINT[name] for name in ("mu", "sigma", "x", "a"))


def value(source: str) -> torch.Tensor:
    return evaluate(parse(source, NAMES), POINT)


MEANS = {
    r"\frac12": 0.5 + 0 * X,
    r"\frac 1 2": 0.5 + 0 * X,
    r"\tfrac{1}{2}": 0.5 + 0 * X,
    r"½": 0.5 + 0 * X,
    r".5": 0.5 + 0 * X,
    r"0.50": 0.5 + 0 * X,
    r"\frac{1}{2\pi}": 1 / (2 * torch.pi) + 0 * X,
    r"-x^2": -(X**2),
    r"(-x)^2": X**2,
    r"x^{2}\mu": X**2 * MU,
    r"x^2\mu": X**2 * MU,
    r"2x\mu": 2 * X * MU,
    r"2\cdot x\times\mu": 2 * X * MU,
    r"x - \mu - \sigma": X - MU - SIGMA,
    r"x-(\mu-\sigma)": X - (MU - SIGMA),
    r"x/\sigma/\sigma": X / SIGMA / SIGMA,
    r"1/2(x+\mu)": (X + MU) / 2,
    r"x^{-1}": 1 / X,
    r"x^{1/2}": X**0.5,
    r"\sqrt x": X**0.5,
    r"\sqrt[3]{x}": X ** (1 / 3),
    r"\sqrt2\sigma": 2**0.5 * SIGMA,
    r"e^{-x}": (-X).exp(),
    r"e^x": X.exp(),
    r"\exp(-x)": (-X).exp(),
    r"\exp\{-x\}": (-X).exp(),
    r"\exp\left[-\frac12\log(2\pi)\right]": (2 * torch.pi) ** -0.5 + 0 * X,
    r"\log\sigma^2": 2 * SIGMA.log(),
    r"\log(\sigma^2)": 2 * SIGMA.log(),
    r"\log\left(\sigma^{2}\right)": 2 * SIGMA.log(),
    r"\log{\sigma^2}": 2 * SIGMA.log(),
    r"2\log\sigma": 2 * SIGMA.log(),
    r"\ln\sigma": SIGMA.log(),
    r"\operatorname{log}\sigma": SIGMA.log(),
    r"\mathrm{ln}(\sigma)": SIGMA.log(),
    r"\log^2\sigma": SIGMA.log() ** 2,
    r"(\log\sigma)^2": SIGMA.log() ** 2,
    r"\log((\sigma)^2)": 2 * SIGMA.log(),
    r"\log_2\sigma": SIGMA.log2(),
    r"\log 2\pi\sigma^2": (2 * torch.pi * SIGMA**2).log(),
    r"\log\sigma\log x": SIGMA.log() * X.log(),
    r"x\log\sigma+\mu": X * SIGMA.log() + MU,
    r"\log\frac{x}{\sigma}": (X / SIGMA).log(),
    r"\max(\mu, 0)": MU.clamp(min=0),
    r"\min\{\mu,x\}": torch.minimum(MU, X),
    r"|\mu|": MU.abs(),
    r"\left|\mu\right|": MU.abs(),
    r"\lvert\mu\rvert x": MU.abs() * X,
    r"2|\mu|": 2 * MU.abs(),
    r"|\mu||x|": None,  # ambiguous: ‖
    r"|\mu|\,|x|": MU.abs() * X.abs(),
    r"\left|x-\left|\mu\right|\right|": (X - MU.abs()).abs(),
    r"\left|x\left|\mu\right|x\right|": (X * MU.abs() * X).abs(),
    r"|x-(|\mu|)|": (X - MU.abs()).abs(),
    r"\lVert a\rVert^2": A.square().sum(-1),
    r"\|a\|_2^2": A.square().sum(-1),
    r"\left\|a\right\|^2_2": A.square().sum(-1),
    r"||a||^2": A.square().sum(-1),
    r"‖a‖": A.square().sum(-1).sqrt(),
    r"\frac{1}{2\sigma^2}\|a\|^2": A.square().sum(-1) / (2 * SIGMA**2),
    r"\sum_i a_i": A.sum(-1),
    r"\sum_{i=1}^{n}a_i": A.sum(-1),
    r"\sum\limits_{k=1}^K a_k^2": A.square().sum(-1),
    r"\sum^{n}_{i=1} a^2_i": A.square().sum(-1),
    r"\sum_j a_{j}^{2}+x": A.square().sum(-1) + X,
    r"\sum_i\left(a_i+x\right)": (A + X[:, None]).sum(-1),
    r"x\sum_i a_i\mu": X * A.sum(-1) * MU,
    r"\prod_i a_i": A.prod(-1),
    r"\sum_{i=1}^{3}a_i": A.sum(-1),
    r"\sum_{i=2}^{n}a_i": A[:, 1:].sum(-1),
    r"\prod_{i=3}^{n}a_i": A[:, 2],
    r"\sum_{i=2}^{3}\sum_{j=3}^{n}a_ia_j": A[:, 1:].sum(-1) * A[:, 2],
    r"\sum_{i\in\mathcal{S}}a_i": A.sum(-1),
    r"\sum_i\sum_j a_i a_j^2": A.sum(-1) * A.square().sum(-1),
    r"\sum_i\left(a_i+\sum_j a_j\right)": 4 * A.sum(-1),
    r"\sum_i\sum_j\prod_k (a_i+a_j+a_k)": sum(
        (A[:, i, None] + A[:, j, None] + A).prod(-1) for i in range(3) for j in range(3)
    ),
    r"\sum_i a_i\sum_j a_j^2": A.sum(-1) * A.square().sum(-1),
    r"\mathrm{log\_var}": POINT["log_var"],
    r"log_var": POINT["log_var"],
    r"μ + σ·x − ½": MU + SIGMA * X - 0.5,
    r"σ² μ³": SIGMA**2 * MU**3,
    r"（x＋μ）": X + MU,
    r"\boldsymbol{\mu}+\mathbf{x}": MU + X,
    r"\mu_\theta": MU,
    r"\sigma_{\phi}^2": SIGMA**2,
    r"\sigma^2_\phi": SIGMA**2,
    "$x$": X,
    "$$ x \\tag{3.7} $$": X,
    r"\[x\]": X,
    r"\begin{aligned} y &= x \end{aligned}": X,
    r"y = x": X,
    r"y = z = x.": X,
    r"x \le y": X,
    r"y \geq x": X,
    r"\displaystyle x,": X,
    r"\Bigl(\bigl(x\bigr)\Bigr)": X,
    r"{x}": X,
    "sigma^2 + log(x)": SIGMA**2 + X.log(),
}


@pytest.mark.parametrize("source", [s for s, want in MEANS.items() if want is not None])
def test_it_reads_what_people_write(source):
    assert torch.allclose(value(source), MEANS[source], rtol=1e-13)


ASKS = {  # what could be meant in two ways, and what the message asks for
    r"\log(\sigma)^2": "inside",
    r"\log\left(\sigma\right)^2": "inside",
    r"(x-\mu)^2/2\sigma^2": "under the line",
    r"x/2\sigma": "under the line",
    r"1/2\sigma^2": "under the line",
    r"\log x/\sigma": "end here",
    r"\log x\cdot\sigma": "end here",
    r"\sin^{-1}x": "inverse",
    r"x^2^2": "two powers",
    r"2 3": "side by side",
    r"x^-1": "braces",
    r"\log -x": "brackets",
    r"\sum_i a_i^2+a_i": "outside its sum",
}


@pytest.mark.parametrize("source", ASKS)
def test_it_asks_where_two_things_could_be_meant(source):
    with pytest.raises(LatexError, match=ASKS[source]):
        value(source)


REFUSED = {
    "": "no formula",
    "=": "no formula",
    "x=": "no formula",
    "\\": "did not expect",
    "^2": "did not expect",
    "_": "did not expect",
    "x^": "too early",
    "x+": "too early",
    r"\frac": "too early",
    r"\frac{1}": "too early",
    r"\frac{1}{": "too early",
    r"\left": "no formula",
    "(x": "never closed",
    "x)": "did not expect",
    "(x]": "expected",
    "|x": "never closed",
    r"\|x": "never closed",
    r"\left|x\right\|": "expected",
    "||": "too early",
    r"\sqrt": "too early",
    r"\hat": "unknown",
    r"\sum": "needs its index",
    r"\sum_{": "never closed",
    r"\sum_{i=1}^{n}": "too early",
    r"\sum_{i=1}^{n-1}a_i": "whole axis",
    r"\sum_{i=1}^{2n}a_i": "whole axis",
    r"\sum_{i=0}^{n}a_i": "whole axis",
    r"\sum_{i=1}^{3n}a_i": "whole axis",
    r"\sum_{i=n}^{3}a_i": "whole axis",
    r"\sum_{i,j}a_i": "has the indices i and j",
    r"\mathbb{E}": "under which distribution",
    r"\mathbb{E}[x]": "under which distribution",
    r"\mathbb{E}_q[x]": "unknown distribution",
    r"D_{KL}(p\Vert q)": "unknown distribution",
    r"D_{KL}(p": "missing",
    "y": "unknown symbol y; this equation knows: mu, sigma",
    "x_i": "unknown symbol",
    r"\sum_i x_i": "no index i",
    r"\lVert a\rVert_1": "Euclidean",
    r"\max_{x}(\mu)": "no subscript",
    r"\log(x,\mu)": "one argument",
    "x!": "did not expect !",
    "f'(x)": "unknown symbol f",
    "0.5*x**2": "Python",
    "9" * 3999: "too large",
    "9^{9^{9}}": "not checked|too large",
    "9^{9^{9^{9}}}": "not checked|too large",
    "(9^{99})^{99}": "too large",
    r"2^{-10^{9}}": "not checked",
    r"x^{1000}": "not checked",
    r"e^{e^{e^{e^{100}}}}": "not checked",
    r"\exp(\exp(\exp(\exp(100))))": "not checked",
    r"\max(\exp(\exp(\exp(100))),1)": "not checked",
    r"x^{1/0}": "not checked",
    r"\max(\sqrt{-1},1)": "no value",
    "(" * 500 + "x" + ")" * 500: "deep",
    r"\sqrt" * 700 + "x": "deep",
    "{" * 10**5: "longer than",
    "x" * (LONGEST + 1): "longer than",
    "\frac12": 'put r before the quotes, r"…"',
    "\\log\theta": 'put r before the quotes, r"…"',
    "\beta": 'put r before the quotes, r"…"',
    r"__import__('os').system('true')": "did not expect",
    r"x.__class__": "did not expect",
    r"\input{/etc/passwd}": r"did not expect \\input",
    "x\x00": "did not expect",
    "😀": "did not expect",
    "٣": "did not expect",
}


@pytest.mark.parametrize("source", REFUSED, ids=lambda s: ascii(s[:30]))
def test_it_refuses_with_a_reason(source):
    start = time.monotonic()
    with pytest.raises(LatexError, match=REFUSED[source]) as caught:
        parse(source, NAMES)
    assert time.monotonic() - start < 20  # not for ever
    assert 0 <= caught.value.place <= len(source)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    assert "\x1b" not in str(caught.value) and "\x00" not in str(caught.value)


@pytest.mark.parametrize("length", ["x", "a", r"\mu", "2", "4"])
def test_a_sum_runs_to_the_length_and_not_to_another_number(length):
    with pytest.raises(ValueError, match="whole axis"):
        value(rf"\sum_{{i=1}}^{{{length}}} a_i")


def test_the_mark_points_at_the_place():
    with pytest.raises(LatexError) as caught:
        value(r"x + \sigma + \wrong + 1")
    _, line, mark = str(caught.value).split("\n")
    assert line[mark.index("^") :].startswith(r"\wrong")


def test_no_escape_sequence_reaches_a_terminal():
    with pytest.raises(LatexError) as caught:
        value("\x1b[31mred\x1b[0m")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("source", [r"\frac{1}{0}", "1/0", r"\log(-1)", r"\log 0", r"\sqrt{-1}"])
def test_what_has_no_value_is_not_finite(source):
    assert not torch.isfinite(value(source)).any()


def test_random_rubbish_is_read_or_refused_and_nothing_else():
    pieces = r"""x \mu \sigma a a_i \frac { } ( ) [ ] | \| || \left \right . , + - * / ^ _ 2 12 .5
    \sum_i \sum \log \exp \max \hat \mathrm \mathbb E D_{KL} q(z|x) \Vert = \le \sqrt e ½ ² μ
    \, & \\ ' ! \begin{x} \tag{1} \lVert \rVert \lvert KL log_var ∑ ᵢ \mid \E \x00""".split()
    generator = random.Random(0)
    start = time.monotonic()
    for _ in range(4000):
        source = " ".join(generator.choices(pieces, k=generator.randint(1, 12)))
        try:
            assert isinstance(parse(source, NAMES), sympy.Expr), source
        except LatexError:
            pass
    assert time.monotonic() - start < 200


def test_it_agrees_with_sympys_own_printer():
    """Formulas that SymPy makes up and typesets, read back, have the values that SymPy gives."""
    generator = random.Random(1)
    letters = sympy.symbols("mu sigma x", positive=True)
    point = dict(zip(letters, (0.7, 1.3, 2.1), strict=True))
    values = {str(s): torch.tensor([v], dtype=torch.float64) for s, v in point.items()}
    names = {name: "scalar" for name in values}

    def grow(depth: int) -> sympy.Expr:
        if depth == 0 or generator.random() < 0.2:
            leaf = generator.choice([*letters, sympy.Rational(1, 3), sympy.Integer(2), sympy.pi])
            return leaf
        a, b = grow(depth - 1), grow(depth - 1)
        return generator.choice(
            [a + b, a - b, a * b, a / (b**2 + 1), a**2, sympy.sqrt(a**2 + 1),
             sympy.exp(-(a**2)), sympy.log(a**2 + 2), sympy.Abs(a - b), sympy.tanh(a)]
        )  # fmt: skip

    checked = 0
    for _ in range(150):
        expr = grow(3)
        source = re.sub(r"\\log\{\\left\(", r"\\log{\\left(", sympy.latex(expr))
        try:
            got = float(evaluate(parse(source, names), values))
        except LatexError as error:
            # SymPy typesets log(x)^2 with the power behind the bracket, where we ask what is meant.
            assert "inside" in str(error) or "power above" in str(error), (source, error)
            continue
        assert got == pytest.approx(float(expr.subs(point)), rel=1e-9), source
        checked += 1
    assert checked > 125


# -- what the five articles print, verbatim ------------------------------------------------------

PRINTED = [  # label, equation, LaTeX as printed, right?
    ("B2", "3.3", r"\log p(x)=D_{KL}(q(z\mid x)\Vert p(z\mid x))+\mathcal L(\theta,\phi;x)", True),
    ("B2", "3.3", r"\log p(x) = \mathcal{D}_{KL}(q(z|x) \| p(z|x)) + \mathcal{L}(\theta, \phi; x)",
     True),
    ("B3", "3.3", r"\log p(x)=D_{KL}(q(z\mid x)\Vert p(z\mid x))+\mathbb E_{q(z\mid x)}"
     r"[\log\frac{p(x,z)}{q(z\mid x)}]", True),
    ("B3", "3.3", r"\log p(x) = \mathcal{D}_{KL}(q(z|x) \| p(z|x)) + \mathbb{E}_{q(z|x)}"
     r"\big[\log \frac{p(x,z)}{q(z|x)}\big]", True),
    ("B4", "3.4", r"\mathbb E_{q(z\mid x)}[\log\frac{p(x,z)}{q(z\mid x)}]", True),
    ("B5", "3.5", r"\mathcal L=\mathbb E_{q}[\log p(x\mid z)]-D_{KL}(q(z\mid x;\phi)\Vert p(z))",
     True),
    ("B5", "3.5", r"\mathcal{L}(\theta, \phi; x) = \mathbb{E}_{q(z|x;\phi)}\big[\log p(x|z;\theta)"
     r"\big] - \mathcal{D}_{KL}\big(q(z|x;\phi) \| p(z)\big)", True),
    ("C4", "3.11", r"L_{KL}=-\frac12\sum_{i=1}^{n}(\mu_i^2+\sigma_i^2-1-\log\sigma_i^2)", False),
    ("C4", "3.11",
     r"L_{KL} = -\frac{1}{2} \sum_{i=1}^{n} (\mu_i^2 + \sigma_i^2 - 1 - \log(\sigma_i^2))", False),
    ("C3", "3.16", r"L_{recon}=\lVert x-\hat x\rVert^2", False),
    ("E2", "3.19", r"\mathcal L=\mathbb E_{q_\phi}[\log p_\theta(x\mid z)]-\beta "
     r"D_{KL}(q_\phi(z\mid x)\Vert p(z))", True),
    ("E2", "3.19", r"\mathcal{L}(\theta,\phi;x) = \mathbb{E}_{q_\phi(z|x)}\big[\log p_\theta(x|z)"
     r"\big] - \beta D_{\mathrm{KL}}\big(q_\phi(z|x)\|p(z)\big)", True),
    ("E2", "3.5", r"\mathbb E_{q_\phi}[\log p_\theta(x\mid z)]-D_{KL}(q_\phi(z\mid x)\Vert p(z))",
     True),
    ("A1", "4.1", r"\min_G\max_D V(D,G)=\mathbb E_{x\sim p_{data}}[\log D(x)]"
     r"+\mathbb E_{z\sim p_z}[\log(1-D(G(z)))]", True),
    ("B1", "4.1", r"\min_G \max_D V(D, G) = \mathbb{E}_{x \sim p_{data}(x)}[\log D(x)]"
     r" + \mathbb{E}_{z \sim p_z(z)}[\log(1 - D(G(z)))]", True),
    ("E1", "4.1", r"\min_{G}\max_{D} V(D,G)=\mathbb{E}_{\boldsymbol{x}\sim p_{\text{data}}"
     r"(\boldsymbol{x})}\big[\log D(\boldsymbol{x})\big]+\mathbb{E}_{\boldsymbol{z}\sim "
     r"p_{\boldsymbol{z}}(\boldsymbol{z})}\big[\log(1-D(G(\boldsymbol{z})))\big]", True),
    ("C2", "4.1", r"L_{disc}=\mathbb E_{x\sim p_{data}}[\log D(x)]+\mathbb E_{z\sim p(z)}"
     r"[\log(1-D(G(z)))]", True),
    ("C2", "4.12", r"L_{disc}=\mathbb E_{x\sim p_{data}}[\log D(x)]+\mathbb E_{z\sim p(z)}"
     r"[\log(1-D(G(z)))]", False),
    ("C1", "4.13", r"L_{gen}=\mathbb E_{x\sim p_{data}}[\log(1-D(G(x)))]", False),
    ("D6", "4.13", r"L_G=-\mathbb E_{p_{data}}[\log D]-\mathbb E_z[\log(1-D(G(z)))]", False),
    ("D7", "4.12", r"L_D=-\mathbb E_{p_{data}}[\log D]-\mathbb E_z[\log(1-D(G(z)))]", True),
    ("A3", "4.13", r"\mathbb E_{z\sim p_z}[\log(1-D(G(z)))]", True),
    ("S13", "4.13", r"L_G=-\mathbb E_{z\sim p_z}[\log(1-D(G(z)))]", False),
    ("D1", "4.4", r"D(x)=1", False),
]  # fmt: skip


@pytest.mark.parametrize("label, id, printed, right", PRINTED)
def test_the_articles_formulas_get_the_verdict_they_deserve(label, id, printed, right):
    equation = find(id)
    verdict = judge(equation, printed)
    assert verdict.ok is right, verdict
    assert label in equation.sources
    if right:
        assert "exact" in verdict.kind
    else:
        (miss,) = [m for m in equation.near_misses if m.says == verdict.mistake]
        assert miss.source == label


SAME = {
    "3.7": [
        r"\frac{\mu^2+\sigma^2-1}{2}-\log\sigma",
        r"½(μ² + σ² − 1 − log σ²)",
        r"-\frac{1}{2}\big(1+\log \sigma^2-\mu^2-e^{\log\sigma^2}\big)",
        r"0.5(\mu^2+\exp(\mathrm{log\_var})-1-\mathrm{log\_var})",
        r"\frac12|\mu^2+\sigma^2-1-\log\sigma^2|",
        r"D_{KL}=\frac12(\mu^2+\sigma^2-1-\log\sigma^2)",
    ],
    "3.10": [
        r"\log\frac{\sigma_p}{\sigma_q}+\frac{\sigma^2_q+(\mu_q-\mu_p)^2}{2\sigma^2_p}-\frac12",
        r"\log\sigma_{p}-\log\sigma_{q}+\frac{1}{2\sigma_p^2}|\mu_p-\mu_q|^2"
        r"+\frac{\sigma_{q}^{2}}{2\sigma_{p}^{2}}-\frac12",
        r"\frac12\left(\mathrm{log\_var\_p}-\mathrm{log\_var\_q}+\frac{\sigma_q^2+(\mu_q-\mu_p)^2}"
        r"{\sigma_p^2}-1\right)",
    ],
    "3.11": [
        r"\frac12\left(\lVert\mu\rVert^2+\lVert\sigma\rVert^2-n-\sum_i\log\sigma_i^2\right)",
        r"-\frac12\sum_{j=1}^{d}(1+\log\sigma^2_j-\mu^2_j-\sigma^2_j)",
    ],
    "3.3": [
        r"E_{q(z|x)}[\log\frac{p(x,z)}{q(z|x)}]+KL(q(z|x)||p(z|x))",
        r"\mathbb{E}_{z\sim q(z|x)}[\log p(z,x)-\log q(z|x)]"
        r"+\mathrm{KL}[q_\phi(z|x)\Vert p_\theta(z|x)]",
        r"\mathbb E_q\left[\log p(x|z)p(z)-\log q(z|x)\right]"
        r"+D_{\mathrm{KL}}\left(q(z|x)\,\middle\|\,p(z|x)\right)",
        r"\sum_z q(z|x)\log\frac{p(x,z)}{q(z|x)}+\sum_z q(z|x)\log\frac{q(z|x)}{p(z|x)}",
    ],
    "3.15": [
        r"\sum_i\left(x_i\log\sigma(\ell_i)+(1-x_i)\log(1-\sigma(\ell_i))\right)",
        r"\sum_i\left(x_i\ell_i-\log(1+e^{\ell_i})\right)",
    ],
    "3.16": [
        r"-\frac{\left\|\hat{x}-x\right\|^2_2}{2\sigma^{2}}-D\log\sigma-\frac{D}{2}\log2\pi",
        r"\sum_{i=1}^{D}\left[-\frac{(x_i-\hat{x_i})^2}{2\sigma^2}-\frac12\log(2\pi\sigma^2)\right]",
    ],
    "4.1": [
        r"E_{x∼p_data}[\log D(x)]+E_{z∼p_z}[\log(1-D(G(z)))]",
        r"\mathbb{E}_{x\sim p_{\text{data}}(x)}[\ln D_\phi(x)]+\mathbb{E}_{z\sim p(z)}"
        r"[\ln(1-D_\phi(G_\theta(z)))]",
        r"\mathbb E_{p_{\rm data}}[\log D]+\mathbb E_{z}[\log(1-D(G(z)))]",
        r"\sum_x p_{data}(x)\log D(x)+\sum_z p_z(z)\log(1-D(G(z;\theta_g)))",
    ],
    "4.4": [
        r"\frac{p_{data}}{p_{data}+p_g}",
        r"D^*(x)=\frac{1}{1+\frac{p_g(x)}{p_{\text{data}}(x)}}",
        r"1-\frac{p_g(x)}{p_{data}(x)+p_g(x)}",
        r"\frac{\frac12p_{data}(x)}{m(x)}\cdot\frac{1}{2}\cdot 2",
    ],
    "4.5": [
        r"\frac12D_{KL}\left(p_{data}\,\Big\|\,\frac{p_{data}+p_g}{2}\right)"
        r"+\frac12D_{KL}\left(p_g\,\Big\|\,\frac{p_{data}+p_g}{2}\right)",
        r"\frac12E_{x\sim p_data}[\log\frac{p_data(x)}{m(x)}]+\frac12E_{p_g}[\log\frac{p_g}{m}]",
        r"\frac12KL(p_{data}||m)+\frac12KL(p_g||m)",
    ],
    "4.6": [
        r"V(D^*,G)=-2\log2+2JSD(p_{data}||p_g)",
        r"-\log(4)+2\cdot D_{\mathrm{JS}}(p_{data}\Vert p_g)",
        r"-\log 4+KL\left(p_{data}\middle\|\frac{p_{data}+p_g}{2}\right)"
        r"+KL\left(p_g\middle\|\frac{p_{data}+p_g}{2}\right)",
        r"\mathbb E_{p_{data}}[\log D^*(x)]+\mathbb E_{p_g}[\log(1-D^{\ast}(x))]",
        r"\mathbb E_{p_{data}}[\log D^*]+\mathbb E_{p_g}[\log(1-D^{*})]",
    ],
    "4.7": [r"\log 2+\frac12V", r"\frac12(\log 4+V(D,G))"],
    "4.x1": [r"\frac{\pi p_{data}(x)}{\pi p_{data}(x)+(1-\pi)p_g(x)}"],
    "4.25": [r"(1+\eta^2)(\theta^2+\psi^2)", r"\theta_k^2+\psi_k^2+\eta^2(\theta_k^2+\psi_k^2)"],
    "4.12": [
        r"\mathbb E_{p_{data}}[\log(1+e^{-\ell(x)})]+\mathbb E_{p_z}[\log(1+e^{\ell(G(z))})]",
    ],
    "3.x4": [r"x-\sigma(\ell)", r"x-\frac{1}{1+e^{-\ell}}", r"x-\operatorname{sigmoid}(\ell)"],
    "0.1": [
        r"\frac{1}{\sigma\sqrt{2\pi}}e^{-\frac{(x-\mu)^2}{2\sigma^2}}",
        r"(2\pi\sigma^2)^{-1/2}e^{-(x-\mu)^2/(2\sigma^2)}",
    ],
    "0.4": [r"\log x \ge 1-\frac1x", r"1-x^{-1}", r"\frac{x-1}{x}"],
}  # fmt: skip


@pytest.mark.parametrize("id, source", [(id, s) for id, many in SAME.items() for s in many])
def test_another_way_to_write_it_is_as_right(id, source):
    verdict = judge(find(id), source)
    assert verdict.ok, verdict
    assert "exact" in verdict.kind or "|\\mu" in source, verdict.kind  # |·| is left to the numbers


WORLD = {
    "p_data(x)": "table", "p_g(x)": "table", "p_z(z)": "table", "D(x)": "table", "D(G(z))": "table",
    "p_data": "vector", "eta": "scalar", "pi": "scalar",
}  # fmt: skip
NOT_IN_THIS_WORLD = {
    r"\mathbb{E}_{z\sim p_g}[\log D(x)]": "a distribution of x, not of z",
    r"\mathbb{E}_{x\sim p_z}[\log D(x)]": "a distribution of z, not of x",
    r"\mathbb{E}_{x\sim p_r}[\log D(x)]": "unknown distribution p_r; this equation knows: p_data",
    r"\mathbb{E}_{z\sim p_z}[\log D(x)]": r"x is free in D\(x\)",
    r"\mathbb{E}_{x\sim p_g}[\log D(G(z))]": r"z is free in D\(G\(z\)\)",
    r"\mathbb{E}_{z\sim p_z}[\log D]": "unknown symbol D",
    r"\mathbb{E}_{x}[\log D(x)]": "unknown distribution x",
    r"\log D(x)": r"x is free in D\(x\)",
    r"D_{KL}(p_{data}\Vert p_z)": "not of the same thing",
    r"\mathrm{JSD}(p_{data}\Vert": "never closed",
    r"\mathrm{JSD}(p_{data},p_g)": "‖ is missing",
    r"D_{KL}(p_g\Vert\frac{p_g+1}{2}]": "never closed",
    r"\sum_x x_{(x)}": "unknown symbol x",
    r"D^\ast(x)": "unknown symbol D",
}


@pytest.mark.parametrize("source", NOT_IN_THIS_WORLD)
def test_a_mean_is_taken_over_what_the_table_is_of(source):
    with pytest.raises(LatexError, match=NOT_IN_THIS_WORLD[source]):
        parse(source, WORLD)


def test_a_letter_of_the_equation_is_multiplied_and_not_skipped():
    names = {"theta": "scalar", "psi": "scalar", "pi": "scalar"}
    theta, psi, pi = sympy.symbols("theta psi pi")
    assert parse(r"\psi(\theta)", names) == psi * theta
    assert parse(r"2\pi\psi", names) == 2 * pi * psi
    assert parse(r"2\pi\psi", {"psi": "scalar"}) == 2 * sympy.pi * psi


# -- sequences, step by step -----------------------------------------------------------------------

STEPS = {  # four words of three letters, at two points
    "p(x_t|x_<t)": torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(5)).double(),
    "p(x_t|x_t-1)": torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(6)).double(),
    "p(x_t|x_≤t)": torch.ones(2, 4, 3, dtype=torch.float64),
    "p_data(x)": torch.rand(2, 4, generator=torch.Generator().manual_seed(7)).double(),
    "p(x)": torch.rand(2, 4, generator=torch.Generator().manual_seed(8)).double(),
    "q(x_t|x_<t)": torch.rand(2, 3, generator=torch.Generator().manual_seed(9)).double(),
    "q(x_t+1|x_≤t)": torch.rand(2, 3, generator=torch.Generator().manual_seed(10)).double(),
    "q(x_1)": torch.tensor([0.5, 0.25], dtype=torch.float64),
    "q(x_3|x_1,x_2)": torch.tensor([0.125, 0.75], dtype=torch.float64),
}
KINDS = {name: kind_of(name, table.ndim) for name, table in STEPS.items()}
CHAIN, MARKOV, DATA, MODEL, ONE, NEXT, FIRST, THIRD = (
    STEPS[name] for name in STEPS if name != "p(x_t|x_≤t)"
)
OF_SEQUENCES = {
    r"\prod_{t=1}^{T}q(x_t\mid x_{<t})": ONE.prod(-1),
    r"\prod_i q(x_i|x_{<i})": ONE.prod(-1),
    r"\prod_{t=1}^{3}q_\theta(x_t|x_{<t};\theta)": ONE.prod(-1),
    r"\prod_{t=1}^{T} q(x_t\mid x_1,\dots,x_{t-1})": ONE.prod(-1),
    r"\prod_{t=1}^{T} q(x_t\mid x_1, x_2, \ldots, x_{t-1})": ONE.prod(-1),
    r"\prod_k q(x_k|x_{1:k-1})": ONE.prod(-1),
    r"\prod_k q(x_k|x_{k-1},…,x_1)": ONE.prod(-1),
    r"\prod_t q\left(x_t \,\middle|\, \mathbf{x}_{<t}\right)": ONE.prod(-1),
    r"\prod_t Q(x_t|x_{<t})": None,
    r"\sum_t\log q(x_t|x_{\leq t-1})": ONE.log().sum(-1),
    r"\sum_{t=1}^{T}\log q(x_{t+1}\mid x_{\le t})": NEXT.log().sum(-1),
    r"\sum_t\log q(x_{t+1}|x_1,\dots,x_t)": NEXT.log().sum(-1),
    r"\sum_t\log q(x_{t+1}|x_{<t+1})": NEXT.log().sum(-1),
    r"q(x_1)\,q(x_3\mid x_1,x_2)": FIRST * THIRD,
    r"q(x_1|x_{<1})q(x_3|x_2,x_1)": FIRST * THIRD,
    r"q(x_3|x_{<3})-q(x_3|x_{1:2})": 0 * THIRD,
    r"q(x_1)\prod_{t=2}^{T}q(x_t|x_{<t})": FIRST * ONE[:, 1:].prod(-1),
    r"\sum_x\prod_t p(x_t|x_{<t})": CHAIN.prod(-1).sum(-1),
    r"\sum_x\prod_t P(x_t|x_{<t})": CHAIN.prod(-1).sum(-1),
    r"\sum_{x_1,\dots,x_T}\prod_{t=1}^{T}p(x_t|x_{<t})": CHAIN.prod(-1).sum(-1),
    r"\sum_{x_{1:T}}\prod_i p(x_i|x_{i-1})": MARKOV.prod(-1).sum(-1),
    r"\sum_{x\in\mathcal{X}^T}\prod_i p(x_i|x_{\le i})": 4 + 0 * FIRST,
    r"\sum_t\sum_x p(x)p(x_t|x_{<t})": (MODEL.unsqueeze(-1) * CHAIN).sum((1, 2)),
    r"\mathbb{E}_{x\sim p_{\mathrm{data}}}[\sum_t\log p(x_t|x_{<t})]": (
        (DATA * CHAIN.log().sum(-1)).sum(-1)
    ),
    r"\sum_s\mathbb{E}_{x\sim p}[\log p(x_s|x_{<s})]": (MODEL * CHAIN.log().sum(-1)).sum(-1),
    r"D_{\mathrm{KL}}(p_{\mathrm{data}}\Vert p_\theta)": (DATA * (DATA / MODEL).log()).sum(-1),
}
NOT_OF_SEQUENCES = {
    r"q(x_t\mid x_{<t})": "t is free",
    r"\sum_x p(x_t\mid x_{<t})": "t is free",
    r"\prod_t p(x_t\mid x_{<t})": "x is free",
    r"\prod_t q(x_t\mid x_{\le t})": "unknown distribution",
    r"\prod_t q(x_{t-1}\mid x_t)": "unknown distribution",
    r"\prod_t q(x_t\mid x_{<s})": "unknown distribution",
    r"\mathbb{E}_{x\sim p(x_t|x_{<t})}[x]": "brackets",
    r"\mathbb{E}_{q(x_t|x_{<t})}[x]": "one step",
    r"D_{KL}(q(x_t|x_{<t})\Vert p)": "one step",
    r"\sum_{x_1}\prod_t p(x_t|x_{<t})": "needs its index",
}


@pytest.mark.parametrize("source", OF_SEQUENCES)
def test_a_table_of_steps_is_read_in_every_spelling(source):
    want = OF_SEQUENCES[source]
    if want is None:
        with pytest.raises(LatexError, match="unknown symbol Q"):
            parse(source, KINDS)
        return
    got = evaluate(parse(source, KINDS), STEPS)
    assert torch.allclose(got, want.expand(2), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("source", NOT_OF_SEQUENCES)
def test_a_table_of_steps_needs_its_step(source):
    with pytest.raises(LatexError, match=NOT_OF_SEQUENCES[source]):
        parse(source, KINDS)


def test_a_name_is_only_changed_where_it_names_the_same():
    same = ["p(x_t|x_<t)", "p(x_t|x_{<t};\\theta)", "p_theta(x_t|x_1,\\dots,x_{t-1})"]
    assert {one_spelling(text) for text in same} == {"p(x_t|x_<t)"}
    assert one_spelling("q_phi(z|x;phi)") == "q(z|x)"
    assert one_spelling("p(x_{t-1}|x_t)") == "p(x_t-1|x_t)"
    assert one_spelling("p(x_3|x_2,x_1)") == one_spelling("p(x_3|x_{<3})") == "p(x_3|x_1,x_2)"
    assert one_spelling("p(x_1,…,x_T)") == "p(x_≤T)"
    assert with_step("p(x_i|x_<i)", "i") == "p(x_#|x_<#)"
    assert with_step("pi(x_ii|x_1)", "i") == "pi(x_ii|x_1)"
    assert has_steps("p(x_t+1|x_≤t)") and not has_steps("p(x)") and not has_steps("p(x_1|x_2)")
    assert axes("q(z|x)", "table") == ("z",) and axes("p(x_t)", "table") == ("t",)
    assert axes("p(x_t|x_<t)", "grid") == ("x", "t") and axes("p_data(x)", "table") == ("x",)


TURNED = {
    r"a = b": "b = a",
    r"$$ \sum_x f(x) = 1 $$": r"1   =  \sum_x f(x)",
    r"\begin{aligned} a &= b \end{aligned}": r"b \end{aligned} = \begin{aligned} a &",
    r"a = b = c": "c = a = b",
    r"a \ge b": "",
    "a": "",
    r"\sum_{i=1}^n a_i": "",
}


@pytest.mark.parametrize("source", TURNED)
def test_an_equation_can_be_turned_round(source):
    assert other_way_round(source).split() == TURNED[source].split()


@pytest.mark.parametrize("formula, ok", [
    (r"\sum_z p(z)\,p(x\mid z) = p(x)", True),
    (r"$$ \sum_z p(z)p(x|z) = p(x) \tag{3.1} $$", True),
    (r"\sum_z p(x\mid z) = p(x)", False),
    (r"p(x) = p(x)", False),
    (r"y = p(x)", False),
])  # fmt: skip
def test_a_formula_may_be_written_either_way_round(formula, ok):
    verdict = judge(find("3.1"), formula)
    assert verdict.ok is ok, verdict
    assert ok or "left-hand side again" in verdict.sentence or verdict.mistake
