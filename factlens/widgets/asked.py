"""What the page may ask of a lens: each gesture by name, and the call that it becomes once its payload is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from factlens.errors import FactlensError
from factlens.session import Session
from factlens.spelling import Exactly, Wording
from factlens.widgets.settings import set_field

LONGEST_TEXT = 50_000
"""Characters in a field of the page: more than any model here reads, and little enough to be tokenised at once."""

Payload = dict[str, Any]


def _trace(session: Session, asked: Payload, _data: bytes) -> None:
    session.start_trace(
        text_in(asked, "prompt"),
        text_in(asked, "subject"),
        chat=_switch(asked, "chat"),
        slot=None if asked.get("slot") is None else text_in(asked, "slot"),
    )


def _apply(session: Session, asked: Payload, _data: bytes) -> None:
    settings = asked.get("settings", {})
    if not isinstance(settings, dict):
        raise FactlensError(f"settings must be named, not {type(settings).__name__}.")
    session.start_edit(_wording(asked), asked.get("layer"), settings)


def _figure(session: Session, asked: Payload, _data: bytes) -> object:
    look = asked.get("look", {})
    if not isinstance(look, dict) or not all(isinstance(name, str) for name in look):
        raise FactlensError(f"look must be named options, not {type(look).__name__}.")
    return session.figure_file(text_in(asked, "what"), text_in(asked, "form"), look)


ASKED: Mapping[str, Callable[[Session, Payload, bytes], object]] = {
    "trace": _trace,
    "setting": lambda session, asked, data: set_field(session, text_in(asked, "setting"), asked.get("value")),
    "reset_settings": lambda session, asked, data: session.reset_settings(),
    "resume": lambda session, asked, data: session.start_resume(),
    "stop": lambda session, asked, data: session.stop(),
    "select": lambda session, asked, data: session.select(asked.get("kind"), asked.get("token"), asked.get("layer")),
    "open": lambda session, asked, data: session.open(data),
    "save_trace": lambda session, asked, data: session.saved_trace(),
    "method": lambda session, asked, data: session.choose_method(text_in(asked, "method")),
    "spell": lambda session, asked, data: session.spell(_wording(asked)),
    "apply": _apply,
    "calibrate": lambda session, asked, data: session.start_calibrate(),
    "undo": lambda session, asked, data: session.start_undo(text_in(asked, "key")),
    "redo": lambda session, asked, data: session.start_redo(text_in(asked, "key")),
    "drop": lambda session, asked, data: session.start_drop(text_in(asked, "key")),
    "keep": lambda session, asked, data: session.start_keep(),
    "revert": lambda session, asked, data: session.start_revert(),
    "save": lambda session, asked, data: session.saved(text_in(asked, "key")),
    "load": lambda session, asked, data: session.start_load(data),
    "judge": lambda session, asked, data: session.start_judge(),
    "figure": _figure,
    "table": lambda session, asked, data: session.table_file(text_in(asked, "what"), text_in(asked, "form")),
    "add_prompt": lambda session, asked, data: session.add_prompt(text_in(asked, "prompt")),
    "remove_prompt": lambda session, asked, data: session.remove_prompt(text_in(asked, "prompt")),
}
"""Each is called with the session, the payload, and the bytes that came with it. What it returns is for the page: a
file as its name and its bytes, or False where a selection was refused."""


def text_in(asked: Payload, name: str) -> str:
    """Return a text of a payload.

    Raises
    ------
    FactlensError
        If it is none, too long, or holds what no tokenizer reads.
    """
    value = asked.get(name)
    if not isinstance(value, str):
        raise FactlensError(f"{name} must be text, not {type(value).__name__}.")
    if len(value) > LONGEST_TEXT:
        raise FactlensError(f"The {name} has {len(value):,} characters; a lens takes up to {LONGEST_TEXT:,}.")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise FactlensError(f"The {name} holds half of a character (a lone surrogate), which no tokenizer reads.")
    return value


def _switch(asked: Payload, name: str) -> bool:
    value = asked.get(name, False)
    if not isinstance(value, bool):
        raise FactlensError(f"{name} must be true or false, not {type(value).__name__}.")
    return value


def _wording(asked: Payload) -> Wording:
    """Return the new object that the page sends, as it is written or exactly."""
    text = text_in(asked, "target")
    return Exactly(text) if _switch(asked, "exactly") and text else text
