"""Traces in files: back to the bit, refused where parts do not fit, and opened without torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import factlens as fl
from factlens.errors import FileFormatError
from factlens.files import read_record, write_record
from factlens.tracing import Trace
from tests.tracing.made import FACT, NOISE, made_trace


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
        ({"sampling": "enough"}, {}),
        ({"known": 1}, {}),
        ({"says": " Seattle"}, {}),
        ({"says": " Seattle", "says_probability": 1.5}, {}),
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
    record, kept = read_record(path, "factlens.trace", 6)
    write_record(path, "factlens.trace", 6, record | change, kept | arrays)
    with pytest.raises(FileFormatError, match="not a complete factlens trace"):
        Trace.load(path)


def test_a_trace_needs_every_field_of_its_record(tmp_path: Path) -> None:
    path = made_trace().save(tmp_path / "trace.safetensors")
    record, arrays = read_record(path, "factlens.trace", 6)
    for name in set(record) - {"format", "schema"}:
        write_record(path, "factlens.trace", 6, {key: value for key, value in record.items() if key != name}, arrays)
        with pytest.raises(FileFormatError, match="not a complete factlens trace"):
            Trace.load(path)
    for name in arrays:
        write_record(path, "factlens.trace", 6, record, {key: a for key, a in arrays.items() if key != name})
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
    with pytest.raises(FileFormatError, match="schema 99; this version of factlens reads 6"):
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
