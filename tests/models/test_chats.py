"""A chat is read as the text that the model's own template makes of its turns."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict

import pytest

import factlens as fl
from factlens.errors import TextWarning
from factlens.facts import read_fact
from factlens.models.chats import as_one_text
from tests.chats import CHATS, QUESTION, made, messages_of
from tests.models.test_as_written import model_with
from tests.tokenizers import OPEN, TEMPLATE, talking


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
