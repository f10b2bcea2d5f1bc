"""Drawing texts: against transformers, against listing every text, and with a cache or without."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessorList
from transformers.generation.logits_process import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from genart_lessons import data
from genart_lessons.models import likelihood, sampling, sequences, transformer


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def some_logits(rows=200, V=30, seed=0):
    return 3 * torch.randn(rows, V, generator=chance(seed), dtype=torch.float64)


TEXT = torch.randint(7, (400,), generator=chance(5))


def small(kind):
    """A language model of each kind with 7 symbols, untrained or counted."""
    torch.manual_seed(1)
    if kind == "counts":
        return sequences.CountModel(2, 7, 0.5, interpolate=True).fit(TEXT)
    if kind == "mlp":
        return sequences.MLP(7, last=3, width=4, hidden=16).double()
    if kind == "law":
        return sequences.Law.random(7, 2, seed=3)
    if kind == "window":
        return Windowed()
    if kind == "gpt":
        return transformer.GPT(7, context=8, layers=2, heads=2, width=16).double()
    return sequences.RNN(7, 12, 5, layers=2, kind=kind, dropout=0.3).double()


KINDS = ("counts", "mlp", "gru", "lstm", "law", "window", "gpt")


class Windowed(nn.Module):
    """Sees at most 6 symbols, and its logits depend on every one of them and on its place."""

    V, context = 7, 6

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(6, 7, 7, dtype=torch.float64))

    def forward(self, ids):
        assert ids.shape[1] <= self.context
        place = torch.arange(ids.shape[1])
        return self.table[place, ids].cumsum(1)

    def advance(self, ids, state=None):
        rows = []
        for t in range(ids.shape[1]):
            state = ids[:, :1] if state is None else torch.cat([state, ids[:, t : t + 1]], 1)
            start = likelihood.window_start(state.shape[1], self.context)
            rows.append(self(state[:, start:])[:, -1])
        return torch.stack(rows, 1), state


# ---------------------------------------------------------------- one symbol


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("top_k", [None, 1, 5, 30, 99])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.6, 0.95, 1.0])
def test_the_rules_are_those_of_transformers(temperature, top_k, top_p):
    logits = some_logits()
    theirs = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k is not None:
        theirs.append(TopKLogitsWarper(top_k))
    if top_p is not None:
        theirs.append(TopPLogitsWarper(top_p))
    expected = theirs(torch.zeros(len(logits), 1, dtype=torch.long), logits).log_softmax(-1)
    ours = sampling.adjusted(logits, temperature, top_k, top_p)
    assert torch.equal(ours.isinf(), expected.isinf())
    kept = ~ours.isinf()
    assert torch.allclose(ours[kept], expected[kept], atol=1e-12)
    assert torch.allclose(ours.exp().sum(-1), torch.ones(200, dtype=torch.float64))


def test_common_slips_are_told_apart():
    logits = some_logits(1)
    right = sampling.adjusted(logits, 0.5)
    assert not torch.allclose(right, (logits * 0.5).log_softmax(-1))  # multiplied
    assert not torch.allclose(right, (logits.softmax(-1) / 0.5).log_softmax(-1))  # of p, not ℓ
    p = logits.softmax(-1).sort(descending=True).values[0]
    for top_p in (0.3, 0.6, 0.9):
        kept = int((~sampling.adjusted(logits, top_p=top_p).isinf()).sum())
        assert p[:kept].sum() >= top_p > p[: kept - 1].sum()  # reaches p, and is the smallest


def test_temperature_zero_is_the_limit_and_greedy():
    logits = some_logits()
    cold = sampling.adjusted(logits, 0)
    assert torch.equal(cold.argmax(-1), logits.argmax(-1))
    assert torch.allclose(cold.exp(), sampling.adjusted(logits, 1e-6).exp(), atol=1e-6)
    assert torch.equal(cold.exp(), sampling.adjusted(logits, top_k=1).exp())


def test_symbols_that_tie_with_the_last_one_are_kept():
    logits = torch.tensor([[2.0, 1.0, 1.0, 0.0]])
    for rule in ({"top_k": 2}, {"top_p": 0.7}):  # the first two hold 0.61 + 0.22 = 0.83
        assert sampling.adjusted(logits, **rule).isinf().tolist() == [[False, False, False, True]]


def test_draws_follow_the_probabilities():
    p = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05, 0.0], dtype=torch.float64)
    drawn = sampling.draw(p.log().expand(50_000, -1), chance(1))
    counts = drawn.bincount(minlength=6)
    assert counts[1] == counts[5] == 0
    seen = p > 0
    assert stats.chisquare(counts[seen].numpy(), 50_000 * p[seen].numpy()).pvalue > 1e-3
    flat = torch.ones(6, dtype=torch.float64) / 6
    wrong = sampling.draw(flat.log().expand(50_000, -1), chance(1)).bincount(minlength=6)
    assert wrong[1] > 0


def test_even_the_number_0_draws_no_impossible_symbol(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: torch.zeros(shape))
    assert sampling.draw(torch.tensor([[-math.inf, -math.inf, 0.0]])).tolist() == [2]


@pytest.mark.parametrize("row", [[math.nan] * 3, [-math.inf] * 3])
def test_a_row_without_probabilities_is_refused(row):
    with pytest.raises(ValueError, match="alpha > 0"):
        sampling.draw(torch.tensor([row]))


@pytest.mark.parametrize(
    "options", [{"temperature": -1}, {"temperature": math.nan}, {"top_k": 0}, {"top_k": 1.5},
                {"top_p": 0}, {"top_p": 1.2}, {"top_k": True}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        sampling.adjusted(torch.zeros(1, 3), **options)
    with pytest.raises(ValueError, match=next(iter(options))):
        sampling.generate(small("law"), torch.zeros(1, 1).long(), 2, **options)


# ---------------------------------------------------------------- whole texts


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texts_with_a_cache_and_without(kind):
    model, prompt = small(kind), TEXT[:12].view(4, 3)
    options = dict(temperature=1.3, top_k=6, top_p=0.97)
    with_, without, other = (
        sampling.generate(model, prompt, 25, generator=chance(s), cache=c, **options)
        for s, c in ((2, True), (2, False), (3, True))
    )
    assert with_.shape == (4, 28) and torch.equal(with_[:, :3], prompt)
    assert torch.equal(with_, without) and not torch.equal(with_, other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_keeps_its_mode_and_dropout_is_off(kind):
    model = small(kind).train()
    prompt = TEXT[:2].view(1, 2)
    one, two = (sampling.generate(model, prompt, 20, temperature=0) for _ in range(2))
    assert model.training and torch.equal(one, two)


@pytest.mark.parametrize("rule", [{}, {"temperature": 0.6}, {"top_k": 2}, {"top_p": 0.7}])
def test_texts_come_as_often_as_the_chain_rule_says(rule):
    """Every text of three symbols is listed; 20,000 are drawn."""
    law, start = sequences.Law.random(3, 2, seed=4, sharpness=0.7), torch.tensor([0])
    x, steps = sequences.log_steps(law, start, 3)
    expected = sampling.adjusted(steps, **rule).gather(-1, x[..., None]).sum((1, 2)).exp()
    made = sampling.generate(law, start.expand(20_000, 1), 3, generator=chance(6), **rule)
    number = (made[:, 1:] * torch.tensor([9, 3, 1])).sum(1)
    counts = number.bincount(minlength=27)
    possible = expected > 0
    assert counts[~possible].sum() == 0 and expected.sum().item() == pytest.approx(1)
    few = expected * 20_000 < 5  # too rare for the test by themselves: taken together
    groups = [counts[possible & ~few], counts[possible & few].sum()[None]]
    means = [20_000 * expected[possible & ~few], 20_000 * expected[possible & few].sum()[None]]
    keep = 2 if means[1] > 0 else 1
    test = stats.chisquare(torch.cat(groups[:keep]).numpy(), torch.cat(means[:keep]).numpy())
    assert test.pvalue > 1e-3
    if rule:  # the plain law is another
        plain = 20_000 * sequences.log_joint(law, start, 3).exp()
        assert stats.chisquare(counts.numpy(), plain.numpy()).pvalue < 1e-9


def test_a_row_that_has_ended_is_filled_up_and_the_rest_goes_on():
    cycle = torch.full((3, 3), -50.0).double()
    for a, b in ((0, 1), (1, 2), (2, 0)):
        cycle[a, b] = 0
    law = sequences.Law(cycle.log_softmax(-1))
    prompt = torch.tensor([[0], [1], [2]])
    made = sampling.generate(law, prompt, 9, stop=[0, 1], generator=chance())
    assert made.tolist() == [[0, 1, 1, 1], [1, 2, 0, 1], [2, 0, 1, 1]]
    never = sampling.generate(law, prompt, 5, stop=[0, 2], generator=chance())
    assert never.shape == (3, 6) and never[0].tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        (torch.zeros(2, 0).long(), "empty"),
        (torch.zeros(3).long(), r"prompt\[None\]"),
        (torch.zeros(1, 3), "whole numbers"),
        (torch.tensor([[9]]), "symbol 9 is unknown"),
        (torch.tensor([[-1]]), "symbol -1 is unknown"),
    ],
)
def test_bad_prompts_are_refused(prompt, word):
    with pytest.raises(ValueError, match=word):
        sampling.generate(small("gru"), prompt, 3)


def test_more_refusals():
    prompt = torch.zeros(1, 1).long()
    with pytest.raises(ValueError, match="n=-1"):
        sampling.generate(small("gru"), prompt, -1)
    with pytest.raises(ValueError, match="symbol 8"):
        sampling.generate(small("gru"), prompt, 1, stop=[8])
    with pytest.raises(ValueError, match="width=0"):
        sampling.beam_search(small("gru"), prompt[0], 3, 0)
    with pytest.raises(ValueError, match="whole numbers"):
        sampling.beam_search(small("gru"), prompt, 3, 2)
    with pytest.raises(TypeError, match="take"):
        sampling.pick_rows({"h": prompt}, torch.tensor([0]))


# ---------------------------------------------------------------- beam search


def best_by_listing(model, start, length):
    x, log_p = sequences.all_sequences(model.V, length), sequences.log_joint(model, start, length)
    order = log_p.argsort(descending=True)
    return x[order], log_p[order]


@pytest.mark.parametrize("seed", range(8))
def test_a_wide_beam_finds_the_true_maximum(seed):
    law, start = sequences.Law.random(4, 3, seed=seed), torch.tensor([1])
    x, log_p = best_by_listing(law, start, 5)
    found = sampling.beam_search(law, start, 5, width=4**4)
    assert len(found) == 256
    for i in range(20):  # not only the first: the whole list is right
        assert found[i][0].tolist() == [1, *x[i].tolist()]
        assert found[i][1] == pytest.approx(float(log_p[i]), abs=1e-9)


def test_narrow_beams_and_greedy_miss_it_somewhere():
    """Of 60 worlds greedy misses most; a wider beam never finds worse on the whole."""
    hits = {1: 0, 2: 0, 4: 0, 256: 0}
    for seed in range(60):
        law, start = sequences.Law.random(4, 3, seed=seed), torch.tensor([1])
        x, log_p = best_by_listing(law, start, 5)
        for width in hits:
            ids, score = sampling.beam_search(law, start, 5, width)[0]
            assert score <= float(log_p[0]) + 1e-9
            hits[width] += ids.tolist() == [1, *x[0].tolist()]
        greedy = sampling.generate(law, start[None], 5, temperature=0)[0]
        assert greedy.tolist() == sampling.beam_search(law, start, 5, 1)[0][0].tolist()
    assert hits[1] < hits[2] < hits[4] < hits[256] == 60


def test_scores_are_accumulated():
    for kind in ("gru", "window"):
        model = small(kind)
        for ids, score in sampling.beam_search(model, TEXT[:3], 9, 5):
            steps = sampling.surprise(model, ids[None])[0, 2:]
            assert score == pytest.approx(-float(steps.sum()), abs=1e-6)
            assert abs(score + float(steps.mean())) > 0.1 and abs(score + float(steps[-1])) > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_beams_are_the_same_with_a_cache_and_without(kind):
    model = small(kind)
    a, b = (sampling.beam_search(model, TEXT[:2], 12, 4, cache=cache) for cache in (True, False))
    assert [x.tolist() for x, _ in a] == [x.tolist() for x, _ in b]
    assert [s for _, s in a] == pytest.approx([s for _, s in b], abs=1e-9)


def test_texts_that_end_are_ranked_with_those_that_go_on():
    """All texts over 3 symbols that end at the first 2, or are 4 long, are listed by hand."""
    for seed in range(6):
        law, start = sequences.Law.random(3, 2, seed=seed, sharpness=1.0), torch.tensor([0])
        texts = {}
        for x in itertools.product(range(3), repeat=4):
            cut = x[: x.index(2) + 1] if 2 in x else x
            ids = torch.tensor([0, *cut])
            texts[cut] = -float(sampling.surprise(law, ids[None]).sum())
        best = sorted(texts, key=lambda cut: -texts[cut])
        found = sampling.beam_search(law, start, 4, width=27, stop=[2])
        for (ids, score), expected in zip(found, best, strict=False):  # some are equally likely
            assert score == pytest.approx(texts[expected]) == texts[tuple(ids[1:].tolist())]
        assert sum(math.exp(s) for s in texts.values()) == pytest.approx(1)
        assert len(found) == min(27, len(texts))


def test_the_search_goes_on_while_a_beginning_can_still_overtake():
    """Two texts are set aside after two steps (0.3 and 0.14), and 0.56 is still alive."""
    p = torch.tensor([[0.001, 0.699, 0.3], [0.001, 0.799, 0.2], [1 / 3] * 3], dtype=torch.float64)
    law = sequences.Law((p / p.sum(-1, keepdim=True)).log())
    (first, best), (second, next_) = sampling.beam_search(law, torch.tensor([0]), 3, 2, stop=[2])
    assert first.tolist() == [0, 1, 1, 1] and second.tolist() == [0, 2]
    assert math.exp(best) == pytest.approx(0.699 * 0.799**2)
    assert math.exp(next_) == pytest.approx(0.3)


class Theirs(nn.Module):
    """transformers' GPT-2 as a language model of ours."""

    context = None

    def __init__(self, V=11):
        super().__init__()
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=V, n_positions=64, n_embd=16, n_layer=2, n_head=2,
                            initializer_range=0.6, eos_token_id=None,
                            bos_token_id=None)  # fmt: skip
        self.V, self.net = V, GPT2LMHeadModel(config).double()

    def forward(self, ids):
        return self.net(ids).logits


