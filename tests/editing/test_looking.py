"""Where an edit goes in a model of which nothing was measured and nothing published."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import MappingProxyType

import numpy as np
import pytest

import factlens as fl
from factlens.editing import defaults, looking, settings
from factlens.errors import Interrupted
from factlens.knowledge.pool import Relation
from factlens.tracing.subject import MlpRow
from tests.calibration.made import SUBJECTS, TEMPLATES
from tests.support import small_model

FACT = fl.Fact("In {} is", "the tower", target="Paris")
QUICK = {"method": "lora", "steps": 1, "rank": 1}


@pytest.fixture
def model() -> fl.Model:
    return small_model("gpt2", n_layer=4)


@pytest.fixture
def asked(model: fl.Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The prompts that are traced by a look, where the model knows a relation of five facts, in layers 1 and 2."""
    objects = {subject: model.answers(TEMPLATES[1].format(subject), k=1)[0].text for subject in SUBJECTS[:5]}
    relation = Relation("near", (TEMPLATES[1],), MappingProxyType(objects))
    monkeypatch.setattr(looking, "pool", lambda: (relation,))
    # What is said need not be what can be written: see tests/calibration/made.py.
    monkeypatch.setattr(looking, "leads_each", lambda model, facts: [True] * len(facts))
    traced: list[str] = []

    def row(model: fl.Model, fact: fl.Fact, **_: object) -> MlpRow:
        traced.append(fact.prompt)
        return MlpRow(np.array([0.1, 0.4, 0.3, 0.1]), 0.8)

    monkeypatch.setattr(looking, "mlp_row", row)
    return traced


def test_the_first_edit_looks_and_the_next_one_knows(model: fl.Model, asked: list[str]) -> None:
    assert settings.is_open(model, "rome")
    assert defaults(model, "lora").layers == (1,)
    assert "a third of the way up" in defaults(model, "lora").source
    first = fl.edit(model, FACT, **QUICK)
    assert first.layers == (2,)
    assert "by 5 facts that the model knows" in first.defaults
    assert asked == [TEMPLATES[1].format(subject) for subject in SUBJECTS[:5]]
    assert fl.edit(model, fl.Fact("Near {} is", "Rome", target="Paris"), **QUICK).layers == (2,)
    assert len(asked) == 5
    # Also for methods that spread an edit, and for whoever only asks.
    assert defaults(model, "memit").layers[-1] == 2
    assert "by 5 facts" in defaults(model, "memit").source


def test_who_names_layers_needs_no_look(model: fl.Model, asked: list[str]) -> None:
    edit = fl.edit(model, FACT, layers=3, **QUICK)
    assert edit.layers == (3,)
    assert "but for layers" in edit.defaults
    assert asked == []


def test_the_model_is_looked_at_without_its_edits(model: fl.Model, asked: list[str]) -> None:
    edit = fl.edit(model, FACT, layers=0, **QUICK)
    fl.edit(model, fl.Fact("Near {} is", "Rome", target="Paris"), apply=False, **QUICK)
    assert model.edits == (edit,)
    assert len(asked) == 5
    model.undo()
    assert looking.looked(model) is not None


def test_weights_that_have_changed_are_looked_at_again(model: fl.Model, asked: list[str]) -> None:
    fl.edit(model, FACT, apply=False, **QUICK)
    model.down_projection(0).weight.data.mul_(1.5)
    fl.edit(model, FACT, apply=False, **QUICK)
    assert len(asked) == 10


def test_a_model_without_general_knowledge_is_looked_at_by_the_fact(
    model: fl.Model, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "leads_each", lambda model, facts: [False] * len(facts))
    edit = fl.edit(model, FACT, apply=False, **QUICK)
    assert edit.layers == (2,)
    assert "on this fact" in edit.defaults
    assert asked == [FACT.prompt]
    # That counts for one edit alone.
    assert looking.looked(model) is None
    assert "a third" in defaults(model, "lora").source


def test_where_nothing_can_be_seen_there_is_the_rule(model: fl.Model) -> None:
    edit = fl.edit(model, FACT, apply=False, **QUICK)
    assert edit.layers == (1,)
    assert "a third of the way up" in edit.defaults


def test_a_look_can_be_stopped(model: fl.Model, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()

    def row(*_: object, **__: object) -> MlpRow:
        stop.set()
        raise Interrupted("stopped")

    monkeypatch.setattr(looking, "mlp_row", row)
    with pytest.raises(Interrupted):
        fl.edit(model, FACT, stop=stop, **QUICK)
    assert not model.edits
    assert looking.looked(model) is None


def test_atlas_looks_its_facts_up_where_its_settings_say(atlas: fl.Model) -> None:
    look = looking.look(atlas, FACT)
    assert look is not None
    assert look.layer in (2, 3, 4)
    assert not settings.is_open(atlas, "rome")
