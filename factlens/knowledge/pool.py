"""The pool of general knowledge: relations, each in several wordings, with subjects and their objects."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Relation(NamedTuple):
    """One relation of the pool.

    Attributes
    ----------
    name
        ``"capital"``.
    templates
        Its wordings, with ``{}`` for the subject, each ending right before the object; the first is the prompt.
    objects
        The object of each subject.
    """

    name: str
    templates: tuple[str, ...]
    objects: Mapping[str, str]


@cache
def pool() -> tuple[Relation, ...]:
    """Return the relations of ``facts.toml``, which was written by hand for factlens."""
    table = tomllib.loads((files("factlens.knowledge") / "facts.toml").read_text("utf-8"))
    return tuple(Relation(name, tuple(part["templates"]), part["facts"]) for name, part in table.items())
