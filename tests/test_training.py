"""The training room: right runs agree to the last bit, and plausible mistakes are noticed."""

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import safetensors.torch
import torch
import training_worker as worker
from torch import nn

from genart_lessons import training
from genart_lessons.training import checkpoint as checkpoints
from genart_lessons.training import loop, run, turns, watch

WORKER = Path(worker.__file__)
PACKAGE = Path(training.__file__).parent


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


def start(*arguments, env=None, program=(str(WORKER),), **options):
    root = str(PACKAGE.parents[1])
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"} | (env or {})
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def same_weights(a, b):
    return all(torch.equal(x, b[name]) for name, x in a.items())


@pytest.fixture(scope="module")
def whole():
    """One uninterrupted run, without any checkpoint."""
    os.environ["GENART_DEVICE"] = "cpu"
    return worker.fit()


# ---------------------------------------------------------------- the loop


def test_the_loop_does_what_a_bare_loop_does():
    batches, model = worker.make_batches(), worker.make_model(dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for step in range(25):
        value, _ = worker.loss(model, batches.at(step))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    trained = worker.make_model(dropout=0.0)
    history, _ = worker.fit(model=trained, steps=25, schedule="constant")
    assert history.losses == pytest.approx(losses, rel=1e-5)
    assert len(history.parts["recon"]) == history.steps == 25
    assert all(r < total for r, total in zip(history.parts["recon"], history.losses, strict=True))
    assert not trained.training and history.seconds > 0


def test_the_length_in_seconds(monkeypatch):
    now = [100.0]

    class Ticking(training.Batches):
        """Each batch takes 1/64 s, by a clock of our own."""

        def at(self, step, part=0, parts=1):
            now[0] += 1 / 64
            return super().at(step, part, parts)

    monkeypatch.setattr(run.time, "perf_counter", lambda: now[0])
    batches = worker.make_batches(Ticking)
    history, _ = worker.fit(batches=batches, steps=None, seconds=0.5, every=None)
    assert history.steps == 32 and history.seconds == 0.5


def test_the_loss_may_know_the_step():
    seen = []

    def loss(model, batch):
        seen.append(batch["step"])
        return model(batch["x"]).mean()

    training.fit(worker.make_model(), loss, worker.make_batches(), steps=4, progress=False)
    assert seen == [0, 1, 2, 3]


def test_optimizers():
    for optimizer, kind in (
        (None, torch.optim.Adam),
        (torch.optim.SGD, torch.optim.SGD),
        (lambda ps: torch.optim.AdamW(ps, lr=0.5), torch.optim.AdamW),
    ):
        made = turns.make_optimizer(optimizer, worker.make_model(), 0.25)
        assert type(made) is kind
        assert made.param_groups[0]["lr"] == (0.5 if kind is torch.optim.AdamW else 0.25)
    ready = torch.optim.SGD(worker.make_model().parameters(), lr=0.1)
    assert turns.make_optimizer(ready, worker.make_model(), 0.25) is ready


def test_the_gradient_is_clipped():
    start_weights = worker.make_model(dropout=0.0)
    moved = {}
    for clip in (None, 1e-3):
        model = worker.make_model(dropout=0.0)
        options = {"optimizer": torch.optim.SGD, "lr": 1.0, "schedule": "constant"}
        worker.fit(model=model, steps=1, clip_grad=clip, **options)
        moved[clip] = math.sqrt(
            sum(
                float(((a - b).detach() ** 2).sum())
                for a, b in zip(model.parameters(), start_weights.parameters(), strict=True)
            )
        )
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-2) and moved[None] > 0.1


def test_mixed_precision_learns_and_keeps_float32_weights():
    history, model = worker.fit(precision="bfloat16", model=worker.make_model(dropout=0.0))
    exact, _ = worker.fit(model=worker.make_model(dropout=0.0))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert history.losses != exact.losses
    assert history.losses == pytest.approx(exact.losses, rel=0.05)


