"""Autoencoders: an encoder E, a decoder D, and what D(E(x)) can and cannot be.

Chapter 02 checks every formula here. As in the articles that it answers, D is the decoder (in
chapter 04 it is the discriminator). Shapes: pictures ``x`` (B, C, H, W) in [0, 1], codes
``z`` = E(x) (B, k), noisy pictures ``y`` = x + σ·ε with standard normal ε, not cut off at 0 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models.vae import Residual

TARGETS = ("clean", "noisy", "fresh")

# -- the pieces ----------------------------------------------------------------------------------


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """‖x − x̂‖² of each picture, (B,): the sum over its numbers, as in equation 2.1."""
    return ((x - x_hat) ** 2).flatten(1).sum(1)


def psnr(x: Tensor, x_hat: Tensor) -> Tensor:
    """10·log₁₀(1/MSE) of each picture in decibels, (B,), higher is nearer: equation 2.16.

    For pixels from 0 to 1. Equal pictures have +∞. Raises ValueError for unequal shapes.
    """
    if x.shape != x_hat.shape or x.ndim < 2:
        raise ValueError(
            f"psnr compares pictures (B, …) of one shape; these are {tuple(x.shape)} and "
            f"{tuple(x_hat.shape)}. Add a first axis to a single one: x[None]."
        )
    return -10 * ((x - x_hat) ** 2).flatten(1).mean(1).log10()


def soft_threshold(u: Tensor, threshold: Tensor | float) -> Tensor:
    """sign(u)·max(|u| − t, 0): equation 2.8, the z that makes ½(z − u)² + t·|z| least."""
    return u.sign() * (u.abs() - threshold).clamp(min=0)


def noisy(x: Tensor, eps: Tensor, sigma: Tensor | float) -> Tensor:
    """y = x + σ·ε. ``sigma``: a number, or one a picture, (B,)."""
    return x + per_picture(sigma, x) * eps


def per_picture(sigma: Tensor | float, x: Tensor) -> Tensor:
    """σ as (B, 1, …), to multiply pictures x (B, …) with. Raises ValueError for another length."""
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    if sigma.ndim > 1 or sigma.ndim == 1 and len(sigma) != len(x):
        raise ValueError(
            f"sigma is a number or one a picture, ({len(x)},); this is {tuple(sigma.shape)}."
        )
    return sigma.expand(len(x)).view(-1, *[1] * (x.ndim - 1))


# -- the losses ----------------------------------------------------------------------------------


def loss(model: nn.Module, batch: dict):
    """What ``training.fit`` takes: the model's own loss, mean over the batch.

    For an autoencoder it is E‖x − D(E(x))‖², equation 2.1, one number for both halves: the encoder
    and the decoder each follow their own part of its gradient.
    """
    return model.loss(batch)


def denoising_loss(
    model: nn.Module, batch: dict, sigma: float = 0.3, target: str = "clean"
) -> Tensor:
    """E‖target − D(E(y))‖² with y = x + σ·ε: equation 2.9 (Vincent et al. 2008).

    batch: ``x`` and standard normal noise ``eps`` of its shape. ``target``: "clean" is x; "noisy"
    is y itself, which asks for the noise, too; "fresh" is x + σ·ε₂ with other noise ``eps2``,
    whose optimum is that of "clean" (Lehtinen et al. 2018). Raises ValueError for another target.
    """
    if target not in TARGETS:
        raise ValueError(f"target={target!r}: it is {', '.join(TARGETS)}.")
    x, y = batch["x"], noisy(batch["x"], batch["eps"], sigma)
    if target == "fresh":
        x = noisy(x, batch["eps2"], sigma)
    return squared_error(y if target == "noisy" else x, model(y)).mean()


# -- principal components --------------------------------------------------------------------------


@dataclass(frozen=True)
class PCA:
    """The best linear code (Eckart and Young 1936; Pearson 1901), computed, not trained.

    ``mean`` (d,); ``components`` (k, d), orthonormal rows; ``variances`` (k,) of the codes, divided
    by N; ``dropped``, the sum of the variances left out: the least mean of ‖x − D(E(x))‖².
    """

    mean: Tensor
    components: Tensor
    variances: Tensor
    dropped: float
    shape: tuple[int, ...]

    @property
    def k(self) -> int:
        return len(self.components)

    def encode(self, x: Tensor) -> Tensor:
        """Codes (B, k)."""
        return (x.flatten(1) - self.mean) @ self.components.T

    def decode(self, z: Tensor) -> Tensor:
        """Pictures (B, *shape)."""
        return (self.mean + z @ self.components).view(-1, *self.shape)

    def __call__(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


def pca(x: Tensor, k: int) -> PCA:
    """The first k principal components of x (N, …). Raises ValueError for a k that there is not.

    Each component's largest entry is positive, so that the signs are the same on every machine.
    """
    flat = x.flatten(1).double()
    n, d = flat.shape
    if not 1 <= k <= min(n, d):
        raise ValueError(f"{n} pictures of {d} numbers have 1 to {min(n, d)} components; k={k}.")
    mean = flat.mean(0)
    variances, vectors = torch.linalg.eigh(torch.cov(flat.T, correction=0).view(d, d))
    variances, vectors = variances.flip(0).clamp(min=0), vectors.flip(1).T
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    rows = (vectors * largest.sign())[:k].to(x.dtype)
    dropped = float(variances[k:].sum())
    return PCA(mean.to(x.dtype), rows, variances[:k].to(x.dtype), dropped, tuple(x.shape[1:]))


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """The angles between the spans of the rows of a (k, d) and b (l, d), in degrees, rising.

    min(k, l) of them; all are 0 where one span holds the other. Small ones from their sine, as
    the cosine of a small angle is 1 to many digits: Björck and Golub 1973, as scipy does it.
    """
    qa, qb = (torch.linalg.qr(m.double().T).Q for m in (a, b))
    if qa.shape[1] < qb.shape[1]:
        qa, qb = qb, qa
    cosines = torch.linalg.svdvals(qa.T @ qb).clamp(max=1)
    sines = torch.linalg.svdvals(qb - qa @ (qa.T @ qb)).clamp(max=1).flip(0)
    angles = torch.where(cosines**2 >= 0.5, sines.asin(), cosines.acos())
    return torch.rad2deg(angles)


# -- autoencoders ----------------------------------------------------------------------------------


class Autoencoder(nn.Module):
    """An encoder E and a decoder D, with a code of k numbers between them: x̂ = D(E(x)).

    A kind of autoencoder gives two networks, ``encoder`` ((B, *shape) → (B, k)) and ``decoder``
    ((B, k) → (B, *shape)). Their pictures may be noisy, so the range is not checked.
    """

    def __init__(self, shape: tuple[int, ...], k: int, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.shape, self.k = tuple(shape), k
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> Tensor:
        """Codes (B, k). Raises ValueError unless x is floating point (B, *shape)."""
        check_shape(x, self.shape)
        return self.encoder(x).to(x.dtype)  # out of mixed precision

    def decode(self, z: Tensor) -> Tensor:
        """Pictures (B, *shape). Raises ValueError unless z is (B, k)."""
        if z.ndim != 2 or z.shape[1] != self.k:
            raise ValueError(f"codes must be (B, {self.k}); these are {tuple(z.shape)}.")
        return self.decoder(z).to(z.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """D(E(x)), like x."""
        return self.decode(self.encode(x))

    def loss(self, batch: dict):
        """E‖x − D(E(x))‖², mean over the batch: equation 2.1."""
        return squared_error(batch["x"], self(batch["x"])).mean()

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """D(E(x)), 256 pictures at a time and without gradients."""
        return torch.cat([self(part) for part in x.split(256)])

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """E(x), 256 pictures at a time and without gradients."""
        return torch.cat([self.encode(part) for part in x.split(256)])


def check_shape(x: Tensor, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless x is floating point, (B, *shape) with B ≥ 1."""
    if tuple(x.shape[1:]) != tuple(shape) or x.ndim != len(shape) + 1 or len(x) == 0:
        wanted = f"(B, {', '.join(map(str, shape))})"
        raise ValueError(f"pictures must have the shape {wanted}; these have {tuple(x.shape)}.")
    if not x.is_floating_point():
        raise ValueError(f"pictures must be floating point; these are {x.dtype}: use x.float().")


