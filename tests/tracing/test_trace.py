"""The result of tracing: labels, files, pictures, options, interruption."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

import factlens as fl
from factlens.errors import FileFormatError, Interrupted, WeightsChanged
from factlens.files import read_record, write_record
from factlens.tracing import Trace
from factlens.tracing.corruption import draw_noise
from factlens.tracing.windows import default_window, window_layers
from tests.drawing.read_svg import cells, drawn, notes, texts
from tests.support import small_model
from tests.tracing.made import made_trace

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower")
NOISE = fl.Noise(level=0.3)


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def trace(model: fl.Model) -> Trace:
    return fl.trace(model, FACT, samples=4, corruption=NOISE)


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
    assert np.isfinite(partial.samples.sel(kind="mlp").values[model.encode(FACT).subject_range[1] - 1]).all()
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

    model, real = small_model("gpt2"), engine._start
    edit = fl.edit(model, FACT.with_target("Seattle"), layers=1, contexts=())

    def undone_meanwhile(*args: Any, **settings: Any) -> Trace:
        model.undo()
        return real(*args, **settings)

    monkeypatch.setattr(engine, "_start", undone_meanwhile)
    updates = fl.stream(model, FACT, samples=2, corruption=NOISE)
    assert next(updates).trace.edits == (str(edit),)


# Files -----------------------------------------------------------------------------------------------------------


def assert_same(found: Trace, kept: Trace) -> None:
    """Every field alike, to the bit."""
    for field in dataclasses.fields(Trace):
        a, b = getattr(found, field.name), getattr(kept, field.name)
        assert type(a) is type(b), field.name
        if isinstance(b, xr.DataArray):
            assert a.identical(b), field.name
            a, b = a.values, b.values
        if isinstance(b, np.ndarray):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), field.name
        else:
            assert a == b, field.name


ASKED: dict[str, dict[str, Any]] = {
    "plain": {},
    "with an estimate": {"estimate": "attribution_patching"},
    "heads and severed": {
        "kinds": ("head.2", "severed_mlp", "severed_attn", "head.0"),
        "estimate": "attribution_patching",
    },
    "replacement": {"corruption": fl.Replacement("Space Needle")},
    "uniform noise of other subjects": {
        "corruption": fl.Noise(multiple=2, subjects=("Zürich", "東京"), shape="uniform")
    },
    "multivariate noise in its place": {"corruption": fl.Noise(shape="multivariate", replace=True)},
    "several tokens": {"answer": "Seattle and Rome", "metric": "log_probability"},
    "contrast": {
        "metric": "logit_difference",
        "answer": "Paris",
        "contrast": "Rome",
        "estimate": "attribution_patching",
    },
    "window of the paper": {"window": 4, "window_convention": "paper", "seed": 7},
}


@pytest.mark.parametrize("options", ASKED.values(), ids=ASKED)
def test_a_saved_trace_comes_back_to_the_bit(model: fl.Model, tmp_path: Path, options: dict[str, Any]) -> None:
    fact = fl.Fact(FACT.template, FACT.subject, target="Rome", object="Seattle")
    trace = fl.trace(model, fact, samples=3, **{"corruption": NOISE, **options})
    assert (trace.estimate is not None) == ("estimate" in options)
    assert len(trace.answer_ids) > 1 or "Rome" not in str(options.get("answer"))
    assert_same(Trace.load(trace.save(tmp_path / "trace.safetensors")), trace)


def test_an_incomplete_trace_comes_back_to_the_bit(model: fl.Model, tmp_path: Path) -> None:
    updates = fl.stream(model, FACT, samples=2, corruption=NOISE)
    trace = [next(updates).trace for _ in range(2)][-1]
    updates.close()
    assert 0 < int(np.isnan(trace.samples.values).sum()) < trace.samples.size
    loaded = Trace.load(trace.save(str(tmp_path / "trace.safetensors")))
    assert_same(loaded, trace)
    assert not loaded.complete


def test_a_trace_of_edited_weights_says_so_in_its_file(tmp_path: Path) -> None:
    trace = made_trace(
        edits=("The Space Needle → Paris (rome, layer 2)",), edit_ids=("0f" * 8,), high=float(np.nextafter(0.1, 1))
    )
    path = trace.save(tmp_path / "trace.safetensors")
    assert_same(Trace.load(path), trace)
    assert b"The Space Needle \\\\u2192 Paris" in path.read_bytes()
    assert b"0f0f0f0f0f0f0f0f" in path.read_bytes()


@pytest.mark.parametrize(
    ("change", "arrays"),
    [
        ({"kinds": ["state", "mlp"]}, {}),
        ({"kinds": ["state", "mlp", "hope"]}, {}),
        ({"kinds": None}, {}),
        ({"metric": "hope"}, {}),
        ({"tokens": ["The"]}, {}),
        ({"edits": ["one", "two"], "edit_ids": ["0" * 16]}, {}),
        ({"token_ids": [1]}, {}),
        ({"subject_range": [1]}, {}),
        ({"subject_range": [3, 1]}, {}),
        ({"subject_range": [1, 7]}, {}),
        ({"subject_range": ["1", "3"]}, {}),
        ({"answer_ids": []}, {}),
        ({"fact": {"template": "{} is", "subject": ""}}, {}),
        ({"fact": {"prompt": "{} is"}}, {}),
        ({"fact": None}, {}),
        ({"corruption": None}, {}),
        ({"corruption": {"multiple": "much"}}, {}),
        ({"corruption": {"loudness": 3}}, {}),
        ({"corruption": {"replacement": 3}}, {}),
        ({}, {"samples": np.zeros(3)}),
        ({}, {"samples": np.zeros((3, 6, 8))}),
        ({}, {"low_samples": np.zeros(2, np.float32)}),
        ({}, {"low_samples": np.zeros((3, 1), np.float32)}),
        ({}, {"estimate": np.zeros((3, 6, 7), np.float32)}),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path, change: dict, arrays: dict) -> None:
    path = made_trace(estimated=True).save(tmp_path / "trace.safetensors")
    record, kept = read_record(path, "factlens.trace", 5)
    write_record(path, "factlens.trace", 5, record | change, kept | arrays)
    with pytest.raises(FileFormatError, match="not a complete factlens trace"):
        Trace.load(path)


def test_a_trace_needs_every_field_of_its_record(tmp_path: Path) -> None:
    path = made_trace().save(tmp_path / "trace.safetensors")
    record, arrays = read_record(path, "factlens.trace", 5)
    for name in set(record) - {"format", "schema"}:
        write_record(path, "factlens.trace", 5, {key: value for key, value in record.items() if key != name}, arrays)
        with pytest.raises(FileFormatError, match="not a complete factlens trace"):
            Trace.load(path)
    for name in arrays:
        write_record(path, "factlens.trace", 5, record, {key: a for key, a in arrays.items() if key != name})
        with pytest.raises(FileFormatError, match="not a complete factlens trace"):
            Trace.load(path)


def test_files_that_are_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"\x80\x04 this is no trace")
    with pytest.raises(FileFormatError, match="not a file that factlens wrote"):
        Trace.load(path)
    write_record(path, "factlens.edit", 3, {}, {})
    with pytest.raises(FileFormatError, match="holds no trace"):
        Trace.load(path)
    write_record(path, "factlens.trace", 99, {}, {})
    with pytest.raises(FileFormatError, match="schema 99; this version of factlens reads 5"):
        Trace.load(path)
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "nowhere.safetensors")


WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "tokenizers"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Refuse())
try:
    import torch
except ImportError:
    pass
else:
    raise AssertionError("torch could be imported")

from factlens.tracing.result import Trace
import factlens as fl

for path in sys.argv[1:]:
    trace = fl.Trace.load(path)
    assert type(trace) is Trace
    rows, bounds = len(trace.to_dataframe()), trace.interval().sizes["bound"]
    print(rows, trace.high, trace.peak(trace.kinds[0]).layer, bounds)
    assert trace._svg().startswith("<svg")
    trace.plot().savefig("/dev/null", format="svg")
    assert fl.Trace.load(trace.save(path)).samples.identical(trace.samples)
    print(trace, trace.corruption)
"""


