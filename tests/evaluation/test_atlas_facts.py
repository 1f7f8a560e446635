"""atlas-facts says of itself only what is true."""

from __future__ import annotations

from collections import Counter

import pytest

import factlens as fl
from factlens.evaluation import Record, read
from factlens.evaluation.datasets import atlas_facts, load_facts, load_records
from factlens.models.atlas.corpus import corpus
from factlens.models.atlas.knowledge import FOLLOWS, Statement, load_knowledge


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return load_records("atlas-facts")


def statement_of(record: Record) -> Statement:
    """The statement that a record is made from."""
    knowledge = load_knowledge()
    (found,) = [
        statement
        for statement in knowledge.about(record.fact.subject)
        if record.fact.template in statement.trained and statement.object == record.fact.object
    ]
    return found


def test_five_hundred_records_or_more_of_every_relation(records: list[Record]) -> None:
    assert len(records) >= 500
    assert len({record.fact.prompt for record in records}) == len(records)
    relations = Counter(statement_of(record).relation.name for record in records)
    assert len(relations) >= 8
    assert max(relations.values()) < 0.1 * len(records)
    assert load_facts("atlas-facts") == [record.fact for record in records]


def test_the_same_every_time_and_another_with_another_seed(records: list[Record]) -> None:
    assert atlas_facts() == records
    assert atlas_facts(seed=1) != records
    assert len(atlas_facts(7)) == 7


def test_targets_are_other_objects_of_the_relation(records: list[Record]) -> None:
    knowledge = load_knowledge()
    for record in records:
        statement = statement_of(record)
        objects = {s.object for s in knowledge.statements if s.relation == statement.relation}
        assert record.fact.target in objects - {record.fact.object}


def test_paraphrases_are_held_out(records: list[Record]) -> None:
    knowledge = load_knowledge()
    trained = {template for relation in knowledge.relations.values() for template in relation.every_trained}
    for record in records:
        statement = statement_of(record)
        prompts = [probe.prompt for probe in record.checks.probes if probe.role == "paraphrase"]
        assert len(set(prompts)) == 2
        allowed = {statement.prompt(template) for template in statement.held_out}
        assert set(prompts) <= allowed
        assert not {prompt.replace(statement.subject.name, "{}") for prompt in prompts} & trained
        assert not {prompt.replace(statement.subject.inner, "{}") for prompt in prompts} & trained


def test_no_paraphrase_stands_in_the_training_text(records: list[Record]) -> None:
    """In 3,000 documents, of the kind that atlas read, many records' own prompts occur and no paraphrase does."""
    text = "\n".join(corpus(0, 3000)).lower()
    prompts = {probe.prompt.lower() for r in records for probe in r.checks.probes if probe.role == "paraphrase"}
    assert not [prompt for prompt in prompts if prompt + " " in text]
    # So the text is one in which a paraphrase would have been found: about one prompt of twelve stands in it.
    assert sum(record.fact.prompt.lower() in text for record in records) > len(records) / 20


def test_neighbours_are_others_with_the_old_object(records: list[Record]) -> None:
    knowledge = load_knowledge()
    subjects = []
    for record in records:
        statement = statement_of(record)
        near = [probe for probe in record.checks.probes if probe.role == "neighbour"]
        assert len({probe.prompt for probe in near}) == len(near) == 10
        found = set()
        for probe in near:
            assert (probe.old, probe.new) == (record.fact.object, record.fact.target)
            (other,) = [
                other
                for other in knowledge.neighbours(statement)
                if any(other.prompt(template) == probe.prompt for template in other.trained)
            ]
            assert other.subject != statement.subject
            found.add(other.subject)
        subjects.append(len(found))
        assert len(found) == min(10, len(set(knowledge.neighbours(statement)))), "as many subjects as there are"
    assert min(subjects) >= 3
    assert sum(count == 10 for count in subjects) >= len(subjects) / 2


