"""CounterFact in the flat layout of EasyEdit; the contents are ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import factlens as fl
from factlens.errors import FactError
from factlens.evaluation.datasets import easyedit, load_facts, load_records

EASYEDIT: dict[str, Any] = {
    "case_id": 7,
    "prompt": "The Louvre is located in",
    "target_new": "Rome",
    "subject": "The Louvre",
    "ground_truth": "Paris",
    "rephrase_prompt": "Where is the {Louvre}? In",
    "locality_prompt": "The Colosseum is located in",
    "locality_ground_truth": "Italy",
}


def test_easyedit(tmp_path: Path) -> None:
    path = tmp_path / "flat.json"
    path.write_text(json.dumps([EASYEDIT]), encoding="utf-8")
    (record,) = load_records(path)
    assert record.fact == fl.Fact("{} is located in", subject="The Louvre", target="Rome", object="Paris")
    assert record.name == "counterfact 7"
    assert [(probe.role, probe.prompt, probe.old) for probe in record.checks.probes] == [
        ("rewrite", "The Louvre is located in", "Paris"),
        ("paraphrase", "Where is the {Louvre}? In", "Paris"),
        ("neighbour", "The Colosseum is located in", "Italy"),
    ]
    assert load_facts(path) == [record.fact]


def test_what_may_be_missing() -> None:
    least = {name: EASYEDIT[name] for name in ("prompt", "subject", "target_new", "ground_truth")}
    (record,) = load_records([least])
    assert record.name == "counterfact 0"
    assert [probe.role for probe in record.checks.probes] == ["rewrite"]
    (record,) = load_records([{**least, "locality_prompt": "Orsay is in", "locality_ground_truth": None}])
    assert record.checks.probes[1].old == "Paris", "a neighbour has the old object, where it has none of its own"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject": "The Forum"}, "record 1 does not have its subject 'The Forum' in its prompt"),
        ({"target_new": "Paris"}, "record 1 wants the fact to become what it is"),
        ({"ground_truth": 3}, "record 1 has a number in 'ground_truth'"),
        ({"rephrase_prompt": ["a", "b"]}, "record 1 has list|record 1 has a list"),
        ({"locality_prompt": 3}, "record 1 has a number in 'locality_prompt'"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FactError, match=message):
        easyedit([EASYEDIT, {**EASYEDIT, **change}])
