"""Weights that others have changed behind the stack: said in every session, and settled from any."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from factlens.errors import WeightsChanged
from tests.session.world import World

WAYS: dict[str, tuple[Callable[[World], object], bool]] = {
    "kept here": (lambda world: world.first.start_keep(), True),
    "kept in another lens": (lambda world: world.second.start_keep(), True),
    "kept in a cell": (lambda world: world.model.keep_changes(), True),
    "reverted here": (lambda world: world.first.start_revert(), False),
    "reverted in another lens": (lambda world: world.second.start_revert(), False),
    "reverted by another wrapper": (lambda world: world.again.revert_changes(), False),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("found", ["trace", "undo", "judge", "answers"])
def test_a_foreign_change_is_said_and_settled(world: World, found: str, way: str) -> None:
    settle, kept = WAYS[way]
    for session in world.sessions:
        session.start_trace()
    world.settle()
    world.model.apply(world.made[0])
    world.settle()
    weight = world.model.down_projection(1).weight
    ours = weight.detach().clone()
    weight.data.mul_(1.25)
    theirs = weight.detach().clone()
    for session in world.sessions:
        if found == "answers":
            # An edit elsewhere is applied all the same, and the answers that follow find the change.
            session._weights_changed()
        else:
            session.answers_due = True  # which is not tried before it is settled: it would say the same again
            {"trace": session.start_trace, "undo": session.start_undo, "judge": session.start_judge}[found]()
        world.settle()
        assert session.error["place"] == {"trace": "locate", "judge": "judge"}.get(found, "edit")
        assert ("answers" in session.error["title"]) == (found == "answers")
        assert isinstance(session.last_error, WeightsChanged)
        assert session.foreign["parameters"] == ["transformer.h.1.mlp.c_proj.weight"]
        assert "model.keep_changes()" in session.foreign["text"]
    assert torch.equal(weight, theirs), "nothing was written"
    assert world.model.edits == (world.made[0],)
    settle(world)
    world.settle()
    assert torch.equal(weight, theirs if kept else ours)
    assert world.model.edits == (() if kept else (world.made[0],))
    for session in world.sessions:
        assert session.foreign is None
        assert session.error is None
    world.as_it_is()
    if kept:
        world.first.start_undo(world.made[0].id)
        assert "Python" in world.first.error["text"] or "lens" in world.first.error["text"]
        assert "has kept a change of the weights" in world.first.error["text"]


def test_a_foreign_change_that_is_gone_is_no_news_any_more(world: World) -> None:
    session = world.first
    world.model.apply(world.made[0])
    world.settle()
    weight = world.model.down_projection(1).weight
    ours = weight.detach().clone()
    weight.data.mul_(1.25)
    session.start_trace()
    world.settle()
    assert session.foreign
    weight.data.copy_(ours)
    session.start_trace()
    world.settle()
    assert session.foreign is None
    assert session.trace.complete
    session.start_keep()
    assert "That is settled" in session.error["text"]
    assert world.model.edits == (world.made[0],)
