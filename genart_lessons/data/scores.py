"""Scores: which note sounds when. From ABC or from a grid, checked bar by bar, written as MIDI."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from genart_lessons.data import abc
from genart_lessons.data.abc import NotMusic

# What goes before our ABC for other programs: by version 2.1 an accidental holds to the end of the
# bar (by the older ones music21 ends it with its note), and here in its own octave, as in print.
PREAMBLE = "%abc-2.1\n%%propagate-accidentals octave\n"
# Quarter notes a minute, by metre: jigs, reels, hornpipes and marches at a walking player's speed.
TEMPOS = {"6/8": 165, "9/8": 165, "12/8": 165, "C|": 190, "C": 150, "2/4": 100, "3/8": 80}
VOICES = ("Soprano", "Alto", "Tenor", "Bass")
PROGRAMS = {"tune": 73, "Soprano": 52, "Alto": 52, "Tenor": 52, "Bass": 52}  # flute, choir


@dataclass(frozen=True)
class Note:
    """One note: ``start`` and ``length`` in quarter notes, MIDI ``pitch``, number of its part."""

    start: float
    length: float
    pitch: int
    part: int = 0


@dataclass(frozen=True)
class Score:
    """Notes in the order of their starts, with all that is needed to draw and to play them.

    ``tempo`` in quarter notes a minute; ``parts`` are names; ``bar_starts`` in quarter notes.
    """

    notes: tuple[Note, ...]
    title: str
    meter: str
    key: str
    tempo: float
    parts: tuple[str, ...]
    bar_starts: tuple[float, ...]

    @property
    def length(self) -> float:
        """Where the last note ends, in quarter notes."""
        return max((note.start + note.length for note in self.notes), default=0.0)

    @property
    def seconds(self) -> float:
        """How long it lasts when it is played."""
        return self.length * 60 / self.tempo

    def __repr__(self) -> str:
        return (
            f"Score({self.title!r}, {len(self.notes)} notes, {len(self.parts)} part"
            f"{'s' if len(self.parts) > 1 else ''}, {self.meter}, {self.key}, {self.seconds:.0f} s)"
        )


@dataclass(frozen=True)
class AbcCheck:
    """What a check of a tune found: ``ok`` when it ``parses`` and all its bars are right.

    ``bars`` counts them; ``wrong_bars`` are the numbers (from 1) of those that last too long or
    too short; ``sentence`` says it in words.
    """

    ok: bool
    parses: bool
    bars: int
    wrong_bars: tuple[int, ...]
    sentence: str

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"{'✔' if self.ok else '✘'} {self.sentence}"


# -- from ABC -------------------------------------------------------------------------------------


def score(text: str, *, title: str = "", tempo: float | None = None) -> Score:
    """The score of a tune, read by music21's parser; repeats are written once, as printed.

    ``text`` is ABC as ``data.tunes`` gives it, or a file that ``show.save_tune`` wrote (then its
    title is taken from there). ``tempo`` in quarter notes a minute; the metre chooses one. Tied
    notes become one. Raises NotMusic, a ValueError, that says what is wrong and where.
    """
    tune, named = plain(text)
    top, _ = abc.head(tune)
    tokens = abc.tokens(tune)
    notes = _parsed(tune)
    now, starts = 0, [0]
    for token in tokens:
        now += token.ticks
        if token.kind == "bar" and now > starts[-1]:
            starts.append(now)
    bars = tuple(_quarters(at) for at in starts if at < now)
    speed = tempo or TEMPOS.get(top.meter, 120)
    return Score(notes, title or named or "Tune", top.meter, top.key, speed, ("tune",), bars)


def spans(text: str) -> list[tuple[int, int]]:
    """Where each note of ``score(text).notes`` stands in the text, [(start, end)] in that order.

    Of a chord every note has the whole of it; of tied notes the first counts (tied chords are not
    joined, as in ``score``). Raises NotMusic.
    """
    found: list[tuple[int, int]] = []
    before: tuple[int, ...] = ()
    tied = False
    for token in abc.tokens(text):
        if token.kind == "tie":
            tied = True
        elif token.ticks:
            joined = tied and len(token.pitches) == 1 and token.pitches == before
            new = 0 if joined else len(token.pitches)
            found += [(token.place, token.place + len(token.text))] * new
            before, tied = token.pitches, False
    return found


def plain(text: str) -> tuple[str, str]:
    """A tune without the lines that say where it comes from, and the title that they give it."""
    title, kept = "", []
    for line in text.splitlines():
        if line.startswith("T:") and not title:
            title = line[2:].strip()
        if line[:1] != "%" and (line[1:2] != ":" or line[0] in "MLK|:"):
            kept.append(line)
    return "\n".join(kept).strip("\n") + "\n\n", title


def _quarters(ticks: int) -> float:
    return float(Fraction(4 * ticks, abc.WHOLE))


def _parsed(tune: str) -> tuple[Note, ...]:
    """The notes as music21 reads them. Raises NotMusic where it cannot."""
    from music21 import abcFormat, exceptions21  # takes a second: only where it is needed
    from music21.abcFormat.translate import abcToStreamScore

    try:
        handler = abcFormat.ABCFile().readstr(PREAMBLE + tune)
        stream = abcToStreamScore(handler).stripTies()
    except (exceptions21.Music21Exception, ValueError, ZeroDivisionError, IndexError) as error:
        raise NotMusic(f"music21's parser cannot read it: {error}") from error
    flat = stream.flatten()
    notes = [
        Note(float(each.offset), float(each.quarterLength), pitch.midi)
        for each in flat.notes
        for pitch in each.pitches
    ]
    if not notes:
        raise NotMusic("music21's parser finds no note in it.")
    return tuple(sorted(notes, key=lambda note: (note.start, -note.pitch)))


def _count_again(tune: str) -> None:
    """Raise NotMusic where music21's parser fails, or finds other notes than are written."""
    from music21 import abcFormat, exceptions21

    written = sum(len(token.pitches) for token in abc.tokens(tune))
    try:
        read = abcFormat.ABCFile().readstr(PREAMBLE + tune).tokens
    except (exceptions21.Music21Exception, ValueError, ZeroDivisionError, IndexError) as error:
        raise NotMusic(f"music21's parser cannot read it: {error}") from error
    found = sum(
        len([part for part in token.subTokens if isinstance(part, abcFormat.ABCNote)])
        if isinstance(token, abcFormat.ABCChord)
        else isinstance(token, abcFormat.ABCNote) and not token.isRest
        for token in read
    )
    if not written or found != written:
        count = "no note" if not found else f"{found} notes where {written} are written"
        raise NotMusic(f"music21's parser finds {count}.")


