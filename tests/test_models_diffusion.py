"""Diffusion: every map and step against diffusers, scipy or torch, and the usual mistakes by name.

Where a step is random, whole distributions are compared: a step may have the right variance and
still be wrong. Everything is float64, so that "equal" means equal.
"""

import copy
import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from scipy import stats
from scipy.integrate import solve_ivp
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)

from genart_lessons import training
from genart_lessons.models import diffusion, noised_mixture, plane
from genart_lessons.models import diffusion_samplers as samplers

# numpy 2 grumbles inside of diffusers, which reads our tables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=chance(seed), dtype=dtype)


LINEAR, COSINE = diffusion.linear(), diffusion.cosine()
SHORT = diffusion.linear(10, 0.02, 0.4)
SCHEDULES = {"linear": LINEAR, "cosine": COSINE, "short": SHORT}
X0, EPS = noise(6, 3, 4, 4, seed=1), noise(6, 3, 4, 4, seed=2)
T6 = torch.tensor([1, 2, 3, 5, 8, 10])


def everywhere(schedule):
    """Six times of a schedule, from the first to the last."""
    return torch.tensor([1, 2, schedule.T // 3, schedule.T // 2, schedule.T - 1, schedule.T])


def mixture(schedule=SHORT, **options):
    """Three components, two classes, on the plane, none like another."""
    means = torch.tensor([[-1.0, 0.2], [0.9, 0.4], [0.3, -0.8]], dtype=torch.float64)
    given = dict(sds=torch.tensor([0.3, 0.15, 0.2]), weights=torch.tensor([0.5, 0.3, 0.2]))
    return noised_mixture.NoisedMixture(means, **given | options, schedule=schedule)


def line(schedule):
    """Two components on the line."""
    means = torch.tensor([[-1.0], [0.5]], dtype=torch.float64)
    sds, weights = torch.tensor([0.3, 0.2]).double(), torch.tensor([0.4, 0.6]).double()
    return noised_mixture.NoisedMixture(means, sds, weights, schedule)


def theirs(kind, schedule, predicts="eps", **options):
    """A scheduler of diffusers on our schedule, its tables raised to our precision."""
    names = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
    given = dict(trained_betas=schedule.beta[1:].numpy(), prediction_type=names[predicts])
    if kind is not DPMSolverMultistepScheduler:
        given["clip_sample"] = False
    scheduler = kind(num_train_timesteps=schedule.T, **given | options)
    scheduler.betas, scheduler.alphas = schedule.beta[1:], schedule.alpha[1:]
    scheduler.alphas_cumprod = schedule.alpha_bar[1:]
    scheduler.one = scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    return scheduler


class Say(nn.Module):
    """A denoiser of pictures that is no good, but smooth and different at every t and y."""

    def __init__(self, schedule, predicts="eps", classes=0):
        super().__init__()
        self.schedule, self.predicts, self.classes = schedule, predicts, classes
        self.shape = (3, 4, 4)

    def forward(self, x, t, y=None):
        place = (t / self.schedule.T).to(x).view(-1, 1, 1, 1)
        told = 0 if y is None else 0.3 * (y + 1).to(x).view(-1, 1, 1, 1)
        return torch.tanh(x + told) * (0.5 + place)


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedules_tables_are_those_of_the_definitions(name):
    schedule = SCHEDULES[name]
    assert schedule.beta[0] == 0 and schedule.alpha_bar[0] == 1 and schedule.beta_tilde[1] == 0
    for table in (schedule.beta, schedule.alpha, schedule.alpha_bar, schedule.beta_tilde):
        assert table.shape == (schedule.T + 1,) and table.dtype == torch.float64
    left = 1.0
    for t in range(1, schedule.T + 1):
        before, left = left, left * (1 - schedule.beta[t].item())
        assert schedule.alpha_bar[t].item() == pytest.approx(left, rel=1e-12)
        tilde = schedule.beta[t].item() * (1 - before) / (1 - left)
        assert schedule.beta_tilde[t].item() == pytest.approx(tilde, rel=1e-9)
    assert schedule.snr[0] == math.inf and (schedule.snr.diff() < 0).all()


def test_linear_and_cosine_are_those_of_diffusers():
    # Their tables are float32, so seven digits are all that can agree.
    names = {"linear": LINEAR, "squaredcos_cap_v2": COSINE}
    for name, schedule in names.items():
        other = DDPMScheduler(1000, beta_schedule=name)
        assert torch.allclose(schedule.beta[1:].float(), other.betas, rtol=2e-5, atol=1e-7)
        assert torch.allclose(
            schedule.alpha_bar[1:].float(), other.alphas_cumprod, rtol=1e-3, atol=1e-6
        )
    shifted = COSINE.beta[:-1].float()
    assert not torch.allclose(shifted, other.betas, rtol=2e-5, atol=1e-7)


def test_the_cosine_is_near_its_formula_and_ends_above_nothing():
    u = torch.arange(1001, dtype=torch.float64) / 1000
    f = ((u + 0.008) / 1.008 * math.pi / 2).cos() ** 2
    assert torch.allclose(COSINE.alpha_bar[:-1], (f / f[0])[:-1], rtol=1e-9)
    assert COSINE.beta[-1] == 0.999 and 0 < COSINE.alpha_bar[-1] < 1e-8
    assert 4e-5 < LINEAR.alpha_bar[-1] < 4.1e-5  # Ho et al.: almost nothing is left


@pytest.mark.parametrize("betas", [[], [0.1, 0.0], [0.1, 1.0], [-0.1], [math.nan], [[0.1]]])
def test_betas_that_are_no_variances_are_refused(betas):
    with pytest.raises(ValueError, match="betas must be|every β_t must be"):
        diffusion.Schedule.from_betas(betas)


def test_tables_are_looked_up_by_t_itself():
    x = torch.zeros(3, 1, 2, 2)
    found = SHORT.at("alpha_bar", torch.tensor([0, 1, 10]), x)
    assert found.shape == (3, 1, 1, 1) and found.dtype == torch.float32
    assert found.flatten().tolist() == pytest.approx(SHORT.alpha_bar[[0, 1, 10]].tolist())
    assert SHORT.at("beta", 4, x).item() == pytest.approx(SHORT.beta[4].item())
    wrong = {
        "a step of 0 to T − 1 that goes below": torch.tensor([-1, 0, 1]),
        "past the end": torch.tensor([11, 0, 1]),
        "not whole": torch.tensor([0.5, 0.1, 0.2]),
        "another length": torch.tensor([1, 2]),
    }
    for t in wrong.values():
        with pytest.raises(ValueError, match="times t"):
            SHORT.at("beta", t, x)


def test_pictures_go_to_signed_and_back():
    x = torch.rand(2, 3, 4, 4, generator=chance())
    assert diffusion.to_signed(x).min() < -0.8
    assert torch.allclose(diffusion.to_unit(diffusion.to_signed(x)), x)
    assert diffusion.to_unit(torch.tensor([-1.4, 0.0, 1.3])).tolist() == [0, 0.5, 1]
    for wrong in (x * 255, x - 0.5, x * math.nan):
        with pytest.raises(ValueError, match="from 0 to 1"):
            diffusion.to_signed(wrong)


# ---------------------------------------------------------------- the forward process


@pytest.mark.parametrize("name", SCHEDULES)
def test_noised_is_add_noise_of_diffusers(name):
    schedule = SCHEDULES[name]
    t = everywhere(schedule)
    other = theirs(DDPMScheduler, schedule)
    ours = diffusion.noised(schedule, X0, t, EPS)
    assert torch.allclose(ours, other.add_noise(X0, EPS, t - 1), rtol=1e-12)
    assert torch.equal(diffusion.noised(schedule, X0, 0, EPS), X0)
    off_by_one = other.add_noise(X0, EPS, (t - 2).clamp(min=0))
    assert not torch.allclose(ours, off_by_one, rtol=1e-4)


def chain(x, schedule, t, seed=0, root=torch.sqrt, extra=lambda z: z):
    """x_t by t single steps; ``root`` and ``extra`` make the usual mistakes."""
    generator = chance(seed)
    for s in range(1, t + 1):
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = schedule.alpha[s].sqrt() * x + root(schedule.beta[s]) * extra(z)
    return x


def test_the_leap_has_the_distribution_of_the_single_steps():
    n, t, start = 40_000, 6, 0.7
    x0 = torch.full((n, 1), start, dtype=torch.float64)
    law = Normal(SHORT.alpha_bar[t].sqrt() * start, (1 - SHORT.alpha_bar[t]).sqrt())

    def p_value(x):
        return stats.kstest(law.cdf(x.flatten()).numpy(), "uniform").pvalue

    assert p_value(diffusion.noised(SHORT, x0, t, noise(n, 1))) > 0.01
    assert p_value(chain(x0, SHORT, t)) > 0.01
    assert p_value(chain(x0, SHORT, t, root=lambda b: b)) < 1e-6  # β for √β
    twice = noise(n, 1) * noise(n, 1, seed=9)  # variance 1, kurtosis 9
    assert twice.var().item() == pytest.approx(1, abs=0.05)
    assert p_value(diffusion.noised(SHORT, x0, t, twice)) < 1e-6
    assert p_value(diffusion.noised(SHORT, x0, t + 1, noise(n, 1))) < 1e-6  # t off by one
    mixed = SHORT.alpha[t].sqrt() * x0 + (1 - SHORT.alpha[t]).sqrt() * noise(n, 1)
    assert p_value(mixed) < 1e-6  # α for ᾱ


# ---------------------------------------------------------------- the posterior


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_posterior_is_bayes_rule(name):
    """log q(x_s|x_t, x_0) by its formula is log q(x_t|x_s) + log q(x_s|x_0) − log q(x_t|x_0)."""
    schedule = SCHEDULES[name]
    for t in (2, schedule.T // 2, schedule.T):
        x0, x_t, x_s = noise(5, 1), noise(5, 1, seed=1), noise(5, 1, seed=2)
        bar, step = schedule.alpha_bar, schedule.alpha[t]
        forward = Normal(step.sqrt() * x_s, schedule.beta[t].sqrt()).log_prob(x_t)
        before = Normal(bar[t - 1].sqrt() * x0, (1 - bar[t - 1]).sqrt()).log_prob(x_s)
        evidence = Normal(bar[t].sqrt() * x0, (1 - bar[t]).sqrt()).log_prob(x_t)
        mean, variance = diffusion.posterior(schedule, x0, x_t, t)
        ours = Normal(mean, variance.sqrt()).log_prob(x_s)
        assert torch.allclose(ours, forward + before - evidence, rtol=1e-8)
        wide = Normal(mean, schedule.beta[t].sqrt()).log_prob(x_s)  # β_t for β̃_t
        if t < schedule.T // 2 + 1:
            assert not torch.allclose(wide, forward + before - evidence, rtol=1e-8)


def test_at_the_first_step_the_posterior_is_the_data():
    mean, variance = diffusion.posterior(SHORT, X0, EPS, 1)
    assert torch.allclose(mean, X0) and variance.item() == 0
    for t in (0, 11):
        with pytest.raises(ValueError, match="from 1 to 10"):
            diffusion.posterior(SHORT, X0, EPS, t)
    with pytest.raises(ValueError, match="one shape"):
        diffusion.posterior(SHORT, X0, EPS[:1], 1)


# ---------------------------------------------------------------- what a network may predict


@pytest.mark.parametrize("name", SCHEDULES)
def test_all_kinds_of_prediction_say_the_same(name):
    schedule = SCHEDULES[name]
    t = everywhere(schedule)
    x_t = diffusion.noised(schedule, X0, t, EPS)
    a = schedule.alpha_bar[t].sqrt().view(-1, 1, 1, 1)
    s = (1 - schedule.alpha_bar[t]).sqrt().view(-1, 1, 1, 1)
    truth = {"eps": EPS, "x0": X0, "v": a * EPS - s * X0, "score": -EPS / s}
    velocity = theirs(DDPMScheduler, schedule).get_velocity(X0, EPS, t - 1)
    assert torch.allclose(truth["v"], velocity, rtol=1e-12)
    for source, value in truth.items():
        for target, wanted in truth.items():
            got = diffusion.convert(schedule, x_t, t, value, source, target)
            # By way of ε, x_0 loses what 1/√ᾱ_T = 20 000 takes from 16 digits.
            assert torch.allclose(got, wanted, atol=1e-10), (source, target)
    assert not torch.allclose(diffusion.convert(schedule, x_t, t, EPS, "x0", "eps"), EPS)


def test_a_score_is_the_gradient_of_the_log_density():
    x_t = diffusion.noised(SHORT, X0, T6, EPS).requires_grad_()
    bar = SHORT.alpha_bar[T6].view(-1, 1, 1, 1)
    log = Normal(bar.sqrt() * X0, (1 - bar).sqrt()).log_prob(x_t).sum()
    (slope,) = torch.autograd.grad(log, x_t)
    assert torch.allclose(diffusion.convert(SHORT, x_t, T6, EPS, "eps", "score"), slope)


def test_conversions_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="'noise' is no kind"):
        diffusion.convert(SHORT, X0, T6, EPS, "noise", "x0")
    with pytest.raises(ValueError, match="from 1 to 10"):
        diffusion.convert(SHORT, X0, T6 - 1, EPS, "eps", "x0")
    with pytest.raises(ValueError, match="one shape"):
        diffusion.convert(SHORT, X0, T6, EPS[:, :1], "eps", "x0")


# ---------------------------------------------------------------- the model and its loss


def batch(n=6, **more):
    return {"x": X0[:n].tanh(), "eps": EPS[:n], "u": torch.linspace(0, 0.999, n), **more}


@pytest.mark.parametrize("predicts", diffusion.PREDICTS)
def test_the_loss_is_the_error_of_the_thing_predicted(predicts):
    model, b = Say(SHORT, predicts), batch()
    t = torch.tensor([1, 2, 4, 6, 8, 10])
    assert torch.equal(diffusion.times_of(SHORT, b["u"]), t)
    x_t = diffusion.noised(SHORT, b["x"], t, b["eps"])
    truth = diffusion.convert(SHORT, x_t, t, b["eps"], "eps", predicts)
    wanted = (model(x_t, t) - truth).square().mean()
    assert torch.allclose(diffusion.loss(model, b), wanted)
    swapped = copy.copy(model)
    swapped.predicts = {"eps": "x0", "x0": "eps", "v": "eps"}[predicts]
    assert not torch.allclose(diffusion.loss(swapped, b), wanted)


def test_times_are_every_step_equally_often():
    u = torch.arange(1000) / 1000
    assert torch.equal(torch.bincount(diffusion.times_of(SHORT, u)), torch.tensor([0] + [100] * 10))
    nearly = torch.tensor([1 - 2**-24])
    assert diffusion.times_of(LINEAR, nearly) == 1000


def test_the_loss_hides_a_tenth_of_the_classes():
    class Spy(nn.Module):
        def forward(self, x, t, y):
            self.seen = y
            return x

    net = Spy()
    model = diffusion.Denoiser(net, SHORT, classes=3)
    y, drop = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0.05, 0.099, 0.1, 0.5, 0.9, 0.0])
    diffusion.loss(model, batch(y=y, drop=drop))
    assert net.seen.tolist() == [-1, -1, 2, 0, 1, -1]
    diffusion.loss(model, batch(y=y))
    assert torch.equal(net.seen, y)
    model(X0, T6)
    assert net.seen.tolist() == [-1] * 6
    for wrong, said in (
        (torch.tensor([3] * 6), "0 to 2"),
        (torch.tensor([-2] * 6), "0 to 2"),
        (torch.tensor([1.0] * 6), "whole numbers"),
        (torch.tensor([1]), "whole numbers"),
    ):
        with pytest.raises(ValueError, match=said):
            model(X0, T6, wrong)
    with pytest.raises(ValueError, match="knows no classes"):
        diffusion.Denoiser(net, SHORT)(X0, T6, y)


