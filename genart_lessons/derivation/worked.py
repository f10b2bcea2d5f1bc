r"""Six derivations that the course rests on, and of each a twin with one line that is wrong.

>>> from genart_lessons.derivation import worked
>>> worked.names()
>>> worked.right("evidence bound").check()
>>> worked.broken("evidence bound")  # which line is it?
"""

from __future__ import annotations

from genart_lessons.derivation.chain import Derivation

_EVIDENCE = Derivation(
    r"""x in {1..4}
z in {1..3}
p(x, z)       # the model
q(z | x)      # the encoder""",
    (
        (r"\log p(x)",),
        ("=", r"\log \sum_z p(x,z)", "marginal"),
        ("=", r"\log \sum_z q(z\mid x)\,\frac{p(x,z)}{q(z\mid x)}", "times one"),
        ("≥", r"\sum_z q(z\mid x) \log\frac{p(x,z)}{q(z\mid x)}", "Jensen"),
        ("=", r"\mathbb{E}_{q(z\mid x)}\left[\log p(x\mid z)\right]"
              r"+\mathbb{E}_{q(z\mid x)}\left[\log\frac{p(z)}{q(z\mid x)}\right]",
         "product rule, and the logarithm of a product"),
        ("=", r"\mathbb{E}_{q(z\mid x)}\left[\log p(x\mid z)\right]"
              r"-D_{KL}(q(z\mid x)\Vert p(z))", "definition of the divergence"),
    ),
    "The evidence bound",
)  # fmt: skip

_DISCRIMINATOR = Derivation(
    r"""x in {1..4}
p(x)            # the data
q(x)            # what the generator makes
0 < D(x) < 1    # any discriminator
S(x) = \frac{p(x)}{p(x)+q(x)}""",
    (
        (r"\mathbb{E}_{x\sim p}[\log D(x)]+\mathbb{E}_{x\sim q}[\log(1-D(x))]",),
        ("=", r"\sum_x \left(p(x)\log D(x)+q(x)\log(1-D(x))\right)", "definition of the mean"),
        ("=", r"\sum_x (p(x)+q(x))\left(S(x)\log D(x)+(1-S(x))\log(1-D(x))\right)",
         "S is the share of the data at x"),
        ("≤", r"\sum_x (p(x)+q(x))\left(S(x)\log S(x)+(1-S(x))\log(1-S(x))\right)",
         "Gibbs: a cross-entropy is least where the two agree, so D = S is best"),
        ("=", r"\sum_x p(x)\log\frac{p(x)}{p(x)+q(x)}+\sum_x q(x)\log\frac{q(x)}{p(x)+q(x)}",
         "S written out"),
        ("=", r"-\log 4+2\,JSD(p\Vert q)", "two halves make −log 2 each"),
    ),
    "The best discriminator",
)  # fmt: skip

_GAUSSIAN = Derivation(
    r"""mu real
sigma > 0
x in R""",
    (
        (r"D_{KL}(\mathcal{N}(\mu,\sigma^2)\Vert\mathcal{N}(0,1))",),
        ("=", r"\mathbb{E}_{x\sim\mathcal{N}(\mu,\sigma^2)}"
              r"\left[\log\mathcal{N}(x;\mu,\sigma^2)-\log\mathcal{N}(x;0,1)\right]",
         "definition of the divergence"),
        ("=", r"\mathbb{E}_{x\sim\mathcal{N}(\mu,\sigma^2)}"
              r"\left[-\frac12\log\sigma^2-\frac{(x-\mu)^2}{2\sigma^2}+\frac{x^2}{2}\right]",
         "the densities; 2π drops out"),
        ("=", r"-\frac12\log\sigma^2-\frac12"
              r"+\frac12\mathbb{E}_{x\sim\mathcal{N}(\mu,\sigma^2)}\left[x^2\right]",
         "the mean of (x − μ)² is σ²"),
        ("=", r"-\frac12\log\sigma^2-\frac12+\frac12(\mu^2+\sigma^2)", "second moment"),
        ("=", r"\frac12\left(\mu^2+\sigma^2-1-\log\sigma^2\right)", "the same, put in order"),
    ),
    "The divergence of two normal distributions",
)  # fmt: skip

