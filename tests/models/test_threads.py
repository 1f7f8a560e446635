"""Other threads use the model meanwhile: neither they nor factlens notice the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import factlens as fl
from tests.editing.made import FACT, moment_of
from tests.models.made import (
    KINDS,
    edited,
    traced,
)
from tests.support import small_model


class Generating:
    """A thread that lets the bare model write all the time, and keeps whatever is not what it should be."""

    def __init__(self, model: fl.Model) -> None:
        self.module, self.stop, self.wrong, self.times = model.model, threading.Event(), [], 0
        self.ids = torch.arange(5)[None]
        self.expected = self.write()
        self.thread = threading.Thread(target=self.run)

    def write(self) -> Any:
        with torch.no_grad():
            return self.module.generate(self.ids, max_new_tokens=4, do_sample=False, pad_token_id=0).tolist()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                written = self.write()
                self.times += 1
                if written != self.expected:
                    self.wrong.append(written)
            except BaseException as error:
                self.wrong.append(error)

    def __enter__(self) -> Generating:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(60)


WORKS: dict[str, Callable[[fl.Model], Any]] = {
    "trace": lambda model: (
        fl.trace(
            model,
            FACT,
            samples=2,
            corruption=fl.Noise(level=0.3),
            estimate="attribution_patching",
            kinds=("state", "mlp", "attn", "head"),
        ).samples.values
    ),
    "severed": lambda model: (
        fl.trace(
            model, FACT, samples=2, corruption=fl.Noise(level=0.3), kinds=("severed_mlp", "severed_attn")
        ).samples.values
    ),
    "details": lambda model: fl.details(model, traced(model), "mlp", 3, 2).to_dict(),
    "rome": lambda model: edited(model, "rome", apply=False).updates[0].left,
    "ft": lambda model: edited(model, "ft", apply=False).updates[0].change,
    "lora": lambda model: edited(model, "lora", apply=False).updates[0].left,
    "moments": lambda model: moment_of(model, 1).total,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_a_generation_in_another_thread_disturbs_nothing_and_is_not_disturbed(
    kind: str, work: Callable[[fl.Model], Any]
) -> None:
    model = small_model(kind)
    expected = work(model)
    with Generating(model) as generating:
        found = [work(model) for _ in range(5)]
        before = generating.times
        while generating.times < before + 2 and not generating.wrong:
            found.append(work(model))
    assert generating.wrong == []
    assert generating.times > 2
    for one in found:
        assert repr(one) == repr(expected)
        if not isinstance(one, dict):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(expected))


def test_hooks_of_one_thread_are_not_met_by_another() -> None:
    model, seen = small_model("gpt2"), []
    ids = torch.arange(5)[None]
    with torch.no_grad():
        plain = model.model(ids).logits

    def interrupting(_module: nn.Module, _args: Any) -> None:
        # In the middle of one of our own passes: everything that factlens has put on the model is there now.
        if threading.current_thread() is threading.main_thread() and len(seen) < 40:
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()

    def look() -> None:
        with torch.no_grad():
            seen.append(torch.equal(model.model(ids).logits, plain))

    handles = [block.register_forward_pre_hook(interrupting) for block in model.blocks]
    fl.trace(
        model,
        FACT,
        samples=2,
        corruption=fl.Noise(level=0.3),
        estimate="attribution_patching",
        kinds=("state", "mlp", "severed_attn"),
    )
    for handle in handles:
        handle.remove()
    assert len(seen) >= 20
    assert all(seen)
