"""Pictures of games: a field of arrows with paths in it, modes hit and missed, a GAN on a line."""

import textwrap
from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from genart_lessons.show.look import (
    DPI,
    INK,
    LINES,
    MUTED,
    PALETTE,
    PAPER,
    WIDTH,
    Picture,
    demand,
)  # fmt: skip
from genart_lessons.show.plots import HALO, numbers

QUIET = LinearSegmentedColormap.from_list("quiet", ("#c3c9cf", "#4a525a"))  # told apart by darkness
MOST = 2500  # points drawn in one panel: more hide each other and make the file heavy
BLUE, RED, GREEN = PALETTE[:3]
BLUE_LIGHT = "#b8d5e8"  # opaque, so that the grid does not show through


def field(v: Callable, *, title, xlabel, ylabel, extent=(-2, 2), paths=None, points=None,
          arrows=19, caption=None, alt=None) -> Picture:  # fmt: skip
    """The field of steps of a game of two numbers, and the paths of players through it.

    v: arrays theta, psi (arrows, arrows) → two arrays of that shape, the step's two parts; ψ
    stands on the vertical axis. All arrows are equally long; the darker, the faster. ``extent``:
    (low, high) of both axes, or (x_low, x_high, y_low, y_high). ``paths``: {label: (K, 2)}, at
    most 8, each with an open circle where it starts and a square where it ends (an arrowhead where
    it leaves the picture). ``points``: {label: (x, y)}, such as an equilibrium, marked with a star.
    Raises ValueError for other shapes, NaN, and an empty range.
    """
    demand("field", title=title, xlabel=xlabel, ylabel=ylabel)
    box = _box(extent, "field")
    paths = _paths(paths or {})
    told = f" Paths: {', '.join(paths)}." if paths else ""
    named = [*paths, *(points or {})]
    alt = alt or f"{title}: arrows of the steps over {xlabel} and {ylabel}.{told}"
    caption = "Arrows: where a step leads; the darker, the faster." if caption is None else caption
    # A scale is as long on one axis as on the other, so the axes take the shape of the ranges; the
    # names of the paths stand beside them.
    shape = (box[3] - box[2]) / (box[1] - box[0])
    inner = 440 / max(1.0, shape)
    beside = 78 + 7.5 * max(map(len, named)) if named else 16
    picture, (ax,) = stack(title, alt, [(inner * shape, 44)], caption, inner, beside)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    draw_field(ax, v, box, paths, points or {}, arrows)
    if named:
        ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1), handlelength=3, borderaxespad=0)
    return picture


def draw_field(ax, v, box, paths: Mapping, points: Mapping, arrows: int = 19, skip: int = 0):
    """The arrows, paths and points of ``field`` on these axes; ``skip`` colours go unused."""
    if isinstance(arrows, bool) or not isinstance(arrows, int) or not 2 <= arrows <= 60:
        raise ValueError(f"show.field: arrows is a whole number from 2 to 60, not {arrows}.")
    x, y = (edge.ravel() for edge in _grid(box, arrows))
    u, w = _steps(v, box, arrows)
    speed = np.hypot(u, w)
    safe = np.where(speed > 0, speed, 1)
    # Arrows are laid in data units, a little shorter than the gap between them.
    gap = np.array((box[1] - box[0], box[3] - box[2])) / arrows
    length = 0.72 / np.hypot(u / safe / gap[0], w / safe / gap[1]).clip(min=1e-9)
    length = np.where(speed > 0, length, 0)
    ax.quiver(x, y, u / safe * length, w / safe * length, speed, cmap=QUIET, pivot="mid",
              angles="xy", scale_units="xy", scale=1, width=0.0036, headwidth=4.2,
              headlength=4.6, headaxislength=4, zorder=1)  # fmt: skip
    for i, (label, path) in enumerate(paths.items(), skip):
        _draw_path(ax, path, box, PALETTE[i % len(PALETTE)], LINES[i % len(LINES)], label)
    for label, point in points.items():
        at = numbers(point, f"show.field: point {label!r}", 1)
        if at.shape != (2,):
            raise ValueError(f"show.field: point {label!r} is a pair (x, y), not {at.shape}.")
        ax.plot(*at, "*", color=INK, markersize=13, markeredgecolor=PAPER, label=label, zorder=9,
                linestyle="none")  # fmt: skip
    ax.set(xlim=box[:2], ylim=box[2:], aspect="equal")
    ax.grid(False)


