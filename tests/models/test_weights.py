"""The stack of edits: W0 plus a sum, and the very bits of W0 back."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
import torch

import factlens as fl
from factlens.errors import NumericalError, WeightsChanged, WrongModel
from factlens.models import LowRank
from factlens.models.weights import EditStack
from tests.support import small_model


class Update:
    """The least an edit can be."""

    def __init__(self, *updates: LowRank) -> None:
        self.updates = updates


def some_edit(model: fl.Model, seed: int, layers: tuple[int, ...] = (1,)) -> Update:
    generator = torch.Generator().manual_seed(seed)
    updates = []
    for layer in layers:
        projection = model.down_projection(layer)
        value, key = (torch.randn(n, generator=generator) for n in (model.width, projection.key_width))
        updates.append(projection.rank_one(value, key))
    return Update(*updates)


def bits(model: fl.Model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.model.named_parameters()}


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name].view(torch.uint8), b[name].view(torch.uint8)) for name in a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_three_edits_undone_in_any_order(order: tuple[int, ...], dtype: torch.dtype) -> None:
    model = small_model("gpt2", dtype=dtype)
    before = bits(model)
    edits = [some_edit(model, seed) for seed in range(3)]
    for edit in edits:
        model.apply(edit)
    assert not same_bits(bits(model), before)
    for i in order:
        model.undo(edits[i])
    assert same_bits(bits(model), before)
    assert model.edits == ()


def test_what_is_left_after_an_undo_is_what_the_rest_alone_would_be() -> None:
    model, other = small_model("gpt2"), small_model("gpt2")
    edits = [some_edit(model, seed, layers=(seed, 2)) for seed in range(3)]
    for edit in edits:
        model.apply(edit)
    model.undo(edits[1])
    other.apply(edits[0])
    other.apply(edits[2])
    assert same_bits(bits(model), bits(other))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_two_hundred_random_applies_and_undos(kind: str) -> None:
    model, random = small_model(kind, dtype=torch.bfloat16), Random(0)
    before = bits(model)
    for seed in range(200):
        if model.edits and random.random() < 0.5:
            model.undo(random.choice(model.edits))
        else:
            model.apply(some_edit(model, seed, layers=(random.randrange(model.n_layers),)))
    while model.edits:
        model.undo()
    assert same_bits(bits(model), before)


def test_the_sum_is_the_matrix_product_in_either_layout() -> None:
    for kind in ("gpt2", "llama"):
        model = small_model(kind)
        projection = model.down_projection(1)
        before = projection.weight.detach().clone()
        value, key = torch.randn(model.width), torch.randn(projection.key_width)
        model.apply(Update(projection.rank_one(value, key)))
        added = projection.weight.detach() - before
        added = added.T if projection.transposed else added
        torch.testing.assert_close(added @ key, value * (key @ key), rtol=1e-4, atol=1e-4)


def test_blocks_put_everything_back() -> None:
    model = small_model("gpt2")
    first, second = some_edit(model, 1), some_edit(model, 2)
    clean = bits(model)
    model.apply(first)
    one = bits(model)
    with model.edited(second):
        assert model.edits == (first, second)
        with model.unedited():
            assert same_bits(bits(model), clean)
        with model.without(first):
            assert model.edits == (second,)
    assert same_bits(bits(model), one)
    with pytest.raises(RuntimeError, match="from inside"), model.edited(second):
        raise RuntimeError("from inside")
    assert same_bits(bits(model), one)


def test_a_refused_edit_changes_nothing() -> None:
    model = small_model("gpt2")
    good = some_edit(model, 1)
    model.apply(good)
    before = bits(model)
    projection = model.down_projection(2)
    fitting = projection.rank_one(torch.ones(model.width), torch.ones(projection.key_width))
    for bad, error in [
        (LowRank("no.such.weight", fitting.left, fitting.right), WrongModel),
        (LowRank(projection.parameter, fitting.left[:5], fitting.right), WrongModel),
        (LowRank(projection.parameter, fitting.left * float("nan"), fitting.right), NumericalError),
    ]:
        with pytest.raises(error):
            model.apply(Update(fitting, bad))
        assert same_bits(bits(model), before)
        assert model.edits == (good,)
    with pytest.raises(ValueError, match="already applied"):
        model.apply(good)


def test_nothing_to_undo_is_said() -> None:
    model = small_model("gpt2")
    with pytest.raises(ValueError, match="nothing to undo"):
        model.undo()
    model.apply(some_edit(model, 1))
    with pytest.raises(ValueError, match="not applied"):
        model.undo(some_edit(model, 2))


def test_weights_changed_behind_our_back_are_not_overwritten() -> None:
    model = small_model("gpt2")
    model.apply(some_edit(model, 1))
    with torch.no_grad():
        model.down_projection(1).weight.add_(1)
    changed = bits(model)
    with pytest.raises(WeightsChanged, match="changed outside"):
        model.undo()
    assert same_bits(bits(model), changed)


def test_the_fingerprint_names_the_unedited_weights() -> None:
    model, same, other = small_model("gpt2"), small_model("gpt2"), small_model("gpt2", seed=1)
    model.apply(some_edit(model, 1))
    assert model.fingerprint == same.fingerprint != other.fingerprint


def test_a_stack_of_no_edits_keeps_no_copies() -> None:
    model = small_model("gpt2")
    stack = EditStack(model.model)
    edit = some_edit(model, 1)
    stack.push(edit)
    stack.remove(0)
    assert stack._originals == {}
