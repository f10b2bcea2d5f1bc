"""Pictures of maps: areas are measured, densities are counted, colours go round."""

import base64
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from genart_lessons import show
from genart_lessons.models import flow
from genart_lessons.show import maps

pytestmark = pytest.mark.usefixtures("one_thread")

TURN = torch.tensor([[1.2, 0.5], [-0.3, 0.8]], dtype=torch.float64)
FRAMES = np.random.default_rng(0).standard_normal((4, 300, 2))


def polar(z):
    return torch.stack([z[:, 0] * z[:, 1].cos(), z[:, 0] * z[:, 1].sin()], 1)


def settled():
    torch.manual_seed(0)
    model = flow.Flow(layers=2, width=8, bins=4, waves=2)
    with torch.no_grad():
        for layer in model.layers:
            layer.conditioner.layers[-1].weight.normal_(0, 0.5)
    return model.eval()


EVERY = {
    "mesh": lambda **t: show.mesh(lambda z: z @ TURN.T, **t),
    "mesh with notes": lambda **t: show.mesh(polar, polar=True, notes=("a", "b"), **t),
    "mesh of a flow": lambda **t: show.mesh(settled().double(), lines=9, target=(-4, 4), **t),
    "pushed": lambda **t: show.pushed(np.exp, caption="c", formula=lambda x: 1 / x, **t),
    "travel": lambda **t: show.travel(FRAMES, times="abcd", caption="c", **t),
}


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
def test_a_picture_is_small_tells_its_alt_text_and_every_word_is_inside(draw):
    picture = draw(title="The title", alt="a sentence for the ear")
    data, metadata = picture._repr_mimebundle_()
    png = base64.b64decode(data["image/png"])
    image = Image.open(io.BytesIO(png))
    assert 400 <= image.width <= 900 and image.height <= 900 and len(png) < 100_000
    assert metadata["image/png"]["alt"] == "a sentence for the ear"
    drawn = picture.get_tightbbox()  # in inches, all that is drawn
    width, height = picture.get_size_inches()
    assert drawn.x0 > -0.01 and drawn.x1 < width + 0.01
    assert drawn.y0 > -0.01 and drawn.y1 < height + 0.01
    with pytest.raises(ValueError, match="title"):
        draw(title=" ")


# -- a mesh --------------------------------------------------------------------------------------


def factors(g, extent=(-3, 3, -3, 3), lines=13):
    lattice = maps._lattice(extent, lines)
    carried = maps._carried(g, lattice)
    return maps._areas(carried) / maps._areas(lattice)


def test_the_area_factor_of_a_straight_map_is_its_determinant():
    det = float(torch.linalg.det(TURN))
    np.testing.assert_allclose(factors(lambda z: z @ TURN.T), det, rtol=1e-12)
    over = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)  # turned over: det −1
    np.testing.assert_allclose(factors(lambda z: z @ over), 1, rtol=1e-12)


def test_in_polar_coordinates_it_is_the_radius():
    found = factors(polar, (0, 1, 0, 2 * math.pi), 11).reshape(10, 10)
    middle = (np.arange(10) + 0.5) / 10
    np.testing.assert_allclose(found, np.repeat(middle[:, None], 10, 1), rtol=0.003)


def test_it_is_what_a_flow_says_where_cells_are_small():
    model = settled().double()
    found = factors(model, (-0.5, 0.5, -0.5, 0.5), 41).reshape(40, 40)
    at = (np.arange(40) + 0.5) / 40 - 0.5
    z = torch.from_numpy(np.stack(np.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2))
    told = model(z)[1].exp().detach().numpy().reshape(40, 40)
    assert np.abs(found / told - 1).max() < 0.05 and np.median(np.abs(found / told - 1)) < 1e-3
    assert told.std() > 0.02  # it is not one number that anything would match


def test_the_mesh_is_drawn_where_the_map_puts_it():
    picture = show.mesh(lambda z: 2 * z + 5, title="t", extent=(-1, 1), lines=3)
    left, right, _ = picture.axes
    assert left.get_xlim() == (-1, 1)
    assert right.get_xlim() == pytest.approx((3 - 0.16, 7 + 0.16), abs=0.02)
    cells = right.collections[0]
    assert len(cells.get_paths()) == 4
    np.testing.assert_allclose(cells.get_array(), 2.0)  # two powers of two: four times the area
    first = cells.get_paths()[0].vertices
    assert first.min() == pytest.approx(3) and first.max() == pytest.approx(5)
    assert "area factors 4 to 4" in picture.alt


@pytest.mark.parametrize(
    "wrong, said",
    [
        (dict(g=lambda z: z[:5]), "keep the shape"),
        (dict(g=lambda z: z / 0), "finite|NaN"),
        (dict(lines=1), "lines"),
        (dict(extent=(3, -3)), "extent"),
    ],
)
def test_maps_that_are_none_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        show.mesh(**({"g": lambda z: z, "title": "t"} | wrong))


# -- on a line -----------------------------------------------------------------------------------


def counted(g, density, low, high, edges, n=40_001):
    z = np.linspace(low, high, n)
    p = density(z)
    return maps._counted(g(z), p / p.sum(), edges)


