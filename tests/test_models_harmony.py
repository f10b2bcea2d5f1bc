"""The encoder–decoder on Bach's chorales, and the rules of four voices that can be counted."""

import copy
from collections import Counter
from fractions import Fraction

import pytest
import torch

from genart_lessons import data, training
from genart_lessons.models import harmony, transformer, voices
from genart_lessons.training import recipes_harmony


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("GENART_DEVICE", "cpu")


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def chorales():
    return {split: harmony.in_eighths(data.chorales(split)) for split in ("train", "test")}


def lively(seed=0, **options):
    """A small Harmoniser, float64, all of whose parts do something (they begin at 0)."""
    torch.manual_seed(seed)
    model = harmony.Harmoniser(**{"width": 32, "heads": 2, "layers": (1, 2)} | options)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, 0, 0.3)
    return model.double().eval()


def some_music(T=12, seed=0):
    """Symbols (T, 4), random but legal: every voice begins with a note."""
    said = torch.randint(20, 40, (T, 4), generator=chance(seed))
    quiet = torch.rand(T, 4, generator=chance(seed + 1))
    said[quiet < 0.4] = harmony.HOLD
    said[0] = torch.tensor([36, 30, 26, 20])
    return said


# ---------------------------------------------------------------- voices


def progression(*chords):
    """A grid and its starts: every voice sings every chord anew."""
    grid = torch.tensor(chords)
    return grid, grid > 0


CLEAN = [(72, 67, 64, 48), (71, 67, 62, 55), (72, 67, 64, 48)]  # C, G, C: no parallels


def test_a_planted_fifth_and_a_planted_octave_are_found():
    found = voices.parallels(*progression((72, 64, 55, 48), (74, 65, 57, 50)))
    told = [(p.step, p.upper, p.lower, p.interval) for p in found]
    assert (1, 2, 3, "fifth") in told and (1, 0, 3, "octave") in told
    assert str(found[told.index((1, 2, 3, "fifth"))]) == (
        "parallel fifths, tenor and bass, into step 1"
    )
    wide = voices.parallels(*progression((79, 64, 60, 48), (81, 62, 65, 50)))  # a twelfth and more
    assert [(p.upper, p.lower, p.interval) for p in wide] == [(0, 3, "fifth")]
    unison = voices.parallels(*progression((76, 60, 60, 43), (74, 62, 62, 41)))
    assert [(p.upper, p.lower, p.interval) for p in unison] == [(1, 2, "octave")]


@pytest.mark.parametrize(
    ("what", "chords"),
    [
        ("no parallels at all", CLEAN),
        ("a fifth that stays", [(72, 64, 55, 48), (76, 64, 55, 48)]),
        ("a fifth sung again", [(72, 64, 55, 48), (72, 64, 55, 48)]),
        ("from a twelfth to a fifth", [(76, 67, 55, 36), (74, 65, 50, 43)]),  # contrary motion
        ("into a fifth from a sixth", [(72, 64, 57, 48), (71, 65, 57, 50)]),
        ("a diminished fifth to a perfect one", [(72, 65, 59, 53), (71, 66, 60, 53)]),
        ("across a rest", [(72, 64, 55, 48), (0, 0, 0, 0), (74, 65, 57, 50)]),
    ],
)
def test_none_is_found_where_there_is_none(what, chords):
    assert voices.parallels(*progression(*chords)) == [], what


def test_what_is_held_does_not_move():
    grid, starts = progression((72, 64, 55, 48), (74, 65, 57, 50))
    starts[1] = False
    assert not voices.moves(grid, starts).any()
    assert voices.parallels(grid, starts) == []


def careless(grid, starts):
    """Parallels as one may count them wrongly: whatever the direction, and whoever moves."""
    apart = grid[:, 2] - grid[:, 3]
    return int(((apart[1:] % 12 == 7) & (apart[:-1] % 12 == 7)).sum())


def test_a_careless_count_would_find_what_is_none():
    for chords in ([(72, 64, 55, 48), (76, 64, 55, 48)], [(76, 67, 55, 36), (74, 65, 50, 43)]):
        assert careless(*progression(*chords)) == 1
        assert len(voices.parallels(*progression(*chords))) == 0


