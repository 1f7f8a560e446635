"""The published experiments on a small random model: what they write, that they add up, and that they go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import factlens as fl
from factlens.evaluation import Checks, Record, Report, evaluate, judging
from factlens.evaluation.texts import perplexity
from factlens.reproduce import EXPERIMENTS, experiments, fig2, layer_sweep, published, reproduce, sequential, table4
from factlens.reproduce.folder import Folder
from tests.support import small_model

SUBJECTS = ("The Space Needle", "The Louvre", "Big Ben", "The Colosseum", "The Kremlin", "The Alhambra")


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def records(model: fl.Model) -> list[Record]:
    """Records whose objects are what the random model says."""
    made = []
    for i, subject in enumerate(SUBJECTS):
        prompt = f"{subject} is in"
        old, new = (answer.text.strip() for answer in model.answers(prompt, k=8)[:8:7])
        fact = fl.Fact("{} is in", subject=subject, object=old, target=new)
        checks = Checks.of(
            fact,
            old,
            paraphrases=["You find {} in"],
            neighbours=[("The Forum is in", "Rome")],
            generation_prompts=["{} is"],
            references=[f"a text about {new} and Rome"],
        )
        made.append(Record(fact, checks, f"case {i}"))
    return made


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path, said: list[str]) -> Folder:
    return Folder(tmp_path / "out", said.append)


def test_averaged_traces_are_those_of_one_call(model: fl.Model, records: list[Record], folder: Folder) -> None:
    facts = [record.fact for record in records]
    unknown = fl.Fact("{} is in", subject="Atlantis", object="Rome")
    found = fig2.fig2(model, [*facts, unknown], folder, samples=2)
    expected = fl.average_over(model, [*facts, unknown], samples=2)
    np.testing.assert_allclose(found.effects.values, expected.effects.values, rtol=1e-5, atol=1e-7)
    assert [skipped.fact for skipped in found.skipped] == [unknown]
    names = {path.name for path in folder.written}
    assert {"average.safetensors", "effects.csv", "headline.csv", "grids.png", "grids.svg", "lines.svg"} <= names
    table = pd.read_csv(folder.path / "headline.csv", index_col="percent")
    assert table.loc["ATE", "here"] == pytest.approx(100 * found.total_effect)
    assert "published" not in table


def test_a_trace_is_made_once(
    model: fl.Model, records: list[Record], folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = [record.fact for record in records][:3]
    first = fig2.fig2(model, facts, folder, samples=2)
    traced: list[str] = []
    real = fig2.trace_many
    monkeypatch.setattr(fig2, "trace_many", lambda m, f, **o: traced.append(f[0].subject) or real(m, f, **o))
    sorted((folder.path / "traces").iterdir())[0].write_bytes(b"cut off by a kill")
    again = fig2.fig2(model, facts, folder, samples=2)
    assert len(traced) == 1
    np.testing.assert_array_equal(again.effects.values, first.effects.values)
    fig2.fig2(model, facts, folder, samples=3)
    assert len(traced) == 4, "other settings are other traces"


def test_published_numbers_stand_beside_those_of_their_model(
    model: fl.Model, records: list[Record], folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "name", "openai-community/gpt2-xl")
    found = fig2.fig2(model, [records[0].fact], folder, samples=1)
    headline = fig2.headline(found, model.name)
    assert headline.loc["ATE", "published"] == 18.6
    assert headline.loc["AIE of state, last subject token", "published layer"] == 15
    report = evaluate(model, records[:2], method="ft", layers=1, steps=2, generate=False)
    table = table4.as_published(report)
    assert table.loc[("Meng et al. 2022, Table 4", "rome"), "S"] == 89.2
    assert ("here", "unedited") in table.index


def test_every_published_score_is_the_harmonic_mean_it_claims_to_be() -> None:
    from factlens.evaluation.metrics import harmonic_mean

    for _, rows in published.COUNTERFACT.values():
        for score, *parts in (row[:4] for row in rows.values()):
            assert 100 * harmonic_mean([part / 100 for part in parts]) == pytest.approx(score, abs=0.15)


def test_the_table_of_methods(model: fl.Model, records: list[Record], folder: Folder) -> None:
    report = table4.table4(model, records[:3], folder, methods=("ft", "ft_l"))
    table = pd.read_csv(folder.path / "table4.csv", index_col=[0, 1])
    assert list(table.columns) == ["S", "ES", "PS", "NS", "GE", "RS"]
    assert list(table.loc["here"].index) == ["unedited", "ft", "ft_l"]
    summary = report.summary()
    assert table.loc[("here", "ft"), "ES"] == pytest.approx(100 * summary.loc[("ft", "rewrite_success"), "after"])
    assert table.loc[("here", "unedited"), "GE"] == pytest.approx(summary.loc[("ft", "fluency"), "before"])
    assert Report.load(folder.path / "report.json.gz").labels == ("ft", "ft_l")
    assert (folder.path / "table4.svg").exists()


def test_layers_against_traces(model: fl.Model, records: list[Record], folder: Folder) -> None:
    table = layer_sweep.layer_sweep(model, records, folder, method="ft", layers=[1, 3], samples=2)
    pairs = pd.read_csv(folder.path / "pairs.csv")
    assert len(pairs) == 2 * len(records)
    trace = next(iter(fig2.traces(model, [r.fact for r in records], folder, 2)))
    here = pairs[(pairs.record == "case 0") & (pairs.layer == 3)].iloc[0]
    effect = trace.effects.sel(kind="state").values[trace.subject_range[1] - 1, 3]
    assert here.tracing_effect == pytest.approx(effect, rel=1e-5)
    edit = fl.edit(model, records[0].fact, method="ft", layers=3, apply=False)
    prompt, target = records[0].fact.prompt, records[0].fact.target
    before = fl.evaluation.read(model, [prompt], [[target]])[0].probabilities[0]
    with model.edited(edit):
        after = fl.evaluation.read(model, [prompt], [[target]])[0].probabilities[0]
    assert here.rewrite_score == pytest.approx((after - before) / (1 - before), rel=1e-4)
    assert table.loc[3, "rewrite_score"] == pytest.approx(pairs[pairs.layer == 3].rewrite_score.mean())


def test_what_explains_the_success_of_edits() -> None:
    random = np.random.default_rng(0)
    layer = np.repeat([0, 1, 2, 3], 200)
    effect = random.normal(size=800)
    by_layer = layer_sweep.explained(
        pd.DataFrame({"layer": layer, "tracing_effect": effect, "rewrite_score": np.array([1.0, 0.2, 0.7, 0.1])[layer]})
    )["R²"]
    assert by_layer["layer"] == pytest.approx(1)
    assert by_layer["tracing effect"] < 0.02
    by_effect = layer_sweep.explained(
        pd.DataFrame({"layer": layer, "tracing_effect": effect, "rewrite_score": 3 * effect + 1})
    )["R²"]
    assert by_effect["tracing effect"] == pytest.approx(1)
    assert by_effect["layer"] < 0.02


def test_what_explained_it_in_the_paper_stands_beside(model: fl.Model, records: list[Record], folder: Folder) -> None:
    here = pd.DataFrame({"R²": {"layer": 0.5, "tracing effect": 0.1, "layer and tracing effect": 0.6}})
    table = layer_sweep.beside_published(here, "EleutherAI/gpt-j-6b")
    (source,) = [name for name in table if "Hase" in name]
    assert table.loc["layer", source] == 0.947
    assert np.isnan(table.loc["tracing effect", source])
    assert list(layer_sweep.beside_published(here, "atlas")) == ["R²"]
    with pytest.raises(fl.FactlensError, match="not 'mpl'"):
        layer_sweep.layer_sweep(model, records, folder, kind="mpl")
    assert not list(folder.path.iterdir())


def test_edits_on_top_of_each_other(
    model: fl.Model, records: list[Record], folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"methods": ("ft",), "held_out": records[4:], "every": 2, "batch": 1}
    table = sequential.sequential(model, records[:4], folder, **options)
    assert list(table.edits) == [0, 2, 4]
    assert table.healthy[0] == 1
    whole = evaluate(model, records[:4], method="ft", way="sequential", generate=False).summary().loc["ft"]
    for name in ("rewrite_success", "neighbour_success"):
        assert table[name].iloc[-1] == pytest.approx(whole.loc[name, "after"])
    assert model.edits == ()
    # Killed and started again, no edit is made twice, and the numbers are the same.
    made: list[str] = []
    real = sequential.quiet_edit
    monkeypatch.setattr(sequential, "quiet_edit", lambda m, f, **o: made.append(f.subject) or real(m, f, **o))
    judged: list[int] = []
    judge = sequential._judged
    monkeypatch.setattr(sequential, "_judged", lambda m, n, r, *more: judged.append(len(r)) or judge(m, n, r, *more))
    newest = [
        max((folder.path / what).iterdir(), key=lambda path: path.stat().st_mtime_ns) for what in ("edits", "judged")
    ]
    newest[0].unlink()
    newest[1].write_text('{"method": "f')
    again = sequential.sequential(model, records[:4], folder, **options)
    assert made == [records[3].fact.subject]
    assert judged == [4]
    pd.testing.assert_frame_equal(again, table)
    # Another question is another judgement, of the same edits.
    sequential.sequential(model, records[:4], folder, **{**options, "held_out": records[4:5]})
    assert (made, judged) == ([records[3].fact.subject], [4, 2, 4])
    with pytest.raises(fl.FactlensError, match="positive"):
        sequential.sequential(model, records[:4], folder, batch=0)


def test_facts_are_held_out_without_being_asked_for(
    model: fl.Model, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(experiments, "load_records", lambda source, **_: records)
    counted = replace(
        EXPERIMENTS["sequential"],
        run=lambda m, chosen, folder, held_out, **o: asked.append((len(chosen), len(held_out))),
    )
    monkeypatch.setitem(EXPERIMENTS._table, "sequential", counted)
    for limit in (None, 2, 6):
        reproduce("sequential", model, "x", tmp_path / str(limit), limit=limit)
    assert asked == [(5, 1), (2, 4), (6, 0)]


def test_several_facts_in_each_edit(model: fl.Model, records: list[Record], folder: Folder) -> None:
    table = sequential.sequential(model, records[:5], folder, methods=("ft",), layers={"ft": [1]}, batch=2, every=2)
    assert list(table.edits) == [0, 2, 4, 5]
    edits = list((folder.path / "edits").iterdir())
    assert [fl.Edit.load(path).layers for path in edits] == [(1,)] * 3
    assert "| ft | 5 | – | over 5 |" in (folder.path / "summary.md").read_text()
    assert table.healthy.isna().all(), "no facts were held out"


def test_other_text_is_read_before_and_after(
    model: fl.Model, records: list[Record], folder: Folder, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    texts = ["The capital of France is Paris.", "Nobody has ever seen the far side."]
    path.write_text("\n\n".join(texts))
    options = {"methods": ("ft",), "held_out": records[4:], "every": 2}
    table = sequential.sequential(model, records[:2], folder, text=path, **options)
    assert table.perplexity[0] == pytest.approx(perplexity(model, texts))
    edits = [
        fl.Edit.load(path) for path in sorted((folder.path / "edits").iterdir(), key=lambda one: one.stat().st_mtime_ns)
    ]
    with model.edited(edits[0]), model.edited(edits[1]):
        assert table.perplexity[1] == pytest.approx(perplexity(model, texts))
    assert "perplexity" in (folder.path / "summary.md").read_text()


def test_text_that_cannot_be_read_is_refused_before_anything_is_edited(model: fl.Model, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    for path, says in ((empty, "has no text"), (tmp_path / "none.txt", "no file or folder")):
        with pytest.raises(fl.FactlensError, match=says):
            reproduce("sequential", model, "atlas-facts", tmp_path / "out", text=path)
    assert not (tmp_path / "out").exists()


def test_health_ends_where_a_twentieth_is_lost(folder: Folder) -> None:
    curve = pd.DataFrame(
        {"method": "rome", "edits": [0, 10, 20, 30], "healthy": [1, 0.96, 0.94, 0.99], "rewrite_success": 1.0}
    )
    assert sequential.ends(curve, "atlas").loc[("here", "rome"), "healthy until"] == 20
    assert sequential.ends(curve[curve.healthy > 0.95], "atlas").loc[("here", "rome"), "healthy until"] == "over 30"


def test_by_name_with_provenance(
    model: fl.Model,
    records: list[Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(experiments, "load_records", lambda source, **_: records)
    monkeypatch.setattr(experiments, "load_facts", lambda source, **_: [record.fact for record in records])
    options = {
        "fig2": {"samples": 1},
        "table4": {"methods": ["ft"]},
        "layer-sweep": {"method": "ft", "samples": 1, "layers": [1]},
        "sequential": {"methods": ["ft"], "every": 1},
    }
    assert set(options) == set(EXPERIMENTS)
    for name, chosen in options.items():
        folder = reproduce(name, model, "some.json", tmp_path / name, limit=2, **chosen)
        content = json.loads((tmp_path / name / "provenance.json").read_text())
        assert content["experiment"] == name
        assert content["fingerprint"] == model.fingerprint
        assert content["facts"] == "some.json"
        assert content["versions"]["torch"]
        for path in folder.written:
            assert path.stat().st_size > 0
        assert any(path.suffix == ".png" for path in folder.written)
    assert capsys.readouterr().out == "", "only who passes say= is told of it"
    with pytest.raises(fl.FactlensError, match="no experiment 'fig3'"):
        reproduce("fig3", model, "x", tmp_path / "no")
    with pytest.raises(fl.FactlensError, match="fig2 has no option 'batch'"):
        reproduce("fig2", model, "x", tmp_path / "no", batch=3)
    with pytest.raises(fl.FactlensError, match="limit"):
        reproduce("fig2", model, "x", tmp_path / "no", limit=0)
    assert not (tmp_path / "no").exists()


def test_judging_is_the_one_of_evaluate() -> None:
    assert table4.evaluate is judging.evaluate is layer_sweep.evaluate


def test_what_draws_is_missing_before_anything_is_computed(
    model: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("factlens.extras.find_spec", lambda name: None)
    with pytest.raises(fl.FactlensError, match=r"needs matplotlib: pip install 'factlens\[plot\]'"):
        reproduce("fig2", model, "atlas-facts", tmp_path / "no")
    assert not (tmp_path / "no").exists()
