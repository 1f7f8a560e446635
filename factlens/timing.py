"""How long a computation will still take, from the share that is done, and the same in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from factlens.arguments import number, refuse

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}


class TimeLeft:
    """Says how far a computation is and how long it will still take: ``"12 % · 3 min left"``.

    Parameters
    ----------
    clock
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, float] | None = None

    def seconds(self, share: float, least: float = 0.0) -> float | None:
        """Return the time left for a share of the work done; None while there is too little to go by, and at the end.

        Parameters
        ----------
        share
            From 0 to 1. The first call sets what the speed is measured from: a computation that is taken up again
            begins in the middle, and what was there before took no time today.
        least
            No guess is made before so many seconds.
        """
        now = self._clock()
        if self._first is None:
            self._first = (now, share)
        began, before = self._first
        if share >= 1 or share <= before or now - began <= least:
            return None
        return (now - began) * (1 - share) / (share - before)

    def __call__(self, share: float) -> str:
        """Return the line for a share of the work done; the first call is that of `seconds`."""
        done, left = f"{100 * share:.0f} %", self.seconds(share)
        return done if left is None else f"{done} · {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a time in words, no finer than one looks at it: seconds, minutes, or hours and minutes."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def roughly(seconds: float) -> str:
    """Return a time in words that do not change with every look: ``"about 15 s"``."""
    return "a few seconds" if seconds < 5 else f"about {duration(5 * round(seconds / 5))}"


class Clock:
    """The time that a computation has.

    Parameters
    ----------
    seconds
        How long that is, from now on.
    """

    def __init__(self, seconds: float) -> None:
        self._began, self._seconds = time.monotonic(), seconds

    @property
    def share(self) -> float:
        """Share of the time that has gone by; above 1 when it is over."""
        return self.share_after(0.0)

    def share_after(self, seconds: float) -> float:
        """Return the share of the time that will have gone by after some more seconds."""
        return (time.monotonic() + seconds - self._began) / max(self._seconds, 1e-9)

    @property
    def left(self) -> float:
        """Seconds left, not below 0."""
        return max(0.0, self._began + self._seconds - time.monotonic())


def a_time(name: str, value: Any) -> float:
    """Return a length of time in seconds: a number of them, or a text such as ``"90s"``, ``"5m"``, ``"1h"``.

    Raises
    ------
    ArgumentError
        If it is neither, or not positive.
    """
    example = "'5m'"
    if not isinstance(value, str):
        return float(number(name, value, above=0, example=example))
    digits = value.strip().rstrip("smhin ")
    unit = value.strip()[len(digits) :].strip() or "s"
    try:
        count = float(digits)
    except ValueError:
        count = 0.0
    seconds = count * _UNITS.get(unit, 0)
    if not 0 < seconds < float("inf"):
        refuse(name, value, "a length of time: seconds, or a text such as '90s', '5m' or '1h'", example)
    return seconds
