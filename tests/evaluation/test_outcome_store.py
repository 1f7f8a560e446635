"""Outcomes kept on disk while records are judged: a killed evaluation goes on, a full disk costs nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Event

import pytest

import factlens as fl
from factlens.errors import Interrupted
from factlens.evaluation import judging
from factlens.evaluation.outcome_store import OutcomeStore
from tests.evaluation.made import small_records


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
