"""Chapter 04's references against libraries and searches that know nothing of the course."""

import itertools
import math

import numpy as np
import pytest
import torch
from points import reference, tensors
from scipy import integrate, linalg, optimize, special, stats
from scipy.spatial.distance import jensenshannon
from torch.nn import functional as F

from genart_lessons.equations import find
from genart_lessons.proof import judge
from genart_lessons.proof.evidence import symbol_values

pytestmark = pytest.mark.usefixtures("one_thread")


def values(id: str, count: int = 50) -> dict[str, np.ndarray]:
    return {k: v.numpy() for k, v in symbol_values(find(id), tensors(id, count)).items()}


def approx(want, rel=1e-9):
    return pytest.approx(want, rel=rel, abs=1e-10)


# -- the value, and its best discriminator ---------------------------------------------------------


def test_the_value_by_counting_every_noise():
    v = values("4.1")
    for k in range(50):
        real = sum(v["p_data"][k, x] * np.log(v["D"][k, x]) for x in range(4))
        fake = sum(v["p_z"][k, z] * np.log(1 - v["D"][k, v["G"][k, z]]) for z in range(4))
        assert reference("4.1")[k] == approx(real + fake)


def test_the_pushforward_by_numpys_histogram():
    v = values("4.2")
    for k in range(50):
        made = np.bincount(v["G"][k], weights=v["p_z"][k], minlength=4)
        assert v["p_g(x)"][k] == approx(made)
        assert reference("4.2")[k] == approx((v["p_z"][k] * v["f"][k][v["G"][k]]).sum())


@pytest.mark.parametrize("id", ["4.4", "4.18", "4.x1", "4.x3"])
def test_the_best_discriminator_by_search(id):
    v = values(id)

    def cost(y, k, x):
        p, q = v["p_data"][k, x], v["p_g"][k, x]
        if id == "4.18":
            return p * (y - v["b"][k]) ** 2 + q * (y - v["a"][k]) ** 2
        if id == "4.x1":
            p, q = p * v["pi"][k], q * (1 - v["pi"][k])
        label = 0.9 if id == "4.x3" else 1
        return -p * (label * np.log(y) + (1 - label) * np.log(1 - y)) - q * np.log(1 - y)

    for k, x in itertools.product(range(5), range(4)):
        bounds = (-2, 2) if id == "4.18" else (1e-9, 1 - 1e-9)
        found = optimize.minimize_scalar(
            cost, args=(k, x), bounds=bounds, method="bounded", options={"xatol": 1e-10}
        )
        assert reference(id)[k, x] == pytest.approx(found.x, abs=1e-6)


def test_the_best_bet_by_search():
    v = values("4.3")
    for k in range(10):
        found = optimize.minimize_scalar(
            lambda y, a=v["a"][k], b=v["b"][k]: -a * np.log(y) - b * np.log(1 - y),
            bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-10},
        )  # fmt: skip
        assert reference("4.3")[k] == pytest.approx(found.x, abs=1e-6)


@pytest.mark.parametrize("id", ["4.5", "4.x4"])
def test_the_divergence_by_scipy(id):
    v = values(id)
    assert reference(id) == approx(jensenshannon(v["p_data"], v["p_g"], axis=1) ** 2, rel=1e-7)


def test_values_and_bounds_by_scipys_tables():
    v = values("4.6")
    p, q = v["p_data"], v["p_g"]
    best = p / (p + q)
    value = (p * np.log(best) + q * np.log1p(-best)).sum(1)
    assert reference("4.6") == approx(value)
    assert value == approx(2 * jensenshannon(p, q, axis=1) ** 2 - np.log(4))
    assert (value >= reference("4.8")[:1]).all() and reference("4.8")[0] == approx(-np.log(4))
    v = values("4.7")
    cross = special.xlogy(v["p_data"], v["D"]) + special.xlog1py(v["p_g"], -v["D"])
    assert reference("4.7") == approx(np.log(2) + cross.sum(1) / 2)
    v = values("4.9")
    bound = linalg.norm(v["p_data"] - v["p_g"], 1, axis=1) ** 2 / 8
    assert reference("4.9") == approx(bound)
    assert (bound <= jensenshannon(v["p_data"], v["p_g"], axis=1) ** 2 + 1e-12).all()