def test_pictures_in_the_wrong_range_are_refused():
    model = Say(SHORT)
    for wrong in (X0.sigmoid(), X0.tanh() * 255, X0 * math.nan):
        with pytest.raises(ValueError, match="to_signed"):
            diffusion.loss(model, batch() | {"x": wrong})


def test_a_denoiser_needs_a_known_prediction():
    with pytest.raises(ValueError, match="eps, x0, v"):
        diffusion.Denoiser(nn.Identity(), SHORT, "score")
    with pytest.raises(ValueError, match="number of classes"):
        diffusion.Denoiser(nn.Identity(), SHORT, classes=-1)


def test_batches_deal_uniform_numbers_and_leave_the_rest_as_it_was():
    x = {"x": noise(40, 2, dtype=torch.float32)}
    plain = training.Batches(x, 8, noise={"eps": (2,)})
    more = training.Batches(x, 8, noise={"eps": (2,)}, uniform={"u": (), "w": (500,)})
    for step in (0, 7):
        a, b = plain.at(step), more.at(step)
        assert torch.equal(a["x"], b["x"]) and torch.equal(a["eps"], b["eps"])
        assert b["u"].shape == (8,) and b["w"].shape == (8, 500)
        assert stats.kstest(b["w"].flatten().numpy(), "uniform").pvalue > 0.01
        assert torch.equal(b["u"], more.at(step)["u"])
        halves = [more.at(step, part, 2)["u"] for part in (0, 1)]
        assert torch.equal(torch.cat(halves), b["u"])
    assert "uniform" not in plain.settings and more.settings["uniform"] == {"u": [], "w": [500]}
    for clash in ({"x": ()}, {"eps": ()}):
        with pytest.raises(ValueError, match="uniform and something else"):
            training.Batches(x, 8, noise={"eps": (2,)}, uniform=clash)


