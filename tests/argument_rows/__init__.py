"""For `test_arguments`: of every public argument, values that are wrong, and what has to be said of them."""

from __future__ import annotations

from tests.argument_rows import calibration, editing, evaluation, models, moments, papers, reproduce, tracing, widgets
from tests.argument_rows.anything import ANYTHING
from tests.argument_rows.editing import SETTINGS
from tests.argument_rows.wrong import Bad

__all__ = ["ANYTHING", "ROWS", "SETTINGS", "Bad"]

#: Of every public function or class, by argument; a file has the rows of a room.
ROWS: dict[str, dict[str, list[Bad]]] = {
    name: rows
    for room in (models, tracing, editing, evaluation, calibration, moments, reproduce, widgets, papers)
    for name, rows in room.ROWS.items()
}
