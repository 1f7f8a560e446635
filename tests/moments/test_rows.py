"""Rows of tokens from the texts of a corpus: whatever it is made of, reading it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from threading import Event, Timer

import pytest

import factlens as fl
from factlens.errors import Interrupted
from factlens.moments import rows
from tests.support import TEXT, small_model

pytestmark = pytest.mark.timeout(60)


def hardly_any() -> Iterator[str]:
    """A word in a thousand texts, again and again."""
    while True:
        yield "Paris"
        yield from repeat("", 999)


@pytest.mark.parametrize(
    ("texts", "has"),
    [
        pytest.param(lambda: repeat(""), "no token", id="empty texts"),
        pytest.param(lambda: repeat(" \n\t\u2003"), "no token", id="white space"),
        pytest.param(lambda: repeat("<|endoftext|>"), "no token", id="special tokens"),
        pytest.param(lambda: chain(TEXT, repeat(" ")), r"\d+ tokens", id="nothing after the first texts"),
        pytest.param(hardly_any, r"\d+ tokens", id="hardly any words"),
    ],
)
def test_a_corpus_that_says_nothing_for_ever_is_given_up(
    texts: Callable[[], Iterator[str]], has: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_TEXTS", 5000)
    with pytest.raises(fl.FactlensError, match=f"texts of the corpus have {has} in them.*Give other text"):
        fl.moments.collect(small_model("gpt2"), [1], texts(), tokens=3000, corpus="blank")


def test_a_corpus_that_ends_without_a_word_is_too_short() -> None:
    with pytest.raises(fl.FactlensError, match="too short"):
        fl.moments.collect(small_model("gpt2"), [1], iter(["", " ", "<|endoftext|>"] * 9), tokens=64, corpus="blank")


def test_short_texts_are_read_until_there_are_enough() -> None:
    """One token each, and none that a text ends with: that is little, but it gets there."""
    moment = fl.moments.collect(small_model("gpt2"), [1], repeat("a"), tokens=640, corpus="letters")[1]
    assert moment.count == 640


def test_special_tokens_alone_are_passed_over() -> None:
    model = small_model("gpt2")
    plain = fl.moments.collect(model, [1], TEXT * 9, tokens=300, corpus="x")[1]
    texts = [text for words in TEXT * 9 for text in ("<|endoftext|>", words)]
    assert fl.moments.collect(model, [1], texts, tokens=300, corpus="x")[1].total.equal(plain.total)


def test_a_stop_does_not_wait_for_texts_that_come_slowly() -> None:
    def slow() -> Iterator[str]:
        while True:
            time.sleep(0.01)
            yield "a"

    stop = Event()
    Timer(0.3, stop.set).start()
    with pytest.raises(Interrupted):
        fl.moments.collect(small_model("gpt2"), [1], slow(), tokens=10**6, corpus="slow", stop=stop)
