"""Where second moments, or how far they have come, cannot be written or read, they are collected and used anyway."""

from __future__ import annotations

import errno
import os
import resource
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import factlens as fl
from factlens import bounded, cli, files
from factlens.errors import EditWarning, Interrupted
from factlens.moments import SecondMoment, cached, collect
from factlens.moments.checkpoint import Checkpoint
from tests.support import TEXT, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")
CHOICES: dict[str, Any] = {"tokens": 12_000, "corpus": "x", "sequence": 16}
TEXTS = TEXT * 400


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def expected(model: fl.Model) -> dict[int, SecondMoment]:
    return collect(model, [1, 2], TEXTS, **CHOICES)


@contextmanager
def as_expected(
    folder: Path, found: dict[int, SecondMoment], expected: dict[int, SecondMoment], warned: int = 1
) -> Iterator[None]:
    """Check that the block puts the expected moments into `found`, and warns once: of what folder, why, what to do."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    assert sorted(found) == sorted(expected)
    for layer, moment in expected.items():
        assert torch.equal(found[layer].total, moment.total)
        assert found[layer].described == moment.described
    messages = [str(one.message) for one in said]
    assert len(messages) == warned, messages
    for message in messages:
        assert str(folder) in message
        assert any(words in message for words in REASONS), message
        assert "FACTLENS_CACHE" in message
        assert "used all the same" in message


REASONS = ("Not a directory", "a file, and not a folder", "Read-only file system", "Permission denied")
REASONS += ("No space left on device", "File too large")

# Folders that take nothing -------------------------------------------------------------------------------------------


def failing(number: int, real: Callable[..., Any], fails: Callable[[str], bool]) -> Callable[..., Any]:
    """Return a function that fails for some paths."""

    def call(path: Any, *arguments: Any, **options: Any) -> Any:
        if fails(str(path)):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **options)

    return call


@contextmanager
def writing_fails(
    patch: pytest.MonkeyPatch, number: int, fails: Callable[[str], bool] = lambda _path: True
) -> Iterator[None]:
    with patch.context() as inner:
        inner.setattr(files, "open", failing(number, open, fails), raising=False)
        yield


@contextmanager
def files_stay_small() -> Iterator[None]:
    """Let no file of this process grow beyond a few hundred bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


WAYS = ["a file", "below a file", "read-only", "not mine", "full", "really full"]


