"""How heavily ordinary text weighs against new keys, told by the keys themselves.

MEMIT, EMMET and AlphaEdit all store keys K by ``R (Kᵀ U + w I)⁻¹ Uᵀ``, with U the keys as they are left after ordinary
text had its say (``C⁻¹ K``, or ``P K``) and a weight w of one number: MEMIT's λ, EMMET's ridge, AlphaEdit's L2. A key k
that shares nothing with the others gets ``g / (g + w)`` of the residual that it asks for, ``g = kᵀ u``. What a weight
means therefore depends on the length of the keys, on how many they have of dimensions (over ordinary text
``kᵀ C⁻¹ k`` is that number on average), and on how many tokens C was collected from. MEMIT's published 15,000 is about
the width of GPT-J's keys, 16,384; it lets a model with keys of 1,536 store next to nothing.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from factlens.editing.advice import now
from factlens.editing.hparams import Hparams, a_number


def a_strength() -> Any:
    """Return the field of a settings class for the share that a typical key gets; 0.8 by default."""
    return a_number(0.8, above=0, below=1)


def weight_for(gram: Tensor, asked: float | None, strength: float) -> float:
    """Return the weight against new keys: the one that is given, or the one that lets them have their share.

    Parameters
    ----------
    gram
        ``Kᵀ U``, ``(facts, facts)``.
    asked
        The weight that was asked for, or None.
    strength
        The share of its residual that the median key gets, if it shares nothing with the others; between 0 and 1.
    """
    return asked if asked is not None else float(gram.diagonal().median()) * (1 - strength) / strength


def advised_weight(setting: str, hparams: Hparams) -> str:
    """Return as advice a smaller weight, or a larger strength where that decides."""
    if getattr(hparams, setting) is None:
        return now("a larger strength", "strength", hparams)
    return now(f"a smaller {setting}", setting, hparams)