# ---------------------------------------------------------------- the bound


def test_a_term_of_the_bound_is_a_divergence_of_normals():
    model = Say(SHORT, "v")
    for t in (2, 5, 10):
        for variance, table in (("beta", SHORT.beta), ("beta_tilde", SHORT.beta_tilde)):
            x_t = diffusion.noised(SHORT, X0, t, EPS)
            mean, true_variance = diffusion.posterior(SHORT, X0, x_t, t)
            guess = diffusion.predict(model, x_t, t, None, "x0")
            said = diffusion.posterior(SHORT, guess, x_t, t)[0]
            wanted = kl_divergence(
                Normal(mean, true_variance.sqrt().expand_as(mean)), Normal(said, table[t].sqrt())
            ).sum((1, 2, 3))
            ours = diffusion.bound_term(model, X0, t, EPS, variance=variance)
            assert torch.allclose(ours, wanted)
            # Equation 7.19: a weight times the error of the noise, and a constant.
            error = diffusion.predict(model, x_t, t, None, "eps") - EPS
            constant = 0.5 * (r := SHORT.beta_tilde[t] / table[t]) - 0.5 - 0.5 * r.log()
            weight = diffusion.simple_weights(SHORT, variance)[t]
            weighed = weight * error.square().sum((1, 2, 3)) + 48 * constant
            assert torch.allclose(ours, weighed)
    last = Normal(SHORT.alpha_bar[10].sqrt() * X0, (1 - SHORT.alpha_bar[10]).sqrt())
    wanted = kl_divergence(last, Normal(0.0, 1.0)).sum((1, 2, 3))
    assert torch.allclose(diffusion.prior_term(SHORT, X0), wanted)


