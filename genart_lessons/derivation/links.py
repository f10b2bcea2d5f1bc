"""One link of a derivation, ``left R right``: does it hold, and if not, where does it fail?

Both sides are worked out at random points of several worlds. Where they agree everywhere to float64
precision the link is *held* (by numbers: that is what is said). One point where they do not is a
*counterexample*, and it settles the matter. What has no value, no relation that is understood, or
an integral that does not settle, is *undecided*, with the reason. Nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from genart_lessons.derivation.language import Node, _all, read
from genart_lessons.derivation.value import Evaluator, Meaningless, Value
from genart_lessons.derivation.world import FINITE, NUMBER, Scene, World, WorldError
from genart_lessons.proof.spelling import LatexError

HOLDS, BROKEN, UNDECIDED = "holds", "broken", "undecided"
CLOSE, APART = 1e-8, 1e-6  # relative gaps: of sides that are equal, and of such as are not
SETTLED = 1e-3  # relative change of an integral from one grid to another that is still borne
_OVER_THE_LINE = {"integral", "expect", "divergence", "moment", "entropy"}
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

    @property
    def settled(self) -> bool:
        """Are all integrals known well enough to compare anything?"""
        return self.error is None or bool((self.error <= SETTLED * self.scale).all())

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
    if relation[:1] in "∝≈":
        return True
    mild = any(n.op in _OVER_THE_LINE for side in (left, right) for n in _all(side))
    try:
        scene = next(world.scenes(points=6, mild=mild))
        sides = both(left, right, world, scene, settle=False)
        return bool(_holds(sides, relation).all())
    except (Meaningless, WorldError, RuntimeError):
        return False


def _guarded(work: Callable[[], Finding]) -> Finding:
    try:
        return work()
    except (Meaningless, WorldError) as error:
        return Finding(UNDECIDED, str(error))
    except (RuntimeError, torch.linalg.LinAlgError) as error:
        return Finding(UNDECIDED, f"this could not be worked out: {str(error).splitlines()[0]}")


def _judge(left: Node, sign: str, right: Node, world: World, seed: int) -> Finding:
    mild = any(n.op in _OVER_THE_LINE for side in (left, right) for n in _all(side))
    sides = [both(left, right, world, s) for s in world.scenes(seed=seed, mild=mild)]
    if not all(s.settled for s in sides):
        return Finding(UNDECIDED, "an integral in it does not settle: on a finer grid it changes")
    return compared(sides, sign)


def both(left: Node, right: Node, world: World, scene: Scene, settle: bool = True) -> Sides:
    """Both sides at the points of a scene, and whether the integrals in them have settled."""
    free = tuple(sorted(free_letters(left, world) | free_letters(right, world)))
    free = tuple(x for x in free if world.kind(x) == FINITE)
    a, b = Evaluator(scene).over_free((left, right), free)
    a, b = shaped(a, b)
    error = None
    if settle and any(n.op in _OVER_THE_LINE for side in (left, right) for n in _all(side)):
        c, d = shaped(*Evaluator(scene, fine=281).over_free((left, right), free))
        error = torch.maximum((a.tensor - c.tensor).abs(), (b.tensor - d.tensor).abs())
        error = torch.nan_to_num(error, nan=0.0, posinf=math.inf)
    return Sides(scene, a.tensor, b.tensor, a.kind, free, error, a.dims)


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


def agree(a: Tensor, b: Tensor, close: float) -> Tensor:
    """Where two tensors are as near as float64 can tell; infinite or undefined together agrees."""
    scale = torch.maximum(a.abs(), b.abs()).clamp(min=1e-3)
    same = (a - b).abs() <= close * scale
    return same | (a == b) | (a.isnan() & b.isnan())


def compared(sides: Sequence[Sides], sign: str) -> Finding:
    points = sum(len(s.left) for s in sides)
    bad = [_fails(s, sign) for s in sides]
    undefined = [_undefined(s) for s in sides]
    count = sum(int(u.sum()) for u in undefined)
    wrong = [b & ~u for b, u in zip(bad, undefined, strict=True)]
    if any(bool(w.any()) for w in wrong):
        k = next(i for i, w in enumerate(wrong) if bool(w.any()))
        return _broken(sides[k], wrong[k], sign, sides, wrong, points)
    if count == points:
        return Finding(
            UNDECIDED,
            "there is no value at any point: is a logarithm or root taken of something negative?",
        )
    if count:
        k = next(i for i, u in enumerate(undefined) if bool(u.any()))
        n = int(undefined[k].nonzero()[0])
        return Finding(
            UNDECIDED, "one side has no value (a logarithm or root of something negative, or 0/0)",
            where=described(sides[k], n), assumes=assumption(sides, undefined), points=points,
        )  # fmt: skip
    if not all(bool(_holds(s, sign).all()) for s in sides):
        return Finding(UNDECIDED, "the two sides differ by so little that it may be rounding")
    return Finding(HOLDS, _held(sides, sign, points), points=points)


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
    return gap >= -(STRICT * s.scale + s.doubt(100))


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
    left, right = s.left[n].flatten(), s.right[n].flatten()
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
        first = ratio[:1].expand_as(ratio)
        same = (ratio - first).abs() <= 1e-9 * log.clamp(min=10) if log is not None else (
            agree(ratio, first, CLOSE))  # fmt: skip
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
        slowest = max(slowest, float(gap[-1].max()))
    if slowest > 0.05:
        return Finding(UNDECIDED, f"the gap shrinks too slowly with {letter} to tell")
    return Finding(HOLDS, f"the relative gap vanishes with {letter} ({checked} random points)",
                   points=checked)  # fmt: skip


def ratios(
    left: Node, right: Node, world: World, letter: str, scene: Scene
) -> tuple[Tensor, Tensor | None]:
    """left/right at several values of ``letter``, (values, points); or log left − log right, and
    the size of the logarithms, where both sides are positive.
    """
    others = (free_letters(left, world) | free_letters(right, world)) - {letter}
    free = tuple(sorted(x for x in others if world.kind(x) == FINITE))
    logs = tuple(Node("call", ("log", side)) for side in (left, right))
    raw, logged, size = [], [], []
    for value in moved(world, letter, scene):
        evaluator = Evaluator(scene)
        if isinstance(value, int):
            evaluator.at[letter] = value
        else:
            evaluator.values[letter] = value
        a, b = shaped(*evaluator.over_free((left, right), free))
        if a.dims:
            raise Meaningless("proportionality is of numbers here")
        x, y = (v.tensor for v in evaluator.over_free(logs, free))
        raw.append(a.tensor / b.tensor)
        logged.append(x - y)
        size.append(torch.maximum(x.abs(), y.abs()))
    log = torch.stack(logged)
    if bool(torch.isfinite(log).all()):
        return log, torch.stack(size)
    return torch.stack(raw), None


def moved(world: World, letter: str, scene: Scene) -> list[int | Tensor]:
    """Values for the letter that moves: all it has, or five random ones."""
    thing = world.names[letter]
    if thing.kind == FINITE:
        return list(range(thing.size))
    return [scene.within(thing.low, thing.high, scene.points) for _ in range(5)]


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
            found |= {x for x in known if x not in bound}
    if op == "name" and world.kind(node.args[0]) == "defined":
        found |= _free_in_definition(node.args[0], world, bound)
    for _, part in node.parts():
        found |= free_letters(part, world, bound)
    return found


def _free_in_definition(name: str, world: World, bound: frozenset[str]) -> set[str]:
    from genart_lessons.derivation.value import read_definition

    thing = world.names[name]
    tree = read_definition(thing.source, thing.letters, world)
    return free_letters(tree, world, bound)


def _numbered(letter: str, world: World) -> list[str]:
    """All of x_1, x_2, … where a table names x_t or x_{<t}."""
    stem = letter.rpartition("_")[0]
    return [n for n in world.names if n.rpartition("_")[0] == stem and world.kind(n) == FINITE]


__all__ = ["BROKEN", "HOLDS", "UNDECIDED", "Finding", "LatexError", "judge", "read"]
