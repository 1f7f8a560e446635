"""`Worker`: one thread that does jobs in turn, and is there only as long as there is something to do.

Gestures arrive on any thread of the kernel and must return at once, so they only check, and queue a `Job`.
The job at hand (a trace, an edit) is what the user waits for: one at a time, begun by `start` and ended by `stop`.
Anything else (a cell is read, answers are brought up to date) waits its turn: begun by `put`, ended by `drop`.

What may be relied on, and what keeps threads from waiting for each other forever:

- The gate guards everything here, and is held while callers are told. It is held for moments only, never while a job
  works. A job that needs a model takes that first, and the gate after it.
- A job begins when the thread that queued it has let go of the gate: everyone has been told of it by then.
- The worker is idle again when everyone has been told so: a thread that waits for it sees what they show.
- Nothing here waits for the thread with the gate in hand, nor in the thread itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from factlens.bar import unshown


@dataclass(frozen=True, eq=False)
class Job:
    """Something to be done.

    Attributes
    ----------
    what
        What it is, in words: ``"a trace is being computed"``.
    place, title
        Where an error of it belongs, and what is said above it.
    work
        Does it; it is called with `stop`.
    stop
        Set once it is to end after its current step.
    """

    what: str
    place: str
    title: str
    work: Callable[[threading.Event], object]
    stop: threading.Event = field(default_factory=threading.Event)


class Doing(NamedTuple):
    """What a worker does: ``"idle"``, ``"queued"``, ``"stopping"``, or what a job says; how far it is (0 to 1)."""

    status: str = "idle"
    progress: float = 0.0
    message: str = ""


class Worker:
    """A queue of jobs, and a thread for them.

    Parameters
    ----------
    gate
        A re-entrant lock. Workers share one if those who are told by one may ask something of another.
    changed
        Is called with what is being done, whenever that changes.
    failed
        Is called with an error of a job, or of a callback at its end; with its place, and its title.
    let_go
        Is called once the worker is closed and none of its jobs runs any more: to keep nothing that they were about.

    All three are called with the gate, on the thread where it happens.

    Attributes
    ----------
    doing
        What it does, as was told last.
    at_hand
        The job that `stop` is about, from when it is queued to its end; None where there is none.
    thread
        The thread, while there is one.
    closed
        Whether it takes no jobs any more.
    """

    def __init__(
        self,
        gate: threading.RLock,
        changed: Callable[[Doing], object],
        failed: Callable[[BaseException, str, str], object],
        let_go: Callable[[], object],
    ) -> None:
        self.doing = Doing()
        self.at_hand: Job | None = None
        self.thread: threading.Thread | None = None
        self.closed = False
        self._gate, self._changed, self._failed, self._forget = gate, changed, failed, let_go
        self._jobs: deque[Job] = deque()
        self._current: Job | None = None
        self._quiet = threading.Event()
        self._quiet.set()

    # Jobs ---------------------------------------------------------------------------------------------------------

    def start(self, job: Job) -> None:
        """Have a job done that the user waits for; the caller has seen that there is none `at_hand`."""
        with self._gate:
            if self.put(job):
                # Queued first of all: an observer that raises must not leave a worker that is busy with nothing.
                self.at_hand = job
                self.tell(Doing("queued", 0.0, "waiting for the model"))

    def put(self, job: Job) -> bool:
        """Have a job done after those that wait; return whether it will be: not by a closed worker."""
        with self._gate:
            if self.closed:
                return False
            self._jobs.append(job)
            self._quiet.clear()
            if self.thread is None or not self.thread.is_alive():
                # A daemon: closing the kernel does not wait for it.
                self.thread = threading.Thread(target=self._work, name="factlens-session", daemon=True)
                self.thread.start()
            return True

    def drop(self, job: Job | None) -> None:
        """Give a job up: it is not begun any more, and ends after its current step if it runs."""
        if job is not None:
            with self._gate:
                job.stop.set()
                with suppress(ValueError):
                    self._jobs.remove(job)

    def stop(self) -> None:
        """Stop the job at hand after its current step, if there is one."""
        with self._gate:
            if self.at_hand is not None:
                self.at_hand.stop.set()
                self.tell(self.doing._replace(status="stopping"))

    # For the work -------------------------------------------------------------------------------------------------

    def tell(self, doing: Doing) -> None:
        """Say what is being done from now on."""
        with self._gate:
            self.doing = doing
            self._changed(doing)

    def progress(self, share: float, message: str) -> None:
        """Say how far it is; a worker that is stopping goes on saying that."""
        with self._gate:
            self.tell(self.doing._replace(progress=share, message=message))

    # Waiting and closing ------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being done, nor waits to be; return whether that is so."""
        return self._quiet.wait(timeout)

    def close(self) -> None:
        """Take no more jobs, and end those there are; `join` waits for that."""
        with self._gate:
            if not self.closed:
                self.closed = True
                for job in filter(None, (*self._jobs, self._current)):
                    job.stop.set()
                self.stop()

    def join(self, patience: float | None = None) -> None:
        """Wait so many seconds for the thread of a closed worker, where that can be waited for.

        A step that takes longer goes on to its end, and what the jobs were about is let go then.
        """
        with self._gate:
            thread = self.thread
        # A thread with the gate would wait for one that waits for the gate.
        held = self._gate._is_owned()  # type: ignore[attr-defined]
        if thread is not None and thread is not threading.current_thread() and not held:
            thread.join(patience)
        with self._gate:
            if self.thread is None and self.closed:
                self._let_go()

    # On the thread ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Do what there is to do, and end."""
        while (job := self._next()) is not None:
            with self._gate:
                pass  # the thread that queued this has told everyone now
            self._try(partial(job.work, job.stop), job.place, job.title)
            if job is self.at_hand:
                self._try(self._rest, job.place, "An observer failed")
            del job  # what it was about does not outlive it, not even for the moment until the thread is gone

    def _next(self) -> Job | None:
        with self._gate:
            self._current = self._jobs.popleft() if self._jobs and not self.closed else None
            if self._current is None:
                self._jobs.clear()
                self.at_hand = self.thread = None
                try:
                    if self.closed:
                        self._let_go()
                finally:
                    self._quiet.set()
            return self._current

    def _try(self, work: Callable[[], object], place: str, title: str) -> None:
        """Do something whose errors, of any kind, are reported: on this thread they would be lost."""
        try:
            with unshown():  # the page says how far it is
                work()
        except BaseException as error:
            # Who fails in hearing of an error has it all the same, and the next job is done.
            with suppress(BaseException), self._gate:
                self._failed(error, place, title)

    def _rest(self) -> None:
        with self._gate:
            try:
                self.tell(Doing())
            finally:
                self.at_hand = None

    def _let_go(self) -> None:
        if self.doing.status != "idle":
            self.tell(Doing())
        self._forget()
