"""Attention, the blocks of a Transformer, and a GPT: chapter 06 builds and checks each part.

Shapes: B texts, T places that ask, S places that are looked at (S = T when a text looks at itself),
H heads, ``d_k`` the width of a head, V symbols. A mask is boolean and True where a place may look;
it is (T, S), or anything that broadcasts to (B, H, T, S).

Vaswani et al. 2017 (attention, blocks); Radford et al. 2019: GPT-2, which is what one gets here
unless one asks for more, to the last decimal (``to_gpt2``). ``MODERN`` is what has been found
since; each of its points has its source at ``Design``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models.likelihood import evaluating

# -- attention -----------------------------------------------------------------------------------


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q·kᵀ / √d_k) over the places looked at, (…, T, S): each row sums to 1.

    q (…, T, d_k), k (…, S, d_k); mask boolean, broadcast to (…, T, S). Where it is False the score
    is −∞ *before* the softmax, so the weight is exactly 0. Raises ValueError for a row that may
    look nowhere. Vaswani et al. 2017, eq. 1.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (…, T, S)
    if mask is not None:
        if not bool(mask.any(-1).all()):
            raise ValueError("the mask hides everything from some place: let it see one at least.")
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q·kᵀ / √d_k)·v: for every place that asks, a weighted mean of the values.

    q (…, T, d_k), k (…, S, d_k), v (…, S, d_v) → (…, T, d_v); mask as in ``attention_weights``.
    """
    return attention_weights(q, k, mask) @ v


def causal_mask(T: int, S: int | None = None, device: torch.device | None = None) -> Tensor:
    """(T, S), True where place t of the last T places may look: at itself and at what is before."""
    S = T if S is None else S
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T)


