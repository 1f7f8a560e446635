"""Published data sets as they are distributed, one's own records, and what is said about bad ones."""

from __future__ import annotations

import copy
import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import factlens as fl
from factlens.evaluation.datasets import counterfact, known_facts, load_facts, load_records, own_records

# In the published formats; the contents are ours.
COUNTERFACT: dict[str, Any] = {
    "case_id": 7,
    "pararel_idx": 3,
    "requested_rewrite": {
        "prompt": "{} is located in",
        "relation_id": "P131",
        "target_new": {"str": "Rome", "id": "Q220"},
        "target_true": {"str": "Paris", "id": "Q90"},
        "subject": "The Louvre",
    },
    "paraphrase_prompts": ["It rained. The Louvre can be found in", "Where is the Louvre? In"],
    "neighborhood_prompts": ["The Eiffel Tower is located in", "Notre-Dame is located in"],
    "attribute_prompts": ["The Colosseum is located in"],
    "generation_prompts": ["The Louvre is", "The Louvre is surrounded by"],
}
ZSRE: dict[str, Any] = {
    "subject": "Watts Humphrey",
    "src": "What university did Watts Humphrey attend?",
    "pred": "Trinity College",
    "rephrase": "What university did Watts Humphrey take part in?",
    "alt": "University of Michigan",
    "answers": ["Illinois Institute of Technology"],
    "loc": "nq question: who played desmond doss father in hacksaw ridge",
    "loc_ans": "Hugo Weaving",
    "cond": "a >> b || question",
}
KNOWN: dict[str, Any] = {
    "known_id": 0,
    "subject": "Vinson Massif",
    "attribute": "Antarctica",
    "template": "{} is located in the continent",
    "prediction": " of Antarctica",
    "prompt": "Vinson Massif is located in the continent",
    "relation_id": "P30",
}
OWN: dict[str, Any] = {
    "prompt": "{} is in downtown",
    "subject": "The Space Needle",
    "target": "Paris",
    "object": "Seattle",
}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def probes(record: fl.evaluation.Record, role: str) -> list[tuple[str, str, str]]:
    return [(probe.prompt, probe.old, probe.new) for probe in record.checks.probes if probe.role == role]


def test_counterfact(tmp_path: Path) -> None:
    snippets = [
        {"relation_id": "P131", "target_id": "Q220", "samples": [{"text": "The Forum is in Rome.", "name": "Forum"}]},
        {"relation_id": "P131", "target_id": "Q90", "samples": [{"text": "Not this one."}]},
    ]
    (record,) = counterfact(write(tmp_path / "c.json", [COUNTERFACT]), snippets=write(tmp_path / "s.json", snippets))
    assert record.fact == fl.Fact("{} is located in", subject="The Louvre", target="Rome", object="Paris")
    assert record.name == "counterfact 7"
    assert probes(record, "rewrite") == [("The Louvre is located in", "Paris", "Rome")]
    assert [prompt for prompt, *_ in probes(record, "paraphrase")] == COUNTERFACT["paraphrase_prompts"]
    assert probes(record, "neighbour") == [(p, "Paris", "Rome") for p in COUNTERFACT["neighborhood_prompts"]]
    assert [probe.wanted for probe in record.checks.probes] == ["Rome", "Rome", "Rome", "Paris", "Paris"]
    assert record.checks.generation_prompts == ("The Louvre is", "The Louvre is surrounded by")
    assert record.checks.references == ("The Forum is in Rome.",)
    assert "Colosseum" not in str(record)
    assert load_records(tmp_path / "c.json")[0].checks.references == ()
    write(tmp_path / "attribute_snippets.json", snippets)
    assert load_records(tmp_path / "c.json") == [record], "as published, the texts lie beside the data set"


def test_a_data_set_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the Hub's library is asked for, and that its rows are read like those of a file."""
    asked: list[tuple[str, str | None, str]] = []

    def load_dataset(name: str, config: str | None, split: str) -> list[dict[str, Any]]:
        asked.append((name, config, split))
        return [COUNTERFACT]

    library = ModuleType("datasets")
    library.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", library)
    assert load_records("hf:someone/cf") == counterfact([COUNTERFACT])
    assert load_facts("hf:someone/cf:small:test") == [record.fact for record in counterfact([COUNTERFACT])]
    assert asked == [("someone/cf", None, "train"), ("someone/cf", "small", "test")]


def test_zsre(tmp_path: Path) -> None:
    (record,) = load_records(write(tmp_path / "zsre.json", [ZSRE]))
    assert record.fact.prompt == ZSRE["src"]
    assert record.fact.template == "What university did {} attend?"
    assert (record.fact.object, record.fact.target) == ("Illinois Institute of Technology", "University of Michigan")
    assert probes(record, "paraphrase")[0][0] == ZSRE["rephrase"]
    assert probes(record, "neighbour") == [
        ("who played desmond doss father in hacksaw ridge?", "Hugo Weaving", "University of Michigan")
    ]


