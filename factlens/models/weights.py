"""The weights as a sum: ``W = W0 + edits``, rebuilt from the kept ``W0``, so that undo is exact.

Subtracting a delta in floating point does not give the old weights back. So the first edit that
touches a parameter keeps a copy of it, every change of the stack writes ``W0`` plus the remaining
terms anew (summed in float32 or better, in stack order), and with the last edit gone the very
bits of ``W0`` return. Every change is made whole or not at all: ``W0`` is kept before the first
number is written and until the last one is, so `EditStack.restore` finds its way from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from factlens.errors import NumericalError, QuantizedModel, WeightsChanged, WrongModel
from factlens.models.identity import Inventory
from factlens.models.interrupts import interrupts_held
from factlens.models.memory import is_writable


@dataclass(frozen=True)
class LowRank:
    """One term of an edit: ``parameter += left @ right``, in the parameter's own layout.

    Attributes
    ----------
    parameter
        Name of the parameter, as in ``model.named_parameters()``.
    left, right
        Factors of shape ``(rows, rank)`` and ``(rank, columns)``, on the CPU.
    transposed
        Whether the parameter's rows are its inputs, as in GPT-2's ``Conv1D``. The sum does not ask; who wants to
        know what goes in and what comes out (an adapter for peft) has to.
    """

    parameter: str
    left: Tensor
    right: Tensor
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the parameter."""
        return self.left.shape[0], self.right.shape[1]

    def matrix(self, like: Tensor) -> Tensor:
        """Return the term as one matrix, on the device and in the number format of `like`."""
        return self.left.to(like) @ self.right.to(like)


