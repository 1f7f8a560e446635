"""Every kind of file that is saved: it comes back as it was, and one that is damaged as a whole is refused.

The error is always the same one, and names the file. Single fields are in `test_saved_fields.py`, changes of any
kind in `test_saved_any_way.py`.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factlens.errors import FileFormatError
from factlens.files import checksum
from tests.damaged import ALL, RECORDS
from tests.saved import KINDS, Kind, opened, same, use

pytestmark = pytest.mark.usefixtures("quick")


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
    "the schema before": lambda text: text.replace('"schema": 5', '"schema": 1'),
    "a truth for a schema": lambda text: text.replace('"schema": 5', '"schema": true'),
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


def test_the_checksum_sees_the_order_and_not_the_layout() -> None:
    content = {"a": 1, "b": [0.1, "é", None]}
    assert checksum(content) == checksum(json.loads(json.dumps(content, indent=3, ensure_ascii=False)))
    assert checksum(content) != checksum({"b": [0.1, "é", None], "a": 1})
    assert checksum({"a": 1}) != checksum({"a": 1.0}) != checksum({"a": "1"})
