"""Four voices on a grid, and the textbook's rules that can be counted: chapter 06.

A *grid* is a (T, 4) tensor of MIDI pitches, one row a step, columns soprano, alto, tenor, bass; 0
is a rest. ``starts`` (T, 4) is True where a note begins, else the pitch is held. Every figure here
is meant to stand beside the same figure of Bach's own chorales: he is no textbook, either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

VOICES = ("soprano", "alto", "tenor", "bass")
# (lowest, highest) MIDI pitch of each voice: 999 of 1,000 notes in Bach's chorales stay within.
RANGES = ((60, 79), (55, 74), (49, 69), (36, 62))
NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
FIFTH, OCTAVE = 7, 0  # intervals within an octave, in semitones

# The chords that a figured bass of 1720 spells with thirds: semitones above the root. A third alone
# and a seventh chord may lack the fifth, as it does at so many cadences.
CHORDS = {
    frozenset({0, 4, 7}): "major",
    frozenset({0, 3, 7}): "minor",
    frozenset({0, 3, 6}): "diminished",
    frozenset({0, 4, 8}): "augmented",
    frozenset({0, 4, 7, 10}): "7",
    frozenset({0, 3, 7, 10}): "minor 7",
    frozenset({0, 4, 7, 11}): "major 7",
    frozenset({0, 3, 6, 10}): "half-diminished 7",
    frozenset({0, 3, 6, 9}): "diminished 7",
    frozenset({0, 4}): "major",
    frozenset({0, 3}): "minor",
    frozenset({0, 4, 10}): "7",
    frozenset({0, 3, 10}): "minor 7",
    frozenset({0, 4, 11}): "major 7",
}


@dataclass(frozen=True)
class Parallel:
    """Two voices that move into step ``step`` in parallel fifths or octaves (or unisons)."""

    step: int
    upper: int
    lower: int
    interval: str

    def __str__(self) -> str:
        pair = f"{VOICES[self.upper]} and {VOICES[self.lower]}"
        return f"parallel {self.interval}s, {pair}, into step {self.step}"


def check_grid(grid: Tensor, starts: Tensor) -> None:
    """Raise ValueError unless the two are a grid (T, 4) of whole numbers and its starts."""
    if grid.ndim != 2 or grid.shape[1] != 4 or len(grid) == 0 or grid.is_floating_point():
        raise ValueError(
            f"a grid is (T, 4) whole numbers, MIDI pitches; this is {tuple(grid.shape)}, "
            f"{grid.dtype}."
        )
    if starts.shape != grid.shape or starts.dtype != torch.bool:
        raise ValueError(
            f"starts must be boolean, as large as its grid {tuple(grid.shape)}; it is "
            f"{tuple(starts.shape)}, {starts.dtype}."
        )
    low, high = int(grid.min()), int(grid.max())
    if low < 0 or high > 127:
        raise ValueError(f"MIDI pitches are 0 (a rest) to 127; these are {low} to {high}.")


def moves(grid: Tensor, starts: Tensor) -> Tensor:
    """Where a voice goes from one pitch to another, (T, 4): a new note, and neither is a rest."""
    check_grid(grid, starts)
    moved = torch.zeros_like(starts)
    moved[1:] = starts[1:] & (grid[1:] != grid[:-1]) & (grid[1:] > 0) & (grid[:-1] > 0)
    return moved


def parallels(grid: Tensor, starts: Tensor) -> list[Parallel]:
    """All parallel fifths, octaves and unisons between two voices, in order.

    Both voices move at the same step, in the same direction, and are a perfect fifth (an octave, a
    unison; or one with octaves more) apart before as well as after. Fux 1725, book 1.
    """
    moved = moves(grid, starts)
    found = []
    for upper, lower in combinations(range(4), 2):
        apart = (grid[:, upper] - grid[:, lower]).abs() % 12
        step = grid[1:] - grid[:-1]
        same_way = step[:, upper] * step[:, lower] > 0
        both = moved[1:, upper] & moved[1:, lower] & same_way & (apart[1:] == apart[:-1])
        for name, size in (("fifth", FIFTH), ("octave", OCTAVE)):
            at = (both & (apart[1:] == size)).nonzero().flatten() + 1
            found += [Parallel(t, upper, lower, name) for t in at.tolist()]
    return sorted(found, key=lambda p: (p.step, p.upper, p.lower))


def breaks_a_rule(pitch: int, voice: int, before: Sequence[int], now: Sequence[int | None]) -> bool:
    """Whether ``voice``, going to ``pitch`` now, makes parallels or crosses a voice.

    ``before`` and ``now``: the pitches of all four at the step before and at this one, 0 for a
    rest, None for who has not spoken yet. The rules are those of ``parallels`` and ``crossings``.
    """
    if not pitch:
        return False
    for other, there in enumerate(now):
        if other == voice or not there:
            continue
        if (there < pitch) if other < voice else (there > pitch):
            return True
        step, its = pitch - before[voice], there - before[other]
        if before[voice] and before[other] and step * its > 0:
            old, new = (abs(x) % 12 for x in (before[voice] - before[other], pitch - there))
            if old == new and new in (FIFTH, OCTAVE):
                return True
    return False


def crossings(grid: Tensor) -> Tensor:
    """Where a voice sounds above its upper neighbour, (T, 3): alto, tenor and bass."""
    return (grid[:, 1:] > grid[:, :-1]) & (grid[:, :-1] > 0)


def out_of_range(grid: Tensor, starts: Tensor) -> Tensor:
    """Where a note begins that its voice does not sing, (T, 4): outside RANGES."""
    low, high = torch.tensor(RANGES).T.to(grid.device)
    return starts & (grid > 0) & ((grid < low) | (grid > high))


def chord(pitches: Sequence[int] | Tensor) -> str | None:
    """The name of a triad or a seventh chord, whatever its position: "D minor", "A 7"; else None.

    ``pitches``: MIDI numbers, rests (0) left out. A fifth may be missing. Where two readings are
    possible (all diminished sevenths and augmented triads), the lowest note is the root.
    """
    sounding = [p for p in map(int, pitches) if p > 0]
    if not sounding:
        return None
    classes = {p % 12 for p in sounding}
    for root in sorted(classes, key=lambda c: (c - min(sounding)) % 12):
        kind = CHORDS.get(frozenset((c - root) % 12 for c in classes))
        if kind is not None:
            return f"{NAMES[root]} {kind}"
    return None


def figures(
    grids: Sequence[Tensor], starts: Sequence[Tensor], steps_per_quarter: int
) -> dict[str, float]:
    """What can be counted of several harmonisations, all steps of all of them together.

    ``parallels``: of fifths and octaves, for every 100 changes (steps at which two voices or more
    move). ``crossed``: the share of steps with voices crossed. ``out_of_range``: the share of alto,
    tenor and bass notes. ``chords``: the share of quarter-note beats, all four voices sounding, on
    which they form a triad or a seventh chord. ``notes``: how many a lower voice has in a quarter.
    """
    return _ratios(sum(_tallies(grids, starts, steps_per_quarter), Counter()), steps_per_quarter)


def errors(
    grids: Sequence[Tensor], starts: Sequence[Tensor], steps_per_quarter: int
) -> dict[str, float]:
    """The standard error of each of the ``figures``, over harmonisations, by the jackknife.

    Every one of them is left out in turn, and σ² = (n − 1)/n · Σ (f_without_i − their mean)²
    (Efron and Stein 1981). The piece is what was drawn at random, not the step. Raises ValueError
    for fewer than two.
    """
    each = _tallies(grids, starts, steps_per_quarter)
    if len(each) < 2:
        raise ValueError("a standard error over harmonisations needs two of them at least.")
    whole = sum(each, Counter())
    without = [_ratios(_less(whole, one), steps_per_quarter) for one in each]
    rows = torch.tensor([list(found.values()) for found in without], dtype=torch.float64)
    sigma = ((len(each) - 1) * rows.var(0, correction=0)).sqrt()
    return dict(zip(without[0], sigma.tolist(), strict=True))


def _less(whole: Counter, one: Counter) -> Counter:
    """Counts without those of one piece; unlike ``-``, zeros are kept."""
    return Counter({name: count - one[name] for name, count in whole.items()})


def _tallies(
    grids: Sequence[Tensor], starts: Sequence[Tensor], steps_per_quarter: int
) -> list[Counter]:
    """What is counted of each harmonisation: the figures are ratios of sums of these."""
    if len(grids) != len(starts) or not grids:
        raise ValueError(f"{len(grids)} grids and {len(starts)} starts: give as many of each.")
    each = []
    for grid, begin in zip(grids, starts, strict=True):
        beats = [row for row in grid[::steps_per_quarter].tolist() if min(row) > 0]
        each.append(
            Counter(
                parallels=len(parallels(grid, begin)),
                changes=int((moves(grid, begin).sum(1) >= 2).sum()),
                crossed=int(crossings(grid).any(1).sum()),
                steps=len(grid),
                outside=int(out_of_range(grid, begin)[:, 1:].sum()),
                notes=int((begin & (grid > 0))[:, 1:].sum()),
                beats=len(beats),
                chords=sum(chord(row) is not None for row in beats),
            )
        )
    return each


def _ratios(total: Counter, steps_per_quarter: int) -> dict[str, float]:
    return {
        "parallels": 100 * total["parallels"] / max(1, total["changes"]),
        "crossed": total["crossed"] / total["steps"],
        "out_of_range": total["outside"] / max(1, total["notes"]),
        "chords": total["chords"] / max(1, total["beats"]),
        "notes": total["notes"] * steps_per_quarter / (3 * total["steps"]),
    }
