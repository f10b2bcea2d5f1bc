"""How the adversarial networks' shipped weights are made; ``recipes.RECIPES`` lists them."""

from __future__ import annotations

from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons import data, runtime
from genart_lessons.models import frechet, gan, vae
from genart_lessons.training.batches import Batches
from genart_lessons.training.loop import fit
from genart_lessons.training.run import History

# No momentum in the players' steps, as it overshoots in games: Gidel et al. 2019, section 5.
GAN_ADAM = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.99), fused=True)
# What ``training.fit`` is given, besides steps or seconds, and R1's weight.
GAN_ICONS: dict = dict(optimizer=GAN_ADAM, ema=0.999, precision="mixed")
GAN_GAMMA = 0.2
VAE_ICONS: dict = dict(lr=1e-3, schedule="cosine", ema=0.999, precision="mixed")
GAN_ICONS_STEPS, GAN_STYLES_STEPS = 10_000, 8_000
VAEGAN_ICONS_STEPS, VAE_ICONS_STEPS = 5_000, 5_000
LIKENESS, SPREAD = 0.3, 0.2  # of the features, in the VAE-GAN: see ``IconVAEGAN.losses``

STYLES = ("filled", "outlined")


def gan_batches(x: Tensor, latent: int, y: Tensor | None = None, *, seed: int = 0) -> Batches:
    """32 icons a batch, with codes ``z`` for what is made and ``eps`` for an encoder's draws."""
    told = {} if y is None else {"y": y}
    return Batches({"x": x, **told}, 32, seed=seed, noise={"z": (latent,), "eps": (latent,)})


def icons_by_style(split: str = "train") -> tuple[data.Icons, Tensor]:
    """The icons that are plainly filled (0) or outlined (1), and which, (N,).

    By their names: "-fill" is filled, "-outline", "-line", "-thin" and "-light" are outlined; where
    a font has both "house" and "house-outline", the plain name is the filled one.
    """
    icons = data.icons(split)
    known = set(zip(icons.groups, icons.names, strict=True))

    def style(group: str, name: str) -> int | None:
        if name.endswith("-fill") or (group, f"{name}-outline") in known:
            return 0
        return 1 if name.endswith(("-outline", "-line", "-thin", "-light")) else None

    found = [style(*each) for each in zip(icons.groups, icons.names, strict=True)]
    chosen = [i for i, s in enumerate(found) if s is not None]
    return icons.take(chosen), torch.tensor([found[i] for i in chosen])


def grey_share(x: Tensor) -> float:
    """The share of pixels of x (B, 1, H, W) that are neither ink nor paper: 0.2 to 0.8.

    Real icons have some, at slanting edges. A model that cannot decide has many more.
    """
    return float(((x > 0.2) & (x < 0.8)).float().mean())


def layout_distance(x: Tensor, real: Tensor) -> float:
    """The Fréchet distance of the means of 4×4 blocks of pixels, 64 of an icon: where ink lies."""
    return frechet.feature_distance(*(F.avg_pool2d(part, 4).flatten(1) for part in (x, real)))


def _train(model: nn.Module, losses, batches: Batches, name: str, steps: int, seed: int, options):
    history = fit(
        model,
        losses,
        batches,
        steps=steps,
        checkpoint=runtime.cache_dir() / f"{name}-{steps}-{seed}.safetensors",
        name=name,
        **options,
    )
    return history.ema.cpu(), history


def train_icons(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The DCGAN of chapter 04."""
    runtime.seed_everything(seed)
    model = gan.IconGAN()
    batches = gan_batches(data.icons("train").x, model.latent, seed=seed)
    losses = model.losses(gamma=GAN_GAMMA)
    return _train(model, losses, batches, "gan_icons", steps, seed, GAN_ICONS)


def train_styles(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The same, told whether to fill or to outline."""
    runtime.seed_everything(seed)
    model = gan.IconGAN(classes=len(STYLES))
    icons, y = icons_by_style()
    batches = gan_batches(icons.x, model.latent, y, seed=seed)
    losses = model.losses(gamma=GAN_GAMMA)
    return _train(model, losses, batches, "gan_styles", steps, seed, GAN_ICONS)


def train_vaegan(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The VAE-GAN."""
    runtime.seed_everything(seed)
    model = gan.IconVAEGAN()
    batches = gan_batches(data.icons("train").x, model.latent, seed=seed)
    losses = model.losses(gamma=GAN_GAMMA, likeness=LIKENESS, spread=SPREAD)
    return _train(model, losses, batches, "vaegan_icons", steps, seed, GAN_ICONS)


def train_vae(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The plain VAE that the VAE-GAN is compared with: the same encoder, the same decoder."""
    runtime.seed_everything(seed)
    model = gan.IconVAE()
    batches = gan_batches(data.icons("train").x, model.latent, seed=seed)
    return _train(model, vae.loss, batches, "vae_icons", steps, seed, VAE_ICONS)


def measure_samples(model: nn.Module) -> dict[str, float]:
    """How samples compare with the unseen icons: layout, greyness, nearest training icons."""
    train, test = data.icons("train").x, data.icons("test").x
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(len(test)) % 2 if getattr(model, "classes", 0) else None
    told = {} if y is None else {"y": y}
    made = model.sample(len(test), generator=generator, **told)
    return {
        "layout_distance": layout_distance(made, test),
        "layout_distance_of_training_icons": layout_distance(train, test),
        "grey_share": grey_share(made),
        "grey_share_of_real_icons": grey_share(test),
        "nearest_training_icon": float(frechet.nearest_distance(made, train).mean()),
        "nearest_training_icon_of_unseen": _nearest_of_unseen(),
    }


@cache
def _nearest_of_unseen() -> float:
    """What a copy is held against; no model changes it, and it takes seconds."""
    train, test = data.icons("train").x, data.icons("test").x
    return float(frechet.nearest_distance(test, train).mean())


@torch.no_grad()
def measure_reconstructions(model: nn.Module) -> dict[str, float]:
    """The same, and what comes back of unseen icons."""
    test = data.icons("test").x
    again = model.reconstruct(test)
    return measure_samples(model) | {
        "test_mse": float(F.mse_loss(again, test)),
        "grey_share_of_reconstructions": grey_share(again),
    }
