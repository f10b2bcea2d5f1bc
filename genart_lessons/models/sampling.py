"""Drawing texts from a language model: temperature, top-k, top-p, greedy and beam search.

A *language model* is an ``nn.Module`` with ``model(ids (B, T)) -> logits (B, T, V)``, the logits of
place t being those of symbol t + 1; ``model.advance(ids (B, t), state) -> (logits (B, t, V),
state)``, which goes on from what a state remembers; ``model.V`` and ``model.context``. Everything
here works for every one of them, a table of counts or a Transformer. Chance comes from a generator
that is an argument, and the numbers that decide are float64 on the processor: the same seed draws
the same text with a cache or without, on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons import data
from genart_lessons.data import abc
from genart_lessons.models.likelihood import evaluating, window_start

END = "\n\n"  # how a tune ends
LONGEST = 1_000  # characters: the longest tunes of the three books are about as long


# -- one symbol ------------------------------------------------------------------------------------


def adjusted(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """The log-probabilities (…, V) that are drawn from: −inf where a symbol is ruled out.

    First the logits (…, V) are divided by the ``temperature`` τ; 0 stands for its limit, where the
    likeliest symbol has everything (greedy): (5.16). Then ``top_k`` keeps the k likeliest symbols:
    (5.19), Fan, Lewis and Dauphin 2018, section 5.1. Then ``top_p`` keeps the smallest set of
    likeliest symbols whose probability reaches p: (5.20), Holtzman et al. 2020, eq. 2 and 3. What
    ties with the last one kept is kept, too. The rest is normalised. Raises ValueError for settings
    out of their range.
    """
    _check_rule(temperature, top_k, top_p)
    if temperature == 0:
        only = F.one_hot(logits.argmax(-1), logits.shape[-1]).bool()
        return torch.zeros_like(logits).masked_fill(~only, -math.inf)
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        kth = logits.topk(top_k).values[..., -1:]
        logits = logits.masked_fill(logits < kth, -math.inf)
    log_p = logits.log_softmax(-1)
    if top_p is None or top_p == 1:
        return log_p
    falling = log_p.sort(dim=-1, descending=True).values
    p = falling.exp()
    needed = p.cumsum(-1) - p < top_p  # those before it do not reach p yet
    last = falling.masked_fill(~needed, math.inf).amin(-1, keepdim=True)
    return log_p.masked_fill(log_p < last, -math.inf).log_softmax(-1)


def draw(log_p: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One symbol of each row of log-probabilities (B, V), (B,), by (5.18): where a uniform number
    falls in the cumulated probabilities. A symbol of probability 0 is never drawn.

    Raises ValueError for a row that is no distribution: NaN, or nothing possible.
    """
    up_to = log_p.exp().cumsum(-1)
    total = up_to[:, -1:]
    if not bool((total > 0).all()):  # written so that NaN fails too
        raise ValueError(
            "the model gives no probabilities here: a table of counts without smoothing has never "
            "seen what stands before this place. Give it alpha > 0, or another prompt."
        )
    where = torch.rand(len(log_p), 1, generator=generator, dtype=log_p.dtype) * total
    return torch.searchsorted(up_to, where, right=True)[:, 0].clamp(max=log_p.shape[-1] - 1)


# -- whole texts -----------------------------------------------------------------------------------


