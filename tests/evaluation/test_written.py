"""What a model writes by itself: where it ends, when it is right, and what evaluate makes of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import factlens as fl
from factlens.errors import ArgumentError, FactlensError
from factlens.evaluation import Checks, Measured, Outcome, PromptMetric, Reading, Record, Report
from factlens.evaluation.written import PROTOCOL, begins_with, contains, is_exactly, normalised, up_to_end, write
from tests.chained import chain, chained
from tests.support import tokenizer

FACT = fl.Fact("In Paris, the {} is", "Space Needle", target="high")


@pytest.mark.parametrize(
    ("text", "end", "ended"),
    [
        (" Seattle. It rains", "Seattle.", True),
        (" Seattle.", "Seattle.", False),  # the next token may be "5"
        ("3.5 metres. High", "3.5 metres.", True),
        ("\n\n Paris\nRome", "Paris", True),
        ("St. Louis, near", "St. Louis, near", False),
        ("J. K. Rowling! Yes", "J. K. Rowling!", True),
        ("the U.S. state", "the U.S. state", False),
        ('"Paris." he', '"Paris."', True),
        ("東京。大阪", "東京。", True),
        ("really?! no", "really?!", True),
        ("", "", False),
        ("\n", "", False),
    ],
)
def test_where_a_text_ends(text: str, end: str, ended: bool) -> None:
    assert up_to_end(text) == (end, ended)


@pytest.mark.parametrize(
    ("text", "object_", "begins", "anywhere", "alone"),
    [
        ("Paris.", "Paris", True, True, True),
        ("the euro.", "euro", True, True, True),
        ("euro", "the Euro", True, True, True),
        ("Paris, the capital of France.", "Paris", True, True, False),
        ("the city of Paris.", "Paris", False, True, False),
        ("Parish church", "Paris", False, False, False),
        ("New Paris", "Paris", False, True, False),
        ("19, or 190", "190", False, True, False),
        ("190", "19", False, False, False),
        ("**Paris**", "Paris", True, True, True),
        ("東京タワー", "東京", True, True, False),
        ("ＰＡＲＩＳ", "Paris", True, True, True),
        ("", "Paris", False, False, False),
        ("a", "a", True, True, True),
    ],
)
def test_when_a_text_has_the_object(text: str, object_: str, begins: bool, anywhere: bool, alone: bool) -> None:
    found = (begins_with(text, object_), contains(text, object_), is_exactly(text, object_))
    assert found == (begins, anywhere, alone)


def test_an_object_of_marks_alone_is_compared_as_it_stands() -> None:
    assert normalised(" ?! ") == "?!"
    assert is_exactly("?!", "?!")
    assert not contains("Paris", "?!")


@pytest.mark.parametrize(("said", "text"), [(" is near the river.\nIn Paris", "near the river."), (" is🗼", "🗼")])
def test_a_model_writes_up_to_the_end_of_its_line(said: str, text: str) -> None:
    model = chained(chain(tokenizer(), said))
    (written,) = write(model, [FACT.prompt])
    assert written == text or (said == " is🗼" and written.startswith(text))


def test_a_character_that_is_cut_is_left_out() -> None:
    model = chained(chain(tokenizer(), " is🗼"))
    assert write(model, [FACT.prompt], most=1) == [""]


def test_one_prompt_asked_twice_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chained(chain(tokenizer(), " is near"))
    rows: list[list[int]] = []

    def one_token(model: fl.Model, ids: list[list[int]], *more: object) -> list[list[int]]:
        rows.extend(ids)
        return [[1]] * len(ids)

    monkeypatch.setattr("factlens.evaluation.written.greedy_ids", one_token)
    assert len(write(model, [FACT.prompt, "Paris", FACT.prompt])) == 3
    assert len(rows) == 2


# In a report ---------------------------------------------------------------------------------------------------------


def reading(old: float, new: float, written: str | None) -> Reading:
    return Reading((old, new), "x", (old > new, new > old), (0.0, 1.0), written)


def judged(texts: list[str] | None) -> Report:
    """The prompt, two neighbours and something that follows: by the probabilities all is as it should be."""
    checks = Checks.of(
        FACT,
        "low",
        neighbours=[("The Louvre is", "low"), ("Big Ben is", "low")],
        portability=[("You see it from", "near", "afar")],
    )
    record = Record(FACT, checks, "tower")
    before = Measured(
        tuple(reading(0.5, 0.25, text) for text in (("low", "low", "low", "near") if texts else [None] * 4))
    )
    probabilities = ((0.25, 0.5), (0.5, 0.25), (0.25, 0.5), (0.25, 0.5))
    after = Measured(tuple(reading(*p, text) for p, text in zip(probabilities, texts or [None] * 4, strict=True)))
    return Report((Outcome("rome", record, before, after, 1.0),), 1)


def test_the_report_says_how_far_the_two_disagree() -> None:
    # Neighbours: the first is right both ways, the second by what is written alone; what follows, by probability alone.
    report = judged(["High.", "low, low", "low", "near"])
    table = report.disagreement().loc["rome"]
    assert table["prompts"].to_dict() == {"rewrite": 1, "neighbour": 2, "portability": 1, "all": 4}
    assert table["forced_only_after"].to_dict() == {"rewrite": 0, "neighbour": 0, "portability": 1, "all": 1 / 4}
    assert table["written_only_after"].to_dict() == {"rewrite": 0, "neighbour": 1 / 2, "portability": 0, "all": 1 / 4}
    assert table["forced_only_before"].sum() == table["written_only_before"].sum() == 0
    numbers = report.summary().loc["rome"]["after"]
    assert (numbers["rewrite_written"], numbers["neighbour_written"], numbers["portability_written"]) == (1, 1, 0)
    assert (numbers["rewrite_written_exact"], numbers["neighbour_written_exact"]) == (1, 1 / 2)
    assert "rome: of 4 prompts after the edit, 25.0 % are right by the probabilities alone, 25.0 % by what" in repr(
        report
    )
    assert report.to_dataframe()["text_after"].tolist() == ["High.", "low, low", "low", "near"]


def test_without_texts_nothing_is_said_of_them() -> None:
    report = judged(None)
    assert not any("written" in name for name in report.summary().loc["rome"].index)
    assert not any("written" in str(name) for name in report.records().columns)
    assert "written" not in repr(report).lower()
    with pytest.raises(FactlensError, match="written=True"):
        report.disagreement()


def test_texts_survive_a_file(tmp_path: Path) -> None:
    report = judged(["High.", "low", "", "近"])
    again = Report.load(report.save(tmp_path / "report.json"))
    assert again.after == report.after
    assert again.disagreement().equals(report.disagreement())


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return chained(chain(tokenizer(), " is near the river.\nIn Paris"))


CHECKS = Checks.of(FACT, "near", others=[("In Paris, the river is", "near")])
QUICK: dict[str, Any] = {"method": "ft", "layers": 1, "steps": 1, "generate": False}


def test_evaluate_lets_the_model_write_where_that_is_asked(model: fl.Model) -> None:
    report = fl.evaluate(model, FACT, CHECKS, written=True, **QUICK)
    assert [one.written for one in report.before] == ["near the river."] * 2
    assert report.provenance["protocol"] == PROTOCOL
    again = fl.evaluate(model, FACT, CHECKS, **{**QUICK, **report.provenance["asked"][0]})
    assert again.before == report.before
    assert report.summary().loc[("ft", "other_written"), "before"] == 1
    assert "at most 32 tokens; right if it begins with the object" in repr(report)
    named = fl.evaluate(model, FACT, CHECKS, metrics=["written_contains"], **QUICK)
    assert named.before == report.before
    assert next(iter(named.columns)) == "rewrite_written_contains"


def test_evaluate_asks_for_no_text_by_default(model: fl.Model) -> None:
    report = fl.evaluate(model, FACT, CHECKS, **QUICK)
    assert all(one.written is None for one in (*report.before, *report.after))
    assert "written" not in report.provenance["asked"][0]
    assert "protocol" not in report.provenance
    assert "written" not in report.provenance["metrics"]
    with pytest.raises(ArgumentError, match="leave out written=False"):
        fl.evaluate(model, FACT, CHECKS, metrics=["written"], written=False, **QUICK)


def test_a_metric_of_ones_own_may_look_at_the_text(model: fl.Model, tmp_path: Path) -> None:
    length = PromptMetric("length", lambda probe, reading: len(reading.written or ""), needs="written")
    report = fl.evaluate(model, FACT, CHECKS, metrics=[length], **QUICK)
    assert report.summary().loc[("ft", "rewrite_length"), "before"] == len("near the river.")
    again = Report.load(report.save(tmp_path / "report.json"))
    assert again.summary().loc[("ft", "rewrite_length"), "before"] == len("near the river.")


def test_a_store_keeps_what_was_written_apart(model: fl.Model, tmp_path: Path) -> None:
    """What was judged without texts is judged again where they are asked for, and found again where they are not."""
    store = tmp_path / "outcomes.jsonl"
    without = fl.evaluate(model, FACT, CHECKS, store=store, **QUICK)
    texts = fl.evaluate(model, FACT, CHECKS, store=store, written=True, **QUICK)
    assert texts.after[0].written is not None
    assert fl.evaluate(model, FACT, CHECKS, store=store, **QUICK).outcomes == without.outcomes
    assert len(store.read_text(encoding="utf-8").splitlines()) == 2
    assert math.isnan(texts.outcomes[0].after.kl if texts.outcomes[0].after else 0.0)
