"""The key that serves the bare prompt and the others alike.

ROME stores its value under the mean of a fact's keys over contexts. What of the change δ then arrives at another key k
is the share ``kᵀC⁻¹k* / k*ᵀC⁻¹k*``. Where a prompt begins with its subject, the key there has little in common with
those behind a prefix (a first token draws attention, and has activations of its own), and the share of the bare prompt,
which is what the edit is asked for, can be next to nothing. Of the keys between the mean and the bare one, the shortest
in the metric of C⁻¹ gives both the whole change: the difference of the two is orthogonal to it. That is ROME's least
squares with two constraints in place of one, ``ΔW k = δ`` for the mean key and for the bare one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from factlens.editing.values import Values


def balanced_keys(values: Values, solve: Callable[[Tensor], Tensor]) -> Tensor:
    """Return for each fact the shortest of the keys between its mean key and its bare one, in the metric of C⁻¹.

    Parameters
    ----------
    values
        With the keys.
    solve
        ``K ↦ C⁻¹ K`` for keys in columns.

    Returns
    -------
    Tensor
        ``(facts, keys)``, float64.
    """
    mean, bare = values.keys, values.bare_keys
    across = bare - mean
    weighted = solve(across.T).T
    length = (across * weighted).sum(1)
    # Where along the way from the mean to the bare one; both are the same where there is a single context.
    way = -(mean * weighted).sum(1) / torch.where(length > 0, length, torch.ones_like(length))
    return mean + way.clamp(0.0, 1.0)[:, None] * across
