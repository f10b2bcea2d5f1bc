"""Chapter 07's references against diffusers and integrals; what people write, right and wrong."""

import itertools
import math

import numpy as np
import pytest
import sympy
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from points import arrays, reference, tensors
from scipy import integrate, optimize, stats
from torch.nn import functional as F

from genart_lessons.equations import find, noised, of_chapter
from genart_lessons.proof import Draws, judge
from genart_lessons.proof.evaluate import evaluate
from genart_lessons.proof.exact import _vanishes
from genart_lessons.proof.latex import parse
from genart_lessons.proof.spelling import LatexError

T = 50


pytestmark = pytest.mark.usefixtures("one_thread")


def ask(id: str, **given) -> np.ndarray:
    """The reference at numbers or arrays of our own choice, by name."""
    return (
        find(id)
        .reference(**{k: torch.as_tensor(np.atleast_1d(v)) for k, v in given.items()})
        .numpy()
    )


def approx(want, rel=1e-9):
    return pytest.approx(np.asarray(want), rel=rel, abs=1e-10)


# -- against diffusers, in float64 -----------------------------------------------------------------


def in_double(scheduler):
    """diffusers keeps its tables in float32; here they are computed again in float64."""
    first, last = 1e-3, 0.2
    scheduler.betas = torch.linspace(first, last, T, dtype=torch.float64)
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = scheduler.alphas.cumprod(0)
    scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    if hasattr(scheduler, "final_alpha_cumprod"):
        scheduler.final_alpha_cumprod = scheduler.one
    return scheduler


PLAIN = {"num_train_timesteps": T, "clip_sample": False}
STEPS = np.arange(1, T + 1)  # our t; diffusers counts from 0, and its timestep is t − 1


@pytest.fixture(scope="module")
def tables():
    """β, α, ᾱ and ᾱ of the step before, of all T steps, from diffusers."""
    found = in_double(DDPMScheduler(**PLAIN))
    before = np.concatenate([[1.0], found.alphas_cumprod.numpy()[:-1]])
    return found.betas.numpy(), found.alphas.numpy(), found.alphas_cumprod.numpy(), before


def test_the_schedules_are_those_of_diffusers(tables):
    beta, alpha, alpha_bar, _ = tables
    ends = {"T": np.full(T, float(T)), "beta_1": np.full(T, 1e-3), "beta_T": np.full(T, 0.2)}
    assert ask("7.10", t=STEPS.astype(float), **ends) == approx(beta)
    assert ask("7.4", alpha=alpha[None])[0] == approx(alpha_bar)
    plain = DDPMScheduler(**PLAIN, beta_start=1e-3, beta_end=0.2)
    assert beta == approx(plain.betas.numpy(), 1e-6)
    cosine = DDPMScheduler(**PLAIN, beta_schedule="squaredcos_cap_v2").alphas_cumprod.numpy()
    ours = ask("7.11", t=STEPS.astype(float), T=ends["T"], s=np.full(T, 0.008))
    assert ours[:-1] == approx(cosine[:-1], 1e-4)  # its last β is capped at 0.999
    assert ask("7.11", t=[0.0], T=[50.0], s=[0.008]) == approx([1])
    assert abs(ours[-1]) < 1e-15


def test_noise_and_velocity_are_those_of_diffusers(tables):
    _, alpha, alpha_bar, before = tables
    scheduler, chance = in_double(DDPMScheduler(**PLAIN)), np.random.default_rng(7)
    x_0, eps = chance.standard_normal((2, T))
    args = torch.tensor(x_0), torch.tensor(eps), torch.arange(T)
    x_t = scheduler.add_noise(*args).numpy()
    assert ask("7.5", x_0=x_0, alpha=alpha, alpha_bar=alpha_bar, eps=eps) == approx(x_t)
    step = {"alpha": alpha, "alpha_bar": alpha_bar, "alpha_bar_before": before}
    v = scheduler.get_velocity(*args).numpy()
    assert ask("7.22", x_0=x_0, eps=eps, **step) == approx(v)
    assert ask("7.21", x_t=x_t, eps=eps, **step) == approx(x_0)
    assert ask("7.23", x_t=x_t, v=v, **step) == approx(x_0)
    assert ask("7.24", x_t=x_t, v=v, **step) == approx(eps)
    assert ask("7.x4", x_t=x_t, v=v, **step) == approx(-eps / np.sqrt(1 - alpha_bar))
    one = in_double(DDPMScheduler(**PLAIN))
    ratio = scheduler.add_noise(torch.ones(T).double(), torch.zeros(T).double(), torch.arange(T))
    assert ask("7.9", **step) == approx(ratio**2 / (1 - one.alphas_cumprod))


@pytest.mark.parametrize("kind", ["fixed_small", "fixed_large"])
def test_a_step_back_is_that_of_ddpm_in_diffusers(tables, kind, monkeypatch):
    """Mean, variance and the last step's missing noise, for every t, and by name for β̃ and β."""
    beta, alpha, alpha_bar, before = tables
    scheduler = in_double(DDPMScheduler(**PLAIN, variance_type=kind))
    chance = np.random.default_rng(8)
    x_t, eps_hat, z = chance.standard_normal((3, T))
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_ddpm.randn_tensor",
        lambda shape, **_: torch.tensor([[noise]]),
    )
    step = {"alpha": alpha, "alpha_bar": alpha_bar, "alpha_bar_before": before}
    variance = ask("7.14", **step) if kind == "fixed_small" else beta
    ours = ask("7.28", x_t=x_t, eps_hat=eps_hat, alpha=alpha, alpha_bar=alpha_bar,
               sigma=np.sqrt(variance), t=STEPS, z=z)  # fmt: skip
    for k in range(T):
        noise = z[k]
        found = scheduler.step(
            torch.tensor([[eps_hat[k]]]), k, torch.tensor([[x_t[k]]])
        ).prev_sample.item()
        assert ours[k] == pytest.approx(found, rel=1e-9, abs=1e-9)
        theirs = float(scheduler._get_variance(k))
        assert theirs == pytest.approx(max(variance[k], 1e-20), rel=1e-9)
    x_0 = ask("7.21", x_t=x_t, eps=eps_hat, **step)
    means = ask("7.13", x_0=x_0, x_t=x_t, **step)
    assert ask("7.18", x_t=x_t, eps=eps_hat, **step) == approx(means, 1e-8)
    small = ask("7.28", x_t=x_t, eps_hat=eps_hat, alpha=alpha, alpha_bar=alpha_bar,
                sigma=np.zeros(T), t=STEPS, z=z)  # fmt: skip
    assert small == approx(means, 1e-8)
    assert ask("7.14", **step)[0] == approx(0) and ask("7.14", **step)[1:].min() > 0
    assert ask("7.x3", **step) == approx(ask("7.14", **step))


def test_the_exercise_from_a_table_is_ddpm_in_diffusers(tables, monkeypatch):
    """(7.x6) at every t of a schedule of six steps, with the noise of the test's own choice."""
    betas = torch.tensor([0.05, 0.1, 0.2, 0.3, 0.4, 0.5]).double()
    scheduler = DDPMScheduler(num_train_timesteps=6, clip_sample=False)
    scheduler.betas, scheduler.alphas = betas, 1 - betas
    scheduler.alphas_cumprod = (1 - betas).cumprod(0)
    scheduler.one = torch.tensor(1.0).double()
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_ddpm.randn_tensor",
        lambda shape, **_: torch.tensor([[-0.7]]).double(),
    )
    for t in range(1, 7):
        found = scheduler.step(
            torch.tensor([[0.4]]).double(), t - 1, torch.tensor([[1.2]]).double()
        )
        ours = ask("7.x6", x_t=[1.2], eps_hat=[0.4], beta=betas.numpy()[None], t=[t], z=[-0.7])
        assert ours == approx([found.prev_sample.item()], 1e-7)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_back_is_that_of_ddim_in_diffusers(eta):
    scheduler = in_double(DDIMScheduler(**PLAIN, set_alpha_to_one=True))
    scheduler.set_timesteps(10)
    chance = np.random.default_rng(9)
    bars = scheduler.alphas_cumprod.numpy()
    for k in scheduler.timesteps.tolist():
        x_t, eps_hat, z = chance.standard_normal((3, 1))
        now, before = bars[k], bars[k - 5] if k >= 5 else 1.0
        step = {"alpha": [now / before], "alpha_bar": [now], "alpha_bar_before": [before]}
        sigma = ask("7.30", eta=[eta], **step)
        noise = torch.tensor(z) if eta else None
        found = scheduler.step(
            torch.tensor(eps_hat), k, torch.tensor(x_t), eta=eta, variance_noise=noise
        ).prev_sample.numpy()
        ours = ask("7.29", x_t=x_t, eps_hat=eps_hat, alpha_bar=[now], alpha_bar_before=[before],
                   sigma=sigma, z=z)  # fmt: skip
        assert ours == approx(found, 1e-8)
        if eta == 1:
            assert sigma**2 == approx(ask("7.14", **step))


