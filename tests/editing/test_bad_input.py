"""Bad input to `fl.edit`: found out, explained, and nothing applied, whatever went wrong and however late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import dispatch_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, normalizers
from torch import nn
from transformers import PreTrainedTokenizerFast

import factlens as fl
from factlens.errors import FactError, NumericalError, PromptTooLong, QuantizedModel
from factlens.models import LowRank
from factlens.models.model import Projection
from factlens.moments import SecondMoment
from tests.editing.made import FACT, FACTS, moment_of
from tests.support import small_model, tokenizer
from tests.tracing.faults import locked

METHODS = ("rome", "emmet", "memit", "alphaedit", "ft", "ft_l", "lora")
SPREAD = ("memit", "alphaedit")


class Boom(RuntimeError):
    """What the tests raise, so that no error of another origin passes for it."""


def asked(model: fl.Model, method: str) -> dict[str, Any]:
    """Settings with which a method takes a moment on a small model, over two layers where it can."""
    layers = [2] if method in ("rome", "emmet") else [1, 3]
    options: dict[str, Any] = {"layers": layers, "steps": 3}
    if method in ("rome", "emmet", *SPREAD):
        rank = 20 if method == "alphaedit" else None
        moments = {layer: moment_of(model, layer, rank) for layer in layers}
        options |= {"contexts": ((1, 2),), "openings": (), "moments": moments}
    if method == "alphaedit":
        options |= {"nullspace": 1e-3, "relative": True}
    return options


def facts_for(method: str) -> list[fl.Fact]:
    return FACTS[:1] if method == "rome" else FACTS


def edited(model: fl.Model, method: str, facts: list[fl.Fact] | None = None, **options: Any) -> fl.Edit:
    return fl.edit(model, facts or facts_for(method), method=method, **{**asked(model, method), **options})


def state_of(model: fl.Model) -> dict[str, Any]:
    """Everything about a model, and about torch, that an edit could have changed or left behind."""
    modules = dict(model.model.named_modules())
    tensors = {**dict(model.model.named_parameters()), **dict(model.model.named_buffers())}
    hooks = {
        (name, attribute): list(value)
        for name, module in modules.items()
        for attribute, value in vars(module).items()
        if "hooks" in attribute and isinstance(value, dict)
    }
    assert len(hooks) >= 8 * len(modules), "all sorts of hooks are counted"
    return {
        "hooks": hooks,
        "hooks on all modules": {k: list(v) for k, v in vars(nn.modules.module).items() if k.endswith("_hooks")},
        "modules": {name: (type(module), sorted(vars(module))) for name, module in modules.items()},
        "training": {name: module.training for name, module in modules.items()},
        "the tensors themselves": {name: id(tensor) for name, tensor in tensors.items()},
        "bits": {name: bits(tensor) for name, tensor in tensors.items()},
        "gradients": {name: (p.requires_grad, p.grad) for name, p in model.model.named_parameters()},
        "stack": (model.edits, model.undone, {name: id(kept) for name, kept in model._record.stack._originals.items()}),
        "random state": torch.get_rng_state().numpy().tobytes(),
        "gradients enabled": torch.is_grad_enabled(),
        "locked": locked(model),
    }


def bits(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().flatten() if tensor.device.type != "meta" else torch.empty(0)
    return flat.view(torch.uint8).numpy().tobytes()


@contextmanager
def refused(model: fl.Model, error: type[BaseException], *words: str) -> Iterator[None]:
    """The block raises an error that says all of `words`, and leaves the model exactly as it was."""
    before = state_of(model)
    with pytest.raises(error) as caught:
        yield
    after = state_of(model)
    for name, value in before.items():
        assert after[name] == value, f"{name} changed"
    for word in words:
        assert word in str(caught.value)


def test_the_methods_do_work_on_good_input() -> None:
    """Else the tests below would refuse everything."""
    for method in METHODS:
        model = small_model("gpt2")
        before = state_of(model)
        edit = edited(model, method)
        assert model.edits == (edit,)
        after = state_of(model)
        changed = {name for name in before["bits"] if before["bits"][name] != after["bits"][name]}
        assert changed == {model.down_projection(layer).parameter for layer in edit.layers}
        model.undo()
        assert state_of(model)["bits"] == before["bits"]
        assert after["hooks"] == before["hooks"]


# Numbers that are none ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poisoned", ["mlp", "embedding"])
@pytest.mark.parametrize(
    "method",
    METHODS,
)
def test_a_model_that_answers_nan_is_said_to_do_so(method: str, poisoned: str) -> None:
    model = small_model("gpt2")
    options = asked(model, method)
    weight = model.down_projection(1).weight if poisoned == "mlp" else model.embedding.weight
    with torch.no_grad():
        weight[:, 3] = float("nan" if poisoned == "mlp" else "inf")
    with refused(model, NumericalError, "small gpt2 answers with NaN or infinity", "load the model with dtype"):
        edited(model, method, **options)


@pytest.mark.parametrize(
    ("method", "kind"),
    # Where a norm follows what is changed, as in llama, no weight is too large for fine-tuning.
    [*((method, "gpt2") for method in METHODS), *((method, "llama") for method in METHODS[:4])],
)
def test_a_loss_that_is_not_finite(method: str, kind: str) -> None:
    model = small_model(kind)
    limit = {"limit": 1e37} if method == "ft_l" else {}
    with refused(model, NumericalError, "gave NaN or infinity", "Lower learning_rate"):
        edited(model, method, learning_rate=1e37, **limit)


@pytest.mark.parametrize("method", METHODS[:4])
def test_a_step_whose_length_overflows(method: str) -> None:
    model = small_model("gpt2")
    with refused(model, NumericalError, "Lower learning_rate"):
        edited(model, method, learning_rate=1e20)


def test_a_half_precision_weight_that_overflows() -> None:
    model = small_model("gpt2", dtype=torch.float16)
    with refused(model, NumericalError, "c_proj.weight", "float16 ends at 6.55e+04", "nothing was changed", "bfloat16"):
        edited(model, "ft", steps=1, learning_rate=1e5)


@pytest.mark.parametrize("method", ["rome", "emmet", "memit", "alphaedit"])
def test_an_update_that_overflows_half_precision(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # For methods over several layers, it is the first one's part that cannot be written, before there is a second.
    low_rank = Projection.low_rank

    def too_large(projection: Projection, values: torch.Tensor, keys: torch.Tensor) -> LowRank:
        return low_rank(projection, values * 1e15, keys)

    monkeypatch.setattr(Projection, "low_rank", too_large)
    model = small_model("llama", dtype=torch.float16)
    with refused(model, NumericalError, "float16 ends at", "Load the model with dtype='bfloat16'"):
        edited(model, method)


# Words that are no tokens -------------------------------------------------------------------------------------------


def with_tokenizer(*parts: normalizers.Normalizer) -> fl.Model:
    """A model whose tokenizer changes the text first."""
    raw = Tokenizer.from_str(tokenizer().backend_tokenizer.to_str())
    raw.normalizer = normalizers.Sequence(list(parts))
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    return fl.wrap(small_model("gpt2").model, fast, name="small gpt2")


NO_TARGET = {
    "nothing at all": [normalizers.Replace("\u200b", ""), normalizers.Strip()],
    "the space before it": [normalizers.Replace("\u200b", "")],
}


@pytest.mark.parametrize("method", ["rome", "memit", "ft"])
@pytest.mark.parametrize("left", NO_TARGET)
def test_a_target_without_tokens(left: str, method: str) -> None:
    model = with_tokenizer(*NO_TARGET[left])
    facts = [*facts_for(method)[1:], replace(FACT, target="\u200b")]
    with refused(model, FactError, "no token", repr("\u200b")):
        edited(model, method, facts)


@pytest.mark.parametrize("method", ["rome", "memit", "ft"])
@pytest.mark.parametrize(
    "fact",
    [
        fl.Fact("The Eiffel {}er is in", "Tow", target="Seattle"),
        fl.Fact("Everyone in {}is knows", "Par", target="Seattle"),
        fl.Fact("Everyone knows {}rich is", "Zü", target="Seattle"),
    ],
    ids=lambda fact: fact.subject,
)
def test_a_subject_that_ends_inside_a_token(fact: fl.Fact, method: str) -> None:
    model = small_model("gpt2")
    facts = [*facts_for(method)[1:], fact]
    with refused(model, FactError, repr(fact.subject), repr(fact.prompt), "one token"):
        edited(model, method, facts)


def test_a_subject_that_begins_inside_a_token_is_taken() -> None:
    # The token of a word begins with the space before it; what counts is where the subject ends.
    model = small_model("gpt2")
    fact = fl.Fact("The Eiffel T{} is in", "ower", target="Seattle")
    assert edited(model, "rome", [fact]).facts == (fact,)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "rome"])
def test_one_bad_fact_among_good_ones(method: str) -> None:
    model = small_model("gpt2")
    long = fl.Fact("{} " + "is near Paris and " * 40 + "is in", "Rome", target="Seattle")
    with refused(model, PromptTooLong, "reads at most 64", "Shorten the prompt"):
        edited(model, method, [*FACTS, long])
    with refused(model, FactError, "has no target", FACT.prompt):
        edited(model, method, [*FACTS[1:], replace(FACT, target=None)])


# Weights that cannot be changed -------------------------------------------------------------------------------------


def with_weight(kind: str, layer: int, weight: torch.Tensor) -> fl.Model:
    """A small model with something else for the weight of a layer's down projection."""
    model = small_model(kind)
    model.down_projection(layer).module.weight = nn.Parameter(weight, requires_grad=False)
    return fl.wrap(model.model, tokenizer(), name=f"small {kind}")


