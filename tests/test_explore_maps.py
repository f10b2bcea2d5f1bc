"""The explorers of chapter 01 moved by hand: what they say is what other ways give."""

import math
from importlib import import_module

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Normal, kl_divergence

from genart_lessons import explore
from genart_lessons.models import flow

maps = import_module("genart_lessons.explore.maps")  # the room gives its function that name
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = flow.Flow(layers=3, width=8, bins=4, waves=2)
    with torch.no_grad():
        for layer in model.layers:
            layer.conditioner.layers[-1].weight.normal_(0, 0.4)
    return model.eval()


def number(text):
    return float(text.replace("−", "-").strip("*."))


def test_a_flow_part_of_the_way(model):
    box = explore.maps(model, seed=3)
    assert box.values == {"depth": 3.0, "view": "points", "seed": 3} and not box.error
    z = torch.randn(maps.POINTS, 2, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        nll = -model.log_prob(model(z)[0]).double().mean()
    assert number(box.caption.split("is ")[1].split(" ")[0]) == pytest.approx(float(nll), abs=2e-3)
    first = box.still
    box.set(depth=1.5)
    assert "1.50 of 3" in box.caption and box.still != first
    box.set(depth=0)  # the noise itself: its entropy is 1 + log 2π, and no area has changed
    assert number(box.caption.split("is ")[1].split(" ")[0]) == pytest.approx(2.838, abs=0.05)
    assert box.caption.endswith("factor 0.000.")
    box.set(view="grid", depth=2.0)
    assert not box.error and "2.00 of 3" in box.picture.alt
    assert 20_000 < len(box.still) < 100_000
    with pytest.raises(ValueError, match="view"):
        explore.maps(model, view="film")
    with pytest.raises(ValueError, match="layers"):
        explore.maps(model, depth=9)


def test_the_three_divergences_are_torchs_and_scipys():
    a, b = (maps.log_normal(maps.LINE, *at) for at in ((0.3, 0.8), (-0.5, 1.3)))
    p, q = Normal(0.3, 0.8), Normal(-0.5, 1.3)
    forward, reverse, jsd = maps.three(a, b)
    assert forward == pytest.approx(float(kl_divergence(p, q)), abs=1e-6)
    assert reverse == pytest.approx(float(kl_divergence(q, p)), abs=1e-6)
    assert forward != pytest.approx(reverse, abs=0.1)
    one, two = stats.norm(0.3, 0.8), stats.norm(-0.5, 1.3)

    def integrand(x):
        m = (one.pdf(x) + two.pdf(x)) / 2
        return sum(law.pdf(x) * (law.logpdf(x) - math.log(m)) for law in (one, two)) / 2

    assert jsd == pytest.approx(integrate.quad(integrand, -12, 12)[0], abs=1e-6)
    far = maps.three(maps.log_normal(maps.LINE, -4, 0.3), maps.log_normal(maps.LINE, 4, 0.3))
    assert far[2] == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("world", maps.WORLDS)
def test_what_is_called_best_is_best(world):
    log_p = maps._log_two(world, 4.0)
    weight, left, right = maps.WORLDS[world]
    # Forward: the moments of p, in closed form.
    mean = -2 * weight + 2 * (1 - weight)
    second = weight * (4 + left**2) + (1 - weight) * (4 + right**2)
    mu, sigma = maps.best(log_p, 0, 1.0, 1.0)
    assert (mu, sigma) == pytest.approx((mean, math.sqrt(second - mean**2)), abs=2e-3)
    # The others: no better place on a grid.
    grid = [(m, s) for m in np.linspace(-4, 4, 33) for s in np.geomspace(0.2, 4, 25)]
    for which in (1, 2):
        mu, sigma = maps.best(log_p, which, 1.0, 1.0)
        own = maps.three(log_p, maps.log_normal(maps.LINE, mu, sigma))[which]
        least = min(maps.three(log_p, maps.log_normal(maps.LINE, m, s))[which] for m, s in grid)
        assert own <= least + 1e-4 and own > least - 0.05


def test_the_reverse_takes_the_nearer_of_two_equal_heaps():
    box = explore.divergences(fit="least KL(q‖p), reverse")
    for mu in (1.0, -1.0):
        box.set(mu=mu)
        assert box.caption.startswith(f"q = N({'−' * (mu < 0)}2.0") or "1.99" in box.caption[:14]
        assert not box.error
    reverse = number(box.caption.split("KL(q‖p) = **")[1].split("*")[0])
    assert reverse == pytest.approx(math.log(2), abs=0.01)  # half of p is not seen, at log 2


def test_by_hand_the_sliders_are_what_is_shown():
    box = explore.divergences()
    assert box.caption.startswith("q = N(1.000, 1.000²)")
    box.set(mu=-0.5, sigma=2.0, apart=3.0, world="a large and a small heap")
    log_p, log_q = (
        maps._log_two("a large and a small heap", 3.0),
        maps.log_normal(maps.LINE, -0.5, 2),
    )
    for value in maps.three(log_p, log_q):
        assert f"**{maps.say(value)}**" in box.caption
    assert 5_000 < len(box.still) < 100_000 and "0.693" in box.picture.alt
    with pytest.raises(ValueError, match="fit"):
        explore.divergences(fit="any")
