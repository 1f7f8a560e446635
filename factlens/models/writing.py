"""What a model writes on its own: greedy decoding of many prompts at once, each up to its own end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from factlens.models.interruptible import interruptible
from factlens.models.interrupts import interruption_point
from factlens.models.model import Model, check_finite
from factlens.models.padding import pad_left
from factlens.models.partial import takes_positions

BATCH = 64


@torch.no_grad()
def greedy_ids(
    model: Model, rows: Sequence[Sequence[int]], most: int, ended: Callable[[Sequence[int]], bool]
) -> list[list[int]]:
    """Continue each of `rows` by its most probable tokens.

    A row ends with a token that ends texts of this model (which is left out), where `ended` says so, after `most`
    tokens, or where the model reads no more. Rows are run together, padded on the left and with a cache of keys and
    values; those that have ended leave it. They come out as each alone would, but for rounding.

    Parameters
    ----------
    model
        The model, with the weights that it has now.
    rows
        Token ids of the prompts.
    most
        The most tokens that are written.
    ended
        Whether the new tokens so far are all of a text.

    Returns
    -------
    list of list of int
        The new tokens of each row.
    """
    room = [most if model.max_tokens is None else min(most, model.max_tokens - len(row)) for row in rows]
    texts: list[list[int]] = [[] for _ in rows]
    stops, placed = end_tokens(model), takes_positions(model)
    # Rows of like length together: little padding.
    order = sorted((i for i in range(len(rows)) if room[i] > 0), key=lambda i: len(rows[i]))
    with model.exclusive():
        for start in range(0, len(order), BATCH):
            going_on = order[start : start + BATCH]
            ids, mask = pad_left([rows[i] for i in going_on], model.device)
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            cache = DynamicCache(config=model.model.config)
            while going_on:
                interruption_point()
                logits = _next_logits(model, ids, mask, positions if placed else None, cache)
                chosen, still = logits.argmax(-1), []
                for place, (i, token) in enumerate(zip(going_on, chosen.tolist(), strict=True)):
                    if token not in stops:
                        texts[i].append(token)
                        if len(texts[i]) < room[i] and not ended(texts[i]):
                            still.append(place)
                if len(still) < len(going_on):
                    index = torch.tensor(still, dtype=torch.long, device=model.device)
                    going_on = [going_on[place] for place in still]
                    if not going_on:
                        break
                    cache.batch_select_indices(index)
                    chosen, mask, positions = chosen[index], mask[index], positions[index]
                ids, positions = chosen[:, None], positions[:, -1:] + 1
                mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
    return texts


def end_tokens(model: Model) -> frozenset[int]:
    """Return the tokens that end a text of this model, as its tokenizer and its own settings name them."""
    module: Any = model.model
    named = [model.tokenizer.eos_token_id, getattr(module.generation_config, "eos_token_id", None)]
    return frozenset(
        int(token) for one in named for token in (one if isinstance(one, list) else [one]) if one is not None
    )


def _next_logits(model: Model, ids: Tensor, mask: Tensor, positions: Tensor | None, cache: DynamicCache) -> Tensor:
    """Return the logits behind the last token of each row, ``(rows, vocabulary)``; the cache grows."""
    options = {} if positions is None else {"position_ids": positions}
    with interruptible(model.blocks):
        output = model.model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1, **options
        )
    return check_finite(output.logits[:, -1].float(), model.name)
