"""`Report`: what edits did, record by record and over all of them, before and after."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from factlens.arguments import a_path, a_text, instance, items, optional, some_texts
from factlens.drawing.exporting import Exported, no_part
from factlens.drawing.look import LOOK, Look, LookOptions
from factlens.drawing.tables import Table
from factlens.editing.taking import Took
from factlens.errors import FactlensError, WrongModel
from factlens.evaluation.checks import ROLES, Probe
from factlens.evaluation.intervals import Interval, interval
from factlens.evaluation.measures import AnyMetric, CombinedMetric, Metric, PromptMetric, References, columns_of
from factlens.evaluation.measuring import Measured
from factlens.evaluation.metrics import METRICS, metric_record, read_metrics
from factlens.evaluation.records import Record
from factlens.evaluation.scoring import Reading
from factlens.models.belonging import Weights, check_belongs
from factlens.signatures import taking

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WHEN = ("before", "after")
_REPORTS = "factlens.Report objects, in a list or a mapping from labels"


@dataclass(frozen=True)
class Outcome:
    """What an edit did to one record.

    Attributes
    ----------
    label
        Which edit or method it was: ``"rome"``.
    record
        The fact and what was asked.
    before, after
        What the model said; `after` is None where there was no edit.
    seconds
        What the edit took; of several facts edited at once, each one's share.
    error
        Why there was no edit.
    took
        Whether the edit took for this fact, as measured when it was made, before later edits came on top; None where
        that is not known.
    """

    label: str
    record: Record
    before: Measured
    after: Measured | None
    seconds: float = math.nan
    error: str | None = None
    took: Took | None = None


@dataclass(frozen=True)
class Report(Exported):
    """Records judged before and after edits.

    Attributes
    ----------
    outcomes
        One for each record and label, in the order in which they were judged.
    wanted
        How many outcomes there would have been, had it not been stopped.
    provenance
        Where the numbers come from: name and ``fingerprint`` of the model, the ``edits`` and ``edit_ids`` that were
        applied before and after (in words and by content), the settings of each label (of an edit that was judged as it
        is, the id), the ``recipes``, which make the edits of each label again (``evaluate(..., method=recipes)``), the
        ``metrics`` (names, and the description of your own), what was ``asked`` besides the checks, the ``protocol`` by
        which the model wrote (if it did), versions. Where joined reports differ in their weights, ``weights`` has them
        by label.
    waiting
        How many records have been edited and not judged yet; only while edits that are judged together are made.
    """

    outcomes: tuple[Outcome, ...]
    wanted: int
    provenance: Mapping[str, Any] = field(default_factory=dict)
    waiting: int = 0

    @property
    def complete(self) -> bool:
        """Whether every record was judged."""
        return len(self.outcomes) == self.wanted

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in order."""
        return tuple(dict.fromkeys(outcome.label for outcome in self.outcomes))

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """Records without an edit; each says why in `error`. They count in no number."""
        return tuple(outcome for outcome in self.outcomes if outcome.after is None)

    @property
    def judged(self) -> tuple[Outcome, ...]:
        """Records with an edit."""
        return tuple(outcome for outcome in self.outcomes if outcome.after is not None)

    @cached_property
    def metrics(self) -> tuple[AnyMetric, ...]:
        """The metrics that were asked for; your own that were read from a file are without their functions."""
        return read_metrics(self.provenance["metrics"]) if "metrics" in self.provenance else tuple(METRICS.values())

    @cached_property
    def columns(self) -> Mapping[str, Metric]:
        """The columns that they give to the tables, by name and in order; those without a number are left out there."""
        return columns_of(self.metrics)

    # The probes one after the other ------------------------------------------------------------------------------

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Every probe that was asked."""
        return tuple(probe for outcome in self.judged for probe in outcome.record.checks.probes)

    @property
    def before(self) -> tuple[Reading, ...]:
        """What the model said before, for each of `probes`."""
        return tuple(reading for outcome in self.judged for reading in outcome.before.readings)

    @property
    def after(self) -> tuple[Reading, ...]:
        """What the model said after, for each of `probes`."""
        return tuple(reading for outcome in self.judged if outcome.after for reading in outcome.after.readings)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per probe.

        Columns: label, record, role, prompt, old, new; then, each before and after: the probabilities of old and new
        (geometric mean over tokens), the most probable next token, the text that the model writes by itself (if that
        was asked), and the measures of `factlens.evaluation.metrics`.
        """
        return self._by_probe([metric for metric in self.metrics if isinstance(metric, PromptMetric)])

    def _by_probe(self, metrics: Sequence[AnyMetric]) -> pd.DataFrame:
        import pandas as pd

        rows = []
        for outcome in self.judged:
            values = {
                f"{metric.name}_{when}": metric.values(outcome.record, getattr(outcome, when))
                for metric in metrics
                if isinstance(metric, PromptMetric)
                for when in WHEN
            }
            for i, probe in enumerate(outcome.record.checks.probes):
                row: dict[str, object] = {"label": outcome.label, "record": outcome.record.name, "role": probe.role}
                row |= {"prompt": probe.prompt, "old": str(probe.old), "new": str(probe.new)}
                for when in WHEN:
                    measured: Measured = getattr(outcome, when)
                    reading = measured.readings[i]
                    row |= {f"p_{x}_{when}": p for x, p in zip(("old", "new"), reading.probabilities, strict=True)}
                    row[f"top_{when}"] = reading.top
                    if reading.written is not None:
                        row[f"text_{when}"] = reading.written
                    row |= {name: each[i] for name, each in values.items() if name.endswith(f"_{when}")}
                rows.append(row)
        return pd.DataFrame(rows)

    # The numbers -------------------------------------------------------------------------------------------------

    def records(self) -> pd.DataFrame:
        """Return one row per record and label, with every metric before and after.

        The index is (label, record); the columns are (metric, ``"before"`` or ``"after"``). A metric that no record
        asks for is left out.
        """
        import pandas as pd

        table = {
            (name, when): self._numbers[when][name]
            for name in self.columns
            for when in WHEN
            if name in self._numbers[when]
        }
        index = pd.MultiIndex.from_tuples(
            [(outcome.label, outcome.record.name) for outcome in self.judged], names=["label", "record"]
        )
        frame = pd.DataFrame(table, index=index)
        frame.columns = pd.MultiIndex.from_tuples(list(table), names=["metric", "when"])
        return frame

    def summary(self) -> pd.DataFrame:
        """Return one row per label and metric: the mean over records before and after, with 95 % intervals.

        The index is (label, metric). ``better`` is 1 where more is better, -1 where less is; numbers whose ``unit`` is
        ``"%"`` are shares, from 0 to 1. Intervals are bootstrap percentiles over records, 2,000 times with a fixed
        seed; NaN for fewer than two records. ``records`` says how many records have the metric.
        """
        import pandas as pd

        rows: dict[tuple[str, str], dict[str, object]] = {}
        for label in self.labels:
            of_label = np.array([outcome.label == label for outcome in self.judged], dtype=bool)
            for name, column in self.columns.items():
                intervals = {when: self._interval(name, when, of_label) for when in WHEN}
                if all(math.isnan(one.mean) for one in intervals.values()):
                    continue
                row: dict[str, object] = {"symbol": column.symbol, "title": column.title}
                row |= {"unit": column.unit, "better": column.better}
                for when, one in intervals.items():
                    row |= {when: one.mean, f"{when}_low": one.low, f"{when}_high": one.high}
                rows[label, name] = row | {"records": intervals["after"].records}
        frame = pd.DataFrame.from_dict(rows, orient="index")
        frame.index = pd.MultiIndex.from_tuples(list(rows), names=["label", "metric"])
        return frame

    def by_role(self) -> pd.DataFrame:
        """Return one row per role: how many probes, and the share of them where the wanted object beats and leads."""
        frame = self._by_probe([METRICS["success"], METRICS["leads"]])
        columns = ["success_before", "success_after", "leads_before", "leads_after"]
        table = frame.groupby("role")[columns].mean()
        table.insert(0, "probes", frame.groupby("role").size())
        return table.reindex([role for role in ROLES if role in table.index])

    def disagreement(self) -> pd.DataFrame:
        """Return how far teacher-forced probabilities and what the model writes by itself disagree.

        Teacher-forced, the answer to a prompt is yes where the wanted object is more probable than the other
        (*success*); written, where the model's own text begins with it (*written*).

        Returns
        -------
        DataFrame
            One row per label and role, and one for ``"all"`` roles, which are the index: how many ``prompts``; then,
            each before and after, the share of them that the probabilities alone call right (``forced_only``) and the
            share that the text alone does (``written_only``).

        Raises
        ------
        FactlensError
            If the model was not asked to write: ``factlens.evaluate(..., written=True)``.
        """
        frame = self._by_probe([METRICS["success"], METRICS["written"]])
        if frame.empty or frame[["written_before", "written_after"]].isna().any(axis=None):
            raise FactlensError("What the model writes was not asked: factlens.evaluate(..., written=True).")
        for when in WHEN:
            forced, written = frame[f"success_{when}"].astype(bool), frame[f"written_{when}"].astype(bool)
            frame[f"forced_only_{when}"], frame[f"written_only_{when}"] = forced & ~written, written & ~forced
        columns = [f"{name}_only_{when}" for when in WHEN for name in ("forced", "written")]
        rows = {}
        for label in self.labels:
            ours = frame[frame["label"] == label]
            for role in (*ROLES, "all"):
                part = ours if role == "all" else ours[ours["role"] == role]
                if len(part):
                    rows[label, role] = {"prompts": len(part), **part[columns].mean().to_dict()}
        table = type(frame).from_dict(rows, orient="index")
        table.index = table.index.set_names(["label", "role"])
        return table

    def taken(self) -> pd.DataFrame:
        """Return one row per record and label of which it is known whether the edit took.

        The index is (label, record); the columns: target; the probability of the whole target after the bare prompt
        ``before``, ``with_value`` (NaN for fine-tuning) and ``after``; ``took``; ``failed`` (``"value"``
        or ``"weights"``, empty if it took); ``advice``. See `factlens.editing.Took`.
        """
        import pandas as pd

        columns = ["target", "before", "with_value", "after", "took", "failed", "advice"]
        rows: dict[tuple[str, str], list[object]] = {}
        for outcome in self.judged:
            if (took := outcome.took) is not None:
                between = math.nan if took.with_value is None else took.with_value
                values = [took.before, between, took.after, took.failed is None, took.failed or "", took.advice]
                rows[outcome.label, outcome.record.name] = [outcome.record.fact.target, *values]
        frame = pd.DataFrame(list(rows.values()), columns=columns)
        frame.index = pd.MultiIndex.from_tuples(list(rows), names=["label", "record"])
        return frame

    @cached_property
    def _numbers(self) -> dict[str, dict[str, np.ndarray]]:
        """Every metric of every judged record, before and after."""
        references = References(text for outcome in self.judged for text in outcome.record.checks.references)
        # Of what is combined the parts are needed, too, and those are of the table.
        parts = {part for metric in self.metrics if isinstance(metric, CombinedMetric) for part in metric.parts}
        whole = {metric.name: metric for metric in self.metrics}
        whole |= {name: metric for name, metric in METRICS.items() if {one.name for one in metric.columns()} & parts}
        numbers: dict[str, dict[str, np.ndarray]] = {}
        for when in WHEN:
            rows: list[dict[str, float]] = [{} for _ in self.judged]
            for metric in whole.values():
                if not isinstance(metric, CombinedMetric):
                    for row, outcome in zip(rows, self.judged, strict=True):
                        row |= metric.numbers(outcome.record, getattr(outcome, when), references)
            names = dict.fromkeys(name for row in rows for name in row)
            numbers[when] = {name: np.array([row.get(name, math.nan) for row in rows]) for name in names}
        return numbers

    def _interval(self, name: str, when: str, of_label: np.ndarray) -> Interval:
        numbers = self._numbers[when]
        combined = next((one for one in self.metrics if isinstance(one, CombinedMetric) and one.name == name), None)
        if combined is not None:
            parts = [numbers[part][of_label] for part in combined.parts if part in numbers]
            return interval(parts, combined.function) if len(parts) == len(combined.parts) else Interval.unknown()
        return interval([numbers[name][of_label]]) if name in numbers else Interval.unknown()

    # Together, on disk, on screen --------------------------------------------------------------------------------

    @classmethod
    def joined(cls, reports: Mapping[str, Report] | Sequence[Report]) -> Self:
        """Put reports side by side, such as those of several methods, layers or edits.

        Parameters
        ----------
        reports
            The reports; a mapping gives them new labels, for reports of one label each.

        Raises
        ------
        WrongModel
            If two of them judge different weights, or different edits, under the same label: their records would be
            averaged. Under labels of their own they stand side by side.
        FactlensError
            If two of them have judged the same record under the same label, or have different metrics of one name.
        """
        each = reports.values() if isinstance(reports, Mapping) else items("reports", reports, _REPORTS, "[a, b]")
        for i, report in enumerate(each):
            instance(f"reports[{i}]", report, Report, "a factlens.Report")
        if isinstance(reports, Mapping):
            reports = [report.relabelled(label) for label, report in reports.items()]
        first: dict[str, Report] = {}
        for report in reports:
            for label in report.labels:
                _check_together(first.setdefault(label, report), report, label)
        outcomes = tuple(outcome for report in reports for outcome in report.outcomes)
        seen = set()
        for outcome in outcomes:
            if (outcome.label, outcome.record) in seen:
                raise FactlensError(
                    f"Two reports judge {outcome.record.name} under the label {outcome.label!r}. "
                    "Give them labels: Report.joined({'first': a, 'second': b})."
                )
            seen.add((outcome.label, outcome.record))
        metrics = _joined_metrics(reports)
        provenance: dict[str, Any] = {"metrics": metrics} if any("metrics" in one.provenance for one in reports) else {}
        weights = {label: _known_weights(report, label) for report in reports for label in report.labels}
        if any(one != other for one in weights.values() for other in weights.values()):
            provenance["weights"] = weights
        for report in reports:
            for name, value in report.provenance.items():
                if name in ("weights", "metrics"):
                    continue
                if name in ("settings", "recipes"):
                    provenance[name] = {**provenance.get(name, {}), **value}
                elif name == "asked":
                    asked = provenance.setdefault(name, [])
                    asked += [one for one in value if one not in asked]
                elif provenance.setdefault(name, value) != value:
                    provenance[name] = f"{_in_words(provenance[name])}; {_in_words(value)}"
        return cls(outcomes, sum(report.wanted for report in reports), provenance)

    def relabelled(self, label: str) -> Self:
        """Return the report under another label.

        Raises
        ------
        FactlensError
            If it has several labels.
        """
        label = a_text("label", label, example="'layer 3'")
        if len(self.labels) > 1:
            raise FactlensError(f"The report has several labels ({', '.join(self.labels)}); one name would mix them.")
        provenance = {"settings": {"": {}}, **self.provenance}
        for name in ("settings", "recipes", "weights"):
            if by_label := provenance.get(name):
                provenance[name] = {label: next(iter(by_label.values()))}
        return replace(
            self, outcomes=tuple(replace(outcome, label=label) for outcome in self.outcomes), provenance=provenance
        )

    def save(self, path: str | Path) -> Path:
        """Write everything into one JSON file, compressed if its name ends in ``.gz``."""
        from factlens.evaluation.report_files import write_report

        return write_report(self, a_path("path", path))

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read a file that `save` has written.

        Raises
        ------
        FileFormatError
            If it is no such file, or is damaged.
        """
        from factlens.evaluation.report_files import read_report

        return read_report(a_path("path", path))

    @taking(LOOK)
    def plot(self, metrics: Sequence[str] | None = None, **look: Unpack[LookOptions]) -> Figure:
        """Draw the metrics with their intervals, labels side by side; needs ``factlens[plot]``.

        Parameters
        ----------
        metrics
            Which ones. Default: the shares that every record's checks allow, *leads* and *success*.
        **look
            Size, letters and colours for a paper; see `factlens.drawing.look.Look`.
        """
        from factlens.evaluation.plotting import plot_report

        metrics = optional(some_texts, "metrics", metrics, example="['score', 'rewrite_success']")
        return plot_report(self, metrics, Look.of(look))

    def caption(self) -> str:
        """Return what a figure or a table should say below itself: model, methods with layers and settings, records."""
        from factlens.evaluation.captions import report_caption

        return report_caption(self)

    def _frame(self) -> pd.DataFrame:
        return self.summary().reset_index()

    def _table(self, part: str | None) -> Table:
        from factlens.evaluation.showing import as_table

        no_part(part)
        return as_table(self)

    def __repr__(self) -> str:
        from factlens.evaluation.showing import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from factlens.evaluation.showing import as_html

        return as_html(self)


def _joined_metrics(reports: Iterable[Report]) -> list[str | dict[str, Any]]:
    metrics: dict[str, AnyMetric] = {}
    for report in reports:
        for metric in report.metrics:
            if metrics.setdefault(metric.name, metric) != metric:
                raise FactlensError(
                    f"Two reports have different metrics {metric.name!r}; judge again under another name."
                )
    return [metric_record(metric) for metric in metrics.values()]


def _check_together(first: Report, other: Report, label: str) -> None:
    """Raise `WrongModel` unless what two reports have under one label was judged on the same weights."""
    ours, theirs = _weights_of(first, label), _weights_of(other, label)
    try:
        check_belongs(
            ours,
            f"A report of {label!r}",
            name=theirs.name,
            fingerprint=theirs.fingerprint,
            edit_ids=theirs.edit_ids,
            labels=theirs.labels,
            other="another report of that label",
        )
    except WrongModel as error:
        raise WrongModel(f"{error} Or give them labels: Report.joined({{'first': a, 'second': b}}).") from None


def _weights_of(report: Report, label: str) -> Weights:
    """Return what was judged under a label: the base, the edits that were there anyway, and the edit, if it was one."""
    weights = _known_weights(report, label)
    made = report.provenance.get("settings", {}).get(label, {}).get("edit")
    return Weights(
        weights["model"],
        weights["fingerprint"],
        (*weights["edit_ids"], *([made] if made else [])),
        (*weights["edits"], *([label] if made else [])),
    )


def _known_weights(report: Report, label: str) -> dict[str, Any]:
    """Return what the provenance says of the weights under a label; a report made by hand says nothing."""
    recorded = report.provenance.get("weights", {}).get(label, report.provenance)
    nothing: dict[str, Any] = {"model": None, "fingerprint": "unknown", "edits": [], "edit_ids": []}
    return {name: recorded.get(name, otherwise) for name, otherwise in nothing.items()}


def _in_words(value: object) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
