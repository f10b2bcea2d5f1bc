"""The attention explorer: one place of a tune, or one note of a harmony, and where it looks."""

from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Rectangle

from genart_lessons.data import abc
from genart_lessons.explore.base import LABEL, Explorer
from genart_lessons.models import harmony, heads, transformer
from genart_lessons.models.voices import VOICES
from genart_lessons.show.attention import SCALE, TICKS, sign
from genart_lessons.show.look import INK, MUTED, PALETTE, PAPER, WIDTH, Picture, demand
from genart_lessons.show.music import pitch_name
from genart_lessons.show.plots import DEPTH

PER_LINE, CELL, LINE = 64, 13, 24  # characters a line, pixels
ROLL = 190  # the height of a piano roll, in pixels
WINDOW = 96  # steps of a harmony that are drawn


def attention(model, music, *, layer: int = 1, head: int = 0, place: int | None = None,
              voice: str = "bass", title: str = "Where does it look?") -> Explorer:  # fmt: skip
    """Layer, head and place: see what the place looks at, on the text and on the notes.

    A GPT and a text (its first ``context`` characters): ``place`` is the character at which the
    next one is predicted. Of a tune in ABC the notes are drawn as well, each as dark as all its
    characters together. A Harmoniser and a grid (T, 4) with its starts (T, 4), as a pair: ``place``
    is the step at which ``voice`` is about to speak, and the notes of the soprano are as dark as
    the cross-attention that they get. Layers and heads count from 1; head 0 is the mean of all.
    Raises ValueError for a number out of range and TypeError for another model.
    """
    demand("attention (explore)", title=title)
    if isinstance(model, harmony.Harmoniser):
        if not isinstance(music, (tuple, list)) or len(music) != 2:
            raise ValueError("explore.attention: give the Harmoniser a pair, (grid, starts).")
        return _harmony(model, music[0], music[1], layer, head, place, voice, title)
    if isinstance(model, transformer.GPT):
        return _text(model, music, layer, head, place, title)
    raise TypeError(
        f"explore.attention takes a transformer.GPT with a text, or a harmony.Harmoniser with a "
        f"grid and its starts; this is a {type(model).__name__}."
    )


# -- a text ----------------------------------------------------------------------------------------


def _text(model, text: str, layer, head, place, title) -> Explorer:
    if not isinstance(text, str) or len(text) < 2:
        raise ValueError("explore.attention: give the GPT a text of two characters or more.")
    weights = heads.maps(model, text)  # (L, H, T, T)
    text = text[: weights.shape[-1]]
    notes, bars = played(text)

    def draw(layer, head, place):
        row = _row(weights, layer, head)[place]
        line = tell(row, place, text, layer, head, notes)
        tall = 16 + LINE * len(_lines(text))
        picture, top = _sheet(title, f"{title}: {line}", tall + (ROLL + 40 if notes else 0))
        _draw_text(_axes(picture, top, tall), text, row, place)
        if notes:
            _draw_notes(_axes(picture, top + tall + 10, ROLL), notes, bars, row, place)
        _bar(picture)
        return picture, line

    last = len(text) - 1
    controls = _controls(weights, layer, head) | {
        "place": _whole("place", last if place is None else place, 0, last)
    }
    return Explorer(controls, draw, title=title)


def played(text: str) -> tuple[list[tuple[int, int, float, float, int]], list[float]]:
    """The notes of an ABC text, and where its bar lines stand.

    A note is (first character, one after its last, begins, ends, pitch), times in quarter notes. Of
    a text that breaks off in the middle of a note the rest is read; one that is no ABC has none.
    """
    for end in range(len(text), max(0, len(text) - 8), -1):
        try:
            tokens = abc.tokens(text[:end])
            break
        except abc.NotMusic:
            continue
    else:
        return [], []
    notes, bars, now = [], [], 0
    for token in tokens:
        begin, now = now, now + token.ticks
        span = (token.place, token.place + len(token.text))
        times = (4 * begin / abc.WHOLE, 4 * now / abc.WHOLE)
        notes += [(*span, *times, pitch) for pitch in token.pitches]
        bars += [times[0]] if token.kind == "bar" else []
    return notes, bars


def tell(row: np.ndarray, place: int, text: str, layer, head, notes) -> str:
    """The line under the picture: the three places that get most, with their numbers."""
    most = [j for j in np.argsort(-row, kind="stable")[:3] if row[j] > 0]
    parts = [f"`{sign(text[j])}` {row[j]:.2f} ({_back(place - j)})" for j in most]
    on_notes = sum(row[a:b].sum() for a, b in {note[:2] for note in notes})
    where = f"{_who(layer, head)}, place {place}: after `{sign(text[place])}`"
    nats = float(-(row[row > 0] * np.log(row[row > 0])).sum())
    line = f"**{where}** it looks at {', '.join(parts)}; as wide as {np.exp(nats):.1f} places alike"
    return line + (f"; notes get {on_notes:.2f} in all." if notes else ".")


