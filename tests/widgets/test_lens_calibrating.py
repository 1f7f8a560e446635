"""Calibrating from the page: what the panel and the heatmap say of the layer follows."""

from __future__ import annotations

import threading
from dataclasses import asdict
from pathlib import Path

import pytest

import factlens as fl
from factlens.calibration import Calibration
from factlens.editing import defaults
from factlens.editing.calibrated import Choice, calibration_file
from factlens.errors import Interrupted
from factlens.session import calibrating
from tests.calibration.made import add_quick_method, facts_known_to
from tests.support import small_model
from tests.widgets.driving import gesture

SOURCE = "calibrated 2026-11-27 on 8 facts: S 94.0 ± 3.0 of these"


def test_the_whole_lens_follows_a_calibration(lens: fl.Lens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path))
    during: list[dict] = []

    def calibrate(model: fl.Model, *, methods: str, **_options: object) -> None:
        during.append(lens.editor.state)
        choice = Choice((3,), {**asdict(defaults(model, methods).hparams), "clamp": 2.5}, SOURCE)
        made = Calibration(model.name, model.fingerprint, "2026-11-27", 0, 8, (), (), {methods: choice})
        path = calibration_file(model.fingerprint)
        path.parent.mkdir(parents=True)
        made.save(path)

    monkeypatch.setattr(calibrating, "calibrate", calibrate)
    lens.start()
    assert lens.session.wait(60)
    before = lens.editor.state
    assert (before["default"]["calibrated"], before["budget"]) == (False, "10 min")
    assert lens.heatmap.edit["layers"] == before["edit_layers"] == [], "a look at the model is to say where"
    gesture(lens, "calibrate")
    assert lens.session.wait(60)
    assert (lens.error, lens.status) == (None, "idle")
    assert during[0]["status"] == "calibrating"
    state = lens.editor.state
    assert state["default"] == {"layers": [3], "source": SOURCE, "calibrated": True}
    assert state["edit_layers"] == lens.heatmap.edit["layers"] == [3]
    assert {knob["name"]: knob["value"] for knob in state["knobs"]}["clamp"] == 2.5
    suggested = lens.heatmap.frame["suggested"]
    assert (suggested["layer"], suggested["source"]) == (3, SOURCE)
    gesture(lens, "method", method="memit")
    assert lens.editor.state["default"]["calibrated"] is False
    assert (lens.heatmap.frame["suggested"] or {"source": None})["source"] is None


def test_an_open_lens_follows_a_calibration_of_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path))
    add_quick_method(monkeypatch)
    model = small_model("llama")
    facts = facts_known_to(model)
    lens, other = fl.Lens(model, facts[0]), fl.Lens(small_model("gpt2"), facts[0])
    for each in (lens, other):
        each.session.choose_method("quick")
        each.start()
        assert each.session.wait(60)
    before, elsewhere = lens.editor.state["default"], other.editor.state
    edits = []
    lens.observe(edits.append, "edits")
    options = {"methods": "quick", "layers": [2], "budget": "1h"}
    fl.calibrate(model, facts, store=False, **options)
    assert lens.editor.state["default"] == before
    made = fl.calibrate(model, facts, **options)
    source = made.choices["quick"].source
    assert lens.status == "idle"
    assert lens.editor.state["default"] == {"layers": [2], "source": source, "calibrated": True}
    assert lens.editor.state["edit_layers"] == lens.heatmap.edit["layers"] == [2]
    assert (lens.heatmap.frame["suggested"]["layer"], lens.heatmap.frame["suggested"]["source"]) == (2, source)
    stop = threading.Event()
    with pytest.raises(Interrupted):
        fl.calibrate(model, facts, progress=lambda *_: stop.set(), stop=stop, **{**options, "layers": [1]})
    assert lens.session.calibrations == 1, "nothing was kept that could be looked at"
    stop.clear()

    def stop_the_trials(stage: str, done: float) -> None:
        if stage == "quick":
            stop.set()

    with pytest.raises(Interrupted):
        fl.calibrate(model, facts, progress=stop_the_trials, stop=stop, **{**options, "layers": [1, 2, 3]})
    assert lens.session.calibrations == 2, "what there was of it when it was stopped is kept"
    assert (other.editor.state, edits) == (elsewhere, []), "another model, and no other edits"
    lens.close()
    other.close()
