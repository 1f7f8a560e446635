"""Any text at all, where it becomes HTML, SVG, a table, or a file's name: it stays a text."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

import factlens as fl
from factlens.cli.demo import _page
from factlens.drawing.bars import answers_svg
from factlens.escaping import cell, file_stem, html, mathless, shown
from factlens.evaluation.plotting import plot_report
from factlens.evaluation.showing import report_svg
from factlens.reproduce.folder import Folder
from factlens.session.received import file_name
from factlens.widgets.profile import _legend
from factlens.widgets.snapshot import _html
from tests.any_text import EVERY, HOSTILE, RANDOM, fact, forced
from tests.saved import edit, made_average, report, trace

# HTML and SVG --------------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """The elements of a page, with the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")


def an_edit(text: str) -> fl.Edit:
    facts = (fact("", template=text, subject=text, target=text, object=text),)
    return forced(edit(), facts=facts, **dict.fromkeys(("method", "model", "fingerprint", "moment"), text))


def a_model(name: str) -> Any:
    """What a page says of a model."""
    return SimpleNamespace(name=name, n_layers=3, model=SimpleNamespace(config=None))


def a_report(text: str) -> fl.Report:
    made = report()
    asked = tuple(forced(probe, prompt=text, old=text) for probe in made.probes[:3])
    checks = forced(made.judged[0].record.checks, probes=asked)
    record = forced(made.judged[0].record, checks=checks, name=text)
    kept = tuple(replace(one, record=record, label=text) for one in made.judged[:1])
    lost = replace(kept[0], after=None, error=text)
    return replace(made, outcomes=(*kept, lost), provenance={"model": text})


def a_trace(text: str) -> fl.Trace:
    return replace(
        trace(),
        fact=fact("", subject=text),
        model=text,
        tokens=(text,) * 6,
        answer=text,
        contrast=text,
        edits=(text,),
    )


def an_average(text: str) -> fl.Average:
    made = made_average()
    skipped = tuple(replace(one, reason=text) for one in made.skipped)
    return replace(made, model=text, skipped=skipped)