def test_pinskers_bound_is_tried_where_it_is_narrow_and_where_it_is_wide():
    """⅛ is the largest factor that holds; in half of the worlds hardly a picture is shared."""
    v = values("4.9", 200)
    apart = np.abs(v["p_data"] - v["p_g"]).sum(1)
    truth = jensenshannon(v["p_data"], v["p_g"], axis=1) ** 2
    assert (apart > 1.8).sum() > 50 and (apart < 1).sum() > 50
    assert (apart**2 / 2 > truth).mean() > 0.9 and (apart**2 / 4 > truth).any()
    p = np.array([0.5, 0.5]) + 1e-3 * np.array([1, -1])
    assert jensenshannon(p, p[::-1]) ** 2 / (4e-3) ** 2 == pytest.approx(1 / 8, rel=1e-4)


# -- losses ----------------------------------------------------------------------------------------


def test_stable_logarithms_by_mpmath():
    import mpmath

    logits = values("4.10", 200)["logits"]
    with mpmath.workdps(1000):
        for k in range(0, 200, 5):
            share = 1 / (1 + mpmath.exp(-mpmath.mpf(float(logits[k]))))
            assert reference("4.10", 200)[k] == approx(float(mpmath.log(share)))
            assert reference("4.11", 200)[k] == approx(float(mpmath.log(1 - share)))


@pytest.mark.parametrize("right", [
    lambda logits: -F.softplus(-logits), F.logsigmoid,
    lambda logits: -torch.logaddexp(torch.zeros_like(logits), -logits),
    lambda logits: -F.binary_cross_entropy_with_logits(
        logits, torch.ones_like(logits), reduction="none"
    ),
])  # fmt: skip
def test_what_is_stable_passes(right):
    assert judge(find("4.10"), right).ok
    assert judge(find("4.11"), lambda logits: right(-logits)).ok


@pytest.mark.parametrize(("id", "naive"), [
    ("4.10", lambda logits: logits.sigmoid().log()),
    ("4.10", r"-\log(1+e^{-\ell})"),
    ("4.10", r"\log\sigma(\ell)"),
    ("4.10", r"\ell-\log(1+e^{\ell})"),
    ("4.10", lambda logits: (logits.exp() / (1 + logits.exp())).log()),
    ("4.11", lambda logits: (1 - logits.sigmoid()).log()),
    ("4.11", r"\log(1-\sigma(\ell))"),
    ("4.11", r"\log\left(1-\frac{1}{1+e^{-\ell}}\right)"),
    ("4.11", r"-\ell-\log(1+e^{-\ell})"),
    ("4.11", r"-\log(1+e^{\ell})"),
    ("4.11", r"\log\frac{e^{-\ell}}{1+e^{-\ell}}"),
])  # fmt: skip
def test_what_is_right_on_paper_only_is_told_so(id, naive):
    """By its own sentence where people really write it, and in general words elsewhere."""
    verdict = judge(find(id), naive)
    assert verdict.ok is False and "right on paper" in verdict.sentence, verdict


def test_what_is_wrong_on_paper_too_is_not_excused():
    for wrong in (r"\log(1+e^{-\ell})", r"\log\ell", lambda logits: logits.exp().log() * 2):
        verdict = judge(find("4.10"), wrong)
        assert verdict.ok is False and "paper" not in verdict.sentence, verdict


def test_losses_by_torchs_cross_entropy():
    t = tensors("4.12")
    for k in range(50):
        real, fake = t["real"][k], t["fake"][k]
        bce = F.binary_cross_entropy_with_logits
        one, zero = torch.ones(4).double(), torch.zeros(4).double()
        assert reference("4.12")[k] == approx(float(bce(real, one) + bce(fake, zero)))
    t = tensors("4.13")
    for k in range(50):
        assert reference("4.13")[k] == approx(-float(bce(t["fake"][k], zero)))
        assert reference("4.14")[k] == approx(float(bce(t["fake"][k], one)))


def test_a_loss_that_knows_fewer_names_is_welcome():
    assert judge(find("4.13"), lambda fake: -F.softplus(fake).mean(-1)).ok
    assert judge(find("4.14"), lambda logits: F.softplus(-logits).mean(-1)).ok
    assert judge(find("4.12"), lambda r, f: (F.softplus(-r) + F.softplus(f)).mean(-1)).ok


def test_the_hinge_by_numpy():
    v = values("4.x2")
    want = np.maximum(0, 1 - v["real"]).mean(1) + np.maximum(0, 1 + v["fake"]).mean(1)
    assert reference("4.x2") == approx(want)


