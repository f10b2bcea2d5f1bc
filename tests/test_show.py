"""show: what is drawn is true to the pixels, says what it is, and refuses what it cannot show."""

import base64
import hashlib
import io
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.colors
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from genart_lessons import show

X = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
T = np.arange(10.0)
FACTS = {
    "title": "Twelve", "maker": "A. Learner", "model": "VAE", "seed": 7,
    "data_credit": "digits, UCI", "licence": "CC BY 4.0",
}  # fmt: skip
EVERY = {  # each kind of picture once, drawn rightly
    "gallery": lambda **t: show.gallery(X, **t),
    "rows": lambda **t: show.rows({"a": X, "b": X}, **t),
    "pairs": lambda **t: show.pairs(X, X, **t),
    "walk": lambda **t: show.walk(X, **t),
    "film": lambda **t: show.film(X, **t),
    "heat": lambda **t: show.heat([[0.5, 0.5]], rows=["r"], columns=["a", "b"], **t),
    "bars": lambda **t: show.bars({"a": 1.0, "b": -2.0}, xlabel="nats", **t),
    "curves": lambda **t: show.curves({"y": T}, xlabel="step", ylabel="nats", **t),
    "scatter": lambda **t: show.scatter(X[:, 0, 0, :2], xlabel="u", ylabel="v", **t),
    "density": lambda **t: show.density(X[:, 0, 0, :2], xlabel="u", ylabel="v", **t),
}
drawn = pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)


def pixels(picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.png())).convert("RGB"))


# --- every picture -------------------------------------------------------------------------------


@drawn
def test_a_picture_is_narrow_opaque_and_tells_its_alt_text(draw):
    picture = draw(title="The title", alt="a sentence for the ear")
    data, metadata = picture._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.width <= 900 and image.mode in ("RGB", "P") and "transparency" not in image.info
    assert metadata["image/png"] == {
        "alt": "a sentence for the ear", "width": image.width, "height": image.height,
    }  # fmt: skip
    assert data["text/plain"] == "[picture] a sentence for the ear"
    assert "The title" in draw(title="The title").alt


@drawn
@pytest.mark.parametrize("title", ["", "   ", None])
def test_a_title_is_demanded(draw, title):
    with pytest.raises(ValueError, match="title is empty"):
        draw(title=title)
    with pytest.raises(TypeError, match="title"):
        draw()


@pytest.mark.parametrize("name", ["curves", "scatter", "density"])
@pytest.mark.parametrize("axis", ["xlabel", "ylabel"])
def test_axis_labels_are_demanded(name, axis):
    labels = {"title": "t", "xlabel": "x", "ylabel": "y", axis: " "}
    what = {"y": T} if name == "curves" else X[:, 0, 0, :2]
    with pytest.raises(ValueError, match=f"{axis} is empty"):
        getattr(show, name)(what, **labels)


