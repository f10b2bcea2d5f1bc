r"""Read a line of mathematics in LaTeX and give a tree. Nothing in it is ever run as Python.

What can be said: arithmetic, ``\frac``, roots, powers, logarithms and their kin; sums and products
over an index (``\sum_{i=1}^{n}``) or over a variable (``\sum_z``), integrals with their ``dx``;
distributions (``p(x\mid z)``, ``\mathcal{N}(x;\mu,\sigma^2)``), expectations, variances and
divergences; derivatives ``\frac{\partial}{\partial\mu}`` and gradients ``\nabla_\mu``; vectors and
matrices of small size (``A^\top``, ``A^{-1}``, ``\mathrm{tr}``, ``\det``, ``\odot``, ``u\cdot v``).
The names are those that the world declares. What could be meant in two ways is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from genart_lessons.derivation.world import DEFINED, DENSITY, FINITE, FUNCTION, RANDOM, REAL, World
from genart_lessons.proof.spelling import FUNCTIONS, GREEK, LatexError, Tape, Token, tokens

DEEPEST, MOST_DIGITS = 60, 40
RELATIONS = {
    "=": "=", r"\ge": "≥", r"\le": "≤", ">": "≥", "<": "≤", r"\approx": "≈", r"\propto": "∝",
    r"\simeq": "≈",
}  # fmt: skip
_CALLS = {r"\log", r"\exp", r"\tanh", r"\sin", r"\cos", r"\max", r"\min", r"\sigmoid", r"\erf"}
_WORDS = {"Var", "Cov", "tr", "Tr", "trace", "diag", "KL", "JSD", "JS", "softmax"}
_OPEN = {"(": ")", "[": "]", r"\{": r"\}", "{": "}"}
_CLOSE = set(_OPEN.values())
_BARS = {"|", "|<", "‖", "‖<"}
_STOPS = _CLOSE | set(r"/ ^ _ + - , ; : ! . |> ‖> \mid \rangle = < > \ge \le \ne".split())
_STOPS |= {r"\approx", r"\propto", r"\simeq", r"\sim", r"\top", "*", r"\odot", ""}


@dataclass(frozen=True)
class Node:
    """An operation ``op`` and its ``args`` (nodes, names, numbers); where it stands in the text."""

    op: str
    args: tuple[Any, ...] = ()
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    def parts(self) -> Iterator[tuple[int, Node]]:
        """The nodes directly below, with their places among ``args``."""
        for k, each in enumerate(self.args):
            if isinstance(each, Node):
                yield k, each

    def with_part(self, k: int, part: Node) -> Node:
        return replace(self, args=(*self.args[:k], part, *self.args[k + 1 :]))


def read(source: str, world: World) -> Node:
    """The tree of one side of a line.

    Raises:
        LatexError: with the place, when it is malformed, unknown, ambiguous or too large.
    """
    reader = _Reader(source, world)
    try:
        return reader.whole()
    except RecursionError:
        raise reader.fail("the formula is nested too deeply", 0) from None


def split_line(source: str) -> list[tuple[str, str]]:
    r"""``a = b \le c`` as [("", "a"), ("=", "b"), ("≤", "c")]: cut outside of brackets.

    ``\propto_{x}`` and ``\approx_{h}`` name a letter: "∝ x", "≈ h". Raises LatexError for a
    side that is empty.
    """
    found = tokens(source)
    cuts, level, k = [], 0, 0
    while k < len(found):
        text = found[k].text
        level += (text in _OPEN) - (text in _CLOSE)
        if level == 0 and text in RELATIONS:
            end, letter = k + 1, ""
            if RELATIONS[text] in "∝≈" and end < len(found) and found[end].text == "_":
                end, letter = _subscript(found, end + 1)
            cuts.append((k, end, f"{RELATIONS[text]} {letter}".strip()))
            k = end
            continue
        k += 1
    edges = [0, *(at for _, end, _ in cuts for at in (end,))]
    ends = [*(k for k, _, _ in cuts), len(found)]
    sides = []
    for relation, first, last in zip(["", *(c[2] for c in cuts)], edges, ends, strict=True):
        stop = found[last].place if last < len(found) else len(source)
        start = found[first].place if first < len(found) else len(source)
        if first >= last and not (relation == "" and cuts):
            raise LatexError("there is no formula here", source, min(start, len(source)))
        sides.append((relation, source[start:stop].strip() if first < last else ""))
    return sides


def _subscript(found: list[Token], at: int) -> tuple[int, str]:
    if at < len(found) and found[at].text == "{":
        parts = []
        while at + 1 < len(found) and found[at + 1].text != "}":
            at += 1
            parts.append(_plain(found[at].text))
        return at + 2, "".join(parts)
    return at + 1, _plain(found[at].text) if at < len(found) else ""


class _Reader(Tape):
    def __init__(self, source: str, world: World):
        super().__init__(source, [*world.words(), *_WORDS])
        self.world, self.depth, self.bars = world, 0, 0
        self.letters: list[str] = []  # bound by sums, products, integrals, expectations
        self.integrals: list[str] = []

    def node(self, op: str, *args: Any, start: int) -> Node:
        return Node(op, args, start, self.place())

    # -- arithmetic ------------------------------------------------------------------------------
    def whole(self) -> Node:
        if not self.peek():
            raise self.fail("there is no formula here")
        value = self.expression()
        while self.peek() in {".", ",", ";"} and not self.peek(1):
            self.take()
        if self.peek():
            raise self.fail(f"did not expect {self.peek()} here")
        return value

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail("the brackets are nested too deeply")
        start, terms = self.place(), []
        while True:
            sign = self.take() if self.peek() in {"+", "-"} else "+"
            at = self.place()
            term = self.term()
            terms.append(self.node("neg", term, start=at) if sign == "-" else term)
            if self.peek() not in {"+", "-"}:
                break
        self.depth -= 1
        return terms[0] if len(terms) == 1 else self.node("add", *terms, start=start)

    def term(self) -> Node:
        start, factors, divided = self.place(), [self.factor()], False
        while True:
            if self.peek() in {"*", r"\odot"}:
                odot = self.tokens[self.at].text == r"\odot"
                dot = not odot and self._is_dot()
                self.take()
                right = self.factor()
                if odot or dot:
                    left = self._product(factors, start)
                    factors = [self.node("had" if odot else "dot", left, right, start=start)]
                else:
                    factors.append(right)
                divided = False
            elif self.peek() == "/":
                self.take()
                plain = factors[-1].op == "num" and self.peek()[:1].isdigit()
                left = self._product(factors, start)
                factors = [self.node("div", left, self.factor(), start=start)]
                divided = not plain
            elif self._starts_factor():
                if divided:
                    raise self.fail(r"is this under the line too? Write \frac{…}{…} or brackets")
                factors.append(self.factor())
            else:
                return self._product(factors, start)

    def _is_dot(self) -> bool:
        r"""``\cdot`` between two vectors is their inner product: known when the kinds are."""
        return self.source[self.place() :].startswith((r"\cdot", "·", "⋅"))

    def _product(self, factors: list[Node], start: int) -> Node:
        return factors[0] if len(factors) == 1 else self.node("mul", *factors, start=start)

    def _starts_factor(self) -> bool:
        text = self.peek()
        if text in {"|", "‖"}:
            return not self.bars
        if self.integrals and text == "d" and self._plain_name(1) == self.integrals[-1]:
            return False
        return bool(text) and text not in _STOPS

    def factor(self) -> Node:
        start, first = self.place(), self.peek()
        value = self.atom()
        if first[:1].isdigit() and self.peek()[:1].isdigit():
            raise self.fail("two numbers stand side by side: write a sign between them")
        while self.peek() == "^":
            value = self._power(value, start)
        return value

    def _power(self, base: Node, start: int) -> Node:
        self.take()
        braced = self.peek() == "{"
        inside = self.peek(1) if braced else self.peek()
        if inside in {r"\top", "T"} and not self.world.known("T"):
            self.at += 3 if braced else 1
            return self.node("transpose", base, start=start)
        exponent = self.argument()
        if self.peek() == "^":
            raise self.fail("two powers in a row: put brackets round the first")
        return self.node("pow", base, exponent, start=start)

    def argument(self) -> Node:
        r"""What TeX takes after ``^`` or ``\frac``: a group, or a single character."""
        text = self.peek()
        if text == "{":
            return self.bracketed()
        if text[:1].isdigit() and len(text) > 1:  # \frac12 is one half
            here = self.tokens[self.at]
            self.tokens[self.at : self.at + 1] = [
                Token(text[0], here.place), Token(text[1:], here.place + 1)
            ]  # fmt: skip
        if text in {"-", "+"}:
            raise self.fail("put braces round a signed exponent: ^{-1}")
        return self.atom()

    def bracketed(self) -> Node:
        start, opening, bars = self.place(), self.take(), self.bars
        self.bars, outside = 0, self.integrals
        self.integrals = []
        value = self.expression()
        self.bars, self.integrals = bars, outside
        self.expect(_OPEN[opening], start)
        return replace(value, start=start, end=self.place())

    def atom(self) -> Node:
        text, start = self.peek(), self.place()
        if not text:
            raise self.fail("the formula ends too early")
        if text[0].isdigit() or text[0] == "." and text[1:].isdigit():
            return self._number()
        if text in _OPEN:
            return self.bracketed()
        if text in _BARS:
            return self._between()
        if text == r"\frac":
            return self._fraction()
        if text == r"\sqrt":
            return self._root()
        if text in _CALLS:
            return self._call()
        if text == r"\sigma" and not self.world.known("sigma") and self.peek(1) == "(":
            self.tokens[self.at] = Token(r"\sigmoid", start)
            return self._call()
        if text in {r"\sum", r"\prod"}:
            return self._sum()
        if text == r"\int":
            return self._integral()
        if text == r"\nabla":
            return self._gradient()
        if text == r"\det":
            self.take()
            return self.node("det", self._operand(), start=start)
        if text == "E" and not self.world.known("E"):
            return self._expectation()
        if text in _WORDS and not self.world.known(text):
            return self._word()
        if text == "D" and self._subscripted_word() in {"KL", "JS", "JSD"}:
            return self._divergence()
        if text == "N" and not self.world.known("N") and self.peek(1) == "(":
            return self._normal()
        if (
            text == "H"
            and self.peek(1) == "("
            and not (self.world.known("H") or self.world.tables("H"))
        ):
            return self._entropy()
        if text == r"\pi" and not self.world.known("pi"):
            self.take()
            return self.node("pi", start=start)
        return self._symbol()

    def _number(self) -> Node:
        start, text = self.place(), self.take()
        if len(text) > MOST_DIGITS:
            raise self.fail("this number is too large to check", start)
        return self.node("num", Fraction(text.rstrip(".")), start=start)

    def _between(self) -> Node:
        start, opening, bars = self.place(), self.take(), self.bars
        self.bars = 1
        value = self.expression()
        self.bars = bars
        closing = opening.replace("<", ">")
        self.expect(opening[0] if self.peek() == opening[0] else closing, start)
        if opening[0] == "|":
            return self.node("abs", value, start=start)
        if self.peek() == "_":
            self.take()
            if self._raw() not in {"2", "F"}:
                raise self.fail("only the Euclidean and the Frobenius norm are known here", start)
        return self.node("norm", value, start=start)

    def _fraction(self) -> Node:
        start = self.place()
        self.take()
        if self._differential(r"\partial") or self._differential("d"):
            return self._derivative(start)
        above = self.argument()
        return self.node("div", above, self.argument(), start=start)

    def _root(self) -> Node:
        start = self.place()
        self.take()
        degree = self.bracketed() if self.peek() == "[" else Node("num", (Fraction(2),))
        one = Node("num", (Fraction(1),))
        return self.node("pow", self.argument(), Node("div", (one, degree)), start=start)

    def _call(self) -> Node:
        start, name = self.place(), self.take()[1:]
        power = base = None
        while self.peek() in {"^", "_"}:
            if self.take() == "^":
                power = self.argument()
            elif name == "log":
                base = self.argument()
            else:
                raise self.fail(f"{name} takes no subscript here")
        if power is not None and power.op == "neg":
            raise self.fail(f"is this 1/{name} or the inverse function? Write it out", start)
        if self.peek() in _OPEN:
            arguments = self._arguments()
            if self.peek() == "^":
                raise self.fail(rf"is the power inside {name} or outside? Write \{name}((…)^2)")
        else:
            arguments = [self._bare(name)]
        if len(arguments) > 1 and name not in {"max", "min"}:
            raise self.fail(f"{name} takes one argument", start)
        value = self.node("call", name, *arguments, start=start)
        if base is not None:
            value = self.node("div", value, Node("call", ("log", base)), start=start)
        return value if power is None else self.node("pow", value, power, start=start)

    def _bare(self, name: str) -> Node:
        r"""``\log 2\pi\sigma^2``: all the factors that follow, up to another function or a sign."""
        if self.peek() in {"+", "-"}:
            raise self.fail(f"put brackets round what {name} is taken of")
        start, factors = self.place(), [self.factor()]
        great = {*_CALLS, r"\prod", r"\int", r"\sum", "E"}
        while self._starts_factor() and self.peek() not in great:
            factors.append(self.factor())
        if self.peek() == "*" and self.peek(1) in great:  # \\log a \\cdot \\log b
            return self._product(factors, start)
        if self.peek() in {"*", "/"}:
            raise self.fail(f"does {name} end here? Put brackets round what it is taken of")
        return self._product(factors, start)

    def _arguments(self) -> list[Node]:
        start, opening, bars = self.place(), self.take(), self.bars
        self.bars, outside, self.integrals = 0, self.integrals, []
        found = [self.expression()]
        while self.peek() == ",":
            self.take()
            found.append(self.expression())
        self.bars, self.integrals = bars, outside
        self.expect(_OPEN[opening], start)
        return found

    def _operand(self) -> Node:
        """What ``\\det`` and ``tr`` are taken of: a bracket, or one factor."""
        return self.bracketed() if self.peek() in _OPEN else self.factor()

    # -- sums, products, integrals ---------------------------------------------------------------
    def _sum(self) -> Node:
        start, kind = self.place(), self.take()[1:]
        below: Any = ""
        above, said = None, list[str]()
        while self.peek() in {"_", "^"}:
            if self.take() == "^":
                above = self.argument()
            else:
                said, below = self._below_sum(start)
        if not said:
            raise self.fail(rf"over what? Write \{kind}_{{i=1}}^{{n}} or \{kind}_z", start)
        for letter in said:
            self._bind(letter, start)
        body = self.term()
        del self.letters[-len(said) :]
        low = below if isinstance(below, Node) else None
        for letter in reversed(said):
            body = self.node(kind, letter, low, above, body, start=start)
        return body

    def _below_sum(self, start: int) -> tuple[list[str], Any]:
        if self.peek() != "{":
            return [self._name_only()], ""
        self.take()
        said = [self._name_only()]
        low: Any = ""
        while self.peek() in {",", "=", r"\in"}:
            sign = self.take()
            if sign == ",":
                said.append(self._name_only())
            elif sign == "=":
                low = self.expression()
            else:  # \in \mathcal{X}: the whole of it
                while self.peek() not in {"}", ""}:
                    self.take()
        if self.peek() in {"<", r"\le", r"\ne"}:
            raise self.fail("write the sum's limits as i=1 below and n above", start)
        self.expect("}", start)
        return said, low

    def _bind(self, letter: str, start: int) -> None:
        kind = self.world.kind(letter)
        if kind not in {None, FINITE, REAL, "integer"}:
            raise self.fail(f"{letter} is a {kind} here, and no letter to sum over", start)
        self.letters.append(letter)

    def _integral(self) -> Node:
        start = self.place()
        self.take()
        low = high = None
        while self.peek() in {"_", "^"}:
            if self.take() == "_":
                low = self._limit()
            else:
                high = self._limit()
        letter = self._differential_ahead(start)
        self.letters.append(letter)
        self.integrals.append(letter)
        body = self.expression()
        self.integrals.pop()
        self.letters.pop()
        if self.peek() != "d":
            raise self.fail(f"this integral should end with d{letter}", start)
        self.take()
        self._name_only()
        return self.node("integral", letter, low, high, body, start=start)

    def _limit(self) -> Node | None:
        r"""A limit of an integral; None for ``\infty``, ``-\infty`` and ``\mathbb{R}``."""
        inside = [self.peek(i) for i in range(4)]
        inside = inside[1 : inside.index("}")] if inside[0] == "{" and "}" in inside else inside[:1]
        if inside and inside[-1] in {r"\infty", "R"}:
            self.at += len(inside) + 2 * (self.peek() == "{")
            return None
        return self.argument()

    def _differential_ahead(self, start: int) -> str:
        """The letter of the ``dx`` that closes the integral which begins here."""
        level, inner, k = 0, 0, self.at
        while k < len(self.tokens):
            text = self.tokens[k].text
            level += (text in _OPEN) - (text in _CLOSE)
            if level < 0:
                break
            if level == 0 and text == r"\int":
                inner += 1
            if level == 0 and text == "d" and not self.world.known("d"):
                if inner == 0:
                    here, self.at = self.at, k + 1
                    letter = self._name_only()
                    self.at = here
                    return letter
                inner -= 1
            k += 1
        raise self.fail(r"over what is this integral? It should end with \,dx", start)

    # -- derivatives -----------------------------------------------------------------------------
    def _differential(self, sign: str) -> bool:
        r"""Does ``{\partial …}{\partial x}`` stand here?"""
        if sign == "d" and self.world.known("d") or self.peek() != "{" or self.peek(1) != sign:
            return False
        level, k = 0, self.at
        while k < len(self.tokens):
            level += (self.tokens[k].text == "{") - (self.tokens[k].text == "}")
            k += 1
            if level == 0:
                break
        nxt = [t.text for t in self.tokens[k : k + 2]]
        return nxt == ["{", sign]

    def _derivative(self, start: int) -> Node:
        self.take()  # {
        sign, times = self.take(), 1
        if self.peek() == "^":
            self.take()
            times = self._whole_number("the order of a derivative")
        body = None if self.peek() == "}" else self.expression()
        self.expect("}", start)
        self.take()  # {
        self.take()  # the sign
        name, index = self._name_and_index()
        if self.peek() == "^":
            self.take()
            if self._whole_number("the order of a derivative") != times:
                raise self.fail("the two orders of this derivative differ", start)
        if self.peek() == sign:
            raise self.fail("one letter at a time: nest the derivatives", start)
        self.expect("}", start)
        body = self.factor_after(r"\frac{∂}{∂…}") if body is None else body
        return self.node("diff", name, index, times, body, start=start)

    def factor_after(self, what: str) -> Node:
        if not self._starts_factor():
            raise self.fail(f"of what is this {what}?")
        place, value = self.place(), self.factor()
        if self._starts_factor() or self.peek() == "*":
            raise self.fail(f"how far does {what} reach? Put brackets round it", place)
        return value

    def _gradient(self) -> Node:
        start = self.place()
        self.take()
        if self.peek() != "_":
            raise self.fail(r"by what? Write \nabla_x", start)
        self.take()
        braced = self.peek() == "{"
        self.at += braced
        name, index = self._name_and_index()
        if braced:
            self.expect("}", start)
        return self.node("diff", name, index, 1, self.factor_after(r"\nabla"), start=start)

    # -- probability -----------------------------------------------------------------------------
    def _expectation(self) -> Node:
        start = self.place()
        self.take()
        under = None
        if self.peek() == "_":
            self.take()
            braced = self.peek() == "{"
            self.at += braced
            under = self._under(start)
            if braced:
                self.expect("}", start)
        if self.peek() not in {"[", "(", r"\{"}:
            raise self.fail("put what is averaged in brackets: E[…]", start)
        if under is None:
            return self.node("mean", self.bracketed(), start=start)
        letters, law = under
        self.letters += letters
        body = self.bracketed()
        del self.letters[len(self.letters) - len(letters) :]
        return self.node("expect", tuple(letters), law, body, start=start)

    def _under(self, start: int) -> tuple[list[str], Node]:
        r"""What stands below an E: ``q(z\mid x)``, ``x\sim p``, ``z\sim\mathcal{N}(0,1)``."""
        here = self.at
        letters: list[str] = []
        with_tilde = any(t.text == r"\sim" for t in self._until_closed())
        if with_tilde:
            letters.append(self._name_only())
            while self.peek() == ",":
                self.take()
                letters.append(self._name_only())
            self.expect(r"\sim", start)
        else:
            self.at = here
        law, own = self._law(letters)
        if letters and own and set(letters) != set(own):
            raise self.fail(f"this is a distribution of {', '.join(own)}", start)
        if not (letters or own):
            raise self.fail(r"of which letter is this a distribution? Write x\sim\dots", start)
        return letters or own, law

    def _until_closed(self) -> list[Token]:
        level, k = 0, self.at
        while k < len(self.tokens):
            level += (self.tokens[k].text in _OPEN) - (self.tokens[k].text in _CLOSE)
            if level < 0:
                break
            k += 1
        return self.tokens[self.at : k]

    def _law(self, letters: list[str]) -> tuple[Node, list[str]]:
        """A distribution as it stands below an E or in a divergence, and the letters it is of."""
        start = self.place()
        if self.peek() == "N" and not self.world.known("N") and self.peek(1) == "(":
            normal = self._normal(letters[0] if letters else None)
            point = normal.args[0]
            said = not letters and isinstance(point, Node) and point.op == "name"
            return normal, [point.args[0]] if said and len(point.args) == 1 else []
        name = self._name_only()
        tables = self.world.tables(name)
        if not tables:
            raise self.fail(f"unknown distribution {name}; this world has: {self._laws()}", start)
        self._skip_parameters()
        if self.peek() != "(":
            own = [t for t in tables if not t.given]
            if len(tables) != 1 and len(own) != 1:
                raise self.fail(f"which one? Write {name}(…) with its letters", start)
            table = own[0] if len(own) == 1 else tables[0]
            mine = list(letters) or list(table.over)
            return self.node("law", name, tuple(mine), table.given, start=start), mine
        over, given = self._letters_of(name)
        return self.node("law", name, over, given, start=start), list(over)

    def _laws(self) -> str:
        return ", ".join(self.world.law_names()) or "none"

    def _letters_of(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        r"""``(x,z\mid y;\theta)``: what it is of, and what is given."""
        start = self.place()
        self.take()
        over: list[str] = []
        given: list[str] = []
        into = over
        while self.peek() not in {")", ""}:
            if self.peek() in {"|", r"\mid", "|<", "|>"}:
                self.take()
                into = given
            elif self.peek() == ",":
                self.take()
            elif self.peek() == ";":
                while self.peek() not in {")", ""}:
                    self.take()
            else:
                into += self._event(start)
        self.expect(")", start)
        if not over:
            raise self.fail(f"of what is {name} a distribution?", start)
        return tuple(over), tuple(given)

    def _event(self, start: int) -> list[str]:
        r"""One letter between the brackets of a table; ``x_{<t}`` and ``x_{1:T}`` are several."""
        name = self._base()
        if self.peek() == "_":
            index, what = self.at, ""
            self.take()
            what = self._raw()
            if what[:1] in {"<", "≤"} or ":" in what:
                return [f"{name}_{what}"]
            if f"{name}_{what}" not in self.world.names and what in self.letters:
                return [f"{name}_{what}"]
            self.at = index
        self.at -= 1
        return [self._name_only()]

    def _divergence(self) -> Node:
        start, kind = self.place(), "KL"
        self.take()
        if self.peek() == "_":
            self.take()
            kind = self._raw()
        elif self.peek(-1) in {"JSD", "JS"}:
            kind = "JSD"
        if self.peek() not in {"(", "[", r"\{"}:
            raise self.fail(r"write a divergence as D_{KL}(p\Vert q)", start)
        closing = _OPEN[self.take()]
        p, own = self._side(start)
        if self.peek() not in {"‖", "‖<", "‖>", "|", ","}:
            raise self.fail(r"a divergence has two sides: put \Vert between them")
        double = self.take()
        if double == "|" and self.peek() == "|":
            self.take()
        q, other = self._side(start)
        self.expect(closing, start)
        letters = own or other
        if own and other and set(own) != set(other):
            raise self.fail("these two distributions are not of the same thing", start)
        kind = "JSD" if kind in {"JS", "JSD"} else "KL"
        return self.node("divergence", kind, tuple(letters), p, q, start=start)

    def _entropy(self) -> Node:
        """``H(p)`` and ``H(p, q)``; of a mixture such as (p + q)/2, or of one that was defined."""
        start = self.place()
        self.at += 2
        p, letters = self._side(start)
        q, other = p, letters
        if self.peek() == ",":
            self.take()
            q, other = self._side(start)
        self.expect(")", start)
        if not letters or set(letters) != set(other):
            raise self.fail("an entropy is of distributions of the same letters", start)
        return self.node("entropy", tuple(letters), p, q, start=start)

    def _side(self, start: int) -> tuple[Node, list[str]]:
        """One side of a divergence: a distribution, or a mixture such as (p + q)/2."""
        here, depth = self.at, self.depth
        try:
            law, own = self._law([])
            if self.peek() in {"‖", "‖<", "‖>", "|", ",", ")", "]", r"\}"}:
                return law, own
        except LatexError:
            pass
        self.at, self.depth = here, depth
        bars, self.bars = self.bars, 1
        mixture = self.expression()
        self.bars = bars
        letters = {x for node in _all(mixture) if node.op == "law" for x in node.args[1]}
        for node in _all(mixture):
            if node.op == "name" and self.world.kind(node.args[0]) == DEFINED:
                letters |= set(self.world.arguments(node.args[0]))
        return mixture, sorted(letters)

    def _normal(self, letter: str | None = None) -> Node:
        r"""``\mathcal{N}(x;\mu,\sigma^2)``; ``\mathcal{N}(\mu,\sigma^2)`` where x is understood."""
        start = self.place()
        self.take()
        self.take()
        first = self.expression()
        point: Node | None = Node("name", (letter,)) if letter else None
        if self.peek() in {";", "|", r"\mid"}:
            self.take()
            point, first = first, self.expression()
        self.expect(",", start)
        variance = self.expression()
        self.expect(")", start)
        return self.node("normal", point, first, variance, start=start)

    def _word(self) -> Node:
        start, word = self.place(), self.peek()
        if word in {"KL", "JSD", "JS"}:
            return self._divergence()
        self.take()
        if word in {"tr", "Tr", "trace"}:
            return self.node("trace", self._operand(), start=start)
        if word in {"diag", "softmax"}:
            return self.node(word, self._operand(), start=start)
        under = None
        if self.peek() == "_":
            self.take()
            braced = self.peek() == "{"
            self.at += braced
            under = self._under(start)
            self.at += braced
        if self.peek() not in _OPEN:
            raise self.fail(f"put what {word} is taken of in brackets", start)
        self.letters += under[0] if under else []
        arguments = self._arguments()
        if under:
            del self.letters[len(self.letters) - len(under[0]) :]
        wanted = 2 if word == "Cov" else 1
        if len(arguments) != wanted:
            raise self.fail(f"{word} takes {wanted} argument{'s'[: wanted - 1]}", start)
        law = (tuple(under[0]), under[1]) if under else ((), None)
        return self.node("moment", word, *law, *arguments, start=start)

    # -- names -----------------------------------------------------------------------------------
    def _symbol(self) -> Node:
        start = self.place()
        name, index = self._name_and_index()
        if self.peek() == "(" or self.peek() == "_" and self.world.tables(name):
            self._skip_parameters()
            if self.world.tables(name):
                over, given = self._letters_of(name)
                return self.node("law", name, over, given, start=start)
            if self.world.kind(name) == FUNCTION:
                arguments = self._arguments()
                return self.node("apply", name, *arguments, start=start)
            if self.world.kind(name) == DEFINED and self.world.arguments(name) and not index:
                self._own_letters(name, self._arguments(), start)
                return self.node("name", name, start=start)
        if self.world.kind(name) == DENSITY or self.world.tables(name):
            return self._bare_law(name, start)
        if self.world.kind(name) == FUNCTION:
            return self._bare_function(name, start)
        if name == "e" and not self.world.known("e"):
            return self.node("call", "exp", Node("num", (Fraction(1),)), start=start)
        if name == "I" and not self.world.known("I"):
            return self.node("identity", start=start)
        if self.world.kind(name) is None and name not in self.letters:
            known = ", ".join(self.world.names) or "nothing"
            raise self.fail(f"unknown symbol {name}; this world knows: {known}", start)
        node = self.node("name", name, *index, start=start)
        return node

    def _own_letters(self, name: str, arguments: list[Node], start: int) -> None:
        """S(x), where S was defined as a function of x: with no other letter."""
        letters = self.world.arguments(name)
        if [a.args for a in arguments] != [(x,) for x in letters]:
            raise self.fail(f"{name} is defined as {name}({', '.join(letters)})", start)

    def _bare_law(self, name: str, start: int) -> Node:
        """``p`` alone, inside a sum or mean over x, is p(x); elsewhere nobody can know."""
        tables = self.world.tables(name)
        if len(tables) == 1 and not tables[0].given:
            return self.node("law", name, tables[0].over, (), start=start)
        raise self.fail(f"write {name}(…) with its letters", start)

    def _bare_function(self, name: str, start: int) -> Node:
        arguments = self.world.arguments(name)
        if arguments:
            return self.node("apply", name, *(Node("name", (a,)) for a in arguments), start=start)
        raise self.fail(f"{name} is a function: write {name}(…)", start)

    def _skip_parameters(self) -> None:
        r"""``p_\theta(x)``: which network computes it is said, and is no other distribution."""
        while self.peek() == "_" and self.peek(1) in {r"\theta", r"\phi"}:
            self.at += 2
        if self.peek() == "_" and self.peek(1) == "{" and self.peek(3) == "}":
            if self.peek(2) in {r"\theta", r"\phi"}:
                self.at += 4

    def _name_only(self) -> str:
        start = self.place()
        name, index = self._name_and_index()
        if index:
            raise self.fail(f"{name} with an index cannot stand here", start)
        return name

    def _plain_name(self, ahead: int) -> str:
        """The name that would be read from there on; "" where none is."""
        here, self.at = self.at, self.at + ahead
        try:
            return self._name_and_index()[0]
        except LatexError:
            return ""
        finally:
            self.at = here

    def _name_and_index(self) -> tuple[str, list[Node]]:
        r"""``\mu_i`` is ("mu", [i]); ``\mu_q``, where the world knows it, is ("mu_q", [])."""
        name, index = self._base(), []
        while self.peek() == "'":
            self.take()
            name += "'"
        while self.peek() == "_":
            here = self.at
            self.take()
            label = self._raw()
            if self.world.known(f"{name}_{label}") or self.world.tables(f"{name}_{label}"):
                name = f"{name}_{label}"
                continue
            if label in {"theta", "phi"} and not self.world.known(label):
                continue
            if self.world.tables(name) or self.world.kind(name) in {FUNCTION, None, RANDOM}:
                if self.world.kind(name) != RANDOM or not self.world.shape(name):
                    if name not in self.world.indexed():
                        self.at = here
                        message = f"unknown symbol {name}_{label}"
                        known = ", ".join(self.world.names)
                        raise self.fail(f"{message}; this world knows: {known}")
            self.at = here + 1
            index += self._index()
        return name, index

    def _index(self) -> list[Node]:
        r"""``_{ij}``, ``_{t-1}``, ``_2``: one index each letter, unless a sign says otherwise."""
        if self.peek() != "{":
            return [self._index_atom()]
        start = self.place()
        self.take()
        found = [self._index_expression()]
        while self.peek() not in {"}", ""}:
            if self.peek() == ",":
                self.take()
            found.append(self._index_expression())
        self.expect("}", start)
        return found

    def _index_expression(self) -> Node:
        value = self._index_atom()
        while self.peek() in {"+", "-"}:
            sign, start = self.take(), self.place()
            more = self._index_atom()
            more = self.node("neg", more, start=start) if sign == "-" else more
            value = self.node("add", value, more, start=start)
        return value

    def _index_atom(self) -> Node:
        start, text = self.place(), self.take()
        if text.isdigit():
            return self.node("num", Fraction(text), start=start)
        name = _plain(text)
        if name in self.letters or self.world.kind(name) == "integer":
            return self.node("name", name, start=start)
        known = ", ".join(self.letters) or "none"
        raise self.fail(f"{name} is no index here; indices known here: {known}", start)

    def _base(self) -> str:
        text = self.peek()
        if not text:
            raise self.fail("the formula ends too early")
        if text in {r"\hat", r"\tilde", r"\bar"}:
            self.take()
            inner, _, below = self._raw().partition("_")
            if below:
                here = self.place()
                self.tokens[self.at : self.at] = [Token("_", here), Token(below, here)]
            return f"{inner}_{text[1:]}"
        if self.world.known(text):
            return self.take()
        if text.replace("_", "").isalpha() or text[:1] == "\\" and text[1:] in GREEK | {"pi"}:
            return _plain(self.take())
        if text == "**":
            raise self.fail("this looks like Python: write a power as ^{2}")
        raise self.fail(f"did not expect {text} here")

    def _raw(self) -> str:
        """A sub- or superscript as text, with no braces: ``{<t}`` → "<t"."""
        if self.peek() != "{":
            return _plain(self.take())
        start, level, parts = self.place(), 0, []
        while True:
            text = self.take()
            if not text:
                raise self.fail("this { is never closed", start)
            level += (text == "{") - (text == "}")
            if text not in {"{", "}"}:
                parts.append(_plain(text))
            if level == 0:
                return "".join(parts)

    def _subscripted_word(self) -> str:
        if self.world.known("D") and self.world.kind("D") != FUNCTION or self.peek(1) != "_":
            return ""
        return self.peek(3) if self.peek(2) == "{" else self.peek(2)

    def _whole_number(self, what: str) -> int:
        start, text = self.place(), self._raw()
        if text not in {"1", "2", "3"}:
            raise self.fail(f"{what} is 1, 2 or 3 here", start)
        return int(text)


def _all(node: Node) -> Iterator[Node]:
    yield node
    for _, part in node.parts():
        yield from _all(part)


def _plain(text: str) -> str:
    if text in {r"\mid", "|<", "|>"}:
        return "|"
    if text == r"\le":
        return "≤"
    return text[1:] if text[1:] in GREEK | FUNCTIONS | {"pi"} else text
