"""What chapter 08 promises, measured: how soon a picture is stylised, by us and by Adam.

All of it can be repeated from what is written here.

*The same.* Per pair, one ``style.StyleTransfer`` at 192 pixels: the same perceptual network with
the same memory layout, the same weights, the same start (the content picture; ours keeps 0.02 away
from black and white), and one function that judges every picture, in [0, 1]; on the processor with
two threads (one where there is one core), in one run. A few evaluations of each before, not
counted, load libraries.

*The example* is the usual recipe: Adam on the pixels, 300 steps, put back within [0, 1] after each,
at the best of three rates, 0.01, 0.03 and 0.1, by the lowest loss that it came to, pair by pair.
Only the best rate's time counts. (Gatys et al. themselves used L-BFGS on pixels; with VGG-19, 30
times as large a network, and nobody can fetch it offline.)

*Ours* differs in the way down: L-BFGS with a line search, in waves whose long ones are easier to
move (``style.Waves``), and from coarse to fine: 20 evaluations at a quarter of the size, 10 at
half, of which only the change is taken over. Its time holds all of that and runs until its loss at
full size is at most the lowest that Adam came to in its 300 steps; at most 300 evaluations.
Adam at its best rate and ours are timed in turn, three times, so that what else the machine does
meets both; the share is the median of the three. The bar: at most a third of Adam's time, for each
of the three pairs. A fourth pair, whose style is a
quilt of emoji, is measured and printed, but not judged: saturated colours and hard edges are not
smooth, and L-BFGS gains less on them.

*A stylist* paints the held-out photos at the same 192 pixels, the median of five; the bar: at least
50 times faster a picture than the usual recipe (Adam's best run, the quickest of the three pairs).
How many times faster than our own way it is stands beside it, without a bar, and so does what is
lost: its loss, by the same function, which is not as low.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genart_lessons import data
from genart_lessons.models import style, stylist
from genart_lessons.training import recipes_style
from genart_lessons.training.bench_gan import _mark, _two_cores
from genart_lessons.training.weights import load_weights

TIME_BAR, STYLIST_BAR = 1 / 3, 50.0
RATES = (0.01, 0.03, 0.1)
SIZE, STEPS, ROUNDS = 192, 300, 3
COARSE = ((0.25, 20), (0.5, 10))
PAIRS = (("chelsea", "ihc"), ("coffee", "flower"), ("astronaut", "retina"))
HARD = (("coffee", "hearts"),)  # printed, not judged
STYLIST_OF = "flower"


def pictures(pair: Sequence[str], size: int = SIZE) -> tuple[Tensor, Tensor]:
    """The content and the style picture of a pair of names, (3, size, size) each."""
    content, name = pair
    where = recipes_style.STYLES
    return data.photo(content, size), where[name]() if name == "hearts" else data.photo(name, size)


def pair_run(
    pair: Sequence[str], size: int = SIZE, steps: int = STEPS, rates: Sequence[float] = RATES,
    rounds: int = ROUNDS,
) -> dict:  # fmt: skip
    """One comparison. Returns ``example`` (loss, seconds, rate) and ``ours`` (loss, seconds).

    Seconds are medians of the rounds. ``share``: the median of our seconds over the example's,
    infinite where ours never came to its loss; ``tries``: the lowest loss of each rate; ``ok``.
    """
    content, look = pictures(pair, size)
    task = style.StyleTransfer(content, look, size=size)
    with _two_cores():
        runs = {rate: task.run(steps, "adam", lr=rate).losses for rate in rates}
        tries = {rate: min(losses) for rate, losses in runs.items()}
        rate = min(tries, key=tries.__getitem__)
        adams, ours = [], []
        for _ in range(rounds):
            adams.append(task.run(steps, "adam", lr=rate).seconds)
            ours.append(task.run(steps, "lbfgs", coarse=COARSE, until=tries[rate]))
    reached = [each.when(tries[rate]) for each in ours]
    share = statistics.median(a / b for a, b in zip(reached, adams, strict=True))
    return {
        "pair": tuple(pair),
        "start": runs[rate][0],
        "tries": tries,
        "example": {"loss": tries[rate], "seconds": statistics.median(adams), "rate": rate},
        "ours": {
            "loss": min(ours[0].losses),
            "seconds": statistics.median(reached),
            "evaluations": ours[0].evaluations,
        },
        "share": share,
        "ok": share <= TIME_BAR,
    }


def stylist_run(
    adam_seconds: float,
    ours_seconds: float,
    model: nn.Module | None = None,
    repeats: int = 5,
) -> dict:
    """The stylist's seconds a picture; how many ``times`` faster than Adam, ``over_ours`` than us.

    ``loss`` and ``of``: its pictures' mean loss on the held-out photos, and the photos' own.
    """
    model = load_weights(stylist.Stylist(), f"stylist_{STYLIST_OF}") if model is None else model
    model = model.cpu().eval()
    x = recipes_style.unseen(SIZE)
    took = []
    with _two_cores(), torch.no_grad():
        model(x[:1])  # not counted
        for _ in range(repeats):
            began = time.perf_counter()
            for one in x:
                model(one[None])
            took.append((time.perf_counter() - began) / len(x))
        judge = stylist.StyleLoss(recipes_style.style_picture(STYLIST_OF))
        loss, of = (float(sum(judge.parts(y, x).values()).mean()) for y in (model(x), x))
    seconds = statistics.median(took)
    times = adam_seconds / seconds
    return {
        "seconds": seconds,
        "times": times,
        "over_ours": ours_seconds / seconds,
        "loss": loss,
        "of": of,
        "ok": times >= STYLIST_BAR,
    }


def run(size: int = SIZE, steps: int = STEPS, hard: bool = True) -> bool:
    """Measure all pairs, then the stylist; print; say whether every bar is met."""
    what = f"seconds to the loss of Adam's {steps} steps"
    print(f"\nStyle transfer at {size} pixels: {what}", flush=True)
    with _two_cores():
        _warm_up()
    results = []
    for pair in PAIRS:
        results.append(pair_run(pair, size, steps))
        print(line(results[-1]), flush=True)
    for pair in HARD if hard else ():
        print(line(pair_run(pair, size, steps), judged=False), flush=True)
    adam, ours = (min(each[side]["seconds"] for each in results) for side in ("example", "ours"))
    quick = stylist_run(adam, ours)
    print(stylist_line(quick), flush=True)
    return all(each["ok"] for each in results) and quick["ok"]


def line(result: dict, judged: bool = True) -> str:
    """The lines that ``bench`` prints for one ``pair_run``."""
    content, look = result["pair"]
    example, ours = result["example"], result["ours"]
    verdict = _mark(result["ok"]) if judged else "not judged"
    return "\n".join(
        [
            f"  {content} as {look}: loss {result['start']:.3f} at the start",
            f"    Adam, {example['rate']:g} a step     {example['loss']:.4f}  "
            f"{example['seconds']:6.2f} s",
            f"    L-BFGS in waves       {ours['loss']:.4f}  {ours['seconds']:6.2f} s, "
            f"{ours['evaluations']} evaluations",
            f"    share of the time     {result['share']:.3f} (bar: {TIME_BAR:.3f})  {verdict}",
        ]
    )


def stylist_line(found: dict) -> str:
    """The lines that ``bench`` prints for ``stylist_run``."""
    return "\n".join(
        [
            f"  stylist_{STYLIST_OF}: {found['seconds']:.4f} s a picture, "
            f"{found['times']:.0f} times faster than Adam (bar: {STYLIST_BAR:g})  "
            f"{_mark(found['ok'])}",
            f"    and {found['over_ours']:.0f} times faster than L-BFGS in waves (no bar)",
            f"    its loss on the held-out photos {found['loss']:.3f}, theirs {found['of']:.3f}",
        ]
    )


def _warm_up() -> None:
    """A few evaluations each, not counted: they load libraries."""
    content, look = pictures(PAIRS[0], 64)
    task = style.StyleTransfer(content, look, size=64)
    for optimizer in ("adam", "lbfgs"):
        task.run(3, optimizer)