@torch.no_grad()
def generate(
    model: nn.Module,
    prompt: Tensor,
    n: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    stop: Sequence[int] | Tensor | None = None,
    cache: bool = True,
) -> Tensor:
    """``prompt`` (B, T0) and up to n symbols after it, one drawn after the other: (B, T0 + m).

    ``stop``: symbols that end a text, such as ``data.encode("\\n\\n")``. A row that has ended is
    filled up with the last of them, and when all have ended, m is less than n. With ``cache`` the
    model is fed one symbol at a time and remembers the rest; without, it reads everything again
    for each symbol: slower, and the same texts. What lies further back than ``model.context`` is
    forgotten half a window at a time (``likelihood.window_start``).

    Raises ValueError for a prompt that is empty or holds unknown symbols, and for settings out of
    their range.
    """
    ids = _checked_prompt(model, prompt, 2)
    _check_rule(temperature, top_k, top_p)
    if n < 0:
        raise ValueError(f"n={n}: it is the number of symbols to draw, 0 or more.")
    end = _checked_stop(model, stop)
    known = ids.shape[1]
    ids = torch.cat([ids, ids.new_zeros(len(ids), n)], 1)
    ended = torch.zeros(len(ids), dtype=torch.bool)
    with evaluating(model) as device, torch.inference_mode():
        reader = _Reader(model, cache, device)
        for t in range(known, known + n):
            logits = reader.read(ids[:, :t])
            if temperature == 0:  # nothing to draw
                drawn = logits.argmax(-1)
            else:
                drawn = draw(adjusted(logits, temperature, top_k, top_p), generator)
            if end is not None:
                drawn = torch.where(ended, end[-1], drawn)
            ids[:, t] = drawn
            if end is not None and len(end) <= t + 1:
                ended |= (ids[:, t + 1 - len(end) : t + 1] == end).all(1)
                if bool(ended.all()):
                    return ids[:, : t + 1]
    return ids


@torch.no_grad()
def beam_search(
    model: nn.Module,
    prompt: Tensor,
    n: int,
    width: int,
    *,
    stop: Sequence[int] | Tensor | None = None,
    cache: bool = True,
) -> list[tuple[Tensor, float]]:
    """The likeliest continuations that a beam of ``width`` finds, best first: (ids, log-prob).

    Beginnings are kept by their *accumulated* log-probability log p(x_1) + … + log p(x_t | x_<t),
    (5.22), the ``width`` best of each length. ids: (T0 + m,) with the prompt, log-prob: of the
    continuation, in nats. A text that has reached ``stop`` is set aside and no longer grows; one
    that has not after n symbols is returned as far as it has come. The log-probability of a text
    can only fall as it grows, so the search ends as soon as no beginning can overtake the
    ``width`` best texts that are set aside. Nothing is drawn: there is no seed.

    With width ≥ V^(n − 1) nothing is ever dropped, and the first is the true maximum. Raises
    ValueError as ``generate`` does, and for a width below 1.
    """
    ids = _checked_prompt(model, prompt, 1)[None]
    if n < 1 or width < 1:
        raise ValueError(f"n={n} and width={width} must be 1 or more.")
    end = _checked_stop(model, stop)
    scores = torch.zeros(1, dtype=torch.float64)
    done: list[tuple[Tensor, float]] = []
    with evaluating(model) as device:
        reader = _Reader(model, cache, device)
        for _ in range(n):
            log_p = reader.read(ids).log_softmax(-1)
            totals = (scores[:, None] + log_p).flatten()
            # One symbol at most ends a text, so this many are enough for ``width`` that live on.
            best, at = totals.topk(min(len(totals), width + len(ids)))
            possible = best > -math.inf
            best, at = best[possible], at[possible]
            rows, symbols = at // model.V, at % model.V
            longer = torch.cat([ids[rows], symbols[:, None]], 1)
            over = _ends(longer, end)
            done += [(longer[i], float(best[i])) for i in range(min(width, len(at))) if over[i]]
            done = sorted(done, key=lambda each: -each[1])[:width]
            alive = (~over).nonzero().flatten()[:width]
            ids, scores = longer[alive], best[alive]
            if len(alive) == 0 or (len(done) == width and done[-1][1] >= float(scores[0])):
                return done
            reader.pick(rows[alive])
    done += zip(ids, scores.tolist(), strict=True)
    return sorted(done, key=lambda each: -each[1])[:width]


