r"""Cut LaTeX into tokens, one spelling for each thing: ``\left(`` is ``(``, ``μ`` is ``\mu``."""

import re
from collections.abc import Iterable
from typing import NamedTuple

LONGEST = 4000


class LatexError(ValueError):
    """The formula cannot be read; the message points at the place."""

    def __init__(self, message: str, source: str, place: int):
        start = max(0, place - 30)
        shown = f"{message}\n    {source[start : place + 30]}".splitlines()
        lines = [_printable(shown[0]), _printable(" ".join(shown[1:]))]
        super().__init__("\n".join([*lines, " " * (4 + place - start) + "^"]))
        self.reason, self.place = message, place


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


class Token(NamedTuple):
    text: str
    place: int


_TOKEN = r"\\[A-Za-z]+|\\.|[0-9]+\.?[0-9]*|\.[0-9]+|[A-Za-z]\u0302|[A-Za-z]+|\*\*|\|\||\S"
# Spacing and size change how a formula looks and never what it says.
_INVISIBLE = set(
    r"\, \; \: \! \( \) \[ \] \\ \quad \qquad \displaystyle \textstyle \limits \nolimits "
    r"\mathopen \mathclose \mathbin \mathrel \middle \bigm \Bigm \rm \bf \it $ ~ &".split()
) | {"\\ ", "\\\n"}
_LEFT = set(r"\left \bigl \Bigl \biggl \Biggl".split())
_RIGHT = set(r"\right \bigr \Bigr \biggr \Biggr".split())
_SIZE = set(r"\big \Big \bigg \Bigg".split())
_FONTS = set(
    r"\mathrm \mathbf \mathit \mathcal \mathbb \mathsf \mathop \text \textrm \textbf \operatorname "
    r"\operatorname* \boldsymbol \bm".split()
)
GREEK = set(
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi chi psi "
    "omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell".split()
)
DIVERGENCES = {"KL", "JS", "JSD"}
FUNCTIONS = set("log exp tanh sin cos erf max min sqrt sigmoid sign sgn".split())
_BARS = {r"\lvert": "|<", r"\rvert": "|>", r"\lVert": "‖<", r"\rVert": "‖>"}
_SAME = {
    r"\ln": r"\log", "ln": r"\log", r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac",
    r"\varepsilon": r"\epsilon", r"\varphi": r"\phi", r"\vartheta": r"\theta",
    r"\widehat": r"\hat", r"\widetilde": r"\tilde", r"\overline": r"\bar",
    r"\times": "*", r"\cdot": "*", r"\odot": "*", r"\ast": "*", r"\div": "/",
    r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]",
    r"\vert": "|", r"\Vert": "‖", r"\|": "‖", r"\parallel": "‖", "||": "‖",
    r"\geq": r"\ge", r"\geqslant": r"\ge", r"\leq": r"\le", r"\leqslant": r"\le", r"\coloneqq": "=",
    r"\equiv": "=", r"\triangleq": "=", r"\_": "_", r"\lt": "<", r"\gt": ">", r"\neq": r"\ne",
    r"\varnothing": "∅", r"\emptyset": "∅",
}  # fmt: skip
_LETTERS = dict(
    zip(
        "αβγδεϵζηθκλμµνξρστφϕχψωΓΔΘΛΦΨΩπ√∑Σ∏≥≤≠ℓ",
        "alpha beta gamma delta epsilon epsilon zeta eta theta kappa lambda mu mu nu xi rho sigma "
        "tau phi phi chi psi omega Gamma Delta Theta Lambda Phi Psi Omega pi sqrt sum sum prod ge "
        "le ne ell".split(),
        strict=True,
    )
)
_UNICODE = {
    **{character: rf"\{name}" for character, name in _LETTERS.items()},
    **dict(zip("−–·⋅×∗÷∕∣‖∥𝔼ℒ（）［］＋－＝，｜：", "--****//|‖‖EL()[]+-=,|:", strict=True)),
    "½": r"\frac 1 2", "¼": r"\frac 1 4", "²": "^ 2", "³": "^ 3", "⁴": "^ 4", "ᵢ": "_ i",
    "ⱼ": "_ j", "∼": r"\sim", "\u200b": "", "\ufeff": "",
}  # fmt: skip


