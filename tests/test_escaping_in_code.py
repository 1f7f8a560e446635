"""Any text at all, where it becomes code: it stays a text, and the code says what the trace was."""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import factlens as fl
from factlens.escaping import literal
from factlens.tracing.captions import caption_of
from factlens.tracing.recipe import code_of
from tests.any_text import EVERY, fact, forced
from tests.saved import replaced_trace, trace

#: The places of a trace that hold a text.
TEXTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "model": lambda text: {"model": text},
    "template": lambda text: {"fact": fact(text)},
    "subject": lambda text: {"fact": fact("", subject=text)},
    "target": lambda text: {"fact": fact("", target=text)},
    "answer": lambda text: {"answer": f" {text}"},
    "contrast": lambda text: {"contrast": text},
    "edits": lambda text: {"edits": (text, "another", text)},
    "convention": lambda text: {"window_convention": text},
    "metric": lambda text: {"metric": text},
    "subjects": lambda text: {"corruption": forced(fl.Noise(), subjects=(text, "b", text))},
    "replacement": lambda text: {"corruption": forced(fl.Replacement("x"), subject=text)},
}


def skeleton(code: str) -> str:
    """The statements of a piece of code, every constant in it but its type left out."""

    class Plain(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            return ast.Name(f"a {type(node.value).__name__}")

    return ast.dump(Plain().visit(ast.parse(code)))


def comments(code: str) -> list[str]:
    found = tokenize.generate_tokens(io.StringIO(code, newline="").readline)
    return [token.string for token in found if token.type == tokenize.COMMENT]


@pytest.mark.parametrize("place", TEXTS)
def test_a_text_in_code_is_text(place: str) -> None:
    base = trace()
    tame = skeleton(code_of(replace(base, **TEXTS[place]("tame"))))
    for text in EVERY:
        wild = replace(base, **TEXTS[place](text))
        code = code_of(wild)
        assert skeleton(code) == tame, repr(text)
        assert len(comments(code)) == 2
        assert len(code.splitlines()) == code.count("\n") == 7, "nothing in it ends a line but a line's end"
        code.encode()
        compile(code, "the code", "exec")
        caption = caption_of(wild) if place not in ("metric", "convention") else ""
        assert len(caption.splitlines()) <= 1
        assert "\x00" not in caption
        caption.encode()


def test_the_code_says_what_the_trace_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it, with a stand-in for the library that notes what it is asked for."""
    asked: dict[str, Any] = {}
    library = ModuleType("factlens")
    library.load = lambda name: asked.update(model=name)  # type: ignore[attr-defined]
    library.Fact, library.Noise, library.Replacement = fact_of, fl.Noise, fl.Replacement  # type: ignore[attr-defined]
    stand_in = type("Trace", (), {"plot": lambda self: None})

    def traced(_model: object, fact: fl.Fact, **options: Any) -> object:
        asked.update(fact=fact, **options)
        return stand_in()

    library.trace = traced  # type: ignore[attr-defined]
    odd = [text for text in EVERY if text.strip() and "{" not in text and "\ud800" not in text and "\udfff" not in text]
    for text in odd:
        made = replace(
            trace(),
            model=text,
            fact=fl.Fact("{} is in", text, target=text),
            answer=f" {text}",
            contrast=text,
            corruption=fl.Noise(subjects=(text,), level=np.float64(0.5), multiple=2),
            seed=np.int64(3),
        )
        asked.clear()
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "factlens", library)
            exec(compile(code_of(made), "the code", "exec"), {})
        assert asked == {
            "model": text,
            "fact": made.fact,
            "kinds": made.kinds,
            "samples": 3,
            "seed": 3,
            "window": made.window,
            "corruption": made.corruption,
            "metric": "logit_difference",
            "contrast": text,
            "answer": f" {text}",
        }
    asked.clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "factlens", library)
        exec(code_of(replaced_trace()), {})
    assert asked["corruption"] == replaced_trace().corruption
    assert asked["window_convention"] == "paper"


fact_of = fl.Fact


LITERALS = [None, True, 0, -3, 2**70, 0.1, -0.0, 1e300, np.float32(0.5), np.int8(3), (), (1,), (1, ("a",))]


@pytest.mark.parametrize("value", LITERALS)
def test_a_literal_is_read_back(value: Any) -> None:
    assert ast.literal_eval(literal(value)) == value
    assert repr(ast.literal_eval(literal(-0.0))) == "-0.0"


def test_numbers_that_have_no_literal() -> None:
    for value in (float("inf"), float("-inf"), np.float64("nan")):
        assert repr(eval(literal(value))) == repr(float(value))
    for value in ([1], {"a": 1}, object(), b"x", 1j):
        with pytest.raises(TypeError, match="no literal"):
            literal(value)
