"""Attention maps: who looks where, with the symbols along both axes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from genart_lessons.show.look import INK, MUTED, PALETTE, WIDTH, Picture, demand
from genart_lessons.show.plots import DEPTH, numbers

MOST = 60  # symbols along an axis: more cannot be read
HIDDEN = "#ececec"  # where nothing may be seen, the weight is exactly 0
# Weights are many and small; on a scale of square roots a twentieth can still be seen.
SCALE = PowerNorm(0.5, 0, 1)
TICKS = (0, 0.05, 0.2, 0.5, 1)
SIGNS = {"\n": "↵", " ": "␣", "\t": "⇥"}


def attention(weights, rows: Sequence[str], columns: Sequence[str] | None = None, *, title,
              asks="asks", looked_at="is looked at", mark=None, sums=True, caption=None,
              alt=None) -> Picture:  # fmt: skip
    """Attention weights as a map: a row for each place that asks, a column for each looked at.

    weights: (T, S), each row summing to 1 (``sums=False`` for the wrong ones that do not), T and S
    at most 60; rows: T symbols, columns: S of them (None: the same). A weight of exactly 0 is grey:
    a mask hid it. ``asks`` and ``looked_at`` name the axes, ``mark`` frames one row. The largest
    weight of each row is told in the alt text. Raises ValueError where shapes, sums or numbers of
    symbols do not fit: rows that do not sum to 1 are often columns that do.
    """
    demand("attention", title=title, asks=asks, looked_at=looked_at)
    w = checked(weights, "show.attention", sums)
    names = [list(map(sign, rows)), list(map(sign, rows if columns is None else columns))]
    if w.shape != (len(names[0]), len(names[1])):
        raise ValueError(f"show.attention: weights of shape {w.shape} with {len(names[0])} symbols "
                         f"for the rows and {len(names[1])} for the columns.")  # fmt: skip
    if max(w.shape) > MOST:
        raise ValueError(f"show.attention writes every symbol, and {max(w.shape)} are too many to "
                         f"read: give a part, weights[-{MOST}:, -{MOST}:] say.")  # fmt: skip
    if mark is not None and not 0 <= mark < len(w):
        raise ValueError(f"show.attention: mark={mark}, but the rows are 0 to {len(w) - 1}.")
    picture, ax = _frame(w, names, title, alt or told(w, names, title), caption)
    draw_map(ax, w, mark)
    _name_axes(ax, names)
    ax.set(ylabel=f"← {asks}", xlabel=f"{looked_at} →")
    bar = picture.colorbar(ax.images[0], ax=ax, ticks=TICKS, shrink=min(1, 200 / (14 * len(w))),
                           aspect=14, label="weight")  # fmt: skip
    bar.ax.set_yticklabels([f"{tick:g}" for tick in TICKS])
    bar.outline.set_visible(False)
    return picture


def attention_heads(weights, *, title, names=None, columns=4, caption=None, alt=None) -> Picture:
    """Small maps side by side, one a head: their patterns at a glance, without symbols.

    weights: (H, T, S), H at most 16, rows summing to 1; names: H of them (None: "head 1", …).
    """
    demand("attention_heads", title=title)
    w = numbers(weights, "show.attention_heads", 3)
    if len(w) > 16:
        raise ValueError(f"show.attention_heads draws at most 16 heads, not {len(w)}.")
    w = np.stack([checked(head, "show.attention_heads", True) for head in w])
    names = [f"head {i + 1}" for i in range(len(w))] if names is None else list(names)
    if len(names) != len(w):
        raise ValueError(f"show.attention_heads: {len(names)} names for {len(w)} heads.")
    across = min(columns, len(w))
    down = -(-len(w) // across)
    side = min(240, (WIDTH - 20) // across)
    tall = min(2.0, max(0.4, w.shape[1] / w.shape[2]))
    alt = alt or f"{title}: attention maps of {', '.join(names)}."
    height = 44 + down * (side * tall + 30) + 20 * bool(caption)
    picture = Picture(title, alt, max(side * across + 20, 420), height, layout="constrained")
    picture.suptitle(title, x=0.012, ha="left", size=12, weight="bold")
    if caption:
        picture.supxlabel(caption, x=0.012, size=9, ha="left", color=MUTED)
    axes = np.atleast_1d(picture.subplots(down, across)).ravel()
    for ax, head, name in zip(axes, w, names, strict=False):
        draw_map(ax, head)
        ax.set_title(name, size=9.5, weight="normal", pad=4)
        ax.set(xticks=[], yticks=[])
    for ax in axes[len(w) :]:
        ax.axis("off")
    return picture


def draw_map(ax, w: np.ndarray, mark: int | None = None) -> None:
    """The map alone on given axes; a frame round row ``mark``."""
    seen = np.ma.masked_where(w == 0, w)
    colours = DEPTH.with_extremes(bad=HIDDEN)
    ax.imshow(seen, cmap=colours, norm=SCALE, aspect="equal", interpolation="nearest")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if mark is not None:
        ax.add_patch(Rectangle((-0.5, mark - 0.5), w.shape[1], 1, fill=False, clip_on=False,
                               edgecolor=PALETTE[1], linewidth=2))  # fmt: skip


def sign(symbol) -> str:
    """A symbol that can be seen: a line's end is ↵, a space is ␣."""
    return SIGNS.get(str(symbol), str(symbol))


