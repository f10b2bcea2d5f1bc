"""Opponents that train in turns: each moves its own weights alone, and in the stated order."""

import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import turns_worker as worker
from torch import nn
from turns_worker import LOSSES, Pair, critic, maker

from genart_lessons import training
from genart_lessons.training import turns


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


def by_hand(steps=30, order=("discriminator", "generator"), at_once=False):
    """The loop written out: alternating, or (the mistake) both gradients from one place."""
    model, batches = Pair().double(), worker.make_batches()
    optimizers = {
        p: torch.optim.Adam(model.get_submodule(p).parameters(), lr=1e-2, fused=True) for p in order
    }
    for step in range(steps):
        for part in order:
            value = LOSSES[part](model, batches.at(step))
            value = value[0] if isinstance(value, tuple) else value
            weights = list(model.get_submodule(part).parameters())
            slopes = torch.autograd.grad(value, weights)
            for weight, slope in zip(weights, slopes, strict=True):
                weight.grad = slope
            if not at_once:
                optimizers[part].step()
        if at_once:
            for optimizer in optimizers.values():
                optimizer.step()
    return model


def same(a, b):
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


def test_turns_are_a_loop_written_by_hand_to_the_last_bit():
    history, model = worker.fit()
    assert same(model, by_hand())
    assert not same(model, by_hand(at_once=True))
    assert not same(model, by_hand(order=("generator", "discriminator")))
    assert set(history.parts) == {"discriminator", "on real", "generator"}
    sums = [sum(both) for both in zip(*(history.parts[p] for p in LOSSES), strict=True)]
    assert history.losses == pytest.approx(sums) and history.steps == 30


def test_the_order_of_the_turns_is_that_of_the_dict():
    reverse = {"generator": maker, "discriminator": critic}
    assert same(worker.fit(losses=reverse)[1], by_hand(order=tuple(reverse)))


@pytest.mark.parametrize("part", ["discriminator", "generator"])
def test_a_turn_leaves_the_other_part_alone(part):
    start, model = Pair().double(), Pair().double()
    worker.fit(model=model, losses={part: LOSSES[part]}, steps=3)
    other = next(name for name in LOSSES if name != part)
    assert same(model.get_submodule(other), start.get_submodule(other))
    assert not same(model.get_submodule(part), start.get_submodule(part))
    assert all(p.grad is None for p in model.get_submodule(other).parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_frozen_weights_stay_frozen_and_an_error_frees_the_others():
    model, start = Pair().double(), Pair().double()
    model.generator[0].requires_grad_(False)
    worker.fit(model=model, steps=3)
    assert not model.generator[0].weight.requires_grad
    assert same(model.generator[0], start.generator[0])

    def fails(model, batch):
        assert not any(p.requires_grad for p in model.discriminator.parameters())
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        worker.fit(model=model, losses={"discriminator": critic, "generator": fails})
    assert all(p.requires_grad for p in model.discriminator.parameters())


def test_each_part_has_its_own_rate_and_optimiser():
    model = Pair().double()
    optimizers = {"discriminator": torch.optim.SGD, "generator": torch.optim.Adam}
    rates = {"discriminator": 0.5, "generator": 1e-3}
    made = turns.make_turns(
        model,
        LOSSES,
        optimizers,
        rates,
        "float32",
        training.loop.Accelerator(),
        torch.device("cpu"),
    )
    assert [type(t.optimizer) for t in made] == [torch.optim.SGD, torch.optim.Adam]
    assert [t.rates for t in made] == [[0.5], [1e-3]]
    slow, _ = worker.fit(lr={"discriminator": 1e-9, "generator": 1e-2})
    fast, _ = worker.fit()
    assert slow.parts["discriminator"][-1] > fast.parts["discriminator"][-1] + 0.01


def test_gradients_are_clipped_turn_by_turn():
    start, model = Pair().double(), Pair().double()
    worker.fit(model=model, steps=1, optimizer=torch.optim.SGD, lr=1.0, clip_grad=1e-3)
    for part in LOSSES:
        both = zip(
            model.get_submodule(part).parameters(), start.get_submodule(part).parameters(),
            strict=True,
        )  # fmt: skip
        moved = math.sqrt(sum(float((a - b).detach().square().sum()) for a, b in both))
        assert moved == pytest.approx(1e-3, rel=1e-2)


def test_the_average_follows_both_parts():
    history, model = worker.fit(ema=0.9)
    assert not same(history.ema, model)
    assert set(history.ema.state_dict()) == set(model.state_dict())


class Stopped(Exception):
    pass


class StopsAt(training.Batches):
    def at(self, step, part=0, parts=1):
        if step == 25:
            raise Stopped
        return super().at(step, part, parts)


def test_a_resumed_run_has_the_same_losses(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(Stopped):
        worker.fit(path, batches=worker.make_batches(StopsAt))
    resumed, model = worker.fit(path)
    whole, straight = worker.fit()
    assert resumed.losses == whole.losses and resumed.parts == whole.parts
    assert same(model, straight)


def test_a_resume_that_forgets_an_optimiser_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    with pytest.raises(Stopped):
        worker.fit(path, batches=worker.make_batches(StopsAt))
    from genart_lessons.training import checkpoint

    load = checkpoint.load_optimizer
    seen = []

    def only_the_first(optimizer, flat):
        seen.append(len(flat))
        if len(seen) == 1:
            load(optimizer, flat)

    monkeypatch.setattr(checkpoint, "load_optimizer", only_the_first)
    assert worker.fit(path)[0].losses != worker.fit()[0].losses
    assert len(seen) == 2 and min(seen) > 0


def test_another_run_is_refused_by_the_part_that_differs(tmp_path):
    path = tmp_path / "run.safetensors"
    worker.fit(path)

    def other(model, batch):
        return 2 * maker(model, batch)

    refused = training.CheckpointRefused
    with pytest.raises(refused, match="loss: generator's has changed"):
        worker.fit(path, losses={"discriminator": critic, "generator": other})
    with pytest.raises(refused, match="lr: discriminator was"):
        worker.fit(path, lr={"discriminator": 1e-3, "generator": 1e-2})
    with pytest.raises(refused, match="order of the turns"):
        worker.fit(path, losses={"generator": maker, "discriminator": critic})


def test_a_loss_that_is_not_finite_is_named():
    def blows_up(model, batch):
        return maker(model, batch) * (math.inf if batch["step"] == 4 else 1.0)

    with pytest.raises(training.NotFinite, match="the loss of the generator is inf at step 4"):
        worker.fit(losses={"discriminator": critic, "generator": blows_up})


def named(name):
    return lambda model, batch: (maker(model, batch), {name: torch.zeros(())})


class Sharing(Pair):
    def __init__(self):
        super().__init__()
        self.also = self.generator


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"losses": {"painter": maker}}, "no part 'painter'; there are: generator, discriminator"),
        ({"losses": {"generator.0": maker, "generator": maker}}, "share weights"),
        ({"losses": {"generator.1": maker}}, "generator.1 has no weights"),
        ({"losses": {"generator": maker, "also": maker}, "model": Sharing}, "share weights"),
        ({"lr": {"generator": 1e-3}}, "lr names"),
        ({"lr": {"generator": 1e-3, "discriminator": 0.0}}, "above 0"),
        ({"optimizer": {"critic": torch.optim.SGD}}, "optimizer names"),
        ({"losses": {"discriminator": critic, "generator": None}}, "no function"),
        ({"losses": maker, "lr": {"generator": 1e-3}}, "one loss for the whole"),
        ({"losses": {"discriminator": critic, "generator": named("on real")}}, "named twice"),
        ({"losses": {"discriminator": critic, "generator": named("generator")}}, "named twice"),
    ],
)
def test_wrong_options(options, message):
    options = dict(options)
    model = options.pop("model", Pair)().double()
    with pytest.raises(ValueError, match=message):
        worker.fit(model=model, **options)


