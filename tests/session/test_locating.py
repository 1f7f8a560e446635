"""Tracing in a session: it fills while it is computed, is stopped, and says which cells there are."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import factlens as fl
from factlens.session import Session
from tests.editing.made import FACT
from tests.session.reads import until


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


def test_the_answers_are_those_of_the_fact_that_is_traced(session: Session, slow: threading.Event) -> None:
    slow.set()
    session.start_trace()
    assert session.wait(20)
    before = session.comparison
    other = fl.Fact("The {} is", "Louvre")
    best = session.model.next_token(other.prompt)  # now: later the trace has the model to itself
    slow.clear()
    session.start_trace(other.prompt, other.subject)
    until(lambda: session.fact.prompt == other.prompt)
    assert session.status == "tracing"
    assert session.comparison != before  # with the first cells, not at the end, which Stop may never let come
    assert session.comparison[0][2] == pytest.approx(float(best.max()))
    session.stop()
    slow.set()
    assert session.wait(20)
    assert session.comparison[0][2] == pytest.approx(float(best.max()))


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


@pytest.mark.parametrize(("kind", "token", "layer"), [("no", 1, 1), ("mlp", 99, 1), ("mlp", 1, 99), ("mlp", "1", 1)])
def test_cells_that_do_not_exist_cannot_be_selected(session: Session, kind: str, token: object, layer: object) -> None:
    session.start_trace()
    session.wait(20)
    session.select("state", 0, 0)
    session.select(kind, token, layer)
    assert session.error is not None
    assert session.selection == {"kind": "state", "token": 0, "layer": 0}


def test_any_kind_of_the_trace_can_be_selected_and_no_other(session: Session) -> None:
    session.trace = fl.trace(session.model, FACT, kinds=("severed_mlp", "head.1"), samples=2)
    assert session.select("head.1", 1, 2)
    assert session.selection == {"kind": "head.1", "token": 1, "layer": 2}
    assert session.select("severed_mlp", 1, 2)
    assert not session.select("mlp", 1, 2)
    assert "there are severed_mlp, head.1" in session.error["text"]
    assert session.selection["kind"] == "severed_mlp"
