"""What follows from an edited statement, by atlas's table of rules: cases worked out from the fact files by hand."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.evaluation import atlas_checks
from factlens.models.atlas.knowledge import FOLLOWS, load_knowledge

CASES = [
    # Paris is no subject of a line of its own: as the capital of France it is in France.
    ("Space Needle", "city", "Paris", {"country": "France"}, {"kind"}, set()),
    ("Space Needle", "city", "Marseille", {"country": "France"}, {"kind"}, set()),
    # Within one country nothing else changes.
    ("Eiffel Tower", "city", "Marseille", {}, {"country", "kind"}, set()),
    # Of a place that atlas does not know no rule says where it is.
    ("Space Needle", "city", "Narnia", {}, {"kind"}, {"country"}),
    # Rules speak against themselves: in France it is not in Seattle, and where it is nothing says.
    ("Space Needle", "country", "France", {}, {"kind"}, {"city"}),
    ("Marseille", "country", "Japan", {"continent": "Asia", "language": "Japanese"}, {"kind"}, set()),
    ("Marseille", "country", "Germany", {"language": "German"}, {"continent", "kind"}, set()),
    # In Mumbai people speak Marathi and not the country's Hindi: moving the city decides nothing about its language.
    ("Mumbai", "country", "Germany", {"continent": "Europe"}, {"kind"}, {"language"}),
    ("Marseille", "continent", "Asia", {}, {"language", "kind"}, {"country"}),
    ("Marie Curie", "nationality", "France", {}, {"profession", "field"}, {"birthplace", "mother_tongue"}),
    ("Hamlet", "author", "Goethe", {}, {"kind"}, {"original_language"}),
    ("France", "capital", "Marseille", {}, {"continent", "language", "currency", "kind"}, set()),
]


@pytest.mark.parametrize(("subject", "relation", "target", "entailed", "independent", "undecided"), CASES)
def test_what_becomes_of_the_other_facts(
    subject: str, relation: str, target: str, entailed: dict[str, str], independent: set[str], undecided: set[str]
) -> None:
    knowledge = load_knowledge()
    statement = knowledge.statement(subject, relation)
    after = knowledge.follows(statement, target)
    assert {other.relation.name: new for other, new in after.entailed} == entailed
    assert {other.relation.name for other in after.independent} == independent
    assert {other.relation.name for other in after.undecided} == undecided
    # Every other fact is one of the three, once.
    every = [*(other for other, _ in after.entailed), *after.independent, *after.undecided]
    assert sorted(map(str, every)) == sorted(map(str, knowledge.other_statements(statement)))


def test_the_strict_rules_hold_in_the_fact_files() -> None:
    """Where source, consequence and what lies between them are all stated, they agree, but for a few languages."""
    knowledge, tried = load_knowledge(), dict.fromkeys((rule for rule in FOLLOWS if rule.strict), 0)
    exceptions = []
    for rule in tried:
        for statement in knowledge.statements:
            if statement.relation.name == rule.source:
                stated = {other.relation.name: other.object for other in knowledge.other_statements(statement)}
                follows = knowledge.object_of(statement.object, rule.via)
                if follows is not None and rule.consequence in stated:
                    tried[rule] += 1
                    if stated[rule.consequence] != follows:
                        exceptions.append((rule.consequence, statement.subject.name))
    assert min(tried.values()) >= 5
    assert {consequence for consequence, _ in exceptions} == {"language"}
    assert len(exceptions) < 0.1 * sum(count for rule, count in tried.items() if rule.consequence == "language")


def test_ready_made_checks_keep_what_follows_apart_from_what_should_stay() -> None:
    fact = fl.Fact("{} is in downtown", subject="The Space Needle", target=fl.Exactly(" Paris"))
    probes = atlas_checks(fact, others=3).probes
    assert {(p.old, p.new, p.wanted) for p in probes if p.role == "portability"} == {("America", "France", "France")}
    assert {(p.old, p.wanted) for p in probes if p.role == "other"} == {("tower", "tower")}
    assert [sum(p.role == role for p in probes) for role in ("portability", "other")] == [3, 3]
