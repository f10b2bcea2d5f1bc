"""Links for the bench of derivations: true ones, and broken ones made from slips that people make.

Written from the mathematics of the course before any of them was tried on the bench, so that they
measure it. ``LINKS`` are (holds, slip, world, left, relation, right, where from).
"""

# ruff: noqa: E501 - the formulas are packed by hand

from typing import NamedTuple


class Link(NamedTuple):
    """One link ``left relation right`` in ``world``; ``slip`` names what is wrong, if anything."""

    holds: bool
    slip: str
    world: str
    left: str
    relation: str
    right: str
    source: str

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}  [{self.slip or 'true'}; {self.source}]"


LINKS: list[Link] = []


def link(source: str, world: str, left: str, relation: str, right: str, **slips: str) -> None:
    """A true link, and for every keyword the broken one in which ``right`` is that instead."""
    LINKS.append(Link(True, "", world, left, relation, right, source))
    for slip, wrong in slips.items():
        broken(slip, source, world, left, relation, wrong)


def broken(slip: str, source: str, world: str, left: str, relation: str, right: str) -> None:
    """A link that does not hold: a wrong condition, a wrong direction, a wrong domain."""
    slip = slip.replace("_", " ").strip("0123456789 ")
    LINKS.append(Link(False, slip, world, left, relation, right, source))


# --- The evidence bound (chapter 03) -------------------------------------------------------------

VAE = "x in {1..4}\nz in {1..3}\np(x, z)\nq(z | x)"
BOUND = r"\sum_z q(z\mid x)\log\frac{p(x,z)}{q(z\mid x)}"
link("03 marginal", VAE, r"\log p(x)", "=", r"\log\sum_z p(x,z)",
     sum_of_logs=r"\sum_z\log p(x,z)", wrong_weight=r"\log\sum_z p(x,z)\,p(z)")  # fmt: skip
link("03 bound", VAE, r"\log p(x)", "≥", BOUND)
broken("wrong direction", "03 bound", VAE, r"\log p(x)", "≤", BOUND)
broken("equality claimed", "03 bound", VAE, r"\log p(x)", "=", BOUND)
link("03 gap", VAE, r"\log p(x)-" + BOUND, "=", r"D_{KL}(q(z\mid x)\Vert p(z\mid x))",
     swapped=r"D_{KL}(p(z\mid x)\Vert q(z\mid x))", prior_for_posterior=r"D_{KL}(q(z\mid x)\Vert p(z))",
     sign=r"-D_{KL}(q(z\mid x)\Vert p(z\mid x))")  # fmt: skip
link("03 two terms", VAE, BOUND, "=",
     r"\mathbb{E}_{q(z\mid x)}[\log p(x\mid z)]-D_{KL}(q(z\mid x)\Vert p(z))",
     sign=r"\mathbb{E}_{q(z\mid x)}[\log p(x\mid z)]+D_{KL}(q(z\mid x)\Vert p(z))",
     wrong_condition=r"\mathbb{E}_{q(z\mid x)}[\log p(z\mid x)]-D_{KL}(q(z\mid x)\Vert p(z))",
     wrong_mean=r"\mathbb{E}_{p(z)}[\log p(x\mid z)]-D_{KL}(q(z\mid x)\Vert p(z))",
     swapped=r"\mathbb{E}_{q(z\mid x)}[\log p(x\mid z)]-D_{KL}(p(z)\Vert q(z\mid x))")  # fmt: skip
link("03 entropy form", VAE, BOUND, "=",
     r"\sum_z q(z\mid x)\log p(x,z)-\sum_z q(z\mid x)\log q(z\mid x)",
     sign=r"\sum_z q(z\mid x)\log p(x,z)+\sum_z q(z\mid x)\log q(z\mid x)")  # fmt: skip
link("03 prior's average", VAE, r"\log\mathbb{E}_{p(z)}[p(x\mid z)]", "≥",
     r"\mathbb{E}_{p(z)}[\log p(x\mid z)]")  # fmt: skip
broken("log of a sum", "03 prior's average", VAE, r"\log\mathbb{E}_{p(z)}[p(x\mid z)]", "=",
       r"\mathbb{E}_{p(z)}[\log p(x\mid z)]")  # fmt: skip
link("03 Bayes", VAE, r"p(z\mid x)", "=", r"\frac{p(x\mid z)\,p(z)}{p(x)}",
     swapped=r"\frac{p(x\mid z)\,p(x)}{p(z)}", dropped_evidence=r"p(x\mid z)\,p(z)",
     wrong_sum=r"\frac{p(x\mid z)\,p(z)}{\sum_z p(x\mid z)}")  # fmt: skip
link("03 Bayes, up to a factor", VAE, r"p(z\mid x)", "∝ z", r"p(x\mid z)\,p(z)",
     dropped_prior=r"p(x\mid z)")  # fmt: skip
link("03 surgery", VAE + "\n" + r"r(z) = \sum_x p(x)\,q(z\mid x)",
     r"\sum_x p(x)\,D_{KL}(q(z\mid x)\Vert p(z))", "=",
     r"\sum_x p(x)\,D_{KL}(q(z\mid x)\Vert r(z))+D_{KL}(r(z)\Vert p(z))",
     sign=r"\sum_x p(x)\,D_{KL}(q(z\mid x)\Vert r(z))-D_{KL}(r(z)\Vert p(z))",
     dropped=r"\sum_x p(x)\,D_{KL}(q(z\mid x)\Vert r(z))")  # fmt: skip

# --- Normal distributions (01, 03) ---------------------------------------------------------------

