"""Chapter 01's references against libraries, integrals and searches that know nothing of it."""

import math

import numpy as np
import pytest
import sympy
import torch
from points import approx, arrays, reference, tensors
from scipy import integrate, optimize, special, stats
from scipy.spatial.distance import jensenshannon
from torch import distributions as D
from torch.distributions import transforms
from torch.nn import functional as F

from genart_lessons.equations import find
from genart_lessons.proof import (
    Definition,
    Draws,
    Equation,
    Estimate,
    NearMiss,
    Numeric,
    Pairs,
    View,
    flat,
    judge,
)
from genart_lessons.proof.draws import points, uniform
from genart_lessons.proof.exact import _vanishes

pytestmark = pytest.mark.usefixtures("one_thread")


def ask(id: str, **given) -> np.ndarray:
    """The reference at arguments of one's own."""
    given = {k: torch.as_tensor(v, dtype=torch.float64) for k, v in given.items()}
    return find(id).reference(**given).numpy()


# -- maps ------------------------------------------------------------------------------------------


def test_the_pushforward_by_numpys_histogram():
    v = arrays("1.1")
    for k in range(50):
        made = np.bincount(v["g"][k], weights=v["p_z"][k], minlength=4)
        assert reference("1.1")[k] == approx(made @ v["f"][k])
        assert reference("1.1")[k] == approx(v["p_z"][k] @ v["f"][k][v["g"][k]])
    v = arrays("1.x1")
    for k in range(50):
        made = np.bincount(v["g"][k], weights=v["p_z"][k], minlength=4)
        assert reference("1.x1")[k] == approx(made)


U = np.linspace(0.001, 0.999, 500)


@pytest.mark.parametrize(("id", "given", "law"), [
    ("1.2", {"a": 2.0}, stats.beta(2, 1)),
    ("1.2", {"a": 0.5}, stats.powerlaw(0.5)),
    ("1.3", {"lam": 3.0}, stats.expon(scale=1 / 3)),
    ("1.x2", {"sigma": 0.5}, stats.rayleigh(scale=0.5)),
])  # fmt: skip
def test_inverses_by_scipys_quantiles(id, given, law):
    assert ask(id, u=U, **given) == approx(law.ppf(U))


def test_the_inverse_of_the_inverse_by_scipy():
    x = np.linspace(-3, 5, 300)
    for mu, sigma in ((0.0, 1.0), (2.0, 0.5), (-1.0, 3.0)):
        assert ask("1.4", mu=mu, sigma=sigma, x=x) == approx(stats.norm(mu, sigma).cdf(x))


MAPS = [
    transforms.AffineTransform(1.0, -2.5),
    transforms.ExpTransform(),
    transforms.SigmoidTransform(),
    transforms.TanhTransform(),
    transforms.ComposeTransform(
        [transforms.AffineTransform(0.0, -1.0), transforms.SoftplusTransform()]
    ),
]


@pytest.mark.parametrize("g", MAPS, ids=lambda g: type(g).__name__)
def test_the_change_of_variables_by_torchs_transformed_distributions(g):
    """dz and dx are a strip's widths; where the strip is narrow, dx/dz is the slope of the map."""
    z = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    x = g(z)
    dx = torch.autograd.grad(x.sum(), z)[0]
    noise = D.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
    want = D.TransformedDistribution(noise, g).log_prob(x).exp().detach().numpy()
    got = ask("1.5", p_z=noise.log_prob(z).exp().detach(), dz=torch.ones_like(dx), dx=dx)
    assert got == approx(want, rel=1e-7)


def test_the_log_normal_density_by_scipy():
    v = arrays("1.x3")
    law = stats.lognorm(s=v["sigma"], scale=np.exp(v["mu"]))
    assert reference("1.x3") == approx(law.pdf(v["x"]))


def test_densities_in_the_plane_by_torchs_multivariate_normal():
    t = tensors("1.6")
    noise = D.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    z = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covariance = find("1.9").reference(A=t["J"])
    x = (t["J"] @ z.unsqueeze(-1)).squeeze(-1)
    want = D.MultivariateNormal(torch.zeros(2).double(), covariance).log_prob(x)
    assert ask("1.6", log_p_z=noise.log_prob(z), J=t["J"]) == approx(want.numpy(), rel=1e-7)
    chain = tensors("1.12")["J"]
    product = chain[:, 2] @ chain[:, 1] @ chain[:, 0]
    once = ask("1.6", log_p_z=noise.log_prob(z), J=product)
    assert ask("1.12", log_p_z=noise.log_prob(z), J=chain) == approx(once)


