"""A tiny adversarial pair for test_training_turns.py, also as a program that torchrun starts.

torchrun … turns_worker.py FOLDER
"""

import os
import sys
from pathlib import Path

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

from genart_lessons import training


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.generator = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        self.discriminator = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))


def critic(model, batch):
    fake = model.discriminator(model.generator(batch["z"]).detach())
    real = F.softplus(-model.discriminator(batch["x"])).mean()
    return real + F.softplus(fake).mean(), {"on real": real}


def maker(model, batch):
    return F.softplus(-model.discriminator(model.generator(batch["z"]))).mean()


LOSSES = {"discriminator": critic, "generator": maker}


def make_batches(kind=training.Batches, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    x = 2 + torch.randn(50, 1, generator=generator, dtype=dtype)
    return kind({"x": x}, 12, seed=5, noise={"z": (2,)})


def fit(checkpoint=None, *, model=None, batches=None, losses=None, **options):
    model = model or Pair().double()
    options = {"steps": 30, "every": 7, "progress": False, "lr": 1e-2} | options
    batches = batches or make_batches()
    history = training.fit(model, losses or LOSSES, batches, checkpoint=checkpoint, **options)
    return history, model


class SameSlice(training.Batches):
    """The mistake: every process takes the first slice."""

    def at(self, step, part=0, parts=1):
        return super().at(step, 0, parts)


if __name__ == "__main__":
    for name, kind in (("right", training.Batches), ("wrong", SameSlice)):
        history, model = fit(batches=make_batches(kind))
        if os.environ["RANK"] == "0":
            losses = {"losses": torch.tensor(history.losses, dtype=torch.float64)}
            path = Path(sys.argv[1]) / f"{name}.safetensors"
            safetensors.torch.save_file(dict(model.state_dict(), **losses), path)
    try:  # a critic that does not use all of its weights
        lazy = {
            "discriminator": lambda m, b: m.discriminator[:1](b["x"]).mean(),
            "generator": maker,
        }
        fit(losses=lazy)
    except ValueError as error:
        (Path(sys.argv[1]) / "lazy.txt").write_text(str(error), encoding="utf-8")
    torch.distributed.destroy_process_group()
