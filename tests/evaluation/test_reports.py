"""Judging many records: side by side, kept on disk, stopped half-way, and nothing left behind."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.editing.api import quiet_edit
from factlens.errors import FileFormatError, Interrupted
from factlens.evaluation import Checks, Outcome, Record, Report, atlas_checks, judging
from factlens.evaluation.outcome_store import OutcomeStore
from factlens.files import checksum
from tests.support import small_model

FACTS = [
    fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris", object="Seattle"),
    fl.Fact("The capital of {} is", subject="France", target="Rome", object="Paris"),
    fl.Fact("The capital of {} is", subject="Japan", target="Madrid", object="Tokyo"),
]
QUICK = {"steps": 3, "keep_samples": 0, "contexts": ()}
WORDS = ("Rome", "Paris", "Seattle", "Zürich")


def small_records() -> list[Record]:
    """Records for a small random model, with everything that can be asked."""
    records = []
    for i, subject in enumerate(("The Space Needle", "The Louvre", "Big Ben")):
        old, new = WORDS[i], WORDS[i + 1]
        fact = fl.Fact("{} is in", subject=subject, object=old, target=new)
        checks = Checks.of(
            fact,
            old,
            paraphrases=["You find {} in"],
            neighbours=[("The Colosseum is in", old), ("The Forum is in", old)],
            others=[("Everyone loves " + subject, "a")],
            portability=[(f"{subject} is in the land of", "x", "y")],
            generation_prompts=["{} is"],
            references=[f"All about {new}, the old town."],
        )
        records.append(Record(fact, checks, f"case {i}"))
    return records


@pytest.fixture(scope="module")
def small() -> fl.Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def report(small: fl.Model) -> Report:
    return fl.evaluate(
        small,
        small_records(),
        method={"strong": {"method": "ft", "learning_rate": 3e-2}, "weak": {"method": "ft", "learning_rate": 1e-6}},
        unrelated=["The weather is", "Once upon a time"],
        texts=["Rome was not built in a day", "Paris is worth a mass"],
        layers=2,
        steps=8,
    )


def test_a_report_says_for_which_records_the_edits_took(report: Report, small: fl.Model, tmp_path: Path) -> None:
    table = report.taken()
    assert list(table.index) == [(outcome.label, outcome.record.name) for outcome in report.outcomes]
    for outcome in report.outcomes:
        row, took = table.loc[(outcome.label, outcome.record.name)], outcome.took
        assert took is not None
        assert (row.target, row.before, row.after) == (outcome.record.fact.target, took.before, took.after)
        assert (row.took, row.failed, row.advice) == (took.failed is None, took.failed or "", took.advice)
        assert math.isnan(row.with_value)
        # p(target) of the whole target; what is judged is the geometric mean over its tokens.
        target = small.encode_option(outcome.record.fact.prompt, outcome.record.fact.target)[1]
        assert outcome.after is not None
        judged = [m.readings[0].probabilities[1] ** len(target) for m in (outcome.before, outcome.after)]
        assert judged == pytest.approx([took.before, took.after], rel=1e-4)
        assert outcome.after.readings[0].leads[1] == (took.failed is None)
    assert not table.took["weak"].any()
    for shown in (repr(report), report._repr_html_()):
        assert "weak: took 0 of 3" in shown
        assert f"Did not take: case 0: p(Paris) {report.outcomes[3].took.numbers}. The target gained nothing." in shown
    loaded = Report.load(report.save(tmp_path / "r.json"))
    assert loaded.outcomes == report.outcomes
    assert "weak,case 0,Paris," in loaded.taken().to_csv()


def test_each_way_says_of_each_fact_whether_its_edit_took(small: fl.Model, tmp_path: Path) -> None:
    options = {"method": "ft", "layers": 2, "steps": 3, "learning_rate": 3e-2, "generate": False}
    records, store = small_records(), tmp_path / "store.jsonl"
    made = quiet_edit(
        small, [record.fact for record in records], apply=False, **{k: options[k] for k in list(options)[:4]}
    )
    together = fl.evaluate(small, records, way="at once", store=store, **options)
    assert tuple(outcome.took for outcome in together.outcomes) == made.taken
    assert fl.evaluate(small, records, way="at once", store=store, **options).outcomes == together.outcomes
    judged = fl.evaluate(small, made, [record.checks for record in records], generate=False)
    assert tuple(outcome.took for outcome in judged.outcomes) == made.taken
    unknown = fl.evaluate(small, replace(made, taken=()), [record.checks for record in records], generate=False)
    assert [outcome.took for outcome in unknown.outcomes] == [None] * 3
    assert "took" not in repr(unknown)
    assert list(unknown.taken().columns) == list(judged.taken().columns)
    one_by_one = fl.evaluate(small, records, way="sequential", **options)
    first = quiet_edit(small, records[0].fact, apply=False, **{k: options[k] for k in list(options)[:4]})
    assert one_by_one.outcomes[0].took == first.taken[0]
    assert one_by_one.outcomes[2].took.before != together.outcomes[2].took.before, "with the earlier edits in force"


def test_reports_and_stores_from_before_are_read(small: fl.Model, report: Report, tmp_path: Path) -> None:
    path = report.save(tmp_path / "r.json")
    content = json.loads(path.read_text())
    head = {name: content.pop(name) for name in ("format", "schema", "checksum")}
    for outcome in content["outcomes"]:
        del outcome["took"]
    path.write_text(json.dumps({**head, "schema": 2, "checksum": checksum(content), **content}))
    loaded = Report.load(path)
    assert [outcome.took for outcome in loaded.outcomes] == [None] * 6
    assert loaded.before == report.before
    assert len(loaded.taken()) == 0
    for schema in (1, 3, True):
        path.write_text(json.dumps({**head, "schema": schema, "checksum": checksum(content), **content}))
        with pytest.raises(FileFormatError):
            Report.load(path)

    options = {"method": "ft", "layers": 2, "steps": 1, "generate": False}
    records, store = small_records()[:1], tmp_path / "store.jsonl"
    now = fl.evaluate(small, records, store=store, **options)
    line = json.loads(store.read_text())
    del line["took"], line["checksum"]
    line["schema"] = 2
    store.write_text(json.dumps({**line, "checksum": checksum(line)}) + "\n")
    again = fl.evaluate(small, records, store=store, **options)
    assert again.outcomes == tuple(replace(outcome, took=None) for outcome in now.outcomes), "it was not made again"


def test_every_metric_is_what_its_formula_says_of_the_probes(report: Report) -> None:
    frame, records, summary = report.to_dataframe(), report.records(), report.summary()
    assert set(frame.label) == {"strong", "weak"} == set(report.labels)
    for when in ("before", "after"):
        wanted = frame.role.isin(["rewrite", "paraphrase", "portability"])
        gap = frame[f"p_new_{when}"] - frame[f"p_old_{when}"]
        gap = gap.where(wanted, -gap)
        for (label, name, role), rows in frame.assign(gap=gap).groupby(["label", "record", "role"]):
            row = records.loc[(label, name)]
            assert row[(f"{role}_success", when)] == pytest.approx((rows.gap > 0).mean())
            assert row[(f"{role}_magnitude", when)] == pytest.approx(rows.gap.mean())
        for label in report.labels:
            means = {
                n: records.loc[label][(f"{n}_success", when)].mean() for n in ("rewrite", "paraphrase", "neighbour")
            }
            shown = {n: summary.loc[(label, f"{n}_success"), when] for n in means}
            assert shown == pytest.approx(means)
            harmonic = 3 / sum(1 / v for v in means.values()) if all(means.values()) else 0
            assert summary.loc[(label, "score"), when] == pytest.approx(harmonic)


def test_the_summary_names_every_metric_and_its_interval(report: Report) -> None:
    summary = report.summary()
    expected = {"score", "kl", "perplexity", "fluency", "consistency", "portability_leads", "other_success"}
    assert expected <= set(summary.loc["strong"].index)
    assert summary.loc[("strong", "rewrite_success"), "symbol"] == "ES"
    assert (summary["records"] == 3).all()
    for when in ("before", "after"):
        assert (summary[f"{when}_low"] <= summary[when] + 1e-9).all()
        assert (summary[when] <= summary[f"{when}_high"] + 1e-9).all()


def test_a_strong_edit_changes_more_than_a_weak_one(report: Report) -> None:
    summary = report.summary()
    assert summary.loc[("strong", "rewrite_leads"), "after"] == 1
    assert summary.loc[("weak", "rewrite_leads"), "after"] == summary.loc[("weak", "rewrite_leads"), "before"]
    assert summary.loc[("strong", "kl"), "before"] == 0
    assert summary.loc[("strong", "kl"), "after"] > 100 * summary.loc[("weak", "kl"), "after"] > 0
    for name in ("perplexity", "fluency"):
        assert summary.loc[("strong", name), "before"] == summary.loc[("weak", name), "before"]


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


def test_a_killed_evaluation_goes_on_where_it_was(
    small: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "folder" / "outcomes.jsonl"
    options = {"method": "ft", "layers": 2, "steps": 3, "store": store, "generate": False}
    stop = Event()
    with pytest.raises(Interrupted):
        fl.evaluate(small, small_records(), progress=lambda report, wanted: stop.set(), stop=stop, **options)
    with store.open("a") as file:
        file.write('{"key": "cut off by a ki')
    edited: list[str] = []
    real = judging.quiet_edit
    monkeypatch.setattr(
        judging, "quiet_edit", lambda *args, **more: edited.append(args[1].subject) or real(*args, **more)
    )
    with pytest.warns(UserWarning, match=r"outcomes\.jsonl: unfinished or damaged, .* line 2\."):
        whole = fl.evaluate(small, small_records(), **options)
    assert edited == ["The Louvre", "Big Ben"]
    # What was added since is not lost behind the unfinished line.
    with pytest.warns(UserWarning, match=r"line 2\."):
        again = fl.evaluate(small, small_records(), **options)
    assert str(again.outcomes) == str(whole.outcomes)
    assert edited == ["The Louvre", "Big Ben"]
    monkeypatch.undo()
    fresh = fl.evaluate(small, small_records(), **{**options, "store": None})
    assert [o.after for o in whole.outcomes] == [o.after for o in fresh.outcomes]
    # Other settings are another evaluation.
    monkeypatch.setattr(judging, "quiet_edit", lambda *args, **more: edited.append("again") or real(*args, **more))
    with pytest.warns(UserWarning, match=r"line 2\."):
        fl.evaluate(small, small_records(), **{**options, "steps": 4})
    assert edited.count("again") == 3


@pytest.mark.parametrize("way", ["single", "sequential"])
def test_a_disk_that_fills_up_costs_no_outcome(
    small: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: judging.Way
) -> None:
    store = tmp_path / "outcomes.jsonl"
    options = {"method": "ft", "layers": 2, "steps": 3, "generate": False, "way": way}
    fresh = fl.evaluate(small, small_records(), **options)
    real, written = OutcomeStore._append, []

    def fill_up(kept: OutcomeStore, data: bytes) -> None:
        written.append(data)
        if len(written) == 3:  # nothing at the start, then a line, and then a part of one
            real(kept, data[:40])
        if len(written) >= 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(kept, data)

    monkeypatch.setattr(OutcomeStore, "_append", fill_up)
    with pytest.warns(UserWarning, match=r"outcomes\.jsonl: No space left .* goes on.*Make room") as said:
        whole = fl.evaluate(small, small_records(), store=store, **options)
    assert len(said) == 1
    assert [o.after for o in whole.outcomes] == [o.after for o in fresh.outcomes]
    monkeypatch.undo()
    with pytest.warns(UserWarning, match=r"line 2\."):
        again = fl.evaluate(small, small_records(), store=store, **options)
    assert again.outcomes[0] == whole.outcomes[0], "what had been kept is not judged again"
    assert [o.after for o in again.outcomes] == [o.after for o in fresh.outcomes]


@pytest.mark.parametrize("place", ["a folder", "below a file", "the store before", "a pipe"])
def test_a_store_that_cannot_be_one_is_refused_before_the_first_edit(
    small: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tmp_path / "outcomes.jsonl"
    if place == "a folder":
        path.mkdir()
    elif place == "below a file":
        path.write_text("")
        path = path / "below"
    elif place == "a pipe":
        os.mkfifo(path)
    else:
        path.write_text('{"key": "0", "label": "rome", "record": {}, "before": {}, "after": null}\n')
    monkeypatch.setattr(judging, "quiet_edit", None)
    with pytest.raises(fl.FactlensError, match=r"outcomes\.jsonl"):
        fl.evaluate(small, small_records(), method="ft", layers=2, store=path)


def test_a_report_comes_back_from_disk(report: Report, tmp_path: Path) -> None:
    for name in ("report.json", "report.json.gz"):
        loaded = Report.load(report.save(tmp_path / name))
        assert str(loaded.outcomes) == str(report.outcomes), "as text, since NaN equals nothing"
        assert loaded.provenance == report.provenance
        np.testing.assert_array_equal(loaded.summary()["after"], report.summary()["after"])
    assert (tmp_path / "report.json.gz").stat().st_size < (tmp_path / "report.json").stat().st_size / 3
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.json.gz"}


def damaged() -> Iterator[tuple[str, str]]:
    yield "not JSON", "{"
    yield "of another kind", '{"format": "factlens.trace"}'
    yield "of a later version", '{"format": "factlens.report", "schema": 99}'
    yield "without outcomes", '{"format": "factlens.report", "schema": 2}'
    yield "a list", "[]"


@pytest.mark.parametrize(("what", "text"), list(damaged()))
def test_a_file_that_is_no_report(what: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=r"report\.json"):
        Report.load(path)


@pytest.mark.parametrize("change", ["text for a number", "a reading too few", "no reason", "a text too many"])
def test_a_report_that_was_tampered_with(change: str, report: Report, tmp_path: Path) -> None:
    content = json.loads(report.save(tmp_path / "report.json").read_text())
    head = {name: content.pop(name) for name in ("format", "schema", "checksum")}
    first = content["outcomes"][0]
    if change == "text for a number":
        first["after"]["readings"][0]["probabilities"][0] = "<img>"
    elif change == "a reading too few":
        first["after"]["readings"].pop()
    elif change == "a text too many":
        first["after"]["texts"].append("more")
    else:
        first["after"] = None
    # With its old checksum and with a right one.
    for total, words in ((head["checksum"], "is damaged"), (checksum(content), "not a complete factlens report")):
        (tmp_path / "report.json").write_text(json.dumps({**head, "checksum": total, **content}))
        with pytest.raises(FileFormatError, match=words):
            Report.load(tmp_path / "report.json")


def test_reports_side_by_side(small: fl.Model, report: Report) -> None:
    options = {"layers": 2, "steps": 3, "generate": False}
    one, two = (
        fl.evaluate(small, small_records(), method="ft", learning_rate=rate, **options) for rate in (1e-3, 1e-4)
    )
    both = Report.joined({"high": one, "low": two})
    assert both.labels == ("high", "low")
    assert set(both.provenance["settings"]) == {"high", "low"}
    summary = both.summary()
    for label, alone in (("high", one), ("low", two)):
        np.testing.assert_array_equal(summary.loc[label]["after"], alone.summary().loc["ft"]["after"])
    with pytest.raises(fl.FactlensError, match="under the label 'ft'"):
        Report.joined([one, two])
    with pytest.raises(fl.FactlensError, match="several labels"):
        report.relabelled("x")


def test_edits_side_by_side_in_one_table_and_one_figure(small: fl.Model) -> None:
    record = small_records()[0]
    edits = {
        f"{steps} steps": fl.edit(small, record.fact, method="ft", layers=2, steps=steps, apply=False)
        for steps in (2, 9)
    }
    both = Report.joined(
        {label: fl.evaluate(small, edit, record.checks, generate=False) for label, edit in edits.items()}
    )
    for shown in (repr(both), both._repr_html_()):
        assert all(label in shown for label in edits)
    magnitude = both.summary()["after"].xs("rewrite_magnitude", level="metric")
    assert magnitude["9 steps"] > magnitude["2 steps"], "each stands under its own label"
    (axes,) = both.plot(["rewrite_magnitude"]).figure.axes
    heights = [bar.get_height() for bar in axes.patches]
    assert heights[1:] == pytest.approx([100 * magnitude[label] for label in edits])


def test_the_table_shows_text_as_text(small: fl.Model) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    record = small_records()[0]
    found = fl.evaluate(small, [record], method={nasty: {"method": "ft", "layers": 2, "steps": 2}}, generate=False)
    assert nasty in repr(found)
    assert nasty not in found._repr_html_()
    assert "&lt;img" in found._repr_html_()


def test_a_figure_of_every_label(report: Report) -> None:
    figure = report.plot()
    (axes,) = figure.axes
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["unedited", "strong", "weak"]
    heights = [bar.get_height() for bar in axes.patches]
    first = report.summary().loc[("strong", "score"), "before"]
    assert heights[0] == pytest.approx(100 * first)
    with pytest.raises(fl.FactlensError, match="no metric 'es'"):
        report.plot(["es"])
    with pytest.raises(fl.FactlensError, match="figures of their own"):
        report.plot(["score", "perplexity"])


def test_facts_of_atlas_bring_their_checks(atlas: fl.Model) -> None:
    found = fl.evaluate(atlas, FACTS[1:], method="rome", **QUICK)
    assert [outcome.record.checks for outcome in found.outcomes] == [atlas_checks(fact) for fact in FACTS[1:]]
    summary = found.summary()
    assert summary.loc[("rome", "kl"), "after"] > 0
    assert 1 < summary.loc[("rome", "perplexity"), "before"] < 50
    assert atlas.edits == ()


def test_an_outcome_without_an_edit_has_no_numbers(report: Report) -> None:
    nothing = Report(tuple(Outcome("none", o.record, o.before, None, error="no") for o in report.outcomes[:3]), 3, {})
    assert nothing.summary().empty
    assert nothing.to_dataframe().empty
    assert "Not edited" in repr(nothing)
    assert "Not edited" in nothing._repr_html_()


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
