"""`Checkpoint`: how far a long pass over a corpus has come, on disk, so that a killed one is taken up again."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factlens.errors import FileFormatError
from factlens.files import read_record, write_record
from factlens.moments.sums import Sums

_FORMAT, _SCHEMA = "factlens.moments-unfinished", 1


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
        Seconds between two writes. More if writing is slow: it shall not take more than a twentieth of the time.
    """

    def __init__(self, path: Path, key: Mapping[str, Any], every: float) -> None:
        self.path = path
        self._key = json.loads(json.dumps(dict(key)))
        self._every = every
        self._due = time.monotonic() + every

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._due

    def save(self, position: Position) -> None:
        """Write a position in place of the one before; a kill meanwhile leaves that one."""
        began = time.monotonic()
        arrays = {"left": np.array(position.left, np.int64)}
        for layer, sums in position.sums.items():
            arrays[f"{layer}.total"] = sums.total.cpu().numpy()
            arrays[f"{layer}.spread"] = sums.spread.numpy()
        record = {
            "key": self._key,
            "seen": position.seen,
            "read": position.read,
            "groups": {str(layer): sums.groups for layer, sums in position.sums.items()},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_record(self.path, _FORMAT, _SCHEMA, record, arrays)
        now = time.monotonic()
        self._due = now + max(self._every, 20 * (now - began) if self._every else 0.0)

    def load(self, layers: Iterable[int], group: int) -> Position | None:
        """Return the position that was written last, or None if there is none that can be used; the latter is said."""
        if not self.path.exists():
            return None
        try:
            record, arrays = read_record(self.path, _FORMAT, _SCHEMA)
            if record["key"] != self._key:
                raise FileFormatError(f"{self.path} belongs to another pass: {record['key']}.")
            sums = {
                layer: Sums.resumed(
                    group,
                    torch.from_numpy(arrays[f"{layer}.total"]),
                    torch.from_numpy(arrays[f"{layer}.spread"]),
                    int(record["groups"][str(layer)]),
                )
                for layer in layers
            }
            return Position(int(record["seen"]), int(record["read"]), arrays["left"].tolist(), sums)
        except (FileFormatError, KeyError, TypeError, ValueError) as error:
            warnings.warn(f"The pass begins anew, its checkpoint cannot be used: {error}", stacklevel=2)
            return None

    def remove(self) -> None:
        """Delete the file, and what writes that were killed have left of it."""
        self.path.unlink(missing_ok=True)
        for part in self.path.parent.glob(f"{self.path.name}.*.part"):
            part.unlink(missing_ok=True)
