"""Data sets that say what follows from an edit: in the published layouts, with contents of ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import factlens as fl
from factlens.evaluation import Record
from factlens.evaluation.datasets import load_records, mquake, ripple_edits, zsre
from tests.evaluation.test_datasets import COUNTERFACT, KNOWN, OWN, ZSRE

MQUAKE: dict[str, Any] = {
    "case_id": 3,
    "requested_rewrite": [
        {
            "prompt": "{} stands in",
            "relation_id": "P131",
            "target_new": {"str": "Rome", "id": "Q220"},
            "target_true": {"str": "Paris", "id": "Q90"},
            "subject": "The Louvre",
            "question": "In which city does the Louvre stand?",
        }
    ],
    "questions": ["In which country does the Louvre stand?", "What country is home to the Louvre?"],
    "answer": "France",
    "answer_alias": ["French Republic"],
    "new_answer": "Italy",
    "new_answer_alias": ["Italia"],
    "single_hops": [
        {"question": "In which city?", "cloze": "The Louvre stands in", "answer": "Paris", "answer_alias": []}
    ],
    "new_single_hops": [
        {"question": "In which city?", "cloze": "The Louvre stands in", "answer": "Rome", "answer_alias": []}
    ],
}


def ripple_test(prompt: str, *answers: str) -> dict[str, Any]:
    query = {
        "prompt": prompt,
        "answers": [{"value": value, "aliases": []} for value in answers],
        "query_type": "regular",
    }
    return {"test_queries": [query], "test_condition": "OR", "condition_queries": []}


RIPPLE: dict[str, Any] = {
    "example_type": "popular",
    "edit": {
        "prompt": "The name of the city of residence of Ada of Ghent is Old Rome.",
        "subject_id": "Q1",
        "relation": "RESIDENCE",
        "target_id": "Q220",
        "original_fact": {"prompt": "The name of the city of residence of Ada of Ghent is Paris.", "target_id": "Q90"},
    },
    "Relation_Specificity": [
        ripple_test("The name of the mother of Ada of Ghent is", "", "Berta"),
        ripple_test("The place of birth of Ada of Ghent is", "Ghent"),
    ],
    "Logical_Generalization": [ripple_test("The name of the country of residence of Ada of Ghent is", "Italy")],
    "Compositionality_I": [ripple_test("The mayor of the city of residence of Ada of Ghent is")],
    "Compositionality_II": [],
    "Subject_Aliasing": [ripple_test("The name of the city of residence of Ada the Elder is", "Old Rome", "Roma")],
    "Forgetfulness": [ripple_test("A city of residence of Ada of Ghent, which is not Old Rome, is", "Paris")],
}


def probes(record: Record, role: str) -> list[tuple[str, str, str]]:
    return [(p.prompt, str(p.old), str(p.new)) for p in record.checks.probes if p.role == role]


def written(path: Path, records: list[Any]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("\n\n".join(map(json.dumps, records)), encoding="utf-8")
    else:
        path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_portability_of_zsre_follows_from_the_edit(tmp_path: Path) -> None:
    follows = {"New Question": "In which state is the university of Watts Humphrey?", "New Answer": "Michigan "}
    (record,) = load_records(written(tmp_path / "zsre.json", [{**ZSRE, "portability": follows}]))
    assert probes(record, "portability") == [(follows["New Question"], ZSRE["answers"][0], "Michigan")]
    assert probes(zsre([ZSRE])[0], "portability") == []
    same = {**follows, "New Answer": ZSRE["answers"][0]}
    (record,) = zsre([{**ZSRE, "portability": same}])
    assert probes(record, "portability") == [(follows["New Question"], ZSRE["alt"], ZSRE["answers"][0])]


def test_mquake(tmp_path: Path) -> None:
    (record,) = load_records(written(tmp_path / "MQuAKE-CF.json", [MQUAKE]))
    assert record.name == "mquake 3"
    assert record.fact == fl.Fact("{} stands in", subject="The Louvre", object="Paris", target="Rome")
    assert probes(record, "paraphrase") == [("In which city does the Louvre stand?", "Paris", "Rome")]
    assert probes(record, "portability") == [(question, "France", "Italy") for question in MQUAKE["questions"]]


def test_questions_on_several_rewrites_follow_from_no_single_one() -> None:
    other = {**MQUAKE["requested_rewrite"][0], "subject": "Rome", "prompt": "{} is in", "target_new": {"str": "Spain"}}
    case = {**MQUAKE, "requested_rewrite": [*MQUAKE["requested_rewrite"], other]}
    with pytest.warns(UserWarning, match="1 cases have several rewrites"):
        records = mquake([case, MQUAKE])
    assert [record.name for record in records] == ["mquake 3 (1 of 2)", "mquake 3 (2 of 2)", "mquake 3"]
    assert [len(probes(record, "portability")) for record in records] == [0, 0, 2]


def test_ripple_edits(tmp_path: Path) -> None:
    (record,) = load_records(written(tmp_path / "popular.json", [RIPPLE]))
    fact = record.fact
    assert (fact.prompt, fact.subject) == ("The name of the city of residence of Ada of Ghent is", "Ada of Ghent")
    assert (fact.object, fact.target) == ("Paris", "Old Rome")
    assert probes(record, "portability") == [
        ("The name of the country of residence of Ada of Ghent is", "Paris", "Italy"),
        ("The name of the city of residence of Ada the Elder is", "Paris", "Old Rome"),
    ]
    assert [(prompt, answer) for prompt, answer, _ in probes(record, "other")] == [
        ("The name of the mother of Ada of Ghent is", "Berta"),
        ("The place of birth of Ada of Ghent is", "Ghent"),
        ("A city of residence of Ada of Ghent, which is not Old Rome, is", "Paris"),
    ]


def test_the_subject_of_ripple_edits_may_be_written_down() -> None:
    entry = copy.deepcopy(RIPPLE)
    entry["edit"]["subject"] = "Ghent"
    assert ripple_edits([entry])[0].fact.subject == "Ghent"


def broken(base: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    entry = copy.deepcopy(base)
    change(entry)
    return entry


@pytest.mark.parametrize(
    ("base", "change", "words"),
    [
        (ZSRE, lambda e: e.update(portability=3), "a number in 'portability'"),
        (ZSRE, lambda e: e.update(portability={"New Question": "Who?"}), "in 'portability', has no field 'New Answer'"),
        (MQUAKE, lambda e: e.update(requested_rewrite={}), "an object in 'requested_rewrite', not a list of objects"),
        (MQUAKE, lambda e: e.update(requested_rewrite=[]), "no rewrite in 'requested_rewrite'"),
        (
            MQUAKE,
            lambda e: e["requested_rewrite"][0].pop("subject"),
            r"'requested_rewrite\[0\]', has no field 'subject'",
        ),
        (MQUAKE, lambda e: e["requested_rewrite"][0]["target_new"].update(str="Paris"), "become what it is"),
        (MQUAKE, lambda e: e.update(questions=["ok", ""]), r"empty text in 'questions\[1\]'"),
        (MQUAKE, lambda e: e.pop("new_answer"), "no field 'new_answer'"),
        (RIPPLE, lambda e: e["edit"].pop("original_fact"), "no 'original_fact'"),
        (RIPPLE, lambda e: e["edit"].update(prompt=e["edit"]["original_fact"]["prompt"]), "no prompt and new object"),
        (RIPPLE, lambda e: e.update(Relation_Specificity=[], Forgetfulness=[]), "write it in a field 'subject'"),
        (RIPPLE, lambda e: e.update(Forgetfulness=[3]), r"'Forgetfulness\[0\]', is a number"),
        (
            RIPPLE,
            lambda e: e["Subject_Aliasing"][0]["test_queries"][0].pop("answers"),
            r"'Subject_Aliasing\[0\]', in 'test_queries\[0\]', has no field 'answers'",
        ),
        (OWN, lambda e: e.update(paraphrases=["{} and {} are in"]), "marks the subject 2 times"),
        (
            COUNTERFACT,
            lambda e: e["requested_rewrite"].update(prompt="{} and {} are in"),
            "in 'requested_rewrite': The marker",
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_bad_record_is_named_with_its_field(
    base: dict[str, Any], change: Callable[[dict[str, Any]], object], words: str, suffix: str, tmp_path: Path
) -> None:
    path = written(tmp_path / f"some{suffix}", [base, broken(base, change)])
    with pytest.raises(fl.FactlensError, match=words) as caught:
        load_records(path)
    # With an empty line between the two, the second record of a JSONL file is its third line.
    assert f"some{suffix}, record 1" + (" (line 3)" if suffix == ".jsonl" else "") in str(caught.value)


def test_a_bad_fact_for_tracing_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "known.jsonl", [KNOWN, {**KNOWN, "known_id": 5, "attribute": None}])
    with pytest.raises(fl.FactlensError, match=r"known.jsonl, record 1 \(line 3\) \(known_id 5\) has nothing in 'attr"):
        fl.load_facts(path)


def test_a_bad_line_of_a_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text('prompt,subject,target,object\n"{} is\nin",Paris,Spain,France\n{} is in,Rome,Italy,Italy\n')
    with pytest.raises(fl.FactlensError, match=r"own.csv, record 1 \(line 4\) wants the fact to become what it is"):
        load_records(path)


def test_a_first_record_that_lacks_one_field_is_told_which(tmp_path: Path) -> None:
    first = {name: value for name, value in COUNTERFACT.items() if name != "neighborhood_prompts"}
    path = written(tmp_path / "cf.json", [first, COUNTERFACT])
    with pytest.raises(fl.FactlensError, match="for CounterFact its first record has no field 'neighborhood_prompts'"):
        load_records(path)
