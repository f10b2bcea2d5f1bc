"""Style transfer: the losses as they are printed, what a Gram forgets, the ways down, a stylist."""

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle

from genart_lessons import data, training
from genart_lessons.models import style, stylist
from genart_lessons.training import recipes, recipes_style

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def cat():
    return data.photo("chelsea", 64)


@pytest.fixture(scope="module")
def tissue():
    return data.photo("ihc", 64)


# -- losses --------------------------------------------------------------------------------------


def test_the_gram_is_the_mean_of_outer_products():
    f = noise(2, 5, 3, 4)
    g = style.gram(f)
    places = f.permute(0, 2, 3, 1).reshape(2, 12, 5).double()
    expected = torch.stack([sum(torch.outer(p, p) for p in each) / 12 for each in places])
    torch.testing.assert_close(g.double(), expected, atol=1e-6, rtol=1e-5)


def test_the_gram_forgets_where_and_nothing_else_does():
    f = noise(1, 5, 6, 6)
    places = torch.randperm(36, generator=torch.Generator().manual_seed(1))
    moved = f.flatten(2)[..., places].view_as(f)
    torch.testing.assert_close(style.gram(moved), style.gram(f))
    assert style.content_loss(moved, f) > 0.5
    channels = f[:, torch.randperm(5, generator=torch.Generator().manual_seed(1))]
    assert style.style_loss(style.gram(channels), style.gram(f)) > 0.01


def test_the_losses_are_those_of_gatys_et_al():
    f, p = noise(1, 5, 3, 4), noise(1, 5, 3, 4, seed=1)
    sums = 0.5 * (f - p).square().sum()
    assert style.content_loss(f, p).item() == pytest.approx(float(sums) / (5 * 12))
    g, a = (x.flatten(2)[0] @ x.flatten(2)[0].T for x in (f, p))  # theirs, without the 1/N
    theirs = (g - a).square().sum() / (4 * 5**2 * 12**2)
    assert style.style_loss(style.gram(f), style.gram(p)).item() == pytest.approx(float(theirs))
    for loss in (style.content_loss, style.style_loss):
        with pytest.raises(ValueError, match="place by place"):
            loss(f, noise(1, 4, 3, 4))


def test_the_gradient_of_the_style_loss_is_equation_6():
    f, p = noise(1, 5, 3, 4).double().requires_grad_(), noise(1, 5, 3, 4, seed=1).double()
    style.style_loss(style.gram(f), style.gram(p)).backward()
    g, a, flat = style.gram(f.detach())[0], style.gram(p)[0], f.detach().flatten(2)[0]
    expected = (g - a) @ flat / (5**2 * 12)
    torch.testing.assert_close(f.grad.flatten(2)[0], expected)


def test_total_variation_against_plain_sums_and_a_denoiser(cat):
    x = cat[None]
    pixels = cat.permute(1, 2, 0).numpy().astype(np.float64)
    expected = (np.diff(pixels, axis=0) ** 2).sum() + (np.diff(pixels, axis=1) ** 2).sum()
    assert style.total_variation(x).item() == pytest.approx(expected / pixels.size, rel=1e-4)
    assert style.total_variation(torch.full((2, 3, 8, 8), 0.3)) == 0
    smooth = denoise_tv_chambolle(pixels, weight=0.1, channel_axis=-1)
    less = torch.from_numpy(smooth).permute(2, 0, 1)[None]
    more = (x + 0.05 * noise(*x.shape)).clamp(0, 1)
    found = [float(style.total_variation(each)) for each in (less, x, more)]
    assert found == sorted(found)


# -- the whole loss ------------------------------------------------------------------------------


def test_each_part_is_one_for_features_of_nothing(cat, tissue):
    class Nothing:
        def features(self, x, layers):
            seen = perceptual_net.features(x, layers)
            return {k: 0 * v for k, v in seen.items()} if self.shut else seen

    perceptual_net, net = style.eye(), Nothing()
    net.shut = False
    task = style.StyleTransfer(cat, tissue, style_weight=7, network=net)
    net.shut = True
    parts = task.parts(cat[None])
    assert float(parts["content"]) == pytest.approx(1)
    assert float(parts["style"]) == pytest.approx(7)


