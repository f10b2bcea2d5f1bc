"""The ledger: every row runs anew, and none has evidence that cannot fail."""

import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from genart_lessons import ledger
from genart_lessons.derivation import Derivation
from genart_lessons.equations import find
from genart_lessons.ledger import Accepts, Chain, Paper, Rejects, Seen, Shown
from genart_lessons.ledger.evidence import printed
from genart_lessons.ledger.row import CORRECTED, FAILS, HOLDS, Row
from genart_lessons.models import listings

TEXT = Path(__file__).parents[1] / "chapters" / "text"
ROWS = ledger.rows()
FORMULAS = (
    "A1 A2 A3 A4 A5 B1 B2 B3 B4 B5 B6 B7 C1 C2 C3 C4 C5 "
    "D1 D2 D3 D4 D5 D6 D7 D8 D9 D10 E1 E2 E3 E4 E5"
).split()


def by_id(row):
    return row.id


# -- the whole ledger ------------------------------------------------------------------------------


def test_nothing_is_left_out():
    assert [row.id for row in ROWS if row.kind == "formula"] == FORMULAS
    assert [row.id for row in ROWS if row.kind == "statement"] == [f"S{k}" for k in range(1, 17)]
    assert [row.id for row in ROWS if row.kind == "listing"] == ["L1", "L2"]
    assert sum(ledger.summary().values()) == len(ROWS) == 50


@pytest.mark.parametrize("row", ROWS, ids=by_id)
def test_every_verdict_stands_and_every_control_comes_out_the_other_way(row):
    outcome = row.run()
    assert outcome, repr(outcome)
    assert any(finding.runs for finding in outcome.findings), "nothing of it is computed"
    if row.verdict == FAILS:
        assert outcome.counterexamples, "no counterexample"
    assert all(finding.says and finding.control_says for finding in outcome.findings)
    assert row.id in repr(outcome) and row.verdict in outcome._repr_markdown_()


@pytest.mark.parametrize("row", ROWS, ids=by_id)
def test_a_row_says_what_it_should_be_and_where_it_is_treated(row):
    assert bool(row.corrected) == (row.verdict in (CORRECTED, FAILS))
    assert re.fullmatch(r"0[1-9]|1[0-2]", row.chapter)
    assert row.printed.count("$") % 2 == row.corrected.count("$") % 2 == 0
    assert row.where.startswith(row.id[0]) or row.kind != "formula"


def test_history_is_told_by_primary_papers():
    papers = ledger.row("S6").papers
    assert {"Ramesh et al., 2022", "Rombach et al., 2022"} <= {p.citation for p in papers}
    assert all(p.url.startswith("https://arxiv.org/abs/") for p in papers)
    assert "adversarial" in ledger.row("S6").note  # fair: the first stage has such a loss


# -- pages and ledger say the same -----------------------------------------------------------------

STARTS = {  # how the pages begin a verdict
    "does not hold": FAILS, "not as it is written": FAILS, "computes what it says": FAILS,
    "holds with a correction": CORRECTED, "holds in part": CORRECTED, "misleading": CORRECTED,
    "holds": HOLDS,
}  # fmt: skip


