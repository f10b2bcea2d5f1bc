"""Models of sequences: counts against Counter and scikit-learn, networks against torch, worlds
that are listed whole, copies that were planted, and digits pixel by pixel."""

import math
from collections import Counter
from difflib import SequenceMatcher

import pytest
import torch
from scipy import stats
from sklearn.feature_extraction.text import CountVectorizer
from torch import nn
from torch.nn import functional as F

from genart_lessons import data, training
from genart_lessons.data import abc
from genart_lessons.models import copying, likelihood, pixels, sequences
from genart_lessons.training import recipes, recipes_sequences


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


V = 7
STREAM = (torch.randn(600, generator=chance(5)).abs() * 2.2).long().clamp(max=V - 1)


def network(kind, **options):
    torch.manual_seed(1)
    if kind == "mlp":
        return sequences.MLP(V, last=4, width=3, hidden=8).double().eval()
    return sequences.RNN(V, 6, 5, kind=kind, **options).double().eval()


def every_model():
    models = [sequences.CountModel(k, V, a, interpolate=i).fit(STREAM)
              for k in (0, 1, 3) for a in (0.4, 2) for i in (False, True)]  # fmt: skip
    models += [network(kind) for kind in ("mlp", "gru", "lstm")]
    return models + [network("gru", layers=2), sequences.Law.random(V, 3, seed=1)]


def named(model):
    return f"{type(model).__name__}({model.extra_repr()})"


# ---------------------------------------------------------------- what all have in common


@pytest.mark.parametrize("model", every_model(), ids=named)
def test_a_model_gives_distributions_of_the_next_symbol(model):
    ids = STREAM[:60].view(4, 15)
    logits = model(ids)
    assert logits.shape == (4, 15, V) and model.V == V and model.context is None
    p = logits.softmax(-1)
    assert torch.allclose(p.sum(-1), torch.ones(4, 15, dtype=p.dtype)) and bool((p > 0).all())


@pytest.mark.parametrize("model", every_model(), ids=named)
def test_no_later_symbol_is_seen_and_every_earlier_one_may_be(model):
    ids = STREAM[:15][None]
    before = model(ids)
    for t in range(15):
        other = ids.clone()
        other[0, t] = (other[0, t] + 1) % V
        moved = (model(other) - before).abs().amax(-1)[0] > 1e-12
        assert not bool(moved[:t].any())
        order = getattr(model, "order", getattr(model, "last", 1))
        assert bool(moved[t]) == (order > 0)
        if order and hasattr(model, "order"):
            assert not bool(moved[t + order :].any())


@pytest.mark.parametrize("model", every_model(), ids=named)
def test_going_on_from_a_state_is_as_if_all_had_come_at_once(model):
    ids = STREAM[:45].view(3, 15)
    whole, state, parts = model(ids), None, []
    for part in ids.split([1, 1, 2, 5, 1, 5], dim=1):
        logits, state = model.advance(part, state)
        parts.append(logits)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-12)
    forgotten = model.advance(ids[:, -1:], None)[0][:, 0]
    if getattr(model, "order", 2) > 1:
        assert not torch.allclose(forgotten, whole[:, -1])


def test_the_loss_is_the_mean_cross_entropy_of_the_symbol_one_further_on():
    model, window = network("gru"), STREAM[:44].view(4, 11)
    batch = {"ids": window[:, :-1], "targets": window[:, 1:]}
    total = 0.0
    for row in window.tolist():
        for t in range(10):
            logits = model(torch.tensor([row[: t + 1]]))[0, -1].detach()
            total -= float(logits.log_softmax(-1)[row[t + 1]])
    found = sequences.loss(model, batch)
    assert found.item() == pytest.approx(total / 40)
    assert abs(total - found.item()) > 1  # the sum
    late = {**batch, "targets": batch["ids"]}  # off by one: asks for what it has just been told
    assert sequences.loss(model, late).item() != pytest.approx(total / 40, abs=1e-3)
    found.backward()
    assert all(p.grad is not None for p in model.parameters())


# ---------------------------------------------------------------- counting


