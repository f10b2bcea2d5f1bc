"""Shapes as densities on the plane: pictures as ink, and mixtures whose entropy is known.

A picture is a distribution: throw a dart at the page so that it lands where there is ink, the more
ink the likelier. All that a flow is to be judged by is known then: how likely each point is, and
the entropy, below which no model's mean −log p can fall. Points ``x`` are (B, 2), the second number
upwards; logarithms are in nats, densities per unit of area.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import torch
from torch import Tensor

from genart_lessons import data
from genart_lessons.models.flow import check_points

HALF = 2.0  # a picture's longer side goes from −2 to 2, so that its points are about normal size
LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue look: ITU-R BT.601


class Density(Protocol):
    """What can be drawn, printed and judged here: a shape, a mixture, a flow."""

    def log_prob(self, x: Tensor) -> Tensor: ...


# -- pictures ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Shape:
    """The density of a page with ink: even within a pixel, and in proportion to its ink.

    ``ink`` (H, W), 0 or above, float64; the first row is the top. The page is centred on 0, its
    longer side from −2 to 2. Raises ValueError for ink of another shape, below 0, not finite, or
    none at all.
    """

    ink: Tensor

    def __post_init__(self):
        if self.ink.ndim != 2 or not self.ink.is_floating_point():
            raise ValueError(f"ink must be floats (H, W); it is {tuple(self.ink.shape)}.")
        if not bool(self.ink.isfinite().all()) or bool((self.ink < 0).any()):
            raise ValueError("ink must be finite numbers, 0 or above.")
        if not float(self.ink.sum()) > 0:
            raise ValueError("the picture has no ink: a density needs some.")

    @classmethod
    def from_picture(cls, picture: Tensor, *, invert: bool = False) -> Shape:
        """The shape of a picture (1 or 3, H, W) in [0, 1].

        One channel is ink itself, as in ``data.icons``. Of three, ink is darkness, 1 − (0.299 red +
        0.587 green + 0.114 blue), so white paper has none. invert: ink where there is none.
        Traces of less than 1/50 are paper. Raises ValueError for other shapes and values.
        """
        if picture.ndim != 3 or picture.shape[0] not in (1, 3) or not picture.is_floating_point():
            raise ValueError(f"a picture is floats (1 or 3, H, W); this is {tuple(picture.shape)}.")
        if not bool(picture.isfinite().all()) or not 0 <= picture.min() <= picture.max() <= 1:
            raise ValueError("a picture's values are in [0, 1].")
        picture = picture.detach().cpu().double()
        weights = torch.tensor(LUMA, dtype=torch.float64)[:, None, None]
        ink = picture[0] if len(picture) == 1 else 1 - (weights * picture).sum(0)
        ink = 1 - ink if invert else ink
        return cls(torch.where(ink < 0.02, 0.0, ink))

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) of the page."""
        height, width = self.ink.shape
        x, y = (HALF * side / max(height, width) for side in (width, height))
        return -x, x, -y, y

    @property
    def pixel(self) -> float:
        """The area of one pixel."""
        return (2 * HALF / max(self.ink.shape)) ** 2

    @cached_property
    def _shares(self) -> Tensor:
        """The probability of each pixel, (H·W,), summing to 1."""
        return self.ink.cpu().double().flatten() / self.ink.cpu().double().sum()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent points (n, 2): a pixel by its ink, and a place in it by chance."""
        if n < 1:
            raise ValueError(f"n={n}: draw 1 point or more.")
        u = torch.rand(n, generator=generator, dtype=torch.float64)
        total = self._shares.cumsum(0)
        # ``right``: a share of 0 leaves two equal sums, and such a pixel must never be met.
        which = torch.searchsorted(total, u * total[-1], right=True).clamp(max=len(total) - 1)
        within = torch.rand(n, 2, generator=generator, dtype=torch.float64)
        width = self.ink.shape[1]
        corner = torch.stack([which % width, which // width], dim=1)
        return self._place(corner + within).float()

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (B,): the log of its pixel's share over a pixel's area; −∞ off the ink."""
        check_points(x, "x")
        left, _, _, top = self.extent
        side = math.sqrt(self.pixel)
        place = x.detach().cpu().double()  # MPS has no float64
        column = ((place[:, 0] - left) / side).floor().long()
        row = ((top - place[:, 1]) / side).floor().long()
        height, width = self.ink.shape
        on_page = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        which = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        log = self._shares[which].log() - math.log(self.pixel)
        return torch.where(on_page, log, -math.inf).to(x)

    def entropy(self) -> float:
        """−∫ p log p, exactly: the entropy of the pixels' shares, and the log of their area."""
        p = self._shares
        return float(-torch.special.xlogy(p, p).sum()) + math.log(self.pixel)

    def _place(self, corner: Tensor) -> Tensor:
        """Columns and rows (n, 2), counted from the top left, as points on the plane."""
        left, _, _, top = self.extent
        side = math.sqrt(self.pixel)
        return torch.stack([left + side * corner[:, 0], top - side * corner[:, 1]], dim=1)