@pytest.mark.parametrize("able", [True, False])
def test_mixed_is_what_the_processor_is_quick_in(able, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able, raising=False)
    monkeypatch.setenv("GENART_DEVICE", "cpu")
    found, usual = (
        worker.fit(precision=precision, model=worker.make_model(dropout=0.0))[0].losses
        for precision in ("mixed", "bfloat16" if able else "float32")
    )
    assert found == usual
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")  # a torch that cannot be asked
    assert loop._quick(torch.device("cpu")) == "float32"
    for itself in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda itself=itself, **_: itself)
        assert loop._quick(torch.device("cuda")) == ("bfloat16" if itself else "float32")


@pytest.mark.parametrize("warmup", [0, 10])
def test_cosine_is_torchs_own(warmup):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100 - warmup)
    for step in range(warmup, 100):
        ours = loop.lr_factor(step, 100, "cosine", warmup)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()
    assert [loop.lr_factor(s, 100, "constant", 4) for s in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert loop.lr_factor(7, math.inf, "cosine") == 1.0
    assert loop.lr_factor(3, 10, lambda step, total: step / total) == 0.3


def test_the_schedule_reaches_the_optimizer():
    model = worker.make_model(dropout=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    rates = []
    optimizer.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
    weights = {"steps": 8, "warmup": 2, "schedule": "cosine", "progress": False}

    def loss(model, batch):
        return 1e-3 * model(batch["x"]).mean()

    training.fit(model, loss, worker.make_batches(), optimizer=optimizer, **weights)
    assert rates == [2.0 * loop.lr_factor(s, 8, "cosine", 2) for s in range(8)]


def test_the_average_by_hand():
    after = []  # the weights after each step, in the order of the optimiser's calls
    model = worker.make_model(torch.float64, dropout=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    first = model[0].weight.detach().clone()
    optimizer.register_step_post_hook(lambda *_: after.append(model[0].weight.detach().clone()))
    batches = worker.make_batches(dtype=torch.float64)
    history, _ = worker.fit(model=model, batches=batches, optimizer=optimizer, ema=0.8, steps=30)
    expected = first
    for step, weights in enumerate(after):
        d = min(0.8, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * weights
    assert torch.allclose(history.ema[0].weight, expected, rtol=0, atol=1e-14)
    assert not torch.allclose(history.ema[0].weight, after[-1])
    assert not history.ema.training and not history.ema[0].weight.requires_grad


def test_the_average_copies_buffers():
    model = nn.BatchNorm1d(3)
    average = loop.Average(model, 0.9)
    model(torch.randn(8, 3) + 5)
    average.update(100)
    assert torch.equal(average.model.running_mean, model.running_mean)
    assert average.model.num_batches_tracked == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": None}, "one of the two"),
        ({"seconds": 3.0}, "one of the two"),
        ({"steps": 0}, "above 0"),
        ({"lr": -1.0}, "above 0"),
        ({"every": 0}, "above 0"),
        ({"schedule": "cosinus"}, "cosinus"),
        ({"ema": 1.5}, "0.999"),
        ({"precision": "fp16"}, "or 'mixed'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        worker.fit(**options)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda y: y.squeeze(1), r"\(12,\)"),
        (lambda y: y.mean().item(), "float"),
        (lambda y: y.mean().detach(), "weights"),
    ],
)
def test_wrong_losses(result, message):
    with pytest.raises(ValueError, match=message):
        training.fit(
            worker.make_model(),
            lambda model, batch: result(model(batch["x"])),
            worker.make_batches(),
            steps=2,
            progress=False,
        )


def test_nothing_to_train():
    with pytest.raises(ValueError, match="requires_grad"):
        worker.fit(model=worker.make_model().requires_grad_(False))


# ---------------------------------------------------------------- batches


def test_a_batch_is_a_function_of_seed_and_step():
    one, two = worker.make_batches(), worker.make_batches()
    ahead = {step: two.at(step) for step in (17, 3, 9, 0)}  # any order, no memory
    for step in range(18):
        batch = one.at(step)
        assert batch["x"].shape == batch["eps"].shape == (12, 6)
        if step in ahead:
            assert same_weights(batch, ahead[step])
    other = worker.make_batches(seed=6).at(0)
    assert not torch.equal(other["x"], one.at(0)["x"])
    assert not torch.equal(other["eps"], one.at(0)["eps"])
    assert not torch.equal(one.at(0)["eps"], one.at(1)["eps"])


def test_every_example_comes_once_in_every_shuffle():
    batches = training.Batches({"i": torch.arange(50)}, 12)
    seen = torch.cat([batches.at(step)["i"] for step in range(25)]).view(6, 50)
    assert all(torch.equal(row.sort().values, torch.arange(50)) for row in seen)
    assert not torch.equal(seen[0], seen[1])


def test_the_noise_is_standard_normal_and_steps_are_independent():
    batches = worker.make_batches(noise={"eps": (500,)}, seed=0)
    draws = torch.stack([batches.at(step)["eps"].flatten() for step in range(40)])  # (40, 6000)
    n = draws.numel()
    assert abs(float(draws.mean())) < 4 / math.sqrt(n)
    assert abs(float(draws.var()) - 1) < 4 * math.sqrt(2 / n)
    correlation = torch.corrcoef(draws) - torch.eye(40)
    assert float(correlation.abs().max()) < 5 / math.sqrt(6000)
    assert len({training.batches._mix(i) for i in range(100_000)}) == 100_000


def test_slices_make_up_the_batch():
    batches = worker.make_batches()
    parts = [batches.at(4, part, 3) for part in range(3)]
    for name, x in batches.at(4).items():
        assert torch.equal(torch.cat([p[name] for p in parts]), x)


def test_augmentation_is_pure_and_checked():
    def jitter(batch, generator):
        t = torch.randint(0, 9, (len(batch["x"]),), generator=generator)
        return batch | {"t": t}

    a, b = (worker.make_batches(augment=jitter) for _ in range(2))
    b.at(0)
    assert torch.equal(a.at(5)["t"], b.at(5)["t"])
    assert not torch.equal(a.at(5)["t"], a.at(6)["t"])
    shorter = worker.make_batches(augment=lambda batch, g: {"x": batch["x"][:3]})
    with pytest.raises(ValueError, match="changed the length"):
        shorter.at(0)


@pytest.mark.parametrize(
    ("tensors", "options", "message"),
    [
        ({}, {}, "there must be one"),
        ({"x": torch.zeros(5), "y": torch.zeros(4)}, {}, "equally long"),
        ({"x": torch.zeros(3)}, {}, "1 to 3"),
        ({"x": torch.zeros(5)}, {"batch_size": 0}, "1 to 5"),
        ({"x": torch.tensor([0.0, math.nan, 1, 1, 1])}, {}, r"not finite: see \(1,\)"),
        ({"x": [1, 2, 3, 4]}, {}, "list"),
        ({"x": torch.zeros(())}, {}, "no examples"),
        ({"x": torch.zeros(5)}, {"noise": {"x": (2,)}}, "both data and noise"),
        ({"x": torch.zeros(5)}, {"seed": 0.5}, "whole number"),
    ],
)
def test_wrong_batches(tensors, options, message):
    with pytest.raises(ValueError, match=message):
        training.Batches(tensors, **({"batch_size": 4} | options))


# ---------------------------------------------------------------- stop and go on


class Stopped(Exception):
    pass


class StopsAt(training.Batches):
    die_at = 25

    def at(self, step, part=0, parts=1):
        if step == self.die_at:
            raise Stopped
        return super().at(step, part, parts)


def stopped(path, **options):
    """A run that dies at step 25; its newest checkpoint is of step 21."""
    with pytest.raises(Stopped):
        worker.fit(path, batches=worker.make_batches(StopsAt), **options)


OPTIMIZERS = {
    "adam": None,
    "adamw": torch.optim.AdamW,
    "momentum": lambda ps: torch.optim.SGD(ps, lr=1e-2, momentum=0.9),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_has_the_same_losses(tmp_path, optimizer):
    options = {"optimizer": OPTIMIZERS[optimizer], "clip_grad": 1.0}
    history, model = worker.fit(**options)
    path = tmp_path / "run.safetensors"
    stopped(path, **options)
    torch.rand(100)  # another state of the random generator, as in another process
    again, resumed = worker.fit(path, **options)
    assert again.losses == history.losses and again.parts == history.parts
    assert same_weights(model.state_dict(), resumed.state_dict())
    assert same_weights(history.ema.state_dict(), again.ema.state_dict())


@pytest.mark.parametrize(("what", "from_step"), [("load_optimizer", 22), ("set_random_state", 21)])
def test_a_resume_that_forgets_something_is_noticed(tmp_path, monkeypatch, whole, what, from_step):
    path = tmp_path / "run.safetensors"
    stopped(path)
    monkeypatch.setattr(checkpoints, what, lambda *_: None)
    torch.rand(100)
    losses = worker.fit(path)[0].losses
    assert losses[:from_step] == whole[0].losses[:from_step]
    assert losses[from_step] != whole[0].losses[from_step]


def test_killed_in_the_middle(tmp_path, whole):
    path = tmp_path / "run.safetensors"
    process = start("run", path, "die-at", 25)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL and "step 24" in output
    again, resumed = worker.fit(path)
    assert again.losses == whole[0].losses
    assert same_weights(whole[1].state_dict(), resumed.state_dict())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another process are POSIX")
def test_ctrl_c_in_a_program(tmp_path, whole):
    path = tmp_path / "run.safetensors"
    process = start("run", path)
    for line in process.stdout:
        if "step 10" in line:
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    done = int(re.search(r"interrupted (\d+)", output)[1])
    assert 10 <= done < worker.STEPS
    said = [line for line in errors.splitlines() if "interrupted:" in line]
    assert len(said) == 1 and "run again to go on from run.safetensors" in said[0]
    assert "Traceback" not in errors
    assert worker.fit(path)[0].losses == whole[0].losses


def test_ctrl_c_never_tears_a_step_and_the_second_one_ends_it():
    class Pressed(training.Batches):
        def at(self, step, part=0, parts=1):
            if step == 6:
                signal.raise_signal(signal.SIGINT)
            return super().at(step, part, parts)

    before = signal.getsignal(signal.SIGINT)
    history, _ = worker.fit(batches=worker.make_batches(Pressed), steps=10**6, every=None)
    assert history.interrupted and 7 <= history.steps < 10**6
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt), watch.CtrlC() as ctrl_c:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # both from one key press
        assert ctrl_c.pressed
        ctrl_c._when -= 2
        signal.raise_signal(signal.SIGINT)


def test_a_keyboard_interrupt_of_the_loss_keeps_what_was_learnt(capsys):
    def loss(model, batch):
        if batch["step"] == 5:
            raise KeyboardInterrupt
        return (model(batch["x"]) ** 2).mean()

    model = worker.make_model()
    history = training.fit(model, loss, worker.make_batches(), steps=9, progress=False)
    assert history.interrupted and history.steps == 5
    assert not same_weights(model.state_dict(), worker.make_model().state_dict())
    assert "the model keeps what it has learnt" in capsys.readouterr().err


def test_a_thread_can_train():
    results = []
    thread = threading.Thread(target=lambda: results.append(worker.fit(steps=3)[0]))
    thread.start()
    thread.join()
    assert results[0].steps == 3


def test_a_finished_run_returns_at_once_and_can_be_made_longer(tmp_path):
    path = tmp_path / "run.safetensors"
    history, model = worker.fit(path, schedule="constant")
    batches = worker.make_batches(StopsAt)
    batches.die_at = 0  # would raise at any step of its own
    again, loaded = worker.fit(path, schedule="constant", batches=batches)
    assert again.losses == history.losses and again.ema is not None and not loaded.training
    assert same_weights(model.state_dict(), loaded.state_dict())
    longer, _ = worker.fit(path, schedule="constant", steps=60)
    assert longer.losses == worker.fit(schedule="constant", steps=60)[0].losses
    with pytest.raises(training.CheckpointRefused, match="60 steps already"):
        worker.fit(path, schedule="constant", steps=50)


def test_seconds_go_on_where_they_stopped(tmp_path):
    path = tmp_path / "run.safetensors"
    stopped(path, steps=None, seconds=500)
    spent = json.loads(header(path)["meta"])["seconds"]
    history, _ = worker.fit(path, steps=None, seconds=500, batches=impatient())
    assert history.interrupted and history.seconds > spent > 0 and history.steps > 21


def impatient():
    class Pressed(training.Batches):
        def at(self, step, part=0, parts=1):
            if step == 30:
                signal.raise_signal(signal.SIGINT)
            return super().at(step, part, parts)

    return worker.make_batches(Pressed)


def header(path):
    with safetensors.safe_open(path, framework="pt") as file:
        return file.metadata()


def wider():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 17), nn.ReLU(), nn.Dropout(0.2), nn.Linear(17, 1))


OTHER_DATA = {"x": torch.zeros(50, 6), "y": torch.zeros(50, 1)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.5}, r"lr was \[0.01\] and is now \[0.5\]"),
        ({"batches": worker.make_batches(seed=6)}, "seed was 5 and is now 6"),
        ({"batches": worker.make_batches(noise={"eps": (1,)})}, "noise: eps was"),
        ({"batches": training.Batches(OTHER_DATA, 12, seed=5)}, "the data have changed"),
        ({"model": wider()}, r"shapes: 0.bias was \[16\] and is now \[17\]"),
        ({"optimizer": torch.optim.SGD}, "optimizer was Adam and is now SGD"),
        ({"ema": 0.5}, "ema was 0.9 and is now 0.5"),
        ({"schedule": "constant"}, "schedule was cosine"),
        ({"steps": 41}, "length was 40 and is now 41"),
    ],
)
def test_a_foreign_checkpoint_is_refused(tmp_path, options, message):
    path = tmp_path / "run.safetensors"
    worker.fit(path)
    kept = path.read_bytes()
    with pytest.raises(training.CheckpointRefused, match=message):
        worker.fit(path, **options)
    assert path.read_bytes() == kept


