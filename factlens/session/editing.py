"""Editing the fact in hand, and the edits that the model carries."""

from __future__ import annotations

from collections.abc import Callable

import traitlets as t

from factlens.editing import defaults
from factlens.editing import edit as make_edit
from factlens.errors import FactError
from factlens.facts import Fact
from factlens.models import Model
from factlens.session.locating import Locating


class Editing(Locating):
    """What is to be changed, and what has been.

    Attributes
    ----------
    edits
        The edits that the model carries.
    """

    edits = t.Tuple()

    def __init__(self, model: Model, fact: Fact | None = None) -> None:
        super().__init__(model, fact)
        self.edits = model.edits

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

    @property
    def edit_layer(self) -> int:
        """The layer that an edit would change: the selected one, else the method's default."""
        return int(self.selection["layer"]) if self.selection else self.default_layer

    @property
    def default_layer(self) -> int:
        """The method's default layer for the model."""
        return defaults(self.model, "rome").layers[-1]

    # On the worker thread ----------------------------------------------------------------------------------------

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
