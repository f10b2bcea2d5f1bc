"""A picture of the learner's own: checked, set upright, on white, scaled; or a clear sentence.

Nothing of it is kept or sent anywhere.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

SMALLEST, LARGEST = 64, 2048  # pixels of ``size``, and of the shorter side at least
MOST_PIXELS = 64_000_000  # a telephone's largest photo; a bomb has billions in a few kilobytes
MOST_BYTES = 64_000_000
LONGEST = 4.0  # times the shorter side
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


class NotAPicture(ValueError):
    """A file that cannot be used as a picture. The message says why, and what would do."""


def own_picture(
    source: str | os.PathLike | bytes | bytearray | memoryview | Image.Image,
    size: int | None = 512,
) -> Tensor:
    """A picture of your own: (3, H, W) float32 in [0, 1], its shorter side ``size`` pixels long.

    source: a path, a file's bytes (what a FileUpload gives), or a Pillow image. size: None leaves
    it as large as it is, up to 2048; a smaller picture is scaled up. What a camera noted about its
    upright is obeyed; what is transparent becomes white; grey, palettes, CMYK and 16 bits become
    RGB; of an animation the first picture is taken.
    Raises NotAPicture: no such file, empty, larger than 64 MB, no picture at all, a kind that the
    course does not read, cut off or damaged, more than 64 million pixels, smaller than 64 pixels,
    or more than four times as long as wide. ValueError for a size outside 64 … 2048.
    """
    if size is not None and not (isinstance(size, int) and SMALLEST <= size <= LARGEST):
        raise ValueError(f"size={size!r}: a whole number from {SMALLEST} to {LARGEST}, or None.")
    if isinstance(source, Image.Image):
        return _scaled(_checked(source, "this picture"), size)
    content, name = _bytes(source)
    Image.init()  # else Pillow knows the commonest formats alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own warning of bombs: ours is an error, below
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                return _scaled(_checked(image, name), size)
        except UnidentifiedImageError:
            raise NotAPicture(_unknown(content, name)) from None
        except Image.DecompressionBombError as error:
            raise NotAPicture(f"{name} would unpack to far too many pixels: {error}") from None


def _bytes(source) -> tuple[bytes, str]:
    """A file's bytes, and what to call it."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        content, name = bytes(source), "this file"
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
        name = path.name
        try:
            if path.is_file() and path.stat().st_size > MOST_BYTES:
                raise NotAPicture(f"{name} has {path.stat().st_size / 1e6:.0f} MB; 64 MB is most.")
            content = path.read_bytes()
        except FileNotFoundError:
            raise NotAPicture(f"there is no file {path}: is the name right?") from None
        except OSError as error:
            raise NotAPicture(f"{path} cannot be read ({error.strerror}).") from None
    else:
        raise NotAPicture(
            f"give a path, a file's bytes or a Pillow image, not a {type(source).__name__}."
        )
    if not content:
        raise NotAPicture(f"{name} is empty.")
    if len(content) > MOST_BYTES:
        raise NotAPicture(f"{name} has {len(content) / 1e6:.0f} MB; 64 MB is most.")
    return content, name


def _checked(image: Image.Image, name: str) -> Image.Image:
    """The picture in RGB, upright and on white. Raises NotAPicture."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise NotAPicture(
            f"{name} has {width} × {height} pixels, {width * height / 1e6:,.0f} million: "
            f"{MOST_PIXELS / 1e6:.0f} million is most. Make it smaller first."
        )
    if min(width, height) < SMALLEST:
        raise NotAPicture(
            f"{name} has only {width} × {height} pixels: its shorter side must have {SMALLEST}."
        )
    if max(width, height) > LONGEST * min(width, height):
        raise NotAPicture(
            f"{name} has {width} × {height} pixels: cut it to at most four times as long as wide."
        )
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise NotAPicture(f"{name} is cut off or damaged ({error}): save it anew.") from None
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # a camera's notes may be nonsense; the picture is still a picture
        pass
    return _on_white(_eight_bits(image))


def _eight_bits(image: Image.Image) -> Image.Image:
    """16 and 32 bits a pixel, which Pillow would cut off at 255, scaled to 8."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=np.float64)
    top = 65535.0 if image.mode.startswith("I") and values.max(initial=0) > 255 else 255.0
    if image.mode == "F" and values.max(initial=0) <= 1:
        top = 1.0
    return Image.fromarray((values / top * 255).clip(0, 255).round().astype(np.uint8), "L")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")


def _scaled(image: Image.Image, size: int | None) -> Tensor:
    shorter = min(image.size)
    goal = min(shorter, LARGEST) if size is None else size
    if goal != shorter:
        width, height = (max(1, round(n * goal / shorter)) for n in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
    return pixels.permute(2, 0, 1).float() / 255


def _unknown(content: bytes, name: str) -> str:
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return f"{name} is HEIC or AVIF, as telephones save photos: save or share it as JPEG first."
    if content[:4] == b"%PDF":
        return f"{name} is a PDF, not a picture: save the page as PNG first."
    if b"<svg" in content[:1000].lower():
        return f"{name} is an SVG drawing, not a picture of pixels: save it as PNG first."
    known = ", ".join(sorted({*FORMATS} - {"PPM"}))
    return f"{name} is no picture that the course can read, or it is damaged; it reads {known}."
