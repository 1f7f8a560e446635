"""How experiments edit: by a method, and with settings of it where they are not its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from factlens.editing import METHODS
from factlens.errors import ArgumentError
from factlens.reproduce.folder import layers_of


class Way(NamedTuple):
    """A method with settings.

    Attributes
    ----------
    method
        Its name.
    settings
        Those that differ from what the method takes for the model.
    """

    method: str
    settings: dict[str, Any]


def a_way(name: str, value: Any) -> Way:
    """Return what ``"rome"`` or ``"rome:as_published=true:clamp=8"`` says.

    Parameters
    ----------
    name
        What the argument is called in errors.
    value
        A method, and settings of it behind colons, their values as JSON; what is no JSON is a text.

    Raises
    ------
    ArgumentError
        If there is no such method or setting, or a value cannot be.
    """
    if not isinstance(value, str):
        METHODS.named(name, value)
    method, *parts = str(value).split(":")
    hparams = METHODS.named(name, method).hparams
    settings = {}
    for part in parts:
        setting, equals, text = part.partition("=")
        if not equals:
            raise ArgumentError(f"{name} has settings as METHOD:setting=value: not {part!r} in {value!r}.")
        settings[setting] = _value(text)
    hparams().with_changes(**settings)
    return Way(method, settings)


def recipe_of(way: str, layers: Sequence[int] | Mapping[str, Sequence[int]] | None, seed: int) -> dict[str, Any]:
    """Return what `factlens.edit` takes to edit in a way: method, layers, settings; a seed among these goes first."""
    method, settings = a_way("methods", way)
    return {"method": method, "layers": layers_of(way, layers), "seed": seed, **settings}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
