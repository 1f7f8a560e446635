"""The corrupted run: Gaussian noise on the embeddings of the subject's tokens."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from factlens.errors import FactError
from factlens.models import Model


@torch.no_grad()
def embedding_spread(model: Model, token_ids: Iterable[int]) -> float:
    """Return the standard deviation over all elements of the embeddings of some tokens: ROME's σ.

    Meng et al. (2022), Appendix B.1, take the tokens of the subjects of their thousand facts; pass the
    tokens of your own facts' subjects to do the same. The value depends on the model and on the tokens.
    """
    ids = torch.tensor(list(token_ids), device=model.device)
    return float(model.embedding(ids).float().std())


def spread_of_noise(
    model: Model, subject_ids: Iterable[int], multiple: float = 3.0, subjects: Iterable[str] | None = None
) -> float:
    """Return the standard deviation of the noise: a multiple of σ.

    Parameters
    ----------
    model
        The model.
    subject_ids
        Token ids of the traced subject.
    multiple
        How many σ; 3 in the paper.
    subjects
        Names to take σ over instead of the traced subject alone, as in the paper (its thousand subjects).

    Raises
    ------
    FactError
        If σ comes out as zero or not a number, so that nothing would be corrupted.
    """
    ids = list(subject_ids)
    if subjects is not None:
        ids = [i for name in subjects for i in model.tokenizer(" " + name, add_special_tokens=False)["input_ids"]]
        if not ids:
            raise FactError("The list of subjects for the noise level is empty.")
    level = multiple * embedding_spread(model, ids)
    if not level > 0:
        raise FactError(f"The noise level came out as {level}: nothing would be corrupted. Pass noise_level= yourself.")
    return level


def draw_noise(samples: int, tokens: int, width: int, level: float, seed: int = 1) -> np.ndarray:
    """Draw the noise of a trace, once: every cell of its grids sees the same samples.

    The draw is that of the published code, ``RandomState(seed).randn(samples, tokens, width)`` with seed 1,
    so that grids can be compared number for number. One draw for all cells is a paired design: differences
    between cells carry no sampling noise of their own.

    Returns
    -------
    numpy.ndarray
        Shape ``(samples, tokens, width)``, float64.
    """
    return np.random.RandomState(seed).randn(samples, tokens, width) * level
