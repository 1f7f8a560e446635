"""An edit spread over several layers, as MEMIT does it (Meng et al. 2023) and those that build on it.

1. For every fact, z is the state that the last edited layer has to put out at the subject's last token, found like v*
   (Equation 16).
2. Layer by layer, from the lowest: with the layers below already edited, K are the facts' keys now (Equation 19) and
   R = (Z − H) / (layers left) is each one's share of what is still missing (Equation 20).
3. The method's closed form says what R is multiplied with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from factlens.editing.batches import contexts_of, values_of
from factlens.editing.hparams import ValueHparams
from factlens.editing.lookups import keys_and_states
from factlens.editing.methods.base import Problem, Solution
from factlens.editing.prompts import Prompts, make_prompts
from factlens.models import LowRank, Model

V = TypeVar("V", bound=ValueHparams)

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
            keys, states = keys_and_states(
                model, prompts.ids, prompts.mask, prompts.lookup, sorted({layer, layers[-1]})
            )
        residual = (goal_states - states[prompts.bare.cpu()]) / (len(layers) - i)
        keys_at[layer] = prompts.mean(keys[layer]).T
        updates.append(model.down_projection(layer).low_rank(residual.T, solve(layer, keys_at[layer]).T))
    return updates, keys_at
