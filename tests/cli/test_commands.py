"""The command line: what a user runs first."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import factlens as fl
from factlens.cli import COMMANDS, main
from tests.support import small_model


class Links(HTMLParser):
    """Everything a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {value}" for name, value in attrs if name in ("src", "href") and value]
        self.found += [tag] if tag in ("script", "link", "iframe") else []


def test_demo_tells_the_whole_story(tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    ran = subprocess.run(
        [sys.executable, "-m", "factlens", "demo", "--out", str(page)], capture_output=True, text=True, timeout=280
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    for words in (
        "hidden state",
        "MLP: most comes back",
        "attention: most comes back",
        "Seattle",
        "after: Paris",
        "paraphrases",
        "neighbours",
        "other facts, which should stay",
        "what follows from the edit",
        "bit for bit as before",
    ):
        assert words in ran.stdout, words
    html = page.read_text(encoding="utf-8")
    links = Links()
    links.feed(html)
    assert links.found == []
    assert html.count("<svg") == 3
    assert html.count("layer 7, attention") >= 7


def test_demo_takes_a_fact_of_your_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "demo.html"
    asked = ["demo", "--prompt", "{} is in downtown", "--subject", "The Louvre", "--out", str(page)]
    assert main(asked) == 1
    assert "--target is missing" in capsys.readouterr().err
    assert main([*asked, "--target", "Tokyo"]) == 0
    assert "The Louvre is in downtown" in page.read_text(encoding="utf-8")
    assert "after: Tokyo" in capsys.readouterr().out


def test_demo_says_so_where_the_model_knows_none_of_its_facts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_model("gpt2")
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    assert main(["demo", "--model", str(tmp_path), "--out", str(tmp_path / "demo.html")]) == 1
    assert "knows none of the demo's facts" in capsys.readouterr().err
    assert not (tmp_path / "demo.html").exists()


def test_trace_and_edit_save_what_they_find(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], atlas: fl.Model
) -> None:
    trace_file, edit_file = tmp_path / "t.safetensors", tmp_path / "e.safetensors"
    fact = ["{} is in downtown", "--subject", "The Louvre"]
    assert main(["trace", *fact, "--out", str(trace_file)]) == 0
    assert "Paris" in capsys.readouterr().out
    assert fl.Trace.load(trace_file).complete
    assert main(["edit", *fact, "--target", "Tokyo", "--layer", "4", "--out", str(edit_file)]) == 0
    with atlas.edited(fl.Edit.load(edit_file)):
        assert atlas.answers("The Louvre is in downtown")[0].text == " Tokyo"


def test_edit_takes_the_text_that_it_is_to_leave_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path / "cache"))
    text, file = tmp_path / "mine.txt", tmp_path / "e.safetensors"
    text.write_text("The Space Needle is in downtown Seattle, as everyone knows.\n\n" * 90, encoding="utf-8")
    fact = ["edit", "{} is in downtown", "--subject", "The Louvre", "--target", "Tokyo", "--layer", "4"]
    assert main([*fact, "--text", str(text), "--out", str(file)]) in (0, 3)
    assert "of mine.txt (" in fl.Edit.load(file).moment
    with pytest.raises(fl.FactlensError, match="no file or folder"):
        fl.edit(fl.load("atlas", device="cpu"), fl.Fact("{} is in", "The Louvre", target="Tokyo"), moments="none.txt")


def test_what_is_written_on_the_command_line_is_what_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.safetensors"
    asked = ["--subject", "The Louvre", "--samples", "1", "--kinds", "mlp", "--out", str(out)]
    assert main(["trace", "x = {} # [S] is in downtown ", *asked, "--slot", "[S]"]) == 0
    assert fl.Trace.load(out).fact.prompt == "x = {} # The Louvre is in downtown "
    said = capsys.readouterr().err
    assert said.startswith("factlens: The prompt ends in white space")
    assert said.count("white space") == 1
    assert main(["trace", "{} is in downtown", *asked, "--answer", "Paris", "--exactly"]) == 0
    assert fl.Trace.load(out).answer == "Paris"
    assert "would rather continue 'The Louvre is in downtown' with ' Paris'" in capsys.readouterr().err
    assert main(["trace", "x = {}: The Louvre is in", *asked]) == 1
    assert "can be read in two ways" in capsys.readouterr().err
    assert main(["trace", "Where is {}?", *asked, "--chat"]) == 1
    assert "has no chat template" in capsys.readouterr().err
    assert main(["trace", "Where is {}?", *asked, "--system", "Be brief."]) == 1
    assert "add --chat" in capsys.readouterr().err


def test_an_edit_that_did_not_take_says_so_in_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["edit", "{} is in downtown", "--subject", "The Louvre", "--target", "Tokyo"]
    out = tmp_path / "e.safetensors"
    assert main([*asked, "--layer", "7", "--out", str(out)]) == 3
    said = capsys.readouterr()
    (took,) = fl.Edit.load(out).taken
    assert took.failed == "value"
    assert f"p(Tokyo): {took.numbers}" in said.out
    assert f"Wrote {out}." in said.out
    assert said.err.startswith("The edit did not take.\nThe Louvre → Tokyo: p(Tokyo) ")
    assert "Try an earlier layer (now 7, by default 3)." in said.err
    assert main(asked) == 0
    said = capsys.readouterr()
    assert re.search(r"p\(Tokyo\): \S+ before, \S+ \S* ?with v\*, .* after", said.out)
    assert said.err == ""
    with pytest.raises(SystemExit):
        main(["edit", "--help"])
    assert "3 if it did not" in " ".join(capsys.readouterr().out.split())


def test_trace_takes_the_choices_of_the_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.safetensors"
    fact = ["trace", "{} is in downtown", "--subject", "The Louvre", "--out", str(out)]
    choices = ["--kinds", "state", "severed_mlp", "head.2", "--window", "2", "--replace-by", "The Space Needle"]
    assert main([*fact, *choices, "--metric", "logit_difference", "--contrast", "Seattle"]) == 0
    printed = capsys.readouterr().out
    assert "replaced by “The Space Needle”" in printed
    assert "attention head 2" in printed
    trace = fl.Trace.load(out)
    assert trace.kinds == ("state", "severed_mlp", "head.2")
    assert (trace.metric, trace.contrast, trace.window) == ("logit_difference", "Seattle", 2)
    assert trace.high > trace.low


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace", "Rome is", "--subject", "Paris"], "not in the prompt"),
        (["edit", "{} is in", "--subject", "Rome", "--target", "Paris", "--layer", "99"], "no layer 99"),
        (["trace", "{} is in", "--subject", "Rome", "--model", "/no/such/folder"], "folder"),
    ],
)
def test_errors_are_one_clear_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("factlens: ")
    assert message in printed


@pytest.mark.parametrize("asked", [["--version"], ["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_every_command_has_help(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(asked)
    assert ended.value.code == 0
    assert (fl.__version__ if asked == ["--version"] else "options:") in capsys.readouterr().out


def test_the_commands_load_no_torch_before_they_run() -> None:
    code = (
        "import sys; from factlens.cli import main\ntry: main(['--version'])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["factlens", fl.__version__], ran.stderr


def test_the_help_of_edit_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("    edit "))
    assert line.split(maxsplit=1)[1] == "edit a fact, and say whether it took"
