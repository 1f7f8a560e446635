"""The model's own tail: final norm, unembedding, and all else that it does before it answers.

Families differ there: no final norm, a projection before the unembedding (OPT-350m), logits that are scaled (Cohere,
Granite) or capped (Gemma 2). So nothing is computed again by hand. The model itself runs, with blocks that hand over
the given states instead of computing their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from factlens.models.hooks import Kept, on_output, replacing_forward
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


def can_narrow(model: Model) -> bool:
    """Whether the unembedding is a plain matrix, of which some rows do as well as all."""
    return type(model.head) is nn.Linear


def narrowed(model: Model, columns: Sequence[int]) -> Any:
    """Return a context in which the model computes some columns of its logits, and no others.

    What comes behind the unembedding treats every column alike: it scales or caps. A large vocabulary is a good part of
    what a short pass costs.

    Parameters
    ----------
    model
        The model, for which `can_narrow` holds.
    columns
        Token ids.
    """
    head = cast("nn.Linear", model.head)
    rows = torch.tensor(columns, device=head.weight.device)
    weight, bias = head.weight[rows], None if head.bias is None else head.bias[rows]
    return replacing_forward([head], lambda hidden: nn.functional.linear(hidden, weight, bias))
