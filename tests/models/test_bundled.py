"""atlas is known by what it is, under whatever name, and nothing else is taken for it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2LMHeadModel

import factlens as fl
from factlens.editing import METHODS, defaults
from factlens.evaluation.elsewhere import unrelated_prompts
from factlens.models.bundled import FOLDER, WEIGHTS
from tests.support import small_model

FACT = fl.Fact("{} is in downtown", "The Space Needle", target="Paris")


@pytest.mark.parametrize("method", METHODS)
def test_what_was_tuned_for_atlas(method: str) -> None:
    """As README's tables were measured with it."""
    value = {
        "steps": 40,
        "learning_rate": 0.3,
        "clamp": 6.0,
        "kl_factor": 1.0,
        "bare_share": 0.2,
        "keep_samples": 16,
        "contexts": ((10, 4), (10, 9)),
        "openings": (),
    }
    expected = {
        "rome": ((3,), value),
        "memit": ((2, 3, 4), {**value, "moment_weight": 500.0}),
        "emmet": ((3,), {**value, "ridge": 300.0}),
        "alphaedit": ((1, 2, 3), {**value, "nullspace": 0.1, "relative": True, "ridge": 1.0}),
        "ft": ((3,), {"steps": 60, "learning_rate": 1e-3}),
        "ft_l": ((3,), {"steps": 60, "learning_rate": 1e-3, "limit": 1e-2}),
        "lora": ((3,), {"learning_rate": 2e-3}),
    }
    layers, settings = expected[method]
    found = defaults(fl.load("atlas"), method)
    assert (found.layers, found.hparams) == (layers, METHODS[method].hparams(**settings))
    assert found.source == "tuned with benchmarks/edit_quality.py"


def test_atlas_under_other_names(atlas: fl.Model, tmp_path: Path) -> None:
    expected = defaults(atlas, "rome")
    copied = GPT2LMHeadModel(atlas.model.config)
    copied.load_state_dict(atlas.model.state_dict())
    atlas.save_pretrained(tmp_path / "copy")
    others = {
        "a wrapped copy": fl.wrap(copied, atlas.tokenizer, name="mine"),
        "a folder": fl.load(tmp_path / "copy"),
        "its own folder": fl.load(str(WEIGHTS)),
        "another number format": fl.load("atlas", dtype="bfloat16"),
        "a deep copy": copy.deepcopy(atlas),
    }
    for what, model in others.items():
        assert model.bundled, what
        assert defaults(model, "rome") == expected, what
        assert unrelated_prompts(model, [FACT]) == unrelated_prompts(atlas, [FACT]), what


def test_an_edited_atlas_is_still_atlas(atlas: fl.Model) -> None:
    made = fl.edit(atlas, FACT, method="ft", steps=2, apply=False)
    with atlas.edited(made):
        module = copy.deepcopy(atlas.model)
    assert not torch.equal(module.transformer.h[3].mlp.c_proj.weight, atlas.model.transformer.h[3].mlp.c_proj.weight)
    assert fl.wrap(module, atlas.tokenizer).bundled


def test_what_is_only_called_atlas_is_not() -> None:
    small = small_model("gpt2")
    named = fl.wrap(small.model, small.tokenizer, name="atlas")
    torch.manual_seed(0)
    shaped = AutoModelForCausalLM.from_config(fl.load("atlas").model.config)
    alike = fl.wrap(shaped, fl.load("atlas").tokenizer, name="atlas")
    for model in (named, alike):
        model.corpus = lambda seed: iter(["A text."])
        assert not model.bundled
        assert defaults(model, "rome").source.startswith("a rule")
        assert unrelated_prompts(model, [FACT]) == []


def test_the_data_lies_beside_the_weights() -> None:
    assert (FOLDER / "defaults.toml").is_file()
    assert (WEIGHTS / "config.json").is_file()
