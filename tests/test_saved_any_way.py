"""Files changed in any way at all, in their bytes or by somebody who knows the format: refused, or good."""

from __future__ import annotations

import copy
import math
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factlens.errors import FileFormatError
from tests.damaged import ALL, HOSTILE, OUTCOMES, mutated, places, put
from tests.saved import KINDS, opened, same, use

pytestmark = pytest.mark.usefixtures("quick")


@ALL
def test_a_file_changed_in_any_way(name: str, tmp_path: Path) -> None:
    kind, luck = KINDS[name], random.Random(f"bytes of a {name}")
    path = kind.saved(tmp_path)
    whole, good = path.read_bytes(), kind.load(path)
    began, refused = time.monotonic(), 0
    for _ in range(250):
        path.write_bytes(mutated(whole, luck))
        try:
            found = kind.load(path)
        except FileFormatError:
            refused += 1
        else:
            # What is left over is as it was: a checksum would not have let pass anything else.
            if name == "store":
                known = [repr(outcome) for outcome in good.outcomes]
                assert all(repr(outcome) in known for outcome in found.outcomes)
            else:
                assert same(found, good)
    assert time.monotonic() - began < 60
    assert name == "store" or refused > 150


def odd_value(luck: random.Random) -> Any:
    return copy.deepcopy(luck.choice([*HOSTILE, luck.random(), luck.randrange(-5, 100), "mlp", ["mlp", "state"]]))


@ALL
def test_a_file_written_anew_in_any_way(name: str, tmp_path: Path) -> None:
    """With a right checksum: by somebody who knows the format, and means no good."""
    kind, luck = KINDS[name], random.Random(f"fields of a {name}")
    path = kind.saved(tmp_path)
    whole, taken = path.read_bytes(), 0
    for _ in range(250):
        path.write_bytes(whole)
        with opened(kind, path) as content:
            ways = list(places({k: v for k, v in content.items() if k != "arrays"}))
            for way in luck.sample(ways, luck.choice((0, 1, 2))):
                with suppress(KeyError, IndexError, TypeError):  # what was put before may have no such place
                    put(content, way, odd_value(luck))
            if "arrays" in content and luck.random() < 0.5:
                array = luck.choice(sorted(content["arrays"]))
                content["arrays"][array] = odd_array(content["arrays"][array], luck)
        try:
            found = kind.load(path)
        except FileFormatError:
            continue
        if name == "store" and len(found.outcomes) < OUTCOMES:
            continue
        taken += 1
        use(found)
        if name not in ("store", "checkpoint"):
            kind.save(found, path)
            assert same(kind.load(path), found)
    assert taken > 0, "some changes do no harm"


def odd_array(values: np.ndarray, luck: random.Random) -> np.ndarray:
    way = luck.randrange(5)
    if way == 0:
        return values[:1]
    if way == 1:
        return values.T
    if way == 2:
        return np.nan_to_num(values).astype(luck.choice((np.float16, np.float32, np.float64, np.int64)))
    if way == 3:
        changed = values.copy()
        odd = (-1, 3, 100) if values.dtype.kind == "i" else (math.nan, math.inf, -1.0, 1e30)
        with np.errstate(all="ignore"):
            changed.reshape(-1)[luck.randrange(changed.size)] = luck.choice(odd)
        return changed
    return np.repeat(values, 2, luck.randrange(values.ndim))