def emoji(name: str, *, size: int = 64, invert: bool = False) -> Shape:
    """The shape of an emoji, by its name ("cat face") or itself ("空" gives the kanji's button).

    Darkness is ink. Raises KeyError for one that the course has not.
    """
    pictures = data.emoji("all", size)
    if len(name) == 1 and not name.isascii():
        name = _spoken(name)
    return Shape.from_picture(pictures.x[pictures.find(name)[0]], invert=invert)


def icon(name: str, *, invert: bool = False) -> Shape:
    """The shape of an icon, by its name. Raises KeyError for one that the course has not."""
    pictures = data.icons("all")
    return Shape.from_picture(pictures.x[pictures.find(name)[0]], invert=invert)


def _spoken(character: str) -> str:
    """The name of an emoji, or of the button that shows a kanji."""
    found = unicodedata.name(character, "").lower()
    kanji = found.removeprefix("cjk unified ideograph-")
    return f"squared cjk unified ideograph-{kanji}" if kanji != found else found


# -- mixtures ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Mixture:
    """p(x) = Σ_k w_k N(x; m_k, C_k): ``weights`` (K,), ``means`` (K, 2), ``covariances`` (K, 2, 2).

    All float64. Raises ValueError for other shapes, weights that are not above 0 or do not sum to
    1, and covariances that are none.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self):
        count = len(self.means)
        shapes = {"weights": (count,), "means": (count, 2), "covariances": (count, 2, 2)}
        for name, shape in shapes.items():
            x = getattr(self, name)
            if tuple(x.shape) != shape or x.dtype != torch.float64:
                raise ValueError(f"{name} must be float64 {shape}; it is {tuple(x.shape)}.")
        if not bool((self.weights > 0).all()) or abs(float(self.weights.sum()) - 1) > 1e-9:
            raise ValueError("weights must be above 0 and sum to 1.")
        symmetric = torch.equal(self.covariances, self.covariances.mT)
        if not symmetric or not bool((torch.linalg.eigvalsh(self.covariances) > 0).all()):
            raise ValueError("covariances must be symmetric, with both eigenvalues above 0.")

    def __len__(self) -> int:
        return len(self.weights)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent points (n, 2), float32."""
        if n < 1:
            raise ValueError(f"n={n}: draw 1 point or more.")
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        step = torch.randn(n, 2, 1, generator=generator, dtype=torch.float64)
        root = torch.linalg.cholesky(self.covariances)
        return (self.means[which] + (root[which] @ step)[:, :, 0]).float()

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (B,)."""
        check_points(x, "x")
        root = torch.linalg.cholesky(self.covariances)
        away = (x.detach().cpu().double()[:, None] - self.means)[..., None]
        z = torch.linalg.solve_triangular(root, away, upper=False)[..., 0]
        log_area = root.diagonal(dim1=1, dim2=2).log().sum(1) + math.log(2 * math.pi)
        joint = self.weights.log() - log_area - 0.5 * z.square().sum(2)
        return joint.logsumexp(1).to(x)

    @cached_property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) of a box that all but 10⁻¹⁰ of the points lie in."""
        room = 6.5 * self.covariances.diagonal(dim1=1, dim2=2).sqrt()
        low, high = (self.means - room).amin(0), (self.means + room).amax(0)
        return float(low[0]), float(high[0]), float(low[1]), float(high[1])

    def entropy(self, tolerance: float = 1e-5) -> float:
        """−∫ p log p in nats, by quadrature that is made finer until it stands still.

        The trapezoid rule over the box ``extent``; for a smooth function that ends at 0 its error
        falls faster than any power of the step (Trefethen & Weideman 2014, SIAM Review 56). A grid
        too coarse to meet the heaps would stand still, too, so ∫ p must come out as 1 as well.
        Raises ArithmeticError when it has not settled to ``tolerance`` at 2,000 points a side.
        """
        before = math.nan
        for points in (250, 500, 1000, 2000):
            mass, now = self._quadrature(points)
            if abs(now - before) < tolerance and abs(mass - 1) < tolerance:
                return now
            before = now
        raise ArithmeticError(
            f"the entropy has not settled to {tolerance:g} at 2,000 points a side: the heaps are "
            f"too narrow for so wide a page (∫ p comes out as {mass:.4f})."
        )

    def _quadrature(self, points: int) -> tuple[float, float]:
        """∫ p, which is 1, and −∫ p log p."""
        left, right, bottom, top = self.extent
        x = torch.linspace(left, right, points, dtype=torch.float64)
        y = torch.linspace(bottom, top, points, dtype=torch.float64)
        mass = entropy = 0.0
        for rows in x.split(100):
            log = self.log_prob(torch.cartesian_prod(rows, y))
            mass += float(log.exp().sum())
            entropy -= float((log.exp() * log).sum())
        cell = float(x[1] - x[0]) * float(y[1] - y[0])
        return mass * cell, entropy * cell


