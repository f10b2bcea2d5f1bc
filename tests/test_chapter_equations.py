"""The chapters against the registry: every number, every formula, every exercise, both ways."""

import json
import re
from pathlib import Path

import pytest
import torch

from genart_lessons.equations import every, find, of_chapter
from genart_lessons.proof import judge

TEXTS = sorted((Path(__file__).parent.parent / "chapters" / "text").glob("*.md"))
# Not across a $$: a formula without a number may stand before one that has one.
DISPLAY = re.compile(
    r"^\$\$\s*(?P<latex>(?:(?!\$\$).)*?)\s*\\tag\{(?P<id>[^}]+)\}\s*\$\$", re.S | re.M
)
VERIFY = re.compile(r'verify\("([^"]+)"')
EXERCISE = re.compile(
    r"\*\*Exercise (?P<id>\d+\.x\d+)\*\*(?P<body>.*?)(?=\n\*\*Exercise |\n\+\+\+|\Z)", re.S
)
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.S)


def numbered(text: str) -> dict[str, str]:
    """id → LaTeX, of every numbered equation in a chapter's text."""
    return {m["id"]: m["latex"] for m in DISPLAY.finditer(text)}


def same_formula(a: str, b: str) -> bool:
    return re.sub(r"\s+", "", a) == re.sub(r"\s+", "", b)


def complaints(text: str, chapter: str) -> list[str]:
    """Where a chapter's numbered equations and the registry differ."""
    shown, known = numbered(text), {e.id: e for e in of_chapter(chapter) if not e.is_exercise}
    found = [f"({i}) is in the chapter, not in the registry" for i in shown.keys() - known.keys()]
    found += [f"({i}) is in the registry, not in the chapter" for i in known.keys() - shown.keys()]
    found += [
        f"({i}) reads {shown[i]!r} in the chapter and {known[i].latex!r} in the registry"
        for i in shown.keys() & known.keys()
        if not same_formula(shown[i], known[i].latex)
    ]
    called = set(VERIFY.findall(text))
    found += [f"({i}) is shown and never verified" for i in shown.keys() - called]
    found += [f"there is no ({i}) to verify" for i in called - {e.id for e in every()}]
    return sorted(found)


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.stem)
def test_every_equation_of_the_chapter_is_in_the_registry_and_verified(path):
    assert complaints(path.read_text(encoding="utf-8"), path.stem[:2]) == []


def test_every_chapter_of_the_registry_exists():
    assert {e.chapter for e in every()} <= {p.stem[:2] for p in TEXTS}


WITH_NUMBERS = [path for path in TEXTS if numbered(path.read_text(encoding="utf-8"))]


def test_only_the_ledger_has_no_equations_of_its_own():
    assert [path.stem[:2] for path in TEXTS if path not in WITH_NUMBERS] == ["13"]


@pytest.mark.parametrize("path", WITH_NUMBERS, ids=lambda p: p.stem)
def test_the_comparison_can_fail(path):
    text, chapter = path.read_text(encoding="utf-8"), path.stem[:2]
    first = next(iter(numbered(text)))
    changed = text.replace(numbered(text)[first], numbered(text)[first] + "+1", 1)
    assert any("reads" in c for c in complaints(changed, chapter))
    assert any(
        "never verified" in c for c in complaints(text.replace(f'verify("{first}"', "f("), chapter)
    )
    renumbered = text.replace(f"\\tag{{{first}}}", r"\tag{9.99}")
    assert len(complaints(renumbered, chapter)) >= 2


def exercises() -> list[tuple[str, str]]:
    found = [m for path in TEXTS for m in EXERCISE.finditer(path.read_text(encoding="utf-8"))]
    return [(m["id"], m["body"]) for m in found]


def test_every_exercise_of_the_registry_is_set_in_its_chapter():
    assert sorted(i for i, _ in exercises()) == sorted(e.id for e in every() if e.is_exercise)


@pytest.mark.parametrize(("id", "body"), exercises(), ids=lambda v: v if len(v) < 8 else "")
def test_the_solution_is_accepted_and_the_stub_is_not_tried(id, body):
    stub = re.search(r"```\{code-cell\}.*?:tags: \[exercise\]\n(.*?)```", body, re.S)
    assert stub and "..." in stub[1] and f'verify("{id}"' in stub[1], "no stub cell"
    assert "<summary>Hint" in body, "no hint"
    assert re.search(r"\(★[★☆]{2}, \d+ min(utes)?\)|difficulty ★", body), (
        "no difficulty, no minutes"
    )
    solution = SOLUTION.search(body)
    assert solution, "no solution"
    name = re.search(rf'verify\("{id}", (\w+)\)', stub[1])[1]
    assert judge(find(id), run(stub[1], name)).ok is None
    verdict = judge(find(id), run(solution[1], name))
    assert verdict.ok is True, verdict


def run(code: str, name: str):
    import math

    space = {"torch": torch, "math": math, "verify": lambda *_: None}
    exec(code, space)
    return space[name]


OF_THE_LEDGER = re.compile(r"[✔✘○] [A-ELS]\d+[: ]")  # a row's verdict is on what was printed


def misjudged(notebook: dict) -> list[str]:
    """Cells whose verdict is not what the chapter means to show.

    A cell tagged ``refused`` must show ✘, one tagged ``exercise`` ○, and every other verdict ✔.
    """
    found = []
    for cell in notebook["cells"]:
        tags = cell.get("metadata", {}).get("tags", [])
        wanted = "✘" if "refused" in tags else "○" if "exercise" in tags else "✔"
        outputs = [o.get("data", {}).get("text/plain", "") for o in cell.get("outputs", [])]
        outputs = ["".join(text) for text in outputs]
        shown = [t[0] for t in outputs if t[:1] in set("✔✘○") and not OF_THE_LEDGER.match(t)]
        if ("refused" in tags or "exercise" in tags) and not shown:
            found.append(f"no verdict: {''.join(cell['source'])[:60]}")
        found += [f"{mark}: {''.join(cell['source'])[:60]}" for mark in shown if mark != wanted]
    return found


NOTEBOOKS = sorted((Path(__file__).parent.parent / "chapters").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_verdicts_in_the_notebook_are_the_ones_that_are_meant(path):
    assert misjudged(json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(("tags", "mark", "right"), [
    ([], "✔", True), ([], "✘", False), ([], "○", False),
    (["refused"], "✘", True), (["refused"], "✔", False), (["refused"], "", False),
    (["exercise"], "○", True), (["exercise"], "✔", False),
])  # fmt: skip
def test_a_verdict_that_is_not_meant_is_found(tags, mark, right):
    outputs = [{"data": {"text/plain": f"{mark} (1.1) …"}}] if mark else []
    cell = {"source": "verify(…)", "metadata": {"tags": tags}, "outputs": outputs}
    assert (misjudged({"cells": [cell]}) == []) is right