NORMAL = "mu, nu real\nsigma, tau > 0"
ONE = r"D_{KL}(\mathcal{N}(\mu,\sigma^2)\Vert\mathcal{N}(0,1))"
link("03 divergence from the standard normal", NORMAL, ONE, "=",
     r"\frac12\left(\mu^2+\sigma^2-1-\log\sigma^2\right)",
     no_half=r"\mu^2+\sigma^2-1-\log\sigma^2",
     missing_square=r"\frac12\left(\mu^2+\sigma^2-1-\log\sigma\right)",
     sign=r"-\frac12\left(\mu^2+\sigma^2-1-\log\sigma^2\right)",
     sign_of_log=r"\frac12\left(\mu^2+\sigma^2-1+\log\sigma^2\right)",
     dropped_one=r"\frac12\left(\mu^2+\sigma^2-\log\sigma^2\right)")  # fmt: skip
link("01 divergence of two normals", NORMAL,
     r"D_{KL}(\mathcal{N}(\mu,\sigma^2)\Vert\mathcal{N}(\nu,\tau^2))", "=",
     r"\log\frac{\tau}{\sigma}+\frac{\sigma^2+(\mu-\nu)^2}{2\tau^2}-\frac12",
     swapped=r"\log\frac{\sigma}{\tau}+\frac{\tau^2+(\mu-\nu)^2}{2\sigma^2}-\frac12",
     missing_square=r"\log\frac{\tau}{\sigma}+\frac{\sigma^2+(\mu-\nu)}{2\tau^2}-\frac12",
     dropped_constant=r"\log\frac{\tau}{\sigma}+\frac{\sigma^2+(\mu-\nu)^2}{2\tau^2}",
     fraction_upside_down=r"\log\frac{\sigma}{\tau}+\frac{\sigma^2+(\mu-\nu)^2}{2\tau^2}-\frac12")  # fmt: skip
link("07 equal variances", NORMAL,
     r"D_{KL}(\mathcal{N}(\mu,\sigma^2)\Vert\mathcal{N}(\nu,\sigma^2))", "=",
     r"\frac{(\mu-\nu)^2}{2\sigma^2}", no_half=r"\frac{(\mu-\nu)^2}{\sigma^2}")  # fmt: skip
GAUSS = NORMAL + "\nx in R"
link("01 entropy of a normal", GAUSS,
     r"-\int\mathcal{N}(x;\mu,\sigma^2)\log\mathcal{N}(x;\mu,\sigma^2)\,dx", "=",
     r"\frac12\log(2\pi e\sigma^2)", dropped_e=r"\frac12\log(2\pi\sigma^2)",
     no_half=r"\log(2\pi e\sigma^2)")  # fmt: skip
link("01 log density", GAUSS, r"\log\mathcal{N}(x;\mu,\sigma^2)", "=",
     r"-\frac12\log(2\pi\sigma^2)-\frac{(x-\mu)^2}{2\sigma^2}",
     no_half=r"-\log(2\pi\sigma^2)-\frac{(x-\mu)^2}{2\sigma^2}",
     missing_square=r"-\frac12\log(2\pi\sigma^2)-\frac{(x-\mu)^2}{2\sigma}",
     dropped_constant=r"-\frac{(x-\mu)^2}{2\sigma^2}")  # fmt: skip
link("01 second moment", GAUSS, r"\mathbb{E}_{\mathcal{N}(x;\mu,\sigma^2)}[x^2]", "=",
     r"\mu^2+\sigma^2", dropped=r"\mu^2", missing_square=r"\mu^2+\sigma")  # fmt: skip
link("01 cross-entropy of normals", GAUSS,
     r"-\int\mathcal{N}(x;\mu,\sigma^2)\log\mathcal{N}(x;\nu,\tau^2)\,dx", "=",
     r"\frac12\log(2\pi\tau^2)+\frac{\sigma^2+(\mu-\nu)^2}{2\tau^2}",
     dropped=r"\frac12\log(2\pi\tau^2)+\frac{(\mu-\nu)^2}{2\tau^2}")  # fmt: skip
link("01 log-normal mean", "mu real\n0 < sigma < 1\nx in R",
     r"\int e^x\,\mathcal{N}(x;\mu,\sigma^2)\,dx", "=", r"e^{\mu+\sigma^2/2}",
     dropped=r"e^{\mu}", no_half=r"e^{\mu+\sigma^2}")  # fmt: skip

# --- Two distributions, the discriminator (01, 04) -----------------------------------------------

TWO = "x in {1..4}\np(x)\nq(x)\n0 < D(x) < 1"
MIX = TWO + "\n" + r"m(x) = \frac12(p(x)+q(x))"
JSD = r"\frac12 D_{KL}(p\Vert m)+\frac12 D_{KL}(q\Vert m)"
link("01 Jensen–Shannon by entropies", MIX, JSD, "=", r"H(m)-\frac12 H(p)-\frac12 H(q)",
     sign=r"\frac12 H(p)+\frac12 H(q)-H(m)", no_halves=r"H(m)-H(p)-H(q)")  # fmt: skip
link("01 its bound", MIX, JSD, "≤", r"\log 2", half=r"\frac12\log 2")
link("04 value at a discriminator", MIX,
     r"\mathbb{E}_{p(x)}[\log D(x)]+\mathbb{E}_{q(x)}[\log(1-D(x))]", "≤",
     r"-\log 4+2\left(" + JSD + r"\right)",
     no_two=r"-\log 4+\left(" + JSD + r"\right)-\frac12\log 2",
     sign=r"-\log 4-2\left(" + JSD + r"\right)")  # fmt: skip