def gaussians(
    means: Sequence[Sequence[float]],
    spreads: Sequence[Sequence[float]],
    turns: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
) -> Mixture:
    """A mixture from ``means`` (K, 2), ``spreads`` (K, 2) along its axes and ``turns`` (K,).

    turns: the angle by which each is turned, in radians, against the clock. weights: None: equal;
    they are made to sum to 1.
    """
    centres = torch.tensor(means, dtype=torch.float64)
    angle = torch.tensor(turns or [0.0] * len(centres), dtype=torch.float64)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    half = turn * torch.tensor(spreads, dtype=torch.float64)[:, None]
    covariances = half @ half.mT
    share = torch.tensor(weights or [1.0] * len(centres), dtype=torch.float64)
    return Mixture(share / share.sum(), centres, (covariances + covariances.mT) / 2)


def _two() -> Mixture:
    """Two round heaps, of which the right one holds two thirds."""
    return gaussians([(-1.6, 0.0), (1.6, 0.5)], [(0.5, 0.5), (0.7, 0.7)], weights=[1, 2])


def _ring() -> Mixture:
    """Eight round heaps on a circle."""
    turns = [2 * math.pi * k / 8 for k in range(8)]
    return gaussians([(2 * math.cos(a), 2 * math.sin(a)) for a in turns], [(0.2, 0.2)] * 8)


def _pinwheel() -> Mixture:
    """Five blades, each of seven heaps that bend away as they get farther out."""
    means, spreads, turns = [], [], []
    for blade in range(5):
        for k in range(7):
            r = 1.0 + 0.55 * k
            a = 2 * math.pi * blade / 5 + 0.03 * k * k
            means.append((r * math.cos(a), r * math.sin(a)))
            spreads.append((0.42, 0.14 + 0.035 * k))
            turns.append(a + math.atan(0.06 * k * r / 0.55))
    return gaussians(means, spreads, turns)


