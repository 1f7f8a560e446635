"""Whatever goes wrong in the middle of a trace, and whenever: the user's model is left exactly as it was."""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import factlens as fl
from factlens.errors import Interrupted
from factlens.models.interrupts import interruption_point, interrupts_held
from factlens.tracing import Trace, engine
from factlens.tracing.estimates import ESTIMATES
from tests.support import other_thread_has, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower")
#: What a trace may be asked for: every kind, both corruptions, an answer of several tokens.
ASKED: dict[str, dict[str, Any]] = {
    "noise": {"corruption": fl.Noise(level=0.3), "kinds": ("state", "mlp", "attn"), "samples": 2},
    "heads and severed": {
        "corruption": fl.Noise(shape="uniform"),
        "kinds": ("head", "severed_mlp", "severed_attn"),
        "samples": 2,
        "answer": "Seattle and",
    },
    "replacement": {
        "corruption": fl.Replacement("Space Needle is"),
        "metric": "logit_difference",
        "contrast": "Rome",
        "kinds": ("state", "mlp", "head.1"),
    },
}
FAULTS = (RuntimeError, KeyboardInterrupt)


class Boom(RuntimeError):
    """What the tests raise, so that no error of another origin passes for it."""


class Stop(KeyboardInterrupt):
    """The same for the interrupt."""


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


def state_of(model: fl.Model) -> dict[str, Any]:
    """Everything about a model, and about torch and numpy, that a trace could have changed."""
    modules = dict(model.model.named_modules())
    hooks = {
        (name, attribute): list(value)
        for name, module in modules.items()
        for attribute, value in vars(module).items()
        if "hooks" in attribute and isinstance(value, dict)
    }
    assert len(hooks) >= 8 * len(modules), "all sorts of hooks are counted"
    everywhere = {name: list(value) for name, value in vars(nn.modules.module).items() if name.endswith("_hooks")}
    assert everywhere, "so are those of all modules"
    parameters = dict(model.model.named_parameters())
    return {
        "hooks": hooks,
        "hooks on all modules": everywhere,
        "attributes": {name: sorted(vars(module)) for name, module in modules.items()},
        "own forward": [name for name, module in modules.items() if "forward" in vars(module)],
        "training": {name: module.training for name, module in modules.items()},
        "requires_grad": {name: p.requires_grad for name, p in parameters.items()},
        "no gradients": {name: p.grad is None and p.grad_fn is None for name, p in parameters.items()},
        "weights": {name: p.detach().numpy().tobytes() for name, p in parameters.items()},
        "buffers": {name: b.numpy().tobytes() for name, b in model.model.named_buffers()},
        "config": model.model.config.to_dict(),
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's random state": str(np.random.get_state()),
        "random's state": random.getstate(),
        "gradients enabled": torch.is_grad_enabled(),
        "interrupts": signal.getsignal(signal.SIGINT),
        "edits": model.edits,
        "locked": locked(model),
    }


def locked(model: fl.Model) -> bool:
    """Whether another thread cannot have the model."""
    found: list[bool] = []

    def take() -> None:
        turn = model._record.turn
        free = turn.take_if_free()
        found.append(not free)
        turn.back_to(0)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(10)
    return found[0]


def assert_unchanged(model: fl.Model, before: dict[str, Any], where: str = "") -> None:
    after = state_of(model)
    for name, value in before.items():
        assert after[name] == value, f"{name} {where}"


def assert_same_numbers(found: Trace, expected: Trace) -> None:
    assert found.samples.values.tobytes() == expected.samples.values.tobytes()
    assert found.low_samples.tobytes() == expected.low_samples.tobytes()
    assert found.high == expected.high
    assert found.estimate is not None
    assert expected.estimate is not None
    assert found.estimate.values.tobytes() == expected.estimate.values.tobytes()


def assert_partial(partial: Trace | None, whole: Trace) -> None:
    """What was computed is right; the rest is NaN."""
    if partial is None:
        return
    found, expected = partial.samples.values, whole.samples.values
    done = np.isfinite(found)
    np.testing.assert_array_equal(found[done], expected[done])
    assert np.isnan(found[~done]).all()
    # All samples of a cell come together.
    np.testing.assert_array_equal(done.all(-1), done.any(-1))


