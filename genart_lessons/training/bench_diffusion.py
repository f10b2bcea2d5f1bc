"""What chapter 07 promises, measured: digits against diffusers' U-Net, speed, and the plane.

All of it can be repeated from what is written here.

*Pictures.* The digits, 8×8 in [0, 1], resized to 16×16 by ``F.interpolate`` (bilinear,
``align_corners=False``, no antialiasing). Both sides learn the 1,500 training pictures, without
their labels.

*The distance.* ``models.frechet.DigitJudge`` is trained for 500 steps on the training pictures (64
a batch, seed 0, Adam, learning rate 2e-3 falling to 0 by a cosine, float32, no augmentation), which
it sees at 32×32, resized once more by the same rule. Its features are the 64 numbers that its last
layer sees. A model's samples are 1,000 pictures from a generator seeded with 10,000 + seed. The
distance that counts is ``frechet.frechet_distance`` to the 297 *test* pictures, which neither side
has seen: training pictures learnt by heart would not score better than the training pictures
themselves, whose distance is the floor here. The distance to the training pictures stands beside
it, with how far samples lie from the nearest training picture (``frechet.nearest_distance``): much
nearer than the test pictures do would be copies. The ceiling is 1,000 pictures of uniform noise.

*Both sides* train on the processor with the same two threads (one where there is one core), one
after the other in one run, after a few steps each that are not counted. The seconds hold
everything: making the model, the optimiser, training. The example is ``models.baseline_diffusion``:
diffusers' ``UNet2DModel`` in two sizes, each trained for the same number of seconds with diffusers'
``DDPMScheduler``, batch 64 and Adam 1e-3, and each sampled by diffusers' DPM-Solver++ with 10
steps; then the better one again with 20: three looks, of which the best counts. Ours is
``train_ours``, sampled once, with 25 steps of ``diffusion_samplers.dpm2`` with noise. The bar: at
most 0.7 times the example's distance.

*Speed.* The samples above, timed: at least 100 a second; and their distance at most a tenth above
that of 1,000 samples of the same model, from the same 1,000 starting points, by all 1,000 steps of
``diffusion_samplers.ddpm``. Of 1,000 samples from other starting points the distance varies by a
fifth (the printed ± of ours says how much), which the common start takes away in part; one seed
alone decides nothing. diffusers' pace with 10 steps stands beside it.

*The plane.* A ring of eight modes, ``ring()``, of which 2,000 points are drawn by 1,000 steps of
``ddpm`` with the exact score, their variance β_t (with β̃_t the modes come out 2 % too narrow); and
in the same way with a score that ``diffusion.PointNet`` has learnt in a quarter of the seconds.
Two energy tests each, of 99 permutations: of *where* the points lie, and of how they lie *within*
their mode: the way from the nearest centre, in standard deviations. What they are able to see is
measured in the same way: the first on a ring where one mode has 0.4 of its weight, the second on
one whose modes are 15 % too wide. All is done 20 times, with new points, at the level 0.025. Not
told apart means that so many alarms in 20 have a chance above 1 % if there is no difference; the
bar asks that of the exact score, and that each test finds its own difference in at least 80 % of
the times. For the learnt score there is no bar.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons import data, runtime
from genart_lessons.models import (
    baseline_diffusion,
    diffusion,
    diffusion_samplers,
    frechet,
    two_sample,
    unet,
)
from genart_lessons.models.noised_mixture import NoisedMixture
from genart_lessons.training.batches import Batches
from genart_lessons.training.bench_gan import _count, _mark, _two_cores
from genart_lessons.training.loop import fit
from genart_lessons.training.recipes_text import falling
from genart_lessons.training.run import History

DISTANCE_BAR, PACE_BAR, CHAIN_BAR, POWER_BAR = 0.7, 100.0, 1.1, 0.8
SAMPLES, JUDGE_STEPS, PART = 1_000, 500, 250
STEPS, EXAMPLE_STEPS = 25, (10, 20)
BATCH, SHAPE = 32, (1, 16, 16)
DIGITS_DIFFUSION: dict = dict(
    optimizer=partial(torch.optim.Adam, betas=(0.9, 0.99), fused=True),
    lr=2e-3, schedule=falling, warmup=100, clip_grad=1.0, ema=0.995,
)  # fmt: skip
POINTS, REPEATS, LEVEL, SPREAD = 2_000, 20, 0.025, 0.08
POINTS_DIFFUSION: dict = dict(lr=3e-3, schedule="cosine", ema=0.995)

# -- the yardstick -------------------------------------------------------------------------------


def pictures(split: str) -> Tensor:
    """The digits of a split, (N, 1, 16, 16) in [0, 1]: resized as the module's text says."""
    return F.interpolate(data.digits(split).x, size=16, mode="bilinear").clamp(0, 1)


