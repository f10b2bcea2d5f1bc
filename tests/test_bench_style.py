"""The bench of chapter 08: both sides as they are said to be, and every bar can be missed."""

import itertools
import math

import pytest
import torch
from torch import nn

from genart_lessons import data
from genart_lessons.models import style
from genart_lessons.training import bench, bench_style, recipes_style

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


PAIR = ("chelsea", "ihc")


def test_one_pair_for_real_at_a_small_size():
    result = bench_style.pair_run(PAIR, size=48, steps=12, rates=(0.003, 0.03))
    assert set(result["tries"]) == {0.003, 0.03}
    assert result["example"]["loss"] == min(result["tries"].values())
    task = style.StyleTransfer(*bench_style.pictures(PAIR, 48), size=48)
    assert result["start"] == pytest.approx(float(task.loss(task.content[None])), rel=1e-4)
    again = min(task.run(12, "adam", lr=result["example"]["rate"]).losses)
    assert again == pytest.approx(result["example"]["loss"], rel=1e-3)
    if math.isfinite(result["share"]):
        assert result["ours"]["loss"] <= result["example"]["loss"]
    assert result["ok"] is (result["share"] <= 1 / 3)
    assert ("✔ met" in bench_style.line(result)) is result["ok"]
    assert "not judged" in bench_style.line(result, judged=False)


class Pretender:
    """Falls to a loss that is known, in a time that is known."""

    def __init__(self, adam, ours):
        self.sides, self.asked = {"adam": adam, "lbfgs": ours}, []

    def run(self, steps, optimizer, lr=None, coarse=(), until=None):
        self.asked.append((optimizer, lr, coarse, until))
        losses, seconds = self.sides[optimizer]
        losses = losses[lr] if isinstance(losses, dict) else losses
        seconds = seconds[lr] if isinstance(seconds, dict) else seconds
        times = [seconds * (i + 1) / len(losses) for i in range(len(losses))]
        return style.Stylised(torch.zeros(3, 8, 8), losses, times, seconds)


ADAM = ({0.01: [9.0, 3.0], 0.03: [9.0, 2.0], 0.1: [9.0, 8.0]}, {0.01: 1.0, 0.03: 30.0, 0.1: 1.0})


@pytest.mark.parametrize(
    "losses, seconds, ok, share",
    [
        ([5.0, 1.9], 9.9, True, 0.33),
        ([5.0, 1.9], 10.1, False, 10.1 / 30),  # too slow
        ([5.0, 2.01], 1.0, False, math.inf),  # fast, but never as low
        ([1.9, 1.0], 18.0, True, 0.3),  # what counts is when it was low enough
    ],
)
def test_the_bar_is_on_the_time_to_the_best_adams_loss(monkeypatch, losses, seconds, ok, share):
    task = Pretender(ADAM, (losses, seconds))
    monkeypatch.setattr(style, "StyleTransfer", lambda *given, **more: task)
    result = bench_style.pair_run(PAIR)
    assert result["example"] == {"loss": 2.0, "seconds": 30.0, "rate": 0.03}
    assert result["ok"] is ok and result["share"] == pytest.approx(share)
    assert [each[:2] for each in task.asked[:3]] == [("adam", r) for r in bench_style.RATES]
    assert task.asked[3::2] == 3 * [("adam", 0.03, (), None)]
    assert task.asked[4::2] == 3 * [("lbfgs", None, bench_style.COARSE, 2.0)]
    assert ("✘ missed" in bench_style.line(result)) is not ok


def test_the_share_is_the_median_of_rounds_in_which_both_are_timed(monkeypatch):
    task = Pretender(ADAM, ([5.0, 1.9], 9.0))
    clock = [30.0, 60.0, 10.0]  # one slow round, one fast one
    plain = task.run

    def run(steps, optimizer, **more):
        found = plain(steps, optimizer, **more)
        if len(task.asked) > 3 and optimizer == "adam":
            found.seconds = clock.pop(0)
        return found

    task.run = run
    monkeypatch.setattr(style, "StyleTransfer", lambda *given, **more: task)
    result = bench_style.pair_run(PAIR)
    assert not clock and result["share"] == pytest.approx(9 / 30)
    assert result["example"]["seconds"] == 30.0 and result["ours"]["seconds"] == 9.0


class Slow(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer.expand_as(x) if self.answer is not None else x


def test_the_stylist_is_timed_and_judged(monkeypatch):
    monkeypatch.setattr(bench_style, "SIZE", 48)
    same = bench_style.stylist_run(5.0, 1.0, Slow(None), repeats=2)
    grey = bench_style.stylist_run(5.0, 1.0, Slow(torch.full((1, 3, 1, 1), 0.5)), repeats=2)
    assert same["loss"] == pytest.approx(same["of"]) and grey["of"] == same["of"]
    assert grey["loss"] != pytest.approx(same["of"], rel=0.01)
    ticks = itertools.count(step=0.3)  # three pictures in 0.3 s are 0.1 s each
    monkeypatch.setattr(bench_style.time, "perf_counter", ticks.__next__)
    for adam, ok in ((4.9, False), (5.1, True)):
        found = bench_style.stylist_run(adam, 2.0, Slow(None), repeats=3)
        assert found["seconds"] == pytest.approx(0.1) and found["times"] == pytest.approx(10 * adam)
        assert found["over_ours"] == pytest.approx(20)
        assert found["ok"] is ok
        assert ("✔ met" in bench_style.stylist_line(found)) is ok


def test_the_contents_and_styles_are_what_is_said():
    for content, look in (*bench_style.PAIRS, *bench_style.HARD):
        a, b = bench_style.pictures((content, look), 64)
        assert a.shape == (3, 64, 64) and b.shape[0] == 3
        assert torch.equal(a, data.photo(content, 64))
    assert torch.equal(bench_style.pictures(("coffee", "hearts"))[1],
                       recipes_style.style_picture("hearts"))  # fmt: skip
    assert len(bench_style.PAIRS) == len(set(bench_style.PAIRS)) == 3


def test_the_command_runs_it_and_its_exit_code_says_if_all_is_met(capsys, monkeypatch):
    side = {"loss": 1.0, "seconds": 10.0, "rate": 0.03}
    ours = {"loss": 0.9, "seconds": 3.0, "evaluations": 40}
    fast = {"seconds": 0.05, "times": 60.0, "over_ours": 30.0, "loss": 2.0, "of": 7.0}
    monkeypatch.setattr(bench_style, "_warm_up", lambda: None)
    for wrong, stylist_ok in itertools.product((None, "ihc", "retina", "hearts"), (True, False)):

        def compare(pair, size, steps, wrong=wrong):
            ok = pair[1] != wrong
            return {"pair": pair, "start": 5.0, "example": side, "ours": ours, "share": 0.3,
                    "ok": ok}  # fmt: skip

        monkeypatch.setattr(bench_style, "pair_run", compare)
        monkeypatch.setattr(bench_style, "stylist_run",
                            lambda adam, ours, ok=stylist_ok: fast | {"ok": ok})  # fmt: skip
        code = bench.main(["--only", "style"])
        met = wrong in (None, "hearts")  # the hard pair is printed, not judged
        assert code == (0 if met and stylist_ok else 1)
        said = capsys.readouterr().out
        assert said.count("✔ met") == 2 + met + stylist_ok and said.count("not judged") == 1