BEST = r"\sum_x p(x)\log\frac{p(x)}{p(x)+q(x)}+\sum_x q(x)\log\frac{q(x)}{p(x)+q(x)}"
link("04 value at the best", MIX, BEST, "=", r"-\log 4+2\left(" + JSD + r"\right)",
     no_two=r"-\log 4+" + JSD, sign=r"\log 4+2\left(" + JSD + r"\right)",
     log_2=r"-\log 2+2\left(" + JSD + r"\right)")  # fmt: skip
broken("wrong direction", "04 value at the best", TWO,
       r"\mathbb{E}_{p(x)}[\log D(x)]+\mathbb{E}_{q(x)}[\log(1-D(x))]", "≥", BEST)  # fmt: skip
link("04 its derivative", "a, b > 0\n0 < y < 1",
     r"\frac{\partial}{\partial y}\left(a\log y+b\log(1-y)\right)", "=",
     r"\frac{a}{y}-\frac{b}{1-y}", sign=r"\frac{a}{y}+\frac{b}{1-y}",
     one_minus=r"\frac{a}{y}-\frac{b}{y-1}")  # fmt: skip
link("04 its maximum", "a, b > 0\n0 < y < 1", r"a\log y+b\log(1-y)", "≤",
     r"a\log\frac{a}{a+b}+b\log\frac{b}{a+b}",
     swapped=r"a\log\frac{b}{a+b}+b\log\frac{a}{a+b}")  # fmt: skip
link("04 log-odds", "x in {1..4}\np(x)\nq(x)\n" + r"D(x) = \frac{p(x)}{p(x)+q(x)}",
     r"\log\frac{D(x)}{1-D(x)}", "=", r"\log p(x)-\log q(x)",
     swapped=r"\log q(x)-\log p(x)", log_of_quotient=r"\frac{\log p(x)}{\log q(x)}")  # fmt: skip
link("04 not saturating", "s real", r"-\log\frac{1}{1+e^{-s}}", "=", r"\log(1+e^{-s})",
     sign=r"\log(1+e^{s})")  # fmt: skip
link("04 sigmoid's slope", "s real", r"\frac{d}{ds}\frac{1}{1+e^{-s}}", "=",
     r"\frac{1}{1+e^{-s}}\left(1-\frac{1}{1+e^{-s}}\right)",
     sign=r"\frac{1}{1+e^{-s}}\left(\frac{1}{1+e^{-s}}-1\right)")  # fmt: skip
link("01 Gibbs", TWO, r"D_{KL}(p\Vert q)", "≥", "0")
broken("swapped", "01 not symmetric", TWO, r"D_{KL}(p\Vert q)", "=", r"D_{KL}(q\Vert p)")
link("01 cross-entropy", TWO, r"-\sum_x p(x)\log q(x)", "=", r"H(p)+D_{KL}(p\Vert q)",
     swapped=r"H(p)+D_{KL}(q\Vert p)", sign=r"H(p)-D_{KL}(p\Vert q)",
     wrong_entropy=r"H(q)+D_{KL}(p\Vert q)")  # fmt: skip
link("01 Pinsker", TWO, r"D_{KL}(p\Vert q)", "≥", r"\frac12\left(\sum_x|p(x)-q(x)|\right)^2",
     no_half=r"\left(\sum_x|p(x)-q(x)|\right)^2")  # fmt: skip
link("01 by Jensen", TWO, r"D_{KL}(p\Vert q)", "≤", r"\log\sum_x\frac{p(x)^2}{q(x)}",
     missing_square=r"\log\sum_x\frac{p(x)}{q(x)}-\log 4")  # fmt: skip
link("01 greatest entropy", TWO, r"H(p)", "≤", r"\log 4", off_by_one=r"\log 3")
broken("wrong direction", "01 greatest entropy", TWO, r"H(p)", "≥", r"\log 2")
link("01 importance weights", TWO + "\nf(x) real", r"\mathbb{E}_{p(x)}[f(x)]", "=",
     r"\mathbb{E}_{q(x)}\left[\frac{p(x)}{q(x)}f(x)\right]",
     upside_down=r"\mathbb{E}_{q(x)}\left[\frac{q(x)}{p(x)}f(x)\right]",
     not_weighted=r"\mathbb{E}_{q(x)}[f(x)]")  # fmt: skip
link("01 mean weight", TWO, r"\mathbb{E}_{q(x)}\left[\frac{p(x)}{q(x)}\right]", "=", "1")
broken("upside down", "01 mean weight", TWO, r"\mathbb{E}_{q(x)}\left[\frac{q(x)}{p(x)}\right]",
       "=", "1")  # fmt: skip
link("01 weights vary", TWO, r"\mathbb{E}_{q(x)}\left[\frac{p(x)^2}{q(x)^2}\right]", "≥", "1")
link("01 importance weights on the line", "x in R\np(x)\nq(x)\nf : R -> R",
     r"\int p(x)f(x)\,dx", "=", r"\mathbb{E}_{q(x)}\left[\frac{p(x)}{q(x)}f(x)\right]",
     upside_down=r"\mathbb{E}_{p(x)}\left[\frac{p(x)}{q(x)}f(x)\right]")  # fmt: skip

# --- Autoregression (05) -------------------------------------------------------------------------

WORDS = "a in {1..2}\nb in {1..3}\nc in {1..2}\np(a, b, c)"
link("05 chain rule", WORDS, r"p(a,b,c)", "=", r"p(a)\,p(b\mid a)\,p(c\mid a,b)",
     wrong_condition=r"p(a)\,p(b\mid a)\,p(c\mid b)", independent=r"p(a)\,p(b)\,p(c)",
     condition_turned=r"p(a)\,p(a\mid b)\,p(c\mid a,b)")  # fmt: skip
