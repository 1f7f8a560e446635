"""Lenses that are linked, and what others do to the model: seen on the page, and nothing is taken back."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest
import torch
from traitlets import dlink, link

import factlens as fl
from tests.editing.made import FACT
from tests.widgets.driving import QUICK, gesture, quick_edit, undo


def test_linked_lenses_follow_each_other(lens: fl.Lens) -> None:
    second = fl.Lens(lens.session.model)
    other = fl.Fact("In Paris, the {} is in", "Eiffel Tower")
    try:
        for name in ("fact", "selection", "target", "method"):
            link((lens, name), (second, name))
        assert second.session.wait(30)
        assert second.fact == FACT
        assert second.trace.complete, "it was given the fact of the first"
        second.fact = other
        assert second.session.wait(30)
        assert lens.session.wait(30)
        assert lens.fact == second.fact == other
        assert lens.trace.complete
        lens.selection = {"kind": "attn", "token": 1, "layer": 2}
        assert second.selection == second.heatmap.selection == lens.selection
        second.target, second.method = "Oslo", "ft"
        assert (lens.editor.state["target"], lens.editor.state["method"]) == ("Oslo", "ft")
        assert lens.error is second.error is None
    finally:
        second.close()


def test_linked_lenses_do_not_wait_for_each_other_for_ever(lens: fl.Lens) -> None:
    second = fl.Lens(lens.session.model, FACT)
    try:
        for one in (lens, second):
            one.start()
            assert one.session.wait(30)
        # Both would stand here at once, each with its own state in hand and about to reach for the other's.
        both = threading.Barrier(2)

        def meet(_change: object) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.5)

        for one in (lens, second):
            one.observe(meet, "selection")
        dlink((lens, "selection"), (second, "selection"))
        dlink((second, "selection"), (lens, "selection"))
        threads = [
            threading.Thread(target=one.session.select, args=("mlp", token, 1), daemon=True)
            for token, one in enumerate((lens, second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        lens.selection = {"kind": "attn", "token": 0, "layer": 0}
        assert second.selection == lens.selection
    finally:
        second.close()


def test_the_page_says_where_edits_are_from_and_what_is_of_other_weights(lens: fl.Lens) -> None:
    model = lens.session.model
    second = fl.Lens(fl.wrap(model.model, model.tokenizer), FACT)
    lens.start()
    assert lens.session.wait(30)
    assert "weights now" in lens.bars.pieces[0].value
    lens.method = second.method = "ft"
    gesture(lens, "apply", target="Rome", layer=1, settings=QUICK)
    assert lens.session.wait(60)
    gesture(second, "apply", target="Oslo", layer=1, settings=QUICK)
    assert second.session.wait(60)
    assert lens.session.wait(60)
    with model.exclusive():
        model.apply(quick_edit(model, "Cairo"))
        # At once, and before anything is computed.
        assert [entry["origin"] for entry in lens.editor.state["edits"]] == ["here", "lens", "python"]
        assert [entry["origin"] for entry in second.editor.state["edits"]] == ["lens", "here", "python"]
        assert lens.edits == second.edits == model.edits
        assert lens.locate.state["edits"] == 3
        assert lens.locate.state["outdated"]
        assert not second.locate.state["outdated"], "nothing was traced there"
        assert lens.editor.state["answer"] is None
        assert "before the last change" in lens.bars.pieces[0].value
    for one in (lens, second):
        assert one.session.wait(60)
        assert one.editor.state["answer"] == model.answers(FACT.prompt)[0].text
        assert "weights now" in one.bars.pieces[0].value
        assert one.error is None
    assert lens.bars.values == second.bars.values
    model.clear()
    assert not lens.locate.state["outdated"]
    second.close()


@pytest.mark.parametrize("way", ["keep", "revert"])
def test_a_foreign_change_is_on_the_page_with_two_ways_on(lens: fl.Lens, way: str) -> None:
    model = lens.session.model
    edit = quick_edit(model, "Rome")
    model.apply(edit)
    assert lens.session.wait(60)
    gesture(lens, way)
    assert "That is settled" in lens.editor.state["error"]["text"]
    weight = model.down_projection(1).weight
    ours = weight.detach().clone()
    weight.data.mul_(2)
    lens.start()
    assert lens.session.wait(60)
    assert lens.error["place"] == "locate"
    assert lens.editor.state["foreign"] == lens.locate.state["error"]["text"]
    undo(lens)
    assert lens.session.wait(60)
    assert lens.error["place"] == "edit"
    assert lens.editor.state["error"] is None, "it is said once, with the two buttons"
    assert "model.revert_changes()" in lens.editor.state["foreign"]
    gesture(lens, way)
    assert lens.session.wait(60)
    assert (lens.error, lens.editor.state["foreign"]) == (None, None)
    assert torch.equal(weight, ours) == (way == "revert")
    assert lens.edits == (() if way == "keep" else (edit,))
    lens.start()
    assert lens.session.wait(60)
    assert lens.trace.complete


def test_linked_edits_follow_a_cell_and_take_nothing_back(lens: fl.Lens) -> None:
    model = lens.session.model
    second = fl.Lens(model, FACT)
    link((lens, "edits"), (second, "edits"))
    made = [quick_edit(model, target) for target in ("Rome", "Oslo", "Cairo")]
    with model.exclusive():
        for edit in made:
            model.apply(edit)
            assert lens.edits == second.edits == model.edits
        assert (lens.status, second.status) == ("idle", "idle"), "neither asks the model for what it has"
    for one in (lens, second):
        assert one.session.wait(60)
        assert one.error is None
    assert model.edits == tuple(made)
    second.edits = made[:1]
    for one in (second, lens):
        assert one.session.wait(60)
    assert lens.edits == second.edits == model.edits == (made[0],)
    second.close()


def test_edits_by_hand_are_listed_by_what_they_are(lens: fl.Lens) -> None:
    class ByHand:
        def __init__(self, edit: fl.Edit) -> None:
            self.updates = edit.updates

    lens.session.model.apply(ByHand(quick_edit(lens.session.model, "Rome")))
    (shown,) = lens.editor.state["edits"]
    assert (shown["label"], shown["method"], shown["layers"]) == ("an edit (ByHand)", "", [])
    json.dumps(lens.editor.state)
    undo(lens)
    assert lens.session.wait(30)
    assert lens.error is None
    assert lens.edits == ()


def test_a_lens_computes_with_the_original_weights_where_no_cell_meets_them(lens: fl.Lens) -> None:
    """Whoever calls the model in a cell, while a lens reads the answers again, gets those of the weights in force."""
    model = lens.session.model
    lens.start()
    assert lens.session.wait(30)
    model.apply(quick_edit(model, "Rome"))
    assert lens.session.wait(30)
    weight = model.down_projection(1).weight
    version = weight._version
    lens.session._weights_changed()
    assert lens.session.wait(30)
    gesture(lens, "judge")
    assert lens.session.wait(60)
    assert lens.judgement
    assert weight._version == version, "nothing was written"
