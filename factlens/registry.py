"""One small registry: entries of one sort by name, in the order of their table, each loaded when it is first asked for.

A table names its entries as ``"module:object"``, so that a new one is a file of its own and a line in the table, and
no module is loaded before it is needed. A user's own entry is registered while the program runs.

>>> METHODS = Registry("editing method", {"rome": "factlens.editing.methods.rome:ROME"})
>>> METHODS.named("method", "roem")
Traceback (most recent call last):
factlens.errors.ArgumentError: There is no editing method 'roem': method must be one of rome.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from factlens.arguments import a_text, instance, name_of, refuse, shown
from factlens.errors import ArgumentError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Entries by name.

    Parameters
    ----------
    what
        What an entry is called in an error: ``"editing method"``.
    table
        From names to entries, or to where they stand: ``"module:object"``.
    kind
        The class that an entry registered later has to be of.
    """

    def __init__(self, what: str, table: Mapping[str, T | str], kind: type[T] | None = None) -> None:
        self.what, self.kind = what, kind
        self._table: dict[str, Any] = dict(table)

    def __getitem__(self, name: str) -> T:
        entry = self._table[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._table[name] = getattr(import_module(module), attribute)
        loaded: T = entry
        return loaded

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._table

    def named(self, argument: str, value: Any) -> T:
        """Return the entry whose name was given as `argument`.

        Raises
        ------
        ArgumentError
            If there is none; the message lists the names.
        """
        if not isinstance(value, str):
            refuse(argument, value, f"one of {', '.join(self)}")
        if value not in self:
            raise ArgumentError(f"There is no {self.what} {shown(value)}: {argument} must be one of {', '.join(self)}.")
        return self[value]

    def resolved(self, argument: str, value: Any, *kinds: type[Any]) -> T:
        """Return the entry that was given as `argument`: by name, itself, or as the caller's own function.

        Entries of these `kinds` have a ``name`` and a ``function``; a function alone becomes one of the first kind,
        under its own name.

        Raises
        ------
        ArgumentError
            If it is none of these, has no function, or has the name of a registered one that is another.
        """
        if not isinstance(value, kinds):
            if isinstance(value, type) or not callable(value):
                return self.named(argument, value)
            value = kinds[0](name_of(value), value)
        registered: Any = self.get(value.name, value)
        if registered.function is not value.function:
            raise ArgumentError(
                f"There is a {self.what} {value.name!r} already, which {argument} is not. Give yours another name: "
                f"{kinds[0].__name__}('mine', my_function)."
            )
        if value.function is None:
            raise ArgumentError(f"{argument} must have a function, and the {self.what} {value.name!r} has none.")
        entry: T = registered
        return entry

    def register(self, name: str, entry: T) -> T:
        """Add the caller's own entry, and return it.

        Raises
        ------
        ArgumentError
            If the name is blank or not the entry's own, has an entry already (what was saved under it would mean
            something else), or the entry is of another kind.
        """
        name = a_text("name", name)
        if self.kind is not None:
            instance("entry", entry, self.kind, f"a {self.kind.__module__}.{self.kind.__name__}")
        if getattr(entry, "name", name) != name:
            refuse("name", name, f"the entry's own: {shown(getattr(entry, 'name', None))}")
        if name in self:
            raise ArgumentError(f"The {self.what} {name!r} is there already; choose another name.")
        self._table[name] = entry
        return entry
