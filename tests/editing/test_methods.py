"""Each method's update, held to its formula in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import factlens as fl
from factlens.editing import defaults
from factlens.editing.contexts import contexts_for
from factlens.editing.methods.alphaedit import AlphaEditHparams
from factlens.editing.methods.emmet import EmmetHparams
from factlens.editing.methods.memit import MemitHparams
from factlens.editing.methods.rome import RomeHparams
from factlens.errors import NumericalError
from tests.editing import oracle
from tests.editing.made import FACT, FACTS, as_matrix, moment_of
from tests.support import small_model

KINDS = ["gpt2", "llama"]
FEW = {"steps": 12, "clamp": 1.5, "learning_rate": 0.3}


def contexts(model: fl.Model, hparams) -> oracle.Contexts:
    return [(context.text, context.weight) for context in contexts_for(model, hparams)]


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [{}, {"as_published": True}, {"balanced": True}])
def test_rome(kind: str, key: dict[str, bool]) -> None:
    model, layer = small_model(kind, dtype=torch.float64), 2
    settings = {**FEW, "contexts": ((3, 4),), "as_published": False, "balanced": False, "namesakes": 0.0, **key}
    moment, hparams = moment_of(model, layer), replace(RomeHparams(), **settings)
    edit = fl.edit(model, FACT, layers=layer, moments=moment, apply=False, **settings)
    found = oracle.find(model, FACT, layer, "mlp", contexts(model, hparams), hparams)
    assert len(found.losses) > 3, "the optimisation must have something to do"
    assert len(model.encode_option(FACT.prompt, "Seattle")[1]) > 1, "a target of several tokens"
    close(as_matrix(model, layer, edit), oracle.rome_matrix(found, moment.matrix, hparams))


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_key_maps_to_the_value(kind: str) -> None:
    """R-ROME's point: after the edit, W k* = v* holds exactly for the mean key; published ROME misses it."""
    model, layer = small_model(kind, dtype=torch.float64), 1
    hparams = replace(defaults(model, "rome").hparams, **FEW)
    found = oracle.find(model, FACT, layer, "mlp", contexts(model, hparams), hparams)
    missed = []
    for as_published in (False, True):
        edit = fl.edit(
            model,
            FACT,
            layers=1,
            moments=moment_of(model, 1),
            apply=False,
            **FEW,
            as_published=as_published,
            balanced=False,
        )
        missed.append(float((found.output + as_matrix(model, 1, edit) @ found.key - found.wanted).norm()))
    assert missed[0] < 1e-5 * float(found.wanted.norm()) < missed[1]


def test_a_balanced_key_of_a_bare_prompt_alone_is_its_own() -> None:
    model = small_model("gpt2", dtype=torch.float64)
    one, other = (
        fl.edit(model, FACT, layers=2, moments=moment_of(model, 2), apply=False, **FEW, contexts=(), balanced=balanced)
        for balanced in (False, True)
    )
    close(as_matrix(model, 2, one), as_matrix(model, 2, other))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("facts", [FACTS, FACTS[:1]], ids=["three", "one"])
@pytest.mark.parametrize("ridge", [0.1, None])
@pytest.mark.parametrize("balanced", [False, True])
def test_emmet(kind: str, facts: list[fl.Fact], ridge: float | None, balanced: bool) -> None:
    model, layer = small_model(kind, dtype=torch.float64), 2
    settings = {**FEW, "contexts": ((2, 4),), "ridge": ridge, "balanced": balanced, "namesakes": 0.0}
    hparams, moment = replace(EmmetHparams(), **settings), moment_of(model, layer)
    edit = fl.edit(model, facts, method="emmet", layers=layer, moments=moment, apply=False, **settings)
    found = [oracle.find(model, fact, layer, "mlp", contexts(model, hparams), hparams) for fact in facts]
    close(as_matrix(model, layer, edit), oracle.emmet_matrix(found, moment.matrix, hparams))


def test_emmet_with_one_fact_is_rome() -> None:
    model = small_model("gpt2")
    one, other = (
        fl.edit(model, FACT, method=method, layers=2, moments=moment_of(model, 2), apply=False, namesakes=1.0, **FEW)
        for method in ("rome", "emmet")
    )
    close(as_matrix(model, 2, one), as_matrix(model, 2, other))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("facts", [FACTS, FACTS[:1]], ids=["three", "one"])
@pytest.mark.parametrize("weight", [30.0, None])
def test_memit(kind: str, facts: list[fl.Fact], weight: float | None) -> None:
    model, layers = small_model(kind, dtype=torch.float64), [1, 2, 3]
    settings = {**FEW, "moment_weight": weight, "strength": 0.7, "openings": ("The", "In"), "namesakes": 0.0}
    hparams = replace(MemitHparams(), **settings)
    moments = {layer: moment_of(model, layer) for layer in layers}
    edit = fl.edit(model, facts, method="memit", layers=layers, moments=moments, apply=False, **settings)
    about = contexts(model, hparams)
    assert [weight for _, weight in about] == [0.5, 0.25, 0.25]
    wanted = [oracle.find(model, fact, 3, "block", about, hparams).wanted for fact in facts]
    solve = oracle.memit_solve({layer: moments[layer].matrix for layer in layers}, hparams)
    for layer, expected in oracle.spread_matrices(model, facts, layers, wanted, about, solve).items():
        close(as_matrix(model, layer, edit), expected)
    assert model.edits == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("relative", "ridge"), [(False, 0.5), (True, 0.5), (True, None)])
