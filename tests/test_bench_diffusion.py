"""The bench of chapter 07: both sides as they are said to be, and every bar can be missed."""

import itertools
import math
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genart_lessons import data
from genart_lessons.models import baseline_diffusion, diffusion, diffusion_samplers, two_sample
from genart_lessons.training import bench, bench_diffusion
from genart_lessons.training.batches import Batches


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


@pytest.fixture(scope="module")
def yard():
    """A judge that has hardly learnt, which is enough to tell noise from digits."""
    return bench_diffusion.new_yardstick(steps=40)


def test_the_pictures_are_the_digits_made_larger_by_the_stated_rule():
    x, small = bench_diffusion.pictures("train"), data.digits("train").x
    assert x.shape == (1500, 1, 16, 16) and 0 <= float(x.min()) and float(x.max()) <= 1
    # Bilinear, twice as large: a new pixel is 9/16, 3/16, 3/16 and 1/16 of the four nearest.
    by_hand = (9 * small[..., 3, 3] + 3 * small[..., 2, 3] + 3 * small[..., 3, 2]
               + small[..., 2, 2]) / 16  # fmt: skip
    torch.testing.assert_close(x[..., 6, 6], by_hand)
    assert bench_diffusion.pictures("test").shape == (297, 1, 16, 16)


def test_the_yardstick_puts_digits_below_blends_and_noise(yard):
    found = {
        "train": yard.distance(yard.train),
        "blends": yard.distance((yard.train + yard.train.roll(1, 0)) / 2),
        "one digit": yard.distance(yard.train[data.digits("train").y == 3].repeat(2, 1, 1, 1)),
        "noise": yard.distance(torch.rand(300, 1, 16, 16)),
    }
    assert 0 < found["train"] < 0.5 * min(found["blends"], found["one digit"], found["noise"])
    assert yard.distance(yard.train, "train") == pytest.approx(0, abs=1e-6)
    assert yard.distance(yard.test) == pytest.approx(0, abs=1e-6)
    assert yard.nearest(yard.train[:50]) < 1e-3 < yard.nearest(yard.test)


def test_pictures_learnt_by_heart_do_not_pass_the_floor_and_are_seen(yard):
    copies = yard.train[torch.randperm(1500, generator=torch.Generator().manual_seed(0))[:1000]]
    look = yard.look(copies)
    assert look["distance"] > 0.9 * yard.distance(yard.train)
    assert look["nearest"] < 0.01 * yard.nearest(yard.test)
    assert look["to_train"] < 0.5 * look["distance"]  # there they would have done well


# -- diffusers' side -----------------------------------------------------------------------------


def test_the_examples_have_the_sizes_that_they_claim():
    counts = [
        bench_diffusion._count(baseline_diffusion.example_unet(width))
        for width in baseline_diffusion.EXAMPLE_WIDTHS
    ]
    assert counts == [651_041, 2_594_369]


class Noisy(nn.Module):
    """A network with one number to learn that is called as diffusers' are."""

    def __init__(self):
        super().__init__()
        self.config = {"in_channels": 1, "sample_size": 16}
        self.share = nn.Parameter(torch.tensor(0.7))
        self.seen: list = []

    def forward(self, x, t):
        t = torch.as_tensor(t).expand(len(x))
        self.seen.append((x.detach().clone(), t))
        # exact for standard normal data but for the factor, so it is no one-step affair
        return SimpleNamespace(sample=self.share * torch.tanh(x) * (1 + t.view(-1, 1, 1, 1)) / 1000)


