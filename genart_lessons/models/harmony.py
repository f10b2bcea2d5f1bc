"""Soprano in; alto, tenor and bass out: an encoder–decoder on Bach's chorales, for chapter 06.

The encoder reads the whole melody, forwards and backwards alike. The decoder writes the three lower
voices one symbol after the other, seeing all that it has written, and looks at the melody through
cross-attention (Vaswani et al. 2017, section 3.1).

Music comes as a grid (T, 4) of MIDI pitches with ``starts`` (T, 4), see ``models.voices``. A voice
says one *symbol* a step: a pitch, where a note begins; REST, where a rest begins; HOLD, where all
goes on as it was. Before the first step there is silence. In each step the bass comes first, as it
does for whoever learns to harmonise, then tenor and alto: ORDER. So a harmonisation of T steps is a
sequence of 3·T symbols, and its likelihood is exact: the product of theirs (equation 5.1).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons import data
from genart_lessons.models import sampling
from genart_lessons.models.likelihood import evaluating
from genart_lessons.models.transformer import MODERN, Block, Past, attention_maps, causal_mask
from genart_lessons.models.voices import VOICES, breaks_a_rule, check_grid

LOW, HIGH = 36, 81  # the lowest and highest pitch that the chorales use
SOPRANO = (57, 81)  # the soprano's own
REST, HOLD = HIGH - LOW + 1, HIGH - LOW + 2
V = HOLD + 1  # what a voice can say
ORDER = (3, 2, 1)  # bass, tenor, alto: columns of the grid
STEPS_PER_QUARTER = 2  # an eighth note a step
METERS = ("C", "C|", "2/2", "2/4", "3/2", "3/4", "4/4")  # beats that are halved, as in the chorales


# -- grids and symbols ----------------------------------------------------------------------------


def symbols(grid: Tensor, starts: Tensor) -> Tensor:
    """What each voice says at each step, (T, 4): 0 … HIGH − LOW a pitch, REST or HOLD.

    Raises ValueError for a pitch outside LOW … HIGH, and for one that changes without a start.
    """
    check_grid(grid, starts)
    _check_compass(grid)
    before = torch.cat([torch.zeros_like(grid[:1]), grid[:-1]])
    sliding = (grid > 0) & ~starts & (grid != before)
    if sliding.any():
        t, v = sliding.nonzero()[0].tolist()
        raise ValueError(f"at step {t} the {VOICES[v]} has a new pitch, but no note starts there.")
    said = torch.full_like(grid, HOLD)
    said[(grid == 0) & (before > 0)] = REST
    begins = starts & (grid > 0)
    said[begins] = grid[begins] - LOW
    return said


def grid_of(said: Tensor) -> tuple[Tensor, Tensor]:
    """The grid and the starts of symbols (T, 4): ``symbols`` undone."""
    sounding = sounds(said)
    grid = torch.where(sounding < REST, sounding + LOW, 0)
    return grid, said < REST


def sounds(said: Tensor) -> Tensor:
    """What sounds after each step, for symbols (…, T, voices): a pitch, or REST.

    It is the last thing that the voice said, HOLD aside.
    """
    steps = torch.arange(said.shape[-2], device=said.device)[:, None]
    last = torch.where(said != HOLD, steps, -1).cummax(-2).values
    found = said.gather(-2, last.clamp(min=0))
    return torch.where(last < 0, REST, found)


def in_eighths(chorales: data.Chorales) -> data.Chorales:
    """The chorales with every second step left out: what the model learns from.

    One note in eighty begins between two eighths. It begins an eighth's half later here if it still
    sounds then, and is left out if it does not. Sixteenths would double the length of what has to
    be attended to, for these few notes' sake.
    """
    step = chorales.steps_per_quarter // STEPS_PER_QUARTER
    if step * STEPS_PER_QUARTER != chorales.steps_per_quarter:
        raise ValueError(f"{chorales.steps_per_quarter} steps a quarter cannot become eighths.")
    starts = []
    for grid, begins in zip(chorales.grids, chorales.starts, strict=True):
        recent = begins.clone()
        for back in range(1, step):
            recent[back:] |= begins[:-back]
        starts.append(recent[::step] & (grid[::step] > 0))
    return replace(
        chorales,
        grids=[grid[::step] for grid in chorales.grids],
        starts=starts,
        fermatas=[each[::step] for each in chorales.fermatas],
        bar_starts=[[bar // step for bar in bars] for bars in chorales.bar_starts],
        steps_per_quarter=STEPS_PER_QUARTER,
    )


def soprano_of(
    score: data.Score, *, part: int = 0, transpose: int = 0, slower: int = 1
) -> tuple[Tensor, Tensor]:
    """The melody of a score as ``harmonise`` takes it: pitches (T,) and starts (T,), in eighths.

    ``part``: which of its parts; ``transpose``: semitones; ``slower=2``: every note twice as long.
    (A reel in eighths is too quick for a choir, and is a chorale melody at half the speed.) An
    incomplete first bar is filled up with rests from the front until a beat begins the grid.

    Raises ValueError for another metre than METERS, for notes that do not begin on an eighth, for
    several at once, and for pitches that no soprano of the chorales sings.
    """
    if slower < 1 or slower != int(slower):
        raise ValueError(f"slower={slower}: a whole number from 1, how many times as long.")
    if score.meter not in METERS:
        raise ValueError(
            f"{score.title or 'this tune'} is in {score.meter}; the model knows the beats of "
            f"chorales, that are halved: {', '.join(METERS)}."
        )
    notes = sorted((n for n in score.notes if n.part == part), key=lambda n: n.start)
    if not notes:
        raise ValueError(f"part {part} has no notes; there are {len(score.parts)} parts.")
    per = STEPS_PER_QUARTER * slower
    bars = [bar for bar in score.bar_starts if bar > 0]
    front = round(-bars[0] * slower * STEPS_PER_QUARTER) % STEPS_PER_QUARTER if bars else 0
    ends = [_on_grid(n.start + n.length, per) + front for n in notes]
    soprano = torch.zeros(max(ends) + -max(ends) % STEPS_PER_QUARTER, dtype=torch.long)
    starts = torch.zeros(len(soprano), dtype=torch.bool)
    for note, end in zip(notes, ends, strict=True):
        start = _on_grid(note.start, per) + front
        if soprano[start]:
            raise ValueError(
                f"two notes of part {part} sound at quarter {float(note.start):g}: a melody has "
                "one at a time."
            )
        soprano[start:end] = note.pitch + transpose
        starts[start] = True
    low, high = int(soprano[soprano > 0].min()), int(soprano.max())
    if low < SOPRANO[0] or high > SOPRANO[1]:
        way = -12 if high > SOPRANO[1] else 12
        raise ValueError(
            f"the melody runs from {low} to {high}; a soprano of the chorales sings MIDI "
            f"{SOPRANO[0]} to {SOPRANO[1]}. Try transpose={transpose + way}, or fewer semitones."
        )
    return soprano, starts


def _on_grid(quarters: Fraction | float, per: int) -> int:
    step = Fraction(quarters) * per
    if step.denominator != 1:
        raise ValueError(
            f"a note begins or ends at quarter {float(quarters):g}, between two eighths of the "
            "grid: give slower=2, or simplify the tune."
        )
    return int(step)


# -- the model -------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """The melody, each note in the light of all others: no mask, so it sees before and behind.

    ``said`` (B, S), the soprano's symbols; ``real`` (B, S), False where a shorter melody was filled
    up → memory (B, S, width).
    """

    def __init__(self, width: int, heads: int, layers: int, dropout: float):
        super().__init__()
        self.embed = Embed(width, "soprano", "begins", "beat")
        self.blocks = nn.ModuleList(
            Block(width, heads, dropout=dropout, design=MODERN) for _ in range(layers)
        )
        self.norm = MODERN.norm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, said: Tensor, real: Tensor) -> Tensor:
        steps = torch.arange(said.shape[1], device=said.device)
        pitch = sounds(said[..., None])[..., 0]
        x = self.embed(soprano=pitch, begins=said != HOLD, beat=steps % STEPS_PER_QUARTER)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, mask=real[:, None, None], positions=steps)
        return self.norm(x)


class Decoder(nn.Module):
    """The lower voices, symbol by symbol: each sees those before it and, in the memory, the melody.

    The place 3·t + i writes what voice ORDER[i] says at step t. It is told which voice that is,
    where in the quarter note it stands, and what it has heard: see ``Heard``. ``memory`` (B, S,
    width), or None for a decoder that is not ``sighted``.
    """

    def __init__(self, width: int, heads: int, layers: int, dropout: float, sighted: bool):
        super().__init__()
        self.embed = Embed(width, "bass", "tenor", "alto", "begins", "beat", "voice")
        self.blocks = nn.ModuleList(
            Block(width, heads, cross=sighted, dropout=dropout, design=MODERN)
            for _ in range(layers)
        )
        self.norm = MODERN.norm(width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, V)
        nn.init.zeros_(self.out.weight)  # at first, all symbols are equally likely

    def forward(
        self,
        heard: Heard,
        memory: Tensor | None,
        real: Tensor | None = None,
        pasts: Sequence[Past] | None = None,
    ) -> Tensor:
        """Logits (B, n, V) of n places in a row, those that follow what ``pasts`` hold, if any."""
        n, known = heard.bass.shape[1], len(pasts[0]) if pasts else 0
        places = torch.arange(known, known + n, device=heard.bass.device)
        steps, voice = places // 3, places % 3
        x = self.embed(**heard._asdict(), beat=steps % STEPS_PER_QUARTER, voice=voice)
        x = self.dropout(x)
        mask = causal_mask(n, known + n, x.device)
        seen = None if real is None else real[:, None, None]
        for i, block in enumerate(self.blocks):
            x = block(x, mask, memory, seen, pasts[i] if pasts else None, positions=steps)
        return self.out(self.norm(x))


class Heard(NamedTuple):
    """What the lower voices have done before each of n places, (B, n) each.

    ``bass``, ``tenor``, ``alto``: what each was sounding after all that had been said (REST:
    silence). ``begins``: whether the last symbol was more than HOLD.
    """

    bass: Tensor
    tenor: Tensor
    alto: Tensor
    begins: Tensor


def heard(said: Tensor) -> Heard:
    """What precedes each place, of lower voices (B, T, 3) in the ORDER; each (B, 3·T).

    Place k is told of places before k alone: that is what makes the decoder autoregressive.
    """
    sounding = sounds(said)
    n = 3 * said.shape[1]
    bass, tenor, alto = (  # voice i has spoken at the places 3·t + i + 1 and after
        F.pad(voice.repeat_interleave(3, dim=1), (i + 1, 0), value=REST)[:, :n]
        for i, voice in enumerate(sounding.unbind(-1))
    )
    return Heard(bass, tenor, alto, F.pad((said != HOLD).flatten(1), (1, 0))[:, :n])


class Embed(nn.Module):
    """The sum of a table row for each thing that is told: (B, n) numbers each → (B, n, width).

    A pitch has two rows, one its own and one for all octaves of it, so that what is learnt of one F
    helps with every other.
    """

    PITCHES = ("soprano", "bass", "tenor", "alto")
    SIZES = dict.fromkeys(PITCHES, REST + 1) | {"begins": 2, "voice": 3, "beat": STEPS_PER_QUARTER}

    def __init__(self, width: int, *names: str):
        super().__init__()
        self.tables = nn.ModuleDict({name: nn.Embedding(self.SIZES[name], width) for name in names})
        pitches = [name for name in names if name in self.PITCHES]
        self.octaves = nn.ModuleDict({name: nn.Embedding(13, width) for name in pitches})
        for table in [*self.tables.values(), *self.octaves.values()]:
            nn.init.normal_(table.weight, 0.0, 0.05)

    def forward(self, **told: Tensor) -> Tensor:
        rows = [table(told[name].long()) for name, table in self.tables.items()]
        for name, table in self.octaves.items():
            rows.append(table(torch.where(told[name] < REST, told[name] % 12, 12)))
        return sum(rows[1:], rows[0])


class Harmoniser(nn.Module):
    """p(alto, tenor, bass | soprano), one symbol at a time: an Encoder and a Decoder.

    ``sighted=False``: the same decoder, without an encoder and without cross-attention. It knows
    how lower voices go, but not what is sung above: the difference is what the melody is worth.
    """

    def __init__(
        self,
        *,
        width: int = 128,
        heads: int = 4,
        layers: tuple[int, int] = (2, 2),
        dropout: float = 0.1,
        sighted: bool = True,
    ):
        super().__init__()
        self.encoder = Encoder(width, heads, layers[0], dropout) if sighted else None
        self.decoder = Decoder(width, heads, layers[1], dropout, sighted)

    def forward(self, said: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (B, T, 3, V) of what the lower voices say, for all voices' symbols (B, T, 4).

        The voices of the third axis are in the ORDER. ``lengths`` (B,): how many steps of each are
        real, when shorter ones were filled up with HOLD. Teacher forcing: each place is told Bach's
        own symbols before it.
        """
        steps = torch.arange(said.shape[1], device=said.device)
        real = None if lengths is None else steps < lengths[:, None]
        lower = said[..., list(ORDER)]
        logits = self.decoder(heard(lower), self.remember(said[..., 0], real), real)
        return logits.unflatten(1, (-1, 3))

    def remember(self, soprano: Tensor, real: Tensor | None = None) -> Tensor | None:
        """The encoder's memory (B, S, width) of a soprano's symbols (B, S); None if not sighted."""
        if self.encoder is None:
            return None
        return self.encoder(soprano, torch.ones_like(soprano).bool() if real is None else real)

    def harmonise(
        self, soprano: Tensor, starts: Tensor, *, generator: torch.Generator | None = None, **rule
    ) -> tuple[Tensor, Tensor]:
        """Alto, tenor and bass for a melody: a grid (T, 4) and its starts (T, 4).

        ``soprano`` (T,) MIDI pitches, 0 a rest, an eighth note a step, from a beat on; ``starts``
        (T,) boolean. It comes back as it was. ``rule``: see ``harmonise_all``.
        """
        return self.harmonise_all([(soprano, starts)], generator=generator, **rule)[0]

    @torch.no_grad()
    def harmonise_all(
        self,
        melodies: Sequence[tuple[Tensor, Tensor]],
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        strict: bool = False,
        generator: torch.Generator | None = None,
    ) -> list[tuple[Tensor, Tensor]]:
        """A harmonisation of each of these melodies, all written side by side, step by step.

        One symbol after the other is drawn as in chapter 05: see ``sampling.adjusted``. ``strict``:
        a symbol that makes parallel fifths or octaves, or crosses voices, is never drawn. Keys and
        values of the past are kept, so a chorale takes a second or two, and a dozen hardly more.
        Raises ValueError for a melody that is empty, too low or too high.
        """
        given = [symbols(*_alone(*melody)) for melody in melodies]
        said = nn.utils.rnn.pad_sequence(given, True, float(HOLD))  # (B, T, 4)
        lengths = torch.tensor([len(each) for each in given])
        real = torch.arange(said.shape[1]) < lengths[:, None]
        with evaluating(self) as device:
            seen = None if bool(real.all()) else real.to(device)
            memory = self.remember(said[..., 0].to(device), seen)
            pasts = [Past() for _ in self.decoder.blocks]
            sounding = torch.full((len(given), 3), REST)  # of the lower voices, in the ORDER
            begun = torch.zeros(len(given), dtype=torch.long)  # whether the last symbol was no HOLD
            for k in range(3 * said.shape[1]):
                here = Heard(*(x[:, None].to(device) for x in (*sounding.unbind(1), begun)))
                logits = self.decoder(here, memory, seen, pasts)[:, -1].double().cpu()
                if strict:
                    wrong = [_against_rules(row, k) for row in said]
                    logits = logits.masked_fill(torch.stack(wrong), -math.inf)
                log_p = sampling.adjusted(logits, temperature, top_k, top_p)
                now = sampling.draw(log_p, generator)
                said[:, k // 3, ORDER[k % 3]], begun = now, (now != HOLD).long()
                sounding[:, k % 3] = torch.where(now != HOLD, now, sounding[:, k % 3])
        return [grid_of(row[:n]) for row, n in zip(said, lengths, strict=True)]


def _against_rules(said: Tensor, k: int) -> Tensor:
    """What may not be said at place k, (V,), after all that has been, (T, 4). A rest always may."""
    t, voice = k // 3, ORDER[k % 3]
    sounding = F.pad(sounds(said[: t + 1]), (0, 0, 1, 0), value=REST)[-2:]
    before, now = torch.where(sounding < REST, sounding + LOW, 0).tolist()
    still = before[voice]
    for later in ORDER[k % 3 :]:
        now[later] = None
    pitches = [*range(LOW, HIGH + 1), 0, still]
    return torch.tensor([breaks_a_rule(p, voice, before, now) for p in pitches])


def loss(model: Harmoniser, batch: dict[str, Tensor]) -> Tensor:
    """−log p of the lower voices' symbols, the mean over the real ones, in nats.

    batch: ``said`` (B, T, 4) and ``lengths`` (B,). What ``training.fit`` takes.
    """
    said, lengths = batch["said"], batch["lengths"]
    real = torch.arange(said.shape[1], device=said.device) < lengths[:, None]
    logits = model(said, lengths)[real]  # (real steps, 3, V)
    return F.cross_entropy(logits.flatten(0, 1), said[..., list(ORDER)][real].flatten())


def _alone(soprano: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """A grid with nothing below the soprano. Raises ValueError for what is no melody."""
    if soprano.ndim != 1 or soprano.shape != starts.shape or len(soprano) == 0:
        raise ValueError(
            f"a melody is (T,) pitches and (T,) starts; these are {tuple(soprano.shape)} and "
            f"{tuple(starts.shape)}. Of a grid take grid[:, 0] and starts[:, 0]."
        )
    grid = torch.zeros(len(soprano), 4, dtype=torch.long)
    begins = torch.zeros(len(soprano), 4, dtype=torch.bool)
    grid[:, 0], begins[:, 0] = soprano, starts
    return grid, begins


def _check_compass(grid: Tensor) -> None:
    sounding = grid[grid > 0]
    if len(sounding) and not LOW <= int(sounding.min()) <= int(sounding.max()) <= HIGH:
        raise ValueError(
            f"the pitches run from {int(sounding.min())} to {int(sounding.max())}; the model knows "
            f"MIDI {LOW} (C2) to {HIGH} (A5). Transpose by octaves."
        )


# -- where the lower voices look -------------------------------------------------------------------


def cross_weights(model: Harmoniser, grid: Tensor, starts: Tensor) -> Tensor:
    """What each lower voice looks at in the melody, (L, H, T, 3, S): voices in the ORDER.

    At step t, before it speaks; S = T steps of the soprano. Raises ValueError for a model that has
    no cross-attention.
    """
    if model.encoder is None:
        raise ValueError("this Harmoniser is not sighted: it has no cross-attention to look at.")
    said = symbols(grid, starts)[None].to(next(model.parameters()).device)
    found = attention_maps(model, said)
    cross = torch.cat([each for name, each in found.items() if name.endswith("cross")]).cpu()
    return cross.unflatten(2, (-1, 3))


def looks_ahead(model: Harmoniser, chorales: data.Chorales, reach: int = 8) -> Tensor:
    """How far from the present step each head looks, (L, H, 3, 2·reach + 1): the mean weights.

    The last axis runs from ``reach`` steps back, through now, to as many ahead; the voices are in
    the ORDER. Where a melody has not begun or is over, nothing is counted.
    """
    total: Tensor | float = 0.0
    counted = torch.zeros(2 * reach + 1)
    for grid, starts in zip(chorales.grids, chorales.starts, strict=True):
        weights = F.pad(cross_weights(model, grid, starts), (reach, reach))  # (L, H, T, 3, S + …)
        T = len(grid)
        near = torch.arange(T)[:, None] + torch.arange(2 * reach + 1)  # the padded places
        rows = weights.transpose(2, 3).gather(4, near.expand(*weights.shape[:2], 3, -1, -1))
        total = total + rows.sum(3)
        counted += ((near >= reach) & (near < T + reach)).sum(0)
    return torch.as_tensor(total) / counted


# -- counting, to compare with ---------------------------------------------------------------------


class ChordCounts(nn.Module):
    """How often Bach wrote what, given the soprano's note: counts in place of a network.

    Pitches are counted as distances from the soprano, so that all keys are one. What is known of a
    symbol's surroundings comes in layers, each mixed with the one before, as in equation 5.11:
    which voice; whether the soprano begins a note, and the beat; what the lower voices have said at
    this step, the chord so far; and, with ``before``, what the voice itself was sounding.
    ``alpha``: how many counts the layer before is worth.
    """

    def __init__(self, alpha: float = 2.0, *, before: bool = True):
        super().__init__()
        self.alpha, self.before = alpha, before
        self.counts: dict[tuple, Counter] = defaultdict(Counter)
        self._vectors: dict[tuple, Tensor] = {}

    def fit(self, chorales: data.Chorales) -> ChordCounts:
        """Count. Returns itself."""
        for grid, starts in zip(chorales.grids, chorales.starts, strict=True):
            said = symbols(grid, starts)
            for symbol, layers, _ in self._places(said):
                for layer in layers:
                    self.counts[layer][symbol] += 1
        self._vectors.clear()
        return self

    def forward(self, said: Tensor) -> Tensor:
        """log p (B, T, 3, V), for all voices' symbols (B, T, 4), as ``Harmoniser`` gives logits."""
        rows = [self._row(layers, top) for one in said for _, layers, top in self._places(one)]
        return torch.stack(rows).view(*said.shape[:2], 3, V)

    def _row(self, layers: list[tuple], top: int) -> Tensor:
        """log p of what can be said, (V,), where the soprano sings ``top``."""
        p = torch.full((V,), 1 / V, dtype=torch.float64)
        for layer in layers:
            counts = self._vector(layer)
            here = torch.cat([counts[REST - top : 2 * REST - top], counts[2 * REST :]])
            p = (here + self.alpha * p) / (here.sum() + self.alpha)
        return p.log()

    def _vector(self, layer: tuple) -> Tensor:
        """A layer's counts: of pitches, from REST below the soprano's on; of REST; of HOLD."""
        if layer not in self._vectors:
            vector = torch.zeros(2 * REST + 2, dtype=torch.float64)
            for symbol, n in self.counts.get(layer, {}).items():
                vector[symbol] = n
            self._vectors[layer] = vector
        return self._vectors[layer]

    def _places(self, said: Tensor):
        """For each place: its symbol, its surroundings (layers), and the soprano's pitch."""
        sounding = sounds(said)
        for t, (row, now) in enumerate(zip(said.tolist(), sounding.tolist(), strict=True)):
            old = sounding[t - 1].tolist() if t else [REST] * 4
            top = now[0] if now[0] < REST else REST // 2
            sung = row[0] != HOLD, t % STEPS_PER_QUARTER, now[0] < REST
            chord: tuple[int, ...] = ()
            for v in ORDER:
                symbol = row[v] + REST if row[v] >= REST else row[v] - top + REST
                layers: list[tuple] = [(v,), (v, sung), (v, sung, chord)]
                if self.before:
                    was = old[v] - top if old[v] < REST else None
                    layers += [(v, sung, "was", was), (v, sung, chord, was)]
                yield symbol, layers, top
                chord = (*chord, symbol)


# -- what is measured ------------------------------------------------------------------------------


@torch.no_grad()
def nats(model: nn.Module, grid: Tensor, starts: Tensor) -> Tensor:
    """−log p of every symbol of the lower voices given the melody, (T, 3), voices in the ORDER.

    In nats. Their sum is minus the log-likelihood of this harmonisation. Works for a ``Harmoniser``
    and for ``ChordCounts``.
    """
    said = symbols(grid, starts)
    with evaluating(model) as device:
        log_p = model(said[None].to(device))[0].double().log_softmax(-1).cpu()
    return -log_p.gather(-1, said[:, list(ORDER), None])[..., 0]


@torch.no_grad()
def by_chorale(model: nn.Module, chorales: data.Chorales) -> Tensor:
    """For each chorale, (N, 4): nats, symbols, notes begun, and how many of these were guessed.

    A note is guessed when its pitch, at its place, is the likeliest symbol. (Were all symbols asked
    for, "hold on" would be right more than half the time.)
    """
    rows = []
    for grid, starts in zip(chorales.grids, chorales.starts, strict=True):
        said = symbols(grid, starts)
        with evaluating(model) as device:
            log_p = model(said[None].to(device))[0].double().log_softmax(-1).cpu()
        lower = said[:, list(ORDER)]
        notes = lower < REST
        right = (log_p.argmax(-1) == lower) & notes
        total = -log_p.gather(-1, lower[..., None]).sum()
        rows.append([float(total), lower.numel(), int(notes.sum()), int(right.sum())])
    return torch.tensor(rows, dtype=torch.float64)


def mean_nats(found: Tensor, other: Tensor | None = None) -> tuple[float, float]:
    """Nats a symbol and their standard error over chorales, from ``by_chorale``'s (N, 4).

    The chorale is what was drawn at random, not the symbol: a ratio of sums, and the error of a
    ratio. With ``other``, of the same chorales: the difference, found − other, paired. Raises
    ValueError for fewer than two chorales.
    """
    if len(found) < 2:
        raise ValueError("a standard error over chorales needs two of them at least.")
    n = found[:, 0] if other is None else found[:, 0] - other[:, 0]
    size = found[:, 1]
    mean = n.sum() / size.sum()
    rest = n - mean * size
    error = rest.square().sum().sqrt() / size.sum() * math.sqrt(len(n) / (len(n) - 1))
    return float(mean), float(error)
