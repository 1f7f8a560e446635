"""How a trace begins: the clean and the corrupted run, the estimate, and the cells that are known from these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from factlens.models.continuing import whole_texts
from factlens.models.hooks import without_gradients
from factlens.tracing.estimates import ESTIMATES
from factlens.tracing.labels import label_samples
from factlens.tracing.metrics import own_metric
from factlens.tracing.result import Trace
from factlens.tracing.runs import Runs, run_clean_and_corrupted
from factlens.tracing.sites import site_of

if TYPE_CHECKING:
    from factlens.facts import Fact
    from factlens.models import Model
    from factlens.models.belonging import Weights
    from factlens.models.encoding import Encoding
    from factlens.tracing.answers import Measurement
    from factlens.tracing.corruption import Corrupted


def both_runs(
    model: Model,
    encoding: Encoding,
    corrupted: Corrupted,
    measurement: Measurement,
    kinds: Sequence[str],
    window: int,
    convention: str,
    estimate: str | None,
) -> tuple[Runs, Measurement, np.ndarray | None]:
    """Run clean and corrupted; fill in the model's own answer; estimate the grids."""
    sources = dict.fromkeys(site.source for site in map(site_of, kinds) if site.source)
    with torch.set_grad_enabled(estimate is not None), without_gradients(model.model):
        runs = run_clean_and_corrupted(
            model, encoding.ids, corrupted, forced=measurement.forced, positions=measurement.positions, sources=sources
        )
        measurement = measurement.with_own_answer(int(runs.clean.logits[0, -1].argmax()))
        guess = None
        if estimate is not None:
            guess = ESTIMATES[estimate](runs, measurement, kinds, window, convention, model.n_heads)
    return runs.without_history(), measurement, guess


def started(
    model: Model,
    weights: Weights,
    fact: Fact,
    encoding: Encoding,
    runs: Runs,
    measurement: Measurement,
    kinds: tuple[str, ...],
    *,
    first: int,
    **settings: Any,
) -> Trace:
    """Return a trace with everything that is known after the clean and the corrupted run."""
    low = measurement.score(runs.corrupted.logits).contiguous().cpu().numpy()
    values = np.full((len(kinds), len(encoding.ids), model.n_layers, runs.samples), np.nan, np.float32)
    # Left of the subject the corrupted run is the clean run: restoring a state there changes nothing.
    values[:, :first] = low
    # Nothing but the token's own answer is read from the last layer.
    last = [i for i, kind in enumerate(kinds) if site_of(kind).restores_state]
    if last:
        values[last, :, -1] = low
        for token in range(len(encoding.ids)):
            position = runs.at[token] - (runs.tokens - runs.positions)
            if position >= 0:
                logits = runs.corrupted.logits.clone()
                logits[:, position] = runs.clean.logits[0, position]
                values[last, token, -1] = measurement.score(logits).cpu().numpy()
    return Trace(
        fact=fact,
        model=model.name,
        fingerprint=weights.fingerprint,
        edits=weights.labels,
        edit_ids=weights.edit_ids,
        tokens=encoding.pieces,
        token_ids=encoding.ids,
        subject_range=encoding.subject_range,
        template_tokens=encoding.template_tokens,
        answer=model.text_of(measurement.answer),
        whole_answer=whole_texts(model, [encoding.ids], [measurement.answer])[0],
        answer_ids=measurement.answer,
        contrast_ids=measurement.contrast,
        metric=measurement.metric.name,
        own_metric=own_metric(measurement.metric),
        high=float(measurement.score(runs.clean.logits)[0]),
        low_samples=low,
        samples=label_samples(values, kinds, encoding.pieces, encoding.subject_range),
        **settings,
    )