def test_parts_have_their_weights_and_vanish_where_they_should(cat, tissue):
    task = style.StyleTransfer(cat, tissue, content_weight=2, style_weight=3, tv_weight=0)
    once = style.StyleTransfer(cat, tissue, content_weight=1, style_weight=1, tv_weight=1)
    a, b = task.parts(tissue[None]), once.parts(tissue[None])
    assert float(a["content"]) == pytest.approx(2 * float(b["content"]))
    assert float(a["tv"]) == 0 < float(b["tv"])
    assert float(a["style"]) == pytest.approx(0, abs=1e-9)
    assert float(task.parts(cat[None])["content"]) == pytest.approx(0, abs=1e-9)
    assert float(task.loss(cat[None])) == pytest.approx(float(task.parts(cat[None])["style"]))


def test_the_style_does_not_know_where_and_the_content_does(cat, tissue):
    """Whole cells of the picture change places: more of the content's loss than of the style's."""
    task = style.StyleTransfer(tissue, tissue, style_weight=1, tv_weight=0)
    moved = torch.roll(tissue, (32, 16), (-2, -1))[None]
    parts = task.parts(moved)
    assert float(parts["content"]) > 10 * float(parts["style"])


def test_nonsense_is_refused(cat, tissue):
    grey = torch.rand(2, 64, 64)
    for content, look, more, words in (
        (grey, tissue, {}, "content must be one picture"),
        (cat, tissue[None], {}, "style must be one picture"),
        (cat[:, :20], tissue, {}, "32 pixels"),
        (cat * 255, tissue, {}, "outside"),
        (cat, tissue * float("nan"), {}, "outside"),
        (cat, tissue, dict(style_weight=-1), "negative"),
        (cat, tissue, dict(style_layers={"conv1_1": 1}), "no layer"),
        (cat, tissue, dict(size=8), "32 pixels"),
    ):
        with pytest.raises(ValueError, match=words):
            style.StyleTransfer(content, look, **more)
    task = style.StyleTransfer(cat, tissue)
    for wrong in (dict(start="grey"), dict(optimizer="sgd"), dict(steps=0)):
        with pytest.raises(ValueError):
            task.run(**{"steps": 2, **wrong})


# -- the ways down -------------------------------------------------------------------------------


def test_the_gradient_in_waves_is_right():
    """Against finite differences, of a loss that is not symmetric."""
    start = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(0)).double()
    waves = style.Waves(start)
    target, weight = noise(1, 3, 9, 12).double(), noise(1, 3, 9, 12, seed=1).double().square()

    def loss(u):
        return (weight * (waves.picture(waves.angle(u)) - target) ** 2).sum()

    u = 0.3 * noise(1, 3, 9, 12, seed=2).double()
    u.requires_grad_()
    angle = waves.angle(u).detach()
    x = waves.picture(angle).requires_grad_()
    (pixels,) = torch.autograd.grad((weight * (x - target) ** 2).sum(), x)
    found = waves.slope(angle, pixels)
    torch.testing.assert_close(found, torch.autograd.grad(loss(u), u)[0])
    step = noise(1, 3, 9, 12, seed=3).double()
    h = 1e-5
    with torch.no_grad():
        slope = float(loss(u + h * step) - loss(u - h * step)) / (2 * h)
    assert slope == pytest.approx(float((found * step).sum()), rel=1e-6)


def test_waves_begin_at_the_start_and_stay_within_bounds():
    start = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    waves = style.Waves(start)
    inner = start.clamp(style.Waves.EDGE, 1 - style.Waves.EDGE)
    torch.testing.assert_close(waves.picture(waves.angle(torch.zeros_like(start))), inner)
    far = waves.picture(waves.angle(5 * noise(1, 3, 16, 16)))
    assert 0 <= far.min() and far.max() <= 1
    long, short = torch.zeros(2, 1, 3, 16, 16)
    long += 1
    short[..., ::2] += 1
    short[..., 1::2] -= 1
    ratio = float(waves.spread(long).abs().mean() / waves.spread(short).abs().mean())
    assert ratio == pytest.approx((0.5 * 16) ** style.Waves.POWER, rel=1e-4)


