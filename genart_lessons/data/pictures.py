"""What the data functions return, and the one rule by which pictures are split."""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import torch

SPLITS = ("train", "test", "all")
P = TypeVar("P", bound="Pictures")


@dataclass(frozen=True, eq=False)
class Digits:
    """Handwritten digits: ``x`` (N, 1, 8, 8) float32 in [0, 1], ``y`` (N,) int64 in 0 … 9."""

    x: torch.Tensor
    y: torch.Tensor
    split: str

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return _summary("Digits", self.x, self.split)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Named pictures.

    ``x`` (N, C, H, W) float32 in [0, 1]; ``names``, ``groups`` and ``bases`` hold one entry a
    picture. Variants of one thing have the same base, and a base is never in train and in test.
    """

    x: torch.Tensor
    names: list[str]
    groups: list[str]
    bases: list[str]
    split: str

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return _summary(type(self).__name__, self.x, self.split)

    def find(self, words: str) -> list[int]:
        """Where the name holds all of these words: ``emoji.find("cat face")`` → ``[612, …]``.

        Names that are just these words come first. Raises KeyError when there is none.
        """
        wanted, names = words_of(words), [words_of(name) for name in self.names]
        found = [i for i, name in enumerate(names) if set(wanted) <= set(name)]
        if not found:
            raise KeyError(f"no picture in the {self.split} split has {words!r} in its name.")
        return sorted(found, key=lambda i: (names[i] != wanted, i))

    def only(self, group: str) -> Self:
        """The pictures of one group. Raises KeyError, listing the groups, for an unknown one."""
        if group not in self.groups:
            raise KeyError(f"no group {group!r}; there are: {', '.join(sorted(set(self.groups)))}.")
        return self.take([i for i, each in enumerate(self.groups) if each == group])

    def take(self, chosen: list[int]) -> Self:
        """These pictures, by number."""
        return replace(
            self,
            x=self.x[torch.as_tensor(chosen, dtype=torch.long)],
            names=[self.names[i] for i in chosen],
            groups=[self.groups[i] for i in chosen],
            bases=[self.bases[i] for i in chosen],
        )


class Icons(Pictures):
    """Icons in one ink: ``x`` (N, 1, 32, 32), 1 where there is ink; ``groups`` name the font."""


class Emoji(Pictures):
    """Colour emoji on white: ``x`` (N, 3, size, size); ``groups`` are face, animal, food, …"""


def check_split(split: str) -> None:
    """Raise ValueError, naming the three, for a split that there is not."""
    if split not in SPLITS:
        raise ValueError(f"split={split!r} is unknown; it is 'train', 'test' or 'all'.")


def test_bases(
    bases: list[str], groups: list[str], share: float = 0.1, largest: float = 0.1
) -> set[str]:
    """The base names whose pictures are for testing: up to ``share`` of the pictures of each group.

    Bases are taken in the order of a hash of their name, so the choice looks random, is the same
    on every machine, and hardly moves when a picture is added. A base belongs to the group of its
    first picture. One that would fill more than ``largest`` of its group's test pictures is for
    training: two dozen clock faces would teach nothing about the rest.
    """
    members: dict[str, int] = {}
    group_of: dict[str, str] = {}
    for base, group in zip(bases, groups, strict=True):
        members[base] = members.get(base, 0) + 1
        group_of.setdefault(base, group)
    room: dict[str, float] = {}
    for base, group in group_of.items():
        room[group] = room.get(group, 0) + share * members[base]
    most = {group: max(1, largest * pictures) for group, pictures in room.items()}
    chosen = set()
    for base in sorted(members, key=lambda name: hashlib.sha256(name.encode()).digest()):
        group = group_of[base]
        if members[base] <= min(room[group], most[group]):
            room[group] -= members[base]
            chosen.add(base)
    return chosen


def part(pictures: P, split: str, for_test: set[str]) -> P:
    """The pictures of one split; ``for_test`` holds the base names of the test pictures."""
    if split == "all":
        return replace(pictures, split=split)
    chosen = [i for i, base in enumerate(pictures.bases) if (base in for_test) == (split == "test")]
    return replace(pictures.take(chosen), split=split)


def words_of(name: str) -> list[str]:
    """The words of a name, in small letters, to find things by."""
    return re.findall(r"\w+", name.lower())


def _summary(name: str, x: torch.Tensor, split: str) -> str:
    return f"{name}({len(x):,} pictures, {'×'.join(map(str, x.shape[1:]))}, split={split!r})"