link("05 log-likelihood", WORDS, r"\log p(a,b,c)", "=",
     r"\log p(a)+\log p(b\mid a)+\log p(c\mid a,b)",
     product=r"\log p(a)\cdot\log p(b\mid a)\cdot\log p(c\mid a,b)")  # fmt: skip
link("05 any order", WORDS, r"p(a)\,p(b\mid a)", "=", r"p(b)\,p(a\mid b)")
link("05 marginal", WORDS, r"p(a,c)", "=", r"\sum_b p(a)\,p(b\mid a)\,p(c\mid a,b)",
     wrong_condition=r"\sum_b p(a)\,p(b\mid a)\,p(c\mid b)")  # fmt: skip
JOINT = r"-\sum_a\sum_b p(a,b)\log p(a,b)"
link("05 entropies add", WORDS, JOINT, "=",
     r"-\sum_a p(a)\log p(a)-\sum_a\sum_b p(a,b)\log p(b\mid a)",
     wrong_weight=r"-\sum_a p(a)\log p(a)-\sum_a\sum_b p(b\mid a)\log p(b\mid a)",
     independent=r"-\sum_a p(a)\log p(a)-\sum_b p(b)\log p(b)")  # fmt: skip
INFO = r"\sum_{a,b} p(a,b)\log\frac{p(a,b)}{p(a)\,p(b)}"
link("05 information", WORDS, INFO, "=",
     r"\sum_{a,b} p(a,b)\log p(b\mid a)-\sum_b p(b)\log p(b)",
     sign=r"\sum_b p(b)\log p(b)-\sum_{a,b} p(a,b)\log p(b\mid a)")  # fmt: skip
link("05 information helps", WORDS, r"-\sum_{a,b} p(a,b)\log p(b\mid a)", "≤",
     r"-\sum_b p(b)\log p(b)")  # fmt: skip
broken("wrong direction", "05 information helps", WORDS, INFO, "≤", "0")
link("05 perplexity", "0 < p_t < 1, t = 1..T", r"e^{-\frac1T\sum_{t=1}^T\log p_t}", "=",
     r"\left(\prod_{t=1}^T p_t\right)^{-1/T}",
     sign=r"\left(\prod_{t=1}^T p_t\right)^{1/T}", not_averaged=r"\left(\prod_{t=1}^T p_t\right)^{-1}",
     sum_for_product=r"\left(\sum_{t=1}^T p_t\right)^{-1/T}")  # fmt: skip

# --- Attention, softmax (06) ---------------------------------------------------------------------

HEAD = "U, V, X, Y random independent mean 0 variance 1"
link("06 variance of a score", HEAD, r"\mathrm{Var}(UX+VY)", "=", "2", squared="4",
     root=r"\sqrt2")  # fmt: skip
link("06 scaled", HEAD, r"\mathrm{Var}\left(\frac{UX+VY}{\sqrt2}\right)", "=", "1")
broken("missing root", "06 scaled", HEAD, r"\mathrm{Var}\left(\frac{UX+VY}{2}\right)", "=", "1")
link("06 one product", "X, Y random independent mean 0 variance 1", r"\mathrm{Var}(XY)", "=", "1")
broken("mean forgotten", "06 one product", "X, Y random independent variance 1",
       r"\mathrm{Var}(XY)", "=", "1")  # fmt: skip
broken("independence forgotten", "06 one product", "X, Y random mean 0 variance 1",
       r"\mathrm{Var}(XY)", "=", "1")  # fmt: skip
SCORES = "x in {1..4}\ns(x) real\nc real"
link("06 a shift does nothing", SCORES, r"\frac{e^{s(x)-c}}{\sum_{x'} e^{s(x')-c}}", "=",
     r"\frac{e^{s(x)}}{\sum_{x'} e^{s(x')}}")  # fmt: skip
broken("a factor does", "06 a shift does nothing", SCORES,
       r"\frac{e^{c\,s(x)}}{\sum_{x'} e^{c\,s(x')}}", "=",
       r"\frac{e^{s(x)}}{\sum_{x'} e^{s(x')}}")  # fmt: skip
link("06 soft maximum", SCORES, r"\log\sum_{x'} e^{s(x')}", "≥", r"s(x)")
broken("wrong direction", "06 soft maximum", SCORES, r"\log\sum_{x'} e^{s(x')}", "≤", r"s(x)")
broken("log of a sum", "06 soft maximum", SCORES, r"\log\sum_x e^{s(x)}", "=", r"\sum_x s(x)")
SOFT = "s_j real, j = 1..3"
P1 = r"\frac{e^{s_1}}{\sum_{j=1}^3 e^{s_j}}"
P2 = r"\frac{e^{s_2}}{\sum_{j=1}^3 e^{s_j}}"
link("06 slope of the soft maximum", SOFT,
     r"\frac{\partial}{\partial s_1}\log\sum_{j=1}^3 e^{s_j}", "=", P1,
     inner_derivative=r"\frac{1}{\sum_{j=1}^3 e^{s_j}}", wrong_index=P2)  # fmt: skip
link("06 softmax, same index", SOFT, r"\frac{\partial}{\partial s_1}" + P1, "=",
     P1 + r"\left(1-" + P1 + r"\right)", missing=P1, sign=P1 + r"\left(" + P1 + r"-1\right)")  # fmt: skip
link("06 softmax, another index", SOFT, r"\frac{\partial}{\partial s_2}" + P1, "=",
     "-" + P1 + P2, sign=P1 + P2, wrong_case=P1 + r"\left(1-" + P2 + r"\right)")  # fmt: skip