def weight_of(kind: str, layer: int) -> torch.Tensor:
    return small_model(kind).down_projection(layer).weight.detach().clone()


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_offloaded(method: str, tmp_path: Path) -> None:
    module = small_model("llama").model
    homes = sorted({name.rsplit(".", 1)[0] for name, _ in module.named_parameters()})
    places = {home: "disk" if ".layers.2." in home or ".layers.3." in home else "cpu" for home in homes}
    options = asked(small_model("llama"), method)
    module = dispatch_model(module, places, main_device="cpu", offload_dir=str(tmp_path), force_hooks=True)
    model = fl.wrap(module, tokenizer(), name="placed")
    with refused(model, QuantizedModel, "not in memory", "meta device", "Load the model where it fits"):
        edited(model, method, **options)


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_quantised(method: str) -> None:
    options = asked(small_model("llama"), method)
    said = small_model("llama")
    said.model.config.quantization_config = {"quant_method": "made up"}
    for layer in options["layers"]:
        said.down_projection(layer).linear.register_buffer("scale", torch.ones(1))
    with refused(said, QuantizedModel, "small llama holds quantised weights", "dtype='bfloat16'"):
        edited(said, method, **options)
    model = small_model("llama")
    layer = options["layers"][-1]
    model.down_projection(layer).module.weight = nn.Parameter(torch.ones(48, 112, dtype=torch.int8), False)
    with refused(model, QuantizedModel, "quantised weights", "dtype='bfloat16'"):
        edited(model, method, **options)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("method", METHODS)
