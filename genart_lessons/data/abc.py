"""ABC, the way the course writes it: one spelling for one thing, and how long everything lasts.

ABC notation (Chris Walshaw, https://abcnotation.com/wiki/abc:standard:v2.1) writes a tune as
text. A tune of the course is three lines of head and then lines of music, up to a blank line::

    M:6/8          metre
    L:1/8          length of a note without a number
    K:G            key
    |:GABc2d|…     bars

The music is made of the tokens that ``TOKEN`` names and of nothing else, without spaces: notes
with accidentals, octaves and lengths, rests, ``[chords]``, ties ``-``, broken rhythm ``>`` ``<``,
tuplets ``(3``, bar lines, and first and second endings ``|1``, ``:|2``.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

# What a token of music can be. A length is 2, 3/2, /, /4; an ending's number follows its bar line.
NOTE = r"(?:\^\^|\^|__|_|=)?[A-Ga-g](?:,+|'+)?"
LENGTH = r"(?:\d+(?:/\d*)?|/\d*)?"
TOKEN = re.compile(
    rf"(?P<note>{NOTE})(?P<length>{LENGTH})"
    rf"|(?P<rest>z)(?P<rest_length>{LENGTH})"
    rf"|\[(?P<chord>(?:{NOTE}{LENGTH})+)\](?P<chord_length>{LENGTH})"
    r"|(?P<bar>:\||\|:|\|\||\|\]|\|)(?P<ending>[1-9])?"
    r"|\((?P<tuplet>[2-9](?::\d?)?(?::\d?)?)"
    r"|(?P<broken>>{1,3}|<{1,3})"
    r"|(?P<tie>-)"
    r"|(?P<line>\n)"
)
CHORD_NOTE = re.compile(rf"({NOTE})({LENGTH})")
PITCH = re.compile(r"([\^_=]*)([A-Ga-g])([,']*)")
HEAD = re.compile(r"M:(?P<meter>[^\n]*)\nL:(?P<unit>[^\n]*)\nK:(?P<key>[^\n]*)\n")
KEY = re.compile(r"([A-G][#b]?)(m|mix|dor|lyd|phr|loc)?")
METER = re.compile(r"C\||C|([1-9]\d?)/(2|4|8|16)")
UNIT = re.compile(r"1/(2|4|8|16|32)")

WHOLE = 2**10 * 3**2 * 5 * 7  # ticks to a whole note: whole numbers for all that tunes hold
# How many notes of a tuplet last as long as how many others. (ABC 2.1, section 4.13)
TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}
STEPS = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))  # semitones above C
SHARPS = "FCGDAEB"  # the order in which a signature sharpens; flats come the other way round
FIFTHS = {name: number for number, name in enumerate(SHARPS, -1)}  # of the major key of a name
MODES = {"": 0, "m": -3, "mix": -1, "dor": -2, "lyd": 1, "phr": -4, "loc": -5}
BEND = {"=": 0, "^": 1, "^^": 2, "_": -1, "__": -2}


class NotMusic(ValueError):
    """A text that is no tune; the message says what is wrong, and where."""


@dataclass(frozen=True)
class Head:
    """The three lines above the music: ``meter`` "6/8", ``unit`` "1/8", ``key`` "G"."""

    meter: str
    unit: str
    key: str

    def __str__(self) -> str:
        return f"M:{self.meter}\nL:{self.unit}\nK:{self.key}\n"


class Token(NamedTuple):
    """A piece of music text: its ``kind`` (note, rest, chord, bar, …), text and place.

    ``ticks`` is how long it lasts, ``WHOLE`` to a whole note, with broken rhythm and tuplets
    worked in; ``pitches`` are MIDI numbers; ``ending`` is the number behind a bar line.
    """

    kind: str
    text: str
    place: int
    ticks: int = 0
    pitches: tuple[int, ...] = ()
    ending: str = ""


def unit_for(meter: str) -> str:
    """The course's unit of length for a metre: sixteenths where bars are short, else eighths."""
    return "1/16" if bar_length(meter) < Fraction(3, 4) else "1/8"


