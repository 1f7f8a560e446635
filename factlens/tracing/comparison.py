"""`Comparison`: two traces beside each other, and what the second has more than the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from factlens.arguments import refuse, some_texts
from factlens.drawing.exporting import Exported, no_part
from factlens.drawing.figure import colour_map, diverging_map, drawn_with, finish, panels
from factlens.drawing.grid import Row
from factlens.drawing.grid_figure import colour_bar, heatmap, room_for
from factlens.drawing.look import LOOK, Look, LookOptions
from factlens.drawing.numbers import precise
from factlens.drawing.tables import Table
from factlens.errors import FactError
from factlens.escaping import mathless
from factlens.signatures import taking
from factlens.tracing.captions import caption_of
from factlens.tracing.result import Trace, a_trace
from factlens.tracing.side_by_side import SideBySide, side_by_side
from factlens.tracing.sites import Site, site_of
from factlens.tracing.tables import grid_table
from factlens.visible import isolated, line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EXAMPLE = "('before', 'after')"


class Comparison(Exported):
    """Two traces beside each other: the first, the second, and the second less the first.

    Rows are tokens where the two prompts are the same (a fact before and after an edit), else the roles that tokens
    play in both, each the mean over its tokens. Two corrupted runs differ, and with them every score; so effects are
    compared, each less its own corrupted run.

    Parameters
    ----------
    a, b
        Traces with the same metric and number of layers.
    names
        What to call the two.

    Attributes
    ----------
    kinds, rows
        What both have: kinds of state, and tokens or roles.
    both
        Their scores on these rows.

    Raises
    ------
    FactError
        If the traces cannot be compared.
    """

    def __init__(self, a: Trace, b: Trace, names: Sequence[str] = ("A", "B")) -> None:
        self.a, self.b = a_trace("a", a), a_trace("b", b)
        pair = some_texts("names", names, example=_EXAMPLE)
        if len(pair) != 2:
            refuse("names", names, "two names, one for each trace", _EXAMPLE)
        self.names = (pair[0], pair[1])
        self.both: SideBySide = side_by_side(a, b)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of state that both have."""
        return self.both.kinds

    @property
    def rows(self) -> tuple[str, ...]:
        """What each row is."""
        return self.both.rows

    @property
    def _grids(self) -> tuple[np.ndarray, np.ndarray]:
        """Effects of both: shape ``(kind, row, layer)`` each."""
        return self.both.a - self.a.low, self.both.b - self.b.low

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per cell: kind, row, what that is, layer, both effects and their difference."""
        import pandas as pd

        first, second = self._grids
        kinds, rows, layers = np.meshgrid(*map(range, first.shape), indexing="ij")
        return pd.DataFrame(
            {
                "kind": np.array(self.kinds)[kinds.ravel()],
                "row": rows.ravel(),
                "piece": np.array(self.rows, dtype=object)[rows.ravel()],
                "layer": layers.ravel(),
                "effect_a": first.ravel(),
                "effect_b": second.ravel(),
                "difference": (second - first).ravel(),
            }
        )

    def caption(self) -> str:
        """Return what a figure should say below itself: how both traces were made."""
        one, other = map(isolated, self.names)
        rows = "the roles that tokens play in both prompts" if self.both.by_role else "tokens"
        return line(
            f"Indirect effects of two traces and their difference, {other} less {one}; rows are {rows}. "
            f"{one}: {caption_of(self.a)} {other}: {caption_of(self.b)}"
        )

    @taking(LOOK)
    def plot(self, kind: str | None = None, **look: Unpack[LookOptions]) -> Figure:
        """Draw both and their difference, a row of panels for each kind; needs ``factlens[plot]``.

        Parameters
        ----------
        kind
            Which kind alone; None for all.
        **look
            Size, letters and colours for a paper; see `factlens.drawing.look.Look`. In grey, a difference is as dark as
            it is large, and the negative ones have a dot.
        """
        if kind is not None and kind not in self.kinds:
            raise FactError(f"There is no kind {kind!r} in both traces; there are {', '.join(self.kinds)}.")
        return self._drawn(self.kinds if kind is None else (kind,), Look.of(look))

    def _drawn(self, kinds: Sequence[str], look: Look) -> Figure:
        what, labels = "Drawing a comparison", list(map(mathless, self._labels()))
        sites = [site_of(kind) for kind in kinds]
        names = [
            f"{site.label}, {name}" for site in sites for name in (*self.names, f"{self.names[1]} − {self.names[0]}")
        ]
        first, second = self._grids
        with drawn_with(what, look):
            fit = room_for(look, labels, first.shape[2], names)
            width, height = max(3.2, 1.2 + 0.08 * first.shape[2]), 0.8 + 0.28 * len(labels)
            figure, axes = panels(what, names, width, height, beside=1.2, look=look, fit=fit)
            for n, (kind, site) in enumerate(zip(kinds, sites, strict=True)):
                at = self.kinds.index(kind)
                self._draw_kind(figure, axes[3 * n : 3 * n + 3], (first[at], second[at]), site, labels, look)
            return finish(figure, look, axes)

    def _draw_kind(
        self,
        figure: Figure,
        axes: Sequence[Axes],
        grids: tuple[np.ndarray, np.ndarray],
        site: Site,
        labels: Sequence[str],
        look: Look,
    ) -> None:
        better, name = self.a.measure.better, f"effect on {self.a.measure.label}"
        end = float(np.nanmax(better * np.stack(grids), initial=0)) or 1.0
        low, high = sorted((0.0, better * end))
        colours = colour_map(site.family, look.palette)
        if better < 0:
            colours = f"{colours}_r" if isinstance(colours, str) else colours.reversed()
        for panel, grid in zip(axes[:2], grids, strict=True):
            image = heatmap(panel, grid, labels, look, cmap=colours, vmin=low, vmax=high)
            colour_bar(figure, image, panel, name, turned=better < 0)
        change = grids[1] - grids[0]
        reach = float(np.nanmax(abs(change), initial=0)) or 1.0
        if look.palette == "grey":
            image = heatmap(axes[2], abs(change), labels, look, cmap=colour_map("", "grey"), vmin=0, vmax=reach)
            row, layer = np.nonzero(change < -0.02 * reach)
            dots: dict[str, Any] = {"s": 6 * look.scale**2, "c": "white", "edgecolors": "black"}
            axes[2].scatter(layer, row, linewidths=0.4 * look.scale, **dots)
            colour_bar(figure, image, axes[2], "difference (dot: negative)")
        else:
            image = heatmap(axes[2], change, labels, look, cmap=diverging_map(), vmin=-reach, vmax=reach)
            colour_bar(figure, image, axes[2], "difference")

    def _labels(self) -> list[str]:
        rows = zip(self.rows, self.both.subject, strict=True)
        return [Row(text, strong and not self.both.by_role).label for text, strong in rows]

    def _frame(self) -> pd.DataFrame:
        return self.to_dataframe()

    def _table(self, part: str | None) -> Table:
        no_part(part, self.kinds)
        first, second = self._grids
        if part is not None:
            at = self.kinds.index(part)
            return grid_table("difference", self._labels(), second[at] - first[at])
        better, body = self.a.measure.better, []
        for kind, one, other in zip(self.kinds, first, second, strict=True):
            cells = [_leading(grid, better, self._labels()) for grid in (one, other)]
            body.append([site_of(kind).label, *cells, precise(float(np.nanmax(abs(other - one), initial=0)))])
        return Table(("restored", *self.names, "largest difference"), body, 3)

    def __repr__(self) -> str:
        return f"<factlens.Comparison of {self.names[0]!r} and {self.names[1]!r}: {self.a!r}, {self.b!r}>"


def _leading(grid: np.ndarray, better: int, labels: Sequence[str]) -> str:
    if np.isnan(grid).all():
        return "not computed"
    row, layer = divmod(int(np.nanargmax(better * grid)), grid.shape[1])
    return f"{precise(float(grid[row, layer]))} at {labels[row]}, layer {layer}"
