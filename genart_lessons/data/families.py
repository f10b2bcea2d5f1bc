"""Which tunes are one tune: families of near-duplicates, in whatever key and with other details.

The three books hold many tunes two or three times: transposed, with other ornaments, in another
metre or mode, under another name. Two tunes are of one family when one of these is alike, and
families grow together through their members:

* many runs of steps from note to note (a repeated note counts once: rhythm and key do not matter),
* many runs of steps from beat to beat (what happens between the beats does not matter),
* either of them with steps counted on the staff, not in semitones (nor does the signature),
* the title, unless it names a kind of tune, as "Quick Step" and "Irish Air" do.

Rare runs count for more: what half of all reels do says little. ``likeness`` is the weight of the
shared runs over the weight of all the runs of the tune that has less.
"""

import collections
import re
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import scipy.sparse

from genart_lessons.data import abc

# (run length, the likeness from which two tunes are one), by notes and by beats. Chosen by title:
# lower, and families of hundreds grow together by chance; higher, and tunes that bear one title
# and are one tune fall apart. A staff has seven steps to an octave instead of twelve, so runs that
# agree by chance are more frequent on it, and longer ones are asked for.
SEMITONES = {"notes": (8, 0.15), "beats": (6, 0.30)}
STAFF = {"notes": (9, 0.15), "beats": (7, 0.25)}
KINDS = frozenset(
    """air an and clog do fling hornpipe irish jig march of or quick quickstep reel regt scotch set
    slip slipjig song step strathspey the untitled waltz""".split()
)
BEATS = {"6/8": 2, "9/8": 3, "12/8": 4, "3/4": 3, "3/8": 1, "2/4": 2, "6/4": 2, "3/2": 3}


def of_tunes(tokens: Sequence[list[abc.Token]], meters: Sequence[str], titles: Sequence[str]):
    """The family of each tune, as the number of its first member. ``tokens``: of each tune."""
    pairs = same_title(titles)
    for limits, height in ((SEMITONES, pitch), (STAFF, abc.staff_place)):
        by_note = [note_steps(each, height) for each in tokens]
        by_beat = [beat_steps(*each, height) for each in zip(tokens, meters, strict=True)]
        pairs |= alike(by_note, *limits["notes"]) | alike(by_beat, *limits["beats"])
    return joined(len(tokens), pairs)


def pitch(token: abc.Token) -> int:
    """The highest pitch of a note or chord, in semitones."""
    return max(token.pitches)


Height = Callable[[abc.Token], int]


def note_steps(tokens: list[abc.Token], height: Height = pitch) -> list[int]:
    """The steps of a melody, from each note to the next that is another."""
    heights = [height(token) for token in tokens if token.pitches]
    steps = (after - before for before, after in zip(heights, heights[1:], strict=False))
    return [step for step in steps if step]


def beat_steps(tokens: list[abc.Token], meter: str, height: Height = pitch) -> list[int]:
    """The steps from beat to beat, in the bars that are (nearly) whole; rests do not count."""
    whole = int(abc.bar_length(meter) * abc.WHOLE)
    beats = BEATS.get(meter, 4)
    heights: list[int] = []
    bar: list[tuple[int, abc.Token]] = []  # where a note ends, and the note
    now = 0
    for token in [*tokens, abc.Token("bar", "|", 0)]:
        if token.ticks:
            now += token.ticks
            bar.append((now, token))
        elif token.kind == "bar":
            if 4 * now >= 3 * whole:
                for at in range(0, whole, whole // beats):
                    there = next((each for end, each in bar if end > at), None)
                    if there and there.pitches:
                        heights.append(height(there))
            bar, now = [], 0
    return [after - before for before, after in zip(heights, heights[1:], strict=False)]


def likeness(lines: Sequence[Sequence[Hashable]], run: int) -> scipy.sparse.coo_array:
    """How much of its runs (``run`` long) each line shares with each other, 0 … 1, one way round.

    A sparse (N, N) upper triangle: shared weight over the smaller whole weight, where a run that n
    of N lines have weighs log(N / n).
    """
    number: dict[tuple, int] = {}
    row, column = [], []
    for at, line in enumerate(lines):
        for each in {tuple(line[i : i + run]) for i in range(len(line) - run + 1)}:
            row.append(at)
            column.append(number.setdefault(each, len(number)))
    shape = (len(lines), max(1, len(number)))
    has = scipy.sparse.csr_array((np.ones(len(row)), (row, column)), shape=shape)
    weight = np.log(len(lines) / np.maximum(1, has.sum(axis=0)))
    weighed = (has * np.sqrt(weight)[None]).tocsr()
    shared = scipy.sparse.triu(weighed @ weighed.T, k=1).tocoo()
    whole = (has * weight[None]).sum(axis=1)
    least = np.minimum(whole[shared.coords[0]], whole[shared.coords[1]])
    return scipy.sparse.coo_array((shared.data / np.maximum(least, 1e-9), shared.coords))


def alike(lines: Sequence[Sequence[Hashable]], run: int, least: float) -> set[tuple[int, int]]:
    """The pairs of lines whose ``likeness`` is at least ``least``."""
    found = likeness(lines, run)
    enough = found.data >= least
    return set(zip(*(at[enough].tolist() for at in found.coords), strict=True))


def same_title(titles: Sequence[str]) -> set[tuple[int, int]]:
    """Pairs of tunes whose titles have the same words, beyond those that name a kind of tune."""
    bearers = collections.defaultdict(list)
    for at, title in enumerate(titles):
        words = re.findall(r"\w+", title.lower().replace("'", ""))
        own = {word for word in words if word not in KINDS and not re.fullmatch(r"\d{4}|.", word)}
        if own:
            bearers[" ".join(sorted(own))].append(at)
    return {(some[0], other) for some in bearers.values() for other in some[1:]}


def joined(n: int, pairs: set[tuple[int, int]]) -> list[int]:
    """For each of ``n`` things the first one that it is joined to, through however many others."""
    first = list(range(n))

    def root(at: int) -> int:
        while first[at] != at:
            first[at] = first[first[at]]
            at = first[at]
        return at

    for a, b in sorted(pairs):
        low, high = sorted((root(a), root(b)))
        first[high] = low
    return [root(at) for at in range(n)]
