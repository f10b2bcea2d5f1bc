"""How chapter 02's shipped weights are made; ``recipes.RECIPES`` lists them.

The icons' test split and the three test photos (camera, chelsea, coffee) are for measuring alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons import data, runtime
from genart_lessons.models import autoencoder, codecs
from genart_lessons.training.batches import Batches
from genart_lessons.training.loop import fit
from genart_lessons.training.run import History

# What ``training.fit`` is given, besides steps or seconds.
DENOISER: dict = dict(lr=2e-3, schedule="cosine", warmup=50, clip_grad=1.0, ema=0.995)
CODES: dict = dict(lr=2e-3, schedule="cosine", warmup=50, ema=0.995)
LINEAR: dict = dict(lr=5e-2, schedule="cosine")
SPARSE: dict = dict(lr=2e-3, schedule="cosine")
DENOISER_ICONS_STEPS, DENOISER_PHOTOS_STEPS = 10_000, 10_000
AUTOENCODER_ICONS_STEPS, COMPRESSOR_ICONS_STEPS = 10_000, 10_000
CROP = 48  # pixels, of the photos' crops
SIGMAS = (0.1, 0.25, 0.5)  # at which denoisers are measured


def denoiser_icons(width: int = 48) -> autoencoder.Denoiser:
    """The denoiser of icons, told σ."""
    return autoencoder.Denoiser(1, width)


def denoiser_photos(width: int = 48) -> autoencoder.Denoiser:
    """The denoiser of colour photos of any size, told σ, for σ up to 0.4."""
    return autoencoder.Denoiser(3, width, sigmas=(0.01, 0.4))


def picture_batches(x: Tensor, *, batch_size: int = 64, seed: int = 0, augment=None) -> Batches:
    """Pictures x (N, …), for an autoencoder's loss."""
    return Batches({"x": x}, min(batch_size, len(x)), seed=seed, augment=augment)


def noisy_batches(
    x: Tensor, *, batch_size: int = 64, seed: int = 0, fresh: bool = False, augment=None
) -> Batches:
    """Pictures x (N, C, H, W) with noise ``eps`` and ``u``, which picks σ: for a denoiser's loss.

    With ``fresh`` also other noise, ``eps2``, for ``denoising_loss`` with the target "fresh".
    """
    shape = tuple(x.shape[1:])
    noise = {"eps": shape} | ({"eps2": shape} if fresh else {})
    return Batches({"x": x}, min(batch_size, len(x)), seed=seed, noise=noise,
                   uniform={"u": ()}, augment=augment)  # fmt: skip


def code_batches(
    x: Tensor, k: int, *, batch_size: int = 64, seed: int = 0, augment=None
) -> Batches:
    """Pictures with uniform noise ``u`` (B, k), for a compressor's loss."""
    return Batches({"x": x}, batch_size, seed=seed, uniform={"u": (k,)}, augment=augment)


