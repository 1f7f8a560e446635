"""`OutcomeStore`: judged records in a file, one per line, so that a killed evaluation can go on."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from factlens.evaluation.records import Record
from factlens.evaluation.report import Outcome
from factlens.evaluation.report_files import outcome_from_json, outcome_to_json


class OutcomeStore:
    """Outcomes by what they depend on: model, settings, record, and what was asked.

    Parameters
    ----------
    path
        The file; outcomes are added to it.
    circumstances
        Everything but label and record that an outcome depends on.
    """

    def __init__(self, path: str | Path, circumstances: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._settings = dict(circumstances.get("settings", {}))
        self._rest = {name: value for name, value in circumstances.items() if name != "settings"}
        self._known: dict[str, Outcome] = {}
        # A kill may have left the last line unfinished: nothing may be appended to that.
        self._cut_off = False
        if self.path.exists():
            self._read()

    def get(self, label: str, record: Record) -> Outcome | None:
        """Return what is known of a record under a label."""
        return self._known.get(self._key(label, record))

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        key = self._key(outcome.label, outcome.record)
        self._known[key] = outcome
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            if self._cut_off:
                file.write("\n")
                self._cut_off = False
            file.write(json.dumps({"key": key, **outcome_to_json(outcome)}, ensure_ascii=False) + "\n")

    def _read(self) -> None:
        # A kill may cut a letter in two.
        text = self.path.read_bytes().decode("utf-8", errors="replace")
        self._cut_off = bool(text) and not text.endswith("\n")
        for number, line in enumerate(text.split("\n"), 1):
            if not line:
                continue
            try:
                content = json.loads(line)
                self._known[str(content["key"])] = outcome_from_json(content)
            except (ValueError, KeyError, TypeError):
                # A kill leaves at most the last line unfinished; it is computed again.
                print(f"{self.path}, line {number} is unfinished or damaged, and is computed again.", file=sys.stderr)

    def _key(self, label: str, record: Record) -> str:
        text = json.dumps([self._rest, label, self._settings.get(label), repr(record)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]