@dataclass
class Past:
    """The keys and values of one attention so far, (B, H, S, d_k) each: what a cache is made of.

    ``add`` joins new ones on, and gives all of them back. It changes this object alone: who holds
    ``past.copy()`` keeps the old state, and may go on from it in another way.
    """

    k: Tensor | None = None
    v: Tensor | None = None
    room: Room | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return 0 if self.k is None else self.k.shape[2]

    def add(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if self.k is None or self.v is None:
            self.k, self.v = k, v
        elif k.requires_grad:  # gradients bear no writing into what they need
            self.k, self.v = torch.cat([self.k, k], dim=2), torch.cat([self.v, v], dim=2)
        else:
            return self.add_both(torch.stack([k, v], dim=1))
        return self.k, self.v

    def add_both(self, kv: Tensor) -> tuple[Tensor, Tensor]:
        """``add`` for keys and values in one tensor (B, 2, H, t, d_k): one copy, where some are."""
        assert self.k is not None and self.v is not None
        end = self.k.shape[2] + kv.shape[3]
        if self.room is None or not self.room.fits(end - kv.shape[3], end):
            self.room = Room(self.k, self.v, max(32, 2 * end))
        self.k, self.v = self.room.add(kv)
        return self.k, self.v

    def copy(self) -> Past:
        return Past(self.k, self.v, self.room)

    def take(self, rows: Tensor) -> Past:
        """The past of these rows of the batch, (B',); a row may come more than once."""
        if self.k is None or self.v is None:
            return Past()
        return Past(self.k.index_select(0, rows), self.v.index_select(0, rows))


class Room:
    """Keys and values with free places after them, so that adding one copies one and not all.

    Several ``Past`` may look at the first so many places of one room. What stands there is never
    written again: only the one that has seen all of the ``filled`` places may add, the others need
    a new room.
    """

    def __init__(self, k: Tensor, v: Tensor, size: int):
        B, H, _, d_k = k.shape
        self.kv = k.new_empty(B, 2, H, size, d_k)
        self.filled = 0
        self.add(torch.stack([k, v], dim=1))

    def fits(self, seen: int, end: int) -> bool:
        return seen == self.filled and end <= self.kv.shape[3]

    def add(self, kv: Tensor) -> tuple[Tensor, ...]:
        """All keys and all values, after those of (B, 2, H, t, d_k) have been written."""
        start, t = self.filled, kv.shape[3]
        self.filled = end = start + t
        self.kv.narrow(3, start, t).copy_(kv)
        return self.kv.narrow(3, 0, end).unbind(1)


@dataclass(frozen=True)
class Design:
    """What a model is made of, beyond its sizes. The defaults are GPT-2's; ``MODERN`` has them all.

    rotary: queries and keys are turned by their places, so that a score depends on how far apart
        two places are; instead of learned vectors that are added (Su et al. 2021).
    qk_norm: queries and keys are brought to a mean square of 1 first, so that no score is larger
        than √d_k and the softmax cannot saturate early (Henry et al. 2020).
    rms: x/√mean(x²) for layer norm, nothing subtracted and nothing learned (Zhang and Sennrich
        2019).
    squared_relu: max(0, x)² for GELU (So et al. 2021).
    bias: whether layers add a constant.
    tied: the logits come from the matrix that embeds the symbols (Press and Wolf 2017), or from
        one of their own, which starts at 0: the first prediction is that all are equally likely.
    quiet: the last matrix of every part starts at 0, so each block at first adds nothing.
    shift: so many earlier symbols are mixed into each one's vector at the bottom, number by number,
        by learned weights: a causal convolution (So et al. 2021 have it further up).
    """

    rotary: bool = False
    qk_norm: bool = False
    rms: bool = False
    squared_relu: bool = False
    bias: bool = True
    tied: bool = True
    quiet: bool = False
    shift: int = 0

    def norm(self, width: int) -> nn.Module:
        return RMSNorm() if self.rms else nn.LayerNorm(width, bias=self.bias)


GPT2 = Design()
MODERN = Design(
    rotary=True, qk_norm=True, rms=True, squared_relu=True, bias=False, tied=False, quiet=True,
    shift=3,
)  # fmt: skip


class MultiHead(nn.Module):
    """H attentions side by side, each on its own d_k = width / H numbers of every place.

    ``x`` (B, T, width) asks, ``memory`` (B, S, width) is looked at; without a memory x looks at
    itself. Returns (B, T, width). With ``past``, the keys and values of earlier calls are looked at
    as well, and these are added. Vaswani et al. 2017, section 3.2.2.

    ``positions`` (T,) and ``memory_positions`` (S,) are needed by rotary designs alone, and only
    where they are not 0, 1, 2, … (after what is past): where several places share a position.
    """

    def __init__(self, width: int, heads: int, *, design: Design = GPT2):
        super().__init__()
        if width % heads or design.rotary and width // heads % 2:
            raise ValueError(f"{heads} heads cannot share width={width}; rotary ones, two by two.")
        self.heads, self.design = heads, design
        self.qkv = nn.Linear(width, 3 * width, design.bias)  # Q, K and V: one product
        self.out = nn.Linear(width, width, design.bias)

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        past: Past | None = None,
        positions: Tensor | None = None,
        memory_positions: Tensor | None = None,
    ) -> Tensor:
        q, k, v = self.project(x, memory, past, positions, memory_positions)
        if past is not None:
            k, v = past.add(k, v)
        heads = fused_attention(q, k, v, mask)  # (B, H, T, d_k)
        return self.out(heads.transpose(1, 2).flatten(2))  # side by side again

    def project(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        past: Past | None = None,
        positions: Tensor | None = None,
        memory_positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, d_k), keys and values (B, H, S, d_k) of this call."""
        if memory is None:
            q, k, v = self._heads(self.qkv(x))
            memory_positions = positions
        else:
            (w_q, w_kv), (b_q, b_kv) = self._split(self.qkv.weight), self._split(self.qkv.bias)
            (q,) = self._heads(F.linear(x, w_q, b_q))
            k, v = self._heads(F.linear(memory, w_kv, b_kv))
        if self.design.qk_norm:
            q, k = rms_norm(q), rms_norm(k)
        if self.design.rotary:
            start = 0 if past is None else len(past)
            q, k = rotated(q, positions, start), rotated(k, memory_positions, start)
        return q, k, v

    def weights(self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None,
                past: Past | None = None, positions: Tensor | None = None,
                memory_positions: Tensor | None = None) -> Tensor:  # fmt: skip
        """The attention weights of such a call, (B, H, T, S); nothing is remembered."""
        q, k, v = self.project(x, memory, past, positions, memory_positions)
        if past is not None:
            k, v = past.copy().add(k, v)
        return attention_weights(q, k, mask)

    def _heads(self, y: Tensor) -> tuple[Tensor, ...]:
        """(B, T, n·width) as n tensors (B, H, T, d_k)."""
        width = self.out.in_features
        y = y.view(*y.shape[:2], -1, self.heads, width // self.heads)  # (B, T, n, H, d_k)
        return y.permute(2, 0, 3, 1, 4).unbind()

    def _split(self, y: Tensor | None) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Q's part of the weight or bias, and that of K and V."""
        return (None, None) if y is None else (y[: len(y) // 3], y[len(y) // 3 :])


def fused_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """``attention``, as PyTorch computes it in one piece: the same numbers, in half the time.

    On the processor always in float32: in bfloat16 its way back is several times slower.
    """
    if q.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), mask)
    return F.scaled_dot_product_attention(q, k, v, mask)


