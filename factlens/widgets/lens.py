"""`Lens`: the widget in a cell. It joins a session's traits to the parts on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import ipywidgets as w
import traitlets as t

from factlens.editing import METHODS
from factlens.errors import FactlensError
from factlens.evaluation import Checks, Record
from factlens.facts import Fact
from factlens.models import Model
from factlens.session import Session
from factlens.tracing import Trace
from factlens.widgets.bars import AnswerBars
from factlens.widgets.gestures import Gestures
from factlens.widgets.heatmap import Heatmap
from factlens.widgets.panels import (
    METHOD_TITLES,
    DetailsPanel,
    EditPanel,
    JudgePanel,
    LocatePanel,
    details_state,
    edit_state,
    judge_state,
    locate_state,
)
from factlens.widgets.profile import LayerProfile
from factlens.widgets.snapshot import Snapshot
from factlens.widgets.wire import comparison_of, frame_of

LONGEST_TEXT = 50_000
"""Characters in a field of the page: more than any model here reads, and little enough to be tokenised at once."""

SETTABLE = ("fact", "trace", "selection", "target", "method", "edits", "checks")
"""The traits of a lens that say what its session's say, and can be set."""
MIRRORED = (*SETTABLE, "details", "judgement", "status", "progress", "error")
"""All that say what its session's say."""


