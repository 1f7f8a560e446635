"""The result of tracing: labels, files, pictures, options, interruption."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.numpy import save_file

import factlens as fl
from factlens.errors import FileFormatError, Interrupted, WeightsChanged
from factlens.tracing import Trace
from factlens.tracing.corruption import draw_noise
from factlens.tracing.windows import default_window, window_layers
from tests.support import small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower")


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def trace(model: fl.Model) -> Trace:
    return fl.trace(model, FACT, samples=4, noise_level=0.3)


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
        trace.peak("head")


def test_dataframe_has_a_row_per_cell(trace: Trace) -> None:
    frame = trace.to_dataframe()
    assert len(frame) == trace.scores.size
    row = frame[(frame.kind == "attn") & (frame.token == 2) & (frame.layer == 3)].iloc[0]
    assert row.score == pytest.approx(float(trace.scores.sel(kind="attn")[2, 3]))


def test_the_noise_is_the_published_draw() -> None:
    expected = np.random.RandomState(1).randn(10, 3, 7) * 0.5
    np.testing.assert_array_equal(draw_noise(10, 3, 7, 0.5), expected)


def test_sigma_is_over_all_elements_of_the_subjects_embeddings(model: fl.Model) -> None:
    trace = fl.trace(model, FACT, samples=2, kinds=["mlp"])
    start, stop = trace.subject_range
    weight = model.embedding.weight.detach()
    assert trace.noise_level == pytest.approx(3 * float(weight[list(trace.token_ids[start:stop])].std()), rel=1e-6)
    wide = fl.trace(model, FACT, samples=2, kinds=["mlp"], subjects=["Zürich", "São Paulo"], noise=1.0)
    ids = [i for name in ("Zürich", "São Paulo") for i in model.tokenizer(" " + name)["input_ids"]]
    assert wide.noise_level == pytest.approx(float(weight[ids].std()), rel=1e-6)


def test_windows_are_those_of_the_published_code() -> None:
    layers = 48
    for layer in range(layers):
        assert list(window_layers(layer, 10, layers)) == list(range(max(0, layer - 5), min(layers, layer + 5)))
    assert list(window_layers(3, 3, 8)) == [2, 3, 4]
    assert list(window_layers(3, 1, 8)) == [3]
    assert [default_window(n) for n in (2, 8, 12, 24, 48, 96)] == [2, 3, 3, 5, 10, 10]


def test_a_kind_alone_gives_the_same_numbers(model: fl.Model, trace: Trace) -> None:
    alone = fl.trace(model, FACT, samples=4, noise_level=0.3, kinds=["attn"])
    np.testing.assert_allclose(alone.samples.sel(kind="attn").values, trace.samples.sel(kind="attn").values, atol=1e-6)


def test_the_stream_tells_the_telling_rows_first(model: fl.Model) -> None:
    updates = list(fl.stream(model, FACT, samples=2, noise_level=0.3))
    start, stop = updates[0].trace.subject_range
    tokens = [update.token for update in updates]
    assert tokens[:3] == [None, stop - 1, len(updates[0].trace.tokens) - 1]
    assert set(tokens[1:]) == set(range(start, len(updates[0].trace.tokens)))
    progress = [update.progress for update in updates]
    assert progress == sorted(progress)
    assert progress[-1] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["head"]}, "kinds must be"),
        ({"kinds": []}, "kinds must be"),
        ({"samples": 0}, "samples"),
        ({"window": 0}, "window"),
        ({"noise": 0}, "must be positive"),
        ({"noise_level": -1.0}, "must be positive"),
        ({"subjects": []}, "list of subjects"),
    ],
)
def test_options_that_make_no_sense(model: fl.Model, options: dict, message: str) -> None:
    with pytest.raises(fl.FactlensError, match=message):
        fl.trace(model, FACT, **options)


def test_stopping_keeps_the_partial_grid(model: fl.Model) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted) as caught:
        fl.trace(model, FACT, samples=2, noise_level=0.3, stop=stop)
    partial = caught.value.partial
    assert isinstance(partial, Trace)
    assert not partial.complete
    assert "incomplete" in repr(partial)
    assert "not computed" in partial._repr_html_()


def test_the_kernels_interrupt_does_the_same_and_leaves_no_hook(
    model: fl.Model, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from factlens.tracing import engine

    real, calls = engine.sweep, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(engine, "sweep", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        fl.trace(model, FACT, samples=4, noise_level=0.3)
    assert not caught.value.partial.complete
    monkeypatch.undo()
    again = fl.trace(model, FACT, samples=4, noise_level=0.3)
    np.testing.assert_array_equal(again.samples.values, trace.samples.values)
    hooked = [m for m in model.model.modules() if m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m)]
    assert hooked == []


def test_an_edit_in_the_middle_of_a_trace_is_noticed() -> None:
    model = small_model("gpt2")
    updates = fl.stream(model, FACT, samples=2, noise_level=0.3)
    next(updates)
    fl.edit(model, FACT.with_target("Rome"), layer=1, contexts=())
    with pytest.raises(WeightsChanged, match="Trace again"):
        next(updates)
    model.undo()


def test_saved_and_loaded(trace: Trace, tmp_path: Path) -> None:
    path = trace.save(tmp_path / "trace.safetensors")
    loaded = Trace.load(path)
    np.testing.assert_array_equal(loaded.samples.values, trace.samples.values)
    assert loaded.samples.equals(trace.samples)
    for name in ("fact", "tokens", "token_ids", "subject_range", "answer", "high", "low", "noise_level", "fingerprint"):
        assert getattr(loaded, name) == getattr(trace, name), name


def test_files_that_are_no_trace(tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x80\x04 this is no trace")
    with pytest.raises(FileFormatError, match="not a file that factlens wrote"):
        Trace.load(bad)
    save_file({"a": np.zeros(1)}, str(bad))
    with pytest.raises(FileFormatError, match="holds no trace"):
        Trace.load(bad)
    save_file({"a": np.zeros(1)}, str(bad), {"factlens": json.dumps({"format": "factlens.trace", "schema": 99})})
    with pytest.raises(FileFormatError, match="schema 99"):
        Trace.load(bad)
    save_file({"a": np.zeros(1)}, str(bad), {"factlens": json.dumps({"format": "factlens.trace", "schema": 1})})
    with pytest.raises(FileFormatError, match="not a complete"):
        Trace.load(bad)
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "nowhere.safetensors")


def test_the_picture_is_xml_and_nothing_in_it_is_markup() -> None:
    fact = fl.Fact("<img src=x onerror='alert(1)'> \x00\u202e {} & is", "Eiffel Tower")
    svg = fl.trace(small_model("gpt2"), fact, samples=2, noise_level=0.3)._repr_html_()
    root = ElementTree.fromstring(svg)
    names = {element.tag.rsplit("}")[-1] for element in root.iter()}
    assert names == {"svg", "rect", "text", "title"}
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_plot(trace: Trace) -> None:
    figure = trace.plot()
    panels = [axes for axes in figure.axes if axes.get_images() and axes.get_xlabel() == "layer"]
    assert len(panels) == 3
    np.testing.assert_allclose(panels[1].get_images()[0].get_array(), trace.scores.sel(kind="mlp").values)
