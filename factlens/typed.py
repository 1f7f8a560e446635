"""Tables of what a file must hold: for every field a check, for every array its dimensions and number format.

A check is a function that returns the value as it is to be used, or raises `BadField`. A table names the fields of a
record; a record with a field more or less than its table is refused, since a new field comes with a new schema.

>>> PLACE = record({"layer": whole(), "kinds": many(text, unique=True), "level": optional(number)})
>>> PLACE({"layer": 3, "kinds": ["mlp"], "level": None})
{'layer': 3, 'kinds': ('mlp',), 'level': None}
>>> PLACE({"layer": 3, "kinds": ["mlp", 7], "level": None})
Traceback (most recent call last):
    ...
factlens.typed.BadField: its field 'kinds[1]' is 7, not a text
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Check = Callable[[Any], Any]
_INT64 = 2**63
_FLOATS = ("float32", "float64")


class BadField(ValueError):
    """A field does not hold what it must.

    Attributes
    ----------
    why, place
        What is wrong, and the field's name: ``"is 7, not a text"``, ``"kinds[1]"``.
    """

    def __init__(self, why: str, place: str = "") -> None:
        super().__init__(f"its field {place!r} {why}" if place else f"it {why}")
        self.why, self.place = why, place

    @classmethod
    def inside(cls, outer: str, error: ValueError) -> BadField:
        """Return the error of a part as one of the whole, in which the part is called `outer`."""
        if not isinstance(error, cls):
            return cls(f"makes no sense: {error}", outer)
        dot = "." if error.place and not error.place.startswith("[") else ""
        return cls(error.why, f"{outer}{dot}{error.place}")


def _refused(value: object, expected: str) -> BadField:
    return BadField(f"is {reprlib.repr(value)}, not {expected}")


# Single values -------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """Take a text, of whole characters: what has half of one can be neither shown nor written."""
    if not isinstance(value, str):
        raise _refused(value, "a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _refused(value, "a text of whole characters") from None
    return value


def flag(value: Any) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise _refused(value, "true or false")
    return value


def whole(least: int = 0, most: int = _INT64 - 1) -> Check:
    """Return a check for whole numbers within bounds."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _refused(value, "a whole number")
        if not least <= value <= most:
            raise _refused(value, f"a whole number from {least} to {most}")
        return value

    return check


def number_within(least: float = -math.inf, most: float = math.inf, *, unknown: bool = False) -> Check:
    """Return a check for finite numbers within bounds; with `unknown`, null stands for one that is not known, NaN."""

    def check(value: Any) -> float:
        if value is None and unknown:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _refused(value, "a number")
        try:
            real = float(value)
        except OverflowError:
            real = math.inf
        if not math.isfinite(real):
            raise _refused(value, "a finite number")
        if not least <= real <= most:
            raise _refused(value, f"a number from {least:g} to {most:g}")
        return real

    return check


number: Check = number_within()
"""A finite number."""


def one_of(*values: str) -> Check:
    """Return a check for one of a few texts."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in values:
            raise _refused(value, f"one of {', '.join(values)}")
        return value

    return check


def optional(one: Check) -> Check:
    """Return a check for what `one` takes, or null."""
    return lambda value: None if value is None else one(value)


def plain(*, finite: bool = True) -> Check:
    """Return a check for any value that JSON can hold; without `finite`, also NaN and infinity."""

    def check(value: Any) -> Any:
        if isinstance(value, (list, dict)):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            for name, item in inner:
                try:
                    check(item)
                    text(name) if isinstance(name, str) else None
                except ValueError as error:
                    raise BadField.inside(str(name) if isinstance(name, str) else f"[{name}]", error) from None
        elif isinstance(value, str):
            text(value)
        elif isinstance(value, float) and finite:
            number(value)
        return value

    return check


# Several of them -----------------------------------------------------------------------------------------------------


def many(one: Check, *, least: int = 0, most: int | None = None, unique: bool = False) -> Check:
    """Return a check for a list of what `one` takes, which becomes a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _refused(value, "a list")
        if len(value) < least or (most is not None and len(value) > most):
            expected = f"at least {least}" if most is None else f"{least}" if most == least else f"{least} to {most}"
            raise BadField(f"has {len(value)} entries, not {expected}")
        entries = []
        try:
            for item in value:
                entries.append(one(item))
        except ValueError as error:
            raise BadField.inside(f"[{len(entries)}]", error) from None
        if unique and len(set(entries)) < len(entries):
            raise BadField("has an entry twice")
        return tuple(entries)

    return check


