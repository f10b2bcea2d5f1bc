"""How the shipped weights are made: one recipe a name, ``python3 -m genart_lessons train NAME``.

A recipe is data, model and settings; what is measured afterwards goes on the weights' card.
Chapters use the same pieces for their short training, so that what they show is what was trained.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons import data, runtime
from genart_lessons.models import vae
from genart_lessons.training import (
    recipes_autoencoder,
    recipes_diffusion,
    recipes_flow,
    recipes_gan,
    recipes_harmony,
    recipes_sequences,
    recipes_style,
    recipes_text,
)
from genart_lessons.training.batches import Batches
from genart_lessons.training.loop import fit
from genart_lessons.training.run import History
from genart_lessons.training.weights import new_card, save_weights

# What ``training.fit`` is given, besides steps or seconds.
VAE_DIGITS: dict = dict(lr=5e-3, schedule="cosine")
VAE_EMOJI: dict = dict(lr=1e-3, schedule="cosine", warmup=100, ema=0.999, precision="mixed")
VAE_DIGITS_STEPS, VAE_EMOJI_STEPS = 5_000, 5_000


def digit_batches(x: Tensor, latent: int, *, seed: int = 0) -> Batches:
    """128 digits a batch, with noise. Not moved about: 8×8 digits are all centred alike."""
    return Batches({"x": x}, 128, seed=seed, noise={"eps": (latent,)})


def emoji_batches(x: Tensor, latent: int, *, seed: int = 0) -> Batches:
    """Sixteen emoji a batch, each one flipped, turned, shifted and scaled a little, with noise."""
    return Batches({"x": x}, 16, seed=seed, noise={"eps": (latent,)}, augment=wiggle)


def wiggle(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Flip half of ``batch["x"]`` (B, C, H, W); turn all by up to 7°, scale and shift by a tenth.

    1,300 pictures are few: this keeps the encoder from learning them by heart. White outside.
    """
    x = batch["x"]
    turn, scale, right, down, flip = (2 * torch.rand(5, len(x), generator=generator) - 1).unbind()
    zoom, angle = 1 + 0.1 * scale, 0.12 * turn
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    side = flip.sign()
    rows = [
        torch.stack([side * cos, -sin, 0.06 * right], dim=1),
        torch.stack([side * sin, cos, 0.06 * down], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    moved = 1 - F.grid_sample(1 - x, grid, align_corners=False)
    return {**batch, "x": moved.clamp(0, 1)}


@dataclass(frozen=True)
class Recipe:
    """``train(steps, seed)`` → the model to ship and its history; ``measure(model)`` → results."""

    about: str
    data: str
    steps: int
    train: Callable[[int, int], tuple[nn.Module, History]]
    measure: Callable[..., dict[str, float]]


def train_digits(steps: int, seed: int = 0) -> tuple[vae.VAE, History]:
    """The digit VAE: ten seconds' work."""
    runtime.seed_everything(seed)
    model = vae.DigitVAE()
    batches = digit_batches(data.digits("train").x, model.latent, seed=seed)
    history = fit(model, vae.loss, batches, steps=steps, name="vae_digits", **VAE_DIGITS)
    return model, history


def train_emoji(steps: int, seed: int = 0) -> tuple[vae.VAE, History]:
    """The emoji VAE: averaged weights, and σ² as it fits the training pictures."""
    runtime.seed_everything(seed)
    train = data.emoji("train").x
    model = vae.EmojiVAE()
    history = fit(
        model,
        vae.loss,
        emoji_batches(train, model.latent, seed=seed),
        steps=steps,
        checkpoint=runtime.cache_dir() / f"vae_emoji-{steps}-{seed}.safetensors",
        name="vae_emoji",
        **VAE_EMOJI,
    )
    return history.ema.cpu().fit_noise(train), history


def measure_digits(model: vae.VAE) -> dict[str, float]:
    """Minus the bound and minus L_500 in nats per test picture; units that carry something."""
    train, test = data.digits("train").x, data.digits("test").x
    generator = torch.Generator().manual_seed(0)
    return {
        "test_negative_elbo": float(vae.negative_elbo(model, test, draws=100).mean()),
        "test_negative_l500": -float(vae.iwae_bound(model, test, 500, generator=generator).mean()),
        "active_units": vae.active_units(model.encode(train)[0].detach()),
    }


@torch.no_grad()
def measure_emoji(model: vae.VAE) -> dict[str, float]:
    """Squared errors; minus the bound in nats per number (12,288 a picture); active units."""
    train, test = data.emoji("train").x, data.emoji("test").x
    codes = torch.cat([model.encode(part)[0] for part in train.split(128)])
    again = torch.cat([model.picture(part) for part in codes.split(128)])
    return {
        "train_mse": float(F.mse_loss(again, train)),
        "test_mse": float(F.mse_loss(model.reconstruct(test), test)),
        "test_negative_elbo_per_number": float(vae.negative_elbo(model, test).mean()) / 12_288,
        "active_units": vae.active_units(codes),
    }


RECIPES = {
    **{
        name: Recipe(
            f"chapter 01: a flow from noise to the shape of {shape!r}",
            "200,000 points of an emoji's ink",
            recipes_flow.FLOW_STEPS,
            recipes_flow.TRAIN[name],
            recipes_flow.MEASURE[name],
        )
        for name, shape in recipes_flow.SHAPES.items()
    },
    "diffusion_icons": Recipe(
        "chapter 07: a diffusion model of icons, told to fill or to outline, or neither",
        "icons 32×32, training split",
        recipes_diffusion.DIFFUSION_ICONS_STEPS,
        recipes_diffusion.train_icons,
        recipes_diffusion.measure_icons,
    ),
    "diffusion_emoji": Recipe(
        "chapter 07: a diffusion model of colour emoji, told the group",
        "emoji 32×32, training split",
        recipes_diffusion.DIFFUSION_EMOJI_STEPS,
        recipes_diffusion.train_emoji,
        recipes_diffusion.measure_emoji,
    ),
    **{
        f"stylist_{name}": Recipe(
            f"chapter 08: a network that paints in the style {name!r} in one pass",
            f"crops of the training photos, emoji; the style picture {name!r}",
            recipes_style.STYLIST_STEPS,
            partial(recipes_style.train_stylist, name),
            partial(recipes_style.measure_stylist, name),
        )
        for name in recipes_style.STYLES
    },
    "denoiser_icons": Recipe(
        "chapter 02: a denoiser of icons, told how strong the noise is",
        "icons 32×32, training split",
        recipes_autoencoder.DENOISER_ICONS_STEPS,
        recipes_autoencoder.train_denoiser_icons,
        recipes_autoencoder.measure_denoiser_icons,
    ),
    "denoiser_photos": Recipe(
        "chapter 02: a denoiser of colour photos of any size",
        "6,000 crops of 48 pixels from ten photos and textures, the training split",
        recipes_autoencoder.DENOISER_PHOTOS_STEPS,
        recipes_autoencoder.train_denoiser_photos,
        recipes_autoencoder.measure_denoiser_photos,
    ),
    "autoencoder_icons": Recipe(
        "chapter 02: a convolutional autoencoder of icons, a code of 64 numbers",
        "icons 32×32, training split",
        recipes_autoencoder.AUTOENCODER_ICONS_STEPS,
        recipes_autoencoder.train_autoencoder_icons,
        recipes_autoencoder.measure_autoencoder_icons,
    ),
    "compressor_icons": Recipe(
        "chapter 02: an autoencoder of icons whose code is rounded and written out",
        "icons 32×32, training split",
        recipes_autoencoder.COMPRESSOR_ICONS_STEPS,
        recipes_autoencoder.train_compressor_icons,
        recipes_autoencoder.measure_compressor_icons,
    ),
    "harmony": Recipe(
        "chapter 06: an encoder–decoder, alto, tenor and bass for a soprano",
        "Bach's chorales in eighths, training split",
        recipes_harmony.HARMONY_STEPS,
        recipes_harmony.train_harmony,
        recipes_harmony.measure_harmony,
    ),
    "harmony_blind": Recipe(
        "chapter 06: its decoder alone, which does not see the melody",
        "Bach's chorales in eighths, training split",
        recipes_harmony.BLIND_STEPS,
        recipes_harmony.train_blind,
        recipes_harmony.measure_harmony,
    ),
    "gpt_tunes": Recipe(
        "chapter 06: a GPT on folk tunes, character by character",
        "folk tunes in ABC, training split",
        recipes_text.GPT_TUNES_STEPS,
        recipes_text.train_gpt,
        recipes_text.measure_gpt,
    ),
    "rnn_tunes": Recipe(
        "chapter 05: an LSTM on folk tunes, character by character",
        "folk tunes in ABC, training split",
        recipes_sequences.RNN_TUNES_STEPS,
        recipes_sequences.train_rnn,
        recipes_sequences.measure_rnn,
    ),
    "gan_icons": Recipe(
        "chapter 04: a DCGAN on icons, codes of 64 numbers",
        "icons 32×32, training split",
        recipes_gan.GAN_ICONS_STEPS,
        recipes_gan.train_icons,
        recipes_gan.measure_samples,
    ),
    "gan_styles": Recipe(
        "chapter 04: the same, told to fill or to outline",
        "icons 32×32 with a plain style, training split",
        recipes_gan.GAN_STYLES_STEPS,
        recipes_gan.train_styles,
        recipes_gan.measure_samples,
    ),
    "vaegan_icons": Recipe(
        "chapter 04: a VAE-GAN on icons, a code of 64 numbers",
        "icons 32×32, training split",
        recipes_gan.VAEGAN_ICONS_STEPS,
        recipes_gan.train_vaegan,
        recipes_gan.measure_reconstructions,
    ),
    "vae_icons": Recipe(
        "chapter 04: the plain VAE beside it",
        "icons 32×32, training split",
        recipes_gan.VAE_ICONS_STEPS,
        recipes_gan.train_vae,
        recipes_gan.measure_reconstructions,
    ),
    "vae_digits": Recipe(
        "chapter 03: digits, a code of 8 numbers",
        "digits 8×8, training split",
        VAE_DIGITS_STEPS,
        train_digits,
        measure_digits,
    ),
    "vae_emoji": Recipe(
        "chapter 03: colour emoji, a code of 96 numbers",
        "emoji 64×64, training split",
        VAE_EMOJI_STEPS,
        train_emoji,
        measure_emoji,
    ),
}


def main(argv: Sequence[str]) -> int:
    """``genart train NAME``: train, then write data/weights/NAME.safetensors and its card."""
    parser = argparse.ArgumentParser(prog="genart train", description="Make shipped weights again.")
    parser.add_argument("name", nargs="?", choices=sorted(RECIPES))
    parser.add_argument("--steps", type=int, help="fewer or more steps than the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="another place: a path that ends in .safetensors")
    args = parser.parse_args(list(argv))
    if args.name is None:
        for name, recipe in sorted(RECIPES.items()):
            print(f"{name:15} {recipe.about} ({recipe.steps:,} steps)")
        return 0
    recipe = RECIPES[args.name]
    steps = recipe.steps if args.steps is None else args.steps
    model, history = recipe.train(steps, args.seed)
    if history.interrupted:
        print("genart: stopped, and no weights were written.", file=sys.stderr)
        return 130
    model = model.cpu().half().float()  # what is measured is what is shipped
    results = recipe.measure(model)
    more = f" --steps {steps}" * (steps != recipe.steps) + f" --seed {args.seed}" * bool(args.seed)
    card = new_card(
        history,
        command=f"python3 -m genart_lessons train {args.name}{more}",
        seed=args.seed,
        data=recipe.data,
        results=results,
    )
    path = save_weights(model, Path(args.out) if args.out else args.name, card, half=True)
    print(f"{path} ({path.stat().st_size / 1e6:.2f} MB)")
    for name, value in results.items():
        print(f"  {name}: {value:.5g}")
    return 0
