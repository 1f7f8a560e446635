"""`Format`: fields come and go with schemas; the tests of every saved kind are in `test_saved.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from factlens.errors import FileFormatError
from factlens.formats import Format
from factlens.spelling import Exactly, read_wording
from factlens.typed import text, whole

FIRST = Format("factlens.tree", "tree", 1, {"name": text})
AGED = {"name": text, "age": whole()}
SECOND = Format("factlens.tree", "tree", 2, AGED, {2: ("age",)})
THIRD = Format("factlens.tree", "tree", 3, {**AGED, "say": read_wording}, {2: ("age",), 3: ("say",)})
SAID = Exactly("rustle")
NUMBERS = {"rings": np.arange(3.0)}


@dataclass
class Tree:
    name: str = "oak"
    age: int = 80
    say: Exactly | str = SAID


@pytest.mark.parametrize("written", [FIRST, SECOND, THIRD])
def test_fields_that_came_later_are_missing(written: Format, tmp_path: Path) -> None:
    written.write(tmp_path / "t", Tree(), NUMBERS)
    with THIRD.reading(tmp_path / "t") as (fields, arrays):
        assert fields == {name: vars(Tree())[name] for name in written.fields}
        assert arrays["rings"].tolist() == [0, 1, 2]


def test_a_field_may_be_another_in_the_file(tmp_path: Path) -> None:
    SECOND.write(tmp_path / "t", Tree(), NUMBERS, age=81)
    with SECOND.reading(tmp_path / "t") as (fields, _):
        assert fields == {"name": "oak", "age": 81}


def refused(file: Format, path: Path, why: str) -> None:
    with pytest.raises(FileFormatError, match=why), file.reading(path):
        pass


def test_other_schemas_and_other_fields_are_refused(tmp_path: Path) -> None:
    path = THIRD.write(tmp_path / "t", Tree(), NUMBERS)
    refused(SECOND, path, "has schema 3; this version of factlens reads 2 and 1")
    refused(Format("factlens.bush", "bush", 3, {}), path, "t holds no bush")
    Format("factlens.tree", "tree", 3, {"name": text}).write(path, Tree(), NUMBERS)
    refused(THIRD, path, "t is not a complete factlens tree: it has no field 'age'")


def test_what_the_reader_finds_wrong_is_said_of_the_file(tmp_path: Path) -> None:
    path = FIRST.write(tmp_path / "t", Tree(), NUMBERS)
    with pytest.raises(FileFormatError, match="t is not a complete factlens tree: too old"), FIRST.reading(path):
        raise ValueError("too old")