@pytest.mark.parametrize("name", ["short", "cosine"])
def test_the_bound_is_tight_where_the_reverse_chain_is_the_true_one(name):
    """One normal: the true reverse steps are normal, of known variance, and nothing is lost."""
    schedule = diffusion.cosine(40) if name == "cosine" else SHORT
    mean, sd, n = 0.4, 0.5, 20_000
    one = noised_mixture.NoisedMixture(torch.tensor([[mean]]).double(), sd, None, schedule)
    bar = schedule.alpha_bar
    var = bar * sd**2 + 1 - bar
    exact = torch.zeros_like(bar)
    exact[1:] = schedule.beta[1:] * var[:-1] / var[1:]  # of q(x_{t−1}|x_t)
    x0 = one.sample(n, chance(1))
    left = Normal(bar[-1].sqrt() * mean, var[-1].sqrt())
    price = kl_divergence(left, Normal(0.0, 1.0)).item()  # that x_T is not N(0, 1)
    entropy = Normal(mean, sd).entropy().item()
    gaps = {}
    for variance in (exact, "beta", "beta_tilde"):
        terms = diffusion.bound_terms(one, x0, variance=variance, generator=chance(2))
        assert terms.shape == (n, schedule.T + 1)
        total = terms.sum(1)
        key = variance if isinstance(variance, str) else "exact"
        gaps[key] = (total.mean().item() - entropy - price, total.std().item() / math.sqrt(n))
    gap, se = gaps.pop("exact")
    assert abs(gap) < 4 * se and se < 0.02
    assert all(gap > -4 * se for gap, se in gaps.values()), gaps
    gap, se = gaps["beta_tilde"]  # too narrow, unless the data is a single point
    assert gap > 5 * se


def test_the_bound_on_a_mixture_stays_above_the_true_value_and_comes_near_with_many_steps():
    excess = []
    for steps in (10, 100):
        exact = mixture(diffusion.cosine(steps))
        x0 = exact.sample(2000, chance(1))
        over = diffusion.bound(exact, x0, variance="beta", generator=chance(2))
        over = over + exact.log_prob(x0)
        excess.append((over.mean().item(), over.std().item() / math.sqrt(2000)))
    (few, se_few), (many, se_many) = excess
    assert abs(many) < 4 * se_many < 0.3 * few and few > 5 * se_few


def test_the_probabilities_of_a_pixels_levels_sum_to_one():
    levels = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    model = mixture(SHORT)
    for mean in (-3.0, 0.02, 0.99, 2.5):
        log = diffusion._level_log_prob(levels, torch.full_like(levels, mean), 0.07, 9)
        assert torch.isfinite(log).all()
        assert log.exp().sum().item() == pytest.approx(1, abs=1e-9)
    inner = diffusion._level_log_prob(levels[3:4], levels[3:4] + 0.05, 0.3, 9)
    law = Normal(levels[3] + 0.05, 0.3)
    wanted = law.cdf(levels[3] + 0.125) - law.cdf(levels[3] - 0.125)
    assert inner.exp().item() == pytest.approx(wanted.item())
    x0 = torch.tensor([[0.5, -1.0]]).double()
    assert diffusion.bound_term(model, x0, 1, torch.zeros(1, 2).double(), levels=9).item() > 0
    with pytest.raises(ValueError, match="9 equal levels"):
        diffusion.bound_term(model, x0 + 0.01, 1, torch.zeros(1, 2).double(), levels=9)


def test_variances_of_ones_own_must_fit():
    for wrong, said in (("learned", "'beta_tilde' or 'beta'"), (SHORT.beta[1:], "must be")):
        with pytest.raises(ValueError, match=said):
            diffusion.reverse_variances(SHORT, wrong)


# ---------------------------------------------------------------- the mixture


def torch_law(exact, t, y=None):
    """The same distribution by torch.distributions, for one t and one class."""
    keep = slice(None) if y is None else exact.groups == y
    bar = exact.schedule.alpha_bar[t]
    sds = (bar * exact.sds[keep] ** 2 + 1 - bar).sqrt()[:, None].expand(-1, 2)
    parts = Independent(Normal(bar.sqrt() * exact.means[keep], sds), 1)
    return MixtureSameFamily(Categorical(exact.weights[keep]), parts)


@pytest.mark.parametrize("t", [0, 1, 4, 10])
@pytest.mark.parametrize("y", [None, 0, 1])
def test_the_mixtures_density_score_and_means(t, y):
    exact = mixture(groups=[0, 1, 1])
    x = noise(7, 2, seed=3).requires_grad_()
    law = torch_law(exact, t, y)
    rows = None if y is None else torch.full((7,), y)
    assert torch.allclose(exact.log_prob(x, t, rows), law.log_prob(x))
    (slope,) = torch.autograd.grad(law.log_prob(x).sum(), x)
    assert torch.allclose(exact.score(x, t, rows), slope)
    if t:
        said = exact(x, torch.full((7,), t), rows)
        assert torch.allclose(diffusion.convert(SHORT, x, t, said, "eps", "score"), slope)
        # Tweedie's formula against Bayes' rule, component by component.
        bar = SHORT.alpha_bar[t]
        tweedie = (x + (1 - bar) * slope) / bar.sqrt()
        assert torch.allclose(exact.posterior_mean(x, t, rows), tweedie)
        for wrong in ((x + (1 - bar).sqrt() * slope) / bar.sqrt(), x + (1 - bar) * slope):
            assert not torch.allclose(exact.posterior_mean(x, t, rows), wrong, rtol=1e-3)


def test_different_times_and_classes_may_stand_in_one_batch():
    exact = mixture(groups=[0, 1, 1])
    x, t, y = noise(4, 2), torch.tensor([0, 3, 10, 5]), torch.tensor([-1, 0, 1, -1])
    for i in range(4):
        one = exact.log_prob(x[i : i + 1], int(t[i]), None if y[i] < 0 else y[i : i + 1])
        assert torch.allclose(exact.log_prob(x, t, y)[i : i + 1], one)