class Counter:
    """Counts the calls of all modules, in order, and raises at one of them."""

    def __init__(self, model: fl.Model) -> None:
        self.names: list[str] = []
        self.at: int | None = None
        self.error: type[BaseException] = Boom
        self.backward = False
        self.handles = [
            module.register_forward_pre_hook(lambda module, args, name=name: self.count(name))
            for name, module in model.model.named_modules()
        ]
        self.handles += [block.register_forward_hook(self.watch) for block in model.blocks]

    def count(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) - 1 == self.at:
            self.act()

    def watch(self, _module: nn.Module, _args: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if hidden.requires_grad and self.backward:
            hidden.register_hook(self.fail)

    def fail(self, _gradient: torch.Tensor) -> None:
        self.act()

    def act(self) -> None:
        raise self.error

    def arm(self, at: int | None, error: type[BaseException], backward: bool = False) -> None:
        self.names, self.at, self.error, self.backward = [], at, error, backward


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


STAGES = (
    "measurement_of",
    "corrupt",
    "run_clean_and_corrupted",
    "estimate",
    "_start",
    "label_estimate",
    "cells_within",
    "telling_order",
    "cells_of_row",
    "sweeps_for",
    "sweep",
    "_fill",
    "_progress",
)


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
    estimating = stage == "estimate"
    real, calls = ESTIMATES["attribution_patching"] if estimating else getattr(engine, stage), []
    # In the loop over the sweeps, not in the first of them: by then there is something to keep.
    at = 2 if stage in ("sweep", "_fill", "_progress") else 1

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == at and not late:
            raise error
        found = real(*args, **kwargs)
        if len(calls) == at:
            raise error
        return found

    if estimating:
        monkeypatch.setitem(ESTIMATES._table, "attribution_patching", failing)
    else:
        monkeypatch.setattr(engine, stage, failing)
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
    real = engine.sweep
    calls: list[int] = []

    def slow(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            threading.Thread(target=stop.set).start()
            stop.wait()
        return real(*args)

    engine.sweep = slow
    try:
        with pytest.raises(Interrupted) as caught:
            fl.trace(model, FACT, estimate="attribution_patching", memory=1, stop=stop, **ASKED["noise"])
    finally:
        engine.sweep = real
    assert len(calls) == 3, "it stops with the batch in which it was asked to"
    assert_partial(caught.value.partial, whole)
    assert 0 < np.isfinite(caught.value.partial.samples.values).mean() < 1
    assert_unchanged(model, before)


# The kernel's interrupt strikes between any two lines ------------------------------------------------------------


@contextmanager
def interrupting_at(line: int | None) -> Iterator[list[str]]:
    """Send this process an interrupt when the given line is reached, counting those that run in certain files."""
    seen: list[str] = []
    files = ("factlens/models/hooks.py", "factlens/models/model.py", "factlens/models/interrupts.py", "contextlib.py")
    files += ("factlens/tracing/sweep.py", "factlens/tracing/runs.py", "factlens/tracing/engine.py")

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


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_held_interrupt_waits_for_the_end_of_the_block() -> None:
    steps = []

    def work(last: Callable[[], None]) -> None:
        with interrupts_held() as asked:
            steps.append(asked.is_set())
            press()
            steps.append(asked.is_set())
            last()
            steps.append("the rest")
        steps.append("after it")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        work(lambda: None)
    assert steps == [False, True, "the rest"]
    steps.clear()
    with pytest.raises(KeyboardInterrupt):
        work(interruption_point)
    assert steps == [False, True], "or for a place where it may strike"
    steps.clear()
    with pytest.raises(KeyboardInterrupt):
        work(press)
    assert steps == [False, True], "a second one does not wait"
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupts_are_held_by_the_outermost_block() -> None:
    steps = []

    def work() -> None:
        with interrupts_held():
            with interrupts_held():
                press()
                steps.append("inner")
            steps.append("outer")
        steps.append("after it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["inner", "outer"]
    interruption_point()  # nothing is left waiting


def test_a_block_that_fails_still_delivers_the_interrupt() -> None:
    def work() -> None:
        with interrupts_held():
            press()
            raise Boom

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, Boom)


def test_interrupts_are_held_for_the_main_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []

    def work() -> None:
        before = signal.getsignal(signal.SIGINT)
        with interrupts_held() as asked:
            found.append(signal.getsignal(signal.SIGINT) is before)
            interruption_point()
            found.append(asked.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert found == [True, False]
    # Nor where the signal is ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held():
            press()
        interruption_point()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_the_wait_for_a_busy_model() -> None:
    model = small_model("gpt2")
    with other_thread_has(model) as holder:
        threading.Timer(0.2, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)).start()
        with pytest.raises(Interrupted) as caught:
            fl.trace(model, FACT, **ASKED["noise"])
        assert holder.is_alive(), "it did not wait for the model to be free"
    assert caught.value.partial is None
    assert not locked(model)
