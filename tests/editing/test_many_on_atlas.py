"""Many facts at once, on the shipped model with its own defaults."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.editing import defaults
from factlens.models.atlas.knowledge import load_knowledge
from factlens.moments import collect

COUNT = 8


def drawn(model: fl.Model) -> list[fl.Fact]:
    """Return facts of different relations and subjects that the model knows, each with another object as target."""
    facts: list[fl.Fact] = []
    by_relation: dict[str, list] = {}
    for statement in load_knowledge().statements:
        by_relation.setdefault(statement.relation.name, []).append(statement)
    for name, statements in by_relation.items():
        objects = sorted({statement.object for statement in statements})
        if name == "kind" or len(objects) < 4:
            continue
        statement = statements[len(statements) // 2]
        template, subject = statement.parts(statement.trained[0])
        target = objects[0] if statement.object != objects[0] else objects[1]
        fact = fl.Fact(template, subject=subject, target=target)
        if subject not in {other.subject for other in facts} and answer(model, fact) == statement.object:
            facts.append(fact)
    return facts[:COUNT]


def answer(model: fl.Model, fact: fl.Fact) -> str:
    return model.answers(fact.prompt, k=1)[0].text.strip()


@pytest.mark.parametrize("method", ["memit", "emmet", "alphaedit"])
def test_many_facts_take_hold_in_one_edit_and_come_off(atlas: fl.Model, method: str) -> None:
    facts = drawn(atlas)
    assert len(facts) >= 5
    before = [answer(atlas, fact) for fact in facts]
    layers = defaults(atlas, method).layers
    moments = collect(atlas, layers, atlas.corpus(0), tokens=30_000, corpus="the atlas corpus, seed 0")
    edit = fl.edit(atlas, facts, method=method, moments=moments, keep_samples=4)
    assert len(edit.facts) == len(facts)
    held = [answer(atlas, fact) == fact.target for fact in facts]
    assert sum(held) >= len(held) - 1, dict(zip(facts, held, strict=True))
    atlas.undo(edit)
    assert [answer(atlas, fact) for fact in facts] == before
