"""One link of a derivation, ``left R right``: does it hold, and if not, where does it fail?

Both sides are worked out at random points of several worlds. Where they agree everywhere to float64
precision the link is *held* (by numbers: that is what is said). One point where they do not is a
*counterexample*, and it settles the matter. What has no value, no relation that is understood, or
an integral that does not settle, is *undecided*, with the reason. Nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from genart_lessons.derivation.language import Node, _all, read
from genart_lessons.derivation.value import Evaluator, Meaningless, Value, read_definition
from genart_lessons.derivation.world import FINITE, NUMBER, Scene, World, WorldError
from genart_lessons.proof.spelling import LatexError

HOLDS, BROKEN, UNDECIDED = "holds", "broken", "undecided"
CLOSE, APART = 1e-10, 1e-6  # relative gaps: of sides that are equal, and of such as are not
SETTLED = 1e-3  # relative change of an integral from one grid to another that is still borne
KNOWN = 1e-5  # such a change with which two integrals can still be called equal
FEW = 0.2  # the share of points whose integrals may be bad without the link being undecided
GRIDS = ((361, 281), (1441, 1121))  # nodes of the two grids; the second pair where the first fails
TINY, NOUGHT = 1e-6, 1e-14  # sides below TINY are compared relatively; NOUGHT is rounding
STRICT = 1e-7  # how far the wrong way an inequality must be, relatively, to be broken


@dataclass(frozen=True)
class Finding:
    """What was found about one link: a state, a sentence, and what goes with it."""

    state: str
    said: str
    where: str = ""  # the counterexample: the numbers, in words
    left: float = math.nan
    right: float = math.nan
    mend: str = ""  # what would mend it
    assumes: str = ""  # under which assumption it holds all the same
    place: int = -1  # in the source of the right side, where that is what cannot be read
    points: int = 0

    @property
    def ok(self) -> bool:
        return self.state == HOLDS


@dataclass
class Sides:
    """The values of both sides at all points of one scene; ``scene`` itself; ``free`` letters."""

    scene: Scene
    left: Tensor
    right: Tensor
    kind: str
    free: tuple[str, ...] = ()
    error: Tensor | None = None  # of the integrals in them, as two grids tell; None: there are none
    dims: int = field(default=0)
    lost: Tensor | None = None  # (points) where a density is too small for float64
    outside: Tensor | None = None  # (2, points): of which side a log or root of a negative is taken

    def settled(self, share: float = SETTLED) -> Tensor:
        """Points where all integrals are known well enough to compare anything."""
        if self.error is None:
            return torch.ones(len(self.left), dtype=torch.bool)
        return _points(self.error <= share * self.scale, self.dims)

    @property
    def scale(self) -> Tensor:
        return torch.maximum(self.left.abs(), self.right.abs()).clamp(min=1e-3)

    def doubt(self, times: float) -> Tensor | float:
        return 0.0 if self.error is None else times * self.error


def judge(left: Node, relation: str, right: Node, world: World, seed: int = 0) -> Finding:
    """The finding on ``left relation right``; see the module's text."""
    sign, _, letter = relation.partition(" ")
    if sign == "∝":
        return _guarded(lambda: proportional(left, right, world, letter, seed))
    if sign == "≈":
        return _guarded(lambda: near(left, right, world, letter, seed))
    return _guarded(lambda: _judge(left, sign, right, world, seed))


def plausible(left: Node, relation: str, right: Node, world: World) -> bool:
    """A quick look at a few points of one scene: False says that the link does not hold."""
    sign, _, letter = relation.partition(" ")
    if sign == "≈":
        return True
    mild = over_the_line(left, world) or over_the_line(right, world)
    try:
        scene = next(world.scenes(points=6, mild=mild))
        if sign == "∝":
            ratio, log = ratios(left, right, world, letter, scene, moves=2)
            return bool(torch.isfinite(ratio).all() and _same(ratio, log).all())
        sides = both(left, right, world, scene, settle=False)
        return bool(_holds(sides, relation).all())
    except (Meaningless, WorldError, RuntimeError):
        return False


def _guarded(work: Callable[[], Finding]) -> Finding:
    try:
        return work()
    except (Meaningless, WorldError) as error:
        return Finding(UNDECIDED, str(error))
    except (RuntimeError, OverflowError, torch.linalg.LinAlgError) as error:
        return Finding(UNDECIDED, f"this could not be worked out: {str(error).splitlines()[0]}")