PAGES: dict[str, Callable[[str], str]] = {
    "html": lambda text: f"<p title='{html(text)}' class=\"{html(text)}\">{html(text)}</p>",
    "trace": lambda text: a_trace(text)._repr_html_(),
    "average": lambda text: an_average(text)._repr_html_(),
    "edit": lambda text: an_edit(text)._repr_html_(),
    "report": lambda text: a_report(text)._repr_html_(),
    "snapshot": lambda text: _html("0", a_trace(text), (an_edit(text),)),
    "empty snapshot": lambda text: _html("0", None, (an_edit(text),)),
    "legend": lambda text: _legend(a_trace(text), {0: ("mlp", 1)}, pinned=True, growing=False),
    "page": lambda text: _page(a_model(text), an_edit(text).facts[0], a_report(text), an_edit(text), []),
}
PICTURES: dict[str, Callable[[str], str]] = {
    "trace": lambda text: a_trace(text)._svg(),
    "average": lambda text: an_average(text)._svg(),
    "answers": lambda text: answers_svg(text, [(text, [fl.models.Answer(text, 0, 0.5)])]),
    "report": lambda text: report_svg(a_report(text), {"rewrite": text}),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_text_in_html_is_text(page: str) -> None:
    tame = Elements(PAGES[page]("tame")).found
    for text in [*HOSTILE, *RANDOM[:60]]:
        made = PAGES[page](text)
        assert Elements(made).found == tame, repr(text)
        made.encode()
        assert not {c for c in made if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}, repr(text)


@pytest.mark.parametrize("picture", PICTURES)
def test_a_text_in_svg_is_text(picture: str) -> None:
    tame = [element.tag for element in ElementTree.fromstring(PICTURES[picture]("tame")).iter()]
    for text in [*HOSTILE, *RANDOM[:60]]:
        made = PICTURES[picture](text)
        assert [element.tag for element in ElementTree.fromstring(made).iter()] == tame, repr(text)


def test_what_can_be_seen_stays_as_it_is() -> None:
    for text in ("The Space Needle → Paris", "日本 🗼", "e\u0301", "<b>", "a  b"):
        assert shown(text) == text
    assert shown("a\nb\tc\u00a0d\u3000e") == "a⏎b⇥c d e"
    assert shown("\u202e\x00\ud800\u2028\x85") == "⟨U+202E⟩␀⟨U+D800⟩⟨U+2028⟩⟨U+0085⟩"


def test_labels_with_dollars_and_underscores_are_drawn(tmp_path: Path) -> None:
    labels = ("_hidden", "$x$", "$\\frac{$", "a$")
    one = a_report("rome")
    made = fl.Report.joined({label: replace(one, outcomes=one.judged) for label in labels})
    figure = plot_report(made, None)
    figure.savefig(tmp_path / "a.svg")
    shown_labels = [entry.get_text() for entry in figure.axes[0].get_legend().get_texts()]
    assert [mathless(label) for label in labels] == [label.strip() for label in shown_labels[1:]]


# Tables --------------------------------------------------------------------------------------------------------------

FORMULAS = [
    "=1+1",
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "--1",
    "-",
    "@SUM(1)",
    " =1",
    "\u00a0=1",
    "\u3000+1",
    "\u200b=1",
    "\ufeff@x",
    "\x00=1",
    "\n-a",
    '"=1',
    "'=1",
    "“=1",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "﹢x",
    "\t1",
    "\rx",
    "-2e3x",
    "-1,5",
]
NUMBERS = ["0", "-2", "+3.5", "-.5", "1.", "1e-7", "-2E+10"]
PLAIN = ["a", " a", "a=b", "1+1=2", "−2", "", "a\u2028b", "\ud800", "’s"]


def test_what_a_spreadsheet_takes_for_a_formula() -> None:
    assert [cell(text) for text in FORMULAS] == [f"'{text}" for text in FORMULAS]
    assert [cell(text) for text in [*NUMBERS, *PLAIN]] == [*NUMBERS, *PLAIN]


@pytest.mark.parametrize("index", [True, False])
def test_no_table_holds_a_formula(index: bool, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"=name": FORMULAS, "value": [-1.5] * len(FORMULAS), "some": [None, *["x"] * (len(FORMULAS) - 1)]},
        index=pd.MultiIndex.from_tuples([(text, -1) for text in FORMULAS], names=["@index", "-n"]),
    )
    said: list[str] = []
    Folder(tmp_path, say=said.append).table("a", frame, index=index)
    rows = list(csv.reader(io.StringIO((tmp_path / "a.csv").read_bytes().decode(), newline="")))
    assert len(rows) == 1 + len(FORMULAS)
    for row in rows:
        for text in row:
            assert text == cell(text) or text[0] == "'", text
    assert "-1.5" in rows[1]
    assert len(said) == 1
    # Numbers, and names without danger, are as pandas writes them.
    plain = frame.reset_index(drop=True)[["value", "some"]]
    Folder(tmp_path, say=said.append).csv("b", plain, index=index)
    assert (tmp_path / "b.csv").read_text() == plain.to_csv(index=index)
    assert frame.iloc[0, 0] == "=1+1", "the caller's table is as it was"


# Names of files ------------------------------------------------------------------------------------------------------

RESERVED = ["CON", "con", "Prn", "AUX", "nul", "COM1", "com9", "LPT1", "lpt0"]
PATHS = ["..", ".", "../../etc/passwd", "C:\\x", "a" * 300, "日本", "con.txt", "NUL.", " nul "]


@pytest.mark.parametrize("text", [*EVERY, *RESERVED, *FORMULAS, *PATHS])
def test_a_name_that_any_system_takes(text: str, tmp_path: Path) -> None:
    name = file_name(text, "edit")
    stem, dot, ending = name.partition(".")
    assert (dot, ending) == (".", "safetensors")
    assert 0 < len(name) <= 80
    assert stem.replace("-", "").isalnum()
    assert stem.isascii()
    assert stem.upper() not in {word.upper() for word in RESERVED}
    assert stem[0] != "-"
    (tmp_path / name).touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_says_what_it_is_of() -> None:
    assert file_name("Eiffel Tower → Rome", "edit") == "Eiffel-Tower---Rome.safetensors"
    assert file_name("日本", "trace") == "trace.safetensors"
    assert file_stem("nul", "edit") == "edit-nul"
    assert file_stem("", "edit") == "edit"
