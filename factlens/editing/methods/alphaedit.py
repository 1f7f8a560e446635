"""AlphaEdit: MEMIT confined to the directions that the keys of ordinary text do not use (Fang et al. 2025).

With P the projection onto the null space of C (directions in which it is below a threshold), K the facts' keys, and Kₚ
those of earlier edits of the same layer,

    ΔWᵀ = (P (K Kᵀ + Kₚ Kₚᵀ) + L2 · I)⁻¹ P K Rᵀ.

The columns of P K lie in the null space, and so does the answer: with A = [K Kₚ], it is ``P A (Aᵀ P A + L2 · I)⁻¹`` cut
to the columns of K, a solve as large as there are facts instead of one as large as the keys.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from factlens.editing.hparams import AlphaEditHparams
from factlens.editing.spreading import Solve
from factlens.errors import NumericalError
from factlens.moments import SecondMoment


def null_space(moments: dict[int, SecondMoment], earlier: Mapping[int, Tensor], hparams: AlphaEditHparams) -> Solve:
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
        known = torch.cat([keys, earlier[layer]], 1) if layer in earlier else keys
        free = known - used @ (used.T @ known)
        gram = free.T @ free + hparams.ridge * torch.eye(free.shape[1], dtype=free.dtype)
        solved: Tensor = torch.linalg.solve(gram, free.T)[: keys.shape[1]].T
        return solved

    return solve
