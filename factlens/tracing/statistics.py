"""Means with confidence intervals."""

from __future__ import annotations

import numpy as np


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence interval of the mean over the last axis, by Student's t; NaN for fewer than two values."""
    from scipy.stats import t

    count = values.shape[-1]
    mean = values.mean(-1, dtype=np.float64)
    if count < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = float(t.ppf((1 + level) / 2, count - 1)) * values.std(-1, ddof=1, dtype=np.float64) / np.sqrt(count)
    return mean - half, mean + half
