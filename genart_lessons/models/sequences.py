"""Four ways to predict the next symbol: counting, an MLP, and two recurrent networks; and worlds
so small that every sequence can be listed.

All are *language models*: ``model(ids (B, T)) -> logits (B, T, V)``, where the logits of place t
are those of symbol t + 1 given the symbols 0 … t and nothing later; ``model.advance(ids, state) ->
(logits, state)`` goes on from a state, exactly as if all had come at once; ``model.V`` is the
number of symbols, and ``model.context`` the longest text that the model takes, None: any.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models.likelihood import evaluating


def loss(model: nn.Module, batch: dict) -> Tensor:
    """−log p(x_{t+1} | x_≤t) in nats, the mean over the batch: what ``training.fit`` takes.

    batch: ``ids`` (B, T) and ``targets`` (B, T), which are the ids one place further on; so every
    place is a question whose answer is known, and all are asked at once (teacher forcing).
    """
    logits = model(batch["ids"])
    return F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten())


# -- counting --------------------------------------------------------------------------------------


class CountModel(nn.Module):
    """Predicts by how often each symbol came after the last ``order`` symbols: Shannon 1948.

    With c(s) times the symbol s after this context, N times anything, and V symbols::

        p(s | context) = (c(s) + α) / (N + αV)                           interpolate=False, (5.10)
        p(s | context) = (c(s) + α·p(s | shorter context)) / (N + α)     interpolate=True, (5.11)

    The first adds α to every count (Laplace; Lidstone 1920). The second adds α observations in all,
    spread as the context that is one symbol shorter would spread them, down to the empty one and
    then to 1/V: an interpolation with the weight N/(N + α) for the counts, which grows with the
    evidence (Jelinek and Mercer 1980; MacKay and Peto 1995, section 3). ``alpha`` = 0 is maximum
    likelihood: −inf for what never came after a context, and NaN, undefined, after a context that
    never came (interpolated: the shorter context's). Where a text is shorter than ``order``, the
    context is the whole of it.

    The "logits" are log-probabilities, float64, on the processor. Nothing is trained by gradients:
    call ``fit``. Raises ValueError for settings out of their range.
    """

    context = None

    def __init__(self, order: int, V: int, alpha: float = 1.0, *, interpolate: bool = False):
        super().__init__()
        if order < 0 or V < 1 or (order + 1) * math.log2(max(V, 2)) >= 63:
            raise ValueError(f"order={order}, V={V}: V^(order + 1) must stay below 2^63.")
        if not 0 <= alpha < math.inf:
            raise ValueError(f"alpha={alpha}: how many observations to imagine, 0 or more.")
        self.order, self.V, self.alpha, self.interpolate = order, V, float(alpha), interpolate
        self.tables: list[_Table] = []

    def fit(self, stream: Tensor) -> CountModel:
        """Count every symbol of a stream (N,) after each of its contexts; returns the model.

        Raises ValueError for a stream that is too short or holds a symbol that is not 0 … V − 1.
        """
        if stream.ndim != 1 or stream.is_floating_point() or len(stream) <= self.order:
            raise ValueError(f"a stream is (N,) whole numbers with N > {self.order}; "
                             f"this is {tuple(stream.shape)}.")  # fmt: skip
        stream = stream.detach().cpu().long()
        _check_symbols(stream, self.V)
        self.tables = []
        for k in range(self.order + 1):
            before = _numbers(stream[None, :-1], k, self.V)[0] if k else torch.zeros_like(stream)
            self.tables.append(_Table(before[max(k - 1, 0) :], stream[k:], self.V))
        return self

    def forward(self, ids: Tensor) -> Tensor:
        """Log-probabilities (B, T, V), float64, for ids (B, T)."""
        return self.advance(ids)[0]

    def advance(self, ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same after what the state remembers: the last order − 1 symbols, or fewer."""
        if not self.tables:
            raise ValueError("this CountModel has not counted anything yet: call fit(stream).")
        ids = ids.cpu()
        _check_symbols(ids, self.V)
        seen = ids if state is None else torch.cat([state, ids], 1)
        new = seen.shape[1] - ids.shape[1]
        p = torch.full((*ids.shape, self.V), 1 / self.V, dtype=torch.float64)
        for k, table in enumerate(self.tables):
            first = max(k - 1 - new, 0)  # the first new place that has k symbols behind it
            if first >= ids.shape[1]:
                break
            numbers = _numbers(seen, k, self.V)[:, new + first :]
            counts = table.counts(numbers.flatten()).view(*numbers.shape, self.V)
            n = counts.sum(-1, keepdim=True)
            if self.interpolate:
                mixed = (counts + self.alpha * p[:, first:]) / (n + self.alpha)
                p[:, first:] = torch.where(n + self.alpha > 0, mixed, p[:, first:])
            else:
                p[:, first:] = (counts + self.alpha) / (n + self.alpha * self.V)
        return p.log(), seen[:, max(0, seen.shape[1] - self.order + 1) :]

    def extra_repr(self) -> str:
        kind = ", interpolate=True" * self.interpolate
        return f"order={self.order}, V={self.V}, alpha={self.alpha:g}{kind}"


class _Table:
    """How often each symbol came after each context, for contexts that are written as numbers."""

    def __init__(self, before: Tensor, symbols: Tensor, V: int):
        self.V = V
        pairs, self.count = torch.unique(before * V + symbols, return_counts=True)  # sorted
        self.symbol = pairs % V
        self.context, size = torch.unique_consecutive(pairs // V, return_counts=True)
        self.end = size.cumsum(0)
        self.size = size

    def counts(self, contexts: Tensor) -> Tensor:
        """The counts (N, V), float64, after contexts (N,); all 0 after one that never came."""
        contexts = contexts.contiguous()
        at = torch.searchsorted(self.context, contexts).clamp(max=len(self.context) - 1)
        size = torch.where(self.context[at] == contexts, self.size[at], 0)
        row = torch.arange(len(contexts)).repeat_interleave(size)
        step = torch.arange(len(row)) - (size.cumsum(0) - size)[row]
        entry = (self.end - self.size)[at][row] + step
        found = torch.zeros(len(contexts), self.V, dtype=torch.float64)
        found[row, self.symbol[entry]] = self.count[entry].double()
        return found


def _numbers(ids: Tensor, k: int, V: int) -> Tensor:
    """The last k symbols at every place of ids (B, T), as one number in base V, (B, T).

    Where fewer than k are there, the number means nothing.
    """
    number = torch.zeros_like(ids)
    for back in reversed(range(k)):
        number = number * V + F.pad(ids, (back, 0))[:, : ids.shape[1]]
    return number


# -- networks --------------------------------------------------------------------------------------


class MLP(nn.Module):
    """The last n symbols, each as a vector, through one hidden layer: Bengio et al. 2003, eq. 1.

    logits = b + U·tanh(d + H·(e_{t−n+1}, …, e_t)), with vectors e of ``width`` numbers and
    ``hidden`` units. What lies before the beginning of a text is a symbol of its own.
    """

    context = None

    def __init__(self, V: int, last: int = 12, width: int = 16, hidden: int = 192):
        super().__init__()
        if min(V, last, width, hidden) < 1:
            raise ValueError("V, last, width and hidden must be 1 or more.")
        self.V, self.last = V, last
        self.embed = nn.Embedding(V + 1, width)  # the last one: before the beginning
        self.hidden = nn.Linear(last * width, hidden)
        self.out = nn.Linear(hidden, V)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) for ids (B, T)."""
        return self.advance(ids)[0]

    def advance(self, ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same after what the state remembers: the last n − 1 symbols, (B, n − 1)."""
        if state is None:
            state = ids.new_full((len(ids), self.last - 1), self.V)
        seen = torch.cat([state, ids], 1)
        windows = self.embed(seen).unfold(1, self.last, 1)  # (B, T, width, n)
        logits = self.out(torch.tanh(self.hidden(windows.flatten(2))))
        return logits, seen[:, seen.shape[1] - self.last + 1 :]


class RNN(nn.Module):
    """A network that carries a state h from symbol to symbol: ``kind`` is "gru" or "lstm".

    Symbols become vectors of ``width`` numbers, go through ``layers`` recurrent layers of
    ``hidden`` units (GRU: Cho et al. 2014; LSTM: Hochreiter and Schmidhuber 1997, with the
    forget gate of Gers et al. 2000), and h becomes logits. ``dropout`` hides that share of the
    vectors and of h while training (Zaremba et al. 2014: between layers, never in time). The
    layers are torch's; ``by_hand`` computes the same from ``gru_step`` and ``lstm_step``.
    """

    context = None

    def __init__(
        self,
        V: int,
        hidden: int = 384,
        width: int = 64,
        layers: int = 1,
        *,
        kind: str = "gru",
        dropout: float = 0.0,
    ):
        super().__init__()
        if kind not in ("gru", "lstm"):
            raise ValueError(f"kind={kind!r}: it is 'gru' or 'lstm'.")
        self.V, self.kind = V, kind
        self.embed = nn.Embedding(V, width)
        layer = nn.GRU if kind == "gru" else nn.LSTM
        between = dropout if layers > 1 else 0.0
        self.recurrent = layer(width, hidden, layers, batch_first=True, dropout=between)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, V)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) for ids (B, T), from the state 0."""
        return self.advance(ids)[0]

    def advance(self, ids: Tensor, state=None):
        """Logits and the new state: h (B, layers, hidden), for an LSTM the pair (h, c)."""
        before = None if state is None else _each(state, _turned)
        h, after = self.recurrent(self.drop(self.embed(ids)), before)
        return self.out(self.drop(h)), _each(after, _turned)

    def by_hand(self, ids: Tensor, step: Callable | None = None) -> Tensor:
        """The logits (B, T, V) again, one step after the other, by the formulas; no dropout.

        ``step``: another formula to try, which takes what ``gru_step`` or ``lstm_step`` takes.
        """
        x, step = self.embed(ids), step or (gru_step if self.kind == "gru" else lstm_step)
        for layer in range(self.recurrent.num_layers):
            weights = [getattr(self.recurrent, f"{name}_l{layer}") for name in
                       ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]  # fmt: skip
            h = x.new_zeros(len(x), self.recurrent.hidden_size)
            state, rows = (h if self.kind == "gru" else (h, h)), []
            for t in range(x.shape[1]):
                state = step(x[:, t], state, *weights)
                rows.append(state if self.kind == "gru" else state[0])
            x = torch.stack(rows, 1)
        return self.out(x)


def gru_step(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor) -> Tensor:
    """One step of a GRU: input x (B, E) and state h (B, H) → the new state (B, H).

    r = σ(W_r x + U_r h), z = σ(W_z x + U_z h), n = tanh(W_n x + r ⊙ (U_n h)), each with biases;
    h' = (1 − z) ⊙ n + z ⊙ h. w_x (3H, E) holds W_r, W_z, W_n, and w_h (3H, H) the U, in torch's
    order. Cho et al. 2014, eq. 5–8, where r multiplies h before the matrix and z is turned round.
    """
    r_x, z_x, n_x = F.linear(x, w_x, b_x).chunk(3, -1)
    r_h, z_h, n_h = F.linear(h, w_h, b_h).chunk(3, -1)
    r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    n = torch.tanh(n_x + r * n_h)
    return (1 - z) * n + z * h


def lstm_step(
    x: Tensor, state: tuple[Tensor, Tensor], w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: input x (B, E) and state (h, c), each (B, H) → the new (h, c).

    i, f, o = σ(…), g = tanh(…), all of W x + U h with biases; c' = f ⊙ c + i ⊙ g;
    h' = o ⊙ tanh(c'). w_x (4H, E) and w_h (4H, H) hold i, f, g, o. Gers et al. 2000.
    """
    h, c = state
    i, f, g, o = (F.linear(x, w_x, b_x) + F.linear(h, w_h, b_h)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _turned(x: Tensor) -> Tensor:
    """torch keeps states as (layers, B, H), we as (B, layers, H): the batch comes first."""
    return x.transpose(0, 1).contiguous()


def _each(state, change):
    return tuple(map(change, state)) if isinstance(state, tuple) else change(state)


# -- worlds in which every sequence can be listed --------------------------------------------------


class Law(nn.Module):
    """A language model that is a table: the next symbol depends on the last ``order`` ones.

    log_p: (V, …, V), order + 1 axes, log-probabilities of the last axis given the others, the
    oldest symbol first. A text of fewer than ``order`` symbols is taken to begin with symbol 0.
    Its law is known exactly, so a model's errors can be, too. Raises ValueError for a table that is
    not square or whose rows do not sum to 1.
    """

    context = None

    def __init__(self, log_p: Tensor):
        super().__init__()
        if log_p.ndim < 2 or len(set(log_p.shape)) != 1:
            raise ValueError(f"a table is (V, …, V) with 2 axes or more, not {tuple(log_p.shape)}.")
        if not torch.allclose(log_p.exp().sum(-1), torch.ones(()).to(log_p), atol=1e-5):
            raise ValueError("the probabilities of some row do not sum to 1: use log_softmax(-1).")
        self.V, self.order = len(log_p), log_p.ndim - 1
        self.register_buffer("log_p", log_p.detach().clone())

    @classmethod
    def random(cls, V: int, order: int, seed: int = 0, sharpness: float = 1.5) -> Law:
        """Logits from N(0, sharpness²), float64: the larger, the more certain the next symbol."""
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn((V,) * (order + 1), generator=generator, dtype=torch.float64)
        return cls((sharpness * logits).log_softmax(-1))

    def forward(self, ids: Tensor) -> Tensor:
        """Log-probabilities (B, T, V) for ids (B, T)."""
        return self.advance(ids)[0]

    def advance(self, ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same after what the state remembers: the last order − 1 symbols."""
        if state is None:
            state = ids.new_zeros(len(ids), self.order - 1)
        seen = torch.cat([state, ids], 1)
        number = _numbers(seen, self.order, self.V)[:, self.order - 1 :]
        rows = self.log_p.reshape(-1, self.V)  # type: ignore[operator]
        return rows[number], seen[:, seen.shape[1] - self.order + 1 :]


def all_sequences(V: int, length: int) -> Tensor:
    """Every sequence of ``length`` symbols 0 … V − 1, (V^length, length), in counting order.

    Raises ValueError for more than four million.
    """
    if V < 1 or length < 1 or V**length > 4_000_000:
        raise ValueError(f"{V}^{length} sequences are too many to list, or none: stay below 4·10⁶.")
    place = V ** torch.arange(length - 1, -1, -1)
    return torch.arange(V**length)[:, None] // place % V


@torch.no_grad()
def log_steps(model: nn.Module, start: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """For every sequence after ``start`` (T0,): its symbols, and all step log-probabilities.

    (V^length, length) and (V^length, length, V), float64. The log-probabilities of the symbols
    that come, summed over the steps, are log p(x_1, …, x_T | start): see ``log_joint``.
    """
    x = all_sequences(model.V, length)
    with evaluating(model) as device:
        ids = torch.cat([start.expand(len(x), -1), x], 1).to(device)
        log_p = model(ids[:, :-1])[:, len(start) - 1 :].cpu().double().log_softmax(-1)
    return x, log_p


def log_joint(model: nn.Module, start: Tensor, length: int) -> Tensor:
    """log p(x_1, …, x_T | start) of every sequence, (V^T,), in the order of ``all_sequences``.

    By the chain rule: the sum of the steps. Its exp sums to 1, whatever the model.
    """
    x, log_p = log_steps(model, start, length)
    return log_p.gather(-1, x[..., None]).sum((-2, -1))


def step_errors(law: nn.Module, model: nn.Module, start: Tensor, length: int):
    """How wrong each step is, on the law's beginnings and on the model's own: two (T,), in nats.

    KL_t(x_<t) = D_KL(law(· | x_<t) ‖ model(· | x_<t)) is averaged over the beginnings x_<t that
    the law draws (what training sees: teacher forcing), and over those that the model draws (what
    it sees when it writes). Exact, by listing every sequence. The first, summed over the steps,
    is D_KL(law ‖ model) of whole sequences; the second is no divergence of anything. Where it
    is larger than the first, the model is worse where it leads itself: exposure bias (Ranzato et
    al. 2016, section 1).
    """
    x, log_p = log_steps(law, start, length)
    _, log_q = log_steps(model, start, length)
    kl = (log_p.exp() * (log_p - log_q)).sum(-1)  # (V^T, T)
    chosen = [each.gather(-1, x[..., None]).sum((-2, -1)).exp() for each in (log_p, log_q)]
    on_data, on_own = ((weight[:, None] * kl).sum(0) for weight in chosen)
    return on_data, on_own


def _check_symbols(ids: Tensor, V: int) -> None:
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= V):
        raise ValueError(f"symbols run from {int(ids.min())} to {int(ids.max())}; the model knows "
                         f"0 to {V - 1}.")  # fmt: skip
