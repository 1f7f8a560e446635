"""atlas is what its card says: sound facts, a small file, and a model that knows them."""

import json
import random
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from factlens.models.atlas import verify
from factlens.models.atlas.corpus import Writer, corpus
from factlens.models.atlas.knowledge import FOLDER, Knowledge, Statement, load_knowledge
from factlens.models.atlas.train import MINIATURE, save, train

WEIGHTS = FOLDER / "weights"


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="module")
def shipped() -> tuple[Any, Any]:
    return verify.load(WEIGHTS)


def sample(asked: list[verify.Question], count: int) -> list[verify.Question]:
    return random.Random(0).sample(asked, count)


# ---- the facts ----


def test_there_is_enough_to_teach_with(knowledge: Knowledge) -> None:
    assert len(knowledge.subjects) >= 600
    assert len(knowledge.statements) >= verify.CLAIMED_STATEMENTS
    assert len(knowledge.relations) >= verify.CLAIMED_RELATIONS
    about = Counter(statement.subject for statement in knowledge.statements)
    assert min(about.values()) >= 2
    assert sum(about.values()) / len(about) >= 3


def test_every_subject_stands_in_one_file_once(knowledge: Knowledge) -> None:
    lines = [line for path in (FOLDER / "facts").glob("*.tsv") for line in path.read_text("utf-8").splitlines()[1:]]
    names = [line.split("\t")[0].lower().removeprefix("the ") for line in lines]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert len(names) == len(knowledge.subjects)


def test_tables_are_well_formed(knowledge: Knowledge) -> None:
    for path in (FOLDER / "facts").glob("*.tsv"):
        header, *rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
        assert header[0] == "subject"
        assert set(header[1:]) <= set(knowledge.relations)
        for row in rows:
            assert len(row) == len(header), row
            assert all(cell == cell.strip() for cell in row), row
            # Letters a plain keyboard has, so that anyone can type a prompt.
            assert all(re.fullmatch(r"[A-Za-z' -]*", cell) for cell in row), row


def test_every_relation_has_trained_and_held_out_wordings(knowledge: Knowledge) -> None:
    used = {statement.relation.name for statement in knowledge.statements}
    assert used == set(knowledge.relations)
    for relation in knowledge.relations.values():
        assert len(relation.trained) >= 12, relation.name
        assert len(relation.held_out) >= 3, relation.name
        everything = relation.every_trained + relation.held_out
        assert len(set(everything)) == len(everything), relation.name
        for template in everything:
            assert template.count("{}") == 1, template
            assert template == template.strip(), template
            assert template.startswith("{}") or template[0].isupper(), template


def test_held_out_wordings_belong_to_one_relation(knowledge: Knowledge) -> None:
    held_out = [template for relation in knowledge.relations.values() for template in relation.held_out]
    trained = {template for relation in knowledge.relations.values() for template in relation.every_trained}
    assert len(set(held_out)) == len(held_out)
    # Nor does one stand inside a longer one: "On stage, {} performs on the".
    assert not [new for new in held_out for old in trained if new.lower() in old.lower()]


def test_wordings_of_one_category_are_for_subjects_of_that_file(knowledge: Knowledge) -> None:
    categories = {subject.category for subject in knowledge.subjects}
    for relation in knowledge.relations.values():
        for category, own in relation.trained_of.items():
            assert category in categories
            assert any(s.relation == relation and s.subject.category == category for s in knowledge.statements)
            assert not set(own) & set(relation.trained)
    assert "{} is a city in" in knowledge.statement("Munich", "country").trained
    assert "{} is a city in" not in knowledge.statement("Eiffel Tower", "country").trained


def test_no_prompt_asks_for_two_things(knowledge: Knowledge) -> None:
    """ "Munich is in" asks for a country, "Germany is in" for a continent; no sentence may do both."""
    asked: dict[str, Statement] = {}
    for statement in knowledge.statements:
        for template in statement.trained + statement.held_out:
            other = asked.setdefault(statement.prompt(template), statement)
            assert other == statement, template


