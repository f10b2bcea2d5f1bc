"""Is what pyproject.toml asks for installed? A small, standard-library reading of version ranges.

It understands what our own pyproject.toml uses (``>=``, ``>``, ``<=``, ``<``, ``==``, ``!=`` and
commas) and no more; tests hold it against the ``packaging`` library, which may not be there yet.
"""

import re
from collections.abc import Callable, Iterable
from importlib import metadata

_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*)")
_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*([A-Za-z0-9.+!-]+)")
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)([-_.]?(?:a|b|c|rc|alpha|beta|pre|preview|dev)[-_.]?\d*)?")


def version_key(version: str) -> tuple[tuple[int, ...], int]:
    """A key that sorts versions: ``2.13.0+cpu`` is ``2.13``; ``3.0rc1`` comes before ``3.0``."""
    match = _VERSION.match(version.strip().lower().split("+")[0])
    if match is None:
        raise ValueError(f"not a version: {version!r}")
    release = [int(part) for part in match[1].split(".")]
    while release and release[-1] == 0:
        release.pop()
    return tuple(release), 0 if match[2] else 1


def split(requirement: str) -> tuple[str, list[tuple[str, str]]]:
    """``"torch>=2.6,<3"`` → ``("torch", [(">=", "2.6"), ("<", "3")])``; or ValueError."""
    match = _REQUIREMENT.fullmatch(requirement.strip())
    clauses = [part for part in (match[2] if match else "?").split(",") if part.strip()]
    found = [_CLAUSE.fullmatch(clause.strip()) for clause in clauses]
    if match is None or None in found:
        raise ValueError(f"requirement not understood: {requirement!r}")
    return match[1], [(f[1], f[2]) for f in found if f]


def satisfies(version: str, clauses: Iterable[tuple[str, str]]) -> bool:
    """Whether ``version`` lies within every clause."""
    have = version_key(version)
    for operator, bound in clauses:
        want = version_key(bound)
        below_itself = operator == "<" and have[0] == want[0]  # PEP 440: <3 does not admit 3.0rc1
        good = {
            ">=": have >= want, "<=": have <= want, "==": have == want,
            "!=": have != want, ">": have > want, "<": have < want and not below_itself,
        }  # fmt: skip
        if not good[operator]:
            return False
    return True


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, or None; reads metadata only, imports nothing."""
    try:
        return metadata.version(name) or None
    except metadata.PackageNotFoundError:
        return None


def missing(
    requirements: Iterable[str], version_of: Callable[[str], str | None] = installed_version
) -> list[str]:
    """The requirements that the running interpreter does not meet, as short readable texts."""
    problems = []
    for requirement in requirements:
        name, clauses = split(requirement)
        have = version_of(name)
        if have is None:
            problems.append(requirement)
        elif not satisfies(have, clauses):
            problems.append(f"{requirement} (here: {have})")
    return problems
