"""The explorers of diffusion: how data turns into noise, and how a sampler finds its way back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import torch
from matplotlib.patches import Rectangle

from genart_lessons.explore.base import LABEL, Explorer, slider
from genart_lessons.explore.game import choice
from genart_lessons.models import diffusion, diffusion_samplers
from genart_lessons.show.diffusion import EDGE
from genart_lessons.show.look import INK, LINES, MUTED, PALETTE, Picture, demand
from genart_lessons.show.pictures import GAP, MARGIN, as_pictures, canvas, fit, place, spread

STATIONS = 9
BIG = 200
SAMPLERS = {"DDPM": "ddpm", "DDIM": "ddim", "DPM-Solver++ (2M)": "dpm2"}


def whole(label: str, value: int, low: int, high: int, step: int = 1):
    """A labelled slider of whole numbers that the arrow keys move by ``step``."""
    if not low <= value <= high:
        raise ValueError(f"The slider {label!r} starts at {value}, outside {low} to {high}.")
    return widgets.IntSlider(
        value=value, min=low, max=high, step=step, description=label, style=LABEL,
        layout={"width": "440px"}, continuous_update=False,
        tooltip=f"{label}, from {low} to {high}; the arrow keys move it",
    )  # fmt: skip


# -- forward -------------------------------------------------------------------------------------


def forward(
    x0, schedules: Mapping[str, diffusion.Schedule] | None = None, *, t: int | None = None,
    seed: int = 0, invert: bool = False, title: str = "From data to noise",
) -> Explorer:  # fmt: skip
    """x_t = √ᾱ_t·x_0 + √(1 − ᾱ_t)·ε (equation 7.5) for a slider's t, and what is left of the data.

    x0: pictures (N, C, H, W) in [0, 1], of which the first is shown, or points (N, 2).
    schedules: {name: Schedule}, all of one length; None: the linear and the cosine one, 1000 steps.
    t: where the slider starts (None: a quarter of the way). Seed s gives the noise of
    ``torch.Generator().manual_seed(s)``, one and the same at every t.
    Above: x_t, and the same from t = 0 to T; below, what part of the standard deviation is signal
    and what is noise. Raises ValueError for other shapes and for schedules of different length.
    """
    demand("forward (explore)", title=title)
    tables = dict(schedules or {"linear": diffusion.linear(), "cosine": diffusion.cosine()})
    lengths = {schedule.T for schedule in tables.values()}
    if len(lengths) != 1:
        raise ValueError("explore.forward: the schedules must be equally long, to share the "
                         f"slider; they are {sorted(lengths)}.")  # fmt: skip
    data = torch.as_tensor(x0).detach().cpu().float()
    flat = data.ndim == 2 and data.shape[1] == 2
    if not flat and data.ndim != 4:
        raise ValueError("explore.forward: x0 is pictures (N, C, H, W) or points (N, 2), not "
                         f"{tuple(data.shape)}.")  # fmt: skip
    data = data if flat else diffusion.to_signed(data[:1])
    last = lengths.pop()
    stations = [round(last * i / (STATIONS - 1)) for i in range(STATIONS)]

    def draw(t, schedule, seed):
        table = tables[schedule]
        eps = torch.randn(data.shape, generator=torch.Generator().manual_seed(seed))
        states = [diffusion.noised(table, data, s, eps) for s in (t, *stations)]
        bar = float(table.alpha_bar[t])
        signal, noise = math.sqrt(bar), math.sqrt(1 - bar)
        snr = "∞" if bar == 1 else f"{bar / (1 - bar):.3g}"
        line = (f"{schedule} schedule, t = {t} of {last}: x_t = {signal:.3f}·x₀ + {noise:.3f}·ε; "
                f"ᾱ_t = {bar:.3g}, signal to noise {snr}; seed {seed}")  # fmt: skip
        alt = f"{title}: {line}."
        if flat:
            picture = _points_above(states, stations, t, title, alt)
        else:
            shown = torch.cat([diffusion.to_unit(x) for x in states])
            pictures = as_pictures(shown, invert=invert, function="forward (explore)")
            picture = _pictures_above(pictures, stations, t, title, alt)
        _levels(picture, tables, schedule, t)
        return picture, line

    names = {name: name for name in tables}
    start = last // 4 if t is None else t
    controls = {"t": whole("t", start, 0, last, max(1, last // 100))}
    # Moving along is the point of this one, and cheap.
    controls["t"].continuous_update = True
    controls["schedule"] = choice("schedule", next(iter(names)), names)
    return Explorer(controls, draw, title=title, seed=seed)


WIDE, UPPER, LOWER = 880, 250, 176  # pixels: the picture's width, and its two halves


def _frame(title, alt, extra=LOWER):
    _, ax, sheet = canvas(WIDE, UPPER + extra, title, alt)
    ax.text(MARGIN, MARGIN - 2, title, size=12, weight="bold", va="top", color=INK)
    return ax, sheet


def _pictures_above(pictures, stations, t, title, alt):
    ax, sheet = _frame(title, alt)
    top, x0 = MARGIN + 28, MARGIN + BIG + 28
    place(sheet, fit(pictures[0], BIG, BIG), MARGIN, top, BIG, BIG)
    size = (WIDE - x0 - MARGIN - 4 * GAP) // 5
    side = min(size, 88)
    for i, small in enumerate(pictures[1:]):
        x = x0 + i % 5 * (side + GAP + 12)
        y = top + i // 5 * (side + 20)
        place(sheet, fit(small, side, side), x, y, side, side)
        _name(ax, x + side / 2, y + side + 2, f"t = {stations[i]}")
    _name(ax, MARGIN + BIG / 2, top + BIG + 1, f"t = {t}", INK)
    return spread(ax, sheet)


def _name(ax, x, y, text, colour=MUTED):
    ax.text(x, y, text, size=8.5, ha="center", va="top", color=colour)


def _points_above(states, stations, t, title, alt):
    ax, sheet = _frame(title, alt)
    clouds = [x.numpy() for x in states]
    reach = max(float(abs(clouds[1]).max()), 2.5) * 1.08  # data, and almost all of the noise
    top, x0, side = MARGIN + 28, MARGIN + BIG + 28, 88
    places = [(MARGIN, top, BIG)]
    places += [(x0 + i % 5 * (side + GAP + 12), top + i // 5 * (side + 20), side)
               for i in range(STATIONS)]  # fmt: skip
    for (x, y, size), cloud, s in zip(places, clouds, (t, *stations), strict=True):
        large = size == BIG
        _tile(ax, cloud if large else cloud[:600], (x, y, size), reach)
        _name(ax, x + size / 2, y + size + 2, f"t = {s}", INK if large else MUTED)
    return spread(ax, sheet)


def _tile(ax, points, place, reach, real=None, tails=()):
    """A square of the plane, −reach to reach, on axes that are in pixels: quicker than ten axes.

    points (N, 2); real (M, 2), grey, below them; tails: (K, 2) each, the way to a point.
    """
    x, y, size = place

    def at(p):
        return (x + (p[:, 0] + reach) * size / 2 / reach, y + (reach - p[:, 1]) * size / 2 / reach)

    frame = Rectangle((x, y), size, size, facecolor="none", edgecolor=EDGE, linewidth=0.9)
    ax.add_patch(frame)
    drawn = []
    if real is not None:
        drawn.append(ax.scatter(*at(real), s=4, color="#b4b4b4", alpha=0.6, linewidth=0))
    drawn.append(ax.scatter(*at(points), s=5, color=PALETTE[0], alpha=0.45, linewidth=0))
    for tail in tails:
        path = at(tail)
        drawn += ax.plot(*path, color=INK, linewidth=0.8, linestyle="-", alpha=0.7)
        drawn += ax.plot(path[0][-1:], path[1][-1:], "o", color=INK, markersize=3)
    for artist in drawn:
        artist.set_clip_path(frame)  # what is farther out is not drawn over the neighbours


def _levels(picture, tables, chosen, t) -> None:
    """√ᾱ and √(1 − ᾱ) of every schedule against t, with a mark at the slider's."""
    height = UPPER + LOWER
    ax = picture.add_axes((58 / WIDE, 40 / height, 560 / WIDE, (LOWER - 58) / height))
    for i, (name, table) in enumerate(tables.items()):
        own = name == chosen
        look = dict(linewidth=2 if own else 1, alpha=1 if own else 0.45)
        for j, (part, level) in enumerate((("√ᾱ, signal", table.alpha_bar),
                                           ("√(1 − ᾱ), noise", 1 - table.alpha_bar))):  # fmt: skip
            ax.plot(level.sqrt().numpy(), color=PALETTE[j], linestyle=LINES[i % len(LINES)],
                    label=f"{part}, {name}", **look)  # fmt: skip
            if own:
                ax.plot(t, float(level.sqrt()[t]), "o", color=PALETTE[j], markersize=7, zorder=5)
    ax.axvline(t, color=INK, linewidth=1, linestyle="-", zorder=4)
    last = next(iter(tables.values())).T
    ax.set(xlim=(0, last), ylim=(-0.02, 1.04), yticks=(0, 0.5, 1), xlabel="t")
    ax.xaxis.labelpad = 0
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.08), fontsize=9, handlelength=3)


