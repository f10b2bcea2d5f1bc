r"""The little world in which a derivation is checked: what its letters stand for, and random draws.

A world is declared in words, one thing a line::

    x in {1..4}                    a letter that takes four values
    p(x, z)                        a distribution; its marginals and conditionals come with it
    q(z | x)                       a conditional one
    0 < D(x) < 1                   a function of x
    sigma > 0; mu real; n in 1..5  numbers
    x in R                         a real letter: then p(x) is a density
    f : R -> R increasing          a smooth function (positive, concave, convex, increasing)
    u, v in R^d;  A in R^{d x d} invertible      (symmetric, positive, orthogonal, permutation)
    0 < beta_t < 1, t = 1..T       a number for each t
    X, Y random independent mean 0 variance 1    what E[…] without a subscript is taken over
    \alpha_t = 1 - \beta_t         a definition
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from genart_lessons.proof.spelling import GREEK, LatexError, tokens

FINITE, REAL, NUMBER, INTEGER = "letter with values", "real letter", "number", "integer"
FUNCTION, ARRAY, RANDOM, DENSITY, DEFINED = "function", "array", "random", "density", "defined"
LONGEST, MOST_THINGS, MOST_VALUES = 4000, 40, 6
_NAME = r"(?:\\?[A-Za-z]+(?:_\{?[A-Za-z0-9]+\}?)?'?)"
_NAMES = rf"({_NAME}(?:\s*,\s*{_NAME})*)"
_SHAPES = {"concave", "convex", "increasing", "positive", "smooth"}
_KINDS = {"symmetric", "positive", "orthogonal", "permutation", "invertible"}
POINTS = 48


class WorldError(ValueError):
    """A line of a world cannot be read; the message says which, and what may stand there."""


@dataclass(frozen=True)
class Law:
    """A distribution as it was declared: of which letters, and what is given."""

    name: str
    over: tuple[str, ...]
    given: tuple[str, ...]


@dataclass(frozen=True)
class Thing:
    """One declared name: what it is, its bounds, its shape, the letters it depends on."""

    name: str
    kind: str
    low: float = -math.inf
    high: float = math.inf
    shape: tuple[str | int, ...] = ()  # of an array: numbers, or letters that name a length
    letters: tuple[str, ...] = ()  # of a function of letters
    flags: frozenset[str] = frozenset()
    size: int = 0  # of a letter with values
    source: str = ""  # of a definition


@dataclass
class World:
    """The names of a derivation, and how to draw a random instance of them."""

    text: str = ""
    names: dict[str, Thing] = field(default_factory=dict)
    laws: list[Law] = field(default_factory=list)
    lengths: dict[str, tuple[int, ...]] = field(default_factory=dict)  # d → the values it may have

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST:
            raise WorldError(f"a world has at most {LONGEST} characters")
        for number, line in enumerate(re.split(r"[\n;]", self.text), 1):
            line = line.partition("#")[0].strip()
            if line:
                self._declare(line, number)
        if len(self.names) + len(self.laws) > MOST_THINGS:
            raise WorldError(f"a world has at most {MOST_THINGS} things")
        for law in self.laws:
            for letter in (*law.over, *law.given):
                if self.kind(letter) not in {FINITE, REAL}:
                    raise WorldError(
                        f"{law.name}(…): say first what {letter} is, as in '{letter} in {{1..4}}'"
                    )

    # -- what a reader of formulas asks --------------------------------------------------------
    def known(self, name: str) -> bool:
        return name in self.names or name in self.lengths

    def kind(self, name: str) -> str | None:
        if name in self.lengths:
            return INTEGER
        return self.names[name].kind if name in self.names else None

    def tables(self, name: str) -> list[Law]:
        return [law for law in self.laws if law.name == name]

    def law_names(self) -> list[str]:
        return [
            f"{w.name}({', '.join(w.over)}{' | ' + ', '.join(w.given) if w.given else ''})"
            for w in self.laws
        ]

    def words(self) -> list[str]:
        """Names of several letters that are one word in a formula."""
        return [n for n in (*self.names, *(w.name for w in self.laws)) if len(n) > 1]

    def shape(self, name: str) -> tuple[str | int, ...]:
        return self.names[name].shape if name in self.names else ()

    def arguments(self, name: str) -> tuple[str, ...]:
        return self.names[name].letters if name in self.names else ()

    def indexed(self) -> set[str]:
        """Names that may carry an index."""
        arrays = {n for n, t in self.names.items() if t.shape}
        return arrays | {n for n, t in self.names.items() if t.kind == DEFINED and t.letters}

    # -- reading a declaration -----------------------------------------------------------------
    def _declare(self, line: str, number: int) -> None:
        for pattern, read in self._forms():
            found = re.fullmatch(pattern, line)
            if found:
                read(found)
                return
        raise WorldError(
            f"line {number} of the world cannot be read: {line!r}. Write, for example, "
            "'sigma > 0', 'x in {1..4}', 'p(x, z)', 'q(z | x)', 'u in R^3' or 'f : R -> R'."
        )

    def _forms(self):
        number = r"(-?\d+(?:\.\d+)?)"
        tail = rf"(?:\s*(?:,|for)\s*({_NAME})\s*=\s*1\s*\.\.\s*([A-Za-z]|\d))?"
        word = r"((?:\s+(?:[a-z]+|\d+))*)"
        return [
            (rf"{_NAMES}\s+in\s+\{{\s*1\s*\.\.\s*(\d)\s*\}}", self._finite),
            (rf"{_NAMES}\s+in\s+R", self._real),
            (rf"{_NAMES}\s+in\s+R\^\{{?([A-Za-z]|\d)\}}?{word}", self._vector),
            (
                rf"{_NAMES}\s+in\s+R\^\{{\s*([A-Za-z]|\d)\s*(?:x|×)\s*([A-Za-z]|\d)\s*\}}{word}",
                self._matrix,
            ),
            (rf"{_NAMES}\s+in\s+(\d)\s*\.\.\s*(\d)", self._integer),
            (rf"{_NAMES}\s+integer", self._integer),
            (rf"{_NAMES}\s+random{word}", self._random),
            (rf"({_NAME})\s*:\s*R\s*->\s*R{word}", self._smooth),
            (rf"{_NAMES}\s+real{tail}", lambda m: self._numbers(m[1], None, None, m[2], m[3])),
            (rf"{_NAMES}\s*>=?\s*{number}{tail}",
             lambda m: self._numbers(m[1], m[2], None, m[3], m[4])),
            (rf"{_NAMES}\s*<=?\s*{number}{tail}",
             lambda m: self._numbers(m[1], None, m[2], m[3], m[4])),
            (rf"{number}\s*<=?\s*{_NAMES}\s*<=?\s*{number}{tail}",
             lambda m: self._numbers(m[2], m[1], m[3], m[4], m[5])),
            (rf"({_NAME})\(([^|()]+)\)\s+real", lambda m: self._function(m[1], m[2])),
            (rf"({_NAME})\(([^|()]+)\)\s*>=?\s*{number}",
             lambda m: self._function(m[1], m[2], m[3])),
            (rf"{number}\s*<=?\s*({_NAME})\(([^|()]+)\)\s*<=?\s*{number}",
             lambda m: self._function(m[2], m[3], m[1], m[4])),
            (rf"({_NAME})\(([^|()]+)(?:\|([^|()]+))?\)", self._law),
            (r"([^=<>]+?)\s*=\s*(.+)", self._definition),
        ]  # fmt: skip

    def _add(self, thing: Thing) -> None:
        if thing.name in self.names or self.tables(thing.name):
            raise WorldError(f"{thing.name} is declared twice")
        self.names[thing.name] = thing

    def _finite(self, m: re.Match) -> None:
        size = int(m[2])
        if not 2 <= size <= MOST_VALUES:
            raise WorldError(f"a letter takes 2 to {MOST_VALUES} values, not {size}")
        for name in _split(m[1]):
            self._add(Thing(name, FINITE, size=size))

    def _real(self, m: re.Match) -> None:
        for name in _split(m[1]):
            self._add(Thing(name, REAL))

    def _vector(self, m: re.Match) -> None:
        self._array(m[1], (m[2],), m[3])

    def _matrix(self, m: re.Match) -> None:
        self._array(m[1], (m[2], m[3]), m[4])

    def _array(self, names: str, shape: tuple[str, ...], words: str) -> None:
        sizes = tuple(self._length(s) for s in shape)
        random = "random" in words.split()
        flags = set(_random_flags(words.replace("random", ""))) if random else set(words.split())
        if not random and flags - _KINDS:
            raise WorldError(f"{names}: of a matrix one can say {', '.join(sorted(_KINDS))}")
        if not random and flags and (len(sizes) != 2 or sizes[0] != sizes[1]):
            raise WorldError(f"{names}: only a square matrix is {', '.join(flags)}")
        for name in _split(names):
            kind = RANDOM if random else ARRAY
            for size in (s for s in sizes if random and isinstance(s, str)):
                self.lengths[size] = (2, 3, 4)  # its outcomes are many
            self._add(Thing(name, kind, shape=sizes, flags=frozenset(flags)))

    def _length(self, text: str, fixed: tuple[int, ...] = (2, 3, 4, 5)) -> str | int:
        if text.isdigit():
            if not 1 <= int(text) <= MOST_VALUES:
                raise WorldError(f"lengths are 1 to {MOST_VALUES} here, not {text}")
            return int(text)
        if text in self.names:
            raise WorldError(f"{text} is declared twice: as a length, too")
        self.lengths.setdefault(text, fixed)
        return text

    def _integer(self, m: re.Match) -> None:
        low, high = (int(m[2]), int(m[3])) if m.lastindex and m.lastindex > 1 else (1, 5)
        if low > high:
            raise WorldError(f"{m[0]!r}: the first number is the smaller one")
        for name in _split(m[1]):
            self._add(Thing(name, INTEGER, low=low, high=high))

    def _random(self, m: re.Match) -> None:
        for name in _split(m[1]):
            self._add(Thing(name, RANDOM, flags=_random_flags(m[2])))

    def _smooth(self, m: re.Match) -> None:
        flags = set(m[2].split())
        if flags - _SHAPES:
            raise WorldError(f"a function can be {', '.join(sorted(_SHAPES))}")
        self._add(Thing(_name(m[1]), FUNCTION, flags=frozenset(flags)))

    def _numbers(self, names: str, low, high, letter=None, last=None) -> None:
        bounds = (
            -math.inf if low is None else float(low),
            math.inf if high is None else float(high),
        )
        if bounds[0] >= bounds[1]:
            raise WorldError(f"{names}: nothing lies between {low} and {high}")
        for name in _split(names):
            if letter:
                stem, _, index = name.rpartition("_")
                if index != letter:
                    raise WorldError(f"{name} should carry the index {letter}")
                size = self._length(last, (3, 4, 5, 6))
                self._add(Thing(stem, ARRAY, *bounds, shape=(size,), flags=frozenset({"list"})))
            else:
                self._add(Thing(name, NUMBER, *bounds))

    def _function(self, name: str, letters: str, low=None, high=None) -> None:
        bounds = (
            -math.inf if low is None else float(low),
            math.inf if high is None else float(high),
        )
        of = tuple(_split(letters))
        for letter in of:
            if self.kind(letter) not in {FINITE, REAL}:
                raise WorldError(f"{name}(…): say first what {letter} is")
        self._add(Thing(_name(name), FUNCTION, *bounds, letters=of))

    def _law(self, m: re.Match) -> None:
        law = Law(_name(m[1]), tuple(_split(m[2])), tuple(_split(m[3] or "")))
        if law.name in self.names:
            raise WorldError(f"{law.name} is declared twice")
        taken = {letter for other in self.tables(law.name) for letter in other.over}
        if taken & set(law.over) or set(law.over) & set(law.given):
            raise WorldError(f"{law.name}: each letter has its distribution once")
        self.laws.append(law)

    def _definition(self, m: re.Match) -> None:
        left = re.fullmatch(
            rf"({_NAME}|\\bar\{{?{_NAME}\}}?(?:_\w)?)(?:\(([^()]+)\))?", m[1].strip()
        )
        if left is None:
            raise WorldError(f"{m[1]!r} cannot be defined: write a name, as in \\alpha_t = …")
        name, letters = _name(left[1]), tuple(_split(left[2] or ""))
        if not letters and re.search(r"_[a-z]$", name) and name.rpartition("_")[0]:
            name, _, index = name.rpartition("_")
            letters = (index,)
        self._add(Thing(name, DEFINED, letters=letters, source=m[2].strip()))

    # -- drawing ---------------------------------------------------------------------------------
    def scenes(
        self, points: int = POINTS, seed: int = 0, mild: bool = False, wide: bool = False
    ) -> Iterator[Scene]:
        """Random instances of everything, ``points`` at a time: usual ones, flat ones, sharp ones.

        ``mild``: no very narrow or wide ones, over which an integral cannot be taken with one rule.
        ``wide``: some more, all but flat and very sharp, where inequalities fail first. Lengths
        that have different names are of different sizes.
        """
        generator = torch.Generator().manual_seed(seed)
        spreads: tuple[float, ...] = (1.0, 0.5, 1.0, 0.7) if mild else (1.0, 0.25, 3.0, 1.0)
        spreads += (0.05, 0.8) if wide and mild else (0.05, 8.0, 0.5) if wide else ()
        for k, spread in enumerate(spreads):
            sizes = {n: v[(k + i) % len(v)] for i, (n, v) in enumerate(self.lengths.items())}
            yield Scene(self, sizes, points, spread, generator, heavy=k >= 4)


class Scene:
    """``points`` random instances of a world's numbers, tables and functions, float64."""

    def __init__(self, world: World, sizes: dict[str, int], points: int, spread: float, generator,
                 heavy: bool = False):  # fmt: skip
        self.world, self.sizes, self.points, self.heavy = world, sizes, points, heavy
        self.spread, self.generator = spread, generator
        self.numbers: dict[str, Tensor] = {}  # name → (P, …)
        self.joints: dict[str, Joint] = {}
        self.functions: dict[str, dict[str, Tensor]] = {}
        self.weights: Tensor | None = None  # of the outcomes of what is random, (M, P)
        for thing in world.names.values():
            self._draw(thing)
        for name in dict.fromkeys(law.name for law in world.laws):
            self.joints[name] = Joint(self, world.tables(name))
        self._draw_random()

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, dtype=torch.float64)

    def length(self, size: str | int) -> int:
        return size if isinstance(size, int) else self.sizes[size]

    def within(self, low: float, high: float, *shape: int) -> Tensor:
        """Random numbers between two bounds, either of which may be infinite."""
        if math.isinf(low) and math.isinf(high):
            return self._tailed(self.normal(*shape) * 1.5 * self.spread)
        if math.isinf(high) or math.isinf(low):
            most = 9.0 if self.heavy else 3.0
            away = (0.6 * self.spread * self.normal(*shape)).clamp(-most, most).exp()
            return low + away if math.isinf(high) else high - away
        return low + (high - low) * torch.sigmoid(1.2 * self.spread * self.normal(*shape))

    def _tailed(self, values: Tensor) -> Tensor:
        """The values; in a heavy scene some of them many times as large."""
        if not self.heavy:
            return values
        each = (len(values), *[1] * (values.ndim - 1))
        return values * (2.0 * self.normal(*each)).clamp(min=0).exp()

    def simplex(self, *shape: int) -> Tensor:
        """Distributions over all axes but the first."""
        raw = (self.spread * 1.3 * self.normal(*shape)).exp()
        return raw / raw.flatten(1).sum(1).view(-1, *([1] * (len(shape) - 1)))

    def _draw(self, thing: Thing) -> None:
        P, name = self.points, thing.name
        if thing.kind == FINITE:
            self.numbers[name] = self.normal(P, thing.size) * 1.5
        elif thing.kind in {NUMBER, REAL}:
            self.numbers[name] = self.within(thing.low, thing.high, P)
        elif thing.kind == INTEGER:
            low, high = int(thing.low), int(thing.high)
            self.numbers[name] = torch.randint(
                low, high + 1, (P,), generator=self.generator
            ).double()
        elif thing.kind == ARRAY:
            self.numbers[name] = self._array(thing)
        elif thing.kind == FUNCTION:
            self.functions[name] = self._function(thing)

    def _array(self, thing: Thing) -> Tensor:
        P, shape = self.points, [self.length(s) for s in thing.shape]
        raw = self.within(thing.low, thing.high, P, *shape)
        if "symmetric" in thing.flags:
            return (raw + raw.mT) / 2
        if "positive" in thing.flags:
            more = (0.3 * self.normal(P, 1, 1).exp()).clamp(min=0.02)
            return raw @ raw.mT + more * torch.eye(shape[0], dtype=torch.float64)
        if "orthogonal" in thing.flags:
            return torch.linalg.qr(raw).Q
        if "permutation" in thing.flags:
            order = self.uniform(P, shape[0]).argsort(1)
            return torch.nn.functional.one_hot(order, shape[0]).double()
        if "invertible" in thing.flags:
            far = raw + 2.5 * raw.sign()[..., :1, :1] * torch.eye(shape[0], dtype=torch.float64)
            return far * (0.7 * self.normal(P, 1, 1)).exp()
        return raw

    def _function(self, thing: Thing) -> dict[str, Tensor]:
        """A table over letters with values; or the numbers a, b, c of three bends and a line."""
        P, sizes = self.points, []
        for letter in thing.letters:
            known = self.world.names[letter]
            sizes.append(known.size if known.kind == FINITE else 0)
        if thing.letters and all(sizes):
            return {"table": self.within(thing.low, thing.high, P, *sizes)}
        n = max(1, len(thing.letters))
        return {"a": self.normal(P, 4), "b": self.normal(P, 4, n), "c": self.normal(P, 4),
                "low": torch.tensor(thing.low), "high": torch.tensor(thing.high),
                "more": self._tailed(1.5 * self.normal(P))}  # fmt: skip

    # -- what is random ------------------------------------------------------------------------
    def _draw_random(self) -> None:
        """Outcomes and their weights: one list for all, or a grid where things are independent."""
        things = [t for t in self.world.names.values() if t.kind == RANDOM]
        if not things:
            return
        entries = [t for t in things for _ in range(math.prod(map(self.length, t.shape)) or 1)]
        groups = [[k] for k, t in enumerate(entries) if "independent" in t.flags]
        together = [k for k, t in enumerate(entries) if "independent" not in t.flags]
        groups += [together] if together else []
        columns = self._independent(entries, groups)
        at = 0
        for t in things:
            shape = [self.length(s) for s in t.shape]
            count = math.prod(shape) or 1
            stacked = torch.stack(columns[at : at + count], -1)  # (M, P, entries)
            self.numbers[t.name] = (
                stacked.view(*stacked.shape[:2], *shape) if shape else stacked[..., 0]
            )
            at += count

    def _independent(self, entries: list[Thing], groups: list[list[int]]) -> list[Tensor]:
        """The outcomes of every entry on the grid of the groups' outcomes; sets their weights."""
        n = len(groups)
        each = 6 if n == 1 else 4 if n <= 4 else 3 if n <= 6 else 2
        if each**n > 8192:
            raise WorldError("too many independent random numbers: declare fewer or shorter ones")
        grid = torch.cartesian_prod(*[torch.arange(each)] * n).view(-1, n)
        columns: dict[int, Tensor] = {}
        total = torch.ones(len(grid), self.points, dtype=torch.float64)
        for axis, group in enumerate(groups):
            w = self.simplex(self.points, each)
            total = total * w[:, grid[:, axis]].T
            for k in group:
                values = self._standard(self._values(entries[k], each), w, entries[k])
                columns[k] = values[:, grid[:, axis]].T
        self.weights = total
        return [columns[k] for k in range(len(entries))]

    def _values(self, thing: Thing, count: int) -> Tensor:
        raw = self.normal(self.points, count) * 1.5
        raw = raw if "positive" in thing.flags else self._tailed(raw)
        return raw.exp() if "positive" in thing.flags else raw

    def _standard(self, v: Tensor, w: Tensor, thing: Thing) -> Tensor:
        if "mean 0" in thing.flags:
            v = v - (w * v).sum(1, keepdim=True)
        if "variance 1" in thing.flags:
            m = (w * v).sum(1, keepdim=True)
            v = m + (v - m) / (w * (v - m) ** 2).sum(1, keepdim=True).sqrt()
        return v