def checked(weights, what: str, sums: bool) -> np.ndarray:
    """Weights (T, S) in [0, 1] as an array; ValueError unless every row sums to 1."""
    w = numbers(weights, what, 2)
    if w.min() < -1e-6 or w.max() > 1 + 1e-4:
        raise ValueError(f"{what}: weights are 0 to 1; these are {w.min():.3g} to {w.max():.3g}. "
                         "Scores become weights by a softmax over what is looked at.")  # fmt: skip
    if sums and np.abs(w.sum(1) - 1).max() > 1e-3:
        worst = int(np.abs(w.sum(1) - 1).argmax())
        other = np.abs(w.sum(0) - 1).max() < 1e-3
        raise ValueError(f"{what}: row {worst} sums to {w.sum(1)[worst]:.3g}, not to 1"
                         + ("; the columns do: a softmax over the wrong axis?" if other else ".")
                         )  # fmt: skip
    return w


def told(w: np.ndarray, names: list[list[str]], title: str) -> str:
    """The alt text: where the rows look most, a dozen of them at most."""
    rows = np.linspace(0, len(w) - 1, min(12, len(w))).round().astype(int)
    parts = [f"{names[0][r]} → {names[1][w[r].argmax()]} ({w[r].max():.2f})" for r in rows]
    return f"{title}. Where rows look most: {'; '.join(parts)}."


def _frame(w, names, title, alt, caption):
    from genart_lessons.show.plots import plot

    longest = [max(map(len, each)) for each in names]
    cell = 26 if max(w.shape) <= 24 else 13
    left, top = 60 + 7 * longest[0], 40 + (7 * longest[1] if longest[1] > 2 else 16)
    width = min(WIDTH, max(420, left + cell * w.shape[1] + 120))
    cell = min(cell, (width - left - 120) / w.shape[1])
    return plot(title, alt, width, top + cell * len(w) + 70 + 16 * bool(caption), caption)


def _name_axes(ax, names) -> None:
    size = 9 if max(map(len, names)) <= 24 else 7.5
    long = max(map(len, names[1])) > 2
    ax.set_yticks(range(len(names[0])), names[0], size=size)
    ax.set_xticks(range(len(names[1])), names[1], size=size, rotation=90 if long else 0)
    ax.tick_params(length=0, labelcolor=INK, labeltop=True, labelbottom=False, pad=2)
