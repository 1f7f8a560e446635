"""`Lens`: the widget in a cell. It joins a session to the parts on the page, and computes nothing itself.

What the page asks for becomes a call of the session (`asked.py`), and what the session's traits say becomes state of
the parts: `panels.py` has that of each panel, `wire.py` the frames of the heatmap, `watch.py` what is sent again when.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Unpack

import ipywidgets as w
import traitlets as t

from factlens.arguments import instance, optional, refuse, refuse_unknown
from factlens.editing import METHODS
from factlens.editing.methods import DEFAULT_METHOD
from factlens.errors import Closed, FactlensError
from factlens.evaluation import Checks, Record
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.given import a_model
from factlens.session import SETTINGS, Session, Settings
from factlens.signatures import taking
from factlens.spelling import Exactly
from factlens.tracing import Comparison, Trace
from factlens.tracing.options import OPTIONS, LensOptions, checked_options
from factlens.widgets.asked import ASKED, text_in
from factlens.widgets.bars import AnswerBars
from factlens.widgets.base import whole
from factlens.widgets.gestures import Gestures
from factlens.widgets.heatmap import Heatmap
from factlens.widgets.panels import (
    DetailsPanel,
    EditPanel,
    JudgePanel,
    LocatePanel,
)
from factlens.widgets.profile import LayerProfile
from factlens.widgets.snapshot import Snapshot
from factlens.widgets.watch import Watch
from factlens.widgets.wire import comparison_of, frame_of

SETTABLE = ("fact", "trace", "selection", "target", "method", "edits", "checks", *SETTINGS)
"""The traits of a lens that say what its session's say, and can be set."""
_EXAMPLE = "factlens.Fact('{} is in downtown', 'The Space Needle', target='Paris')"
MIRRORED = (*SETTABLE, "details", "judgement", "status", "progress", "error")
"""All that say what its session's say."""
FROM_IPYWIDGETS = ("close", "layout", "observe", "unobserve")
"""What ipywidgets has that users of a lens have a use for."""
PARTS = ("heatmap", "session")
_NOT_OURS = ("builtins", "ipywidgets", "traitlets")


