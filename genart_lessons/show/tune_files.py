"""Tunes to keep and to share: ABC, MIDI and a picture, each with where it comes from inside."""

import hashlib
import re
from pathlib import Path

from genart_lessons.runtime import atomic_write
from genart_lessons.show.look import WIDTH
from genart_lessons.show.music import as_score, roll
from genart_lessons.show.sheet import (
    CHUNKS,
    NoProvenance,
    Provenance,
    facts_of,
    new_file,
    provenance,
    save_sheet,
    told_by,
)  # fmt: skip

# Our names, in words that stand in the file: those of picture sheets, with one for the notes.
WORDS = {name: word for name, word in CHUNKS.items() if name != "pixels"}
WORDS |= {"notes": "Notes SHA-256", "source": "Digital source type"}
SOURCE = "trainedAlgorithmicMedia"  # IPTC's word for what a trained model has made
UNSEALED = "0" * 64  # what stands for the hash while the hash is computed
SHARP = 220  # dots per inch: a roll of 9 inches is 1980 pixels wide


class TuneProvenance(Provenance):
    """What the file of a tune says about itself; ``.files``: all that were saved with it."""

    what = "notes"
    files: list[Path]

    def _told(self) -> list[tuple[str, str]]:
        (_, first), *rest = super()._told()
        others = [path.suffix for path in getattr(self, "files", [])[1:]]
        return [("file", ", ".join([first, *others])), *rest]


def save_tune(music, path, *, title, maker, model, seed, data_credit, licence, weights="",
              choices="", date=None, overwrite=False) -> TuneProvenance:  # fmt: skip
    """Write a tune as ``path``.abc, .mid and .png, each with its provenance; return what it says.

    music: ABC text, or a ``data.Score`` (then there is no .abc). ``path``: without ending, such as
    ``"works/reel"``, relative to the working folder; missing folders are made. The other arguments
    are those of :func:`save_sheet`. Any program that reads ABC or MIDI reads these files: in ABC
    the facts are notes (``N:``), in MIDI text events, in PNG the notes of picture sheets.

    Raises FileExistsError for a file that is there, unless ``overwrite``; ValueError for a missing
    fact, for an ending, and for a text that is no music.
    """
    from genart_lessons import data

    facts = facts_of("save_tune", title=title, maker=maker, model=model, seed=seed,
                     data_credit=data_credit, licence=licence, weights=weights, choices=choices,
                     date=date)  # fmt: skip
    stem = Path(path)
    if stem.suffix.lower() in (".abc", ".mid", ".midi", ".png", ".mp3", ".wav"):
        raise ValueError(f"show.save_tune writes several files: give {stem.with_suffix('')!s}, "
                         "without an ending.")  # fmt: skip
    score = as_score(music)
    facts |= {"notes": UNSEALED, "source": SOURCE}
    kinds = {".abc": _abc(music, facts)} if isinstance(music, str) else {}
    told = {WORDS[name]: fact for name, fact in facts.items() if fact}
    kinds[".mid"] = _sealed(data.midi(score, told))
    files = [stem.with_name(stem.name + kind) for kind in (*kinds, ".png")]
    for file in files:
        new_file(file, overwrite)
    for file, content in zip(files, kinds.values(), strict=False):
        atomic_write(file, content)
    _save_picture(score, files[-1], facts, data_credit)
    found = _as_tune(tune_provenance(files[0]))
    found.files = files
    return found


def _as_tune(told: Provenance) -> TuneProvenance:
    found = TuneProvenance(told)
    found.path, found.unchanged = told.path, told.unchanged
    return found


def tune_provenance(path) -> Provenance:
    """Read back what a saved .abc, .mid or .png says about itself, as a dict that prints well.

    Raises FileNotFoundError, or NoProvenance for a file from elsewhere or a damaged one. It shows
    honest mistakes, not forgery: whoever can write the file can write its facts, too.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no tune {path.as_posix()}.")
    if path.suffix.lower() == ".png":
        return provenance(path)
    content = path.read_bytes()
    texts = _texts_of_midi(path, content) if path.suffix.lower() == ".mid" else _notes_of(content)
    facts = {name: texts[word] for name, word in WORDS.items() if word in texts}
    if missing := {"title", "model", "seed", "data", "notes"} - set(facts):
        raise NoProvenance(
            f"{path.name} does not say where it comes from (no {', '.join(sorted(missing))}): made "
            "elsewhere, or saved again by a program that drops such notes."
        )
    seal = facts["notes"].encode()
    plain = content.replace(seal, UNSEALED.encode())
    unchanged = hashlib.sha256(plain).hexdigest().encode() == seal
    return _as_tune(told_by(path, facts, unchanged))


def _abc(text: str, facts: dict[str, str]) -> bytes:
    """A file of one tune: its title and notes before the head that the course writes."""
    from genart_lessons.data.scores import PREAMBLE

    lines = [*PREAMBLE.splitlines(), "X:1", f"T:{_no_comment(facts['title'])}"]
    lines += [f"N:{WORDS[name]}: {_no_comment(fact)}" for name, fact in facts.items() if fact]
    return _sealed("\n".join([*lines, text.strip(), ""]).encode())


def _no_comment(fact: str) -> str:
    """In ABC a % begins a comment."""
    return fact.replace("%", "percent")


def _notes_of(content: bytes) -> dict[str, str]:
    text = content.decode("utf-8", errors="replace")
    return dict(re.findall(r"(?m)^N:([^:\n]+): (.*?)\r?$", text))


def _sealed(content: bytes) -> bytes:
    """The file with its own hash in it, which is that of the file with zeros in its place."""
    if content.count(UNSEALED.encode()) != 1:
        raise ValueError("a fact of the tune holds 64 zeros, which stand for the hash.")
    seal = hashlib.sha256(content).hexdigest()
    return content.replace(UNSEALED.encode(), seal.encode())


def _texts_of_midi(path: Path, content: bytes) -> dict[str, str]:
    """The text events of a MIDI file, ``"name: fact"`` each. Raises NoProvenance."""
    from genart_lessons import data

    try:
        texts = data.midi_texts(content)
    except data.NotMusic as error:
        raise NoProvenance(f"{path.name} cannot be read: {error}") from error
    pairs = (text.partition(": ") for text in texts)
    return {name: fact for name, colon, fact in pairs if colon}


def _save_picture(score, path: Path, facts: dict[str, str], data_credit: str) -> None:
    picture = roll(score, title=facts["title"])
    picture.set_dpi(SHARP)
    save_sheet(
        [picture.image()], path, title=facts["title"], maker=facts["maker"], model=facts["model"],
        seed=facts["seed"], data_credit=data_credit, licence=facts["licence"],
        weights=facts["weights"], choices=facts["choices"], date=facts["date"], columns=1,
        width=round(WIDTH / 100 * SHARP * 12 / 11) + 24, overwrite=True,
    )  # fmt: skip
