"""`Entry`: one record of a file, read with errors that name file and record."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from factlens.errors import FactError

if TYPE_CHECKING:
    from factlens.evaluation.records import Record

Source = "str | Path | Iterable[Mapping[str, Any]] | pd.DataFrame"


class Entry:
    """One record as it stands in its file.

    Parameters
    ----------
    content
        What was read.
    where
        File and number, for errors: ``"counterfact.json, record 17"``.
    """

    def __init__(self, content: object, where: str) -> None:
        self.where = where
        if not isinstance(content, Mapping):
            self.refuse(f"is {_kind(content)}, not an object with named fields")
        self.content: Mapping[str, Any] = content

    def refuse(self, why: str) -> NoReturn:
        """Raise the error that names this record."""
        raise FactError(f"{self.where} {why}.")

    def get(self, name: str) -> Any:
        """Return a field that must be there."""
        if name not in self.content:
            self.refuse(f"has no field {name!r}; it has {', '.join(map(str, self.content)) or 'none'}")
        return self.content[name]

    def text(self, name: str) -> str:
        """Return a field that must be a text, and not an empty one."""
        return self._text(name, self.get(name))

    def optional_text(self, name: str) -> str | None:
        """Return a text that may be missing or empty."""
        value = self.content.get(name)
        return None if value is None or value == "" else self._text(name, value)

    def texts(self, name: str, *, optional: bool = False) -> list[str]:
        """Return a list of texts."""
        if optional and self.content.get(name) is None:
            return []
        values = self.get(name)
        if not isinstance(values, list):
            self.refuse(f"has {_kind(values)} in {name!r}, not a list of texts")
        return [self._text(f"{name}[{i}]", value) for i, value in enumerate(values)]

    def inner(self, name: str) -> Entry:
        """Return an object inside this one."""
        value = self.get(name)
        if not isinstance(value, Mapping):
            self.refuse(f"has {_kind(value)} in {name!r}, not an object with named fields")
        return Entry(value, f"{self.where}, in {name!r},")

    def _text(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            self.refuse(f"has {_kind(value)} in {name!r}, not a text")
        if not value.strip():
            self.refuse(f"has an empty text in {name!r}")
        return value


def read_entries(source: Any) -> list[Entry]:
    """Read records from a ``.json``, ``.jsonl`` or ``.csv`` file (or ``.gz``), a DataFrame, or mappings.

    Raises
    ------
    FactError
        If it cannot be read, or holds no record.
    OSError
        If there is no such file.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        rows, name = _rows(path), path.name
    elif hasattr(source, "to_dict") and hasattr(source, "columns"):
        # What pandas puts where a cell is empty is no text.
        rows = [{k: v for k, v in row.items() if not _missing(v)} for row in source.to_dict("records")]
        name = "the table"
    else:
        rows, name = list(source), "the list"
    entries = [Entry(row, f"{name}, record {number}") for number, row in enumerate(rows)]
    if not entries:
        raise FactError(f"{name} holds no record.")
    return entries


def _rows(path: Path) -> Sequence[object]:
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise FactError(f"{path.name} is no text in UTF-8: {error}.") from error
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    if suffix == ".jsonl":
        return [
            _parsed(line, f"{path.name}, line {number}")
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip()
        ]
    if suffix != ".json":
        raise FactError(f"{path.name} is none of .json, .jsonl and .csv (each also with .gz behind it).")
    content = _parsed(text, path.name)
    if not isinstance(content, list):
        raise FactError(f"{path.name} holds {_kind(content)}, not a list of records.")
    return content


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FactError(f"{where} is no JSON: {error}.") from error


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "true or false",
    }
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def without_conflicts(records: Iterable[Record]) -> list[Record]:
    """Return the records if no two of them want one prompt to have different answers.

    Raises
    ------
    FactError
        Otherwise, naming both.
    """
    found = list(records)
    first: dict[str, Record] = {}
    for record in found:
        other = first.setdefault(record.fact.prompt, record)
        if other.fact.target != record.fact.target:
            raise FactError(
                f"{other.name} and {record.name} contradict each other: {record.fact.prompt!r} is wanted to be both "
                f"{other.fact.target!r} and {record.fact.target!r}."
            )
    return found
