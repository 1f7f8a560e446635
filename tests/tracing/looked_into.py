"""Traces whose cells are looked into, and the plain runs that they are held to."""

from __future__ import annotations

import numpy as np
import torch

import factlens as fl
from tests.tracing import oracle
from tests.tracing.made import FACT

KINDS = ("state", "mlp", "attn", "head.1", "severed_mlp", "severed_attn")
TOKEN, LAYER = 5, 2


def traced(model: fl.Model, **options: object) -> fl.Trace:
    return fl.trace(model, FACT, **{"kinds": KINDS, "samples": 3, "corruption": fl.Noise(level=0.3), **options})


def embedded(model: fl.Model, trace: fl.Trace) -> torch.Tensor:
    """The corrupted prompts of a trace by Gaussian noise, drawn here."""
    start, stop = trace.subject_range
    noise = np.random.RandomState(1).randn(len(trace.low_samples), stop - start, model.embedding_width)
    with torch.no_grad():
        found = model.embedding(torch.tensor([trace.token_ids])).repeat(len(noise), 1, 1)
    found[:, start:stop] += torch.from_numpy(noise * trace.noise_level)
    return found


def plain_runs(model: fl.Model, trace: fl.Trace) -> tuple[dict, dict]:
    """Every output of every site in the clean and in the corrupted run."""
    with torch.no_grad():
        clean = model.embedding(torch.tensor([trace.token_ids]))
    return oracle.run(model, clean, [], 1)[1], oracle.run(model, embedded(model, trace), [], 1)[1]
