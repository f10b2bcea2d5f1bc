"""Curves, bars, tables of numbers, scatters and densities, each with a title and labels."""

import textwrap
from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patheffects import withStroke

from genart_lessons.show.look import (
    INK,
    LINES,
    MARKERS,
    MUTED,
    PALETTE,
    PAPER,
    WIDTH,
    Picture,
    demand,
)  # fmt: skip

DEPTH = LinearSegmentedColormap.from_list("depth", (PAPER, "#9ecae1", PALETTE[0], "#08203a"))
SIGNED = LinearSegmentedColormap.from_list("signed", (PALETTE[1], PAPER, PALETTE[0]))

HALO = [withStroke(linewidth=3, foreground=PAPER)]  # keeps text legible on top of marks


def numbers(values, what: str, ndim: int | None = None) -> np.ndarray:
    """A float array; ValueError for the wrong number of dimensions, nothing at all, NaN or ∞."""
    values = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, float)
    if ndim is not None and values.ndim != ndim:
        raise ValueError(f"{what} needs {ndim} dimension(s); its shape is {values.shape}.")
    if values.size == 0:
        raise ValueError(f"{what}: there are no values.")
    if bad := int((~np.isfinite(values)).sum()):
        raise ValueError(f"{what}: {bad} of {values.size} values are NaN or infinite.")
    return values


def plot(title, alt, width=700, height=360, caption=None, **labels):
    """A Picture with one axes, its title, its labels and a small caption line below."""
    width = min(width, WIDTH)
    picture = Picture(title, alt, width, height, layout="constrained")
    ax = picture.add_subplot()
    ax.set(title=textwrap.fill(title, int(width / 10.5)), **labels)
    if caption:
        picture.supxlabel(textwrap.fill(caption, int(width / 7)), x=0.012, size=9,
                          ha="left", multialignment="left", color=MUTED)  # fmt: skip
    return picture, ax


def curves(series: Mapping, *, title, xlabel, ylabel, x=None, band=None, levels=None, log=False,
           caption=None, alt=None) -> Picture:  # fmt: skip
    """Lines told apart by colour *and* dash. ``series``: {label: y (T,)}, ``x`` (T,) shared, or
    {label: x (T,)} where each line has its own places; its points are then marked.

    ``band``: {label: (low (T,), high (T,))}, shaded round that line. ``levels``: {label: number},
    thin horizontal lines such as a known truth. ``log``: which axes are logarithmic, "x", "y" or
    "xy" (True: "y").
    """
    demand("curves", title=title, xlabel=xlabel, ylabel=ylabel)
    if not series or len(series) > len(PALETTE):
        raise ValueError(f"show.curves draws 1 to {len(PALETTE)} lines, not {len(series)}.")
    picture, ax = plot(title, alt or f"{title}: {ylabel} against {xlabel} for {', '.join(series)}.",
                       caption=caption, xlabel=xlabel, ylabel=ylabel)  # fmt: skip
    for i, (label, y) in enumerate(series.items()):
        y = numbers(y, f"show.curves: {label!r}", 1)
        own = x.get(label) if isinstance(x, Mapping) else x
        if own is None and x is not None:
            raise ValueError(f"show.curves: x has no places for the line {label!r}.")
        at = np.arange(len(y)) if own is None else numbers(own, "show.curves: x", 1)
        if len(at) != len(y):
            raise ValueError(f"show.curves: {label!r} has {len(y)} values, but x has {len(at)}.")
        colour = PALETTE[i]
        mark = MARKERS[i] if isinstance(x, Mapping) else None
        ax.plot(at, y, color=colour, linestyle=LINES[i], label=label, marker=mark, markersize=5)
        if label in (band or {}):
            low, high = (numbers(edge, f"show.curves: band of {label!r}", 1)
                         for edge in band[label])  # fmt: skip
            ax.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
    for i, (label, level) in enumerate((levels or {}).items()):
        ax.axhline(level, color=INK, linewidth=1.2, linestyle=("-", ":", "--")[i % 3], label=label)
    if stray := set(band or {}) - set(series):
        raise ValueError(f"show.curves: band for {sorted(stray)}, which is no line here.")
    if "x" in (axes := "y" if log is True else log or ""):
        ax.set_xscale("log")
    if "y" in axes:
        ax.set_yscale("log")
    if len(ax.lines) > 1:
        many = len(ax.lines) > 4  # too many to leave room beside the lines
        place = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if many else {}
        ax.legend(handlelength=3, **place)
    return picture


