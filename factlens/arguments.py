"""Checks of arguments, made before anything is computed or changed.

Each checker takes the argument's name and value and returns the value. Scalars of numpy and torch come back as the
Python numbers that they stand for, so that no result or file depends on where a number came from. A bool is no number,
a text is no list of letters, and NaN and infinity are refused.
"""

from __future__ import annotations

import contextlib
import math
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Event
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar, cast

from factlens.errors import ArgumentError

LARGEST_SEED = 2**32 - 1
"""What every generator of random numbers takes."""
_LARGEST = 2**63 - 1

T = TypeVar("T")
P = ParamSpec("P")


def whole(
    name: str, value: Any, *, least: int | None = None, most: int | None = None, example: str | None = None
) -> int:
    """Return a whole number, if it is one and lies between `least` and `most`, both included.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    scalar = plain(value)
    phrase, limits = _range(None, least, None, most)
    if isinstance(scalar, bool) or not isinstance(scalar, int):
        refuse(name, value, phrase.replace("a ", "a whole ", 1), example)
    if (least is not None and scalar < least) or (most is not None and scalar > most):
        refuse(name, value, limits, example)
    if abs(scalar) > _LARGEST:
        refuse(name, value, f"at most {_LARGEST}", example)
    return int(scalar)


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    example: str | None = None,
) -> float:
    """Return a number that is finite and lies between the limits: `above` and `below` leave themselves out.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    scalar = plain(value)
    real = isinstance(scalar, (int, float)) and not isinstance(scalar, bool)
    phrase, limits = _range(above, least, below, most)
    if not real:
        refuse(name, value, phrase, example)
    if not _is_finite(scalar):
        refuse(name, value, phrase.replace("a ", "a finite ", 1), example)
    low = (above is None or scalar > above) and (least is None or scalar >= least)
    if not low or (below is not None and scalar >= below) or (most is not None and scalar > most):
        refuse(name, value, limits, example)
    return cast("float", scalar)


