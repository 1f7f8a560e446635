"""MEMIT: many facts at once, spread over several layers (Meng et al. 2023).

1. For every fact, z is the state that the last edited layer shall put out at the subject's last token, found like v*
   (Equation 16).
2. Layer by layer, from the lowest: with the layers below already edited, K are the facts' keys now (Equation 19) and
   R = (Z − H) / (layers left) is each one's share of what is still missing (Equation 20).
3. W + R Kᵀ (λ C + K Kᵀ)⁻¹ is the least-squares answer to "put out R more for these keys, and nothing more for λ keys of
   ordinary text" (Equation 14).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from factlens.editing.hparams import MemitHparams
from factlens.editing.prompts import Prompts
from factlens.models import LowRank, Model
from factlens.models.hooks import all_of, on_input, on_output, run_until_stopped, stopping_after
from factlens.models.interrupts import interruption_point
from factlens.models.weights import WeightTerm
from factlens.moments import SecondMoment

_ROWS = 512

Solve = Callable[[int, Tensor], Tensor]
"""From a layer and its keys, ``(keys, facts)``, to what residuals are multiplied with, of the same shape."""


@dataclass(frozen=True)
class Draft:
    """Terms that are applied while the ones of the next layers are computed."""

    updates: tuple[WeightTerm, ...]


def least_squares(moments: dict[int, SecondMoment], hparams: MemitHparams) -> Solve:
    """Return ``K ↦ (λ C + K Kᵀ)⁻¹ K`` in float64.

    By the matrix inversion lemma this is ``U (I + Kᵀ U)⁻¹`` with ``U = (λ C)⁻¹ K``: one solve with the factor of C that
    is kept, and one as large as there are facts, instead of a factorisation as large as the keys for every edit.
    """

    def solve(layer: int, keys: Tensor) -> Tensor:
        against = moments[layer].solve(keys, hparams.shrinkage) / hparams.moment_weight
        small = torch.eye(keys.shape[1], dtype=keys.dtype) + keys.T @ against
        solved: Tensor = torch.linalg.solve(small, against.T).T
        return solved

    return solve


def spread_updates(
    model: Model, prompts: Prompts, layers: Sequence[int], wanted: Tensor, solve: Solve
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
    wanted
        Z: the block outputs that the last of them shall have for the bare prompts, ``(facts, width)``, float64 on the
        CPU.
    solve
        The method's closed form.
    """
    updates: list[LowRank] = []
    kept: dict[int, Tensor] = {}
    for i, layer in enumerate(layers):
        with model.edited(Draft(tuple(updates))):
            keys, states = _keys_and_states(model, prompts, layer, layers[-1])
        residual = (wanted - states) / (len(layers) - i)
        kept[layer] = prompts.mean(keys).T
        updates.append(model.down_projection(layer).low_rank(residual.T, solve(layer, kept[layer]).T))
    return updates, kept


@torch.no_grad()
def _keys_and_states(model: Model, prompts: Prompts, layer: int, last: int) -> tuple[Tensor, Tensor]:
    """Return the keys of all rows at one layer, and the states of the bare prompts at another, one pass for both.

    Both in float64 on the CPU.
    """
    seen: dict[str, list[Tensor]] = {"keys": [], "states": []}
    for rows in torch.arange(len(prompts.ids), device=prompts.ids.device).split(_ROWS):
        interruption_point()
        ids, lookup = prompts.ids[rows], prompts.lookup[rows]
        # Nothing behind the longest subject is read.
        ids, mask = ids[:, : int(lookup.max()) + 1], prompts.mask[rows, : int(lookup.max()) + 1]

        def keep(name: str, shape: torch.Size = ids.shape, lookup: Tensor = lookup) -> Callable[[Tensor], None]:
            def hook(hidden: Tensor) -> None:
                at = torch.arange(len(lookup), device=hidden.device), lookup.to(hidden.device)
                seen[name].append(hidden.reshape(*shape, -1)[at].to("cpu", torch.float64))

            return hook

        hooks = [
            on_input(model.down_projection(layer).module, keep("keys")),
            on_output(model.blocks[last], keep("states")),
            stopping_after(model.blocks[last]),
        ]
        with all_of(hooks):
            run_until_stopped(partial(model.model, input_ids=ids, attention_mask=mask, use_cache=False))
    return torch.cat(seen["keys"]), torch.cat(seen["states"])[prompts.bare.cpu()]
