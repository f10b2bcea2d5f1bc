"""How the diffusion models' shipped weights are made; ``recipes.RECIPES`` lists them.

Both predict v on the cosine schedule. With ε, the guess of x_0 is (x_t − √(1 − ᾱ)·ε̂)/√ᾱ, and near
t = T, where √ᾱ is almost 0, it blows up the smallest error: a sampler of few steps begins there.
With x_0, the network could say nothing new near t = 0. v needs no division at either end, and its
target has about the same size at every t, so that the plain mean of squares weighs all t alike.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons import data, runtime
from genart_lessons.data.emoji_groups import GROUPS
from genart_lessons.models import diffusion, frechet
from genart_lessons.models.diffusion_samplers import ddim
from genart_lessons.models.unet import UNet
from genart_lessons.training.batches import Batches
from genart_lessons.training.loop import fit
from genart_lessons.training.recipes_gan import STYLES, grey_share, icons_by_style, layout_distance
from genart_lessons.training.run import History

EMOJI_GROUPS = tuple(GROUPS)
# What ``training.fit`` is given, besides steps or seconds.
DIFFUSION: dict = dict(lr=2e-3, schedule="cosine", warmup=200, clip_grad=1.0, ema=0.999)
DIFFUSION_ICONS_STEPS, DIFFUSION_EMOJI_STEPS = 25_000, 15_000
DROP = 0.1  # the share of the classes that is hidden, for guidance without a classifier
T = 1000


def icons(width: int = 56, dropout: float = 0.0) -> diffusion.Denoiser:
    """The model of icons (B, 1, 32, 32); classes: filled 0, outlined 1."""
    net = UNet(1, width, len(STYLES), dropout=dropout)
    return diffusion.Denoiser(net, diffusion.cosine(T), "v", len(STYLES), net.shape)


def emoji(width: int = 56, dropout: float = 0.1) -> diffusion.Denoiser:
    """The model of colour emoji (B, 3, 32, 32); classes: ``EMOJI_GROUPS``."""
    net = UNet(3, width, len(EMOJI_GROUPS), dropout=dropout)
    return diffusion.Denoiser(net, diffusion.cosine(T), "v", len(EMOJI_GROUPS), net.shape)


def icons_and_styles(split: str = "train") -> tuple[data.Icons, Tensor]:
    """All icons of a split, and their styles (N,): 0 filled, 1 outlined, −1 where none is plain.

    Nearly half are of no plain style. They teach the model what icons are, without a class.
    """
    everything = data.icons(split)
    styled, y = icons_by_style(split)
    known = dict(zip(zip(styled.groups, styled.names, strict=True), y.tolist(), strict=True))
    pairs = zip(everything.groups, everything.names, strict=True)
    return everything, torch.tensor([known.get(pair, -1) for pair in pairs])


def small_emoji(split: str = "train") -> tuple[data.Emoji, Tensor]:
    """The emoji at 32×32 (squares of 2×2 pixels of the 64×64, averaged), and their groups (N,)."""
    large = data.emoji(split)
    y = torch.tensor([EMOJI_GROUPS.index(group) for group in large.groups])
    return replace(large, x=F.avg_pool2d(large.x, 2)), y


def diffusion_batches(
    x: Tensor, y: Tensor | None = None, *, batch_size: int = 128, seed: int = 0, augment=None
) -> Batches:
    """Batches for ``diffusion.loss`` of pictures x (N, C, H, W) in [−1, 1] (and classes y).

    With ``augment`` x may be anything that it makes such pictures of, half as large.
    """
    told = {} if y is None else {"y": y}
    uniform = {"u": ()} | ({} if y is None else {"drop": ()})
    shape = tuple(x.shape[1:]) if augment is None else (x.shape[1], *(n // 2 for n in x.shape[2:]))
    return Batches({"x": x, **told}, batch_size, seed=seed, noise={"eps": shape}, uniform=uniform,
                   augment=augment)  # fmt: skip


def wiggle_and_shrink(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Emoji x (B, 3, 64, 64) in [0, 1], each flipped or not and moved a little, to 32×32, [−1, 1].

    Turned by up to 3°, scaled by up to 4 %, shifted by up to a pixel: 1,300 pictures are few. More
    would be seen in the samples, which are drawn as the model saw them. Moved first and shrunk
    afterwards, so that edges stay as sharp as they are.
    """
    x = batch["x"]
    turn, scale, right, down, flip = (2 * torch.rand(5, len(x), generator=generator) - 1).unbind()
    zoom, angle, side = 1 + 0.04 * scale, 0.05 * turn, flip.sign()
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    rows = [
        torch.stack([side * cos, -sin, right / 16], dim=1),
        torch.stack([side * sin, cos, down / 16], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    moved = 1 - F.grid_sample(1 - x, grid, align_corners=False)  # white outside
    return {**batch, "x": diffusion.to_signed(F.avg_pool2d(moved, 2).clamp(0, 1))}


def train_icons(steps: int, seed: int = 0, **changes) -> tuple[nn.Module, History]:
    """The icons of chapter 07; ``changes`` to the model are for comparison."""
    runtime.seed_everything(seed)
    pictures, y = icons_and_styles()
    batches = diffusion_batches(diffusion.to_signed(pictures.x), y, seed=seed)
    return _train(icons(**changes), batches, "diffusion_icons", steps, seed)


def train_emoji(steps: int, seed: int = 0, **changes) -> tuple[nn.Module, History]:
    """The emoji of chapter 07."""
    runtime.seed_everything(seed)
    large, (_, y) = data.emoji("train"), small_emoji()
    batches = diffusion_batches(large.x, y, seed=seed, augment=wiggle_and_shrink)
    return _train(emoji(**changes), batches, "diffusion_emoji", steps, seed)


def _train(model: nn.Module, batches: Batches, name: str, steps: int, seed: int):
    history = fit(
        model,
        diffusion.loss,
        batches,
        steps=steps,
        checkpoint=runtime.cache_dir() / f"{name}-{steps}-{seed}.safetensors",
        name=name,
        **DIFFUSION,
    )
    return history.ema.cpu(), history


@torch.no_grad()
def mean_loss(model: nn.Module, x: Tensor, y: Tensor, *, passes: int = 8, seed: int = 0) -> float:
    """The loss on pictures x (N, C, H, W) in [−1, 1] of classes y (N,): nothing hidden or moved.

    In each pass every picture gets one time, and together they cover all times evenly; the same
    times and noise for every model, so that two models can be compared.
    """
    generator, total = torch.Generator().manual_seed(seed), 0.0
    device = next(model.parameters()).device
    for _ in range(passes):
        u = (torch.randperm(len(x), generator=generator) + 0.5) / len(x)
        eps = torch.randn(x.shape, generator=generator)
        for part in torch.arange(len(x)).split(256):
            batch = {"x": x[part], "y": y[part], "u": u[part], "eps": eps[part]}
            batch = {name: value.to(device) for name, value in batch.items()}
            total += len(part) * float(diffusion.loss(model, batch))
    return total / (passes * len(x))


def draw(model: nn.Module, n: int, y: Tensor | None = None, *, seed: int = 0, steps: int = 50):
    """n pictures (n, C, H, W) in [0, 1] by DDIM, with guesses cut off at the ends of the range."""
    generator, made = torch.Generator().manual_seed(seed), []
    for part in torch.arange(n).split(256):
        told = None if y is None else y[part]
        x = ddim(model, len(part), y=told, steps=steps, clip=True, generator=generator)
        made.append(diffusion.to_unit(x.cpu()))
    return torch.cat(made)


def measure_icons(model: nn.Module) -> dict[str, float]:
    """The loss on unseen and on seen icons; layout and greyness, as of the GANs of chapter 04.

    The 1,540 samples are of no class, as many as there are unseen icons.
    """
    (train, seen), (test, unseen) = icons_and_styles(), icons_and_styles("test")
    model.to(runtime.device())
    some = torch.arange(0, len(train), len(train) // len(test))[: len(test)]
    losses = {
        "test_loss": mean_loss(model, diffusion.to_signed(test.x), unseen),
        "train_loss": mean_loss(model, diffusion.to_signed(train.x[some]), seen[some]),
    }
    made = draw(model, len(test))
    model.cpu()
    return losses | {
        "layout_distance": layout_distance(made, test.x),
        "layout_distance_of_training_icons": layout_distance(train.x, test.x),
        "grey_share": grey_share(made),
        "grey_share_of_real_icons": grey_share(test.x),
        **nearest(made, train.x, test.x),
    }


def measure_emoji(model: nn.Module) -> dict[str, float]:
    """The loss on unseen and on seen emoji; where colours lie; the nearest seen emoji.

    The 1,316 samples have the groups of the training pictures.
    """
    (train, seen), (test, unseen) = small_emoji(), small_emoji("test")
    model.to(runtime.device())
    losses = {
        "test_loss": mean_loss(model, diffusion.to_signed(test.x), unseen, passes=64),
        "train_loss": mean_loss(model, diffusion.to_signed(train.x), seen),
    }
    made = draw(model, len(train), seen)
    model.cpu()
    return losses | {
        "colour_distance": colour_distance(made, test.x),
        "colour_distance_of_training_emoji": colour_distance(train.x, test.x),
        **nearest(made, torch.cat([train.x, train.x.flip(3)]), test.x),
    }


def colour_distance(x: Tensor, real: Tensor) -> float:
    """The Fréchet distance of the mean colours of blocks of 8×8 pixels: 16 places, 48 numbers.

    No more features, because there are no more than 141 unseen emoji to compare with.
    """
    return frechet.feature_distance(*(F.avg_pool2d(part, 8).flatten(1) for part in (x, real)))


def nearest(made: Tensor, train: Tensor, test: Tensor) -> dict[str, float]:
    """How far samples are from the nearest training picture, and how far unseen pictures are.

    ``near_copies``: the share of samples that are nearer than the nearest twentieth of the unseen
    pictures, 0.05 if samples are as new as these.
    """
    ours, unseen = (frechet.nearest_distance(x, train) for x in (made, test))
    return {
        "nearest_training_picture": float(ours.mean()),
        "nearest_training_picture_of_unseen": float(unseen.mean()),
        "near_copies": float((ours < unseen.quantile(0.05)).float().mean()),
    }
