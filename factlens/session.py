"""The state of one lens, and the one thread that computes for it. No views here: widgets look at the traits.

Gestures arrive on whatever thread the kernel chooses and must return at once, so the methods below only check,
queue and set traits. One worker thread per session does the computing and holds the model exclusively meanwhile,
so that nothing interleaves with another lens. Errors become state, because an exception on a worker thread would
reach no one.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import traitlets as t

from factlens.editing import defaults
from factlens.editing import edit as make_edit
from factlens.errors import Busy, FactError, FactlensError, Interrupted
from factlens.facts import Fact
from factlens.models import Model
from factlens.tracing import Trace, stream
from factlens.tracing import details as read_details

STATUSES = ("idle", "queued", "tracing", "editing", "stopping")
PUBLISH_SECONDS = 0.05
"""Grids are published at most twenty times a second: the Jupyter server drops floods of messages."""


class Session(t.HasTraits):
    """One user's work on one model: a fact, its trace, a selected cell, a new object, edits.

    Parameters
    ----------
    model
        The model.
    fact
        The fact to begin with.

    Attributes
    ----------
    fact
        The fact in hand; None until one is given.
    trace
        Its trace, which fills up while it is computed; None before the first.
    frame
        Counts the steps of the traces: it changes whenever `trace` has grown.
    run
        Number of the trace; every new one counts up.
    stopped
        Whether the trace was stopped before it was complete.
    selection
        The selected cell as ``{"kind", "token", "layer"}``, or None.
    details
        What the selected cell knows, as `factlens.tracing.CellDetails.to_dict` has it; None until it has been read.
    reading
        Whether the selected cell is being read.
    target
        The new object.
    edits
        The edits that the model carries.
    comparison
        Top answers as ``(text, probability before, probability now)``.
    status, progress, message
        What is being done, how far it is (0 to 1), and the same in words.
    error
        The last thing that went wrong as ``{"title", "text", "place"}``, or None; `last_error` is the exception.
    """

    fact = t.Instance(Fact, allow_none=True)
    trace = t.Instance(Trace, allow_none=True)
    frame = t.Int(0)
    run = t.Int(0)
    stopped = t.Bool(False)
    selection: Any = t.Dict(allow_none=True, default_value=None)
    details: Any = t.Dict(allow_none=True, default_value=None)
    reading = t.Bool(False)
    target = t.Unicode("")
    edits = t.Tuple()
    comparison = t.Tuple()
    status = t.Enum(STATUSES, default_value="idle")
    progress = t.Float(0.0)
    message = t.Unicode("")
    error: Any = t.Dict(allow_none=True, default_value=None)

    def __init__(self, model: Model, fact: Fact | None = None) -> None:
        super().__init__()
        self.model = model
        self.last_error: BaseException | None = None
        # Guards the traits: gestures, the worker and the user's cells may all set them, and views read them.
        self.gate = threading.RLock()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._idle = threading.Event()
        self._idle.set()
        # Set once nobody wants the newest read any more, so that it neither waits for the model nor is shown.
        self._unwanted = threading.Event()
        self._read = threading.Event()
        self._read.set()
        self.edits = model.edits
        if fact is not None:
            self.fact = fact
            self.target = fact.target or ""

    # Gestures: each returns at once ------------------------------------------------------------------------------

    def start_trace(self, prompt: str | None = None, subject: str | None = None) -> None:
        """Trace the fact in hand, or another one; what was there before stays until the new one is accepted."""

        def begin() -> Callable[[], None]:
            self._check_idle("trace")
            fact = self.fact
            if prompt is not None or subject is not None:
                fact = Fact(prompt or "", subject or "", self.target.strip() or None)
            if fact is None:
                raise FactError("There is no fact to trace yet: write a prompt and its subject.")
            self.model.encode(fact)  # too long, or a subject without tokens: refused before anything is lost
            self._no_read()
            return lambda: self._trace(fact)

        self._begin(begin, "locate", "This fact cannot be traced")

    def start_edit(self, target: str | None = None, layer: int | None = None) -> None:
        """Make the model answer `target`: at `layer`, else at the selected one, else at the method's default."""

        def begin() -> Callable[[], None]:
            self._check_idle("edit")
            if self.fact is None:
                raise FactError("There is no fact to edit yet: write a prompt and its subject, and trace it.")
            fact = self.fact.with_target(self.target if target is None else target)
            chosen = self.edit_layer if layer is None else layer
            self.model.check_layer(chosen)
            return lambda: self._edit(fact, chosen)

        self._begin(begin, "edit", "The edit was not applied")

    def start_undo(self) -> None:
        """Take back the newest edit."""

        def begin() -> Callable[[], None]:
            self._check_idle("undo")
            if not self.model.edits:
                raise FactError("There is nothing to undo: the weights are unedited.")
            return self._undo

        self._begin(begin, "edit", "Nothing was undone")

    def select(self, kind: object, token: object, layer: object) -> bool:
        """Select a cell, and with it the layer to edit; return whether there is such a cell."""
        with self.gate, self.reporting("locate", "This cell cannot be selected"):
            if self.trace is None:
                raise FactError("There are no cells yet: trace a fact first.")
            if kind not in self.trace.kinds:
                raise FactError(f"There is no kind {kind!r} in this trace; there are {', '.join(self.trace.kinds)}.")
            layer, tokens = self.model.check_layer(layer), len(self.trace.tokens)
            if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < tokens:
                raise FactError(f"There is no token {token!r}: the traced prompt has {tokens}.")
            cell = {"kind": kind, "token": token, "layer": layer}
            if cell == self.selection and self.details is None and not self.reading:
                self._read_selection()  # chosen once more after an error
            self.selection = cell
            return True
        return False

    def stop(self) -> None:
        """Stop what is running after its current step; what was computed stays."""
        with self.gate:
            if not self._idle.is_set():
                self._stop.set()
                self.status = "stopping"

    def close(self) -> None:
        """Stop, and end the worker thread."""
        self.stop()
        with self.gate:
            self._no_read()
        if self._worker is not None:
            self._jobs.put(None)

    # For scripts and tests ---------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being computed; return whether that is so."""
        end = None if timeout is None else time.monotonic() + timeout
        return self._idle.wait(timeout) and self._read.wait(None if end is None else max(0.0, end - time.monotonic()))

    @property
    def edit_layer(self) -> int:
        """The layer that an edit would change: the selected one, else the method's default."""
        return int(self.selection["layer"]) if self.selection else self.default_layer

    @property
    def outdated(self) -> bool:
        """Whether the model carries other edits than it did when it was traced."""
        return self.trace is not None and self.trace.edits != tuple(map(str, self.model.edits))

    @property
    def default_layer(self) -> int:
        """The method's default layer for the model."""
        return defaults(self.model, "rome").layers[-1]

    # On the worker thread ----------------------------------------------------------------------------------------

    def _trace(self, fact: Fact) -> None:
        published = 0.0
        with self.model.exclusive(self._stop):
            with self.gate:
                self._set_status("tracing")
            for update in stream(self.model, fact, stop=self._stop):
                with self.gate, self.hold_trait_notifications():
                    if not update.tokens:
                        self.fact, self.selection, self.stopped = fact, None, False
                        self.run += 1
                        self.trace = update.trace
                    now = time.monotonic()
                    if now - published >= PUBLISH_SECONDS or update.progress == 1:
                        published = now
                        self._publish(update.progress, "tracing")
            self._compare(fact)

    def _edit(self, fact: Fact, layer: int) -> None:
        def say(step: str, share: float) -> None:
            with self.gate:
                names = {"second moment": "collecting the second moment of the keys", "value": "optimising v*"}
                self._publish(share, names[step])

        with self.model.exclusive(self._stop):
            with self.gate:
                self._set_status("editing")
            make_edit(self.model, fact, layers=layer, progress=say, stop=self._stop)
            with self.gate:
                self.fact = fact
                self.target = fact.target or ""
                self.edits = self.model.edits
            self._compare(fact)

    def _undo(self) -> None:
        with self.model.exclusive(self._stop):
            with self.gate:
                self._set_status("editing")
            self.model.undo()
            with self.gate:
                self.edits = self.model.edits
            if self.fact is not None:
                self._compare(self.fact)

    def _compare(self, fact: Fact, k: int = 5) -> None:
        """Read the top answers with the original weights and with the present ones."""
        with self.model.unedited():
            before = self.model.next_token(fact.prompt)
        after = self.model.next_token(fact.prompt)
        top = dict.fromkeys([*before.topk(k).indices.tolist(), *after.topk(k).indices.tolist()])
        best = sorted(top, key=lambda i: -max(float(before[i]), float(after[i])))[: k + 1]
        with self.gate:
            self.comparison = tuple((self.model.token(i), float(before[i]), float(after[i])) for i in best)

    # Reading a cell ----------------------------------------------------------------------------------------------

    @t.observe("selection")
    def _selected(self, _change: Any) -> None:
        with self.gate:
            self._read_selection()

    def _read_selection(self) -> None:
        """Have the selected cell read once the worker is free; whatever else was to be read no longer is.

        While a trace or an edit is computed nothing is read: `_run` calls this again at its end. Nor is a cell of an
        outdated trace, whose runs cannot be had again; its layer can be selected for the next edit all the same.
        """
        self._no_read()
        self.details = None
        trace, cell = self.trace, self.selection
        if trace is None or cell is None or self.status != "idle" or self.outdated:
            return
        self._unwanted = unwanted = threading.Event()
        self._read.clear()
        self.reading = True
        self._put(lambda: self._read_cell(trace, cell, unwanted))

    def _no_read(self) -> None:
        """Give up the read that is waiting or going on; an error of an earlier one has become old news."""
        self._unwanted.set()
        self.reading = False
        self._read.set()
        if self.error and self.error["place"] == "details":
            self.error = None

    def _read_cell(self, trace: Trace, cell: dict[str, Any], unwanted: threading.Event) -> None:
        # Whoever runs through many cells queues many of these; all but the last return right here.
        if unwanted.is_set():
            return
        found = None
        with self.reporting("details", "This cell could not be read"):
            try:
                with self.model.exclusive(unwanted):
                    if unwanted.is_set():  # while it waited for the model
                        return
                    found = read_details(self.model, trace, **cell).to_dict()
            except Exception:
                if unwanted.is_set():
                    return
                raise
        with self.gate:
            if not unwanted.is_set():
                with self.hold_trait_notifications():
                    self.details, self.reading = found, False
                # Only now, with every view told, as in `_run`.
                self._read.set()

    # Housekeeping ------------------------------------------------------------------------------------------------

    def _begin(self, begin: Callable[[], Callable[[], None]], place: str, title: str) -> None:
        """Check a gesture, then queue its work; an error leaves everything as it was."""
        with self.gate, self.reporting(place, title):
            work = begin()
            self._stop.clear()
            self._idle.clear()
            self.error = None
            self._set_status("queued")
            self._put(lambda: self._run(work, place, title))

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
            with self.reporting(place, title):
                work()
        finally:
            with self.gate, self.hold_trait_notifications():
                self.stopped = self.trace is not None and not self.trace.complete
                self.frame += 1
                self._set_status("idle")
                if self.details is None:
                    self._read_selection()
            # Only now, with every view told: whoever waits sees what they show.
            self._idle.set()

    def reporting(self, place: str, title: str) -> _Reporting:
        """Return a context in which an exception becomes the session's error."""
        return _Reporting(self, place, title)

    def _check_idle(self, wanted: str) -> None:
        if not self._idle.is_set():
            doing = "an edit is being computed" if self.status == "editing" else "a trace is being computed"
            raise Busy(f"Cannot {wanted} now: {doing} already. Press Stop, or wait until it is done.")

    def _publish(self, progress: float, message: str) -> None:
        # Held together, so that views are told once everything is in place.
        with self.hold_trait_notifications():
            self.progress, self.message = progress, message
            self.frame += 1

    def _set_status(self, status: str) -> None:
        with self.hold_trait_notifications():
            self.progress, self.message = 0.0, "waiting for the model" if status == "queued" else ""
            self.status = status


class _Reporting:
    """Turn an exception into the session's error; `Interrupted` is what the user asked for, and no error."""

    def __init__(self, session: Session, place: str, title: str) -> None:
        self.session, self.place, self.title = session, place, title

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _traceback: Any) -> bool:
        if error is None or isinstance(error, Interrupted):
            return True
        text = str(error) if isinstance(error, FactlensError) else f"{type(error).__name__}: {error}"
        with self.session.gate:
            self.session.last_error = error
            self.session.error = {"title": self.title, "text": text, "place": self.place}
        return isinstance(error, Exception)
