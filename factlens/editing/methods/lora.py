"""LoRA: fine-tuning a low-rank addition to the down projections (Hu et al. 2022).

The addition is put beside the projections by hooks, so the model's own modules, and any adapters on it, are not
touched. It begins as peft's does, which a test checks: B is zero, and A is drawn as a linear layer's weight. What
was learnt is kept as factors, like any other edit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from factlens.arguments import whole
from factlens.editing.descent import descend, mean_nll
from factlens.editing.hparams import a_number, setting
from factlens.editing.methods.base import LEARNING_RATE, STEPS, Knob, Method, Problem, Solution
from factlens.editing.methods.finetune import FineTuneHparams, advise
from factlens.editing.prompts import BARE, Prompts, make_prompts
from factlens.models import Model
from factlens.models.hooks import after, all_of, on_input, without_gradients
from factlens.models.interruptible import interruptible


@dataclass(frozen=True)
class LoraHparams(FineTuneHparams):
    """Settings of fine-tuning a low-rank addition to the down projections (Hu et al. 2022).

    Attributes
    ----------
    rank, alpha
        Rank of the addition, and its scale times the rank.
    """

    method: ClassVar[str] = "lora"

    steps: int = setting(70, whole, least=1)
    learning_rate: float = a_number(5e-3, above=0)
    rank: int = setting(8, whole, least=1)
    alpha: int = setting(32, whole, least=1)


@torch.enable_grad()
def solve(problem: Problem[LoraHparams]) -> Solution:
    """Return what LoRA adds to the down projections; the model itself is not touched.

    Raises
    ------
    NumericalError
        If the loss is not finite.
    """
    model, layers, hparams = problem.model, problem.layers, problem.hparams
    prompts = make_prompts(model, problem.facts, BARE)
    pairs, scale = _begun(model, layers, hparams), hparams.alpha / hparams.rank
    report = descend(
        lambda: _loss(model, prompts, layers, pairs, scale),
        [factor for pair in pairs for factor in pair],
        hparams,
        what="LoRA",
        progress=problem.progress,
    )
    terms = tuple(
        model.down_projection(layer).low_rank(up.detach().double() * scale, down.detach().double())
        for layer, (down, up) in zip(layers, pairs, strict=True)
    )
    return Solution(terms, report)


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
    row, position = prompts.targets[:, 0], prompts.targets[:, 1]
    modules = [model.down_projection(layer).module for layer in layers]
    hooks = [_beside(module, *pair, scale) for module, pair in zip(modules, pairs, strict=True)]
    hooks += [on_input(model.head, lambda hidden: hidden[row, position][None]), without_gradients(model.model)]
    hooks.append(interruptible(model.blocks))
    with all_of(hooks):
        logits = model.model(input_ids=prompts.ids, attention_mask=prompts.mask, use_cache=False).logits[0]
    return mean_nll(prompts, logits)


def _beside(module: nn.Module, down: Tensor, up: Tensor, scale: float) -> Any:
    """Return a context in which a linear module's output has ``scale · B A x`` added."""

    def add(_module: nn.Module, args: Any, output: Tensor) -> Tensor:
        learnt: Tensor = (args[0].to(down.dtype) @ down.T) @ up.T
        return (output + scale * learnt).to(output.dtype)

    return after(module, add)


LORA = Method(
    title="LoRA",
    source="Hu et al. 2022",
    hparams=LoraHparams,
    solve=solve,
    doing="fine-tuning",
    knobs=(STEPS, LEARNING_RATE, Knob("rank", "rank", "of the matrix that is added", 1)),
    # Of a search on facts of SmolLM2, 20 at once; docs/edit-quality.md has it.
    elsewhere={"learning_rate": 2e-3},
    tries={"learning_rate": (2e-3, 5e-3, 5e-4), "steps": (70,)},
    advise=advise,
)
