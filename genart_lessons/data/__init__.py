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
from genart_lessons.data.from_openmoji import emoji
from genart_lessons.data.from_qtawesome import icons
from genart_lessons.data.from_sklearn import digits
from genart_lessons.data.pictures import Digits, Emoji, Icons, Pictures

__all__ = [
    "Card", "Check", "DataMissing", "Digits", "Emoji", "Icons", "Pictures",
    "card", "check", "digits", "emoji", "icons", "names",
]  # fmt: skip
