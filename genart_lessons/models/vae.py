"""Variational autoencoders: the bound and its terms, then four models that raise it.

Chapter 03 checks every formula here. Shapes: pictures ``x`` (B, C, H, W) in [0, 1], codes ``z``,
their means ``mu``, log-variances ``log_var`` and noise ``eps`` (B, latent). Everything that is
measured comes per picture, (B,), in nats. Chance is never hidden: noise is an argument, or is
drawn from a generator that is one.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# -- the pieces ----------------------------------------------------------------------------------


def reparameterise(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """z = μ + σ·ε, a draw from N(μ, σ²) that gradients pass through: equation 3.12.

    All (B, latent); ``eps`` is standard normal. Kingma and Welling 2014, section 2.4.
    """
    return mu + torch.exp(0.5 * log_var) * eps


def kl_per_unit(mu: Tensor, log_var: Tensor) -> Tensor:
    """D_KL(N(μ, σ²) ‖ N(0, 1)) of each latent unit, (B, latent), never negative: equation 3.7."""
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def kl_standard_normal(mu: Tensor, log_var: Tensor) -> Tensor:
    """D_KL(q(z|x) ‖ N(0, I)), (B,): the sum over the latent units, equation 3.11."""
    return kl_per_unit(mu, log_var).sum(-1)


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """Σ x·log x̂ + (1 − x)·log(1 − x̂) with x̂ = sigmoid(logits), (B,): equation 3.15.

    For black-and-white pixels this is log p(x|z). For grey levels it is minus the cross-entropy
    with soft targets, as in PyTorch's example: a good training signal and a fair yardstick
    between models, but not the logarithm of a density that integrates to 1 over [0, 1].
    """
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def gaussian_log_likelihood(x_hat: Tensor, x: Tensor, log_sigma2: Tensor | float) -> Tensor:
    """log N(x; x̂, σ²·I), (B,): equation 3.16. One variance for all pixels, as its logarithm."""
    log_sigma2 = torch.as_tensor(log_sigma2, dtype=x_hat.dtype, device=x_hat.device)
    per_pixel = (x - x_hat) ** 2 / log_sigma2.exp() + log_sigma2 + math.log(2 * math.pi)
    return -0.5 * per_pixel.flatten(1).sum(1)


# -- the model -----------------------------------------------------------------------------------


class VAE(nn.Module):
    """An encoder q(z|x) = N(μ, σ²), a prior p(z) = N(0, I) and a decoder p(x|z).

    A kind of VAE gives ``encoder`` (pictures → 2·latent numbers, μ and log σ²) and ``decoder``
    (codes → logits or means), and says in ``log_likelihood`` and ``picture`` what the decoder's
    numbers mean. Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014.
    """

    def __init__(self, shape: tuple[int, ...], latent: int, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.shape, self.latent = tuple(shape), latent
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``mu`` and ``log_var`` of q(z|x), each (B, latent), for x (B, C, H, W) in [0, 1]."""
        check_pictures(x, self.shape)
        mu, log_var = self.encoder(x).to(x.dtype).chunk(2, dim=1)  # out of mixed precision
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """The decoder's numbers (B, C, H, W) for codes (B, latent): logits, or means x̂."""
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(f"codes must be (B, {self.latent}); these are {tuple(z.shape)}.")
        return self.decoder(z).to(z.dtype)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), (B,): of Bernoulli pixels, unless a kind of VAE says otherwise."""
        return bernoulli_log_likelihood(self.decode(z), x)

    def picture(self, z: Tensor) -> Tensor:
        """The mean picture of p(x|z), (B, C, H, W) in [0, 1]."""
        return self.decode(z).sigmoid()

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """One draw's log p(x|z), (B,), and the divergence of each latent unit, (B, latent)."""
        mu, log_var = self.encode(x)
        z = reparameterise(mu, log_var, eps)
        return self.log_likelihood(x, z), kl_per_unit(mu, log_var)

    def loss(self, batch: dict, beta: float = 1.0, free_bits: float = 0.0):
        """``loss(self, batch, beta, free_bits)``, see there."""
        return loss(self, batch, beta, free_bits)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The picture at the mean of each code, like x: there and back again."""
        return self.picture(self.encode(x)[0])

    @torch.no_grad()
    def sample(
        self,
        n: int | None = None,
        *,
        eps: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Pictures (n, C, H, W) of codes from the prior, or from the noise ``eps`` (n, latent).

        A ``temperature`` below 1 keeps the codes nearer to the middle: tamer, and less varied.
        """
        if (n is None) == (eps is None):
            raise ValueError("give n, or the noise eps (n, latent): one of the two.")
        if eps is None:
            eps = torch.randn(n, self.latent, generator=generator)
        return self.picture(temperature * eps.to(next(self.parameters()).device))


