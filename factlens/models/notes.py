"""What a user should know of a prompt before it is read as it is written, and what could be written in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from factlens.facts import Fact
from factlens.models.chats import template_ids
from factlens.models.encoding import begun_twice, closing_of, encode
from factlens.notices import cited
from factlens.slots import in_code


@dataclass(frozen=True)
class Note:
    """Something about a prompt that may not be meant.

    Attributes
    ----------
    message
        What it is, with the text to write in its place.
    offer
        The fact that is probably meant; None where there is no other way to write it.
    field
        Where it was written: ``"prompt"``, ``"target"`` or ``"object"``.
    text, label
        The same message for who has the field in front of them, and the words of a button for the offer.
    """

    message: str
    offer: Fact | None = None
    field: str = "prompt"
    text: str = ""
    label: str = ""


def notes_on(tokenizer: Any, fact: Fact) -> tuple[Note, ...]:
    """Return what a user should know of how a tokenizer reads a fact's prompt.

    Raises
    ------
    FactError, FactlensError
        As `factlens.models.encoding.encode`.
    """
    ids = encode(tokenizer, fact).ids
    notes = (
        _begun_twice(tokenizer, fact),
        _unlike_the_template(tokenizer, fact, ids),
        _closed(tokenizer, ids),
        _blank_end(tokenizer, fact),
        *_objects(fact),
    )
    return tuple(note for note in notes if note is not None)


def _begun_twice(tokenizer: Any, fact: Fact) -> Note | None:
    size = begun_twice(tokenizer, fact.prompt)
    start, stop = fact.subject_span
    if size == 0 or start < size or fact.conversation is not None:  # a chat's template is looked at below
        return None
    offer = Fact(fact.prompt[size:], target=fact.target, object=fact.object, span=(start - size, stop - size))
    return Note(
        f"The prompt begins with {fact.prompt[:size]!r}, and the tokenizer puts another one in front of it, so the "
        "model reads two. "
        f"Leave it out: {in_code(offer.template, offer.slot)}.",
        offer,
        text=f"The prompt begins with {cited(fact.prompt[:size])}, which the tokenizer puts in front by itself: the "
        "model reads two.",
        label="Leave it out",
    )


def _unlike_the_template(tokenizer: Any, fact: Fact, ids: tuple[int, ...]) -> Note | None:
    """Tell of a chat that the tokenizer reads with other tokens than its own template gives."""
    expected = template_ids(tokenizer, fact)
    if expected is None or list(ids) == expected:
        return None
    at = next((i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b), min(len(ids), len(expected)))
    its, own = (tokenizer.convert_ids_to_tokens(list(some[at : at + 3])) for some in (expected, ids))
    return Note(
        f"The model's chat template gives other tokens than its tokenizer makes of the same text: {its} in the place "
        f"of {own}, from token {at} on. The text is read as the tokenizer reads it. If the tokenizer puts a "
        "beginning-of-text token in front of it that the template does without, set tokenizer.add_bos_token = False."
    )


def _closed(tokenizer: Any, ids: tuple[int, ...]) -> Note | None:
    closing = closing_of(tokenizer, ids)
    if not closing:
        return None
    return Note(
        f"The tokenizer puts {closing!r} behind the prompt, so the model is asked what follows that. Load it without, "
        "for instance with AutoTokenizer.from_pretrained(name, add_eos_token=False)."
    )


def _objects(fact: Fact) -> Iterator[Note]:
    """Tell of objects that white space follows, which would be taught, or asked for, with them."""
    for name in ("target", "object"):
        text = getattr(fact, name)
        if isinstance(text, str) and text != text.rstrip():
            bare = text.rstrip()
            offer = replace(fact, target=bare) if name == "target" else replace(fact, object=bare)
            message = f"The {name} {text!r} ends in white space, which is a part of it. Write {bare!r}."
            yield Note(message, offer, field=name)


def _blank_end(tokenizer: Any, fact: Fact) -> Note | None:
    """Tell of white space at the end that the tokenizer would rather put into the next word's token."""
    prompt, bare = fact.prompt, fact.prompt.rstrip()
    if bare == prompt or fact.subject_span[1] > len(bare):
        return None
    alone = tokenizer(prompt)["input_ids"]
    # Any letter would do, if every vocabulary had it with a space in front.
    if all(tokenizer(prompt + begun)["input_ids"][: len(alone)] == alone for begun in ("a", "t", "the", "1", "A")):
        return None
    around = fact.conversation
    if around is not None and around.spans[-1][1] > len(bare):
        # The white space is that of an answer that has been begun.
        others = tuple((role, text.rstrip()) for role, text in around.after[-1:])
        spans = (*around.spans[:-1], (around.spans[-1][0], len(bare)))
        around = replace(around, after=(*around.after[:-1], *others), spans=spans)
    offer = Fact(bare, target=fact.target, object=fact.object, span=fact.subject_span, conversation=around)
    where = f"it: {in_code(offer.template, offer.slot)}" if around is None else "it"
    return Note(
        f"The prompt ends in white space, {prompt[len(bare) :]!r}, which the tokenizer makes a token of its own, while "
        f"words carry the space in front of them: the model is asked for a word without one. End the prompt before "
        f"{where}.",
        offer,
        text="The prompt ends in white space, which becomes a token of its own. Words bring their own space, so the "
        "model is asked for one without it.",
        label="Remove the space" if len(prompt) - len(bare) == 1 and prompt[-1] == " " else "Remove the white space",
    )