def test_the_mean_noise_is_what_the_best_network_would_say():
    """No function of x_t has a smaller error than E[ε|x_t]: the exact answer beats others."""
    exact, n = mixture(), 20_000
    x0, eps = exact.sample(n, chance(1)), noise(n, 2, seed=2)
    t = diffusion.times_of(SHORT, torch.rand(n, generator=chance(3)))
    x_t = diffusion.noised(SHORT, x0, t, eps)
    said = exact(x_t, t)
    best = (said - eps).square().sum(1)
    for wrong in (0.95 * said, 1.05 * said, exact(x_t, (t + 1).clamp(max=10)), said + 0.1):
        worse = (wrong - eps).square().sum(1) - best
        assert worse.mean() > 4 * worse.std() / math.sqrt(n)
    assert abs((said * (said - eps)).sum(1).mean()) < 4 * math.sqrt(2 / n)


def test_draws_come_from_the_mixture():
    exact = mixture(groups=[0, 1, 1])
    drawn = exact.sample(30_000, chance(1))
    share = exact.log_class_prob(drawn).exp().mean(0)
    assert torch.allclose(share, torch.tensor([0.5, 0.5]).double(), atol=0.02)
    for i in range(2):
        cdf = lambda x, i=i: sum(  # noqa: E731
            w * stats.norm.cdf(x, m[i], s)
            for w, m, s in zip(*(p.tolist() for p in (exact.weights, exact.means, exact.sds)),
                               strict=True)
        )  # fmt: skip
        assert stats.kstest(drawn[:, i].numpy(), cdf).pvalue > 0.01
    of_one = exact.sample(2000, chance(1), y=torch.ones(2000).long())
    wanted = (0.3 * exact.means[1] + 0.2 * exact.means[2]) / 0.5
    assert torch.allclose(of_one.mean(0), wanted, atol=0.05)
    assert torch.equal(exact.sample(5, chance(4)), exact.sample(5, chance(4)))


def test_bayes_rule_for_classes_and_their_scores():
    exact = mixture(groups=[0, 1, 1])
    x, t, y = noise(5, 2).requires_grad_(), 4, torch.ones(5).long()
    log_y = exact.log_class_prob(x, t)
    assert torch.allclose(log_y.exp().sum(1), torch.ones(5).double())
    joint = exact.log_prob(x, t, y) + math.log(0.5)  # p(x|y)·p(y)
    assert torch.allclose(log_y[:, 1], joint - exact.log_prob(x, t))
    (slope,) = torch.autograd.grad(log_y[:, 1].sum(), x)
    assert torch.allclose(exact.score(x, t, y), exact.score(x, t) + slope)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sds": torch.tensor([0.1, 0.2])}, "expand|must be|size"),
        ({"sds": 0.0}, "above 0"),
        ({"weights": torch.tensor([0.5, 0.5])}, r"weights must be \(3,\)"),
        ({"weights": torch.tensor([1.0, 1.0, 0.0])}, "above 0"),
        ({"groups": [0, 2, 2]}, "every number"),
        ({"groups": [0, 1]}, r"groups must be \(3,\)"),
    ],
)
def test_mixtures_that_make_no_sense_are_refused(change, said):
    with pytest.raises((ValueError, RuntimeError), match=said):
        mixture(**change)


# ---------------------------------------------------------------- what guidance aims at


def test_tilted_densities_are_those_known_in_closed_form():
    exact = mixture(groups=[0, 1, 1])
    for w, y in ((0.0, None), (1.0, 1)):
        law = torch_law(exact, 0, y)
        grid = exact.tilted(1, w)
        assert torch.allclose(grid.density.flatten(), law.log_prob(grid.points).exp(), atol=1e-6)
        assert torch.allclose(grid.mean(), law.mean, atol=1e-6)
        assert torch.allclose(grid.variance(), law.variance, atol=1e-6)
    assert exact.tilted(1, 1.0).log_z == pytest.approx(math.log(0.5))
    drawn = exact.tilted(1, 1.0).sample(20_000, chance())
    assert torch.allclose(drawn.mean(0), torch_law(exact, 0, 1).mean, atol=0.02)
    strong = exact.tilted(1, 4.0)
    # The class that guidance asks for lies away from the other one, and what is tilted even more.
    assert strong.mean()[0] > grid.mean()[0] and strong.log_z < grid.log_z
    with pytest.raises(ValueError, match="0 to 1"):
        exact.tilted(2, 1.0)


def test_the_tilted_density_of_two_normals_by_hand():
    """q(x)·p(y|x)³, written again with scipy's normal densities."""
    exact = line(SHORT)
    grid, x = exact.tilted(1, 3.0), exact.tilted(1, 3.0).axes[0].numpy()
    parts = [0.4 * stats.norm.pdf(x, -1, 0.3), 0.6 * stats.norm.pdf(x, 0.5, 0.2)]
    wanted = sum(parts) * (parts[1] / sum(parts)) ** 3
    wanted = wanted / np.trapezoid(wanted, x)
    assert np.allclose(grid.density.numpy(), wanted, atol=1e-6)
    at_four = exact.tilted(1, 3.0, t=4)
    assert at_four.variance() > grid.variance()


# ---------------------------------------------------------------- samplers against diffusers


def reference(scheduler, model, x, times, **step):
    """The samples of one of diffusers' schedulers along our times."""
    for t in times[:-1]:
        said = model(x, torch.full((len(x),), t))
        x = scheduler.step(said, t - 1, x, **step).prev_sample
    return x


START = noise(4, 3, 4, 4, seed=7)


@pytest.mark.parametrize("predicts", diffusion.PREDICTS)
@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
@pytest.mark.parametrize("steps", [None, (10, 7, 4, 1)])
def test_ddpm_is_that_of_diffusers(predicts, variance, steps):
    """(Along times that end at 1. Where they end earlier, theirs leaves noise in the sample.)"""
    for schedule in (SHORT, diffusion.cosine(20)):
        model, times = Say(schedule, predicts), samplers.times(schedule, steps)
        kind = {"beta_tilde": "fixed_small", "beta": "fixed_large"}
        other = theirs(DDPMScheduler, schedule, predicts, variance_type=kind[variance])
        other.set_timesteps(timesteps=[t - 1 for t in times[:-1]])
        wanted = reference(other, model, START, times, generator=chance(5))
        ours = samplers.ddpm(model, START, variance=variance, steps=steps, generator=chance(5))
        assert torch.allclose(ours, wanted, rtol=1e-9, atol=1e-9)
        swap = {"beta": "beta_tilde", "beta_tilde": "beta"}[variance]
        wrong = samplers.ddpm(model, START, variance=swap, steps=steps, generator=chance(5))
        assert not torch.allclose(wrong, wanted, rtol=1e-3)


