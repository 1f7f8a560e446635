"""A fact: a subject, a prompt that asks for something about it, and the object it should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, fields, replace
from typing import Any

from factlens.arguments import a_text, instance, items, refuse
from factlens.conversations import Conversation, Messages, Turn, read_conversation, some_turns
from factlens.errors import FactError
from factlens.nearest import proper_name
from factlens.notices import Notice, using
from factlens.slots import divided, is_spelled_out, marked
from factlens.spelling import Exactly, Wording, read_wording
from factlens.typed import optional, record, text


@dataclass(frozen=True, repr=False)
class Fact:
    """A prompt with its subject marked, and optionally the new object an edit should produce.

    The model reads the prompt as it is written, white space at its ends included.

    Parameters
    ----------
    template
        The prompt, with ``{}`` where the subject stands: ``"{} is in downtown"``. A ``{}`` that is text is written
        ``{{}}``. A prompt that spells the subject out is taken too; the subject's first occurrence as a whole word is
        then the marked one. With `span` all of it is text.
    subject
        What the fact is about: ``"The Space Needle"``. White space around it belongs to the prompt.
    target
        The new object, ``"Paris"``; only editing needs it. A space is put in front of it where the text calls for one
        (`factlens.spelling`); `Exactly` is taken as it is.
    object
        The object that the fact has, ``"Seattle"``, by the same rule. Tracing many facts leaves out those that the
        model answers otherwise; without it, any answer of the model is taken.
    slot
        Another marker of the subject's place than ``{}``, such as ``"[S]"``; all other text is text then, and so it is
        with ``slot="{}"``.
    span
        Where the subject stands in the prompt: its first character, and the one after its last. `subject` may be left
        out then.
    conversation
        The chat that the prompt is a turn of; `Fact.chat` makes such facts.

    Attributes
    ----------
    template, slot
        The shortest way to write the prompt with its subject marked; `slot` is None where the marker is ``{}``.

    Raises
    ------
    FactError
        If the prompt or the subject is empty, the subject is not in the prompt or could stand in several places of it
        (the message shows the readings, and how to write each), or the target is an empty string.

    Examples
    --------
    >>> fact = Fact("{} is in downtown", subject="The Space Needle", target="Paris")
    >>> fact.prompt
    'The Space Needle is in downtown'
    >>> Fact("The Space Needle is in downtown", subject="The Space Needle").template
    '{} is in downtown'
    >>> Fact("capitals = {}  # The capital of France", span=(32, 38)).template
    'capitals = {{}}  # The capital of {}'
    """

    template: str
    subject: str = ""
    target: Wording | None = None
    object: Wording | None = None
    slot: str | None = None
    conversation: Conversation | None = None
    span: InitVar[tuple[int, int] | None] = None

    def __post_init__(self, span: tuple[int, int] | None) -> None:
        for name in ("template", "subject", "target", "object", "slot"):
            value = getattr(self, name)
            if value is None and name in ("target", "object", "slot"):
                continue
            if isinstance(value, Exactly) and name in ("target", "object"):
                continue
            if not isinstance(value, str):
                raise FactError(f"The {name} of a fact must be a string, not {type(value).__name__}.")
            if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
                raise FactError(f"The {name} holds half of a character (a lone surrogate), which no tokenizer reads.")
        if self.conversation is not None:
            instance("conversation", self.conversation, Conversation, "what Fact.chat makes")
        if not self.template.strip():
            raise FactError("The prompt is empty. Write a prompt such as '{} is in downtown'.").at(_NO_PROMPT)
        if self.slot is not None and not self.slot.strip():
            raise FactError(
                "The marker of the subject's place is empty. Write one such as slot='[S]', or leave it out."
            )
        before, subject, after = self._divided(span)
        if not isinstance(self.target, Exactly) and self.target is not None and not self.target.strip():
            raise FactError("The new object is empty. Write what the model should answer, for example 'Paris'.").at(
                Notice("target", "Write what the model should say instead, for example “Paris”.")
            )
        if not isinstance(self.object, Exactly) and self.object is not None and not self.object.strip():
            raise FactError("The object is empty. Write what the fact says, for example 'Seattle', or leave it out.")
        spans = () if self.conversation is None else self.conversation.spans
        if spans and spans[-1][1] > len(before + subject + after):
            raise FactError("The conversation's turns stand behind the end of the prompt.")
        template, slot = marked(before, subject, after)
        # `_parts` is no field: it follows from the others.
        set_to = {"template": template, "subject": subject, "slot": slot, "_parts": (before, after)}
        for name, value in set_to.items():
            object.__setattr__(self, name, value)

    def _divided(self, span: Any) -> tuple[str, str, str]:
        """Return the text before the subject, the subject without white space around it, and the text behind it."""
        if span is not None:
            start, stop = _a_span(span, len(self.template))
            before, inside, after = self.template[:start], self.template[start:stop], self.template[stop:]
            if self.slot is not None:
                raise FactError("The subject's place is given twice, by slot= and by span=. Give one of them.")
            if self.subject and self.subject.strip() != inside.strip():
                raise FactError(f"span= is the place of {inside!r} in the prompt, and not of {self.subject!r}.")
        else:
            inside = self.subject
            if not inside.strip():
                raise _no_subject(self.template)
            before, after = divided(self.template, inside.strip(), self.slot)
            if self.slot is None and is_spelled_out(self.template):
                inside = inside.strip()  # the white space is in the prompt already, if anywhere
        subject = inside.strip()
        if not subject:
            raise FactError(f"There is nothing but white space at span={span} of the prompt {self.template!r}.")
        start = inside.index(subject)
        return before + inside[:start], subject, inside[start + len(subject) :] + after

    @classmethod
    def chat(
        cls,
        messages: Messages,
        subject: str,
        target: Wording | None = None,
        object: Wording | None = None,
        *,
        system: str | None = None,
        slot: str | None = None,
    ) -> Fact:
        """Return a fact that is asked for in a chat, through the model's own chat template.

        Parameters
        ----------
        messages
            The question; or messages with ``"role"`` and ``"content"``, as chat templates take them. A last message
            of the assistant is the beginning of its answer.
        subject, target, object
            As for `Fact`. The subject stands in the last turn of the user that has it or ``{}``, else in the last one
            that has; the other turns are text.
        system
            What the system's turn says; without it, what the template puts there.
        slot
            As for `Fact`, in the turn of the subject.

        Raises
        ------
        FactError
            As `Fact`; also if no turn has the subject.
        ArgumentError
            If `messages` are anything else.

        Examples
        --------
        >>> fact = Fact.chat("Who wrote Hamlet?", subject="Hamlet", target="Goethe")
        >>> fact.prompt, fact.conversation.role
        ('Who wrote Hamlet?', 'user')
        """
        turns = some_turns(messages, system)
        name = a_text("subject", subject).strip()
        having = _turns_with(turns, name, slot)
        if not having:
            raise FactError(
                f"No turn of the chat has the subject {subject!r}, nor {slot or '{}'!r} (slot=) in its place: "
                f"{[words for _, words in turns]!r:.300}."
            )
        at = next((i for i in reversed(having) if turns[i][0] == "user"), having[-1])
        around = Conversation(turns[:at], turns[at][0], turns[at + 1 :])
        return cls(turns[at][1], subject, target, object, slot=slot, conversation=around)

    def __repr__(self) -> str:
        # What most facts do not have is left out.
        names = [name for name in _FIELD_NAMES if name in _ALWAYS or getattr(self, name) is not None]
        return f"Fact({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    @property
    def prompt(self) -> str:
        """The prompt as the model reads it, the subject in its place; of a chat that was not read yet, its turn."""
        before, after = self._around
        return before + self.subject + after

    @property
    def subject_span(self) -> tuple[int, int]:
        """First character of the subject in `prompt`, and the one after its last."""
        start = len(self._around[0])
        return start, start + len(self.subject)

    @property
    def _around(self) -> tuple[str, str]:
        """The text in front of the subject and the text behind it."""
        parts: tuple[str, str] = self.__dict__["_parts"]
        return parts

    def with_template(self, template: str, *, slot: str | None = None) -> Fact:
        """Return the same subject and target in another prompt, which is no chat's.

        Parameters
        ----------
        template, slot
            As for `Fact`.
        """
        return replace(self, template=template, slot=slot, conversation=None)

    def with_subject(self, subject: str) -> Fact:
        """Return the fact with another subject in the same place."""
        before, after = self._around
        subject = a_text("subject", subject)
        around = self.conversation and self.conversation.grown(len(subject) - len(self.subject))
        return self._at(before, subject, after, around)

    def with_prefix(self, prefix: str) -> Fact:
        """Return the fact with `prefix` put in front of its prompt; in a chat, in front of what the turn says."""
        prefix = a_text("prefix", prefix, empty=True)
        before, after = self._around
        own = None if self.conversation is None else self.conversation.own
        at = 0 if own is None else own[0]
        around = self.conversation and self.conversation.grown(len(prefix))
        return self._at(before[:at] + prefix + before[at:], self.subject, after, around)

    def _at(self, before: str, subject: str, after: str, around: Conversation | None) -> Fact:
        span = (len(before), len(before) + len(subject))
        return replace(self, template=before + subject + after, subject="", slot=None, conversation=around, span=span)

    def with_target(self, target: Wording | None) -> Fact:
        """Return the fact with another new object."""
        return replace(self, target=target)


_NO_PROMPT = Notice(
    "prompt", "Write a prompt: a sentence that breaks off where the fact is to follow, as “The Space Needle is in”."
)


def _no_subject(template: str) -> FactError:
    name = proper_name(template) if is_spelled_out(template) else None
    example = f"{name!r}" if name else "'The Space Needle'"
    return FactError(f"The subject is empty. Say what the prompt is about, for example {example}.").at(
        Notice(
            "subject", "Write what the prompt is about, as it stands there.", using("subject", [name] if name else [])
        )
    )


def _turns_with(turns: Sequence[Turn], subject: str, slot: str | None) -> list[int]:
    """Return which turns have a place for the subject: those of the user, or else of any role.

    Raises
    ------
    FactError
        If one of them has ``{}`` and another one the subject.
    """
    if slot is not None:
        return [i for i, (_, words) in enumerate(turns) if slot in words]
    for speakers in ({"user"}, {role for role, _ in turns}):
        heard = [i for i, (role, _) in enumerate(turns) if role in speakers]
        spelled = [i for i in heard if subject in turns[i][1]]
        slotted = [i for i in heard if not is_spelled_out(turns[i][1])]
        if spelled and (elsewhere := set(slotted) - set(spelled)):
            raise FactError(
                f"One turn of the chat has the subject, {turns[spelled[-1]][1]!r:.100}, and another one '{{}}', "
                f"{turns[min(elsewhere)][1]!r:.100}. Say where the subject stands with a marker of your own, such as "
                "slot='[S]'; all else is text then."
            )
        if spelled or slotted:
            return spelled or slotted
    return []


def read_fact(value: Any) -> Fact:
    """Return the fact that a file describes, as `dataclasses.asdict` has it.

    Raises
    ------
    ValueError
        If a field is missing, unknown or of the wrong type, or there can be no such fact.
    """
    return Fact(**_FIELDS(value))


_ALWAYS = ("template", "subject", "target", "object")
_FIELD_NAMES = tuple(field.name for field in fields(Fact))
_WORDING = optional(read_wording)
_FIELDS = record(
    {
        "template": text,
        "subject": text,
        "target": _WORDING,
        "object": _WORDING,
        "slot": optional(text),
        "conversation": optional(read_conversation),
    },
    later={"slot": None, "conversation": None},
)


def a_fact(name: str, value: Any) -> Fact:
    """Return the argument `name` if it is a fact.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    return instance(name, value, Fact, "a factlens.Fact", example=_EXAMPLE)


def some_facts(name: str, value: Any) -> list[Fact]:
    """Return the argument `name` as a list, if it is one of facts.

    Raises
    ------
    ArgumentError
        If it is anything else, a single fact included, or something in it is none.
    """
    each = items(name, value, "a list of factlens.Fact objects", example=f"[{_EXAMPLE}]")
    return [instance(f"{name}[{i}]", one, Fact, "a factlens.Fact") for i, one in enumerate(each)]


_EXAMPLE = "factlens.Fact('{} is in downtown', 'The Space Needle')"


def _a_span(value: Any, length: int) -> tuple[int, int]:
    """Return the argument `span` if it is the place of something in a text.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    expected = f"first character of the subject and the one after its last, from 0 to {length}"
    places = value if isinstance(value, (tuple, list)) else ()
    whole = len(places) == 2 and all(isinstance(place, int) and not isinstance(place, bool) for place in places)
    if not whole or not 0 <= places[0] < places[1] <= length:
        refuse("span", value, expected, "(0, 16)")
    return places[0], places[1]