def test_the_covariance_of_a_linear_map_by_drawing():
    A = arrays("1.9")["A"][:5]
    z = np.random.default_rng(0).standard_normal((2, 200_000))
    for each, want in zip(A, reference("1.9"), strict=False):
        x = each @ z
        products = x[:, None] * x[None]
        error = products.std(-1) / 200_000**0.5
        assert (abs(products.mean(-1) - want) < 4.5 * error).all()


def test_polar_coordinates_by_autograd_and_by_the_area_of_a_disc():
    def plane(at):
        return torch.stack([at[0] * at[1].cos(), at[0] * at[1].sin()])

    t = tensors("1.7")
    for k in range(10):
        J = torch.autograd.functional.jacobian(plane, torch.stack([t["r"][k], t["phi"][k]]))
        assert float(J.det().abs()) == approx(reference("1.7")[k])
    factor = find("1.7").reference
    area, _ = integrate.dblquad(
        lambda r, phi: float(factor(torch.tensor(r), torch.tensor(phi))), 0, 2 * math.pi, 0, 3,
        epsabs=1e-6,
    )  # fmt: skip
    assert area == pytest.approx(9 * math.pi, rel=1e-6)


def test_two_normal_numbers_by_their_square_their_angle_and_their_correlation():
    u_1, u_2 = torch.rand(2, 100_000, generator=torch.Generator().manual_seed(1)).double()
    z_1, z_2 = (z.numpy() for z in find("1.8").reference(u_1, u_2))
    assert stats.kstest(z_1**2 + z_2**2, stats.chi2(2).cdf).pvalue > 1e-4
    assert stats.kstest(np.arctan2(z_2, z_1), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-4
    assert stats.kstest(z_1, "norm").pvalue > 1e-4 and stats.kstest(z_2, "norm").pvalue > 1e-4
    assert abs(stats.pearsonr(z_1, z_2).statistic) < 4.5 / 100_000**0.5


def test_a_coupling_by_autograd():
    """Its inverse undoes it, and its log-determinant is that of the whole Jacobian."""
    net = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 6))
    net.double()

    def coupling(z):
        s, t = net(z[:1]).split(3)
        return torch.cat([z[:1], z[1:] * s.exp() + t])

    for seed in range(5):
        z = torch.randn(4, generator=torch.Generator().manual_seed(seed)).double()
        x, (s, t) = coupling(z), net(z[:1]).split(3)
        back = find("1.10").reference(x[1:], s, t)
        assert back.detach().numpy() == approx(z[1:].numpy())
        J = torch.autograd.functional.jacobian(coupling, z)
        logarithm = torch.linalg.slogdet(J).logabsdet
        assert find("1.11").reference(s[None]).item() == approx(logarithm.item())


# -- likelihood and divergences --------------------------------------------------------------------


def test_likelihoods_by_scipy():
    v = arrays("1.13")
    want = stats.norm(v["mu"][:, None], v["sigma"][:, None]).logpdf(v["x"]).sum(1)
    assert reference("1.13") == approx(want)


def test_the_most_likely_gaussian_by_scipys_fit_and_by_search():
    v = arrays("1.14")
    for k in range(10):
        x = v["x"][k]
        assert reference("1.14")[k] == approx(stats.norm.fit(x)[1] ** 2)
        found = optimize.minimize_scalar(
            lambda log_v, x=x: -stats.norm(x.mean(), math.exp(log_v / 2)).logpdf(x).sum(),
            bounds=(-5, 4), method="bounded", options={"xatol": 1e-9},
        )  # fmt: skip
        assert reference("1.14")[k] == pytest.approx(math.exp(found.x), rel=1e-6)


def test_entropies_and_divergences_by_scipy():
    v = arrays("1.16")
    p, q = v["p"], v["q"]
    m = (p + q) / 2
    assert reference("1.15") == approx(stats.entropy(arrays("1.15")["p"], axis=1))
    assert reference("1.16") == approx(stats.entropy(p, axis=1) + stats.entropy(p, q, axis=1))
    assert reference("1.17") == approx(special.rel_entr(p, q).sum(1))
    assert reference("1.18") == approx(special.entr(p).sum(1))
    assert (reference("1.18") <= reference("1.16")).all()
    for id in ("1.23", "1.24", "1.25"):
        assert reference(id) == approx(jensenshannon(p, q, axis=1) ** 2, rel=1e-7)
    want = stats.entropy(m, axis=1) - (stats.entropy(p, axis=1) + stats.entropy(q, axis=1)) / 2
    assert reference("1.24") == approx(want)
    assert (reference("1.25") > 0).all() and (reference("1.25") < math.log(2)).all()


