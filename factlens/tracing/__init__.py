"""Causal tracing: which states bring the answer back.

Names are imported when first used: a saved trace opens without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from factlens.tracing.averages import ROLES, Average, Skipped, average
    from factlens.tracing.cell_details import CellDetails
    from factlens.tracing.comparison import Comparison
    from factlens.tracing.engine import resume, stream, stream_rest, trace
    from factlens.tracing.growing import Update
    from factlens.tracing.inspecting import details
    from factlens.tracing.many import average_over, trace_many
    from factlens.tracing.metrics import METRICS, TraceMetric
    from factlens.tracing.protocol import Noise, Replacement
    from factlens.tracing.result import Peak, Trace
    from factlens.tracing.sites import KINDS

_HOME = {
    "ROLES": "averages",
    "Average": "averages",
    "Skipped": "averages",
    "average": "averages",
    "CellDetails": "cell_details",
    "Comparison": "comparison",
    "Update": "growing",
    "resume": "engine",
    "stream": "engine",
    "stream_rest": "engine",
    "trace": "engine",
    "details": "inspecting",
    "METRICS": "metrics",
    "TraceMetric": "metrics",
    "average_over": "many",
    "trace_many": "many",
    "Noise": "protocol",
    "Replacement": "protocol",
    "Peak": "result",
    "Trace": "result",
    "KINDS": "sites",
}

__all__ = [
    "KINDS",
    "METRICS",
    "ROLES",
    "Average",
    "CellDetails",
    "Comparison",
    "Noise",
    "Peak",
    "Replacement",
    "Skipped",
    "Trace",
    "TraceMetric",
    "Update",
    "average",
    "average_over",
    "details",
    "resume",
    "stream",
    "stream_rest",
    "trace",
    "trace_many",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'factlens.tracing' has no attribute {name!r}")
    return getattr(import_module(f"factlens.tracing.{_HOME[name]}"), name)
