"""What a metric of edits is: of one prompt, of one record, or of others; and the columns that it gives to tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from factlens import typed
from factlens.arguments import a_text, function, one_of, optional, refuse
from factlens.errors import MetricError
from factlens.evaluation.checks import ROLE_NAMES, ROLES, Probe
from factlens.visible import visible

if TYPE_CHECKING:
    from factlens.evaluation.measuring import Measured
    from factlens.evaluation.metrics import Consistency
    from factlens.evaluation.records import Record
    from factlens.evaluation.scoring import Reading

SHARE = "%"
WRITTEN = "written"
AGGREGATIONS = ("mean", "median", "min", "max")


@dataclass(frozen=True)
class Metric:
    """What a number is called, and how to read it: a column of the tables.

    Attributes
    ----------
    name
        The name in tables: ``"paraphrase_success"``.
    symbol
        The published symbol where there is one: ``"PS"``.
    label
        In words, without the unit.
    better
        1 if more is better, -1 if less is.
    unit
        ``"%"`` for a share, which is shown in percent.
    brief
        Whether short tables have it.
    """

    name: str
    symbol: str
    label: str
    better: int = 1
    unit: str = SHARE
    brief: bool = True

    @property
    def share(self) -> bool:
        """Whether it is a share, to be shown in percent."""
        return self.unit == SHARE

    @property
    def title(self) -> str:
        """In words, with the unit."""
        return self.label if self.unit in ("", SHARE) else f"{self.label} ({self.unit})"


@dataclass(frozen=True)
class PromptMetric:
    """A metric of one prompt; it has a column for each role that prompts play.

    Parameters
    ----------
    name
        The name to ask for it by, also in files; with a role before it, the name of a column.
    function
        Takes a `Probe` and the `Reading` of it, and gives one finite number, or True or False. None for a metric that
        was read from a file, and is not registered here.
    label
        In words. Default: the name.
    unit
        ``"%"`` for numbers from 0 to 1 that are shown in percent.
    better
        1 if more is better, -1 if less is.
    aggregation
        What becomes of the prompts of one role in a record: their ``"mean"``, ``"median"``, ``"min"`` or ``"max"``. The
        number of a whole data set is always the mean over records.
    symbols
        Published symbols by role.
    brief
        Whether short tables have it.
    needs
        ``"written"`` if it looks at `Reading.written`, which `factlens.evaluate` then asks for; None if it does not.
    """

    name: str
    function: Callable[[Probe, Reading], float] | None = field(default=None, compare=False, repr=False)
    label: str = ""
    unit: str = ""
    better: int = 1
    aggregation: str = "mean"
    symbols: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    brief: bool = True
    needs: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.better, bool) or self.better not in (1, -1):
            refuse("better", self.better, "1 or -1")
        a_text("name", self.name)
        optional(function, "function", self.function)
        one_of("aggregation", self.aggregation, AGGREGATIONS)
        if self.needs is not None:
            one_of("needs", self.needs, (WRITTEN,))
        label = a_text("label", self.label, empty=True) or self.name
        object.__setattr__(self, "label", visible(label))
        object.__setattr__(self, "unit", visible(a_text("unit", self.unit, empty=True)))

    def columns(self) -> Iterator[Metric]:
        """Return the columns, in the order of `ROLES`."""
        for role in ROLES:
            label = f"{ROLE_NAMES[role]}: {self.label}"
            yield Metric(f"{role}_{self.name}", self.symbols.get(role, ""), label, self.better, self.unit, self.brief)

    def value(self, probe: Probe, reading: Reading) -> float | bool:
        """Return the number of one prompt.

        Raises
        ------
        MetricError
            If the function gives anything but a finite number.
        """
        assert self.function is not None  # what was read from a file has its numbers with it
        try:
            result: Any = self.function(probe, reading)
        except Exception as error:
            error.add_note(f"Raised by the metric {self.name!r} for the prompt {probe.prompt!r}.")
            raise
        try:
            number = math.nan if isinstance(result, str) else float(result)
        except (TypeError, ValueError, RuntimeError):
            number = math.nan
        if not abs(number) <= MOST:
            raise MetricError(
                f"The metric {self.name!r} gives {result!r:.60} for the prompt {probe.prompt!r}: it must give one "
                "finite number, or True or False."
            )
        return result if isinstance(result, bool) else number

    def values(self, record: Record, measured: Measured) -> Sequence[float | bool]:
        """Return the number of each prompt of a record; NaN where they are not known."""
        probes = record.checks.probes
        if self.name in measured.values:
            return measured.values[self.name]
        if self.function is None or (self.needs and any(reading.written is None for reading in measured.readings)):
            return [math.nan] * len(probes)
        return [self.value(probe, reading) for probe, reading in zip(probes, measured.readings, strict=True)]

    def numbers(self, record: Record, measured: Measured, references: References) -> dict[str, float]:
        """Return the columns' numbers for one record."""
        by_role: dict[str, list[float]] = {}
        for probe, value in zip(record.checks.probes, self.values(record, measured), strict=True):
            by_role.setdefault(probe.role, []).append(value)
        combine = getattr(np, self.aggregation)
        columns = {f"{role}_{self.name}": float(combine(values)) for role, values in by_role.items()}
        return {name: value for name, value in columns.items() if not (self.needs and math.isnan(value))}

    def described(self) -> dict[str, Any]:
        """Return everything but the function, as plain JSON; `read_prompt_metric` is its inverse."""
        return {name: getattr(self, name) for name in _FIELDS}


