"""What is given for a model or a tokenizer and is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    GPT2Model,
    PreTrainedTokenizerFast,
    pipeline,
)

import factlens as fl
from factlens.models import FAMILIES, Family
from tests.editing.made import FACT
from tests.support import small_model, tokenizer


def test_a_model_without_numbers_is_refused() -> None:
    module = small_model("gpt2").model
    with pytest.raises(fl.FactlensError, match=r"meta device.*from_pretrained"):
        fl.wrap(module.to("meta"), tokenizer())
    part = small_model("gpt2").model
    part.transformer.h[1].mlp.to("meta")
    with pytest.raises(fl.FactlensError, match="meta device"):
        fl.wrap(part, tokenizer())


@pytest.mark.parametrize("call", [lambda m: fl.trace(m, FACT), lambda m: m.answers("Paris")])
def test_a_model_that_loses_its_numbers_later(call: Callable[[fl.Model], object]) -> None:
    model = small_model("gpt2")
    model.model.transformer.h[3].mlp.to("meta")
    with pytest.raises(
        fl.FactlensError, match=r"gpt2 has no numbers: 'transformer\.h\.3\.mlp\.c_fc\.weight' is on the"
    ):
        call(model)


_BERT = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_T5 = {"d_model": 48, "d_kv": 12, "d_ff": 64, "num_layers": 2, "num_heads": 4}
ENCODER = Family(
    blocks="bert.encoder.layer",
    attention="attention.output.dense",
    mlp="output.dense",
    out="attention.output.dense",
    down="output.dense",
    embedding="bert.embeddings.word_embeddings",
    norm="bert.embeddings.LayerNorm",
    head="cls.predictions.decoder",
)


class Alone(torch.nn.Module):
    """The parts of a model without its configuration."""

    def __init__(self) -> None:
        super().__init__()
        whole = small_model("gpt2").model
        self.transformer, self.lm_head = whole.transformer, whole.lm_head


def of_kind(kind: str, door: Any, **settings: Any) -> Any:
    return door.from_config(AutoConfig.for_model(kind, vocab_size=len(tokenizer()), **settings)).eval()


#: What is no causal language model of transformers, the family that it may be given with, and what has to be said.
NO_MODELS: dict[str, tuple[Callable[[], Any], Family | None, str]] = {
    "a configuration": (lambda: small_model("gpt2").model.config, None, "not GPT2Config"),
    "a class": (lambda: GPT2Model, None, "not the class GPT2Model"),
    "a state dict": (lambda: small_model("gpt2").model.state_dict(), None, "not OrderedDict"),
    "a pipeline": (
        lambda: pipeline("text-generation", model=small_model("gpt2").model, tokenizer=tokenizer()),
        None,
        r"TextGenerationPipeline has one inside: factlens\.wrap\(it\.model",
    ),
    "a wrapper": (lambda: torch.nn.DataParallel(small_model("gpt2").model), None, r"pass what it wraps: model\.module"),
    "a module": (lambda: torch.nn.Linear(3, 3), None, "Linear has no such config"),
    "no configuration": (Alone, FAMILIES["gpt2"], "Alone has no such config"),
    "no head": (lambda: GPT2Model(small_model("gpt2").model.config), None, "not a bare base model"),
    "an encoder": (
        lambda: of_kind("bert", AutoModelForMaskedLM, **_BERT),
        None,
        "does not know the architecture 'bert'",
    ),
    "an encoder by hand": (
        lambda: of_kind("bert", AutoModelForMaskedLM, **_BERT),
        ENCODER,
        "a token sees those behind it.*causal language",
    ),
    "an encoder and a decoder": (
        lambda: of_kind("t5", AutoModelForSeq2SeqLM, **_T5),
        FAMILIES["gpt2"],
        "t5 is an encoder with a decoder",
    ),
}


@pytest.mark.parametrize("what", NO_MODELS)
def test_what_is_no_causal_language_model(what: str) -> None:
    make, family, words = NO_MODELS[what]
    with pytest.raises(fl.FactlensError, match=words):
        fl.wrap(make(), tokenizer(), family=family)


def test_an_encoder_that_was_made_a_decoder_is_traced() -> None:
    module = of_kind("bert", AutoModelForCausalLM, is_decoder=True, **_BERT)
    assert fl.trace(fl.wrap(module, tokenizer(), family=ENCODER), FACT, samples=2).complete


class Without(PreTrainedTokenizerFast):
    """Says that it is fast, and gives no offsets."""

    def __call__(self, *texts: Any, return_offsets_mapping: bool = False, **options: Any) -> Any:
        return super().__call__(*texts, **options)


class Unable(PreTrainedTokenizerFast):
    def __call__(self, *texts: Any, **options: Any) -> Any:
        raise NotImplementedError("no such thing")


class Processor:
    """Takes pictures and text, and has a tokenizer for the text."""

    def __init__(self) -> None:
        self.tokenizer = tokenizer()

    def __call__(self, images: Any = None, text: Any = None) -> Any:
        return self.tokenizer(text)


NO_TOKENIZERS: dict[str, tuple[Callable[[], Any], str]] = {
    "a class": (lambda: PreTrainedTokenizerFast, "not the class"),
    "a name": (lambda: "gpt2", "not 'gpt2'"),
    "of the library below": (lambda: tokenizer().backend_tokenizer, "not Tokenizer"),
    "a processor": (Processor, r"Processor, which has one inside: pass its \.tokenizer"),
    "without offsets": (lambda: Without(tokenizer_object=tokenizer().backend_tokenizer), "which this Without does not"),
    "unable": (lambda: Unable(tokenizer_object=tokenizer().backend_tokenizer), "NotImplementedError: 'no such thing'"),
    "empty": (lambda: PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE())), "tokenizer has no tokens"),
}


@pytest.mark.parametrize("what", NO_TOKENIZERS)
def test_what_is_no_fast_tokenizer(what: str) -> None:
    make, words = NO_TOKENIZERS[what]
    with pytest.raises(fl.FactlensError, match=words) as caught:
        fl.wrap(small_model("gpt2").model, make())
    assert "AutoTokenizer" in str(caught.value) or ".tokenizer" in str(caught.value)