def _back(distance: int) -> str:
    return "itself" if distance == 0 else f"{distance} back"


def _lines(text: str) -> list[tuple[int, int]]:
    """Where the lines of a text begin and end, none longer than PER_LINE."""
    lines, start = [], 0
    for i, character in enumerate(text):
        if character == "\n" or i + 1 - start == PER_LINE:
            lines.append((start, i + 1))
            start = i + 1
    return [*lines, (start, len(text))] if start < len(text) else lines


def _draw_text(ax, text: str, row, place: int) -> None:
    lines = _lines(text)
    ax.set(xlim=(0, PER_LINE), ylim=(len(lines), 0))
    ax.axis("off")
    for r, (start, end) in enumerate(lines):
        for c, i in enumerate(range(start, end)):
            shade, ahead = DEPTH(SCALE(row[i])), i > place
            ax.add_patch(Rectangle((c + 0.04, r + 0.06), 0.92, 0.88, linewidth=0,
                                   facecolor=PAPER if ahead else shade))  # fmt: skip
            ink = "#b8b8b8" if ahead else _ink(shade)
            ax.text(c + 0.5, r + 0.52, sign(text[i]), family="DejaVu Sans Mono", size=9.5,
                    ha="center", va="center", color=ink)  # fmt: skip
            if i == place:
                ax.add_patch(Rectangle((c, r), 1, 1, fill=False, edgecolor=PALETTE[1],
                                       linewidth=2, clip_on=False, zorder=3))  # fmt: skip


def _draw_notes(ax, notes, bars, row, place: int) -> None:
    """Every note as dark as the weights of its characters; what is still to come is white."""
    pitches = [note[4] for note in notes]
    _pitch_axis(ax, min(pitches), max(pitches))
    for first, end, begins, ends, pitch in notes:
        ahead = first > place
        _note(ax, begins, ends, pitch, None if ahead else row[first:end].sum(),
              framed=first <= place < end)  # fmt: skip
    ax.vlines(bars, min(pitches) - 1, max(pitches) + 1, color="#c9c9c9", linewidth=1, zorder=1)
    ax.set(xlim=(0, max(note[3] for note in notes)),
           xlabel="time, in quarter notes; notes as dark as their characters together")  # fmt: skip


# -- four voices -----------------------------------------------------------------------------------


