"""The kernel's interrupt and blocks that hold it: not lost, not early, and by the main thread only."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from factlens.models.interrupts import interruption_point, interrupts_held
from tests.tracing.faults import Boom, press


def test_a_held_interrupt_waits_for_the_end_of_the_block() -> None:
    steps = []

    def work(last: Callable[[], None]) -> None:
        with interrupts_held() as asked:
            steps.append(asked.is_set())
            press()
            steps.append(asked.is_set())
            last()
            steps.append("the rest")
        steps.append("after it")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        work(lambda: None)
    assert steps == [False, True, "the rest"]
    steps.clear()
    with pytest.raises(KeyboardInterrupt):
        work(interruption_point)
    assert steps == [False, True], "or for a place where it may strike"
    steps.clear()
    with pytest.raises(KeyboardInterrupt):
        work(press)
    assert steps == [False, True], "a second one does not wait"
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupts_are_held_by_the_outermost_block() -> None:
    steps = []

    def work() -> None:
        with interrupts_held():
            with interrupts_held():
                press()
                steps.append("inner")
            steps.append("outer")
        steps.append("after it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["inner", "outer"]
    interruption_point()  # nothing is left waiting


def test_a_block_that_fails_still_delivers_the_interrupt() -> None:
    def work() -> None:
        with interrupts_held():
            press()
            raise Boom

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, Boom)


def test_interrupts_are_held_for_the_main_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []

    def work() -> None:
        before = signal.getsignal(signal.SIGINT)
        with interrupts_held() as asked:
            found.append(signal.getsignal(signal.SIGINT) is before)
            interruption_point()
            found.append(asked.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert found == [True, False]
    # Nor where the signal is ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held():
            press()
        interruption_point()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