def test_the_jensen_shannon_divergence_reaches_log_2_where_nothing_is_shared():
    p, q = [[0.5, 0.5, 0.0, 0.0]], [[0.0, 0.0, 0.3, 0.7]]
    assert ask("1.25", p=p, q=q)[0] == approx(math.log(2))
    assert ask("1.25", p=[[0.3, 0.7]], q=[[0.3, 0.7]])[0] == approx(0)


def test_a_half_is_the_largest_factor_in_pinskers_bound():
    v = arrays("1.26", 200)
    truth = special.rel_entr(v["p"], v["q"]).sum(1)
    assert (reference("1.26", 200) <= truth + 1e-12).all()
    assert (1.1 * reference("1.26", 200) > truth).any()
    p, q = np.array([0.5, 0.5]) + 1e-3, np.array([0.5, 0.5])
    p = p - [0, 2e-3]
    assert stats.entropy(p, q) / np.abs(p - q).sum() ** 2 == pytest.approx(1 / 2, rel=1e-4)


def slopes(f, logits, step=1e-6):
    moves = step * np.eye(len(logits))
    return [(f(logits + move) - f(logits - move)) / (2 * step) for move in moves]


def test_slopes_by_differences():
    v = arrays("1.19")
    for k in range(10):
        p, logits = v["p"][k], v["logits"][k]
        for forward in (
            lambda ell, p=p: -p @ special.log_softmax(ell),
            lambda ell, p=p: special.rel_entr(p, special.softmax(ell)).sum(),
        ):
            assert reference("1.19")[k] == pytest.approx(slopes(forward, logits), abs=1e-8)
        backward = slopes(lambda ell, p=p: special.rel_entr(special.softmax(ell), p).sum(), logits)
        assert ask("1.22", p=p[None], logits=logits[None])[0] == pytest.approx(backward, abs=1e-8)


def test_the_divergence_of_two_gaussians_by_quadrature():
    v = arrays("1.20")
    for k in range(6):
        p, q = (stats.norm(v[f"mu_{n}"][k], v[f"sigma_{n}"][k]) for n in "pq")
        span = 12 * p.std()
        want, _ = integrate.quad(
            lambda x, p=p, q=q: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)),
            p.mean() - span, p.mean() + span, epsabs=1e-12, limit=200,
        )  # fmt: skip
        assert reference("1.20")[k] == pytest.approx(want, rel=1e-7)


def test_the_gaussian_that_covers_everything_by_torch_and_by_search():
    t = tensors("1.21")
    mixture = D.MixtureSameFamily(D.Categorical(t["w"]), D.Normal(t["mu"], t["sigma"]))
    assert reference("1.21") == approx(mixture.variance.numpy())
    w, mu, sigma = (t[n][0].numpy() for n in ("w", "mu", "sigma"))

    def cross_entropy(at):  # E over each part of −log N(x; m, v), by Gauss-Hermite quadrature
        nodes, weights = np.polynomial.hermite_e.hermegauss(20)
        x = mu[:, None] + sigma[:, None] * nodes
        seen = stats.norm(at[0], math.exp(at[1] / 2)).logpdf(x)
        return -(w[:, None] * weights * seen).sum() / weights.sum()

    best = optimize.minimize(cross_entropy, [0.0, 0.0], tol=1e-10)
    assert math.exp(best.x[1]) == pytest.approx(reference("1.21")[0], rel=1e-5)
    assert best.x[0] == pytest.approx(w @ mu, abs=1e-5)


# -- Jensen and Monte Carlo ------------------------------------------------------------------------


def test_jensens_gap_by_scipy_and_by_a_small_step():
    v = arrays("1.27")
    mean = (v["p"] * v["f"]).sum(1)
    assert (reference("1.27") <= np.log(mean) + 1e-12).all()
    assert reference("1.27") == approx(np.log(stats.gmean(v["f"], axis=1, weights=v["p"])))
    step = 1e-3
    near = mean[:, None] + step * (v["f"] - mean[:, None])
    gap = np.log((v["p"] * near).sum(1)) - (v["p"] * np.log(near)).sum(1)
    assert ask("1.28", p=v["p"], f=v["f"]) == pytest.approx(gap / step**2, rel=1e-2)


