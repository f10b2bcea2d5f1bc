"""The bench of chapter 06: both sides as they are said to be, every bar can be missed; and Muon."""

import itertools
import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genart_lessons import data
from genart_lessons.models import baseline_gpt, sequences, transformer
from genart_lessons.training import Windows, bench, bench_gan, bench_gpt, fit, recipes_text
from genart_lessons.training.muon import Muon, orthogonal


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


@pytest.fixture(scope="module")
def tunes():
    """A few tunes, so that all is quick."""
    return data.tunes("train").take(list(range(40))), data.tunes("test").take(list(range(8)))


# -- the example ---------------------------------------------------------------------------------


def test_the_example_is_gpt2_without_biases_and_with_exact_gelu(monkeypatch):
    torch.manual_seed(0)
    example = baseline_gpt.ExampleGPT(11, 12, layers=2, heads=2, width=8).double()
    ours = transformer.GPT(11, 12, layers=2, heads=2, width=8,
                           design=transformer.Design(bias=False)).double()  # fmt: skip
    names = {"norm_1": "norm_attend", "norm_2": "norm_feed", "qkv": "attend.qkv",
             "project": "attend.out", "up": "feed.up", "down": "feed.out"}  # fmt: skip
    state = {}
    for name, x in example.state_dict().items():
        parts = name.split(".")
        parts = [names.get(part, part) for part in parts] if parts[0] == "blocks" else parts
        state[".".join(parts)] = x = x + 0.3 * torch.randn_like(x)
        example.state_dict()[name].copy_(x)
    ours.load_state_dict(state)
    gelu = F.gelu
    monkeypatch.setattr(F, "gelu", lambda x, approximate="none": gelu(x))
    ids = torch.randint(11, (3, 12))
    torch.testing.assert_close(example(ids), ours(ids), atol=1e-12, rtol=0)


def test_the_examples_first_weights_and_optimiser_are_nanogpts():
    torch.manual_seed(0)
    model = baseline_gpt.ExampleGPT(45, 128)
    block = model.blocks[2]
    for weight in (model.embed.weight, model.positions.weight, block.qkv.weight, block.up.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.03)
    for weight in (block.project.weight, block.down.weight):
        assert weight.std().item() == pytest.approx(0.02 / math.sqrt(8), rel=0.03)
    assert not any(name.endswith("bias") for name, _ in model.named_parameters())
    matrices, gains = baseline_gpt.example_optimizer(model).param_groups
    assert (matrices["weight_decay"], gains["weight_decay"]) == (0.1, 0.0)
    assert matrices["betas"] == (0.9, 0.99) and matrices["lr"] == 2e-3
    assert all(p.ndim == 2 for p in matrices["params"]) and len(gains["params"]) == 9
    rates = [baseline_gpt.example_rate(step, 1000) for step in range(1000)]
    assert max(rates) == pytest.approx(2e-3) and rates.index(max(rates)) in (99, 100)
    assert rates[0] == pytest.approx(2e-3 / 101) and rates[-1] == pytest.approx(2e-4, rel=0.01)
    assert baseline_gpt.example_rate(550, 1000) == pytest.approx(1.1e-3)


def test_the_examples_loop_takes_its_seconds_and_learns(tunes, monkeypatch):
    stream = tunes[0].stream()
    ticks = itertools.count(step=1.0)
    monkeypatch.setattr(baseline_gpt.time, "perf_counter", ticks.__next__)
    rates = []
    real = baseline_gpt.example_rate
    monkeypatch.setattr(baseline_gpt, "example_rate",
                        lambda *given: rates.append(given[:2]) or real(*given))  # fmt: skip
    torch.manual_seed(0)
    model = baseline_gpt.ExampleGPT(45, 32, layers=1, width=32)
    before = sequences.loss(model, Windows(stream, 32, 8).at(0)).item()
    steps, spent = baseline_gpt.train_example_gpt(model, stream, 30.0, warmup=5)
    assert (steps, spent) == (30, 30.0) and not model.training
    assert rates[0] == (0, math.inf) and rates[-1] == (29, 30.0)  # it knows when the end comes
    assert sequences.loss(model, Windows(stream, 32, 8).at(0)).item() < before - 0.3


# -- ours ----------------------------------------------------------------------------------------


def test_both_are_of_one_size_and_one_context():
    ours = recipes_text.gpt(bench_gpt.CONTEXT, dropout=0.0)
    example = baseline_gpt.ExampleGPT(len(data.CHARACTERS), bench_gpt.CONTEXT)
    count = {"ours": bench_gan._count(ours), "example": bench_gan._count(example)}
    assert count == {"ours": 798_336, "example": 809_728}
    assert ours.context == example.context == 128
    assert not any(isinstance(p, nn.Dropout) and p.p for p in ours.modules())


