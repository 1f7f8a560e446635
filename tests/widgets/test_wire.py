"""Frames: what of a trace, whole or growing, goes to the page."""

from __future__ import annotations

import numpy as np
import pytest

import factlens as fl
from factlens.tracing import schedule
from factlens.tracing.estimate_quality import FACTS, RANK_CORRELATION
from factlens.widgets.wire import frame_of
from tests.editing.made import FACT
from tests.support import small_model
from tests.tracing.made import made_trace
from tests.widgets.driving import grid_of


def test_frames_of_a_growing_trace_mark_what_is_missing() -> None:
    model = small_model("gpt2")
    updates = fl.stream(model, FACT, samples=2, corruption=fl.Noise(level=0.3))
    first = frame_of(next(updates).trace, run=1)
    assert not first["complete"]
    assert np.isnan(grid_of(first)).any()
    assert np.isfinite(grid_of(first)).any(), "tokens left of the subject are known at once"
    frames = [frame_of(update.trace, run=1) for update in updates]
    missing = [int(np.isnan(grid_of(frame)).sum()) for frame in [first, *frames]]
    assert missing == sorted(missing, reverse=True)
    assert missing[-1] == 0


def test_estimates_travel_until_every_cell_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_CPU_BRIEF", 0)
    model = small_model("gpt2")
    frames, estimate = [], None
    for update in fl.stream(model, FACT, samples=2, corruption=fl.Noise(level=0.3)):
        frames.append(frame_of(update.trace))
        estimate = update.trace.estimate.values
    missing = [frame for frame in frames if np.isnan(grid_of(frame)).any()]
    assert 2 < len(missing) < len(frames) - 2
    for frame in missing:
        np.testing.assert_array_equal(grid_of(frame, "estimate"), estimate)
        assert frame["quality"]["facts"] == FACTS
        assert list(frame["quality"]["rank_correlation"].values()) == list(RANK_CORRELATION.values())
        assert frame["suggested"] is None or np.isfinite(grid_of(frame)[1, frame["suggested"]["token"]]).all()
    assert [frame["count"] for frame in frames[len(missing) - 1 :]] == [0, *[1] * (len(frames) - len(missing) - 1), 2]
    for frame in frames[len(missing) :]:
        assert (frame["estimate"], frame["quality"]) == (None, None)
    assert [frame["complete"] for frame in frames] == [False] * (len(frames) - 1) + [True]


def test_no_estimates_where_none_is_asked_for_or_the_gradient_sees_nothing() -> None:
    model = small_model("gpt2")
    some = {"samples": 2, "corruption": fl.Noise(level=0.3)}
    first = frame_of(next(fl.stream(model, FACT, estimate=None, **some)).trace)
    assert (first["complete"], first["estimate"], first["quality"]) == (False, None, None)
    first = frame_of(next(fl.stream(model, FACT, kinds=("severed_mlp",), **some)).trace)
    assert (first["complete"], first["estimate"], first["quality"]) == (False, None, None)
    first = frame_of(next(fl.stream(model, FACT, kinds=("severed_mlp", "head.1"), **some)).trace)
    assert np.isnan(grid_of(first, "estimate")[0]).all()
    assert np.isfinite(grid_of(first, "estimate")[1]).all()


def test_intervals_are_of_the_samples_that_a_cell_has() -> None:
    model = small_model("gpt2")
    updates = list(fl.stream(model, FACT, samples=3, corruption=fl.Noise(level=0.3)))
    trace = updates[-1].trace
    frame = frame_of(trace)
    bounds = trace.interval()
    np.testing.assert_allclose(
        grid_of(frame) - frame["low"] + grid_of(frame, "half"), bounds.sel(bound="upper"), atol=1e-6
    )
    trace.samples.values[0, 3] = np.nan
    stopped = frame_of(trace, stopped=True)
    assert np.isnan(grid_of(stopped, "half")[0, 3]).all()
    assert np.isfinite(grid_of(stopped, "estimate")[0, 3]).all(), "a stopped trace keeps its estimates"
    assert frame_of(fl.trace(model, FACT, corruption=fl.Replacement("river")))["half"] is None, "one sample has none"