def rotated(x: Tensor, positions: Tensor | None = None, start: int = 0) -> Tensor:
    """x (B, H, T, d_k) turned by place: numbers i and i + d_k/2 as a point, by the angle p·θ_i.

    p is the ``positions`` (T,), or start, start + 1, …; θ_i = 10000^(−2i/d_k). Turning q by p and k
    by p' leaves q·k a function of p − p'. Su et al. 2021, eq. 34, with the pairs laid out as in
    GPT-NeoX.
    """
    half = x.shape[-1] // 2
    if positions is None:
        positions = torch.arange(start, start + x.shape[2], device=x.device)
    rates = 10_000 ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = positions[:, None] * rates  # (T, d_k/2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def rms_norm(x: Tensor) -> Tensor:
    """x/√mean(x²) over the last dimension. Zhang and Sennrich 2019, eq. 4, without the gain."""
    return F.rms_norm(x, x.shape[-1:])


class RMSNorm(nn.Module):
    """``rms_norm`` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x)


# -- blocks --------------------------------------------------------------------------------------


def dropped(dropout: nn.Dropout, h: Tensor) -> Tensor:
    """``dropout(h)``; outside training h itself, without a call, which one symbol would feel."""
    return dropout(h) if dropout.training else h


class FeedForward(nn.Module):
    """Each place by itself: (…, width) → four times the width, GELU, and back again.

    GELU is the tanh form that GPT-2 was trained with (Hendrycks and Gimpel 2016, section 2).
    """

    def __init__(self, width: int, *, dropout: float = 0.0, design: Design = GPT2):
        super().__init__()
        self.up = nn.Linear(width, 4 * width, design.bias)
        self.out = nn.Linear(4 * width, width, design.bias)
        self.dropout, self.squared_relu = nn.Dropout(dropout), design.squared_relu

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x)
        h = F.relu(h).square() if self.squared_relu else F.gelu(h, approximate="tanh")
        return dropped(self.dropout, self.out(h))


class Block(nn.Module):
    """Attention, then the feed-forward part, each added to what comes in: pre-norm residuals.

    (B, T, width) → (B, T, width). ``cross=True`` adds, between the two, attention to a ``memory``
    (B, S, width), as a decoder has it. Normalising *before* each part leaves a straight way from
    the last block to the first: Xiong et al. 2020; GPT-2 does so, Vaswani et al. 2017 did not.
    ``dropout`` is the share of what each part adds that is left out while training.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        cross: bool = False,
        dropout: float = 0.0,
        design: Design = GPT2,
    ):
        super().__init__()
        self.norm_attend = design.norm(width)
        self.attend = MultiHead(width, heads, design=design)
        if cross:
            self.norm_cross = design.norm(width)
            self.cross = MultiHead(width, heads, design=design)
        self.norm_feed = design.norm(width)
        self.feed = FeedForward(width, dropout=dropout, design=design)
        self.has_cross, self.dropout = cross, nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        past: Past | None = None,
        positions: Tensor | None = None,
        memory_positions: Tensor | None = None,
    ) -> Tensor:
        if self.has_cross != (memory is not None):
            raise ValueError("a block with cross=True needs a memory, and no other takes one.")
        h = self.attend(self.norm_attend(x), None, mask, past, positions)
        x = x + dropped(self.dropout, h)
        if memory is not None:
            h = self.cross(
                self.norm_cross(x), memory, memory_mask, None, positions, memory_positions
            )
            x = x + dropped(self.dropout, h)
        return x + self.feed(self.norm_feed(x))


