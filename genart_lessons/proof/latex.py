r"""Read a formula in LaTeX and give a SymPy expression. Nothing is ever evaluated as Python.

The grammar is what the course writes: arithmetic, ``\frac``, powers, ``\log`` and its kin, sums
over an index, norms, determinants ``\det J`` that are known, dot products of rows
``q_t\cdot k_j``, brackets ``[j\le t]`` that are 1 or 0, and three words of probability on a
finite world: a table such as ``p(x,z)``, an expectation ``\mathbb{E}_{q(z\mid x)}[...]`` or
``\mathbb{E}_{x\sim p}[...]``, and a divergence, ``D_{KL}(q(z\mid x)\Vert p(z))`` or ``JSD``.
A table that names z runs over it, any other over x.
What could be meant in two ways is refused with a question, so that no verdict rests on a guess.
"""

import contextlib
import re

import sympy

from genart_lessons.proof.evaluate import as_number
from genart_lessons.proof.indices import BRACKETS, STEP, same
from genart_lessons.proof.spelling import FUNCTIONS, GREEK, LatexError, Tape, Token, tokens
from genart_lessons.proof.tables import axes, has_steps, one_spelling, whole_sequence, with_step

DEEPEST, LARGEST_POWER, MOST_DIGITS = 60, 100, 300
_CALLS = {
    r"\log": sympy.log, r"\exp": sympy.exp, r"\tanh": sympy.tanh, r"\sin": sympy.sin,
    r"\cos": sympy.cos, r"\max": sympy.Max, r"\min": sympy.Min,
    r"\sign": sympy.sign, r"\sgn": sympy.sign,
    r"\sigmoid": lambda x: 1 / (1 + sympy.exp(-x)), r"\erf": sympy.erf,
    r"\normal": lambda x: (1 + sympy.erf(x / sympy.sqrt(2))) / 2,
}  # fmt: skip
_STANDARD = {r"\sigma": r"\sigmoid", r"\Phi": r"\normal"}  # σ(…) and Φ(…), unless they are names
_DIGITS = set("0123456789")
_CLOSE = {"(": ")", "[": "]", r"\{": r"\}", "{": "}"}
_ENDS = set(_CLOSE.values())
_BARS = {"|", "|<", "‖", "‖<"}
_PARAMETERS = {"theta", "phi"}  # p_θ and q_φ name the network, not another distribution
_SYMMETRIC = {"JSD", "JS", "D_JS", "D_JSD"}
_DIVERGENCES = _SYMMETRIC | {"KL", "D_KL"}
_RELATIONS = {"=", r"\ge", r"\le"}
_STOPS = _ENDS | _RELATIONS | set(r"* / ^ _ + - , ; : ! ' . |> ‖> \mid \rangle < > \ne".split())
norm = sympy.Function("norm", nonnegative=True)


def parse(source: str, names: dict[str, str], free_index: str = "") -> sympy.Expr:
    r"""Parse ``source``, or its right-hand side (its left-hand side, where it reads ``… \le …``).

    Args:
        source: LaTeX, with or without ``$``. Where there is an ``=``, what follows the last counts.
        names: the symbols that the equation knows, each with its kind: ``"scalar"``, ``"vector"``
            (indexed by the summation letter) or ``"table"`` (indexed by the letter ``z`` or ``x``).
        free_index: a letter that may stay free, where the formula is a table and not a number.

    Raises:
        LatexError: with the place, when the formula is malformed, unknown, ambiguous or too large.
    """
    parser = _Parser(source, names, free_index)
    try:
        return parser.whole()
    except RecursionError:
        raise parser.fail("the formula is nested too deeply", 0) from None
    except LatexError:
        raise
    except (ValueError, TypeError, ArithmeticError) as error:  # max(i, 1), and what else there is
        raise parser.fail(f"this has no value: {error}") from error


def left_hand_side(source: str) -> str:
    """What stands before the last ``=`` of a formula, in the one spelling; "" if there is none."""
    found = [t.text for t in tokens(source)]
    last = max((i for i, text in _top_level(found) if text in _RELATIONS), default=0)
    return " ".join(found[:last])


