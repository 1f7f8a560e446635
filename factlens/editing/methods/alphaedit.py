"""AlphaEdit: MEMIT confined to the directions that the keys of ordinary text do not use (Fang et al. 2025).

With P the projection onto the null space of C (directions in which it is below a threshold), K the facts' keys, and Kₚ
those of earlier edits of the same layer,

    ΔWᵀ = (P (K Kᵀ + Kₚ Kₚᵀ) + L2 · I)⁻¹ P K Rᵀ.

The columns of P K lie in the null space, and so does the answer: with A = [K Kₚ], it is ``P A (Aᵀ P A + L2 · I)⁻¹`` cut
to the columns of K, a solve as large as there are facts instead of one as large as the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from factlens.arguments import flag, some_texts
from factlens.editing.advice import Circumstances, Reason, another_layer, larger_bare_share, now
from factlens.editing.hparams import Defaults, ValueHparams, a_number, setting, some_contexts
from factlens.editing.methods import published
from factlens.editing.methods.base import RIDGE, VALUE_KNOBS, Knob, Method, Problem, Solution, weight_knobs
from factlens.editing.methods.memit import OPENINGS
from factlens.editing.record import Edit
from factlens.editing.spreading import Solve, spread
from factlens.editing.strength import a_strength, advised_weight, weight_for
from factlens.errors import NumericalError
from factlens.moments import SecondMoment


@dataclass(frozen=True)
class AlphaEditHparams(ValueHparams):
    """Settings of AlphaEdit (Fang et al. 2025): MEMIT confined to what the keys of ordinary text do not use.

    Attributes
    ----------
    nullspace
        Directions in which C has less than this (as a share of its mean diagonal where `relative`) count as unused.
    relative
        Whether `nullspace` is a share. The published 0.02 is absolute, and means something else for every model.
    ridge
        L2 in ``(P (K Kᵀ + Kₚ Kₚᵀ) + L2 I)⁻¹``. None: in every layer what gives a typical new key alone the share
        `strength` of what it asks for.
    strength
        That share; it counts where `ridge` is None. See `factlens.editing.strength`.
    """

    method: ClassVar[str] = "alphaedit"

    clamp: float = a_number(0.75, above=0)
    contexts: tuple[tuple[int, int], ...] = setting((), some_contexts)
    openings: tuple[str, ...] = setting(OPENINGS, some_texts)
    nullspace: float = a_number(2e-2, above=0)
    relative: bool = setting(False, flag)
    ridge: float | None = a_number(10.0, open=True, above=0)
    strength: float = a_strength()


def solve(problem: Problem[AlphaEditHparams]) -> Solution:
    """Spread the facts over the layers; their keys are kept, for later edits to leave alone."""
    earlier: dict[int, Tensor] = {}
    for layer in problem.layers:
        stored = [edit.keys[layer] for edit in problem.model.edits if isinstance(edit, Edit) and layer in edit.keys]
        if stored:
            earlier[layer] = torch.cat(stored, 1)
    return spread(problem, null_space(problem.moments, earlier, problem.hparams))


def null_space(moments: Mapping[int, SecondMoment], earlier: Mapping[int, Tensor], hparams: AlphaEditHparams) -> Solve:
    """Return the closed form above, in float64.

    Parameters
    ----------
    moments
        C at each layer.
    earlier
        Kₚ at each layer that was edited by this method before, ``(keys, facts)``.
    hparams
        `nullspace`, `relative`, `ridge`.
    """

    def solve(layer: int, keys: Tensor) -> Tensor:
        used = moments[layer].used_directions(hparams.nullspace, relative=hparams.relative)
        if used.shape[1] == len(used):
            raise NumericalError(
                f"Ordinary text uses all directions of the keys of layer {layer}: none has less than the threshold "
                f"nullspace={hparams.nullspace:g}. Raise it, or collect more tokens."
            )
        together = torch.cat([keys, earlier[layer]], 1) if layer in earlier else keys
        free = together - used @ (used.T @ together)
        gram = free.T @ free
        ridge = weight_for(gram[: keys.shape[1], : keys.shape[1]], hparams.ridge, hparams.strength)
        gram = gram + ridge * torch.eye(free.shape[1], dtype=free.dtype)
        solved: Tensor = torch.linalg.solve(gram, free.T)[: keys.shape[1]].T
        return solved

    return solve


def advise(made: Circumstances, report: Mapping[str, Any]) -> Reason:
    """Say what may have held the weights back: too small a null space, or the ridge."""
    tries = [now("a larger nullspace", "nullspace", made.hparams), advised_weight("ridge", made.hparams)]
    return "the weights moved too little", [*tries, *larger_bare_share(made), another_layer(made)]


ALPHAEDIT = Method(
    title="AlphaEdit",
    source="Fang et al. 2025",
    hparams=AlphaEditHparams,
    solve=solve,
    needs_moments=True,
    spreads=True,
    site="block",
    doing="optimising v*",
    knobs=(
        *VALUE_KNOBS,
        Knob("nullspace", "null space", "directions with less variance than this are free to use", 0.01),
        *weight_knobs(RIDGE),
    ),
    published={
        published.GPT2_XL: Defaults((13, 14, 15, 16, 17), AlphaEditHparams(), published.FANG25),
        published.GPTJ: Defaults((3, 4, 5, 6, 7, 8), AlphaEditHparams(steps=25), published.FANG25),
        published.LLAMA3: Defaults((4, 5, 6, 7, 8), AlphaEditHparams(steps=25, learning_rate=0.1), published.FANG25),
    },
    # At a fiftieth of the mean, what is left is too little for some facts of SmolLM2; from a tenth on, it spares less.
    elsewhere={"relative": True, "nullspace": 0.05, "ridge": None},
    tries={"relative": (True,), "nullspace": (0.05, 0.1, 0.3), "ridge": (None,), "strength": (0.8, 0.5)},
    advise=advise,
)
