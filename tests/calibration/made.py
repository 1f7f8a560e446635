"""Facts that a small random model knows, since they are what it says, and a method that edits them in a moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

import factlens as fl
from factlens.editing import METHODS
from factlens.editing.methods.lora import LORA

SUBJECTS = ("Paris", "Rome", "the tower", "Seattle", "France", "Iceland", "the river", "Japan", "Zürich", "Reykjavík")
SUBJECTS += ("Everyone", "the capital", "the Space Needle", "the Eiffel Tower", "São Paulo", "downtown")
TARGETS = (" Seattle", " Paris", " Rome")
TEMPLATES = ("In the city, {} is near", "The capital of {} is the", "{} lies in", "We saw {} and the", "Near {}, a")


def facts_known_to(model: fl.Model) -> tuple[fl.Fact, ...]:
    """Facts of one relation, each with the token that the model says as its object, and another as its target.

    Many tokens of a small model are parts of characters, which nobody can write; of a few wordings this is the one
    whose answers can be written most often.
    """
    return max((_facts(model, template) for template in TEMPLATES), key=lambda facts: sum(map(_written, facts)))


def _facts(model: fl.Model, template: str) -> tuple[fl.Fact, ...]:
    facts = []
    for i, subject in enumerate(SUBJECTS):
        fact = fl.Fact(template, subject)
        said = model.answers(fact.prompt, k=1)[0].text
        # Several: an edit towards one for all of them would also make it that of every neighbour.
        target = next(word for word in (TARGETS[i % 3], TARGETS[(i + 1) % 3]) if word != said)
        facts.append(fl.Fact(template, subject, target=fl.Exactly(target), object=fl.Exactly(said)))
    return tuple(facts)


def _written(fact: fl.Fact) -> bool:
    return "⟨" not in str(fact.object)


def add_quick_method(patch: pytest.MonkeyPatch, name: str = "quick", **changes: object) -> None:
    """Put a method into the table, for one test, that takes five steps."""
    tries = {"learning_rate": (1e-2, 5e-3)}
    quick = replace(LORA, title=name, elsewhere={"steps": 5, "learning_rate": 1e-3}, tries=tries)
    patch.setitem(METHODS._table, name, replace(quick, **changes))
