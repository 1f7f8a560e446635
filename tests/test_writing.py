"""Whatever factlens writes is written whole or not at all, with the mode it ought to have, where a link points to."""

from __future__ import annotations

import ast
import errno
import gc
import os
import resource
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

import factlens as fl
from factlens import files
from factlens.errors import FactlensError, FileNotWritten
from factlens.reproduce.folder import Folder
from tests.saved import KINDS, edit, report, trace

PACKAGE = Path(fl.__file__).parent


def write_csv(path: Path) -> None:
    Folder(path.parent, say=lambda _line: None).csv(path.stem, pd.DataFrame({"a": [1, 2]}))


def write_figure(path: Path) -> None:
    figure = Figure(figsize=(1, 1))
    figure.subplots()
    Folder(path.parent, say=lambda _line: None).figure(path.stem, figure)


#: Everything that writes a file: its name, and how it is written.
WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    **{
        name: (f"saved{kind.suffix}", lambda path, kind=kind: kind.save(kind.make(), path))
        for name, kind in KINDS.items()
        if name not in ("replaced trace", "checkpoint", "store")
    },
    "text": ("page.html", lambda path: files.write_text(path, "é" * 5000)),
    "bytes": ("data.bin", lambda path: files.write_bytes(path, b"x" * 5000)),
    "json": ("note.json", lambda path: files.write_json(path, {"a": ["é"] * 500})),
    "table": ("table.csv", write_csv),
    "figure": ("figure.svg", write_figure),
}
EACH = pytest.mark.parametrize("what", WRITERS)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


@EACH
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077, 0o027])
def test_a_new_file_has_the_mode_of_new_files(what: str, mask: int, tmp_path: Path) -> None:
    name, write = WRITERS[what]
    with umask(mask):
        write(tmp_path / name)
    assert mode_of(tmp_path / name) == 0o666 & ~mask


@EACH
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_an_old_file_keeps_its_mode(what: str, mode: int, tmp_path: Path) -> None:
    name, write = WRITERS[what]
    path = tmp_path / name
    path.write_bytes(b"old")
    path.chmod(mode)
    with umask(0o022):
        write(path)
    assert mode_of(path) == mode
    assert path.read_bytes() != b"old"


def test_what_replaces_a_private_file_is_private_all_the_time(tmp_path: Path) -> None:
    path, seen = tmp_path / "a", []
    path.touch(mode=0o600)

    def write(stream: Any) -> None:
        stream.write(b"secret")
        stream.flush()
        seen.extend(mode_of(part) for part in parts(tmp_path))

    with umask(0o022):
        files.write_file(path, write)
    assert seen == [0o600]


# Links ---------------------------------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("way", ["file", "dangling", "relative", "chain", "folder"])
def test_through_a_link_its_file_is_written(what: str, way: str, tmp_path: Path) -> None:
    name, write = WRITERS[what]
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    target, link = elsewhere / f"target-{name}", here / name
    if way != "dangling":
        target.write_bytes(b"old")
        target.chmod(0o640)
    if way == "folder":
        target = elsewhere / name
        here.symlink_to(elsewhere)
    else:
        here.mkdir()
        if way == "relative":
            link.symlink_to(Path("..") / "elsewhere" / target.name)
        elif way == "chain":
            (tmp_path / "between").symlink_to(target)
            link.symlink_to(tmp_path / "between")
        else:
            link.symlink_to(target)
    write(link)
    assert (here if way == "folder" else link).is_symlink()
    assert not target.is_symlink()
    assert target.stat().st_size > 3
    assert link.read_bytes() == target.read_bytes()
    if way in ("file", "relative", "chain"):
        assert mode_of(target) == 0o640
    assert not parts(tmp_path)


# What cannot be written ----------------------------------------------------------------------------------------------


def a_circle(folder: Path) -> Path:
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    return folder / "a"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def a_file_for_a_folder(folder: Path) -> Path:
    (folder / "file").write_text("file")
    return folder / "file" / "a"


def a_device(_folder: Path) -> str:
    """A terminal. Not /dev/null: a mistake in what is tested would replace it, where root runs the tests."""
    return os.ttyname(os.openpty()[1])


BAD_PLACES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (lambda folder: folder / "nowhere" / "a", "Make its folder first"),
    "a file for a folder": (a_file_for_a_folder, "name a folder"),
    "a folder": (lambda folder: folder, "name a file in it"),
    "a pipe": (a_pipe, "pipe or a device"),
    "a device": (a_device, "pipe or a device"),
    "a circle": (a_circle, "circle"),
    "a long name": (lambda folder: folder / ("x" * 300), "shorter name"),
}


@pytest.mark.parametrize("place", BAD_PLACES)
@pytest.mark.parametrize("save", [lambda path: trace().save(path), lambda path: report().save(path)], ids=["a", "b"])
def test_places_that_cannot_be_written_to(place: str, save: Callable[[Any], Any], tmp_path: Path) -> None:
    make, words = BAD_PLACES[place]
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileNotWritten, match=words) as caught:
        save(path)
    assert isinstance(caught.value, FactlensError)
    assert isinstance(caught.value, OSError)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    if place == "a device":
        assert stat.S_ISCHR(os.stat(path).st_mode)


