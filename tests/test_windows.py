"""Windows of a text and what a model is worth on one: each symbol once, nothing seen too early."""

import math

import pytest
import torch
from torch import nn

from genart_lessons.models import likelihood
from genart_lessons.training import Windows, fit

STREAM = torch.arange(1000)  # a symbol says where it stands


# -- windows -------------------------------------------------------------------------------------


def test_targets_are_one_further_on_and_a_step_is_always_the_same_batch():
    windows = Windows(STREAM, 16, 8, seed=3)
    batch = windows.at(5)
    assert batch["ids"].shape == batch["targets"].shape == (8, 16)
    assert torch.equal(batch["targets"], batch["ids"] + 1)
    windows.at(200), windows.at(0)
    again = Windows(STREAM, 16, 8, seed=3).at(5)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["ids"], Windows(STREAM, 16, 8, seed=4).at(5)["ids"])


@pytest.mark.parametrize("context", [1, 7, 16, 333, 999])
def test_an_epoch_shows_every_symbol_once_but_for_the_ends(context):
    windows = Windows(STREAM, context, 1)
    offsets = set()
    for epoch in range(6):
        steps = range(epoch * windows.n, (epoch + 1) * windows.n)
        seen = torch.cat([windows.at(step)["targets"][0] for step in steps])
        assert len(seen.unique()) == len(seen) == windows.n * context
        assert seen.min() >= 1 and seen.max() <= 999 and len(seen) > 999 - 2 * context
        offsets.add(int(seen.min()))
    assert len(offsets) > 1 or context in (1, 999)  # another offset, so other places in a window


def test_a_batch_may_run_into_the_next_epoch():
    windows = Windows(STREAM, 16, 7)
    assert windows.n % 7
    starts = torch.cat([windows.at(step)["ids"][:, 0] for step in range(2 * windows.n // 7 + 1)])
    first = starts[: windows.n]
    assert len(first.unique()) == windows.n
    assert len(starts[windows.n : 2 * windows.n].unique()) == len(starts[windows.n : 2 * windows.n])


def test_processes_share_a_batch():
    windows = Windows(STREAM, 16, 8)
    whole, parts = windows.at(3)["ids"], [windows.at(3, part, 4)["ids"] for part in range(4)]
    assert torch.equal(torch.cat(parts), whole)
    with pytest.raises(ValueError, match="cannot be shared equally"):
        windows.at(3, 0, 3)


def test_a_resumed_run_must_have_the_same_windows(tmp_path):
    base = Windows(STREAM, 16, 8).settings
    others = [Windows(STREAM, 15, 8), Windows(STREAM, 16, 4), Windows(STREAM, 16, 8, seed=1),
              Windows(STREAM.flip(0), 16, 8)]  # fmt: skip
    assert all(other.settings != base for other in others)

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Embedding(5, 5)

        def forward(self, ids):
            return self.logits(ids)

    def loss(model, batch):
        return nn.functional.cross_entropy(model(batch["ids"]).mT, batch["targets"])

    losses = []
    for pieces in ([6], [3, 6]):
        torch.manual_seed(0)
        model, path = Table(), tmp_path / f"{len(pieces)}.safetensors"
        for steps in pieces:
            history = fit(model, loss, Windows(STREAM % 5, 16, 8), steps=steps,
                          checkpoint=path, progress=False)  # fmt: skip
        losses.append(history.losses)
    assert losses[0] == losses[1] and len(losses[0]) == 6


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(stream=STREAM[None]), "whole numbers"),
        (dict(stream=STREAM.float()), "whole numbers"),
        (dict(stream=[1, 2, 3]), "list"),
        (dict(context=1000), "1 to 999"),
        (dict(context=0), "1 to 999"),
        (dict(batch_size=62), "1 to 61"),
        (dict(seed=0.5), "whole number"),
    ],
)
def test_windows_that_cannot_be_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Windows(**dict(stream=STREAM, context=16, batch_size=8) | wrong)


# -- likelihood ----------------------------------------------------------------------------------


class Told(nn.Module):
    """Predicts the next symbol from all it has been shown, and notes how much that was."""

    context = None

    def __init__(self, V=7):
        super().__init__()
        self.V = V
        self.table = torch.randn(1000, V, generator=torch.Generator().manual_seed(0))

    def forward(self, ids):
        mixed = ((ids + 1) * 31).cumsum(1) + torch.arange(ids.shape[1])
        return self.table[mixed % 1000]

    def advance(self, ids, state=None):
        state = torch.cat([ids[:, :0] if state is None else state, ids], 1)
        return self(state)[:, -ids.shape[1] :], state


def one_by_one(model, stream, context):
    """The definition, a symbol at a time."""
    found = []
    for n in range(1, len(stream)):
        shown = stream[likelihood.window_start(n, context) : n]
        log_p = model(shown[None])[0, -1].log_softmax(-1)
        found.append(-log_p[stream[n]])
    return torch.stack(found)


