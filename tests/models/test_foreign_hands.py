"""Others change the model, too: it is noticed before anything is computed or undone, and nothing is lost or mixed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import factlens as fl
from factlens.errors import UnknownArchitecture, WeightsChanged, WrongModel
from tests.editing.made import FACT
from tests.models.hands import (
    ELSEWHERE,
    EVERY,
    FORMATS,
    LAYER,
    ON_THE_WEIGHT,
    Hand,
    another_norm,
    by_an_optimizer,
    in_place,
    through_data,
    weight,
)
from tests.models.made import KINDS, assert_same, bits, same_bits, some_edit, traced
from tests.support import small_model


def anew(model: fl.Model) -> fl.Model:
    """The same Hugging Face model as somebody sees it who has never known another: a copy, newly wrapped."""
    return fl.wrap(copy.deepcopy(model.model), model.tokenizer, name=model.name, family=model.family)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hand", EVERY.values(), ids=EVERY)
def test_an_unedited_model_is_looked_at_again(kind: str, hand: Hand) -> None:
    model = small_model(kind)
    before, old = model.fingerprint, traced(model)
    earlier = some_edit(model, 1)
    earlier.fingerprint = before
    hand(model)
    assert_same(model, anew(model))
    assert model.fingerprint != before
    # What belonged to the old weights does not belong to the new ones.
    with pytest.raises(WrongModel):
        model.apply(earlier)
    with pytest.raises(WrongModel):
        fl.resume(model, old)
    # And the new ones can be edited and are what comes back.
    after = bits(model)
    model.apply(some_edit(model, 2))
    assert not same_bits(bits(model), after)
    model.undo()
    assert same_bits(bits(model), after)


def attempts(model: fl.Model) -> dict[str, Callable[[], object]]:
    """Whatever computes something that is said to be of these weights, or writes to them."""
    trace = traced(model)
    other = some_edit(model, 5)
    return {
        "trace": lambda: traced(model),
        "details": lambda: fl.details(model, trace, "mlp", 3, 2),
        "resume": lambda: fl.resume(model, trace),
        "edit": lambda: fl.edit(model, FACT, method="ft", layers=LAYER, steps=2),
        "apply": lambda: model.apply(other),
        "undo": model.undo,
        "set_edits": lambda: model.set_edits([other]),
        "clear": model.clear,
        "edited": lambda: model.edited(other).__enter__(),
        "unedited": lambda: model.unedited().__enter__(),
        "save": lambda: model.save_pretrained("/nowhere"),
        "fingerprint": lambda: model.fingerprint,
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hand", ON_THE_WEIGHT.values(), ids=ON_THE_WEIGHT)
def test_a_change_under_an_edit_is_an_error_with_two_ways_on(kind: str, hand: Hand) -> None:
    model = small_model(kind)
    unedited, name = bits(model), model.down_projection(LAYER).parameter
    edit, elsewhere = some_edit(model, 1, layers=(LAYER,)), some_edit(model, 2, layers=(3,))
    model.apply(edit)
    model.apply(elsewhere)
    said, trying = bits(model), attempts(model)
    hand(model)
    changed = bits(model)
    for what, attempt in trying.items():
        with pytest.raises(WeightsChanged, match=r"keep_changes\(\).*revert_changes\(\)") as caught:
            attempt()
        assert name in caught.value.parameters, what
        assert name in str(caught.value) or "more" in str(caught.value)
        assert same_bits(bits(model), changed), what
        assert model.edits == (edit, elsewhere), what
    kept = copy.deepcopy(model.model)

    reverted = model.revert_changes()
    assert name in reverted
    assert torch.equal(bits(model)[name], said[name])
    model.undo(edit)
    assert torch.equal(bits(model)[name], unedited[name])
    others = {other: value for other, value in bits(model).items() if other not in reverted}
    assert all(torch.equal(value, changed[other]) for other, value in others.items()), "the rest keeps its change"

    # The other way, from where it was.
    model = small_model(kind)
    model.apply(edit)
    model.apply(elsewhere)
    hand(model)
    folded = model.keep_changes()
    assert edit in folded
    assert same_bits(bits(model), changed)
    assert model.edits == tuple(one for one in (elsewhere,) if one not in folded)
    while model.edits:
        model.undo()
    assert torch.equal(bits(model)[name], changed[name])
    assert_same(model, anew(model))
    assert set(kept.state_dict()) >= set(dict(model.model.named_parameters()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hand", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_change_elsewhere_leaves_the_edit_in_force(kind: str, hand: Hand) -> None:
    model, twin = small_model(kind), small_model(kind)
    edit = some_edit(model, 1, layers=(LAYER,))
    model.apply(edit)
    hand(model)
    hand(twin)
    plain = bits(twin)
    # The same model, edited only now.
    twin.apply(edit)
    assert_same(model, twin)
    assert model.edits == (edit,)
    model.undo()
    assert same_bits(bits(model), plain), "neither the edit nor the change is left or lost"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hand", FORMATS.values(), ids=FORMATS)
def test_another_number_format_is_followed(kind: str, hand: Hand) -> None:
    model, twin = small_model(kind), small_model(kind)
    edits = [some_edit(model, seed, layers=(LAYER, 2)) for seed in range(2)]
    for edit in edits:
        model.apply(edit)
    hand(model)
    hand(twin)
    plain = bits(twin)
    for edit in edits:
        twin.apply(edit)
    assert_same(model, twin)
    model.undo(edits[0])
    model.undo()
    assert same_bits(bits(model), plain)


def test_a_format_and_a_change_at_once_are_not_taken_for_a_format() -> None:
    model = small_model("gpt2")
    model.apply(some_edit(model, 1))
    model.model.half()
    weight(model).data[0, 0] += 1
    with pytest.raises(WeightsChanged):
        model.undo()
    model.revert_changes()
    assert weight(model).dtype == torch.float32, "what the edit says, it says in the format that it was made in"


def test_nothing_to_keep_or_revert_is_nothing() -> None:
    model = small_model("gpt2")
    edit = some_edit(model, 1)
    model.apply(edit)
    before = bits(model)
    assert model.keep_changes() == ()
    assert model.revert_changes() == ()
    assert model.edits == (edit,)
    assert same_bits(bits(model), before)


def test_a_weight_of_another_shape_can_only_be_kept() -> None:
    model = small_model("gpt2")
    model.apply(some_edit(model, 1))
    wide = model.down_projection(LAYER).linear
    wide.weight = nn.Parameter(torch.zeros(wide.weight.shape[0], wide.weight.shape[1] + 1))
    with pytest.raises(WeightsChanged, match=r"another shape now.*keep_changes"):
        model.revert_changes()
    assert len(model.edits) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_no_longer_fits_is_refused_as_at_load(kind: str) -> None:
    model = small_model(kind)
    block = model.model.get_submodule(model.family.blocks)[2]
    good = getattr(block, model.family.mlp)
    setattr(block, model.family.mlp, nn.Sequential(good, nn.Linear(model.width, model.width + 1)))
    for _ in range(2):
        with pytest.raises(UnknownArchitecture):
            traced(model)
    setattr(block, model.family.mlp, good)
    assert traced(model).complete


def test_a_change_in_the_middle_of_a_trace_leaves_no_cell_that_may_be_wrong() -> None:
    for hand in (through_data, in_place, another_norm):
        model = small_model("gpt2")
        updates = fl.stream(model, FACT, samples=2, corruption=fl.Noise(level=0.3), memory=1)
        trace = next(updates).trace
        known = np.isfinite(trace.samples.values)
        for _ in range(4):
            next(updates)
        hand(model)
        with pytest.raises(WeightsChanged, match=r"while it was being traced.*Trace again"):
            list(updates)
        # The look before the change has made sure of some; no others are left.
        whole = fl.trace(small_model("gpt2"), FACT, samples=2, corruption=fl.Noise(level=0.3))
        left = np.isfinite(trace.samples.values)
        assert known.sum() <= left.sum() < left.size
        np.testing.assert_allclose(trace.samples.values[left], whole.samples.values[left], atol=1e-6)


def test_a_change_in_the_middle_of_an_edit_makes_no_edit() -> None:
    model = small_model("gpt2")
    before = bits(model)

    def progress(_step: str, share: float) -> None:
        if share > 0.5:
            through_data(model)

    with pytest.raises(WeightsChanged, match=r"while it was being edited.*Edit again"):
        fl.edit(model, FACT, method="ft", layers=2, steps=4, stop_loss=0.0, progress=progress)
    assert model.edits == ()
    assert all(torch.equal(value, before[name]) for name, value in bits(model).items() if f".{LAYER}.mlp" not in name)


def test_a_change_inside_a_block_is_not_overwritten_at_its_end() -> None:
    model = small_model("gpt2")
    edit = some_edit(model, 1)
    with pytest.raises(WeightsChanged, match="keep_changes"), model.edited(edit):
        through_data(model)
    assert model.edits == (edit,), "both ways on are open"
    model.revert_changes()
    model.undo()
    assert same_bits(bits(model), bits(small_model("gpt2")))


def test_training_between_traces_is_followed_step_by_step() -> None:
    model = small_model("llama")
    seen = {model.fingerprint}
    for _ in range(3):
        by_an_optimizer(model)
        trace = traced(model)
        assert trace.fingerprint == model.fingerprint
        assert trace.fingerprint not in seen
        seen.add(trace.fingerprint)


def test_the_identity_covers_every_value_of_every_parameter() -> None:
    model = small_model("gpt2")
    known = model.fingerprint
    for name, parameter in model.model.named_parameters():
        flat = parameter.data.view(-1)
        for place in {0, len(flat) // 2, len(flat) - 1}:
            old = flat[place].clone()
            flat[place] = torch.nextafter(old, old + 1)
            assert model.fingerprint != known, (name, place)
            flat[place] = old
            assert model.fingerprint == known, (name, place)


def test_equal_models_are_equal_whatever_they_are_called() -> None:
    one, other = small_model("gpt2"), small_model("gpt2")
    again = fl.wrap(other.model, other.tokenizer, name="another name")
    assert one.fingerprint == other.fingerprint == again.fingerprint
    edit = some_edit(one, 1)
    edit.fingerprint, edit.model = one.fingerprint, one.name
    again.apply(edit)
    assert other.edits == (edit,)
