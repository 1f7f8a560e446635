"""`Inventory`: every number that a model holds, by name, and whether it is still what it was.

A model's identity is a digest over all values of all its parameters, so that two models are the same if and only if
they compute the same. Looking again whenever something depends on it is what keeps it true: writes through ``.data``
leave no trace but the values themselves. That is affordable. On the CPU xxh3 goes through the weights at the speed at
which memory can be read, which is far less than one forward pass takes; elsewhere the device adds the bits up as
integers, along rows and along columns, and only where such a sum has changed are the values fetched and digested.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import is_
from typing import Any, NamedTuple

import torch
import xxhash
from torch import Tensor, nn

from factlens.models.guests import adapters_in_force, inner_module

Values = Any
"""An array of ctypes over the memory of a tensor."""
ADAPTERS = "adapters:"
"""What the names of parameters begin with that an adapter has brought."""
_WORDS = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}
_COLUMNS = 1024


@dataclass(frozen=True, eq=False)
class Slot:
    """Where a parameter or buffer is: in which module's table, under which name. It does not keep the module alive."""

    table: dict[str, Any]
    name: str

    @property
    def tensor(self) -> Tensor | None:
        """What is there now; None if there is nothing any more."""
        return self.table.get(self.name)


class Place(NamedTuple):
    """Where a tensor lies, and in which form: number format and shape."""

    device: torch.device
    address: object
    version: int | None
    strides: tuple[int, ...]
    form: tuple[torch.dtype, torch.Size]


@dataclass(frozen=True)
class Seen:
    """What was last seen of one tensor.

    Attributes
    ----------
    tensor
        The object itself: one that takes its place is another.
    place
        Device, address, version and form: what changes these may have changed values, and much does without.
    mark
        Of its values, for looks at the same device.
    now, unedited
        Digests of its values, as they are and as they are without any edit; the same on every device.
    values
        The values where they lie; None where they cannot be read without asking torch. To be read only while the
        tensor has not moved.
    """

    tensor: Tensor
    place: Place
    mark: str
    now: str
    unedited: str
    values: Values | None = None

    @property
    def moved(self) -> bool:
        """Whether the tensor lies elsewhere, or was written to openly."""
        tensor, place = self.tensor, self.place
        return place.version is None or tensor._version != place.version or tensor.data_ptr() != place.address

    @property
    def formed(self) -> bool:
        """Whether its form is still the same."""
        return self.tensor.stride() == self.place.strides and (self.tensor.dtype, self.tensor.shape) == self.place.form

    @property
    def same(self) -> bool:
        """Whether it has the values that were seen, if it has neither moved nor another form."""
        if self.values is None:
            return mark_of(self.tensor) == self.mark
        return self.mark.endswith(xxhash.xxh3_128_hexdigest(self.values))


