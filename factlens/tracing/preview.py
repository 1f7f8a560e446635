"""The preview: every cell of every grid at once, estimated from one backward pass.

Attribution patching (Nanda 2023; Syed et al. 2023) replaces "restore this state and run" by a first-order guess: the
gradient of the metric with respect to the state, times the change that restoring it would make. One forward pass over
the clean and the corrupted prompts and one backward pass give it for all cells. It goes wrong where the model is far
from linear (saturated attention, effects that cancel), so it is shown as an estimate and replaced by exact numbers as
they come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from factlens.tracing.answers import Question
from factlens.tracing.protocol import SEVERED, head_of, is_windowed
from factlens.tracing.runs import Runs
from factlens.tracing.windows import window_layers


def estimate(
    runs: Runs, question: Question, kinds: Sequence[str], window: int, convention: str, n_heads: int
) -> np.ndarray | None:
    """Estimate the scores of all cells.

    The gradient is taken of the metric, or of its logarithm where it has one: the gradient of a probability vanishes
    where the answer has become improbable, which is what corruption does. The estimated change of the logarithm is then
    applied to each corrupted run's number, and shares are cut off at 1.

    Parameters
    ----------
    runs
        Clean and corrupted runs, made with gradients enabled.
    question
        What is measured.
    kinds, window, convention
        As for a trace; a window's estimate is the sum over its layers, which counts paths through several of them
        more than once.
    n_heads
        Number of attention heads.

    Returns
    -------
    numpy.ndarray or None
        ``(kinds, tokens, layers)``, float32, mean over samples; NaN for severed kinds, whose second path the first
        order does not see. None for a metric without a gradient, such as a rank.
    """
    if runs.history is None:
        raise ValueError("The runs were made without gradients.")
    states, skip = runs.history
    at = list(runs.at)
    wanted = {"state": states.residual[1:], **states.sites}
    flat = [(name, layer, tensor) for name, layers in wanted.items() for layer, tensor in enumerate(layers)]
    total = question.smooth(states.logits[skip:]).sum()
    if not total.requires_grad:
        return None
    gradients = torch.autograd.grad(total, [tensor for _, _, tensor in flat])
    effects: dict[str, list[Tensor]] = {name: [] for name in wanted}
    for (name, layer, tensor), gradient in zip(flat, gradients, strict=True):
        clean = (runs.clean.residual[1:] if name == "state" else runs.clean.sites[name])[layer]
        change = (clean - tensor[skip:, at]).detach().float() * gradient[skip:, at].float()
        if name == "head":
            effects[name].append(change.unflatten(-1, (n_heads, -1)).sum(-1).cpu())
        else:
            effects[name].append(change.sum(-1).cpu())
    prompt = len(at) - len(question.forced)
    low = question.score(runs.corrupted.logits).cpu()
    return np.stack([_scores(kind, effects, low, question, window, convention)[:prompt] for kind in kinds])


def _scores(
    kind: str, effects: dict[str, list[Tensor]], low: Tensor, question: Question, window: int, convention: str
) -> np.ndarray:
    """Estimated scores of one kind, ``(tokens, layers)``."""
    layers = len(effects["state"])
    if kind in SEVERED:
        return np.full((effects["state"][0].shape[1], layers), np.nan, np.float32)
    head = head_of(kind)
    if head is not None:
        change = torch.stack([layer[..., head] for layer in effects["head"]], -1)
    elif is_windowed(kind):
        single = torch.stack(effects[kind], -1)
        windows = [window_layers(layer, window, layers, convention) for layer in range(layers)]
        change = torch.stack([single[..., near.start : near.stop].sum(-1) for near in windows], -1)
    else:
        change = torch.stack(effects["state"], -1)
    base = low[:, None, None]
    scores = base + change if question.metric.logarithm is None else base * change.exp()
    if question.metric.share:
        scores = scores.clamp(max=1)
    return np.asarray(scores.mean(0).numpy(), np.float32)
