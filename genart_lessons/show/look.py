"""One palette, one style, and the Picture that every function of this room returns."""

import base64
import io
import sys
from pathlib import Path

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from genart_lessons.runtime import atomic_write

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color/: told apart with every kind of colour vision.
# Ordered so that the first ones also stand out on white; yellow, the faintest there, comes last.
PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#F0E442",
)  # fmt: skip
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
# The paper is opaque, so that ink on it is as legible on a dark theme as on a light one.
INK, MUTED, PAPER = "#1b1b1b", "#5c5c5c", "#ffffff"
DPI, WIDTH = 100, 900  # pixels: no figure is wider than 9 inches


def style() -> None:
    """Apply the course's quiet matplotlib style (done once, when ``show`` is imported)."""
    matplotlib.rcParams.update({
        "figure.dpi": DPI, "figure.figsize": (7, 3.6), "savefig.dpi": DPI,
        "figure.facecolor": PAPER, "axes.facecolor": PAPER, "savefig.facecolor": PAPER,
        "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 10,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED,
        "xtick.color": MUTED, "ytick.color": MUTED, "axes.titlecolor": INK,
        "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlesize": 12,
        "axes.titlepad": 10, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.8, "axes.axisbelow": True,
        "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=LINES),
        "figure.constrained_layout.w_pad": 0.1, "figure.constrained_layout.h_pad": 0.1,
        "lines.linewidth": 2, "legend.frameon": False, "image.interpolation": "nearest",
    })  # fmt: skip


def demand(function: str, **texts) -> None:
    """Raise ValueError for the first text that is empty: a picture must say what it shows."""
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"show.{function}: {name} is empty. Every picture says what it shows: "
                f"give {name}='…' in a few words."
            )


HEAVY = 60_000  # bytes: a larger picture is shown with 256 colours, or notebooks grow to megabytes


class Picture(Figure):
    """A matplotlib Figure with a title and alt text that shows itself once in a notebook.

    It is outside pyplot: ``.axes`` are there to draw more on, ``.save("works/name.png")`` keeps it.
    """

    def __init__(self, title: str, alt: str | None, width: float, height: float, **figure):
        super().__init__(figsize=(width / DPI, height / DPI), dpi=DPI, **figure)
        self.title, self.alt = title, alt or title
        _register()

    def png(self, colours: int | None = None) -> bytes:
        """The picture as PNG bytes; ``colours`` (256, say) makes it smaller and hardly worse."""
        memory = io.BytesIO()
        image = self.image()
        image = image.quantize(colours, dither=Image.Dither.NONE) if colours else image
        image.save(memory, "png", optimize=True)
        return memory.getvalue()

    def image(self) -> Image.Image:
        """The picture as a Pillow image (RGB: a third smaller in a notebook than with alpha)."""
        canvas = FigureCanvasAgg(self)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])

    def save(self, path) -> Path:
        """Write the picture to a PNG file and return its path."""
        path = Path(path)
        atomic_write(path, self.png())
        return path

    def __repr__(self) -> str:
        return f"[picture] {self.alt}"

    def _light(self) -> bytes:
        png = self.png()
        return png if len(png) < HEAVY else self.png(colours=256)

    def _metadata(self) -> dict:
        width, height = (round(side * DPI) for side in self.get_size_inches())
        return {"alt": self.alt, "width": width, "height": height}

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = {"image/png": base64.b64encode(self._light()).decode(), "text/plain": repr(self)}
        return data, {"image/png": self._metadata()}


def _register() -> None:
    """Keep matplotlib's inline backend from drawing a Picture its own way (cropped, no alt)."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and (png := shell.display_formatter.formatters.get("image/png")):
        png.for_type(Picture, lambda picture: (picture._light(), picture._metadata()))
