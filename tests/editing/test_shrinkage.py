"""How much ridge C gets where none was asked for."""

from __future__ import annotations

import pytest
import torch

import factlens as fl
from factlens.editing.shrinkage import ENOUGH, WITH_FEW, shrinkage_for
from factlens.errors import NumericalError
from factlens.moments import SecondMoment
from tests.support import small_model

WIDTH = 16


def moment(tokens: int) -> SecondMoment:
    return SecondMoment(torch.eye(WIDTH), tokens, 0, "a fingerprint", "a text")


@pytest.mark.parametrize("enough", [0.0, 1e-3])
def test_more_of_it_where_tokens_are_few(enough: float) -> None:
    assert shrinkage_for(moment(ENOUGH * WIDTH), None, enough) == enough
    assert shrinkage_for(moment(ENOUGH * WIDTH - 1), None, enough) == WITH_FEW


def test_what_is_asked_for_is_what_is_taken() -> None:
    for given in (0.0, 0.5, "auto"):
        assert shrinkage_for(moment(1), given, 1e-3) == given


def test_the_identity_needs_none() -> None:
    model = small_model("gpt2")
    assert shrinkage_for(SecondMoment.identity_matrix(model, 1), None, 0.0) == 0.0


def test_memit_with_fewer_tokens_than_dimensions_is_solved() -> None:
    model = small_model("gpt2")
    keys = torch.randn(3, model.down_projection(1).key_width)
    few = SecondMoment(keys.T @ keys, len(keys), 1, model.fingerprint, "three random keys")
    fact = fl.Fact("{} is in", subject="Eiffel Tower", target="Rome")
    settings = {"method": "memit", "layers": 1, "moments": few, "apply": False, "steps": 2}
    edit = fl.editing.api.quiet_edit(model, fact, **settings)
    assert torch.isfinite(edit.updates[0].matrix(torch.zeros(1))).all()
    with pytest.raises(NumericalError):
        fl.editing.api.quiet_edit(model, fact, **settings, shrinkage=0.0)
