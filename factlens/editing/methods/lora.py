"""LoRA: fine-tuning a low-rank addition to the down projections (Hu et al. 2022).

The addition is put beside the projections by hooks, so the model's own modules, and whatever adapters the user has on
it, are not touched. It begins as peft's does, of which a test makes sure: B is zero, and A is drawn as a linear layer's
weight. What was learnt is kept as factors, like any other edit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from factlens.editing.hparams import LoraHparams
from factlens.editing.methods.finetune import mean_nll
from factlens.editing.prompts import Prompts
from factlens.errors import NumericalError
from factlens.models import LowRank, Model
from factlens.models.hooks import after, all_of, on_input, without_gradients
from factlens.models.interrupts import interruption_point


@torch.enable_grad()
def low_rank_finetuned(
    model: Model,
    prompts: Prompts,
    layers: Sequence[int],
    hparams: LoraHparams,
    *,
    progress: Callable[[float], None] | None = None,
) -> tuple[tuple[LowRank, ...], dict[str, Any]]:
    """Return what LoRA adds to the down projections of some layers; the model itself is not touched.

    Parameters as in `finetune.finetuned`.

    Raises
    ------
    NumericalError
        If the loss is not finite.
    """
    losses = []
    pairs = _begun(model, layers, hparams)
    learnt = [factor for pair in pairs for factor in pair]
    optimiser = torch.optim.Adam(learnt, lr=hparams.learning_rate)
    for step in range(hparams.steps):
        interruption_point()
        loss = _loss(model, prompts, layers, pairs, hparams.alpha / hparams.rank)
        losses.append({"loss": float(loss.detach())})
        if not bool(torch.isfinite(loss)):
            raise NumericalError("LoRA gave NaN or infinity. Lower learning_rate, or use bfloat16 or float32.")
        if progress is not None:
            progress((step + 1) / hparams.steps)
        if float(loss.detach()) < hparams.stop_loss:
            break
        for factor, gradient in zip(learnt, torch.autograd.grad(loss, learnt), strict=True):
            factor.grad = gradient
        optimiser.step()
    scale = hparams.alpha / hparams.rank
    terms = tuple(
        model.down_projection(layer).low_rank(up.detach().double() * scale, down.detach().double())
        for layer, (down, up) in zip(layers, pairs, strict=True)
    )
    return terms, {"losses": losses}


def _begun(model: Model, layers: Sequence[int], hparams: LoraHparams) -> list[tuple[Tensor, Tensor]]:
    """Return A and B of each layer as they begin, ``(rank, keys)`` and ``(values, rank)``, in float32 or wider."""
    pairs = []
    generator = torch.Generator().manual_seed(hparams.seed)
    for layer in layers:
        projection = model.down_projection(layer)
        wide = torch.promote_types(projection.weight.dtype, torch.float32)
        values = projection.weight.shape[1 if projection.transposed else 0]
        down = torch.empty(hparams.rank, projection.key_width, dtype=torch.float32)
        up = torch.empty(values, hparams.rank, dtype=torch.float32)
        # peft makes two linear layers, which draw weights of their own, and then draws A.
        for factor in (down, up, down):
            nn.init.kaiming_uniform_(factor, a=math.sqrt(5), generator=generator)
        nn.init.zeros_(up)
        device = projection.weight.device
        pairs.append((down.to(device, wide).requires_grad_(), up.to(device, wide).requires_grad_()))
    return pairs


def _loss(
    model: Model, prompts: Prompts, layers: Sequence[int], pairs: Sequence[tuple[Tensor, Tensor]], scale: float
) -> Tensor:
    row, position = prompts.wanted[:, 0], prompts.wanted[:, 1]
    modules = [model.down_projection(layer).module for layer in layers]
    hooks = [_beside(module, *pair, scale) for module, pair in zip(modules, pairs, strict=True)]
    hooks += [on_input(model.head, lambda hidden: hidden[row, position][None]), without_gradients(model.model)]
    with all_of(hooks):
        logits = model.model(input_ids=prompts.ids, attention_mask=prompts.mask, use_cache=False).logits[0]
    return mean_nll(prompts, logits)


def _beside(module: nn.Module, down: Tensor, up: Tensor, scale: float) -> Any:
    """Return a context in which a linear module's output has ``scale · B A x`` added."""

    def add(_module: nn.Module, args: Any, output: Tensor) -> Tensor:
        learnt: Tensor = (args[0].to(down.dtype) @ down.T) @ up.T
        return (output + scale * learnt).to(output.dtype)

    return after(module, add)
