"""Averages in files: back as they were, refused where they are none, and read without torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import factlens as fl
from factlens.errors import FileFormatError
from factlens.files import read_record, write_record
from factlens.tracing import Skipped
from factlens.tracing.many import NOT_KNOWN
from tests.tracing.averaged import CASES, made


def test_saved_and_loaded(average: fl.Average, tmp_path: Path) -> None:
    fact = fl.Fact("{} is in", "Rome", target="Gaul", object="Italy")
    saved = replace(average, skipped=(Skipped(fact, NOT_KNOWN, " Gaul"),), corruption=fl.Noise(subjects=("a", "b")))
    loaded = fl.Average.load(saved.save(tmp_path / "average.safetensors"))
    assert loaded.each.identical(saved.each)
    for name in (
        "facts",
        "answers",
        "model",
        "fingerprint",
        "edits",
        "edit_ids",
        "metric",
        "window",
        "window_convention",
        "corruption",
        "skipped",
    ):
        assert getattr(loaded, name) == getattr(saved, name), name
    assert repr(loaded) == repr(saved)
    np.testing.assert_array_equal(loaded.interval().values, saved.interval().values)
    none = fl.Average.load(replace(average, corruption=None).save(tmp_path / "average.safetensors"))
    assert none.corruption is None


def test_files_that_are_no_average(average: fl.Average, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    made(*CASES[0]).save(path)
    with pytest.raises(FileFormatError, match="holds no average"):
        fl.Average.load(path)
    average.save(path)
    with pytest.raises(FileFormatError, match="holds no trace"):
        fl.Trace.load(path)
    average.save(path)
    kind, schema = "factlens.average", 3
    record, arrays = read_record(path, kind, schema)
    entries = {name: value for name, value in record.items() if name not in ("format", "schema")}
    for changed, stored in (
        (entries, {name: array for name, array in arrays.items() if name != "low"}),
        (entries, {**arrays, "tokens": arrays["tokens"][:-1]}),
        (entries, {**arrays, "effect": arrays["effect"][:, :, :3]}),
        ({**entries, "facts": entries["facts"][:2]}, arrays),
        ({**entries, "corruption": {"replacement": "Rome"}}, arrays),
        ({name: value for name, value in entries.items() if name != "window"}, arrays),
    ):
        write_record(path, kind, schema, changed, stored)
        with pytest.raises(FileFormatError, match="not a complete factlens average"):
            fl.Average.load(path)
    write_record(path, kind, schema + 1, entries, arrays)
    with pytest.raises(FileFormatError, match="schema 4"):
        fl.Average.load(path)


def test_an_average_is_read_without_torch(average: fl.Average, tmp_path: Path) -> None:
    path = average.save(tmp_path / "average.safetensors")
    code = f"import sys, factlens as fl; print(fl.Average.load({str(path)!r}).n); sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, "3"), run.stderr