def by_counter(stream, order, alpha, context, interpolate):
    """p(s | context) from plain Python counts."""
    context = context[len(context) - min(order, len(context)) :]
    p = [1 / V] * V
    for k in range(len(context) + 1) if interpolate else [len(context)]:
        c = Counter(map(tuple, (stream[i : i + k + 1] for i in range(len(stream) - k))))
        tail = context[len(context) - k :]
        counts = [c[(*tail, s)] for s in range(V)]
        n = sum(counts)
        if interpolate and n + alpha == 0:
            continue
        prior, mass = (p, alpha) if interpolate else ([1 / V] * V, alpha * V)
        p = [(a + mass * b) / (n + mass) for a, b in zip(counts, prior, strict=True)]
    return p


@pytest.mark.parametrize("order", [0, 1, 2, 4])
@pytest.mark.parametrize("alpha", [0.1, 1.0])
@pytest.mark.parametrize("interpolate", [False, True])
def test_counts_are_those_of_a_counter(order, alpha, interpolate):
    model = sequences.CountModel(order, V, alpha, interpolate=interpolate).fit(STREAM)
    ids = torch.randint(V, (6, 9), generator=chance(2))
    found = model(ids).exp()
    for row in range(6):
        for t in range(9):
            context = tuple(ids[row, : t + 1].tolist()) if order else ()
            expected = by_counter(STREAM.tolist(), order, alpha, context, interpolate)
            assert found[row, t].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_counts_are_those_of_scikit_learn(order):
    text = "".join("abcdefg"[i] for i in STREAM)
    counter = CountVectorizer(analyzer="char", ngram_range=(order + 1,) * 2, lowercase=False)
    counts = counter.fit_transform([text]).toarray()[0]
    theirs = dict(zip(counter.get_feature_names_out(), counts.tolist(), strict=True))
    table = sequences.CountModel(order, V, 1).fit(STREAM).tables[order]
    ours = {}
    for pair, symbol, count in zip(
        table.context.repeat_interleave(table.size), table.symbol, table.count, strict=True
    ):
        digits = [int(pair) // V**k % V for k in reversed(range(order))] + [int(symbol)]
        ours["".join("abcdefg"[i] for i in digits)] = int(count)
    assert ours == theirs


def test_without_smoothing_the_unseen_is_impossible_or_undefined():
    stream = torch.tensor([0, 1, 0, 1, 0, 2])
    model = sequences.CountModel(1, 4, alpha=0).fit(stream)
    assert model(torch.tensor([[0]])).exp()[0, 0].tolist() == pytest.approx([0, 2 / 3, 1 / 3, 0])
    assert model(torch.tensor([[0]]))[0, 0, 3] == -math.inf
    assert bool(model(torch.tensor([[3]])).isnan().all())  # 3 never came: 0/0
    assert bool(model(torch.tensor([[2]])).isnan().all())  # 2 came, but nothing after it
    mixed = sequences.CountModel(1, 4, alpha=0, interpolate=True).fit(stream)
    shorter = [3 / 6, 2 / 6, 1 / 6, 0]
    assert mixed(torch.tensor([[3]])).exp()[0, 0].tolist() == pytest.approx(shorter)


def test_counts_are_the_maximum_of_the_likelihood():
    model, ids = sequences.CountModel(1, V, alpha=0).fit(STREAM), STREAM[None]
    best = F.cross_entropy(model(ids[:, :-1])[0], STREAM[1:])
    for seed in range(5):
        other = sequences.CountModel(1, V, alpha=0.0).fit(STREAM)
        noise = 0.05 * torch.randn(V, V, generator=chance(seed)).double()
        logits = other(ids[:, :-1])[0] + noise[STREAM[:-1]]
        assert F.cross_entropy(logits, STREAM[1:]) > best


def test_a_long_order_still_counts_right():
    """V^(order + 1) far beyond any table: order 8 of 95 symbols."""
    stream = torch.randint(95, (300,), generator=chance(1)).repeat(2)
    model = sequences.CountModel(8, 95, 1e-9).fit(stream)
    p = model(stream[None, 20:60]).exp()[0]
    assert torch.equal(p[8:].argmax(-1), stream[29:61]) and float(p[8:].amax(-1).min()) > 0.999


@pytest.mark.parametrize(
    ("act", "word"),
    [
        (lambda: sequences.CountModel(-1, 5), "order=-1"),
        (lambda: sequences.CountModel(9, 95), "below 2\\^63"),
        (lambda: sequences.CountModel(1, 5, -1), "alpha=-1"),
        (lambda: sequences.CountModel(1, 5)(torch.zeros(1, 1).long()), "call fit"),
        (lambda: sequences.CountModel(1, 5).fit(torch.tensor([3])), "N > 1"),
        (lambda: sequences.CountModel(1, 5).fit(torch.tensor([3, 5])), "from 3 to 5"),
        (lambda: sequences.CountModel(0, 5).fit(torch.zeros(9)), "whole numbers"),
        (lambda: sequences.MLP(5, last=0), "1 or more"),
        (lambda: sequences.RNN(5, kind="elman"), "'gru' or 'lstm'"),
        (lambda: sequences.Law(torch.zeros(3, 3)), "sum to 1"),
        (lambda: sequences.Law(torch.zeros(3)), "2 axes"),
        (lambda: sequences.all_sequences(10, 9), "too many"),
    ],
)
def test_nonsense_is_refused(act, word):
    with pytest.raises(ValueError, match=word):
        act()


# ---------------------------------------------------------------- networks


def test_the_mlp_is_the_formula_of_bengio():
    model, ids = network("mlp"), STREAM[:9]
    padded = torch.cat([torch.full((3,), V), ids])
    for t in range(9):
        # unfold puts the positions last: vector number 1 of all places, vector number 2, …
        e = model.embed(padded[t : t + 4]).T.flatten()
        h = torch.tanh(model.hidden.weight @ e + model.hidden.bias)
        expected = model.out.weight @ h + model.out.bias
        assert torch.allclose(model(ids[None])[0, t], expected)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_formulas_are_torchs_layers(kind, layers):
    """Ours, step by step, beside torch.nn.GRU and LSTM; and their gradients."""
    torch.manual_seed(3)
    model = sequences.RNN(V, 6, 5, layers, kind=kind).double().eval()
    ids = STREAM[:60].view(5, 12)
    theirs = {"gru": nn.GRU, "lstm": nn.LSTM}[kind](5, 6, layers, batch_first=True).double()
    theirs.load_state_dict(model.recurrent.state_dict())
    expected = model.out(theirs(model.embed(ids))[0])
    hand = model.by_hand(ids)
    assert torch.allclose(hand, expected, atol=1e-12) and torch.allclose(model(ids), expected)
    ours = torch.autograd.grad(hand.square().sum(), model.recurrent.parameters())
    wanted = torch.autograd.grad(model(ids).square().sum(), model.recurrent.parameters())
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(ours, wanted, strict=True))
    # the same loop with one slip in a step is something else: no other code answers in its place
    usual = {"gru": sequences.gru_step, "lstm": sequences.lstm_step}[kind]

    def a_bias_forgotten(x, state, w_x, w_h, b_x, b_h):
        return usual(x, state, w_x, w_h, b_x, 0 * b_h)

    assert torch.equal(model.by_hand(ids, usual), hand)
    assert (model.by_hand(ids, a_bias_forgotten) - expected).abs().max() > 1e-3