@pytest.mark.parametrize("width", [1, 2, 5])
def test_beams_are_those_of_transformers(width):
    model = Theirs().eval()
    for seed in range(4):
        prompt = torch.randint(11, (4,), generator=chance(seed))
        ours = sampling.beam_search(model, prompt, 10, width, cache=False)
        theirs = model.net.generate(
            prompt[None], attention_mask=torch.ones(1, 4).long(), num_beams=width,
            num_return_sequences=width, max_new_tokens=10, do_sample=False, length_penalty=0.0,
            pad_token_id=0, eos_token_id=None,
        )  # fmt: skip
        assert [ids.tolist() for ids, _ in ours] == theirs.tolist()


@pytest.mark.parametrize("width", [2, 3, 6])
def test_beams_with_an_end_are_those_of_transformers(width):
    """Which texts that end are kept, and when the search may stop."""
    model, ended = Theirs().eval(), 0
    for seed in range(8):
        prompt = torch.randint(11, (4,), generator=chance(seed))
        end = seed % 3 + 7
        ours = sampling.beam_search(model, prompt, 12, width, stop=[end], cache=False)
        theirs = model.net.generate(
            prompt[None], attention_mask=torch.ones(1, 4).long(), num_beams=width,
            num_return_sequences=width, max_new_tokens=12, do_sample=False, length_penalty=0.0,
            early_stopping=False, pad_token_id=0, eos_token_id=end, output_scores=True,
            return_dict_in_generate=True,
        )  # fmt: skip
        assert [s for _, s in ours] == pytest.approx(theirs.sequences_scores.tolist(), abs=1e-5)
        for (ids, _), other in zip(ours, theirs.sequences.tolist(), strict=True):
            assert ids.tolist() == other[: len(ids)]
            ended += int(ids[-1]) == end
    assert ended >= 5


