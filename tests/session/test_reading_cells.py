"""The selected cell is read between other jobs: the last one that is wanted, and nothing waits for it."""

from __future__ import annotations

import threading
import time

from factlens.session import Session
from tests.session.reads import Reads, until
from tests.support import other_thread_has


def test_a_selected_cell_is_read(session: Session, reads: Reads) -> None:
    session.start_trace()
    assert session.wait(20)
    assert (session.details, session.reading) == (None, False)
    reads.go.clear()
    began = time.monotonic()
    session.select("mlp", 1, 3)
    assert time.monotonic() - began < 0.5, "a gesture returns at once"
    until(lambda: reads.cells)
    assert (session.details, session.reading, session.status) == (None, True, "idle")
    assert not session.wait(0.05), "a read is work, too"
    reads.go.set()
    assert session.wait(5)
    assert (session.details, session.reading) == ({"cell": ("mlp", 1, 3)}, False)
    assert reads.threads == {"factlens-session"}
    session.selection = None
    assert (session.details, session.reading) == (None, False)


def test_of_many_selections_only_the_first_and_the_last_are_read(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    seen: list[object] = []
    session.observe(lambda change: seen.append(change.new), "details")
    reads.go.clear()
    session.select("mlp", 1, 0)
    until(lambda: reads.cells)
    for token in range(5):
        for layer in range(4):
            session.select("state", token, layer)
    reads.go.set()
    assert session.wait(5)
    assert reads.cells == [("mlp", 1, 0), ("state", 4, 3)]
    assert seen == [{"cell": ("state", 4, 3)}], "what was read in vain is not shown"


def test_nothing_is_read_while_a_trace_is_computed(session: Session, slow: threading.Event, reads: Reads) -> None:
    session.start_trace()
    until(lambda: session.trace is not None)
    session.select("mlp", 1, 0)
    session.select("mlp", 1, 2)
    assert (reads.cells, session.reading) == ([], False)
    session.stop()
    slow.set()
    assert session.wait(10)
    assert session.stopped
    assert reads.cells == [("mlp", 1, 2)], "a stopped trace is read as a complete one is"
    assert session.details == {"cell": ("mlp", 1, 2)}


def test_a_new_trace_does_not_wait_for_a_read_that_nobody_wants(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    with other_thread_has(session.model):
        session.select("mlp", 1, 0)
        assert session.reading
        session.start_trace()
        assert not session.reading
    assert session.wait(20)
    assert reads.cells == []
    assert session.selection is None


def test_a_cell_that_cannot_be_read_loses_nothing(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    trace = session.trace
    session.select("mlp", 1, 4)
    assert session.wait(5)
    assert session.error == {
        "title": "This cell could not be read",
        "text": "It cannot be read.",
        "place": "details",
    }
    assert (session.trace, session.selection["layer"], session.details) == (trace, 4, None)
    assert (session.status, session.reading) == ("idle", False)
    session.select("mlp", 1, 4)
    assert session.wait(5)
    assert len(reads.cells) == 2, "chosen again, it is tried again"
    session.select("mlp", 1, 3)
    assert session.wait(5)
    assert (session.error, session.details) == (None, {"cell": ("mlp", 1, 3)})
    session.select("mlp", 1, 3)
    assert session.wait(5)
    assert len(reads.cells) == 3, "what was read need not be read again"


def test_an_error_of_a_read_that_nobody_wants_is_no_news(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    reads.go.clear()
    session.select("mlp", 1, 4)
    until(lambda: reads.cells)
    session.select("mlp", 1, 3)
    reads.go.set()
    assert session.wait(5)
    assert (session.error, session.details) == (None, {"cell": ("mlp", 1, 3)})


def test_what_was_read_stays_when_the_weights_are_edited(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    session.select("mlp", 1, 3)
    session.wait(5)
    session.start_edit("Seattle")
    assert session.wait(60)
    assert session.edits
    assert reads.cells == [("mlp", 1, 3)]
    assert session.details == {"cell": ("mlp", 1, 3)}


def test_a_cell_of_an_outdated_trace_is_selected_but_not_read(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    session.start_edit("Seattle")
    session.wait(60)
    assert session.outdated
    session.select("mlp", 1, 3)
    assert session.wait(5)
    assert (session.edit_layer, session.details, session.error, reads.cells) == (3, None, None, [])
    session.start_undo()
    assert session.wait(20)
    assert not session.outdated
    assert session.details == {"cell": ("mlp", 1, 3)}, "the weights are the traced ones again"


def test_an_edit_waits_for_the_read_before_it(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    reads.go.clear()
    session.select("mlp", 1, 3)
    session.start_edit("Seattle")
    assert (session.status, session.reading) == ("queued", True)
    reads.go.set()
    assert session.wait(60)
    assert session.edits
    assert session.details == {"cell": ("mlp", 1, 3)}


def test_closing_gives_up_a_read_that_waits_for_the_model(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    with other_thread_has(session.model):
        session.select("mlp", 1, 0)
        worker = session.worker.thread
        session.close()
        worker.join(2)
        assert not worker.is_alive()
    assert reads.cells == []
