"""genart_lessons: the helper package of a course in generative AI for art.

Rooms, in their order of dependence (each imports only from those before it):
``runtime``, ``data``, ``proof``, ``derivation``, ``equations``, ``models``, ``training``,
``ledger``, ``show``, ``explore``, ``launcher``. Nothing heavy is imported until a room is entered:
``import genart_lessons`` works with the standard library alone, because the launcher must start
before anything is installed.
"""

import importlib

__version__ = "0.1.0"

_ROOMS = (
    "runtime", "results", "data", "proof", "derivation", "equations", "models", "training",
    "ledger", "show", "explore",
)  # fmt: skip
_SHORTCUTS = {"verify": "equations"}  # what every chapter needs, one name away


def __getattr__(name: str):
    if name in _SHORTCUTS:
        return getattr(importlib.import_module(f"{__name__}.{_SHORTCUTS[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(__dir__())}"
    )


def __dir__():  # no annotation: an old Python must be able to read this, to say it is too old
    return sorted(["__version__", *_SHORTCUTS, *_ROOMS])
