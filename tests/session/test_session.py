"""A session without a view: gestures return at once, work happens on one thread, errors are state."""

from __future__ import annotations

import threading
import time

import numpy as np
import torch

from factlens.session import Session
from tests.editing.made import FACT
from tests.session.reads import until
from tests.support import small_model


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
    worker = session.worker.thread
    session.close()
    slow.set()
    worker.join(5)
    assert not worker.is_alive()
