"""The explorers of diffusion moved by hand, and the pictures of clouds and streams."""

import base64
import io
import math

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from genart_lessons import explore, show
from genart_lessons.models import diffusion, noised_mixture, plane
from genart_lessons.models import diffusion_samplers as samplers


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


SCHEDULE = diffusion.cosine(40)
CENTRES = plane.ring(4, 1.0, 0.1).centres
EXACT = noised_mixture.NoisedMixture(CENTRES, 0.1, None, SCHEDULE, groups=[0, 0, 1, 1])
REAL = EXACT.sample(300, chance())
PICTURES = torch.rand(3, 3, 8, 8, generator=chance(1))


class Toward:
    """A denoiser that knows one picture and says it."""

    def __init__(self, picture, classes=0):
        self.picture, self.classes = diffusion.to_signed(picture), classes
        self.schedule, self.predicts, self.shape = SCHEDULE, "x0", tuple(picture.shape)
        self.seen, self.calls = [], 0

    def __call__(self, x, t, y=None):
        self.calls += 1
        self.seen.append(None if y is None else y.tolist())
        sign = 1 if y is None else torch.where(y == 1, -1.0, 1.0).view(-1, 1, 1, 1)
        return sign * self.picture.expand_as(x)


def legible(picture):
    """Every word inside the picture: what a reader needs."""
    picture.image()
    box = picture.bbox
    for text in picture.findobj(lambda a: isinstance(a, Text) and a.get_visible()):
        if text.get_text().strip() and text.get_window_extent().width:
            edge = text.get_window_extent()
            assert edge.x0 >= box.x0 - 1 and edge.x1 <= box.x1 + 1, text.get_text()
            assert edge.y0 >= box.y0 - 1 and edge.y1 <= box.y1 + 1, text.get_text()
    return picture


def small(box):
    image = Image.open(io.BytesIO(box.still))
    assert 400 <= image.width <= 900 and len(box.still) < 100_000
    return image


# ---------------------------------------------------------------- forward


@pytest.mark.parametrize("x0", [PICTURES, PICTURES[:, :1], REAL])
def test_forward_moves_and_tells_the_numbers_of_its_t(x0):
    box = explore.forward(x0, t=250)
    assert box.error is None
    small(box)
    legible(box.picture)
    bar = float(diffusion.linear().alpha_bar[250])
    for number in (f"{math.sqrt(bar):.3f}·x₀", f"{math.sqrt(1 - bar):.3f}·ε", "t = 250 of 1000"):
        assert number in box.caption and number in box.picture.alt
    stills = {box.still}
    for move in ({"t": 700}, {"schedule": "cosine"}, {"seed": 4}):
        box.set(**move)
        assert box.error is None
        stills.add(box.still)
    assert len(stills) == 4
    assert f"{math.sqrt(float(diffusion.cosine().alpha_bar[700])):.3f}·x₀" in box.caption
    box.set(t=0)
    assert "1.000·x₀ + 0.000·ε" in box.caption and "∞" in box.caption


def test_forward_shows_the_leap_itself():
    """The large picture at t is noised(x_0, t, ε) with the seed's ε, pixel by pixel."""
    x = torch.rand(1, 1, 8, 8, generator=chance(2))
    box = explore.forward(x, {"own": SCHEDULE}, t=20, seed=7)
    eps = torch.randn(1, 1, 8, 8, generator=chance(7))
    wanted = diffusion.to_unit(diffusion.noised(SCHEDULE, diffusion.to_signed(x), 20, eps))
    grey = (wanted[0, 0] * 255).round().byte().numpy()
    sheet = np.asarray(Image.open(io.BytesIO(box.still)).convert("L"))
    shown = sheet[40 : 40 + 200, 12 : 12 + 200].reshape(8, 25, 8, 25)[:, 12, :, 12]
    assert np.abs(shown.astype(int) - grey).max() <= 1


@pytest.mark.parametrize(
    ("x0", "options", "said"),
    [
        (torch.zeros(4, 3), {}, r"points \(N, 2\)"),
        (PICTURES * 2 - 1, {}, "from 0 to 1"),
        (PICTURES, {"schedules": {"a": SCHEDULE, "b": diffusion.linear()}}, "equally long"),
        (PICTURES, {"t": 1001}, "outside 0 to 1000"),
        (PICTURES, {"title": " "}, "title"),
    ],
)
def test_forward_refuses_what_it_cannot_show(x0, options, said):
    with pytest.raises(ValueError, match=said):
        explore.forward(x0, **options)


