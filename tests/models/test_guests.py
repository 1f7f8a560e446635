"""Guests in a model are taken into account and left alone: adapters, and compiled code."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import peft
import pytest
import torch
from peft import LoraConfig
from torch import nn

import factlens as fl
from factlens.editing.methods import Problem
from factlens.editing.methods.lora import LoraHparams, _begun, solve
from factlens.editing.prompts import BARE, make_prompts
from factlens.errors import QuantizedModel, UnknownArchitecture
from tests.editing.made import FACT
from tests.models.made import (
    KINDS,
    METHODS,
    assert_same,
    edited,
    some_edit,
    traced,
    with_adapter,
)
from tests.support import small_model
from tests.tracing.faults import assert_unchanged, state_of


def with_adapters(kind: str) -> tuple[fl.Model, Any]:
    model = small_model(kind)
    return model, with_adapter(model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrapper", ["as it was wrapped", "peft's wrapper", "the model inside"])
def test_a_model_with_adapters_is_traced_with_them(kind: str, wrapper: str) -> None:
    model, adapted = with_adapters(kind)
    bare = small_model(kind)
    if wrapper != "as it was wrapped":
        model = fl.wrap(adapted if wrapper == "peft's wrapper" else adapted.get_base_model(), model.tokenizer)
    ids = torch.tensor([model.encode(FACT).ids])
    with torch.no_grad():
        high = adapted(input_ids=ids).logits[0, -1].softmax(-1).max()
    trace = traced(model)
    assert trace.high == pytest.approx(float(high), abs=1e-6)
    assert abs(trace.high - traced(bare).high) > 1e-4, "the adapter does something"
    # Merged, the same model without any adapter: the oracle of what the adapters add.
    merged = fl.wrap(copy.deepcopy(adapted).merge_and_unload(), model.tokenizer)
    np.testing.assert_allclose(trace.samples.values, traced(merged).samples.values, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_which_adapters_act_is_part_of_the_identity(kind: str) -> None:
    model, adapted = with_adapters(kind)
    bare = small_model(kind)
    with_it = model.fingerprint
    assert with_it != bare.fingerprint
    with adapted.disable_adapter():
        assert model.fingerprint == bare.fingerprint
        # peft has frozen the base, for which torch takes another path to the same logits.
        np.testing.assert_allclose(traced(model).samples.values, traced(bare).samples.values, atol=1e-7)
    assert model.fingerprint == with_it
    adapted.add_adapter("second", copy.deepcopy(adapted.peft_config["default"]))
    adapted.set_adapter("second")
    assert model.fingerprint not in (with_it, bare.fingerprint)
    adapted.set_adapter("default")
    for name, parameter in adapted.named_parameters():
        if "lora_B.default" in name:
            parameter.data[0, 0] += 1e-3
    assert model.fingerprint != with_it
    adapted.unload()
    assert model.fingerprint == bare.fingerprint


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_the_base_is_edited_under_adapters_and_these_are_left_alone(kind: str, method: str) -> None:
    model, adapted = with_adapters(kind)
    clean = small_model(kind)
    next(model.model.parameters()).requires_grad_(False)
    before = state_of(model)
    modules = [*adapted.modules()]
    edit = edited(model, method, apply=False)
    assert_unchanged(model, before)
    assert [*adapted.modules()] == modules
    model.apply(edit)
    name = model.down_projection(1).parameter
    assert edit.updates[0].parameter == name
    assert "base_layer" not in name
    weight = model.down_projection(1).weight.detach() - clean.down_projection(1).weight.detach()
    term = edit.updates[0]
    torch.testing.assert_close(weight, term.matrix(weight), atol=1e-5, rtol=1e-4)
    # What was optimised is what the model with its adapters says now.
    then, now = (next(iter(edit.report.get("facts") or [edit.report]))["losses"][i]["loss"] for i in (0, -1))
    assert np.isfinite([then, now]).all()
    model.undo()
    assert_unchanged(model, before)


@pytest.mark.parametrize("kind", KINDS)
def test_lora_begins_and_goes_on_as_peft_does(kind: str) -> None:
    model, layers = small_model(kind), [1, 3]
    hparams = LoraHparams(steps=6, seed=3, rank=4)
    with model.exclusive():
        prompts = make_prompts(model, [FACT], BARE)
        ours = _begun(model, layers, hparams)
        terms = solve(Problem(model, [FACT], tuple(layers), {}, hparams)).updates
    theirs = small_model(kind)
    names = [theirs.down_projection(layer).parameter.removesuffix(".weight") for layer in layers]
    torch.manual_seed(3)
    config = LoraConfig(
        r=4, lora_alpha=hparams.alpha, target_modules=names, fan_in_fan_out=theirs.down_projection(1).transposed
    )
    adapted = peft.get_peft_model(theirs.model, config)
    placed = [theirs.model.get_submodule(name) for name in names]
    factors = [(part.lora_A["default"].weight, part.lora_B["default"].weight) for part in placed]
    for pair, (down, up) in zip(ours, factors, strict=True):
        assert torch.equal(pair[0], down)
        assert torch.equal(pair[1], up)
    adam = torch.optim.Adam([factor for pair in factors for factor in pair], lr=hparams.learning_rate)
    rows, positions, tokens = prompts.targets.T
    for _ in range(hparams.steps):
        logits = adapted(input_ids=prompts.ids, attention_mask=prompts.mask).logits
        loss = -logits.log_softmax(-1)[rows, positions, tokens].mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    for term, (down, up) in zip(terms, factors, strict=True):
        whole = (up @ down).detach() * hparams.alpha / hparams.rank
        torch.testing.assert_close(term.left @ term.right, whole.T if term.transposed else whole, atol=1e-5, rtol=1e-3)


def test_learnt_prompts_are_refused_with_what_to_do() -> None:
    model = small_model("gpt2")
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    wrapped = peft.get_peft_model(model.model, config)
    frozen = small_model("gpt2")
    frozen.model.requires_grad_(False)
    with pytest.raises(UnknownArchitecture, match=r"learnt prompts.*get_base_model\(\)"):
        fl.wrap(wrapped, model.tokenizer)
    assert_same(fl.wrap(wrapped.get_base_model(), model.tokenizer), frozen)


def test_a_quantised_base_under_an_adapter_is_refused() -> None:
    model, _ = with_adapters("llama")
    model.down_projection(1).linear.weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.int8), requires_grad=False)
    with pytest.raises(QuantizedModel):
        model.down_projection(1)


def compiled_as_a_whole(model: fl.Model) -> Any:
    return torch.compile(model.model, backend="eager")


def compiled_in_place(model: fl.Model) -> Any:
    model.model.compile(backend="eager")
    return model.model


def a_compiled_block(model: fl.Model) -> Any:
    blocks = model.model.get_submodule(model.family.blocks)
    blocks[1] = torch.compile(blocks[1], backend="eager")
    return model.model


def a_block_compiled_in_place(model: fl.Model) -> Any:
    model.blocks[1].compile(backend="eager")
    return model.model


COMPILED = (compiled_as_a_whole, compiled_in_place, a_compiled_block, a_block_compiled_in_place)


@pytest.mark.parametrize("compiling", COMPILED, ids=lambda compiling: compiling.__name__)
def test_a_compiled_model_is_refused_with_what_to_do(compiling: Callable[[fl.Model], Any]) -> None:
    model = small_model("gpt2")
    compiled = compiling(model)
    with pytest.raises(UnknownArchitecture, match=r"_orig_mod|_compiled_call_impl = None"):
        fl.wrap(compiled, model.tokenizer)


@pytest.mark.parametrize("compiling", COMPILED[1:], ids=lambda compiling: compiling.__name__)
def test_a_model_that_is_compiled_later_is_refused_then(compiling: Callable[[fl.Model], Any]) -> None:
    model = small_model("gpt2")
    edit = some_edit(model, 1)
    compiling(model)
    for attempt in (lambda: traced(model), lambda: model.apply(edit), lambda: model.answers("In Paris")):
        with pytest.raises(UnknownArchitecture, match=r"_orig_mod|_compiled_call_impl = None"):
            attempt()
    assert model.edits == ()


def test_the_model_inside_compiled_code_can_be_traced_and_edited() -> None:
    model = small_model("gpt2")
    compiled = torch.compile(model.model, backend="eager")
    inside = fl.wrap(compiled._orig_mod, model.tokenizer)
    assert_same(inside, small_model("gpt2"))
    ids = torch.arange(5)[None]
    with torch.no_grad():
        before = compiled(ids).logits
        inside.apply(some_edit(model, 1))
        after = compiled(ids).logits
    assert not torch.equal(before, after), "edits are seen by the compiled model, too"
