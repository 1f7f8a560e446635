"""Subjects and answers in any script, everywhere that they are shown; and as they are, where they are data."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

import factlens as fl
from factlens.drawing.bars import answers_svg
from factlens.models import Answer
from factlens.tracing.captions import caption_of
from factlens.tracing.picture import plot_trace, trace_svg
from factlens.visible import closed, columns, line
from factlens.widgets.bars import LONGEST_LABEL, AnswerBars
from factlens.widgets.panels import _named
from tests.tracing.made import made_trace

FAMILY = "👩\u200d👩\u200d👧"
TOKENS = ("שלום", " עולם!", " سلام", "\u0301", "⟨E6 9D⟩", f" {FAMILY}", "\u200d", "\u200f", "می\u200cخواهم", "\u3000")
LABELS = [
    "\u2068שלום\u2069*",
    "\u2068עולם!\u2069*",
    "\u2068سلام\u2069*",
    "◌\u0301",
    "⟨E6 9D⟩",
    FAMILY,
    "⟨U+200D⟩",
    "⟨U+200F⟩",
    "\u2068می\u200cخواهم\u2069",
    "␣",
]


@pytest.fixture
def trace() -> fl.Trace:
    fact = fl.Fact(f"{{}} {FAMILY}", "שלום עולם", target="القدس")
    return made_trace(tokens=TOKENS, fact=fact, answer=" القدس", subject_range=(0, 3), layers=2)


def test_labels_of_tokens(trace: fl.Trace) -> None:
    assert [trace.label(i) for i in range(len(TOKENS))] == LABELS


def test_no_token_turns_around_what_stands_beside_it(trace: fl.Trace) -> None:
    """A text from right to left, or one that is hidden, is nowhere without its isolate or its mark."""
    texts = [element.text or "" for element in ElementTree.fromstring(trace_svg(trace)).iter() if element.text]
    assert LABELS[0] in texts
    assert any(text.startswith(f"{LABELS[1]}, layer 1, hidden state: ") for text in texts)
    said = [*texts, repr(trace), caption_of(trace), trace.measured]
    for text in said:
        outside, inside = "", False
        for c in text:
            inside = c == "\u2068" or (inside and c != "\u2069")
            outside += "" if inside else c
        assert not any("\u0590" <= c <= "\u08ff" for c in outside), text
        assert not any(c in text for c in "\u200f\u3000\ufffd")
    assert trace.measured == "p(\u2068القدس\u2069)"


def test_titles_are_cut_between_characters(trace: fl.Trace) -> None:
    long = made_trace(fact=fl.Fact(f"{{}} {FAMILY * 80}", "שלום"))
    title = ElementTree.fromstring(trace_svg(long))[1].text or ""
    assert "…" in title
    assert set(title.replace("\u2068", "").replace("\u2069", "").split("…")[1].split(" → ")[0].split(FAMILY)) == {""}


def test_a_line_that_is_cut_isolates_what_is_left(trace: fl.Trace) -> None:
    long = replace(trace, model="m" * 300, corruption=fl.Replacement("ירושלים " * 30), noise_level=None)
    said = ElementTree.fromstring(trace_svg(long))[2].text or ""
    assert "…" in said
    assert line(said) == said
    assert [closed(part) for part in ("a\u2068b", "b\u2069c", "\u2068b\u2069")] == [
        "a\u2068b\u2069",
        "bc",
        "\u2068b\u2069",
    ]


def test_matplotlib_gets_no_isolates(trace: fl.Trace) -> None:
    figure = plot_trace(trace)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [label.replace("\u2068", "").replace("\u2069", "") for label in LABELS]


def test_bars_of_answers(trace: fl.Trace) -> None:
    bars = AnswerBars()
    texts = [" שלום", "שלום", "\u200d", "\u0301", "東", f"{FAMILY * 8}", "\n"]
    bars.show([(text, 0.5, 0.5) for text in texts])
    assert [*bars.values] == [
        "\u2068שלום\u2069 (1)",
        "\u2068שלום\u2069 (2)",
        "⟨U+200D⟩",
        "◌\u0301",
        "東",
        f"{FAMILY * 3}…",
        "⏎",
    ]
    assert max(map(len, bars.values)) <= LONGEST_LABEL + len("\u2068\u2069 (2)")


def test_answers_in_a_picture() -> None:
    svg = answers_svg(
        "x", [("before", [Answer(" שלום", 1, 0.5), Answer("⟨E6⟩", 2, 0.3, "東"), Answer("⟨E6⟩", 2, 0.3)])]
    )
    for text in ("\u2068שלום\u2069", "東", "⟨E6⟩"):
        assert f">{text}</text>" in svg


def test_the_list_of_edits() -> None:
    class Made:
        label = "שלום עולם → القدس"
        updates = ()

    assert _named(Made())["label"] == "\u2068שלום עולם\u2069 → \u2068القدس\u2069"  # type: ignore[arg-type]


def test_tables_have_the_texts_as_they_are(trace: fl.Trace, tmp_path: Path) -> None:
    frame = trace.to_dataframe()
    assert tuple(frame["piece"][: 2 * len(TOKENS) : 2]) == TOKENS
    frame.to_csv(tmp_path / "a.csv", index=False)
    text = (tmp_path / "a.csv").read_text("utf-8")
    again = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert list(again["piece"]) == list(frame["piece"])
    saved = fl.Trace.load(trace.save(tmp_path / "a.safetensors"))
    assert (saved.tokens, saved.answer, saved.fact) == (trace.tokens, trace.answer, trace.fact)


def test_columns_of_a_terminal() -> None:
    assert [columns(text) for text in ("abc", "東京", "e\u0301", "\u2068שלום\u2069")] == [3, 4, 1, 4]