def test_ours_learns_faster_than_the_example_step_for_step(tunes):
    """At a size that takes seconds: the same windows a step, the same number of steps."""
    stream, sizes = data.tunes("train").take(list(range(600))).stream(), dict(layers=2, width=64)
    torch.manual_seed(0)
    ours = transformer.GPT(45, 64, design=transformer.MODERN, **sizes)
    example = baseline_gpt.ExampleGPT(45, 64, **sizes)
    batches = Windows(stream, 64, 8)
    fit(ours, sequences.loss, batches, steps=60, progress=False, **recipes_text.GPT_MUON)
    rate = lambda step, total: baseline_gpt.example_rate(step, total, 1.0)  # noqa: E731
    fit(example, sequences.loss, batches, steps=60, progress=False, schedule=rate,
        optimizer=lambda w: baseline_gpt.example_optimizer(example), clip_grad=1.0)  # fmt: skip
    found = [bench_gpt.likelihood.bits_per_character(m, tunes[1].stream(), 64)
             for m in (ours, example)]  # fmt: skip
    assert found[0] < found[1] - 0.25


def test_falling_ends_at_zero():
    assert [recipes_text.falling(step, 4) for step in range(6)] == [1, 0.75, 0.5, 0.25, 0, 0]


# -- the comparison ------------------------------------------------------------------------------


class Giver(nn.Module):
    """Gives the true next symbol the probability p, wherever it has seen the text of ``tunes``."""

    context = 128

    def __init__(self, sharp, V=45):
        super().__init__()
        self.V, self.sharp = V, sharp
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, ids):  # each symbol again: right about as often as symbols come twice
        return self.sharp * F.one_hot(ids, self.V).float()


@pytest.mark.parametrize(
    "ours, example, ok", [(0.0, 0.0, False), (0.0, 9.0, True), (9.0, 0.0, False)]
)
def test_who_is_better_is_what_is_measured(tunes, monkeypatch, ours, example, ok):
    pace = {"steps": 1, "seconds": 1.0}
    monkeypatch.setattr(bench_gpt, "train_ours", lambda *given: (Giver(ours), pace))
    monkeypatch.setattr(bench_gpt, "train_example", lambda *given: (Giver(example), pace))
    monkeypatch.setattr(bench_gpt, "_warm_up", lambda stream: None)
    result = bench_gpt.gpt_tunes_run(1, 0, tunes)
    assert result["ok"] is ok
    assert result["gain"] == pytest.approx(result["example"]["bits"] - result["ours"]["bits"])
    if ours == 0:
        assert result["ours"]["bits"] == pytest.approx(math.log2(45), rel=1e-5)
    assert ("✘ missed" in bench_gpt.table(result)) is not ok
    assert (result["gain_se"] > 0) is (ours != example)


def test_both_sides_train_for_their_seconds(tunes):
    for train in (bench_gpt.train_ours, bench_gpt.train_example):
        model, pace = train(tunes[0].stream(), 0.5, 0)
        assert not model.training and pace["steps"] >= 1 and 0.3 < pace["seconds"] < 5


def test_speed_is_measured_on_the_same_characters(monkeypatch):
    found = bench_gpt.sampling_speed(rows=2, written=10, repeats=1)
    assert set(found["pace"]) == {"plain", "cache", "library"} and min(found["pace"].values()) > 0
    plain, library = found["over_plain"], found["over_library"]
    assert found["over_plain_ok"] is (plain >= 8) and found["over_library_ok"] is (library >= 2)
    said = bench_gpt.speed_table(found | {"over_plain_ok": True, "over_library_ok": False})
    assert said.count("✘ missed") == said.count("✔ met") == 1
    real = bench_gpt._by_transformers
    monkeypatch.setattr(bench_gpt, "_by_transformers",
                        lambda *given: (real(*given) + 1) % 45)  # fmt: skip
    with pytest.raises(AssertionError, match="one way writes something else"):
        bench_gpt.sampling_speed(rows=2, written=10, repeats=1)


