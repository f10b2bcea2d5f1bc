"""What chapter 01 promises, measured: how near a flow comes to a density that is known.

All of it can be repeated from what is written here.

The density is ``shapes.mixture("pinwheel")``, thirty-five Gaussians in five bent blades. Its
entropy, 3.4415 nats, is the trapezoid rule's, made finer until it stands still; no model's mean
−log q on unseen points can be below it but by the points' luck. For each seed: 50,000 points to
learn from, 20,000 others to be judged by, the same for all that are compared. All run on the
processor, with the same two threads (one where there is one core), one after the other.

*The flow* of the chapter, ``flow.Flow()``, four spline couplings, trained by ``recipes_flow.FLOW``
for its seconds. *Affine couplings*: the same, with eight layers of straight lines instead of
splines (Dinh et al. 2017), for as many seconds. *One Gaussian* with the points' mean and
covariance. *A kernel density estimate* from scipy, ``gaussian_kde``: of 1, 1/2, … 1/16 times
Scott's width, the best on 2,000 of the points to learn from, kept back for that; so it is given a
choice that the flow does not get.

The figures are in nats: ``nll``, the mean of −log q over the unseen points, and ``kl``, the mean of
log p − log q over the same, each with its standard error. The bar: the flow's nll is within 2 % of
the entropy, in the median over the seeds; the points' own luck is in it, about 0.2 %. And its kl,
which is almost free of that, is at most 2 % of the entropy, too.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genart_lessons import runtime
from genart_lessons.models import flow, shapes
from genart_lessons.training.batches import Batches
from genart_lessons.training.bench_gan import _mark, _two_cores
from genart_lessons.training.loop import fit
from genart_lessons.training.recipes_flow import BATCH, FLOW

BAR = 0.02
MIXTURE, TRAIN, TEST, KEPT = "pinwheel", 50_000, 20_000, 2_000
WIDTHS = (1.0, 0.5, 0.25, 0.125, 0.0625)  # of Scott's


def flow_run(
    seconds: float = 30, seed: int = 0, name: str = MIXTURE, sizes: tuple[int, int] = (TRAIN, TEST)
) -> dict:
    """One comparison; sizes: the number of points to learn from and to be judged by.

    Returns ``entropy``; ``flow``, ``affine``, ``gaussian`` and ``kde``, each with ``nll``,
    ``nll_se``, ``kl``, ``kl_se`` and ``seconds``; ``over``, |nll/entropy − 1| of the flow,
    ``kl_share``, its kl/entropy; and ``seed``.
    """
    mixture = shapes.mixture(name)
    generator = torch.Generator().manual_seed(seed)
    train, test = (mixture.sample(n, generator) for n in sizes)
    with _two_cores():
        _warm_up(train)
        sides = {
            "flow": _timed(lambda: train_flow(train, seconds, seed)),
            "affine": _timed(lambda: train_flow(train, seconds, seed, kind="affine", layers=8)),
            "gaussian": _timed(lambda: Gaussian(train)),
            "kde": _timed(lambda: Kernels(train)),
        }
        log_p = mixture.log_prob(test)
        found = {
            key: judge(model, test, log_p) | {"seconds": spent}
            for key, (model, spent) in sides.items()
        }
    entropy = mixture.entropy()
    ours = found["flow"]
    return {
        **found,
        "entropy": entropy,
        "over": abs(ours["nll"] / entropy - 1),
        "kl_share": ours["kl"] / entropy,
        "seed": seed,
    }


def train_flow(x: Tensor, seconds: float, seed: int = 0, **sizes: Any) -> nn.Module:
    """A flow after ``seconds`` on points x (N, 2), on the processor."""
    runtime.seed_everything(seed)
    model = flow.Flow(**sizes).settle(x)
    batches = Batches({"x": x}, min(BATCH, len(x)), seed=seed)
    fit(model, flow.loss, batches, seconds=seconds, progress=False, **FLOW)
    return model.cpu()


class Gaussian:
    """N(mean, covariance) of points (N, 2): maximum likelihood, so 1/N."""

    def __init__(self, x: Tensor):
        x = x.double()
        self.law = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov(correction=0))

    def log_prob(self, x: Tensor) -> Tensor:
        return self.law.log_prob(x.double())


class Kernels:
    """scipy's ``gaussian_kde`` of points (N, 2), as wide as suits ``kept`` of them best."""

    def __init__(self, x: Tensor, kept: int = KEPT, widths: Sequence[float] = WIDTHS):
        from scipy.stats import gaussian_kde

        points = x.double().numpy().T
        kept = min(kept, points.shape[1] // 5)
        to_learn, to_choose = points[:, kept:], points[:, :kept]
        scott = gaussian_kde(to_learn).factor

        def fits(width: float) -> float:
            law = gaussian_kde(to_learn, bw_method=width * scott)
            return float(np.log(np.maximum(law(to_choose), 1e-300)).mean())

        self.width = max(widths, key=fits)
        self.law = gaussian_kde(to_learn, bw_method=self.width * scott)

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.log(np.maximum(self.law(x.double().numpy().T), 1e-300)))


