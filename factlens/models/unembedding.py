"""The model's own tail: final norm, unembedding, and whatever else it does before it answers.

Families differ there: no final norm, a projection before the unembedding (OPT-350m), logits that are scaled (Cohere,
Granite) or capped (Gemma 2). So nothing is computed again by hand. The model itself runs, with blocks that hand over
the given states instead of computing their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from factlens.models.hooks import on_input, replacing_forward
from factlens.models.model import Model


def unembed(model: Model, hidden: Tensor) -> Tensor:
    """Return the logits that the model would give if its last block put out these states.

    For the output of another block than the last, this is the logit lens (nostalgebraist 2020).

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    hidden
        Residual states, ``(..., width)``.

    Returns
    -------
    torch.Tensor
        ``(..., vocabulary)``, float32.
    """
    return tail(model, hidden)[1]


@torch.no_grad()
def tail(model: Model, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the unembedding reads for some residual states, and the logits.

    Parameters
    ----------
    model, hidden
        As for `unembed`.

    Returns
    -------
    tuple of torch.Tensor
        The states after the final norm, and after the projection where there is one, ``(..., unembedding width)``;
        the logits, ``(..., vocabulary)``. Both float32.
    """
    # Every state is a text of one token: the tail treats each alone.
    rows = hidden.reshape(-1, 1, hidden.shape[-1])
    read: list[Tensor] = []

    def block(*_args: Any, **_kwargs: Any) -> Any:
        return (rows,) if model.returns_tuple else rows

    stand_in = torch.zeros(len(rows), 1, model.embedding_width, dtype=model.dtype, device=model.device)
    with replacing_forward(model.blocks, block), on_input(model.head, read.append):
        logits = model.model(inputs_embeds=stand_in, use_cache=False).logits
    shape = hidden.shape[:-1]
    return read[0].float().reshape(*shape, -1), logits.float().reshape(*shape, -1)
