"""The two-sample test: its statistic and p-values against scipy, its false alarms and its power."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from genart_lessons.models import noised_mixture, plane, two_sample
from genart_lessons.models.diffusion import cosine


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, generator, shift=0.0, scale=1.0, dims=2):
    return shift + scale * torch.randn(n, dims, generator=generator, dtype=torch.float64)


def test_the_distance_on_the_line_is_that_of_scipy():
    x, y = normal(200, chance(1), dims=1), normal(150, chance(2), shift=0.4, dims=1)
    theirs = stats.energy_distance(x.flatten().numpy(), y.flatten().numpy()) ** 2
    assert two_sample.energy_distance(x, y) == pytest.approx(theirs, rel=1e-9)
    assert two_sample.energy_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-12)
    assert math.sqrt(two_sample.energy_distance(x, y)) != pytest.approx(theirs)  # not its root


def test_the_distance_in_more_dimensions_is_its_definition():
    x, y = normal(40, chance(1), dims=3), normal(30, chance(2), shift=0.4, dims=3)
    mean = lambda a, b: torch.cdist(a, b).mean().item()  # noqa: E731
    wanted = 2 * mean(x, y) - mean(x, x) - mean(y, y)
    assert two_sample.energy_distance(x, y) == pytest.approx(wanted)
    turn = torch.linalg.qr(normal(3, chance(5), dims=3))[0]
    assert two_sample.energy_distance(x @ turn + 2, y @ turn + 2) == pytest.approx(wanted)


def test_the_p_value_is_that_of_scipys_permutation_test():
    x, y = normal(40, chance(1), dims=1), normal(40, chance(8), shift=0.45, dims=1)

    def statistic(a, b):
        return stats.energy_distance(a, b)

    theirs = stats.permutation_test(
        (x.flatten().numpy(), y.flatten().numpy()), statistic, n_resamples=1999,
        alternative="greater", rng=np.random.default_rng(0),
    ).pvalue  # fmt: skip
    ours = two_sample.energy_test(x, y, 1999, chance(3))
    assert 0.005 < theirs < 0.5
    assert ours.p_value == pytest.approx(theirs, abs=4 * math.sqrt(theirs / 2000) + 0.002)
    assert two_sample.energy_test(x, y, 1999, chance(3)) == ours
    assert ours.statistic == pytest.approx(two_sample.energy_distance(x, y))


def test_equal_distributions_are_rarely_told_apart():
    """p ≤ α in a share α of the cases: no more, and hardly less."""
    p = [two_sample.energy_test(normal(40, g), normal(60, g), 99, g).p_value
         for g in (chance(s) for s in range(400))]  # fmt: skip
    for level in (0.05, 0.2, 0.5):
        found = sum(value <= level for value in p)
        assert stats.binomtest(found, 400, level).pvalue > 0.001
    assert min(p) >= 0.01


def test_sets_that_are_twice_the_same_have_a_p_value_of_one():
    x = normal(30, chance())
    assert two_sample.energy_test(x, x, 99, chance(1)).p_value == 1


def test_power_grows_with_the_points_and_with_the_difference():
    def other(shift):
        return lambda n, g: normal(n, g, shift=shift)

    shares = [two_sample.power(normal, other(0.3), n, repeats=40).share for n in (25, 100, 400)]
    assert shares[0] < 0.5 < shares[1] < shares[2] and shares[2] > 0.9
    alarms = two_sample.power(normal, normal, 100, repeats=60)
    assert alarms.low < 0.05 < alarms.high < 0.25
    assert (alarms.n, alarms.repeats, alarms.level) == (100, 60, 0.05)
    assert alarms == two_sample.power(normal, normal, 100, repeats=60)


def test_differences_that_moments_do_not_show_are_found():
    """Same mean and covariance: a mixture against the normal that has both."""
    exact = noised_mixture.NoisedMixture(plane.ring(4, 1.0, 0.1).centres, 0.1, None, cosine(10))
    spread = math.sqrt(0.5 + 0.01)
    told = two_sample.power(lambda n, g: exact.sample(n, g).double(),
                            lambda n, g: normal(n, g, scale=spread), 100, repeats=30)  # fmt: skip
    assert told.share > 0.9


def test_lost_and_lopsided_modes_are_found():
    exact = noised_mixture.NoisedMixture(plane.ring(8, 1.0, 0.05).centres, 0.05, None, cosine(10))
    lost = noised_mixture.NoisedMixture(exact.means[1:], 0.05, None, cosine(10))
    wide = noised_mixture.NoisedMixture(exact.means, 0.06, None, cosine(10))

    def power(other, n):
        return two_sample.power(exact.sample, other.sample, n, repeats=20, permutations=99).share

    assert power(lost, 500) > 0.9
    # And what it is blind to, at this size: a fifth more spread within each mode.
    assert power(wide, 500) < 0.5


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.zeros(5), "points"),
        (torch.zeros(1, 2), "at least two"),
        (torch.full((5, 2), math.nan), "finite"),
        (torch.zeros(5, 3), "not the same space"),
    ],
)
def test_what_is_no_set_of_points_is_refused(x, said):
    with pytest.raises(ValueError, match=said):
        two_sample.energy_test(x, normal(5, chance()))


def test_too_few_permutations_are_refused():
    x = normal(5, chance())
    with pytest.raises(ValueError, match="19 or more"):
        two_sample.energy_test(x, x, 10)
    for wrong in ({"level": 0.001}, {"repeats": 0}):
        with pytest.raises(ValueError, match="repeats"):
            two_sample.power(normal, normal, 10, **wrong)
