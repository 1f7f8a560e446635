"""Whatever goes wrong in the middle of a trace, and whenever: the user's model is left exactly as it was."""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.errors import Interrupted
from factlens.tracing import engine, growing, starting
from factlens.tracing.estimates import ESTIMATES
from tests.support import other_thread_has, small_model
from tests.tracing.faults import (
    ASKED,
    Boom,
    Counter,
    Stop,
    assert_partial,
    assert_same_numbers,
    assert_unchanged,
    locked,
    press,
    state_of,
)
from tests.tracing.made import FACT


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> fl.Model:
    """A model as somebody left it who was training part of it: dropout on, some parts in eval mode, one frozen."""
    config = {"gpt2": {"resid_pdrop": 0.5, "embd_pdrop": 0.5}, "llama": {"attention_dropout": 0.5}}
    model = small_model(request.param, **config[request.param])
    model.model.train()
    model.blocks[1].eval()
    next(model.blocks[2].parameters()).requires_grad_(False)
    model.blocks[0].register_forward_hook(lambda *_: None)
    model.blocks[3].register_full_backward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_a_trace_leaves_the_model_as_it_was(model: fl.Model, asked: dict[str, Any]) -> None:
    before = state_of(model)
    first = fl.trace(model, FACT, estimate="attribution_patching", **asked)
    assert first.complete
    assert_unchanged(model, before)
    with torch.no_grad():
        off = state_of(model)
        assert_same_numbers(fl.trace(model, FACT, estimate="attribution_patching", **asked), first)
        assert_unchanged(model, off)


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("error", [Boom, Stop])
def test_a_fault_in_any_module(model: fl.Model, asked: dict[str, Any], error: type[BaseException]) -> None:
    whole = fl.trace(model, FACT, estimate="attribution_patching", **asked)
    counter = Counter(model)
    before = state_of(model)
    counter.arm(None, error)
    assert_same_numbers(fl.trace(model, FACT, estimate="attribution_patching", **asked), whole)
    calls = counter.names
    # Embedding, first and last block, head: once early (both runs), once in the middle, once late (the last sweeps).
    family = model.family
    named = (family.embedding, family.head, f"{family.blocks}.0", f"{family.blocks}.{model.n_layers - 1}", family.norm)
    places = {0, len(calls) - 1, *np.linspace(0, len(calls) - 1, 12).astype(int).tolist()}
    for name in named:
        found = [i for i, called in enumerate(calls) if called == name]
        assert found, name
        places |= {found[0], found[len(found) // 2], found[-1]}
    partials = []
    for place in sorted(places):
        counter.arm(place, error)
        with pytest.raises(error if error is Boom else Interrupted) as caught:
            fl.trace(model, FACT, estimate="attribution_patching", **asked)
        assert len(counter.names) == place + 1
        assert_unchanged(model, before, f"after call {place}, {calls[place]}")
        if isinstance(caught.value, Interrupted):
            assert isinstance(caught.value.__cause__, Stop)
            assert_partial(caught.value.partial, whole)
            partials.append(caught.value.partial)
    if error is Stop:
        assert partials[0] is None, "nothing is known before the first two runs"
        shares = [np.isfinite(partial.samples.values).mean() for partial in partials if partial is not None]
        assert shares == sorted(shares)
        assert 0 < shares[0] < shares[-1] < 1
    counter.arm(None, error)
    assert_same_numbers(fl.trace(model, FACT, estimate="attribution_patching", **asked), whole)


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("error", [Boom, Stop])
def test_a_fault_in_the_backward_pass(model: fl.Model, asked: dict[str, Any], error: type[BaseException]) -> None:
    whole = fl.trace(model, FACT, estimate="attribution_patching", **asked)
    counter = Counter(model)
    before = state_of(model)
    counter.arm(None, error, backward=True)
    with pytest.raises(error if error is Boom else Interrupted):
        fl.trace(model, FACT, estimate="attribution_patching", **asked)
    assert_unchanged(model, before)
    # Without an estimate there is no backward pass, and nothing has a history of gradients.
    assert fl.trace(model, FACT, **asked).complete
    counter.arm(None, error)
    assert_same_numbers(fl.trace(model, FACT, estimate="attribution_patching", **asked), whole)


#: What a trace calls on its way, and where it looks that up.
STAGES = {
    "measurement_of": engine,
    "corrupt": engine,
    "run_clean_and_corrupted": starting,
    "estimate": None,
    "started": engine,
    "label_estimate": engine,
    "cells_within": growing,
    "telling_order": growing,
    "cells_of_row": growing,
    "sweeps_for": growing,
    "sweep": growing,
    "_fill": growing,
    "share_done": growing,
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [Boom, Stop])
def test_a_fault_at_any_stage(
    stage: str, late: bool, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model("gpt2", resid_pdrop=0.5)
    model.model.train()
    asked = ASKED["heads and severed"]
    whole = fl.trace(model, FACT, estimate="attribution_patching", **asked)
    before = state_of(model)
    room = STAGES[stage]
    real, calls = ESTIMATES["attribution_patching"] if room is None else getattr(room, stage), []
    # In the loop over the sweeps, not in the first of them: by then there is something to keep.
    at = 2 if stage in ("sweep", "_fill", "share_done") else 1

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == at and not late:
            raise error
        found = real(*args, **kwargs)
        if len(calls) == at:
            raise error
        return found

    if room is None:
        monkeypatch.setitem(ESTIMATES._table, "attribution_patching", failing)
    else:
        monkeypatch.setattr(room, stage, failing)
    with pytest.raises(error if error is Boom else Interrupted) as caught:
        fl.trace(model, FACT, estimate="attribution_patching", **asked)
    assert len(calls) == at
    assert_unchanged(model, before)
    if isinstance(caught.value, Interrupted):
        assert_partial(caught.value.partial, whole)
    monkeypatch.undo()
    assert_same_numbers(fl.trace(model, FACT, estimate="attribution_patching", **asked), whole)


def test_out_of_memory_in_the_middle_of_a_sweep(model: fl.Model) -> None:
    asked = ASKED["noise"]
    whole = fl.trace(model, FACT, estimate="attribution_patching", **asked)
    counter = Counter(model)
    before = state_of(model)
    counter.arm(None, Boom)
    fl.trace(model, FACT, estimate="attribution_patching", **asked)
    heads = [i for i, name in enumerate(counter.names) if name == model.family.head]
    # The head is called once in both runs (or twice, where these differ in length), then once in every sweep.
    counter.arm(heads[1] - 1, torch.OutOfMemoryError)
    found = fl.trace(model, FACT, estimate="attribution_patching", **asked)
    np.testing.assert_allclose(found.samples.values, whole.samples.values, atol=1e-6)
    assert_unchanged(model, before)


def test_leaving_a_stream_midway_leaves_nothing(model: fl.Model) -> None:
    for asked in ASKED.values():
        for steps in (0, 1, 2, 4):
            before = state_of(model)
            updates = fl.stream(model, FACT, memory=1, **asked)
            for _ in range(steps):
                next(updates)
                assert_unchanged(model, before, "between two updates")
            updates.close()
            assert_unchanged(model, before)
            dropped = fl.stream(model, FACT, **asked)
            next(dropped)
            del dropped
            assert_unchanged(model, before)


def test_an_error_in_the_loop_of_the_caller_leaves_nothing(model: fl.Model) -> None:
    before = state_of(model)

    def look() -> None:
        for update in fl.stream(model, FACT, **ASKED["noise"]):
            if update.tokens:
                raise Boom

    with pytest.raises(Boom):
        look()
    assert_unchanged(model, before)


def test_two_streams_take_turns(model: fl.Model) -> None:
    whole = [fl.trace(model, FACT, estimate="attribution_patching", **asked) for asked in ASKED.values()]
    before = state_of(model)
    streams = [fl.stream(model, FACT, **asked) for asked in ASKED.values()]
    found: list[Any] = [None] * len(streams)
    running = set(range(len(streams)))
    while running:
        for i in sorted(running):
            update = next(streams[i], None)
            if update is None:
                running.discard(i)
            else:
                found[i] = update.trace
    for one, expected in zip(found, whole, strict=True):
        assert_same_numbers(one, expected)
    assert_unchanged(model, before)


def test_stop_from_another_thread_keeps_what_there_is(model: fl.Model) -> None:
    whole = fl.trace(model, FACT, estimate="attribution_patching", memory=1, **ASKED["noise"])
    before, stop = state_of(model), threading.Event()
    real = growing.sweep
    calls: list[int] = []

    def slow(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            threading.Thread(target=stop.set).start()
            stop.wait()
        return real(*args)

    growing.sweep = slow
    try:
        with pytest.raises(Interrupted) as caught:
            fl.trace(model, FACT, estimate="attribution_patching", memory=1, stop=stop, **ASKED["noise"])
    finally:
        growing.sweep = real
    assert len(calls) == 3, "it stops with the batch in which it was asked to"
    assert_partial(caught.value.partial, whole)
    assert 0 < np.isfinite(caught.value.partial.samples.values).mean() < 1
    assert_unchanged(model, before)


@contextmanager
def interrupting_at(line: int | None) -> Iterator[list[str]]:
    """Send this process an interrupt when the given line is reached, counting those that run in certain files."""
    seen: list[str] = []
    files = ("factlens/models/hooks.py", "factlens/models/model.py", "factlens/models/interrupts.py", "contextlib.py")
    files += (
        "factlens/tracing/sweep.py",
        "factlens/tracing/runs.py",
        "factlens/tracing/engine.py",
        "factlens/tracing/starting.py",
    )

    def follow(frame: Any, event: str, _arg: object) -> Any:
        if not frame.f_code.co_filename.endswith(files):
            return None
        if event == "line":
            seen.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
            if len(seen) - 1 == line:
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        return follow

    known = sys.gettrace()
    sys.settrace(follow)
    try:
        yield seen
    finally:
        sys.settrace(known)


def test_an_interrupt_at_any_line() -> None:
    model = small_model("gpt2", n_layer=3)
    model.model.train()
    asked = ASKED["noise"] | {"kinds": ("mlp", "severed_attn"), "estimate": "attribution_patching"}
    whole = fl.trace(model, FACT, **asked)
    before = state_of(model)
    with interrupting_at(None) as lines:
        fl.trace(model, FACT, **asked)
    inside = [i for i, line in enumerate(lines) if "engine.py" in line]
    places = random.Random(0).sample(range(inside[0], inside[-1]), 50)
    # All lines that put hooks on or take them off, each once: that is where most is to be lost.
    first: dict[str, int] = {}
    for i, line in enumerate(lines):
        if inside[0] < i < inside[-1]:
            first.setdefault(line, i)
    places += first.values()
    struck, unfinished = 0, 0
    for place in sorted(places):
        # A run may be some lines shorter than the one that was counted, and end before its interrupt.
        caught: KeyboardInterrupt | None = None
        try:
            with interrupting_at(place):
                fl.trace(model, FACT, **asked)
        except KeyboardInterrupt as error:
            caught = error
        struck += caught is not None
        assert_unchanged(model, before, f"after an interrupt at {lines[place]}")
        if isinstance(caught, Interrupted):
            assert_partial(caught.partial, whole)
            unfinished += caught.partial is not None
    assert struck > 0.9 * len(places)
    assert unfinished > 20
    assert_same_numbers(fl.trace(model, FACT, **asked), whole)


@pytest.mark.parametrize("when", ["in both runs", "in the last sweep"])
def test_an_interrupt_does_not_wait_for_the_last_layer(model: fl.Model, when: str) -> None:
    asked = {"estimate": "attribution_patching", **ASKED["noise"]}
    counter = Counter(model)
    fl.trace(model, FACT, **asked)
    early, late = (f"{model.family.blocks}.{layer}" for layer in (0, model.n_layers - 1))
    calls = [i for i, name in enumerate(counter.names) if name == early]
    place = calls[0] if when == "in both runs" else calls[-1]
    assert counter.names[place:].count(late) > 0
    counter.arm(place, Boom)
    counter.act = press
    with pytest.raises(Interrupted):
        fl.trace(model, FACT, **asked)
    assert late not in counter.names[place:]


def test_an_interrupt_ends_the_wait_for_a_busy_model() -> None:
    model = small_model("gpt2")
    with other_thread_has(model) as holder:
        threading.Timer(0.2, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)).start()
        with pytest.raises(Interrupted) as caught:
            fl.trace(model, FACT, **ASKED["noise"])
        assert holder.is_alive(), "it did not wait for the model to be free"
    assert caught.value.partial is None
    assert not locked(model)
