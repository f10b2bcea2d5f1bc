"""Bach's four-part chorales, read from the corpus that ships inside music21.

The files are MusicXML, most of them zipped; music21 itself is not imported. What is kept of a
chorale is its notes on a grid of sixteenths, as printed: in the printed key, with repeats written
once. A note that begins between two sixteenths is left out, and the one before it is held.
"""

import collections
import re
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from genart_lessons.data import abc, cache, families
from genart_lessons.data.files import package_folder, sha256
from genart_lessons.data.from_music21 import INSTALL, Unfit
from genart_lessons.data.music import Chorales
from genart_lessons.data.pictures import check_split, test_bases

PARTS = ("Soprano", "Alto", "Tenor", "Bass")
STEPS = 4  # to a quarter note: sixteenths
TICKS = 10080  # to a quarter note while a file is read, so that all its times are whole numbers
STEP = TICKS // STEPS
# Two chorales are on one melody when their sopranos share this much (see families.py): then all
# that sing one hymn to one melody are together, and melodies that merely begin alike are not.
BY_NOTE, BY_BEAT = (7, 0.30), (6, 0.30)


@dataclass
class Voice:
    """One part while it is read: (start, end, pitch, new, fermata), times in ticks."""

    notes: list[tuple[int, int, int, bool, bool]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Chorale:
    """One chorale: ``grid``, ``starts`` (T, 4), ``fermatas`` (T,) and where its bars begin."""

    title: str
    key: str
    meter: str
    grid: torch.Tensor
    starts: torch.Tensor
    fermatas: torch.Tensor
    bar_starts: list[int]
    lost: int


def chorales(split: str = "train") -> Chorales:
    """Bach's chorales for four voices, as pitches on a grid of sixteenths.

    ``"train"`` has 90 % and ``"test"`` 10 % of them, ``"all"`` both, in the order of the catalogue.
    Raises ValueError for another split, DataMissing where music21's corpus is incomplete.
    """
    check_split(split)
    whole, known = raw()
    each = [part.long() for part in whole.split(known["steps"])]
    everything = Chorales(
        known["titles"], known["keys"], known["meters"], known["families"],
        [part[:, :4] for part in each], [part[:, 4:8].bool() for part in each],
        [part[:, 8].bool() for part in each], known["bar_starts"], "all", STEPS,
    )  # fmt: skip
    if split == "all":
        return everything
    for_test = test_bases(everything.families, ["chorale"] * len(everything))
    chosen = [
        i for i, name in enumerate(everything.families) if (name in for_test) == (split == "test")
    ]
    return replace(everything.take(chosen), split=split)


def raw() -> tuple[torch.Tensor, dict]:
    """All chorales one below the other, (steps, 9) uint8, and what is known of each.

    The columns are four pitches, four times whether a note begins, and the fermata. ``steps`` says
    how many rows a chorale has; ``dropped`` counts the files that are not among them, by reason,
    and ``lost`` the notes that begin off the grid.
    """
    code = [Path(str(module.__file__)) for module in (abc, families)]
    return cache.remembered("chorales", sha256(*files(), *code, Path(__file__)), _make)


def _make() -> tuple[torch.Tensor, dict]:
    found: list[Chorale] = []
    dropped: collections.Counter[str] = collections.Counter()
    for path in files():
        try:
            chorale = read(path)
            if any(torch.equal(chorale.grid, other.grid) for other in found):
                raise Unfit("there twice, note by note")
            found.append(chorale)
        except Unfit as reason:
            dropped[str(reason)] += 1
    known = {
        "steps": [len(each.grid) for each in found],
        "titles": [each.title for each in found],
        "keys": [each.key for each in found],
        "meters": [each.meter for each in found],
        "families": [found[i].title for i in _melodies(found)],
        "bar_starts": [each.bar_starts for each in found],
        "dropped": dict(dropped.most_common()),
        "lost": sum(each.lost for each in found),
    }
    whole = [torch.cat([c.grid, c.starts, c.fermatas[:, None]], 1).to(torch.uint8) for c in found]
    return torch.cat(whole), known


def _melodies(found: list[Chorale]) -> list[int]:
    """For each chorale the first one that has its melody, or its hymn's first line."""
    by_note, by_beat = [], []
    for each in found:
        soprano = each.grid[:, 0]
        upbeat = each.bar_starts[1] % STEPS if len(each.bar_starts) > 1 else 0
        by_note.append(_steps(soprano[each.starts[:, 0]]))
        by_beat.append(_steps(soprano[upbeat::STEPS]))
    pairs = families.alike(by_note, *BY_NOTE) | families.alike(by_beat, *BY_BEAT)
    lines = [each.title.partition(": ")[2] for each in found]
    return families.joined(len(found), pairs | families.same_title(lines))


def _steps(pitches: torch.Tensor) -> list[int]:
    """The steps in semitones from each pitch to the next that is another; rests do not count."""
    return [step for step in pitches[pitches > 0].diff().tolist() if step]


def files() -> list[Path]:
    """The files of Bach's works. Raises DataMissing."""
    folder = package_folder("music21", "corpus/bach", INSTALL)
    return sorted([*folder.glob("bwv*.mxl"), *folder.glob("bwv*.xml")], key=_catalogue)


def _catalogue(path: Path) -> tuple:
    """Sorts by the number in the catalogue of Bach's works: 9.7 before 10.7."""
    parts = re.split(r"(\d+)", path.stem)
    return tuple(int(part) if part.isdigit() else part for part in parts)


def _root(path: Path) -> ET.Element:
    if path.suffix == ".xml":
        return ET.parse(path).getroot()
    with zipfile.ZipFile(path) as archive:
        inside = [name for name in archive.namelist() if not name.startswith("META-INF")]
        (name,) = (name for name in inside if re.search(r"\.(music)?xml$", name))
        return ET.fromstring(archive.read(name))


def read(path: Path) -> Chorale:
    """One chorale. Raises Unfit, with the reason, for what is none for four voices alone."""
    root = _root(path)
    names = tuple(each.text for each in root.findall("part-list/score-part/part-name"))
    if names != PARTS:
        raise Unfit("not for four voices alone")
    parts = root.findall("part")
    if any(part.find(f".//{tag}") is not None for part in parts for tag in ("backup", "chord")):
        raise Unfit("two notes at once in one voice")
    if len({len(part.findall("measure")) for part in parts}) > 1:
        raise Unfit("voices that do not fit together")
    voices, bars, end = _voices(parts)
    if end % STEP:
        raise Unfit("voices that do not fit together")
    grid, starts, fermatas, lost = _on_grid(voices, end // STEP)
    meter, fifths = _time(parts[0]), int(parts[0].findtext(".//fifths") or 0)
    return Chorale(
        _title(path, voices[0].words), _key(int(grid[:, 3][grid[:, 3] > 0][-1]), fifths), meter,
        grid, starts, fermatas, [bar // STEP for bar in bars], lost,
    )  # fmt: skip


def _voices(parts: list[ET.Element]) -> tuple[list[Voice], list[int], int]:
    """The four voices, where their bars begin, and the end; all in ticks."""
    voices = [Voice() for _ in parts]
    divisions = [1] * len(parts)
    now, bars = 0, []
    for measures in zip(*(part.findall("measure") for part in parts), strict=True):
        bars.append(now)
        ends = set()
        for which, measure in enumerate(measures):
            if found := measure.findtext("attributes/divisions"):
                divisions[which] = int(found)
            ends.add(_bar(measure, voices[which], now, divisions[which]))
        if len(ends) > 1:
            raise Unfit("voices that do not fit together")
        now = ends.pop()
    return voices, bars, now


def _bar(measure: ET.Element, voice: Voice, now: int, divisions: int) -> int:
    """Add one bar to a voice; returns where the bar ends."""
    for each in measure:
        if each.tag not in ("note", "forward") or each.find("grace") is not None:
            continue
        end = now + int(each.findtext("duration") or 0) * TICKS // divisions
        step = each.findtext("pitch/step")
        if step:
            octave = int(each.findtext("pitch/octave") or 0)
            bend = int(float(each.findtext("pitch/alter") or 0))
            pitch = 12 * (octave + 1) + abc.STEPS[step] + bend
            new = all(tie.get("type") != "stop" for tie in each.findall("tie"))
            fermata = each.find("notations/fermata") is not None
            voice.notes.append((now, end, pitch, new, fermata))
            _sing(each, voice)
        now = end
    return now


def _sing(note: ET.Element, voice: Voice) -> None:
    """Add a note's syllable to the words of the first line."""
    verses = (each for each in note.findall("lyric") if each.get("number") in ("1", None))
    lyric = next(verses, None)
    done = voice.words and voice.words[-1] == "\n"
    if lyric is not None and not done and (text := (lyric.findtext("text") or "").strip()):
        joined = lyric.findtext("syllabic") in ("begin", "middle")
        voice.words.append(text if joined else f"{text} ")
    if note.find("notations/fermata") is not None and not done:
        voice.words.append("\n")


def _title(path: Path, words: list[str]) -> str:
    """The catalogue's number and the first line of the hymn, where the file has its words."""
    number = path.stem.removeprefix("bwv")
    line = re.sub(r"\s+", " ", "".join(words)).strip(" ,.;:!/_-")
    line = re.sub(r"^\d+\. ?", "", line)
    return f"BWV {number}" + (f": {line[:1].upper()}{line[1:]}" if line else "")


def _time(part: ET.Element) -> str:
    return f"{part.findtext('.//time/beats')}/{part.findtext('.//time/beat-type')}"


def _key(bass: int, fifths: int) -> str:
    """The key, as ABC spells it, of the last bass note and the signature's sharps (or flats)."""
    for mode, shift in abc.MODES.items():
        for sign, more in (("", 0), ("#", 7), ("b", -7)):
            for letter, place in abc.FIFTHS.items():
                tonic = abc.STEPS[letter] + {"": 0, "#": 1, "b": -1}[sign]
                if place + more + shift == fifths and (tonic - bass) % 12 == 0:
                    return f"{letter}{sign}{mode}"
    raise Unfit("ends on no note of its scale")


def _on_grid(voices: list[Voice], steps: int):
    """The notes on a grid: pitches (T, 4), whether a note begins (T, 4), fermatas (T,), lost."""
    grid = [[0] * len(voices) for _ in range(steps)]
    starts = [[False] * len(voices) for _ in range(steps)]
    fermatas = [False] * steps
    lost = 0
    for which, voice in enumerate(voices):
        for start, end, pitch, new, fermata in voice.notes:
            if start % STEP:
                lost += 1
                continue
            first = start // STEP
            for at in range(first, -(-end // STEP)):
                grid[at][which] = pitch
            starts[first][which] = new or not first or grid[first - 1][which] != pitch
            fermatas[first] |= fermata and which == 0
    return torch.tensor(grid), torch.tensor(starts), torch.tensor(fermatas), lost
