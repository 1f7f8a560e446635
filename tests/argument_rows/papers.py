"""Rows of figures and tables for papers; every result takes the same."""

from __future__ import annotations

from tests.argument_rows.wrong import A_TRACE, MODEL, SHARE, Bad, flag, number, one_of, path, text, texts, whole

LOOK: dict[str, list[Bad]] = {
    "width_mm": number("from 20 to 1200", 0, 19.9, 10**4, none=True),
    "height_mm": number("from 15 to 1200", 0, -3, 10**4, none=True),
    "font": [
        *((value, "text") for value in (3, b"bytes", [3], " ", {"a": 1})),
        ([], "a font, or several"),
        ("no such font", "matplotlib can load"),
    ],
    "font_size": number("from 3 to 40", 2, 41, none=True),
    "palette": one_of("kind", "safe", "grey"),
    "letters": [(value, "the letter to begin with") for value in (3, 1, "ab", "", "1", None, ["a"])],
    "width": [(88, "A figure has no option 'width'")],
}
RESULTS = ("Trace", "Average", "CellDetails", "Comparison", "Report", "AnswerChange", "Calibration")

#: What the figure of a result takes of its own.
OWN: dict[str, dict[str, list[Bad]]] = {
    "Trace": {"effects": flag()},
    "Average": {"lines": flag(), "level": SHARE},
    "Comparison": {"kind": [(value, "no kind") for value in ("attn", 3, ["mlp"])]},
    "Report": {"metrics": [*texts(none=True), (["es"], "no metric 'es'")]},
}

ROWS: dict[str, dict[str, list[Bad]]] = {
    "Trace.plot": {**OWN["Trace"], **LOOK},
    "Average.plot": {**OWN["Average"], **LOOK},
    "Average.plot_lines": {"level": SHARE, **LOOK},
    "CellDetails.plot": LOOK,
    "Comparison.plot": {**OWN["Comparison"], **LOOK},
    "Report.plot": {**OWN["Report"], **LOOK},
    "AnswerChange.plot": LOOK,
    "Calibration.plot": LOOK,
    "Comparison": {"a": A_TRACE, "b": A_TRACE, "names": [*texts(), (("a",), "two names"), ("AB", "text")]},
    "answer_change": {"model": MODEL, "prompt": text(), "k": whole(1)},
    **{
        f"{result}.save_figure": {
            "path": [*path(), ("figure.eps", "ends in .pdf, .svg or .png")],
            "dpi": number("from 36 to 2400", 0, 10**5),
            **OWN.get(result, {}),
            **LOOK,
        }
        for result in RESULTS
    },
    **{f"{result}.to_csv": {"path": path(none=True)} for result in RESULTS},
    **{
        f"{result}.to_latex": {
            "path": path(none=True),
            "part": [*text(none=True), ("nonsense", "None")],
            "caption": flag(),
            "label": text(empty=True),
        }
        for result in RESULTS
    },
}
