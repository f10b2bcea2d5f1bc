"""How the flows of chapter 01 are made, and their shipped weights; ``recipes.RECIPES`` lists them.

A flow is trained on points of a shape by maximum likelihood. The entropy of the shape is known, so
how far the flow is from it is known, too: mean −log p on unseen points, less the entropy, is the
Kullback–Leibler divergence.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from genart_lessons import runtime
from genart_lessons.models import flow, shapes
from genart_lessons.training.batches import Batches
from genart_lessons.training.loop import fit
from genart_lessons.training.run import History

# What ``training.fit`` is given, besides steps or seconds. Where ink meets paper a flow must be
# very steep, and a batch with many such points has a gradient that would throw the others about.
FLOW: dict = dict(lr=3e-3, schedule="cosine", warmup=20, clip_grad=5.0)
FLOW_STEPS = 4_000
POINTS, BATCH = 200_000, 1024
SHAPES = {"flow_cat": "cat face", "flow_butterfly": "butterfly", "flow_kanji": "㊗"}


def batches(
    shape: shapes.Shape | shapes.Mixture,
    *,
    seed: int = 0,
    points: int = POINTS,
    batch_size: int = BATCH,
) -> Batches:
    """``batch_size`` of so many ``points`` of a shape or mixture at a time, as ``x`` (B, 2)."""
    x = shape.sample(points, torch.Generator().manual_seed(seed))
    return Batches({"x": x}, batch_size, seed=seed)


def train(steps: int, seed: int = 0, *, name: str = "flow_cat") -> tuple[nn.Module, History]:
    """The flow of one of ``SHAPES``, by the weights' name."""
    runtime.seed_everything(seed)
    model = flow.Flow()
    history = fit(
        model,
        flow.loss,
        batches(shapes.emoji(SHAPES[name]), seed=seed, batch_size=2 * BATCH),
        steps=steps,
        checkpoint=runtime.cache_dir() / f"{name}-{steps}-{seed}.safetensors",
        name=name,
        **FLOW,
    )
    return model.cpu(), history


def measure(model: nn.Module, *, name: str = "flow_cat", points: int = 100_000) -> dict[str, float]:
    """Against the shape's entropy, on unseen points, in nats: see ``divergence``."""
    return divergence(model, shapes.emoji(SHAPES[name]), points=points)


def divergence(
    model: nn.Module, shape: shapes.Shape | shapes.Mixture, *, points: int = 100_000, seed: int = 1
) -> dict[str, float]:
    """How far a model's ``log_prob`` is from a known density, on new points of that density.

    ``nll``, the mean of −log q, with its standard error ``nll_se``; ``entropy``, the density's own;
    and ``kl``, the mean of log p − log q over the same points, with ``kl_se``. The mean of
    nll − entropy is kl as well, but its error is larger: the points' own luck is in it.
    seed: of the points; training uses others.
    """
    x = shape.sample(points, torch.Generator().manual_seed(10_007 * (seed + 1)))
    device = next((p.device for p in getattr(model, "parameters", list)()), x.device)
    nll = flow.held_out(model, x.to(device)).cpu().double()
    over = nll + shape.log_prob(x).double()
    found: dict[str, Tensor] = {"nll": nll, "kl": over}
    result = {"entropy": shape.entropy()}
    for key, values in found.items():
        result |= {
            key: float(values.mean()),
            f"{key}_se": float(values.std()) / math.sqrt(len(values)),
        }
    return result


TRAIN = {name: partial(train, name=name) for name in SHAPES}
MEASURE = {name: partial(measure, name=name) for name in SHAPES}
