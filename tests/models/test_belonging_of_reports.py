"""Judgements go with the weights and the edits that were judged, in the store and where reports are joined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import factlens as fl
from factlens.errors import FactlensError, Interrupted, WeightsChanged, WrongModel
from factlens.evaluation import Checks, Report
from tests.editing.made import FACT
from tests.models.places import OTHER, RECORD, Place, report_of
from tests.support import other_thread_has


def judged(place: Place, what: Any, store: Path, **options: Any) -> Report:
    checks = None if isinstance(what, list) else RECORD.checks
    return fl.evaluate(place.model, what, checks, generate=False, store=store, **options)


def test_the_store_keeps_edits_of_one_label_apart(place: Place) -> None:
    store = place.folder / "outcomes.jsonl"
    fresh = [judged(place, edit, place.folder / f"{i}") for i, edit in enumerate((place.first, place.second))]
    assert fresh[0].after != fresh[1].after
    kept = [judged(place, edit, store) for edit in (place.first, place.second)]
    assert [report.after for report in kept] == [report.after for report in fresh]
    assert len(store.read_text().splitlines()) == 2
    assert [report.provenance["settings"][place.first.label]["edit"] for report in kept] == [
        place.first.id,
        place.second.id,
    ]
    again = judged(place, place.again, store)
    assert again.after == fresh[0].after
    assert len(store.read_text().splitlines()) == 2, "the same edit from its file is not judged again"


@pytest.mark.parametrize("way", ["single", "sequential", "at once"])
def test_the_store_keeps_what_lies_beneath_apart(place: Place, way: str) -> None:
    store, options = place.folder / "outcomes.jsonl", {"method": "ft", "steps": 1, "layers": 2, "way": way}
    found = []
    for edit in (place.first, place.second, place.again):
        place.put(edit)
        found.append(judged(place, [replace(RECORD, fact=OTHER)], store, **options).before)
    assert found[0] != found[1]
    assert found[2] == found[0]
    assert len(store.read_text().splitlines()) == 2


def test_an_applied_edit_is_known_from_its_file(place: Place) -> None:
    apart = judged(place, place.first, place.folder / "a")
    place.put(place.first)
    applied = judged(place, place.again, place.folder / "b")
    assert (applied.before, applied.after) == (apart.before, apart.after), "it is not put on top of itself"
    assert applied.provenance["edit_ids"] == []
    assert place.model.edits == (place.first,)


def test_an_edit_between_two_judgements_is_noticed(place: Place) -> None:
    def meddle(_report: Report, _wanted: int) -> None:
        place.put(place.first)

    records = [RECORD, replace(RECORD, name="another")]
    with pytest.raises(WeightsChanged, match="Evaluate again"):
        fl.evaluate(place.model, records, method="ft", steps=1, layers=2, generate=False, progress=meddle)


def test_reports_of_different_weights_stand_side_by_side_under_labels_of_their_own(place: Place) -> None:
    reports = [report_of(place.model, place.folder), report_of(place.other, place.folder)]
    place.put(place.first)
    reports.append(report_of(place.model, place.folder))
    both = Report.joined(dict(zip("abc", reports, strict=True)))
    assert both.labels == ("a", "b", "c")
    both = Report.load(both.save(place.folder / "joined.json"))
    known = both.provenance["weights"]
    assert [known[label]["fingerprint"] for label in "abc"] == [
        place.model.fingerprint,
        place.other.fingerprint,
        place.model.fingerprint,
    ]
    assert [known[label]["edit_ids"] for label in "abc"] == [[], [], [place.first.id]]
    # Later joins still know which label has which weights.
    more = fl.evaluate(place.model, [replace(RECORD, name="d")], method={"c": {"method": "ft", "steps": 1}}, layers=2)
    assert len(Report.joined([both, more]).outcomes) == 4
    with pytest.raises(WrongModel, match="Or give them labels"):
        Report.joined([both, Report.joined({"b": more})])
    with pytest.raises(FactlensError, match="the record under the label 'c'"):
        Report.joined([both, Report.joined({"c": reports[2]})])


def test_reports_of_two_edits_of_one_label_are_not_averaged(place: Place) -> None:
    other = Checks.of(FACT, "Paris", paraphrases=["The {} stands near"])
    first = fl.evaluate(place.model, place.first, RECORD.checks, generate=False)
    more = fl.evaluate(place.model, place.again, other, generate=False)
    assert len(Report.joined([first, more]).outcomes) == 2
    second = fl.evaluate(place.model, place.second, other, generate=False)
    with pytest.raises(WrongModel, match=rf"{place.second.id[:8]}.*{place.first.id[:8]}.*Or give them labels"):
        Report.joined([first, second])
    assert Report.joined({"first": first, "second": second}).labels == ("first", "second")


def test_an_evaluation_stopped_while_it_waits_for_the_model_has_judged_nothing(place: Place) -> None:
    stop = Event()
    stop.set()
    with other_thread_has(place.model), pytest.raises(Interrupted, match="before the first of 1") as caught:
        fl.evaluate(place.model, [RECORD], method="ft", steps=1, layers=2, generate=False, stop=stop)
    assert isinstance(caught.value.partial, Report)
    assert caught.value.partial.outcomes == ()
