"""The id of an edit: its content, whole, and nothing but its content."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import factlens as fl
from factlens.errors import FileFormatError
from factlens.files import read_record, write_record
from factlens.models import Dense, LowRank
from factlens.models.belonging import edit_id, ids_of
from factlens.moments import SecondMoment
from tests.editing.made import FACT
from tests.support import small_model


def factors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some_edit(**changes: Any) -> fl.Edit:
    updates = (
        LowRank("a.weight", factors(6, 2), factors(2, 4, seed=1)),
        LowRank("b.weight", factors(6, 1).bfloat16(), factors(1, 4, seed=1).half(), transposed=True),
        Dense("c.weight", factors(3, 5).double()),
    )
    settings: dict[str, Any] = {
        "method": "alphaedit",
        "facts": (FACT,),
        "layers": (1, 2),
        "updates": updates,
        "hparams": {"clamp": 4.0},
        "moment": "none",
        "model": "small",
        "fingerprint": "0" * 16,
        "report": {"seconds": 1.0},
        "keys": {1: factors(4, 1, seed=2), 2: factors(4, 1, seed=3)},
    }
    return fl.Edit(**{**settings, **changes})


def other_updates(change: Callable[[list[Any]], None]) -> dict[str, Any]:
    updates = list(some_edit().updates)
    change(updates)
    return {"updates": tuple(updates)}


def nudged(values: Tensor) -> Tensor:
    """The same but for the last bit of the last value."""
    moved = values.clone()
    moved[-1, -1] = torch.nextafter(moved[-1, -1], moved.new_tensor(torch.inf))
    return moved


def put(place: int, **changes: Any) -> dict[str, Any]:
    def change(updates: list[Any]) -> None:
        updates[place] = replace(updates[place], **changes)

    return other_updates(change)


FIRST, SECOND, THIRD = some_edit().updates


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "memit"},
        {"layers": (1, 3)},
        {"layers": (12,)},
        put(0, parameter="d.weight"),
        put(0, left=nudged(FIRST.left)),
        put(0, right=nudged(FIRST.right)),
        put(0, right=-FIRST.right),
        put(0, left=FIRST.left.double()),
        put(0, transposed=True),
        put(0, left=FIRST.left[:, :1], right=FIRST.right[:1]),
        put(0, left=FIRST.left.reshape(4, 3), right=FIRST.right),
        put(1, transposed=False),
        put(1, right=nudged(SECOND.right.float()).half() * 2),
        put(2, change=nudged(THIRD.change)),
        put(2, change=THIRD.change.reshape(5, 3)),
        other_updates(lambda updates: updates.reverse()),
        other_updates(lambda updates: updates.pop()),
        other_updates(lambda updates: updates.append(updates[0])),
        other_updates(lambda updates: updates.__setitem__(0, Dense("a.weight", FIRST.left @ FIRST.right))),
        {"keys": {}},
        {"keys": {1: factors(4, 1, seed=3), 2: factors(4, 1, seed=2)}},
        {"keys": {1: nudged(factors(4, 1, seed=2)), 2: factors(4, 1, seed=3)}},
    ],
)
def test_whatever_is_in_it_counts(changes: dict[str, Any]) -> None:
    assert some_edit(**changes).id != some_edit().id


@pytest.mark.parametrize(
    "changes",
    [
        {"facts": (FACT.with_target("Rome"),)},
        {"hparams": {}},
        {"moment": "another"},
        {"model": "another"},
        {"report": {"seconds": 2.0}},
        {"keys": {2: factors(4, 1, seed=3), 1: factors(4, 1, seed=2)}},
        put(0, left=FIRST.left.T.contiguous().T),
        put(1, left=SECOND.left.float()),  # as a file has it
        {"layers": [1, 2]},
    ],
)
def test_what_is_said_of_it_and_how_it_lies_in_memory_does_not(changes: dict[str, Any]) -> None:
    assert some_edit(**changes).id == some_edit().id


def test_it_is_the_same_from_a_file_and_in_another_process(tmp_path: Path) -> None:
    edit = some_edit()
    path = edit.save(tmp_path / "edit.safetensors")
    assert fl.Edit.load(path).id == edit.id
    assert fl.Edit.load(fl.Edit.load(path).save(tmp_path / "again.safetensors")).id == edit.id
    code = "import sys, factlens as fl\nfrom tests.editing.test_ids import some_edit\n"
    code += "print(some_edit().id, fl.Edit.load(sys.argv[1]).id)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() == [edit.id, edit.id]


@pytest.mark.parametrize("wrong", ["0" * 16, None, 3, "", []])
def test_a_file_whose_id_is_not_that_of_its_content_is_refused(tmp_path: Path, wrong: object) -> None:
    path = some_edit().save(tmp_path / "edit.safetensors")
    record, arrays = read_record(path, "factlens.edit", 4)
    assert record["id"] == some_edit().id
    write_record(path, "factlens.edit", 4, {**record, "id": wrong}, arrays)
    with pytest.raises(FileFormatError, match=r"its id is .*, but its content has the id|its field 'id'"):
        fl.Edit.load(path)
    write_record(path, "factlens.edit", 4, record, {**arrays, "0.left": 2 * arrays["0.left"]})
    with pytest.raises(FileFormatError, match="its content has the id"):
        fl.Edit.load(path)


def test_edits_made_alike_have_one_id_and_others_another() -> None:
    model = small_model("gpt2")
    moments = {1: SecondMoment.identity_matrix(model, 1)}

    def made(**settings: Any) -> fl.Edit:
        return fl.edit(model, FACT, layers=1, moments=moments, apply=False, **{"steps": 3, **settings})

    first, again, other = made(clamp=0.5), made(clamp=0.5), made(clamp=0.05)
    assert first.id == again.id != other.id
    assert str(first) == str(other), "this is why labels will not do"


def test_it_is_shown() -> None:
    edit = some_edit()
    assert len(edit.id) == 16
    assert int(edit.id, 16) >= 0
    assert edit.to_dict()["id"] == edit.id
    assert f"<td>{edit.id}</td>" in edit._repr_html_()


class Minimal:
    """All that the stack asks of an edit."""

    def __init__(self, *updates: LowRank) -> None:
        self.updates = updates


def test_an_edit_that_is_not_ours_has_an_id_as_well() -> None:
    one, same, other = Minimal(FIRST), Minimal(replace(FIRST)), Minimal(replace(FIRST, left=2 * FIRST.left))
    assert edit_id(one) == edit_id(same) != edit_id(other)
    assert ids_of([some_edit(), one]) == (some_edit().id, edit_id(one))
