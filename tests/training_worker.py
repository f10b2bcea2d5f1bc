"""What test_training.py trains, also as a program that it can kill, interrupt or start twice.

python training_worker.py run CHECKPOINT [die-at STEP]
torchrun … training_worker.py pair FOLDER
"""

import os
import signal
import sys
import time
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from genart_lessons import training

STEPS = 40


def make_model(dtype=torch.float32, dropout=0.2):
    torch.manual_seed(3)
    layers = [nn.Linear(6, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1)]
    return nn.Sequential(*layers).to(dtype)


def make_tensors(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(50, 6, generator=generator, dtype=dtype)
    return {"x": x, "y": x.sum(1, keepdim=True)}


def make_batches(kind=training.Batches, **options):
    dtype = options.pop("dtype", torch.float32)
    return kind(make_tensors(dtype), 12, **({"seed": 5, "noise": {"eps": (6,)}} | options))


def loss(model, batch):
    error = model(batch["x"] + 0.1 * batch["eps"]) - batch["y"]
    recon = (error**2).mean()
    return recon + 0.5 * error.abs().mean(), {"recon": recon}


def fit(checkpoint=None, *, batches=None, model=None, **options):
    model = model or make_model()
    options = {"steps": STEPS, "every": 7, "progress": False, "lr": 1e-2, "ema": 0.9} | options
    options.setdefault("schedule", "cosine")
    history = training.fit(model, loss, batches or make_batches(), checkpoint=checkpoint, **options)
    return history, model


class Slow(training.Batches):
    """The same batches, dealt out slowly, in a process that may kill itself the hard way."""

    die_at = -1

    def at(self, step, part=0, parts=1):
        if step == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        print(f"step {step}", flush=True)
        return super().at(step, part, parts)


class SameSlice(training.Batches):
    """The mistake: every process takes the first slice."""

    def at(self, step, part=0, parts=1):
        return super().at(step, 0, parts)


def pair(folder):
    """In two processes: a right run, one with the wrong slices, and half a run to be resumed."""
    options = {"dtype": torch.float64}

    def live(model, history):
        (folder / f"live{os.environ['RANK']}.txt").touch()

    for name, kind in (("right", training.Batches), ("wrong", SameSlice)):
        batches = make_batches(kind, **options)
        model = make_model(torch.float64, 0.0)
        history, _ = fit(batches=batches, model=model, progress=True, live=live)
        save(folder / f"{name}.safetensors", model, history)
    model = make_model(torch.float64, 0.0)
    batches = make_batches(**options)
    fit(folder / "half.safetensors", batches=batches, model=model, steps=20, schedule="constant")
    try:
        odd = training.Batches(make_tensors(torch.float64), 11, noise={"eps": (6,)})
        fit(batches=odd, model=make_model(torch.float64, 0.0))
    except ValueError as error:
        (folder / f"odd{os.environ['RANK']}.txt").write_text(str(error), encoding="utf-8")
    torch.distributed.destroy_process_group()


def save(path, model, history):
    if os.environ["RANK"] == "0":
        tensors = dict(model.state_dict(), losses=torch.tensor(history.losses, dtype=torch.float64))
        safetensors.torch.save_file(tensors, path)


if __name__ == "__main__":
    if sys.argv[1] == "pair":
        pair(Path(sys.argv[2]))
    else:
        Slow.die_at = int(sys.argv[4]) if "die-at" in sys.argv else -1
        history, _ = fit(sys.argv[2], batches=make_batches(Slow), progress=True)
        print("interrupted" if history.interrupted else "finished", history.steps)
