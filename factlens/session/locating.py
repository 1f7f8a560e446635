"""Locating a fact: its trace, the selected cell, and what that cell knows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import traitlets as t

from factlens.conversations import Conversation
from factlens.errors import FactError, WrongModel
from factlens.evaluation.answer_change import top_answers
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.chats import as_one_text
from factlens.models.interrupts import stopped_by
from factlens.session.choosing import Choosing
from factlens.session.received import bytes_of, file_name, read_bytes
from factlens.session.remarking import on_prompt
from factlens.session.worker import Doing, Job
from factlens.session.working import PUBLISH_SECONDS, Asked, Work, as_state, gesture
from factlens.session.written import written_down
from factlens.spelling import Exactly, Wording
from factlens.timing import TimeLeft, roughly
from factlens.tracing import Trace, Update, stream, stream_rest
from factlens.tracing import details as read_details
from factlens.tracing.alternatives import other_subjects
from factlens.tracing.options import made_with
from factlens.tracing.ownership import check_trace
from factlens.tracing.sites import expand_kinds
from factlens.warned import warnings_kept

LEAST_SECONDS = 1.0
"""No guess about the remaining time before that."""


class Locating(Choosing):
    """A fact in hand, and where the model keeps it.

    Attributes
    ----------
    fact
        The fact in hand; None until one is given.
    notes
        What a user should know of how its prompt is read, each a ``{"field", "text", "offers"}``; an offer is what a
        button says and does, ``{"label", "gesture", "changes"}``, with what it writes by field.
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
    answers_due
        Whether the weights have changed since these were read; they are read again as soon as nothing else is to do.
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
    target: Any = t.Union([t.Unicode(), t.Instance(Exactly)], default_value="")
    notes = t.Tuple()
    comparison = t.Tuple()
    answers_due = t.Bool(False)

    def __init__(self, model: Model, fact: Fact | None = None) -> None:
        super().__init__(model)
        # What waits for the worker to be free, or has it: the newest read of a cell, and of the answers.
        self._read: Job | None = None
        self._refresh: Job | None = None
        # Of a fact, the names last looked for.
        self._others: tuple[Fact | None, tuple[str, ...]] = (None, ())
        if fact is not None:
            self.fact = as_one_text(model.tokenizer, fact)
            self.target = fact.target or ""

    @property
    def new_object(self) -> Wording | None:
        """The new object that is in the box; None where there is nothing but white space."""
        return self.target if isinstance(self.target, Exactly) or self.target.strip() else None

    @gesture("trace", "locate", "This fact cannot be traced")
    def start_trace(
        self,
        prompt: str | None = None,
        subject: str | None = None,
        *,
        chat: bool = False,
        slot: str | None = None,
        of: Fact | None = None,
    ) -> Work:
        """Trace the fact in hand, or another one; what was there before stays until the new one is accepted.

        Parameters
        ----------
        prompt, subject, slot
            As for `Fact`.
        chat
            Ask the prompt in a chat, with the same turns around it as that of the fact in hand.
        of
            The fact, in the place of these.
        """
        fact = self.fact if of is None else of
        if prompt is not None or subject is not None:
            self._gesture = Asked("trace", {"prompt": prompt or "", "subject": subject or ""})
            self.check_settings()
            fact = self._written(prompt or "", subject or "", chat, slot)
        if fact is None:
            raise FactError("There is no fact to trace yet: write a prompt and its subject.")
        # Too long, or a subject without tokens: refused before anything is lost.
        read = self.model.as_read(fact, warned=False)
        self._no_read()
        if of is not None and of.target:
            self.target = of.target
        with warnings_kept():  # of what the notes say
            updates = stream(self.model, read, stop=self._stop, **self.options)
        return lambda: self._trace(read, updates)

    def _written(self, prompt: str, subject: str, chat: bool, slot: str | None) -> Fact:
        """Return the fact that was written down; the one in hand where nothing of it was changed."""
        if slot is None and self.fact is not None and (prompt, subject, chat) == written_down(self.fact):
            return self.fact.with_target(self.new_object)
        around = None
        if chat:
            in_hand = self.fact and self.fact.conversation
            around = replace(in_hand, spans=()) if in_hand else Conversation()
        return Fact(prompt, subject, self.new_object, slot=slot, conversation=around)

    @t.observe("fact", "comparison")
    def _take_notes(self, _change: Any) -> None:
        if self.fact is None:
            self.notes = ()
            return
        self.notes = tuple(as_state(notice, "trace") for notice in on_prompt(self.model, self.fact, self.says))

    @property
    def says(self) -> tuple[str, float] | None:
        """What the model continues the prompt with now, and how probable that is; None where it was not read."""
        if not self.comparison or self.answers_due:
            return None
        text, _, probability = max(self.comparison, key=lambda answer: float(answer[2]))
        return text, probability

    @gesture("resume", "locate", "This trace cannot be resumed")
    def start_resume(self) -> Work:
        """Compute what a stopped trace lacks; what it has stays."""
        trace = self.trace
        if trace is None or trace.complete:
            raise FactError("There is nothing to resume: no trace was stopped.")
        # As far as is known here; with the model in hand it is looked at again.
        check_trace(self.model, trace, weights=self.weights)
        self._no_read()
        return lambda: self._trace(trace.fact, stream_rest(self.model, trace, stop=self._stop))

    def take(self, trace: Trace) -> None:
        """Show a trace that was computed elsewhere, or saved, as if it had been computed here.

        Raises
        ------
        WrongModel
            If it is another model's. One that was made with other edits is shown, and is `outdated`.
        """
        with self.gate:
            self.check_open()
            self._check_idle("show a trace")
            self._check_fits(trace)
            self._no_read()
            with self.hold_trait_notifications():
                if self.fact is None or self.fact.prompt != trace.fact.prompt:
                    self.comparison, self.answers_due = (), True
                self._replace(trace.fact, trace)
                self.error = None
                self.stopped = not trace.complete
                self.frame += 1
                self._idling()

    def _check_fits(self, trace: Trace) -> None:
        """Raise an error if the model in hand cannot have made a trace; what a file says of itself is not trusted."""
        model = self.model
        # Another fingerprint than the known one may be that of weights that were not looked at since.
        weights = self.weights if trace.fingerprint == self.base else None
        check_trace(model, trace, edits=False, weights=weights)
        if trace.n_layers != model.n_layers:
            raise FactError(f"This trace has {trace.n_layers} layers, but {model.name} {model.n_layers}.")
        tokens = len(model.model.get_input_embeddings().weight)
        asked = (*trace.answer_ids, *trace.contrast_ids)
        if model.encode(trace.fact).subject_range != trace.subject_range or max(asked) >= tokens:
            raise WrongModel("This trace was made with another tokenizer than the one of the model in this lens.")
        expand_kinds(trace.kinds, model.n_heads)

    def open(self, data: bytes) -> None:
        """Show a trace from the bytes of a file that `factlens.Trace.save` has written."""
        with self._asked("locate", "The file was not opened"):
            self.take(read_bytes(data, Trace.load, "lens.trace = fl.Trace.load(path)"))

    def saved_trace(self) -> tuple[str, bytes]:
        """Return a file name and the bytes of the trace that is shown.

        Raises
        ------
        FactlensError
            If there is none, or it is being computed.
        """
        with self.gate:
            self.check_open()
            self._check_idle("save the trace")
            if self.trace is None:
                raise FactError("There is no trace to save.")
            return file_name(self.trace.fact.prompt, "trace"), bytes_of(self.trace)

    def select(self, kind: object, token: object, layer: object) -> bool:
        """Select a cell, and with it the layer to edit; return whether there is such a cell."""
        with self._asked("locate", "This cell cannot be selected"):
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
            self.check_open()
            if cell == self.examined and self.details is None and not self.reading:
                self._read_examined()  # chosen once more after an error
            self.examined = cell

    @property
    def complete(self) -> bool:
        """Whether there is a trace, with all of its cells."""
        return self.trace is not None and self.trace.complete

    @property
    def outdated(self) -> bool:
        """Whether the model has other weights than it had when it was traced: other edits, or another base."""
        # The edits as they are listed: the model itself goes without them for moments, while it is asked.
        return self.trace is not None and (self.trace.fingerprint, self.trace.edit_ids) != self.weights.key

    @property
    def set_otherwise(self) -> bool:
        """Whether the trace that is shown was made with other settings than are chosen now."""
        return self.trace is not None and not made_with(self.model, self.trace, self.options)

    @property
    def other_subjects(self) -> tuple[str, ...]:
        """Names that may replace the subject; see `factlens.tracing.alternatives`."""
        fact = self.fact
        if fact is None:
            return ()
        if self._others[0] is not fact:
            self._others = fact, other_subjects(self.model, fact)
        return self._others[1]

    # On the worker thread ----------------------------------------------------------------------------------------

    def _worker_changed(self, doing: Doing) -> None:
        with self.hold_trait_notifications():
            if doing.status == "idle":
                self.stopped = self.trace is not None and not self.trace.complete
                self.frame += 1
            super()._worker_changed(doing)
            if doing.status == "idle" and not self.closed:
                self._idling()

    def _idling(self) -> None:
        if self.details is None:
            self._read_examined()
        # Weights under edits that other code has changed: there are no answers before that is settled.
        if self.answers_due and self.foreign is None:
            self._read_answers()

    def _give_way(self) -> None:
        self.worker.drop(self._refresh)

    def _give_up(self) -> None:
        super()._give_up()
        self._no_read()

    def _weights_changed(self) -> None:
        super()._weights_changed()
        self.answers_due = self.fact is not None
        if self.outdated:
            self._no_read()
        if self.selection and self.selection["layer"] >= self.model.n_layers:
            self.selection = None
        if self.status == "idle":
            self._idling()

    def _replace(self, fact: Fact, trace: Trace) -> None:
        """Put a trace in the place of the one before, which is kept for comparison if it is of the same prompt."""
        if trace is self.trace:  # resumed
            self.stopped = False
            return
        old = self.trace
        alike = old is not None and old.complete and old.token_ids == trace.token_ids
        self.previous = old if old is not None and alike and old.measure == trace.measure else None
        self.fact, self.stopped = fact, False
        self.selection = self.examined = None
        self.run += 1
        self.trace = trace

    def _trace(self, fact: Fact, updates: Iterator[Update]) -> None:
        published, clock = 0.0, TimeLeft()
        with self._at_work("tracing"):
            answers = top_answers(self.model, fact.prompt)
            for update in updates:
                with self.gate, self.hold_trait_notifications():
                    if not update.tokens:
                        self._replace(fact, update.trace)
                        # With the first cells: those of another fact must not stay.
                        self.comparison, self.answers_due = answers, False
                    now = time.monotonic()
                    if now - published >= PUBLISH_SECONDS or update.progress == 1:
                        published = now
                        left = clock.seconds(update.progress, least=LEAST_SECONDS)
                        message = "tracing" if left is None else f"tracing, {roughly(left)} left"
                        self.worker.progress(update.progress, message)
                        self.frame += 1

    def _compare(self, fact: Fact) -> None:
        answers = top_answers(self.model, fact.prompt)
        with self.gate, self.hold_trait_notifications():
            if self.fact is not None and self.fact.prompt == fact.prompt:
                self.comparison, self.answers_due = answers, False

    def _read_answers(self) -> None:
        """Have the answers read again once the worker is free; a gesture goes first, and they are read after it."""
        if self._refresh is None or self._refresh.stop.is_set():
            title = "The answers were not brought up to date"
            self._refresh = Job("answers are being read", "edit", title, self._answer_again)
            self.worker.put(self._refresh)

    def _answer_again(self, stop: threading.Event) -> None:
        try:
            with self.model.watched(stop), stopped_by(stop):
                with self.gate:
                    # What changes from now on comes after, and has to be read again.
                    self._refresh, fact = None, self.fact
                    self._no_foreign_change()
                if fact is not None:
                    self._compare_or_forget(fact)
        finally:
            with self.gate:
                if self._refresh is not None and self._refresh.stop is stop:
                    self._refresh = None

    def _compare_or_forget(self, fact: Fact) -> None:
        try:
            self._compare(fact)
        except Exception:
            with self.gate:
                self.comparison, self.answers_due = (), False
            raise

    # Reading a cell ----------------------------------------------------------------------------------------------

    @t.observe("selection")
    def _selected(self, change: Any) -> None:
        self.examined = change["new"]

    @t.observe("examined")
    def _examine(self, _change: Any) -> None:
        with self.gate:
            self._read_examined()

    def _read_examined(self) -> None:
        """Have the cell in question read once the worker is free, in place of any other.

        While a trace or an edit is computed nothing is read: this is called again at its end. Nor is a cell of an
        outdated trace, whose runs cannot be had again; its layer can be selected for the next edit all the same.
        """
        self._no_read()
        self.details = None
        trace, cell = self.trace, self.examined
        if trace is None or cell is None or self.status != "idle" or self.outdated or self.closed:
            return
        self.reading = True
        work = partial(self._read_cell, trace, cell)
        self._read = Job("a cell is being read", "details", "This cell could not be read", work)
        self.worker.put(self._read)

    def _no_read(self) -> None:
        """Give up the read that is waiting or going on; an error of an earlier one has become old news."""
        self.worker.drop(self._read)
        self.reading = False
        if self.error and self.error["place"] == "details":
            self.error = None

    def _read_cell(self, trace: Trace, cell: dict[str, Any], unwanted: threading.Event) -> None:
        details = None
        try:
            with self.model.exclusive(unwanted), stopped_by(unwanted):
                if unwanted.is_set():  # while it waited for the model
                    return
                details = read_details(self.model, trace, **cell).to_dict()
        except Exception:
            if not unwanted.is_set():
                raise
        finally:
            with self.gate, self.hold_trait_notifications():
                if not unwanted.is_set():
                    self.details, self.reading = details, False
