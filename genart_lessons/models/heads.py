"""What the heads of a GPT on tunes look for, as far as it has a name: chapter 06.

A *look* is a function of a text: a boolean (T, T), True in row t at the places that a head which
does the named thing would look at from place t. Rows that are all False do not count. A head is
scored by the attention that it gives to these places, the mean over rows; *by chance* is what it
would give if it looked everywhere alike. An untrained model of the same design is the control.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genart_lessons import data
from genart_lessons.data import abc
from genart_lessons.models import transformer

Look = Callable[[str], Tensor]


class Named(NamedTuple):
    """A head and its score: the share of its attention that goes where the name says.

    ``layer`` and ``head`` count from 1; ``chance`` is the score of looking everywhere alike.
    """

    layer: int
    head: int
    share: float
    chance: float


# -- looks -----------------------------------------------------------------------------------------


def previous(text: str) -> Tensor:
    """The character just before."""
    return torch.ones(len(text) - 1, dtype=torch.bool).diag(-1)


def last_bar_line(text: str) -> Tensor:
    """The last bar line before this place; this place itself is none."""
    return _last(text, [sign == "|" for sign in text])


def header(text: str) -> Tensor:
    """The three lines on top: metre, unit and key; for places in the music."""
    top = len(text) - len(abc.head(text)[1])
    found = torch.zeros(len(text), len(text), dtype=torch.bool)
    found[top:, :top] = True
    return found


def repeat(text: str) -> Tensor:
    """What came after the two characters that stand here, whenever they stood together before.

    A head that copies from there goes on as the tune went on before. Olsson et al. 2022, who call
    it an induction head.
    """
    found = torch.zeros(len(text), len(text), dtype=torch.bool)
    for t in range(1, len(text)):
        pair = text[t - 1 : t + 1]
        found[t, [j + 2 for j in range(t - 1) if text[j : j + 2] == pair and j + 2 <= t]] = True
    return found


def a_bar_earlier(text: str) -> Tensor:
    """The note that sounded one bar before the note that comes next: the same beat, last time."""
    bar = int(abc.bar_length(abc.head(text)[0].meter) * abc.WHOLE)
    sounding = [token for token in abc.tokens(text) if token.ticks]
    ends = torch.tensor([token.ticks for token in sounding]).cumsum(0)
    found = torch.zeros(len(text), len(text), dtype=torch.bool)
    for i, token in enumerate(sounding[1:]):
        now = int(ends[i])  # when the note after token i begins
        at = int((ends > now - bar).int().argmax())
        if now < bar or at > i:
            continue
        old = sounding[at]
        # From the last note on up to this one, its own characters included but for the last:
        # these are the places that have to say what this note will be.
        rows = slice(
            sounding[i].place + len(sounding[i].text) - 1, token.place + len(token.text) - 1
        )
        found[rows, old.place : old.place + len(old.text)] = True
    return found.tril()


def _last(text: str, is_one: list[bool]) -> Tensor:
    """For each place, the last one before it that has a property."""
    found = torch.zeros(len(text), len(text), dtype=torch.bool)
    last = None
    for t, one in enumerate(is_one):
        if last is not None and not one:
            found[t, last] = True
        last = t if one else last
    return found


LOOKS: dict[str, Look] = {
    "the character before": previous,
    "the last bar line": last_bar_line,
    "metre and key": header,
    "what followed the last time": repeat,
    "the note a bar earlier": a_bar_earlier,
}

# -- scores ----------------------------------------------------------------------------------------


def maps(model: transformer.GPT, text: str) -> Tensor:
    """The attention of all heads on a text's first T characters, (L, H, T, T); T ≤ context.

    Row t belongs to the place of character t, where the next one is predicted.
    """
    ids = data.encode(text)[None, : model.context]
    found = transformer.attention_maps(model, ids.to(next(model.parameters()).device))
    return torch.cat([each for each in found.values()]).cpu()


def scores(
    model: transformer.GPT, texts: Sequence[str], looks: Mapping[str, Look] = LOOKS
) -> dict[str, tuple[Tensor, float]]:
    """For each look, the score of every head, (L, H), and that of chance; over all rows of texts.

    Raises ValueError when a look finds nothing in any of the texts.
    """
    total: dict[str, Tensor | float] = dict.fromkeys(looks, 0.0)
    chance, rows = dict.fromkeys(looks, 0.0), dict.fromkeys(looks, 0)
    for text in texts:
        weights = maps(model, text)
        T = weights.shape[-1]
        even = 1 / torch.arange(1, T + 1)[:, None]
        for name, look in looks.items():
            wanted = look(text)[:T, :T].tril()
            counts = wanted.any(1)
            total[name] = total[name] + (weights * wanted).sum(-1)[..., counts].sum(-1)
            chance[name] += float((wanted * even).sum(-1)[counts].sum())
            rows[name] += int(counts.sum())
    if empty := [name for name in looks if not rows[name]]:
        raise ValueError(f"{empty[0]!r} finds nothing to look at in these {len(texts)} texts.")
    return {
        name: (torch.as_tensor(total[name]) / rows[name], chance[name] / rows[name])
        for name in looks
    }


def named(
    model: transformer.GPT, texts: Sequence[str], looks: Mapping[str, Look] = LOOKS
) -> dict[str, Named]:
    """For each look, the head that does it most. Where even that is near chance, none does it."""
    found = {}
    for name, (share, chance) in scores(model, texts, looks).items():
        layer, head = divmod(int(share.argmax()), share.shape[1])
        found[name] = Named(layer + 1, head + 1, float(share.max()), chance)
    return found