@pytest.mark.parametrize("context", [1, 2, 5, 8, 99, 100, 150, None])
@pytest.mark.parametrize("n", [2, 3, 13, 100])
def test_each_symbol_is_judged_once_by_the_window_that_the_rule_gives(context, n):
    stream = torch.randint(7, (n,), generator=torch.Generator().manual_seed(n))
    model = Told()
    for size in (1, 64):
        found = likelihood.nats(model, stream, context, batch_size=size)
        torch.testing.assert_close(found, one_by_one(model, stream, context))
    bits = likelihood.bits_per_character(model, stream, context)
    assert bits == pytest.approx(found.mean().item() / math.log(2), rel=1e-6)


def test_the_window_is_at_least_half_full_and_starts_at_a_multiple_of_half():
    for context in (1, 2, 5, 8, 128):
        half = max(1, context // 2)
        for n in range(1, 600):
            start = likelihood.window_start(n, context)
            assert start % half == 0 and n - start <= context
            assert start == 0 if n <= context else n - start > context - half
    assert likelihood.window_start(10**6, None) == 0


def test_a_uniform_model_needs_log2_of_the_alphabet_and_a_wrong_base_would_be_seen():
    class Uniform(Told):
        def forward(self, ids):
            return torch.zeros(*ids.shape, self.V)

    stream = torch.randint(7, (300,))
    assert likelihood.bits_per_character(Uniform(), stream, 16) == pytest.approx(math.log2(7))
    assert likelihood.nats(Uniform(), stream, 16).mean().item() == pytest.approx(math.log(7))


class Some:
    """Three texts and their stream."""

    texts = ("abcabc\n\n", "cab\n\n", "bbbbbbbbbbbbbbbbbbbb\n\n")

    def stream(self):
        return torch.tensor([("\nabc").index(c) for c in "".join(self.texts)])


def test_tunes_share_out_the_nats_of_the_stream():
    model, tunes = Told(), Some()
    found = likelihood.by_tune(model, tunes, 8)
    each = likelihood.nats(model, tunes.stream(), 8)
    assert found[:, 1].tolist() == [7, 5, 22] and found.dtype == torch.float64
    assert found[:, 0].sum().item() == pytest.approx(each.sum().item(), rel=1e-5)
    assert found[1, 0].item() == pytest.approx(each[7:12].sum().item(), rel=1e-5)
    bits, error = likelihood.mean_bits(found)
    assert bits == pytest.approx(likelihood.bits_per_character(model, tunes.stream(), 8), rel=1e-6)
    assert error > 0


def test_the_standard_error_over_tunes_is_the_spread_of_repeated_draws():
    chance = torch.Generator().manual_seed(0)

    def draw(n):
        count = torch.randint(50, 200, (n,), generator=chance).double()
        hard = 1 + 0.3 * torch.randn(n, generator=chance).double()  # what makes a tune hard
        ours = count * (hard + 0.02 * torch.randn(n, generator=chance).double())
        return torch.stack([ours, count], 1), torch.stack([count * (hard + 0.1), count], 1)

    single, paired = [], []
    for _ in range(300):
        ours, other = draw(100)
        single.append(likelihood.mean_bits(ours))
        paired.append(likelihood.mean_bits(ours, other))
    for found in (single, paired):
        values, errors = torch.tensor(found).T
        assert errors.mean().item() == pytest.approx(values.std().item(), rel=0.15)
    assert paired[0][1] < single[0][1] / 5 and paired[0][0] == pytest.approx(
        -0.1 / math.log(2), abs=0.02
    )
    with pytest.raises(ValueError, match="same tunes"):
        likelihood.mean_bits(ours, other + 1)
    with pytest.raises(ValueError, match="two tunes"):
        likelihood.mean_bits(ours[:1])


def test_what_cannot_be_judged_is_refused():
    model = Told()
    for stream, context, words in [
        (torch.tensor([1]), 8, "2 or more"),
        (torch.tensor([[1, 2]]), 8, "2 or more"),
        (torch.tensor([1, 7]), 8, "knows 0 to 6"),
        (torch.tensor([1, 2]), 0, "1 or more"),
    ]:
        with pytest.raises(ValueError, match=words):
            likelihood.nats(model, stream, context)
    model.context = 8
    for context in (9, None):
        with pytest.raises(ValueError, match="no more than 8"):
            likelihood.nats(model, torch.tensor([1, 2, 3]), context)


def test_every_part_keeps_its_own_mode():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    model[1].eval()
    with pytest.raises(RuntimeError), likelihood.evaluating(model) as device:
        assert device.type == "cpu" and not any(part.training for part in model.modules())
        raise RuntimeError
    assert model.training and model[0].training and not model[1].training