@pytest.mark.parametrize("predicts", diffusion.PREDICTS)
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("clip", [False, True])
def test_ddim_is_that_of_diffusers(predicts, eta, clip):
    schedule, steps = diffusion.cosine(20), 5
    model, times = Say(schedule, predicts), samplers.times(schedule, steps)
    other = theirs(DDIMScheduler, schedule, predicts, timestep_spacing="trailing", clip_sample=clip)
    other.set_timesteps(steps)
    assert [t + 1 for t in other.timesteps.tolist()] == times[:-1]
    options = dict(eta=eta, generator=chance(5))
    wanted = reference(other, model, START, times, use_clipped_model_output=clip, **options)
    options["generator"] = chance(5)
    ours = samplers.ddim(model, START, steps=steps, clip=clip, **options)
    assert torch.allclose(ours, wanted, rtol=1e-9, atol=1e-9)
    noisier = samplers.ddim(model, START, steps=steps, clip=clip, eta=0.9, generator=chance(5))
    assert not torch.allclose(noisier, wanted, rtol=1e-3)


def test_ddim_with_all_its_noise_is_ddpm():
    for steps in (None, 4):
        model = Say(SHORT, "v")
        ours = samplers.ddim(model, START, steps=steps, eta=1.0, generator=chance(5))
        ddpm = samplers.ddpm(model, START, steps=steps, generator=chance(5))
        assert torch.allclose(ours, ddpm, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("predicts", diffusion.PREDICTS)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 17])
def test_dpm2_is_that_of_diffusers(predicts, steps):
    """Their ``step`` rounds to float32, so their updates are called one by one, in float64."""
    schedule = diffusion.cosine(20)
    model, times = Say(schedule, predicts), samplers.times(schedule, steps)
    other = theirs(DPMSolverMultistepScheduler, schedule, predicts, timestep_spacing="trailing")
    other.set_timesteps(steps)
    assert [t + 1 for t in other.timesteps.tolist()] == times[:-1]
    bar = schedule.alpha_bar[times]
    rounded = other.sigmas
    other.sigmas = ((1 - bar) / bar).sqrt()
    assert torch.allclose(rounded.double(), other.sigmas, rtol=1e-6)
    x, guesses = START, []
    for i, t in enumerate(times[:-1]):
        other._step_index = i
        said = model(x, torch.full((4,), t))
        guesses.append(other.convert_model_output(said, sample=x))
        if i in (0, steps - 1):
            x = other.dpm_solver_first_order_update(guesses[-1], sample=x)
        else:
            x = other.multistep_dpm_solver_second_order_update(guesses, sample=x)
    ours = samplers.dpm2(model, START, steps=steps)
    assert torch.allclose(ours, x, rtol=1e-8, atol=1e-8)
    other.set_timesteps(steps)  # and as it is used, to its own precision
    assert torch.allclose(reference(other, model, START, times), ours, atol=2e-4)
    first_order = samplers.ddim(model, START, steps=steps)
    assert torch.allclose(first_order, ours) == (steps < 3)


@pytest.mark.parametrize("steps", [3, 10, 17])
def test_dpm2_with_noise_is_that_of_diffusers(steps):
    """With the very same noise in every step; in float64, as above."""
    schedule = diffusion.cosine(20)
    model, times = Say(schedule, "v"), samplers.times(schedule, steps)
    other = theirs(
        DPMSolverMultistepScheduler, schedule, "v", timestep_spacing="trailing",
        algorithm_type="sde-dpmsolver++",
    )  # fmt: skip
    other.set_timesteps(steps)
    bar = schedule.alpha_bar[times]
    other.sigmas = ((1 - bar) / bar).sqrt()
    x, guesses, same = START, [], chance(5)
    for i, t in enumerate(times[:-1]):
        other._step_index = i
        guesses.append(other.convert_model_output(model(x, torch.full((4,), t)), sample=x))
        fresh = torch.randn(x.shape, generator=same, dtype=x.dtype)
        if i == steps - 1:
            x = guesses[-1]  # no noise at the end
        elif i == 0:
            x = other.dpm_solver_first_order_update(guesses[-1], sample=x, noise=fresh)
        else:
            x = other.multistep_dpm_solver_second_order_update(guesses, sample=x, noise=fresh)
    ours = samplers.dpm2(model, START, steps=steps, noisy=True, generator=chance(5))
    assert torch.allclose(ours, x, rtol=1e-8, atol=1e-8)
    assert not torch.allclose(ours, samplers.dpm2(model, START, steps=steps), rtol=1e-2)


def test_with_the_exact_score_the_noisy_solver_reaches_the_mixture():
    """50 steps: each mode's share, mean and spread within 4.5 standard errors or 2 %."""
    line = noised_mixture.NoisedMixture(
        torch.tensor([[-1.0], [1.0]]).double(), 0.3, torch.tensor([0.7, 0.3]), diffusion.cosine()
    )
    x = samplers.dpm2(line, 20_000, steps=50, noisy=True, generator=chance(1))[:, 0]
    left = x[x < 0]
    assert abs(len(left) / len(x) - 0.7) < 4.5 * (0.7 * 0.3 / len(x)) ** 0.5 + 0.002
    assert abs(float(left.mean()) + 1) < 0.02 and abs(float(left.std()) / 0.3 - 1) < 0.03


def test_times_are_even_and_may_be_ones_own():
    assert samplers.times(SHORT) == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert samplers.times(SHORT, 4) == [10, 8, 5, 2, 0]
    assert samplers.times(SHORT, (9, 4, 1)) == [9, 4, 1, 0]
    for wrong in (0, 11, (), (4, 4), (1, 2), (11, 3), (3, 0)):
        with pytest.raises(ValueError, match="steps|times"):
            samplers.times(SHORT, wrong)


def test_the_last_step_adds_no_noise():
    model = Say(SHORT, "x0")
    x = samplers.ddpm(model, START, steps=(3,), generator=chance(1))
    assert torch.equal(x, samplers.ddpm(model, START, steps=(3,), generator=chance(2)))
    assert torch.allclose(x, model(START, torch.full((4,), 3)))  # the guess itself
    two = [samplers.ddpm(model, START, steps=(3, 1), generator=chance(s)) for s in (1, 2)]
    assert not torch.allclose(*two)


