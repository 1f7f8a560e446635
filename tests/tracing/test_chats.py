"""Traces of a chat: which tokens are the template's, and that they are saved and made again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.tracing.averages import ROLES, tokens_of_roles
from factlens.tracing.recipe import code_of, fact_code
from tests.chats import CHATS, made
from tests.models.test_as_written import model_with
from tests.tokenizers import talking


@pytest.mark.parametrize("name", CHATS)
def test_a_trace_knows_which_tokens_are_the_templates(name: str) -> None:
    model = model_with(talking("byte-level, bos"))
    found = fl.trace(model, made(name), samples=1)
    read, around = found.fact, found.fact.conversation
    assert around is not None
    spans = model.tokenizer(read.prompt, return_offsets_mapping=True)["offset_mapping"]
    plain = [i for i, (u, v) in enumerate(spans) if u < v and any(v > a and u < b for a, b in around.spans)]
    assert sorted((*plain, *found.template_tokens)) == list(range(len(found.tokens)))
    with torch.no_grad():
        logits = model.model(input_ids=torch.tensor([model.tokenizer(read.prompt)["input_ids"]])).logits[0, -1]
    assert found.high == pytest.approx(float(logits.softmax(-1).max()), rel=1e-5)
    averaged = fl.average([found])
    counted = tokens_of_roles(len(found.tokens), found.subject_range, found.template_tokens)
    assert averaged.count.values.tolist() == [len(tokens) for tokens in counted]
    # Of the template only the last token plays a role, and none before the subject does.
    playing, last = {token for tokens in counted for token in tokens}, len(found.tokens) - 1
    assert playing & set(found.template_tokens) <= {last}
    assert min(playing) == found.subject_range[0]
    grid = found.effects.values
    for role, tokens in zip(ROLES, counted, strict=True):
        if tokens:
            expected = grid[:, list(tokens)].mean(1)
            np.testing.assert_allclose(averaged.effects.sel(role=role).values, expected, atol=1e-6)


def test_a_trace_of_a_chat_is_saved_and_made_again(tmp_path: Any) -> None:
    model = model_with(talking("byte-level, bos"))
    found = fl.trace(model, made("several turns", target=fl.Exactly("Paris")), samples=1, answer="Rome")
    again = fl.Trace.load(found.save(tmp_path / "chat.safetensors"))
    assert (again.fact, again.template_tokens, again.answer_given) == (found.fact, found.template_tokens, "Rome")
    code = code_of(again)
    assert "fl.Fact.chat(" in code
    assert "target=fl.Exactly('Paris')" in code
    lines = code.replace(f"fl.load({model.name!r})", "MODEL").replace("trace.plot()", "")
    scope: dict[str, Any] = {"MODEL": model}
    exec(lines, scope)
    assert scope["trace"].fact == found.fact
    np.testing.assert_array_equal(scope["trace"].samples.values, found.samples.values)


@pytest.mark.parametrize(
    "fact",
    [
        fl.Fact.chat(
            [
                {"role": "user", "content": "The capital of [S]?"},
                {"role": "assistant", "content": "It is"},
                {"role": "user", "content": "France is nice"},
            ],
            "France",
            slot="[S]",
        ),
        fl.Fact.chat("Rome, {} or [S]?", "Rome", slot="[S]", system="Never [S]"),
        fl.Fact.chat("{{}} in {Rome}", "Rome"),
    ],
    ids=lambda fact: fact.prompt,
)
def test_the_code_of_a_chat_gives_it_back(fact: fl.Fact) -> None:
    model = model_with(talking("byte-level"))
    for one in (fact, model.as_read(fact)):
        again = eval(fact_code(one), {"fl": fl})
        assert (again, model.as_read(again)) == (fact, model.as_read(fact))
