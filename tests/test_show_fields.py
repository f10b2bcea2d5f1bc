"""Pictures of games: arrows point where steps lead, paths and points lie where they are."""

import base64
import io

import numpy as np
import pytest
import torch
from matplotlib.axis import Tick
from matplotlib.text import Text
from PIL import Image

from genart_lessons import show
from genart_lessons.models import games

RNG = np.random.default_rng(0)
ANGLES = np.arange(8) * np.pi / 4
RING = 2 * np.stack((np.cos(ANGLES), np.sin(ANGLES)), 1)
AXES = {"title": "The title", "xlabel": "θ", "ylabel": "ψ"}
BILINEAR = games.field("bilinear")
PATHS = {rule: games.steps("bilinear", rule, n=40, eta=0.2) for rule in games.RULES}
X = np.linspace(-4, 4, 201)
DATA = np.exp(-0.5 * (X - 1) ** 2) / np.sqrt(2 * np.pi)
MADE = RNG.standard_normal(4000) * 0.8
EVERY = {
    "field": lambda **t: show.field(BILINEAR, **{**AXES, **t}),
    "field with paths": lambda **t: show.field(
        BILINEAR, paths=PATHS, points={"equilibrium": (0, 0)}, **{**AXES, **t}
    ),
    "a flat field": lambda **t: show.field(BILINEAR, extent=(-2, 2, -1, 1), **{**AXES, **t}),
    "samples": lambda **t: show.samples(RING, {"a": RING, "b": RING}, **t),
    "six samples": lambda **t: show.samples(
        RING, {f"g{i}": RING for i in range(6)}, notes={"g0": "8 of 8 modes"}, caption="c", **t
    ),
    "game on a line": lambda **t: show.game_on_a_line(
        X, DATA, MADE, DATA, DATA, z=X[::20], moved=X[::20], caption="c", **t
    ),
    "a bare line": lambda **t: show.game_on_a_line(X, DATA, MADE, **t),
}
drawn = pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)


@drawn
def test_a_picture_is_narrow_small_opaque_and_tells_its_alt_text(draw):
    picture = draw(title="The title", alt="a sentence for the ear")
    data, metadata = picture._repr_mimebundle_()
    png = base64.b64decode(data["image/png"])
    image = Image.open(io.BytesIO(png))
    assert 400 <= image.width <= 900 and image.height <= 900 and len(png) < 100_000
    assert image.mode in ("RGB", "P") and "transparency" not in image.info
    assert metadata["image/png"]["alt"] == "a sentence for the ear"
    assert (image.width, image.height) == tuple(metadata["image/png"][k] for k in
                                                ("width", "height"))  # fmt: skip
    assert "The title" in draw(title="The title").alt


@drawn
def test_every_word_is_legible_and_inside_the_picture(draw):
    picture = draw(title="The title")
    picture.image()  # draws, so that every text knows its place
    frame = picture.bbox
    # Labels of ticks beyond the axes' limits exist, but they are never drawn.
    ticks = {id(label) for tick in picture.findobj(Tick) for label in (tick.label1, tick.label2)}
    texts = [t for t in picture.findobj(Text) if t.get_text().strip() and t.get_visible()]
    assert any("The title" in t.get_text() for t in texts)
    for text in texts:
        box = text.get_window_extent()
        where = (text.get_text(), box.extents, frame.extents)
        assert text.get_fontsize() >= 9, where
        if id(text) not in ticks:
            assert box.x0 >= -1 and box.y0 >= -1, where
            assert box.x1 <= frame.x1 + 1 and box.y1 <= frame.y1 + 1, where


@drawn
@pytest.mark.parametrize("title", ["", "  ", None])
def test_a_title_is_demanded(draw, title):
    with pytest.raises(ValueError, match="title is empty"):
        draw(title=title)


def test_nothing_is_drawn_through_pyplot():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    for draw in EVERY.values():
        draw(title="t")
    assert plt.get_fignums() == before


# --- field ---------------------------------------------------------------------------------------