@pytest.mark.parametrize(("id", "loss"), [
    ("4.15", lambda ell: np.log1p(-special.expit(ell))),
    ("4.16", lambda ell: -np.log(special.expit(ell))),
])  # fmt: skip
def test_slopes_by_differences(id, loss):
    ell, step = values(id)["logits"], 1e-6
    slope = (loss(ell + step) - loss(ell - step)) / (2 * step)
    assert reference(id) == pytest.approx(slope, abs=1e-7)


# -- what a generator's step follows ---------------------------------------------------------------


def both_sides(theta, p_data):
    """∇ E[−log D*], D* detached, and ∇ (KL(p_g‖p_data) − 2 JSD), both by autograd."""
    theta = theta.clone().requires_grad_()
    p_g = theta.softmax(-1)
    m = (p_data + p_g) / 2
    held = -(p_g * (p_data / (p_data + p_g)).detach().log()).sum()
    kl = (p_g * (p_g / p_data).log()).sum()
    twice = (p_data * (p_data / m).log()).sum() + (p_g * (p_g / m).log()).sum()
    left = torch.autograd.grad(held, theta, retain_graph=True)[0]
    return left, torch.autograd.grad(kl - twice, theta)[0]


def test_both_sides_of_the_non_saturating_step_by_autograd():
    left, right = both_sides(**tensors("4.17"))
    assert torch.allclose(left, right, atol=1e-12)
    assert reference("4.17") == approx(left.numpy())


@pytest.mark.parametrize("side", [0, 1])
def test_autograd_works_inside_a_candidate_wherever_it_is_asked(side):
    with torch.no_grad():
        verdict = judge(find("4.17"), lambda theta, p_data: both_sides(theta, p_data)[side])
    assert verdict.ok, verdict


def test_least_squares_by_its_definition():
    v = values("4.19")
    p, q = v["p_data"], v["p_g"]
    best = (p - q) / (p + q)  # (4.18) with a = −1, b = 1; c = 0
    assert reference("4.19") == approx((p * best**2 + q * best**2).sum(1))
    for k in range(10):  # Pearson's χ² of what is seen, 2p_g, where p_data + p_g is expected
        chi2 = stats.chisquare(2 * q[k] / 2, (p[k] + q[k]) / 2).statistic * 2
        assert reference("4.19")[k] == approx(chi2)
    v = values("4.x8")
    assert reference("4.x8") == approx(v["D"] - v["c"])


# -- transport -------------------------------------------------------------------------------------


def test_the_distance_of_samples_by_scipy():
    v = values("4.20")
    for k in range(50):
        assert reference("4.20")[k] == approx(stats.wasserstein_distance(v["x"][k], v["y"][k]))
        pairs = np.abs(v["x"][k][:, None] - v["y"][k])  # the best of all ways to pair them
        assert reference("4.20")[k] == approx(pairs[optimize.linear_sum_assignment(pairs)].mean())


def test_the_bound_by_critics_by_scipy_and_by_a_linear_programme():
    v, places = values("4.21"), np.arange(5.0)
    steps = np.diff(np.eye(5), axis=0)  # f's slopes are steps @ f
    for k in range(20):
        p, q = v["p"][k], v["q"][k]
        distance = stats.wasserstein_distance(places, places, p, q)
        f = np.concatenate([[0], np.cumsum(v["s"][k])])
        assert reference("4.21")[k] == approx(p @ f - q @ f) and p @ f - q @ f <= distance + 1e-12
        best = optimize.linprog(
            q - p, A_ub=np.vstack([steps, -steps]), b_ub=np.ones(8), bounds=[(-10, 10)] * 5
        )
        assert -best.fun == pytest.approx(distance, abs=1e-9)
    touching = find("4.21").reference(**find("4.21").evidence.tight(tensors("4.21"))).numpy()
    for k in range(50):
        want = stats.wasserstein_distance(places, places, v["p"][k], v["q"][k])
        assert touching[k] == approx(want)


# -- penalties, by autograd ------------------------------------------------------------------------


def test_the_gradient_penalty_by_autograd():
    def penalty(x, x_fake, eps, w1, w2, lam):
        at = (eps * x + (1 - eps) * x_fake).requires_grad_()
        critic = w1[:, None] * at + w2[:, None] * at**2
        (slope,) = torch.autograd.grad(critic.sum(), at)
        return lam * ((slope.abs() - 1) ** 2).mean(-1)

    assert reference("4.22") == approx(penalty(**tensors("4.22")).numpy())
    assert judge(find("4.22"), penalty).ok


