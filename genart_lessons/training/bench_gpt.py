"""What chapter 06 promises, measured: our GPT against a small GPT-2, and how fast it writes.

All of it can be repeated from what is written here.

*Likelihood.* Both models learn ``data.tunes("train").stream()``, character by character, in windows
of 128, on the processor, with the same two threads (one where there is one core), one after the
other in one run, for the same number of seconds. The seconds hold everything: making the model,
the optimiser, training; a few steps each before, not counted, load libraries. Then each is measured
once on every character of ``data.tunes("test")`` but the first, given at most 128 characters before
it: ``likelihood.by_tune``, in float32. No near relative of a test tune is in the training split.
The bar: ours has at least 0.25 bits per character less. The standard error is over tunes, and that
of the difference is the paired one.

The example is ``models.baseline_gpt``: nanoGPT's design, 4 blocks of 4 heads and width 128, with
its recipe for CPUs at batch 8: AdamW 2e-3, β = (0.9, 0.99), decay 0.1, 100 steps of warm-up, a
cosine to a tenth, gradients cut off at 1, no dropout. Ours is ``transformer.GPT`` with the design
``MODERN``, of the same layers, heads and width, so 1.4 % fewer weights, and the same windows a
batch; trained by ``recipes_text.GPT_MUON``, without dropout, in mixed precision where the
processor has it.

*Speed.* One GPT of GPT-2's design (4 blocks, 4 heads, width 128, context 128, 45 characters) with
random weights, four times as large as usual so that its choices are clear; 16 rows of one given
character and 128 written ones, always the likeliest. Three ways, on the same weights and with the
same threads: ``sampling.generate`` without a cache, which reads everything again for each
character, three times; then, in turn and nine times each, with the cache, and ``generate`` of
``transformers``, with its own cache, on ``to_gpt2`` of the model. All must write the very same
characters. The figures are the medians of the times, and the bars: the cache at least 8 times as
fast as the plain pass, and at least 2 times as fast as ``transformers``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genart_lessons import data, runtime
from genart_lessons.models import baseline_gpt, likelihood, sampling, sequences, transformer
from genart_lessons.training.bench_gan import _count, _mark, _precision, _two_cores
from genart_lessons.training.loop import fit
from genart_lessons.training.recipes_text import GPT_MUON, gpt
from genart_lessons.training.windows import Windows

BITS_BAR, PLAIN_BAR, LIBRARY_BAR = 0.25, 8.0, 2.0
CONTEXT, BATCH = 128, 8
ROWS, WRITTEN = 16, 128


def gpt_tunes_run(seconds: float = 60, seed: int = 0, tunes: Any = None) -> dict:
    """One comparison: both sides after ``seconds``, on ``tunes`` (train, test), the course's own.

    Returns ``ours`` and ``example``, each with ``bits``, ``se``, ``steps``, ``seconds`` and
    ``numbers``; ``gain``, example − ours, with its paired standard error ``gain_se``; and ``ok``.
    """
    train, test = tunes or (data.tunes("train"), data.tunes("test"))
    stream = train.stream()
    with _two_cores():
        _warm_up(stream)
        ours, our_pace = train_ours(stream, seconds, seed)
        example, example_pace = train_example(stream, seconds, seed)
        ours_found = likelihood.by_tune(ours, test, CONTEXT)
        example_found = likelihood.by_tune(example, test, CONTEXT)
    gain, gain_se = likelihood.mean_bits(example_found, ours_found)
    return {
        "ours": _side(ours_found, ours) | our_pace,
        "example": _side(example_found, example) | example_pace,
        "gain": gain,
        "gain_se": gain_se,
        "ok": gain >= BITS_BAR,
        "seed": seed,
    }


def train_ours(stream: Tensor, seconds: float, seed: int = 0) -> tuple[nn.Module, dict]:
    """Our GPT after ``seconds`` on a stream (N,), and its steps and seconds."""
    start = time.perf_counter()
    runtime.seed_everything(seed)
    model = gpt(CONTEXT, dropout=0.0)
    spent = time.perf_counter() - start
    left = max(0.1 * seconds, seconds - spent - min(0.5, 0.01 * seconds))  # it may end a step late
    steps = _fit(model, stream, seed, seconds=left)
    return model, {"steps": steps, "seconds": time.perf_counter() - start}


def train_example(stream: Tensor, seconds: float, seed: int = 0) -> tuple[nn.Module, dict]:
    """The example after ``seconds`` on a stream (N,), and its steps and seconds."""
    start = time.perf_counter()
    torch.manual_seed(seed)
    model = baseline_gpt.ExampleGPT(len(data.CHARACTERS), CONTEXT)
    left = max(0.1 * seconds, seconds - (time.perf_counter() - start))
    steps, _ = baseline_gpt.train_example_gpt(model, stream, left, batch_size=BATCH, seed=seed)
    return model, {"steps": steps, "seconds": time.perf_counter() - start}


def sampling_speed(rows: int = ROWS, written: int = WRITTEN, repeats: int = 3) -> dict:
    """Characters a second of the three ways, their ratios, and whether they meet the bars.

    Raises AssertionError when two of them write different characters.
    """
    torch.manual_seed(0)
    model = transformer.GPT(len(data.CHARACTERS), CONTEXT).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0 if weight.ndim == 2 else 1.0)
    theirs = transformer.to_gpt2(model)
    first = torch.arange(rows)[:, None] % model.V
    ways = {
        "plain": lambda: sampling.generate(model, first, written, temperature=0, cache=False),
        "cache": lambda: sampling.generate(model, first, written, temperature=0),
        "library": lambda: _by_transformers(theirs, first, written),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    with _two_cores():
        for way in ways.values():  # not counted
            way()
        texts = [_timed(ways["plain"], took["plain"]) for _ in range(repeats)]
        for _ in range(3 * repeats):  # in turn: what else the machine does meets both
            texts += [_timed(ways[name], took[name]) for name in ("cache", "library")]
        for ids in texts:
            assert torch.equal(ids, texts[0]), "one way writes something else than plain."
    pace = {name: rows * written / statistics.median(times) for name, times in took.items()}
    plain, library = pace["cache"] / pace["plain"], pace["cache"] / pace["library"]
    met = {"over_plain_ok": plain >= PLAIN_BAR, "over_library_ok": library >= LIBRARY_BAR}
    return {"pace": pace, "over_plain": plain, "over_library": library, **met}


def run(seconds: float = 60, seeds: Sequence[int] = (0,)) -> bool:
    """Measure with each seed, then the speed; print the tables; say whether all bars are met."""
    print("\nFolk tunes, test split: bits per character (lower is better)", flush=True)
    met = []
    for seed in seeds:
        result = gpt_tunes_run(seconds, seed)
        print(table(result), flush=True)
        met.append(result["ok"])
    speed = sampling_speed()
    print(f"\n{ROWS} tunes of {WRITTEN} characters: characters a second", flush=True)
    print(speed_table(speed))
    return all(met) and speed["over_plain_ok"] and speed["over_library_ok"]


def table(result: dict) -> str:
    """The lines that ``bench`` prints for one ``gpt_tunes_run``."""
    names = {"example": "GPT-2 of nanoGPT's design", "ours": "GPT of this course"}
    lines = [f"  seed {result['seed']}"]
    for side, name in names.items():
        x = result[side]
        lines.append(
            f"  {name:26} {x['bits']:7.4f} ± {x['se']:.4f}  after {x['seconds']:.1f} s, "
            f"{x['steps']:,} steps, {x['numbers']:,} numbers"
        )
    lines.append(f"  {'difference':26} {result['gain']:7.4f} ± {result['gain_se']:.4f}  "
                 f"(bar: {BITS_BAR})  {_mark(result['ok'])}")  # fmt: skip
    return "\n".join(lines)


def speed_table(found: dict) -> str:
    """The lines that ``bench`` prints for ``sampling_speed``."""
    pace = found["pace"]
    return "\n".join(
        [
            f"  plain pass                 {pace['plain']:9,.0f}",
            f"  transformers, its cache    {pace['library']:9,.0f}",
            f"  cache of this course       {pace['cache']:9,.0f}",
            f"  {found['over_plain']:.1f} times the plain pass (bar: {PLAIN_BAR:g})  "
            f"{_mark(found['over_plain_ok'])}",
            f"  {found['over_library']:.2f} times transformers (bar: {LIBRARY_BAR:g})  "
            f"{_mark(found['over_library_ok'])}",
        ]
    )


def _fit(model: nn.Module, stream: Tensor, seed: int, **how_long: float) -> int:
    batches = Windows(stream, CONTEXT, BATCH, seed=seed)
    options: dict = GPT_MUON | {"precision": _precision(), "progress": False} | how_long
    return fit(model, sequences.loss, batches, **options).steps


def _warm_up(stream: Tensor) -> None:
    """A few steps each, not counted: they load libraries."""
    _fit(gpt(CONTEXT, dropout=0.0), stream, 0, steps=3)
    example = baseline_gpt.ExampleGPT(len(data.CHARACTERS), CONTEXT)
    for _ in range(3):
        baseline_gpt.train_example_gpt(example, stream, 1e-9)


def _side(found: Tensor, model: nn.Module) -> dict:
    bits, se = likelihood.mean_bits(found)
    return {"bits": bits, "se": se, "numbers": _count(model)}


@torch.no_grad()
def _by_transformers(theirs: Any, first: Tensor, written: int) -> Tensor:
    """``generate`` of transformers with its cache, greedy: ids (B, 1 + written)."""
    return theirs.generate(
        first, attention_mask=torch.ones_like(first), max_new_tokens=written,
        min_new_tokens=written, do_sample=False, use_cache=True, pad_token_id=0,
    )  # fmt: skip


def _timed(way: Callable[[], Tensor], took: list[float]) -> Tensor:
    start = time.perf_counter()
    ids = way()
    took.append(time.perf_counter() - start)
    return ids
