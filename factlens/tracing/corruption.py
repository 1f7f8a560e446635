"""The corrupted prompt: noise on the embeddings of the subject's tokens, or another subject in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from factlens.arguments import shown
from factlens.errors import FactError
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.encoding import Encoding
from factlens.tracing.protocol import Corruption, Noise, Replacement


@dataclass(frozen=True)
class Corrupted:
    """What the model reads in the corrupted runs.

    Attributes
    ----------
    embedded
        Token embeddings of the corrupted prompts, ``(S, tokens, embedding width)``.
    at
        For each token of the clean prompt, its place in the corrupted one.
    first
        The first token of the clean prompt that may read otherwise in the corrupted one.
    level
        Size of the noise; None for a replacement.
    """

    embedded: Tensor
    at: tuple[int, ...]
    first: int
    level: float | None


@torch.no_grad()
def corrupt(model: Model, fact: Fact, encoding: Encoding, corruption: Corruption, samples: int, seed: int) -> Corrupted:
    """Return the corrupted prompts of a fact.

    Parameters
    ----------
    model, fact, encoding
        The model, the fact, and its prompt in tokens.
    corruption
        Noise, or another subject.
    samples
        Number of noise samples, S. A replacement has one.
    seed
        Seed of the noise.

    Raises
    ------
    FactError
        If the corruption would change nothing.
    """
    if isinstance(corruption, Replacement):
        return _replaced(model, fact, encoding, corruption)
    ids = torch.tensor([encoding.ids], device=model.device)
    start, stop = encoding.subject_range
    embedded = model.embedding(ids).repeat(samples, 1, 1)
    level = noise_level(model, encoding.ids[start:stop], corruption)
    width = int(embedded.shape[-1])
    noise = torch.from_numpy(_draw(model, corruption, samples, stop - start, width, level, seed)).to(embedded.device)
    # Added in float64 and rounded once, as in the published code.
    if corruption.replace:
        embedded[:, start:stop] = noise.to(embedded.dtype)
    else:
        embedded[:, start:stop] += noise
    return Corrupted(embedded, tuple(range(len(encoding.ids))), start, level)


def _replaced(model: Model, fact: Fact, encoding: Encoding, corruption: Replacement) -> Corrupted:
    other = model.encode(
        fact.with_subject(corruption.subject),
        what=f"With the subject {shown(corruption.subject)} in its subject's place, the prompt",
        advice="Take a shorter subject, or shorten the prompt.",
    )
    start, stop = encoding.subject_range
    after = encoding.ids[stop:]
    if other.ids[len(other.ids) - len(after) :] != after:
        raise FactError(
            f"With {corruption.subject!r} in the subject's place the rest of the prompt is split into other tokens, so "
            "the two prompts cannot be compared token by token. Take another subject, or put a space after '{}'."
        )
    if other.ids == encoding.ids:
        raise FactError("The subject is replaced by itself: nothing is corrupted, and nothing can be restored.")
    # Before a rare first letter the space becomes a token of its own: the prompts may part before the subject.
    pairs = zip(encoding.ids[:start], other.ids, strict=False)
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), start)
    shift = len(other.ids) - len(encoding.ids)
    at = [
        token if token < first else max(first, token + shift) if token < stop else token + shift
        for token in range(len(encoding.ids))
    ]
    embedded = model.embedding(torch.tensor([other.ids], device=model.device))
    return Corrupted(embedded, tuple(at), first, None)


@torch.no_grad()
def embedding_spread(model: Model, token_ids: Iterable[int]) -> float:
    """Return the standard deviation over all elements of the embeddings of some tokens: ROME's σ.

    Meng et al. (2022), Appendix B.1, take the tokens of the subjects of their thousand facts; pass the
    tokens of your own facts' subjects to do the same. The value depends on the model and on the tokens.
    """
    ids = torch.tensor(list(token_ids), device=model.device)
    return float(model.embedding(ids).float().std())


def noise_level(model: Model, subject_ids: Sequence[int], corruption: Noise) -> float:
    """Return the size of the noise: as given, or a multiple of σ (for ``"multivariate"``, the multiple itself).

    Raises
    ------
    FactError
        If it comes out as zero or not a number, so that nothing would be corrupted.
    """
    if corruption.level is not None:
        return corruption.level
    if corruption.shape == "multivariate":
        return corruption.multiple
    ids = subject_ids if corruption.subjects is None else _tokens_of(model, corruption.subjects)
    level = corruption.multiple * embedding_spread(model, ids)
    if not level > 0:
        raise FactError(f"The noise level came out as {level}: nothing would be corrupted. Pass Noise(level=...).")
    return level


def _tokens_of(model: Model, subjects: Iterable[str]) -> list[int]:
    # Without the space that a name in the middle of a text begins with, as in the published code.
    ids = [i for name in subjects for i in model.tokenizer(name, add_special_tokens=False)["input_ids"]]
    if not ids:
        raise FactError("The list of subjects for the noise level is empty.")
    model.check_ids(ids)
    return ids


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


def _draw(
    model: Model, corruption: Noise, samples: int, tokens: int, width: int, level: float, seed: int
) -> np.ndarray:
    if corruption.shape == "gaussian":
        return draw_noise(samples, tokens, width, level, seed)
    random = np.random.RandomState(seed)
    if corruption.shape == "uniform":
        return random.uniform(-level, level, (samples, tokens, width))
    # Centred embeddings e_j, weighted by independent normal g_j: the sum over j of g_j e_j / √(n - 1) has exactly
    # their covariance, and no factor of a singular matrix is needed.
    if corruption.subjects is None:
        weight = model.model.get_input_embeddings().weight
        vectors = model.embedding(torch.arange(weight.shape[0], device=model.device))
    else:
        vectors = model.embedding(torch.tensor(_tokens_of(model, corruption.subjects), device=model.device))
    centred = vectors.double().cpu().numpy()
    centred -= centred.mean(0)
    normal = random.randn(samples, tokens, len(centred))
    return np.asarray(level * normal @ centred / np.sqrt(max(1, len(centred) - 1)))
