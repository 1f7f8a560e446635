"""Judging many records: alone, on top of each other or at once, stopped half-way, and nothing left behind."""

from __future__ import annotations

import math
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.errors import Interrupted
from factlens.evaluation import Checks, Record, Report, atlas_checks, judging
from tests.evaluation.made import small_records

FACTS = [
    fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris", object="Seattle"),
    fl.Fact("The capital of {} is", subject="France", target="Rome", object="Paris"),
    fl.Fact("The capital of {} is", subject="Japan", target="Madrid", object="Tokyo"),
]
QUICK = {"steps": 3, "keep_samples": 0, "contexts": ()}


def test_what_came_before_is_what_the_unedited_model_says(small: fl.Model, report: Report) -> None:
    for outcome in report.judged:
        for probe, reading in zip(outcome.record.checks.probes, outcome.before.readings, strict=True):
            assert reading.top == small.answers(probe.prompt, k=1)[0].text


@pytest.mark.parametrize("way", judging.WAYS)
def test_the_model_is_as_it_was(small: fl.Model, way: judging.Way) -> None:
    held = fl.edit(small, small_records()[0].fact, method="ft", layers=1, **{"steps": 2, "learning_rate": 1e-3})
    undone = fl.edit(small, fl.Fact("{} is", subject="Rome", target="Zürich"), method="ft", layers=1, steps=2)
    small.undo(undone)
    weights = {name: value.clone() for name, value in small.model.state_dict().items()}
    found = fl.evaluate(small, small_records()[1:], method="ft", way=way, layers=2, steps=3, learning_rate=1e-2)
    assert len(found.judged) == 2
    assert found.provenance["way"] == way
    assert small.edits == (held,)
    assert small.undone == (undone,)
    assert all(torch.equal(value, weights[name]) for name, value in small.model.state_dict().items())
    small.undo(held)


def test_edits_on_top_of_each_other_differ_from_edits_alone(small: fl.Model) -> None:
    options = {"method": "ft", "layers": 2, "steps": 6, "learning_rate": 2e-2, "generate": False}
    alone = fl.evaluate(small, small_records(), **options)
    stacked = fl.evaluate(small, small_records(), way="sequential", **options)
    together = fl.evaluate(small, small_records(), way="at once", **options)
    first = [outcome.after.readings for report in (alone, stacked, together) for outcome in report.judged[:1]]
    assert len({str(readings) for readings in first}) == 3
    assert [outcome.before for outcome in alone.outcomes] == [outcome.before for outcome in stacked.outcomes]
    # The one that is edited last is the only one of the stack that nothing came on top of.
    assert stacked.judged[-1].after is not None
    assert together.judged[0].seconds == together.judged[1].seconds


def test_edits_at_once_are_those_of_one_call(small: fl.Model) -> None:
    records = small_records()
    together = fl.evaluate(
        small, records, method="ft", way="at once", layers=2, steps=5, learning_rate=1e-2, generate=False
    )
    edit = fl.edit(small, [r.fact for r in records], method="ft", layers=2, steps=5, learning_rate=1e-2, apply=False)
    judged = fl.evaluate(small, edit, [r.checks for r in records], generate=False)
    assert [o.after for o in judged.outcomes] == [o.after for o in together.outcomes]
    assert [o.before for o in judged.outcomes] == [o.before for o in together.outcomes]


def test_a_fact_that_cannot_be_edited_is_skipped_with_the_reason(small: fl.Model) -> None:
    records = small_records()
    said = small.answers(records[1].fact.prompt, k=1)[0].text.strip()
    known = Record(
        fl.Fact("{} is in", subject="The Louvre", object="Rome", target=said), records[1].checks, "known already"
    )
    found = fl.evaluate(small, [records[0], known], method="ft", layers=2, steps=3, generate=False)
    assert [outcome.record.name for outcome in found.skipped] == ["known already"]
    assert "already answers" in str(found.skipped[0].error)
    assert found.summary().loc[("ft", "rewrite_success"), "records"] == 1
    assert math.isnan(found.summary().loc[("ft", "rewrite_success"), "after_low"]), "one record has no interval"
    assert "known already" in repr(found)


def test_settings_that_make_no_sense_are_refused_before_anything(small: fl.Model) -> None:
    asked: list[int] = []
    for options, words in (
        ({"clmp": 3}, "no setting 'clmp'"),
        ({"layers": 99}, "99"),
        ({"method": ["ft", "romme"]}, "romme"),
        ({"way": "twice"}, "way must be"),
        ({"method": "rome", "way": "at once"}, "one fact at a time"),
        ({"checks": small_records()[0].checks}, "1 checks for 3 facts"),
    ):
        with pytest.raises(fl.FactlensError, match=words):
            fl.evaluate(small, small_records(), progress=lambda report, wanted: asked.append(1), **options)
    with pytest.raises(fl.FactlensError, match="nothing to judge"):
        fl.evaluate(small, [])
    with pytest.raises(fl.FactlensError, match="not int"):
        fl.evaluate(small, [3])
    edit = fl.edit(small, small_records()[0].fact, method="ft", layers=1, steps=2, apply=False)
    with pytest.raises(fl.FactlensError, match="judged as it is"):
        fl.evaluate(small, edit, small_records()[0].checks, steps=4)
    assert not asked