class Linear(Autoencoder):
    """Both halves are one matrix and a shift. Its best is PCA's span: Baldi and Hornik 1989.

    ``shape``: (C, H, W), or a whole number d for vectors (B, d).
    """

    def __init__(self, shape: int | tuple[int, ...], k: int):
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        d = math.prod(shape)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(d, k))
        super().__init__(shape, k, encoder, nn.Sequential(nn.Linear(k, d), nn.Unflatten(1, shape)))

    def span(self) -> Tensor:
        """What the decoder can draw, beside its shift: k rows (k, d) that span it."""
        return self.decoder[0].weight.detach().T


class Dense(Autoencoder):
    """Each half is a perceptron of one hidden layer; pixels through a sigmoid."""

    def __init__(self, shape: tuple[int, ...] = (1, 8, 8), k: int = 8, hidden: int = 128):
        d = math.prod(shape)
        encoder = [nn.Flatten(), nn.Linear(d, hidden), nn.SiLU(), nn.Linear(hidden, k)]
        decoder = [nn.Linear(k, hidden), nn.SiLU(), nn.Linear(hidden, d), nn.Sigmoid()]
        decoder.append(nn.Unflatten(1, tuple(shape)))
        super().__init__(shape, k, nn.Sequential(*encoder), nn.Sequential(*decoder))


