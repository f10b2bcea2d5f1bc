"""The bench of derivations with a face: lines to edit, each link checked as soon as it changes."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.display import display, update_display

from genart_lessons.derivation import Derivation, Line, Report, WorldError
from genart_lessons.derivation.chain import MOST_LINES
from genart_lessons.show.look import demand

RELATIONS = ("=", "≤", "≥", "∝ x", "≈ h")
WIDE = {"width": "98%"}


class Bench:
    """A derivation whose lines can be edited; below it the report, which stays as it is printed.

    ``.derivation`` and ``.report`` are the present ones. Without a front end: ``.set(3, formula)``
    edits a line, ``.add()`` and ``.remove()`` the last one, ``.world`` is the text of the world.
    ``.said`` is what was said last: of a world that cannot be read, or where a file was saved.
    """

    def __init__(self, derivation: Derivation, path: str | Path = "works/derivation.json"):
        demand("derivation (explore)", title=derivation.title or "A derivation")
        self.derivation, self.path = derivation, Path(path)
        self.report: Report = derivation.check()
        self.said, self._shown, self._quiet = "", False, False
        self._report_id = uuid.uuid4().hex
        self._message = widgets.HTML()
        self._world = widgets.Textarea(
            value=derivation.world, description="world", layout={"width": "98%", "height": "110px"},
            continuous_update=False,
        )  # fmt: skip
        self._world.observe(lambda change: self._rebuilt(), "value")
        self._lines = widgets.VBox()
        self._show_lines()
        self.panel = widgets.VBox([self._world, self._lines, self._buttons(), self._message])

    @property
    def world(self) -> str:
        return self.derivation.world

    @world.setter
    def world(self, text: str) -> None:
        self._world.value = text

    def set(self, number: int, formula: str | None = None, *, relation: str | None = None,
            reason: str | None = None) -> Report:  # fmt: skip
        """Edit line ``number``, from 1, and look at its links again."""
        self._use(self.derivation.edited(number, formula, relation=relation, reason=reason))
        self._show_lines()
        return self.report

    def add(self) -> None:
        """One more line, at first the same as the last."""
        lines = self.derivation.lines
        if len(lines) < MOST_LINES:
            more = Line(lines[-1].formula, "=", "") if lines else Line("0")
            self._use(Derivation(self.world, (*lines, more), self.derivation.title))
            self._show_lines()

    def remove(self) -> None:
        """Drop the last line; the first one stays."""
        if len(self.derivation.lines) > 1:
            lines = self.derivation.lines[:-1]
            self._use(Derivation(self.world, lines, self.derivation.title))
            self._show_lines()

    def save(self) -> Path:
        """Write the derivation to ``path``, beside it as LaTeX and as Markdown."""
        where = self.derivation.save(self.path)
        where.with_suffix(".tex").write_text(self.derivation.to_latex(), "utf-8")
        where.with_suffix(".md").write_text(self.derivation.to_markdown(), "utf-8")
        self._say(f"saved as {where.name}, .tex and .md in {where.parent.name or '.'}")
        return where

    # -- the face --------------------------------------------------------------------------------
    def _show_lines(self) -> None:
        rows = [self._row(k, line) for k, line in enumerate(self.derivation.lines)]
        self._lines.children = tuple(rows)

    def _row(self, k: int, line: Line) -> widgets.HBox:
        known = dict.fromkeys((*RELATIONS, line.relation)) if k else {"": None}
        relation = widgets.Dropdown(options=list(known), value=line.relation if k else "",
                                    layout={"width": "70px"}, disabled=k == 0)  # fmt: skip
        formula = widgets.Text(value=line.formula, continuous_update=False, layout={"width": "62%"},
                               tooltip=f"line {k + 1}, in LaTeX; Enter checks it")  # fmt: skip
        reason = widgets.Text(value=line.reason, continuous_update=False, layout={"width": "24%"},
                              placeholder="reason", disabled=k == 0)  # fmt: skip
        number = widgets.Label(f"{k + 1}")

        def changed(_: Any) -> None:
            if not self._quiet:
                edited = self.derivation.edited(
                    k + 1, formula.value.strip(), relation=relation.value, reason=reason.value
                )
                self._use(edited)

        for control in (relation, formula, reason):
            control.observe(changed, "value")
        return widgets.HBox([number, relation, formula, reason], layout=WIDE)

    def _buttons(self) -> widgets.HBox:
        made = []
        for words, what in (("One line more", self.add), ("One line less", self.remove),
                            ("Save", self.save)):  # fmt: skip
            button = widgets.Button(description=words)
            button.on_click(lambda _, act=what: act())
            made.append(button)
        return widgets.HBox(made)

    def _rebuilt(self) -> None:
        """The world was edited: all links are checked again, or what cannot be read is told."""
        try:
            self._use(Derivation(self._world.value, self.derivation.lines, self.derivation.title))
            self._say("")
        except (WorldError, ValueError) as error:
            self._say(str(error))

    def _use(self, derivation: Derivation) -> None:
        self.derivation, self.report = derivation, derivation.check()
        if self._shown:
            update_display(self._bundle(), raw=True, display_id=self._report_id)

    def _say(self, words: str) -> None:
        from html import escape

        self.said = words
        self._message.value = escape(words)

    def _bundle(self) -> dict:
        return {"text/markdown": self.report._repr_markdown_(), "text/plain": repr(self.report)}

    def _ipython_display_(self) -> None:
        """Controls, and the report as an output of its own, which needs no kernel."""
        plain = "Run this cell to edit the lines of the derivation."
        display({**self.panel._repr_mimebundle_(), "text/plain": plain}, raw=True)
        display(self._bundle(), raw=True, display_id=self._report_id)
        self._shown = True


def derivation(chain: Derivation, path: str | Path = "works/derivation.json") -> Bench:
    """A bench for ``chain``: edit a line, and its links are looked at again.

    path: where *Save* writes (JSON, LaTeX and Markdown side by side). Bad worlds and lines are
    told in words, below the lines or in the report.
    """
    return Bench(chain, path)
