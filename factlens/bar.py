"""The progress bar that long computations show by themselves where the caller has not asked for anything else.

It is there in a notebook and in a terminal, comes after half a second, says what is being done, how far that is and
how long it will still take, and goes at the end. A thread has one at most: what a computation calls inside says in
its bar what it is at. Nothing is shown where ``progress=`` is a function or False, and in a block of `unshown`.

A bar is drawn by the front end, which is named here, not imported: the computation knows neither notebook nor tqdm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial, wraps
from importlib import import_module
from typing import Any, ParamSpec, Protocol, TypeVar
from weakref import ReferenceType, ref

from factlens.progress import SURE_AFTER, SURE_SHARE, Count, Stages, StageShare
from factlens.timing import TimeLeft, roughly

P = ParamSpec("P")
T = TypeVar("T")

LATE, EVERY = 0.5, 0.1
"""Seconds after which a bar appears, and between two drawings of it."""
_DRAWN_BY = "factlens.screen"


class Drawn(Protocol):
    """A bar on the screen."""

    def draw(self, share: float, words: str) -> None:
        """Show how far it is, and what else there is to say."""

    def close(self) -> None:
        """Take it away."""


class Bar:
    """How far a computation is, and the bar that shows it from a certain time on.

    Parameters
    ----------
    what
        What is being done: ``"Editing"``.
    clock
        Returns the time in seconds.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, clock
        self._share = self._base = self._step = 0.0
        self._words = self._inner = ""
        self._left_in_words: str | None = None
        self._left = TimeLeft(clock)
        self._due = clock() + LATE
        self._drawn: Drawn | None = None
        self._asked = False

    def tell(self, share: float, words: str = "", left: str | None = None, *, step: float = 0.0) -> None:
        """Say how far it is; it never goes back.

        Parameters
        ----------
        share
            Of the whole.
        words
            What is being done.
        left
            How long it will still take. Default: what follows from the share.
        step
            How much will be added by what is called next; see `within`.
        """
        self._base, self._step, self._words, self._left_in_words, self._inner = share, step, words, left, ""
        self._share = max(self._share, share)
        self.beat()

    def within(self, share: float, words: str, left: str | None = None, *, step: float = 0.0) -> None:
        """As `tell`, for something that was called inside, which says only how far it is itself, and where."""
        self._inner = words
        self._share = max(self._share, self._base + share * self._step)
        self.beat()

    def beat(self) -> None:
        """Draw, if it is time to."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + EVERY
        seconds = self._left.seconds(self._share, least=SURE_AFTER)
        left = "" if seconds is None or self._share < SURE_SHARE else f"{roughly(seconds)} left"
        if self._left_in_words is not None:
            left = self._left_in_words
        words = ", ".join(filter(None, (self._words, self._inner, left)))
        # What cannot be shown (a closed terminal) must not end what is being computed.
        with suppress(Exception):
            if not self._asked:
                self._asked = True
                self._drawn = import_module(_DRAWN_BY).open_bar(self._what)
            if self._drawn is not None:
                self._drawn.draw(self._share, words)

    def close(self) -> None:
        """Take it off the screen."""
        if self._drawn is not None:
            with suppress(Exception):
                self._drawn.close()


Adapt = Callable[[Callable[..., None], Mapping[str, Any]], Callable[..., None]]
"""Makes what a computation calls: from what takes a share and words, and from the arguments that it was called with."""


class _Open:
    """One call that shows a bar, or in which none is shown, and all that is called inside."""

    def __init__(self, bar: Bar | None) -> None:
        self.bar = bar


class _Thread(threading.local):
    """The innermost such call of a thread."""

    # Weakly: an interrupt may strike where a call begins or ends, and must not silence what comes after.
    open: ReferenceType[_Open] | None = None


_thread = _Thread()


def _around() -> _Open | None:
    return None if _thread.open is None else _thread.open()


def beat() -> None:
    """Draw the bar of the thread if it is time to; called wherever a computation could be interrupted."""
    around = _around()
    if around is not None and around.bar is not None:
        around.bar.beat()


@contextmanager
def _within(bar: Bar | None) -> Iterator[None]:
    before, opened = _thread.open, _Open(bar)
    outer = _around()
    try:
        _thread.open = ref(opened)
        yield
    finally:
        _thread.open = before
        if bar is not None and (outer is None or outer.bar is not bar):
            bar.close()


@contextmanager
def unshown() -> Iterator[None]:
    """Let nothing in the block show a bar by itself: who opens it shows in another way how far it is."""
    with _within(None):
        yield


def of_stages(weights: Mapping[str, float]) -> Adapt:
    """Return what turns stages and their shares into one bar; see `factlens.progress.Stages`."""

    def adapt(tell: Callable[..., None], _arguments: Mapping[str, Any]) -> StageShare:
        stages = Stages(weights)
        return lambda stage, share: tell(*stages.say(stage, share))

    return adapt


def of_count(things: str) -> Adapt:
    """Return what turns a count into a bar: ``"3 of 20 facts"``."""

    def adapt(tell: Callable[..., None], _arguments: Mapping[str, Any]) -> Count:
        return lambda done, of: tell(done / max(1, of), f"{done} of {of} {things}", step=1 / max(1, of))

    return adapt


def _of_share(tell: Callable[..., None], words: str, share: float) -> None:
    tell(share, words)


def by_itself(what: str, adapt: Adapt | None = None) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a computation show a bar unless its ``progress=`` says otherwise, which is a keyword.

    Parameters
    ----------
    what
        What is being done: ``"Editing"``.
    adapt
        Turns what the computation says into a share and words. Default: it says a share.
    """

    def made(call: Callable[P, T]) -> Callable[P, T]:
        @wraps(call)
        def showing(*args: P.args, **kwargs: P.kwargs) -> T:
            progress, around = kwargs.get("progress"), _around()
            if progress is None:
                bar = Bar(what) if around is None else around.bar
                if bar is not None:
                    tell, words = (bar.tell, "") if around is None else (bar.within, what.lower())
                    hearing = adapt(tell, kwargs) if adapt else partial(_of_share, tell, words)
                    with _within(bar):
                        return call(*args, **{**kwargs, "progress": hearing})  # type: ignore[arg-type]
            elif progress is False:
                progress = None
            elif around is not None:
                return call(*args, **kwargs)  # what is shown of it is the business of who called
            with unshown():
                return call(*args, **{**kwargs, "progress": progress})  # type: ignore[arg-type]

        return showing

    return made
