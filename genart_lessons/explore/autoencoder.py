"""The autoencoder explorer: noise on a picture, its code moved by hand, a denoiser beside it."""

from __future__ import annotations

import torch

from genart_lessons.explore.base import Explorer, slider
from genart_lessons.explore.diffusion import whole
from genart_lessons.models.autoencoder import noisy, psnr
from genart_lessons.show.look import INK, MUTED, demand
from genart_lessons.show.pictures import GAP, MARGIN, as_pictures, canvas, fit, place, spread

SIDE = 160  # screen pixels of each picture
REACH = 3.0  # standard deviations of the codes, to each side


def autoencoder(
    model, pictures, *, codes=None, denoiser=None, which: int = 0, sigma: float = 0.0,
    most_noise: float = 0.8, n_sliders: int = 4, seed: int = 0, invert: bool = False,
    title: str = "Autoencoder",
) -> Explorer:  # fmt: skip
    """Sliders: which picture, how much noise, and a walk from its code along main directions.

    model: an ``Autoencoder`` (``encode``, ``decode``). pictures (M, C, H, W) in [0, 1].
    codes: (N, k) codes of many pictures (default: those of ``pictures``), whose principal
    directions the sliders follow, in standard deviations. denoiser: x̂(y, σ), shown beside it.
    Side by side: x; y = x + σ·ε; D(E(y) moved); and x̂(y). Below each its decibels against x.
    Raises ValueError for pictures that are none, or codes that do not fit the model.
    """
    demand("autoencoder (explore)", title=title)
    as_pictures(pictures, invert=invert, function="autoencoder (explore)")
    x_all = torch.as_tensor(pictures).detach().cpu().float()
    place_of = next((p.device for p in model.parameters()), torch.device("cpu"))
    with torch.no_grad():
        known = model.encode(x_all.to(place_of)) if codes is None else torch.as_tensor(codes)
    ways, labels = _directions(known.detach().cpu().float(), n_sliders)
    if ways.shape[1] != model.k:
        raise ValueError(
            f"explore.autoencoder: the codes have {ways.shape[1]} numbers, the model's {model.k}."
        )
    controls = {"which": whole("picture", which, 0, len(x_all) - 1)} if len(x_all) > 1 else {}
    controls["sigma"] = slider("noise σ", sigma, 0.0, most_noise, 0.02)
    controls |= {f"s{i + 1}": slider(name, 0.0, -REACH, REACH, 0.25)
                 for i, name in enumerate(labels)}  # fmt: skip

    def draw(sigma, seed, which=which, **steps):
        x = x_all[which : which + 1]
        eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        y = noisy(x, eps, sigma)
        step = torch.tensor([[steps[f"s{i + 1}"] for i in range(len(ways))]])
        with torch.no_grad():
            moved = model.encode(y.to(place_of)) + (step @ ways).to(place_of)
            back = model.decode(moved).cpu().clamp(0, 1)
            shown = {"x": x, f"y = x + {sigma:.2f}·ε": y.clamp(0, 1)}
            shown["D(E(y))" + (", moved" if bool(step.any()) else "")] = back
            if denoiser is not None:
                shown["denoiser of y"] = _denoised(denoiser, y, sigma)
        told = {name: _decibels(float(psnr(x, other))) for name, other in shown.items()}
        line = "; ".join(f"{name}: {dB}" for name, dB in list(told.items())[1:])
        line += f" (seed {seed})"
        tiles = as_pictures(torch.cat(list(shown.values())), invert=invert,
                            function="autoencoder (explore)")  # fmt: skip
        return _draw(tiles, list(told), list(told.values()), title, f"{title}: {line}."), line

    return Explorer(controls, draw, title=title, seed=seed)


def _directions(codes: torch.Tensor, n: int) -> tuple[torch.Tensor, list[str]]:
    """Steps (n, k) of one standard deviation along the codes' principal directions, and names."""
    if codes.ndim != 2 or len(codes) < 2 or not bool(codes.isfinite().all()):
        raise ValueError("explore.autoencoder needs the codes of at least two pictures: give more "
                         f"pictures, or codes=(N, k); these are {tuple(codes.shape)}.")  # fmt: skip
    _, s, v = torch.linalg.svd(codes - codes.mean(0), full_matrices=False)
    v = v * v.gather(1, v.abs().argmax(1, keepdim=True)).sign()  # one sign on every machine
    share = s**2 / (s**2).sum().clamp(min=1e-12)
    ways = (v * (s / (len(codes) - 1) ** 0.5)[:, None])[:n]
    return ways, [f"direction {i + 1} ({p:.0%})" for i, p in enumerate(share[:n].tolist())]


def _denoised(denoiser, y: torch.Tensor, sigma: float) -> torch.Tensor:
    if sigma == 0:
        return y.clamp(0, 1)  # nothing to take away
    place_of = next((p.device for p in denoiser.parameters()), torch.device("cpu"))
    return denoiser(y.to(place_of), sigma).cpu().clamp(0, 1)


def _decibels(value: float) -> str:
    return "the original" if value == float("inf") else f"{value:.1f} dB"


def _draw(tiles, names, told, title, alt):
    """The pictures in a row, each with its name and its decibels below."""
    width = 2 * MARGIN + 4 * SIDE + 3 * (GAP + 8)  # as wide without a denoiser
    _, ax, sheet = canvas(width, SIDE + 28 + 44 + MARGIN, title, alt)
    ax.text(MARGIN, MARGIN - 2, title, size=12, weight="bold", va="top", color=INK)
    for i, (tile, name, dB) in enumerate(zip(tiles, names, told, strict=True)):
        x, y = MARGIN + i * (SIDE + GAP + 8), MARGIN + 28
        place(sheet, fit(tile, SIDE, SIDE), x, y, SIDE, SIDE)
        ax.text(x + SIDE / 2, y + SIDE + 3, name, size=9.5, ha="center", va="top", color=INK)
        ax.text(x + SIDE / 2, y + SIDE + 19, dB, size=9, ha="center", va="top", color=MUTED)
    return spread(ax, sheet)
