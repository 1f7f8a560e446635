"""An edit spread over several layers, as MEMIT does it (Meng et al. 2023) and those that build on it.

1. For every fact, z is the state that the last edited layer has to put out at the subject's last token, found like v*
   (Equation 16).
2. Layer by layer, from the lowest: with the layers below already edited, K are the facts' keys now (Equation 19) and
   R = (Z − H) / (layers left) is each one's share of what is still missing (Equation 20).
3. The method's closed form says what R is multiplied with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from factlens.editing.batches import contexts_of, values_of
from factlens.editing.hparams import ValueHparams
from factlens.editing.methods.base import Problem, Solution
from factlens.editing.prompts import Prompts, make_prompts
from factlens.models import LowRank, Model
from factlens.models.hooks import Kept, all_of, run_until_stopped, stopping_after
from factlens.models.interrupts import interruption_point

V = TypeVar("V", bound=ValueHparams)

_ROWS = 512

Solve = Callable[[int, Tensor], Tensor]
"""From a layer and its keys, ``(keys, facts)``, to what residuals are multiplied with, of the same shape."""


def spread(problem: Problem[V], closed: Solve) -> Solution:
    """Optimise z of every fact, and spread the change over the layers by a method's closed form."""
    model, facts, layers = problem.model, problem.facts, problem.layers
    contexts = contexts_of(problem)
    values = values_of(problem, contexts, "block")
    updates, keys = spread_updates(model, make_prompts(model, facts, contexts), layers, values.optimised, closed)
    return Solution(tuple(updates), {"facts": list(values.report)}, values.with_value, keys)


def spread_updates(
    model: Model, prompts: Prompts, layers: Sequence[int], goal_states: Tensor, solve: Solve
) -> tuple[list[LowRank], dict[int, Tensor]]:
    """Return the update of each layer, and the keys that it was solved for.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``. Its weights are as before at the end.
    prompts
        The facts behind their contexts.
    layers
        The layers, in ascending order.
    goal_states
        Z: the block outputs that the last of them should have for the bare prompts, ``(facts, width)``, float64 on the
        CPU.
    solve
        The method's closed form.
    """
    updates: list[LowRank] = []
    keys_at: dict[int, Tensor] = {}
    for i, layer in enumerate(layers):
        with model.edited(Solution(tuple(updates))):
            keys, states = _keys_and_states(model, prompts, layer, layers[-1])
        residual = (goal_states - states) / (len(layers) - i)
        keys_at[layer] = prompts.mean(keys).T
        updates.append(model.down_projection(layer).low_rank(residual.T, solve(layer, keys_at[layer]).T))
    return updates, keys_at


@torch.no_grad()
def _keys_and_states(model: Model, prompts: Prompts, layer: int, last: int) -> tuple[Tensor, Tensor]:
    """Return the keys of all rows at one layer, and the states of the bare prompts at another, one pass for both.

    Both in float64 on the CPU.
    """
    keys, states = Kept(), Kept()
    for rows in torch.arange(len(prompts.ids), device=prompts.ids.device).split(_ROWS):
        interruption_point()
        ids, lookup = prompts.ids[rows], prompts.lookup[rows]
        # Nothing behind the longest subject is read.
        ids, mask = ids[:, : int(lookup.max()) + 1], prompts.mask[rows, : int(lookup.max()) + 1]

        def looked_up(hidden: Tensor, shape: torch.Size = ids.shape, lookup: Tensor = lookup) -> Tensor:
            at = torch.arange(len(lookup), device=hidden.device), lookup.to(hidden.device)
            return hidden.reshape(*shape, -1)[at].to("cpu", torch.float64)

        hooks = [
            keys.input(model.down_projection(layer).module, looked_up),
            states.output(model.blocks[last], looked_up),
            stopping_after(model.blocks[last]),
        ]
        with all_of(hooks):
            run_until_stopped(partial(model.model, input_ids=ids, attention_mask=mask, use_cache=False))
    return torch.cat(keys), torch.cat(states)[prompts.bare.cpu()]