def test_a_guess_half_a_step_ahead_makes_the_second_order_step_of_diffusers():
    """(7.34) in (7.29) with σ = 0 is DPM-Solver++(2M), step by step along a path of its own."""
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=T, beta_start=1e-3, beta_end=0.2, lower_order_final=False,
        final_sigmas_type="zero",
    )  # fmt: skip
    scheduler.set_timesteps(8)
    sigma = scheduler.sigmas.double().numpy()
    bars, x = 1 / (1 + sigma**2), torch.tensor([0.9]).double()
    lam = -np.log(np.maximum(sigma, 1e-300))
    now = before = None
    for k, timestep in enumerate(scheduler.timesteps[:-1]):
        eps_hat = torch.tanh(x) * 0.8
        guess = (x - math.sqrt(1 - bars[k]) * eps_hat) / math.sqrt(bars[k])
        before, now = now, guess.numpy()
        if before is None:
            ahead = now
        else:
            ahead = ask("7.34", now=now, before=before, h=[lam[k + 1] - lam[k]],
                        h_before=[lam[k] - lam[k - 1]])  # fmt: skip
        noise = (x.numpy() - math.sqrt(bars[k]) * ahead) / math.sqrt(1 - bars[k])
        ours = math.sqrt(bars[k + 1]) * ahead + math.sqrt(1 - bars[k + 1]) * noise
        x = scheduler.step(eps_hat, timestep, x).prev_sample
        assert ours == approx(x.numpy(), 1e-5)  # its tables are float32


# -- the chain -------------------------------------------------------------------------------------


def test_paths_by_listing_them():
    v = arrays("7.2", 30)
    for k in range(30):
        q, (start, *_, end) = v["q"][k], v["x"][k]
        paths = [(start, a, b, end) for a in (0, 1) for b in (0, 1)]
        chances = [math.prod(q[t, p[t], p[t + 1]] for t in range(3)) for p in paths]
        mine = math.prod(q[t, v["x"][k][t], v["x"][k][t + 1]] for t in range(3))
        assert reference("7.2", 30)[k] == approx(mine)
        assert reference("7.3", 30)[k] == approx(sum(chances))
        assert reference("7.3", 30)[k] == approx(np.linalg.multi_dot(q)[start, end])
        assert reference("7.2", 30)[k] < reference("7.3", 30)[k], "a path is rarer than its end"


def test_what_the_article_prints_is_a_path_and_not_its_end():
    """E5, both ways round: right for the whole path, refused by name for the last state."""
    printed = r"q(x_T\mid x_0)=\prod_{t=1}^{T}q(x_t\mid x_{t-1})"
    verdict = judge(find("7.3"), printed)
    assert verdict.ok is False and "one whole path" in verdict.mistake, verdict
    assert judge(find("7.2"), printed.partition("=")[2]).ok
    assert "last state alone" in judge(find("7.2"), r"q(x_T\mid x_0)").mistake


def test_many_steps_have_the_law_of_one_leap():
    """(7.1), forty times, against the law of (7.5), and against slips of it, by one test."""
    chance, beta = np.random.default_rng(10), np.linspace(0.005, 0.04, 40)
    x = np.full(20_000, 1.5)
    for b in beta:
        x = ask("7.1", x_before=x, beta=np.full_like(x, b), eps=chance.standard_normal(x.shape))
    bar = np.prod(1 - beta)
    assert stats.kstest(x, stats.norm(math.sqrt(bar) * 1.5, math.sqrt(1 - bar)).cdf).pvalue > 1e-3
    for at, spread in ((bar * 1.5, math.sqrt(1 - bar)), (math.sqrt(bar) * 1.5, 1 - bar)):
        assert stats.kstest(x, stats.norm(at, spread).cdf).pvalue < 1e-6
    early = np.prod(1 - beta[:-5])
    wrong = stats.norm(math.sqrt(early) * 1.5, math.sqrt(1 - early))
    assert stats.kstest(x, wrong.cdf).pvalue < 1e-6
    assert abs(stats.kurtosis(x)) < 4.5 * math.sqrt(24 / len(x))


def test_the_induction_for_every_t_at_once():
    """x_{t−1} as in (7.5) and then (7.1): the weights are those of (7.5) at t (SymPy)."""
    a, b, old, new, x = noised.ALPHA, noised.BEFORE, *sympy.symbols("old new x")
    stepped = sympy.sqrt(a) * noised.leap(x, old, b) + sympy.sqrt(1 - a) * new
    weight = {n: sympy.diff(stepped, n) for n in (x, old, new)}
    assert _vanishes(weight[x] - sympy.sqrt(a * b), noised.BETWEEN_0_AND_1)
    spread = weight[old] ** 2 + weight[new] ** 2
    assert _vanishes(spread - (1 - a * b), noised.BETWEEN_0_AND_1)
    assert _vanishes(spread - find("7.6").definition.derive(), noised.BETWEEN_0_AND_1)
    assert not _vanishes(spread - (1 - b), noised.BETWEEN_0_AND_1)


def test_variances_by_drawing():
    chance = np.random.default_rng(11)
    z, eps = chance.standard_normal((2, 100_000))
    for bar, sigma_0 in ((0.3, 2.0), (0.9, 0.5), (0.6, 1.0)):
        x = math.sqrt(bar) * sigma_0 * z + math.sqrt(1 - bar) * eps
        want = ask("7.7", alpha_bar=bar, sigma_0=sigma_0)[0]
        assert abs(x.var() - want) < 4.5 * want * math.sqrt(2 / len(x))
    sigma = 1.7
    ours = ask("7.8", x_0=z[:9], eps=eps[:9], sigma=np.full(9, sigma))
    assert ours == approx((z[:9] + sigma * eps[:9]) / math.hypot(1, sigma))


def test_every_eta_leaves_the_same_variance():
    """DDIM's step from a true x_t, drawn: mean and variance are those of (7.5) at t − 1."""
    chance, count = np.random.default_rng(12), 100_000
    eps, z = chance.standard_normal((2, count))
    now, before, x_0 = 0.3, 0.7, 1.2
    x_t = math.sqrt(now) * x_0 + math.sqrt(1 - now) * eps
    for sigma in (0.0, 0.2, 0.5):
        bars = {"alpha_bar": np.full(count, now), "alpha_bar_before": np.full(count, before)}
        x = ask("7.29", x_t=x_t, eps_hat=eps, **bars, sigma=np.full(count, sigma), z=z)
        law = stats.norm(math.sqrt(before) * x_0, math.sqrt(1 - before))
        assert stats.kstest(x, law.cdf).pvalue > 1e-3
        variance = ask("7.31", alpha=now / before, alpha_bar=now, alpha_bar_before=before,
                       sigma=sigma)  # fmt: skip
        assert variance == approx([1 - before])


# -- the way back, by integrals ----------------------------------------------------------------


