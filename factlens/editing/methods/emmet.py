"""EMMET: many facts in one layer, each stored exactly (Gupta, Sajnani and Anumanchipalli 2024).

ROME's constrained least squares with n equality constraints instead of one: of all matrices that map every key to its
value, the one that disturbs the keys described by C least,

    W + R (Kᵀ C⁻¹ K + ridge · I)⁻¹ Kᵀ C⁻¹,     R = V* − W K.

With one fact and no ridge this is R-ROME.
"""

from __future__ import annotations

import torch

from factlens.editing.hparams import EmmetHparams
from factlens.editing.values import Values
from factlens.models import LowRank
from factlens.models.model import Projection
from factlens.moments import SecondMoment


def equality_update(projection: Projection, values: Values, moment: SecondMoment, hparams: EmmetHparams) -> LowRank:
    """Return the closed-form update for all facts, solved in float64; parameters as in `rome.rank_one_update`."""
    keys, residual = values.keys.T, (values.wanted - values.outputs).T
    spread = moment.solve(keys, hparams.shrinkage)
    gram = keys.T @ spread
    if len(gram) > 1:
        gram = gram + hparams.ridge * torch.eye(len(gram), dtype=gram.dtype)
    return projection.low_rank(residual, torch.linalg.solve(gram, spread.T))
