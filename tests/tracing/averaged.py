"""Traces whose average is worked out by hand, and facts to average over."""

from __future__ import annotations

import numpy as np

import factlens as fl
from factlens.tracing import ROLES
from factlens.tracing.labels import label_samples

FIRST, MIDDLE, LAST, AFTER, FURTHER, END = ROLES

#: Effects of layer 0 by token: subjects of four, three and one tokens, one and two tokens before them, of which the
#: hidden ones have no effect.
CASES = (
    ((1, 5), 0.9, 0.1, [0.0, 0.1, 0.2, 0.4, 0.5, 0.05, 0.6]),
    ((1, 4), 0.8, 0.2, [0.0, 0.3, 0.9, 0.1, 0.2, 0.5]),
    ((2, 3), 0.7, 0.3, [0.0, 0.0, 0.3, 0.1, 0.2, 0.3, 0.4]),
)


def made(subject_range: tuple[int, int], high: float, low: float, effects: list[float], **changes: object) -> fl.Trace:
    """A trace with these effects in layer 0; twice as large in layer 1, half as large for the MLP."""
    each = np.array([1.0, 2.0])[None, None, :] * np.array([1.0, 0.5])[:, None, None] * np.array(effects)[None, :, None]
    # Two noise samples, whose means are the numbers asked for.
    low_samples = np.array([low - 0.05, low + 0.05], np.float32)
    samples = (low + each[..., None] + np.array([0.02, -0.02])).astype(np.float32)
    tokens = tuple(f" t{i}" for i in range(len(effects)))
    start, stop = subject_range
    settings = {
        "fact": fl.Fact("".join(tokens).strip(), "".join(tokens[start:stop]).strip()),
        "model": "made by hand",
        "fingerprint": "0123456789abcdef",
        "tokens": tokens,
        "token_ids": tuple(range(len(effects))),
        "subject_range": subject_range,
        "answer": " yes",
        "answer_ids": (7,),
        "high": high,
        "low_samples": low_samples,
        "samples": label_samples(samples, ("state", "mlp"), tokens, subject_range),
        "noise_level": 0.3,
        "seed": 1,
        "window": 3,
        **changes,
    }
    return fl.Trace(**settings)


def facts_about(*names: str) -> list[fl.Fact]:
    return [fl.Fact("In France, the {} is near", name) for name in names]
