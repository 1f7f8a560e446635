"""Editing the fact in hand, and the edits that the model carries."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import traitlets as t

from factlens.editing import METHODS, Edit, defaults
from factlens.editing import edit as make_edit
from factlens.editing.api import settle
from factlens.editing.methods import ONE_LAYER
from factlens.errors import FactError, FactlensError
from factlens.facts import Fact
from factlens.models import Model
from factlens.session.locating import Locating
from factlens.session.received import bytes_of, file_name, read_bytes

_VALUE = ("clamp", "kl_factor", "steps", "learning_rate")
KNOBS: Mapping[str, tuple[str, ...]] = {
    "rome": _VALUE,
    "emmet": (*_VALUE, "ridge"),
    "memit": (*_VALUE, "moment_weight"),
    "alphaedit": (*_VALUE, "nullspace", "ridge"),
    "ft": ("steps", "learning_rate"),
    "ft_l": ("steps", "learning_rate", "limit"),
    "lora": ("steps", "learning_rate", "rank"),
}
"""The settings of each method that the page offers; all others can be had in code."""


class Editing(Locating):
    """What is to be changed, and what has been.

    Attributes
    ----------
    method
        How the next edit is made.
    edits, undone
        The edits that the model carries, and those that can be redone, the next one first.
    spelt
        A new object that is being written, and its tokens after the prompt: ``{"text", "pieces"}``.
    """

    method = t.Enum(METHODS, default_value="rome")
    edits = t.Tuple()
    undone = t.Tuple()
    spelt = t.Dict()

    def __init__(self, model: Model, fact: Fact | None = None) -> None:
        super().__init__(model, fact)
        self._stack_changed()
        self.spell(self.target)

    def choose_method(self, method: str) -> None:
        """Choose how the next edit is made."""
        with self.gate, self.reporting("edit", "The method was not chosen"):
            if method not in METHODS:
                raise FactError(f"There is no editing method {method!r}; there is {', '.join(METHODS)}.")
            self.method = method

    def spell(self, text: str) -> None:
        """Tokenise a new object as an edit would; one without tokens has no pieces."""
        with self.gate:
            pieces: tuple[str, ...] = ()
            if text.strip():
                with contextlib.suppress(FactlensError):
                    _, ids = self.model.encode_option(self.fact.prompt if self.fact else "", text.strip())
                    pieces = tuple(self.model.token(i) for i in ids)
            self.spelt = {"text": text, "pieces": pieces}

    @t.observe("target", "fact")
    def _respell(self, change: Any) -> None:
        # A new prompt leaves what is being written, and may split it otherwise.
        self.spell(self.target if change["name"] == "target" else self.spelt.get("text", self.target))

    def start_edit(
        self,
        target: str | None = None,
        layer: int | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Make the model answer `target`: at `layer`, else at the selected one, else at the method's default.

        A method that spreads an edit over layers takes as many as by default, up to the chosen one. `settings` are
        those of `factlens.edit`.
        """

        def begin() -> Callable[[], None]:
            self._check_idle("edit")
            if self.fact is None:
                raise FactError("There is no fact to edit yet: write a prompt and its subject, and trace it.")
            fact = self.fact.with_target(self.target if target is None else target)
            given = _numbers(settings or {})
            chosen = self.edit_layers if layer is None else self.layers_up_to(layer)
            settle(self.model, self.method, chosen, given)
            method = self.method
            return lambda: self._edit(fact, method, chosen, given)

        self._begin(begin, "edit", "The edit was not applied")

    def start_undo(self) -> None:
        """Take back the newest edit."""

        def begin() -> Callable[[], None]:
            self._check_idle("undo")
            if not self.model.edits:
                raise FactError("There is nothing to undo: the weights are unedited.")
            return lambda: self._change(self.model.undo)

        self._begin(begin, "edit", "Nothing was undone")

    def start_redo(self) -> None:
        """Put back the edit that was undone last."""

        def begin() -> Callable[[], None]:
            self._check_idle("redo")
            if not self.model.undone:
                raise FactError("There is nothing to redo.")
            return lambda: self._change(self.model.redo)

        self._begin(begin, "edit", "Nothing was redone")

    def start_drop(self, key: str) -> None:
        """Take out the edit with this `key_of`, wherever it stands; the others stay."""

        def begin() -> Callable[[], None]:
            self._check_idle("take an edit out")
            edit = self.edit_of(key)
            return lambda: self._change(lambda: self.model.drop(edit))

        self._begin(begin, "edit", "Nothing was taken out")

    def start_load(self, data: bytes) -> None:
        """Apply an edit from the bytes of a file that `factlens.Edit.save` has written."""

        def begin() -> Callable[[], None]:
            self._check_idle("apply an edit")
            edit = read_bytes(data, Edit.load, "model.apply(fl.Edit.load(path))")
            return lambda: self._change(lambda: self.model.apply(edit))

        self._begin(begin, "edit", "The file was not applied")

    def start_edits(self, edits: Sequence[Any]) -> None:
        """Let the model carry these edits and no others, oldest first."""

        def begin() -> Callable[[], None]:
            self._check_idle("change the edits")
            for edit in edits:
                if not isinstance(edit, Edit):
                    raise FactError(f"Edits are what factlens.edit and factlens.Edit.load return, not {edit!r:.200}.")
            return lambda: self._change(lambda: self.model.set_edits(edits))

        self._begin(begin, "edit", "The edits in force were not changed")

    def saved(self, key: str) -> tuple[str, bytes]:
        """Return a file name and the bytes of the edit with this `key_of`."""
        edit = self.edit_of(key)
        if not isinstance(edit, Edit):
            raise FactlensError(f"{edit} is not an edit that can be saved.")
        return file_name(edit.label, "edit"), bytes_of(edit)

    def edit_of(self, key: str) -> Any:
        """Return the edit in force with this `key_of`.

        Raises
        ------
        FactError
            If there is none, such as after it was taken out by somebody else.
        """
        for edit in self.model.edits:
            if key_of(edit) == key:
                return edit
        raise FactError("That edit is not in force any more.")

    @property
    def edit_layer(self) -> int:
        """The layer that an edit would change, or the last of several: the selected one, else the method's default."""
        return int(self.selection["layer"]) if self.selection else self.default_layer

    @property
    def edit_layers(self) -> tuple[int, ...]:
        """All layers that an edit would change."""
        return self.layers_up_to(self.edit_layer)

    @property
    def default_layer(self) -> int:
        """The method's default layer for the model, or the last of several."""
        return defaults(self.model, self.method).layers[-1]

    def layers_up_to(self, layer: int) -> tuple[int, ...]:
        """Return as many layers as the method edits by default, of which `layer` is the last."""
        last = self.model.check_layer(layer)
        count = 1 if self.method in ONE_LAYER else len(defaults(self.model, self.method).layers)
        return tuple(range(max(0, last - count + 1), last + 1))

    @property
    def knobs(self) -> dict[str, float]:
        """The settings of the method that the page offers, with their defaults for the model."""
        hparams = defaults(self.model, self.method).hparams
        return {name: getattr(hparams, name) for name in KNOBS[self.method]}

    # On the worker thread ----------------------------------------------------------------------------------------

    def _edit(self, fact: Fact, method: str, layers: tuple[int, ...], settings: dict[str, Any]) -> None:
        def say(step: str, share: float) -> None:
            with self.gate:
                names = {"second moment": "collecting the second moment of the keys", "value": "optimising v*"}
                self._publish(share, names.get(step, step) if method not in ("ft", "ft_l", "lora") else "fine-tuning")

        with self.model.exclusive(self._stop):
            with self.gate:
                self._set_status("editing")
            make_edit(self.model, fact, method=method, layers=layers, progress=say, stop=self._stop, **settings)
            with self.gate:
                self.fact = fact
                self.target = fact.target or ""
                self._stack_changed()
            self._compare(fact)

    def _change(self, change: Callable[[], object]) -> None:
        """Change the stack of edits."""
        with self.model.exclusive(self._stop):
            with self.gate:
                self._set_status("editing")
            change()
            with self.gate:
                self._stack_changed()
            if self.fact is not None:
                self._compare(self.fact)

    def _stack_changed(self) -> None:
        self.edits, self.undone = self.model.edits, self.model.undone


def key_of(edit: object) -> str:
    """Return what tells one edit in force from another."""
    return f"{id(edit):x}"


def _numbers(settings: Mapping[str, object]) -> dict[str, float]:
    """Return settings from outside, if each is a number."""
    found: dict[str, float] = {}
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise FactError(f"{name} must be a number, not {value!r}.")
        # JSON does not tell 20 from 20.0, and steps are counted.
        found[str(name)] = int(value) if float(value).is_integer() else value
    return found