@dataclass(frozen=True)
class Dense:
    """One term of an edit that is not of low rank: ``parameter += change``, in the parameter's own layout.

    Attributes
    ----------
    parameter
        As in `LowRank`.
    change
        A matrix of the parameter's shape, on the CPU.
    """

    parameter: str
    change: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the parameter."""
        return self.change.shape[0], self.change.shape[1]

    def matrix(self, like: Tensor) -> Tensor:
        """Return the term as one matrix, on the device and in the number format of `like`."""
        return self.change.to(like)


WeightTerm = LowRank | Dense


class WeightEdit(Protocol):
    """What the stack needs to know of an edit."""

    @property
    def updates(self) -> Sequence[WeightTerm]:
        """The terms that the edit adds."""


@dataclass(frozen=True)
class Entry:
    """An edit on the stack.

    Attributes
    ----------
    edit
        The edit.
    origin
        Who put it there: the id of a lens, or None for Python code.
    """

    edit: WeightEdit
    origin: str | None = None


@dataclass(frozen=True)
class Stacked:
    """What a stack holds at one time.

    Attributes
    ----------
    entries
        The applied edits, oldest first.
    undone
        Those that were taken back and can be put back, each with the place where it stood, the latest last.
    """

    entries: tuple[Entry, ...] = ()
    undone: tuple[tuple[int, Entry], ...] = ()

    @property
    def edits(self) -> tuple[WeightEdit, ...]:
        """The applied edits, oldest first."""
        return tuple(entry.edit for entry in self.entries)


class EditStack:
    """The edits applied to one model, oldest first, and those that were taken back and can be put back.

    Every method either does all that it says or raises an error, and then weights and stack are as before.

    Parameters
    ----------
    weights
        The parameters of the model.

    Attributes
    ----------
    now
        What the stack holds; a new object after every change.
    """

    def __init__(self, weights: Inventory) -> None:
        self.now = Stacked()
        self._weights = weights
        self._originals: dict[str, Tensor] = {}
        # Set from the first number written to the last: what differs then is our own doing.
        self._writing = False

    @property
    def edits(self) -> tuple[WeightEdit, ...]:
        """The applied edits, oldest first."""
        return self.now.edits

    @property
    def undone(self) -> tuple[WeightEdit, ...]:
        """The edits that `put_back` would put back, the next one first."""
        return tuple(entry.edit for _, entry in reversed(self.now.undone))

    @property
    def touched(self) -> tuple[str, ...]:
        """The parameters that applied edits have changed."""
        return tuple(self._originals)

    def push(self, edit: WeightEdit, origin: str | None = None) -> None:
        """Add an edit on top; nothing can be put back any more."""
        self.check(edit)
        self._write(Stacked((*self.now.entries, Entry(edit, origin))))

    def remove(self, index: int) -> WeightEdit:
        """Take one edit out, at any place in the stack, and return it."""
        rest = list(self.now.entries)
        entry = rest.pop(index)
        self._write(Stacked(tuple(rest), (*self.now.undone, (index % len(self.now.entries), entry))))
        return entry.edit

    def put_back(self) -> WeightEdit:
        """Put the edit that was removed last back where it stood, and return it."""
        *earlier, (index, entry) = self.now.undone
        entries = self.now.entries
        self._write(Stacked((*entries[:index], entry, *entries[index:]), tuple(earlier)))
        return entry.edit

    def reorder(self, edits: Sequence[WeightEdit]) -> None:
        """Sum the same edits in another order; nothing can be put back any more."""
        entries = {id(entry.edit): entry for entry in self.now.entries}
        if sorted(map(id, edits)) != sorted(entries):
            raise ValueError("reorder takes the applied edits, every one once; apply or undo to change which they are.")
        self._write(Stacked(tuple(entries[id(edit)] for edit in edits)))

    def replace(self, edits: Sequence[WeightEdit], origin: str | None = None) -> None:
        """Carry `edits` instead, oldest first; nothing can be put back any more.

        Those that are applied already keep their origin; the others are from `origin`.
        """
        for edit in edits:
            self.check(edit)
        present = {id(entry.edit): entry for entry in self.now.entries}
        self._write(Stacked(tuple(present.get(id(edit), Entry(edit, origin)) for edit in edits)))

    def go_back(self, state: Stacked) -> None:
        """Bring stack and weights to a state in which they have been.

        Raises
        ------
        WeightsChanged
            If other code has changed one of the weights that would be written; nothing has changed then.
        """
        if state is self.now and not self._writing:
            return
        if not self._writing:
            names = _touched([*self.edits, *state.edits])
            self.check_ours([n for n in names if _terms(n, self.edits) != _terms(n, state.edits)])
        self._restore(state)

    def _restore(self, state: Stacked) -> None:
        """Write a state in which the weights have been, from any state that a fault has left them in."""
        self._writing = True
        needed = _touched(state.edits)
        for name in needed:
            # Only what has been written back to its original is not kept.
            if name not in self._originals:
                self._originals[name] = self._there(name).detach().clone()
        for name in self._originals:
            self._set(name, self._sum(name, state.edits))
        self.now = state
        self._keep_only(needed)
        self._writing = False

    def original(self, name: str) -> Tensor:
        """Return the parameter as it was before any edit."""
        return self._originals[name] if name in self._originals else self._there(name).detach()

    def with_edit(self, edit: WeightEdit) -> dict[str, Tensor]:
        """Return what `push` would write, by parameter; nothing is written.

        Raises
        ------
        WrongModel, QuantizedModel, NumericalError
            As `push`.
        """
        self.check(edit)
        return {name: self._sum(name, (*self.edits, edit)) for name in _touched([edit])}

    # What a foreign hand has done --------------------------------------------------------------------------------

    def keep(self, changed: Sequence[str]) -> tuple[WeightEdit, ...]:
        """Take the present values of some parameters for their original ones.

        The edits that had changed them are part of the weights then: they leave the stack, also where they changed
        other parameters. The rest stays, and can be undone.

        Returns
        -------
        tuple of WeightEdit
            The edits that have become part of the weights.
        """
        folded = [edit for edit in self.edits if any(term.parameter in changed for term in edit.updates)]
        rest = Stacked(tuple(entry for entry in self.now.entries if entry.edit not in folded))
        needed = set(_touched(rest.edits))
        originals = {name: self._sum(name, folded).clone() for name in self._originals if name in needed}
        moved = [name for name in self._originals if _terms(name, folded)]
        # In one step: before it nothing has changed, after it the rest follows from the weights themselves.
        self._originals, self.now = originals, rest
        self._weights.accept([*changed, *(name for name in moved if name not in needed)])
        for name, original in originals.items():
            self._weights.written(name, original)
        return tuple(folded)

    def revert(self, changed: Sequence[str]) -> None:
        """Write what the stack says into parameters that other code has changed.

        Raises
        ------
        WeightsChanged
            If one has another shape now, or is not there any more; nothing was written then.
        """
        for name in changed:
            tensor = self._weights.tensor(name)
            if tensor is None or tensor.shape != self._originals[name].shape:
                raise WeightsChanged(
                    f"{name!r} has another shape now, or is gone, so what it was cannot be written back. Keep the "
                    "change (model.keep_changes()), or load the model again."
                )
        values = {name: self._sum(name, self.edits) for name in changed}
        try:
            self._rebind(values)
        except BaseException:
            self._rebind(values)
            raise

    def _rebind(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            tensor = self._there(name)
            # As data: the number format may have changed, too.
            tensor.data = value.to(tensor.device, copy=True)
            self._weights.written(name, self._originals[name])

    def convert(self, name: str) -> bool:
        """Follow a parameter with edits to another number format (``model.half()``), if that is all that was done.

        Returns
        -------
        bool
            Whether that was all. Its original is then in the new format, too, and the edits are summed anew in it.
        """
        tensor = self._weights.tensor(name)
        if tensor is None or name not in self._originals or not tensor.is_floating_point():
            return False
        original = self._originals[name]
        if tensor.dtype == original.dtype or tensor.shape != original.shape:
            return False
        there = self._sum(name, self.edits).to(tensor.device, tensor.dtype)
        if not torch.equal(there, tensor.detach()):
            return False
        converted = original.to(tensor.device, tensor.dtype)
        try:
            self._follow(name, converted)
        except BaseException:
            self._follow(name, converted)
            raise
        return True

    def _follow(self, name: str, original: Tensor) -> None:
        self._originals[name] = original
        self._set(name, self._sum(name, self.edits), original)

    # Checks ------------------------------------------------------------------------------------------------------

    def check(self, edit: WeightEdit) -> None:
        """Raise an error if an edit does not fit this model, or the weights that it changes cannot be written."""
        for update in edit.updates:
            parameter = self._weights.tensor(update.parameter)
            if parameter is None:
                raise WrongModel(f"The edit changes {update.parameter!r}, which this model does not have.")
            # Before the shapes: quantised weights are packed, and have others.
            self.check_writable(update.parameter)
            if tuple(parameter.shape) != update.shape:
                raise WrongModel(
                    f"The edit changes {update.parameter!r} with a matrix of shape {update.shape}, "
                    f"but this model's has shape {tuple(parameter.shape)}."
                )

    def check_writable(self, name: str) -> None:
        """Raise `QuantizedModel` if a parameter's numbers are not there to be changed."""
        parameter = self._there(name)
        if parameter.device.type == "meta":
            raise QuantizedModel(
                f"{name!r} is not in memory (it is on the meta device, as offloaded weights are), so it cannot be "
                "edited. Load the model where it fits as a whole, or edit a layer that is not offloaded."
            )
        # One byte is float8. A tensor of a class of its own packs its numbers as it likes (torchao), or holds a share
        # of them (DTensor), under any number format.
        if not parameter.is_floating_point() or parameter.element_size() == 1 or type(parameter.data) is not Tensor:
            raise QuantizedModel(
                f"{name!r} is {parameter.dtype} in a {type(parameter.data).__name__}: quantised or sharded weights "
                "cannot be edited. Load the model with dtype='float32', 'bfloat16' or 'float16'."
            )
        if parameter.is_inference():
            raise QuantizedModel(
                f"{name!r} was made under torch.inference_mode() and cannot be changed. Load the model outside of it."
            )
        if not is_writable(parameter.detach()):
            raise QuantizedModel(
                f"{name!r} lies in read-only memory, such as a file mapped with mode='r', so it cannot be edited. Copy "
                "the weights (parameter.data = parameter.data.clone()), or map the file copy-on-write, as "
                "torch.load(mmap=True) and np.memmap(mode='c') do."
            )

    # Writing -----------------------------------------------------------------------------------------------------

    def _write(self, state: Stacked) -> None:
        """Set the weights to ``W0`` plus the edits of `state`: everything is computed before anything is written."""
        edits = state.edits
        touched = [n for n in _touched([*self.edits, *edits]) if _terms(n, self.edits) != _terms(n, edits)]
        self.check_ours(touched)
        before = self.now
        new = {name: self._sum(name, edits) for name in touched}
        originals = {name: self._there(name).detach().clone() for name in touched if name not in self._originals}
        try:
            # Ctrl-C between two weights would leave half an edit.
            with interrupts_held():
                self._writing = True
                self._originals.update(originals)
                for name in touched:
                    self._set(name, new.pop(name))
                self.now = state
                self._keep_only(_touched(edits))
                self._writing = False
        except BaseException:
            self._restore(before)
            raise

    def check_ours(self, names: Iterable[str]) -> None:
        """Raise `WeightsChanged` if other code wrote to the parameters, or put others in their place."""
        changed = self._weights.changed(names, full=True)
        if changed:
            raise WeightsChanged.of(changed, self.edits)

    def _there(self, name: str) -> Tensor:
        tensor = self._weights.tensor(name)
        if tensor is None:
            raise WrongModel(f"The model has no parameter {name!r}.")
        return tensor

    @torch.no_grad()
    def _set(self, name: str, values: Tensor, original: Tensor | None = None) -> None:
        """Write to one parameter, and take note of what is there now."""
        self._there(name).copy_(values)
        self._weights.written(name, original)

    def _keep_only(self, needed: Sequence[str]) -> None:
        """Forget the originals of parameters that no edit changes any more."""
        for name in [name for name in self._originals if name not in needed]:
            del self._originals[name]

    @torch.no_grad()
    def _sum(self, name: str, edits: Iterable[WeightEdit]) -> Tensor:
        original = self.original(name)
        terms = [term for edit in edits for term in edit.updates if term.parameter == name]
        if not terms:
            return original
        # float64 weights are summed in float64, everything narrower in float32.
        wide = torch.float64 if original.dtype == torch.float64 else torch.float32
        device = self._there(name).device
        total = original.to(device, wide, copy=True)
        for term in terms:
            total += term.matrix(total)
        narrow = total.to(original.dtype)
        if not _finite(narrow):
            raise NumericalError(_why_not_finite(name, original, total))
        return narrow


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _why_not_finite(name: str, original: Tensor, total: Tensor) -> str:
    """Say whether the weight, its number format or the edit is to blame for a sum that is not finite."""
    if not _finite(original):
        return f"{name!r} holds NaN or infinity without any edit; nothing was changed. Reload the model."
    if _finite(total):
        return (
            f"The edit would make numbers in {name!r} as large as {float(total.abs().max()):.3g}, but "
            f"{str(original.dtype).removeprefix('torch.')} ends at {torch.finfo(original.dtype).max:.3g}; nothing was "
            "changed. Load the model with dtype='bfloat16' or 'float32'."
        )
    return f"The edit would write NaN or infinity into {name!r}; nothing was changed."


def _touched(edits: Iterable[WeightEdit]) -> list[str]:
    return list(dict.fromkeys(update.parameter for edit in edits for update in edit.updates))


def _terms(name: str, edits: Iterable[WeightEdit]) -> list[int]:
    """Which terms make up a parameter, by identity: equal lists, equal sums."""
    return [id(term) for edit in edits for term in edit.updates if term.parameter == name]
