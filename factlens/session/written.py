"""A fact as it stands in the boxes of the page."""

from __future__ import annotations

from contextlib import suppress

from factlens.errors import FactError
from factlens.facts import Fact
from factlens.slots import SLOT, divided, escaped


def written_down(fact: Fact) -> tuple[str, str, bool]:
    """Return a fact as the page writes it down: prompt, or what its turn of a chat says; subject; whether a chat's."""
    text, (start, stop), around = fact.prompt, fact.subject_span, fact.conversation
    before, after = text[:start], text[stop:]
    if around is not None and around.own is not None:
        begin, end = around.own
        before, after = text[begin:start], text[stop:end]
    spelled = escaped(before + fact.subject + after)
    with suppress(FactError):
        if divided(spelled, fact.subject, None) == (before, after):
            return spelled, fact.subject, around is not None
    return escaped(before) + SLOT + escaped(after), fact.subject, around is not None