class Inventory:
    """The parameters and saved buffers of one model by name, each with what is known of its values.

    Parameters
    ----------
    module
        The model. It is not kept alive.

    Attributes
    ----------
    slots
        Where the tensors are.
    adapters
        Which adapters act, see `adapters_in_force`.
    structure
        Counts up whenever the model is made of other modules, parameters or adapters than before, or a parameter has
        another number format or shape.
    """

    def __init__(self, module: nn.Module) -> None:
        self.slots: dict[str, Slot] = {}
        self.adapters: tuple[object, ...] = ()
        self.structure = 0
        self._modules: list[nn.Module] = []
        self._tables: list[dict[str, Any]] = []
        self._lengths: list[int] = []
        self._entries: tuple[list[dict[str, Any]], list[str], list[Any]] = ([], [], [])
        self._adapted = False
        self._seen: dict[str, Seen] = {}
        # Counts up before and after every change: what a view on another thread has read meanwhile is not remembered,
        # and neither is what was true before a change that was interrupted.
        self._changes = 0
        self._fingerprint = (-1, "")
        self.find(module)
        self.accept(self.slots)

    # Where they are ----------------------------------------------------------------------------------------------

    def find(self, module: nn.Module) -> None:
        """Look which modules, parameters and adapters the model has."""
        alike = self._alike() and (not self._adapted or adapters_in_force(module) == self.adapters)
        if alike and self._tables:
            return
        modules = list(module.modules())
        tables = [table for part in modules for table in (part._modules, part._parameters, part._buffers)]
        entries = [(table, name, value) for table in tables for name, value in table.items()]
        self._changes += 1
        self.slots, self.adapters = slots_of(module), adapters_in_force(module)
        self._adapted = any(inner_module(part) is not None for part in modules)
        # The model itself is left out: what is remembered here must not keep it alive. Its tables do not.
        self._modules = modules[1:]
        self.structure += 1
        self._changes += 1
        owners, names, values = map(list, zip(*entries, strict=True))
        self._lengths, self._entries = list(map(len, tables)), (owners, names, values)
        # Last: if this is interrupted, the next look begins anew.
        self._tables = tables

    def _alike(self) -> bool:
        """Whether every table of children, parameters and buffers still holds what it held, the very objects."""
        # Without a loop of Python's: this is asked before every single pass.
        owners, names, values = self._entries
        now = list(map(dict.get, owners, names))
        return list(map(len, self._tables)) == self._lengths and (
            all(map(is_, now, values)) or all(map(_same_or_away, now, values))
        )

    def modules(self, module: nn.Module) -> list[nn.Module]:
        """Return all modules of the model, as of the last time that `find` looked."""
        return [module, *self._modules]

    def tensor(self, name: str) -> Tensor | None:
        """Return the tensor with a name as it is now; None if the model has none."""
        slot = self.slots.get(name)
        return None if slot is None else slot.tensor

    # Whether they are what they were -----------------------------------------------------------------------------

    def changed(self, names: Iterable[str] | None = None, *, full: bool) -> list[str]:
        """Return which of the named tensors are not what they were, are new, or are not there any more.

        Parameters
        ----------
        names
            Default: all.
        full
            Look at the values of all. Without, of those only that lie elsewhere, or were written to openly.
        """
        changed = []
        if names is None:
            names = {**self._seen, **self.slots}
        for name in names:
            seen, tensor = self._seen.get(name), self.tensor(name)
            if tensor is None or seen is None:
                changed.append(name)
                continue
            # Most of them, most of the time, and as fast as can be.
            if tensor is seen.tensor and not seen.moved and (not full or seen.formed):
                if full and not seen.same:
                    changed.append(name)
                continue
            place = _place(tensor)
            moved = tensor is not seen.tensor or place != seen.place
            if not moved and not full:
                continue
            mark = mark_of(tensor)
            same = mark == seen.mark if place.device == seen.place.device else digest_of(tensor) == seen.now
            if not same:
                changed.append(name)
            elif moved:
                self._seen[name] = replace(seen, tensor=tensor, place=place, mark=mark, values=_values(tensor))
        return changed

    def accept(self, names: Iterable[str]) -> None:
        """Take these tensors, as they are now, for what the model is without any edit."""
        self._changes += 1
        for name in names:
            before, tensor = self._seen.pop(name, None), self.tensor(name)
            if tensor is not None:
                seen = _seen(tensor)
                self._seen[name] = replace(seen, unedited=seen.now)
                if before is not None and before.place.form != seen.place.form:
                    self.structure += 1
        self._changes += 1

    def written(self, name: str, original: Tensor | None = None) -> None:
        """Take note that factlens has written to a tensor; its values without edits are `original`, or as before."""
        tensor = self.tensor(name)
        assert tensor is not None
        unedited = self._seen[name].unedited if original is None else digest_of(original)
        other = unedited != self._seen[name].unedited
        self._changes += other
        self._seen[name] = replace(_seen(tensor), unedited=unedited)
        self._changes += other

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that name the unedited weights: names, shapes, number formats and every value.

        Adapters count where they are active. What is offloaded, and so not in memory, counts with its name and form.
        """
        changes, remembered = self._changes, self._fingerprint
        if remembered[0] != changes:
            digest = hashlib.sha256()
            for name, seen in sorted(self._seen.items()):
                if not name.startswith(ADAPTERS) or self.adapters:
                    digest.update(json.dumps([name, seen.unedited]).encode())
            digest.update(json.dumps(self.adapters).encode())
            remembered = self._fingerprint = (changes, digest.hexdigest()[:16])
        return remembered[1]


def slots_of(module: nn.Module) -> dict[str, Slot]:
    """Return where the parameters and saved buffers of a model are, shared ones once.

    The names are those of the bare model: where an adapter stands around a module (peft), its part of the name is left
    out, and what the adapter has brought is named apart, with `ADAPTERS` before it.
    """
    slots: dict[str, Slot] = {}
    seen: set[int] = set()
    for name, part, of_adapter in _modules(module):
        for attribute, table in _names(part):
            if id(table[attribute]) not in seen:
                seen.add(id(table[attribute]))
                whole = f"{name}.{attribute}" if name else attribute
                slots[f"{ADAPTERS}{whole}" if of_adapter else whole] = Slot(table, attribute)
    return slots


def _names(part: nn.Module) -> list[tuple[str, dict[str, Any]]]:
    """Return the names of a module's own parameters and saved buffers, each with the table that it is in."""
    tables: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)
    unsaved = part._non_persistent_buffers_set
    return [(name, table) for table in tables for name in table if table[name] is not None and name not in unsaved]