def _spiral() -> Mixture:
    """A spiral of forty heaps, two and a half times round."""
    means, turns = [], []
    for k in range(40):
        a = 1.2 + 2 * math.pi * 2.5 * (k / 39) ** 0.6
        r = 0.28 * a
        means.append((r * math.cos(a), r * math.sin(a)))
        turns.append(a + math.atan2(r, 0.28))
    return gaussians(means, [(0.25, 0.13)] * 40, turns, weights=[1 + k / 20 for k in range(40)])


MIXTURES = {"two": _two, "ring": _ring, "pinwheel": _pinwheel, "spiral": _spiral}


@cache
def mixture(name: str) -> Mixture:
    """A known mixture: "two", "ring", "pinwheel" or "spiral". Raises KeyError for another name."""
    if name not in MIXTURES:
        raise KeyError(f"there is no mixture {name!r}; there are {', '.join(MIXTURES)}.")
    return MIXTURES[name]()


# -- prints --------------------------------------------------------------------------------------


def page(
    size: int, extent: tuple[float, float, float, float] = (-HALF, HALF, -HALF, HALF)
) -> Tensor:
    """The middles of the pixels of a page, (H·W, 2), row by row from the top; W = ``size``."""
    left, right, bottom, top = extent
    side = (right - left) / size
    height = max(1, round((top - bottom) / side))
    x = left + side * (torch.arange(size) + 0.5)
    y = top - side * (torch.arange(height) + 0.5)
    return torch.cartesian_prod(y, x).flip(1)


@torch.no_grad()
def density_picture(
    model: Density,
    size: int = 256,
    extent: tuple[float, float, float, float] = (-HALF, HALF, -HALF, HALF),
    *,
    full: float | None = None,
) -> Tensor:
    """exp ``log_prob`` on a page, as ink (1, H, W) in [0, 1].

    full: the density that is as black as ink gets; None: what 99 % of the points fall short of,
    weighed by their density, so that one sharp peak does not make all else pale.
    """
    x = page(size, extent)
    one = next(getattr(model, "parameters", lambda: iter(()))(), x)
    log = torch.cat([model.log_prob(part.to(one)) for part in x.split(16_384)])
    return as_ink(log, size, full=full)


def as_ink(log_density: Tensor, size: int, *, full: float | None = None) -> Tensor:
    """Log densities on a ``page`` of width ``size``, (H·W,), as ink (1, H, W); full: see above."""
    density = log_density.cpu().double().exp()
    if not float(density.sum()) > 0:
        raise ValueError("there is no density on this page: give another extent.")
    if full is None:
        rising = density.sort().values
        share = rising.cumsum(0) / rising.sum()
        full = float(rising[int((share < 0.99).sum().clamp(max=len(rising) - 1))])
    return (density / full).clamp(0, 1).float().reshape(1, -1, size)


def points_picture(
    points: Tensor,
    size: int = 128,
    extent: tuple[float, float, float, float] = (-HALF, HALF, -HALF, HALF),
    *,
    full: float | None = None,
) -> Tensor:
    """Points (N, 2) as ink on a page, (1, H, W) in [0, 1]: how many fall into each pixel.

    full: so many make a pixel black; None: what 99 % of the points share their pixel with at most.
    """
    check_points(points)
    left, right, bottom, top = extent
    side = (right - left) / size
    height = max(1, round((top - bottom) / side))
    x = points.detach().cpu().double()
    column, row = ((x[:, 0] - left) / side).floor(), ((top - x[:, 1]) / side).floor()
    on_page = (row >= 0) & (row < height) & (column >= 0) & (column < size)
    place = (row * size + column)[on_page].long()
    counts = torch.bincount(place, minlength=height * size).double()
    if full is None:
        full = max(1.0, float(counts[place].quantile(0.99))) if len(place) else 1.0
    return (counts / full).clamp(0, 1).float().reshape(1, height, size)
