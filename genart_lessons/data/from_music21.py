"""Folk tunes and Bach's chorales, read from the corpus that ships inside music21.

Only the corpus files are read; music21 itself is not imported, because that takes seconds. Every
tune is written again in the one spelling of :mod:`genart_lessons.data.abc`:

* Titles are kept apart. Comments, sources, names of chords, fingerings, bowings, decorations,
  slurs and lyrics are dropped, and so are grace notes: they take no time of their own, and each
  transcriber wrote others.
* The unit of length is one for each metre, so lengths are written again; ``4/4`` is ``C``.
* A line is four bars, or fewer where a part ends.
"""

import collections
import functools
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch

from genart_lessons.data import abc, cache, families
from genart_lessons.data.abc import NotMusic
from genart_lessons.data.files import package_folder, sha256
from genart_lessons.data.music import CHARACTERS, Tunes, decode, encode
from genart_lessons.data.pictures import check_split, test_bases

BOOKS = {"Ryan": "ryansMammoth", "O'Neill": "oneills1850", "Aird": "airdsAirs"}
INSTALL = "music21>=9.5,<11"
SHORTEST, LONGEST = 4, 1500  # whole bars, characters
BAR_SIGNS = r"(?:[|:\]]|\[(?=[|:\]1-9]))"

FIELD = re.compile(r"([A-Za-z]):(?![|:])(.*)")
SOUND = re.compile(
    r'"[^"\n]*"|![^!|\n]*!|\+[^+|\n]*\+|\{[^}]*\}'  # dropped
    r"|\[(?P<field>[A-Za-z]):(?P<value>[^\]\n]*)\]"
    rf"|(?P<bar>{BAR_SIGNS}(?:\s|{BAR_SIGNS})*)(?P<ending>[1-9](?:[,-][1-9])*)?"
    rf"|(?P<note>{abc.NOTE})\s*(?P<length>{abc.LENGTH}/*)"
    rf"|\[(?P<chord>[^\]\n|]*)\](?P<chord_length>{abc.LENGTH}/*)"
    rf"|(?P<rest>[zx])(?P<rest_length>{abc.LENGTH}/*)"
    r"|\((?P<tuplet>[2-9](?::\d?)?(?::\d?)?)"
    r"|(?P<broken>>+|<+)|(?P<tie>-)"
    r"|[\s()`*\\.~!y]|[H-WYh-w]"  # dropped, too
)
MAIL = re.compile(r"=(20)?$")  # what e-mail put behind a long line
MODE_NAMES = {"maj": "", "min": "m", "mix": "mix", "dor": "dor", "lyd": "lyd", "phr": "phr"}


class Unfit(Exception):
    """Why a tune of the corpus is not one of the course's."""


@dataclass(frozen=True)
class Tune:
    """One tune of a book, written in the course's spelling."""

    book: str
    title: str
    head: abc.Head
    text: str
    tokens: list[abc.Token]


def tunes(split: str = "train") -> Tunes:
    """Folk tunes of Ryan's, O'Neill's and Aird's collections, as ABC text.

    ``"train"`` has 90 % and ``"test"`` 10 % of them, ``"all"`` both, in the order of the books.
    Raises ValueError for another split, DataMissing where music21's corpus is incomplete.
    """
    check_split(split)
    stream, known = raw()
    texts = [text + "\n\n" for text in decode(stream).split("\n\n")[:-1]]
    heads = [abc.head(text)[0] for text in texts]
    everything = Tunes(
        texts, known["titles"], known["books"], [head.meter for head in heads],
        [head.key for head in heads], known["families"], "all",
    )  # fmt: skip
    if split == "all":
        return everything
    for_test = test_bases(everything.families, everything.meters)
    chosen = [
        i for i, each in enumerate(everything.families) if (each in for_test) == (split == "test")
    ]
    return replace(everything.take(chosen), split=split)


def raw() -> tuple[torch.Tensor, dict]:
    """All tunes as one row of character numbers (N,) uint8, and what is known of each.

    ``titles``, ``books`` and ``families`` hold one entry a tune; ``dropped`` counts the tunes of
    the corpus that are not among them, by reason.
    """
    code = [Path(str(module.__file__)) for module in (abc, families)]
    return cache.remembered("tunes", sha256(*files(), *code, Path(__file__)), _make)


def _make() -> tuple[torch.Tensor, dict]:
    found, dropped = cleaned()
    first = families.of_tunes(
        [tune.tokens for tune in found], [tune.head.meter for tune in found],
        [tune.title for tune in found],
    )  # fmt: skip
    known = {
        "titles": [tune.title for tune in found],
        "books": [tune.book for tune in found],
        "families": [f"{found[i].title} ({found[i].book})" for i in first],
        "dropped": dropped,
    }
    return encode("".join(tune.text for tune in found)).to(torch.uint8), known