@taking(OPTIONS[name] for name in SETTINGS)
class Lens(Settings, w.VBox):
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
    **options
        As in `factlens.tracing.options.TraceOptions`: how the fact is traced.

    Attributes
    ----------
    kinds, corruption, samples, seed, window, window_convention, metric, answer, contrast, estimate, memory
        How the fact is traced, as the parameters of these names say. Each can be set and observed; what makes no sense
        raises a `TraitError`. A trace that is shown stays, and the page says that it was made otherwise, until the next
        one is made: by Trace on the page, by `start`, or by setting `fact`.
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
    target: Any = t.Union([t.Unicode(), t.Instance(Exactly)], default_value="")
    # Live: a method that is registered later may be chosen.
    method = t.Enum(METHODS, default_value=DEFAULT_METHOD)  # type: ignore[call-overload]
    edits = t.Tuple()
    checks = t.Instance(Checks, allow_none=True)
    judgement = t.Dict(allow_none=True, default_value=None, read_only=True)
    status = t.Unicode("idle", read_only=True)
    progress = t.Float(0.0, read_only=True)
    error = t.Dict(allow_none=True, default_value=None, read_only=True)

    def __init__(
        self,
        model: Model,
        fact: Fact | Record | None = None,
        *,
        checks: Checks | None = None,
        **options: Unpack[LensOptions],
    ) -> None:
        model = a_model("model", model)
        if fact is not None and not isinstance(fact, (Fact, Record)):
            refuse("fact", fact, "a factlens.Fact or a Record", example=_EXAMPLE)
        checks = optional(instance, "checks", checks, Checks, "a factlens.Checks: factlens.Checks.of(fact, 'Seattle')")
        refuse_unknown("A lens", options, SETTINGS)
        checked_options(model, options)
        if isinstance(fact, Record):
            checks = fact.checks if checks is None else checks
            fact = fact.fact
        try:
            self._build(Session(model, fact), checks, options)
        except BaseException:
            self.close()
            raise

    def _build(self, session: Session, checks: Checks | None, options: LensOptions) -> None:
        self.session = session
        self.session.checks = checks
        for name, value in options.items():
            setattr(session, name, value)
        uid = self.session.origin
        self.snapshot = Snapshot(uid)
        self.gestures = Gestures(self._gesture, lens=uid)
        self.locate = LocatePanel(lens=uid, state=LocatePanel.state_of(session))
        self.heatmap = Heatmap(lens=uid)
        self.profile = LayerProfile(lambda span: self.set_trait("layer_range", span))
        self.editor = EditPanel(lens=uid, state=EditPanel.state_of(session))
        self.bars = AnswerBars()
        self.reader = DetailsPanel(lens=uid, state=DetailsPanel.state_of(session))
        self.judge = JudgePanel(lens=uid, state=JudgePanel.state_of(session))
        # The story of an edit is in sight as a whole: the grids, then the edit beside what it changed.
        story = _beside((self.editor, 12), (self.bars, 1), (self.judge, 2))
        more = _beside((self.profile, 1), (self.reader, 1))
        self._boxes = (story, more)
        super().__init__([self.gestures, self.locate, self.heatmap, story, more])
        self.add_class("factlens-lens")
        panels = (self.locate, self.editor, self.reader, self.judge)
        shown: tuple[tuple[tuple[str, ...], Callable[[Session], object]], ...] = (
            *((panel.watched, panel.show) for panel in panels),
            (self.locate.settings_watched, self.locate.show_settings),
            *((("place", "progress", "message"), panel.show_running) for panel in (self.editor, self.judge)),
            (("run", "frame", "stopped", "method", "calibrations"), self._show_frame),
            (("previous", "trace", "complete"), self._show_comparison),
            (("trace", "frame", "edits", "status"), self._show_picture),
            (("status",), lambda now: self.heatmap.set_trait("busy", now.status in ("tracing", "queued"))),
            # Before the selection, whose sentence speaks of it.
            (("method", "selection", "trace", "base", "status", "edits", "calibrations"), self._show_edit),
            (("selection",), lambda now: self.heatmap.set_trait("selection", now.selection)),
            (("comparison", "answers_due"), lambda now: self.bars.show(now.comparison, current=not now.answers_due)),
        )
        self._watches = [Watch(session, names, show) for names, show in shown]
        self.session.observe(self._mirror)
        for name in ("pins", "layer_range", "token_range"):
            t.link((self.heatmap, name), (self, name))
        self.heatmap.observe(self._marked, ["pins", "layer_range"])
        self._mirror()
        # Now: what the user puts in later belongs to the user.
        self._pieces = self._made()

    def _made(self) -> list[w.Widget]:
        """Return the widgets that the lens is made of, as far as they are there; not itself."""
        mine = [value for value in vars(self).values() if isinstance(value, w.Widget)]
        mine += [piece for value in mine for piece in getattr(value, "pieces", ())]
        return [piece for piece in whole(self, *mine) if piece is not self]

    def start(self) -> None:
        """Start the trace, as the Trace button does; returns at once."""
        self.session.start_trace()

    def close(self) -> None:
        """Stop what is running, let go of the model, and take the lens off the page, for good.

        What it shows can still be read (`trace`, `edits`, ...); every other call raises
        `factlens.errors.Closed`. Edits stay in force.
        """
        # Also called on a lens whose constructor has raised.
        if "session" in vars(self):
            self.session.close()
        for piece in vars(self).get("_pieces") or self._made():
            piece.close()
        super().close()

    def __del__(self) -> None:
        """Close the lens, without ever waiting here.

        The garbage collector runs in any thread at any time, also in one that the holder of the sessions' gate is
        waiting for. If the gate is taken, a thread of its own waits for it.
        """
        session = vars(self).get("session")
        if session is None or session.gate.acquire(blocking=False):
            try:
                self.close()
            finally:
                if session is not None:
                    session.gate.release()
            return
        with suppress(RuntimeError):  # at the interpreter's end no thread begins, and nothing is left to be freed
            threading.Thread(target=self.close, name="factlens-closing", daemon=True).start()

    def _ipython_display_(self) -> None:
        """Show the lens, and below it the picture that stays in the saved notebook; the living lens hides that."""
        from IPython.display import display

        self.session.check_open()
        display(self._repr_mimebundle_(), raw=True)  # type: ignore[no-untyped-call]
        self.snapshot.show(self.session.trace, self.edits)

    def _display_(self) -> Any:
        """Show the lens in marimo, which asks for this: it has anywidgets, but neither ipywidgets' boxes nor bqplot."""
        from marimo import vstack

        self.session.check_open()
        return vstack([self.gestures, self.locate, self.heatmap, self.editor, self.judge, self.reader])

    def _gesture(self, name: str, payload: dict[str, Any], buffers: Sequence[memoryview] = ()) -> None:
        """Carry out a gesture of the browser; every error of it becomes the session's."""
        with self.session.reporting("locate", "The page sent something that factlens does not understand"):
            if name in ("pins", "range"):
                self.heatmap.gesture(name, payload)
                return
            if name not in ASKED:
                raise FactlensError(f"Unknown gesture {name!r}.")
            answer = ASKED[name](self.session, payload, bytes(buffers[0]) if buffers else b"")
            if answer is False:
                self.heatmap.refused += 1
            elif isinstance(answer, tuple):
                file, data = answer
                self.gestures.send({"type": "file", "name": file}, [data])

    @t.validate(*SETTABLE)
    def _asked_in_code(self, proposal: Any) -> Any:
        """Do what the gesture on the page does; return what is the case now."""
        name, value, session = proposal["trait"].name, proposal["value"], self.session
        with session.gate:
            if name == "edits" and not session.closed:
                session.catch_up()  # a linked lens may have been told of a change before this one
            if value is getattr(session, name) or value == getattr(session, name):
                return value  # also what `_mirror` sets
            if session.closed:
                raise t.TraitError(str(Closed())) from Closed()
            if name in SETTINGS:
                try:
                    setattr(session, name, value)
                except FactlensError as error:
                    raise t.TraitError(str(error)) from error
                return getattr(session, name)
            failed, session.last_error = session.last_error, None
            if name == "fact":
                session.start_trace(of=value)
            elif name == "trace":
                with session.reporting("locate", "This trace cannot be shown"):
                    session.take(value)
            elif name == "edits":
                session.start_edits(value)
            elif name in ("method", "checks"):
                setattr(session, name, value)
            elif name == "target":
                with session.reporting("edit", "This cannot be the new object"):
                    checked = text_in({"target": str(value)}, "target")
                    session.target = Exactly(checked) if isinstance(value, Exactly) else checked
            else:
                session.select(value.get("kind"), value.get("token"), value.get("layer"))
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
            session.check_open()
            if name in ("selection", "checks"):
                setattr(session, name, None)
            else:
                self.set_trait(name, getattr(session, name))
                raise t.TraitError(f"The {name} of a lens can be replaced, not taken away.")

    def _mirror(self, _change: Any = None) -> None:
        """Bring the lens's traits and the parts up to date with the session; what has not changed is not sent again."""
        session = self.session
        with session.gate:
            for name in MIRRORED:
                # An error in a user's observer must not end a trace or a thread.
                with session.reporting("locate", f"An observer of the lens's {name} failed"):
                    self.set_trait(name, getattr(session, name))
            for watch in self._watches:
                watch.look()

    def _show_frame(self, session: Session) -> None:
        self.heatmap.frame = frame_of(
            session.trace, run=session.run, stopped=session.stopped, calibrated=session.calibrated
        )
        self._draw_profile()

    def _show_comparison(self, session: Session) -> None:
        """Offer the comparison with the trace before, once there are two whole ones."""
        before, now = session.previous, session.trace
        if before is None or now is None or not now.complete:
            self.heatmap.comparison = {}
        else:
            self.heatmap.comparison = comparison_of(Comparison(before, now, ("before", "now")))

    def _show_picture(self, session: Session) -> None:
        if session.status == "idle":
            self.snapshot.update(session.trace, self.edits)

    def _show_edit(self, session: Session) -> None:
        self.heatmap.edit = {"method": METHODS[session.method].title, "layers": list(session.edit_layers)}

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

    def __dir__(self) -> list[str]:
        """List what a user may use: not all that ipywidgets needs of a box."""
        ours = [vars(owner) for owner in type(self).__mro__ if owner.__module__.split(".")[0] not in _NOT_OURS]
        names = {name for each in ours for name in each if not name.startswith("_")}
        return sorted(names | {*FROM_IPYWIDGETS, *PARTS})

    def __repr__(self) -> str:
        return (
            "<factlens.Lens, closed>"
            if self.session.closed
            else f"<factlens.Lens on {self.session.model!r}, {self.status}>"
        )


def _beside(*parts: tuple[w.DOMWidget, int]) -> w.Box:
    """Put parts beside each other where there is room, else below each other; the numbers share what is left over."""
    for part, share in parts:
        part.layout.flex, part.layout.min_width = f"{share} 1 340px", "0"
    row = w.Box([part for part, _ in parts], layout=w.Layout(flex_flow="row wrap", overflow="visible"))
    row.add_class("factlens-below")
    return row
