"""A change of the stack that fails half way, or is interrupted there, changes nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import torch

import factlens as fl
from tests.models.made import Update, bits, same_bits, some_edit, stacked
from tests.support import small_model

Change = Callable[[fl.Model, Update, Update, Update], object]
CHANGES: dict[str, Change] = {
    "apply": lambda model, a, b, c: model.apply(c),
    "undo": lambda model, a, b, c: model.undo(),
    "drop": lambda model, a, b, c: model.undo(a),
    "redo": lambda model, a, b, c: model.redo(),
    "reorder": lambda model, a, b, c: model.reorder([b, a]),
    "set_edits": lambda model, a, b, c: model.set_edits([c, a]),
    "edited": lambda model, a, b, c: model.edited(c).__enter__(),
    "unedited": lambda model, a, b, c: model.unedited().__enter__(),
}


@pytest.mark.parametrize("broken", [1, 2])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_that_fails_half_way_changes_nothing(
    change: Change, broken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model("gpt2", dtype=torch.bfloat16)
    a, b, c = stacked(model)
    before, written = bits(model), []
    copy = torch.Tensor.copy_

    def fails(tensor: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        written.append(tensor)
        done = copy(tensor, *args, **kwargs)
        if len(written) == broken:
            raise RuntimeError("out of memory")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "copy_", fails)
        with pytest.raises(RuntimeError, match="out of memory"):
            change(model, a, b, c)
    assert same_bits(bits(model), before)
    assert (model.edits, model.undone) == ((a, b), (c,))
    # And all of it works as if nothing had been tried.
    model.redo()
    model.undo(a)
    model.undo()
    model.undo()
    assert same_bits(bits(model), bits(small_model("gpt2", dtype=torch.bfloat16)))


def test_an_interrupt_between_two_weights_waits_for_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = small_model("gpt2"), small_model("gpt2")
    edit = some_edit(model, 1, layers=(1, 2))
    copy, asked = torch.Tensor.copy_, []

    def interrupted(tensor: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        done = copy(tensor, *args, **kwargs)
        if not asked:
            asked.append(True)
            signal.raise_signal(signal.SIGINT)
        return done

    # A process that was started in the background ignores the signal, and Python then has no handler for it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "copy_", interrupted)
            with pytest.raises(KeyboardInterrupt):
                model.apply(edit)
    finally:
        signal.signal(signal.SIGINT, before)
    assert asked == [True]
    assert model.edits == (), "a call that raises has done nothing"
    assert same_bits(bits(model), bits(other))
    model.apply(edit)
    other.apply(edit)
    assert same_bits(bits(model), bits(other))