def cleaned() -> tuple[list[Tune], dict[str, int]]:
    """The tunes of the corpus that can be used, and how many cannot, by reason."""
    found: list[Tune] = []
    dropped: collections.Counter[str] = collections.Counter()
    texts: set[str] = set()
    for book, block in printed():
        try:
            tune = clean(book, block)
            if tune.text in texts:
                raise Unfit("there twice, note by note")
            texts.add(tune.text)
            found.append(tune)
        except Unfit as reason:
            dropped[str(reason)] += 1
    return found, dict(dropped.most_common())


def folders() -> dict[str, Path]:
    """Where the three books lie. Raises DataMissing."""
    return {book: package_folder("music21", f"corpus/{at}", INSTALL) for book, at in BOOKS.items()}


def files() -> list[Path]:
    """The files of the three books, in the order of their names. Raises DataMissing."""
    return [path for folder in folders().values() for path in sorted(folder.glob("*.abc"))]


def printed() -> Iterator[tuple[str, str]]:
    """(book, text) of every tune in the corpus, as its transcriber wrote it."""
    for book, folder in folders().items():
        for path in sorted(folder.glob("*.abc")):
            text = path.read_text(encoding="utf-8", errors="replace")
            for block in re.split(r"(?m)^(?=X:)", text)[1:]:
                yield book, block


def clean(book: str, block: str) -> Tune:
    """A printed tune in the course's spelling. Raises Unfit, with the reason."""
    fields, music = _parted(block)
    meter, key = _meter(fields.get("M", "")), _key(fields.get("K", ""))
    top = abc.Head(meter, abc.unit_for(meter), key)
    unit = fields.get("L") or ("1/8" if abc.bar_length(meter) >= Fraction(3, 4) else "1/16")
    line = _respelled(music, Fraction(unit), Fraction(top.unit))
    try:
        tokens = abc.tokens(f"{top}{line}")
    except NotMusic as error:
        raise Unfit("cannot be read") from error
    text = _in_lines(top, tokens)
    if len(text) > LONGEST:
        raise Unfit("too long")
    if not set(text) <= set(CHARACTERS):
        raise Unfit("a rare key or length")
    return Tune(book, _title(fields.get("T", "")), top, text, tokens)


def _parted(block: str) -> tuple[dict[str, str], str]:
    """The fields of the head (the first of each kind), and the lines of music below."""
    fields: dict[str, str] = {}
    music: list[str] = []
    for line in block.splitlines():
        line = MAIL.sub("", line.partition("%")[0])
        found = FIELD.match(line)
        if not found:
            if "K" in fields:
                music.append(line)
        elif "K" not in fields:
            fields.setdefault(found[1], found[2].strip())
        elif found[1] in "KMLV":  # inside a tune: kept as an inline field for the reader below
            music.append(f"[{found[1]}:{found[2].strip()}]")
    return fields, "\n".join(music)


def _meter(printed: str) -> str:
    meter = {"4/4": "C", "2/2": "C|"}.get(printed, printed)
    if not abc.METER.fullmatch(meter):
        raise Unfit("no metre")
    return meter


def _key(printed: str) -> str:
    found = re.fullmatch(r"([A-G][#b]?)\s*(m|[A-Za-z]{3,})?", printed)
    mode = (found[2] or "maj") if found else ""
    mode = "m" if mode == "m" else MODE_NAMES.get(mode[:3].lower(), "?")
    if not found or mode == "?":
        raise Unfit("no key that can be read")
    return found[1] + mode


def _title(printed: str) -> str:
    title = re.sub(r"\s+", " ", re.sub(r'"', "", printed).replace("--", "–")).strip(" .")
    title = re.sub(r"(?<=[a-z])t:", "t", title)  # the transcriber's "Wat:er"
    if title.isupper():
        title = string.capwords(title)
    title = re.sub(r"^(.+?), (The|the|A|An)( – .*)?$", r"\2 \1\3", title)
    return title[:1].upper() + title[1:] or "Untitled"


