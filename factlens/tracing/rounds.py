"""In which rounds the noise samples of a trace come: the whole grid for one of them first, then the others.

One sample says more of where the peaks are than an estimate from gradients (`benchmarks/samples.py`), so a grid that is
exact for one of them is worth more, and sooner, than some rows of it for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from factlens.tracing.separation import LOOKS

if TYPE_CHECKING:
    from factlens.tracing.runs import Runs

_ENDS = (1, 4, 10)
"""How many samples the whole grid has after each round, to begin with; then twice as many each time."""


def rounds_of(samples: int, *, least: int = 1, auto: bool = False) -> Iterator[range]:
    """Yield which samples are computed together, so that all of them come once: of ten, 1, then 3, then 6.

    Parameters
    ----------
    samples
        How many there are.
    least
        How many have to come together, after the first, so that batches are full: rounds with fewer are one with the
        next.
    auto
        Rounds end where it is looked whether they are enough (`factlens.tracing.separation.LOOKS`).
    """
    ends = [1, *LOOKS] if auto else list(_ENDS)
    while ends[-1] < samples:
        ends.append(samples if auto else 2 * ends[-1])
    ends = [end for end in ends if end < samples]
    if not auto:
        ends = [end for begin, end in pairwise([0, *ends]) if begin == 0 or end - begin >= least]
        if len(ends) > 1 and samples - ends[-1] < least:
            ends.pop()
    for begin, end in pairwise([0, *ends, samples]):
        yield range(begin, end)


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