def bars(values: Mapping, *, title, xlabel, errors=None, format="{:.2f}", levels=None, strong=(),
         caption=None, alt=None) -> Picture:  # fmt: skip
    """Horizontal bars with their numbers: ``{label: number}``, from the top down.

    ``errors``: {label: standard error}; ``levels``: {label: number}, vertical lines such as a bar
    to reach; ``strong``: labels whose bar stands out.
    """
    demand("bars", title=title, xlabel=xlabel)
    x = numbers(list(values.values()), "show.bars", 1)
    told = ", ".join(f"{k} {format.format(v)}" for k, v in zip(values, x, strict=True))
    picture, ax = plot(title, alt or f"{title}: {told}.", height=110 + 34 * len(x),
                       caption=caption, xlabel=xlabel)  # fmt: skip
    colours = [PALETTE[1] if label in strong else PALETTE[0] for label in values]
    error = [(errors or {}).get(label, 0) for label in values]
    drawn = ax.barh(list(values), x, color=colours, height=0.62, xerr=error if errors else None,
                    error_kw={"ecolor": INK, "capsize": 3})  # fmt: skip
    texts = [format.format(v) + (f" ± {format.format(e)}" if e else "")
             for v, e in zip(x, error, strict=True)]  # fmt: skip
    ax.bar_label(drawn, texts, padding=5, size=9, path_effects=HALO)
    for i, (label, level) in enumerate((levels or {}).items()):
        ax.axvline(level, color=INK, linewidth=1.2, linestyle=(":", "--", "-")[i % 3], label=label)
    if levels:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.16)
    return picture


def heat(matrix, *, title, rows, columns, xlabel="", ylabel="", format="{:.2f}", caption=None,
         alt=None) -> Picture:  # fmt: skip
    """A small table of numbers (R, C) as coloured cells with the numbers in them.

    ``rows`` and ``columns`` name them. Signed tables are drawn in two colours around 0.
    """
    demand("heat", title=title)
    m = numbers(matrix, "show.heat", 2)
    if m.shape != (len(rows), len(columns)):
        raise ValueError(f"show.heat: a table of shape {m.shape} with {len(rows)} row names and "
                         f"{len(columns)} column names.")  # fmt: skip
    if m.size > 400:
        raise ValueError(f"show.heat writes every number: {m.size} cells are too many (400).")
    told = "; ".join(f"{row}: {', '.join(map(format.format, line))}"
                     for row, line in zip(rows, m, strict=True))  # fmt: skip
    wide = 9 * max(len(format.format(v)) for v in m.flat)
    wide = max(wide, 64, *(8 * len(str(c)) for c in columns))
    table = max(
        wide * m.shape[1], min(10 * len(title), 500)
    )  # the title begins at the table's edge
    picture, ax = plot(title, alt or f"{title}. {told}.",
                       max(360, 130 + 8 * max(len(str(r)) for r in rows) + table),
                       120 + 36 * m.shape[0], caption, xlabel=xlabel, ylabel=ylabel)  # fmt: skip
    most = np.abs(m).max() or 1
    signed = m.min() < 0
    image = ax.imshow(m, cmap=SIGNED if signed else DEPTH, vmin=-most if signed else 0,
                      vmax=most if signed else most * 1.4, aspect="auto")  # fmt: skip
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0, labelcolor=INK, labeltop=True, labelbottom=False)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    for (r, c), value in np.ndenumerate(m):
        dark = np.dot(image.to_rgba(value)[:3], (0.3, 0.59, 0.11)) < 0.55
        ax.text(c, r, format.format(value), ha="center", va="center", color=PAPER if dark else INK)
    return picture