# ---------------------------------------------------------------- reverse


def test_reverse_of_points_moves_with_every_control():
    box = explore.reverse(EXACT, real=REAL, classes=["right", "left"], steps=8, n=50)
    assert box.error is None and "no class" in box.caption
    small(box)
    legible(box.picture)
    stills = [box.still]
    for move in ({"sampler": "ddpm"}, {"steps": 12}, {"seed": 3}, {"y": 1}, {"guidance": 4.0}):
        box.set(**move)
        assert box.error is None
        stills.append(box.still)
    assert len(set(stills)) == 6
    assert box.caption == "DDPM, 12 steps from t = 40; seed 3; left, guidance w = 4.0"
    box.set(steps=1)
    assert "1 step from" in box.caption and box.error is None


def test_reverse_of_pictures_ends_at_what_the_model_knows():
    model = Toward(PICTURES[0])
    box = explore.reverse(model, steps=5, sampler="dpm2")
    assert box.error is None and model.calls == 5
    small(box)
    legible(box.picture)
    names = [t.get_text() for t in box.picture.findobj(Text)]
    assert {"t = 40", "t = 32", "t = 8", "sample", "x_t", "guess of x₀"} <= set(names)
    sheet = np.asarray(Image.open(io.BytesIO(box.still)).convert("RGB")).astype(int)
    wanted = (PICTURES[0] * 255).round().permute(1, 2, 0).numpy()
    # The sample stands in the sixth column, 80 pixels wide: each pixel of it is 10 by 10.
    shown = sheet[42 : 42 + 80, 92 + 5 * 86 :][:, :80].reshape(8, 10, 8, 10, 3)[:, 5, :, 5]
    assert np.abs(shown - wanted).max() <= 10  # 256 colours
    before = box.still
    box.set(seed=1)
    assert box.still != before


def test_reverse_asks_the_model_for_the_class_and_the_guidance():
    model = Toward(PICTURES[0], classes=2)
    box = explore.reverse(model, classes=["as it is", "upside down"], y=1, guidance=2.0, steps=3)
    assert model.seen[-1] == [-1, 1]  # without and with, in one call
    box.set(guidance=1.0)
    assert model.seen[-1] == [1]
    box.set(y=-1)
    assert model.seen[-1] is None


def test_reverse_says_what_went_wrong_in_the_pictures_place():
    class Broken(Toward):
        def __call__(self, x, t, y=None):
            if len(self.seen) > 3:
                raise RuntimeError("the network is tired")
            return super().__call__(x, t, y)

    box = explore.reverse(Broken(PICTURES[0]), steps=3)
    box.set(steps=9)
    assert "the network is tired" in box.error and box.caption == box.error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": ["a"]}, "1 names for 2 classes"),
        ({"y": 0}, "no class"),
        ({"classes": ["a", "b"], "y": 2}, "no class"),
        ({"shape": (3,)}, "shape of a sample"),
        ({"sampler": "euler"}, "there are 'ddpm', 'ddim', 'dpm2'"),
        ({"steps": 41}, "outside 1 to 40"),
        ({"classes": ["a", ""]}, "class 2"),
    ],
)
def test_reverse_refuses_what_does_not_fit(options, said):
    with pytest.raises(ValueError, match=said):
        explore.reverse(EXACT, **options)


# ---------------------------------------------------------------- clouds and streams

