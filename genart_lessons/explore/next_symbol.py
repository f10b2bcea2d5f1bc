"""The next-symbol explorer: what a language model expects, and what each rule of drawing leaves."""

import math
import textwrap

import ipywidgets as widgets
import numpy as np
import torch

from genart_lessons import data
from genart_lessons.explore.base import LABEL, Explorer, slider
from genart_lessons.models import sampling
from genart_lessons.models.likelihood import evaluating, window_start
from genart_lessons.show.look import INK, MUTED, PALETTE, Picture, demand

SHOWN, LINE, ROWS = 16, 97, 9  # bars; characters in a line of text, and lines of it at most
CELL, SIZE = 9, 10.764  # pixels: the width of a character of the text, at this size
NAMES = {"\n": "new line", " ": "space"}


def next_symbol(
    model, prompt: str, *, n: int = 200, temperature: float = 1.0, top_k: int | None = None,
    top_p: float = 1.0, seed: int = 0, characters: str = data.CHARACTERS,
    title: str = "The next character",
) -> Explorer:  # fmt: skip
    """The distribution of the next character before and after a rule of drawing, and a text drawn.

    model: any language model; prompt: what stands before, of which a slider gives the first so
    many characters; n: how many characters are drawn after it, by ``sampling.generate``, up to
    a blank line; characters: the model's alphabet, one character a symbol.
    Temperature 0 is greedy; top-k at its largest and top-p at 1 rule nothing out.
    Raises ValueError for an empty prompt, an unknown character, or an alphabet of another size.
    """
    demand("next_symbol (explore)", title=title, prompt=prompt and "given")
    if len(characters) != model.V:
        raise ValueError(f"explore.next_symbol: the model has {model.V} symbols and the alphabet "
                         f"{len(characters)}: give characters=….")  # fmt: skip
    if unknown := sorted(set(prompt) - set(characters)):
        raise ValueError(f"explore.next_symbol: the model does not know {unknown[0]!r}.")
    ids = torch.tensor([characters.index(c) for c in prompt])
    end = torch.tensor([characters.index("\n")] * 2) if "\n" in characters else None

    def draw(given, temperature, top_k, top_p, seed):
        rule = dict(temperature=float(temperature), top_k=top_k, top_p=float(top_p))
        known = ids[:given]
        logits = _logits(model, known)
        before, after = logits.softmax(0), sampling.adjusted(logits, **rule).exp()
        made = sampling.generate(model, known[None], n, stop=end, **rule,
                                 generator=torch.Generator().manual_seed(seed))[0]  # fmt: skip
        text = "".join(characters[i] for i in made.tolist())
        drawn = text[given : given + 1]
        line = _line(before, after, drawn, characters)
        told = f"τ = {temperature:.2f}, top-k {top_k}, top-p {top_p:.2f}, seed {seed}"
        picture = _draw(before, after, text, given, characters, f"{title}: {told}",
                        f"{title}, {told}: {line}")  # fmt: skip
        return picture, line

    V = model.V
    controls = {
        "given": _whole("characters given", len(prompt), 1, len(prompt)),
        "temperature": slider("temperature τ", temperature, 0.0, 2.0, 0.05),
        "top_k": _whole("top-k", V if top_k is None else top_k, 1, V),
        "top_p": slider("top-p", top_p, 0.05, 1.0, 0.05),
    }
    return Explorer(controls, draw, title=title, seed=seed)


def _whole(label: str, value: int, low: int, high: int):
    if not low <= value <= high:
        raise ValueError(f"The slider {label!r} starts at {value}, outside {low} to {high}.")
    return widgets.IntSlider(value=value, min=low, max=high, description=label, style=LABEL,
                             layout={"width": "440px"}, tooltip=f"{label}, from {low} to {high}; "
                             "the arrow keys move it")  # fmt: skip


@torch.no_grad()
def _logits(model, ids) -> torch.Tensor:
    """The logits of the symbol after ids (T,), (V,), float64."""
    with evaluating(model) as device:
        start = window_start(len(ids), model.context)
        return model(ids[None, start:].to(device))[0, -1].cpu().double()


def bits(p: torch.Tensor) -> float:
    """The entropy of a distribution (V,), in bits."""
    return abs(float(torch.special.xlogy(p, p).sum())) / math.log(2)