def test_a_trace_opens_without_torch(model: fl.Model, tmp_path: Path) -> None:
    traces = [
        fl.trace(
            model, FACT, samples=2, corruption=NOISE, kinds=("state", "mlp", "head"), estimate="attribution_patching"
        ),
        fl.trace(model, FACT, corruption=fl.Replacement("Space Needle"), metric="logit_difference", contrast="Rome"),
    ]
    paths = [str(trace.save(tmp_path / f"{i}.safetensors")) for i, trace in enumerate(traces)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *paths], capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    expected = []
    for trace in traces:
        expected.append(f"{len(trace.to_dataframe())} {trace.high} {trace.peak(trace.kinds[0]).layer} 2")
        expected.append(f"{trace} {trace.corruption}")
    assert done.stdout.splitlines() == expected


# Pictures --------------------------------------------------------------------------------------------------------


def test_a_cell_has_the_shade_of_its_share() -> None:
    trace = made_trace(layers=3)
    trace.samples.values[0, 0] = np.array([0.1, 0.5, 0.9])[:, None]
    trace.samples.values[1, 5] = np.array([-3, 0.3, 7])[:, None]
    state, mlp, attn = cells(trace._svg())
    assert [state[0, layer] for layer in range(3)] == [("#ffffff", "1"), ("#aa93c7", "1"), ("#54278f", "1")]
    assert [mlp[5, layer] for layer in range(3)] == [("#ffffff", "1"), ("#bfd9cd", "1"), ("#006837", "1")]
    assert set(attn) == {(token, layer) for token in range(6) for layer in range(3)}
    said = notes(trace._svg())
    assert "Space*, layer 2, hidden state: " in "\n".join(said)
    assert "downtown, layer 2, MLP, window of 3 layers: 7" in said
    assert "downtown, layer 0, MLP, window of 3 layers: −3" in said
    assert texts(trace._svg())[:2] == [
        "The Space Needle is in downtown → Seattle",
        "p(Seattle): clean 90%, subject corrupted 10% · 3 noise samples, seed 1 · made up",
    ]


