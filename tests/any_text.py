"""Texts that mean harm or are odd, and what holds them without asking."""

from __future__ import annotations

import random
from copy import copy
from typing import Any, TypeVar

import factlens as fl

T = TypeVar("T")

BREAKS = [
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\x00",
    "\x1a",
    "\x08",
]
HOSTILE = [
    *(f"a{end}import os; os.abort()" for end in BREAKS),
    *(f"a{end}" for end in BREAKS),
    "'); import os; os.abort() #",
    '"); import os #',
    "'''\nimport os\n'''",
    '"""',
    "\\",
    "\\'",
    "\\\n'",
    "# -*- coding: utf-7 -*-",
    "{__import__('os').abort()}",
    "\\N{DIGIT ONE}\\x41\\u0041",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "' onload='alert(1)",
    '" onload="alert(1)',
    "]]><a/>",
    "<!-- -->",
    "&lt;b&gt;&amp;&#60;",
    "\u202etxt.exe",
    "\ud800 half",
    "\udfff",
    "\ufffe\uffff",
    "\u200b\u200d\ufeff",
    "$x$ and $\\frac{a}{b}$",
    "=1+1",
    "e\u0301 日本 🗼 \u00a0\u3000",
    "_hidden",
]
LUCK = random.Random("any text at all")
ALPHABET = [*BREAKS, *"'\"\\#{}()[]<>&=+-@;:, \tab1", "\u202e", "\ud800", "🗼", "é", "\\N", "'''", "*/", "//", "--"]
RANDOM = ["a" + "".join(LUCK.choices(ALPHABET, k=LUCK.randrange(1, 12))) for _ in range(200)]
EVERY = [*HOSTILE, *RANDOM]


def forced(made: T, **fields: Any) -> T:
    """A copy of something with anything at all in its fields; also what its own checks would refuse."""
    made = copy(made)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def fact(text: str, **fields: str) -> fl.Fact:
    """A fact with any text in it."""
    return forced(fl.Fact("{} is in", "x", target="y"), **(fields or {"template": text}))
