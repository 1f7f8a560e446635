"""factlens: see where a language model keeps a fact, and change it.

The names below are the public ones; they are imported when first used, so that ``import factlens``
is quick and a script that only traces never loads a widget.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Exactly": "factlens.spelling",
    "Fact": "factlens.facts",
    "FactlensError": "factlens.errors",
    "Family": "factlens.models",
    "Model": "factlens.models",
    "load": "factlens.models",
    "wrap": "factlens.models",
    "Average": "factlens.tracing",
    "CellDetails": "factlens.tracing",
    "Noise": "factlens.tracing",
    "Replacement": "factlens.tracing",
    "Trace": "factlens.tracing",
    "average": "factlens.tracing",
    "average_over": "factlens.tracing",
    "details": "factlens.tracing",
    "resume": "factlens.tracing",
    "stream": "factlens.tracing",
    "trace": "factlens.tracing",
    "trace_many": "factlens.tracing",
    "Edit": "factlens.editing",
    "edit": "factlens.editing",
    "Calibration": "factlens.calibration",
    "calibrate": "factlens.calibration",
    "Checks": "factlens.evaluation",
    "Record": "factlens.evaluation",
    "Report": "factlens.evaluation",
    "evaluate": "factlens.evaluation",
    "load_facts": "factlens.evaluation.datasets",
    "load_records": "factlens.evaluation.datasets",
    "Heatmap": "factlens.widgets",
    "compare": "factlens.widgets",
    "Lens": "factlens.widgets",
}

__all__ = [
    "Average",
    "Calibration",
    "CellDetails",
    "Checks",
    "Edit",
    "Exactly",
    "Fact",
    "FactlensError",
    "Family",
    "Heatmap",
    "Lens",
    "Model",
    "Noise",
    "Record",
    "Replacement",
    "Report",
    "Trace",
    "__version__",
    "average",
    "average_over",
    "calibrate",
    "compare",
    "details",
    "edit",
    "evaluate",
    "load",
    "load_facts",
    "load_records",
    "moments",
    "resume",
    "stream",
    "trace",
    "trace_many",
    "wrap",
]

if TYPE_CHECKING:
    from factlens import moments
    from factlens.calibration import Calibration, calibrate
    from factlens.editing import Edit, edit
    from factlens.errors import FactlensError
    from factlens.evaluation import Checks, Record, Report, evaluate
    from factlens.evaluation.datasets import load_facts, load_records
    from factlens.facts import Fact
    from factlens.models import Family, Model, load, wrap
    from factlens.spelling import Exactly
    from factlens.tracing import (
        Average,
        CellDetails,
        Noise,
        Replacement,
        Trace,
        average,
        average_over,
        details,
        resume,
        stream,
        trace,
        trace_many,
    )
    from factlens.widgets import Heatmap, Lens, compare


def __getattr__(name: str) -> Any:
    if name == "moments":
        return import_module("factlens.moments")
    if name not in _HOME:
        raise AttributeError(f"module 'factlens' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
