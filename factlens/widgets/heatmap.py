"""`Heatmap`: the grids of a trace on a canvas; `compare` puts two of them side by side."""

from __future__ import annotations

from typing import Any, TypedDict

import traitlets as t

from factlens.arguments import optional
from factlens.drawing.exporting import figure_file
from factlens.errors import FactError, FactlensError
from factlens.signatures import options_of, taking
from factlens.tracing import Comparison, Trace
from factlens.tracing.result import a_trace
from factlens.widgets.base import Bundled, Part
from factlens.widgets.wire import comparison_of, frame_of

MOST_PINS = 4


class HeatmapTraits(TypedDict, total=False):
    """What a heatmap may begin with, and what can be set and observed of it.

    Attributes
    ----------
    selection
        The selected cell as ``{"kind", "token", "layer"}``, or None. Clicking a cell sets it.
    pins
        Up to four pinned cells, in the order of their numbers. Shift and a click pins a cell, or P.
    layer_range, token_range
        What is marked on the axes, as ``(first, last)``, or None. Dragging along an axis marks a range.
    edit
        What an edit from here would change: ``{"method": "MEMIT", "layers": [1, 2, 3]}``; empty without an editor.
    comparison
        Two traces side by side, as `factlens.compare` has them; empty for none.
    layout
        Of the whole widget, as ipywidgets has it: ``ipywidgets.Layout(width="60%")``.
    """

    selection: dict[str, Any] | None
    pins: list[dict[str, Any]]
    layer_range: tuple[int, int] | None
    token_range: tuple[int, int] | None
    edit: dict[str, Any]
    comparison: dict[str, Any]
    layout: Any


_BEGIN: dict[str, Any] = {"selection": None, "pins": [], "layer_range": None, "token_range": None, "edit": {}}
_BEGIN |= {"comparison": {}, "layout": None}