def test_known_facts(tmp_path: Path) -> None:
    path = write(tmp_path / "known_1000.json", [KNOWN])
    fact = fl.Fact("{} is located in the continent", subject="Vinson Massif", object="Antarctica")
    assert known_facts(path) == load_facts(path) == [fact]
    with pytest.raises(fl.FactlensError, match="no new object"):
        load_records(path)


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".jsonl.gz", ".csv", ".csv.gz", "frame", "mappings"])
def test_ones_own_records(suffix: str, tmp_path: Path) -> None:
    rich = {
        **OWN,
        "name": "needle",
        "paraphrases": ["{} can be found in downtown", "To see {}, go to"],
        "neighbours": ["Pike Place is in downtown", ["The Louvre is in", "Paris"]],
        "others": ["The Space Needle is a kind of -> tower"],
        "portability": [["The Space Needle is in the country of", "America", "France"]],
        "generation_prompts": ["{} is"],
        "references": ["Paris -> so they say -> is old."],
    }
    rows = [rich, {**OWN, "prompt": "{} stands in"}]
    flat = {
        key: " | ".join(part if isinstance(part, str) else " -> ".join(part) for part in value)
        if isinstance(value, list)
        else value
        for key, value in rich.items()
    }
    path = tmp_path / f"own{suffix}"
    source: Any = path
    if suffix == ".json":
        write(path, rows)
    elif suffix.startswith(".jsonl"):
        text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
        path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    elif suffix.startswith(".csv"):
        table = pd.DataFrame([flat, rows[1]]).to_csv(index=False)
        # As a spreadsheet saves it, with a byte order mark.
        data = table.encode("utf-8-sig")
        path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    elif suffix == "frame":
        source = pd.DataFrame([rich, rows[1]])
    else:
        source = rows
    first, second = load_records(source)
    assert own_records(source) == [first, second]
    assert first.name == "needle"
    assert first.fact == fl.Fact(OWN["prompt"], subject=OWN["subject"], target="Paris", object="Seattle")
    assert [p for p, *_ in probes(first, "paraphrase")] == [
        "The Space Needle can be found in downtown",
        "To see The Space Needle, go to",
    ]
    assert probes(first, "neighbour") == [
        ("Pike Place is in downtown", "Seattle", "Paris"),
        ("The Louvre is in", "Paris", "Paris"),
    ]
    assert probes(first, "other") == [("The Space Needle is a kind of", "tower", "Paris")]
    assert probes(first, "portability") == [("The Space Needle is in the country of", "America", "France")]
    assert first.checks.generation_prompts == ("The Space Needle is",)
    assert first.checks.references == ("Paris -> so they say -> is old.",)
    assert second.name == "record 1"
    assert len(second.checks.probes) == 1


