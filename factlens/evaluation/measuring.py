"""Measuring a model for one record: probes, generated text, drift elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from factlens.evaluation.checks import Checks
from factlens.evaluation.measures import PromptMetric
from factlens.evaluation.scoring import Reading, read
from factlens.evaluation.texts import generate, kl_divergence, next_logs, perplexity
from factlens.evaluation.written import write
from factlens.models import Model
from factlens.models.spellings import warn_of_spelling


@dataclass(frozen=True)
class Measured:
    """What was measured of a model for one record, before or after an edit.

    Attributes
    ----------
    readings
        One for each probe of the record's checks; each reading's options are the probe's old and new object, in that
        order.
    texts
        What the model wrote after the record's generation prompts.
    kl
        KL divergence of its predictions after unrelated prompts from those before, nats; NaN if none were asked.
    perplexity
        Of ordinary text; NaN if none was given.
    values
        The numbers of the user's own metrics by name, one for each probe.
    """

    readings: tuple[Reading, ...]
    texts: tuple[str, ...] = ()
    kl: float = math.nan
    perplexity: float = math.nan
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Asking:
    """What is asked besides the probes.

    Attributes
    ----------
    generate
        Whether the model continues the records' generation prompts.
    unrelated
        Prompts after which its predictions should not change.
    texts
        Ordinary text to read.
    seed
        Of generation.
    written
        Whether the model writes on after each probe's prompt, for the metrics that look at that.
    """

    generate: bool = True
    unrelated: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    seed: int = 0
    # What was judged before there was this has the same circumstances without it.
    written: bool = field(default=False, repr=False)


class Meter:
    """Measures a model; what it says before any edit is measured once and kept.

    `own` are the metrics whose numbers are kept with what the model said.
    """

    def __init__(self, model: Model, asking: Asking, own: Sequence[PromptMetric] = ()) -> None:
        self.model, self.asking, self.own = model, asking, own
        self._before: dict[Checks, Measured] = {}

    @cached_property
    def _logs(self) -> Tensor:
        return next_logs(self.model, self.asking.unrelated)

    @cached_property
    def _perplexity(self) -> float:
        return perplexity(self.model, self.asking.texts)

    def before(self, checks: Sequence[Checks]) -> None:
        """Measure the model as it is now, for each of `checks` that has not been measured yet."""
        for one in checks:
            if one not in self._before:
                self._warn_of_spelling(one)
                kl = 0.0 if self.asking.unrelated and len(self._logs) else math.nan
                self._before[one] = self._measured(one, kl, self._perplexity)

    def _warn_of_spelling(self, checks: Checks) -> None:
        """Warn where the model would spell the old object of the edited prompt differently."""
        for probe in checks.probes:
            if probe.role == "rewrite":
                warn_of_spelling(self.model, probe.prompt, probe.old, self.model.next_token(probe.prompt).log())

    def unedited(self, checks: Checks) -> Measured:
        """Return what `before` has measured."""
        return self._before[checks]

    def after(self, checks: Checks) -> Measured:
        """Measure the model as it is now, after an edit."""
        return next(self.after_all([checks]))

    def after_all(self, checks: Sequence[Checks]) -> Iterator[Measured]:
        """Measure the model as it is now, after edits that stay applied until all is measured.

        The drift elsewhere is measured once, before the first.
        """
        kl = kl_divergence(self._logs, next_logs(self.model, self.asking.unrelated)) if self.asking.unrelated else None
        perplexity_after = perplexity(self.model, self.asking.texts)
        for one in checks:
            yield self._measured(one, math.nan if kl is None else kl, perplexity_after)

    def _measured(self, checks: Checks, kl: float, text_perplexity: float) -> Measured:
        prompts = [probe.prompt for probe in checks.probes]
        readings = read(self.model, prompts, [(probe.old, probe.new) for probe in checks.probes])
        if self.asking.written:
            readings = [one._replace(written=t) for one, t in zip(readings, write(self.model, prompts), strict=True)]
        begun = checks.generation_prompts if self.asking.generate else ()
        written = generate(self.model, begun, seed=self.asking.seed)
        values = {
            metric.name: tuple(
                float(metric.value(probe, reading)) for probe, reading in zip(checks.probes, readings, strict=True)
            )
            for metric in self.own
            if self.asking.written or not metric.needs
        }
        return Measured(tuple(readings), tuple(written), kl, text_perplexity, values)