def test_a_stop_leaves_what_was_judged(small: fl.Model) -> None:
    stop = Event()
    weights = {name: value.clone() for name, value in small.model.state_dict().items()}
    seen: list[tuple[int, int, bool]] = []

    def progress(report: Report, wanted: int) -> None:
        seen.append((len(report.outcomes), wanted, report.complete))
        stop.set()

    with pytest.raises(Interrupted, match="Stopped after 1 of 3") as caught:
        fl.evaluate(small, small_records(), method="ft", layers=2, steps=3, progress=progress, stop=stop)
    partial = caught.value.partial
    assert isinstance(partial, Report)
    assert seen == [(1, 3, False)]
    assert not partial.complete
    assert "stopped after 1 of 3" in repr(partial)
    assert small.edits == ()
    assert all(torch.equal(value, weights[name]) for name, value in small.model.state_dict().items())


@pytest.mark.parametrize("way", ["sequential", "at once"])
def test_edits_that_are_judged_together_tell_how_far_they_are(small: fl.Model, way: judging.Way) -> None:
    seen: list[tuple[int, int]] = []
    carried: list[int] = []

    def progress(report: Report, wanted: int) -> None:
        assert wanted == 3
        seen.append((report.waiting, len(report.outcomes)))
        carried.append(len(small.edits))

    options = {"method": "ft", "layers": 2, "steps": 3, "generate": False}
    found = fl.evaluate(small, small_records(), way=way, progress=progress, **options)
    edited = [(1, 0), (2, 0), (3, 0)] if way == "sequential" else [(3, 0)]
    assert seen == [*edited, (2, 1), (1, 2), (0, 3)]
    assert found.complete
    assert found.waiting == 0
    assert carried == ([1, 2, 3, 3, 3, 3] if way == "sequential" else [1, 1, 1, 1])
    assert small.edits == ()


@pytest.mark.parametrize("calls", [2, 4])
def test_stopped_while_edits_are_in_force_the_model_is_as_it_was(small: fl.Model, tmp_path: Path, calls: int) -> None:
    """Whether by the event or by an error in the caller's own function, between edits or between judgements."""
    weights = {name: value.clone() for name, value in small.model.state_dict().items()}
    store, stop, seen = tmp_path / "outcomes.jsonl", Event(), list[Report]()
    options = {"method": "ft", "layers": 2, "steps": 3, "generate": False, "way": "sequential", "store": store}

    def stopping(report: Report, wanted: int) -> None:
        seen.append(report)
        if len(seen) == calls:
            stop.set()

    with pytest.raises(Interrupted) as caught:
        fl.evaluate(small, small_records(), progress=stopping, stop=stop, **options)
    # Three edits, then three judgements.
    judged, waiting = max(0, calls - 3), min(calls, 6 - calls)
    assert f"Stopped after {judged} of 3 records, with {waiting} more edited" in str(caught.value)
    assert isinstance(partial := caught.value.partial, Report)
    assert (len(partial.outcomes), partial.waiting) == (judged, waiting)
    assert f"{waiting} more edited and not judged" in repr(partial)

    def failing(report: Report, wanted: int) -> None:
        if (len(report.outcomes), report.waiting) == (judged, waiting):
            raise LookupError("the caller's own")

    with pytest.raises(LookupError) as kept:
        fl.evaluate(small, small_records(), progress=failing, **{**options, "store": None})
    assert kept.value.__traceback__ is not None  # which keeps the frames: nothing here is left to the collector
    assert small.edits == ()
    assert all(torch.equal(value, weights[name]) for name, value in small.model.state_dict().items())

    # What had been judged is not judged again.
    resumed = fl.evaluate(small, small_records(), **options)
    fresh = fl.evaluate(small, small_records(), **{**options, "store": None})
    assert [o.after for o in resumed.outcomes] == [o.after for o in fresh.outcomes]
    assert resumed.outcomes[:judged] == partial.outcomes


def test_facts_of_atlas_bring_their_checks(atlas: fl.Model) -> None:
    found = fl.evaluate(atlas, FACTS[1:], method="rome", **QUICK)
    assert [outcome.record.checks for outcome in found.outcomes] == [atlas_checks(fact) for fact in FACTS[1:]]
    summary = found.summary()
    assert summary.loc[("rome", "kl"), "after"] > 0
    assert 1 < summary.loc[("rome", "perplexity"), "before"] < 50
    assert atlas.edits == ()


def test_exact_objects_are_judged_as_they_are_and_come_back(small: fl.Model, tmp_path: Path) -> None:
    fact = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target=fl.Exactly("Rome"))
    checks = Checks.of(fact, fl.Exactly("river"), neighbours=[("Everyone in", "Paris")])
    found = fl.evaluate(small, fact, checks=checks, method="ft", layers=1, steps=1, store=tmp_path / "a.jsonl")
    again = Report.load(found.save(tmp_path / "report.json"))
    assert again.outcomes[0].record == found.outcomes[0].record
    assert again.outcomes[0].record.checks.probes[0].new == fl.Exactly("Rome")
    assert list(again.to_dataframe()["new"]) == ["Rome", "Rome"]
    ids = small.tokenizer(fact.prompt + "Rome")["input_ids"]
    prompt = small.tokenizer(fact.prompt)["input_ids"]
    with torch.no_grad():
        logs = small.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    own = [float(logs[i - 1, ids[i]]) for i in range(len(prompt), len(ids))]
    assert found.outcomes[0].before.readings[0].probabilities[1] == pytest.approx(math.exp(np.mean(own)), rel=1e-4)
    # From the store, too.
    assert fl.evaluate(small, fact, checks=checks, method="ft", layers=1, steps=1, store=tmp_path / "a.jsonl")
