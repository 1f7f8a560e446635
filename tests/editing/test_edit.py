"""Edits as records, on a model that knows facts: they take, they come off, they keep, they are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import factlens as fl
from factlens.editing import defaults
from factlens.editing.settings import defaults_for
from factlens.errors import Interrupted, WrongModel
from factlens.moments import collect
from tests.support import small_model

FACT = fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris")


@pytest.fixture(scope="module")
def edit(shared_atlas: fl.Model) -> fl.Edit:
    return fl.edit(shared_atlas, FACT, apply=False)


def bits(model: fl.Model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.model.named_parameters()}


def unchanged(model: fl.Model, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(p.detach(), before[name]) for name, p in model.model.named_parameters())


def test_the_edit_takes_and_comes_off_to_the_bit(atlas: fl.Model, edit: fl.Edit) -> None:
    before = bits(atlas)
    assert atlas.answers(FACT.prompt)[0].text == " Seattle"
    atlas.apply(edit)
    assert atlas.answers(FACT.prompt)[0].text == " Paris"
    assert edit.label in repr(atlas)
    assert atlas.undo() is edit
    assert unchanged(atlas, before)


def test_three_stacked_facts_undone_in_any_order(atlas: fl.Model) -> None:
    before = bits(atlas)
    wanted = {"The Space Needle": "Paris", "The Louvre": "Tokyo", "The Colosseum": "London"}
    layer = defaults(atlas, "rome").layers[-1]
    moment = collect(atlas, [layer], atlas.corpus(0), tokens=20_000, corpus="the atlas corpus, seed 0")[layer]
    facts = [fl.Fact("{} is in downtown", subject, target) for subject, target in wanted.items()]
    edits = [fl.edit(atlas, fact, layers=layer, moments=moment) for fact in facts]
    for fact in facts:
        assert atlas.answers(fact.prompt)[0].text.strip() == fact.target
    for i in (1, 0, 2):
        atlas.undo(edits[i])
    assert unchanged(atlas, before)


def test_a_saved_edit_is_small_and_does_the_same(atlas: fl.Model, edit: fl.Edit, tmp_path: Path) -> None:
    path = edit.save(tmp_path / "paris.safetensors")
    assert path.stat().st_size < 20_000
    loaded = fl.Edit.load(path)
    with atlas.edited(edit):
        expected = bits(atlas)
    with atlas.edited(loaded):
        assert unchanged(atlas, expected)
    for name in ("method", "facts", "layers", "hparams", "moment", "model", "fingerprint"):
        found, kept = getattr(loaded, name), getattr(edit, name)
        assert json.dumps(found, default=vars) == json.dumps(kept, default=vars), name
    assert "tokens of the atlas corpus" in loaded.moment


def test_an_edit_of_another_model_is_refused_and_says_which(edit: fl.Edit) -> None:
    model = small_model("gpt2")
    before = bits(model)
    with pytest.raises(WrongModel, match="belongs to 'atlas'"):
        model.apply(edit)
    assert unchanged(model, before)


@pytest.mark.parametrize(
    ("fact", "options", "message"),
    [
        (fl.Fact(FACT.template, FACT.subject), {}, "has no target"),
        (FACT.with_target("Seattle"), {}, "already answers"),
        (FACT, {"method": "hope"}, "no editing method 'hope'"),
        (FACT, {"klamp": 2}, "no setting 'klamp'"),
        (FACT, {"clamp": 0}, "clamp must be positive"),
        (FACT, {"steps": 0}, "steps must be at least 1"),
        (FACT, {"layers": 8}, "no layer 8"),
        (FACT, {"layers": [2, 3]}, "rome edits one layer, not 2: 2, 3"),
        (FACT, {"layers": []}, "layers is empty"),
        ([], {}, "no fact to edit"),
        ([FACT, FACT.with_target("Rome")], {"method": "memit"}, "to be both 'Paris' and 'Rome'"),
        ([FACT, FACT], {"method": "memit"}, "asked for twice"),
        ([FACT, fl.Fact("{} is in", "The Louvre", "Rome")], {}, "one fact at a time, not 2"),
        ([FACT, "The Louvre"], {"method": "memit"}, "not str"),
    ],
)
def test_what_cannot_be_edited(atlas: fl.Model, fact: fl.Fact, options: dict, message: str) -> None:
    before = bits(atlas)
    with pytest.raises(fl.FactlensError, match=message):
        fl.edit(atlas, fact, **options)
    assert unchanged(atlas, before)
    assert atlas.edits == ()


def test_a_moment_of_another_layer_is_refused(atlas: fl.Model) -> None:
    moment = collect(atlas, [2], atlas.corpus(0), tokens=3000, corpus="the atlas corpus, seed 0")[2]
    with pytest.raises(WrongModel, match="layer 2"):
        fl.edit(atlas, FACT, layers=1, moments=moment)
    assert atlas.edits == ()


def test_stopping_leaves_the_weights_alone(atlas: fl.Model) -> None:
    from threading import Event

    stop, before, steps = Event(), bits(atlas), []

    def progress(step: str, _share: float) -> None:
        steps.append(step)
        if step == "value":
            stop.set()

    with pytest.raises(Interrupted):
        fl.edit(atlas, FACT, stop=stop, progress=progress)
    assert steps.count("value") == 1
    assert unchanged(atlas, before)


def test_defaults_are_the_published_ones_where_there_are_any() -> None:
    assert defaults_for("mistral", 32, 4096, "rome").layers == (10,)
    assert defaults_for("mistral", 32, 4096, "memit").layers == (6, 7, 8, 9, 10)
    assert defaults_for("gptj", 28, 4096, "memit").layers == (3, 4, 5, 6, 7, 8)
    assert defaults_for("llama", 32, 4096, "alphaedit").hparams.nullspace == 0.02
    published = defaults_for("gpt2", 48, 1600, "rome")
    (layer,), settings = published.layers, published.hparams
    found = (layer, settings.steps, settings.learning_rate, settings.weight_decay, settings.kl_factor, settings.clamp)
    assert found == (17, 20, 0.5, 0.5, 0.0625, 4.0)


def test_the_default_second_moment_is_collected_once(atlas: fl.Model) -> None:
    steps: list[str] = []
    for _ in range(2):
        steps.clear()
        fl.edit(atlas, FACT, apply=False, progress=lambda step, _share: steps.append(step))
    assert set(steps) == {"value", "answers"}
