"""Two sessions, a cell and a second wrapper on one model: all show the same, and undo exactly what they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import factlens as fl
from factlens.errors import Busy
from factlens.models.belonging import ids_of
from factlens.models.weights import WeightEdit
from factlens.session import Session
from tests.editing.made import FACT
from tests.session.world import World
from tests.support import other_thread_has


def in_lens(session: Session, start: Callable[[], object]) -> None:
    start()
    assert session.wait(30)
    assert session.error is None


#: Who may do something, and how: an edit on top, then what else there is to do.
ACTORS: dict[str, Callable[[World, str, fl.Edit | None], object]] = {
    "this lens": lambda world, what, edit: in_lens(world.first, lambda: lens_does(world.first, what, edit)),
    "another lens": lambda world, what, edit: in_lens(world.second, lambda: lens_does(world.second, what, edit)),
    "a cell": lambda world, what, edit: cell_does(world.model, what, edit),
    "another wrapper": lambda world, what, edit: cell_does(world.again, what, edit),
}

SAID = {"this lens": "this lens", "another lens": "another lens", "a cell": "Python", "another wrapper": "Python"}


def lens_does(session: Session, what: str, edit: fl.Edit | None) -> None:
    if what == "apply":
        session.start_edits((*session.edits, edit))
    elif what == "drop":
        session.start_drop(edit.id)
    elif what == "clear":
        session.start_edits(())
    else:
        {"undo": session.start_undo, "redo": session.start_redo}[what]()


def cell_does(model: fl.Model, what: str, edit: fl.Edit | None) -> None:
    getattr(model, what)(*[] if edit is None else [edit])


#: Everybody in every place, and right after everybody else, twice: two balanced Latin squares.
ROWS = ("0132", "1203", "2310", "3021", "0213", "2301", "3120", "1032")
ORDERS = [tuple(list(ACTORS)[int(i)] for i in row) for row in ROWS]


@pytest.mark.parametrize("order", ORDERS, ids=" then ".join)
def test_everybody_sees_what_anybody_does(world: World, order: tuple[str, ...]) -> None:
    world.first.start_trace()
    world.settle()
    for actor, edit in zip(order, world.made, strict=True):
        ACTORS[actor](world, "apply", edit)
        world.as_it_is()
        assert world.first.comparison, "the answers follow"
    assert world.model.edits == tuple(world.made)
    said = [SAID[actor] for actor in order]
    assert [world.first.who(origin) for origin in world.first.origins] == said
    swapped = {"this lens": "another lens", "another lens": "this lens", "Python": "Python"}
    assert [world.second.who(origin) for origin in world.second.origins] == [swapped[one] for one in said]
    world.settle()
    for actor, (what, edit) in zip(
        order, [("undo", None), ("redo", None), ("drop", world.made[1]), ("clear", None)], strict=True
    ):
        ACTORS[actor](world, what, edit)
        world.as_it_is()
    assert world.model.edits == ()
    assert not world.first.outdated, "the weights are the traced ones again"


def test_what_depends_on_the_weights_follows_a_cell(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session, (edit, *_) = world.first, world.made
    session.start_trace()
    world.settle()
    session.select("mlp", 1, 3)
    world.settle()
    read = session.details
    assert read is not None
    world.model.apply(edit)
    assert session.outdated, "at once"
    assert session.answers_due
    world.settle()
    session.start_judge()
    world.settle()
    assert session.error is None
    assert not session.judged_otherwise
    session.select("mlp", 1, 2)
    world.settle()
    assert session.details is None, "a cell of other weights is not read"
    world.model.undo()
    world.settle()
    assert session.judged_otherwise
    assert session.details["layer"] == 2, "and is read once they are back"
    assert session.error is None


def test_a_lens_without_a_trace_shows_answers_once_somebody_edits(world: World) -> None:
    assert world.first.comparison == ()
    world.again.apply(world.made[0])
    world.as_it_is()
    assert world.first.comparison
    assert world.first.status == "idle"


def test_a_weight_without_edits_that_is_changed_makes_a_trace_outdated(world: World) -> None:
    world.first.start_trace()
    world.settle()
    world.model.down_projection(2).weight.data.mul_(1.5)
    fl.trace(world.again, FACT, samples=1)
    assert world.first.outdated
    world.as_it_is()
    assert world.first.outdated


def test_edits_that_were_made_by_hand_are_listed(world: World) -> None:
    class ByHand:
        def __init__(self, edit: WeightEdit) -> None:
            self.updates = edit.updates

    edit = ByHand(world.made[0])
    world.model.apply(edit)
    world.as_it_is()
    with pytest.raises(fl.FactlensError, match="made by hand"):
        world.first.saved(world.model.edit_ids[0])
    world.first.start_undo()
    world.as_it_is()
    assert world.model.edits == ()


# Busy ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("doing", ["trace", "edit", "judge", "redo", "stopped trace"])
def test_what_happens_while_a_lens_waits_for_its_turn_is_not_lost(world: World, doing: str) -> None:
    session, (first, second, *_) = world.first, world.made
    session.start_trace()
    world.settle()
    world.model.apply(first)
    world.settle()
    if doing == "redo":
        world.model.undo()
    with world.model.exclusive():
        {
            "trace": session.start_trace,
            "stopped trace": session.start_trace,
            "edit": lambda: session.start_edit("Rome", 2, {"steps": 1}),
            "judge": session.start_judge,
            "redo": session.start_redo,
        }[doing]()
        assert session.status == "queued"
        if doing == "redo":
            world.again.redo()
        else:
            world.again.apply(second)
        assert ids_of(session.edits) == world.model.edit_ids, "listed at once"
        if doing == "stopped trace":
            session.stop()
    world.as_it_is()
    if doing == "trace":
        assert session.trace.edit_ids == (first.id, second.id)
    if doing == "redo":
        assert "That edit is in force again already." in session.error["text"]
        assert world.model.edits == (first,)


@pytest.mark.parametrize("queued", [False, True])
def test_a_cell_that_waits_to_be_read_is_given_up_when_its_weights_are_gone(world: World, queued: bool) -> None:
    session = world.first
    session.start_trace()
    world.settle()
    with world.model.exclusive():
        session.select("mlp", 1, 2)
        assert session.reading
        if queued:
            session.start_edits([world.made[0]])
        world.again.apply(world.made[0])
        assert not session.reading
    world.as_it_is()
    assert (session.details, session.error) == (None, None)
    world.again.undo()
    world.as_it_is()
    assert session.details["layer"] == 2


def test_a_gesture_does_not_wait_for_answers_that_are_read_again(world: World) -> None:
    session = world.first
    session.start_trace()
    world.settle()
    with world.model.exclusive():
        world.model.apply(world.made[0])
        assert not session.wait(0.1), "the answers are work, too"
        assert session.status == "idle"
        session.start_trace()
        assert session.status == "queued"
    world.as_it_is()
    assert session.trace.edit_ids == (world.made[0].id,)


def test_a_prompt_that_cannot_be_asked_leaves_no_answers_of_another(world: World) -> None:
    session = world.first
    session.start_trace()
    world.settle()
    assert session.comparison
    embedding = world.model.embedding.weight
    kept = embedding.detach().clone()
    with torch.no_grad():
        embedding.fill_(float("nan"))
    assert world.model.fingerprint
    world.settle()
    assert session.comparison == ()
    assert session.error["title"] == "The answers were not brought up to date"
    with torch.no_grad():
        embedding.copy_(kept)
    assert world.model.fingerprint
    world.as_it_is()
    assert session.comparison


def test_a_trace_of_elsewhere_brings_answers_to_its_own_prompt(world: World) -> None:
    session, other = world.first, fl.Fact("The {} is", "Louvre")
    session.start_trace()
    world.settle()
    session.take(fl.trace(world.model, other, samples=1))
    assert session.comparison == (), "those of another prompt must not stay"
    world.settle()
    best = world.model.next_token(other.prompt)
    assert session.comparison[0][2] == float(best.max())


def test_busy_is_still_refused(world: World) -> None:
    with world.model.exclusive():
        world.first.start_trace()
        for start in (world.first.start_keep, world.first.start_revert, lambda: world.first.start_undo("0")):
            start()
            assert isinstance(world.first.last_error, Busy)
    world.settle()


# What is in force for a block only -----------------------------------------------------------------------------------


def test_a_list_does_not_follow_into_a_block(world: World, tmp_path: Path) -> None:
    session, (edit, *_) = world.first, world.made
    world.model.apply(edit)
    session.start_trace()
    world.settle()
    with other_thread_has(world.again, unedited=True):
        assert session.edits == (edit,)
        assert not session.outdated
        assert session.saved(edit.id)[0].startswith("Eiffel-Tower")
        late = Session(world.model, FACT)
        assert late.edits == (edit,)
        late.take(session.trace)
        assert not late.outdated
        session.start_judge()
        assert session.error is None
    world.settle()
    late.close()
    assert session.error is None
    assert session.judgement["edit_ids"] == [edit.id]
