"""Chapter 02's references against libraries and searches that know nothing of the course."""

import itertools
import math

import numpy as np
import pytest
import sympy
import torch
from points import arrays, reference, tensors
from scipy import integrate, linalg, optimize, special, stats
from skimage.metrics import peak_signal_noise_ratio
from sklearn.decomposition import PCA, sparse_encode
from sklearn.linear_model import LinearRegression

from genart_lessons.equations import find
from genart_lessons.proof import judge

pytestmark = pytest.mark.usefixtures("one_thread")


def approx(want, rel=1e-9):
    return pytest.approx(want, rel=rel, abs=1e-10)


# -- what can come back ----------------------------------------------------------------------------


def test_the_loss_by_numpys_weighted_mean():
    v = arrays("2.1")
    for k in range(50):
        errors = np.linalg.norm(v["x"][k] - v["x_hat"][k], axis=-1) ** 2
        assert reference("2.1")[k] == approx(np.average(errors, weights=v["p"][k]))


def test_no_map_at_all_loses_fewer_pictures_and_one_loses_as_many():
    """Every encoder and decoder of up to 4 pictures and 3 codes, all of them counted."""
    for pictures, codes in ((2, 1), (3, 1), (3, 2), (4, 2), (3, 3)):
        least = min(
            sum(decode[encode[x]] != x for x in range(pictures))
            for encode in itertools.product(range(codes), repeat=pictures)
            for decode in itertools.product(range(pictures), repeat=codes)
        )
        given = {"N": torch.tensor([float(pictures)]), "M": torch.tensor([float(codes)])}
        assert find("2.2").reference(code=None, picture=None, **given).item() == least


def test_what_the_maps_of_the_bound_lose_by_walking_through_them():
    evidence, t = find("2.2").evidence, tensors("2.2", 200)
    lost = evidence.of(**t)
    for k in range(200):
        pictures, codes = int(t["N"][k]), int(t["M"][k])
        encode, decode = t["code"][k].tolist(), t["picture"][k].tolist()
        assert all(0 <= encode[x] < codes for x in range(pictures))
        assert all(0 <= decode[z] < pictures for z in range(codes))
        assert lost[k] == sum(decode[encode[x]] != x for x in range(pictures))
    assert len({(int(a), int(b)) for a, b in zip(t["N"], t["M"], strict=True)}) > 25


@pytest.mark.parametrize(("b", "n"), [(1, 1), (1, 3), (2, 3)])
def test_the_best_share_by_trying_every_code(b, n):
    pictures, codes = 2**n, 2**b
    most = max(len(set(decode)) for decode in itertools.product(range(pictures), repeat=codes))
    given = {"b": torch.tensor([float(b)]), "n": torch.tensor([float(n)])}
    assert find("2.x1").reference(**given).item() == most / pictures


# -- linear autoencoders ---------------------------------------------------------------------------


def test_the_best_linear_autoencoder_by_scikit_learns_pca():
    v = arrays("2.3")
    for k in range(20):
        x = v["x"][k]
        pca = PCA(n_components=2).fit(x)
        back = pca.inverse_transform(pca.transform(x))
        assert reference("2.3")[k] == approx(((x - back) ** 2).sum(1).mean())
        assert reference("2.3")[k] == approx(linalg.svdvals(x)[2:] @ linalg.svdvals(x)[2:] / len(x))


def test_gradient_descent_on_both_ends_where_pca_is():
    """Trained and not derived: the loss ends at (2.3), and the decoder spans PCA's plane."""
    x = tensors("2.3", 1)["x"][0]
    generator = torch.Generator().manual_seed(3)
    E, D = (
        torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((2, 6), (6, 2))
    )
    by = torch.optim.LBFGS([E, D], max_iter=400, line_search_fn="strong_wolfe")

    def loss():
        by.zero_grad()
        value = (x - x @ E.T @ D.T).square().sum(-1).mean()
        value.backward()
        return value

    by.step(loss)
    assert loss().item() == pytest.approx(reference("2.3", 1)[0], rel=1e-6)
    axes = PCA(n_components=2).fit(x.numpy()).components_.T
    angles = linalg.subspace_angles(D.detach().numpy(), axes)
    assert angles.max() < 1e-3
    assert not torch.allclose(D.T @ D, torch.eye(2, dtype=D.dtype), atol=0.1)  # (2.6): any basis