# ---------------------------------------------------------------- what a text was worth


@pytest.mark.parametrize("kind", KINDS)
def test_surprise_is_that_of_likelihood(kind):
    model, ids = small(kind).eval(), TEXT[:60].view(3, 20)
    steps = sampling.follow(model, ids)
    for row, expected in zip(ids, steps.surprise, strict=True):
        found = likelihood.nats(model, row, model.context)
        assert torch.allclose(found.double(), expected, atol=1e-5)
    last = model(ids[:, likelihood.window_start(19, model.context) : -1])[:, -1].double()
    assert torch.allclose(steps.top[:, -1], last.softmax(-1).amax(-1))
    assert torch.equal(steps.hit[:, -1], last.argmax(-1) == ids[:, -1])


def test_how_often_each_rule_takes_the_likeliest_symbol():
    """S8: greedy always, sampling as often as the mean of the largest probability says."""
    law, prompt = sequences.Law.random(6, 2, seed=0), torch.zeros(400, 1).long()

    def rate(**rule):
        made = sampling.generate(law, prompt, 50, generator=chance(1), **rule)
        return sampling.follow(law, made)

    assert bool(rate(temperature=0).hit.all())
    steps = rate()
    gap = steps.hit.double().mean(1) - steps.top.mean(1)  # one independent number a text
    assert abs(gap.mean()) < 4 * gap.std() / 400**0.5
    rates = [float(rate(**r).hit.double().mean()) for r in
             ({"temperature": 2}, {}, {"top_p": 0.8}, {"top_k": 2}, {"top_k": 1})]  # fmt: skip
    assert rates == sorted(rates) and rates[1] < 0.8 < rates[-1] == 1
    beam = sampling.beam_search(law, prompt[0], 50, 20)[0][0]
    assert not bool(sampling.follow(law, beam[None]).hit.all())


