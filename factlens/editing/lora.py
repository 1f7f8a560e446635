"""LoRA: fine-tuning a low-rank addition to the down projections (Hu et al. 2022), through peft.

The extra ``factlens[lora]`` brings peft. It builds and initialises the addition and is taken off the model again; what
was learnt is kept as factors, like any other edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from factlens.editing.finetune import mean_nll
from factlens.editing.hparams import LoraHparams
from factlens.editing.prompts import Prompts
from factlens.errors import NumericalError
from factlens.extras import needs
from factlens.models import LowRank, Model
from factlens.models.hooks import on_input
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
    """Return what LoRA adds to the down projections of some layers; the model's own weights are not touched.

    Parameters as in `finetune.finetuned`.

    Raises
    ------
    FactlensError
        If peft is not installed.
    NumericalError
        If the loss is not finite.
    """
    losses = []
    with _adapted(model, layers, hparams) as adapters:
        learnt = [weight for pair in adapters for weight in pair]
        optimiser = torch.optim.Adam(learnt, lr=hparams.learning_rate)
        for step in range(hparams.steps):
            interruption_point()
            loss = _loss(model, prompts)
            losses.append({"loss": float(loss.detach())})
            if not bool(torch.isfinite(loss)):
                raise NumericalError("LoRA gave NaN or infinity. Lower learning_rate, or use bfloat16 or float32.")
            if progress is not None:
                progress((step + 1) / hparams.steps)
            if float(loss.detach()) < hparams.stop_loss:
                break
            for weight, gradient in zip(learnt, torch.autograd.grad(loss, learnt), strict=True):
                weight.grad = gradient
            optimiser.step()
        factors = [(up.detach().double(), down.detach().double()) for down, up in adapters]
    scale = hparams.alpha / hparams.rank
    terms = tuple(
        model.down_projection(layer).low_rank(up * scale, down)
        for layer, (up, down) in zip(layers, factors, strict=True)
    )
    return terms, {"losses": losses}


def _loss(model: Model, prompts: Prompts) -> Tensor:
    row, position = prompts.wanted[:, 0], prompts.wanted[:, 1]
    with on_input(model.head, lambda hidden: hidden[row, position][None]):
        logits = model.model(input_ids=prompts.ids, attention_mask=prompts.mask, use_cache=False).logits[0]
    return mean_nll(prompts, logits)


@contextmanager
def _adapted(
    model: Model, layers: Sequence[int], hparams: LoraHparams
) -> Iterator[list[tuple[nn.Parameter, nn.Parameter]]]:
    """Put peft's adapters on the down projections for the block; yield each one's A and B."""
    needs("peft", "lora", "method='lora'")
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    tracked = {name: parameter.requires_grad for name, parameter in model.model.named_parameters()}
    names = [model.down_projection(layer).parameter.removesuffix(".weight") for layer in layers]
    config = LoraConfig(
        r=hparams.rank,
        lora_alpha=hparams.alpha,
        target_modules=names,
        fan_in_fan_out=model.down_projection(layers[0]).transposed,
    )
    attributes = set(vars(model.model))
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(hparams.seed)
        adapted = LoraModel(model.model, config, "factlens")
    try:
        modules = [model.model.get_submodule(name) for name in names]
        yield [(module.lora_A["factlens"].weight, module.lora_B["factlens"].weight) for module in modules]
    finally:
        adapted.unload()
        for name in set(vars(model.model)) - attributes:
            delattr(model.model, name)
        for name, parameter in model.model.named_parameters():
            parameter.requires_grad_(tracked[name])
