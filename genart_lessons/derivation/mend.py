"""What would mend a broken link: the known slips, tried one after the other on its right side.

Each slip is a small edit of the tree. The first edit with which the link holds at every point is
told, in words and with the piece of the formula that it is about. Only one edit at a time: a line
with two slips is told that it is broken, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from genart_lessons.derivation.language import Node
from genart_lessons.derivation.links import HOLDS, judge, plausible
from genart_lessons.derivation.world import NUMBER, World

MOST_EDITS = 160


class Edit(NamedTuple):
    words: str
    tree: Node
    relation: str = ""


def mend(left: Node, relation: str, right: Node, world: World, source: str) -> str:
    """The slip that explains a broken link, in words; "" where none of the known ones does."""
    turned = {"≤": "≥", "≥": "≤"}.get(relation)
    if turned and judge(left, turned, right, world).state == HOLDS:
        return f"the sign is turned round: {turned} holds"
    for edit in list(edits(right, world, source))[:MOST_EDITS]:
        if not plausible(left, relation, edit.tree, world):
            continue
        if judge(left, relation, edit.tree, world).state == HOLDS:
            return edit.words
    if relation == "=":
        for sign in ("≤", "≥"):
            if judge(left, sign, right, world).state == HOLDS:
                return f"the two sides are not equal, but {sign} holds"
    return ""


def edits(tree: Node, world: World, source: str) -> Iterator[Edit]:
    """All single slips undone, the likeliest first."""

    def said(node: Node) -> str:
        text = source[node.start : node.end].strip()
        text = text.replace(r"\left", "").replace(r"\right", "")
        return text if text.count("(") == text.count(")") else text.rstrip(")")

    for path, node in places(tree):
        if node.op == "add":
            for k, part in enumerate(node.args):
                flipped = part.args[0] if part.op == "neg" else Node("neg", (part,))
                yield Edit(f"the sign of {said(part)} is turned round",
                           put(tree, path, node.with_part(k, flipped)))  # fmt: skip
    yield Edit("the sign of the whole is turned round", Node("neg", (tree,)))
    for path, node in places(tree):
        if node.op == "divergence":
            kind, letters, p, q = node.args
            yield Edit("the two distributions of the divergence have changed places",
                       put(tree, path, replace(node, args=(kind, letters, q, p))))  # fmt: skip
        if node.op == "law" and len(node.args[1]) == 1 == len(node.args[2]):
            name, over, given = node.args
            other = replace(node, args=(name, given, over))
            yield Edit(f"{said(node)} is turned round: {name}({given[0]} | {over[0]}) is meant",
                       put(tree, path, other))  # fmt: skip
        if node.op == "law" and node.args[2]:
            name, over, given = node.args
            whole = replace(node, args=(name, (*over, *given), ()))
            yield Edit(f"the joint {name}({', '.join((*over, *given))}) stands for {said(node)}",
                       put(tree, path, whole))  # fmt: skip
            yield Edit(f"{name}({', '.join(over)}) without a condition stands for {said(node)}",
                       put(tree, path, replace(node, args=(name, over, ()))))  # fmt: skip
        if node.op == "law" and not node.args[2]:
            yield from _conditions(tree, path, node, world, said)
    for path, node in places(tree):
        if node.op in {"add", "mul", "div"} or path == ():
            for words, factor in (("a half", Fraction(1, 2)), ("a factor 2", Fraction(2))):
                scaled = Node("mul", (Node("num", (factor,)), node))
                yield Edit(f"{words} is missing before {said(node)}", put(tree, path, scaled))
        if node.op == "add":
            for k, part in enumerate(node.args):
                rest = tuple(p for i, p in enumerate(node.args) if i != k)
                kept = rest[0] if len(rest) == 1 else replace(node, args=rest)
                yield Edit(f"the term {said(part)} is too much", put(tree, path, kept))
                for words, factor in (("a half", Fraction(1, 2)), ("a factor 2", Fraction(2))):
                    scaled = Node("mul", (Node("num", (factor,)), part))
                    yield Edit(f"{words} is missing before {said(part)}",
                               put(tree, path, node.with_part(k, scaled)))  # fmt: skip
    for path, node in places(tree):
        if node.op == "name" and world.kind(node.args[0]) in {NUMBER, "array"}:
            square = Node("pow", (node, Node("num", (Fraction(2),))))
            yield Edit(f"{said(node)} should be squared", put(tree, path, square))
            root = Node("pow", (node, Node("num", (Fraction(1, 2),))))
            yield Edit(f"the root of {said(node)} belongs here", put(tree, path, root))
            over = Node("div", (Node("num", (Fraction(1),)), node))
            yield Edit(f"1/{said(node)} should stand for {said(node)}", put(tree, path, over))
        if node.op == "pow":
            yield Edit(f"the power of {said(node)} is too much", put(tree, path, node.args[0]))
        if node.op == "norm":
            square = Node("pow", (node, Node("num", (Fraction(2),))))
            yield Edit(f"{said(node)} should be squared", put(tree, path, square))
        if node.op == "call" and node.args[0] in {"log", "exp"}:
            yield Edit(
                f"the {node.args[0]} of {said(node)} is too much", put(tree, path, node.args[1])
            )
        if node.op == "div":
            turned = replace(node, args=(node.args[1], node.args[0]))
            yield Edit(f"the fraction {said(node)} stands on its head", put(tree, path, turned))
        if node.op == "transpose":
            yield Edit(f"the transpose in {said(node)} is too much", put(tree, path, node.args[0]))
        if node.op in {"mul", "dot"} and len(node.args) == 2:
            turned = replace(node, args=(node.args[1], node.args[0]))
            yield Edit(f"the factors of {said(node)} have changed places", put(tree, path, turned))
        if node.op == "name" and len(node.args) == 1 and world.shape(node.args[0]):
            flipped = Node("transpose", (node,))
            yield Edit(f"{said(node)} should be transposed", put(tree, path, flipped))
    yield from _numbers(tree, said)
    yield from _exchanges(tree, world, said)


def _conditions(tree: Node, path, node: Node, world: World, said) -> Iterator[Edit]:
    name, over, _ = node.args
    letters = [x for law in world.tables(name) for x in (*law.over, *law.given)]
    for other in dict.fromkeys(letters):
        if other in over:
            if len(over) > 1:
                rest = tuple(x for x in over if x != other)
                made = replace(node, args=(name, rest, (other,)))
                yield Edit(f"{name}({', '.join(rest)} | {other}) stands for {said(node)}",
                           put(tree, path, made))  # fmt: skip
        else:
            made = replace(node, args=(name, over, (other,)))
            yield Edit(f"the condition is missing: {name}({', '.join(over)} | {other})",
                       put(tree, path, made))  # fmt: skip


def _numbers(tree: Node, said) -> Iterator[Edit]:
    """2 for ½, 1 for 2, and the like."""
    for path, node in places(tree):
        if node.op != "num":
            continue
        value = node.args[0]
        for other in (
            value / 2,
            value * 2,
            value + 1,
            value - 1,
            Fraction(1, value) if value else None,
        ):
            if other is not None and other != value:
                words = f"{other} should stand where {value} stands"
                yield Edit(words, put(tree, path, replace(node, args=(Fraction(other),))))


def _exchanges(tree: Node, world: World, said) -> Iterator[Edit]:
    """Two numbers of the world that have changed places, everywhere or at one place."""
    names = sorted({n.args[0] for _, n in places(tree) if n.op == "name" and len(n.args) == 1})
    numbers = [n for n in names if world.kind(n) == NUMBER]
    for i, a in enumerate(numbers):
        for b in numbers[i + 1 :]:
            yield Edit(f"{a} and {b} have changed places", _renamed(tree, {a: b, b: a}))
    for path, node in places(tree):
        if node.op == "name" and node.args[0] in numbers:
            for other in world.names:
                if other != node.args[0] and world.kind(other) == NUMBER:
                    made = replace(node, args=(other,))
                    yield Edit(
                        f"{other} should stand where {node.args[0]} stands", put(tree, path, made)
                    )


def _renamed(node: Node, names: dict[str, str]) -> Node:
    if node.op == "name" and node.args[0] in names:
        return replace(node, args=(names[node.args[0]], *node.args[1:]))
    for k, part in node.parts():
        node = node.with_part(k, _renamed(part, names))
    return node


def places(node: Node, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Node]]:
    """Every node with the way to it."""
    yield path, node
    for k, part in node.parts():
        yield from places(part, (*path, k))


def put(tree: Node, path: tuple[int, ...], part: Node) -> Node:
    """The tree with ``part`` at the end of ``path``."""
    if not path:
        return part
    k, *rest = path
    return tree.with_part(k, put(tree.args[k], tuple(rest), part))
