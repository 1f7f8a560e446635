"""Calibrations, whole: what is chosen, how far the time goes, and what is said where it fails."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import factlens as fl
from factlens.calibration import api
from factlens.cli import main
from factlens.editing import METHODS, defaults
from factlens.editing.settings import uncalibrated
from factlens.errors import FactError, FactlensWarning, FileFormatError, Interrupted
from factlens.timing import Clock, a_time
from tests.calibration.made import add_quick_method, facts_known_to
from tests.support import small_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, and a method that edits in a moment."""
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path / "cache"))
    add_quick_method(monkeypatch)
    return tmp_path / "cache"


def calibrated(model: fl.Model, **options: object) -> fl.Calibration:
    """A calibration that takes seconds."""
    usual = {"methods": "quick", "layers": [1, 2], "budget": "1h"}
    return fl.calibrate(model, facts_known_to(model), **{**usual, **options})


@pytest.fixture(scope="module")
def made() -> Iterator[fl.Calibration]:
    """One calibration that several tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        add_quick_method(patch)
        yield calibrated(small_model("llama"), store=False)


# What is chosen ------------------------------------------------------------------------------------------------------


def test_the_choice_is_the_best_of_what_was_tried(made: fl.Calibration) -> None:
    trained = [trial for trial in made.trials if trial.split == "train"]
    assert {trial.layers for trial in trained} == {(1,), (2,)}
    assert {trial.settings["learning_rate"] for trial in trained} == {1e-3, *METHODS["quick"].tries["learning_rate"]}
    most = max(len(trial.results) for trial in trained)
    last = [trial for trial in trained if len(trial.results) == most]
    choice = made.choices["quick"]
    best = max(last, key=lambda trial: trial.rank)
    assert (best.layers, dict(best.settings)) == (choice.layers, choice.settings)
    assert made.trial_of("quick", "train").rank == best.rank
    assert re.fullmatch(r"calibrated \d{4}-\d\d-\d\d on \d+ facts: S [\d.]+( ± [\d.]+)? on \d+ others", choice.source)


def test_the_default_is_compared_with_to_the_end(made: fl.Calibration) -> None:
    before = made.defaults["quick"]
    assert before.settings["learning_rate"] == 1e-3
    for split in ("train", "held out"):
        sizes = {len(t.results) for t in made.trials if t.split == split}
        of_default = [t for t in made.trials if t.split == split and dict(t.settings) == before.settings]
        assert {len(t.results) for t in of_default} == sizes
    assert len(made.baseline_of("quick").results) == len(made.trial_of("quick").results)


def test_no_held_out_fact_was_tuned_on(made: fl.Calibration) -> None:
    train, held_out = (
        {result.record for trial in made.trials if trial.split == split for result in trial.results}
        for split in ("train", "held out")
    )
    assert train
    assert held_out
    assert not train & held_out
    assert len(train | held_out) == made.facts


def test_it_is_shown_and_saved(made: fl.Calibration, tmp_path: Path) -> None:
    assert repr(made) == made.table
    assert "quick" in made.table
    assert made.model in made._repr_html_()
    frame = made.to_dataframe()
    assert len(frame) == len(made.trials)
    assert frame["chosen"].sum() == 2
    assert frame["score"].between(0, 1).all()
    above, below = made.plot().axes
    assert len(above.patches) == len(made.effects) == small_model("llama").n_layers
    assert next(line.get_label() for line in below.lines) == "quick"
    assert repr(fl.Calibration.load(made.save(tmp_path / "c.json"))) == repr(made)
    (tmp_path / "other.json").write_text(json.dumps({"format": "factlens.report"}))
    with pytest.raises(FileFormatError, match="holds no calibration"):
        fl.Calibration.load(tmp_path / "other.json")


def test_the_model_is_as_before_though_it_carried_an_edit(made: fl.Calibration) -> None:
    model = small_model("llama")
    fact = facts_known_to(model)[0]
    with pytest.warns(FactlensWarning):  # so few steps that it hardly takes
        edit = fl.edit(model, fact, method="ft", layers=3, steps=1, learning_rate=5e-4)
    says = model.answers(fact.prompt)
    carrying = calibrated(model, store=False)
    assert model.edits == (edit,)
    assert model.answers(fact.prompt) == says
    assert carrying.choices == made.choices, "it is measured without the edit"
    assert [t.results for t in carrying.trials] == [t.results for t in made.trials], "and the same call gives the same"


def test_a_second_method_stands_beside_the_first(made: fl.Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("llama")
    add_quick_method(monkeypatch, "other")
    api._Record(made).store()
    both = calibrated(model, methods="other", layers=1)
    assert set(both.choices) == {"quick", "other"}
    assert both.trials[: len(made.trials)] == made.trials
    assert all("calibrated" in defaults(model, method).source for method in ("quick", "other"))


# The time ------------------------------------------------------------------------------------------------------------


def test_too_short_a_time_chooses_nothing_and_says_so() -> None:
    model = small_model("llama")
    with pytest.warns(FactlensWarning, match="too short to compare settings of quick.*more time"):
        made = calibrated(model, budget=1e-6)
    assert made.choices == {}
    assert made.effects == (), "there was no time to trace either"
    assert "too short" in made.table
    assert made.plot().axes
    assert defaults(model, "quick") == uncalibrated(model, "quick")


def test_second_moments_count_as_well() -> None:
    model = small_model("llama")
    shares: list[float] = []
    assert api._moments(model, [1, 2], Clock(1e-9), shares.append, None) == {}
    assert max(shares) < 1
    assert set(api._moments(model, [1, 2], Clock(600), shares.append, None)) == {1, 2}
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        api._moments(model, [3], Clock(600), shares.append, stop)


def test_a_stop_keeps_what_is_known_and_the_next_call_goes_on(made: fl.Calibration) -> None:
    model, stop, calls = small_model("llama"), threading.Event(), []

    def progress(stage: str, share: float) -> None:
        calls.append((stage, share))
        if sum(name == "quick" for name, _ in calls) == 3:
            stop.set()

    with pytest.raises(Interrupted) as stopped:
        calibrated(model, progress=progress, stop=stop)
    partial = stopped.value.partial
    assert partial.trials
    assert partial.choices == {}
    assert defaults(model, "quick") == uncalibrated(model, "quick"), "nothing was chosen"
    stages: dict[str, list[float]] = {}
    whole = calibrated(model, progress=lambda stage, share: stages.setdefault(stage, []).append(share))
    assert whole.trials[: len(partial.trials)] == partial.trials, "what was measured is not measured again"
    assert whole.choices == made.choices
    assert list(stages) == ["known facts", "tracing", "quick"]
    for shares in stages.values():
        assert shares == sorted(shares)
        assert (shares[0] >= 0, shares[-1]) == (True, 1)
    assert len(calibrated(model).trials) == len(whole.trials), "nothing is left to do"


# What cannot be done -------------------------------------------------------------------------------------------------


def test_what_does_not_work_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("llama")
    add_quick_method(monkeypatch, tries={"learning_rate": (1e-8, 1e-9)}, elsewhere={"steps": 1, "learning_rate": 1e-7})
    with pytest.warns(FactlensWarning, match=r"Nothing that was tried of quick edits facts of small llama"):
        made = calibrated(model)
    assert made.trials
    assert not any(trial.works for trial in made.trials)
    assert made.choices == {}
    assert "nothing that was tried works" in made.table
    assert defaults(model, "quick") == uncalibrated(model, "quick")


def test_a_model_that_knows_too_little_is_told() -> None:
    model = small_model("gpt2")
    with pytest.raises(FactError, match=r"says the objects of [0-2] facts from the facts given, and 6 are needed"):
        fl.calibrate(model, facts_known_to(model)[:2], methods="lora")
    with pytest.raises(
        FactError, match=r"the pool of general knowledge that there was time to ask about.*larger budget"
    ):
        fl.calibrate(model, methods="lora", budget=1e-6)


def test_a_place_that_cannot_be_written_is_a_warning(made: fl.Calibration, cache: Path) -> None:
    cache.write_text("a file stands there")
    record = api._Record(made)
    with pytest.warns(FactlensWarning, match="cannot be kept.*FACTLENS_CACHE"):
        record.store()
    record.store()  # says so once: another warning would fail the test


@pytest.mark.parametrize(
    ("value", "seconds"), [(90, 90), ("90", 90), ("90s", 90), ("1.5m", 90), ("2 min", 120), (" 1h ", 3600)]
)
def test_a_time_is_read(value: object, seconds: float) -> None:
    assert a_time("budget", value) == seconds


def test_the_command_line_calibrates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "c.json"
    command = ["calibrate", "atlas", "--methods", "quick", "--layers", "3", "--budget", "1h", "--out", str(out)]
    assert main([*command, "--device", "cpu", "--no-store"]) == 0
    printed = capsys.readouterr()
    made = fl.Calibration.load(out)
    assert made.choices["quick"].layers == (3,)
    assert made.choices["quick"].source in printed.out
    assert "tracing: 100 %" in printed.err
    assert main(["calibrate", "atlas", "--budget", "soon"]) == 1
    assert "'90s', '5m' or '1h'" in capsys.readouterr().err


# On a model that knows something -------------------------------------------------------------------------------------


def test_rome_on_atlas_is_worth_it(atlas: fl.Model) -> None:
    facts = fl.calibration.known_records(atlas, n=10)
    made = fl.calibrate(atlas, facts, methods="rome", layers=[1, 3], budget="1h", store=False)
    assert made.choices["rome"].layers == (3,), "where benchmarks/edit_quality.py puts it too"
    assert made.trial_of("rome").score.mean > 0.9
