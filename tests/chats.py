"""Chats of all forms about one subject, as facts and as the messages that a chat template takes."""

from __future__ import annotations

from typing import Any

import factlens as fl

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
