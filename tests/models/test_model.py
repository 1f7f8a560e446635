"""What a model says of a layer, a prompt or numbers that it cannot work with, and of itself."""

from __future__ import annotations

import pytest
import torch

import factlens as fl
from factlens.errors import LayerError, NumericalError, PromptTooLong
from tests.editing.made import FACT
from tests.support import small_model


@pytest.mark.parametrize("layer", [-1, 5, 99, 1.0, "2", True])
def test_a_layer_that_does_not_exist(layer: object) -> None:
    model = small_model("gpt2")
    with pytest.raises(LayerError, match="0 to 4"):
        fl.edit(model, FACT, layers=layer)
    assert model.edits == ()


def test_nan_from_the_model_is_an_error_and_not_a_grid() -> None:
    model = small_model("gpt2")
    with torch.no_grad():
        model.blocks[2].ln_1.weight.fill_(float("nan"))
    for attempt in (
        lambda: fl.trace(model, FACT),
        lambda: fl.edit(model, FACT),
        lambda: model.answers(FACT.prompt),
    ):
        with pytest.raises(NumericalError, match=r"NaN.*bfloat16"):
            attempt()
    assert model.edits == ()


def test_a_prompt_longer_than_the_context() -> None:
    model = small_model("gpt2")
    long = fl.Fact("{} " + "is near " * 60, "Paris", target="Seattle")
    for attempt in (lambda: fl.trace(model, long), lambda: fl.edit(model, long), lambda: model.answers(long.prompt)):
        with pytest.raises(PromptTooLong, match=r"at most 64"):
            attempt()


def test_repr_says_what_is_applied() -> None:
    model = small_model("gpt2")
    assert "unedited" in repr(model)
    edit = fl.edit(model, FACT, layers=1, contexts=())
    assert "Eiffel Tower → Seattle" in repr(model)
    model.undo(edit)
    assert "unedited" in repr(model)
