"""Bootstrap intervals over records."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np

RESAMPLES, LEVEL, SEED = 2_000, 0.95, 0
_AT_ONCE = 250


class Interval(NamedTuple):
    """A mean over records with its 95 % interval, and how many records it is of."""

    mean: float
    low: float
    high: float
    records: int

    @classmethod
    def unknown(cls) -> Self:
        """Return what is known of nothing."""
        return cls(math.nan, math.nan, math.nan, 0)


def interval(
    columns: Sequence[np.ndarray], combine: Callable[[Sequence[float]], float] = lambda means: means[0]
) -> Interval:
    """Return the mean of records, or of several columns combined, with its bootstrap percentile interval.

    Records are drawn with replacement, all columns of a record together, and each column's mean is over the drawn
    records that have it (Efron & Tibshirani 1993, section 13.3).

    Parameters
    ----------
    columns
        Numbers by record; NaN where a record has none.
    combine
        What to make of the columns' means.
    """
    table = np.stack(columns, 1)
    table = table[~np.isnan(table).all(1)]
    count = len(table)
    if not count or np.isnan(table).all(0).any():
        return Interval.unknown()
    valid = ~np.isnan(table)
    numbers = np.where(valid, table, 0.0)
    mean = combine(list(numbers.sum(0) / valid.sum(0)))
    if count < 2:
        return Interval(float(mean), math.nan, math.nan, count)
    random = np.random.default_rng(SEED)
    drawn: list[float] = []
    for _ in range(0, RESAMPLES, _AT_ONCE):
        # How often each record is drawn: sums over the drawn records are then a product of matrices.
        times = random.multinomial(count, np.full(count, 1 / count), size=_AT_ONCE).astype(float)
        with np.errstate(invalid="ignore"):
            drawn += [combine(list(row)) for row in (times @ numbers) / (times @ valid)]
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(mean), float(low), float(high), count)