class Yardstick:
    """The judge, what it sees in real pictures, and how samples are measured by it."""

    def __init__(self, judge: frechet.DigitJudge, train: Tensor, test: Tensor):
        self.judge, self.train, self.test = judge.eval(), train, test
        self.real = {"test": self.statistics(test), "train": self.statistics(train)}

    def statistics(self, x: Tensor) -> frechet.Statistics:
        """The mean and covariance of the judge's features of pictures (N, 1, 16, 16) in [0, 1]."""
        return frechet.statistics(self.judge.features(enlarged(x)))

    def distance(self, x: Tensor, to: str = "test") -> float:
        """From pictures (N, 1, 16, 16) in [0, 1] to the real ones of a split."""
        return frechet.frechet_distance(*self.real[to], *self.statistics(x))

    def nearest(self, x: Tensor) -> float:
        """From pictures to their nearest training picture, mean: ``frechet.nearest_distance``."""
        return float(frechet.nearest_distance(x, self.train).mean())

    def look(self, x: Tensor) -> dict[str, float]:
        """``distance``, ``to_train`` and ``nearest`` of samples."""
        return {"distance": self.distance(x), "to_train": self.distance(x, "train"),
                "nearest": self.nearest(x)}  # fmt: skip


def enlarged(x: Tensor) -> Tensor:
    """Pictures (N, 1, 16, 16) as the judge takes them, (N, 1, 32, 32)."""
    return F.interpolate(x, size=32, mode="bilinear")


def new_yardstick(steps: int = JUDGE_STEPS, seed: int = 0) -> Yardstick:
    """Train the judge, about six seconds' work."""
    train, test = pictures("train"), pictures("test")
    with _two_cores():
        runtime.seed_everything(seed)
        judge = frechet.DigitJudge()
        batches = Batches({"x": enlarged(train), "y": data.digits("train").y}, 64, seed=seed)
        settings: dict = dict(lr=2e-3, schedule="cosine", progress=False)
        fit(judge, frechet.judge_loss, batches, steps=steps, **settings)
    return Yardstick(judge, train, test)


def context(yard: Yardstick) -> dict[str, float]:
    """What the distances are to be read against: accuracy, floor, ceiling, nearest of the test."""
    noise = torch.rand(SAMPLES, *SHAPE, generator=torch.Generator().manual_seed(0))
    return {
        "accuracy": yard.judge.accuracy(enlarged(yard.test), data.digits("test").y),
        "floor": yard.distance(yard.train),
        "ceiling": yard.distance(noise),
        "nearest": yard.nearest(yard.test),
        "nearest_noise": yard.nearest(noise),
    }


# -- digits --------------------------------------------------------------------------------------


def digit_model() -> diffusion.Denoiser:
    """Our denoiser of digits before it has learnt anything."""
    net = unet.UNet(1, 32, size=16, growth=(1, 2))
    return diffusion.Denoiser(net, diffusion.cosine(), predicts="v", shape=SHAPE)


def train_ours(x: Tensor, seconds: float, seed: int = 0) -> tuple[Any, dict]:
    """Our denoiser after ``seconds`` on pictures x (N, 1, 16, 16) in [0, 1]; its steps and seconds.

    It predicts v, on the cosine schedule; 32 pictures a batch, whose times are spread evenly; Adam
    with a rate that falls to 0 when the time is over; the averaged copy of the weights is returned.
    """
    start = time.perf_counter()
    runtime.seed_everything(seed)
    model = digit_model()
    spent = time.perf_counter() - start
    left = max(0.1 * seconds, seconds - spent - min(0.5, 0.01 * seconds))  # it may end a step late
    history = _fit_ours(model, x, seed, seconds=left)
    pace = {"steps": history.steps, "seconds": time.perf_counter() - start}
    return history.ema, pace | {"numbers": _count(model)}


