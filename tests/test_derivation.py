"""The bench of derivations: the corpus of true and broken links, and what must not harm it."""

import json
import time

import pytest
import sympy
import torch
from derivation_corpus import LINKS

from genart_lessons import explore
from genart_lessons.derivation import Derivation, Line, World, WorldError, worked
from genart_lessons.derivation import chain as chain_module
from genart_lessons.derivation.chain import as_line


def found(world, left, right, relation="=", **given):
    """The finding on one link."""
    return Derivation(world, [left, (relation, right)]).check(**given).findings[0]


# --- The corpus ---------------------------------------------------------------------------------


def test_every_link_of_the_corpus_is_judged_rightly(monkeypatch, capsys):
    monkeypatch.setattr(chain_module, "_with_mend", lambda finding, *rest: finding)  # for speed
    chain_module._link.cache_clear()
    states = [found(k.world, k.left, k.right, k.relation).state for k in LINKS]
    chain_module._link.cache_clear()
    true = [s for s, k in zip(states, LINKS, strict=True) if k.holds]
    wrong = [s for s, k in zip(states, LINKS, strict=True) if not k.holds]
    with capsys.disabled():
        print(f"\ntrue: {len(true)}, {true.count('holds')} accepted, {true.count('undecided')} "
              f"undecided; broken: {len(wrong)}, {wrong.count('broken')} rejected, "
              f"{wrong.count('undecided')} undecided")  # fmt: skip
    assert len(true) >= 60 and len(wrong) >= 60
    refused = [str(k) for s, k in zip(states, LINKS, strict=True) if k.holds and s == "broken"]
    taken = [str(k) for s, k in zip(states, LINKS, strict=True) if not k.holds and s == "holds"]
    assert refused == [] and taken == []
    assert sum(s == "undecided" for s in states) <= 0.1 * len(states)


def test_the_corpus_is_of_different_links():
    assert len({k[2:6] for k in LINKS}) == len(LINKS)
    assert len({k.slip for k in LINKS}) >= 25


@pytest.mark.parametrize(
    ("world", "left", "right", "mend"),
    [
        ("mu real\nsigma > 0", r"D_{KL}(\mathcal{N}(\mu,\sigma^2)\Vert\mathcal{N}(0,1))",
         r"-\frac12(\mu^2+\sigma^2-1-\log\sigma^2)", "sign of the whole"),
        ("x in {1..4}\np(x)\nq(x)", r"-\sum_x p(x)\log q(x)", r"H(p)+D_{KL}(q\Vert p)",
         "changed places"),
        ("u, v in R^d", r"\Vert u-v\Vert^2", r"\Vert u\Vert^2-u^\top v+\Vert v\Vert^2", "factor 2"),
        ("a, b real", "(a+b)^2", "a^2-2ab+b^2", "sign"),
        ("sigma > 0\nmu real", r"\mu^2+\sigma^2", r"\mu^2+\sigma", "squared"),
        ("A in R^{n x n}\nu, b in R^n", r"\nabla_u\Vert Au-b\Vert^2", "2A(Au-b)", "transposed"),
    ],
)  # fmt: skip
def test_a_known_slip_is_named(world, left, right, mend):
    finding = found(world, left, right)
    assert finding.state == "broken" and mend in finding.mend


def test_what_would_mend_a_proportion_is_found_soon():
    start = time.monotonic()
    finding = found("x in R\nmu real\nsigma > 0", r"\mathcal{N}(x;\mu,\sigma^2)",
                    r"e^{-(x+\mu)^2/(2\sigma^2)}", "∝ x")  # fmt: skip
    assert finding.state == "broken" and "sign" in finding.mend
    assert time.monotonic() - start < 3


# --- Nasty links: never called right where they are wrong, nor wrong where they are right --------

