"""Facts of a chat: what is traced, edited and judged is the text that the model's own template makes of the turns."""

from __future__ import annotations

import json
import warnings
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.conversations import Conversation
from factlens.editing.prompts import Context, make_prompts
from factlens.errors import TextWarning
from factlens.evaluation.chatting import as_read
from factlens.facts import read_fact
from factlens.models.chats import as_one_text
from factlens.models.spellings import wording_of
from factlens.session import Session
from factlens.tracing.averages import ROLES, roles_of, tokens_of_roles
from factlens.tracing.recipe import code_of, fact_code
from tests.models.test_as_written import model_with
from tests.tokenizers import OPEN, TEMPLATE, talking

QUESTION = "Where is the Space Needle?"
CHATS: dict[str, dict[str, Any]] = {
    "a question": {"messages": QUESTION},
    "a slot": {"messages": "Where is the {}?"},
    "with a system's turn": {"messages": QUESTION, "system": "Answer in one word."},
    "several turns": {
        "messages": [
            {"role": "user", "content": "Do you know Paris?"},
            {"role": "assistant", "content": "Yes, I do."},
            {"role": "user", "content": QUESTION},
        ]
    },
    "the subject in an earlier turn": {
        "messages": [
            {"role": "user", "content": "I love the Space Needle."},
            {"role": "assistant", "content": "So do I."},
            {"role": "user", "content": "Where is it?"},
        ]
    },
    "an answer begun": {
        "messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "It is in"}]
    },
    "the subject in the answer": {
        "messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "The Space Needle is in"}]
    },
    "white space around": {"messages": f"  {QUESTION}\n\n"},
    "a line break behind": {"messages": f"{QUESTION}\n"},
    "white space in front": {"messages": f"\n {QUESTION}"},
    "braces in other turns": {"messages": QUESTION, "system": "Never write {} or {{}}."},
    "turns that repeat": {
        "messages": [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": "user"},
            {"role": "user", "content": QUESTION},
        ]
    },
}


def made(name: str, **options: Any) -> fl.Fact:
    return fl.Fact.chat(**CHATS[name], subject="Space Needle", **options)


def messages_of(name: str) -> list[dict[str, str]]:
    chat = CHATS[name]
    said = chat["messages"]
    turns = [{"role": "user", "content": said.replace("{}", "Space Needle")}] if isinstance(said, str) else said
    return [*([{"role": "system", "content": chat["system"]}] if "system" in chat else []), *turns]


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("kind", OPEN)
def test_the_prompt_is_what_the_template_writes(kind: str, name: str) -> None:
    model = model_with(talking(kind))
    fact, turns = made(name, target="Paris"), messages_of(name)
    begun = turns[-1]["role"] == "assistant"
    options = {"add_generation_prompt": not begun, "continue_final_message": begun}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = model.as_read(fact)
    ids = model.tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, **options)["input_ids"]
    if model.tokenizer(model.tokenizer.bos_token or "a")["input_ids"][:2].count(model.tokenizer.bos_token_id) == 2 or (
        not model.tokenizer.bos_token
    ):
        assert list(model.encode(read).ids) == model.tokenizer(read.prompt)["input_ids"]
    assert list(model.encode(read).ids) == list(ids)
    written = model.tokenizer.apply_chat_template(turns, tokenize=False, **options)
    assert written.endswith(read.prompt)
    assert written.removesuffix(read.prompt) in ("", model.tokenizer.bos_token)
    assert read.prompt[slice(*read.subject_span)] == "Space Needle"
    around = read.conversation
    assert around is not None
    said = [read.prompt[a:b] for a, b in around.spans]
    assert said == [turn["content"].strip() for turn in turns]
    assert [role for role, _ in around.turns("")] == [turn["role"] for turn in turns]
    own = [i for i, (a, b) in enumerate(around.spans) if a <= read.subject_span[0] < b]
    assert own == [len(around.before)]
    assert model.as_read(read) == read
    assert read_fact(json.loads(json.dumps(asdict(read)))) == read
    assert read_fact(json.loads(json.dumps(asdict(fact)))) == fact


@pytest.mark.parametrize("name", [name for name in CHATS if "begun" not in name and "in the answer" not in name])
def test_a_template_that_keeps_white_space_is_read_with_it(name: str) -> None:
    tok = talking("byte-level, bos")
    tok.chat_template = TEMPLATE.replace(" | trim", "")
    read = as_one_text(tok, made(name))
    assert read.conversation is not None
    assert [read.prompt[a:b] for a, b in read.conversation.spans] == [turn["content"] for turn in messages_of(name)]
    assert read.prompt[slice(*read.subject_span)] == "Space Needle"


