"""Greedy writing in batches is what each prompt alone would give, step by step without a cache."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

import factlens as fl
from factlens.models.padding import pad_left
from factlens.models.writing import end_tokens, greedy_ids
from tests.support import small_model, tokenizer

PROMPTS = [
    "Paris",
    "The Space Needle is in downtown",
    "In Paris, the Eiffel Tower is near",
    "Reykjavík",
    "Zürich and São Paulo are cities; Everyone in Paris knows that Paris is",
]
FAMILIES = [
    "gpt2",
    "llama",
    "bloom",
    "falcon",
    "gpt_neo",
    "gpt_neox",
    "opt",
    "qwen2",
    "gemma2",
    "mistral",
    "phi",
    "llava",
]


def never(ids: Sequence[int]) -> bool:
    return False


def rows_of(model: fl.Model) -> list[list[int]]:
    return [model.ids_of(prompt) for prompt in PROMPTS]


@torch.no_grad()
def plainly(model: fl.Model, row: Sequence[int], most: int) -> list[int]:
    """The whole text anew for every token: no batch, no padding, no cache."""
    ids = list(row)
    for _ in range(most):
        logits = model.model(input_ids=torch.tensor([ids]), use_cache=False).logits
        token = int(logits[0, -1].argmax())
        if token in end_tokens(model):
            break
        ids.append(token)
    return ids[len(row) :]


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_batch_writes_what_each_prompt_alone_gives(kind: str) -> None:
    model = small_model(kind)
    rows = rows_of(model)
    assert len({len(row) for row in rows}) > 2, "rows of several lengths, or nothing is padded"
    together = greedy_ids(model, rows, 12, never)
    assert together == [greedy_ids(model, [row], 12, never)[0] for row in rows]
    assert together == [plainly(model, row, 12) for row in rows]
    assert any(together)


def test_rows_leave_the_batch_where_they_have_ended() -> None:
    """Each row is stopped after a length of its own, and the rest go on as if it had never been there."""
    model = small_model("llama")
    rows = rows_of(model)
    whole = greedy_ids(model, rows, 12, never)
    stops = {tuple(ids[: 2 + i]) for i, ids in enumerate(whole)}
    cut = greedy_ids(model, rows, 12, lambda ids: tuple(ids) in stops)
    assert cut == [ids[: 2 + i] for i, ids in enumerate(whole)]


def test_an_end_of_text_token_ends_a_row_and_is_left_out() -> None:
    model = small_model("llama")
    row = rows_of(model)[4]
    (ids,) = greedy_ids(model, [row], 12, never)
    place = next(i for i, token in enumerate(ids) if token not in ids[:i] and i)
    model.model.generation_config.eos_token_id = [ids[place]]
    assert ids[place] in end_tokens(model)
    assert greedy_ids(model, [row], 12, never) == [ids[:place]]


def test_no_more_is_written_than_the_model_reads() -> None:
    """GPT-2 here has 64 positions: a row of 60 gets four more tokens, one of 64 none, and short ones all they want."""
    model = small_model("gpt2")
    rows = [[5] * 60, [5] * 64, [5] * 3]
    assert greedy_ids(model, rows, 10, never) == [plainly(model, rows[0], 4), [], plainly(model, rows[2], 10)]


def test_left_padding() -> None:
    ids, mask = pad_left([[1, 2, 3], [4]], torch.device("cpu"))
    assert ids.tolist() == [[1, 2, 3], [0, 0, 4]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_a_model_without_an_end_of_text_token_stops_by_number() -> None:
    model = small_model("gpt2")
    model.model.generation_config.eos_token_id = None
    bare = tokenizer(bos=True)
    assert end_tokens(model) == {bare.eos_token_id}