def train_example(x: Tensor, seconds: float, seed: int, width: int) -> tuple[nn.Module, dict]:
    """diffusers' U-Net after ``seconds`` on pictures x in [0, 1]; its steps and seconds."""
    start = time.perf_counter()
    torch.manual_seed(seed)
    net = baseline_diffusion.example_unet(width)
    left = max(0.1 * seconds, seconds - (time.perf_counter() - start))
    steps, _ = baseline_diffusion.train_example_diffusion(net, x, left, seed=seed)
    return net, {"steps": steps, "seconds": time.perf_counter() - start, "numbers": _count(net)}


def drawn(model: Any, seed: int, samples: int = SAMPLES, steps: int | None = STEPS) -> Tensor:
    """Pictures (samples, 1, 16, 16) in [0, 1] of ours, of noise seeded with 10,000 + seed.

    By ``steps`` steps of ``dpm2`` with fresh noise; None: by all steps of ``ddpm``. 250 at a time.
    """
    chance = torch.Generator().manual_seed(10_000 + seed)
    parts = []
    for part in torch.randn(samples, *SHAPE, generator=chance).split(PART):
        if steps is None:
            parts.append(diffusion_samplers.ddpm(model, part, generator=chance))
        else:
            parts.append(
                diffusion_samplers.dpm2(model, part, steps=steps, noisy=True, generator=chance)
            )
    return diffusion.to_unit(torch.cat(parts))


def digits_run(
    yard: Yardstick, seconds: float = 120, seed: int = 0, *, chain: bool = True,
    samples: int = SAMPLES,
) -> dict:  # fmt: skip
    """One comparison: ours and both examples after ``seconds`` each.

    Returns ``ours`` and ``example`` (the better one), each with ``distance``, ``to_train``,
    ``nearest``, ``per_second`` (samples; the example's with 10 steps), ``steps``, ``seconds`` and
    ``numbers``; ours also with ``spread``, the standard deviation of its distance over five seeds
    of the samples; ``looks``, what the example's distance is the best of; ``ratio``, ours over the
    example's; with ``chain``, ``of_chain``, our distance over that of all 1,000 steps from the same
    starting points; and ``near``, ``fast`` and ``faithful``: whether the bars are met
    (``faithful`` is None without chain).
    """
    with _two_cores():
        _warm_up(yard.train)
        example, looks = _run_examples(yard, seconds, seed, samples)
        ours = _run_ours(yard, seconds, seed, chain, samples)
    ratio = ours["distance"] / example["distance"]
    met = {"near": ratio <= DISTANCE_BAR, "fast": ours["per_second"] >= PACE_BAR}
    met["faithful"] = ours["of_chain"] <= CHAIN_BAR if chain else None
    return dict(ours=ours, example=example, looks=looks, ratio=ratio, seed=seed) | met


def verdict(results: Sequence[dict]) -> dict:
    """The medians over the seeds, and whether *they* meet the bars."""

    def middle(of: Any) -> float:
        return statistics.median(of(result) for result in results)

    found = {
        "ours": middle(lambda r: r["ours"]["distance"]),
        "example": middle(lambda r: r["example"]["distance"]),
        "pace": middle(lambda r: r["ours"]["per_second"]),
    }
    chains = [r["ours"]["of_chain"] for r in results if r["ours"].get("of_chain") is not None]
    of_chain = statistics.median(chains) if chains else math.nan
    met = {
        "near": found["ours"] <= DISTANCE_BAR * found["example"],
        "fast": found["pace"] >= PACE_BAR,
        "faithful": of_chain <= CHAIN_BAR,
    }
    ratio = found["ours"] / found["example"]
    return found | {"of_chain": of_chain, "ratio": ratio} | met | {"ok": all(met.values())}


# -- the plane -----------------------------------------------------------------------------------


def ring(spread: float = SPREAD, first: float = 1.0) -> NoisedMixture:
    """Eight modes on a circle of radius 1, the weight of one of them ``first`` times the others'.

    ``spread``: the standard deviation of each.
    """
    angle = torch.arange(8) * (math.pi / 4)
    weights = torch.ones(8)
    weights[0] = first
    means = torch.stack([angle.cos(), angle.sin()], 1)
    return NoisedMixture(means, spread, weights, diffusion.cosine())