def test_alphaedit(kind: str, relative: bool, ridge: float | None) -> None:
    model, layers = small_model(kind, dtype=torch.float64), [1, 2]
    settings = {**FEW, "openings": ("The",), "relative": relative, "ridge": ridge}
    hparams = replace(AlphaEditHparams(), **settings)
    moments = {layer: moment_of(model, layer, rank=40) for layer in layers}
    matrices = {layer: moments[layer].matrix for layer in layers}
    about, asked = contexts(model, hparams), {"method": "alphaedit", "layers": layers, "moments": moments, **settings}

    first = fl.edit(model, FACTS[:2], **asked)
    model.undo(first)
    wanted = [oracle.find(model, fact, 2, "block", about, hparams).wanted for fact in FACTS[:2]]
    solve = oracle.alphaedit_solve(matrices, {}, hparams)
    for layer, expected in oracle.spread_matrices(model, FACTS[:2], layers, wanted, about, solve).items():
        close(as_matrix(model, layer, first), expected)

    # On top of it: the keys of the first edit are protected, too, also when it comes from a file.
    model.apply(first)
    about = contexts(model, hparams)  # as the model writes now
    second = fl.edit(model, FACTS[2], apply=False, **asked)
    wanted = [oracle.find(model, FACTS[2], 2, "block", about, hparams).wanted]
    solve = oracle.alphaedit_solve(matrices, first.keys, hparams)
    for layer, expected in oracle.spread_matrices(model, FACTS[2:], layers, wanted, about, solve).items():
        close(as_matrix(model, layer, second), expected)
    unprotected = oracle.alphaedit_solve(matrices, {}, hparams)
    other = oracle.spread_matrices(model, FACTS[2:], layers, wanted, about, unprotected)
    assert not torch.allclose(as_matrix(model, 1, second), other[1], rtol=1e-3, atol=0)


# C as it is, so that what stands beside it is added to the same matrix.
BESIDE = {"namesakes": 0.5, "shrinkage": 0.0}


@pytest.mark.parametrize("kind", KINDS)
def test_namesakes_stand_beside_ordinary_text(kind: str) -> None:
    model, layer = small_model(kind, dtype=torch.float64), 2
    settings = {**FEW, **BESIDE, "contexts": ((2, 4),)}
    hparams, moment = replace(EmmetHparams(ridge=None), **settings), moment_of(model, layer)
    about = contexts(model, hparams)
    found = [oracle.find(model, fact, layer, "mlp", about, hparams) for fact in FACTS]
    C = oracle.with_namesakes(model, FACTS, layer, moment.matrix, about, 0.5)
    asked = {**settings, "layers": layer, "moments": moment, "apply": False, "balanced": False}

    edit = fl.edit(model, FACTS, method="emmet", ridge=None, **asked)
    close(as_matrix(model, layer, edit), oracle.emmet_matrix(found, C, hparams))

    alone = oracle.with_namesakes(model, FACTS[:1], layer, moment.matrix, about, 0.5)
    edit = fl.edit(model, FACT, **asked)
    close(as_matrix(model, layer, edit), oracle.rome_matrix(found[0], alone, replace(RomeHparams(), **settings)))


@pytest.mark.parametrize("kind", KINDS)
def test_namesakes_in_every_layer_of_memit(kind: str) -> None:
    model, layers = small_model(kind, dtype=torch.float64), [1, 2]
    settings = {**FEW, **BESIDE, "moment_weight": 2.0, "openings": ("The", "In")}
    hparams = replace(MemitHparams(), **settings)
    moments = {layer: moment_of(model, layer) for layer in layers}
    edit = fl.edit(model, FACTS, method="memit", layers=layers, moments=moments, apply=False, **settings)
    about = contexts(model, hparams)
    wanted = [oracle.find(model, fact, 2, "block", about, hparams).wanted for fact in FACTS]
    beside = {layer: oracle.with_namesakes(model, FACTS, layer, moments[layer].matrix, about, 0.5) for layer in layers}
    solve = oracle.memit_solve(beside, hparams)
    for layer, expected in oracle.spread_matrices(model, FACTS, layers, wanted, about, solve).items():
        close(as_matrix(model, layer, edit), expected)


def test_alphaedit_needs_a_null_space() -> None:
    model = small_model("gpt2")
    with pytest.raises(NumericalError, match="uses all directions"):
        fl.edit(model, FACT, method="alphaedit", layers=2, moments=moment_of(model, 2), nullspace=1e-9)
    assert model.edits == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [None, 2e-3])
