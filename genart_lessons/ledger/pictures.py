"""Experiments on pictures: codes, noise, style (chapters 02, 03 and 08)."""

from __future__ import annotations

import torch
from torch import Tensor

from genart_lessons import data, training
from genart_lessons.ledger.evidence import Seen
from genart_lessons.models import autoencoder, filters, perceptual, style, vae
from genart_lessons.training import recipes_autoencoder


def what_does_not_come_back() -> Seen:
    """D3: of all 512 pictures of 3×3 bits, how many come back through a code of fewer bits."""
    every = torch.cartesian_prod(*[torch.tensor([0, 1])] * 9)

    def kept(code: Tensor) -> int:  # the best decoder knows one picture of each code
        return len(code.unique())

    weights = 2 ** torch.arange(9)
    few, all_bits = kept((every[:, :4] * weights[:4]).sum(1)), kept((every * weights).sum(1))
    return Seen(
        few == 16,
        f"a code of 4 bits brings {few} of {len(every)} pictures back, whatever the decoder",
        all_bits == 512,
        f"one of 9 bits brings back {all_bits}: nothing is squeezed, nothing is lost",
        f"{len(every) - few} of {len(every)} pictures differ from D(E(x))",
    )


def _printed(x: Tensor, w: tuple[Tensor, Tensor], b: Tensor) -> Tensor:
    """σ(W₂ σ(W₁x + b)), D4 and D5 as printed, of pictures x (B, d)."""
    return torch.sigmoid(torch.sigmoid(x @ w[0].T + b) @ w[1].T)


def _weights(d: int, size: float, seed: int = 0) -> tuple[tuple[Tensor, Tensor], Tensor]:
    g = torch.Generator().manual_seed(seed)
    w = [size * torch.randn(d, d, generator=g) / d**0.5 for _ in range(2)]
    return (w[0], w[1]), torch.randn(d, generator=g)


def no_style_in_the_printed_style() -> Seen:
    """D4: is there any way from the style picture to the printed output, or to a style loss?"""
    content = data.photo("chelsea", 16)[None]
    look = data.photo("brick", 16).expand(3, -1, -1)[None].clone().requires_grad_()
    weights, bias = _weights(content.numel(), 2.0)
    output = _printed(content.flatten(1), weights, bias.requires_grad_())
    (way,) = torch.autograd.grad(output.sum(), look, allow_unused=True)
    loss = style.style_loss(style.gram(content), style.gram(look))
    (other,) = torch.autograd.grad(loss, look, allow_unused=True)
    return Seen(
        way is None,
        "autograd finds no way from the style picture to the printed output: it has no derivative "
        "by it, and bricks or petals give the same picture",
        other is not None and float(other.abs().max()) > 1e-6,
        "to a loss of Gram matrices it finds one",
        "change the style picture as you like, the printed x_style does not change",
    )


def one_fixed_point_for_all_photos() -> Seen:
    """D5: where the printed map is a contraction, every photo is drawn to the same picture."""
    photos = torch.stack([data.photo(n, 16).flatten() for n in ("chelsea", "coffee")])
    apart = float((photos[0] - photos[1]).norm())

    def far(size: float) -> tuple[float, float]:
        weights, bias = _weights(photos.shape[1], size)
        missed = float((photos - _printed(photos, weights, bias)).norm(dim=1).min())
        x = photos
        for _ in range(100):
            x = _printed(x, weights, bias)
        return missed, float((x[0] - x[1]).norm())

    (missed, small), (_, large) = far(1.0), far(40.0)
    return Seen(
        small < 1e-4 and missed > 1,
        f"two photos, {apart:.2f} apart, are {small:.0e} apart after 100 rounds; and neither "
        f"fulfils the equation: the nearer one misses by {missed:.2f}",
        large > 1e-2,
        f"with weights 40 times as large (no contraction) they stay {large:.2f} apart",
        f"for a photo x the distance of x and σ(W₄σ(W₃x + b₃)) is {missed:.2f}, not 0",
    )


