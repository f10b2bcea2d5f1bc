"""explore: sliders that move a picture, which stays as a still picture when the kernel is gone.

The sliders are ipywidgets; the picture is an ordinary output of the cell (image/png) that is
redrawn in place. A saved notebook therefore shows it anywhere, and a live one has exactly one.
"""

from genart_lessons.explore.attention import attention
from genart_lessons.explore.autoencoder import autoencoder
from genart_lessons.explore.base import Explorer, slider
from genart_lessons.explore.derivation import derivation
from genart_lessons.explore.diffusion import forward, reverse
from genart_lessons.explore.game import choice, game
from genart_lessons.explore.gaussians import bound, two_gaussians
from genart_lessons.explore.generator import generator
from genart_lessons.explore.latent import latent
from genart_lessons.explore.maps import divergences, maps
from genart_lessons.explore.next_symbol import next_symbol
from genart_lessons.explore.style import style, upload

__all__ = [
    "Explorer", "attention", "autoencoder", "bound", "choice", "derivation", "divergences",
    "forward", "game", "generator", "latent", "maps", "next_symbol", "reverse", "slider", "style",
    "two_gaussians", "upload",
]  # fmt: skip