class _Reader:
    """Logits (B, V) of the next symbol, float64 on the processor, for texts that grow by one."""

    def __init__(self, model: nn.Module, cache: bool, device: torch.device):
        self.model, self.cache, self.device = model, cache, device
        self.state: Any = None
        self.seen = 0  # how many symbols the state has read

    def read(self, ids: Tensor) -> Tensor:
        """ids: (B, t) on the processor; with a cache, those of the call before and some more."""
        if self.cache:
            new, self.seen = ids[:, self.seen :].to(self.device), ids.shape[1]
            logits, self.state = self.model.advance(new, self.state)
        else:
            start = window_start(ids.shape[1], self.model.context)
            logits = self.model(ids[:, start:].to(self.device))
        return logits[:, -1].cpu().double()

    def pick(self, rows: Tensor) -> None:
        """Go on with these rows of the batch, in this order; one may come several times."""
        self.state = pick_rows(self.state, rows.to(self.device))


def pick_rows(state: Any, rows: Tensor) -> Any:
    """These rows of the batch of a state: one that knows ``take(rows)``, or tensors (B, …), also
    several in a tuple or list. Raises TypeError for anything else but None.
    """
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    if isinstance(state, tuple | list):
        return type(state)(pick_rows(part, rows) for part in state)
    if hasattr(state, "take"):
        return state.take(rows)
    if state is not None:
        raise TypeError(f"a state of the type {type(state).__name__} needs a method take(rows).")
    return None


# -- tunes -----------------------------------------------------------------------------------------


def header(meter: str, key: str, unit: str | None = None) -> str:
    """The three lines that every tune begins with: ``header("6/8", "G")``.

    ``meter``: like 6/8, or C and C| for common and cut time; ``key``: a tonic and perhaps a mode,
    like Ador; ``unit``: the length of a note without a number, by default the course's for this
    metre. Raises ValueError (``data.abc.NotMusic``) for what is no metre, key or unit.
    """
    text = f"M:{meter}\nL:{unit or abc.unit_for(meter)}\nK:{key}\n"
    if abc.head(text)[1]:
        raise ValueError(f"meter={meter!r}, key={key!r} and unit={unit!r} must be one line each.")
    return text


def tune(
    model: nn.Module,
    meter: str = "6/8",
    key: str = "G",
    seed: int = 0,
    *,
    start: str = "",
    unit: str | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    longest: int = LONGEST,
) -> str:
    """A new tune in ABC, in this metre and key; ``start`` is how its music begins.

    It ends in a blank line, as the tunes that the model has learnt from do; one that has not ended
    after ``longest`` characters is returned as far as it has come, without the blank line.
    Raises ValueError for a metre or key that is not ABC, and for a ``start`` with other characters.
    """
    begin = header(meter, key, unit) + start
    rule: dict[str, Any] = dict(temperature=temperature, top_k=top_k, top_p=top_p)
    return continued(model, [begin], seed, longest=longest, **rule)[0]


def continued(
    model: nn.Module,
    beginnings: Sequence[str],
    seed: int = 0,
    *,
    longest: int = LONGEST,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    cache: bool = True,
) -> list[str]:
    """Every one of these beginnings with what the model writes after it, up to the blank line.

    Beginnings of the same length are written side by side, which is quicker than one by one.
    """
    generator = torch.Generator().manual_seed(seed)
    texts = [""] * len(beginnings)
    rule: dict[str, Any] = dict(temperature=temperature, top_k=top_k, top_p=top_p, cache=cache)
    for length in sorted({len(text) for text in beginnings}):
        rows = [i for i, text in enumerate(beginnings) if len(text) == length]
        prompt = torch.stack([data.encode(beginnings[i]) for i in rows])
        ids = generate(model, prompt, max(0, longest - length), generator=generator,
                       stop=data.encode(END), **rule)  # fmt: skip
        for i, row in zip(rows, ids, strict=True):
            body = data.decode(row[length - 1 :])  # from the last given character on
            whole, end, _ = body.partition(END)
            texts[i] = beginnings[i][:-1] + whole + end
    return texts


# -- what a text was worth -------------------------------------------------------------------------


class Steps(NamedTuple):
    """What a model thought of each symbol of a text but the first, all (B, T − 1).

    ``surprise``: −log p(x_t | x_<t), in nats. ``top``: the probability of its likeliest symbol.
    ``hit``: whether x_t was that symbol.
    """

    surprise: Tensor
    top: Tensor
    hit: Tensor