def style_without_places() -> Seen:
    """D10: a wall of bricks, moved by a few pixels: the printed distance, and that of Gram's."""
    wall = data.photo("brick", 128).expand(3, -1, -1)[None]
    moved, other = wall.roll((16, 16), dims=(2, 3)), data.photo("gravel", 128).expand(3, -1, -1)
    eye = perceptual.Perceptual()
    seen = [eye.features(x, ["b2"])["b2"] for x in (wall, moved, other[None])]
    size = float(seen[0].square().mean())
    by_place = [float((f - seen[0]).square().mean()) / size for f in seen[1:]]
    grams = [style.gram(f) for f in seen]
    whole = float(grams[0].square().mean())
    by_gram = [float((g - grams[0]).square().mean()) / whole for g in grams[1:]]
    return Seen(
        by_place[0] > 0.5 * by_place[1] and by_place[0] > 0.1,
        f"the same bricks 16 pixels further on: printed distance {by_place[0]:.2f}, to gravel "
        f"{by_place[1]:.2f} (in units of the features' square): it sees places, not style",
        by_gram[0] < 0.1 * by_gram[1],
        f"Gram matrices: {by_gram[0]:.4f} to the moved bricks, {by_gram[1]:.4f} to gravel",
        f"one style, moved by 16 pixels, and the printed style loss is {by_place[0]:.2f}, not 0",
    )


def codes_are_smaller_than_pictures() -> Seen:
    """S10: the numbers of a picture, of its code, and of the code's units that are used."""
    model = training.load_weights(vae.EmojiVAE(), "vae_emoji")
    x = data.emoji("test").x[:256]
    with torch.no_grad():
        mu = model.encode(x)[0]
    pixels, code, used = x[0].numel(), mu.shape[1], vae.active_units(mu)
    with torch.no_grad():
        error = float((model.picture(mu) - x).square().mean() / x.var())
    none = float((x.mean(0) - x).square().mean() / x.var())
    return Seen(
        code < pixels / 50 and error < 0.5,
        f"{pixels:,} numbers a picture, {code} a code, of which {used} are used; and of what "
        f"differs between unseen emoji {1 - error:.0%} comes back",
        error < 0.6 * none,
        f"without a code (the mean picture for all) {1 - none:.0%}",
        f"a VAE that works, whose codes have {pixels // code} times fewer numbers than its data",
    )


def autoencoders_denoise() -> Seen:
    """S12: unseen icons, σ = 0.25, in decibels; beside a filter that has learnt nothing."""
    x = data.icons("test").x[::60]
    y = recipes_autoencoder.noisy_set(x, 0.25, seed=5)
    cleaner = training.load_weights(recipes_autoencoder.denoiser_icons(), "denoiser_icons")
    gain = autoencoder.psnr(x, cleaner.clean(y, 0.25)) - autoencoder.psnr(x, y.clamp(0, 1))
    flat = filters.METHODS["total variation"](y, 0.25, weight=0.7)
    theirs = float((autoencoder.psnr(x, flat) - autoencoder.psnr(x, y.clamp(0, 1))).mean())
    mean, se = float(gain.mean()), float(gain.std() / len(x) ** 0.5)
    blurred = filters.METHODS["Gaussian filter"](x, 0.25, width=2.0)
    loss = float((autoencoder.psnr(x, blurred) - autoencoder.psnr(x, y.clamp(0, 1))).mean())
    return Seen(
        mean - 2 * se > theirs,
        f"cleaning gains {mean:.1f} ± {se:.1f} dB ({len(x)} unseen icons), total variation "
        f"{theirs:.1f}",
        loss < mean - 3,
        f"blurring the clean icons instead: {loss:+.1f} dB beside the noisy ones",
    )


def autoencoders_compress_and_do_not_generate() -> Seen:
    """S12: error with 64 numbers beside PCA's; and what random codes of them look like."""
    train, test = data.icons("train").x[::4], data.icons("test").x[::4]
    model = training.load_weights(autoencoder.Conv(), "autoencoder_icons")
    axes = autoencoder.pca(train, 64)
    with torch.no_grad():
        ours = float(autoencoder.squared_error(test, model(test)).mean())
        codes = model.encode(test)
        noise = torch.randn(codes.shape, generator=torch.Generator().manual_seed(1))
        made = model.decode(noise * codes.std(0) + codes.mean(0))
    theirs = float(autoencoder.squared_error(test, axes.decode(axes.encode(test))).mean())
    nearest = [float(torch.cdist(part.flatten(1), train.flatten(1)).min(1).values.mean())
               for part in (made, test)]  # fmt: skip
    return Seen(
        ours < theirs / 2,
        f"64 numbers an icon: squared error {ours:.1f}, by PCA {theirs:.1f}",
        nearest[0] > nearest[1],
        f"pictures of random codes lie {nearest[0]:.1f} from the nearest known icon, unseen real "
        f"ones {nearest[1]:.1f}: to generate, more is needed",
    )