def test_the_turn_is_the_users_last_that_has_the_subject() -> None:
    twice = [
        {"role": "user", "content": "Rome?"},
        {"role": "user", "content": "Rome!"},
        {"role": "assistant", "content": "Rome is"},
    ]
    assert fl.Fact.chat(twice, "Rome").prompt == "Rome!"
    assert fl.Fact.chat(twice[2:], "Rome").prompt == "Rome is"
    assert fl.Fact.chat(twice, "Rome").conversation == Conversation(
        (("user", "Rome?"),), "user", (("assistant", "Rome is"),)
    )
    assert fl.Fact.chat("{} or [S]?", "Rome", slot="[S]").prompt == "{} or Rome?"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"messages": "Where is it?", "subject": "Rome"}, "No turn of the chat has the subject 'Rome'"),
        ({"messages": "", "subject": "Rome"}, "messages must be a text with something in it"),
        ({"messages": [], "subject": "Rome"}, "a question, or messages in a list"),
        ({"messages": 3, "subject": "Rome"}, "a question, or messages in a list"),
        ({"messages": ["Rome?"], "subject": "Rome"}, r"messages\[0\] must be a message with 'role' and 'content'"),
        ({"messages": [{"role": "user"}], "subject": "Rome"}, "with 'role' and 'content'"),
        ({"messages": [{"role": "user", "content": ["Rome"]}], "subject": "Rome"}, r"messages\[0\]\['content'\]"),
        ({"messages": [{"role": "user", "content": "Rome", "tool_calls": []}], "subject": "Rome"}, "tool_calls"),
        ({"messages": "Rome?", "subject": "Rome", "system": 3}, "system must be a text"),
        ({"messages": "Rome?", "subject": " "}, "subject must be a text with something in it"),
        ({"messages": "{} or Rome?", "subject": "Rome"}, "can be read in two ways"),
    ],
)
def test_chats_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(fl.FactlensError, match=message):
        fl.Fact.chat(**arguments)


def test_a_tokenizer_without_a_template_says_what_to_do() -> None:
    model = model_with(OPEN["byte-level"]())
    fact = made("a question", target="Paris")
    for ask in (
        lambda: fl.trace(model, fact),
        lambda: fl.stream(model, fact),
        lambda: fl.edit(model, fact, method="ft", layers=0),
        lambda: model.as_read(fact),
        lambda: fl.evaluate(model, fact, checks=fl.Checks.of(fact, "Seattle"), method="ft", layers=0),
        lambda: fl.Lens(model, fact),
    ):
        with pytest.raises(fl.FactlensError, match="has no chat template") as error:
            ask()
        assert "Fact('Where is the {}?', subject='Space Needle')" in str(error.value)


BAD_TEMPLATES = {
    "refuses": ("{{ raise_exception('no system here') }}", "does not take these turns"),
    "cuts": ("{% for m in messages %}{{ m['content'][:5] }}{% endfor %}", "changes what is said"),
    "shouts": ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "changes what is said"),
    "counts": (
        "{% for m in messages %}{{ m['content'] }}{{ m['content'] | length }}{% endfor %}",
        "for other words",
    ),
}


@pytest.mark.parametrize(("template", "message"), BAD_TEMPLATES.values(), ids=BAD_TEMPLATES)
def test_a_template_that_does_something_else_is_refused(template: str, message: str) -> None:
    tok = talking("byte-level")
    tok.chat_template = template
    with pytest.raises(fl.FactlensError, match=message):
        model_with(tok).as_read(made("a question"))


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
    roles = roles_of(found)
    for token in range(len(found.tokens)):
        last = token == len(found.tokens) - 1
        if token in found.template_tokens:
            assert roles[token] == ((ROLES[-1], "template") if last else ("template",))
        elif token < found.subject_range[0]:
            assert roles[token] == ()
    averaged = fl.average([found])
    counted = tokens_of_roles(len(found.tokens), found.subject_range, found.template_tokens)
    assert averaged.count.values.tolist() == [len(tokens) for tokens in counted]
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


