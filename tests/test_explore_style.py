"""The two explorers of style transfer, moved by hand, and files given to them."""

import datetime
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from genart_lessons import data, explore
from genart_lessons.models import style

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


def shown(box):
    image = Image.open(io.BytesIO(box.still))
    assert 400 <= image.width <= 900 and len(box.still) < 400_000
    return np.asarray(image.convert("RGB")).astype(int)


def uploaded(content, name="holiday.png"):
    now = datetime.datetime(2026, 1, 1)
    return ({"name": name, "type": "image/png", "size": len(content), "last_modified": now,
             "content": memoryview(content)},)  # fmt: skip


def png(colour, size=(80, 64)):
    memory = io.BytesIO()
    Image.new("RGB", size, colour).save(memory, "png")
    return memory.getvalue()


@pytest.fixture
def asked(monkeypatch):
    """What the transfer is given, without the work of it."""
    seen = []
    real = style.StyleTransfer

    class Quick(real):
        def __init__(self, *given, **more):
            seen.append(more | {"content": given[0], "style": given[1]})
            super().__init__(*given, **more)

        def run(self, steps, **more):
            seen[-1]["steps"] = (steps, more)
            return style.Stylised(self.content, [1.0], [0.1], 0.1)

    monkeypatch.setattr(style, "StyleTransfer", Quick)
    return seen


def test_sliders_are_logarithms_and_the_lowest_place_is_nothing(asked):
    box = explore.style(data.photo("chelsea"), data.photo("ihc"), size=48)
    first = asked[-1]
    assert (first["content_weight"], first["style_weight"], first["tv_weight"]) == (1, 10, 10)
    assert set(first["style_layers"]) == set(style.STYLE) and first["content_layers"] == {"b4": 1}
    box.set(style_weight=2.0, content_weight=-3.0, tv_weight=-1.0)
    last = asked[-1]
    assert last["style_weight"] == pytest.approx(100) and last["content_weight"] == 0
    assert last["tv_weight"] == pytest.approx(0.1)
    assert "weights 0 : 100 : 0.1" in box.caption and box.error is None
    box.set(layers="coarse: b3, b4, b5", content_layer="b2")
    assert asked[-1]["style_layers"] == pytest.approx(dict.fromkeys(("b3", "b4", "b5"), 1 / 3))
    assert asked[-1]["content_layers"] == {"b2": 1.0}
    assert not box.controls["style_weight"].continuous_update  # a whole descent: once let go


def test_the_line_tells_the_parts_of_the_very_picture():
    box = explore.style(data.photo("chelsea"), data.photo("ihc"), size=48, steps=4)
    before = shown(box)
    box.set(style_weight=3.0)
    assert np.abs(shown(box) - before).mean() > 0.1 and box.error is None
    told = dict(part.split() for part in box.caption.split(": ")[-1].split(", "))
    assert set(told) == {"content", "style", "tv"} and all(float(v) >= 0 for v in told.values())


def test_files_are_used_and_what_is_shown_until_then(asked):
    box = explore.upload(size=64, steps=3)
    assert torch.equal(asked[-1]["content"], data.photo("china", 64))
    assert torch.equal(asked[-1]["style"], data.photo("retina", 64))
    assert "the course's photo in the course's style" in box.caption
    box.set(content=uploaded(png("red")))
    assert asked[-1]["content"].shape == (3, 64, 80)
    assert asked[-1]["content"][0].min() == 1 and asked[-1]["content"][1:].max() == 0
    box.set(look=uploaded(png("blue")))
    assert asked[-1]["style"][2].min() == 1
    assert "your photo in your style" in box.caption and box.error is None
    assert "holiday" not in box.still.decode("latin1")


@pytest.mark.parametrize(
    "content, words",
    [(b"Dear diary, " * 9, "no picture"), (png("red")[:60], "cut off|no picture"),
     (png("red", (30, 30)), "must have 64"), (png("red", (900, 70)), "four times")],
)  # fmt: skip
def test_a_bad_file_is_a_sentence_and_the_next_good_one_a_picture(asked, content, words):
    box = explore.upload(size=64, steps=3)
    count = len(asked)
    box.set(content=uploaded(content))
    assert box.caption.startswith("✘") and box.error is None and len(asked) == count
    assert re.search(words, box.caption)
    box.set(content=uploaded(png("red")))
    assert "your photo" in box.caption


@pytest.mark.parametrize("name", ("flower", "ihc", "hearts"))
def test_a_stylist_paints_at_once(name, asked):
    box = explore.upload(size=64, steps=3, how=name)
    assert not asked and f"stylist_{name}" in box.caption
    plain = shown(box)
    box.set(look=uploaded(png("blue")))
    assert "not used" in box.caption and np.abs(shown(box) - plain).max() == 0


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="starts at"):
        explore.upload(how="monet")
    with pytest.raises(ValueError, match="one picture"):
        explore.style(torch.rand(1, 3, 64, 64), data.photo("ihc", 64))
    with pytest.raises(KeyError, match="no photo"):
        explore.upload("mona lisa")
