"""What chapter 02 promises, measured: a trained denoiser against filters that learn nothing.

All of it can be repeated from what is written here.

514 unseen icons (every third of ``data.icons("test")``) get normal noise of σ = 0.1, 0.25 and 0.5,
the same for all, which is not cut off at 0 and 1. Every method is told σ, and what it returns is
cut off at 0 and 1. The figures are decibels, ``autoencoder.psnr``, the mean over the icons; the
gain is the mean of ours − theirs on the same icon and the same noise, with the standard error of
that paired difference.

Theirs are scikit-image's total variation (Chambolle), non-local means (with σ given) and Gaussian
filter. Each is tuned for each σ on 24 icons of the training split, over the whole grid of
``filters.GRIDS``: the width; the weight; for non-local means h, the size of the patches and whether
their middle weighs more. Nothing is tuned on the icons that are measured. scikit-image has no BM3D.

Ours is the shipped network ``denoiser_icons``, as ``genart train denoiser_icons`` makes it from the
icons' training split; no base name is on both sides of the split. It has one set of weights for all
σ. The bar: at each σ ours is above total variation and above non-local means, by more than two
standard errors of the difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from genart_lessons import data
from genart_lessons.models import autoencoder, filters
from genart_lessons.training import recipes_autoencoder
from genart_lessons.training.bench_gan import _mark, _two_cores
from genart_lessons.training.weights import load_weights

SIGMAS = recipes_autoencoder.SIGMAS
RIVALS = ("total variation", "non-local means")  # those that the bar names
EVERY, TUNED_ON = 3, 24
ERRORS = 2.0  # standard errors by which the bar wants the difference to be above 0


def denoise_run(
    clean: Callable[[Tensor, float], Tensor],
    x: Tensor,
    tuning: Tensor,
    sigma: float,
    *,
    seed: int = 0,
    grids: Mapping[str, Mapping[str, tuple]] | None = None,
) -> dict:
    """One σ: ``clean(y, σ)`` and every filter on icons x (N, 1, H, W), filters tuned on ``tuning``.

    Returns ``psnr`` and ``settings`` by method ("ours" and those of ``filters.METHODS``), each
    ``psnr`` a mean and its standard error; ``gain`` by filter, the mean paired difference and its
    standard error; ``noisy``, the decibels of y itself; ``ok``, and ``seconds`` by method.
    """
    grids = dict(filters.GRIDS if grids is None else grids)
    y = recipes_autoencoder.noisy_set(x, sigma, seed=10_000 + seed)
    settings = {name: filters.tune(name, tuning, sigma, seed=seed, grid=grid)
                for name, grid in grids.items()}  # fmt: skip
    found, seconds = {}, {}
    ways = {"ours": clean} | {name: _with(name, how) for name, how in settings.items()}
    for name, way in ways.items():
        start = time.perf_counter()
        found[name] = autoencoder.psnr(x, way(y, sigma).clamp(0, 1))
        seconds[name] = time.perf_counter() - start
    gain = {name: _mean_se(found["ours"] - found[name]) for name in grids}
    return {
        "sigma": sigma,
        "noisy": float(autoencoder.psnr(x, y.clamp(0, 1)).mean()),
        "psnr": {name: _mean_se(values) for name, values in found.items()},
        "gain": gain,
        "settings": settings,
        "seconds": seconds,
        "ok": all(gain[name][0] > ERRORS * gain[name][1] for name in RIVALS if name in gain),
    }


def run(every: int = EVERY, sigmas: Sequence[float] = SIGMAS, seed: int = 0) -> bool:
    """Measure at each σ, print the tables, and say whether the bar is met at all of them."""
    model = load_weights(recipes_autoencoder.denoiser_icons(), "denoiser_icons")
    train, x = data.icons("train").x, data.icons("test").x[::every]
    tuning = train[:: len(train) // TUNED_ON][:TUNED_ON]
    print(f"\n{len(x)} unseen icons with noise: decibels (higher is better)", flush=True)
    met = []
    with _two_cores():
        for sigma in sigmas:
            result = denoise_run(model.clean, x, tuning, sigma, seed=seed)
            print(table(result), flush=True)
            met.append(result["ok"])
    return all(met)


def table(result: dict) -> str:
    """The lines that ``bench`` prints for one ``denoise_run``."""
    lines = [f"  σ = {result['sigma']:g}", f"    {'noisy':17} {result['noisy']:6.2f}"]
    for name in (*result["settings"], "ours"):
        mean, se = result["psnr"][name]
        line = f"    {name:17} {mean:6.2f} ± {se:.2f}"
        if name != "ours":
            gain, gain_se = result["gain"][name]
            how = ", ".join(f"{key} {value}" for key, value in result["settings"][name].items())
            line += f"   ours is {gain:+.2f} ± {gain_se:.2f}   ({how})"
        lines.append(line)
    rivals = " and ".join(RIVALS)
    lines.append(f"    above {rivals}: {_mark(result['ok'])}")
    return "\n".join(lines)


def _with(name: str, how: Mapping) -> Callable[[Tensor, float], Tensor]:
    return lambda y, sigma: filters.METHODS[name](y, sigma, **how)


def _mean_se(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5)
