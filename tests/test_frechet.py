"""The Fréchet distance: equal to independent formulas, and the plausible wrong ones are seen."""

import numpy as np
import pytest
import scipy.linalg
import torch

from genart_lessons.models import frechet


def by_sqrtm(mu1, sigma1, mu2, sigma2):
    """The formula as it is written, with the matrix square root of another library."""
    a, b = sigma1.numpy(), sigma2.numpy()
    root = scipy.linalg.sqrtm(a @ b)
    difference = (mu1 - mu2).numpy()
    return float(difference @ difference + np.trace(a + b) - 2 * np.trace(root).real)


def drawn(seed, size=12, rank=None, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    factor = torch.randn(size, rank or 2 * size, generator=g, dtype=torch.float64)
    return torch.randn(size, generator=g, dtype=torch.float64), scale * factor @ factor.T, factor


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_it_is_the_formula_with_scipys_root(seed, scale):
    mu1, sigma1, _ = drawn(seed, scale=scale)
    mu2, sigma2, _ = drawn(seed + 100)
    wanted = by_sqrtm(mu1, sigma1, mu2, sigma2)
    assert frechet.frechet_distance(mu1, sigma1, mu2, sigma2) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.filterwarnings("ignore:Matrix is singular")  # scipy's, about its own way
@pytest.mark.parametrize(("first", "second"), [(3, 12), (3, 5), (1, 1)])
def test_covariances_without_full_rank_are_exact(first, second):
    """tr (AAᵀBBᵀ)^½ is the sum of the singular values of AᵀB, and needs no root at all."""
    mu1, sigma1, a = drawn(1, rank=first)
    mu2, sigma2, b = drawn(2, rank=second)
    overlap = np.linalg.svd((a.T @ b).numpy(), compute_uv=False).sum()
    wanted = float((mu1 - mu2).square().sum() + sigma1.trace() + sigma2.trace()) - 2 * overlap
    distance = frechet.frechet_distance(mu1, sigma1, mu2, sigma2)
    assert distance == pytest.approx(wanted, abs=1e-8)
    # scipy's root of a singular product is itself only half as exact
    assert distance == pytest.approx(by_sqrtm(mu1, sigma1, mu2, sigma2), abs=1e-5)
    assert frechet.frechet_distance(mu1, sigma1, mu1, sigma1) == pytest.approx(0, abs=1e-8)


def test_in_one_dimension_it_is_the_closed_form():
    """(m₁ − m₂)² + (s₁ − s₂)²."""
    one = torch.tensor([[1.0]])
    for m, s in ((0.0, 3.0), (2.0, 1.0), (-1.5, 0.0)):
        distance = frechet.frechet_distance(torch.zeros(1), one, torch.tensor([m]), s**2 * one)
        assert distance == pytest.approx(m**2 + (1 - s) ** 2, abs=1e-12)


def test_for_commuting_matrices_the_roots_are_subtracted():
    g = torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=g, dtype=torch.float64)).Q
    p, q = torch.rand(2, 6, generator=g, dtype=torch.float64)
    mu = torch.zeros(6)
    distance = frechet.frechet_distance(mu, turn * p @ turn.T, mu, turn * q @ turn.T)
    assert distance == pytest.approx(float((p.sqrt() - q.sqrt()).square().sum()), abs=1e-10)


def test_it_is_symmetric_and_zero_only_for_equals():
    one, two = drawn(7)[:2], drawn(8)[:2]
    there = frechet.frechet_distance(*one, *two)
    assert there == pytest.approx(frechet.frechet_distance(*two, *one), rel=1e-10)
    assert frechet.frechet_distance(*one, *one) == pytest.approx(0, abs=1e-8)
    assert frechet.frechet_distance(*one, one[0] + 0.1, one[1]) == pytest.approx(0.12, abs=1e-8)
    assert there > 1


def test_plausible_wrong_versions_differ():
    (mu1, sigma1, _), (mu2, sigma2, _) = drawn(1), drawn(2)
    right = frechet.frechet_distance(mu1, sigma1, mu2, sigma2)
    means, traces = (mu1 - mu2).square().sum(), sigma1.trace() + sigma2.trace()
    no_root = means + traces - 2 * (sigma1 @ sigma2).trace()
    diagonal = means + (sigma1.diag().sqrt() - sigma2.diag().sqrt()).square().sum()
    entries = means + traces - 2 * (sigma1 @ sigma2).diag().clamp(min=0).sqrt().sum()
    not_twice = means + traces - (traces - right + means) / 2
    for wrong in (no_root, diagonal, entries, not_twice, means):
        assert abs(float(wrong) - right) > 0.1 * right