class Joint:
    """The joint distribution of one name's letters: all marginals and conditionals come from it.

    All letters finite: a table (P, K_1, …). Otherwise a mixture of two products of independent
    factors: normal ones for real letters, tables for the others.
    """

    def __init__(self, scene: Scene, laws: list[Law]):
        self.over = tuple(dict.fromkeys(x for law in laws for x in law.over))
        given = dict.fromkeys(x for law in laws for x in law.given if x not in self.over)
        self.given = tuple(given)
        self.letters = (*self.over, *self.given)
        names = scene.world.names
        self.sizes = [names[x].size for x in self.letters]
        self.name = laws[0].name
        if all(self.sizes):
            self.table = self._tables(scene, laws)
        else:
            if self.given or len(laws) > 1:
                raise WorldError(f"{self.name}: declare one joint density, such as p(x, z)")
            self.table = None
            self.parts = self._mixture(scene)

    def _tables(self, scene: Scene, laws: list[Law]) -> Tensor:
        whole = torch.ones(scene.points, *self.sizes, dtype=torch.float64)
        for law in laws:
            mine = (*law.over, *law.given)
            raw = scene.uniform(scene.points, *(self._size(x) for x in mine))
            raw = (scene.spread * 1.3 * torch.special.ndtri(raw.clamp(1e-9, 1 - 1e-9))).exp()
            axes = tuple(range(1, 1 + len(law.over)))
            whole = whole * self._spread(raw / raw.sum(axes, keepdim=True), mine)
        return whole

    def _size(self, letter: str) -> int:
        return self.sizes[self.letters.index(letter)]

    def _spread(self, table: Tensor, mine: tuple[str, ...]) -> Tensor:
        order = sorted(range(len(mine)), key=lambda k: self.letters.index(mine[k]))
        table = table.permute(0, *(k + 1 for k in order))
        shape = [self._size(x) if x in mine else 1 for x in self.letters]
        return table.reshape(len(table), *shape)

    def _mixture(self, scene: Scene) -> dict[str, Tensor]:
        P, K = scene.points, 2
        parts = {"": scene.simplex(P, K)}
        for letter, size in zip(self.letters, self.sizes, strict=True):
            if size:
                raw = (scene.spread * scene.normal(P, K, size)).exp()
                parts[letter] = raw / raw.sum(2, keepdim=True)
            else:
                width = 1.0 if scene.heavy else 0.3
                parts[letter] = torch.stack(
                    [1.2 * scene.normal(P, K), (width * scene.normal(P, K)).exp()], -1
                )
        return parts


