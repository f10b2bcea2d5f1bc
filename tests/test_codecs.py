"""Rates that are really written out, distortions that are really read back; and unfair ones."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from genart_lessons import data, training
from genart_lessons.models import autoencoder, codecs
from genart_lessons.training import recipes_autoencoder

pytestmark = pytest.mark.usefixtures("one_thread")


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


@pytest.fixture(scope="module")
def icons():
    return codecs.rounded(data.icons("test").x[:100])


# -- the sheet -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 9, 100])
def test_a_sheet_holds_every_picture_whole(n):
    x = codecs.rounded(torch.rand(n, 1, 8, 16, generator=chance()))
    pixels = codecs.sheet(x)
    assert pixels.dtype == np.uint8 and abs(pixels.shape[0] / 8 - pixels.shape[1] / 16) <= 1
    torch.testing.assert_close(codecs.unsheet(pixels, x), x, atol=1e-6, rtol=0)
    across = pixels.shape[1] // 16
    corner = pixels[(n - 1) // across * 8 :, (n - 1) % across * 16 :][:8, :16]
    assert np.array_equal(corner, (255 * x[-1, 0]).round().byte().numpy())


@pytest.mark.parametrize("x", [torch.rand(3, 8, 8), torch.rand(3, 3, 8, 8), torch.rand(0, 1, 8, 8)])
def test_only_grey_pictures_are_taken(x):
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\)"):
        codecs.rate_distortion(x)


def test_pictures_beyond_zero_and_one_are_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        codecs.rounded(2 * torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match="from 0 to 1"):
        codecs.rounded(torch.full((1, 1, 8, 8), math.nan))


# -- JPEG and PNG ----------------------------------------------------------------------------------


def test_a_jpegs_row_is_what_pillow_writes_and_reads(icons):
    row = codecs.jpeg(icons, 50)
    memory, image = io.BytesIO(), Image.fromarray(codecs.sheet(icons))
    image.save(memory, "JPEG", quality=50)  # without the best tables: no smaller
    assert row.bits_per_pixel * icons.numel() <= 8 * len(memory.getvalue())
    again = np.asarray(Image.open(memory)).astype(float)
    mse = ((again - codecs.sheet(icons)) ** 2).mean() / 255**2
    assert row.psnr == pytest.approx(-10 * math.log10(mse), abs=0.02)  # 100 icons fill the sheet
    assert row.entropy is None and row.decoder_bits == 0
    assert 300 * 8 < row.header_bits < 700 * 8 < row.bits_per_pixel * icons.numel()


def test_the_header_is_what_an_empty_sheet_costs_and_the_pixels_are_the_rest():
    blank = torch.zeros(64, 1, 32, 32)
    for row in (codecs.jpeg(blank, 50), codecs.png(blank)):
        whole = row.bits_per_pixel * blank.numel()
        # A JPEG of one scan needs two bits for a block of 8×8: "the same grey", "nothing else".
        assert 0 < whole - row.header_bits <= 2 * blank.numel() / 64 + 16
    sheet = Image.fromarray(codecs.sheet(blank))
    several = codecs._saved(sheet, "JPEG", quality=50, progressive=True)
    assert several.count(b"\xff\xda") > 1  # scans, and all of them are counted
    assert 0 < codecs._jpeg_scans(several) < len(several)
    second = several.index(b"\xff\xda", several.index(b"\xff\xda") + 1)
    alone = codecs._jpeg_scans(several[:second] + b"\xff\xd9")
    assert 0 < alone < codecs._jpeg_scans(several)


def test_pngs_lose_nothing_or_just_what_rounding_loses(icons):
    assert codecs.png(icons).psnr == math.inf
    rates = [codecs.png(icons, greys).bits_per_pixel for greys in codecs.GREYS]
    assert rates == sorted(rates)
    for greys in (2, 4, 16):
        coarse = (icons * (greys - 1)).round() / (greys - 1)
        found = codecs.png(icons, greys).psnr
        assert found == pytest.approx(codecs.distortion(icons, coarse), abs=0.05)
    with pytest.raises(ValueError, match="2, 4, 16, 256"):
        codecs.png(icons, 8)


def test_many_icons_share_a_header_that_would_decide_for_one(icons):
    one, many = codecs.jpeg(icons[:1], 20), codecs.jpeg(icons, 20)
    assert one.header_bits / icons[:1].numel() > 1.2  # bits per pixel, for the header alone
    assert many.header_bits / icons.numel() < 0.05
    assert one.bits_per_pixel > 1.5 * many.bits_per_pixel


# -- codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [1, 127, 128, 30_000])
def test_codes_can_be_read_again(largest):
    symbols = torch.randint(-largest, largest + 1, (37, 5), generator=chance(1))
    symbols[0, 0] = largest
    packed = codecs.pack(symbols.float())
    assert torch.equal(codecs.unpack(packed), symbols)
    assert len(codecs.pack(torch.zeros(1000, 50))) < 200
    with pytest.raises(ValueError, match="16 bits"):
        codecs.pack(torch.full((2, 2), 40_000.0))


def test_both_ways_of_packing_are_read_again(monkeypatch):
    symbols = torch.randint(-9, 9, (50, 7), generator=chance(2))
    for longer in ("lzma", "zlib"):
        with monkeypatch.context() as patch:
            module = getattr(codecs, longer)
            real = module.compress
            patch.setattr(module, "compress", lambda *a, real=real, **k: real(*a, **k) + bytes(999))
            packed = codecs.pack(symbols)
        assert torch.equal(codecs.unpack(packed), symbols)


def test_the_entropy_is_scipys_and_no_compressor_of_independent_numbers_is_below_it():
    from scipy.stats import entropy

    normal = torch.randn(4000, 6, generator=chance(3))
    symbols = (normal * torch.tensor([0.1, 0.5, 1, 2, 4, 8])).round()
    found = codecs.entropy_bits(symbols)
    theirs = [len(symbols) * entropy(np.unique(c, return_counts=True)[1], base=2)
              for c in symbols.T.numpy()]  # fmt: skip
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-6)
    assert (found[1:] > found[:-1]).all()
    written = 8 * len(codecs.pack(symbols))
    assert float(found.sum()) < written < 1.35 * float(found.sum())
    # A density of width σ has log₂(σ·√(2πe)) bits, a step of 1 apart: (2.18) and (2.19).
    exact = 4000 * math.log2(8 * math.sqrt(2 * math.pi * math.e))
    assert float(found[-1]) == pytest.approx(exact, rel=0.01)


def test_principal_components_lose_a_twelfth_of_the_step_squared_and_what_is_cut_off(icons):
    basis = autoencoder.pca(data.icons("train").x[:3000], 1024)
    fine = codecs.by_pca(icons, basis, 0.1)
    mse = 10 ** (-fine.psnr / 10)
    # Cutting off at 0 and 1 takes away much of it, as most pixels lie at the ends.
    assert 0.3 * 0.1**2 / 12 < mse < 0.1**2 / 12
    assert fine.decoder_bits == 16 * (1024 * 1024 + 1024)
    coarse = codecs.by_pca(icons, basis, 2.0)
    assert coarse.psnr < fine.psnr and coarse.bits_per_pixel < fine.bits_per_pixel
    assert 0 < coarse.entropy < coarse.bits_per_pixel
    symbols = (basis.encode(icons) / 2).round()
    by_hand = (basis.decode(2 * codecs.unpack(codecs.pack(symbols)).float())).clamp(0, 1)
    assert coarse.psnr == pytest.approx(codecs.distortion(icons, by_hand), abs=1e-4)


# -- the network -----------------------------------------------------------------------------------


def test_the_bits_are_those_of_the_logistic_density_blurred_by_rounding():
    from scipy.stats import logistic

    model = codecs.Compressor(k=4)
    with torch.no_grad():
        model.middle.copy_(torch.tensor([0.0, 1.0, -2.0, 0.3]))
        model.log_width.copy_(torch.tensor([0.0, 1.0, -1.0, 2.0]))
    z = 3 * torch.randn(50, 4, generator=chance(4))
    middle, width = model.middle.detach().numpy(), model.log_width.detach().exp().numpy()
    above, below = (logistic.cdf(z.numpy() + h, middle, width) for h in (0.5, -0.5))
    p = above - below
    np.testing.assert_allclose(model.bits(z).detach(), -np.log2(np.maximum(p, 1e-9)), rtol=1e-3)
    whole = torch.arange(-200, 201.0)[:, None].expand(-1, 4)
    shares = 2 ** -model.bits(whole)
    assert shares.sum(0).tolist() == pytest.approx([1.0] * 4, abs=1e-4)


def test_the_loss_weighs_bits_by_the_price_and_blurs_the_code():
    torch.manual_seed(0)
    model, x = codecs.Compressor(k=6, price=0.5), torch.rand(3, 1, 32, 32)
    u = torch.rand(3, 6, generator=chance(5))
    total, parts = autoencoder.loss(model, {"x": x, "u": u})
    z = model.encode(x) + u - 0.5
    error = autoencoder.squared_error(x, model.decode(z)).mean()
    torch.testing.assert_close(parts["error"], error)
    torch.testing.assert_close(total, error + 0.5 * model.bits(z).sum(1).mean())
    total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_shipped_network_is_nearer_at_fewer_bits_than_all_the_others():
    x, train = data.icons("test").x[::6], data.icons("train").x
    card = training.weights_card("compressor_icons")
    model = training.load_weights(codecs.Compressor(), "compressor_icons")
    rows = codecs.rate_distortion(x, train, model, qualities=(1, 10), greys=(2, 4),
                                  pca_steps=(2.0, 1.0), code_steps=(1.0, 2.0))  # fmt: skip
    assert [row.codec for row in rows] == (
        ["JPEG"] * 2 + ["PNG"] * 2 + ["PCA"] * 2 + ["autoencoder"] * 2
    )
    ours = rows[-2]
    assert ours.psnr == pytest.approx(card["results"]["psnr"], abs=0.5)
    assert ours.entropy == pytest.approx(card["results"]["entropy"], rel=0.1)
    assert ours.decoder_bits == 16 * sum(p.numel() for p in model.decoder.parameters())
    for row in rows[:2] + rows[2:3] + rows[4:6]:
        assert row.bits_per_pixel > ours.bits_per_pixel or row.psnr < ours.psnr, row
    # What is honest, too: with enough bits the others come nearer than it ever does.
    assert rows[3].psnr > max(row.psnr for row in rows[-2:])


def test_a_network_that_was_not_trained_is_no_codec(icons):
    torch.manual_seed(0)
    row = codecs.by_network(icons, codecs.Compressor(k=16), 0.1)
    assert row.psnr < 9


def test_a_few_steps_bring_error_and_bits_down():
    torch.manual_seed(0)
    x = data.icons("test").x[:256]
    model = codecs.Compressor(k=16)
    batches = recipes_autoencoder.code_batches(x, model.k, batch_size=32)
    before = model.loss(batches.at(0))[0].item()
    training.fit(model, autoencoder.loss, batches, steps=40, progress=False,
                 **recipes_autoencoder.CODES)  # fmt: skip
    assert model.loss(batches.at(0))[0].item() < 0.7 * before
