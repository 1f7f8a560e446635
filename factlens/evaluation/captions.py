"""Captions of reports: which model, which methods with which layers and settings, how many records, how judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from factlens import __version__
from factlens.drawing.numbers import counted
from factlens.visible import as_label, isolated, line

if TYPE_CHECKING:
    from factlens.evaluation.report import Report

_LISTED = 12
"""Settings of a method that are named."""
# Told apart from the settings, or told elsewhere.
_OWN = ("method", "layers", "layer", "seed", "edit")


def report_caption(report: Report) -> str:
    """Return the caption of a report, on one line."""
    about = report.provenance
    records = {outcome.record for outcome in report.judged}
    roles: dict[str, int] = {}
    for record in records:
        for probe in record.checks.probes:
            roles[probe.role] = roles.get(probe.role, 0) + 1
    asked = ", ".join(f"{count} {role}" for role, count in roles.items())
    fingerprint = str(about.get("fingerprint", ""))[:8]
    model = f"{about.get('model', 'a model')}{f' ({fingerprint})' if fingerprint else ''}"
    parts = [
        f"{isolated(model)}: edits judged on {counted(len(records), 'record')}, before and after; prompts by role: "
        f"{asked}.",
        *(f"{isolated(label)}: {_made(report, label)}." for label in report.labels),
        *([f"Edits in force before: {', '.join(map(as_label, about['edits']))}."] if about.get("edits") else []),
        *([f"{counted(len(report.skipped), 'record')} not edited and not counted."] if report.skipped else []),
        *([] if report.complete else [f"Stopped after {len(report.outcomes)} of {report.wanted}."]),
        *_written(about.get("protocol")),
        "Means over records, shares in percent; intervals are 95 %, bootstrap over records."
        if len(records) > 1
        else "Shares in percent; one record gives no interval.",
        f"factlens {about.get('factlens', __version__)}.",
    ]
    return line(" ".join(parts))


def _made(report: Report, label: str) -> str:
    """Say how the edits of a label were made: the method, the layers, the seed, and the settings."""
    settings: Mapping[str, Any] = report.provenance.get("settings", {}).get(label, {})
    recipe: Mapping[str, Any] = report.provenance.get("recipes", {}).get(label, {})
    all_settings = {**settings, **recipe}
    parts = []
    if method := all_settings.get("method"):
        parts.append(f"method {as_label(str(method))}")
    layers = all_settings.get("layers", all_settings.get("layer"))
    if layers is not None:
        numbers = layers if isinstance(layers, list | tuple) else [layers]
        parts.append(f"layer{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}")
    if all_settings.get("seed") is not None:
        parts.append(f"seed {all_settings['seed']}")
    if all_settings.get("edit"):
        parts.append(f"edit {as_label(str(all_settings['edit']))[:8]}")
    others = [
        f"{name} {_brief(value)}" for name, value in all_settings.items() if name not in _OWN and value is not None
    ]
    more = f" and {len(others) - _LISTED} more settings" if len(others) > _LISTED else ""
    if way := report.provenance.get("way"):
        parts.append(f"{as_label(str(way))} edits")
    return ", ".join([*parts, *others[:_LISTED]]) + more or "settings not recorded"


def _brief(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else as_label(str(value))[:60]


def _written(protocol: object) -> list[str]:
    if not isinstance(protocol, Mapping):
        return []
    return [
        f"Written text: prompt {protocol.get('prompt')}, {protocol.get('decoding')} decoding up to the "
        f"{protocol.get('stop')}, at most {protocol.get('most_tokens')} tokens."
    ]