NASTY = [
    ("mu real", r"10^{-12}\mu", "=", r"2\cdot10^{-12}\mu"),
    ("mu real", r"\pi", "=", "3.14159265"),
    ("mu real", r"\mu", "≤", "100"),
    ("sigma > 0", r"\sigma", "≥", "0.01"),
    ("A in R^{n x n}", "A A", "=", r"\mathrm{tr}(A)A-\det(A)I"),  # for 2 by 2 only
    ("A in R^{c x n}", r"A A^\top", "=", r"A^\top A"),  # lengths are told apart
    ("u in R^d", "(d-2)(d-3)", "=", "0"),
    ("f : R -> R convex\nx in R", "f(x)", "≥", "0"),
    ("f : R -> R\nx in R", "f(x)", "≤", "20"),
    ("X random independent\nY, Z random", r"\mathbb{E}[YZ]", "=", r"\mathbb{E}[Y]\mathbb{E}[Z]"),
    ("X random mean 0 variance 1", r"\mathbb{E}[X^4]", "=", r"1+\mathbb{E}[X^3]^2"),
    ("X random", r"\mathbb{E}[X^4]", "≤", "10000"),
    ("x in {1..4}\np(x)\nq(x)", r"JSD(p\Vert q)", "≤", "0.6"),
    ("x in {1..4}\np(x)", "H(p)", "≥", "0.05"),
    ("x in {1..4}\np(x)\nq(x)", r"D_{KL}(p\Vert q)", "≥", r"0.55(\sum_x|p(x)-q(x)|)^2"),
    ("x in R\np(x)", r"\int p(x)^2\,dx", "≤", "1"),
    ("x in R", r"\int_{-1}^{1}\frac1x\,dx", "=", "0"),  # only by symmetry
    ("x in R", r"\int\frac{x}{1+x^2}\,dx", "=", "0"),
    ("x in R", r"\int_0^\infty\frac{1}{1+x}\,dx", "=", "7"),
    ("x in R\nZ = \\int\\frac{x}{1+x^2}\\,dx", "Z", "=", "0"),  # hidden in a definition
    ("x in R\nsigma > 0", r"\int e^{-|x|/\sigma}\,dx", "=", r"2.0001\sigma"),
    ("A in R^{n x n} invertible", r"\Vert A\Vert_F", "≥", "2"),
    ("A in R^{n x n} positive\nu in R^n", r"u^\top A u", "≥", r"0.3\,u^\top u"),
    ("0 < h < 0.5", "1+h", "≈ h", "1.0005"),
    ("x in {1..4}\nz in {1..3}\np(x, z)", r"p(z\mid x)", "∝ x", "p(x,z)"),
]