def within(x: Tensor) -> Tensor:
    """The way of points (N, 2) from the nearest centre of ``ring()``, in standard deviations."""
    away = x[:, None] - ring().means
    nearest = away.square().sum(2).argmin(1)
    return away[torch.arange(len(x)), nearest] / SPREAD


def train_points(seconds: float, seed: int = 0) -> tuple[Any, dict]:
    """A score of ``ring()`` learnt in ``seconds`` by ``diffusion.PointNet``, 512 points a step."""
    start = time.perf_counter()
    runtime.seed_everything(seed)
    truth = ring()
    net = diffusion.PointNet(2, truth.schedule.T)
    model = diffusion.Denoiser(net, truth.schedule, predicts="v", shape=(2,))
    x = truth.sample(100_000, torch.Generator().manual_seed(seed))
    batches = Batches({"x": x}, 512, seed=seed, noise={"eps": (2,)}, augment=evenly)
    history = fit(
        model, diffusion.loss, batches, seconds=seconds, progress=False, **POINTS_DIFFUSION
    )
    return history.ema, {"steps": history.steps, "seconds": time.perf_counter() - start}


def mixture_run(
    seconds: float = 30, seed: int = 0, *, n: int = POINTS, repeats: int = REPEATS,
    model: Any = None,
) -> dict:  # fmt: skip
    """The exact score and the learnt one, each told from the truth in so many of the repeats.

    model: a denoiser of points to be tried in place of the exact score. Returns ``exact``,
    ``learnt`` and ``known``, the difference that each test is tried on, each with ``where`` and
    ``within``: a ``two_sample.Power``; ``power_ok``, ``exact_ok``, ``learnt_ok`` and ``ok``.
    """
    truth = ring()
    with _two_cores():
        learnt, pace = train_points(seconds, seed)
        draws = {
            "exact": _pool(model or truth, n * repeats, seed),
            "learnt": _pool(learnt, n * repeats, seed),
            "known where": ring(first=0.4).sample,
            "known within": ring(spread=1.15 * SPREAD).sample,
        }
        where = {name: _told(truth.sample, draw, n, repeats, seed)
                 for name, draw in draws.items() if name != "known within"}  # fmt: skip
        inner = {name: _told(truth.sample, draw, n, repeats, seed, within)
                 for name, draw in draws.items() if name != "known where"}  # fmt: skip
    found = {name: {"where": where[name], "within": inner[name]} for name in ("exact", "learnt")}
    known = {"where": where["known where"], "within": inner["known within"]}
    met = {
        f"{name}_ok": all(not_told(power) for power in tests.values())
        for name, tests in found.items()
    }
    met["power_ok"] = all(power.share >= POWER_BAR for power in known.values())
    met["ok"] = met["exact_ok"] and met["power_ok"]
    return found | {"known": known, "pace": pace, "seed": seed} | met


def not_told(found: two_sample.Power) -> bool:
    """Whether so many alarms have a chance above 1 % if there is no difference: the binomial's."""
    alarms = round(found.share * found.repeats)
    p = [math.comb(found.repeats, k) * found.level**k * (1 - found.level) ** (found.repeats - k)
         for k in range(alarms, found.repeats + 1)]  # fmt: skip
    return sum(p) > 0.01


# -- what is printed -----------------------------------------------------------------------------


def run(seconds: float = 120, seeds: Sequence[int] = (0, 1, 2)) -> bool:
    """Measure with each seed, then the plane; print the tables; say whether all bars are met."""
    yard = new_yardstick()
    print("\nDigits 16×16: Fréchet distance to the test pictures (lower is better)", flush=True)
    print(scale(context(yard)), flush=True)
    results = []
    for seed in seeds:
        results.append(digits_run(yard, seconds, seed))
        print(table(results[-1]), flush=True)
    end = verdict(results)
    print(summary(end, len(results)), flush=True)
    plane = mixture_run(seconds / 4, seeds[0])
    print("\nA ring of eight modes: how often a test finds a difference", flush=True)
    print(plane_table(plane))
    return end["ok"] and plane["ok"]


