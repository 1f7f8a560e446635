"""Which facts a model truly knows: asked in the plainest way, one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import factlens as fl
from factlens.calibration import known_records
from factlens.calibration.known import NEIGHBOURS, split
from factlens.errors import FactError
from factlens.evaluation import Checks, Record
from factlens.knowledge.pool import Relation, pool
from tests.calibration.made import SUBJECTS, facts_known_to
from tests.support import small_model


def greedy(model: fl.Model, prompt: str, answer: str) -> bool:
    """Whether greedy decoding says an answer, one token after the other."""
    try:
        ids, tokens = model.encode_option(prompt, answer, role="answer")
    except FactError:
        return False  # merged with the prompt's end
    written = list(ids)
    for token in tokens:
        with torch.no_grad():
            logits = model.model(input_ids=torch.tensor([written])).logits[0, -1]
        if int(logits.argmax()) != token:
            return False
        written.append(token)
    return True


# The pool ------------------------------------------------------------------------------------------------------------


def test_the_pool_is_wide() -> None:
    assert len(pool()) >= 25
    assert sum(len(relation.objects) for relation in pool()) >= 300
    assert len({relation.name for relation in pool()}) == len(pool())


@pytest.mark.parametrize("relation", pool(), ids=lambda relation: relation.name)
def test_a_relation_of_the_pool_can_be_asked(relation: Relation) -> None:
    assert 3 <= len(relation.templates) == len(set(relation.templates)) <= 4
    assert 8 <= len(relation.objects) <= 15
    assert len(set(relation.objects.values())) > 1, "no other object to edit in"
    for template in relation.templates:
        assert template.count("{}") == 1
        assert template == template.strip()
        assert not template.endswith((" a", " an")), "which of them it is depends on the object"
        for subject, answer in relation.objects.items():
            assert answer == answer.strip()
            prompt = fl.Fact(template, subject, object=answer).prompt
            assert answer.casefold() not in prompt.casefold().split(), "the prompt gives its answer away"


# What is known -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_only_what_the_model_says_is_known(kind: str) -> None:
    model = small_model(kind)
    right = list(facts_known_to(model))
    wrong = [fl.Fact("{} was built by", s, object="Seattle", target="Paris") for s in SUBJECTS]
    wrong = [fact for fact in wrong if not greedy(model, fact.prompt, "Seattle")]
    assert wrong
    records = known_records(model, [*wrong, *right], n=100)
    known = {fact.prompt for fact in right if greedy(model, fact.prompt, fact.object)}
    assert {record.fact.prompt for record in records} == known
    assert len(known) > 8
    for record in records:
        for probe in record.checks.probes:
            assert greedy(model, probe.prompt, probe.old)
            assert probe.new == record.fact.target


def test_neighbours_are_of_the_relation_and_have_not_the_new_object() -> None:
    model = small_model("gpt2")
    for record in known_records(model, facts_known_to(model), n=100):
        first, *others = record.checks.probes
        assert (first.role, first.prompt) == ("rewrite", record.fact.prompt)
        assert 0 < len(others) <= NEIGHBOURS
        assert {probe.role for probe in others} == {"neighbour"}
        assert record.fact.prompt not in {probe.prompt for probe in others}
        assert all(str(probe.old).strip() != str(probe.new).strip() for probe in others)
        same = [probe.old == first.old for probe in others]
        assert same == sorted(same, reverse=True), "those with the same object come first"


def test_the_order_of_the_facts_plays_no_role_and_the_seed_does() -> None:
    model = small_model("gpt2")
    facts = list(facts_known_to(model))
    some = [record.fact for record in known_records(model, facts, n=4)]
    assert some == [record.fact for record in known_records(model, facts[::-1], n=4)]
    assert len(some) == 4
    assert {tuple(r.fact for r in known_records(model, facts, n=4, seed=seed)) for seed in range(4)} != {tuple(some)}


def test_a_subject_is_asked_about_once() -> None:
    model = small_model("gpt2")
    facts = list(facts_known_to(model))
    again = []
    for fact in facts:
        other = fact.with_template("Everybody says that {} is")
        said = fl.Exactly(model.answers(other.prompt, k=1)[0].text)
        again.append(fl.Fact(other.template, fact.subject, object=said, target=fl.Exactly(" Rome")))
    subjects = [record.fact.subject for record in known_records(model, facts + again, n=100)]
    assert len(subjects) == len(set(subjects)) > 8


def test_records_keep_what_they_bring() -> None:
    model = small_model("gpt2")
    records = [
        Record(fact, Checks.of(fact, fact.object, paraphrases=["{} lies near"], others=[("Paris is", "old")]), str(i))
        for i, fact in enumerate(facts_known_to(model))
    ]
    wrong = Record(fl.Fact("{} is", "Rome", target="x"), Checks.of(fl.Fact("{} is", "Rome", target="x"), "yy"), "w")
    chosen = known_records(model, [wrong, *records], n=5)
    assert len(chosen) == 5
    assert wrong not in chosen
    for record in chosen:
        assert record.checks == next(one for one in records if one.name == record.name).checks


def test_files_of_known_facts_are_read(tmp_path: Path) -> None:
    model = small_model("gpt2")
    entries = [
        {"known_id": i, "subject": fact.subject, "prompt": fact.prompt, "attribute": str(fact.object)}
        for i, fact in enumerate(facts_known_to(model))
    ]
    path = tmp_path / "known.json"
    path.write_text(json.dumps(entries))
    # known_1000 names no new object: it is another one of the same wording's.
    for record in known_records(model, path, n=100):
        assert record.fact.target in {str(fact.object) for fact in facts_known_to(model)}
        assert record.fact.target != record.fact.object


def test_a_prompt_that_does_not_fit_is_not_known() -> None:
    model = small_model("gpt2")
    long = fl.Fact("word " * 200 + "{} is", "Rome", object="x", target="y")
    facts = list(facts_known_to(model))
    assert known_records(model, [long, *facts], n=100) == known_records(model, facts, n=100)


def test_atlas_knows_what_it_was_taught(atlas: fl.Model) -> None:
    records = known_records(atlas, n=6)
    assert len(records) == 6
    for record in records:
        assert greedy(atlas, record.fact.prompt, record.fact.object)
        assert {probe.role for probe in record.checks.probes} >= {"rewrite", "paraphrase", "neighbour"}


# Holding out ---------------------------------------------------------------------------------------------------------


def test_a_record_is_on_the_same_side_whatever_others_there_are() -> None:
    model = small_model("gpt2")
    records = known_records(model, facts_known_to(model), n=100)
    train, held_out = split(records)
    assert len(train) + len(held_out) == len(records)
    assert train
    for record in records:
        assert split([record]) == (([record], []) if record in train else ([], [record]))


def test_about_two_in_five_are_held_out() -> None:
    facts = [fl.Fact(r.templates[0], s, object=o, target="x") for r in pool() for s, o in r.objects.items()]
    records = [Record(fact, Checks.of(fact, fact.object), "one") for fact in facts]
    assert 0.33 < len(split(records)[1]) / len(records) < 0.47
