"""What the user wrote is what the model reads, token by token, by every tokenizer; what may not be meant is said."""

from __future__ import annotations

import warnings
from copy import deepcopy
from functools import cache
from random import Random
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import factlens as fl
from factlens.errors import TextWarning
from factlens.models.notes import notes_on
from tests.tokenizers import ALL, OPEN, closing_processor, talking

TEXTS = {
    "a sentence": "The Space Needle is in downtown",
    "a blank at the end": "The Space Needle is in ",
    "two of them": "The Space Needle is in  ",
    "a line break at the end": "Where is the Space Needle?\n",
    "white space in front": "  The Space Needle is in",
    "a tab": "The\tSpace Needle\tis in",
    "two blanks": "The  Space Needle  is in",
    "an open quote": 'The Space Needle is in "',
    "an open bracket": "The Space Needle (",
    "an equals sign": "Space Needle=",
    "a literal slot": "x = {}\nThe Space Needle is",
    "Chinese": "Space Needle的首都是",
    "emoji": "Space Needle 🗼 is",
    "no-break space": "The Space Needle is\u00a0",
    "combining marks": "Space Needle is in Zu\u0308rich and e\u0301",
    "carriage return": "The Space Needle\r\nis in",
}


@cache
def model_of(kind: str) -> fl.Model:
    return model_with(OPEN[kind]())


def model_with(tokenizer: Any) -> fl.Model:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer) + 3, n_layer=2, n_embd=32, n_head=2, n_positions=96, initializer_range=0.4
    )
    return fl.wrap(GPT2LMHeadModel(config).eval(), tokenizer)


def fact_in(text: str, **options: Any) -> fl.Fact:
    start = text.index("Space Needle")
    return fl.Fact(text, span=(start, start + len("Space Needle")), **options)


@torch.no_grad()
def next_token(model: fl.Model, ids: list[int]) -> torch.Tensor:
    return model.model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.filterwarnings("ignore::factlens.errors.TextWarning")
def test_a_trace_reads_what_the_tokenizer_gives(kind: str, text: str) -> None:
    model = model_with(ALL[kind]())
    fact = fact_in(text)
    ids = model.tokenizer(text)["input_ids"]
    found = fl.trace(model, fact, samples=1, kinds=["state"])
    assert list(found.token_ids) == ids
    expected = next_token(model, ids)
    assert found.high == pytest.approx(float(expected.max()), rel=1e-5)
    assert found.answer_ids == (int(expected.argmax()),)
    assert model.answers(text, k=1)[0].id == int(expected.argmax())
    assert model.answers(text, k=1)[0].probability == pytest.approx(float(expected.max()), rel=1e-5)
    assert found.fact == fact


ANSWERS = ["Seattle", "Paris", " Paris", "4", "上海", "\n", "São Paulo"]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.filterwarnings("ignore::factlens.errors.TextWarning")
def test_an_answer_is_the_continuation_of_prompt_and_answer_together(kind: str, text: str) -> None:
    from factlens.spelling import continuation

    model = model_of(kind)
    prompt = model.tokenizer(text)["input_ids"]
    given = 0
    for answer in (*ANSWERS, *map(fl.Exactly, ANSWERS)):
        said = continuation(text, answer)
        together = model.tokenizer(text + said)["input_ids"]
        if together[: len(prompt)] != prompt or together == prompt or answer == "\n":
            marked = "⟦" if together[: len(prompt)] != prompt else "The"
            with pytest.raises(fl.FactlensError, match=marked):
                model.encode_option(text, answer)
            continue
        ids, option = model.encode_option(text, answer)
        assert [*ids, *option] == together
        assert list(ids) == prompt
        given += 1
    assert given or text[-1].isspace() or kind.startswith("sentencepiece")


@pytest.mark.parametrize("kind", OPEN)
def test_object_contrast_target_and_answer_are_spelled_alike(kind: str) -> None:
    model = model_of(kind)
    for text in ("The Space Needle is in", 'The Space Needle is in "', "The Space Needle (", "Space Needle="):
        fact = fact_in(text, target="Paris", object="Rome")
        paris, rome = (list(model.encode_option(text, word)[1]) for word in ("Paris", "Rome"))
        found = fl.trace(model, fact, samples=1, kinds=["mlp"], answer="Paris")
        assert list(found.answer_ids) == paris
        both = fl.trace(
            model, fact, samples=1, kinds=["mlp"], metric="logit_difference", answer="Paris", contrast="Rome"
        )
        assert (list(both.answer_ids), list(both.contrast_ids)) == (paris, rome)
        ids = torch.tensor([[*model.encode(fact).ids, *paris[:-1]]])
        with torch.no_grad():
            logs = model.model(input_ids=ids).logits[0, -len(paris) :].log_softmax(-1)
        whole = float(sum(logs[i, token] for i, token in enumerate(paris)).exp())
        assert found.high == pytest.approx(whole, rel=1e-4)


# What may not be meant ------------------------------------------------------------------------------------------------


def noted(model: fl.Model, fact: fl.Fact) -> list[str]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fl.trace(model, fact, samples=1, kinds=["state"])
    assert all(warning.filename == __file__ for warning in said), "it points at the user's line"
    return [str(warning.message) for warning in said if issubclass(warning.category, TextWarning)]


@pytest.mark.parametrize("kind", ["byte-level", "byte fallback", "byte fallback, bos"])
@pytest.mark.parametrize(
    "text", ["The Space Needle is in ", "The Space Needle is in  ", "The Space Needle\u00a0is in "]
)
def test_a_blank_at_the_end_is_read_and_said(kind: str, text: str) -> None:
    model = model_of(kind)
    (said,) = noted(model, fact_in(text))
    (note,) = notes_on(model.tokenizer, fact_in(text))
    assert note.message == said
    assert "ends in white space" in said
    assert note.offer == fact_in(text.rstrip())
    assert repr(note.offer.template) in said
    assert noted(model, note.offer) == []


