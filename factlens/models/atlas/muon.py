"""Muon: momentum whose update is made orthogonal before it is applied.

For the inner weight matrices of a small transformer it needs a fraction of Adam's steps, which is what lets atlas be
trained on two cores. After Keller Jordan and others, 2024, https://kellerjordan.github.io/posts/muon/.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for matrices stored (inputs, outputs), as GPT-2 stores them.

    Parameters
    ----------
    params : iterable of Parameter
        Two-dimensional weights only. One three times as wide as it is high is taken for fused query, key and value,
        whose parts are orthogonalised apart.
    lr, momentum, weight_decay : float
    """

    def __init__(
        self, params: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take one step. Matrices of one shape are orthogonalised in one batch, which is what makes this fast."""
        for group in self.param_groups:
            same_shape: defaultdict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
            for weight in group["params"]:
                same_shape[weight.shape].append(weight)
            for shape, weights in same_shape.items():
                update = torch.stack([self._nesterov(weight, group["momentum"]) for weight in weights])
                inputs, outputs = shape
                parts = 3 if outputs == 3 * inputs else 1
                update = torch.cat(update.chunk(parts, dim=2))
                update = torch.cat(orthogonalise(update).chunk(parts), dim=2)
                scale = max(1.0, outputs / (parts * inputs)) ** 0.5
                for weight, change in zip(weights, update, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-group["lr"] * scale)

    def _nesterov(self, weight: torch.nn.Parameter, momentum: float) -> Tensor:
        assert weight.grad is not None
        state = self.state[weight]
        if "average" not in state:
            state["average"] = torch.zeros_like(weight)
        average: Tensor = state["average"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(average, momentum)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Move all singular values of ``matrices[batch, rows, columns]`` close to one (Newton-Schulz iteration)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        # The coefficients rise steeply at zero, so few rounds do; they leave the values between 0.7 and 1.2.
        a = x @ x.mT
        x = 3.4445 * x + (-4.775 * a + 2.0315 * (a @ a)) @ x
    result: Tensor = x.mT if tall else x
    return result
