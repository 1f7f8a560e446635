"""The weights as a sum: ``W = W0 + edits``, rebuilt from the kept ``W0``, so that undo is exact.

Subtracting a delta in floating point does not give the old weights back. So the first edit that
touches a parameter keeps a copy of it, every change of the stack writes ``W0`` plus the remaining
low-rank terms anew (summed in float32 or better, in stack order), and with the last edit gone the very
bits of ``W0`` return.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from factlens.errors import NumericalError, QuantizedModel, WeightsChanged, WrongModel


@dataclass(frozen=True)
class LowRank:
    """One term of an edit: ``parameter += left @ right``, in the parameter's own layout.

    Attributes
    ----------
    parameter
        Name of the parameter, as in ``model.named_parameters()``.
    left, right
        Factors of shape ``(rows, rank)`` and ``(rank, columns)``, on the CPU.
    """

    parameter: str
    left: Tensor
    right: Tensor


class WeightEdit(Protocol):
    """What the stack needs to know of an edit."""

    @property
    def updates(self) -> Sequence[LowRank]:
        """The terms that the edit adds."""


class EditStack:
    """The edits in force on one model, oldest first."""

    def __init__(self, module: nn.Module) -> None:
        self._parameters = dict(module.named_parameters())
        self._originals: dict[str, Tensor] = {}
        self._versions: dict[str, int] = {}
        self._edits: list[WeightEdit] = []

    @property
    def edits(self) -> tuple[WeightEdit, ...]:
        """The edits in force, oldest first."""
        return tuple(self._edits)

    def push(self, edit: WeightEdit) -> None:
        """Add an edit on top; on any error nothing has changed."""
        self._check(edit)
        self._write([*self._edits, edit])

    def remove(self, index: int) -> WeightEdit:
        """Take one edit out, whatever its place in the stack, and return it."""
        rest = list(self._edits)
        edit = rest.pop(index)
        self._write(rest)
        return edit

    @contextmanager
    def temporarily(self, edits: Sequence[WeightEdit]) -> Iterator[None]:
        """Let the weights carry `edits` instead for the block."""
        kept = list(self._edits)
        self._write(list(edits))
        try:
            yield
        finally:
            self._write(kept)

    def original(self, name: str) -> Tensor:
        """Return the parameter as it was before any edit."""
        return self._originals.get(name, self._parameters[name].detach())

    def _check(self, edit: WeightEdit) -> None:
        for update in edit.updates:
            parameter = self._parameters.get(update.parameter)
            if parameter is None:
                raise WrongModel(f"The edit changes {update.parameter!r}, which this model does not have.")
            shape = (update.left.shape[0], update.right.shape[1])
            if tuple(parameter.shape) != shape:
                raise WrongModel(
                    f"The edit changes {update.parameter!r} with a matrix of shape {shape}, "
                    f"but this model's has shape {tuple(parameter.shape)}."
                )
            if parameter.device.type == "meta" or not parameter.is_floating_point():
                raise QuantizedModel(
                    f"{update.parameter!r} is {parameter.dtype} on {parameter.device}: quantised or offloaded weights "
                    "cannot be edited. Load the model with dtype='float32', 'bfloat16' or 'float16'."
                )

    def _write(self, edits: list[WeightEdit]) -> None:
        """Set the weights to ``W0`` plus `edits`: everything is computed before anything is written."""
        touched = [n for n in _touched([*self._edits, *edits]) if _terms(n, self._edits) != _terms(n, edits)]
        for name in touched:
            if name in self._versions and self._parameters[name]._version != self._versions[name]:
                raise WeightsChanged(
                    f"{name!r} was changed outside factlens while an edit was in force, so the original cannot be "
                    "restored over it. Reload the model."
                )
        new = {name: self._sum(name, edits) for name in touched}
        kept = _touched(edits)
        with torch.no_grad():
            for name in touched:
                parameter = self._parameters[name]
                if name in kept:
                    self._originals.setdefault(name, parameter.detach().clone())
                parameter.copy_(new[name])
                self._versions[name] = parameter._version
                if name not in kept:
                    self._originals.pop(name, None)
                    del self._versions[name]
        self._edits = list(edits)

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
            total += term.left.to(total) @ term.right.to(total)
        total = total.to(original.dtype)
        if not bool(torch.isfinite(total).all()):
            raise NumericalError(f"The edit would write NaN or infinity into {name!r}; nothing was changed.")
        return total


def _touched(edits: Iterable[WeightEdit]) -> list[str]:
    return list(dict.fromkeys(update.parameter for edit in edits for update in edit.updates))


def _terms(name: str, edits: Iterable[WeightEdit]) -> list[int]:
    """Which terms make up a parameter, by identity: equal lists, equal sums."""
    return [id(term) for edit in edits for term in edit.updates if term.parameter == name]
