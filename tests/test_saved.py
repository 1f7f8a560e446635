"""Every kind of file that is saved: it comes back as it was, and a file that is not as it must be is refused.

Damaged or made by somebody else, as a whole or in one field: the error is always the same one, and names the file.
"""

from __future__ import annotations

import copy
import gzip
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factlens import files
from factlens.errors import FileFormatError
from factlens.evaluation import intervals
from factlens.files import checksum
from factlens.moments.second import IDENTITY
from tests.saved import KINDS, Kind, opened, same, use


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw few bootstrap samples, and wait for no disk: files are written, read and shown thousands of times here."""
    for name in ("RESAMPLES", "_AT_ONCE"):
        monkeypatch.setattr(intervals, name, 20)
    monkeypatch.setattr(files, "_sync", lambda _descriptor: None)


ALL = pytest.mark.parametrize("name", KINDS)


@ALL
def test_it_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    what = kind.make()
    kind.save(what, kind.path(tmp_path))
    loaded = kind.load(kind.path(tmp_path))
    if name == "store":
        assert same(loaded.outcomes, what.outcomes)
    else:
        assert same(loaded, what)
    use(loaded)
    # Written again by way of `opened`, which other tests rely on.
    with opened(kind, kind.path(tmp_path)):
        pass
    assert same(kind.load(kind.path(tmp_path)), loaded)


# Field by field ------------------------------------------------------------------------------------------------------

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    2**70,
    10**400,
    1e308,
    -0.5,
    "",
    "text\x00\u2028",
    "half \ud800",
    [],
    [[]],
    {},
    {"": None},
    [None],
    ["x", 3],
    [1, 1],
    float("inf"),
    float("nan"),
]


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything inside a value; of alike entries of a list, to the first and the last."""
    if here:
        yield here
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*here, name))
    elif isinstance(value, list):
        for i in sorted({0, len(value) - 1} if value else ()):
            yield from places(value[i], (*here, i))


def put(content: Any, place: tuple[Any, ...], value: Any) -> None:
    for step in place[:-1]:
        content = content[step]
    content[place[-1]] = value


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


OUTCOMES = len(KINDS["store"].make().outcomes)
OPTIONAL = ("estimate", "keys.1", "keys.2")


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


@pytest.mark.parametrize(("name", "schema"), [("trace", 4), ("average", 2)])
def test_what_was_saved_before_there_were_own_metrics_is_read(name: str, schema: int, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.saved(tmp_path)
    with opened(kind, path) as content:
        content["schema"] = schema
        del content["own_metric"]
    assert same(kind.load(path), kind.make())
    with opened(kind, kind.saved(tmp_path)) as content:
        content["schema"] = schema
    with pytest.raises(FileFormatError, match="own_metric"):
        kind.load(path)


def test_a_trace_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    kind = KINDS["trace"]
    path = kind.saved(tmp_path)
    with opened(kind, path) as content:
        content["schema"] = 3
        for later in ("answer_given", "template_tokens", "whole_answer", "own_metric"):
            del content[later]
        for later in ("slot", "conversation"):
            del content["fact"][later]
    assert kind.load(path).fact == kind.make().fact
    with opened(kind, kind.saved(tmp_path)) as content:
        content["schema"] = 3
    with pytest.raises(FileFormatError, match="which is unknown here"):
        kind.load(path)


RECORDS = pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.record])


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


# As a whole ----------------------------------------------------------------------------------------------------------


def texts_of(kind: Kind, path: Path, change: Callable[[str], str]) -> None:
    """Rewrite the JSON of a file, whether it stands for itself, is packed, or is one line of several."""
    data = path.read_bytes()
    text = change((gzip.decompress(data) if kind.packed else data).decode())
    path.write_bytes(gzip.compress(text.encode()) if kind.packed else text.encode())