def test_repetition_counts_passages_that_came_before():
    assert sampling.repetition(torch.arange(20), 4) == 0
    assert sampling.repetition(torch.tensor([1, 2, 3, 1, 2, 3]), 3) == pytest.approx(1 / 4)
    assert sampling.repetition(torch.zeros(103).long(), 4) == pytest.approx(99 / 100)
    with pytest.raises(ValueError, match="T ≥ n = 8"):
        sampling.repetition(torch.arange(7))


# ---------------------------------------------------------------- tunes


@pytest.mark.parametrize(
    ("meter", "key", "lines"),
    [("6/8", "G", "M:6/8\nL:1/8\nK:G\n"), ("2/4", "F#m", "M:2/4\nL:1/16\nK:F#m\n")],
)
def test_a_header(meter, key, lines):
    assert sampling.header(meter, key) == lines


@pytest.mark.parametrize("wrong", [("six", "G"), ("6/8", "H"), ("6/8", "G\nK:D"), ("", "G")])
def test_a_header_that_is_no_abc_is_refused(wrong):
    with pytest.raises(ValueError, match="is no (metre|key)|one line each"):
        sampling.header(*wrong)


TUNES = data.tunes("train").take(range(150))
COUNTS = sequences.CountModel(2, len(data.CHARACTERS), 0.05, interpolate=True)
COUNTS.fit(TUNES.stream())


