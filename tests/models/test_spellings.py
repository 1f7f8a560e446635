"""How an answer of the model is written so that it is read as the same token."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.models.spellings import wording_of
from tests.models.test_as_written import model_with
from tests.tokenizers import OPEN


@pytest.mark.parametrize("kind", OPEN)
def test_the_models_own_answer_is_written_so_that_it_is_that_token(kind: str) -> None:
    model = model_with(OPEN[kind]())
    prompt = "The Space Needle is in"
    written = 0
    for answer in model.answers(prompt, k=60):
        wording = wording_of(model, prompt, answer)
        try:
            ids = model.encode_option(prompt, wording)[1]
        except fl.FactlensError:
            continue
        written += ids[0] == answer.id
    assert written > 10