def on_pages(chapter):
    """label → the verdicts on the chapter's page, as the ledger words them."""
    (path,) = TEXT.glob(f"{chapter}_*.md")
    found = {}
    table = path.read_text(encoding="utf-8").partition("What the articles said")[2]
    for line in table.partition("## Summary")[0].splitlines():
        cells = [part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 3:
            continue
        start = next((v for words, v in STARTS.items() if cells[2].startswith(words)), None)
        for label in re.findall(r"\b(?:[ABCDE]\d{1,2}|S\d{1,2})\b", cells[0]):
            found.setdefault(label, []).append(start)
    return found


@pytest.mark.parametrize("row", [r for r in ROWS if r.chapter < "09"], ids=by_id)
def test_the_page_of_the_chapter_gives_the_same_verdict(row):
    if row.kind == "listing":
        return  # chapter 13 runs them
    if row.id == "S6":
        pytest.skip("a matter of history, told in chapter 13 alone")
    said = on_pages(row.chapter)[row.id]
    mixed = set(said) == {HOLDS, FAILS}  # a formula that holds, and a word on it that does not
    assert said and None not in said
    assert row.verdict == (CORRECTED if mixed else said[0]), (row.id, said)


def test_a_page_with_another_verdict_would_be_noticed():
    assert on_pages("03")["C4"] == [FAILS] and on_pages("03")["B3"] == [HOLDS]
    assert on_pages("04")["A4"] == [FAILS] and on_pages("06")["E4"] == [HOLDS, FAILS]


# -- evidence that must be able to fail ------------------------------------------------------------


def wrong_seen(ok=True, control=True):
    return Shown(lambda: Seen(ok, "this", control, "that", "case"))


@pytest.mark.parametrize(
    "evidence",
    [
        Accepts("3.7", r"-\frac12(\mu^2+\sigma^2-1-\log\sigma^2)"),
        Accepts("4.13", printed("4.13", "S13")),
        Rejects("3.7", r"\frac12(\mu^2+\sigma^2-1-\log\sigma^2)"),
        Rejects("3.7", r"-\frac12(\mu^2+\sigma^2-1-\log\sigma^2)", "some other reason"),
        wrong_seen(ok=False),
        wrong_seen(control=False),
        Paper("Somebody", "https://arxiv.org/abs/2204.06125", "a sentence that is long enough"),
        Paper("Ramesh et al., 2022", "somewhere", "a sentence that is long enough"),
    ],
)
def test_evidence_fails_where_it_should(evidence):
    assert not evidence.run()


def test_a_chain_fails_where_its_derivation_is_broken_or_its_twin_is_not():
    right = Derivation("a real", ("(a+1)^2", ("=", "a^2+2a+1")))
    broken = Derivation("a real", ("(a+1)^2", ("=", "a^2+1")))
    assert Chain(right, broken).run() and Chain(broken, right, holds=False).run()
    assert Chain(broken, right, holds=False).run().counterexample
    assert not Chain(broken, right).run() and not Chain(right, right).run()
    assert not Chain(broken, broken).run()


def test_a_verdict_that_the_evidence_does_not_bear_out_falls():
    wrong = Row("C4", "C", "$x$", HOLDS, "03", (Accepts("3.11", printed("3.11", "C4")),))
    assert not wrong.run() and "DOES NOT STAND" in repr(wrong.run())
    bare = Row("C4", "C", "$x$", FAILS, "03", (Accepts("3.11"),), corrected="$y$")
    assert all(bare.run().findings) and not bare.run()  # refuted without a counterexample


@pytest.mark.parametrize(
    ("change", "said"),
    [({"verdict": "perhaps"}, "is none of"), ({"evidence": ()}, "needs evidence"),
     ({"verdict": FAILS}, "what it should be")],
)  # fmt: skip
def test_a_row_that_makes_no_sense_is_refused(change, said):
    given = {"verdict": HOLDS, "evidence": (Accepts("3.7"),), **change}
    with pytest.raises(ValueError, match=said):
        Row(id="A1", where="A", printed="$x$", chapter="03", **given)


def test_what_is_asked_for_and_not_there():
    with pytest.raises(LookupError, match="D10"):
        ledger.row("D11")
    with pytest.raises(LookupError, match="begin with A"):
        ledger.rows("Z")
    with pytest.raises(LookupError, match="knows 1 slips"):
        printed("3.11", "C4", 1)


def test_equations_that_answer_a_source_are_in_its_row():
    """Every source that the registry names is a label of the ledger."""
    for row in ROWS:
        for each in row.evidence:
            if isinstance(each, Accepts | Rejects):
                assert find(each.equation).near_misses, f"{row.id}: nothing to control it by"


# -- tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["A", "B", "C", "D", "E", "S", "L"])
def test_a_table_has_a_line_for_each_row_and_six_cells_in_each(letter):
    lines = str(ledger.table(letter)).splitlines()
    assert len(lines) == 2 + len(ledger.rows(letter))
    assert Counter(line.count("|") for line in lines) == {7: len(lines)}


def test_a_table_of_outcomes_says_whether_they_stood():
    made = ledger.table([ledger.row("B3").run(), ledger.row("C1").run()])
    assert "stands: 1 of 1 checks" in made and "stands: 2 of 2 checks" in made
    assert made._repr_markdown_() == str(made)


# -- the listings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trace", "line", "numbers"),
    [(listings.run_l1, "Reshape((64, 64, 3))", "3,072"),
     (listings.run_l2, "Reshape((28, 28, 1))", "512")],
)  # fmt: skip
def test_a_listing_stops_at_its_line(trace, line, numbers):
    found = trace()
    assert found.failed.line == line and numbers in found.failed.why
    assert [step.ok for step in found.steps] == [True] * (len(found.steps) - 1) + [False]
    assert line in repr(found) and len(found.faults) == 4


