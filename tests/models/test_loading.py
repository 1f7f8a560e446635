"""Loading, wrapping, and what is said of a model that does not fit."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import processors
from transformers import AutoConfig, AutoModel

import factlens as fl
from factlens.errors import LayerError, NumericalError, PromptTooLong, QuantizedModel, UnknownArchitecture
from factlens.models import FAMILIES, Family
from tests.support import SHAPES, small_model, tokenizer

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")


def test_wrap_gives_back_what_it_was_given() -> None:
    module = small_model("gpt2").model
    tok = tokenizer()
    model = fl.wrap(module, tok)
    assert model.model is module
    assert model.tokenizer is tok


def test_a_local_folder_loads(tmp_path: Path) -> None:
    made = small_model("llama")
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    model = fl.load(tmp_path, device="cpu", dtype="float32")
    assert model.fingerprint == made.fingerprint
    assert model.encode(FACT).ids == made.encode(FACT).ids
    assert str(fl.load(tmp_path, dtype="bfloat16").dtype) == "torch.bfloat16"


def test_an_unknown_architecture_is_described_by_hand() -> None:
    module = small_model("bloom").model
    module.config.model_type = "mine"
    with pytest.raises(UnknownArchitecture, match=r"'mine'.*family=factlens.Family") as error:
        fl.wrap(module, tokenizer())
    assert "gpt2" in str(error.value)
    wrong = replace(FAMILIES["bloom"], mlp="no_such_mlp")
    with pytest.raises(UnknownArchitecture, match="no_such_mlp"):
        fl.wrap(module, tokenizer(), family=wrong)
    by_hand = fl.wrap(module, tokenizer(), family=Family(**vars(FAMILIES["bloom"])))
    assert fl.trace(by_hand, FACT, samples=2, corruption=fl.Noise(level=0.3)).complete


def test_a_base_model_without_a_head_is_refused() -> None:
    module = AutoModel.from_config(AutoConfig.for_model("gpt2", **SHAPES["gpt2"], vocab_size=340))
    with pytest.raises(UnknownArchitecture, match="head"):
        fl.wrap(module, tokenizer())


@pytest.mark.parametrize(
    ("shape", "wrong", "message"),
    [
        # The activation inside the MLP exists and runs, but what it gives is not what an MLP adds to the residual.
        ("gpt2", {"mlp": "mlp.act"}, "mlp of layer 0.* gives shape"),
        ("gpt2", {"embedding": "transformer.wpe"}, "embedding"),
        ("gpt2", {"blocks": "transformer.layers"}, "transformer.layers"),
        ("gpt2", {"norm": "transformer.norm"}, "transformer.norm"),
        ("llama", {"mlp": "mlp.gate_proj"}, "mlp of layer 0"),
    ],
)
def test_a_wrong_entry_is_found_by_running_the_model(shape: str, wrong: dict[str, str], message: str) -> None:
    module = small_model(shape).model
    with pytest.raises(UnknownArchitecture, match=message):
        fl.wrap(module, tokenizer(), family=replace(FAMILIES[shape], **wrong))


def test_a_part_that_the_model_does_not_read_is_found() -> None:
    module = small_model("llama").model

    class Idle(torch.nn.Module):
        """Runs and carries the right shape, but nothing comes of it."""

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner, self.unread = inner, torch.nn.Identity()

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            self.unread(hidden)
            return self.inner(hidden)

    for block in module.model.layers:
        block.mlp = Idle(block.mlp)
    entry = replace(FAMILIES["llama"], mlp="mlp.unread", down="mlp.inner.down_proj")
    with pytest.raises(UnknownArchitecture, match=r"mlp .* has no influence"):
        fl.wrap(module, tokenizer(), family=entry)


def test_a_part_that_runs_twice_is_found() -> None:
    module = small_model("llama").model
    block = module.model.layers[3]
    block.post_attention_layernorm = torch.nn.Sequential(block.post_attention_layernorm, block.mlp)
    with pytest.raises(UnknownArchitecture, match=r"mlp of layer 3 .* ran 2 times"):
        fl.wrap(module, tokenizer())


def test_a_tokenizer_that_ends_every_text_is_refused() -> None:
    ending = copy.deepcopy(tokenizer())  # made once for all tests
    ending.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", ending.convert_tokens_to_ids("<|endoftext|>"))]
    )
    with pytest.raises(UnknownArchitecture, match=r"ends every text with .*add_eos_token = False"):
        fl.wrap(small_model("gpt2").model, ending)


def test_attention_without_an_additive_mask_is_refused() -> None:
    module = small_model("llama").model
    module.config._attn_implementation = "flash_attention_2"
    with pytest.raises(UnknownArchitecture, match="sdpa"):
        fl.wrap(module, tokenizer())


def test_quantised_weights_are_refused_for_editing_only() -> None:
    model = small_model("gpt2")
    model.model.config.quantization_config = {"quant_method": "bitsandbytes"}
    assert fl.trace(model, FACT, samples=2, corruption=fl.Noise(level=0.3)).complete
    with pytest.raises(QuantizedModel, match="not edited"):
        fl.edit(model, FACT)
    assert model.edits == ()


def test_integer_weights_are_refused() -> None:
    model = small_model("llama")
    int8 = torch.nn.Module()
    int8.register_buffer("weight", torch.zeros(4, 4, dtype=torch.int8))
    model.blocks[1].mlp.down_proj = int8
    with pytest.raises(QuantizedModel, match="quantised"):
        model.down_projection(1)


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


def test_every_entry_of_the_map_is_tested() -> None:
    assert set(FAMILIES) == set(SHAPES)
