"""Picture sheets to print and share, with where they come from written into the file itself."""

import datetime
import hashlib
import html
import io
import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

import genart_lessons
from genart_lessons.runtime import atomic_write
from genart_lessons.show.look import INK, MUTED, PAPER, demand
from genart_lessons.show.pictures import as_pictures, fit

# Our names and the PNG chunks (iTXt) that hold them. The first ones are the PNG standard's own
# keywords, which any picture viewer shows.
CHUNKS = {
    "title": "Title", "maker": "Author", "software": "Software", "date": "Creation Time",
    "licence": "Copyright", "model": "Model", "weights": "Weights SHA-256", "seed": "Seed",
    "data": "Data", "choices": "Human choices", "pixels": "Pixels SHA-256",
}  # fmt: skip
# What photo archives and search engines look for: IPTC's digital source type.
# https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    " Iptc4xmpExt:DigitalSourceType="
    '"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)
FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans SC", "Microsoft YaHei", "PingFang SC",
    "Hiragino Sans GB", "WenQuanYi Zen Hei", "SimHei", "Arial Unicode MS",
)  # fmt: skip


class NoProvenance(ValueError):
    """The file is no picture sheet of this course, or it is damaged; the message says which."""


class Provenance(dict):
    """What a work says about itself; ``.unchanged``: are its ``what`` as they were saved?"""

    path: Path
    unchanged: bool
    what = "pixels"

    def _told(self) -> list[tuple[str, str]]:
        state = "as they were saved" if self.unchanged else "CHANGED since they were saved"
        told = [(k, "".join(c if c.isprintable() else " " for c in str(v)))
                for k, v in self.items() if k != self.what]  # fmt: skip
        return [("file", self.path.as_posix()), *told, (self.what, state)]

    def __repr__(self) -> str:
        return "\n".join(f"{name:<9} {text}" for name, text in self._told())

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<tr><th style="text-align:left">{name}</th>'
            f'<td style="text-align:left">{html.escape(text)}</td></tr>'
            for name, text in self._told()
        )
        return f"<table>{cells}</table>"


def save_sheet(images, path, *, title, maker, model, seed, data_credit, licence, weights="",
               choices="", date=None, columns=None, invert=False, width=2400, dpi=300,
               overwrite=False) -> Provenance:  # fmt: skip
    """Write pictures (N, C, H, W) in [0, 1] as one PNG sheet for print, with its provenance.

    ``width`` pixels at ``dpi`` dots per inch: 2400 at 300 is 20 cm. ``weights``: the SHA-256 of
    the trained weights, or the path of their file. ``choices``: what you, a person, chose.
    ``date``: "2030-05-01", otherwise today. ``path`` is relative to the working folder; missing
    folders are made. Raises FileExistsError unless ``overwrite``, ValueError for a missing fact.
    """
    facts = facts_of("save_sheet", title=title, maker=maker, model=model, seed=seed,
                     data_credit=data_credit, licence=licence, weights=weights, choices=choices,
                     date=date)  # fmt: skip
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"show.save_sheet writes PNG files: name it {path.stem}.png.")
    new_file(path, overwrite)
    if width < 600:
        raise ValueError("show.save_sheet: a sheet to print is at least 600 pixels wide.")
    sheet = _draw(as_pictures(images, invert=invert, function="save_sheet"), facts, columns, width)
    facts["pixels"] = _pixels_sha(sheet)
    info = PngImagePlugin.PngInfo()
    for name, key in CHUNKS.items():
        if facts[name]:
            info.add_itxt(key, facts[name])
    info.add_itxt("XML:com.adobe.xmp", XMP)
    memory = io.BytesIO()
    sheet.save(memory, "png", pnginfo=info, dpi=(dpi, dpi), optimize=True)
    atomic_write(path, memory.getvalue())
    return provenance(path)


def facts_of(function: str, *, title, maker, model, seed, data_credit, licence, weights, choices,
             date) -> dict[str, str]:  # fmt: skip
    """What is written into a work, by our names. Raises ValueError for a fact that is missing."""
    demand(function, title=title, maker=maker, model=model, data_credit=data_credit,
           licence=licence, seed="" if seed is None else str(seed))  # fmt: skip
    facts = {
        "title": title, "maker": maker, "model": model, "seed": str(seed), "data": data_credit,
        "licence": licence, "weights": _sha(weights), "choices": choices,
        "date": datetime.date.fromisoformat(str(date or datetime.date.today())).isoformat(),
        "software": f"genart_lessons {genart_lessons.__version__}",
    }  # fmt: skip
    return {name: " ".join(fact.split()) for name, fact in facts.items()}  # one line each


def new_file(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError where a file would be lost."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path.as_posix()} is there already: pick another name, "
                              "or give overwrite=True.")  # fmt: skip