def arrows(picture):
    (quiver,) = [c for c in picture.axes[0].collections if hasattr(c, "U")]
    return np.asarray(quiver.XY), np.stack((quiver.U, quiver.V), -1), quiver


def test_arrows_point_along_the_step_and_none_points_at_the_equilibrium():
    xy, uv, quiver = arrows(show.field(BILINEAR, extent=(-2, 2, -1, 1), arrows=9, **AXES))
    right = np.stack((-xy[:, 1], xy[:, 0]), 1)
    speed = np.hypot(*right.T)
    moving = speed > 0
    cosine = (uv * right).sum(1)[moving] / np.hypot(*uv[moving].T) / speed[moving]
    assert np.allclose(cosine, 1) and (~moving).sum() == 1 and not uv[~moving].any()
    # no arrow is longer than its cell, and the darkness is the speed
    assert (np.abs(uv) < [4 / 9, 2 / 9]).all()
    assert np.allclose(quiver.get_array(), speed)


def test_a_field_turned_round_would_be_noticed():
    _, right, _ = arrows(show.field(BILINEAR, **AXES))
    _, wrong, _ = arrows(show.field(lambda theta, psi: (psi, -theta), **AXES))
    assert np.allclose(right, -wrong) and not np.allclose(right, wrong)


def test_faster_arrows_are_darker():
    colours = show.fields.QUIET(np.linspace(0, 1, 9))[:, :3].mean(1)
    assert (np.diff(colours) < 0).all() and colours[0] < 0.8  # the faintest still shows on white


def test_paths_differ_in_colour_and_dash_and_end_where_they_end():
    paths = {k: v for k, v in PATHS.items() if k != "simultaneous"}
    (ax,) = show.field(BILINEAR, paths=paths, points={"rest": (0, 0)}, **AXES).axes
    named = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in named] == [*paths, "rest"]
    assert len({line.get_color() for line in named[:3]}) == 3
    assert len({str(line._dash_pattern) for line in named[:3]}) == 3
    ends = [line for line in ax.lines if line.get_marker() == "s"]
    for line, end, path in zip(named, ends, paths.values(), strict=False):
        assert np.array_equal(line.get_xydata(), path)
        assert np.array_equal(end.get_xydata()[0], path[-1])
    starts = [line for line in ax.lines if line.get_marker() == "o"]
    assert all(line.get_markerfacecolor() == show.PAPER for line in starts) and len(starts) == 3
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [*paths, "rest"]


def test_a_path_that_leaves_ends_in_an_arrowhead_at_the_frame():
    path = np.array([[0, 0], [1, 0.5], [3, 1.5], [0, 0], [0.5, 0.5]])
    (ax,) = show.field(BILINEAR, paths={"p": path}, **AXES).axes
    line = ax.lines[0].get_xydata()
    assert np.allclose(line, [[0, 0], [1, 0.5], [2, 1]])  # cut where it crosses θ = 2
    assert not [line for line in ax.lines if line.get_marker() == "s"]
    (head,) = [t for t in ax.texts if getattr(t, "arrow_patch", None)]
    assert np.allclose(head.xy, [2, 1]) and head.xyann[0] < 2  # points outwards


def test_tensors_are_paths_too():
    path = torch.tensor(PATHS["alternating"])
    one = show.field(BILINEAR, paths={"p": path}, **AXES).png()
    assert one == show.field(BILINEAR, paths={"p": path.numpy()}, **AXES).png()
    assert one != show.field(BILINEAR, paths={"p": -path}, **AXES).png()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"v": lambda a, b: a}, "two arrays"),
        ({"v": lambda a, b: (a, b[:3])}, r"given arrays of shape \(19, 19\) and returned"),
        ({"v": lambda a, b: (a, b * np.nan)}, "NaN"),
        ({"extent": (2, -2)}, "extent is"),
        ({"extent": (1, 2, 3)}, "extent is"),
        ({"paths": {"p": [[1.0, 2.0, 3.0]]}}, r"path 'p' needs the shape \(N, 2\)"),
        ({"paths": {"p": [[1.0, float("inf")]]}}, "infinite"),
        ({"paths": {str(i): RING for i in range(9)}}, "up to 8 paths, not 9"),
        ({"points": {"q": (1, 2, 3)}}, "point 'q' is a pair"),
        ({"arrows": 1}, "arrows is"),
        ({"arrows": 5.5}, "arrows is"),
        ({"xlabel": " "}, "xlabel is empty"),
        ({"ylabel": ""}, "ylabel is empty"),
    ],
)  # fmt: skip
def test_wrong_fields_get_a_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        show.field(**{"v": BILINEAR, **AXES, **options})