def test_the_projection_by_scipys_basis():
    v = arrays("2.4")
    for k in range(50):
        basis = linalg.orth(v["W"][k])
        back = basis @ basis.T @ v["x"][k]
        assert reference("2.4")[k] == approx(((v["x"][k] - back) ** 2).sum())


def test_the_best_decoder_by_scikit_learns_regression():
    v = arrays("2.5")
    for k in range(20):
        codes = v["x"][k] @ v["E"][k].T
        fitted = LinearRegression(fit_intercept=False).fit(codes, v["x"][k])
        assert reference("2.5")[k] == approx(fitted.coef_, rel=1e-7)
        s = v["x"][k].T @ v["x"][k] / len(v["x"][k])
        E = v["E"][k]
        assert s @ E.T @ np.linalg.inv(E @ s @ E.T) == approx(fitted.coef_, rel=1e-7)


def test_the_mixed_codes_by_numpy():
    v = arrays("2.6")
    for k in range(50):
        x, E, D, A = (v[name][k] for name in ("x", "E", "D", "A"))
        assert reference("2.6")[k] == approx(((x - D @ E @ x) ** 2).sum(), rel=1e-7)
        code = np.linalg.inv(A) @ E @ x
        assert reference("2.6")[k] == approx(((x - D @ A @ code) ** 2).sum(), rel=1e-6)


def test_the_encoders_gradient_by_differences():
    v, step = arrays("2.x2", 3), 1e-6

    def loss(x, E, D):
        return ((x - x @ E.T @ D.T) ** 2).sum(1).mean()

    for k in range(3):
        x, E, D = (v[name][k] for name in ("x", "E", "D"))
        for j, i in itertools.product(range(2), range(3)):
            moved = np.zeros_like(E)
            moved[j, i] = step
            slope = (loss(x, E + moved, D) - loss(x, E - moved, D)) / (2 * step)
            assert reference("2.x2", 3)[k, j, i] == pytest.approx(slope, rel=1e-5, abs=1e-7)


# -- sparse codes ----------------------------------------------------------------------------------


def test_the_sparse_loss_by_scipys_laplace_law():
    """−2σ² log of the joint law, up to a constant, with σ² = ½ and Laplace's scale 1/λ."""
    v = arrays("2.7")
    for k in range(50):
        joint = stats.norm(v["x_hat"][k], math.sqrt(0.5)).logpdf(v["x"][k]).sum()
        joint += stats.laplace(scale=1 / v["lam"][k]).logpdf(v["z"][k]).sum()
        constant = 4 * stats.norm(0, math.sqrt(0.5)).logpdf(0)
        constant += 3 * stats.laplace(scale=1 / v["lam"][k]).logpdf(0)
        assert reference("2.7")[k] == approx(constant - joint)


def test_the_soft_threshold_by_torch_scikit_learn_and_search():
    v = arrays("2.8")
    for k in range(50):
        z, lam = v["z"][k], v["lam"][k]
        theirs = torch.nn.functional.softshrink(torch.tensor(z), float(lam)).item()
        lasso = sparse_encode(
            np.array([[z]]), np.array([[1.0]]), algorithm="lasso_cd", alpha=float(lam)
        )
        found = optimize.minimize_scalar(
            lambda a, z=z, lam=lam: (a - z) ** 2 / 2 + lam * abs(a), bounds=(-4, 4),
            method="bounded", options={"xatol": 1e-12},
        )  # fmt: skip
        assert reference("2.8")[k] == approx(theirs)
        assert reference("2.8")[k] == pytest.approx(lasso[0, 0], abs=1e-6)
        assert reference("2.8")[k] == pytest.approx(found.x, abs=1e-5)