def test_r1_by_autograd():
    def penalty(x, w, v, gamma):  # the fakes are of no interest
        x = x.requires_grad_()
        logit = (x * w[:, None]).sum(-1) + (x * v[:, None]).sum(-1) ** 2
        (slope,) = torch.autograd.grad(logit.sum(), x)
        return gamma / 2 * slope.square().sum(-1).mean(-1)

    t = tensors("4.23")
    t.pop("x_fake")
    assert reference("4.23") == approx(penalty(**t).detach().numpy())
    assert judge(find("4.23"), penalty).ok


# -- games -----------------------------------------------------------------------------------------


def dirac(theta, psi):
    return F.logsigmoid(theta * psi) + F.logsigmoid(torch.zeros_like(psi))


def test_the_field_by_autograd():
    t = {k: v.clone().requires_grad_() for k, v in tensors("4.24").items()}
    down, up = torch.autograd.grad(dirac(**t).sum(), (t["theta"], t["psi"]))
    assert reference("4.24") == approx(torch.stack([-down, up], -1).numpy())


def test_the_eigenvalues_by_numpy_and_by_differences():
    gamma = values("4.27")["gamma"]

    def field(at, penalty):
        theta, psi = at
        push = special.expit(-theta * psi)
        return np.array([-psi * push, theta * push - penalty * psi])

    for k in range(20):
        steps = 1e-6 * np.eye(2)
        columns = [(field(s, gamma[k]) - field(-s, gamma[k])) / 2e-6 for s in steps]
        found = np.linalg.eigvals(np.stack(columns, 1))
        assert reference("4.27")[k] == pytest.approx(found.real.max(), abs=1e-6)
        # Mescheder et al. 2018: −γ/2 ± √(γ²/4 − f'(0)²), and f'(0) = ½
        root = np.sqrt(complex(gamma[k] ** 2 / 4 - 0.25))
        assert sorted(found.imag) == pytest.approx(sorted([root.imag, -root.imag]), abs=1e-6)


def test_the_games_by_matrices():
    """One step is a matrix; in turn, its determinant is 1, and for η < 2 it only turns."""
    v = values("4.25")
    for k in range(20):
        eta, at = v["eta"][k], np.array([v["theta"][k], v["psi"][k]])
        first, second = np.array([[1, -eta], [0, 1]]), np.array([[1, 0], [eta, 1]])
        both = np.array([[1, -eta], [eta, 1]])
        assert reference("4.25")[k] == approx(((both @ at) ** 2).sum())
        new = second @ first @ at
        kept = (at**2).sum() - eta * at.prod()
        assert reference("4.26")[k] == approx(kept) == (new**2).sum() - eta * new.prod()
        assert np.linalg.det(second @ first) == approx(1)
        assert np.abs(np.linalg.eigvals(second @ first)) == approx(np.ones(2))
    for eta, factor in zip(values("4.x6")["eta"], reference("4.x6"), strict=True):
        turn = np.array([[0, -1], [1, 0]])  # the game's field is turn @ at
        extra = np.eye(2) + eta * turn @ (np.eye(2) + eta * turn)
        assert extra.T @ extra == approx(factor * np.eye(2))


# -- measures --------------------------------------------------------------------------------------


def test_the_spectral_norm_by_numpy_and_torchs_parametrization():
    t = tensors("4.28", 10)["W"]
    for k in range(10):
        assert reference("4.28", 10)[k] == approx(np.linalg.svd(t[k].numpy())[1].max())
        layer = torch.nn.Linear(3, 3, bias=False).double()
        layer.weight.data = t[k].clone()
        torch.manual_seed(0)
        torch.nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=500)
        unit = layer(torch.eye(3).double()).T.detach()  # W/σ(W)
        assert unit.numpy() == pytest.approx((t[k] / reference("4.28", 10)[k]).numpy(), abs=1e-6)


def test_the_spectral_norm_by_many_iterations_passes_and_by_few_does_not():
    assert judge(find("4.28"), lambda W: iterated(W, 2000)).ok
    assert judge(find("4.28"), lambda W: iterated(W, 2)).ok is False


