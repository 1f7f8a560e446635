"""Calibrating in a session: its one method is measured, and what edits take by default follows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import factlens as fl
from factlens.editing import defaults
from factlens.editing.looking import Look
from factlens.errors import FactlensWarning
from factlens.session import Session, calibrating
from factlens.warned import warn
from tests.calibration.made import add_quick_method, facts_known_to
from tests.editing.made import FACT
from tests.support import small_model


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session whose method is measured in seconds, with facts that its model knows and a cache of its own."""
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path / "cache"))
    add_quick_method(monkeypatch)
    session = Session(small_model("llama"), FACT)
    quick = partial(calibrating.calibrate, facts=facts_known_to(session.model), layers=[1, 2])
    monkeypatch.setattr(calibrating, "calibrate", quick)
    session.choose_method("quick")
    yield session
    session.close()


def test_what_was_measured_becomes_the_default(session: Session) -> None:
    before, weights = session.defaults, session.model.fingerprint
    assert session.calibrated is None
    seen: list[tuple[str, str]] = []
    session.observe(lambda change: seen.append((session.status, change.new)), "message")
    session.start_calibrate("1h")
    assert session.status in ("queued", "calibrating")
    session.start_edit("Rome")
    assert "a method is being calibrated already" in session.error["text"]
    assert session.wait(120)
    assert [message for status, message in seen if status == "calibrating" and "on trial with quick, up to" in message]
    assert (session.status, session.remarks, session.edits) == ("idle", (), ())
    assert session.model.fingerprint == weights
    now = session.defaults
    assert now == defaults(session.model, "quick") != before
    assert session.calibrated == (session.default_layer, now.source)
    assert now.source.startswith("calibrated ")
    assert session.edit_layers == now.layers
    assert session.knobs["learning_rate"] == now.hparams.learning_rate != before.hparams.learning_rate
    session.choose_method("ft")
    assert session.calibrated is None, "only the chosen method was measured"


def test_stopped_it_keeps_what_it_has(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tried = session.worker.progress, []

    def progress(share: float, message: str) -> None:
        real(share, message)
        tried.append("on trial" in message)
        if sum(tried) == 2:
            session.stop()

    monkeypatch.setattr(session.worker, "progress", progress)
    session.start_calibrate("1h")
    assert session.wait(120)
    assert (session.status, session.error, session.calibrated) == ("idle", None, None)
    (remark,) = session.remarks
    assert "goes on from there" in remark
    monkeypatch.setattr(session.worker, "progress", real)
    session.start_calibrate("1h")
    assert session.wait(120)
    assert (session.calibrated is None, session.remarks) == (False, ())


def test_what_it_warns_of_is_remarked(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets = []

    def calibrate(model: fl.Model, *, methods: str, budget: float, **_options: object) -> None:
        budgets.append((methods, budget))
        warn(FactlensWarning("Nothing works."))

    monkeypatch.setattr(calibrating, "calibrate", calibrate)
    session.start_calibrate()
    assert session.wait(60)
    assert (session.error, session.remarks) == (None, ("Nothing works.",))
    session.choose_method("rome")
    session.start_calibrate()
    assert session.wait(60)
    assert budgets == [("quick", 300), ("rome", 600)], "ROME may have to collect second moments first"


def test_a_model_that_knows_nothing_is_an_error_and_nothing_is_lost(session: Session) -> None:
    session.start_edit("Rome", 1)
    assert session.wait(60)
    (edit,) = session.edits
    quick = calibrating.calibrate
    quick.keywords["facts"] = facts_known_to(session.model)[:2]
    session.start_calibrate("1h")
    assert session.wait(60)
    assert session.error["place"] == "edit"
    assert session.error["title"] == "Nothing was measured"
    assert "6 are needed" in session.error["text"]
    assert session.edits == session.model.edits == (edit,)
    session.start_calibrate("soon")
    assert "length of time" in session.error["text"]


def test_the_trace_says_where_to_edit_where_nothing_else_does() -> None:
    session = Session(small_model("gpt2"), FACT)
    by_rule = session.defaults
    assert "a rule" in by_rule.source
    session.start_trace()
    assert session.wait(60)
    trace = session.trace
    token, mlp = trace.subject_range[1] - 1, trace.kinds.index("mlp")
    trace.high, trace.low_samples[:] = 0.9, 0.1
    trace.samples.values[:] = 0.1
    assert session.defaults == by_rule, "no effect"
    trace.samples.values[mlp, token, 2], trace.samples.values[mlp, token, 3] = 0.6, 0.4
    assert (session.default_layer, session.edit_layers) == (3, (3,)), "the last layer with half of the largest effect"
    assert "in the trace of this fact" in session.defaults.source
    assert session.defaults.hparams == by_rule.hparams
    trace.known = False
    assert session.defaults == by_rule, "the model does not know it"
    trace.known = True
    session.fact = fl.Fact("In Rome, the {} is near", "Eiffel Tower")
    assert session.defaults == by_rule, "another fact"
    session.fact = FACT
    assert session.default_layer == 3
    trace.fingerprint = "0123456789abcdef"
    assert session.defaults == by_rule, "other weights"
    session.close()


def test_a_look_goes_before_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    from factlens.editing.looking import Look
    from factlens.session import editing

    session = Session(small_model("gpt2"), FACT)
    look = Look(1, "by a look")
    monkeypatch.setattr(editing, "looked", lambda model: look)
    monkeypatch.setattr(editing, "defaults", lambda model, method: editing.by_look(model, method, look))
    monkeypatch.setattr(editing, "layer_by", lambda trace: 3)
    session.start_trace()
    assert session.wait(60)
    assert (session.default_layer, session.defaults.source) == (1, "by a look")
    monkeypatch.setattr(editing, "looked", lambda model: None)
    assert session.default_layer == 3
    session.close()


def test_atlas_is_measured_with_what_it_was_taught(
    atlas: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path))
    session = Session(atlas, fl.Fact("{} is in downtown", "The Space Needle"))
    told = threading.Event()
    session.observe(lambda change: "facts that the model knows" in change.new and told.set(), "message")
    session.start_calibrate(1e-6)
    assert session.wait(120)
    assert told.is_set()
    assert session.error is None
    (remark,) = session.remarks
    assert "too short to compare settings of ROME" in remark
    assert remark.endswith("What was measured is kept: measure again, and it goes on from there.")
    assert "budget" not in remark
    assert session.defaults.source.startswith("tuned")
    session.close()


def test_an_edit_with_nothing_to_go_by_looks_first(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("factlens.editing.api.look", lambda *_: Look(2, "by a look"))
    assert session.default_layer != 2
    session.start_edit("Rome")
    assert session.wait(120)
    assert [edit.layers for edit in session.edits] == [(2,)]
    # What is chosen, or selected, is taken as it is.
    session.start_edit("Paris", layer=0)
    assert session.wait(120)
    assert session.edits[-1].layers == (0,)
