"""What a trace measures: the metrics of the table, and functions of one's own wherever a name is taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.errors import ArgumentError, FactError, FileFormatError, MetricError
from factlens.files import read_record, write_record
from factlens.tracing import METRICS, TraceMetric, average, resume
from factlens.tracing.metrics import logit_difference, probability
from factlens.tracing.recipe import code_of
from factlens.widgets.wire import frame_of
from tests.support import SHAPES, small_model
from tests.tracing import oracle
from tests.tracing.made import made_trace
from tests.tracing.test_protocols import agree, gaussian, noisy

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower")
QUICK = {"kinds": ["state"], "samples": 2, "corruption": fl.Noise(level=0.3)}


def margin(logits: torch.Tensor, answer, contrast) -> torch.Tensor:
    """How far the answer's logit stands above the mean of all."""
    assert logits.shape[-2] == len(answer) == 1
    assert contrast == ()
    return logits[..., 0, answer[0]] - logits[..., 0, :].mean(-1)


def surprise(logits: torch.Tensor, answer, contrast) -> torch.Tensor:
    return -logits[..., 0, :].log_softmax(-1)[..., answer[0]]


SURPRISE = TraceMetric("surprise", surprise, "−log p", unit="nats", better=-1)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_function_of_ones_own_is_measured_as_the_plain_protocol_measures_it(family: str) -> None:
    model, kinds = small_model(family), ["state", "mlp", "attn"]
    ids = list(model.encode(FACT).ids)
    trace = fl.trace(model, FACT, samples=3, window=1, corruption=fl.Noise(level=0.3), metric=margin)
    windows, embedded = [range(i, i + 1) for i in range(model.n_layers)], noisy(model, FACT, gaussian(model, FACT))

    def score(logits: torch.Tensor) -> torch.Tensor:
        return logits[:, -1, trace.answer_id] - logits[:, -1].mean(-1)

    expected = oracle.grids(model, ids, embedded, list(range(len(ids))), kinds, windows, score)
    agree(trace, {name: np.asarray(value) for name, value in expected.items()})
    assert (trace.metric, trace.measured) == ("margin", f"margin({trace.answer.strip()})")


@pytest.mark.parametrize(
    ("name", "options", "function"),
    [
        ("probability", {"answer": "Rome and Paris"}, lambda *read: probability(*read)),
        ("logit_difference", {"contrast": "Zürich"}, lambda *read: logit_difference(*read)),
    ],
)
def test_a_function_reads_what_those_of_the_table_read(name: str, options: dict, function) -> None:
    model = small_model("gpt2")
    given = fl.trace(model, FACT, metric=function, **QUICK, **options)
    named = fl.trace(model, FACT, metric=name, **QUICK, **options)
    np.testing.assert_allclose(given.samples.values, named.samples.values, atol=1e-6)
    assert given.high == named.high
    assert given.metric == "lambda", "it has no better name"


@pytest.mark.parametrize("family", sorted(SHAPES))
def test_no_other_columns_are_computed_than_a_metric_reads(family: str) -> None:
    model, widths = small_model(family), set()

    def differ(logits: torch.Tensor, answer, contrast) -> torch.Tensor:
        widths.add(logits.shape[-1])
        return logit_difference(logits, answer, contrast)

    traces = {}
    for own in (False, True):
        metric = TraceMetric("differ", differ, contrasted=True, own_columns=own)
        traces[own] = fl.trace(model, FACT, metric=metric, contrast="Zürich", **QUICK)
        vocabulary = max(widths)
        assert widths == ({vocabulary, 2} if own else {vocabulary})
        widths.clear()
    np.testing.assert_allclose(traces[True].samples.values, traces[False].samples.values, atol=1e-5)


def test_the_estimate_follows_the_function_or_its_logarithm() -> None:
    model = small_model("gpt2")

    def guess(metric) -> np.ndarray | None:
        trace = next(iter(fl.stream(model, FACT, metric=metric, **QUICK))).trace
        return None if trace.estimate is None else trace.estimate.values

    def log(logits, answer, contrast):
        return logits[..., 0, :].log_softmax(-1)[..., answer[0]]

    own = TraceMetric("own", lambda *read: probability(*read), unit="%", logarithm=log)
    np.testing.assert_allclose(guess(own), guess("probability"), atol=1e-6)
    np.testing.assert_allclose(-guess(SURPRISE), guess("log_probability"), atol=1e-5)
    assert guess(lambda logits, answer, contrast: (logits[..., 0, :].argmax(-1) == answer[0]).float()) is None