def test_an_edited_loss_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"

    def run_with(beta, power=2):
        def loss(model, batch):
            return (model(batch["x"]) ** power).mean() * beta

        options = {"steps": 3, "progress": False, "checkpoint": path}
        return training.fit(worker.make_model(), loss, worker.make_batches(), **options)

    run_with(1.0)
    run_with(1.0)
    with pytest.raises(training.CheckpointRefused, match="the loss function has changed"):
        run_with(4.0)
    two, three = (compile(f"lambda x: x * {n}", "f", "eval") for n in (2, 3))
    assert checkpoints.code_print(eval(two)) != checkpoints.code_print(eval(three))
    moved = compile("\n\n(lambda x: x * 2)", "elsewhere", "eval")
    assert checkpoints.code_print(eval(two)) == checkpoints.code_print(eval(moved))


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    """One bit of the weights: safetensors itself would not notice."""
    return data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip,
        lambda data: b"",
        lambda data: b"no safetensors file at all " * 9,
        lambda data: data[:8] + b"[]      " + data[16:],
    ],
)
def test_a_damaged_checkpoint_is_put_aside(tmp_path, whole, damage):
    path = tmp_path / "run.safetensors"
    stopped(path)
    bad = damage(path.read_bytes())
    path.write_bytes(bad)
    with pytest.warns(UserWarning, match="run.safetensors is damaged.*run.safetensors.damaged"):
        history, _ = worker.fit(path)
    assert history.losses == whole[0].losses
    assert (tmp_path / "run.safetensors.damaged").read_bytes() == bad