def test_dropout_is_for_training_only():
    model = sequences.RNN(V, 6, 5, layers=2, dropout=0.5)
    ids = STREAM[:12][None]
    assert not torch.equal(model.train()(ids), model(ids))
    assert torch.equal(model.eval()(ids), model(ids))


# ---------------------------------------------------------------- worlds that are listed whole


@pytest.mark.parametrize(("symbols", "length"), [(2, 1), (3, 4), (5, 3)])
def test_every_sequence_is_listed_once(symbols, length):
    x = sequences.all_sequences(symbols, length)
    assert x.shape == (symbols**length, length)
    assert len({tuple(row) for row in x.tolist()}) == symbols**length
    assert x.tolist() == sorted(x.tolist()) and 0 <= int(x.min()) <= int(x.max()) < symbols


@pytest.mark.parametrize("model", every_model(), ids=named)
def test_the_chain_rule_gives_a_distribution_of_whole_sequences(model):
    log_p = sequences.log_joint(model, torch.tensor([2, 0]), 3)
    assert log_p.exp().sum().item() == pytest.approx(1)
    x = sequences.all_sequences(V, 3)
    for i in (0, 100, 342):
        expected, ids = 0.0, [2, 0]
        for symbol in x[i].tolist():
            logits = model(torch.tensor([ids]))[0, -1].detach()
            expected += float(logits.log_softmax(-1)[symbol])
            ids.append(symbol)
        assert float(log_p[i]) == pytest.approx(expected)