def judge(model: Any, test: Tensor, log_p: Tensor) -> dict[str, float]:
    """``nll`` and ``kl`` of a model on points (N, 2) of known log p (N,), and their errors."""
    nll = flow.held_out(model, test).double()
    over = nll + log_p.double()
    root = math.sqrt(len(test))
    return {
        "nll": float(nll.mean()),
        "nll_se": float(nll.std()) / root,
        "kl": float(over.mean()),
        "kl_se": float(over.std()) / root,
    }


def run(seconds: float, seeds: Sequence[int]) -> bool:
    """Print the comparison for every seed and the verdict; return whether the bar is met."""
    print(f"\nA flow and a mixture whose entropy is known ({MIXTURE!r}), nats (lower is better)")
    results = []
    for seed in seeds:
        results.append(flow_run(seconds, seed))
        print(table(results[-1]), flush=True)
    found = verdict(results)
    print(verdict_line(found, len(results)))
    return found["ok"]


def verdict(results: Sequence[dict]) -> dict:
    """The medians over the seeds of ``over`` and ``kl_share``; ``ok``: both are 2 % or less."""
    over = statistics.median(result["over"] for result in results)
    share = statistics.median(result["kl_share"] for result in results)
    return {"over": over, "kl_share": share, "ok": over <= BAR and share <= BAR}


def verdict_line(found: dict, count: int) -> str:
    """The last line that ``bench`` prints."""
    return (
        f"  median of {count}: held-out −log q is {found['over']:.2%} from the entropy, the "
        f"divergence {found['kl_share']:.2%} of it (bar: {BAR:.0%})\n  {_mark(found['ok'])}"
    )


NAMES = {
    "flow": "flow, 4 spline couplings",
    "affine": "flow, 8 affine couplings",
    "gaussian": "one Gaussian",
    "kde": "scipy's gaussian_kde",
}


def table(result: dict) -> str:
    """The lines that ``bench`` prints for one ``flow_run`` result."""
    lines = [f"  seed {result['seed']}: entropy {result['entropy']:.4f}"]
    for key, name in NAMES.items():
        side = result[key]
        lines.append(
            f"  {name:25} −log q {side['nll']:.4f} ± {side['nll_se']:.4f}, "
            f"KL {side['kl']:.4f} ± {side['kl_se']:.4f}  in {side['seconds']:.1f} s"
        )
    return "\n".join(lines)


def _timed(make: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    made = make()
    return made, time.perf_counter() - start


def _warm_up(x: Tensor) -> None:
    model = flow.Flow().settle(x)
    fit(model, flow.loss, Batches({"x": x}, min(BATCH, len(x))), steps=2, progress=False, **FLOW)