def _random_flags(words: str) -> frozenset[str]:
    text = " ".join(words.split())
    flags = {f for f in ("independent", "positive") if f in text}
    flags |= {f for f in ("mean 0", "variance 1") if f in text}
    rest = re.sub("independent|positive|mean 0|variance 1", "", text).split()
    if rest:
        raise WorldError(
            f"what is random can be independent, positive, mean 0, variance 1: {rest[0]}?"
        )
    if {"positive", "mean 0"} <= flags:
        raise WorldError("what is positive cannot have mean 0")
    return frozenset(flags)


def _split(names: str) -> list[str]:
    return [_name(n) for n in names.split(",") if n.strip()]


def _name(text: str) -> str:
    """A name in the one spelling: ``\\mu_{q}`` → "mu_q", ``\\bar\\alpha`` → "alpha_bar"."""
    try:
        found = [t.text for t in tokens(text.strip(), [text.strip()])]
    except LatexError as error:
        raise WorldError(str(error)) from error
    parts = [p[1:] if p[1:] in GREEK | {"pi"} else p for p in found if p not in {"{", "}"}]
    if parts and parts[0] in {r"\bar", r"\hat", r"\tilde"}:
        parts = [parts[1], "_", parts[0][1:], *parts[2:]]
    name = "".join(parts)
    if not re.fullmatch(r"[A-Za-z]+(_[A-Za-z0-9]+)*'?", name):
        raise WorldError(f"{text!r} is no name: write a letter, a Greek one, or one with an index")
    return name
