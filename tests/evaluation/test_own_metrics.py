"""Metrics of one's own and a choice of the others: worked out by hand, kept in files, shown side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import factlens as fl
from factlens.errors import FactlensError, FileFormatError, MetricError
from factlens.evaluation import (
    METRICS,
    Checks,
    Measured,
    Outcome,
    Probe,
    PromptMetric,
    Reading,
    Record,
    Report,
    judging,
)
from factlens.evaluation.report import WHEN
from factlens.files import checksum
from tests.evaluation.made import small_records
from tests.support import small_model

QUICK = {"method": "ft", "layers": 2, "steps": 3, "generate": False}


def odds(probe: Probe, reading: Reading) -> float:
    """How many times as probable the new object is as the old one."""
    old, new = reading.probabilities
    return new / old


ODDS = PromptMetric("odds", odds, "new object over old", unit="times", aggregation="max")
LENGTH = PromptMetric("length", lambda probe, reading: len(reading.top), "letters of the answer", better=-1)


@pytest.fixture(scope="module")
def small() -> fl.Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def report(small: fl.Model) -> Report:
    return fl.evaluate(small, small_records(), metrics=["score", "leads", ODDS, LENGTH], **QUICK)


def by_hand(metrics: list) -> Report:
    fact = fl.Fact("{} is in", subject="The Louvre", object="Paris", target="Rome")
    checks = Checks.of(fact, "Paris", paraphrases=["You find {} in", "{} stands in"])
    readings = [Reading((0.25, new), "abc", (False, True), (0.0, 1.0)) for new in (0.5, 0.75, 0.25)]
    measured = Measured(
        tuple(readings),
        values={"odds": tuple(odds(probe, one) for probe, one in zip(checks.probes, readings, strict=True))},
    )
    return Report((Outcome("rome", Record(fact, checks, "louvre"), measured, measured),), 1, {"metrics": metrics})


def test_a_metric_of_ones_own_by_hand() -> None:
    summary = by_hand([ODDS.described()]).summary().loc["rome"]
    assert summary["after"].to_dict() == {"rewrite_odds": 2.0, "paraphrase_odds": 3.0}, "the larger of 3 and 1"
    assert summary.loc["paraphrase_odds", "title"] == "paraphrases: new object over old (times)"
    assert list(summary.loc["rewrite_odds", ["symbol", "unit", "better"]]) == ["", "times", 1]
    mean = by_hand([{**ODDS.described(), "aggregation": "mean"}]).summary().loc["rome"]
    assert mean.loc["paraphrase_odds", "after"] == 2.0
    # Of the metrics that there are only those that were asked for; the score needs no column of its parts.
    assert list(by_hand(["success"]).summary().loc["rome"].index) == ["rewrite_success", "paraphrase_success"]
    assert by_hand(["score"]).summary().empty, "it has no neighbours"


def test_what_is_shown_is_what_was_asked_for(report: Report) -> None:
    frame, summary = report.to_dataframe(), report.summary().loc["ft"]
    for when in ("before", "after"):
        assert list(frame[f"odds_{when}"]) == pytest.approx(list(frame[f"p_new_{when}"] / frame[f"p_old_{when}"]))
        assert list(frame[f"length_{when}"]) == [len(top) for top in frame[f"top_{when}"]]
    assert "success_after" not in frame
    best = frame[frame.role == "neighbour"].groupby("record").odds_after.max().mean()
    assert summary.loc["neighbour_odds", "after"] == pytest.approx(best)
    assert summary.loc["score", "symbol"] == "S"
    assert set(report.by_role().columns) == {
        "probes",
        *(f"{x}_{y}" for x in ("success", "leads") for y in WHEN),
    }
    for shown in (repr(report), report._repr_html_()):
        assert "neighbours: new object over old (times)" in shown
        assert "neighbours: letters of the answer (less is better)" in shown
        assert "beats the other" not in shown
    (axes,) = report.plot(["rewrite_odds", "neighbour_odds"]).axes
    assert axes.get_ylabel() == "times"
    (axes,) = report.plot(["rewrite_length"]).axes
    assert axes.get_xticklabels()[0].get_text() == "rewrite\nlength\n(less is better)"


def test_a_report_keeps_the_numbers_and_how_they_are_called(report: Report, tmp_path: Path) -> None:
    path = report.save(tmp_path / "report.json")
    loaded = Report.load(path)
    assert loaded.outcomes == report.outcomes
    assert loaded.metrics == report.metrics
    assert [metric.function is None for metric in loaded.metrics] == [False, False, True, True]
    assert loaded.summary().equals(report.summary())
    assert loaded.to_dataframe().equals(report.to_dataframe())
    assert repr(loaded) == repr(report)
    assert Report.load(loaded.save(tmp_path / "again.json")).summary().equals(report.summary())


def changes() -> Iterator[tuple[str, str]]:
    yield "no such metric", "nonsense"
    yield "a direction that is none", "better"
    yield "a number too few", "other probes"
    yield "no number", "not a number"


@pytest.mark.parametrize(("change", "words"), list(changes()))
def test_a_report_with_metrics_that_make_no_sense_is_refused(
    change: str, words: str, report: Report, tmp_path: Path
) -> None:
    path = report.save(tmp_path / "report.json")
    content = json.loads(path.read_text())
    head = {name: content.pop(name) for name in ("format", "schema", "checksum")}
    metrics, values = content["provenance"]["metrics"], content["outcomes"][0]["after"]["values"]
    if change == "no such metric":
        metrics[0] = "nonsense"
    elif change == "a direction that is none":
        metrics[2]["better"] = 0
    elif change == "a number too few":
        values["odds"].pop()
    else:
        values["odds"][0] = "1"
    path.write_text(json.dumps({**head, "checksum": checksum(content), **content}))
    with pytest.raises(FileFormatError, match=words):
        Report.load(path)


def test_a_report_says_what_was_asked_so_that_it_can_be_asked_again(small: fl.Model, tmp_path: Path) -> None:
    asked = {"unrelated": ["The weather is"], "texts": ["Rome was not built in a day"]}
    found = fl.evaluate(small, small_records()[:1], seed=3, **{**QUICK, **asked})
    provenance = Report.load(found.save(tmp_path / "report.json")).provenance
    assert provenance["asked"] == [{"generate": False, **asked}]
    without_texts = [name for name, metric in METRICS.items() if getattr(metric, "needs", None) != "written"]
    assert provenance["metrics"] == without_texts
    again = fl.evaluate(
        small,
        [outcome.record for outcome in found.outcomes],
        method=provenance["recipes"],
        metrics=provenance["metrics"],
        seed=provenance["seed"],
        **provenance["asked"][0],
    )
    assert [outcome.after for outcome in again.outcomes] == [outcome.after for outcome in found.outcomes]


def test_what_no_metric_needs_is_not_asked(small: fl.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"unrelated": ["The weather is"], "texts": ["Rome was not built in a day"], "generate": True}
    found = fl.evaluate(small, small_records()[:1], metrics=["success", "kl"], **{**QUICK, **asked})
    assert found.provenance["asked"] == [{"generate": False, "unrelated": ["The weather is"], "texts": []}]
    (outcome,) = found.outcomes
    assert outcome.after is not None
    assert outcome.after.texts == ()
    assert set(found.summary().loc["ft"].index) == {"kl", *(f"{role}_success" for role in fl.evaluation.ROLES)}


def test_a_store_goes_on_with_ones_own_metrics_only_where_they_are_the_same(
    small: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**QUICK, "store": tmp_path / "outcomes.jsonl"}
    first = fl.evaluate(small, small_records()[:1], metrics=[odds], **options)
    real, edited = judging.quiet_edit, []
    monkeypatch.setattr(judging, "quiet_edit", lambda *args, **more: edited.append(1) or real(*args, **more))
    again = fl.evaluate(small, small_records()[:1], metrics=[odds, "success"], **options)
    assert (edited, again.outcomes) == ([], first.outcomes)
    fl.evaluate(small, small_records()[:1], metrics=[LENGTH], **options)
    assert edited == [1]


def test_a_registered_metric_is_among_all(small: fl.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METRICS, "_table", {**METRICS._table})
    METRICS.register("odds", ODDS)
    found = fl.evaluate(small, small_records()[:1], **QUICK)
    assert {"rewrite_odds", "rewrite_success"} <= set(found.summary().loc["ft"].index)
    assert fl.evaluate(small, small_records()[:1], metrics=["odds"], **QUICK).metrics == (ODDS,)


def test_reports_with_different_metrics_of_one_name_are_not_joined(report: Report) -> None:
    one, other = by_hand([ODDS.described()]), by_hand([{**ODDS.described(), "unit": ""}])
    with pytest.raises(FactlensError, match="different metrics 'odds'"):
        Report.joined({"a": one, "b": other})
    both = Report.joined({"a": one, "b": by_hand(["success", ODDS.described()])})
    assert [metric.name for metric in both.metrics] == ["odds", "success"]


@pytest.mark.parametrize("given", ["1", None, [1, 2], float("nan"), float("inf"), 1j])
def test_what_is_no_number_is_refused_before_the_first_edit(
    given: object, small: fl.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "quiet_edit", None)
    with pytest.raises(MetricError, match=r"'lambda' gives .* for the prompt 'The Space Needle is in'"):
        fl.evaluate(small, small_records(), metrics=[lambda probe, reading: given], **QUICK)


def test_an_error_of_the_function_is_its_own_and_names_metric_and_prompt(small: fl.Model) -> None:
    def broken(probe: Probe, reading: Reading) -> float:
        return {}[probe.role]

    with pytest.raises(KeyError) as caught:
        fl.evaluate(small, small_records(), metrics=[broken], **QUICK)
    assert caught.value.__notes__ == ["Raised by the metric 'broken' for the prompt 'The Space Needle is in'."]
    assert small.edits == ()
