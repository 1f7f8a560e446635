"""What a model tells those who listen, and what views read of it: the stack that lasts, on any thread."""

from __future__ import annotations

import copy
import gc
import hashlib
import threading
import weakref
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

import factlens as fl
from factlens.errors import Interrupted, WeightsChanged
from factlens.models.belonging import ids_of
from factlens.models.record import ModelEvent
from tests.support import other_thread_has, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower")


def made(model: fl.Model, target: str, layer: int = 1) -> fl.Edit:
    options = {"method": "ft", "layers": layer, "steps": 1, "apply": False}
    return fl.edit(model, FACT.with_target(target), **options)


class Listener:
    """Keeps what it hears, and what the model's stack was then."""

    def __init__(self, model: fl.Model) -> None:
        self.model = model
        self.heard: list[str] = []
        self.seen: tuple[str, ...] = ids_of(model.stack.edits)
        model.listen(self.hear)

    def hear(self, event: ModelEvent) -> None:
        self.heard.append(event.what)
        self.seen = ids_of(self.model.stack.edits)


BLOCKS: dict[str, Callable[[fl.Model, fl.Edit], object]] = {
    "edited": lambda model, edit: model.edited(edit),
    "unedited": lambda model, _: model.unedited(),
    "without": lambda model, _: model.without(model.edits[0]),
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("inside", ["nothing", "changes", "an error", "an interrupt", "another block"])
def test_what_is_for_a_block_only_is_not_shown(name: str, inside: str) -> None:
    model = small_model("gpt2")
    first, other, third = (made(model, target) for target in ("Rome", "Oslo", "Cairo"))
    model.apply(first)
    listener = Listener(model)
    shown = []
    error = {"an error": ValueError, "an interrupt": KeyboardInterrupt}.get(inside)
    try:
        with BLOCKS[name](model, other):  # type: ignore[attr-defined]
            assert model.edit_ids != (first.id,)
            shown.append(ids_of(model.stack.edits))
            if inside == "changes":
                model.apply(third)
                if len(model.edits) > 1:
                    model.undo(model.edits[0])
                shown.append(ids_of(model.stack.edits))
            elif inside == "another block":
                with model.unedited():
                    model.apply(third)
                    shown.append(ids_of(model.stack.edits))
            elif error:
                raise error
    except (ValueError, KeyboardInterrupt):
        assert error
    assert set(shown) == {(first.id,)}
    assert listener.seen == model.edit_ids == (first.id,)


@pytest.mark.parametrize("change", ["apply", "undo", "redo", "drop", "reorder", "set_edits", "clear"])
def test_a_change_that_is_interrupted_while_it_is_told_is_taken_back_for_everybody(change: str) -> None:
    model = small_model("gpt2")
    first, second, third = (made(model, target) for target in ("Rome", "Oslo", "Cairo"))
    for edit in (first, second, third):
        model.apply(edit)
    model.undo()
    before, early = model.stack, Listener(model)

    def strike(_event: ModelEvent) -> None:
        model.forget(strike)
        raise KeyboardInterrupt

    model.listen(strike)
    late = Listener(model)
    with pytest.raises(KeyboardInterrupt):
        {
            "apply": lambda: model.apply(third),
            "undo": model.undo,
            "redo": model.redo,
            "drop": lambda: model.undo(first),
            "reorder": lambda: model.reorder([second, first]),
            "set_edits": lambda: model.set_edits([third]),
            "clear": model.clear,
        }[change]()
    assert model.stack is before
    for listener in (early, late):
        assert (listener.heard[-1], listener.seen) == ("brought back", (first.id, second.id))


def test_an_edit_that_fails_after_it_was_told_is_taken_back_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    listener = Listener(model)
    real = model.apply

    def interrupted(edit: fl.Edit) -> None:
        real(edit)
        # As if it struck where no line of ours is left to put things right: only what `settled` knows is left then.
        monkeypatch.setattr("factlens.models.settling.Stay.end", lambda *_args, **_options: None)
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fl.edit(model, FACT.with_target("Rome"), method="ft", layers=1, steps=1)
    assert model.edits == ()
    assert listener.heard == ["applied", "brought back"]
    assert listener.seen == ()


def test_another_thread_reads_the_stack_that_lasts() -> None:
    model = small_model("gpt2")
    edit = made(model, "Rome")
    model.apply(edit)
    with other_thread_has(model, unedited=True):
        assert model.stack.edits == model.edits == (edit,), "what others do for a block is their own business"
        assert model.edit_ids == (edit.id,)
        assert "Rome" in repr(model)
    assert model.stack.edits == model.edits == (edit,)


def test_anything_that_can_be_called_may_listen_and_methods_are_held_weakly() -> None:
    model = small_model("gpt2")
    events: list[ModelEvent] = []
    model.listen(events.append)
    listener = Listener(model)
    gone = weakref.ref(listener)
    model.apply(made(model, "Rome"))
    del listener
    gc.collect()
    assert gone() is None
    model.undo()
    assert [event.what for event in events] == ["applied", "undone"]
    model.forget(events.append)
    model.redo()
    assert len(events) == 2


def test_a_change_that_was_taken_is_told_also_where_another_one_cannot_be() -> None:
    model = small_model("gpt2")
    model.apply(made(model, "Rome", layer=1))
    listener, before = Listener(model), model.known_fingerprint
    for layer in (1, 3):
        model.down_projection(layer).weight.data.add_(0.5)
    with pytest.raises(WeightsChanged):
        fl.trace(model, FACT, samples=1)
    assert model.known_fingerprint != before
    assert listener.heard == ["changed outside"]


def test_a_view_that_reads_the_fingerprint_during_a_change_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another thread may ask at any moment: what it has begun to read before a change is not what is said after it."""
    model = small_model("gpt2")
    weight = model.down_projection(1).weight
    weight.data.add_(0.5)
    model._record.look(full=True)

    class Slow:
        """A digest of what the weights were, that is ready when they are others already."""

        def __init__(self) -> None:
            self._real = hashlib.sha256()
            self.update = self._real.update

        def hexdigest(self) -> str:
            monkeypatch.undo()
            weight.data.add_(0.5)
            model._record.look(full=True)
            return self._real.hexdigest()

    monkeypatch.setattr("factlens.models.identity.hashlib", SimpleNamespace(sha256=Slow))
    early = model.known_fingerprint
    assert model.known_fingerprint == fl.wrap(copy.deepcopy(model.model), model.tokenizer).fingerprint != early


def test_whoever_settles_a_foreign_change_can_stop_waiting() -> None:
    model = small_model("gpt2")
    stop = threading.Event()
    stop.set()
    with other_thread_has(model):
        for settle in (model.keep_changes, model.revert_changes):
            with pytest.raises(Interrupted):
                settle(stop=stop)


# The original weights without writing them ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_original_weights_are_met_by_this_thread_alone_and_nothing_is_written(kind: str) -> None:
    model = small_model(kind)
    original = model.next_token(FACT.prompt)
    for layer, target in ((1, "Rome"), (1, "Oslo"), (3, "Cairo")):
        model.apply(made(model, target, layer))
    edited = model.next_token(FACT.prompt)
    versions = [parameter._version for parameter in model.model.parameters()]
    ids, found = torch.tensor([model.encode(FACT).ids]), []

    def call_it() -> None:
        with torch.no_grad():
            found.append(model.model(input_ids=ids, logits_to_keep=1).logits[0, -1].softmax(-1))

    with model.as_original():
        assert torch.equal(model.next_token(FACT.prompt), original), "bit for bit"
        other = threading.Thread(target=call_it)
        other.start()
        other.join(20)
        assert model.edits, "they are in force all the while"
        with model.as_original():
            assert torch.equal(model.next_token(FACT.prompt), original)
        with pytest.raises(ValueError, match="mine"), model.as_original():
            raise ValueError("mine")
        assert torch.equal(model.next_token(FACT.prompt), original)
    assert torch.equal(found[0], edited)
    assert torch.equal(model.next_token(FACT.prompt), edited)
    assert [parameter._version for parameter in model.model.parameters()] == versions
    assert not any("forward" in module.__dict__ for module in model.model.modules())


def test_where_a_forward_cannot_be_stood_in_for_the_original_weights_are_written() -> None:
    model = small_model("gpt2")
    original = model.next_token(FACT.prompt)
    model.apply(made(model, "Rome"))
    edited, linear = model.next_token(FACT.prompt), model.down_projection(1).linear
    linear.forward = forward = type(linear).forward.__get__(linear)  # as accelerate does it
    with model.as_original():
        assert torch.equal(model.next_token(FACT.prompt), original)
    assert torch.equal(model.next_token(FACT.prompt), edited)
    assert linear.forward is forward
