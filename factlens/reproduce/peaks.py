"""At which layer a curve over layers is highest, and how sure that is; numbers as a summary shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from factlens.tracing.statistics import mean_interval

RESAMPLES, LEVEL, SEED = 2_000, 0.95, 0
PART = 0.5
"""The share of a peak that a layer has to have to belong to its site."""


class Peak(NamedTuple):
    """The layer where the mean over facts is largest.

    Attributes
    ----------
    layer
        The layer.
    mean, lower, upper
        The mean there, and its 95 % interval over facts (Student's t; NaN for one fact). That of this layer alone: that
        it was chosen for being the highest is not in it.
    layer_low, layer_high
        The 95 % bootstrap interval of the layer: facts are drawn with replacement, and the peak is looked for again.
    first, last
        The layers around it, without a gap, that have at least half of the mean.
    """

    layer: int
    mean: float
    lower: float
    upper: float
    layer_low: int
    layer_high: int
    first: int
    last: int

    @property
    def where(self) -> str:
        """The layer with its interval."""
        return f"layer {self.layer} [{self.layer_low}, {self.layer_high}]"

    @property
    def site(self) -> str:
        """The layers that have at least half of the peak."""
        return f"layer {self.first}" if self.first == self.last else f"layers {self.first} to {self.last}"


def peak_of(values: np.ndarray, layers: Sequence[int] | None = None) -> Peak:
    """Return the peak of a mean over facts.

    Parameters
    ----------
    values
        By fact and layer, ``(facts, layers)``, without gaps.
    layers
        Which layers these are. Default: all, from 0.
    """
    layers = range(values.shape[1]) if layers is None else layers
    values = np.asarray(values, dtype=np.float64)
    mean = values.mean(0)
    at = int(mean.argmax())
    count = len(values)
    times = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    drawn = (times @ values).argmax(1)
    tail = (1 - LEVEL) / 2
    low, high = (int(place) for place in np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf"))
    lower, upper = mean_interval(values[:, at], LEVEL)
    inside = mean >= PART * mean[at]
    first = last = at
    while first > 0 and inside[first - 1]:
        first -= 1
    while last + 1 < len(mean) and inside[last + 1]:
        last += 1
    return Peak(
        layers[at], float(mean[at]), float(lower), float(upper), layers[low], layers[high], layers[first], layers[last]
    )


def percent(mean: float, lower: float = math.nan, upper: float = math.nan) -> str:
    """Return a share as ``"6.6 % [5.1, 8.1]"``; without an interval where there is none."""
    if math.isnan(mean):
        return "–"
    return f"{100 * mean:.1f} %" + ("" if math.isnan(lower) else f" [{100 * lower:.1f}, {100 * upper:.1f}]")


def number(mean: float, lower: float = math.nan, upper: float = math.nan) -> str:
    """Return a number as ``"0.41 [0.22, 0.60]"``; without an interval where there is none."""
    if math.isnan(mean):
        return "–"
    return f"{mean:.2f}" + ("" if math.isnan(lower) else f" [{lower:.2f}, {upper:.2f}]")


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; a bar or the end of a line in a cell does not end that."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
