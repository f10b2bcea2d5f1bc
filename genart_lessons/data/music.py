"""What the music functions return, and the alphabet that tunes are written in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch

from genart_lessons.data.pictures import words_of
from genart_lessons.data.scores import Score, score_of_grid

# Every character that a tune can hold, in all splits; the newline is number 0.
CHARACTERS = "\n'(,-/1234689:<=>ABCDEFGKLM[]^_abcdefgimorxz|"
_KNOWN = frozenset(CHARACTERS)
# The number of each byte's character (-1 where there is none): whole books in one go.
_NUMBERS = torch.full((256,), -1, dtype=torch.long)
_NUMBERS[list(CHARACTERS.encode())] = torch.arange(len(CHARACTERS))


def encode(text: str) -> torch.Tensor:
    """A text as numbers (T,) int64: the place of each character in ``CHARACTERS``.

    Raises ValueError for a character that tunes never hold, and says where it stands.
    """
    wrong = next((at for at, character in enumerate(text) if character not in _KNOWN), None)
    if wrong is not None:
        raise ValueError(
            f"{text[wrong]!r}, character {wrong} of the text, is in no tune; "
            f"tunes are written with {CHARACTERS!r}."
        )
    if not text:
        return torch.zeros(0, dtype=torch.long)
    return _NUMBERS[torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).long()]


def decode(ids: torch.Tensor | Sequence[int]) -> str:
    """The text that numbers (T,) stand for. Raises ValueError for a number without a character."""
    numbers = torch.as_tensor(ids).cpu()
    if numbers.ndim != 1:
        shape = tuple(numbers.shape)
        raise ValueError(f"decode takes one row of numbers (T,), not {shape}: of several, ids[0].")
    if len(numbers) and not (0 <= numbers.min() and numbers.max() < len(CHARACTERS)):
        wrong = next(n for n in numbers.tolist() if not 0 <= n < len(CHARACTERS))
        raise ValueError(f"{wrong} is no character: they are 0 … {len(CHARACTERS) - 1}.")
    return "".join(map(CHARACTERS.__getitem__, numbers.tolist()))


@dataclass(frozen=True, eq=False)
class Tunes:
    """Folk tunes as ABC text, all lists with one entry a tune.

    A text is ``M:6/8``, ``L:1/8``, ``K:G`` and lines of music; it ends in an empty line and holds
    no other. ``books``: Ryan, O'Neill, Aird; ``meters`` and ``keys`` as the text has them.
    Near-duplicates share a family, and a family is never in train and in test.
    """

    texts: list[str]
    titles: list[str]
    books: list[str]
    meters: list[str]
    keys: list[str]
    families: list[str]
    split: str

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        characters = sum(map(len, self.texts))
        return f"Tunes({len(self):,} tunes, {characters:,} characters, split={self.split!r})"

    def find(self, words: str) -> list[int]:
        """Where the title holds all of these words; titles that are just these words come first.

        Raises KeyError when there is none.
        """
        wanted, titles = words_of(words), [words_of(title) for title in self.titles]
        found = [i for i, title in enumerate(titles) if set(wanted) <= set(title)]
        if not found:
            raise KeyError(f"no tune in the {self.split} split has {words!r} in its title.")
        return sorted(found, key=lambda i: (titles[i] != wanted, i))

    def only(self, book: str | None = None, meter: str | None = None, key: str | None = None):
        """The tunes of a book, a metre, a key, or several of these at once.

        Raises KeyError, listing what there is, for a name that no tune has.
        """
        chosen = list(range(len(self)))
        for kind, wanted, each in [
            ("book", book, self.books), ("metre", meter, self.meters), ("key", key, self.keys)
        ]:  # fmt: skip
            if wanted is None:
                continue
            if wanted not in each:
                there = ", ".join(sorted(set(each)))
                where = f"in the {self.split} split"
                raise KeyError(f"no {kind} {wanted!r} {where}; there are: {there}.")
            chosen = [i for i in chosen if each[i] == wanted]
        return self.take(chosen)

    def take(self, chosen: Sequence[int]) -> Self:
        """These tunes, by number."""
        lists = ("texts", "titles", "books", "meters", "keys", "families")
        return replace(self, **_taken(self, lists, chosen))

    def stream(self) -> torch.Tensor:
        """All the texts one after the other, as numbers (N,) int64."""
        return self._stream.clone()

    @cached_property
    def _stream(self) -> torch.Tensor:
        return encode("".join(self.texts))


@dataclass(frozen=True, eq=False)
class Chorales:
    """Bach's four-part chorales on a grid of sixteenths, all lists with one entry a chorale.

    ``grids`` (T, 4) int64 are MIDI pitches of soprano, alto, tenor and bass, 0 = rest; ``starts``
    (T, 4) bool says where a note begins (elsewhere it is held); ``fermatas`` (T,) bool where a
    line of the hymn rests; ``bar_starts`` the steps at which bars begin. ``keys`` ("G", "Em",
    "Ador") come from the last bass note and the signature. Chorales on one melody share a family,
    and a family is never in train and in test.
    """

    titles: list[str]
    keys: list[str]
    meters: list[str]
    families: list[str]
    grids: list[torch.Tensor]
    starts: list[torch.Tensor]
    fermatas: list[torch.Tensor]
    bar_starts: list[list[int]]
    split: str
    steps_per_quarter: int = 4

    def __len__(self) -> int:
        return len(self.grids)

    def __repr__(self) -> str:
        steps = sum(map(len, self.grids))
        return f"Chorales({len(self):,} chorales, {steps:,} steps × 4, split={self.split!r})"

    def find(self, words: str) -> list[int]:
        """Where the title holds all of these words, in the order of the catalogue.

        Raises KeyError when there is none.
        """
        wanted = set(words_of(words))
        found = [i for i, title in enumerate(self.titles) if wanted <= set(words_of(title))]
        if not found:
            raise KeyError(f"no chorale in the {self.split} split has {words!r} in its title.")
        return found

    def scores(self) -> list[Score]:
        """The chorales as scores of four parts, to see and to hear."""
        return [
            score_of_grid(
                grid, starts, title=title, meter=meter, key=key, bar_starts=bars,
                steps_per_quarter=self.steps_per_quarter,
            )
            for grid, starts, title, meter, key, bars in zip(
                self.grids, self.starts, self.titles, self.meters, self.keys, self.bar_starts,
                strict=True,
            )
        ]  # fmt: skip

    def take(self, chosen: Sequence[int]) -> Self:
        """These chorales, by number."""
        lists = ("titles", "keys", "meters", "families", "grids", "starts", "fermatas")
        return replace(self, **_taken(self, (*lists, "bar_starts"), chosen))


def _taken(whole: Any, lists: Sequence[str], chosen: Sequence[int]) -> dict[str, Any]:
    return {name: [getattr(whole, name)[i] for i in chosen] for name in lists}
