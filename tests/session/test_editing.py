"""Editing in a session: at the selected layer, undone, stopped, or refused."""

from __future__ import annotations

import pytest
import torch

import factlens as fl
from factlens.session import Session, editing
from tests.editing.made import FACT


def test_an_edit_applies_at_the_selected_layer_and_is_undone(session: Session) -> None:
    before = session.model.next_token(FACT.prompt)
    session.start_trace()
    session.wait(20)
    session.select("mlp", 1, 3)
    assert session.edit_layer == 3
    session.start_edit("Seattle")
    assert session.wait(60)
    assert session.error is None
    (edit,) = session.edits
    assert edit.layers == (3,)
    assert session.fact.target == "Seattle"
    texts = [text for text, _, _ in session.comparison]
    assert len(texts) == len(set(texts)) >= 5
    assert any(old != new for _, old, new in session.comparison)
    session.start_undo()
    assert session.wait(20)
    assert session.edits == ()
    assert torch.equal(session.model.next_token(FACT.prompt), before)
    assert all(old == new for _, old, new in session.comparison)


@pytest.mark.parametrize(
    ("target", "layer", "message"),
    [("", None, "new object is empty"), ("Rome", 99, "no layer 99"), ("Rome", "two", "no layer 'two'")],
)
def test_bad_edits_change_nothing(session: Session, target: str, layer: object, message: str) -> None:
    session.start_edit(target, layer)
    session.wait(20)
    assert message in session.error["text"]
    assert session.error["place"] == "edit"
    assert session.model.edits == ()


def test_a_target_that_is_the_answer_already(atlas: fl.Model) -> None:
    session = Session(atlas, fl.Fact("{} is in downtown", "The Space Needle"))
    session.start_edit("Seattle")
    session.wait(20)
    assert "already answers" in session.error["text"]
    assert session.model.edits == ()
    session.close()


def test_undo_without_an_edit(session: Session) -> None:
    session.start_undo()
    assert "nothing to undo" in session.error["text"]


def test_stopping_an_edit_changes_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    real = editing.quiet_edit

    def stopped_edit(*args, stop, **kwargs):
        session.stop()
        return real(*args, stop=stop, **kwargs)

    monkeypatch.setattr(editing, "quiet_edit", stopped_edit)
    session.start_edit("Rome")
    assert session.wait(60)
    assert session.model.edits == ()
    assert session.error is None
    assert session.status == "idle"