def scale(found: dict[str, float]) -> str:
    """The lines that ``bench`` prints for ``context``."""
    return (
        f"  the judge names {found['accuracy']:.1%} of the test pictures\n"
        f"  floor, the training pictures  {found['floor']:8.1f}  (nearest training picture of "
        f"the test pictures {found['nearest']:.3f})\n"
        f"  ceiling, noise                {found['ceiling']:8.1f}  nearest training picture "
        f"{found['nearest_noise']:.3f}"
    )


def table(result: dict) -> str:
    """The lines that ``bench`` prints for one ``digits_run``."""
    ours, example = result["ours"], result["example"]
    looks = ", ".join(f"{x['distance']:.1f} ({x['numbers'] / 1e6:.1f} M, {x['by']} steps)"
                      for x in result["looks"])  # fmt: skip
    paces = ", ".join(f"{x['per_second']:.0f} ({x['numbers'] / 1e6:.1f} M)"
                      for x in result["looks"] if x["by"] == EXAMPLE_STEPS[0])  # fmt: skip
    lines = [
        f"  seed {result['seed']}",
        f"  diffusers' U-Net              {example['distance']:8.1f}  the best of {looks}",
        _side(example),
        f"  U-Net of this course          {ours['distance']:8.1f}  ± {ours['spread']:.1f} by the "
        f"samples alone, {STEPS} steps",
        _side(ours),
        f"  ratio                         {result['ratio']:8.2f}",
        f"  samples a second              {ours['per_second']:8.0f}  diffusers, 10 steps: {paces}",
    ]
    if ours.get("of_chain") is not None:
        lines.append(
            f"  by 1000 steps of DDPM         {ours['chain']:8.1f}  {ours['chain_per_second']:.1f} "
            f"samples a second; {STEPS} steps are at {ours['of_chain']:.2f} times that"
        )
    return "\n".join(lines)


def summary(end: dict, seeds: int) -> str:
    """The lines that ``bench`` prints for the medians, with the three marks."""
    return (
        f"  median of {seeds}: distance {end['ours']:.1f} against {end['example']:.1f}, "
        f"{end['ratio']:.2f} times (bar: {DISTANCE_BAR})  {_mark(end['near'])}\n"
        f"  median of {seeds}: {end['pace']:.0f} samples a second (bar: {PACE_BAR:g})  "
        f"{_mark(end['fast'])}\n"
        f"  median of {seeds}: {end['of_chain']:.2f} times the distance of 1000 steps "
        f"(bar: {CHAIN_BAR})  "
        f"{_mark(end['faithful'])}"
    )


def plane_table(result: dict) -> str:
    """The lines that ``bench`` prints for ``mixture_run``."""
    known, level = result["known"], result["exact"]["where"].level
    n, repeats = known["where"].n, known["where"].repeats
    lines = [f"  {repeats} times {n:,} points, at the level {level}"]
    lines += [
        f"  one mode, 0.4 of its weight   {_power(known['where'])}",
        f"  modes 15 % too wide           {_power(known['within'])}",
        f"    power (bar: {POWER_BAR})  {_mark(result['power_ok'])}",
    ]
    for name, title in (("exact", "the exact score"), ("learnt", "the learnt score")):
        for test, power in result[name].items():
            lines.append(f"  {title + ', ' + test:28}  {_power(power)}")
        said = "not told apart" if result[f"{name}_ok"] else "told apart"
        if name == "exact":
            lines.append(f"    {said}  {_mark(result['exact_ok'])}")
        else:
            pace = result["pace"]
            lines.append(f"    {said} (no bar), after {pace['seconds']:.1f} s, "
                         f"{pace['steps']:,} steps")  # fmt: skip
    return "\n".join(lines)


# -- parts ---------------------------------------------------------------------------------------


