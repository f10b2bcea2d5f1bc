"""The VAE: every piece against an independent one, every model's promises, and wrong versions."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence
from torch.nn import functional as F

from genart_lessons import data, training
from genart_lessons.models import baseline, vae
from genart_lessons.training import recipes


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def grey(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


MU, LOG_VAR = noise(5, 3, seed=1), noise(5, 3, seed=2)
LOGITS, X = 3 * noise(5, 1, 4, 4, seed=3), grey(5, 1, 4, 4, seed=4)
Q = Normal(MU, (LOG_VAR / 2).exp())

MODELS = {
    "digits": lambda: vae.DigitVAE(latent=4, hidden=16),
    "example": lambda: baseline.ExampleVAE(hidden=16, latent=4),
    "pixel": lambda: vae.PixelVAE(latent=4, hidden=16, units=4),
    "emoji": lambda: vae.EmojiVAE(latent=4, widths=(8, 8, 8, 8)),
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]()


def batch_for(model, n=6, seed=0):
    x = grey(n, *model.shape, seed=seed, dtype=torch.float32)
    return {"x": x, "eps": noise(n, model.latent, seed=seed, dtype=torch.float32)}


# ---------------------------------------------------------------- the pieces


def test_reparameterise_is_a_draw_from_the_right_normal():
    eps = noise(5, 3, seed=5)
    z = vae.reparameterise(MU, LOG_VAR, eps)
    assert torch.allclose(Q.cdf(z), Normal(0.0, 1.0).cdf(eps))
    wrong = MU + LOG_VAR.exp() * eps  # the variance taken for the standard deviation
    assert not torch.allclose(Q.cdf(wrong), Normal(0.0, 1.0).cdf(eps), atol=0.01)


def test_gradients_pass_through_the_draw():
    mu, log_var = MU.clone().requires_grad_(), LOG_VAR.clone().requires_grad_()
    eps = noise(5, 3, seed=5)
    vae.reparameterise(mu, log_var, eps).sum().backward()
    assert torch.equal(mu.grad, torch.ones_like(mu))
    assert torch.allclose(log_var.grad, 0.5 * (LOG_VAR / 2).exp() * eps)


def test_kl_is_that_of_torch_distributions():
    exact = kl_divergence(Q, Normal(0.0, 1.0))
    assert torch.allclose(vae.kl_per_unit(MU, LOG_VAR), exact)
    assert torch.allclose(vae.kl_standard_normal(MU, LOG_VAR), exact.sum(1))
    assert vae.kl_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)).abs().max() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda mu, log_var: vae.kl_per_unit(mu, log_var).mean(-1),
        lambda mu, log_var: -vae.kl_standard_normal(mu, log_var),
        lambda mu, log_var: vae.kl_standard_normal(mu, 2 * log_var),
        lambda mu, log_var: vae.kl_standard_normal(mu, log_var.exp()),
    ],
    ids=["mean over units", "sign", "log sigma for log variance", "variance for its logarithm"],
)
def test_a_wrong_kl_is_another_number(wrong):
    exact = kl_divergence(Q, Normal(0.0, 1.0)).sum(1)
    assert (wrong(MU, LOG_VAR) - exact).abs().min() > 1e-3


def test_bernoulli_log_likelihood_is_that_of_torch_distributions():
    black_and_white = (X > 0.5).double()
    for x in (X, black_and_white):
        exact = Bernoulli(logits=LOGITS, validate_args=False).log_prob(x).sum((1, 2, 3))
        assert torch.allclose(vae.bernoulli_log_likelihood(LOGITS, x), exact)
    far = vae.bernoulli_log_likelihood(torch.full((1, 1, 2, 2), 1e4), torch.zeros(1, 1, 2, 2))
    assert torch.isfinite(far).all()  # log(1 − sigmoid(10⁴)) by hand would be −∞


def test_the_grey_likelihood_is_no_density_and_the_black_and_white_one_is():
    logit = torch.tensor([[0.7]], dtype=torch.float64)
    total = sum(vae.bernoulli_log_likelihood(logit, x).exp() for x in (logit * 0, logit * 0 + 1))
    assert total.item() == pytest.approx(1)
    levels = torch.linspace(0, 1, 10_001, dtype=torch.float64)[:, None]
    area = vae.bernoulli_log_likelihood(logit.expand_as(levels), levels).exp().mean()
    assert abs(area.item() - 1) > 0.3


def test_gaussian_log_likelihood_is_that_of_torch_distributions():
    x_hat, log_sigma2 = grey(5, 1, 4, 4, seed=8), torch.tensor(-1.3, dtype=torch.float64)
    exact = Normal(x_hat, (log_sigma2 / 2).exp()).log_prob(X).sum((1, 2, 3))
    assert torch.allclose(vae.gaussian_log_likelihood(x_hat, X, log_sigma2), exact)
    assert torch.allclose(vae.gaussian_log_likelihood(x_hat, X, -1.3), exact)
    assert (vae.gaussian_log_likelihood(x_hat, X, -0.65) - exact).abs().min() > 0.1


def test_the_mean_squared_error_is_the_best_variance():
    x_hat = grey(5, 1, 4, 4, seed=8)
    best = F.mse_loss(x_hat, X).log()
    top = vae.gaussian_log_likelihood(x_hat, X, best).sum()
    for step in (-0.1, 0.1):
        assert vae.gaussian_log_likelihood(x_hat, X, best + step).sum() < top


# ---------------------------------------------------------------- the loss


def test_the_loss_is_that_of_pytorchs_example():
    torch.manual_seed(0)
    model = baseline.ExampleVAE(hidden=16, latent=4)
    b = batch_for(model)
    mu, log_var = model.encode(b["x"])
    logits = model.decode(mu + torch.exp(0.5 * log_var) * b["eps"])
    theirs = F.binary_cross_entropy(torch.sigmoid(logits), b["x"], reduction="sum")
    theirs = theirs - 0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp())
    ours, parts = vae.loss(model, b)
    assert torch.allclose(ours * 6, theirs, rtol=1e-5)
    assert torch.allclose(baseline.example_loss(logits, b["x"], mu, log_var), theirs, rtol=1e-5)
    assert torch.allclose(parts["recon"] + parts["kl"], ours)


def test_loss_shapes_gradients_and_parts(model):
    b = batch_for(model)
    value, parts = model.loss(b)
    assert value.ndim == 0 and set(parts) == {"recon", "kl"} and parts["kl"] >= 0
    value.backward()
    lost = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not lost, f"no gradient reaches {lost}"


def test_beta_weighs_the_price_and_the_parts_stay(model):
    model.eval()
    b = batch_for(model)
    one, parts = model.loss(b)
    four, again = model.loss(b, beta=4.0)
    assert torch.allclose(four - one, 3 * parts["kl"], rtol=1e-3)
    assert again["kl"] == parts["kl"] and again["recon"] == parts["recon"]


def test_free_bits_take_the_larger_of_price_and_lambda():
    torch.manual_seed(0)
    model = vae.DigitVAE(latent=4, hidden=16).eval()
    b = batch_for(model)
    _, kl = model(b["x"], b["eps"])
    kl = kl.detach().mean(0)
    for lam in (kl.mean().item(), 1e-9, 10.0):
        value, parts = model.loss(b, free_bits=lam)
        assert torch.allclose(value - parts["recon"], kl.clamp(min=lam).sum(), atol=1e-4)
    head = model.encoder[-1]
    value, parts = model.loss(b, free_bits=10.0)
    gain = torch.autograd.grad(value - parts["recon"], head.weight, allow_unused=True)[0]
    assert gain is None or not gain.any()  # below λ the price pulls at nothing
    price = torch.autograd.grad(model.loss(b)[1]["kl"], head.weight)[0]
    assert price.any()


def test_elbo_terms_and_negative_elbo_agree(model):
    model.eval()
    b = batch_for(model)
    log_px, kl = vae.elbo_terms(model, **b)
    assert log_px.shape == kl.shape == (6,)
    one = vae.negative_elbo(model, b["x"], draws=1, seed=3)
    eps = noise(6, model.latent, seed=3, dtype=torch.float32)
    log_px, kl = vae.elbo_terms(model, b["x"], eps)
    assert torch.allclose(one, kl - log_px, rtol=1e-5)
    many = vae.negative_elbo(model, b["x"], draws=3, seed=3)
    assert torch.equal(many, vae.negative_elbo(model, b["x"], draws=3, seed=3))
    assert not torch.equal(many, one) and not many.requires_grad


# ---------------------------------------------------------------- the models


def test_shapes_and_ranges(model):
    model.eval()
    x = batch_for(model)["x"]
    mu, log_var = model.encode(x)
    assert mu.shape == log_var.shape == (6, 4)
    for pictures in (model.reconstruct(x), model.sample(6), model.sample(eps=mu.detach())):
        assert pictures.shape == x.shape and not pictures.requires_grad
        assert pictures.min() >= 0 and pictures.max() <= 1
    assert vae.active_units(mu.detach()) in range(5)


def test_sampling_is_a_function_of_its_noise(model):
    model.eval()
    first, again = (model.sample(2, generator=torch.Generator().manual_seed(7)) for _ in range(2))
    eps = torch.randn(2, 4, generator=torch.Generator().manual_seed(7))
    assert torch.equal(first, again) and torch.equal(first, model.sample(eps=eps))
    cold = model.sample(2, temperature=0.0)
    assert torch.allclose(cold[0], cold[1]) and not torch.allclose(first[0], first[1])
    for wrong in ({}, {"n": 2, "eps": eps}):
        with pytest.raises(ValueError, match="one of the two"):
            model.sample(**wrong)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x: x * 16, "from 0 to 1.*Divide"),
        (lambda x: x - 0.5, "from 0 to 1"),
        (lambda x: torch.where(x == x.max(), torch.nan, x), "nan"),
        (lambda x: x.flatten(1), r"must have the shape \(B, "),
        (lambda x: x[0], "must have the shape"),
        (lambda x: x[:0], "must have the shape"),
        (lambda x: (x * 16).to(torch.uint8), "floating point"),
    ],
    ids=["16 grey levels", "negative", "NaN", "flat", "no batch", "empty", "integers"],
)
def test_bad_pictures_are_refused(model, spoil, said):
    with pytest.raises(ValueError, match=said):
        model.encode(spoil(batch_for(model)["x"]))


def test_codes_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match=r"codes must be \(B, 4\)"):
        model.decode(torch.zeros(2, 5))


def test_a_pixel_sees_the_earlier_pixels_alone():
    torch.manual_seed(0)
    model = vae.PixelVAE(latent=4, hidden=16, units=4)
    x = grey(1, 1, 8, 8, dtype=torch.float32).requires_grad_()
    z = torch.zeros(1, 4)
    for pixel in (0, 9, 63):
        slope = torch.autograd.grad(model.logits(x, z).flatten()[pixel], x)[0].flatten()
        assert not slope[pixel:].any() and (pixel == 0 or slope[:pixel].all())


def test_the_pixel_decoders_picture_is_its_own_teacher():
    torch.manual_seed(0)
    model = vae.PixelVAE(latent=4, hidden=16, units=4)
    z = noise(3, 4, dtype=torch.float32)
    picture = model.picture(z)
    assert torch.allclose(model.logits(picture, z).sigmoid(), picture, atol=1e-6)


def test_the_emoji_model_weighs_its_terms_by_the_error_itself():
    torch.manual_seed(0)
    model = MODELS["emoji"]()
    b = batch_for(model)
    before = model.log_sigma2.clone()
    log_px, _ = vae.elbo_terms(model.train(), **b)
    mu, log_var = model.encode(b["x"])
    error = F.mse_loss(model.decode(vae.reparameterise(mu, log_var, b["eps"])), b["x"])
    d = 3 * 64 * 64
    assert torch.allclose(log_px.mean(), -d / 2 * (1 + (2 * math.pi * error).log()), rtol=1e-4)
    assert torch.allclose(model.log_sigma2, before.lerp(error.log(), 0.05))
    model.eval().fit_noise(b["x"])
    fitted = model.log_sigma2.clone()
    nats = vae.negative_elbo(model, b["x"]).mean()
    assert torch.equal(model.log_sigma2, fitted)  # measuring leaves it alone
    model.log_sigma2 += 0.2
    assert vae.negative_elbo(model, b["x"]).mean() > nats


# ---------------------------------------------------------------- where log p(x) is known


@pytest.fixture
def linear():
    torch.manual_seed(0)
    model = vae.LinearVAE(dim=6, latent=2).double()
    with torch.no_grad():
        model.decoder.weight.copy_(torch.linalg.qr(noise(6, 2))[0] * torch.tensor([2.0, 1.0]))
        model.log_sigma2.fill_(-0.5)
    return model


def exact_encoder(model):
    """Set the encoder to the true posterior, which is diagonal: W's columns are orthogonal."""
    w, b, s = model.decoder.weight, model.decoder.bias, model.log_sigma2
    with torch.no_grad():
        mean_at_b, covariance = vae.linear_gaussian_posterior(b[None], w, b, s)
        slope = covariance @ w.T / s.exp()
        model.encoder.weight.copy_(slope)
        model.encoder.bias.copy_(-slope @ b)
        model.log_var.copy_(covariance.diagonal().log())
    assert torch.allclose(mean_at_b, torch.zeros_like(mean_at_b))
    return model