@taking(options_of(HeatmapTraits, _BEGIN).values())
class Heatmap(Part):
    """The grids of a trace, drawn in the browser: tokens down, layers across, one panel per kind.

    Parameters
    ----------
    trace
        What to show; None for an empty heatmap.
    **traits
        As in `HeatmapTraits`.

    Attributes
    ----------
    refused
        Counts the gestures of the page that were refused, so that the page takes back what it drew.

    Examples
    --------
    >>> heatmap = Heatmap(trace)  # doctest: +SKIP
    >>> heatmap.observe(lambda change: print(change.new), "selection")  # doctest: +SKIP
    >>> heatmap.compare(other, names=("edited", "before"))  # doctest: +SKIP
    """

    _esm = Bundled("heatmap.js")
    frame = t.Dict().tag(sync=True)
    comparison = t.Dict().tag(sync=True)
    selection: Any = t.Dict(allow_none=True, default_value=None).tag(sync=True)
    pins = t.List(t.Dict()).tag(sync=True)
    layer_range: Any = t.Tuple(t.Int(), t.Int(), allow_none=True, default_value=None).tag(sync=True)
    token_range: Any = t.Tuple(t.Int(), t.Int(), allow_none=True, default_value=None).tag(sync=True)
    edit = t.Dict().tag(sync=True)
    busy = t.Bool(False).tag(sync=True)
    refused = t.Int(0).tag(sync=True)

    def __init__(self, trace: Trace | None = None, **traits: Any) -> None:
        self._trace = optional(a_trace, "trace", trace)
        self._compared: Comparison | None = None
        super().__init__(frame=frame_of(trace), **traits)
        self.on_msg(self._received)

    def compare(self, other: Trace | None, names: tuple[str, str] = ("this", "the other")) -> None:
        """Offer a comparison with another trace: this one, the other one, and the other less this one.

        Parameters
        ----------
        other
            The trace to compare with; None takes the comparison away.
        names
            What to call the two.

        Raises
        ------
        FactError
            If there is no trace here, or the two cannot be compared.
        """
        if other is None:
            self._compared, self.comparison = None, {}
            return
        if self._trace is None:
            raise FactError("This heatmap shows no trace of its own. Use factlens.compare(a, b).")
        self._compare(Comparison(self._trace, a_trace("other", other), names))

    def _compare(self, compared: Comparison) -> None:
        self._compared, self.comparison = compared, comparison_of(compared)

    @property
    def result(self) -> Trace | Comparison | None:
        """What it shows, with all that can be made of it for a paper: ``fl.compare(a, b).result.save_figure(...)``.

        The comparison where there is one, else the trace. None for an empty heatmap, and for that of a lens, which has
        its trace itself.
        """
        return self._trace if self._compared is None else self._compared

    def gesture(self, name: str, payload: dict[str, Any]) -> bool:
        """Carry out one of the heatmap's own gestures; return whether `name` is one.

        An invalid one is refused without a message: the page offers no such gesture.
        """
        try:
            if name == "select":
                self.selection = {part: payload.get(part) for part in ("kind", "token", "layer")}
            elif name == "pins":
                self.set_trait("pins", payload.get("cells"))
            elif name == "range":
                layers, tokens = (_span(payload.get(part)) for part in ("layers", "tokens"))
                with self.hold_trait_notifications():
                    self.layer_range, self.token_range = layers, tokens
            elif name == "figure":
                self._hand_out(payload)
            else:
                return False
        except (t.TraitError, TypeError):
            self.refused += 1
        return True

    @t.validate("selection")
    def _check_selection(self, proposal: Any) -> dict[str, Any] | None:
        cell = proposal["value"]
        return None if cell is None or not self._shape else self._checked(cell)

    @t.validate("pins")
    def _check_pins(self, proposal: Any) -> list[dict[str, Any]]:
        pins = [self._checked(cell) for cell in proposal["value"]] if self._shape else []
        if len(pins) > MOST_PINS:
            raise t.TraitError(f"A heatmap has at most {MOST_PINS} pins, not {len(pins)}.")
        return [cell for i, cell in enumerate(pins) if cell not in pins[:i]]

    @t.validate("layer_range", "token_range")
    def _check_range(self, proposal: Any) -> tuple[int, int] | None:
        span = proposal["value"]
        if span is None or not self._shape:
            return None
        name = "layer" if proposal["trait"].name == "layer_range" else "token"
        size = self._shape["layers"] if name == "layer" else len(self._shape["tokens"])
        if not (_index(span[0], size) and _index(span[1], size) and span[0] <= span[1]):
            raise t.TraitError(f"There is no range of {name}s {span!r} in this heatmap: it has {size}.")
        return span[0], span[1]

    @t.observe("frame")
    def _reshaped(self, change: Any) -> None:
        """Let go of pins and ranges whose cells are gone; a trace of the same prompt keeps them."""
        old, new = change["old"] or {}, change["new"]
        if any(old.get(part) != new.get(part) for part in ("kinds", "tokens", "layers")):
            self.pins, self.layer_range, self.token_range = [], None, None

    @property
    def _shape(self) -> dict[str, Any]:
        return self.frame or self.comparison.get("b", {})

    def _checked(self, cell: Any) -> dict[str, Any]:
        shape = self._shape
        bounds = {"token": len(shape["tokens"]), "layer": shape["layers"]}
        inside = set(cell) == {"kind", "token", "layer"} and cell["kind"] in shape["kinds"]
        if not inside or not all(_index(cell[name], size) for name, size in bounds.items()):
            raise t.TraitError(f"There is no cell {str(cell)[:200]} in this heatmap.")
        return dict(cell)

    def _received(self, _widget: Any, content: Any, _buffers: Any) -> None:
        # Used alone, the heatmap carries its own gestures; nonsense from the browser changes nothing.
        if isinstance(content, dict) and content.get("type") == "gesture":
            self.gesture(str(content.get("name")), content)
            # Afterwards, so that the page knows its traits to be the answer (js/src/heatmap/alone.ts).
            self.send({"type": "ack", "id": content.get("id")})

    def _hand_out(self, payload: dict[str, Any]) -> None:
        """Draw a figure that the page asks for, and send it there; or say why not."""
        what, form, look = (payload.get(part) for part in ("what", "form", "look"))
        try:
            result = self._trace if what == "trace" else self._compared
            if result is None:
                raise FactError("There is nothing here of which a figure could be drawn.")
            data = figure_file(result, str(form), {} if not isinstance(look, dict) else look)
        except FactlensError as error:
            self.send({"type": "failed", "text": str(error)})
        else:
            self.send({"type": "file", "name": f"factlens-{what}.{form}"}, [data])


def compare(a: Trace, b: Trace, names: tuple[str, str] = ("A", "B")) -> Heatmap:
    """Return a heatmap of two traces side by side: A, B, and B − A, one kind at a time.

    Rows are tokens where the two prompts are the same (a fact before and after an edit), else the roles that tokens
    play in both, each the mean over its tokens.

    Parameters
    ----------
    a, b
        Traces with the same metric and number of layers.
    names
        What to call the two.

    Raises
    ------
    FactError
        If the traces cannot be compared.

    Examples
    --------
    >>> before = fl.trace(model, fact)  # doctest: +SKIP
    >>> edit = fl.edit(model, fact)  # doctest: +SKIP
    >>> fl.compare(before, fl.trace(model, fact), names=("before", "after"))  # doctest: +SKIP
    """
    heatmap = Heatmap()
    heatmap._compare(Comparison(a, b, names))
    return heatmap


def _span(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    first, last = value if isinstance(value, list) and len(value) == 2 else (None, None)
    if isinstance(first, bool) or isinstance(last, bool) or not isinstance(first, int) or not isinstance(last, int):
        raise t.TraitError(f"A range is two whole numbers, not {str(value)[:200]}.")
    return first, last


def _index(value: object, size: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < size
