"""How the GPT that ships is made, and what it is measured by; ``recipes.RECIPES`` lists it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from genart_lessons import data, runtime
from genart_lessons.models import copying, likelihood, sampling, sequences, transformer
from genart_lessons.training.loop import fit
from genart_lessons.training.muon import Muon
from genart_lessons.training.run import History
from genart_lessons.training.windows import Windows


def falling(step: int, total: float) -> float:
    """A learning rate that falls to 0 on a straight line: a schedule for ``training.fit``."""
    return max(0.0, 1 - step / total)


# What ``training.fit`` is given, besides steps or seconds: found on the training tunes.
GPT_MUON: dict = dict(optimizer=partial(Muon, lr=0.02), schedule=falling, warmup=30, clip_grad=1.0)
GPT_TUNES_STEPS, GPT_TUNES_CONTEXT, GPT_TUNES_BATCH = 2_000, 256, 8
SAMPLES = 100


def gpt(context: int = GPT_TUNES_CONTEXT, dropout: float = 0.1) -> transformer.GPT:
    """The shipped GPT before it has learnt anything: 4 blocks of width 128, ``MODERN``.

    256 characters are nine tunes out of ten, whole.
    """
    V = len(data.CHARACTERS)
    return transformer.GPT(V, context, dropout=dropout, design=transformer.MODERN)


def on_tunes(
    name: str,
    new: Callable[[], nn.Module],
    context: int,
    batch: int,
    steps: int,
    seed: int,
    settings: dict,
) -> tuple[nn.Module, History]:
    """A ``new`` model after ``steps`` on windows of the training tunes, with its history."""
    runtime.seed_everything(seed)
    model = new()
    history = fit(
        model,
        sequences.loss,
        Windows(data.tunes("train").stream(), context, batch, seed=seed),
        steps=steps,
        checkpoint=runtime.cache_dir() / f"{name}-{steps}-{seed}.safetensors",
        name=name,
        **settings,
    )
    return model, history


def train_gpt(steps: int, seed: int = 0) -> tuple[nn.Module, History]:
    """The GPT of chapter 06, on the training tunes."""
    sizes = GPT_TUNES_CONTEXT, GPT_TUNES_BATCH
    return on_tunes("gpt_tunes", gpt, *sizes, steps, seed, GPT_MUON)


def drawn(model: nn.Module, samples: int = SAMPLES, seed: int = 0) -> list[str]:
    """New tunes at temperature 1, with the heads of as many unseen tunes: the same metres and keys.

    The heads alone are given; titles and notes are not.
    """
    unseen = data.tunes("test")
    heads = [sampling.header(*head) for head in zip(unseen.meters, unseen.keys, strict=True)]
    return sampling.continued(model, heads[:samples], seed)


def measure_gpt(model: nn.Module) -> dict[str, float]:
    """Bits per character of unseen and of training tunes; how 100 new ones are as music, and as
    copies: the median and the longest passage, in notes, that stands in a training tune, beside the
    same of as many unseen real tunes.
    """
    train, test = data.tunes("train"), data.tunes("test")
    bits, error = likelihood.mean_bits(likelihood.by_tune(model, test, GPT_TUNES_CONTEXT))
    some = train.take(list(range(0, len(train), 10)))
    known, _ = likelihood.mean_bits(likelihood.by_tune(model, some, GPT_TUNES_CONTEXT))
    made = drawn(model)
    checks = [data.check_abc(text) for text in made]
    legible = [text for text, check in zip(made, checks, strict=True) if check.parses]
    passages = copying.Passages(train.texts, unit="notes")
    copied, usual = passages.lengths(legible), passages.lengths(test.texts[:SAMPLES])
    return {
        "test_bits_per_character": bits,
        "standard_error_over_tunes": error,
        "train_bits_per_character": known,
        "samples_that_parse": len(legible) / len(made),
        "samples_whose_bars_add_up": sum(check.ok for check in checks) / len(made),
        "copied_notes_median": float(copied.median()),
        "copied_notes_longest": float(copied.max()),
        "copied_notes_median_of_unseen": float(usual.median()),
        "copied_notes_longest_of_unseen": float(usual.max()),
    }
