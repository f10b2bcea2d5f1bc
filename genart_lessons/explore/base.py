"""The Explorer: controls, one picture, one line of text, and the rules for redrawing."""

import base64
import io
import textwrap
import threading
import uuid
from collections.abc import Callable, Mapping

import ipywidgets as widgets
import numpy as np
from IPython.display import display, update_display
from matplotlib.figure import Figure
from PIL import Image

from genart_lessons.show.look import INK, Picture, demand
from genart_lessons.show.pictures import MARGIN, canvas, place, spread

LABEL = {"description_width": "130px"}


def slider(label: str, value: float, low: float, high: float, step: float = 0.1):
    """A labelled slider that the arrow keys move by ``step``."""
    if not low <= value <= high:
        raise ValueError(f"The slider {label!r} starts at {value}, outside {low} to {high}.")
    return widgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=label, style=LABEL,
        layout={"width": "440px"}, readout_format=".2f",
        tooltip=f"{label}, from {low:g} to {high:g}; the arrow keys move it",
    )  # fmt: skip


class Explorer:
    """Controls that redraw one picture.

    controls: {name: widget}; their values are the keyword arguments of ``draw``.
    draw(**values) → a Picture, a matplotlib Figure or a Pillow image, or (picture, line of text).
    seed: a whole number adds the argument ``seed``, its field and a button for the next one.

    The first drawing happens here, so that a mistake in ``draw`` is an ordinary traceback; later
    ones, moved by a slider, show the mistake as a sentence in the picture's place.
    Without a front end: ``.set(mu=1)`` moves, ``.values``, ``.picture``, ``.caption`` and
    ``.error`` tell, ``.still`` is the picture as PNG bytes.
    """

    def __init__(self, controls: Mapping[str, widgets.Widget], draw: Callable, *, title: str,
                 alt: str | None = None, seed: int | None = None):  # fmt: skip
        demand("Explorer (explore)", title=title)
        self.controls, self.draw, self.title, self.alt = dict(controls), draw, title, alt
        if seed is not None:
            self.controls["seed"] = widgets.BoundedIntText(
                value=seed, min=0, max=2**31 - 1, description="seed", style=LABEL,
                layout={"width": "230px"})  # fmt: skip
        if not self.controls:
            raise ValueError("An Explorer needs at least one control.")
        self.error: str | None = None
        self.redraws = 0
        self._start = self.values
        self._picture_id, self._caption_id = uuid.uuid4().hex, uuid.uuid4().hex
        self._lock, self._stale = threading.Lock(), False
        self._shown, self._held = False, False
        self._redraw()
        self.panel = widgets.VBox(self._rows())
        for control in self.controls.values():
            control.observe(lambda change: self._changed(), "value")

    @property
    def values(self) -> dict:
        """The present values of the controls, by name."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def still(self) -> bytes:
        """The present picture as PNG bytes."""
        return base64.b64decode(self._bundle()[0]["image/png"])

    def set(self, **values) -> None:
        """Move several controls and redraw once. Raises ValueError for an unknown name."""
        if unknown := set(values) - set(self.controls):
            raise ValueError(f"No control {sorted(unknown)}; there are {', '.join(self.controls)}.")
        self._held = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._held = False
            self._changed()

    def _changed(self) -> None:
        """Redraw with the newest values: changes that come while drawing only ask for one more."""
        self._stale = True
        # Jupyter may call from several threads; whoever holds the lock draws for everybody.
        while not self._held and self._stale and self._lock.acquire(blocking=False):
            try:
                self._stale = False
                try:
                    self._redraw()
                except Exception as error:  # shown to the reader, in the picture's place
                    self._fail(error)
                if self._shown:
                    self._update()
            finally:
                self._lock.release()

    def _redraw(self) -> None:
        drawn = self.draw(**self.values)
        picture, caption = drawn if isinstance(drawn, tuple) else (drawn, "")
        if not isinstance(picture, (Figure, Image.Image)):
            raise TypeError(
                "draw must return a Picture, a matplotlib Figure or a Pillow image, alone or "
                f"with a line of text; this one returned {type(picture).__name__}."
            )
        if isinstance(picture, Image.Image):
            picture = self._framed(np.asarray(picture.convert("RGB")))
        self.picture, self.caption, self.error = picture, str(caption), None
        self.redraws += 1

    def _framed(self, pixels) -> Picture:
        """A Pillow image, pixel by pixel, under the explorer's title."""
        h, w = pixels.shape[:2]
        _, ax, sheet = canvas(max(w, 400) + 2 * MARGIN, h + 32 + 2 * MARGIN, self.title, self.alt)
        ax.text(MARGIN, MARGIN - 2, self.title, size=12, weight="bold", va="top", color=INK)
        place(sheet, pixels, MARGIN, MARGIN + 32, w, h)
        return spread(ax, sheet)

    def _fail(self, error: Exception) -> None:
        reason = " ".join(str(error).split()) or "no reason given"
        told = ", ".join(f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}"
                         for k, v in self.values.items())  # fmt: skip
        self.error = f"No picture for {told}: {type(error).__name__}: {reason[:300]}"
        lines = textwrap.wrap(self.error, 62)
        self.picture, ax, _ = canvas(560, 60 + 20 * len(lines), self.title, self.error)
        ax.text(20, 20, "\n".join(lines), va="top", size=10.5, color=INK, linespacing=1.4)
        self.caption = self.error

    def _bundle(self) -> tuple[dict, dict]:
        """The picture's mime bundle and its metadata (size: the page does not jump; alt text)."""
        if isinstance(self.picture, Picture):
            data, metadata = self.picture._repr_mimebundle_()
        else:
            memory = io.BytesIO()
            self.picture.savefig(memory, format="png")
            data = {"image/png": base64.b64encode(memory.getvalue()).decode()}
            width, height = Image.open(memory).size
            metadata = {"image/png": {"alt": "", "width": width, "height": height}}
        alt = self.error or self.alt or metadata["image/png"]["alt"] or self.title
        metadata["image/png"]["alt"] = alt
        return {**data, "text/plain": f"[picture] {alt}"}, metadata

    def _update(self) -> None:
        data, metadata = self._bundle()
        update_display(data, raw=True, metadata=metadata, display_id=self._picture_id)
        update_display(self._line(), raw=True, display_id=self._caption_id)

    def _line(self) -> dict:
        return {"text/markdown": self.caption, "text/plain": self.caption}

    def _ipython_display_(self) -> None:
        """Show controls, picture and text as three outputs; only the controls need a kernel."""
        names = ", ".join(c.description for c in self.controls.values())
        plain = f"Run this cell to move: {names}."
        display({**self.panel._repr_mimebundle_(), "text/plain": plain}, raw=True)
        data, metadata = self._bundle()
        display(data, raw=True, metadata=metadata, display_id=self._picture_id)
        display(self._line(), raw=True, display_id=self._caption_id)
        self._shown = True

    def _rows(self) -> list:
        reset = widgets.Button(description="Reset", icon="undo", tooltip="Back to the start")
        reset.on_click(lambda _: self.set(**self._start))
        if "seed" not in self.controls:
            return [*self.controls.values(), reset]
        *sliders, seed = self.controls.values()
        another = widgets.Button(description="Another seed", icon="random",
                                 tooltip="The next seed; the field takes any number")  # fmt: skip
        another.on_click(lambda _: self.set(seed=seed.value + 1))
        return [*sliders, widgets.HBox([seed, another, reset])]
