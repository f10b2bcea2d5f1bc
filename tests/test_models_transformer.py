"""Attention and the GPT: equal to the libraries', blind to the future, and the cache proved."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genart_lessons import data
from genart_lessons.models import likelihood, sampling, transformer
from genart_lessons.models.transformer import (
    GPT,
    GPT2,
    MODERN,
    Block,
    Design,
    MultiHead,
    Past,
    attention,
    attention_maps,
    attention_weights,
    causal_mask,
)
from genart_lessons.training import load_weights, recipes_text, weights_card

DESIGNS = {"GPT-2": GPT2, "modern": MODERN}


def lively(model, scale=0.5, seed=0):
    """The model in float64 with weights that leave nothing at 0."""
    chance = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.data = scale * torch.randn(p.shape, generator=chance, dtype=torch.float64)
    return model.eval()


def small(design=GPT2, context=12, V=11, **sizes):
    sizes = dict(layers=2, heads=2, width=8) | sizes
    return lively(GPT(V, context, design=design, **sizes))


def some_ids(T, B=3, V=11, seed=0):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


def qkv(T=5, S=7, d=4, lead=(2, 3)):
    chance = torch.Generator().manual_seed(1)
    shapes = (*lead, T, d), (*lead, S, d), (*lead, S, d)
    return [torch.randn(shape, generator=chance, dtype=torch.float64) for shape in shapes]


# -- attention -----------------------------------------------------------------------------------


def test_attention_is_torchs_and_the_usual_slips_are_not():
    q, k, v = qkv()
    mask = torch.rand(5, 7, generator=torch.Generator().manual_seed(2)) < 0.5
    mask[:, 0] = True
    for m in (None, mask, causal_mask(5, 7)):
        wanted = F.scaled_dot_product_attention(q, k, v, m)
        for ours in (attention(q, k, v, m), transformer.fused_attention(q, k, v, m)):
            torch.testing.assert_close(ours, wanted, atol=1e-12, rtol=0)
    scores = q @ k.mT / 2
    slips = {
        "scaled by d_k": (scores / 2).masked_fill(~mask, -math.inf).softmax(-1),
        "not scaled": (scores * 2).masked_fill(~mask, -math.inf).softmax(-1),
        "wrong axis": scores.masked_fill(~mask, -1e9).softmax(-2),
        "mask after the softmax": scores.softmax(-1).masked_fill(~mask, 0),
    }
    wanted = F.scaled_dot_product_attention(q, k, v, mask)
    for name, weights in slips.items():
        assert (weights @ v - wanted).abs().max() > 0.01, name


def test_weights_are_a_distribution_and_exactly_zero_where_hidden():
    q, k, _ = qkv(5, 5)
    weights = attention_weights(q, k, causal_mask(5))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5, dtype=torch.float64))
    assert bool((weights[..., ~causal_mask(5)] == 0).all())
    hidden = causal_mask(5)
    hidden[2] = False
    with pytest.raises(ValueError, match="hides everything"):
        attention_weights(q, k, hidden)


def test_the_causal_mask_is_lower_right_aligned():
    assert causal_mask(3).tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert causal_mask(2, 4).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("crossed", [True, False])
def test_multi_head_is_torchs(bias, crossed):
    ours = lively(MultiHead(12, 3, design=Design(bias=bias)))
    theirs = nn.MultiheadAttention(12, 3, bias=bias, batch_first=True, dtype=torch.float64)
    theirs.in_proj_weight.data, theirs.out_proj.weight.data = ours.qkv.weight, ours.out.weight
    if bias:
        theirs.in_proj_bias.data, theirs.out_proj.bias.data = ours.qkv.bias, ours.out.bias
    x, memory, _ = qkv(5, 7, 12, (2,))
    memory, seen = (memory, memory) if crossed else (None, x)
    mask = causal_mask(5, seen.shape[1])
    wanted, weights = theirs(x, seen, seen, attn_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(ours(x, memory, mask), wanted, atol=1e-12, rtol=0)
    torch.testing.assert_close(ours.weights(x, memory, mask), weights, atol=1e-12, rtol=0)
    with pytest.raises(ValueError, match="cannot share"):
        MultiHead(12, 5)


def test_without_positions_and_mask_attention_does_not_know_the_order():
    x, order = qkv(6, 6, 8, (2,))[0], torch.tensor([3, 0, 5, 1, 4, 2])
    block = lively(Block(8, 2))
    torch.testing.assert_close(block(x[:, order]), block(x)[:, order])
    assert not torch.allclose(
        block(x[:, order], causal_mask(6)), block(x, causal_mask(6))[:, order]
    )
    turned = lively(Block(8, 2, design=Design(rotary=True)))
    assert not torch.allclose(turned(x[:, order]), turned(x)[:, order])


def test_rotary_scores_depend_on_the_distance_alone_and_positions_may_be_named():
    q, k, _ = qkv(6, 6, 8)
    scores = [
        transformer.rotated(q, start=start) @ transformer.rotated(k, start=start).mT
        for start in (0, 50)
    ]
    torch.testing.assert_close(*scores, atol=1e-5, rtol=1e-5)  # angles are float32
    assert not torch.allclose(scores[0], q @ k.mT)
    torch.testing.assert_close(transformer.rotated(q).norm(dim=-1), q.norm(dim=-1))
    named = transformer.rotated(q, torch.arange(6) // 3)
    alone = [transformer.rotated(q[:, :, i : i + 1], start=i // 3) for i in range(6)]
    torch.testing.assert_close(named, torch.cat(alone, 2))
    head = lively(MultiHead(8, 2, design=Design(rotary=True)))
    x = qkv(6, 6, 8, (2,))[0]
    torch.testing.assert_close(head(x, positions=torch.arange(6) + 9), head(x), atol=1e-5, rtol=0)
    assert not torch.allclose(head(x, positions=torch.arange(6) // 3), head(x))


def test_a_block_with_a_memory_looks_at_it():
    x, memory, _ = qkv(4, 6, 8, (2,))
    block = lively(Block(8, 2, cross=True))
    seen = torch.ones(2, 1, 1, 6, dtype=torch.bool)
    seen[0, ..., 3:] = False
    changed = memory.clone()
    changed[:, 4] += 1
    moved = block(x, memory=changed, memory_mask=seen) - block(x, memory=memory, memory_mask=seen)
    assert moved[0].abs().max() == 0 and moved[1].abs().min() > 0
    for wrong in (Block(8, 2, cross=True), Block(8, 2)):
        with pytest.raises(ValueError, match="needs a memory"):
            lively(wrong)(x, memory=None if wrong.has_cross else memory)


# -- GPT: GPT-2 and the future ---------------------------------------------------------------------


def test_the_whole_gpt_is_transformers_gpt2_both_ways():
    model, ids = small(), some_ids(12)
    theirs = transformer.to_gpt2(model)
    wanted = theirs(ids).logits
    assert (model(ids) - wanted).abs().max() < 1e-9 and wanted.std() > 0.5
    assert (transformer.from_gpt2(theirs)(ids) - wanted).abs().max() < 1e-9
    with torch.no_grad():  # a wrong place for a weight would be seen
        model.blocks[1].feed.up.weight[0, 0] += 0.1
    assert (model(ids) - wanted).abs().max() > 1e-5
    with pytest.raises(ValueError, match="GPT-2's design"):
        transformer.to_gpt2(small(MODERN))
    theirs.config.activation_function = "relu"
    with pytest.raises(ValueError, match="activation_function"):
        transformer.from_gpt2(theirs)


def test_our_first_weights_are_gpt2s():
    torch.manual_seed(0)
    model = GPT(45, 128, layers=6)
    assert model.embed.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert model.blocks[0].attend.qkv.weight.std().item() == pytest.approx(0.02, rel=0.03)
    for part in (model.blocks[3].attend, model.blocks[3].feed):
        assert part.out.weight.std().item() == pytest.approx(0.02 / math.sqrt(12), rel=0.03)
    logits = GPT(45, design=MODERN)(some_ids(9, V=45))
    assert bool((logits == 0).all())  # the modern one begins with: all are equally likely


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_no_later_symbol_changes_an_earlier_logit(design):
    model, ids = small(design), some_ids(12)
    logits = model(ids)
    for t in range(12):
        other = ids.clone()
        other[:, t] = (other[:, t] + 1) % 11
        moved = (model(other) - logits).abs().amax((0, 2))
        assert bool((moved[:t] == 0).all()) and bool((moved[t:] > 0).all())


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_no_gradient_comes_from_the_future(design):
    model, ids = small(design), some_ids(12, B=1)
    found = {}

    def keep(part, args, x):
        found["x"] = x.detach().requires_grad_()
        return found["x"]

    hook = model.embed.register_forward_hook(keep)
    logits = model(ids)[0]
    hook.remove()
    for t in (0, 4, 11):
        grad = torch.autograd.grad(logits[t].square().sum(), found["x"], retain_graph=True)[0][0]
        reached = grad.abs().amax(-1) > 0
        assert reached.tolist() == [s <= t for s in range(12)]


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_a_mask_that_is_one_off_would_be_seen(design, monkeypatch):
    def one_off(T, S=None, device=None):
        S = T if S is None else S
        return torch.ones(T, S, dtype=torch.bool).tril(S - T + 1)

    monkeypatch.setattr(transformer, "causal_mask", one_off)
    with pytest.raises(AssertionError):
        test_no_later_symbol_changes_an_earlier_logit(design)
    with pytest.raises(AssertionError):
        test_no_gradient_comes_from_the_future(design)


# -- the cache -----------------------------------------------------------------------------------


def by_the_rule(model, ids):
    """The plain pass, a symbol at a time, by ``window_start``: what ``advance`` must equal."""
    ends = range(1, ids.shape[1] + 1)
    seen = [ids[:, likelihood.window_start(n, model.context) : n] for n in ends]
    return torch.stack([model(each)[:, -1] for each in seen], 1)


def in_pieces(model, ids, sizes):
    state, found = None, []
    for piece in ids.split(sizes, 1):
        logits, state = model.advance(piece, state)
        found.append(logits)
    return torch.cat(found, 1)


@torch.no_grad()
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
@pytest.mark.parametrize("context", [1, 2, 5, 12])
def test_the_cache_equals_the_plain_pass_for_ever(design, context):
    model, ids = small(design, context), some_ids(40)
    wanted = by_the_rule(model, ids)
    for sizes in ([40], [1] * 40, [3, 1, 1, 12, 1, 20, 2], [12, 28]):
        assert (in_pieces(model, ids, sizes) - wanted).abs().max() < 1e-9
    within = some_ids(context)
    assert (model.advance(within)[0] - model(within)).abs().max() < 1e-12


@pytest.mark.parametrize("what", ["learned position", "turned position", "shift"])
def test_a_cache_that_does_not_advance_would_be_seen(what, monkeypatch):
    embedded, rotated = GPT._embedded, transformer.rotated
    if what == "turned position":
        monkeypatch.setattr(transformer, "rotated", lambda x, places, start: rotated(x, places))
    else:
        late = lambda self, seen, n: embedded(self, seen[:, n:], 0)  # noqa: E731
        monkeypatch.setattr(GPT, "_embedded", late)
    model, ids = small(GPT2 if what == "learned position" else MODERN), some_ids(12)
    with torch.no_grad():
        far = (in_pieces(model, ids, [1] * 12) - by_the_rule(model, ids)).abs().amax((0, 2))
    assert far[0] < 1e-9 and far[1:].min() > 1e-3


POINTS = [dict(rotary=True), dict(qk_norm=True), dict(rms=True), dict(squared_relu=True),
          dict(bias=False), dict(tied=False), dict(shift=2)]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("point", POINTS, ids=lambda point: next(iter(point)))
def test_one_symbol_by_hand_is_what_the_blocks_make_of_it(point, monkeypatch):
    model, ids = small(Design(**point)), some_ids(12)
    calls, by_hand = [], GPT._one
    monkeypatch.setattr(GPT, "_one", lambda *given: calls.append(1) or by_hand(*given))
    assert (in_pieces(model, ids, [1] * 12) - model(ids)).abs().max() < 1e-10
    assert len(calls) == 11  # all but the first

    def slip(block):  # the two norms exchanged
        (attend, feed), *rest = weights(block)
        return (feed, attend), *rest

    weights = transformer._weights
    monkeypatch.setattr(transformer, "_weights", slip)
    far = (in_pieces(model, ids, [1] * 12) - model(ids)).abs().max()
    assert far < 1e-10 if point == dict(rms=True) else far > 1e-3  # without weights they are one


@torch.no_grad()
@pytest.mark.parametrize("point", [{}, *POINTS], ids=lambda point: next(iter(point), "none"))
def test_sums_in_their_own_place_write_over_no_weight_and_no_input(point):
    model, ids = small(Design(**point)), some_ids(12)
    before, given = {k: v.clone() for k, v in model.state_dict().items()}, ids.clone()
    in_pieces(model, ids, [1] * 12)
    assert torch.equal(ids, given)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@torch.no_grad()
def test_under_autocast_single_symbols_go_through_the_blocks(monkeypatch):
    model, ids = small(GPT2).float(), some_ids(6)
    monkeypatch.setattr(GPT, "_one", lambda *given: pytest.fail("its sums are of one dtype"))
    with torch.autocast("cpu", torch.bfloat16):
        pieces, plain = in_pieces(model, ids, [1] * 6), model(ids)
    torch.testing.assert_close(pieces.float(), plain.float(), atol=0.1, rtol=0.1)


@torch.no_grad()
def test_a_state_stays_as_it_is_and_may_branch_and_be_picked_from():
    model, ids = small(MODERN), some_ids(9)
    _, state = model.advance(ids[:, :5])
    one, first = model.advance(ids[:, 5:], state)
    other, _ = model.advance(10 - ids[:, 5:], state)  # from the same state, another way
    again, _ = model.advance(ids[:, 5:], state)
    assert torch.equal(one, again)
    torch.testing.assert_close(other, model(torch.cat([ids[:, :5], 10 - ids[:, 5:]], 1))[:, 5:])
    longer, _ = model.advance(ids[:, :1], first)  # and the first branch is whole
    torch.testing.assert_close(longer, model(torch.cat([ids, ids[:, :1]], 1))[:, 9:])
    rows = torch.tensor([2, 0, 0, 1])
    picked, _ = model.advance(ids[rows, 5:], state.take(rows))
    torch.testing.assert_close(picked, one[rows])


def test_past_adds_without_touching_what_others_hold():
    k = torch.arange(5.0).view(1, 1, 5, 1)
    past = Past()
    assert len(past) == 0 and past.take(torch.tensor([0])).k is None
    past.add(k[:, :, :1], -k[:, :, :1])
    past.add(k[:, :, 1:2], -k[:, :, 1:2])
    held = past.copy()
    past.add(k[:, :, 2:3], -k[:, :, 2:3])
    held.add(k[:, :, 4:], -k[:, :, 4:])
    past.add(k[:, :, 3:4], -k[:, :, 3:4])
    assert past.k.flatten().tolist() == [0, 1, 2, 3] and held.k.flatten().tolist() == [0, 1, 4]
    assert torch.equal(past.v, -past.k) and len(held) == 3
    for n in range(60):  # more than the first room holds
        past.add(k[:, :, :1] + n, k[:, :, :1])
    assert past.k.flatten().tolist() == [0, 1, 2, 3, *range(60)]


def test_gradients_flow_through_a_cache():
    model, ids = small(), some_ids(8)
    in_pieces(model, ids, [3, 1, 4]).square().sum().backward()
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(ids).square().sum().backward()
    for one, p in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(one, p.grad)


@torch.no_grad()
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_texts_and_likelihoods_go_on_beyond_the_context(design):
    model, prompt = small(design), some_ids(3)
    for temperature in (0, 1):
        texts = [
            sampling.generate(model, prompt, 30, temperature=temperature, cache=cache,
                              generator=torch.Generator().manual_seed(0))
            for cache in (True, False)
        ]  # fmt: skip
        assert torch.equal(*texts) and texts[0].shape == (3, 33)
    stream = some_ids(70, B=1)[0]
    logits, _ = model.advance(stream[None, :-1])
    wanted = F.cross_entropy(logits[0], stream[1:], reduction="none")
    torch.testing.assert_close(
        likelihood.nats(model, stream, 12).double(), wanted, atol=1e-5, rtol=0
    )


def test_what_a_gpt_cannot_read_is_refused():
    model = small()
    for ids, words in [
        (some_ids(13), "1 to 12 at a time"),
        (some_ids(12)[0], r"\(B, T\)"),
        (some_ids(0), "1 to 12"),
    ]:
        with pytest.raises(ValueError, match=words):
            model(ids)
    with pytest.raises(ValueError, match="no symbol"):
        model.advance(some_ids(0))


# -- the rest ------------------------------------------------------------------------------------


def test_attention_maps_are_what_the_model_looks_at():
    model, ids = small(MODERN), some_ids(7)
    maps = attention_maps(model.train(), ids)
    assert list(maps) == ["blocks.0.attend", "blocks.1.attend"] and model.training
    for weights in maps.values():
        assert weights.shape == (3, 2, 7, 7) and not weights.requires_grad
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 7, dtype=torch.float64))
        assert bool((weights[..., ~causal_mask(7)] == 0).all())
    x = model._embedded(ids, 0)
    part = model.blocks[0].attend
    v = part.project(model.blocks[0].norm_attend(x))[2]
    heads = (maps["blocks.0.attend"] @ v).transpose(1, 2).flatten(2)
    wanted = part(model.blocks[0].norm_attend(x), mask=causal_mask(7))
    torch.testing.assert_close(part.out(heads), wanted)


def test_each_point_of_the_modern_design_changes_the_model():
    points = ("rotary", "qk_norm", "rms", "squared_relu", "bias", "tied", "shift")
    ids = some_ids(6)
    for name in points:
        design = Design(**{name: getattr(MODERN, name)})
        assert design != GPT2
        assert not torch.allclose(small(design)(ids), small()(ids)), name
    assert Design(quiet=True) != GPT2 and set(points) | {"quiet"} == set(vars(MODERN))


def test_mixed_precision_keeps_attention_in_float32(monkeypatch):
    types = []
    real = F.scaled_dot_product_attention

    def watch(q, *rest):
        types.append(q.dtype)
        return real(q, *rest)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watch)
    torch.manual_seed(0)
    model = GPT(11, 12, layers=1, heads=2, width=8, design=MODERN)
    with torch.autocast("cpu", torch.bfloat16):
        model(some_ids(5)).float().sum().backward()
    assert types == [torch.float32]


def test_the_shipped_gpt_is_what_its_card_says():
    model = load_weights(recipes_text.gpt(), "gpt_tunes")
    card = weights_card("gpt_tunes")
    assert card["parameters"] == sum(p.numel() for p in model.parameters()) <= 2_000_000
    test = data.tunes("test")
    some = test.take(list(range(0, len(test), 10)))
    bits, error = likelihood.mean_bits(likelihood.by_tune(model, some, model.context))
    assert abs(bits - card["results"]["test_bits_per_character"]) < 4 * error
    text = sampling.tune(model, "6/8", "G", seed=1)
    assert text.startswith("M:6/8\nL:1/8\nK:G\n") and text.endswith("\n\n")
