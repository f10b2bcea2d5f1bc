"""Scores: read in two ways that agree, checked bar by bar, and back from MIDI as they went in."""

import random
from fractions import Fraction

import pytest
import torch

from genart_lessons import data
from genart_lessons.data import NotMusic

HEAD = "M:{}\nL:1/8\nK:{}\n"


def tune(music, meter="C", key="G"):
    return HEAD.format(meter, key) + music + "\n\n"


def by_tokens(text):
    """(start, length, pitch) of every note by the course's own reading, which knows no music21."""
    notes, now, sounding, tied = [], Fraction(0), {}, False
    for token in data.abc.tokens(text):
        if token.kind == "tie":
            tied = True
        elif token.ticks:
            length, before, sounding = Fraction(4 * token.ticks, data.abc.WHOLE), sounding, {}
            single = len(token.pitches) == 1 == len(before)  # music21 joins no chords
            for pitch in token.pitches:
                if tied and single and pitch in before:
                    sounding[pitch] = before[pitch]
                    notes[sounding[pitch]][1] += length
                else:
                    sounding[pitch] = len(notes)
                    notes.append([now, length, pitch])
            now, tied = now + length, False
    return rounded(notes)


def rounded(notes):
    return sorted((round(float(s), 6), round(float(length), 6), p) for s, length, p in notes)


def ours(text):
    return rounded((n.start, n.length, n.pitch) for n in data.score(text).notes)


# -- reading ---------------------------------------------------------------------------------------


def test_a_small_tune_by_hand():
    read = data.score(tune("GA^f2|f4z2(3ABc|[Bd]4b4-|b2e2|]", key="D"))
    third = 1 / 3
    assert rounded((n.start, n.length, n.pitch) for n in read.notes) == rounded([
        (0, 0.5, 67), (0.5, 0.5, 69), (1, 1, 78),
        (2, 2, 78),  # the F♯ of the key, not of the bar before
        (5, third, 69), (5 + third, third, 71), (5 + 2 * third, third, 73),
        (6, 2, 71), (6, 2, 74), (8, 3, 83), (11, 1, 76),
    ])  # fmt: skip
    assert read.bar_starts == (0, 2, 6, 10) and read.meter == "C" and read.key == "D"
    assert read.length == 12


@pytest.mark.parametrize(
    "music",
    [
        "GABc d2B2|c2A2 F2D2|".replace(" ", ""),
        "G>AB<c^f>g=f2|_B2A2A,2a'2|",
        "(3GABc2(3d/e/f/g2|z4G4|",
        "G2-|G2AB-B2|",
        "[GBd]4[Gc]2B2|:e8:|",
    ],
)
def test_two_readings_agree(music):
    assert ours(tune(music)) == by_tokens(tune(music))


def test_two_readings_agree_on_real_tunes():
    """A sample of the corpus, drawn with a seed: every note's pitch, beginning and length."""
    chosen = random.Random(5).sample(data.tunes("all").texts, 40)
    differ = [text for text in chosen if ours(text) != by_tokens(text)]
    assert not differ, differ[:1]


def test_a_slip_in_the_reading_would_be_seen():
    text = tune("G2A2B2c2|")
    moved = [(start, length, pitch + 1) for start, length, pitch in ours(text)]
    assert moved != by_tokens(text)
    assert ours(tune("G2A2B2c2|", key="D")) != by_tokens(text)  # c is C♯ there


def test_spans_say_where_each_note_stands():
    text = tune("G2A>B-|B[ce]2|]")
    found = data.spans(text)
    assert len(found) == len(data.score(text).notes)
    assert [text[a:b] for a, b in found] == ["G2", "A", "B", "[ce]2", "[ce]2"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "begins with three lines"),
        ("GABc", "begins with three lines"),
        (tune("GA?c|"), r"'\?' at character 16"),
        (tune("GA[c|"), r"bracket \["),
        (tune("GA(c|"), r"bracket \("),
        (tune("G0A|"), "lasts more than no time"),
        (tune("z4|"), "no note"),
        (tune("GA|", key="H"), "K:H is no key"),
        (tune("GA|", meter="x"), "M:x is no metre"),
    ],
)
def test_what_is_no_music_is_refused_with_the_reason(text, said):
    with pytest.raises(NotMusic, match=said):
        data.score(text)
    assert not data.check_abc(text).parses


# -- bars ------------------------------------------------------------------------------------------

FULL = "GABcdefg|"


