"""Pictures of diffusion: clouds of points on their way, and a density that flows with its paths."""

import textwrap

import numpy as np

from genart_lessons.show.fields import BLUE, HALO, _box, _inside, _outside, _pairs, _round, _thin
from genart_lessons.show.look import INK, LINES, MUTED, PALETTE, WIDTH, Picture, demand
from genart_lessons.show.plots import DEPTH, numbers

MOST_PANELS = 10
EDGE = "#c8c8c8"


def clouds(frames, *, title, times=None, real=None, tails=None, extent=None, most=5, colours=None,
           caption=None, alt=None) -> Picture:  # fmt: skip
    """A film of points on the plane as a strip: a square panel for each moment, all of one scale.

    frames: (K, N, 2) states of the same N points, such as ``Trajectory.states``; at most ``most``
    of them, spread evenly, are shown, the first and the last among them (up to ten, in rows of
    five). times: K labels. real: (M, 2) points, a grey cloud behind every panel. tails: how many
    of the points are followed by a line that joins all frames so far (None: none). colours: (N,)
    whole numbers from 0, the class of each point. ``extent``: (low, high) of both axes or
    (x_low, x_high, y_low, y_high); None: round all points. Raises ValueError for other shapes.
    """
    demand("clouds", title=title)
    states = numbers(frames, "show.clouds: frames", 3)
    if states.shape[2] != 2:
        raise ValueError(f"show.clouds needs frames (K, N, 2), not {states.shape}.")
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_PANELS:
        raise ValueError(f"show.clouds: most is a whole number from 1 to {MOST_PANELS}.")
    count = len(states)
    told = [str(time) for time in (times if times is not None else range(count))]
    if len(told) != count:
        raise ValueError(f"show.clouds: {len(told)} times for {count} frames.")
    real = None if real is None else _pairs(real, "show.clouds: real")
    classes = _classes(colours, states.shape[1])
    everything = states.reshape(-1, 2) if real is None else np.vstack((*states, real))
    box = _round_all(everything) if extent is None else _box(extent, "clouds")
    kept = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
    alt = alt or f"{title}: {states.shape[1]} points at {', '.join(told[i] for i in kept)}."
    picture, panels = squares(title, alt, len(kept), caption)
    for ax, i in zip(panels, kept, strict=True):
        draw_cloud(ax, states[: i + 1], box, real, tails or 0, classes)
        ax.set_title(textwrap.shorten(told[i], 26, placeholder="…"), size=10, pad=5)
    return picture


def _classes(colours, count: int) -> np.ndarray:
    if colours is None:
        return np.zeros(count, int)
    given = numbers(colours, "show.clouds: colours", 1)
    if len(given) != count or given.min() < 0 or (given != given.round()).any():
        raise ValueError(f"show.clouds: colours are {count} whole numbers from 0, one a point.")
    return given.astype(int)


def _round_all(points: np.ndarray) -> tuple[float, ...]:
    """``_round`` without its wide margin: nothing lies outside of these."""
    low, high, _, _ = box = _round(points)
    cut = (high - low) * (1 - 1.1 / 1.4) / 2
    return (low + cut, high - cut, box[2] + cut, box[3] - cut)


