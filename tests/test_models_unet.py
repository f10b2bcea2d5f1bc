"""The U-Net and the recipes of the diffusion models: shapes, what it hears, what is shipped."""

import pytest
import torch
from torch import nn

from genart_lessons import data, training
from genart_lessons.models import diffusion, diffusion_samplers, unet
from genart_lessons.training import recipes, recipes_diffusion, recipes_gan


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=chance(seed))


def woken(net, seed=0):
    """The same network with no layer at zero, so that what it is told can be seen."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return net.eval()


# ---------------------------------------------------------------- the network

SIZES = [
    dict(channels=1, width=16, size=32),
    dict(channels=3, width=16, size=32, classes=14),
    dict(channels=1, width=24, size=16, growth=(1,)),
    dict(channels=1, width=8, size=16, growth=(1, 2), patch=1, dropout=0.1),
    dict(channels=2, width=12, size=24, growth=(1, 1.3, 2), patch=3, classes=2),
]


@pytest.mark.parametrize("options", SIZES, ids=str)
def test_what_comes_out_is_like_what_goes_in(options):
    net = unet.UNet(**options)
    x = noise(3, *net.shape)
    y = torch.tensor([0, 1, -1]) if net.classes else None
    out = net(x, torch.tensor([1, 500, 1000]), y)
    assert out.shape == x.shape
    assert bool((out == 0).all())  # it says nothing before it has learnt something
    out.sum().backward()
    assert net.leave[-1].bias.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "options",
    [dict(size=20), dict(size=4), dict(width=0), dict(classes=-1), dict(patch=0), dict(channels=0)],
    ids=str,
)
def test_sizes_that_do_not_go_together_are_refused(options):
    with pytest.raises(ValueError, match="must be a multiple of"):
        unet.UNet(**{"width": 8, **options})


def test_pictures_and_times_that_do_not_fit_are_refused():
    net = unet.UNet(1, 8, size=16, growth=(1,))
    with pytest.raises(ValueError, match=r"pictures \(B, 1, 16, 16\)"):
        net(noise(2, 1, 32, 32), torch.tensor([1, 2]))
    with pytest.raises(ValueError, match=r"times \(B,\)"):
        net(noise(2, 1, 16, 16), torch.tensor([1]))


def test_each_picture_is_judged_alone():
    """No statistics of the batch: else guidance, which doubles it, would change every picture."""
    net = woken(unet.UNet(1, 16, 2, size=16, growth=(1, 2)))
    x, t, y = noise(4, 1, 16, 16), torch.tensor([3, 80, 400, 999]), torch.tensor([0, 1, -1, 0])
    alone = torch.cat([net(x[i : i + 1], t[i : i + 1], y[i : i + 1]) for i in range(4)])
    assert torch.allclose(net(x, t, y), alone, atol=1e-5)


def test_it_hears_time_and_class():
    net = woken(unet.UNet(1, 16, 3, size=16, growth=(1, 2)))
    x = noise(1, 1, 16, 16).expand(5, -1, -1, -1)
    t = torch.tensor([10, 10, 10, 10, 11])
    out = net(x, t, torch.tensor([0, 1, 2, -1, -1])).flatten(1)
    assert torch.cdist(out, out).fill_diagonal_(9).min() > 1e-3  # five answers, all different
    nobody = net(x, t).flatten(1)
    assert torch.equal(nobody[3], out[3]) and torch.equal(nobody[4], out[4])  # None is −1


def test_times_get_vectors_that_do_not_repeat():
    time = unet.Time(32, 8)
    angle = torch.arange(1, 1001)[:, None] * time.speeds
    waves = torch.cat([angle.sin(), angle.cos()], 1)
    apart = torch.cdist(waves, waves).fill_diagonal_(9)
    assert apart.min() > 0.2
    fast = torch.cat([(time.speeds[:1] * torch.arange(1, 1001)[:, None]).sin()], 1)
    assert torch.cdist(fast, fast).fill_diagonal_(9).min() < 0.01  # one wave alone does repeat


def test_every_pixel_can_be_seen_from_every_other():
    """Through the small sizes and the attention; with one size and no attention it could not be."""
    net = woken(unet.UNet(1, 16, size=32))
    x = noise(1, 1, 32, 32).requires_grad_()
    net(x, torch.tensor([100]))[0, 0, 0, 0].backward()
    assert bool((x.grad != 0).all())


def test_attention_is_the_mean_of_values_weighed_by_likeness():
    torch.manual_seed(0)
    layer = woken(unet.Attention(64))
    assert layer.heads == 2
    x = noise(2, 64, 3, 4)
    parts = layer.ask(layer.norm(x)).flatten(2)  # (2, 192, 12)
    query, key, value = parts.split(64, 1)
    found = []
    for rows in (slice(0, 32), slice(32, 64)):
        weight = (query[:, rows].transpose(1, 2) @ key[:, rows] / 32**0.5).softmax(-1)
        found.append(value[:, rows] @ weight.transpose(1, 2))
    by_hand = x + layer.tell(torch.cat(found, 1).view(2, 64, 3, 4))
    assert torch.allclose(layer(x), by_hand, atol=1e-5)


def test_a_block_is_its_short_cut_until_it_has_learnt():
    block = unet.Block(16, 16, 8)
    x = noise(2, 16, 4, 4)
    assert torch.equal(block(x, noise(2, 8)), x)
    assert isinstance(block.short, nn.Identity)
    assert isinstance(unet.Block(16, 24, 8).short, nn.Conv2d)


def test_dropout_is_for_training_alone():
    net = woken(unet.UNet(1, 16, size=16, growth=(1,), dropout=0.5))
    x, t = noise(2, 1, 16, 16), torch.tensor([5, 500])
    assert torch.equal(net(x, t), net(x, t))
    net.train()
    assert not torch.equal(net(x, t), net(x, t))


# ---------------------------------------------------------------- it learns


def test_it_learns_what_the_noise_was():
    """Two icons, one for each class: after a few steps it tells them apart by class, at t = T."""
    torch.manual_seed(0)
    x = torch.cat([torch.ones(8, 1, 16, 16), -torch.ones(8, 1, 16, 16)])
    x[:, :, ::4] = 0.0
    y = torch.arange(16) // 8
    net = unet.UNet(1, 16, 2, size=16, growth=(1,))
    model = diffusion.Denoiser(net, diffusion.cosine(100), "v", 2, net.shape)
    batches = recipes_diffusion.diffusion_batches(x, y, batch_size=16)
    options = dict(lr=1e-2, schedule="cosine", progress=False)
    history = training.fit(model, diffusion.loss, batches, steps=150, **options)
    first, last = sum(history.losses[:10]), sum(history.losses[-10:])
    assert last < 0.45 * first
    made = diffusion_samplers.ddim(
        model, 2, y=torch.tensor([0, 1]), steps=10, generator=chance(1), clip=True
    )
    assert made[0, 0, 1::4].mean() > 0.5 and made[1, 0, 1::4].mean() < -0.5


# ---------------------------------------------------------------- the recipes' data


@pytest.mark.parametrize("split", ["train", "test"])
def test_icons_have_the_style_of_their_names_or_none(split):
    icons, y = recipes_diffusion.icons_and_styles(split)
    assert len(icons) == len(data.icons(split)) == len(y)
    assert set(y.tolist()) == {-1, 0, 1}
    for name, style in zip(icons.names, y.tolist(), strict=True):
        if name.endswith("-fill"):
            assert style == 0, name
        if name.endswith("-thin"):
            assert style == 1, name
    assert 0.4 < float((y >= 0).float().mean()) < 0.6


def test_small_emoji_are_the_large_ones_averaged():
    small, y = recipes_diffusion.small_emoji("test")
    large = data.emoji("test")
    assert small.x.shape == (len(large), 3, 32, 32)
    assert torch.allclose(small.x[5, 1, 3, 4], large.x[5, 1, 6:8, 8:10].mean())
    assert [recipes_diffusion.EMOJI_GROUPS[i] for i in y] == large.groups
    assert len(recipes_diffusion.EMOJI_GROUPS) == 14


def test_emoji_are_moved_a_little_and_stay_white_outside():
    x = data.emoji("test").x[:32]
    moved = recipes_diffusion.wiggle_and_shrink({"x": x}, chance(0))["x"]
    again = recipes_diffusion.wiggle_and_shrink({"x": x}, chance(0))["x"]
    assert torch.equal(moved, again)  # a function of the generator alone
    small = 2 * nn.functional.avg_pool2d(x, 2) - 1
    assert moved.shape == small.shape and moved.min() >= -1 and moved.max() <= 1
    straight = (moved - small).flatten(1).square().mean(1)
    flipped = (moved - small.flip(3)).flatten(1).square().mean(1)
    assert torch.minimum(straight, flipped).mean() < 0.12  # all of them are still there …
    assert 8 < int((flipped < straight).sum()) < 24  # … about half of them mirrored …
    assert straight.min() > 0  # … and none just as it was
    white = torch.ones(4, 3, 64, 64)
    assert torch.allclose(
        recipes_diffusion.wiggle_and_shrink({"x": white}, chance(1))["x"], torch.ones(4, 3, 32, 32)
    )
    # In steps of two pixels nothing is blurred: edges are as steep as those of the real ones.
    steep = [(z[..., 1:] - z[..., :-1]).abs().mean() for z in (moved, small)]
    assert steep[0] > 0.85 * steep[1]


def test_batches_hold_what_the_loss_wants():
    x, y = noise(40, 3, 64, 64).sigmoid(), torch.arange(40) % 14
    batches = recipes_diffusion.diffusion_batches(
        x, y, batch_size=8, augment=recipes_diffusion.wiggle_and_shrink
    )
    batch = batches.at(3)
    assert batch["x"].shape == batch["eps"].shape == (8, 3, 32, 32)
    assert batch["u"].shape == batch["drop"].shape == batch["y"].shape == (8,)
    plain = recipes_diffusion.diffusion_batches(noise(40, 1, 16, 16), batch_size=8).at(0)
    assert set(plain) == {"x", "eps", "u"}


# ---------------------------------------------------------------- how they are measured


class Known(nn.Module):
    """A denoiser that knows the one picture there is, up to an error of a given size."""

    predicts, classes, shape = "v", 0, (1, 8, 8)

    def __init__(self, x0, error):
        super().__init__()
        self.schedule, self.x0, self.error = diffusion.cosine(50), x0, error
        self.place = nn.Parameter(torch.zeros(()))

    def forward(self, x_t, t, y=None):
        x0 = self.x0.expand(len(x_t), -1, -1, -1)
        return diffusion.convert(self.schedule, x_t, t, x0, "x0", "v") + self.error


def test_the_loss_is_measured_as_it_is():
    x0 = noise(1, 1, 8, 8).tanh()
    x, y = x0.expand(300, -1, -1, -1), torch.zeros(300, dtype=torch.long)
    for error in (0.0, 0.3):
        found = recipes_diffusion.mean_loss(Known(x0, error), x, y, passes=1)
        assert found == pytest.approx(error**2, abs=1e-5)


def test_samples_come_in_the_unit_range_by_seed():
    x0 = noise(1, 1, 8, 8).tanh()
    model = Known(x0, 0.0)
    made = recipes_diffusion.draw(model, 300, steps=5)
    assert made.shape == (300, 1, 8, 8)
    assert torch.allclose(made, ((x0 + 1) / 2).expand_as(made), atol=1e-4)
    model.error = 0.1
    one, two, other = (recipes_diffusion.draw(model, 4, seed=s, steps=5) for s in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_copies_are_noticed():
    train, test = data.icons("train").x[:2000], data.icons("test").x[:400]
    copied = recipes_diffusion.nearest(train[:300], train, test)
    assert copied["near_copies"] == 1.0 and copied["nearest_training_picture"] < 1e-3
    new = recipes_diffusion.nearest(test, train, test)
    assert new["near_copies"] == pytest.approx(0.05, abs=0.01)
    smudged = (train[:300] + 0.02 * noise(300, 1, 32, 32)).clamp(0, 1)
    assert recipes_diffusion.nearest(smudged, train, test)["near_copies"] > 0.95


def test_colours_in_the_wrong_place_are_noticed():
    train, test = (recipes_diffusion.small_emoji(split)[0].x for split in ("train", "test"))
    real = recipes_diffusion.colour_distance(train, test)
    assert real < 0.5 * recipes_diffusion.colour_distance(train[:, [1, 2, 0]], test)
    assert real < 0.5 * recipes_diffusion.colour_distance(0.8 * train, test)
    noisy = (train + 0.5 * noise(*train.shape)).clamp(0, 1)
    assert real < 0.5 * recipes_diffusion.colour_distance(noisy, test)


# ---------------------------------------------------------------- what is shipped

SHIPPED = {
    "diffusion_icons": (recipes_diffusion.icons, recipes_diffusion.icons_and_styles),
    "diffusion_emoji": (recipes_diffusion.emoji, recipes_diffusion.small_emoji),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_weights_fit_and_the_card_says_how_they_were_made(name):
    build, _ = SHIPPED[name]
    training.load_weights(build(), name)
    card = training.weights_card(name)
    recipe = recipes.RECIPES[name]
    assert f"train {name}" in card["command"] and 0 < card["steps"] <= recipe.steps
    assert card["data"] == recipe.data and card["minutes"] > 0
    assert card["parameters"] == sum(p.numel() for p in build().parameters())
    assert card["results"]["near_copies"] < 0.05  # samples are as new as unseen pictures, or newer


@pytest.mark.parametrize("name", SHIPPED)
def test_the_loss_on_unseen_pictures_is_the_cards(name):
    build, pictures = SHIPPED[name]
    model = training.load_weights(build(), name)
    test, y = pictures("test")
    some = slice(0, None, max(1, len(test) // 96))
    x, y = diffusion.to_signed(test.x[some]), y[some]
    found = recipes_diffusion.mean_loss(model, x, y, passes=2)
    stated = training.weights_card(name)["results"]["test_loss"]
    assert found == pytest.approx(stated, rel=0.2)  # a sample of the pictures, of times and noise
    for wrong in (1 - test.x[some], test.x[some].roll(5, 3)):
        other = recipes_diffusion.mean_loss(model, diffusion.to_signed(wrong), y, passes=2)
        assert other > 1.05 * found  # ink for paper, or out of place: not what it learnt


def test_samples_have_their_ink_where_icons_have_it_and_are_as_sharp():
    model = training.load_weights(recipes_diffusion.icons(), "diffusion_icons")
    real, few = (
        data.icons("test").x,
        data.icons("train").x[::87],
    )  # of so few, even real ones differ
    made = recipes_diffusion.draw(model, len(few), steps=12)
    found = recipes_gan.layout_distance(made, real)
    assert found < 3 * recipes_gan.layout_distance(few, real)
    for wrong in (
        made.roll(4, 3),
        made.flip(2).roll(3, 2),
        0.8 * made,
        noise(*made.shape).sigmoid(),
    ):
        assert recipes_gan.layout_distance(wrong, real) > 1.1 * found
    assert abs(recipes_gan.grey_share(made) - recipes_gan.grey_share(real)) < 0.04
    blurred = nn.functional.avg_pool2d(made, 3, 1, 1)
    assert recipes_gan.grey_share(blurred) > 2 * recipes_gan.grey_share(real)


def test_the_model_obeys_the_style():
    """Filled icons have more ink than outlined ones, and guidance makes the difference larger."""
    model = training.load_weights(recipes_diffusion.icons(), "diffusion_icons")
    y, start = torch.arange(2).repeat_interleave(24), noise(24, 1, 32, 32).repeat(2, 1, 1, 1)
    ink = {}
    for guidance in (0.0, 1.0, 2.0):
        x = diffusion_samplers.dpm2(model, start, y=y, guidance=guidance, steps=8, clip=True)
        filled, outlined = diffusion.to_unit(x).flatten(1).mean(1).chunk(2)
        ink[guidance] = float((filled - outlined).mean())
    assert ink[0.0] == pytest.approx(0, abs=1e-4)  # no class is heard
    assert ink[1.0] > 0.1 and ink[2.0] > ink[1.0] + 0.02
