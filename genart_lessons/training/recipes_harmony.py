"""How the harmoniser's weights are made, and what they are measured by; see ``recipes.RECIPES``."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from genart_lessons import data, runtime
from genart_lessons.models import harmony, voices
from genart_lessons.training.batches import _mix, equal_slice
from genart_lessons.training.checkpoint import data_print
from genart_lessons.training.loop import fit
from genart_lessons.training.muon import Muon
from genart_lessons.training.run import History

HARMONY: dict = dict(optimizer=Muon, lr=0.02, schedule="cosine", warmup=20)
HARMONY_STEPS = BLIND_STEPS = 900
LONGEST = 192  # steps: what is longer costs much and is rare
VALIDATION = 10  # every tenth chorale of the training split does not teach, but says when to stop
EVERY = 100  # steps from one look at them to the next


class ChoraleBatches:
    """Whole chorales, transposed by chance: a pure function of the seed and the step.

    The chorales of a batch are about equally long, and shorter ones are filled up with HOLD. An
    epoch deals out all of them, in a random order. A chorale is moved by up to six semitones, so
    far as its voices stay within the compass that the same voices have in ``chorales``; of one that
    is longer than LONGEST steps, so many are taken, from a beat on that chance chooses.

    A batch is ``{"said": (B, T, 4), "lengths": (B,)}``, what ``harmony.loss`` takes. Raises
    ValueError for a batch that is larger than the data.
    """

    def __init__(self, chorales: data.Chorales, batch_size: int = 8, *, seed: int = 0):
        self.grids, self.starts = chorales.grids, chorales.starts
        if not 1 <= batch_size <= len(self.grids):
            raise ValueError(f"batch_size={batch_size}: give 1 to {len(self.grids)} chorales.")
        self.batch_size, self.seed = batch_size, seed
        self.room = shifts(chorales.grids)
        self._generator = torch.Generator()
        self._orders: dict[int, Tensor] = {}

    @property
    def settings(self) -> dict[str, object]:
        """What a resumed run must have in common with the first."""
        tensors = {"grid": torch.cat(self.grids), "starts": torch.cat(self.starts)}
        return {"batch_size": self.batch_size, "seed": self.seed, "data": data_print(tensors)}

    def at(self, step: int, part: int = 0, parts: int = 1) -> dict[str, Tensor]:
        """The batch of a step; or part ``part`` of ``parts`` equal slices of it."""
        mine = equal_slice(self.batch_size, part, parts)
        epoch, place = divmod(step, len(self.grids) // self.batch_size)
        rows = self._order(epoch)[place].tolist()
        chance = torch.rand(len(rows), 2, generator=self._seeded(1, step)).tolist()
        moved = [self._moved(row, *chosen) for row, chosen in zip(rows, chance, strict=True)]
        lengths = torch.tensor([len(said) for said in moved])
        full = nn.utils.rnn.pad_sequence(moved, True, float(harmony.HOLD))
        return {"said": full[mine], "lengths": lengths[mine]}

    def _moved(self, row: int, up: float, along: float) -> Tensor:
        """The symbols (T, 4) of a chorale, moved up or down; two numbers from 0 to 1 choose."""
        low, high = self.room[row]
        beats = max(0, len(self.grids[row]) - LONGEST) // harmony.STEPS_PER_QUARTER
        first = int(along * (beats + 1)) * harmony.STEPS_PER_QUARTER
        grid = self.grids[row][first : first + LONGEST]
        starts = self.starts[row][first : first + LONGEST].clone()
        starts[0] = grid[0] > 0  # what was held into the first step begins there
        by = low + int(up * (high - low + 1))
        return harmony.symbols(torch.where(grid > 0, grid + by, 0), starts)

    def _order(self, epoch: int) -> Tensor:
        """The batches of an epoch, (number, B): neighbours in length, give or take a bar or two."""
        if epoch not in self._orders:
            generator = self._seeded(0, epoch)
            lengths = torch.tensor([min(LONGEST, len(grid)) for grid in self.grids])
            order = (lengths + 16 * torch.rand(len(lengths), generator=generator)).argsort()
            whole = len(order) // self.batch_size * self.batch_size
            left_out = torch.randperm(len(order), generator=generator)[: len(order) - whole]
            order = order[~torch.isin(order, left_out)].view(-1, self.batch_size)
            shuffled = torch.randperm(len(order), generator=generator)
            self._orders = {epoch: order[shuffled]}
        return self._orders[epoch]

    def _seeded(self, purpose: int, number: int) -> torch.Generator:
        return self._generator.manual_seed(_mix(_mix(2 * self.seed + purpose) + number))


def shifts(grids: Sequence[Tensor], most: int = 6) -> list[tuple[int, int]]:
    """By how many semitones each grid (T, 4) may be moved, (lowest, highest): 0 is always allowed.

    No voice leaves the compass that it has in all the grids together.
    """
    ends = torch.stack([_compass(grid) for grid in grids])  # (N, 4, 2)
    low, high = ends[..., 0].amin(0), ends[..., 1].amax(0)
    down = (low - ends[..., 0]).amax(1).clamp(min=-most)
    up = (high - ends[..., 1]).amin(1).clamp(max=most)
    return list(zip(down.tolist(), up.tolist(), strict=True))


def _compass(grid: Tensor) -> Tensor:
    """The lowest and the highest pitch of each voice, (4, 2)."""
    low = grid.masked_fill(grid == 0, 128).amin(0)
    return torch.stack([low, grid.amax(0)], dim=1)


class Best:
    """A loss that looks at held-out chorales now and then, and keeps the weights that did best.

    ``every``: steps between looks. ``put_back(model)`` after training restores the best weights,
    which is early stopping without having to stop. ``seen``: step → nats a symbol.
    """

    def __init__(self, held_out: data.Chorales, every: int = EVERY):
        self.held_out, self.every = held_out, every
        self.seen: dict[int, float] = {}
        self.state: dict[str, Tensor] = {}

    def __call__(self, model: nn.Module, batch: dict) -> Tensor:
        if int(batch["step"]) % self.every == 0 and int(batch["step"]):
            self.look(model, int(batch["step"]))
        return harmony.loss(model, batch)

    def look(self, model: nn.Module, step: int) -> None:
        """Measure the model now, and keep its weights if there were no better ones."""
        nats, _ = harmony.mean_nats(harmony.by_chorale(model, self.held_out))
        if nats <= min(self.seen.values(), default=nats):
            self.state = copy.deepcopy(model.state_dict())
        self.seen[step] = nats

    def put_back(self, model: nn.Module) -> nn.Module:
        model.load_state_dict(self.state)
        return model


def teaching_and_held_out(chorales: data.Chorales) -> tuple[data.Chorales, data.Chorales]:
    """The training chorales in two: those that teach, and every tenth, which only judges."""
    numbers = range(len(chorales.grids))
    return (
        chorales.take([i for i in numbers if i % VALIDATION]),
        chorales.take([i for i in numbers if not i % VALIDATION]),
    )


def train_harmony(
    steps: int, seed: int = 0, *, sighted: bool = True
) -> tuple[harmony.Harmoniser, History]:
    """The harmoniser of chapter 06; ``sighted=False``: the decoder alone, to compare with."""
    runtime.seed_everything(seed)
    teaching, held_out = teaching_and_held_out(harmony.in_eighths(data.chorales("train")))
    model, best = harmony.Harmoniser(sighted=sighted), Best(held_out)
    name = "harmony" if sighted else "harmony_blind"
    batches = ChoraleBatches(teaching, seed=seed)
    history = fit(model, best, batches, steps=steps, name=name, **HARMONY)
    best.look(model, history.steps)
    return best.put_back(model).cpu(), history


train_blind = partial(train_harmony, sighted=False)


def measure_harmony(model: harmony.Harmoniser) -> dict[str, float]:
    """Nats a symbol on the unseen chorales, notes guessed; the rules of its own harmonisations."""
    test = harmony.in_eighths(data.chorales("test"))
    found = harmony.by_chorale(model, test)
    nats, error = harmony.mean_nats(found)
    results = {
        "test_nats": nats,
        "test_nats_se": error,
        "test_notes_guessed": float(found[:, 3].sum() / found[:, 2].sum()),
    }
    if model.encoder is None:
        return results
    made = harmonise_all(model, test)
    bach = voices.figures(test.grids, test.starts, harmony.STEPS_PER_QUARTER)
    ours = voices.figures(*made, harmony.STEPS_PER_QUARTER)
    results |= {f"own_{name}": value for name, value in ours.items()}
    return results | {f"bach_{name}": value for name, value in bach.items()}


def harmonise_all(
    model: harmony.Harmoniser, chorales: data.Chorales, seed: int = 0, **rule
) -> tuple[list[Tensor], list[Tensor]]:
    """A harmonisation of every melody: the grids and their starts. ``rule``: temperature, top_p."""
    melodies = [
        (grid[:, 0], starts[:, 0])
        for grid, starts in zip(chorales.grids, chorales.starts, strict=True)
    ]
    generator = torch.Generator().manual_seed(seed)
    made = model.harmonise_all(melodies, generator=generator, **rule)
    return [grid for grid, _ in made], [starts for _, starts in made]