def _harmony(model, grid, starts, layer, head, place, voice, title) -> Explorer:
    weights = harmony.cross_weights(model, grid, starts)  # (L, H, T, 3, S)
    notes = [_spans(grid[:, v], starts[:, v]) for v in range(4)]
    names = [VOICES[v] for v in harmony.ORDER]
    if voice not in names:
        raise ValueError(f"voice={voice!r}: it is {', '.join(names)}.")

    def draw(layer, head, voice, place):
        v = VOICES.index(voice)
        row = _row(weights, layer, head)[place, names.index(voice)]
        line = _tell_harmony(row, notes, place, v, layer, head)
        picture, top = _sheet(title, f"{title}: {line}", ROLL + 155)
        _draw_voices(_axes(picture, top, ROLL + 110), notes, row, place, v)
        _bar(picture)
        return picture, line

    last = len(grid) - 1
    controls = _controls(weights, layer, head) | {
        "voice": widgets.ToggleButtons(options=names, value=voice, description="voice",
                                       style={**LABEL, "button_width": "90px"}),
        "place": _whole("step (an eighth)", last // 2 if place is None else place, 0, last),
    }  # fmt: skip
    return Explorer(controls, draw, title=title)


def _spans(pitches, starts) -> list[tuple[int, int, int]]:
    """The notes of one voice: (first step, one after the last, pitch)."""
    edge = starts | torch.cat([pitches[:1] > 0, pitches[1:] != pitches[:-1]])
    at = [*edge.nonzero().flatten().tolist(), len(pitches)]
    return [(a, b, int(pitches[a])) for a, b in zip(at, at[1:], strict=False) if pitches[a]]


def _tell_harmony(row, notes, place: int, v: int, layer, head) -> str:
    sums = [(float(row[a:b].sum()), a, b, pitch) for a, b, pitch in notes[0]]
    most = sorted(sums, reverse=True)[:3]
    parts = [f"{pitch_name(pitch)} {w:.2f} ({_when(a, b, place)})" for w, a, b, pitch in most]
    own = next((pitch for a, b, pitch in notes[v] if a <= place < b), None)
    says = "rest" if own is None else pitch_name(own)
    who = f"{_who(layer, head)}, step {place}: before the {VOICES[v]}'s {says}"
    return f"**{who}** it looks at the soprano's {', '.join(parts)}."


def _when(a: int, b: int, place: int) -> str:
    if a <= place < b:
        return "sounding now"
    steps = a - place if a > place else place - b + 1
    quarters = steps / harmony.STEPS_PER_QUARTER
    return f"{quarters:g} quarter{'s' * (quarters != 1)} {'ahead' if a > place else 'ago'}"


def _draw_voices(ax, notes, row, place: int, v: int) -> None:
    pitches = [pitch for voice in notes for *_, pitch in voice]
    _pitch_axis(ax, min(pitches), max(pitches))
    per = harmony.STEPS_PER_QUARTER
    first = max(0, min(place - WINDOW // 2, len(row) - WINDOW))
    last = min(len(row), first + WINDOW)
    for u, voice in enumerate(notes):
        for a, b, pitch in voice:
            mine = u == v and a <= place < b
            weight = float(row[a:b].sum()) if u == 0 else None
            turn = (a, u and harmony.ORDER.index(u))  # who speaks when
            later = u and turn >= (place, harmony.ORDER.index(v))
            if b <= first or a >= last:
                continue
            _note(ax, a / per, b / per, pitch, weight, framed=mine,
                  plain=None if u == 0 else PAPER if later else "#d4d4d4")  # fmt: skip
    ax.axvline(place / per, color=PALETTE[1], linewidth=1, linestyle="--")
    ax.set(xlim=(first / per, last / per),
           xlabel="time, in quarter notes; blue: the soprano, as dark as it is looked at; "
                  "grey: sung already; white: still to come")  # fmt: skip


# -- pieces ----------------------------------------------------------------------------------------


def _row(weights, layer: int, head: int) -> np.ndarray:
    """Head 0: the mean of a layer's heads."""
    chosen = weights[layer - 1]
    return (chosen.mean(0) if head == 0 else chosen[head - 1]).numpy()


def _who(layer: int, head: int) -> str:
    return f"Layer {layer}, " + (f"head {head}" if head else "all heads")


def _controls(weights, layer: int, head: int) -> dict:
    layers, many = weights.shape[:2]
    return {
        "layer": _whole("layer", layer, 1, layers),
        "head": _whole("head (0: mean of all)", head, 0, many),
    }


def _whole(label: str, value: int, low: int, high: int):
    if not low <= value <= high:
        raise ValueError(f"explore.attention: {label} is {value}, outside {low} to {high}.")
    return widgets.IntSlider(
        value=value, min=low, max=high, description=label, style=LABEL, layout={"width": "440px"},
        tooltip=f"{label}, from {low} to {high}; the arrow keys move it",
    )  # fmt: skip


def _sheet(title: str, alt: str, height: int) -> tuple[Picture, int]:
    """An empty picture with its title, and where its content begins, in pixels from the top."""
    top = 38
    picture = Picture(title, alt.replace("**", "").replace("`", ""), WIDTH, top + height + 12)
    picture.text(12 / WIDTH, 1 - 10 / (top + height + 12), title, size=12, weight="bold", va="top")
    return picture, top


def _axes(picture: Picture, top: int, height: int):
    whole = round(picture.get_size_inches()[1] * 100)
    left, right = 44, 62
    return picture.add_axes((left / WIDTH, 1 - (top + height) / whole,
                             (WIDTH - left - right) / WIDTH, height / whole))  # fmt: skip


def _bar(picture: Picture) -> None:
    """The scale of weights, at the right edge."""
    whole = round(picture.get_size_inches()[1] * 100)
    tall = min(130, whole - 60)
    ax = picture.add_axes(((WIDTH - 46) / WIDTH, 1 - (44 + tall) / whole, 10 / WIDTH, tall / whole))
    bar = picture.colorbar(ScalarMappable(SCALE, DEPTH), cax=ax, ticks=TICKS)
    bar.ax.set_yticklabels([f"{tick:g}" for tick in TICKS], size=8)
    bar.outline.set_edgecolor(MUTED)
    ax.set_title("weight", size=8, weight="normal", loc="center", pad=4)


def _pitch_axis(ax, low: int, high: int) -> None:
    classes = (0, 2, 4, 7, 9) if high - low < 25 else (0, 7)
    ticks = [p for p in range(low, high + 1) if p % 12 in classes]
    ax.set(ylim=(low - 1, high + 1), yticks=ticks)
    ax.set_yticklabels([pitch_name(p) for p in ticks], size=8)
    ax.grid(axis="x", visible=False)


def _note(ax, begins, ends, pitch, weight, *, framed=False, plain=PAPER) -> None:
    """A note as dark as its weight; without a weight in a plain colour."""
    face = plain if weight is None else DEPTH(SCALE(min(1.0, float(weight))))
    ax.add_patch(Rectangle((begins + 0.02, pitch - 0.42), ends - begins - 0.04, 0.84,
                           facecolor=face, edgecolor=PALETTE[1] if framed else MUTED,
                           linewidth=2 if framed else 0.7, zorder=4 if framed else 3))  # fmt: skip


def _ink(shade: Sequence[float]) -> str:
    return PAPER if np.dot(shade[:3], (0.3, 0.59, 0.11)) < 0.55 else INK
