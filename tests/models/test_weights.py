"""What an edit writes to weights, and which weights are not written to."""

from __future__ import annotations

import pytest
import torch

from factlens.errors import NumericalError, QuantizedModel, WeightsChanged, WrongModel
from factlens.models import Dense, LowRank
from factlens.models.identity import Inventory
from factlens.models.weights import EditStack
from tests.models.made import Update, bits, same_bits, some_edit
from tests.support import small_model


def test_the_sum_is_the_matrix_product_in_either_layout() -> None:
    for kind in ("gpt2", "llama"):
        model = small_model(kind)
        projection = model.down_projection(1)
        before = projection.weight.detach().clone()
        value, key = torch.randn(model.width), torch.randn(projection.key_width)
        model.apply(Update(projection.low_rank(value[:, None], key[None])))
        added = projection.weight.detach() - before
        added = added.T if projection.transposed else added
        torch.testing.assert_close(added @ key, value * (key @ key), rtol=1e-4, atol=1e-4)


def test_a_refused_edit_changes_nothing() -> None:
    model = small_model("gpt2")
    good = some_edit(model, 1)
    model.apply(good)
    before = bits(model)
    projection = model.down_projection(2)
    fitting = projection.low_rank(torch.ones(model.width, 1), torch.ones(1, projection.key_width))
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


def test_weights_changed_behind_our_back_are_not_overwritten() -> None:
    model = small_model("gpt2")
    model.apply(some_edit(model, 1))
    with torch.no_grad():
        model.down_projection(1).weight.add_(1)
    changed = bits(model)
    with pytest.raises(WeightsChanged, match="changed outside"):
        model.undo()
    assert same_bits(bits(model), changed)


def test_a_parameter_that_was_replaced_by_its_equal_is_written_like_it() -> None:
    model = small_model("gpt2")
    before = bits(model)
    model.apply(some_edit(model, 1))
    module = model.down_projection(1).module
    module.weight = torch.nn.Parameter(module.weight.detach().clone())
    model.apply(some_edit(model, 2))
    model.undo()
    model.undo()
    assert same_bits(bits(model), before)


def test_a_parameter_that_was_replaced_by_another_is_not_written() -> None:
    model = small_model("gpt2")
    model.apply(some_edit(model, 1))
    module = model.down_projection(1).module
    module.weight = torch.nn.Parameter(2 * module.weight.detach())
    changed = bits(model)
    for change in (model.undo, lambda: model.apply(some_edit(model, 2))):
        with pytest.raises(WeightsChanged, match=r"h\.1\.mlp\.c_proj\.weight.*keep_changes.*revert_changes"):
            change()
    assert same_bits(bits(model), changed)
    assert len(model.edits) == 1


def test_why_a_sum_is_not_finite_is_said() -> None:
    model = small_model("gpt2", dtype=torch.float16)
    projection = model.down_projection(1)

    def by(value: float) -> Update:
        return Update(Dense(projection.parameter, torch.full(projection.weight.shape, value)))

    with pytest.raises(NumericalError, match=r"as large as 7e\+04, but float16 ends at 6.55e\+04.*'bfloat16'"):
        model.apply(by(7e4))
    with pytest.raises(NumericalError, match="would write NaN or infinity"):
        model.apply(by(float("nan")))
    # Two edits that each fit, and their sum does not; without the one that makes up for it, the rest does not either.
    model.apply(by(-4e4))
    model.apply(by(4e4))
    model.apply(by(3.9e4))
    full = bits(model)
    with pytest.raises(NumericalError, match="float16 ends"):
        model.undo(model.edits[0])
    assert same_bits(bits(model), full)
    assert (len(model.edits), model.undone) == (3, ())
    while model.edits:
        model.undo()
    with torch.no_grad():
        projection.weight[0, 0] = float("inf")
    with pytest.raises(NumericalError, match="holds NaN or infinity without any edit"):
        model.apply(by(1.0))


class Packed(torch.Tensor):
    """As torchao does it: a tensor of a class of its own, which shows the number format it stands for."""


def test_weights_that_cannot_be_changed_are_refused() -> None:
    model = small_model("llama")
    edit = some_edit(model, 1)
    weight = model.down_projection(1).weight.detach()
    with torch.inference_mode():
        made_there = weight.clone()
    odd = {
        "not in memory": weight.to("meta"),
        "quantised": weight.to(torch.int8),
        "float8_e4m3fn": weight.to(torch.float8_e4m3fn),
        "in a Packed": weight.clone().as_subclass(Packed),
        "inference_mode": made_there,
    }
    for message, tensor in odd.items():
        other = small_model("llama")
        other.down_projection(1).module.weight = torch.nn.Parameter(tensor, requires_grad=False)
        stack = EditStack(Inventory(other.model))
        with pytest.raises(QuantizedModel, match=message):
            stack.push(edit)
        assert stack.edits == ()
        # Another layer's weight is as good as ever.
        stack.push(some_edit(model, 1, layers=(2,)))


@pytest.mark.parametrize("where", [torch.no_grad, torch.inference_mode])
def test_edits_in_a_block_without_gradients(where: type) -> None:
    model = small_model("gpt2")
    before, edits = bits(model), [some_edit(model, seed) for seed in range(2)]
    with where():
        model.apply(edits[0])
    model.apply(edits[1])
    with where():
        model.undo(edits[0])
    model.undo()
    assert same_bits(bits(model), before)
    assert all(p.requires_grad and p.grad_fn is None for p in model.model.parameters())


def test_an_edit_for_another_number_format_says_so() -> None:
    model, other = small_model("gpt2"), small_model("gpt2", dtype=torch.bfloat16)
    edit = some_edit(model, 1)
    edit.model, edit.fingerprint = model.name, model.fingerprint
    with pytest.raises(WrongModel, match=rf"{model.fingerprint}.*{other.fingerprint}.*mind the revision"):
        other.apply(edit)
    with pytest.raises(WrongModel, match="belongs to 'small gpt2'"), other.edited(edit):
        pass
    model.apply(edit)


def test_the_fingerprint_names_the_unedited_weights() -> None:
    model, same, other = small_model("gpt2"), small_model("gpt2"), small_model("gpt2", seed=1)
    model.apply(some_edit(model, 1))
    assert model.fingerprint == same.fingerprint != other.fingerprint


def test_a_stack_of_no_edits_keeps_no_copies() -> None:
    model = small_model("gpt2")
    stack = EditStack(Inventory(model.model))
    edit = some_edit(model, 1)
    stack.push(edit)
    stack.remove(0)
    assert stack._originals == {}
