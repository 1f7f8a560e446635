"""Loading, wrapping, and what is said of a model that does not fit."""

from __future__ import annotations

import builtins
import copy
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    GPT2Model,
    PreTrainedTokenizerFast,
    pipeline,
)

import factlens as fl
from factlens.errors import LayerError, NumericalError, PromptTooLong, QuantizedModel, UnknownArchitecture
from factlens.models import FAMILIES, Family
from factlens.models.families import REFUSED, family_of
from factlens.moments import rows
from tests.editing.made import moment_of
from tests.support import SEEING, SHAPES, small_model, tokenizer

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
    assert {*FAMILIES, *SEEING} == set(SHAPES)


# A repository's own code --------------------------------------------------------------------------------------------

MINE = """
from pathlib import Path

Path(__file__).with_name("it ran").touch()
raise SystemExit("the code of a repository was run")
"""


class Untouched:
    """A terminal from which nothing may be read."""

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the terminal was asked for its {name}")


@pytest.mark.parametrize("brings", ["model", "tokenizer", "both"])
def test_a_repositorys_own_code_is_neither_run_nor_asked_about(
    brings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_model("llama")
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    if brings != "tokenizer":
        config = json.loads((tmp_path / "config.json").read_text())
        classes = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyModel"}
        (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "mine", "auto_map": classes}))
    if brings != "model":
        settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
        classes = {"AutoTokenizer": [None, "mine.MyTokenizer"]}
        settings |= {"tokenizer_class": "MyTokenizer", "auto_map": classes}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    asked: list[object] = []
    monkeypatch.setattr(sys, "stdin", Untouched())
    monkeypatch.setattr(builtins, "input", lambda *prompt: asked.append(prompt) or "y")
    with pytest.raises(UnknownArchitecture, match=r"never runs a repository's code.*factlens\.wrap") as error:
        fl.load(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert not asked
    assert not (tmp_path / "it ran").exists()


def test_code_that_transformers_has_itself_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Many repositories bring the code of an architecture that transformers has learnt since.
    made = small_model("llama")
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    config = json.loads((tmp_path / "config.json").read_text())
    classes = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyModel"}
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": classes}))
    monkeypatch.setattr(sys, "stdin", Untouched())
    assert fl.load(tmp_path, device="cpu").fingerprint == made.fingerprint
    assert not (tmp_path / "it ran").exists()


def test_an_architecture_that_transformers_does_not_know(tmp_path: Path) -> None:
    made = small_model("llama")
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for model_type in ("of the future", "t5"):
        (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
        with pytest.raises(UnknownArchitecture, match="no causal language model that transformers knows"):
            fl.load(tmp_path)


# Models that also see, and what cannot be traced ---------------------------------------------------------------------


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


def test_a_corpus_that_never_says_anything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text without end and without a token in it is no corpus."""
    monkeypatch.setattr(rows, "_BLANK", 100)
    with pytest.raises(fl.FactlensError, match="texts of the corpus have no token in them"):
        fl.moments.collect(small_model("gpt2"), [1], (" " for _ in iter(int, 1)), tokens=64, corpus="blank")
