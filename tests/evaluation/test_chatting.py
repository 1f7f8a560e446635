"""Checks of a chat are asked in it, by an evaluation and in the lens."""

from __future__ import annotations

import factlens as fl
from factlens.evaluation.chatting import as_read
from factlens.session import Session
from tests.chats import QUESTION, made
from tests.models.test_as_written import model_with
from tests.tokenizers import talking


def test_checks_are_asked_in_the_chat() -> None:
    model = model_with(talking("byte-level"))
    fact = made("with a system's turn", target="Paris")
    checks = fl.Checks.of(
        fact, "Seattle", paraphrases=["In which city is the {}?"], neighbours=[("Where is the Pike Place?", "Seattle")]
    )
    record = as_read(model, fl.Record(fact, checks, "one"))
    assert record.fact == model.as_read(fact)
    asked = (QUESTION, "In which city is the Space Needle?", "Where is the Pike Place?")
    for probe, question in zip(record.checks.probes, asked, strict=True):
        assert probe.prompt == record.fact.prompt.replace(QUESTION, question)
    assert as_read(model, record) == record
    report = fl.evaluate(model, fact, checks=checks, method="ft", layers=0, generate=False)
    (outcome,) = report.outcomes
    assert (outcome.record.fact, outcome.record.checks) == (record.fact, record.checks)
    # An edit that was made before knows its fact as the whole text.
    edit = fl.edit(model, fact, method="ft", layers=0, apply=False)
    (outcome,) = fl.evaluate(model, edit, checks=checks, generate=False).outcomes
    assert outcome.record.checks == record.checks


def test_the_lens_checks_a_chat_in_the_chat() -> None:
    model = model_with(talking("byte-level"))
    fact = fl.Fact.chat(QUESTION, "Space Needle", target="Paris", system="Be brief.")
    checks = fl.Checks.of(fact, "Seattle", paraphrases=["In which city is the {}?"])
    session = Session(model, fact)
    session.checks = checks
    session.add_prompt("Where is Paris?")
    session.method = "ft"
    session.start_edit("Paris", 0, {"steps": 2})
    assert session.wait(60)
    session.start_judge()
    assert session.wait(60)
    assert session.error is None, session.error
    rows = [(row["role"], row["prompt"], row["old"]) for row in session.judgement["rows"]]
    assert rows[:2] == [
        ("rewrite", QUESTION, "Seattle"),
        ("paraphrase", "In which city is the Space Needle?", "Seattle"),
    ]
    assert rows[2][:2] == ("own", "Where is Paris?")
    session.close()