def _same_or_away(now: Any, value: Any) -> bool:
    """Whether one is the other, or both are places for an offloaded tensor: each pass makes a new one."""
    if now is value or not isinstance(now, Tensor) or not isinstance(value, Tensor):
        return now is value
    return now.device.type == value.device.type == "meta" and _place(now) == _place(value)


def _modules(module: nn.Module) -> Iterator[tuple[str, nn.Module, bool]]:
    """Yield each module once, with its name in the bare model, and whether an adapter has brought it."""
    seen: set[nn.Module] = set()

    def below(part: nn.Module, name: str, of_adapter: bool) -> Iterator[tuple[str, nn.Module, bool]]:
        if part in seen:
            return
        seen.add(part)
        yield name, part, of_adapter
        inner = inner_module(part)
        for key, child in part._modules.items():
            if child is not None and child is inner:
                yield from below(child, name, of_adapter)
            elif child is not None:
                yield from below(child, f"{name}.{key}" if name else key, of_adapter or inner is not None)

    yield from below(module, "", False)


# Values --------------------------------------------------------------------------------------------------------------


def _seen(tensor: Tensor) -> Seen:
    mark = mark_of(tensor)
    # On the CPU they are the same, and one look at the values is enough.
    now = mark if tensor.device.type == "cpu" else digest_of(tensor)
    return Seen(tensor, _place(tensor), mark, now, "", _values(tensor))


def _place(tensor: Tensor) -> Place:
    form = (tensor.dtype, tensor.shape)
    if not _in_memory(tensor):
        return Place(tensor.device, type(tensor.data).__name__, None, (), form)
    version = None if tensor.is_inference() else tensor._version
    return Place(tensor.device, tensor.data_ptr(), version, tensor.stride(), form)


def _in_memory(tensor: Tensor) -> bool:
    """Whether the bits can be looked at: not those of offloaded weights, nor of tensors that pack their numbers."""
    return tensor.device.type != "meta" and type(tensor.data) is Tensor


def mark_of(tensor: Tensor) -> str:
    """Return a mark of a tensor's values and number format, to be compared with others of the same device only."""
    if tensor.device.type == "cpu" or not _in_memory(tensor):
        return digest_of(tensor)
    return f"{tensor.dtype} {list(tensor.shape)} {_sums(tensor)}"


def digest_of(tensor: Tensor) -> str:
    """Return a digest of a tensor's values and number format, the same on every device."""
    kind = f"{tensor.dtype} {list(tensor.shape)}"
    if not _in_memory(tensor):
        return f"{kind} not in memory"
    on_cpu = tensor if tensor.device.type == "cpu" and tensor.is_contiguous() else tensor.detach().cpu().contiguous()
    values = _values(on_cpu)
    assert values is not None
    return f"{kind} {xxhash.xxh3_128_hexdigest(values)}"


def _values(tensor: Tensor) -> Values | None:
    """Return the values where they lie, without the detours by which torch hands them out; None if it has to."""
    if tensor.device.type != "cpu" or not _in_memory(tensor) or not tensor.is_contiguous():
        return None
    size = tensor.numel() * tensor.element_size()
    return (ctypes.c_char * size).from_address(tensor.data_ptr()) if size else b""


def _sums(tensor: Tensor) -> str:
    """Add the bits up as integers along rows and columns, on the tensor's own device; exact in any order."""
    flat = tensor.detach().contiguous().reshape(-1)
    size = flat.numel() * flat.element_size()
    words = flat.view(next(kind for width, kind in _WORDS.items() if size % width == 0))
    whole = len(words) // _COLUMNS * _COLUMNS
    grid = words[:whole].view(-1, _COLUMNS)
    parts = [grid.sum(0, dtype=torch.int64), grid.sum(1, dtype=torch.int64), words[whole:].to(torch.int64)]
    return str(xxhash.xxh3_128_hexdigest(torch.cat(parts).cpu().numpy().data))
