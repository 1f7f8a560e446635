"""Every field of every kind of file: none takes what it is not, and none may be missing or be one too many."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factlens.errors import FileFormatError
from factlens.moments.second import IDENTITY
from tests.damaged import ALL, HOSTILE, OUTCOMES, RECORDS, places, put
from tests.saved import KINDS, opened, same, use

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize("name", [name for name in KINDS if name != "packed report"])
def test_no_field_takes_what_it_is_not(name: str, tmp_path: Path) -> None:
    """Every field of every kind, with every sort of value in its place: refused, or a result that can be used."""
    kind = KINDS[name]
    path = kind.saved(tmp_path)
    whole, refused, taken = path.read_bytes(), 0, 0
    with opened(kind, path) as content:
        ways = list(places({k: v for k, v in content.items() if k != "arrays"}))
    path.write_bytes(whole)
    for way in ways:
        for value in HOSTILE:
            with opened(kind, path) as content:
                put(content, way, copy.deepcopy(value))
            try:
                found = kind.load(path)
            except FileFormatError as error:
                refused += path.name in str(error)
            else:
                lost = name == "store" and len(found.outcomes) < OUTCOMES  # a line that is passed over is refused, too
                refused, taken = refused + lost, taken + (not lost)
                if not lost:
                    use(found)
            path.write_bytes(whole)
    assert refused > 5 * len(ways), f"{refused} refused and {taken} taken of {len(ways)} fields"


OPTIONAL = ("estimate", "keys.1", "keys.2", "rows")


@ALL
def test_a_record_has_exactly_its_fields(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.saved(tmp_path)
    whole = path.read_bytes()
    with opened(kind, path) as content:
        fields = [field for field in content if field not in ("arrays", "schema", "key")]
    changes: list[Callable[[dict[str, Any]], Any]] = [
        *(lambda content, field=field: content.pop(field) for field in fields),
        lambda content: content.update(novelty=1),
    ]
    if kind.record is not None:
        with opened(kind, path) as content:
            arrays = list(content["arrays"])
        changes += [
            lambda content: content["arrays"].update(novelty=np.zeros(1)),
            *(lambda content, array=array: content["arrays"].pop(array) for array in arrays if array not in OPTIONAL),
        ]
    for change in changes:
        path.write_bytes(whole)
        with opened(kind, path) as content:
            change(content)
        if name == "store":
            assert len(kind.load(path).outcomes) == len(kind.make().outcomes) - 1
            continue
        with pytest.raises(FileFormatError, match=r"is not a complete factlens .*(field|array|groups of)"):
            kind.load(path)


SINCE_6 = ("sampling", "known", "says", "says_probability")


def test_a_trace_from_before_samples_came_one_by_one_is_read(tmp_path: Path) -> None:
    kind = KINDS["trace"]
    path = kind.saved(tmp_path)
    with opened(kind, path) as content:
        content["schema"] = 5
        for later in SINCE_6:
            del content[later]
    assert same(kind.load(path), kind.make())


@pytest.mark.parametrize(("name", "schema"), [("trace", 4), ("average", 2)])
def test_what_was_saved_before_there_were_own_metrics_is_read(name: str, schema: int, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.saved(tmp_path)
    with opened(kind, path) as content:
        content["schema"] = schema
        del content["own_metric"]
        for later in SINCE_6 if name == "trace" else ():
            del content[later]
    assert same(kind.load(path), kind.make())
    with opened(kind, kind.saved(tmp_path)) as content:
        content["schema"] = schema
        for later in SINCE_6 if name == "trace" else ():
            del content[later]
    with pytest.raises(FileFormatError, match="own_metric"):
        kind.load(path)


def test_a_trace_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    kind = KINDS["trace"]
    path = kind.saved(tmp_path)
    with opened(kind, path) as content:
        content["schema"] = 3
        for later in ("answer_given", "template_tokens", "whole_answer", "own_metric", *SINCE_6):
            del content[later]
        for later in ("slot", "conversation"):
            del content["fact"][later]
    assert kind.load(path).fact == kind.make().fact
    with opened(kind, kind.saved(tmp_path)) as content:
        content["schema"] = 3
    with pytest.raises(FileFormatError, match="which is unknown here"):
        kind.load(path)


@RECORDS
def test_no_array_takes_what_it_is_not(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.saved(tmp_path)
    whole = path.read_bytes()
    with opened(kind, path) as content:
        arrays = dict(content["arrays"])
    for array, values in arrays.items():
        wide = values.dtype.kind == "f"
        odd = [
            np.zeros(values.shape, np.int8),
            np.ones(values.shape, bool),
            values[..., None],
            values[None],
            values.reshape(-1)[:1].reshape(()),
            np.zeros((0, *values.shape[1:]), values.dtype),
            np.full_like(values, np.inf if wide else -1),
            np.full_like(values, np.nan if wide else -1),
            np.concatenate([values, values]),
        ]
        for changed in odd:
            if any(fits(changed) for fits in ALLOWED.get(array.split(".")[-1], ())):
                continue
            with opened(kind, path) as content:
                content["arrays"][array] = changed
            with pytest.raises(FileFormatError, match=r"saved\.safetensors"):
                kind.load(path)
            path.write_bytes(whole)


def all_nan(changed: np.ndarray) -> bool:
    return changed.dtype.kind == "f" and bool(np.isnan(changed).all()) and changed.size > 0


#: What may stand in an array, odd as it is: nothing is known yet; guesses; another edit; any number of tokens.
ALLOWED: dict[str, list[Callable[[np.ndarray], bool]]] = {
    "samples": [all_nan],
    "estimate": [all_nan, lambda changed: changed.dtype.kind == "f" and changed.ndim == 3 and np.isinf(changed).any()],
    "left": [
        lambda changed: changed.dtype == np.int64 and changed.ndim == 1 and bool((changed >= 0).all()),
        lambda changed: changed.shape == (8, 2),
    ],
    "change": [lambda changed: changed.shape == (8, 3)],
}


FIT = {
    "trace": [
        {"kinds": ["state", "mlp", "mlp", "head.3"]},
        {"kinds": ["state", "mlp", "severed_attn", "head.03x"]},
        {"token_ids": [1, 2, 3, 4, 5, -6]},
        {"subject_range": [3, 3]},
        {"subject_range": [-1, 3]},
        {"subject_range": [1, 2, 3]},
        {"metric": "probability"},
        {"contrast": None},
        {"contrast_ids": []},
        {"noise_level": None},
        {"window": 0},
        {"seed": 2**32},
        {"window_convention": "mine"},
    ],
    "replaced trace": [{"noise_level": 0.5}, {"contrast": " Paris"}],
    "average": [
        {"answers": [" Rome"]},
        {"facts": []},
        {"kinds": ["state", "state", "attn"]},
        {"metric": "hope"},
        {"corruption": {"replacement": "Rome"}},
    ],
    "edit": [
        {"layers": {"__tuple__": [1]}},
        {"layers": {"__tuple__": [1, 1]}},
        {"layers": {"__tuple__": 3}},
        {"layers": {"__tuple__": [-1, 2]}},
        {"transposed": [True, False]},
        {"parameters": ["a.weight", "a.weight"]},
        {"hparams": {"x": {"__tuple__": 3}}},
    ],
    "moment": [
        {"group": 0},
        {"groups": 11},
        {"count": 0},
        {"layer": -1},
        {"corpus": IDENTITY},
    ],
    "checkpoint": [{"groups": {"1": 4}}, {"groups": {"1": 4, "3": 5}}, {"seen": 31}, {"key": {"tokens": 99}}],
    "report": [{"wanted": 4}, {"provenance": {"settings": {"rome": 3}}}, {"provenance": {"settings": []}}],
}


@pytest.mark.parametrize(("name", "change"), [(name, one) for name, changes in FIT.items() for one in changes], ids=str)
def test_fields_that_do_not_fit_together_are_refused(name: str, change: dict[str, Any], tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.saved(tmp_path)
    with opened(kind, path) as content:
        content.update(change)
    with pytest.raises(FileFormatError, match=r"saved\..*(not a complete factlens|another pass)"):
        kind.load(path)