def fraction(name: str, value: Any, *, example: str = "0.95") -> float:
    """Return a number between 0 and 1, neither of them included.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    return number(name, value, above=0, below=1, example=example)


def a_seed(name: str, value: Any) -> int:
    """Return the seed of a random draw.

    Raises
    ------
    ArgumentError
        If it is no whole number from 0 to 2³² - 1.
    """
    return whole(name, value, least=0, most=LARGEST_SEED, example="0")


def flag(name: str, value: Any) -> bool:
    """Return True or False.

    Raises
    ------
    ArgumentError
        If it is neither; a 1 may be meant for another argument.
    """
    scalar = plain(value)
    if not isinstance(scalar, bool):
        refuse(name, value, "True or False")
    return scalar


def a_text(name: str, value: Any, *, empty: bool = False, example: str | None = None) -> str:
    """Return a text, which may have nothing but white space in it only where `empty`.

    Raises
    ------
    ArgumentError
        If it is none, or holds half of a character (a lone surrogate), which no tokenizer reads.
    """
    if not isinstance(value, str):
        refuse(name, value, "a text", example)
    if not empty and not value.strip():
        refuse(name, value, "a text with something in it", example)
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        refuse(name, value, "a text of whole characters (it holds half of one, a lone surrogate)", example)
    return str(value)


def some_texts(
    name: str, value: Any, *, empty: bool = False, example: str = "['a text', 'another']"
) -> tuple[str, ...]:
    """Return several texts, of which none may be blank unless `empty`.

    Raises
    ------
    ArgumentError
        If it is a single text, or one of them is no text; the message says which.
    """
    each = items(name, value, "texts in a list", example)
    return tuple(a_text(f"{name}[{i}]", one, empty=empty) for i, one in enumerate(each))


def items(name: str, value: Any, expected: str, example: str | None = None) -> Iterable[Any]:
    """Return what can be gone through, and is neither a text nor a mapping.

    Raises
    ------
    ArgumentError
        Otherwise; `expected` says what is in it.
    """
    if isinstance(value, (str, bytes, bytearray, Mapping, type)):
        refuse(name, value, expected, example)
    try:
        iter(value)
    except TypeError:
        refuse(name, value, expected, example)
    return cast("Iterable[Any]", value)


def one_of(name: str, value: Any, options: Iterable[str]) -> str:
    """Return one of some words.

    Raises
    ------
    ArgumentError
        If it is none of them.
    """
    names = list(options)
    if not isinstance(value, str) or value not in names:
        refuse(name, value, f"one of {', '.join(names)}")
    return str(value)


def instance(
    name: str, value: Any, kind: type[T] | tuple[type[T], ...], expected: str, example: str | None = None
) -> T:
    """Return an object of a class.

    Raises
    ------
    ArgumentError
        If it is of another; `expected` says what it should be, and where one gets such a thing.
    """
    if not isinstance(value, kind):
        # A text that looks like what is wanted is still a text.
        what = f"{type(value).__name__} " if isinstance(value, (str, int, float)) else ""
        raise ArgumentError(f"{name} must be {expected}, not {what}{shown(value)}.{_hint(name, example)}")
    return value


def function(name: str, value: Any) -> Callable[..., Any]:
    """Return something that can be called.

    Raises
    ------
    ArgumentError
        If it cannot.
    """
    if not callable(value):
        refuse(name, value, "a function")
    return cast("Callable[..., Any]", value)


def name_of(value: Callable[..., Any]) -> str:
    """Return what a function is called; an object that can be called has the name of its class."""
    return str(getattr(value, "__name__", type(value).__name__)).strip("<>")


def event(name: str, value: Any) -> Event:
    """Return a `threading.Event`, or what can be asked and waited for like one.

    Raises
    ------
    ArgumentError
        If it cannot.
    """
    if isinstance(value, type) or not callable(_attribute(value, "is_set")):
        refuse(name, value, "a threading.Event", example="threading.Event()")
    return cast("Event", value)


def a_path(name: str, value: Any, *, folder: bool = False, expected: str | None = None) -> Path:
    """Return the path of a file or, where `folder`, of a folder.

    Raises
    ------
    ArgumentError
        If it is neither text nor path, or cannot name a file.
    """
    expected = expected or f"the path of a {'folder' if folder else 'file'}"
    if not isinstance(value, (str, os.PathLike)) or not isinstance(plainly := os.fspath(value), str):
        refuse(name, value, expected)
    path = Path(plainly)
    if not plainly.strip() or "\0" in plainly or not (folder or path.name):
        refuse(name, value, expected)
    return path


def optional(
    check: Callable[Concatenate[str, Any, P], T], name: str, value: Any, *args: P.args, **kwargs: P.kwargs
) -> T | None:
    """Return None for None, and what a checker makes of everything else."""
    return None if value is None else check(name, value, *args, **kwargs)


def refuse_unknown(what: str, names: Iterable[str], options: Iterable[str]) -> None:
    """Refuse unknown names.

    Raises
    ------
    ArgumentError
        If one of the names is no option; `what` is what has these options.
    """
    allowed = list(options)
    for name in names:
        if name not in allowed:
            raise ArgumentError(f"{what} has no option {shown(name)}; it has {', '.join(allowed)}.")


def plain(value: Any) -> Any:
    """Return a scalar of numpy or torch as the Python number that it stands for, and everything else as it is."""
    item, shape = _attribute(value, "item"), _attribute(value, "shape")
    if callable(item) and isinstance(shape, tuple) and not shape:
        # A tensor on the meta device has no value.
        with contextlib.suppress(Exception):
            return item()
    return value


def refuse(name: str, value: Any, expected: str, example: str | None = None) -> NoReturn:
    """Raise the error that says what an argument should be and what it is.

    Raises
    ------
    ArgumentError
        Always.
    """
    raise ArgumentError(f"{name} must be {expected}, not {shown(value)}.{_hint(name, example)}")


def shown(value: Any) -> str:
    """Write a value down for an error: short, and without writing a large one in full first."""
    text = _SHORT.repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


class _Short(reprlib.Repr):
    """Numbers, texts and lists as Python writes them, cut; of everything else its class, and its shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = 60
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxarray = self.maxdeque = 4
        self.maxdict, self.maxlevel = 3, 3

    def repr_int(self, value: int, level: int) -> str:
        # Thousands of digits take long to write, and Python refuses to.
        if value.bit_length() > 100:
            return f"a number of about {math.ceil(value.bit_length() * math.log10(2))} digits"
        return repr(value)

    def repr_instance(self, value: Any, level: int) -> str:
        if isinstance(value, (str, os.PathLike)):
            return self.repr_str(str(value), level)
        if value is None or (isinstance(value, (bool, float, complex)) and type(value).__module__ == "builtins"):
            return repr(value)
        if isinstance(value, (bytes, bytearray)):
            return f"{len(value)} bytes"
        name = value.__name__ if isinstance(value, type) else type(value).__name__
        if isinstance(value, type):
            return f"the class {name}"
        size = _attribute(value, "shape")
        if not isinstance(size, tuple):
            return name
        scalar = plain(value)
        if isinstance(scalar, (bool, int, float)):
            return f"{name} {self.repr(scalar)}"
        return f"{name} of shape {tuple(size)}"


_SHORT = _Short()
_LONGEST = 160


def _attribute(value: Any, name: str) -> Any:
    """Return an attribute of any object; None if it has none, or its property raises an error."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _hint(name: str, example: str | None) -> str:
    return "" if example is None else f" For example {name}={example}."


def _range(above: float | None, least: float | None, below: float | None, most: float | None) -> tuple[str, str]:
    """Say which numbers are expected: for an error about something else, and for one about a number."""
    if least is not None:
        limits = f"at least {least:g}" if most is None else f"from {least:.10g} to {most:.10g}"
        return f"a number {'of ' if most is None else ''}{limits}", limits
    if above == 0 and below is None:
        at_most = "" if most is None else f"at most {most:g}"
        return f"a positive number{at_most and ' of ' + at_most}", f"positive{at_most and ' and ' + at_most}"
    if above is not None and below is not None:
        return f"a number between {above:g} and {below:g}", f"between {above:g} and {below:g}"
    return "a number", ""


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False