class Sparse(Autoencoder):
    """A code of more numbers than pixels, most of which are 0: ‖x − D(z)‖² + λ·‖z‖₁, equation 2.7.

    The encoder is a matrix and the soft threshold (2.8), with a threshold for each number that is
    learnt: one step of the iteration that solves for z (Gregor and LeCun 2010). The decoder is
    linear, and its atoms, the columns, have length 1: else it would make them long and the code
    small, and the price would say nothing (Olshausen and Field 1996). On natural patches the atoms
    become edges. ``price`` is λ.
    """

    def __init__(self, shape: tuple[int, ...] = (1, 8, 8), k: int = 128, price: float = 0.1):
        d = math.prod(shape)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(d, k))
        decoder = nn.Sequential(nn.Linear(k, d), nn.Unflatten(1, tuple(shape)))
        super().__init__(shape, k, encoder, decoder)
        self.price = price
        self.log_threshold = nn.Parameter(torch.full((k,), math.log(0.05)))
        with torch.no_grad():  # begins with the atoms' own directions, without a shift
            encoder[1].weight.copy_(self._rows())
            encoder[1].bias.zero_()
            decoder[0].bias.zero_()

    def atoms(self) -> Tensor:
        """The decoder's columns at length 1, as pictures (k, *shape), some of it negative."""
        return self._rows().detach().view(-1, *self.shape)

    def _rows(self) -> Tensor:
        return F.normalize(self.decoder[0].weight, dim=0).T

    def encode(self, x: Tensor) -> Tensor:
        """Codes (B, k), most of whose numbers are exactly 0."""
        check_shape(x, self.shape)
        centred = x.flatten(1) - self.decoder[0].bias
        return soft_threshold(self.encoder(centred).to(x.dtype), self.log_threshold.exp())

    def decode(self, z: Tensor) -> Tensor:
        """Pictures (B, *shape): a sum of the atoms."""
        if z.ndim != 2 or z.shape[1] != self.k:
            raise ValueError(f"codes must be (B, {self.k}); these are {tuple(z.shape)}.")
        return (z @ self._rows() + self.decoder[0].bias).to(z.dtype).view(-1, *self.shape)

    def loss(self, batch: dict):
        """‖x − D(z)‖² + λ·‖z‖₁, mean over the batch, and the two parts."""
        z = self.encode(batch["x"])
        error, size = squared_error(batch["x"], self.decode(z)).mean(), z.abs().sum(1).mean()
        return error + self.price * size, {"error": error, "size": size}

    def used(self, x: Tensor) -> float:
        """How many numbers of a code are not 0, mean over the pictures x (B, *shape)."""
        return float((self.codes(x) != 0).float().sum(1).mean())


class Conv(Autoencoder):
    """Icons (B, 1, 32, 32): convolutions down to 4×4 places and a layer to k numbers, and back."""

    def __init__(self, k: int = 64, widths: tuple[int, int, int] = (32, 64, 96)):
        super().__init__((1, 32, 32), k, _down(k, widths), _up(k, widths))


def _down(k: int, widths: tuple[int, int, int]) -> nn.Sequential:
    a, b, c = widths
    return nn.Sequential(
        nn.PixelUnshuffle(2), nn.Conv2d(4, a, 3, padding=1), nn.SiLU(),  # 2×2 pixels: 4 channels
        nn.Conv2d(a, b, 4, stride=2, padding=1), _smooth(b),
        nn.Conv2d(b, c, 4, stride=2, padding=1), _smooth(c),
        *_act(c), nn.Flatten(), nn.Linear(16 * c, k),
    )  # fmt: skip


def _up(k: int, widths: tuple[int, int, int]) -> nn.Sequential:
    a, b, c = widths
    return nn.Sequential(
        nn.Linear(k, 16 * c), nn.Unflatten(1, (c, 4, 4)), _smooth(c), *_act(c),
        nn.ConvTranspose2d(c, b, 4, stride=2, padding=1), _smooth(b), *_act(b),
        nn.ConvTranspose2d(b, a, 4, stride=2, padding=1), *_act(a),
        nn.Conv2d(a, 4, 3, padding=1), nn.PixelShuffle(2), nn.Sigmoid(),
    )  # fmt: skip


def _smooth(channels: int) -> Residual:
    layers = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)]
    return Residual(*_act(channels), layers[0], nn.SiLU(), layers[1])


def _act(channels: int) -> list[nn.Module]:
    return [nn.GroupNorm(8, channels), nn.SiLU()]


# -- denoisers -------------------------------------------------------------------------------------


