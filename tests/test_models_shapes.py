"""Shapes as densities: the entropy is known exactly, and samples and log p agree with scipy's."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from genart_lessons import data
from genart_lessons.models import shapes

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def corner():
    """Two pixels of four hold ink: a quarter at the top left, the rest at the bottom right."""
    return shapes.Shape(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))


def test_a_page_of_four_pixels(corner):
    assert corner.extent == (-2, 2, -2, 2) and corner.pixel == 4
    x = torch.tensor([[-1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, -1.0], [9.0, 0.0]])
    log = corner.log_prob(x)
    expected = [math.log(0.25 / 4), math.log(0.75 / 4), -math.inf, -math.inf, -math.inf]
    assert log.tolist() == pytest.approx(expected)
    h = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) + math.log(4)
    assert corner.entropy() == pytest.approx(h, abs=1e-12)
    assert corner.entropy() == pytest.approx(stats.entropy([0.25, 0.75]) + math.log(4))


def test_points_fall_where_the_ink_is_and_evenly_within_a_pixel(corner):
    x = corner.sample(40_000, generator())
    assert x.shape == (40_000, 2) and x.dtype == torch.float32
    assert bool(corner.log_prob(x).isfinite().all())  # none off the ink
    left = x[:, 0] < 0
    assert float(left.float().mean()) == pytest.approx(0.25, abs=0.01)
    assert bool((x[left, 1] > 0).all() and (x[~left, 1] < 0).all())  # the first row is the top
    within = (x[left].double().numpy() + np.array([2, 0])) / 2
    for column in within.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    assert torch.equal(x, corner.sample(40_000, generator()))
    assert not torch.equal(x, corner.sample(40_000, generator(1)))


def test_the_mean_of_minus_log_p_is_the_entropy():
    shape = shapes.emoji("cat face")
    nll = -shape.log_prob(shape.sample(50_000, generator()))
    assert float(nll.mean()) == pytest.approx(shape.entropy(), abs=4 * float(nll.std()) / 223)
    # The area of a pixel is in it: without, it is another number by 5.5.
    assert abs(float(stats.entropy(shape.ink.flatten())) - shape.entropy()) > 5


def test_a_picture_wider_than_high():
    shape = shapes.Shape(torch.rand(10, 40, generator=generator()))
    assert shape.extent == (-2, 2, -0.5, 0.5) and shape.pixel == pytest.approx(0.01)
    x = shape.sample(500, generator())
    assert float(x[:, 1].abs().max()) <= 0.5 and float(x[:, 0].abs().max()) > 1.8
    cells = shapes.page(40, shape.extent)
    assert float(shape.log_prob(cells).double().exp().sum()) * shape.pixel == pytest.approx(1)


def test_ink_of_pictures():
    white, black, red = torch.ones(3, 1, 1), torch.zeros(3, 1, 1), torch.tensor([1.0, 0, 0])
    picture = torch.cat([white, black, red[:, None, None]], dim=2)
    ink = shapes.Shape.from_picture(picture).ink
    assert ink[0].tolist() == pytest.approx([0, 1, 1 - 0.299])
    back = shapes.Shape.from_picture(picture, invert=True).ink
    assert back[0].tolist() == pytest.approx([1, 0, 0.299])
    icon = data.icons("all")
    chosen = icon.x[icon.find("cat")[0]]
    own = shapes.icon("cat")
    assert torch.equal(own.ink, torch.where(chosen[0] < 0.02, 0.0, chosen[0].double()))


def test_emoji_by_name_and_by_sign():
    assert torch.equal(shapes.emoji("🐱").ink, shapes.emoji("cat face").ink)
    kanji = shapes.emoji("空")
    assert torch.equal(kanji.ink, shapes.emoji("squared cjk unified ideograph-7a7a").ink)
    for wrong in ("no such thing", "龘"):
        with pytest.raises(KeyError, match="no picture"):
            shapes.emoji(wrong)


@pytest.mark.parametrize(
    "ink, said",
    [
        (torch.zeros(3, 3), "no ink"),
        (-torch.ones(3, 3), "0 or above"),
        (torch.full((3, 3), math.nan), "finite"),
        (torch.ones(1, 3, 3), r"\(H, W\)"),
        (torch.ones(3, 3, dtype=torch.long), "floats"),
    ],
)
def test_ink_that_makes_no_density_is_refused(ink, said):
    with pytest.raises(ValueError, match=said):
        shapes.Shape(ink)


def test_pictures_that_are_none_are_refused():
    with pytest.raises(ValueError, match="1 or 3"):
        shapes.Shape.from_picture(torch.ones(4, 8, 8))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        shapes.Shape.from_picture(2 * torch.ones(3, 8, 8))
    with pytest.raises(ValueError, match="no ink"):
        shapes.Shape.from_picture(torch.ones(3, 8, 8))
    with pytest.raises(ValueError, match="n=0"):
        shapes.emoji("cat face").sample(0)


# -- mixtures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(shapes.MIXTURES))
def test_a_mixture_is_scipys(name):
    mixture = shapes.mixture(name)
    x = mixture.sample(300, generator())
    parts = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    density = sum(
        float(w) * stats.multivariate_normal(m.numpy(), c.numpy()).pdf(x.double().numpy())
        for w, m, c in parts
    )
    np.testing.assert_allclose(mixture.log_prob(x.double()).numpy(), np.log(density), atol=1e-9)


def test_the_entropies_are_scipys_quadrature_and_what_a_sample_says():
    two = shapes.mixture("two")
    # Simpson's rule from scipy on its own points, beside our trapezoids.
    left, right, bottom, top = two.extent
    x, y = np.linspace(left, right, 301), np.linspace(bottom, top, 303)
    log = two.log_prob(torch.cartesian_prod(*map(torch.from_numpy, (x, y)))).reshape(301, 303)
    inner = integrate.simpson((-log.exp() * log).numpy(), x=y, axis=1)
    assert two.entropy() == pytest.approx(float(integrate.simpson(inner, x=x)), abs=1e-6)
    nll = -two.log_prob(two.sample(100_000, generator()))
    assert float(nll.mean()) == pytest.approx(two.entropy(), abs=4 * float(nll.std()) / 316)


def test_one_gaussian_has_the_entropy_of_the_book():
    one = shapes.gaussians([(1, 2)], [(0.7, 0.2)], [0.6])
    expected = 1 + math.log(2 * math.pi) + math.log(0.7 * 0.2)
    assert one.entropy() == pytest.approx(expected, abs=1e-7)
    c = one.covariances[0]
    assert float(torch.linalg.det(c)) == pytest.approx((0.7 * 0.2) ** 2)
    way = torch.tensor([math.cos(0.6), math.sin(0.6)], dtype=torch.float64)
    torch.testing.assert_close(c @ way, 0.49 * way)


def test_samples_of_a_mixture():
    two = shapes.mixture("two")
    x = two.sample(20_000, generator())
    assert float((x[:, 0] > 0).float().mean()) == pytest.approx(2 / 3, abs=0.02)
    assert torch.equal(x, two.sample(20_000, generator()))
    far = x[x[:, 0] < -0.3].double()
    assert stats.kstest((far[:, 1] / 0.5).numpy(), "norm").pvalue > 1e-3


def test_mixtures_that_are_none_are_refused():
    good = shapes.mixture("two")
    with pytest.raises(ValueError, match="sum to"):
        shapes.Mixture(2 * good.weights, good.means, good.covariances)
    with pytest.raises(ValueError, match="covariances"):
        shapes.Mixture(good.weights, good.means, -good.covariances)
    with pytest.raises(ValueError, match="means"):
        shapes.Mixture(good.weights, good.means.float(), good.covariances)
    with pytest.raises(KeyError, match="pinwheel"):
        shapes.mixture("moons")
    with pytest.raises(ArithmeticError, match="not settled"):
        shapes.gaussians(
            [(0, 0), (60, 60)], [(0.004, 0.004)] * 2
        ).entropy()  # the grid falls between


# -- prints --------------------------------------------------------------------------------------


def test_a_density_as_a_picture_is_the_picture():
    shape = shapes.emoji("octopus")
    again = shapes.density_picture(shape, 64, full=float(shape.ink.max() / shape.ink.sum())
                                   / shape.pixel)  # fmt: skip
    expected = (shape.ink / shape.ink.max()).float()
    torch.testing.assert_close(again[0], expected, atol=1e-5, rtol=0)
    lower = shapes.density_picture(shape, 64)
    assert float(lower.max()) == 1 and lower.shape == (1, 64, 64)
    with pytest.raises(ValueError, match="no density"):
        shapes.density_picture(shape, 16, (50, 60, 50, 60))


def test_points_as_a_picture():
    x = torch.tensor([[-1.9, 1.9], [-1.9, 1.9], [1.9, -1.9], [7.0, 0.0]])
    ink = shapes.points_picture(x, 4, full=2)
    expected = torch.zeros(1, 4, 4)
    expected[0, 0, 0], expected[0, 3, 3] = 1, 0.5
    assert torch.equal(ink, expected)
    assert shapes.points_picture(x, 10, (-2, 2, -1, 1)).shape == (1, 5, 10)
    shape = shapes.emoji("octopus")
    drawn = shapes.points_picture(shape.sample(100_000, generator()), 64)
    assert np.corrcoef(drawn.flatten(), shape.ink.flatten())[0, 1] > 0.9


def test_a_page_is_read_from_the_top_left():
    page = shapes.page(2)
    assert page.tolist() == [[-1, 1], [1, 1], [-1, -1], [1, -1]]