# -- bars -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """The stretch between two bar lines: its ``ticks``, and the signs on its two sides."""

    ticks: int
    left: str
    right: str


def bars_of(tune: str) -> list[Bar]:
    """The bars of a tune that hold music; bar lines with nothing between them are one sign."""
    found: list[Bar] = []
    ticks, left, right = 0, "", ""
    for token in abc.tokens(tune):
        if token.kind == "bar":
            right += token.text + token.ending
        elif token.ticks:
            if right:
                found += [Bar(ticks, left, right)] if ticks else []
                ticks, left, right = 0, right, ""
            ticks += token.ticks
    return [*found, Bar(ticks, left, right)] if ticks else found


def _divides(signs: str) -> bool:
    """Whether a part ends or begins at these bar signs, so that a bar may be cut in two there."""
    return signs != "|"


def wrong_bars(bars: Sequence[Bar], whole: int) -> tuple[int, ...]:
    """The numbers, from 1, of the bars that last too long or too short.

    A bar may be short where a part begins (a pick-up) or ends, if the two halves that meet there
    make a bar: over the sign, at the jump back to where the repeat begins, or after a first
    ending. The first of several bars may be short in any case.
    """
    wrong = []
    partners = _partners(bars)
    for at, bar in enumerate(bars):
        pick_up = at == 0 and len(bars) > 1 and bar.ticks < whole
        if bar.ticks == whole or pick_up:
            continue
        others = partners[at] - {at}
        if not any(bar.ticks + bars[other].ticks == whole for other in others):
            wrong.append(at + 1)
    return tuple(wrong)


