"""Tables for spreadsheets and for papers: CSV in which no text is a formula, and LaTeX in which none is a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from factlens.escaping import cell, latex

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """A table as people read it.

    Attributes
    ----------
    columns
        Their names.
    rows
        The texts of each row; the first is its name.
    texts
        How many of the columns, from the left, hold texts and begin at the left; the others hold numbers and end at
        the right.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1


def table_latex(table: Table, caption: str = "", label: str = "") -> str:
    """Return a table for LaTeX; it needs the package booktabs, and no other.

    Parameters
    ----------
    table
        The table.
    caption
        What stands above it.
    label
        What a reference calls it by; letters, digits and ``:-_.`` of it are taken.
    """
    kinds = "l" * table.texts + "r" * (len(table.columns) - table.texts)
    name = "".join(c for c in label if c.isascii() and (c.isalnum() or c in ":-_."))
    lines = [
        r"\begin{table}",
        r"\centering",
        *([rf"\caption{{{latex(caption)}}}"] if caption else []),
        *([rf"\label{{{name}}}"] if name else []),
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _line(table.columns),
        r"\midrule",
        *map(_line, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def frame_table(frame: pd.DataFrame) -> Table:
    """Return a table of pandas as people read it: numbers in a few digits, columns of numbers to the right."""
    columns = [" ".join(map(str, name)).strip() if isinstance(name, tuple) else str(name) for name in frame.columns]
    texts = 1
    while texts < frame.shape[1] and not _is_numeric(frame.iloc[:, texts]):
        texts += 1
    rows = [[_written(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return Table(columns, rows, min(texts, len(columns)))


def _is_numeric(column: pd.Series) -> bool:
    """Return whether a column holds numbers."""
    return str(getattr(column.dtype, "kind", "O")) in "iufb"


def _written(value: Any) -> str:
    if isinstance(value, float):
        return "–" if isnan(value) else f"{value:.4g}".replace("-", "−")
    return "–" if value is None else str(value)


def frame_csv(frame: pd.DataFrame, *, index: bool = False) -> str:
    """Return a table as CSV. Its texts, such as the names of records, come from data sets: none is a formula."""
    return str(_without_formulas(frame).to_csv(index=index))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(latex, cells)) + r" \\"


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which no text, nor the name of a row or column, is taken for a formula by a spreadsheet."""

    def safe(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(safe, value))
        # A lone \r would not be put in quotes, and end the line for a spreadsheet.
        return cell(value).replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value

    table = frame.copy()
    for place in range(table.shape[1]):
        table.isetitem(place, table.iloc[:, place].map(safe).array)
    if len(table):
        table.index = table.index.map(safe)
    table.columns = table.columns.map(safe)
    return table.rename_axis(index=[safe(name) for name in frame.index.names])
