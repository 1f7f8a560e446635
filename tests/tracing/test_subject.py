"""What the MLPs bring back at the subject's last token: the row of a whole trace, and the layer it points to."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import factlens as fl
from factlens.errors import Interrupted
from factlens.tracing.subject import MlpRow, layer_by, mean_row, mlp_row, mlp_row_of
from tests.support import small_model
from tests.tracing.made import made_trace

FACT = fl.Fact("The capital of {} is the", "the river")


@pytest.mark.parametrize(
    ("effects", "total", "layer"),
    [
        ((0.01, 0.12, 0.14, 0.16, 0.03), 0.65, 3),
        ((0.2, 0.21, 0.1, 0.09), 0.75, 1),
        # Three fifths are much, half is not; and a second rise far above counts as well.
        ((0.5, 0.1, 0.3, 0.0), 0.6, 2),
        ((0.5, 0.4, 0.25, 0.0), 0.6, 1),
        # Corruption has raised the metric, and the MLP takes it down again.
        ((-0.1, -0.4, -0.1), -0.5, 1),
        # Nothing comes back there, or nothing was lost.
        ((0.01, 0.02, 0.01), 0.5, None),
        ((0.1, 0.2), 0.0, None),
        ((-0.1, -0.2), 0.5, None),
        ((math.nan, 0.2), 0.5, None),
    ],
)
def test_the_layer_that_a_row_points_to(effects: tuple[float, ...], total: float, layer: int | None) -> None:
    assert MlpRow(np.array(effects), total).layer == layer


def test_the_mean_of_rows_is_that_of_their_effects() -> None:
    mean = mean_row([MlpRow(np.array([0.9, 0.1]), 1.0), MlpRow(np.array([0.0, 0.1]), 0.1)])
    assert mean.effects.tolist() == pytest.approx([0.45, 0.1])
    assert mean.total == pytest.approx(0.55)
    assert mean.layer == 0


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_the_row_is_that_of_a_whole_trace(family: str) -> None:
    model = small_model(family)
    whole = fl.trace(model, FACT, samples=2, seed=4)
    row = mlp_row(model, FACT, samples=2, seed=4)
    assert row is not None
    expected = whole.effects.sel(kind="mlp").values[whole.subject_range[1] - 1]
    np.testing.assert_allclose(row.effects, expected, atol=1e-6)
    assert row.total == pytest.approx(whole.total_effect, abs=1e-6)


def test_a_trace_without_mlps_or_a_row_that_is_not_whole_has_none() -> None:
    model = small_model("gpt2")
    assert mlp_row_of(fl.trace(model, FACT, kinds=("state",), samples=1)) is None
    first = next(iter(fl.stream(model, FACT, samples=1)))
    assert not first.trace.complete
    assert mlp_row_of(first.trace) is None


def test_a_trace_speaks_for_a_layer_where_it_has_an_effect_that_is_no_noise() -> None:
    trace = made_trace(samples=4, low=0.1, high=0.9)
    token, mlp = trace.subject_range[1] - 1, trace.kinds.index("mlp")
    trace.low_samples[:] = 0.1
    trace.samples.values[:] = 0.1
    assert layer_by(trace) is None
    trace.samples.values[mlp, token, 2] = (0.5, 0.6, 0.5, 0.6)
    trace.samples.values[mlp, token, 5] = (0.4, 0.5, 0.4, 0.5)
    assert layer_by(trace) == 5
    trace.samples.values[mlp, token, 5] = (1.0, 0.1, 0.1, 1.0)
    assert mlp_row_of(trace).layer == 5
    assert layer_by(trace) == 2, "noise explains the other one"
    trace.known = False
    assert layer_by(trace) is None
    assert layer_by(made_trace(kinds=("state",))) is None


def test_it_can_be_stopped() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        mlp_row(small_model("gpt2"), FACT, samples=1, stop=stop)