def squares(title, alt, count: int, caption=None, columns: int = 5):
    """A Picture with ``count`` square panels without ticks, laid out by hand, and those axes."""
    columns = min(columns, count)
    margin, gap, name = 14, 10, 24
    side = min(220, (WIDTH - 2 * margin - gap * (columns - 1)) // columns)
    width = max(2 * margin + columns * side + (columns - 1) * gap, 420)
    head = textwrap.wrap(title, int(width / 10.5))
    foot = textwrap.wrap(caption or "", int(width / 6.7))
    lines = -(-count // columns)
    top, bottom = 20 + 19 * len(head), 12 + (15 * len(foot) + 4 if foot else 0)
    height = top + lines * (side + name) + (lines - 1) * gap + bottom
    picture = Picture(title, alt, width, height)
    picture.text(12 / width, 1 - 10 / height, "\n".join(head), size=12, weight="bold", va="top")
    picture.text(12 / width, 8 / height, "\n".join(foot), size=9, color=MUTED, va="bottom")
    panels = []
    for i in range(count):
        x = margin + i % columns * (side + gap)
        y = top + i // columns * (side + name + gap) + name
        where = (x / width, 1 - (y + side) / height, side / width, side / height)
        panels.append(picture.add_axes(where))
    return picture, panels


def draw_cloud(ax, states, box, real=None, tails: int = 0, classes=None) -> None:
    """The last of ``states`` (K, N, 2) on these axes, and where the first ``tails`` came from."""
    now = states[-1]
    if real is not None:
        ax.scatter(*_thin(real).T, s=4, color="#b4b4b4", alpha=0.6, linewidth=0, zorder=1)
    for i in range(min(tails, len(now)) if len(states) > 1 else 0):
        ax.plot(*states[:, i].T, color=INK, linewidth=0.8, linestyle="-", alpha=0.7, zorder=4)
        ax.plot(*now[i], "o", color=INK, markersize=3, zorder=5)
    classes = np.zeros(len(now), int) if classes is None else classes
    for c in np.unique(classes):
        own = _thin(now[classes == c])
        colour = BLUE if c == 0 else PALETTE[c % len(PALETTE)]
        ax.scatter(*own.T, s=5, color=colour, alpha=0.45, linewidth=0, zorder=3)
    if lost := int((~_inside(now, box)).sum()):
        ax.text(0.98, 0.02, _outside(lost, len(now)), transform=ax.transAxes, ha="right", size=8.5,
                color=INK, path_effects=HALO, zorder=6)  # fmt: skip
    ax.set(xlim=box[:2], ylim=box[2:], xticks=(), yticks=())
    ax.grid(False)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(EDGE)


def stream(density, *, title, x, times, xlabel="t", ylabel="x", paths=None, power=0.5,
           caption=None, alt=None) -> Picture:  # fmt: skip
    """A density on a line that changes with time, dark where it is high, and paths through it.

    density: (K, G), at K rising or falling ``times`` (K,) and G rising places ``x`` (G,); each
    time's is divided by its own highest, so that the wide ones are seen, too, and taken to
    ``power`` (below 1: faint parts are drawn darker). paths: {label: (K, M)}, M paths each, of one
    colour and dash. Raises ValueError for other shapes and for densities below 0.
    """
    demand("stream", title=title, xlabel=xlabel, ylabel=ylabel)
    field = numbers(density, "show.stream: density", 2)
    places, when = numbers(x, "show.stream: x", 1), numbers(times, "show.stream: times", 1)
    if field.shape != (len(when), len(places)):
        raise ValueError(f"show.stream: density is {field.shape} for {len(when)} times and "
                         f"{len(places)} places.")  # fmt: skip
    steps = np.diff(when)
    if len(when) < 2 or not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError("show.stream: the times must rise or fall, at least two of them.")
    if len(places) < 2 or not (np.diff(places) > 0).all():
        raise ValueError("show.stream: x must be at least two rising places.")
    if field.min() < 0 or not (field.max(1) > 0).all():
        raise ValueError("show.stream: a density is above 0 somewhere and nowhere below; is it "
                         "a logarithm?")  # fmt: skip
    paths = paths or {}
    if len(paths) > 4:
        raise ValueError(f"show.stream draws at most 4 kinds of paths, not {len(paths)}.")
    alt = alt or f"{title}: the density of {ylabel} against {xlabel}" + (
        f", with paths: {', '.join(paths)}." if paths else ".")  # fmt: skip
    picture = Picture(title, alt, 760, 400 + (20 if caption else 0), layout="constrained")
    ax = picture.add_subplot()
    shade = (field / field.max(1, keepdims=True)) ** power
    ax.pcolormesh(when, places, shade.T, cmap=DEPTH, vmin=0, vmax=1.25, shading="nearest",
                  rasterized=True, zorder=0)  # fmt: skip
    for i, (label, lines) in enumerate(paths.items()):
        lines = numbers(lines, f"show.stream: {label!r}", 2)
        if len(lines) != len(when):
            raise ValueError(f"show.stream: {label!r} has {len(lines)} moments, not {len(when)}.")
        colour = (PALETTE[1], INK, PALETTE[3], PALETTE[2])[i]
        drawn = ax.plot(when, lines, color=colour, linestyle=LINES[i], linewidth=1.4, zorder=3)
        drawn[0].set_label(label)
    ax.set(title=textwrap.fill(title, 70), xlabel=xlabel, ylabel=ylabel,
           xlim=(when[0], when[-1]), ylim=(places[0], places[-1]))  # fmt: skip
    ax.grid(False)
    if paths:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), handlelength=3, borderaxespad=0)
    if caption:
        picture.supxlabel(textwrap.fill(caption, 108), x=0.012, size=9, ha="left", color=MUTED)
    return picture
