"""One record per Hugging Face model: whoever wraps it sees the same edits, waits for the same lock, hears the same."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

import factlens as fl
from factlens.errors import FactlensError, WeightsChanged
from factlens.models.record import ModelEvent, record_of
from tests.editing.made import FACT
from tests.models.hands import through_data
from tests.models.made import bits, same_bits, some_edit, traced
from tests.support import small_model


def twice() -> tuple[fl.Model, fl.Model]:
    """Two wrappers of one model."""
    one = small_model("gpt2")
    return one, fl.wrap(one.model, one.tokenizer, name="the other")


def test_two_wrappers_share_one_stack() -> None:
    one, other = twice()
    before = bits(one)
    a, b, c = (some_edit(one, seed) for seed in range(3))
    one.apply(a)
    other.apply(b)
    assert one.edits == other.edits == (a, b)
    with pytest.raises(ValueError, match="already applied"):
        other.apply(a)
    one.apply(c)
    assert other.undo() is c
    assert one.undone == other.undone == (c,)
    assert one.redo() is c
    other.undo(a)
    assert one.edits == other.edits == (b, c)
    assert one.fingerprint == other.fingerprint
    assert one.edit_ids == other.edit_ids
    with other.unedited():
        assert one.edits == ()
        assert same_bits(bits(one), before)
    other.clear()
    assert one.edits == ()
    assert same_bits(bits(one), before)


def test_a_wrapper_of_an_edited_model_knows_its_edits() -> None:
    one = small_model("gpt2")
    before, fingerprint = bits(one), one.fingerprint
    edit = some_edit(one, 1)
    one.apply(edit)
    module, tokenizer = one.model, one.tokenizer
    del one
    gc.collect()
    again = fl.wrap(module, tokenizer)
    assert again.edits == (edit,)
    assert again.fingerprint == fingerprint
    again.undo()
    assert same_bits(bits(again), before)


def test_two_wrappers_share_one_lock() -> None:
    one, other = twice()
    order: list[str] = []

    def wait() -> None:
        with other.exclusive():
            order.append("other")

    with one.exclusive():
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        order.append("one")
    thread.join(10)
    assert order == ["one", "other"]


def test_a_record_keeps_no_model_alive() -> None:
    one, other = twice()
    module, record = weakref.ref(one.model), weakref.ref(record_of(one.model))
    one.apply(some_edit(one, 1))
    traced(one)
    heard: list[ModelEvent] = []
    one.listen(heard.append)
    other.undo()
    assert len(heard) == 1
    del one, other
    gc.collect()
    assert module() is None
    assert record() is None


class Listener:
    """Hears what happens to a model."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...], str | None]] = []

    def hear(self, event: ModelEvent) -> None:
        self.heard.append((event.what, event.edits, event.origin))


def test_everything_that_happens_is_told() -> None:
    one, other = twice()
    listener = Listener()
    other.listen(listener.hear)
    a, b = (some_edit(one, seed) for seed in range(2))

    def told() -> list[tuple[str, tuple[Any, ...], str | None]]:
        new, listener.heard = listener.heard, []
        return new

    one.apply(a, origin="a lens")
    assert told() == [("applied", (a,), "a lens")]
    assert (one.origin_of(a), one.origin_of(b)) == ("a lens", None)
    one.apply(b)
    one.undo(origin="a lens")
    one.redo()
    assert one.origin_of(b) is None
    one.reorder([b, a])
    assert told() == [
        ("applied", (b,), None),
        ("undone", (b,), "a lens"),
        ("redone", (b,), None),
        ("reordered", (b, a), None),
    ]
    one.set_edits([a])
    assert one.origin_of(a) == "a lens", "what stays is from where it was"
    one.set_edits([a])
    one.clear()
    assert told() == [("replaced", (a,), None), ("cleared", (), None)], "nothing happened the second time"
    with one.edited(a):
        pass
    assert told() == [], "a block leaves nothing to be told"
    through_data(one)
    traced(one)
    assert [what for what, *_ in told()] == ["changed outside"]
    one.model.resize_token_embeddings(400, mean_resizing=False)
    traced(one)
    assert [what for what, *_ in told()] == ["changed outside", "looked at again"]
    one.apply(a)
    through_data(one)
    with pytest.raises(WeightsChanged):
        one.undo()
    one.revert_changes()
    through_data(one)
    one.keep_changes()
    assert [what for what, *_ in told()] == ["applied", "reverted", "kept"]
    other.forget(listener.hear)
    one.apply(b)
    assert told() == []


