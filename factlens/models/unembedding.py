"""The model's own tail: final norm, unembedding, and all else that it does before it answers.

Families differ there: no final norm, a projection before the unembedding (OPT-350m), logits that are scaled (Cohere,
Granite) or capped (Gemma 2). So nothing is computed again by hand. The model itself runs, with blocks that hand over
the given states instead of computing their own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from factlens.models.hooks import Kept, on_output
from factlens.models.model import Model
from factlens.models.partial import run_from


@torch.no_grad()
def tail(model: Model, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the unembedding reads, and the logits, if the model's last block put out these states.

    For the output of another block than the last, this is the logit lens (nostalgebraist 2020).

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    hidden
        Residual states, ``(..., width)``.

    Returns
    -------
    tuple of torch.Tensor
        The states after the final norm, and after the projection where there is one, ``(..., unembedding width)``;
        the logits, ``(..., vocabulary)``. Both float32.
    """
    # Every state is a text of one token: the tail treats each alone.
    rows = hidden.reshape(-1, 1, hidden.shape[-1])
    read = Kept()
    contexts = [on_output(model.blocks[-1], lambda _: rows), read.input(model.head)]
    logits = run_from(model, model.n_layers, len(rows), contexts)
    shape = hidden.shape[:-1]
    return read[0].float().reshape(*shape, -1), logits.float().reshape(*shape, -1)
