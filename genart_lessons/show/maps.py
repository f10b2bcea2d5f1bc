"""Pictures of maps: a grid that is carried along, a density pushed through a curve, a journey."""

from collections.abc import Callable

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize

from genart_lessons.show.fields import _box, _round
from genart_lessons.show.look import INK, LINES, MUTED, PALETTE, Picture, demand
from genart_lessons.show.pictures import film
from genart_lessons.show.plots import numbers

# Blue where the plane is squeezed, so that what lies there gets denser; orange where it is drawn
# out. As light at one end as at the other, and paper in the middle, where areas stay as they are.
AREA = LinearSegmentedColormap.from_list("area", ("#2a6fa8", "#a9cbe3", "#ffffff", "#f4c29b",
                                                  "#c4581b"))  # fmt: skip
# Oklab's two matrices: to the cube roots of three cones' light, and from there to linear sRGB.
TO_CONES = np.array([[1, 0.3963377774, 0.2158037573],
                     [1, -0.1055613458, -0.0638541728],
                     [1, -0.0894841775, -1.2914855480]])  # fmt: skip
TO_RGB = np.array([[4.0767416621, -3.3077115913, 0.2309699292],
                   [-1.2684380046, 2.6097574011, -0.3413193965],
                   [-0.0041960863, -0.7034186147, 1.7076147010]])  # fmt: skip
FINE = 8  # a line of the grid is drawn with so many pieces to each cell
COLOURS = ("Colour: the area of a carried cell divided by its area before. Blue is squeezed, "
           "orange drawn out, white as large as before.")  # fmt: skip
MOST_FACTOR = 4.0  # in powers of two: beyond 16 times, and below 1/16, the colour stays the same


def mesh(g: Callable, *, title, extent=(-3, 3), lines=13, polar=False, target=None, notes=None,
         labels=("z₁", "z₂", "x₁", "x₂"), caption=None, alt=None) -> Picture:  # fmt: skip
    """A grid on the plane and what a map makes of it, every cell in the colour of its area factor.

    g: float64 tensor (M, 2) → (M, 2), or a pair whose first part is that (as a flow's ``forward``
    gives). The area factor is measured on the picture itself: a carried cell's area divided by the
    cell's, which tends to |det J| as cells get small; it is not asked of the map. extent: of the
    left panel, (low, high) or (x_low, x_high, y_low, y_high). lines: of the grid in each direction.
    polar: z is (radius, angle), and the grid [0, 1] × [0, 2π] unless extent says otherwise. target:
    the extent of the right panel; None: round all that is carried. notes: (left, right), a line
    above each. Raises ValueError for other shapes and NaN.
    """
    demand("mesh", title=title)
    if isinstance(lines, bool) or not isinstance(lines, int) or not 2 <= lines <= 60:
        raise ValueError(f"show.mesh: lines is a whole number from 2 to 60, not {lines}.")
    if polar and tuple(extent) == (-3, 3):
        extent = (0, 1, 0, 2 * np.pi)
    box = _box(extent, "mesh")
    lattice = _lattice(box, lines)
    carried = _carried(g, lattice)
    factor = _areas(carried) / _areas(lattice)
    ends = carried.reshape(-1, 2)
    away = _box(target, "mesh") if target is not None else _tight(ends)
    told = f"area factors {_say(factor.min())} to {_say(factor.max())}"
    caption = COLOURS if caption is None else caption
    picture, (left, right), shade = _two_panels(title, alt or f"{title}: {told}.", caption, notes)
    norm = Normalize(-MOST_FACTOR, MOST_FACTOR)
    for ax, points, where, names in ((left, lattice, box, labels[:2]),
                                     (right, carried, away, labels[2:])):  # fmt: skip
        _draw_mesh(ax, points, factor, norm)
        ax.set(xlim=where[:2], ylim=where[2:], xlabel=names[0], ylabel=names[1])
        ax.set_aspect("auto" if polar and ax is left else "equal", adjustable="box")
        ax.grid(False)
        ax.yaxis.labelpad = 0
    ticks = np.array((-4, -2, 0, 2, 4))
    bar = picture.colorbar(_mappable(norm), cax=shade, ticks=ticks)
    bar.ax.set_yticklabels(["≤ 1/16", "1/4", "1", "4", "≥ 16"], size=9)
    bar.outline.set_visible(False)
    return picture


def _lattice(box: tuple[float, ...], lines: int) -> np.ndarray:
    """(G, G, 2): the grid's crossings and, between each two, FINE − 1 points more."""
    count = (lines - 1) * FINE + 1
    x, y = np.linspace(box[0], box[1], count), np.linspace(box[2], box[3], count)
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)


