"""Text that does not fit into a model: tokens without a row in the embedding, and more of them than positions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

import factlens as fl
from factlens.errors import ArgumentError, FactError, PromptTooLong, WrongModel
from factlens.models.sampling import sample_texts
from factlens.session import Session
from tests.editing.made import moment_of
from tests.editing.test_bad_input import state_of
from tests.support import small_model, tokenizer

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle", object="the river")
STRANGE = fl.Fact("In Paris, the {} is near", "Zork", target="Seattle")
NOISE = fl.Noise(level=0.3)


def with_a_token_too_many() -> fl.Model:
    """A model to whose tokenizer a word was added, and not to its embedding."""
    grown = copy.deepcopy(tokenizer())
    grown.add_tokens(["Zork"])
    return fl.wrap(small_model("gpt2").model, grown, name="small gpt2")


def edit(model: fl.Model, fact: fl.Fact = FACT, **options: Any) -> fl.Edit:
    settings: dict[str, Any] = {"layers": 1, "moments": moment_of(model, 1), "steps": 1, "contexts": ()}
    return fl.edit(model, fact, apply=False, **{**settings, **options})


def judge(model: fl.Model, **options: Any) -> fl.Report:
    checks = fl.Checks.of(FACT, "the river", generation_prompts=options.pop("generation_prompts", ()))
    return fl.evaluate(model, FACT, checks, method="ft", layers=1, steps=1, **options)


def add_prompt(model: fl.Model, prompt: str) -> None:
    session = Session(model, FACT)
    session.add_prompt(prompt)
    error = session.last_error
    session.close()
    if error is not None:
        raise error


ROADS: dict[str, Callable[[fl.Model], object]] = {
    "encode": lambda m: m.encode(STRANGE),
    "an option": lambda m: m.encode_option(FACT.prompt, "Zork"),
    "ids_of": lambda m: m.ids_of("a Zork"),
    "next_token": lambda m: m.next_token("a Zork"),
    "answers": lambda m: m.answers("a Zork"),
    "a traced prompt": lambda m: fl.trace(m, STRANGE),
    "a traced answer": lambda m: fl.trace(m, FACT, answer="Zork"),
    "a contrast": lambda m: fl.trace(m, FACT, metric="logit_difference", contrast="Zork"),
    "the subjects of the noise": lambda m: fl.trace(m, FACT, corruption=fl.Noise(subjects=["Zork"])),
    "the subject of a replacement": lambda m: fl.trace(m, FACT, corruption=fl.Replacement("Zork")),
    "one of many facts": lambda m: list(fl.trace_many(m, [FACT, STRANGE], corruption=NOISE, samples=1)),
    "an edited prompt": lambda m: edit(m, STRANGE),
    "a target": lambda m: edit(m, FACT.with_target("Zork")),
    "what is kept": lambda m: edit(m, keep=("{} Zork",)),
    "an opening": lambda m: edit(m, openings=("Zork",)),
    "a probe": lambda m: fl.evaluation.read(m, ["a Zork"], [["Paris"]]),
    "unrelated prompts": lambda m: judge(m, unrelated=["a Zork"]),
    "ordinary text": lambda m: judge(m, texts=["a Zork is"]),
    "beginnings of texts": lambda m: judge(m, generation_prompts=["a Zork is"]),
    "a corpus": lambda m: fl.moments.collect(m, [1], ["a Zork is"] * 99, tokens=64),
    "what is written on": lambda m: sample_texts(m, 1, 2, 0, after="Zork"),
    "a prompt in the lens": lambda m: add_prompt(m, "a Zork"),
}


@pytest.mark.parametrize("road", ROADS)
def test_a_token_beyond_the_embedding(road: str) -> None:
    model = with_a_token_too_many()
    before = state_of(model)
    both = r"token 340 \('Zork'\).* has 340 rows, and the tokenizer 341 tokens.*resize_token_embeddings"
    with pytest.raises(WrongModel, match=both):
        ROADS[road](model)
    assert state_of(model) == before


def test_what_the_message_says_helps() -> None:
    model = with_a_token_too_many()
    model.model.resize_token_embeddings(len(model.tokenizer), mean_resizing=False)
    model = fl.wrap(model.model, model.tokenizer)
    assert fl.trace(model, STRANGE, samples=1, corruption=NOISE, kinds="mlp").complete


def test_the_last_rows_of_an_embedding_are_taken() -> None:
    # Embeddings are often larger than the vocabulary: rounded up for the hardware's sake.
    grown = copy.deepcopy(tokenizer())
    grown.add_tokens(["Zork"])
    torch_model = small_model("gpt2", vocab_size=341).model
    assert len(fl.wrap(torch_model, grown).answers("a Zork", k=999)) == 341
    assert len(fl.wrap(torch_model, tokenizer()).answers("a tower", k=999)) == 341


# Too long -----------------------------------------------------------------------------------------------------------

LIMIT = 64
FILLER = " in"  # one token


def long_fact(model: fl.Model, tokens: int, **parts: Any) -> fl.Fact:
    """A fact whose prompt has so many tokens."""
    for words in range(tokens):
        fact = fl.Fact("{}" + FILLER * words, "Eiffel Tower", **{"target": "Seattle", **parts})
        if len(model.tokenizer(fact.prompt)["input_ids"]) == tokens:
            return fact
    raise AssertionError(tokens)


def tokens_of(model: fl.Model, prompt: str, option: str) -> int:
    return len(model.encode_option(prompt, option)[1])


def test_a_prompt_that_is_too_long_by_itself_is_the_users() -> None:
    model = small_model("gpt2")
    fact = long_fact(model, LIMIT + 1, object="Paris")
    for attempt in (
        lambda: model.encode(fact),
        lambda: model.answers(fact.prompt),
        lambda: fl.trace(model, fact, answer="the river near Paris"),
        lambda: edit(model, fact, contexts=((2, 9),)),
        lambda: fl.evaluation.read(model, [fact.prompt], [["the river"]]),
    ):
        with pytest.raises(PromptTooLong) as error:
            attempt()
        said = "The prompt has 65 tokens, but small gpt2 reads at most 64. Shorten the prompt."
        assert str(error.value) == said


ANSWER = "the Tower near the river"
ADDED: dict[str, tuple[Callable[[fl.Model, fl.Fact], object], str]] = {
    "an answer": (lambda m, f: fl.trace(m, f, answer=ANSWER), "answer"),
    "a contrast": (
        lambda m, f: fl.trace(m, f, metric="logit_difference", answer="Paris", contrast=ANSWER),
        "contrast",
    ),
    "an object": (lambda m, f: fl.average_over(m, [fl.Fact(f.template, f.subject, object=ANSWER)]), "object"),
    "a target": (lambda m, f: edit(m, f.with_target(ANSWER)), "target"),
    "a target of many": (lambda m, f: edit(m, [f.with_target(ANSWER)], method="memit"), "target"),
    "a probe": (lambda m, f: fl.evaluation.read(m, [f.prompt], [["no", ANSWER]]), "object"),
}


@pytest.mark.parametrize("case", ADDED)
def test_what_factlens_puts_behind_a_prompt_is_said_to_be_its_own(case: str) -> None:
    model = small_model("gpt2")
    (attempt, role), length = ADDED[case], 59
    fact = long_fact(model, length)
    many = tokens_of(small_model("gpt2", n_positions=99), fact.prompt, ANSWER)
    assert length < LIMIT < length + many - 1
    before = state_of(model)
    with pytest.raises(FactError) as error:
        attempt(model, fact)
    said = str(error.value)
    assert f"The prompt has {length} tokens, and factlens adds {many - 1} of the {many} tokens of the {role}" in said
    assert f"Together these are {length + many - 1}, but small gpt2 reads at most 64" in said
    assert f"Shorten the prompt or the {role}" in said
    assert state_of(model) == before


@pytest.mark.parametrize("option", ["Seattle", "Paris", ANSWER])
def test_what_just_fits_is_taken(option: str) -> None:
    """All but the last token of an answer are read, and nothing else counts."""
    model = small_model("gpt2")
    many = tokens_of(model, "Eiffel Tower is", option)
    fact = long_fact(model, LIMIT - many + 1, target=option)
    assert fl.trace(model, fact, answer=option, kinds="mlp", samples=1, corruption=NOISE, memory=2**24).complete
    assert edit(model, fact).facts == (fact,)
    (reading,) = fl.evaluation.read(model, [fact.prompt], [[option]])
    assert 0 < reading.probabilities[0] < 1
    longer = long_fact(model, LIMIT - many + 2, target=option)
    with pytest.raises(PromptTooLong):
        fl.trace(model, longer, answer=option)


@pytest.mark.parametrize("setting", [{"contexts": ((1, 12),)}, {"openings": ("The Tower",)}])
@pytest.mark.parametrize("method", ["rome", "memit"])
def test_the_contexts_of_an_edit_are_its_own(setting: dict[str, Any], method: str) -> None:
    model = small_model("gpt2")
    fact = long_fact(model, 60)
    before = state_of(model)
    with pytest.raises(
        PromptTooLong, match=r"The prompt has 60 tokens, and factlens adds \d+ tokens in front of it"
    ) as error:
        edit(model, fact, method=method, **{"openings": (), **setting})
    assert "edit without such contexts: contexts=(), openings=()." in str(error.value)
    assert state_of(model) == before
    # What the message says helps.
    edit(model, fact, method=method, openings=())


def test_contexts_that_no_prompt_fits_behind() -> None:
    model = small_model("gpt2")
    with pytest.raises(
        ArgumentError, match=r"contexts\[1\]\[1\] must be at most 64, which is what small gpt2 reads, not 65"
    ):
        edit(model, contexts=((1, 2), (1, 65)))
    with pytest.raises(PromptTooLong, match=r"openings\[0\] is too long: 10 tokens written after \d+ tokens"):
        edit(model, openings=(FILLER * 60,))
    with pytest.raises(PromptTooLong, match=r"openings\[0\] has \d+ tokens, but small gpt2 reads at most 64"):
        edit(model, openings=(FILLER * 70,))


def test_what_an_edit_keeps_is_its_own() -> None:
    model = small_model("gpt2")
    with pytest.raises(PromptTooLong, match=r"which the edit keeps as it was \(keep=\), has \d+ tokens.*Leave it out"):
        edit(model, keep=("{} is" + FILLER * 70,))
    with pytest.raises(
        PromptTooLong, match=r"about 'Eiffel Tower' \(keep_samples=, keep_tokens=\) is too long: 64 tokens"
    ):
        edit(model, keep_samples=2, keep_tokens=64)
    with pytest.raises(ArgumentError, match=r"keep\[1\] must be a prompt that 'Eiffel Tower' fits"):
        edit(model, keep=("{} is a", "The Louvre is a"))


def test_room_for_less_of_an_answer_than_is_looked_at() -> None:
    # Without an object, an edit that keeps what the model writes looks at the first words of its answer.
    model = small_model("gpt2")
    assert edit(model, long_fact(model, 62), keep_samples=1, keep_tokens=2).layers == (1,)


def test_another_subject_that_is_longer() -> None:
    model = small_model("gpt2")
    fact, other = long_fact(model, 60), "Eiffel Tower near the Tower near the river"
    with pytest.raises(
        PromptTooLong, match=r"With the subject 'Eiffel .*' in its subject's place, the prompt has \d+ tokens"
    ):
        fl.trace(model, fact, corruption=fl.Replacement(other))
    shorter = long_fact(model, 55)
    assert fl.trace(model, shorter, corruption=fl.Replacement(other), kinds="mlp").complete
    with pytest.raises(
        PromptTooLong, match=r"With the other subject .* factlens adds \d of the \d tokens of the answer"
    ):
        fl.trace(model, shorter, corruption=fl.Replacement(other), answer=ANSWER)


def test_unrelated_prompts_that_are_too_long() -> None:
    model = small_model("gpt2")
    before = state_of(model)
    with pytest.raises(PromptTooLong, match="An unrelated prompt has 70 tokens"):
        judge(model, unrelated=["a", FILLER * 70])
    assert state_of(model) == before
