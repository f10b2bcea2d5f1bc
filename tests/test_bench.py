"""The bench: it measures what it says, both sides alike, and the comparison can be lost."""

import itertools
import math
import os

import pytest
import torch

from genart_lessons import data
from genart_lessons.models import baseline, vae
from genart_lessons.training import bench


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


@pytest.fixture(scope="module")
def digits():
    return data.digits("train").x, data.digits("test").x


def test_the_comparison_is_lost_when_ours_gets_no_time(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")
    result = bench.vae_digits(seconds=0.01, baseline_seconds=1.0, draws=4)
    assert result["ok"] is False and result["difference"] > 0 and result["ratio"] > 1
    assert "✘ missed" in bench.table(result)
    difference = result["ours"]["nats"] - result["example"]["nats"]
    assert result["difference"] == pytest.approx(difference, abs=1e-3)
    assert 0 < result["difference_se"] < result["ours"]["se"] + result["example"]["se"]


def test_the_comparison_is_won_against_an_untrained_example():
    result = bench.vae_digits(seconds=3.0, baseline_seconds=1e-6, draws=4)
    assert result["ok"] is True and result["ratio"] < 1
    assert result["example"]["epochs"] == result["example"]["epoch"] == 1
    assert "✔ met" in bench.table(result)


def test_the_example_is_judged_at_its_best_epoch(digits, monkeypatch):
    """A later, worse state must not be what it is judged by."""
    spoilt = baseline.train_example

    def goes_wrong_later(model, x, seconds, after_epoch, **options):
        def look(epoch, spent):
            after_epoch(epoch, spent)
            if epoch >= 2:
                with torch.no_grad():
                    model.decoder[2].bias.fill_(9.0)

        return spoilt(model, x, seconds, look, **options)

    monkeypatch.setattr(baseline, "train_example", goes_wrong_later)
    train, test = digits
    ticks = itertools.count(step=0.1)  # an epoch takes a tick, however busy the machine
    monkeypatch.setattr(baseline.time, "perf_counter", ticks.__next__)
    model, best = bench._train_example(train, test, 0.45, seed=0)
    assert best["epoch"] == 2 and best["epochs"] == 5
    judged = vae.negative_elbo(model, test, draws=8).mean()
    fresh = vae.negative_elbo(baseline.ExampleVAE().eval(), test, draws=8).mean()
    assert judged < fresh


def test_the_example_is_the_one_that_it_claims_to_be(digits):
    torch.manual_seed(0)
    model = baseline.ExampleVAE()
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert shapes == [(400, 64), (40, 400), (400, 20), (64, 400)]
    seen = []
    epochs = baseline.train_example(
        model, digits[0][:300], 0.2, lambda epoch, spent: seen.append((epoch, model.training))
    )
    assert [epoch for epoch, _ in seen] == list(range(1, epochs + 1))
    assert not any(training for _, training in seen)


def test_both_sides_get_one_core_and_all_is_put_back(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "mps")
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError), bench._one_core():
        assert torch.get_num_threads() == 1 and os.environ["GENART_DEVICE"] == "cpu"
        raise RuntimeError
    assert torch.get_num_threads() == threads and os.environ["GENART_DEVICE"] == "mps"


def test_figures_carry_the_standard_error_of_the_mean():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    mean, se = bench._mean_se(values)
    assert mean == 2.5 and se == pytest.approx(math.sqrt(5 / 3) / 2)


def test_the_import_is_timed_in_another_python(monkeypatch):
    door = bench.import_seconds(runs=1)
    assert door["seconds"] > 0 and door["torch"] is False
    monkeypatch.setattr(bench, "IMPORT_BAR", 0.0)
    assert bench.import_seconds(runs=1)["ok"] is False


def test_main_prints_the_table_and_its_exit_code_says_who_won(capsys, monkeypatch):
    def result(ok):
        side = {"nats": 23.0, "se": 0.1, "seconds": 1.0, "epoch": 2, "epochs": 3}
        return {
            "ours": side, "example": side, "difference": -0.1, "difference_se": 0.01,
            "ratio": 0.99, "ok": ok, "seed": 0,
        }  # fmt: skip

    monkeypatch.setattr(bench, "import_seconds", lambda: {"seconds": 0, "torch": False, "ok": True})
    for ok, code in ((True, 0), (False, 1)):
        monkeypatch.setattr(bench, "vae_digits", lambda *_, ok=ok: result(ok))
        assert bench.main(["--only", "vae"]) == code
        said = capsys.readouterr().out
        assert "PyTorch's example" in said and ("✘ missed" in said) is not ok
    monkeypatch.setattr(bench, "import_seconds", lambda: {"seconds": 9, "torch": True, "ok": False})
    monkeypatch.setattr(bench, "vae_digits", lambda *_: result(True))
    assert bench.main(["--only", "vae"]) == 1 and "torch is imported" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        bench.main(["--seconds", "0"])
