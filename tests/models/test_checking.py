"""An architecture is known by its entry in the map, and the entry is checked by running the model."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import processors
from transformers import (
    AutoConfig,
    AutoModel,
)

import factlens as fl
from factlens.errors import UnknownArchitecture
from factlens.models import FAMILIES, Family
from factlens.models.families import REFUSED, family_of
from tests.editing.made import FACT
from tests.support import SEEING, SHAPES, small_model, tokenizer


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


def test_every_entry_of_the_map_is_tested() -> None:
    assert {*FAMILIES, *SEEING} == set(SHAPES)


@pytest.mark.parametrize("kind", SEEING)
def test_the_text_part_of_a_model_that_sees_is_found(kind: str, tmp_path: Path) -> None:
    made = small_model(kind)
    assert made.family.blocks == "model.language_model.layers"
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    model = fl.load(tmp_path, device="cpu", dtype="float32")
    assert (model.family, model.fingerprint) == (made.family, made.fingerprint)
    assert model.max_tokens == 64
    before = model.next_token(FACT.prompt)
    edit = fl.edit(model, FACT, method="ft", layers=1, steps=2)
    assert not torch.equal(model.next_token(FACT.prompt), before)
    assert next(iter(edit.updates)).parameter.startswith("model.language_model.layers.1.")
    model.undo()
    assert torch.equal(model.next_token(FACT.prompt), before)


def test_it_is_found_by_what_it_is_and_not_by_its_name() -> None:
    module = small_model("gemma3").model
    module.model.reader = module.model.language_model
    del module.model.language_model
    family = family_of(module)
    assert family is not None
    assert (family.blocks, family.embedding) == ("model.reader.layers", "model.reader.embed_tokens")
    assert (family.head, family.down) == ("lm_head", FAMILIES["gemma3_text"].down)


@pytest.mark.parametrize("kind", sorted({*REFUSED, *(f"{kind}_text" for kind in ("gemma3n", "gemma4", "qwen3_5"))}))
def test_what_cannot_be_traced_is_refused_by_name(kind: str) -> None:
    module = small_model("llama").model
    module.config.model_type = kind
    with pytest.raises(UnknownArchitecture, match=f"^{kind} cannot be traced: ") as error:
        fl.wrap(module, tokenizer())
    assert REFUSED[kind.removesuffix("_text")] in str(error.value)
