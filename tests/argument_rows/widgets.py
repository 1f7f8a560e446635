"""Rows of widgets."""

from __future__ import annotations

from tests.argument_rows.tracing import OPTIONS
from tests.argument_rows.wrong import MODEL, Bad, instance, texts
from tests.editing.made import FACT

ROWS: dict[str, dict[str, list[Bad]]] = {
    "Lens": {
        "model": MODEL,
        "fact": instance("a factlens.Fact or a Record", [FACT], none=True),
        "checks": instance("a factlens.Checks", none=True),
        **{name: bad for name, bad in OPTIONS.items() if name != "preview"},
        "sampels": [(3, "samples")],
    },
    "Heatmap": {"trace": instance("a factlens.Trace", none=True), "selektion": [(None, "Heatmap has no 'selektion'")]},
    "Heatmap.compare": {
        "other": instance("a factlens.Trace", none=True),
        "names": [*texts(), (("a",), "two names"), ("AB", "text")],
    },
}
