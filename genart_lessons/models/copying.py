"""Passages that a text shares with others: what a model has learnt by heart, and where from.

Two units. *Characters* of the ABC below its head: an exact copy. *Notes*, each as the interval from
the note before and the ratio of their lengths: a copy by ear, in whatever key, metre or unit of
length it is written. Folk tunes share many turns of phrase, so a figure means nothing by itself:
hold the same figure of unseen real tunes beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from genart_lessons.data import abc

UNITS = {"characters": 16, "notes": 8}  # and the shortest passage that is worth a word


@dataclass(frozen=True)
class Copied:
    """``passage`` = text[start:end], ``length`` units long, stands in text number ``source``, where
    it begins at character ``place``. Of several sources one is named.
    """

    start: int
    end: int
    length: int
    source: int
    place: int
    passage: str

    def __repr__(self) -> str:
        where = f"characters {self.start}–{self.end}: text {self.source} at {self.place}"
        return f"Copied({self.length} units, {where}, {self.passage!r})"


class Passages:
    """An index of texts in which the longest passage shared with another text is found at once.

    texts: ABC tunes with their heads; unit: "characters" or "notes". All beginnings are sorted (a
    suffix array, Manber and Myers 1993), so the longest match of any place is next to where it
    would stand: exact, for passages of any length, and for 4,000 tunes in some milliseconds.

    Raises ValueError for no texts or another unit, and ``abc.NotMusic`` (a ValueError) for a text
    whose notes cannot be read, where they are to be.
    """

    def __init__(self, texts: Sequence[str], unit: str = "characters"):
        if unit not in UNITS:
            raise ValueError(f"unit={unit!r}: it is 'characters' or 'notes'.")
        if isinstance(texts, str) or not texts:
            raise ValueError("give a list of texts, one or more.")
        self.unit = unit
        self._codes: dict[object, str] = {}
        parts, places, owners = [], [], []
        for number, text in enumerate(texts):
            symbols, where = self._read(text)
            parts.append("".join(self._code(symbol) for symbol in symbols) + "\0")
            places += [start for start, _ in where] + [0]
            owners += [number] * (len(symbols) + 1)
        self._all, self._places, self._owners = "".join(parts), places, owners
        self._order = _suffix_array(self._all)

    def longest(self, text: str, least: int | None = None) -> list[Copied]:
        """The passages of ``text`` that stand in the index, longest first.

        Only those that cannot be made longer at either end, and that have ``least`` units or more
        (default: 16 characters, 8 notes).
        """
        least = UNITS[self.unit] if least is None else least
        symbols, where = self._read(text)
        query = "".join(self._codes.get(symbol, "\1") for symbol in symbols)
        more = self.unit == "notes"  # so many intervals have one note more
        found, before = [], 0
        for i in range(len(query)):
            length, at = self._match(query[i:])
            if length and length > before - 1 and length + more >= least:
                start, end = where[i][0], where[i + length - 1][1]
                found.append(Copied(start, end, length + more, self._owners[at],
                                    self._places[at], text[start:end]))  # fmt: skip
            before = length
        return sorted(found, key=lambda each: (-each.length, each.start))

    def lengths(self, texts: Sequence[str]) -> Tensor:
        """The length of the longest copied passage of each text, (N,), in units; 0: none."""
        best = [self.longest(text, least=1)[:1] for text in texts]
        return torch.tensor([each[0].length if each else 0 for each in best])

    def _read(self, text: str) -> tuple[list, list[tuple[int, int]]]:
        """The symbols of a text, and from where to where each of them stands in it."""
        if self.unit == "notes":
            return _intervals(text)
        found = abc.HEAD.match(text)
        begin = found.end() if found else 0
        body = text[begin:].rstrip("\n")
        return list(body), [(begin + i, begin + i + 1) for i in range(len(body))]

    def _code(self, symbol) -> str:
        """A character for a symbol, as strings compare fast. \\0 parts texts, \\1 is unknown."""
        return self._codes.setdefault(symbol, chr(2 + len(self._codes)))

    def _match(self, query: str) -> tuple[int, int]:
        """The longest beginning of ``query`` that stands in the index: its length, and where."""
        n = len(query)
        i = bisect_left(self._order, query, key=lambda at: self._all[at : at + n])
        best = (0, 0)
        for at in self._order[max(0, i - 1) : i + 1]:
            best = max(best, (_common(query, self._all[at : at + n]), at), key=lambda x: x[0])
        return best


def _intervals(text: str) -> tuple[list, list[tuple[int, int]]]:
    """Of every note but the first: its interval in semitones, and its length by the last one's.

    A note lasts from its beginning to that of the next, so rests and ties count with the note
    before; of a chord the highest note counts. Each stands from the note before to its own end.
    """
    notes: list[list] = []  # pitch, length, start, end
    tied = False
    for token in abc.tokens(text):
        if token.kind == "tie":
            tied = True
        elif token.kind in ("note", "chord"):
            pitch, end = max(token.pitches), token.place + len(token.text)
            if tied and notes and notes[-1][0] == pitch:
                notes[-1][1] += token.ticks
                notes[-1][3] = end
            else:
                notes.append([pitch, token.ticks, token.place, end])
            tied = False
        elif token.kind == "rest" and notes:
            notes[-1][1] += token.ticks
    symbols, where = [], []
    for (pitch, length, start, _), (then, longer, _, end) in zip(notes, notes[1:], strict=False):
        symbols.append((then - pitch, Fraction(longer, length)))
        where.append((start, end))
    return symbols, where


def _suffix_array(text: str) -> list[int]:
    """The places of a text, sorted by what begins there: ranks by ever longer beginnings."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.int64)
    n, bits = len(codes), int(codes.max()).bit_length()
    known = max(1, 62 // bits)  # so many characters fit into one number
    rank = np.zeros(n, np.int64)
    for i in range(known):
        rank = (rank << bits) | np.concatenate([codes[i:], np.zeros(min(i, n), np.int64)])[:n]
    while True:
        order = np.argsort(rank, kind="stable")
        sorted_ = rank[order]
        place = np.concatenate([[0], np.cumsum(sorted_[1:] != sorted_[:-1])])
        rank[order] = place
        if place[-1] == n - 1 or known >= n:
            return order.tolist()
        later = np.concatenate([rank[known:] + 1, np.zeros(min(known, n), np.int64)])[:n]
        rank = rank * (n + 1) + later
        known *= 2


def _common(a: str, b: str) -> int:
    """How many characters two texts have in common at their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