def _judge(left: Node, sign: str, right: Node, world: World, seed: int) -> Finding:
    mild = over_the_line(left, world) or over_the_line(right, world)
    scenes = world.scenes(seed=seed, mild=mild, wide=sign != "=")
    sides = [both(left, right, world, s) for s in scenes]
    return compared(sides, sign)


def _unsettled(sides: Sequence[Sides], sign: str) -> Finding | None:
    """What keeps the link from being held, where no counterexample was found: bad integrals."""
    points = sum(len(s.left) for s in sides)
    bad, vague = (
        sum(int((~s.settled(share)).sum()) for s in sides) > FEW * points
        for share in (SETTLED, KNOWN)
    )
    if bad:
        said = "an integral in it does not settle: on a finer grid it changes"
        return Finding(UNDECIDED, said, points=points)
    if sign == "=" and vague:
        return Finding(UNDECIDED, "the two sides agree, but an integral in them is known to few "
                       "digits only: has it a corner, or a heavy tail?", points=points)  # fmt: skip
    return None


def both(left: Node, right: Node, world: World, scene: Scene, settle: bool = True) -> Sides:
    """Both sides at the points of a scene, and whether the integrals in them have settled."""
    free = tuple(sorted(free_letters(left, world) | free_letters(right, world)))
    free = tuple(x for x in free if world.kind(x) == FINITE)
    integral = over_the_line(left, world) or over_the_line(right, world)
    found = _on_grid(left, right, scene, free, GRIDS[0], settle and integral)
    if settle and integral and not bool(found.settled(KNOWN).all()):
        with suppress(Meaningless, RuntimeError):  # the finer grids may be too large
            return _on_grid(left, right, scene, free, GRIDS[1], True)
    return found


