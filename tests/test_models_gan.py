"""The adversarial networks: losses against torch's own, penalties against autograd, and samples."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genart_lessons import data, training
from genart_lessons.models import gan, vae
from genart_lessons.training import recipes, recipes_gan


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


REAL, FAKE = (3 * torch.randn(64, generator=chance(s), dtype=torch.float64) for s in (1, 2))
ONE, ZERO = torch.ones(64, dtype=torch.float64), torch.zeros(64, dtype=torch.float64)

# ---------------------------------------------------------------- the losses


def test_cross_entropy_is_torchs():
    bce = F.binary_cross_entropy_with_logits
    ours = gan.discriminator_loss(REAL, FAKE)
    assert torch.allclose(ours, bce(REAL, ONE) + bce(FAKE, ZERO), rtol=1e-12)
    assert not torch.allclose(ours, bce(REAL, ZERO) + bce(FAKE, ONE))  # labels changed places
    assert torch.allclose(gan.generator_loss(FAKE), bce(FAKE, ONE), rtol=1e-12)
    assert torch.allclose(gan.generator_loss(FAKE, "minimax"), -bce(FAKE, ZERO), rtol=1e-12)


def test_least_squares_and_hinge_are_torchs():
    mse = F.mse_loss
    half = (mse(REAL, ONE) + mse(FAKE, ZERO)) / 2
    assert torch.allclose(gan.discriminator_loss(REAL, FAKE, "least-squares"), half)
    assert torch.allclose(gan.generator_loss(FAKE, "least-squares"), mse(FAKE, ONE) / 2)
    hinge = F.hinge_embedding_loss(-REAL, -ONE, margin=1) + F.hinge_embedding_loss(-FAKE, -ONE)
    other = F.relu(1 - REAL).mean() + F.relu(1 + FAKE).mean()
    assert torch.allclose(gan.discriminator_loss(REAL, FAKE, "hinge"), other) and hinge.isfinite()
    assert torch.allclose(gan.generator_loss(FAKE, "hinge"), -FAKE.mean())


def test_sure_critics_give_finite_losses():
    sure = torch.tensor([500.0, -500.0])
    for kind in gan.D_LOSSES:
        assert gan.discriminator_loss(sure, sure, kind).isfinite()
    for kind in gan.G_LOSSES:
        assert gan.generator_loss(sure, kind).isfinite()
    naive = (1 - sure.sigmoid()).log()
    assert not naive.isfinite().all()  # what the losses would be, written with D itself


def test_saturation_and_what_does_not_saturate():
    for kind, slope in (("minimax", "small"), ("non-saturating", "large")):
        logit = torch.tensor([-8.0], requires_grad=True)
        gan.generator_loss(logit, kind).backward()
        assert (logit.grad.abs() < 1e-3) == (slope == "small"), kind
        assert logit.grad < 0  # both push the logit up


@pytest.mark.parametrize("loss", [gan.discriminator_loss, gan.generator_loss])
def test_unknown_losses_are_named(loss):
    with pytest.raises(ValueError, match="'wasserstein' is unknown; there are"):
        loss(*([REAL] * (2 if loss is gan.discriminator_loss else 1)), "wasserstein")


# ---------------------------------------------------------------- penalties


def test_r1_is_the_mean_squared_slope_at_the_data():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    x = torch.randn(5, 3, 2, 2, generator=chance(3)).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(net, x)  # (5, 5, 3, 2, 2)
    own = torch.stack([jacobian[i, i].square().sum() for i in range(5)])
    assert torch.allclose(gan.r1_penalty(net(x), x), own.mean(), rtol=1e-5)
    assert not torch.allclose(gan.r1_penalty(net(x), x), own.sqrt().mean(), rtol=1e-2)
    gan.r1_penalty(net(x), x).backward()  # and the penalty itself teaches
    assert net[1].weight.grad.abs().sum() > 0


def test_the_gradient_penalty_is_taken_between_pairs():
    x, y = torch.randn(6, 2, generator=chance(4)), 3 + torch.randn(6, 2, generator=chance(5))
    eps = torch.rand(6, generator=chance(6))

    def critic(points):
        return (points**3).sum(1)

    between = eps[:, None] * x + (1 - eps[:, None]) * y
    slopes = (3 * between**2).norm(dim=1)
    assert torch.allclose(gan.gradient_penalty(critic, x, y, eps), ((slopes - 1) ** 2).mean())
    assert not torch.allclose(
        gan.gradient_penalty(critic, x, y, 1 - eps), ((slopes - 1) ** 2).mean()
    )
    unit = gan.gradient_penalty(lambda p: p @ torch.tensor([0.6, 0.8]), x, y, eps)
    assert float(unit) == pytest.approx(0, abs=1e-10)  # a slope of 1 everywhere costs nothing


# ---------------------------------------------------------------- the networks


def batch_of(model, n=16, step=0):
    x = data.icons("train").x[:n]
    batch = {
        name: torch.randn(n, model.latent, generator=chance(k))
        for k, name in enumerate(("z", "eps"))
    }
    told = {"y": torch.arange(n) % 2} if model.classes else {}
    return {"x": x, "step": step, **batch, **told}


MODELS = {
    "plain": gan.IconGAN,
    "classes": lambda: gan.IconGAN(classes=2),
    "vaegan": gan.IconVAEGAN,
}


def parts_of(loss, model, batch):
    value = loss(model, batch)
    return value if isinstance(value, tuple) else (value, {})


@pytest.mark.parametrize("kind", gan.D_LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_each_loss_teaches_its_own_part(name, kind):
    torch.manual_seed(0)
    model = MODELS[name]().train()
    batch = batch_of(model)
    for part, loss in model.losses(kind, gamma=0.5).items():
        model.zero_grad()
        value, _ = parts_of(loss, model, batch)
        assert value.ndim == 0 and value.isfinite()
        value.backward()
        own = dict(model.get_submodule(part).named_parameters())
        lost = [n for n, p in own.items() if p.grad is None or not p.grad.any()]
        # A bias just before batch norm is taken away again by its mean.
        lost = [n for n in lost if not n.endswith("bias")]
        assert not lost, f"no gradient reaches {part}: {lost}"
        if part == "discriminator":  # the fakes are cut off from whoever made them
            assert all(p.grad is None for p in model.generator.parameters())


def test_lazy_r1_comes_every_eighth_step_and_eight_times_as_heavy():
    torch.manual_seed(0)
    model = gan.IconGAN().eval()
    plain = model.losses()["discriminator"](model, batch_of(model))
    lazy = model.losses(gamma=0.5)["discriminator"]
    x = batch_of(model)["x"].requires_grad_()
    penalty = gan.r1_penalty(model.judge(x), x)
    assert torch.allclose(lazy(model, batch_of(model)) - plain, 8 * 0.25 * penalty, rtol=1e-3)
    assert torch.allclose(lazy(model, batch_of(model, step=3)), plain)


@pytest.mark.parametrize("name", MODELS)
def test_pictures_are_pictures_and_a_function_of_the_noise(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    told = {"y": 1} if model.classes else {}
    z = torch.randn(5, 64, generator=chance(1))
    made = model.sample(z=z, **told)
    assert made.shape == (5, 1, 32, 32) and 0 <= made.min() and made.max() <= 1
    assert torch.equal(made, model.sample(5, generator=chance(1), **told))
    shrunk = model.sample(z=z, truncation=0.5, **told)
    assert torch.equal(shrunk, model.sample(z=0.5 * z, **told))
    assert not torch.equal(shrunk, made)


def test_the_class_changes_picture_and_judgement():
    torch.manual_seed(0)
    model = gan.IconGAN(classes=2).eval()
    nn.init.normal_(model.discriminator.told.weight)
    z = torch.randn(4, 64, generator=chance(1))
    assert not torch.allclose(model.sample(z=z, y=0), model.sample(z=z, y=1), atol=1e-3)
    x, zero, one = torch.rand(4, 1, 32, 32), torch.zeros(4).long(), torch.ones(4).long()
    assert not torch.allclose(model.judge(x, zero), model.judge(x, one), atol=1e-4)


def test_a_batch_that_repeats_itself_is_seen():
    torch.manual_seed(0)
    critic = gan.Discriminator().eval()
    x = data.icons("train").x[:8]
    assert not torch.allclose(critic(x)[:1], critic(x[:1].expand(8, -1, -1, -1))[:1], atol=1e-5)
    channel = gan._variety(torch.randn(16, 4, 4, 4))
    assert channel.shape == (16, 1, 4, 4) and (channel[:8] == channel[0, 0, 0, 0]).all()
    assert float(gan._variety(torch.ones(8, 4, 4, 4)).max()) == pytest.approx(1e-4)


def test_the_generator_is_dense_upsampling_convolution():
    kinds = [type(layer) for layer in gan.Generator(64).blocks]
    assert isinstance(gan.Generator(64).dense, nn.Linear)
    assert nn.Upsample in kinds and nn.Conv2d in kinds and nn.ConvTranspose2d not in kinds
    assert kinds.index(nn.Upsample) < kinds.index(nn.Conv2d)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, c: m.sample(), "one of the two"),
        (lambda m, c: m.sample(3, z=torch.zeros(3, 64)), "one of the two"),
        (lambda m, c: m.sample(z=torch.zeros(3, 63)), r"codes must be \(B, 64\)"),
        (lambda m, c: m.sample(3, y=1), "knows no classes"),
        (lambda m, c: c.sample(3), "knows 2 classes: give y"),
        (lambda m, c: c.make(torch.zeros(3, 64), torch.zeros(2).long()), "3 whole numbers"),
        (lambda m, c: c.make(torch.zeros(3, 64), torch.zeros(3)), "3 whole numbers"),
        (lambda m, c: m.losses("entropy"), "unknown"),
        (lambda m, c: gan.IconVAEGAN().encode(torch.zeros(2, 1, 16, 16)), r"\(B, 1, 32, 32\)"),
        (lambda m, c: gan.IconVAE().decode(torch.zeros(2, 3)), r"\(B, 64\)"),
    ],
)
def test_bad_calls_get_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(gan.IconGAN().eval(), gan.IconGAN(classes=2).eval())


# ---------------------------------------------------------------- the VAE and the VAE-GAN


def test_the_plain_vae_shares_its_networks_shapes_with_the_vae_gan():
    plain, three = gan.IconVAE(), gan.IconVAEGAN()
    for ours, theirs in ((plain.encoder, three.encoder), (plain.decoder, three.generator)):
        shapes = [[p.shape for p in part.parameters()] for part in (ours, theirs)]
        assert shapes[0] == shapes[1]
    x = data.icons("train").x[:4]
    value, parts = vae.loss(plain, {"x": x, "eps": torch.zeros(4, 64)})
    mu, log_var = plain.encode(x)
    bce = F.binary_cross_entropy_with_logits(plain.decode(mu), x, reduction="sum") / 4
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, (log_var / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert parts["recon"].item() == pytest.approx(bce.item(), rel=1e-2)
    assert parts["kl"].item() == pytest.approx(kl.sum(1).mean().item(), rel=1e-4)
    assert torch.allclose(value, parts["recon"] + parts["kl"])


def test_the_likeness_is_measured_in_features():
    torch.manual_seed(0)
    model = gan.IconVAEGAN().eval()
    batch = batch_of(model) | {"eps": torch.zeros(16, 64)}
    _, parts = model.losses()["encoder"](model, batch)
    x_hat = model.reconstruct(batch["x"])
    a, b = (model.discriminator.look(x) for x in (batch["x"], x_hat))
    assert torch.allclose(parts["likeness"], F.mse_loss(a, b) * a[0].numel() / 2, rtol=1e-4)
    pixels = 0.5 * (batch["x"] - x_hat).square().flatten(1).sum(1).mean()
    assert not torch.allclose(parts["likeness"], pixels, rtol=0.1)
    near, _ = model.losses(spread=0.5)["encoder"](model, batch)
    assert torch.allclose(near, 4 * parts["likeness"] + parts["kl"], rtol=1e-4)


# ---------------------------------------------------------------- training, weights, measures


def test_a_few_steps_of_training_change_what_is_made():
    torch.manual_seed(0)
    model = gan.IconGAN()
    before = copy.deepcopy(model).eval().sample(2, generator=chance(1))
    batches = recipes_gan.gan_batches(data.icons("train").x, model.latent)
    batches.batch_size = 8  # a few of each batch will do to see that it learns
    options = recipes_gan.GAN_ICONS | {"steps": 3, "progress": False}
    history = training.fit(model, model.losses(gamma=0.2), batches, **options)
    assert set(history.parts) == {"discriminator", "generator"} and history.steps == 3
    assert all(map(math.isfinite, history.losses))
    assert not torch.equal(model.sample(2, generator=chance(1)), before)


SHIPPED = {
    "gan_icons": gan.IconGAN,
    "gan_styles": lambda: gan.IconGAN(classes=2),
    "vaegan_icons": gan.IconVAEGAN,
    "vae_icons": gan.IconVAE,
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_as_good_as_their_card_says(name):
    model = training.load_weights(SHIPPED[name](), name)
    card = training.weights_card(name)["results"]
    measured = recipes.RECIPES[name].measure(model)
    assert measured == pytest.approx(dict(card), rel=0.02)
    assert measured["nearest_training_icon"] > 0.8 * measured["nearest_training_icon_of_unseen"]
    fresh, test = SHIPPED[name]().eval(), data.icons("test").x
    told = {"y": torch.arange(len(test)) % 2} if getattr(fresh, "classes", 0) else {}
    made = fresh.sample(len(test), generator=chance(0), **told)
    assert recipes_gan.layout_distance(made, test) > 1.5 * measured["layout_distance"]


def test_icons_by_style_are_plainly_one_or_the_other():
    icons, y = recipes_gan.icons_by_style("test")
    assert len(icons) == len(y) and set(y.tolist()) == {0, 1}
    filled, outlined = (icons.x[y == k].mean() for k in (0, 1))
    assert filled > 1.5 * outlined  # so much more ink
    names = {(n, int(k)) for n, k in zip(icons.names, y, strict=True)}
    assert not any(name.endswith(("-outline", "-line", "-thin")) and k == 0 for name, k in names)


def test_grey_and_layout():
    x = data.icons("test").x
    assert recipes_gan.grey_share(x.round()) == 0 and recipes_gan.grey_share(0 * x + 0.5) == 1
    blurred = F.avg_pool2d(x, 3, 1, 1)
    assert recipes_gan.grey_share(blurred) > 2 * recipes_gan.grey_share(x)
    assert recipes_gan.layout_distance(x, x) == pytest.approx(0, abs=1e-9)
    shifted = torch.roll(x, 8, 3)
    assert recipes_gan.layout_distance(shifted, x) > 10 * recipes_gan.layout_distance(x[::2], x)
