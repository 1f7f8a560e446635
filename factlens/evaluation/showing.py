"""Reports as text, as HTML tables, and as bars in SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from factlens.drawing.bars import Duel, duels_svg
from factlens.drawing.html import paragraph, table
from factlens.drawing.numbers import counted, tabular
from factlens.drawing.tables import Table

if TYPE_CHECKING:
    from factlens.evaluation.report import Report

_NAMED = 3
"""So many records of each label are named for which the edit did not take."""


def as_text(report: Report) -> str:
    """Return a table for a terminal: a line for each metric, before and after for each label."""
    rows = _rows(report)
    lines = [f"<factlens.Report: {_headline(report)}"]
    if rows:
        width = max(len(title) for title, _ in rows)
        heads = [f"{label} (before → after)" for label in report.labels]
        lines.append(" " * (width + 2) + "  ".join(f"{head:>30}" for head in heads))
        lines += [f"{title:<{width}}  " + "  ".join(f"{cell:>30}" for cell in cells) for title, cells in rows]
    return "\n".join([*lines, *_notes(report)]) + ">"


def as_html(report: Report) -> str:
    """Return a table for a notebook; everything in it is escaped."""
    rows = [(title, *cells) for title, cells in _rows(report)]
    numbers = table(("", *report.labels), rows, under="before → after", left=True)
    return "".join([paragraph(_headline(report)), numbers, *map(paragraph, _notes(report))])


def as_table(report: Report) -> Table:
    """Return the numbers for a paper: a row for each metric, and for each label one column before, one after."""
    columns = ["metric", *(f"{label}, {when}" for label in report.labels for when in ("before", "after"))]
    body = [[title, *(part for cell in cells for part in _halves(cell))] for title, cells in _rows(report)]
    return Table(columns, body)


def _halves(cell: str) -> tuple[str, str]:
    before, _, after = cell.partition(" → ")
    return before, after


def report_svg(report: Report, roles: Mapping[str, str]) -> str:
    """Draw the probability of the old and the new object before and after an edit, averaged over each role's probes.

    `roles` names the roles, in the order in which they are drawn.
    """
    frame, duels = report.to_dataframe(), []
    for role, label in roles.items():
        if len(rows := frame[frame["role"] == role]):
            before, after = (
                (float(rows[f"p_old_{when}"].mean()), float(rows[f"p_new_{when}"].mean()))
                for when in ("before", "after")
            )
            duels.append(Duel(label, f"{len(rows)} prompt{'s' if len(rows) > 1 else ''}", before, after))
    return duels_svg(report.labels[0], duels)


def _headline(report: Report) -> str:
    records = len({outcome.record for outcome in report.judged})
    headline = counted(records, "record")
    if model := report.provenance.get("model"):
        headline += f" on {model}"
    if report.complete:
        return headline
    waiting = f", {report.waiting} more edited and not judged" if report.waiting else ""
    return f"{headline}; stopped after {len(report.outcomes)} of {report.wanted}{waiting}"


def _notes(report: Report) -> list[str]:
    notes = [*_taken(report), *_written(report)]
    if skipped := report.skipped:
        first = skipped[0]
        more = f", and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        notes.append(f"Not edited and not counted: {first.record.name} ({first.label}): {first.error}{more}")
    return notes


def _written(report: Report) -> list[str]:
    """Say by which protocol the model wrote, and how far that disagrees with the probabilities."""
    readings = (*report.before, *report.after)
    if not readings or any(reading.written is None for reading in readings):
        return []
    table = report.disagreement()
    lines = []
    for label in report.labels:
        row: Any = table.loc[(label, "all")]
        forced, written = (tabular(float(row[f"{name}_only_after"]), True) for name in ("forced", "written"))
        lines.append(
            f"{label}: of {int(row['prompts'])} prompts after the edit, {forced} % are right by the probabilities "
            f"alone, {written} % by what is written alone"
        )
    protocol = report.provenance.get("protocol")
    if isinstance(protocol, Mapping):
        lines.append(
            f"Written: prompt {protocol['prompt']}, {protocol['decoding']} decoding up to the {protocol['stop']}, at "
            f"most {protocol['most_tokens']} tokens; right if it begins with the object"
        )
    return lines


def _taken(report: Report) -> list[str]:
    """Say for how many records the edits took, and of those where they did not which half failed and what to change."""
    lines = []
    for label in report.labels:
        measured = [(one.record, one.took) for one in report.judged if one.label == label and one.took is not None]
        failed = [(record, took) for record, took in measured if took.failed is not None]
        if len(measured) == 1 and not failed:
            record, took = measured[0]
            lines.append(f"{label}: took 1 of 1: p({record.fact.target}) {took.numbers}")
        elif measured:
            lines.append(f"{label}: took {len(measured) - len(failed)} of {len(measured)}")
        for record, took in failed[:_NAMED]:
            lines.append(f"Did not take: {record.name}: p({record.fact.target}) {took.numbers}. {took.advice}")
        if len(failed) > _NAMED:
            lines.append(f"And {len(failed) - _NAMED} more; report.taken() has them all.")
    return lines


def _rows(report: Report) -> list[tuple[str, list[str]]]:
    summary = report.summary()
    rows = []
    for name, metric in report.columns.items():
        if not metric.brief:  # `Report.summary` has them all
            continue
        numbers = {label: summary.loc[label, name] for label in report.labels if (label, name) in summary.index}
        if numbers:
            title = metric.title + (f" ({metric.symbol})" if metric.symbol else "")
            title += " (less is better)" if metric.better < 0 else ""
            rows.append((title, [_cell(numbers.get(label), metric.share) for label in report.labels]))
    return rows


def _cell(row: Any, share: bool) -> str:
    if row is None:
        return ""
    before, after = tabular(row["before"], share), tabular(row["after"], share)
    if math.isnan(row["after_low"]):
        return f"{before} → {after}"
    return f"{before} → {after} [{tabular(row['after_low'], share)}, {tabular(row['after_high'], share)}]"