def test_clipping_keeps_every_guess_inside():
    model = Say(SHORT, "x0")
    model.forward = lambda x, t, y=None: 3 * torch.tanh(x)
    for sampler in (samplers.ddpm, samplers.ddim, samplers.dpm2):
        film = sampler(model, START, steps=5, clip=True, keep=6, generator=chance())
        assert film.guesses.abs().max() <= 1
        free = sampler(model, START, steps=5, keep=6, generator=chance())
        assert free.guesses.abs().max() > 1


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm2"])
def test_films_hold_the_states_and_guesses_of_their_times(name):
    sampler, model = getattr(samplers, name), Say(SHORT, "v")
    film = sampler(model, START, steps=10, keep=4, generator=chance())
    assert film.times == (10, 7, 3, 0)
    assert film.states.shape == film.guesses.shape == (4, 4, 3, 4, 4)
    assert torch.equal(film.states[0], START) and torch.equal(film.states[-1], film.x0)
    guess = diffusion.predict(model, film.states[1], 7, None, "x0")
    assert torch.equal(film.guesses[1], guess)
    assert torch.equal(film.x0, sampler(model, START, steps=10, generator=chance()))
    near = sampler(model, START, steps=5, keep=[9, 10, 5, 0], generator=chance())
    assert near.times == (10, 8, 4, 0)
    with pytest.raises(ValueError, match="two states"):
        sampler(model, START, steps=5, keep=1)


