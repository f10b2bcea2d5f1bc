"""Quilts: emoji strewn over each other, turned and scaled, as pictures to take a style from.

There are no paintings in the course's packages, so these are its comic-strip style: bold lines,
flat colours. Drawn from OpenMoji (CC BY-SA 4.0): whoever shows them credits OpenMoji.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from genart_lessons.data.from_openmoji import emoji

SIZES = (64, 1024)
PAPER = 0.97  # where all three colours are lighter, there is nothing on the paper


@functools.lru_cache(maxsize=8)
def quilt(group: str = "heart", size: int = 320, *, density: float = 1.0, seed: int = 0) -> Tensor:
    """Emoji of one group (training split) strewn over a square: (3, size, size) in [0, 1].

    group: one of ``data.emoji().groups``, such as "heart", "sky", "plant", "food". Each is 36 to 79
    pixels wide, whatever ``size``; density 1: five times the square's area of them. The same on
    every machine for one seed. Raises KeyError for another group, ValueError for a size outside
    64 … 1024 or a density that is not above 0.
    """
    if not isinstance(size, int) or not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"size={size!r}: give a whole number from {SIZES[0]} to {SIZES[1]}.")
    if not 0 < density <= 10:
        raise ValueError(f"density={density}: give a number above 0, up to 10.")
    pictures = emoji("train", 128).only(group).x
    generator = torch.Generator().manual_seed(seed)

    def below(n: int, start: int = 0) -> int:
        return start + int(torch.randint(n - start, (), generator=generator))

    cloth = torch.ones(3, size, size)
    for _ in range(math.ceil(density * 500 * (size / 320) ** 2)):
        which, side = below(len(pictures)), below(80, 36)
        angle = 2 * math.pi * float(torch.rand((), generator=generator))
        piece = _turned(pictures[which], side, angle)
        y, x = below(size - side // 2, -(side // 2)), below(size - side // 2, -(side // 2))
        _sew(cloth, piece, y, x)
    return cloth


def _turned(picture: Tensor, side: int, angle: float) -> Tensor:
    """One emoji (3, side, side), turned; white outside."""
    small = F.interpolate(picture[None], size=(side, side), mode="bicubic", antialias=True)
    cos, sin = math.cos(angle), math.sin(angle)
    rows = torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]])
    grid = F.affine_grid(rows, [1, 3, side, side], align_corners=False)
    return 1 - F.grid_sample(1 - small.clamp(0, 1), grid, align_corners=False)[0]


def _sew(cloth: Tensor, piece: Tensor, y: int, x: int) -> None:
    """Lay the piece's ink over the cloth with its upper left corner at (y, x), cut at the edges."""
    height, width = cloth.shape[-2:]
    side = piece.shape[-1]
    top, left = max(0, -y), max(0, -x)
    end, right = min(side, height - y), min(side, width - x)
    place = cloth[:, y + top : y + end, x + left : x + right]
    part = piece[:, top:end, left:right]
    ink = (part.amin(0) < PAPER).expand_as(part)
    place[ink] = part[ink]
