"""Progress with the time left, and a table of statistics, as lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from factlens.moments.second import SecondMoment


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

    def __call__(self, share: float) -> str:
        """Return the line for a share of the work done. The first call sets what the speed is measured from."""
        now = self._clock()
        if self._first is None:
            # A computation that is taken up again begins in the middle: what was there before took no time today.
            self._first = (now, share)
        began, before = self._first
        done = f"{100 * share:.0f} %"
        if share >= 1 or share <= before or now <= began:
            return done
        return f"{done} · {duration((now - began) * (1 - share) / (share - before))} left"


def duration(seconds: float) -> str:
    """Return a time in words, no finer than one looks at it: seconds, minutes, or hours and minutes."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def table(moments: Iterable[tuple[SecondMoment, Path]]) -> str:
    """Return statistics and their files as a table, one line for each layer."""
    head = ("layer", "tokens", "effective sample size", "expected error", "file")
    rows = [head]
    for moment, path in moments:
        measured = moment.effective is not None
        size = f"about {moment.effective:,.0f}" if measured else "not measured"
        error = f"{'' if measured else 'at least '}{moment.expected_error:.0%}"
        rows.append((str(moment.layer), f"{moment.count:,}", size, error, str(path)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    # Paths are long and of all lengths, so the last column is the only one set flush left.
    cells = ([*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[-1]] for row in rows)
    return "\n".join("  ".join(row) for row in cells)
