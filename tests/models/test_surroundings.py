"""What surrounds a call (autocast, inference mode, default devices and formats) changes no bit of its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch

import factlens as fl
from tests.editing.made import FACT, moment_of
from tests.models.made import (
    KINDS,
    METHODS,
    bits,
    edited,
    same_bits,
    some_edit,
)
from tests.support import small_model
from tests.tracing.faults import assert_unchanged, state_of


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
    expected = fl.trace(plain, FACT, samples=2, estimate="attribution_patching", kinds=("state", "mlp", "head"))
    answers = plain.answers(FACT.prompt)
    report = fl.evaluate(plain, edited(plain, "ft", apply=False), fl.Checks.of(FACT, "Rome")).to_dataframe()
    before = state_of(model)
    with around():
        found = fl.trace(model, FACT, samples=2, estimate="attribution_patching", kinds=("state", "mlp", "head"))
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