def loss(model: nn.Module, batch: dict, beta: float = 1.0, free_bits: float = 0.0):
    """Minus the bound, mean over the batch: −log p(x|z) + β·D_KL. What ``training.fit`` takes.

    batch: ``x`` (B, C, H, W) and the noise ``eps`` (B, latent). ``beta`` = 1 is the bound itself;
    Higgins et al. 2017 weigh the price. ``free_bits`` = λ: below λ nats (mean over the batch) a
    latent unit's price no longer falls, so giving it up gains nothing: equation 3.26, Kingma et
    al. 2016, eq. 15. Returns the loss and its parts, ``recon`` and ``kl``, as they are without β
    and λ.
    """
    log_px, kl = model(batch["x"], batch["eps"])
    recon, kl = -log_px.mean(), kl.mean(0)
    price = kl.clamp(min=free_bits).sum() if free_bits else kl.sum()
    return recon + beta * price, {"recon": recon, "kl": kl.sum()}


# -- what is measured ----------------------------------------------------------------------------


def elbo_terms(model: VAE, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x|z) at one draw, and D_KL(q(z|x) ‖ p(z)), each (B,): their difference is the bound."""
    log_px, kl = model(x, eps)
    return log_px, kl.sum(1)


@torch.no_grad()
def negative_elbo(model: VAE, x: Tensor, *, draws: int = 32, seed: int = 0) -> Tensor:
    """Minus the bound of every picture, (B,), in nats: the mean over ``draws`` codes each.

    Its own mean is the named result; its standard deviation / √B is that mean's standard error.
    """
    generator, total = torch.Generator().manual_seed(seed), 0.0
    for _ in range(draws):
        eps = torch.randn(len(x), model.latent, generator=generator).to(x.device)
        log_px, kl = elbo_terms(model, x, eps)
        total = total + (kl - log_px) / draws
    return total


@torch.no_grad()
def iwae_bound(
    model: VAE,
    x: Tensor,
    k: int,
    *,
    chunk: int = 64,
    generator: torch.Generator | None = None,
) -> Tensor:
    """L_k = E[log (1/k) Σ p(x, z_i)/q(z_i|x)], one estimate for every picture, (B,).

    k = 1 is the ELBO; it rises with k towards log p(x). ``chunk`` codes at a time are held in
    memory. Burda, Grosse and Salakhutdinov 2016, eq. 8.
    """
    if k < 1 or chunk < 1:
        raise ValueError(f"k={k} and chunk={chunk} must be 1 or more.")
    mu, log_var = model.encode(x)
    total = torch.full_like(mu[:, 0], -math.inf)
    for start in range(0, k, chunk):
        n = min(chunk, k - start)
        eps = torch.stack([torch.randn(mu.shape, generator=generator) for _ in range(n)]).to(mu)
        z = reparameterise(mu, log_var, eps)
        # log p(z) − log q(z|x): the constants of the two normals cancel.
        log_ratio = 0.5 * (eps**2 + log_var - z**2).sum(-1)
        log_px = model.log_likelihood(x.expand(n, *x.shape).flatten(0, 1), z.flatten(0, 1))
        log_w = log_px.view(n, -1) + log_ratio
        total = torch.logaddexp(total, log_w.logsumexp(0))
    return total - math.log(k)


def active_units(mu: Tensor, threshold: float = 0.01) -> int:
    """How many latent units carry something: the variance over pictures of E_q[z_j] exceeds 0.01.

    ``mu``: the codes' means of many pictures, (N, latent). Burda et al. 2016, section 5.2.
    """
    if mu.ndim != 2 or len(mu) < 2:
        raise ValueError(f"mu must be (N, latent) with N ≥ 2; it is {tuple(mu.shape)}.")
    return int((mu.var(0) > threshold).sum())


def draw_like(codes: Tensor, eps: Tensor) -> Tensor:
    """Noise ``eps`` (n, latent) becomes codes (n, latent) that lie as ``codes`` (N, latent) do.

    They follow the normal distribution of the codes' own mean and covariance, which fills the
    place of the prior where the two differ: Ghosh et al. 2020, section 4. Each unit may have unit
    variance and the code as a whole still lie on a small part of the prior, because units move
    together; elsewhere the decoder has never been.
    """
    if codes.ndim != 2 or len(codes) <= codes.shape[1]:
        raise ValueError(
            f"give more codes than their {codes.shape[-1]} dimensions; {len(codes)} came."
        )
    slack = 1e-4 * torch.eye(codes.shape[1]).to(codes)  # keeps a flat direction from failing
    return codes.mean(0) + eps.to(codes) @ torch.linalg.cholesky(torch.cov(codes.T) + slack).T


def check_pictures(x: Tensor, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless x is a float (B, *shape), every pixel a number in [0, 1]."""
    wanted = f"(B, {', '.join(map(str, shape))})"
    if tuple(x.shape[1:]) != tuple(shape) or len(x) == 0:
        raise ValueError(f"pictures must have the shape {wanted}; these have {tuple(x.shape)}.")
    if not x.is_floating_point():
        raise ValueError(f"pictures must be floating point in [0, 1]; these are {x.dtype}.")
    low, high = torch.stack(x.detach().aminmax()).tolist()
    if not (low >= 0 and high <= 1):  # written so that NaN fails too
        raise ValueError(
            f"pixels must be numbers from 0 to 1; these run from {low:.4g} to {high:.4g}. "
            "Divide by the largest value (16 for the digits, 255 for 8-bit pictures)."
        )