def _on_grid(left, right, scene: Scene, free, grids: tuple[int, int], settle: bool) -> Sides:
    """Both sides with integrals on the finer of two grids; the other one tells their error."""
    evaluator = Evaluator(scene, fine=grids[0])
    a, b = shaped(*evaluator.over_free((left, right), free))
    error = None
    if settle:
        other = Evaluator(scene, fine=grids[1], end=0.92)
        c, d = shaped(*other.over_free((left, right), free))
        error = torch.maximum((a.tensor - c.tensor).abs(), (b.tensor - d.tensor).abs())
        error = torch.nan_to_num(error, nan=0.0, posinf=math.inf)
        loose = _loose(evaluator.masses, other.masses, scene.points)
        loose = loose.repeat(len(error) // scene.points)
        error = error.masked_fill(loose.view(-1, *[1] * (error.ndim - 1)), math.inf)
    copies = len(a.tensor) // scene.points
    return Sides(scene, a.tensor, b.tensor, a.kind, free, error, a.dims,
                 evaluator.lost.repeat(copies), _outside(left, right, scene, free))  # fmt: skip


def _loose(some: list[Tensor], others: list[Tensor], points: int) -> Tensor:
    """Points at which ∫|…| is not the same on both grids: what is left may be mere symmetry."""
    loose = torch.zeros(points, dtype=torch.bool)
    for a, b in zip(some, others, strict=True):
        gap = (a - b).abs() > 1e-2 * torch.maximum(a, b)
        loose = loose | gap.expand(points) if gap.ndim == 1 else loose
    return loose


def over_the_line(node: Node, world: World, deep: int = 0) -> bool:
    """Is an integral over a real letter in it, written as such, as a mean or as a divergence?"""
    for n in _all(node):
        if n.op == "integral" and world.kind(n.args[0].rstrip("'")) != FINITE:
            return True
        letters = n.args[0] if n.op in {"expect", "entropy"} else (
            n.args[1] if n.op in {"divergence", "moment"} else ())  # fmt: skip
        if any(world.kind(x.rstrip("'")) != FINITE for x in letters):
            return True
        if n.op == "divergence" and not letters:
            return True
        if n.op == "name" and world.kind(n.args[0]) == "defined" and deep < 8:
            thing = world.names[n.args[0]]
            inner = read_definition(thing.source, thing.letters, world)
            if over_the_line(inner, world, deep + 1):
                return True
    return False


def _outside(left: Node, right: Node, scene: Scene, free: tuple[str, ...]) -> Tensor:
    """(2, points): of which side a logarithm or root of something negative is taken, and where."""
    masks: list[Tensor | None] = []
    for side in (left, right):
        if not any(n.op in {"call", "pow"} for n in _all(side)):
            masks.append(None)
            continue
        evaluator = Evaluator(scene)
        evaluator.over_free((side,), free)
        masks.append(evaluator.outside)
    sizes = math.prod(scene.world.names[x].size for x in free)
    none = torch.zeros(scene.points, dtype=torch.bool)
    return torch.stack([(none if m is None else m).repeat(sizes) for m in masks])


def shaped(a: Value, b: Value) -> tuple[Value, Value]:
    """The same kind on both sides; a lone 0 may stand for a vector of zeros."""
    if a.kind != b.kind:
        for one, other in ((a, b), (b, a)):
            if one.kind == "number" and bool((one.tensor == 0).all()):
                zero = Value(torch.zeros_like(other.tensor), other.kind)
                return (zero, other) if one is a else (other, zero)
        raise Meaningless(f"the left side is a {a.kind}, the right side a {b.kind}")
    if a.tensor.shape != b.tensor.shape:
        raise Meaningless("the two sides are of different sizes")
    return a, b


def _points(good: Tensor, dims: int) -> Tensor:
    """Points all of whose entries are good."""
    return good.flatten(1).all(1) if dims else good


def agree(a: Tensor, b: Tensor, close: float) -> Tensor:
    """Where two tensors are as near as float64 can tell; infinite or undefined together agrees."""
    scale = torch.maximum(a.abs(), b.abs()).clamp(min=1e-3)
    same = (a - b).abs() <= close * scale
    return same | (a == b) | (a.isnan() & b.isnan())


def compared(sides: Sequence[Sides], sign: str) -> Finding:
    points = sum(len(s.left) for s in sides)
    bad = [_fails(s, sign) for s in sides]
    undefined = [_undefined(s) for s in sides]
    aside = [u if s.scene.heavy else u & s.lost if s.lost is not None else torch.zeros_like(u)
             for u, s in zip(undefined, sides, strict=True)]  # fmt: skip
    undefined = [u & ~a for u, a in zip(undefined, aside, strict=True)]
    count = sum(int(u.sum()) for u in undefined)
    wrong = [b & ~u & ~a & s.settled()
             for b, u, a, s in zip(bad, undefined, aside, sides, strict=True)]  # fmt: skip
    if any(bool(w.any()) for w in wrong):
        k = next(i for i, w in enumerate(wrong) if bool(w.any()))
        return _broken(sides[k], wrong[k], sign, sides, wrong, points)
    usual = [k for k, s in enumerate(sides) if not s.scene.heavy]
    if all(bool((undefined[k] | aside[k]).all()) for k in usual):
        return Finding(
            UNDECIDED,
            "there is no value at any point: is a logarithm or root taken of something negative?",
        )
    if count:
        k = next(i for i, u in enumerate(undefined) if bool(u.any()))
        n = int(undefined[k].nonzero()[0])
        if sign == "=" and all(map(_one_side_only, sides, undefined)):
            return Finding(
                BROKEN, "only one of the two sides has a value (a logarithm or root of something "
                "negative)", where=described(sides[k], n), left=float(sides[k].left[n]),
                right=float(sides[k].right[n]), assumes=assumption(sides, undefined), points=points,
            )  # fmt: skip
        return Finding(
            UNDECIDED, "one side has no value (a logarithm or root of something negative, or 0/0)",
            where=described(sides[k], n), assumes=assumption(sides, undefined), points=points,
        )  # fmt: skip
    doubt = _unsettled(sides, sign)
    if doubt:
        return doubt
    known = [~a & s.settled(KNOWN) for a, s in zip(aside, sides, strict=True)]
    points = sum(int(k.sum()) for k in known)
    if not all(bool((_holds(s, sign) | ~k).all()) for s, k in zip(sides, known, strict=True)):
        return Finding(UNDECIDED, "the two sides differ by so little that it may be rounding")
    if not _plain(sides, sign):
        return Finding(UNDECIDED, "both sides are so small that rounding may decide")
    return Finding(HOLDS, _held(sides, sign, points), points=points)


def _one_side_only(s: Sides, undefined: Tensor) -> bool:
    """Where there is no value, is it one side's alone, for a logarithm or root of a negative?"""
    if s.outside is None or s.dims:
        return not bool(undefined.any())
    finite = torch.stack([torch.isfinite(s.left), torch.isfinite(s.right)])
    return bool(((finite[0] != finite[1]) & (s.outside & ~finite).any(0))[undefined].all())


def _plain(sides: Sequence[Sides], sign: str) -> bool:
    """Is one side of a usual size, so that what is called close is not merely small?"""
    if max(float(torch.maximum(s.left.abs(), s.right.abs()).nan_to_num().max())
           for s in sides) > TINY:  # fmt: skip
        return True
    nothing = any(not bool(each.any()) for each in
                  (torch.cat([s.left.flatten() for s in sides]),
                   torch.cat([s.right.flatten() for s in sides])))  # fmt: skip
    least = NOUGHT if nothing else 0.0
    for s in sides:
        gap = s.right - s.left if sign == "≤" else s.left - s.right
        gap = -gap.abs() if sign == "=" else gap
        size = torch.maximum(s.left.abs(), s.right.abs())
        if not bool((gap >= -(1e-7 * size + least + s.doubt(10))).all()):
            return False
    return True


def _held(sides: Sequence[Sides], sign: str, points: int) -> str:
    if sign == "=":
        return f"equal at {points} random points (float64)"
    equal = all(bool(_holds(s, "=").all()) for s in sides)
    return f"not violated at {points} random points" + (
        ", and always equal: = would do" if equal else ""
    )


def _undefined(s: Sides) -> Tensor:
    """Points where just one side has no value, or where neither has."""
    return (~torch.isfinite(s.left) | ~torch.isfinite(s.right)).flatten(1).any(1) if s.dims else (
        ~torch.isfinite(s.left) | ~torch.isfinite(s.right))  # fmt: skip


def _holds(s: Sides, sign: str) -> Tensor:
    """Points where the link holds as nearly as can be told."""
    if sign == "=":
        gap = (s.left - s.right).abs()
        same = (gap <= CLOSE * s.scale + s.doubt(10)) | (s.left == s.right)
        same = same | (s.left.isnan() & s.right.isnan())
        return same.flatten(1).all(1) if s.dims else same
    if s.dims:
        raise Meaningless("≤ and ≥ compare numbers")
    gap = s.right - s.left if sign == "≤" else s.left - s.right
    least = 1e-4 if s.scene.heavy else STRICT  # numbers that large are rounded more
    return gap >= -(least * s.scale + s.doubt(100))


def _fails(s: Sides, sign: str) -> Tensor:
    """Points where it fails beyond doubt."""
    if sign != "=":
        return ~_holds(s, sign)
    bad = (s.left - s.right).abs() > APART * s.scale + s.doubt(100)
    return bad.flatten(1).any(1) if s.dims else bad


def _broken(s: Sides, wrong: Tensor, sign: str, sides, everywhere, points: int) -> Finding:
    n = simplest(s, wrong)
    words = {
        "=": "the two sides differ",
        "≤": "the left side is larger",
        "≥": "the left side is smaller",
    }
    left, right = s.left[n].detach().flatten(), s.right[n].detach().flatten()
    k = int((left - right).abs().argmax())
    assumes = assumption(sides, everywhere) if sign else ""
    return Finding(
        BROKEN, words[sign], where=described(s, n), left=float(left[k]), right=float(right[k]),
        assumes=assumes, points=points,
    )  # fmt: skip


def simplest(s: Sides, wrong: Tensor) -> int:
    """Among the points where it fails, one where the difference is plain to see."""
    gap = (s.left - s.right).abs().flatten(1).amax(1) if s.dims else (s.left - s.right).abs()
    size = s.left.abs().flatten(1).amax(1) if s.dims else s.left.abs()
    score = torch.where(wrong, gap / (size + 1), -torch.ones_like(gap))
    return int(score.argmax())


def described(s: Sides, n: int) -> str:
    """The numbers of point n in words: scalars, and where letters with values stand."""
    point = n % s.scene.points
    world = s.scene.world
    parts: list[str] = []
    which = n // s.scene.points
    for letter in reversed(s.free):
        size = world.names[letter].size
        parts.insert(0, f"{letter} = its value number {which % size + 1}")
        which //= size
    for name, thing in world.names.items():
        if thing.kind in {NUMBER, "real letter", "integer"} and len(parts) < 6:
            parts.append(f"{name} = {float(s.scene.numbers[name][point]):.3g}")
    parts += [f"{name} = {value}" for name, value in s.scene.sizes.items()]
    return ", ".join(parts) or "a random instance of the world"


def assumption(sides: Sequence[Sides], wrong: Sequence[Tensor]) -> str:
    """A simple condition that is true at just the points where the link holds; "" if none is."""
    fails = torch.cat(list(wrong))
    if bool(fails.all()) or not bool(fails.any()):
        return ""
    columns = {}
    for name, thing in sides[0].scene.world.names.items():
        if thing.kind in {NUMBER, "real letter"}:
            columns[name] = torch.cat(
                [s.scene.numbers[name].repeat(len(s.left) // s.scene.points) for s in sides]
            )
    for name, values in columns.items():
        for bound in (0.0, 1.0):
            for words, true in ((">", values > bound), ("<", values < bound)):
                if bool((true == ~fails).all()):
                    return f"it holds where {name} {words} {bound:g}"
    names = list(columns)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            for words, true in ((">", columns[a] > columns[b]), ("<", columns[a] < columns[b])):
                if bool((true == ~fails).all()):
                    return f"it holds where {a} {words} {b}"
    return ""


def proportional(left: Node, right: Node, world: World, letter: str, seed: int) -> Finding:
    """Is left/right the same for every value of ``letter``, all else being equal?

    Where both sides are positive their logarithms are compared, which can be very large.
    """
    if not letter:
        return Finding(UNDECIDED, r"proportional in which letter? Write \propto_{x}")
    if world.kind(letter) not in {FINITE, "real letter", NUMBER}:
        return Finding(UNDECIDED, f"{letter} is no letter of this world that could move")
    checked = 0
    for scene in world.scenes(seed=seed):
        ratio, log = ratios(left, right, world, letter, scene)
        if not bool(torch.isfinite(ratio).all()):
            return Finding(UNDECIDED, "one side vanishes or has no value at some points")
        same = _same(ratio, log)
        checked += ratio.numel()
        if not bool(same.all()):
            n = int((~same).any(0).nonzero()[0])
            few = ratio[:, n] - ratio[:, n].max() if log is not None else ratio[:, n]
            shown = few.exp() if log is not None else few
            return Finding(
                BROKEN, f"left over right is not the same for every {letter}: its least and its "
                "largest value", points=checked, left=float(shown.min()), right=float(shown.max()),
            )  # fmt: skip
    said = f"left over right does not depend on {letter} ({checked} random points)"
    return Finding(HOLDS, said, points=checked)


def _same(ratio: Tensor, log: Tensor | None) -> Tensor:
    """Where the ratio, or its logarithm, is as at the first value of the letter."""
    first = ratio[:1].expand_as(ratio)
    if log is None:
        return agree(ratio, first, 1e-8)
    return (ratio - first).abs() <= 1e-9 * log.clamp(min=10)


SHRINK = (1.0, 0.1, 0.01, 0.001)


def near(left: Node, right: Node, world: World, letter: str, seed: int) -> Finding:
    """Does the relative gap of the two sides vanish as ``letter`` goes to 0?"""
    if world.kind(letter) != NUMBER:
        return Finding(
            UNDECIDED, r"≈ when what becomes small? Name a number of the world: \approx_{h}"
        )
    checked, slowest = 0, 0.0
    for scene in world.scenes(seed=seed, mild=True):
        start, gaps = scene.numbers[letter], []
        for share in SHRINK:
            scene.numbers[letter] = start * share
            found = both(left, right, world, scene, settle=False)
            size = torch.maximum(found.left.abs(), found.right.abs()).clamp(min=1e-300)
            gap = (found.left - found.right).abs() / size
            gaps.append(gap.flatten(1).amax(1) if found.dims else gap)
        scene.numbers[letter] = start
        gap = torch.stack(gaps)  # (shares, points)
        checked += gap.shape[1]
        if not bool(torch.isfinite(gap).all()):
            return Finding(UNDECIDED, f"one side has no value for some small {letter}")
        stays = gap[-1] > 0.5 * gap[-2]
        if bool((stays & (gap[-1] > 1e-3)).any()):
            n = int((gap[-1] * stays).argmax())
            return Finding(
                BROKEN, f"the relative gap does not vanish as {letter} goes to 0: at a hundredth "
                "and at a thousandth of it", where=described(found, n),
                left=float(gap[-2, n]), right=float(gap[-1, n]), points=checked,
            )  # fmt: skip
        if bool((stays & (gap[-1] > 1e-7)).any()):
            return Finding(UNDECIDED, f"a small gap stays as {letter} goes to 0", points=checked)
        slowest = max(slowest, float(gap[-1].max()))
    if slowest > 0.05:
        return Finding(UNDECIDED, f"the gap shrinks too slowly with {letter} to tell")
    return Finding(HOLDS, f"the relative gap vanishes with {letter} ({checked} random points)",
                   points=checked)  # fmt: skip


def ratios(
    left: Node, right: Node, world: World, letter: str, scene: Scene, moves: int = 5
) -> tuple[Tensor, Tensor | None]:
    """left/right at several values of ``letter``, (values, points); or log left − log right, and
    the size of the logarithms, where both sides are positive.
    """
    others = (free_letters(left, world) | free_letters(right, world)) - {letter}
    free = tuple(sorted(x for x in others if world.kind(x) == FINITE))
    logs = (Node("call", ("log", left)), Node("call", ("log", right)))
    places = moved(world, letter, scene, moves)

    def pairs(sides: tuple[Node, Node]) -> Iterator[tuple[Tensor, Tensor]]:
        for value in places:
            evaluator = Evaluator(scene)
            if isinstance(value, int):
                evaluator.at[letter] = value
            else:
                evaluator.values[letter] = value
            a, b = shaped(*evaluator.over_free(sides, free))
            if a.dims:
                raise Meaningless("proportionality is of numbers here")
            yield a.tensor, b.tensor

    x, y = (torch.stack(each) for each in zip(*pairs(logs), strict=True))
    if bool(torch.isfinite(x - y).all()):
        return x - y, torch.maximum(x.abs(), y.abs())
    return torch.stack([a / b for a, b in pairs((left, right))]), None


def moved(world: World, letter: str, scene: Scene, moves: int) -> list[int | Tensor]:
    """Values for the letter that moves: all it has, or some random ones."""
    thing = world.names[letter]
    if thing.kind == FINITE:
        return list(range(thing.size))
    return [scene.within(thing.low, thing.high, scene.points) for _ in range(moves)]


def free_letters(node: Node, world: World, bound: frozenset[str] = frozenset()) -> set[str]:
    """Letters with values, and real ones, that no sum, integral or mean in the tree binds."""
    op = node.op
    if op in {"sum", "prod", "integral"}:
        bound = bound | {node.args[0]}
    if op in {"expect", "divergence"}:
        bound = bound | set(node.args[0] if op == "expect" else node.args[1])
    if op == "moment":
        bound = bound | set(node.args[1])
    found: set[str] = set()
    if op == "name" and world.kind(node.args[0]) in {FINITE, "real letter"}:
        found |= {node.args[0]} - bound
    if op == "law":
        for letter in (*node.args[1], *node.args[2]):
            known = [letter] if world.kind(letter) else _numbered(letter, world)
            known = [] if letter.endswith("'") else known
            found |= {x for x in known if x not in bound}
    if op == "name" and world.kind(node.args[0]) == "defined":
        found |= _free_in_definition(node.args[0], world, bound)
    for _, part in node.parts():
        found |= free_letters(part, world, bound)
    return found


def _free_in_definition(name: str, world: World, bound: frozenset[str]) -> set[str]:
    thing = world.names[name]
    tree = read_definition(thing.source, thing.letters, world)
    return free_letters(tree, world, bound)


def _numbered(letter: str, world: World) -> list[str]:
    """All of x_1, x_2, … where a table names x_t or x_{<t}."""
    stem = letter.rpartition("_")[0]
    return [n for n in world.names if n.rpartition("_")[0] == stem and world.kind(n) == FINITE]


__all__ = ["BROKEN", "HOLDS", "UNDECIDED", "Finding", "LatexError", "judge", "read"]
