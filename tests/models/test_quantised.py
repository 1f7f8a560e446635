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
    with pytest.raises(QuantizedModel, match=r"bitsandbytes.*not edited: .*dtype='bfloat16'.*model\.dequantize\(\)"):
        fl.edit(model, FACT, layers=1)
    assert model.edits == ()


class PackedWhole(torch.nn.Module):
    """As GPTQ and AWQ leave a linear map: whole numbers with a scale for each row, and no weight at all."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = weight.abs().amax(1, keepdim=True) / 127
        self.register_buffer("qweight", (weight / scales).round().to(torch.int32))
        self.register_buffer("scales", scales)

    def plain(self) -> torch.nn.Linear:
        made = torch.nn.Linear(*reversed(self.qweight.shape), bias=False)
        made.weight = torch.nn.Parameter(self.qweight * self.scales)
        return made

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(hidden, self.qweight * self.scales)


class Lazy(torch.Tensor):
    """As torchao's: a tensor of a class of its own, which multiplies with other numbers than those that it holds."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.linear:
            hidden, weight, *rest = args
            return func(hidden, weight.as_subclass(torch.Tensor) / 2, *rest)
        return super().__torch_function__(func, types, args, kwargs or {})


def packed_whole(block: torch.nn.Module) -> None:
    block.mlp.down_proj = PackedWhole(block.mlp.down_proj)


def lazily(block: torch.nn.Module) -> None:
    weight = (2 * block.mlp.down_proj.weight.detach()).as_subclass(Lazy)
    block.mlp.down_proj.weight = torch.nn.Parameter(weight, requires_grad=False)


@pytest.mark.parametrize(("method", "change"), [("gptq", packed_whole), ("awq", packed_whole), ("torchao", lazily)])
def test_the_grid_is_that_of_the_same_numbers_unpacked(method: str, change: Callable[[torch.nn.Module], None]) -> None:
    plain, model = small_model("llama"), small_model("llama")
    model.model.config.quantization_config = {"quant_method": method}
    for block in model.blocks:
        change(block)
    for block, packed in zip(plain.blocks, model.blocks, strict=True):
        if isinstance(packed.mlp.down_proj, PackedWhole):
            block.mlp.down_proj = packed.mlp.down_proj.plain()
    options: dict[str, Any] = {"samples": 2, "corruption": fl.Noise(level=0.3), "estimate": "attribution_patching"}
    trace, same = fl.trace(model, FACT, **options), fl.trace(plain, FACT, **options)
    torch.testing.assert_close(torch.tensor(trace.samples.values), torch.tensor(same.samples.values))
    assert trace.effects.values.std() > 0
    assert fl.details(model, trace, "mlp", 5, 1) is not None
    with pytest.raises(QuantizedModel, match=f"{method}.*not edited: .*dequantize"):
        fl.edit(model, FACT, layers=1)
    assert model.edits == ()


def test_what_was_made_plain_is_wrapped_again_and_edited() -> None:
    model = small_model("llama")
    model.model.config.quantization_config = {"quant_method": "bitsandbytes"}
    for block in model.blocks:
        packed_whole(block)
    for block in model.blocks:  # as model.dequantize() of transformers does
        block.mlp.down_proj = block.mlp.down_proj.plain()
    del model.model.config.quantization_config
    again = fl.wrap(model.model, model.tokenizer)
    edit = fl.edit(again, FACT, layers=1, moments=moment_of(again, 1), steps=2, contexts=(), keep=())
    assert again.edits == (edit,)
    again.undo()


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
