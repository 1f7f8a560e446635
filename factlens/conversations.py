"""A chat around a prompt: who says what before and after it, and where that stands in what the model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from factlens.arguments import a_text, items, refuse
from factlens.typed import many, record, text, whole

Turn = tuple[str, str]
"""Who speaks, and what is said: ``("user", "Who wrote Hamlet?")``."""


@dataclass(frozen=True)
class Conversation:
    """The turns around the one that holds a fact's subject.

    Attributes
    ----------
    before, after
        The other turns, each a role and a text, in their order.
    role
        Who says the turn with the subject.
    spans
        Where the text of each turn stands in the fact's prompt, ``[start, stop)`` in characters: all turns in their
        order, the subject's among them. Empty until a model's template has made one text of them
        (`factlens.models.Model.as_read`); the fact's prompt is the subject's turn alone until then. What lies between
        is the template's.
    """

    before: tuple[Turn, ...] = ()
    role: str = "user"
    after: tuple[Turn, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def is_written(self) -> bool:
        """Whether a template has made one text of the turns."""
        return bool(self.spans)

    @property
    def own(self) -> tuple[int, int] | None:
        """Where the subject's turn stands in the prompt, ``[start, stop)``; None while the prompt is that alone."""
        return self.spans[len(self.before)] if self.spans else None

    def turns(self, text: str) -> tuple[Turn, ...]:
        """Return all turns, `text` being what the subject's turn says."""
        return (*self.before, (self.role, text), *self.after)

    def grown(self, by: int) -> Conversation:
        """Return the conversation with a subject's turn that is longer by some characters."""
        own = len(self.before)
        moved = [(a + by * (i > own), b + by * (i >= own)) for i, (a, b) in enumerate(self.spans)]
        return replace(self, spans=tuple(moved))


def some_turns(messages: Any, system: str | None) -> tuple[Turn, ...]:
    """Return the turns of a chat: a question, or messages with a role and a content, behind the system's turn.

    Raises
    ------
    ArgumentError
        If they are anything else.
    """
    first = () if system is None else (("system", a_text("system", system)),)
    if isinstance(messages, str):
        return (*first, ("user", a_text("messages", messages, example="'Who wrote Hamlet?'")))
    example = "[{'role': 'user', 'content': 'Who wrote Hamlet?'}]"
    each = [
        _a_turn(f"messages[{i}]", one)
        for i, one in enumerate(items("messages", messages, "a question, or messages in a list", example))
    ]
    if not each:
        refuse("messages", messages, "a question, or messages in a list", example)
    return (*first, *each)


def _a_turn(name: str, message: Any) -> Turn:
    example = "{'role': 'user', 'content': 'Who wrote Hamlet?'}"
    if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
        refuse(name, message, "a message with 'role' and 'content'", example)
    if more := set(message) - {"role", "content"}:
        refuse(name, message, f"a message with 'role' and 'content' and nothing else (it has {min(map(str, more))!r})")
    return a_text(f"{name}['role']", message["role"]), a_text(f"{name}['content']", message["content"], empty=True)


def read_conversation(value: Any) -> Conversation:
    """Return the conversation that a file describes, as `dataclasses.asdict` has it.

    Raises
    ------
    ValueError
        If there can be no such conversation.
    """
    conversation = Conversation(**_FIELDS(value))
    turns, flat = conversation.turns(""), [place for span in conversation.spans for place in span]
    if conversation.spans and (len(conversation.spans) != len(turns) or flat != sorted(flat)):
        raise ValueError(f"it has {len(turns)} turns at {conversation.spans}")
    return conversation


_TURN, _SPAN = many(text, least=2, most=2), many(whole(), least=2, most=2)
_FIELDS = record({"before": many(_TURN), "role": text, "after": many(_TURN), "spans": many(_SPAN)})
Messages = str | Sequence[Mapping[str, str]]
"""A chat as chat templates take it: a question, or messages with ``"role"`` and ``"content"``."""
