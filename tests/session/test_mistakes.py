"""What a beginner does wrong: each is said at the field where it was done, with a way out that can be taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

import factlens as fl
from factlens.session import Session
from tests.editing.made import FACT
from tests.session.reads import until


class Mistake(NamedTuple):
    prompt: str
    subject: str
    field: str
    words: str
    label: str = ""
    """Of the first offer; empty where there is none."""
    after: tuple[str, str] = ("", "")
    """Prompt and subject of the fact in hand once the offer is taken."""


TOWER = ("The Eiffel Tower is in", "Eiffel Tower")
REFUSED = {
    "no prompt": Mistake("", "Eiffel Tower", "prompt", "breaks off where the fact is to follow"),
    "no subject": Mistake(TOWER[0], " ", "subject", "what the prompt is about", "Use “Eiffel Tower”", TOWER),
    "case": Mistake(TOWER[0], "eiffel tower", "subject", "other capital letters", "Use “Eiffel Tower”", TOWER),
    "typo": Mistake(TOWER[0], "Eifel Tower", "subject", "Did you mean", "Use “Eiffel Tower”", TOWER),
    "comma": Mistake(TOWER[0], "Eiffel Tower,", "subject", "Did you mean", "Use “Eiffel Tower”", TOWER),
    "another subject": Mistake(TOWER[0], "Big Ben", "subject", "is not in the prompt", "Use “Eiffel Tower”", TOWER),
    "pasted": Mistake(
        "The Eiffel\u00a0Tower is in",
        "Eiffel Tower",
        "subject",
        "look the same",
        "Use the prompt’s characters",
        ("The Eiffel\u00a0Tower is in", "Eiffel\u00a0Tower"),
    ),
    "curly quotes": Mistake(
        "The “Louvre” is in", '"Louvre"', "subject", "look the same", "Use the", ("The “Louvre” is in", "“Louvre”")
    ),
    "two slots": Mistake(
        "{} and {}", "Rome", "prompt", "in 2 ways", "Read it as ⟦Rome⟧ and {}", ("Rome and {}", "Rome")
    ),
    "too long": Mistake("Rome " * 100 + "is", "Rome", "prompt", "at most 64: shorten it"),
}
NOTED = {
    "space at the end": Mistake(f"{TOWER[0]} ", TOWER[1], "prompt", "white space", "Remove the space", TOWER),
    "subject at the end": Mistake(
        "The capital of France",
        "France",
        "subject",
        "Nothing follows",
        "Write “The",
        ("The capital of France is", "France"),
    ),
    "subject and full stop": Mistake(
        "The Eiffel Tower.", TOWER[1], "subject", "Nothing follows", "Write “The", ("The Eiffel Tower is", TOWER[1])
    ),
    "sentence": Mistake(
        "The Eiffel Tower is in Paris.", TOWER[1], "prompt", "finished sentence", "End it before “Paris”", TOWER
    ),
    "where": Mistake(
        "Where is the Eiffel Tower?", TOWER[1], "prompt", "question", "Write “The Eiffel Tower is in”", TOWER
    ),
    "located": Mistake(
        "Where is the Louvre located?", "Louvre", "prompt", "question", "Write", ("The Louvre is located in", "Louvre")
    ),
    "what": Mistake(
        "What is the capital of France?",
        "France",
        "prompt",
        "question",
        "Write",
        ("The capital of France is", "France"),
    ),
    "who": Mistake("Who wrote Hamlet?", "Hamlet", "prompt", "question", "Write", ("Hamlet was written by", "Hamlet")),
    "another question": Mistake("How tall is the Louvre?", "Louvre", "prompt", "question"),
    "twice": Mistake(
        "Rome, or Rome in Texas, is",
        "Rome",
        "subject",
        "2 times",
        "Take the second",
        ("Rome, or Rome in Texas, is", "Rome"),
    ),
    "no-break space": Mistake(
        "The Eiffel\u00a0Tower is in", "Eiffel\u00a0Tower", "prompt", "(no-break space)", "Write plain spaces", TOWER
    ),
}


@pytest.fixture
def session() -> Iterator[Session]:
    from tests.support import small_model

    session = Session(small_model("gpt2"))
    yield session
    session.close()


def ask(session: Session, prompt: str, subject: str, **more: Any) -> None:
    """Trace as the page asks, as far as the first cells: what is said of a prompt is there with them."""
    session.start_trace(prompt, subject, **more)
    until(lambda: session.error is not None or (session.fact is not None and session.says is not None))
    session.stop()
    assert session.wait(60)


def take(session: Session, offer: dict[str, Any], prompt: str, subject: str) -> None:
    assert offer["gesture"] == "trace"
    session.fact = None
    ask(session, **{"prompt": prompt, "subject": subject, **offer["changes"]})
    assert session.error is None, session.error


@pytest.mark.parametrize("mistake", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_said_at_its_field(session: Session, mistake: Mistake) -> None:
    prompt, subject, field, words, label, after = mistake
    ask(session, prompt, subject)
    assert (session.error["title"], session.status) == ("This fact cannot be traced", "idle")
    notice = session.error["notice"]
    assert (notice["field"], notice["about"]) == (field, {"prompt": prompt, "subject": subject})
    assert words in notice["text"]
    assert [offer["label"][: len(label)] for offer in notice["offers"][:1]] == ([label] if label else [])
    if label:
        take(session, notice["offers"][0], prompt, subject)
        assert (session.fact.prompt, session.fact.subject) == after


@pytest.mark.parametrize("mistake", NOTED.values(), ids=NOTED)
def test_what_may_not_be_meant_is_said_and_traced_all_the_same(session: Session, mistake: Mistake) -> None:
    prompt, subject, field, words, label, after = mistake
    ask(session, prompt, subject)
    assert session.error is None
    assert (session.fact.prompt, session.fact.subject) == (prompt, subject)
    (note,) = session.notes
    assert note["field"] == field
    assert words in note["text"]
    assert [offer["label"][: len(label)] for offer in note["offers"]] == ([label] if label else [])
    if label:
        place = session.fact.subject_span
        take(session, note["offers"][0], prompt, subject)
        assert (session.fact.prompt, session.fact.subject) == after
        # What was said is settled; a subject that stands there twice still does, and another one is marked.
        assert session.notes == () or (len(session.notes) == 1 and session.fact.subject_span != place)


def test_a_sentence_with_its_answer_is_told_by_what_the_model_goes_on_with(session: Session) -> None:
    fact = fl.Fact("The Eiffel Tower is in Paris", "Eiffel Tower")
    session.fact = fact
    assert session.notes == ()
    session.comparison = ((".", 0.5, 0.5), (" and", 0.1, 0.1))
    (note,) = session.notes
    assert "goes on with “.”" in note["text"]
    assert note["offers"][0]["label"] == "End it before “Paris”"
    assert note["offers"][0]["changes"] == {"prompt": TOWER[0], "subject": TOWER[1]}
    session.comparison = ((" and", 0.5, 0.5),)
    assert session.notes == ()


def test_a_plain_prompt_has_nothing_said_of_it(session: Session) -> None:
    for prompt, subject in (TOWER, ("The mother tongue of Danielle Darrieux is", "Danielle Darrieux"), ("2+2=", "2+2")):
        session.fact = fl.Fact(prompt, subject)
        assert session.notes == ()


# The new object -------------------------------------------------------------------------------------------------------

TARGETS = {
    " Rome": ("by itself", "Remove the space", "Rome"),
    "Rome ": ("white space around it", "Remove the space", "Rome"),
    "  Rome": ("white space around it", "Remove the space", "Rome"),
    "Rome.": ("“.” behind it", "Use “Rome”", "Rome"),
    "Rome": None,
    "Rome, Italy": None,
    " ": None,
}


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_a_new_object_is_spelt_with_what_there_is_to_say_of_it(session: Session, target: str) -> None:
    session.fact = fl.Fact(*TOWER)
    session.spell(target)
    if TARGETS[target] is None:
        assert session.spelt["notices"] == ()
        return
    words, label, after = TARGETS[target]
    (notice,) = session.spelt["notices"]
    assert words in notice["text"]
    assert notice["offers"] == [{"label": label, "gesture": "spell", "changes": {"target": after}}]
    session.spell(after)
    assert session.spelt["notices"] == ()


def test_a_new_object_that_is_no_news_is_said_while_it_is_written_and_when_it_is_applied(session: Session) -> None:
    session.fact = FACT
    best = session.model.answers(FACT.prompt, k=1)[0]
    session.comparison = ((best.text, 0.5, 0.5), (" Oslo", 0.1, 0.1), (" the", 0.1, 0.1))
    says = fl.Exactly(best.text)
    session.spell(says)
    (notice,) = session.spelt["notices"]
    assert "here already, with p = 0.5" in notice["text"]
    # One that only begins so: the bars, which show first tokens, cannot tell them apart.
    session.spell(fl.Exactly(f"{best.text} Oslo"))
    (notice,) = session.spelt["notices"]
    assert "the bars show that one alone" in notice["text"]
    session.method = "ft"
    session.start_edit(says, 1)
    assert session.wait(60)
    notice = session.error["notice"]
    assert (notice["field"], notice["about"]) == ("target", {"target": best.text, "layer": 1})
    assert "here already" in notice["text"]
    assert session.edits == ()


def test_the_model_s_other_answers_are_offered_for_a_name() -> None:
    from factlens.session.remarking import others_than

    others = ["Seattle", " Paris", "the", " 7", " Tokyo"]
    assert [offer.changes["target"] for offer in others_than("Seattle", others)] == ["Paris", "Tokyo"]
    assert [offer.changes["target"] for offer in others_than("3", others)] == ["7"]
    assert others_than("music", others) == ()


def test_after_an_edit_its_new_object_is_no_mistake(session: Session) -> None:
    session.fact = FACT
    session.method = "ft"
    session.start_edit("Seattle", 1, {"steps": 60})
    assert session.wait(60)
    assert session.error is None
    assert len(session.edits) == 1
    session.spell("Seattle")
    assert session.spelt["notices"] == ()


@pytest.mark.parametrize(("layer", "meant"), [(99, 4), (-1, 4), (-5, 0), (-99, 0)])
def test_an_unknown_layer_names_the_one_that_is_probably_meant(session: Session, layer: int, meant: int) -> None:
    session.fact = FACT
    session.start_edit("Rome", layer)
    notice = session.error["notice"]
    assert (notice["field"], notice["about"]) == ("layer", {"target": "Rome", "layer": layer})
    assert notice["offers"] == [{"label": f"Use layer {meant}", "gesture": "apply", "changes": {"layer": meant}}]
    assert f"{meant} is " in session.error["text"]
    assert session.edits == ()


def test_what_was_traced_and_undone_survives_a_mistake(session: Session) -> None:
    ask(session, *TOWER)
    trace, frame = session.trace, session.frame
    session.start_trace(TOWER[0], "eiffel tower")
    assert (session.trace, session.frame, session.fact.subject, session.status) == (trace, frame, TOWER[1], "idle")
    session.start_trace(*TOWER)
    assert session.error is None
    session.stop()
    assert session.wait(60)
