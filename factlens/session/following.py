"""What the model carries, as it is: all lenses that show it follow every change, and say who made it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import traitlets as t

from factlens.errors import FactError, WeightsChanged
from factlens.models import Model
from factlens.models.belonging import Weights, edit_id, ids_of
from factlens.models.interrupts import stopped_by
from factlens.models.record import ModelEvent
from factlens.models.weights import WeightEdit
from factlens.session.worker import Doing
from factlens.session.working import Working

_REMEMBERED = 50
_FATES = {
    "undone": "{} has undone it",
    "kept": "{} has kept a change of the weights outside factlens, of which it has become part",
    "brought back": "{} was interrupted, and the edits before were brought back",
}


class Following(Working):
    """The edits and the weights of a model, told apart by what they are and not by who shows them.

    Attributes
    ----------
    edits, undone
        The edits that the model carries, and those that can be redone, the next one first.
    origins
        For each of `edits` who has put it there: the `origin` of a session, or None for Python code.
    base
        Fingerprint of the weights under the edits, as of the last look.
    foreign
        The weights under edits that other code has changed, as ``{"text", "parameters"}``, until that
        is settled; None as a rule.
    heard
        Counts the news of the model.
    calibrations
        Counts those of the model, by whomever: edits may go elsewhere by default since.
    """

    edits = t.Tuple()
    undone = t.Tuple()
    origins = t.Tuple()
    base = t.Unicode("")
    foreign: Any = t.Dict(allow_none=True, default_value=None)
    heard = t.Int(0)
    calibrations = t.Int(0)

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._fates: dict[str, str] = {}
        self._take()

    @property
    def weights(self) -> Weights:
        """The weights that the model has, as far as the session knows."""
        return Weights(self.model.name, self.base, ids_of(self.edits), tuple(map(label_of, self.edits)))

    def catch_up(self) -> None:
        """Show the model's stack as it is; nothing happens if that is so already."""
        with self.gate:
            self.check_open()
            before = self.weights.key
            with self.hold_trait_notifications():
                self._take()
                if self.weights.key != before:
                    self._weights_changed()

    def _take(self) -> None:
        stacked = self.model.stack
        self.edits, self.undone = stacked.edits, tuple(entry.edit for _, entry in reversed(stacked.undone))
        self.origins = tuple(entry.origin for entry in stacked.entries)
        self.base = self.model.known_fingerprint

    def _give_up(self) -> None:
        super()._give_up()
        self.model.forget(self._hear)

    def _hear(self, event: ModelEvent) -> None:
        """Follow what has happened to the model, on the thread that did it."""
        with self.gate:
            if self.closed:
                return
            with self.reporting("edit", "An observer failed"), self.hold_trait_notifications():
                before = self.edits
                self.heard += 1
                self.calibrations += event.what == "calibrated"
                settled = event.what in ("kept", "reverted")
                if settled:
                    self._no_foreign_change()
                self.catch_up()
                if settled and self.status == "idle":
                    self._idling()
                self._remember(before, event)

    def _weights_changed(self) -> None:
        """Follow what depends on the weights; the session has the gate."""

    def _idling(self) -> None:
        """Begin what waits for the session to be idle; it has the gate."""

    @contextmanager
    def _at_work(self, status: str) -> Iterator[None]:
        """Have the model for a job, with a look at every weight: what is computed is of the weights that are shown."""
        with self.model.watched(self._stop), stopped_by(self._stop):
            with self.gate:
                self.catch_up()
                self.worker.tell(Doing(status))
                self._no_foreign_change()
            yield

    # Others -----------------------------------------------------------------------------------------------------

    def _failed(self, error: BaseException, place: str, title: str) -> None:
        super()._failed(error, place, title)
        if isinstance(error, WeightsChanged) and error.parameters:
            self.foreign = {"text": self.error["text"], "parameters": list(error.parameters)}

    def _no_foreign_change(self) -> None:
        """Take note that the weights under edits are what the edits say; the session has the gate."""
        if self.foreign is None:
            return
        if self.error and self.error["text"] == self.foreign["text"]:
            self.error = None
        self.foreign = None

    # Who, and what became of it ---------------------------------------------------------------------------------

    def who(self, origin: str | None) -> str:
        """Return in words who has done something to the model."""
        return "Python" if origin is None else "this lens" if origin == self.origin else "another lens"

    def named(self, key: str, *, newest: bool = False) -> WeightEdit:
        """Return the edit in force with this id.

        Parameters
        ----------
        key
            Which one is meant.
        newest
            Whether it has to be the one on top.

        Raises
        ------
        FactError
            If it is not in force any more, or not the newest; the message says why.
        """
        place = next((i for i, edit in enumerate(self.edits) if edit_id(edit) == key), None)
        if place is None:
            raise FactError(f"{self._gone(key)} The list shows what is in force now.")
        edit: WeightEdit = self.edits[place]
        if newest and place != len(self.edits) - 1:
            raise FactError(
                f"“{label_of(edit)}” is not the newest edit any more: {self.who(self.origins[-1])} has applied "
                f"“{label_of(self.edits[-1])}” after it. The list shows what is in force now: undo the newest first, "
                "or take out the one you mean."
            )
        return edit

    def check_redo(self, key: str) -> None:
        """Raise an error unless a redo would put back the edit with this id.

        Raises
        ------
        FactError
            If it would put back another one, or none; the message says why.
        """
        if self.undone and edit_id(self.undone[0]) == key:
            return
        if key in ids_of(self.edits):
            raise FactError("That edit is in force again already.")
        if not self.undone:
            raise FactError("There is nothing to redo any more: something else was done to the edits since.")
        raise FactError(
            f"Redo would put back “{label_of(self.undone[0])}” now, and not the edit that was named: another one was "
            "undone since."
        )

    def _remember(self, before: tuple[WeightEdit, ...], event: ModelEvent) -> None:
        """Keep in mind what became of edits that are not in force any more."""
        present = set(ids_of(self.edits))
        who = self.who(event.origin)
        for edit in before:
            if edit_id(edit) not in present:
                fate = _FATES.get(event.what, "{} has taken it out").format(who)
                self._fates.pop(edit_id(edit), None)
                self._fates[edit_id(edit)] = f"“{label_of(edit)}” is not in force any more: {fate}."
        for key in list(self._fates)[: max(0, len(self._fates) - _REMEMBERED)]:
            del self._fates[key]

    def _gone(self, key: str) -> str:
        return self._fates.get(key, "That edit is not in force any more.")


def label_of(edit: WeightEdit) -> str:
    """Return what an edit is called; one that was made by hand may have no label."""
    label = getattr(edit, "label", None)
    return label if isinstance(label, str) else f"an edit ({type(edit).__name__})"