JSON = pytest.mark.parametrize("name", ["report", "packed report"])
TRAPS = {
    "deep lists": lambda text: "[" * 100_000 + "]" * 100_000,
    "deep objects": lambda text: '{"a":' * 100_000 + "1" + "}" * 100_000,
    "somewhat deep": lambda text: text.replace('"way": "single"', '"way": ' + "[" * 90 + "]" * 90),
    "unclosed": lambda text: "[" * 100_000,
    "a huge integer": lambda text: text.replace('"wanted": 9', '"wanted": ' + "9" * 5000),
    "a large integer": lambda text: text.replace('"wanted": 9', '"wanted": ' + "9" * 400),
    "a large number": lambda text: text.replace('"wanted": 9', '"wanted": 1e999'),
    "NaN": lambda text: text.replace('"wanted": 9', '"wanted": NaN'),
    "a field twice": lambda text: text.replace('"wanted": 9', '"wanted": 9, "wanted": 9'),
    "half a character": lambda text: text.replace("some model", "some \\udc80 model"),
    "a null character": lambda text: text.replace("some model", "some \x00 model"),
    "cut off": lambda text: text[: len(text) // 2],
    "nothing": lambda text: "",
    "more behind": lambda text: text + "{}",
    "a list": lambda text: f"[{text}]",
    "the schema before": lambda text: text.replace('"schema": 4', '"schema": 1'),
    "a truth for a schema": lambda text: text.replace('"schema": 4', '"schema": true'),
    "no checksum": lambda text: text.replace('"checksum"', '"sum"'),
    "another checksum": lambda text: text.replace('"checksum": "', '"checksum": "0'),
    "another number": lambda text: text.replace("12.5", "12.25", 1),
    "another word": lambda text: text.replace("Seattle", "Seattli", 1),
}


@JSON
@pytest.mark.parametrize("trap", TRAPS)
def test_traps_in_a_report(name: str, trap: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.saved(tmp_path)
    before = path.read_bytes()
    texts_of(kind, path, TRAPS[trap])
    assert path.read_bytes() != before
    with pytest.raises(FileFormatError, match=r"saved\.json"):
        kind.load(path)


def test_a_report_may_be_laid_out_anew(tmp_path: Path) -> None:
    kind = KINDS["report"]
    path = kind.saved(tmp_path)
    texts_of(kind, path, lambda text: json.dumps(json.loads(text)))
    assert same(kind.load(path), kind.make())


BYTES = {
    "an unpacked half": lambda data: gzip.compress(data)[:-20],
    "a changed byte": lambda data: flipped(gzip.compress(data), -30),
    "a wrong sum": lambda data: flipped(gzip.compress(data), -6),
    "junk behind": lambda data: gzip.compress(data) + b"junk",
    "only the mark": lambda data: b"\x1f\x8b",
    "no UTF-8": lambda data: data[:50] + b"\xff\xfe" + data[50:],
    "UTF-16": lambda data: data.decode().encode("utf-16"),
}


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize("what", BYTES)
def test_bytes_that_are_no_report(what: str, tmp_path: Path) -> None:
    kind = KINDS["report"]
    path = kind.saved(tmp_path)
    path.write_bytes(BYTES[what](path.read_bytes()))
    with pytest.raises(FileFormatError, match=r"saved\.json"):
        kind.load(path)


@RECORDS
@pytest.mark.parametrize(
    "trap",
    ["[" * 100_000, '{"a":' * 50_000, '{"format": ' + "9" * 5000 + "}", '{"format": 1, "format": 1}', "\udc80", "NaN"],
    ids=["deep lists", "deep objects", "a huge integer", "a field twice", "half a character", "NaN"],
)
def test_traps_in_the_record_of_a_file(name: str, trap: str, tmp_path: Path) -> None:
    header = {"__metadata__": {"factlens": trap, "checksum": "0"}}
    data = json.dumps(header).encode()
    path = KINDS[name].path(tmp_path)
    path.write_bytes(len(data).to_bytes(8, "little") + data)
    with pytest.raises(FileFormatError, match=r"saved\.safetensors"):
        KINDS[name].load(path)


def entry(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


BAD_HEADERS: dict[str, Any] = {
    "a list": [],
    "metadata that is a list": {"__metadata__": []},
    "metadata that is no text": {"__metadata__": {"factlens": 3}},
    "an array that is a number": {"a": 3},
    "an array without a place": {"a": {"dtype": "F32", "shape": [1]}},
    "an unknown field": {"a": entry() | {"more": 1}},
    "an unknown format": {"a": entry("C64")},
    "a format that is no text": {"a": entry(["F32"])},
    "a shape that is a number": {"a": entry(shape=4)},
    "a negative size": {"a": entry(shape=[-1])},
    "a size that is half": {"a": entry(shape=[1.0])},
    "a true size": {"a": entry(shape=[True])},
    "another shape": {"a": entry(shape=[2])},
    "an absurd shape": {"a": entry(shape=[2**40, 2**40], offsets=[0, 4])},
    "an absurd empty shape": {"a": entry(shape=[2**47, 2**47, 0], offsets=[0, 0]), "b": entry()},
    "an absurd array": {"a": entry(shape=[2**40], offsets=[0, 2**42])},
    "turned ends": {"a": entry(offsets=[4, 0])},
    "three ends": {"a": entry(offsets=[0, 4, 4])},
    "a gap": {"a": entry(offsets=[4, 8])},
    "an overlap": {"a": entry(), "b": entry()},
    "too little": {},
    "too much": {"a": entry(), "b": entry(offsets=[4, 8])},
}


@RECORDS
def test_headers_that_promise_what_is_not_there(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.path(tmp_path)
    for what, header in BAD_HEADERS.items():
        assert kind.record
        metadata = {"factlens": json.dumps({"format": kind.record[0], "schema": kind.record[1]}), "checksum": "0"}
        content = {"__metadata__": metadata, **header} if isinstance(header, dict) else header
        data = json.dumps(content).encode()
        path.write_bytes(len(data).to_bytes(8, "little") + data + bytes(4))
        began = time.monotonic()
        with pytest.raises(FileFormatError, match=r"saved\.safetensors"):
            kind.load(path)
        assert time.monotonic() - began < 1, what


def sparse(path: Path, size: int) -> None:
    with path.open("ab") as file:
        os.truncate(file.fileno(), size)


@RECORDS
@pytest.mark.parametrize("length", [2**25 + 1, 2**63, 2**64 - 1, 0, 1])
def test_a_header_of_any_length_is_not_read(name: str, length: int, tmp_path: Path) -> None:
    path = KINDS[name].path(tmp_path)
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    sparse(path, 2**40)
    with pytest.raises(FileFormatError, match=r"saved\.safetensors"):
        KINDS[name].load(path)


@RECORDS
def test_arrays_larger_than_the_memory_are_not_read(name: str, tmp_path: Path) -> None:
    """A file with a hole in it: as long as it says, and next to nothing on the disk."""
    kind = KINDS[name]
    path = kind.path(tmp_path)
    assert kind.record
    metadata = {"factlens": json.dumps({"format": kind.record[0], "schema": kind.record[1]}), "checksum": "0"}
    header = {"__metadata__": metadata, "a": entry(shape=[2**38], offsets=[0, 2**40])}
    data = json.dumps(header).encode()
    path.write_bytes(len(data).to_bytes(8, "little") + data)
    sparse(path, 8 + len(data) + 2**40)
    began = time.monotonic()
    with pytest.raises(FileFormatError, match="more than the memory"):
        kind.load(path)
    assert time.monotonic() - began < 1


# Any way at all ------------------------------------------------------------------------------------------------------


def mutated(data: bytes, luck: random.Random) -> bytes:
    """Some bytes of a file changed, left out, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(luck.choice((1, 1, 1, 3))):
        at, length = luck.randrange(len(changed) or 1), luck.choice((1, 1, 4, 40))
        way = luck.randrange(6)
        if way == 0 and changed:
            changed[at] ^= 1 << luck.randrange(8)
        elif way == 1:
            changed[at : at + length] = luck.randbytes(length)
        elif way == 2:
            del changed[at : at + length]
        elif way == 3:
            changed[at:at] = changed[at : at + length]
        elif way == 4:
            del changed[at:]
        else:
            changed[at : at + length] = luck.choice((b"[", b"{", b'"', b"\x00", b"9" * 40, b"null", b"-", b"\xff"))
    return bytes(changed)


@ALL
def test_a_file_changed_in_any_way(name: str, tmp_path: Path) -> None:
    kind, luck = KINDS[name], random.Random(f"bytes of a {name}")
    path = kind.saved(tmp_path)
    whole, good = path.read_bytes(), kind.load(path)
    began, refused = time.monotonic(), 0
    for _ in range(250):
        path.write_bytes(mutated(whole, luck))
        try:
            found = kind.load(path)
        except FileFormatError:
            refused += 1
        else:
            # What is left over is as it was: a checksum would not have let pass anything else.
            if name == "store":
                known = [repr(outcome) for outcome in good.outcomes]
                assert all(repr(outcome) in known for outcome in found.outcomes)
            else:
                assert same(found, good)
    assert time.monotonic() - began < 60
    assert name == "store" or refused > 150


def odd_value(luck: random.Random) -> Any:
    return copy.deepcopy(luck.choice([*HOSTILE, luck.random(), luck.randrange(-5, 100), "mlp", ["mlp", "state"]]))


@ALL
def test_a_file_written_anew_in_any_way(name: str, tmp_path: Path) -> None:
    """With a right checksum: by somebody who knows the format, and means no good."""
    kind, luck = KINDS[name], random.Random(f"fields of a {name}")
    path = kind.saved(tmp_path)
    whole, taken = path.read_bytes(), 0
    for _ in range(250):
        path.write_bytes(whole)
        with opened(kind, path) as content:
            ways = list(places({k: v for k, v in content.items() if k != "arrays"}))
            for way in luck.sample(ways, luck.choice((0, 1, 2))):
                with suppress(KeyError, IndexError, TypeError):  # what was put before may have no such place
                    put(content, way, odd_value(luck))
            if "arrays" in content and luck.random() < 0.5:
                array = luck.choice(sorted(content["arrays"]))
                content["arrays"][array] = odd_array(content["arrays"][array], luck)
        try:
            found = kind.load(path)
        except FileFormatError:
            continue
        if name == "store" and len(found.outcomes) < OUTCOMES:
            continue
        taken += 1
        use(found)
        if name not in ("store", "checkpoint"):
            kind.save(found, path)
            assert same(kind.load(path), found)
    assert taken > 0, "some changes do no harm"


def odd_array(values: np.ndarray, luck: random.Random) -> np.ndarray:
    way = luck.randrange(5)
    if way == 0:
        return values[:1]
    if way == 1:
        return values.T
    if way == 2:
        return np.nan_to_num(values).astype(luck.choice((np.float16, np.float32, np.float64, np.int64)))
    if way == 3:
        changed = values.copy()
        odd = (-1, 3, 100) if values.dtype.kind == "i" else (math.nan, math.inf, -1.0, 1e30)
        with np.errstate(all="ignore"):
            changed.reshape(-1)[luck.randrange(changed.size)] = luck.choice(odd)
        return changed
    return np.repeat(values, 2, luck.randrange(values.ndim))


def test_the_checksum_sees_the_order_and_not_the_layout() -> None:
    content = {"a": 1, "b": [0.1, "é", None]}
    assert checksum(content) == checksum(json.loads(json.dumps(content, indent=3, ensure_ascii=False)))
    assert checksum(content) != checksum({"b": [0.1, "é", None], "a": 1})
    assert checksum({"a": 1}) != checksum({"a": 1.0}) != checksum({"a": "1"})
