"""Rate and distortion: how many bits a picture takes, and how near it comes back.

Four codecs on the same unseen pictures: JPEG, PNG, principal components with rounded codes, and an
autoencoder trained for it. Fairly, as far as that goes:

- JPEG and PNG get all pictures on one sheet, so that a file's header is shared by all of them, and
  the settings of Pillow that give the smallest file. The header's bits are in the rate, and told.
- Codes are numbers of many kinds; they are divided by a step, rounded, and written out by a real
  compressor (the shorter of zlib and LZMA): ``bits_per_pixel``, an upper figure. ``entropy`` is
  what a coder that codes each number of the code by its own table would need for these very
  pictures (equation 2.18); the tables are not counted, so it is a lower figure.
- What the decoder itself takes (matrix, network) is not in the rate but told: ``decoder_bits``. It
  is paid once, however many pictures follow. JPEG and PNG know nothing of icons.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models import autoencoder

QUALITIES = (1, 5, 10, 20, 35, 50, 70, 85, 95)
GREYS = (2, 4, 16, 256)  # of a PNG: 1, 2, 4 and 8 bits a pixel before compression
PCA_STEPS = (6.0, 4.0, 2.8, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35)
CODE_STEPS = (6.0, 4.0, 2.8, 2.0, 1.4, 1.0, 0.7, 0.5)


class Row(NamedTuple):
    """One codec at one setting.

    ``bits_per_pixel``: of the file, or of the codes as really written out, with the header.
    ``entropy``: bits per pixel by a table for each number; None for a file. ``psnr`` in decibels,
    of the mean squared error over all pixels (∞ if none is lost). ``header_bits``: those of a
    file's header and tables, in all; ``decoder_bits``: what the other side must have beforehand.
    """

    codec: str
    setting: str
    bits_per_pixel: float
    psnr: float
    entropy: float | None = None
    header_bits: int = 0
    decoder_bits: int = 0


def rate_distortion(
    x: Tensor,
    train: Tensor | None = None,
    compressor: Compressor | None = None,
    *,
    qualities: Sequence[int] = QUALITIES,
    greys: Sequence[int] = GREYS,
    pca_steps: Sequence[float] = PCA_STEPS,
    code_steps: Sequence[float] = CODE_STEPS,
) -> list[Row]:
    """Rows for pictures x (N, 1, H, W) in [0, 1]: JPEG, PNG; PCA and autoencoder where given.

    ``train``: pictures of the same shape, not those of x, for the principal components;
    ``compressor``: a trained network. x is rounded to 256 greys first, which all codecs then aim
    at. Raises ValueError for x of another shape or range.
    """
    x = rounded(x)
    rows = [jpeg(x, quality) for quality in qualities] + [png(x, n) for n in greys]
    if train is not None:
        basis = autoencoder.pca(train, min(x[0].numel(), len(train)))
        rows += [by_pca(x, basis, step) for step in pca_steps]
    if compressor is not None:
        rows += [by_network(x, compressor, step) for step in code_steps]
    return rows


# -- files -----------------------------------------------------------------------------------------


def rounded(x: Tensor) -> Tensor:
    """x (N, 1, H, W) at 256 greys, as every picture file has it. Raises ValueError."""
    if x.ndim != 4 or x.shape[1] != 1 or len(x) == 0 or not x.is_floating_point():
        raise ValueError(f"grey pictures (N, 1, H, W) are wanted; these are {tuple(x.shape)}.")
    low, high = x.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"pixels must be from 0 to 1; these run from {low:.4g} to {high:.4g}.")
    return (255 * x).round() / 255


def sheet(x: Tensor) -> np.ndarray:
    """Pictures (N, 1, H, W) side by side in a square sheet, uint8; what is left over is 0.

    Pictures whose sides are multiples of 8 lie on JPEG's own grid of 8×8 blocks.
    """
    n, _, h, w = x.shape
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    padded = F.pad(x, (0, 0, 0, 0, 0, 0, 0, across * down - n))
    tiles = padded.view(down, across, h, w).transpose(1, 2).reshape(down * h, across * w)
    return (255 * tiles).round().clamp(0, 255).byte().cpu().numpy()


def unsheet(pixels: np.ndarray, like: Tensor) -> Tensor:
    """The pictures of a sheet again, in [0, 1], as many and as large as ``like``."""
    n, _, h, w = like.shape
    down, across = pixels.shape[0] // h, pixels.shape[1] // w
    tiles = torch.from_numpy(np.array(pixels)).float().view(down, h, across, w) / 255
    return tiles.transpose(1, 2).reshape(-1, 1, h, w)[:n]


def jpeg(x: Tensor, quality: int) -> Row:
    """The sheet as a JPEG of one channel, with the best Huffman tables: the smaller of the two
    kinds, baseline and progressive. ``quality`` 1 to 95 as Pillow (libjpeg) means it."""
    image = Image.fromarray(sheet(x), "L")
    data = min((_saved(image, "JPEG", quality=quality, optimize=True, progressive=progressive)
                for progressive in (False, True)), key=len)  # fmt: skip
    header = 8 * (len(data) - _jpeg_scans(data))
    return _of_file("JPEG", f"quality {quality}", data, x, header)


def png(x: Tensor, greys: int = 256) -> Row:
    """The sheet as a PNG: lossless at 256 greys; rounded to 2, 4 or 16 equal steps before, lossy.

    Raises ValueError for another number of greys.
    """
    if greys not in GREYS:
        raise ValueError(f"greys={greys}: a PNG has {', '.join(map(str, GREYS))}.")
    levels = np.round(sheet(x) / 255 * (greys - 1)).astype(np.uint8)
    image = Image.fromarray(levels if greys < 256 else sheet(x), "L")
    if greys < 256:  # a palette of greys, in as few bits a pixel as it needs
        image = Image.fromarray(levels, "P")
        image.putpalette([i * 255 // (greys - 1) for i in range(greys) for _ in "RGB"])
    bits = {} if greys == 256 else {"bits": int(math.log2(greys))}
    data = _saved(image, "PNG", optimize=True, **bits)
    return _of_file("PNG", f"{greys} greys", data, x, 8 * (len(data) - _png_pixels(data)))


def _saved(image: Image.Image, kind: str, **how) -> bytes:
    memory = io.BytesIO()
    image.save(memory, kind, **how)
    return memory.getvalue()


def _of_file(codec: str, setting: str, data: bytes, x: Tensor, header: int) -> Row:
    """A file's row: read again, compared, and divided by the pixels of the pictures themselves."""
    again = unsheet(np.asarray(Image.open(io.BytesIO(data)).convert("L")), x)
    return Row(codec, setting, 8 * len(data) / x.numel(), distortion(x, again), header_bits=header)


