"""Cells that are selected or pinned on the page: a trait both ways, read and shown, or taken back."""

from __future__ import annotations

import json

import pytest

import factlens as fl
from tests.widgets.driving import gesture


def test_select_is_a_trait_both_ways(lens: fl.Lens) -> None:
    lens.start()
    lens.session.wait(30)
    seen = []
    lens.observe(lambda change: seen.append(change.new), "selection")
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    cell = {"kind": "mlp", "token": 4, "layer": 3}
    assert lens.selection == lens.heatmap.selection == seen[-1] == cell
    assert lens.editor.state["layer"] == 3
    lens.selection = {"kind": "attn", "token": 1, "layer": 0}
    assert lens.heatmap.selection == {"kind": "attn", "token": 1, "layer": 0}
    assert lens.editor.state["layer"] == 0


def test_a_refused_cell_is_taken_back_on_the_page(lens: fl.Lens) -> None:
    lens.start()
    lens.session.wait(30)
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    assert lens.heatmap.refused == 0
    gesture(lens, "select", kind="head.0", token=4, layer=3)
    assert lens.heatmap.refused == 1
    gesture(lens, "select", kind="mlp", token=99, layer=3)
    assert lens.heatmap.refused == 2
    assert lens.selection == {"kind": "mlp", "token": 4, "layer": 3}


def test_the_selected_cell_is_read_and_shown(lens: fl.Lens) -> None:
    assert lens.reader.state["traced"] is False
    lens.start()
    lens.session.wait(30)
    assert (lens.reader.state["traced"], lens.reader.state["cell"]) == (True, None)
    states = []
    lens.reader.observe(lambda change: states.append(change.new), "state")
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    assert lens.session.wait(30)
    assert lens.error is None
    assert [state["reading"] for state in states] == [True, False]
    site = {"label": "MLP", "family": "mlp", "windowed": True, "edited": True, "head": None}
    cell = {"kind": "mlp", "site": site, "token": 4, "layer": 3, "piece": lens.trace.tokens[4], "last": False}
    assert all(state["cell"] == cell for state in states)
    assert states[-1]["details"] == lens.details
    assert lens.details["neurons"]
    assert not states[-1]["outdated"]
    json.dumps(states, allow_nan=False)
    lens.selection = None
    assert (lens.details, lens.reader.state["cell"]) == (None, None)


def test_a_pinned_cell_is_read_and_its_layer_not_selected(lens: fl.Lens) -> None:
    lens.start()
    lens.session.wait(30)
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    first, second = {"kind": "attn", "token": 1, "layer": 2}, {"kind": "state", "token": 2, "layer": 0}
    for cells in ([first], [first, second]):
        gesture(lens, "pins", cells=cells)
        assert lens.session.wait(30)
        shown = lens.reader.state["cell"]
        assert {name: shown[name] for name in first} == cells[-1]
        assert (lens.details["kind"], lens.details["token"], lens.details["layer"]) == tuple(cells[-1].values())
    gesture(lens, "pins", cells=[first])
    assert lens.session.wait(30)
    assert lens.details["kind"] == "state", "unpinning reads nothing"
    assert lens.selection == {"kind": "mlp", "token": 4, "layer": 3}
    lens.selection = None
    assert lens.details is None


def test_a_cell_that_cannot_be_read_says_so_in_its_panel(lens: fl.Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    lens.start()
    lens.session.wait(30)

    def fail(*_args: object, **_options: object) -> None:
        raise fl.FactlensError("It is too dark in here.")

    monkeypatch.setattr("factlens.session.locating.read_details", fail)
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    assert lens.session.wait(30)
    assert lens.reader.state["error"] == {"title": "This cell could not be read", "text": "It is too dark in here."}
    assert lens.locate.state["error"] is None
    assert lens.editor.state["error"] is None
    assert lens.heatmap.selection == {"kind": "mlp", "token": 4, "layer": 3}
