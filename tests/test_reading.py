"""Whatever is read, by whichever door: reading ends, stays within its memory, and fails with an error that says why.

Results that were saved, data sets, and texts to collect second moments from.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factlens import bounded
from factlens.bounded import decompressing, open_file, parse_json, read_data
from factlens.errors import FactlensError, FileFormatError
from factlens.evaluation.datasets import counterfact, load_facts, load_records, own_records
from factlens.evaluation.outcome_store import OutcomeStore
from factlens.moments import open_corpus, textfiles
from tests.saved import KINDS

ROOT = Path(__file__).parents[1]
OWN = {"prompt": "{} is in downtown", "subject": "The Space Needle", "target": "Paris", "object": "Seattle"}


def all_of(path: Path) -> list[str]:
    return list(open_corpus(path))


#: Every door, and the ending of the files that it reads.
DOORS: dict[str, tuple[Callable[[Path], Any], str]] = {
    **{name: (kind.load, kind.suffix) for name, kind in KINDS.items() if name not in ("replaced trace", "store")},
    "store": (lambda path: OutcomeStore(path, {}), ".jsonl"),
    "data set": (load_records, ".json"),
    "lines": (load_records, ".jsonl"),
    "table": (load_records, ".csv"),
    "packed data set": (load_facts, ".jsonl.gz"),
    "snippets": (lambda path: counterfact([], snippets=path), ".json"),
    "text": (all_of, ".txt"),
    "packed text": (all_of, ".txt.gz"),
    "packed lines": (all_of, ".jsonl.gz"),
}
EACH = pytest.mark.parametrize("door", DOORS)


PLACES: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "an empty file": Path.touch,
    "a link to a pipe": lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to(path.with_name("pipe"))),
    "a circle": lambda path: path.symlink_to(path.name),
    "zeros": lambda path: path.write_bytes(bytes(100_000)),
    "a pickle": lambda path: path.write_bytes(b"\x80\x04\x95" + bytes(range(256)) * 10),
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10),
}


@EACH
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.timeout(20)
def test_what_is_no_such_file(door: str, place: str, tmp_path: Path) -> None:
    load, suffix = DOORS[door]
    path = tmp_path / f"thing{suffix}"
    PLACES[place](path)
    if (door, place) in ALLOWED:
        load(path)
        return
    with pytest.raises((FactlensError, FileNotFoundError)) as caught:
        load(path)
    assert "thing" in str(caught.value)
    assert isinstance(caught.value, FileFormatError) or door not in KINDS
    assert isinstance(caught.value, FactlensError) or place == "a circle"


#: A store begins empty, and text may hold null characters.
ALLOWED = {("store", "an empty file"), ("text", "zeros")}


@EACH
def test_where_there_is_no_file(door: str, tmp_path: Path) -> None:
    load, suffix = DOORS[door]
    if door in ("store", "checkpoint"):
        return  # these begin with one that is not there
    for path in (tmp_path / f"thing{suffix}", tmp_path / "nowhere" / f"thing{suffix}"):
        with pytest.raises((FileNotFoundError, FactlensError), match="thing"):
            load(path)
    (tmp_path / "file").touch()
    with pytest.raises((FileNotFoundError, FactlensError), match="thing"):
        load(tmp_path / "file" / f"thing{suffix}")


def test_an_error_of_the_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = KINDS["trace"].saved(tmp_path)

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(stream, name)

        def __enter__(self) -> Broken:
            return self

        def __exit__(self, *_: object) -> None:
            stream.close()

        def read(self, *_: int) -> bytes:
            raise OSError(5, "Input/output error")

    stream = path.open("rb")
    monkeypatch.setattr("factlens.files.open_file", lambda _path: Broken())
    with pytest.raises(FileFormatError, match="Input/output error"):
        KINDS["trace"].load(path)


# Bombs ---------------------------------------------------------------------------------------------------------------


def bomb(gigabytes: int, byte: bytes) -> bytes:
    """A gzip file of some megabytes that swells to gigabytes: many members of 64 MB, one after the other."""
    member = gzip.compress(byte * (64 << 20), 9)
    return member * (16 * gigabytes)


MEASURED = """
import re, sys, time
from pathlib import Path
from tests.test_reading import DOORS, FactlensError
for door, path in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        DOORS[door][0](Path(path))
        raise SystemExit(f"{path} was read")
    except FactlensError as error:
        print(error)
print(int(time.process_time()))
# Not what getrusage says, which counts the process that has started this one.
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.parametrize(
    ("bombs", "most"),
    [
        ({"packed report": b" ", "packed data set": b"\n"}, 2200),
        ({"packed text": b"\n", "packed lines": b"1"}, 900),
    ],
    ids=["whole", "line by line"],
)
def test_a_bomb_does_not_go_off(bombs: dict[str, bytes], most: int, tmp_path: Path) -> None:
    """Four gigabytes out of four megabytes: no more than one is ever held, and of text next to nothing."""
    arguments = []
    for door, byte in bombs.items():
        arguments += [door, str(tmp_path / f"thing {door}{DOORS[door][1]}")]
        Path(arguments[-1]).write_bytes(bomb(4, byte))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout
    *errors, seconds, megabytes = done.stdout.splitlines()
    assert all(f"thing {door}" in words and "more than" in words for door, words in zip(bombs, errors, strict=True))
    assert int(megabytes) < most
    assert int(seconds) < 60, "of the processor's time, whoever else wants it"


def test_the_limit_counts_what_comes_out(tmp_path: Path) -> None:
    for name, data in (("a", b"x" * 1001), ("b", gzip.compress(b"x" * 1001))):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(FileFormatError, match="more than"):
            read_data(path, largest=1000)
        assert read_data(path, largest=1001) == b"x" * 1001


