"""`GridPicture`: what is to be drawn of a result that has grids. Every way to draw one reads this, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from factlens.drawing.numbers import precise
from factlens.visible import as_label

# A share of the scale that the eye can tell from none.
_VISIBLE = 0.02


class Row(NamedTuple):
    """What stands beside a row of cells, whether it is one of those that matter most, and whether one that hardly does.

    Of a prompt these are the tokens of the subject, and those of a chat template.
    """

    text: str
    strong: bool = False
    faint: bool = False

    @property
    def label(self) -> str:
        """The text as it can be shown among others, with the paper's ``*`` at those that matter most."""
        return as_label(self.text) + ("*" if self.strong else "")


class Panel(NamedTuple):
    """One grid: its name, what stands above it, and its family of colours (`factlens.drawing.colours.family`)."""

    name: str
    title: str
    family: str


@dataclass(frozen=True, eq=False)
class GridPicture:
    """Grids beside each other, with the same rows, the same columns (layers) and the same scale.

    Attributes
    ----------
    title, ending
        What it is; where there is no room for all of that, the ending is still whole.
    subtitle
        How it came about, in one line.
    alt
        What it shows, for those who do not see it.
    rows, panels
        What stands beside each row, and above each grid.
    values
        Shape ``(P, R, L)``: panels, rows, layers. NaN where there is no number.
    low, high
        The ends of the scale, from white to the darkest shade; `high` may be the smaller number.
    scale
        What the numbers are, for a colour bar.
    estimates
        Estimates of `values`, in the same shape; shown where there is no value.
    bounds
        Confidence intervals of `values`, shape ``(2, P, R, L)``; NaN where there is none.
    nothing
        Where a value does not stand out from the noise, and so is drawn as `low`; in the shape of `values`, or None.
    missing
        What a cell without a number says.
    complete
        False where cells are still to be computed.
    remarks
        What to know before trusting the colours, a line each.
    footnotes
        Lines below these.
    number
        How numbers are written.
    roomy
        Cells as wide as they can be, and all grids in one row; otherwise both as there is room.
    """

    title: str
    subtitle: str
    alt: str
    rows: tuple[Row, ...]
    panels: tuple[Panel, ...]
    values: np.ndarray
    low: float
    high: float
    scale: str
    ending: str = ""
    estimates: np.ndarray | None = None
    bounds: np.ndarray | None = None
    nothing: np.ndarray | None = None
    missing: str = "not computed"
    complete: bool = True
    remarks: tuple[str, ...] = ()
    footnotes: tuple[str, ...] = ()
    number: Callable[[float], str] = precise
    roomy: bool = False

    @property
    def layers(self) -> int:
        """Number of layers."""
        return int(self.values.shape[2])

    @property
    def drawn(self) -> np.ndarray:
        """The values as their colours show them: those within the noise are none."""
        return self.values if self.nothing is None else np.where(self.nothing, self.low, self.values)

    def legend(self, estimated: str, missing: str = "grey") -> tuple[str, ...]:
        """Return what stands below the grids: how to read the cells that are no plain numbers, and the remarks.

        Parameters
        ----------
        estimated
            How estimates are drawn: ``"a stripe is an estimate from gradients"``.
        missing
            How cells without a number are.
        """
        lines = []
        if not self.complete:
            guess = "" if self.shown_estimates is None else f"; {estimated}"
            lines.append(f"incomplete: {missing} cells were not computed{guess}")
        if self.nothing is not None and (abs(self.shares(self.values[self.nothing])) > _VISIBLE).any():
            lines.append("white as well: effects that the noise samples do not tell from none")
        return (*lines, *self.remarks)

    @property
    def shown_estimates(self) -> np.ndarray | None:
        """The estimates of cells without a value, NaN elsewhere; None where there is none to be shown."""
        if self.estimates is None:
            return None
        shown = np.where(np.isnan(self.values), self.estimates, np.nan)
        return shown if np.isfinite(shown).any() else None

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie between `low` (0) and `high` (1); where the two are one, all are 0."""
        return np.asarray((values - self.low) / ((self.high - self.low) or np.inf))

    def said_of(self, panel: int, row: int, layer: int) -> str:
        """Return the number of a cell in words: with its interval, or the estimate where there is no value."""
        at = (panel, row, layer)
        none = " (within the noise)" if self.nothing is not None and self.nothing[at] else ""
        if np.isnan(value := self.values[at]):
            guess = np.nan if self.estimates is None else float(self.estimates[at])
            return self.missing if np.isnan(guess) else f"{self.missing}, estimated as {self.number(guess)}"
        if self.bounds is None or np.isnan(self.bounds[0][at]):
            return self.number(value) + none
        lower, upper = self.bounds[0][at], self.bounds[1][at]
        return f"{self.number(value)} [{self.number(lower)}, {self.number(upper)}]{none}"