def scatter(points, classes=None, *, title, xlabel, ylabel, names=None, caption=None, alt=None):
    """Points (N, 2), coloured, shaped and named by class. ``classes``: (N,) whole numbers.

    ``names``: {class: name} or a list; the name also stands in the middle of its cloud.
    """
    demand("scatter", title=title, xlabel=xlabel, ylabel=ylabel)
    p = numbers(points, "show.scatter: points", 2)
    if p.shape[1] != 2:
        raise ValueError(f"show.scatter needs points of shape (N, 2), not {p.shape}.")
    k = np.zeros(len(p)) if classes is None else numbers(classes, "show.scatter: classes")
    if k.shape != (len(p),):
        raise ValueError(f"show.scatter: {len(p)} points but classes of shape {k.shape}.")
    k = k.astype(int)
    names = names if isinstance(names, Mapping) else dict(enumerate(names or ()))
    picture, ax = plot(title, alt or f"{title}: {len(p)} points in {len(set(k))} class(es).",
                       700, 560, caption, xlabel=xlabel, ylabel=ylabel)  # fmt: skip
    ax.set_aspect("equal", adjustable="datalim")
    for i, c in enumerate(sorted(set(k.tolist()))):
        own, name = p[k == c], str(names.get(c, c))
        ax.scatter(*own.T, s=16, alpha=0.65, linewidth=0, color=PALETTE[i % len(PALETTE)],
                   marker=MARKERS[i % len(MARKERS)], label=name)  # fmt: skip
        if classes is not None:
            ax.text(*np.median(own, 0), name, size=12, weight="bold", ha="center", va="center",
                    path_effects=HALO)  # fmt: skip
    if classes is not None:
        legend = ax.legend(loc="upper left", bbox_to_anchor=(1, 1), markerscale=1.8)
        for handle in legend.legend_handles:
            handle.set_alpha(1)
    return picture


def density(what, *, title, xlabel, ylabel, extent=None, bins=160, caption=None, alt=None):
    """A density in the plane: of points (N, 2), smoothed, or of a function (M, 2) tensor → (M,).

    ``extent``: (x_low, x_high, y_low, y_high), needed for a function.
    """
    demand("density", title=title, xlabel=xlabel, ylabel=ylabel)
    if isinstance(what, Callable):
        values, extent = _grid_values(what, extent, bins)
    else:
        values, extent = _histogram(numbers(what, "show.density: points", 2), extent, bins)
    height = min(700, 110 + 450 * (extent[3] - extent[2]) / (extent[1] - extent[0]))
    alt = alt or f"{title}: a density over {xlabel} and {ylabel}."
    picture, ax = plot(title, alt, 620, height, caption, xlabel=xlabel, ylabel=ylabel)
    image = ax.imshow(values, origin="lower", extent=extent, cmap=DEPTH, interpolation="bilinear")
    ax.grid(False)
    picture.colorbar(image, ax=ax, label="density", shrink=0.8).outline.set_visible(False)
    return picture


def _grid_values(function, extent, bins):
    import torch

    if extent is None:
        raise ValueError("show.density: a function needs extent=(x_low, x_high, y_low, y_high).")
    axes = [torch.linspace(low, high, bins) for low, high in (extent[:2], extent[2:])]
    grid = torch.cartesian_prod(*axes)  # (M, 2), x varies slowest
    values = numbers(function(grid), "show.density: the function's values", 1)
    if len(values) != len(grid):
        raise ValueError(f"show.density: {len(values)} values for {len(grid)} points.")
    return values.reshape(bins, bins).T, extent


def _histogram(points, extent, bins):
    from scipy.ndimage import gaussian_filter

    if points.shape[1] != 2:
        raise ValueError(f"show.density needs points of shape (N, 2), not {points.shape}.")
    if extent is None:
        low, high = points.min(0), points.max(0)
        pad = 0.1 * (high - low) + 1e-6
        extent = (low[0] - pad[0], high[0] + pad[0], low[1] - pad[1], high[1] + pad[1])
    counts, _, _ = np.histogram2d(*points.T, bins=bins, range=(extent[:2], extent[2:]))
    # Scott's rule for the width of the kernel, in bins, with the standard deviations averaged.
    cell = (np.array(extent[1::2]) - np.array(extent[::2])) / bins
    width = points.std(0) / cell * len(points) ** (-1 / 6)
    smooth = gaussian_filter(counts, np.maximum(width, 0.5))
    return smooth.T / (len(points) * cell.prod()), extent