def test_checks_are_asked_in_the_chat() -> None:
    model = model_with(talking("byte-level"))
    fact = made("with a system's turn", target="Paris")
    checks = fl.Checks.of(
        fact, "Seattle", paraphrases=["In which city is the {}?"], neighbours=[("Where is the Pike Place?", "Seattle")]
    )
    record = as_read(model, fl.Record(fact, checks, "one"))
    assert record.fact == model.as_read(fact)
    asked = (QUESTION, "In which city is the Space Needle?", "Where is the Pike Place?")
    for probe, question in zip(record.checks.probes, asked, strict=True):
        assert probe.prompt == record.fact.prompt.replace(QUESTION, question)
    assert as_read(model, record) == record
    report = fl.evaluate(model, fact, checks=checks, method="ft", layers=0, generate=False)
    (outcome,) = report.outcomes
    assert (outcome.record.fact, outcome.record.checks) == (record.fact, record.checks)
    # An edit that was made before knows its fact as the whole text.
    edit = fl.edit(model, fact, method="ft", layers=0, apply=False)
    (outcome,) = fl.evaluate(model, edit, checks=checks, generate=False).outcomes
    assert outcome.record.checks == record.checks


# What was found by looking for it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strip", ["rstrip", "lstrip", "strip"])
def test_the_subject_is_found_whatever_end_a_template_strips(strip: str) -> None:
    tok = talking("byte-level")
    tok.chat_template = TEMPLATE.removeprefix("{{ bos_token }}").replace(
        "message['content'] | trim", f"message['content'].{strip}()"
    )
    for said in (" Who wrote Hamlet?\n", "\n\n  Hamlet\n", "Hamlet  ", "  Hamlet"):
        read = as_one_text(tok, fl.Fact.chat(said, "Hamlet"))
        assert read.prompt[slice(*read.subject_span)] == "Hamlet"


@pytest.mark.parametrize("kind", [kind for kind in OPEN if "bos" in kind])
def test_a_template_of_other_tokens_than_the_tokenizers_is_said(kind: str) -> None:
    tok = talking(kind)
    tok.chat_template = TEMPLATE.removeprefix("{{ bos_token }}")
    model = model_with(tok)
    with pytest.warns(TextWarning, match="chat template gives other tokens") as said:
        found = fl.trace(model, made("a question"), samples=1, kinds=["state"])
    assert "add_bos_token = False" in str(said[0].message)
    assert list(found.token_ids) == tok(found.fact.prompt)["input_ids"]


def test_a_slot_and_the_subject_in_two_turns_are_not_guessed_at() -> None:
    turns = [
        {"role": "user", "content": "Where is the Louvre?"},
        {"role": "assistant", "content": "Paris"},
        {"role": "user", "content": "And what does f = {} do?"},
    ]
    with pytest.raises(fl.FactlensError, match=r"marker of your own, such as slot='\[S\]'"):
        fl.Fact.chat(turns, "Louvre")
    turns[0]["content"] = "Where is the [S]?"
    assert fl.Fact.chat(turns, "Louvre", slot="[S]").prompt == "Where is the Louvre?"
    assert fl.Fact.chat([turns[2]], "it").prompt == "And what does f = it do?"


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


def test_white_space_behind_a_begun_answer_is_offered_without_it_in_the_same_chat() -> None:
    tok = talking("byte-level")
    tok.chat_template = TEMPLATE.removeprefix("{{ bos_token }}").replace(" | trim", "")
    turns = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "It is in "}]
    model = model_with(tok)
    read = model.as_read(fl.Fact.chat(turns, "Space Needle"), warned=False)
    if read.prompt.endswith(" "):  # as some versions of transformers leave it
        (note,) = model.notes(read)
        assert note.offer is not None
        turns[1]["content"] = "It is in"
        assert note.offer == model.as_read(fl.Fact.chat(turns, "Space Needle"))
    with pytest.raises(fl.FactlensError, match="begun with nothing"):
        model.as_read(fl.Fact.chat([turns[0], {"role": "assistant", "content": " "}], "Space Needle"))


def test_the_lens_checks_a_chat_in_the_chat() -> None:
    model = model_with(talking("byte-level"))
    fact = fl.Fact.chat(QUESTION, "Space Needle", target="Paris", system="Be brief.")
    checks = fl.Checks.of(fact, "Seattle", paraphrases=["In which city is the {}?"])
    session = Session(model, fact)
    session.checks = checks
    session.add_prompt("Where is Paris?")
    session.method = "ft"
    session.start_edit("Paris", 0, {"steps": 2})
    assert session.wait(60)
    session.start_judge()
    assert session.wait(60)
    assert session.error is None, session.error
    rows = [(row["role"], row["prompt"], row["old"]) for row in session.judgement["rows"]]
    assert rows[:2] == [
        ("rewrite", QUESTION, "Seattle"),
        ("paraphrase", "In which city is the Space Needle?", "Seattle"),
    ]
    assert rows[2][:2] == ("own", "Where is Paris?")
    session.close()


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
