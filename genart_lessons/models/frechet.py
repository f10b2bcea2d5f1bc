"""The Fréchet distance between two sets of pictures, and the judge whose features it is taken in.

Two sets are compared by the mean and the covariance of their features alone: the distance is the
one between two normal distributions that have these. Heusel et al. 2017 take the features from a
large network trained on ImageNet; here they come from a small one trained on the digits.
Everything is computed in float64 on the processor, whatever comes in.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Statistics = tuple[Tensor, Tensor]


def statistics(features: Tensor) -> Statistics:
    """The mean (F,) and the covariance (F, F), divisor N − 1, of features (N, F); float64, CPU.

    Raises ValueError for another shape, for numbers that are not finite, and for N ≤ F: so few
    samples do not span the space, and the covariance says more about N than about them.
    """
    if features.ndim != 2 or features.shape[1] == 0:
        raise ValueError(f"features must be (N, F); these are {tuple(features.shape)}.")
    n, size = features.shape
    if n <= size:
        raise ValueError(
            f"{n} samples are too few for {size} features: the covariance needs more than {size}, "
            "and ten times as many are better."
        )
    x = features.detach().cpu().double()
    if not bool(torch.isfinite(x).all()):
        raise ValueError("some features are NaN or infinite; so is the network that gave them.")
    mu = x.mean(0)
    centred = x - mu
    return mu, centred.T @ centred / (n - 1)


def frechet_distance(mu1: Tensor, sigma1: Tensor, mu2: Tensor, sigma2: Tensor) -> float:
    """d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2·(Σ₁Σ₂)^½), of means (F,) and covariances (F, F).

    The squared Wasserstein-2 distance between N(μ₁, Σ₁) and N(μ₂, Σ₂): Dowson and Landau 1982;
    Heusel et al. 2017, eq. 6. Never negative, and 0 only where both agree. The matrix Σ₁Σ₂ is not
    symmetric, but its eigenvalues are those of Σ₁^½ Σ₂ Σ₁^½ and so the squares of the singular
    values of Σ₁^½ Σ₂^½, whose sum is the trace that is wanted. That way no square root is taken of
    a rounding error, and covariances without full rank do no harm.

    Raises ValueError for shapes that do not fit, numbers that are not finite, and covariances that
    are not symmetric or have a negative eigenvalue.
    """
    mu1, mu2 = _checked_mean(mu1), _checked_mean(mu2)
    if mu1.shape != mu2.shape:
        raise ValueError(f"the means have {len(mu1)} and {len(mu2)} features: not the same space.")
    sigma1, root1 = _checked_root(sigma1, len(mu1))
    sigma2, root2 = _checked_root(sigma2, len(mu1))
    overlap = torch.linalg.svdvals(root1 @ root2).sum()
    d2 = (mu1 - mu2).square().sum() + sigma1.trace() + sigma2.trace() - 2 * overlap
    return max(0.0, float(d2))  # rounding can leave −1e−15


def feature_distance(first: Tensor, second: Tensor) -> float:
    """The Fréchet distance of two sets of features, (N, F) and (M, F)."""
    return frechet_distance(*statistics(first), *statistics(second))


class DigitJudge(nn.Module):
    """A small classifier of digits (B, 1, 32, 32) in [0, 1] whose inner layer gives the features.

    Three convolutions 3×3 of 16, 32 and 64 channels with stride 2, each followed by a SiLU (16×16,
    8×8, 4×4); then a dense layer from 1,024 to ``size`` numbers, a SiLU, and a dense layer to the
    10 logits. The features are what that last layer sees.
    """

    def __init__(self, size: int = 64):
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, size), nn.SiLU())
        self.head = nn.Linear(size, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (B, 10) of pictures (B, 1, 32, 32) in [0, 1]. Raises ValueError."""
        return self.head(self._inner(x))

    @torch.no_grad()
    def features(self, x: Tensor, batch_size: int = 512) -> Tensor:
        """(N, size) float32 for pictures (N, 1, 32, 32) in [0, 1], ``batch_size`` at a time."""
        return torch.cat([self._inner(part) for part in x.split(batch_size)])

    @torch.no_grad()
    def accuracy(self, x: Tensor, y: Tensor) -> float:
        """The share of pictures whose largest logit is that of the label ``y`` (N,)."""
        return float((self(x).argmax(1) == y).float().mean())

    def _inner(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != (1, 32, 32) or len(x) == 0:
            raise ValueError(f"the judge takes (B, 1, 32, 32); these are {tuple(x.shape)}.")
        return self.body(2 * x - 1)


def judge_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of the labels ``y`` (B,) given the pictures ``x``, for ``training.fit``."""
    return F.cross_entropy(model(batch["x"]), batch["y"])


def nearest_distance(x: Tensor, known: Tensor, *, chunk: int = 500) -> Tensor:
    """From each picture of x (N, C, H, W) to the nearest of ``known`` (M, C, H, W), (N,).

    The distance is the root of the mean squared difference of pixels. Samples that lie much nearer
    to the training pictures than new pictures of the same kind do are copies.
    """
    if x.shape[1:] != known.shape[1:] or len(known) == 0:
        raise ValueError(f"{tuple(x.shape)} and {tuple(known.shape)} are not the same pictures.")
    flat = known.flatten(1)
    parts = [torch.cdist(part.flatten(1), flat).amin(1) for part in x.split(chunk)]
    return torch.cat(parts) / flat.shape[1] ** 0.5


def _checked_mean(mu: Tensor) -> Tensor:
    mu = torch.as_tensor(mu).detach().cpu().double()
    if mu.ndim != 1 or len(mu) == 0 or not bool(torch.isfinite(mu).all()):
        raise ValueError(f"a mean must be (F,) and finite; this one is {tuple(mu.shape)}.")
    return mu


def _checked_root(sigma: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Σ as float64, and Σ^½ by its eigenvalues; those that are rounding errors count as 0."""
    sigma = torch.as_tensor(sigma).detach().cpu().double()
    if tuple(sigma.shape) != (size, size):
        raise ValueError(f"the covariance must be ({size}, {size}); it is {tuple(sigma.shape)}.")
    if not bool(torch.isfinite(sigma).all()):
        raise ValueError("a covariance holds NaN or infinite numbers.")
    scale = float(sigma.abs().max())
    if float((sigma - sigma.T).abs().max()) > 1e-6 * scale:
        raise ValueError("a covariance must be symmetric.")
    values, vectors = torch.linalg.eigh((sigma + sigma.T) / 2)
    if float(values.min()) < -1e-6 * scale:
        raise ValueError(f"a covariance has the negative eigenvalue {float(values.min()):.3g}.")
    tiny = size * torch.finfo(torch.float64).eps * scale
    values = torch.where(values > tiny, values, 0.0)
    return sigma, (vectors * values.sqrt()) @ vectors.T
