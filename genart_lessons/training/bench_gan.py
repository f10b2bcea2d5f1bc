"""What chapter 04 promises, measured: our digit GAN against PyTorch's example DCGAN.

All of it can be repeated from what is written here.

*Pictures.* The digits, 8×8 in [0, 1], resized to 32×32 by ``F.interpolate`` (bilinear,
``align_corners=False``, no antialiasing). Both models learn the 1,500 training pictures.

*The distance.* ``models.frechet.DigitJudge`` is trained for 500 steps on the training pictures (64
a batch, seed 0, Adam, learning rate 2e-3 falling to 0 by a cosine, float32, no augmentation). Its
features are the 64 numbers that its last layer sees. A model's samples are 5,000 pictures of codes
from a generator seeded with 10,000 + seed. Their mean and covariance are compared with those of the
1,500 *training* pictures by ``frechet.frechet_distance``. Beside it stand the floor (what the 297
test pictures score, a little high because they are few), the ceiling (what 5,000 pictures of
uniform noise score), and how far the distance varies with the seed of the samples alone. A model
that repeats the training pictures would score well too; how far samples lie from the nearest
training picture (the first 1,000 of them, ``frechet.nearest_distance``) says whether ours does.

*Both sides* train on the processor with the same two threads (one where there is one core), one
after the other in one run, after a few steps each that are not counted. The example is measured at
half, once and twice the seconds that ours gets and its best distance is taken: two more looks than
ours has, which is measured once, at the end. Its pictures are drawn both in train mode (as it
draws its own) and in eval mode, and the better distance counts. Measuring is not training time.
Pictures per second are real training pictures consumed per second of training, over the whole run.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons import data, runtime
from genart_lessons.models import baseline, frechet, gan_digits
from genart_lessons.training.batches import Batches
from genart_lessons.training.loop import fit
from genart_lessons.training.recipes_gan import GAN_ADAM
from genart_lessons.training.run import History

SAMPLES, JUDGE_STEPS, SPEED_BAR = 5_000, 500, 1.5
EXAMPLE_WIDTH = 33  # 563,706 numbers to learn; ours has 564,325
GAN_DIGITS: dict = dict(optimizer=GAN_ADAM, ema=0.995)  # for ``training.fit``
GAMMA, BATCH = 1.0, 64


def pictures(split: str) -> Tensor:
    """The digits of a split, (N, 1, 32, 32) in [0, 1]: resized as the module's text says."""
    return F.interpolate(data.digits(split).x, size=32, mode="bilinear").clamp(0, 1)


class Yardstick:
    """The judge, the training pictures' statistics in its features, and how a model is measured."""

    def __init__(self, judge: frechet.DigitJudge, train: Tensor, test: Tensor):
        self.judge, self.train, self.test = judge.eval(), train, test
        self.reference = frechet.statistics(judge.features(train))

    def distance(self, x: Tensor) -> float:
        """From pictures (N, 1, 32, 32) in [0, 1] to the training pictures."""
        found = frechet.statistics(self.judge.features(x))
        return frechet.frechet_distance(*self.reference, *found)

    def of(self, model: nn.Module, seed: int, samples: int = SAMPLES) -> float:
        """The distance of ``samples`` pictures that the model makes, as it stands."""
        return self.distance(drawn(model, seed, samples))

    def nearest(self, x: Tensor) -> float:
        """From pictures to their nearest training picture, mean: ``frechet.nearest_distance``."""
        return float(frechet.nearest_distance(x, self.train).mean())


def new_yardstick(steps: int = JUDGE_STEPS, seed: int = 0) -> Yardstick:
    """Train the judge, about six seconds' work."""
    train, test = pictures("train"), pictures("test")
    with _two_cores():
        runtime.seed_everything(seed)
        judge = frechet.DigitJudge()
        batches = Batches({"x": train, "y": data.digits("train").y}, 64, seed=seed)
        settings: dict = dict(lr=2e-3, schedule="cosine", progress=False)
        fit(judge, frechet.judge_loss, batches, steps=steps, **settings)
    return Yardstick(judge, train, test)


def drawn(model: nn.Module, seed: int, samples: int = SAMPLES) -> Tensor:
    """Pictures (samples, 1, 32, 32) of the model, of codes from a generator seeded 10,000 + seed.

    500 at a time, which is only kinder to memory.
    """
    chance = torch.Generator().manual_seed(10_000 + seed)
    sizes = [len(part) for part in torch.arange(samples).split(500)]
    return torch.cat([model.sample(size, generator=chance) for size in sizes])


