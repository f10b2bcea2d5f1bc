"""show: figures, galleries, source code and picture sheets, all in one quiet style.

Every picture function takes a ``title`` (and axis labels where there are axes) and returns a
:class:`Picture`, a matplotlib ``Figure`` that Jupyter shows once: as the last line of a cell, or
in the middle of one through ``display(...)``. It never goes through pyplot, so nothing is shown
twice and nothing is left open. ``alt=`` sets the sentence for those who cannot see the picture.

Pictures come in as tensors (N, C, H, W) with values in [0, 1] and C = 1 or 3, or as a list of
(C, H, W) tensors or Pillow images.
"""

from genart_lessons.show.fields import field, game_on_a_line, samples
from genart_lessons.show.look import INK, MUTED, PALETTE, PAPER, Picture, style
from genart_lessons.show.pictures import as_pictures, film, gallery, pairs, rows, walk
from genart_lessons.show.plots import bars, curves, density, heat, scatter
from genart_lessons.show.sheet import NoProvenance, Provenance, provenance, save_sheet
from genart_lessons.show.source import source

__all__ = [
    "INK", "MUTED", "PALETTE", "PAPER", "NoProvenance", "Picture", "Provenance", "as_pictures",
    "bars", "curves", "density", "field", "film", "gallery", "game_on_a_line", "heat", "pairs",
    "provenance", "rows", "samples", "save_sheet", "scatter", "source", "style", "walk",
]  # fmt: skip

style()