def test_a_law_remembers_what_it_says():
    law = sequences.Law.random(3, 2, seed=0)
    ids = torch.tensor([[0, 1, 2, 2, 0]])
    log_p = law(ids)[0]
    for t, (a, b) in enumerate([(0, 0), (0, 1), (1, 2), (2, 2), (2, 0)]):
        assert torch.equal(log_p[t], law.log_p[a, b])
    assert not torch.equal(law.log_p[1, 2], law.log_p[2, 1])


def test_step_errors_sum_to_the_divergence_of_whole_sequences():
    law, start = sequences.Law.random(3, 3, seed=1), torch.tensor([0])
    model = sequences.CountModel(1, 3, 0.5).fit(
        torch.randint(3, (200,), generator=chance(1)).cummax(0).values
    )
    on_data, on_own = sequences.step_errors(law, model, start, 5)
    log_p, log_q = (sequences.log_joint(m, start, 5) for m in (law, model))
    joint = (log_p.exp() * (log_p - log_q)).sum()
    assert on_data.sum().item() == pytest.approx(joint.item())
    assert on_own.sum().item() != pytest.approx(joint.item(), rel=0.02)
    assert on_data[0].item() == pytest.approx(on_own[0].item())  # nothing was written yet
    # the second step, by hand, over the one symbol that has been written
    first = [m(torch.tensor([[0]]))[0, 0].exp() for m in (law, model)]
    kl = torch.stack([
        F.kl_div(model(torch.tensor([[0, s]]))[0, 1], law(torch.tensor([[0, s]]))[0, 1],
                 log_target=True, reduction="sum") for s in range(3)
    ])  # fmt: skip
    for p, errors in zip(first, (on_data, on_own), strict=True):
        assert errors[1].item() == pytest.approx((p * kl).sum().item())


def test_a_model_that_is_the_law_has_no_errors():
    law = sequences.Law.random(4, 2, seed=2)
    for errors in sequences.step_errors(law, law, torch.tensor([0]), 4):
        assert float(errors.abs().max()) < 1e-12


# ---------------------------------------------------------------- pixels


def tiny_pixels(seed=0, shape=(1, 2, 3), units=4):
    torch.manual_seed(seed)
    return pixels.PixelModel(shape, units, dropout=0.2).double().eval()


def every_picture(shape=(1, 2, 3)):
    return sequences.all_sequences(2, 6).double().view(-1, *shape)


@pytest.mark.parametrize("seed", range(4))
def test_the_probabilities_of_all_pictures_sum_to_one(seed):
    total = tiny_pixels(seed).log_prob(every_picture()).exp().sum()
    assert total.item() == pytest.approx(1)


def test_no_pixel_sees_itself_or_a_later_one_and_each_sees_every_earlier_one():
    model = tiny_pixels(1, (1, 4, 4))
    x = torch.randint(2, (5, 1, 4, 4), generator=chance(3)).double()
    before = model(x).flatten(1)
    for i in range(16):
        other = x.flatten(1).clone()
        other[:, i] = 1 - other[:, i]
        moved = (model(other.view_as(x)).flatten(1) != before).any(0)
        assert not bool(moved[: i + 1].any()) and bool(moved[i + 1 :].all())


def test_a_pixel_that_sees_itself_is_no_distribution():
    """The check above can fail: with the diagonal open, or everything, the sum is not 1."""
    for opened in (torch.eye(6), torch.ones(6, 6)):
        model = tiny_pixels(2)
        model.past.weight.data *= 4
        model.earlier.copy_(torch.maximum(model.earlier, opened.repeat_interleave(4, 0)))
        total = model.log_prob(every_picture()).exp().sum().item()
        assert abs(total - 1) > 0.01