def test_weights_in_a_read_only_memory_map(method: str, kind: str, tmp_path: Path) -> None:
    options = asked(small_model(kind), method)
    layer = options["layers"][-1]
    weight = weight_of(kind, layer)
    weight.numpy().tofile(tmp_path / "weight.bin")
    mapped = np.memmap(tmp_path / "weight.bin", np.float32, "r", shape=tuple(weight.shape))
    model = with_weight(kind, layer, torch.from_numpy(mapped))
    with refused(model, QuantizedModel, "read-only memory", "Copy the weights", ".data.clone()"):
        edited(model, method, **options)
    # What the message says to do does help.
    parameter = model.model.get_parameter(model.down_projection(layer).parameter)
    parameter.data = parameter.data.clone()
    edited(model, method, **options)
    model.undo()
    assert torch.equal(parameter, weight)


def test_a_saved_edit_is_refused_by_a_read_only_map_as_well(tmp_path: Path) -> None:
    edit = edited(small_model("gpt2"), "rome")
    weight = weight_of("gpt2", 2)
    weight.numpy().tofile(tmp_path / "weight.bin")
    mapped = torch.from_numpy(np.memmap(tmp_path / "weight.bin", np.float32, "c", shape=tuple(weight.shape)))
    model = with_weight("gpt2", 2, mapped)
    before = (tmp_path / "weight.bin").read_bytes()
    model.apply(edit)
    assert not torch.equal(model.down_projection(2).weight, weight)
    model.undo()
    assert (tmp_path / "weight.bin").read_bytes() == before, "copy-on-write: the file is not written to"
    model.down_projection(2).weight.data = torch.frombuffer(
        np.memmap(tmp_path / "weight.bin", np.float32, "c").data, dtype=torch.float32
    ).reshape(weight.shape)
    model.apply(edit)
    model.undo()


