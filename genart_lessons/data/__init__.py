"""The course's real data as tensors: one function each, one card each, nothing downloaded.

>>> from genart_lessons import data
>>> data.digits("train")
Digits(1,500 pictures, 1×8×8, split='train')

The pictures come from packages that are installed anyway; they are drawn once and kept in the
cache. ``data.card(name)`` says where they come from, under which licence, and whom to credit;
``data.check(name)`` whether this machine's are the very same.
"""

from genart_lessons.data.cards import Card, Check, card, check, names
from genart_lessons.data.files import DataMissing
from genart_lessons.data.from_music21 import tunes
from genart_lessons.data.from_music21_bach import chorales
from genart_lessons.data.from_openmoji import emoji
from genart_lessons.data.from_qtawesome import icons
from genart_lessons.data.from_skimage import Photos, patches, photo, photos
from genart_lessons.data.from_sklearn import digits
from genart_lessons.data.music import CHARACTERS, Chorales, Tunes, decode, encode
from genart_lessons.data.pictures import Digits, Emoji, Icons, Pictures
from genart_lessons.data.quilts import quilt
from genart_lessons.data.scores import (
    AbcCheck,
    Note,
    NotMusic,
    Score,
    check_abc,
    midi,
    midi_texts,
    score,
    score_of_grid,
    spans,
)  # fmt: skip
from genart_lessons.data.uploads import NotAPicture, own_picture

__all__ = [
    "AbcCheck", "CHARACTERS", "Card", "Check", "Chorales", "DataMissing", "Digits", "Emoji",
    "Icons", "NotAPicture", "NotMusic", "Note", "Photos", "Pictures", "Score", "Tunes", "card",
    "check", "check_abc", "chorales", "decode", "digits", "emoji", "encode", "icons", "midi",
    "midi_texts", "names", "own_picture", "patches", "photo", "photos", "quilt", "score",
    "score_of_grid", "spans", "tunes",
]  # fmt: skip