def _draw_path(ax, path, box, colour, dash, label):
    """The path up to where it first leaves the picture, from where an arrowhead points outside."""
    outside = np.flatnonzero(~_inside(path, box))
    leaves = bool(len(outside)) and outside[0] > 0
    if leaves:
        path = path[: outside[0] + 1].copy()
        way = path[-1] - path[-2]
        path[-1] = path[-2] + way * _share(path[-2], way, box)
    ax.plot(*path.T, color=colour, linestyle=dash, linewidth=2, label=label, zorder=3)
    own = {"color": colour, "clip_on": len(outside) > 0 and not leaves, "linestyle": "none"}
    ax.plot(*path[0], "o", markerfacecolor=PAPER, markersize=8, markeredgewidth=2, zorder=7, **own)
    if not leaves:
        ax.plot(*path[-1], "s", markersize=7, markeredgecolor=PAPER, zorder=8, **own)
        return
    tail = path[-1] - way / np.hypot(*way) * (box[1] - box[0]) / 25
    ax.annotate("", path[-1], tail, zorder=5,
                arrowprops={"arrowstyle": "-|>", "color": colour, "mutation_scale": 18,
                            "shrinkA": 0, "shrinkB": 0})  # fmt: skip


def _share(start, way, box) -> float:
    """The share of the step ``way`` from ``start``, inside, after which it meets the frame."""
    edge = np.where(way > 0, box[1::2], box[::2])
    return float(np.min(np.abs(edge - start) / np.maximum(np.abs(way), 1e-300)))


def _inside(path, box) -> np.ndarray:
    return ((path >= np.array(box[::2])) & (path <= np.array(box[1::2]))).all(1)


def _grid(box, arrows) -> list[np.ndarray]:
    """Midpoints of ``arrows`` equal cells each way, (arrows, arrows) twice."""
    mid = (np.arange(arrows) + 0.5) / arrows
    return list(np.meshgrid(box[0] + mid * (box[1] - box[0]), box[2] + mid * (box[3] - box[2])))


def _steps(v, box, arrows):
    x, y = _grid(box, arrows)
    given = v(x, y)
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ValueError("show.field: v(theta, psi) must return two arrays, one for each axis.")
    parts = [numbers(part, "show.field: v") for part in given]
    if any(part.shape not in (x.shape, ()) for part in parts):
        raise ValueError(f"show.field: v was given arrays of shape {x.shape} and returned "
                         f"{parts[0].shape} and {parts[1].shape}.")  # fmt: skip
    return [np.broadcast_to(part, x.shape).ravel() for part in parts]


def _box(extent, function: str) -> tuple[float, ...]:
    """(x_low, x_high, y_low, y_high) from two or four numbers."""
    edges = [float(edge) for edge in numbers(extent, f"show.{function}: extent", 1)]
    edges = edges * 2 if len(edges) == 2 else edges
    if len(edges) != 4 or not (edges[0] < edges[1] and edges[2] < edges[3]):
        raise ValueError(f"show.{function}: extent is (low, high) for both axes, or "
                         f"(x_low, x_high, y_low, y_high); not {tuple(extent)}.")  # fmt: skip
    return tuple(edges)


def _paths(paths: Mapping) -> dict[str, np.ndarray]:
    if len(paths) > len(PALETTE):
        raise ValueError(f"show.field draws up to {len(PALETTE)} paths, not {len(paths)}.")
    return {label: _pairs(path, f"show.field: path {label!r}") for label, path in paths.items()}


def _pairs(values, what: str) -> np.ndarray:
    points = numbers(values, what, 2)
    if points.shape[1] != 2:
        raise ValueError(f"{what} needs the shape (N, 2), not {points.shape}.")
    return points


def stack(title, alt, panels, caption, wide: float, beside: float, kind=Picture):
    """A Picture of panels one above the other and its axes, placed by hand.

    panels: [(height, space below)] in pixels, all ``wide`` pixels, with room ``beside`` them for a
    legend. Letting matplotlib solve for the layout would take as long as all the drawing.
    """
    left = 66
    width = round(min(left + wide + beside, WIDTH))
    head = textwrap.wrap(title, int(width / 10.5))
    foot = textwrap.wrap(caption or "", int(width / 6.7))
    top, bottom = 20 + 19 * len(head), 8 + (15 * len(foot) + 6 if foot else 0)
    height = round(top + sum(map(sum, panels)) + bottom)
    picture = kind(title, alt, width, height)
    picture.text(12 / width, 1 - 10 / height, "\n".join(head), size=12, weight="bold", va="top")
    picture.text(12 / width, 8 / height, "\n".join(foot), size=9, color=MUTED, va="bottom")
    axes, y = [], top
    for tall, below in panels:
        where = (left / width, 1 - (y + tall) / height, wide / width, tall / height)
        axes.append(picture.add_axes(where))
        y += tall + below
    return picture, axes


