"""Show the source code of a thing of the package, so that chapters need no copies of it."""

import inspect
import re
from pathlib import Path


class Source:
    """Source code with where it lives. Markdown in a notebook, so that the theme colours it."""

    def __init__(self, code: str, where: str, first: int):
        self.code, self.where, self.first = code, where, first

    def __repr__(self) -> str:
        return f"# {self.where}, line {self.first}\n{self.code}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        longest = max((len(run) for run in re.findall(r"`{3,}", self.code)), default=2)
        fence = "`" * (longest + 1)
        text = f"`{self.where}`, line {self.first}\n\n{fence}python\n{self.code}\n{fence}"
        return {"text/markdown": text, "text/plain": repr(self)}


def source(obj, *, lines: tuple[int, int] | None = None) -> Source:
    """The source of a function, class or module; ``lines=(2, 9)``: only these, counted from 1.

    Raises TypeError for what has no Python source and ValueError for lines that are not there.
    """
    obj = inspect.unwrap(obj) if callable(obj) else obj
    try:
        code, first = inspect.getsourcelines(obj)
        where = _where(obj)
    except (TypeError, OSError) as error:
        raise TypeError(
            f"show.source needs a function, class or module written in Python; "
            f"{type(obj).__name__} {getattr(obj, '__name__', '')!r} has no source to show."
        ) from error
    first = max(first, 1)  # 0 for a module
    if lines is not None:
        start, stop = lines
        if not 1 <= start <= stop <= len(code):
            raise ValueError(f"show.source: lines={lines}, but there are 1 to {len(code)}.")
        code, first = code[start - 1 : stop], first + start - 1
    return Source(inspect.cleandoc("\n" + "".join(code)), where, first)


def _where(obj) -> str:
    """The file, seen from the folder that holds its package: never an absolute path."""
    module = inspect.getmodule(obj)
    if module is None or module.__name__ == "__main__":
        return "this notebook"
    depth = module.__name__.count(".") + (1 if hasattr(module, "__path__") else 0)
    return "/".join(Path(inspect.getsourcefile(obj) or "").parts[-depth - 1 :])
