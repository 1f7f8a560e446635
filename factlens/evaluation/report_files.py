"""Reports on disk: one JSON file, for people and programs alike."""

from __future__ import annotations

import gzip
import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from factlens.errors import FactlensError, FileFormatError
from factlens.evaluation.checks import Checks, Probe
from factlens.evaluation.measuring import Measured
from factlens.evaluation.records import Record
from factlens.evaluation.report import Outcome, Report
from factlens.evaluation.scoring import Reading
from factlens.facts import Fact

FORMAT, SCHEMA = "factlens.report", 1


def write_report(report: Report, path: str | Path) -> Path:
    """Write a report; an existing file is replaced only once the new one is complete."""
    path = Path(path)
    content = {
        "format": FORMAT,
        "schema": SCHEMA,
        "wanted": report.wanted,
        "provenance": dict(report.provenance),
        "outcomes": [outcome_to_json(outcome) for outcome in report.outcomes],
    }
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1).encode()
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        unfinished.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def read_report(path: str | Path) -> Report:
    """Read a report.

    Raises
    ------
    FileFormatError
        If it is no such file, or is damaged.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        content = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise FileFormatError(f"{path} is not a report of factlens.")
        if content["schema"] != SCHEMA:
            raise FileFormatError(f"{path} has schema {content['schema']!r}; this version of factlens reads {SCHEMA}.")
        outcomes = tuple(outcome_from_json(one) for one in content["outcomes"])
        return Report(outcomes, int(content["wanted"]), dict(content["provenance"]))
    except FileFormatError:
        raise
    except (FactlensError, ValueError, KeyError, TypeError, AttributeError, EOFError, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{path} is damaged or not a report of factlens: {error!r}") from error


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
    }


def outcome_from_json(content: Mapping[str, Any]) -> Outcome:
    """Return what `outcome_to_json` was given.

    Raises
    ------
    ValueError, KeyError, TypeError
        If something is missing or of the wrong type.
    """
    record = content["record"]
    checks = Checks(
        tuple(Probe(**{name: _text(text) for name, text in probe.items()}) for probe in record["checks"]["probes"]),
        _texts(record["checks"]["generation_prompts"]),
        _texts(record["checks"]["references"]),
    )
    after = content["after"]
    outcome = Outcome(
        label=_text(content["label"]),
        record=Record(Fact(**record["fact"]), checks, _text(record["name"])),
        before=_from_measured(content["before"], checks),
        after=None if after is None else _from_measured(after, checks),
        seconds=_float(content["seconds"]),
        error=None if content["error"] is None else _text(content["error"]),
    )
    if (outcome.after is None) != (outcome.error is not None):
        raise ValueError(f"{outcome.record.name} has neither an edit nor a reason why, or both")
    return outcome


def _measured(measured: Measured) -> dict[str, Any]:
    return {
        "readings": [reading._asdict() for reading in measured.readings],
        "texts": list(measured.texts),
        "kl": _number(measured.kl),
        "perplexity": _number(measured.perplexity),
    }


def _from_measured(content: Mapping[str, Any], checks: Checks) -> Measured:
    readings = tuple(
        Reading(
            probabilities=_pair(reading["probabilities"]),
            top=_text(reading["top"]),
            leads=(bool(reading["leads"][0]), bool(reading["leads"][1])),
            token_accuracy=_pair(reading["token_accuracy"]),
        )
        for reading in content["readings"]
    )
    if len(readings) != len(checks.probes):
        raise ValueError(f"{len(readings)} readings for {len(checks.probes)} probes")
    return Measured(readings, _texts(content["texts"]), _float(content["kl"]), _float(content["perplexity"]))


def _pair(values: Any) -> tuple[float, float]:
    first, second = values
    return _float(first), _float(second)


def _number(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
        raise TypeError(f"{value!r} is no number")
    return math.nan if value is None else float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is no list")
    return tuple(_text(value) for value in values)
