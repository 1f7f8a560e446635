"""Threads and references: a thread while there is work, and nothing that is left behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

import factlens as fl
from factlens.session import Session, locating
from tests.editing.made import FACT
from tests.support import small_model


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