def test_the_command_runs_what_it_is_asked_and_its_exit_code_says_if_all_is_met(
    capsys, monkeypatch
):
    side = {"bits": 1.0, "se": 0.1, "steps": 5, "seconds": 1.0, "numbers": 7}
    speed = {"pace": {"plain": 1.0, "library": 5.0, "cache": 10.0}, "over_plain": 10.0,
             "over_library": 2.0}  # fmt: skip
    for bits, plain, library in itertools.product([True, False], repeat=3):
        asked = []

        def compare(seconds, seed, bits=bits, asked=asked):
            asked.append((seconds, seed))
            return {
                "ours": side,
                "example": side,
                "gain": 0.3,
                "gain_se": 0.1,
                "ok": bits,
                "seed": seed,
            }

        met = {"over_plain_ok": plain, "over_library_ok": library}
        monkeypatch.setattr(bench_gpt, "gpt_tunes_run", compare)
        monkeypatch.setattr(bench_gpt, "sampling_speed", lambda met=met: speed | met)
        code = bench.main(["--only", "gpt", "--gpt-seconds", "6", "--seeds", "2", "--seed", "4"])
        assert code == (0 if bits and plain and library else 1) and asked == [(6.0, 4), (6.0, 5)]
        assert capsys.readouterr().out.count("✔ met") == 2 * bits + plain + library
    with pytest.raises(SystemExit):
        bench.main(["--gpt-seconds", "0"])


# -- Muon ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64), (64, 256), (256, 64)])
def test_orthogonal_keeps_the_directions_and_levels_their_strength(shape):
    g = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, s, v = torch.linalg.svd(g, full_matrices=False)
    found = orthogonal(g)
    inside = u.mT @ found @ v.mT  # in the frame of its own directions: nearly the identity
    strengths = inside.diagonal(dim1=-2, dim2=-1)
    middling = strengths[s > 0.01 * s.amax()]
    assert 0.65 < middling.min() and middling.max() < 1.25
    assert (inside - torch.diag_embed(strengths)).abs().max() < 1e-8
    torch.testing.assert_close(orthogonal(1000 * g), found, atol=1e-5, rtol=0)


def test_muon_moves_matrices_by_direction_and_the_rest_by_adam():
    torch.manual_seed(0)
    square, qkv = nn.Parameter(torch.randn(64, 64)), nn.Parameter(torch.randn(192, 64))
    table, gain = nn.Parameter(torch.randn(45, 64)), nn.Parameter(torch.randn(64))
    theirs = [nn.Parameter(p.detach().clone()) for p in (table, gain)]
    optim = Muon([square, qkv, table, gain], lr=0.1, adam_lr=0.01, weight_decay=0.0)
    adam = torch.optim.Adam(theirs, lr=0.01, betas=(0.9, 0.99))
    for step in range(3):
        before = [square.detach().clone(), qkv.detach().clone()]
        for p in (square, qkv, table, gain):
            p.grad = torch.randn(p.shape)
        for p, q in zip(theirs, (table, gain), strict=True):
            p.grad = q.grad.clone()
        optim.step(), adam.step()
        if step == 0:  # the momentum is the gradient still
            moved = [old - p for old, p in zip(before, (square, qkv), strict=True)]
            torch.testing.assert_close(moved[0], 0.1 * orthogonal(square.grad), atol=1e-4, rtol=0)
            apart = torch.cat([0.1 * orthogonal(g) for g in qkv.grad.split(64)])
            torch.testing.assert_close(moved[1], apart, atol=1e-4, rtol=0)
    for p, q in zip(theirs, (table, gain), strict=True):
        torch.testing.assert_close(p, q, atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="above 0"):
        Muon([square], lr=0.0)
    with pytest.raises(ValueError, match="no closure"):
        optim.step(lambda: 0.0)


def test_muon_shrinks_matrices_alone():
    square, gain = nn.Parameter(torch.ones(64, 64)), nn.Parameter(torch.ones(64))
    optim = Muon([square, gain], lr=0.1, weight_decay=0.5)
    square.grad, gain.grad = torch.zeros(64, 64), torch.zeros(64)
    optim.step()
    torch.testing.assert_close(square, torch.full((64, 64), 0.95))
    assert bool((gain == 1).all())


def test_a_run_with_muon_goes_on_from_its_checkpoint(tmp_path, tunes):
    losses = []
    for pieces in ([6], [3, 6]):
        torch.manual_seed(0)
        model = transformer.GPT(45, 16, layers=1, width=64, design=transformer.MODERN)
        for steps in pieces:
            history = fit(model, sequences.loss, Windows(tunes[0].stream(), 16, 4), steps=steps,
                          optimizer=partial(Muon, lr=0.02), progress=False,
                          checkpoint=tmp_path / f"{len(pieces)}.safetensors")  # fmt: skip
        losses.append(history.losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and len(losses[0]) == 6