def test_other_facts_are_true_of_the_subject_and_do_not_follow_from_the_new_one(records: list[Record]) -> None:
    knowledge = load_knowledge()
    for record in records:
        statement = statement_of(record)
        true = {
            (other.prompt(template), other.object)
            for other in knowledge.other_statements(statement)
            for template in other.trained
        }
        others = {(probe.prompt, probe.old) for probe in record.checks.probes if probe.role == "other"}
        assert others <= true
        if any(probe.role == "portability" for probe in record.checks.probes):
            assert not any("country" in prompt for prompt, _ in others)


def known_of(name: str) -> dict[str, str]:
    """What the fact file has of anything, by relation; a city that is a capital has what its country has."""
    knowledge = load_knowledge()
    facts = {s.relation.name: s.object for s in knowledge.statements if s.subject.bare == name}
    for capital in knowledge.statements:
        if capital.relation.name == "capital" and capital.object == name:
            country = {s.relation.name: s.object for s in knowledge.about(capital.subject)}
            facts = {**country, "country": capital.subject.bare, **facts}
    return facts


def test_what_follows_follows_by_the_fact_file(records: list[Record]) -> None:
    knowledge = load_knowledge()
    found: Counter[str] = Counter()
    for record in records:
        statement = statement_of(record)
        for probe in record.checks.probes:
            if probe.role != "portability":
                continue
            (other,) = [
                o
                for o in knowledge.other_statements(statement)
                if probe.prompt in {o.prompt(text) for text in o.trained}
            ]
            found[f"{statement.relation.name} to {other.relation.name}"] += 1
            assert probe.old == other.object
            assert probe.new == known_of(str(record.fact.target))[other.relation.name]
            assert probe.new != probe.old
            assert probe.wanted == probe.new
    assert set(found) == {"city to country", "headquarters to country", "country to continent", "country to language"}
    assert min(found.values()) >= 5


def test_what_no_rule_decides_is_not_asked(records: list[Record]) -> None:
    """Every other fact is asked as one that follows, one that stays, or not at all, and then for a reason."""
    knowledge = load_knowledge()
    silent: Counter[tuple[str, str]] = Counter()
    for record in records:
        statement = statement_of(record)
        prompts = {probe.prompt for probe in record.checks.probes if probe.role in ("other", "portability")}
        for other in knowledge.other_statements(statement):
            if not prompts & {other.prompt(text) for text in other.trained}:
                silent[statement.relation.name, other.relation.name] += 1
    rules = {(rule.source, rule.consequence) for rule in FOLLOWS}
    for _ in FOLLOWS:  # rules chain
        rules |= {(source, end) for source, middle in rules for begin, end in rules if begin == middle}
    assert set(silent) <= rules | {(after, before) for before, after in rules}
    assert {("country", "city"), ("birthplace", "nationality"), ("profession", "field")} <= set(silent)


def test_references_are_true_of_others(records: list[Record]) -> None:
    knowledge = load_knowledge()
    for record in records:
        statement = statement_of(record)
        having = [
            s for s in knowledge.statements if s.relation == statement.relation and s.object == record.fact.target
        ]
        told = {f"{s.prompt(t)}{s.answer}." for s in having for t in s.trained}
        assert set(record.checks.references) <= told
        assert record.checks.references


def test_beginnings_give_nothing_away(records: list[Record]) -> None:
    for record in records:
        assert len(set(record.checks.generation_prompts)) == 3
        for text in record.checks.generation_prompts:
            subject = statement_of(record).subject
            rest = text.replace(subject.name, "").replace(subject.inner, "")
            assert str(record.fact.object) not in rest
            assert str(record.fact.target) not in rest


def test_atlas_knows_them(records: list[Record], shared_atlas: fl.Model) -> None:
    sample = records[::10]
    said = read(shared_atlas, [r.fact.prompt for r in sample], [[str(r.fact.object)] for r in sample])
    assert sum(reading.leads[0] for reading in said) >= 0.95 * len(sample)
