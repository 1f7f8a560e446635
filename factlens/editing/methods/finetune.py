"""FT and FT+L: gradient descent on the down projection itself (the baselines of Meng et al. 2022, Section 3.2).

Adam lowers the negative log-likelihood of the targets of all facts at once. FT+L keeps every weight within a limit of
where it was (an L∞ constraint, after Zhu et al. 2020). The difference is a full matrix, not one of low rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from factlens.editing.hparams import FineTuneHparams
from factlens.editing.prompts import Prompts
from factlens.errors import NumericalError
from factlens.models import Dense, Model
from factlens.models.hooks import all_of, on_input, passing_through, replacing_forward, without_gradients
from factlens.models.interrupts import interruption_point


@torch.enable_grad()
def finetuned(
    model: Model,
    prompts: Prompts,
    layers: Sequence[int],
    hparams: FineTuneHparams,
    *,
    progress: Callable[[float], None] | None = None,
) -> tuple[tuple[Dense, ...], dict[str, Any]]:
    """Return what fine-tuning adds to the down projections of some layers; the model's own weights are not touched.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    prompts
        The facts, bare.
    layers
        The layers, in ascending order.
    hparams
        Settings.
    progress
        Called with the share of steps done.

    Raises
    ------
    NumericalError
        If the loss is not finite.
    """
    projections = [model.down_projection(layer) for layer in layers]
    wide = torch.promote_types(model.dtype, torch.float32)
    changes = [torch.zeros_like(p.weight, dtype=wide, requires_grad=True) for p in projections]
    optimiser = torch.optim.Adam(changes, lr=hparams.learning_rate)
    below = _input_of(model, layers[0], prompts)
    losses = []
    for step in range(hparams.steps):
        interruption_point()
        moved = {
            projection.linear: (projection.weight.detach().to(wide) + change).to(projection.weight.dtype)
            for projection, change in zip(projections, changes, strict=True)
        }
        loss = _loss(model, prompts, layers[0], below, moved)
        losses.append({"loss": float(loss.detach())})
        if not bool(torch.isfinite(loss)):
            raise NumericalError("Fine-tuning gave NaN or infinity. Lower learning_rate, or use bfloat16 or float32.")
        if progress is not None:
            progress((step + 1) / hparams.steps)
        if float(loss.detach()) < hparams.stop_loss:
            break
        for change, gradient in zip(changes, torch.autograd.grad(loss, changes), strict=True):
            change.grad = gradient
        optimiser.step()
        if hparams.limit is not None:
            with torch.no_grad():
                for change in changes:
                    change.clamp_(-hparams.limit, hparams.limit)
    terms = tuple(
        Dense(projection.parameter, change.detach().float().cpu())
        for projection, change in zip(projections, changes, strict=True)
    )
    return terms, {"losses": losses}


@torch.no_grad()
def _input_of(model: Model, layer: int, prompts: Prompts) -> Tensor:
    """Return the input of a layer, which changes of it and of the layers above leave alone."""
    seen: list[Tensor] = []
    with on_input(model.blocks[layer], seen.append):
        model.model(input_ids=prompts.ids, attention_mask=prompts.mask, use_cache=False, logits_to_keep=1)
    return seen[0]


def _loss(model: Model, prompts: Prompts, layer: int, below: Tensor, moved: Mapping[nn.Module, Tensor]) -> Tensor:
    row, position = prompts.wanted[:, 0], prompts.wanted[:, 1]
    hooks = [
        passing_through(model.blocks[:layer], model.returns_tuple),
        on_input(model.blocks[layer], lambda _: below),
        on_input(model.head, lambda hidden: hidden[row, position][None]),
        without_gradients(model.model),
        *(replacing_forward([linear], _linear(linear, weight)) for linear, weight in moved.items()),
    ]
    with all_of(hooks):
        logits: Tensor = model.model(input_ids=prompts.ids, attention_mask=prompts.mask, use_cache=False).logits[0]
    return mean_nll(prompts, logits)


def _linear(module: nn.Module, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what a linear module computes with another weight, which is in the module's own layout."""
    bias: Tensor | None = getattr(module, "bias", None)
    if not isinstance(module, Conv1D):
        return lambda hidden: nn.functional.linear(hidden, weight, bias)

    def forward(hidden: Tensor) -> Tensor:
        flat = hidden.reshape(-1, hidden.shape[-1])
        output = flat @ weight if bias is None else torch.addmm(bias, flat, weight)
        return output.view(*hidden.shape[:-1], weight.shape[1])

    return forward


def mean_nll(prompts: Prompts, logits: Tensor) -> Tensor:
    """Return the negative log-likelihood of the targets: the mean over a target's tokens, then over facts.

    Parameters
    ----------
    prompts
        The facts.
    logits
        At the positions that `Prompts.wanted` names, ``(targets, vocabulary)``.
    """
    logs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    nll = -logs.gather(1, prompts.wanted[:, 2:])[:, 0]
    of = prompts.fact[prompts.wanted[:, 0]]
    each = nll.new_zeros(prompts.facts).index_add(0, of, nll) / torch.bincount(of, minlength=prompts.facts)
    return each.mean()
