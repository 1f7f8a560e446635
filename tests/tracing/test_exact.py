"""The sweep gives the numbers of the plain protocol, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import factlens as fl
from tests.support import SHAPES, small_model
from tests.tracing import oracle

FACTS = {
    "subject first": fl.Fact("{} is in downtown", "The Space Needle"),
    "subject in the middle": fl.Fact("In Paris, the {} is near", "Eiffel Tower"),
    "subject last": fl.Fact("Everyone knows {}", "Zürich"),
    "one token": fl.Fact("The capital of {} is", "a"),
}


def compare(
    model: fl.Model, fact: fl.Fact, window: int, samples: int = 3, level: float = 0.3, **options: object
) -> None:
    expected = oracle.trace(model, fact, samples=samples, level=level, window=window)
    trace = fl.trace(model, fact, samples=samples, noise_level=level, window=window, **options)
    assert trace.complete
    assert trace.answer_id == expected["answer"]
    assert trace.high == pytest.approx(expected["high"], abs=1e-5)
    np.testing.assert_allclose(trace.low_samples, expected["low"], atol=1e-5)
    for kind in trace.kinds:
        np.testing.assert_allclose(trace.samples.sel(kind=kind).values, expected[kind], atol=1e-5, err_msg=kind)
    # A comparison of flat grids would prove nothing.
    assert np.ptp(np.stack([expected[kind] for kind in trace.kinds])) > 1e-3


@pytest.mark.parametrize("fact", FACTS.values(), ids=FACTS)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_random_model_equals_the_plain_protocol(kind: str, fact: fl.Fact) -> None:
    compare(small_model(kind), fact, window=3)


@pytest.mark.parametrize("kind", sorted(SHAPES))
@pytest.mark.parametrize("bos", [False, True])
def test_every_family_of_the_map(kind: str, bos: bool) -> None:
    compare(small_model(kind, bos=bos), FACTS["subject in the middle"], window=2)


@pytest.mark.parametrize("window", [1, 2, 4, 5, 10])
def test_windows(window: int) -> None:
    compare(small_model("gpt2"), FACTS["subject first"], window=window)


def test_eager_attention_gets_an_additive_mask() -> None:
    compare(small_model("llama", attn_implementation="eager"), FACTS["subject in the middle"], window=3)


@pytest.mark.parametrize("cells", [1, 3, 7])
def test_a_split_batch_changes_no_number(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, fact = small_model("gpt2"), FACTS["subject in the middle"]
    whole = fl.trace(model, fact, samples=4, noise_level=0.3)
    monkeypatch.setattr("factlens.tracing.engine._cells_within", lambda *_: cells)
    split = fl.trace(model, fact, samples=4, noise_level=0.3)
    np.testing.assert_allclose(split.samples.values, whole.samples.values, atol=1e-6)


def test_a_small_memory_splits_the_batch() -> None:
    model, fact = small_model("gpt2"), FACTS["subject first"]
    updates = list(fl.stream(model, fact, samples=3, noise_level=0.3, memory=1))
    whole = list(fl.stream(model, fact, samples=3, noise_level=0.3))
    assert len(updates) > 3 * len(whole)
    np.testing.assert_allclose(updates[-1].trace.samples.values, whole[-1].trace.samples.values, atol=1e-6)


def test_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from factlens.tracing import engine as module

    model, fact = small_model("gpt2"), FACTS["subject first"]
    expected = fl.trace(model, fact, samples=3, noise_level=0.3)
    real, sizes = module.sweep, []

    def greedy(model, runs, token, cells):
        sizes.append(len(cells))
        if len(cells) > 4:
            raise torch.OutOfMemoryError("too many rows")
        return real(model, runs, token, cells)

    monkeypatch.setattr(module, "sweep", greedy)
    trace = fl.trace(model, fact, samples=3, noise_level=0.3)
    np.testing.assert_allclose(trace.samples.values, expected.samples.values, atol=1e-6)
    assert sizes[0] == 14, "4 state cells (the last is known), 5 MLP, 5 attention"
    assert max(sizes[3:]) <= 4


def test_atlas_equals_the_plain_protocol(atlas: fl.Model) -> None:
    compare(atlas, fl.Fact("{} is in downtown", "The Space Needle"), window=3, level=0.5)


def test_edited_weights_are_traced_as_they_are(atlas: fl.Model) -> None:
    fact = fl.Fact("{} is in downtown", "The Space Needle")
    edit = fl.edit(atlas, fl.Fact("{} is in downtown", "The Space Needle", target="Paris"))
    try:
        compare(atlas, fact, window=3, level=0.5, kinds=("mlp",))
    finally:
        atlas.undo(edit)
