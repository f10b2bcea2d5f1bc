"""The ledger: what the five articles print, held against mathematics, measurement and history.

>>> from genart_lessons import ledger
>>> ledger.row("C4").run()

32 formulas, 16 statements and 2 listings; each with a verdict and with evidence that is computed
anew whenever it is asked.
"""

from collections.abc import Sequence

from genart_lessons.ledger import code, formulas, statements
from genart_lessons.ledger.evidence import (
    Accepts,
    Chain,
    Finding,
    Paper,
    Rejects,
    Seen,
    Shown,
)
from genart_lessons.ledger.row import MARKS, VERDICTS, Outcome, Row, cell

__all__ = [
    "VERDICTS", "Accepts", "Chain", "Finding", "Outcome", "Paper", "Rejects", "Row", "Seen",
    "Shown", "Table", "row", "rows", "summary", "table",
]  # fmt: skip

_ROWS = {each.id: each for each in (*formulas.ROWS, *statements.ROWS, *code.ROWS)}


def rows(of: str = "") -> list[Row]:
    """All rows, or those whose label begins with ``of``: ``rows("B")``, ``rows("S")``.

    Raises LookupError where there are none.
    """
    found = [each for id, each in _ROWS.items() if id.startswith(of)]
    if not found:
        raise LookupError(f"no row begins with {of!r}; they begin with A, B, C, D, E, S and L.")
    return found


def row(id: str) -> Row:
    """The row with this label, such as ``"C4"``. Raises LookupError, with those that exist."""
    if id not in _ROWS:
        near = [each for each in _ROWS if each[:1] == str(id)[:1].upper()] or list(_ROWS)
        raise LookupError(f"there is no row {id!r}; there are: {', '.join(near)}")
    return _ROWS[id]


def summary(of: Sequence[Row] | None = None) -> dict[str, int]:
    """How many rows have each verdict, in the order of ``VERDICTS``; all of them by default."""
    counted = rows() if of is None else of
    return {verdict: sum(each.verdict == verdict for each in counted) for verdict in VERDICTS}


class Table(str):
    """Markdown that Jupyter shows as a table and that prints as text."""

    def _repr_markdown_(self) -> str:
        return str(self)


def table(of: Sequence[Row | Outcome] | str = "") -> Table:
    """Rows as a Markdown table: label, place, verdict, what is printed, better, chapter.

    ``of``: the beginning of a label, rows, or outcomes, whose last column then says whether the
    verdict stood and what showed it.
    """
    given: Sequence[Row | Outcome] = rows(of) if isinstance(of, str) else of
    ran = any(isinstance(each, Outcome) for each in given)
    last = ("run just now",) if ran else ("chapter",)
    lines = ["| | where | printed | verdict | better | " + last[0] + " |", "|:-|:-|:-|:-|:-|:-|"]
    for each in given:
        a = each.row if isinstance(each, Outcome) else each
        end = _told(each) if isinstance(each, Outcome) else a.chapter
        cells = (f"**{a.id}**", a.where, a.printed, f"{MARKS[a.verdict]} {a.verdict}", a.corrected)
        lines.append("| " + " | ".join(cell(text) for text in (*cells, end)) + " |")
    return Table("\n".join(lines))


def _told(outcome: Outcome) -> str:
    ran = [finding for finding in outcome.findings if finding.runs]
    stood = "stands" if outcome.ok else "**does not stand**"
    return f"{stood}: {sum(map(bool, ran))} of {len(ran)} checks, each with its control"
