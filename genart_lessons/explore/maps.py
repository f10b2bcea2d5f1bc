"""Two explorers of chapter 01: a flow, part of the way along; and three divergences at once."""

from __future__ import annotations

import numpy as np

from genart_lessons.explore.base import Explorer, slider
from genart_lessons.explore.game import choice
from genart_lessons.explore.gaussians import log_normal, say
from genart_lessons.show import maps as drawn
from genart_lessons.show.look import INK, LINES, MUTED, PALETTE, Picture, demand

VIEWS = ("points", "grid")
POINTS = 6_000


def maps(model, *, depth: float | None = None, view: str = "points", seed: int = 0,
         extent=(-3, 3), title: str = "From noise to a shape") -> Explorer:  # fmt: skip
    """A flow as far as a slider says: 0 is the noise, each whole number one layer more.

    model: a ``models.flow.Flow``. Between whole numbers each point is so far on its straight way
    through that layer, which is a map that can be undone, too. Two views: points, each in the
    colour of the direction it started from, or a grid with its area factors. Seed s gives the
    noise of ``torch.Generator().manual_seed(s)``. depth: where the slider starts (None: the end).
    """
    import torch

    demand("maps (explore)", title=title)
    last = len(model.layers)
    if view not in VIEWS:
        raise ValueError(f"explore.maps: view={view!r} is 'points' or 'grid'.")
    one = next(model.parameters())

    def draw(depth, view, seed):
        def g(z):
            return model.part(z.to(one), depth)[0].double().cpu()

        told = f"after {depth:.2f} of {last} layers"
        with torch.no_grad():
            z = torch.randn(POINTS, 2, generator=torch.Generator().manual_seed(seed))
            x, log_det = model.part(z.to(one), depth)
            p = float(-(_log_noise(z) - log_det.double().cpu()).mean())
        line = (f"{told.capitalize()}: the mean of −log p over these points is **{say(p)}** nats; "
                f"their mean log area factor {say(float(log_det.mean()))}.")  # fmt: skip
        alt = f"{title}: {POINTS} points {told}, mean −log p {say(p)} nats."
        if view == "grid":
            return drawn.mesh(g, title=title, extent=extent, target=extent, lines=21, alt=alt,
                              notes=("noise", told)), line  # fmt: skip
        states = np.stack([z.double().numpy(), x.double().cpu().numpy()])
        return drawn.travel(states, title=title, times=["noise", told], extent=extent, size=170,
                            ink=1.6, alt=alt), line  # fmt: skip

    controls = {"depth": slider("layers", last if depth is None else depth, 0, last, 0.25),
                "view": choice("view", view, {name: name for name in VIEWS})}  # fmt: skip
    return Explorer(controls, draw, title=title, seed=seed)


def _log_noise(z):
    from genart_lessons.models.flow import log_normal as log_noise

    return log_noise(z.double())


# -- divergences ---------------------------------------------------------------------------------

BY_HAND = "by hand"
FITS = {
    BY_HAND: -1,
    "least KL(p‖q), forward": 0,
    "least KL(q‖p), reverse": 1,
    "least Jensen–Shannon": 2,
}
WORLDS = {"two equal heaps": (0.5, 0.55, 0.55), "a large and a small heap": (0.75, 0.8, 0.4)}
LINE = np.linspace(-9, 9, 3601)


def divergences(world: str = "two equal heaps", *, apart: float = 4.0, mu: float = 1.0,
                sigma: float = 1.0, fit: str = BY_HAND,
                title: str = "One Gaussian for two heaps") -> Explorer:  # fmt: skip
    """p, a mixture of two heaps, against q = N(mu, sigma²): both KLs and the JSD, in nats.

    apart: the distance of the heaps' middles. fit: ``"by hand"``, or the q at which a divergence is
    least; where two are equally good, as one heap or the other to the reverse KL, the one nearer to
    the slider's mu. Every number is a sum over 3,601 places of a line, in float64.
    """
    demand("divergences (explore)", title=title)

    def draw(world, fit, apart, mu, sigma):
        log_p = _log_two(world, apart)
        if fit >= 0:
            mu, sigma = best(log_p, fit, mu, sigma)
        log_q = log_normal(LINE, mu, sigma)
        forward, reverse, jsd = three(log_p, log_q)
        told = (f"KL(p‖q) = {say(forward)}, KL(q‖p) = {say(reverse)}, JSD = {say(jsd)} "
                f"of at most {say(np.log(2))}")  # fmt: skip
        picture = _two_densities(log_p, log_q, title, f"{title}: {told} nats.")
        return picture, (f"q = N({say(mu)}, {say(sigma)}²): KL(p‖q) = **{say(forward)}**, "
                         f"KL(q‖p) = **{say(reverse)}**, JSD = **{say(jsd)}** of at most "
                         f"log 2 = {say(np.log(2))} nats.")  # fmt: skip

    if fit not in FITS:
        raise ValueError(f"explore.divergences: fit={fit!r}; there are {', '.join(FITS)}.")
    controls = {
        "world": choice("p", world, {name: name for name in WORLDS}),
        "fit": choice("q", FITS[fit], FITS),
        "apart": slider("heaps apart", apart, 0, 6, 0.25),
        "mu": slider("μ of q", mu, -4, 4),
        "sigma": slider("σ of q", sigma, 0.3, 4),
    }
    return Explorer(controls, draw, title=title)


