"""What is said of an edit of every method that took, and what to change where one did not."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest

import factlens as fl
from factlens.editing import METHODS, Took
from factlens.editing.advice import Circumstances, advice
from factlens.editing.api import quiet_edit
from factlens.editing.methods.emmet import EmmetHparams
from factlens.editing.methods.rome import RomeHparams
from factlens.editing.taking import say, shown_share
from factlens.errors import EditWarning, FactlensWarning
from factlens.moments import SecondMoment
from tests.models.made import bits, same_bits

NEEDLE = fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris")
#: Without the texts that are held, and with few contexts: fast, and as good for one fact.
FAST: dict[str, Any] = {"keep_samples": 0, "contexts": ((2, 4),)}

#: Of each method an edit that takes; then each way to fail, the half that fails, and what is said.
GOOD: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("rome", "emmet", "memit", "alphaedit"), FAST),
    **{method: {} for method in ("ft", "ft_l", "lora")},
}
LATE = ["v* itself stayed at p", "no attention above layer 7", "Try an earlier layer (now 7, by default"]
SHORT = ["v* itself", "length limit was reached", "a larger clamp (now 0.05)", "more steps (now 40)"]
STILL = ["The target gained nothing. v* itself", "steps=1 takes no step. Try more steps (now 1)"]
VALUE_METHODS = ("rome", "emmet", "memit", "alphaedit")
BAD: dict[str, tuple[str, dict[str, Any], str, list[str]]] = {
    **{f"{m}, last layer": (m, {**FAST, "layers": 7}, "value", LATE) for m in VALUE_METHODS},
    **{f"{m}, short v*": (m, {**FAST, "clamp": 0.05}, "value", SHORT) for m in VALUE_METHODS},
    **{f"{m}, no step": (m, {**FAST, "steps": 1}, "value", STILL) for m in VALUE_METHODS},
    "rome, few steps": ("rome", {**FAST, "steps": 2}, "value", ["all steps were used", "learning_rate (now 0.3)"]),
    "rome, early end": ("rome", {**FAST, "stop_loss": 9.0}, "value", ["below stop_loss", "stop_loss (now 9)"]),
    "rome, held back": (
        "rome",
        {**FAST, "kl_factor": 1e6},
        "value",
        ["kl_factor held it back", "a smaller kl_factor (now 1e+06)"],
    ),
    "memit, identity": (
        "memit",
        {**FAST, "moments": "identity"},
        "weights",
        ["v* reached p 0.98, but the weights moved too little", "instead of the identity (moments=None)"],
    ),
    "memit, heavy C": (
        "memit",
        {**FAST, "moment_weight": 1e8},
        "weights",
        ["v* reached p 0.98, but", "a smaller moment_weight (now 1e+08)", "a larger bare_share (now 0.2)"],
    ),
    "alphaedit, ridge": (
        "alphaedit",
        {**FAST, "ridge": 1e6},
        "weights",
        ["v* reached p 0.97, but", "a larger nullspace (now 0.1)", "a smaller ridge (now 1e+06)"],
    ),
    "ft_l, tiny limit": (
        "ft_l",
        {"limit": 1e-7},
        "weights",
        ["The target gained nothing. Weights reached the limit", "a larger limit (now 1e-07)"],
    ),
    "ft, no steps": ("ft", {"steps": 1}, "weights", ["after all its steps", "more steps (now 1)"]),
    "ft, no rate": ("ft", {"learning_rate": 1e-9}, "weights", ["gained nothing", "a larger learning_rate (now 1e-09)"]),
    "ft, early end": ("ft", {"stop_loss": 100.0}, "weights", ["below stop_loss", "a smaller stop_loss (now 100)"]),
    "ft, last layer": ("ft", {"layers": 7, "steps": 1}, "weights", ["an earlier layer (now 7, by default 3)"]),
    "lora, no steps": ("lora", {"steps": 1}, "weights", ["more steps (now 1)"]),
}


def test_every_method_is_tried() -> None:
    assert set(GOOD) == set(METHODS) == {method for method, *_ in BAD.values()}


@pytest.mark.parametrize("method", GOOD)
def test_a_good_edit_says_that_it_took(atlas: fl.Model, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FactlensWarning)
        made = fl.edit(atlas, NEEDLE, method=method, apply=False, **GOOD[method])
    (took,) = made.taken
    assert (took.failed, took.advice, made.took, made.warning) == (None, "", True, "")
    assert took.before < 0.001 < 0.5 < took.after
    assert (took.with_value is None) == (method in ("ft", "ft_l", "lora"))
    shares = f"p(Paris) {shown_share(took.before)} → {shown_share(took.after)}"
    assert repr(made).endswith(f"for 'atlas', took 1 of 1: {shares}>")
    assert "<td>yes</td>" in made._repr_html_()
    assert made.to_dict()["taken"][0]["after"] == took.after


@pytest.mark.parametrize("name", BAD)
def test_an_edit_that_did_not_take_says_why(atlas: fl.Model, name: str) -> None:
    method, options, half, words = BAD[name]
    if options.get("moments") == "identity":
        options = options | {"moments": {n: SecondMoment.identity_matrix(atlas, n) for n in range(8)}}
    before = bits(atlas)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = fl.edit(atlas, NEEDLE, method=method, **options)
    assert atlas.edits == (made,), "it is the user's choice"
    atlas.undo()
    assert same_bits(bits(atlas), before)
    (took,) = made.taken
    assert took.failed == half
    assert made.took is False
    (warned,) = caught
    assert warned.category is EditWarning
    assert warned.filename == __file__
    said = str(warned.message)
    assert said.startswith("The edit did not take.\nThe Space Needle → Paris: p(Paris) ")
    assert said.endswith("\nIt is applied all the same: model.undo() takes it back.")
    for part in words:
        assert part in took.advice, took.advice
        assert part in said
    assert "took 0 of 1" in repr(made)
    assert f"no: the {half} failed" in made._repr_html_()
    named = re.findall(r"(?:smaller|larger|more) (\w+) \(now", took.advice)
    assert set(named) <= set(made.hparams), "advice names settings of the method"
    assert took.numbers in said


def test_many_facts_are_told_apart(atlas: fl.Model) -> None:
    facts = [NEEDLE, fl.Fact("{} is in downtown", subject="The Louvre", target="Tokyo")]
    made = quiet_edit(atlas, facts, method="emmet", ridge=1e9, apply=False, **FAST)
    assert [one.failed for one in made.taken] == ["weights", "weights"]
    assert all("Try a smaller ridge (now 1e+09), a larger bare_share" in one.advice for one in made.taken)
    assert [one.before for one in made.taken] == pytest.approx([one.probability for one in say(atlas, facts)])


@pytest.mark.parametrize(
    ("hparams", "words"),
    [
        (RomeHparams(), "Try a larger bare_share (now as published) or a later layer (now 2, by default 3)."),
        (RomeHparams(as_published=True), "prompt. Try a later layer (now 2, by default 3)."),
        (RomeHparams(balanced=True), "prompt. Try a later layer (now 2, by default 3)."),
        (RomeHparams(contexts=(), openings=()), "prompt. Try a later layer (now 2, by default 3)."),
        (EmmetHparams(bare_share=0.5), "Try a larger bare_share (now 0.5) or"),
    ],
)
def test_advice_where_the_mean_key_is_not_the_bare_prompts(hparams: Any, words: str) -> None:
    made = Circumstances(METHODS[hparams.method], (2,), default_layers=(3,), n_layers=8, hparams=hparams)
    said = advice(NEEDLE, Took(0.1, 0.9, 0.2, True, False), made, {})
    assert said.startswith("v* reached p 0.9, but the weights do not put it out after the bare prompt. Try")
    assert words in said
    assert advice(NEEDLE, Took(0.1, 0.9, 0.2, True, True), made, {}) == ""
