"""Attention maps, what heads look for, and the explorer of both, moved by hand."""

import re

import numpy as np
import pytest
import torch

from genart_lessons import data, explore, show
from genart_lessons.explore.attention import played
from genart_lessons.models import harmony, heads, transformer

TUNE = "M:2/4\nL:1/8\nK:G\nGABc|d2B2|GABc|d4|\nedcB|A2F2|GABc|G4|]\n\n"


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def softmaxed(T, S=None, seed=0, causal=False):
    scores = 2 * torch.randn(T, S or T, generator=chance(seed))
    if causal:
        scores = scores.masked_fill(~transformer.causal_mask(T), -torch.inf)
    return scores.softmax(-1)


def lively(model, seed=0):
    torch.manual_seed(seed)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, 0, 0.3)
    return model.eval()


@pytest.fixture(scope="module")
def gpt():
    V = len(data.CHARACTERS)
    return lively(transformer.GPT(V, 128, layers=2, heads=2, width=32))


@pytest.fixture(scope="module")
def pair():
    """A small Harmoniser and a little music."""
    model = lively(harmony.Harmoniser(width=32, heads=2, layers=(1, 2)))
    grid = torch.tensor([[72, 67, 64, 48], [71, 67, 62, 55], [72, 67, 64, 48], [0, 0, 0, 0]])
    grid = grid.repeat_interleave(2, dim=0)
    starts = torch.tensor([True, False] * 3 + [False] * 2)[:, None].expand(-1, 4)
    return model, grid, starts


def numbers_in(caption):
    return [float(x) for x in re.findall(r"(?<= )\d\.\d\d(?= \()", caption)]


# ---------------------------------------------------------------- maps


def test_a_map_has_a_row_for_each_place_and_tells_where_it_looks():
    w = softmaxed(5, causal=True)
    picture = show.attention(w, list("GAB\n|"), title="Head 1", mark=3)
    assert picture.alt.startswith("Head 1. Where rows look most: G → G (1.00); A → ")
    assert "↵ → " in picture.alt
    ax = picture.axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == list("GAB↵|")
    drawn = ax.images[0].get_array()
    assert np.allclose(drawn.filled(0), w) and np.array_equal(
        drawn.mask, np.triu(np.ones((5, 5)), 1)
    )
    (frame,) = ax.patches
    assert frame.get_y() == 2.5 and frame.get_width() == 5
    assert len(np.unique(np.asarray(picture.image()).reshape(-1, 3), axis=0)) > 20


def test_two_kinds_of_symbols():
    picture = show.attention(softmaxed(2, 7), ["alto", "bass"], list("CDEFGAB"), title="Cross")
    width, height = picture.get_size_inches()
    assert width <= 9 and height < 4
    assert show.attention(softmaxed(60), ["x"] * 60, title="The largest").get_size_inches()[0] <= 9


@pytest.mark.parametrize(
    ("weights", "symbols", "says"),
    [
        (softmaxed(4).T, 4, "sums to .*; the columns do: a softmax over the wrong axis?"),
        (softmaxed(4) / 2, 4, r"row 0 sums to 0.5, not to 1\."),
        (torch.randn(4, 4, generator=chance()), 4, "weights are 0 to 1; these are -"),
        (softmaxed(4), 3, r"shape \(4, 4\) with 3 symbols"),
        (softmaxed(61), 61, r"61 are too many to read: give a part"),
        (torch.full((4, 4), torch.nan), 4, "16 of 16 values are NaN"),
        (softmaxed(4)[0], 4, r"needs 2 dimension\(s\)"),
    ],
)
def test_a_wrong_map_gets_a_sentence(weights, symbols, says):
    with pytest.raises(ValueError, match=says):
        show.attention(weights, ["x"] * symbols, title="Wrong")


def test_wrong_maps_can_be_shown_on_purpose():
    show.attention(softmaxed(4).T, list("abcd"), title="Softmax over the wrong axis", sums=False)
    with pytest.raises(ValueError, match="mark=4, but the rows are 0 to 3"):
        show.attention(softmaxed(4), list("abcd"), title="x", mark=4)
    with pytest.raises(ValueError, match="title is empty"):
        show.attention(softmaxed(4), list("abcd"), title=" ")


def test_heads_side_by_side():
    w = torch.stack([softmaxed(20, seed=i, causal=True) for i in range(5)])
    picture = show.attention_heads(w, title="Five heads", caption="grey: the future")
    shown = [ax for ax in picture.axes if ax.images]
    assert [ax.get_title(loc="left") or ax.get_title() for ax in shown] == [
        f"head {i}" for i in range(1, 6)
    ]
    assert np.allclose(shown[2].images[0].get_array().filled(0), w[2])
    with pytest.raises(ValueError, match="3 names for 5 heads"):
        show.attention_heads(w, title="x", names=list("abc"))
    with pytest.raises(ValueError, match="at most 16 heads"):
        show.attention_heads(w.repeat(4, 1, 1), title="x")
    with pytest.raises(ValueError, match="wrong axis"):
        show.attention_heads(w[:, -5:, -5:].softmax(1), title="x")


