"""The bench of chapter 04: both sides as they are said to be, and both bars can be missed."""

import itertools
import math
import os

import pytest
import torch
from torch.nn import functional as F

from genart_lessons import data
from genart_lessons.models import baseline, frechet, gan_digits
from genart_lessons.training import (
    bench,
    bench_denoise,
    bench_diffusion,
    bench_flow,
    bench_gan,
    bench_gpt,
    bench_style,
)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


@pytest.fixture(scope="module")
def yard():
    """A judge that has hardly learnt, which is enough to tell noise from digits."""
    return bench_gan.new_yardstick(steps=40)


@pytest.fixture
def few(monkeypatch):
    """Fewer samples, and less ado about them."""
    drawn, settle = bench_gan.drawn, gan_digits.DigitGAN.settle
    monkeypatch.setattr(
        bench_gan, "drawn", lambda model, seed, samples=200: drawn(model, seed, 200)
    )
    monkeypatch.setattr(gan_digits.DigitGAN, "settle", lambda self: settle(self, batches=2))


def test_the_pictures_are_the_digits_made_larger():
    x = bench_gan.pictures("train")
    assert x.shape == (1500, 1, 32, 32) and 0 <= float(x.min()) and float(x.max()) <= 1
    small = data.digits("train").x
    # bilinear: each 2×2 pixels in the middle of an old pixel have its value as their mean's centre
    assert float((F.avg_pool2d(x, 4) - small).abs().mean()) < 0.08
    flat = F.interpolate(torch.full((1, 1, 8, 8), 0.25), size=32, mode="bilinear")
    assert torch.allclose(flat, torch.tensor(0.25))


def test_the_yardstick_puts_digits_below_blends_and_noise(yard):
    found = {
        "train": yard.distance(yard.train),
        "test": yard.distance(yard.test),
        "blends": yard.distance((yard.train + yard.train.roll(1, 0)) / 2),
        "one digit": yard.distance(yard.train[data.digits("train").y == 3].repeat(2, 1, 1, 1)),
        "noise": yard.distance(torch.rand(300, 1, 32, 32)),
    }
    assert found["train"] == pytest.approx(0, abs=1e-6)
    assert 0 < found["test"] < 0.5 * min(found["blends"], found["one digit"], found["noise"])
    assert yard.nearest(yard.train[:50]) < 1e-3 < yard.nearest(yard.test)


def test_the_same_seed_gives_the_same_samples_and_another_one_others():
    torch.manual_seed(0)
    for model in (gan_digits.DigitGAN().eval(), baseline.ExampleDCGAN(8)):
        x = bench_gan.drawn(model, 0, 40)
        assert x.shape == (40, 1, 32, 32) and 0 <= float(x.min()) and float(x.max()) <= 1
        assert torch.equal(x, bench_gan.drawn(model, 0, 40))
        assert not torch.equal(x, bench_gan.drawn(model, 1, 40))


def test_both_have_as_many_numbers():
    ours = bench_gan._count(gan_digits.DigitGAN())
    widths = {w: bench_gan._count(baseline.ExampleDCGAN(w)) for w in range(30, 37)}
    nearest = min(widths, key=lambda w: abs(widths[w] - ours))
    assert nearest == bench_gan.EXAMPLE_WIDTH
    assert (widths[nearest], ours) == (563_706, 564_325)


def test_our_networks_fit_together_and_all_of_them_learns():
    torch.manual_seed(0)
    model = gan_digits.DigitGAN()
    batch = {"x": torch.rand(8, 1, 32, 32), "z": torch.randn(8, model.latent), "step": 0}
    assert model.make(batch["z"]).shape == (8, 1, 32, 32)
    assert model.judge(batch["x"]).shape == (8,)
    for part, loss in model.losses(gamma=1.0).items():
        model.zero_grad()
        loss(model, batch).backward()
        assert all(p.grad is not None for p in getattr(model, part).parameters())


