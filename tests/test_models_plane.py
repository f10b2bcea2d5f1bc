"""Distributions on the plane: true samples, collapsed ones, wrong counts, and the networks."""

import copy
import math

import pytest
import torch
from scipy import stats
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.nn import functional as F

from genart_lessons.models import plane


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


MIXTURES = {"ring": plane.ring(8), "grid": plane.grid(5)}


@pytest.fixture(params=MIXTURES)
def mixture(request):
    return MIXTURES[request.param]


# ---------------------------------------------------------------- the distributions


def test_the_ring_and_the_grid_are_those_of_the_papers():
    ring, grid = MIXTURES["ring"], MIXTURES["grid"]
    assert len(ring) == 8 and ring.sd == 0.02
    assert torch.allclose(ring.centres.norm(dim=1), torch.full((8,), 2.0))
    apart = (ring.centres - ring.centres.roll(1, 0)).norm(dim=1)
    assert torch.allclose(apart, torch.full((8,), 4 * math.sin(math.pi / 8)))
    assert len(grid) == 25 and grid.sd == 0.05
    wanted = {(float(a), float(b)) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)}
    assert {tuple(c) for c in grid.centres.tolist()} == wanted


def test_log_prob_is_that_of_torch_distributions(mixture):
    k = len(mixture)
    exact = MixtureSameFamily(
        Categorical(torch.ones(k)), Independent(Normal(mixture.centres, mixture.sd), 1)
    )
    x = mixture.sample(100, generator=chance()) + 0.1 * torch.randn(100, 2, generator=chance(1))
    assert torch.allclose(mixture.log_prob(x), exact.log_prob(x), rtol=1e-4, atol=1e-3)
    wide = plane.Mixture(mixture.centres, 2 * mixture.sd)
    assert (wide.log_prob(x) - exact.log_prob(x)).abs().max() > 0.5


def test_the_density_integrates_to_one():
    mixture = plane.Mixture(torch.tensor([[0.3, 0.0], [-0.5, 0.4]]), 0.2)
    line = torch.linspace(-2, 2, 401)
    area = mixture.log_prob(torch.cartesian_prod(line, line)).double().exp().sum() * 0.01**2
    assert area.item() == pytest.approx(1, abs=1e-4)


def test_true_samples_have_the_right_entropy(mixture):
    """Minus the mean log-density is the entropy: log K + log 2πe·sd², the modes standing apart."""
    values = -mixture.log_prob(mixture.sample(4_000, generator=chance(2)))
    entropy = math.log(len(mixture)) + math.log(2 * math.pi * math.e * mixture.sd**2)
    assert abs(values.mean().item() - entropy) < 4 * values.std().item() / math.sqrt(4_000)


def test_the_scale_is_that_of_the_samples(mixture):
    x = mixture.sample(20_000, generator=chance(3)) / mixture.scale
    assert x.square().mean().item() == pytest.approx(1, rel=0.02)


