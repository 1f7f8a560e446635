"""Traces to frames: the one place where bytes for the browser are made. `docs/wire.md` describes them.

A frame has the grids, the rows and the ends of the scale that every other way to draw reads from a `GridPicture`.
Labels and formats of numbers are the page's own, since it draws in other readings, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats  # noqa: F401  (`Trace.interval` takes it: half a second that the end of a trace should not wait for)

from factlens.tracing import Comparison, Trace
from factlens.tracing.captions import caption_of
from factlens.tracing.estimate_quality import FACTS, RANK_CORRELATION
from factlens.tracing.picture import trace_picture
from factlens.tracing.recipe import code_of
from factlens.tracing.sites import Site, site_of
from factlens.tracing.subject import edited_kind, layer_by

SCHEMA = 4
_QUALITY = {
    "facts": FACTS,
    "rank_correlation": {site_of(kind).label: correlation for kind, correlation in RANK_CORRELATION.items()},
}


def frame_of(
    trace: Trace | None, *, run: int = 0, stopped: bool = False, calibrated: tuple[int, str] | None = None
) -> dict[str, Any]:
    """Return the whole state of a heatmap: a dict with its grids as float32 bytes; empty without a trace.

    Of a `calibrated` method the layer is suggested that was measured, with where that is from in words.
    """
    if trace is None:
        return {}
    picture = trace_picture(trace)
    # An estimate travels as long as a cell needs it, and whole.
    estimate = None if picture.shown_estimates is None else picture.estimates
    return {
        "schema": SCHEMA,
        "run": run,
        "kinds": list(trace.kinds),
        "sites": {site.name: described(site) for site in trace.sites},
        "tokens": [
            {"text": row.text, "id": token, "subject": row.strong, **({"template": True} if row.faint else {})}
            for row, token in zip(picture.rows, trace.token_ids, strict=True)
        ],
        "layers": picture.layers,
        "metric": metric_state(trace),
        "contrast": None if trace.contrast is None else str(trace.contrast),
        "low": trace.low,
        "high": trace.high,
        "answer": trace.shown_answer,
        "answer_part": part_of_answer(trace),
        "prompt": trace.fact.prompt,
        "window": trace.window,
        "window_convention": trace.window_convention,
        "samples": int(trace.samples.sizes["sample"]),
        "count": int(trace.sample_counts.min()),
        "complete": trace.complete,
        "stopped": stopped,
        "suggested": _suggested(trace, calibrated),
        "quality": None if estimate is None else _QUALITY,
        "grid": _bytes(picture.values),
        "estimate": None if estimate is None else _bytes(estimate),
        "half": _half(trace),
        "noise": _noise(trace),
        "total": _total(trace, picture.high),
        "known": trace.known,
        "says": None if trace.says is None else {"text": trace.says, "probability": trace.says_probability},
        "trust": trace.trust,
        "remarks": list(trace.remarks),
        "caption": caption_of(trace),
        "code": code_of(trace),
    }


def described(site: Site) -> dict[str, Any]:
    """Return what the page needs to know of a site."""
    return {name: getattr(site, name) for name in ("label", "family", "windowed", "edited", "head")}


def comparison_of(comparison: Comparison) -> dict[str, Any]:
    """Return two traces as the two frames of a comparison, with the same kinds, rows and layers."""
    a, b, both, names = comparison.a, comparison.b, comparison.both, comparison.names
    rows = [
        {"text": text, "id": token, "subject": subject}
        for text, token, subject in zip(both.rows, both.token_ids, both.subject, strict=True)
    ]
    frames = [
        {
            **frame_of(trace),
            "kinds": list(both.kinds),
            "tokens": rows,
            "grid": _bytes(grid),
            "estimate": None,
            "quality": None,
            "half": None,
            "noise": None,
            "suggested": None,
            "complete": bool(np.isfinite(grid).all()),
            "caption": f"{names[0]}: {caption_of(a)} {names[1]}: {caption_of(b)}",
            "code": "",
        }
        for trace, grid in ((a, both.a), (b, both.b))
    ]
    return {"names": list(names), "a": frames[0], "b": frames[1]}


def metric_state(trace: Trace) -> dict[str, Any]:
    """Return how the numbers of a trace are called and written."""
    metric = trace.measure
    return {"label": metric.label, "title": metric.title, "unit": metric.unit, "contrasted": bool(metric.contrasted)}


def part_of_answer(trace: Trace) -> str | None:
    """Return the token that was measured where the answer shown is more than that; None where they are the same."""
    return None if trace.whole_answer is None else trace.answer


def _bytes(grid: np.ndarray) -> bytes:
    return np.ascontiguousarray(grid, dtype="<f4").tobytes()


def _half(trace: Trace) -> bytes | None:
    """Return half the width of each effect's 95 % interval; None where no cell has two samples.

    Student's interval is symmetric about the effect, so this one number per cell is all of it. NaN stands where a cell
    has fewer than two samples so far.
    """
    bounds = trace.interval().values
    half = (bounds[1] - bounds[0]) / 2
    return _bytes(half) if np.isfinite(half).any() else None


def _noise(trace: Trace) -> bytes | None:
    """Return 1 for each effect that is drawn as none, because of the noise, and else 0; None without any."""
    mask = trace.within_noise.values
    return _bytes(mask) if mask.any() else None


def _total(trace: Trace, end: float) -> dict[str, Any]:
    """Return the total effect: its 95 % interval, whether there is any to speak of, and where the scale has to end."""
    bounds = trace.total_interval()
    return {
        "interval": None if np.isnan(bounds[0]) else list(bounds),
        "none": trace.total_within_noise,
        "end": end,
    }


def _suggested(trace: Trace, calibrated: tuple[int, str] | None) -> dict[str, Any] | None:
    """Return the cell at the subject's last token, where ROME takes its key, in the layer to edit; None without any.

    The layer is the calibration's, with what that says of itself; where there is none, the one that the trace speaks
    for, which nothing has measured. Estimates suggest nothing.
    """
    kind = edited_kind(trace)
    layer, source = (layer_by(trace), None) if calibrated is None else calibrated
    if kind is None or layer is None:
        return None
    return {"kind": kind, "token": trace.subject_range[1] - 1, "layer": layer, "source": source}