def _respelled(music: str, unit: Fraction, wanted: Fraction) -> str:
    """The music as one line of canonical tokens. Raises Unfit."""
    out: list[str] = []
    bars, ending, place = "", "", 0
    scale = (unit / wanted).as_integer_ratio()
    while place < len(music):
        found = SOUND.match(music, place)
        if not found:
            raise Unfit("cannot be read")
        place = found.end()
        if (found["bar"] or found["tuplet"]) and out and out[-1][0] in "<>":
            raise Unfit("cannot be read")  # broken rhythm, and nothing to break
        if found["field"]:
            _demand_same(found["field"])
            if found["field"] == "L":
                scale = (Fraction(found["value"]) / wanted).as_integer_ratio()
        elif found["bar"]:
            bars, ending = bars + re.sub(r"\s", "", found["bar"]), found["ending"] or ending
        elif token := _token(found, scale):
            if bars:
                out += _bar_lines(bars, ending, first=not out)
                bars, ending = "", ""
            out.append(token)
    last = ":|" if re.match(r"\|*:", bars) and bars.strip("|[]") and "|" in bars else "|]"
    return "".join(_tied([*out, last]))


def _demand_same(field: str) -> None:
    """Raise Unfit for a field inside a tune that changes more than the unit of length."""
    if field in "KMV":
        what = {"K": "changes its key", "M": "changes its metre", "V": "several voices"}
        raise Unfit(what[field])


def _token(found: re.Match, scale: tuple[int, int]) -> str:
    """A note, rest, chord or sign in the course's spelling; "" for what is dropped."""
    if found["note"]:
        return found["note"] + _length(found["length"], *scale)
    if found["rest"]:
        return "z" + _length(found["rest_length"], *scale)
    if found["chord"] is not None:
        inside = re.sub(r"[\s.~()uvT]|\"[^\"]*\"", "", found["chord"])
        parts = re.findall(rf"({abc.NOTE})({abc.LENGTH}/*)", inside)
        if not parts or "".join(map("".join, parts)) != inside or len({p[1] for p in parts}) > 1:
            raise Unfit("cannot be read")
        own = (_number(parts[0][1]) * Fraction(*scale)).as_integer_ratio()
        return f"[{''.join(p[0] for p in parts)}]" + _length(found["chord_length"], *own)
    if found["tuplet"]:
        if found["tuplet"].rstrip(":2") != "3":
            raise Unfit("a rare tuplet")
        return "(3"
    return found["broken"] or found["tie"] or ""


def _number(length: str) -> Fraction:
    """A length as anybody writes it, also as ``//``."""
    slashes = len(length) - len(length.rstrip("/"))
    plain = Fraction(*abc.number(length.rstrip("/")))
    return plain / 2**slashes


@functools.cache
def _length(length: str, above: int, below: int) -> str:
    return abc.written(_number(length) * Fraction(above, below))


def _bar_lines(signs: str, ending: str, first: bool) -> list[str]:
    """What a run of bar signs means: an end of a part, a beginning of one, or a plain bar line."""
    ends = signs.startswith(":") or ":|" in signs or ":]" in signs
    begins = (signs.endswith(":") and len(signs) > 1) or "|:" in signs
    if signs in (":", "::"):
        ends = begins = True
    if "," in ending or "-" in ending or (ending and begins):
        raise Unfit("cannot be read")
    if first:
        return ["|:"] if begins else []
    double = "||" in signs or signs.count("]") > signs.count("[") or "[|" in signs
    end = ":|" if ends else "||" if (double or begins) and not ending else "|"
    return [end + ending, "|:"] if begins else [end + ending]


def _tied(tokens: list[str]) -> Iterator[str]:
    """Drop ties to another pitch: they are slurs that were written so."""
    for at, token in enumerate(tokens):
        if token == "-":
            before = re.sub(r"[\d/]+$", "", tokens[at - 1]) if at else ""
            after = next((t for t in tokens[at + 1 :] if not re.match(r"[|:<>]|\(3", t)), "")
            if before.strip("^_=") != re.sub(r"[\d/]+$", "", after).strip("^_="):
                continue
        yield token


def _in_lines(top: abc.Head, tokens: list[abc.Token]) -> str:
    """The whole text of a tune, with a line for every four bars. Raises Unfit."""
    whole = int(abc.bar_length(top.meter) * abc.WHOLE)
    out, filled, bars, total = [str(top)], 0, 0, 0
    for at, token in enumerate(tokens):
        out.append(token.text + token.ending)
        filled += token.ticks
        if token.kind != "bar" or token.text == "|:":
            continue
        bars, total = bars + (filled >= whole), total + (filled >= whole)
        filled = 0
        after = tokens[at + 1] if at + 1 < len(tokens) else None
        if not token.ending and (token.text != "|" or bars >= 4 or (after and after.text == "|:")):
            out.append("\n")
            bars = 0
    if total < SHORTEST:
        raise Unfit("too short")
    return "".join(out) + "\n"
