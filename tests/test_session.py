"""A session without a view: gestures return at once, work happens on one thread, errors are state."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import factlens as fl
from factlens import session as module
from factlens.session import Session
from tests.support import small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(small_model("gpt2"), FACT)
    yield session
    session.close()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Make every step of a trace wait until the event is set."""
    go, real = threading.Event(), module.stream

    def stream(*args, **kwargs):
        for update in real(*args, **kwargs):
            yield update
            go.wait(10)

    monkeypatch.setattr(module, "stream", stream)
    return go


def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_a_trace_fills_while_it_is_computed(session: Session, slow: threading.Event) -> None:
    frames = []
    session.observe(lambda change: frames.append((change.new, threading.current_thread().name)), "frame")
    began = time.monotonic()
    session.start_trace()
    assert time.monotonic() - began < 0.5, "a gesture returns at once"
    until(lambda: session.trace is not None)
    assert session.status == "tracing"
    assert not session.trace.complete
    assert session.trace.high > 0
    slow.set()
    assert session.wait(20)
    assert session.trace.complete
    assert (session.status, session.stopped, session.error) == ("idle", False, None)
    assert {name for _, name in frames} == {"factlens-session"}
    expected = fl.trace(session.model, FACT)
    np.testing.assert_array_equal(session.trace.samples.values, expected.samples.values)


def test_stop_keeps_the_partial_grid(session: Session, slow: threading.Event) -> None:
    session.start_trace()
    until(lambda: session.trace is not None)
    session.stop()
    assert session.status == "stopping"
    slow.set()
    assert session.wait(5)
    assert session.stopped
    assert not session.trace.complete
    assert np.isfinite(session.trace.samples.values).any()
    assert session.error is None
    session.start_trace()
    assert session.wait(20)
    assert session.trace.complete
    assert not session.stopped


def test_a_second_trace_is_refused_and_the_first_goes_on(session: Session, slow: threading.Event) -> None:
    session.start_trace()
    until(lambda: session.trace is not None)
    for gesture in (session.start_trace, session.start_edit, session.start_undo):
        gesture()
        assert "Press Stop" in session.error["text"]
    slow.set()
    assert session.wait(20)
    assert session.trace.complete
    assert session.model.edits == ()


@pytest.mark.parametrize(
    ("prompt", "subject", "message"),
    [
        ("", "Rome", "prompt is empty"),
        ("Rome is", "", "subject is empty"),
        ("Rome is", "Paris", "'Paris' is not in the prompt"),
        ("Rome " * 100, "Rome", "at most 64"),
    ],
)
def test_bad_facts_lose_nothing(session: Session, prompt: str, subject: str, message: str) -> None:
    session.start_trace()
    assert session.wait(20)
    trace = session.trace
    session.select("mlp", 2, 3)
    session.start_trace(prompt, subject)
    assert message in session.error["text"]
    assert session.error["place"] == "locate"
    assert isinstance(session.last_error, fl.FactlensError)
    assert (session.trace, session.fact, session.selection["layer"], session.status) == (trace, FACT, 3, "idle")
    session.start_trace()
    assert session.error is None
    assert session.wait(20)


def test_nan_becomes_an_error_and_the_session_lives(session: Session) -> None:
    weight = session.model.blocks[2].ln_1.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float("nan"))
    session.start_trace()
    assert session.wait(20)
    assert "NaN" in session.error["text"]
    with torch.no_grad():
        weight.copy_(kept)
    session.start_trace()
    assert session.wait(20)
    assert session.trace.complete


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
    real = module.make_edit

    def stopped_edit(*args, stop, **kwargs):
        session.stop()
        return real(*args, stop=stop, **kwargs)

    monkeypatch.setattr(module, "make_edit", stopped_edit)
    session.start_edit("Rome")
    assert session.wait(60)
    assert session.model.edits == ()
    assert session.error is None
    assert session.status == "idle"


@pytest.mark.parametrize(("kind", "token", "layer"), [("no", 1, 1), ("mlp", 99, 1), ("mlp", 1, 99), ("mlp", "1", 1)])
def test_cells_that_do_not_exist_cannot_be_selected(session: Session, kind: str, token: object, layer: object) -> None:
    session.start_trace()
    session.wait(20)
    session.select("state", 0, 0)
    session.select(kind, token, layer)
    assert session.error is not None
    assert session.selection == {"kind": "state", "token": 0, "layer": 0}


def test_two_sessions_on_one_model_take_turns(slow: threading.Event) -> None:
    model = small_model("gpt2")
    first, second = Session(model, FACT), Session(model, FACT)
    first.start_trace()
    until(lambda: first.status == "tracing")
    second.start_trace()
    time.sleep(0.2)
    assert second.status == "queued"
    assert second.message == "waiting for the model"
    second.stop()
    assert second.wait(2), "stop works while waiting for the model"
    assert second.trace is None
    second.start_trace()
    slow.set()
    assert first.wait(20)
    assert second.wait(20)
    np.testing.assert_array_equal(first.trace.samples.values, second.trace.samples.values)
    first.close()
    second.close()


def test_closing_ends_the_thread(session: Session, slow: threading.Event) -> None:
    session.start_trace()
    until(lambda: session.trace is not None)
    worker = session._worker
    session.close()
    slow.set()
    worker.join(5)
    assert not worker.is_alive()