def provenance(path) -> Provenance:
    """Read back what a picture sheet says about itself, as a dict that prints well.

    Raises FileNotFoundError, or NoProvenance for a picture from elsewhere or a damaged file.
    It shows honest mistakes, not forgery: whoever can write the file can write its facts, too.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no picture {path.as_posix()}.")
    try:
        with PngImagePlugin.PngImageFile(path) as image:
            image.verify()  # every chunk's checksum; a decoder may read over a turned bit
        with PngImagePlugin.PngImageFile(path) as image:
            image.load()
            text, sheet = dict(image.text), image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise NoProvenance(
            f"{path.name} cannot be read as a PNG: it is damaged, or it is another kind of file "
            f"({type(error).__name__})."
        ) from error
    facts = {name: text[key] for name, key in CHUNKS.items() if key in text}
    if missing := {"title", "model", "seed", "data", "pixels"} - set(facts):
        raise NoProvenance(
            f"{path.name} is a sound PNG, but it does not say where it comes from (no "
            f"{', '.join(sorted(missing))}): made elsewhere, or saved again by a program that "
            "drops such notes."
        )
    return told_by(path, facts, unchanged=facts["pixels"] == _pixels_sha(sheet))


def told_by(path: Path, facts: dict[str, str], unchanged: bool) -> Provenance:
    """A Provenance of these facts, with the seed as the number that it was."""
    found = Provenance(facts)
    if re.fullmatch(r"-?\d{1,18}", facts["seed"]):
        found["seed"] = int(facts["seed"])
    found.path, found.unchanged = path, unchanged
    return found


def _pixels_sha(image: Image.Image) -> str:
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def _sha(weights) -> str:
    if re.fullmatch(r"([0-9a-f]{64})?", str(weights)):
        return str(weights)
    if not Path(weights).is_file():
        raise ValueError("weights is a SHA-256 (64 hex digits) or the path of "
                         f"the weights' file; {str(weights)[:80]!r} is neither.")  # fmt: skip
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()


def _draw(pictures, facts, columns, width) -> Image.Image:
    """The pictures in a grid on white paper, and a strip with the facts below."""
    n, margin = len(pictures), width // 24
    columns = min(n, columns or int(np.ceil(np.sqrt(n))))
    gap = max(2, width // 24 // columns)
    cell = (width - 2 * margin - gap * (columns - 1)) // columns
    h, w = pictures[0].shape[:2]
    # Whole enlargement factors leave a rest: the cells take the size that the pictures really get.
    factor = max(1, cell // w)
    wide, high = (w * factor, h * factor) if cell >= w else (cell, max(1, h * cell // w))
    left = (width - columns * wide - (columns - 1) * gap) // 2
    bottom = margin + -(-n // columns) * (high + gap) - gap
    lines = [f"{facts['maker']}, {facts['date']}", f"{facts['model']}, seed {facts['seed']}",
             f"{facts['data']} · {facts['licence']}"]  # fmt: skip
    big, small = _font(facts["title"], width // 44), _font("".join(lines), width // 88)
    strip = [(facts["title"], big, INK), *((line, small, MUTED) for line in lines)]
    strip = [(part, font, ink) for text, font, ink in strip
             for part in _wrapped(text, font, width - 2 * left)]  # fmt: skip
    tall = sum(round(font.size * 1.45) for _, font, _ in strip)
    sheet = Image.new("RGB", (width, bottom + margin * 3 // 4 + tall + margin), PAPER)
    for i, picture in enumerate(pictures):
        x, y = left + i % columns * (wide + gap), margin + i // columns * (high + gap)
        sheet.paste(Image.fromarray(fit(picture, wide, high)), (x, y))
    draw, y = ImageDraw.Draw(sheet), bottom + margin * 3 // 4
    for text, font, ink in strip:
        draw.text((left, y), text, ink, font)
        y += round(font.size * 1.45)
    return sheet


def _wrapped(text: str, font, width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in re.findall(r"\S+\s*", text):
        if line and font.getlength(line + word.rstrip()) > width:
            lines, line = [*lines, line.rstrip()], ""
        line += word
    return [*lines, line.rstrip()]


def _font(text: str, size: int):
    """The first font here that has all the characters; DejaVu Sans comes with matplotlib."""
    from matplotlib import font_manager, ft2font

    needed = {ord(c) for c in text if c.isprintable()} - {32}
    for name in FONTS:
        try:
            path = font_manager.findfont(name, fallback_to_default=False)
        except ValueError:
            continue
        if needed <= set(ft2font.FT2Font(path).get_charmap()):
            return ImageFont.truetype(path, size)
    warnings.warn("No font here has every character of the caption: some are drawn as boxes, but "
                  "the notes inside the file hold them all.", stacklevel=4)  # fmt: skip
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