def test_settling_makes_batch_norm_fit_the_weights():
    torch.manual_seed(0)
    model = gan_digits.DigitGAN()
    with torch.no_grad():
        model.generator.dense.weight.mul_(50)  # the statistics are those of other weights now
    z = torch.randn(256, model.latent)
    wanted = model.train().make(z)
    far = (model.eval().make(z) - wanted).abs().mean()
    rates = [m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert model.settle(4) is model and not model.training
    near = (model.make(z) - wanted).abs().mean()
    assert near.item() < 0.2 * far.item()
    assert rates == [m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]


# -- PyTorch's example ---------------------------------------------------------------------------


def test_the_example_is_the_one_that_it_claims_to_be():
    torch.manual_seed(0)
    model = baseline.ExampleDCGAN(16)
    shapes = {
        part: [tuple(p.shape) for p in getattr(model, part).parameters() if p.ndim == 4]
        for part in ("generator", "discriminator")
    }
    assert shapes == {
        "generator": [(100, 64, 4, 4), (64, 32, 4, 4), (32, 16, 4, 4), (16, 1, 4, 4)],
        "discriminator": [(16, 1, 4, 4), (32, 16, 4, 4), (64, 32, 4, 4), (1, 64, 4, 4)],
    }
    kinds = [type(layer).__name__ for layer in model.modules()]
    count = {kind: kinds.count(kind) for kind in ("BatchNorm2d", "ReLU", "LeakyReLU", "Tanh")}
    assert count == {"BatchNorm2d": 5, "ReLU": 3, "LeakyReLU": 3, "Tanh": 1}
    assert {layer.negative_slope for layer in model.modules() if hasattr(layer, "negative_slope")}
    convolutions = torch.cat([p.flatten() for p in model.parameters() if p.ndim == 4])
    scales = torch.cat([m.weight for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)])
    assert convolutions.std().item() == pytest.approx(0.02, rel=0.02)
    assert abs(scales.mean().item() - 1) < 0.01 and 0.01 < scales.std().item() < 0.03
    assert all(m.bias is None for m in model.modules() if isinstance(m, torch.nn.Conv2d))


def by_hand(model, x, steps, seed):
    """The example's loop written out: probabilities, one loss after the other, plain Adam."""
    g, d = model.generator, model.discriminator
    of_d = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999))
    of_g = torch.optim.Adam(g.parameters(), 2e-4, (0.5, 0.999))
    chance = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=chance)
    for rows in order.split(64)[:steps]:
        real = 2 * x[rows] - 1
        z = torch.randn(len(rows), 100, 1, 1, generator=chance)
        fake = g(z)
        d_loss = -d(real).sigmoid().log().mean() - (1 - d(fake.detach()).sigmoid()).log().mean()
        grads = torch.autograd.grad(d_loss, list(d.parameters()))
        for p, grad in zip(d.parameters(), grads, strict=True):
            p.grad = grad
        of_d.step()
        grads = torch.autograd.grad(-d(fake).sigmoid().log().mean(), list(g.parameters()))
        for p, grad in zip(g.parameters(), grads, strict=True):
            p.grad = grad
        of_g.step()


def test_the_examples_loop_is_the_one_written_by_hand(monkeypatch, yard):
    x = yard.train[:150]
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(baseline.ExampleDCGAN(8))
    ticks = itertools.count(step=0.5)
    monkeypatch.setattr(baseline.time, "perf_counter", ticks.__next__)
    seen = []
    images, seconds = baseline.train_example_gan(models[0], x, [0.5, 1.5], seen.append, seed=3)
    assert (images, seconds) == (150, 1.5) and seen == [0.5, 1.5]  # 64 + 64 + the last 22
    by_hand(models[1], x, 3, seed=3)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-3)


def test_drawing_leaves_the_examples_averages_alone():
    torch.manual_seed(0)
    model = baseline.ExampleDCGAN(8)
    before = [x.clone() for x in model.buffers()]
    own = model.train().sample(70, torch.Generator().manual_seed(0))
    assert all(torch.equal(x, y) for x, y in zip(before, model.buffers(), strict=True))
    averaged = model.eval().sample(70, torch.Generator().manual_seed(0))
    assert own.shape == averaged.shape and not torch.allclose(own, averaged, atol=1e-3)
    for marks in ([], [2.0, 1.0]):
        with pytest.raises(ValueError, match="must rise"):
            baseline.train_example_gan(model, own, marks)