# --- samples -------------------------------------------------------------------------------------


def test_every_group_has_a_panel_with_its_points_and_its_note():
    groups = {"good": RING + 0.1, "bad": torch.tensor(RING[:3])}
    notes = {"good": "8 of 8 modes", "bad": "3 of 8 modes"}
    picture = show.samples(RING, groups, notes=notes, title="t")
    for ax, (name, own) in zip(picture.axes, groups.items(), strict=True):
        rings, dots = sorted(ax.collections, key=lambda c: -c.get_sizes()[0])
        assert np.allclose(rings.get_offsets(), RING) and np.allclose(dots.get_offsets(), own)
        assert ax.get_title("left") == name and ax.texts[0].get_text() == notes[name]
        assert ax.get_xlim() == picture.axes[0].get_xlim() == ax.get_ylim()
        assert notes[name] in picture.alt


def test_panels_are_square_and_stand_apart():
    for n in range(1, 7):
        picture = show.samples(RING, {f"g{i}": RING for i in range(n)}, title="t")
        boxes = [ax.get_window_extent() for ax in picture.axes]
        assert all(abs(b.width - b.height) < 1 for b in boxes) and picture.bbox.width <= 900
        assert len({round(b.y0) for b in boxes}) == (1 if n <= 4 else 2)
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_points_outside_are_counted_and_do_not_move_the_axes():
    far = np.concatenate((RING, RING * 50))
    picture = show.samples(RING, {"a": RING, "b": far, "c": far[:9].repeat(30, 0)}, title="t")
    told = [[t.get_text() for t in ax.texts if "outside" in t.get_text()] for ax in picture.axes]
    assert told == [[], ["50% outside"], ["11% outside"]]
    assert picture.axes[1].get_xlim()[1] < 4
    many = np.concatenate((RING.repeat(100, 0), RING[:1] * 50))
    ax = show.samples(RING, {"a": many}, title="t").axes[0]
    assert "1 of 801 outside" in [t.get_text() for t in ax.texts]


def test_many_real_points_are_a_grey_cloud_and_many_points_are_thinned():
    real = RNG.standard_normal((9000, 2))
    picture = show.samples(real, {"a": real}, title="t")
    assert [len(c.get_offsets()) for c in picture.axes[0].collections] == [2500, 2500]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"groups": {}}, "1 to 6 groups, not 0"),
        ({"groups": {str(i): RING for i in range(7)}}, "not 7"),
        ({"groups": {"a": RING[:, :1]}}, r"'a' needs the shape \(N, 2\)"),
        ({"groups": {"a": RING * np.nan}}, "NaN"),
        ({"groups": {"": RING}}, "group 1's name is empty"),
        ({"real": RING[0]}, "real needs 2 dimension"),
        ({"notes": {"b": "no"}}, r"notes for \['b'\], which is no group"),
        ({"extent": (3, 1)}, "show.samples: extent"),
        ({"columns": 0}, "columns is a whole number"),
        ({"xlabel": ""}, "xlabel is empty"),
    ],
)
def test_wrong_samples_get_a_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        show.samples(**{"real": RING, "groups": {"a": RING}, "title": "t", **options})


# --- a game on a line ----------------------------------------------------------------------------


