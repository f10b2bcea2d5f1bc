"""Experiments on the game of generator and discriminator (chapter 04), small enough to repeat."""

from __future__ import annotations

import math
from functools import cache, partial

import torch
from torch import Tensor, nn

from genart_lessons import data, training
from genart_lessons.ledger.evidence import Seen
from genart_lessons.models import games as small_games
from genart_lessons.models import gan, plane
from genart_lessons.training import recipes_gan

P_DATA = torch.tensor([0.4, 0.3, 0.2, 0.1])  # four pictures, and how often each is drawn


def value(D: Tensor, p_g: Tensor) -> Tensor:
    """V(D, G) of tables over four pictures, equation 4.1; D may be (…, 4)."""
    return (P_DATA * D.log()).sum(-1) + (p_g * (1 - D).log()).sum(-1)


def best(p_g: Tensor) -> Tensor:
    """The best discriminator against p_g, equation 4.4, kept away from 0 and 1."""
    return (P_DATA / (P_DATA + p_g)).clamp(1e-6, 1 - 1e-6)


def the_order_of_the_two() -> Seen:
    """A4: max_D min_G V against min_G max_D V, where the generator draws one picture only."""
    critics = torch.rand(50_000, 4, generator=torch.Generator().manual_seed(0))
    critics = torch.cat([critics, torch.full((1, 4), 0.5)]).clamp(1e-6, 1 - 1e-6)
    forgers = torch.eye(4)
    table = torch.stack([value(critics, forger) for forger in forgers], dim=1)
    max_min = float(table.min(1).values.max())
    min_max = float(min(value(best(forger), forger) for forger in forgers))
    half = torch.full((4,), 0.5)
    said = (
        f"critic first {max_min:.3f}, generator first {min_max:.3f}: another value. Even where "
        f"they agree, at −log 4, the critic who must speak first says ½ to everything, and then a "
        f"generator that always draws one picture reaches {value(half, forgers[3]):.3f}, the right "
        f"one {value(half, P_DATA):.3f}"
    )
    right = float(value(best(P_DATA), P_DATA))
    return Seen(
        min_max - max_min > 0.3,
        said,
        abs(right + math.log(4)) < 1e-5 and right < min_max,
        f"a generator of any table, first, comes to {right:.3f} = −log 4, by drawing p_data",
        f"max min = {max_min:.3f} is not min max = {min_max:.3f}",
    )


def _learn(sign: float, steps: int = 400) -> list[float]:
    """A generator's table learns by gradients against the best critic of each step.

    ``sign``: +1, it lowers V; −1, it lowers −V, the discriminator's loss. Returns the distance to
    the data (half the sum of the differences), at the start and at the end.
    """
    logits = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    distances = []
    for _ in range(steps):
        p_g = logits.softmax(0)
        distances.append(float((p_g.detach() - P_DATA).abs().sum() / 2))
        optimizer.zero_grad()
        (sign * value(best(p_g.detach()), p_g)).backward()
        optimizer.step()
    return [distances[0], distances[-1]]


def the_generator_arrives() -> Seen:
    """A5: with the best critic at every step, a generator's table goes to the data's."""
    (start, end), (_, away) = _learn(1.0), _learn(-1.0)
    return Seen(
        end < 0.02,
        f"from a distance of {start:.3f} it comes to {end:.4f}",
        away > start,
        f"with the sign turned round it ends at {away:.3f}",
    )


def the_generator_walks_away() -> Seen:
    """D6: a generator that lowers the discriminator's loss leaves the data."""
    (start, away), (_, end) = _learn(-1.0), _learn(1.0)
    return Seen(
        away > 2 * start,
        f"lowering the printed loss it goes from {start:.3f} away from the data to {away:.3f}",
        end < 0.02,
        f"lowering E[log(1 − D(G(z)))] it comes to {end:.4f}",
        f"400 steps with the printed loss: from {start:.3f} away from the data to {away:.3f}",
    )


STEPS = 300  # of the networks on the plane

# -- the plane -----------------------------------------------------------------------------------


@cache
def _play(recipe: str, steps: int, kind: str = "", seeds: int = 3) -> tuple[tuple[int, float], ...]:
    """Modes covered and share of good points on a ring of eight, a pair for each seed."""
    ring, settings = plane.ring(), getattr(plane, recipe)
    model = plane.PlaneGAN(ring.scale, seeds=range(seeds), **settings["model"])
    loss = {**settings["loss"], **({"kind": kind} if kind else {})}
    if "gamma" in loss:
        loss["steps"] = max(steps, 1)
    x = ring.sample(10_000 * seeds, generator=torch.Generator().manual_seed(0)).view(10_000, -1, 2)
    if steps:
        training.fit(
            model,
            model.losses(**loss),
            training.Batches({"x": x}, 128, seed=0, noise={"z": (seeds, model.latent)}),
            steps=steps,
            schedule="cosine",
            optimizer=lambda p: torch.optim.Adam(p, fused=True, **settings["adam"]),
            progress=False,
        )
    made = model.cpu().sample(2500, generator=torch.Generator().manual_seed(7))
    counted = [ring.modes(made[:, k]) for k in range(seeds)]
    return tuple((modes.covered, modes.good) for modes in counted)


def modes_are_lost() -> Seen:
    """S1: an ordinary recipe serves some of eight modes; a mended one nearly all."""
    lost, mended = _play("COLLAPSING", STEPS), _play("MENDED", STEPS, "cross-entropy")
    mean, se = plane.mean_se([covered for covered, _ in lost])
    better, its = plane.mean_se([covered for covered, _ in mended])
    return Seen(
        mean + 2 * se < 7,
        f"an ordinary recipe covers {mean:.1f} ± {se:.1f} of 8 modes (3 seeds)",
        better > mean + 2 * math.hypot(se, its),
        f"the mended one {better:.1f} ± {its:.1f}: collapse is frequent, and no fate",
    )