def test_samples_are_drawn_from_a_seed_or_from_their_noise():
    model = Say(SHORT)
    first, again = (samplers.ddim(model, 2, steps=5, generator=chance(3)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (2, 3, 4, 4)
    x_T = torch.randn(2, 3, 4, 4, generator=chance(3))
    assert torch.equal(samplers.ddim(model, x_T, steps=5), first)
    model.shape = None
    assert samplers.ddim(model, 2, shape=(1, 4, 4), steps=2).shape == (2, 1, 4, 4)
    with pytest.raises(ValueError, match="shape="):
        samplers.ddim(model, 2, steps=2)
    for wrong, said in (({"eta": 1.5}, "eta"), ({"eta": -0.1}, "eta")):
        with pytest.raises(ValueError, match=said):
            samplers.ddim(model, START, **wrong)
    for wrong in ("fixed_small", SHORT.beta[1:]):
        with pytest.raises(ValueError, match="varia"):
            samplers.ddpm(model, START, variance=wrong)
    with pytest.raises(ValueError, match="all T steps"):
        samplers.ddpm(model, START, variance=SHORT.beta, steps=4)


# ---------------------------------------------------------------- guidance


@pytest.mark.parametrize("predicts", diffusion.PREDICTS)
def test_guidance_mixes_the_two_noises(predicts):
    model = Say(SHORT, predicts, classes=3)
    x, t, y = noise(4, 3, 4, 4), torch.tensor([1, 4, 7, 10]), torch.tensor([0, 1, 2, 0])

    def eps(y):
        said = model(x, t, y)
        return diffusion.convert(SHORT, x, t, said, predicts, "eps")

    without, given = eps(torch.full((4,), -1)), eps(y)
    for w in (0.0, 1.0, 3.5):
        said = samplers.guided(model, w)(x, t, y)
        ours = diffusion.convert(SHORT, x, t, said, predicts, "eps")
        assert torch.allclose(ours, without + w * (given - without))
        off_by_one = (1 + w) * given - w * without  # Ho and Salimans' own scale
        assert not torch.allclose(ours, off_by_one)
    with pytest.raises(ValueError, match="class y of every sample"):
        samplers.guided(model, 2.0)(x, t)
    with pytest.raises(ValueError, match="knows none"):
        samplers.guided(Say(SHORT), 2.0)
    with pytest.raises(ValueError, match="needs the classes"):
        samplers.ddim(model, START, guidance=2.0, steps=2)


def test_guided_samples_of_one_normal_reach_what_the_flow_says_and_not_the_tilted_density():
    """Data N(0, τ²), one class N(0, σ²): the ODE ends at variance τ^{2(1−w)}·σ^{2w} (eq. 7.38)."""

    class Two:  # both are normal, so that everything is known
        predicts, classes, shape, schedule = "eps", 1, (1,), diffusion.cosine(400)

        def __call__(self, x, t, y=None):
            sd = 1.0 if y is None else torch.where(y < 0, 1.0, 0.5)[:, None].double()
            bar = self.schedule.at("alpha_bar", t, x)
            return (1 - bar).sqrt() * x / (bar * sd**2 + 1 - bar)

    w, x = 2.0, noise(64, 1)
    y = torch.zeros(64).long()
    ends = samplers.ddim(Two(), x, y=y, guidance=w, steps=400)
    factor = (ends / x).mean().item()  # everything is linear here
    assert factor**2 == pytest.approx(0.5 ** (2 * w), rel=0.05)
    tilted = 1 / ((1 - w) / 1.0 + w / 0.25)
    assert abs(tilted - factor**2) > 0.03  # 1/7 against 1/16


# ---------------------------------------------------------------- the samplers' distributions


def quantile_error(exact, x, ends):
    """W₁ between the true distribution and a monotone map's, both at even quantiles."""
    grid = torch.linspace(-4, 4, 40_001, dtype=torch.float64)
    cdf = sum(
        w * Normal(m[0], s).cdf(grid)
        for w, m, s in zip(exact.weights, exact.means, exact.sds, strict=True)
    )
    share = Normal(0.0, 1.0).cdf(x.flatten())
    true = grid[torch.searchsorted(cdf, share).clamp(max=40_000)]
    return (true - ends.flatten().sort().values).abs().mean().item()


def test_one_solver_is_of_the_first_order_and_the_other_of_the_second():
    """Errors on the line, without any chance: even quantiles of N(0, 1) go to those of the data."""
    exact = line(diffusion.cosine(1000))
    share = (torch.arange(400).double() + 0.5) / 400
    x = torch.special.ndtri(share)[:, None]
    errors = {
        name: [quantile_error(exact, x, getattr(samplers, name)(exact, x, steps=k))
               for k in (10, 20, 40, 80)]
        for name in ("ddim", "dpm2")
    }  # fmt: skip
    for few, many in zip(errors["ddim"], errors["ddim"][1:], strict=False):
        assert 1.6 < few / many < 2.4
    assert errors["dpm2"][0] / errors["dpm2"][2] > 8  # 16 for a pure square
    assert errors["dpm2"][2] < 0.3 * errors["ddim"][2]


def test_every_sampler_gives_the_true_distribution_and_mistakes_do_not():
    schedule, n = diffusion.cosine(100), 6000
    exact = line(schedule)

    def p_value(x):
        cdf = lambda x: 0.4 * stats.norm.cdf(x, -1, 0.3) + 0.6 * stats.norm.cdf(x, 0.5, 0.2)  # noqa: E731
        return stats.kstest(x.flatten().numpy(), cdf).pvalue

    for sampler in (samplers.ddpm, samplers.ddim, samplers.dpm2):
        assert p_value(sampler(exact, n, steps=100, generator=chance(1))) > 0.01
    assert p_value(samplers.ddpm(exact, n, variance="beta", generator=chance(1))) > 0.001

    class Wrong:
        classes, shape, predicts = 0, (1,), "eps"

        def __init__(self, schedule, say):
            self.schedule, self.say = schedule, say

        def __call__(self, x, t, y=None):
            return self.say(x, t)

    shifted = Wrong(schedule, lambda x, t: exact(x, (t - 8).clamp(min=1)))
    swapped = Wrong(schedule, lambda x, t: exact.posterior_mean(x, t))
    rooted = Wrong(schedule, lambda x, t: exact(x, t) * (1 - schedule.at("alpha_bar", t, x)).sqrt())
    for wrong in (shifted, swapped, rooted):
        assert p_value(samplers.ddpm(wrong, n, generator=chance(1))) < 1e-4
    after = samplers.ddpm(exact, n, steps=10, generator=chance(1))
    noisy = after + 0.15 * noise(n, 1)  # noise at the last of ten steps
    assert p_value(noisy) < 1e-4


# ---------------------------------------------------------------- the likelihood


def by_scipy(x, schedule):
    """log p(x) by the ODE in σ, with a score written again and a solver of order eight."""
    means, sds, weights = np.array([-1.0, 0.5]), np.array([0.3, 0.2]), np.array([0.4, 0.6])
    bar = schedule.alpha_bar[-1].item()

    def slope(sigma, state):
        variance = sds**2 + sigma**2
        share = weights * stats.norm.pdf(state[0], means, np.sqrt(variance))
        share = share / share.sum()
        pull = (means - state[0]) / variance
        score = share @ pull
        curve = share @ (pull**2 - 1 / variance) - score**2
        return np.array([-sigma * score, -sigma * curve])

    end = math.sqrt((1 - bar) / bar)
    z, gained = solve_ivp(slope, (0, end), [x, 0.0], method="DOP853", rtol=1e-10, atol=1e-12).y[
        :, -1
    ]
    return stats.norm.logpdf(z * math.sqrt(bar)) + 0.5 * math.log(bar) + gained


def test_the_odes_likelihood_is_that_of_scipy():
    x = torch.linspace(-1.5, 1.2, 5, dtype=torch.float64)[:, None]
    wanted = torch.tensor([by_scipy(v, COSINE) for v in x.flatten().tolist()])
    exact = line(COSINE)
    ours = samplers.ode_log_likelihood(exact, x)
    assert torch.allclose(ours, wanted, atol=2e-4)
    errors = [
        (samplers.ode_log_likelihood(exact, x, steps=k) - wanted).abs().max().item()
        for k in (125, 250, 500)
    ]
    assert errors[0] / errors[2] > 10 and errors[2] > 2e-4  # of the second order: 16
    assert torch.allclose(exact.log_prob(x), wanted, atol=1e-4)


def test_the_odes_likelihood_on_the_plane_and_for_a_class():
    exact = mixture(diffusion.cosine(500), groups=[0, 1, 1])
    x, y = exact.sample(5, chance()), torch.tensor([0, 1, 1, 0, 1])
    for rows in (None, y):
        ours = samplers.ode_log_likelihood(exact, x, y=rows)
        assert torch.allclose(ours, exact.log_prob(x, 0, rows), atol=3e-3)
        assert not ours.requires_grad
    with pytest.raises(ValueError, match="D from 1 to 3"):
        samplers.ode_log_likelihood(exact, torch.zeros(2, 4))


def test_the_likelihood_integrates_to_one_for_a_network_that_knows_nothing():
    torch.manual_seed(0)
    net = diffusion.PointNet(1, 40, width=16, layers=1).double()
    model = diffusion.Denoiser(net, diffusion.cosine(40), "v")
    x = torch.linspace(-9, 9, 3001, dtype=torch.float64)[:, None]
    density = samplers.ode_log_likelihood(model, x).exp()
    assert torch.trapezoid(density, x[:, 0]).item() == pytest.approx(1, abs=0.01)


# ---------------------------------------------------------------- a network learns it


def test_a_small_network_learns_the_ring_and_repeats():
    ring = plane.ring(8, 1.0, 0.1)
    schedule = diffusion.cosine(50)
    exact = noised_mixture.NoisedMixture(ring.centres, 0.1, None, schedule)
    data = exact.sample(4000, chance())
    rest = []
    for steps in (0, 500, 500):
        torch.manual_seed(0)
        net = diffusion.PointNet(2, schedule.T, width=64, layers=2)
        model = diffusion.Denoiser(net, schedule, "v", shape=(2,))
        if steps:
            batches = training.Batches({"x": data}, 256, noise={"eps": (2,)}, uniform={"u": ()})
            training.fit(model, diffusion.loss, batches, steps=steps, lr=5e-3, schedule="cosine",
                         progress=False)  # fmt: skip
        x0, eps = exact.sample(4000, chance(1)), noise(4000, 2, seed=2, dtype=torch.float32)
        t = diffusion.times_of(schedule, torch.rand(4000, generator=chance(3)))
        x_t = diffusion.noised(schedule, x0, t, eps)
        with torch.no_grad():
            said = diffusion.predict(model, x_t, t, None, "eps")
        rest.append((said - exact(x_t, t)).square().mean().item())
    assert rest[1] == rest[2] and rest[1] < 0.4 * rest[0]
    modes = ring.modes(samplers.ddpm(model, 1000, generator=chance()))
    assert modes.covered == 8 and modes.good > 0.55


def test_the_point_net_hears_time_and_class():
    torch.manual_seed(0)
    net = diffusion.PointNet(2, 10, width=16, classes=3)
    x = noise(4, 2, dtype=torch.float32)
    t, y = torch.tensor([1, 5, 5, 10]), torch.tensor([0, 1, -1, 2])
    said = net(x, t, y)
    assert said.shape == (4, 2)
    assert not torch.allclose(said, net(x, t.flip(0), y))
    changed = net(x, t, torch.tensor([0, 1, 0, 2])) != said
    assert changed.any(1).tolist() == [False, False, True, False]
    model = diffusion.Denoiser(net, SHORT, "x0", classes=3, shape=(2,))
    lone = torch.full((4,), -1)
    assert torch.equal(model(x, t), net(x, t, lone))
    assert "frequencies" not in net.state_dict()
