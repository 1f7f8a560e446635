"""In which rounds the noise samples of a trace come: in a stream, the whole grid for one first, then for the others.

One sample says more of where the peaks are than an estimate from gradients (`benchmarks/samples.py`), so a grid that is
exact for one of them is worth more, and sooner, than some rows of it for all.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from factlens.tracing.separation import LOOKS

if TYPE_CHECKING:
    from factlens.tracing.runs import Runs


def rounds_of(samples: int, *, watched: bool, auto: bool = False) -> list[range]:
    """Return which samples are computed together: all at once, unless the grid is looked at before.

    Parameters
    ----------
    samples
        How many there are.
    watched
        The grid is looked at while it grows, and takes long enough for that: the first sample comes alone. More rounds
        would cost more, and say little that this one does not.
    auto
        A round ends where it is looked whether the samples are enough (`factlens.tracing.separation.LOOKS`).
    """
    ends = [*([1] if watched else []), *(LOOKS if auto else ())]
    return [range(begin, end) for begin, end in pairwise([0, *(end for end in ends if end < samples), samples])]


def only(runs: Runs, samples: range) -> Runs:
    """Return the runs with some of the corrupted rows, without copying them."""
    if len(samples) == runs.samples:
        return runs
    rows = slice(samples.start, samples.stop)
    return replace(
        runs,
        corrupted=runs.corrupted.rows(rows),
        keys=[keys[rows] for keys in runs.keys],
        values=[values[rows] for values in runs.values],
        embedded=runs.embedded[rows],
    )
