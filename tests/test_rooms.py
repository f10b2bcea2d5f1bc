"""The rooms of the package: who imports whom, what is never imported, how fast the door opens."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "genart_lessons"
ORDER = (
    "runtime",
    "data",
    "proof",
    "derivation",
    "equations",
    "models",
    "training",
    "ledger",
    "show",
    "explore",
    "launcher",
)
BELONGS = {"results": "runtime", "__main__": "launcher", "verify": "equations"}
NETWORK = {"requests", "urllib", "http", "socket", "ftplib", "httpx", "aiohttp", "huggingface_hub"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
STARTING = ("__main__.py", "launcher/__init__.py", "launcher/commands.py",
            "launcher/environment.py", "launcher/requirements.py", "runtime.py")  # fmt: skip


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str | None:
    """The room that a file belongs to; None for the package's own ``__init__``."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return None if first == "__init__" else BELONGS.get(first, first)


def imports(tree: ast.AST, package: str = "genart_lessons") -> list[tuple[int, str]]:
    """(line, dotted name) of all that is imported, wherever it stands, also by import_module."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            whole = ".".join(filter(None, [base, node.module]))
            found += [(node.lineno, f"{whole}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
            found += [(node.lineno, str(name)) for name in names]
    return found


def dotted(path: Path) -> str:
    """The dotted name of the package that a file's relative imports start from."""
    return ".".join(["genart_lessons", *path.relative_to(PACKAGE).parent.parts])


def looks_up(room: str, tree: ast.AST, package: str = "genart_lessons") -> list[str]:
    """The imports of a room that reach a later room."""
    wrong = []
    for line, name in imports(tree, package):
        parts = name.split(".")
        if parts[0] != "genart_lessons" or len(parts) < 2:
            continue
        other = BELONGS.get(parts[1], parts[1])
        if other in ORDER and ORDER.index(other) > ORDER.index(room):
            wrong.append(f"line {line}: {room} imports {name}")
    return wrong


def dangers(tree: ast.AST, network: bool = False) -> list[str]:
    """Pickles, and (unless allowed) the network."""
    found = []
    for line, name in imports(tree):
        top = name.split(".")[0]
        if top in PICKLES or (top in NETWORK and not network):
            found.append(f"line {line}: imports {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            pickled = any(
                k.arg == "allow_pickle" and getattr(k.value, "value", None) is not False
                for k in node.keywords
            )
            safe = any(
                k.arg == "weights_only" and getattr(k.value, "value", None) is True
                for k in node.keywords
            )
            if called in ("pd.read_pickle", *(() if safe else ("torch.load",))) or pickled:
                found.append(f"line {node.lineno}: calls {called}")
    return found


def parse(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_room_has_its_place_in_the_order():
    rooms = {room_of(path) for path in sources()} - {None}
    assert rooms <= set(ORDER), (
        f"rooms that tests/test_rooms.py does not know: {rooms - set(ORDER)}"
    )


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_from_rooms_above_it(path):
    room = room_of(path)
    if room is not None:
        assert not looks_up(room, parse(path), dotted(path))


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_pickle_is_loaded_and_no_network_is_asked(path):
    is_port_check = path == PACKAGE / "launcher" / "lab.py"
    assert not dangers(parse(path), network=is_port_check)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("runtime", "import genart_lessons.data"),
        ("data", "from genart_lessons import models"),
        ("proof", "def f():\n    from genart_lessons.equations.vae import kl"),
        ("models", "from ..show import gallery"),
        ("equations", "import importlib\nimportlib.import_module('genart_lessons.training')"),
        ("data", "from genart_lessons import verify"),
    ],
)
def test_an_import_of_a_later_room_is_noticed(room, line):
    assert looks_up(room, ast.parse(line), f"genart_lessons.{room}")


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("data", "from genart_lessons import runtime, results"),
        ("training", "from genart_lessons.models.vae import VAE"),
        ("models", "from .blocks import Block\nimport torch"),
    ],
)
def test_an_import_of_an_earlier_room_is_not(room, line):
    assert not looks_up(room, ast.parse(line), f"genart_lessons.{room}")


@pytest.mark.parametrize(
    "line",
    ["torch.load(path)", "torch.load(path, weights_only=False)", "import pickle", "import requests",
     "from urllib.request import urlopen",
     "np.load(p, allow_pickle=True)", "def f():\n    import socket", "from joblib import load"],
)  # fmt: skip
def test_a_danger_is_noticed(line):
    assert dangers(ast.parse(line))


def test_safe_loading_is_not_a_danger():
    assert not dangers(ast.parse("load_file(p); json.load(f); np.load(p, allow_pickle=False)"))
    assert not dangers(ast.parse("torch.load(f, weights_only=True)"))


@pytest.mark.parametrize("name", STARTING)
def test_what_runs_before_anything_is_installed_imports_the_standard_library_alone(name):
    at_start = [node for node in parse(PACKAGE / name).body if not isinstance(node, ast.If)]
    tree = ast.Module([n for n in at_start if isinstance(n, ast.Import | ast.ImportFrom)], [])
    tops = {found.split(".")[0] for _, found in imports(tree)} - {"genart_lessons"}
    assert tops <= sys.stdlib_module_names


def test_the_package_imports_fast_and_without_anything_heavy():
    probe = (
        "import sys, time; began = time.perf_counter(); import genart_lessons; "
        "took = time.perf_counter() - began; "
        "heavy = {'torch', 'numpy', 'matplotlib', 'sympy'} & set(sys.modules); "
        "assert not heavy, heavy; print(took)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(3)
    ]
    assert statistics.median(map(float, said)) < 0.3
