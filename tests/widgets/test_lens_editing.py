"""Editing from the page: applied and undone, whether it took, the stack, and what the method would edit."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from traitlets import TraitError

import factlens as fl
from factlens.editing.taking import summary_of
from factlens.errors import FactlensWarning
from factlens.widgets.panels import MOST_PIECES
from tests.editing.made import FACT
from tests.widgets.driving import QUICK, gesture, quick_edit, undo


def test_apply_and_undo(lens: fl.Lens) -> None:
    gesture(lens, "apply", target="Rome", layer=2)
    assert lens.session.wait(60)
    assert lens.error is None
    assert [edit.label for edit in lens.edits] == ["Eiffel Tower → Rome"]
    assert lens.locate.state["edits"] == 1
    (shown,) = lens.editor.state["edits"]
    assert shown == {
        "key": lens.edits[0].id,
        "label": "Eiffel Tower → Rome",
        "method": "rome",
        "layers": [2],
        "took": False,
        "shares": summary_of(lens.edits[0].facts, lens.edits[0].taken),
        "origin": "here",
    }
    assert "Rome" in repr(lens)
    before, after = np.array(list(lens.bars.values.values())).T
    assert not np.allclose(before, after)
    assert lens.editor.state["answer"] == lens.session.model.answers(FACT.prompt)[0].text  # now, not when traced
    undo(lens)
    assert lens.session.wait(30)
    assert lens.edits == ()
    assert "unedited" in repr(lens)
    assert lens.editor.state["warning"] is None
    before, after = np.array(list(lens.bars.values.values())).T
    np.testing.assert_array_equal(before, after)


def test_an_edit_that_did_not_take_is_said_and_is_listed_all_the_same(lens: fl.Lens) -> None:
    """As a notice with advice: no error, and no Python warning on a thread that nobody hears."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FactlensWarning)
        gesture(lens, "method", method="ft_l")
        gesture(lens, "apply", target="Rome", layer=2, settings={"limit": 1e-9, "steps": 2})
        assert lens.session.wait(60)
    (edit,) = lens.edits
    assert lens.error is None
    warning = lens.editor.state["warning"]
    assert warning["title"] == "The edit did not take."
    assert warning["text"].startswith("Eiffel Tower → Rome: p(Rome) ")
    assert "The target gained nothing. Weights reached the limit. Try a larger limit (now 1e-09)" in warning["text"]
    assert warning["text"].endswith("\nIt is in force all the same; Undo takes it back.")
    (shown,) = lens.editor.state["edits"]
    assert (shown["took"], shown["shares"]) == (False, summary_of(edit.facts, edit.taken))
    json.dumps(lens.editor.state)
    undo(lens)
    assert lens.session.wait(30)
    assert lens.editor.state["warning"] is None


@pytest.mark.parametrize("took", [True, None])
def test_of_an_edit_that_took_or_may_have_the_page_is_not_warned(lens: fl.Lens, took: bool | None) -> None:
    edit = quick_edit(lens.session.model, "Rome")
    taken = (replace(edit.taken[0], leads=True, advice=""),) if took else ()
    lens.session.model.apply(replace(edit, taken=taken))
    assert lens.session.wait(30)
    (shown,) = lens.editor.state["edits"]
    assert shown["took"] is took
    assert shown["shares"].startswith("took 1 of 1: p(Rome) ") if took else shown["shares"] == ""
    assert lens.editor.state["warning"] is None


def test_a_new_object_is_spelt_while_it_is_written(lens: fl.Lens) -> None:
    assert lens.editor.state["target_tokens"]["text"] == "Seattle"  # the one proposed
    gesture(lens, "spell", target="an object that nobody has written about before")
    found = lens.editor.state["target_tokens"]
    _, ids = lens.session.model.encode_option(FACT.prompt, found["text"])
    assert found["count"] == len(ids) > len(found["pieces"]) == MOST_PIECES
    assert found["pieces"] == [lens.session.model.token(i) for i in ids[:MOST_PIECES]]
    assert lens.target == "Seattle"  # writing is not applying
    gesture(lens, "spell", target="  ")
    nothing = {"text": "  ", "pieces": [], "count": 0, "exactly": False, "why": "", "notices": []}
    assert lens.editor.state["target_tokens"] == nothing
    lens.target = "Rome"
    assert lens.editor.state["target_tokens"]["text"] == "Rome"
    assert lens.error is None