def test_exact_means_by_quadrature():
    for case in find("1.29").evidence.cases:
        want = stats.norm().expect(lambda x, t=case["tau"]: math.exp(t * x), lb=-20, ub=20)
        assert find("1.29").evidence.truth(**case) == approx(want, rel=1e-8)
    for case in find("1.31").evidence.cases:
        p, q = stats.norm(case["mu"], 1), stats.norm(0, case["tau"])
        want = q.expect(lambda x, p=p, q=q: p.pdf(x) / q.pdf(x) * x**2, lb=-30, ub=30)
        assert find("1.31").evidence.truth(**case) == pytest.approx(want, rel=1e-7)


def test_the_standard_error_by_scipy():
    assert reference("1.30") == approx(stats.sem(arrays("1.30")["f"], axis=1))


def test_the_standard_error_covers_as_it_should_and_lies_for_cauchy():
    """With many draws, about 68 % of means are within one standard error; Cauchy's need not be."""
    rng = np.random.default_rng(0)
    f = rng.exponential(size=(4000, 100))
    error = find("1.30").reference(torch.tensor(f)).numpy()
    assert abs((abs(f.mean(1) - 1) < error).mean() - 0.683) < 0.03
    few, many = (rng.standard_cauchy((2000, n)).mean(1) for n in (10, 1000))
    assert stats.ks_2samp(few, many).pvalue > 1e-3  # a hundred times the draws, and no better


def test_effective_sample_sizes_at_their_ends_and_by_variances():
    assert ask("1.32", w=[[0.3] * 5])[0] == approx(5)
    assert ask("1.32", w=[[7.0, 0, 0, 0, 0]])[0] == approx(1)
    w = arrays("1.32")["w"]
    shares = w / w.sum(1, keepdims=True)
    f = np.random.default_rng(0).standard_normal((200_000, 5))
    for k in range(5):
        assert 1 / (f @ shares[k]).var() == pytest.approx(reference("1.32")[k], rel=0.02)


def test_the_mean_square_weight_by_quadrature():
    for tau in (0.8, 1.0, 1.5, 3.0):
        p, q = stats.norm(0, 1), stats.norm(0, tau)
        want = integrate.quad(lambda x, p=p, q=q: p.pdf(x) ** 2 / q.pdf(x), -20, 20)[0]
        assert ask("1.33", tau=tau) == pytest.approx(want, rel=1e-7)
    narrow = stats.norm(0, 0.7)  # below √½: what the integral comes to depends on where it ends
    sums = [
        integrate.quad(lambda x: stats.norm.pdf(x) ** 2 / narrow.pdf(x), -end, end)[0]
        for end in (10, 20)
    ]
    assert sums[1] > 2 * sums[0]


def test_the_entropy_of_a_picture_by_scipys_histogram():
    v = arrays("1.x4")
    for k in range(10):
        edges = v["a"][k] * np.arange(5)
        law = stats.rv_histogram((v["p"][k] / v["a"][k], edges), density=True)
        assert reference("1.x4")[k] == approx(law.entropy(), rel=1e-6)


def test_two_exponentials_by_quadrature():
    v = arrays("1.x5")
    for k in range(6):
        p, q = (stats.expon(scale=1 / v[n][k]) for n in ("lam", "kappa"))
        want = p.expect(lambda x, p=p, q=q: p.logpdf(x) - q.logpdf(x))
        assert reference("1.x5")[k] == pytest.approx(want, rel=1e-6, abs=1e-8)


def test_darts_by_scipys_binomial():
    for N in (10, 400):
        want = 4 * stats.binom(N, math.pi / 4).std() / N
        assert ask("1.x6", N=float(N)) == approx(want)


# -- what else people hand in ----------------------------------------------------------------------

_S = sympy.Symbol


def _polar(u_1, u_2):
    return torch.view_as_real(torch.polar((-2 * u_1.log()).sqrt(), 2 * math.pi * u_2))


