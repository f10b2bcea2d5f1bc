"""Tunes and chorales: one spelling, honest splits, and near-duplicates that are planted."""

import collections
import random
import re
from dataclasses import replace

import pytest
import torch

from genart_lessons import data
from genart_lessons.data import abc, families, from_music21, from_music21_bach
from genart_lessons.data.from_music21 import Unfit, clean

PRINTED = """X: 7
T: WIDOW BRADY, THE
T: another name
M:6/8
L:1/8
Z:somebody
K:G
"Em"{c}d|.G2A (Bcd) | ~e2d !fine!e>dB | TG3- G2A| \\
B3 z2d ::% a comment
d'|b`a`g f//g//a/ [GB]2 | (3abc d2 (3efg | a-b c2x2 | g3 G2 :|
"""


@pytest.fixture(scope="module")
def tunes():
    return {split: data.tunes(split) for split in ("train", "test", "all")}


# -- the spelling ----------------------------------------------------------------------------------


def test_a_printed_tune_gets_the_one_spelling():
    tune = clean("Ryan", PRINTED)
    assert tune.text == (
        "M:6/8\nL:1/8\nK:G\n"
        "d|G2ABcd|e2de>dB|G3-G2A|B3z2d:|\n"
        "|:d'|bagf/4g/4a/[GB]2|(3abcd2(3efg|abc2z2|g3G2:|\n\n"
    )
    assert tune.title == "The Widow Brady" and tune.book == "Ryan"


def test_a_unit_of_length_belongs_to_the_metre_and_nothing_sounds_different():
    head = "X:1\nT:x\nM:2/4\nL:{}\nK:D\n"
    eighths = clean("Aird", head.format("1/8") + "A2 c>d|e/f/g/a/ b2|(3ABc d2|A4||" * 2)
    as_printed = "M:2/4\nL:1/8\nK:D\nA2c>d|e/f/g/a/b2|(3ABcd2|A4||" * 1
    assert eighths.head.unit == "1/16" == abc.unit_for("2/4") and abc.unit_for("6/8") == "1/8"
    first = [(t.pitches, t.ticks) for t in abc.tokens(eighths.text) if t.ticks]
    wanted = [(t.pitches, t.ticks) for t in abc.tokens(as_printed) if t.ticks]
    assert first == wanted * 2


