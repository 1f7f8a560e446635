"""A fact to trace, and traces made up from numbers for what happens to a trace once it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import factlens as fl
from factlens.tracing.labels import label_estimate, label_samples
from factlens.tracing.result import Trace

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower")
NOISE = fl.Noise(level=0.3)


def made_trace(
    *,
    kinds: Sequence[str] = ("state", "mlp", "attn"),
    tokens: Sequence[str] = ("The", " Space", " Needle", " is", " in", " downtown"),
    layers: int = 8,
    samples: int = 3,
    high: float = 0.9,
    low: float = 0.1,
    computed: float = 1.0,
    estimated: bool = False,
    **fields: Any,
) -> Trace:
    """A trace with grids from `low` to `high`, the first rows of which are computed; `fields` replace any other."""
    shape = (len(kinds), len(tokens), layers, samples)
    values = np.random.RandomState(0).uniform(low, high, shape).astype(np.float32)
    guess = values.mean(-1)
    values[:, int(computed * len(tokens)) :] = np.nan
    subject_range = fields.pop("subject_range", (1, 3))
    labelled = label_samples(values, tuple(kinds), tuple(tokens), subject_range)
    settings: dict[str, Any] = {
        "fact": fl.Fact("The {} is in downtown", "Space Needle", target="Paris", object="Seattle"),
        "model": "made up",
        "fingerprint": "0123456789abcdef",
        "tokens": tuple(tokens),
        "token_ids": tuple(range(100, 100 + len(tokens))),
        "subject_range": subject_range,
        "answer": " Seattle",
        "answer_ids": (7,),
        "high": high,
        "low_samples": np.linspace(low - 0.01, low + 0.01, samples).astype(np.float32),
        "samples": labelled,
        "noise_level": 0.123456789,
        "seed": 1,
        "window": 3,
        "estimate": label_estimate(guess, labelled) if estimated else None,
    }
    return Trace(**{**settings, **fields})