def test_colours_run_from_corrupted_to_clean_also_where_clean_is_lower() -> None:
    trace = made_trace(layers=3, high=0.2, low=0.6, kinds=("state",))
    trace.samples.values[0, 0] = np.array([0.6, 0.4, 0.2])[:, None]
    (panel,) = cells(trace._svg())
    assert [panel[0, layer][0] for layer in range(3)] == ["#ffffff", "#aa93c7", "#54278f"]
    assert texts(trace._svg())[-2:] == ["0.6", "0.2"]
    figure = trace.plot()
    figure.canvas.draw()
    image = figure.axes[0].get_images()[0]
    shades = image.to_rgba(np.array([0.6, 0.4, 0.2])).sum(-1)
    assert shades[0] > shades[1] > shades[2], "dark is clean"
    assert trace.plot(effects=True).axes[0].get_images()[0].get_clim() == pytest.approx((-0.4, 0))


def test_a_fact_without_a_total_effect_is_drawn_pale() -> None:
    trace = made_trace(high=0.5, low=0.5)
    trace.low_samples[:] = 0.5
    assert {colour for panel in cells(trace._svg()) for colour, _ in panel.values()} == {"#ffffff"}
    trace.plot().canvas.draw()


def test_what_was_not_computed_is_grey_and_an_estimate_is_no_full_cell() -> None:
    bare = made_trace(computed=0.5)
    (panel, *_), svg = cells(bare._svg()), bare._svg()
    assert {panel[token, 0] for token in (3, 4, 5)} == {("#dfe3e8", "1")}
    assert ("#dfe3e8", "1") not in {panel[token, 0] for token in (0, 1, 2)}
    assert "in, layer 7, hidden state: not computed" in notes(svg)
    assert texts(svg)[-1] == "incomplete: grey cells were not computed"

    guessed = made_trace(computed=0.5, estimated=True, kinds=("state", "severed_mlp"))
    guessed.estimate.values[1] = np.nan
    guessed.estimate.values[0, 3, 0] = 0.9
    svg = guessed._svg()
    state, severed = cells(svg)
    assert state[3, 0] == ("#54278f", "0.4")
    assert {thickness for (token, _), (_, thickness) in state.items() if token >= 3} == {"0.4"}
    assert {thickness for (token, _), (_, thickness) in state.items() if token < 3} == {"1"}
    assert severed[3, 0] == ("#dfe3e8", "1")
    assert "is, layer 0, hidden state: not computed, estimated as 0.9" in notes(svg)
    assert "is, layer 0, hidden state, MLP severed: not computed" in notes(svg)
    assert texts(svg)[-1] == "incomplete: grey cells were not computed; a stripe is an estimate from gradients"

    whole = made_trace(estimated=True)
    assert "estimate" not in whole._svg()
    assert "incomplete" not in whole._svg()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"high": 0.9, "low": 0.004}, "p(Seattle): clean 90%, subject corrupted 0.4% · "),
        ({"high": 0.9, "low": 0.0004}, "p(Seattle): clean 90%, subject corrupted <0.1% · "),
        (
            {"metric": "log_probability", "high": -0.1, "low": -9.0},
            "log p(Seattle): clean −0.10, subject corrupted −9.00",
        ),
        (
            {"metric": "logit_difference", "contrast": " Paris", "contrast_ids": (3,), "high": 4.0, "low": -1.5},
            "logit difference, Seattle − Paris: clean 4.00, subject corrupted −1.50",
        ),
        ({"corruption": fl.Replacement("Louvre"), "noise_level": None}, "· subject replaced by Louvre · made up"),
        ({"samples": 1}, "· 1 noise sample, seed 1 · made up"),
        ({"edits": ("one", "two")}, "made up, edited 2 ×"),
    ],
)
def test_a_picture_says_what_was_measured_and_how(fields: dict[str, Any], expected: str) -> None:
    trace = made_trace(**fields)
    trace.low_samples[:] = fields.get("low", 0.1)
    assert expected in texts(trace._svg())[1]
    if trace.metric != "probability":
        assert "%" not in "".join(texts(trace._svg()))
    label = next(axes.get_ylabel() for axes in trace.plot().axes if axes.get_ylabel())
    assert label.replace("\n", ", ") == trace.measured


