"""How the stylists of chapter 08 are made; ``recipes.RECIPES`` lists them.

The pictures that a stylist learns to paint are what the course has: crops of the ten training
photos and textures, emoji on such crops, and quilts; mirrored, their colours exchanged, lighter
and darker. That is little, and it is said so: the held-out photos are chelsea, coffee, camera.
"""

from __future__ import annotations

from functools import cache, partial

import torch
from torch import Tensor, nn

from genart_lessons import data, runtime
from genart_lessons.models import style, stylist
from genart_lessons.training.batches import Batches
from genart_lessons.training.loop import fit
from genart_lessons.training.run import History

STYLIST: dict = dict(lr=2e-3, schedule="cosine", warmup=100, clip_grad=10.0, ema=0.995)
STYLIST_STEPS = 1_400
CONTENTS, CONTENT_SIZE, BATCH = 400, 224, 8
UNSEEN = ("chelsea", "coffee", "camera")


def style_picture(name: str) -> Tensor:
    """The picture that ``stylist_<name>`` learns its style from, (3, H, W) in [0, 1].

    "flower" and "ihc": the photos of these names; "hearts": a quilt of emoji. Raises
    KeyError for another name.
    """
    if name not in STYLES:
        raise KeyError(f"no style {name!r}; there are {', '.join(STYLES)}.")
    return STYLES[name]()


STYLES = {
    "flower": partial(data.photo, "flower", 320),
    "ihc": partial(data.photo, "ihc"),
    "hearts": partial(data.quilt, "heart", 320),
}
BETAS = {"ihc": 20.0}  # the style's weight, where it is not ``style.STYLE_WEIGHT``


def contents(n: int = CONTENTS, size: int = CONTENT_SIZE, seed: int = 0) -> Tensor:
    """Pictures to be painted, (n, 3, size, size) in [0, 1]: of the training split alone.

    Three in four are squares cut from a photo or a texture, from a third of its shorter side to
    all of it; the fourth is one emoji on such a square. None is of ``UNSEEN``.
    """
    generator = torch.Generator().manual_seed(seed)
    photos = [data.photos("train")[name] for name in data.photos("train").names]
    emoji = data.emoji("train", 128).x

    def below(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    made = []
    for i in range(n):
        square = _cut(photos[below(len(photos))], generator, size)
        if i % 4 == 3:
            square = _stuck(square, emoji[below(len(emoji))], size)
        made.append(square)
    return torch.stack(made)


def _cut(photo: Tensor, generator: torch.Generator, size: int) -> Tensor:
    height, width = photo.shape[-2:]
    share = 1 / 3 + 2 / 3 * float(torch.rand((), generator=generator))
    side = max(style.SMALLEST, int(share * min(height, width)))
    y = int(torch.randint(height - side + 1, (), generator=generator))
    x = int(torch.randint(width - side + 1, (), generator=generator))
    return style.resized(photo[:, y : y + side, x : x + side], (size, size))


def _stuck(square: Tensor, emoji: Tensor, size: int) -> Tensor:
    """An emoji over the square; its paper is left out."""
    large = style.resized(emoji, (size, size))
    ink = (large.amin(0) < 0.9).expand_as(large)
    return torch.where(ink, large, square)


def recoloured(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Half of the pictures mirrored, half with their colours exchanged, all lighter or darker."""
    x = batch["x"]
    mirror, swap, gamma = torch.rand(3, len(x), generator=generator).unbind()
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(len(x))])
    order = torch.where(swap[:, None] < 0.5, order, torch.arange(3))
    x = torch.where(mirror[:, None, None, None] < 0.5, x.flip(-1), x)
    x = x.gather(1, order[:, :, None, None].expand_as(x))
    return {**batch, "x": x ** (2 ** (2 * gamma - 1))[:, None, None, None]}


def content_batches(x: Tensor, batch_size: int = BATCH, *, seed: int = 0) -> Batches:
    """Pictures (N, 3, S, S) to be painted, a few a batch, each a little otherwise every time."""
    return Batches({"x": x}, batch_size, seed=seed, augment=recoloured)


def style_loss(name: str) -> stylist.StyleLoss:
    """What ``stylist_<name>`` learnt to keep low."""
    return stylist.StyleLoss(style_picture(name), style_weight=BETAS.get(name, style.STYLE_WEIGHT))


def train_stylist(name: str, steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The stylist of one style: a few minutes on a GPU."""
    runtime.seed_everything(seed)
    model = stylist.Stylist()
    history = fit(
        model,
        style_loss(name),
        content_batches(contents(seed=seed), seed=seed),
        steps=steps,
        checkpoint=runtime.cache_dir() / f"stylist_{name}-{steps}-{seed}.safetensors",
        name=f"stylist_{name}",
        **STYLIST,
    )
    return history.ema.cpu(), history


@torch.no_grad()
def measure_stylist(name: str, model: nn.Module) -> dict[str, float]:
    """The loss on the held-out photos at 256 pixels, and of the photos as they are."""
    model = model.to(runtime.device())
    loss = style_loss(name)
    found: dict[str, float] = {}
    for split, pictures in (("unseen", unseen()), ("training", contents(8, 256, seed=1))):
        x = pictures.to(runtime.device())
        for what, made in (("", model(x)), ("_as_they_are", x)):
            parts = loss.parts(made, x)
            found[f"{split}_loss{what}"] = float(sum(parts.values()).mean())
            if not what:
                found |= {f"{split}_{part}": float(v.mean()) for part, v in parts.items()}
    return found


@cache
def unseen(size: int = 256) -> Tensor:
    """The held-out photos, (3, 3, size, size): no stylist has seen them."""
    return torch.stack([data.photo(name, size) for name in UNSEEN])
