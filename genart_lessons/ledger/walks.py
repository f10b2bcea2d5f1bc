"""Experiments on diffusion, where everything can be counted or is small (chapter 07)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genart_lessons import data
from genart_lessons.ledger.evidence import Seen
from genart_lessons.models.diffusion import Schedule

CENTRES = torch.tensor([-2.0, 2.0], dtype=torch.float64)  # two kinds of pictures, of one pixel
SD = 0.3


def _score(x: Tensor, keep: Tensor, kind: int | None) -> Tensor:
    """∂ log q(x_t | kind)/∂x_t of the noised mixture, exactly; None: of both kinds, ½ each."""
    var = keep * SD**2 + 1 - keep
    apart = keep.sqrt() * CENTRES - x[:, None]  # (N, 2)
    if kind is not None:
        return apart[:, kind] / var
    share = (-(apart**2) / (2 * var)).softmax(1)
    return (share * apart).sum(1) / var


def _reverse(kind: int | None, n: int = 2000) -> Tensor:
    """DDIM's walk back from noise, with the exact score, 100 steps."""
    kept = Schedule.from_betas(torch.linspace(1e-3, 0.1, 100)).alpha_bar
    x = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t in range(100, 0, -1):
        eps = -(1 - kept[t]).sqrt() * _score(x, kept[t], kind)
        clean = (x - (1 - kept[t]).sqrt() * eps) / kept[t].sqrt()
        x = kept[t - 1].sqrt() * clean + (1 - kept[t - 1]).sqrt() * eps
    return x


def the_condition_is_heard() -> Seen:
    """S16: the share of the wanted kind, with and without the condition in the reverse walk."""
    told, untold = (float((_reverse(kind) > 0).double().mean()) for kind in (1, None))
    return Seen(
        told > 0.99,
        f"with the condition in every step {told:.1%} of 2,000 samples are of the kind asked for",
        0.45 < untold < 0.55,
        f"without it {untold:.1%}",
    )


def the_literal_loss_paints_the_mean() -> Seen:
    """S15: a network from noise to unrelated targets, and one that is asked for the noise."""
    g = torch.Generator().manual_seed(0)
    kind = torch.randint(2, (4000,), generator=g)
    x = (CENTRES[kind] + SD * torch.randn(4000, generator=g, dtype=torch.float64))[:, None]
    x = x.float()
    z = torch.randn(x.shape, generator=g)
    literal = _fitted(z, x, g)(z)
    eps, keep = torch.randn(x.shape, generator=g), 0.5
    noisy = keep**0.5 * x + (1 - keep) ** 0.5 * eps
    guess = _fitted(noisy, eps, g)(noisy)
    left = float(((guess - eps) ** 2).mean() / eps.var())
    spread = float(literal.std() / x.std())
    return Seen(
        spread < 0.2 and abs(float(literal.mean() - x.mean())) < 0.3,
        f"fitted to targets as printed, the network paints the mean: its pictures spread "
        f"{spread:.0%} as much as the data",
        left < 0.6,
        f"asked for the noise in a picture it finds all but {left:.0%}: there is an answer",
        f"the printed loss at its least: pictures near {float(literal.mean()):.2f}, where the data "
        f"are near −2 or 2",
    )