def other_way_round(source: str) -> str:
    """``b = a`` for a formula that reads ``a = b``; "" where there is no ``=`` to turn it at."""
    found = tokens(source)
    last = max((i for i, text in _top_level([t.text for t in found]) if text == "="), default=0)
    if not last:
        return ""
    left, right = source[: found[last].place], source[found[last].place :]
    return f"{right.lstrip('=:& ')} = {left}".replace("$", "")


def after_last_at_most(source: str) -> str:
    r"""What follows the last ``\le`` of a formula; the whole of it, where there is none."""
    found = tokens(source)
    last = max((i for i, text in _top_level([t.text for t in found]) if text == r"\le"), default=-1)
    if last < 0:
        return source
    return source[found[last + 1].place :] if last + 1 < len(found) else ""


def _top_level(found: list[str]):
    level = 0
    for i, text in enumerate(found):
        level += (text in _CLOSE) - (text in _ENDS)
        if level == 0:
            yield i, text


class _Parser(Tape):
    def __init__(self, source: str, names: dict[str, str], free_index: str):
        super().__init__(source, names)
        self.names, self.depth, self.open_bars = names, 0, 0
        self.bound = list(free_index)

    # -- grammar ---------------------------------------------------------------------------------
    def whole(self) -> sympy.Expr:
        self._keep_one_side()
        if not self.peek():
            raise self.fail("there is no formula here")
        value = self.expression()
        while self.peek() in {".", ",", ";"} and not self.peek(1):
            self.take()  # a sentence may end after a formula
        if self.peek():
            raise self.fail(f"did not expect {self.peek()} here")
        return value

    def _keep_one_side(self) -> None:
        marks = [(i, t) for i, t in _top_level([t.text for t in self.tokens]) if t in _RELATIONS]
        below = [i for i, text in marks if text == r"\le"]
        if below:
            self.tokens = self.tokens[: below[0]]
        self.at = max((i + 1 for i, _ in marks if i < len(self.tokens)), default=0)

    def expression(self) -> sympy.Expr:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail("the brackets are nested too deeply")
        value = -self._signed() if self.peek() == "-" else self._signed()
        while self.peek() in {"+", "-"}:
            value = value - self._signed() if self.peek() == "-" else value + self._signed()
        self.depth -= 1
        return value

    def _signed(self) -> sympy.Expr:
        if self.peek() in {"+", "-"}:
            self.take()
        return self.term()

    def term(self) -> sympy.Expr:
        value, divided = self.factor(), False
        while True:
            if self.peek() == "*":
                self.take()
                value, divided = value * self.factor(), False
            elif self.peek() == "/":
                self.take()
                plain = value.is_Number and self.peek()[:1] in _DIGITS  # 1/2 (…) is one half of it
                value = value / self.factor()
                divided = not (plain and self.peek() in {*_CLOSE, *_CALLS, r"\sum", "E"})
            elif self._starts_factor():
                if divided:
                    raise self.fail(r"is this under the line too? Write \frac{…}{…} or brackets")
                value = value * self.factor()
            else:
                return value

    def _starts_factor(self) -> bool:
        text = self.peek()
        if text in {"|", "‖"}:
            return not self.open_bars
        return bool(text) and text not in _STOPS

    def factor(self) -> sympy.Expr:
        place, first = self.place(), self.peek()
        value = self.atom()
        if first[0] in _DIGITS and self.peek()[:1] in _DIGITS:
            raise self.fail("two numbers stand side by side: write a sign between them")
        if self.peek() == "^":
            self.take()
            value = self._power(value, self.argument(), place)
        if self.peek() == "^":
            raise self.fail("two powers in a row: put brackets round the first")
        return value

    def _power(self, base: sympy.Expr, exponent: sympy.Expr, place: int) -> sympy.Expr:
        """``base**exponent``, unless SymPy would spend its life on writing the number out."""
        if exponent.is_number:
            if not abs(as_number(exponent)) <= LARGEST_POWER:
                raise self.fail(f"a power above {LARGEST_POWER} is not checked", place)
            digits = len(str(base)) * abs(exponent) if base.is_Rational else 0
            if exponent.is_Rational and digits > MOST_DIGITS:
                raise self.fail("this number is too large to check", place)
        return base**exponent

    def argument(self) -> sympy.Expr:
        r"""What TeX takes after ``^`` or ``\frac``: a group, or a single character."""
        text = self.peek()
        if text == "{":
            return self.bracketed()
        if text[:1] in _DIGITS and len(text) > 1:  # \frac12 is one half
            here = self.tokens[self.at]
            rest = Token(text[1:], here.place + 1)
            self.tokens[self.at : self.at + 1] = [Token(text[0], here.place), rest]
        if text in {"-", "+"}:
            raise self.fail("put braces round a signed exponent: ^{-1}")
        return self.atom()

    def bracketed(self) -> sympy.Expr:
        start, opening = self.place(), self.take()
        with self._inside():
            value = self.expression()
        self.expect(_CLOSE[opening], start)
        return value

    @contextlib.contextmanager
    def _inside(self, bars: int = 0):
        """Within a bracket, a bar that was opened outside cannot be closed."""
        outside, self.open_bars = self.open_bars, bars
        yield
        self.open_bars = outside

    def atom(self) -> sympy.Expr:
        text, place = self.peek(), self.place()
        if not text:
            raise self.fail("the formula ends too early")
        if text == "1" and self.peek(1) == "_":
            return self._indicator()
        if text == r"\langle":
            return self._inner()
        if text[0] in _DIGITS or text[0] == "." and text[1:]:
            if len(text) > MOST_DIGITS:
                raise self.fail("this number is too large to check")
            return sympy.Rational(self.take().rstrip("."))
        if text in {"[", r"\{"} and self._compares():
            return self._comparison()
        if text in _CLOSE:
            return self.bracketed()
        if text in _BARS:
            return self._between(place)
        if text == r"\frac":
            self.take()
            return self.argument() / self.argument()
        if text == r"\sqrt":
            return self._root()
        if text in _CALLS:
            return self.function()
        if text == r"\det":
            return self._determinant()
        if text in _STANDARD and text[1:] not in self.names and self.peek(1) == "(":
            self.tokens[self.at] = Token(_STANDARD[text], place)
            return self.function()
        if text in {r"\sum", r"\prod"}:
            return self.summation()
        if text == "E" and "E" not in self.names:
            return self.expectation()
        if text == r"\pi" and "pi" not in self.names:
            self.take()
            return sympy.pi
        return self.symbol()

    def _between(self, start: int) -> sympy.Expr:
        opening = self.take()
        with self._inside(bars=1):
            value = self.expression()
        closing = opening.replace("<", ">")
        self.expect(opening[0] if self.peek() == opening[0] else closing, start)
        if opening[0] == "|":
            return sympy.Abs(value)
        if self.peek() == "_":
            self.take()
            if self._raw_argument() != "2":
                raise self.fail("only the Euclidean norm is known here", start)
        return norm(value)

    def _root(self) -> sympy.Expr:
        place, degree = self.place(), sympy.Integer(2)
        self.take()
        if self.peek() == "[":
            degree = self.bracketed()
        return self._power(self.argument(), 1 / degree, place)

    def _determinant(self) -> sympy.Expr:
        r"""``\det J``, ``\det(J)`` and ``\det J_k``: the number, or numbers, called det_J."""
        self.take()
        start, opening = self.place(), self.take() if self.peek() in _CLOSE else ""
        name, index = self._named()
        if opening:
            self.expect(_CLOSE[opening], start)
        return self._known(f"det_{name}", index, start)

    def function(self) -> sympy.Expr:
        place, name = self.place(), self.take()
        power, base = sympy.Integer(1), None
        while self.peek() in {"^", "_"}:
            if self.take() == "^":
                power = self.argument()
            elif name == r"\log":
                base = self.argument()
            else:
                raise self.fail(f"{name} takes no subscript here")
        if power.is_negative:
            raise self.fail(f"is this 1/{name} or the inverse function? Write it out", place)
        if self.peek() in _CLOSE:
            arguments = self._arguments()
            if self.peek() == "^":
                raise self.fail(rf"is the power inside {name} or outside? Write {name}((…)^2)")
        else:
            arguments = [self._bare_argument(name)]
        if name == r"\exp":
            self._power(sympy.E, arguments[0], place)  # refuses towers such as e^{e^{99}}
        if len(arguments) > 1 and name not in {r"\max", r"\min"}:
            raise self.fail(f"{name} takes one argument", place)
        value = _CALLS[name](*arguments)
        return self._power(value if base is None else value / sympy.log(base), power, place)

    def _bare_argument(self, name: str) -> sympy.Expr:
        r"""``\log 2\pi\sigma^2``: all the factors that follow, up to another function or a sign."""
        if self.peek() in {"+", "-"}:
            raise self.fail(f"put brackets round what {name} is taken of")
        value = self.factor()
        while self._starts_factor() and self.peek() not in {*_CALLS, r"\sum", r"\prod", "E"}:
            value = value * self.factor()
        if self.peek() in {"*", "/"}:
            raise self.fail(f"does {name} end here? Put brackets round what it is taken of")
        return value

    def _arguments(self) -> list[sympy.Expr]:
        start, opening = self.place(), self.take()
        with self._inside():
            found = [self.expression()]
            while self.peek() == ",":
                self.take()
                found.append(self.expression())
        self.expect(_CLOSE[opening], start)
        return found

    def summation(self) -> sympy.Expr:
        make = sympy.Sum if self.take() == r"\sum" else sympy.Product
        index, sign, low, high = "", "=", "1", ""
        while self.peek() in {"_", "^"}:
            if self.take() == "^":
                high = self._raw_argument()
            else:
                below = whole_sequence(self._raw_argument())
                parts = re.split(r"([=<≤]|\\ne)", below, maxsplit=1)
                index, sign, start = (*parts, "=", "1")[:3]
                low = start or ("1" if sign == "=" else "?")
        if re.fullmatch(r"([a-z]),(?!\1)[a-z]", index) and (sign, low, high) == ("=", "1", ""):
            return self._over_both(make, index[0], index[2])
        if sign == "=" and high in self.bound and low == "1":
            sign, low, high = "≤", high, ""  # \sum_{i=1}^{t} is \sum_{i\le t}
        if sign == "=" and high[:-2] in self.bound and high.endswith("-1") and low == "1":
            sign, low, high = "<", high[:-2], ""  # \prod_{j=1}^{l-1} is \prod_{j<l}
        until, low = (low, "1") if sign != "=" else ("", low)
        if until and (high or until not in self.bound or until == index):
            raise self.fail("a sum can end at another index, which is given outside of it")
        if not re.fullmatch(r"[a-z]", index):
            raise self.fail(r"a sum needs its index, as in \sum_{i=1}^{n}")
        ends = high not in self.bound and re.fullmatch(r"[A-Za-z]?|[1-9]\d?", high)
        if not ends or not re.fullmatch(r"[1-9]", low):
            raise self.fail("sums here run over the whole axis, from 1 to its length, one letter")
        self.bound.append(index)
        body = self.term()
        self.bound.pop()
        here, counts = sympy.Symbol(index, integer=True), sympy.Integer(1)
        if until:
            sign = r"\le" if sign == "≤" else sign
            counts = BRACKETS[sign](here, sympy.Symbol(until, integer=True))
        elif low != "1":
            counts = BRACKETS[r"\ge"](here, sympy.Integer(low))  # \prod_{t=2}^{T}
        body = body * counts if make is sympy.Sum else body**counts
        return make(body, _over(index, high))

    def _over_both(self, make: type, first: str, second: str) -> sympy.Expr:
        r"""``\sum_{c,i}`` is ``\sum_c\sum_i``."""
        self.bound += [first, second]
        place, body = self.place(), self.term()
        del self.bound[-2:]
        used = {str(i) for entry in body.atoms(sympy.Indexed) for i in entry.indices}
        if not {first, second} <= used:
            raise self.fail(f"nothing under this sum has the indices {first} and {second}", place)
        return make(make(body, _over(second)), _over(first))

    def _raw_argument(self) -> str:
        """The text of a sub- or superscript, with one spelling and no braces: ``{q,i}`` → q,i."""
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

    # -- indices -------------------------------------------------------------------------------
    def _compares(self) -> bool:
        """Does a sign such as ≤ stand before the bracket that opens here is closed?"""
        rest = [t.text for t in self.tokens[self.at + 1 :]]
        signs = (i for i, text in enumerate(rest) if text in _ENDS | BRACKETS.keys())
        return rest[next(signs, -1)] in BRACKETS if rest else False

    def _comparison(self) -> sympy.Expr:
        r"""``[j\le t]``, or ``[t>1]`` of a step that is given: 1 where it holds, 0 elsewhere."""
        start, opening = self.place(), self.take()
        first, sign = self._index(), self.take()
        if sign not in BRACKETS:
            raise self.fail(f"did not expect {sign} here", start)
        value = BRACKETS[sign](first, self._index(beside=first))
        self.expect(_CLOSE[opening], start)
        return value

    def _indicator(self) -> sympy.Expr:
        r"""``\mathbf{1}_{j\le t}`` and ``\mathbf{1}_{[j\le t]}`` are ``[j\le t]``."""
        self.at += 2
        start = self.place()
        if self.peek() == "{" and self.peek(1) in {"[", r"\{"}:
            self.take()
            value = self._comparison()
            self.expect("}", start)
            return value
        if self.peek() != "{" or not self._compares():
            raise self.fail(r"what does this 1 indicate? Write it as in \mathbf{1}_{j\le t}", start)
        return self._comparison()

    def _index(self, beside: sympy.Expr | None = None) -> sympy.Expr:
        """An index letter or a neighbour of it: ``t``, ``t+1``; or ``beside`` a step, a number."""
        place, letter = self.place(), self.take()
        given = letter == STEP.name and self.names.get(letter) == "scalar"
        if beside is not None and beside.has(STEP) and 0 < len(letter) < 3 and letter.isdecimal():
            return sympy.Integer(letter)
        if letter not in self.bound and not given:
            known = ", ".join(self.bound) or "none"
            raise self.fail(f"a bracket compares two indices; here these are known: {known}", place)
        value = sympy.Symbol(letter, integer=True) if letter in self.bound else STEP
        if self.peek() in {"+", "-"}:
            sign, place, steps = self.take(), self.place(), self.take()
            if not set(steps) <= _DIGITS or not 0 < len(steps) < 3:
                raise self.fail("how many steps further on? Write a number", place)
            value = value + int(f"{sign}{steps}")
        return value

    def _indexes(self, name: str, letters: str) -> bool:
        """Are these letters indices, and no more of them than ``name`` can have?"""
        most = 2 if self.names.get(name, name) in {"matrix", "delta"} else 1
        return 0 < len(letters) <= most and set(letters) <= set(self.bound)

    def _dot(self, name: str, index: str, place: int) -> sympy.Expr:
        r"""``q_t\cdot k_j``, also ``q_t^\top k_j``: two rows of matrices, by entries, added up."""
        told = self._transposed()
        if self.peek() == "*":
            self.take()
            told = True
        other, letter = self._named() if self._starts_factor() else ("", "")
        told = self._transposed() or told
        other = other if told and self.peek() != "^" else ""
        return self._rows(name, index, other, letter, place)

    def _inner(self) -> sympy.Expr:
        r"""``\langle q_t,k_j\rangle`` is ``q_t\cdot k_j``."""
        place = self.place()
        self.take()
        name, index = self._named()
        self.expect(",", place)
        other, letter = self._named()
        self.expect(r"\rangle", place)
        if self.names.get(name) != "matrix" or len(index) != 1:
            raise self.fail("between these brackets stand two rows, such as q_t and k_j", place)
        return self._rows(name, index, other, letter, place)

    def _rows(self, name: str, index: str, other: str, letter: str, place: int) -> sympy.Expr:
        if self.names.get(other) != "matrix" or len(letter) != 1:
            message = rf"{name}_{index} is a whole row: multiply it by another, as in q_t\cdot k_j"
            raise self.fail(message, place)
        along = sympy.Symbol("·", integer=True)
        rows = ((name, index), (other, letter))
        entries = (sympy.IndexedBase(n)[sympy.Symbol(i, integer=True), along] for n, i in rows)
        return sympy.Sum(sympy.Mul(*entries), _over("·"))

    def _transposed(self) -> bool:
        r"""The ``^\top`` or ``^{T}`` of a row, taken."""
        ahead = [self.peek(i) for i in range(4)]
        bare, braced = (t in {r"\top", "T"} for t in ahead[1:3])
        if ahead[0] != "^" or not (bare or (ahead[1], ahead[3]) == ("{", "}") and braced):
            return False
        self.at += 2 if bare else 4
        return True

    # -- probability on a finite world ---------------------------------------------------------
    def expectation(self) -> sympy.Expr:
        place = self.place()
        self.take()
        if self.take() != "_":
            raise self.fail(r"say under which distribution: \mathbb{E}_{q(z\mid x)}[…]", place)
        letter, _, under = self._raw_argument().rpartition(r"\sim")
        if f"p_{under}({under})" in self.names:
            under = f"p_{under}({under})"  # E_z, where z has one distribution only
        key = self._table_key(under, place)
        if self.names[key] != "table" or self.peek() not in {"[", "(", r"\{"}:
            raise self.fail("put what is averaged in brackets: E[…]", place)
        axis = self._axis(key, place)
        if letter and letter != axis:
            raise self.fail(f"{key} is a distribution of {axis}, not of {letter}", place)
        self.bound.append(axis)
        body = self.bracketed()
        self.bound.pop()
        return sympy.Sum(self._entry(key) * body, _over(axis))

    def divergence(self, name: str, place: int) -> sympy.Expr:
        opening = self.take()
        first, axis = self._distribution({"‖", "‖<", "‖>"}, place)
        self.take()
        second, other = self._distribution({_CLOSE[opening]}, place)
        self.take()
        if axis != other:
            raise self.fail("these two distributions are not of the same thing", place)
        if name in _SYMMETRIC:
            middle = sympy.log((first + second) / 2)
            terms = [(p * (sympy.log(p) - middle)) / 2 for p in (first, second)]
            return sympy.Sum(sympy.Add(*terms), _over(axis))
        return sympy.Sum(first * (sympy.log(first) - sympy.log(second)), _over(axis))

    def _distribution(self, stops: set[str], place: int) -> tuple[sympy.Expr, str]:
        """One side of a divergence, and its axis: a table, or a mixture such as (p + q)/2."""
        start = self.at
        text = self._until(stops, place)
        left = len(self.tokens) - self.at  # from the end: reading \\frac12 cuts a token in two
        if "+" not in text:
            key = self._table_key(text, place)
            return self._entry(key), self._axis(key, place)
        self.at = start
        self.bound.append("x")
        with self._inside(bars=1):
            mixture = self.expression()
        self.bound.pop()
        if len(self.tokens) - self.at != left:
            raise self.fail(f"did not expect {self.peek()} here")
        return mixture, "x"

    def _until(self, stops: set[str], place: int) -> str:
        parts, level = [], 0
        while self.peek() and not (level == 0 and self.peek() in stops):
            text = self.take()
            level += (text in _CLOSE) - (text in _ENDS)
            parts.append(_plain(text))
        if not self.peek():
            raise self.fail("this bracket is never closed, or a ‖ is missing", place)
        return "".join(parts)

    def _table_key(self, text: str, place: int) -> str:
        r"""``q_\phi(z\mid x;\phi)`` → the table's name, ``q(z|x)``."""
        key = one_spelling(text)
        if "(" in key and key in self.names:
            return key
        if self.names.get(f"{key}(x)") == "table":
            return f"{key}(x)"  # p alone is p(x), whatever else p is asked about
        short = [n for n in self.names if n.startswith(f"{key}(") and self.names[n] == "table"]
        if "(" not in key and len(short) == 1:
            return short[0]
        known = ", ".join(n for n in self.names if "(" in n) or "none"
        raise self.fail(f"unknown distribution {key}; this equation knows: {known}", place)

    def _at_step(self, text: str, place: int) -> tuple[str, str]:
        """A table's name, and which letter of a sum or product stands for the step in it, or ""."""
        written = one_spelling(text)
        by_step = {with_step(name, "t"): name for name in self.names if has_steps(name)}
        for letter in reversed(self.bound):
            if with_step(written, letter) in by_step:
                return by_step[with_step(written, letter)], letter
        return self._table_key(text, place), ""

    def _entry(self, key: str, step: str = "") -> sympy.Expr:
        if self.names[key] == "scalar":
            return sympy.Symbol(key)
        letters = [step if axis == "t" else axis for axis in axes(key, self.names[key])]
        return sympy.IndexedBase(key)[tuple(sympy.Symbol(i, integer=True) for i in letters)]

    def _axis(self, key: str, place: int) -> str:
        if has_steps(key):
            raise self.fail(f"{key} is a distribution of one step: a mean is over whole x", place)
        return axes(key, self.names[key])[0]

    def _is_stem(self, name: str) -> bool:
        """Does a table begin so, as p_data(x) begins with p_data?"""
        return any(n.startswith(f"{name}(") for n in self.names)

    def _bare_table(self, name: str) -> str:
        r"""``\mathbb{E}_{p_g}[\log D]``: the table D(x), where nothing else can be meant; or ""."""
        mine = [n for n in self.names if n.startswith(f"{name}(") and self.names[n] == "table"]
        if any("|" in n or "," in n for n in mine):
            return ""
        return next((n for b in reversed(self.bound) for n in mine if n == f"{name}({b})"), "")

    # -- symbols -------------------------------------------------------------------------------
    def symbol(self) -> sympy.Expr:
        place = self.place()
        name, index = self._named()
        if name == "P" and not self._is_stem("P") and self._is_stem("p"):
            name = "p"  # P(x_t | x_<t), as many write a probability
        if name in _DIVERGENCES and self.peek() in {"(", "["}:
            return self.divergence(name, place)
        if self.peek() == "^" and self._is_stem(f"{name}*"):
            name += self._star()
        self._skip_parameters(name)
        if self.peek() == "(" and self._is_stem(name):
            self.take()
            key, step = self._at_step(f"{name}({self._until({')'}, place)})", place)
            self.take()
            over = () if self.names[key] == "scalar" else axes(key, self.names[key])
            free = [a for a in over if (not step if a == "t" else a not in self.bound)]
            if free:
                message = f"{free[0]} is free in {key}: sum over it, or take an expectation"
                raise self.fail(message, place)
            return self._entry(key, step)
        if self.names.get(name) == "matrix" and len(index) == 1:
            return self._dot(name, index, place)
        bare = "" if index else self._bare_table(name)
        return self._entry(bare) if bare else self._known(name, index, place)

    def _star(self) -> str:
        r"""The star of ``D^\ast`` or ``D^{*}``, taken; "" where the power is another."""
        ahead = [self.peek(i) for i in range(4)]
        length = 2 if ahead[1] == "*" else 4 if ahead[1:] == ["{", "*", "}"] else 0
        self.at += length
        return "*" if length else ""

    def _skip_parameters(self, name: str) -> None:
        r"""``\mathcal{L}(\theta,\phi;x)``: what it depends on is said, nothing is multiplied.

        The same is true of a network that the equation knows, as ``\epsilon_\theta(x_t,t)``.
        """
        if self.peek() == "(" and name in self.names and name.endswith("_theta"):
            place = self.place()
            self.take()
            self._until({")"}, place)
            self.take()
            return
        known = _PARAMETERS & self.names.keys()  # here they are numbers, and are multiplied
        end = self.at + 1
        while self.peek(end - self.at) in {r"\theta", r"\phi", ",", ";", "x"}:
            end += 1
        said = {token.text for token in self.tokens[self.at : end]} if not known else set()
        if self.peek() == "(" and self.peek(end - self.at) == ")" and r"\theta" in said:
            self.at = end + 1

    def _named(self) -> tuple[str, str]:
        r"""A name and its indices: ``\sigma_{q,i}`` is ("sigma_q", "i"), ``s_{tj}`` ("s", "tj")."""
        name, index = self._base(), ""
        while self.peek() == "_":
            self.take()
            for label in self._raw_argument().split(","):
                if f"{name}_{label}" in self.names or self._is_stem(f"{name}_{label}"):
                    name = f"{name}_{label}"
                elif label[1:-1] in self.bound and label[0] == "(" and not index:
                    name, index = f"{name}_sorted", label[1:-1]  # x_{(i)}, the i-th smallest
                elif self._indexes(name, index + label):
                    index += label
                elif label not in _PARAMETERS:
                    name = f"{name}_{label}"
        return name, index

    def _base(self) -> str:
        if not self.peek():
            raise self.fail("the formula ends too early")
        text = self.take()
        if text in {r"\hat", r"\tilde", r"\bar"}:
            inner, _, below = self._raw_argument().partition("_")
            if below:  # \hat{x_i} is \hat{x}_i
                moved = [Token("_", self.place()), Token(below, self.place())]
                self.tokens[self.at : self.at] = moved
            return f"{inner}_{text[1:]}"
        if text in self.names or text.replace("_", "").isalpha() or text[1:] in GREEK | {"pi"}:
            return _plain(text)
        self.at -= 1
        if text == "**":
            raise self.fail("this looks like Python: give a function, or write a power as ^{2}")
        raise self.fail(f"did not expect {text[:1] if text[0] != chr(92) else text} here")

    def _known(self, name: str, index: str, place: int) -> sympy.Expr:
        if name == "epsilon" and name not in self.names:
            name = "eps"  # what code calls it
        if name == "e" and name not in self.names and not index:
            return sympy.E
        if name == "delta" and name not in self.names and len(index) == 2:
            return same(*(sympy.Symbol(letter, integer=True) for letter in index))
        kind = self.names.get(name)
        if kind is None:
            stem, _, last = name.rpartition("_")
            if self.names.get(stem) == "vector":
                message = f"{last} is used outside its sum: put brackets round what is summed"
                raise self.fail(message, place)
            known = ", ".join(self.names)
            raise self.fail(f"unknown symbol {name}; this equation knows: {known}", place)
        if not index:
            return sympy.Symbol(name)
        if kind not in {"vector", "matrix"}:
            raise self.fail(f"{name} is one number here: it has no index {index}", place)
        letters = tuple(sympy.Symbol(letter, integer=True) for letter in index)
        return sympy.IndexedBase(name)[letters]


def _over(index: str, length: str = "") -> tuple[sympy.Symbol, int, sympy.Symbol]:
    """The limits of a sum over a whole axis."""
    here, last = sympy.Symbol(index, integer=True), length or f"#{index}"
    return here, 1, sympy.Integer(last) if last.isdigit() else sympy.Symbol(last, integer=True)


def _plain(text: str) -> str:
    if text in {r"\mid", "|<", "|>"}:
        return "|"
    if text == r"\le":
        return "≤"
    return text[1:] if text[1:] in GREEK | FUNCTIONS | {"pi"} else text
