"""Rows of tracing."""

from __future__ import annotations

import numpy as np

import factlens as fl
from factlens.tracing import TraceMetric
from tests.argument_rows.wrong import (
    A_FACT,
    A_TRACE,
    BETTER,
    FACTS,
    MODEL,
    PATH,
    POSITIVE,
    PROGRESS,
    SEED,
    SHARE,
    STOP,
    Bad,
    flag,
    function,
    layer,
    number,
    one_of,
    text,
    texts,
    whole,
)
from tests.editing.made import FACT

KINDS: list[Bad] = [
    (value, "kinds must be some of state, mlp") for value in (None, 3, {"mlp": 1}, [3], ["ffn"], [], [[]])
]
OPTIONS: dict[str, list[Bad]] = {
    "kinds": KINDS,
    "corruption": [(value, "a Noise or a Replacement") for value in ("noise", 3.0, fl.Noise, [fl.Noise()])],
    "samples": [*whole(1), ("many", "a whole number or 'auto'"), ("Auto", "or 'auto'")],
    "seed": SEED,
    "window": whole(1, none=True),
    "window_convention": one_of("code", "paper"),
    "metric": [
        *one_of("probability", "log_probability", "logit_difference"),
        (str, "one of probability"),
        (TraceMetric("mine"), "must have a function"),
        (TraceMetric("probability", print), "already"),
    ],
    "answer": text(none=True),
    "contrast": text(none=True),
    "estimate": [bad for bad in [*one_of("attribution_patching"), (True, "estimate must be")] if bad[0] is not None],
    "preview": [bad for bad in flag() if bad[0] is not None],  # the old name of `estimate`
    "memory": whole(1, none=True),
}

MANY = {**OPTIONS, "answer": [("Paris", "give each fact its own"), (None, "give each fact its own")]}

ROWS: dict[str, dict[str, list[Bad]]] = {
    "Noise": {
        "multiple": POSITIVE,
        "subjects": [*texts(none=True), ((), "list of subjects")],
        "level": number("positive", 0, -1, none=True),
        "shape": one_of("gaussian", "uniform", "multivariate"),
        "replace": flag(),
    },
    "Replacement": {"subject": text()},
    "stream": {"model": MODEL, "fact": A_FACT, "stop": STOP, **OPTIONS},
    "TraceMetric": {
        "name": text(),
        "function": function(),
        "label": text(empty=True),
        "title": text(empty=True),
        "unit": text(empty=True),
        "better": BETTER,
        "contrasted": [bad for bad in flag() if bad[0] is not None],
        "logarithm": function(),
        "own_columns": flag(),
    },
    "stream_rest": {"model": MODEL, "trace": A_TRACE, "memory": whole(1, none=True), "stop": STOP},
    "resume": {"model": MODEL, "trace": A_TRACE, "progress": PROGRESS, "stop": STOP},
    "trace": {
        "model": MODEL,
        "fact": A_FACT,
        "progress": PROGRESS,
        "stop": STOP,
        **OPTIONS,
        "sampels": [(3, "samples")],
    },
    "trace_many": {
        "model": MODEL,
        "facts": FACTS,
        "stop": STOP,
        "progress": PROGRESS,
        **MANY,
        "sampels": [(3, "samples")],
    },
    "average_over": {
        "model": MODEL,
        "facts": FACTS,
        "stop": STOP,
        "progress": PROGRESS,
        **MANY,
        "sampels": [(3, "samples")],
    },
    "average": {"traces": [(value, "trace") for value in (3, None, "traces", ["a"], [FACT], {"a": 1}, [None])]},
    "details": {
        "model": MODEL,
        "trace": A_TRACE,
        "kind": [*text(), ("attn", "there are mlp")],
        "token": [(value, "numbered 0 to") for value in (-1, 99, True, 1.0, "1", None, [1], np.int64(99))],
        "layer": layer(),
        "k": whole(1),
    },
    "compare": {
        "a": A_TRACE,
        "b": A_TRACE,
        "names": [*texts(), (("a",), "two names"), (("a", "b", "c"), "two names"), ("AB", "text")],
    },
    "Trace.peak": {"kind": [*text(), ("attn", "there are mlp"), (np.array(["mlp", "attn"]), "text")]},
    "Trace.leading": {"kind": [*text(), ("attn", "there are mlp"), (np.array(["mlp", "attn"]), "text")]},
    "Trace.interval": {"level": SHARE},
    "Trace.total_interval": {"level": SHARE},
    "Trace.label": {"token": whole(0, most=8)},
    "Trace.title": {"kind": one_of("mlp")},
    "Trace.window_of": {"layer": whole(0, most=4)},
    "Trace.save": {"path": PATH},
    "Trace.load": {"path": PATH},
    "Average.peak": {"kind": [*text(), ("attn", "there are mlp")]},
    "Average.interval": {"level": SHARE},
    "Average.total_interval": {"level": SHARE},
    "Average.to_dataframe": {"level": SHARE},
    "Average.save": {"path": PATH},
    "Average.load": {"path": PATH},
}
