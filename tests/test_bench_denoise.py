"""The bench of chapter 02: what is perfect meets the bar, and what is no better does not."""

import pytest
import torch

from genart_lessons import data
from genart_lessons.models import autoencoder, filters
from genart_lessons.training import bench, bench_denoise, recipes_autoencoder

pytestmark = pytest.mark.usefixtures("one_thread")
GRIDS = {
    "Gaussian filter": {"width": (0.4, 0.8)},
    "total variation": {"weight": (0.5, 1.0)},
    "non-local means": {"h": (0.7, 1.0), "patch": (5,), "fast": (True,)},
}


@pytest.fixture(scope="module")
def icons():
    return data.icons("test").x[::60]  # 26


@pytest.fixture(scope="module")
def tuning():
    return data.icons("train").x[::2000]  # 7


def measured(clean, icons, tuning, sigma=0.25):
    return bench_denoise.denoise_run(clean, icons, tuning, sigma, grids=GRIDS)


# -- the filters -----------------------------------------------------------------------------------


def test_the_filters_are_scikit_images(icons):
    from skimage.filters import gaussian
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    y = recipes_autoencoder.noisy_set(icons[:2], 0.2)
    z = y[1, 0].double().numpy()
    for found, theirs in (
        (filters.gaussian(y, 0.2, width=0.7), gaussian(z, 0.7)),
        (filters.total_variation(y, 0.2, weight=0.5), denoise_tv_chambolle(z, weight=0.1)),
        (
            filters.non_local_means(y, 0.2, h=0.5, patch=5, reach=11),
            denoise_nl_means(z, patch_size=5, patch_distance=11, h=0.1, sigma=0.2),
        ),
    ):
        expected = torch.from_numpy(theirs).clamp(0, 1).float()
        torch.testing.assert_close(found[1, 0], expected, atol=1e-6, rtol=0)
        assert found.shape == y.shape and found.dtype == y.dtype


def test_colours_are_filtered_and_keep_their_places():
    x = data.photo("chelsea", 48)[None]
    y = recipes_autoencoder.noisy_set(x, 0.1)
    for method in filters.METHODS.values():
        gain = autoencoder.psnr(x, method(y, 0.1)) - autoencoder.psnr(x, y)
        assert float(gain) > 1
    with pytest.raises(ValueError, match=r"\(B, C, H, W\)"):
        filters.gaussian(x[0], 0.1)


def test_tuning_finds_the_best_of_the_grid_for_each_sigma(icons):
    found = {}
    for sigma in (0.1, 0.5):
        how = filters.tune("Gaussian filter", icons, sigma)
        eps = torch.randn(icons.shape, generator=torch.Generator().manual_seed(0))
        y = autoencoder.noisy(icons, eps, sigma)
        by = {w: float(autoencoder.psnr(icons, filters.gaussian(y, sigma, width=w)).mean())
              for w in filters.GRIDS["Gaussian filter"]["width"]}  # fmt: skip
        assert how == {"width": max(by, key=by.get)}
        found[sigma] = how["width"]
    assert found[0.1] < found[0.5]
    with pytest.raises(KeyError, match="Gaussian filter, total variation, non-local means"):
        filters.tune("BM3D", icons, 0.1)


# -- the comparison --------------------------------------------------------------------------------


def test_what_knows_the_picture_meets_the_bar_and_what_does_nothing_does_not(icons, tuning):
    near = measured(lambda y, sigma: icons + 0.01, icons, tuning)
    assert near["ok"] is True
    assert near["gain"]["total variation"][0] > 10
    nothing = measured(lambda y, sigma: y, icons, tuning)
    assert nothing["ok"] is False
    assert nothing["psnr"]["ours"][0] == pytest.approx(nothing["noisy"])  # cut off at 0 and 1, too
    assert set(nothing["psnr"]) == {"ours", *GRIDS} == {"ours", *nothing["settings"]}


def test_to_be_a_rival_is_not_to_be_above_it(icons, tuning):
    best = measured(lambda y, sigma: y, icons, tuning)["settings"]["non-local means"]
    again = measured(lambda y, s: filters.non_local_means(y, s, **best), icons, tuning)
    assert again["gain"]["non-local means"] == (0.0, 0.0) and again["ok"] is False
    assert again["gain"]["total variation"][0] > 2 * again["gain"]["total variation"][1]


def test_a_lead_within_two_errors_is_none(icons, tuning):
    """Half of the icons much better, half of them worse: the mean of that means nothing."""
    best = measured(lambda y, sigma: y, icons, tuning)["settings"]["non-local means"]

    def moody(y, sigma):
        theirs = filters.non_local_means(y, sigma, **best)
        good = torch.arange(len(y)).view(-1, 1, 1, 1) % 2 == 0
        return torch.where(good, 0.5 * theirs + 0.5 * icons, 0.6 * theirs + 0.4 * (1 - icons))

    result = measured(moody, icons, tuning)
    gain, error = result["gain"]["non-local means"]
    assert abs(gain) < 2 * error or gain < 0
    assert result["ok"] is False


def test_the_differences_are_paired(icons, tuning):
    result = measured(lambda y, sigma: filters.total_variation(y, sigma, weight=0.7), icons, tuning)
    gain, error = result["gain"]["total variation"]
    by = result["psnr"]
    assert gain == pytest.approx(by["ours"][0] - by["total variation"][0], abs=1e-5)
    apart = (by["ours"][1] ** 2 + by["total variation"][1] ** 2) ** 0.5
    assert error < 0.5 * apart


def test_the_shipped_network_is_above_both_at_every_sigma(icons, tuning):
    model = bench_denoise.load_weights(recipes_autoencoder.denoiser_icons(), "denoiser_icons")
    for sigma in (0.1, 0.5):
        result = measured(model.clean, icons, tuning, sigma)
        assert result["ok"], bench_denoise.table(result)
    said = bench_denoise.table(result)
    assert "σ = 0.5" in said and "✔ met" in said and "patch 5" in said
    assert f"{result['gain']['non-local means'][0]:+.2f}" in said


def test_nothing_is_tuned_on_what_is_measured(monkeypatch):
    seen = {}

    def noted(clean, x, tuning, sigma, **more):
        seen.setdefault("x", x), seen.setdefault("tuning", tuning)
        return {"sigma": sigma, "ok": sigma != 0.5}

    monkeypatch.setattr(bench_denoise, "denoise_run", noted)
    monkeypatch.setattr(bench_denoise, "table", lambda result: "")
    assert bench_denoise.run(every=40) is False  # one σ missed is a bar missed
    assert bench_denoise.run(every=40, sigmas=(0.1, 0.25)) is True
    assert len(seen["tuning"]) == bench_denoise.TUNED_ON and len(seen["x"]) == 39
    keys = [{picture.numpy().tobytes() for picture in seen[name]} for name in ("x", "tuning")]
    train = {picture.numpy().tobytes() for picture in data.icons("train").x}
    assert not keys[0] & train and keys[1] <= train


@pytest.mark.parametrize("met", [True, False])
def test_bench_runs_it(monkeypatch, capsys, met):
    asked = []
    monkeypatch.setattr(bench.bench_denoise, "run", lambda **how: asked.append(how) or met)
    assert bench.main(["--only", "denoise", "--seed", "3"]) == (0 if met else 1)
    assert asked == [{"seed": 3}]