def test_a_trace_keeps_its_metric_but_no_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    stream = fl.stream(model, FACT, metric=SURPRISE, **QUICK)
    trace = [next(stream), next(stream)][-1].trace
    stream.close()
    loaded = fl.Trace.load(trace.save(tmp_path / "trace.safetensors"))
    assert loaded.own_metric == SURPRISE == trace.own_metric
    assert (loaded.measure.function, loaded.measure.unit, loaded.measure.better) == (None, "nats", -1)
    assert loaded.measured.startswith("−log p(")
    assert "−log p(" in loaded._svg()
    assert frame_of(loaded)["metric"] == {"label": "−log p", "title": "−log p", "unit": "nats", "contrasted": False}
    assert "metric='surprise'" in code_of(loaded)
    loaded.plot()
    complete = resume(model, trace)
    with pytest.raises(MetricError, match=r"Register it: factlens\.tracing\.METRICS\.register\('surprise'"):
        resume(model, loaded)
    assert fl.tracing.details(model, loaded, "state", 5, 1).rank, "which asks for no number anew"
    monkeypatch.setattr(METRICS, "_table", {**METRICS._table})
    METRICS.register("surprise", SURPRISE)
    np.testing.assert_array_equal(resume(model, loaded).samples.values, complete.samples.values)
    assert fl.trace(model, FACT, metric="surprise", **QUICK).own_metric is SURPRISE


def test_a_file_with_another_metric_than_it_describes_is_refused(tmp_path: Path) -> None:
    path = made_trace(metric="surprise", own_metric=SURPRISE).save(tmp_path / "trace.safetensors")
    record, arrays = read_record(path, "factlens.trace", 6)
    own = record["own_metric"]
    for change in (
        {"own_metric": None},
        {"metric": "probability"},
        {"metric": "probability", "own_metric": {**own, "name": "probability"}},
        {"own_metric": {**own, "better": 0}},
        {"own_metric": {**own, "contrasted": True}},
    ):
        write_record(path, "factlens.trace", 6, record | change, arrays)
        with pytest.raises(FileFormatError, match="not a complete factlens trace"):
            fl.Trace.load(path)


def test_the_peak_is_where_the_answer_is_surest(tmp_path: Path) -> None:
    traces = [
        made_trace(metric="surprise", own_metric=SURPRISE, high=0.1, low=3.0, tokens=tokens, subject_range=(0, 1))
        for tokens in ("abc", "defgh")
    ]
    for trace in traces:
        assert trace.peak("mlp").effect == pytest.approx(float(trace.effects.sel(kind="mlp").min()))
    mean = average(traces)
    assert mean.peak("mlp").effect == pytest.approx(float(mean.effects.sel(kind="mlp").min()))
    lowest = np.mean([float(trace.effects.sel(kind="mlp").min()) for trace in traces])
    assert float(mean.best.sel(kind="mlp")) == pytest.approx(lowest)
    loaded = fl.Average.load(mean.save(tmp_path / "average.safetensors"))
    assert loaded.own_metric == SURPRISE
    assert "−log p: clean" in loaded._svg()
    (image, *_) = loaded.plot().axes[0].images
    assert image.get_clim()[0] < 0 == image.get_clim()[1]
    with pytest.raises(FactError, match="the metric is"):
        average([*traces, made_trace(metric="surprise", own_metric=replace(SURPRISE, label="S"))])


def test_many_facts_are_averaged_in_ones_own_metric() -> None:
    facts = [fl.Fact("{} is in", "Big Ben"), fl.Fact("{} is near", "The Louvre")]
    found = fl.average_over(small_model("gpt2"), facts, metric=margin, kinds=["mlp"], samples=2)
    assert (found.n, found.metric, found.measure.label) == (2, "margin", "margin")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda logits, answer, contrast: logits[..., 0, :], r"gives torch.float32 \(2, \d+\).* a tensor \(2,\), one"),
        (lambda logits, answer, contrast: logits.mean(), r"gives torch.float32 \(\)"),
        (lambda logits, answer, contrast: 0.5, "gives float"),
        (lambda logits, answer, contrast: logits[..., 0, 0] * float("nan"), "gives nan; numbers must be finite"),
        (lambda logits, answer, contrast: logits[..., 0, 0].abs() * 1e20, "must be finite, up to 1e"),
    ],
)
def test_what_is_no_number_for_each_run_is_refused_before_a_cell_is_computed(function, words: str) -> None:
    with pytest.raises(MetricError, match=words):
        next(fl.stream(small_model("gpt2"), FACT, metric=function, **QUICK, estimate=None))


def test_an_error_of_the_function_is_its_own_and_names_the_metric() -> None:
    def broken(logits, answer, contrast):
        return {}[answer]

    with pytest.raises(KeyError) as caught:
        fl.trace(small_model("gpt2"), FACT, metric=broken, **QUICK)
    assert "Raised by the metric 'broken' for logits of shape (2, 1, " in caught.value.__notes__[0]


def test_names_mean_one_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")

    def twin(logits, answer, contrast):
        return logits[..., 0, 0]

    twin.__name__ = "probability"
    with pytest.raises(ArgumentError, match=r"already, which metric is not.*TraceMetric\('mine'"):
        fl.stream(model, FACT, metric=twin)
    with pytest.raises(ArgumentError, match="must have a function"):
        fl.stream(model, FACT, metric=TraceMetric("read from a file"))
    assert fl.trace(model, FACT, metric=probability, **QUICK).own_metric is None, "it is the registered one"
    for metric, contrast in (("probability", "Rome"), (TraceMetric("mine", margin, contrasted=False), "Rome")):
        with pytest.raises(FactError, match="contrast"):
            fl.trace(model, FACT, metric=metric, contrast=contrast)
    with pytest.raises(FactError, match="needs the answer to compare with"):
        fl.trace(model, FACT, metric=TraceMetric("mine", margin, contrasted=True))