# ---------------------------------------------------------------- what heads look for


def rows(look, text=TUNE):
    """{place: the text at the places looked at}"""
    found = look(text)
    assert found.dtype == torch.bool and not found.triu(1).any()
    return {t: "".join(text[j] for j in range(len(text)) if row[j]) for t, row in enumerate(found)}


def test_previous_and_header_and_bar_line():
    before = rows(heads.previous)
    assert before[0] == "" and all(before[t] == TUNE[t - 1] for t in range(1, len(TUNE)))
    top = TUNE.index("GABc")
    on_top = rows(heads.header)
    assert on_top[top - 1] == "" and on_top[top] == on_top[len(TUNE) - 1] == TUNE[:top]
    found, lines = heads.last_bar_line(TUNE), [i for i, c in enumerate(TUNE) if c == "|"]
    for t in range(len(TUNE)):
        earlier = [i for i in lines if i < t]
        wanted = [earlier[-1]] if earlier and t not in lines else []
        assert found[t].nonzero().flatten().tolist() == wanted


def test_what_followed_the_last_time():
    second = TUNE.index("GABc", TUNE.index("GABc") + 1)
    first = TUNE.index("GABc")
    found = heads.repeat(TUNE)
    assert not found[first + 1].any()
    assert found[second + 1].nonzero().flatten().tolist() == [first + 2]  # after "GA" came "B"
    third = TUNE.index("GABc", second + 1)
    assert found[third + 2].nonzero().flatten().tolist() == [first + 3, second + 3]


def test_a_bar_earlier_is_the_same_beat():
    found = rows(heads.a_bar_earlier)
    second_bar = TUNE.index("d2B2")
    # before the second bar's d2 is written, the first bar's first note is looked at
    assert found[second_bar - 1] == "G" and found[second_bar - 2] == "G"
    assert found[second_bar + 1] == "B"  # B2 comes next, on the beat of the first bar's B
    third = TUNE.index("GABc", second_bar)
    assert [found[third + i] for i in (-1, 0, 1, 2)] == ["d2", "d2", "B2", "B2"]
    assert found[TUNE.index("GABc")] == ""  # nothing is a bar earlier in the first bar


def test_scores_of_heads_that_do_nothing_else(monkeypatch):
    T = len(TUNE)
    even = transformer.causal_mask(T) / torch.arange(1, T + 1)[:, None]
    crafted = [even]
    for look in heads.LOOKS.values():  # each head does one thing, where it can, and else nothing
        wanted = look(TUNE).float()
        total = wanted.sum(1, keepdim=True)
        crafted.append(torch.where(total > 0, wanted / total.clamp(min=1), even))
    weights = torch.stack(crafted).view(2, 3, T, T)
    monkeypatch.setattr(heads, "maps", lambda model, text: weights)
    scores = heads.scores(None, [TUNE, TUNE])
    named = heads.named(None, [TUNE])
    for number, name in enumerate(heads.LOOKS, 1):
        share, chance_of_it = scores[name]
        assert float(share[0, 0]) == pytest.approx(chance_of_it)
        assert named[name][:2] == (number // 3 + 1, number % 3 + 1)
        assert named[name].share == pytest.approx(1) and chance_of_it < 0.6
    monkeypatch.setattr(heads, "maps", lambda model, text: weights.mT)  # the wrong way round
    assert heads.named(None, [TUNE])["the character before"].share < 0.2
    with pytest.raises(ValueError, match="'a whistle' finds nothing to look at in these 1 texts"):
        heads.scores(None, [TUNE], {"a whistle": lambda text: torch.zeros(T, T).bool()})


def test_an_untrained_model_does_nothing_nameable():
    torch.manual_seed(0)
    model = transformer.GPT(len(data.CHARACTERS), 128, layers=2, heads=2, width=32)
    for name, (share, chance_of_it) in heads.scores(model, [TUNE]).items():
        assert (share - chance_of_it).abs().max() < 0.05, name
    assert heads.maps(model, TUNE * 4).shape == (2, 2, 128, 128)


# ---------------------------------------------------------------- the explorer, on a text


def test_the_notes_of_a_text_are_the_scores():
    notes, bars = played(TUNE)
    score = data.score(TUNE)
    assert [note[4] for note in notes] == [note.pitch for note in score.notes]
    assert [note[2] for note in notes] == [float(note.start) for note in score.notes]
    assert [note[:2] for note in notes] == list(data.spans(TUNE))
    assert bars[:2] == [2.0, 4.0]
    cut = TUNE.index("d4") + 1
    assert played(TUNE[:cut] + "^")[0] == played(TUNE[:cut])[0]  # half a note is no note
    assert played("no tune at all") == ([], [])


def test_the_explorer_draws_the_row_that_is_asked_for(gpt):
    explorer = explore.attention(gpt, TUNE, layer=2, head=1, place=30)
    w = heads.maps(gpt, TUNE)
    assert numbers_in(explorer.caption) == [
        round(float(x), 2) for x in w[1, 0, 30].sort(descending=True).values[:3]
    ]
    assert f"Layer 2, head 1, place 30: after `{TUNE[30]}`" in explorer.caption
    explorer.set(layer=1, head=2, place=len(TUNE) - 1)
    assert explorer.error is None
    assert numbers_in(explorer.caption)[0] == round(float(w[0, 1, -1].max()), 2)
    explorer.set(head=0)
    assert numbers_in(explorer.caption)[0] == round(float(w[0, :, -1].mean(0).max()), 2)
    assert "all heads" in explorer.caption and "notes get" in explorer.caption
    assert explorer.picture.alt and "**" not in explorer.picture.alt


def test_what_is_ahead_stays_white(gpt):
    picture = explore.attention(gpt, TUNE, place=20).picture
    text, roll = picture.axes[:2]
    ahead = [p for p in text.patches if p.get_facecolor() == (1, 1, 1, 1)]
    assert len(ahead) >= len(TUNE) - 21
    letters = [t for t in text.texts if t.get_color() == "#b8b8b8"]
    assert len(letters) == len(TUNE) - 21
    assert len(roll.patches) == len(played(TUNE)[0])


def test_any_text_will_do_and_long_ones_are_cut(gpt):
    plain = explore.attention(gpt, "(((((|||||", place=4)
    assert len(plain.picture.axes) == 2 and "notes get" not in plain.caption  # text and scale
    long = explore.attention(gpt, TUNE * 3)
    assert long.values["place"] == 127


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layer": 3}, "layer is 3, outside 1 to 2"),
        ({"head": -1}, "head .0: mean of all. is -1, outside 0 to 2"),
        ({"place": 500}, "place is 500, outside 0 to"),
        ({"title": ""}, "title is empty"),
    ],
)
def test_wrong_numbers_get_a_sentence(gpt, options, says):
    with pytest.raises(ValueError, match=says):
        explore.attention(gpt, TUNE, **options)
    with pytest.raises(TypeError, match="takes a transformer.GPT with a text"):
        explore.attention(torch.nn.Linear(2, 2), TUNE)
    with pytest.raises(ValueError, match="a text of two characters"):
        explore.attention(gpt, "x")


