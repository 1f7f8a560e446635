"""Reports on disk: one JSON file, for people and programs alike."""

from __future__ import annotations

import gzip
import math
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from factlens.bounded import LARGEST_TEXT
from factlens.editing.taking import read_took, took_to_json
from factlens.evaluation.checks import Checks, Probe
from factlens.evaluation.measures import MOST
from factlens.evaluation.measuring import Measured
from factlens.evaluation.metrics import read_metrics
from factlens.evaluation.records import Record
from factlens.evaluation.report import Outcome, Report
from factlens.evaluation.scoring import Reading
from factlens.facts import read_fact
from factlens.files import check_kind, check_sum, checksum, complete, fields_of, json_bytes, read_json, write_bytes
from factlens.spelling import read_wording
from factlens.typed import Check, flag, many, mapping, number_within, optional, plain, record, text, whole

FORMAT, SCHEMA = "factlens.report", 5
EARLIER = (4, 3, 2)
"""Schemas that are read: 4 is without what the model wrote, 3 also without the numbers of the user's own metrics, 2
also without whether edits took."""
BEFORE_TAKEN = 2


def write_report(report: Report, path: str | Path) -> Path:
    """Write a report; an existing file is replaced only once the new one is complete.

    Raises
    ------
    FileNotWritten
        If it cannot be written: no such folder, no permission, no space.
    """
    content = {
        "wanted": report.wanted,
        "provenance": dict(report.provenance),
        "outcomes": [outcome_to_json(outcome) for outcome in report.outcomes],
    }
    head = {"format": FORMAT, "schema": SCHEMA, "checksum": checksum(content)}
    data = json_bytes({**head, **content}, indent=1)
    if len(data) > LARGEST_TEXT:
        warnings.warn(
            f"The report has {len(data) / 2**20:,.0f} MB, more than are read back. Save parts of it as well, such as "
            "those of each label, and put them together with Report.joined.",
            stacklevel=3,
        )
    return write_bytes(path, gzip.compress(data) if Path(path).suffix == ".gz" else data)


def read_report(path: str | Path) -> Report:
    """Read a report.

    Raises
    ------
    FileFormatError
        If it is no such file, is damaged, or comes from another version's format.
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    """
    content = check_kind(path, read_json(path, "report"), FORMAT, SCHEMA, *EARLIER)
    schema, content = content["schema"], fields_of(content)
    check_sum(path, content)
    with complete(path, "report"):
        report = Report(**_reports(schema)(content))
        if len(report.outcomes) > report.wanted:
            raise ValueError(f"it has {len(report.outcomes)} outcomes of {report.wanted}")
        return report


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain data; NaN becomes null."""
    return {
        "label": outcome.label,
        "record": {
            "name": outcome.record.name,
            "fact": asdict(outcome.record.fact),
            "checks": asdict(outcome.record.checks),
        },
        "before": _measured(outcome.before),
        "after": None if outcome.after is None else _measured(outcome.after),
        "seconds": _number(outcome.seconds),
        "error": outcome.error,
        "took": None if outcome.took is None else took_to_json(outcome.took),
    }


def outcome_from_json(content: Any, schema: int = SCHEMA) -> Outcome:
    """Return what `outcome_to_json` was given, in this version or that of an earlier `schema`.

    Raises
    ------
    ValueError
        If something is missing, unknown, of the wrong type, or does not fit the rest.
    """
    outcome = Outcome(**(_EARLIER_OUTCOME if schema == BEFORE_TAKEN else _OUTCOME)(content))
    if (outcome.after is None) != (outcome.error is not None):
        raise ValueError(f"{outcome.record.name} has neither an edit nor a reason why, or both")
    if outcome.after is None and outcome.took is not None:
        raise ValueError(f"{outcome.record.name} has no edit, and says whether it took")
    checks = outcome.record.checks
    for measured in (outcome.before, outcome.after):
        if measured is not None and len(measured.readings) != len(checks.probes):
            raise ValueError(f"{len(measured.readings)} readings for {len(checks.probes)} probes")
        if measured is not None and any(len(each) != len(checks.probes) for each in measured.values.values()):
            raise ValueError("it has numbers of other probes")
        if measured is not None and len(measured.texts) not in (0, len(checks.generation_prompts)):
            raise ValueError(f"{len(measured.texts)} texts for {len(checks.generation_prompts)} beginnings")
    return outcome


def _measured(measured: Measured) -> dict[str, Any]:
    return {
        "readings": [reading._asdict() for reading in measured.readings],
        "texts": list(measured.texts),
        "kl": _number(measured.kl),
        "perplexity": _number(measured.perplexity),
        "values": {name: list(each) for name, each in measured.values.items()},
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else value


# What a file must hold, from the inside out.
_unknown = number_within(-MOST, MOST, unknown=True)
# A geometric mean of probabilities may come out a little larger than one.
_pair = many(number_within(0, 1.001), least=2, most=2)
_READING = record(
    {
        "probabilities": _pair,
        "top": text,
        "leads": many(flag, least=2, most=2),
        "token_accuracy": _pair,
        "written": optional(text),
    },
    later={"written": None},
)
_MEASURED = record(
    {
        "readings": many(lambda value: Reading(**_READING(value))),
        "texts": many(text),
        "kl": _unknown,
        "perplexity": _unknown,
        "values": mapping(many(number_within(-MOST, MOST))),
    },
    later={"values": {}},
)
_PROBE = record({"role": text, "prompt": text, "old": read_wording, "new": read_wording})
_CHECKS = record(
    {"probes": many(lambda value: Probe(**_PROBE(value))), "generation_prompts": many(text), "references": many(text)}
)
_RECORD = record({"name": text, "fact": read_fact, "checks": lambda value: Checks(**_CHECKS(value))})
_EARLIER_FIELDS: dict[str, Check] = {
    "label": text,
    "record": lambda value: Record(**_RECORD(value)),
    "before": lambda value: Measured(**_MEASURED(value)),
    "after": optional(lambda value: Measured(**_MEASURED(value))),
    "seconds": _unknown,
    "error": optional(text),
}
_EARLIER_OUTCOME = record(_EARLIER_FIELDS)
_OUTCOME = record({**_EARLIER_FIELDS, "took": optional(read_took)})


def _provenance(value: Any) -> dict[str, Any]:
    provenance: dict[str, Any] = mapping(plain())(value)
    if "metrics" in provenance:
        read_metrics(many(plain())(provenance["metrics"]))
    if "asked" in provenance:
        many(mapping(plain()))(provenance["asked"])
    # Where reports are joined the settings of their labels are put together.
    return provenance | (
        {"settings": mapping(mapping(plain()))(provenance["settings"])} if "settings" in provenance else {}
    )


_HEAD: dict[str, Check] = {"wanted": whole(), "provenance": _provenance}


def _reports(schema: int) -> Check:
    return record({**_HEAD, "outcomes": many(lambda value: outcome_from_json(value, schema))})
