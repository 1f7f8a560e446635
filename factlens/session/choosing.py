"""How traces are made: the settings of a lens, which the next trace takes."""

from __future__ import annotations

from typing import Any

import traitlets as t

from factlens.errors import FactError
from factlens.session.following import Following
from factlens.tracing.metrics import METRICS, TraceMetric
from factlens.tracing.options import DEFAULTS, OPTIONS, checked_option


class Setting(t.TraitType[Any, Any]):
    """An option of a trace as a trait; None is looked at like every other value."""

    def __init__(self, name: str) -> None:
        super().__init__(DEFAULTS[name], help=OPTIONS[name].meaning)


class Settings(t.HasTraits):
    """The options of a trace, as traits of the same names."""

    kinds = Setting("kinds")
    corruption = Setting("corruption")
    samples = Setting("samples")
    seed = Setting("seed")
    window = Setting("window")
    window_convention = Setting("window_convention")
    metric = Setting("metric")
    answer = Setting("answer")
    contrast = Setting("contrast")
    estimate = Setting("estimate")
    memory = Setting("memory")


SETTINGS = tuple(DEFAULTS)
_BELONG_TO = {"corruption": ("samples", "seed"), "metric": ("contrast",)}
"""Settings whose fields come and go with the value of another."""


class Choosing(Settings, Following):
    """The settings of the next trace.

    Attributes
    ----------
    kinds, corruption, samples, seed, window, window_convention, metric, answer, contrast, estimate, memory
        As `factlens.stream` takes them. What makes no sense raises an `ArgumentError` and changes nothing.
    refused
        What the page asked for and could not have, by the name of its field: ``{"setting", "value", "text"}``, where
        `text` says why. The setting is as it was.
    """

    refused = t.Dict()

    @property
    def measured(self) -> TraceMetric:
        """The metric."""
        metric: str | TraceMetric = self.metric
        return METRICS[metric] if isinstance(metric, str) else metric

    @property
    def options(self) -> dict[str, Any]:
        """The settings as a trace takes them; a contrast only where the metric compares with one."""
        options = {name: getattr(self, name) for name in SETTINGS}
        if self.measured.contrasted is False:
            options["contrast"] = None
        return options

    def refuse(self, field: str, setting: str, value: object, why: str) -> None:
        """Take note that the page asked for something that cannot be."""
        self.refused = {**self.refused, field: {"setting": setting, "value": value, "text": why}}

    def accept(self, setting: str) -> None:
        """Forget what was refused of a setting, whose value is there now."""
        settled = {setting, *_BELONG_TO.get(setting, ())}
        self.refused = {name: entry for name, entry in self.refused.items() if entry["setting"] not in settled}

    def check_settings(self) -> None:
        """Raise `FactError` if a field of the page holds what was refused: no trace is made in its place."""
        if self.refused:
            raise FactError(f"A setting cannot be used. {' '.join(entry['text'] for entry in self.refused.values())}")

    def reset_settings(self) -> None:
        """Make all settings those of a new lens."""
        with self.gate, self.hold_trait_notifications():
            self.check_open()
            self.refused = {}
            for name, default in DEFAULTS.items():
                setattr(self, name, default)

    @t.observe(*SETTINGS)
    def _accepted(self, change: Any) -> None:
        self.accept(change["name"])

    @t.validate(*SETTINGS)
    def _check_setting(self, proposal: Any) -> Any:
        return checked_option(self.model, proposal["trait"].name, proposal["value"])
