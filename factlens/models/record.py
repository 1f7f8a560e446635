"""`ModelRecord`: what factlens keeps per Hugging Face model, however often it is wrapped."""

from __future__ import annotations

import inspect
import itertools
import time
import warnings
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from factlens.errors import WeightsChanged
from factlens.models.identity import Inventory
from factlens.models.settling import open_stays
from factlens.models.turn import Turn
from factlens.models.weights import EditStack, Stacked, WeightEdit

T = TypeVar("T")
_RESULTS = 16  # results of `computed_once` at most
_SHARE = 0.005  # of the time may be spent with looking at the weights again in the middle of a computation


@dataclass(frozen=True)
class ModelEvent:
    """Something that has happened to a model.

    Attributes
    ----------
    what
        ``"applied"``, ``"undone"``, ``"redone"``, ``"reordered"``, ``"replaced"`` (by `Model.set_edits`),
        ``"cleared"``, ``"brought back"`` (after an error);
        ``"changed outside"``, ``"kept"``, ``"reverted"`` (a foreign change of the weights, and what became of it);
        ``"looked at again"`` (other modules than before);
        ``"calibrated"`` (edits may take other layers and settings by default).
    edits
        The edits that it is about.
    parameters
        The parameters that it is about.
    origin
        Who did it: the id of a lens, or None for Python code.
    """

    what: str
    edits: tuple[WeightEdit, ...] = ()
    parameters: tuple[str, ...] = ()
    origin: str | None = None


Listener = Callable[[ModelEvent], None]


class ModelRecord:
    """One model's stack of edits, whose turn it is with it, what its weights are, and who wants to know.

    Attributes
    ----------
    turn
        The lock.
    weights
        The parameters, and whether they are what they were.
    stack
        The applied edits.
    lasting
        The same but for what is applied for a block only, as with `Model.unedited`. What views show: it can be read
        on any thread, and whenever it changes, all listeners are told.
    """

    def __init__(self, module: nn.Module) -> None:
        self.turn = Turn()
        self.weights = Inventory(module)
        self.stack = EditStack(self.weights)
        self.lasting = self._announced = self.stack.now
        # Written to and copied in single steps of Python's, so that it needs no lock: one that a strike at an unlucky
        # moment has left taken would stop every thread.
        self._listeners: dict[int, Callable[[], Listener | None]] = {}
        self._numbers = itertools.count()
        self._cost, self._next = 0.0, 0.0
        self._results: tuple[Hashable, dict[Hashable, Any]] = None, {}

    @property
    def present(self) -> Stacked:
        """What is applied for the present thread: what is for a block only, if the block is its own."""
        return self.stack.now if self.turn.mine else self.lasting

    def computed_once(self, weights: Hashable, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what `compute` gives, which is called once for a key as long as the weights are the same.

        Parameters
        ----------
        weights
            What tells the weights that it computes with from others: `factlens.models.belonging.Weights.key`. Results
            of other weights are dropped.
        key
            What it depends on besides.
        compute
            Gives something that its callers do not change.
        """
        computed_with, results = self._results
        if computed_with != weights:
            results = {}
        if key not in results:
            result = compute()
            # The oldest goes first. Set in one step, so that a strike leaves the former results or these.
            latest = list(results.items())[-(_RESULTS - 1) :]
            results = {**dict(latest), key: result}
            self._results = weights, results
        value: T = results[key]
        return value

    # Who wants to know -------------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every `ModelEvent`. Methods are held weakly: their object is free to go."""
        reference = weakref.WeakMethod(listener) if inspect.ismethod(listener) else lambda: listener
        self._listeners[next(self._numbers)] = reference

    def forget(self, listener: Listener) -> None:
        """Do not call `listener` any more."""
        for number, reference in list(self._listeners.items()):
            if reference() in (listener, None):
                self._listeners.pop(number, None)

    def announce(self, event: ModelEvent) -> None:
        """Tell all listeners; an error in one of them undoes nothing."""
        blocks = [stay.stacked for stay in open_stays() if stay.record is self and stay.passing and stay.stacked]
        self._tell(event, blocks[0] if blocks else self.stack.now)

    def catch_up(self) -> None:
        """Tell all listeners of a stack that they were not told of: a call that failed may have brought it back."""
        if self._announced is not self.stack.now:
            self._tell(ModelEvent("brought back", self.stack.edits), self.stack.now)

    def _tell(self, event: ModelEvent, lasting: Stacked) -> None:
        self.lasting = lasting
        for number, reference in list(self._listeners.items()):
            listener = reference()
            if listener is None:
                self._listeners.pop(number, None)
                continue
            try:
                listener(event)
            except Exception as error:
                warnings.warn(f"A listener that was told of edits ({event.what}) failed: {error!r}.", stacklevel=3)
        # Last: listeners that were not told because of an interrupt are told at the end of the call.
        self._announced = lasting

    # Foreign hands -----------------------------------------------------------------------------------------------

    def look(self, *, full: bool) -> None:
        """Look what others have done to the weights since the last time.

        What is harmless is taken for what the model is now. The holder of the turn calls this; who has just taken it
        knows which modules there are (`Inventory.find`).

        Parameters
        ----------
        full
            Look at every value. Otherwise only at those that were moved, or written to openly.

        Raises
        ------
        WeightsChanged
            If a parameter was changed on which edits lie.
        """
        began = time.monotonic()
        changed = self.weights.changed(full=full)
        if full:
            now = time.monotonic()
            self._cost = now - began
            self._next = now + self._cost / _SHARE
        if not changed:
            return
        touched = self.stack.touched
        foreign = [name for name in changed if name in touched and not self.stack.convert(name)]
        self.weights.accept([name for name in changed if name not in touched])
        taken = tuple(name for name in changed if name not in foreign)
        if taken:
            self.announce(ModelEvent("changed outside", parameters=taken))
        if foreign:
            raise WeightsChanged.of(foreign, self.stack.edits)

    @property
    def due(self) -> bool:
        """Whether the weights have not been looked at for so long that doing it again costs next to nothing."""
        return time.monotonic() >= self._next

    def foreign(self, module: nn.Module) -> list[str]:
        """Return the parameters that other code has changed under edits."""
        self.weights.find(module)
        return self.weights.changed(self.stack.touched, full=True)


_records: weakref.WeakKeyDictionary[nn.Module, ModelRecord] = weakref.WeakKeyDictionary()


def record_of(module: nn.Module) -> ModelRecord:
    """Return the record of a model. There is one as long as there is the model, and it does not keep it alive."""
    # Of two threads that make one, `setdefault` keeps the first, in a single step.
    return _records.get(module) or _records.setdefault(module, ModelRecord(module))
