"""`Edit`: what was changed, how, and the few numbers that do it. A record, not a side effect."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from factlens.errors import FileFormatError
from factlens.facts import Fact
from factlens.files import read_record, write_record
from factlens.models import LowRank

_FORMAT, _SCHEMA = "factlens.edit", 1


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of a model's weights that can be applied, undone, saved and loaded.

    Attributes
    ----------
    method
        ``"rome"``.
    facts
        The facts it was made for, with their targets.
    layers
        The layers it touches.
    updates
        The low-rank terms it adds to the weights.
    hparams
        Every setting of the method, the seed of its contexts included.
    moment
        Which second moment of the keys it was solved with.
    model, fingerprint
        Name and fingerprint of the model it was made for.
    report
        What happened while it was made: steps, losses, norms.
    """

    method: str
    facts: tuple[Fact, ...]
    layers: tuple[int, ...]
    updates: tuple[LowRank, ...]
    hparams: dict[str, Any]
    moment: str
    model: str
    fingerprint: str
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What it does in a few words: ``The Space Needle → Paris``."""
        return ", ".join(f"{fact.subject} → {fact.target}" for fact in self.facts)

    def save(self, path: str | Path) -> Path:
        """Write the edit to one safetensors file: the factors, and everything else as JSON in its header."""
        arrays = {}
        for i, update in enumerate(self.updates):
            arrays[f"{i}.left"], arrays[f"{i}.right"] = _array(update.left), _array(update.right)
        record = {
            "facts": [asdict(fact) for fact in self.facts],
            "parameters": [update.parameter for update in self.updates],
            **{name: getattr(self, name) for name in _PLAIN},
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
            plain = {name: record[name] for name in _PLAIN}
            plain["layers"] = tuple(plain["layers"])
            return cls(
                facts=tuple(Fact(**fact) for fact in record["facts"]),
                updates=tuple(
                    _term(name, arrays[f"{i}.left"], arrays[f"{i}.right"])
                    for i, name in enumerate(record["parameters"])
                ),
                **plain,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path} is not a complete factlens edit: {error}.") from error

    def __str__(self) -> str:
        return f"{self.label} ({self.method}, layer {', '.join(map(str, self.layers))})"

    def __repr__(self) -> str:
        return f"<factlens.Edit {self}>"


_PLAIN = ("method", "layers", "hparams", "moment", "model", "fingerprint", "report")


def _array(factor: Tensor) -> np.ndarray:
    # numpy has no bfloat16. float32 holds all of its values, and is what the weights are summed in.
    return (factor.float() if factor.dtype == torch.bfloat16 else factor).detach().cpu().numpy()


def _term(parameter: str, left: np.ndarray, right: np.ndarray) -> LowRank:
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(f"the factors of {parameter!r} have shapes {left.shape} and {right.shape}")
    return LowRank(parameter, torch.from_numpy(left), torch.from_numpy(right))
