"""The game explorer: two players, one number each, and what their steps do near the equilibrium."""

from collections.abc import Mapping

import ipywidgets as widgets
import numpy as np

from genart_lessons.explore.base import LABEL, Explorer, slider
from genart_lessons.models import games
from genart_lessons.show.fields import draw_field
from genart_lessons.show.look import INK, LINES, MUTED, PALETTE, Picture
from genart_lessons.show.plots import numbers

REACH = 2.0  # the field is drawn from −2 to 2
EVEN = 0.02  # a turn that changes the distance by less than 2 % is called a circle
LABELS = {"bilinear": "bilinear, V = θψ", "dirac": "Dirac-GAN, V = f(θψ) + f(0)"}
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def choice(label: str, value, options: Mapping):
    """A drop-down list ``{text: value}``; the arrow keys move it, too."""
    if value not in options.values():
        raise ValueError(f"The choice {label!r} starts at {value!r}; there are "
                         f"{', '.join(map(repr, options.values()))}.")  # fmt: skip
    return widgets.Dropdown(options=list(options.items()), value=value, description=label,
                            style=LABEL, layout={"width": "440px"})  # fmt: skip


def game(kind: str = "bilinear", rule: str = "simultaneous", *, eta: float = 0.1,
         gamma: float = 0.0, n: int = 150, start=(1.0, 1.0),
         title: str = "Two players and one equilibrium") -> Explorer:  # fmt: skip
    """The steps of two players round (0, 0): their path, and their distance from it.

    kind: "bilinear" or "dirac"; rule: one of ``models.games.RULES``; eta: the learning rate;
    gamma: the R1 penalty, (γ/2)ψ² taken from what ψ maximises; n: the number of steps;
    start: (θ, ψ) within −2 and 2. The line below says what the path was measured to do.
    After Mescheder, Geiger & Nowozin 2018, https://arxiv.org/abs/1801.04406.
    """
    begin = numbers(start, "explore.game: start", 1)
    if begin.shape != (2,) or np.abs(begin).max() > REACH or not begin.any():
        raise ValueError(f"explore.game: start is a pair (θ, ψ) within −{REACH:g} and {REACH:g}, "
                         f"but not the equilibrium itself; not {tuple(start)}.")  # fmt: skip

    def draw(kind, rule, eta, gamma, n):
        eta = float(eta)
        path = games.steps(kind, rule, tuple(begin), eta, gamma, n)
        under = games.steps(kind, "alternating", tuple(begin), eta, gamma, n)
        story = tell(path)
        paths = {rule: path}
        if rule == "averaged":
            paths = {"mean so far": path, "each step": under}
        alt = f"{LABELS[kind]}, {rule} steps, η = {eta:g}, γ = {gamma:g}, {n} steps: {story}."
        picture = Picture(title, f"{title}: {alt}", 880, 452)
        picture.text(12 / 880, 1 - 10 / 452, title, size=12, weight="bold", va="top")
        left = picture.add_axes((62 / 880, 52 / 452, 356 / 880, 356 / 452))
        right = picture.add_axes((500 / 880, 52 / 452, 366 / 880, 356 / 452))
        draw_field(left, games.field(kind, gamma), (-REACH, REACH) * 2, paths,
                   {"equilibrium": (0, 0)})  # fmt: skip
        left.set(xlabel="θ, the generator", ylabel="ψ, the discriminator")
        left.yaxis.labelpad = 0
        _distances(right, paths)
        return picture, _line(path, story, eta, gamma, n)

    controls = {
        "kind": choice("game", kind, {text: name for name, text in LABELS.items()}),
        "rule": choice("rule of the steps", rule, {name: name for name in games.RULES}),
        "eta": slider("learning rate η", eta, 0.02, 1.0, 0.02),
        "gamma": slider("R1 penalty γ", gamma, 0.0, 1.5, 0.05),
        "n": widgets.IntSlider(
            value=n, min=10, max=500, step=10, description="steps", style=LABEL,
            layout={"width": "440px"}, tooltip="steps, from 10 to 500; the arrow keys move it",
        ),
    }  # fmt: skip
    return Explorer(controls, draw, title=title)


def tell(path: np.ndarray) -> str:
    """What a path (n + 1, 2) does, judged from its points alone."""
    turns, factor = games.turning(path)
    distance = np.hypot(*path.T)
    if np.isnan(factor):  # less than half a turn: only its two ends can be compared
        change = distance[-1] / distance[0]
        if abs(np.log(max(change, 1e-12))) < EVEN:
            return "hardly moves: as far away as before, after less than half a turn"
        way = "comes nearer" if change < 1 else "moves away"
        return f"{way} without circling: the distance changes by a factor {_say(change)} in all"
    if abs(np.log(factor)) < EVEN:
        return f"circles: {turns:.1f} turns, and no nearer"
    way, does = ("out", "grows") if factor > 1 else ("in", "shrinks")
    return f"spirals {way}: the distance {does} by a factor {_say(factor)} with every turn"


def _say(factor: float) -> str:
    """Three significant digits, and powers of ten only where they are needed: 5.35·10⁻⁷."""
    number, _, power = f"{factor:.3g}".partition("e")
    return number + (f"·10{str(int(power)).translate(RAISED)}" if power else "")


def _line(path, story: str, eta, gamma, n) -> str:
    distance = np.hypot(*path.T)
    outside = np.flatnonzero(np.abs(path).max(1) > REACH)
    left = f", out of the picture at step {outside[0]}" if len(outside) else ""
    return (f"It **{story}**. From {_say(distance[0])} to {_say(distance[-1])} in {n} steps with "
            f"η = {eta:g}, γ = {gamma:g}{left}.")  # fmt: skip


def _distances(ax, paths: Mapping) -> None:
    """Distance from the equilibrium against steps, on a scale that moves by whole decades."""
    low, high = 0.1, 10.0
    for i, (label, path) in enumerate(paths.items()):
        distance = np.hypot(*path.T)
        shown = np.maximum(distance, 1e-300)
        ax.plot(shown, color=PALETTE[i], linestyle=LINES[i], label=label)
        low = min(low, 10.0 ** np.floor(np.log10(max(shown.min(), 1e-12))))
        high = max(high, 10.0 ** np.ceil(np.log10(shown.max())))
    ax.axhline(np.hypot(*path[0]), color=MUTED, linewidth=1, linestyle=":", label="at the start")
    ax.set(yscale="log", ylim=(low, high), xlim=(0, len(path) - 1), xlabel="step",
           ylabel="distance from the equilibrium")  # fmt: skip
    ax.yaxis.label.set_color(INK)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(paths) + 1, fontsize=9,
              handlelength=2.2, columnspacing=1.2, borderaxespad=0.2)  # fmt: skip
