"""Everything that a call opens on a model is closed again, at any line the call ends.

Python may raise between any two steps: KeyboardInterrupt most of all, but a tracer, a debugger or an exhausted memory
as well, also inside the very lines that would put things right. So putting right is not left to those lines alone.
Who works on a model has a `Stay`, which notes what it finds before it changes anything, is listed while it lasts, and
can be ended any number of times. `settled` ends what a call that fails has left on the list; `block` makes a ``with``
block whose end cannot be missed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Sequence
from functools import partial, wraps
from io import IOBase
from threading import Event, current_thread, local, main_thread
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

import torch
from torch import nn

from factlens.errors import NumericalError, WeightsChanged
from factlens.models.hooks import standing, undo_since
from factlens.models.interrupts import Handling
from factlens.models.surroundings import Surroundings

if TYPE_CHECKING:
    from factlens.models.record import ModelRecord
    from factlens.models.weights import Stacked

P = ParamSpec("P")
T = TypeVar("T")

_threads = local()


def open_stays() -> list[Stay]:
    """Return the stays of the present thread that have not ended, the outermost first."""
    if not hasattr(_threads, "stays"):
        _threads.stays = []
    stays: list[Stay] = _threads.stays
    return stays


class Stay:
    """One stay with a model, from taking it to giving it back; making it changes nothing yet.

    Parameters
    ----------
    record
        Of the model.
    module
        The model.
    stops
        Events that end the waiting for it.
    name
        What it is called, for messages.
    watched
        Whether the weights are looked at in full, so that what is computed can be said to be of these weights.
    passing
        Whether the edits that were applied at its beginning are brought back at its end.

    Attributes
    ----------
    stacked
        The edits that were applied when it began; None before.
    """

    def __init__(
        self,
        record: ModelRecord,
        module: nn.Module,
        stops: Sequence[Event] = (),
        name: str = "",
        *,
        watched: bool = False,
        passing: bool = False,
    ) -> None:
        self.record, self.watched, self.passing = record, watched, passing
        self._module, self._stops, self._name = module, stops, name
        self._level = record.turn.level
        self._surroundings, self._handling, self._standing = Surroundings(), Handling(), len(standing())
        self.stacked: Stacked | None = None
        self._training: list[nn.Module] = []

    @property
    def outermost(self) -> bool:
        """Whether this thread did not have the model before."""
        return self._level == 0

    def begin(self) -> None:
        """Take the model: wait for it, switch dropout off, and keep out what surrounds the call."""
        open_stays().append(self)
        self.record.turn.take(self._stops, self._name)
        self.record.weights.find(self._module)
        modules = self.record.weights.modules(self._module)
        self.stacked = self.record.stack.now
        self._training = [part for part in modules if part.training]
        self._surroundings.leave()
        for part in self._training:
            part.training = False

    def hand_over(self) -> None:
        """Let the user's own code run from here on, in the surroundings that it has chosen, until the end."""
        self._surroundings.again()

    def end(self, *, back: bool = False, failed: bool = False) -> None:
        """Give the model back; a second time, do what the first has left undone.

        Parameters
        ----------
        back
            Bring the edits back that were applied at the beginning.
        failed
            Also bring back gradients and interrupts: an error struck where these should have been brought back.

        Raises
        ------
        WeightsChanged, NumericalError
            If the weights cannot be written back; everything else is as it was then.
        """
        stays = open_stays()
        if self not in stays:
            return
        while stays[-1] is not self:
            stays[-1]._leave(back=True, failed=True)
            stays.pop()
        error = self._leave(back=back, failed=failed)
        stays.remove(self)
        if error is not None:
            raise error

    def _leave(self, *, back: bool, failed: bool) -> Exception | None:
        """Bring back what was found, and return what stood in the way."""
        error: Exception | None = None
        # Once the turn is over, others may have begun theirs, and nothing of the model is touched any more.
        if self.record.turn.level > self._level:
            undo_since(self._standing)
            if back and self.stacked is not None:
                self._surroundings.leave()
                try:
                    self.record.stack.go_back(self.stacked)
                except (WeightsChanged, NumericalError) as wrong:
                    error = wrong
            self._surroundings.again()
            for part in self._training:
                part.training = True
            if self.outermost:
                self.record.catch_up()
            self.record.turn.back_to(self._level)
        if failed:
            torch.set_grad_enabled(self._surroundings.gradients)
            self._handling.again()
        return error


def settled(call: Callable[P, T]) -> Callable[P, T]:
    """Let a call work outside of what surrounds it, and close what it has left open when it fails, at any line."""

    @wraps(call)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        stays, handling, surroundings = len(open_stays()), Handling(), Surroundings()
        drawn = torch.get_rng_state()
        try:
            surroundings.leave()
            result = call(*args, **kwargs)
            surroundings.again()
            return result
        except BaseException:
            try:
                _settle(stays, handling, surroundings, drawn)
            except BaseException:
                _settle(stays, handling, surroundings, drawn)
                raise
            raise

    return guarded


def _settle(stays: int, handling: Handling, surroundings: Surroundings, drawn: torch.Tensor) -> None:
    if current_thread() is main_thread():
        # A second Ctrl-C has nothing left to interrupt.
        signal.signal(signal.SIGINT, _nothing)
    opened = open_stays()
    while len(opened) > stays:
        opened[-1]._leave(back=True, failed=True)
        opened.pop()
    surroundings.again()
    torch.set_grad_enabled(surroundings.gradients)
    if not torch.equal(torch.get_rng_state(), drawn):
        torch.set_rng_state(drawn)
    handling.again()


def _nothing(*_: object) -> None:
    pass


class Block(IOBase, Generic[T]):
    """A ``with`` block whose end cannot be missed.

    Between the last line of a block and the first line of an ``__exit__`` that is written in Python, an exception can
    strike, and then nothing is put back. `IOBase` has an ``__exit__`` of compiled code, which calls `close` and nothing
    else; and `close` is set to go on with a generator, which waits inside its own ``try``. Where not even that is
    called, the block's object is released, and compiled code calls `close` then.
    """

    def __init__(self, steps: Generator[T]) -> None:
        self._steps = steps

    def __enter__(self) -> T:  # type: ignore[override]
        """Run to the ``yield``; what it gives is the block's ``as``."""
        self.close = partial(next, self._steps, None)  # type: ignore[method-assign]
        return next(self._steps)


def block(steps: Callable[P, Generator[T]]) -> Callable[P, Block[T]]:
    """Make ``with`` blocks of a generator that yields once, inside its own ``try``."""

    @wraps(steps)
    def made(*args: P.args, **kwargs: P.kwargs) -> Block[T]:
        return Block(steps(*args, **kwargs))

    return made