def test_trained_weights_are_never_taken_for_a_checkpoint(tmp_path):
    path = tmp_path / "vae.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(3)}, path)
    kept = path.read_bytes()
    with pytest.raises(training.CheckpointRefused, match="no checkpoint of this course"):
        worker.fit(path)
    assert path.read_bytes() == kept


def test_an_optimizer_that_cannot_be_saved_is_named():
    class Odd(torch.optim.SGD):
        def state_dict(self):
            return {"state": {0: {"memory": {"a": 1}}}, "param_groups": []}

    with pytest.raises(TypeError, match="Odd keeps memory"):
        checkpoints.optimizer_tensors(Odd(worker.make_model().parameters(), lr=1.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch, bad):
    path = tmp_path / "run.safetensors"

    def loss(model, batch):
        scale = bad if batch["step"] == 17 else 1.0
        return (model(batch["x"]) ** 2).mean() * scale

    options = {"steps": 40, "every": 5, "progress": False, "checkpoint": path}
    with pytest.raises(training.NotFinite) as caught:
        training.fit(worker.make_model(), loss, worker.make_batches(), **options)
    message = str(caught.value)
    assert f"{bad} at step 17" in message and "smaller lr (it was 0.001)" in message
    assert "keeps the state after 15 steps" in message
    kept = safetensors.torch.load_file(path)
    assert all(bool(torch.isfinite(x).all()) for x in kept.values())
    assert len(kept["history.loss"]) == 15


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The loss can be finite while its gradient is not, as that of a square root at 0."""
    path = tmp_path / "run.safetensors"

    def loss(model, batch):
        scale = 0.0 if batch["step"] == 4 else 1.0
        return ((model(batch["x"]) * scale) ** 2).mean().sqrt()

    options = {"steps": 9, "every": 1, "progress": False, "checkpoint": path}
    with pytest.raises(training.NotFinite, match="weights 0.weight are .* after step 4"):
        training.fit(worker.make_model(), loss, worker.make_batches(), **options)
    assert json.loads(header(path)["meta"])["step"] == 4


# ---------------------------------------------------------------- two processes


def test_two_processes_learn_what_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    program += [f"--master-port={port}", str(WORKER)]
    process = start("pair", tmp_path, program=program)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-3000:]

    double = {"dtype": torch.float64}
    history, one = worker.fit(
        batches=worker.make_batches(**double), model=worker.make_model(torch.float64, 0.0)
    )
    right = safetensors.torch.load_file(tmp_path / "right.safetensors")
    wrong = safetensors.torch.load_file(tmp_path / "wrong.safetensors")

    def distance(weights):
        return max(float((weights[k] - x).abs().max()) for k, x in one.state_dict().items())

    assert distance(right) < 1e-12
    assert right["losses"].tolist() == pytest.approx(history.losses, abs=1e-12)
    assert distance(wrong) > 1e-3  # so a wrong slice could not have gone unseen

    half = {"batches": worker.make_batches(**double), "model": worker.make_model(torch.float64, 0)}
    resumed, _ = worker.fit(tmp_path / "half.safetensors", schedule="constant", steps=40, **half)
    half = {"batches": worker.make_batches(**double), "model": worker.make_model(torch.float64, 0)}
    straight, _ = worker.fit(schedule="constant", **half)
    assert resumed.losses == pytest.approx(straight.losses, abs=1e-12)

    assert errors.count("trained 40 steps") == 2  # two runs with progress; one process speaks
    assert [p.name for p in tmp_path.glob("live*")] == ["live0.txt"]  # … and draws
    for rank in range(2):
        said = (tmp_path / f"odd{rank}.txt").read_text(encoding="utf-8")
        assert "11 cannot be shared equally by 2 processes" in said


# ---------------------------------------------------------------- what one sees


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_live_picture_changes_nothing(monkeypatch, whole, ema):
    monkeypatch.setattr(watch, "LIVE_SECONDS", 0.0)
    monkeypatch.setattr(run, "LOOK_SECONDS", 0.0)
    seen = []

    def live(model, history):
        model(torch.randn(4, 6))
        seen.append((model.training, torch.is_grad_enabled(), history.steps))

    history, _ = worker.fit(live=live, ema=ema)
    assert history.losses == whole[0].losses
    assert len(seen) > 2 and seen[-1][2] == worker.STEPS
    assert not any(training or grad for training, grad, _ in seen)
    assert [steps for *_, steps in seen] == sorted(steps for *_, steps in seen)


def test_the_final_line_in_a_terminal(capsys):
    worker.fit(progress=True)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("training: trained 40 steps (40 of 40 steps")
    worker.fit(progress=False)
    assert capsys.readouterr().err == ""


def test_the_history_has_a_quiet_face(whole):
    assert repr(whole[0]) == "History"
    assert "40 steps" in whole[0]._repr_html_()


CELL = """
import matplotlib.pyplot as plt, training_worker as worker
from genart_lessons.training import watch
watch.LIVE_SECONDS = 0.1
def live(model, history):
    figure, axes = plt.subplots(figsize=(2, 1)); axes.plot(history.losses); return figure
"""


@pytest.fixture(scope="module")
def kernel():
    from jupyter_client.manager import start_new_kernel

    paths = os.pathsep.join([str(WORKER.parent), str(PACKAGE.parents[1])])
    env = os.environ | {"PYTHONPATH": paths, "GENART_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    env.pop("MPLBACKEND", None)  # what Jupyter itself would choose
    manager, client = start_new_kernel(env=env)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def execute(client, code, on_output=lambda message: None):
    """Run a cell; what it would leave in the saved notebook, in order."""
    outputs, shown = [], {}

    def hook(message):
        kind, content = message["msg_type"], message["content"]
        if kind == "display_data":
            outputs.append(content["data"])
            shown[content["transient"].get("display_id")] = content["data"]
        elif kind == "update_display_data":
            old = shown[content["transient"]["display_id"]]
            old.clear()
            old.update(content["data"])
        elif kind in ("stream", "execute_result", "error"):
            outputs.append(content)
        on_output(message)

    reply = client.execute_interactive(code, timeout=60, output_hook=hook)
    return reply["content"]["status"], outputs


def test_what_stays_in_a_notebook(kernel):
    _, client = kernel
    fit = "h, _ = worker.fit(progress=True, live=live, batches=worker.make_batches(worker.Slow))"
    quiet = "\nworker.print = lambda *a, **k: None\n"
    status, outputs = execute(client, CELL + quiet + fit)
    assert status == "ok"
    texts = [data.get("text/plain", data) for data in outputs]
    assert len(outputs) == 2 and texts[0] == "trained 40 steps"
    assert "<Figure size" in texts[1] and "image/png" in outputs[1]
    assert not any("widget" in kind for data in outputs for kind in data)
    assert "40 of 40 steps" in outputs[0]["text/html"]


@pytest.mark.skipif(sys.platform == "win32", reason="the kernel is interrupted by another way")
def test_interrupting_a_notebook(kernel):
    manager, client = kernel
    sent = []

    def interrupt(message):
        if message["msg_type"] == "update_display_data" and not sent:
            sent.append(manager.interrupt_kernel())

    code = "h, _ = worker.fit(progress=True, steps=10**7, every=None)\nassert h.interrupted"
    status, outputs = execute(client, CELL + code, interrupt)
    assert status == "ok", outputs
    assert [data["text/plain"] for data in outputs] == [
        "interrupted: the model keeps what it has learnt"
    ]


# ---------------------------------------------------------------- weights

FACTS = {
    "command": "python3 -m genart_lessons train tiny",
    "commit": "abc",
    "seed": 0,
    "data": "none",
    "minutes": 0.1,
    "device": "cpu",
    "results": {"loss": 1.25},
}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A repository of its own, with tiny weights."""
    for part in ("chapters", "data/weights", "genart_lessons"):
        (tmp_path / part).mkdir(parents=True)
    monkeypatch.setenv("GENART_REPO", str(tmp_path))
    training.save_weights(worker.make_model(), "tiny", FACTS)
    return tmp_path / "data" / "weights"


def test_weights_there_and_back(shelf):
    model = worker.make_model()
    model[0].weight.data.zero_()
    assert training.load_weights(model, "tiny") is model and not model.training
    assert same_weights(model.state_dict(), worker.make_model().state_dict())
    assert training.available() == ["tiny"]
    assert sorted(p.name for p in shelf.iterdir()) == ["tiny.json", "tiny.safetensors"]
    card = training.weights_card("tiny")
    assert card["results"] == {"loss": 1.25} and card["parameters"] == 129
    assert "loss 1.25" in str(card) and ">loss 1.25</td>" in card._repr_html_()


def test_half_the_size(shelf):
    model, small = worker.make_model(), worker.make_model()
    path = training.save_weights(model, shelf / "half.safetensors", FACTS, half=True)
    assert safetensors.torch.load_file(path)["0.weight"].dtype == torch.float16
    training.load_weights(small, path)
    assert small[0].weight.dtype == torch.float32
    assert torch.equal(small[0].weight, model[0].weight.half().float())
    model[0].weight.data[0, 0] = 1e6
    with pytest.raises(ValueError, match="0.weight holds .* float16"):
        training.save_weights(model, path, FACTS, half=True)


def test_missing_weights_say_how_to_make_them(shelf):
    for call in (training.weights_card, lambda name: training.load_weights(wider(), name)):
        with pytest.raises(training.WeightsError) as caught:
            call("vae_digits")
        assert "there: tiny" in str(caught.value)
        assert "python3 -m genart_lessons train vae_digits" in str(caught.value)
    (shelf / "tiny.safetensors").unlink()
    with pytest.raises(training.WeightsError, match="tiny.safetensors is not in"):
        training.load_weights(worker.make_model(), "tiny")


@pytest.mark.parametrize("damage", [cut, flip])
def test_damaged_weights_are_named(shelf, damage):
    path = shelf / "tiny.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(training.WeightsError, match="tiny.safetensors is damaged"):
        training.load_weights(worker.make_model(), "tiny")


def test_a_damaged_card_is_named(shelf):
    (shelf / "tiny.json").write_text('{"command": ')
    with pytest.raises(training.WeightsError, match="tiny.json is damaged"):
        training.weights_card("tiny")


def test_weights_of_another_model(shelf):
    model = wider()
    with pytest.raises(training.WeightsError, match=r"0.bias: \(17,\) in the model, \(16,\) in"):
        training.load_weights(model, "tiny")
    assert same_weights(model.state_dict(), wider().state_dict())
    with pytest.raises(
        training.WeightsError, match=r"0.bias: absent in the model, \(16,\) in.*and 3 more"
    ):
        training.load_weights(nn.Linear(6, 16), "tiny")


def test_a_card_must_be_complete(shelf):
    with pytest.raises(ValueError, match="lacks seed"):
        training.save_weights(wider(), "x", {k: v for k, v in FACTS.items() if k != "seed"})
    with pytest.raises(ValueError, match="ends in .safetensors"):
        training.save_weights(wider(), shelf / "x.bin", FACTS)


def test_a_new_card_is_complete(shelf, whole):
    card = training.new_card(whole[0], command="c", seed=1, data="d", results={})
    assert set(training.weights.CARD) <= set(card) and card["steps"] == worker.STEPS
    training.save_weights(wider(), "wide", card)
    assert training.available() == ["tiny", "wide"]


def test_only_the_first_process_writes(shelf, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    training.save_weights(wider(), "second", FACTS)
    assert training.available() == ["tiny"]


def test_nothing_is_unpickled():
    """Neither torch.load and torch.save nor pickle, in the whole room."""
    for path in PACKAGE.glob("*.py"):
        found = re.findall(
            r"(?<!safetensors\.)torch\.(?:load|save)\(|\bpickle\b|\bmarshal\b",
            path.read_text("utf-8"),
        )
        assert not found, f"{path.name}: {found}"


def test_git_is_not_needed(shelf, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert shutil.which("git") is None
    assert training.weights._commit() == "unknown"