@pytest.mark.parametrize("k", range(2))
def test_the_posterior_by_quadrature(k):
    v = {name: float(a[k]) for name, a in arrays("7.12").items()}
    a, b, x_0, x_t = (v[n] for n in ("alpha", "alpha_bar_before", "x_0", "x_t"))

    forwards, prior = (
        stats.norm(0, math.sqrt(1 - a)),
        stats.norm(math.sqrt(b) * x_0, math.sqrt(1 - b)),
    )

    def joint(x):
        return forwards.pdf(x_t - math.sqrt(a) * x) * prior.pdf(x)

    def area(f):
        return integrate.quad(f, -8, 8, epsabs=1e-10, limit=200)[0]

    total = area(joint)
    mean = area(lambda x: x * joint(x)) / total
    variance = area(lambda x: (x - mean) ** 2 * joint(x)) / total
    step = {"alpha": a, "alpha_bar": a * b, "alpha_bar_before": b}
    assert ask("7.12", **v) == approx([joint(v["x_before"]) / total], 1e-7)
    assert ask("7.13", x_0=x_0, x_t=x_t, **step) == approx([mean], 1e-7)
    assert ask("7.14", **step) == approx([variance], 1e-7)


def kl_by_quadrature(q, p):
    low, high = q.mean() - 12 * q.std(), q.mean() + 12 * q.std()
    return integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), low, high)[0]


def test_prices_by_quadrature():
    v = arrays("7.15", 3)
    for k in range(3):
        laws = [[stats.norm(m, v["sigma"][k]) for m in v[n][k]] for n in ("mu_q", "mu_p")]
        want = sum(itertools.starmap(kl_by_quadrature, zip(*laws, strict=True)))
        assert reference("7.15", 3)[k] == approx(want, 1e-7)
    v = arrays("7.19", 3)
    for k in range(3):
        means = [
            ask("7.18", x_t=[0.3] * 3, eps=v[n][k],
                **{s: np.full(3, v[s][k]) for s in ("alpha", "alpha_bar", "alpha_bar_before")})
            for n in ("eps", "eps_hat")
        ]  # fmt: skip
        want = (np.subtract(*means) ** 2).sum() / (2 * v["sigma"][k] ** 2)
        assert reference("7.19", 3)[k] == approx(want)
    v = arrays("7.x7", 4)
    for k in range(4):
        a, x_0 = v["alpha_bar"][k], v["x_0"][k]
        law = stats.norm(math.sqrt(a) * x_0, math.sqrt(1 - a))
        assert reference("7.x7", 4)[k] == approx(kl_by_quadrature(law, stats.norm(0, 1)), 1e-7)


def test_the_bound_by_listing_paths_and_its_terms_by_listing_them_again():
    """(7.16) is (7.17), below log p(x_0), and touches it where q is the model's posterior."""
    v = arrays("7.16", 20)
    bound, terms = reference("7.16", 20), reference("7.17", 20)
    assert bound == approx(terms)
    for k in range(20):
        w = {name: value[k] for name, value in v.items()}
        total, elbo = 0.0, 0.0
        for one, two, three in itertools.product((0, 1), repeat=3):
            p = w["p_T"][three] * w["p_back"][1, three, two] * w["p_back"][0, two, one]
            p *= w["p_data"][one]
            q = w["q_1"][one] * w["q_on"][0, one, two] * w["q_on"][1, two, three]
            total, elbo = total + p, elbo + q * math.log(p / q)
        assert bound[k] == approx(elbo)
        assert elbo <= math.log(total)
    evidence = find("7.16").evidence
    tight = evidence.tight(tensors("7.16", 20))
    assert find("7.17").reference(**tight).numpy() == approx(evidence.of(**tight).numpy())
    for name in ("q_1", "q_on"):
        assert tight[name].sum(-1).numpy() == approx(np.ones(tight[name].shape[:-1]))


def test_the_forward_process_has_nothing_to_learn():
    """S15: the bound's gradient reaches p alone; the last term of (7.17) reaches neither."""
    w = tensors("7.17", 5)
    leaves = {name: value.clone().requires_grad_() for name, value in w.items()}
    find("7.17").reference(**leaves).sum().backward()
    assert all(leaves[name].grad.abs().max() > 0 for name in ("p_back", "p_data"))
    x_0, alpha_bar = torch.tensor([0.5]).double(), torch.tensor([0.01]).double()
    assert float(find("7.x7").reference(x_0, alpha_bar)) < 0.01, "no parameter in it, and small"


def test_the_simple_loss_by_numpy():
    v = arrays("7.20", 10)
    bar = v["alpha_bar"][..., None]
    x_t = np.sqrt(bar) * v["x_0"] + np.sqrt(1 - bar) * v["eps"]
    errors = v["eps"] - np.einsum("pbi,pij->pbj", x_t, v["W"])
    assert reference("7.20", 10) == approx((errors**2).sum(-1).mean(-1))


# -- scores and flows ------------------------------------------------------------------------------


def mixture(k, id="7.26"):
    """One of the random mixtures: what is drawn, and its density noised to ᾱ, by scipy."""
    v = {name: a[k] for name, a in arrays(id).items()}

    def density(x, bar=v["alpha_bar"]):
        spread = np.sqrt(bar * v["sigma"] ** 2 + 1 - bar)
        return float((v["w"] * stats.norm(math.sqrt(bar) * v["mu"], spread).pdf(x)).sum())

    return v, density


@pytest.mark.parametrize("k", range(2))
def test_tweedie_and_the_score_by_quadrature(k):
    v, density = mixture(k)
    bar, x_t, step = float(v["alpha_bar"]), float(v["x_t"]), 1e-5

    parts, noise = stats.norm(v["mu"], v["sigma"]), stats.norm(0, math.sqrt(1 - bar))

    def weight(x_0):
        return (v["w"] * parts.pdf(x_0)).sum() * noise.pdf(x_t - math.sqrt(bar) * x_0)

    total, first = (
        integrate.quad(lambda x, k=power: x**k * weight(x), -9, 9, epsabs=1e-10, limit=300)[0]
        for power in (0, 1)
    )
    assert total == approx(density(x_t), 1e-7)
    assert reference("7.26")[k] == approx(first / total, 1e-7)
    slope = (math.log(density(x_t + step)) - math.log(density(x_t - step))) / (2 * step)
    assert v["score"] == pytest.approx(slope, rel=1e-6, abs=1e-7)
    v, density = mixture(k, "7.27")
    x_t = float(v["x_t"])
    slope = (math.log(density(x_t + step)) - math.log(density(x_t - step))) / (2 * step)
    assert reference("7.27")[k] == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_the_mean_of_one_pictures_score_is_the_score_of_all():
    """The mean of (7.25) over the x_0 that could have led to x_t is (7.27)."""
    v, density = mixture(0, "7.27")
    bar, x_t = float(v["alpha_bar"]), float(v["x_t"])

    def weighed(x_0):
        prior = (v["w"] * stats.norm(v["mu"], v["sigma"]).pdf(x_0)).sum()
        q = prior * stats.norm(math.sqrt(bar) * x_0, math.sqrt(1 - bar)).pdf(x_t)
        return q * float(
            find("7.25").reference(*(torch.tensor(a).double() for a in (x_t, x_0, bar)))
        )

    mean = integrate.quad(weighed, -9, 9, epsabs=1e-12, limit=300)[0] / density(x_t)
    assert reference("7.27")[0] == approx(mean, 1e-7)


def test_the_flow_keeps_every_quantile_of_a_mixture():
    """(7.32) for a mixture, where it has no closed form: d quantile/dσ is −σ times the score."""
    w, mu, sd = np.array([0.4, 0.6]), np.array([-1.0, 1.5]), np.array([0.3, 0.5])

    def law(sigma):
        return stats.norm(mu, np.sqrt(sd**2 + sigma**2))

    def quantile(share, sigma):
        return optimize.brentq(lambda x: (w * law(sigma).cdf(x)).sum() - share, -30, 30, xtol=1e-13)

    step = 1e-4
    for share, sigma in itertools.product((0.1, 0.45, 0.8), (0.3, 1.0, 2.5)):
        x = quantile(share, sigma)
        speed = (quantile(share, sigma + step) - quantile(share, sigma - step)) / (2 * step)
        parts = w * law(sigma).pdf(x)
        score = (parts * (mu - x) / (sd**2 + sigma**2)).sum() / parts.sum()
        assert speed == pytest.approx(-sigma * score, rel=1e-6)
        assert abs(speed + 2 * sigma * score) > 1e-3


