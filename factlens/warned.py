"""Warnings that point at the caller's own line, or are collected by a caller that shows them otherwise."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from weakref import ReferenceType, ref

from factlens.errors import FactlensWarning

_PACKAGE = str(Path(__file__).parent)


class Collected(list[FactlensWarning]):
    """Warnings that a caller shows otherwise, for as long as it keeps this list."""


# Weakly: an interrupt may strike where a block begins or ends, and must not silence what comes after.
_collected: ContextVar[ReferenceType[Collected] | None] = ContextVar("collected", default=None)


def warn(warning: FactlensWarning) -> None:
    """Warn of something, at the line outside this package that led to it."""
    reference = _collected.get()
    if reference is not None and (collected := reference()) is not None:
        collected.append(warning)
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_ours(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    warnings.warn(warning, stacklevel=level)


@contextmanager
def warnings_kept() -> Iterator[list[FactlensWarning]]:
    """Keep what is warned of in the block in a list, in the order it came, instead of warning."""
    collected = Collected()
    token = _collected.set(ref(collected))
    try:
        yield collected
    finally:
        _collected.reset(token)


def _is_ours(path: str) -> bool:
    # Context managers of `contextlib` stand between our own frames.
    return path.startswith(_PACKAGE) or path.endswith("contextlib.py")