def bar_length(meter: str) -> Fraction:
    """How long a bar is, in whole notes. Raises NotMusic for what is no metre."""
    found = METER.fullmatch(meter)
    if not found:
        raise NotMusic(f"M:{meter} is no metre: write C, C| or a fraction such as 6/8.")
    return Fraction(meter) if found[1] else Fraction(1)


def signature(key: str) -> dict[str, int]:
    """The accidentals of a key, ``{"F": 1}`` for G. Raises NotMusic for what is no key."""
    found = KEY.fullmatch(key)
    if not found:
        raise NotMusic(f"K:{key} is no key: write a tonic A … G, # or b, and m, mix, dor or lyd.")
    flat = {"": 0, "#": 7, "b": -7}[found[1][1:]]
    fifths = FIFTHS[found[1][0]] + flat + MODES[found[2] or ""]
    if abs(fifths) > 7:
        raise NotMusic(f"K:{key} would need {abs(fifths)} accidentals; there are seven letters.")
    letters = SHARPS[:fifths] if fifths > 0 else SHARPS[::-1][:-fifths]
    return dict.fromkeys(letters, 1 if fifths > 0 else -1)


def head(text: str) -> tuple[Head, str]:
    """The head of a tune, and the music below it. Raises NotMusic."""
    found = HEAD.match(text)
    if not found:
        raise NotMusic("a tune begins with three lines: M:metre, L:unit, K:key.")
    top = Head(found["meter"], found["unit"], found["key"])
    bar_length(top.meter), signature(top.key)
    if not UNIT.fullmatch(top.unit):
        raise NotMusic(f"L:{top.unit} is no unit of length: write 1/8, 1/16 or 1/4.")
    return top, text[found.end() :]


@functools.cache
def number(length: str) -> tuple[int, int]:
    """A length as ABC writes it, as a fraction: "" is 1/1, "3" 3/1, "/" 1/2, "3/2" three halves."""
    above, slash, below = length.partition("/")
    found = int(above or 1), int(below or 2) if slash else 1
    if not all(found):
        raise NotMusic(f"the length {length!r} is nothing: a note lasts more than no time.")
    return found


def written(length: Fraction) -> str:
    """A length in the course's one spelling: "", "3", "/", "/4", "3/2"."""
    if length.denominator == 1:
        return "" if length == 1 else str(length)
    above = "" if length.numerator == 1 else str(length.numerator)
    return f"{above}/" if length == Fraction(1, 2) else f"{above}/{length.denominator}"


def tokens(text: str) -> list[Token]:
    """A tune's music, token by token, each with its length and pitches. Raises NotMusic.

    ``text`` is a whole tune with its head. Accidentals last until the next bar line.
    """
    top, music = head(text)
    offset = len(text) - len(music)
    raw: list[re.Match[str]] = []
    place = 0
    while place < len(music):
        found = TOKEN.match(music, place)
        if not found:
            raise NotMusic(_unreadable(music, place, offset))
        if raw and raw[-1]["broken"] and not (found["note"] or found["rest"] or found["chord"]):
            raise NotMusic(_unreadable(music, place - 1, offset))
        raw.append(found)
        place = found.end()
    if not raw or raw[-1]["broken"]:
        raise NotMusic("a tune without music." if not raw else _unreadable(music, -1, offset))
    return list(_timed(raw, top.unit, signature(top.key), offset))


def _unreadable(music: str, place: int, offset: int) -> str:
    place %= len(music)
    sign, where = music[place], f"at character {place + offset}"
    rest = music[place:].split("\n", 1)[0][:12]
    if sign in "[]":
        return f"the bracket {sign} {where} ({rest!r}) does not enclose notes."
    if sign == "(":
        return f"the bracket ( {where} ({rest!r}) does not begin a tuplet such as (3."
    if sign in "<>":
        return f"the {sign} {where} does not stand between two notes."
    return f"{sign!r} {where} ({rest!r}) cannot stand there in a tune."