def test_every_kind_has_a_title_and_a_colour(model: fl.Model) -> None:
    kinds = ("state", "mlp", "attn", "severed_mlp", "severed_attn", "head.0", "head.11")
    names = [
        "hidden state",
        "MLP, window of 3 layers",
        "attention, window of 3 layers",
        "hidden state, MLP severed",
        "hidden state, attention severed",
        "attention head 0",
        "attention head 11",
    ]
    trace = made_trace(kinds=kinds, high=1.0, low=0.0)
    trace.samples.values[:, 0, 0], trace.low_samples[:] = 1, 0
    svg = trace._svg()
    assert [text for text in texts(svg) if text in names] == names
    purple, green, red = "#54278f", "#006837", "#a50f15"
    assert [panel[0, 0][0] for panel in cells(svg)] == [purple, green, red, green, red, red, red]
    figure = trace.plot()
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.get_xlabel() == "layer"]
    assert [panel.get_title() for panel in panels] == names
    colours = ["Purples", "Greens", "Reds", "Greens", "Reds", "Reds", "Reds"]
    assert [panel.get_images()[0].get_cmap().name for panel in panels] == colours


def test_many_kinds_fill_several_rows() -> None:
    trace = made_trace(kinds=[f"head.{i}" for i in range(12)], layers=12)
    root = ElementTree.fromstring(trace._svg())
    assert float(root.get("width")) < 1300
    places = [group.get("transform") for group in root.iter() if str(group.get("transform")).startswith("translate(")]
    places = [place for place in places if "scale" not in place]
    assert len(set(places)) == 12
    assert len({place.split()[0] for place in places}) < 12, "several in a column"
    # The rows of each line of panels are labelled, and the one scale is drawn once.
    lines = len({place.split()[1] for place in places})
    assert texts(trace._svg()).count("Needle*") == lines > 1
    assert len([text for text in texts(trace._svg()) if text == "0.9"]) == 1
    figure = trace.plot()
    figure.canvas.draw()
    assert figure.get_figwidth() < 16
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("layers", [1, 2, 5, 48, 100])
def test_nothing_sticks_out_of_the_picture(layers: int) -> None:
    trace = made_trace(layers=layers, tokens=["A very, very long subject token", " 東京", "\n", "", " x"])
    root = ElementTree.fromstring(trace._svg())
    width, height = map(float, str(root.get("viewBox")).split()[2:])
    for element in root.findall(".//{*}text"):
        x, y, size = (float(str(element.get(name))) for name in ("x", "y", "font-size"))
        # Half the size is about the mean width of a character.
        length = 0.5 * size * len(element.text or "")
        left = {"start": x, "middle": x - length / 2, "end": x - length}[str(element.get("text-anchor"))]
        assert left >= 0
        assert left + length <= width, element.text
        assert 0 <= y <= height
    assert {"A very, very long subject token", "東京*", "⏎*", "␣", "x"} <= set(texts(trace._svg()))