def three(log_p: np.ndarray, log_q: np.ndarray) -> tuple[float, float, float]:
    """KL(p‖q), KL(q‖p) and the Jensen–Shannon divergence of two log densities on LINE, in nats.

    Lin 1991, https://doi.org/10.1109/18.61115, with equal weights, for the last.
    """
    step = LINE[1] - LINE[0]
    p, q = np.exp(log_p), np.exp(log_q)
    log_m = np.logaddexp(log_p, log_q) - np.log(2)
    forward, reverse = (p * (log_p - log_q)).sum(), (q * (log_q - log_p)).sum()
    middle = (p * (log_p - log_m) + q * (log_q - log_m)).sum() / 2
    return float(forward * step), float(reverse * step), float(middle * step)


def best(log_p: np.ndarray, which: int, mu: float, sigma: float) -> tuple[float, float]:
    """The (mu, sigma) at which divergence ``which`` (0, 1, 2, as in ``three``) is least.

    Descents start at the given place and at four others; of equally good ends the one nearest to
    ``mu`` is taken, as two heaps that are alike are equally good to the reverse KL.
    """
    from scipy.optimize import minimize

    def far(at):
        return three(log_p, log_normal(LINE, at[0], np.exp(at[1])))[which]

    limits = [(-6, 6), (np.log(0.15), np.log(4))]
    starts = [(mu, np.log(sigma)), (0, np.log(2)), (0, 0), (-2, -0.5), (2, -0.5)]
    ends = [minimize(far, start, method="Nelder-Mead", bounds=limits,
                     options={"xatol": 1e-4, "fatol": 1e-8}) for start in starts]  # fmt: skip
    least = min(end.fun for end in ends)
    near = min((end.x for end in ends if end.fun < least + 1e-5), key=lambda x: abs(x[0] - mu))
    return float(near[0]), float(np.exp(near[1]))


def _log_two(world: str, apart: float) -> np.ndarray:
    weight, left, right = WORLDS[world]
    return np.logaddexp(np.log(weight) + log_normal(LINE, -apart / 2, left),
                        np.log(1 - weight) + log_normal(LINE, apart / 2, right))  # fmt: skip


def _two_densities(log_p, log_q, title: str, alt: str) -> Picture:
    p, q = np.exp(log_p), np.exp(log_q)
    picture = Picture(title, alt, 720, 520, layout="constrained")
    top, low = picture.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    top.plot(LINE, p, color=MUTED, linestyle=LINES[1], label="p, two heaps")
    top.plot(LINE, q, color=PALETTE[0], linestyle="-", label="q = N(μ, σ²)")
    top.plot(LINE, (p + q) / 2, color=PALETTE[2], linestyle=LINES[3], linewidth=1.4,
             label="m = (p + q)/2")  # fmt: skip
    top.fill_between(LINE, q, color=PALETTE[0], alpha=0.12, linewidth=0)
    top.set(title=title, ylabel="density", ylim=(0, max(0.8, 1.08 * max(p.max(), q.max()))))
    top.legend(loc="upper right")
    parts = p * (log_p - log_q), q * (log_q - log_p)
    names = "p log(p/q), its area is KL(p‖q)", "q log(q/p), its area is KL(q‖p)"
    for at, (part, name) in enumerate(zip(parts, names, strict=True)):
        low.plot(LINE, part, color=PALETTE[1 - at], linestyle=LINES[1 - at], label=name)
        low.fill_between(LINE, part, color=PALETTE[1 - at], alpha=0.15, linewidth=0)
    low.axhline(0, color=INK, linewidth=0.8, linestyle="-")
    reach = max(0.8, *(np.abs(part).max() * 1.1 for part in parts))
    low.set(xlim=(-6, 6), ylim=(-0.35 * reach, reach), xlabel="x", ylabel="nats per x")
    low.legend(loc="upper right", fontsize=9)
    for ax in (top, low):
        ax.yaxis.set_major_formatter("{x:.1f}")
    return picture
