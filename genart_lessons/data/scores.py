"""Notes in time: scores read from ABC and from grids, written as MIDI, and checked bar by bar."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from genart_lessons.data import abc
from genart_lessons.data.abc import WHOLE, NotMusic

QUARTER = WHOLE // 4  # ticks
TEMPO = 112.0  # quarter notes a minute: a walking reel; chorales go slower
VOICES = ("soprano", "alto", "tenor", "bass")
# Bar lines at which a part of a tune ends or begins: a bar may be cut in two there.
EDGES = {":|", "|:", "||", "|]"}


@dataclass(frozen=True)
class Note:
    """One note: ``start`` and ``length`` in quarter notes, ``pitch`` as MIDI number, ``part``."""

    start: Fraction
    length: Fraction
    pitch: int
    part: int = 0


@dataclass(frozen=True)
class Score:
    """Notes in the order of their starts. ``bar_starts`` in quarter notes; ``tempo`` a minute."""

    notes: tuple[Note, ...]
    title: str = ""
    meter: str = "C"
    key: str = "C"
    tempo: float = TEMPO
    parts: tuple[str, ...] = ("melody",)
    bar_starts: tuple[Fraction, ...] = (Fraction(0),)

    def __repr__(self) -> str:
        return f"Score({self.title!r}, {len(self.notes)} notes, {len(self.bar_starts)} bars)"

    @property
    def end(self) -> Fraction:
        """Where the last note ends, in quarter notes."""
        return max((note.start + note.length for note in self.notes), default=Fraction(0))


# -- from ABC --------------------------------------------------------------------------------------


def score(text: str, title: str = "", tempo: float = TEMPO) -> Score:
    """The notes of a tune in the course's ABC, played once as written, without its repeats.

    Raises NotMusic, with the place, for what cannot be read, and for a tune without notes.
    """
    notes, _, bars = _played(text)
    if not notes:
        raise NotMusic("there is no note in this tune.")
    top, _ = abc.head(text)
    return Score(tuple(notes), title, top.meter, top.key, tempo, ("melody",), tuple(bars))


def spans(text: str) -> list[tuple[int, int]]:
    """Where each note of ``score(text).notes`` stands in the text: [(start, end)] in characters.

    Notes of one chord share a place; a tied note has the place of its first part.
    """
    return _played(text)[1]


def _played(text: str) -> tuple[list[Note], list[tuple[int, int]], list[Fraction]]:
    notes: list[Note] = []
    places: list[tuple[int, int]] = []
    bars, now = [Fraction(0)], Fraction(0)
    sounding: dict[int, int] = {}  # pitch → the note that a tie may make longer
    tied = False
    for token in abc.tokens(text):
        if token.kind == "tie":
            tied = True
        elif token.kind == "bar":
            if now > bars[-1]:
                bars.append(now)
        elif token.ticks:
            length = Fraction(token.ticks, QUARTER)
            new: dict[int, int] = {}
            for pitch in token.pitches:
                if tied and pitch in sounding:
                    k = sounding[pitch]
                    notes[k] = Note(notes[k].start, notes[k].length + length, pitch)
                    new[pitch] = k
                else:
                    new[pitch] = len(notes)
                    notes.append(Note(now, length, pitch))
                    places.append((token.place, token.place + len(token.text)))
            sounding, tied, now = new, False, now + length
    if len(bars) > 1 and bars[-1] == now:
        bars.pop()  # the last bar line begins nothing
    return notes, places, bars


# -- from grids ------------------------------------------------------------------------------------


def score_of_grid(
    grid: torch.Tensor,
    starts: torch.Tensor,
    steps_per_quarter: int = 4,
    *,
    title: str = "",
    meter: str = "4/4",
    key: str = "C",
    tempo: float = 76.0,
    parts: Sequence[str] = VOICES,
    bar_starts: Sequence[int] = (0,),
) -> Score:
    """A score from pitches (T, voices), 0 = rest, and whether a note begins there (T, voices).

    ``bar_starts`` in steps. Raises ValueError where the two tables do not fit each other.
    """
    if grid.ndim != 2 or grid.shape != starts.shape:
        raise ValueError(
            f"grid {tuple(grid.shape)} and starts {tuple(starts.shape)} must both be (T, voices)."
        )
    notes = []
    for part in range(grid.shape[1]):
        column, begins = grid[:, part].tolist(), starts[:, part].tolist()
        for at, stop in _runs(column, begins):
            start, length = (Fraction(n, steps_per_quarter) for n in (at, stop - at))
            notes.append(Note(start, length, column[at], part))
    notes.sort(key=lambda note: (note.start, note.part))
    bars = tuple(Fraction(step, steps_per_quarter) for step in bar_starts)
    return Score(tuple(notes), title, meter, key, tempo, tuple(parts[: grid.shape[1]]), bars)


def _runs(pitches: list[int], begins: list[bool]) -> Iterator[tuple[int, int]]:
    """(first step, step after the last) of every note of a voice."""
    at = 0
    for step in range(1, len(pitches) + 1):
        new = step == len(pitches) or begins[step] or pitches[step] != pitches[at]
        if new:
            if pitches[at]:
                yield at, step
            at = step


# -- to MIDI ---------------------------------------------------------------------------------------


def midi(score: Score, texts: Mapping[str, str] | None = None) -> bytes:
    """A score as a MIDI file, by music21; ``texts`` go in as text events, ``name: text`` each."""
    from music21 import clef, instrument, meter, midi, note, stream, tempo

    whole = stream.Score()
    for number, name in enumerate(score.parts):
        part = stream.Part(id=name)
        part.insert(0, instrument.Flute() if len(score.parts) == 1 else instrument.Organ())
        part.insert(0, clef.TrebleClef())
        part.insert(0, meter.TimeSignature(_fraction(score.meter)))
        part.insert(0, tempo.MetronomeMark(number=score.tempo))
        for each in score.notes:
            if each.part == number:
                part.insert(each.start, note.Note(each.pitch, quarterLength=each.length))
        whole.insert(0, part)
    file = midi.translate.music21ObjectToMidiFile(whole)
    _add_texts(file.tracks[0], texts or {})
    return file.writestr()


def _fraction(printed: str) -> str:
    return {"C": "4/4", "C|": "2/2"}.get(printed, printed)


def _add_texts(track, texts: Mapping[str, str]) -> None:
    """Text events at the beginning of a track, before anything sounds."""
    from music21 import midi

    for name, text in reversed(list(texts.items())):
        pause, event = midi.DeltaTime(track, time=0), midi.MidiEvent(track)
        event.type, event.data = midi.MetaEvents.TEXT_EVENT, f"{name}: {text}".encode()
        track.events[:0] = [pause, event]


# -- is it music? ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class AbcCheck:
    """Whether a text is a tune: ``parses`` (music21 reads it, too), and do its bars add up?

    ``bars`` counts its bars, ``wrong_bars`` are the numbers (from 1) of those that do not have the
    length of the metre; ``ok`` is both.
    """

    parses: bool
    bars: int
    wrong_bars: tuple[int, ...]
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.parses and not self.wrong_bars

    def __bool__(self) -> bool:
        return self.ok

    @property
    def sentence(self) -> str:
        if not self.parses:
            return f"not a tune: {self.reason}"
        if not self.wrong_bars:
            return f"a tune of {self.bars} bars, and all of them add up."
        which = ", ".join(map(str, self.wrong_bars[:8])) + ", …" * (len(self.wrong_bars) > 8)
        return (
            f"a tune of {self.bars} bars, of which {len(self.wrong_bars)} do not add up ({which})."
        )

    def __repr__(self) -> str:
        return f"{'✔' if self.ok else '✘'} {self.sentence}"


def check_abc(text: str) -> AbcCheck:
    """Does music21's parser read this text, and does every bar have the length of its metre?

    A bar may be short only where a part of the tune begins or ends (at ``|:``, ``:|``, ``||``,
    ``|]``, an ending, or the tune's own two ends), and only where two short bars make a whole one:
    a pick-up and the last bar of its part, or of the part before. Never raises.
    """
    try:
        tokens = abc.tokens(text)
        top, _ = abc.head(text)
        written = sum(len(token.pitches) for token in tokens)
        heard = _count_by_music21(text)
    except NotMusic as error:
        return AbcCheck(False, 0, (), str(error))
    if not written:
        return AbcCheck(False, 0, (), "there is no note in it.")
    if heard != written:
        reason = f"music21 reads {heard} notes where {written} are written."
        return AbcCheck(False, 0, (), reason)
    parts = _parts(tokens)
    wrong = _wrong_bars(parts, int(abc.bar_length(top.meter) * WHOLE))
    return AbcCheck(True, sum(map(len, parts)), tuple(wrong))


def _count_by_music21(text: str) -> int:
    """How many notes music21's parser finds. Raises NotMusic where it fails."""
    from music21 import abcFormat

    handler = abcFormat.ABCHandler()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            handler.process(f"X:1\n{text}")
    except Exception as error:  # it raises many kinds
        raise NotMusic(f"music21 cannot read it ({type(error).__name__}: {error}).") from error
    found = 0
    for token in handler.tokens:
        if isinstance(token, abcFormat.ABCChord):
            found += sum(isinstance(part, abcFormat.ABCNote) for part in token.subTokens)
        elif isinstance(token, abcFormat.ABCNote):
            found += not token.isRest
    return found