def test_shapes_before_the_line_are_those_of_keras():
    shapes = [step.shape for step in listings.run_l1().steps[:-1]]
    assert shapes == ["(100,)", "(8192,)", "(8, 8, 128)", "(16, 16, 128)", "(16, 16, 128)",
                      "(32, 32, 3)"]  # fmt: skip


@pytest.mark.parametrize(
    ("side", "kernel", "stride"), [(28, 4, 2), (7, 4, 2), (9, 5, 3), (8, 3, 1)]
)
def test_same_padding_is_keras(side, kernel, stride):
    torch.manual_seed(0)
    x = torch.randn(2, 3, side, side)
    layer = listings.SameConv2d(3, 5, kernel, stride)
    made = layer(x)
    assert made.shape[2:] == (-(-side // stride),) * 2
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    before = total // 2  # TensorFlow: what is odd goes to the end
    padded = F.pad(x, (before, total - before) * 2)
    patch = padded[:, :, :kernel, :kernel]
    by_hand = (patch[:, None] * layer.weight).sum((2, 3, 4)) + layer.bias
    assert torch.allclose(made[:, :, 0, 0], by_hand, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(5, 2), (4, 2), (3, 1), (2, 3)])
def test_a_transposed_convolution_is_the_transpose_of_the_convolution(kernel, stride):
    torch.manual_seed(0)
    small, large = torch.randn(1, 3, 4, 4), torch.randn(1, 5, 4 * stride, 4 * stride)
    up = listings.SameTransposed2d(3, 5, kernel, stride)
    down = listings.SameConv2d(5, 3, kernel, stride)
    down.weight = up.weight
    torch.nn.init.zeros_(up.bias), torch.nn.init.zeros_(down.bias)
    assert up(small).shape == large.shape
    assert torch.allclose((up(small) * large).sum(), (small * down(large)).sum(), rtol=1e-4)


def test_reshape_counts_channels_last():
    x = torch.arange(24.0).reshape(1, 24)
    made = listings.reshape(x, 2, 3, 4)
    assert made.shape == (1, 4, 2, 3) and made[0, :, 0, 0].tolist() == [0, 1, 2, 3]
    assert torch.equal(listings.reshape(made, 2, 3, 4), made)
    with pytest.raises(ValueError, match="24 numbers cannot be put into"):
        listings.reshape(x, 2, 3, 5)


def test_missing_names_are_found_and_others_are_not():
    code = "import numpy as np\ndef f(a, b=1):\n    c = a + b\n    return np.sum(c) + len(d)"
    assert listings.names_missing(code) == ["d"]
    with pytest.raises(SyntaxError):
        listings.names_missing("def f(:")


def test_the_mended_listing_takes_digits_only():
    with pytest.raises(ValueError, match="takes digits"):
        listings.train_mended(torch.rand(4, 1, 28, 28))


def test_two_equal_runs_of_the_mended_listing_are_equal():
    x = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    a, b = (listings.train_mended(x, steps=3, seed=1) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
