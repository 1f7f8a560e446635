"""Judging from the page: what else an edit has changed, by checks and by prompts of one's own."""

from __future__ import annotations

import json

import factlens as fl
from factlens.evaluation import Checks, Record
from tests.editing.made import FACT
from tests.widgets.driving import QUICK, gesture, undo


def test_what_else_changed(lens: fl.Lens) -> None:
    gesture(lens, "judge")
    assert "edit a fact first" in lens.error["text"]
    assert lens.judge.state["error"]["text"] == lens.error["text"]
    lens.method = "ft"
    prompts = ["Rome is", "<img src=x onerror=alert(1)>"]
    for prompt in prompts:
        gesture(lens, "add_prompt", prompt=prompt)
    assert lens.judge.state["own"] == prompts
    gesture(lens, "add_prompt", prompt="Rome is")
    assert "already" in lens.judge.state["error"]["text"]
    gesture(lens, "apply", target="Oslo", layer=2, settings={"steps": 12, "learning_rate": 0.02})
    assert lens.session.wait(60)
    gesture(lens, "judge")
    assert lens.session.wait(60)
    assert lens.error is None
    rows, texts = lens.judgement["rows"], lens.judgement["texts"]
    assert [(row["role"], row["prompt"]) for row in rows] == [("rewrite", FACT.prompt), *(("own", p) for p in prompts)]
    model = lens.session.model
    for row in rows:
        assert row["after"]["top"] == model.answers(row["prompt"], k=1)[0].text
        with model.unedited():
            assert row["before"]["top"] == model.answers(row["prompt"], k=1)[0].text
    assert rows[0]["held"] == [False, True]
    assert rows[0]["new"] == "Oslo"
    assert rows[0]["after"]["new"] > rows[0]["before"]["new"]
    assert [one["prompt"] for one in texts] == [FACT.prompt, FACT.subject]
    assert texts[0]["after"].startswith(" Oslo")
    assert json.loads(json.dumps(lens.judge.state))["judgement"] == lens.judgement
    assert not lens.judge.state["outdated"]
    undo(lens)
    assert lens.session.wait(30)
    assert lens.judge.state["outdated"]
    gesture(lens, "remove_prompt", prompt="Rome is")
    assert lens.judge.state["own"] == prompts[1:]
    gesture(lens, "trace", prompt="Everyone knows Rome is", subject="Rome")
    assert lens.session.wait(60)
    assert lens.judgement is None


def test_checks_of_a_record(lens: fl.Lens) -> None:
    model = lens.session.model
    checks = Checks.of(
        FACT,
        "Paris",
        paraphrases=["{} stands near"],
        neighbours=[("The Louvre is near", "Paris")],
        portability=[("The tower's country is", "France", "America")],
    )
    record = Record(FACT, checks, "case 1")
    second = fl.Lens(model, record)
    try:
        assert (second.fact, second.checks) == (FACT, checks)
        second.method = "ft"
        rows = []
        for target in ("Seattle", "Rome"):
            gesture(second, "apply", target=target, layer=1, settings=QUICK)
            assert second.session.wait(60)
            gesture(second, "judge")
            assert second.session.wait(60)
            assert second.error is None
            rows.append([(row["role"], row["prompt"], row["old"], row["new"]) for row in second.judgement["rows"]])
            undo(second)
            assert second.session.wait(60)
        assert rows[0] == [(probe.role, probe.prompt, probe.old, probe.new) for probe in checks.probes]
        expected = [(probe.role, probe.prompt, probe.old, "Rome") for probe in checks.probes[:3]]
        assert rows[1] == expected, "another new object, of which nothing is known to follow"
        second.checks = None
        gesture(second, "apply", target="Oslo", layer=1, settings=QUICK)
        assert second.session.wait(60)
        gesture(second, "judge")
        assert second.session.wait(60)
        assert [row["role"] for row in second.judgement["rows"]] == ["rewrite"]
        undo(second)
        assert second.session.wait(60)
    finally:
        second.close()


def test_prompts_of_ones_own_that_cannot_be_asked(lens: fl.Lens) -> None:
    for prompt, words in ((" ", "empty"), ("word " * 2000, "tokens")):
        gesture(lens, "add_prompt", prompt=prompt)
        assert words in lens.judge.state["error"]["text"]
    for i in range(21):
        gesture(lens, "add_prompt", prompt=f"number {i}")
    assert "take one out" in lens.judge.state["error"]["text"]
    assert len(lens.judge.state["own"]) == 20