def _partners(bars: Sequence[Bar]) -> list[set[int]]:
    """For each bar the bars that may complete it: those that are played right before or after."""
    partners: list[set[int]] = [set() for _ in bars]

    def meet(before: int, after: int) -> None:
        partners[before].add(after)
        partners[after].add(before)

    part = 0  # the first bar of the part that would be repeated
    fork = None  # the bar before the first ending
    for at, bar in enumerate(bars):
        last = at + 1 == len(bars)
        if at and _divides(bar.left):
            if "1" in bar.left:
                fork = at - 1
            elif bar.left[-1] in "23456789" and fork is not None:
                meet(fork, at)
            else:
                part, fork = at, None
        if not last and _divides(bar.right):
            meet(at, at + 1)
        if last or _divides(bar.right):
            meet(at, part)
        if last:
            meet(at, 0)
    return partners


def check_abc(text: str) -> AbcCheck:
    """Is this a tune: does music21's parser read it, and do its bars last as long as its metre?

    The parser forgives much, so the text must also be made of nothing but what tunes are made of
    (``data.abc``). Never raises: what is wrong is in the ``sentence``.
    """
    try:
        tune, _ = plain(text)
        bars = bars_of(tune)
        top, _ = abc.head(tune)
        _count_again(tune)
    except NotMusic as error:
        return AbcCheck(False, False, 0, (), str(error))
    wrong = wrong_bars(bars, int(abc.bar_length(top.meter) * abc.WHOLE))
    if not wrong:
        return AbcCheck(True, True, len(bars), (), f"all {len(bars)} bars are whole.")
    first = bars[wrong[0] - 1]
    lasts = Fraction(first.ticks, abc.WHOLE)
    much = "too long" if lasts > abc.bar_length(top.meter) else "too short"
    more = f"; {len(wrong) - 1} more do not add up" if len(wrong) > 1 else ""
    sentence = f"bar {wrong[0]} of {len(bars)} is {much} ({lasts} in {top.meter}){more}."
    return AbcCheck(False, True, len(bars), wrong, sentence)


# -- from a grid ----------------------------------------------------------------------------------


def score_of_grid(
    grid: torch.Tensor,
    starts: torch.Tensor | None = None,
    *,
    title: str = "Chorale",
    meter: str = "4/4",
    key: str = "C",
    tempo: float = 84,
    parts: Sequence[str] = VOICES,
    steps_per_quarter: int = 4,
    bar_starts: Sequence[int] | None = None,
) -> Score:
    """The score of a grid: pitches (T, P), one column a part, 0 = rest, as ``data.chorales`` has.

    ``starts`` (T, P) bool: a note begins here; without it, wherever the pitch changes. A step is a
    ``steps_per_quarter``-th of a quarter note; ``bar_starts`` are steps (None: as the metre says).
    Raises ValueError for another shape and for numbers that are no pitches.
    """
    if grid.ndim != 2 or grid.shape[1] != len(parts):
        raise ValueError(
            f"a grid for {', '.join(parts)} has the shape (T, {len(parts)}); "
            f"this one has {tuple(grid.shape)}."
        )
    if starts is not None and starts.shape != grid.shape:
        raise ValueError(
            f"starts has the shape {tuple(starts.shape)}, the grid {tuple(grid.shape)}."
        )
    if grid.numel() and not (0 <= grid.min() and grid.max() < 128):
        raise ValueError("a grid holds MIDI pitches 1 … 127, and 0 for a rest.")
    whole = int(abc.bar_length(meter) * 4 * steps_per_quarter)
    where = range(0, len(grid), whole) if bar_starts is None else bar_starts
    notes = [
        Note(first / steps_per_quarter, (last - first) / steps_per_quarter, pitch, part)
        for part in range(len(parts))
        for first, last, pitch in _held(grid[:, part], None if starts is None else starts[:, part])
    ]
    notes.sort(key=lambda note: (note.start, note.part))
    bars = tuple(at / steps_per_quarter for at in where)
    return Score(tuple(notes), title, meter, key, tempo, tuple(parts), bars)