def _parts(tokens: list[abc.Token]) -> list[list[int]]:
    """The tune's parts, each as the ticks of its bars; empty bars are none."""
    parts: list[list[int]] = [[]]
    ticks = 0
    for token in tokens:
        if token.kind != "bar":
            ticks += token.ticks
            continue
        if ticks:
            parts[-1].append(ticks)
            ticks = 0
        if (token.text in EDGES or token.ending) and parts[-1]:
            parts.append([])
    if ticks:
        parts[-1].append(ticks)
    return [part for part in parts if part]


def _wrong_bars(parts: list[list[int]], full: int) -> Iterator[int]:
    """The numbers, from 1, of the bars that do not add up; see :func:`check_abc`."""
    picked = [part[0] if part[0] < full else 0 for part in parts]
    number = 0
    for i, part in enumerate(parts):
        for at, ticks in enumerate(part):
            number += 1
            first, last = at == 0, at == len(part) - 1
            if ticks == full:
                continue
            if ticks > full or not (first or last):
                yield number
            elif last and (i or len(part) > 1):
                # completed by a pick-up: its own (the part comes again), the next, an earlier one
                own = [picked[i]] if len(part) > 1 else []
                if full - ticks not in {*own, *picked[i + 1 : i + 2], *picked[:i]}:
                    yield number
            elif i:
                if ticks != picked[0] and full - ticks not in {parts[i - 1][-1], part[-1]}:
                    yield number
            elif last:
                yield number  # a single bar, and it is not whole


__all__ = [
    "TEMPO", "VOICES", "AbcCheck", "Note", "NotMusic", "Score", "check_abc", "midi", "score",
    "score_of_grid", "spans",
]  # fmt: skip