MOST = 1e300
"""Sums over as many records as there ever are stay finite."""
_FIELDS: dict[str, typed.Check] = {
    "name": typed.text,
    "label": typed.text,
    "unit": typed.text,
    "better": typed.whole(-1, 1),
    "aggregation": typed.one_of(*AGGREGATIONS),
}
_RECORD = typed.record(_FIELDS)


def read_prompt_metric(value: Any) -> PromptMetric:
    """Return the metric that a JSON record describes, without its function; raise ValueError if there is none."""
    return PromptMetric(**_RECORD(value))


@dataclass(frozen=True)
class RecordMetric:
    """A metric of a whole record, of what was measured of the model besides the prompts.

    Attributes
    ----------
    name, label, symbol, unit, better
        As of `Metric`.
    function
        Takes the record, what was measured, and the `References` of all records; NaN where there is nothing to tell.
    needs
        What `factlens.evaluate` has to ask for it besides the prompts: its argument ``"generate"``, ``"unrelated"`` or
        ``"texts"``; empty if nothing.
    """

    name: str
    function: Callable[[Record, Measured, References], float] = field(compare=False, repr=False)
    label: str
    needs: str = ""
    symbol: str = ""
    unit: str = ""
    better: int = 1

    def columns(self) -> Iterator[Metric]:
        """Return the column."""
        yield Metric(self.name, self.symbol, self.label, self.better, self.unit)

    def numbers(self, record: Record, measured: Measured, references: References) -> dict[str, float]:
        """Return the column's number for one record, if it has one."""
        value = self.function(record, measured, references)
        return {} if math.isnan(value) else {self.name: value}


@dataclass(frozen=True)
class CombinedMetric:
    """A metric of the means of others over records.

    Attributes
    ----------
    name, label, symbol
        As of `Metric`.
    function
        Takes the means of the columns `parts`.
    """

    name: str
    function: Callable[[Sequence[float]], float] = field(compare=False, repr=False)
    label: str
    parts: tuple[str, ...]
    symbol: str = ""

    def columns(self) -> Iterator[Metric]:
        """Return the column."""
        yield Metric(self.name, self.symbol, self.label)


AnyMetric = PromptMetric | RecordMetric | CombinedMetric


class References:
    """The references of all records of a report, which some metrics weigh each record's by."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)
        self._consistency: Consistency | None = None

    @property
    def consistency(self) -> Consistency:
        """What compares texts by them; made when it is first asked for, since it needs scikit-learn."""
        if self._consistency is None:
            from factlens.evaluation.metrics import Consistency

            self._consistency = Consistency(self._texts)
        return self._consistency


def columns_of(metrics: Iterable[AnyMetric]) -> dict[str, Metric]:
    """Return the columns of some metrics by name, in the order of tables: combined ones, by role, by record."""
    listed = [list(metric.columns()) for metric in metrics if isinstance(metric, PromptMetric)]
    by_role = [column for each in zip(*listed, strict=True) for column in each]
    others = {
        kind: [column for metric in metrics if isinstance(metric, kind) for column in metric.columns()]
        for kind in (CombinedMetric, RecordMetric)
    }
    columns = (*others[CombinedMetric], *by_role, *others[RecordMetric])
    return {column.name: column for column in columns}