def test_samples_are_a_function_of_the_generator(mixture):
    a, b, c = (mixture.sample(50, generator=chance(s)) for s in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize(
    "centres, sd, word",
    [
        (torch.zeros(3), 0.1, "centres"),
        (torch.zeros(3, 3), 0.1, "centres"),
        (torch.zeros(0, 2), 0.1, "centres"),
        (torch.zeros(3, 2, dtype=torch.long), 0.1, "floating"),
        (torch.full((3, 2), math.nan), 0.1, "finite"),
        (torch.zeros(3, 2), 0.0, "sd"),
        (torch.zeros(3, 2), math.nan, "sd"),
    ],
)
def test_bad_mixtures_are_refused(centres, sd, word):
    with pytest.raises(ValueError, match=word):
        plane.Mixture(centres, sd)


# ---------------------------------------------------------------- the count


def test_true_samples_cover_all_modes_and_as_many_are_good_as_chi_says(mixture):
    n, share = 20_000, plane.good_share()
    assert share == pytest.approx(stats.chi(df=2).cdf(3)) == pytest.approx(0.98889, abs=1e-5)
    seen = mixture.modes(mixture.sample(n, generator=chance(4)))
    error = math.sqrt(share * (1 - share) / n)
    assert seen.covered == len(mixture)
    assert abs(seen.good - share) < 4 * error
    line = stats.chi(df=1).cdf(3)  # the law of one dimension, which is not that of the plane
    assert abs(seen.good - line) > 4 * error


def test_good_depends_on_the_number_of_deviations(mixture):
    x = mixture.sample(20_000, generator=chance(5))
    for within in (1.0, 2.0):
        share = plane.good_share(within)
        error = math.sqrt(share * (1 - share) / 20_000)
        assert abs(mixture.modes(x, within=within).good - share) < 4 * error


def test_a_collapsed_sampler_covers_one_mode(mixture):
    k = len(mixture)
    one = mixture.centres[3] + mixture.sd * torch.randn(2_500, 2, generator=chance(6))
    seen = mixture.modes(one)
    assert seen.covered == 1 and seen.good > 0.98 and seen.counts[3] == seen.counts.sum()
    assert seen.tv == pytest.approx(1 - 1 / k) and seen.kl == pytest.approx(math.log(k))
    assert str(seen).startswith(f"1 of {k} modes")


def test_between_the_modes_nothing_is_good_or_covered(mixture):
    seen = mixture.modes(mixture.sample(500, generator=chance(7)) + 8 * mixture.sd)
    assert seen.covered == 0 and seen.good == 0
    assert math.isnan(seen.tv) and math.isnan(seen.kl)


def test_points_that_are_not_finite_are_not_good(mixture):
    x = mixture.centres[:2].repeat(5, 1)
    x[:3], x[3] = math.nan, math.inf
    assert mixture.modes(x).good == pytest.approx(0.6)


def test_counts_are_those_of_a_plain_loop(mixture):
    x = mixture.sample(300, generator=chance(8)) + mixture.sd * torch.randn(300, 2)
    counts = [0] * len(mixture)
    for point in x.tolist():
        away = [math.dist(point, centre) for centre in mixture.centres.tolist()]
        if min(away) < 3 * mixture.sd:
            counts[away.index(min(away))] += 1
    seen = mixture.modes(x)
    assert seen.counts.tolist() == counts and seen.covered == sum(c > 0 for c in counts)


def test_a_mode_counts_only_with_enough_good_points():
    ring = MIXTURES["ring"]
    x = torch.cat([ring.centres[:1].repeat(97, 1), ring.centres[1:4]])
    assert ring.modes(x).covered == 4  # the papers' rule: one point in 100 will do
    assert ring.modes(x, least=2).covered == 1


def test_evenness_is_the_g_test_of_scipy():
    grid = MIXTURES["grid"]
    seen = grid.modes(grid.sample(2_500, generator=chance(9)))
    counts = seen.counts.numpy()
    g, p = stats.power_divergence(counts, lambda_="log-likelihood")
    assert 2 * counts.sum() * seen.kl == pytest.approx(g)
    assert p > 1e-3
    assert seen.tv == pytest.approx(abs(counts / counts.sum() - 1 / 25).sum() / 2)
    weights = torch.ones(25)
    weights[:5] = 2  # a fifth of the modes twice as likely: all covered, and yet uneven
    which = torch.multinomial(weights, 2_500, replacement=True, generator=chance(9))
    uneven = grid.modes(grid.centres[which])
    assert uneven.covered == 25 and uneven.tv > 2 * seen.tv
    assert stats.power_divergence(uneven.counts.numpy(), lambda_="log-likelihood")[1] < 1e-6


@pytest.mark.parametrize(
    "points", [torch.zeros(5), torch.zeros(5, 3), torch.zeros(0, 2), torch.zeros(5, 2).long()]
)
def test_bad_points_are_refused(mixture, points):
    for measure in (mixture.modes, mixture.log_prob):
        with pytest.raises(ValueError, match="points must be"):
            measure(points)


@pytest.mark.parametrize("options", [{"least": 0}, {"within": 0.0}, {"within": math.nan}])
def test_bad_rules_are_refused(mixture, options):
    with pytest.raises(ValueError, match="above 0"):
        mixture.modes(mixture.centres, **options)


# ---------------------------------------------------------------- over seeds


def test_mean_se_is_that_of_scipy():
    values = [8, 8, 7, 8, 3]
    mean, se = plane.mean_se(values)
    assert mean == pytest.approx(6.8) and se == pytest.approx(stats.sem(values))
    with pytest.raises(ValueError, match="two values"):
        plane.mean_se([8])


def test_the_interval_is_wilsons():
    low, high = plane.interval(5, 5)
    z = stats.norm.ppf(0.975)
    assert low == pytest.approx(5 / (5 + z**2)) and high == pytest.approx(1)
    low, high = plane.interval(3, 10)
    for edge in (low, high):  # where the share lies z of *its own* standard errors from 3 of 10
        assert abs(0.3 - edge) == pytest.approx(z * math.sqrt(edge * (1 - edge) / 10))


# ---------------------------------------------------------------- the networks


def batch_for(mixture, model, n=32, seed=0, step=0):
    g = chance(seed)
    z = torch.randn(n, model.latent, generator=g)
    return {"x": mixture.sample(n, generator=g), "z": z, "step": step}


KINDS = {
    "plain": {},
    "deep": dict(latent=7, hidden=16, layers=3),
    "waves": dict(waves=5),
}


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_gradients(mixture, kind):
    torch.manual_seed(0)
    model = plane.PlaneGAN(mixture.scale, **KINDS[kind])
    batch = batch_for(mixture, model)
    assert model.judge(batch["x"]).shape == (32,)
    assert model.make(batch["z"]).shape == (32, 2)
    losses = model.losses(gamma=0.1, steps=10)
    assert list(losses) == ["discriminator", "generator"]
    for part, loss in losses.items():
        model.zero_grad()
        value = loss(model, batch)
        assert value.ndim == 0 and value.isfinite()
        value.backward()
        own = dict(getattr(model, part).named_parameters())
        lost = [name for name, p in own.items() if p.grad is None or not p.grad.any()]
        assert not lost, f"no gradient reaches {part}: {lost}"
        if part == "discriminator":
            assert all(p.grad is None for p in model.generator.parameters())


def test_the_losses_are_those_of_torch():
    torch.manual_seed(0)
    model = plane.PlaneGAN()
    batch = batch_for(MIXTURES["ring"], model)
    real, fake = model.judge(batch["x"]), model.judge(model.make(batch["z"]))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(32), torch.zeros(32)
    losses = model.losses()
    assert torch.allclose(losses["discriminator"](model, batch), bce(real, one) + bce(fake, zero))
    assert torch.allclose(losses["generator"](model, batch), bce(fake, one))
    minimax = model.losses(generator="minimax")["generator"]
    assert torch.allclose(minimax(model, batch), -bce(fake, zero))
    with pytest.raises(ValueError, match="unknown"):
        model.losses(generator="maximin")["generator"](model, batch)
    with pytest.raises(ValueError, match="unknown"):
        model.losses("entropy")["discriminator"](model, batch)


def test_the_relativistic_losses_compare_pairs():
    torch.manual_seed(0)
    model = plane.PlaneGAN()
    batch = batch_for(MIXTURES["ring"], model)
    real, fake = model.judge(batch["x"]), model.judge(model.make(batch["z"]))
    bce, one = F.binary_cross_entropy_with_logits, torch.ones(32)
    losses = model.losses("relativistic")
    assert torch.allclose(losses["discriminator"](model, batch), bce(real - fake, one))
    assert torch.allclose(losses["generator"](model, batch), bce(fake - real, one))
    with torch.no_grad():  # only the difference counts, which is not so for the plain losses
        model.discriminator.layers[-1].bias += 3
    assert torch.allclose(losses["discriminator"](model, batch), bce(real - fake, one))
    assert not torch.allclose(model.losses()["generator"](model, batch), bce(fake, one), atol=0.1)


def test_r1_is_half_gamma_times_the_squared_slope():
    torch.manual_seed(0)
    model = plane.PlaneGAN()
    batch = batch_for(MIXTURES["ring"], model)
    plain, with_r1 = (model.losses(gamma=g)["discriminator"](model, batch) for g in (0.0, 3.0))
    jacobian = torch.autograd.functional.jacobian(model.judge, batch["x"])  # (B, B, 2)
    squared = jacobian.diagonal().square().sum(0).mean()
    assert torch.allclose(with_r1 - plain, 1.5 * squared, rtol=1e-4, atol=1e-6)
    lazy = model.losses(gamma=3.0, every=4)["discriminator"]
    assert torch.allclose(lazy(model, batch) - plain, 6 * squared, rtol=1e-4, atol=1e-6)
    assert torch.allclose(lazy(model, {**batch, "step": 1}), plain)


def run(model, mixture, columns, steps=30):
    """Train on these columns of five data sets, as ``training.fit`` does."""
    model = model.double()
    x = mixture.sample(5 * 400, generator=chance(1)).view(400, 5, 2).double()
    z = torch.randn(steps, 16, 5, model.latent, generator=chance(2)).double()
    optimizers = {
        part: torch.optim.Adam(model.get_submodule(part).parameters(), lr=1e-2)
        for part in ("discriminator", "generator")
    }
    for step in range(steps):
        batch = {"x": x[step * 8 : step * 8 + 16, columns], "z": z[step][:, columns], "step": step}
        if len(columns) == 1:
            batch |= {name: batch[name].squeeze(1) for name in ("x", "z")}
        for part, loss in model.losses("relativistic", gamma=0.1, every=2).items():
            model.zero_grad()
            loss(model, batch).backward()
            optimizers[part].step()
    return model


def test_pairs_side_by_side_learn_what_each_learns_alone():
    mixture, options = MIXTURES["ring"], dict(hidden=8, waves=2)
    scale = mixture.scale
    together = run(plane.PlaneGAN(scale, seeds=range(5), **options), mixture, list(range(5)))
    for k in (0, 3):
        alone = run(plane.PlaneGAN(scale, seeds=[k], **options), mixture, [k])
        for name, weights in alone.state_dict().items():
            assert torch.allclose(together.state_dict()[name][k], weights[0], atol=1e-8), name
    other = run(plane.PlaneGAN(scale, seeds=[3], **options), mixture, [2])  # another's data
    assert not torch.allclose(
        together.generator.layers[0].weight[3], other.generator.layers[0].weight[0], atol=1e-2
    )
    assert together.float().sample(7, generator=chance(3)).shape == (7, 5, 2)
    with pytest.raises(ValueError, match=r"points must be \(B, 5, 2\)"):
        together.judge(torch.zeros(4, 2).double())


def test_a_pair_starts_as_linear_layers_do():
    layer = plane.Dense(16, 4000, [chance(5)])
    theirs = torch.nn.Linear(16, 4000)
    assert stats.ks_2samp(
        layer.weight.detach().flatten().numpy(), theirs.weight.detach().flatten().numpy()
    ).pvalue > 1e-4  # fmt: skip
    assert float(layer.bias.detach().abs().max()) <= 0.25


def test_gamma_fades_over_the_run():
    assert plane.fade(0, 100) == 1 and plane.fade(50, 100) == 0.125 and plane.fade(100, 100) == 0
    torch.manual_seed(0)
    model = plane.PlaneGAN(3.0)
    batch = batch_for(MIXTURES["grid"], model, step=50)

    def value(**options):
        return model.losses(**options)["discriminator"](model, batch)

    assert torch.allclose(value(gamma=2.0, steps=100), value(gamma=0.25))
    assert not torch.allclose(value(gamma=2.0, steps=100), value(gamma=2.0))
    for options in ({"gamma": -1.0}, {"every": 0}):
        with pytest.raises(ValueError, match="below"):
            model.losses(**options)


def test_sampling_is_a_function_of_the_noise():
    torch.manual_seed(0)
    model = plane.PlaneGAN(latent=3)
    z = torch.randn(6, 3, generator=chance(1))
    assert torch.equal(model.sample(z=z), model.sample(6, generator=chance(1)))
    with pytest.raises(ValueError, match="one of the two"):
        model.sample()
    with pytest.raises(ValueError, match="codes"):
        model.sample(z=torch.zeros(6, 2))


@pytest.mark.parametrize(
    "options",
    [{"scale": 0.0}, {"latent": 0}, {"hidden": 0}, {"layers": 0}, {"seeds": ()}, {"waves": -1}],
)
def test_bad_networks_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        plane.PlaneGAN(**options)


def test_the_scale_only_changes_the_units():
    torch.manual_seed(0)
    small = plane.PlaneGAN(1.0, waves=4)
    large = copy.deepcopy(small)
    large.generator.scale = large.discriminator.scale = 5.0
    x, z = torch.randn(4, 2, generator=chance(1)), torch.randn(4, 2, generator=chance(2))
    assert torch.allclose(large.judge(5 * x), small.judge(x), atol=1e-6)
    assert torch.allclose(large.make(z), 5 * small.make(z))