@pytest.mark.parametrize("save", [lambda path: trace().save(path), lambda path: report().save(path)], ids=["a", "b"])
def test_a_name_with_a_null_character(save: Callable[[Any], Any], tmp_path: Path) -> None:
    with pytest.raises(FactlensError, match=r"path|name of a file"):
        save(f"{tmp_path}/a\0b")
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, "日" * 85):
        trace().save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 100


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


STEPS = {
    "opening": lambda patch, number: patch.setattr(files, "open", failing(number), raising=False),
    "syncing": lambda patch, number: patch.setattr(os, "fsync", failing(number)),
    "changing the mode": lambda patch, number: patch.setattr(Path, "chmod", failing(number)),
    "renaming": lambda patch, number: patch.setattr(Path, "replace", failing(number)),
}
ERRORS = {
    errno.ENOSPC: "Make room",
    errno.EDQUOT: "Make room",
    errno.EACCES: "may write to",
    errno.EROFS: "may write to",
    errno.EIO: "another file",
}


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("step", STEPS)
def test_a_write_that_fails_leaves_the_old_file(
    step: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        STEPS[step](patch, number)
        with pytest.raises(FileNotWritten, match=ERRORS[number]) as caught:
            files.write_bytes(path, b"new")
    assert caught.value.errno == number
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@EACH
def test_a_disk_that_fills_up_leaves_the_old_file(what: str, tmp_path: Path) -> None:
    """A real one, as far as the process can tell: no file may grow beyond a few bytes."""
    name, write = WRITERS[what]
    path = tmp_path / name
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, before[1]))
    try:
        with pytest.raises(FileNotWritten, match=r"could not be written: File too large\. Make room"):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert not parts(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, LookupError, SystemExit])
def test_whatever_else_happens_leaves_the_old_file(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def write(stream: Any) -> None:
        stream.write(b"half")
        raise error

    with pytest.raises(error):
        files.write_file(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# Interrupts ----------------------------------------------------------------------------------------------------------


def struck(call: Callable[[], object], at: int) -> bool:
    """Run a call and interrupt it at its n-th line, wherever that is; return whether there was one."""
    seen = 0

    def trace_lines(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal seen
        if event == "line":
            seen += 1
            if seen == at:
                raise KeyboardInterrupt
        return trace_lines

    before = sys.gettrace()
    sys.settrace(trace_lines)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
def test_an_interrupt_at_any_line_leaves_old_or_new(old: bool, tmp_path: Path) -> None:
    path, new = tmp_path / "a", b"new" * 1000
    files.write_bytes(path, new)  # whatever is imported on the way is imported now
    path.unlink()
    outcomes, at, open_files = set(), 0, descriptors()
    while True:
        if old:
            path.write_bytes(b"old")
        at += 1
        was_struck = struck(lambda: files.write_bytes(path, new), at)
        left = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
        assert left in ({"a": new}, {"a": b"old"} if old else {}), f"line {at}: {left.keys()}"
        outcomes.add(left.get("a"))
        path.unlink(missing_ok=True)
        if not was_struck:
            break
    assert at > 60
    assert outcomes == {new, b"old" if old else None}
    assert descriptors() == open_files


def test_an_interrupt_at_any_line_of_a_record(tmp_path: Path) -> None:
    path, what, at = tmp_path / "a", edit(), 0
    what.save(path)
    new = path.read_bytes()
    while True:
        path.write_bytes(b"old")
        at += 7  # of several hundred
        was_struck = struck(lambda: what.save(path), at)
        assert {each.name for each in tmp_path.iterdir()} == {"a"}
        assert path.read_bytes() in (b"old", new)
        if not was_struck:
            break
    assert at > 300


# Nothing else writes -------------------------------------------------------------------------------------------------

#: Who may write otherwise: to a folder that is gone at once, and to the end of a file.
OTHERWISE = {"files.py", "session/received.py", "evaluation/outcome_store.py"}
WRITES = {"write_text", "write_bytes", "save_file", "to_csv", "to_json", "savefig", "touch", "dump"}


def writes_in(source: str) -> list[str]:
    """Calls in a source that write a file by its name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        opened = called == "open" and any(isinstance(t, str) and set(t) & set("wax+") and len(t) < 4 for t in texts)
        method = isinstance(node.func, ast.Attribute)
        # `to_csv(index=...)` returns the text, and `savefig(a stream)` is not told from `savefig(a path)` here.
        ours = called in ("write_text", "write_bytes") and not method
        harmless = ours or (called == "to_csv" and not node.args) or called == "savefig"
        if opened or (called in WRITES and not harmless):
            found.append(f"line {node.lineno}: {called}")
    return found


def test_nothing_writes_past_the_one_writer() -> None:
    found = {
        str(path.relative_to(PACKAGE)): writes
        for path in sorted(PACKAGE.rglob("*.py"))
        if (writes := writes_in(path.read_text(encoding="utf-8")))
    }
    assert found.keys() - OTHERWISE == {"models/atlas/train.py"} & found.keys(), found


@pytest.mark.parametrize(
    "source",
    ["p.write_text(x)", "p.open('w')", "open(p, 'ab')", "save_file(a, p)", "frame.to_csv(path)", "json.dump(a, f)"],
)
def test_the_reader_of_sources_sees_a_write(source: str) -> None:
    assert writes_in(source)
    assert not writes_in("write_text(p, x); open(p, 'rb'); frame.to_csv(index=True); open(p)")