def _carried(g: Callable, lattice: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        given = g(torch.from_numpy(lattice.reshape(-1, 2)))
    given = given[0] if isinstance(given, (tuple, list)) else given
    points = numbers(given, "show.mesh: the map's points", 2)
    if points.shape != (lattice[..., 0].size, 2):
        raise ValueError(f"show.mesh: the map made {points.shape} of points "
                         f"{(lattice[..., 0].size, 2)}; it must keep the shape.")  # fmt: skip
    return points.reshape(lattice.shape)


def _rims(points: np.ndarray) -> np.ndarray:
    """The outline of each cell, (cells, 4·FINE, 2), from a lattice (G, G, 2)."""
    cells = range(0, len(points) - 1, FINE)
    rims = []
    for i in cells:
        for j in cells:
            part = points[i : i + FINE + 1, j : j + FINE + 1]
            rims.append(np.concatenate([part[:-1, 0], part[-1, :-1], part[:0:-1, -1],
                                        part[0, :0:-1]]))  # fmt: skip
    return np.stack(rims)


def _areas(points: np.ndarray) -> np.ndarray:
    """The area inside each cell's outline, (cells,), by Gauss's shoelace formula."""
    x, y = np.moveaxis(_rims(points), 2, 0)
    return np.abs((x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y).sum(1)) / 2


def _draw_mesh(ax, points, factor, norm) -> None:
    shade = np.log2(factor.clip(2.0**-9, 2.0**9))
    cells = PolyCollection(list(_rims(points)), array=shade, cmap=AREA, norm=norm, linewidth=0)
    ax.add_collection(cells)
    through = [*points[::FINE], *np.moveaxis(points[:, ::FINE], 1, 0)]
    ax.add_collection(LineCollection(through, colors=INK, linewidths=0.7, linestyles="-"))


def _mappable(norm):
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm, AREA)


def _say(factor: float) -> str:
    return f"{factor:.3g}" if factor >= 1e-3 else "below 0.001"


def _tight(points: np.ndarray) -> tuple[float, ...]:
    """A square round all the points, with a margin of 4 %."""
    low, high, bottom, top = _round(points)
    cut = (high - low) * (1 - 1.08 / 1.4) / 2
    return (low + cut, high - cut, bottom + cut, top - cut)


def _two_panels(title, alt, caption, notes):
    """A Picture with two square panels and a place for a colour scale, laid out by hand."""
    side, left, gap, top, low = 338, 62, 76, 62 if notes else 42, 64
    width, height = 900, top + side + low + 18
    picture = Picture(title, alt, width, height)
    picture.text(12 / width, 1 - 10 / height, title, size=12, weight="bold", va="top")
    picture.text(12 / width, 8 / height, caption or "", size=9, color=MUTED, va="bottom")
    base = (low + 18) / height
    panels = [picture.add_axes(((left + i * (side + gap)) / width, base, side / width,
                                side / height)) for i in (0, 1)]  # fmt: skip
    shade = picture.add_axes(((left + 2 * side + gap + 16) / width, base + 0.2 * side / height,
                              12 / width, 0.6 * side / height))  # fmt: skip
    for ax, note in zip(panels, notes or (), strict=False):
        ax.set_title(note, size=10, weight="normal", pad=6)
    return picture, panels, shade


# -- on a line ------------------------------------------------------------------------------------


