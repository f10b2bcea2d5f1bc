"""The two listings, L1 and L2: run to the line where they fail, mended, and trained."""

from __future__ import annotations

from functools import cache

import torch

from genart_lessons import data
from genart_lessons.ledger.evidence import Seen, Shown
from genart_lessons.ledger.row import FAILS, Row
from genart_lessons.models import listings
from genart_lessons.models.two_sample import energy_distance


def _stops(trace: listings.Trace, line: str, repaired: tuple[listings.Step, ...]) -> Seen:
    failed = trace.failed
    told = f"{failed.line}: {failed.why}" if failed else "every line runs"
    last = repaired[-1]
    return Seen(
        failed is not None and failed.line == line,
        f"{len(trace.steps) - 2} lines run, and the next does not: {told}",
        all(step.ok for step in repaired),
        f"with one number changed they all run, to {last.shape}",
        told,
    )


def l1_stops_at_its_last_line() -> Seen:
    """8 doubled twice is 32: 3,072 numbers do not fill 64×64×3."""
    repaired = listings.through(torch.randn(2, 100), listings.l1_generator(32))
    return _stops(listings.run_l1(), "Reshape((64, 64, 3))", repaired)


def l2_stops_at_its_reshape() -> Seen:
    """512 numbers do not fill 28×28."""
    repaired = listings.through(torch.randn(2, 100), listings.l2_generator(784))
    return _stops(listings.run_l2(), "Reshape((28, 28, 1))", repaired)


def names_are_missing() -> Seen:
    """Names that are used and not defined, by reading both listings' code."""
    one, two = map(listings.names_missing, (listings.NAMES_OF_L1, listings.NAMES_OF_L2))
    whole = "import numpy as np\ngan = load_data = 0\n" + listings.NAMES_OF_L2
    return Seen(
        one == ["Flatten"] and two == ["gan", "load_data", "np"],
        f"L1 lacks {', '.join(one)}; L2 lacks {', '.join(two)}",
        not listings.names_missing(whole),
        "with an import and two definitions more nothing is missing",
        f"NameError: {', '.join(two)}",
    )


def no_bend_no_depth() -> Seen:
    """L1's layers have no activation: half-way between two codes is half-way between pictures."""
    off = listings.off_affine()
    with torch.no_grad():
        bent = torch.nn.Sequential(torch.nn.Linear(100, 64), torch.nn.ReLU(),
                                   torch.nn.Linear(64, 9))  # fmt: skip
        a, b = torch.randn(2, 100), torch.randn(2, 100)
        other = float((bent((a + b) / 2) - (bent(a) + bent(b)) / 2).abs().max())
    return Seen(
        off < 1e-4,
        f"L1's generator differs from an affine map by {off:.0e}: its depth is for nothing",
        other > 1e-3,
        f"one with a ReLU by {other:.2f}",
        "five layers that are one matrix",
    )


def l2_makes_the_wrong_size() -> Seen:
    """With 784 numbers L2's generator runs, and makes 56×56 for a judge of 28×28."""
    last = listings.through(torch.randn(2, 100), listings.l2_generator(784))[-1]
    judge = torch.nn.Sequential(
        listings.SameConv2d(1, 64, 4, 2), listings.SameConv2d(64, 128, 4, 2),
        torch.nn.Flatten(), torch.nn.Linear(128 * 7 * 7, 1),
    )  # fmt: skip
    runs = []
    for side in (56, 28):
        try:
            judge(torch.randn(2, 1, side, side))
            runs.append(True)
        except RuntimeError:
            runs.append(False)
    return Seen(
        last.shape == "(56, 56, 1)" and not runs[0],
        f"it makes {last.shape}; its discriminator, built for (28, 28, 1), cannot take it",
        runs[1],
        "pictures of (28, 28, 1) it can",
        "28 doubled is 56",
    )


@cache
def mended() -> listings.MendedGAN:
    """L2, mended and trained for some seconds on the training digits; trained once."""
    return listings.train_mended(data.digits("train").x)


def mended_it_trains() -> Seen:
    """The mended listing after some seconds, against itself untrained and against noise."""
    unseen = data.digits("test").x.flatten(1)
    made = [model.sample(300, generator=torch.Generator().manual_seed(1)).flatten(1)
            for model in (mended(), listings.MendedGAN().eval())]  # fmt: skip
    made.append(torch.rand(300, 64, generator=torch.Generator().manual_seed(2)))
    trained, blank, noise = (energy_distance(each, unseen) for each in made)
    return Seen(
        trained < min(blank, noise) / 3,
        f"energy distance of its fakes to unseen digits: {trained:.3f}",
        min(blank, noise) > 0.5,
        f"untrained {blank:.3f}, noise {noise:.3f}",
    )


ROWS = (
    Row(
        "L1", "C, project",
        "Keras: a dense layer of 128·8·8, two transposed convolutions of stride 2, "
        "`Reshape((64, 64, 3))`; a discriminator for 64 × 64",
        FAILS, "04",
        (Shown(l1_stops_at_its_last_line), Shown(names_are_missing), Shown(no_bend_no_depth),
         Shown(mended_it_trains)),
        corrected="A third transposed convolution (8 → 16 → 32 → 64) in place of the last reshape, "
                  "activations between the layers and a bounded one at the end, `Flatten` "
                  "imported, both models compiled, and a loop that takes turns.",
        note='The article calls it simplified, and marks what it leaves out with "…".',
    ),
    Row(
        "L2", "D§5.2",
        "Keras: dense layers of 128, 256, 512, `Reshape((28, 28, 1))`, one transposed convolution "
        "of stride 2; a discriminator for 28 × 28; a training loop",
        FAILS, "04",
        (Shown(l2_stops_at_its_reshape), Shown(l2_makes_the_wrong_size), Shown(names_are_missing),
         Shown(mended_it_trains)),
        corrected="Dense to 14·14·c numbers, reshaped to (14, 14, c), so that one doubling gives "
                  "28; `np`, `load_data` and `gan` defined; models compiled; the discriminator "
                  "frozen in the generator's step.",
        note="Its loop has the right idea: real and made pictures with labels 1 and 0 for the "
             "discriminator, then the generator with label 1, which is the non-saturating loss.",
    ),
)  # fmt: skip