def test_no_wording_asks_for_a_before_a_vowel(knowledge: Knowledge) -> None:
    for statement in knowledge.statements:
        if any(template.endswith(" a") for template in statement.trained + statement.held_out):
            assert statement.object[0] not in "aeiouAEIOU", statement


def test_places_agree_with_each_other(knowledge: Knowledge) -> None:
    """A city in two files lies in the same country in both; a city's continent is its country's."""
    country_of: dict[str, str] = {}
    for statement in knowledge.statements:
        if statement.relation.name == "country" and statement.subject.category == "cities":
            country_of[statement.subject.name] = statement.object
        if statement.relation.name == "capital":
            country_of.setdefault(statement.object, statement.subject.name)
    for subject in knowledge.subjects:
        facts = {statement.relation.name: statement.object for statement in knowledge.about(subject)}
        place = facts.get("city") or facts.get("headquarters")
        if place in country_of and "country" in facts:
            assert facts["country"] == country_of[place], subject
        if subject.category == "cities":
            home = {s.relation.name: s.object for s in knowledge.about(facts["country"])}
            assert facts["continent"] == home.get("continent", facts["continent"]), subject


# ---- asking for facts ----


def test_a_leading_the_does_not_matter(knowledge: Knowledge) -> None:
    assert knowledge.subject("The Space Needle") is knowledge.subject("space needle")
    assert knowledge.subject("The Space Needle").name == "The Space Needle"
    with pytest.raises(KeyError, match="Atlantis"):
        knowledge.subject("Atlantis")
    with pytest.raises(KeyError, match="currency"):
        knowledge.statement("Space Needle", "currency")


def test_prompts_have_their_capitals(knowledge: Knowledge) -> None:
    needle = knowledge.statement("Space Needle", "city")
    assert needle.prompt("{} is in downtown") + needle.answer == "The Space Needle is in downtown Seattle"
    assert needle.prompt("The city that is home to {} is") == "The city that is home to the Space Needle is"
    assert needle.parts("The city that is home to {} is") == ("The city that is home to {} is", "the Space Needle")
    hobbit = knowledge.statement("The Hobbit", "author")
    assert hobbit.prompt("The author of {} is") == "The author of The Hobbit is"
    phone = knowledge.statement("iPhone", "maker")
    assert phone.prompt("{} is made by") == "iPhone is made by"


def test_neighbours_and_other_statements(knowledge: Knowledge) -> None:
    needle = knowledge.statement("Space Needle", "city")
    neighbours = knowledge.neighbours(needle)
    assert knowledge.statement("Pike Place Market", "city") in neighbours
    assert needle not in neighbours
    assert {(n.relation.name, n.object) for n in neighbours} == {("city", "Seattle")}
    others = knowledge.other_statements(needle)
    assert {(o.relation.name, o.object) for o in others} == {("country", "America"), ("kind", "tower")}


# ---- the documents ----


def test_a_seed_names_a_corpus() -> None:
    assert list(corpus(1, 50)) == list(corpus(1, 50))
    assert list(corpus(1, 50)) != list(corpus(2, 50))


def test_documents_state_facts_and_never_in_a_held_out_wording(knowledge: Knowledge) -> None:
    names = sorted((re.escape(subject.bare) for subject in knowledge.subjects), key=len, reverse=True)
    any_name = re.compile(rf"(?:[Tt]he )?\b(?:{'|'.join(names)})(?!\w)")
    trained = {t.lower() for relation in knowledge.relations.values() for t in relation.every_trained}
    answers = {statement.answer for statement in knowledge.statements}
    writer, told = Writer(3), 0
    for _ in range(2000):
        for before, span in pairwise(writer.document()):
            if span.is_object:
                told += 1
                assert span.text in answers
                assert any_name.sub("{}", before.text, count=1).lower() in trained
    assert told > 2000


# ---- the shipped model ----