def test_crossings_and_ranges():
    grid, starts = progression((64, 67, 60, 48), (72, 64, 48, 52), (72, 64, 0, 66))
    assert voices.crossings(grid).tolist() == [
        [True, False, False], [False, False, True], [False, False, False]
    ]  # fmt: skip
    outside = voices.out_of_range(grid, starts)
    assert outside.nonzero().tolist() == [[1, 2], [2, 3]]  # tenor too low, bass too high
    starts[2, 3] = False  # held: it has been counted where it began
    assert voices.out_of_range(grid, starts).nonzero().tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("pitches", "name"),
    [
        ((72, 67, 64, 48), "C major"),
        ((72, 64, 60, 55), "C major"),  # on its fifth
        ((69, 65, 62, 50), "D minor"),
        ((71, 65, 62, 55), "G 7"),
        ((71, 65, 55, 55), "G 7"),  # without its fifth
        ((69, 65, 60, 50), "D minor 7"),
        ((71, 68, 62, 53), "F diminished 7"),
        ((68, 64, 60, 48), "C augmented"),
        ((70, 64, 60, 48), "C 7"),
        ((72, 65, 64, 48), None),
        ((72, 67, 62, 48), None),
        ((67, 60, 55, 48), None),  # an empty fifth
        ((0, 64, 60, 57), "A minor"),
        ((0, 0, 0, 0), None),
    ],
)
def test_chords_are_named(pitches, name):
    assert voices.chord(pitches) == name


def test_figures_add_up():
    first = progression((72, 64, 55, 48), (74, 65, 57, 50))  # C, D minor: 2 parallels in one change
    second = progression(*CLEAN)
    found = voices.figures(*zip(first, second, strict=True), 1)
    alone = voices.figures([first[0]], [first[1]], 1)
    count = len(voices.parallels(*first))
    assert alone["parallels"] == 100 * count and found["parallels"] == pytest.approx(
        100 * count / 3
    )
    assert alone["chords"] == 1 and alone["notes"] == 1 and alone["crossed"] == 0


def test_their_errors_are_those_of_other_pieces_drawn(chorales):
    """The jackknife against what really happens: the same figures of many random sets of pieces."""
    test, chance = chorales["test"], torch.Generator().manual_seed(0)
    found = voices.errors(test.grids, test.starts, test.steps_per_quarter)
    each, drawn = voices._tallies(test.grids, test.starts, test.steps_per_quarter), []
    for _ in range(400):  # with repeats: the bootstrap
        rows = torch.randint(36, (36,), generator=chance).tolist()
        total = sum((each[i] for i in rows), Counter())
        drawn.append(list(voices._ratios(total, test.steps_per_quarter).values()))
    spread = torch.tensor(drawn).std(0).tolist()
    for error, usual in zip(found.values(), spread, strict=True):
        assert 0.7 < error / usual < 1.4
    quarter = voices.errors(test.grids[:9], test.starts[:9], test.steps_per_quarter)
    assert quarter["notes"] > found["notes"]
    with pytest.raises(ValueError, match="needs two"):
        voices.errors(test.grids[:1], test.starts[:1], test.steps_per_quarter)


def test_bach_keeps_the_rules_nearly(chorales):
    test = chorales["test"]
    figures = voices.figures(test.grids, test.starts, test.steps_per_quarter)
    assert figures["parallels"] < 0.5 and figures["chords"] > 0.88
    assert figures["crossed"] < 0.03 and figures["out_of_range"] < 0.002
    # the same chorales with the tenor shifted against the rest keep none of them
    shifted = [torch.cat([g[:, :2], g[:, 2:3].roll(8, 0), g[:, 3:]], 1) for g in test.grids]
    begins = [torch.ones_like(s) & (g > 0) for g, s in zip(shifted, test.starts, strict=True)]
    worse = voices.figures(shifted, begins, test.steps_per_quarter)
    assert worse["chords"] < 0.7 and worse["parallels"] > 1


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        (torch.zeros(3, 3).long(), r"a grid is \(T, 4\)"),
        (torch.zeros(3, 4), r"whole numbers"),
        (torch.full((3, 4), 200), "0 .a rest. to 127; these are 200 to 200"),
    ],
)
def test_a_wrong_grid_gets_a_sentence(grid, says):
    with pytest.raises(ValueError, match=says):
        voices.parallels(grid, torch.zeros(grid.shape, dtype=torch.bool))
    with pytest.raises(ValueError, match="starts must be boolean"):
        voices.parallels(torch.zeros(3, 4).long(), torch.zeros(3, 4).long())