def test_the_hard_threshold_by_trying_a_grid():
    v, grid = arrays("2.x3"), np.append(np.linspace(-4, 4, 80_001), 0.0)
    for k in range(20):
        cost = (grid - v["z"][k]) ** 2 / 2 + v["lam"][k] * (grid != 0)
        assert reference("2.x3")[k] == pytest.approx(grid[cost.argmin()], abs=1e-4)


# -- denoising -------------------------------------------------------------------------------------


def test_the_denoising_loss_by_numpy():
    v = arrays("2.9")
    for k in range(20):
        noisy = v["x"][k] + v["sigma"][k] * v["eps"][k]
        out = (v["D"][k] @ (v["E"][k] @ noisy.T)).T
        errors = np.linalg.norm(v["x"][k] - out, axis=1) ** 2
        assert reference("2.9")[k] == approx(errors.mean())


def test_the_best_answer_by_search():
    v = arrays("2.10")
    for k in range(20):
        weights = v["p"][k] * stats.norm(v["x"][k], v["sigma"][k]).pdf(v["y"][k])
        weights = weights / weights.sum()
        best = optimize.minimize_scalar(
            lambda a, w=weights, x=v["x"][k]: w @ (x - a) ** 2, bounds=(-3, 3), method="bounded",
            options={"xatol": 1e-10},
        )  # fmt: skip
        assert reference("2.10")[k] == pytest.approx(best.x, abs=1e-6)