def _timed(raw: list[re.Match], unit: str, key: dict, offset: int) -> Iterator[Token]:
    """The tokens with their lengths and pitches."""
    bent: dict[str, int] = {}
    into, of, left = 1, 1, 0  # a tuplet: its factor into/of, and how many of its notes are left
    carried = 1, 1  # what the broken rhythm before a note makes of its length
    for at, found in enumerate(raw):
        text, place = found[0], found.start() + offset
        if found["bar"]:
            bent = {}
            yield Token("bar", found["bar"], place, ending=found["ending"] or "")
        elif found["tuplet"]:
            into, of, left = _tuplet(found["tuplet"])
            yield Token("tuplet", text, place)
        elif found["broken"] or found["tie"] or found["line"]:
            kind = "broken" if found["broken"] else "tie" if found["tie"] else "line"
            yield Token(kind, text, place)
        else:
            kind, pitches, lengths = _sound(found, key, bent)
            sign = raw[at + 1]["broken"] if at + 1 < len(raw) else None
            here, after = _broken(sign)
            ticks = _ticks(unit, lengths, carried, here, (into, of) if left else (1, 1))
            carried, left = after, max(0, left - 1)
            yield Token(kind, text, place, ticks, pitches)


def _tuplet(numbers: str) -> tuple[int, int, int]:
    """``(of:into:over``: so many notes in the time of so many, for the next so many."""
    of, into, over = (*(int(n or 0) for n in numbers.split(":")), 0, 0)[:3]
    return into or TUPLETS.get(of, 2), of, over or of


def _sound(found: re.Match, key: dict, bent: dict) -> tuple[str, tuple[int, ...], str]:
    """What kind of thing sounds (or rests), at which pitches, and its length or two of them."""
    if found["note"]:
        return "note", (_pitch(found["note"], key, bent),), found["length"]
    if found["rest"]:
        return "rest", (), found["rest_length"]
    parts = CHORD_NOTE.findall(found["chord"])
    pitches = tuple(_pitch(name, key, bent) for name, _ in parts)
    return "chord", pitches, f"{parts[0][1]} {found['chord_length']}"


def _broken(sign: str | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """By what broken rhythm multiplies the length of the note before it, and of the one after."""
    if not sign:
        return (1, 1), (1, 1)
    short = 1, 2 ** len(sign)
    long = 2 ** (len(sign) + 1) - 1, 2 ** len(sign)
    return (long, short) if sign[0] == ">" else (short, long)


@functools.cache
def _ticks(unit: str, lengths: str, *factors: tuple[int, int]) -> int:
    """How long a note lasts: the unit times its written length (or two), times all factors."""
    above, below = WHOLE, 1
    for more, less in (number(unit), *map(number, lengths.split(" ")), *factors):
        above, below = above * more, below * less
    if above % below:
        raise NotMusic(f"a note of length {lengths or 1} is finer than any tune's.")
    return above // below


def _pitch(name: str, key: dict[str, int], bent: dict[str, int]) -> int:
    """The MIDI number of a note; ``bent`` remembers the bar's accidentals, octave by octave."""
    sign, letter, place, height = _spelled(name)
    if sign:
        bent[place] = BEND[sign]
    return height + bent.get(place, key.get(letter, 0))


@functools.cache
def _spelled(name: str) -> tuple[str, str, str, int]:
    """A note's accidental, its letter, that with the octave, and its pitch without accidental."""
    sign, letter, octave = PITCH.fullmatch(name).groups()  # type: ignore[union-attr]
    higher = letter.islower() + octave.count("'") - octave.count(",")
    return sign, letter.upper(), letter + octave, 60 + 12 * higher + STEPS[letter.upper()]


def staff_place(token: Token) -> int:
    """How high the highest note of a note or chord stands on the staff; one step is one letter."""
    return _staff_place(token.text)


@functools.cache
def _staff_place(text: str) -> int:
    return max(
        "CDEFGAB".index(letter.upper())
        + 7 * (letter.islower() + octave.count("'") - octave.count(","))
        for _, letter, octave in PITCH.findall(text)
    )


def melody(text: str) -> list[int]:
    """The MIDI pitches of a tune, one after the other; of a chord, its highest note."""
    return [max(token.pitches) for token in tokens(text) if token.pitches]