def pushed(g: Callable, *, title, density=None, z_range=(-3.5, 3.5), x_range=None, strips=8,
           formula=None, labels=("z", "x = g(z)"), caption=None, alt=None) -> Picture:  # fmt: skip
    """A density on a line, pushed through a map: z below, the curve above it, x on the left.

    g: array z (M,) → x (M,). density: z → p_z(z), (M,); None: the standard normal. Strips of equal
    probability are carried across: each is as large on the left as it was below, so it must be
    tall where the curve is flat. The density of x is counted, not computed: it is what share of
    z lands in each small piece of x, so it holds for maps that turn back, too. formula: x → a
    density, drawn over it. Raises ValueError for other shapes and NaN.
    """
    demand("pushed", title=title)
    low, high = (float(edge) for edge in z_range)
    z = np.linspace(low, high, 40_001)
    p = _normal(z) if density is None else numbers(density(z), "show.pushed: density", 1)
    x = numbers(g(z), "show.pushed: the map", 1)
    if x.shape != z.shape or p.shape != z.shape:
        raise ValueError("show.pushed: the map and the density must give one number for each z.")
    share = p / p.sum()
    bottom, top = x_range or _middle(x, share)
    edges = np.linspace(bottom, top, 241)
    counted = _counted(x, share, edges) * p.sum() * (z[1] - z[0])
    marks = np.interp(np.arange(1, strips) / strips, share.cumsum(), z)

    picture = Picture(title, alt or f"{title}: the density of z, the curve, the density of x.",
                      700, 560)  # fmt: skip
    picture.text(12 / 700, 1 - 10 / 560, title, size=12, weight="bold", va="top")
    picture.text(12 / 700, 8 / 560, caption or "", size=9, color=MUTED, va="bottom")
    curve = picture.add_axes((0.36, 0.37, 0.61, 0.55))
    under = picture.add_axes((0.36, 0.13, 0.61, 0.2), sharex=curve)
    beside = picture.add_axes((0.09, 0.37, 0.22, 0.55), sharey=curve)
    curve.plot(z, x, color=INK, linestyle="-", linewidth=2.2, zorder=4)
    _strips(curve, under, beside, z, p, marks, g, (edges[:-1] + edges[1:]) / 2, counted, bottom)
    if formula is not None:
        fine = np.linspace(bottom, top, 801)[1:-1]
        told = numbers(formula(fine), "show.pushed: formula", 1)
        beside.plot(
            told, fine, color=PALETTE[1], linestyle=LINES[1], linewidth=1.8, label="formula"
        )
        beside.legend(loc="upper left", fontsize=8, handlelength=1.6, borderaxespad=0.1)
    curve.set(xlim=(low, high), ylim=(bottom, top))
    curve.tick_params(labelbottom=False, labelleft=False)
    under.set(xlabel=labels[0], ylabel="density", ylim=(0, 1.12 * p.max()))
    most = float(np.quantile(counted, 0.985)) * 1.25
    beside.set(ylabel=labels[1], xlabel="density", xlim=(most, 0))
    return picture


