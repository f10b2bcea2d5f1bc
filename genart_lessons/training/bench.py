"""``python3 -m genart_lessons bench``: what the course promises, measured here and now.

Speed differs from machine to machine, so each promise is a comparison within one run.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from genart_lessons import data, runtime
from genart_lessons.models import baseline, vae
from genart_lessons.training import (
    bench_denoise,
    bench_diffusion,
    bench_flow,
    bench_gan,
    bench_gpt,
    bench_style,
    recipes,
)
from genart_lessons.training.loop import fit

IMPORT_BAR = 0.3  # seconds


def vae_digits(
    seconds: float = 10, baseline_seconds: float = 60, seed: int = 0, draws: int = 100
) -> dict:
    """Our digit VAE after ``seconds`` against PyTorch's example at its best epoch.

    Both learn the 1,500 training digits on one processor core (a second one helps neither), one
    after the other, after a step each that is not counted (it loads libraries). The example is
    measured on the test pictures after every epoch and its best state is kept, a head start that
    ours does not get: ours is measured once, at the end. The figures are minus the bound in nats
    per picture, the mean over ``draws`` codes each, by the same code.

    Returns ``ours`` and ``example``, each with ``nats``, ``se`` and ``seconds``, the example also
    with ``epoch`` and ``epochs``; ``difference`` (ours − example) with the standard error of the
    paired difference, ``difference_se``; ``ratio``; and ``ok``: ours is lower.
    """
    train, test = data.digits("train").x, data.digits("test").x
    with _one_core():
        _warm_up(train)
        ours, ours_seconds = _train_ours(train, seconds, seed)
        example, best = _train_example(train, test, baseline_seconds, seed)
    ours_nats = vae.negative_elbo(ours, test, draws=draws, seed=seed)
    example_nats = vae.negative_elbo(example, test, draws=draws, seed=seed)
    difference, difference_se = _mean_se(ours_nats - example_nats)
    return {
        "ours": _figures(ours_nats) | {"seconds": ours_seconds},
        "example": _figures(example_nats) | best,
        "difference": difference,
        "difference_se": difference_se,
        "ratio": float(ours_nats.mean() / example_nats.mean()),
        "ok": difference < 0,
        "seed": seed,
    }


def import_seconds(runs: int = 5) -> dict:
    """How long ``import genart_lessons`` takes in a new Python (median), and if torch comes too."""
    code = (
        "import sys, time; start = time.perf_counter(); import genart_lessons; "
        "print(time.perf_counter() - start, 'torch' in sys.modules)"
    )
    took, torch_came = [], False
    for _ in range(runs):
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=runtime.repo_root(),
        )
        spent, with_torch = result.stdout.split()
        took.append(float(spent))
        torch_came |= with_torch == "True"
    middle = statistics.median(took)
    return {"seconds": middle, "torch": torch_came, "ok": middle < IMPORT_BAR and not torch_came}


def main(argv: Sequence[str]) -> int:
    """Print the tables; return 0 when every bar is met, else 1."""
    parser = argparse.ArgumentParser(prog="genart bench", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="training time of our VAE")
    parser.add_argument("--baseline-seconds", type=float, default=60, help="of its example")
    parser.add_argument("--gan-seconds", type=float, default=60, help="training time of our GAN")
    parser.add_argument("--gpt-seconds", type=float, default=60, help="of our GPT and its example")
    parser.add_argument(
        "--diffusion-seconds", type=float, default=120, help="of our U-Net and each of diffusers'"
    )
    parser.add_argument("--flow-seconds", type=float, default=30, help="of our flow and affine's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seeds", type=int, help="repeat with so many seeds (VAE and GPT: 1, all others: 3)"
    )
    parser.add_argument(
        "--only",
        choices=("vae", "gan", "gpt", "diffusion", "flow", "denoise", "style", "all"),
        default="all",
        help="vae: chapter 03 and the import, a minute and a half; gan: chapter 04, ten minutes; "
        "gpt: chapter 06, three minutes; diffusion: chapter 07, half an hour; "
        "denoise: chapter 02, five minutes; flow: chapter 01, five minutes; "
        "style: chapter 08, two minutes",
    )
    args = parser.parse_args(list(argv))
    seconds: tuple[float, ...] = (args.seconds, args.baseline_seconds)
    seconds += args.gan_seconds, args.gpt_seconds
    seconds += args.diffusion_seconds, args.flow_seconds
    if min(seconds) <= 0 or args.seeds is not None and args.seeds < 1:
        parser.error("seconds and seeds must be above 0.")
    machine = runtime.describe()
    print(f"{machine['system']}, {machine['cores']} cores, torch {machine['torch']}")
    met = []
    if args.only in ("vae", "all"):
        seeds = _seeds(args.seed, args.seeds or 1)
        met += [_vae_and_import(args.seconds, args.baseline_seconds, seeds)]
    if args.only in ("gan", "all"):
        met += [bench_gan.run(args.gan_seconds, _seeds(args.seed, args.seeds or 3))]
    if args.only in ("gpt", "all"):
        met += [bench_gpt.run(args.gpt_seconds, _seeds(args.seed, args.seeds or 1))]
    if args.only in ("diffusion", "all"):
        seeds = _seeds(args.seed, args.seeds or 3)
        met += [bench_diffusion.run(args.diffusion_seconds, seeds)]
    if args.only in ("denoise", "all"):
        met += [bench_denoise.run(seed=args.seed)]
    if args.only in ("style", "all"):
        met += [bench_style.run()]
    if args.only in ("flow", "all"):
        met += [bench_flow.run(args.flow_seconds, _seeds(args.seed, args.seeds or 3))]
    return 0 if all(met) else 1


def _seeds(first: int, count: int) -> range:
    return range(first, first + count)


def _vae_and_import(seconds: float, baseline_seconds: float, seeds: Sequence[int]) -> bool:
    print("\nDigits, test split: minus the bound, nats per picture (lower is better)")
    met = []
    for seed in seeds:
        result = vae_digits(seconds, baseline_seconds, seed)
        print(table(result), flush=True)
        met.append(result["ok"])
    door = import_seconds()
    came = "torch is imported with it" if door["torch"] else "torch is not imported"
    print(f"\nimport genart_lessons: {door['seconds']:.3f} s (bar: {IMPORT_BAR} s), {came}")
    print(f"  {_mark(door['ok'])}")
    return all(met) and door["ok"]


def table(result: dict) -> str:
    """The lines that ``bench`` prints for one ``vae_digits`` result."""
    ours, example = result["ours"], result["example"]
    at = f"best of {example['epochs']} epochs: {example['epoch']}, at {example['seconds']:.1f} s"
    return "\n".join(
        [
            f"  seed {result['seed']}",
            f"  PyTorch's example, 64-400-20  {example['nats']:7.3f} ± {example['se']:.3f}  {at}",
            f"  DigitVAE of this course       {ours['nats']:7.3f} ± {ours['se']:.3f}  "
            f"after {ours['seconds']:.1f} s",
            f"  difference                    {result['difference']:+7.3f} ± "
            f"{result['difference_se']:.3f}  ratio {result['ratio']:.4f}",
            f"  {_mark(result['ok'])}",
        ]
    )


_one_core = partial(bench_gan.processor, 1)


def _warm_up(x: Tensor) -> None:
    model = vae.DigitVAE()
    batches = recipes.digit_batches(x, model.latent)
    fit(model, vae.loss, batches, steps=1, progress=False, **recipes.VAE_DIGITS)
    baseline.train_example(baseline.ExampleVAE(), x[:128], 1e-9)


def _train_ours(x: Tensor, seconds: float, seed: int) -> tuple[vae.VAE, float]:
    start = time.perf_counter()
    runtime.seed_everything(seed)
    model = vae.DigitVAE()
    batches = recipes.digit_batches(x, model.latent, seed=seed)
    spent = time.perf_counter() - start
    fit(
        model,
        vae.loss,
        batches,
        seconds=max(0.1 * seconds, 0.99 * seconds - spent),  # it may end a few steps late
        progress=False,
        **recipes.VAE_DIGITS,
    )
    return model, time.perf_counter() - start


def _train_example(
    train: Tensor, test: Tensor, seconds: float, seed: int
) -> tuple[vae.VAE, dict[str, float]]:
    torch.manual_seed(seed)
    model = baseline.ExampleVAE()
    best: dict = {"nats": float("inf")}
    weights: dict = {}

    def look(epoch: int, spent: float) -> None:
        nats = float(vae.negative_elbo(model, test, draws=8, seed=seed).mean())
        if nats < best["nats"]:
            best.update(nats=nats, epoch=epoch, seconds=spent)
            weights.update(copy.deepcopy(model.state_dict()))

    epochs = baseline.train_example(model, train, seconds, look, seed=seed)
    model.load_state_dict(weights)
    return model.eval(), {"epoch": best["epoch"], "seconds": best["seconds"], "epochs": epochs}


def _figures(nats: Tensor) -> dict[str, float]:
    mean, se = _mean_se(nats)
    return {"nats": mean, "se": se}


def _mean_se(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def _mark(ok: bool) -> str:
    return "✔ met" if ok else "✘ missed"