def test_the_example_trains_as_ddpm_does(monkeypatch):
    x = bench_diffusion.pictures("train")[:150]
    net = Noisy()
    ticks = itertools.count(step=0.5)
    monkeypatch.setattr(baseline_diffusion.time, "perf_counter", ticks.__next__)
    assert baseline_diffusion.train_example_diffusion(net, x, 2.0, seed=3) == (4, 2.0)
    assert [len(given) for given, _ in net.seen] == [64, 64, 22, 64] and not net.training
    # The same draws, by this course's own formulas: diffusers' time k is our t = k + 1.
    schedule, chance, by_hand = diffusion.linear(), torch.Generator().manual_seed(3), Noisy()
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
    order = [torch.randperm(150, generator=chance).split(64)]
    for step, (noisy, times) in enumerate(net.seen):
        if step == 3:
            order.append(torch.randperm(150, generator=chance).split(64))
        rows = order[step // 3][step % 3]
        eps = torch.randn(len(rows), 1, 16, 16, generator=chance)
        k = torch.randint(1000, (len(rows),), generator=chance)
        x_t = diffusion.noised(schedule, 2 * x[rows] - 1, k + 1, eps)
        torch.testing.assert_close(noisy, x_t, atol=1e-5, rtol=1e-4)
        assert torch.equal(times, k)
        optimizer.zero_grad()
        F.mse_loss(by_hand(x_t, k).sample, eps).backward()
        optimizer.step()
    torch.testing.assert_close(net.share, by_hand.share, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("steps", [3, 10])
def test_the_example_is_sampled_by_dpm_solver(steps):
    """diffusers' own solver, and ours at the same times from the same noise: one picture."""
    net = Noisy()
    x = baseline_diffusion.sample_example(net, 5, steps, torch.Generator().manual_seed(1), 3)
    assert x.shape == (5, 1, 16, 16) and 0 <= float(x.min()) and float(x.max()) <= 1
    assert len(net.seen) == 2 * steps  # an evaluation a step, for 3 and for 2 pictures
    times = [int(t[0]) + 1 for _, t in net.seen[:steps]]
    ours = diffusion.Denoiser(Ours(), diffusion.linear(), "eps", shape=(1, 16, 16))
    start = torch.randn(5, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    same = diffusion.to_unit(diffusion_samplers.dpm2(ours, start, steps=times))
    torch.testing.assert_close(x, same, atol=1e-4, rtol=1e-3)
    euler = diffusion.to_unit(diffusion_samplers.ddim(ours, start, steps=times))
    assert float((x - euler).abs().max()) > 1e-2  # what is of the second order shows


class Ours(nn.Module):
    def forward(self, x, t, y=None):
        return 0.7 * torch.tanh(x) * t.view(-1, 1, 1, 1) / 1000


# -- our side ------------------------------------------------------------------------------------


def test_times_are_even_and_every_batch_holds_all_of_them():
    batches = Batches({"x": torch.zeros(64, 1)}, 32, augment=bench_diffusion.evenly)
    rows = torch.stack([batches.at(step)["u"] for step in range(400)])
    assert bool(((rows >= 0) & (rows < 1)).all())
    assert torch.equal((rows * 32).long().sort(1).values, torch.arange(32).expand(400, -1))
    first = rows[:, 0]  # one row by itself: uniform
    assert abs(float(first.mean()) - 0.5) < 5 * math.sqrt(1 / 12 / 400)
    assert abs(float(first.var()) - 1 / 12) < 0.02


def test_all_of_our_network_learns_and_the_averaged_copy_comes_back(yard):
    model, pace = bench_diffusion.train_ours(yard.train, 0.3, seed=0)
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert pace["steps"] > 0 and pace["seconds"] > 0.1
    assert pace["numbers"] == bench_diffusion._count(bench_diffusion.digit_model())
    fresh = bench_diffusion.digit_model()
    bench_diffusion._fit_ours(fresh, yard.train, 0, steps=4)
    torch.manual_seed(0)
    other = bench_diffusion.digit_model()
    same = [name for (name, p), q in zip(fresh.named_parameters(), other.parameters(), strict=True)
            if torch.equal(p, q)]  # fmt: skip
    assert not same


def test_our_training_brings_the_samples_nearer(yard):
    torch.manual_seed(0)
    model = bench_diffusion.digit_model()
    history = bench_diffusion._fit_ours(model, yard.train, 0, steps=50)
    after = yard.distance(bench_diffusion.drawn(history.ema, 0, 100, steps=5))
    torch.manual_seed(0)
    model = bench_diffusion.digit_model().eval()
    before = yard.distance(bench_diffusion.drawn(model, 0, 100, steps=5))
    assert after < 0.7 * before


def test_the_same_seed_gives_the_same_samples_and_another_one_others(monkeypatch):
    torch.manual_seed(0)
    model = diffusion.Denoiser(Ours(), diffusion.cosine(20), "v", shape=(1, 16, 16))
    monkeypatch.setattr(bench_diffusion, "PART", 30)
    for steps in (5, None):
        x = bench_diffusion.drawn(model, 0, 40, steps)
        assert x.shape == (40, 1, 16, 16) and 0 <= float(x.min()) and float(x.max()) <= 1
        assert torch.equal(x, bench_diffusion.drawn(model, 0, 40, steps))
        assert not torch.equal(x, bench_diffusion.drawn(model, 1, 40, steps))
    assert not torch.equal(x, bench_diffusion.drawn(model, 0, 40, 5))  # None is the whole chain


# -- the bars ------------------------------------------------------------------------------------


def test_both_ways_to_draw_begin_at_the_same_points(monkeypatch):
    starts = {"dpm2": [], "ddpm": []}

    def walk(name):
        def record(model, start, **options):
            starts[name].append(start)
            return start

        return record

    for name in starts:
        monkeypatch.setattr(bench_diffusion.diffusion_samplers, name, walk(name))
    for steps in (25, None):
        bench_diffusion.drawn(None, 3, 300, steps)
    dpm2, ddpm = (torch.cat(each) for each in starts.values())
    assert len(dpm2) == 300 and torch.equal(dpm2, ddpm)


def digits_for_samples(*given, **more):
    return bench_diffusion.pictures("train")[:200]


def noise_for_samples(*given, **more):
    return torch.rand(200, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def staged(monkeypatch):
    """Nobody trains; the test says what each side's samples are."""
    side = {"steps": 1, "seconds": 1.0, "numbers": 5}
    monkeypatch.setattr(bench_diffusion, "_warm_up", lambda x: None)
    monkeypatch.setattr(bench_diffusion, "train_ours", lambda *given: (None, dict(side)))
    monkeypatch.setattr(bench_diffusion, "train_example", lambda *given: (None, dict(side)))

    def stage(ours, example):
        monkeypatch.setattr(bench_diffusion, "drawn", ours)
        monkeypatch.setattr(baseline_diffusion, "sample_example", example)

    return stage


def test_digits_against_noise_meet_the_bars_and_copies_are_seen(yard, staged):
    staged(digits_for_samples, noise_for_samples)
    result = bench_diffusion.digits_run(yard, 1, 0, samples=200)
    assert result["near"] is True and result["fast"] is True and result["faithful"] is True
    assert result["ours"]["nearest"] < 1e-3 < yard.nearest(yard.test) < result["example"]["nearest"]
    assert result["ours"]["of_chain"] == 1.0 and len(result["looks"]) == 3
    assert bench_diffusion.verdict([result])["ok"]
    said = bench_diffusion.table(result)
    assert "diffusers" in said and f"{result['example']['distance']:.1f}" in said


def test_the_best_of_the_examples_looks_counts(yard, staged, monkeypatch):
    """The wide one is better with 10 steps, so it alone is sampled with 20, and that is best."""
    nets, asked = iter(["narrow", "wide"]), []
    monkeypatch.setattr(
        bench_diffusion, "train_example", lambda *given: (next(nets), {"numbers": given[-1]})
    )
    share = {("narrow", 10): 0.8, ("wide", 10): 0.5, ("wide", 20): 0.3}

    def sample(net, n, steps, generator):
        asked.append((net, steps))
        return yard.train[:200].lerp(noise_for_samples(), share[net, steps])

    staged(digits_for_samples, sample)
    result = bench_diffusion.digits_run(yard, 1, 0, chain=False, samples=200)
    assert asked == [("narrow", 10), ("wide", 10), ("wide", 20)]
    distances = [look["distance"] for look in result["looks"]]
    assert distances[0] > distances[1] > distances[2] == result["example"]["distance"]
    assert (result["example"]["by"], result["example"]["numbers"]) == (20, 64)
    assert result["example"]["per_second"] == result["looks"][1]["per_second"]  # with 10 steps


def test_noise_for_samples_misses_the_first_bar_alone(yard, staged):
    staged(noise_for_samples, digits_for_samples)
    result = bench_diffusion.digits_run(yard, 1, 0, samples=200)
    assert result["near"] is False and result["fast"] is True and result["faithful"] is True
    staged(noise_for_samples, noise_for_samples)  # no better is not enough
    assert bench_diffusion.digits_run(yard, 1, 0, samples=200)["near"] is False


def test_our_network_without_training_misses_the_first_bar(yard, staged, monkeypatch):
    drawn = bench_diffusion.drawn
    torch.manual_seed(0)
    lazy = bench_diffusion.digit_model().eval()
    side = {"steps": 0, "seconds": 1.0, "numbers": 5}
    monkeypatch.setattr(bench_diffusion, "train_ours", lambda *given: (lazy, dict(side)))
    staged(
        lambda model, seed, *more, **options: drawn(model, seed, 100, 2),
        lambda *given: (yard.train[:500] + yard.train[500:1000]) / 2,
    )
    result = bench_diffusion.digits_run(yard, 1, 0, chain=False, samples=200)
    assert result["near"] is False and result["faithful"] is None


def test_a_slow_sampler_misses_the_second_bar_alone(yard, staged):
    def slowly(model, seed, samples=200, steps=12):
        time.sleep(0.25)
        return digits_for_samples()

    staged(slowly, noise_for_samples)
    result = bench_diffusion.digits_run(yard, 1, 0, chain=False, samples=20)
    assert (result["near"], result["fast"], result["faithful"]) == (True, False, None)
    assert not bench_diffusion.verdict([result | {"near": True}])["ok"]


def test_a_fast_sampler_that_spoils_the_pictures_misses_the_third_alone(yard, staged):
    def spoilt(model, seed, samples=200, steps=12):
        x = digits_for_samples()
        return x if steps is None else (x + x.roll(1, 0)) / 2

    staged(spoilt, noise_for_samples)
    result = bench_diffusion.digits_run(yard, 1, 0, samples=200)
    assert (result["near"], result["fast"], result["faithful"]) == (True, True, False)
    assert result["ours"]["of_chain"] > 1.5 and not bench_diffusion.verdict([result])["ok"]


def one(ours, example, pace=200.0, of_chain=1.0):
    chain = {"of_chain": of_chain} if of_chain is not None else {}
    return {
        "ours": {"distance": ours, "per_second": pace} | chain,
        "example": {"distance": example, "per_second": 10.0},
    }


def test_the_medians_decide_and_each_bar_can_fail_by_itself():
    verdict = bench_diffusion.verdict
    good, far = one(6, 10), one(8, 10)
    slow, spoilt = one(6, 10, pace=99.0), one(6, 10, of_chain=1.2)
    assert verdict([good, good, far])["ok"] and verdict([good, slow, good])["ok"]
    assert verdict([good, one(6, 10, of_chain=None), one(6, 10, of_chain=None)])["ok"]
    for results, missed in (
        ([good, far, far], "near"), ([slow, slow, good], "fast"), ([spoilt], "faithful"),
        ([one(math.nan, 10)], "near"), ([one(6, 10, of_chain=None)], "faithful"),
    ):  # fmt: skip
        end = verdict(results)
        assert [bar for bar in ("near", "fast", "faithful") if not end[bar]] == [missed]
        assert end["ok"] is False and bench_diffusion.summary(end, 3).count("✘ missed") == 1


# -- the plane -----------------------------------------------------------------------------------


def test_the_two_tests_look_at_two_things():
    truth, chance = bench_diffusion.ring(), torch.Generator().manual_seed(0)
    inner = bench_diffusion.within(truth.sample(20_000, chance))
    assert inner.shape == (20_000, 2)
    assert inner.mean(0).abs().max() < 0.03 and (inner.std(0) - 1).abs().max() < 0.02
    wide = bench_diffusion.within(bench_diffusion.ring(spread=0.092).sample(20_000, chance))
    assert (wide.std(0) - 1.15).abs().max() < 0.03
    uneven = bench_diffusion.ring(first=0.4).sample(20_000, chance)
    near = (uneven - bench_diffusion.ring().means[0]).norm(dim=1) < 0.4
    assert abs(float(near.float().mean()) - 0.4 / 7.4) < 0.01
    assert (bench_diffusion.within(uneven).std(0) - 1).abs().max() < 0.02


def power(alarms, repeats=20):
    return two_sample.Power(alarms / repeats, 0.0, 1.0, 2000, repeats, 0.025)


def test_not_told_apart_allows_the_alarms_that_chance_explains():
    assert [k for k in range(21) if bench_diffusion.not_told(power(k))] == [0, 1, 2, 3]
    of_40 = [k for k in range(41) if bench_diffusion.not_told(power(k, 40))]
    assert of_40 == [0, 1, 2, 3, 4]


class AddsNoise:
    """The exact score, but for noise of so many standard deviations at the very end."""

    predicts, classes, shape = "x0", 0, (2,)

    def __init__(self, share):
        self.truth = bench_diffusion.ring()
        self.share, self.schedule = share, self.truth.schedule
        self.means = self.truth.means

    def __call__(self, x, t, y=None):
        guess = self.truth.posterior_mean(x, t)
        chance = torch.Generator().manual_seed(0)
        noise = self.share * bench_diffusion.SPREAD * torch.randn(x.shape, generator=chance)
        return guess + noise if int(t[0]) == 1 else guess


class Biased(AddsNoise):
    """The exact score of a ring one of whose modes is likelier."""

    def __init__(self):
        super().__init__(0.0)
        self.truth = bench_diffusion.ring(first=3.0)


@pytest.fixture
def plane(monkeypatch):
    """Fewer points and steps; ``learnt`` is a score that has learnt nothing."""
    few = diffusion.cosine(200)
    monkeypatch.setattr(bench_diffusion.diffusion, "cosine", lambda *given: few)
    tiny = diffusion.PointNet(2, 200, width=8, layers=1)
    untrained = diffusion.Denoiser(tiny, few, "v", shape=(2,))
    pace = {"steps": 0, "seconds": 0.1}
    monkeypatch.setattr(bench_diffusion, "train_points", lambda *given: (untrained.eval(), pace))
    return lambda **options: bench_diffusion.mixture_run(**{"n": 500, "repeats": 8} | options)


def test_the_exact_score_is_not_told_apart_and_an_untrained_one_is(plane):
    found = plane()
    assert found["exact_ok"] is True and found["learnt_ok"] is False
    assert found["learnt"]["where"].share == found["learnt"]["within"].share == 1.0
    assert found["known"]["within"].share >= 0.25
    said = bench_diffusion.plane_table(found)
    assert "the learnt score, where" in said and said.count("told apart") == 2


def test_a_wrong_score_is_told_apart_by_the_test_that_is_there_for_it(plane):
    noisy = plane(model=AddsNoise(0.8))
    assert noisy["exact_ok"] is False and noisy["ok"] is False
    assert bench_diffusion.not_told(noisy["exact"]["where"])
    assert not bench_diffusion.not_told(noisy["exact"]["within"])
    biased = plane(model=Biased())
    assert not bench_diffusion.not_told(biased["exact"]["where"])
    assert biased["exact_ok"] is False


def test_too_few_points_to_see_anything_miss_the_bar(plane):
    found = plane(n=30)
    assert found["power_ok"] is False and found["ok"] is False


def test_the_score_on_the_plane_is_learnt():
    model, pace = bench_diffusion.train_points(1.5, seed=0)
    truth = bench_diffusion.ring()
    chance = torch.Generator().manual_seed(1)
    x0, eps = truth.sample(2000, chance), torch.randn(2000, 2, generator=chance)
    t = torch.randint(1, 1001, (2000,), generator=chance)
    x_t = diffusion.noised(truth.schedule, x0, t, eps)
    with torch.no_grad():
        says = diffusion.predict(model, x_t, t, None, "x0")
    best = truth.posterior_mean(x_t, t)
    assert pace["steps"] > 10
    assert (says - best).square().mean() < 0.5 * (x0.mean(0) - best).square().mean()


# -- the command ---------------------------------------------------------------------------------


def test_the_command_runs_what_it_is_asked_and_its_exit_code_says_who_won(
    capsys, monkeypatch, yard
):
    monkeypatch.setattr(bench_diffusion, "new_yardstick", lambda: yard)
    side = {"to_train": 1.0, "nearest": 0.1, "numbers": 5, "steps": 7, "seconds": 1.0}
    known = {"where": power(18), "within": power(19)}
    tests = {"where": power(1), "within": power(0)}
    plane_found = {"exact": tests, "learnt": tests, "known": known, "learnt_ok": True,
                   "exact_ok": True, "power_ok": True, "pace": side}  # fmt: skip
    for example, plane_ok, code in ((10.0, True, 0), (5.0, True, 1), (10.0, False, 1)):
        asked = []

        def compare(yard, seconds, seed, example=example, asked=asked):
            asked.append((seconds, seed))
            found = one(6.0, example)
            found["ours"] |= side | {"spread": 0.1, "chain": 6.0, "chain_per_second": 3.0}
            found["example"] |= side
            look = {"distance": example, "numbers": 651_041, "by": 10, "per_second": 10.0}
            more = {"looks": [look], "ratio": 6 / example, "seed": seed}
            return found | more

        monkeypatch.setattr(bench_diffusion, "digits_run", compare)
        monkeypatch.setattr(
            bench_diffusion,
            "mixture_run",
            lambda seconds, seed, ok=plane_ok: plane_found | {"ok": ok, "seconds": seconds},
        )
        argv = ["--only", "diffusion", "--diffusion-seconds", "8", "--seed", "2"]
        assert bench.main(argv) == code
        said = capsys.readouterr().out
        assert asked == [(8.0, 2), (8.0, 3), (8.0, 4)]
        assert ("✘ missed" in said) == (example == 5.0) and "floor" in said and "1000 steps" in said
    with pytest.raises(SystemExit):
        bench.main(["--diffusion-seconds", "0"])