FILM = samplers.ddim(EXACT, 60, steps=20, keep=21, generator=chance(3))
GRID = np.linspace(-3, 3, 101)
WHEN = list(range(40, -1, -4))
DENSITY = np.stack([np.exp(-0.5 * (GRID / (0.2 + t / 40)) ** 2) for t in WHEN])
PATHS = {"ODE": np.linspace(-1, 1, 5)[None] * (1 + np.array(WHEN)[:, None] / 40)}
EVERY = {
    "clouds": lambda **t: show.clouds(FILM.states, **t),
    "ten clouds": lambda **t: show.clouds(
        FILM.states, most=10, tails=4, real=REAL, times=[f"t = {t}" for t in FILM.times],
        colours=np.arange(60) % 3, caption="c " * 80, **t
    ),
    "one cloud": lambda **t: show.clouds(FILM.states[:1], extent=(-3, 3), **t),
    "stream": lambda **t: show.stream(DENSITY, x=GRID, times=WHEN, paths=PATHS, caption="c", **t),
    "a bare stream": lambda **t: show.stream(DENSITY, x=GRID, times=WHEN, **t),
}  # fmt: skip


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
def test_a_picture_is_narrow_small_legible_and_tells_its_alt_text(draw):
    picture = draw(title="The title", alt="a sentence for the ear")
    data, metadata = picture._repr_mimebundle_()
    png = base64.b64decode(data["image/png"])
    image = Image.open(io.BytesIO(png))
    assert 400 <= image.width <= 900 and image.height <= 900 and len(png) < 100_000
    assert metadata["image/png"]["alt"] == "a sentence for the ear"
    assert "The title" in legible(draw(title="The title")).alt
    with pytest.raises(ValueError, match="title"):
        draw(title="")


def test_a_strip_shows_the_first_and_the_last_and_says_what_is_outside():
    picture = show.clouds(FILM.states, title="T", times=[f"t = {t}" for t in FILM.times])
    titles = [ax.get_title(loc="left") for ax in picture.axes]
    assert titles[0] == "t = 40" and titles[-1] == "t = 0" and len(titles) == 5
    assert not [t for ax in picture.axes for t in ax.texts]  # the frame takes all of them in
    narrow = show.clouds(FILM.states, title="T", extent=(-1, 1))
    lost = (np.abs(FILM.states[0].numpy()) > 1).any(1).mean()
    assert f"{lost:.0%} outside" in [t.get_text() for t in narrow.axes[0].texts]


def test_every_class_has_its_own_colour_and_tails_follow_the_points():
    picture = show.clouds(FILM.states, title="T", colours=np.arange(60) % 2, tails=3)
    last = picture.axes[-1]
    groups = last.collections
    assert len(groups) == 2
    assert not np.allclose(groups[0].get_facecolor()[0, :3], groups[1].get_facecolor()[0, :3])
    tails = [line for line in last.lines if len(line.get_xdata()) == 21]
    assert len(tails) == 3
    assert np.allclose(tails[1].get_xydata(), FILM.states[:, 1].numpy())


def test_a_streams_paths_lie_where_they_are():
    picture = show.stream(DENSITY, x=GRID, times=WHEN, paths=PATHS, title="T")
    ax = picture.axes[0]
    assert np.allclose(ax.lines[2].get_xydata(), np.stack((WHEN, PATHS["ODE"][:, 2]), 1))
    assert ax.get_xlim() == (40, 0)  # falling times run from the noise, left, to the data
    shade = ax.collections[0].get_array().reshape(101, len(WHEN))
    assert np.allclose(shade.max(0), 1) and np.allclose(shade[:, 0], np.sqrt(DENSITY[0]))


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: show.clouds(REAL, title="T"), "3 dimension"),
        (lambda: show.clouds(FILM.states[:, :, :1], title="T"), r"\(K, N, 2\)"),
        (lambda: show.clouds(FILM.states * math.nan, title="T"), "NaN"),
        (lambda: show.clouds(FILM.states, title="T", most=11), "from 1 to 10"),
        (lambda: show.clouds(FILM.states, title="T", times=[1]), "1 times for 21"),
        (lambda: show.clouds(FILM.states, title="T", colours=[0, 1]), "60 whole numbers"),
        (lambda: show.stream(DENSITY.T, x=GRID, times=WHEN, title="T"), "11 times and 101"),
        (lambda: show.stream(-DENSITY, x=GRID, times=WHEN, title="T"), "logarithm"),
        (lambda: show.stream(DENSITY, x=GRID[::-1], times=WHEN, title="T"), "rising places"),
        (lambda: show.stream(DENSITY, x=GRID, times=[0] * 11, title="T"), "rise or fall"),
        (
            lambda: show.stream(DENSITY, x=GRID, times=WHEN, paths={"a": GRID[None]}, title="T"),
            "1 moments, not 11",
        ),
    ],
)
def test_wrong_numbers_get_a_sentence(draw, said):
    with pytest.raises(ValueError, match=said):
        draw()