def record(fields: Mapping[str, Check], later: Mapping[str, Any] | None = None) -> Check:
    """Return a check for an object with exactly these fields.

    Parameters
    ----------
    fields
        A check for each.
    later
        What stands for fields that files of earlier versions do not have.
    """

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refused(value, "an object with named fields")
        value = {**(later or {}), **value}
        if value.keys() != fields.keys():
            if missing := [name for name in fields if name not in value]:
                raise BadField(f"has no field {missing[0]!r}")
            unknown = next(name for name in value if name not in fields)
            raise BadField(f"has a field {reprlib.repr(unknown)}, which is unknown here")
        checked: dict[str, Any] = {}
        name = ""
        try:
            for name, one in fields.items():
                checked[name] = one(value[name])
        except ValueError as error:
            raise BadField.inside(name, error) from None
        return checked

    return check


def mapping(one: Check) -> Check:
    """Return a check for an object with any names, each with what `one` takes."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refused(value, "an object with named fields")
        checked: dict[str, Any] = {}
        name = ""
        try:
            for name, item in value.items():
                checked[text(name)] = one(item)
        except ValueError as error:
            raise BadField.inside(name, error) from None
        return checked

    return check


# Arrays --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Array:
    """What an array of a file must be.

    Attributes
    ----------
    dims
        Names of its dimensions. Equal names are of equal size, across all arrays of a file.
    dtypes
        Number formats that it may have.
    nan
        Whether NaN may stand in it, for what is not known.
    infinite
        Whether infinity may stand in it.
    least
        Smallest value.
    largest
        Largest absolute value: with larger ones, what is computed from them would overflow.
    empty
        Whether a dimension may be empty.
    needed
        Whether it must be there.
    """

    dims: tuple[str, ...]
    dtypes: tuple[str, ...] = _FLOATS
    nan: bool = False
    infinite: bool = False
    least: int | None = None
    largest: float | None = None
    empty: bool = False
    needed: bool = True


def arrays(
    loaded: Mapping[str, np.ndarray], table: Mapping[str, Array], sizes: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Return the arrays of a file if they are what they must be.

    Parameters
    ----------
    loaded
        The arrays.
    table
        What each of them must be.
    sizes
        Sizes of dimensions that are known.

    Raises
    ------
    BadField
        If one is missing or unknown, or has the wrong number format, shape, or values.
    """
    for name in loaded:
        if name not in table:
            raise BadField(f"has an array {reprlib.repr(name)}, which is unknown here")
    dims = dict(sizes or {})
    for name, rule in table.items():
        if name in loaded:
            _check_array(name, loaded[name], rule, dims)
        elif rule.needed:
            raise BadField(f"has no array {name!r}")
    return dict(loaded)


def _check_array(name: str, array: np.ndarray, rule: Array, sizes: dict[str, int]) -> None:
    if array.dtype.name not in rule.dtypes:
        raise BadField(f"has an array {name!r} of {array.dtype.name}, not {' or '.join(rule.dtypes)}")
    shape = tuple(sizes.setdefault(dim, size) for dim, size in zip(rule.dims, array.shape, strict=False))
    if array.ndim != len(rule.dims) or array.shape != shape or (0 in shape and not rule.empty):
        meant = ", ".join(f"{dim} {sizes.get(dim) or ''}".strip() for dim in rule.dims)
        raise BadField(f"has an array {name!r} of shape {array.shape}, not ({meant})")
    if not array.size:
        return
    if array.dtype.kind == "f":
        # Smallest and largest tell of NaN and of infinity, and take no memory.
        if not rule.nan and math.isnan(array.min()):
            raise BadField(f"has NaN in its array {name!r}")
        ends = array if rule.nan else np.array([array.min(), array.max()])
        if not rule.infinite and bool(np.isinf(ends).any()):
            raise BadField(f"has infinity in its array {name!r}")
    if rule.least is not None and array.min() < rule.least:
        raise BadField(f"has {array.min()} in its array {name!r}, less than {rule.least}")
    if rule.largest is not None and bool((np.abs(array) > rule.largest).any()):
        raise BadField(f"has a number larger than {rule.largest:g} in its array {name!r}")
