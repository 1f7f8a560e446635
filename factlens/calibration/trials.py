"""`Trial`: what a method did at some layers with some settings, record by record; `Bench` makes them.

The value v* (z) of a fact depends on the fact, the layer, where it is put in, and the settings of its optimisation, but
not on C, λ, a ridge or shrinkage. It is what takes the time, so it is optimised once and shared by all trials.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from factlens.calibration.known import digest
from factlens.editing.batches import contexts_of, values_of
from factlens.editing.hparams import Hparams, ValueHparams
from factlens.editing.methods import METHODS, Problem
from factlens.editing.prompts import Context
from factlens.editing.values import Values
from factlens.errors import NumericalError
from factlens.evaluation.intervals import Interval, interval
from factlens.evaluation.metrics import harmonic_mean, magnitude, success
from factlens.evaluation.records import Record
from factlens.evaluation.scoring import Reading, read
from factlens.models import Model
from factlens.models.interrupts import interruption_point
from factlens.moments import SecondMoment

ROLES = ("rewrite", "paraphrase", "neighbour")
"""What S is the harmonic mean over: efficacy, paraphrases, neighbourhood."""
_QUICK = 1
"""So many prefixes of each length, and continuations of the subject, are enough to compare settings."""


LEAST = 3
"""With fewer candidates judged, nothing is said of a method: so many are, unless the time for it is over."""
QUICKER = ("contexts", "keep_samples", "stop_loss")
"""The settings that are others where candidates are compared; see `Candidate.quick`."""
_ENOUGH = 0.3
"""The loss at which a value is good enough to compare settings: the target has about three quarters of the probability.
Published settings go on until 0.05, which takes two to three times as many steps."""


@dataclass(frozen=True)
class Candidate:
    """A method, the layers it edits, and its settings."""

    method: str
    layers: tuple[int, ...]
    hparams: Hparams

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting, as JSON has it."""
        plainly: dict[str, Any] = json.loads(json.dumps(asdict(self.hparams)))
        return plainly

    def quick(self) -> Candidate:
        """Return the same for comparisons, several times as fast: with fewer prefixes, continuations and steps."""
        if not isinstance(self.hparams, ValueHparams):
            return self
        fewer = tuple((min(count, _QUICK), tokens) for count, tokens in self.hparams.contexts)
        written = min(self.hparams.keep_samples, _QUICK)
        enough = max(self.hparams.stop_loss, _ENOUGH)
        return replace(self, hparams=replace(self.hparams, contexts=fewer, keep_samples=written, stop_loss=enough))


class Result(NamedTuple):
    """What became of one record.

    Attributes
    ----------
    record
        A digest of its content.
    efficacy, paraphrase, neighbourhood
        The shares of its prompts of each role at which the right object beats the other; NaN where it has none.
    magnitude
        By how much, in probability: the mean over these roles.
    """

    record: str
    efficacy: float
    paraphrase: float
    neighbourhood: float
    magnitude: float


@dataclass(frozen=True)
class Trial:
    """What a method did at some layers with some settings.

    Attributes
    ----------
    method, layers, settings
        How facts were edited; `settings` has all of them.
    split
        ``"train"`` for facts that settings are chosen by, ``"held out"`` for those that no choice has seen.
    results
        For each record what became of it.
    seconds
        How long it took, what it shared with earlier trials not counted.
    note
        Why nothing could be edited; then every share is 0. Else empty.
    """

    method: str
    layers: tuple[int, ...]
    settings: Mapping[str, Any]
    split: str
    results: tuple[Result, ...]
    seconds: float
    note: str = ""

    @property
    def score(self) -> Interval:
        """S with its 95 % interval over records: the harmonic mean of the three shares, of those that were asked."""
        columns = self._columns
        return interval(columns, harmonic_mean) if columns else Interval.unknown()

    @property
    def shares(self) -> tuple[float, float, float]:
        """Efficacy, paraphrases, neighbourhood (ES, PS, NS): means over records."""
        efficacy, paraphrase, neighbourhood = (
            _mean([getattr(result, name) for result in self.results]) for name in _SHARES
        )
        return efficacy, paraphrase, neighbourhood

    @property
    def rank(self) -> tuple[float, float]:
        """What trials on the same records are sorted by: S, then by how much the right object leads.

        Few records give few values of S, and many ties. What differs only by how a sum was rounded is alike.
        """
        shares = [share for share in self.shares if not math.isnan(share)]
        leads = [result.magnitude for result in self.results if not math.isnan(result.magnitude)]
        return round(harmonic_mean(shares), 9), round(_mean(leads), 9) if leads else 0.0

    @property
    def works(self) -> bool:
        """Whether anything was edited as it should: S is above 0."""
        return self.rank[0] > 0

    @property
    def _columns(self) -> list[np.ndarray]:
        columns = [np.array([getattr(result, name) for result in self.results], dtype=float) for name in _SHARES]
        return [column for column in columns if not np.isnan(column).all()]

    def same(self, candidate: Candidate, records: Sequence[str]) -> bool:
        """Return whether this is the trial of a candidate on these records."""
        return (
            self.method == candidate.method
            and self.layers == candidate.layers
            and [result.record for result in self.results] == list(records)
            and dict(self.settings) == candidate.settings
        )


_SHARES = ("efficacy", "paraphrase", "neighbourhood")


def record_id(record: Record) -> str:
    """Return what a record is known by: twelve hex digits of its content."""
    return digest(repr(record.fact), repr(record.checks))[:12]


