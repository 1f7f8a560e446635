"""Editing the fact in hand, and changing the edits that the model carries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import traitlets as t

from factlens.editing import METHODS, Edit, defaults
from factlens.editing.api import STAGES, quiet_edit, settle
from factlens.editing.calibrated import CALIBRATED
from factlens.editing.hparams import Defaults
from factlens.editing.looking import Look, looked
from factlens.editing.methods import DEFAULT_METHOD
from factlens.editing.settings import by_look, is_open
from factlens.errors import FactError, FactlensError
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.belonging import edit_id
from factlens.notices import Notice
from factlens.progress import Stage, Stages
from factlens.session.following import label_of
from factlens.session.locating import Locating
from factlens.session.received import bytes_of, file_name, read_bytes
from factlens.session.remarking import on_target, others_than
from factlens.session.working import Asked, Work, as_state, gesture
from factlens.spelling import Exactly, Wording
from factlens.tracing.subject import layer_by
from factlens.warned import warnings_kept

_LAST, _OF_LAST = Stage("writing", "writing the weights, and asking what the model says now"), 0.05
_BY_TRACE = "the last layer with much of the MLP's effect in the trace of this fact"


class Editing(Locating):
    """What is to be changed, and what has been.

    Attributes
    ----------
    method
        How the next edit is made.
    spelt
        A new object that is being written, and its tokens after the prompt: ``{"text", "pieces", "why", "notices"}``;
        why it has none, where it cannot have any; and what else there is to say of it, as in `notes`.
    remarks
        What there is to say of what was done last, as texts: that the model would spell a new object otherwise, or that
        nothing was found to be best.
    """

    # Live: a method that is registered later may be chosen.
    method = t.Enum(METHODS, default_value=DEFAULT_METHOD)  # type: ignore[call-overload]
    spelt = t.Dict()
    remarks = t.Tuple()

    def __init__(self, model: Model, fact: Fact | None = None) -> None:
        super().__init__(model, fact)
        self.spell(self.target)

    def choose_method(self, method: str) -> None:
        """Choose how the next edit is made."""
        with self._asked("edit", "The method was not chosen"):
            METHODS.named("method", method)
            self.method = method

    def spell(self, text: Wording) -> None:
        """Tokenise a new object as an edit would; one without tokens has no pieces, and the reason why not."""
        with self.gate:
            self.check_open()
            pieces: tuple[str, ...] = ()
            why, notices = "", list[Notice]()
            if isinstance(text, Exactly) or text.strip():
                try:
                    _, ids = self.model.encode_option(self.fact.prompt if self.fact else "", text)
                    pieces = tuple(self.model.token(i) for i in ids)
                except FactlensError as error:
                    why = str(error)
                    notices = [error.notice] if error.notice else []
                notices += on_target(text, pieces, self.says, self._other_answers, made=self._has_made(text))
            states = tuple(as_state(notice, "spell") for notice in notices)
            self.spelt = {"text": text, "pieces": pieces, "why": why, "notices": states}

    @t.observe("target", "fact")
    def _respell(self, change: Any) -> None:
        self.remarks = ()
        # A new prompt leaves what is being written, and may split it otherwise.
        self.spell(self.target if change["name"] == "target" else self.spelt.get("text", self.target))

    @property
    def _other_answers(self) -> list[str]:
        """What the model may say in a new object's place, the most probable first."""
        return [answer for answer, *_ in self.comparison]

    def _has_made(self, target: Wording) -> bool:
        """Whether an edit in force makes the model say a new object behind this prompt."""
        facts = [fact for edit in self.edits if isinstance(edit, Edit) for fact in edit.facts]
        return self.fact is not None and any((fact.prompt, fact.target) == (self.fact.prompt, target) for fact in facts)

    @t.observe("comparison", "answers_due")
    def _spell_again(self, _change: Any) -> None:
        """Say anew what there is to say of a new object: the model answers otherwise now."""
        if self.spelt and not self.closed:
            self.spell(self.spelt["text"])

    @gesture("edit", "edit", "The edit was not applied")
    def start_edit(
        self,
        target: Wording | None = None,
        layer: int | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> Work:
        """Make the model answer `target`: at `layer`, else at the selected one, else at the method's default.

        A method that spreads an edit over layers takes as many as by default, up to the chosen one. Where nothing says
        where to edit, `factlens.edit` looks first. `settings` are those of `factlens.edit`.
        """
        if self.fact is None:
            raise FactError("There is no fact to edit yet: write a prompt and its subject, and trace it.")
        if target is not None:
            self._gesture = Asked("apply", {"target": str(target), "layer": layer})
        fact = self.fact.with_target(self.target if target is None else target)
        numbers = _numbers(settings or {})
        chosen = (self.edit_layers or None) if layer is None else self.layers_up_to(layer)
        settle(self.model, self.method, chosen, numbers)
        method = self.method
        return lambda: self._edit(fact, method, chosen, numbers)

    @gesture("undo", "edit", "Nothing was undone")
    def start_undo(self, key: str | None = None) -> Work:
        """Take back the newest edit if it is the one with this id, else nothing. Default: the newest that is listed."""
        if key is None and not self.edits:
            raise FactError("There is nothing to undo: the weights are unedited.")
        named = edit_id(self.edits[-1]) if key is None else key
        self.named(named, newest=True)
        return lambda: self._change(lambda: self.model.undo(self.named(named, newest=True), origin=self.origin))

    @gesture("redo", "edit", "Nothing was redone")
    def start_redo(self, key: str | None = None) -> Work:
        """Put back the edit that was undone last if it is the one with this id, else nothing. Default: that one."""
        if key is None and not self.undone:
            raise FactError("There is nothing to redo.")
        named = edit_id(self.undone[0]) if key is None else key
        self.check_redo(named)

        def redo() -> None:
            self.check_redo(named)
            self.model.redo(origin=self.origin)

        return lambda: self._change(redo)

    @gesture("take an edit out", "edit", "Nothing was taken out")
    def start_drop(self, key: str) -> Work:
        """Take out the edit with this id, at any place in the stack; the others stay."""
        self.named(key)
        return lambda: self._change(lambda: self.model.undo(self.named(key), origin=self.origin))

    @gesture("keep", "edit", "The change was not kept")
    def start_keep(self) -> Work:
        """Keep changes that other code has made to weights under edits; see `factlens.models.Model.keep_changes`."""
        return self._settling(lambda: self.model.keep_changes(stop=self._stop))

    @gesture("go back", "edit", "The weights were not brought back")
    def start_revert(self) -> Work:
        """Undo changes that other code has made to weights under edits; see `factlens.models.Model.revert_changes`."""
        return self._settling(lambda: self.model.revert_changes(stop=self._stop))

    def _settling(self, settle: Work) -> Work:
        if self.foreign is None:
            raise FactError("That is settled: no weights under edits are known to have been changed by others.")

        def work() -> None:
            # Without the look that `_at_work` begins with: what it would find is what is settled here.
            settle()
            self._change(lambda: None)

        return work

    @gesture("apply an edit", "edit", "The file was not applied")
    def start_load(self, data: bytes) -> Work:
        """Apply an edit from the bytes of a file that `factlens.Edit.save` has written."""
        edit = read_bytes(data, Edit.load, "model.apply(fl.Edit.load(path))")
        for layer in edit.layers:
            self.model.check_layer(layer)
        return lambda: self._change(lambda: self.model.apply(edit, origin=self.origin))

    @gesture("change the edits", "edit", "The edits in force were not changed")
    def start_edits(self, edits: Sequence[Any]) -> Work:
        """Let the model carry these edits and no others, oldest first."""
        for edit in edits:
            if not isinstance(edit, Edit):
                raise FactError(f"Edits are what factlens.edit and factlens.Edit.load return, not {edit!r:.200}.")
        return lambda: self._change(lambda: self.model.set_edits(edits, origin=self.origin))

    def saved(self, key: str) -> tuple[str, bytes]:
        """Return a file name and the bytes of the edit in force with this id."""
        with self.gate:
            self.check_open()
            edit = self.named(key)
        if not isinstance(edit, Edit):
            raise FactlensError(f"“{label_of(edit)}” was made by hand, and is no edit that can be saved.")
        return file_name(edit.label, "edit"), bytes_of(edit)

    @property
    def not_taken(self) -> str:
        """What there is to say of the newest edit in force if it did not take, see `Edit.warning`; else empty."""
        newest = self.edits[-1] if self.edits else None
        return newest.warning if isinstance(newest, Edit) else ""

    @property
    def edit_layer(self) -> int:
        """The layer that an edit would change, or the last of several: the selected one, else the method's default."""
        return int(self.selection["layer"]) if self.selection else self.default_layer

    @property
    def edit_layers(self) -> tuple[int, ...]:
        """All layers that an edit would change; empty where a look at the model is to say that first."""
        return () if self._looks_first else self.layers_up_to(self.edit_layer)

    @property
    def defaults(self) -> Defaults:
        """The method's layers and settings for the model, and where they are from.

        Where nothing else says where to edit, the trace of the fact in hand does.
        """
        layer = self._traced_layer() if self._nothing_else else None
        if layer is None:
            return defaults(self.model, self.method)
        return by_look(self.model, self.method, Look(layer, _BY_TRACE))

    @property
    def _nothing_else(self) -> bool:
        return is_open(self.model, self.method) and looked(self.model) is None

    @property
    def _looks_first(self) -> bool:
        return not self.selection and self._nothing_else and self._traced_layer() is None

    def _traced_layer(self) -> int | None:
        trace, fact = self.trace, self.fact
        if trace is None or fact is None or trace.fingerprint != self.base:
            return None
        alike = (trace.fact.prompt, trace.fact.subject_span) == (fact.prompt, fact.subject_span)
        return layer_by(trace) if alike else None

    @property
    def default_layer(self) -> int:
        """The method's default layer for the model, or the last of several."""
        return self.defaults.layers[-1]

    @property
    def calibrated(self) -> tuple[int, str] | None:
        """The layer that a calibration has measured for the method (the last of several), and that in words."""
        default = defaults(self.model, self.method)  # asked with each frame: no trace is looked at for it
        return (default.layers[-1], default.source) if default.source.startswith(CALIBRATED) else None

    def layers_up_to(self, layer: int) -> tuple[int, ...]:
        """Return as many layers as the method edits by default, of which `layer` is the last."""
        last = self.model.check_layer(layer)
        count = len(self.defaults.layers)
        return tuple(range(max(0, last - count + 1), last + 1))

    @property
    def knobs(self) -> dict[str, float]:
        """The settings of the method that the page offers, with their defaults for the model.

        One that is left open there follows from others, which are offered in its place.
        """
        hparams = self.defaults.hparams
        values = {knob: getattr(hparams, knob.name) for knob in METHODS[self.method].knobs}
        offered = {knob.name: value for knob, value in values.items() if value is not None}
        return {
            knob.name: offered[knob.name]
            for knob in values
            if knob.name in offered and (knob.instead_of is None or knob.instead_of not in offered)
        }

    # On the worker thread ----------------------------------------------------------------------------------------

    def _edit(self, fact: Fact, method: str, layers: tuple[int, ...] | None, settings: dict[str, Any]) -> None:
        stages = Stages({**STAGES, _LAST: _OF_LAST})

        def say(stage: str, share: float) -> None:
            self._say(*stages.say(stage, share))

        with self._at_work("editing"):
            options = {"progress": say, "stop": self._stop, **settings}
            # A warning on this thread would be lost: `not_taken` and `remarks` say it.
            with warnings_kept() as warned, self._offering_others(fact):
                edit = quiet_edit(self.model, fact, method=method, layers=layers, apply=False, **options)
            say(_LAST, 0.0)
            self.model.apply(edit, origin=self.origin)
            with self.gate:
                self.fact = fact
                self.target = fact.target or ""
                noted = {note["text"] for note in self.notes}
                self.remarks = tuple(remark for remark in map(str, warned) if remark not in noted)
            self._compare(fact)

    @contextmanager
    def _offering_others(self, fact: Fact) -> Iterator[None]:
        """Let an error about a new object that has no way out offer other answers of the model."""
        try:
            yield
        except FactError as error:
            if error.notice is not None and error.notice.field == "target" and not error.notice.offers:
                error.at(replace(error.notice, offers=others_than(str(fact.target), self._other_answers)))
            raise

    def _change(self, change: Work) -> None:
        """Change the stack of edits, with the model in hand, so that what is listed is what there is."""
        with self._at_work("editing"):
            change()
            if self.fact is not None:
                self._compare(self.fact)


def _numbers(settings: Mapping[str, object]) -> dict[str, float]:
    """Return settings from outside, if each is a number."""
    numbers: dict[str, float] = {}
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise FactError(f"{name} must be a number, not {value!r}.")
        # JSON does not tell 20 from 20.0, and steps are counted.
        numbers[str(name)] = int(value) if float(value).is_integer() else value
    return numbers
