"""Galleries, pairs, walks and films, laid out pixel by pixel so that small pictures are crisp."""

import io
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from genart_lessons.runtime import atomic_write
from genart_lessons.show.look import INK, MUTED, WIDTH, Picture, demand

MARGIN, GAP, MOST = 12, 6, 400


def as_pictures(images, *, invert: bool = False, function: str = "gallery") -> list[np.ndarray]:
    """Pictures as a list of (H, W, 3) uint8 arrays.

    ``images``: tensor or array (N, C, H, W) in [0, 1], C = 1 or 3, or a list of (C, H, W) tensors
    or Pillow images. ``invert`` turns light ink on black into dark ink on white.
    Raises ValueError for another shape, for values outside [0, 1] and for NaN.
    """
    if hasattr(images, "ndim") and images.ndim != 4:
        raise ValueError(
            f"show.{function} needs pictures of shape (N, C, H, W); this is {tuple(images.shape)}. "
            "For one picture (C, H, W) give x[None]; for grey pictures (N, H, W) give x[:, None]."
        )
    if len(images) == 0:
        raise ValueError(f"show.{function} was given no pictures.")
    return [_as_picture(image, invert, function) for image in images]


def _as_picture(image, invert: bool, function: str) -> np.ndarray:
    if isinstance(image, Image.Image):
        x = np.asarray(image.convert("RGB")).transpose(2, 0, 1) / 255
    else:
        x = np.asarray(image.detach().cpu().float() if hasattr(image, "detach") else image)
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        raise ValueError(
            f"show.{function}: each picture needs the shape (C, H, W) with C = 1 or 3; "
            f"this one is {tuple(x.shape)}."
        )
    low, high = x.min(), x.max()
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # also false for NaN
        raise ValueError(
            f"show.{function}: values run from {low:.3g} to {high:.3g}; pictures are in [0, 1]. "
            "Divide bytes by 255, map [-1, 1] by (x + 1) / 2, cut overshoot with x.clamp(0, 1)."
        )
    x = np.clip(1 - x if invert else x, 0, 1)
    return np.repeat((x * 255).round().astype(np.uint8).transpose(1, 2, 0), 4 - len(x), 2)[..., :3]


