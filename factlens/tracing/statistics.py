"""Means with confidence intervals, of as many numbers as are there."""

from __future__ import annotations

import numpy as np


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence interval of the mean over the last axis, by Student's t.

    Numbers that are missing (NaN) do not count; fewer than two give no interval, so both bounds are NaN. Student's t is
    exact for normal values however few they are: it pays for a standard deviation that is itself an estimate by being
    wide (12.7 standard errors at each side for two values, 2.3 for ten).
    """
    from scipy.stats import t

    count = np.isfinite(values).sum(-1)
    mean, spread = mean_at_hand(values), spread_at_hand(values)
    free = np.where(count > 1, count - 1, np.nan)
    half = t.ppf((1 + level) / 2, free) * spread / np.sqrt(np.maximum(count, 1))
    return mean - half, mean + half


def mean_at_hand(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of the numbers that are there, in float64; NaN where there is none."""
    there = np.isfinite(values)
    if there.all():
        return np.asarray(values.mean(-1, dtype=np.float64))
    count = there.sum(-1)
    total = np.where(there, values, 0).sum(-1, dtype=np.float64)
    return np.asarray(total / np.where(count > 0, count, np.nan))


def spread_at_hand(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation (n - 1) over the last axis of what is there; NaN for fewer than two."""
    there = np.isfinite(values)
    count = there.sum(-1)
    if there.all() and values.shape[-1] > 1:
        return np.asarray(values.std(-1, ddof=1, dtype=np.float64))
    squares = np.where(there, values - mean_at_hand(values)[..., None], 0) ** 2
    return np.asarray(np.sqrt(squares.sum(-1) / np.where(count > 1, count - 1, np.nan)))


def none_to_speak_of(effects: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Return whether the confidence interval of the mean over the last axis contains zero; False for fewer than three.

    Two values tell next to nothing of their own spread.
    """
    lower, upper = mean_interval(effects, level)
    return np.asarray((np.isfinite(effects).sum(-1) > 2) & (lower <= 0) & (upper >= 0))
