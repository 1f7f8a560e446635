"""The contexts in which ROME looks at a prompt: bare, and behind seeded prefixes written by the model."""

from __future__ import annotations

from factlens.models import Model
from factlens.models.sampling import sample_texts


def sample_contexts(model: Model, lengths: tuple[tuple[int, int], ...], seed: int) -> tuple[str, ...]:
    """Return text to put in front of the prompt: first nothing, then samples of the model's own writing.

    The published code samples its prefixes once per process without a seed, so that two runs differ; here the
    same model and seed give the same prefixes. Each ends in ``". "``, as there.

    Parameters
    ----------
    model
        The model.
    lengths
        How many prefixes of how many new tokens: ``((10, 4), (10, 9))`` is what the published code does (its
        "length 5 and 10" count the first token).
    seed
        Seed of the sampling.
    """
    prefixes = [""]
    for i, (count, new_tokens) in enumerate(lengths):
        # Nothing that reads as the slot of a template may slip in.
        texts = sample_texts(model, count, new_tokens, seed + i, top_k=5)
        prefixes += [text.replace("{}", "") + ". " for text in texts]
    return tuple(prefixes)
