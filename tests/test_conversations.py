"""A fact out of the turns of a chat: which turn has it, and what no chat is."""

from __future__ import annotations

from typing import Any

import pytest

import factlens as fl
from factlens.conversations import Conversation


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
