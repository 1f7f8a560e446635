"""A chat as one text: the tokenizer's own template around what each turn says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from factlens.conversations import Turn
from factlens.errors import FactError
from factlens.facts import Fact
from factlens.models.encoding import begun_twice

_UNKNOWN = (
    "The model's chat template {}, so the turns' places in it are not known. Write the chat's text yourself, as "
    "Fact(text, subject=...)."
)


def has_template(tokenizer: Any) -> bool:
    """Whether a tokenizer brings a chat template."""
    return bool(getattr(tokenizer, "chat_template", None))


def as_one_text(tokenizer: Any, fact: Fact) -> Fact:
    """Return a fact of a chat with the whole chat as its prompt, up to where the model answers.

    The text is that of ``tokenizer.apply_chat_template(messages, add_generation_prompt=True)``, without tools. Where
    the assistant's answer has been begun, it goes on. A beginning-of-text token that the template writes and the
    tokenizer would add once more is left out, so that ``tokenizer(prompt)`` gives the template's own token ids.

    Parameters
    ----------
    tokenizer
        A Hugging Face tokenizer with a chat template.
    fact
        A fact. One that is no chat's, or is one text already, is returned as it is.

    Returns
    -------
    Fact
        Its `conversation` says where the turns stand.

    Raises
    ------
    FactError
        If there is no template, or it refuses the turns or changes what they say.
    """
    around = fact.conversation
    if around is None or around.is_written:
        return fact
    if not has_template(tokenizer):
        raise FactError(
            "This model's tokenizer has no chat template, so the model was not made for chats. Ask in plain text: "
            f"Fact({fact.template!r}, subject={fact.subject!r}{f', slot={fact.slot!r}' if fact.slot else ''})."
        )
    turns = around.turns(fact.prompt)
    written = _written(tokenizer, turns)
    spans = _places(tokenizer, turns, written)
    cut = begun_twice(tokenizer, written)
    begin, end = spans[len(around.before)]
    left = len(fact.prompt) - len(fact.prompt.lstrip())
    dropped = 0 if fact.prompt.startswith(written[begin:end]) else left
    start = begin - cut - dropped + fact.subject_span[0]
    return replace(
        fact,
        template=written[cut:],
        subject="",
        slot=None,
        span=(start, start + len(fact.subject)),
        conversation=replace(around, spans=tuple((a - cut, b - cut) for a, b in spans)),
    )


def template_ids(tokenizer: Any, fact: Fact) -> list[int] | None:
    """Return the token ids that a tokenizer's own template gives for a written chat; None for every other fact."""
    around = fact.conversation
    if around is None or not around.is_written:
        return None
    contents = [fact.prompt[start:stop] for start, stop in around.spans]
    turns = tuple((role, content) for (role, _), content in zip(around.turns(""), contents, strict=True))
    written = _written(tokenizer, turns)
    # A saved chat may have been written by another template, or on another day.
    if not written.endswith(fact.prompt):
        return None
    return list(tokenizer(written, add_special_tokens=False)["input_ids"])


def _places(tokenizer: Any, turns: tuple[Turn, ...], written: str) -> list[tuple[int, int]]:
    """Return where what each turn says stands in the text of all turns.

    Raises
    ------
    FactError
        If the template changes it, or writes something else around other words.
    """
    # With marks in the place of the contents, all that is left is the template's.
    marks = [f"\ue000{i}\ue001" for i in range(len(turns))]
    frame = _written(tokenizer, tuple((role, mark) for (role, _), mark in zip(turns, marks, strict=True)))
    between, spans = [], []
    for mark in marks:
        part, mark_in_frame, frame = frame.partition(mark)
        if not mark_in_frame:
            raise FactError(_UNKNOWN.replace("{}", "leaves out what is said"))
        between.append(part)
    at = len(between[0])
    ends = [*between[1:], frame]
    if not written.startswith(between[0]):
        raise FactError(_UNKNOWN.replace("{}", "writes something else for other words"))
    for (_, content), behind in zip(turns, ends, strict=True):
        # Many templates take off the white space around a content.
        variants = (content, content.strip(), content.rstrip(), content.lstrip())
        variant = next((variant for variant in variants if written.startswith(variant + behind, at)), None)
        if variant is None:
            changed = not any(written.startswith(variant, at) for variant in variants)
            what = f"changes what is said ({content!r:.100})" if changed else "writes something else for other words"
            raise FactError(_UNKNOWN.replace("{}", what))
        spans.append((at, at + len(variant)))
        at += len(variant + behind)
    if at != len(written):
        raise FactError(_UNKNOWN.replace("{}", "writes something else for other words"))
    return spans


def _written(tokenizer: Any, turns: tuple[Turn, ...]) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    begun = turns[-1][0] == "assistant"
    if begun and not turns[-1][1].strip():
        raise FactError("The chat ends in an answer that has been begun with nothing. Leave that turn out.")
    try:
        return str(
            tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=not begun, continue_final_message=begun
            )
        )
    except Exception as error:  # a template's own code may raise anything
        raise FactError(
            f"The model's chat template does not take these turns ({', '.join(role for role, _ in turns)}): {error}"
        ) from error
