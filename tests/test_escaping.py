"""Any text at all, in every place where it becomes code, HTML, SVG, a table, or a file's name: it stays a text."""

from __future__ import annotations

import ast
import csv
import io
import random
import sys
import tokenize
import unicodedata
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import factlens as fl
from factlens.cli.demo import _page
from factlens.drawing.bars import answers_svg
from factlens.escaping import cell, file_stem, html, literal, mathless, shown
from factlens.evaluation.plotting import plot_report
from factlens.evaluation.showing import report_svg
from factlens.reproduce.folder import Folder
from factlens.session.received import file_name
from factlens.tracing.recipe import caption_of, code_of
from factlens.widgets.profile import _legend
from factlens.widgets.snapshot import _html
from tests.saved import edit, made_average, replaced_trace, report, trace

T = TypeVar("T")

BREAKS = [
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\x00",
    "\x1a",
    "\x08",
]
HOSTILE = [
    *(f"a{end}import os; os.abort()" for end in BREAKS),
    *(f"a{end}" for end in BREAKS),
    "'); import os; os.abort() #",
    '"); import os #',
    "'''\nimport os\n'''",
    '"""',
    "\\",
    "\\'",
    "\\\n'",
    "# -*- coding: utf-7 -*-",
    "{__import__('os').abort()}",
    "\\N{DIGIT ONE}\\x41\\u0041",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "' onload='alert(1)",
    '" onload="alert(1)',
    "]]><a/>",
    "<!-- -->",
    "&lt;b&gt;&amp;&#60;",
    "\u202etxt.exe",
    "\ud800 half",
    "\udfff",
    "\ufffe\uffff",
    "\u200b\u200d\ufeff",
    "$x$ and $\\frac{a}{b}$",
    "=1+1",
    "e\u0301 日本 🗼 \u00a0\u3000",
    "_hidden",
]
LUCK = random.Random("any text at all")
ALPHABET = [*BREAKS, *"'\"\\#{}()[]<>&=+-@;:, \tab1", "\u202e", "\ud800", "🗼", "é", "\\N", "'''", "*/", "//", "--"]
RANDOM = ["a" + "".join(LUCK.choices(ALPHABET, k=LUCK.randrange(1, 12))) for _ in range(200)]
EVERY = [*HOSTILE, *RANDOM]


# Code ----------------------------------------------------------------------------------------------------------------


def forced(made: T, **fields: Any) -> T:
    """A copy of something with anything at all in its fields; also what its own checks would refuse."""
    made = copy(made)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def fact(text: str, **fields: str) -> fl.Fact:
    """A fact with any text in it."""
    return forced(fl.Fact("{} is in", "x", target="y"), **(fields or {"template": text}))


#: The places of a trace that hold a text.
TEXTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "model": lambda text: {"model": text},
    "template": lambda text: {"fact": fact(text)},
    "subject": lambda text: {"fact": fact("", subject=text)},
    "target": lambda text: {"fact": fact("", target=text)},
    "answer": lambda text: {"answer": f" {text}"},
    "contrast": lambda text: {"contrast": text},
    "edits": lambda text: {"edits": (text, "another", text)},
    "convention": lambda text: {"window_convention": text},
    "metric": lambda text: {"metric": text},
    "subjects": lambda text: {"corruption": forced(fl.Noise(), subjects=(text, "b", text))},
    "replacement": lambda text: {"corruption": forced(fl.Replacement("x"), subject=text)},
}


def skeleton(code: str) -> str:
    """The statements of a piece of code, every constant in it but its type left out."""

    class Plain(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            return ast.Name(f"a {type(node.value).__name__}")

    return ast.dump(Plain().visit(ast.parse(code)))


def comments(code: str) -> list[str]:
    found = tokenize.generate_tokens(io.StringIO(code, newline="").readline)
    return [token.string for token in found if token.type == tokenize.COMMENT]


@pytest.mark.parametrize("place", TEXTS)
def test_a_text_in_code_is_text(place: str) -> None:
    base = trace()
    tame = skeleton(code_of(replace(base, **TEXTS[place]("tame"))))
    for text in EVERY:
        wild = replace(base, **TEXTS[place](text))
        code = code_of(wild)
        assert skeleton(code) == tame, repr(text)
        assert len(comments(code)) == 2
        assert len(code.splitlines()) == code.count("\n") == 7, "nothing in it ends a line but a line's end"
        code.encode()
        compile(code, "the code", "exec")
        caption = caption_of(wild) if place not in ("metric", "convention") else ""
        assert len(caption.splitlines()) <= 1
        assert "\x00" not in caption
        caption.encode()


def test_the_code_says_what_the_trace_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it, with a stand-in for the library that notes what it is asked for."""
    asked: dict[str, Any] = {}
    library = ModuleType("factlens")
    library.load = lambda name: asked.update(model=name)  # type: ignore[attr-defined]
    library.Fact, library.Noise, library.Replacement = fact_of, fl.Noise, fl.Replacement  # type: ignore[attr-defined]
    stand_in = type("Trace", (), {"plot": lambda self: None})

    def traced(_model: object, fact: fl.Fact, **options: Any) -> object:
        asked.update(fact=fact, **options)
        return stand_in()

    library.trace = traced  # type: ignore[attr-defined]
    odd = [text for text in EVERY if text.strip() and "{" not in text and "\ud800" not in text and "\udfff" not in text]
    for text in odd:
        made = replace(
            trace(),
            model=text,
            fact=fl.Fact("{} is in", text, target=text),
            answer=f" {text}",
            contrast=text,
            corruption=fl.Noise(subjects=(text,), level=np.float64(0.5), multiple=2),
            seed=np.int64(3),
        )
        asked.clear()
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "factlens", library)
            exec(compile(code_of(made), "the code", "exec"), {})
        assert asked == {
            "model": text,
            "fact": made.fact,
            "kinds": made.kinds,
            "samples": 3,
            "seed": 3,
            "window": made.window,
            "corruption": made.corruption,
            "metric": "logit_difference",
            "contrast": text,
            "answer": f" {text}",
        }
    asked.clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "factlens", library)
        exec(code_of(replaced_trace()), {})
    assert asked["corruption"] == replaced_trace().corruption
    assert asked["window_convention"] == "paper"


fact_of = fl.Fact


LITERALS = [None, True, 0, -3, 2**70, 0.1, -0.0, 1e300, np.float32(0.5), np.int8(3), (), (1,), (1, ("a",))]


@pytest.mark.parametrize("value", LITERALS)
def test_a_literal_is_read_back(value: Any) -> None:
    assert ast.literal_eval(literal(value)) == value
    assert repr(ast.literal_eval(literal(-0.0))) == "-0.0"


def test_numbers_that_have_no_literal() -> None:
    for value in (float("inf"), float("-inf"), np.float64("nan")):
        assert repr(eval(literal(value))) == repr(float(value))
    for value in ([1], {"a": 1}, object(), b"x", 1j):
        with pytest.raises(TypeError, match="no literal"):
            literal(value)


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
    "page": lambda text: _page(a_report(text), an_edit(text), []),
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