# -- reverse -------------------------------------------------------------------------------------


def reverse(
    model, *, shape: Sequence[int] | None = None, classes: Sequence[str] | None = None,
    y: int | None = None, steps: int = 20, most: int = 100, guidance: float = 1.0,
    sampler: str = "ddim", seed: int = 0, n: int = 400, real=None, invert: bool = False,
    title: str = "From noise to data",
) -> Explorer:  # fmt: skip
    """A sample on its way out of the noise, for a seed, a number of steps and a sampler.

    model: any denoiser, of pictures (``shape`` = (C, H, W), or ``model.shape``) or of points on
    the plane (shape (2,): n of them at once, over the points ``real`` (M, 2), if given).
    classes: the names of the model's classes; then there is a choice of the class, y (None: no
    class), and a slider for the guidance w, 1 at the plain conditional model (equation 7.36).
    sampler: ``"ddpm"``, ``"ddim"`` or ``"dpm2"``. steps: at first; at most ``most``.
    Upper row: x_t on the way; lower row: what the model took x_0 for at that time. The last of
    the upper row is the sample. Raises ValueError when classes and model do not fit.
    """
    shape = tuple(shape or getattr(model, "shape", None) or ())
    flat = shape == (2,)
    if not flat and len(shape) != 3:
        raise ValueError("explore.reverse needs the shape of a sample, (C, H, W) or (2,): give "
                         f"shape=…; it is {shape or 'unknown'}.")  # fmt: skip
    names = list(classes or ())
    demand("reverse (explore)", title=title,
           **{f"class {i}": name for i, name in enumerate(names, 1)})  # fmt: skip
    known = getattr(model, "classes", 0)
    if names and len(names) != known:
        raise ValueError(f"explore.reverse: {len(names)} names for {known} classes.")
    if y is not None and not names or names and y is not None and not 0 <= y < known:
        raise ValueError(f"explore.reverse: y={y} is no class of the {len(names)} that are named.")
    back = None if real is None else torch.as_tensor(real).detach().cpu().numpy()
    total = model.schedule.T
    most = min(most, total)

    def draw(sampler, steps, seed, y=-1, guidance=1.0):
        count = n if flat else 1
        generator = torch.Generator().manual_seed(seed)
        x_T = torch.randn(count, *shape, generator=generator)
        given = {}
        if names and y >= 0:
            given = {"y": torch.full((count,), y), "guidance": float(guidance)}
        walk = getattr(diffusion_samplers, sampler)
        film = walk(model, _like(model, x_T), steps=steps, generator=generator, clip=not flat,
                    keep=min(STATIONS, steps + 1) if not flat else min(5, steps + 1),
                    **given)  # fmt: skip
        told = {name: label for label, name in SAMPLERS.items()}[sampler]
        line = f"{told}, {steps} step{'s' * (steps > 1)} from t = {total}; seed {seed}"
        if names:
            what = f"{names[y]}, guidance w = {guidance:.1f}" if y >= 0 else "no class, no guidance"
            line += f"; {what}"
        alt = f"{title}: {line}."
        if flat:
            return _birth_of_points(film, back, title, alt), line
        return _birth(film, invert, title, alt), line

    controls = {"sampler": choice("sampler", sampler, SAMPLERS),
                "steps": whole("steps", steps, 1, most)}  # fmt: skip
    if names:
        options = {"any (no class)": -1} | {name: i for i, name in enumerate(names)}
        controls["y"] = choice("class", -1 if y is None else y, options)
        controls["guidance"] = slider("guidance w", guidance, 0.0, 8.0, 0.5)
        controls["guidance"].continuous_update = False  # each move is a whole sampling
    return Explorer(controls, draw, title=title, seed=seed)


