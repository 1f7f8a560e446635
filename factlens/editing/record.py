"""`Edit`: what was changed, how, and the few numbers that do it. A record, not a side effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from factlens.editing.calibrated import CALIBRATED
from factlens.editing.card import edit_html, size_of
from factlens.editing.export import to_peft
from factlens.editing.taking import Took, read_took, summary_of, took_to_json, warning_of
from factlens.facts import Fact, read_fact
from factlens.formats import Format
from factlens.models import Dense, LowRank
from factlens.models.belonging import digest_of
from factlens.models.weights import WeightTerm
from factlens.typed import Array, BadField, Check, arrays, flag, many, mapping, plain, text, whole
from factlens.visible import arrowed


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
    taken
        For each of `facts` whether the edit took: the probability of the whole target after the bare prompt before,
        with v* put in, and after (`factlens.editing.Took`). Measured when the edit was made, on the weights as they
        were then; empty where that is not known.
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
    taken: tuple[Took, ...] = ()

    @cached_property
    def id(self) -> str:
        """Sixteen hex digits of its content: the method, the layers, and every value of its terms and keys.

        Edits are told apart by it. An edit made twice in the same way, or read from its file, has the same one; one
        with other settings has another, although it may have the same label.
        """
        return digest_of(self.updates, method=self.method, layers=self.layers, keys=self.keys)

    @property
    def recipe(self) -> dict[str, Any]:
        """What makes it again: method, layers and every setting, as `factlens.edit` takes them.

        On the same model, ``factlens.edit(model, edit.facts, **edit.recipe)`` gives the same updates; second moments
        that were passed then have to be passed again. `defaults` says where what was left open is from.
        """
        return {"method": self.method, "layers": self.layers, **self.hparams}

    @property
    def defaults(self) -> str:
        """Where the layers and settings are from that were left open, in words; empty where that is not known."""
        return str(self.report.get("defaults", ""))

    @property
    def label(self) -> str:
        """What it does in a few words: ``The Space Needle → Paris``."""
        first = ", ".join(f"{fact.subject} → {fact.target}" for fact in self.facts[:3])
        return first if len(self.facts) <= 3 else f"{first} and {len(self.facts) - 3} more"

    @property
    def took(self) -> bool | None:
        """Whether it took for all of its facts; None where that is not known."""
        return all(one.failed is None for one in self.taken) if self.taken else None

    @property
    def warning(self) -> str:
        """What to say of an edit that did not take: for which facts, which half failed, what to change; else empty."""
        return warning_of(self.facts, self.taken)

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
            "id": self.id,
            "label": self.label,
            "facts": [asdict(fact) for fact in self.facts],
            "parameters": [update.parameter for update in self.updates],
            "taken": list(map(took_to_json, self.taken)),
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
        numbers = {}
        for i, update in enumerate(self.updates):
            if isinstance(update, LowRank):
                numbers[f"{i}.left"], numbers[f"{i}.right"] = _array(update.left), _array(update.right)
            else:
                numbers[f"{i}.change"] = _array(update.change)
        for layer, keys in self.keys.items():
            numbers[f"keys.{layer}"] = _array(keys)
        return _FORMAT.write(
            path,
            self,
            numbers,
            facts=[asdict(fact) for fact in self.facts],
            parameters=[update.parameter for update in self.updates],
            transposed=[isinstance(update, LowRank) and update.transposed for update in self.updates],
            taken=list(map(took_to_json, self.taken)),
            **{name: _packed(getattr(self, name)) for name in _PLAIN},
        )

    @classmethod
    def load(cls, path: str | Path) -> Edit:
        """Read a saved edit; ``model.apply(edit)`` puts it to work.

        Raises
        ------
        FileFormatError
            If the file is not an edit written by `save`, is damaged, or comes from another version's format.
        """
        with _FORMAT.reading(path) as (fields, numbers):
            parameters, transposed, own = fields.pop("parameters"), fields.pop("transposed"), fields.pop("id")
            if len(parameters) != len(transposed):
                raise ValueError(
                    f"it changes {len(parameters)} parameters, and says of {len(transposed)} if they are transposed"
                )
            if len(fields.get("taken", ())) not in (0, len(fields["facts"])):
                raise ValueError(
                    f"it says of {len(fields['taken'])} facts whether it took, and has {len(fields['facts'])}"
                )
            keyed = sorted(int(key[1]) for name in numbers if (key := _KEYS.fullmatch(name)))
            if not set(keyed) <= set(fields["layers"]):
                raise ValueError(f"it has keys of the layers {keyed}, and changes the layers {fields['layers']}")
            numbers = arrays(numbers, _arrays_of(len(parameters), keyed, numbers))
            named = enumerate(zip(parameters, transposed, strict=True))
            terms = tuple(_term(name, transpose, i, numbers) for i, (name, transpose) in named)
            keys = {layer: torch.from_numpy(numbers[f"keys.{layer}"]) for layer in keyed}
            if not {len(one) for one in keys.values()} <= {size for term in terms for size in term.shape}:
                raise ValueError("its keys do not fit what it changes")
            edit = cls(updates=terms, keys=keys, **fields)
            if own != edit.id:
                raise ValueError(f"its id is {own!r}, but its content has the id {edit.id}")
            return edit

    def __str__(self) -> str:
        return f"{self.label} ({self.method}, layer {', '.join(map(str, self.layers))})"

    def __repr__(self) -> str:
        took, made = summary_of(self.facts, self.taken), str(self).removeprefix(self.label)
        measured = f", {self.defaults}" if self.defaults.startswith(CALIBRATED) else ""
        return (
            f"<factlens.Edit {arrowed(self.label)}{made}, {size_of(self)}, for {self.model!r}"
            f"{f', {took}' if took else ''}{measured}>"
        )

    def _repr_html_(self) -> str:
        return edit_html(self)


_TUPLE = "__tuple__"
_KEYS = re.compile(r"keys\.(0|[1-9][0-9]{0,8})")
_FLOATS = ("float16", "float32", "float64")


def _settings(value: Any) -> dict[str, Any]:
    """Read settings, or what happened while an edit was made: any names, any values, tuples among them."""
    return {name: _unpacked(item) for name, item in mapping(plain(finite=False))(value).items()}


def _layers(value: Any) -> tuple[int, ...]:
    layers = _unpacked(value)
    return tuple(many(whole(), unique=True)(list(layers) if isinstance(layers, tuple) else layers))


# What a file must hold. The fields of the first table are written as they are, but for their tuples.
_PLAIN: dict[str, Check] = {
    "method": text,
    "layers": _layers,
    "hparams": _settings,
    "moment": text,
    "model": text,
    "fingerprint": text,
    "report": _settings,
}
_FIELDS: dict[str, Check] = {
    "id": text,
    "facts": many(read_fact),
    "parameters": many(text),
    "transposed": many(flag),
    "taken": many(read_took),
    **_PLAIN,
}
_FORMAT = Format("factlens.edit", "edit", 4, _FIELDS, {4: ("taken",)})


def _arrays_of(terms: int, keyed: Iterable[int], numbers: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Return what the arrays of an edit must be: of each term two factors or a whole matrix, and keys of layers."""
    expected = {}
    for i in range(terms):
        if f"{i}.change" in numbers:
            expected[f"{i}.change"] = Array((f"row of {i}", f"column of {i}"), _FLOATS)
        else:
            expected[f"{i}.left"] = Array((f"row of {i}", f"rank of {i}"), _FLOATS)
            expected[f"{i}.right"] = Array((f"rank of {i}", f"column of {i}"), _FLOATS)
    return expected | {f"keys.{layer}": Array((f"width of {layer}", "fact"), _FLOATS) for layer in keyed}


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
            if not isinstance(value[_TUPLE], list):
                raise BadField("is marked as several values, and is none")
            return tuple(_unpacked(item) for item in value[_TUPLE])
        return {name: _unpacked(item) for name, item in value.items()}
    return value


def _term(parameter: str, transposed: bool, i: int, numbers: Mapping[str, np.ndarray]) -> WeightTerm:
    if f"{i}.change" in numbers:
        return Dense(parameter, torch.from_numpy(numbers[f"{i}.change"]))
    left, right = numbers[f"{i}.left"], numbers[f"{i}.right"]
    return LowRank(parameter, torch.from_numpy(left), torch.from_numpy(right), transposed)
