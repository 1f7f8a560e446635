"""One thread that computes for a lens, and how its state is told.

Gestures arrive on whatever thread the kernel chooses and must return at once, so they only check, queue and set
traits. A worker thread does the computing and holds the model exclusively meanwhile, so that nothing interleaves with
another lens. It is there as long as there is something to do. Errors become state, because an exception on a worker
thread would reach no one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import traitlets as t

from factlens.errors import AmbiguousPrompt, Busy, Closed, FactlensError, Interrupted
from factlens.models import Model
from factlens.models.settling import settled

STATUSES = ("idle", "queued", "tracing", "editing", "judging", "stopping")
_DOING = {"editing": "an edit is being computed", "judging": "an edit is being judged"}


LONGEST_ERROR = 1000
PATIENCE = 5.0
"""So many seconds `close` waits for the step that is being computed."""


class Working(t.HasTraits):
    """A model, a worker thread, and what it is doing.

    Parameters
    ----------
    model
        The model.

    Attributes
    ----------
    origin
        The session's id, by which others know what it has done to the model.
    status, progress, message
        What is being done, how far it is (0 to 1), and the same in words.
    error
        The last thing that went wrong as ``{"title", "text", "place"}``, or None; `last_error` is the exception.
    closed
        Whether it has ended for good.
    """

    gate = threading.RLock()
    """Guards the traits: gestures, workers and the user's cells may all set them, and views read them. One for all
    sessions, since traits of two lenses may be linked, and two gates that are taken in either order could close for
    ever. It is held for moments only; whoever needs a model as well takes that first."""

    status = t.Enum(STATUSES, default_value="idle")
    progress = t.Float(0.0)
    message = t.Unicode("")
    error: Any = t.Dict(allow_none=True, default_value=None)

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.origin = uuid4().hex
        self.last_error: BaseException | None = None
        self.closed = False
        self._model: Model | None = model
        self._jobs: deque[Callable[[], None]] = deque()
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._idle, self._quiet = threading.Event(), threading.Event()
        self._idle.set()
        self._quiet.set()

    @property
    def model(self) -> Model:
        """The model.

        Raises
        ------
        Closed
            If the session was closed: it has let the model go.
        """
        if self._model is None:
            raise Closed
        return self._model

    def stop(self) -> None:
        """Stop what is running after its current step; what was computed stays."""
        with self.gate:
            if not self._idle.is_set():
                self._stop.set()
                self.status = "stopping"

    def close(self, patience: float = PATIENCE) -> None:
        """Stop, and let go of the model and of the thread, for good.

        Parameters
        ----------
        patience
            How many seconds to wait for the step that is being computed. One that takes longer goes on to its end, of
            which nothing is seen any more.
        """
        with self.gate:
            if not self.closed:
                self.closed = True
                self.stop()
                self._give_up()
            worker = self._worker
        # Whoever has the gate would wait for a thread that waits for the gate.
        held = self.gate._is_owned()  # type: ignore[attr-defined]
        if worker is not None and worker is not threading.current_thread() and not held:
            worker.join(patience)
        with self.gate:
            if self._worker is None:
                self._let_go()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being computed, nor waits to be; return whether that is so."""
        return self._quiet.wait(timeout)

    def _begin(self, begin: Callable[[], Callable[[], None]], place: str, title: str) -> None:
        """Check a gesture, then queue its work; an error leaves everything as it was."""
        with self._asked(place, title):
            work = begin()
            self._give_way()
            self._stop.clear()
            self._idle.clear()
            # First of all: an observer that raises must not leave a session that is busy with nothing. The worker
            # waits for the gate.
            self._put(lambda: self._run(work, place, title))
            self.error = None
            self._set_status("queued")

    def _put(self, job: Callable[[], None]) -> None:
        """Have a job done after those that wait; the caller has the gate."""
        if self.closed:
            return
        self._jobs.append(job)
        self._quiet.clear()
        if self._worker is None or not self._worker.is_alive():
            # A daemon: closing the kernel does not wait for it.
            self._worker = threading.Thread(target=self._work, name="factlens-session", daemon=True)
            self._worker.start()

    def _work(self) -> None:
        """Do what there is to do, and end."""
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Callable[[], None] | None:
        with self.gate:
            if self._jobs and not self.closed:
                return self._jobs.popleft()
            self._jobs.clear()
            self._worker = None
            if self.closed:
                self._let_go()
            self._idle.set()
            self._quiet.set()
            return None

    def _let_go(self) -> None:
        """Keep nothing of the model, not even in the frames of an error."""
        if self.status != "idle":
            self._set_status("idle")
        self._model = self.last_error = None

    def _run(self, work: Callable[[], None], place: str, title: str) -> None:
        try:
            with self.gate:
                pass  # whoever has queued this has told everyone now
            with self.reporting(place, title):
                settled(work)()
        finally:
            try:
                with self.reporting(place, "An observer failed"), self.gate, self.hold_trait_notifications():
                    self._ended()
                    self._set_status("idle")
                    if not self.closed:
                        self._idling()
            finally:
                # Only now, with every view told: whoever waits sees what they show.
                self._idle.set()

    def _ended(self) -> None:
        """Bring the traits in order at the end of a job, before the status says idle."""

    def _idling(self) -> None:
        """Begin what waits for the session to be idle."""

    def _give_way(self) -> None:
        """Let go of what a gesture need not wait for."""

    def _give_up(self) -> None:
        """Begin no more, and end what can be ended: the session is being closed."""

    @contextmanager
    def _asked(self, place: str, title: str) -> Iterator[None]:
        """Hold the gate for a gesture, whose exceptions become the session's error.

        Raises
        ------
        Closed
            If the session was closed.
        """
        with self.gate:
            self.check_open()
            with self.reporting(place, title):
                yield

    def reporting(self, place: str, title: str) -> _Reporting:
        """Return a context in which an exception becomes the session's error."""
        return _Reporting(self, place, title)

    def _failed(self, error: BaseException, place: str, title: str) -> None:
        """Keep an error; the caller has the gate."""
        text = str(error) if isinstance(error, FactlensError) else f"{type(error).__name__}: {error}"
        self.last_error = error
        readings = [
            {"shown": _fit(shown), "prompt": prompt, "slot": slot}
            for shown, prompt, slot in (error.readings if isinstance(error, AmbiguousPrompt) else ())
        ]
        said: dict[str, Any] = {"title": title, "text": _fit(text), "place": place}
        self.error = {**said, "readings": readings} if readings else said

    def check_open(self) -> None:
        """Raise `Closed` if the session was closed."""
        if self.closed:
            raise Closed

    def _check_idle(self, wanted: str) -> None:
        if not self._idle.is_set():
            doing = _DOING.get(self.status, "a trace is being computed")
            raise Busy(f"Cannot {wanted} now: {doing} already. Press Stop, or wait until it is done.")

    def _publish(self, progress: float, message: str) -> None:
        # Held together, so that views are told once everything is in place.
        with self.hold_trait_notifications():
            self.progress, self.message = progress, message

    def _set_status(self, status: str) -> None:
        with self.hold_trait_notifications():
            self.progress, self.message = 0.0, "waiting for the model" if status == "queued" else ""
            self.status = status


class _Reporting:
    """Turn an exception into the session's error; `Interrupted` is what the user asked for, and no error."""

    def __init__(self, session: Working, place: str, title: str) -> None:
        self.session, self.place, self.title = session, place, title

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _traceback: Any) -> bool:
        if error is None or isinstance(error, Interrupted):
            return True
        with self.session.gate:
            # What goes wrong after the end is nobody's business any more, and would keep its frames.
            if not self.session.closed:
                self.session._failed(error, self.place, self.title)
        return isinstance(error, Exception)


def _fit(text: str) -> str:
    """Cut a text that repeats a whole prompt, and replace what JSON cannot carry to the page."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"
