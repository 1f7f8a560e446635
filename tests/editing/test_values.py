"""The value v*: from cached states, many facts at once, the same as from full forward passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import factlens as fl
from factlens.editing.methods.rome import RomeHparams
from factlens.editing.prompts import Context, make_prompts
from factlens.editing.tail import Tail
from factlens.editing.values import Values, optimise_values
from factlens.models import FAMILIES
from tests.editing import oracle
from tests.editing.made import FACTS
from tests.support import SEEING, small_model

CONTEXTS = [("", 0.5), ("Rome. ", 0.2), ("In Paris there is a tower. ", 0.3)]
KEEP = ("{} is a", "In Rome, {}")
SETTINGS = RomeHparams(steps=6, learning_rate=0.2, clamp=1.5, stop_loss=0.3, keep=KEEP)
EDITABLE = sorted({*(kind for kind, family in FAMILIES.items() if family.down is not None), *SEEING})
# Their eager attention takes its softmax in float32, where the lowest float64 is minus infinity.
NO_FLOAT64 = {"gemma2"}


def prompts_of(model: fl.Model, facts: list[fl.Fact]):
    return make_prompts(model, facts, [Context(*context) for context in CONTEXTS], KEEP)


def values_of(model: fl.Model, facts: list[fl.Fact], layer: int, site: str, hparams: RomeHparams = SETTINGS) -> Values:
    prompts = prompts_of(model, facts)
    return optimise_values(Tail.read(model, layer, prompts), prompts, site, hparams)


def compare_tail(model: fl.Model, layer: int, site: str) -> None:
    """Logits, and their gradient, with something added at each subject: the tail against one full pass per row."""
    # Some families compute parts of their attention in float32 whatever the model's format.
    atol = 1e-6 if model.dtype == torch.float64 else 2e-4
    prompts = prompts_of(model, FACTS)
    tail = Tail.read(model, layer, prompts)
    generator = torch.Generator().manual_seed(3)
    size = float((tail.values if site == "mlp" else tail.states).norm(dim=1).mean()) / model.width**0.5
    moved = (size * torch.randn(len(prompts.ids), model.width, generator=generator)).to(tail.values)
    moved.requires_grad_()
    reads = torch.cat([prompts.targets[:, :2], prompts.preserved])
    found = tail.logits(site, moved, reads)
    direction = torch.randn(found.shape, generator=generator).to(found)
    (gradient,) = torch.autograd.grad((found * direction).sum(), [moved])
    assert float(gradient.norm()) > 0

    for row in range(len(prompts.ids)):
        ids = prompts.ids[row, : int(prompts.lengths[row])].tolist()
        delta = moved[row].detach().clone().requires_grad_()
        logits, seen = oracle.run(model, layer, site, ids, int(prompts.lookup[row]), delta)
        here = reads[:, 0] == row
        expected = logits[reads[here, 1]]
        torch.testing.assert_close(found[here], expected, rtol=atol, atol=atol)
        (wanted,) = torch.autograd.grad((expected * direction[here]).sum(), [delta])
        torch.testing.assert_close(gradient[row], wanted, rtol=100 * atol, atol=100 * atol)
        torch.testing.assert_close(tail.keys[row], seen["key"].to(tail.keys), rtol=atol, atol=atol)
        torch.testing.assert_close(tail.values[row], seen["output"].to(tail.values), rtol=atol, atol=atol)


@pytest.mark.parametrize("kind", EDITABLE)
def test_every_family(kind: str) -> None:
    compare_tail(small_model(kind, dtype=torch.float32 if kind in NO_FLOAT64 else torch.float64), 2, "mlp")


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bloom", "opt", "gpt_neo", "falcon", "mistral"])
@pytest.mark.parametrize("layer", [0, 4])
def test_the_state_of_a_block_in_the_first_and_last_layer(kind: str, layer: int) -> None:
    compare_tail(small_model(kind, bos=True, dtype=torch.float64), layer, "block")


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "falcon"])
def test_the_output_of_the_last_mlp(kind: str) -> None:
    compare_tail(small_model(kind, dtype=torch.float64), 4, "mlp")


def test_the_last_mlp_runs_only_where_it_is_read() -> None:
    model = small_model("gpt2")
    prompts = prompts_of(model, FACTS)
    tail = Tail.read(model, 2, prompts)
    reads = torch.cat([prompts.targets[:, :2], prompts.preserved])
    seen: list[int] = []
    handles = [
        model.down_projection(layer).module.register_forward_hook(
            lambda _module, args, _output: seen.append(args[0].shape[:-1].numel())
        )
        for layer in (3, 4)
    ]
    tail.logits("mlp", torch.zeros(len(prompts.ids), model.width), reads)
    for handle in handles:
        handle.remove()
    assert seen == [tail.positions.numel(), len(reads.unique(dim=0))]
    assert seen[1] < seen[0]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "falcon"])
@pytest.mark.parametrize("site", ["mlp", "block"])
def test_the_whole_optimisation(kind: str, site: str) -> None:
    model = small_model(kind, dtype=torch.float64)
    found = values_of(model, FACTS, 2, site)
    for i, fact in enumerate(FACTS):
        expected = oracle.find(model, fact, 2, site, CONTEXTS, SETTINGS)
        losses = [step["loss"] for step in found.report[i]["losses"]]
        assert losses == pytest.approx(expected.losses, rel=1e-6)
        for name, mine in (
            ("wanted", found.optimised),
            ("key", found.keys),
            ("output", found.outputs),
            ("bare_key", found.bare_keys),
            ("bare_output", found.bare_outputs),
        ):
            torch.testing.assert_close(mine[i], getattr(expected, name), rtol=1e-5, atol=1e-6, msg=f"{name} of {fact}")


def test_facts_do_not_share_anything() -> None:
    """Each stops by itself, and the numbers do not depend on who else is in the batch."""
    model = small_model("gpt2", dtype=torch.float64)
    settings = replace(SETTINGS, steps=20, stop_loss=0.0)
    lowest = [
        min(step["loss"] for step in report["losses"]) for report in values_of(model, FACTS, 2, "mlp", settings).report
    ]
    settings = replace(settings, stop_loss=sorted(lowest)[1] + 1e-3)
    together = values_of(model, FACTS, 2, "mlp", settings)
    steps = [len(report["losses"]) for report in together.report]
    assert len(set(steps)) > 1, "all facts stop together: nothing is tested"
    for i, fact in enumerate(FACTS):
        alone = values_of(model, [fact], 2, "mlp", settings)
        assert len(alone.report[0]["losses"]) == steps[i]
        torch.testing.assert_close(alone.optimised[0], together.optimised[i], rtol=1e-9, atol=1e-9)


def test_half_precision_keeps_its_sums_in_float32() -> None:
    found = values_of(small_model("llama", dtype=torch.bfloat16), FACTS[:1], 2, "mlp")
    exact = values_of(small_model("llama"), FACTS[:1], 2, "mlp")
    assert float((found.optimised - exact.optimised).norm() / exact.optimised.norm()) < 0.1