def test_what_is_counted_is_scipys_density():
    edges = np.linspace(0.2, 4, 200)
    middle = (edges[:-1] + edges[1:]) / 2
    found = counted(lambda z: np.exp(0.5 * z), stats.norm.pdf, -8, 8, edges)
    np.testing.assert_allclose(found, stats.lognorm(0.5).pdf(middle), atol=2e-3)
    # The factor left out, or turned over, is another density: the check can fail.
    wrong = stats.norm.pdf(np.log(middle) / 0.5)
    assert np.abs(found - wrong).max() > 0.1
    assert np.abs(found - wrong * 0.5 * middle).max() > 0.1


def test_a_map_that_turns_back_is_counted_from_both_sides():
    edges = np.linspace(0.1, 6, 150)
    found = counted(np.square, stats.norm.pdf, -8, 8, edges)
    share = np.diff(stats.chi2(1).cdf(edges)) / np.diff(edges)
    np.testing.assert_allclose(found, share, atol=2e-3)


def test_a_flat_stretch_is_a_spike_and_nothing_is_lost():
    edges = np.linspace(-5, 5, 101)
    found = counted(lambda z: np.where(z > 0, 1.0, z), stats.norm.pdf, -6, 6, edges)
    assert float(found.sum() * 0.1) == pytest.approx(1, abs=1e-3)
    assert found.max() == pytest.approx(5.0, rel=0.02)


def test_the_strips_on_the_left_are_as_large_as_those_below():
    picture = show.pushed(lambda z: np.exp(0.5 * z), title="t", strips=4)
    curve, under, beside = picture.axes
    marks = [line.get_xdata()[0] for line in curve.lines[1::2]]
    assert marks == pytest.approx(stats.norm.ppf([0.25, 0.5, 0.75]).tolist(), abs=2e-3)
    ends = [line.get_ydata()[0] for line in curve.lines[2::2]]
    assert ends == pytest.approx(np.exp(0.5 * np.array(marks)).tolist(), rel=1e-3)
    assert beside.get_xlim()[1] == 0  # the density of x grows to the left, away from the curve
    with pytest.raises(ValueError, match="one number for each z"):
        show.pushed(lambda z: z[:3], title="t")


# -- on the way ----------------------------------------------------------------------------------


def test_hues_go_round_once_and_are_equally_light():
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = maps.hues(2 * np.stack([np.cos(angle), np.sin(angle)], 1))
    assert ring.min() >= 0 and ring.max() <= 1
    steps = np.linalg.norm(ring - np.roll(ring, 1, axis=0), axis=1)
    assert steps.max() < 0.2 and len(np.unique(ring.round(4), axis=0)) == 60
    linear = np.where(ring <= 0.04045, ring / 12.92, ((ring + 0.055) / 1.055) ** 2.4)
    bright = linear @ np.array([0.2126, 0.7152, 0.0722])
    assert bright.std() / bright.mean() < 0.2
    middle = maps.hues([[0.0, 0.0]])
    assert np.ptp(middle) < 0.01


def test_a_colour_is_its_matrices_and_white_is_white():
    np.testing.assert_allclose(maps._srgb([1.0], [0.0], [0.0]), 1, atol=1e-3)
    # Oklab of sRGB's pure red, from the colour library's table: (0.628, 0.2249, 0.1258).
    red = maps._srgb([0.62796], [0.22486], [0.12585])
    np.testing.assert_allclose(red, [[1, 0, 0]], atol=2e-2)


def test_a_film_keeps_the_colours_of_the_start():
    start = np.array([[1.0, 0.0], [-1.0, 0.0]])
    swapped = start[::-1]
    colours = maps.hues(start)
    first, last = (maps._raster(points, colours, (-2, 2, -2, 2), 4, 0.1)
                   for points in (start, swapped))  # fmt: skip
    np.testing.assert_allclose(first[2, 3], colours[0], atol=1e-6)
    np.testing.assert_allclose(last[2, 3], colours[1], atol=1e-6)
    assert (first[0] == 1).all()  # paper
    outside = maps._raster(np.array([[9.0, 9.0]]), colours[:1], (-2, 2, -2, 2), 4, 1)
    assert (outside == 1).all()


def test_a_journey_can_be_kept_as_a_moving_picture(tmp_path):
    picture = show.travel(FRAMES, title="t", gif=tmp_path / "a.gif", most=3)
    assert "300 points, 0 to 3" in picture.alt
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 4
    for wrong in (FRAMES[0], FRAMES[:1], np.zeros((3, 5, 3))):
        with pytest.raises(ValueError, match="show.travel"):
            show.travel(wrong, title="t")


def test_a_print_has_ink_where_the_density_is_and_the_colour_of_its_noise():
    model = settled()
    picture = show.noise_print(model, 48, extent=(-3, 3))
    assert picture.shape == (3, 48, 48) and 0 <= picture.min() and picture.max() <= 1
    from genart_lessons.models import shapes

    ink = shapes.density_picture(model, 48, (-3, 3, -3, 3))[0]
    darkness = 1 - picture.min(0).values
    assert np.corrcoef(ink.flatten(), darkness.flatten())[0, 1] > 0.9
    at = shapes.page(48, (-3, 3, -3, 3))
    full = ink.flatten() == 1
    with torch.no_grad():
        z = model.inverse(at[full])[0]
    expected = torch.from_numpy(maps.hues(z)).float().T
    torch.testing.assert_close(picture.flatten(1)[:, full], expected, atol=1e-5, rtol=0)
