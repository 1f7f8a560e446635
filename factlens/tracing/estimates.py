"""Estimates of a whole grid before its exact numbers: a function each, registered in one table.

This file asks for no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from factlens.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from factlens.tracing.answers import Measurement
    from factlens.tracing.runs import Runs

Estimator = Callable[["Runs", "Measurement", Sequence[str], int, str, int], "np.ndarray | None"]
"""As `factlens.tracing.attribution_patching.estimate`, of runs that were made with gradients enabled."""

ATTRIBUTION_PATCHING = "attribution_patching"
ESTIMATES: Registry[Estimator] = Registry(
    "estimate", {ATTRIBUTION_PATCHING: "factlens.tracing.attribution_patching:estimate"}
)
"""What `estimate=` of a trace takes. One so far, whose quality the heatmap tells; a trace keeps no name of it."""


def an_estimate(argument: str, value: Any) -> str:
    """Return the name of an estimate that was given.

    Raises
    ------
    ArgumentError
        If there is none of that name.
    """
    ESTIMATES.named(argument, value)
    return str(value)
