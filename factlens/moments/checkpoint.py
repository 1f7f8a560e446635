"""`Checkpoint`: how far a long pass over a corpus has come, on disk, so that a killed one is taken up again."""

from __future__ import annotations

import glob
import json
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factlens.errors import FileFormatError
from factlens.formats import Format
from factlens.moments.sums import Sums
from factlens.typed import Array, arrays, mapping, plain, record, whole


@dataclass
class Position:
    """Where a pass stands between two batches.

    Attributes
    ----------
    seen
        Number of tokens that are in the sums.
    read
        Number of texts that have been taken from the corpus.
    left
        Tokens of these that are not in the sums yet.
    sums
        The sums of each layer.
    """

    seen: int
    read: int
    left: list[int]
    sums: dict[int, Sums]


class Checkpoint:
    """A file with the position of one pass.

    Parameters
    ----------
    path
        The file.
    key
        What names the pass, as JSON takes it: a position of another pass is not taken up.
    every
        Seconds between two writes. More if writing is slow: it must not take more than a twentieth of the time.

    Attributes
    ----------
    failed
        Whether a position could not be written. Then a warning was given, and no other one is written.
    """

    def __init__(self, path: Path, key: Mapping[str, Any], every: float) -> None:
        self.path = path
        self.failed = False
        self._key = json.loads(json.dumps(dict(key)))
        self._every = every
        self._due = time.monotonic() + every

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return not self.failed and time.monotonic() >= self._due

    def save(self, position: Position) -> None:
        """Write a position in place of the one before; a kill meanwhile leaves that one.

        Where it cannot be written, one warning says so, and the pass can go on without.
        """
        began = time.monotonic()
        numbers = {"left": np.array(position.left, np.int64)}
        for layer, sums in position.sums.items():
            numbers[f"{layer}.total"] = sums.total.cpu().numpy()
            numbers[f"{layer}.spread"] = sums.spread.numpy()
            numbers[f"{layer}.rows"] = sums.rows.numpy()
        groups = {str(layer): sums.groups for layer, sums in position.sums.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _FORMAT.write(self.path, position, numbers, key=self._key, groups=groups)
        except OSError as error:
            if not self.failed:
                self.failed = True
                say_unkept(self.path.parent, error)
        now = time.monotonic()
        self._due = now + max(self._every, 20 * (now - began) if self._every else 0.0)

    def load(self, layers: Iterable[int], group: int, row: int) -> Position | None:
        """Return the position that was written last, or None if there is none that can be used, with a warning."""
        try:
            with _FORMAT.reading(self.path) as (fields, numbers):
                return self._position(fields, numbers, list(layers), group, row)
        except (FileNotFoundError, PermissionError):
            # What may not be read may not be written either, as a rule, and that gives a warning.
            return None
        except FileFormatError as error:
            warnings.warn(f"The pass begins anew, its checkpoint cannot be used: {error}", stacklevel=2)
            return None

    def _position(
        self, fields: Mapping[str, Any], numbers: Mapping[str, np.ndarray], layers: list[int], group: int, row: int
    ) -> Position:
        """Return the position that a file describes; raise ValueError if it is none of this pass."""
        if fields["key"] != self._key:
            raise FileFormatError(f"{self.path} belongs to another pass: {fields['key']}.")
        groups = record({str(layer): whole() for layer in layers})(fields["groups"])
        expected = {"left": Array(("token",), ("int64",), least=0, empty=True)}
        for layer in layers:
            expected[f"{layer}.total"] = Array((f"key of {layer}", f"key of {layer}"), ("float64",))
            expected[f"{layer}.spread"] = Array(("kind of sum", f"key of {layer}"), ("float64",))
            expected[f"{layer}.rows"] = Array(("kind of sum",), ("float64",))
        read = arrays(numbers, expected, {"kind of sum": 3})
        if any(group * count > fields["seen"] for count in groups.values()):
            raise ValueError(f"it has {groups} groups of {group} tokens, and {fields['seen']} tokens")
        sums = {
            layer: Sums.resumed(
                group,
                row,
                torch.from_numpy(read[f"{layer}.total"]),
                torch.from_numpy(read[f"{layer}.spread"]),
                torch.from_numpy(read[f"{layer}.rows"]),
                groups[str(layer)],
            )
            for layer in layers
        }
        return Position(fields["seen"], fields["read"], read["left"].tolist(), sums)

    def remove(self) -> None:
        """Delete the file, and what writes that were killed have left of it, as far as that can be done."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            for part in self.path.parent.glob(f"{glob.escape(self.path.name)}.*.part"):
                part.unlink(missing_ok=True)


_FORMAT = Format(
    "factlens.moments-unfinished",
    "checkpoint",
    2,
    {"key": mapping(plain()), "seen": whole(), "read": whole(), "groups": mapping(whole())},
)


def say_unkept(folder: Path, error: OSError) -> None:
    """Warn that nothing can be written to a folder that keeps second moments; they are computed all the same."""
    reason = getattr(error, "reason", "") or error.strerror or str(error)
    if isinstance(error, FileExistsError):
        reason = "that is a file, and not a folder"
    warnings.warn(
        f"Second moments cannot be kept in {folder}: {reason}. They are collected and used all the same, but anew "
        "every time. Make room there or give yourself the right to write, or name another folder in the environment "
        "variable FACTLENS_CACHE.",
        stacklevel=3,
    )