RIGHT = [
    ("1.1", lambda p_z, g, f: (p_z * f.gather(-1, g)).sum(-1)),
    ("1.2", r"\sqrt[a]{1-u}"),
    ("1.2", lambda a, u: D.Beta(a, torch.ones_like(a)).sample()),
    ("1.3", r"-\frac{\log u}{\lambda}"),
    ("1.3", lambda rate, u: D.Exponential(rate).icdf(u)),
    ("1.3", -sympy.log(1 - _S("u")) / _S("lambda")),
    ("1.4", r"1-\Phi\left(\frac{x-\mu}{\sigma}\right)"),
    ("1.4", r"\frac12\left(1+\mathrm{erf}\left(\frac{x-\mu}{\sigma\sqrt2}\right)\right)"),
    ("1.4", lambda mu, sigma, x: D.Normal(mu, sigma).cdf(x)),
    ("1.5", r"\frac{p_z(z)}{\left|\frac{dx}{dz}\right|}"),
    ("1.5", lambda p_z, dz, dx: p_z / (dx / dz).abs()),
    ("1.6", r"\log\frac{p_z(z)}{|\det(J)|}"),
    ("1.6", lambda log_p_z, J: log_p_z + torch.linalg.inv(J).det().abs().log()),
    ("1.6", lambda log_p_z, J: log_p_z - torch.linalg.svdvals(J).log().sum(-1)),
    ("1.7", r"r(\cos^2\phi+\sin^2\phi)"),
    ("1.8", _polar),
    ("1.8", lambda u_1, u_2: _polar(1 - u_2, u_1).flip(-1)),
    ("1.8", lambda u_1, u_2: (torch.special.ndtri(u_1), torch.special.ndtri(u_2))),
    ("1.8", lambda u_1, u_2: torch.randn(len(u_1), 2)),
    ("1.9", r"A_i\cdot A_j"),
    ("1.10", r"\frac{x_2-t}{e^{s}}"),
    ("1.11", lambda s: torch.diag_embed(s.exp()).det().log()),
    ("1.12", r"\log\frac{p_z(z)}{\prod_{k=1}^{K}|\det J_k|}"),
    ("1.12", lambda log_p_z, J: log_p_z - (J[:, 2] @ J[:, 1] @ J[:, 0]).det().abs().log()),
    ("1.13", r"\sum_{n=1}^{N}\log p_\theta(x_n)"),
    ("1.13", r"-\frac N2\log(2\pi\sigma^2)-\frac{1}{2\sigma^2}\sum_{n=1}^{N}(x_n-\mu)^2"),
    ("1.14", r"\frac1N\sum_{n=1}^{N}x_n^2-\bar x^2"),
    ("1.15", r"\mathbb{E}_{x\sim p}[-\log p(x)]"),
    ("1.15", lambda p: D.Categorical(probs=p).entropy()),
    ("1.16", lambda p, q: F.cross_entropy(q.log(), p, reduction="none")),
    ("1.17", r"\sum_x p(x)(\log p(x)-\log q(x))"),
    ("1.17", lambda p, q: F.kl_div(q.log(), p, reduction="none").sum(-1)),
    ("1.18", "H(p)"),
    ("1.19", torch.vmap(torch.func.grad(lambda logits, p: F.cross_entropy(logits, p)))),
    ("1.20", r"\frac12\Big(\frac{\sigma_p^2+(\mu_q-\mu_p)^2}{\sigma_q^2}-1"
     r"-\log\frac{\sigma_p^2}{\sigma_q^2}\Big)"),
    ("1.21", lambda w, mu, sigma: (w * (sigma**2 + mu**2)).sum(-1) - (w * mu).sum(-1) ** 2),
    ("1.22", torch.vmap(torch.func.grad(
        lambda logits, p: (logits.softmax(-1) * (logits.log_softmax(-1) - p.log())).sum()
    ))),
    ("1.23", r"H(m)-\frac12H(p)-\frac12H(q)"),
    ("1.24", r"\frac12D_{KL}(p\Vert m)+\frac12D_{KL}(q\Vert m)"),
    ("1.25", r"\sum_x m(x)(\log 2-h(x))"),
    ("1.25", lambda p, q: math.log(2) - ((p + q) / 2 * D.Bernoulli(p / (p + q)).entropy()).sum(-1)),
    ("1.26", r"2\left(\frac12\sum_x|p(x)-q(x)|\right)^2"),
    ("1.27", r"\log\prod_x f(x)^{p(x)}"),
    ("1.28", r"\frac12\left(\frac{\mathbb{E}_{x\sim p}[f(x)^2]}{\mu^2}-1\right)"),
    ("1.29", lambda tau, f: f[:, 0]),
    ("1.30", r"\frac{s}{\sqrt N}"),
    ("1.31", r"\frac1N\sum_{n=1}^N w_nf(x_n)"),
    ("1.32", lambda w: w.shape[-1] / (1 + w.var(-1, correction=0) / w.mean(-1) ** 2)),
    ("1.33", lambda tau: tau / (2 - tau**-2).sqrt()),
    ("1.x1", lambda p_z, g: torch.stack([(p_z * (g == k)).sum(-1) for k in range(4)], -1)),
    ("1.x2", lambda sigma, u: sigma * torch.randn(len(u), 2).norm(dim=-1)),
    ("1.x3", lambda x, mu, sigma: D.Normal(mu, sigma).log_prob(x.log()).exp() / x),
    ("1.x4", r"-\sum_x p(x)\log\frac{p(x)}{a}"),
    ("1.x5", r"\frac{\kappa}{\lambda}-1-\log\frac{\kappa}{\lambda}"),
    ("1.x6", r"4\sqrt{\frac{\frac\pi4(1-\frac\pi4)}{N}}"),
]  # fmt: skip


