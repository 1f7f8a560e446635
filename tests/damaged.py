"""Ways to damage a saved file: in a field, in its bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.saved import KINDS

ALL = pytest.mark.parametrize("name", KINDS)

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    2**70,
    10**400,
    1e308,
    -0.5,
    "",
    "text\x00\u2028",
    "half \ud800",
    [],
    [[]],
    {},
    {"": None},
    [None],
    ["x", 3],
    [1, 1],
    float("inf"),
    float("nan"),
]


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything inside a value; of alike entries of a list, to the first and the last."""
    if here:
        yield here
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*here, name))
    elif isinstance(value, list):
        for i in sorted({0, len(value) - 1} if value else ()):
            yield from places(value[i], (*here, i))


def put(content: Any, place: tuple[Any, ...], value: Any) -> None:
    for step in place[:-1]:
        content = content[step]
    content[place[-1]] = value


OUTCOMES = len(KINDS["store"].make().outcomes)

RECORDS = pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.record])


def mutated(data: bytes, luck: random.Random) -> bytes:
    """Some bytes of a file changed, left out, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(luck.choice((1, 1, 1, 3))):
        at, length = luck.randrange(len(changed) or 1), luck.choice((1, 1, 4, 40))
        way = luck.randrange(6)
        if way == 0 and changed:
            changed[at] ^= 1 << luck.randrange(8)
        elif way == 1:
            changed[at : at + length] = luck.randbytes(length)
        elif way == 2:
            del changed[at : at + length]
        elif way == 3:
            changed[at:at] = changed[at : at + length]
        elif way == 4:
            del changed[at:]
        else:
            changed[at : at + length] = luck.choice((b"[", b"{", b'"', b"\x00", b"9" * 40, b"null", b"-", b"\xff"))
    return bytes(changed)
