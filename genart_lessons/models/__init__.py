"""The networks, their losses and their samplers: one module a family of models.

``models.flow``: maps of noise with an exact density, and ``models.shapes``: pictures and mixtures
as densities on the plane (chapter 01). ``models.autoencoder``: codes, principal components and
denoisers; ``models.filters``: denoisers that learn nothing; ``models.codecs``: rate and distortion
beside JPEG and PNG (chapter 02). ``models.vae``: variational autoencoders (chapter 03).
``models.gan``: adversarial networks, and ``models.plane``: small ones on the plane, where their
modes can be counted; ``models.games``: two players with one number each; ``models.frechet``: a
distance between sets of pictures (chapter 04).
``models.sequences``: counting, an MLP and a recurrent network that predict the next character;
``models.likelihood``: what any of them is worth on unseen text, in bits; ``models.sampling``: how a
text is drawn from one; ``models.copying``: passages that a text shares with others;
``models.pixels``: digits as sequences of pixels (chapter 05). ``models.transformer``: attention and
the GPT, ``models.heads``: what its heads look for; ``models.harmony``: an encoder and a decoder for
four voices, and ``models.voices``: the rules that can be counted in them (chapter 06).
``models.diffusion``: schedules, the forward process, the denoiser, its loss and its bound;
``models.diffusion_samplers``: the ways back from noise; ``models.noised_mixture``: a distribution
whose score is known at every t; ``models.two_sample``: can two sets of points be told apart;
``models.unet``: the network for pictures (chapter 07). ``models.perceptual``: the network through
which pictures are compared; ``models.style``: style transfer, and ``models.stylist``: a network
that does it in one pass (chapter 08).
``models.baseline``, ``models.baseline_gpt`` and ``models.baseline_diffusion``: the plain examples
that ``bench`` measures ours against; ``models.gan_digits``: ours, where chapter 03's is not.
"""

import importlib

_FAMILIES = (
    "autoencoder", "baseline", "baseline_diffusion", "baseline_gpt", "codecs", "copying",
    "diffusion", "diffusion_samplers", "filters", "flow", "frechet", "games", "gan", "gan_digits",
    "harmony", "heads", "likelihood", "noised_mixture", "perceptual", "pixels", "plane", "sampling",
    "sequences", "shapes", "style", "stylist", "transformer", "two_sample", "unet", "vae", "voices",
)  # fmt: skip


def __getattr__(name: str):
    if name in _FAMILIES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(_FAMILIES)}"
    )


def __dir__() -> list[str]:
    return sorted(_FAMILIES)