def test_frames_of_other_metrics_and_windows() -> None:
    trace = fl.trace(
        small_model("gpt2"),
        FACT,
        kinds=("severed_attn", "head.2"),
        metric="logit_difference",
        contrast=" Paris",
        window=4,
        window_convention="paper",
        samples=2,
    )
    frame = frame_of(trace)
    assert frame["kinds"] == ["severed_attn", "head.2"]
    assert (frame["metric"]["label"], frame["contrast"]) == ("logit difference", " Paris")
    assert (frame["window"], frame["window_convention"]) == (4, "paper")
    assert frame["suggested"] is None, "no MLP was traced"
    assert (frame["low"], frame["high"]) == (trace.low, trace.high)


def test_a_layer_is_suggested_where_corruption_raised_the_metric() -> None:
    trace = fl.trace(small_model("gpt2"), FACT, samples=2, metric="log_probability")
    token, mlp = trace.subject_range[1] - 1, trace.kinds.index("mlp")
    trace.high, trace.low_samples[:] = -3.0, -1.0
    trace.samples.values[:] = -1.0
    trace.samples.values[mlp, token, 2] = -2.5
    trace.samples.values[mlp, token, 0] = -0.2
    assert frame_of(trace)["suggested"] == {"kind": "mlp", "token": token, "layer": 2, "source": None}
    trace.known = False
    assert frame_of(trace)["suggested"] is None, "the model does not know this fact"
    trace.known = True
    assert frame_of(trace)["suggested"] is not None
    trace.high = trace.low
    assert frame_of(trace)["suggested"] is None, "nothing was lost, so nothing comes back"


def test_what_the_noise_does_not_tell_from_none_is_marked_and_suggests_nothing() -> None:
    trace = made_trace(samples=4, low=0.1, high=0.9, known=True)
    trace.low_samples[:] = 0.1
    trace.samples.values[:] = 0.1
    token, mlp = trace.subject_range[1] - 1, trace.kinds.index("mlp")
    trace.samples.values[mlp, token, 3] = (0.5, 0.6, 0.5, 0.6)
    frame = frame_of(trace)
    assert frame["suggested"] == {"kind": "mlp", "token": token, "layer": 3, "source": None}
    assert (frame["total"]["none"], frame["total"]["end"]) == (False, 0.9)
    assert grid_of(frame, "noise")[mlp, token, 3] == 0
    trace.samples.values[mlp, token, 3] = (1.0, 0.1, 0.1, 0.9)
    frame = frame_of(trace)
    assert grid_of(frame, "noise")[mlp, token, 3] == 1
    assert frame["suggested"] is None
    trace.low_samples[:] = (0.1, 1.2, 0.2, 1.0)
    frame = frame_of(trace)
    assert frame["total"]["none"]
    assert frame["total"]["end"] > trace.high
    assert any("no effect" in remark for remark in frame["remarks"])


def test_a_layer_is_suggested_only_where_there_is_an_effect() -> None:
    trace = fl.trace(small_model("gpt2"), FACT, samples=2, corruption=fl.Noise(level=0.3))
    token, mlp = trace.subject_range[1] - 1, trace.kinds.index("mlp")
    trace.high, trace.low_samples[:] = 0.9, 0.1
    trace.samples.values[:] = 0.1
    assert frame_of(trace)["suggested"] is None
    trace.samples.values[mlp, token, 3] = 0.15
    assert frame_of(trace)["suggested"] is None, "a twentieth of the total effect"
    trace.samples.values[mlp, token, 3] = 0.5
    assert frame_of(trace)["suggested"] == {"kind": "mlp", "token": token, "layer": 3, "source": None}
    trace.samples.values[mlp, token, 0] = np.nan
    assert frame_of(trace)["suggested"] is None, "the row is not known yet"


def test_a_calibration_suggests_in_the_place_of_the_trace() -> None:
    trace = made_trace(samples=4, known=False)
    token = trace.subject_range[1] - 1
    assert frame_of(trace)["suggested"] is None
    suggested = frame_of(trace, calibrated=(5, "calibrated today"))["suggested"]
    assert suggested == {"kind": "mlp", "token": token, "layer": 5, "source": "calibrated today"}
    assert frame_of(made_trace(kinds=("state",)), calibrated=(5, "calibrated today"))["suggested"] is None