def test_what_fails_is_told_as_brought_back() -> None:
    model = small_model("gpt2")
    heard: list[tuple[str, tuple[Any, ...]]] = []

    def broken(event: ModelEvent) -> None:
        heard.append((event.what, model.edits))
        if event.what == "applied":
            raise KeyboardInterrupt

    model.listen(broken)
    with pytest.raises(KeyboardInterrupt):
        model.apply(some_edit(model, 1))
    assert model.edits == ()
    assert [what for what, _ in heard] == ["applied", "brought back"]
    assert heard[-1][1] == (), "whoever listens knows how it ended"


def test_a_listener_that_fails_stops_nobody() -> None:
    model = small_model("gpt2")
    heard: list[ModelEvent] = []

    def broken(_event: ModelEvent) -> None:
        raise RuntimeError("a bug")

    model.listen(broken)
    model.listen(heard.append)
    edit = some_edit(model, 1)
    with pytest.warns(UserWarning, match="a bug"):
        model.apply(edit)
    assert model.edits == (edit,)
    assert len(heard) == 1


def test_a_listener_is_held_weakly() -> None:
    model, listener = small_model("gpt2"), Listener()
    model.listen(listener.hear)
    gone = weakref.ref(listener)
    del listener
    gc.collect()
    assert gone() is None
    model.apply(some_edit(model, 1))


def test_equal_content_is_the_same_edit() -> None:
    model = small_model("gpt2")
    edit, same = some_edit(model, 1), some_edit(model, 1)
    model.apply(edit)
    with pytest.raises(ValueError, match="already applied"):
        model.apply(same)
    assert model.undo(same) is edit
    model.set_edits([edit, some_edit(model, 2)])
    model.set_edits([same])
    assert model.edits == (edit,)
    with pytest.raises(ValueError, match="named twice"):
        model.set_edits([edit, same])
    with model.without(same):
        assert model.edits == ()


def test_a_copy_has_weights_and_edits_of_its_own() -> None:
    model = small_model("gpt2")
    edit = some_edit(model, 1)
    clean = bits(model)
    model.apply(edit)
    twin = copy.deepcopy(model)
    assert twin.model is not model.model
    assert (twin.edits, twin.fingerprint, twin.name) == (model.edits, model.fingerprint, model.name)
    assert same_bits(bits(twin), bits(model))
    twin.undo()
    assert same_bits(bits(twin), clean)
    assert model.edits == (edit,)
    assert traced(twin).edits == ()
    copied = copy.deepcopy(model.model)
    assert fl.wrap(copied, model.tokenizer).edits == (), "a copy of the bare model is a model, edits and all"


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_model_cannot_be_pickled_and_says_what_can(protocol: int) -> None:
    model = small_model("gpt2")
    with pytest.raises(FactlensError, match=r"model\.model.*save_pretrained"):
        pickle.dumps(model, protocol=protocol)
    pickle.dumps(model.model, protocol=protocol)


def test_many_threads_and_wrappers_at_once_leave_the_weights_right() -> None:
    one, other = twice()
    clean = bits(one)
    edits = [some_edit(one, seed) for seed in range(4)]
    errors: list[BaseException] = []

    def work(model: fl.Model, mine: Any) -> None:
        try:
            for _ in range(10):
                model.apply(mine)
                assert mine in model.edits
                with model.without(mine):
                    assert mine not in model.edits
                model.undo(mine)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=((one, other)[i % 2], edit)) for i, edit in enumerate(edits)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert one.edits == ()
    assert same_bits(bits(one), clean)


def test_a_fact_is_edited_through_either_wrapper() -> None:
    one, other = twice()
    made = fl.edit(one, FACT, method="ft", layers=2, steps=3)
    assert other.edits == (made,)
    assert traced(other).edit_ids == (made.id,)
    with torch.no_grad():
        other.undo()
    assert one.edits == ()


@pytest.mark.parametrize("wrong", ["x", None, 3, object(), [1]])
def test_what_is_no_edit_is_refused_by_name(wrong: Any) -> None:
    model = small_model("gpt2")
    edit = some_edit(model, 1)
    model.apply(edit)
    calls: list[Callable[[], object]] = [
        lambda: model.apply(wrong),
        lambda: model.drop(wrong),
        lambda: model.set_edits([wrong]),
        lambda: model.set_edits(wrong),
        lambda: model.reorder([wrong]),
        lambda: model.edited(wrong).__enter__(),
        lambda: model.without(wrong).__enter__(),
    ]
    for call in calls:
        if wrong is None and call is calls[1]:
            continue  # undo(None) is the newest
        with pytest.raises(FactlensError, match="edit"):
            call()
        assert model.edits == (edit,)
