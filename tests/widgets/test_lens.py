"""A lens without a browser: its parts, and what code sets and is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from traitlets import TraitError

import factlens as fl
from factlens.widgets.bars import AnswerBars
from factlens.widgets.base import STATIC, Part
from factlens.widgets.gestures import Gestures
from factlens.widgets.panels import details_state
from tests.editing.made import FACT
from tests.support import small_model
from tests.widgets.driving import QUICK, gesture, grid_of, undo


def test_every_part_belongs_to_the_lens_and_has_its_module(lens: fl.Lens) -> None:
    parts = [lens.gestures, lens.locate, lens.heatmap, lens.editor, lens.judge, lens.reader]
    assert len({part.lens for part in parts}) == 1
    assert parts[0].lens
    *above, story, more = lens.children
    assert above == parts[:3]
    assert list(story.children) == [lens.editor, lens.bars, lens.judge]
    assert list(more.children) == [lens.profile, lens.reader]
    for part in parts:
        assert "export" in str(part._esm)
        assert len(str(part._esm)) < 70_000
    assert {"gestures.js", "heatmap.js", "locate.js", "edit.js", "judge.js", "details.js"} <= {
        path.name for path in STATIC.iterdir()
    }


def test_a_traced_fact_reaches_the_heatmap_and_only_the_heatmap(lens: fl.Lens) -> None:
    assert lens.heatmap.frame == {}
    streamed: list[str] = []
    lens.gestures.send_state = lambda *_: streamed.append("state")  # type: ignore[method-assign]
    sent = gesture(lens, "trace", prompt=FACT.prompt, subject=FACT.subject)
    assert sent == [{"type": "ack", "id": 7}]
    assert lens.session.wait(30)
    frame = lens.heatmap.frame
    assert frame["complete"]
    np.testing.assert_array_equal(grid_of(frame), lens.trace.scores.values)
    assert [token["subject"] for token in frame["tokens"]] == list(lens.trace.samples["subject"].values)
    assert lens.heatmap.busy is False
    assert streamed == []
    json.dumps({key: value for key, value in frame.items() if not isinstance(value, bytes)})


def test_numbers_that_json_cannot_carry_become_null(lens: fl.Lens) -> None:
    lens.session.details = {"a": [1.0, float("nan"), (float("inf"), "text")], "b": {"c": float("-inf"), "d": None}}
    assert details_state(lens.session)["details"] == {"a": [1.0, None, [None, "text"]], "b": {"c": None, "d": None}}


def test_a_heatmap_stands_alone() -> None:
    trace = fl.trace(small_model("gpt2"), FACT, samples=2, corruption=fl.Noise(level=0.3))
    heatmap = fl.Heatmap(trace)
    heatmap._handle_custom_msg(
        {"type": "gesture", "id": 1, "name": "select", "kind": "mlp", "token": 1, "layer": 2}, []
    )
    assert heatmap.selection == {"kind": "mlp", "token": 1, "layer": 2}
    heatmap._handle_custom_msg(
        {"type": "gesture", "id": 2, "name": "select", "kind": "mlp", "token": 1, "layer": 99}, []
    )
    assert heatmap.selection == {"kind": "mlp", "token": 1, "layer": 2}
    assert heatmap.refused == 1
    with pytest.raises(Exception, match="no cell"):
        heatmap.selection = {"kind": "mlp", "token": -1, "layer": 0}
    assert len(repr(heatmap)) < 100


def test_misspelt_traits_are_refused() -> None:
    with pytest.raises(TypeError, match="selektion"):
        fl.Heatmap(selektion=None)
    with pytest.raises(TypeError, match=r"factlens.load"):
        fl.Lens("gpt2", FACT)
    with pytest.raises(TypeError):
        Gestures(lambda *_: None, lense="x")


def test_the_bundle_is_text_and_a_view_only(lens: fl.Lens) -> None:
    assert set(lens._repr_mimebundle_()) <= {"text/plain", "application/vnd.jupyter.widget-view+json"}


def test_marimo_is_given_the_parts_that_it_can_show(lens: fl.Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not marimo's own: outside its kernel that would take over the comms of all widgets made later in this process.
    monkeypatch.setattr("marimo.vstack", list)
    shown = lens._display_()
    assert shown == [lens.gestures, lens.locate, lens.heatmap, lens.editor, lens.judge, lens.reader]
    assert all(isinstance(part, Part) for part in shown)


def test_bars_of_answers_that_read_the_same_stay_apart() -> None:
    bars = AnswerBars()
    bars.show([(" Paris", 0.5, 0.1), ("Paris", 0.2, 0.3), ("\n", 0.1, 0.0), (" ", 0.0, 0.1)])
    assert bars.values == {
        "Paris (1)": (0.5, 0.1),
        "Paris (2)": (0.2, 0.3),
        "⏎": (0.1, 0.0),
        "␣": (0.0, 0.1),
    }
    bars.show([(" " + "a" * 99, 0.5, 0.1), (" " + "a" * 98, 0.4, 0.2)])
    assert list(bars.values) == ["a" * 15 + "… (1)", "a" * 15 + "… (2)"]
    bars.show([])
    assert bars.values == {}


def test_closing_leaves_no_thread_and_no_widget(lens: fl.Lens) -> None:
    lens.start()
    worker = lens.session.worker.thread
    lens.close()
    worker.join(10)
    assert not worker.is_alive()
    assert lens.comm is None
    assert lens.heatmap.comm is None


def test_edits_set_in_code_are_those_in_force(lens: fl.Lens) -> None:
    model = lens.session.model
    weights = {name: value.clone() for name, value in model.model.state_dict().items()}
    rome, oslo = (
        fl.edit(model, FACT.with_target(t), method="ft", layers=1, steps=2, apply=False) for t in ("Rome", "Oslo")
    )
    seen = []
    lens.observe(lambda change: seen.append(change.new), "edits")
    lens.edits = (rome, oslo)
    assert lens.session.wait(30)
    assert lens.edits == model.edits == (rome, oslo)
    assert seen == [(rome, oslo)], "the trait says what is in force, once it is"
    assert [shown["label"] for shown in lens.editor.state["edits"]] == ["Eiffel Tower → Rome", "Eiffel Tower → Oslo"]
    lens.edits = (oslo, rome)
    assert lens.session.wait(30)
    assert model.edits == (oslo, rome)
    lens.edits = ()
    assert lens.session.wait(30)
    assert model.edits == lens.edits == ()
    assert all(torch.equal(value, weights[name]) for name, value in model.model.state_dict().items())


def test_a_trace_of_the_same_fact_takes_the_others_place(lens: fl.Lens) -> None:
    few, more = (fl.trace(lens.session.model, FACT, samples=samples) for samples in (2, 3))
    for trace in (few, more, few):
        lens.trace = trace
        assert lens.session.wait(30)
        assert lens.trace is trace


def test_what_is_refused_in_code_raises_and_is_shown(lens: fl.Lens) -> None:
    model, other = lens.session.model, small_model("llama")
    lens.start()
    assert lens.session.wait(30)
    trace, cell = lens.trace, {"kind": "mlp", "token": 1, "layer": 1}
    lens.selection = cell
    with pytest.raises(TraitError, match="no kind 'mpl'"):
        lens.selection = {**cell, "kind": "mpl"}
    assert lens.locate.state["error"]["title"] == "This cell cannot be selected"
    with pytest.raises(TraitError, match="not to 'small gpt2'"):
        lens.trace = fl.trace(other, FACT, samples=1)
    with pytest.raises(TraitError, match="replaced, not taken away"):
        lens.trace = None
    with pytest.raises(TraitError, match="what factlens"):
        lens.edits = ("Paris",)
    assert lens.editor.state["error"]["title"] == "The edits in force were not changed"
    with pytest.raises(TraitError, match="lone surrogate"):
        lens.target = "\ud800"
    with pytest.raises(TraitError, match="reads at most 64"):
        lens.fact = fl.Fact("{} " + "is " * 80, "Eiffel Tower")
    assert (lens.trace, lens.selection, lens.edits, lens.fact) == (trace, cell, (), FACT)
    # An edit of another model fits only when it is tried, so it is the widget that says so.
    lens.edits = (fl.edit(other, FACT, method="ft", layers=1, steps=1, apply=False),)
    assert lens.session.wait(30)
    assert "not to" in lens.error["text"]
    assert lens.edits == model.edits == ()


def test_an_observer_may_set_another_trait(lens: fl.Lens) -> None:
    cell = {"kind": "mlp", "token": 1, "layer": 1}
    lens.observe(lambda change: change.new == "idle" and setattr(lens, "selection", cell), "status")
    lens.start()
    assert lens.session.wait(30)
    assert lens.error is None
    assert lens.heatmap.selection == lens.session.selection == cell


@pytest.mark.parametrize("name", ["status", "trace", "progress", "edits", "target"])
def test_an_observer_that_fails_ends_nothing(lens: fl.Lens, name: str) -> None:
    def fail(_change: object) -> None:
        raise RuntimeError("somebody else's fault")

    lens.observe(fail, name)
    lens.start()
    assert lens.session.wait(30)
    assert lens.trace.complete
    gesture(lens, "apply", target="Rome", layer=2, settings=QUICK)
    assert lens.session.wait(60)
    assert len(lens.session.model.edits) == 1
    undo(lens)
    assert lens.session.wait(60)
    assert (lens.session.model.edits, lens.status) == ((), "idle")
    assert "somebody else's fault" in str(lens.session.last_error)


def test_an_observer_of_the_session_that_fails_leaves_a_session_that_works(lens: fl.Lens) -> None:
    def fail(_change: object) -> None:
        raise RuntimeError("somebody else's fault")

    lens.session.observe(fail, "status")
    lens.start()
    assert lens.session.wait(30)
    lens.session.unobserve(fail, "status")
    lens.start()
    assert lens.session.wait(30)
    assert lens.trace.complete
    assert (lens.status, lens.error) == ("idle", None)
