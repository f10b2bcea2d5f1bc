"""Autoencoders and denoisers: against PCA, scipy, scikit-image and brute force; and wrong ones."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genart_lessons import data, training
from genart_lessons.models import autoencoder
from genart_lessons.training import recipes, recipes_autoencoder

pytestmark = pytest.mark.usefixtures("one_thread")
SHIPPED = ("autoencoder_icons", "compressor_icons", "denoiser_icons", "denoiser_photos")


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0, **how):
    return torch.randn(*shape, generator=chance(seed), **how)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


@pytest.fixture(scope="module")
def digits():
    return data.digits("train").x


# -- the pieces ------------------------------------------------------------------------------------


def test_decibels_are_scikit_images():
    from skimage.metrics import peak_signal_noise_ratio

    x = torch.rand(4, 3, 9, 7, generator=chance()).double()
    y = autoencoder.noisy(x, randn(*x.shape, seed=1).double(), 0.2)
    theirs = [peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1) for a, b in zip(x, y)]  # noqa: B905
    np.testing.assert_allclose(autoencoder.psnr(x, y), theirs, rtol=1e-12)
    assert autoencoder.psnr(x, x).tolist() == [math.inf] * 4
    white = autoencoder.psnr(torch.zeros(1, 1000, 1000), 0.1 * randn(1, 1000, 1000))
    assert float(white) == pytest.approx(20, abs=0.02)  # −20·log₁₀ σ
    with pytest.raises(ValueError, match="one shape"):
        autoencoder.psnr(x, x[:1])
    with pytest.raises(ValueError, match=r"x\[None\]"):
        autoencoder.psnr(torch.zeros(5), torch.zeros(5))


def test_the_soft_threshold_is_the_least_of_what_it_should_make_least():
    u = torch.linspace(-3, 3, 61, dtype=torch.float64)
    z = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
    best = z[(0.5 * (z - u[:, None]) ** 2 + 0.7 * z.abs()).argmin(1)]
    found = autoencoder.soft_threshold(u, 0.7)
    torch.testing.assert_close(found, best, atol=1e-4, rtol=0)
    torch.testing.assert_close(found, F.softshrink(u, 0.7))
    hard = torch.where(u.abs() > 0.7, u, 0.0)
    assert (hard - best).abs().max() > 0.6  # the hard one is another


def test_noise_takes_one_sigma_or_one_a_picture():
    x, eps = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    each = autoencoder.noisy(x, eps, torch.tensor([0.1, 0.2, 0.3]))
    assert each[:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert (autoencoder.noisy(x, eps, 0.2) == 0.2).all()
    for wrong in (torch.ones(2), torch.ones(3, 1)):
        with pytest.raises(ValueError, match=r"one a picture, \(3,\)"):
            autoencoder.noisy(x, eps, wrong)


# -- principal components --------------------------------------------------------------------------


def test_pca_is_scikit_learns(digits):
    from sklearn.decomposition import PCA

    theirs = PCA(10, svd_solver="full").fit(digits.flatten(1).double().numpy())
    ours = autoencoder.pca(digits.double(), 10)
    cosines = (ours.components.numpy() * theirs.components_).sum(1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-9)
    n = len(digits)
    np.testing.assert_allclose(ours.variances * n / (n - 1), theirs.explained_variance_)
    again = theirs.inverse_transform(theirs.transform(digits.flatten(1).double().numpy()))
    np.testing.assert_allclose(ours(digits.double()).flatten(1), again, atol=1e-9)
    error = autoencoder.squared_error(digits.double(), ours(digits.double())).mean()
    assert float(error) == pytest.approx(ours.dropped, rel=1e-9)
    assert ours.k == 10 and ours(digits[:2].double()).shape == (2, 1, 8, 8)
    peaks = ours.components.gather(1, ours.components.abs().argmax(1, keepdim=True))
    assert (peaks > 0).all()


def test_pca_of_all_components_loses_nothing_and_of_more_is_refused():
    x = randn(6, 5, dtype=torch.float64)
    assert autoencoder.pca(x, 5).dropped == pytest.approx(0, abs=1e-12)
    for k in (0, 6):
        with pytest.raises(ValueError, match="1 to 5 components"):
            autoencoder.pca(x, k)


def test_principal_angles_are_scipys_also_where_they_are_tiny():
    from scipy.linalg import subspace_angles

    a, b = randn(3, 8, dtype=torch.float64), randn(5, 8, seed=1, dtype=torch.float64)
    near = a + 1e-10 * randn(3, 8, seed=2, dtype=torch.float64)
    for one, other in ((a, b), (b, a), (a, near)):
        theirs = np.rad2deg(subspace_angles(one.T.numpy(), other.T.numpy()))[::-1]
        ours = autoencoder.principal_angles(one, other).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-12)
    assert 1e-10 < autoencoder.principal_angles(a, near).max() < 1e-6
    turned = randn(3, 3, seed=3, dtype=torch.float64) @ a  # another basis of the same span
    assert autoencoder.principal_angles(a, turned).max() < 1e-10
    inside = autoencoder.principal_angles(a[:2], a)
    assert inside.shape == (2,) and inside.max() < 1e-10


# -- the linear autoencoder ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(digits):
    torch.manual_seed(0)
    model = autoencoder.Linear((1, 8, 8), 4)  # the fourth and the fifth variance differ most
    batches = recipes_autoencoder.picture_batches(digits, batch_size=len(digits))
    training.fit(model, autoencoder.loss, batches, steps=1500, progress=False,
                 **recipes_autoencoder.LINEAR)  # fmt: skip
    return model.cpu()


def test_the_trained_linear_autoencoder_spans_what_scikit_learn_spans(trained, digits):
    from sklearn.decomposition import PCA

    theirs = torch.from_numpy(PCA(4).fit(digits.flatten(1).numpy()).components_)
    assert autoencoder.principal_angles(trained.span(), theirs).max() < 0.5
    best = autoencoder.pca(digits, 4)
    error = float(autoencoder.squared_error(digits, trained.reconstruct(digits)).mean())
    assert best.dropped * (1 - 1e-6) < error < 1.0005 * best.dropped
    # The axes themselves are others: only the span is determined.
    cosines = F.normalize(trained.span(), dim=1) @ theirs.T
    assert cosines.abs().max(1).values.min() < 0.9


def test_what_is_no_best_linear_code_has_another_span(trained, digits):
    best = autoencoder.pca(digits, 5).components
    untrained = autoencoder.Linear((1, 8, 8), 4).span()
    assert autoencoder.principal_angles(untrained, best[:4]).max() > 45
    wrong = best[[0, 1, 2, 4]]  # the fifth for the fourth
    assert autoencoder.principal_angles(trained.span(), wrong).max() > 80
    uncentred = torch.linalg.svd(digits.flatten(1), full_matrices=False).Vh[:4]
    assert autoencoder.principal_angles(trained.span(), uncentred).max() > 10


def test_any_mixing_of_the_code_gives_the_same_loss(trained, digits):
    x, mix = digits[:50], randn(4, 4, seed=5)
    other = autoencoder.Linear((1, 8, 8), 4)
    with torch.no_grad():
        one, two = trained.encoder[1], trained.decoder[0]
        other.encoder[1].weight.copy_(mix @ one.weight)
        other.encoder[1].bias.copy_(mix @ one.bias)
        other.decoder[0].weight.copy_(two.weight @ torch.linalg.inv(mix))
        other.decoder[0].bias.copy_(two.bias)
    torch.testing.assert_close(other(x), trained(x), atol=1e-3, rtol=0)
    assert autoencoder.principal_angles(other.span(), trained.span()).max() < 0.01


# -- the losses ------------------------------------------------------------------------------------


def test_one_loss_gives_two_gradients(digits):
    torch.manual_seed(0)
    model = autoencoder.Dense().double()
    x = digits[:5].double()
    loss = autoencoder.loss(model, {"x": x})
    assert loss.item() == pytest.approx(((x - model(x)) ** 2).sum().item() / 5)  # sum, then mean
    loss.backward()
    for half in (model.encoder, model.decoder):
        weight = half[1 if half is model.encoder else 0].weight
        at, step = (2, 3), 1e-6
        with torch.no_grad():
            weight[at] += step
            moved = float(autoencoder.loss(model, {"x": x})) - float(loss)
            weight[at] -= step
        assert float(weight.grad[at]) == pytest.approx(moved / step, rel=1e-3, abs=1e-4)


def test_towards_fresh_noise_is_towards_the_clean_picture_and_towards_its_own_noise_is_not():
    """E of "fresh" − "clean" is σ²·d whatever the model is, so both have the same optimum."""
    torch.manual_seed(0)
    x = torch.rand(20, 1, 8, 8).repeat(200, 1, 1, 1)
    batch = {"x": x, "eps": randn(*x.shape), "eps2": randn(*x.shape, seed=1)}
    extra = {}
    for name, model in (("one", autoencoder.Dense(hidden=16)), ("two", lambda y: 0.7 * y)):
        with torch.no_grad():
            by = {target: float(autoencoder.denoising_loss(model, batch, 0.5, target))
                  for target in autoencoder.TARGETS}  # fmt: skip
        extra[name] = {target: by[target] - by["clean"] for target in ("fresh", "noisy")}
    for found in extra.values():
        assert found["fresh"] == pytest.approx(0.25 * 64, rel=0.03)
    assert extra["two"]["noisy"] < 0 < extra["one"]["noisy"]
    with torch.no_grad():  # nothing is better at its own noise than doing nothing
        assert float(autoencoder.denoising_loss(lambda y: y, batch, 0.5, "noisy")) == 0
    with pytest.raises(ValueError, match="clean, noisy, fresh"):
        autoencoder.denoising_loss(lambda y: y, batch, 0.5, "dirty")


def test_a_code_of_k_numbers_keeps_k_parts_in_d_of_white_noise(trained):
    """Trained or not: noise has no direction that a code could be short in."""
    basis = torch.linalg.qr(trained.span().T).Q
    eps = randn(4000, 64)
    kept = float(((eps @ basis) ** 2).sum() / (eps**2).sum())
    assert kept == pytest.approx(4 / 64, rel=0.03)


# -- kinds of autoencoders -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        autoencoder.Linear((1, 8, 8), 4), autoencoder.Linear(64, 4), autoencoder.Dense(k=4),
        autoencoder.Dense((3, 5, 5), 4), autoencoder.Sparse(k=100), autoencoder.Conv(4),
    ],
    ids=lambda model: f"{type(model).__name__} {model.shape}",
)  # fmt: skip
def test_every_kind_goes_there_and_back_and_says_what_it_wants(model):
    x = torch.rand(3, *model.shape)
    z = model.encode(x)
    assert z.shape == (3, model.k) and model.decode(z).shape == model(x).shape == x.shape
    torch.testing.assert_close(model.codes(x), z)
    torch.testing.assert_close(model.reconstruct(x), model(x))
    loss = autoencoder.loss(model, {"x": x})
    (loss[0] if isinstance(loss, tuple) else loss).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    shape = ", ".join(map(str, model.shape))
    for wrong in (x[0], x[:0], torch.rand(3, *model.shape[:-1], model.shape[-1] + 1)):
        with pytest.raises(ValueError, match=rf"\(B, {shape}\)"):
            model.encode(wrong)
    with pytest.raises(ValueError, match="floating point"):
        model.encode((255 * x).byte())
    with pytest.raises(ValueError, match=rf"\(B, {model.k}\)"):
        model.decode(z[:, :-1])
    model.encode(x + 3 * torch.randn_like(x))  # noisy pictures leave [0, 1], and are welcome


def test_sparse_codes_are_a_sum_of_atoms_of_length_one():
    torch.manual_seed(0)
    model, x = autoencoder.Sparse(k=96, price=0.3), torch.rand(5, 1, 8, 8)
    z = model.encode(x)
    atoms = model.atoms()
    assert atoms.shape == (96, 1, 8, 8)
    torch.testing.assert_close(atoms.flatten(1).norm(dim=1), torch.ones(96))
    by_hand = model.decoder[0].bias.view(1, 1, 8, 8) + torch.einsum("nk,kchw->nchw", z, atoms)
    torch.testing.assert_close(model.decode(z), by_hand)
    total, parts = model.loss({"x": x})
    error, size = ((x - by_hand) ** 2).sum() / 5, z.abs().sum() / 5
    torch.testing.assert_close(total, error + 0.3 * size)
    torch.testing.assert_close(torch.stack([parts["error"], parts["size"]]),
                               torch.stack([error, size]))  # fmt: skip
    with torch.no_grad():  # longer columns cannot make the code cheaper
        model.decoder[0].weight.mul_(10)
    torch.testing.assert_close(model.decode(z), by_hand)


def test_a_higher_price_makes_sparser_codes():
    x = data.patches("brick", n=800, seed=1)
    x = x - x.mean((2, 3), keepdim=True)
    used = {}
    for price in (0.0, 0.3):
        torch.manual_seed(0)
        model = autoencoder.Sparse(k=96, price=price)
        batches = recipes_autoencoder.picture_batches(x, batch_size=100)
        training.fit(model, autoencoder.loss, batches, steps=150, progress=False,
                     **recipes_autoencoder.SPARSE)  # fmt: skip
        used[price] = model.used(x)
    assert used[0.3] < 0.5 * used[0.0] and used[0.3] < 30


# -- denoisers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (9, 14), (5, 3)])
def test_a_denoiser_takes_any_size_and_begins_by_doing_nothing(size, blind):
    model = autoencoder.Denoiser(3, 16, 1, blind=blind)
    y = torch.rand(2, 3, *size)
    told = () if blind else (0.2,)
    torch.testing.assert_close(model(y, *told), y)
    batch = {"x": y, "eps": randn(2, 3, *size), "u": torch.tensor([0.1, 0.9])}
    # All of the noise's power is left, and of nothing else.
    expected = float((batch["eps"] ** 2).mean())
    assert model.loss(batch).item() == pytest.approx(expected, rel=1e-4)
    model.loss(batch).backward()
    assert model.last[-1].weight.grad.abs().max() > 0


def awake(**how):
    torch.manual_seed(0)
    model = autoencoder.Denoiser(1, 16, 1, **how)
    torch.nn.init.normal_(model.last[-1].weight, std=0.1)
    return model


def test_a_denoiser_is_told_sigma_picture_by_picture():
    model, y = awake(), torch.rand(3, 1, 8, 8)
    sigmas = torch.tensor([0.1, 0.3, 0.6])
    together = model(y, sigmas)
    for i, sigma in enumerate(sigmas.tolist()):
        torch.testing.assert_close(together[i : i + 1], model(y[i : i + 1], sigma))
    torch.testing.assert_close(model.clean(y, sigmas), together.detach().clamp(0, 1))
    many = y.repeat(30, 1, 1, 1)
    torch.testing.assert_close(model.clean(many, 0.3), model(many, 0.3).detach().clamp(0, 1))
    assert (model(y, 0.1) - model(y, 0.6)).abs().max() > 1e-3
    blind = awake(blind=True)
    torch.testing.assert_close(blind(y), blind(y, 0.3))


@pytest.mark.parametrize(
    ("y", "sigma", "said"),
    [
        (torch.rand(2, 3, 8, 8), 0.1, r"\(B, 1, H, W\)"),
        (torch.rand(1, 8, 8), 0.1, r"\(B, 1, H, W\)"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), 0.1, "floating point"),
        (torch.rand(2, 1, 8, 8), None, "give sigma"),
        (torch.rand(2, 1, 8, 8), 0.0, "above 0"),
        (torch.rand(2, 1, 8, 8), torch.tensor([0.1, -0.1]), "above 0"),
        (torch.rand(2, 1, 8, 8), torch.rand(3), "one a picture"),
    ],
)
def test_a_denoiser_says_what_is_wrong(y, sigma, said):
    with pytest.raises(ValueError, match=said):
        awake()(y, sigma)


def test_a_denoiser_learns_to_take_noise_away():
    torch.manual_seed(0)
    x = data.icons("test").x
    model = autoencoder.Denoiser(1, 16, 1)
    batches = recipes_autoencoder.noisy_batches(x[:400], batch_size=32)
    training.fit(model, autoencoder.loss, batches, steps=60, progress=False,
                 **recipes_autoencoder.DENOISER)  # fmt: skip
    unseen = x[400:500]
    for sigma in (0.25, 0.5):
        y = recipes_autoencoder.noisy_set(unseen, sigma)
        gain = autoencoder.psnr(unseen, model.clean(y, sigma)) - autoencoder.psnr(unseen, y)
        assert gain.mean() > 3


def test_the_best_denoiser_knows_the_score():
    """x ~ N(0, τ²): E[x|y] = y·τ²/(τ² + σ²), and y ~ N(0, τ² + σ²)."""
    tau, sigma = 0.8, 0.5
    y = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None].requires_grad_()
    log_p = torch.distributions.Normal(0, (tau**2 + sigma**2) ** 0.5).log_prob(y).sum()
    (truth,) = torch.autograd.grad(log_p, y)
    best = lambda y, s: y * tau**2 / (tau**2 + s**2)  # noqa: E731
    torch.testing.assert_close(autoencoder.score(best, y, sigma), truth)
    for wrong in (lambda y, s: y * tau / (tau + s), lambda y, s: y):
        assert (autoencoder.score(wrong, y, sigma) - truth).abs().max() > 0.1


# -- recipes and weights ---------------------------------------------------------------------------


def test_batches_of_the_recipes_turn_and_mirror_and_never_mix_pictures():
    x = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4).repeat(40, 1, 1, 1)
    for augment in (recipes_autoencoder.turned, recipes_autoencoder.mirrored):
        found = augment({"x": x}, chance(1))["x"]
        same = found.flatten(1).sort(1).values == x.flatten(1).sort(1).values
        assert same.all() and found.shape == x.shape
        assert len(found[::2].unique(dim=0)) == {"turned": 4, "mirrored": 2}[augment.__name__]
    batch = recipes_autoencoder.noisy_batches(x, batch_size=8, fresh=True).at(3)
    assert set(batch) == {"x", "eps", "eps2", "u"} and (batch["eps"] != batch["eps2"]).any()
    assert "eps2" not in recipes_autoencoder.noisy_batches(x, batch_size=8).at(3)


def test_photo_crops_are_of_the_training_photos_alone(monkeypatch):
    asked = []
    real = data.patches
    monkeypatch.setattr(
        data, "patches", lambda name, *a, **k: asked.append(name) or real(name, *a, **k)
    )
    crops = recipes_autoencoder.photo_crops(40)
    assert crops.shape == (40, 3, 48, 48) and 0 <= crops.min() and crops.max() <= 1
    assert set(asked) == set(data.photos("train").names)
    assert not set(asked) & set(data.photos("test").names)


NETWORKS = {
    "autoencoder_icons": autoencoder.Conv,
    "denoiser_icons": recipes_autoencoder.denoiser_icons,
    "denoiser_photos": recipes_autoencoder.denoiser_photos,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_shipped_weights_are_what_their_cards_say(name):
    card = training.weights_card(name)
    assert card["steps"] == recipes.RECIPES[name].steps and card["seed"] == 0
    model = training.load_weights(NETWORKS[name](), name)
    results = card["results"]
    if name == "denoiser_photos":
        x = data.photos("test")["chelsea"][None]
        found = float(autoencoder.psnr(x, model.clean(recipes_autoencoder.noisy_set(x, 0.1), 0.1)))
        assert found == pytest.approx(results["chelsea_0.1"], abs=0.02)
        assert found > 29
        return
    x = data.icons("test").x
    if name == "autoencoder_icons":
        error = float(autoencoder.squared_error(x, model.reconstruct(x)).mean())
        assert error == pytest.approx(results["test_error"], rel=1e-3)
        assert error < results["test_error_of_pca"]
        return
    y = recipes_autoencoder.noisy_set(x, 0.25)[::10]
    found = autoencoder.psnr(x[::10], model.clean(y, 0.25))
    assert float(found.mean()) == pytest.approx(
        results["icons_0.25"], abs=4 * float(found.std()) / 12
    )


def test_a_recipe_makes_weights_that_load(tmp_path, monkeypatch):
    few = data.icons("test").take(list(range(20)))
    monkeypatch.setenv("GENART_HOME", str(tmp_path))
    monkeypatch.setattr(recipes_autoencoder.data, "icons", lambda split="train": few)
    model, history = recipes.RECIPES["autoencoder_icons"].train(1, 0)
    assert history.steps == 1
    card = dict.fromkeys(training.weights.CARD, "")
    path = training.save_weights(model, tmp_path / "x.safetensors", card, half=True)
    again = training.load_weights(autoencoder.Conv(), path)
    torch.testing.assert_close(
        again.reconstruct(few.x), model.reconstruct(few.x), atol=1e-2, rtol=0
    )


def test_the_four_recipes_are_listed_and_never_train_on_what_they_are_measured_on(monkeypatch):
    assert set(SHIPPED) <= set(recipes.RECIPES)
    asked = []
    monkeypatch.setattr(
        recipes_autoencoder, "_train", lambda model, batches, *rest: asked.append(batches)
    )
    for name in SHIPPED:
        recipes.RECIPES[name].train(1, 0)
    unseen = {picture.numpy().tobytes() for picture in data.icons("test").x}
    for batches in asked:
        seen = batches.tensors["x"]
        if seen.shape[1:] == (1, 32, 32):
            assert len(seen) == len(data.icons("train"))
            assert not unseen & {picture.numpy().tobytes() for picture in seen}
    assert len(asked) == 4  # the photos' crops are tested above