def iterated(W, steps):
    h = torch.ones_like(W[..., :1])
    for _ in range(steps):
        h = W.mT @ (W @ h)
        h = h / h.norm(dim=-2, keepdim=True)
    return (W @ h).norm(dim=-2).squeeze(-1)


def test_the_frechet_distance_by_scipys_root():
    v = values("4.29", 20)
    for k in range(20):
        mu1, s1, mu2, s2 = (v[n][k] for n in ("mu1", "sigma1", "mu2", "sigma2"))
        root = linalg.sqrtm(s1 @ s2)
        want = ((mu1 - mu2) ** 2).sum() + np.trace(s1 + s2 - 2 * root.real)
        assert reference("4.29", 20)[k] == pytest.approx(want, rel=1e-7)


def test_the_frechet_distance_on_a_line_by_quantiles():
    """In one dimension it is W₂², and quantiles go to quantiles."""
    v = values("4.x5", 5)
    for k in range(5):
        one, two = (stats.norm(v[f"mu{i}"][k], v[f"sigma{i}"][k]) for i in (1, 2))
        area, _ = integrate.quad(lambda u, a=one, b=two: (a.ppf(u) - b.ppf(u)) ** 2, 0, 1)
        assert reference("4.x5", 5)[k] == pytest.approx(area, rel=1e-5)


def test_features_by_scipy():
    v = values("4.30")
    for k in range(20):
        law = stats.multivariate_normal(v["features_hat"][k], np.eye(4))
        assert reference("4.30")[k] == approx(-law.logpdf(v["features"][k]))


def test_the_average_by_its_closed_form_and_by_torch():
    from torch.optim.swa_utils import get_ema_avg_fn

    v = values("4.31", 10)
    for k in range(10):
        theta, start, d = v["theta"][k], v["start"][k], float(v["d"][k])
        weights = (1 - d) * d ** np.arange(4, -1, -1)
        assert reference("4.31", 10)[k] == approx(d**5 * start + weights @ theta)
        follow, average = get_ema_avg_fn(d), torch.tensor(start)
        for each in torch.tensor(theta):
            average = follow(average, each, None)
        assert reference("4.31", 10)[k] == approx(float(average))


@pytest.mark.parametrize(("modes", "draws"), [(2, 1), (2, 5), (3, 4), (4, 4)])
def test_modes_by_counting_every_outcome(modes, draws):
    outcomes = itertools.product(range(modes), repeat=draws)
    seen = np.mean([len(set(outcome)) for outcome in outcomes])
    asked = {"K": torch.tensor([float(modes)]).double(), "n": torch.tensor([float(draws)]).double()}
    assert float(find("4.x7").reference(**asked)) == approx(seen)


def mixed(p):
    return rf"D_{{KL}}({p}\Vert \frac12(p_{{data}}+p_g))"


RIGHT = {
    "4.5": rf"\frac12{mixed('p_{data}')}+\frac12{mixed('p_g')}",
    "4.8": lambda p_data, p_g: -math.log(4),
    "4.20": r"\frac1n\sum_{i=1}^n\|x_{(i)}-y_{(i)}\|",
    "4.24": lambda theta, psi: (
        -psi * torch.sigmoid(-theta * psi), theta * torch.sigmoid(-theta * psi)
    ),
    "4.30": r"\frac12\sum_{i=1}^n\|f_i-\tilde f_i\|^2+\frac n2\log 2\pi",
    "4.x4": lambda: math.log(2),
}  # fmt: skip
WRONG = {
    "4.5": rf"{mixed('p_{data}')}+\frac12{mixed('p_g')}",
    "4.8": lambda p_data, p_g: -math.log(2),
    "4.20": r"\sum_{i=1}^n\|x_{(i)}-y_{(i)}\|",
    "4.24": lambda theta, psi: (
        theta * torch.sigmoid(-theta * psi), -psi * torch.sigmoid(-theta * psi)
    ),
    "4.30": r"\sum_{i=1}^n\|f_i-\tilde f_i\|^2+\frac n2\log 2\pi",
    "4.x4": lambda: 2.0,
}  # fmt: skip


@pytest.mark.parametrize("id", RIGHT)
def test_other_ways_to_write_what_is_right_and_what_is_wrong(id):
    assert judge(find(id), RIGHT[id]).ok, judge(find(id), RIGHT[id])
    assert judge(find(id), WRONG[id]).ok is False
