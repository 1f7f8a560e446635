"""The result of tracing: labels, options, interruption."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import factlens as fl
from factlens.errors import Interrupted, WeightsChanged
from factlens.tracing import Trace
from factlens.tracing.corruption import draw_noise
from factlens.tracing.windows import default_window, window_layers
from tests.support import small_model
from tests.tracing.made import FACT, NOISE, made_trace


def test_labels(trace: Trace, model: fl.Model) -> None:
    assert trace.effects.dims == ("kind", "token", "layer")
    assert trace.samples.dims == ("kind", "token", "layer", "sample")
    assert list(trace.effects["kind"].values) == ["state", "mlp", "attn"]
    assert "".join(trace.tokens) == FACT.prompt
    assert trace.samples.sizes["layer"] == model.n_layers
    start, stop = trace.subject_range
    assert "".join(trace.tokens[start:stop]).strip() == "Eiffel Tower"
    np.testing.assert_allclose(trace.effects.values, trace.scores.values - trace.low)
    assert trace.total_effect == trace.high - trace.low


def test_peak_is_the_largest_effect(trace: Trace) -> None:
    peak = trace.peak("mlp")
    assert peak.effect == float(trace.effects.sel(kind="mlp").max())
    assert float(trace.effects.sel(kind="mlp")[peak.token, peak.layer]) == peak.effect
    with pytest.raises(fl.FactlensError, match="was not traced"):
        trace.peak("head.0")
    with pytest.raises(fl.FactlensError, match="No cell of the kind 'mlp'"):
        made_trace(computed=0).peak("mlp")


def test_dataframe_has_a_row_per_cell(trace: Trace) -> None:
    frame = trace.to_dataframe()
    assert len(frame) == trace.scores.size
    row = frame[(frame.kind == "attn") & (frame.token == 2) & (frame.layer == 3)].iloc[0]
    assert row.score == pytest.approx(float(trace.scores.sel(kind="attn")[2, 3]))
    assert row.effect == pytest.approx(row.score - trace.low)
    assert row.piece == trace.tokens[2]
    start, stop = trace.subject_range
    assert set(frame[frame.subject].token) == set(range(start, stop))


def test_the_noise_is_the_published_draw() -> None:
    expected = np.random.RandomState(1).randn(10, 3, 7) * 0.5
    np.testing.assert_array_equal(draw_noise(10, 3, 7, 0.5), expected)


def test_sigma_is_over_all_elements_of_the_subjects_embeddings(model: fl.Model) -> None:
    trace = fl.trace(model, FACT, samples=2, kinds=["mlp"])
    start, stop = trace.subject_range
    weight = model.embedding.weight.detach()
    assert trace.noise_level == pytest.approx(3 * float(weight[list(trace.token_ids[start:stop])].std()), rel=1e-6)
    names = ("Zürich", "São Paulo")
    wide = fl.trace(model, FACT, samples=2, kinds=["mlp"], corruption=fl.Noise(multiple=1.0, subjects=names))
    ids = [i for name in names for i in model.tokenizer(name)["input_ids"]]
    assert wide.noise_level == pytest.approx(float(weight[ids].std()), rel=1e-6)


def test_windows_are_those_of_the_published_code() -> None:
    layers = 48
    for layer in range(layers):
        assert list(window_layers(layer, 10, layers)) == list(range(max(0, layer - 5), min(layers, layer + 5)))
    assert list(window_layers(3, 3, 8)) == [2, 3, 4]
    assert list(window_layers(3, 1, 8)) == [3]
    assert [default_window(n) for n in (2, 8, 12, 24, 48, 96)] == [2, 3, 3, 5, 10, 10]


def test_a_kind_alone_gives_the_same_numbers(model: fl.Model, trace: Trace) -> None:
    alone = fl.trace(model, FACT, samples=4, corruption=NOISE, kinds=["attn"])
    np.testing.assert_allclose(alone.samples.sel(kind="attn").values, trace.samples.sel(kind="attn").values, atol=1e-6)


def test_the_stream_tells_the_telling_rows_first(model: fl.Model) -> None:
    updates = list(fl.stream(model, FACT, samples=2, corruption=NOISE))
    start, stop = updates[0].trace.subject_range
    last = len(updates[0].trace.tokens) - 1
    assert updates[0].tokens == ()
    assert updates[1].tokens == (stop - 1,)
    assert updates[2].tokens[0] == last
    # A row may come in several parts, but every row comes.
    assert {token for update in updates for token in update.tokens} == set(range(start, last + 1))
    progress = [update.progress for update in updates]
    assert progress == sorted(progress)
    assert progress[-1] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: {"kinds": ["heads"]}, "kinds must be"),
        (lambda: {"kinds": []}, "kinds must be"),
        (lambda: {"kinds": ["head.4"]}, "no head 4: the model's 4 heads are numbered 0 to 3"),
        (lambda: {"samples": 0}, "samples must be at least 1"),
        (lambda: {"window": 0}, "window must be at least 1"),
        (lambda: {"window_convention": "published"}, "window_convention must be one of code, paper"),
        (lambda: {"corruption": "noise"}, "must be a Noise or a Replacement, not 'noise'"),
        (lambda: {"corruption": fl.Noise(multiple=0)}, "multiple must be positive, not"),
        (lambda: {"corruption": fl.Noise(level=-1.0)}, "level must be positive, not"),
        (lambda: {"corruption": fl.Noise(level=float("nan"))}, "level must be a finite positive number, not nan"),
        (lambda: {"corruption": fl.Noise(shape="square")}, "shape must be one of gaussian"),
        (lambda: {"corruption": fl.Noise(subjects=())}, "list of subjects"),
        (lambda: {"corruption": fl.Replacement(" ")}, "subject must be a text with something in it"),
        (lambda: {"corruption": fl.Replacement("Eiffel Tower")}, "replaced by itself"),
        (lambda: {"metric": "accuracy"}, "metric must be one of"),
        (lambda: {"metric": "logit_difference"}, "needs the answer to compare with"),
        (lambda: {"contrast": "Rome"}, "used by metric='logit_difference' only"),
        (lambda: {"metric": "logit_difference", "answer": "Rome", "contrast": "Rome"}, "do not differ"),
        (lambda: {"answer": " "}, "answer must be a text with something in it"),
    ],
)
def test_options_that_make_no_sense(model: fl.Model, options: Callable[[], dict[str, Any]], message: str) -> None:
    with pytest.raises(fl.FactlensError, match=message):
        fl.trace(model, FACT, **options())


def test_stopping_keeps_the_partial_grid(model: fl.Model) -> None:
    stop, passes = threading.Event(), []

    def press(*_: Any) -> None:
        passes.append("begun")
        if passes.count("begun") == 3:
            stop.set()

    # Pressed in the first layer of the third pass, it does not wait for the last layer.
    handles = [
        model.blocks[1].register_forward_hook(press),
        model.blocks[4].register_forward_hook(lambda *_: passes.append("whole")),
    ]
    try:
        with pytest.raises(Interrupted) as caught:
            fl.trace(model, FACT, samples=2, corruption=NOISE, stop=stop)
    finally:
        for handle in handles:
            handle.remove()
    assert passes.count("whole") == 2
    partial = caught.value.partial
    assert isinstance(partial, Trace)
    assert np.isfinite(partial.scores.sel(kind="mlp").values[model.encode(FACT).subject_range[1] - 1]).all()
    assert not partial.complete
    assert "incomplete" in repr(partial)
    assert "not computed" in partial._svg()


def test_a_trace_that_is_stopped_before_it_begins(model: fl.Model) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted) as caught:
        fl.trace(model, FACT, samples=2, corruption=NOISE, stop=stop)
    assert caught.value.partial is None


def test_an_edit_in_the_middle_of_a_trace_is_noticed() -> None:
    model = small_model("gpt2")
    fact = FACT.with_target("Seattle")
    updates = fl.stream(model, fact, samples=2, corruption=NOISE)
    next(updates)
    fl.edit(model, fact, layers=1, contexts=())
    with pytest.raises(WeightsChanged, match="Trace again"):
        next(updates)
    model.undo()


def test_a_trace_names_the_edits_that_the_runs_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    from factlens.tracing import engine

    model, real = small_model("gpt2"), engine.started
    edit = fl.edit(model, FACT.with_target("Seattle"), layers=1, contexts=())

    def undone_meanwhile(*args: Any, **settings: Any) -> Trace:
        model.undo()
        return real(*args, **settings)

    monkeypatch.setattr(engine, "started", undone_meanwhile)
    updates = fl.stream(model, FACT, samples=2, corruption=NOISE)
    assert next(updates).trace.edits == (str(edit),)