# -- digits --------------------------------------------------------------------------------------


class Residual(nn.Module):
    """x + f(x), where f is a few layers that keep the shape. He et al. 2016."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.f = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x)


class DigitVAE(VAE):
    """Digits (B, 1, 8, 8), Bernoulli pixels. Each way: a layer, a residual block, a layer.

    While training, a tenth of the pixels is hidden from the encoder (dropout), so that it cannot
    learn 1,500 pictures by heart.
    """

    def __init__(self, latent: int = 8, hidden: int = 128):
        encoder = [nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, hidden), _dense(hidden)]
        encoder += [nn.SiLU(), nn.Linear(hidden, 2 * latent)]
        decoder = [nn.Linear(latent, hidden), _dense(hidden)]
        decoder += [nn.SiLU(), nn.Linear(hidden, 64), nn.Unflatten(1, (1, 8, 8))]
        super().__init__((1, 8, 8), latent, nn.Sequential(*encoder), nn.Sequential(*decoder))


def _dense(width: int) -> Residual:
    layers = [nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)]
    return Residual(*layers)


class PixelVAE(VAE):
    """Digits pixel by pixel: a decoder so strong that it can do without the code.

    The pixels come in reading order, and each one's logit sees z *and all earlier pixels*:
    log p(x|z) = Σ log p(x_i | x_<i, z). Left to itself such a model ignores z, and the bound is
    all the better for it: posterior collapse (Bowman et al. 2016; Chen et al. 2017). While it
    trains and is measured the true earlier pixels are given (teacher forcing); ``picture`` draws
    one pixel after the other.
    """

    def __init__(self, latent: int = 8, hidden: int = 128, units: int = 16):
        encoder = [nn.Flatten(), nn.Linear(64, hidden), nn.SiLU(), nn.Linear(hidden, hidden)]
        encoder += [nn.SiLU(), nn.Linear(hidden, 2 * latent)]
        super().__init__((1, 8, 8), latent, nn.Sequential(*encoder), nn.Linear(latent, 64 * units))
        self.past = nn.Linear(64, 64 * units)  # each pixel has so many units of its own …
        earlier = torch.ones(64, 64).tril(-1).repeat_interleave(units, dim=0)
        self.register_buffer("earlier", earlier)  # … which see the earlier pixels alone
        self.out = nn.Parameter(torch.randn(64, units) / units**0.5)
        self.bias = nn.Parameter(torch.zeros(64))

    def logits(self, x: Tensor, z: Tensor) -> Tensor:
        """Every pixel's logit given z and the pixels before it in x, both at once: (B, 1, 8, 8)."""
        past = F.linear(x.flatten(1), self.past.weight * self.earlier, self.past.bias)
        h = F.silu(past + self.decode(z)).unflatten(1, self.out.shape)
        return ((h * self.out).sum(2) + self.bias).view(-1, 1, 8, 8)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return bernoulli_log_likelihood(self.logits(x, z), x)

    def picture(self, z: Tensor) -> Tensor:
        """Grey levels (B, 1, 8, 8), each pixel's mean given z and the means before it."""
        x = z.new_zeros(len(z), 64)
        for i in range(64):
            logit = self.logits(x, z).flatten(1)[:, i]
            x = torch.where(torch.arange(64, device=z.device) == i, logit.sigmoid()[:, None], x)
        return x.view(-1, 1, 8, 8)


# -- colour emoji ---------------------------------------------------------------------------------


