"""Table 4 of Meng et al. (2022): single edits judged on CounterFact, for several methods."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from factlens.evaluation import Record, Report, evaluate
from factlens.evaluation.metrics import COLUMNS as METRIC_COLUMNS
from factlens.models import Model
from factlens.reproduce.folder import Folder, beside
from factlens.reproduce.published import COLUMNS, COUNTERFACT, TABLE4_METHODS, key_of


def table4(
    model: Model, records: Sequence[Record], folder: Folder, *, methods: Sequence[str] = TABLE4_METHODS, seed: int = 0
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
        Which methods.
    seed
        Of edits and generated text.
    """
    progress = folder.progress("records")
    report = evaluate(
        model,
        records,
        method={method: {"method": method, "seed": seed} for method in methods},
        seed=seed,
        store=folder.store,
        progress=lambda so_far, total: progress(len(so_far.outcomes), total),
    )
    folder.written.append(report.save(folder.path / "report.json.gz"))
    folder.csv("metrics", report.summary())
    folder.table("table4", as_published(report))
    folder.figure("table4", report.plot())
    return report


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