# -- GPT -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cache:
    """What ``GPT.advance`` remembers: the ids (B, n) in the window, and each block's ``Past``."""

    ids: Tensor
    pasts: list[Past] = field(default_factory=list)
    weights: list[tuple] = field(default_factory=list, repr=False)  # looked up for ``GPT._one``

    def take(self, rows: Tensor) -> Cache:
        """The same for these rows of the batch, (B',); a row may come more than once."""
        pasts = [past.take(rows) for past in self.pasts]
        return Cache(self.ids.index_select(0, rows), pasts, self.weights)


class GPT(nn.Module):
    """A language model: ids (B, T) → logits (B, T, V), those of place t for the symbol t + 1.

    Each place sees itself and what comes before, and T is at most ``context``. Radford et al. 2019,
    unless ``design`` says otherwise.
    """

    def __init__(
        self,
        V: int,
        context: int = 128,
        *,
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
        dropout: float = 0.0,
        design: Design = GPT2,
    ):
        super().__init__()
        self.V, self.context, self.design = V, context, design
        self.embed = nn.Embedding(V, width)
        self.positions = None if design.rotary else nn.Embedding(context, width)
        self.mix = nn.Parameter(torch.zeros(design.shift, width)) if design.shift else None
        self.dropout = nn.Dropout(dropout)
        blocks = (Block(width, heads, dropout=dropout, design=design) for _ in range(layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm = design.norm(width)
        self.head = None if design.tied else nn.Linear(width, V, bias=False)
        self._start()

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) for ids (B, T): the plain pass."""
        return self._read(ids, _nothing(ids))[0]

    def advance(self, ids: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache]:
        """The logits (B, t, V) of ``ids`` (B, t) after what ``state`` remembers; the new state.

        They equal those of the plain pass over everything, but only the new places are computed.
        The text may grow for ever: a full window makes room as ``likelihood.window_start`` says,
        and what is left in it is read anew, because the keys and values of its places depend on
        what has been dropped. ``state`` itself stays as it is.
        """
        state = _nothing(ids) if state is None else state
        found = []
        while ids.shape[1]:
            if state.ids.shape[1] == self.context:  # full
                kept = state.ids[:, max(1, self.context // 2) :]
                state = _nothing(kept)
                if kept.shape[1]:
                    state = self._read(kept, state)[1]
            room = self.context - state.ids.shape[1]
            logits, state = self._read(ids[:, :room], state)
            found.append(logits)
            ids = ids[:, room:]
        if not found:
            raise ValueError("ids (B, 0) hold no symbol: give the first of the text at least.")
        return found[0] if len(found) == 1 else torch.cat(found, dim=1), state

    def _read(self, ids: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """Logits (B, t, V) of new ids after those of the state; and the state with them in it."""
        n, t = state.ids.shape[1], ids.shape[1]
        if not 1 <= t <= self.context - n:
            raise ValueError(f"{n} + {t} symbols: the model sees 1 to {self.context} at a time.")
        seen = torch.cat([state.ids, ids], dim=1)
        pasts = [past.copy() for past in state.pasts] or [Past() for _ in self.blocks]
        weights = state.weights
        x = dropped(self.dropout, self._embedded(seen, n))  # (B, t, width)
        if t == 1 and n and self._plain(x):
            weights = weights or [_weights(block) for block in self.blocks]
            x = self._one(x[:, 0], pasts, weights)[:, None]
        else:
            mask = causal_mask(t, n + t, ids.device) if t > 1 else None
            for block, past in zip(self.blocks, pasts, strict=True):
                x = block(x, mask=mask, past=past)
        x = self.norm(x)
        logits = F.linear(x, self.embed.weight) if self.head is None else self.head(x)
        return logits, Cache(seen, pasts, weights)

    def _plain(self, x: Tensor) -> bool:
        """Whether nothing but numbers is asked for: no gradients, no dropout, no other dtype."""
        asked = self.training or torch.is_grad_enabled()
        return not (asked or torch.is_autocast_enabled(x.device.type))

    def _one(self, x: Tensor, pasts: list[Past], weights: list[tuple]) -> Tensor:
        """What all blocks make of one new place, (B, width), written over x: as ``Block`` does.

        The calls of modules are left out, which for a single symbol take as long as the products
        themselves, nine of them a block; and sums are added up where they are, which spares copies.
        """
        design, heads = self.design, self.blocks[0].attend.heads
        shape = (len(x), 3, heads, 1, x.shape[1] // heads)
        turned = design.qk_norm or design.rotary
        for past, (norms, qkv, out, up, down) in zip(pasts, weights, strict=True):
            made = _affine(norms[0](x), *qkv).view(shape)  # q, k, v: (B, H, 1, d_k) each
            if turned:
                q, k, v = made.unbind(1)
                q, k = self._turned(q, k, len(past))
                k, v = past.add(k, v)
            else:
                q, (k, v) = made.select(1, 0), past.add_both(made.narrow(1, 1, 2))
            h = F.scaled_dot_product_attention(q, k, v)
            _add_affine(x, h.flatten(1), *out)
            h = _affine(norms[1](x), *up)
            h = F.relu(h).square() if design.squared_relu else F.gelu(h, approximate="tanh")
            _add_affine(x, h, *down)
        return x

    def _turned(self, q: Tensor, k: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Queries and keys of place n as this design wants them, (B, H, 1, d_k)."""
        if self.design.qk_norm:
            q, k = rms_norm(q), rms_norm(k)
        if self.design.rotary:
            q, k = rotated(q, None, n), rotated(k, None, n)
        return q, k

    def _embedded(self, seen: Tensor, n: int) -> Tensor:
        """The vectors (B, t, width) of all symbols seen (B, n + t) but the first n."""
        back, t = self.design.shift, seen.shape[1] - n
        wide = self.embed(seen[:, max(0, n - back) :])
        if back > n:
            wide = F.pad(wide, (0, 0, back - n, 0))  # nothing stands before the first
        x = wide[:, back:]
        if self.positions is not None:
            x = x + self.positions.weight[n : n + t]
        if self.mix is not None:
            for i, weight in enumerate(self.mix, 1):  # the symbol i places earlier
                x = x + weight * wide[:, back - i :][:, :t]
        return x

    @torch.no_grad()
    def _start(self) -> None:
        """GPT-2's first weights: N(0, 0.02²), and smaller where L blocks add up; biases 0."""
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, 0.0, 0.02)
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)
        scale = 0.0 if self.design.quiet else 1 / math.sqrt(2 * len(self.blocks))
        for block in self.blocks:
            block.attend.out.weight.mul_(scale)
            block.feed.out.weight.mul_(scale)
        if self.head is not None:
            nn.init.zeros_(self.head.weight)


