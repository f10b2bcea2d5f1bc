"""A network that has learnt one style, and paints any picture in it in one pass.

Johnson, Alahi and Fei-Fei 2016 (https://arxiv.org/abs/1603.08155): the loss of ``models.style`` is
no longer brought down for one picture by changing its pixels, but for all pictures at once by
changing the weights of a network. Its norms are over each picture alone (instance normalisation,
Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022, equation 8.17): contrast is part of a style.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models import style as styles
from genart_lessons.models.perceptual import Perceptual

STYLE_SIZE = 256  # pixels of the style picture's shorter side, when a stylist learns it
MULTIPLE = 4  # sides are a multiple of this inside


class Stylist(nn.Module):
    """net(x): pictures (B, 3, H, W) in [0, 1] → the same shape in [0, 1], any H, W from 32.

    Squares of 2×2 pixels become channels, then the size is halved once more; five residual blocks
    there do most of the work; then up again. width: channels at half size, and a third of those
    below. Raises ValueError for other shapes.
    """

    def __init__(self, width: int = 24, blocks: int = 5):
        super().__init__()
        inner = 3 * width
        self.enter = Unit(12, width, 3)
        self.down = Unit(width, inner, 3, stride=2)
        self.blocks = nn.ModuleList(Residual(inner) for _ in range(blocks))
        self.up = Unit(inner, width, 3)
        self.leave = nn.Conv2d(width + 3, 3, 5)
        self.to(memory_format=torch.channels_last)  # faster convolutions on processors

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[-2:]) < styles.SMALLEST:
            raise ValueError(
                f"a stylist takes pictures (B, 3, H, W) of {styles.SMALLEST} pixels or more, not "
                f"{tuple(x.shape)}."
            )
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        x = x.contiguous(memory_format=torch.channels_last)
        h = F.pixel_unshuffle(2 * x - 1, 2).contiguous(memory_format=torch.channels_last)
        h = self.down(self.enter(h))
        for block in self.blocks:
            h = block(h)
        h = self.up(_twice(h))
        h = torch.cat([_twice(h), 2 * x - 1], dim=1)  # the picture itself, for its finest lines
        return torch.sigmoid(self.leave(_bordered(h, 2)))[..., :height, :width]


class Unit(nn.Module):
    """A convolution, the norm of each channel in each picture, ReLU; the border is mirrored."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1):
        super().__init__()
        self.border = kernel // 2
        self.conv = nn.Conv2d(inside, outside, kernel, stride, bias=False)
        self.norm = nn.InstanceNorm2d(outside, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(_bordered(x, self.border))))


class Residual(nn.Module):
    """x + two convolutions of x; they begin at nothing, so that the network begins short."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = Unit(channels, channels, 3)
        self.conv = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm = nn.InstanceNorm2d(channels, affine=True)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(_bordered(self.first(x), 1)))


def _bordered(x: Tensor, by: int) -> Tensor:
    return F.pad(x, (by, by, by, by), mode="reflect")


def _twice(x: Tensor) -> Tensor:
    """Twice as large by repeating: a stride backwards would leave a chequered pattern behind."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


class StyleLoss:
    """loss(model, batch): the mean loss of a stylist's pictures of ``batch["x"]`` (B, 3, H, W).

    It is equation 8.13, of each picture against its own content and the one style (3, H, W), which
    is scaled to a shorter side of ``size``. The parts are recorded by name. Weights and layers are
    those of ``style.StyleTransfer``; network: None for the trained one.
    """

    def __init__(
        self, style: Tensor, *, size: int | None = STYLE_SIZE,
        content_weight: float = styles.CONTENT_WEIGHT, style_weight: float = styles.STYLE_WEIGHT,
        tv_weight: float = styles.TV_WEIGHT, content_layers: Mapping[str, float] | None = None,
        style_layers: Mapping[str, float] | None = None, network: Perceptual | None = None,
    ):  # fmt: skip
        # The style is its own content here: what counts is the Gram matrices and their sizes.
        self.task = styles.StyleTransfer(
            style, style, size=size, content_weight=content_weight, style_weight=style_weight,
            tv_weight=tv_weight, content_layers=content_layers, style_layers=style_layers,
            network=network,
        )  # fmt: skip

    def __call__(self, model: Callable[[Tensor], Tensor], batch: Mapping[str, Tensor]):
        parts = self.parts(model(batch["x"]), batch["x"])
        means = {name: each.mean() for name, each in parts.items()}
        return means["content"] + means["style"] + means["tv"], means

    def parts(self, made: Tensor, x: Tensor) -> dict[str, Tensor]:
        """What was made of x (B, 3, H, W), judged: content, style and tv, each (B,)."""
        task = self.task
        alpha, beta, tau = task.weights
        network, wanted = task.network, task.content_layers
        with torch.no_grad():
            targets = network.features(x, wanted)
        seen = network.features(made, dict.fromkeys((*wanted, *task.style_layers)))
        content = made.new_zeros(len(x))
        for name, weight in wanted.items():
            apart = (seen[name] - targets[name]).square().mean((1, 2, 3))
            content = content + weight * apart / targets[name].square().mean((1, 2, 3))
        style = made.new_zeros(len(x))
        for name, weight in task.style_layers.items():
            target, scale = task.targets[name]
            apart = (styles.gram(seen[name]) - target).square().mean((1, 2)) / 4
            style = style + weight * apart / scale
        right, below = made[..., 1:] - made[..., :-1], made[..., 1:, :] - made[..., :-1, :]
        rough = right.square().sum((1, 2, 3)) + below.square().sum((1, 2, 3))
        tv = rough / made[0].numel()
        return {"content": alpha * content, "style": beta * style, "tv": tau * tv}


@torch.no_grad()
def paint(model: Stylist, x: Tensor) -> Tensor:
    """One picture (3, H, W), or several (B, 3, H, W), in the model's style, on its device → CPU."""
    device = next(model.parameters()).device
    many = x if x.ndim == 4 else x[None]
    made = model(many.to(device)).cpu()
    return made if x.ndim == 4 else made[0]
