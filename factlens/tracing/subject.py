"""Where a model looks a fact up: what the MLPs bring back of it at the subject's last token, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any, NamedTuple

import numpy as np

from factlens.facts import Fact
from factlens.models import Model
from factlens.tracing.engine import stream
from factlens.tracing.result import Trace

LEAST_SHARE = 0.1
"""Less than this of the total effect in every layer: the fact is not looked up there."""
_MUCH = 0.6
"""Of the largest effect. At half, one noise sample and two point to different layers of SmolLM2: its layers 6 to 9 have
about half of what the first four have."""


class MlpRow(NamedTuple):
    """What the MLPs bring back at the subject's last token.

    Attributes
    ----------
    effects
        The indirect effect by layer, ``(layers,)``; see `factlens.tracing.Trace.effects`.
    total
        The total effect.
    """

    effects: np.ndarray
    total: float

    @property
    def layer(self) -> int | None:
        """The last layer that brings back three fifths of what the best one does; None where none brings back much.

        Behind it the fact has been looked up, and an edit comes too late for part of what reads it.
        """
        if abs(self.total) < 1e-9:
            return None
        # As a share of the total, which reads the same where corruption has raised the metric.
        shares = self.effects / self.total
        if np.isnan(shares).any() or shares.max() < LEAST_SHARE:
            return None
        return int(np.flatnonzero(shares >= _MUCH * shares.max())[-1])


def edited_kind(trace: Trace) -> str | None:
    """Return the kind of a trace that is what edits change; None where that was not traced."""
    return next((kind for kind, site in zip(trace.kinds, trace.sites, strict=True) if site.edited), None)


def mlp_row_of(trace: Trace) -> MlpRow | None:
    """Return the row that a trace has; None before it is exact in every layer, be it for one noise sample."""
    place = edited_kind(trace)
    if place is None:
        return None
    effects = trace.effects.sel(kind=place).values[trace.subject_range[1] - 1]
    return None if np.isnan(effects).any() else MlpRow(effects, trace.total_effect)


def layer_by(trace: Trace) -> int | None:
    """Return the layer where a trace by itself says that its fact is looked up: `MlpRow.layer` of its row.

    An effect that noise explains counts for none. None where there is no such layer, where noise explains the total
    effect, and where the model does not know the fact.
    """
    row = None if trace.known is False or trace.total_within_noise else mlp_row_of(trace)
    if row is None:
        return None
    noise = trace.within_noise.sel(kind=edited_kind(trace)).values[trace.subject_range[1] - 1]
    return row._replace(effects=np.where(noise, 0.0, row.effects)).layer


def mlp_row(model: Model, fact: Fact, *, samples: int, seed: int = 1, stop: Event | None = None) -> MlpRow | None:
    """Trace no more than the row; None where `stop` was set before it was there.

    Parameters
    ----------
    model, fact
        As for `factlens.trace`; the window is its default.
    samples
        Noise samples: one or two are enough to tell where the effect lies.
    seed
        Of the noise.
    stop
        Set it from another thread to stop.
    """
    options: dict[str, Any] = {"kinds": ("mlp",), "samples": samples, "seed": seed, "estimate": None, "stop": stop}
    for update in stream(model, fact, **options):
        row = mlp_row_of(update.trace)
        if row is not None:
            return row
    return None


def mean_row(rows: Sequence[MlpRow]) -> MlpRow:
    """Return the mean of rows; a fact that hangs more on its subject counts more."""
    return MlpRow(np.mean([row.effects for row in rows], 0), float(np.mean([row.total for row in rows])))