def test_weights_mapped_from_safetensors(tmp_path: Path) -> None:
    model = small_model("llama")
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.model.state_dict().items()}, path)
    before = path.read_bytes()
    model.model.load_state_dict(load_file(path), assign=True)
    model = fl.wrap(model.model, tokenizer(), name="mapped")
    clean = state_of(model)["bits"]
    edited(model, "memit")
    assert state_of(model)["bits"] != clean
    model.undo()
    assert state_of(model)["bits"] == clean
    assert path.read_bytes() == before


# Half-way -----------------------------------------------------------------------------------------------------------


def test_a_batch_whose_second_layer_cannot_be_solved() -> None:
    for method, broken, said in (
        ("memit", lambda moment: replace(moment, total=moment.total * 0), "layer 3"),
        ("alphaedit", lambda moment: moment_of(small_model("gpt2"), 3), "uses all directions of the keys of layer 3"),
    ):
        model = small_model("gpt2")
        options = asked(model, method)
        first = edited(model, method, **options)
        moments: dict[int, SecondMoment] = dict(options["moments"])
        moments[3] = broken(moments[3])
        solved: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            low_rank = Projection.low_rank

            def noted(projection: Projection, *factors: torch.Tensor) -> LowRank:
                solved.append(projection.parameter)  # noqa: B023
                return low_rank(projection, *factors)  # noqa: B023

            patch.setattr(Projection, "low_rank", noted)
            with refused(model, NumericalError, said):
                edited(
                    model,
                    method,
                    [replace(fact, target="is near") for fact in FACTS],
                    **{**options, "moments": moments},
                )
        assert solved == [model.down_projection(1).parameter], "the first layer's part was there already"
        assert model.edits == (first,)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("method", METHODS)
def test_a_fault_anywhere_in_an_edit(method: str, kind: str) -> None:
    model = small_model(kind)
    earlier = edited(model, "rome", [FACTS[1]])
    options = asked(model, method)
    facts = [FACT] if method == "rome" else [FACT, FACTS[2]]
    calls, fail_at = [0], [-1]

    def count(*_: object) -> None:
        calls[0] += 1
        if calls[0] == fail_at[0]:
            raise Boom

    for module in model.model.modules():
        module.register_forward_pre_hook(count)
    expected = edited(model, method, facts, apply=False, **options)
    # What the model writes in front of prompts is kept from here on.
    calls[0] = 0
    edited(model, method, facts, apply=False, **options)
    whole = calls[0]
    assert whole > 20
    for share in (0, 0.2, 0.4, 0.6, 0.8, 0.95, 1):
        calls[0], fail_at[0] = 0, max(1, round(share * whole))
        with refused(model, Boom):
            edited(model, method, facts, **options)
    # And afterwards it works, as if nothing had been tried.
    fail_at[0] = -1
    again = edited(model, method, facts, **options)
    assert model.edits == (earlier, again)
    for found, wanted in zip(again.updates, expected.updates, strict=True):
        assert all(torch.equal(value, vars(wanted)[name]) for name, value in vars(found).items() if name in FACTORS)


FACTORS = ("left", "right", "change")