TOKENS = "Q, K in R^{n x d}\nP in R^{n x n} permutation"
link("06 tokens exchanged", TOKENS, r"(PQ)(PK)^\top", "=", r"P Q K^\top P^\top",
     forgotten=r"Q K^\top", missing_transpose=r"P Q K^\top P")  # fmt: skip
VECTORS = "u, v in R^d"
link("06 distance", VECTORS, r"\Vert u-v\Vert^2", "=", r"\Vert u\Vert^2-2u^\top v+\Vert v\Vert^2",
     no_two=r"\Vert u\Vert^2-u^\top v+\Vert v\Vert^2", sign=r"\Vert u\Vert^2+2u^\top v+\Vert v\Vert^2",
     no_cross_term=r"\Vert u\Vert^2+\Vert v\Vert^2")  # fmt: skip
link("06 Cauchy–Schwarz", VECTORS, r"(u^\top v)^2", "≤", r"\Vert u\Vert^2\Vert v\Vert^2",
     missing_square=r"\Vert u\Vert\Vert v\Vert")  # fmt: skip
link("06 rotated", VECTORS + "\nR in R^{d x d} orthogonal", r"(Ru)^\top(Rv)", "=", r"u^\top v")
broken("only invertible", "06 rotated", VECTORS + "\nR in R^{d x d} invertible",
       r"(Ru)^\top(Rv)", "=", r"u^\top v")  # fmt: skip

# --- Diffusion (07) ------------------------------------------------------------------------------

CHAIN = "0 < beta_t < 1, t = 1..T\n\\alpha_t = 1 - \\beta_t\n\\bar\\alpha_t = \\prod_{s=1}^{t} \\alpha_s"
link("07 last factor", CHAIN, r"\bar\alpha_T", "=", r"\alpha_T\,\bar\alpha_{T-1}",
     off_by_one=r"\alpha_{T-1}\,\bar\alpha_{T-1}", wrong_letter=r"\beta_T\,\bar\alpha_{T-1}")  # fmt: skip
link("07 log of a product", CHAIN, r"\log\bar\alpha_T", "=", r"\sum_{t=1}^{T}\log(1-\beta_t)",
     log_of_sum=r"\log\sum_{t=1}^{T}(1-\beta_t)", off_by_one=r"\sum_{t=2}^{T}\log(1-\beta_t)",
     one_minus=r"\sum_{t=1}^{T}\log\beta_t")  # fmt: skip
link("07 two steps", CHAIN, r"\alpha_2(1-\alpha_1)+(1-\alpha_2)", "=", r"1-\bar\alpha_2",
     sum_for_product=r"1-\alpha_1-\alpha_2", beta=r"\beta_1+\beta_2")  # fmt: skip
link("07 posterior variance", CHAIN,
     r"\left(\frac{\alpha_T}{\beta_T}+\frac{1}{1-\bar\alpha_{T-1}}\right)^{-1}", "=",
     r"\frac{1-\bar\alpha_{T-1}}{1-\bar\alpha_T}\beta_T",
     upside_down=r"\frac{1-\bar\alpha_T}{1-\bar\alpha_{T-1}}\beta_T", just_beta=r"\beta_T",
     square=r"\frac{1-\bar\alpha_{T-1}}{1-\bar\alpha_T}\beta_T^2",
     root=r"\sqrt{\frac{1-\bar\alpha_{T-1}}{1-\bar\alpha_T}}\beta_T")  # fmt: skip
NOISED = "y, e real\n0 < a < 1\n" + r"x = \sqrt{a}\,y+\sqrt{1-a}\,e"
link("07 picture from noise", NOISED, r"\frac{x-\sqrt{1-a}\,e}{\sqrt{a}}", "=", "y")
broken("missing root", "07 picture from noise", NOISED, r"\frac{x-(1-a)\,e}{\sqrt{a}}", "=", "y")
link("07 velocity", NOISED + "\n" + r"v = \sqrt{a}\,e-\sqrt{1-a}\,y",
     r"\sqrt{a}\,x-\sqrt{1-a}\,v", "=", "y", wrong_letter="e", sign="-y")  # fmt: skip
link("07 closed form, one step more", "x, y in R\nm real\n0 < a, b < 1",
     r"\int\mathcal{N}(x;\sqrt{a}\,y,1-a)\,\mathcal{N}(y;\sqrt{b}\,m,1-b)\,dy", "=",
     r"\mathcal{N}(x;\sqrt{ab}\,m,1-ab)",
     sum_of_variances=r"\mathcal{N}(x;\sqrt{ab}\,m,2-a-b)",
     missing_root=r"\mathcal{N}(x;ab\,m,1-ab)")  # fmt: skip
link("07 score", GAUSS, r"\nabla_x\log\mathcal{N}(x;\mu,\sigma^2)", "=", r"-\frac{x-\mu}{\sigma^2}",
     sign=r"\frac{x-\mu}{\sigma^2}", missing_square=r"-\frac{x-\mu}{\sigma}",
     half=r"-\frac{x-\mu}{2\sigma^2}", missing_inner=r"-\frac{x}{\sigma^2}")  # fmt: skip
HEAPS = "x in R\ny in {1..3}\np(y)\nsigma > 0"
SMOOTH = r"\sum_y p(y)\,\mathcal{N}(x;y,\sigma^2)"
link("07 Tweedie", HEAPS,
     r"\frac{\sum_y y\,p(y)\,\mathcal{N}(x;y,\sigma^2)}{" + SMOOTH + "}", "=",
     r"x+\sigma^2\,\nabla_x\log " + SMOOTH, missing_square=r"x+\sigma\,\nabla_x\log " + SMOOTH,
     sign=r"x-\sigma^2\,\nabla_x\log " + SMOOTH)  # fmt: skip
