"""ROME gives the numbers of the formula, and what it stores comes back."""

from __future__ import annotations

import pytest
import torch

import factlens as fl
from factlens.editing.contexts import sample_contexts
from factlens.editing.rome import make_batch, optimise_value, rank_one_update, read_states
from factlens.moments import SecondMoment, collect
from tests.editing import oracle
from tests.support import TEXT, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")


def moment_of(model: fl.Model, layer: int) -> SecondMoment:
    width = model.down_projection(layer).key_width
    keys = torch.randn(3 * width, width, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    return SecondMoment(keys.T @ keys, len(keys), layer, model.fingerprint, "random keys")


def as_matrix(model: fl.Model, layer: int, edit: fl.Edit) -> torch.Tensor:
    (update,) = edit.updates
    matrix = update.left.double() @ update.right.double()
    return matrix.T if model.down_projection(layer).transposed else matrix


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("as_published", [False, True])
def test_the_update_is_the_formula(kind: str, as_published: bool) -> None:
    model, layer = small_model(kind, dtype=torch.float64), 2
    settings = {"contexts": ((3, 4),), "as_published": as_published, "steps": 12, "clamp": 1.5}
    edit = fl.edit(model, FACT, layer=layer, moment=moment_of(model, layer), apply=False, **settings)
    prefixes = list(sample_contexts(model, ((3, 4),), seed=0))
    expected = oracle.rome_matrix(
        model, FACT, layer, prefixes, moment_of(model, layer).matrix, oracle.settings(**settings)
    )
    assert len(edit.report["losses"]) > 3, "the optimisation must have something to do"
    assert len(model.encode_option(FACT.prompt, "Seattle")[1]) > 1, "a target of several tokens"
    torch.testing.assert_close(
        as_matrix(model, layer, edit), expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max())
    )


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_mean_key_maps_to_the_value(kind: str) -> None:
    """R-ROME's point: after the edit, W k* = v* holds exactly for the mean key."""
    model, layer = small_model(kind, dtype=torch.float64), 1
    settings = oracle.settings(contexts=((4, 3),), steps=6)
    batch = make_batch(model, FACT, sample_contexts(model, settings.contexts, 0))
    states = read_states(model, layer, batch)
    delta, _ = optimise_value(model, layer, batch, states, settings)
    update = rank_one_update(model, layer, states, delta, moment_of(model, layer), settings)
    matrix = update.left.double() @ update.right.double()
    matrix = matrix.T if model.down_projection(layer).transposed else matrix
    key, value = states.keys[:-1].mean(0), states.values[:-1].mean(0)
    torch.testing.assert_close(value + matrix @ key, states.values[0] + delta, rtol=1e-6, atol=1e-6)


def test_the_clamp_holds() -> None:
    model = small_model("gpt2")
    edit = fl.edit(model, FACT, layer=2, moment=moment_of(model, 2), apply=False, clamp=0.1, contexts=())
    assert edit.report["delta_norm"] <= 0.1 * edit.report["value_norm"] * (1 + 1e-5)


def test_the_same_seed_gives_the_same_edit_and_leaves_the_global_generator_alone() -> None:
    model = small_model("gpt2")
    state = torch.random.get_rng_state()
    first, second = (fl.edit(model, FACT, layer=2, moment=moment_of(model, 2), apply=False) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.updates[0].left, second.updates[0].left)
    other = fl.edit(model, FACT, layer=2, moment=moment_of(model, 2), apply=False, seed=5)
    assert not torch.equal(first.updates[0].left, other.updates[0].left)


def test_the_users_gradients_and_modes_are_untouched() -> None:
    model = small_model("gpt2")
    model.model.train()
    model.embedding.weight.requires_grad_(False)
    fl.edit(model, FACT, layer=2, moment=moment_of(model, 2))
    assert model.model.training
    assert not model.embedding.weight.requires_grad
    assert model.blocks[0].ln_1.weight.requires_grad
    assert all(parameter.grad is None for parameter in model.model.parameters())


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_second_moments_are_sums_over_tokens(kind: str) -> None:
    model = small_model(kind)
    moments = collect(model, [1, 3], TEXT * 30, tokens=2000, corpus="three sentences")
    ids = [i for text in TEXT * 30 for i in [*model.tokenizer(text)["input_ids"], model.tokenizer.eos_token_id]]
    count = moments[3].count
    assert count == moments[1].count >= 2000
    seen = {1: [], 3: []}
    handles = [
        model.down_projection(layer).module.register_forward_pre_hook(
            lambda _m, args, layer=layer: seen[layer].append(args[0].detach().double())
        )
        for layer in seen
    ]
    for row in torch.tensor(ids[:count]).view(-1, 64):
        model.model(input_ids=row[None])
    for handle in handles:
        handle.remove()
    for layer, keys in seen.items():
        flat = torch.cat(keys, dim=1)[0]
        torch.testing.assert_close(moments[layer].matrix, flat.T @ flat / count, rtol=1e-4, atol=1e-5)


def test_merging_moments_is_collecting_together() -> None:
    model = small_model("gpt2")
    a = SecondMoment(torch.eye(3), 10, 0, model.fingerprint, "text")
    b = SecondMoment(2 * torch.eye(3), 5, 0, model.fingerprint, "text")
    assert torch.equal((a + b).matrix, 3 * torch.eye(3) / 15)
    with pytest.raises(ValueError, match="different keys"):
        a + SecondMoment(torch.eye(3), 10, 1, model.fingerprint, "text")


def test_a_model_without_a_corpus_writes_its_own(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path))
    model = small_model("gpt2")
    edit = fl.edit(model, FACT, layer=2, apply=False)
    assert "sampled from the model itself" in edit.moment
    (kept,) = (tmp_path / "moments").iterdir()
    again = SecondMoment.load(kept)
    assert (again.fingerprint, again.layer) == (model.fingerprint, 2)
    assert again.count >= 8 * model.down_projection(2).key_width
