"""How far to pull a second moment of few keys towards a simpler matrix: the intensity that errs least, estimated.

With fewer tokens than a key has components ``C`` is singular, and with not many more its small eigenvalues are far too
small. ``(1 − ρ) C + ρ T`` is closer to the truth for some ρ, and how large it must be follows from how much ``C``
scatters and how far it is from T. T is ``μ I`` with ``μ = mean(diag C)`` (Ledoit and Wolf 2004), or C's own diagonal
(Schäfer and Strimmer 2005).

Ledoit and Wolf 2004: A well-conditioned estimator for large-dimensional covariance matrices. Schäfer and Strimmer 2005:
A shrinkage approach to large-scale covariance matrix estimation.

Those two papers have independent observations. Tokens of a row are not, so here a row is one observation: its mean of
``k kᵀ`` scatters around C by as much as the tokens in it resemble each other, and with heavy tails or without. With
rows of one token this is the published estimator.
"""

from __future__ import annotations

from torch import Tensor


def ledoit_wolf(total: Tensor, count: int, rows: Tensor) -> float:
    """Return the intensity towards ``mean(diag C) · I``, in [0, 1] (Ledoit and Wolf 2004).

    Parameters
    ----------
    total
        ``Σ k kᵀ`` over tokens, ``(keys, keys)``.
    count
        Number of tokens.
    rows
        Number of rows, and sum over rows of ``‖Σ k kᵀ‖²`` and of its part on the diagonal, ``(3,)``.
    """
    squared, _, trace = _norms(total, count)
    distance = squared - trace**2 / len(total)
    return _share(_variance(squared, count, rows[0], rows[1]), distance)


def towards_diagonal(total: Tensor, count: int, rows: Tensor) -> float:
    """Return the intensity towards C's own diagonal, in [0, 1] (Schäfer and Strimmer 2005, target D).

    Parameters are those of `ledoit_wolf`.
    """
    squared, on_diagonal, _ = _norms(total, count)
    apart = squared - on_diagonal
    return _share(_variance(apart, count, rows[0], rows[1] - rows[2]), apart)


def oas(total: Tensor, count: int, effective: float) -> float:
    """Return the intensity towards ``mean(diag C) · I`` as if keys were normal, in [0, 1] (Chen et al. 2010, OAS).

    It needs no more than C itself and how many independent tokens that is worth: what older files have.
    """
    squared, _, trace = _norms(total, count)
    width = len(total)
    mean_square, mu = squared / width**2, trace / width
    return _share(mean_square + mu**2, (effective + 1) * (mean_square - mu**2 / width))


def normal_towards_diagonal(total: Tensor, count: int, effective: float) -> float:
    """Return the intensity towards C's own diagonal as if keys were normal, in [0, 1]."""
    squared, on_diagonal, trace = _norms(total, count)
    apart = squared - on_diagonal
    # Of normal keys, c_ij has the variance (c_ii c_jj + c_ij²) / n.
    return _share((trace**2 - on_diagonal + apart) / effective, apart)


def _norms(total: Tensor, count: int) -> tuple[float, float, float]:
    """Return ``‖C‖²``, the part of it on the diagonal, and the trace."""
    diagonal = total.diagonal().double() / count
    squared = float((total / count).square().sum(dtype=diagonal.dtype))
    return squared, float(diagonal.square().sum()), float(diagonal.sum())


def _variance(squared: float, count: int, rows: Tensor, of_rows: Tensor) -> float:
    """Return how far C is expected to be from the truth, squared: the scatter of the rows' means, over their number."""
    number = float(rows)
    return (float(of_rows) * number / count**2 - squared) / number


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 1.0
