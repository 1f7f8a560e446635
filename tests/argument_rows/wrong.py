"""Values that are wrong, and what is said of them: of numbers, texts, paths, models, facts."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.editing.made import FACT

NAN, INF = float("nan"), float("inf")

Bad = tuple[Any, str]
"""A value, and what the error says of what is wanted."""


def whole(least: int | None = None, *, most: int | None = None, none: bool = False) -> list[Bad]:
    wanted = "whole number"
    bad: list[Bad] = [(value, wanted) for value in (True, 2.5, 3.0, "3", [1], NAN, 1j, object(), int, np.True_)]
    bad += [(torch.tensor([1, 2]), wanted), (np.float64(3), wanted), (torch.tensor(2.5), wanted), ("x" * 10**6, wanted)]
    bad += [] if none else [(None, wanted)]
    if least is not None:
        said = f"at least {least}" if most is None else f"from {least} to {most}"
        bad += [(value, said) for value in (least - 1, np.int64(least - 1), torch.tensor(least - 1), -(10**30))]
    bad += [(10**5000, "at most" if most is None else f"to {most}")]
    return bad + ([] if most is None else [(most + 1, f"to {most}")])


def number(wanted: str, *outside: float, none: bool = False) -> list[Bad]:
    bad: list[Bad] = [(value, wanted) for value in ("big", [1.0], object(), True, 1j, np.array([1.0, 2.0]))]
    bad += [(value, "finite") for value in (NAN, INF, -INF, np.float32("nan"), torch.tensor(INF), 10**400)]
    return bad + [(value, wanted) for value in outside] + ([] if none else [(None, wanted)])


POSITIVE, NOT_NEGATIVE = number("positive", 0, -1, np.float64(-1)), number("at least 0", -1e-9, np.int64(-1))
SHARE = number("between 0 and 1", 0, 1, 95, -0.5)
SEED = whole(0, most=2**32 - 1)


def flag() -> list[Bad]:
    return [(value, "True or False") for value in (1, 0, "yes", None, [], np.int64(1), torch.tensor(1))]


def text(*, none: bool = False, empty: bool = False) -> list[Bad]:
    bad: list[Bad] = [(value, "text") for value in (3, b"bytes", ["a"], object(), True, "half \ud800")]
    bad += [(value, "text") for value in (Path("a"), [1, 2], np.array(["a"]), torch.tensor([1, 2]), str)]
    return bad + ([] if none else [(None, "text")]) + ([] if empty else [("", "text"), (" \n", "text")])


def texts(*, none: bool = False, empty: bool = False, words: str = "text") -> list[Bad]:
    bad: list[Bad] = [("a text alone", words), (3, words), ({"a": 1}, words), (["a", 3], "a text"), ([None], "a text")]
    bad += [(["half \ud800"], "whole characters"), (b"bytes", words), (str, words)]
    return bad + ([] if none else [(None, words)]) + ([] if empty else [(["a", " "], "something in it")])


def one_of(*words: str) -> list[Bad]:
    wanted = "one of " + ", ".join(words)
    return [(value, wanted) for value in ("nonsense", None, 3, ["a"], np.array(["a", "b"]))]


def instance(wanted: str, *more: Any, none: bool = False) -> list[Bad]:
    values: tuple[Any, ...] = ("atlas", 3, {"a": 1}, object(), SimpleNamespace(), *more, *(() if none else (None,)))
    return [(value, wanted) for value in values]


def function() -> list[Bad]:
    return [(value, "a function") for value in (True, 3, "print", [print])]


def event() -> list[Bad]:
    return [(value, "a threading.Event") for value in (True, 3, "stop", threading.Event, threading.Lock())]


def path(kind: str = "file", *, none: bool = False) -> list[Bad]:
    values: list[Any] = [3, b"bytes", ["a"], "", "a\0b", object()] + ([".", "/"] if kind == "file" else [])
    return [(value, f"the path of a {kind}") for value in values + ([] if none else [None])]


def layer() -> list[Bad]:
    return [(value, "0 to 4") for value in (5, -1, 1.5, "1", True, None, np.int64(9), [1], object())]


def layers(*, none: bool = False) -> list[Bad]:
    bad: list[Bad] = [(value, "0 to 4") for value in (5, -1, 1.5, "3", True, [1.5], [True], [1, 5], [None], ["1"])]
    bad += [(value, "layers") for value in ([], (), {1: 1}, b"1", object(), np.array([]))]
    return bad + ([] if none else [(None, "0 to 4")])


ENCODING: list[Bad] = [(value, "encoding must be") for value in (None, 3, b"utf-8", ["utf-8"], "", "nonsense", "zip")]
MODEL, A_FACT = instance("factlens.load('atlas')", FACT), instance("a factlens.Fact", [FACT])
A_TRACE = instance("a factlens.Trace", FACT)
AN_EDIT = instance("what factlens.edit or factlens.Edit.load returns", [FACT])
SOME_EDITS: list[Bad] = [(value, "a list of edits") for value in (None, 3, "edit", {"a": 1})]
SOME_EDITS += [([value], "what factlens.edit") for value in (None, 3, "edit", FACT)]
FACTS: list[Bad] = [(value, "factlens.Fact") for value in (FACT, "a fact", 3, None, [FACT, "x"], {"a": FACT}, [None])]
FACTS += [(value, "factlens.Fact") for value in (("{} is", "Rome"), [("{} is", "Rome")], [vars(FACT)], vars(FACT))]
STOP, PROGRESS, PATH, FOLDER = event(), function(), path(), path("folder")
BETTER: list[Bad] = [(value, "1 or -1") for value in (0, 2, True, None, "up")]
MOMENTS: list[Bad] = [
    *((value, "SecondMoment") for value in (True, 2.5, {1: "C"}, {1: None}, torch.eye(192), b"text", iter(["text"]))),
    ("", "moments must be"),
    *((value, "moments must be at least 512") for value in (3, 0, -1, 511, np.int64(3))),
    ([1], "moments[0] must be"),
]