def test_likelihood_along_the_flow_by_a_determinant():
    """A small step of the flow, x̄ ↦ x̄ + h·J x̄: densities fall by the determinant."""
    v, h = arrays("7.33", 10), 1e-6
    for k in range(10):
        moved = np.linalg.slogdet(np.eye(2) + h * v["J"][k])[1] / h
        assert reference("7.33", 10)[k] == pytest.approx(-moved, rel=1e-5)
        lam, turn = v["lam"][k], v["angle"][k]
        axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        covariance = axes @ np.diag(lam) @ axes.T + v["sigma"][k] ** 2 * np.eye(2)
        assert v["J"][k] == approx(v["sigma"][k] * np.linalg.inv(covariance))


def test_the_guess_ahead_is_exact_on_a_line():
    slope, start = 0.7, -0.2
    now, before = start, start - slope * 0.3
    assert ask("7.34", now=now, before=before, h=0.5, h_before=0.3) == approx([start + slope / 4])


# -- guidance --------------------------------------------------------------------------------------


def test_bayes_for_scores_by_differences():
    v, step = arrays("7.35", 10), 1e-5
    for k in range(10):
        w, bar = v["w"][k], v["alpha_bar"][k]
        law = stats.norm(np.sqrt(bar) * v["mu"][k], np.sqrt(bar * v["sigma"][k] ** 2 + 1 - bar))

        def log_share(x, w=w, law=law):
            parts = w * law.pdf(x)
            return math.log(parts[0] / parts.sum())

        x = float(v["x_t"][k])
        slope = (log_share(x + step) - log_share(x - step)) / (2 * step)
        assert v["slope"][k] == pytest.approx(slope, rel=1e-5, abs=1e-6)
        assert reference("7.35", 10)[k] == approx(v["score"][k] + v["slope"][k])


def test_guidance_by_numpy_and_where_its_scale_begins():
    v = arrays("7.36", 20)
    want = v["eps_none"] + v["guidance"] * (v["eps_y"] - v["eps_none"])
    assert reference("7.36", 20) == approx(want)
    assert ask("7.36", eps_none=2.0, eps_y=5.0, guidance=1.0) == approx([5.0])
    assert ask("7.36", eps_none=2.0, eps_y=5.0, guidance=0.0) == approx([2.0])
    v = arrays("7.37", 20)
    tilted = v["p_x"] * v["p_y"] ** v["w"][:, None]
    assert reference("7.37", 20) == approx(tilted / tilted.sum(1, keepdims=True))
    v = arrays("7.x5", 20)
    eps = v["eps_none"] + v["guidance"] * (v["eps_y"] - v["eps_none"])
    picture = (v["x_t"] - np.sqrt(1 - v["alpha_bar"]) * eps) / np.sqrt(v["alpha_bar"])
    assert reference("7.x5", 20) == approx(picture)


@pytest.mark.parametrize("w", [0.0, 1.0, 2.0, 3.0])
def test_where_the_guided_flow_ends_by_scipys_solver(w):
    """From pure noise of spread 1000 down to 0: as (7.38) says, and not as the tilted density."""
    tau, sigma_y, start = 1.0, 0.5, 1e3

    def speed(sigma, x):
        return sigma * x * ((1 - w) / (tau**2 + sigma**2) + w / (sigma_y**2 + sigma**2))

    end = integrate.solve_ivp(speed, (start, 0.0), [start], rtol=1e-10, atol=1e-12).y[0, -1]
    assert end**2 == pytest.approx(ask("7.38", w=w, tau=tau, sigma_y=sigma_y)[0], rel=1e-4)
    tilted = 1 / ((1 - w) / tau**2 + w / sigma_y**2)
    assert (abs(end**2 / tilted - 1) < 1e-3) == (w in (0.0, 1.0))


def test_the_tilted_variance_by_a_grid():
    """The near miss of (7.38) is the variance of (7.37) for two Gaussians, on a grid."""
    x, w, tau, sigma_y = np.linspace(-6, 6, 4001), 2.0, 1.0, 0.5
    prior, given = stats.norm(0, tau).pdf(x), stats.norm(0.4, sigma_y).pdf(x)
    tilted = ask("7.37", p_x=prior[None], p_y=(given / prior)[None], w=w)[0]
    variance = (tilted * x**2).sum() - (tilted * x).sum() ** 2
    assert variance == pytest.approx(1 / ((1 - w) / tau**2 + w / sigma_y**2), rel=1e-6)
    assert (
        "does not reach"
        in judge(
            find("7.38"), lambda w, tau, sigma_y: 1 / ((1 - w) / tau**2 + w / sigma_y**2)
        ).mistake
    )


# -- what people write: right ----------------------------------------------------------------------

BETA_T, BAR = sympy.symbols("beta_t alpha_bar_t")


def _table(beta):
    return F.pad((1 - beta).cumprod(-1), (1, 0), value=1.0)


def _at(table, t):
    return table[torch.arange(len(t)), t]


def _step_in_code(x_t, eps_hat, beta, t, z):
    """As in most code: x̂_0 first, then the posterior's two weights, noise where t > 1."""
    now, before, b = _at(_table(beta), t), _at(_table(beta), t - 1), _at(beta, t - 1)
    x_0 = (x_t - (1 - now) ** 0.5 * eps_hat) / now**0.5
    mean = before**0.5 * b / (1 - now) * x_0 + (1 - b) ** 0.5 * (1 - before) / (1 - now) * x_t
    return torch.where(t > 1, mean + (b * (1 - before) / (1 - now)) ** 0.5 * z, mean)