def test_the_pixel_model_is_the_chain_rule_with_small_networks():
    model = tiny_pixels(3)
    x = every_picture()[37]
    expected, flat = 0.0, x.flatten()
    for i in range(6):
        units = slice(4 * i, 4 * i + 4)
        h = F.silu(model.past.weight[units, :i] @ flat[:i] + model.past.bias[units])
        p = (h @ model.out[i] + model.bias[i]).sigmoid().item()
        expected += math.log(p if flat[i] == 1 else 1 - p)
    assert float(model.log_prob(x[None])) == pytest.approx(expected)


def test_pictures_come_as_often_as_the_model_says():
    model, n = tiny_pixels(4), 20_000
    model.past.weight.data *= 3
    made = model.sample(n, chance(1)).flatten(1)
    counts = (made.long() * 2 ** torch.arange(5, -1, -1)).sum(1).bincount(minlength=64)
    p = model.log_prob(every_picture()).exp().detach()
    assert stats.chisquare(counts.numpy(), n * p.numpy()).pvalue > 1e-3
    assert stats.chisquare(counts.numpy(), n * p.flip(0).numpy()).pvalue < 1e-9
    kept = model.sample(500, chance(2), keep=torch.tensor([1.0, 0.0])).flatten(1)
    assert bool((kept[:, 0] == 1).all() and (kept[:, 1] == 0).all())
    third = p.view(2, 2, 2, 8)[1, 0].sum(1)
    share = float(third[1] / third.sum())
    assert abs(float(kept[:, 2].mean()) - share) < 4 * math.sqrt(share * (1 - share) / 500)


def test_the_pixel_model_learns_and_refuses():
    torch.manual_seed(0)
    model = pixels.PixelModel((1, 2, 3), 4, dropout=0.0)
    x = every_picture().float()[[0, 7, 7, 63]]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        pixels.loss(model, {"x": x}).backward()
        optimizer.step()
    entropy = 1.5 * math.log(2)  # of ¼, ½, ¼: nothing below it, and this close to it
    assert entropy < float(pixels.loss(model, {"x": x})) < entropy + 0.05
    with pytest.raises(ValueError, match="0 or 1"):
        model(x / 2)
    with pytest.raises(ValueError, match=r"\(B, 1, 2, 3\)"):
        model(x[:, 0])
    grey = torch.tensor([0.0, 0.5, 0.51, 1.0])
    assert pixels.binarised(grey).tolist() == [0, 0, 1, 1]


# ---------------------------------------------------------------- copies

TRAIN, TEST = (data.tunes(split).take(range(120)) for split in ("train", "test"))
HEAD = "M:C\nL:1/8\nK:D\n"


@pytest.fixture(scope="module", params=["characters", "notes"])
def index(request):
    return copying.Passages(TRAIN.texts, request.param)


def test_a_planted_copy_is_found_at_the_right_place(index):
    source = 17
    body = TRAIN.texts[source].index(abc.head(TRAIN.texts[source])[1])
    bar = TRAIN.texts[source].index("|", body + 40) + 1
    passage = TRAIN.texts[source][bar : bar + 45].rstrip("|:[](-<>^_=,'/1234689\n")
    meter, _, key = (line[2:] for line in TRAIN.texts[source].split("\n")[:3])
    head = f"M:{meter}\nL:1/8\nK:{key}\n"
    text = f"{head}|:E9E9E9^g9E9|{passage}|E9E9^g9E9|]\n\n"
    first = index.longest(text)[0]
    assert first.source == source and passage in first.passage
    assert first.passage == text[first.start : first.end]
    assert abs(first.start - text.index(passage)) <= 3 and first.length >= 20
    if index.unit == "characters":
        assert TRAIN.texts[source][first.place :].startswith(first.passage)
        assert first.length == len(first.passage)


def test_a_passage_in_another_key_and_metre_is_found_by_its_notes():
    texts = ["M:6/8\nL:1/8\nK:C\n|:EGcegf|edcBAG|cccddd|]\n\n",
             "M:C\nL:1/8\nK:D\n|:F2A2d2f2|a2g2f2e2|d2c2B2A2|C9|]\n\n"]  # fmt: skip
    up = texts[1]  # the first one's notes, a tone higher and twice as long
    by_ear = copying.Passages(texts[:1], "notes").longest(up)
    assert (by_ear[0].length, by_ear[0].source, by_ear[0].start) == (12, 0, up.index("F2"))
    assert up[by_ear[0].start : by_ear[0].end] == "F2A2d2f2|a2g2f2e2|d2c2B2A2"
    assert texts[0][by_ear[0].place :].startswith("EGceg")
    assert copying.Passages(texts[:1], "characters").longest(up) == []
    other = up.replace("a2", "a3")  # another rhythm is another passage
    assert copying.Passages(texts[:1], "notes").lengths([other]).tolist() == [7]


