"""What the down projections read at the subject's last token: the keys of some prompts, at several layers in a pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from factlens.models import Model
from factlens.models.hooks import Kept, all_of, run_until_stopped, stopping_after
from factlens.models.interrupts import interruption_point

_ROWS = 512


@torch.no_grad()
def keys_and_states(
    model: Model, ids: Tensor, mask: Tensor, lookup: Tensor, layers: Sequence[int]
) -> tuple[dict[int, Tensor], Tensor]:
    """Return the keys of some rows at some layers, and the states that the last of these puts out, in one pass.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    ids, mask
        Token ids and attention mask, ``(rows, longest)``, padded on the right.
    lookup
        Position of the subject's last token in each row, ``(rows,)``.
    layers
        In ascending order.

    Returns
    -------
    tuple of dict of int to torch.Tensor, and torch.Tensor
        Keys by layer, ``(rows, keys)``; states, ``(rows, width)``. Both in float64 on the CPU.
    """
    keys, states, last = {layer: Kept() for layer in layers}, Kept(), model.blocks[layers[-1]]
    for rows in torch.arange(len(ids), device=ids.device).split(_ROWS):
        interruption_point()
        places = lookup[rows]
        # Nothing behind the longest subject is read.
        some, masked = (tensor[rows, : int(places.max()) + 1] for tensor in (ids, mask))

        def looked_up(hidden: Tensor, shape: torch.Size = some.shape, places: Tensor = places) -> Tensor:
            at = torch.arange(len(places), device=hidden.device), places.to(hidden.device)
            return hidden.reshape(*shape, -1)[at].to("cpu", torch.float64)

        hooks = [at.input(model.down_projection(layer).module, looked_up) for layer, at in keys.items()]
        hooks += [states.output(last, looked_up), stopping_after(last)]
        with all_of(hooks):
            run_until_stopped(partial(model.model, input_ids=some, attention_mask=masked, use_cache=False))
    return {layer: torch.cat(at) for layer, at in keys.items()}, torch.cat(states)
