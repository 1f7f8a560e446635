"""What a trace may be asked for, the faults that strike it, and what must be as it was afterwards."""

from __future__ import annotations

import random
import signal
import threading
from typing import Any

import numpy as np
import torch
from torch import nn

import factlens as fl
from factlens.tracing import Trace

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


class Boom(RuntimeError):
    """What the tests raise, so that no error of another origin passes for it."""


class Stop(KeyboardInterrupt):
    """The same for the interrupt."""


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
    # The samples of a cell come in their order.
    assert (np.diff(done.astype(int), axis=-1) <= 0).all()


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


def press() -> None:
    signal.raise_signal(signal.SIGINT)