def test_fine_tuning(kind: str, limit: float | None) -> None:
    """Adam on the weight itself, on a copy of the model."""
    model, layer = small_model(kind, dtype=torch.float64), 2
    method = "ft" if limit is None else "ft_l"
    settings = {"steps": 8, "learning_rate": 1e-3, **({} if limit is None else {"limit": limit})}
    edit = fl.edit(model, FACTS, method=method, layers=layer, apply=False, **settings)

    copy = small_model(kind, dtype=torch.float64)
    weight = copy.down_projection(layer).weight
    original = weight.detach().clone()
    adam = torch.optim.Adam([weight], lr=1e-3)
    for _ in range(8):
        losses = []
        for fact in FACTS:
            prompt, target = copy.encode_option(fact.prompt, fact.target)
            logits = copy.model(torch.tensor([[*prompt, *target[:-1]]])).logits[0]
            chosen = logits[len(prompt) - 1 :].log_softmax(-1)[range(len(target)), list(target)]
            losses.append(-chosen.mean())
        adam.zero_grad()
        torch.stack(losses).mean().backward()
        adam.step()
        if limit is not None:
            with torch.no_grad():
                weight.copy_(original + (weight - original).clamp(-limit, limit))
    expected = (weight - original).detach()
    found = as_matrix(model, layer, edit)
    close(found.T if model.down_projection(layer).transposed else found, expected.float().double())
    if limit is not None:
        assert float(found.abs().max()) == pytest.approx(limit, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_lora(kind: str) -> None:
    model = small_model(kind)
    model.embedding.weight.requires_grad_(False)
    tracked = {name: parameter.requires_grad for name, parameter in model.model.named_parameters()}
    modules, attributes = list(model.model.modules()), set(vars(model.model))
    before = {name: parameter.detach().clone() for name, parameter in model.model.named_parameters()}
    edit = fl.edit(model, FACTS, method="lora", layers=[1, 3], steps=150, learning_rate=0.03, rank=4, apply=False)
    losses = [step["loss"] for step in edit.report["losses"]]
    assert losses[-1] < 0.75 * losses[0]
    assert [update.left.shape[1] for update in edit.updates] == [4, 4]
    # peft is gone without a trace.
    assert list(model.model.modules()) == modules
    assert set(vars(model.model)) == attributes
    assert {name: parameter.requires_grad for name, parameter in model.model.named_parameters()} == tracked
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.model.named_parameters())
    # What it learnt is in the factors.
    model.apply(edit)
    again = fl.edit(model, FACTS, method="lora", layers=1, steps=1, apply=False).report["losses"][0]["loss"]
    assert again == pytest.approx(losses[-1], abs=0.05)
    same = fl.edit(
        small_model(kind), FACTS, method="lora", layers=[1, 3], steps=150, learning_rate=0.03, rank=4, apply=False
    )
    assert torch.equal(same.updates[0].left, edit.updates[0].left)


@pytest.mark.parametrize("method", ["ft"])
def test_many_facts_take_hold(method: str) -> None:
    model = small_model("gpt2")
    moments = {layer: moment_of(model, layer) for layer in (2, 3)}
    layers = 3 if method == "emmet" else [2, 3]
    settings = (
        {"steps": 80, "learning_rate": 0.05}
        if method == "ft"
        else {"clamp": 8.0, "steps": 40, "contexts": (), "weight_decay": 0.0}
    )
    if method == "memit":
        settings |= {"moment_weight": 1.0, "openings": ()}
    first = [model.encode_option(fact.prompt, fact.target)[1][0] for fact in FACTS]
    before = [float(model.next_token(fact.prompt)[token]) for fact, token in zip(FACTS, first, strict=True)]
    edit = fl.edit(model, FACTS, method=method, layers=layers, moments=moments, **settings)
    for fact, token, was in zip(FACTS, first, before, strict=True):
        assert float(model.next_token(fact.prompt)[token]) > 5 * was, fact
    model.undo(edit)
    assert model.edits == ()


def test_the_clamp_holds() -> None:
    model = small_model("gpt2")
    edit = fl.edit(model, FACT, layers=2, moments=moment_of(model, 2), apply=False, clamp=0.1, contexts=())
    (report,) = edit.report["facts"]
    assert report["delta_norm"] <= 0.1 * report["value_norm"] * (1 + 1e-5)


def test_the_same_seed_gives_the_same_edit_and_leaves_the_global_generator_alone() -> None:
    model = small_model("gpt2")
    state = torch.random.get_rng_state()
    first, second = (fl.edit(model, FACT, layers=2, moments=moment_of(model, 2), apply=False) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.updates[0].left, second.updates[0].left)
    other = fl.edit(model, FACT, layers=2, moments=moment_of(model, 2), apply=False, seed=5)
    assert not torch.equal(first.updates[0].left, other.updates[0].left)


def test_the_users_gradients_and_modes_are_untouched() -> None:
    model = small_model("gpt2")
    model.model.train()
    model.embedding.weight.requires_grad_(False)
    fl.edit(model, FACT, layers=2, moments=moment_of(model, 2))
    assert model.model.training
    assert not model.embedding.weight.requires_grad
    assert model.blocks[0].ln_1.weight.requires_grad
    assert all(parameter.grad is None for parameter in model.model.parameters())
