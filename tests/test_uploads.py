"""Pictures of the learner's own: what is taken as it is meant, and what is refused, and why."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from genart_lessons import data
from genart_lessons.data import uploads


def saved(image, form="png", **options):
    memory = io.BytesIO()
    image.save(memory, form, **options)
    return memory.getvalue()


def scene(width=120, height=80):
    """A red left half and a blue right half."""
    image = Image.new("RGB", (width, height), (200, 30, 40))
    image.paste((20, 40, 210), (width // 2, 0, width, height))
    return image


def colours(x):
    """The colours in the middle of the left and of the right half, in 255ths."""
    at = x.shape[-1] // 4
    row = x[:, x.shape[-2] // 2]
    return [[round(float(v) * 255) for v in row[:, i]] for i in (at, 3 * at)]


RED, BLUE = [200, 30, 40], [20, 40, 210]


@pytest.mark.parametrize("form", ["png", "bmp", "tiff", "webp", "ppm", "jpeg", "gif"])
def test_every_format_that_is_promised_is_read(form):
    options = {"lossless": True} if form == "webp" else {"quality": 98} if form == "jpeg" else {}
    x = data.own_picture(saved(scene(), form, **options), size=None)
    assert x.shape == (3, 80, 120) and x.dtype == torch.float32
    assert np.allclose(colours(x), [RED, BLUE], atol=4)


def test_it_is_scaled_by_its_shorter_side(tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(saved(scene()))
    for source in (path, str(path), path.read_bytes(), memoryview(path.read_bytes()), scene()):
        assert data.own_picture(source, size=96).shape == (3, 96, 144)
    assert data.own_picture(scene(80, 120)).shape == (3, 768, 512)


@pytest.mark.parametrize("turn", range(1, 9))
def test_what_the_camera_noted_is_obeyed(turn):
    upright = scene(120, 80)
    exif = Image.Exif()
    exif[0x0112] = turn
    back = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270}  # fmt: skip
    lying = upright.transpose(back[turn]) if turn > 1 else upright
    x = data.own_picture(saved(lying, exif=exif.tobytes()), size=None)
    assert x.shape == (3, 80, 120) and colours(x) == [RED, BLUE]
    naive = np.asarray(lying.convert("RGB"))
    if turn in (3, 5, 6, 7, 8):
        assert naive.shape != (80, 120, 3) or not np.array_equal(naive, np.asarray(upright))


def test_what_is_transparent_is_white_and_not_what_lies_below():
    clear = scene().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((120, 80)).point(lambda v: 0))
    assert data.own_picture(saved(clear), size=None).min() == 1
    half = Image.new("RGBA", (80, 80), (0, 0, 0, 51))
    assert data.own_picture(half, size=None).mean().item() == pytest.approx(0.8, abs=0.01)
    grey = Image.new("LA", (80, 80), (0, 0))
    assert data.own_picture(saved(grey), size=None).min() == 1
    palette = Image.new("P", (80, 80), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    assert data.own_picture(saved(palette, transparency=1), size=None).min() == 1
    assert data.own_picture(saved(palette), size=None)[1].min() == 1


def test_modes_become_rgb():
    grey = Image.new("L", (80, 80), 51)
    assert torch.allclose(data.own_picture(grey, size=None), torch.tensor(0.2))
    one = Image.new("1", (80, 80), 1)
    assert data.own_picture(saved(one), size=None).min() == 1
    cmyk = Image.new("CMYK", (80, 80), (0, 255, 255, 0))
    red = data.own_picture(saved(cmyk, "jpeg", quality=95), size=None)
    assert red[0].mean() > 0.9 and red[1:].mean() < 0.1


def test_sixteen_bits_are_not_cut_off():
    ramp = np.linspace(0, 65535, 80 * 80).reshape(80, 80).astype(np.uint16)
    x = data.own_picture(saved(Image.fromarray(ramp)), size=None)
    assert x.mean().item() == pytest.approx(0.5, abs=0.01)
    naive = np.asarray(Image.open(io.BytesIO(saved(Image.fromarray(ramp)))), dtype=float)
    assert (naive.clip(0, 255) / 255).mean() > 0.99  # what cutting off would give
    real = Image.fromarray(np.full((80, 80), 0.25, np.float32))
    assert data.own_picture(real, size=None).mean().item() == pytest.approx(0.25, abs=0.01)


def test_of_an_animation_the_first_picture_is_taken():
    frames = [Image.new("RGB", (80, 80), colour) for colour in ("red", "lime")]
    x = data.own_picture(saved(frames[0], "gif", save_all=True, append_images=frames[1:]))
    assert x[0].min() > 0.9 and x[1].max() < 0.1


# -- refused -------------------------------------------------------------------------------------


def bomb(width, height):
    """A PNG of a few hundred bytes that says it has so many pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(
            ">I", zlib.crc32(kind + body)
        )  # fmt: skip

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