def test_the_histogram_is_a_density():
    ax = show.game_on_a_line(X, DATA, MADE, title="t").axes[0]
    values, edges, _ = ax.patches[0].get_data()
    assert abs((values * np.diff(edges)).sum() - 1) < 1e-9
    middle = (edges[1:] + edges[:-1]) / 2
    true = np.exp(-0.5 * (middle / 0.8) ** 2) / np.sqrt(2 * np.pi) / 0.8
    assert np.abs(values - true).max() < 0.08
    assert np.array_equal(ax.lines[0].get_ydata(), DATA)


def test_the_axes_do_not_move_while_the_generator_does():
    one, two = (show.game_on_a_line(X, DATA, m, DATA, z=X[:3], moved=X[:3], title="t")
                for m in (MADE, MADE * 0.01))  # fmt: skip
    for a, b in zip(one.axes, two.axes, strict=True):
        assert (a.get_xlim(), a.get_ylim()) == (b.get_xlim(), b.get_ylim())
        assert np.array_equal(a.get_position(), b.get_position())
    assert one.png() != two.png() and one.bbox.size.tolist() == two.bbox.size.tolist()
    told = [t.get_text() for t in two.axes[0].texts]
    assert any(t.startswith("up to") for t in told) and not one.axes[0].texts


def test_what_is_generated_off_the_line_is_said_and_not_counted_in():
    ax = show.game_on_a_line(X, DATA, np.concatenate((MADE, MADE + 100)), title="t").axes[0]
    values, edges, _ = ax.patches[0].get_data()
    assert abs((values * np.diff(edges)).sum() - 0.5) < 1e-9
    assert "50% outside" in [t.get_text() for t in ax.texts]


def test_both_judgements_are_told_apart_and_compared_in_the_alt_text():
    picture = show.game_on_a_line(X, DATA, MADE, 0 * X + 0.5, 0 * X + 0.75, title="t")
    lines = {line.get_label(): line for line in picture.axes[1].lines}
    best, own = lines["the best D for p_g"], lines["D(x), as it is"]
    assert set(best.get_ydata()) == {0.75} and set(own.get_ydata()) == {0.5}
    assert best.get_color() != own.get_color()
    assert best._dash_pattern != own._dash_pattern and "at most 0.25 away" in picture.alt


def test_arrows_end_at_what_the_generator_makes():
    z, moved = np.linspace(-2, 2, 5), np.array([3, 1, 0, -1, 2.5])
    picture = show.game_on_a_line(X, DATA, MADE, z=z, moved=moved, title="t")
    (quiver,) = [c for c in picture.axes[-1].collections if hasattr(c, "U")]
    ends = np.asarray(quiver.XY) + np.stack((quiver.U, quiver.V), -1)
    assert np.allclose(ends[:, 0], moved) and np.allclose(ends[:, 1], 1)
    assert (np.diff(np.asarray(quiver.XY)[:, 0]) > 0).all()  # codes keep their order
    assert picture.axes[-1].get_xlim() == picture.axes[0].get_xlim()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"x": X[::-1]}, "rising"),
        ({"data": DATA[:9]}, "data has 9 values for 201 places"),
        ({"data": np.log(DATA)}, "cannot be below 0"),
        ({"generated": MADE[:, None]}, "1 dimension"),
        ({"generated": MADE * np.nan}, "NaN"),
        ({"generated": []}, "no values"),
        ({"d": X}, "d is a probability.*sigmoid"),
        ({"d_star": 3 + 0 * X}, "d_star is a probability"),
        ({"d": X[:4] * 0}, "d has 4 values"),
        ({"z": X}, "z and moved go together.*201 and 0"),
        ({"z": X, "moved": X[:5]}, "201 and 5"),
        ({"xlabel": ""}, "xlabel is empty"),
    ],
)
def test_wrong_lines_get_a_sentence(options, says):
    given = {"x": X, "data": DATA, "generated": MADE, "title": "t", **options}
    with pytest.raises(ValueError, match=says):
        show.game_on_a_line(**given)
