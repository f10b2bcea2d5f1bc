"""The autoencoder's explorer, moved by hand."""

import io

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from genart_lessons import explore
from genart_lessons.models import autoencoder

pytestmark = pytest.mark.usefixtures("one_thread")
X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Halves(autoencoder.Autoencoder):
    """E(x) is the left half of the picture; D puts it on both sides."""

    def __init__(self):
        super().__init__((1, 8, 8), 32, torch.nn.Identity(), torch.nn.Identity())
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def encode(self, x):
        return x[..., :4].flatten(1)

    def decode(self, z):
        half = z.view(-1, 1, 8, 4)
        return torch.cat([half, half], dim=3)


class Knows(torch.nn.Module):
    """A denoiser that has seen the picture, and notes what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, y, sigma):
        self.told.append((y, sigma))
        return X[2:3] + 0.05


def tiles(box):
    """The pictures as drawn, (n, 8, 8) from 0 to 255, one pixel of each 20×20 square."""
    sheet = np.asarray(Image.open(io.BytesIO(box.still)).convert("L"))
    places = [12 + i * (160 + 14) for i in range(4)]
    return [sheet[40 : 40 + 160, x : x + 160][10::20, 10::20].astype(int) for x in places]


def as_drawn(x):
    return (255 * x.clamp(0, 1)[0, 0]).round().numpy().astype(int)


def test_it_shows_the_picture_the_noise_the_way_there_and_back_and_the_denoiser():
    model, knows = Halves(), Knows()
    box = explore.autoencoder(model, X, denoiser=knows, which=2, sigma=0.3, seed=5)
    assert box.error is None
    eps = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    y = autoencoder.noisy(X[2:3], eps, 0.3)
    wanted = [X[2:3], y, model(y), X[2:3] + 0.05]
    for shown, picture in zip(tiles(box), wanted, strict=True):
        assert np.abs(shown - as_drawn(picture)).max() <= 1
    assert torch.equal(knows.told[-1][0], y) and knows.told[-1][1] == 0.3  # not cut off
    for name, picture in (
        ("y = x + 0.30·ε", y),
        ("D(E(y))", model(y)),
        ("denoiser of y", wanted[3]),
    ):
        dB = float(autoencoder.psnr(X[2:3], picture.clamp(0, 1)))
        assert f"{name}: {dB:.1f} dB" in box.caption and box.caption[:-1] in box.picture.alt


def test_every_control_moves_it():
    box = explore.autoencoder(Halves(), X, sigma=0.2, n_sliders=3)
    assert set(box.values) == {"which", "sigma", "s1", "s2", "s3", "seed"}
    stills = {box.still}
    for move in ({"which": 4}, {"sigma": 0.5}, {"s1": 1.5}, {"s3": -2.0}, {"seed": 9}):
        box.set(**move)
        assert box.error is None
        stills.add(box.still)
    assert len(stills) == 6
    assert "D(E(y)), moved" in box.caption
    box.set(sigma=0.0, s1=0.0, s3=0.0)
    assert "y = x + 0.00·ε: the original" in box.caption and "moved" not in box.caption


def test_a_slider_goes_along_the_codes_own_direction_by_standard_deviations():
    model = Halves()
    codes = model.encode(X)
    box = explore.autoencoder(model, X, which=1, codes=codes, n_sliders=2)
    before = tiles(box)[2].astype(float) / 255
    box.set(s1=2.0)
    after = tiles(box)[2].astype(float) / 255
    _, s, v = torch.linalg.svd(codes - codes.mean(0), full_matrices=False)
    step = 2 * s[0] / (len(X) - 1) ** 0.5 * v[0] * v[0, v[0].abs().argmax()].sign()
    wanted = model.decode((codes[1] + step)[None])[0, 0].clamp(0, 1).numpy()
    assert np.abs(after - wanted).max() < 0.005 and np.abs(before - wanted).max() > 0.05
    share = float(s[0] ** 2 / (s**2).sum())
    assert f"direction 1 ({share:.0%})" in [c.description for c in box.controls.values()]


def test_without_noise_the_denoiser_is_not_asked_and_without_one_there_are_three_pictures():
    knows = Knows()
    box = explore.autoencoder(Halves(), X, denoiser=knows, which=2, sigma=0.0)
    assert knows.told == [] and "denoiser of y: the original" in box.caption
    three = explore.autoencoder(Halves(), X, sigma=0.3)
    assert "denoiser" not in three.caption and (tiles(three)[3] == 255).all()
    one = explore.autoencoder(Halves(), X[:1], codes=Halves().encode(X))
    assert "which" not in one.values


@pytest.mark.parametrize("model", [autoencoder.Conv(8), autoencoder.Dense((3, 8, 8), 2)])
def test_real_models_and_colours_fit_and_every_word_is_inside(model):
    x = torch.rand(3, *model.shape)
    denoiser = autoencoder.Denoiser(model.shape[0], 16, 1)
    box = explore.autoencoder(model, x, denoiser=denoiser, sigma=0.2, invert=True)
    image = Image.open(io.BytesIO(box.still))
    assert 400 <= image.width <= 900 and len(box.still) < 120_000
    box.picture.image()
    edge = box.picture.bbox
    for text in box.picture.findobj(lambda a: isinstance(a, Text) and a.get_visible()):
        if text.get_text().strip():
            where = text.get_window_extent()
            assert edge.x0 - 1 <= where.x0 and where.x1 <= edge.x1 + 1, text.get_text()
            assert edge.y0 - 1 <= where.y0 and where.y1 <= edge.y1 + 1, text.get_text()


@pytest.mark.parametrize(
    ("pictures", "options", "said"),
    [
        (X[0], {}, r"\(N, C, H, W\)"),
        (2 * X, {}, r"\[0, 1\]"),
        (X[:1], {}, "at least two pictures"),
        (X, {"codes": torch.rand(9, 5)}, "have 5 numbers, the model's 32"),
        (X, {"codes": torch.full((9, 32), float("nan"))}, "at least two pictures"),
        (X, {"sigma": 3.0}, "outside 0.0 to 0.8"),
        (X, {"which": 6}, "outside 0 to 5"),
        (X, {"title": " "}, "title"),
    ],
)
def test_it_says_what_is_wrong(pictures, options, said):
    with pytest.raises(ValueError, match=said):
        explore.autoencoder(Halves(), pictures, **options)