def test_jupyter_shows_a_picture_once_and_our_way():
    """In a fresh IPython with the inline backend: one output, with our metadata, not cropped."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()\n"
        "import matplotlib; matplotlib.use('module://matplotlib_inline.backend_inline')\n"
        "import matplotlib.pyplot as plt; from matplotlib_inline.backend_inline import *\n"
        "configure_inline_support(s, 'inline')\n"
        "from genart_lessons import show\n"
        "p = show.curves({'y': [1, 2]}, title='t', xlabel='x', ylabel='y', alt='told')\n"
        "data, meta = s.display_formatter.format(p)\n"
        "print(len(plt.get_fignums()), sorted(data), meta['image/png'])\n"
        "print(data['image/png'] == p.png() or data['image/png'][:8])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        "0 ['image/png', 'text/plain'] {'alt': 'told', 'width': 700, 'height': 360}", "True",
    ]  # fmt: skip


def test_show_imports_neither_torch_nor_pyplot():
    code = "import sys, genart_lessons.show; print([m for m in ('torch', 'matplotlib.pyplot')"
    code += " if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr[-2000:]


# --- pictures of pictures ------------------------------------------------------------------------


def test_small_pictures_stay_crisp_to_the_pixel():
    image = pixels(show.gallery(X[:2], title="t", scale=9))
    expected = np.kron((X[0, 0].numpy() * 255).round(), np.ones((9, 9)))
    windows = np.lib.stride_tricks.sliding_window_view(image[:, :100, 0], (72, 72))
    assert (windows == expected).all((-1, -2)).sum() == 1  # there, whole, once


def test_invert_turns_ink_round_and_grey_and_colour_agree():
    (ink,) = show.as_pictures(torch.ones(1, 1, 4, 4), invert=True)
    assert (ink == 0).all()
    grey, colour = show.as_pictures(X[:1])[0], show.as_pictures(X[:1].repeat(1, 3, 1, 1))[0]
    assert (grey == colour).all() and grey.shape == (8, 8, 3)


def test_lists_of_tensors_and_pillow_images_are_pictures():
    mixed = [X[0], Image.new("RGB", (8, 8), "#ff0000"), X[1].numpy()]
    assert show.gallery(mixed, title="t").alt == "3 pictures: t"
    assert (show.as_pictures(mixed)[1] == [255, 0, 0]).all()


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (X[:, 0], r"\(N, C, H, W\).*x\[:, None\]"),
        (X[0], r"x\[None\]"),
        (X.repeat(1, 2, 1, 1), "C = 1 or 3"),
        (X.permute(0, 2, 3, 1), "C = 1 or 3"),
        (X * 255, r"Divide bytes by 255"),
        (X * 2 - 1, r"\(x \+ 1\) / 2"),
        (X * float("nan"), "nan"),
        (X[:0], "no pictures"),
        ([], "no pictures"),
        (torch.zeros(401, 1, 2, 2), "at most 400"),
    ],
    ids=["no channel", "one", "two channels", "channels last", "bytes", "signed", "nan", "none",
         "empty", "many"],
)  # fmt: skip
def test_wrong_pictures_get_a_sentence(images, says):
    with pytest.raises(ValueError, match=says):
        show.gallery(images, title="t")


def test_a_hair_outside_the_range_is_rounding_and_allowed():
    assert show.gallery(X + 5e-4 * (X > 0.99), title="t")


def test_counts_must_agree():
    with pytest.raises(ValueError, match="3 titles for 12"):
        show.gallery(X, title="t", titles=list("abc"))
    with pytest.raises(ValueError, match="original: 12, reconstruction: 11"):
        show.pairs(X, X[:11], title="t")
    with pytest.raises(ValueError, match="two different labels"):
        show.pairs(X, X, ("same", "same"), title="t")
    with pytest.raises(ValueError, match="2 times for 12"):
        show.film(X, title="t", times=[0, 1])


@pytest.mark.parametrize("n", [1, 2, 40, 400])
@pytest.mark.parametrize("side", [8, 64, 300])
def test_galleries_of_any_size_fit_the_page(n, side):
    picture = show.gallery(torch.zeros(n, 1, side, side), title="t")
    assert picture.bbox.width <= 900 and picture.bbox.height < 3200


def test_a_film_moves_when_asked(tmp_path):
    show.film(X, title="t", gif=tmp_path / "new" / "film.gif", seconds=1.2)
    with Image.open(tmp_path / "new" / "film.gif") as gif:
        assert gif.n_frames == 12 and gif.info["duration"] == 100 and gif.width == 256


# --- plots ---------------------------------------------------------------------------------------


def test_curves_differ_in_dash_and_colour_and_carry_bands_and_levels():
    lines = {str(i): T + i for i in range(8)}
    (ax,) = show.curves(
        lines, title="t", xlabel="x", ylabel="y", band={"3": (T + 2, T + 4)}, levels={"truth": 4.0}
    ).axes
    looks = {(line.get_color(), str(line.get_linestyle()), str(line._dash_pattern))
             for line in ax.lines[:8]}  # fmt: skip
    assert len({colour for colour, _, _ in looks}) == len({dash for *_, dash in looks}) == 8
    assert len(ax.collections) == 1 and list(ax.lines[8].get_ydata()) == [4.0, 4.0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"series": {}}, "1 to 8 lines"),
        ({"series": {str(i): T for i in range(9)}}, "not 9"),
        ({"series": {"loss": [1.0, float("nan")]}}, "'loss': 1 of 2 values are NaN"),
        ({"series": {"loss": []}}, "no values"),
        ({"series": {"loss": T}, "x": T[:5]}, "10 values, but x has 5"),
        ({"series": {"loss": T}, "band": {"lost": (T, T)}}, "no line here"),
    ],
)  # fmt: skip
def test_wrong_curves_get_a_sentence(arguments, says):
    with pytest.raises(ValueError, match=says):
        show.curves(**arguments, title="t", xlabel="x", ylabel="y")


def test_curves_may_each_have_their_own_places():
    places = {"a": [0.1, 0.5, 0.9], "b": [2.0, 3.0]}
    lines = {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0]}
    (ax,) = show.curves(lines, x=places, title="t", xlabel="x", ylabel="y").axes
    assert [list(line.get_xdata()) for line in ax.lines] == list(places.values())
    assert len({line.get_marker() for line in ax.lines}) == 2  # the points, too, can be told apart
    with pytest.raises(ValueError, match="no places for the line 'b'"):
        show.curves(lines, x={"a": places["a"]}, title="t", xlabel="x", ylabel="y")
    with pytest.raises(ValueError, match="'b' has 2 values, but x has 3"):
        show.curves(lines, x=places | {"b": [1.0, 2.0, 3.0]}, title="t", xlabel="x", ylabel="y")


def test_a_table_writes_every_number_legibly():
    m = np.array([[0.0, 0.2], [0.7, 0.1]])
    (ax,) = show.heat(m, title="t", rows=["a", "b"], columns=["c", "d"]).axes
    assert [t.get_text() for t in ax.texts] == ["0.00", "0.20", "0.70", "0.10"]
    for text, value in zip(ax.texts, m.flat, strict=True):
        cell = ax.images[0].to_rgba(value)[:3]
        assert contrast(cell, text.get_color()) > 4.5  # WCAG 2.2, level AA
    with pytest.raises(ValueError, match=r"\(2, 2\) with 1 row names"):
        show.heat(m, title="t", rows=["a"], columns=["c", "d"])


def test_bars_show_numbers_and_errors():
    (ax,) = show.bars({"a": 1.5, "b": 2.0}, title="t", xlabel="x", errors={"a": 0.25}).axes
    assert {"1.50 ± 0.25", "2.00"} <= {text.get_text() for text in ax.texts}
    with pytest.raises(ValueError, match="NaN"):
        show.bars({"a": float("nan")}, title="t", xlabel="x")


def test_scatter_names_ten_classes_with_ten_marks():
    points, classes = torch.randn(200, 2), torch.arange(200) % 10
    (ax,) = show.scatter(points, classes, title="t", xlabel="x", ylabel="y").axes
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [str(i) for i in range(10)]
    marks = {(tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes())
             for c in ax.collections}  # fmt: skip
    assert len(marks) == 10
    for bad, says in ((points[:, :1], r"shape \(N, 2\)"), (points[:5], "200,")):
        with pytest.raises(ValueError, match=says):
            show.scatter(bad, classes, title="t", xlabel="x", ylabel="y")


def test_density_integrates_to_one_and_stands_the_right_way_up():
    points = torch.randn(4000, 2, generator=torch.Generator().manual_seed(1)) * 0.3
    points += torch.tensor([2.0, -1.0])
    ax = show.density(points, title="t", xlabel="x", ylabel="y", extent=(0, 4, -3, 3)).axes[0]
    values = ax.images[0].get_array()
    assert abs(values.sum() * (4 / 160) * (6 / 160) - 1) < 0.01
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert abs(column * 4 / 160 - 2) < 0.3 and abs(-3 + row * 6 / 160 + 1) < 0.3


def test_density_of_a_function_stands_the_right_way_up():
    def bump(p):
        return torch.exp(-((p[:, 0] - 1) ** 2) - (p[:, 1] + 2) ** 2)

    labels = {"title": "t", "xlabel": "x", "ylabel": "y"}
    values = show.density(bump, extent=(-3, 3, -3, 3), **labels).axes[0].images[0].get_array()
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert abs(-3 + column * 6 / 159 - 1) < 0.05 and abs(-3 + row * 6 / 159 + 2) < 0.05
    with pytest.raises(ValueError, match="extent"):
        show.density(bump, **labels)
    with pytest.raises(ValueError, match="1 dimension"):
        show.density(lambda p: p, extent=(0, 1, 0, 1), **labels)


# --- colours -------------------------------------------------------------------------------------

# Machado, Oliveira & Fernandes (2009), severity 1.0, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                        [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                        [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                        [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


def linear(colour) -> np.ndarray:
    c = np.array(matplotlib.colors.to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one, other) -> float:
    a, b = sorted(linear(c) @ (0.2126, 0.7152, 0.0722) for c in (one, other))
    return (b + 0.05) / (a + 0.05)


def lab(rgb) -> np.ndarray:
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ rgb.clip(0, 1) / (0.9505, 1, 1.089)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def closest(colours, kind) -> float:
    seen = [lab(BLINDNESS[kind] @ linear(colour)) for colour in colours]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_palette_is_told_apart_with_every_colour_vision(kind):
    assert closest(show.PALETTE, kind) > 10  # CIE76; about 2.3 is just noticeable


def test_that_test_would_catch_a_red_and_green_palette():
    assert (
        closest(["#c00000", "#5a6e00"], "none") > 40
        and closest(["#c00000", "#5a6e00"], "deutan") < 10
    )


def test_text_is_legible_on_the_paper():
    assert contrast(show.INK, show.PAPER) > 7 and contrast(show.MUTED, show.PAPER) > 4.5


# --- source --------------------------------------------------------------------------------------


def test_source_shows_code_and_a_relative_place():
    shown = show.source(show.gallery)
    assert shown.where == "genart_lessons/show/pictures.py"
    assert shown.code.startswith("def gallery(images, *, title")
    bundle = shown._repr_mimebundle_()
    assert re.search(r"`genart_lessons/show/pictures.py`, line \d+\n\n```python\ndef gall",
                     bundle["text/markdown"])  # fmt: skip
    assert str(Path(__file__).parents[1]) not in str(bundle)
    part = show.source(show.gallery, lines=(1, 2))
    assert part.code.count("\n") == 1 and part.first == shown.first


def test_source_of_a_method_a_module_and_a_package():
    assert show.source(show.Picture.png).code.startswith("def png(self, colours")
    assert show.source(show.sheet).first == 1
    assert show.source(torch.nn).where == "torch/nn/__init__.py"


def test_source_cannot_be_broken_out_of_by_backticks(tmp_path):
    (tmp_path / "odd.py").write_text('def f():\n    """\n    ```\n    # not a heading\n    """\n')
    sys.path.insert(0, str(tmp_path))
    try:
        import odd
    finally:
        sys.path.remove(str(tmp_path))
    shown = show.source(odd.f)
    assert shown.where == "odd.py"
    assert "````python" in shown._repr_mimebundle_()["text/markdown"]


@pytest.mark.parametrize("obj", [len, 7, torch.zeros(2)])
def test_what_has_no_source_gets_a_sentence(obj):
    with pytest.raises(TypeError, match="no source to show"):
        show.source(obj)


@pytest.mark.parametrize("lines", [(0, 3), (3, 2), (1, 10_000)])
def test_lines_that_are_not_there(lines):
    with pytest.raises(ValueError, match="there are 1 to"):
        show.source(show.gallery, lines=lines)


# --- sheets and provenance -----------------------------------------------------------------------


def test_provenance_comes_back_as_it_was_written(tmp_path):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"weights")
    path = tmp_path / "works" / "sheet.png"
    written = show.save_sheet(
        X, path, **FACTS, weights=weights, choices="kept 12 of 90 by eye: les plus drôles 好",
        date="2030-05-01",
    )  # fmt: skip
    read = show.provenance(path)
    assert read == written and read.unchanged
    assert read["seed"] == 7 and read["date"] == "2030-05-01"
    assert read["choices"].endswith("drôles 好") and read["data"] == "digits, UCI"
    assert read["weights"] == hashlib.sha256(b"weights").hexdigest()
    assert "seed      7" in repr(read) and "as they were saved" in read._repr_html_()
    with Image.open(path) as image:
        assert image.width == 2400 and abs(image.info["dpi"][0] - 300) < 1
        assert image.text["Author"] == "A. Learner"  # the standard's own word for it
        xmp = ET.fromstring(image.text["XML:com.adobe.xmp"])
    assert "trainedAlgorithmicMedia" in ET.tostring(xmp, "unicode")
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]  # nothing left beside it


def test_the_sheet_holds_the_pictures_crisply(tmp_path):
    show.save_sheet(X[:1], tmp_path / "one.png", **FACTS, width=960)
    sheet = np.asarray(Image.open(tmp_path / "one.png"))[..., 0].astype(int)
    expected = np.kron((X[0, 0].numpy() * 255).round(), np.ones((110, 110)))
    assert (sheet[40 : 40 + 880, 40 : 40 + 880] == expected).all()


@pytest.mark.parametrize("fact", ["title", "maker", "model", "data_credit", "licence", "seed"])
def test_no_fact_may_be_missing(tmp_path, fact):
    with pytest.raises(ValueError, match=f"{fact} is empty"):
        show.save_sheet(X, tmp_path / "s.png", **{**FACTS, fact: None if fact == "seed" else ""})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"path": "s.jpg"}, ValueError, "name it s.png"),
        ({"weights": "no/such/file"}, ValueError, "neither"),
        ({"date": "yesterday"}, ValueError, "yesterday"),
        ({"width": 100}, ValueError, "600"),
        ({"images": X * 3}, ValueError, r"\[0, 1\]"),
    ],
)
def test_wrong_sheets_write_nothing(tmp_path, options, error, says):
    options = {"images": X, "path": "s.png", **FACTS, **options}
    path = tmp_path / options.pop("path")
    with pytest.raises(error, match=says):
        show.save_sheet(options.pop("images"), path, **options)
    assert not list(tmp_path.iterdir())


def test_a_sheet_is_not_overwritten_by_accident(tmp_path):
    path = tmp_path / "s.png"
    show.save_sheet(X, path, **FACTS, width=600)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        show.save_sheet(X, path, **{**FACTS, "seed": 8}, width=600)
    assert path.read_bytes() == before
    assert show.save_sheet(X, path, **{**FACTS, "seed": 8}, width=600, overwrite=True)["seed"] == 8


def test_a_changed_pixel_is_noticed(tmp_path):
    path = tmp_path / "s.png"
    show.save_sheet(X, path, **FACTS, width=600)
    with Image.open(path) as image:
        image.load()
        notes = PngImagePlugin.PngInfo()
        for key, text in image.text.items():
            notes.add_itxt(key, text)
        image.putpixel((0, 0), (0, 0, 0))
        image.save(path, pnginfo=notes)
    read = show.provenance(path)
    assert not read.unchanged and "CHANGED" in repr(read) and read["seed"] == 7


def test_foreign_and_damaged_files_get_a_sentence(tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    show.save_sheet(X, good, **FACTS, width=600)
    Image.open(good).convert("RGB").save(bad)  # saved again: the notes are gone
    with pytest.raises(show.NoProvenance, match="does not say where it comes from"):
        show.provenance(bad)
    whole = good.read_bytes()
    places = range(1000, len(whole) - 50, len(whole) // 20)
    turned = [whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :] for at in places]
    for data in (whole[: len(whole) // 2], *turned, b"not a picture", b""):
        bad.write_bytes(data)
        with pytest.raises(show.NoProvenance, match="bad.png cannot be read"):
            show.provenance(bad)
    Image.new("RGB", (4, 4)).save(tmp_path / "j.jpg")
    with pytest.raises(show.NoProvenance, match="another kind of file"):
        show.provenance(tmp_path / "j.jpg")
    with pytest.raises(FileNotFoundError, match="no picture"):
        show.provenance(tmp_path / "nowhere.png")


def test_hostile_notes_stay_text(tmp_path):
    path = tmp_path / "s.png"
    facts = {**FACTS, "title": "<script>alert(1)</script>", "maker": "\x1b[31mred"}
    read = show.save_sheet(X, path, **facts, width=600)
    assert "<script>" not in read._repr_html_() and "\x1b" not in repr(read)


def test_letters_that_no_font_has_are_told(tmp_path):
    with pytest.warns(UserWarning, match="No font here"):
        read = show.save_sheet(X, tmp_path / "s.png", **{**FACTS, "maker": "\U00012000"}, width=600)
    assert read["maker"] == "\U00012000"


def test_a_heavy_picture_is_shown_lighter_and_looks_the_same():
    noise = torch.nn.functional.interpolate(torch.rand(24, 3, 9, 9), 64, mode="bilinear")
    picture = show.gallery(noise, title="smooth colours")
    shown = base64.b64decode(picture._repr_mimebundle_()[0]["image/png"])
    assert len(shown) < 0.7 * len(picture.png())
    light = np.asarray(Image.open(io.BytesIO(shown)).convert("RGB"), dtype=float)
    assert np.abs(light - np.asarray(picture.image(), dtype=float)).mean() < 8