@torch.no_grad()
def follow(model: nn.Module, ids: Tensor) -> Steps:
    """What ``model`` thinks of the texts ids (B, T), in the windows of ``generate``.

    So the probability of each symbol is the very one that it was drawn with at temperature 1.
    The share of hits says how often the likeliest symbol was taken (greedy: always); for texts
    drawn at temperature 1 its expectation is the mean of ``top``.
    """
    ids = _checked_prompt(model, ids, 2)
    starts = [window_start(t, model.context) for t in range(1, ids.shape[1])]
    parts = []
    with evaluating(model) as device:
        for start in sorted(set(starts)):
            places = [t for t, s in enumerate(starts, 1) if s == start]  # predicted in this window
            logits = model(ids[:, start : places[-1]].to(device)).cpu()
            parts.append(logits[:, -len(places) :].double().log_softmax(-1))
    log_p = torch.cat(parts, 1)
    surprise = -log_p.gather(-1, ids[:, 1:, None])[..., 0]
    return Steps(surprise, log_p.amax(-1).exp(), log_p.argmax(-1) == ids[:, 1:])


def surprise(model: nn.Module, ids: Tensor) -> Tensor:
    """−log p(x_t | x_<t) of each symbol of the texts ids (B, T) but the first, (B, T − 1), nats."""
    return follow(model, ids).surprise


def repetition(ids: Tensor, n: int = 8) -> float:
    """The share of the passages of n symbols in a text ids (T,) that have stood in it before.

    1 − (different passages)/(all passages): 0 where none comes again, near 1 for a text that goes
    round in circles. Welleck et al. 2020, section 6 (seq-rep-n). ValueError for T < n.
    """
    if ids.ndim != 1 or n < 1 or len(ids) < n:
        raise ValueError(f"ids must be (T,) with T ≥ n = {n} ≥ 1; it is {tuple(ids.shape)}.")
    passages = ids.unfold(0, n, 1)
    return 1 - len(torch.unique(passages, dim=0)) / len(passages)


# -- refusals --------------------------------------------------------------------------------------


def _check_rule(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature={temperature}: a number from 0 (greedy) up; 1 is as learnt.")
    if top_k is not None and (isinstance(top_k, bool) or top_k != int(top_k) or top_k < 1):
        raise ValueError(f"top_k={top_k}: the number of symbols to choose from, 1 or more.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p}: a probability, above 0 and at most 1.")


def _checked_prompt(model: nn.Module, prompt: Tensor, dims: int) -> Tensor:
    """The prompt on the processor, as whole numbers from 0 to V − 1."""
    wanted = "(B, T0)" if dims == 2 else "(T0,)"
    if not isinstance(prompt, Tensor) or prompt.is_floating_point() or prompt.ndim != dims:
        shown = f"{prompt.dtype} {tuple(prompt.shape)}" if isinstance(prompt, Tensor) else prompt
        raise ValueError(f"the prompt must be whole numbers {wanted}, as data.encode gives; this "
                         f"is {shown!r}." + " Give prompt[None]?" * (dims == 2))  # fmt: skip
    if prompt.numel() == 0:
        raise ValueError("the prompt is empty: a model needs at least one symbol to go on from.")
    ids = prompt.detach().cpu().long()
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= model.V:
        wrong = low if low < 0 else high
        raise ValueError(f"symbol {wrong} is unknown: the model knows 0 to {model.V - 1}.")
    return ids


def _checked_stop(model: nn.Module, stop: Sequence[int] | Tensor | None) -> Tensor | None:
    if stop is None:
        return None
    end = torch.as_tensor(stop, dtype=torch.long)
    return _checked_prompt(model, end, 1)


def _ends(ids: Tensor, end: Tensor | None) -> Tensor:
    """Which of the texts ids (B, T) end in ``end``, (B,) bool."""
    if end is None or ids.shape[1] < len(end):
        return torch.zeros(len(ids), dtype=torch.bool)
    return (ids[:, -len(end) :] == end).all(1)
