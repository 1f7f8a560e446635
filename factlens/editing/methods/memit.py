"""MEMIT: many facts at once, spread over several layers (Meng et al. 2023).

Each layer gets its share of what is still missing (`factlens.editing.spreading`) by

    W + R Kᵀ (λ C + K Kᵀ)⁻¹,

the least-squares answer to "put out R more for these keys, and nothing more for λ keys of ordinary text" (Equation 14).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from factlens.arguments import some_texts
from factlens.editing.advice import Circumstances, Reason, another_layer, larger_bare_share
from factlens.editing.batches import contexts_of
from factlens.editing.hparams import Defaults, SolvedHparams, a_number, setting, some_contexts
from factlens.editing.methods import published
from factlens.editing.methods.base import VALUE_KNOBS, Knob, Method, Problem, Solution, weight_knobs
from factlens.editing.namesakes import Memory, guarded
from factlens.editing.shrinkage import shrinkage_for
from factlens.editing.spreading import Solve, spread
from factlens.editing.strength import a_strength, advised_weight, weight_for

OPENINGS = ("The", "Therefore", "Because", "I", "You")
"""The words that the published code lets the model continue by ten tokens."""


@dataclass(frozen=True)
class MemitHparams(SolvedHparams):
    """Settings of MEMIT (Meng et al. 2023); those of z are `ValueHparams`.

    Attributes
    ----------
    moment_weight
        λ in ``(λ C + K Kᵀ)⁻¹``: how many keys of ordinary text the new ones have to hold out against. None: in every
        layer as many as give a typical new key alone the share `strength` of what it asks for.
    strength
        That share; it counts where `moment_weight` is None. See `factlens.editing.strength`.
    """

    method: ClassVar[str] = "memit"

    clamp: float = a_number(0.75, above=0)
    contexts: tuple[tuple[int, int], ...] = setting((), some_contexts)
    openings: tuple[str, ...] = setting(OPENINGS, some_texts)
    moment_weight: float | None = a_number(15_000.0, open=True, above=0)
    strength: float = a_strength()


def solve(problem: Problem[MemitHparams]) -> Solution:
    """Spread the facts over the layers; later edits need not know their keys."""
    contexts = contexts_of(problem)
    closed = least_squares(guarded(problem, contexts), problem.hparams)
    return replace(spread(replace(problem, contexts=contexts), closed), keys={})


def least_squares(moments: Mapping[int, Memory], hparams: MemitHparams) -> Solve:
    """Return ``K ↦ (λ C + K Kᵀ)⁻¹ K`` in float64.

    By the matrix inversion lemma this is ``U (I + Kᵀ U)⁻¹`` with ``U = (λ C)⁻¹ K``: one solve with the factor of C that
    is kept, and one as large as there are facts, instead of a factorisation as large as the keys for every edit.
    """

    def solve(layer: int, keys: Tensor) -> Tensor:
        against = moments[layer].solve(keys, shrinkage_for(moments[layer], hparams.shrinkage, 0.0))
        against = against / weight_for(keys.T @ against, hparams.moment_weight, hparams.strength)
        small = torch.eye(keys.shape[1], dtype=keys.dtype) + keys.T @ against
        solved: Tensor = torch.linalg.solve(small, against.T).T
        return solved

    return solve


def advise(made: Circumstances, report: Mapping[str, Any]) -> Reason:
    """Say what may have held the weights back: ordinary text."""
    tries = [advised_weight("moment_weight", made.hparams), *larger_bare_share(made)]
    return "the weights moved too little", [*tries, another_layer(made)]


_MOMENT_WEIGHT = Knob("moment_weight", "moment weight", "weight of leaving ordinary text alone", 100)

MEMIT = Method(
    title="MEMIT",
    source="Meng et al. 2023",
    hparams=MemitHparams,
    solve=solve,
    needs_moments=True,
    spreads=True,
    site="block",
    doing="optimising v*",
    knobs=(*VALUE_KNOBS, *weight_knobs(_MOMENT_WEIGHT)),
    published={
        published.GPT2_XL: Defaults((13, 14, 15, 16, 17), MemitHparams(moment_weight=20_000), published.MENG23),
        published.GPTJ: Defaults((3, 4, 5, 6, 7, 8), MemitHparams(steps=25), published.MENG23),
        published.LLAMA3: Defaults((4, 5, 6, 7, 8), MemitHparams(steps=25, learning_rate=0.1), published.FANG25),
    },
    # The published weights of C are those of models whose keys are four to ten times as long.
    elsewhere={"moment_weight": None},
    tries={"moment_weight": (None,), "strength": (0.8, 0.5, 0.95)},
    advise=advise,
)
