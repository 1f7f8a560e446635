"""`Edit`: what was changed, how, and the few numbers that do it. A record, not a side effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from factlens.editing.card import edit_html, size_of
from factlens.editing.export import to_peft
from factlens.errors import FileFormatError
from factlens.facts import Fact
from factlens.files import read_record, write_record
from factlens.models import Dense, LowRank
from factlens.models.weights import WeightTerm

_FORMAT, _SCHEMA = "factlens.edit", 2


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of a model's weights that can be applied, undone, saved and loaded.

    Attributes
    ----------
    method
        ``"rome"``, ``"memit"``, ...
    facts
        The facts it was made for, with their targets.
    layers
        The layers it touches.
    updates
        The terms it adds to the weights: of low rank, but for fine-tuning.
    hparams
        Every setting of the method, the seed of its contexts included.
    moment
        Which second moments of the keys it was solved with; empty for methods without.
    model, fingerprint
        Name and fingerprint of the model it was made for.
    report
        What happened while it was made: steps, losses, norms.
    keys
        The facts' keys at each layer, ``(keys, facts)``, where later edits by the same method need them (AlphaEdit).
    """

    method: str
    facts: tuple[Fact, ...]
    layers: tuple[int, ...]
    updates: tuple[WeightTerm, ...]
    hparams: dict[str, Any]
    moment: str
    model: str
    fingerprint: str
    report: dict[str, Any] = field(default_factory=dict)
    keys: dict[int, Tensor] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What it does in a few words: ``The Space Needle → Paris``."""
        first = ", ".join(f"{fact.subject} → {fact.target}" for fact in self.facts[:3])
        return first if len(self.facts) <= 3 else f"{first} and {len(self.facts) - 3} more"

    @property
    def nbytes(self) -> int:
        """Bytes of its terms and keys: the size of its file, but for some kilobytes of text."""
        factors = [
            factor
            for term in self.updates
            for factor in ((term.left, term.right) if isinstance(term, LowRank) else (term.change,))
        ]
        return sum(tensor.numel() * tensor.element_size() for tensor in [*factors, *self.keys.values()])

    def to_dict(self) -> dict[str, Any]:
        """Return what the edit is, without its numbers, as plain data that JSON can hold."""
        return {
            "label": self.label,
            "facts": [asdict(fact) for fact in self.facts],
            "parameters": [update.parameter for update in self.updates],
            **{name: getattr(self, name) for name in _PLAIN if name != "report"},
        }

    def to_peft(self, folder: str | Path) -> Path:
        """Write the edit as a LoRA adapter that ``peft.PeftModel.from_pretrained(base, folder)`` loads.

        Only for edits of low rank; see `factlens.editing.export.to_peft`, also for the errors.
        """
        return to_peft(self, folder)

    def save(self, path: str | Path) -> Path:
        """Write the edit to one safetensors file: the factors, and everything else as JSON in its header.

        Factors in bfloat16 are written as float32, which holds all of their values; everything else comes back as it
        was.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        arrays = {}
        for i, update in enumerate(self.updates):
            if isinstance(update, LowRank):
                arrays[f"{i}.left"], arrays[f"{i}.right"] = _array(update.left), _array(update.right)
            else:
                arrays[f"{i}.change"] = _array(update.change)
        for layer, keys in self.keys.items():
            arrays[f"keys.{layer}"] = _array(keys)
        record = {
            "facts": [asdict(fact) for fact in self.facts],
            "parameters": [update.parameter for update in self.updates],
            "transposed": [isinstance(update, LowRank) and update.transposed for update in self.updates],
            **{name: _packed(getattr(self, name)) for name in _PLAIN},
        }
        return write_record(path, _FORMAT, _SCHEMA, record, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Edit:
        """Read a saved edit; ``model.apply(edit)`` puts it to work.

        Raises
        ------
        FileFormatError
            If the file is not an edit written by `save`, is damaged, or comes from another version's format.
        """
        record, arrays = read_record(path, _FORMAT, _SCHEMA)
        try:
            plain = {name: _unpacked(record[name]) for name in _PLAIN}
            plain["layers"] = tuple(plain["layers"])
            terms = enumerate(zip(record["parameters"], record["transposed"], strict=True))
            return cls(
                facts=tuple(Fact(**fact) for fact in record["facts"]),
                updates=tuple(_term(name, transposed, i, arrays) for i, (name, transposed) in terms),
                keys={
                    int(name.removeprefix("keys.")): torch.from_numpy(array)
                    for name, array in arrays.items()
                    if name.startswith("keys.")
                },
                **plain,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path} is not a complete factlens edit: {error}.") from error

    def __str__(self) -> str:
        return f"{self.label} ({self.method}, layer {', '.join(map(str, self.layers))})"

    def __repr__(self) -> str:
        return f"<factlens.Edit {self}, {size_of(self)}, for {self.model!r}>"

    def _repr_html_(self) -> str:
        return edit_html(self)


_PLAIN = ("method", "layers", "hparams", "moment", "model", "fingerprint", "report")
_TUPLE = "__tuple__"


def _array(factor: Tensor) -> np.ndarray:
    # numpy has no bfloat16. float32 holds all of its values, and is what the weights are summed in.
    return (factor.float() if factor.dtype == torch.bfloat16 else factor).detach().cpu().numpy()


def _packed(value: Any) -> Any:
    """Mark tuples, which JSON does not tell from lists: settings that come back must make the same edit again."""
    if isinstance(value, tuple):
        return {_TUPLE: [_packed(item) for item in value]}
    if isinstance(value, list):
        return [_packed(item) for item in value]
    if isinstance(value, dict):
        return {name: _packed(item) for name, item in value.items()}
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {_TUPLE}:
            return tuple(_unpacked(item) for item in value[_TUPLE])
        return {name: _unpacked(item) for name, item in value.items()}
    return value


def _term(parameter: str, transposed: bool, i: int, arrays: Mapping[str, np.ndarray]) -> WeightTerm:
    if f"{i}.change" in arrays:
        change = arrays[f"{i}.change"]
        if change.ndim != 2:
            raise ValueError(f"the change of {parameter!r} has shape {change.shape}")
        return Dense(parameter, torch.from_numpy(change))
    left, right = arrays[f"{i}.left"], arrays[f"{i}.right"]
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(f"the factors of {parameter!r} have shapes {left.shape} and {right.shape}")
    return LowRank(parameter, torch.from_numpy(left), torch.from_numpy(right), transposed)