@pytest.mark.parametrize(
    "was, becomes, why",
    [
        ("K:G\n", "K:Hp\n", "no key"),
        ("K:G\n", "K:F#m\n", "rare key"),
        ("M:6/8", "M:none", "no metre"),
        ("(3abc", "(5abc", "rare tuplet"),
        ("::", ":|[K:D]|:", "changes its key"),
        ("::", ":|[M:9/8]|:", "changes its metre"),
        ("::", ":|[V:2]|:", "several voices"),
        ("e>dB", "e>|dB", "cannot be read"),
        ("e>dB", "e?dB", "cannot be read"),
        ("[GB]2", "[GB2", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_dropped_with_the_reason(was, becomes, why):
    block = PRINTED.replace(was, becomes)
    assert block != PRINTED
    with pytest.raises(Unfit, match=why):
        clean("Ryan", block)


def test_a_tune_of_three_bars_is_too_short():
    with pytest.raises(Unfit, match="too short"):
        clean("Ryan", "X:1\nT:x\nM:C\nL:1/8\nK:G\nGABcdefg|GABcdefg|G8|]\n")


@pytest.mark.parametrize(
    "signs, ending, first, lines",
    [
        ("|", "", False, ["|"]), ("||", "", False, ["||"]), ("|]", "", False, ["||"]),
        (":|", "", False, [":|"]), ("|:", "", False, ["||", "|:"]), ("|:", "", True, ["|:"]),
        ("::", "", False, [":|", "|:"]), (":||:", "", False, [":|", "|:"]), ("|", "", True, []),
        (":|", "2", False, [":|2"]), ("|[", "1", False, ["|1"]), ("[", "2", False, ["|2"]),
    ],
)  # fmt: skip
def test_bar_signs_have_one_spelling(signs, ending, first, lines):
    assert from_music21._bar_lines(signs, ending, first) == lines


def test_every_text_is_what_is_promised(tunes):
    every = tunes["all"]
    assert len(every) > 4000 and "".join(sorted(set("".join(every.texts)))) == data.CHARACTERS
    assert len(set(every.texts)) == len(every)
    for text, meter, key in zip(every.texts, every.meters, every.keys, strict=True):
        assert text.startswith(f"M:{meter}\nL:{abc.unit_for(meter)}\nK:{key}\n")
        assert text.endswith(("|]\n\n", ":|\n\n")) and "\n\n" not in text[:-2] and " " not in text
        assert abc.signature(key) is not None and abc.bar_length(meter) > 0
    for text in random.Random(2).sample(every.texts, 150):
        assert "".join(each.text + each.ending for each in abc.tokens(text)) in text


# -- the grammar -----------------------------------------------------------------------------------


def lengths(music, meter="C", key="C"):
    found = abc.tokens(f"M:{meter}\nL:1/8\nK:{key}\n{music}\n\n")
    return [8 * token.ticks / abc.WHOLE for token in found if token.ticks]


@pytest.mark.parametrize(
    "music, eighths",
    [
        ("C", [1]), ("C2D/E3/2", [2, 0.5, 1.5]), ("C>D", [1.5, 0.5]), ("C<D", [0.5, 1.5]),
        ("C>>D", [1.75, 0.25]), ("C2>D2", [3, 1]), ("(3CDEF", [2 / 3] * 3 + [1]),
        ("(3C2DE", [4 / 3, 2 / 3, 2 / 3]), ("[CE]2z", [2, 1]), ("[C2E2]", [2]), ("C/4", [0.25]),
        ("C>(3DEF", None), ("C>|D", None), ("C>", None), ("C0", None),
    ],
)  # fmt: skip
def test_lengths_by_hand(music, eighths):
    if eighths is None:
        with pytest.raises(data.NotMusic):
            lengths(music)
    else:
        assert lengths(music) == pytest.approx(eighths)


@pytest.mark.parametrize(
    "key, sharp", [("C", {}), ("G", "F"), ("D", "FC"), ("Em", "F"), ("Ador", "F"), ("Amix", "FC"),
                   ("Edor", "FC"), ("F#m", "FCG")]
)  # fmt: skip
def test_signatures(key, sharp):
    assert abc.signature(key) == dict.fromkeys(sharp, 1)
    assert abc.signature("Bb") == {"B": -1, "E": -1} and abc.signature("Gm") == {"B": -1, "E": -1}
    with pytest.raises(data.NotMusic, match="K:H is no key"):
        abc.signature("H")


def test_accidentals_last_for_their_bar_and_octave():
    assert abc.melody("M:C\nL:1/8\nK:G\nf=fFf|f_b'b'=b'|\n\n") == [78, 77, 66, 77, 78, 94, 94, 95]


# -- letters as numbers ----------------------------------------------------------------------------


def test_texts_go_to_numbers_and_back(tunes):
    assert data.CHARACTERS[0] == "\n" and len(data.CHARACTERS) <= 64
    stream = tunes["test"].stream()
    assert stream.dtype == torch.int64 and data.decode(stream) == "".join(tunes["test"].texts)
    assert data.decode(data.encode("K:G\n").tolist()) == "K:G\n" and len(data.encode("")) == 0
    stream[:] = 0
    assert tunes["test"].stream().max() > 0, "the stream that was handed out is a copy"


@pytest.mark.parametrize("text, said", [("G A", "' ', character 1"), ("é", "'é', character 0")])
def test_unknown_characters_are_named(text, said):
    with pytest.raises(ValueError, match=said):
        data.encode(text)


@pytest.mark.parametrize("ids, said", [([0, 45], "45 is no"), ([-1], "-1 is no"), ([[1]], "ids.0")])
def test_numbers_without_a_character_are_refused(ids, said):
    with pytest.raises(ValueError, match=said):
        data.decode(ids)


# -- families and splits ---------------------------------------------------------------------------


def transposed(text, key="A", up=1):
    """The tune a whole tone of letters higher (or more), by spelling."""
    letters = "C,D,E,F,G,A,B,CDEFGABcdefgabc'd'e'f'g'a'b'"
    scale = re.findall(r"[A-Ga-g][,']?", letters)
    top, music = abc.head(text)
    moved = re.sub(r"[A-Ga-g][,']?", lambda m: scale[scale.index(m[0]) + up], music)
    return f"{abc.Head(top.meter, top.unit, key)}{moved}"


def ornamented(text, rng):
    """The same tune with a tenth of its longer notes broken up, and some notes changed."""

    def change(found):
        if rng.random() < 0.06:
            return rng.choice("GABcde") + found[2]
        return f"{found[1]}{found[1]}" if found[2] == "2" and rng.random() < 0.5 else found[0]

    top, music = abc.head(text)
    return str(top) + re.sub(r"(?<![\^_=\[])([A-Ga-g])(?![,'/])(2?)", change, music)


def family_numbers(texts, titles):
    return families.of_tunes(
        [abc.tokens(text) for text in texts], [abc.head(text)[0].meter for text in texts], titles
    )


def test_planted_copies_are_found_and_strangers_stay_apart(tunes):
    rng = random.Random(4)
    plain = [t for t in tunes["all"].only(key="G").texts if not set(t) & set("=^_'")]
    mine = rng.sample(plain, 30)
    rest = rng.sample(tunes["all"].texts, 400)
    rest = [text for text in rest if text not in mine]
    spread = [ornamented(transposed(text), rng) for text in mine]
    texts = [*mine, *rest, *spread]
    of = family_numbers(texts, [f"title{i}" for i in range(len(texts))])
    found = sum(of[i] == of[len(texts) - len(spread) + i] for i in range(len(mine)))
    assert found >= 28, f"{found} of 30 planted copies were found"
    sizes = collections.Counter(of[: len(mine) + len(rest)])
    assert sizes.most_common(1)[0][1] < 20 and len(sizes) > 300, "not everything is one family"


def test_a_title_joins_unless_it_names_a_kind():
    pairs = families.same_title(
        ["The Widow Brady – Jig", "Brady, Widow", "Quick Step", "quick-step", "Irish Air",
         "Jackson over the water, 1780", "Jackson Over the Water"]
    )  # fmt: skip
    assert pairs == {(0, 1), (5, 6)}


def test_families_grow_through_their_members():
    assert families.joined(6, {(4, 1), (2, 4), (0, 5)}) == [0, 1, 1, 3, 1, 0]


def test_no_family_is_on_both_sides(tunes):
    train, test, every = tunes["train"], tunes["test"], tunes["all"]
    assert not set(train.families) & set(test.families)
    assert len(train) + len(test) == len(every) and 0.09 < len(test) / len(every) < 0.11
    assert collections.Counter(train.texts + test.texts) == collections.Counter(every.texts)
    common = collections.Counter(every.meters)
    assert set(test.meters) >= {meter for meter, n in common.items() if n > 50}


def longest_runs(train, test, start=14):
    """For each test tune its longest run of steps from note to note that a training tune has."""
    theirs, ours = ([families.note_steps(abc.tokens(t)) for t in each] for each in (train, test))
    best = [0] * len(ours)
    live, run = list(range(len(ours))), start
    while live:
        here = {run_ for line in theirs for run_ in runs(line, run)}
        live = [k for k in live if not here.isdisjoint(runs(ours[k], run))]
        for k in live:
            best[k] = run
        run += 1
    return best


def runs(line, length):
    return (tuple(line[i : i + length]) for i in range(len(line) - length + 1))


def test_unseen_tunes_share_formulas_with_the_training_set_and_no_more(tunes):
    """A measure of its own, which the families know nothing of; on a third of the test tunes."""
    train = tunes["train"]
    best = longest_runs(train.texts, tunes["test"].texts[::3])
    assert max(best) <= 24 and sorted(best)[len(best) // 2] <= 14
    low = next(k for k, text in enumerate(train.texts) if "'" not in text)
    copy = transposed(train.texts[low], train.keys[low], up=7)  # an octave higher
    assert longest_runs(train.texts[low : low + 9], [copy]) > [40], "a leak would be seen"


def test_tunes_are_found_and_chosen(tunes):
    every = tunes["all"]
    assert "Blackbird" in every.titles[every.find("blackbird")[0]]
    some = every.only(book="Ryan", meter="6/8", key="G")
    assert {(b, m, k) for b, m, k in zip(some.books, some.meters, some.keys, strict=True)} == {
        ("Ryan", "6/8", "G")
    }
    with pytest.raises(KeyError, match="unobtainium"):
        every.find("unobtainium")
    with pytest.raises(KeyError, match="no metre '7/8'.*6/8"):
        every.only(meter="7/8")
    with pytest.raises(ValueError, match="'train', 'test' or 'all'"):
        data.tunes("valid")


# -- chorales --------------------------------------------------------------------------------------


def test_chorales_keep_their_promises():
    train, test, every = (data.chorales(split) for split in ("train", "test", "all"))
    assert len(train) + len(test) == len(every) > 350 and 0.08 < len(test) / len(every) < 0.12
    assert not set(train.families) & set(test.families)
    for grid, starts, bars, fermatas in zip(
        every.grids, every.starts, every.bar_starts, every.fermatas, strict=True
    ):
        assert grid.dtype == torch.int64 and starts.dtype == fermatas.dtype == torch.bool
        assert grid.shape == starts.shape == (len(fermatas), 4)
        assert not (starts & (grid == 0)).any(), "a rest begins no note"
        changes = (grid[1:] != grid[:-1]) & (grid[1:] > 0)
        assert not (changes & ~starts[1:]).any(), "another pitch is another note"
        assert bars == sorted(bars) and bars[0] == 0 and bars[-1] < len(grid)
        sung = grid[grid > 0]
        assert 36 <= sung.min() and sung.max() <= 81
        voices = [float(grid[:, v][grid[:, v] > 0].float().mean()) for v in range(4)]
        assert voices == sorted(voices, reverse=True)
    with pytest.raises(KeyError, match="no chorale"):
        every.find("yesterday")
    assert every.find("jesu meine freude")


@pytest.mark.parametrize("number", ["bwv269", "bwv66.6", "bwv10.7", "bwv302"])
def test_chorales_are_read_as_music21_reads_them(number):
    """Every note's beginning and pitch in all voices, by a parser that is not ours."""
    from music21 import converter

    path = next(path for path in from_music21_bach.files() if path.stem == number)
    ours, theirs = from_music21_bach.read(path), converter.parse(path)
    for voice, part in enumerate(theirs.parts):
        notes = part.flatten().stripTies().notes
        want = {(int(note.offset * 4), note.pitch.midi) for note in notes
                if float(note.offset * 4).is_integer()}  # fmt: skip
        begins = ours.starts[:, voice].nonzero()[:, 0].tolist()
        assert {(at, int(ours.grid[at, voice])) for at in begins} == want
    measures = theirs.parts[0].getElementsByClass("Measure")
    assert ours.bar_starts == [int(measure.offset * 4) for measure in measures]


@pytest.mark.parametrize(
    "bass, fifths, key", [(43, 1, "G"), (40, 1, "Em"), (45, 0, "Am"), (45, 1, "Ador"),
                          (40, 0, "Ephr"), (46, -2, "Bb"), (43, -1, "Gdor"), (42, 3, "F#m")]
)  # fmt: skip
def test_keys_come_from_the_last_bass_note_and_the_signature(bass, fifths, key):
    assert from_music21_bach._key(bass, fifths) == key


# -- cards -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tunes", "chorales"])
def test_cards_say_what_was_dropped_and_notice_other_music(name, monkeypatch):
    card = data.card(name)
    assert card.unit == name and card.count == {s: len(getattr(data, name)(s)) for s in card.count}
    of = data.cards.DATA_SETS[name]
    music, known = of.raw()
    assert card.dropped == known["dropped"] and all(card.dropped.values())
    total = card.count["all"] + sum(card.dropped.values())
    assert total == {"tunes": 4248, "chorales": 410}[name]
    assert data.check(name)
    for other in (music.roll(1, 0), known), (music, known | {"families": ["all one"]}):
        monkeypatch.setitem(data.cards.DATA_SETS, name, replace(of, raw=lambda other=other: other))
        assert not data.check(name)