class Bench:
    """Makes trials on one model; what they share is computed once.

    Parameters
    ----------
    model
        The model; the caller holds it, with its original weights.
    moments
        Second moments of the layers that are tried.
    earlier
        Trials that were made before, on the same model: they are not made again.
    made
        Called with every trial that is made.
    """

    def __init__(
        self,
        model: Model,
        moments: Mapping[int, SecondMoment],
        earlier: Sequence[Trial] = (),
        made: Callable[[Trial], None] | None = None,
    ) -> None:
        self.model, self.moments, self.made = model, moments, made
        self.trials = list(earlier)
        self._values: dict[tuple[Any, ...], Values] = {}
        self._contexts: dict[ValueHparams, Sequence[Context]] = {}
        self._alone: dict[tuple[Candidate, str], Result] = {}

    def with_moments(self, moments: Mapping[int, SecondMoment]) -> Bench:
        """Return a bench with other second moments, and no trials, that shares the values: these depend on none."""
        other = Bench(self.model, moments)
        other._values, other._contexts = self._values, self._contexts
        return other

    def judge(self, candidate: Candidate, records: Sequence[Record], split: str = "train") -> Trial:
        """Edit records and ask what came of it: one by one for a method of one fact, else all in one edit.

        Raises
        ------
        Interrupted
            At an interruption point.
        """
        if (earlier_trial := self.earlier(candidate, records, split)) is not None:
            return earlier_trial
        began, note = time.perf_counter(), ""
        alone = METHODS[candidate.method].most_facts == 1
        groups = [[record] for record in records] if alone else [list(records)]
        results: list[Result] = []
        try:
            self._problem(candidate, records)  # the values of all facts are optimised together
            for group in groups:
                interruption_point()
                earlier = self._alone.get((candidate, record_id(group[0]))) if alone else None
                results += self._edited(candidate, group) if earlier is None else [earlier]
                if alone:
                    self._alone[candidate, results[-1].record] = results[-1]
        except NumericalError as error:
            note = str(error)
            results = [Result(record_id(record), 0.0, 0.0, 0.0, 0.0) for record in records]
        spent = time.perf_counter() - began
        trial = Trial(candidate.method, candidate.layers, candidate.settings, split, tuple(results), spent, note)
        self.trials.append(trial)
        if self.made is not None:
            self.made(trial)
        return trial

    def earlier(self, candidate: Candidate, records: Sequence[Record], split: str = "train") -> Trial | None:
        """Return the trial of a candidate on these records if it was made before."""
        ids = [record_id(record) for record in records]
        return next((trial for trial in self.trials if trial.split == split and trial.same(candidate, ids)), None)

    def _edited(self, candidate: Candidate, records: Sequence[Record]) -> list[Result]:
        """Return what became of records that one edit was made of."""
        problem = self._problem(candidate, records)
        with self.model.as_edited(METHODS[candidate.method].solve(problem)):
            return _results(self.model, records)

    def _problem(self, candidate: Candidate, records: Sequence[Record]) -> Problem[Any]:
        """Return what a method has to solve, with the values of the facts where it needs them."""
        method = METHODS[candidate.method]
        problem = Problem(
            self.model,
            [record.fact for record in records],
            candidate.layers,
            {layer: self.moments[layer] for layer in candidate.layers} if method.needs_moments else {},
            candidate.hparams,
        )
        if method.site is None:
            return problem
        problem = replace(problem, contexts=self._contexts_of(problem))
        return replace(problem, values=self._values_of(problem, records, method.site))

    def _contexts_of(self, problem: Problem[Any]) -> Sequence[Context]:
        settings = _of_values(problem.hparams)
        if settings not in self._contexts:
            self._contexts[settings] = contexts_of(problem)
        return self._contexts[settings]

    def _values_of(self, problem: Problem[Any], records: Sequence[Record], site: Any) -> Values:
        """Return the values of all facts; those that are not there yet are optimised together."""
        assert problem.contexts is not None
        shared = (problem.layers[-1], site, _of_values(problem.hparams))
        keys = [(*shared, record_id(record)) for record in records]
        missing = [i for i, key in enumerate(keys) if key not in self._values]
        if missing:
            part = replace(problem, facts=[problem.facts[i] for i in missing])
            for i, value in zip(missing, values_of(part, problem.contexts, site).apart(), strict=True):
                self._values[keys[i]] = value
        return Values.joined([self._values[key] for key in keys])


def _of_values(hparams: Any) -> ValueHparams:
    """Return those of a method's settings that a value depends on."""
    return ValueHparams(**{item.name: getattr(hparams, item.name) for item in fields(ValueHparams)})


def _results(model: Model, records: Sequence[Record]) -> list[Result]:
    """Return what the model says of the probes of records, as it is now."""
    probes = [[probe for probe in record.checks.probes if probe.role in ROLES] for record in records]
    flat = [probe for some in probes for probe in some]
    readings = iter(read(model, [probe.prompt for probe in flat], [(probe.old, probe.new) for probe in flat]))
    results = []
    for record, some in zip(records, probes, strict=True):
        shares: dict[str, list[float]] = {role: [] for role in ROLES}
        leads: dict[str, list[float]] = {role: [] for role in ROLES}
        for probe, reading in zip(some, readings, strict=False):
            both = _both(probe.wanted == probe.new, reading)
            shares[probe.role].append(success(*both))
            leads[probe.role].append(magnitude(*both))
        efficacy, paraphrase, neighbourhood = (_mean(shares[role]) for role in ROLES)
        lead = _mean([_mean(leads[role]) for role in ROLES if leads[role]])
        results.append(Result(record_id(record), efficacy, paraphrase, neighbourhood, lead))
    return results


def _both(new_wanted: bool, reading: Reading) -> tuple[float, float]:
    old, new = reading.probabilities
    return (new, old) if new_wanted else (old, new)


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan
