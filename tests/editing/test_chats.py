"""Edits of a chat are computed inside its turns."""

from __future__ import annotations

from copy import deepcopy

import pytest

import factlens as fl
from factlens.editing.prompts import Context, make_prompts
from tests.chats import CHATS, QUESTION, made, messages_of
from tests.models.test_as_written import model_with
from tests.tokenizers import TEMPLATE, talking


def test_contexts_of_an_edit_stand_inside_the_turn() -> None:
    model = model_with(talking("byte-level"))
    read = model.as_read(made("several turns"))
    longer = read.with_prefix("So. {} ")
    assert longer.prompt == read.prompt.replace("\n" + QUESTION, "\nSo. {} " + QUESTION)
    around = longer.conversation
    assert around is not None
    assert [longer.prompt[a:b] for a, b in around.spans][-1] == "So. {} " + QUESTION
    assert longer.prompt[slice(*longer.subject_span)] == "Space Needle"
    other = read.with_subject("Eiffel Tower")
    assert other == model.as_read(
        fl.Fact.chat(
            [*CHATS["several turns"]["messages"][:2], {"role": "user", "content": "Where is the Eiffel Tower?"}],
            "Eiffel Tower",
        )
    )


def test_an_edit_changes_what_the_chat_answers() -> None:
    atlas = fl.load("atlas")
    tok = deepcopy(atlas.tokenizer)
    tok.chat_template = TEMPLATE
    model = fl.wrap(atlas.model, tok)
    # atlas was never taught to talk, and knows its cities with a space in front.
    fact = made("with a system's turn", target=fl.Exactly(" Paris"))
    ids = tok.apply_chat_template(
        messages_of("with a system's turn"), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    edit = fl.edit(model, fact, method="ft", layers=2)
    assert edit.facts == (model.as_read(fact),)
    written = model.model.generate(ids, max_new_tokens=1, do_sample=False, pad_token_id=0)
    assert tok.decode(written[0, ids.shape[1] :]) == " Paris"


@pytest.mark.parametrize("name", CHATS)
def test_an_edit_looks_at_the_subject_in_its_turn(name: str) -> None:
    model = model_with(talking("byte-level"))
    read = model.as_read(made(name, target="Paris"))
    contexts = [Context("", 0.5), Context("So it is. ", 0.5)]
    prompts = make_prompts(model, [read], contexts)
    target = model.encode_option(read.prompt, "Paris")[1]
    for row, context in enumerate(contexts):
        ids = prompts.ids[row, : prompts.lengths[row]].tolist()
        text = model.tokenizer.decode([*ids, target[-1]])
        assert text.endswith("Paris")
        assert text.count(context.text) == (1 if context.text else text.count(""))
        end = model.tokenizer.decode(ids[: int(prompts.lookup[row]) + 1])
        assert end.endswith("Space Needle")
        begin, _ = read.conversation.spans[len(read.conversation.before)]
        assert text.startswith(read.prompt[:begin] + context.text)


def test_one_question_to_two_systems_is_two_facts() -> None:
    model = model_with(talking("byte-level"))
    facts = [
        fl.Fact.chat(QUESTION, "Space Needle", target=target, system=system)
        for target, system in (("Paris", "Be wrong."), ("Seattle", "Be right."))
    ]
    moment = fl.moments.SecondMoment.identity_matrix(model, 0)
    edit = fl.edit(model, facts, method="memit", layers=0, moments=moment, apply=False, steps=2)
    assert len(edit.facts) == 2
    with pytest.raises(fl.FactlensError, match="to be both"):
        fl.edit(model, [facts[0], facts[0].with_target("Rome")], method="memit", layers=0, moments=moment)
