"""The options of a trace, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from factlens.arguments import a_seed, flag, one_of, optional, refuse, refuse_unknown, whole
from factlens.errors import RenamedWarning
from factlens.models import Model
from factlens.spelling import a_wording
from factlens.tracing.estimates import ATTRIBUTION_PATCHING, an_estimate
from factlens.tracing.metrics import a_metric
from factlens.tracing.protocol import AUTO, WINDOW_CONVENTIONS, Corruption, Noise
from factlens.tracing.sites import KINDS, expand_kinds
from factlens.tracing.windows import default_window
from factlens.warned import warn

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
    "estimate": ATTRIBUTION_PATCHING,
    "memory": None,
}
"""What `factlens.stream` takes besides model, fact and `stop`, with its defaults."""


def checked_options(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a trace, those that are left open as they are by default.

    Raises
    ------
    ArgumentError
        If one is unknown, of the wrong type, or makes no sense on any fact.
    """
    options = with_present_names(options)
    refuse_unknown("A trace", options, DEFAULTS)
    settings = {**DEFAULTS, **options}
    return {
        "kinds": expand_kinds(settings["kinds"], model.n_heads),
        "corruption": Noise() if settings["corruption"] is None else a_corruption("corruption", settings["corruption"]),
        "samples": some_samples("samples", settings["samples"]),
        "seed": a_seed("seed", settings["seed"]),
        "window": default_window(model.n_layers)
        if settings["window"] is None
        else whole("window", settings["window"], least=1, example="3"),
        "window_convention": one_of("window_convention", settings["window_convention"], WINDOW_CONVENTIONS),
        "metric": a_metric("metric", settings["metric"]),
        "answer": optional(a_wording, "answer", settings["answer"], example="'Seattle'"),
        "contrast": optional(a_wording, "contrast", settings["contrast"]),
        "estimate": optional(an_estimate, "estimate", settings["estimate"]),
        "memory": optional(whole, "memory", settings["memory"], least=1, example="2**30"),
    }


def with_present_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by the names that they have now: `preview` was the name of `estimate`, and warns."""
    present = dict(options)
    if (preview := present.pop("preview", None)) is not None:
        present["estimate"] = ATTRIBUTION_PATCHING if flag("preview", preview) else None
        warn(RenamedWarning(f"preview= of a trace is now estimate=: pass estimate={present['estimate']!r}."))
    return present


def some_samples(name: str, value: Any) -> int | str:
    """Return the argument `name` if it is a number of noise samples, or ``"auto"``.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    if isinstance(value, str):
        if value != AUTO:
            refuse(name, value, f"a whole number or {AUTO!r}", example="10")
        return AUTO
    return whole(name, value, least=1, example="10")


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