def _weights(block: Block) -> tuple:
    """What ``GPT._one`` needs of a block: looked up and turned round once a text, not a symbol."""
    parts = (block.attend.qkv, block.attend.out, block.feed.up, block.feed.out)
    norms = (_norm(block.norm_attend), _norm(block.norm_feed))
    return norms, *((part.weight.t().contiguous(), part.bias) for part in parts)


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x·W + b for x (B, n), W (n, m)."""
    return x @ weight if bias is None else torch.addmm(bias, x, weight)


def _add_affine(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """y += x·W + b, in y's own place."""
    if bias is not None:
        y.add_(bias)
    y.addmm_(x, weight)


def _norm(part: nn.Module) -> Callable[[Tensor], Tensor]:
    """A norm layer as a plain function."""
    if isinstance(part, RMSNorm):
        return rms_norm
    gain, bias, eps = part.weight, part.bias, part.eps
    shape = gain.shape
    return lambda x: torch.layer_norm(x, shape, gain, bias, eps)


def _nothing(ids: Tensor) -> Cache:
    """The state before the first of ``ids``. Raises ValueError unless they are (B, T)."""
    if ids.ndim != 2:
        raise ValueError(f"ids must be (B, T); these are {tuple(ids.shape)}.")
    return Cache(ids[:, :0])


