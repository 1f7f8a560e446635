"""Attribution patching: every cell of every grid at once, estimated from one backward pass.

It (Nanda 2023; Syed et al. 2023) replaces "restore this state and run" by a first-order guess: the
gradient of the metric with respect to the state, times the change that restoring it would make. One forward pass over
the clean and the corrupted prompts and one backward pass give it for all cells. It goes wrong where the model is far
from linear (saturated attention, effects that cancel), so it is shown as an estimate and replaced by exact numbers as
they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from factlens.tracing.answers import Measurement
from factlens.tracing.runs import Runs, States
from factlens.tracing.sites import Site, site_of


def estimate(
    runs: Runs, measurement: Measurement, kinds: Sequence[str], window: int, convention: str, n_heads: int
) -> np.ndarray | None:
    """Estimate the scores of all cells.

    The gradient is taken of the metric, or of its logarithm where it has one: the gradient of a probability vanishes
    where the answer has become improbable, which is what corruption does. The estimated change of the logarithm is then
    applied to each corrupted run's number, and shares are cut off at 1.

    Parameters
    ----------
    runs
        Clean and corrupted runs, made with gradients enabled.
    measurement
        What is measured.
    kinds, window, convention
        As for a trace; a window's estimate is the sum over its layers, which counts paths through several of them
        more than once.
    n_heads
        Number of attention heads.

    Returns
    -------
    numpy.ndarray or None
        ``(kinds, tokens, layers)``, float32, mean over samples; NaN for severed paths, the second of which the first
        order does not see. None for a metric without a gradient, such as a rank.
    """
    if runs.history is None:
        raise ValueError("The runs were made without gradients.")
    states, skip = runs.history
    at, sites = list(runs.at), [site_of(kind) for kind in kinds]
    noisy, clean = _by_source(states), _by_source(runs.clean)
    total = measurement.smooth(states.logits[skip:]).sum()
    if not total.requires_grad:
        return None
    gradients = iter(torch.autograd.grad(total, list(chain.from_iterable(noisy.values()))))
    effects: dict[str | None, list[Tensor]] = {source: [] for source in noisy}
    for source, tensors in noisy.items():
        parts = n_heads if any(site.by_head and site.source == source for site in sites) else 1
        for tensor, other, gradient in zip(tensors, clean[source], gradients, strict=False):
            change = (other - tensor[skip:, at]).detach().float() * gradient[skip:, at].float()
            effects[source].append(change.unflatten(-1, (parts, -1)).sum(-1).cpu())
    prompt = len(at) - len(measurement.forced)
    low = measurement.score(runs.corrupted.logits).cpu()
    return np.stack([_scores(site, effects, low, measurement, window, convention)[:prompt] for site in sites])


def _by_source(states: States) -> dict[str | None, list[Tensor]]:
    """Return what a site may restore, by its source: outputs of modules, and the states for None."""
    restored: dict[str | None, list[Tensor]] = {None: states.residual[1:]}
    restored.update(states.outputs)
    return restored


def _scores(
    site: Site,
    effects: dict[str | None, list[Tensor]],
    low: Tensor,
    measurement: Measurement,
    window: int,
    convention: str,
) -> np.ndarray:
    """Estimated scores of one site, ``(tokens, layers)``."""
    single = torch.stack(effects[site.source], -1)
    single = single.sum(2) if site.head is None else single[:, :, site.head]
    if site.severed:
        return np.full(single.shape[1:], np.nan, np.float32)
    change = single
    if site.windowed:
        layers = single.shape[-1]
        windows = [site.layers(layer, window, layers, convention) for layer in range(layers)]
        change = torch.stack([single[..., near.start : near.stop].sum(-1) for near in windows], -1)
    base = low[:, None, None]
    scores = base + change if measurement.metric.logarithm is None else base * change.exp()
    if measurement.metric.share:
        scores = scores.clamp(max=1)
    return np.asarray(scores.mean(0).numpy(), np.float32)
