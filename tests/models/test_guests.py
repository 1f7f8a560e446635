"""Guests are shielded and left alone: other threads, adapters, compiled code, and whatever surrounds a call."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
from tests.editing.made import moment_of
from tests.models.test_foreign_hands import FACT, KINDS, assert_same, traced, with_adapter
from tests.models.test_weights import bits, same_bits, some_edit
from tests.support import small_model
from tests.tracing.test_faults import assert_unchanged, state_of

METHODS = ("rome", "emmet", "memit", "alphaedit", "ft", "ft_l", "lora")
SMALL: dict[str, Any] = {"contexts": (), "steps": 3}


def edited(model: fl.Model, method: str, **options: Any) -> fl.Edit:
    settings = {"steps": 3} if method in ("ft", "ft_l", "lora") else {**SMALL, "openings": ()}
    if method not in ("ft", "ft_l", "lora"):
        options.setdefault("moments", {layer: moment_of(model, layer, rank=40) for layer in range(model.n_layers)})
    return fl.edit(model, FACT, method=method, layers=1, **settings, **options)


# Other threads -------------------------------------------------------------------------------------------------------


class Generating:
    """A thread that lets the bare model write all the time, and keeps whatever is not what it should be."""

    def __init__(self, model: fl.Model) -> None:
        self.module, self.stop, self.wrong, self.times = model.model, threading.Event(), [], 0
        self.ids = torch.arange(5)[None]
        self.expected = self.write()
        self.thread = threading.Thread(target=self.run)

    def write(self) -> Any:
        with torch.no_grad():
            return self.module.generate(self.ids, max_new_tokens=4, do_sample=False, pad_token_id=0).tolist()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                written = self.write()
                self.times += 1
                if written != self.expected:
                    self.wrong.append(written)
            except BaseException as error:
                self.wrong.append(error)

    def __enter__(self) -> Generating:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(60)


WORKS: dict[str, Callable[[fl.Model], Any]] = {
    "trace": lambda model: (
        fl.trace(
            model, FACT, samples=2, corruption=fl.Noise(level=0.3), preview=True, kinds=("state", "mlp", "attn", "head")
        ).samples.values
    ),
    "severed": lambda model: (
        fl.trace(
            model, FACT, samples=2, corruption=fl.Noise(level=0.3), kinds=("severed_mlp", "severed_attn")
        ).samples.values
    ),
    "details": lambda model: fl.details(model, traced(model), "mlp", 3, 2).to_dict(),
    "rome": lambda model: edited(model, "rome", apply=False).updates[0].left,
    "ft": lambda model: edited(model, "ft", apply=False).updates[0].change,
    "lora": lambda model: edited(model, "lora", apply=False).updates[0].left,
    "moments": lambda model: moment_of(model, 1).total,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_a_generation_in_another_thread_disturbs_nothing_and_is_not_disturbed(
    kind: str, work: Callable[[fl.Model], Any]
) -> None:
    model = small_model(kind)
    expected = work(model)
    with Generating(model) as generating:
        found = [work(model) for _ in range(5)]
        before = generating.times
        while generating.times < before + 2 and not generating.wrong:
            found.append(work(model))
    assert generating.wrong == []
    assert generating.times > 2
    for one in found:
        assert repr(one) == repr(expected)
        if not isinstance(one, dict):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(expected))


def test_hooks_of_one_thread_are_not_met_by_another() -> None:
    model, seen = small_model("gpt2"), []
    ids = torch.arange(5)[None]
    with torch.no_grad():
        plain = model.model(ids).logits

    def interrupting(_module: nn.Module, _args: Any) -> None:
        # In the middle of one of our own passes: everything that factlens has put on the model is there now.
        if threading.current_thread() is threading.main_thread() and len(seen) < 40:
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()

    def look() -> None:
        with torch.no_grad():
            seen.append(torch.equal(model.model(ids).logits, plain))

    handles = [block.register_forward_pre_hook(interrupting) for block in model.blocks]
    fl.trace(
        model, FACT, samples=2, corruption=fl.Noise(level=0.3), preview=True, kinds=("state", "mlp", "severed_attn")
    )
    for handle in handles:
        handle.remove()
    assert len(seen) >= 20
    assert all(seen)


# Surroundings ----------------------------------------------------------------------------------------------------


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype, "it is as it was after the call, too"
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)


@contextmanager
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
        assert torch.is_autocast_enabled("cpu")
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@contextmanager
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield
        assert torch.is_inference_mode_enabled()


@contextmanager
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield
        assert not torch.is_grad_enabled()


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": autocast,
    "inference mode": inference,
    "no gradients": no_gradients,
    "default device": default_device,
    "device block": lambda: torch.device("meta"),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "nothing": nullcontext,
}


def seen_in(around: Callable[[], AbstractContextManager[Any]]) -> tuple[bool, bool]:
    return around is autocast, around not in (inference, no_gradients)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("around", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_what_surrounds_a_call_changes_no_bit(kind: str, around: Callable[[], AbstractContextManager[Any]]) -> None:
    plain, model = small_model(kind), small_model(kind)
    clean = bits(model)
    expected = fl.trace(plain, FACT, samples=2, preview=True, kinds=("state", "mlp", "head"))
    answers = plain.answers(FACT.prompt)
    report = fl.evaluate(plain, edited(plain, "ft", apply=False), fl.Checks.of(FACT, "Rome")).to_dataframe()
    before = state_of(model)
    with around():
        found = fl.trace(model, FACT, samples=2, preview=True, kinds=("state", "mlp", "head"))
    np.testing.assert_array_equal(found.samples.values, expected.samples.values)
    np.testing.assert_array_equal(found.estimate.values, expected.estimate.values)
    with around():
        assert model.answers(FACT.prompt) == answers
        assert fl.details(model, found, "mlp", 3, 2) == fl.details(model, found, "mlp", 3, 2)
        judged = fl.evaluate(model, edited(model, "ft", apply=False), fl.Checks.of(FACT, "Rome")).to_dataframe()
    assert judged.equals(report)
    assert_unchanged(model, before)
    moments = {layer: moment_of(plain, layer, rank=40) for layer in range(plain.n_layers)}
    for method in METHODS:
        given = {} if method in ("ft", "ft_l", "lora") else {"moments": moments}
        one = edited(plain, method, **given)
        with around():
            other = edited(model, method, **given)
        assert other.id == one.id, method
        assert same_bits(bits(model), bits(plain)), method
        with around():
            model.undo()
            model.redo()
            model.undo()
        plain.undo()
        assert same_bits(bits(model), clean), method
    edit = some_edit(plain, 1)
    plain.apply(edit)
    with around():
        assert model.fingerprint == plain.fingerprint
        with model.edited(edit):
            # What the user does in a block, the user does in the surroundings of the block.
            assert (torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()) == seen_in(around)
            assert same_bits(bits(model), bits(plain))
    assert same_bits(bits(model), clean)


def test_a_block_of_ours_leaves_the_surroundings_to_the_user() -> None:
    model = small_model("gpt2")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.apply(some_edit(model, 1))
        # A cast of the weight from before the edit would give the old answer.
        with torch.no_grad():
            first = model.model(torch.arange(5)[None]).logits
            model.undo()
            second = model.model(torch.arange(5)[None]).logits
    assert not torch.equal(first, second)


# Adapters ----------------------------------------------------------------------------------------------------------


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
    rows, positions, tokens = prompts.wanted.T
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


# Compiled code -----------------------------------------------------------------------------------------------------


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
