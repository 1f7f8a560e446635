"""Subjects that end in the same word: which names are made up, and what comes of them."""

from __future__ import annotations

import pytest
import torch

import factlens as fl
from factlens.editing.namesakes import MANY, Guarded, namesakes
from tests.editing.made import FACT, as_matrix, moment_of
from tests.support import small_model


def test_names_end_in_the_subjects_last_word_and_are_no_ones_own() -> None:
    names = namesakes("Pine Island Glacier")
    assert len(set(names)) == MANY
    assert all(name.endswith(" Glacier") and name.count("Glacier") == 1 for name in names)
    assert "Pine Island Glacier" not in names
    assert names == namesakes("Pine Island Glacier"), "the same every time"
    assert names[:5] == namesakes("Pine Island Glacier", 5)
    assert set(names) != {name.replace("Bridge", "Glacier") for name in namesakes("London Bridge")}


@pytest.mark.parametrize("subject", ["Bern", "東京", "  Bern "])
def test_a_single_word_has_none(subject: str) -> None:
    assert namesakes(subject) == ()


def test_what_is_solved_with_keys_beside_c() -> None:
    model = small_model("gpt2")
    moment = moment_of(model, 1)
    width = len(moment.total)
    generator = torch.Generator().manual_seed(1)
    beside, keys = (torch.randn(width, n, dtype=torch.float64, generator=generator) for n in (5, 2))
    matrix = moment.matrix + 0.01 * moment.matrix.diagonal().mean() * torch.eye(width) + beside @ beside.T
    solved = Guarded(moment, beside).solve(keys, 0.01)
    torch.testing.assert_close(solved, torch.inverse(matrix) @ keys)
    torch.testing.assert_close(Guarded(moment, beside).solve(keys[:, 0], 0.01), solved[:, 0])


def test_an_edit_changes_its_namesakes_less() -> None:
    model = small_model("gpt2", dtype=torch.float64)
    other = FACT.with_subject(namesakes(FACT.subject)[-2])
    ids, place = model.encode(other).ids, model.encode(other).last_subject
    seen: list[torch.Tensor] = []
    handle = model.down_projection(2).module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model.model(torch.tensor([ids]))
    handle.remove()
    key = seen[0].detach().reshape(len(ids), -1)[place]
    changes = []
    for weight in (0.0, 10.0):
        edit = fl.edit(model, FACT, layers=2, moments=moment_of(model, 2), apply=False, namesakes=weight)
        changes.append(float((as_matrix(model, 2, edit) @ key).norm()))
    assert changes[1] < 0.6 * changes[0]


def test_a_subject_without_namesakes_is_edited_as_ever() -> None:
    model = small_model("gpt2", dtype=torch.float64)
    fact = fl.Fact("We went to {} in", "Bern", target="Paris")
    one, other = (
        as_matrix(model, 2, fl.edit(model, fact, layers=2, moments=moment_of(model, 2), apply=False, namesakes=weight))
        for weight in (0.0, 10.0)
    )
    torch.testing.assert_close(one, other, rtol=0, atol=0)
