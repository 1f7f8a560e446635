"""The panels above and below the heatmap: what each is called on the page, and the state that it shows.

A panel names the session's traits that its state is made of, and is sent again when one of these changes. Gestures go
elsewhere.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import traitlets as t

from factlens.editing import METHODS, Edit
from factlens.editing.methods import Knob
from factlens.editing.taking import summary_of
from factlens.evaluation import ROLE_NAMES
from factlens.evaluation.checks import OWN
from factlens.models.belonging import edit_id
from factlens.models.chats import has_template
from factlens.models.weights import WeightEdit
from factlens.session import Session
from factlens.session.following import label_of
from factlens.session.written import written_down
from factlens.spelling import Exactly
from factlens.timing import duration
from factlens.tracing.sites import site_of
from factlens.visible import arrowed
from factlens.widgets.base import Bundled, Part
from factlens.widgets.settings import WATCHED, settings_state
from factlens.widgets.wire import described, metric_state, part_of_answer

MOST_PIECES = 24
"""Tokens of a new object that travel to the page."""


def locate_state(session: Session) -> dict[str, Any]:
    """Return what the panel above the heatmap shows."""
    model, fact, trace = session.model, session.fact, session.trace
    prompt, subject, chat = written_down(fact) if fact else ("", "", False)
    dtype = str(model.dtype).removeprefix("torch.")
    return {
        "model": f"{model.name} · {model.n_layers} layers · {dtype} · {model.device}",
        "prompt": prompt,
        "subject": subject,
        "chat": chat,
        "chats": has_template(model.tokenizer),
        "notes": list(session.notes),
        "pieces": _pieces(session),
        "traced": trace is not None,
        "answer": trace.shown_answer if trace else None,
        "answer_part": part_of_answer(trace) if trace else None,
        "high": trace.high if trace else None,
        "low": trace.low if trace else None,
        "metric": metric_state(trace) if trace else None,
        "contrast": None if trace is None or trace.contrast is None else str(trace.contrast),
        "status": session.status,
        "place": session.place,
        "progress": session.progress,
        "message": session.message,
        "error": _error(session, "locate"),
        "edits": len(session.edits),
        "outdated": session.outdated,
    }


def edit_state(session: Session) -> dict[str, Any]:
    """Return what the panel below the heatmap shows."""
    values, default = session.knobs, session.defaults
    return {
        "layer": session.selection["layer"] if session.selection else None,
        "edit_layers": list(session.edit_layers),
        "default": {
            "layers": list(default.layers),
            "source": default.source,
            "calibrated": session.calibrated is not None,
        },
        "budget": duration(session.budget),
        "method": session.method,
        "methods": [{"name": name, "title": method.title} for name, method in METHODS.items()],
        "knobs": [
            _knob(session.method, knob, values[knob.name])
            for knob in METHODS[session.method].knobs
            if knob.name in values
        ],
        "subject": session.fact.subject if session.fact else "",
        "target": str(session.target),
        "exactly": isinstance(session.target, Exactly),
        "target_tokens": {
            "text": str(session.spelt["text"]),
            "exactly": isinstance(session.spelt["text"], Exactly),
            "why": session.spelt["why"],
            "notices": list(session.spelt["notices"]),
            "pieces": list(session.spelt["pieces"][:MOST_PIECES]),
            "count": len(session.spelt["pieces"]),
        },
        "remarks": list(session.remarks),
        "answer": _answer(session),
        "status": session.status,
        "place": session.place,
        "edits": [
            {**_named(edit), **_made(edit), **_took(edit), "origin": _place_of(origin, session)}
            for edit, origin in zip(session.edits, session.origins, strict=True)
        ],
        "redo": _named(session.undone[0]) if session.undone else None,
        "foreign": session.foreign["text"] if session.foreign else None,
        "warning": _warning(session),
        "error": _edit_error(session),
    }


def _knob(method: str, knob: Knob, value: float | None) -> dict[str, Any]:
    least, most = METHODS[method].hparams.range_of(knob.name)
    limits = {"least": least, "most": most, "step": knob.step}
    return {"name": knob.name, "value": value, "title": knob.label, "help": knob.help, **limits}


def details_state(session: Session) -> dict[str, Any]:
    """Return what the panel beside the edit panel shows."""
    trace, cell = session.trace, session.examined
    shown = None
    if trace is not None and cell is not None:
        last = len(trace.tokens) - 1
        site = described(site_of(cell["kind"]))
        shown = {**cell, "site": site, "piece": trace.tokens[cell["token"]], "last": cell["token"] == last}
    return {
        "traced": trace is not None,
        "cell": shown,
        "reading": session.reading,
        "outdated": session.outdated,
        "status": session.status,
        "answer": trace.shown_answer if trace else None,
        "metric": metric_state(trace) if trace else None,
        "contrast": None if trace is None or trace.contrast is None else str(trace.contrast),
        "details": _plain(session.details),
        "error": _error(session, "details"),
    }


def judge_state(session: Session) -> dict[str, Any]:
    """Return what the panel of checks shows."""
    judgement = session.judgement
    return {
        "edits": len(session.edits),
        "outdated": session.judged_otherwise,
        "judgement": _plain(judgement),
        "roles": [{"name": name, "title": title} for name, title in {**ROLE_NAMES, OWN: "your prompts"}.items()],
        "own": list(session.own),
        "status": session.status,
        "place": session.place,
        "error": _error(session, "judge"),
    }


def _plain(value: Any) -> Any:
    """Replace NaN and infinity, which JSON cannot carry, by None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _pieces(session: Session) -> list[dict[str, Any]]:
    if session.fact is None:
        return []
    encoding = session.model.encode(session.fact)
    start, stop = encoding.subject_range
    template = set(encoding.template_tokens)
    return [
        {"text": piece, "subject": start <= i < stop, "template": i in template}
        for i, piece in enumerate(encoding.pieces)
    ]