GOOD = [
    ("a real", r"e^{100a}e^{-100a}", "=", "1"),
    ("a real", r"\log(e^{1000a})", "=", "1000a"),
    ("a real", r"e^a", "≥", "1+a"),
    ("a, b real", r"\max(a,b)", "=", r"\frac{a+b+|a-b|}{2}"),
    ("f : R -> R increasing convex\na real\nb > 0", "f(a+b)", "≥", "f(a)"),
    ("A, B in R^{n x n} invertible", r"A^{-1}-B^{-1}", "=", r"A^{-1}(B-A)B^{-1}"),
    ("A in R^{n x n}", r"\det(2A)", "=", r"2^n\det(A)"),
    ("W in R^{n x n} orthogonal\nF in R^{c x n}", r"W^\top W", "=", "I"),
    ("x in {1..4}\np(x)\nf(x) real", r"\sum_x\sum_{x'}p(x)p(x')(f(x)-f(x'))^2", "=",
     r"2\sum_x p(x)f(x)^2-2\left(\sum_x p(x)f(x)\right)^2"),
    ("x in R\np(x)\nq(x)", r"\int|p(x)-q(x)|\,dx", "≤", "2"),
    ("x in R\nsigma > 0", r"\int e^{-|x|/\sigma}\,dx", "=", r"2\sigma"),
    ("x in R", r"\int_0^1\log(x)\,dx", "=", "-1"),
    ("n in 1..5", r"\sum_{i=1}^n i^2", "=", r"\frac{n(n+1)(2n+1)}{6}"),
    ("x in R", r"\int_0^\infty\frac{1}{(1+x)^2}\,dx", "=", "1"),
    ("x in R", r"\int \frac{1}{\pi(1+x^2)}\,dx", "=", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("world", "left", "relation", "right"), NASTY)
def test_a_wrong_link_is_never_held(world, left, relation, right):
    assert found(world, left, right, relation).state in {"broken", "undecided"}


@pytest.mark.parametrize(("world", "left", "relation", "right"), GOOD)
def test_a_true_link_is_never_broken(world, left, relation, right):
    assert found(world, left, right, relation).state in {"holds", "undecided"}


def test_a_wrong_domain_is_broken_and_says_where_it_holds():
    finding = found("a real", r"\log a^2", r"2\log a")
    assert finding.state == "broken" and "only one of the two sides" in finding.said
    assert finding.assumes == "it holds where a > 0"
    assert found("mu real", r"\sqrt{\mu^2}", r"\mu").assumes == "it holds where mu > 0"


def test_a_counterexample_can_be_put_in_by_hand():
    finding = found("a, b > 0", r"\log(a+b)", r"\log a+\log b")
    numbers = dict(part.split(" = ") for part in finding.where.split(", "))
    a, b = float(numbers["a"]), float(numbers["b"])
    left, right = sympy.log(a + b), sympy.log(a) + sympy.log(b)
    assert float(left) == pytest.approx(finding.left, rel=0.02, abs=0.02)
    assert float(right) == pytest.approx(finding.right, rel=0.02, abs=0.02)


# --- Robustness ---------------------------------------------------------------------------------

WORLD = "mu real\nsigma > 0\nx in R\ny in R\nz in R\nn in 1..5"
UNREADABLE = [
    "", "é", "\\", r"\frac", r"\frac{1}", r"\sum", r"\int x", "x_", "^2", r"\mu \cdot", "\x00",
    r"\mu\,(\sigma^{-1}", "(" * 500 + "1" + ")" * 500, r"p(x)", r"\mathbb{E}_{q}[x]", "1" * 200,
    r"__import__('os').system('ls')", r"\mathrm{tr}(", "μ ∈ ∅",
    r"\frac{\partial}{\partial w}\mu", r"D_{KL}(", "H(", r"\sqrt[", "x'", "{" * 90, "|" * 7,
]  # fmt: skip


@pytest.mark.parametrize("formula", UNREADABLE)
def test_what_cannot_be_read_is_undecided_and_says_where(formula):
    finding = found(WORLD, "1", formula)
    assert finding.state == "undecided" and finding.said
    assert found(WORLD, formula, "1").state == "undecided"


def test_malformed_latex_points_at_the_place():
    finding = found(WORLD, r"\frac{\mu}{\sigma}", r"\mu\,(\sigma^{-1}")
    assert finding.place == 5 and "never closed" in finding.said and "^" in finding.said


HOSTILE = [
    r"9^{9^{9^{9}}}", r"10^{400}", r"\mu" + r"+\mu" * 2000, r"\sum_{i=1}^{1000000} i",
    r"\int\int\int \mathcal{N}(x;0,1)\mathcal{N}(y;0,1)\mathcal{N}(z;0,1)\,dx\,dy\,dz",
    r"\sum_{i=1}^{20}\sum_{j=1}^{20}\sum_{k=1}^{20}\sum_{l=1}^{20} ijkl",
]  # fmt: skip


@pytest.mark.parametrize("formula", HOSTILE)
def test_a_hostile_expression_is_stopped(formula):
    start = time.monotonic()
    finding = found(WORLD, formula, r"1", seconds=1.0)
    assert finding.state in {"undecided", "broken"}
    assert time.monotonic() - start < 4
    again = time.monotonic()
    assert found(WORLD, formula, r"1", seconds=1.0) == finding  # it is known now
    assert time.monotonic() - again < 0.2
    assert found(WORLD, r"\mu", r"\mu").ok  # nothing was harmed


@pytest.mark.parametrize(
    "text",
    ["x in {1..99}", "p(x)", "x in R^9", "x real\nx real", "n in 5..1", "a < b", "1 = 2", "q = ",
     "x in {1..3}\np(x)\np(x)", "f : R -> R^2", "x random foo", "A in R^{2 x 3} symmetric",
     "0 < a < 0", "x in {1..4}\nS(x) real extra", "é > 0", "x" * 5000,
     "X random positive mean 0", "f : R -> R wiggly"],
)  # fmt: skip
def test_a_world_that_cannot_be_read_is_told(text):
    with pytest.raises(WorldError):
        derivation = Derivation(text, ["1", ("=", "1")])
        if "q = " in text:  # a definition is read when it is used
            raise WorldError(derivation.check().findings[0].said)


def test_the_generators_of_the_reader_are_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    chain_module._link.cache_clear()
    found("mu real", r"\mu+1", r"1+\mu")
    assert torch.equal(torch.rand(3), expected)


# --- Chains, files, exports ---------------------------------------------------------------------


@pytest.mark.parametrize("name", worked.names())
def test_a_worked_derivation_holds_and_its_twin_breaks_at_its_line(name):
    assert worked.right(name).check().ok
    report = worked.broken(name).check()
    assert report.broken == [worked.slip(name)] and not report.ok


def test_there_are_six_worked_ones_and_no_others():
    assert len(worked.names()) == 6
    with pytest.raises(LookupError, match="no worked derivation"):
        worked.right("perpetual motion")


def test_two_equal_runs_give_equal_reports():
    first = worked.broken("evidence bound").check()
    chain_module._link.cache_clear()
    assert worked.broken("evidence bound").check() == first


def test_an_edit_is_looked_at_within_a_second():
    derivation = worked.right("normal divergence")
    derivation.check()
    seconds = []
    for formula in (
        r"\frac12(\sigma^2+\mu^2)",
        r"\frac{\sigma^2+\mu^2}{2}",
        r"\frac12\sigma^2+\frac12\mu^2",
    ):
        start = time.monotonic()
        report = derivation.edited(5, r"-\frac12\log\sigma^2-\frac12+" + formula).check()
        seconds.append(time.monotonic() - start)
        assert report.ok
    assert min(seconds) < 1


def test_a_chain_may_be_of_sympy():
    mu, sigma = sympy.symbols("mu sigma")
    square = Derivation("mu real\nsigma > 0", [
        (mu + sigma) ** 2, ("=", sympy.expand((mu + sigma) ** 2)), ("=", mu**2 + sigma**2),
    ])  # fmt: skip
    assert [f.state for f in square.check().findings] == ["holds", "broken"]


def test_it_is_saved_and_read_again(tmp_path):
    path = tmp_path / "chain.json"
    derivation = worked.broken("gram matrix")
    derivation.save(path)
    assert Derivation.load(path) == derivation
    assert [p.name for p in tmp_path.iterdir()] == ["chain.json"]  # nothing half-written is left


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 99}', '{"format": 1}', "\x00\x01"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "broken.json"
    path.write_text(damage, "utf-8")
    with pytest.raises(ValueError, match="broken.json"):
        Derivation.load(path)
    with pytest.raises(FileNotFoundError):
        Derivation.load(tmp_path / "none.json")


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "chain.json"
    worked.right("evidence bound").save(path)
    before = path.read_text("utf-8")
    bad = Derivation("mu real", ["1", ("=", "1")])
    monkeypatch.setattr(json, "dumps", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError):
        bad.save(path)
    assert path.read_text("utf-8") == before