# ---------------------------------------------------------------- symbols


def test_symbols_and_back(chorales):
    for split in chorales.values():
        for grid, starts in zip(split.grids, split.starts, strict=True):
            said = harmony.symbols(grid, starts)
            assert said.min() >= 0 and said.max() < harmony.V
            again, begins = harmony.grid_of(said)
            assert torch.equal(again, grid) and torch.equal(begins, starts)


def test_what_a_voice_says():
    grid = torch.tensor([[0], [60], [60], [60], [0], [0], [62]]).expand(-1, 4)
    starts = torch.tensor([[0], [1], [0], [1], [0], [0], [1]]).bool().expand(-1, 4)
    hold, rest = harmony.HOLD, harmony.REST
    assert harmony.symbols(grid, starts)[:, 0].tolist() == [hold, 24, hold, 24, rest, hold, 26]


def test_what_cannot_be_said():
    grid, starts = progression((72, 67, 64, 48), (72, 67, 65, 48))
    starts[1] = False
    with pytest.raises(ValueError, match="at step 1 the tenor has a new pitch, but no note starts"):
        harmony.symbols(grid, starts)
    with pytest.raises(ValueError, match="pitches run from 48 to 90; the model knows MIDI 36"):
        harmony.symbols(*progression((90, 67, 64, 48)))


