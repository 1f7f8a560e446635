"""Reports in files: they come back, also those from before, and are refused where they are none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import factlens as fl
from factlens.errors import FileFormatError
from factlens.evaluation import Report
from factlens.files import checksum
from tests.evaluation.made import small_records


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
