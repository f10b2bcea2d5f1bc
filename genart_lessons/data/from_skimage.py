"""Photos and textures that ship inside the wheels of scikit-image and scikit-learn.

Nothing is downloaded: only those files are read that come with the packages, and the packages
themselves are not imported. Each photo has its own origin and licence; they are on the card.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genart_lessons.data.files import package_file, sha256
from genart_lessons.data.pictures import check_split

SKIMAGE = ("skimage", "data/{}", "scikit-image>=0.24")
SKLEARN = ("sklearn", "datasets/images/{}", "scikit-learn>=1.5")
# The name of each, its kind, the package and the file in it.
FILES = {
    "astronaut": ("photo", SKIMAGE, "astronaut.png"),
    "brick": ("texture", SKIMAGE, "brick.png"),
    "camera": ("photo", SKIMAGE, "camera.png"),
    "chelsea": ("photo", SKIMAGE, "chelsea.png"),
    "china": ("photo", SKLEARN, "china.jpg"),
    "coffee": ("photo", SKIMAGE, "coffee.png"),
    "flower": ("photo", SKLEARN, "flower.jpg"),
    "grass": ("texture", SKIMAGE, "grass.png"),
    "gravel": ("texture", SKIMAGE, "gravel.png"),
    "hubble": ("photo", SKIMAGE, "hubble_deep_field.jpg"),
    "ihc": ("texture", SKIMAGE, "ihc.png"),
    "retina": ("photo", SKIMAGE, "retina.jpg"),
    "rocket": ("photo", SKIMAGE, "rocket.jpg"),
}
# A dozen photos are too few for a split by chance. No network of the course learns from these.
TEST = frozenset({"camera", "chelsea", "coffee"})
SMALLEST, LARGEST = 16, 2048


class Photos(Mapping[str, Tensor]):
    """Named photos, decoded when they are asked for: ``photos["chelsea"]`` → (3, H, W).

    float32 in [0, 1]; grey ones have three equal channels. ``names`` in alphabetical order;
    ``kinds`` says for each whether it is a "photo" or a "texture".
    """

    def __init__(self, names: list[str], split: str, size: int | None = None):
        self.names, self.split, self.size = list(names), split, size
        self.kinds = {name: FILES[name][0] for name in names}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.names:
            raise KeyError(
                f"no photo {name!r} in the {self.split} split; there are: {', '.join(self.names)}."
            )
        return photo(name, self.size)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        size = "each its own size" if self.size is None else f"3×{self.size}×{self.size}"
        return f"Photos({len(self)} photos, {size}, split={self.split!r})"

    @property
    def x(self) -> Tensor:
        """All of them, (N, 3, size, size). Raises ValueError where each has its own size."""
        if self.size is None:
            raise ValueError("photos differ in size: ask for data.photos(size=…) first.")
        return torch.stack(list(self.values()))

    def only(self, kind: str) -> "Photos":
        """Those of one kind, "photo" or "texture". Raises KeyError for another."""
        if kind not in self.kinds.values():
            known = ", ".join(sorted(set(self.kinds.values())))
            raise KeyError(f"no kind {kind!r}; there are: {known}.")
        return Photos([n for n in self.names if self.kinds[n] == kind], self.split, self.size)

    def credit(self, name: str) -> str:
        """Whom to credit for one photo, and its licence: a line to write beside a picture."""
        from genart_lessons.data import cards  # it imports this module

        self[name]  # raises for an unknown one
        entry = next(part for part in cards.card("photos").parts if part["group"] == name)
        return f"{name}: {entry['credit']}, {entry['licence']}"


def sources() -> list[Path]:
    """The files of all photos. Raises DataMissing."""
    return [source(name) for name in FILES]


def source(name: str) -> Path:
    """The file of one photo. Raises KeyError for an unknown name, DataMissing without the file."""
    if name not in FILES:
        raise KeyError(f"no photo {name!r}; there are: {', '.join(FILES)}.")
    _, (package, pattern, install), file = FILES[name]
    return package_file(package, pattern.format(file), install)


def photos(split: str = "all", size: int | None = None) -> Photos:
    """Photos and textures by name; ``size`` as for ``photo``.

    "test" holds three photos that no network of the course learns from, "train" the others.
    Raises ValueError for another split or size.
    """
    check_split(split)
    _check_size(size)
    names = [name for name in FILES if split == "all" or (name in TEST) == (split == "test")]
    return Photos(names, split, size)


def photo(name: str, size: int | None = None) -> Tensor:
    """One photo, (3, H, W) float32 in [0, 1].

    ``size``: the middle square of it, scaled (Lanczos) to (3, size, size). Raises KeyError for an
    unknown name, ValueError for a size that is no whole number from 16 to 2048.
    """
    _check_size(size)
    pixels = torch.from_numpy(np.array(_scaled(name, size))).float() / 255
    return pixels.permute(2, 0, 1).contiguous()


def patches(
    name: str, size: int = 8, n: int = 1000, seed: int = 0, *, grey: bool = False
) -> Tensor:
    """``n`` squares cut from one photo at random places: (n, C, size, size) float32 in [0, 1].

    C is 1 for a grey photo, else 3; ``grey`` makes one channel of any (Rec. 601 luma, as
    Pillow's "L"). Places may overlap or come twice. Raises KeyError for an unknown name,
    ValueError for a square that does not fit or an n below 1.
    """
    picture = _decoded(name)
    pixels = torch.from_numpy(np.array(picture.convert("L") if grey else picture)).float() / 255
    pixels = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    height, width = pixels.shape[1:]
    if not 1 <= size <= min(height, width) or n < 1:
        raise ValueError(
            f"{n} squares of {size} pixels cannot be cut from {name}, {height} × {width} pixels."
        )
    generator = torch.Generator().manual_seed(seed)
    top = torch.randint(height - size + 1, (n, 1, 1), generator=generator)
    left = torch.randint(width - size + 1, (n, 1, 1), generator=generator)
    step = torch.arange(size)
    rows, columns = top + step[:, None], left + step  # (n, size, 1) and (n, 1, size)
    return pixels[:, rows, columns].transpose(0, 1).contiguous()


def raw() -> tuple[Tensor, dict]:
    """Every pixel of every photo as one row of uint8, with ``names`` and ``shapes`` (H, W, C)."""
    arrays = [np.array(_decoded(name)) for name in FILES]
    known = {"names": list(FILES), "shapes": [list(array.shape) for array in arrays]}
    return torch.from_numpy(np.concatenate([array.ravel() for array in arrays])), known


def fingerprint(pixels: Tensor, known: dict) -> str:
    """The SHA-256 of the pixels and then of the names and shapes."""
    return sha256(pixels.numpy().tobytes(), repr((known["names"], known["shapes"])).encode())


@functools.lru_cache(maxsize=len(FILES))
def _decoded(name: str) -> Image.Image:
    """A photo as Pillow has it, mode "L" or "RGB"; not to be written to."""
    with Image.open(source(name)) as file:
        return file.convert("L" if file.mode == "L" else "RGB")


def _scaled(name: str, size: int | None) -> Image.Image:
    picture = _decoded(name).convert("RGB")
    if size is None:
        return picture
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), Image.Resampling.LANCZOS, box)


def _check_size(size: int | None) -> None:
    whole = isinstance(size, int) and not isinstance(size, bool)
    if size is not None and not (whole and SMALLEST <= size <= LARGEST):
        raise ValueError(
            f"size={size!r} is not None or a whole number from {SMALLEST} to {LARGEST}."
        )
