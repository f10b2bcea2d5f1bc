"""Music to see and to hear: piano rolls, and a player whose sound is made here, note by note."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle

from genart_lessons.runtime import atomic_write
from genart_lessons.show.look import INK, MUTED, PALETTE, WIDTH, Picture, demand
from genart_lessons.show.plots import DEPTH, HALO, numbers

RATE = 22_050  # samples a second: harmonics up to 11 kHz
FADE = 0.6  # seconds at the end of a piece that is cut short
NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
# How loud each harmonic of a tone is: one sound a part, so that the ear can follow one of four.
TONES = (
    (1.0, 0.42, 0.22, 0.11, 0.06, 0.03),
    (1.0, 0.28, 0.30, 0.07, 0.05),
    (1.0, 0.55, 0.12, 0.14, 0.03),
    (1.0, 0.75, 0.40, 0.20, 0.10, 0.05),
)


# -- to see ----------------------------------------------------------------------------------------


def roll(score, *, title, shade=None, highlight=(), bars=None, caption=None, alt=None) -> Picture:
    """A piano roll: time goes to the right, pitch upwards, one box a note, one line a bar.

    score: a ``data.Score``, or a tune as ABC text. shade: one weight from 0 to 1 for each of
    ``score.notes``, drawn as depth of colour. highlight: [(start, end, label)] in quarter notes,
    such as copied passages. bars: only the first so many. Raises ValueError for a score without
    notes, or with more than can be drawn.
    """
    return rolls({"": score}, title=title, shade=shade, highlight=highlight, bars=bars,
                 caption=caption, alt=alt)  # fmt: skip


def rolls(scores: Mapping, *, title, shade=None, highlight=(), bars=None, caption=None,
          alt=None) -> Picture:  # fmt: skip
    """Several piano rolls, one below the other, on one scale of time and pitch: {label: score}.

    The rest as in :func:`roll`; ``shade`` and ``highlight`` belong to the first.
    """
    demand("roll", title=title)
    kept = {label: _first_bars(as_score(score), bars) for label, score in scores.items()}
    if not 1 <= len(kept) <= 4:
        raise ValueError(f"show.rolls draws 1 to 4 scores, not {len(kept)}.")
    pitches = [note.pitch for score in kept.values() for note in score.notes]
    low, high = min(pitches) - 1, max(pitches) + 1
    end = max(_end(score) for score in kept.values())
    each = max(130, 60 + (12 if high - low <= 16 else 7) * (high - low))
    height = 66 + len(kept) * each + (16 if caption else 0)
    alt = alt or f"{title}. Piano roll: {'; '.join(map(_told, kept.values()))}."
    picture = Picture(title, alt, WIDTH, height, layout="constrained")
    axes = picture.subplots(len(kept), 1, sharex=True, squeeze=False)[:, 0]
    axes[0].set_title(title)
    for k, (ax, (label, score)) in enumerate(zip(axes, kept.items(), strict=True)):
        first = k == 0
        draw_roll(ax, score, shade=shade if first else None, highlight=highlight if first else (),
                  legend=first, span=(low, high))  # fmt: skip
        ax.set(xlim=(0, end), ylabel=label or "pitch")
    axes[-1].set_xlabel("quarter notes from the beginning")
    if caption:
        picture.supxlabel(caption, x=0.012, size=9, ha="left", color=MUTED)
    return picture


def draw_roll(ax, score, *, shade=None, highlight=(), legend=True, span=None) -> None:
    """Draw a score's notes, bar lines and names of pitches on given axes; see :func:`roll`.

    ``span``: the lowest and the highest pitch to make room for, where they are not the score's own.
    """
    weights = None if shade is None else numbers(shade, "show.roll: shade", 1)
    if weights is not None and len(weights) != len(score.notes):
        raise ValueError(f"show.roll: {len(weights)} weights for {len(score.notes)} notes.")
    pitches = [note.pitch for note in score.notes]
    low, high = span or (min(pitches) - 1, max(pitches) + 1)
    for start, stop, label in highlight:
        ax.axvspan(float(start), float(stop), color=PALETTE[7], alpha=0.35, linewidth=0, zorder=0)
        ax.text(float(start), high + 0.4, f" {label}", size=9, va="top", color=INK,
                path_effects=HALO)  # fmt: skip
    for bar in score.bar_starts:
        ax.axvline(float(bar), color="#bdbdbd", linewidth=0.8, zorder=0.5)
    for k, note in enumerate(score.notes):
        colour = PALETTE[note.part % len(PALETTE)]
        face = colour if weights is None else DEPTH(float(weights[k]) ** 0.5)
        place = float(note.start), note.pitch - 0.42
        ax.add_patch(Rectangle(place, float(note.length) * 0.94, 0.84, facecolor=face,
                               edgecolor=colour if weights is None else MUTED,
                               linewidth=0.8, zorder=2))  # fmt: skip
    named = (0, 2, 4, 7, 9) if high - low <= 16 else (0, 4, 7)  # no two of them are neighbours
    ticks = [pitch for pitch in range(low, high + 1) if pitch % 12 in named]
    ax.set(xlim=(0, _end(score)), ylim=(low - 0.5, high + 0.5))
    ax.set_yticks(ticks, [pitch_name(pitch) for pitch in ticks])
    ax.grid(axis="x", visible=False)
    used = sorted({note.part for note in score.notes})
    if legend and len(used) > 1 and weights is None:
        marks = [Rectangle((0, 0), 1, 1, facecolor=PALETTE[part % len(PALETTE)]) for part in used]
        names = [score.parts[part] if part < len(score.parts) else f"part {part + 1}"
                 for part in used]  # fmt: skip
        ax.legend(marks, names, loc="upper left", bbox_to_anchor=(1, 1))


def pitch_name(pitch: int) -> str:
    """The name of a MIDI pitch, C4 for 60 (middle C); black keys as they are most often spelt."""
    return f"{NAMES[pitch % 12]}{pitch // 12 - 1}"


def as_score(music):
    """A ``data.Score`` as it is, or one read from ABC text. Raises ValueError, TypeError."""
    from genart_lessons import data  # torch comes with it: not before there is a score

    score = data.score(music) if isinstance(music, str) else music
    if not isinstance(score, data.Score):
        raise TypeError("a data.Score or a tune as ABC text is needed, and this is a "
                        f"{type(music).__name__}.")  # fmt: skip
    if not score.notes:
        raise ValueError("there are no notes in this score.")
    return score


def _end(score) -> float:
    return max(float(note.start + note.length) for note in score.notes)


def _first_bars(score, bars: int | None):
    if bars is None or bars >= len(score.bar_starts):
        return score
    stop = score.bar_starts[bars]
    notes = tuple(note for note in score.notes if note.start < stop)
    return replace(score, notes=notes, bar_starts=tuple(score.bar_starts[: bars + 1]))


def _told(score) -> str:
    pitches = [note.pitch for note in score.notes]
    bars = f"{len(score.bar_starts)} bar" + "s" * (len(score.bar_starts) > 1)
    return (f"{len(pitches)} notes from {pitch_name(min(pitches))} to {pitch_name(max(pitches))} "
            f"in {bars}")  # fmt: skip


# -- to hear ---------------------------------------------------------------------------------------


class Player:
    """A sound that plays on the page: ``samples`` (N,) float32 in [−1, 1], ``rate`` a second.

    It is an ordinary ``<audio>`` element that needs neither kernel nor network. ``save`` writes it
    to a .mp3 or .wav file.
    """

    def __init__(self, samples: np.ndarray, title: str, alt: str, rate: int = RATE):
        self.samples, self.title, self.alt, self.rate = samples, title, alt, rate

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    def encoded(self, kind: str = "mp3") -> bytes:
        """The sound as the bytes of an "mp3" or "wav" file."""
        import soundfile

        memory = io.BytesIO()
        if kind == "mp3":
            soundfile.write(memory, self.samples, self.rate, format="MP3", subtype="MPEG_LAYER_III",
                            bitrate_mode="VARIABLE", compression_level=0.5)  # fmt: skip
        else:
            soundfile.write(memory, self.samples, self.rate, format="WAV", subtype="PCM_16")
        return memory.getvalue()

    def save(self, path) -> Path:
        """Write a .mp3 or .wav file, and return its path. Raises ValueError for another ending."""
        path = Path(path)
        kind = path.suffix.lower().lstrip(".")
        if kind not in ("mp3", "wav"):
            raise ValueError(f"a player saves .mp3 and .wav files: name it {path.stem}.mp3.")
        atomic_write(path, self.encoded(kind))
        return path

    def __repr__(self) -> str:
        return f"[sound, {self.seconds:.0f} s] {self.alt}"

    def _repr_html_(self) -> str:
        kind = "mp3" if _has_mp3() else "wav"
        sound = base64.b64encode(self.encoded(kind)).decode()
        mime = "audio/mpeg" if kind == "mp3" else "audio/wav"
        return (
            f'<figure style="margin:.3em 0"><figcaption><b>{html.escape(self.title)}</b>'
            f'</figcaption><audio controls preload="metadata" aria-label="{html.escape(self.alt)}" '
            f'style="width:32em;max-width:100%" src="data:{mime};base64,{sound}"></audio></figure>'
        )


def player(score, *, title, seconds: float = 20.0, tempo: float | None = None) -> Player:
    """A score or a tune as ABC text, as sound, made of a few sine waves a note.

    seconds: what is longer is faded out there. tempo: quarter notes a minute (None: the score's).
    Raises ValueError for a score without notes, or a tempo or length that is not above 0.
    """
    demand("player", title=title)
    score = as_score(score)
    pace = float(score.tempo if tempo is None else tempo)
    if not (pace > 0 and seconds > 0):
        raise ValueError(f"show.player: tempo={pace:g} and seconds={seconds:g} must be above 0.")
    samples = synthesised(score, pace, seconds)
    return Player(samples, title, f"{title}: {_told(score)}, {len(samples) / RATE:.0f} seconds")


def synthesised(score, tempo: float, seconds: float) -> np.ndarray:
    """The sound of a score, (N,) float32 at ``RATE``, at most ``seconds`` long, peak 0.89."""
    beat = 60 / tempo
    whole = _end(score) * beat + 0.4  # the last note rings on
    length = int(min(whole, seconds) * RATE)
    sound = np.zeros(length + RATE)
    for note in score.notes:
        start = int(float(note.start) * beat * RATE)
        if start >= length:
            continue
        wave = _tone(note.pitch, float(note.length) * beat, TONES[note.part % len(TONES)])
        wave = wave[: len(sound) - start]
        sound[start : start + len(wave)] += wave
    sound = sound[:length]
    if whole > seconds:
        fade = min(length, int(FADE * RATE))
        sound[length - fade :] *= np.linspace(1, 0, fade)
    return (0.89 * sound / max(np.abs(sound).max(), 1e-9)).astype(np.float32)


def _tone(pitch: int, seconds: float, harmonics: Sequence[float]) -> np.ndarray:
    """One note: harmonics of its frequency, quick to begin and slow to die away."""
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    release = 0.08
    t = np.arange(int((seconds + release) * RATE)) / RATE
    wave = np.zeros_like(t)
    for k, loud in enumerate(harmonics, 1):
        if k * frequency < RATE / 2:  # above, it would be heard as another pitch
            wave += loud * np.exp(-0.5 * k * t) * np.sin(2 * np.pi * k * frequency * t)
    attack = np.minimum(1, t / 0.015)
    let_go = np.clip((seconds + release - t) / release, 0, 1)
    return wave * attack * let_go * np.exp(-0.9 * t)


def _has_mp3() -> bool:
    import soundfile

    return "MP3" in soundfile.available_formats()
