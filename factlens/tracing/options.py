"""The options of a trace, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from factlens.arguments import a_seed, flag, one_of, optional, refuse, refuse_unknown, whole
from factlens.errors import RenamedWarning
from factlens.models import Model
from factlens.signatures import options_of
from factlens.spelling import Wording, a_wording
from factlens.tracing.estimates import ATTRIBUTION_PATCHING, an_estimate
from factlens.tracing.metrics import MetricFunction, TraceMetric, a_metric
from factlens.tracing.protocol import AUTO, WINDOW_CONVENTIONS, Corruption, Noise
from factlens.tracing.result import Trace
from factlens.tracing.sites import KINDS, expand_kinds
from factlens.tracing.windows import default_window
from factlens.warned import warn


class SharedOptions(TypedDict, total=False):
    """What a trace of one fact, and of many, takes; `TraceOptions` says what each means."""

    kinds: Sequence[str]
    corruption: Corruption | None
    samples: int | str
    seed: int
    window: int | None
    window_convention: str
    metric: str | TraceMetric | MetricFunction
    contrast: Wording | None
    estimate: str | None
    memory: int | None


class ManyOptions(SharedOptions, total=False):
    """What a trace of many facts takes besides model and facts; `TraceOptions` says what each means."""

    preview: bool | None


class LensOptions(SharedOptions, total=False):
    """What a lens takes for its traces; `TraceOptions` says what each means."""

    answer: Wording | None


class TraceOptions(LensOptions, total=False):
    """What a trace takes besides model and fact: the one place where that stands. `DEFAULTS` has the defaults.

    Attributes
    ----------
    kinds
        What to restore: ``"state"`` (block output); ``"mlp"``, ``"attn"`` (module outputs, over a window of layers);
        ``"head"`` for every attention head's output in one layer, ``"head.3"`` for one of them; ``"severed_mlp"``,
        ``"severed_attn"`` for a state whose token keeps its corrupted MLP (attention) outputs, as in Figure 3.
    corruption
        `Noise` of three σ by default, or a `Replacement` by another subject.
    samples
        Number of corrupted runs, S; a replacement has one. ``"auto"``: as many as it takes until the cell with the
        largest effect of each kind is separated from all that have less than nine tenths of it, at most ten. The result
        is the trace with that number. See `factlens.tracing.separation` for the rule.
    seed
        Seed of the noise.
    window
        Layers restored together for ``mlp`` and ``attn``. Default: ten, scaled down for shallow models.
    window_convention
        ``"code"``: a window of ten is [l - 5, l + 4], as in the published code and figures. ``"paper"``: it is
        [l - 4, l + 5], as in the published text.
    metric
        ``"probability"``, ``"log_probability"``, or ``"logit_difference"`` against `contrast`; or a function of your
        own, of the logits where the answer is read, ``(..., positions, vocabulary)``, the ids of the answer's tokens
        and those of the contrast's, that gives one number for each run, ``(...)``: see `factlens.tracing.TraceMetric`.
    answer
        What to measure; several tokens are teacher-forced, and count together. Default: the model's own top token. A
        space is put in front of it where the text calls for one (`factlens.spelling`); `factlens.Exactly` is taken as
        it is.
    contrast
        The answer to compare with, by the same rule, for ``"logit_difference"`` and functions of
        your own.
    estimate
        How to estimate all cells first: ``"attribution_patching"``, which costs one backward pass. None: not at all.
    memory
        Bytes that one sweep may use for its activations. Default: what the device has to spare. Never changes a result.
    preview
        Deprecated: True is ``estimate="attribution_patching"``, False is ``estimate=None``.
    """

    preview: bool | None


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
"""What is taken where an option is left out."""
OPTIONS = options_of(TraceOptions, {**DEFAULTS, "preview": None})
"""The same as `factlens.signatures` lists them."""


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


def checked_option(model: Model, name: str, value: Any) -> Any:
    """Return one option as it may wait for its trace: checked, and what it leaves to the model left open.

    Raises
    ------
    ArgumentError
        If it is unknown, of the wrong type, or makes no sense on any fact.
    """
    checked = checked_options(model, {name: value})[name]
    if name == "kinds":
        # Not written out head by head, unless it could be gone through only once.
        return (value,) if isinstance(value, str) else tuple(value) or checked
    if name == "metric" and isinstance(value, str):
        return value
    return None if value is None else checked


def made_with(model: Model, trace: Trace, options: Mapping[str, Any]) -> bool:
    """Return whether a trace was made with these options, as far as they decide about its numbers."""
    asked = checked_options(model, options)
    same: list[tuple[object, object]] = [
        (trace.kinds, asked["kinds"]),
        (trace.corruption, asked["corruption"]),
        (trace.window, asked["window"]),
        (trace.window_convention, asked["window_convention"]),
        (trace.measure, asked["metric"]),
        (trace.answer_given, asked["answer"]),
        (trace.contrast, asked["contrast"]),
    ]
    if isinstance(trace.corruption, Noise):
        samples = AUTO if trace.sampling == AUTO else int(trace.samples.sizes["sample"])
        same += [(trace.seed, asked["seed"]), (samples, asked["samples"])]
    return all(one == other for one, other in same)


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
