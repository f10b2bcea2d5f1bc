"""show: figures, galleries, music, source code and picture sheets, all in one quiet style.

Every picture function takes a ``title`` (and axis labels where there are axes) and returns a
:class:`Picture`, a matplotlib ``Figure`` that Jupyter shows once: as the last line of a cell, or
in the middle of one through ``display(...)``. It never goes through pyplot, so nothing is shown
twice and nothing is left open. ``alt=`` sets the sentence for those who cannot see the picture.

Pictures come in as tensors (N, C, H, W) with values in [0, 1] and C = 1 or 3, or as a list of
(C, H, W) tensors or Pillow images.
"""

from genart_lessons.show.attention import attention, attention_heads
from genart_lessons.show.diffusion import clouds, stream
from genart_lessons.show.fields import field, game_on_a_line, samples
from genart_lessons.show.look import INK, MUTED, PALETTE, PAPER, Picture, style
from genart_lessons.show.maps import hues, mesh, noise_print, pushed, travel
from genart_lessons.show.music import Player, draw_roll, pitch_name, player, roll, rolls
from genart_lessons.show.pictures import as_pictures, film, gallery, pairs, rows, walk
from genart_lessons.show.plots import bars, curves, density, heat, scatter
from genart_lessons.show.sheet import NoProvenance, Provenance, provenance, save_sheet
from genart_lessons.show.source import source
from genart_lessons.show.tune_files import save_tune, tune_provenance

__all__ = [
    "INK", "MUTED", "PALETTE", "PAPER", "NoProvenance", "Picture", "Player", "Provenance",
    "as_pictures", "attention", "attention_heads", "bars", "clouds", "curves", "density",
    "draw_roll", "field", "film", "gallery",
    "game_on_a_line", "heat", "hues", "mesh", "noise_print", "pairs", "pitch_name", "player",
    "provenance", "pushed", "roll", "rolls",
    "rows", "samples", "save_sheet", "save_tune", "scatter", "source", "stream", "style",
    "travel", "tune_provenance", "walk",
]  # fmt: skip

style()