def _fitted(x: Tensor, y: Tensor, g: torch.Generator, steps: int = 400) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(x.shape[1], 32), nn.SiLU(), nn.Linear(32, y.shape[1]))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(steps):
        rows = torch.randint(len(x), (256,), generator=g)
        loss = ((net(x[rows]) - y[rows]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.requires_grad_(False)


def nothing_forward_is_estimated() -> Seen:
    """S15: how the likelihood of x_0 depends on the forward and on the reverse chain's tables.

    Two shades, two steps: log p(x_0) = log Σ p(x_2) p(x_1|x_2) p(x_0|x_1); the bound (7.16) takes
    the forward chain q as well.
    """
    g = torch.Generator().manual_seed(1)

    def table(*shape: int) -> Tensor:
        return torch.rand(shape, generator=g, dtype=torch.float64).softmax(-1)

    p_2, back = table(2), [table(2, 2).requires_grad_() for _ in range(2)]
    q = [table(2).requires_grad_(), table(2, 2).requires_grad_()]
    joint = p_2[None, :] * back[0].T * back[1][:, :1]  # (x_1, x_2), for x_0 = 0
    evidence = joint.sum().log()
    road = q[0][:, None] * q[1]
    bound = (road.detach() * (joint.log() - road.detach().log())).sum()
    by_q = torch.autograd.grad(evidence, q, allow_unused=True, retain_graph=True)
    by_p = torch.autograd.grad(evidence, back, retain_graph=True)
    slope = float(torch.stack([d.abs().max() for d in by_p]).max())
    gap = float((evidence - bound).detach())
    return Seen(
        all(d is None for d in by_q) and gap > 0,
        "the likelihood of the data contains no table of the forward chain: there is nothing in it "
        "to estimate",
        slope > 0.01,
        f"by the reverse chain's tables its derivative is up to {slope:.2f}; and the bound lies "
        f"{gap:.3f} nats below it",
        "change the forward tables: log p(x₀) stays as it is. Change the reverse ones: it moves",
    )


def latent_diffusion_has_no_critic() -> Seen:
    """S6: what the second paper describes, at the size of digits: an autoencoder, and a denoiser of
    its codes. There is one network that learns from one loss, and no discriminator."""
    digits = data.digits("train").x.flatten(1)
    mean = digits.mean(0)
    _, size, axes = torch.linalg.svd(digits - mean, full_matrices=False)
    scale = size[:12] / len(digits) ** 0.5
    codes = (digits - mean) @ axes[:12].T / scale
    kept = Schedule.from_betas(torch.linspace(1e-3, 0.12, 80)).alpha_bar.float()
    net = _denoiser(codes, kept)
    noise = torch.randn(600, 12, generator=torch.Generator().manual_seed(3))
    x = noise
    for t in range(80, 0, -1):
        at = torch.full((600, 1), t / 80)
        eps = net(torch.cat([x, at, at**2, kept[t].expand(600, 1)], 1))
        clean = (x - (1 - kept[t]).sqrt() * eps) / kept[t].sqrt()
        x = kept[t - 1].sqrt() * clean + (1 - kept[t - 1]).sqrt() * eps
    made, raw = ((z * scale) @ axes[:12] + mean for z in (x, noise))
    near = [float(torch.cdist(part, digits).min(1).values.mean())
            for part in (made, raw, data.digits("test").x.flatten(1))]  # fmt: skip
    spread = float(made.var(0).sum() / digits.var(0).sum())
    return Seen(
        near[0] < near[1] - 0.1 and 0.4 < spread < 1.2,
        f"codes of digits, denoised from noise by one network and one squared error: a sample is "
        f"{near[0]:.2f} from the nearest known digit (unseen real ones {near[2]:.2f}), and they "
        f"vary {spread:.0%} as much as digits do",
        near[1] > near[2],
        f"random codes of the same autoencoder, not denoised: {near[1]:.2f}; it is the denoiser "
        "that generates",
        "a latent diffusion model that draws digits, and in which no network plays against another",
    )


def _denoiser(codes: Tensor, kept: Tensor, steps: int = 1500) -> nn.Module:
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    k = codes.shape[1]
    net = nn.Sequential(
        nn.Linear(k + 3, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, k)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    last = len(kept) - 1
    for _ in range(steps):
        x = codes[torch.randint(len(codes), (128,), generator=g)]
        t = torch.randint(1, last + 1, (128, 1), generator=g)
        eps, keep = torch.randn(x.shape, generator=g), kept[t]
        at = t / last
        noisy = keep.sqrt() * x + (1 - keep).sqrt() * eps
        loss = ((net(torch.cat([noisy, at, at**2, keep], 1)) - eps) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.requires_grad_(False)
