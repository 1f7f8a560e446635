"""A table of statistics, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from factlens.moments.second import SecondMoment


def table(moments: Iterable[tuple[SecondMoment, Path]]) -> str:
    """Return statistics and their files as a table, one line for each layer."""
    head = (
        *("layer", "tokens", "effective sample size", "expected error"),
        *("in one direction", "in one component", "effective rank", "file"),
    )
    rows = [head]
    for moment, path in moments:
        measured = moment.effective is not None
        size = f"about {moment.effective:,.0f}" if measured else "not measured"
        error = f"{'' if measured else 'at least '}{moment.expected_error:.0%}"
        shape = moment.shape
        spread = (f"{shape.common_direction:.0%}", f"{shape.largest_dimension:.0%}")
        rank = f"{shape.effective_rank:.3g} of {shape.width}"
        rows.append((str(moment.layer), f"{moment.count:,}", size, error, *spread, rank, str(path)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    # Paths are long and of all lengths, so the last column is the only one set flush left.
    cells = ([*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[-1]] for row in rows)
    return "\n".join("  ".join(row) for row in cells)