class Denoiser(nn.Module):
    """x̂(y): the clean picture, guessed from a noisy one of any size. No bottleneck at all.

    Residual (Zhang et al. 2017): the network draws the noise, and x̂ = y − σ·noise. It takes 2×2
    pixels as one place and is told σ in a channel of its own (Zhang, Zuo and Zhang 2018); most of
    its ``depth`` works at half as many places again (Ronneberger, Fischer and Brox 2015). With
    ``blind`` it is not told σ, and x̂ = y − what it draws. ``sigmas``: the range that it is trained
    for. Its optimum is E[x|y], equation 2.10, and so it knows the score of the noisy pictures:
    ``score``.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 32,
        depth: int = 3,
        *,
        blind: bool = False,
        sigmas: tuple[float, float] = (0.02, 0.8),
    ):
        super().__init__()
        self.channels, self.blind, self.sigmas = channels, blind, sigmas
        told, wide = 4 * channels + (not blind), 2 * width
        self.first = nn.Sequential(nn.Conv2d(told, width, 3, padding=1), _plain(width))
        coarse = [nn.Conv2d(width, wide, 4, stride=2, padding=1), *map(_plain, [wide] * depth)]
        coarse += [nn.SiLU(), nn.ConvTranspose2d(wide, width, 4, stride=2, padding=1)]
        self.coarse = nn.Sequential(*coarse)
        last = nn.Conv2d(width, 4 * channels, 3, padding=1)
        nn.init.zeros_(last.weight)  # begins with x̂ = y
        nn.init.zeros_(last.bias)
        self.last = nn.Sequential(_plain(width), nn.SiLU(), last)

    def forward(self, y: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        """x̂, like y (B, C, H, W). ``sigma``: a number or (B,); a blind one needs none.

        Raises ValueError for other channels, or a σ that is missing or not above 0.
        """
        if y.ndim != 4 or y.shape[1] != self.channels or not y.is_floating_point():
            raise ValueError(
                f"noisy pictures must be floating point (B, {self.channels}, H, W); these are "
                f"{y.dtype}, {tuple(y.shape)}."
            )
        height, width = y.shape[2:]
        whole = F.pad(y, (0, -width % 4, 0, -height % 4), mode="replicate")  # to fours of pixels
        places = F.pixel_unshuffle(whole, 2)
        level: Tensor | float = 1.0
        if not self.blind:
            level = self._level(y, sigma)
            places = torch.cat([places, level.expand(-1, 1, *places.shape[2:])], dim=1)
        h = self.first(places)
        drawn = level * F.pixel_shuffle(self.last(h + self.coarse(h)), 2)
        return (whole - drawn).to(y.dtype)[..., :height, :width]

    def _level(self, y: Tensor, sigma: Tensor | float | None) -> Tensor:
        if sigma is None:
            raise ValueError("this denoiser is told how strong the noise is: give sigma.")
        level = per_picture(sigma, y)
        if not bool((level > 0).all()):
            raise ValueError("sigma must be above 0.")
        return level

    def loss(self, batch: dict) -> Tensor:
        """The share of the noise's power that is left: E[(x − x̂(x + σ·ε))²/σ²].

        batch: ``x``, noise ``eps`` of its shape and ``u`` (B,) uniform in [0, 1), which picks a σ
        from ``sigmas`` for each picture. Dividing by σ² weighs all σ alike; for each σ the optimum
        is still E[x|y].
        """
        low, high = self.sigmas
        sigma = low + (high - low) * batch["u"]
        x_hat = self(noisy(batch["x"], batch["eps"], sigma), sigma)
        return (((batch["x"] - x_hat) / per_picture(sigma, x_hat)) ** 2).mean()

    @torch.no_grad()
    def clean(self, y: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        """x̂ cut off at 0 and 1, 64 pictures at a time and without gradients."""
        levels = [None] * len(y) if sigma is None else per_picture(sigma, y).flatten().tolist()
        parts = []
        for i in range(0, len(y), 64):
            part = levels[i : i + 64]
            told = None if sigma is None else torch.tensor(part, dtype=y.dtype, device=y.device)
            parts.append(self(y[i : i + 64], told))
        return torch.cat(parts).clamp(0, 1)


def _plain(width: int) -> Residual:
    layers = [nn.Conv2d(width, width, 3, padding=1) for _ in range(2)]
    return Residual(nn.SiLU(), layers[0], nn.SiLU(), layers[1])


def score(denoiser, y: Tensor, sigma: float) -> Tensor:
    """∇ log p_σ(y) = (x̂(y) − y)/σ², like y: equation 2.12 (Tweedie; Robbins 1956; Miyasawa 1961).

    ``denoiser``: any x̂(y, σ) that is E[x|y].
    """
    return (denoiser(y, sigma) - y) / sigma**2
