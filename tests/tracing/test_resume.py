"""A stopped trace that goes on, and a trace as code: the same numbers again."""

from __future__ import annotations

import numpy as np
import pytest

import factlens as fl
from factlens.errors import WrongModel
from factlens.moments import SecondMoment
from factlens.tracing import Trace, stream, stream_rest
from factlens.tracing.captions import caption_of
from factlens.tracing.recipe import code_of
from tests.support import small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")
OPTIONS = (
    {"samples": 3, "window": 2},
    {"kinds": ("severed_mlp", "head.1"), "metric": "logit_difference", "contrast": "Rome", "samples": 2},
    {"corruption": fl.Replacement("Space Needle"), "window_convention": "paper"},
    {"corruption": fl.Noise(shape="uniform", level=0.2), "metric": "log_probability", "answer": "Seattle and"},
)


def stopped(model: fl.Model, steps: int, **options: object) -> Trace:
    for step, update in enumerate(stream(model, FACT, memory=1, **options)):  # type: ignore[arg-type]
        if step == steps:
            return update.trace
    raise AssertionError("it was over before")


@pytest.mark.parametrize("options", OPTIONS)
def test_a_resumed_trace_is_the_whole_one(options: dict) -> None:
    model = small_model("gpt2")
    part = stopped(model, 2, **options)
    known = np.isfinite(part.samples.values)
    assert 0 < known.mean() < 1
    before = part.samples.values.copy()
    seen = [update.progress for update in stream_rest(model, part)]
    assert part.complete
    assert seen == sorted(seen)
    np.testing.assert_array_equal(part.samples.values[known], before[known])  # what was there is kept, bit for bit
    whole = fl.trace(model, FACT, **options)
    np.testing.assert_allclose(part.samples.values, whole.samples.values, atol=1e-5)


def test_a_saved_part_is_resumed_by_the_same_model_only(tmp_path) -> None:
    model = small_model("gpt2")
    part = Trace.load(stopped(model, 1, samples=2).save(tmp_path / "part.safetensors"))
    other = small_model("llama")
    with pytest.raises(WrongModel, match=r"belongs to 'small gpt2' .* not to 'small llama'"):
        fl.resume(other, part)
    edit = fl.edit(model, FACT, layers=1, steps=1, moments={1: SecondMoment.identity_matrix(model, 1)})
    with pytest.raises(WrongModel, match="made with no edits, but small gpt2 now carries the edits Eiffel"):
        fl.resume(model, part)
    assert not part.complete
    model.undo(edit)
    assert fl.resume(model, part) is part
    assert part.complete


@pytest.mark.parametrize("options", OPTIONS)
def test_the_code_of_a_trace_computes_it_again(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    trace = fl.trace(model, FACT, **options)
    code = code_of(trace)
    assert f"fl.load({model.name!r})" in code
    monkeypatch.setattr(fl, "load", lambda _name: model)
    names: dict = {}
    exec(code.replace("trace.plot()\n", ""), names)
    np.testing.assert_array_equal(names["trace"].samples.values, trace.samples.values)
    assert names["fact"] == FACT


def test_a_caption_says_how_a_figure_was_made() -> None:
    model = small_model("gpt2")
    words = caption_of(stopped(model, 1, samples=2, window=2))
    for part in (
        model.name,
        model.fingerprint[:8],
        FACT.prompt,
        "2 noise samples, seed 1",
        "windows of 2",
        "Incomplete",
    ):
        assert part in words
