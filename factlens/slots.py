"""The place of the subject in a prompt: a slot, a subject spelled out, and text that only looks like a slot.

In a template ``{}`` is the slot. A ``{}`` that is text is written ``{{}}``: braces that open and at once close, two or
more each, lose one pair. Every other brace is text. With a marker of the user's own there is no such
rule: all else is text then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count

from factlens.errors import AmbiguousPrompt, FactError
from factlens.lookalikes import differences, look_alike
from factlens.nearest import nearest, proper_name
from factlens.notices import Notice, Offer, cited, using

SLOT = "{}"
_BRACES = re.compile(r"(\{+)(\}+)")


def divided(template: str, subject: str, slot: str | None) -> tuple[str, str]:
    """Return the text in front of the subject, and the text behind it.

    Parameters
    ----------
    template
        The prompt, with the subject spelled out or a slot in its place.
    subject
        The subject.
    slot
        The marker of the subject's place, with everything else in the template being text. None for ``{}``, or the
        subject spelled out where there is none.

    Raises
    ------
    FactError
        If the subject has no place in the template, or could have several; the message shows the readings.
    """
    if slot is not None:
        return _at_marker(template, slot)
    if (parts := _only_reading(template, subject)) is not None:
        return parts
    text, places = _read(template)
    if len(places) == 1:
        raise _two_readings(text, subject, *places[0])
    if len(places) > 1:
        raise _several_slots(text, subject, places)
    raise _missing(text, subject)


def _only_reading(template: str, subject: str) -> tuple[str, str] | None:
    """Return the texts around the subject; None if it has no place, or could have several."""
    text, places = _read(template)
    if len(places) == 1:
        start, stop = places[0]
        before, after = text[:start], text[stop:]
        elsewhere = _whole_word(before, subject) is not None or _whole_word(after, subject) is not None
        # Who writes one {} as text knows what the other one means.
        return None if elsewhere and text == template else (before, after)
    if places:
        return None
    # Spelled out: as a whole word where it is one anywhere.
    whole = _whole_word(text, subject)
    start = text.find(subject) if whole is None else whole
    return None if start < 0 else (text[:start], text[start + len(subject) :])


def marked(before: str, subject: str, after: str) -> tuple[str, str | None]:
    """Return a template that `divided` divides into these texts, and its slot: None where it is the ordinary one."""
    template = escaped(before) + SLOT + escaped(after)
    if _only_reading(template, subject) == (before, after):
        return template, None
    markers = (SLOT if i == 0 else "{subject}" if i == 1 else f"{{subject {i}}}" for i in count())
    slot = next(one for one in markers if _occurrences(before + one + after, one) == [len(before)])
    return before + slot + after, slot


def escaped(text: str) -> str:
    """Return a text such that nothing in it is taken for a slot: ``{}`` becomes ``{{}}``.

    Examples
    --------
    >>> escaped("capitals = {}")
    'capitals = {{}}'
    """
    return _BRACES.sub(r"{\1\2}", text)


def filled(template: str, subject: str) -> str:
    """Return a template with the subject in its slot; one without a slot is text, but for its escapes.

    Raises
    ------
    FactError
        As `divided`, where there is a slot.
    """
    text, places = _read(template)
    if not places:
        return text
    before, after = divided(template, subject, None)
    return before + subject + after


def is_spelled_out(template: str) -> bool:
    """Whether a template has no slot, so that its subject can only be spelled out."""
    return not _read(template)[1]


def in_code(template: str, slot: str | None) -> str:
    """Return how a template is written in code, with its marker where that is not the ordinary one."""
    return repr(template) if slot is None else f"{template!r} with slot={slot!r}"


def _at_marker(template: str, slot: str) -> tuple[str, str]:
    places = _occurrences(template, slot)
    if len(places) != 1:
        times = f"{len(places)} times" if places else "nowhere"
        raise FactError(
            f"The marker {slot!r} of the subject's place stands {times} in {template!r}. Write it once, or choose "
            "another one with slot=."
        )
    return template[: places[0]], template[places[0] + len(slot) :]


def _occurrences(text: str, part: str) -> list[int]:
    """Return every place of a part, those that overlap included."""
    places, start = [], text.find(part)
    while start >= 0:
        places.append(start)
        start = text.find(part, start + 1)
    return places


def _read(template: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a template with its escapes resolved, and where slots stand in it."""
    text, places, end = "", [], 0
    for braces in _BRACES.finditer(template):
        opening, closing = len(braces[1]), len(braces[2])
        text += template[end : braces.start()] + "{" * (opening - 1)
        if min(opening, closing) == 1:
            places.append((len(text), len(text) + len(SLOT)))
            text += SLOT
        text += "}" * (closing - 1)
        end = braces.end()
    return text + template[end:], places


