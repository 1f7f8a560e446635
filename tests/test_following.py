"""Two sessions, a cell and a second wrapper on one model: all show the same, and undo exactly what they name."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import factlens as fl
from factlens.errors import Busy, WeightsChanged
from factlens.models.belonging import ids_of
from factlens.models.weights import WeightEdit
from factlens.session import Session, locating
from tests.support import other_thread_has, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")
TARGETS = ("Rome", "Oslo", "Cairo", "Lima")


class World:
    """One Hugging Face model, two wrappers of it, and a session on each."""

    def __init__(self) -> None:
        self.model = small_model("gpt2")
        self.again = fl.wrap(self.model.model, self.model.tokenizer)
        self.first, self.second = Session(self.model, FACT), Session(self.again, FACT)
        self.sessions = (self.first, self.second)
        options = {"method": "ft", "layers": 1, "steps": 3, "learning_rate": 0.02, "apply": False}
        self.made = [fl.edit(self.model, FACT.with_target(target), **options) for target in TARGETS]

    def settle(self) -> None:
        for session in self.sessions:
            assert session.wait(30)

    def as_it_is(self) -> None:
        """Every session shows what there is."""
        self.settle()
        model = self.model
        with model.unedited():
            before = model.next_token(FACT.prompt)
        after = model.next_token(FACT.prompt)
        for session in self.sessions:
            assert ids_of(session.edits) == model.edit_ids
            assert ids_of(session.undone) == ids_of(model.undone)
            assert session.origins == tuple(map(model.origin_of, model.edits))
            assert session.base == model.known_fingerprint
            if session.trace is not None:
                traced = (session.trace.fingerprint, session.trace.edit_ids)
                assert session.outdated == (traced != (model.fingerprint, model.edit_ids))
            if session.comparison:
                assert not session.answers_due
                for old, new, text in ((old, new, text) for text, old, new in session.comparison):
                    (i,) = [i for i in range(len(after)) if model.token(i) == text and float(after[i]) == new]
                    assert float(before[i]) == old


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for session in world.sessions:
        session.close()


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


@pytest.mark.parametrize("order", list(itertools.permutations(ACTORS)), ids=" then ".join)
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


# By name -------------------------------------------------------------------------------------------------------------

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


# Foreign changes -----------------------------------------------------------------------------------------------------

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


# Threads and references ----------------------------------------------------------------------------------------------


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "factlens-session"]


def test_ten_sessions_and_no_thread() -> None:
    model = small_model("gpt2")
    edit = fl.edit(model, FACT, method="ft", layers=1, steps=1, apply=False)
    sessions = [Session(model, FACT) for _ in range(10)]
    assert threads() == []
    for session in sessions:
        session.start_trace()
    for session in sessions:
        assert session.wait(60)
    assert threads() == []
    model.apply(edit)
    for session in sessions:
        assert session.wait(60)
        assert session.edits == (edit,)
        assert not session.answers_due
    assert threads() == []
    with model.exclusive():
        sessions[0].start_trace()
        assert threads() == ["factlens-session"]
    for session in sessions:
        session.close()
    assert threads() == []


def test_a_session_that_is_forgotten_is_gone_without_being_closed() -> None:
    model = small_model("gpt2")
    session = Session(model, FACT)
    session.start_trace()
    assert session.wait(30)
    gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None
    fl.edit(model, FACT, method="ft", layers=1, steps=1)
    assert model._record._listeners == {}


def test_closing_waits_for_the_step_that_runs_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    go, real = threading.Event(), locating.stream

    def stubborn(*args: object, **options: object) -> Iterator[object]:
        for update in real(*args, **options):
            yield update
            go.wait(20)

    monkeypatch.setattr(locating, "stream", stubborn)
    session = Session(small_model("gpt2"), FACT)
    model, worker = weakref.ref(session.model), None
    told = threading.Event()
    session.observe(lambda _change: told.set(), "trace")
    session.start_trace()
    assert told.wait(20)
    worker = session.worker.thread
    session.close(patience=0.2)
    assert worker.is_alive(), "it is in the middle of a step"
    assert model() is not None
    trace = session.trace
    go.set()
    worker.join(10)
    assert threads() == []
    gc.collect()
    assert model() is None
    assert session.trace is trace
    assert session.status == "idle"


@pytest.mark.parametrize("where", ["the worker", "whoever has the gate", "whoever has the model"])
def test_closing_from_within_waits_for_nothing(where: str) -> None:
    model = small_model("gpt2")
    session = Session(model, FACT)
    taken = []

    def close() -> None:
        began = time.monotonic()
        session.close(patience=30)
        taken.append(time.monotonic() - began)

    if where == "the worker":
        session.observe(lambda _change: close(), "frame")
        session.start_trace()
    elif where == "whoever has the gate":
        session.start_trace()
        with session.gate:
            close()
    else:
        with model.exclusive():
            session.start_trace()
            close()
    assert session.wait(20)
    assert max(taken) < 10
    assert session.error is None
    assert session.closed
    assert threads() == []


def test_busy_is_still_refused(world: World) -> None:
    with world.model.exclusive():
        world.first.start_trace()
        for start in (world.first.start_keep, world.first.start_revert, lambda: world.first.start_undo("0")):
            start()
            assert isinstance(world.first.last_error, Busy)
    world.settle()


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
