"""What a line of mathematics is worth in a scene: float64 numbers, at every point at once.

A value has a kind (number, vector, row, matrix) and a tensor: first a level for each integral or
mean that is being taken, innermost first, then the points, then the entries. Letters with few
values are gone through one by one; integrals are sums over the nodes of a fixed rule.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from genart_lessons.derivation.language import Node, _all, read
from genart_lessons.derivation.world import (
    ARRAY,
    DEFINED,
    FINITE,
    FUNCTION,
    INTEGER,
    RANDOM,
    REAL,
    Joint,
    Scene,
    Thing,
)

NUMBER, VECTOR, ROW, MATRIX = "number", "vector", "row", "matrix"
_DIMS = {NUMBER: 0, VECTOR: 1, ROW: 1, MATRIX: 2}
NODES, MOST = 361, 40_000_000  # of an integral over the line; of numbers in one tensor
_ELEMENTWISE = {
    "log": torch.log, "exp": torch.exp, "tanh": torch.tanh, "sin": torch.sin, "cos": torch.cos,
    "sigmoid": torch.sigmoid, "erf": torch.erf,
}  # fmt: skip


class Meaningless(ValueError):
    """The line is well formed, but has no value in this world; the message says why."""


@dataclass(frozen=True)
class Value:
    """A tensor (levels …, points, entries …) and what its entries are."""

    tensor: Tensor
    kind: str = NUMBER

    @property
    def dims(self) -> int:
        return _DIMS[self.kind]


class Evaluator:
    """Values of trees in one scene. ``fine``: the number of nodes of an integral over the line;
    ``end``: how far they go, as a share of the usual.
    """

    def __init__(self, scene: Scene, fine: int = NODES, end: float = 1.0):
        self.scene, self.fine, self.end = scene, fine, end
        self.values: dict[str, Tensor] = dict(scene.numbers)  # of numbers, arrays, real letters
        self.at: dict[str, int] = {}  # where letters with values, and indices, stand
        self.open: list[int] = []  # sizes of the levels that are open, outermost first
        self.outcomes = 0  # the depth of the mean over what is random; 0 outside of one
        self.lost = torch.zeros(scene.points, dtype=torch.bool)  # where a density is below float64
        self.outside = torch.zeros(scene.points, dtype=torch.bool)  # log or root of a negative
        self.masses: list[Tensor] = []  # of the outermost integrals: of the size of what is in them
        self.eye = 0  # the size of I, where what stands beside it tells
        things = scene.world.names.values()
        self._eyes = any(t.kind == DEFINED and "I" in t.source for t in things)
        self._definitions: dict[str, Node] = {}

    # -- entry ---------------------------------------------------------------------------------
    def over_free(self, nodes: tuple[Node, ...], free: tuple[str, ...]) -> list[Value]:
        """The values of several trees at all values of the ``free`` letters, joined."""
        found: list[list[Value]] = [[] for _ in nodes]
        self._eyes = self._eyes or any(n.op == "identity" for node in nodes for n in _all(node))
        sizes = [self.scene.world.names[x].size for x in free]
        for places in itertools.product(*map(range, sizes)):
            with torch.no_grad(), self._set(dict(zip(free, places, strict=True))):
                made = self._beside_identity(nodes)
                for k, value in enumerate(made):
                    found[k].append(self._full(value))
        return [Value(torch.cat([v.tensor for v in each]), each[0].kind) for each in found]

    def _beside_identity(self, nodes: tuple[Node, ...]) -> list[Value]:
        """Their values; those with an I in them last, for the others tell how large it is."""
        if not self._eyes:
            return [self(node) for node in nodes]
        before, made = self.eye, dict[int, Value]()
        with_eye = [any(n.op == "identity" for n in _all(node)) for node in nodes]
        for k in sorted(range(len(nodes)), key=lambda k: with_eye[k]):
            made[k] = self(nodes[k])
            if made[k].kind == MATRIX and not with_eye[k]:
                self.eye = made[k].tensor.shape[-1]
        self.eye = before
        return [made[k] for k in range(len(nodes))]

    def _note(self, mask: Tensor, where: Tensor) -> Tensor:
        """``mask`` with the points where ``where`` is true; nothing inside of an integral."""
        return mask if self.depth else mask | where.detach()

    @property
    def depth(self) -> int:
        return len(self.open)

    def _full(self, value: Value) -> Value:
        """Expanded over all levels and points."""
        entries = value.tensor.shape[value.tensor.ndim - value.dims :]
        return Value(value.tensor.expand(*self._batch(value), *entries), value.kind)

    def _batch(self, value: Value) -> tuple[int, ...]:
        own = value.tensor.shape[: value.tensor.ndim - value.dims]
        return torch.broadcast_shapes(own, (self.scene.points,))

    @contextmanager
    def _set(self, places: dict[str, int]) -> Iterator[None]:
        before = dict(self.at)
        self.at.update(places)
        yield
        self.at = before

    def __call__(self, node: Node) -> Value:
        value = getattr(self, f"_{node.op}")(node)
        if value.tensor.numel() > MOST:
            raise Meaningless("too many integrals inside one another: this is not checked")
        return value

    # -- arithmetic ------------------------------------------------------------------------------
    def _num(self, node: Node) -> Value:
        return Value(torch.tensor([float(node.args[0])], dtype=torch.float64))

    def _pi(self, node: Node) -> Value:
        return Value(torch.tensor([math.pi], dtype=torch.float64))

    def _neg(self, node: Node) -> Value:
        value = self(node.args[0])
        return Value(-value.tensor, value.kind)

    def _add(self, node: Node) -> Value:
        terms = self._beside_identity(node.args)
        kinds = {t.kind for t in terms}
        if len(kinds) > 1:
            raise Meaningless(f"a {' and a '.join(sorted(kinds))} cannot be added up")
        total = terms[0].tensor
        for term in terms[1:]:
            self._same_entries(terms[0], term)
            total = total + term.tensor
        return Value(total, terms[0].kind)

    def _same_entries(self, a: Value, b: Value) -> None:
        mine, yours = (v.tensor.shape[v.tensor.ndim - v.dims :] for v in (a, b))
        if mine != yours:
            raise Meaningless(f"sizes {tuple(mine)} and {tuple(yours)} do not go together")

    def _mul(self, node: Node) -> Value:
        value = self._quotient_of_densities(node)
        if value is not None:
            return value
        value = self(node.args[0])
        for part in node.args[1:]:
            value = self._times(value, self(part))
        return value

    def _times(self, a: Value, b: Value) -> Value:
        if NUMBER in (a.kind, b.kind):
            one, other = (a, b) if a.kind == NUMBER else (b, a)
            scale = one.tensor[(..., *[None] * other.dims)]
            return Value(scale * other.tensor, other.kind)
        result = {
            (ROW, VECTOR): NUMBER, (VECTOR, ROW): MATRIX, (MATRIX, VECTOR): VECTOR,
            (ROW, MATRIX): ROW, (MATRIX, MATRIX): MATRIX,
        }.get((a.kind, b.kind))  # fmt: skip
        if result is None:
            raise Meaningless(f"a {a.kind} cannot be multiplied by a {b.kind}: transpose one")
        left = a.tensor.unsqueeze(-2) if a.kind == ROW else (
            a.tensor.unsqueeze(-1) if a.kind == VECTOR else a.tensor)  # fmt: skip
        right = b.tensor.unsqueeze(-1) if b.kind == VECTOR else (
            b.tensor.unsqueeze(-2) if b.kind == ROW else b.tensor)  # fmt: skip
        if left.shape[-1] != right.shape[-2]:
            raise Meaningless(f"sizes {left.shape[-1]} and {right.shape[-2]} do not go together")
        made = left @ right
        if result == NUMBER:
            return Value(made[..., 0, 0])
        if result == VECTOR:
            return Value(made[..., 0], VECTOR)
        return Value(made[..., 0, :], ROW) if result == ROW else Value(made, MATRIX)

    def _dot(self, node: Node) -> Value:
        a, b = self(node.args[0]), self(node.args[1])
        if a.kind in {VECTOR, ROW} and b.kind in {VECTOR, ROW}:
            self._same_entries(a, b)
            return Value((a.tensor * b.tensor).sum(-1))
        return self._times(a, b)

    def _had(self, node: Node) -> Value:
        a, b = self(node.args[0]), self(node.args[1])
        if a.kind != b.kind:
            raise Meaningless(rf"\odot stands between a {a.kind} and a {b.kind}")
        self._same_entries(a, b)
        return Value(a.tensor * b.tensor, a.kind)

    def _quotient_of_densities(self, node: Node) -> Value | None:
        """p(x)/q(x)·f(x) by logarithms, for far from everything both densities are 0; or None."""
        parts = list(_factors(node))
        dense = [(n, s) for n, s in parts if self._is_density(n)]
        if not any(s < 0 for _, s in dense):
            return None
        rest = [(self(n), s) for n, s in parts if not self._is_density(n)]
        if any(v.kind != NUMBER for v, _ in rest):
            return None
        total: Tensor | float = 0.0
        for part, sign in dense:
            total = total + sign * self._log(part).tensor
        assert isinstance(total, Tensor)
        made = total.exp()
        for value, sign in rest:
            made = made * value.tensor if sign > 0 else made / value.tensor
        return Value(made)

    def _is_density(self, node: Node) -> bool:
        if node.op == "law":
            return self.scene.joints[node.args[0]].table is None
        return node.op == "normal"

    def _div(self, node: Node) -> Value:
        value = self._quotient_of_densities(node)
        if value is not None:
            return value
        a, b = self(node.args[0]), self(node.args[1])
        if b.kind != NUMBER:
            raise Meaningless(f"one cannot divide by a {b.kind}")
        return Value(a.tensor / b.tensor[(..., *[None] * a.dims)], a.kind)

    def _pow(self, node: Node) -> Value:
        base, exponent = self(node.args[0]), self(node.args[1])
        if exponent.kind != NUMBER:
            raise Meaningless(f"a {exponent.kind} cannot be an exponent")
        whole = node.args[1]
        if base.kind == MATRIX:
            power = float(exponent.tensor.flatten()[0])
            if whole.op not in {"num", "neg"} or power not in (-1.0, 2.0, 3.0):
                raise Meaningless("of matrices the powers -1, 2 and 3 are known here")
            return Value(torch.linalg.matrix_power(base.tensor, int(power)), MATRIX)
        if base.kind != NUMBER:
            raise Meaningless(rf"a {base.kind} has no powers: write \|…\|^2 or a product")
        if self.depth == 0 and base.tensor.ndim == exponent.tensor.ndim == 1:
            root = (base.tensor < 0) & (exponent.tensor != exponent.tensor.round())
            self.outside = self._note(self.outside, root)
        return Value(base.tensor**exponent.tensor)

    def _call(self, node: Node) -> Value:
        name, *parts = node.args
        if name == "log":
            return self._log(parts[0])
        values = [self(part) for part in parts]
        if name in {"max", "min"}:
            if any(v.kind != NUMBER for v in values):
                raise Meaningless(f"{name} is of numbers here")
            pick = torch.maximum if name == "max" else torch.minimum
            total = values[0].tensor
            for v in values[1:]:
                total = pick(total, v.tensor)
            return Value(total)
        if values[0].kind == MATRIX:
            raise Meaningless(f"{name} of a matrix is not known here")
        return Value(_ELEMENTWISE[name](values[0].tensor), values[0].kind)

    def _log(self, node: Node) -> Value:
        """The logarithm; of densities and products with them without leaving the logarithms, so
        that far from everything it is a large number and not −∞.
        """
        if node.op in {"normal", "law"} and self._far(node):
            return Value(self._log_density(node))
        if node.op == "call" and node.args[0] == "exp":
            return self(node.args[1])
        if node.op == "pow" and self._far(node.args[0]):
            return Value(self._number(node.args[1]) * self._log(node.args[0]).tensor)
        if node.op in {"mul", "div"} and any(self._far(part) for _, part in node.parts()):
            signs = [1] * len(node.args) if node.op == "mul" else [1, -1]
            total: Tensor | float = 0.0
            rest = [p for p in node.args if not self._far(p)]
            for part, sign in zip(node.args, signs, strict=True):
                if self._far(part):
                    total = total + sign * self._log(part).tensor
            if rest and node.op == "mul":
                total = total + self._number(Node("mul", tuple(rest))).log()
            elif rest:
                sign = 1 if rest[0] is node.args[0] else -1
                total = total + sign * self._number(rest[0]).log()
            assert isinstance(total, Tensor)
            return Value(total)
        value = self(node)
        if value.kind == MATRIX:
            raise Meaningless("the logarithm of a matrix is not known here")
        if value.kind == NUMBER and value.tensor.ndim == 1:
            self.outside = self._note(self.outside, value.tensor < 0)
        return Value(value.tensor.log(), value.kind)

    def _far(self, node: Node) -> bool:
        """Is it a density on the line or an exponential, or a product or quotient with one?"""
        if node.op == "normal" or node.op == "call" and node.args[0] == "exp":
            return True
        if node.op == "pow":
            return self._far(node.args[0])
        if node.op == "law":
            return self.scene.joints[node.args[0]].table is None
        return node.op in {"mul", "div"} and any(self._far(part) for _, part in node.parts())

    def _number(self, node: Node) -> Tensor:
        value = self(node if len(node.args) > 1 or node.op != "mul" else node.args[0])
        if value.kind != NUMBER:
            raise Meaningless(f"a number should stand here, and not a {value.kind}")
        return value.tensor

    def _log_density(self, node: Node) -> Tensor:
        if node.op == "normal":
            return self._log_normal(node)
        name, over, given = node.args
        joint = self.scene.joints[name]
        above = self._log_mixture(joint, [*over, *given])
        return above - self._log_mixture(joint, list(given)) if given else above

    def _log_mixture(self, joint: Joint, letters: list[str]) -> Tensor:
        total = joint.parts[""].T.log().view(-1, *[1] * self.depth, self.scene.points)
        for letter in letters:
            if letter not in joint.letters:
                raise Meaningless(f"{joint.name} is no distribution of {letter}")
            total = total + self._factor(joint, letter)
        return total.logsumexp(0)

    def _abs(self, node: Node) -> Value:
        value = self(node.args[0])
        if value.kind == MATRIX:
            return Value(torch.linalg.det(value.tensor))  # |A| is the determinant
        if value.kind != NUMBER:
            raise Meaningless(rf"write the length of a {value.kind} as \|…\|")
        return Value(value.tensor.abs())

    def _norm(self, node: Node) -> Value:
        value = self(node.args[0])
        square = value.tensor.square()
        return Value(square.flatten(square.ndim - value.dims).sum(-1).sqrt() if value.dims
                     else value.tensor.abs())  # fmt: skip

    # -- matrices ------------------------------------------------------------------------------
    def _transpose(self, node: Node) -> Value:
        value = self(node.args[0])
        turned = {VECTOR: ROW, ROW: VECTOR}
        if value.kind in turned:
            return Value(value.tensor, turned[value.kind])
        return Value(value.tensor.mT, MATRIX) if value.kind == MATRIX else value

    def _trace(self, node: Node) -> Value:
        value = self(node.args[0])
        if value.kind == NUMBER:
            return value
        self._square(value, "trace")
        return Value(value.tensor.diagonal(dim1=-2, dim2=-1).sum(-1))

    def _det(self, node: Node) -> Value:
        value = self(node.args[0])
        self._square(value, "determinant")
        return Value(torch.linalg.det(value.tensor))

    def _square(self, value: Value, what: str) -> None:
        if value.kind != MATRIX or value.tensor.shape[-1] != value.tensor.shape[-2]:
            raise Meaningless(f"only a square matrix has a {what}")

    def _diag(self, node: Node) -> Value:
        value = self(node.args[0])
        if value.kind == MATRIX:
            return Value(value.tensor.diagonal(dim1=-2, dim2=-1), VECTOR)
        if value.kind == NUMBER:
            raise Meaningless("diag takes a vector or a matrix")
        return Value(torch.diag_embed(value.tensor), MATRIX)

    def _softmax(self, node: Node) -> Value:
        value = self(node.args[0])
        if value.kind == NUMBER:
            raise Meaningless("softmax takes a vector, or the rows of a matrix")
        return Value(value.tensor.softmax(-1), value.kind)

    def _identity(self, node: Node) -> Value:
        sizes = {self.scene.length(t.shape[0]) for t in self.scene.world.names.values() if t.shape}
        sizes = {self.eye} if self.eye else sizes
        if len(sizes) != 1:
            raise Meaningless("how large is I? There are vectors of several lengths here")
        return Value(torch.eye(sizes.pop(), dtype=torch.float64)[None], MATRIX)

    # -- names -----------------------------------------------------------------------------------
    def _name(self, node: Node) -> Value:
        name, *index = node.args
        thing = self._thing(name)
        if name in self.at:
            if thing and thing.kind == FINITE:
                return Value(self.values[name.rstrip("'")][:, self.at[name]])
            return Value(torch.tensor([float(self.at[name])], dtype=torch.float64))
        if name in self.scene.sizes:
            return Value(torch.tensor([float(self.scene.sizes[name])], dtype=torch.float64))
        if thing is not None and thing.kind == DEFINED:
            return self._defined(name, thing.letters, [self._place(i) for i in index], node)
        if thing is not None and thing.kind == RANDOM:
            return self._entry(name, self._random(name), index)
        if name not in self.values:
            raise Meaningless(f"{name} has no value here: sum over it, or take a mean")
        return self._entry(name, self.values[name], index)

    def _thing(self, name: str) -> Thing | None:
        """What the world calls so; x' is another x."""
        names = self.scene.world.names
        other = names.get(name.rstrip("'"))
        return names.get(name) or (other if other and other.kind in {FINITE, REAL} else None)

    def _entry(self, name: str, tensor: Tensor, index: list[Node]) -> Value:
        entries = len(self.scene.world.shape(name))
        if len(index) > entries:
            raise Meaningless(f"{name} has {entries} indices, not {len(index)}")
        for k, i in enumerate(index):
            at, axis = self._place(i), tensor.ndim - entries + k
            if not 1 <= at <= tensor.shape[axis]:
                raise Meaningless(f"{name} has no entry number {at}")
            tensor = tensor.select(axis, at - 1)
            entries, k = entries - 1, k
            if len(index) > 1:  # the next index is of what is left
                return self._entry_rest(name, tensor, index[1:], entries)
        return Value(tensor, (NUMBER, VECTOR, MATRIX)[entries])

    def _entry_rest(self, name: str, tensor: Tensor, index: list[Node], entries: int) -> Value:
        at = self._place(index[0])
        if not 1 <= at <= tensor.shape[-entries]:
            raise Meaningless(f"{name} has no entry number {at}")
        return Value(tensor.select(tensor.ndim - entries, at - 1), (NUMBER, VECTOR)[entries - 1])

    def _place(self, node: Node) -> int:
        """An index as a whole number, from 1."""
        if node.op == "num":
            return int(node.args[0])
        if node.op == "neg":
            return -self._place(node.args[0])
        if node.op == "add":
            return sum(self._place(part) for part in node.args)
        name = node.args[0]
        if name in self.at:
            return self.at[name]
        if name in self.scene.sizes:
            return self.scene.sizes[name]
        raise Meaningless(f"{name} is no index here")

    def _random(self, name: str) -> Tensor:
        """(M, 1, …, P, entries): the outcomes lie along the level of the mean that is taken."""
        if not self.outcomes:
            raise Meaningless(rf"{name} is random: its mean, \mathbb{{E}}[…], has a value")
        tensor = self.values[name]
        extra = self.outcomes - 1
        return tensor[(slice(None), *[None] * extra)]

    def _defined(self, name: str, letters: tuple[str, ...], places: list[int], node: Node) -> Value:
        if name not in self._definitions:
            source = self.scene.world.names[name].source
            self._definitions[name] = read_definition(source, letters, self.scene.world)
        if len(places) != len(letters):
            if all(x in self.at or x in self.values for x in letters):
                return self(self._definitions[name])
            raise Meaningless(f"{name} is defined for each {', '.join(letters)}: write its index")
        with self._set(dict(zip(letters, places, strict=True))):
            return self(self._definitions[name])

    # -- sums and integrals ----------------------------------------------------------------------
    def _sum(self, node: Node) -> Value:
        return self._over(node, torch.add)

    def _prod(self, node: Node) -> Value:
        return self._over(node, torch.mul)

    def _over(self, node: Node, join) -> Value:
        letter, low, high, body = node.args
        total: Value | None = None
        places, inside = self._range(letter, low, high, body)
        for at in places:
            with self._set({letter: at}):
                value = self(body)
            if join is torch.mul and value.kind != NUMBER:
                raise Meaningless("a product is of numbers here")
            if inside is not None:  # a limit that is not the same at all points
                neutral = torch.full_like(value.tensor, float(join is torch.mul))
                here = ((at >= inside[0]) & (at <= inside[1]))[(..., *[None] * value.dims)]
                value = Value(torch.where(here, value.tensor, neutral), value.kind)
            total = value if total is None else Value(join(total.tensor, value.tensor), value.kind)
        if total is None:  # nothing to add up
            return Value(torch.tensor([0.0 if join is torch.add else 1.0], dtype=torch.float64))
        return total

    def _range(self, letter: str, low, high, body: Node) -> tuple[range, tuple | None]:
        """Where a letter goes, and the first and last place at each point where they vary."""
        thing = self._thing(letter)
        if thing is not None and thing.kind == FINITE:
            return range(thing.size), None
        if thing is not None and thing.kind == REAL:
            raise Meaningless(rf"{letter} is a real letter: write \int …\,d{letter}")
        first = torch.ones(1) if low is None else self._whole(low)
        last = self._whole(high) if high is not None else (
            torch.tensor([self._length_of(letter, body)]))  # fmt: skip
        whole = range(int(first.min()), int(last.max()) + 1)
        if len(whole) > 21:
            raise Meaningless("a sum has at most 20 terms here")
        same = bool((first == first[0]).all()) and bool((last == last[0]).all())
        return whole, None if same else (first, last)

    def _whole(self, node: Node) -> Tensor:
        values = self(node).tensor
        if values.ndim > 1 or not bool((values == values.round()).all()):
            raise Meaningless("a sum's limits must be whole numbers")
        return values

    def _length_of(self, letter: str, body: Node) -> int:
        found = set()
        for node in _all(body):
            if node.op == "name":
                shape = self.scene.world.shape(node.args[0])
                for axis, index in enumerate(node.args[1:]):
                    if index.op == "name" and index.args[0] == letter and axis < len(shape):
                        found.add(self.scene.length(shape[axis]))
        if len(found) != 1:
            raise Meaningless(f"how far does {letter} run? Write the upper limit")
        return found.pop()

    def _integral(self, node: Node) -> Value:
        letter, low, high, body = node.args
        thing = self._thing(letter)
        if thing is not None and thing.kind == FINITE:
            return self._over(Node("sum", (letter, None, None, body)), torch.add)
        a, b = (None if end is None else self(end).tensor for end in (low, high))
        nodes, weights = self._nodes(a, b)
        return self._along(letter, nodes, weights, body)

    def _nodes(self, a: Tensor | None, b: Tensor | None) -> tuple[Tensor, Tensor]:
        """The nodes and weights of an integral from a to b; None is infinite."""
        if a is None and b is None:
            return whole_line(self.fine, self.end)
        if a is not None and b is not None:
            x, w = gauss(max(16, self.fine // 5))
            half = (b - a) / 2
            return (a + b) / 2 + half * _column(x, half), half * _column(w, half)
        x, w = half_line(self.fine, self.end)
        end = a if a is not None else b
        assert end is not None
        sign = 1.0 if a is not None else -1.0
        return end + sign * _column(x, end), _column(w, end).expand(len(w), *end.shape)

    def _along(self, letter: str, nodes: Tensor, weights: Tensor, body: Node) -> Value:
        """∫ over ``letter``: its nodes lie along a new, outermost level."""
        extra = self.depth + 1 - (nodes.ndim - 1)
        shape = (len(nodes), *[1] * max(0, extra), *nodes.shape[1:])
        before = self.values.get(letter)
        self.values[letter] = nodes.reshape(shape)
        self.open.append(len(nodes))
        if math.prod(self.open) * self.scene.points > MOST:
            raise Meaningless("too many integrals inside one another: this is not checked")
        value = self(body)
        self.open.pop()
        if before is None:
            del self.values[letter]
        else:
            self.values[letter] = before
        w = weights.reshape(shape)
        scaled = value.tensor * w[(..., *[None] * value.dims)]
        if self.depth == 0:
            size = scaled.detach().abs().sum(0)
            self.masses.append(size.flatten(size.ndim - value.dims).sum(-1) if value.dims else size)
        return Value(scaled.sum(0), value.kind)

    # -- probability -----------------------------------------------------------------------------
    def _law(self, node: Node) -> Value:
        name, over, given = node.args
        joint = self.scene.joints[name]
        primed = [x for x in (*over, *given) if x.endswith("'") and x not in joint.letters]
        if primed:
            return self._unprimed(node, primed)
        mine, known = self._resolve(over, joint), self._resolve(given, joint)
        for letter in (*mine, *known):
            if letter not in joint.letters:
                raise Meaningless(f"{name} is no distribution of {letter}")
        if not set(joint.given) <= set(known):
            missing = ", ".join(x for x in joint.given if x not in known)
            raise Meaningless(f"{name} is known only given {missing}")
        if not mine:
            return Value(torch.ones(1, dtype=torch.float64))
        below = [x for x in known if x in joint.over]
        return Value(self._marginal(joint, [*mine, *below]) / self._marginal(joint, below))

    def _unprimed(self, node: Node, primed: list[str]) -> Value:
        """p(x'): the same distribution at another x."""
        letters = {x: x.rstrip("'") for x in primed}
        own = [letters.get(x, x) for x in (*node.args[1], *node.args[2])]
        if len(set(own)) < len(own):
            raise Meaningless(f"{node.args[0]} is of one {own[0]}, not of two")
        law = Node("law", (node.args[0], *(tuple(letters.get(x, x) for x in part)
                                           for part in node.args[1:])))  # fmt: skip
        before = dict(self.values)
        self.values.update({new: self.values[old] for old, new in letters.items()
                            if old in self.values})  # fmt: skip
        with self._set({new: self.at[old] for old, new in letters.items() if old in self.at}):
            value = self(law)
        self.values = before
        return value

    def _resolve(self, letters: tuple[str, ...], joint: Joint) -> list[str]:
        """``x_<t`` and ``x_t`` as the letters that they are at this t: x_1, x_2, …"""
        found = []
        for letter in letters:
            stem, _, index = letter.rpartition("_")
            if letter in joint.letters or not stem:
                found.append(letter)
                continue
            numbered = sorted(x for x in joint.letters if x.rpartition("_")[0] == stem)
            low, high = 1, len(numbered)
            if index[0] in "<≤":
                high = self._letter_number(index[1:]) - (index[0] == "<")
            elif ":" in index:
                low, high = (self._letter_number(part) for part in index.split(":"))
            else:
                low = high = self._letter_number(index)
            found += [f"{stem}_{k}" for k in range(low, high + 1)]
        return found

    def _letter_number(self, text: str) -> int:
        stem, sign, more = text.partition("-") if "-" in text else text.partition("+")
        number = int(stem) if stem.isdigit() else self.at.get(stem, self.scene.sizes.get(stem))
        if number is None:
            raise Meaningless(f"{stem} is no index here")
        return number + (int(f"{sign}{more}") if more else 0)

    def _marginal(self, joint: Joint, letters: list[str]) -> Tensor:
        """The density of these letters where they stand; those given keep their value."""
        if not letters:
            return torch.ones(1, dtype=torch.float64)
        if joint.table is not None:
            table, kept = joint.table, (*letters, *joint.given)
            for axis in range(len(joint.letters) - 1, -1, -1):
                if joint.letters[axis] not in kept:
                    table = table.sum(axis + 1)
            order = [x for x in joint.letters if x in kept]
            return table[(slice(None), *(self._at(x) for x in order))]
        return self._log_mixture(joint, letters).exp()

    def _at(self, letter: str) -> int:
        if letter not in self.at:
            raise Meaningless(f"{letter} is free here: sum over it, or take a mean")
        return self.at[letter]

    def _factor(self, joint: Joint, letter: str) -> Tensor:
        """(K, levels, P): the logarithm of each part's density of one letter."""
        part = joint.parts[letter]
        levels = [1] * self.depth
        if part.shape[-1] != 2 or self.scene.world.names[letter].kind == FINITE:
            return part[:, :, self._at(letter)].T.reshape(part.shape[1], *levels, -1).log()
        mean, sd = (part[:, :, k].T.reshape(part.shape[1], *levels, -1) for k in (0, 1))
        x = self.values[letter]
        return -((x - mean) ** 2) / (2 * sd**2) - sd.log() - math.log(2 * math.pi) / 2

    def _normal(self, node: Node) -> Value:
        point, mean, variance = node.args
        if point is None:
            raise Meaningless("say where: N(x; mean, variance)")
        log = self._log_normal(node)
        if log.ndim == 1:
            self.lost = self._note(self.lost, log < -700)
        return Value(log.exp())

    def _log_normal(self, node: Node) -> Tensor:
        point, mean, variance = node.args
        if point is None:
            raise Meaningless("say where: N(x; mean, variance)")
        x, m, v = self._beside_point(point, mean, variance)
        if x.kind == NUMBER and m.kind == NUMBER:
            if v.kind != NUMBER:
                raise Meaningless("the variance of a number is a number")
            gap = x.tensor - m.tensor
            return -(gap**2) / (2 * v.tensor) - (2 * math.pi * v.tensor).log() / 2
        gap = self._add_values(x, m, -1)
        d = gap.shape[-1]
        if v.kind == NUMBER:
            return -(gap**2).sum(-1) / v.tensor / 2 - d / 2 * (2 * math.pi * v.tensor).log()
        square = (gap * torch.linalg.solve(v.tensor, gap.unsqueeze(-1))[..., 0]).sum(-1)
        return -square / 2 - torch.linalg.det(2 * math.pi * v.tensor).log() / 2

    def _beside_point(self, point: Node, mean: Node, variance: Node) -> tuple[Value, Value, Value]:
        x, before = self(point), self.eye
        self.eye = x.tensor.shape[-1] if x.kind == VECTOR else before
        m, v = self(mean), self(variance)
        self.eye = before
        return x, m, v

    def _add_values(self, a: Value, b: Value, sign: int) -> Tensor:
        if b.kind == NUMBER:
            return a.tensor + sign * b.tensor[..., None]
        self._same_entries(a, b)
        return a.tensor + sign * b.tensor

    def _expect(self, node: Node) -> Value:
        letters, law, body = node.args
        return self._mean_over(list(letters), law, body)

    def _mean_over(self, letters: list[str], law: Node, body: Node) -> Value:
        """Σ or ∫ over the letters of their density times the body."""
        if law.op == "law" and law.args[1] != tuple(letters) and len(letters) == 1:
            law = Node("law", (law.args[0], (letters[0],), law.args[2]))
        if law.op == "normal" and len(letters) == 1:
            return self._mean_under_normal(letters[0], law, body)
        inner = Node("mul", (law, body))
        for letter in reversed(letters):
            thing = self.scene.world.names.get(letter)
            finite = thing is not None and thing.kind == FINITE
            inner = (Node("sum", (letter, None, None, inner)) if finite
                     else Node("integral", (letter, None, None, inner)))  # fmt: skip
        return self(inner)

    def _mean_under_normal(self, letter: str, law: Node, body: Node) -> Value:
        """Nodes that follow the distribution: m + s·u, with u on the line."""
        thing = self.scene.world.names.get(letter)
        if thing is not None and thing.kind == FINITE:
            raise Meaningless(f"{letter} has {thing.size} values, and is not normal")
        if thing is not None and thing.shape:
            raise Meaningless(f"a mean over the vector {letter} is not taken here: only of numbers")
        m, s = self._number(law.args[1]), self._number(law.args[2]).sqrt()
        u, w = whole_line(self.fine, self.end)
        m, s = torch.broadcast_tensors(m, s)
        nodes = m + s * _column(u, m)
        density = (-(u**2) / 2).exp() / math.sqrt(2 * math.pi)
        weights = _column(w * density, m).expand(nodes.shape)
        return self._along(letter, nodes, weights, body)

    def _divergence(self, node: Node) -> Value:
        kind, letters, p, q = node.args
        letters = list(letters)
        if p.op == "normal" and q.op == "normal" and not letters:
            letters, p, q = ["·"], self._at_point(p), self._at_point(q)
        elif p.op == "normal" or q.op == "normal":
            here = Node("name", (letters[0],))
            p, q = (Node("normal", (here, *n.args[1:])) if n.op == "normal" else n for n in (p, q))
        if not letters:
            raise Meaningless("of which letter are these distributions?")
        if kind == "KL" and p.op == "normal" and len(letters) == 1:
            logs = (Node("call", ("log", p)), Node("neg", (Node("call", ("log", q)),)))
            return self._mean_under_normal(letters[0], p, Node("add", logs))
        body = _relative(p, q) if kind == "KL" else _jensen_shannon(p, q)
        for letter in reversed(letters):
            thing = self.scene.world.names.get(letter)
            finite = thing is not None and thing.kind == FINITE
            op = "sum" if finite else "integral"
            body = Node(op, (letter, None, None, body))
        return self(body)

    def _entropy(self, node: Node) -> Value:
        """H(p) = −Σ p log p, and H(p, q) = −Σ p log q; integrals for densities."""
        letters, p, q = node.args
        return self(Node("neg", (Node("expect", (letters, p, Node("call", ("log", q)))),)))

    def _at_point(self, law: Node) -> Node:
        return Node("normal", (Node("name", ("·",)), *law.args[1:]))

    def _mean(self, node: Node) -> Value:
        """E[…] over everything that is random; inside of one, another is of fresh draws."""
        if self.scene.weights is None:
            raise Meaningless(r"nothing is random here: write \mathbb{E}_{x\sim p}[…]")
        before, self.outcomes = self.outcomes, self.depth + 1
        self.open.append(len(self.scene.weights))
        value = self(node.args[0])
        self.open.pop()
        self.outcomes = before
        w = self.scene.weights
        w = w.view(len(w), *[1] * self.depth, self.scene.points)
        scaled = value.tensor * w[(..., *[None] * value.dims)]
        return Value(scaled.sum(0), value.kind)

    def _moment(self, node: Node) -> Value:
        word, letters, law, *parts = node.args

        def mean(body: Node) -> Node:
            return Node("expect", (letters, law, body)) if law else Node("mean", (body,))

        a, b = parts[0], parts[-1]
        both = mean(Node("mul", (a, b)))
        apart = Node("mul", (mean(a), mean(b)))
        if word == "Var" and self._kind_of_mean(a, mean) == VECTOR:
            raise Meaningless("the variance of a vector is a matrix: write it as a mean")
        return self(Node("add", (both, Node("neg", (apart,)))))

    def _kind_of_mean(self, body: Node, mean) -> str:
        return self(mean(body)).kind

    # -- functions and derivatives -----------------------------------------------------------------
    def _apply(self, node: Node) -> Value:
        name, *arguments = node.args
        made = self.scene.functions[name]
        thing = self.scene.world.names[name]
        wanted = max(1, len(thing.letters))
        if len(arguments) != wanted:
            raise Meaningless(f"{name} takes {wanted} argument{'s' * (wanted > 1)}")
        if "table" in made:
            places = []
            for argument, letter in zip(arguments, thing.letters, strict=True):
                if argument.op != "name" or argument.args[0] not in self.at:
                    raise Meaningless(f"{name} is a table of {letter}: write {name}({letter})")
                own = self._thing(argument.args[0])
                if own is None or own.size != self.scene.world.names[letter].size:
                    raise Meaningless(f"{name} is a table of {letter}, not of {argument.args[0]}")
                places.append(self.at[argument.args[0]])
            return Value(made["table"][(slice(None), *places)])
        values = [self(argument) for argument in arguments]
        if any(v.kind != NUMBER for v in values):
            raise Meaningless(f"{name} is a function of numbers here")
        return Value(_smooth(made, thing.flags, [v.tensor for v in values]))

    def _diff(self, node: Node) -> Value:
        name, index, times, body = node.args
        if name not in self.values or self.scene.world.kind(name) in {FINITE, INTEGER, RANDOM}:
            raise Meaningless(f"one cannot derive by {name}: it is no number that moves")
        entries = len(self.scene.world.shape(name))
        before = self.values[name]
        batch = (*reversed(self.open), self.scene.points)
        moving = before.expand(*batch, *before.shape[before.ndim - entries :]).clone()
        with torch.enable_grad():
            moving.requires_grad_(True)
            self.values[name] = moving
            value = self(body)
            if value.kind != NUMBER:
                raise Meaningless(f"the derivative of a {value.kind} is not known here")
            result = value.tensor.expand(batch)
            for _ in range(times):
                result = self._grad(result, moving)
                if entries and times > 1:
                    raise Meaningless("second derivatives by vectors are not known here")
        self.values[name] = before
        result = result if torch.is_grad_enabled() else result.detach()
        if entries and index:
            at = [self._place(i) - 1 for i in index]
            return Value(result[(..., *at)])
        return Value(result, (NUMBER, VECTOR, MATRIX)[entries])

    def _grad(self, result: Tensor, moving: Tensor) -> Tensor:
        if not result.requires_grad:
            return torch.zeros_like(moving)
        (grad,) = torch.autograd.grad(result.sum(), moving, create_graph=True, allow_unused=True)
        return torch.zeros_like(moving) if grad is None else grad


def _factors(node: Node, sign: int = 1) -> Iterator[tuple[Node, int]]:
    """The factors of products and quotients; −1 for those under a line."""
    if node.op not in {"mul", "div"}:
        yield node, sign
        return
    for k, part in node.parts():
        yield from _factors(part, -sign if node.op == "div" and k else sign)


def read_definition(source: str, letters: tuple[str, ...], world) -> Node:
    """The tree of a definition, in which its own letters are known."""
    from genart_lessons.derivation.language import _Reader

    reader = _Reader(source, world)
    reader.letters += [x for x in letters if world.kind(x) is None]
    return reader.whole()


def _relative(p: Node, q: Node) -> Node:
    """p·(log p − log q)."""
    logs = Node("add", (Node("call", ("log", p)), Node("neg", (Node("call", ("log", q)),))))
    return Node("mul", (p, logs))


def _jensen_shannon(p: Node, q: Node) -> Node:
    from fractions import Fraction

    half = Node("num", (Fraction(1, 2),))
    middle = Node("mul", (half, Node("add", (p, q))))
    return Node("mul", (half, Node("add", (_relative(p, middle), _relative(q, middle)))))


def _smooth(made: dict[str, Tensor], flags: frozenset[str], x: list[Tensor]) -> Tensor:
    """Σ_k a_k·h(b_k·x + c_k) and a straight line; h = tanh, or softplus where it bends one way."""
    total: Tensor | None = None
    bends = "concave" in flags or "convex" in flags
    for k in range(made["a"].shape[1] - 1):
        inside = made["c"][:, k]
        for n, each in enumerate(x):
            slope = made["b"][:, k, n]
            inside = inside + (slope.abs() if "increasing" in flags else slope) * each
        h = inside.tanh() if not bends else (
            -_softplus(-inside) if "concave" in flags else _softplus(inside))  # fmt: skip
        a = made["a"][:, k]
        a = a.abs() if bends or "increasing" in flags else a
        term = a * h
        total = term if total is None else total + term
    assert total is not None
    total = total + made["more"]
    for n, each in enumerate(x):
        slope = made["b"][:, -1, n] / 2
        total = total + (slope.abs() if "increasing" in flags else slope) * each
    low, high = float(made["low"]), float(made["high"])
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) * torch.sigmoid(total)
    if math.isfinite(low) or "positive" in flags:
        return (low if math.isfinite(low) else 0.0) + (0.7 * total).exp()
    return total


def _softplus(x: Tensor) -> Tensor:
    return x.clamp(min=0) + torch.log1p((-x.abs()).exp())


def _column(x: Tensor, like: Tensor) -> Tensor:
    return x.view(-1, *[1] * like.ndim)


@cache
def whole_line(n: int, share: float = 1.0) -> tuple[Tensor, Tensor]:
    """Nodes and weights on the line: the trapezium rule in t, x = 1.5·sinh t.

    A grid that ends earlier, at a ``share``, differs where the tails still count.
    """
    end = 4.9 * share
    t = torch.linspace(-end, end, n, dtype=torch.float64)
    return (1.5 * t.sinh()).view(-1, 1), (1.5 * t.cosh() * (t[1] - t[0])).view(-1, 1)


@cache
def half_line(n: int, share: float = 1.0) -> tuple[Tensor, Tensor]:
    """From 0 to ∞: x = exp(t − exp(−t)); a ``share`` ends earlier, as above."""
    end = 6.5 * share
    t = torch.linspace(-4.0, end, n, dtype=torch.float64)
    x = (t - (-t).exp()).exp()
    return x, x * (1 + (-t).exp()) * (t[1] - t[0])


@cache
def gauss(n: int) -> tuple[Tensor, Tensor]:
    """Gauss and Legendre's rule on [−1, 1]."""
    import numpy

    x, w = numpy.polynomial.legendre.leggauss(n)
    return torch.from_numpy(x), torch.from_numpy(w)


__all__ = ["Evaluator", "Meaningless", "Value", "read", "ARRAY", "FUNCTION"]