def _whole_word(text: str, subject: str) -> int | None:
    for start in _occurrences(text, subject) if subject in text else ():
        before, after = text[:start][-1:], text[start + len(subject) :][:1]
        if not (before.isalnum() and subject[0].isalnum()) and not (after.isalnum() and subject[-1].isalnum()):
            return start
    return None


def _two_readings(text: str, subject: str, start: int, stop: int) -> AmbiguousPrompt:
    """Return the error that a text has both a slot and the subject: what each would mean, and how to write it."""
    inside = _whole_word(text, subject)
    assert inside is not None
    before, after = text[:inside], text[inside + len(subject) :]
    readings = (
        (_shown(text[:start], subject, text[stop:]), text, SLOT),
        (_shown(before, subject, after), *marked(before, subject, after)),
    )
    (first, *_), (second, template, slot) = readings
    return _to_choose(
        f"The prompt {text!r} has both {{}} and {subject!r}, so it can be read in two ways. "
        f"1. The subject stands at {{}}: {first!r}. Write slot='{{}}', and everything else is text. "
        f"2. {{}} is text: {second!r}. Write {in_code(template, slot)}.",
        readings,
    )


def _several_slots(text: str, subject: str, places: list[tuple[int, int]]) -> AmbiguousPrompt:
    readings: list[tuple[str, str, str | None]] = []
    for start, stop in places:
        before, after = text[:start], text[stop:]
        readings.append((_shown(before, subject, after), *marked(before, subject, after)))
    if (inside := _whole_word(text, subject)) is not None:
        before, after = text[:inside], text[inside + len(subject) :]
        readings.append((_shown(before, subject, after), *marked(before, subject, after)))
    ways = " ".join(
        f"{i}. {shown!r}: write {in_code(template, slot)}." for i, (shown, template, slot) in enumerate(readings, 1)
    )
    return _to_choose(
        f"The prompt {text!r} marks the subject {len(places)} times with '{{}}'. Mark it once; a {{}} that is text is "
        f"written {{{{}}}}. It can be read as {ways}",
        readings,
    )


def _to_choose(message: str, readings: Sequence[tuple[str, str, str | None]]) -> AmbiguousPrompt:
    ways = tuple(Offer(f"Read it as {shown}", {"prompt": prompt, "slot": slot}) for shown, prompt, slot in readings)
    text = f"The prompt can be read in {len(readings)} ways: choose where the subject stands."
    return AmbiguousPrompt(message, readings).at(Notice("prompt", text, ways))


def _shown(before: str, subject: str, after: str) -> str:
    return f"{before}⟦{subject}⟧{after}"


def _missing(prompt: str, subject: str) -> FactError:
    """Return the error that a subject is nowhere in a prompt, with the part of it that is probably meant."""
    absent = f"The subject {subject!r} is not in the prompt {prompt!r}"
    if (seen := look_alike(subject, prompt)) is not None:
        differ = differences(subject, seen)
        return FactError(
            f"{absent}, which has one that only looks like it: the subject has {differ}. Write the subject as it "
            f"stands in the prompt: {seen} (in Python {seen!a})."
        ).at(
            Notice(
                "subject",
                f"The prompt has {cited(seen)} in other characters that look the same, as pasted texts often do.",
                (Offer("Use the prompt’s characters", {"subject": seen}),),
            )
        )
    instead = "Write the subject as it stands in the prompt, or mark its place with '{}'."
    near = nearest(subject, prompt)
    if near is None:
        name = proper_name(prompt)
        return FactError(f"{absent}. {instead}").at(
            Notice(
                "subject",
                f"{cited(subject)} is not in the prompt. Write what the prompt is about, as it stands there.",
                using("subject", [name] if name else []),
            )
        )
    if near.casefold() == subject.casefold():
        why = "with other capital letters"
        text = f"The prompt has {cited(near)}, {why}. Write the subject as it stands there."
    else:
        why = "which is the nearest to it"
        text = f"{cited(subject)} is not in the prompt. Did you mean {cited(near)}?"
    message = f"{absent}. The prompt has {near!r}, {why}: write subject={near!r} if that is meant. {instead}"
    return FactError(message).at(Notice("subject", text, using("subject", [near])))
