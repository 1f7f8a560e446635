"""Gestures that make no sense, or too many of them: the lens stays as it was."""

from __future__ import annotations

import json
import random

import pytest

import factlens as fl
from factlens.widgets.gestures import _follow_the_sender
from tests.widgets.driving import gesture


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("trace", {}),
        ("trace", {"prompt": 3, "subject": "Rome"}),
        ("trace", {"prompt": "x" * 100_000, "subject": "x"}),
        ("trace", {"prompt": "<img src=x onerror=alert(1)> {}", "subject": ""}),
        ("select", {"kind": "mlp", "token": 0, "layer": 0}),
        ("select", {"kind": ["mlp"], "token": None}),
        ("apply", {"target": None}),
        ("apply", {"target": "Rome", "layer": {"a": 1}}),
        ("apply", {"target": "Rome", "layer": 10**30}),
        ("apply", {"target": "Rome", "settings": []}),
        ("apply", {"target": "Rome", "settings": {"steps": "many"}}),
        ("apply", {"target": "Rome", "settings": {"stps": 3}}),
        ("apply", {"target": "Rome", "settings": {"clamp": -1}}),
        ("method", {"method": "romme"}),
        ("method", {}),
        ("spell", {}),
        ("spell", {"target": "z" * 1_000_000}),
        ("undo", {"extra": "words"}),
        ("undo", {"key": "0"}),
        ("undo", {"key": ["0"]}),
        ("redo", {}),
        ("redo", {"key": "\ud800"}),
        ("keep", {}),
        ("revert", {"key": "0"}),
        ("drop", {"key": "0"}),
        ("drop", {}),
        ("save", {"key": "../../etc"}),
        ("load", {}),
        ("open", {}),
        ("save_trace", {}),
        ("judge", {}),
        ("add_prompt", {"prompt": 3}),
        ("trace", {"prompt": "The \ud800 Needle", "subject": "Needle"}),
        ("trace", {"prompt": "x" * 1_000_000, "subject": "x"}),
        ("trace", {"prompt": "<img src=x onerror=alert(1)> " * 900, "subject": "Needle"}),
        ("apply", {"target": "\udc80", "layer": None}),
        ("apply", {"target": "Paris", "layer": 10**30}),
        ("apply", {"target": "Paris", "layer": None, "settings": {"steps": float("nan")}}),
        ("add_prompt", {"prompt": "y" * 1_000_000}),
        ("save", {"key": "\x00\u202e" * 10}),
        ("remove_prompt", {}),
        ("__init__", {}),
        ("close", {}),
    ],
)
def test_nonsense_from_the_page_is_an_error_and_nothing_else(lens: fl.Lens, name: str, payload: dict) -> None:
    assert gesture(lens, name, **payload) == [{"type": "ack", "id": 7}]
    assert lens.session.wait(10)
    assert lens.error is not None
    assert 0 < len(lens.error["text"]) <= 1001
    assert lens.error["text"].isprintable()
    json.dumps([lens.error, lens.locate.state, lens.editor.state, lens.judge.state], allow_nan=False).encode()
    assert lens.session.model.edits == ()
    assert lens.trace is None
    place = lens.error["place"]
    shown = {"locate": lens.locate, "edit": lens.editor, "judge": lens.judge}[place].state["error"]
    assert shown["text"] == lens.error["text"]


def test_a_flood_of_gestures_leaves_the_lens_as_it_was(lens: fl.Lens) -> None:
    """Thousands of gestures in no order, from a page that has gone mad."""
    lens.start()
    assert lens.session.wait(30)
    trace, draw = lens.trace, random.Random(1)
    say = [
        ("select", {"kind": "mlp", "token": 1, "layer": 1}),
        ("select", {"kind": "mlp", "token": 2, "layer": 3}),
        ("select", {"kind": "mlp", "token": 10**9, "layer": -1}),
        ("pins", {"cells": [{"kind": "mlp", "token": 1, "layer": 1}] * 50}),
        ("range", {"layers": [3, 1], "tokens": "all"}),
        ("stop", {}),
        ("resume", {}),
        ("add_prompt", {"prompt": "Is it?"}),
        ("remove_prompt", {"prompt": "Is it?"}),
        ("undo", {"key": "0"}),
        ("load", {}),
        ("trace", {"prompt": "", "subject": ""}),
    ]
    for _ in range(2_000):
        name, payload = draw.choice(say)
        lens._gesture(name, payload)
        assert len(lens.session.worker._jobs) < 10, "nothing piles up"
    assert lens.session.wait(60)
    assert lens.trace is trace
    assert lens.status == "idle"
    assert lens.session.model.edits == ()
    lens._gesture("select", {"kind": "attn", "token": 2, "layer": 0})
    assert lens.selection == {"kind": "attn", "token": 2, "layer": 0}


@pytest.mark.parametrize("content", [None, [], "text", {}, {"type": "gesture"}, {"type": 3}])
def test_malformed_messages_do_not_raise(lens: fl.Lens, content: object) -> None:
    lens.gestures._handle_custom_msg(content, [])
    assert lens.session.wait(5)
    assert lens.session.model.edits == ()


def test_hello_is_answered(lens: fl.Lens) -> None:
    sent: list[dict] = []
    lens.gestures.send = lambda content, buffers=None: sent.append(content)
    lens.gestures._handle_custom_msg({"type": "hello"}, [])
    assert sent == [{"type": "pong"}]


def test_the_workaround_for_one_kernel_is_guarded() -> None:
    class Plain:
        pass

    class Routing:
        def _reply_subshell_for(self, _data, _default):
            return "the shell that last sent"

    plain, routing = Plain(), Routing()
    _follow_the_sender(plain)
    assert vars(plain) == {}
    _follow_the_sender(routing)
    assert routing._reply_subshell_for({}, "the shell that asked") == "the shell that asked"
