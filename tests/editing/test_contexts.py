"""The contexts that a model writes: sampled once, and again when its weights are others."""

from __future__ import annotations

import pytest
import torch

import factlens as fl
from factlens.editing import contexts
from factlens.editing.contexts import contexts_for
from factlens.editing.methods.memit import MemitHparams
from factlens.editing.methods.rome import RomeHparams
from factlens.models.record import record_of
from tests.support import small_model

HPARAMS = RomeHparams(contexts=((2, 4),))


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """The calls of the sampler."""
    calls, real = [], contexts.sample_texts

    def watched(*args: object, **options: object) -> list[str]:
        calls.append(args[1:])
        return real(*args, **options)

    monkeypatch.setattr(contexts, "sample_texts", watched)
    return calls


def test_they_are_sampled_once(sampled: list[tuple]) -> None:
    model = small_model("gpt2")
    first = contexts_for(model, HPARAMS)
    assert len(sampled) == 1
    again = fl.wrap(model.model, model.tokenizer)
    assert contexts_for(again, HPARAMS) == first
    assert len(sampled) == 1
    assert contexts_for(model, RomeHparams(contexts=((2, 4),), seed=7)) != first
    assert len(sampled) == 2
    contexts_for(model, MemitHparams())
    assert len(sampled) == 2 + len(MemitHparams().contexts) + len(MemitHparams().openings)
    assert contexts_for(model, HPARAMS) == first
    another = small_model("gpt2", n_layer=4)
    assert contexts_for(another, HPARAMS) != first


def test_other_weights_write_others(sampled: list[tuple]) -> None:
    model = small_model("gpt2")
    first = contexts_for(model, HPARAMS)
    parameter = model.down_projection(1).module.weight
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter.mul_(-5)
    changed = contexts_for(model, HPARAMS)
    assert changed != first
    with torch.no_grad():
        parameter.copy_(before)
    assert contexts_for(model, HPARAMS) == first
    assert len(sampled) == 3


def test_only_so_many_are_kept() -> None:
    model = small_model("gpt2")
    record = record_of(model.model)
    made = [record.computed_once("weights", number, lambda: object()) for number in range(40)]
    assert record.computed_once("weights", 39, object) is made[39]
    assert record.computed_once("weights", 0, object) is not made[0]
    assert len(record._results[1]) == 16
