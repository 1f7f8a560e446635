"""`Shape`: how the second moment of keys is spread over directions, which tells what ``C = I`` would leave out.

Where keys have one direction in common, or one component that is huge (massive activations, Sun et al. 2024), an edit
that takes all directions as equally common writes into that direction too, and changes the answer to every prompt. Of
keys that are spread evenly, the identity matrix is a fair picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# The largest eigenvalue by iteration of a subspace: a block of vectors, until it moves by less than this share.
_BLOCK, _TOLERANCE, _MOST_STEPS = 8, 1e-4, 100


@dataclass(frozen=True)
class Shape:
    """How ``C`` is spread.

    Attributes
    ----------
    common_direction
        Share of its trace in the direction of its largest eigenvalue, from ``1 / width`` to 1. Of keys with a mean m
        it is at least ``‖m‖²`` over the mean of ``‖k‖²``.
    effective_rank
        In how many directions it lies: the participation ratio ``(Σ λ)² / Σ λ²`` of its eigenvalues, from 1 to `width`.
    largest_dimension
        Share of its trace in a single component of the keys, the largest.
    width
        How long the keys are.
    """

    common_direction: float
    effective_rank: float
    largest_dimension: float
    width: int

    def __str__(self) -> str:
        return (
            f"{self.common_direction:.0%} of C in one direction, {self.largest_dimension:.0%} in one component, "
            f"effective rank {self.effective_rank:.3g} of {self.width}"
        )


def shape_of(total: Tensor) -> Shape:
    """Return how a matrix ``Σ k kᵀ``, ``(keys, keys)``, is spread; its scale does not matter.

    Of a matrix of zeros, every share is 0.
    """
    diagonal = total.diagonal().double()
    trace, width = float(diagonal.sum()), len(total)
    if not trace > 0:
        return Shape(0.0, 0.0, 0.0, width)
    squared = float(total.square().sum(dtype=torch.float64))
    return Shape(
        common_direction=min(1.0, _largest_eigenvalue(total) / trace),
        effective_rank=trace**2 / squared,
        largest_dimension=float(diagonal.max()) / trace,
        width=width,
    )


def _largest_eigenvalue(matrix: Tensor) -> float:
    """Return it to a relative 1e-4 or so, in products with a few vectors: all eigenvalues of wide keys take minutes."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(len(matrix), min(_BLOCK, len(matrix)), generator=generator, dtype=torch.float64)
    vectors = torch.linalg.qr(vectors.to(matrix.dtype)).Q
    largest = 0.0
    for _ in range(_MOST_STEPS):
        products = matrix @ vectors
        before, largest = largest, float(torch.linalg.eigvalsh(vectors.T @ products)[-1])
        if abs(largest - before) <= _TOLERANCE * largest:
            break
        vectors = torch.linalg.qr(products).Q
    return largest
