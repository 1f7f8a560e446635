"""A model and a worker for it, as traits: what a lens is doing, and what went wrong. `worker.py` has the threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar
from uuid import uuid4

import traitlets as t

from factlens.errors import Busy, Closed, FactlensError, Interrupted
from factlens.models import Model
from factlens.models.settling import settled
from factlens.notices import Notice
from factlens.session.worker import Doing, Job, Worker

P = ParamSpec("P")
S = TypeVar("S", bound="Working")
Work = Callable[[], object]

STATUSES = ("idle", "queued", "tracing", "editing", "calibrating", "judging", "stopping")
_DOING = {
    "locate": "a trace is being computed",
    "edit": "an edit is being computed",
    "judge": "an edit is being judged",
}
LONGEST_ERROR = 1000
PUBLISH_SECONDS = 0.05
"""News are published at most twenty times a second: the Jupyter server drops floods of messages."""
PATIENCE = 5.0
"""So many seconds `close` waits for the step that is being computed."""


def gesture(
    verb: str, place: str, title: str, doing: str = ""
) -> Callable[[Callable[Concatenate[S, P], Work]], Callable[Concatenate[S, P], None]]:
    """Make a gesture of a method that checks it and returns its work, which is done on the worker's thread.

    An error, in the check as in the work, becomes the session's, and the check leaves everything as it was.

    Parameters
    ----------
    verb
        What is asked for, in words: "Cannot undo now".
    place, title
        Where an error belongs, and what is said above it.
    doing
        What is being done, in words, where that is not what usually is there.
    """

    def made(check: Callable[Concatenate[S, P], Work]) -> Callable[Concatenate[S, P], None]:
        @wraps(check)
        def start(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            with self._asked(place, title):
                self._check_idle(verb)
                self._stop, self._gesture = threading.Event(), None
                work = settled(check(self, *args, **kwargs))
                self._give_way()
                self.worker.start(Job(doing or _DOING[place], place, title, lambda _stop: work(), self._stop))

        return start

    return made


class Asked(NamedTuple):
    """A gesture of the page that what is said at a field is about, and what stood in the fields."""

    gesture: str
    about: dict[str, Any]


class Working(t.HasTraits):
    """A model, its worker, and what that is doing.

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
    place
        Where that was asked for: ``"locate"``, ``"edit"`` or ``"judge"``; empty while nothing is done.
    error
        The last thing that went wrong as ``{"title", "text", "place"}``, or None; `last_error` is the exception. What
        can be said at a field of the page has a ``"notice"``, too: ``{"field", "text", "offers", "about"}``, of which
        the last is what stood in the fields.
    closed
        Whether it has ended for good.
    """

    gate = threading.RLock()
    """Guards the traits: gestures, workers and the user's cells may all set them, and views read them. One for all
    sessions, since traits of two lenses may be linked, and two gates that are taken in either order could
    deadlock. It is held for moments only; a thread that needs a model as well takes that first."""

    status = t.Enum(STATUSES, default_value="idle")
    place = t.Unicode("")
    progress = t.Float(0.0)
    message = t.Unicode("")
    error: Any = t.Dict(allow_none=True, default_value=None)

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.origin = uuid4().hex
        self.last_error: BaseException | None = None
        self.worker = Worker(self.gate, self._worker_changed, self._report, self._let_go)
        self._model: Model | None = model
        # Stops the job at hand.
        self._stop = threading.Event()
        # The gesture that has begun it, if that has fields.
        self._gesture: Asked | None = None
        self._published: tuple[float, tuple[str, ...]] = (0.0, ())

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

    @property
    def closed(self) -> bool:
        """Whether it has ended for good."""
        return self.worker.closed

    def stop(self) -> None:
        """Stop what is running after its current step; what was computed stays."""
        self.worker.stop()

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
                self.worker.close()
                self._give_up()
        self.worker.join(patience)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being computed, nor waits to be; return whether that is so."""
        return self.worker.wait(timeout)

    # What the worker tells ----------------------------------------------------------------------------------------

    def _worker_changed(self, doing: Doing) -> None:
        # Held together, so that views are told once everything is in place.
        with self.hold_trait_notifications():
            if doing.status == "queued":
                self.error = None
            job = self.worker.at_hand
            self.place = "" if doing.status == "idle" or job is None else job.place
            self.progress, self.message, self.status = doing.progress, doing.message, doing.status

    def _report(self, error: BaseException, place: str, title: str) -> None:
        """Make an exception the session's error; `Interrupted` is what the user asked for, and no error."""
        with self.gate:
            # An error after the end concerns no view any more, and would keep its frames.
            if not isinstance(error, Interrupted) and not self.closed:
                self._failed(error, place, title)

    def _let_go(self) -> None:
        """Keep nothing of the model, not even in the frames of an error."""
        self._model = self.last_error = None

    # For the session's other parts --------------------------------------------------------------------------------

    def _give_way(self) -> None:
        """Let go of what a gesture need not wait for."""

    def _give_up(self) -> None:
        """Follow nothing any more: the session is being closed."""

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

    @contextmanager
    def reporting(self, place: str, title: str) -> Iterator[None]:
        """Make a context in which an exception becomes the session's error."""
        try:
            yield
        except BaseException as error:
            self._report(error, place, title)
            if not isinstance(error, (Exception, Interrupted)):
                raise

    def _failed(self, error: BaseException, place: str, title: str) -> None:
        """Keep an error; the caller has the gate."""
        text = str(error) if isinstance(error, FactlensError) else f"{type(error).__name__}: {error}"
        self.last_error = error
        record: dict[str, Any] = {"title": title, "text": _fit(text), "place": place}
        notice = error.notice if isinstance(error, FactlensError) else None
        if notice is not None and self._gesture is not None:
            gesture, about = self._gesture
            record["notice"] = {**as_state(notice, gesture), "about": about}
        self.error = record

    def _say(self, share: float, *words: str) -> None:
        """Say how far the job at hand is, and in words what it does; at most twenty times a second.

        What is done being the same, the page need not hear of every step: the Jupyter server drops floods of messages.
        """
        now, what = time.monotonic(), words[:1]
        with self.gate:
            if what != self._published[1] or now - self._published[0] >= PUBLISH_SECONDS or share == 1:
                self._published = now, what
                self.worker.progress(share, ", ".join(filter(None, words)))

    def check_open(self) -> None:
        """Raise `Closed` if the session was closed."""
        if self.closed:
            raise Closed

    def _check_idle(self, verb: str) -> None:
        job = self.worker.at_hand
        if job is not None:
            raise Busy(f"Cannot {verb} now: {job.what} already. Press Stop, or wait until it is done.")


def as_state(notice: Notice, gesture: str) -> dict[str, Any]:
    """Return what is said at a field as plain data; a button there writes what it offers, and sends `gesture`."""
    offers = [
        {"label": _fit(offer.label), "gesture": gesture, "changes": dict(offer.changes)} for offer in notice.offers
    ]
    return {"field": notice.field, "text": _fit(notice.text), "offers": offers}


def _fit(text: str) -> str:
    """Cut a text that repeats a whole prompt, and replace what JSON cannot carry to the page."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"