def test_the_examples_best_look_in_its_better_mode_counts(yard, monkeypatch, few):
    distances = iter([5.0, 4.0, 2.0, 3.0, 8.0, 9.0])  # eval, train; at each of three looks
    monkeypatch.setattr(yard, "distance", lambda x: next(distances))
    monkeypatch.setattr(bench_gan, "EXAMPLE_WIDTH", 8)
    side = bench_gan._run_example(yard, [1e-9, 1e-9, 1e-9], seed=0)
    assert [distance for _, distance in side["looks"]] == [4.0, 2.0, 8.0]
    assert side["distance"] == 2.0 and side["per_second"] > 0


# -- the comparison ------------------------------------------------------------------------------


def digits_for_samples(self, n, generator=None):
    return bench_gan.pictures("train")[torch.randperm(1500, generator=generator)[:n]]


def noise_for_samples(self, n, generator=None):
    return torch.rand(n, 1, 32, 32, generator=generator)


def quick_example(images):
    """The example's training without the training: it looks, and says how many it consumed."""

    def train(model, x, marks, look=lambda seconds: None, seed=0):
        for mark in marks:
            look(mark)
        return images, marks[-1]

    return train


def test_both_bars_are_missed_when_ours_gets_no_time(yard, monkeypatch, few):
    """A few steps of ours, against an example that gives real digits and takes a million."""
    monkeypatch.setattr(baseline, "train_example_gan", quick_example(10**6))
    monkeypatch.setattr(baseline.ExampleDCGAN, "sample", digits_for_samples)
    result = bench_gan.gan_digits_run(yard, 0.01, 0)
    assert result["near"] is False and result["fast"] is False
    ours, example = result["ours"], result["example"]
    assert ours["distance"] > 2 * example["distance"]
    assert example["distance"] == min(distance for _, distance in example["looks"])
    assert [at for at, _ in example["looks"]] == [0.005, 0.01, 0.02] and ours["spread"] > 0
    assert result["speed"] == pytest.approx(ours["per_second"] / example["per_second"])
    said = bench_gan.table(result)
    assert "PyTorch's example DCGAN" in said and f"{ours['distance']:.1f}" in said


def test_both_bars_are_met_by_digits_against_noise(yard, monkeypatch, few):
    monkeypatch.setattr(baseline, "train_example_gan", quick_example(1))
    monkeypatch.setattr(baseline.ExampleDCGAN, "sample", noise_for_samples)
    monkeypatch.setattr(gan_digits.DigitGAN, "sample", digits_for_samples)
    monkeypatch.setattr(bench_gan, "_warm_up", lambda x: None)
    result = bench_gan.gan_digits_run(yard, 0.01, 0, example_seconds=10.0)
    assert result["near"] is True and result["fast"] is True
    assert result["ours"]["nearest"] < 1e-3 < result["example"]["nearest"]  # copies are seen


def test_noise_for_samples_misses_the_bar(yard, monkeypatch, few):
    """Whatever was learnt: it is the pictures that are judged."""
    monkeypatch.setattr(baseline, "train_example_gan", quick_example(1))
    monkeypatch.setattr(baseline.ExampleDCGAN, "sample", digits_for_samples)
    monkeypatch.setattr(gan_digits.DigitGAN, "sample", noise_for_samples)
    monkeypatch.setattr(bench_gan, "_warm_up", lambda x: None)
    assert bench_gan.gan_digits_run(yard, 0.01, 0)["near"] is False


def test_a_minute_counts_everything_and_the_averaged_copy_is_judged(yard, monkeypatch):
    monkeypatch.setattr(gan_digits.DigitGAN, "settle", lambda self: setattr(self, "done", True))
    model, images, seconds = bench_gan.train_ours(yard.train, 0.3, seed=0)
    assert model.done and not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert images > 0 and images % bench_gan.BATCH == 0 and seconds > 0.1


