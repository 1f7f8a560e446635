"""`Entry`: one record of a file, read with errors that name file and record."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from factlens.arguments import a_path, items
from factlens.bounded import parse_json
from factlens.decoding import UTF8, an_encoding, read_text
from factlens.errors import FactError, FileFormatError
from factlens.spelling import Exactly, Wording, read_wording

if TYPE_CHECKING:
    from factlens.evaluation.records import Record

T = TypeVar("T")
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

    def wording(self, name: str) -> Wording:
        """Return a field that must be an object: a text, or ``{"exactly": "Paris"}``, also as the text of a cell."""
        return self.as_wording(name, self.get(name))

    def as_wording(self, name: str, value: object) -> Wording:
        """Return an object that stands somewhere in this record."""
        if isinstance(value, str) and value.lstrip().startswith('{"exactly"'):
            value = parsed(value, f"{self.where}, in {name!r},")
        if isinstance(value, Mapping):
            try:
                return read_wording(dict(value))
            except ValueError as error:
                self.refuse(f'has no object in {name!r}: {error}. Write a text, or {{"exactly": "Paris"}}')
        if isinstance(value, Exactly):
            return value
        text = self._text(name, value)
        if text != text.rstrip():
            self.refuse(
                f"has white space behind the object in {name!r}, which would be a part of it: {text!r}. Write "
                f"{text.rstrip()!r}, or {json.dumps({'exactly': text}, ensure_ascii=False)} if it is meant"
            )
        return text

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
        return Entry(value, self._inside(name))

    def entries(self, name: str, *, optional: bool = False) -> list[Entry]:
        """Return the objects in a list, each as an entry of its own."""
        if optional and self.content.get(name) is None:
            return []
        values = self.get(name)
        if not isinstance(values, list):
            self.refuse(f"has {_kind(values)} in {name!r}, not a list of objects")
        return [Entry(value, self._inside(f"{name}[{i}]")) for i, value in enumerate(values)]

    def _inside(self, name: str) -> str:
        return f"{self.where.removesuffix(',')}, in {name!r},"

    @contextmanager
    def named(self) -> Iterator[None]:
        """Put the name of this record before what is said in the block of a fact or a prompt that cannot be."""
        try:
            yield
        except FactError as error:
            if str(error).startswith(self.where.removesuffix(",")):
                raise
            raise FactError(f"{self.where.removesuffix(',')}: {error}") from error

    def _text(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            self.refuse(f"has {_kind(value)} in {name!r}, not a text")
        if not value.strip():
            self.refuse(f"has an empty text in {name!r}")
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            self.refuse(f"has half of a character in {name!r}, which no tokenizer reads")
        return value


def read_entries(source: Any, called: str = "source", *, encoding: str = UTF8) -> list[Entry]:
    """Read records from a ``.json``, ``.jsonl``, ``.csv`` or ``.tsv`` file (or ``.gz``), a DataFrame, or mappings.

    `called` is the name of the argument that it came in.

    Raises
    ------
    ArgumentError
        If `encoding` is none of text.
    FileFormatError
        If the file cannot be read, or is not in this encoding.
    FactError
        If it holds no record.
    OSError
        If there is no such file.
    """
    encoding = an_encoding("encoding", encoding)
    places: list[int | None] = []
    rows: list[object]
    if isinstance(source, (str, Path)):
        path = a_path(called, source)
        lines, name = _rows(path, encoding), path.name
        rows, places = [row for _, row in lines], [line for line, _ in lines]
    elif hasattr(source, "to_dict") and hasattr(source, "columns"):
        # What pandas puts where a cell is empty is no text.
        rows = [{k: v for k, v in row.items() if not _missing(v)} for row in source.to_dict("records")]
        name = "the table"
    else:
        expected = "the path of a file, a table, or records as mappings in a list"
        rows, name = list(items(called, source, expected)), "the list"
    places = places or [None] * len(rows)
    entries = [
        Entry(row, f"{name}, record {number}" + (f" (line {line})" if line is not None else ""))
        for number, (row, line) in enumerate(zip(rows, places, strict=True))
    ]
    if not entries:
        raise FactError(f"{name} holds no record.")
    return entries


def read_each(
    source: Any, read: Callable[[Entry, int], T], *, encoding: str = UTF8, number: str | None = None
) -> list[T]:
    """Read records one after the other; every error names the record that it is in.

    Parameters
    ----------
    source, encoding
        As for `read_entries`, which says what is raised.
    read
        What makes something of a record, which comes with its place in the file.
    number
        The field in which the file numbers its records, for errors.
    """
    made = []
    for place, entry in enumerate(read_entries(source, encoding=encoding)):
        if number is not None:
            entry.where += f" ({number} {entry.get(number)})"
        with entry.named():
            made.append(read(entry, place))
    return made


def _rows(path: Path, encoding: str) -> Sequence[tuple[int | None, object]]:
    """Return the records of a file, each with the line in which it ends, where records have lines."""
    suffix = (Path(path.stem).suffix if path.suffix == ".gz" else path.suffix).lower()
    if suffix not in (".json", ".jsonl", *_SEPARATED):
        spreadsheet = " A spreadsheet's Unicode text has tabs between its cells: call it .tsv." * (suffix == ".txt")
        raise FileFormatError(
            f"{path.name} is none of .json, .jsonl, .csv and .tsv (each also with .gz behind it).{spreadsheet}"
        )
    text = read_text(path, encoding)
    if suffix in _SEPARATED:
        return _csv_rows(text, path.name, _SEPARATED[suffix])
    if suffix == ".jsonl":
        # Not `splitlines`: what ends a line elsewhere may stand in a JSON text.
        return [
            (number, parsed(line, f"{path.name}, line {number}"))
            for number, line in enumerate(_LINE_END.split(text), 1)
            if line.strip()
        ]
    content = parsed(text, path.name)
    if not isinstance(content, list):
        raise FileFormatError(f"{path.name} holds {_kind(content)}, not a list of records.")
    return [(None, one) for one in content]


_SEPARATED = {".csv": ",", ".tsv": "\t"}
_LINE_END = re.compile(r"\r\n|\r|\n")


def _csv_rows(text: str, name: str, separator: str) -> Sequence[tuple[int | None, object]]:
    if "\0" in text:
        raise FileFormatError(f"{name} holds null characters, which no text has. Save it as CSV in UTF-8.")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        names = list(reader.fieldnames or ())
        if twice := [column for column in names if names.count(column) > 1]:
            raise FileFormatError(f"{name} names two columns {twice[0]!r}: rename one of them.")
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise FileFormatError(
            f"{name}, behind line {reader.line_num}, is no CSV: {error}. Save it as CSV again."
        ) from error
    for number, (line, row) in enumerate(rows):
        if None in row:
            raise FileFormatError(
                f"{name}, record {number} (line {line}), has more cells than there are columns: quote its commas."
            )
    return rows


def parsed(text: str, where: str) -> Any:
    """Return what a JSON text says.

    Raises
    ------
    FileFormatError
        If it is none; the message says where.
    """
    try:
        return parse_json(text)
    except ValueError as error:
        raise FileFormatError(f"{where} is no JSON: {error}.") from error


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
    every = list(records)
    first: dict[str, Record] = {}
    for record in every:
        other = first.setdefault(record.fact.prompt, record)
        if other.fact.target != record.fact.target:
            raise FactError(
                f"{other.name} and {record.name} contradict each other: {record.fact.prompt!r} is wanted to be both "
                f"{other.fact.target!r} and {record.fact.target!r}."
            )
    return every