def _like(model, x: torch.Tensor) -> torch.Tensor:
    """x in the model's dtype; the samplers bring it to its place."""
    one = next(model.parameters(), None) if hasattr(model, "parameters") else None
    one = one if one is not None else getattr(model, "means", x)
    return x.to(one.dtype)


def _birth(film, invert, title, alt) -> Picture:
    """States above, guesses below, in as many columns as were kept."""
    units = [diffusion.to_unit(x[:, 0].float().cpu()) for x in (film.states, film.guesses)]
    rows = [as_pictures(x, invert=invert, function="reverse (explore)") for x in units]
    left, columns = 92, len(film.times)
    side = min(88, (WIDE - left - MARGIN - GAP * (STATIONS - 1)) // STATIONS)
    side = max(side // rows[0][0].shape[0], 1) * rows[0][0].shape[0]
    top = MARGIN + 30
    # Always as wide, so that the page does not jump when there are fewer steps than columns.
    width = max(left + STATIONS * (side + GAP) - GAP + MARGIN, 420)
    _, ax, sheet = canvas(width, top + 2 * side + 24 + MARGIN, title, alt)
    ax.text(MARGIN, MARGIN - 2, title, size=12, weight="bold", va="top", color=INK)
    for r, (row, label) in enumerate(zip(rows, ("x_t", "guess of x₀"), strict=True)):
        y = top + r * (side + 24)
        ax.text(left - 10, y + side / 2, label, size=9, ha="right", va="center", color=INK)
        for c in range(columns):
            x = left + c * (side + GAP)
            place(sheet, fit(row[c], side, side), x, y, side, side)
            if r == 0:
                last = c == columns - 1
                _name(ax, x + side / 2, y + side + 3, "sample" if last else f"t = {film.times[c]}",
                      INK if last else MUTED)  # fmt: skip
    return spread(ax, sheet)


def _birth_of_points(film, real, title, alt) -> Picture:
    states, guesses = (x.float().cpu().numpy() for x in (film.states, film.guesses))
    left, side, gap = 78, 148, 8
    height = 40 + 2 * side + 26 + 14
    _, ax, sheet = canvas(WIDE, height, title, alt)
    ax.text(MARGIN, MARGIN - 2, title, size=12, weight="bold", va="top", color=INK)
    # One scale for all: the data's if it is given, and room for the noise.
    reach = 1.08 * max(2.6, abs(real).max() if real is not None else 0.0)
    for r, (row, label) in enumerate(((states, "x_t"), (guesses, "guess\nof x₀"))):
        y = 40 + r * (side + 26)
        ax.text(left - 10, y + side / 2, label, size=9, ha="right", va="center", color=INK)
        for c, t in enumerate(film.times):
            x = left + c * (side + gap)
            tails = [row[: c + 1, i] for i in range(min(8, row.shape[1]))] if c and not r else ()
            _tile(ax, row[c], (x, y, side), reach, real, tails)
            last = c == len(film.times) - 1
            if r == 0:
                _name(ax, x + side / 2, y + side + 4, "sample" if last else f"t = {t}",
                      INK if last else MUTED)  # fmt: skip
    return spread(ax, sheet)
