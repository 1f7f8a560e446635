"""Tables for papers and spreadsheets: no text in them is a command or a formula, and numbers come back."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest

from factlens.drawing.tables import Table, frame_csv, frame_table, table_latex
from factlens.errors import ArgumentError
from factlens.escaping import latex
from factlens.session.papers import Judgement
from tests.drawing.figures import RESULTS, details
from tests.tracing.made import made_trace

EVIL = r"%_&#$~^\{}" + r"\input{/etc/passwd} <|> [1]"


def balanced(text: str) -> bool:
    """Whether every brace that TeX sees has its other half."""
    depth = 0
    for sign in re.sub(r"\\[{}\\]", "", text):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return False
    return depth == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 %", r"50 \%"),
        ("a_b & c #1 $x$", r"a\_b \& c \#1 \$x\$"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("{}", r"\{\}"),
        ("−1 ± 2 → 3", r"$-$1 $\pm$ 2 $\rightarrow$ 3"),
        ("[0.1, 0.2]", "{[}0.1, 0.2{]}"),
        ("two\nlines", r"two$\hookleftarrow$lines"),
        ("東京 café", "東京 café"),
    ],
)
def test_no_sign_is_a_command(text: str, expected: str) -> None:
    assert latex(text) == expected
    assert balanced(latex(text))


def test_a_table_for_latex() -> None:
    text = table_latex(Table(("name", "a & b"), [(EVIL, "50%"), ("plain", "[1]")]), caption=EVIL, label="tab:a b}_1")
    assert balanced(text)
    assert text.splitlines()[0] == r"\begin{table}"
    assert r"\label{tab:ab_1}" in text
    assert r"\begin{tabular}{lr}" in text
    assert r"name & a \& b \\" in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines()[1:]] == [1, 1]
    assert not re.search(r"(?<!\\)[%#$_^~]", re.sub(r"\\\$|\$[^$]*\$", "", text.replace("tab:ab_1", "")))
    assert r"\input" not in text


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_has_a_table_and_its_numbers(name: str) -> None:
    result = RESULTS[name]
    text = result.to_latex(label="tab:one")
    assert balanced(text)
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    for line in text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines():
        if line.endswith(r"\\"):
            assert len(re.findall(r"(?<!\\)&", line)) == columns - 1, line
    assert r"\caption" not in result.to_latex(caption=False)
    back = pd.read_csv(io.StringIO(result.to_csv()), keep_default_na=False, na_values=[""])
    frame = result._frame()
    assert list(back.columns) == list(map(str, frame.columns))
    for column in frame.columns:
        if frame[column].dtype.kind == "f":
            np.testing.assert_allclose(back[column].astype(float), frame[column].astype(float))
        elif frame[column].dtype == object:
            assert back[column].fillna("").astype(str).tolist() == frame[column].fillna("").astype(str).tolist()


def test_parts_of_tables(tmp_path) -> None:
    trace = made_trace()
    grid = trace.to_latex(part="mlp", caption=False)
    assert r"token & 0 & 1 & 2 & 3 & 4 & 5 & 6 & 7 \\" in grid
    assert "Space* & " in grid
    assert "head 15" in details().to_latex(part="shares")
    for wrong in ("head", "nonsense"):
        with pytest.raises(ArgumentError, match="part must be None or one of state, mlp, attn, not"):
            trace.to_latex(part=wrong)
    assert trace.to_csv(tmp_path / "a.csv").read_text() == trace.to_csv()
    assert trace.to_latex(tmp_path / "a.tex").read_text() == trace.to_latex()


def test_no_text_is_a_formula_and_numbers_stay_numbers() -> None:
    frame = pd.DataFrame({"=name": ["=1+1", "-", "fine"], "value": [-1.5, float("nan"), 2]})
    assert frame_csv(frame).splitlines() == ["'=name,value", "'=1+1,-1.5", "'-,", "fine,2.0"]
    assert frame_table(frame.assign(share=1 / 3)).rows[0] == ["=1+1", "−1.5", "0.3333"]
    assert frame_table(frame).rows[1] == ["-", "–"]
    assert frame_table(frame).texts == 1


def test_what_a_lens_has_judged_is_a_table() -> None:
    said = {"top": " Seattle", "old": 0.9, "new": 0.05}
    row = {"role": "rewrite", "prompt": "50% of {}", "old": "Seattle", "new": "Paris", "before": said, "after": said}
    about = {"edits": ["a → b"], "edit_ids": ["0123456789"], "fingerprint": "0123456789abcdef"}
    texts = [{"prompt": "A", "before": " b", "after": " c"}]
    judged = Judgement("made up", {**about, "rows": [{**row, "held": [True, False]}], "texts": texts})
    assert r"50\% of \{\}" in judged.to_latex()
    assert "a → b [01234567]" in judged.caption()
    back = pd.read_csv(io.StringIO(judged.to_csv()))
    assert back["p_new_after"][0] == 0.05
    assert back["top_after"][1] == " c"