class EmojiVAE(VAE):
    """Emoji (B, 3, 64, 64), Gaussian pixels around x̂ with one variance σ² for all of them.

    σ² is not chosen by hand: the best one is the mean squared error itself (equation 3.18), so
    while training each batch uses its own, and the buffer ``log_sigma2`` follows it; evaluation
    uses the buffer. This weighs the two terms as the bound wants them. Rybkin, Daniilidis and
    Levine 2021.
    """

    def __init__(self, latent: int = 96, widths: tuple[int, ...] = (32, 64, 96, 128)):
        first, last = widths[0], widths[-1]
        down = [nn.PixelUnshuffle(2), _conv(12, first)]  # 2×2 pixels become 12 channels
        for a, b in pairwise(widths):
            down += [_smooth(a), nn.Conv2d(a, b, 4, stride=2, padding=1)]
        down += [_smooth(last), *_act(last), nn.Flatten(), nn.Linear(16 * last, 2 * latent)]
        up = [nn.Linear(latent, 16 * last), nn.Unflatten(1, (last, 4, 4)), _smooth(last)]
        for a, b in pairwise(widths[::-1]):
            up += [nn.Upsample(scale_factor=2), _conv(a, b), _smooth(b)]
        up += [*_act(first), nn.Upsample(scale_factor=2), _conv(first, 24), nn.SiLU(), _conv(24, 3)]
        super().__init__((3, 64, 64), latent, nn.Sequential(*down), nn.Sequential(*up))
        self.to(memory_format=torch.channels_last)  # 1.2 times faster on a processor
        self.register_buffer("log_sigma2", torch.tensor(-2.0))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        x_hat = self.decode(z)
        if not self.training:
            return gaussian_log_likelihood(x_hat, x, self.log_sigma2)
        best = F.mse_loss(x_hat, x).detach().log()
        self.log_sigma2.lerp_(best, 0.05)
        return gaussian_log_likelihood(x_hat, x, best)

    def picture(self, z: Tensor) -> Tensor:
        return self.decode(z).clamp(0, 1)

    @torch.no_grad()
    def fit_noise(self, x: Tensor, seed: int = 0) -> "EmojiVAE":
        """Set σ² to the best value for x (N, 3, 64, 64), at one draw a picture; after training."""
        generator, error = torch.Generator().manual_seed(seed), torch.zeros((), device=x.device)
        for part in x.split(128):
            eps = torch.randn(len(part), self.latent, generator=generator).to(part)
            x_hat = self.decode(reparameterise(*self.encode(part), eps))
            error = error + F.mse_loss(x_hat, part) * len(part) / len(x)
        self.log_sigma2.copy_(error.log())
        return self


def _conv(channels: int, out: int | None = None) -> nn.Conv2d:
    return nn.Conv2d(channels, out or channels, 3, padding=1)


def _smooth(channels: int) -> Residual:
    return Residual(*_act(channels), _conv(channels), *_act(channels), _conv(channels))


def _act(channels: int) -> list[nn.Module]:
    return [nn.GroupNorm(8, channels), nn.SiLU()]


# -- a model whose log p(x) is known -----------------------------------------------------------


class LinearVAE(VAE):
    """x = W·z + b + σ·noise: the one decoder whose log p(x) is known (Tipping and Bishop 1999).

    x is any (B, D), not only pixels. The encoder is as simple as the true posterior: a linear
    mean, and one variance for every x. Lucas et al. 2019.
    """

    def __init__(self, dim: int, latent: int):
        super().__init__((dim,), latent, nn.Linear(dim, latent), nn.Linear(latent, dim))
        self.log_var = nn.Parameter(torch.zeros(latent))
        self.log_sigma2 = nn.Parameter(torch.zeros(()))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu = self.encoder(x)
        return mu, self.log_var.expand_as(mu)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return gaussian_log_likelihood(self.decoder(z), x, self.log_sigma2)

    def picture(self, z: Tensor) -> Tensor:
        return self.decoder(z)

    def log_px(self, x: Tensor) -> Tensor:
        """The exact log p(x), (B,)."""
        weight, bias = self.decoder.weight, self.decoder.bias
        return linear_gaussian_log_px(x, weight, bias, self.log_sigma2)


def linear_gaussian_log_px(x: Tensor, weight: Tensor, bias: Tensor, log_sigma2: Tensor) -> Tensor:
    """log N(x; b, W·Wᵀ + σ²·I), (B,): z integrated out exactly. W is (D, latent)."""
    noise = log_sigma2.exp() * torch.eye(len(bias)).to(weight)
    return torch.distributions.MultivariateNormal(bias, weight @ weight.T + noise).log_prob(x)


def linear_gaussian_posterior(
    x: Tensor, weight: Tensor, bias: Tensor, log_sigma2: Tensor
) -> tuple[Tensor, Tensor]:
    """The exact p(z|x): its mean (B, latent) and its covariance (latent, latent)."""
    sigma2 = log_sigma2.exp()
    precision = torch.eye(weight.shape[1]).to(weight) + weight.T @ weight / sigma2
    covariance = torch.linalg.inv(precision)
    return (x - bias) @ weight @ covariance / sigma2, covariance