def test_a_tune_has_its_head_and_ends_with_a_blank_line():
    one, again, other = (sampling.tune(COUNTS, "6/8", "D", seed) for seed in (1, 1, 2))
    assert one == again != other
    assert one.startswith("M:6/8\nL:1/8\nK:D\n") and one.endswith("\n\n")
    assert one.index("\n\n") == len(one) - 2 and set(one) <= set(data.CHARACTERS)
    given = sampling.tune(COUNTS, "6/8", "D", 1, start="|:d2A")
    assert given.startswith("M:6/8\nL:1/8\nK:D\n|:d2A") and given.endswith("\n\n")
    short = sampling.tune(COUNTS, "6/8", "D", 1, longest=40)
    assert len(short) == 40 and not short.endswith("\n\n") and one.startswith(short)
    with pytest.raises(ValueError, match="!"):
        sampling.tune(COUNTS, start="!")


def test_beginnings_of_different_length_are_all_continued():
    heads = [sampling.header(m, k) for m, k in (("6/8", "G"), ("C|", "Ador"), ("9/8", "D"))]
    made = sampling.continued(COUNTS, heads + heads[:1], seed=3, top_p=0.95)
    assert all(text.startswith(head) for text, head in zip(made, heads + heads[:1], strict=True))
    assert all(text.endswith("\n\n") and text.count("\n\n") == 1 for text in made)
    assert made[0] != made[3]  # the same beginning, drawn twice
    assert made == sampling.continued(COUNTS, heads + heads[:1], seed=3, top_p=0.95, cache=False)