def tokens(source: str, names: Iterable[str] = ()) -> list[Token]:
    """``source`` as tokens; ``names`` are words that the equation knows, such as ``log_var``.

    Raises:
        LatexError: it is too long, or its backslashes were eaten by Python.
    """
    if len(source) > LONGEST:
        raise LatexError(f"the formula is longer than {LONGEST} characters", source, LONGEST)
    eaten = re.search(r"[\a\b\f\v]|\t(?=frac|imes|heta|au|ext|ilde)|\r(?=ight|ho|[vV]ert)", source)
    if eaten:
        message = 'Python has read a backslash as a code: put r before the quotes, r"…"'
        raise LatexError(message, source, eaten.start())
    blank = re.sub(
        r"\\(tag|label|begin|end)\*?\{[^}]*\}|(?<=\\operatorname)\*",
        lambda m: " " * len(m.group()),
        source,
    )
    stems = {n.partition("(")[0] for n in names}  # of tables: p_data(x) is a p_data
    words = [re.escape(n) for n in sorted(stems, key=len, reverse=True) if n.isidentifier()]
    pattern = "|".join([*(rf"(?<![A-Za-z\\])(?:{w})(?![A-Za-z])" for w in words), _TOKEN])
    found = [Token(m.group(), m.start()) for m in re.finditer(pattern, blank, re.DOTALL)]
    return _subscripts_first(_one_spelling(found, set(names)))


def _one_spelling(found: list[Token], names: set[str]) -> list[Token]:
    out: list[Token] = []
    side = ""  # what \left or \right says about the bar that follows
    at = 0
    while at < len(found):
        text, place = found[at]
        at += 1
        text = _SAME.get(text, text)
        if text in _LEFT | _RIGHT | _SIZE:
            side = "<" if text in _LEFT else ">" if text in _RIGHT else ""
            if at < len(found) and found[at].text == ".":
                at += 1  # \left. is a bracket that is not there
            continue
        if text in _INVISIBLE:
            continue
        if text in _FONTS:
            word, at = _in_font(found, at)
            if word:
                known = _word(word, names)
                out.append(Token(known[0] if len(known) == 1 else word, place))
        elif text[0].isascii() and text[0].isalpha():
            out += [Token(t, place) for t in _word(text, names)]
        elif text in {"|", "‖"}:
            out.append(Token(text + side, place))
        elif text in _BARS:
            out.append(Token(_BARS[text], place))
        else:
            out += [Token(t, place) for t in _UNICODE.get(text, text).split()]
        side = ""
    return out


def _in_font(found: list[Token], at: int) -> tuple[str, int]:
    r"""What ``\mathrm`` makes one word: ``{KL}``, a letter or a 1; "" where it is no word."""
    if at < len(found) and found[at].text != "{":
        text = found[at].text
        return (text, at + 1) if text.isalpha() or text == "1" else ("", at)
    end, parts = at + 1, []
    while end < len(found) and found[end].text not in {"{", "}"}:
        parts.append(_SAME.get(found[end].text, found[end].text))
        end += 1
    word = "".join(p for p in parts if p not in _INVISIBLE)
    closed = end < len(found) and found[end].text == "}"
    if closed and re.fullmatch(r"[A-Za-z_]+|\\[A-Za-z]+|1", word):
        return word, end + 1
    return "", at


def _word(text: str, names: set[str]) -> list[str]:
    """A run of letters: one word if it is known as one, else single letters, as in TeX."""
    if text.endswith("\u0302"):
        return [r"\hat", text[0]]
    if text in {"ln", "log"} or text in FUNCTIONS | GREEK | {"pi"} and text not in names:
        return [rf"\{'log' if text == 'ln' else text}"]
    if len(text) == 1 or text in DIVERGENCES or text in names or text.startswith("\\"):
        return [text]
    return list(text)


def _subscripts_first(found: list[Token]) -> list[Token]:
    r"""``\sigma^2_q`` is ``\sigma_q^2``."""
    for at, token in enumerate(found):
        below = _after_argument(found, at + 1)
        if token.text == "^" and below < len(found) and found[below].text == "_":
            end = _after_argument(found, below + 1)
            found[at:end] = found[below:end] + found[at:below]
    return found


def _after_argument(found: list[Token], at: int) -> int:
    """Where the argument that starts at ``at`` has ended: a group in braces, or one token."""
    level, start = 0, at
    while at < len(found):
        level += (found[at].text == "{") - (found[at].text == "}")
        at += 1
        if level <= 0:
            return at
    return max(at, start + 1)


class Tape:
    """Tokens, and a place in them: what every reader of formulas moves along."""

    def __init__(self, source: str, names: Iterable[str] = ()):
        self.source, self.tokens, self.at = source, tokens(source, names), 0

    def peek(self, ahead: int = 0) -> str:
        i = self.at + ahead
        return self.tokens[i].text if 0 <= i < len(self.tokens) else ""

    def place(self) -> int:
        return self.tokens[self.at].place if self.at < len(self.tokens) else len(self.source)

    def take(self) -> str:
        text = self.peek()
        self.at += 1
        return text

    def fail(self, message: str, place: int | None = None) -> LatexError:
        return LatexError(message, self.source, self.place() if place is None else place)

    def expect(self, wanted: str, start: int) -> None:
        if not self.peek():
            raise self.fail("this bracket is never closed", start)
        if self.peek() != wanted:
            raise self.fail(f"expected {wanted[0]} and found {self.peek()}")
        self.at += 1