_POSTERIOR = Derivation(
    r"""x in R            # x_{t-1}
y, x_0 real       # x_t, and the picture
0 < a < 1         # alpha_t
0 < b < 1         # alpha_bar_{t-1}
v = \frac{(1-b)(1-a)}{1-ab}
m = \frac{\sqrt{b}(1-a)x_0+\sqrt{a}(1-b)y}{1-ab}""",
    (
        (r"\mathcal{N}(y;\sqrt{a}\,x,1-a)\,\mathcal{N}(x;\sqrt{b}\,x_0,1-b)",),
        ("∝ x", r"\exp\left(-\frac{(y-\sqrt{a}\,x)^2}{2(1-a)}"
                r"-\frac{(x-\sqrt{b}\,x_0)^2}{2(1-b)}\right)",
         "Bayes: what does not depend on x is left out"),
        ("∝ x", r"\exp\left(-\frac12\left(\frac{a}{1-a}+\frac{1}{1-b}\right)x^2"
                r"+\left(\frac{\sqrt{a}\,y}{1-a}+\frac{\sqrt{b}\,x_0}{1-b}\right)x\right)",
         "squares multiplied out"),
        ("∝ x", r"\exp\left(-\frac{x^2}{2v}+\frac{m x}{v}\right)", "1/v and m/v by their names"),
        ("∝ x", r"\exp\left(-\frac{(x-m)^2}{2v}\right)", "square completed"),
        ("∝ x", r"\mathcal{N}(x;m,v)", "the density that looks so"),
    ),
    "The way back of one diffusion step",
)  # fmt: skip

_ATTENTION = Derivation(
    r"""q, k in R^d random independent mean 0 variance 1""",
    (
        (r"\mathrm{Var}(q\cdot k)",),
        ("=", r"\mathrm{Var}\left(\sum_{i=1}^{d} q_i k_i\right)", "the product, entry by entry"),
        ("=", r"\sum_{i=1}^{d}\mathrm{Var}(q_i k_i)", "the entries are independent"),
        ("=", r"\sum_{i=1}^{d}\left(\mathbb{E}[q_i^2]\,\mathbb{E}[k_i^2]"
              r"-\mathbb{E}[q_i]^2\,\mathbb{E}[k_i]^2\right)", "q and k are independent"),
        ("=", r"\sum_{i=1}^{d} 1", "mean 0 and variance 1"),
        ("=", r"d", "so one divides by its root"),
    ),
    "Why attention is scaled",
)  # fmt: skip

_GRAM = Derivation(
    r"""F, A in R^{c x n}    # features of two pictures: c channels at n places""",
    (
        (r"\left\|\frac1n FF^\top-\frac1n AA^\top\right\|_F^2",),
        ("=", r"\frac{1}{n^2}\left(\mathrm{tr}(FF^\top FF^\top)-2\,\mathrm{tr}(FF^\top AA^\top)"
              r"+\mathrm{tr}(AA^\top AA^\top)\right)", "a norm by its trace"),
        ("=", r"\frac{1}{n^2}\left(\|F^\top F\|_F^2-2\|F^\top A\|_F^2+\|A^\top A\|_F^2\right)",
         "the trace may be turned in a circle"),
        ("=", r"\frac{1}{n^2}\sum_{i=1}^{n}\sum_{j=1}^{n}\left("
              r"\left(\sum_{k=1}^{c}F_{ki}F_{kj}\right)^2"
              r"-2\left(\sum_{k=1}^{c}F_{ki}A_{kj}\right)^2"
              r"+\left(\sum_{k=1}^{c}A_{ki}A_{kj}\right)^2\right)",
         "the squared mean discrepancy under the kernel (f·a)²"),
    ),
    "Gram matrices compare distributions",
)  # fmt: skip

_WORKED = {
    "evidence bound": (
        _EVIDENCE, 6,
        r"\mathbb{E}_{q(z\mid x)}\left[\log p(x\mid z)\right]-D_{KL}(p(z)\Vert q(z\mid x))",
    ),
    "best discriminator": (_DISCRIMINATOR, 6, r"-\log 2+2\,JSD(p\Vert q)"),
    "normal divergence": (
        _GAUSSIAN, 5, r"-\frac12\log\sigma^2-\frac12+\frac12(\mu^2+\sigma)",
    ),
    "diffusion posterior": (
        _POSTERIOR, 3,
        r"\exp\left(-\frac12\left(\frac{a}{1-a}+\frac{1}{1-b}\right)x^2"
        r"+\left(\frac{a\,y}{1-a}+\frac{\sqrt{b}\,x_0}{1-b}\right)x\right)",
    ),
    "scaled attention": (_ATTENTION, 3, r"\left(\sum_{i=1}^{d}\mathrm{Var}(q_i)\right)^2"),
    "gram matrix": (
        _GRAM, 3, r"\frac{1}{n^2}\left(\|F^\top F\|_F^2-\|F^\top A\|_F^2+\|A^\top A\|_F^2\right)",
    ),
}  # fmt: skip


def names() -> list[str]:
    """The six that ship."""
    return list(_WORKED)


def right(name: str) -> Derivation:
    """One of them. Raises LookupError for another name."""
    return _of(name)[0]


def broken(name: str) -> Derivation:
    """Its twin: one line is a slip that people make, and the others are as they were."""
    derivation, number, formula = _of(name)
    return derivation.edited(number, formula)


def slip(name: str) -> int:
    """The number of the line that is wrong in ``broken(name)``."""
    return _of(name)[1]


def _of(name: str) -> tuple[Derivation, int, str]:
    if name not in _WORKED:
        raise LookupError(
            f"there is no worked derivation {name!r}; there are: {', '.join(_WORKED)}"
        )
    return _WORKED[name]
