"""`Format`: what a kind of file is called, which fields it has, and since when; how it is written and read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from factlens.files import complete, fields_of, read_record, write_record
from factlens.spelling import plainly
from factlens.typed import Check, record


@dataclass(frozen=True)
class Format:
    """One kind of file: a record of named fields, and arrays.

    A new field is a line in `fields`, a new `schema`, and a line in `since` as long as files without it are read.

    Attributes
    ----------
    name, what
        What it is called in the file, and in an error: ``"factlens.moment"``, ``"second moment"``.
    schema
        The number of its present version.
    fields
        A check for each field of the record, in the order in which they are written.
    since
        For each schema whose predecessor is still read, which fields came with it.
    """

    name: str
    what: str
    schema: int
    fields: Mapping[str, Check]
    since: Mapping[int, Collection[str]] = field(default_factory=dict)

    def write(self, path: str | Path, result: object, arrays: Mapping[str, np.ndarray], **own: Any) -> Path:
        """Write a result; an existing file is replaced only once the new one is complete.

        Parameters
        ----------
        path
            The file.
        result
            What is saved: its attributes are the fields.
        arrays
            Its numbers.
        own
            Fields that are something else in a file than in the result.

        Raises
        ------
        FileNotWritten
            As `factlens.files.write_record`.
        """
        content = {name: own[name] if name in own else plainly(getattr(result, name)) for name in self.fields}
        return write_record(path, self.name, self.schema, content, arrays)

    @contextmanager
    def reading(self, path: str | Path) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        """Give the block the fields of a file, checked, and its arrays, which it has to check.

        Fields that came after the file was written are missing.

        Raises
        ------
        FileFormatError
            If it is no such file, is damaged, or has a schema that is not read; also in place of an error
            in the block that the content has caused.
        FileNotFoundError, PermissionError
            If there is no such file, or it may not be read.
        """
        content, arrays = read_record(
            path, self.name, self.schema, *(schema - 1 for schema in sorted(self.since)[::-1])
        )
        with complete(path, self.what):
            later = {name for schema, names in self.since.items() if schema > content["schema"] for name in names}
            table = record({name: check for name, check in self.fields.items() if name not in later})
            yield table(fields_of(content)), arrays