def test_the_exact_likelihood_and_posterior(linear):
    x = noise(4, 6, seed=1)
    w, b, s = linear.decoder.weight, linear.decoder.bias, linear.log_sigma2
    law = MultivariateNormal(b, w @ w.T + s.exp() * torch.eye(6))
    assert torch.allclose(linear.log_px(x), law.log_prob(x))
    mean, covariance = vae.linear_gaussian_posterior(x, w, b, s)
    z = noise(4, 2, seed=2)
    joint = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double()).log_prob(z)
    joint = joint + vae.gaussian_log_likelihood(linear.decoder(z), x, s)
    posterior = MultivariateNormal(mean, covariance).log_prob(z)
    assert torch.allclose(joint - posterior, linear.log_px(x))  # Bayes' rule


def test_the_bound_is_tight_at_the_posterior_and_loose_elsewhere(linear):
    x = noise(4, 6, seed=1)
    gap = linear.log_px(x) + vae.negative_elbo(linear.double(), x.double(), draws=400)
    assert (gap > 0.05).all()
    exact_encoder(linear)
    one_draw = vae.iwae_bound(linear, x, k=1)
    assert torch.allclose(one_draw, linear.log_px(x))  # every single weight is p(x)


def test_importance_weighting_rises_with_k_and_stays_below_log_px(linear):
    x = noise(64, 6, seed=1)
    exact = linear.log_px(x).mean()
    generator = torch.Generator().manual_seed(0)
    many = x.repeat(50, 1)
    bounds = [vae.iwae_bound(linear, many, k, generator=generator).mean() for k in (1, 3, 10, 100)]
    assert bounds == sorted(bounds) and bounds[-1] < exact + 0.01
    elbo = -vae.negative_elbo(linear, many, draws=1).mean()
    assert bounds[0].item() == pytest.approx(elbo.item(), abs=0.15)
    assert exact - bounds[-1] < 0.25 * (exact - bounds[0])