def both_losses_work() -> Seen:
    """S3: least squares and cross-entropy both bring a generator to the data."""
    trained = {kind: _play("MENDED", STEPS, kind) for kind in ("cross-entropy", "least-squares")}
    covered = {kind: plane.mean_se([c for c, _ in runs])[0] for kind, runs in trained.items()}
    start = plane.mean_se([c for c, _ in _play("MENDED", 0)])[0]
    said = ", ".join(f"{kind} {mean:.1f}" for kind, mean in covered.items())
    return Seen(
        min(covered.values()) >= 5,
        f"modes covered, of 8, mean of 3 seeds: {said}",
        start <= 2,
        f"untrained {start:.1f}",
    )


def two_players_go_round() -> Seen:
    """S11: on the simplest game, gradient steps do not converge; with a penalty they do."""
    reach = partial(small_games.steps, "dirac", start=(1.0, 1.0), eta=0.1, n=1500)
    together, in_turn, calm = reach(), reach("alternating"), reach(gamma=1.0)
    far = [float((path[-1] ** 2).sum() ** 0.5) for path in (together, in_turn, calm)]
    said = (
        f"after 1,500 steps from (1, 1) the two parameters are {far[0]:.2f} away from the "
        f"equilibrium if they move together, and {far[1]:.2f} if in turn"
    )
    return Seen(
        min(far[:2]) > 0.5,
        said,
        far[2] < 1e-3,
        f"with R1's penalty {far[2]:.0e}",
        f"the Dirac-GAN: start 1.41 away, {far[0]:.2f} away after 1,500 steps",
    )


# -- icons, by the shipped weights -----------------------------------------------------------------


@cache
def _icons() -> dict[str, Tensor]:
    z = torch.randn(512, 64, generator=torch.Generator().manual_seed(5))
    made: dict[str, nn.Module] = {
        "VAE": training.load_weights(gan.IconVAE(), "vae_icons"),
        "VAE-GAN": training.load_weights(gan.IconVAEGAN(), "vaegan_icons"),
        "GAN": training.load_weights(gan.IconGAN(), "gan_icons"),
    }
    x = data.icons("test").x[::3]
    samples = {name: model.sample(**{"eps" if name == "VAE" else "z": z})
               for name, model in made.items()}  # fmt: skip
    back = {f"{name} again": made[name].reconstruct(x) for name in ("VAE", "VAE-GAN")}
    return {"real": x} | samples | back


def a_gan_is_sharper() -> Seen:
    """S2: undecided (grey) pixels in samples of a VAE and of a GAN, beside real icons'."""
    grey = {name: recipes_gan.grey_share(x) for name, x in _icons().items()}
    ours, theirs, real = grey["VAE"], grey["GAN"], grey["real"]
    return Seen(
        ours > 1.5 * theirs,
        f"undecided pixels: VAE {ours:.1%}, GAN {theirs:.1%} of a sample",
        abs(theirs - real) < abs(ours - real),
        f"real icons {real:.1%}: the GAN is nearer",
    )


def together_in_part() -> Seen:
    """S4: the VAE-GAN is crisper than the VAE at about the same error, and its samples are not
    better in every respect."""
    x = _icons()
    grey = {name: recipes_gan.grey_share(part) for name, part in x.items()}
    error = {n: float((x[f"{n} again"] - x["real"]).square().mean()) for n in ("VAE", "VAE-GAN")}
    laid = {n: recipes_gan.layout_distance(x[n], x["real"]) for n in ("VAE", "VAE-GAN", "GAN")}
    return Seen(
        grey["VAE-GAN"] < grey["VAE"] / 1.5 and error["VAE-GAN"] < 1.5 * error["VAE"],
        f"VAE-GAN against VAE: undecided pixels {grey['VAE-GAN']:.1%} against {grey['VAE']:.1%}, "
        f"error on unseen icons {error['VAE-GAN']:.4f} against {error['VAE']:.4f}",
        laid["VAE-GAN"] > max(laid["VAE"], laid["GAN"]),
        f"where ink lies in random samples, distance to real: VAE-GAN {laid['VAE-GAN']:.2f}, VAE "
        f"{laid['VAE']:.2f}, GAN {laid['GAN']:.2f}: not better in everything",
    )


def _kinds(module: nn.Module) -> list[str]:
    names = {nn.Linear: "dense", nn.Upsample: "up", nn.Conv2d: "convolution",
             nn.PixelUnshuffle: "down"}  # fmt: skip
    found = []
    for layer in module.modules():
        for kind, name in names.items():
            if isinstance(layer, kind):
                strided = isinstance(layer, nn.Conv2d) and layer.stride[0] > 1
                found.append("down" if strided else name)
    return [name for k, name in enumerate(found) if not k or name != found[k - 1]]


def what_a_dcgan_is_made_of() -> Seen:
    """S7: the layers of our DCGAN in their order, beside those of a GAN of dense layers."""
    model = gan.IconGAN()
    up, down = _kinds(model.generator), _kinds(model.discriminator)
    plain = _kinds(nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2)))
    right = up[:3] == ["dense", "up", "convolution"] and down[0] == "down" and down[-1] == "dense"
    return Seen(
        right and "down" not in up and "up" not in down and "convolution" in down,
        f"generator: {', '.join(up)}; discriminator: {', '.join(down)}",
        plain == ["dense"],
        "a GAN for points on the plane has dense layers only: it is what makes a DCGAN one",
    )
