"""Two explorers in one dimension: the KL of two Gaussians, and the gap below log p(x)."""

from collections.abc import Callable

import numpy as np

from genart_lessons.explore.base import Explorer, slider
from genart_lessons.show.look import INK, LINES, MUTED, PALETTE, PAPER, Picture
from genart_lessons.show.plots import numbers

BLUE, RED, GREEN = PALETTE[:3]


def say(value: float) -> str:
    """Three decimals, a real minus sign, and no minus before 0.000."""
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def log_normal(z, mu, sigma):
    """log N(z; mu, sigma²) in nats, elementwise."""
    return -0.5 * ((z - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)


def two_gaussians(mu: float = 1.0, sigma: float = 0.6, *,
                  title: str = "How far is q from the prior?") -> Explorer:  # fmt: skip
    """q = N(mu, sigma²) against the prior p = N(0, 1): both densities, and KL(q‖p) as an area.

    The area below the axis is where q is smaller than p; the areas' sum is never negative
    (Kingma & Welling 2014, appendix B).
    """
    z = np.linspace(-6, 6, 801)

    def draw(mu, sigma):
        p, q = (np.exp(log_normal(z, m, s)) for m, s in ((0, 1), (mu, sigma)))
        integrand = q * (log_normal(z, mu, sigma) - log_normal(z, 0, 1))
        forward = 0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)
        reverse = 0.5 * (mu**2 + 1) / sigma**2 - 0.5 + np.log(sigma)
        alt = f"mu = {mu:.2f}, sigma = {sigma:.2f}: the divergence is {say(forward)} nats."
        picture = Picture(title, f"{title}: {alt}", 720, 480, layout="constrained")
        top, low = picture.subplots(2, 1, sharex=True, height_ratios=(1, 1))
        top.plot(z, p, color=MUTED, linestyle=LINES[1], label="prior p(z) = N(0, 1)")
        top.plot(z, q, color=BLUE, label="q(z) = N(μ, σ²)")
        top.fill_between(z, q, color=BLUE, alpha=0.12, linewidth=0)
        top.set(title=title, ylabel="density", ylim=(0, max(0.8, q.max() * 1.08)))
        top.legend(loc="upper right")
        look = {"alpha": 0.5, "edgecolor": PAPER, "linewidth": 0}
        low.fill_between(z, integrand.clip(min=0), facecolor=RED, label="adds", **look)
        low.fill_between(z, integrand.clip(max=0), facecolor=GREEN, label="takes away",
                         hatch="///", **look)  # fmt: skip
        low.plot(z, integrand, color=INK, linewidth=1.2)
        low.axhline(0, color=INK, linewidth=0.8)
        reach = max(0.6, np.abs(integrand).max() * 1.15)
        low.set(xlabel="z", ylabel="q log(q / p)", xlim=(-6, 6), ylim=(-min(reach, 0.6), reach))
        low.set_title(f"KL(q‖p) = {say(forward)} nats, the whole area", size=11)
        for ax in (top, low):  # labels of one width: the axes stay where they are
            ax.yaxis.set_major_formatter("{x:.2f}")
        low.legend(loc="upper right")
        return picture, (f"KL(q‖p) = ½(μ² + σ² − 1 − log σ²) = **{say(forward)}** nats; "
                         f"the other way round, KL(p‖q) = {say(reverse)}.")  # fmt: skip

    controls = {"mu": slider("μ of q", mu, -3, 3), "sigma": slider("σ of q", sigma, 0.2, 3)}
    return Explorer(controls, draw, title=title)