def test_importance_weighting_does_not_depend_on_the_chunk(model):
    model.eval()
    x = batch_for(model, 3)["x"]
    rows = [
        vae.iwae_bound(model, x, 7, chunk=chunk, generator=torch.Generator().manual_seed(0))
        for chunk in (1, 7)
    ]
    assert torch.allclose(rows[0], rows[1], rtol=1e-4)
    for wrong in ({"k": 0}, {"k": 3, "chunk": 0}):
        with pytest.raises(ValueError, match="1 or more"):
            vae.iwae_bound(model, x, **wrong)


def test_a_mean_of_logarithms_is_no_importance_weighted_bound(linear):
    """logsumexp, not the mean of log w: that would be the ELBO again, whatever k."""
    x = noise(64, 6, seed=1).repeat(50, 1)
    elbo = -vae.negative_elbo(linear, x, draws=10).mean()
    assert vae.iwae_bound(linear, x, 10).mean() > elbo + 0.1


# ---------------------------------------------------------------- measures


def test_active_units_counts_the_units_whose_mean_moves():
    mu = torch.stack([noise(50), 0.2 * noise(50, seed=1), 0.05 * noise(50, seed=2)], dim=1)
    assert vae.active_units(mu) == 2
    assert vae.active_units(mu + 5) == 2  # a constant is no activity
    for wrong in (mu[0], mu[:1]):
        with pytest.raises(ValueError, match="N ≥ 2"):
            vae.active_units(wrong)


