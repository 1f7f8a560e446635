"""Only what the model knows, and a folder for one experiment alone: on a small random model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import factlens as fl
from factlens.editing.api import quiet_edit
from factlens.errors import FactError
from factlens.reproduce import knowledge, reproduce
from factlens.reproduce.folder import Folder
from factlens.reproduce.knowledge import ask
from factlens.tracing import Skipped
from tests.support import small_model

SUBJECTS = ("The Louvre", "Big Ben", "The Kremlin", "The Alhambra")


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return small_model("gpt2")


def said(model: fl.Model, subject: str) -> list[str]:
    return [answer.text.strip() for answer in model.answers(f"{subject} is in", k=8)]


@pytest.fixture(scope="module")
def facts(model: fl.Model) -> list[fl.Fact]:
    """Facts of which the second and the fourth are not what the random model says."""
    made = []
    for place, subject in enumerate(SUBJECTS):
        first, *_, last = said(model, subject)
        made.append(fl.Fact("{} is in", subject, last, object=last if place % 2 else first))
    return made


@pytest.fixture
def files(model: fl.Model, facts: list[fl.Fact], tmp_path: Path) -> dict[str, Path]:
    """The same facts in three layouts."""
    published = [
        {
            "case_id": i,
            "requested_rewrite": {
                "prompt": fact.template,
                "subject": fact.subject,
                "target_new": {"str": said(model, fact.subject)[3]},
                "target_true": {"str": fact.object},
            },
            "paraphrase_prompts": [f"Go and find {fact.subject} in"],
            "neighborhood_prompts": [f"Near {fact.subject}, in"],
        }
        for i, fact in enumerate(facts)
    ]
    flat = [
        {
            "case_id": i,
            "prompt": fact.prompt,
            "subject": fact.subject,
            "target_new": said(model, fact.subject)[3],
            "ground_truth": fact.object,
            "rephrase_prompt": f"Go and find {fact.subject} in",
            "locality_prompt": f"Near {fact.subject}, in",
            "locality_ground_truth": fact.object,
        }
        for i, fact in enumerate(facts)
    ]
    traced = [
        {"known_id": i, "subject": fact.subject, "attribute": fact.object, "prompt": fact.prompt}
        for i, fact in enumerate(facts)
    ]
    paths = {}
    for name, content in {"published": published, "flat": flat, "traced": traced}.items():
        paths[name] = tmp_path / f"{name}.json"
        paths[name].write_text(json.dumps(content), encoding="utf-8")
    return paths


def test_the_rule_is_that_of_traces(model: fl.Model, facts: list[fl.Fact], tmp_path: Path) -> None:
    bare = fl.Fact("{} is in", "The Forum")
    too_long = fl.Fact("{} is" + " very" * 99, "Pisa", object="old")
    every = [*facts, bare, too_long]
    outcomes = list(fl.trace_many(model, every, samples=1, kinds=["state"]))
    found = ask(model, every, Folder(tmp_path))
    assert found.places == tuple(i for i, one in enumerate(outcomes) if isinstance(one, fl.Trace))
    assert found.places == (0, 2, 4)
    table = pd.read_csv(tmp_path / "known.csv", index_col="fact")
    assert list(table.known) == [True, False, True, False, True, False]
    assert table.says[1].strip() == said(model, SUBJECTS[1])[0]
    assert found.reasons == Counter(one.reason for one in outcomes if isinstance(one, Skipped))
    assert str(found).startswith("The model knows 3 of all 6 facts (")


def test_asking_stops_at_the_limit_and_goes_on_after_a_kill(
    model: fl.Model, facts: list[fl.Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge, "AT_ONCE", 1)
    asked: list[str] = []
    real = knowledge.read
    monkeypatch.setattr(knowledge, "read", lambda m, prompts, o: asked.append(prompts[0]) or real(m, prompts, o))
    first = ask(model, facts, Folder(tmp_path), limit=1)
    assert (first.places, first.asked, first.of) == ((0,), 1, 4)
    assert asked == [facts[0].prompt]
    assert str(first) == "The model knows 1 of the first 1 of 4 facts."
    ask(model, facts, Folder(tmp_path))
    assert asked == [fact.prompt for fact in facts], "what was asked is not asked again"
    (tmp_path / "known.json").write_text((tmp_path / "known.json").read_text().replace("true", "false", 1))
    assert ask(model, facts, Folder(tmp_path)).places == (0, 2)
    assert len(asked) == 8, "what was changed by hand does not count"
    ask(model, facts[1:3], Folder(tmp_path))
    assert len(asked) == 10, "other facts are other answers"
    with pytest.raises(FactError, match=r"gpt2 knows none of the facts\. The model knows 0 of all 1 facts \(1 left"):
        ask(model, facts[1:2], Folder(tmp_path))


@pytest.mark.parametrize("layout", ["published", "flat", "traced"])
def test_traces_of_any_layout(layout: str, model: fl.Model, files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    reproduce("fig2", model, files[layout], out, samples=1, limit=2)
    content = json.loads((out / "provenance.json").read_text())
    assert content["knowledge"] == {
        "known": 2,
        "asked": 3,
        "of": 4,
        "left_out": {"The model answers otherwise.": 1},
    }
    average = fl.Average.load(out / "average.safetensors")
    assert [fact.subject for fact in average.facts] == [SUBJECTS[0], SUBJECTS[2]]
    summary = (out / "summary.md").read_text()
    assert "The model knows 2 of the first 3 of 4 facts (1 left out: The model answers otherwise.)." in summary


@pytest.mark.parametrize("layout", ["published", "flat"])
def test_edits_of_both_layouts_with_layers_by_method(
    layout: str, model: fl.Model, files: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options: dict[str, Any] = {"methods": ["ft", "ft_l"], "layers": {"ft": 1}, "only_known": True}
    reproduce("table4", model, files[layout], out, **options)
    report = fl.evaluation.Report.load(out / "report.json.gz")
    assert [record.name for record in dict.fromkeys(one.record for one in report.outcomes)] == [
        "counterfact 0",
        "counterfact 2",
    ]
    assert [probe.role for probe in report.outcomes[0].record.checks.probes] == ["rewrite", "paraphrase", "neighbour"]
    assert report.provenance["recipes"]["ft"]["layers"] == [1]
    assert report.provenance["recipes"]["ft_l"]["layers"] == list(fl.editing.defaults(model, "ft_l").layers)
    rows = [line.split(" | ") for line in (out / "summary.md").read_text().splitlines() if line.startswith("| ")]
    numbers = report.summary().loc[("ft", "rewrite_success")]
    assert [row[:3] for row in rows if row[0] == "| ft"] == [["| ft", "1", "2"]]
    assert next(row for row in rows if row[0] == "| ft")[4].startswith(f"{100 * numbers['after']:.1f} %")


def test_facts_that_the_model_does_not_know_are_edited_unless_asked(
    model: fl.Model, files: dict[str, Path], tmp_path: Path
) -> None:
    folder = reproduce("table4", model, files["flat"], tmp_path / "out", methods=["ft"], limit=2)
    assert "2 of 4 facts were taken, whether the model knows them or not." in folder.notes
    assert not (tmp_path / "out" / "known.csv").exists()


def test_a_folder_is_for_one_run(model: fl.Model, files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    reproduce("fig2", model, files["traced"], out, samples=1, limit=1)
    files["traced"].rename(tmp_path / "moved.json")
    reproduce("fig2", model, tmp_path / "moved.json", out, samples=1, limit=1)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    refused = {
        r"samples is 1 there, and 2 here\. Choose another folder": {"samples": 2},
        "limit is 1 there, and null here": {"samples": 1, "limit": None},
        "only_known is true there, and false here": {"samples": 1, "only_known": False},
        r"facts is .*traced\.json \(\w{8}\) there, and .*flat\.json \(\w{8}\) here": {
            "samples": 1,
            "facts": files["flat"],
        },
    }
    for message, change in refused.items():
        options = {"facts": tmp_path / "moved.json", "limit": 1} | change
        with pytest.raises(fl.FactlensError, match=message):
            reproduce("fig2", model, options.pop("facts"), out, **options)
    with pytest.raises(fl.FactlensError, match='experiment is "fig2" there, and "table4" here'):
        reproduce("table4", model, files["flat"], out, limit=1)
    edit = quiet_edit(model, fl.Fact("{} is in", "Pisa", "Rome"), method="ft", layers=1, steps=1, apply=False)
    with (
        model.edited(edit),
        pytest.raises(fl.FactlensError, match=r"model is small gpt2 \(\w{8}\) there, and small gpt2 with"),
    ):
        reproduce("fig2", model, tmp_path / "moved.json", out, samples=1, limit=1)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (out / "settings.json").write_text("[")
    with pytest.raises(fl.FactlensError, match=r"settings\.json is damaged"):
        reproduce("fig2", model, tmp_path / "moved.json", out, samples=1, limit=1)


def test_a_bad_record_is_named_before_anything_is_written(
    model: fl.Model, files: dict[str, Path], tmp_path: Path
) -> None:
    for layout, field in {"published": "requested_rewrite", "flat": "subject", "traced": "attribute"}.items():
        content = json.loads(files[layout].read_text())
        content[2][field] = 3
        files[layout].write_text(json.dumps(content))
        with pytest.raises(FactError, match=rf"{layout}\.json, record 2.*{field}"):
            reproduce("fig2", model, files[layout], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("table4", {"layers": {"romme": 1}}, "a method in layers must be one of rome"),
        ("table4", {"layers": {}}, "layers is empty: name a method"),
        (
            "table4",
            {"layers": {"memit": 1}, "methods": ["ft"]},
            "layers names memit, which is not among the methods: ft",
        ),
        ("table4", {"layers": [0, 1], "methods": ["rome"]}, "rome edits one layer, not 2"),
        ("layer-sweep", {"layers": {"rome": 1}}, "layers by method are for experiments that compare methods"),
    ],
)
def test_layers_that_make_no_sense(
    name: str, options: dict[str, Any], message: str, model: fl.Model, files: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(fl.FactlensError, match=message):
        reproduce(name, model, files["flat"], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
