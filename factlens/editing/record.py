"""`Edit`: what was changed, how, and the few numbers that do it. A record, not a side effect."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from factlens.errors import FileFormatError
from factlens.facts import Fact
from factlens.models import LowRank

_SCHEMA = 1


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
        from safetensors.torch import save_file

        tensors = {}
        for i, update in enumerate(self.updates):
            tensors[f"{i}.left"], tensors[f"{i}.right"] = update.left.contiguous(), update.right.contiguous()
        record = {
            "format": "factlens.edit",
            "schema": _SCHEMA,
            "facts": [asdict(fact) for fact in self.facts],
            "parameters": [update.parameter for update in self.updates],
            **{name: getattr(self, name) for name in _PLAIN},
        }
        save_file(tensors, str(path), metadata={"factlens": json.dumps(record)})
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Edit:
        """Read a saved edit; ``model.apply(edit)`` puts it to work.

        Raises
        ------
        FileFormatError
            If the file is not an edit written by `save`.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                record = json.loads((file.metadata() or {}).get("factlens", "{}"))
                if record.get("format") != "factlens.edit" or record.get("schema") != _SCHEMA:
                    raise FileFormatError(f"{path} is not an edit that this version of factlens reads.")
                updates = tuple(
                    LowRank(name, file.get_tensor(f"{i}.left"), file.get_tensor(f"{i}.right"))
                    for i, name in enumerate(record["parameters"])
                )
            plain = {name: record[name] for name in _PLAIN}
            plain["layers"] = tuple(plain["layers"])
            return cls(facts=tuple(Fact(**fact) for fact in record["facts"]), updates=updates, **plain)
        except FileNotFoundError:
            raise
        except (SafetensorError, OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise FileFormatError(f"{path} is not an edit that factlens wrote: {error}.") from error

    def __str__(self) -> str:
        return f"{self.label} ({self.method}, layer {', '.join(map(str, self.layers))})"

    def __repr__(self) -> str:
        return f"<factlens.Edit {self}>"


_PLAIN = ("method", "layers", "hparams", "moment", "model", "fingerprint", "report")