# -- what attention looks at, and the library that professionals use -------------------------------


@torch.no_grad()
def attention_maps(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """The weights of every ``MultiHead`` in a model while it reads ``inputs``: name → (B, H, T, S).

    In the order in which they ran, under the names of ``model.named_modules()``. For a ``GPT``:
    ``attention_maps(model, ids)`` has "blocks.0.attend", "blocks.1.attend", …
    """
    found: dict[str, Tensor] = {}

    def look(name: str):
        def hook(part: nn.Module, args: tuple, kwargs: dict) -> None:
            found[name] = part.weights(*args, **kwargs)

        return hook

    parts = {name: part for name, part in model.named_modules() if isinstance(part, MultiHead)}
    hooks = [
        part.register_forward_pre_hook(look(name), with_kwargs=True) for name, part in parts.items()
    ]
    try:
        with evaluating(model):
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def to_gpt2(model: GPT) -> Any:
    """``transformers``' GPT2LMHeadModel with this model's weights, in eval mode: the same logits.

    Raises ValueError for a model whose design is not GPT-2's.
    """
    if model.design != GPT2:
        raise ValueError(f"only GPT-2's design can be turned into GPT-2; this is {model.design}.")
    from transformers import GPT2Config, GPT2LMHeadModel

    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=model.V, n_positions=model.context, n_embd=model.embed.embedding_dim,
            n_layer=len(model.blocks), n_head=model.blocks[0].attend.heads,
            bos_token_id=None, eos_token_id=None,
        )
    )  # fmt: skip
    theirs.to(model.embed.weight).load_state_dict(
        {
            _their_name(name): x.T if _turned(name) else x
            for name, x in (model.state_dict() | {"head": model.embed.weight}).items()
        }
    )
    return theirs.eval()


def from_gpt2(theirs: Any) -> GPT:
    """A ``GPT`` with the weights of a GPT2LMHeadModel, in eval mode: ``to_gpt2`` the other way.

    Raises ValueError where its settings differ from GPT-2's in more than the sizes.
    """
    c = theirs.config
    usual = {"activation_function": "gelu_new", "add_cross_attention": False, "n_inner": None,
             "layer_norm_epsilon": 1e-5, "scale_attn_weights": True, "tie_word_embeddings": True,
             "scale_attn_by_inverse_layer_idx": False}  # fmt: skip
    if other := {key: getattr(c, key) for key, value in usual.items() if getattr(c, key) != value}:
        raise ValueError(f"this is not GPT-2's design: {other}, where GPT-2 has {usual}.")
    model = GPT(c.vocab_size, c.n_positions, layers=c.n_layer, heads=c.n_head, width=c.n_embd)
    state = theirs.state_dict()
    model.to(state["lm_head.weight"]).load_state_dict(
        {
            name: state[_their_name(name)].T if _turned(name) else state[_their_name(name)]
            for name in model.state_dict()
        }
    )
    return model.eval()


_THEIR_NAMES = {
    "head": "lm_head.weight", "embed": "transformer.wte", "positions": "transformer.wpe",
    "norm": "transformer.ln_f", "blocks": "transformer.h", "norm_attend": "ln_1",
    "attend.qkv": "attn.c_attn", "attend.out": "attn.c_proj", "norm_feed": "ln_2",
    "feed.up": "mlp.c_fc", "feed.out": "mlp.c_proj",
}  # fmt: skip


def _their_name(name: str) -> str:
    """What transformers calls a tensor: "blocks.0.feed.up" is "transformer.h.0.mlp.c_fc"."""
    for ours, theirs in sorted(_THEIR_NAMES.items(), key=lambda pair: -len(pair[0])):
        name = re.sub(rf"(^|\.){re.escape(ours)}(\.|$)", rf"\1{theirs}\2", name)
    return name


def _turned(name: str) -> bool:
    """GPT-2 keeps the matrices of its blocks as (in, out), nn.Linear as (out, in)."""
    return name.startswith("blocks.") and name.endswith(("qkv.weight", "out.weight", "up.weight"))