def test_brightness_has_more_room_than_colour_as_in_the_photos():
    photos = data.photos("train", size=64)
    x = torch.stack([photos[name] for name in photos]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(
        torch.tensor(style.Waves.COLOURS), torch.corrcoef(x), atol=2e-3, rtol=0
    )
    waves = style.Waves(torch.rand(1, 3, 16, 16))
    grey = torch.ones(1, 3, 16, 16)
    tint = grey * torch.tensor([1.0, 0.0, -1.0])[:, None, None]
    rooms = [float(waves.spread(x).norm() / x.norm()) for x in (grey, tint)]
    assert rooms[0] > 1.3 * rooms[1]
    fourth = torch.linalg.matrix_power(waves.mix, 4)
    fourth = fourth / fourth[0, 0]
    torch.testing.assert_close(fourth, torch.tensor(style.Waves.COLOURS), atol=1e-5, rtol=0)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_known_lowest_place_is_found(optimizer):
    goal = 0.1 + 0.8 * torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = style.descend(lambda x: (x - goal).square().mean(), torch.full((3, 12, 12), 0.5), 200,
                          optimizer=optimizer)  # fmt: skip
    assert (found.picture - goal[0]).abs().max() < 0.02
    assert found.evaluations == len(found.times) <= 200 and found.times == sorted(found.times)
    assert min(found.losses) < 1e-4


def test_it_stops_when_it_is_told_and_keeps_the_best(cat, tissue):
    task = style.StyleTransfer(cat, tissue)
    seen = []
    found = task.run(30, "adam", lr=0.3, on_step=lambda n, x, loss: seen.append((n, loss)))
    assert [n for n, _ in seen] == list(range(1, 31)) and [v for _, v in seen] == found.losses
    assert float(task.loss(found.picture[None])) == pytest.approx(min(found.losses), rel=1e-3)
    goal = found.losses[0] / 2
    early = task.run(60, until=goal)
    assert early.losses[-1] <= goal and early.evaluations < 60
    assert early.when(goal) == early.times[-1] and early.when(0.0) == float("inf")


def test_a_loss_that_is_no_number_is_told():
    with pytest.raises(FloatingPointError, match="after 0 evaluations"):
        style.descend(lambda x: x.sum() * float("nan"), torch.rand(3, 8, 8), 5)


def test_lbfgs_in_waves_comes_lower_than_adam_in_as_many_evaluations(cat, tissue):
    task = style.StyleTransfer(cat, tissue)
    adam = min(min(task.run(40, "adam", lr=lr).losses) for lr in (0.01, 0.03, 0.1))
    assert min(task.run(40).losses) < adam


def test_coarse_to_fine_hands_over_the_change_alone(cat, tissue):
    """With nothing to change at the coarse sizes, the fine one begins at the very content."""
    same = style.StyleTransfer(cat, tissue, style_weight=0, tv_weight=0)
    found = same.run(1, coarse=((0.5, 2),))
    assert (found.picture - cat).abs().max() < 0.05  # blurred, it would be 0.3 off
    task = style.StyleTransfer(cat, data.photo("flower", 64))
    plain, fine = task.run(10), task.run(10, coarse=((0.5, 10),))
    assert min(fine.losses) < min(plain.losses) and fine.picture.shape == cat.shape
    assert fine.times[0] > plain.times[0]  # the way there counts


def test_starts_and_a_layers_own_reconstruction(cat, tissue):
    task = style.StyleTransfer(cat, tissue[:, :, :40], size=48)
    for start in ("noise", "style", tissue):
        assert task.run(1, start=start).picture.shape == (3, 48, 48)
    a, b, c = (task.run(1, start="noise", seed=seed).picture for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)
    shallow = style.reconstruct("b0", cat, steps=40)
    deep = style.reconstruct("b5", cat, steps=40)
    errors = [float((x.picture - cat).square().mean()) for x in (shallow, deep)]
    assert errors[0] < 0.5 * errors[1]


def test_a_texture_has_the_grams_and_another_picture(tissue):
    found = style.texture(tissue, steps=60)
    judge = style.StyleTransfer(tissue, tissue, content_weight=0, style_weight=1, tv_weight=0)
    first = style.noise(tissue)
    assert float(judge.loss(found.picture[None])) < 0.05 * float(judge.loss(first[None]))
    assert float((found.picture - tissue).square().mean()) > 0.02


# -- stylists ------------------------------------------------------------------------------------


def test_a_stylist_takes_any_size_and_keeps_it():
    torch.manual_seed(0)
    net = stylist.Stylist(width=4, blocks=1).eval()
    for size in ((32, 32), (33, 50), (70, 41)):
        x = torch.rand(2, 3, *size)
        y = net(x)
        assert y.shape == x.shape and 0 <= y.min() and y.max() <= 1
        torch.testing.assert_close(net(x[1:]), y[1:], atol=1e-5, rtol=1e-4)  # each for itself
    for wrong in (torch.rand(3, 64, 64), torch.rand(1, 1, 64, 64), torch.rand(1, 3, 20, 64)):
        with pytest.raises(ValueError, match="a stylist takes pictures"):
            net(wrong)
    assert stylist.paint(net, torch.rand(3, 40, 40)).shape == (3, 40, 40)


def test_its_loss_is_that_of_the_transfer_picture_by_picture(cat, tissue):
    look = data.photo("flower", 64)
    loss = stylist.StyleLoss(look, size=None)
    x = torch.stack([cat, tissue])
    made = (0.8 * x + 0.1).flip(-1)
    parts = loss.parts(made, x)
    for i, content in enumerate((cat, tissue)):
        task = style.StyleTransfer(content, look)
        expected = task.parts(made[i : i + 1])
        for name, value in expected.items():
            assert float(parts[name][i]) == pytest.approx(float(value), rel=1e-4)
    value, means = loss(lambda x: made, {"x": x})
    assert float(value) == pytest.approx(float(sum(means.values())))


def test_a_stylist_learns(cat):
    torch.manual_seed(0)
    net = stylist.Stylist(width=8, blocks=1)
    loss = stylist.StyleLoss(data.photo("flower", 64), size=None)
    batches = recipes_style.content_batches(torch.stack([cat, data.photo("coffee", 64)]), 2)
    history = training.fit(net, loss, batches, steps=12, lr=5e-3, progress=False)
    assert np.mean(history.losses[-3:]) < 0.8 * np.mean(history.losses[:3])
    assert {"content", "style", "tv"} <= set(history.parts)


@pytest.mark.parametrize("name", recipes_style.STYLES)
def test_the_shipped_stylists_are_what_their_cards_say(name):
    net = training.load_weights(stylist.Stylist(), f"stylist_{name}")
    card = training.weights_card(f"stylist_{name}")
    assert card["steps"] == recipes_style.STYLIST_STEPS == recipes.RECIPES[f"stylist_{name}"].steps
    x = recipes_style.unseen()[:1]
    parts = recipes_style.style_loss(name).parts(stylist.paint(net, x), x)
    results = card["results"]
    assert results["unseen_loss"] < 0.5 * results["unseen_loss_as_they_are"]
    assert float(sum(parts.values())) == pytest.approx(results["unseen_loss"], rel=0.35)
    path = training.weights._path(f"stylist_{name}")
    assert path.stat().st_size < 3e6


def test_what_stylists_learn_from_and_what_they_have_not_seen():
    assert set(recipes_style.UNSEEN) == set(data.photos("test").names)
    x = recipes_style.contents(8, 48)
    assert x.shape == (8, 3, 48, 48) and 0 <= x.min() and x.max() <= 1
    assert torch.equal(x, recipes_style.contents(8, 48))
    other = recipes_style.recoloured({"x": x}, torch.Generator().manual_seed(0))["x"]
    assert other.shape == x.shape and 0 <= other.min() and other.max() <= 1
    assert not torch.equal(other, x)
    with pytest.raises(KeyError, match="there are flower"):
        recipes_style.style_picture("monet")