def test_statistics_are_numpys_in_float64():
    x = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) + 1000
    mu, sigma = frechet.statistics(x)
    assert mu.dtype == sigma.dtype == torch.float64
    np.testing.assert_allclose(mu, x.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(sigma, np.cov(x.double().numpy().T), rtol=1e-9, atol=1e-12)


def test_few_samples_look_farther_apart_than_they_are():
    """Two samples of one law are never at distance 0, and the bias falls about as 1/n."""
    g = torch.Generator().manual_seed(0)

    def distance(n):
        pairs = [torch.randn(2, n, 8, generator=g) for _ in range(20)]
        return sum(frechet.feature_distance(*pair) for pair in pairs) / len(pairs)

    few, more, many = distance(50), distance(200), distance(3200)
    assert few > 2.5 * more > 0 and more > 8 * many > 0


def test_bad_input_is_refused_with_a_reason():
    x = torch.randn(20, 4)
    mu, sigma = frechet.statistics(x)
    with pytest.raises(ValueError, match="too few for 4 features"):
        frechet.statistics(x[:4])
    with pytest.raises(ValueError, match=r"must be \(N, F\)"):
        frechet.statistics(x[0])
    with pytest.raises(ValueError, match="NaN"):
        frechet.statistics(torch.full((20, 4), float("nan")))
    with pytest.raises(ValueError, match="not the same space"):
        frechet.frechet_distance(mu, sigma, mu[:3], sigma[:3, :3])
    with pytest.raises(ValueError, match=r"must be \(4, 4\)"):
        frechet.frechet_distance(mu, sigma[:3], mu, sigma)
    with pytest.raises(ValueError, match="symmetric"):
        frechet.frechet_distance(mu, sigma + torch.eye(4).roll(1, 0), mu, sigma)
    with pytest.raises(ValueError, match="negative eigenvalue"):
        frechet.frechet_distance(mu, sigma, mu, -sigma)
    with pytest.raises(ValueError, match="NaN"):
        frechet.frechet_distance(mu, sigma * float("nan"), mu, sigma)
    with pytest.raises(ValueError, match="finite"):
        frechet.frechet_distance(mu * float("inf"), sigma, mu, sigma)


def test_the_judge_gives_the_features_that_its_last_layer_sees():
    torch.manual_seed(0)
    judge = frechet.DigitJudge(size=24)
    x = torch.rand(7, 1, 32, 32)
    features = judge.features(x, batch_size=3)
    assert features.shape == (7, 24) and not features.requires_grad
    torch.testing.assert_close(judge.head(features), judge(x))
    torch.testing.assert_close(features, judge.features(x))
    labels = judge(x).argmax(1)
    assert judge.accuracy(x, labels) == 1.0 and judge.accuracy(x, (labels + 1) % 10) == 0.0
    batch = {"x": x, "y": labels}
    loss = -judge(x).log_softmax(1)[range(7), labels].mean()
    torch.testing.assert_close(frechet.judge_loss(judge, batch), loss)
    for bad in (torch.rand(7, 1, 8, 8), torch.rand(0, 1, 32, 32), torch.rand(7, 3, 32, 32)):
        with pytest.raises(ValueError, match="the judge takes"):
            judge(bad)


def test_the_nearest_picture_is_found_and_copies_are_at_zero():
    g = torch.Generator().manual_seed(0)
    x, known = torch.rand(9, 1, 4, 4, generator=g), torch.rand(20, 1, 4, 4, generator=g)
    wanted = (x[:, None] - known[None]).square().mean((2, 3, 4)).sqrt().amin(1)
    torch.testing.assert_close(frechet.nearest_distance(x, known, chunk=4), wanted)
    assert float(frechet.nearest_distance(known, known).max()) < 1e-3
    with pytest.raises(ValueError, match="not the same pictures"):
        frechet.nearest_distance(x, torch.rand(20, 1, 8, 8))