def _name(candidate) -> str:
    return candidate if isinstance(candidate, str) else type(candidate).__name__


@pytest.mark.parametrize(("id", "candidate"), RIGHT, ids=_name)
def test_other_ways_to_write_what_is_right(id, candidate):
    verdict = judge(find(id), candidate)
    assert verdict.ok is True, verdict


WRONG = [
    ("1.1", lambda p_z, g, f: (p_z.gather(-1, g) * f).sum(-1), "different"),
    ("1.2", "1-u^{1/a}", "mean is 0.33"),
    ("1.2", lambda a, u: u.sort().values ** (1 / a), "its own u"),
    ("1.2", lambda a, u: u.flip(0) ** (1 / a), "its own u"),
    ("1.3", lambda lam, u: torch.poisson(lam), "the shape is not"),
    ("1.3", lambda lam, u: -torch.log1p(-u) / lam.mean(), "parameters"),
    ("1.4", lambda mu, sigma, x: x.argsort().argsort() / len(x), "its own x"),
    ("1.4", lambda mu, sigma, x: D.Normal(mu, sigma**2).cdf(x), "divided by σ²"),
    ("1.5", r"\log p_z(z)-\log\left|\frac{dx}{dz}\right|", "different"),
    ("1.6", r"\log p_z(z)-\log|J|", "table of numbers"),
    ("1.6", lambda log_p_z, J: log_p_z - torch.logdet(J.mT @ J), "different"),
    ("1.7", lambda r, phi: r.mean(), "one number"),
    ("1.8", lambda u_1, u_2: torch.special.ndtri(u_1), "shape"),
    ("1.8", r"\sqrt{-2\log u_1}\cos(2\pi u_2)", "shape"),
    ("1.8", lambda u_1, u_2: (u_1, u_2), "mean is 0.5"),
    ("1.8", lambda u_1, u_2: 12**0.5 * (torch.stack([u_1, u_2], -1) - 0.5), "the shape is not"),
    ("1.8", lambda u_1, u_2: 1.03 * _polar(u_1, u_2), "standard deviation is 1.02"),
    ("1.8", lambda u_1, u_2: torch.special.ndtri(torch.stack([u_1, u_1.roll(1)], -1)), "its own"),
    ("1.9", lambda A: (A @ A.mT).sum(-1), "shape"),
    ("1.12", lambda log_p_z, J: log_p_z - torch.linalg.slogdet(J).logabsdet.mean(-1), "layers"),
    ("1.13", r"-\frac12\log(2\pi\sigma^2)-\sum_n\frac{(x_n-\mu)^2}{2\sigma^2}", "different"),
    ("1.14", lambda x: x.std(-1) ** 2, "unbiased"),
    ("1.16", lambda p, q: F.cross_entropy(q, p, reduction="none"), "different"),
    ("1.17", r"D_{KL}(p\Vert q)", "left-hand side again"),
    ("1.17", lambda p, q: F.kl_div(p.log(), q, reduction="none").sum(-1), "other direction"),
    ("1.17", lambda p, q: F.kl_div(q.log(), p, reduction="batchmean"), "one number"),
    ("1.18", lambda p, q: torch.minimum(-(p * q.log()).sum(-1), -(p * p.log()).sum(-1) + 0.01),
     "another bound"),
    ("1.19", lambda p, logits: logits.softmax(0) - p, "different"),
    ("1.23", r"\mathrm{JSD}(p\Vert q)", "left-hand side again"),
    ("1.26", "0", "another bound"),
    ("1.26", r"D_{KL}(p\Vert q)", "another bound"),
    ("1.27", lambda p, f: f.log().amax(-1), "lies above"),
    ("1.29", lambda tau, f: (tau**2 / 2).exp(), "nothing is estimated"),
    ("1.29", lambda tau, f: f.sort(-1).values[:, 1:3].mean(-1), "the mean of 100,000"),
    ("1.31", lambda mu, tau, p, q, f: ((p / q).clamp(max=1) * f).mean(-1), "the mean of 100,000"),
    ("1.32", r"\sqrt{\frac{(\sum_n w_n)^2}{\sum_n w_n^2}}", "different"),
    ("1.x1", lambda p_z, g: torch.zeros_like(p_z).scatter(-1, g, p_z), "different"),
    ("1.x6", r"\sqrt{\frac{\pi(1-\pi)}{N}}", "not finite"),
]  # fmt: skip


