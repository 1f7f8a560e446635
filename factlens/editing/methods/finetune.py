"""FT and FT+L: gradient descent on the down projection itself (the baselines of Meng et al. 2022, Section 3.2).

Adam lowers the negative log-likelihood of the targets of all facts at once. FT+L keeps every weight within a limit of
where it was (an L∞ constraint, after Zhu et al. 2020). The difference is a full matrix, not one of low rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from factlens.editing.advice import NEARLY, Circumstances, Reason, another_layer, now
from factlens.editing.descent import DescentHparams, descend, mean_nll
from factlens.editing.hparams import Defaults, a_number
from factlens.editing.methods import published
from factlens.editing.methods.base import LEARNING_RATE, STEPS, Knob, Method, Problem, Solution
from factlens.editing.prompts import BARE, Prompts, make_prompts
from factlens.models import Dense, Model
from factlens.models.hooks import Kept, all_of, on_input, passing_through, replacing_forward, without_gradients
from factlens.models.interruptible import interruptible


@dataclass(frozen=True)
class FineTuneHparams(DescentHparams):
    """Settings of fine-tuning the down projection on the facts themselves (the FT and FT+L of Meng et al. 2022).

    Attributes
    ----------
    steps, learning_rate, stop_loss
        As `DescentHparams`.
    limit
        No weight moves further than this (the L∞ constraint of FT+L); None for no limit.
    """

    method: ClassVar[str] = "ft"

    limit: float | None = a_number(None, above=0)


@dataclass(frozen=True)
class ConstrainedFineTuneHparams(FineTuneHparams):
    """As `FineTuneHparams`, with a limit."""

    method: ClassVar[str] = "ft_l"

    limit: float | None = a_number(5e-4, above=0)


@torch.enable_grad()
def solve(problem: Problem[FineTuneHparams]) -> Solution:
    """Return what fine-tuning adds to the down projections; the model's own weights are not touched.

    Raises
    ------
    NumericalError
        If the loss is not finite.
    """
    model, layers, limit = problem.model, problem.layers, problem.hparams.limit
    prompts = make_prompts(model, problem.facts, BARE)
    projections = [model.down_projection(layer) for layer in layers]
    wide = torch.promote_types(model.dtype, torch.float32)
    changes = [torch.zeros_like(p.weight, dtype=wide, requires_grad=True) for p in projections]
    below = _input_of(model, layers[0], prompts)

    def loss_of() -> Tensor:
        moved = {
            projection.linear: (projection.weight.detach().to(wide) + change).to(projection.weight.dtype)
            for projection, change in zip(projections, changes, strict=True)
        }
        return _loss(model, prompts, layers[0], below, moved)

    @torch.no_grad()
    def hold() -> None:
        if limit is not None:
            for change in changes:
                change.clamp_(-limit, limit)

    report = descend(loss_of, changes, problem.hparams, what="Fine-tuning", progress=problem.progress, after_step=hold)
    terms = tuple(
        Dense(projection.parameter, change.detach().float().cpu())
        for projection, change in zip(projections, changes, strict=True)
    )
    return Solution(terms, report)


@torch.no_grad()
def _input_of(model: Model, layer: int, prompts: Prompts) -> Tensor:
    """Return the input of a layer, which changes of it and of the layers above leave alone."""
    below = Kept()
    with below.input(model.blocks[layer]), interruptible(model.blocks):
        model.model(input_ids=prompts.ids, attention_mask=prompts.mask, use_cache=False, logits_to_keep=1)
    return below[0]


def _loss(model: Model, prompts: Prompts, layer: int, below: Tensor, moved: Mapping[nn.Module, Tensor]) -> Tensor:
    row, position = prompts.targets[:, 0], prompts.targets[:, 1]
    hooks = [
        passing_through(model.blocks[:layer], model.returns_tuple),
        on_input(model.blocks[layer], lambda _: below),
        on_input(model.head, lambda hidden: hidden[row, position][None]),
        without_gradients(model.model),
        interruptible(model.blocks),
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


def advise(made: Circumstances, report: Mapping[str, Any]) -> Reason:
    """Say where training ended: at the limit, at stop_loss, or with its last step."""
    hparams, loss = made.hparams, report["losses"][-1]["loss"]
    if hparams.limit is not None and made.largest >= NEARLY * hparams.limit:
        return "weights reached the limit", [now("a larger limit", "limit", hparams), another_layer(made)]
    if loss < hparams.stop_loss:
        smaller = now("a smaller stop_loss", "stop_loss", hparams)
        return f"training ended at a loss of {loss:.2g}, below stop_loss", [smaller]
    longer = [now("more steps", "steps", hparams), now("a larger learning_rate", "learning_rate", hparams)]
    return f"training ended at a loss of {loss:.2g} after all its steps", [*longer, another_layer(made)]


FT = Method(
    title="fine-tuning",
    source="Meng et al. 2022, Section 3.2",
    hparams=FineTuneHparams,
    solve=solve,
    doing="fine-tuning",
    knobs=(STEPS, LEARNING_RATE),
    published={
        published.GPTJ: Defaults((21,), FineTuneHparams(), published.MENG23),
        published.LLAMA3: Defaults((21,), FineTuneHparams(), published.FANG25),
    },
    # Of a search on facts of SmolLM2, 20 at once; docs/edit-quality.md has it.
    elsewhere={"learning_rate": 2e-3},
    tries={"learning_rate": (2e-3, 5e-4, 1e-3, 5e-3), "steps": (25, 60)},
    advise=advise,
)
FT_L = Method(
    title="limited fine-tuning",
    source="Meng et al. 2022, Section 3.2; Zhu et al. 2020",
    hparams=ConstrainedFineTuneHparams,
    solve=solve,
    doing="fine-tuning",
    knobs=(STEPS, LEARNING_RATE, Knob("limit", "limit", "no single weight moves further", 1e-4)),
    published={published.GPT2_XL: Defaults((0,), ConstrainedFineTuneHparams(), published.MENG22)},
    # Of the same search.
    elsewhere={"learning_rate": 2e-3, "limit": 3e-2},
    tries={"limit": (3e-2, 1e-2, 2e-3), "learning_rate": (2e-3, 1e-3, 5e-4), "steps": (60,)},
    advise=advise,
)