def fit(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Enlarge by a whole factor with hard pixels, or shrink smoothly, to fit in width × height."""
    h, w = picture.shape[:2]
    if factor := min(width // w, height // h):
        return picture.repeat(factor, 0).repeat(factor, 1)
    ratio = min(width / w, height / h)
    size = max(1, round(w * ratio)), max(1, round(h * ratio))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def cell_size(pictures, columns: int, room: int, scale: int | None, wish: int = 72):
    """Width and height of a cell so that ``columns`` of them fit in ``room`` pixels."""
    h = max(p.shape[0] for p in pictures)
    w = max(p.shape[1] for p in pictures)
    most = (room - GAP * (columns - 1)) // columns
    factor = scale or max(1, min(round(wish / w), most // w))
    ratio = min(factor, most / w)
    return max(1, int(w * ratio)), max(1, int(h * ratio))


def lay_out(lines, *, title, alt, caption=None, scale=None, labels=(), names=None, wish=72):
    """A Picture of rows of pictures: ``lines`` is a list of lists of (H, W, 3) uint8 arrays.

    ``labels`` name the rows, ``names`` (same nesting) the single pictures.
    """
    columns = max(map(len, lines))
    left = MARGIN + (max(map(len, labels)) * 7 + 14 if labels else 0)
    everything = [picture for line in lines for picture in line]
    w, h = cell_size(everything, columns, WIDTH - left - MARGIN, scale, wish)
    width = max(left + columns * (w + GAP) - GAP + MARGIN, 420)
    head = textwrap.wrap(title, max(20, (width - 2 * MARGIN) // 10))
    foot = textwrap.wrap(caption or "", max(20, (width - 2 * MARGIN) // 7))
    under = [[textwrap.wrap(str(name), max(3, (w + GAP) // 6), max_lines=2, placeholder="…")
              for name in line] for line in names] if names else []  # fmt: skip
    below = [13 * max(map(len, line)) for line in under] or [0] * len(lines)
    top = MARGIN + 20 * len(head) + 6
    height = top + sum(h + GAP + b for b in below) + (15 * len(foot) + 6) + MARGIN - GAP
    _, ax, sheet = canvas(width, height, title, alt)
    ax.text(MARGIN, MARGIN - 2, "\n".join(head), size=12, weight="bold", va="top", color=INK)
    ax.text(MARGIN, height - MARGIN, "\n".join(foot), size=9, va="bottom", color=MUTED)
    y = top
    for r, line in enumerate(lines):
        if labels:
            ax.text(left - 10, y + h / 2, labels[r], size=9, ha="right", va="center", color=INK)
        for c, small in enumerate(line):
            x = left + c * (w + GAP)
            place(sheet, fit(small, w, h), x, y, w, h)
            if under:
                ax.text(x + w / 2, y + h + 2, "\n".join(under[r][c]), size=8, ha="center",
                        va="top", color=MUTED, linespacing=1.1)  # fmt: skip
        y += h + GAP + below[r]
    return spread(ax, sheet)


def canvas(width, height, title, alt):
    """A Picture, its one, bare axes in pixels from the top left corner, and a white sheet."""
    picture = Picture(title, alt, width, height)
    ax = picture.add_axes((0, 0, 1, 1))
    ax.axis("off")
    ax.set(xlim=(0, width), ylim=(height, 0))
    return picture, ax, np.full((round(height), round(width), 3), 255, np.uint8)


def place(sheet, pixels, x, y, w, h) -> None:
    """Lay pixels on the sheet, one to one, in the middle of the cell at (x, y)."""
    x, y = int(x + (w - pixels.shape[1]) // 2), int(y + (h - pixels.shape[0]) // 2)
    sheet[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels


def spread(ax, sheet) -> Picture:
    """Put the finished sheet behind what is written on the axes; return their Picture."""
    h, w = sheet.shape[:2]
    ax.imshow(sheet, extent=(0, w, h, 0), aspect="auto", interpolation="nearest", zorder=-1)
    return ax.figure


def gallery(images, *, title, columns=None, titles=None, scale=None, caption=None, alt=None,
            invert=False) -> Picture:  # fmt: skip
    """Many pictures on one sheet. ``images`` (N, C, H, W) in [0, 1] or a list; N at most 400.

    ``titles``: N short names set below the pictures. ``scale``: screen pixels for each pixel
    (None chooses). ``invert``: dark ink on white for pictures whose ink is 1.
    """
    demand("gallery", title=title)
    pictures = as_pictures(images, invert=invert)
    n = len(pictures)
    if n > MOST:
        raise ValueError(f"show.gallery shows at most {MOST} pictures, not {n}: give x[:100].")
    if titles is not None and len(titles) != n:
        raise ValueError(f"show.gallery: {len(titles)} titles for {n} pictures.")
    wish = 72 if n > 6 else 128
    if columns is None:  # as many as fit at a good size, but no tower; then spread evenly
        w, _ = cell_size(pictures, 1, WIDTH - 2 * MARGIN, scale, wish)
        fitting = (WIDTH - 2 * MARGIN + GAP) // (w + GAP)
        columns = -(-n // -(-n // min(n, max(fitting, round(1.4 * n**0.5)))))
    cut = range(0, n, columns)
    return lay_out(
        [pictures[i : i + columns] for i in cut], title=title, caption=caption, scale=scale,
        wish=wish, names=[titles[i : i + columns] for i in cut] if titles is not None else None,
        alt=alt or f"{n} pictures: {title}",
    )  # fmt: skip


def rows(groups: Mapping, *, title, caption=None, scale=None, alt=None, invert=False) -> Picture:
    """Rows of pictures one above the other, to compare: ``{label: (N, C, H, W), …}``, equal N."""
    demand("rows", title=title, **{f"label {i + 1}": label for i, label in enumerate(groups)})
    lines = [as_pictures(x, invert=invert, function="rows") for x in groups.values()]
    if len({len(line) for line in lines}) != 1:
        counts = ", ".join(f"{label}: {len(x)}" for label, x in groups.items())
        raise ValueError(f"show.rows compares column by column and needs equal rows; {counts}.")
    return lay_out(lines, title=title, caption=caption, scale=scale, labels=list(groups),
                   alt=alt or f"{title}. Rows from above: {', '.join(groups)}.")  # fmt: skip


def pairs(top, bottom, labels=("original", "reconstruction"), **options) -> Picture:
    """Pictures (N, C, H, W) above their partners of the same shape; options as for ``rows``."""
    if len(labels) != 2 or labels[0] == labels[1]:
        raise ValueError("show.pairs needs two different labels, one for each row.")
    return rows(dict(zip(labels, (top, bottom), strict=True)), **options)


def walk(images, *, title, ends=("start", "end"), caption=None, scale=None, alt=None, invert=False):
    """One row of pictures (N, C, H, W), each a step further; ``ends`` name the first and last."""
    demand("walk", title=title, **{"first end": ends[0], "last end": ends[1]})
    pictures = as_pictures(images, invert=invert, function="walk")
    names = [ends[0], *("→" for _ in pictures[2:]), ends[1]] if len(pictures) > 1 else [ends[0]]
    alt = alt or f"{title}: {len(pictures)} steps from {ends[0]} to {ends[1]}."
    return lay_out([pictures], names=[names], title=title, alt=alt, caption=caption, scale=scale)


def film(frames, *, title, times=None, gif=None, seconds=3.0, most=9, caption=None, alt=None,
         scale=None, invert=False) -> Picture:  # fmt: skip
    """A film as a strip of at most ``most`` frames; with ``gif="works/film.gif"`` it moves, too.

    ``frames``: (T, C, H, W) in [0, 1]; ``times``: T labels, such as training steps.
    """
    demand("film", title=title)
    pictures = as_pictures(frames, invert=invert, function="film")
    times = [str(t) for t in (times if times is not None else range(len(pictures)))]
    if len(times) != len(pictures):
        raise ValueError(f"show.film: {len(times)} times for {len(pictures)} frames.")
    if gif is not None:
        _write_gif(pictures, Path(gif), seconds)
    kept = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).round().astype(int)
    return lay_out(
        [[pictures[i] for i in kept]], names=[[times[i] for i in kept]], title=title, scale=scale,
        caption=caption, alt=alt or f"{title}: {len(kept)} frames, {times[0]} to {times[-1]}.",
    )  # fmt: skip


def _write_gif(pictures, path: Path, seconds: float) -> None:
    h, w = pictures[0].shape[:2]
    factor = max(1, round(256 / w))
    frames = [Image.fromarray(fit(p, w * factor, h * factor)) for p in pictures]
    memory = io.BytesIO()
    frames[0].save(memory, "gif", save_all=True, append_images=frames[1:], loop=0,
                   duration=max(20, round(1000 * seconds / len(frames))))  # fmt: skip
    atomic_write(path, memory.getvalue())