RIGHT = {
    "7.1": [
        lambda x_before, beta, eps: torch.normal((1 - beta) ** 0.5 * x_before, beta**0.5),
        r"\sqrt{1-\beta_t}\,x_{t-1}+\sqrt{\beta_t}\,\varepsilon",
        r"\sqrt{\alpha_t}x_{t-1}-\sqrt{1-\alpha_t}\epsilon",
    ],
    "7.2": [
        lambda q, x: torch.stack(
            [q[torch.arange(len(x)), t, x[:, t], x[:, t + 1]] for t in range(3)]
        ).prod(0),
    ],
    "7.3": [
        lambda q, x: torch.tensor(
            [float((q[k, 0] @ q[k, 1] @ q[k, 2])[x[k, 0], x[k, 3]]) for k in range(len(x))],
            dtype=q.dtype,
        ),
        lambda q, x: torch.einsum("pab,pbc,pcd->pad", *q.unbind(1))[
            torch.arange(len(x)), x[:, 0], x[:, 3]
        ],
    ],
    "7.4": [
        lambda alpha: alpha.cumprod(-1), lambda alpha: alpha.float().cumprod(-1),
        r"\prod_{s=1}^t(1-\beta_s)", r"\prod_{s\le t}\alpha_s", r"\prod_{i=1}^{t}\alpha_i",
    ],
    "7.5": [
        lambda x_0, alpha_bar, eps: alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * eps,
        lambda x_0, alpha_bar, eps: torch.lerp(
            torch.zeros_like(eps), eps, (1 - alpha_bar).sqrt()
        ) + alpha_bar.sqrt() * x_0,
        lambda x_0, alpha_bar, eps: torch.distributions.Normal(
            alpha_bar.sqrt() * x_0, (1 - alpha_bar).sqrt()
        ).sample(),
        r"x_0\sqrt{\bar{\alpha}_t}+\epsilon\sqrt{1-\bar{\alpha}_t}",
        r"\sqrt{\overline\alpha_t}\mathbf{x}_0+\sqrt{1-\overline\alpha_t}\boldsymbol{\epsilon}",
    ],
    "7.6": [r"1-\alpha_t\bar\alpha_{t-1}", lambda alpha_bar: 1 - alpha_bar, 1 - BAR],
    "7.7": [r"1+\bar\alpha_t(\sigma_0^2-1)"],
    "7.8": [
        r"(x_0+\sigma_t\epsilon)(1+\sigma_t^2)^{-1/2}",
        r"\sqrt{\bar\alpha_t}(x_0+\sigma_t\epsilon)",
    ],
    "7.9": [r"\frac{1}{1-\bar\alpha_t}-1", r"\frac{1}{1/\bar\alpha_t-1}", BAR / (1 - BAR)],
    "7.10": [r"\frac{(T-t)\beta_1+(t-1)\beta_T}{T-1}"],
    "7.11": [
        lambda t, T, s: (
            torch.cos((t / T + s) / (1 + s) * math.pi / 2) / torch.cos(s / (1 + s) * math.pi / 2)
        ) ** 2,
        r"\left(\frac{\cos\left(\frac{t/T+s}{1+s}\frac{\pi}{2}\right)}"
        r"{\cos\left(\frac{s}{1+s}\frac\pi2\right)}\right)^2",
    ],
    "7.12": [
        lambda x_0, x_before, x_t, alpha, alpha_bar_before: torch.distributions.Normal(
            alpha_bar_before.sqrt() * (1 - alpha) / (1 - alpha * alpha_bar_before) * x_0
            + alpha.sqrt() * (1 - alpha_bar_before) / (1 - alpha * alpha_bar_before) * x_t,
            ((1 - alpha) * (1 - alpha_bar_before) / (1 - alpha * alpha_bar_before)).sqrt(),
        ).log_prob(x_before).exp(),
        r"\frac{q(x_{t-1}|x_0)q(x_t|x_{t-1})}{q(x_t|x_0)}",
    ],
    "7.13": [
        r"\frac{\sqrt{\bar\alpha_{t-1}}(1-\alpha_t)x_0+\sqrt{\alpha_t}(1-\bar\alpha_{t-1})x_t}"
        r"{1-\alpha_t\bar\alpha_{t-1}}",
        r"\sqrt{\bar\alpha_{t-1}}x_0+\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}"
        r"(x_t-\sqrt{\bar\alpha_t}x_0)",
    ],
    "7.14": [
        r"\frac{\beta_t(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}",
        r"\frac{1}{\frac{\alpha_t}{\beta_t}+\frac{1}{1-\bar\alpha_{t-1}}}",
        r"(1-\alpha_t)\frac{1-\bar\alpha_{t-1}}{1-\alpha_t\bar\alpha_{t-1}}",
    ],
    "7.15": [lambda mu_q, mu_p, sigma: ((mu_q - mu_p) ** 2).sum(-1) / (2 * sigma**2)],
    "7.16": [
        r"\mathbb{E}_q[\log p(x_{0:T})-\log q(x_{1:T}|x_0)]",
        r"\mathbb{E}_{q(x_{1:T}|x_0)}[\log p(x_0|x_1)]-D_{KL}(q(x_{1:T}|x_0)\Vert p(x_{1:T}))",
        r"\log p(x_0)-D_{KL}(q(x_{1:T}|x_0)\Vert p(x_{1:T}|x_0))",
    ],
    "7.17": [lambda **world: find("7.16").reference(**world)],
    "7.18": [
        r"\frac{x_t}{\sqrt{\alpha_t}}-\frac{1-\alpha_t}{\sqrt{\alpha_t}\sqrt{1-\bar\alpha_t}}\epsilon",
        r"\frac{1}{\sqrt{\alpha_t}}\Big(x_t-\frac{\beta_t}{\sqrt{1-\alpha_t\bar\alpha_{t-1}}}\epsilon\Big)",
        r"\frac{x_t}{\sqrt{\alpha_t}}-\frac{\beta_t\epsilon}{\sqrt{\alpha_t(1-\bar\alpha_t)}}",
    ],
    "7.19": [
        r"\frac{(1-\alpha_t)^2}{2\sigma_t^2\alpha_t(1-\bar\alpha_t)}\|\epsilon_\theta-\epsilon\|^2",
        r"\frac{\beta_t^2}{2\sigma_t^2\alpha_t(1-\bar\alpha_t)}\|\epsilon-\epsilon_\theta(x_t,t)\|_2^2",
    ],
    "7.20": [
        lambda x_0, eps, alpha_bar, W: F.mse_loss(
            (alpha_bar[..., None] ** 0.5 * x_0 + (1 - alpha_bar[..., None]) ** 0.5 * eps) @ W, eps,
            reduction="none",
        ).sum(-1).mean(-1),
    ],
    "7.21": [
        r"\frac{x_t}{\sqrt{\bar\alpha_t}}-\sqrt{\frac{1-\bar\alpha_t}{\bar\alpha_t}}\epsilon",
        r"\frac{x_t}{\sqrt{\bar\alpha_t}}-\sqrt{\frac{1}{\bar\alpha_t}-1}\epsilon",
        lambda x_t, eps, alpha_bar: (x_t - (1 - alpha_bar) ** 0.5 * eps) / alpha_bar**0.5,
    ],
    "7.22": [
        r"\sqrt{\bar\alpha_t}\left(\epsilon-\sqrt{\frac{1-\bar\alpha_t}{\bar\alpha_t}}x_0\right)"
    ],
    "7.25": [
        r"-\epsilon(1-\bar\alpha_t)^{-1/2}", r"\frac{\sqrt{\bar\alpha_t}x_0-x_t}{1-\bar\alpha_t}",
        lambda eps, alpha_bar: -eps / (1 - alpha_bar).sqrt(),
    ],
    "7.26": [
        lambda x_t, score, alpha_bar: (x_t + (1 - alpha_bar) * score) / alpha_bar.sqrt(),
        r"\sum_kr_k\left(\mu_k+\frac{\sqrt{\bar\alpha_t}\sigma_k^2(x_t-\sqrt{\bar\alpha_t}\mu_k)}"
        r"{\bar\alpha_t\sigma_k^2+1-\bar\alpha_t}\right)",
    ],
    "7.27": [
        r"\frac{\sum_kw_kN_k\frac{\sqrt{\bar\alpha_t}\mu_k-x_t}{\bar\alpha_t\sigma_k^2+1-\bar\alpha_t}}"
        r"{\sum_kw_kN_k}",
    ],
    "7.28": [
        lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + (t > 1) * sigma * torch.randn_like(z)
        ),
        lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + sigma * z.masked_fill(t == 1, 0.0)
        ),
        r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\frac{1-\alpha_t}{\sqrt{1-\bar\alpha_t}}"
        r"\epsilon_\theta(x_t,t)\right)+[t\ne 1]\sigma_tz",
        r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}"
        r"\epsilon_\theta(x_t,t)\right)+\mathbf{1}_{t\ge 2}\,\sigma_tz",
    ],
    "7.29": [
        r"\sqrt{\bar\alpha_{t-1}}\left("
        r"\frac{x_t-\sqrt{1-\bar\alpha_t}\epsilon_\theta(x_t,t)}{\sqrt{\bar\alpha_t}}\right)"
        r"+\sqrt{1-\bar\alpha_{t-1}-\sigma_t^2}\cdot\epsilon_\theta(x_t,t)+\sigma_tz",
        lambda x_t, eps_hat, alpha_bar, alpha_bar_before, sigma, z: (
            alpha_bar_before.sqrt() * (x_t - (1 - alpha_bar).sqrt() * eps_hat) / alpha_bar.sqrt()
            + (1 - alpha_bar_before - sigma**2).sqrt() * eps_hat + sigma * torch.randn(len(z))
        ),
    ],
    "7.30": [r"\eta\sqrt{\frac{(1-\bar\alpha_{t-1})\beta_t}{1-\bar\alpha_t}}"],
    "7.32": [
        r"\hat\epsilon", r"\epsilon_\theta(\bar x,\sigma)", lambda score, sigma: -sigma * score,
    ],
    "7.33": [
        lambda J: -J.diagonal(dim1=-2, dim2=-1).sum(-1), lambda J: -torch.einsum("pii->p", J),
        lambda sigma, lam: -(sigma[:, None] / (lam + sigma[:, None] ** 2)).sum(-1),
    ],
    "7.34": [r"\left(1+\frac{h_t}{2h_{t+1}}\right)\hat x_{0,t}-\frac{h_t}{2h_{t+1}}\hat x_{0,t+1}"],
    "7.35": [lambda score, slope: score + slope, r"g_t+s_t"],
    "7.36": [
        r"(1-w)\hat\epsilon_\varnothing+w\hat\epsilon_y",
        r"\hat\epsilon_\emptyset+w(\hat\epsilon_y-\hat\epsilon_\emptyset)",
        r"\hat\epsilon_y+(w-1)(\hat\epsilon_y-\hat\epsilon_\varnothing)", torch.lerp,
    ],
    "7.37": [lambda p_x, p_y, w: (t := p_x * p_y ** w[:, None]) / t.sum(-1, keepdim=True)],
    "7.38": [r"\tau^2\left(\frac{\sigma_y}{\tau}\right)^{2w}", r"(\tau^2)^{1-w}(\sigma_y^2)^w"],
    "7.x1": [
        lambda picture, alpha_bar, eps: (
            alpha_bar.sqrt() * (picture - 0.5) / 0.5 + (1 - alpha_bar).sqrt() * eps
        ),
    ],
    "7.x2": [
        lambda x_0, beta, t, eps: (
            (a := _at(_table(beta), t)).sqrt() * x_0 + (1 - a).sqrt() * eps
        ),
        lambda x_0, beta, t, eps: (
            (a := (1 - beta).log().cumsum(-1).exp()[range(len(t)), t - 1]).sqrt() * x_0
            + (1 - a).sqrt() * torch.randn_like(eps)
        ),
    ],
    "7.x3": [
        r"\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}"
        r"\left(1-\frac{\bar\alpha_t}{\bar\alpha_{t-1}}\right)"
    ],
    "7.x4": [
        lambda x_t, v, alpha_bar: -x_t - (alpha_bar / (1 - alpha_bar)).sqrt() * v,
        r"-\frac{\sqrt{1-\bar\alpha_t}x_t+\sqrt{\bar\alpha_t}v_t}{\sqrt{1-\bar\alpha_t}}",
    ],
    "7.x5": [
        lambda x_t, eps_none, eps_y, alpha_bar, guidance: (
            x_t - (1 - alpha_bar).sqrt() * torch.lerp(eps_none, eps_y, guidance)
        ) / alpha_bar.sqrt(),
    ],
    "7.x6": [
        _step_in_code, lambda x_t, eps_hat, beta, t, z: _step_in_code(
            x_t, eps_hat, beta, t, torch.randn_like(z)
        ),
    ],
    "7.x7": [r"-\frac12\left(\log(1-\bar\alpha_T)+\bar\alpha_T(1-x_0^2)\right)"],
}  # fmt: skip