@pytest.mark.parametrize(
    "music, wrong",
    [
        (FULL * 4 + "G8|]", ()),
        ("GABc|", (1,)),  # one bar, and it is not whole
        (FULL + "GABcdef|" + FULL + "G8|]", (2,)),  # too short in the middle
        (FULL + "GABcdefga|" + FULL + "G8|]", (2,)),  # too long
        ("AB|" + FULL + "G6|]", ()),  # a pick-up, completed at the end
        ("AB|" + FULL + "G4|]", (3,)),  # a pick-up, and what completes it is too short
        ("AB|" + FULL + "G6:|\n|:AB|" + FULL + "G6:|", ()),  # the same, twice
        ("AB|" + FULL + "G6:|\n|:ABc|" + FULL + "G5:|", ()),  # another pick-up of its own
        ("AB|" + FULL + "G6:|\n|:ABc|" + FULL + "G6:|", (4,)),  # … that nothing completes
        (FULL + "G4:|\n|:AB|" + FULL + "G6:|", (2,)),
        ("AB|" + FULL + "G6:|\n" + FULL + "G8|]", ()),
        ("|:AB|" + FULL + "|1G6:|2G8|]", ()),  # endings
        (FULL + "G9|]", (2,)),
        (FULL * 3 + "||" + FULL, ()),  # empty bars are none
    ],
)
def test_bars_add_up_or_are_named(music, wrong):
    found = data.check_abc(tune(music))
    assert found.parses and found.wrong_bars == wrong, found
    assert bool(found) == (not wrong)


@pytest.mark.parametrize("meter, bar", [("6/8", "G3A3|"), ("3/4", "G2A2B2|"), ("9/8", "G3A3B3|")])
def test_the_metre_decides(meter, bar):
    assert data.check_abc(tune(bar * 3, meter)).ok
    assert not data.check_abc(tune(bar * 3, "C")).ok


def test_real_tunes_mostly_pass_and_spoilt_ones_do_not():
    """What made-up tunes are held against, and that the check is no rubber stamp."""
    texts = random.Random(1).sample(data.tunes("test").texts, 80)
    passed = [text for text in texts if data.check_abc(text)]
    assert all(data.check_abc(text).parses for text in texts)
    assert len(passed) > 0.75 * len(texts)
    spoilt = 0
    for text in passed:
        top, music = text[: text.index("K:")], text[text.index("K:") :]
        first, bar, rest = music.partition("|")
        spoilt += not data.check_abc(top + first + bar + rest.replace("|", "G2|", 2))
    assert spoilt > 0.9 * len(passed)


def test_a_check_never_raises():
    rng = random.Random(3)
    for _ in range(60):
        text = "M:C\nL:1/8\nK:G\n" + "".join(rng.choices(data.CHARACTERS, k=40))
        assert data.check_abc(text).sentence


# -- grids -----------------------------------------------------------------------------------------


def test_a_grid_is_read_note_by_note():
    grid = torch.tensor([[72, 60], [72, 60], [74, 60], [0, 62]])
    starts = torch.tensor([[1, 1], [0, 0], [1, 1], [1, 1]]).bool()
    read = data.score_of_grid(
        grid, starts, steps_per_quarter=2, parts=("soprano", "bass"), bar_starts=[0, 2]
    )
    assert [(n.start, n.length, n.pitch, n.part) for n in read.notes] == [
        (0, 1, 72, 0), (0, 1, 60, 1), (1, Fraction(1, 2), 74, 0), (1, Fraction(1, 2), 60, 1),
        (Fraction(3, 2), Fraction(1, 2), 62, 1),
    ]  # fmt: skip
    assert read.bar_starts == (0, 1)
    with pytest.raises(ValueError, match="starts has the shape"):
        data.score_of_grid(grid, starts[:, :1], parts=("soprano", "bass"))
    with pytest.raises(ValueError, match="for Soprano, Alto"):
        data.score_of_grid(grid, starts)


def test_chorales_as_scores_sound_at_every_step_what_the_grid_says():
    chorales = data.chorales("test")
    read = chorales.scores()[0]
    grid, steps = chorales.grids[0], chorales.steps_per_quarter
    for step in range(len(grid)):
        for part in range(4):
            at = Fraction(step, steps)
            now = [n.pitch for n in read.notes
                   if n.part == part and n.start <= at < n.start + n.length]  # fmt: skip
            assert now == ([int(grid[step, part])] if grid[step, part] else [])


# -- MIDI ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["tune", "chorale"])
def test_midi_comes_back_as_it_went_in(which, tmp_path):
    from music21 import converter

    given = (data.chorales("test").scores()[1] if which == "chorale" else
             data.score(tune("G>AB2c4|d2(3efgd4|")))  # fmt: skip
    path = tmp_path / "out.mid"
    path.write_bytes(data.midi(given, {"Title": "A title"}))
    back = converter.parse(path)
    back = back.stripTies()
    found = sorted((n.offset, p.midi) for n in back.flatten().notes for p in n.pitches)
    want = sorted((n.start, n.pitch) for n in given.notes)
    assert [p for _, p in found] == [p for _, p in want]
    assert max(abs(float(a) - float(b)) for (a, _), (b, _) in zip(found, want, strict=True)) < 0.03
    assert b"Title: A title" in path.read_bytes()
