"""Where another subject was put in the place of noise, nothing that is shown speaks of noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import factlens as fl
from factlens.tracing.captions import caption_of
from factlens.tracing.picture import trace_picture
from factlens.tracing.recipe import code_of
from factlens.widgets.wire import frame_of
from tests.editing.made import FACT
from tests.support import small_model


@pytest.fixture(scope="module")
def steps() -> list[fl.Trace]:
    """A replaced trace, as it is known at the first update, half way, and at its end."""
    model = small_model("gpt2")
    unfinished = []
    for stop in (0, 2, None):
        updates = fl.stream(model, FACT, corruption=fl.Replacement("Louvre"), samples=10)
        for number, update in enumerate(updates):
            trace = update.trace
            if number == stop:
                break
        unfinished.append(trace)
    return unfinished


def texts_in(value: Any) -> Iterator[str]:
    """Every text in what crosses the comm, but for the names of its fields."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, str):
        yield value


def shown(trace: fl.Trace) -> Iterator[str]:
    picture = trace_picture(trace)
    yield from (caption_of(trace), code_of(trace), trace.trust, trace.corrupted_by, *trace.remarks, repr(trace))
    yield from (*picture.legend("a stripe"), trace._svg(), trace._repr_html_())
    yield from texts_in(frame_of(trace))
    yield from texts_in(frame_of(trace, stopped=True))


@pytest.mark.parametrize("step", range(3))
def test_a_replaced_trace_speaks_of_no_noise(steps: list[fl.Trace], step: int) -> None:
    trace = steps[step]
    words = [text for text in shown(trace) if "noise" in text.lower()]
    assert words == []
    assert " was replaced by “Louvre”." in caption_of(trace)
    assert trace.complete == (step == 2)


def test_what_is_read_from_a_cell_and_averaged_speaks_of_none_either(steps: list[fl.Trace]) -> None:
    trace = steps[2]
    average = fl.average([trace, trace])
    details = fl.details(small_model("gpt2"), trace, "mlp", 1, 1).to_dict()
    words = [repr(average), average._repr_html_(), *texts_in(details)]
    assert [text for text in words if "noise" in text.lower()] == []


def test_a_trace_with_noise_says_so(steps: list[fl.Trace]) -> None:
    noisy = fl.trace(small_model("gpt2"), FACT, samples=2, kinds="mlp", corruption=fl.Noise(level=0.3))
    assert any("noise" in text.lower() for text in shown(noisy))
