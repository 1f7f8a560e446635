"""What a paper would show of traces and averages as tables: the leading cells, or one grid."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from factlens.drawing.exporting import no_part
from factlens.drawing.numbers import precise
from factlens.drawing.tables import Table

if TYPE_CHECKING:
    from factlens.tracing.averages import Average
    from factlens.tracing.result import Trace


def trace_table(trace: Trace, kind: str | None) -> Table:
    """Return the largest effect of each kind with its interval; or the effects of one kind, tokens down."""
    no_part(kind, trace.kinds)
    if kind is not None:
        rows = [trace.label(token) for token in range(len(trace.tokens))]
        return grid_table("token", rows, trace.effects.sel(kind=kind).values)
    columns = ("restored", "token", "layer", "effect", "95 % interval")
    body = []
    for one, bounds in zip(trace.kinds, trace.interval().transpose("kind", ...).values, strict=True):
        grid = trace.effects.sel(kind=one).values
        if np.isnan(grid).all():
            body.append([trace.title(one), "–", "–", "not computed", "–"])
            continue
        peak = trace.peak(one)
        interval = interval_text(*(float(bound) for bound in bounds[:, peak.token, peak.layer]))
        if trace.leading(one) is None:
            interval += " (none to speak of)"
        body.append([trace.title(one), trace.label(peak.token), str(peak.layer), precise(peak.effect), interval])
    return Table(columns, body, 2)


def average_table(average: Average, kind: str | None) -> Table:
    """Return the largest average effect of each kind and role with its interval; or the effects of one kind."""
    no_part(kind, average.kinds)
    roles = [str(role) for role in average.effects["role"].values]
    if kind is not None:
        return grid_table("role", roles, average.effects.sel(kind=kind).values)
    columns = ("restored", "role", "facts", "layer", "effect", "95 % interval")
    body = []
    counted, every = average.facts_counted.values, average.interval()
    for site, one in zip(average.sites, average.kinds, strict=True):
        for i, role in enumerate(roles):
            effects = average.effects.sel(kind=one, role=role).values
            if np.isnan(effects).all():
                continue
            layer = int(np.nanargmax(average.measure.better * effects))
            bounds = every.sel(kind=one, role=role).values[:, layer]
            interval = interval_text(*(float(bound) for bound in bounds))
            body.append([site.label, role, str(int(counted[i])), str(layer), precise(float(effects[layer])), interval])
    return Table(columns, body, 2)


def grid_table(name: str, rows: list[str], values: np.ndarray) -> Table:
    """Return a grid: its rows down, layers across."""
    body = [
        [row, *("–" if isnan(value) else precise(float(value)) for value in line)]
        for row, line in zip(rows, values, strict=True)
    ]
    return Table((name, *map(str, range(values.shape[1]))), body)


def interval_text(lower: float, upper: float) -> str:
    """Write an interval down; a dash where there is none."""
    return "–" if isnan(lower) else f"[{precise(lower)}, {precise(upper)}]"