def _normal(z: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def _middle(x: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    """The range of x but for one in 500 at either end, and a little room."""
    order = np.argsort(x)
    low, high = np.interp((0.002, 0.998), share[order].cumsum(), x[order])
    room = 0.04 * max(high - low, 1e-9)
    return float(low - room), float(high + room)


def _counted(x: np.ndarray, share: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The share of z that lands between each two edges, per unit of x: a histogram's heights.

    A step of z is a stretch of x, which may lie across edges, and is dealt out evenly over it.
    """
    start, end = np.minimum(x[:-1], x[1:]), np.maximum(x[:-1], x[1:])
    weight = (share[:-1] + share[1:]) / 2
    length = np.maximum(end - start, 1e-12 * max(np.ptp(edges), 1e-300))
    heights = np.zeros(len(edges) - 1)
    first = np.clip(np.searchsorted(edges, start, "right") - 1, -1, len(edges))
    last = np.clip(np.searchsorted(edges, start + length, "right") - 1, -1, len(edges))
    for extra in range(int((last - first).max()) + 1):
        k = first + extra
        ok = (k >= 0) & (k < len(heights)) & (k <= last)
        low, high = edges[k[ok]], edges[k[ok] + 1]
        part = np.minimum(high, (start + length)[ok]) - np.maximum(low, start[ok])
        np.add.at(heights, k[ok], weight[ok] * part.clip(min=0) / length[ok])
    return heights / np.diff(edges)


def _strips(curve, under, beside, z, p, marks, g, x, counted, bottom) -> None:
    """Every second strip of equal probability in blue, below and beside, and what joins them."""
    under.fill_between(z, p, color="#dfe4e8", linewidth=0)
    beside.fill_betweenx(x, counted, color="#dfe4e8", linewidth=0)
    for i, at in enumerate(edges := [z[0], *marks, z[-1]]):
        if i % 2 or i + 1 == len(edges):
            continue
        own = (z >= at) & (z <= edges[i + 1])
        under.fill_between(z[own], p[own], color=PALETTE[5], linewidth=0)
        ends = np.sort(np.asarray(g(np.array([at, edges[i + 1]])), float))
        if len(np.unique(np.sign(np.diff(np.asarray(g(z), float))))) == 1:  # it never turns back
            there = (x >= ends[0]) & (x <= ends[1])
            beside.fill_betweenx(x[there], counted[there], color=PALETTE[5], linewidth=0)
    for at in marks:
        to = float(np.asarray(g(np.array([at])), float)[0])
        curve.plot([at, at], [bottom, to], color=MUTED, linewidth=0.8, linestyle="-", zorder=2)
        curve.plot([z[0], at], [to, to], color=MUTED, linewidth=0.8, linestyle="-", zorder=2)
    under.plot(z, p, color=INK, linewidth=1.2, linestyle="-")
    beside.plot(counted, x, color=INK, linewidth=1.2, linestyle="-")


# -- on the way -----------------------------------------------------------------------------------


def travel(frames, *, title, times=None, extent=(-3, 3), size=200, most=5, gif=None, seconds=3.0,
           ink=None, caption=None, alt=None) -> Picture:  # fmt: skip
    """A film of points on their way, each in the colour of the direction it started from.

    frames: (T, N, 2), such as ``flow.film``'s states; the first frame gives the colours: its hue
    goes round with the angle, and is greyer towards the middle. times: T labels. gif: also write a
    moving picture there. ink: so many points make a pixel as dark as it gets (None: by N). At most
    ``most`` frames are shown, with the first and the last. Raises ValueError for other shapes.
    """
    demand("travel", title=title)
    states = numbers(frames, "show.travel: frames", 3)
    if states.shape[2] != 2 or len(states) < 2:
        raise ValueError(f"show.travel needs frames (T, N, 2), two or more, not {states.shape}.")
    box = _box(extent, "travel")
    ink = ink or max(1.0, 4 * states.shape[1] / size**2)
    colours = hues(states[0])
    pictures = [_raster(points, colours, box, size, ink) for points in states]
    times = [str(t) for t in (times if times is not None else range(len(states)))]
    alt = alt or f"{title}: {states.shape[1]} points, {times[0]} to {times[-1]}."
    return film(_channels_first(pictures), title=title, times=times, gif=gif, seconds=seconds,
                most=most, caption=caption, alt=alt)  # fmt: skip


def hues(z) -> np.ndarray:
    """A colour (N, 3) in [0, 1] for each point z (N, 2): hue by angle, greyer towards the middle.

    All are equally light (in Oklab, Ottosson 2020, https://bottosson.github.io/posts/oklab/), so
    that darkness is left to say how dense the points are.
    """
    z = numbers(z, "show.hues: z", 2)
    angle = np.arctan2(z[:, 1], z[:, 0])
    chroma = 0.17 * (1 - np.exp(-1.1 * np.hypot(*z.T)))
    return _srgb(np.full(len(z), 0.58), chroma * np.cos(angle), chroma * np.sin(angle))


def _srgb(lightness, a, b) -> np.ndarray:
    """Oklab (N,) each to sRGB (N, 3), cut off at [0, 1]."""
    cones = (np.stack([lightness, a, b], axis=1) @ TO_CONES.T) ** 3
    linear = (cones @ TO_RGB.T).clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _raster(points, colours, box, size: int, ink: float) -> np.ndarray:
    """Points as coloured ink on white paper, (size, size, 3) in [0, 1]."""
    column = np.floor((points[:, 0] - box[0]) / (box[1] - box[0]) * size).astype(int)
    row = np.floor((box[3] - points[:, 1]) / (box[3] - box[2]) * size).astype(int)
    seen = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    place = row[seen] * size + column[seen]
    count = np.bincount(place, minlength=size * size)
    total = np.stack([np.bincount(place, weights=colours[seen, c], minlength=size * size)
                      for c in range(3)], axis=1)  # fmt: skip
    mean = total / np.maximum(count, 1)[:, None]
    cover = 1 - np.exp(-1.6 * count / ink)
    return (1 - cover[:, None] * (1 - mean)).reshape(size, size, 3)


def _channels_first(pictures):
    import torch

    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()


def noise_print(model, size: int = 512, *, extent=(-2, 2), full=None):
    """A flow as a print: its density as ink, in the colour of the noise that each place came from.

    model: has ``log_prob`` and ``inverse``, such as ``models.flow.Flow``. Returns a tensor
    (3, H, W) in [0, 1], W = ``size``, for ``show.gallery`` and ``show.save_sheet``. full: the
    density that is as dark as ink gets, see ``shapes.density_picture``.
    """
    import torch

    from genart_lessons.models import shapes
    from genart_lessons.models.flow import log_normal

    left, right, bottom, top = _box(extent, "noise_print")
    places = shapes.page(size, (left, right, bottom, top)).to(next(model.parameters()))
    with torch.no_grad():
        back = [model.inverse(part) for part in places.split(16_384)]
    z, log_det = (torch.cat(each) for each in zip(*back, strict=True))
    ink = shapes.as_ink(log_normal(z) + log_det, size, full=full)
    colour = torch.from_numpy(hues(z.cpu())).float().T.reshape(3, *ink.shape[1:])
    return 1 - ink * (1 - colour)
