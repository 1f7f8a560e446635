"""How far a trace can be trusted, in words: for captions, legends and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from factlens.drawing.numbers import brief, precise
from factlens.tracing.protocol import AUTO, Replacement
from factlens.tracing.separation import MOST
from factlens.visible import as_label

if TYPE_CHECKING:
    from factlens.tracing.result import Trace


def trust_in(trace: Trace) -> str:
    """Say how far the numbers of a trace can be trusted; see `Trace.trust`."""
    counts, most = trace.sample_counts.values, int(trace.samples.sizes["sample"])
    least = int(counts.min())
    if isinstance(trace.corruption, Replacement):
        return "exact: one other subject in its place" if least else _share(trace, counts, "exact")
    if least == most:
        return f"{_samples(most)}{_separation(trace, most)}: {_widest(trace)}"
    if least:
        return f"exact for {least} of {_samples(most)}" + (f", {_widest(trace)}" if least > 1 else "")
    first = int(counts[counts > 0].min(initial=most))
    return _share(trace, counts, f"exact for {_samples(most) if first == most else f'{first} of {_samples(most)}'}")


def total_in_words(trace: Trace) -> str:
    """Say the total effect, with its 95 % interval where there is one."""
    percent = trace.measure.share
    lower, upper = trace.total_interval()
    interval = "" if np.isnan(lower) else f" [{brief(lower, percent)}, {brief(upper, percent)}]"
    return f"total effect {brief(trace.total_effect, percent)}{interval}"


def remarks_on(trace: Trace) -> tuple[str, ...]:
    """Say what is to be known before anything is read off the grids; see `Trace.remarks`."""
    remarks = []
    if trace.known is False:
        says = "" if trace.says is None else f": it says “{as_label(trace.says)}”"
        share = "" if trace.says_probability is None else f" with p = {precise(trace.says_probability)}"
        remarks.append(f"the model does not know this{says}{share}")
    if trace.total_within_noise:
        remarks.append("no effect: the noise samples do not tell what corrupting the subject does from nothing")
    return tuple(remarks)


def _share(trace: Trace, counts: np.ndarray, what: str) -> str:
    done = int((counts > 0).sum())
    rest = "not computed" if trace.estimate is None else "an estimate from gradients"
    return f"{what} in {done} of {counts.size} cells, else {rest}"


def _samples(count: int) -> str:
    return f"{count} noise sample{'' if count == 1 else 's'}"


def _separation(trace: Trace, count: int) -> str:
    """Say whether a number of samples that was not given is enough."""
    if trace.sampling != AUTO:
        return ""
    return ", which separate the leading cells" if count < MOST else ", which do not separate all leading cells"


def _widest(trace: Trace) -> str:
    """Say how wide the 95 % intervals are."""
    lower, upper = trace.interval().values
    half = (upper - lower) / 2
    if np.isnan(half).all():
        return "one tells no interval"
    return f"95 % intervals of effects at most ±{precise(float(np.nanmax(half)))}"
