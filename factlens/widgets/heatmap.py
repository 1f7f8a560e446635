"""`Heatmap`: the grids of a trace on a canvas."""

from __future__ import annotations

from typing import Any

import traitlets as t

from factlens.tracing import Trace
from factlens.widgets.base import STATIC, Part
from factlens.widgets.wire import frame_of


class Heatmap(Part):
    """The grids of a trace, drawn in the browser: tokens down, layers across, one panel per kind.

    Parameters
    ----------
    trace
        What to show; None for an empty heatmap.

    Attributes
    ----------
    selection
        The selected cell as ``{"kind", "token", "layer"}``, or None. Clicking a cell sets it.
    refused
        Counts the cells that were chosen on the page and refused, so that the page takes its outline back.

    Examples
    --------
    >>> heatmap = Heatmap(trace)  # doctest: +SKIP
    >>> heatmap.observe(lambda change: print(change.new), "selection")  # doctest: +SKIP
    """

    _esm = STATIC / "heatmap.js"
    frame = t.Dict().tag(sync=True)
    selection: Any = t.Dict(allow_none=True, default_value=None).tag(sync=True)
    busy = t.Bool(False).tag(sync=True)
    refused = t.Int(0).tag(sync=True)

    def __init__(self, trace: Trace | None = None, **traits: Any) -> None:
        super().__init__(frame=frame_of(trace), **traits)
        self.on_msg(self._received)

    @t.validate("selection")
    def _check_selection(self, proposal: Any) -> dict[str, Any] | None:
        cell = proposal["value"]
        if cell is None or not self.frame:
            return None
        bounds = {"token": len(self.frame["tokens"]), "layer": self.frame["layers"]}
        inside = set(cell) == {"kind", "token", "layer"} and cell["kind"] in self.frame["kinds"]
        if not inside or not all(_index(cell[name], size) for name, size in bounds.items()):
            raise t.TraitError(f"There is no cell {cell!r} in this heatmap.")
        return dict(cell)

    def _received(self, _widget: Any, content: Any, _buffers: Any) -> None:
        # Used alone, the heatmap carries its own gestures; nonsense from the browser changes nothing.
        if isinstance(content, dict) and content.get("type") == "gesture" and content.get("name") == "select":
            self.send({"type": "ack", "id": content.get("id")})
            cell = {name: content.get(name) for name in ("kind", "token", "layer")}
            try:
                self.selection = cell
            except t.TraitError:
                self.refused += 1


def _index(value: object, size: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < size