@pytest.mark.parametrize(
    "id, k", [(id, k) for id, found in RIGHT.items() for k in range(len(found))]
)
def test_another_way_to_write_it_is_as_right(id, k):
    verdict = judge(find(id), RIGHT[id][k])
    assert verdict.ok, verdict
    sampled = isinstance(find(id).evidence, Draws)
    assert "exact" in verdict.kind or callable(RIGHT[id][k]) or sampled, verdict


# -- what people write: wrong, and called by name --------------------------------------------------


def _ddpm(x_t, eps_hat, beta, t, z, alpha_bar=None, before=None, variance=None):
    """A step back as it is often typed, with places for slips."""
    now = _at(_table(beta), t) if alpha_bar is None else alpha_bar
    prev = _at(_table(beta), t - 1) if before is None else before
    b = _at(beta, t - 1)
    var = b * (1 - prev) / (1 - now) if variance is None else variance(b)
    return (x_t - b / (1 - now).sqrt() * eps_hat) / (1 - b).sqrt() + var.clamp(0).sqrt() * z


MISTAKES = {  # as people write them in code → what the verdict calls them
    "β for √β": (
        "7.1", lambda x_before, beta, eps: (1 - beta).sqrt() * x_before + beta * eps, "√β belongs"
    ),
    "β for √β in a formula": ("7.1", r"\sqrt{\alpha_t}x_{t-1}+\beta_t\epsilon", "√β belongs"),
    "noise twice in a step": (
        "7.1", lambda x_before, beta, eps: (
            (1 - beta).sqrt() * x_before + beta.sqrt() * torch.randn_like(eps) * eps
        ), "multiplied in twice",
    ),
    "noise twice, both one's own": (
        "7.5", lambda x_0, alpha_bar, eps: alpha_bar.sqrt() * x_0 + (
            (1 - alpha_bar).sqrt() * torch.randn_like(eps)
        ) * torch.randn_like(eps), "multiplied in twice",
    ),
    "noise twice, by a sign and a square": (
        "7.5", lambda x_0, alpha_bar, eps: alpha_bar.sqrt() * x_0
        + (1 - alpha_bar).sqrt() * eps * eps.roll(1), "multiplied in twice",
    ),
    "α for ᾱ": ("7.5", lambda x_0, alpha, eps: alpha.sqrt() * x_0 + (1 - alpha).sqrt() * eps,
                "α and ᾱ mixed"),
    "roots missing": ("7.5", r"\bar\alpha_tx_0+(1-\bar\alpha_t)\epsilon", "both roots"),
    "1 − √ᾱ": ("7.5", r"\sqrt{\bar\alpha_t}x_0+(1-\sqrt{\bar\alpha_t})\epsilon", "1 − √ᾱ"),
    "one step early": ("7.5", r"\sqrt{\bar\alpha_{t-1}}x_0+\sqrt{1-\bar\alpha_{t-1}}\epsilon",
                       "t is off by one"),
    "∏β": ("7.4", lambda alpha: (1 - alpha).cumprod(-1), "β are multiplied"),
    "Σα": ("7.4", lambda alpha: alpha.cumsum(-1), "α are added"),
    "ᾱ_{t−1}": (
        "7.4", lambda alpha: F.pad(alpha.cumprod(-1), (1, 0), value=1.0)[:, :-1], "t is off by one"
    ),
    "linspace from 0": ("7.10", lambda t, T, beta_1, beta_T: beta_1 + t / T * (beta_T - beta_1),
                        "t is off by one"),
    "β_t for β̃_t": ("7.14", lambda alpha: 1 - alpha, "this is β_t"),
    "β̃_t upside down": (
        "7.14", lambda alpha, alpha_bar, alpha_bar_before: (
            (1 - alpha_bar) / (1 - alpha_bar_before) * (1 - alpha)
        ), "upside down",
    ),
    "ᾱ exchanged in μ̃": (
        "7.13", lambda x_0, x_t, alpha, alpha_bar, alpha_bar_before: (
            alpha_bar.sqrt() * (1 - alpha) / (1 - alpha_bar) * x_0
            + alpha.sqrt() * (1 - alpha_bar_before) / (1 - alpha_bar) * x_t
        ), "t is off by one",
    ),
    "the loss is turned round": ("7.16", lambda **world: -find("7.17").reference(**world),
                                 "this is the loss"),
    "E5": ("7.3", lambda q, x: find("7.2").reference(q, x), "one whole path"),
    "x_0 is the target": (
        "7.20", lambda x_0, eps, alpha_bar, W: (
            (x_0
             - (alpha_bar[..., None].sqrt() * x_0 + (1 - alpha_bar[..., None]).sqrt() * eps) @ W)
            ** 2
        ).sum(-1).mean(-1), "ε and x_0 swapped",
    ),
    "another noise is the target": (
        "7.20", lambda x_0, eps, alpha_bar, W: (
            (torch.randn_like(eps)
             - (alpha_bar[..., None].sqrt() * x_0 + (1 - alpha_bar[..., None]).sqrt() * eps) @ W)
            ** 2
        ).sum(-1).mean(-1), "fresh noise",
    ),
    "torch's own mean": (
        "7.20", lambda x_0, eps, alpha_bar, W: F.mse_loss(
            (alpha_bar[..., None].sqrt() * x_0 + (1 - alpha_bar[..., None]).sqrt() * eps) @ W, eps,
            reduction="none",
        ).mean((-1, -2)), "mean over pixels",
    ),
    "pictures in [0, 1]": (
        "7.20", lambda x_0, eps, alpha_bar, W: (
            (eps - (alpha_bar[..., None].sqrt() * (x_0 / 2 + 0.5)
                    + (1 - alpha_bar[..., None]).sqrt() * eps) @ W) ** 2
        ).sum(-1).mean(-1), "[−1, 1] is meant",
    ),
    "ε and x_0 swapped": (
        "7.21", lambda x_t, eps, alpha_bar: (x_t - alpha_bar.sqrt() * eps) / (1 - alpha_bar).sqrt(),
        "ε and x_0 swapped",
    ),
    "α in x̂_0": ("7.21", lambda x_t, eps, alpha: (x_t - (1 - alpha).sqrt() * eps) / alpha.sqrt(),
                 "α and ᾱ mixed"),
    "v is ε": ("7.23", lambda x_t, v, alpha_bar: (x_t - (1 - alpha_bar).sqrt() * v)
               / alpha_bar.sqrt(), "v is taken for ε"),
    "score with the wrong sign": ("7.25", lambda eps, alpha_bar: eps / (1 - alpha_bar).sqrt(),
                                  "sign is turned round"),
    "score is −ε": ("7.25", lambda eps: -eps, "not divided"),
    "score of a mixture by its weights": (
        "7.27", lambda x_t, alpha_bar, w, mu, sigma: (
            w * (alpha_bar.sqrt()[:, None] * mu - x_t[:, None])
            / (alpha_bar[:, None] * sigma**2 + 1 - alpha_bar[:, None])
        ).sum(-1), "does not know x_t",
    ),
    "noise at the last step": (
        "7.28", lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + sigma * torch.where(t > 0, z, 0.0)
        ), "noise is added at the last step",
    ),
    "noise at the last step, one's own": (
        "7.28", lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + sigma * torch.randn_like(z)
        ), "noise is added at the last step",
    ),
    "noise at the last step, in a formula": (
        "7.28",
        r"\frac{1}{\sqrt{\alpha_t}}(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\hat\epsilon)+\sigma_tz",
        "noise is added at the last step",
    ),
    "σ² for σ": (
        "7.28", lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + sigma**2 * z * (t > 1)
        ), "its standard deviation is σ_t",
    ),
    "noise twice on the way back": (
        "7.28", lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + sigma * torch.randn_like(z) * z * (t > 1)
        ), "multiplied in twice",
    ),
    "ᾱ and α mixed on the way back": (
        "7.28",
        r"\frac{1}{\sqrt{\alpha_t}}(x_t-\frac{\beta_t}{\sqrt{1-\alpha_t}}\hat\epsilon)"
        r"+[t>1]\sigma_tz",
        "α and ᾱ mixed",
    ),
    "σ on top in DDIM": (
        "7.29", r"\sqrt{\bar\alpha_{t-1}}\hat x_0+\sqrt{1-\bar\alpha_{t-1}}\hat\epsilon+\sigma_tz",
        "comes on top",
    ),
    "DDIM to the same t": (
        "7.29",
        r"\sqrt{\bar\alpha_t}\hat x_0+\sqrt{1-\bar\alpha_t-\sigma_t^2}\hat\epsilon+\sigma_tz",
        "t is off by one",
    ),
    "η√β": ("7.30", lambda eta, alpha: eta * (1 - alpha).sqrt(), "√β̃"),
    "the drift of the SDE": ("7.32", lambda score, sigma: -2 * sigma * score, "fresh noise"),
    "Ho & Salimans' own w": (
        "7.36", lambda eps_none, eps_y, guidance: (1 + guidance) * eps_y - guidance * eps_none,
        "off by one",
    ),
    "the same, written with a difference": (
        "7.36", lambda eps_none, eps_y, guidance: eps_y + guidance * (eps_y - eps_none),
        "off by one",
    ),
    "condition and none exchanged": (
        "7.36", lambda eps_none, eps_y, guidance: torch.lerp(eps_y, eps_none, guidance),
        "changed places",
    ),
    "the tilted power off by one": (
        "7.37", lambda p_x, p_y, w: (t := p_x * p_y ** (1 + w[:, None])) / t.sum(-1, keepdim=True),
        "off by one",
    ),
    "what guidance aims at": (
        "7.38", lambda w, tau, sigma_y: 1 / ((1 - w) / tau**2 + w / sigma_y**2), "does not reach"
    ),
    "[0, 1] in the exercise": (
        "7.x1", lambda picture, alpha_bar, eps: (
            alpha_bar.sqrt() * picture + (1 - alpha_bar).sqrt() * eps
        ), "[−1, 1] is meant",
    ),
    "mapped after the noise": (
        "7.x1", lambda picture, alpha_bar, eps: (
            (alpha_bar.sqrt() * picture + (1 - alpha_bar).sqrt() * torch.randn_like(eps)) * 2 - 1
        ), "after the noise",
    ),
    "column t": (
        "7.x2", lambda x_0, beta, t, eps: (
            (a := (1 - beta).cumprod(-1)[range(len(t)), t % 6]).sqrt() * x_0 + (1 - a).sqrt() * eps
        ), "t is off by one",
    ),
    "column t, clamped": (
        "7.x2", lambda x_0, beta, t, eps: (
            (a := (1 - beta).cumprod(-1)[range(len(t)), t.clamp(max=5)]).sqrt() * x_0
            + (1 - a).sqrt() * eps
        ), "t is off by one",
    ),
    "a step early in the exercise": (
        "7.x2", lambda x_0, beta, t, eps: (
            (a := _at(_table(beta), t - 1)).sqrt() * x_0 + (1 - a).sqrt() * eps
        ), "t is off by one",
    ),
    "β_t in the exercise": (
        "7.x3", lambda alpha_bar, alpha_bar_before: 1 - alpha_bar / alpha_bar_before, "this is β_t"
    ),
    "guidance in the exercise": (
        "7.x5", lambda x_t, eps_none, eps_y, alpha_bar, guidance: (
            x_t - (1 - alpha_bar).sqrt() * ((1 + guidance) * eps_y - guidance * eps_none)
        ) / alpha_bar.sqrt(), "off by one",
    ),
    "ᾱ_0 from the end of the table": (
        "7.x6", lambda x_t, eps_hat, beta, t, z: _ddpm(
            x_t, eps_hat, beta, t, z,
            before=(1 - beta).cumprod(-1)[torch.arange(len(t)), t - 2],
        ), "end of the table",
    ),
    "β_t for β̃_t, and noise at t = 1": (
        "7.x6", lambda x_t, eps_hat, beta, t, z: _ddpm(
            x_t, eps_hat, beta, t, torch.randn_like(z), variance=lambda b: b
        ), "β_t stands where β̃_t belongs, and so there is noise",
    ),
    "β_t for β̃_t, none at t = 1": (
        "7.x6", lambda x_t, eps_hat, beta, t, z: _ddpm(
            x_t, eps_hat, beta, t, z * (t > 1), variance=lambda b: b
        ), "β̃_t is asked for",
    ),
}  # fmt: skip


