"""Gradient descent on the targets of some facts: what methods share that train on the facts themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from factlens.arguments import whole
from factlens.editing.hparams import Hparams, a_number, setting
from factlens.editing.prompts import Prompts
from factlens.errors import NumericalError
from factlens.models.interrupts import interruption_point
from factlens.progress import Share


@dataclass(frozen=True)
class DescentHparams(Hparams):
    """Settings of Adam on all facts at once.

    Attributes
    ----------
    steps, learning_rate
        Of Adam.
    stop_loss
        It ends when the mean negative log-likelihood of the targets falls below this.
    """

    steps: int = setting(25, whole, least=1)
    learning_rate: float = a_number(5e-4, above=0)
    stop_loss: float = a_number(1e-2, least=0)


def descend(
    loss_of: Callable[[], Tensor],
    trained: Sequence[Tensor],
    hparams: DescentHparams,
    *,
    what: str,
    progress: Share | None = None,
    after_step: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Lower a loss by Adam; only what is trained is written to, and gets a gradient.

    Parameters
    ----------
    loss_of
        Computes the loss, with gradients.
    trained
        Leaves that require gradients.
    hparams
        Settings.
    what
        What gave NaN, for the error: ``"Fine-tuning"``.
    progress
        Called with the share of steps done.
    after_step
        Called after each step.

    Returns
    -------
    dict
        ``losses``: the loss of every step.

    Raises
    ------
    NumericalError
        If the loss is not finite.
    """
    optimiser = torch.optim.Adam(trained, lr=hparams.learning_rate)
    losses = []
    for step in range(hparams.steps):
        interruption_point()
        loss = loss_of()
        losses.append({"loss": float(loss.detach())})
        if not bool(torch.isfinite(loss)):
            raise NumericalError(f"{what} gave NaN or infinity. Lower learning_rate, or use bfloat16 or float32.")
        if progress is not None:
            progress((step + 1) / hparams.steps)
        if losses[-1]["loss"] < hparams.stop_loss:
            break
        for tensor, gradient in zip(trained, torch.autograd.grad(loss, trained), strict=True):
            tensor.grad = gradient
        optimiser.step()
        if after_step is not None:
            after_step()
    return {"losses": losses}


def mean_nll(prompts: Prompts, logits: Tensor) -> Tensor:
    """Return the negative log-likelihood of the targets: the mean over a target's tokens, then over facts.

    Parameters
    ----------
    prompts
        The facts.
    logits
        At the positions that `Prompts.targets` names, ``(targets, vocabulary)``.
    """
    logs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    nll = -logs.gather(1, prompts.targets[:, 2:])[:, 0]
    of = prompts.fact[prompts.targets[:, 0]]
    each = nll.new_zeros(prompts.facts).index_add(0, of, nll) / torch.bincount(of, minlength=prompts.facts)
    return each.mean()