def test_draw_like_gives_the_codes_mean_and_covariance():
    codes = noise(500, 3) @ noise(3, 3, seed=1) + 2
    drawn = vae.draw_like(codes, noise(40_000, 3, seed=2))
    assert torch.allclose(drawn.mean(0), codes.mean(0), atol=0.05)
    assert torch.allclose(torch.cov(drawn.T), torch.cov(codes.T), atol=0.15)
    prior = noise(40_000, 3, seed=2)  # unit variance, no correlation: another cloud
    assert not torch.allclose(torch.cov(prior.T), torch.cov(codes.T), atol=0.15)
    assert torch.allclose(vae.draw_like(codes, torch.zeros(2, 3)), codes.mean(0).expand(2, 3))
    dead = torch.cat([codes, torch.zeros(500, 1)], dim=1)
    assert torch.isfinite(vae.draw_like(dead, noise(3, 4))).all()
    with pytest.raises(ValueError, match="more codes than their 3 dimensions"):
        vae.draw_like(codes[:3], noise(2, 3))


# ---------------------------------------------------------------- training


def train_pixels(free_bits, seed):
    torch.manual_seed(seed)
    model, x = vae.PixelVAE(), data.digits("train").x
    training.fit(
        model,
        lambda model, batch: vae.loss(model, batch, free_bits=free_bits),
        recipes.digit_batches(x, model.latent, seed=seed),
        steps=500,
        lr=3e-3,
        progress=False,
    )
    mu, log_var = model.encode(x)
    price = vae.kl_standard_normal(mu, log_var).mean().item()
    return vae.active_units(mu.detach()), price