# -- modes hit and missed -------------------------------------------------------------------------


def samples(real, groups: Mapping, *, title, notes=None, xlabel="x₁", ylabel="x₂", extent=None,
            columns=None, caption=None, alt=None) -> Picture:  # fmt: skip
    """Generated points over the real ones, a square panel for each group, all on the same axes.

    real: (N, 2); up to 64 are drawn as rings (the centres of the modes), more as a grey cloud.
    groups: {name: (M, 2)}, 1 to 6 of them. notes: {name: one short line}, set below the panel's
    name, such as "8 of 8 modes, 96 % good". ``extent``: as in ``field``; None: round the real
    points, so that a group that runs away does not move the others (how many points of a group are
    outside is said in its panel). Draws at most 2500 points of each.
    Raises ValueError for other shapes, NaN, and notes on no group.
    """
    demand("samples", title=title, xlabel=xlabel, ylabel=ylabel,
           **{f"group {i + 1}'s name": name for i, name in enumerate(groups)})  # fmt: skip
    if not 1 <= len(groups) <= 6:
        raise ValueError(f"show.samples draws 1 to 6 groups, not {len(groups)}.")
    notes = dict(notes or {})
    if stray := set(notes) - set(groups):
        raise ValueError(f"show.samples: notes for {sorted(stray)}, which is no group here.")
    real = _pairs(real, "show.samples: real")
    clouds = {name: _pairs(own, f"show.samples: {name!r}") for name, own in groups.items()}
    box = _box(extent, "samples") if extent is not None else _round(real)
    columns = (len(clouds) if len(clouds) <= 4 else 3) if columns is None else columns
    if columns not in range(1, 7):
        raise ValueError(f"show.samples: columns is a whole number from 1 to 6, not {columns}.")
    told = "; ".join(f"{name}: {notes.get(name, f'{len(own)} points')}"
                     for name, own in clouds.items())  # fmt: skip
    picture, panels = _panels(title, alt or f"{title}. {told}.", len(clouds), columns, caption,
                              42 if notes else 26, len(real) <= 64)  # fmt: skip
    for i, (ax, (name, own)) in enumerate(zip(panels, clouds.items(), strict=True)):
        _cloud(ax, real, own, box)
        width = int(ax.get_position().width * picture.get_size_inches()[0] * DPI / 6.5)
        ax.set_title(textwrap.shorten(name, max(width, 8), placeholder="…"), size=10.5,
                     pad=22 if notes else 6)  # fmt: skip
        ax.text(0, 1.025, notes.get(name, ""), transform=ax.transAxes, size=9, color=MUTED)
        below = i + columns >= len(clouds)
        ax.set(xlabel=xlabel if below else "", ylabel="" if i % columns else ylabel)
        ax.tick_params(labelbottom=below, labelleft=not i % columns, labelsize=9)
    return picture