def test_it_is_exported():
    derivation = worked.right("normal divergence")
    latex = derivation.to_latex()
    assert latex.startswith("\\begin{align*}") and latex.count("&=") == len(derivation.lines) - 1
    markdown = worked.broken("normal divergence").to_markdown()
    assert markdown.count("$$") == 2 * len(derivation.lines)
    assert markdown.count("✘") == 2 and "✔" in markdown  # the wrong line, and the one after it
    table = derivation.check()._repr_markdown_()
    assert all(row.startswith("|") for row in table.splitlines()[2:])


def test_a_line_is_checked_when_it_is_made():
    assert as_line(("<=", "1", "why")) == Line("1", "≤", "why")
    for bad in (("", "1"), ("≠", "1"), ("=", 3), (), ("=", "1", "2", "3")):
        with pytest.raises(ValueError):
            as_line(bad)
    with pytest.raises(ValueError, match="at most"):
        Derivation("mu real", ["1", *[("=", "1")] * 70])
    with pytest.raises(ValueError, match="no line 9"):
        Derivation("mu real", ["1"]).edited(9, "2")


def test_what_the_world_draws_keeps_its_promises():
    world = World("A in R^{n x n} positive\nP in R^{n x n} permutation\n0 < a < 1\nsigma > 0\n"
                  "x in {1..4}\np(x)\nX random mean 0 variance 1\nu in R^c\nv in R^n")  # fmt: skip
    for scene in world.scenes(wide=True):
        n = scene.numbers
        assert bool((torch.linalg.eigvalsh(n["A"]) > 0).all())
        assert bool((n["P"] @ n["P"].mT == torch.eye(n["P"].shape[1])).all())
        assert bool(((n["a"] >= 0) & (n["a"] <= 1) & (n["sigma"] > 0)).all())
        torch.testing.assert_close(scene.joints["p"].table.sum(1), torch.ones(48).double())
        mean = (scene.weights * n["X"]).sum(0)
        assert float(mean.abs().max()) < 1e-9
        assert n["u"].shape != n["v"].shape  # lengths with two names are two lengths


# --- The face -----------------------------------------------------------------------------------


def test_the_bench_works_without_a_browser(tmp_path):
    bench = explore.derivation(worked.broken("best discriminator"), tmp_path / "d.json")
    assert not bench.report.ok
    wrong = worked.slip("best discriminator")
    right = worked.right("best discriminator").lines[wrong - 1].formula
    assert bench.set(wrong, right).ok
    bench.add()
    assert bench.report.ok and len(bench.derivation.lines) == 7
    bench.remove()
    bench.world = "x in {1..9}"
    assert "2 to 6 values" in bench.said and bench.report.ok  # the last good world stays
    bench.save()
    assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".tex", ".md"}
    shown = bench._bundle()
    assert "text/markdown" in shown and "all 5 links hold" in shown["text/plain"]


def test_an_edited_field_is_a_checked_line():
    bench = explore.derivation(worked.right("gram matrix"))
    row = bench._lines.children[1]
    formula = next(c for c in row.children if getattr(c, "tooltip", None))
    formula.value = r"\frac{1}{n}\mathrm{tr}(FF^\top)"
    assert bench.derivation.lines[1].formula == formula.value
    assert bench.report.broken or not bench.report.ok
