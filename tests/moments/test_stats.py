"""``factlens stats``: from text on disk to statistics in the cache, with the time left and a table."""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import factlens as fl
from factlens.cli import main
from factlens.moments import SecondMoment
from factlens.timing import TimeLeft
from tests.support import TEXT

FACT = fl.Fact("{} is in downtown", "The Space Needle", target="Paris")


def test_stats_of_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str], atlas: fl.Model) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(TEXT * 300), encoding="utf-8")
    out = tmp_path / "out"
    command = ["stats", "atlas", "--text", str(tmp_path / "text.txt"), "--layers", "3,4", "--tokens", "9001"]
    command += ["--sequence", "32", "--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines()[0] == "0 %"
    assert printed.err.splitlines()[-1] == "100 %"
    assert " left" in printed.err
    head, *rows = printed.out.splitlines()[-3:]
    for words in ("layer", "tokens", "effective sample size", "expected error", "file"):
        assert words in head
    for layer, row in zip((3, 4), rows, strict=True):
        path = Path(row.split()[-1])
        assert path.parent == out
        moment = SecondMoment.load(path)
        assert (moment.layer, moment.count, moment.sequence, moment.asked) == (layer, 9024, 32, 9001)
        assert moment.fingerprint == atlas.fingerprint
        assert row.split()[:2] == [str(layer), "9,024"]
        assert f"about {moment.effective:,.0f}" in row
        assert f"{moment.expected_error:.0%}" in row
    assert "text.txt" in moment.corpus
    assert main(command) == 0
    assert capsys.readouterr().err == "", "what is in the folder is read, and nothing collected"


def test_stats_of_a_text_in_another_encoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the same text, so that nothing is collected again."""
    (tmp_path / "text.txt").write_bytes(("Zürich is in Switzerland. " * 99).encode("cp1252"))
    command = ["stats", "--text", str(tmp_path / "text.txt"), "--layers", "2", "--tokens", "300"]
    command += ["--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(command) == 1
    assert "--encoding cp1252" in capsys.readouterr().err
    assert main([*command, "--encoding", "cp1252"]) == 0
    assert "100 %" in capsys.readouterr().err
    (tmp_path / "text.txt").write_bytes(("Zürich is in Switzerland. " * 99).encode("utf-16"))
    assert main(command) == 0
    assert capsys.readouterr().err == ""


def test_stats_without_text_are_those_that_an_edit_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], atlas: fl.Model
) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path))
    assert main(["stats", "--device", "cpu"]) == 0
    assert "the atlas corpus, seed 0" in capsys.readouterr().out
    (kept,) = (tmp_path / "moments").iterdir()
    moment = SecondMoment.load(kept)
    edit = fl.edit(atlas, FACT, apply=False)
    assert edit.moment == moment.described
    assert list((tmp_path / "moments").iterdir()) == [kept]


def test_stats_of_the_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("\n\n".join(TEXT * 20).encode())))
    assert main(["stats", "--text", "-", "--layers", "2", "--tokens", "300", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "the standard input" in printed
    assert "not measured" in printed
    assert "at least " in printed


def test_ctrl_c_can_be_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_self: TimeLeft, share: float) -> str:
        if 0.4 < share < 0.9:
            signal.raise_signal(signal.SIGINT)
        return f"at {share}"

    command = ["stats", "--layers", "0", "--tokens", "12000", "--out", str(tmp_path), "--device", "cpu"]
    with monkeypatch.context() as patched:
        patched.setattr(TimeLeft, "__call__", interrupt)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells start their jobs without one
        try:
            assert main(command) == 130
        finally:
            signal.signal(signal.SIGINT, before)
    assert "The same command goes on" in capsys.readouterr().err
    assert main(command) == 0
    assert capsys.readouterr().err.splitlines()[0] != "0 %", "it went on from there"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "/no/such/file.txt"], "no file or folder"),
        (["--layers", "three"], "numbers with commas"),
        (["--layers", "99"], "no layer 99"),
        (["--tokens", "0"], "tokens must be at least 1"),
        (["--sequence", "100000"], "reads at most"),
    ],
)
def test_errors_are_one_clear_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("factlens: ")
    assert message in line