def evenly(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Adds ``u``, one a row, evenly spread over [0, 1) from a start by lot: even, and less noisy.

    Each u by itself is even over [0, 1), so the mean of the loss is what it was; but every batch
    holds easy times and hard ones. Kingma et al. 2021, appendix I.1.
    """
    rows = len(batch["x"])
    start = torch.rand((), generator=generator)
    return batch | {"u": (start + torch.arange(rows) / rows) % 1}


def _fit_ours(model: nn.Module, x: Tensor, seed: int, **how_long: float) -> History:
    batches = Batches(
        {"x": diffusion.to_signed(x)}, BATCH, seed=seed, noise={"eps": SHAPE}, augment=evenly
    )
    options: dict = DIGITS_DIFFUSION | {"progress": False} | how_long
    return fit(model, diffusion.loss, batches, **options)


def _run_ours(yard: Yardstick, seconds: float, seed: int, chain: bool, samples: int) -> dict:
    model, side = train_ours(yard.train, seconds, seed)
    drawn(model, seed, 2 * PART)  # not counted
    start = time.perf_counter()
    x = drawn(model, seed, samples)
    side["per_second"] = samples / (time.perf_counter() - start)
    side |= yard.look(x)
    again = [yard.distance(drawn(model, seed + 100 * k, samples)) for k in range(1, 5)]
    side["spread"] = statistics.stdev([side["distance"], *again])
    if chain:
        start = time.perf_counter()
        x = drawn(model, seed, samples, steps=None)
        side["chain_per_second"] = samples / (time.perf_counter() - start)
        side["chain"] = yard.distance(x)
        side["of_chain"] = side["distance"] / side["chain"]
    return side


def _run_examples(yard: Yardstick, seconds: float, seed: int, samples: int) -> tuple[dict, list]:
    """The better of the two examples as it looks best, and all looks; ``per_second``: of 10 steps.

    Only the better one is looked at a second time, with more steps: the other takes minutes.
    """
    nets, looks = [], []
    for width in baseline_diffusion.EXAMPLE_WIDTHS:
        net, side = train_example(yard.train, seconds, seed, width)
        nets.append(net)
        looks.append(side | _look_at_example(yard, net, seed, samples, EXAMPLE_STEPS[0]))
    best = min(looks, key=lambda look: look["distance"])
    net = nets[looks.index(best)]
    looks.append(best | _look_at_example(yard, net, seed, samples, EXAMPLE_STEPS[1]))
    better = min(looks, key=lambda look: look["distance"])
    return better | {"per_second": best["per_second"]}, looks


def _look_at_example(yard: Yardstick, net: Any, seed: int, samples: int, steps: int) -> dict:
    chance = torch.Generator().manual_seed(10_000 + seed)
    start = time.perf_counter()
    x = baseline_diffusion.sample_example(net, samples, steps, chance)
    pace = samples / (time.perf_counter() - start)
    return yard.look(x) | {"by": steps, "per_second": pace}


def _warm_up(x: Tensor) -> None:
    """A few steps each, not counted: they load libraries."""
    _fit_ours(digit_model(), x, 0, steps=3)
    net = baseline_diffusion.example_unet()
    baseline_diffusion.train_example_diffusion(net, x[:192], 1e-9)
    baseline_diffusion.sample_example(net, 4, 2)


def _pool(model: Any, n: int, seed: int) -> two_sample.Draw:
    """n points by the whole chain, dealt out in turn; when they are at an end, from the first."""
    chance = torch.Generator().manual_seed(20_000 + seed)
    x = torch.cat([
        diffusion_samplers.ddpm(model, part, variance="beta", generator=chance)
        for part in torch.randn(n, 2, generator=chance).split(20_000)
    ])  # fmt: skip
    turn = itertools.count()

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return x[(next(turn) * n + torch.arange(n)) % len(x)]

    return draw


def _told(
    truth: two_sample.Draw, draw: two_sample.Draw, n: int, repeats: int, seed: int, seen: Any = None
) -> two_sample.Power:
    def through(f: two_sample.Draw) -> two_sample.Draw:
        return (lambda n, generator: seen(f(n, generator))) if seen else f

    return two_sample.power(
        through(truth), through(draw), n, repeats=repeats, level=LEVEL, seed=30_000 + seed
    )


def _power(x: two_sample.Power) -> str:
    return f"{x.share:6.1%}  ({x.low:.1%} to {x.high:.1%})"


def _side(side: dict) -> str:
    return (
        f"    to the training pictures {side['to_train']:.1f}, nearest {side['nearest']:.3f}; "
        f"{side['numbers']:,} numbers, {side['steps']:,} steps in {side['seconds']:.1f} s"
    )