def test_no_losses_and_one_optimiser_for_two():
    with pytest.raises(ValueError, match="give a loss"):
        training.fit(Pair().double(), {}, worker.make_batches(), steps=1, progress=False)
    one = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="one optimiser cannot serve"):
        worker.fit(optimizer=one)


def test_an_optimiser_that_is_ready_must_hold_its_parts_weights():
    model, other = Pair().double(), Pair().double()

    def ready(of):
        made = {p: torch.optim.SGD(of.get_submodule(p).parameters(), lr=0.1) for p in LOSSES}
        return worker.fit(model=model, optimizer=made, steps=2)

    ready(model)
    with pytest.raises(ValueError, match="does not hold just discriminator's weights"):
        ready(other)


def test_the_average_is_taken_once_a_step_after_all_turns():
    after, model = [], Pair().double()
    optimizers = {p: torch.optim.SGD(model.get_submodule(p).parameters(), lr=0.01) for p in LOSSES}
    first = model.generator[0].weight.detach().clone()
    optimizers["generator"].register_step_post_hook(
        lambda *_: after.append(model.generator[0].weight.detach().clone())
    )
    history, _ = worker.fit(model=model, optimizer=optimizers, ema=0.8, steps=20)
    for step, weights in enumerate(after):
        d = min(0.8, (1 + step) / (10 + step))
        first = d * first + (1 - d) * weights
    assert len(after) == 20
    assert torch.allclose(history.ema.generator[0].weight, first, rtol=0, atol=1e-14)


def test_the_schedule_and_mixed_precision_reach_every_turn():
    rates = {}
    model = Pair()
    optimizers = {p: torch.optim.SGD(model.get_submodule(p).parameters(), lr=0.1) for p in LOSSES}
    for part, optimizer in optimizers.items():
        optimizer.register_step_pre_hook(
            lambda o, *_, part=part: rates.setdefault(part, []).append(o.param_groups[0]["lr"])
        )
    options = {"optimizer": optimizers, "steps": 8, "warmup": 2, "schedule": "cosine"}
    batches = worker.make_batches(dtype=torch.float32)
    half, _ = worker.fit(model=model, batches=batches, precision="bfloat16", **options)
    expected = [0.1 * training.lr_factor(s, 8, "cosine", 2) for s in range(8)]
    assert rates == {"discriminator": expected, "generator": expected}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    options["optimizer"] = torch.optim.SGD
    exact, _ = worker.fit(model=Pair(), batches=batches, lr=0.1, **options)
    for part in LOSSES:
        assert half.parts[part] != exact.parts[part]
        assert half.parts[part] == pytest.approx(exact.parts[part], rel=0.05)


def test_two_processes_learn_what_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    program += ["--master-addr=127.0.0.1", f"--master-port={port}", worker.__file__, str(tmp_path)]
    root = str(Path(training.__file__).parents[2])
    done = subprocess.run(
        program, env=os.environ | {"PYTHONPATH": root}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    history, one = worker.fit()
    right = safetensors.torch.load_file(tmp_path / "right.safetensors")
    wrong = safetensors.torch.load_file(tmp_path / "wrong.safetensors")

    def distance(weights):
        return max(float((weights[k] - x).abs().max()) for k, x in one.state_dict().items())

    assert distance(right) < 1e-12
    assert right["losses"].tolist() == pytest.approx(history.losses, abs=1e-12)
    assert distance(wrong) > 1e-3  # so a wrong slice could not have gone unseen
    said = (tmp_path / "lazy.txt").read_text(encoding="utf-8")
    assert "some weights of the discriminator got no gradient" in said
