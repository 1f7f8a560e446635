"""``factlens evaluate`` and ``factlens reproduce`` on atlas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import factlens as fl
from factlens.cli import main
from factlens.evaluation import Report
from factlens.evaluation.texts import perplexity
from factlens.reproduce.folder import Folder

pytestmark = pytest.mark.usefixtures("quick")


def test_evaluate_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.json.gz"
    command = ["evaluate", "atlas-facts", "--method", "ft,ft_l", "--layers", "3", "--limit", "3", "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for words in ("judged 6 of 6, 100 %", "3 records on atlas", "harmonic mean of ES, PS and NS", "ft_l", str(out)):
        assert words in printed, words
    report = Report.load(out)
    assert report.labels == ("ft", "ft_l")
    assert all(outcome.after.texts for outcome in report.judged if outcome.after)
    assert {"fluency", "consistency", "kl", "perplexity"} <= set(report.summary().loc["ft"].index)


def test_evaluate_edits_on_top_of_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "atlas-facts", "--method", "ft,ft_l", "--way", "sequential", "--limit", "2", "--no-text"]
    assert main(command) == 0
    told = [line.split(",")[0] for line in capsys.readouterr().out.splitlines() if " of 4, " in line]
    first, second = (["edited 1 of 4", "edited 2 of 4"], ["edited 3 of 4", "edited 4 of 4"])
    assert told == [*first, "judged 1 of 4", "judged 2 of 4", *second, "judged 3 of 4", "judged 4 of 4"]


def test_evaluate_a_saved_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str], atlas: fl.Model) -> None:
    fact = fl.Fact("{} is in downtown", subject="The Louvre", target="Tokyo")
    path = fl.edit(atlas, fact, method="ft", apply=False).save(tmp_path / "tokyo.safetensors")
    assert main(["evaluate", str(path), "--no-text"]) == 0
    assert "1 record on atlas" in capsys.readouterr().out


def test_evaluate_with_texts_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str], atlas: fl.Model) -> None:
    prompts, texts = tmp_path / "prompts.txt", tmp_path / "texts.jsonl"
    prompts.write_text("The capital of Japan is\n\nThe currency of Japan is the\n", encoding="utf-8")
    texts.write_text(json.dumps({"text": "The capital of Peru is Lima."}) + "\n", encoding="utf-8")
    out = tmp_path / "report.json"
    command = ["evaluate", "atlas-facts", "--method", "ft", "--limit", "1", "--no-text", "--out", str(out)]
    assert main([*command, "--unrelated", str(prompts), "--texts", str(texts)]) == 0
    own = Report.load(out).summary().loc["ft"]
    assert own.loc["perplexity", "before"] == pytest.approx(perplexity(atlas, ["The capital of Peru is Lima."]))
    assert main(command) == 0
    usual = Report.load(out).summary().loc["ft"]
    assert own.loc["kl", "after"] != usual.loc["kl", "after"]
    capsys.readouterr()
    assert main([*command, "--texts", str(tmp_path / "nowhere.txt")]) == 1
    assert "no file or folder" in capsys.readouterr().err


def test_reproduce_writes_tables_figures_and_provenance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fig2"
    assert main(["reproduce", "fig2", "--limit", "4", "--samples", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "traces: 4 of 4, 100 %" in printed
    assert "ATE" in printed
    assert {"effects.csv", "headline.csv", "grids.svg", "lines.png", "provenance.json", "average.safetensors"} <= {
        path.name for path in out.iterdir()
    }
    assert json.loads((out / "provenance.json").read_text())["facts"] == "atlas-facts"
    other = ["reproduce", "sequential", "--limit", "4", "--methods", "ft", "--every", "2", "--out"]
    assert main([*other, str(out)]) == 1
    assert 'experiment is "fig2" there, and "sequential" here' in capsys.readouterr().err
    assert main([*other, str(tmp_path / "sequential")]) == 0
    assert "healthy until" in capsys.readouterr().out


def test_files_in_another_encoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts, texts, out = tmp_path / "own.csv", tmp_path / "texts.txt", tmp_path / "report.json"
    facts.write_bytes("prompt,subject,target,object\n{} is in,Zürich,Spain,Switzerland\n".encode("cp1252"))
    texts.write_bytes("Zürich is in Switzerland.".encode("cp1252"))
    command = ["evaluate", str(facts), "--method", "ft", "--no-text", "--texts", str(texts), "--out", str(out)]
    assert main(command) == 1
    assert "--encoding cp1252" in capsys.readouterr().err
    assert main([*command, "--encoding", "cp1252"]) == 0
    assert Report.load(out).outcomes[0].record.fact.subject == "Zürich"
    again = ["reproduce", "sequential", "--facts", str(facts), "--methods", "ft", "--limit", "1"]
    assert main([*again, "--encoding", "cp1252", "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["encoding"] == "cp1252"
    assert main([*again, "--out", str(tmp_path / "other")]) == 1
    assert "own.csv is no text in UTF-8" in capsys.readouterr().err


def test_reproduce_passes_on_what_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, object]] = []
    monkeypatch.setattr("factlens.reproduce.reproduce", lambda *a, **o: told.append(o) or Folder(tmp_path))
    command = ["reproduce", "table4", "--layers", "rome=3,memit=2+3", "--known"]
    for arguments in (command, ["reproduce", "fig2", "--no-known"], ["reproduce", "layer-sweep", "--layers", "3,4"]):
        assert main(arguments) == 0
    assert [one["only_known"] for one in told] == [True, False, None]
    assert [one.get("layers") for one in told] == [{"rome": [3], "memit": [2, 3]}, None, [3, 4]]


def test_a_bad_record_is_named_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("factlens.cli.reproduce.load_model", lambda options: pytest.fail("a model was loaded"))
    path = tmp_path / "facts.jsonl"
    path.write_text(
        '{"prompt": "{} is in", "subject": "Pisa", "target": "Rome", "object": "Italy"}\n{"prompt": 3', "utf-8"
    )
    assert main(["reproduce", "fig2", "--facts", str(path)]) == 1
    assert "facts.jsonl, line 2 is no JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "no-such-file.json"], "no data set 'no-such-file.json'"),
        (["evaluate", "atlas-facts", "--limit", "1", "--method", "romme"], "no editing method 'romme'"),
        (["evaluate", "atlas-facts", "--limit", "1", "--layers", "3,x"], "--layers takes numbers"),
        (["reproduce", "fig3"], "no experiment 'fig3'"),
        (["reproduce", "fig2", "--batch", "3"], "fig2 has no option 'batch'"),
        (["reproduce", "table4", "--generate"], "table4 has no option 'generate'"),
        (["reproduce", "layer-sweep", "--layers", "3,x"], "--layers takes numbers"),
        (["reproduce", "table4", "--layers", "rome=3,4"], "--layers takes methods with their layers"),
        (["reproduce", "table4", "--layers", "romme=3"], "a method in layers must be one of rome"),
        (["reproduce", "fig2", "--facts", "none.json"], "no data set 'none.json'"),
    ],
)
def test_errors_are_one_clear_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("factlens: ")
    assert message in printed
    assert not list(tmp_path.iterdir())