def _answer(session: Session) -> str | None:
    """Return what the model completes the prompt with, unless its weights have changed since it was asked."""
    if not session.comparison or session.answers_due:
        return None
    return str(max(session.comparison, key=lambda answer: float(answer[2]))[0])


def _named(edit: WeightEdit) -> dict[str, str]:
    return {"key": edit_id(edit), "label": arrowed(label_of(edit))}


def _made(edit: WeightEdit) -> dict[str, Any]:
    """Return how and where an edit was made; of one that was made by hand nothing is known."""
    return {"method": getattr(edit, "method", ""), "layers": list(getattr(edit, "layers", ()))}


def _took(edit: WeightEdit) -> dict[str, Any]:
    """Return whether an edit took, and that in a few words; null where it is not known."""
    if not isinstance(edit, Edit) or edit.took is None:
        return {"took": None, "shares": ""}
    return {"took": edit.took, "shares": summary_of(edit.facts, edit.taken)}


def _warning(session: Session) -> dict[str, str] | None:
    """Return what the page says of the newest edit if it did not take: which half failed, and what to change."""
    if not session.not_taken:
        return None
    title, *lines = session.not_taken.splitlines()
    return {"title": title, "text": "\n".join([*lines, "It is in force all the same; Undo takes it back."])}


def _place_of(origin: str | None, session: Session) -> str:
    return "python" if origin is None else "here" if origin == session.origin else "lens"


def _edit_error(session: Session) -> dict[str, str] | None:
    """Return the panel's error, unless it is the one that it shows with its two ways on."""
    error = _error(session, "edit")
    foreign = error is not None and session.foreign is not None and error["text"] == session.foreign["text"]
    return None if foreign else error


def _error(session: Session, place: str) -> dict[str, str] | None:
    error = session.error
    return {k: v for k, v in error.items() if k != "place"} if error and error["place"] == place else None


class Panel(Part):
    """A panel that shows a state, made of the `watched` traits of a session."""

    watched: ClassVar[tuple[str, ...]]
    state = t.Dict().tag(sync=True)

    @staticmethod
    def state_of(session: Session) -> dict[str, Any]:
        """Return what it shows."""
        raise NotImplementedError

    def show(self, session: Session) -> None:
        """Show what is the case now."""
        self.state = self.state_of(session)


class WorkingPanel(Panel):
    """A panel that starts long work, and shows how far that is beside the button that has started it.

    That has a trait of its own: what else the panel shows is not sent again with every step.
    """

    place: ClassVar[str]
    running = t.Dict().tag(sync=True)

    def show_running(self, session: Session) -> None:
        """Show how far the work is that was asked for here; nothing while there is none."""
        own = session.place == self.place
        self.running = {"progress": session.progress, "message": session.message} if own else {}


class LocatePanel(Panel):
    """The prompt with its subject, Trace and Stop, progress, and what went wrong."""

    _esm = Bundled("locate.js")
    watched = ("fact", "notes", "trace", "frame", "status", "place", "progress", "message", "error", "edits", "base")
    state_of = staticmethod(locate_state)
    settings = t.Dict().tag(sync=True)
    settings_watched = WATCHED

    def show_settings(self, session: Session) -> None:
        """Show how the next trace is made: a trait of its own, since `state` is sent with every step of a trace."""
        self.settings = settings_state(session)


class EditPanel(WorkingPanel):
    """The new object, Apply and Undo, and the edits in force."""

    _esm = Bundled("edit.js")
    place = "edit"
    watched = (
        *("selection", "trace", "base", "method", "fact", "target", "spelt", "remarks", "comparison", "answers_due"),
        *("status", "place", "edits", "origins", "undone", "foreign", "error", "calibrations"),
    )
    state_of = staticmethod(edit_state)


class DetailsPanel(Panel):
    """What the selected cell knows: the answers read from it, how its three runs differ, which parts wrote there."""

    _esm = Bundled("details.js")
    watched = ("trace", "examined", "reading", "details", "status", "error", "edits", "base")
    state_of = staticmethod(details_state)


class JudgePanel(WorkingPanel):
    """What else changed: probes and continuations before and after, and the user's own prompts."""

    _esm = Bundled("judge.js")
    place = "judge"
    watched = ("judgement", "own", "status", "place", "error", "edits", "base")
    state_of = staticmethod(judge_state)
