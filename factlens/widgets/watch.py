"""`Watch`: a view of a session that is shown again when, and only when, something that it is made of has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from factlens.session import Session
from factlens.tracing import Trace


class Watch:
    """What is made of some of a session's traits.

    It looks for itself what has changed: where many traits change at once, all of them are in place at the first look,
    and later ones find nothing new.

    Parameters
    ----------
    session
        Whose traits.
    names
        The traits, or properties, that it is made of.
    show
        Shows it.
    """

    def __init__(self, session: Session, names: tuple[str, ...], show: Callable[[Session], object]) -> None:
        self._session, self._names, self._show = session, names, show
        self._shown: list[Any] | None = None

    def look(self) -> None:
        """Show it if anything has changed since the last look."""
        now = [getattr(self._session, name) for name in self._names]
        if self._shown is None or not all(map(_same, now, self._shown)):
            self._shown = now
            self._show(self._session)


def _same(a: object, b: object) -> bool:
    # Two traces are never compared cell by cell; of one that grows, `frame` says so.
    return a is b or (not isinstance(a, Trace) and a == b)