class Lens(w.VBox):
    """Locate a fact in a model, choose a layer, edit it, see what changed: live, in a notebook cell.

    Parameters
    ----------
    model
        From `factlens.load` or `factlens.wrap`. Its weights are changed in place by edits made in the lens.
    fact
        The fact to begin with; its target, if it has one, is the new object proposed. A record of a data set is taken
        with its checks.
    checks
        What to ask about the fact after an edit. Default: atlas's own for its facts, else the prompt alone; prompts
        can be added on the page.

    Attributes
    ----------
    fact, trace, selection, edits, target, method, checks
        The state of the lens that is both observable and settable, as by the gesture on the page: setting `fact`
        traces it, setting `trace` shows one that was computed elsewhere or saved, setting `edits` lets the model
        carry these and no others. A trait says what is: where work has to be done first it changes when that is
        done, and what is refused raises a `TraitError` and changes nothing.
    pins, layer_range, token_range
        What is marked on the heatmap; see `factlens.Heatmap`.
    details, judgement, status, progress, error
        What only the lens itself changes. The meaning of all is that of `factlens.session.Session`.

    Examples
    --------
    >>> lens = Lens(model, fact)  # doctest: +SKIP
    >>> lens.observe(lambda change: print(change.new), "selection")  # doctest: +SKIP
    """

    fact = t.Instance(Fact, allow_none=True)
    trace = t.Instance(Trace, allow_none=True)
    selection: Any = t.Dict(allow_none=True, default_value=None)
    pins = t.List(t.Dict())
    layer_range: Any = t.Tuple(t.Int(), t.Int(), allow_none=True, default_value=None)
    token_range: Any = t.Tuple(t.Int(), t.Int(), allow_none=True, default_value=None)
    details = t.Dict(allow_none=True, default_value=None, read_only=True)
    target = t.Unicode("")
    method = t.Enum(METHODS, default_value="rome")
    edits = t.Tuple()
    checks = t.Instance(Checks, allow_none=True)
    judgement = t.Dict(allow_none=True, default_value=None, read_only=True)
    status = t.Unicode("idle", read_only=True)
    progress = t.Float(0.0, read_only=True)
    error = t.Dict(allow_none=True, default_value=None, read_only=True)

    def __init__(self, model: Model, fact: Fact | Record | None = None, *, checks: Checks | None = None) -> None:
        if not isinstance(model, Model):
            raise TypeError(
                f"A lens needs a factlens model, not {type(model).__name__}: "
                "factlens.load('atlas'), or factlens.wrap(model, tokenizer)."
            )
        if isinstance(fact, Record):
            checks = fact.checks if checks is None else checks
            fact = fact.fact
        self.session = Session(model, fact)
        self.session.checks = checks
        uid = uuid4().hex
        self.snapshot = Snapshot(uid)
        self.gestures = Gestures(self._gesture, lens=uid)
        self.locate = LocatePanel(lens=uid, state=locate_state(self.session))
        self.heatmap = Heatmap(lens=uid)
        self.profile = LayerProfile(lambda span: self.set_trait("layer_range", span))
        self.editor = EditPanel(lens=uid, state=edit_state(self.session))
        self.bars = AnswerBars()
        self.reader = DetailsPanel(lens=uid, state=details_state(self.session))
        # Side by side where there is room: an edit with what it changed, and what the selected cell knows.
        column = {"flex": "1 1 400px", "min_width": "0", "overflow": "visible"}
        self.judge = JudgePanel(lens=uid, state=judge_state(self.session))
        left = w.VBox([self.editor, self.bars], layout=w.Layout(**column))
        right = w.VBox([self.reader], layout=w.Layout(**column))
        self._boxes = (left, right, w.Box([left, right], layout=w.Layout(flex_flow="row wrap", overflow="visible")))
        # Below both: its tables have long prompts in them, and grow.
        super().__init__([self.gestures, self.locate, self.heatmap, self.profile, self._boxes[-1], self.judge])
        self.add_class("factlens-lens")
        self._boxes[-1].add_class("factlens-below")
        self._mirrored: dict[str, Any] = {}
        self.session.observe(self._changed)
        for name in ("pins", "layer_range", "token_range"):
            t.link((self.heatmap, name), (self, name))
        self.heatmap.observe(self._marked, ["pins", "layer_range"])
        self._mirror()

    def start(self) -> None:
        """Start the trace, as the Trace button does; returns at once."""
        self.session.start_trace()

    def close(self) -> None:
        """Stop what is running, end the worker thread, and take the lens off the page."""
        # Also called by the garbage collector, on a lens whose constructor has raised.
        if "session" in vars(self):
            self.session.close()
            for part in (
                self.gestures,
                self.locate,
                self.heatmap,
                self.profile,
                self.editor,
                self.judge,
                self.reader,
                self.bars,
                *self._boxes,
            ):
                part.close()
        super().close()

    def _ipython_display_(self) -> None:
        """Show the lens, and below it the picture that stays in the saved notebook; the living lens hides that."""
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)  # type: ignore[no-untyped-call]
        self.snapshot.show(self.session.trace, self.edits)

    def _display_(self) -> Any:
        """Show the lens in marimo, which asks for this: it has anywidgets, but neither ipywidgets' boxes nor bqplot."""
        from marimo import vstack

        return vstack([self.gestures, self.locate, self.heatmap, self.editor, self.judge, self.reader])

    def _gesture(self, name: str, payload: dict[str, Any], buffers: Sequence[memoryview] = ()) -> None:
        """Carry out a gesture of the browser; whatever is wrong with it becomes the session's error."""
        session = self.session
        with session.reporting("locate", "The page sent something that factlens does not understand"):
            if name == "trace":
                session.start_trace(_text(payload, "prompt"), _text(payload, "subject"))
            elif name == "resume":
                session.start_resume()
            elif name == "stop":
                session.stop()
            elif name == "select":
                if not session.select(payload.get("kind"), payload.get("token"), payload.get("layer")):
                    self.heatmap.refused += 1
            elif name in ("pins", "range"):
                self.heatmap.gesture(name, payload)
            elif name == "apply":
                self._apply(payload)
            elif name == "spell":
                session.spell(_text(payload, "target"))
            elif name == "method":
                session.choose_method(_text(payload, "method"))
            elif name == "judge":
                session.start_judge()
            elif name == "add_prompt":
                session.add_prompt(_text(payload, "prompt"))
            elif name == "remove_prompt":
                session.remove_prompt(_text(payload, "prompt"))
            elif name == "undo":
                session.start_undo()
            elif name == "redo":
                session.start_redo()
            elif name == "drop":
                session.start_drop(_text(payload, "key"))
            elif name == "save":
                file, data = session.saved(_text(payload, "key"))
                self.gestures.send({"type": "file", "name": file}, [data])
            elif name == "load":
                session.start_load(bytes(buffers[0]) if buffers else b"")
            elif name == "open":
                session.open(bytes(buffers[0]) if buffers else b"")
            elif name == "save_trace":
                file, data = session.saved_trace()
                self.gestures.send({"type": "file", "name": file}, [data])
            else:
                raise FactlensError(f"Unknown gesture {name!r}.")

    def _apply(self, payload: dict[str, Any]) -> None:
        settings = payload.get("settings", {})
        if not isinstance(settings, dict):
            raise FactlensError(f"settings must be named, not {type(settings).__name__}.")
        self.session.start_edit(_text(payload, "target"), payload.get("layer"), settings)

    @t.validate(*SETTABLE)
    def _asked_in_code(self, proposal: Any) -> Any:
        """Do what the gesture on the page does; return what is the case now."""
        name, wanted, session = proposal["trait"].name, proposal["value"], self.session
        with session.gate:
            if wanted is getattr(session, name) or wanted == getattr(session, name):
                return wanted  # also what `_mirror` sets
            failed, session.last_error = session.last_error, None
            if name == "fact":
                session.start_trace(of=wanted)
            elif name == "trace":
                with session.reporting("locate", "This trace cannot be shown"):
                    session.take(wanted)
            elif name == "edits":
                session.start_edits(wanted)
            elif name in ("method", "checks"):
                setattr(session, name, wanted)
            elif name == "target":
                with session.reporting("edit", "This cannot be the new object"):
                    session.target = _text({"target": wanted}, "target")
            else:
                session.select(wanted.get("kind"), wanted.get("token"), wanted.get("layer"))
            if session.last_error is not None:
                raise t.TraitError(str(session.last_error)) from session.last_error
            session.last_error = failed
            return getattr(session, name)

    @t.observe("fact", "trace", "selection", "checks")
    def _taken_away(self, change: Any) -> None:
        """Hear of None, about which traitlets asks no validator."""
        name, session = change["name"], self.session
        with session.gate:
            if change["new"] is not None or getattr(session, name) is None:
                return
            if name in ("selection", "checks"):
                setattr(session, name, None)
            else:
                self.set_trait(name, getattr(session, name))
                raise t.TraitError(f"The {name} of a lens can be replaced, not taken away.")

    def _changed(self, _change: Any) -> None:
        self._mirror()

    def _mirror(self) -> None:
        """Bring the parts up to date with the session; what has not changed is not sent again."""
        session = self.session
        with session.gate:
            for name in MIRRORED:
                # What somebody else does with the news must not end a trace or a thread.
                with session.reporting("locate", f"An observer of the lens's {name} failed"):
                    self.set_trait(name, getattr(session, name))
            self.locate.state = locate_state(session)
            self.editor.state = edit_state(session)
            self.reader.state = details_state(session)
            self.judge.state = judge_state(session)
            stamp = (session.run, session.frame, session.stopped)
            if stamp != self._mirrored.get("frame"):
                self._mirrored["frame"] = stamp
                self.heatmap.frame = frame_of(session.trace, run=session.run, stopped=session.stopped)
                self._draw_profile()
            self._mirror_comparison()
            if session.status == "idle":
                self.snapshot.update(session.trace, self.edits)
            self.heatmap.busy = session.status in ("tracing", "queued")
            # Before the selection, whose sentence speaks of it.
            self.heatmap.edit = {"method": METHOD_TITLES[session.method], "layers": list(session.edit_layers)}
            self.heatmap.selection = session.selection
            if session.comparison != self._mirrored.get("comparison"):
                self._mirrored["comparison"] = session.comparison
                self.bars.show(session.comparison)

    def _mirror_comparison(self) -> None:
        """Offer the comparison with the trace before, once there are two whole ones."""
        before, now = self.session.previous, self.session.trace
        both = (before, now) if before is not None and now is not None and now.complete else (None, None)
        if all(old is new for old, new in zip(self._mirrored.get("both", (None, None)), both, strict=True)):
            return
        self._mirrored["both"] = both
        if before is None or now is None or both[1] is None:
            self.heatmap.comparison = {}
        else:
            self.heatmap.comparison = comparison_of(before, now, names=("before", "now"))

    def _marked(self, change: Any) -> None:
        with self.session.gate:
            if change["name"] == "pins":
                self._draw_profile()
                new = [pin for pin in change["new"] if pin not in change["old"]]
                if new:
                    self.session.examine(new[-1])
            else:
                self.profile.mark(change["new"])

    def _draw_profile(self) -> None:
        """Draw the lines of a trace that grows no more: a growing one changes the heatmap twenty times a second."""
        trace, stopped = self.session.trace, self.session.stopped
        growing = trace is not None and not trace.complete and not stopped
        self.profile.show(trace, self.heatmap.pins, growing=growing)

    def __repr__(self) -> str:
        return f"<factlens.Lens on {self.session.model!r}, {self.status}>"


def _text(payload: dict[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str):
        raise FactlensError(f"{name} must be text, not {type(value).__name__}.")
    if len(value) > LONGEST_TEXT:
        raise FactlensError(f"The {name} has {len(value):,} characters; a lens takes up to {LONGEST_TEXT:,}.")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise FactlensError(f"The {name} holds half of a character (a lone surrogate), which no tokenizer reads.")
    return value
