"""The networks, their losses and their samplers: one module a family of models.

``models.vae``: variational autoencoders (chapter 03). ``models.gan``: adversarial networks, and
``models.plane``: small ones on the plane, where their modes can be counted; ``models.games``: two
players with one number each; ``models.frechet``: a distance between sets of pictures (chapter 04).
``models.baseline``: the plain examples that ``bench`` measures ours against; ``models.gan_digits``:
ours, where chapter 03's is not.
"""

import importlib

_FAMILIES = ("baseline", "frechet", "games", "gan", "gan_digits", "plane", "vae")


def __getattr__(name: str):
    if name in _FAMILIES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(_FAMILIES)}"
    )


def __dir__() -> list[str]:
    return sorted(_FAMILIES)