def context(yard: Yardstick) -> dict[str, float]:
    """What the distances are to be read against: accuracy, floor, ceiling, nearest of the test."""
    noise = torch.rand(SAMPLES, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    return {
        "accuracy": yard.judge.accuracy(yard.test, data.digits("test").y),
        "floor": yard.distance(yard.test),
        "ceiling": yard.distance(noise),
        "nearest": yard.nearest(yard.test),
        "nearest_noise": yard.nearest(noise[:500]),
    }


def gan_digits_run(
    yard: Yardstick, seconds: float = 60, seed: int = 0, example_seconds: float | None = None
) -> dict:
    """One comparison: ours after ``seconds``, the example at half, once and twice as many.

    ``example_seconds`` gives the example another time than ``seconds`` to be measured at the half,
    once and twice of. Returns ``ours`` and ``example``, each with ``distance``, ``per_second``,
    ``seconds``, ``numbers`` (the count of weights) and ``nearest``; ours also with ``spread``, the
    standard deviation of its distance over five seeds of the samples; the example with ``looks``,
    (seconds, distance) of each look; ``speed``, the ratio of pictures per second; and ``near`` and
    ``fast``: whether the two bars are met.
    """
    marks = [share * (example_seconds or seconds) for share in (0.5, 1, 2)]
    with _two_cores():
        _warm_up(yard.train)
        ours = _run_ours(yard, seconds, seed)
        example = _run_example(yard, marks, seed)
    speed = ours["per_second"] / example["per_second"]
    near, fast = ours["distance"] <= example["distance"], speed >= SPEED_BAR
    return dict(ours=ours, example=example, speed=speed, near=near, fast=fast, seed=seed)


def verdict(results: Sequence[dict]) -> dict:
    """The medians over the seeds, and whether *they* meet the two bars."""
    middle = {
        side: statistics.median(result[side]["distance"] for result in results)
        for side in ("ours", "example")
    }
    speed = statistics.median(result["speed"] for result in results)
    near, fast = middle["ours"] <= middle["example"], speed >= SPEED_BAR
    return middle | {"speed": speed, "near": near, "fast": fast, "ok": near and fast}


def run(seconds: float = 60, seeds: Sequence[int] = (0, 1, 2)) -> bool:
    """Measure with each seed, print the table, and say whether the medians meet both bars."""
    yard = new_yardstick()
    print("\nDigits 32×32: Fréchet distance to the training pictures (lower is better)", flush=True)
    print(scale(context(yard)), flush=True)
    results = []
    for seed in seeds:
        results.append(gan_digits_run(yard, seconds, seed))
        print(table(results[-1]), flush=True)
    end = verdict(results)
    print(summary(end, len(results)))
    return end["ok"]


def scale(found: dict[str, float]) -> str:
    """The lines that ``bench`` prints for ``context``."""
    return (
        f"  the judge names {found['accuracy']:.1%} of the test pictures\n"
        f"  floor, 297 test pictures      {found['floor']:8.1f}  nearest training picture "
        f"{found['nearest']:.3f}\n"
        f"  ceiling, noise                {found['ceiling']:8.1f}  nearest training picture "
        f"{found['nearest_noise']:.3f}"
    )


def table(result: dict) -> str:
    """The lines that ``bench`` prints for one ``gan_digits_run``."""
    ours, example = result["ours"], result["example"]
    looks = ", ".join(f"{distance:.1f} at {at:.0f} s" for at, distance in example["looks"])
    return "\n".join(
        [
            f"  seed {result['seed']}",
            f"  PyTorch's example DCGAN       {example['distance']:8.1f}  the best of {looks}",
            *_side(example),
            f"  DigitGAN of this course       {ours['distance']:8.1f}  ± {ours['spread']:.1f} "
            f"by the samples alone, after {ours['seconds']:.1f} s",
            *_side(ours),
            f"  pictures a second, ratio      {result['speed']:8.2f}",
        ]
    )


def summary(end: dict, seeds: int) -> str:
    """The last lines that ``bench`` prints: the medians and the two marks."""
    return (
        f"  median of {seeds}: distance {end['ours']:.1f} against {end['example']:.1f}  "
        f"{_mark(end['near'])}\n"
        f"  median of {seeds}: {end['speed']:.2f} times the pictures a second (bar: {SPEED_BAR})  "
        f"{_mark(end['fast'])}"
    )


def _side(side: dict) -> list[str]:
    return [
        f"    {side['numbers']:,} numbers, {side['per_second']:.0f} pictures a second, "
        f"nearest training picture {side['nearest']:.3f}"
    ]


@contextlib.contextmanager
def processor(threads: int) -> Iterator[None]:
    """Everything on the processor, with so many threads or a core for each; then all as before."""
    before, named = torch.get_num_threads(), os.environ.get("GENART_DEVICE")
    try:
        torch.set_num_threads(min(threads, os.cpu_count() or 1))
        os.environ["GENART_DEVICE"] = "cpu"
        yield
    finally:
        torch.set_num_threads(before)
        os.environ.pop("GENART_DEVICE")
        if named is not None:
            os.environ["GENART_DEVICE"] = named


_two_cores = partial(processor, 2)


def train_ours(x: Tensor, seconds: float, seed: int) -> tuple[gan_digits.DigitGAN, int, float]:
    """Our GAN after ``seconds`` on pictures x: its averaged copy, pictures consumed, seconds taken.

    Cross-entropy with R1 (γ = 1, every eighth step), Adam 1e-3 with β₁ = 0 for both, 64 a batch,
    an average of the weights with decay 0.995, and mixed precision where the processor has it. The
    seconds hold everything: making the model, training, and settling the averaged copy.
    """
    start = time.perf_counter()
    runtime.seed_everything(seed)
    model = gan_digits.DigitGAN()
    spent = time.perf_counter() - start
    goal = max(0.1 * seconds, seconds - spent - min(1.0, 0.02 * seconds))  # to settle
    history = _fit_ours(model, x, seed, seconds=goal)
    history.ema.settle()
    return history.ema, history.steps * BATCH, time.perf_counter() - start


def _fit_ours(model: gan_digits.DigitGAN, x: Tensor, seed: int, **how_long: float) -> History:
    batches = Batches({"x": x}, BATCH, seed=seed, noise={"z": (model.latent,)})
    options = GAN_DIGITS | {"precision": _precision(), "progress": False} | how_long
    return fit(model, model.losses(gamma=GAMMA), batches, **options)


def _run_ours(yard: Yardstick, seconds: float, seed: int) -> dict:
    model, images, took = train_ours(yard.train, seconds, seed)
    x = drawn(model, seed)
    again = [yard.of(model, seed + 100 * k) for k in range(1, 5)]
    distance = yard.distance(x)
    return {
        "distance": distance,
        "spread": statistics.stdev([distance, *again]),
        "per_second": images / took,
        "seconds": took,
        "numbers": _count(gan_digits.DigitGAN()),
        "nearest": yard.nearest(x[:1000]),
    }


def _run_example(yard: Yardstick, marks: Sequence[float], seed: int) -> dict:
    torch.manual_seed(seed)
    model = baseline.ExampleDCGAN(EXAMPLE_WIDTH)
    looks: list[tuple[float, float]] = []
    best: dict = {"distance": float("inf")}

    def look(spent: float) -> None:
        modes = {training: drawn(model.train(training), seed) for training in (False, True)}
        model.train()
        found = {training: yard.distance(x) for training, x in modes.items()}
        mode = min(found, key=lambda training: found[training])
        looks.append((spent, found[mode]))
        if found[mode] < best["distance"]:
            best.update(distance=found[mode], nearest=yard.nearest(modes[mode][:1000]))

    images, seconds = baseline.train_example_gan(model, yard.train, marks, look, seed=seed)
    pace = {"per_second": images / seconds, "seconds": seconds, "numbers": _count(model)}
    return best | pace | {"looks": looks}


def _precision() -> str:
    """What ``training.fit`` is asked for: bfloat16 where the processor is quicker with it."""
    return "mixed"


def _warm_up(x: Tensor) -> None:
    """A few steps each, not counted: they load libraries."""
    _fit_ours(gan_digits.DigitGAN(), x, 0, steps=3)
    baseline.train_example_gan(baseline.ExampleDCGAN(EXAMPLE_WIDTH), x[:192], [1e-9])


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _mark(ok: bool) -> str:
    return "✔ met" if ok else "✘ missed"