link(
    "07 score has mean nought",
    GAUSS,
    r"\mathbb{E}_{\mathcal{N}(x;\mu,\sigma^2)}\left[\frac{x-\mu}{\sigma^2}\right]",
    "=",
    "0",
)
link("07 information of Fisher", GAUSS,
     r"\mathbb{E}_{\mathcal{N}(x;\mu,\sigma^2)}\left[\left(\frac{x-\mu}{\sigma^2}\right)^2\right]",
     "=", r"\frac{1}{\sigma^2}", one_square_too_many=r"\frac{1}{\sigma^4}")  # fmt: skip
link("07 slope of log-odds", "0 < a < 1", r"\frac{d}{da}\log\frac{a}{1-a}", "=",
     r"\frac{1}{a(1-a)}", sign=r"\frac1a-\frac{1}{1-a}")  # fmt: skip
link("07 small step", "0 < h < 0.5", r"1-\sqrt{1-h}", "≈ h", r"\frac{h}{2}", no_half="h")
link("07 small angle", "0 < h < 0.5", r"1-\cos h", "≈ h", r"\frac{h^2}{2}", no_half="h^2")

# --- Maps of noise (01) --------------------------------------------------------------------------

link("01 stretched", GAUSS, r"\frac1\sigma\,\mathcal{N}\left(\frac{x-\mu}{\sigma};0,1\right)", "=",
     r"\mathcal{N}(x;\mu,\sigma^2)", missing_square=r"\mathcal{N}(x;\mu,\sigma)")  # fmt: skip
broken("no Jacobian", "01 stretched", GAUSS, r"\mathcal{N}\left(\frac{x-\mu}{\sigma};0,1\right)",
       "=", r"\mathcal{N}(x;\mu,\sigma^2)")  # fmt: skip
broken("Jacobian upside down", "01 stretched", GAUSS,
       r"\sigma\,\mathcal{N}\left(\frac{x-\mu}{\sigma};0,1\right)", "=",
       r"\mathcal{N}(x;\mu,\sigma^2)")  # fmt: skip
link("01 mean under a map", "x, z in R\nmu real\nsigma > 0\nf : R -> R",
     r"\int f(\sigma z+\mu)\,\mathcal{N}(z;0,1)\,dz", "=", r"\int f(x)\,\mathcal{N}(x;\mu,\sigma^2)\,dx",
     missing_square=r"\int f(x)\,\mathcal{N}(x;\mu,\sigma)\,dx",
     no_noise=r"f(\mu)")  # fmt: skip
link("01 polar", "r in R", r"\int_0^\infty r\,e^{-r^2/2}\,dr", "=", "1")
broken("no Jacobian", "01 polar", "r in R", r"\int_0^\infty e^{-r^2/2}\,dr", "=", "1")
link("01 inverse of the exponential's", "0 < u < 1\nlambda > 0\n" + r"x = -\frac{\log(1-u)}{\lambda}",
     r"1-e^{-\lambda x}", "=", "u", swapped="1-u", sign="-u")  # fmt: skip
link("01 its mean", "x in R\nlambda > 0", r"\int_0^\infty x\,\lambda e^{-\lambda x}\,dx", "=",
     r"\frac1\lambda", upside_down=r"\lambda")  # fmt: skip
link("01 slope under an integral", "x in R\nmu real\nsigma > 0\nf : R -> R",
     r"\frac{\partial}{\partial\mu}\int f(x)\,\mathcal{N}(x;\mu,\sigma^2)\,dx", "=",
     r"\int f(x)\frac{x-\mu}{\sigma^2}\mathcal{N}(x;\mu,\sigma^2)\,dx",
     sign=r"\int f(x)\frac{\mu-x}{\sigma^2}\mathcal{N}(x;\mu,\sigma^2)\,dx",
     missing_square=r"\int f(x)\frac{x-\mu}{\sigma}\mathcal{N}(x;\mu,\sigma^2)\,dx")  # fmt: skip
link("01 Stein", "x in R\nf : R -> R", r"\mathbb{E}_{\mathcal{N}(x;0,1)}[x\,f(x)]", "=",
     r"\mathbb{E}_{\mathcal{N}(x;0,1)}[\nabla_x f(x)]",
     sign=r"-\mathbb{E}_{\mathcal{N}(x;0,1)}[\nabla_x f(x)]")  # fmt: skip

# --- Matrices: PCA, Gram, flows (01, 02, 08) -----------------------------------------------------

SQUARE = "A, B in R^{n x n}\nu, v, b in R^n"
GOOD = "A, B in R^{n x n} invertible"
link("02 transpose of a product", SQUARE, r"(AB)^\top", "=", r"B^\top A^\top",
     order=r"A^\top B^\top")  # fmt: skip
link("02 inverse of a product", GOOD, r"(AB)^{-1}", "=", r"B^{-1}A^{-1}", order=r"A^{-1}B^{-1}")
link("01 volumes multiply", GOOD, r"\log|\det(AB)|", "=", r"\log|\det A|+\log|\det B|",
     product=r"\log|\det A|\cdot\log|\det B|")  # fmt: skip
link("01 volume of the inverse", GOOD, r"\det(A^{-1})", "=", r"\frac{1}{\det A}", sign=r"-\det A")
broken("not linear", "01 volumes do not add", GOOD, r"\det(A+B)", "=", r"\det A+\det B")
link("02 trace turns", SQUARE, r"\mathrm{tr}(AB)", "=", r"\mathrm{tr}(BA)",
     product=r"\mathrm{tr}(A)\,\mathrm{tr}(B)")  # fmt: skip
link("02 norm by trace", SQUARE, r"\mathrm{tr}(A^\top A)", "=", r"\Vert A\Vert_F^2",
     missing_square=r"\Vert A\Vert_F")  # fmt: skip
