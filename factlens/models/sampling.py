"""Seeded text from the model itself: ROME's context prefixes, and a corpus for models that bring none."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import DynamicCache

from factlens.models.fitting import check_written
from factlens.models.interrupts import interruption_point
from factlens.models.model import Model


@torch.no_grad()
def sample_ids(
    model: Model, count: int, new_tokens: int, seed: int, top_k: int = 5, after: str = "", what: str = "A text"
) -> list[list[int]]:
    """Continue a text, or the beginning-of-sequence token, `count` times by top-k sampling.

    Parameters
    ----------
    model
        The model.
    count, new_tokens
        Number of rows, and how many tokens each gets.
    seed
        Seed of a generator of its own: the global random state is neither used nor changed.
    top_k
        Draw among this many most probable tokens, in proportion to their probability.
    after
        The text to continue. Default: none.
    what
        What it is for, in the error that says that it is too long.

    Raises
    ------
    PromptTooLong
        If the model does not read so much.

    Returns
    -------
    list of list of int
        The new tokens of each row.
    """
    generator = torch.Generator().manual_seed(seed)
    start = model.tokenizer.bos_token_id
    start = model.tokenizer.eos_token_id if start is None else start
    ids = list(model.tokenizer(after)["input_ids"]) if after else [int(start or 0)]
    model.check_ids(ids)
    check_written(model.name, model.max_tokens, ids, new_tokens, what)
    token = torch.tensor([ids] * count, device=model.device)
    cache = DynamicCache(config=model.model.config)
    rows = []
    with model.exclusive():
        for _ in range(new_tokens):
            logits = model.model(input_ids=token, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            best = logits[:, -1].float().topk(min(top_k, logits.shape[-1]))
            choice = torch.multinomial(best.values.softmax(-1).cpu(), 1, generator=generator)
            token = best.indices.gather(1, choice.to(best.indices.device))
            rows.append(token)
            interruption_point()
    result: list[list[int]] = torch.cat(rows, dim=1).tolist()
    return result


def drawn(logits: Tensor, top_k: int, shares: Tensor) -> Tensor:
    """Draw a token for each row among its `top_k` most probable ones, in proportion to their probability.

    Which one it is, a number decides for each row on its own, so that it does not depend on the rows beside it.

    Parameters
    ----------
    logits
        ``(rows, vocabulary)``.
    top_k
        How many to draw among.
    shares
        ``(rows,)``, each from [0, 1): the token is drawn whose part of the summed probability this falls into.

    Returns
    -------
    Tensor
        ``(rows, 1)``.
    """
    best = logits.topk(min(top_k, logits.shape[-1]))
    summed = best.values.softmax(-1).cumsum(-1)
    # The last sum may be a little less than 1.
    place = (summed <= shares[:, None] * summed[:, -1:]).sum(-1, keepdim=True)
    return best.indices.gather(1, place.clamp_(max=best.indices.shape[1] - 1))


def sample_texts(model: Model, count: int, new_tokens: int, seed: int, top_k: int = 5, after: str = "") -> list[str]:
    """Return `sample_ids` as text, special tokens left out."""
    rows = sample_ids(model, count, new_tokens, seed, top_k, after)
    return [str(model.tokenizer.decode(row, skip_special_tokens=True)) for row in rows]
