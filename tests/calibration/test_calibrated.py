"""What a stored calibration is to later edits: taken, said, and passed over where it cannot be used."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import factlens as fl
from factlens.editing import defaults
from factlens.editing.calibrated import Choice, calibration_file
from factlens.editing.settings import uncalibrated
from factlens.errors import FactlensWarning
from tests import saved
from tests.support import small_model

SOURCE = "calibrated 2026-11-27 on 24 facts: S 94.0 ± 3.0 on 16 others"
FACT = fl.Fact("{} is near", "Paris", target="Rome")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def stored(model: fl.Model, layers: tuple[int, ...] = (1,), **changes: object) -> Path:
    """Store a choice for LoRA."""
    settings = json.loads(json.dumps(asdict(defaults(model, "lora").hparams))) | changes
    path = calibration_file(model.fingerprint)
    path.parent.mkdir(parents=True, exist_ok=True)
    choices = {"lora": Choice(layers, settings, SOURCE)}
    return replace(saved.calibration(), fingerprint=model.fingerprint, choices=choices).save(path)


@pytest.mark.filterwarnings("ignore::factlens.errors.EditWarning")
def test_edits_take_what_was_chosen_and_say_so() -> None:
    model = small_model("gpt2")
    assert "rule" in defaults(model, "lora").source
    stored(model, (2,), learning_rate=0.004, steps=2)
    assert defaults(model, "lora").source == SOURCE
    edit = fl.edit(model, FACT, method="lora", apply=False)
    assert edit.layers == (2,)
    assert (edit.recipe["learning_rate"], edit.recipe["steps"]) == (0.004, 2)
    assert edit.defaults == SOURCE
    assert SOURCE in repr(edit)
    assert SOURCE in edit._repr_html_()
    own = fl.edit(model, FACT, method="lora", layers=3, steps=1, apply=False)
    assert own.layers == (3,)
    assert own.defaults == f"{SOURCE}; but for layers, steps"
    assert defaults(model, "ft") == uncalibrated(model, "ft"), "another method"
    other = small_model("llama")
    assert defaults(other, "lora") == uncalibrated(other, "lora"), "another model"


def test_what_the_user_has_measured_comes_before_what_was_tuned_for_atlas(atlas: fl.Model) -> None:
    assert defaults(atlas, "lora").source.startswith("tuned")
    stored(atlas, (1,))
    assert defaults(atlas, "lora").source == SOURCE
    assert uncalibrated(atlas, "lora").source.startswith("tuned")


@pytest.mark.parametrize(("layers", "changes"), [((1,), {"gone": 3}), ((99,), {})])
def test_settings_of_another_version_are_passed_over(layers: tuple[int, ...], changes: dict) -> None:
    model = small_model("gpt2")
    stored(model, layers, **changes)
    with pytest.warns(FactlensWarning, match="for lora is not used"):
        assert defaults(model, "lora") == uncalibrated(model, "lora")


@pytest.mark.parametrize("harm", ["cut", "changed", "of another model"])
def test_a_file_that_cannot_be_used_is_passed_over(harm: str) -> None:
    model = small_model("gpt2")
    path = stored(model)
    text = path.read_text()
    if harm == "of another model":
        model = small_model("llama")
        path = calibration_file(model.fingerprint)
    path.write_text({"cut": text[: len(text) // 2], "changed": text.replace('"lora"', '"LORA"')}.get(harm, text))
    with pytest.warns(FactlensWarning, match=r"is not used: .*factlens.calibrate\(model\) makes it anew"):
        assert defaults(model, "lora") == uncalibrated(model, "lora")