def photo_crops(n: int = 6000, seed: int = 0) -> Tensor:
    """n squares of 48 pixels from the training photos, shrunk to one half or not: (n, 3, 48, 48).

    As many of each photo. A photo that is shrunk has finer detail and less noise of its own.
    """
    names = data.photos("train").names
    each, crops = -(-n // (2 * len(names))), []
    for i, name in enumerate(names):
        whole = data.patches(name, CROP, each, seed=2 * i + 100 * seed)
        larger = data.patches(name, 2 * CROP, each, seed=2 * i + 1 + 100 * seed)
        crops += [part.expand(-1, 3, -1, -1) for part in (whole, F.avg_pool2d(larger, 2))]
    order = torch.randperm(2 * each * len(names), generator=torch.Generator().manual_seed(seed))
    return torch.cat(crops)[order[:n]]


def turned(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Squares ``batch["x"]``: each mirrored or not, on its side or not; colours change places."""
    x = mirrored(batch, generator)["x"]
    on_side = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    x = torch.where(on_side, x.transpose(2, 3), x)
    return {**batch, "x": x[:, torch.randperm(x.shape[1], generator=generator)]}


def mirrored(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Each of ``batch["x"]`` (B, C, H, W) as it is or left and right exchanged."""
    across = torch.rand(len(batch["x"]), 1, 1, 1, generator=generator) < 0.5
    return {**batch, "x": torch.where(across, batch["x"].flip(3), batch["x"])}


def _train(model: nn.Module, batches: Batches, name: str, steps: int, seed: int, options: dict):
    history = fit(
        model,
        autoencoder.loss,
        batches,
        steps=steps,
        checkpoint=runtime.cache_dir() / f"{name}-{steps}-{seed}.safetensors",
        name=name,
        **options,
    )
    return history.ema.cpu(), history


def train_denoiser_icons(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The denoiser of icons."""
    runtime.seed_everything(seed)
    batches = noisy_batches(data.icons("train").x, batch_size=128, seed=seed, augment=turned)
    return _train(denoiser_icons(), batches, "denoiser_icons", steps, seed, DENOISER)


def train_denoiser_photos(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The denoiser of photos."""
    runtime.seed_everything(seed)
    batches = noisy_batches(photo_crops(), seed=seed, augment=turned)
    return _train(denoiser_photos(), batches, "denoiser_photos", steps, seed, DENOISER)


def train_autoencoder_icons(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The convolutional autoencoder of icons, a code of 64 numbers."""
    runtime.seed_everything(seed)
    batches = picture_batches(data.icons("train").x, seed=seed, augment=mirrored)
    return _train(autoencoder.Conv(), batches, "autoencoder_icons", steps, seed, CODES)


def train_compressor_icons(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The autoencoder whose code is to be rounded and written out."""
    runtime.seed_everything(seed)
    model = codecs.Compressor()
    batches = code_batches(data.icons("train").x, model.k, seed=seed, augment=mirrored)
    return _train(model, batches, "compressor_icons", steps, seed, CODES)


def noisy_set(x: Tensor, sigma: float, seed: int = 0) -> Tensor:
    """x with noise of σ that is the same on every machine: y like x, not cut off at 0 and 1."""
    eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    return autoencoder.noisy(x, eps, sigma)


def measure_denoiser_icons(model: nn.Module) -> dict[str, float]:
    """Decibels on unseen icons at each of ``SIGMAS``, mean over the pictures."""
    return _decibels(model, {"icons": data.icons("test").x})


def measure_denoiser_photos(model: nn.Module) -> dict[str, float]:
    """Decibels on each of the three unseen photos, at each of ``SIGMAS`` that it is for."""
    photos = {name: picture[None] for name, picture in data.photos("test").items()}
    return _decibels(model, photos)


def _decibels(model: nn.Module, sets: dict[str, Tensor]) -> dict[str, float]:
    found = {}
    for sigma in (s for s in SIGMAS if s <= model.sigmas[1]):
        for name, x in sets.items():
            clean = model.clean(noisy_set(x, sigma), sigma)
            found[f"{name}_{sigma:g}"] = float(autoencoder.psnr(x, clean).mean())
    return found


def measure_autoencoder_icons(model: nn.Module) -> dict[str, float]:
    """‖x − D(E(x))‖² and decibels, mean over the pictures; beside PCA with as many numbers."""
    train, test = data.icons("train").x, data.icons("test").x
    basis = autoencoder.pca(train, model.k)
    found = {}
    for name, x in (("train", train), ("test", test)):
        again = model.reconstruct(x)
        found[f"{name}_error"] = float(autoencoder.squared_error(x, again).mean())
        found[f"{name}_psnr"] = float(autoencoder.psnr(x, again).mean())
    error = float(autoencoder.squared_error(test, basis(test)).mean())
    return found | {"test_error_of_pca": error}


def measure_compressor_icons(model: nn.Module) -> dict[str, float]:
    """Bits per pixel and decibels of the unseen icons at step 1."""
    row = codecs.by_network(codecs.rounded(data.icons("test").x), model)
    return {"bits_per_pixel": row.bits_per_pixel, "entropy": row.entropy or 0.0, "psnr": row.psnr}