def _jpeg_scans(data: bytes) -> int:
    """Bytes of coded pixels in a JPEG: what follows each SOS header, up to the next marker."""
    scans, i = 0, 2
    while i < len(data) - 1:
        marker = data[i + 1]
        if marker == 0xD9:  # end of image
            break
        i += 2 + int.from_bytes(data[i + 2 : i + 4], "big")
        if marker == 0xDA:  # start of scan: pixels until 0xFF and not 0x00 or a restart
            start = i
            while not (data[i] == 0xFF and data[i + 1] != 0 and not 0xD0 <= data[i + 1] <= 0xD7):
                i += 1
            scans += i - start
    return scans


def _png_pixels(data: bytes) -> int:
    """Bytes of the IDAT chunks of a PNG."""
    found, i = 0, 8
    while i < len(data):
        length = int.from_bytes(data[i : i + 4], "big")
        found += length if data[i + 4 : i + 8] == b"IDAT" else 0
        i += 12 + length
    return found


# -- codes -----------------------------------------------------------------------------------------


def by_pca(x: Tensor, basis: autoencoder.PCA, step: float) -> Row:
    """Principal components divided by one step for all and rounded: transform coding.

    One step for all is what a Gaussian wants: components below it fall to 0 and cost nothing
    (Cover and Thomas 2006, section 10.3.3), so k need not be chosen.
    """
    symbols = (basis.encode(x) / step).round()
    again = basis.decode(symbols * step).clamp(0, 1)
    weights = basis.components.numel() + basis.mean.numel()
    return _of_codes("PCA", f"step {step:g}", symbols, again, x, 16 * weights)


def by_network(x: Tensor, compressor: Compressor, step: float = 1.0) -> Row:
    """A trained compressor's codes, divided by a step and rounded."""
    place = next(compressor.parameters()).device
    with torch.no_grad():
        symbols = (compressor.codes(x.to(place)) / step).round()
        again = torch.cat([compressor.decode(step * part) for part in symbols.split(256)])
    weights = sum(p.numel() for p in compressor.decoder.parameters())
    again, symbols = again.clamp(0, 1).to(x), symbols.cpu()
    return _of_codes("autoencoder", f"step {step:g}", symbols, again, x, 16 * weights)