broken("missing transpose", "02 norm by trace", SQUARE, r"\mathrm{tr}(A A)", "=",
       r"\Vert A\Vert_F^2")  # fmt: skip
link("02 quadratic form by trace", SQUARE, r"u^\top A u", "=", r"\mathrm{tr}(A\,u u^\top)",
     taken_out=r"\mathrm{tr}(A)\,u^\top u")  # fmt: skip
link("02 least squares", SQUARE, r"\nabla_u\Vert Au-b\Vert^2", "=", r"2A^\top(Au-b)",
     missing_transpose=r"2A(Au-b)", no_two=r"A^\top(Au-b)", sign=r"2A^\top(b-Au)")  # fmt: skip
link("02 gradient of a quadratic form", SQUARE, r"\nabla_u\,(u^\top A u)", "=", r"(A+A^\top)u",
     symmetric_assumed="2Au", half=r"\frac12(A+A^\top)u")  # fmt: skip
link("06 gradient of a score", SQUARE, r"\nabla_A\,(u^\top A v)", "=", r"u v^\top",
     missing_transpose=r"v u^\top")  # fmt: skip
link("01 gradient of a volume", GOOD, r"\nabla_A\log|\det A|", "=", r"(A^{-1})^\top",
     missing_transpose=r"A^{-1}")  # fmt: skip
link(
    "02 projection keeps itself",
    "W in R^{3 x 2}\n" + r"P = W(W^\top W)^{-1}W^\top",
    "P P",
    "=",
    "P",
)
broken("not orthonormal", "02 projection keeps itself", "W in R^{3 x 2}\n" + r"P = W W^\top",
       "P P", "=", "P")  # fmt: skip
link("02 Pythagoras", "u, w in R^d", r"\left\Vert u-\frac{w^\top u}{w^\top w}w\right\Vert^2", "=",
     r"\Vert u\Vert^2-\frac{(w^\top u)^2}{w^\top w}",
     missing_square=r"\Vert u\Vert^2-\frac{w^\top u}{w^\top w}",
     not_normalised=r"\Vert u\Vert^2-(w^\top u)^2",
     sign=r"\Vert u\Vert^2+\frac{(w^\top u)^2}{w^\top w}")  # fmt: skip
link("02 covariance is never negative", "A in R^{n x n}\nu in R^n", r"u^\top A A^\top u", "≥", "0")
broken("only symmetric", "02 covariance is never negative", "A in R^{n x n} symmetric\nu in R^n",
       r"u^\top A u", "≥", "0")  # fmt: skip
FEATURES = "F, G in R^{c x n}\nP in R^{n x n} permutation\nu in R^c"
link("08 Gram forgets the place", FEATURES, r"(FP)(FP)^\top", "=", r"F F^\top")
broken("the other Gram", "08 Gram forgets the place", FEATURES, r"(FP)^\top(FP)", "=", r"F^\top F")
broken("any matrix", "08 Gram forgets the place", "F in R^{c x n}\nP in R^{n x n}",
       r"(FP)(FP)^\top", "=", r"F F^\top")  # fmt: skip
link("08 Gram and discrepancy", FEATURES, r"\Vert F F^\top-G G^\top\Vert_F^2", "=",
     r"\Vert F^\top F\Vert_F^2-2\Vert F^\top G\Vert_F^2+\Vert G^\top G\Vert_F^2",
     no_two=r"\Vert F^\top F\Vert_F^2-\Vert F^\top G\Vert_F^2+\Vert G^\top G\Vert_F^2",
     sign=r"\Vert F^\top F\Vert_F^2+2\Vert F^\top G\Vert_F^2+\Vert G^\top G\Vert_F^2",
     no_cross_term=r"\Vert F^\top F\Vert_F^2+\Vert G^\top G\Vert_F^2")  # fmt: skip
link("08 Gram is a square", FEATURES, r"u^\top F F^\top u", "=", r"\Vert F^\top u\Vert^2",
     missing_square=r"\Vert F^\top u\Vert")  # fmt: skip

# --- Expectation and variance (01) ---------------------------------------------------------------

X1 = "X random\na, b real"
XY = "X, Y random"
APART = "X, Y random independent"
link("01 linear", X1, r"\mathbb{E}[aX+b]", "=", r"a\,\mathbb{E}[X]+b", dropped=r"a\,\mathbb{E}[X]")
link("01 variance of a multiple", X1, r"\mathrm{Var}(aX+b)", "=", r"a^2\,\mathrm{Var}(X)",
     missing_square=r"a\,\mathrm{Var}(X)", shift_counted=r"a^2\,\mathrm{Var}(X)+b")  # fmt: skip
link("01 variance by moments", X1, r"\mathrm{Var}(X)", "=", r"\mathbb{E}[X^2]-\mathbb{E}[X]^2",
     dropped=r"\mathbb{E}[X^2]", sign=r"\mathbb{E}[X^2]+\mathbb{E}[X]^2",
     missing_square=r"\mathbb{E}[X^2]-\mathbb{E}[X]")  # fmt: skip
link("01 product of means", APART, r"\mathbb{E}[XY]", "=", r"\mathbb{E}[X]\,\mathbb{E}[Y]")
broken("independence forgotten", "01 product of means", XY, r"\mathbb{E}[XY]", "=",
       r"\mathbb{E}[X]\,\mathbb{E}[Y]")  # fmt: skip
