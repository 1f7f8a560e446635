"""Faults at any line: a tracer that raises, or interrupts the process, when the n-th line is reached."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any

#: What runs between a call of factlens and the lines that it is about, besides its own.
BETWEEN = ("contextlib.py", "torch/utils/_contextlib.py", "torch/autograd/grad_mode.py", "torch/utils/hooks.py")
OURS = ("/factlens/",)


class Struck(Exception):
    """What is raised, so that no error of another origin passes for it."""


def lines_of(call: Callable[[], object], files: Sequence[str] = (*OURS, *BETWEEN)) -> list[str]:
    """Return the lines that a call runs, in their order, of files whose path has one of some parts in it."""
    seen: list[str] = []

    def at_line(frame: FrameType) -> None:
        code = frame.f_code
        seen.append(f"{code.co_filename}:{frame.f_lineno} ({code.co_name})")

    _follow(call, at_line, files)
    return seen


def struck_at(
    line: int, call: Callable[[], object], strike: Callable[[], None], files: Sequence[str] = (*OURS, *BETWEEN)
) -> str:
    """Call something, and strike when it reaches a line, counted from 0 as in `lines_of`.

    Returns
    -------
    str
        The line, if it was reached. What the call raises then is swallowed.
    """
    left, place = line, ""

    def at_line(frame: FrameType) -> None:
        nonlocal left, place
        left -= 1
        if left < 0:
            sys.settrace(None)
            place = f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
            strike()

    try:
        _follow(call, at_line, files)
    except BaseException:
        # The strike itself, or the error that the call has made of it.
        if not place:
            raise
    return place


def _follow(call: Callable[[], object], at_line: Callable[[FrameType], None], files: Sequence[str]) -> None:
    counts: dict[CodeType, bool] = {}

    def enter(frame: FrameType, _event: str, _arg: object) -> Any:
        code = frame.f_code
        if code not in counts:
            counts[code] = any(part in code.co_filename for part in files)
        return follow if counts[code] else None

    def follow(frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line":
            at_line(frame)
        return follow

    known = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(known)


def first_and_last(lines: Sequence[str]) -> list[int]:
    """Of every line, the first time that it runs and the last."""
    return sorted({*first_of(lines), *({line: place for place, line in enumerate(lines)}.values())})


def first_of(lines: Sequence[str]) -> list[int]:
    """Of every line, the first time that it runs."""
    last = len(lines) - 1
    return sorted({line: last - place for place, line in enumerate(reversed(lines))}.values())


def evenly(places: Sequence[int], most: int, turn: int = 0) -> list[int]:
    """Return at most so many of some places, evenly spread; each turn starts at another one."""
    if len(places) <= most:
        return list(places)
    # Multiples of the golden section, without their whole part, never come near each other soon.
    start = turn * 0.6180339887 % 1
    return [places[int((i + start) * len(places) / most)] for i in range(most)]


def sample_of(
    lines: Sequence[str], places: Sequence[int], *, closely: Sequence[str], most: int, turn: int
) -> list[int]:
    """Return at most so many of some places, and the first and the last line.

    Parameters
    ----------
    lines
        What runs at every place.
    places
        What to choose from. Half of the sample lies in the files looked at `closely`, the other half in all others,
        each spread evenly over the call.
    closely
        Parts of the paths of those files.
    turn
        Another number, another sample: tests of similar calls together strike at more lines than each. The same
        number, the same sample.
    """
    near = [place for place in places if any(part in lines[place] for part in closely)]
    far = sorted({*places} - {*near})
    half = (most - 2) // 2
    return sorted({0, len(lines) - 1, *evenly(near, half, turn), *evenly(far, half, turn)})


def throw(error: type[BaseException]) -> None:
    """Strike as an error."""
    raise error


def interrupt() -> None:
    """Strike as the kernel's interrupt: Python raises between two steps, or lets the interrupt wait."""
    signal.raise_signal(signal.SIGINT)
