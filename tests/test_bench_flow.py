"""The bench of chapter 01: each side is what it is said to be, and the bar can be missed."""

import math

import pytest
import torch
from scipy import stats

from genart_lessons.models import flow, shapes
from genart_lessons.training import bench, bench_flow, load_weights, recipes_flow, weights_card

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


@pytest.fixture(scope="module")
def points():
    return shapes.mixture("two").sample(3000, torch.Generator().manual_seed(0))


def test_the_mixture_is_far_from_zero_and_known():
    assert shapes.mixture(bench_flow.MIXTURE).entropy() == pytest.approx(3.4415, abs=1e-4)


def test_one_gaussian_is_scipys_at_maximum_likelihood(points):
    x = points.double().numpy()
    law = stats.multivariate_normal(*stats.multivariate_normal.fit(x))
    told = bench_flow.Gaussian(points).log_prob(points)
    assert told.numpy() == pytest.approx(law.logpdf(x), abs=1e-6)


def test_the_kernels_are_scipys_with_the_width_that_suits_kept_points(points):
    kernels = bench_flow.Kernels(points, kept=500)
    assert kernels.width in bench_flow.WIDTHS
    law = stats.gaussian_kde(points[500:].double().numpy().T)
    law.set_bandwidth(kernels.width * law.factor)
    x = points[:50]
    expected = law.logpdf(x.double().numpy().T)
    assert kernels.log_prob(x).numpy() == pytest.approx(expected, abs=1e-9)
    scores = {}
    for width in bench_flow.WIDTHS:
        law = stats.gaussian_kde(points[500:].double().numpy().T)
        law.set_bandwidth(width * law.factor)
        scores[width] = law.logpdf(points[:500].double().numpy().T).mean()
    assert kernels.width == max(scores, key=scores.get)


def test_the_judge_gives_zero_to_the_truth_and_more_to_all_else(points):
    mixture = shapes.mixture("two")
    log_p = mixture.log_prob(points)
    truth = bench_flow.judge(mixture, points, log_p)
    assert truth["kl"] == truth["kl_se"] == 0
    assert truth["nll"] == pytest.approx(mixture.entropy(), abs=4 * truth["nll_se"])
    assert truth["nll_se"] == pytest.approx(float(log_p.double().std()) / math.sqrt(3000))
    other = bench_flow.judge(bench_flow.Gaussian(points), points, log_p)
    assert other["kl"] > 10 * other["kl_se"] > 0


def test_a_short_run_has_all_sides_and_an_untrained_flow_misses(points):
    result = bench_flow.flow_run(4, 0, "two", (3000, 2000))  # enough on a busy core, too
    assert set(bench_flow.NAMES) < set(result) and result["seed"] == 0
    assert result["flow"]["kl"] < result["gaussian"]["kl"]
    assert result["over"] == pytest.approx(abs(result["flow"]["nll"] / result["entropy"] - 1))
    said = bench_flow.table(result)
    assert all(name in said for name in bench_flow.NAMES.values()) and "2.527" in said
    lazy = flow.Flow().settle(points)
    mixture = shapes.mixture("two")
    share = bench_flow.judge(lazy, points, mixture.log_prob(points))["kl"] / mixture.entropy()
    assert share > bench_flow.BAR


def test_the_verdict_is_the_medians():
    def one(over, share):
        return {"over": over, "kl_share": share}

    good, bad = one(0.01, 0.012), one(0.05, 0.05)
    assert bench_flow.verdict([good, good, bad])["ok"]
    assert not bench_flow.verdict([good, bad, bad])["ok"]
    assert not bench_flow.verdict([one(0.001, 0.03)])["ok"]  # lucky points do not help
    assert not bench_flow.verdict([one(0.03, 0.001)])["ok"]
    assert "✘ missed" in bench_flow.verdict_line(bench_flow.verdict([bad]), 1)


def test_the_command_runs_three_seeds_and_its_exit_code_says_if_the_bar_is_met(capsys, monkeypatch):
    side = {"nll": 3.45, "nll_se": 0.01, "kl": 0.01, "kl_se": 0.001, "seconds": 1.0}
    for share, code in ((0.003, 0), (0.3, 1)):
        asked = []

        def compare(seconds, seed, share=share, asked=asked):
            asked.append((seconds, seed))
            sides = dict.fromkeys(bench_flow.NAMES, side)
            return sides | {"entropy": 3.44, "over": 0.002, "kl_share": share, "seed": seed}

        monkeypatch.setattr(bench_flow, "flow_run", compare)
        assert bench.main(["--only", "flow", "--flow-seconds", "6"]) == code
        assert asked == [(6.0, 0), (6.0, 1), (6.0, 2)]
        said = capsys.readouterr().out
        assert ("✔ met" in said) is (code == 0) and said.count("entropy 3.4400") == 3
    with pytest.raises(SystemExit):
        bench.main(["--flow-seconds", "0"])


# -- the recipe ----------------------------------------------------------------------------------


def test_the_recipe_learns_the_shape_of_an_emoji(tmp_path, monkeypatch):
    """Forty steps are enough to be nearer than one Gaussian; what is said of it is measured."""
    monkeypatch.setattr(recipes_flow, "BATCH", 128)
    monkeypatch.setattr(recipes_flow.runtime, "cache_dir", lambda: tmp_path)
    model, history = recipes_flow.train(40, name="flow_cat")
    assert history.steps == 40 and not model.training
    shape = shapes.emoji("cat face")
    found = recipes_flow.measure(model, name="flow_cat", points=4000)
    assert found["entropy"] == shape.entropy()
    assert found["nll"] - found["entropy"] == pytest.approx(found["kl"], abs=5 * found["nll_se"])
    plain = recipes_flow.divergence(bench_flow.Gaussian(shape.sample(5000)), shape, points=4000)
    assert 0 < found["kl"] < plain["kl"] and found["kl_se"] > 0


def test_batches_are_points_of_the_shape():
    shape = shapes.emoji("butterfly")
    batches = recipes_flow.batches(shape, seed=3, points=500, batch_size=50)
    x = batches.at(0)["x"]
    assert x.shape == (50, 2) and bool(shape.log_prob(x).isfinite().all())
    again = recipes_flow.batches(shape, seed=3, points=500, batch_size=50).at(0)["x"]
    assert torch.equal(x, again)


@pytest.mark.parametrize("name", recipes_flow.SHAPES)
def test_the_shipped_weights_are_what_their_card_says(name):
    model, card = load_weights(flow.Flow(), name), weights_card(name)
    found = recipes_flow.measure(model, name=name, points=5000)
    assert found["kl"] == pytest.approx(card["results"]["kl"], abs=5 * found["kl_se"])
    assert found["kl"] < 0.05 and card["steps"] == recipes_flow.FLOW_STEPS
    z = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = model.double()
    with torch.no_grad():
        assert (exact.inverse(exact(z)[0])[0] - z).abs().max() < 1e-9