link("01 variance of a sum", XY, r"\mathrm{Var}(X+Y)", "=",
     r"\mathrm{Var}(X)+\mathrm{Var}(Y)+2\,\mathrm{Cov}(X,Y)",
     no_two=r"\mathrm{Var}(X)+\mathrm{Var}(Y)+\mathrm{Cov}(X,Y)",
     independent=r"\mathrm{Var}(X)+\mathrm{Var}(Y)")  # fmt: skip
link("01 variance of a difference", APART, r"\mathrm{Var}(X-Y)", "=",
     r"\mathrm{Var}(X)+\mathrm{Var}(Y)", sign=r"\mathrm{Var}(X)-\mathrm{Var}(Y)")  # fmt: skip
link("01 covariance", XY, r"\mathrm{Cov}(X,Y)", "=", r"\mathbb{E}[XY]-\mathbb{E}[X]\,\mathbb{E}[Y]",
     sign=r"\mathbb{E}[XY]+\mathbb{E}[X]\,\mathbb{E}[Y]", dropped=r"\mathbb{E}[XY]")  # fmt: skip
link("01 mean square", XY, r"\mathbb{E}[XY]^2", "≤", r"\mathbb{E}[X^2]\,\mathbb{E}[Y^2]")
link("01 Jensen, logarithm", "X random positive", r"\log\mathbb{E}[X]", "≥", r"\mathbb{E}[\log X]")
broken("wrong direction", "01 Jensen, logarithm", "X random positive", r"\log\mathbb{E}[X]", "≤",
       r"\mathbb{E}[\log X]")  # fmt: skip
broken("equality claimed", "01 Jensen, logarithm", "X random positive", r"\log\mathbb{E}[X]", "=",
       r"\mathbb{E}[\log X]")  # fmt: skip
link("01 Jensen, exponential", "X random", r"\mathbb{E}[e^X]", "≥", r"e^{\mathbb{E}[X]}")
broken("equality claimed", "01 Jensen, exponential", "X random", r"\mathbb{E}[e^X]", "=",
       r"e^{\mathbb{E}[X]}")  # fmt: skip
link("01 Jensen, one over", "X random positive", r"\mathbb{E}\left[\frac1X\right]", "≥",
     r"\frac{1}{\mathbb{E}[X]}")  # fmt: skip
broken("equality claimed", "01 ratio of means", "X, Y random independent positive",
       r"\mathbb{E}\left[\frac{X}{Y}\right]", "=", r"\frac{\mathbb{E}[X]}{\mathbb{E}[Y]}")  # fmt: skip
link("01 ratio of means", "X, Y random independent positive", r"\mathbb{E}\left[\frac{X}{Y}\right]",
     "=", r"\mathbb{E}[X]\,\mathbb{E}\left[\frac{1}{Y}\right]")  # fmt: skip
JENSEN = "x in {1..4}\np(x)\nf(x) real\nphi : R -> R "
link("01 Jensen, concave", JENSEN + "concave", r"\phi(\mathbb{E}_{p(x)}[f(x)])", "≥",
     r"\mathbb{E}_{p(x)}[\phi(f(x))]")  # fmt: skip
link("01 Jensen, convex", JENSEN + "convex", r"\phi(\mathbb{E}_{p(x)}[f(x)])", "≤",
     r"\mathbb{E}_{p(x)}[\phi(f(x))]")  # fmt: skip
broken("wrong direction", "01 Jensen, convex", JENSEN + "convex", r"\phi(\mathbb{E}_{p(x)}[f(x)])",
       "≥", r"\mathbb{E}_{p(x)}[\phi(f(x))]")  # fmt: skip
broken("only increasing", "01 Jensen, concave", JENSEN + "increasing",
       r"\phi(\mathbb{E}_{p(x)}[f(x)])", "≥", r"\mathbb{E}_{p(x)}[\phi(f(x))]")  # fmt: skip

# --- Algebra that slips in between ---------------------------------------------------------------

REAL = "a, b real"
POSITIVE = "a, b > 0"
link("square of a sum", REAL, "(a+b)^2", "=", "a^2+2ab+b^2", no_cross_term="a^2+b^2",
     no_two="a^2+ab+b^2")  # fmt: skip
link("log of a quotient", POSITIVE, r"\log\frac ab", "=", r"\log a-\log b",
     quotient=r"\frac{\log a}{\log b}")  # fmt: skip
broken("log of a sum", "log of a sum", POSITIVE, r"\log(a+b)", "=", r"\log a+\log b")
broken("one over a sum", "one over a sum", POSITIVE, r"\frac{1}{a+b}", "=", r"\frac1a+\frac1b")
link("product of powers", REAL, "e^{a+b}", "=", "e^a e^b", sum="e^a+e^b")
link("root of a square", POSITIVE, r"\sqrt{a^2}", "=", "a")
broken("wrong domain", "root of a square", REAL, r"\sqrt{a^2}", "=", "a")
broken("wrong domain", "log of a square", "a real", r"\log a^2", "=", r"2\log a")
link("log of a square", "a real", r"\log a^2", "=", r"2\log|a|")
link("geometric sum", "0 < a < 1\nn in 1..6", r"\sum_{t=0}^{n} a^t", "=", r"\frac{1-a^{n+1}}{1-a}",
     off_by_one=r"\frac{1-a^{n}}{1-a}", sign=r"\frac{1-a^{n+1}}{a-1}")  # fmt: skip
link("sum of the first numbers", "n in 1..6", r"\sum_{i=1}^{n} i", "=", r"\frac{n(n+1)}{2}",
     off_by_one=r"\frac{n(n-1)}{2}")  # fmt: skip
link("two means", POSITIVE, r"\frac{a+b}{2}", "≥", r"\sqrt{ab}", no_root="ab")
link("logarithm below its tangent", "a > 0", r"\log a", "≤", "a-1", off_by_one="a-2")