def test_what_a_tokenizer_keeps_apart_is_not_worth_a_word() -> None:
    model = model_with(OPEN["byte-level"]())
    assert noted(model, fact_in("Where is the Space Needle?\n")) == []
    assert noted(model, fact_in('The Space Needle is in "')) == []


@pytest.mark.parametrize("kind", ["byte-level, bos", "sentencepiece, bos", "byte fallback, bos"])
def test_a_second_beginning_of_text_is_read_and_said(kind: str) -> None:
    model = model_of(kind)
    text = model.tokenizer.bos_token + "The Space Needle is in"
    (said,) = noted(model, fact_in(text))
    assert f"begins with {model.tokenizer.bos_token!r}" in said
    (note,) = notes_on(model.tokenizer, fact_in(text))
    assert note.offer == fact_in("The Space Needle is in")
    assert noted(model, note.offer) == []


@pytest.mark.parametrize("kind", ["byte-level", "byte fallback"])
def test_a_single_beginning_of_text_is_what_was_meant(kind: str) -> None:
    model = model_of(kind)
    assert noted(model, fact_in(model.tokenizer.bos_token + "The Space Needle is in")) == []


@pytest.mark.filterwarnings("ignore::factlens.errors.TextWarning")
def test_a_tokenizer_that_closes_every_text_is_said_and_takes_no_answer() -> None:
    with pytest.raises(fl.FactlensError, match=r"ends every text with '\[SEP\]'"):
        model_with(ALL["wordpiece, closed"]())
    # A tokenizer may be told to do so later.
    model = model_with(deepcopy(OPEN["wordpiece"]()))
    model.tokenizer.backend_tokenizer.post_processor = closing_processor()
    fact = fact_in("The Space Needle is in", target="Paris")
    (said,) = noted(model, fact)
    assert "[SEP]" in said
    for ask in (
        lambda: fl.trace(model, fact, answer="Paris"),
        lambda: fl.edit(model, fact, method="ft", layers=0),
        lambda: model.encode_option(fact.prompt, "Paris"),
    ):
        with pytest.raises(fl.FactlensError, match=r"puts '\[SEP\]' behind every text"):
            ask()


def test_a_target_with_white_space_behind_it_is_said() -> None:
    model = model_with(OPEN["byte-level"]())
    for name in ("target", "object"):
        (said,) = noted(model, fact_in("The Space Needle is in", **{name: "Paris "}))
        assert f"The {name} 'Paris ' ends in white space" in said
        assert noted(model, fact_in("The Space Needle is in", **{name: fl.Exactly("Paris ")})) == []


@pytest.mark.filterwarnings("ignore::factlens.errors.TextWarning")
@pytest.mark.parametrize("kind", ["byte-level", "byte fallback"])
def test_a_token_of_prompt_and_answer_is_refused_with_the_way_out(kind: str) -> None:
    model = model_of(kind)
    with pytest.raises(fl.FactlensError, match="merges the end of the prompt") as error:
        fl.trace(model, fact_in("The Space Needle is in "), answer="Paris")
    assert "⟦" in str(error.value)
    assert repr("The Space Needle is in") in str(error.value)
    with pytest.raises(fl.FactlensError, match="merges the end of the prompt") as error:
        fl.trace(model, fact_in("The Space Needle is in Par"), answer=fl.Exactly("is"))
    assert "⟦" in str(error.value)


@pytest.mark.parametrize("exact", [False, True])
def test_the_other_spelling_is_offered_where_it_is_much_more_probable(exact: bool) -> None:
    model = model_with(OPEN["byte-level"]())
    text = "The Space Needle is in"
    with_space, without = (model.encode_option(text, fl.Exactly(word))[1] for word in (" Paris", "Paris"))
    assert with_space[0] != without[0]
    loved, named = (with_space, "'Paris'") if exact else (without, "Exactly('Paris')")
    with torch.no_grad():
        model.model.lm_head = torch.nn.Linear(32, len(model.tokenizer) + 3)
        model.model.lm_head.bias[loved[0]] = 60
    model = fl.wrap(model.model, model.tokenizer)
    asked = fl.Exactly("Paris") if exact else "Paris"
    with pytest.warns(TextWarning, match="would rather continue") as said:
        fl.trace(model, fact_in(text), samples=1, kinds=["state"], answer=asked)
    (warning,) = said
    assert named in str(warning.message)
    assert warning.filename == __file__
    skipped = list(fl.trace_many(model, [fact_in(text, object=asked)], samples=1, kinds=["state"]))
    assert "spells the object otherwise" in skipped[0].reason


# A thousand texts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPEN)
def test_any_text_is_read_as_the_tokenizer_reads_it(kind: str) -> None:
    model, random = model_of(kind), Random(0)
    tok = model.tokenizer
    for _ in range(150):
        text = "".join(random.choices("{} \n\"'()ab Paris東🗼é\u0301\u200d\u00a0.=", k=random.randint(1, 20)))
        start = random.randrange(len(text))
        stop = random.randint(start + 1, len(text))
        if not text[start:stop].strip():
            continue
        fact = fl.Fact(text, span=(start, stop))
        spans = tok(text, return_offsets_mapping=True)["offset_mapping"]
        first, last = fact.subject_span
        if not any(u < v and v > first and u < last for u, v in spans):
            with pytest.raises(fl.FactlensError, match="no token for the subject"):
                model.encode(fact)
            continue
        assert list(model.encode(fact).ids) == tok(text)["input_ids"]


def test_talking_tokenizers_have_a_template() -> None:
    assert talking("byte-level").chat_template != talking("wordpiece").chat_template
