"""Traces to frames: the one place where bytes for the browser are made. `docs/wire.md` describes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from factlens.tracing import Trace

SCHEMA = 1


def frame_of(trace: Trace | None, *, run: int = 0, stopped: bool = False) -> dict[str, Any]:
    """Return the whole state of a heatmap: a dict with the grid as float32 bytes; empty without a trace."""
    if trace is None:
        return {}
    start, stop = trace.subject_range
    return {
        "schema": SCHEMA,
        "run": run,
        "kinds": list(trace.kinds),
        "tokens": [
            {"text": piece, "id": token, "subject": start <= i < stop}
            for i, (piece, token) in enumerate(zip(trace.tokens, trace.token_ids, strict=True))
        ],
        "layers": trace.n_layers,
        "low": trace.low,
        "high": trace.high,
        "answer": trace.answer,
        "window": trace.window,
        "samples": int(trace.samples.sizes["sample"]),
        "complete": trace.complete,
        "stopped": stopped,
        "suggested": _suggested(trace),
        "grid": np.ascontiguousarray(trace.scores.values, dtype="<f4").tobytes(),
    }


def _suggested(trace: Trace) -> dict[str, Any] | None:
    """Return the MLP cell with the largest effect at the subject's last token, where ROME takes its key.

    None before that row is known, and None when even that effect is less than a tenth of the total: a fact that is
    not read there suggests no layer.
    """
    if "mlp" not in trace.kinds:
        return None
    token = trace.subject_range[1] - 1
    row = trace.scores.sel(kind="mlp").values[token]
    if np.isnan(row).any():
        return None
    if row.max() - trace.low < 0.1 * trace.total_effect:
        return None
    return {"kind": "mlp", "token": token, "layer": int(row.argmax())}