@contextmanager
def bad(way: str, path: Path, patch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder of one of these kinds."""
    if way in ("a file", "below a file"):
        path.write_text("I am a file")
        yield path if way == "a file" else path / "folder"
        assert path.read_text() == "I am a file"
        return
    path.mkdir()
    numbers = {"read-only": errno.EROFS, "not mine": errno.EACCES, "full": errno.ENOSPC}
    with writing_fails(patch, numbers[way]) if way in numbers else files_stay_small():
        yield path
    assert not list(path.iterdir())


@pytest.mark.parametrize("every", [0, 1000], ids=["with checkpoints", "without"])
@pytest.mark.parametrize("way", WAYS)
def test_moments_that_cannot_be_kept_are_returned(
    way: str, every: float, model: fl.Model, expected: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[int, SecondMoment] = {}
    with bad(way, tmp_path / "cache", monkeypatch) as folder, as_expected(folder, found, expected):
        found |= cached(model, [1, 2], TEXTS, folder=folder, every=every, **CHOICES)


@pytest.mark.parametrize("way", WAYS)
def test_an_edit_is_made_without_a_cache(
    way: str, model: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"layers": 2, "apply": False, "steps": 2, "contexts": ()}
    monkeypatch.setattr("factlens.moments.own.default_tokens", lambda *_: 2000)
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path / "good"))
    wanted = fl.edit(model, FACT, **options)
    with bad(way, tmp_path / "cache", monkeypatch) as folder:
        monkeypatch.setenv("FACTLENS_CACHE", str(folder))
        with pytest.warns(UserWarning, match=rf"cannot be kept in {folder / 'moments'}: \w.*FACTLENS_CACHE") as said:
            made = fl.edit(model, FACT, **options)
        assert len([one for one in said if not issubclass(one.category, EditWarning)]) == 1
        if way not in ("a file", "below a file"):
            (tmp_path / "cache" / "moments").rmdir()  # which it can only be empty
    assert made.moment == wanted.moment
    assert torch.equal(made.updates[0].left, wanted.updates[0].left)


@pytest.mark.parametrize("fails", ["results", "checkpoint", "one result"])
def test_what_can_be_kept_is(
    fails: str, model: fl.Model, expected: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {
        "results": lambda path: "unfinished" not in path,
        "checkpoint": lambda path: "unfinished" in path,
        "one result": lambda path: "layer1" in path,
    }[fails]
    found: dict[int, SecondMoment] = {}
    with writing_fails(monkeypatch, errno.ENOSPC, chosen), as_expected(tmp_path, found, expected):
        found |= cached(model, [1, 2], TEXTS, folder=tmp_path, every=0, **CHOICES)
    there = sorted("unfinished" if "unfinished" in path.name else path.name[17:23] for path in tmp_path.iterdir())
    assert (
        there
        == {
            # Its checkpoint is all that there is of a result that could not be written, and so it stays.
            "results": ["unfinished"],
            "checkpoint": ["layer1", "layer2"],
            "one result": ["layer2", "unfinished"],
        }[fails]
    )
    # And the next time all is well.
    found.clear()
    with as_expected(tmp_path, found, expected, warned=0):
        found |= cached(model, [1, 2], TEXTS, folder=tmp_path, **CHOICES)


def test_a_cache_that_may_not_be_read(
    model: fl.Model, expected: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that belong to somebody else: passed over, said once, and replaced where that may be done."""
    cached(model, [1, 2], TEXTS, folder=tmp_path, **CHOICES)
    found: dict[int, SecondMoment] = {}
    with monkeypatch.context() as patch:
        patch.setattr(bounded, "open", failing(errno.EACCES, open, lambda _path: True), raising=False)
        with writing_fails(monkeypatch, errno.EACCES), as_expected(tmp_path, found, expected):
            found |= cached(model, [1, 2], TEXTS, folder=tmp_path, every=0, **CHOICES)
        with pytest.warns(UserWarning, match=rf"Files in {tmp_path} are not used.*layer1.*denied.*layer2") as said:
            found = cached(model, [1, 2], TEXTS, folder=tmp_path, **CHOICES)
    assert len(said) == 1
    assert torch.equal(found[1].total, expected[1].total)
    assert not [path for path in tmp_path.iterdir() if "unfinished" in path.name]


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a circle", "nothing of ours"])
def test_what_stands_in_the_place_of_a_file(what: str, model: fl.Model, expected: dict, tmp_path: Path) -> None:
    cached(model, [1, 2], TEXTS, folder=tmp_path, **CHOICES)
    for path in list(tmp_path.iterdir()):
        path.unlink()
        if what == "a folder":
            path.mkdir()
        elif what == "a pipe":
            os.mkfifo(path)
        elif what == "a circle":
            path.symlink_to(path.name)
        else:
            path.write_text("notes")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = cached(model, [1, 2], TEXTS, folder=tmp_path, **CHOICES)
    assert torch.equal(found[1].total, expected[1].total)
    assert len(said) == (1 if what == "nothing of ours" else 2), "what cannot be read, and what cannot be written"
    assert all(str(tmp_path) in str(one.message) for one in said)


# The checkpoint ------------------------------------------------------------------------------------------------------


def test_the_checkpoint_outlives_a_kill_before_the_result_is_safe(
    model: fl.Model, expected: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []

    def interrupted(moment: SecondMoment, path: Path) -> None:
        if saved:
            raise KeyboardInterrupt
        saved.append(moment.layer)
        real(moment, path)

    real = SecondMoment.save
    monkeypatch.setattr(SecondMoment, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached(model, [1, 2], TEXTS, folder=tmp_path, every=0, **CHOICES)
    monkeypatch.undo()
    assert len([path for path in tmp_path.iterdir() if "unfinished" in path.name]) == 1
    shares: list[float] = []
    # The one that was written is read; the other begins anew, since its pass is another one.
    found = cached(model, [1, 2], TEXTS, folder=tmp_path, progress=shares.append, **CHOICES)
    assert torch.equal(found[2].total, expected[2].total)


def test_a_result_that_is_not_safe_begins_where_it_was(
    model: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        writing_fails(monkeypatch, errno.ENOSPC, lambda path: "unfinished" not in path),
        pytest.warns(UserWarning, match="cannot be kept"),
    ):
        cached(model, [1, 2], TEXTS, folder=tmp_path, every=0, **CHOICES)
    shares: list[float] = []
    cached(model, [1, 2], TEXTS, folder=tmp_path, progress=shares.append, **CHOICES)
    assert shares[0] > 0.5
    assert not [path for path in tmp_path.iterdir() if "unfinished" in path.name]


def test_a_pass_of_its_own_leaves_no_checkpoint(model: fl.Model, expected: dict, tmp_path: Path) -> None:
    path = tmp_path / "new" / "pass.safetensors"
    found = collect(model, [1, 2], TEXTS, checkpoint=path, every=0, **CHOICES)
    assert torch.equal(found[1].total, expected[1].total)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_checkpoint_that_cannot_be_deleted_is_no_matter(
    number: int, model: fl.Model, expected: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if not path.name.endswith(".part"):
            raise OSError(number, os.strerror(number))
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    found = collect(model, [1, 2], TEXTS, checkpoint=tmp_path / "a", every=0, **CHOICES)
    assert torch.equal(found[1].total, expected[1].total)


def test_an_interrupt_is_one_also_where_nothing_can_be_written(
    model: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(share: float) -> None:
        if share > 0.3:
            raise Interrupted("enough")

    with (
        writing_fails(monkeypatch, errno.ENOSPC),
        pytest.warns(UserWarning, match="No space left") as said,
        pytest.raises(Interrupted, match="enough"),
    ):
        collect(model, [1], TEXTS, checkpoint=tmp_path / "a", every=0, progress=leave, **CHOICES)
    assert len(said) == 1


def test_a_checkpoint_that_failed_once_is_not_tried_again(
    model: fl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []
    real = Checkpoint.save
    monkeypatch.setattr(Checkpoint, "save", lambda kept, at: (tried.append(kept.path), real(kept, at))[1])
    with writing_fails(monkeypatch, errno.ENOSPC), pytest.warns(UserWarning, match="cannot be kept"):
        collect(model, [1], TEXTS, checkpoint=tmp_path / "a", every=0, **CHOICES)
    assert len(tried) == 1


# The command ---------------------------------------------------------------------------------------------------------


def test_the_command_whose_files_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "file"
    out.write_text("a file")
    with pytest.warns(UserWarning, match=f"cannot be kept in {out}"):
        status = cli.main(["stats", "atlas", "--tokens", "300", "--layers", "0", "--out", str(out), "--device", "cpu"])
    assert status == 1
    assert f"nothing could be written to {out}" in capsys.readouterr().err