def _of_codes(codec, setting, symbols: Tensor, again: Tensor, x: Tensor, decoder_bits: int) -> Row:
    pixels = x.numel()
    written = 8 * len(pack(symbols)) / pixels
    least = float(entropy_bits(symbols).sum()) / pixels
    near = distortion(x, again)
    return Row(codec, setting, written, near, least, decoder_bits=decoder_bits)


def distortion(x: Tensor, x_hat: Tensor) -> float:
    """10·log₁₀(1/MSE) in decibels, over all pixels of all pictures at once; ∞ if they are equal."""
    mse = float(((x - x_hat).double() ** 2).mean())
    return -10 * math.log10(mse) if mse else math.inf


def entropy_bits(symbols: Tensor) -> Tensor:
    """N·H of each column of whole numbers (N, k), in bits: (k,). Equation 2.18.

    H is the entropy of how often each value came. It is known from these N numbers themselves, so
    it is a little too small.
    """
    found = []
    for column in symbols.long().T:
        share = torch.unique(column, return_counts=True)[1].double() / len(column)
        found.append(-len(column) * (share * share.log2()).sum())
    return torch.stack(found)


HEAD = struct.Struct("<IHBB")  # N, k, bytes a number, 0 for LZMA and 1 for zlib
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]


def pack(symbols: Tensor) -> bytes:
    """Whole numbers (N, k) as bytes: the shorter of LZMA and zlib. ``unpack`` reads them again.

    Column after column (numbers of one kind together), a byte each, or two where one does not do,
    after a head of eight bytes. Raises ValueError for numbers that do not fit into 16 bits.
    """
    columns = symbols.long().T.contiguous().cpu().numpy()
    low, high = columns.min(), columns.max()
    if low < -32768 or high > 32767:
        raise ValueError("the codes do not fit into 16 bits: take a larger step.")
    wide = 1 if low >= -128 and high <= 127 else 2
    raw = columns.astype(f"<i{wide}").tobytes()
    both = lzma.compress(raw, format=lzma.FORMAT_RAW, filters=FILTERS), zlib.compress(raw, 9)
    kind = int(len(both[1]) < len(both[0]))
    return HEAD.pack(len(symbols), symbols.shape[1], wide, kind) + both[kind]


def unpack(data: bytes) -> Tensor:
    """The whole numbers (N, k) that ``pack`` made these bytes of, int64."""
    n, k, wide, kind = HEAD.unpack(data[: HEAD.size])
    rest = data[HEAD.size :]
    if kind:
        raw = zlib.decompress(rest)
    else:
        raw = lzma.decompress(rest, format=lzma.FORMAT_RAW, filters=FILTERS)
    return torch.from_numpy(np.frombuffer(raw, f"<i{wide}").reshape(k, n).T.astype(np.int64))


# -- a network that is trained for it --------------------------------------------------------------


class Compressor(autoencoder.Conv):
    """An autoencoder of icons whose code is rounded: ‖x − x̂‖² + price·bits. Ballé et al. 2017.

    Rounding has no gradient, so while training each number of the code gets noise, uniform from
    −½ to ½, as strong as rounding's error (equation 2.17), and its bits are those of a logistic
    density of its own width, blurred as much. ``price``: squared error that one bit is worth.
    """

    def __init__(self, k: int = 128, price: float = 0.1):
        super().__init__(k)
        self.price = price
        self.middle = nn.Parameter(torch.zeros(k))
        self.log_width = nn.Parameter(torch.zeros(k))

    def bits(self, z: Tensor) -> Tensor:
        """−log₂ of the probability of the unit interval about each number: (B, k)."""
        distance, width = (z - self.middle).abs(), self.log_width.exp()
        # Of the two equal tails the one is taken whose difference is not 1 − 1.
        near = torch.sigmoid((0.5 - distance) / width)
        far = torch.sigmoid((-0.5 - distance) / width)
        return -(near - far).clamp(min=1e-9).log2()

    def loss(self, batch: dict):
        """batch: ``x`` and ``u`` (B, k) uniform in [0, 1). The loss and its parts, per picture."""
        z = self.encode(batch["x"]) + batch["u"] - 0.5
        error = autoencoder.squared_error(batch["x"], self.decode(z)).mean()
        bits = self.bits(z).sum(1).mean()
        return error + self.price * bits, {"error": error, "bits": bits}
