"""Table 4 of Meng et al. (2022): single edits judged on CounterFact, for several methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from factlens.evaluation import Record, Report, evaluate
from factlens.evaluation.metrics import COLUMNS as METRIC_COLUMNS
from factlens.models import Model
from factlens.reproduce.folder import Folder, beside
from factlens.reproduce.peaks import markdown, percent
from factlens.reproduce.published import COLUMNS, COUNTERFACT, TABLE4_METHODS, key_of
from factlens.reproduce.ways import recipe_of

REFERENCE = "gpt2-xl"
"""The model of the published rows that always stand beside."""


def table4(
    model: Model,
    records: Sequence[Record],
    folder: Folder,
    *,
    methods: Sequence[str] = TABLE4_METHODS,
    layers: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
) -> Report:
    """Judge single edits of every record by every method; write tables, a figure, and the published rows.

    Parameters
    ----------
    model
        The model.
    records
        The data set.
    folder
        Where to write, and what is there already.
    methods
        Which methods, as for `factlens.reproduce.ways.a_way`.
    layers
        Which layers they edit: all the same, or by method. Default: each method's own for the model.
    seed
        Of edits and generated text.
    """
    progress = folder.progress("records")
    report = evaluate(
        model,
        records,
        method={way: recipe_of(way, layers, seed) for way in methods},
        seed=seed,
        store=folder.store,
        progress=lambda so_far, total: progress(len(so_far.outcomes), total),
    )
    folder.written.append(report.save(folder.path / "report.json.gz"))
    folder.csv("metrics", report.summary())
    folder.table("table4", as_published(report))
    folder.figure("table4", report.plot(**folder.look))
    folder.summary(summary(report))
    return report


def summary(report: Report) -> list[str]:
    """Return paragraphs in Markdown: what the methods do to how many records, with intervals, next to GPT-2 XL's."""
    table: dict[Any, dict[str, Any]] = report.summary().to_dict("index")  # type: ignore[assignment]
    body: list[list[str]] = []
    shown = COLUMNS[:4]
    head = ["method", "layers", "records", *(METRIC_COLUMNS[name].symbol for name in shown)]
    for label, when in [(report.labels[0], "before"), *((label, "after") for label in report.labels)]:
        count = sum(outcome.label == label for outcome in report.judged)
        layers = report.provenance["recipes"][label]["layers"] if when == "after" else ()
        name = label if when == "after" else "unedited"
        cells = [
            percent(*(table[label, metric][f"{when}{bound}"] for bound in ("", "_low", "_high")))
            if (label, metric) in table
            else "–"
            for metric in shown
        ]
        body.append([name, ", ".join(map(str, layers)), str(count), *cells])
    source, published = COUNTERFACT[REFERENCE]
    for name, numbers in published.items():
        body.append([f"{name}, GPT-2 XL", "", "", *(f"{one} %" for one in numbers[: len(shown)])])
    lines = [markdown(head, body)]
    if report.skipped:
        reasons = Counter(f"{outcome.label}: {outcome.error}" for outcome in report.skipped)
        lines.append("Not edited: " + "; ".join(f"{count} by {reason}" for reason, count in reasons.most_common(3)))
    return [*lines, f"Intervals are 95 %, bootstrap over records. GPT-2 XL: {source}."]


def as_published(report: Report) -> pd.DataFrame:
    """Return the published table's columns, in its units, with its rows for the model where there are any."""
    summary = report.summary()
    first = report.labels[0]
    rows = {"unedited": (first, "before"), **{label: (label, "after") for label in report.labels}}
    table = {
        name: [
            summary[when].get((label, metric), float("nan")) * (100 if METRIC_COLUMNS[metric].share else 1)
            for metric in COLUMNS
        ]
        for name, (label, when) in rows.items()
    }
    frame = pd.DataFrame.from_dict(table, orient="index", columns=list(COLUMNS))
    frame.index = pd.MultiIndex.from_product([["here"], frame.index], names=["source", "method"])
    if published := COUNTERFACT.get(key_of(str(report.provenance.get("model", "")))):
        frame = pd.concat([frame, beside(published[1], COLUMNS, published[0])])
    frame.columns = pd.Index([METRIC_COLUMNS[name].symbol for name in COLUMNS])
    return frame
