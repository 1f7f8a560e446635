"""A report: which edits took, every metric by its formula, tables and figures, side by side."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import factlens as fl
from factlens.editing.api import quiet_edit
from factlens.evaluation import Outcome, Report
from tests.evaluation.made import small_records


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


def test_an_outcome_without_an_edit_has_no_numbers(report: Report) -> None:
    nothing = Report(tuple(Outcome("none", o.record, o.before, None, error="no") for o in report.outcomes[:3]), 3, {})
    assert nothing.summary().empty
    assert nothing.to_dataframe().empty
    assert "Not edited" in repr(nothing)
    assert "Not edited" in nothing._repr_html_()
