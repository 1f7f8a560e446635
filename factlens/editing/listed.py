"""The settings of all editing methods in one list, for a function that takes those of whichever method it is given."""

from __future__ import annotations

import textwrap
from dataclasses import fields

from factlens.editing.hparams import Hparams
from factlens.editing.methods import METHODS
from factlens.signatures import Open, Option, documented

OF_THE_METHOD = Open("the method's")
"""Stands for a default, which each method has for itself, and for some models otherwise."""
_WIDTH = 112


def listed_settings() -> dict[str, Option]:
    """Return every setting of every method, with the methods that have it and what it is there by itself."""
    meanings: dict[str, dict[str, dict[str, list[str]]]] = {}
    types: dict[str, list[str]] = {}
    for name, method in METHODS.items():
        texts = _meanings(method.hparams)
        for item in fields(method.hparams):
            by_default = meanings.setdefault(item.name, {}).setdefault(texts[item.name], {})
            by_default.setdefault(repr(item.default), []).append(name)
            types.setdefault(item.name, [])
            types[item.name] += [part for part in str(item.type).split(" | ") if part not in types[item.name]]
    return {
        name: Option(name, " | ".join(types[name]), OF_THE_METHOD, "\n".join(map(_said_of, each.items())))
        for name, each in meanings.items()
    }


def _said_of(meaning: tuple[str, dict[str, list[str]]]) -> str:
    text, by_default = meaning
    methods = ", ".join(f"{', '.join(names)} ({default})" for default, names in by_default.items())
    return textwrap.fill(f"Of {methods}: {text}", _WIDTH, break_long_words=False, break_on_hyphens=False)


def _meanings(settings: type[Hparams]) -> dict[str, str]:
    """Return what the docstrings of a settings class and of those below it say of each setting."""
    meanings: dict[str, str] = {}
    for owner in reversed(settings.__mro__):
        entries = documented(vars(owner).get("__doc__"))
        meanings |= {name: text for name, text in entries.items() if not text.startswith("As `")}
    return {item.name: meanings.get(item.name, "") for item in fields(settings)}