def test_ordinary_text_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that repeats itself a hundred times over, and little else."""
    monkeypatch.setattr(bounded, "_HARMLESS", 1000)
    luck = zlib.crc32
    words = " ".join(f"{luck(str(i).encode()):x}" for i in range(20_000)).encode()
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(words) + gzip.compress(b"word " * 500))
    with open_file(path) as stream:
        assert decompressing(stream, path).read() == words + b"word " * 500
    path.write_bytes(gzip.compress(words) + gzip.compress(b"word " * 10_000_000))
    with open_file(path) as stream, pytest.raises(FileFormatError, match="swells to more than 200 times"):
        decompressing(stream, path).read()


# JSON ----------------------------------------------------------------------------------------------------------------

TRAPS = {
    "deep lists": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "somewhat deep": "[" * 65 + "]" * 65,
    "unclosed": "[" * 100_000,
    "a huge integer": "[" + "9" * 5000 + "]",
    "a field twice": '{"a": 1, "a": 2}',
    "a control character": '"\x01"',
    "nothing": "",
}


@pytest.mark.parametrize("trap", TRAPS)
def test_json_with_a_trap(trap: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(TRAPS[trap])


def test_json_without_one() -> None:
    for value in ({"a": [1, 2.5, None, True, "é\u2028"]}, "[" * 60, [[[]]], {"a": {"b": {}}}, 10**30):
        assert parse_json(json.dumps(value)) == value
    assert parse_json("[" * 64 + "]" * 64)
    assert parse_json("NaN") != parse_json("Infinity")


def test_json_of_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MOST_VALUES", 1000)
    assert len(parse_json(json.dumps([1] * 999))) == 999
    for text in (json.dumps([1] * 1002), "[" + "[]," * 600 + "1]", "[" + "{}," * 600 + "1]"):
        with pytest.raises(ValueError, match="more than 1,000 values"):
            parse_json(text)


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("door", ["data set", "lines", "packed data set", "packed lines"])
def test_a_data_set_or_text_with_a_trap(door: str, trap: str, tmp_path: Path) -> None:
    load, suffix = DOORS[door]
    path = tmp_path / f"thing{suffix}"
    text = TRAPS[trap] if suffix != ".json" else f"[{TRAPS[trap]}, 1]"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    with pytest.raises(FactlensError, match="thing"):
        load(path)


def test_a_list_in_a_cell_with_a_trap() -> None:
    for text in TRAPS.values():
        if text.startswith("["):
            with pytest.raises(FactlensError, match="record 0, in 'others'"):
                own_records([{**OWN, "others": text}])
    with pytest.raises(FactlensError, match="record 0, in 'others'"):
        own_records([{**OWN, "others": "[sic] -> no list"}])


# Tables and lines ----------------------------------------------------------------------------------------------------

HEAD = "prompt,subject,target,object"
ROW = "{} is in downtown,The Space Needle,Paris,Seattle"
TABLES = {
    "a long cell": (f"{HEAD},name\n{ROW},{'x' * 200_000}\n", "behind line 1"),
    "a null character": (f"{HEAD}\n{ROW}\0\n", "null characters"),
    "two columns of one name": (f"{HEAD},object\n{ROW},Rome\n", "two columns 'object'"),
    "a cell too many": (f"{HEAD}\n{ROW},more\n", r"record 0 \(line 2\), has more cells"),
    "a cell too few": (f"{HEAD}\n{ROW.rpartition(',')[0]}\n", r"record 0 \(line 2\) has nothing in 'object'"),
    "an open quote": (f'{HEAD}\n"{ROW}\n', "is no CSV"),
    "nothing": ("", "no record"),
    "only a head": (f"{HEAD}\n", "no record"),
}


@pytest.mark.parametrize("what", TABLES)
def test_tables_that_are_none(what: str, tmp_path: Path) -> None:
    text, words = TABLES[what]
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FactlensError, match=words) as caught:
        load_records(path)
    assert "own.csv" in str(caught.value)


def test_half_a_character_in_a_record(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps([{**OWN, "references": ["ok"]}, {**OWN, "name": "\ud800"}]))
    with pytest.raises(FactlensError, match=r"own\.json, record 1 has half of a character in 'name'"):
        load_records(path)


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_a_line_ends_where_json_lines_end(odd: str, tmp_path: Path) -> None:
    """What ends a line of text elsewhere may stand in a JSON text, or beside it as white space no more."""
    path = tmp_path / "own.jsonl"
    name = odd if odd > "\x7f" else json.dumps(odd)[1:-1]
    path.write_text(json.dumps(OWN)[:-1] + f', "name": "a{name}b"}}\r\n', encoding="utf-8")
    assert [record.name for record in load_records(path)] == [f"a{odd}b"]


def test_a_line_of_text_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfiles, "_LONGEST_JSON", 1000)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps("short") + "\n" + json.dumps("x" * 998) + "\n")
    with pytest.raises(FileFormatError, match=r"a\.jsonl, line 2, has more than 1,000 characters"):
        all_of(path)
    path.write_text(json.dumps("x" * 990) + "\n")
    assert all_of(path) == ["x" * 990]


def test_a_text_without_lines_comes_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(os.urandom(100_000).hex().encode()))
    assert [len(piece) for piece in open_corpus(path)] == [65536] * 3 + [200_000 - 3 * 65536]


def test_files_of_a_folder_are_ordinary(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("words")
    assert all_of(tmp_path) == ["words"]


def test_a_store_of_something_else_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("my,notes\n1,2\n")
    with pytest.raises(FileFormatError, match="holds no outcomes that could be read"):
        OutcomeStore(path, {})
    assert path.read_text() == "my,notes\n1,2\n"
