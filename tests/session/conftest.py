"""Sessions for these tests: alone, slow to trace, and two on one model."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from factlens.session import Session, locating
from tests.editing.made import FACT
from tests.session.reads import Reads
from tests.session.world import World
from tests.support import small_model


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for session in world.sessions:
        session.close()


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(small_model("gpt2"), FACT)
    yield session
    session.close()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Make every step of a trace wait until the event is set."""
    go, real = threading.Event(), locating.stream

    def stream(*args, **kwargs):
        for update in real(*args, **kwargs):
            yield update
            go.wait(10)

    monkeypatch.setattr(locating, "stream", stream)
    return go


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    reads = Reads()
    monkeypatch.setattr(locating, "read_details", reads)
    return reads
