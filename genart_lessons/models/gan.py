"""Adversarial networks: the two losses of the game, what keeps it in balance, and the networks.

Chapter 04 checks every formula here. Shapes: pictures ``x`` (B, C, H, W) in [0, 1], codes ``z``
(B, latent), standard normal, classes ``y`` (B,). Discriminators give *logits* ``(B,)``: D(x) is
their sigmoid. Chance is never hidden: noise is an argument, or is drawn from a generator that is
one, always on the processor, so that it is the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models.vae import VAE, check_pictures, kl_standard_normal, reparameterise

D_LOSSES = ("cross-entropy", "least-squares", "hinge")
G_LOSSES = ("non-saturating", "minimax", "least-squares", "hinge")

# -- the two losses ------------------------------------------------------------------------------


def discriminator_loss(real: Tensor, fake: Tensor, kind: str = "cross-entropy") -> Tensor:
    """What the discriminator lowers, a scalar, from its logits for real and made pictures, (B,).

    ``"cross-entropy"``: −mean log D(x) − mean log(1 − D(G(z))), equation 4.12, Goodfellow et al.
    2014. ``"least-squares"``: ½ mean (D(x) − 1)² + ½ mean D(G(z))², the logit itself being D, Mao
    et al. 2017, eq. 2 with a = 0, b = 1. ``"hinge"``: Lim and Ye 2017.
    """
    _known(kind, D_LOSSES)
    if kind == "least-squares":
        return 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean()
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor, kind: str = "non-saturating") -> Tensor:
    """What the generator lowers, a scalar, from the logits (B,) of what it has made.

    ``"non-saturating"``: −mean log D(G(z)), equation 4.14. ``"minimax"``: mean log(1 − D(G(z))),
    equation 4.13, which hardly moves while D is confident. ``"least-squares"``: ½ mean
    (D(G(z)) − 1)². ``"hinge"``: −mean logit.
    """
    _known(kind, G_LOSSES)
    if kind == "minimax":
        return -F.softplus(fake).mean()
    if kind == "least-squares":
        return 0.5 * ((fake - 1) ** 2).mean()
    return -fake.mean() if kind == "hinge" else F.softplus(-fake).mean()


def r1_penalty(logits: Tensor, x: Tensor) -> Tensor:
    """mean ‖∇ₓ logit(x)‖² over *real* x (B, …), which must require a gradient; a scalar.

    Half of γ times this is R1, equation 4.23; Mescheder, Geiger and Nowozin 2018, eq. 9.
    """
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return slope.flatten(1).square().sum(1).mean()


def gradient_penalty(critic: Callable, real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    """mean (‖∇ critic(x̂)‖ − 1)² on the lines between real and made points; a scalar.

    x̂ = ε·x + (1 − ε)·x̃, with one ``eps`` in [0, 1] a pair, (B,). Equation 4.22 without λ; Gulrajani
    et al. 2017, eq. 3.
    """
    eps = eps.view(-1, *[1] * (real.ndim - 1))
    between = (eps * real + (1 - eps) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def _known(kind: str, kinds: tuple[str, ...]) -> None:
    if kind not in kinds:
        raise ValueError(f"the loss {kind!r} is unknown; there are {', '.join(kinds)}.")


# -- the pair of networks ------------------------------------------------------------------------


class GAN(nn.Module):
    """A generator z → x and a discriminator x → logit that learn against each other.

    Goodfellow et al. 2014. With ``classes`` both are told the class (B,) of the picture: Mirza and
    Osindero 2014. ``losses`` gives ``training.fit`` the two losses, one for each part's turn.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, latent: int, classes: int = 0
    ):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.latent, self.classes = latent, classes

    def judge(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The discriminator's logits (B,) in full precision, for pictures (of classes y)."""
        return self.discriminator(x, *self._told(y, len(x))).float()

    def make(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Pictures (B, C, H, W) in [0, 1] for codes z (B, latent) (of classes y)."""
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(f"codes must be (B, {self.latent}); these are {tuple(z.shape)}.")
        return self.generator(z, *self._told(y, len(z))).to(z.dtype)

    @torch.no_grad()
    def sample(
        self,
        n: int | None = None,
        *,
        z: Tensor | None = None,
        y: Tensor | int | None = None,
        generator: torch.Generator | None = None,
        truncation: float = 1.0,
    ) -> Tensor:
        """Pictures (n, C, H, W) of random codes, or of the codes ``z`` (n, latent).

        A ``truncation`` below 1 shrinks the codes: tamer and less varied pictures (Brock, Donahue
        and Simonyan 2019, section 3.1, cut the tails off instead).
        """
        if (n is None) == (z is None):
            raise ValueError("give n, or the codes z (n, latent): one of the two.")
        z = torch.randn(n or 1, self.latent, generator=generator) if z is None else z
        device = next(self.parameters()).device
        told = torch.full((len(z),), y) if isinstance(y, int) else y
        return self.make(truncation * z.to(device), None if told is None else told.to(device))

    def losses(
        self, kind: str = "cross-entropy", gamma: float = 0.0, every: int = 8
    ) -> dict[str, Callable]:
        """The loss of each part's turn, for ``training.fit``: discriminator, then generator.

        kind: ``"cross-entropy"`` (the generator's is the non-saturating one), ``"least-squares"``
        or ``"hinge"``. gamma: R1's weight; the penalty is taken every ``every`` steps, ``every``
        times as heavy, which costs less and does the same (Karras et al. 2020, appendix B).
        Batches hold ``x``, ``z`` and, with classes, ``y``.
        """
        _known(kind, D_LOSSES)
        made = "non-saturating" if kind == "cross-entropy" else kind

        def discriminator(model: GAN, batch: dict):
            with torch.no_grad():
                fake = model.make(batch["z"], batch.get("y"))
            penalty = _r1_now(model, batch, gamma, every)
            real, made_up = (model.judge(part, batch.get("y")) for part in (batch["x"], fake))
            return discriminator_loss(real, made_up, kind) + penalty

        def generator(model: GAN, batch: dict):
            y = batch.get("y")
            return generator_loss(model.judge(model.make(batch["z"], y), y), made)

        return {"discriminator": discriminator, "generator": generator}

    def _told(self, y: Tensor | None, n: int) -> tuple[Tensor, ...]:
        if (y is None) != (not self.classes):
            raise ValueError(
                f"this GAN knows {self.classes} classes: give y (B,) with numbers below that."
                if self.classes
                else "this GAN knows no classes: leave y out."
            )
        if y is not None and (y.ndim != 1 or len(y) != n or y.is_floating_point()):
            raise ValueError(f"y must be {n} whole numbers; it is {tuple(y.shape)}, {y.dtype}.")
        return () if y is None else (y,)


def _r1_now(model: GAN, batch: dict, gamma: float, every: int) -> Tensor | float:
    """½·γ·R1, in the steps in which it is its turn, ``every`` times as heavy; else 0."""
    if not gamma or int(batch["step"]) % every:
        return 0.0
    x = batch["x"]
    with torch.autocast(x.device.type, enabled=False):  # slopes of slopes want full precision
        x = x.detach().requires_grad_()
        return 0.5 * gamma * every * r1_penalty(model.judge(x, batch.get("y")), x)


# -- DCGAN ---------------------------------------------------------------------------------------


class Generator(nn.Module):
    """Codes to pictures: a dense layer, then upsampling and convolution until the size is there.

    After DCGAN (Radford, Metz and Chintala 2016), with nearest-neighbour upsampling in place of
    transposed convolutions, which leave a chequerboard (Odena, Dumoulin and Olah 2016).
    ``widths``: channels at 4×4, 8×8, …; the side is 4·2^(len(widths) − 1).
    """

    def __init__(
        self, latent: int, widths: tuple[int, ...] = (128, 64, 32, 16), channels=1, classes: int = 0
    ):
        super().__init__()
        first, last = widths[0], widths[-1]
        self.told = nn.Embedding(classes, latent) if classes else None
        self.dense = nn.Linear(latent * (2 if classes else 1), 16 * first)
        blocks: list[nn.Module] = [nn.Unflatten(1, (first, 4, 4)), *_norm(first)]
        for a, b in pairwise(widths):
            blocks += [nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1), *_norm(b)]
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(last, channels, 3, padding=1))
        self.to(memory_format=torch.channels_last)  # faster convolutions on processors

    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Each pixel before the sigmoid, (B, C, H, W)."""
        if self.told is not None:
            z = torch.cat([z, self.told(y)], dim=1)
        return self.blocks(self.dense(z)).float()

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.logits(z, y).sigmoid()


class Discriminator(nn.Module):
    """Pictures to logits: convolutions that halve the size, down to 4×4, then a dense layer.

    The first halving only folds 2×2 pixels into channels, which costs nothing.
    No batch normalisation: its statistics would tie the pictures of a batch to each other. Instead
    one more channel says how much the pictures of the batch differ (Karras et al. 2018, section 3),
    so that a generator that repeats itself is seen through. With classes, the logit gets a second
    term, the product of the picture's features and its class's vector (Miyato and Koyama 2018).
    """

    def __init__(
        self, widths: tuple[int, ...] = (32, 64, 128), channels: int = 1, classes: int = 0
    ):
        super().__init__()
        first, last = widths[0], widths[-1]
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        layers += [nn.Conv2d(4 * channels, first, 3, padding=1), nn.LeakyReLU(0.2)]
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.blocks = nn.Sequential(*layers)
        self.features = nn.Sequential(
            nn.Conv2d(last + 1, last, 3, padding=1), nn.LeakyReLU(0.2), nn.Flatten()
        )
        self.dense = nn.Linear(16 * last, 1)
        self.told = nn.Embedding(classes, 16 * last) if classes else None
        self.to(memory_format=torch.channels_last)

    def look(self, x: Tensor) -> Tensor:
        """What it sees in pictures: the features at 4×4, (B, widths[-1], 4, 4)."""
        return self.blocks((2 * x - 1).contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.look(x)
        h = self.features(torch.cat([h, _variety(h)], dim=1))
        logits = self.dense(h).squeeze(1)
        return logits if self.told is None else logits + (h * self.told(y)).mean(1)


def _variety(h: Tensor, group: int = 8) -> Tensor:
    """How much the features of a group of pictures differ, as one more channel: (B, 1, H, W)."""
    n = len(h) if len(h) % group else group
    spread = h.float().unflatten(0, (-1, n)).var(1, unbiased=False)
    spread = (spread + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(n)
    return spread.view(-1, 1, 1, 1).expand(-1, 1, *h.shape[2:]).to(h.dtype)


def _norm(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.LeakyReLU(0.2)]


class IconGAN(GAN):
    """Icons (B, 1, 32, 32) from codes of 64 numbers; with ``classes``, of a class."""

    def __init__(self, latent: int = 64, classes: int = 0):
        super().__init__(
            Generator(latent, classes=classes), Discriminator(classes=classes), latent, classes
        )


# -- a VAE with an adversary ---------------------------------------------------------------------


class IconVAE(VAE):
    """Icons (B, 1, 32, 32) with Bernoulli pixels; its decoder is the generator of ``IconGAN``."""

    def __init__(self, latent: int = 64):
        super().__init__((1, 32, 32), latent, _encoder(latent), Generator(latent))

    def decode(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(f"codes must be (B, {self.latent}); these are {tuple(z.shape)}.")
        return self.decoder.logits(z).to(z.dtype)


class IconVAEGAN(GAN):
    """A GAN whose generator is also the decoder of a VAE: Larsen et al. 2016.

    What came back is compared with the original in the *discriminator's features*, not in pixels:
    equation 4.30. The networks are those of ``IconVAE`` and ``IconGAN``.
    """

    def __init__(self, latent: int = 64):
        super().__init__(Generator(latent), Discriminator(), latent)
        self.encoder = _encoder(latent)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``mu`` and ``log_var`` of q(z|x), each (B, latent)."""
        check_pictures(x, (1, 32, 32))
        mu, log_var = self.encoder(x).float().chunk(2, dim=1)
        return mu, log_var

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The picture at the mean of each code, like x: there and back again."""
        return self.make(self.encode(x)[0])

    def losses(
        self,
        kind: str = "cross-entropy",
        gamma: float = 0.0,
        every: int = 8,
        likeness: float = 1.0,
        spread: float = 1.0,
    ) -> dict[str, Callable]:
        """Three turns: discriminator; encoder (likeness + divergence); generator (likeness + GAN).

        Batches hold ``x``, ``z`` for the samples and ``eps`` for the codes. ``likeness`` weighs the
        comparison of features in the generator's turn, γ of Larsen et al. 2016, algorithm 1.
        ``spread``: how far the encoder takes features to scatter about those that come back, 1 in
        equation 4.30; less makes it say more in its code, for a higher price.
        """
        _known(kind, D_LOSSES)
        made = "non-saturating" if kind == "cross-entropy" else kind

        def again(model: IconVAEGAN, batch: dict) -> tuple[Tensor, Tensor]:
            mu, log_var = model.encode(batch["x"])
            x_hat = model.make(reparameterise(mu, log_var, batch["eps"]))
            return x_hat, kl_standard_normal(mu, log_var).mean()

        def unlike(model: IconVAEGAN, x: Tensor, x_hat: Tensor) -> Tensor:
            a, b = (model.discriminator.look(part).float() for part in (x, x_hat))
            return 0.5 * (a.detach() - b).square().flatten(1).sum(1).mean()

        def discriminator(model: IconVAEGAN, batch: dict):
            with torch.no_grad():
                fake = torch.cat([model.make(batch["z"]), again(model, batch)[0]])
            penalty = _r1_now(model, batch, gamma, every)
            return discriminator_loss(model.judge(batch["x"]), model.judge(fake), kind) + penalty

        def encoder(model: IconVAEGAN, batch: dict):
            x_hat, kl = again(model, batch)
            likeness_loss = unlike(model, batch["x"], x_hat)
            return likeness_loss / spread**2 + kl, {"likeness": likeness_loss, "kl": kl}

        def generator(model: IconVAEGAN, batch: dict):
            x_hat, _ = again(model, batch)
            fooled = generator_loss(model.judge(torch.cat([model.make(batch["z"]), x_hat])), made)
            return fooled + likeness * unlike(model, batch["x"], x_hat)

        return {"discriminator": discriminator, "encoder": encoder, "generator": generator}


def _encoder(latent: int, widths: tuple[int, ...] = (32, 64, 128)) -> nn.Sequential:
    """Pictures (B, 1, 32, 32) to 2·latent numbers, μ and log σ²."""
    layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(4, widths[0], 3, padding=1)]
    for a, b in pairwise(widths):
        layers += [*_norm(a), nn.Conv2d(a, b, 4, stride=2, padding=1)]
    last = widths[-1]
    return nn.Sequential(*layers, *_norm(last), nn.Flatten(), nn.Linear(16 * last, 2 * latent)).to(
        memory_format=torch.channels_last
    )