def _held(column: torch.Tensor, starts: torch.Tensor | None) -> list[tuple[int, int, int]]:
    """The notes of one part of a grid, as (first step, step after the last, pitch)."""
    found: list[tuple[int, int, int]] = []
    begins = [False] * len(column) if starts is None else starts.tolist()
    before = 0
    for at, (pitch, new) in enumerate(zip(column.tolist(), begins, strict=True)):
        if pitch and (new or pitch != before):
            found.append((at, at + 1, pitch))
        elif pitch:
            found[-1] = (found[-1][0], at + 1, pitch)
        before = pitch
    return found


# -- MIDI -----------------------------------------------------------------------------------------


def midi(score: Score, texts: Mapping[str, str] | None = None) -> bytes:
    """A score as a standard MIDI file, written by music21; one track a part.

    ``texts`` become text meta events at the beginning, ``name: text``, where a sequencer shows
    them. Raises ValueError for a score without notes.
    """
    from music21 import instrument, metadata, meter, note, stream, tempo
    from music21 import midi as midi21

    if not score.notes:
        raise ValueError("a score without notes makes no MIDI file.")
    whole = stream.Score()
    whole.metadata = metadata.Metadata(title=score.title)
    for number, name in enumerate(score.parts):
        part = stream.Part(id=name)
        sound = instrument.instrumentFromMidiProgram(PROGRAMS.get(name, 0))
        sound.partName = name
        part.insert(0, sound)
        part.insert(0, meter.TimeSignature({"C": "4/4", "C|": "2/2"}.get(score.meter, score.meter)))
        part.insert(0, tempo.MetronomeMark(number=score.tempo, referent=1))
        for each in score.notes:
            if each.part == number:
                sounding = note.Note(each.pitch)
                sounding.quarterLength = Fraction(each.length).limit_denominator(10080)
                part.insert(Fraction(each.start).limit_denominator(10080), sounding)
        whole.insert(0, part)
    file = midi21.translate.streamToMidiFile(whole)
    file.tracks[0].events[:0] = _text_events(midi21, file.tracks[0], texts or {})
    memory = io.BytesIO()
    file.openFileLike(memory)
    file.write()
    return memory.getvalue()


def _text_events(midi21, track, texts: Mapping[str, str]) -> list:
    """The texts as meta events at time 0, each behind the pause that MIDI wants before an event."""
    events = []
    for name, text in texts.items():
        events.append(midi21.DeltaTime(track, time=0))
        event = midi21.MidiEvent(track, type=midi21.MetaEvents.TEXT_EVENT)
        event.data = f"{name}: {text}".encode()
        events.append(event)
    return events


def midi_texts(data: bytes) -> list[str]:
    """The text meta events of a MIDI file. Raises NotMusic for what is no MIDI file."""
    from music21 import midi as midi21

    file = midi21.MidiFile()
    try:
        file.readstr(data)
    except Exception as error:  # it raises many kinds for a damaged file
        raise NotMusic(f"this is no MIDI file, or a damaged one: {error}") from error
    return [
        event.data.decode("utf-8", "replace")
        for track in file.tracks
        for event in track.events
        if event.type == midi21.MetaEvents.TEXT_EVENT and isinstance(event.data, bytes)
    ]
