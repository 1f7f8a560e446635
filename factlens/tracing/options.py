"""The options of a trace, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from factlens.arguments import a_seed, flag, known, one_of, optional, refuse, whole
from factlens.models import Model
from factlens.spelling import a_wording
from factlens.tracing.metrics import a_metric
from factlens.tracing.protocol import WINDOW_CONVENTIONS, Corruption, Noise
from factlens.tracing.sites import KINDS, expand_kinds
from factlens.tracing.windows import default_window

DEFAULTS: Mapping[str, Any] = {
    "kinds": KINDS,
    "corruption": None,
    "samples": 10,
    "seed": 1,
    "window": None,
    "window_convention": "code",
    "metric": "probability",
    "answer": None,
    "contrast": None,
    "preview": True,
    "memory": None,
}
"""What `factlens.stream` takes beside model, fact and `stop`, and what it does unasked."""


def checked_options(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a trace, those that are left open as they are by default.

    Raises
    ------
    ArgumentError
        If one is unknown, of the wrong type, or makes no sense on any fact.
    """
    known("A trace", options, DEFAULTS)
    given = {**DEFAULTS, **options}
    return {
        "kinds": expand_kinds(given["kinds"], model.n_heads),
        "corruption": Noise() if given["corruption"] is None else a_corruption("corruption", given["corruption"]),
        "samples": whole("samples", given["samples"], least=1, example="10"),
        "seed": a_seed("seed", given["seed"]),
        "window": default_window(model.n_layers)
        if given["window"] is None
        else whole("window", given["window"], least=1, example="3"),
        "window_convention": one_of("window_convention", given["window_convention"], WINDOW_CONVENTIONS),
        "metric": a_metric("metric", given["metric"]),
        "answer": optional(a_wording, "answer", given["answer"], example="'Seattle'"),
        "contrast": optional(a_wording, "contrast", given["contrast"]),
        "preview": flag("preview", given["preview"]),
        "memory": optional(whole, "memory", given["memory"], least=1, example="2**30"),
    }


def a_corruption(name: str, value: Any) -> Corruption:
    """Return the argument `name` if it says how to corrupt a subject.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    if not isinstance(value, Corruption):
        refuse(name, value, "a Noise or a Replacement", example="factlens.Noise(level=0.1)")
    return value