@pytest.mark.parametrize("slip", MISTAKES)
def test_a_common_mistake_is_named(slip):
    id, candidate, words = MISTAKES[slip]
    verdict = judge(find(id), candidate)
    assert verdict.ok is False and verdict.mistake and words in verdict.mistake, verdict


def _two_points(eps):
    """±1, as often: mean 0 and variance 1, and no Gaussian."""
    return eps.sign()


WRONG = {  # plausible, and known by no name
    "7.1": [
        lambda x_before, beta, eps: (1 - beta).sqrt() * x_before + beta.sqrt() * _two_points(eps),
        lambda x_before, beta, eps: (1 - beta).sqrt() * x_before
        + beta.sqrt() * 12**0.5 * (torch.rand_like(eps) - 0.5),
        lambda x_before, beta, eps: (1 - beta).sqrt() * x_before + beta.sqrt() * eps[0],
        lambda x_before, beta, eps: (
            (1 - beta).sqrt() * x_before + beta.sqrt() * eps
        ).sort().values,
        lambda x_before, beta, eps: (1 - beta / 2) * x_before + beta.sqrt() * eps,
    ],
    "7.4": [r"\alpha_t^t", r"\prod_{s=1}^{t}\alpha_t", "1", lambda alpha: alpha.cumprod(0)],
    "7.5": [
        lambda x_0, alpha_bar, eps: alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * torch.where(
            torch.rand_like(eps) < 0.5, 0.5**0.5, 1.5**0.5
        ) * eps,
        lambda x_0, alpha_bar, eps: alpha_bar.sqrt() * x_0
        + (1 - alpha_bar).sqrt() * _two_points(eps),
        lambda x_0, alpha_bar, eps: (1 - alpha_bar).sqrt() * eps,
    ],
    "7.11": [r"\cos^2\left(\frac{t}{T}\right)", r"1-\frac tT"],
    "7.13": [
        r"\frac{\sqrt{\bar\alpha_{t-1}}\beta_t}{1-\bar\alpha_t}x_0"
        r"-\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_t",
    ],
    "7.14": [r"\frac{\beta_t}{1-\bar\alpha_t}", r"\beta_t(1-\bar\alpha_{t-1})", "0"],
    "7.16": [r"\mathbb{E}_q[\log p(x_{0:T})]-\log 2", "0", r"\log p(x_0)-1"],
    "7.18": [r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\beta_t\epsilon\right)"],
    "7.19": [
        r"0\lVert\epsilon-\hat\epsilon\rVert^2",
        r"\frac{\beta_t^2}{2\sigma_t^2\alpha_t(1-\bar\alpha_t)}\lVert\epsilon+\hat\epsilon\rVert^2",
    ],
    "7.27": [r"\sum_kr_k(\mu_k-x_t)", lambda x_t, alpha_bar, w, mu, sigma: -x_t],
    "7.28": [
        lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + (t > 1) * sigma * _two_points(z)
        ),
        lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + (t > 1) * sigma * z + (t == 1) * 1e-3
        ),
        lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + sigma * z * torch.where(t > 1, 1.0, 0.05)
        ),
        lambda x_t, eps_hat, alpha, alpha_bar, sigma, t, z: (
            (x_t - (1 - alpha) / (1 - alpha_bar).sqrt() * eps_hat) / alpha.sqrt()
            + (t > 1) * sigma * z[0]
        ),
    ],
    "7.29": [r"\hat x_0+\sigma_tz", r"\sqrt{\bar\alpha_{t-1}}\hat x_0+\sqrt{1-\bar\alpha_{t-1}}z"],
    "7.32": [r"-\sigma s_\sigma+\bar x", lambda score: score],
    "7.36": [r"\hat\epsilon_\varnothing+w^2(\hat\epsilon_y-\hat\epsilon_\varnothing)"],
    "7.37": [r"p(x)p(y\mid x)", r"\frac{1}{Z_w}p(x)p(y\mid x)", r"w\,p(x)\,p(y\mid x)"],
    "7.x6": [
        lambda x_t, eps_hat, beta, t, z: _ddpm(x_t, eps_hat, beta, t, _two_points(z)),
        lambda x_t, eps_hat, beta, t, z: _ddpm(x_t, eps_hat, beta, torch.full_like(t, 3), z),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "id, k", [(id, k) for id, found in WRONG.items() for k in range(len(found))]
)
def test_what_is_wrong_in_a_way_of_its_own_is_refused_all_the_same(id, k):
    verdict = judge(find(id), WRONG[id][k])
    assert verdict.ok is False and verdict.mistake is None, verdict