def test_a_long_prompt_is_cut_and_the_answer_is_not() -> None:
    fact = fl.Fact("word " * 100 + "{} is", "Space Needle")
    title = texts(made_trace(fact=fact)._svg())[0]
    assert title.startswith("word word")
    assert "…" in title
    assert title.endswith("Space Needle is → Seattle")
    assert len(title) < 150


def test_the_picture_of_a_large_model_is_small() -> None:
    # Random grids: no two neighbours alike, which is the worst case.
    trace = made_trace(tokens=[f" token{i}" for i in range(20)], layers=48, computed=0.5, estimated=True)
    svg = trace._svg()
    assert len(svg.encode()) < 100_000
    assert "token3, MLP, window of 3 layers: most at layer " in "\n".join(notes(svg))
    assert "token13, MLP, window of 3 layers: not computed" in notes(svg)
    best = int(trace.scores.sel(kind="mlp").values[3].argmax())
    assert f"token3, MLP, window of 3 layers: most at layer {best}: " in "\n".join(notes(svg))


def test_the_picture_is_xml_and_nothing_in_it_is_markup(model: fl.Model) -> None:
    nasty = "<img src=x onerror='alert(1)'> \x00\u202e & ]]> --> \" $x_{$ "
    fact = fl.Fact(nasty + "{} is", "Eiffel Tower")
    trace = fl.trace(model, fact, samples=2, corruption=NOISE)
    trace = dataclasses.replace(
        trace, model=nasty, answer=nasty, metric="logit_difference", contrast=nasty, corruption=fl.Replacement(nasty)
    )
    svg = trace._svg()
    assert set(drawn(svg)) == {"svg", "g", "path", "rect", "text", "title"}
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert {name for elements in drawn(svg).values() for element in elements for name in element.attrib} == {
        *("viewBox", "width", "height", "style", "role", "aria-label", "font-family", "font-size", "font-weight"),
        *("x", "y", "d", "fill", "stroke", "stroke-width", "transform", "text-anchor"),
    }
    assert "url(" not in svg
    # In matplotlib, nothing is mathematics either.
    trace.plot().savefig("/dev/null", format="svg")


def test_plot(trace: Trace) -> None:
    figure = trace.plot()
    panels = [axes for axes in figure.axes if axes.get_images() and axes.get_xlabel() == "layer"]
    assert len(panels) == 3
    np.testing.assert_allclose(panels[1].get_images()[0].get_array(), trace.scores.sel(kind="mlp").values)
    assert panels[1].get_images()[0].get_clim() == (trace.low, trace.high)
    np.testing.assert_allclose(
        trace.plot(effects=True).axes[1].get_images()[0].get_array(), trace.effects.sel(kind="mlp").values
    )
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [
        trace.label(i) for i in range(len(trace.tokens))
    ]


@pytest.mark.parametrize("effects", [False, True])
def test_plot_shows_estimates_as_small_marks(effects: bool) -> None:
    trace = made_trace(computed=0.5, estimated=True)
    figure = trace.plot(effects=effects)
    assert "small squares: estimated" in figure.get_supxlabel()
    (marks,) = figure.axes[0].collections
    np.testing.assert_array_equal(marks.get_offsets(), [(layer, token) for token in (3, 4, 5) for layer in range(8)])
    guess = trace.estimate.values[0, 3:].ravel() - (trace.low if effects else 0)
    np.testing.assert_allclose(marks.get_array(), guess)
    assert marks.get_clim() == figure.axes[0].get_images()[0].get_clim()
    assert "small" not in made_trace(computed=0.5).plot().get_supxlabel()
    assert made_trace(estimated=True).plot().get_supxlabel() == ""
