"""Which tokens are the subject, on a tokenizer that splits names and characters into several tokens."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.models.encoding import encode, encode_option
from tests.support import tokenizer

PROMPTS = [
    fl.Fact("{} is in downtown", "The Space Needle"),
    fl.Fact("In Paris, the {} is near", "Eiffel Tower"),
    fl.Fact("Everyone knows {}", "Zürich"),
    fl.Fact("{} and Rome", "Rome", slot="{}"),
    fl.Fact("Rome and {}", "Rome", slot="{}"),
    fl.Fact("The capital {} is", "東京"),
    fl.Fact("It says 🗼🗼 on {}", "🗼", slot="{}"),
    fl.Fact("So {}: is", "São Paulo"),
    fl.Fact("A{}B", "x"),
]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("fact", PROMPTS, ids=lambda fact: fact.prompt)
def test_subject_tokens_cover_the_subject_and_no_word_more(fact: fl.Fact, bos: bool) -> None:
    tok = tokenizer(bos)
    encoding = encode(tok, fact)
    start, stop = encoding.subject_range
    assert fact.subject in tok.decode(list(encoding.ids[start:stop]))
    assert fact.subject not in tok.decode(list(encoding.ids[start + 1 : stop]))
    assert fact.subject not in tok.decode(list(encoding.ids[start : stop - 1]))
    before = tok.decode(list(encoding.ids[:start]), skip_special_tokens=True)
    assert fact.prompt.startswith(before)
    assert len(before.rstrip()) <= fact.subject_span[0], "the subject's occurrence, not an earlier one"
    assert len(before) + 1 >= fact.subject_span[0]


def test_a_repeated_subject_is_found_where_it_is_marked() -> None:
    first, second = (encode(tokenizer(), fact).subject_range for fact in PROMPTS[3:5])
    assert first[0] == 0
    assert second[1] == len(encode(tokenizer(), PROMPTS[4]).ids)


def test_pieces_join_to_the_prompt() -> None:
    fact = PROMPTS[0]
    assert "".join(encode(tokenizer(), fact).pieces) == fact.prompt
    assert encode(tokenizer(bos=True), fact).pieces[0] == "<|endoftext|>"


def test_a_character_of_several_tokens_is_shown_as_its_bytes() -> None:
    encoding = encode(tokenizer(), fl.Fact("on {}", "🗼"))
    start, stop = encoding.subject_range
    assert encoding.pieces[start:stop] == ("⟨F0 9F⟩", "⟨97⟩", "⟨BC⟩")


@pytest.mark.parametrize("bos", [False, True])
def test_an_option_continues_the_prompt(bos: bool) -> None:
    tok = tokenizer(bos)
    prompt, option = encode_option(tok, "The Space Needle is in downtown", "Seattle")
    assert list(prompt) == tok("The Space Needle is in downtown")["input_ids"]
    assert tok.decode(list(option)) == " Seattle"
    assert encode_option(tok, "The Space Needle is in downtown", " Seattle") == (prompt, option)


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(fl.FactlensError, match="fast tokenizer"):
        encode(Slow(), PROMPTS[0])
