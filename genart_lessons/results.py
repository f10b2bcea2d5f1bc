"""Named results with bars: what a chapter claims to reach, held against what it reached.

>>> results.record("test_elbo", 17.93, bar="<= 20", unit="nats per image", chapter="03")
✔ test_elbo = 17.9 nats per image (bar: <= 20)

Every result is kept in ``runtime.home()/results/<chapter>.json`` and nowhere else.
"""

import json
import math
import operator
import os
import re
import time
import warnings
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from genart_lessons import runtime

OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_BAR = re.compile(r"\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
_CHAPTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# Okabe-Ito green and vermilion: told apart by colour-blind readers, and the marks differ too.
COLOURS = {True: "#009E73", False: "#D55E00", None: "#7f7f7f"}
MARKS = {True: "✔", False: "✘", None: "•"}


class BarMissed(AssertionError):
    """A result missed its bar while ``GENART_STRICT=1``."""


@dataclass(frozen=True)
class Result:
    """One measured number. ``ok`` says whether it meets its bar; None where there is no bar.

    ``se`` is the value's standard error. ``profile`` is the one it was measured under.
    """

    name: str
    value: float
    bar: str | None = None
    unit: str = ""
    chapter: str = ""
    se: float | None = None
    ok: bool | None = None
    profile: str = ""

    @property
    def text(self) -> str:
        """The result on one line."""
        unit = f" {self.unit}" if self.unit else ""
        bar = f" (bar: {self.bar})" if self.bar else ""
        return f"{MARKS[self.ok]} {self.name} = {self.number}{unit}{bar}"

    @property
    def number(self) -> str:
        """The value as people write it, with so many digits that one sees why it meets the bar."""
        if not math.isfinite(self.value):
            return str(self.value)
        if 0 < abs(self.value) < 1e-6 and self.se is None:
            return f"{self.value:.1e}"
        decimals = _decimals(self.value, self.se)
        while self.bar and decimals < 17:
            if meets(float(f"{self.value:.{decimals}f}"), self.bar) == self.ok:
                break
            decimals += 1
        error = f" ± {self.se:,.{decimals}f}" if self.se is not None else ""
        return f"{self.value:,.{decimals}f}{error}"

    def __repr__(self) -> str:
        return self.text

    def __bool__(self) -> bool:
        return self.ok is not False

    def _repr_html_(self) -> str:
        colour = COLOURS[self.ok]
        bar = f'<span style="opacity:.7"> · bar: {escape(self.bar)}</span>' if self.bar else ""
        return (
            f'<div style="border-left:4px solid {colour};padding:.3em .8em;margin:.2em 0;'
            'max-width:52em">'
            f'<span style="color:{colour};font-weight:bold">{MARKS[self.ok]}</span> '
            f"<b>{escape(self.name)}</b> = {escape(self.number)} "
            f"{escape(self.unit)}{bar}</div>"
        )


def record(
    name: str,
    value,
    bar: str | None = None,
    unit: str = "",
    chapter: str = "",
    se: float | None = None,
) -> Result:
    """Hold a value against its bar, keep it, and return it as a Result that prints as one line.

    ``value`` is a number or a tensor of one element; ``bar`` is an operator (<, <=, >, >=) and a
    number, such as ``"<= 20"``; ``se`` is the standard error, shown after ±. NaN misses every bar.
    Raises ValueError for a bar, name, chapter or value that makes no sense, and BarMissed for a
    missed bar where ``GENART_STRICT=1`` (so a test run of the chapter fails).
    """
    if not name or not isinstance(name, str):
        raise ValueError(f"name={name!r}: give the result a name, for example 'test_elbo'.")
    number = _as_float(value, "value")
    error = None if se is None else _as_float(se, "se")
    if error is not None and not error >= 0:
        raise ValueError(f"se={se!r}: a standard error is not negative, and not NaN.")
    bar = None if bar is None else " ".join(_parsed(bar))
    ok = None if bar is None else meets(number, bar)
    result = Result(name, number, bar, unit, chapter, error, ok, runtime.profile())
    if chapter:
        _keep(result)
    if ok is False and os.environ.get("GENART_STRICT") == "1":
        raise BarMissed(result.text)
    return result


def meets(value: float, bar: str) -> bool:
    """Whether a value meets a bar such as ``"<= 20"``. NaN meets none. Raises ValueError."""
    sign, number = _parsed(bar)
    return OPERATORS[sign](value, float(number))


def load(chapter: str) -> dict[str, Result]:
    """name → Result, of everything recorded for a chapter; a damaged file is set aside."""
    file = path(chapter)
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {name: _unpacked(fields) for name, fields in kept.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        aside = file.with_suffix(f".damaged-{time.time_ns()}.json")
        file.replace(aside)
        warnings.warn(
            f"{file} was damaged ({error}); it is set aside as {aside.name}.", stacklevel=2
        )
        return {}


def path(chapter: str) -> Path:
    """Where a chapter's results are kept. Raises ValueError for a name that is no file name."""
    if not isinstance(chapter, str) or not _CHAPTER.fullmatch(chapter):
        raise ValueError(f"chapter={chapter!r}: use letters, digits, - and _, for example '03'.")
    return runtime.home() / "results" / f"{chapter}.json"


def _parsed(bar: str) -> tuple[str, str]:
    parsed = _BAR.fullmatch(bar) if isinstance(bar, str) else None
    if parsed is None:
        raise ValueError(
            f"bar={bar!r} is not understood: write an operator (<, <=, >, >=) and a number, "
            "for example '<= 20'."
        )
    return parsed[1], parsed[2]


def _keep(result: Result) -> None:
    """Put a result beside the others of its chapter. A disk that is full is a warning only."""
    target = path(result.chapter)
    try:
        kept = load(result.chapter) | {result.name: result}
        text = json.dumps({name: _packed(each) for name, each in kept.items()}, indent=1)
        runtime.atomic_write(target, text + "\n")
    except OSError as error:
        warnings.warn(f"{target} could not be written ({error.strerror}).", stacklevel=3)


def _packed(result: Result) -> dict:
    """As JSON can hold it: NaN and infinity, which JSON has not, as text."""
    finite = math.isfinite(result.value)
    return asdict(result) | {"value": result.value if finite else str(result.value)}


def _unpacked(fields: dict) -> Result:
    """A Result from a file that may hold anything. Raises where it does not print as a result."""
    result = Result(**fields | {"value": float(fields["value"])})
    if not all(isinstance(text, str) for text in (result.name, result.unit, result.text)):
        raise ValueError(f"{fields!r} is not a result")
    return result


def _as_float(value, what: str) -> float:
    """A plain float from a number, a NumPy scalar or a tensor of one element, on any device."""
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{what}={value!r} is not one number ({error}).") from error


def _decimals(value: float, se: float | None) -> int:
    """Decimals for three significant digits, or for two of the standard error; none for a whole."""
    if se and math.isfinite(se):
        return max(0, 1 - math.floor(math.log10(se)))
    if value.is_integer():
        return 0
    return max(0, 2 - math.floor(math.log10(abs(value))))
