"""Neural style transfer: a picture with the content of one and the style of another.

Gatys, Ecker and Bethge 2016 (CVPR, https://arxiv.org/abs/1508.06576): content is what a layer's
features say at each place; style is what they say on the whole, in which the place is forgotten:
the Gram matrix. Here the network is ``models.perceptual``'s, 30 times as small as theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from genart_lessons import runtime
from genart_lessons.models.perceptual import Perceptual

CONTENT: dict[str, float] = {"b4": 1.0}
STYLE: dict[str, float] = dict.fromkeys(("stem", "b0", "b1", "b2", "b3", "b4", "b5"), 1 / 7)
CONTENT_WEIGHT, STYLE_WEIGHT, TV_WEIGHT = 1.0, 10.0, 10.0
SMALLEST = 32  # pixels: below, the deeper layers have nothing left to look at
STEPS = 80


# -- losses --------------------------------------------------------------------------------------


def gram(features: Tensor) -> Tensor:
    """Features (B, C, H, W) → G = F Fᵀ / N (B, C, C) with N = H·W places (equation 8.5).

    Gatys et al. leave out the 1/N in G and have it in their loss; it is the same loss, and this G
    does not grow with the picture.
    """
    f = features.flatten(2)
    return f @ f.mT / f.shape[-1]


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """½ · mean of (F − P)² over places and channels (equation 8.3): a scalar.

    Gatys et al. sum instead, which is C·N times as much. Raises ValueError for unequal shapes.
    """
    _alike(features, target)
    return 0.5 * F.mse_loss(features, target)


def style_loss(g: Tensor, target: Tensor) -> Tensor:
    """‖G − A‖² / (4C²) for two Gram matrices (B, C, C) (equation 8.8), the mean of the batch.

    It is Gatys et al.'s E_l, whose 1/(4 N_l² M_l²) holds the 1/N of ``gram``. Raises ValueError
    for unequal shapes.
    """
    _alike(g, target)
    return F.mse_loss(g, target) / 4


def total_variation(x: Tensor) -> Tensor:
    """Pictures (B, C, H, W) → Σ (x_right − x)² + Σ (x_below − x)², over B·C·H·W (equation 8.12).

    Squared differences (Mahendran and Vedaldi 2015, their β = 2): smooth, so that every optimiser
    can take it. The absolute ones (Rudin, Osher and Fatemi 1992) would spare edges more.
    """
    right, below = x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
    return (right.square().sum() + below.square().sum()) / x.numel()


def _alike(a: Tensor, b: Tensor) -> None:
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"these are compared place by place, but are {a.shape} and {b.shape}.")


@cache
def eye(random: bool = False, seed: int = 0, device: str = "cpu") -> Perceptual:
    """The perceptual network, read once a process for each device."""
    return Perceptual(random, seed).to(device)


# -- going down ----------------------------------------------------------------------------------


@dataclass
class Stylised:
    """What a descent arrived at.

    picture: (3, H, W) in [0, 1], the best of all that were tried. losses: of each evaluation, in
    turn; times: the seconds from the start to the end of each. seconds: of the whole.
    """

    picture: Tensor
    losses: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def evaluations(self) -> int:
        """How often the loss and its gradient were computed: nearly all of the work."""
        return len(self.losses)

    def when(self, loss: float) -> float:
        """The seconds until the loss was at most this; infinite where it never was."""
        within = (t for t, value in zip(self.times, self.losses, strict=True) if value <= loss)
        return next(within, float("inf"))


class _Enough(Exception):
    """Ends an optimiser from within its function."""


def descend(
    loss: Callable[[Tensor], Tensor], start: Tensor, steps: int, *, optimizer: str = "lbfgs",
    lr: float = 0.02, until: float | None = None,
    on_step: Callable[[int, Tensor, float], None] | None = None,
) -> Stylised:  # fmt: skip
    """Change the pixels of ``start`` (3, H, W) within [0, 1] so that the loss falls.

    loss: x (1, 3, H, W) → a scalar. steps: how often it and its gradient are computed.
    optimizer: "lbfgs" (Liu and Nocedal 1989; PyTorch's, which keeps the last 10 changes of the
    gradient as an idea of the curvature and chooses its steps by a line search), in waves instead
    of pixels, see ``Waves``; or "adam" (Kingma and Ba 2015) in pixels, with ``lr`` in pixel values
    a step, and pixels put back within the bounds after each. until: stop as soon as the loss is no
    more than this. on_step(number, picture (3, H, W), loss) is called after each evaluation; its
    time counts. The losses are always ``loss`` of a picture in [0, 1].
    Raises ValueError for another optimiser or fewer than one step, FloatingPointError for a loss
    that is not finite.
    """
    if optimizer not in ("lbfgs", "adam"):
        raise ValueError(f"optimizer={optimizer!r}: it is 'lbfgs' or 'adam'.")
    if steps < 1:
        raise ValueError(f"steps={steps} must be 1 or more.")
    began = time.perf_counter()
    where = start.detach().clamp(0, 1)[None].clone()
    found = Stylised(where[0])
    best = float("inf")

    def evaluate(x: Tensor) -> tuple[float, Tensor]:
        """The loss at x and its gradient; the picture is kept if it is the best so far."""
        nonlocal best
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = loss(x)
            (slope,) = torch.autograd.grad(value, x)
        number = float(value.detach())
        if not np.isfinite(number):
            raise FloatingPointError(f"the loss is {number} after {found.evaluations} evaluations.")
        if number < best:
            best, found.picture = number, x.detach()[0].clone()
        found.losses.append(number)
        found.times.append(time.perf_counter() - began)
        if on_step is not None:
            on_step(found.evaluations, x.detach()[0], number)
        if found.evaluations >= steps or (until is not None and number <= until):
            raise _Enough
        return number, slope

    try:
        (_by_lbfgs if optimizer == "lbfgs" else _by_adam)(evaluate, where, lr)
    except _Enough:
        pass
    found.seconds = time.perf_counter() - began
    return found


class Waves:
    """Pictures as x = ½ + ½·sin θ, θ = arcsin(2·start − 1) + R·F⁻¹(s·F(u)): always within [0, 1].

    F is the Fourier transform of each colour and s(f) ∝ f^−0.65 for a frequency of f waves a pixel,
    of mean 2, so that u is in pixel values or so. A step in pixels moves each of them alone, and a
    large patch of colour hardly at all; the long waves of a photo are its strongest. Its three
    colours mostly rise and fall together: R = K^¼, of mean diagonal 1, gives what is common to them
    (brightness) more room than what sets them apart; K is the table of their correlations. (Olah,
    Mordvintsev and Schubert 2017, https://doi.org/10.23915/distill.00007, "preconditioning", who
    go all the way, f^−1 and K^½.) It changes the way, not the goal. At 0 and 1 the sine stands
    still: the start keeps 0.02 away.
    """

    POWER, MEAN, EDGE = 0.65, 2.0, 0.02
    # K: red, green and blue in the photos to learn from, ``data.photos("train", size=64)``.
    COLOURS = ((1.0, 0.812, 0.660), (0.812, 1.0, 0.948), (0.660, 0.948, 1.0))

    def __init__(self, start: Tensor):
        inner = start.clamp(self.EDGE, 1 - self.EDGE)
        self.base, (height, width) = torch.asin(2 * inner - 1), start.shape[-2:]
        across = torch.fft.rfftfreq(width, device=start.device)
        down = torch.fft.fftfreq(height, device=start.device)[:, None]
        f = (across.square() + down.square()).sqrt().clamp_min(1 / max(height, width))
        strength = f**-self.POWER
        self.strength = self.MEAN * strength / strength.mean()
        values, vectors = torch.linalg.eigh(torch.tensor(self.COLOURS).double())
        root = vectors * values**0.25 @ vectors.T
        self.mix = (root / root.diagonal().mean()).to(start)

    def spread(self, u: Tensor) -> Tensor:
        """u → R·F⁻¹(s·F(u)), both (1, 3, H, W). Its own transpose: R is symmetric, s even."""
        waves = torch.fft.rfft2(u, norm="ortho") * self.strength
        x = torch.fft.irfft2(waves, s=u.shape[-2:], norm="ortho")
        return (self.mix @ x.flatten(2)).view_as(x)

    def angle(self, u: Tensor) -> Tensor:
        """u (1, 3, H, W) → θ, of the same shape."""
        return self.base + self.spread(u)

    def picture(self, angle: Tensor) -> Tensor:
        """θ → the picture, in [0, 1]."""
        return 0.5 + 0.5 * torch.sin(angle)

    def slope(self, angle: Tensor, slope: Tensor) -> Tensor:
        """The gradient in u, where the one in the pixels of ``picture(angle)`` is ``slope``."""
        return self.spread(slope * 0.5 * torch.cos(angle))


def _by_lbfgs(evaluate: Callable, start: Tensor, lr: float) -> None:
    waves = Waves(start)
    u = torch.zeros_like(start, requires_grad=True)
    endless: dict = dict(max_iter=10**9, max_eval=10**9, tolerance_grad=0.0, tolerance_change=0.0)
    lbfgs = torch.optim.LBFGS([u], history_size=10, line_search_fn="strong_wolfe", **endless)

    def closure() -> Tensor:
        with torch.no_grad():
            angle = waves.angle(u)
            value, slope = evaluate(waves.picture(angle))
            u.grad = waves.slope(angle, slope)
        return torch.tensor(value)

    for _ in range(50):  # it ends by _Enough; a line search that finds nothing begins anew
        lbfgs.step(closure)
        lbfgs.state.clear()


def _by_adam(evaluate: Callable, start: Tensor, lr: float) -> None:
    x = start.clone().requires_grad_()
    adam = torch.optim.Adam([x], lr=lr)
    while True:  # it ends by _Enough
        _, x.grad = evaluate(x)
        adam.step()
        with torch.no_grad():
            x.clamp_(0, 1)


# -- the transfer --------------------------------------------------------------------------------


class StyleTransfer:
    """The whole loss of a content and a style picture, and the way down.

    L(x) = α·C(x)/C(grey) + β·Σ_l w_l·E_l(x)/E_l(grey) + τ·TV(x) (equation 8.13). Each part is
    divided by what it is for features that are all zero ("grey"), constants of the two pictures:
    the layers' features differ in size a hundredfold, and so a weight means the same at every
    layer, with any network, at any size. α = 0: a texture; β = 0: a reconstruction.

    content, style: (3, H, W) in [0, 1], each scaled so that its shorter side is ``size`` (None: as
    they are). content_layers, style_layers: {layer: weight}. network: None for the trained one.
    ``targets`` holds the style's Gram matrices, {layer: (A (1, C, C), its own loss at grey)}.
    Raises ValueError for other shapes or values, unknown layers and negative weights.
    """

    def __init__(
        self, content: Tensor, style: Tensor, *, size: int | None = None,
        content_weight: float = CONTENT_WEIGHT, style_weight: float = STYLE_WEIGHT,
        tv_weight: float = TV_WEIGHT, content_layers: Mapping[str, float] | None = None,
        style_layers: Mapping[str, float] | None = None, network: Perceptual | None = None,
    ):  # fmt: skip
        device = runtime.device()
        self.network = network if network is not None else eye(device=str(device))
        self.content, self.style = (
            sized(_checked(x, name), size).to(device)
            for x, name in ((content, "content"), (style, "style"))
        )
        self.weights = (float(content_weight), float(style_weight), float(tv_weight))
        self.content_layers = dict(CONTENT if content_layers is None else content_layers)
        self.style_layers = dict(STYLE if style_layers is None else style_layers)
        told = [*self.weights, *self.content_layers.values(), *self.style_layers.values()]
        if min(told) < 0:
            raise ValueError("a weight is negative: what is weighed less than nothing is sought.")
        with torch.no_grad():
            seen = self.network.features(self.content[None], self.content_layers)
            self._content = {k: (v, _scale(0.5 * v.square().mean())) for k, v in seen.items()}
            seen = self.network.features(self.style[None], self.style_layers)
            grams = {k: gram(v) for k, v in seen.items()}
            self.targets = {k: (g, _scale(g.square().mean() / 4)) for k, g in grams.items()}

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """x (1, 3, H, W) → the three parts of the loss as scalars, each with its weight in it."""
        x = x.to(self.content.device)
        alpha, beta, tau = self.weights
        layers = (*(self.content_layers if alpha else ()), *(self.style_layers if beta else ()))
        seen = self.network.features(x, dict.fromkeys(layers))
        nothing = x.new_zeros(())
        content, style = nothing, nothing
        if alpha:
            for name, weight in self.content_layers.items():
                target, scale = self._content[name]
                content = content + weight * content_loss(seen[name], target) / scale
        if beta:
            for name, weight in self.style_layers.items():
                target, scale = self.targets[name]
                style = style + weight * style_loss(gram(seen[name]), target) / scale
        smooth = total_variation(x) if tau else nothing
        return {"content": alpha * content, "style": beta * style, "tv": tau * smooth}

    def loss(self, x: Tensor) -> Tensor:
        """x (1, 3, H, W) in [0, 1] → L (equation 8.13), a scalar."""
        parts = self.parts(x)
        return parts["content"] + parts["style"] + parts["tv"]

    def run(
        self, steps: int = STEPS, optimizer: str = "lbfgs", start: str | Tensor = "content", *,
        coarse: Sequence[tuple[float, int]] = (), lr: float = 0.02, seed: int = 0,
        until: float | None = None,
        on_step: Callable[[int, Tensor, float], None] | None = None,
    ) -> Stylised:  # fmt: skip
        """Go down from ``start``: "content", "style", "noise" (of ``seed``) or a picture.

        coarse: ((share of the size, steps), …) to be gone first, each from where the one before
        ended: large patches of style are found where a step costs little. steps, optimizer, lr,
        until, on_step: see ``descend``. The losses are those at full size; the times hold all.
        Raises ValueError for another start.
        """
        x = self._start(start, seed)
        began = time.perf_counter()
        for share, some in coarse:
            side = [max(SMALLEST, round(share * n)) for n in self.content.shape[-2:]]
            small, first = self.scaled(share), resized(x, side)
            last = descend(small.loss, first, some, optimizer=optimizer, lr=lr).picture
            # Only the change is enlarged: what is finer stays as it is.
            x = (x + _enlarged(last - first, x.shape[-2:])).clamp(0, 1)
        before = time.perf_counter() - began
        found = descend(self.loss, x, steps, optimizer=optimizer, lr=lr, until=until,
                        on_step=on_step)  # fmt: skip
        found.times = [t + before for t in found.times]
        found.seconds += before
        found.picture = found.picture.cpu()
        return found

    def scaled(self, share: float) -> StyleTransfer:
        """The same transfer with both pictures ``share`` times as large."""
        alpha, beta, tau = self.weights
        content, style = (
            resized(x, [max(SMALLEST, round(share * n)) for n in x.shape[-2:]])
            for x in (self.content, self.style)
        )
        return StyleTransfer(
            content, style, content_weight=alpha, style_weight=beta, tv_weight=tau,
            content_layers=self.content_layers, style_layers=self.style_layers,
            network=self.network,
        )  # fmt: skip

    def _start(self, start: str | Tensor, seed: int) -> Tensor:
        if isinstance(start, Tensor):
            return resized(_checked(start, "start").to(self.content), self.content.shape[-2:])
        if start == "content":
            return self.content
        if start == "style":
            return resized(self.style, self.content.shape[-2:])
        if start == "noise":
            return noise(self.content, seed)
        raise ValueError(f"start={start!r}: it is 'content', 'style', 'noise' or a picture.")


def noise(like: Tensor, seed: int = 0) -> Tensor:
    """A picture of the same shape: grey with a tenth of uniform noise, of the seed."""
    generator = torch.Generator().manual_seed(seed)
    return (0.5 + 0.1 * (torch.rand(like.shape, generator=generator) - 0.5)).to(like)


def reconstruct(
    layer: str | Mapping[str, float], picture: Tensor, *, steps: int = STEPS,
    size: int | None = None, tv_weight: float = 1.0, network: Perceptual | None = None,
    seed: int = 0, **options,
) -> Stylised:  # fmt: skip
    """What a layer's features say: from noise to a picture that has the same.

    Mahendran and Vedaldi 2015, https://arxiv.org/abs/1412.0035.
    layer: a name, or {name: weight}. picture: (3, H, W). The loss is the content's alone, and a
    little total variation. ``options`` go to ``descend``. Raises ValueError as StyleTransfer does.
    """
    layers = {layer: 1.0} if isinstance(layer, str) else layer
    task = StyleTransfer(
        picture, picture, size=size, style_weight=0.0, tv_weight=tv_weight, content_layers=layers,
        style_layers={}, network=network,
    )  # fmt: skip
    return task.run(steps, start="noise", seed=seed, **options)


def texture(
    style: Tensor, *, steps: int = STEPS, size: int | None = None, seed: int = 0,
    layers: Mapping[str, float] | None = None, network: Perceptual | None = None, **options,
) -> Stylised:  # fmt: skip
    """From noise to a picture with the style alone: a texture.

    Gatys, Ecker and Bethge 2015, https://arxiv.org/abs/1505.07376.
    style: (3, H, W). ``options`` go to ``StyleTransfer.run``. Raises ValueError as StyleTransfer.
    """
    task = StyleTransfer(style, style, size=size, content_weight=0.0, content_layers={},
                         style_layers=layers, network=network)  # fmt: skip
    return task.run(steps, start="noise", seed=seed, **options)


def _checked(x: Tensor, name: str) -> Tensor:
    if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[0] not in (1, 3):
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{name} must be one picture (3, H, W), not {got}; see data.photo(name).")
    if min(x.shape[-2:]) < SMALLEST:
        raise ValueError(f"{name} is {x.shape[-2]}×{x.shape[-1]}: give {SMALLEST} pixels or more.")
    if not bool(torch.isfinite(x).all()) or float(x.min()) < -1e-4 or float(x.max()) > 1 + 1e-4:
        raise ValueError(f"{name} holds values outside [0, 1]: pictures are from 0 to 1.")
    return x.float().expand(3, -1, -1)


def sized(x: Tensor, size: int | None) -> Tensor:
    """The picture with its shorter side ``size`` long, and the other in proportion."""
    if size is None:
        return x
    if size < SMALLEST:
        raise ValueError(f"size={size} must be {SMALLEST} pixels or more.")
    share = size / min(x.shape[-2:])
    return resized(x, [round(share * n) for n in x.shape[-2:]])


def resized(x: Tensor, to: Sequence[int]) -> Tensor:
    """One picture (3, H, W) at another size (H', W'), smoothed where it becomes smaller."""
    if tuple(x.shape[-2:]) == tuple(to):
        return x
    how: dict = dict(mode="bicubic", align_corners=False, antialias=True)
    return F.interpolate(x[None], size=tuple(to), **how)[0].clamp(0, 1)


def _enlarged(change: Tensor, to: Sequence[int]) -> Tensor:
    how: dict = dict(mode="bilinear", align_corners=False)
    return F.interpolate(change[None], size=tuple(to), **how)[0]


def _scale(value: Tensor) -> float:
    return max(float(value), 1e-12)
