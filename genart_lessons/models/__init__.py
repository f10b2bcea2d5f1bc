"""The networks, their losses and their samplers: one module a family of models.

``models.vae``: variational autoencoders (chapter 03). ``models.gan``: adversarial networks, and
``models.plane``: small ones on the plane, where their modes can be counted; ``models.games``: two
players with one number each; ``models.frechet``: a distance between sets of pictures (chapter 04).
``models.sequences``: counting, an MLP and a recurrent network that predict the next character;
``models.likelihood``: what any of them is worth on unseen text, in bits; ``models.sampling``: how a
text is drawn from one; ``models.copying``: passages that a text shares with others;
``models.pixels``: digits as sequences of pixels (chapter 05). ``models.transformer``: attention and
the GPT, ``models.heads``: what its heads look for; ``models.harmony``: an encoder and a decoder for
four voices, and ``models.voices``: the rules that can be counted in them (chapter 06).
``models.diffusion``: schedules, the forward process, the denoiser, its loss and its bound;
``models.diffusion_samplers``: the ways back from noise; ``models.noised_mixture``: a distribution
whose score is known at every t; ``models.two_sample``: can two sets of points be told apart;
``models.unet``: the network for pictures (chapter 07).
``models.baseline``, ``models.baseline_gpt`` and ``models.baseline_diffusion``: the plain examples
that ``bench`` measures ours against; ``models.gan_digits``: ours, where chapter 03's is not.
"""

import importlib

_FAMILIES = (
    "baseline", "baseline_diffusion", "baseline_gpt", "copying", "diffusion", "diffusion_samplers",
    "frechet", "games", "gan", "gan_digits", "harmony", "heads", "likelihood", "noised_mixture",
    "pixels", "plane", "sampling", "sequences", "transformer", "two_sample", "unet", "vae",
    "voices",
)  # fmt: skip


def __getattr__(name: str):
    if name in _FAMILIES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(_FAMILIES)}"
    )


def __dir__() -> list[str]:
    return sorted(_FAMILIES)