# ---------------------------------------------------------------- the explorer, on four voices


def test_cross_attention_has_rows_that_sum_to_one(pair):
    model, grid, starts = pair
    w = harmony.cross_weights(model, grid, starts)
    assert w.shape == (2, 2, 8, 3, 8)
    assert torch.allclose(w.sum(-1), torch.ones(()), atol=1e-5)
    said = harmony.symbols(grid, starts)
    said[0, 0] = 30  # another melody is looked at in another way
    other = harmony.cross_weights(model, *harmony.grid_of(said))
    assert not torch.allclose(w, other, atol=1e-3)
    with pytest.raises(ValueError, match="not sighted"):
        harmony.cross_weights(harmony.Harmoniser(width=32, heads=2, sighted=False), grid, starts)


def test_how_far_ahead_a_head_looks(pair, monkeypatch):
    model, grid, starts = pair
    few = type("Two", (), {"grids": [grid, grid[:6]], "starts": [starts, starts[:6]]})
    found = harmony.looks_ahead(model, few, reach=3)
    w = [harmony.cross_weights(model, *each) for each in ((grid, starts), (grid[:6], starts[:6]))]
    assert found.shape == (2, 2, 3, 7)
    ahead = [x[1, 0, t, 2, t + 2] for x in w for t in range(x.shape[2] - 2)]
    back = [x[0, 1, t, 1, t - 3] for x in w for t in range(3, x.shape[2])]
    assert float(found[1, 0, 2, 5]) == pytest.approx(float(sum(ahead) / len(ahead)))
    assert float(found[0, 1, 1, 0]) == pytest.approx(float(sum(back) / len(back)))


def test_the_explorer_adds_up_the_notes_of_the_soprano(pair):
    model, grid, starts = pair
    explorer = explore.attention(model, (grid, starts), layer=2, head=1, voice="tenor", place=2)
    row = harmony.cross_weights(model, grid, starts)[1, 0, 2, harmony.ORDER.index(2)]
    sums = sorted((float(row[a : a + 2].sum()) for a in (0, 2, 4)), reverse=True)
    assert numbers_in(explorer.caption) == [round(x, 2) for x in sums]
    assert "before the tenor's D4" in explorer.caption and "B4" in explorer.caption
    assert "sounding now" in explorer.caption and "(1 quarter ahead)" in explorer.caption
    explorer.set(voice="bass", place=7)
    assert explorer.error is None and "the bass's rest" in explorer.caption
    for wrong, says in (
        ({"voice": "soprano"}, "it is bass, tenor, alto"),
        ({"place": 9}, "outside"),
    ):
        with pytest.raises(ValueError, match=says):
            explore.attention(model, (grid, starts), **wrong)
    with pytest.raises(ValueError, match="a pair"):
        explore.attention(model, grid)