def _panels(title, alt, count, columns, caption, name, rings):
    """A Picture with square panels, laid out by hand: title above, legend and caption below."""
    lines = -(-count // columns)
    left, gap, right = 58, 14, 14
    side = min(330, (WIDTH - left - right - gap * (columns - 1)) // columns)
    width = max(left + right + columns * side + gap * (columns - 1), 400)
    head = textwrap.wrap(title, int(width / 10.5))
    foot = textwrap.wrap(caption or "", int(width / 6.5))
    top, bottom = 20 + 19 * len(head), 48 + 28 + 15 * len(foot)
    height = top + lines * (side + name) + (lines - 1) * 12 + bottom
    picture = Picture(title, alt, width, height)
    picture.text(12 / width, 1 - 10 / height, "\n".join(head), size=12, weight="bold", va="top")
    picture.text(12 / width, 8 / height, "\n".join(foot), size=9, color=MUTED, va="bottom")
    panels = []
    for i in range(count):
        x = left + i % columns * (side + gap)
        y = top + i // columns * (side + name + 12) + name
        where = (x / width, 1 - (y + side) / height, side / width, side / height)
        panels.append(picture.add_axes(where))
    look = {"linestyle": "none", "marker": "o"}
    ring = {"markersize": 8, "markerfacecolor": "none", "color": INK, "markeredgewidth": 0.9}
    marks = [Line2D([], [], label="real", **look, **(ring if rings else {"color": "#b4b4b4",
                                                                         "markersize": 4})),
             Line2D([], [], label="generated", **look, color=BLUE, markersize=4)]  # fmt: skip
    picture.legend(handles=marks, ncols=2, loc="lower left", fontsize=9, borderaxespad=0,
                   bbox_to_anchor=(left / width, (10 + 15 * len(foot)) / height))  # fmt: skip
    return picture, panels


def _cloud(ax, real, own, box):
    if len(real) <= 64:
        ax.scatter(*real.T, s=90, facecolor="none", edgecolor=INK, linewidth=0.9, zorder=4)
    else:
        ax.scatter(*_thin(real).T, s=4, color="#b4b4b4", alpha=0.6, linewidth=0, zorder=2)
    ax.scatter(*_thin(own).T, s=5, color=BLUE, alpha=0.4, linewidth=0, zorder=3)
    if lost := int((~_inside(own, box)).sum()):
        ax.text(0.98, 0.02, _outside(lost, len(own)), transform=ax.transAxes, ha="right", size=9,
                color=INK, path_effects=HALO, zorder=5)  # fmt: skip
    ax.set(xlim=box[:2], ylim=box[2:])
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color("#c8c8c8")


def _outside(lost: int, of: int) -> str:
    return f"{lost / of:.0%} outside" if lost / of >= 0.01 else f"{lost} of {of} outside"


def _thin(points: np.ndarray) -> np.ndarray:
    return points[np.linspace(0, len(points) - 1, min(len(points), MOST)).round().astype(int)]


def _round(real: np.ndarray) -> tuple[float, ...]:
    """A square round the points with a margin of a fifth of its side."""
    low, high = real.min(0), real.max(0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-3) * 1.4
    return (middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half)


# -- a GAN on a line ------------------------------------------------------------------------------


class Frame(Picture):
    """A Picture that a run draws again and again: always encoded in 256 colours, and only once."""

    def _light(self) -> bytes:
        return self.png(colours=256)


def game_on_a_line(x, data, generated, d=None, d_star=None, *, title, z=None, moved=None,
                   xlabel="x", caption=None, alt=None) -> Picture:  # fmt: skip
    """A GAN in one dimension, after Goodfellow et al. (2014, fig. 1).

    x: (G,) rising places; data: (G,) the true density there; generated: (M,) numbers that the
    generator made, drawn as a histogram. d: (G,) the discriminator's D(x) in [0, 1], and d_star:
    (G,) the best one, p_data/(p_data + p_g), on a second panel. z and moved: (K,) codes and what
    the generator makes of them, drawn as arrows from a line of codes up to x. The axes depend on
    ``x`` and ``data`` alone, so that the frames of a run can be compared. Fast: for ``live=``.
    Raises ValueError for other shapes, NaN, densities below 0 and D outside [0, 1].
    https://arxiv.org/abs/1406.2661
    """
    demand("game_on_a_line", title=title, xlabel=xlabel)
    given = {"x": x, "data": data, "generated": generated, "d": d, "d_star": d_star, "z": z,
             "moved": moved}  # fmt: skip
    got = {name: numbers(values, f"show.game_on_a_line: {name}", 1)
           for name, values in given.items() if values is not None}  # fmt: skip
    _check_line(got)
    parts = ["density"] + ["d"] * (("d" in got) or ("d_star" in got))
    # Below the last panel with places on it stand the numbers of x and its name.
    panels = [(200, 14), (130, 44)] if len(parts) == 2 else [(200, 44)]
    if "z" in got:
        parts, panels = [*parts, "z"], [*panels, (116, 0)]
    picture, drawn = stack(title, alt or f"{title}: {_told(got)}.", panels, caption, 458, 190,
                           Frame)  # fmt: skip
    axes = dict(zip(parts, drawn, strict=True))
    _densities(axes["density"], got)
    if "d" in axes:
        _judgement(axes["d"], got)
    if "z" in axes:
        _arrows(axes["z"], got)
    for name, ax in axes.items():
        ax.set_xlim(got["x"][0], got["x"][-1])
        ax.tick_params(labelbottom=name == "d" or "d" not in axes)
    axes["d" if "d" in axes else "density"].set_xlabel(xlabel, labelpad=1)
    return picture


def _check_line(got: dict) -> None:
    size = len(got["x"])
    if size < 2 or not (np.diff(got["x"]) > 0).all():
        raise ValueError("show.game_on_a_line: x must be at least two rising places.")
    for name in ("data", "d", "d_star"):
        if name in got and len(got[name]) != size:
            raise ValueError(
                f"show.game_on_a_line: {name} has {len(got[name])} values for {size} places x."
            )
    if got["data"].min() < 0:
        raise ValueError("show.game_on_a_line: data is a density and cannot be below 0; is it log?")
    for name in {"d", "d_star"} & set(got):
        if got[name].min() < -1e-6 or got[name].max() > 1 + 1e-6:
            raise ValueError(f"show.game_on_a_line: {name} is a probability in [0, 1]; this one "
                             f"runs from {got[name].min():.3g} to {got[name].max():.3g}. "
                             "Take the sigmoid of the logits.")  # fmt: skip
    if ("z" in got) != ("moved" in got) or len(got.get("z", ())) != len(got.get("moved", ())):
        raise ValueError("show.game_on_a_line: z and moved go together, as many of each: "
                         f"{len(got.get('z', ()))} and {len(got.get('moved', ()))}.")  # fmt: skip


def _told(got: dict) -> str:
    made = got["generated"]
    told = f"generated numbers with mean {made.mean():.2f} and spread {made.std():.2f}"
    if {"d", "d_star"} <= set(got):
        gap = np.abs(got["d"] - got["d_star"]).max()
        told += f"; D is at most {gap:.2f} away from the best D"
    return told


BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.04), "handlelength": 2.4, "fontsize": 9}