@pytest.mark.parametrize(("id", "candidate", "says"), WRONG, ids=_name)
def test_other_ways_to_write_what_is_wrong(id, candidate, says):
    verdict = judge(find(id), candidate)
    assert verdict.ok is False and says in verdict.sentence, verdict


@pytest.mark.parametrize(("id", "wrong"), [
    ("1.2", ["u^{2/a}", "2u^{1/a}", "-u^{1/a}", "u^{1/a}+1", "a^{1/u}", "u^{-1/a}"]),
    ("1.3", [r"-\frac{\log(1+u)}{\lambda}", r"-\frac{\log(1-u)}{2\lambda}", r"-\log(1-u)",
             r"-\frac{1-u}{\lambda}", r"-\frac{\log(1-u)}{\lambda^2}",
             r"-\frac{\log(2-u)}{\lambda}"]),
    ("1.4", [r"\Phi\left(\frac{x+\mu}{\sigma}\right)", r"2\Phi\left(\frac{x-\mu}{\sigma}\right)",
             r"\Phi\left(\frac{x}{\sigma}\right)", r"\Phi(x-\mu)",
             r"\Phi\left(\frac{2(x-\mu)}{\sigma}\right)"]),
    ("1.x2", [r"\sigma\sqrt{-2\log(1+u)}", r"2\sigma\sqrt{-2\log(1-u)}", r"\sqrt{-2\log(1-u)}",
              r"-\sigma\sqrt{-2\log(1-u)}", r"\sigma\sqrt{-3\log(1-u)}"]),
])  # fmt: skip
def test_every_slip_in_a_sampler_is_refused(id, wrong):
    for candidate in wrong:
        assert judge(find(id), candidate).ok is False, candidate


# -- what the proof room has learned for this chapter ----------------------------------------------


def in_the_plane(law=stats.norm) -> Equation:
    views = (
        View("across", lambda x: x[:, 0], law),
        View("upwards", lambda x: x[:, 1], law),
        View("aslant", lambda x: (x[:, 0] + x[:, 1]) / 2**0.5, law),
    )
    return Equation(
        "9.1", "a pair", "x", "x", "", lambda eps, eta: (eps, eta),
        Pairs(({},), views, ("eps", "eta"), lambda count, generator: tuple(
            torch.randn(2, count, generator=generator, dtype=torch.float64)
        )),
        (NearMiss(lambda eps, eta: (eps, eps), "twice the same"),),
        typeset_only="a pair",
    )  # fmt: skip


def test_pairs_are_judged_by_their_shadows():
    pair = in_the_plane()
    assert judge(pair, pair.reference).ok
    assert judge(pair, lambda eps, eta: torch.stack([eta, -eps], -1)).ok
    for wrong, says in (
        (lambda eps, eta: (eps, eps), "twice the same. Aslant: the draws' standard deviation is 1"),
        (lambda eps, eta: (eps, torch.randn(1).double() * eps), "upwards: the draws' standard"),
        (lambda eps, eta: (eps, eta + 0.1), "upwards: the draws' mean is"),
        (lambda eps, eta: (eps, eta.sort().values), "must depend on its own eps, eta"),
        (lambda eps, eta: (eps, eta * float("nan")), "upwards: some draws are not finite"),
        (lambda eps, eta: eps, "must answer with shape (20000, 2)"),
        (lambda eps, eta: (eps, eta, eta), "must answer with shape (20000, 2)"),
    ):
        verdict = judge(pair, wrong)
        assert verdict.ok is False and says in verdict.sentence, verdict
    same_law = judge(pair, lambda eps, eta: (eta, eta))  # other numbers, and the same mistake
    assert same_law.mistake == "twice the same"