def _line(before, after, drawn: str, characters: str) -> str:
    likeliest = characters[int(before.argmax())]
    possible = int((after > 0).sum())
    told = (f"Expected: **{_name(likeliest)}** with probability {float(before.max()):.2f}; "
            f"entropy {bits(before):.2f} bits before the rule and {bits(after):.2f} after it, "
            f"which leaves {possible} of {len(characters)} characters")  # fmt: skip
    if not drawn:
        return told + "."
    at = characters.index(drawn)
    return told + f". Drawn: **{_name(drawn)}**, which the model gave {float(before[at]):.3f}."


def _name(character: str) -> str:
    return NAMES.get(character, character)


def _draw(before, after, text: str, given: int, characters: str, title: str, alt: str) -> Picture:
    """Bars of the likeliest characters above; below, the text: what was given, what was drawn."""
    lines = _wrapped(text, given)
    top, height = 306, 306 + 17 * ROWS + 22  # whatever is drawn, so that the page does not jump
    picture = Picture(title, alt, 900, height)
    picture.text(12 / 900, 1 - 10 / height, title, size=12, weight="bold", va="top")
    ax = picture.add_axes((56 / 900, 1 - 232 / height, 828 / 900, 190 / height))
    order = torch.argsort(before, descending=True, stable=True)[:SHOWN]
    x = np.arange(len(order))
    ax.bar(x - 0.2, before[order].numpy(), 0.38, color=MUTED, label="the model's")
    ax.bar(
        x + 0.2, after[order].numpy(), 0.38, color=PALETTE[0], label="after the rule (× ruled out)"
    )
    for i, k in enumerate(order.tolist()):
        low, high = float(before[k]), float(after[k])
        if high == 0:
            ax.text(i + 0.2, 0, "×", ha="center", va="bottom", size=9, color=PALETTE[1])
        elif max(low, high) >= 0.1:
            ax.text(i + 0.2, high, f"{high:.2f}", ha="center", va="bottom", size=8, color=INK)
    names = [_name(characters[i]).replace(" ", "\n") for i in order.tolist()]
    ax.set_xticks(x, names, family="monospace")
    for tick, i in zip(ax.get_xticklabels(), order.tolist(), strict=True):
        if characters[i] == text[given : given + 1]:
            tick.set(color=PALETTE[1], weight="bold")
            ax.annotate("drawn", (tick.get_position()[0], 0), (0, -22), ha="center", va="center",
                        textcoords="offset points", size=8, color=PALETTE[1])  # fmt: skip
    ax.set(ylabel="probability", ylim=(0, 1.12 * max(float(before.max()), float(after.max()))),
           xlim=(-0.6, len(order) - 0.4))  # fmt: skip
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper right", fontsize=9)
    picture.text(12 / 900, 1 - (top - 16) / height, "given (grey), and drawn after it (blue):",
                 size=9, color=MUTED)  # fmt: skip
    for row, (line, known) in enumerate(lines):
        y = 1 - (top + 4 + 17 * row) / height
        for part, colour, shift in ((line[:known], MUTED, 0), (line[known:], PALETTE[0], known)):
            if part:
                picture.text((12 + CELL * shift) / 900, y, part, size=SIZE, color=colour,
                             family="monospace", va="top", parse_math=False)  # fmt: skip
    return picture


def _wrapped(text: str, given: int) -> list[tuple[str, int]]:
    """The text in lines, ``ROWS`` at most, each with how many of its characters were given.

    Long lines are folded. Where there are too many, those around the first one that was drawn stay.
    """
    rows, place = [], 0
    for line in text.rstrip("\n").split("\n"):
        for part in textwrap.wrap(line, LINE, drop_whitespace=False) or [""]:
            rows.append((part, max(0, min(len(part), given - place))))
            place += len(part)
        place += 1
    if len(rows) <= ROWS:
        return rows
    drawn = next((i for i, (part, known) in enumerate(rows) if known < len(part)), len(rows))
    first = max(0, min(drawn - 2, len(rows) - ROWS + 1))
    rows = ([("…", 1)] if first else []) + rows[first:]
    return rows if len(rows) <= ROWS else [*rows[: ROWS - 1], ("…", 0)]
