"""explore.next_symbol: the bars are the model's numbers, the text is what generate draws."""

import importlib
import io
import math

import pytest
import torch
from PIL import Image
from torch import nn

from genart_lessons import data, explore
from genart_lessons.models import sampling, sequences, transformer

# The package's name for it is the function; the module is asked for by its own.
module = importlib.import_module("genart_lessons.explore.next_symbol")
TUNES = data.tunes("train").take(range(60))
V = len(data.CHARACTERS)
COUNTS = sequences.CountModel(3, V, 5.0, interpolate=True).fit(TUNES.stream())
PROMPT = TUNES.texts[0][:60]


def box(**options):
    return explore.next_symbol(COUNTS, PROMPT, **{"n": 80, **options})


def heights(explorer):
    """(before, after) of every character that is shown, from the bars themselves."""
    ax = explorer.picture.axes[0]
    before, after = ax.containers
    names = [t.get_text().replace("new\nline", "\n") for t in ax.get_xticklabels()]
    return {
        n: (b.get_height(), a.get_height()) for n, b, a in zip(names, before, after, strict=True)
    }


@pytest.mark.parametrize(
    "rule", [{}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.6}, {"temperature": 0.0},
             {"temperature": 1.6, "top_k": 9, "top_p": 0.8}],
)  # fmt: skip
def test_the_bars_are_the_models_numbers_before_and_after(rule):
    explorer = box(**rule)
    logits = COUNTS(data.encode(PROMPT)[None])[0, -1]
    before, after = logits.exp(), sampling.adjusted(logits, **rule).exp()
    shown = heights(explorer)
    assert len(shown) == module.SHOWN
    for name, (low, high) in shown.items():
        at = data.CHARACTERS.index(name)
        assert (low, high) == pytest.approx((float(before[at]), float(after[at])))
    assert sorted((low for low, _ in shown.values()), reverse=True) == [
        b for b, _ in shown.values()
    ]
    entropy = -float((before * before.log()).sum()) / math.log(2)
    told = explorer.caption
    assert f"entropy {entropy:.2f} bits before" in told
    assert f"leaves {int((after > 0).sum())} of {V} characters" in told


def text_of(explorer):
    texts = [t for t in explorer.picture.texts if t.get_family() == ["monospace"]]
    rows = {}
    for t in texts:
        rows.setdefault(round(t.get_position()[1], 5), []).append(
            (t.get_position()[0], t.get_text())
        )
    return "\n".join("".join(part for _, part in sorted(row)) for _, row in
                     sorted(rows.items(), reverse=True))  # fmt: skip


def test_the_text_is_what_generate_draws_and_depends_on_the_seed():
    explorer = box(temperature=0.8, top_p=0.9, seed=7)
    made = sampling.generate(
        COUNTS, data.encode(PROMPT)[None], 80, temperature=0.8, top_p=0.9, stop=[0, 0],
        generator=torch.Generator().manual_seed(7),
    )[0]  # fmt: skip
    assert text_of(explorer) == data.decode(made).rstrip("\n")
    assert f"Drawn: **{data.decode(made[len(PROMPT) :][:1])}**" in explorer.caption
    before = text_of(explorer)
    explorer.set(seed=8)
    assert text_of(explorer) != before and text_of(explorer).startswith(PROMPT)
    explorer.set(seed=7)
    assert text_of(explorer) == before


def test_one_may_walk_through_the_prompt():
    explorer = box()
    explorer.set(given=12)
    logits = COUNTS(data.encode(PROMPT[:12])[None])[0, -1]
    likeliest = data.CHARACTERS[int(logits.argmax())]
    assert f"Expected: **{likeliest}** with probability {float(logits.exp().max()):.2f}" in (
        explorer.caption
    )
    assert text_of(explorer).startswith(PROMPT[:12].rstrip("\n"))


def test_every_language_model_of_the_course_can_be_explored():
    torch.manual_seed(0)
    for model in (
        sequences.MLP(V, 3, 4, 8),
        sequences.RNN(V, 8, 4),
        sequences.RNN(V, 8, 4, kind="lstm"),
        transformer.GPT(V, context=16, layers=1, heads=2, width=16),
    ):
        explorer = explore.next_symbol(model, PROMPT, n=20)
        image = Image.open(io.BytesIO(explorer.still))
        assert image.size[0] == 900 and explorer.error is None
        explorer.set(temperature=0.0)
        assert "leaves 1 of" in explorer.caption and explorer.error is None


def test_the_picture_keeps_its_size_and_long_texts_are_cut():
    sizes = set()
    for given, n in ((5, 5), (60, 5), (60, 450)):
        explorer = explore.next_symbol(COUNTS, PROMPT, n=n, temperature=1.8)
        explorer.set(given=given)
        sizes.add(Image.open(io.BytesIO(explorer.still)).size)
        lines = text_of(explorer).split("\n")
        assert len(lines) <= module.ROWS and max(map(len, lines)) <= module.LINE
    assert len(sizes) == 1 and lines[-1] == "…"


def test_other_alphabets():
    law = sequences.Law.random(3, 2, seed=0)
    explorer = explore.next_symbol(law, "abca", characters="abc", n=30, title="Three letters")
    assert set(heights(explorer)) == set("abc") and "of 3 characters" in explorer.caption
    assert len(text_of(explorer)) == 34


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"characters": "abc"}, "the model has 45 symbols and the alphabet 3"),
        ({"title": " "}, "title is empty"),
        ({"temperature": 3.0}, "'temperature τ' starts at 3.0"),
        ({"top_k": 0}, "'top-k' starts at 0"),
        ({"top_p": 0.0}, "'top-p' starts at 0"),
    ],
)
def test_nonsense_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        box(**options)


@pytest.mark.parametrize(("prompt", "says"), [("", "prompt is empty"), ("G!", "does not know '!'")])
def test_prompts_that_cannot_be(prompt, says):
    with pytest.raises(ValueError, match=says):
        explore.next_symbol(COUNTS, prompt)


class Blind(nn.Module):
    """A model that gives no probabilities, as unsmoothed counts may: told, and no traceback."""

    V, context = V, None

    def forward(self, ids):
        logits = torch.zeros(*ids.shape, V)
        return torch.full_like(logits, math.nan) if ids.shape[1] > 30 else logits

    def advance(self, ids, state=None):
        state = ids if state is None else torch.cat([state, ids], 1)
        return self(state), state


def test_a_model_without_probabilities_gets_a_sentence():
    explorer = explore.next_symbol(Blind(), PROMPT[:20], n=5)
    assert explorer.error is None
    with pytest.raises(ValueError, match="no probabilities"):
        explore.next_symbol(Blind(), PROMPT[:40], n=5)
