"""One thread that computes for a lens, and how its state is told.

Gestures arrive on whatever thread the kernel chooses and must return at once, so they only check, queue and set
traits. One worker thread per session does the computing and holds the model exclusively meanwhile, so that nothing
interleaves with another lens. Errors become state, because an exception on a worker thread would reach no one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import traitlets as t

from factlens.errors import Busy, FactlensError, Interrupted
from factlens.models import Model

STATUSES = ("idle", "queued", "tracing", "editing", "judging", "stopping")
_DOING = {"editing": "an edit is being computed", "judging": "an edit is being judged"}


LONGEST_ERROR = 1000


class Working(t.HasTraits):
    """A model, a worker thread, and what it is doing.

    Parameters
    ----------
    model
        The model.

    Attributes
    ----------
    status, progress, message
        What is being done, how far it is (0 to 1), and the same in words.
    error
        The last thing that went wrong as ``{"title", "text", "place"}``, or None; `last_error` is the exception.
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
        self.model = model
        self.last_error: BaseException | None = None
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._idle = threading.Event()
        self._idle.set()

    def stop(self) -> None:
        """Stop what is running after its current step; what was computed stays."""
        with self.gate:
            if not self._idle.is_set():
                self._stop.set()
                self.status = "stopping"

    def close(self) -> None:
        """Stop, and end the worker thread."""
        self.stop()
        if self._worker is not None:
            self._jobs.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being computed; return whether that is so."""
        return self._idle.wait(timeout)

    def _begin(self, begin: Callable[[], Callable[[], None]], place: str, title: str) -> None:
        """Check a gesture, then queue its work; an error leaves everything as it was."""
        with self.gate, self.reporting(place, title):
            work = begin()
            self._stop.clear()
            self._idle.clear()
            # First of all: an observer that raises must not leave a session that is busy with nothing. The worker
            # waits for the gate.
            self._put(lambda: self._run(work, place, title))
            self.error = None
            self._set_status("queued")

    def _put(self, job: Callable[[], None]) -> None:
        if self._worker is None:
            # A daemon: closing the kernel does not wait for it.
            self._worker = threading.Thread(target=self._work, name="factlens-session", daemon=True)
            self._worker.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _run(self, work: Callable[[], None], place: str, title: str) -> None:
        try:
            with self.gate:
                pass  # whoever has queued this has told everyone now
            with self.reporting(place, title):
                work()
        finally:
            try:
                with self.reporting(place, "An observer failed"), self.gate, self.hold_trait_notifications():
                    self._ended()
                    self._set_status("idle")
                    self._idling()
            finally:
                # Only now, with every view told: whoever waits sees what they show.
                self._idle.set()

    def _ended(self) -> None:
        """Bring the traits in order at the end of a job, before the status says idle."""

    def _idling(self) -> None:
        """Begin what waits for the session to be idle."""

    def reporting(self, place: str, title: str) -> _Reporting:
        """Return a context in which an exception becomes the session's error."""
        return _Reporting(self, place, title)

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
        text = str(error) if isinstance(error, FactlensError) else f"{type(error).__name__}: {error}"
        with self.session.gate:
            self.session.last_error = error
            self.session.error = {"title": self.title, "text": _fit(text), "place": self.place}
        return isinstance(error, Exception)


def _fit(text: str) -> str:
    """Cut a text that repeats a whole prompt, and replace what JSON cannot carry to the page."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"