def test_draws_may_have_noise_of_another_kind_or_two():
    def of(evidence, reference):
        return Equation("9.2", "noise", "x", "x", "", reference, evidence)

    one = of(Draws(({},), lambda: stats.uniform(), "u", flat), lambda u: u)
    assert judge(one, lambda u: 1 - u).ok and judge(one, "u^2").ok is False
    assert judge(one, lambda u: torch.rand_like(u)).ok
    two = of(
        Draws(({"c": 1.0}, {"c": 3.0}), lambda c: stats.triang(0.5, scale=c), ("u", "v"),
              lambda count, generator, c: tuple(
                  c * torch.rand(2, count, generator=generator, dtype=torch.float64) / 2)),
        lambda c, u, v: u + v,
    )  # fmt: skip
    assert judge(two, "u+v").ok and judge(two, "2u").ok is False
    assert "its own u, v" in judge(two, lambda c, u, v: u + v.flip(0)).sentence
    many = of(
        Estimate(({"m": 2.0},), lambda m: m, 0.1, "x", lambda count, generator, m: (
            m + torch.randn(count, 3, generator=generator, dtype=torch.float64)), 10_000),
        lambda m, x: x.mean(-1),
    )  # fmt: skip
    assert judge(many, r"\frac13\sum_{n=1}^{3}x_n").ok
    assert judge(many, lambda m, x: x.amax(-1)).ok is False
    assert judge(many, lambda m, x: x.flip(0).mean(-1)).ok is False


def test_determinants_are_read():
    points_ = points(d=uniform(0.5, 2), e=uniform(0.5, 2, 3))
    equation = Equation(
        "9.3", "d", "x", r"\log\det J-\sum_k\log\det B_k", "",
        lambda d, e: d.log() - e.log().sum(-1), Numeric(points_),
        symbols={"det_J": lambda d, e: d, "det_B": lambda d, e: e},
    )  # fmt: skip
    for right in (
        r"\log\det J-\sum_k\log\det B_k",
        r"\log\left|\det(J)\right|-\sum_{k=1}^{3}\log\lvert\det B_k\rvert",
        r"\log\frac{\det J}{\prod_{k}\det[B_k]}",
    ):
        assert judge(equation, right).ok, right
    for wrong, says in (
        (r"\log\det J\sum_k\log\det B_k", "different"),
        (r"\log\det Q", "unknown symbol det_Q"),
        (r"\log\det B", "list of numbers"),
        (r"\log\det(J", "never closed"),
        (r"\log\det", "ends too early"),
        (r"\log\det J_k", "unknown symbol det_J_k"),
        (r"\log\det B_k", "outside its sum"),
    ):
        verdict = judge(equation, wrong)
        assert verdict.ok is False and says in verdict.sentence, (wrong, verdict)


def test_bars_are_taken_apart_in_algebra():
    x, y = sympy.symbols("x y", real=True, nonzero=True)
    assert _vanishes(abs(x / y) - abs(x) / abs(y), {})
    assert _vanishes(sympy.log(abs(x * y)) - sympy.log(abs(x)) - sympy.log(abs(y)), {})
    assert _vanishes(abs(x * y + x) - abs(x) * abs(y + 1), {})
    assert not _vanishes(abs(x + y) - abs(x) - abs(y), {})
    assert not _vanishes(abs(x / y) - x / y, {})


def test_a_divergence_written_out_is_an_answer_and_its_name_is_none():
    table = points(p=lambda g, n: torch.rand(n, 3, generator=g).double().softmax(-1),
                   q=lambda g, n: torch.rand(n, 3, generator=g).double().softmax(-1))  # fmt: skip
    p, q = sympy.symbols("p_1:4 q_1:4", positive=True), None
    p, q = p[:3], p[3:]
    equation = Equation(
        "9.4", "d", r"D_{\mathrm{KL}}(p\,\Vert\,q)", r"\sum_x p(x)\log\frac{p(x)}{q(x)}", "",
        lambda p, q: (p * (p / q).log()).sum(-1), Numeric(table),
        symbols={"p(x)": lambda p, q: p, "q(x)": lambda p, q: q},
        definition=Definition(
            "proved", lambda: sympy.Add(*(a * sympy.log(a / b) for a, b in zip(p, q, strict=True))),
            {"p(x)": p, "q(x)": q},
        ),
    )  # fmt: skip
    assert judge(equation, r"\sum_x p(x)(\log p(x)-\log q(x))").kind == "exact and numeric"
    for name in (
        r"D_{KL}(p\Vert q)",
        r"\mathrm{KL}(p\,\|\,q)",
        r"D_{KL}(p\Vert q)=D_{KL}(p\Vert q)",
    ):
        assert "left-hand side again" in judge(equation, name).sentence
