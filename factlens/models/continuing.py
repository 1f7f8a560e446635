"""Answers that end inside a character, continued to its end: for the eye only.

The most probable next token may be the first byte of ``東``. Its probability is what is measured, and ``⟨E6⟩`` is all
that the model has said by then. A reader wants to know what it is about to say: so the model goes on, greedily, until
the character is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from factlens.models.padding import pad
from factlens.models.pieces import missing_tail, with_character

if TYPE_CHECKING:
    from factlens.models.model import Model

MOST_TOKENS = 3
"""A character of UTF-8 has at most four bytes, and the first one is there."""

_BATCH = 32


@torch.no_grad()
def whole_texts(model: Model, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> list[str | None]:
    """Return the text of answers up to the end of the character in which they end.

    Parameters
    ----------
    model
        The model, with the weights that it has now.
    prompts, answers
        Token ids: the prompts, and for each what follows it.

    Returns
    -------
    list of str or None
        None for an answer of whole characters, which costs nothing, and for one whose character the model does not
        complete, with greedy decoding and at most three tokens more. Those stay bytes.
    """
    texts: list[str | None] = [None] * len(answers)
    following: dict[int, list[int]] = {i: [] for i, ids in enumerate(answers) if missing_tail(model.tokenizer, ids)}
    for _ in range(MOST_TOKENS):
        rows = {i: [*prompts[i], *answers[i], *more] for i, more in following.items()}
        rows = {i: row for i, row in rows.items() if model.max_tokens is None or len(row) <= model.max_tokens}
        following = {i: [*following[i], token] for i, token in zip(rows, _next(model, [*rows.values()]), strict=True)}
        for i, more in [*following.items()]:
            texts[i] = with_character(model.tokenizer, answers[i], more)
            begun = missing_tail(model.tokenizer, [*answers[i], *more[:-1]])
            goes_on = missing_tail(model.tokenizer, [*answers[i], *more])
            if texts[i] is not None or not (goes_on.startswith(begun) and len(goes_on) > len(begun)):
                del following[i]
    return texts


def _next(model: Model, rows: Sequence[Sequence[int]]) -> list[int]:
    """Return the most probable token behind each row."""
    best: list[int] = []
    with model.exclusive():
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            ids, mask = pad(part, model.device)
            logits = model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            best += [int(logits[i, len(row) - 1].argmax()) for i, row in enumerate(part)]
    return best