def bell(x, mu, sigma):
    """The normal density; scipy.stats is too slow for quadrature."""
    return np.exp(-(((x - mu) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))


def posterior_mean(density, y, sigma):
    """∫ x p(x) p(y|x) dx / ∫ p(x) p(y|x) dx, by quadrature."""
    areas = [
        integrate.quad(
            lambda x, k=k: x**k * density(x) * bell(y, x, sigma), -12, 12,
            epsabs=1e-12, limit=200, points=[-3, 0, 3],
        )[0]
        for k in (1, 0)
    ]  # fmt: skip
    return areas[0] / areas[1]


def test_shrinkage_by_quadrature():
    v = arrays("2.11")
    for k in range(8):
        mu, tau = v["mu"][k], v["tau"][k]
        want = posterior_mean(lambda x, mu=mu, tau=tau: bell(x, mu, tau), v["y"][k], v["sigma"][k])
        assert reference("2.11")[k] == pytest.approx(want, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("k", range(5))
def test_tweedie_by_quadrature_and_differences(k):
    v, step = {n: a[k] for n, a in arrays("2.12").items()}, 1e-5

    def density(x):
        return v["p"] @ bell(x, v["mu"], v["tau"])

    def log_noisy(y):
        return np.log(v["p"] @ stats.norm(v["mu"], np.hypot(v["tau"], v["sigma"])).pdf(y))

    score = (log_noisy(v["y"] + step) - log_noisy(v["y"] - step)) / (2 * step)
    assert v["score"] == pytest.approx(score, rel=1e-6, abs=1e-7)
    want = posterior_mean(density, v["y"], v["sigma"])
    assert reference("2.12")[k] == pytest.approx(want, rel=1e-6, abs=1e-7)
    assert v["y"] + v["sigma"] ** 2 * score == pytest.approx(want, rel=1e-6, abs=1e-6)


def test_the_least_error_holds_for_mixtures_too_by_quadrature():
    """(2.13) is checked on Gaussian pixels; that it is no accident of theirs is checked here."""
    p, mu, tau, sigma = np.array([0.3, 0.7]), np.array([-1.0, 1.5]), np.array([0.3, 0.6]), 0.8
    wide = np.hypot(tau, sigma)

    def noisy(y):
        return p * bell(y, mu, wide)

    def score(y):
        parts = noisy(y)
        return (parts * (mu - y) / wide**2).sum() / parts.sum()

    def squared_error(y):
        parts = noisy(y)
        means = (mu / tau**2 + y / sigma**2) / (1 / tau**2 + 1 / sigma**2)
        spread = 1 / (1 / tau**2 + 1 / sigma**2)
        mean = (parts * means).sum() / parts.sum()
        return (parts * (spread + means**2)).sum() - parts.sum() * mean**2

    information = integrate.quad(lambda y: noisy(y).sum() * score(y) ** 2, -9, 9, limit=200)[0]
    error = integrate.quad(squared_error, -9, 9, limit=200)[0]
    formula = sympy.lambdify(
        sympy.symbols("sigma d J"), sympy.sympify("sigma**2*d - sigma**4*J"), "math"
    )
    assert formula(sigma, 1, information) == pytest.approx(error, rel=1e-7)
    assert judge(find("2.13"), sympy.sympify("sigma**2*d - sigma**4*J")).ok


def test_the_least_error_by_drawing():
    v, draw = arrays("2.13"), np.random.default_rng(0)
    for k in range(3):
        tau, sigma = v["tau"][k], v["sigma"][k]
        x = tau * draw.standard_normal((100_000, 3))
        y = x + sigma * draw.standard_normal(x.shape)
        errors = ((x - tau**2 / (tau**2 + sigma**2) * y) ** 2).sum(1)
        assert abs(errors.mean() - reference("2.13")[k]) < 4.5 * errors.std() / len(errors) ** 0.5
        slopes = ((-y / (tau**2 + sigma**2)) ** 2).sum(1)
        assert abs(slopes.mean() - v["J"][k]) < 4.5 * slopes.std() / len(slopes) ** 0.5


@pytest.mark.parametrize(("k", "d"), [(2, 5), (8, 64), (1, 3)])
def test_the_share_of_noise_by_drawing(k, d):
    draw = np.random.default_rng(1)
    basis = linalg.orth(draw.standard_normal((d, k)))
    noise = draw.standard_normal((20_000, d))
    shares = ((noise @ basis) ** 2).sum(1) / d
    given = {"k": torch.tensor([k]).double(), "d": torch.tensor([d]).double()}
    want = float(find("2.14").reference(**given)) if d <= 7 else k / d
    assert abs(shares.mean() - want) < 4.5 * shares.std() / len(shares) ** 0.5


def test_targets_with_noise_by_numpys_least_squares():
    v, draw = arrays("2.15"), np.random.default_rng(2)
    for k in range(5):
        tau, sigma, rho = v["tau"][k], v["sigma"][k], v["rho"][k]
        x, eps, other = draw.standard_normal((3, 200_000))
        y = tau * x + sigma * eps
        target = tau * x + sigma * (rho * eps + math.sqrt(1 - rho**2) * other)
        slope = float(np.linalg.lstsq(y[:, None], target, rcond=None)[0][0])
        rest = target - slope * y
        se = rest.std() / y.std() / len(y) ** 0.5
        assert abs(slope - reference("2.15")[k]) < 4.5 * se
    same, fresh = (
        find("2.15").reference(
            tau=torch.tensor([2.0]), sigma=torch.tensor([1.0]), rho=torch.tensor([r])
        )
        for r in (1.0, 0.0)
    )
    assert float(same) == pytest.approx(1) and float(fresh) == pytest.approx(0.8)


# -- decibels and bits -----------------------------------------------------------------------------


def test_decibels_by_scikit_image():
    v = arrays("2.16")
    for k in range(50):
        want = peak_signal_noise_ratio(v["x"][k], v["x_hat"][k], data_range=1)
        assert reference("2.16")[k] == approx(want)
    sigma = 0.1
    noise = sigma * np.random.default_rng(0).standard_normal(1_000_000)
    want = peak_signal_noise_ratio(np.zeros_like(noise), noise, data_range=1)
    given = torch.tensor([sigma], dtype=torch.float64)
    assert float(find("2.x4").reference(sigma=given)) == pytest.approx(want, abs=0.05)


def test_rounding_by_numpy():
    x = np.linspace(0, 1, 1_000_001)
    for step in (0.5, 0.25, 0.125):
        rounded = (np.floor(x / step) + 0.5) * step
        want = ((x - rounded) ** 2)[:-1].mean()
        given = torch.tensor([step], dtype=torch.float64)
        assert float(find("2.17").reference(Delta=given)) == pytest.approx(want, rel=1e-4)
        bits = -math.log2(step)
        decibels = -10 * math.log10(want)
        asked = torch.tensor([decibels], dtype=torch.float64)
        assert float(find("2.x5").reference(Q=asked)) == pytest.approx(bits, abs=1e-3)


def test_the_entropy_by_scipy_and_by_huffmans_code():
    v = arrays("2.18")
    for k in range(50):
        p = v["p"][k]
        entropy = stats.entropy(p, base=2)
        assert reference("2.18")[k] == approx(entropy)
        assert (2.0 ** -v["ell"][k]).sum() == approx(1)
        length = huffman(p)
        assert entropy <= length + 1e-12 and length < entropy + 1


def huffman(p) -> float:
    """The mean length of the best code with whole lengths."""
    heap, length = sorted(p), 0.0
    while len(heap) > 1:
        both = heap[0] + heap[1]
        length += both
        heap = sorted([*heap[2:], both])
    return length


def test_the_distortion_by_the_information_of_the_gaussian_channel():
    """x̂ ~ N(0, τ² − D), x = x̂ + N(0, D): its mutual information, from entropies, is R."""
    v = arrays("2.19")
    for k in range(20):
        tau, distortion = v["tau"][k], reference("2.19")[k]
        nats = stats.norm(0, tau).entropy() - stats.norm(0, math.sqrt(distortion)).entropy()
        assert nats / math.log(2) == pytest.approx(v["R"][k], abs=1e-7)


def test_one_bit_of_a_gaussian_by_the_best_two_levels_is_worse():
    """A quantiser with two levels has (1 − 2/π)τ²: the bound, ¼τ², is below it."""
    best = optimize.minimize_scalar(
        lambda a: integrate.quad(lambda x: (abs(x) - a) ** 2 * stats.norm.pdf(x), -9, 9)[0],
        bounds=(0.1, 2), method="bounded",
    )  # fmt: skip
    assert best.fun == pytest.approx(1 - 2 / math.pi, abs=1e-6)
    one = torch.tensor([1.0], dtype=torch.float64)
    bound = float(find("2.19").reference(tau=one, R=one))
    assert bound == pytest.approx(0.25) and bound < best.fun


# -- codes -----------------------------------------------------------------------------------------


def test_how_far_the_codes_are_by_scipys_densities():
    v, draw = arrays("2.20"), np.random.default_rng(3)
    for k in range(4):
        codes, noise = (
            stats.multivariate_normal(m, s) for m, s in ((v["m"][k], v["S"][k]), (np.zeros(3), 1))
        )
        z = draw.multivariate_normal(v["m"][k], v["S"][k], 100_000)
        gaps = codes.logpdf(z) - noise.logpdf(z)
        assert abs(gaps.mean() - reference("2.20")[k]) < 4.5 * gaps.std() / len(gaps) ** 0.5
        values = linalg.eigvalsh(v["S"][k])  # in the covariance's own axes it is a sum of (3.7)
        parts = (values - 1 - np.log(values)).sum() + v["m"][k] @ v["m"][k]
        assert reference("2.20")[k] == approx(parts / 2)


def test_the_ideal_denoiser_by_scipys_weights():
    v = arrays("2.x6")
    for k in range(20):
        law = stats.multivariate_normal(np.zeros(4), v["sigma"][k] ** 2)
        weights = special.softmax(law.logpdf(v["y"][k] - v["x"][k]))
        assert reference("2.x6")[k] == approx(weights @ v["x"][k])