def test_the_stack_from_the_page(lens: fl.Lens, tmp_path: Path) -> None:
    gesture(lens, "method", method="ft")
    assert lens.method == "ft"
    assert [knob["name"] for knob in lens.editor.state["knobs"]] == ["steps", "learning_rate"]
    weights = {name: value.clone() for name, value in lens.session.model.model.state_dict().items()}
    for target, layer in (("Rome", 1), ("Oslo", 3)):
        gesture(lens, "apply", target=target, layer=layer, settings=QUICK)
        assert lens.session.wait(60)
        assert lens.error is None
    assert [edit.hparams["steps"] for edit in lens.edits] == [2, 2]
    first, second = lens.editor.state["edits"]
    assert [first["layers"], second["layers"]] == [[1], [3]]

    sent: list[tuple[dict, object]] = []
    lens.gestures.send = lambda content, buffers=None: sent.append((content, buffers))
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 1, "name": "save", "key": first["key"]}, [])
    (_, _), (content, (data,)) = sent
    assert content == {"type": "file", "name": "Eiffel-Tower---Rome.safetensors"}
    (tmp_path / "e.safetensors").write_bytes(data)
    assert str(fl.Edit.load(tmp_path / "e.safetensors")) == str(lens.edits[0])

    gesture(lens, "drop", key=first["key"])
    assert lens.session.wait(30)
    assert [edit["key"] for edit in lens.editor.state["edits"]] == [second["key"]]
    undo(lens)
    assert lens.session.wait(30)
    assert lens.editor.state["redo"] == {"key": second["key"], "label": "Eiffel Tower → Oslo"}
    assert all(torch.equal(value, weights[name]) for name, value in lens.session.model.model.state_dict().items())
    gesture(lens, "redo", key=lens.editor.state["redo"]["key"])
    assert lens.session.wait(30)
    assert [edit.label for edit in lens.edits] == ["Eiffel Tower → Oslo"]
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 2, "name": "load"}, [memoryview(data)])
    assert lens.session.wait(30)
    assert lens.error is None
    assert [edit.label for edit in lens.edits] == ["Eiffel Tower → Oslo", "Eiffel Tower → Rome"]
    # What came from the file is the edit that was dropped, so its name is that of the first.
    assert [edit["key"] for edit in lens.editor.state["edits"]] == [second["key"], first["key"]]
    gesture(lens, "drop", key=first["key"])
    assert lens.session.wait(30)
    gesture(lens, "drop", key=first["key"])
    assert "this lens has undone it" in lens.error["text"]
    assert [edit.label for edit in lens.edits] == ["Eiffel Tower → Oslo"]


def test_a_method_that_spreads_over_layers_ends_at_the_chosen_one(lens: fl.Lens) -> None:
    lens.method = "memit"
    count = len(lens.session.layers_up_to(4))
    assert lens.editor.state["edit_layers"] == list(lens.session.edit_layers)
    assert lens.session.layers_up_to(4) == tuple(range(5 - count, 5))
    lens.method = "rome"
    assert lens.session.layers_up_to(4) == (4,)
    with pytest.raises(TraitError, match="rome"):
        lens.method = "romme"
    assert lens.method == "rome"


def test_the_heatmap_says_what_the_chosen_method_would_edit() -> None:
    lens = fl.Lens(fl.load("atlas"), fl.Fact("{} is in downtown", "The Space Needle"))
    lens.start()
    assert lens.session.wait(60)
    gesture(lens, "select", kind="attn", token=2, layer=4)
    assert lens.heatmap.edit == {"method": "ROME", "layers": [4]}
    gesture(lens, "method", method="memit")
    assert lens.heatmap.edit == {"method": "MEMIT", "layers": [2, 3, 4]}
    gesture(lens, "select", kind="mlp", token=2, layer=1)
    assert lens.heatmap.edit == {"method": "MEMIT", "layers": [0, 1]}
    lens.close()
