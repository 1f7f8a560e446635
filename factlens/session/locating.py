"""Locating a fact: its trace, the selected cell, and what that cell knows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import traitlets as t

from factlens.errors import FactError
from factlens.facts import Fact
from factlens.models import Model
from factlens.session.received import bytes_of, file_name, read_bytes
from factlens.session.working import Working
from factlens.timing import TimeLeft, roughly
from factlens.tracing import Trace, Update, stream, stream_rest
from factlens.tracing import details as read_details

LEAST_SECONDS = 1.0
"""No guess about the remaining time before that."""
PUBLISH_SECONDS = 0.05
"""Grids are published at most twenty times a second: the Jupyter server drops floods of messages."""


class Locating(Working):
    """A fact in hand, and where the model keeps it.

    Attributes
    ----------
    fact
        The fact in hand; None until one is given.
    trace
        Its trace, which fills up while it is computed; None before the first.
    previous
        The complete trace of the same prompt before this one, as after an edit; None where there is none.
    frame
        Counts the steps of the traces: it changes whenever `trace` has grown.
    run
        Number of the trace; every new one counts up.
    stopped
        Whether the trace was stopped before it was complete.
    selection
        The selected cell as ``{"kind", "token", "layer"}``, or None.
    examined
        The cell whose details are shown: the one that was selected or pinned last, or None.
    details
        What that cell knows, as `factlens.tracing.CellDetails.to_dict` has it; None until it has been read.
    reading
        Whether it is being read.
    target
        The new object.
    comparison
        Top answers as ``(text, probability before, probability now)``.
    """

    fact = t.Instance(Fact, allow_none=True)
    trace = t.Instance(Trace, allow_none=True)
    previous = t.Instance(Trace, allow_none=True)
    frame = t.Int(0)
    run = t.Int(0)
    stopped = t.Bool(False)
    selection: Any = t.Dict(allow_none=True, default_value=None)
    examined: Any = t.Dict(allow_none=True, default_value=None)
    details: Any = t.Dict(allow_none=True, default_value=None)
    reading = t.Bool(False)
    target = t.Unicode("")
    comparison = t.Tuple()

    def __init__(self, model: Model, fact: Fact | None = None) -> None:
        super().__init__(model)
        # Set once nobody wants the newest read any more, so that it neither waits for the model nor is shown.
        self._unwanted = threading.Event()
        self._read = threading.Event()
        self._read.set()
        if fact is not None:
            self.fact = fact
            self.target = fact.target or ""

    def start_trace(self, prompt: str | None = None, subject: str | None = None, *, of: Fact | None = None) -> None:
        """Trace the fact in hand, or another one; what was there before stays until the new one is accepted."""

        def begin() -> Callable[[], None]:
            self._check_idle("trace")
            fact = self.fact if of is None else of
            if prompt is not None or subject is not None:
                fact = Fact(prompt or "", subject or "", self.target.strip() or None)
            if fact is None:
                raise FactError("There is no fact to trace yet: write a prompt and its subject.")
            self.model.encode(fact)  # too long, or a subject without tokens: refused before anything is lost
            self._no_read()
            if of is not None and of.target:
                self.target = of.target
            return lambda: self._trace(fact, stream(self.model, fact, stop=self._stop))

        self._begin(begin, "locate", "This fact cannot be traced")

    def start_resume(self) -> None:
        """Compute what a stopped trace lacks; what it has stays."""

        def begin() -> Callable[[], None]:
            self._check_idle("resume")
            trace = self.trace
            if trace is None or trace.complete:
                raise FactError("There is nothing to resume: no trace was stopped.")
            if self.outdated:
                raise FactError("The weights carry other edits than when this was traced. Press Trace to begin anew.")
            self._no_read()
            return lambda: self._trace(trace.fact, stream_rest(self.model, trace, stop=self._stop))

        self._begin(begin, "locate", "This trace cannot be resumed")

    def take(self, trace: Trace) -> None:
        """Show a trace that was computed elsewhere, or saved, as if it had been computed here.

        Raises
        ------
        FactError
            If it is another model's.
        """
        with self.gate:
            self._check_idle("show a trace")
            if trace.fingerprint != self.model.fingerprint or trace.n_layers != self.model.n_layers:
                raise FactError(f"This is a trace of {trace.model}, not of the model in this lens ({self.model.name}).")
            if self.model.encode(trace.fact).ids != trace.token_ids:
                raise FactError("This trace was made with another tokenizer than the one of the model in this lens.")
            self._no_read()
            with self.hold_trait_notifications():
                self._replace(trace.fact, trace)
                self.error = None
                self.stopped = not trace.complete
                self.frame += 1

    def open(self, data: bytes) -> None:
        """Show a trace from the bytes of a file that `factlens.Trace.save` has written."""
        with self.gate, self.reporting("locate", "The file was not opened"):
            self.take(read_bytes(data, Trace.load, "lens.trace = fl.Trace.load(path)"))

    def saved_trace(self) -> tuple[str, bytes]:
        """Return a file name and the bytes of the trace that is shown.

        Raises
        ------
        FactlensError
            If there is none, or it is being computed.
        """
        with self.gate:
            self._check_idle("save the trace")
            if self.trace is None:
                raise FactError("There is no trace to save.")
            return file_name(self.trace.fact.prompt, "trace"), bytes_of(self.trace)

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
            self.selection = cell
            self.examine(cell)
            return True
        return False

    def examine(self, cell: dict[str, Any]) -> None:
        """Have a cell of the trace read and shown, without selecting its layer for an edit."""
        with self.gate:
            if cell == self.examined and self.details is None and not self.reading:
                self._read_examined()  # chosen once more after an error
            self.examined = cell

    def close(self) -> None:
        """Stop, and end the worker thread."""
        with self.gate:
            self._no_read()
        super().close()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being computed; return whether that is so."""
        end = None if timeout is None else time.monotonic() + timeout
        return super().wait(timeout) and self._read.wait(None if end is None else max(0.0, end - time.monotonic()))

    @property
    def outdated(self) -> bool:
        """Whether the model carries other edits than it did when it was traced."""
        return self.trace is not None and self.trace.edits != tuple(map(str, self.model.edits))

    # On the worker thread ----------------------------------------------------------------------------------------

    def _publish(self, progress: float, message: str) -> None:
        with self.hold_trait_notifications():
            super()._publish(progress, message)
            self.frame += 1

    def _ended(self) -> None:
        self.stopped = self.trace is not None and not self.trace.complete
        self.frame += 1

    def _idling(self) -> None:
        if self.details is None:
            self._read_examined()

    def _replace(self, fact: Fact, trace: Trace) -> None:
        """Put a trace in the place of the one before, which is kept for comparison if it is of the same prompt."""
        if trace is self.trace:  # resumed
            self.stopped = False
            return
        old = self.trace
        alike = old is not None and old.complete and old.token_ids == trace.token_ids and old.metric == trace.metric
        self.previous = old if alike else None
        self.fact, self.stopped = fact, False
        self.selection = self.examined = None
        self.run += 1
        self.trace = trace

    def _trace(self, fact: Fact, updates: Iterator[Update]) -> None:
        published, clock = 0.0, TimeLeft()
        with self.model.exclusive(self._stop):
            with self.gate:
                self._set_status("tracing")
            answers = self._answers(fact)
            for update in updates:
                with self.gate, self.hold_trait_notifications():
                    if not update.tokens:
                        self._replace(fact, update.trace)
                        self.comparison = answers  # with the first cells: those of another fact must not stay
                    now = time.monotonic()
                    if now - published >= PUBLISH_SECONDS or update.progress == 1:
                        published = now
                        left = clock.seconds(update.progress, least=LEAST_SECONDS)
                        self._publish(update.progress, "tracing" if left is None else f"tracing, {roughly(left)} left")

    def _compare(self, fact: Fact) -> None:
        answers = self._answers(fact)
        with self.gate:
            self.comparison = answers

    def _answers(self, fact: Fact, k: int = 5) -> tuple[tuple[str, float, float], ...]:
        """Read the top answers with the original weights and with the present ones."""
        with self.model.unedited():
            before = self.model.next_token(fact.prompt)
        after = self.model.next_token(fact.prompt)
        top = dict.fromkeys([*before.topk(k).indices.tolist(), *after.topk(k).indices.tolist()])
        best = sorted(top, key=lambda i: -max(float(before[i]), float(after[i])))[: k + 1]
        return tuple((self.model.token(i), float(before[i]), float(after[i])) for i in best)

    # Reading a cell ----------------------------------------------------------------------------------------------

    @t.observe("selection")
    def _selected(self, change: Any) -> None:
        self.examined = change["new"]

    @t.observe("examined")
    def _examine(self, _change: Any) -> None:
        with self.gate:
            self._read_examined()

    def _read_examined(self) -> None:
        """Have the cell in question read once the worker is free; whatever else was to be read no longer is.

        While a trace or an edit is computed nothing is read: `_run` calls this again at its end. Nor is a cell of an
        outdated trace, whose runs cannot be had again; its layer can be selected for the next edit all the same.
        """
        self._no_read()
        self.details = None
        trace, cell = self.trace, self.examined
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
