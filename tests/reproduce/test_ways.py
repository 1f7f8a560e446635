"""Methods with settings of their own in experiments that compare methods."""

from __future__ import annotations

from pathlib import Path

import pytest

import factlens as fl
from factlens.errors import ArgumentError
from factlens.evaluation.datasets import load_records
from factlens.reproduce import sequential
from factlens.reproduce.folder import Folder
from factlens.reproduce.ways import a_way, recipe_of


def test_a_method_has_settings_behind_colons() -> None:
    assert a_way("x", "rome") == ("rome", {})
    assert a_way("x", "rome:as_published=true:clamp=8:shrinkage=auto") == (
        "rome",
        {"as_published": True, "clamp": 8, "shrinkage": "auto"},
    )


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("rme", "no editing method 'rme': methods\\[0\\] must be one of rome"),
        (3, "methods\\[0\\] must be one of"),
        ("rome:clamp", "METHOD:setting=value: not 'clamp' in 'rome:clamp'"),
        ("rome:depth=3", "no setting 'depth'"),
        ("rome:clamp=-1", "clamp must be positive"),
    ],
)
def test_what_is_no_way_is_refused(value: object, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        a_way("methods[0]", value)


def test_two_ways_of_one_method_stand_beside_each_other(tmp_path: Path) -> None:
    model, records = fl.load("atlas"), load_records("atlas-facts")[:2]
    ways = ("ft:steps=1", "ft:steps=3:seed=2")
    table = sequential.sequential(model, records, Folder(tmp_path / "sequential"), methods=ways, every=2)
    assert list(table.method.unique()) == list(ways)
    edits = [fl.Edit.load(path) for path in (tmp_path / "sequential" / "edits").iterdir()]
    assert sorted(edit.hparams["steps"] for edit in edits) == [1, 1, 3, 3]
    assert {edit.hparams["seed"] for edit in edits if edit.hparams["steps"] == 3} == {2}
    recipe = recipe_of("ft:steps=3", {"ft:steps=3": [2]}, 0)
    assert recipe == {"method": "ft", "layers": [2], "seed": 0, "steps": 3}