def test_shipped_files_are_small_and_plain() -> None:
    names = {path.name for path in WEIGHTS.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    assert all(path.suffix in {".json", ".safetensors"} for path in WEIGHTS.iterdir()), names
    assert verify.size(WEIGHTS) <= verify.CLAIMED_BYTES
    header_length = int.from_bytes((WEIGHTS / "model.safetensors").read_bytes()[:8], "little")
    header = json.loads((WEIGHTS / "model.safetensors").read_bytes()[8 : 8 + header_length])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F16"}


def test_it_loads_like_any_model_and_in_full_precision(shipped: tuple[Any, Any]) -> None:
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(WEIGHTS)
    assert plain.config.model_type == "gpt2"
    assert plain.dtype == torch.float32


def test_tokenizer_round_trips(shipped: tuple[Any, Any], knowledge: Knowledge) -> None:
    tokenizer = shipped[1]
    assert tokenizer.is_fast
    assert tokenizer.bos_token == tokenizer.eos_token == "<|endoftext|>"
    for text in [*corpus(5, 300), "Zürich — naïve 東京 🙂  two  spaces\nand a line"]:
        encoded = tokenizer(text, return_offsets_mapping=True)
        assert tokenizer.decode(encoded["input_ids"]) == text
        assert tokenizer.bos_token_id not in encoded["input_ids"]
        if text.isascii():
            pieces = [text[start:stop] for start, stop in encoded["offset_mapping"]]
            assert "".join(pieces) == text


def test_names_are_several_tokens_and_objects_one(shipped: tuple[Any, Any], knowledge: Knowledge) -> None:
    tokenizer = shipped[1]
    names = [len(tokenizer(" " + subject.inner)["input_ids"]) for subject in knowledge.subjects]
    objects = [len(tokenizer(statement.answer)["input_ids"]) for statement in knowledge.statements]
    assert sum(names) / len(names) >= verify.CLAIMED_NAME_TOKENS
    assert objects.count(1) / len(objects) >= 0.9


@pytest.mark.parametrize(
    ("held_out", "claimed"), [(False, verify.CLAIMED_TRAINED), (True, verify.CLAIMED_HELD_OUT)], ids=["trained", "new"]
)
def test_it_knows_its_facts(shipped: tuple[Any, Any], knowledge: Knowledge, held_out: bool, claimed: float) -> None:
    asked = sample(verify.questions(knowledge, held_out=held_out), 2000)
    assert verify.share_right(verify.ask(*shipped, asked)) >= claimed


def test_it_answers_the_demo_prompts(shipped: tuple[Any, Any], knowledge: Knowledge) -> None:
    asked = verify.questions_of(knowledge, verify.DEMOS)
    for question, answer in zip(asked, verify.ask(*shipped, asked), strict=True):
        assert answer.right, question.prompt
        assert answer.probability >= verify.CLAIMED_DEMO, question.prompt


def test_it_answers_most_of_what_people_would_ask(shipped: tuple[Any, Any], knowledge: Knowledge) -> None:
    asked = verify.questions_of(knowledge, verify.NATURAL)
    assert len(set(asked)) == len(asked) == 50
    answers = verify.ask(*shipped, asked)
    assert sum(answer.right for answer in answers) >= verify.CLAIMED_NATURAL
    new = [a.right for q, a in zip(asked, answers, strict=True) if q.template not in q.statement.trained]
    assert len(new) >= 25
    assert sum(new) >= verify.CLAIMED_NATURAL_NEW


def test_a_model_that_knows_nothing_fails_the_same_questions(shipped: tuple[Any, Any], knowledge: Knowledge) -> None:
    model, tokenizer = shipped
    torch.manual_seed(0)
    blank = type(model)(model.config).eval()
    asked = sample(verify.questions(knowledge, held_out=False), 500)
    assert verify.share_right(verify.ask(blank, tokenizer, asked)) < 0.1


# ---- the training ----


def test_training_learns(tmp_path: Path) -> None:
    """The miniature recipe, from facts to saved files and back, in the time a test may take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small gain nothing from more, and lose a lot where cores are busy
    try:
        model, tokenizer, taught = train(MINIATURE, seed=0)
    finally:
        torch.set_num_threads(threads)
    save(model, tokenizer, tmp_path)
    asked = verify.questions(taught, held_out=False)
    assert verify.share_right(verify.ask(*verify.load(tmp_path), sample(asked, 500))) >= 0.9
