"""What many tests of models make and compare: edits, the bits of all weights, traces, adapters."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

import factlens as fl
from factlens.models import Dense, LowRank
from tests.editing.made import FACT, moment_of

#: A model with transposed maps, and one without.
KINDS = ("gpt2", "llama")
METHODS = ("rome", "emmet", "memit", "alphaedit", "ft", "ft_l", "lora")


class Update:
    """The least an edit can be."""

    def __init__(self, *updates: LowRank | Dense) -> None:
        self.updates = updates


def some_edit(model: fl.Model, seed: int, layers: tuple[int, ...] = (1,)) -> Update:
    generator = torch.Generator().manual_seed(seed)
    updates = []
    for layer in layers:
        projection = model.down_projection(layer)
        value, key = (torch.randn(n, generator=generator) for n in (model.width, projection.key_width))
        updates.append(projection.low_rank(value[:, None], key[None]))
    return Update(*updates)


def stacked(model: fl.Model) -> tuple[Update, Update, Update]:
    """Two edits in force, one undone, each on two layers."""
    a, b, c = (some_edit(model, seed, layers=(1, 2)) for seed in range(3))
    for edit in (a, b, c):
        model.apply(edit)
    model.undo()
    return a, b, c


def edited(model: fl.Model, method: str, **options: Any) -> fl.Edit:
    """An edit by a method of the package, in a few steps."""
    settings: dict[str, Any] = {"steps": 3}
    if method not in ("ft", "ft_l", "lora"):
        settings |= {"contexts": (), "openings": ()}
        options.setdefault("moments", {layer: moment_of(model, layer, rank=40) for layer in range(model.n_layers)})
    return fl.edit(model, FACT, method=method, layers=1, **settings, **options)


def bits(model: fl.Model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.model.named_parameters()}


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name].view(torch.uint8), b[name].view(torch.uint8)) for name in a)


def traced(model: fl.Model) -> fl.Trace:
    return fl.trace(model, FACT, samples=2, corruption=fl.Noise(level=0.3))


def assert_same(model: fl.Model, fresh: fl.Model) -> None:
    """Everything that is said of a model is what is said of it by somebody who knows no other."""
    assert model.fingerprint == fresh.fingerprint
    found, expected = traced(model), traced(fresh)
    np.testing.assert_array_equal(found.samples.values, expected.samples.values)
    assert (found.high, found.fingerprint) == (expected.high, expected.fingerprint)
    assert model.answers(FACT.prompt) == fresh.answers(FACT.prompt)


def with_adapter(model: fl.Model) -> Any:
    """Put a LoRA adapter that does something on the attention and the down projections."""
    torch.manual_seed(0)
    names = [name.rpartition(".")[2] for name in (model.family.out, str(model.family.down))]
    conv = model.down_projection(0).transposed
    adapted = get_peft_model(model.model, LoraConfig(r=2, target_modules=names, fan_in_fan_out=conv))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    return adapted