SLIPS = [
    (r"\sqrt", ""), ("+", "-"), (r"\beta_t", r"\alpha_t"), (r"\alpha_t", r"\beta_t"),
    (r"\bar\alpha_t", r"\alpha_t"), (r"\bar\alpha_{t-1}", r"\bar\alpha_t"), ("[t>1]", ""),
    ("[t>1]", "[t>2]"), ("[t>1]", "[t>0]"), (r"\sigma_t^2", r"\sigma_t"), (r"\sigma_t", ""),
    (r"\hat x_0", "x_t"), ("2p", "p"), ("1", "2"), ("1-", ""), (r"\epsilon", r"\epsilon^2"),
]  # fmt: skip


@pytest.mark.parametrize("id", ["7.1", "7.5", "7.28", "7.29", "7.x1"])
def test_every_slip_of_the_typist_in_a_sampler_is_refused_unless_the_law_is_the_same(
    id, monkeypatch
):
    monkeypatch.setattr("genart_lessons.proof.sampling._same_law", lambda trials: None)  # no names
    equation, tried = find(id), 0
    for old, new in SLIPS:
        pieces = equation.rhs.split(old)
        for k in range(1, len(pieces)):
            typed = old.join(pieces[:k]) + new + old.join(pieces[k:])
            mirrored = (old, new) == ("+", "-") and k == len(pieces) - 1  # −ε is as normal as ε
            assert judge(equation, typed).ok is mirrored, typed
            tried += 1
    assert tried >= 7


# -- what the proof room learnt for this chapter ---------------------------------------------------


def test_a_bracket_may_ask_for_a_step_that_is_given():
    names, t = {"t": "scalar", "z": "scalar"}, torch.tensor([1, 2, 3])
    values = {"t": t, "z": torch.ones(3).double()}
    for source, want in {
        "[t>1]z": (0, 1, 1), r"[t\ge 2]z": (0, 1, 1), r"[t\ne 1]z": (0, 1, 1), "[t=3]": (0, 0, 1),
        r"\mathbf{1}_{t>1}": (0, 1, 1), "1-[t<2]": (0, 1, 1), "[t+1>2]": (0, 1, 1),
    }.items():  # fmt: skip
        assert evaluate(parse(source, names), values).tolist() == list(want), source
    for source in ("[z>1]", "[t>z]", "[1<t]", "[t>1.5]", "[t>100000]"):
        with pytest.raises(LatexError):
            parse(source, names)
    with pytest.raises(LatexError, match="compares two indices"):
        parse("[t>1]", {"z": "scalar"})


def test_a_network_may_say_what_it_depends_on():
    names = dict.fromkeys(("epsilon_theta", "eps", "x_t", "t"), "scalar")
    for source in (r"\epsilon_\theta(x_t,t)", r"\epsilon_\theta(x_t, t, y)", r"\epsilon_{\theta}"):
        assert parse(source, names) == sympy.Symbol("epsilon_theta")
    assert parse(r"\epsilon", names) == sympy.Symbol("eps")
    with pytest.raises(LatexError):
        parse(r"\epsilon_\theta(x_t,t", names)


def test_algebra_knows_roots_and_can_say_no():
    a, b, x, y = noised.ALPHA, noised.BEFORE, *sympy.symbols("x y", real=True)
    u, v = sympy.symbols("u v", positive=True)
    root, given = sympy.sqrt, noised.BETWEEN_0_AND_1
    for same in (
        root(1 - b) / root(1 - a * b) * root(1 - a) - root((1 - b) * (1 - a) / (1 - a * b)),
        root(a * b) - root(a) * root(b),
        root(1 / a - 1) - root(1 - a) / root(a),
        (root(x**2 + 1) - 1) * (root(x**2 + 1) + 1) - x**2,
        root(u * v) - root(u) * root(v),
        1 / (root(u) - root(v)) - (root(u) + root(v)) / (u - v),
    ):
        assert _vanishes(same, given), same
        assert not _vanishes(same + sympy.Rational(1, 10**12), given), same
        assert not _vanishes(same + root(u) / 10**9, given), same
    for other in (
        root(x**2) - x, root(x * y) - root(x) * root(y), root(u + v) - root(u) - root(v),
        root(1 - a * b) - root(1 - a) * root(1 - b), root(u) + root(v) - root(u + v + 2 * u * v),
        root(u) + root(u),
    ):  # fmt: skip
        assert not _vanishes(other, given), other


def test_where_nothing_is_left_to_chance_every_draw_is_one_number():
    equation = find("7.28")
    _, candidate, _ = MISTAKES["noise at the last step"]
    verdict = judge(equation, candidate)
    assert "nothing is left to chance here, and the draws vary by 0.14" in verdict.sentence
    off = judge(equation, WRONG["7.28"][1])
    assert "every draw is" in off.sentence and "t = 1" in off.sentence


def test_the_sources_of_this_chapter_are_answered():
    assert {s for e in of_chapter(7) for s in e.sources} >= {"E5", "S15", "S16"}
    assert [e.id for e in of_chapter(7) if not e.is_exercise] == [f"7.{k}" for k in range(1, 39)]
    assert [e.id for e in of_chapter(7) if e.is_exercise] == [f"7.x{k}" for k in range(1, 8)]