def test_eighths_lose_few_notes(chorales):
    for split, eighths in chorales.items():
        full = data.chorales(split)
        before = sum(int(starts.sum()) for starts in full.starts)
        after = sum(int(starts.sum()) for starts in eighths.starts)
        assert 0.985 < after / before <= 1
        assert eighths.steps_per_quarter == 2
        assert all(
            len(a) == -(-len(b) // 2) for a, b in zip(eighths.grids, full.grids, strict=True)
        )
        assert eighths.bar_starts[0][1] * 2 == full.bar_starts[0][1]
    with pytest.raises(ValueError, match="1 steps a quarter cannot become eighths"):
        harmony.in_eighths(type("Coarse", (), {"steps_per_quarter": 1}))


# ---------------------------------------------------------------- the model


def leaks(model, said):
    """Whether some place's logits change with what is said at this place or after it."""
    lower = said[:, list(harmony.ORDER)].flatten()
    with torch.no_grad():
        logits = model(said[None])[0].flatten(0, 1)
        for k in range(len(lower)):
            other = said.clone()
            other[k // 3, harmony.ORDER[k % 3]] = (lower[k] + 7) % harmony.REST
            if not torch.equal(model(other[None])[0].flatten(0, 1)[: k + 1], logits[: k + 1]):
                return True
    return False


def test_no_place_sees_what_it_has_to_say():
    model, said = lively(), some_music()
    assert not leaks(model, said)
    assert not leaks(lively(sighted=False), said)


def test_each_place_hears_the_one_before():
    model, said = lively(), some_music()
    with torch.no_grad():
        logits = model(said[None])[0].flatten(0, 1)
        for k in range(len(logits) - 1):
            other = said.clone()
            here = k // 3, harmony.ORDER[k % 3]
            other[here] = (said[here] + 7) % harmony.REST
            assert not torch.equal(model(other[None])[0].flatten(0, 1)[k + 1], logits[k + 1])


def test_peeping_would_be_noticed(monkeypatch):
    said = some_music()
    monkeypatch.setattr(harmony, "causal_mask", lambda t, s, device: torch.ones(t, s).bool())
    assert leaks(lively(), said)
    monkeypatch.undo()
    late = harmony.heard

    def too_early(lower):  # every place is told its own symbol
        return harmony.Heard(*(torch.cat([x[:, 1:], x[:, -1:]], 1) for x in late(lower)))

    monkeypatch.setattr(harmony, "heard", too_early)
    assert leaks(lively(), said)


def sees(model, said, step):
    """Whether the first chord depends on what the soprano sings at a step."""
    other = said.clone()
    other[step, 0] = (said[step, 0] + 5) % harmony.REST
    with torch.no_grad():
        return not torch.equal(model(other[None])[0, 0], model(said[None])[0, 0])


def test_the_whole_melody_is_seen_from_the_first_chord_on():
    model, said = lively(), some_music()
    assert all(sees(model, said, step) for step in range(len(said)))
    assert not any(sees(lively(sighted=False), said, step) for step in range(len(said)))
    deaf = copy.deepcopy(model)
    for block in deaf.decoder.blocks:
        block.cross.out.weight.data.zero_()
    assert not any(sees(deaf, said, step) for step in range(len(said)))


def test_filling_up_changes_nothing():
    model, long, short = lively(), some_music(12), some_music(8, seed=5)
    batch = torch.stack([long, torch.cat([short, torch.full((4, 4), harmony.HOLD)])])
    with torch.no_grad():
        both = model(batch, torch.tensor([12, 8]))
        assert torch.allclose(both[0], model(long[None])[0], atol=1e-12)
        assert torch.allclose(both[1, :8], model(short[None])[0], atol=1e-12)
        mean = harmony.loss(model, {"said": batch, "lengths": torch.tensor([12, 8])})
        each = [harmony.nats(model, *harmony.grid_of(said)) for said in (long, short)]
    assert float(mean) == pytest.approx(float(torch.cat(each).mean()), rel=1e-12)
    with torch.no_grad():  # unmasked, the filling would be heard by the encoder
        assert not torch.allclose(model(batch)[1, :8], model(short[None])[0], atol=1e-6)


@pytest.mark.parametrize("sighted", [True, False])
def test_step_by_step_is_the_plain_pass(sighted):
    model, said = lively(sighted=sighted), some_music()
    heard = harmony.heard(said[None][..., list(harmony.ORDER)])
    with torch.no_grad():
        memory = model.remember(said[None, :, 0])
        pasts = [transformer.Past() for _ in model.decoder.blocks]
        steps = []
        for k in range(3 * len(said)):
            told = harmony.Heard(*(x[:, k : k + 1] for x in heard))
            steps.append(model.decoder(told, memory, pasts=pasts))
        assert torch.allclose(
            torch.cat(steps, 1)[0], model(said[None])[0].flatten(0, 1), atol=1e-12
        )


def drawn_plainly(model, soprano, starts, generator):
    """What ``harmonise`` draws, with everything computed anew for each symbol."""
    grid, begins = torch.zeros(len(soprano), 4).long(), torch.zeros(len(soprano), 4).bool()
    grid[:, 0], begins[:, 0] = soprano, starts
    said = harmony.symbols(grid, begins)
    for k in range(3 * len(said)):
        with torch.no_grad():
            p = model(said[None])[0].flatten(0, 1)[k].softmax(-1)
        u = torch.rand(1, 1, generator=generator, dtype=p.dtype) * p.sum()
        said[k // 3, harmony.ORDER[k % 3]] = int((p.cumsum(0) <= u[0, 0]).sum())
    return harmony.grid_of(said)


def test_a_harmony_is_drawn_as_the_model_says():
    model = lively()
    model.decoder.out.weight.data *= 0.3
    grid, starts = harmony.grid_of(some_music(6))
    made = model.harmonise(grid[:, 0], starts[:, 0], generator=chance(3))
    plain = drawn_plainly(model, grid[:, 0], starts[:, 0], chance(3))
    assert torch.equal(made[0], plain[0]) and torch.equal(made[1], plain[1])
    other = model.harmonise(grid[:, 0], starts[:, 0], generator=chance(4))
    assert not torch.equal(made[0], other[0])


def test_harmonies_written_side_by_side_are_those_written_alone(monkeypatch):
    """The likeliest symbols, so that chance has no say; melodies of different lengths."""
    model = lively(seed=2)
    model.decoder.out.weight.data *= 0.3
    melodies = [
        (grid[:, 0], starts[:, 0])
        for grid, starts in (harmony.grid_of(some_music(n, seed=n)) for n in (6, 11, 8))
    ]
    for strict in (False, True):
        rule = {"temperature": 0.0, "strict": strict}
        together = model.harmonise_all(melodies, **rule)
        for melody, made in zip(melodies, together, strict=True):
            alone = model.harmonise(*melody, **rule)
            assert torch.equal(made[0], alone[0]) and torch.equal(made[1], alone[1])
            assert torch.equal(made[0][:, 0], melody[0])
            assert not strict or not voices.parallels(*made) and not voices.crossings(made[0]).any()
    # who forgets that a melody is over hears its silence, and writes something else
    remember = harmony.Harmoniser.remember
    monkeypatch.setattr(
        harmony.Harmoniser, "remember", lambda self, soprano, real=None: remember(self, soprano)
    )
    spoilt = model.harmonise_all(melodies, temperature=0.0)
    alone = [model.harmonise(*melody, temperature=0.0) for melody in melodies]
    assert any(not torch.equal(a[0], b[0]) for a, b in zip(spoilt, alone, strict=True))


def test_the_soprano_stays_as_it_was(chorales):
    model = harmony.Harmoniser(width=32, heads=2, layers=(1, 1))
    for number in (0, 5):
        grid, starts = (each[number] for each in (chorales["test"].grids, chorales["test"].starts))
        for rule in ({"temperature": 1.0}, {"temperature": 0.0}, {"top_p": 0.5}, {"top_k": 1}):
            made, begins = model.harmonise(grid[:24, 0], starts[:24, 0], generator=chance(), **rule)
            assert torch.equal(made[:, 0], grid[:24, 0]) and torch.equal(
                begins[:, 0], starts[:24, 0]
            )
            voices.check_grid(made, begins)


def test_strict_harmonies_keep_the_rules_that_others_break(chorales):
    model = harmony.Harmoniser(width=32, heads=2, layers=(1, 1))  # draws anything
    model.decoder.out.bias.data[[harmony.REST, harmony.HOLD]] = torch.tensor([0.0, 2.0])
    broken, test = {}, chorales["test"]
    for strict in (True, False):
        found = []
        for number in (0, 3, 5):
            grid, starts = (each[number][:48] for each in (test.grids, test.starts))
            options = {"strict": strict, "generator": chance(number)}
            found.append(model.harmonise(grid[:, 0], starts[:, 0], **options))
        broken[strict] = sum(len(voices.parallels(*each)) for each in found)
        crossed = sum(int(voices.crossings(grid).sum()) for grid, _ in found)
        assert crossed == 0 if strict else crossed > 50
        assert all(int((starts[:, 1:]).sum()) > 10 for _, starts in found)
    assert broken[True] == 0 < broken[False]


def test_who_breaks_a_rule():
    def breaks(*args):
        return voices.breaks_a_rule(*args)

    before = (72, 64, 55, 48)
    assert breaks(57, 2, before, (72, None, None, 50))  # a fifth with the bass, both up
    assert breaks(50, 3, before, (74, None, None, None))  # an octave with the soprano
    assert not breaks(57, 2, before, (72, None, None, 48))  # the bass stays
    assert not breaks(57, 2, before, (72, None, None, None))  # the bass has not spoken
    assert breaks(50, 2, before, (72, None, None, 43))  # both down, a fifth before and after
    assert breaks(47, 2, before, (72, None, None, 48))  # below the bass
    assert breaks(73, 1, before, (72, None, 60, 48))  # above the soprano
    assert not breaks(0, 1, before, (72, None, 60, 48))
    for pitch in range(36, 82):  # the same as is counted afterwards, for every pitch of the tenor
        now = (74, 65, pitch, 50)
        grid, starts = progression(before, now)
        wrong = any(2 in (p.upper, p.lower) for p in voices.parallels(grid, starts))
        wrong |= pitch > 65 or pitch < 50
        assert breaks(pitch, 2, before, (74, 65, None, 50)) == wrong, pitch


@pytest.mark.parametrize(
    ("soprano", "starts", "says"),
    [
        (torch.zeros(0).long(), torch.zeros(0).bool(), r"a melody is \(T,\) pitches"),
        (torch.full((4, 4), 70), torch.ones(4, 4).bool(), r"take grid\[:, 0\]"),
        (torch.full((4,), 70), torch.ones(5).bool(), r"a melody is \(T,\) pitches"),
        (torch.full((4,), 90), torch.ones(4).bool(), "the model knows MIDI 36"),
        (torch.tensor([70, 71]), torch.tensor([True, False]), "soprano has a new pitch"),
    ],
)
def test_what_is_no_melody_gets_a_sentence(soprano, starts, says):
    with pytest.raises(ValueError, match=says):
        harmony.Harmoniser(width=32, heads=2, layers=(1, 1)).harmonise(soprano, starts)


# ---------------------------------------------------------------- melodies of one's own


def score(*notes, meter="4/4", bars=(0, 4)):
    """A Score of (start, length, pitch), in quarters."""
    made = tuple(data.Note(Fraction(a), Fraction(n), pitch, 0) for a, n, pitch in notes)
    return data.Score(made, "A tune", meter, "C", 100.0, ("melody",), tuple(map(Fraction, bars)))


def test_a_tune_becomes_a_soprano():
    soprano, starts = harmony.soprano_of(score((0, 1, 72), (1, Fraction(1, 2), 74), (2, 1, 72)))
    assert soprano.tolist() == [72, 72, 74, 0, 72, 72]
    assert starts.tolist() == [True, False, True, False, True, False]
    slow, _ = harmony.soprano_of(score((0, 1, 72), (1, Fraction(1, 4), 74)), slower=2, transpose=-2)
    assert slow.tolist() == [70, 70, 70, 70, 72, 0]
    # an eighth before the first bar line: the beat begins with a rest
    upbeat, begins = harmony.soprano_of(
        score((0, Fraction(1, 2), 67), (Fraction(1, 2), 1, 72), bars=(0, Fraction(1, 2)))
    )
    assert upbeat.tolist() == [0, 67, 72, 72] and begins.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("tune", "options", "says"),
    [
        (score((0, 1, 72), meter="6/8"), {}, "A tune is in 6/8; the model knows the beats"),
        (score((0, Fraction(1, 4), 72)), {}, "ends at quarter 0.25, between two eighths"),
        (score((0, 1, 72), (0, 1, 64)), {}, "two notes of part 0 sound at quarter 0"),
        (score((0, 1, 90)), {}, r"runs from 90 to 90; .* Try transpose=-12"),
        (score((0, 1, 50)), {}, r"runs from 50 to 50; .* Try transpose=12"),
        (score((0, 1, 72)), {"part": 3}, "part 3 has no notes; there are 1 parts"),
        (score((0, 1, 72)), {"slower": 0}, "slower=0"),
    ],
)
def test_a_tune_that_is_no_soprano(tune, options, says):
    with pytest.raises(ValueError, match=says):
        harmony.soprano_of(tune, **options)


# ---------------------------------------------------------------- counting


def test_counts_are_probabilities_and_follow_the_formula(chorales):
    few = chorales["train"].take(range(3))
    counts = harmony.ChordCounts(alpha=2.0).fit(few)
    said = harmony.symbols(few.grids[0], few.starts[0])[None]
    p = counts(said).exp()
    assert p.shape == (1, said.shape[1], 3, harmony.V)
    assert torch.allclose(p.sum(-1), torch.ones(()).double())
    # one layer by hand: what the bass does, whatever is sung above, (c + α/V)/(N + α)
    plain = harmony.ChordCounts(alpha=2.0, before=False).fit(few)
    plain.counts = {k: v for k, v in plain.counts.items() if k == (3,)}
    lower = torch.cat([harmony.symbols(g, s) for g, s in zip(few.grids, few.starts, strict=True)])
    bass, above = lower[:, 3], harmony.sounds(lower)[:, 0]
    top = int(said[0, 0, 0])
    possible = (bass >= harmony.REST) | (bass - above + top).clamp(min=-1).ge(0)
    held = int((bass == harmony.HOLD).sum())
    found = float(plain(said)[0, 0, 0, harmony.HOLD].exp())
    assert found == pytest.approx((held + 2 / harmony.V) / (int(possible.sum()) + 2))
    third = int(((bass < harmony.REST) & (above - bass == 15)).sum())  # a tenth below the soprano
    found = float(plain(said)[0, 0, 0, top - 15].exp())
    assert third and found == pytest.approx((third + 2 / harmony.V) / (int(possible.sum()) + 2))


def test_knowing_more_is_worth_more(chorales):
    test = chorales["test"].take(range(4))
    found = []
    for before in (False, True):
        counts = harmony.ChordCounts(before=before).fit(chorales["train"])
        found.append(harmony.mean_nats(harmony.by_chorale(counts, test))[0])
    assert 0.7 < found[1] < found[0] - 0.1 < 1.3


def test_means_and_errors_over_chorales():
    a = torch.tensor([[10.0, 10, 1, 0], [60, 30, 1, 0], [20, 20, 1, 0]])
    b = a.clone()
    b[:, 0] -= torch.tensor([1.0, 3, 2])
    mean, error = harmony.mean_nats(a)
    assert mean == pytest.approx(90 / 60)
    rest = torch.tensor([10 - 15.0, 60 - 45, 20 - 30])
    assert error == pytest.approx(float((rest**2).sum() ** 0.5 / 60 * (3 / 2) ** 0.5))
    difference, smaller = harmony.mean_nats(a, b)
    assert difference == pytest.approx(0.1) and smaller < 1e-6 < error
    with pytest.raises(ValueError, match="needs two of them"):
        harmony.mean_nats(a[:1])


# ---------------------------------------------------------------- training


def test_batches_are_a_function_of_the_step(chorales):
    batches = recipes_harmony.ChoraleBatches(chorales["train"], 8, seed=1)
    first, again = (
        batches.at(40),
        recipes_harmony.ChoraleBatches(chorales["train"], 8, seed=1).at(40),
    )
    assert torch.equal(first["said"], again["said"])
    assert torch.equal(first["lengths"], again["lengths"])
    other = recipes_harmony.ChoraleBatches(chorales["train"], 8, seed=2).at(40)
    assert first["said"].shape != other["said"].shape or not torch.equal(
        first["said"], other["said"]
    )
    halves = [batches.at(40, part, 2)["said"] for part in (0, 1)]
    assert torch.equal(torch.cat(halves), first["said"])
    assert batches.settings == recipes_harmony.ChoraleBatches(chorales["train"], seed=1).settings


def test_batches_transpose_and_no_more(chorales):
    train = chorales["train"].take(range(40))
    batches, moves = recipes_harmony.ChoraleBatches(train, 4), set()
    basses = torch.cat([grid[grid[:, 3] > 0, 3] for grid in train.grids])
    for row, (grid, starts) in enumerate(zip(train.grids, train.starts, strict=True)):
        if len(grid) > recipes_harmony.LONGEST:
            continue
        original = harmony.symbols(grid, starts)
        notes = original < harmony.REST
        low, high = batches.room[row]
        for up, by in ((0.0, low), (0.9999, high)):
            said = batches._moved(row, up, 0.5)
            assert torch.equal(said[~notes], original[~notes])
            assert (said[notes] - original[notes] == by).all()
            bass = harmony.grid_of(said)[0][:, 3]
            assert bass[bass > 0].min() >= basses.min() and bass.max() <= basses.max()
            moves.add(by)
    assert len(moves) > 6 and max(moves) <= 6 and min(moves) >= -6
    batch = batches.at(3)
    for said, length in zip(batch["said"], batch["lengths"].tolist(), strict=True):
        assert (said[length:] == harmony.HOLD).all() and (said[:1] != harmony.HOLD).any()
    assert batch["said"].shape[1] == int(batch["lengths"].max())


def test_long_chorales_are_cut_on_a_beat():
    grid = torch.arange(400)[:, None] // 3 % 20 + torch.tensor([60, 55, 50, 45])
    starts = torch.ones_like(grid).bool()
    starts[1:] = grid[1:] != grid[:-1]
    one = type("Long", (), {"grids": [grid], "starts": [starts]})
    batches = recipes_harmony.ChoraleBatches(one, 1)
    firsts = set()
    for step in range(12):
        said = batches.at(step)["said"][0]
        assert len(said) == recipes_harmony.LONGEST and (said[0] < harmony.REST).all()
        again, _ = harmony.grid_of(said)
        runs = (again[:, 0].diff() != 0).nonzero().flatten().tolist()
        assert all(b - a == 3 for a, b in zip(runs, runs[1:], strict=False))
        firsts.add(runs[0])
    assert len(firsts) > 1


def test_room_to_move():
    grids = [torch.tensor([[60, 55, 50, 40], [72, 0, 50, 45]]), torch.tensor([[64, 57, 52, 43]])]
    assert recipes_harmony.shifts(grids, most=3) == [(0, 0), (-2, 0)]


def test_the_best_weights_are_put_back(chorales, monkeypatch):
    torch.manual_seed(0)
    best = recipes_harmony.Best(chorales["train"].take([0]), every=2)
    model = harmony.Harmoniser(width=32, heads=2, layers=(1, 1))
    nats = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(harmony, "by_chorale", lambda *_: None)
    monkeypatch.setattr(harmony, "mean_nats", lambda *_: (next(nats), 0.1))
    for step in (2, 4, 6):
        model.decoder.out.bias.data.fill_(step)
        best.look(model, step)
    assert best.seen == {2: 3.0, 4: 1.0, 6: 2.0}
    assert float(best.put_back(model).decoder.out.bias[0].detach()) == 4


def test_a_few_steps_teach_something(chorales):
    torch.manual_seed(0)
    model = harmony.Harmoniser(width=64, heads=2, layers=(1, 1), dropout=0.0)
    batches = recipes_harmony.ChoraleBatches(chorales["train"].take(range(40)), 4)
    best = recipes_harmony.Best(chorales["train"].take([50, 60]), every=10)
    options = recipes_harmony.HARMONY | {"warmup": 2}
    history = training.fit(model, best, batches, steps=21, progress=False, **options)
    assert sum(history.losses[-5:]) / 5 < 2.9 < 3.8 < history.losses[0]  # log V is 3.87
    assert list(best.seen) == [10, 20]


# ---------------------------------------------------------------- what is shipped


@pytest.fixture(scope="module")
def shipped():
    return training.load_weights(harmony.Harmoniser(), "harmony")


def test_shipped_weights_are_better_than_counting_and_than_not_seeing(shipped, chorales):
    test = chorales["test"].take(range(0, 36, 4))
    found = harmony.by_chorale(shipped, test)
    counts = harmony.ChordCounts().fit(chorales["train"])
    blind = training.load_weights(harmony.Harmoniser(sighted=False), "harmony_blind")
    for other in (counts, blind):
        difference, error = harmony.mean_nats(found, harmony.by_chorale(other, test))
        assert difference < -3 * error


def test_its_card_tells_what_it_is_worth(shipped, chorales):
    results = training.weights_card("harmony")["results"]
    few = harmony.mean_nats(harmony.by_chorale(shipped, chorales["test"].take(range(0, 36, 3))))
    assert abs(few[0] - results["test_nats"]) < 4 * few[1]


def test_its_own_harmonies_are_mostly_chords(shipped, chorales):
    grid, starts = chorales["test"].grids[0][:48], chorales["test"].starts[0][:48]
    made = shipped.harmonise(grid[:, 0], starts[:, 0], temperature=0.8, generator=chance())
    figures = voices.figures([made[0]], [made[1]], 2)
    assert figures["chords"] > 0.6 and figures["crossed"] < 0.2
    random = shipped.harmonise(grid[:, 0], starts[:, 0], temperature=20.0, generator=chance())
    assert voices.figures([random[0]], [random[1]], 2)["chords"] < 0.5