def test_a_text_that_shares_nothing_gives_nothing(index):
    strange = HEAD + "[E,9^c9]" * 20 + "|]\n\n"
    assert index.longest(strange) == []
    assert float(index.lengths([strange, TRAIN.texts[3]])[1]) >= 30


def test_the_longest_passage_is_that_of_difflib():
    index = copying.Passages(TRAIN.texts[:12], "characters")
    bodies = [abc.head(text)[1].rstrip("\n") for text in TRAIN.texts[:12]]
    for text in TEST.texts[:6]:
        body = abc.head(text)[1].rstrip("\n")
        expected = max(
            SequenceMatcher(None, body, other, autojunk=False).find_longest_match().size
            for other in bodies
        )
        found = index.longest(text, least=1)
        assert found[0].length == expected == int(index.lengths([text])[0])
        lengths = [each.length for each in found]
        assert lengths == sorted(lengths, reverse=True)
        ends = [(each.start, each.end) for each in found]
        assert not any(a < c and d <= b or a <= c and d < b for a, b in ends for c, d in ends)


def test_the_intervals_are_those_of_the_melody():
    text = "M:6/8\nL:1/8\nK:G\n|:G2B [DF]>E|z2f- fef|]\n\n".replace(" ", "")
    symbols, where = copying._intervals(text)
    # G2 B [DF]3/2 E/ (+ z2) f (tied, 2) e f: pitches 67 71 66 64 78 76 78
    assert [s[0] for s in symbols] == [4, -5, -2, 14, -2, 2]
    lengths = [2, 1, 1.5, 2.5, 2, 1, 1]
    ratios = [b / a for a, b in zip(lengths, lengths[1:], strict=False)]
    assert [float(s[1]) for s in symbols] == pytest.approx(ratios)
    assert text[slice(*where[0])] == "G2B" and text[slice(*where[4])] == "f-fe"


def test_wrong_indexes_are_refused():
    with pytest.raises(ValueError, match="'characters' or 'notes'"):
        copying.Passages(TRAIN.texts, "bars")
    with pytest.raises(ValueError, match="list of texts"):
        copying.Passages(TRAIN.texts[0])
    with pytest.raises(abc.NotMusic):
        copying.Passages([HEAD + "?"], "notes")


# ---------------------------------------------------------------- the weights that ship


def test_the_shipped_network_is_what_its_card_says():
    card = training.weights_card("rnn_tunes")["results"]
    model = training.load_weights(recipes_sequences.rnn(), "rnn_tunes")
    some = data.tunes("test").take(range(0, 401, 8))
    found = likelihood.by_tune(model, some, 256)
    bits, error = likelihood.mean_bits(found)
    assert abs(bits - card["test_bits_per_character"]) < 4 * error
    counts = sequences.CountModel(5, len(data.CHARACTERS), 5.0, interpolate=True)
    counted = likelihood.by_tune(counts.fit(data.tunes("train").stream()), some, 256)
    gain, error = likelihood.mean_bits(counted, found)
    assert gain > 0.2 and gain > 10 * error
    assert card["train_bits_per_character"] < card["test_bits_per_character"] < 1.9


def test_the_recipe_trains_what_it_says(monkeypatch, tmp_path):
    tunes = data.tunes("train").take(range(40))
    monkeypatch.setattr(recipes_sequences.data, "tunes", lambda split: tunes)
    monkeypatch.setenv("GENART_HOME", str(tmp_path / "one"))  # each with a checkpoint of its own
    model, history = recipes_sequences.train_rnn(3, seed=1)
    monkeypatch.setenv("GENART_HOME", str(tmp_path / "two"))
    again, _ = recipes_sequences.train_rnn(3, seed=1)
    assert history.steps == 3 and history.losses[0] > history.losses[-1]
    assert torch.equal(model.out.weight, again.out.weight) and not model.training
    assert recipes.RECIPES["rnn_tunes"].train is recipes_sequences.train_rnn