WHOLE = saved(Image.effect_noise((200, 100), 60).convert("RGB"))
JPEG = saved(Image.effect_noise((200, 100), 60).convert("RGB"), "jpeg")
REFUSED = {
    "empty": (b"", "empty"),
    "text": (b"Dear diary, " * 20, "no picture"),
    "pdf": (b"%PDF-1.7 \n" * 20, "PDF"),
    "svg": (b"<?xml version='1.0'?><svg xmlns='x'></svg>" * 9, "SVG"),
    "heic": (b"\0\0\0\x18ftypheic" + b"\0" * 200, "JPEG first"),
    "cut off png": (WHOLE[: len(WHOLE) // 2], "cut off or damaged"),
    "cut off jpeg": (JPEG[: len(JPEG) // 2], "cut off or damaged"),
    "damaged": (WHOLE[:3000] + bytes(500) + WHOLE[3500:], "cut off or damaged"),
    "bomb": (bomb(60_000, 60_000), "pixels"),
    "large": (bomb(9_000, 8_000), "64 million is most"),
    "small": (saved(scene(200, 63)), "must have 64"),
    "long": (saved(scene(400, 90)), "four times as long"),
    "number": (17, "not a int"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_why(name):
    file, why = REFUSED[name]
    with pytest.raises(data.NotAPicture, match=why):
        data.own_picture(file)


def test_files_that_are_not_there_and_folders(tmp_path):
    with pytest.raises(data.NotAPicture, match="no file"):
        data.own_picture(tmp_path / "holiday.jpg")
    with pytest.raises(data.NotAPicture, match="cannot be read"):
        data.own_picture(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "film.png"
    path.write_bytes(WHOLE)
    monkeypatch.setattr(uploads, "MOST_BYTES", 1000)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda self: pytest.fail("it was read"))
    with pytest.raises(data.NotAPicture, match="64 MB is most"):
        data.own_picture(path)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("unpacked"))
    with pytest.raises(data.NotAPicture, match="pixels"):
        data.own_picture(REFUSED["large"][0])


@pytest.mark.parametrize("size", [63, 4096, 96.0, "large"])
def test_sizes_are_checked(size):
    with pytest.raises(ValueError, match="64 to 2048"):
        data.own_picture(scene(), size=size)


# -- quilts --------------------------------------------------------------------------------------


def test_a_quilt_is_covered_and_a_seeds():
    first, other = data.quilt("heart", 96), data.quilt("heart", 96, seed=1)
    assert first.shape == (3, 96, 96) and 0 <= first.min() and first.max() <= 1
    assert torch.equal(first, data.quilt("heart", 96, seed=0)) and not torch.equal(first, other)
    assert (first.amin(0) < 0.97).float().mean() > 0.9  # hardly any paper
    sparse = data.quilt("heart", 96, density=0.05)
    assert (sparse.amin(0) < 0.97).float().mean() < 0.7


def test_quilts_refuse_nonsense():
    with pytest.raises(KeyError, match="no group"):
        data.quilt("kerfuffle", 96)
    for wrong in (dict(size=32), dict(size=96.5), dict(size=96, density=0)):
        with pytest.raises(ValueError):
            data.quilt("heart", **wrong)
