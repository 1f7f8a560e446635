"""Quantised weights are traced and not edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import factlens as fl
from factlens.errors import QuantizedModel
from tests.editing.made import FACT, moment_of
from tests.support import small_model


class Packed(torch.nn.Linear):
    """As libraries make them: a Linear by its class, with other numbers in its forward pass."""


class Quant(torch.nn.Parameter):
    """A parameter that packs its numbers when it is moved, as those of bitsandbytes do."""


def with_a_scale(linear: torch.nn.Linear) -> None:
    linear.register_buffer("weight_scale", torch.ones(1))


def with_a_pass_of_its_own(linear: torch.nn.Linear) -> None:
    whole = linear.forward
    linear.forward = lambda hidden: whole(hidden)  # type: ignore[method-assign]


def with_weight(kind: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.nn.Linear], None]:
    def change(linear: torch.nn.Linear) -> None:
        linear._parameters["weight"] = kind(linear.weight.detach())  # type: ignore[assignment]

    return change


#: What quantising libraries do to a linear map, in a model whose configuration says so.
QUANTISED: dict[str, Callable[[torch.nn.Linear], None]] = {
    "a subclass": lambda linear: setattr(linear, "__class__", Packed),
    "a parameter of its own kind": with_weight(Quant),
    "whole numbers": with_weight(lambda weight: torch.nn.Parameter(weight.to(torch.int8), requires_grad=False)),
    "one byte": with_weight(lambda weight: torch.nn.Parameter(weight.to(torch.float8_e4m3fn), requires_grad=False)),
    "a scale beside it": with_a_scale,
    "a pass of its own": with_a_pass_of_its_own,
}


@pytest.mark.parametrize("how", QUANTISED)
def test_quantised_weights_are_refused_for_editing_only(how: str) -> None:
    model = small_model("llama")
    model.model.config.quantization_config = {"quant_method": "bitsandbytes"}
    for block in model.blocks:
        QUANTISED[how](block.mlp.down_proj)
    if how not in ("whole numbers", "one byte"):  # which torch multiplies with nothing
        assert fl.trace(model, FACT, samples=2, corruption=fl.Noise(level=0.3)).complete
    with pytest.raises(QuantizedModel, match="not edited"):
        fl.edit(model, FACT, layers=1)
    assert model.edits == ()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_plain_weights_out_of_a_quantised_file_are_edited(kind: str) -> None:
    """As those that transformers reads from GGUF, whose configuration goes on saying what the file was."""
    options: dict[str, Any] = {"layers": 1, "steps": 2, "contexts": (), "keep": ()}
    made = []
    for config in (None, {"quant_method": "gguf"}):
        model = small_model(kind)
        if config is not None:
            model.model.config.quantization_config = config
        made.append(fl.edit(model, FACT, moments=moment_of(model, 1), **options))
        details = fl.details(model, fl.trace(model, FACT, samples=2, kinds="mlp"), "mlp", 5, 1)
        assert details.neurons is not None
        model.undo()
    assert torch.equal(made[0].updates[0].left, made[1].updates[0].left)


def test_integer_weights_are_refused() -> None:
    model = small_model("llama")
    int8 = torch.nn.Module()
    int8.register_buffer("weight", torch.zeros(4, 4, dtype=torch.int8))
    model.blocks[1].mlp.down_proj = int8
    with pytest.raises(QuantizedModel, match="quantised"):
        model.down_projection(1)
