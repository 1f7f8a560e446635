"""EMMET: many facts in one layer, each stored exactly (Gupta, Sajnani and Anumanchipalli 2024).

ROME's constrained least squares with n equality constraints instead of one: of all matrices that map every key to its
value, the one that disturbs the keys described by C least,

    W + R (Kᵀ C⁻¹ K + ridge · I)⁻¹ Kᵀ C⁻¹,     R = V* − W K.

With one fact and no ridge this is R-ROME.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from factlens.arguments import flag
from factlens.editing.advice import NOT_PUT_OUT, Circumstances, Reason, another_layer, larger_bare_share
from factlens.editing.balance import balanced_keys
from factlens.editing.hparams import SolvedHparams, a_number, setting
from factlens.editing.methods.base import RIDGE, VALUE_KNOBS, Method, Problem, Solution, weight_knobs
from factlens.editing.methods.rome import FEW_CONTEXTS, store
from factlens.editing.namesakes import Memory
from factlens.editing.shrinkage import shrinkage_for
from factlens.editing.strength import a_strength, advised_weight, weight_for
from factlens.editing.values import Values
from factlens.models import LowRank
from factlens.models.model import Projection


@dataclass(frozen=True)
class EmmetHparams(SolvedHparams):
    """Settings of EMMET (Gupta et al. 2024), which stores many facts in one layer as exactly as ROME stores one.

    Attributes
    ----------
    ridge
        Ridge on ``Kᵀ C⁻¹ K``, for more than one fact. With one fact there is none, and the method is R-ROME. None: what
        gives a typical new key alone the share `strength` of what it asks for.
    strength
        That share; it counts where `ridge` is None. See `factlens.editing.strength`.
    balanced
        Take for each fact the key between the mean over contexts and the bare prompt's by which both get the whole
        change, as far as the other facts leave it, instead of the mean; see `factlens.editing.balance`.
    """

    method: ClassVar[str] = "emmet"

    ridge: float | None = a_number(0.1, open=True, least=0)
    strength: float = a_strength()
    balanced: bool = setting(False, flag)


def solve(problem: Problem[EmmetHparams]) -> Solution:
    """Optimise v* of every fact, and store all of them in the layer."""
    return store(problem, equality_update)


def equality_update(projection: Projection, values: Values, moment: Memory, hparams: EmmetHparams) -> LowRank:
    """Return the closed-form update for all facts, solved in float64; parameters as in `rome.rank_one_update`."""
    shrinkage = shrinkage_for(moment, hparams.shrinkage, 1e-3)
    keys, outputs = values.keys, values.outputs
    if hparams.balanced:
        keys, outputs = balanced_keys(values, lambda some: moment.solve(some, shrinkage)), values.bare_outputs
    keys, residual = keys.T, (values.optimised - outputs).T
    spread = moment.solve(keys, shrinkage)
    gram = keys.T @ spread
    if len(gram) > 1:
        gram = gram + weight_for(gram, hparams.ridge, hparams.strength) * torch.eye(len(gram), dtype=gram.dtype)
    return projection.low_rank(residual, torch.linalg.solve(gram, spread.T))


def advise(made: Circumstances, report: Mapping[str, Any]) -> Reason:
    """Say what may have held the weights back: the ridge between many facts, or the mean key."""
    tries = [advised_weight("ridge", made.hparams)] if made.facts > 1 else []
    keys = [] if made.hparams.balanced else larger_bare_share(made)
    return NOT_PUT_OUT, [*tries, *keys, another_layer(made)]


EMMET = Method(
    title="EMMET",
    source="Gupta, Sajnani and Anumanchipalli 2024",
    hparams=EmmetHparams,
    solve=solve,
    needs_moments=True,
    most_layers=1,
    site="mlp",
    doing="optimising v*",
    knobs=(*VALUE_KNOBS, *weight_knobs(RIDGE)),
    elsewhere={"ridge": None, "contexts": FEW_CONTEXTS, "balanced": True},
    tries={"ridge": (None,), "strength": (0.8, 0.95, 0.5)},
    advise=advise,
)
