"""A fact as it is written in a session: kept exactly, with notes on what may not be meant."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.session import Session, locating
from tests.editing.made import FACT
from tests.support import small_model


def written(session: Session, prompt: str, subject: str, **options: object) -> fl.Fact:
    session.start_trace(prompt, subject, **options)
    assert session.wait(60)
    assert session.error is None, session.error
    assert session.fact is not None
    return session.fact


@pytest.mark.parametrize(
    "fact",
    [
        FACT,
        fl.Fact("Paris and {} are", "Paris", slot="{}"),
        fl.Fact("x = {{}} # {} is near ", "Eiffel Tower"),
        fl.Fact("{Paris}", span=(1, 6)),
        fl.Fact("Paris\r\nand Paris is", span=(11, 16)),
    ],
    ids=str,
)
def test_what_was_not_touched_is_the_fact_that_it_was(fact: fl.Fact) -> None:
    session = Session(small_model("gpt2"), fact)
    prompt, subject, chat = locating.written_down(fact)
    assert written(session, prompt, subject, chat=chat) == fact
    # What was written down can be changed, and read again wherever there is a way to write it.
    if fact.slot is None:
        assert fl.Fact(prompt, subject).prompt == fact.prompt
    assert written(session, "Paris is near", "Paris").prompt == "Paris is near"
    session.close()


def test_notes_say_what_may_not_be_meant(session: Session) -> None:
    written(session, "The Eiffel Tower is near ", "Eiffel Tower")
    (note,) = session.notes
    assert "ends in white space" in note["text"]
    offer = {"prompt": "The Eiffel Tower is near", "subject": "Eiffel Tower"}
    assert note["offers"] == [{"label": "Remove the space", "gesture": "trace", "changes": offer}]
    written(session, **offer)
    assert session.notes == ()


def test_an_ambiguous_prompt_brings_its_readings(session: Session) -> None:
    session.start_trace("{} and Paris", "Paris")
    offers = session.error["notice"]["offers"]
    assert [offer["changes"]["slot"] for offer in offers] == ["{}", None]
    for offer in offers:
        fact = written(session, offer["changes"]["prompt"], "Paris", slot=offer["changes"]["slot"])
        start, stop = fact.subject_span
        assert offer["label"] == f"Read it as {fact.prompt[:start]}⟦Paris⟧{fact.prompt[stop:]}"


def test_a_chat_keeps_its_other_turns_while_its_question_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"
    # The tokenizer is that of all small models.
    monkeypatch.setattr(model.tokenizer, "chat_template", template)
    session = Session(model, fl.Fact.chat("Where is Paris?", "Paris", system="Be brief."))
    assert session.fact.prompt == "<system>Be brief.<user>Where is Paris?<assistant>"
    assert locating.written_down(session.fact) == ("Where is Paris?", "Paris", True)
    fact = written(session, "Is {} far?", "Paris", chat=True)
    assert fact.prompt == "<system>Be brief.<user>Is Paris far?<assistant>"
    assert written(session, "Is Paris far?", "Paris", chat=True) == fact
    assert written(session, "Is Paris far?", "Paris").prompt == "Is Paris far?"
    assert written(session, "Is Paris far?", "Paris", chat=True).prompt == "<user>Is Paris far?<assistant>"
    session.close()


def test_an_exact_new_object_stays_exact(session: Session) -> None:
    session.spell(fl.Exactly("Seattle"))
    exactly, spelled = session.spelt["pieces"], session.model.tokenizer.tokenize("Seattle")
    assert len(exactly) == len(spelled)
    session.spell("Seattle")
    assert session.spelt["pieces"] != exactly
    session.method = "ft"
    session.start_edit(fl.Exactly("Seattle"), 1)
    assert session.wait(60)
    assert session.error is None
    assert session.edits[0].facts[0].target == fl.Exactly("Seattle") == session.target
    session.spell(" ")
    assert session.spelt["pieces"] == ()