def _densities(ax, got):
    x, data, made = got["x"], got["data"], got["generated"]
    edges = np.linspace(x[0], x[-1], 61)
    counts, _ = np.histogram(made, edges)
    heights = counts / (len(made) * np.diff(edges))  # of all, also of those outside
    most = 1.8 * max(data.max(), 1e-9)
    ax.stairs(heights, edges, fill=True, facecolor=BLUE_LIGHT, edgecolor=BLUE, linewidth=1,
              label="generated, p_g")  # fmt: skip
    ax.plot(x, data, color=INK, linestyle=LINES[1], linewidth=1.8, label="real, p_data")
    ax.set(ylabel="density", ylim=(0, most))
    peak = heights.argmax()
    if heights[peak] > most:  # the axis stays: what sticks out is said
        left = peak < 30
        ax.annotate(f"up to {heights[peak]:.1f} ↑", (edges[peak + left], most),
                    (7 if left else -4, -4), textcoords="offset points", va="top",
                    ha="left" if left else "right", size=9, color=BLUE,
                    path_effects=HALO)  # fmt: skip
    if lost := int(((made < x[0]) | (made > x[-1])).sum()):
        ax.text(0.99, 0.86, _outside(lost, len(made)), transform=ax.transAxes, ha="right",
                va="top", size=9, color=INK, path_effects=HALO)  # fmt: skip
    ax.legend(**BESIDE)


def _judgement(ax, got):
    x = got["x"]
    ax.axhline(0.5, color=MUTED, linewidth=0.9, linestyle="-")
    if "d_star" in got:
        ax.plot(x, got["d_star"], color=GREEN, linestyle=LINES[2], label="the best D for p_g")
    if "d" in got:
        ax.plot(x, got["d"], color=RED, linestyle=LINES[0], label="D(x), as it is")
    ax.set(ylabel="D(x)", ylim=(-0.04, 1.04), yticks=(0, 0.5, 1))
    ax.legend(**BESIDE)


def _arrows(ax, got):
    """Codes on the lower line, stretched over the middle of the panel; x on the upper one."""
    x, z, moved = got["x"], got["z"], got["moved"]
    low, high = z.min(), z.max()
    width = x[-1] - x[0]
    at = x[0] + width * (0.15 + 0.7 * (z - low) / max(high - low, 1e-12))
    ax.hlines((0, 1), x[0], x[-1], color=MUTED, linewidth=1)
    ax.quiver(at, np.zeros_like(at), moved - at, np.ones_like(at), angles="xy", scale_units="xy",
              scale=1, color="#4d9cc9", width=0.0024, headwidth=6, headlength=8,
              headaxislength=7, zorder=3)  # fmt: skip
    ax.plot(at, np.zeros_like(at), "o", color=BLUE, markersize=3.5, linestyle="none")
    for place, value in ((at[z.argmin()], low), (at[z.argmax()], high)):
        ax.text(place, -0.1, f"{value:.2g}".replace("-", "−"), size=9, ha="center", va="top",
                color=MUTED)  # fmt: skip
    ax.set(ylim=(-0.4, 1.08), yticks=(0, 1), yticklabels=("z", "G(z)"), xticks=())
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    ax.text(1.03, 0.95, "Each code z goes to\nG(z). Arrows crowd\nwhere p_g is high.", va="top",
            transform=ax.transAxes, size=9, color=MUTED, linespacing=1.3)  # fmt: skip
