"""The settings of a session: checked when they are set, taken by the next trace, and told from those of the last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import factlens as fl
from factlens.errors import ArgumentError, Closed
from factlens.session import SETTINGS, Session, Settings
from factlens.session.choosing import Setting
from factlens.tracing import TraceMetric
from factlens.tracing.options import DEFAULTS, LensOptions
from factlens.tracing.recipe import code_for
from tests.editing.made import FACT
from tests.support import small_model

OTHERS: dict[str, Any] = {
    "kinds": ("mlp", "head.1", "severed_attn"),
    "corruption": fl.Noise(level=0.3, shape="uniform"),
    "samples": 3,
    "seed": 5,
    "window": 2,
    "window_convention": "paper",
    "metric": "logit_difference",
    "answer": "Paris",
    "contrast": fl.Exactly(" Seattle"),
    "estimate": None,
    "memory": 2**24,
}


def traced(session: Session) -> fl.Trace:
    session.start_trace()
    assert session.wait(60)
    assert session.error is None, session.error
    assert session.trace is not None
    return session.trace


def test_every_option_of_a_trace_is_a_setting() -> None:
    assert set(SETTINGS) == set(DEFAULTS) == set(LensOptions.__annotations__) == set(OTHERS)
    traits = Settings.class_traits()
    assert set(traits) == set(SETTINGS)
    for name, trait in traits.items():
        assert isinstance(trait, Setting)
        assert trait.help
        assert trait.default_value == DEFAULTS[name]


def test_a_trace_is_made_as_the_settings_say(session: Session) -> None:
    for name, value in OTHERS.items():
        setattr(session, name, value)
        assert getattr(session, name) == value
    trace = traced(session)
    plain = fl.trace(session.model, session.fact, **OTHERS)
    np.testing.assert_allclose(trace.samples.values, plain.samples.values, rtol=1e-4, atol=1e-5)
    assert trace.kinds == ("mlp", "head.1", "severed_attn")
    assert trace.estimate is None
    assert not session.set_otherwise


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in ("estimate", "memory", "contrast")])
def test_another_setting_is_told_from_that_of_the_trace(session: Session, name: str) -> None:
    assert not session.set_otherwise
    session.kinds, session.samples = ("mlp",), 2
    session.corruption = fl.Noise(level=0.2)
    if name == "answer":
        session.answer = "Rome"
    traced(session)
    if name == "metric":
        session.contrast = "Seattle"
        assert not session.set_otherwise, "it counts for the other metric only"
    before = getattr(session, name)
    setattr(session, name, OTHERS[name])
    assert session.set_otherwise
    setattr(session, name, before)
    assert not session.set_otherwise


@pytest.mark.parametrize(("name", "value"), [("estimate", None), ("memory", 2**26)])
def test_what_changes_no_number_makes_no_other_trace(session: Session, name: str, value: object) -> None:
    session.kinds, session.samples = ("mlp",), 2
    traced(session)
    setattr(session, name, value)
    assert not session.set_otherwise


def test_as_many_samples_as_it_takes_is_told_from_their_number(session: Session) -> None:
    session.kinds, session.samples = ("mlp",), "auto"
    trace = traced(session)
    assert not session.set_otherwise
    session.samples = trace.samples.sizes["sample"]
    assert session.set_otherwise


def test_a_replacement_has_neither_samples_nor_seed(session: Session) -> None:
    session.kinds, session.corruption = "mlp", fl.Replacement("Louvre")
    assert session.kinds == ("mlp",)
    traced(session)
    session.samples, session.seed = 4, 9
    assert not session.set_otherwise
    session.corruption = fl.Replacement("river")
    assert session.set_otherwise


def test_heads_stay_as_they_were_asked_for(session: Session) -> None:
    session.kinds = ["mlp", "head"]
    session.samples = 1
    assert session.kinds == ("mlp", "head")
    assert len(traced(session).kinds) == 1 + session.model.n_heads
    assert not session.set_otherwise


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("kinds", [], "kinds must be"),
        ("kinds", None, "kinds must be"),
        ("kinds", ["head.99"], "no head 99"),
        ("corruption", "noise", "a Noise or a Replacement"),
        ("samples", 0, "at least 1"),
        ("samples", None, "samples must be a whole number"),
        ("seed", -1, "from 0"),
        ("window", 2.5, "whole number"),
        ("window_convention", "text", "one of code, paper"),
        ("metric", "p", "one of probability"),
        ("answer", 3, "answer must be"),
        ("contrast", "", "contrast must be"),
        ("estimate", "guess", "one of attribution_patching"),
        ("memory", 0, "at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    session: Session, name: str, value: object, words: str
) -> None:
    before = getattr(session, name)
    with pytest.raises(fl.FactlensError, match=words):
        setattr(session, name, value)
    assert getattr(session, name) == before
    assert session.refused == {}


def test_a_metric_of_your_own(session: Session) -> None:
    def surprise(logits: Any, answer: Any, contrast: Any) -> Any:
        return -logits.log_softmax(-1)[..., 0, answer[0]]

    session.metric = surprise
    assert isinstance(session.metric, TraceMetric)
    session.kinds, session.samples = ("mlp",), 2
    assert traced(session).metric == "surprise"
    assert not session.set_otherwise
    assert "# the metric is your own" in code_for(session.weights, session.fact, session.options)


def test_reset_makes_them_those_of_a_new_session(session: Session) -> None:
    for name, value in OTHERS.items():
        setattr(session, name, value)
    session.refuse("samples", "samples", "many", "samples must be ...")
    session.reset_settings()
    assert {name: getattr(session, name) for name in SETTINGS} == DEFAULTS
    assert session.refused == {}


def test_what_was_refused_is_forgotten_once_its_setting_is_there(session: Session) -> None:
    session.refuse("level", "corruption", "x", "level must be a number.")
    session.refuse("samples", "samples", "many", "samples must be a number.")
    session.refuse("window", "window", "x", "window must be a number.")
    with pytest.raises(fl.FactlensError, match=r"level must be a number\. samples must be a number\. window"):
        session.check_settings()
    session.corruption = fl.Noise(level=1.0)
    assert list(session.refused) == ["window"], "samples stand under a corruption"
    session.window = 2
    session.check_settings()


def test_nothing_can_be_set_once_it_is_closed() -> None:
    session = Session(small_model("gpt2"), FACT)
    session.close()
    with pytest.raises(Closed):
        session.samples = 3
    with pytest.raises(Closed):
        session.reset_settings()


CODES: list[dict[str, Any]] = [
    {},
    {"samples": 2, "seed": 3, "kinds": ("mlp", "head.1")},
    {"corruption": fl.Replacement("Louvre"), "window": 2, "window_convention": "paper"},
    {"corruption": fl.Noise(2.0, ("Rome", 'the "Louvre"'), shape="uniform", replace=True), "samples": 2},
    {"metric": "logit_difference", "contrast": "Seattle", "answer": fl.Exactly(" Paris"), "samples": 2},
]


@pytest.mark.parametrize("options", CODES)
def test_the_code_of_the_settings_gives_the_numbers_of_the_trace(
    session: Session, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in options.items():
        setattr(session, name, value)
    code = code_for(session.weights, session.fact, session.options)
    monkeypatch.setattr(fl, "load", lambda name: session.model)
    monkeypatch.setattr(fl.Trace, "plot", lambda trace: None)
    scope: dict[str, Any] = {}
    exec(code, scope)
    trace = traced(session)
    np.testing.assert_allclose(scope["trace"].samples.values, trace.samples.values, rtol=1e-4, atol=1e-5)
    assert scope["trace"].corruption == trace.corruption
    call = next(line for line in code.splitlines() if "fl.trace(" in line)
    assert all((f"{name}=" in call) == (name in options) for name in SETTINGS)


def test_the_code_names_edits_in_force(session: Session) -> None:
    session.model.apply(fl.edit(session.model, FACT.with_target("Rome"), method="ft", layers=1, steps=2, apply=False))
    assert "# traced with these edits in force: " in code_for(session.weights, session.fact, session.options)
    session.model.undo()


def test_an_argument_error_is_what_is_raised(session: Session) -> None:
    with pytest.raises(ArgumentError):
        session.seed = "one"
