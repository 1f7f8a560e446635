"""The weights as a sum: ``W = W0 + edits``, rebuilt from the kept ``W0``, so that undo is exact.

Subtracting a delta in floating point does not give the old weights back. So the first edit that
touches a parameter keeps a copy of it, every change of the stack writes ``W0`` plus the remaining
terms anew (summed in float32 or better, in stack order), and with the last edit gone the very
bits of ``W0`` return. Every change is made whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from factlens.errors import NumericalError, QuantizedModel, WeightsChanged, WrongModel
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


class EditStack:
    """The edits in force on one model, oldest first, and those that were taken back and can be put back.

    Every method either does all that it says or raises an error, and then weights and stack are as before.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._parameters = dict(module.named_parameters())
        self._originals: dict[str, Tensor] = {}
        self._versions: dict[str, int] = {}
        self._edits: list[WeightEdit] = []
        # Where each one stood, the latest removal last.
        self._undone: list[tuple[int, WeightEdit]] = []

    @property
    def edits(self) -> tuple[WeightEdit, ...]:
        """The edits in force, oldest first."""
        return tuple(self._edits)

    @property
    def undone(self) -> tuple[WeightEdit, ...]:
        """The edits that `restore` would put back, the next one first."""
        return tuple(edit for _, edit in reversed(self._undone))

    def push(self, edit: WeightEdit) -> None:
        """Add an edit on top; nothing can be put back any more."""
        self.check(edit)
        self._write([*self._edits, edit], [])

    def remove(self, index: int) -> WeightEdit:
        """Take one edit out, whatever its place in the stack, and return it."""
        rest = list(self._edits)
        edit = rest.pop(index)
        self._write(rest, [*self._undone, (index % len(self._edits), edit)])
        return edit

    def restore(self) -> WeightEdit:
        """Put the edit that was removed last back where it stood, and return it."""
        *earlier, (index, edit) = self._undone
        self._write([*self._edits[:index], edit, *self._edits[index:]], earlier)
        return edit

    def reorder(self, edits: Sequence[WeightEdit]) -> None:
        """Sum the same edits in another order; nothing can be put back any more."""
        if sorted(map(id, edits)) != sorted(map(id, self._edits)):
            raise ValueError(
                "reorder takes the edits in force, every one once; apply or undo to change which they are."
            )
        self._write(list(edits), [])

    def replace(self, edits: Sequence[WeightEdit]) -> None:
        """Carry `edits` instead, oldest first; nothing can be put back any more."""
        for edit in edits:
            self.check(edit)
        self._write(list(edits), [])

    @contextmanager
    def temporarily(self, edits: Sequence[WeightEdit]) -> Iterator[None]:
        """Let the weights carry `edits` instead for the block; whatever is done in it ends with it."""
        kept, undone = self._edits, self._undone
        self.replace(edits)
        try:
            yield
        finally:
            self._write(kept, undone)

    def original(self, name: str) -> Tensor:
        """Return the parameter as it was before any edit."""
        return self._originals.get(name, self._parameters[name].detach())

    def check(self, edit: WeightEdit) -> None:
        """Raise an error if an edit does not fit this model, or the weights that it changes cannot be written."""
        for update in edit.updates:
            parameter = self._parameters.get(update.parameter)
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
        parameter = self._parameters[name]
        if parameter.device.type == "meta":
            raise QuantizedModel(
                f"{name!r} is not in memory (it is on the meta device, as offloaded weights are), so it cannot be "
                "edited. Load the model where it fits as a whole, or edit a layer that is not offloaded."
            )
        # One byte is float8. A tensor of a class of its own packs its numbers as it likes (torchao), or holds a share
        # of them (DTensor), whatever number format it shows.
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

    def _write(self, edits: list[WeightEdit], undone: list[tuple[int, WeightEdit]]) -> None:
        """Set the weights to ``W0`` plus `edits`: everything is computed before anything is written."""
        touched = [n for n in _touched([*self._edits, *edits]) if _terms(n, self._edits) != _terms(n, edits)]
        self._check_ours(touched)
        new = {name: self._sum(name, edits) for name in touched}
        kept = _touched(edits)
        # Ctrl-C between two weights would leave half an edit.
        with interrupts_held():
            old = self._exchange(new)
            for name in touched:
                if name in kept:
                    self._originals.setdefault(name, old[name])
                    self._versions[name] = self._parameters[name]._version
                else:
                    self._originals.pop(name, None)
                    self._versions.pop(name, None)
            self._edits, self._undone = edits, undone

    def _check_ours(self, names: Iterable[str]) -> None:
        """Raise `WeightsChanged` if somebody else wrote to the parameters, or put others in their place."""
        present = {id(parameter) for parameter in self._module.parameters()}
        for name in names:
            parameter = self._parameters[name]
            if id(parameter) not in present:
                raise WeightsChanged(
                    f"{name!r} was replaced by another parameter outside factlens, so edits would change a weight that "
                    "the model no longer uses. Wrap the model again: factlens.wrap(model, tokenizer)."
                )
            if name in self._versions and parameter._version != self._versions[name]:
                raise WeightsChanged(
                    f"{name!r} was changed outside factlens while an edit was in force, so the original cannot be "
                    "restored over it. Reload the model."
                )

    @torch.no_grad()
    def _exchange(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Write all values and return what was there; if one cannot be written, none is."""
        swapped = []
        try:
            for name in list(values):
                new, parameter = values[name], self._parameters[name]
                # In its place, so that old and new are in memory together for one parameter at a time.
                values[name] = parameter.detach().clone()
                swapped.append(name)
                parameter.copy_(new)
        except BaseException:
            for name in swapped:
                self._parameters[name].copy_(values[name])
                if name in self._versions:
                    self._versions[name] = self._parameters[name]._version
            raise
        return values

    @torch.no_grad()
    def _sum(self, name: str, edits: Iterable[WeightEdit]) -> Tensor:
        original = self.original(name)
        terms = [term for edit in edits for term in edit.updates if term.parameter == name]
        if not terms:
            return original
        # float64 weights are summed in float64, everything narrower in float32.
        wide = torch.float64 if original.dtype == torch.float64 else torch.float32
        total = original.to(wide, copy=True)
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
