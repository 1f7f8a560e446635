"""ROME: rank-one editing of one MLP down projection (Meng et al. 2022, Section 3.1).

The down projection W of one layer is read as a linear memory that maps keys to values. To store a new fact,

1. the key k* is the projection's input at the subject's last token, averaged over contexts (Equation 3);
2. the value v* is the output there that makes the model say the new object (Equation 4, `values`);
3. W + Λ (C⁻¹k*)ᵀ with Λ = (v* − Wk*) / (C⁻¹k*)ᵀk* stores the pair with the least disturbance of the keys that C
   describes (Equation 2).
"""

from __future__ import annotations

from factlens.editing.hparams import RomeHparams
from factlens.editing.values import Values
from factlens.models import LowRank
from factlens.models.model import Projection
from factlens.moments import SecondMoment


def rank_one_update(projection: Projection, values: Values, moment: SecondMoment, hparams: RomeHparams) -> LowRank:
    """Return the closed-form update of Equation 2 for one fact, solved in float64.

    Parameters
    ----------
    projection
        The matrix to change.
    values
        Key and v* of the fact.
    moment
        C at this layer.
    hparams
        `shrinkage`, and `as_published`.
    """
    key, output = values.keys[0], values.outputs[0]
    direction = moment.solve(key, hparams.shrinkage)
    # The published code has two keys: the mean over contexts in C⁻¹k, the bare prompt's elsewhere. R-ROME takes the
    # mean throughout. A bias of the projection stands in the values on both sides, and cancels.
    if hparams.as_published:
        key, output = values.bare_keys[0], values.bare_outputs[0]
    value = (values.wanted[0] - output) / (key @ direction)
    return projection.low_rank(value[:, None], direction[None])
