"""Denoisers that learn nothing, by scikit-image, for any pictures; and their settings, tuned.

Each takes noisy pictures y (B, C, H, W) and the noise's σ, and returns pictures like y, cut off at
0 and 1. Colours are filtered together where the method can. scikit-image has no BM3D; its wavelets
need one more package.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genart_lessons.models.autoencoder import noisy, psnr


def gaussian(y: Tensor, sigma: float, *, width: float = 0.8) -> Tensor:
    """A blur by a Gaussian of ``width`` pixels (standard deviation)."""
    from skimage.filters import gaussian as blur

    return _each(y, lambda z: blur(z, width, channel_axis=-1))


def total_variation(y: Tensor, sigma: float, *, weight: float = 1.0) -> Tensor:
    """Rudin, Osher and Fatemi 1992, by Chambolle's algorithm (2004). ``weight``: in units of σ."""
    from skimage.restoration import denoise_tv_chambolle

    return _each(y, lambda z: denoise_tv_chambolle(z, weight=weight * sigma, channel_axis=-1))


def non_local_means(
    y: Tensor, sigma: float, *, h: float = 0.8, patch: int = 5, reach: int = 11, fast: bool = True
) -> Tensor:
    """Buades, Coll and Morel 2005: the mean of places that look alike, and σ is given.

    ``h``: how unlike they may look, in units of σ; ``patch``: pixels across, which are compared;
    ``reach``: how far away they are looked for. Not ``fast``: the middle of a patch weighs more.
    """
    from skimage.restoration import denoise_nl_means

    how: dict = dict(patch_size=patch, patch_distance=reach, fast_mode=fast, channel_axis=-1)
    return _each(y, lambda z: denoise_nl_means(z, h=h * sigma, sigma=sigma, **how))


METHODS: dict[str, Callable[..., Tensor]] = {
    "Gaussian filter": gaussian,
    "total variation": total_variation,
    "non-local means": non_local_means,
}
# What is tried when a method is tuned: every combination.
GRIDS: dict[str, dict[str, tuple]] = {
    "Gaussian filter": {"width": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5)},
    "total variation": {"weight": (0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0, 2.5)},
    "non-local means": {
        "h": (0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.0), "patch": (3, 5, 7, 9), "fast": (True, False),
    },
}  # fmt: skip


def tune(
    name: str, x: Tensor, sigma: float, *, seed: int = 0, grid: Mapping[str, tuple] | None = None
) -> dict[str, Any]:
    """The settings of a method with the highest mean PSNR on clean pictures x (N, C, H, W).

    Noise of ``sigma`` is put on them. Choose other pictures than those it is then measured on.
    Raises KeyError for a method that there is not.
    """
    if name not in METHODS:
        raise KeyError(f"no method {name!r}; there are: {', '.join(METHODS)}.")
    grid = dict(GRIDS[name] if grid is None else grid)
    eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    y = noisy(x, eps.to(x), sigma)
    tried = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return max(tried, key=lambda how: float(psnr(x, METHODS[name](y, sigma, **how)).mean()))


def _each(y: Tensor, method: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """One picture after the other, as (H, W, C) float64, and back."""
    if y.ndim != 4 or not y.is_floating_point():
        raise ValueError(f"noisy pictures are floating point (B, C, H, W); these {tuple(y.shape)}.")
    pictures = y.detach().cpu().double().permute(0, 2, 3, 1).numpy()
    done = [method(z).reshape(z.shape) for z in pictures]
    return torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2).clamp(0, 1).to(y)
