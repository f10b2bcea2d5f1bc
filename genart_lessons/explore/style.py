"""The explorers of style transfer: what the weights do, and pictures of the learner's own."""

from __future__ import annotations

import textwrap

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image

from genart_lessons import data
from genart_lessons.explore.base import Explorer, slider
from genart_lessons.explore.game import choice
from genart_lessons.models import style as styles
from genart_lessons.models import stylist
from genart_lessons.show.look import INK, MUTED, Picture, demand
from genart_lessons.show.pictures import MARGIN, as_pictures, canvas, place, spread
from genart_lessons.training import recipes_style
from genart_lessons.training.weights import load_weights

# What may be chosen as the layers of the style, from fine to coarse.
LAYERS = {
    "all: stem, b0 … b5": ("stem", "b0", "b1", "b2", "b3", "b4", "b5"),
    "fine: stem, b0": ("stem", "b0"),
    "middle: b1, b2": ("b1", "b2"),
    "coarse: b3, b4, b5": ("b3", "b4", "b5"),
}
DESCENT = "by descent, some seconds"
STYLISTS = ("flower", "ihc", "hearts")
BIG, GAP = 256, 20  # pixels of each of the three pictures, and between them


def style(
    content, look, *, size: int = 96, steps: int = 30, content_weight: float = 1.0,
    style_weight: float = styles.STYLE_WEIGHT, tv_weight: float = styles.TV_WEIGHT,
    layers: str | None = None, content_layer: str = "b4",
    title: str = "What the weights do",
) -> Explorer:  # fmt: skip
    """Style transfer at a small size, again whenever a slider is let go: a second or so.

    content, look: pictures (3, H, W) in [0, 1]; both are scaled to a shorter side of ``size``.
    Sliders for the logarithms of the three weights of equation 8.13 (from a thousandth to a
    thousand; the lowest place is 0), choices of the style's layers (the keys of ``LAYERS``) and of
    the content's layer. ``steps`` evaluations, after half as many at half the size.
    The line below holds the three parts of the loss. Raises ValueError as StyleTransfer does.
    """
    demand("style (explore)", title=title)
    layers = next(iter(LAYERS)) if layers is None else layers

    def draw(content_weight, style_weight, tv_weight, layers, content_layer):
        weights = [_weight(x) for x in (content_weight, style_weight, tv_weight)]
        names = LAYERS[layers]
        task = styles.StyleTransfer(
            content, look, size=size, content_weight=weights[0], style_weight=weights[1],
            tv_weight=weights[2], content_layers={content_layer: 1.0},
            style_layers=dict.fromkeys(names, 1 / len(names)),
        )  # fmt: skip
        found = task.run(steps, coarse=((0.5, max(1, steps // 2)),))
        with torch.no_grad():
            parts = {name: float(x) for name, x in task.parts(found.picture[None]).items()}
        told = ", ".join(f"{name} {value:.3g}" for name, value in parts.items())
        line = (f"weights {_plain(weights[0])} : {_plain(weights[1])} : {_plain(weights[2])}; "
                f"loss {sum(parts.values()):.3g}: {told}")  # fmt: skip
        shown = [task.content.cpu(), task.style.cpu(), found.picture]
        return _three(shown, title, f"{title}: {line}."), line

    controls = {
        "content_weight": _logarithmic("content, log₁₀ α", content_weight),
        "style_weight": _logarithmic("style, log₁₀ β", style_weight),
        "tv_weight": _logarithmic("smooth, log₁₀ τ", tv_weight),
        "layers": choice("style's layers", layers, {name: name for name in LAYERS}),
        "content_layer": choice("content's layer", content_layer,
                                {name: name for name in ("b1", "b2", "b3", "b4", "b5", "b8")}),
    }  # fmt: skip
    return Explorer(controls, draw, title=title)


def upload(
    content: str | torch.Tensor = "china", look: str | torch.Tensor = "retina", *, size: int = 160,
    steps: int = 30, how: str = DESCENT, title: str = "A photo and a style of your own",
) -> Explorer:  # fmt: skip
    """Two buttons for files of the learner's own, checked, and the photo in that style.

    content, look: what is shown until then: pictures (3, H, W) or names of ``data.photos()``.
    how: ``DESCENT``, or "flower", "ihc", "hearts": at once, by a network that learnt that style
    (the style's button is then without effect, and the line says so). A file that is no good
    picture gives a sentence in the picture's place that says why (``data.own_picture``). Nothing is
    kept.
    """
    demand("upload (explore)", title=title)
    start = {"content": content, "look": look}
    networks: dict[str, stylist.Stylist] = {}

    def picture(name: str, files) -> torch.Tensor:
        if files:
            return data.own_picture(bytes(files[0]["content"]), size=size)
        given = start[name]
        return data.photo(given, size) if isinstance(given, str) else given

    def draw(content, look, how):
        try:
            first = picture("content", content)
            second = picture("look", look) if how == DESCENT else _sample(how)
        except data.NotAPicture as error:
            return _sentence(f"✘ {error}", title), f"✘ {error}"
        if how == DESCENT:
            task = styles.StyleTransfer(first, second, size=size)
            found = task.run(steps, coarse=((0.25, steps), (0.5, steps)))
            made, line = found.picture, f"by descent in {steps} evaluations at {size} pixels"
        else:
            if how not in networks:
                networks[how] = load_weights(stylist.Stylist(), f"stylist_{how}")
            made = stylist.paint(networks[how], styles.sized(first, size))
            line = f"in one pass, by stylist_{how}"
            line += "; the style file is not used" if look else ""
        whose = ["your photo" if content else "the course's photo",
                 "your style" if look and how == DESCENT else "the course's style"]  # fmt: skip
        line = f"{whose[0]} in {whose[1]}, {line}"
        return _three([first, second, made], title, f"{title}: {line}."), line

    options = {DESCENT: DESCENT} | {f"at once, as {name}": name for name in STYLISTS}
    controls = {"content": _file("your photo"), "look": _file("your style"),
                "how": choice("painted", how, options)}  # fmt: skip
    return Explorer(controls, draw, title=title)


def _logarithmic(label: str, value: float):
    at = torch.tensor(float(value)).log10().item() if value > 0 else -3.0
    made = slider(label, min(3.0, max(-3.0, at)), -3.0, 3.0, 0.25)
    made.continuous_update = False  # each move is a whole descent
    return made


def _weight(logarithm: float) -> float:
    """The lowest place of a slider is none at all."""
    return 0.0 if logarithm <= -3.0 else 10.0**logarithm


def _plain(weight: float) -> str:
    return f"{weight:.3g}"


def _file(label: str) -> widgets.FileUpload:
    return widgets.FileUpload(
        accept="image/*", multiple=False, description=label,
        tooltip=f"{label}: a file from this computer; it stays there",
        layout={"width": "230px"},
    )  # fmt: skip


def _sample(name: str) -> torch.Tensor:
    """The picture that a stylist learnt its style from."""
    return recipes_style.style_picture(name)


def _three(pictures, title: str, alt: str) -> Picture:
    """Content, style and what came of them, side by side."""
    width = 3 * BIG + 2 * GAP + 2 * MARGIN
    _, ax, sheet = canvas(width, BIG + 30 + 20 + 2 * MARGIN, title, alt)
    ax.text(MARGIN, MARGIN - 2, title, size=12, weight="bold", va="top", color=INK)
    for i, (picture, name) in enumerate(zip(pictures, ("content", "style", "both"), strict=True)):
        x, y = MARGIN + i * (BIG + GAP), MARGIN + 30
        (pixels,) = as_pictures(picture.detach().cpu()[None], function="style (explore)")
        place(sheet, _filled(pixels), x, y, BIG, BIG)
        ax.text(x + BIG / 2, y + BIG + 4, name, size=9, ha="center", va="top",
                color=INK if i == 2 else MUTED)  # fmt: skip
    return spread(ax, sheet)


def _filled(pixels: np.ndarray) -> np.ndarray:
    """A photo, smoothly, as large as fits: hard pixels would be a style of their own."""
    h, w = pixels.shape[:2]
    ratio = BIG / max(h, w)
    size = max(1, round(w * ratio)), max(1, round(h * ratio))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _sentence(text: str, title: str) -> Picture:
    """A sentence in the picture's place."""
    lines = textwrap.wrap(text, 90)
    _, ax, sheet = canvas(3 * BIG + 2 * GAP + 2 * MARGIN, 80 + 20 * len(lines), title, text)
    ax.text(MARGIN, MARGIN - 2, title, size=12, weight="bold", va="top", color=INK)
    ax.text(MARGIN, MARGIN + 34, "\n".join(lines), size=10.5, va="top", color=INK, linespacing=1.4)
    return spread(ax, sheet)
