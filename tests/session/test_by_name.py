"""A gesture is about the edit that it names, whatever others do before it or while it waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.session.world import World

#: What others do between what the page shows and what it asks for; then what a gesture about the edit in the middle of
#: it finds, by the words of its error, or None where it is done.
RACES: dict[str, tuple[Callable[[World], object], dict[str, str | None]]] = {
    "nothing": (lambda world: None, {"undo": None, "drop": None, "save": None}),
    "undone in a cell": (
        lambda world: world.model.undo(),
        dict.fromkeys(("undo", "drop", "save"), "not in force any more: Python has undone it"),
    ),
    "undone by another wrapper": (
        lambda world: world.again.undo(),
        dict.fromkeys(("undo", "drop", "save"), "not in force any more: Python has undone it"),
    ),
    "undone by another lens": (
        lambda world: world.again.undo(origin=world.second.origin),
        dict.fromkeys(("undo", "drop", "save"), "not in force any more: another lens has undone it"),
    ),
    "cleared": (
        lambda world: world.model.clear(),
        dict.fromkeys(("undo", "drop", "save"), "not in force any more: Python has taken it out"),
    ),
    "replaced": (
        lambda world: world.model.set_edits([world.made[3]]),
        dict.fromkeys(("undo", "drop", "save"), "not in force any more: Python has taken it out"),
    ),
    "another on top": (
        lambda world: world.again.apply(world.made[3], origin=world.second.origin),
        {
            "undo": "not the newest edit any more: another lens has applied “Eiffel Tower → Lima” after it",
            "drop": None,
            "save": None,
        },
    ),
    "reordered": (
        lambda world: world.model.reorder(world.model.edits[::-1]),
        {"undo": "not the newest edit any more", "drop": None, "save": None},
    ),
    "undone and back again": (
        lambda world: (world.model.undo(), world.again.redo()),
        {"undo": None, "drop": None, "save": None},
    ),
    "the one below undone": (
        lambda world: world.model.undo(world.made[0]),
        {"undo": None, "drop": None, "save": None},
    ),
}


@pytest.mark.parametrize("when", ["before the gesture", "before the job"])
@pytest.mark.parametrize("gesture", ["undo", "drop", "save"])
@pytest.mark.parametrize("race", RACES)
def test_a_gesture_is_about_the_edit_that_it_names(world: World, race: str, gesture: str, when: str) -> None:
    session, (below, meant, *_) = world.first, world.made
    meddle, expected = RACES[race]
    for edit in (below, meant):
        world.model.apply(edit)
    world.settle()

    def ask() -> None:
        if gesture == "save":
            with session.reporting("edit", "Not saved"):
                _, data = session.saved(meant.id)
                assert b"Eiffel Tower" in data
        else:
            {"undo": session.start_undo, "drop": session.start_drop}[gesture](meant.id)

    if when == "before the gesture" or gesture == "save":  # which is done at once
        meddle(world)
        after = world.model.edits
        ask()
    else:
        with world.model.exclusive():
            ask()
            assert session.status == "queued"
            meddle(world)
            after = world.model.edits
    world.as_it_is()
    words = expected[gesture]
    if words is None:
        assert session.error is None
        gone = () if gesture == "save" else (meant,)
        assert world.model.edits == tuple(edit for edit in after if edit not in gone)
    else:
        assert words in session.error["text"]
        assert "The list shows what is in force now" in session.error["text"]
        assert "Eiffel Tower → Oslo" in session.error["text"]
        assert session.error["place"] == "edit"
        assert world.model.edits == after, "nothing else was taken out in its place"


REDO_RACES: dict[str, tuple[Callable[[World], object], str | None]] = {
    "nothing": (lambda world: None, None),
    "redone in a cell": (lambda world: world.model.redo(), "in force again already"),
    "another undone": (lambda world: world.again.undo(), "would put back “Eiffel Tower → Rome” now"),
    "another applied": (lambda world: world.again.apply(world.made[2]), "nothing to redo any more"),
    "redone and undone": (lambda world: (world.model.redo(), world.again.undo()), None),
}


@pytest.mark.parametrize("when", ["before the gesture", "before the job"])
@pytest.mark.parametrize("race", REDO_RACES)
def test_redo_puts_back_the_edit_that_it_names(world: World, race: str, when: str) -> None:
    session, (below, meant, *_) = world.first, world.made
    meddle, words = REDO_RACES[race]
    for edit in (below, meant):
        world.model.apply(edit)
    world.model.undo()
    world.settle()
    if when == "before the gesture":
        meddle(world)
        after = world.model.edits
        session.start_redo(meant.id)
    else:
        with world.model.exclusive():
            session.start_redo(meant.id)
            meddle(world)
            after = world.model.edits
    world.as_it_is()
    if words is None:
        assert session.error is None
        assert world.model.edits == (below, meant)
    else:
        assert words in session.error["text"]
        assert world.model.edits == after


def test_two_lenses_that_undo_the_same_edit_undo_it_once(world: World) -> None:
    for edit in world.made[:2]:
        world.model.apply(edit)
    world.settle()
    with world.model.exclusive():
        for session in world.sessions:
            session.start_undo()
    world.as_it_is()
    assert world.model.edits == (world.made[0],), "and not the one below in its place"
    errors = [session.error["text"] for session in world.sessions if session.error]
    assert len(errors) == 1
    assert "another lens has undone it" in errors[0]


def test_the_origin_of_everything_that_a_lens_does(world: World, tmp_path: Path) -> None:
    session, (edit, other, *_) = world.first, world.made
    session.choose_method("ft")
    session.start_edit("Rome", 2, {"steps": 1})
    world.settle()
    session.start_load(other.save(tmp_path / "e").read_bytes())
    world.settle()
    session.start_edits((*session.edits, edit))
    world.settle()
    world.model.undo()
    session.start_redo()
    world.settle()
    assert session.origins == (session.origin,) * 3
    heard: list[str | None] = []
    world.model.listen(lambda event: heard.append(event.origin))
    session.start_drop(other.id)
    world.settle()
    session.start_undo()
    world.settle()
    session.start_edits(())
    world.settle()
    assert heard == [session.origin] * 3