def bound(log_joint: Callable, *, z_range=(-4.0, 4.0), mu: float = 0.0, sigma: float = 1.0,
          title: str = "The bound and its gap") -> Explorer:  # fmt: skip
    """log p(x) = ELBO(q) + KL(q ‖ p(z|x)) for one latent number z and q = N(mu, sigma²).

    ``log_joint``: float64 tensor z (M,) → log p(x, z) (M,) for the x at hand, in nats. Its
    posterior should lie within ``z_range``, where it is drawn. ELBO and KL are computed apart,
    each by its own sum over a fine grid (Kingma & Welling 2014, eq. 1–3).
    """
    import torch

    low, high = map(float, z_range)
    widest = (high - low) / 4
    z = np.linspace(low - 6 * widest, high + 6 * widest, 6001)
    dz = z[1] - z[0]
    joint = numbers(log_joint(torch.from_numpy(z)), "explore.bound: log_joint", 1)
    if joint.shape != z.shape:
        raise ValueError(f"explore.bound: log_joint gave {joint.shape} for z of shape {z.shape}.")
    evidence = np.logaddexp.reduce(joint) + np.log(dz)
    posterior = joint - evidence  # log p(z|x)
    seen = (z >= low) & (z <= high)
    if (inside := (np.exp(posterior[seen]) * dz).sum()) < 0.99:
        raise ValueError(f"explore.bound: only {inside:.0%} of the posterior lies in z_range "
                         f"{z_range}; make the range wider.")  # fmt: skip

    def draw(mu, sigma):
        log_q = log_normal(z, mu, sigma)
        q = np.exp(log_q)
        elbo = (q * (joint - log_q)).sum() * dz
        kl = (q * (log_q - posterior)).sum() * dz
        alt = f"log p(x) {say(evidence)} = ELBO {say(elbo)} + KL {say(kl)} nats."
        picture = Picture(title, f"{title}: {alt}", 720, 430, layout="constrained")
        top, bar = picture.subplots(2, 1, height_ratios=(3, 1))
        top.plot(z[seen], np.exp(posterior[seen]), color=MUTED, linestyle=LINES[1],
                 label="true posterior p(z|x)")  # fmt: skip
        top.plot(z[seen], q[seen], color=BLUE, label="q(z) = N(μ, σ²)")
        top.fill_between(z[seen], q[seen], color=BLUE, alpha=0.12, linewidth=0)
        most = 1.5 * np.exp(posterior.max())
        top.set(title=title, xlabel="z", ylabel="density", xlim=(low, high), ylim=(0, most))
        top.legend(loc="upper right")
        _split(bar, evidence, elbo, kl)
        return picture, (f"log p(x) = **{say(evidence)}** = ELBO {say(elbo)} + KL {say(kl)} nats. "
                         "Only the split moves.")  # fmt: skip

    step = (high - low) / 80
    controls = {"mu": slider("μ of q", mu, low, high, step),
                "sigma": slider("σ of q", sigma, step, widest, step / 2)}  # fmt: skip
    return Explorer(controls, draw, title=title)


def _split(ax, evidence, elbo, kl, shown: float = 4.0) -> None:
    """One bar up to log p(x): the ELBO's part, then the gap. ``shown``: nats left of log p(x)."""
    left = evidence - shown
    seen = max(elbo, left)  # an ELBO further down is cut off, and said so
    ax.barh(0, seen - left, left=left, color=BLUE, height=0.5)
    ax.barh(0, evidence - seen, left=seen, color=RED, alpha=0.6, hatch="///", edgecolor=PAPER,
            height=0.5)  # fmt: skip
    ax.axvline(evidence, color=INK, linewidth=2)
    note = f"ELBO {say(elbo)}" if elbo > left else f"← ELBO {say(elbo)}"
    ax.text(left + 0.05, 0.42, note, color=BLUE, weight="bold", size=10)
    ax.text(evidence - 0.05, 0.42, f"KL = {say(kl)}", color=RED, weight="bold", ha="right")
    ax.text(evidence + 0.04, 0, f"log p(x)\n{say(evidence)}", va="center")
    ax.set(xlim=(left, evidence + shown / 8), ylim=(-0.4, 0.75), yticks=[], xlabel="nats")
    ax.grid(False)
    ax.spines["left"].set_visible(False)
