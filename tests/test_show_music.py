"""Piano rolls, the player's sound, and tunes in files that say where they come from."""

import io
from fractions import Fraction

import numpy as np
import pytest

from genart_lessons import data, show
from genart_lessons.show import music, tune_files
from genart_lessons.show.sheet import NoProvenance

REEL = "M:2/4\nL:1/16\nK:G\nGABc d2B2|c2A2 F2D2|GABc d2g2|f2d2 g4|]\n\n".replace(" ", "")
FACTS = dict(title="A reel", maker="a reader", model="RNN, weights rnn_tunes", seed=7,
             data_credit="Ryan's Mammoth Collection", licence="CC0", date="2026-11-27")  # fmt: skip


def score(*notes, parts=("flute",), tempo=60):
    each = tuple(data.Note(Fraction(s), Fraction(length), pitch, part)
                 for s, length, pitch, part in notes)  # fmt: skip
    end = max(note.start + note.length for note in each) if each else 0
    bars = tuple(Fraction(4 * k) for k in range(int(end // 4) + 1))
    return data.Score(each, "made here", "C", "C", tempo, parts, bars)


# -- pictures --------------------------------------------------------------------------------------


def boxes(ax):
    """(start, length, pitch) of the notes that were drawn."""
    from matplotlib.patches import Rectangle

    found = [p for p in ax.patches if isinstance(p, Rectangle) and p.get_height() == 0.84]
    return [(p.get_x(), p.get_width(), p.get_y() + 0.42) for p in found]


@pytest.mark.parametrize("top", [62, 70, 75, 76, 77, 84, 91])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_names_of_pitches_can_be_read(top, rows):
    """No two of them overlap, however many pitches there are, also where each roll has its own."""
    each = {f"roll {k}": score((0, 1, 60 + k, 0), (1, 1, top - k, 0)) for k in range(rows)}
    picture = show.rolls(each, title="Names")
    picture.canvas.draw()
    for ax in picture.axes:
        names = [tick.label1 for tick in ax.yaxis.get_major_ticks()]
        spans = sorted((box.y0, box.y1) for name in names for box in [name.get_window_extent()])
        assert len(names) >= 2 and all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    shown = [[t.get_text() for t in ax.get_yticklabels()] for ax in picture.axes]
    assert all(row == shown[0] for row in shown)  # one scale for all


def test_a_roll_draws_each_note_at_its_time_and_pitch():
    picture = show.roll(score((0, 1, 60, 0), (1, 2, 67, 0)), title="Two notes")
    drawn = boxes(picture.axes[0])
    assert [(start, pitch) for start, _, pitch in drawn] == [(0, 60), (1, 67)]
    assert drawn[1][1] == pytest.approx(2 * drawn[0][1])
    assert (
        "2 notes from C4 to G4" in picture.alt and picture.axes[0].get_title("left") == "Two notes"
    )


def test_parts_have_colours_and_a_legend_and_one_part_needs_none():
    four = score((0, 1, 72, 0), (0, 1, 65, 1), parts=("soprano", "alto"))
    ax = show.roll(four, title="Two parts").axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["soprano", "alto"]
    colours = {patch.get_facecolor() for patch in ax.patches if patch.get_height() == 0.84}
    assert len(colours) == 2
    assert show.roll(score((0, 1, 72, 0)), title="One").axes[0].get_legend() is None


def test_shade_is_depth_and_must_fit_the_notes():
    two = score((0, 1, 60, 0), (1, 1, 62, 0))
    faint, dark = (sum(p.get_facecolor()[:3]) for p in
                   show.roll(two, title="Shaded", shade=[0.01, 1.0]).axes[0].patches)  # fmt: skip
    assert dark < faint
    with pytest.raises(ValueError, match="1 weights for 2 notes"):
        show.roll(two, title="Shaded", shade=[1.0])


def test_bars_cut_a_score_and_several_share_their_scale():
    long = score(*[(k, 1, 60 + k % 5, 0) for k in range(16)])
    assert len(boxes(show.roll(long, title="Two bars", bars=2).axes[0])) == 8
    both = show.rolls({"Bach": long, "ours": score((0, 1, 80, 0))}, title="Two scores")
    assert both.axes[0].get_ylim() == both.axes[1].get_ylim()
    assert [ax.get_ylabel() for ax in both.axes] == ["Bach", "ours"]


def test_what_is_no_score_is_refused():
    with pytest.raises(TypeError, match=r"data\.Score"):
        show.roll(3, title="No")
    with pytest.raises(ValueError, match="no notes"):
        show.player(score(), title="Silence")
    with pytest.raises(ValueError, match="title is empty"):
        show.player(score((0, 1, 60, 0)), title="")
    with pytest.raises(ValueError, match="must be above 0"):
        show.player(score((0, 1, 60, 0)), title="Still", tempo=0)


@pytest.mark.parametrize("pitch, name", [(60, "C4"), (69, "A4"), (61, "C♯4"), (21, "A0")])
def test_names_of_pitches(pitch, name):
    assert show.pitch_name(pitch) == name


# -- sound -----------------------------------------------------------------------------------------


def loudest(samples, rate=music.RATE):
    """The frequency with the most energy, in hertz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.fft.rfftfreq(len(samples), 1 / rate)[spectrum.argmax()]


@pytest.mark.parametrize("pitch, hertz", [(69, 440.0), (60, 261.63), (45, 110.0), (84, 1046.5)])
def test_a_note_sounds_at_its_frequency(pitch, hertz):
    samples = show.player(score((0, 2, pitch, 0)), title="One note").samples
    assert loudest(samples) == pytest.approx(hertz, rel=0.005)


def test_notes_sound_when_they_should_at_the_tempo_asked_for():
    two = score((0, 1, 60, 0), (3, 1, 72, 0))
    for tempo, beat in ((60, 1.0), (120, 0.5)):
        samples = show.player(two, title="Two notes", tempo=tempo).samples
        second = samples[int(3 * beat * music.RATE) + 800 :]
        rest = samples[int(2 * beat * music.RATE) : int(3 * beat * music.RATE) - 10]
        assert loudest(second) == pytest.approx(523.25, rel=0.01)
        assert np.abs(rest).max() < 1e-6 < 0.1 < np.abs(second).max()


def test_the_sound_stays_in_range_ends_in_time_and_without_a_click():
    many = score(*[(k, 1, 40 + 2 * k, part) for k in range(20) for part in range(4)])
    sound = show.player(many, title="Loud", seconds=5)
    assert sound.seconds == pytest.approx(5, abs=0.01)
    assert np.abs(sound.samples).max() <= 0.9 and abs(sound.samples[-1]) < 0.01
    short = show.player(score((0, 1, 60, 0)), title="Short")
    assert short.seconds == pytest.approx(1.4, abs=0.01) and abs(short.samples[-1]) < 0.001


def test_high_harmonics_do_not_fold_down():
    high = show.player(score((0, 1, 120, 0)), title="Very high").samples
    spectrum = np.abs(np.fft.rfft(high)) ** 2
    below = np.fft.rfftfreq(len(high), 1 / music.RATE) < 7000
    assert spectrum[below].sum() < 0.01 * spectrum.sum()


def test_a_page_gets_a_small_sound_that_can_be_played(tmp_path):
    import soundfile

    sound = show.player(REEL, title="A reel")
    page = sound._repr_html_()
    assert "<audio controls" in page and "A reel" in page and 'src="data:audio/' in page
    assert len(sound.encoded("mp3")) < 6000 * sound.seconds
    for kind in ("mp3", "wav"):
        samples, rate = soundfile.read(io.BytesIO(sound.encoded(kind)))
        assert rate == music.RATE
        assert len(samples) / rate == pytest.approx(sound.seconds, abs=0.2)
        assert soundfile.info(str(sound.save(tmp_path / f"reel.{kind}"))).samplerate == rate
    with pytest.raises(ValueError, match=r"\.mp3 and \.wav"):
        sound.save(tmp_path / "reel.ogg")


def test_titles_are_shown_and_not_run():
    page = show.player(REEL, title="<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in page


# -- files -----------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    return show.save_tune(REEL, tmp_path / "works" / "reel", **FACTS, choices="the third of five")


def test_three_files_say_the_same(saved):
    assert [path.suffix for path in saved.files] == [".abc", ".mid", ".png"]
    for path in saved.files:
        told = show.tune_provenance(path)
        assert told.unchanged, path
        assert told["title"] == "A reel" and told["seed"] == 7
        assert told["choices"] == "the third of five" and told["data"] == FACTS["data_credit"]
    assert ".mid" in repr(saved) and "as they were saved" in repr(saved)


def test_other_programs_read_the_files(saved):
    """music21 finds the tune's notes in both; what it hears is what the text says."""
    from music21 import converter

    want = [note.pitch for note in data.score(REEL).notes]
    for path in saved.files[:2]:
        found = [n.pitch.midi for n in converter.parse(path).flatten().notes]
        assert found == want, path


@pytest.mark.parametrize("which", [0, 1])
def test_a_changed_note_or_fact_is_noticed(saved, which):
    path = saved.files[which]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"third of five", b"first of five"))
    assert not show.tune_provenance(path).unchanged
    path.write_bytes(content.replace(b"d2B2", b"d2c2") if which == 0 else
                     content[:-12] + bytes([content[-12] ^ 1]) + content[-11:])  # fmt: skip
    assert not show.tune_provenance(path).unchanged
    path.write_bytes(content)
    assert show.tune_provenance(path).unchanged


def test_nothing_is_lost_and_nothing_half_written(saved, tmp_path):
    with pytest.raises(FileExistsError):
        show.save_tune(REEL, tmp_path / "works" / "reel", **FACTS)
    again = show.save_tune(REEL, tmp_path / "works" / "reel", **FACTS | {"seed": 8}, overwrite=True)
    assert again["seed"] == 8
    with pytest.raises(ValueError, match="without an ending"):
        show.save_tune(REEL, tmp_path / "reel.abc", **FACTS)
    with pytest.raises(ValueError, match="licence is empty"):
        show.save_tune(REEL, tmp_path / "other", **FACTS | {"licence": ""})
    with pytest.raises(ValueError):
        show.save_tune("no music", tmp_path / "other", **FACTS)
    assert not list(tmp_path.glob("other*"))


def test_a_score_of_several_parts_has_no_abc(tmp_path):
    two = score((0, 1, 72, 0), (0, 1, 60, 1), parts=("soprano", "bass"))
    found = show.save_tune(two, tmp_path / "two", **FACTS)
    assert [path.suffix for path in found.files] == [".mid", ".png"]
    assert show.tune_provenance(tmp_path / "two.mid").unchanged


def test_files_from_elsewhere_say_so(tmp_path):
    (tmp_path / "plain.abc").write_text("X:1\n" + REEL)
    (tmp_path / "broken.mid").write_bytes(b"MThd nothing")
    with pytest.raises(NoProvenance, match="does not say where it comes from"):
        show.tune_provenance(tmp_path / "plain.abc")
    with pytest.raises(NoProvenance, match=r"broken\.mid"):
        show.tune_provenance(tmp_path / "broken.mid")
    with pytest.raises(FileNotFoundError):
        show.tune_provenance(tmp_path / "none.abc")


def test_facts_cannot_break_the_file(tmp_path):
    odd = FACTS | {"title": "100% mine\nK:C", "maker": "天 & <b>"}
    found = show.save_tune(REEL, tmp_path / "odd", **odd)
    assert found.unchanged and found["maker"] == "天 & <b>"
    text = (tmp_path / "odd.abc").read_text(encoding="utf-8")
    assert text.count("\nK:") == 1 and "%" not in text.split("\n", 2)[2]


def test_the_file_says_how_far_an_accidental_goes(tmp_path):
    """Without these lines music21 lets it hold for one note, or in every octave."""
    from music21 import converter

    text = REEL.replace("GABcd2B2", "G_BBbd2B2")
    found = show.save_tune(text, tmp_path / "flat", **FACTS)
    assert found.files[0].read_text(encoding="utf-8").startswith(data.scores.PREAMBLE + "X:1\n")
    back = [n.pitch.midi for n in converter.parse(found.files[0]).flatten().notes]
    assert back == [note.pitch for note in data.score(text).notes]
    assert back[:4] == [67, 70, 70, 83]


def test_words_are_those_of_picture_sheets():
    assert set(tune_files.WORDS) - {"notes", "source"} == set(show.sheet.CHUNKS) - {"pixels"}