def broken(base: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    entry = copy.deepcopy(base)
    change(entry)
    return entry


@pytest.mark.parametrize(
    ("base", "change", "words"),
    [
        (COUNTERFACT, lambda e: e.pop("paraphrase_prompts"), "no field 'paraphrase_prompts'"),
        (COUNTERFACT, lambda e: e["requested_rewrite"].update(prompt="The Louvre is in"), r"no '\{\}'"),
        (COUNTERFACT, lambda e: e["requested_rewrite"].update(subject=" "), "empty text in 'subject'"),
        (COUNTERFACT, lambda e: e["requested_rewrite"].update(target_new="Rome"), "a text in 'target_new'"),
        (COUNTERFACT, lambda e: e["requested_rewrite"]["target_new"].update(str="Paris"), "become what it is, 'Paris'"),
        (COUNTERFACT, lambda e: e.update(neighborhood_prompts="The Eiffel"), "not a list of texts"),
        (COUNTERFACT, lambda e: e.update(neighborhood_prompts=["ok", 3]), r"a number in 'neighborhood_prompts\[1\]'"),
        (ZSRE, lambda e: e.update(subject="Somebody"), "'Somebody'"),
        (ZSRE, lambda e: e.update(answers=[]), "no answer"),
        (ZSRE, lambda e: e.update(alt=None), "nothing in 'alt'"),
        (OWN, lambda e: e.update(subject="The Louvre", prompt="The Space Needle is in"), "The Louvre"),
        (OWN, lambda e: e.update(target="Seattle"), "become what it is"),
        (OWN, lambda e: e.update(paraphrase=["x"]), "unknown field 'paraphrase'"),
        (OWN, lambda e: e.update(others=["no object here"]), "a prompt and its object is wanted"),
        (OWN, lambda e: e.update(portability=["a -> b"]), "a prompt and two objects"),
        (OWN, lambda e: e.update(neighbours=[3]), "neither a text nor a list"),
        (OWN, lambda e: e.update(neighbours="a || b"), "empty text"),
        (OWN, lambda e: e.update(references={"a": 1}), "dict in 'references', not a list"),
    ],
)
def test_a_bad_record_is_named(
    base: dict[str, Any], change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "some.json", [base, broken(base, change)])
    with pytest.raises(fl.FactlensError, match=words) as caught:
        load_records(path)
    assert "some.json, record 1" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.json", b"[{]", "no JSON"),
        ("a.jsonl", b'{"a": 1}\n{"b"', "line 2 is no JSON"),
        ("a.json", b"[]", "holds no record"),
        ("a.json", b"{}", "an object, not a list"),
        ("a.json", b"[3]", "record 0 is a number"),
        ("a.json", b'["\xff"]', "UTF-8"),
        ("a.csv.gz", b"\x1f\x8bnot compressed", "cannot be decompressed"),
        ("a.txt", b"hello", "none of .json"),
        ("a.csv", b"subject,color\nx,y\n", "has subject, color"),
    ],
)
def test_a_bad_file_is_named(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(fl.FactlensError, match=words) as caught:
        load_records(path)
    assert name in str(caught.value)


def test_records_that_contradict_each_other() -> None:
    with pytest.raises(fl.FactlensError, match=r"record 0 and record 2 contradict .*'Paris' and 'Rome'"):
        own_records([OWN, {**OWN, "prompt": "{} is"}, {**OWN, "target": "Rome"}])


def test_what_is_no_data_set() -> None:
    with pytest.raises(FileNotFoundError, match="atlas-facts"):
        load_records("counterfact")
    with pytest.raises(fl.FactlensError, match="records in a list, not 3"):
        load_records(3)
    with pytest.raises(fl.FactlensError, match="names no data set"):
        load_records("hf:a:b:c:d")
    with pytest.raises(fl.FactlensError, match=r"hf:someone/cf|someone/cf"):
        load_records("hf:someone/cf")


def test_records_and_facts_pass_as_they_are() -> None:
    records = own_records([OWN])
    assert load_records(records) == records
    assert load_records(records[0]) == records
    assert load_facts(records) == [records[0].fact]
    assert load_facts(records[0].fact) == load_facts([records[0].fact]) == [records[0].fact]


# As it is written -----------------------------------------------------------------------------------------------------

EXACT = '{"exactly": "Paris"}'


def test_exact_objects_in_every_kind_of_file(tmp_path: Path) -> None:
    record = {**OWN, "target": {"exactly": "Paris"}, "others": [["The Space Needle is a", {"exactly": "tower"}]]}
    lines, cells = tmp_path / "own.jsonl", tmp_path / "own.csv"
    lines.write_text(json.dumps(record))
    pd.DataFrame([{**OWN, "target": EXACT, "others": 'The Space Needle is a -> {"exactly": "tower"}'}]).to_csv(
        cells, index=False
    )
    for source in (lines, cells, [record], [{**record, "target": fl.Exactly("Paris")}]):
        (found,) = own_records(source)
        assert found.fact.target == fl.Exactly("Paris")
        assert found.fact.object == "Seattle"
        assert found.checks.probes[0].new == fl.Exactly("Paris")
        assert [probe.old for probe in found.checks.probes if probe.role == "other"] == [fl.Exactly("tower")]


@pytest.mark.parametrize("wrong", ['{"exactly": 3}', '{"exactly": ""}', '{"exactly"', {"exact": "Paris"}, {}])
def test_what_is_no_exact_object_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(fl.FactlensError, match="record 0") as error:
        own_records([{**OWN, "target": wrong}])
    assert "'target'" in str(error.value)


def test_prompts_keep_their_white_space_and_objects_behind_which_there_is_some_are_refused() -> None:
    (record,) = own_records([{**OWN, "prompt": "Q: {}?\nA:\n", "paraphrases": [" Where is it?\n"]}])
    assert record.fact.prompt == "Q: The Space Needle?\nA:\n"
    assert record.checks.probes[1].prompt == " Where is it?\n"
    with pytest.raises(fl.FactlensError, match="white space behind the object in 'target'") as error:
        own_records([{**OWN, "target": "Paris "}])
    assert """Write 'Paris', or {"exactly": "Paris "} if""" in str(error.value)


def test_what_looks_like_a_slot_in_a_published_text_is_text() -> None:
    case = copy.deepcopy(COUNTERFACT)
    case["paraphrase_prompts"], case["generation_prompts"] = ["x = {}; The Louvre is in"], ["{} and {}"]
    (record,) = counterfact([case])
    assert record.checks.probes[1].prompt == "x = {}; The Louvre is in"
    assert record.checks.generation_prompts == ("{} and {}",)
    case["requested_rewrite"]["prompt"] = "The Louvre, that is {}, is in"
    (record,) = counterfact([case])
    assert record.fact.prompt == "The Louvre, that is The Louvre, is in"
    assert record.fact.subject_span == (20, 30)


def test_a_record_may_say_with_a_marker_where_its_subject_stands() -> None:
    prompt = "x = {}; The Space Needle is in"
    with pytest.raises(fl.FactlensError, match=r"Write slot='{}'"):
        own_records([{**OWN, "prompt": prompt}])
    (record,) = own_records([{**OWN, "prompt": prompt, "slot": "{}"}])
    assert record.fact.prompt == "x = The Space Needle; The Space Needle is in"
    (record,) = own_records([{**OWN, "prompt": "x = {}; [S] is in", "slot": "[S]"}])
    assert record.fact.prompt == prompt