def test_our_training_brings_the_samples_nearer(yard, few):
    torch.manual_seed(0)
    model = gan_digits.DigitGAN()
    before = yard.distance(bench_gan.drawn(model.eval(), 0))
    history = bench_gan._fit_ours(model, yard.train, 0, steps=40)
    after = yard.distance(bench_gan.drawn(history.ema.settle(), 0))
    assert after < 0.8 * before


def one(ours, example, speed):
    side = {"per_second": 100.0, "seconds": 1.0, "numbers": 5, "nearest": 0.1, "spread": 0.1}
    return {
        "ours": side | {"distance": ours},
        "example": side | {"distance": example, "looks": [(1.0, example)]},
        "speed": speed, "near": ours <= example, "fast": speed >= 1.5, "seed": 0,
    }  # fmt: skip


def test_the_medians_decide_and_each_bar_can_fail_by_itself():
    good, far, slow = one(1, 2, 1.6), one(3, 2, 1.6), one(1, 2, 1.4)
    assert (
        bench_gan.verdict([good, good, far])["ok"] and bench_gan.verdict([good, slow, good])["ok"]
    )
    lost = bench_gan.verdict([good, far, far])
    assert lost["near"] is False and lost["fast"] is True and lost["ok"] is False
    late = bench_gan.verdict([slow, slow, good])
    assert late["near"] is True and late["fast"] is False and late["ok"] is False
    assert bench_gan.verdict([one(2, 2, 1.5)])["ok"]  # no worse is enough
    assert not bench_gan.verdict([one(math.inf, 2, 1.5)])["ok"]
    assert not bench_gan.verdict([one(math.nan, 2, 1.5)])["ok"]
    assert bench_gan.summary(lost, 3).count("✘ missed") == 1


def test_both_sides_get_two_threads_and_all_is_put_back(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "mps")
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError), bench_gan._two_cores():
        assert torch.get_num_threads() == min(2, os.cpu_count() or 1)
        assert os.environ["GENART_DEVICE"] == "cpu"
        raise RuntimeError
    assert torch.get_num_threads() == threads and os.environ["GENART_DEVICE"] == "mps"


def test_the_command_runs_what_it_is_asked_and_its_exit_code_says_who_won(
    capsys, monkeypatch, yard
):
    monkeypatch.setattr(bench_gan, "new_yardstick", lambda: yard)
    calls = []
    monkeypatch.setattr(bench, "_vae_and_import", lambda *given: calls.append("vae") or True)
    monkeypatch.setattr(bench_gpt, "run", lambda *given: True)
    monkeypatch.setattr(bench_diffusion, "run", lambda *given: True)
    monkeypatch.setattr(bench_denoise, "run", lambda **how: True)
    monkeypatch.setattr(bench_flow, "run", lambda *given: True)
    monkeypatch.setattr(bench_style, "run", lambda *given: True)
    for example, code in ((9.0, 0), (0.5, 1)):
        asked = []

        def compare(yard, seconds, seed, example=example, asked=asked):
            asked.append((seconds, seed))
            return one(1.0, example, 2.0)

        monkeypatch.setattr(bench_gan, "gan_digits_run", compare)
        assert bench.main(["--only", "gan", "--gan-seconds", "6"]) == code and not calls
        said = capsys.readouterr().out
        assert asked == [(6.0, 0), (6.0, 1), (6.0, 2)] and ("✘ missed" in said) == bool(code)
        assert "floor" in said and "ceiling" in said
        assert bench.main(["--only", "all", "--seeds", "1", "--seed", "5"]) == code
        assert calls.pop() == "vae" and asked[-1] == (60, 5) and len(asked) == 4
    for wrong in (["--gan-seconds", "0"], ["--seeds", "0"], ["--only", "music"]):
        with pytest.raises(SystemExit):
            bench.main(wrong)


def test_the_example_stands_above_the_judge_it_was_not_trained_by(yard):
    """The judge's weights are the same, however often it is asked: nothing here trains it."""
    before = [p.clone() for p in yard.judge.parameters()]
    yard.of(baseline.ExampleDCGAN(8), 0, samples=200)
    assert all(torch.equal(p, q) for p, q in zip(before, yard.judge.parameters(), strict=True))
    assert isinstance(yard.judge, frechet.DigitJudge) and not yard.judge.training
