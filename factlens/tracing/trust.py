"""How far a trace can be trusted, in words: for captions, legends and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from factlens.drawing.numbers import brief, counted, precise
from factlens.tracing.protocol import AUTO, Replacement
from factlens.tracing.separation import MOST
from factlens.visible import as_label

if TYPE_CHECKING:
    from factlens.tracing.result import Trace


_HARDLY = 1e-3
"""An answer less probable than that has a grid that is empty to the eye."""


def trust_in(trace: Trace) -> str:
    """Say how far the numbers of a trace can be trusted; see `Trace.trust`."""
    counts, most = trace.sample_counts.values, int(trace.samples.sizes["sample"])
    least = int(counts.min())
    if isinstance(trace.corruption, Replacement):
        return "exact: one other subject in its place" if least else _share(trace, counts, "exact")
    samples = counted(most, "noise sample")
    if least == most:
        return f"{samples}{_separation(trace, most)}: {_widest(trace)}"
    if least:
        return f"exact for {least} of {samples}" + (f", {_widest(trace)}" if least > 1 else "")
    first = int(counts[counts > 0].min(initial=most))
    return _share(trace, counts, f"exact for {samples if first == most else f'{first} of {samples}'}")


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
        remarks.append(f"{_says(trace)}, and not “{as_label(str(trace.fact.object))}”")
    elif _is_hopeless(trace):
        share = f"p = {precise(trace.high)}"
        remarks.append(f"{_says(trace)}, and hardly ever “{as_label(trace.answer)}” ({share}): p can show no effect")
    if trace.total_within_noise:
        remarks.append("no effect: the noise samples do not tell what corrupting the subject does from nothing")
    return tuple(remarks)


def _says(trace: Trace) -> str:
    if trace.says is None:
        return "the model says something else here"
    share = "" if trace.says_probability is None else f" with p = {precise(trace.says_probability)}"
    return f"the model says “{as_label(trace.says)}” here{share}"


def _is_hopeless(trace: Trace) -> bool:
    """Whether an answer was asked for that the model gives next to no probability, and that is what is drawn."""
    if trace.answer_given is None or trace.says_probability is None or not trace.measure.share:
        return False
    return trace.high < min(_HARDLY, trace.says_probability / 10)


def _share(trace: Trace, counts: np.ndarray, what: str) -> str:
    done = int((counts > 0).sum())
    rest = "not computed" if trace.estimate is None else "an estimate from gradients"
    return f"{what} in {done} of {counts.size} cells, else {rest}"


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
