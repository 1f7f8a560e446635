"""Options that several functions share: one table of them, shown in the signature and the docstring of each.

A function that hands options on takes them as ``**options``, which says nothing to a user who asks for its signature.
`taking` lists them there, and under its ``Parameters``, where its docstring has an entry of the ``**`` parameter.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from types import FunctionType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

LAST = ("progress", "stop")
"""Parameters that stand behind all options, since they change no result."""
_ENTRY = re.compile(r"\*?\*?[A-Za-z_]\w*(, \*?\*?[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes
    ----------
    name
        Its name.
    type
        Its type, as the source has it.
    default
        What it is when it is left out.
    meaning
        What it does, as a docstring says it, not indented.
    """

    name: str
    type: str
    default: Any
    meaning: str


class Open:
    """The default of an option that depends on something else, which `words` name."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __repr__(self) -> str:
        return f"<{self._words}>"


def documented(doc: str | None) -> dict[str, str]:
    """Return what a docstring says of each name under ``Parameters`` and ``Attributes``."""
    entries: dict[str, str] = {}
    lines = inspect.cleandoc(doc or "").splitlines() or [""]
    inside, names, body = False, list[str](), list[str]()

    def end() -> None:
        text = inspect.cleandoc("\n".join(["", *body])).strip()
        entries.update(dict.fromkeys(names, text))
        names.clear()
        body.clear()

    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"}:
            end()
            inside = line in ("Parameters", "Attributes")
        elif inside and _ENTRY.fullmatch(line):
            end()
            names += line.split(", ")
        elif names and (line.startswith(" ") or not line):
            body.append(line)
        elif line:
            end()
    end()
    return entries


def options_of(table: type, defaults: Mapping[str, Any]) -> dict[str, Option]:
    """Return the options that a ``TypedDict`` names, in the order of their defaults; its docstring says what each does.

    Raises
    ------
    KeyError
        If one of them has no type, or no entry in the docstring.
    """
    meanings, types = documented(table.__doc__), table.__annotations__
    return {
        # Where Python strips docstrings there is none.
        name: Option(name, _written(types[name]), default, meanings[name] if table.__doc__ else "")
        for name, default in defaults.items()
    }


def options_from(function: Callable[..., Any], *names: str) -> list[Option]:
    """Return some parameters of another function, as options of one that hands them on."""
    parameters, meanings = inspect.signature(function).parameters, documented(function.__doc__)
    return [
        Option(name, _written(parameters[name].annotation), parameters[name].default, meanings.get(name, ""))
        for name in names
    ]


def taking(options: Iterable[Option]) -> Callable[[F], F]:
    """List options in the signature of a function or class, and in its docstring, in place of its ``**`` parameter."""
    listed = list(options)

    def made(function: F) -> F:
        source: Callable[..., Any] = vars(function)["__init__"] if isinstance(function, type) else function
        parameters = [one for one in inspect.signature(source).parameters.values() if one.name != "self"]
        hidden = next(one for one in parameters if one.kind is Parameter.VAR_KEYWORD)
        own = [one for one in parameters if one is not hidden]
        more = [
            Parameter(option.name, Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
            for option in listed
        ]
        # Sorting keeps the order of what has the same place.
        ordered = sorted([*own, *more], key=lambda one: (one.kind, one.name in LAST))
        returns = Parameter.empty if isinstance(function, type) else inspect.signature(function).return_annotation
        described: Any = function
        described.__signature__ = inspect.Signature(ordered, return_annotation=returns)
        described.__doc__ = _with_entries(function.__doc__, hidden.name, listed)
        return function

    return made


def copy_of(function: F) -> F:
    """Return a function that does the same, with a signature and a docstring of its own."""
    source: Any = function
    made: Any = FunctionType(source.__code__, source.__globals__, source.__name__, source.__defaults__)
    made.__kwdefaults__, made.__annotations__ = source.__kwdefaults__, dict(source.__annotations__)
    made.__doc__, made.__qualname__, made.__module__ = source.__doc__, source.__qualname__, source.__module__
    copied: F = made
    return copied


def _with_entries(doc: str | None, hidden: str, options: Iterable[Option]) -> str | None:
    """Return a docstring with the entry of the ``**`` parameter replaced by one for each option."""
    if doc is None:
        return None
    pattern = re.compile(rf"^( *)\*\*{hidden}\n(?:\1 +.*\n| *\n(?=\1 ))*", re.MULTILINE)

    def entries(match: re.Match[str]) -> str:
        outer = match[1]
        lines = []
        for option in options:
            lines += [f"{outer}{option.name}", *(f"{outer}    {line}".rstrip() for line in option.meaning.splitlines())]
        return "".join(f"{line}\n" for line in lines)

    written, count = pattern.subn(entries, doc, count=1)
    if not count:
        raise ValueError(f"The docstring has no entry **{hidden} under which the options are listed.")
    return written


def _written(annotation: Any) -> str:
    """Return an annotation as the source has it: modules here keep theirs as text."""
    text = getattr(annotation, "__forward_arg__", annotation)
    return text if isinstance(text, str) else inspect.formatannotation(text)
