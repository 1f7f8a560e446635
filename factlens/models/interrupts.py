"""Ending a pass half-way: by the kernel's interrupt (Ctrl-C), or by an event that another thread sets.

Python raises KeyboardInterrupt between any two steps, also between the one that puts a hook on a module and the one
that remembers to take it off again, or half-way through switching dropout back on. `factlens.models.settling` puts
everything back then, but what was computed so far would be lost. So an interrupt waits until it can do no harm: for
an `interruption_point`, of which every block of the model has one, or for the end of what holds it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, current_thread, local, main_thread
from types import FrameType
from typing import Any

from factlens.bar import beat
from factlens.errors import Interrupted


class _Hold:
    """One block that holds interrupts back."""

    def __init__(self) -> None:
        self.asked = Event()
        self.before = signal.getsignal(signal.SIGINT)

    def wait(self, number: int, frame: FrameType | None) -> None:
        """Take note of an interrupt; who interrupts twice does not want to wait."""
        if self.asked.is_set():
            self.deliver(number, frame)
        self.asked.set()

    def deliver(self, number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
        """Do what the interrupt would have done: raise KeyboardInterrupt, as a rule."""
        self.asked.clear()
        if callable(self.before):
            self.before(number, frame)


_holds: list[_Hold] = []
_stops = local()


@contextmanager
def interrupts_held() -> Iterator[Event]:
    """Let an interrupt wait for the next `interruption_point`, or for the end of the block; a second one strikes.

    Yields
    ------
    threading.Event
        Set while an interrupt is waiting. On other threads than the main one, which Python never interrupts, and
        where something other than Python handles the signal, it is never set.
    """
    hold = _Hold()
    if current_thread() is not main_thread() or not callable(hold.before):
        yield hold.asked
        return
    try:
        _holds.append(hold)
        signal.signal(signal.SIGINT, hold.wait)
        yield hold.asked
    finally:
        signal.signal(signal.SIGINT, hold.before)
        if hold in _holds:
            _holds.remove(hold)
        if hold.asked.is_set():
            hold.deliver()


@contextmanager
def stopped_by(stop: Event | None) -> Iterator[None]:
    """Let an event that another thread sets end the block at the next `interruption_point` of this thread."""
    before = getattr(_stops, "stop", None)
    _stops.stop = stop
    try:
        yield
    finally:
        _stops.stop = before


def interruption_point() -> None:
    """Let a waiting interrupt strike here, in the middle of a pass, where everything open is closed again.

    Raises
    ------
    Interrupted
        If the event of `stopped_by` is set.
    """
    stop = getattr(_stops, "stop", None)
    if stop is not None and stop.is_set():
        raise Interrupted("Stopped.")
    deliver_to_holder()
    beat()


def deliver_to_holder() -> None:
    """Let an interrupt strike that the innermost block holds back; without one, do nothing."""
    if _holds and _holds[-1].asked.is_set() and current_thread() is main_thread():
        _holds[-1].deliver()


@dataclass
class Handling:
    """How interrupts and stops were handled when this was made, so that it can be so again."""

    stop: Event | None = field(default_factory=lambda: getattr(_stops, "stop", None))
    holds: int = field(default_factory=lambda: len(_holds))
    before: Callable[..., Any] | int | None = field(
        default_factory=lambda: signal.getsignal(signal.SIGINT) if current_thread() is main_thread() else None
    )

    def again(self) -> None:
        """Handle them so again; an interrupt that was held back meanwhile is forgotten, as an error is on its way."""
        _stops.stop = self.stop
        if current_thread() is main_thread():
            del _holds[self.holds :]
            if signal.getsignal(signal.SIGINT) is not self.before:
                signal.signal(signal.SIGINT, self.before)
