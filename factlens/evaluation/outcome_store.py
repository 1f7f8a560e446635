"""`OutcomeStore`: judged records in a file, one per line, so that a killed evaluation can continue."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from factlens.bounded import open_file, parse_json
from factlens.errors import FileFormatError, FileNotWritten
from factlens.evaluation.records import Record
from factlens.evaluation.report import Outcome
from factlens.evaluation.report_files import EARLIER, SCHEMA, outcome_from_json, outcome_to_json
from factlens.files import check_sum, checksum, json_bytes
from factlens.typed import text

_BEGINNING = b'{"schema": '
_LONGEST = 1 << 26
"""Bytes of the longest line that is read."""

NAMES = ("model", "edits")
"""What models and edits are called: they are known by ``fingerprint`` and ``edit_ids``."""


class OutcomeStore:
    """Outcomes by what they depend on: weights, settings, record, and what was asked.

    Parameters
    ----------
    path
        The file; outcomes are added to it.
    circumstances
        Everything but label and record that an outcome depends on. Names for people in it (`NAMES`) play no role.

    Raises
    ------
    FileFormatError
        If the file is none of outcomes, or comes from another version of factlens.
    FileNotWritten
        If nothing can be added to it.
    """

    def __init__(self, path: str | Path, circumstances: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._settings = dict(circumstances.get("settings", {}))
        self._rest = {name: value for name, value in circumstances.items() if name not in ("settings", *NAMES)}
        self._outcomes: dict[str, Outcome] = {}
        # A kill may have left the last line unfinished: nothing may be appended to that.
        self._cut_off = False
        self._full = False
        with suppress(FileNotFoundError):
            self._read()
        try:
            # A file that cannot be written is refused now, not after the first edit.
            self._append(b"")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FileNotWritten(
                f"Nothing can be added to {self.path}: {reason}. Name a file that you may write to, or none.",
                reason,
                getattr(error, "errno", None),
            ) from error

    def get(self, label: str, record: Record) -> Outcome | None:
        """Return what is known of a record under a label."""
        return self._outcomes.get(self._key(label, record))

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome; where it cannot be written, warn the first time and continue."""
        key = self._key(outcome.label, outcome.record)
        self._outcomes[key] = outcome
        content = {"schema": SCHEMA, "key": key, **outcome_to_json(outcome)}
        line = json_bytes({**content, "checksum": checksum(content)}) + b"\n"
        try:
            self._append(b"\n" + line if self._cut_off else line)
            self._cut_off = False
        except OSError as error:
            self._cut_off = True  # a part of the line may be there
            if not self._full:
                self._full = True
                warnings.warn(
                    f"Outcomes are no longer kept in {self.path}: {error.strerror or error}. The evaluation goes on, "
                    "and its report will have them all; if it is stopped, it begins anew after the last one that was "
                    "kept. Make room there.",
                    stacklevel=2,
                )

    def _append(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(data)

    def _read(self) -> None:
        unusable: list[int] = []
        begun = False
        for number, line in enumerate(self._lines(), 1):
            if line.strip():
                try:
                    key, outcome = _outcome_in(line, f"{self.path}, line {number},")
                    self._outcomes[key] = outcome
                except _OtherSchema as error:
                    raise FileFormatError(
                        f"{error} Choose another file, or go on with the version that wrote it."
                    ) from None
                except ValueError:
                    unusable.append(number)
                    # A kill while the first line was written.
                    begun |= number == 1 and self._cut_off and line[: len(_BEGINNING)] == _BEGINNING[: len(line)]
        if unusable and not self._outcomes and not begun:
            raise FileFormatError(f"{self.path} holds no outcomes that could be read: choose another file.")
        if unusable:
            # A kill leaves at most the last line unfinished.
            lines = ", ".join(map(str, unusable[:10])) + (" and more" if len(unusable) > 10 else "")
            warnings.warn(
                f"{self.path}: unfinished or damaged, and computed again, is what stands in line {lines}.", stacklevel=4
            )

    def _lines(self) -> Iterator[bytes]:
        with open_file(self.path) as file:
            while line := file.readline(_LONGEST):
                self._cut_off = not line.endswith(b"\n")
                if len(line) == _LONGEST:
                    raise FileFormatError(f"{self.path} holds no outcomes: it has a line of {_LONGEST >> 20} MB.")
                yield line

    def _key(self, label: str, record: Record) -> str:
        depends = json.dumps([self._rest, label, self._settings.get(label), repr(record)], sort_keys=True)
        return hashlib.sha256(depends.encode()).hexdigest()[:32]


class _OtherSchema(Exception):
    """A line is of another version."""


def _outcome_in(line: bytes, where: str) -> tuple[str, Outcome]:
    """Return an outcome and its key; raise ValueError if what stands in the line is not what was written."""
    content = parse_json(line.decode("utf-8"))
    if not isinstance(content, dict) or not {"key", "label", "record"} <= content.keys():
        raise ValueError("it is no outcome")
    schema = content.get("schema")
    if schema not in (SCHEMA, *EARLIER) or isinstance(schema, bool):
        raise _OtherSchema(
            f"{where} has schema {schema!r:.20}; this version of factlens reads "
            f"{SCHEMA}, {', '.join(map(str, EARLIER[:-1]))} and {EARLIER[-1]}."
        )
    check_sum(where, content)
    key = text(content.pop("key"))
    del content["schema"]
    return key, outcome_from_json(content, schema)
