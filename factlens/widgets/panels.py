"""The panels above and below the heatmap. They show state; gestures go elsewhere."""

from __future__ import annotations

import math
from typing import Any

import traitlets as t

from factlens.evaluation import ROLE_NAMES
from factlens.session import Session
from factlens.session.editing import key_of
from factlens.session.judging import OWN
from factlens.widgets.base import STATIC, Part

METHOD_TITLES = {
    "rome": "ROME",
    "emmet": "EMMET",
    "memit": "MEMIT",
    "alphaedit": "AlphaEdit",
    "ft": "fine-tuning",
    "ft_l": "limited fine-tuning",
    "lora": "LoRA",
}


KNOBS = {
    "clamp": ("clamp", "longest change of the value, in lengths of the old one"),
    "kl_factor": ("KL factor", "weight of leaving alone what kind of thing the subject is"),
    "steps": ("steps", "most steps of the optimiser"),
    "learning_rate": ("learning rate", "of the optimiser"),
    "ridge": ("ridge", "larger: a weaker, safer change"),
    "moment_weight": ("moment weight", "weight of leaving ordinary text alone"),
    "nullspace": ("null space", "directions with less variance than this are free to use"),
    "limit": ("limit", "no single weight moves further"),
    "rank": ("rank", "of the matrix that is added"),
}
"""What a setting is called on the page, and what it does; `Session.knobs` has its name in code."""

MOST_PIECES = 24
"""Tokens of a new object that travel to the page."""


class LocatePanel(Part):
    """The prompt with its subject, Trace and Stop, progress, and what went wrong."""

    _esm = STATIC / "locate.js"
    state = t.Dict().tag(sync=True)


class EditPanel(Part):
    """The new object, Apply and Undo, and the edits in force."""

    _esm = STATIC / "edit.js"
    state = t.Dict().tag(sync=True)


class DetailsPanel(Part):
    """What the selected cell knows: the answers read from it, how its three runs differ, which parts wrote there."""

    _esm = STATIC / "details.js"
    state = t.Dict().tag(sync=True)


class JudgePanel(Part):
    """What else changed: probes and continuations before and after, and prompts of one's own."""

    _esm = STATIC / "judge.js"
    state = t.Dict().tag(sync=True)


def locate_state(session: Session) -> dict[str, Any]:
    """Return what the panel above the heatmap shows."""
    model, fact, trace = session.model, session.fact, session.trace
    dtype = str(model.dtype).removeprefix("torch.")
    return {
        "model": f"{model.name} · {model.n_layers} layers · {dtype} · {model.device}",
        "prompt": fact.prompt if fact else "",
        "subject": fact.subject if fact else "",
        "pieces": _pieces(session),
        "traced": trace is not None,
        "answer": trace.answer if trace else None,
        "high": trace.high if trace else None,
        "low": trace.low if trace else None,
        "metric": trace.metric if trace else None,
        "contrast": trace.contrast if trace else None,
        "status": session.status,
        "progress": session.progress,
        "message": session.message,
        "error": _error(session, "locate"),
        "edits": len(session.edits),
    }


def edit_state(session: Session) -> dict[str, Any]:
    """Return what the panel below the heatmap shows."""
    return {
        "layer": session.selection["layer"] if session.selection else None,
        "edit_layers": list(session.edit_layers),
        "default_layer": session.default_layer,
        "method": session.method,
        "methods": [{"name": name, "title": title} for name, title in METHOD_TITLES.items()],
        "knobs": [
            {"name": name, "value": value, "title": KNOBS[name][0], "help": KNOBS[name][1]}
            for name, value in session.knobs.items()
        ],
        "subject": session.fact.subject if session.fact else "",
        "target": session.target,
        "target_tokens": {
            "text": session.spelt["text"],
            "pieces": list(session.spelt["pieces"][:MOST_PIECES]),
            "count": len(session.spelt["pieces"]),
        },
        "answer": max(session.comparison, key=lambda answer: float(answer[2]))[0] if session.comparison else None,
        "status": session.status,
        "edits": [
            {"key": key_of(edit), "label": edit.label, "method": edit.method, "layers": list(edit.layers)}
            for edit in session.edits
        ],
        "redo": session.undone[0].label if session.undone else None,
        "error": _error(session, "edit"),
    }


def details_state(session: Session) -> dict[str, Any]:
    """Return what the panel beside the edit panel shows."""
    trace, cell = session.trace, session.examined
    shown = None
    if trace is not None and cell is not None:
        last = len(trace.tokens) - 1
        shown = {**cell, "piece": trace.tokens[cell["token"]], "last": cell["token"] == last}
    return {
        "traced": trace is not None,
        "cell": shown,
        "reading": session.reading,
        "outdated": session.outdated,
        "status": session.status,
        "answer": trace.answer if trace else None,
        "metric": trace.metric if trace else None,
        "contrast": trace.contrast if trace else None,
        "details": _plain(session.details),
        "error": _error(session, "details"),
    }


def judge_state(session: Session) -> dict[str, Any]:
    """Return what the panel of checks shows."""
    judgement = session.judgement
    edits = [str(getattr(edit, "label", edit)) for edit in session.edits]
    return {
        "edits": len(edits),
        "outdated": judgement is not None and judgement["edits"] != edits,
        "judgement": _plain(judgement),
        "roles": [{"name": name, "title": title} for name, title in {**ROLE_NAMES, OWN: "your prompts"}.items()],
        "own": list(session.own),
        "status": session.status,
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
    return [{"text": piece, "subject": start <= i < stop} for i, piece in enumerate(encoding.pieces)]


def _error(session: Session, place: str) -> dict[str, str] | None:
    error = session.error
    return {"title": error["title"], "text": error["text"]} if error and error["place"] == place else None
