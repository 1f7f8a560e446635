"""What is said at the fields of a lens though nothing is refused: texts that may not be what is meant.

What a tokenizer does to a prompt, `factlens.models.notes` says, to who writes Python as well. Here is what a beginner
trips over: a question, a sentence that is finished, a prompt with nothing behind its subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from unicodedata import name as name_of

from factlens.editing.api import already
from factlens.errors import FactlensError
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.chats import has_template
from factlens.notices import Notice, Offer, cited, ending, using
from factlens.session.written import written_down
from factlens.spelling import Wording

Says = tuple[str, float] | None
"""What a model continues a prompt with, and how probable that is."""

_STOPS = ".!?…。！？"
_MARKS = _STOPS + ",;:"
# Spaces that break no line or have no width, and hyphens that are not seen: what web pages put into a text.
_PASTED = re.compile("[\u00a0\u00ad\u2002-\u200b\u202f\u2060\ufeff]")
_QUESTION = re.compile(r"(where|what|who)\s+(is|are|was|were)\s+(.+?)(\s+located|\s+situated)?\s*\?\s*", re.I | re.S)
_WHO_MADE = re.compile(
    r"who\s+(wrote|painted|invented|founded|discovered|composed|directed)\s+(.+?)\s*\?\s*", re.I | re.S
)
_LONGEST_QUESTION = 200
_OTHERS = 3


def on_prompt(model: Model, fact: Fact, says: Says) -> Iterator[Notice]:
    """Yield what there is to say of a fact's prompt.

    Parameters
    ----------
    model, fact
        The model, and the fact as it reads it.
    says
        What the model continues the prompt with; None where that is not known yet.
    """
    with suppress(FactlensError):
        for note in model.notes(fact):
            if note.field == "prompt":
                offered = note.offer is not None and note.offer.conversation is None
                yield _notice("prompt", note.text or note.message, [(note.label, note.offer)] if offered else [])
    if fact.conversation is None:
        yield from _pasted(fact)
        yield from _repeated(fact)
        yield from _end(model, fact, says)


def on_target(
    target: Wording, pieces: Sequence[str], says: Says, others: Sequence[str], *, made: bool = False
) -> Iterator[Notice]:
    """Yield what there is to say of a new object as far as it is written.

    Parameters
    ----------
    target, pieces
        The new object, and its tokens behind the prompt.
    says
        What the model continues the prompt with now.
    others
        What else it may say, the most probable first.
    made
        Whether an edit in force has made the model say it: then that is no news.
    """
    if isinstance(target, str):
        yield from _around(target)
    if made or says is None or not pieces or pieces[0] != says[0]:
        return
    if len(pieces) == 1:
        yield Notice("target", already(target, says[1]), others_than(str(target), others))
    else:
        yield Notice(
            "target",
            f"The model says the first of its tokens, {cited(pieces[0])}, here already: the bars show that one alone, "
            "and cannot tell the new object from the old one. The checks score all tokens.",
        )


def _pasted(fact: Fact) -> Iterator[Notice]:
    before, after = fact.prompt[: fact.subject_span[0]], fact.prompt[fact.subject_span[1] :]
    if not (seen := _PASTED.search(fact.prompt)):
        return
    plain = [_plain(part) for part in (before, fact.subject, after)]
    what = name_of(seen[0], "a character").lower()
    text = f"The prompt holds a hidden character ({what}), as texts from web pages do. The model reads it as well."
    offers = []
    if plain[1].strip():
        span = (len(plain[0]), len(plain[0] + plain[1]))
        offers.append(("Write plain spaces", Fact("".join(plain), span=span)))
    yield _notice("prompt", text, offers)


def _plain(text: str) -> str:
    return _PASTED.sub(lambda seen: "" if seen[0] in "\u00ad\u200b\u2060\ufeff" else " ", text)


def _repeated(fact: Fact) -> Iterator[Notice]:
    whole = re.compile(rf"(?<!\w){re.escape(fact.subject)}(?!\w)")
    spans = [match.span() for match in whole.finditer(fact.prompt)]
    if len(spans) < 2 or fact.subject_span not in spans:
        return
    place = spans.index(fact.subject_span)
    offers = [(f"Take the {_ordinal(i)}", Fact(fact.prompt, span=span)) for i, span in enumerate(spans) if i != place]
    yield _notice(
        "subject",
        f"{cited(fact.subject)} stands in the prompt {len(spans)} times. A trace corrupts only one, here the "
        f"{_ordinal(place)}; the model still reads the others, and may answer from them.",
        offers[:_OTHERS],
    )


def _end(model: Model, fact: Fact, says: Says) -> Iterator[Notice]:
    """Tell of a prompt that does not break off where its answer is to follow."""
    prompt = fact.prompt.rstrip()
    behind = prompt[fact.subject_span[1] :].strip()
    if prompt.endswith(("?", "？")):
        yield _question(model, fact, prompt)
    elif behind in ("", *_STOPS):
        yield _notice(
            "subject",
            "Nothing follows the subject, so the answer is read at its own last token: where the fact is looked up "
            "and where the answer is said are one place in the trace. Let the sentence go on to see them apart.",
            _going_on(fact),
        )
    elif prompt[-1] in _STOPS:
        text = "The prompt looks like a finished sentence, so the model is asked how the next one begins."
        yield _notice("prompt", f"{text} End it before the word that is the answer.", _before_last_word(fact))
    elif says is not None and says[0].strip() in (".", ",", ";"):
        start, word = _last_word(prompt)
        if prompt[-1].isalnum() and start > fact.subject_span[1]:
            text = f"The model goes on with {cited(says[0])}, as behind a sentence that is whole."
            way = f"If {cited(word)} is the answer, end the prompt before it."
            yield _notice("prompt", f"{text} {way}", _before_last_word(fact))


def _question(model: Model, fact: Fact, prompt: str) -> Notice:
    changes = []
    if (begun := _begun_answer(prompt)) and fact.subject in begun:
        start = begun.rindex(fact.subject)
        changes.append((f"Write {cited(begun)}", Fact(begun, span=(start, start + len(fact.subject)))))
    notice = _notice(
        "prompt",
        "The prompt is a whole question. The model continues a text, so it is asked what comes after the question "
        "mark, and that need not be the answer. Write how the answer begins.",
        changes,
    )
    if not has_template(model.tokenizer):
        return notice
    return Notice(notice.field, notice.text, (*notice.offers, Offer("Ask it in a chat", {"chat": True})))


def _begun_answer(question: str) -> str | None:
    """Return how the answer to a simple question begins; None for all others."""
    if len(question) > _LONGEST_QUESTION:
        return None
    if asked := _QUESTION.fullmatch(question):
        word, verb, about, where = asked.groups()
        end = f"{verb}{where or ''} in" if word.lower() == "where" else verb
    elif made := _WHO_MADE.fullmatch(question):
        verb, about = made.groups()
        end = f"was {'written' if verb.lower() == 'wrote' else verb.lower()} by"
    else:
        return None
    return f"{about[0].upper()}{about[1:]} {end}"


def _going_on(fact: Fact) -> list[tuple[str, Fact]]:
    until = fact.prompt[: fact.subject_span[1]]
    if not until[-1].isascii():  # perhaps no English
        return []
    return [(f"Write {ending(f'{until} is')}", Fact(f"{until} is", span=fact.subject_span))]


def _before_last_word(fact: Fact) -> list[tuple[str, Fact]]:
    start, word = _last_word(fact.prompt)
    begun = fact.prompt[:start].rstrip()
    if not begun[fact.subject_span[1] :].strip():
        return []
    return [(f"End it before {cited(word)}", Fact(begun, span=fact.subject_span))]


def _last_word(text: str) -> tuple[int, str]:
    """Return where the last word of a text begins, and that word without the marks behind it."""
    bare = text.rstrip().rstrip(_MARKS)
    start = len(bare) - len(bare.split()[-1]) if bare.strip() else 0
    return start, bare[start:]


def _around(target: str) -> Iterator[Notice]:
    """Tell of what stands around a new object, and would be taught with it."""
    bare = target.strip()
    if bare and target != bare:
        if target == f" {bare}":
            text = "A space is put in front of it by itself, where the prompt calls for one."
        else:
            text = "The white space around it becomes a part of what the model is taught to say."
        yield Notice("target", text, (Offer("Remove the space", {"target": bare}),))
    elif (word := bare.rstrip(".,;:")) and word != bare and " " not in bare:
        text = f"The {cited(bare[len(word) :])} behind it becomes a part of what the model is taught to say."
        yield Notice("target", text, using("target", [word]))


def others_than(target: str, others: Sequence[str]) -> tuple[Offer, ...]:
    """Offer answers that may be of the same kind in a new object's place: a name for a name, a number for a number."""
    first, words = target.strip()[:1], [word.strip() for word in others]
    if not (first.isupper() or first.isdigit()):
        return ()
    kind = (first.isupper(), first.isdigit())
    alike = [word for word in words if word and (word[0].isupper(), word[0].isdigit()) == kind]
    return using("target", [word for word in alike if word != target.strip()][:_OTHERS])


def _ordinal(place: int) -> str:
    return ("first", "second", "third")[place] if place < 3 else f"{place + 1}th"


def _notice(field: str, text: str, ways: Sequence[tuple[str, Fact | None]]) -> Notice:
    """Return a notice whose offers are other facts, as they are written down."""
    offers = []
    for label, fact in ways:
        if fact is not None:
            offers.append(Offer(label, _changes(fact)))
    return Notice(field, text, tuple(offers))


def _changes(fact: Fact) -> dict[str, Any]:
    """Return what to write for a fact: as in the boxes, and with a marker where that could be read otherwise."""
    prompt, subject, _ = written_down(fact)
    with suppress(FactlensError):
        if Fact(prompt, subject).subject_span == fact.subject_span:
            return {"prompt": prompt, "subject": subject}
    return {"prompt": fact.template, "subject": subject, "slot": fact.slot}