def test_the_strong_decoder_collapses_and_free_bits_mend_it():
    units, price = train_pixels(free_bits=0.0, seed=0)
    assert units <= 2 and price < 0.1
    units, price = train_pixels(free_bits=0.5, seed=0)
    assert units == 8 and price > 2


def test_a_short_training_of_the_digits_learns_and_repeats():
    x, test = data.digits("train").x, data.digits("test").x
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        model = vae.DigitVAE()
        before = vae.negative_elbo(model.eval(), test).mean().item()
        batches = recipes.digit_batches(x, model.latent)
        training.fit(model, vae.loss, batches, steps=200, progress=False, **recipes.VAE_DIGITS)
        results.append(vae.negative_elbo(model, test).mean().item())
    assert results[0] == results[1] and results[0] < 27.5 < 44 < before


def test_wiggled_emoji_are_moved_and_stay_pictures():
    x = data.emoji("train").x[:32]
    generator = torch.Generator().manual_seed(0)
    moved = recipes.wiggle({"x": x, "more": x[:, 0]}, generator)
    assert torch.equal(moved["more"], x[:, 0])
    moved = moved["x"]
    vae.check_pictures(moved, (3, 64, 64))
    apart = (moved - x).square().mean((1, 2, 3))
    mirrored = (moved.flip(3) - x).square().mean((1, 2, 3))
    assert (apart > 1e-4).all()
    assert 8 <= int((mirrored < apart).sum()) <= 24  # about half are turned to the other side
    assert (moved.mean() - x.mean()).abs() < 0.02  # white comes in from outside, not black


class OneStep(nn.Module):
    """What accelerate wraps: the loss must work through a wrapper's forward alone."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, x, eps):
        return self.inner(x, eps)


def test_the_loss_needs_no_more_of_a_model_than_its_forward(model):
    model.eval()
    b = batch_for(model)
    assert torch.equal(vae.loss(OneStep(model), b)[0], vae.loss(model, b)[0])


# ---------------------------------------------------------------- the shipped weights

SHIPPED = {
    "vae_digits": vae.DigitVAE,
    "vae_emoji": vae.EmojiVAE,
}


def test_every_recipe_has_shipped_weights_and_the_other_way_round():
    assert set(training.available()) == set(recipes.RECIPES) >= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_weights_are_what_their_card_says(name):
    model = training.load_weights(SHIPPED[name](), name)
    card = training.weights_card(name)
    assert card["command"] == f"python3 -m genart_lessons train {name}"
    assert card["steps"] == recipes.RECIPES[name].steps
    assert card["parameters"] == sum(x.numel() for x in model.state_dict().values())
    if name == "vae_emoji":  # all of its measures take a minute
        test = data.emoji("test").x[:64]
        model_mse = F.mse_loss(model.reconstruct(test), test).item()
        assert model_mse == pytest.approx(card["results"]["test_mse"], rel=0.3)
        mean_mse = F.mse_loss(data.emoji("train").x.mean(0).expand_as(test), test).item()
        assert model_mse < 0.25 * mean_mse
    else:
        again = vae.negative_elbo(model, data.digits("test").x, draws=100).mean().item()
        assert again == pytest.approx(card["results"]["test_negative_elbo"], abs=0.02)


def test_train_writes_weights_that_can_be_loaded_and_refuses_the_unknown(tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    assert recipes.main(["vae_digits", "--steps", "3", "--out", str(path)]) == 0
    model = training.load_weights(vae.DigitVAE(), path)
    card = training.weights_card(path)
    assert card["command"].endswith("train vae_digits --steps 3") and card["seed"] == 0
    measured = recipes.measure_digits(model)
    assert measured["test_negative_elbo"] == pytest.approx(
        card["results"]["test_negative_elbo"], abs=1e-3
    )
    with pytest.raises(training.WeightsError, match="another model"):
        training.load_weights(vae.DigitVAE(latent=3), path)
    capsys.readouterr()
    assert recipes.main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in recipes.RECIPES)
    with pytest.raises(SystemExit):
        recipes.main(["vae_nothing"])
