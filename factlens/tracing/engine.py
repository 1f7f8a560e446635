"""Causal tracing of one fact, as a stream of growing grids or all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Event
from typing import Any, Unpack

import numpy as np

from factlens.arguments import event, function, optional, refuse_unknown, whole
from factlens.bar import by_itself
from factlens.errors import Interrupted
from factlens.facts import Fact, a_fact
from factlens.models import Model
from factlens.models.belonging import Weights
from factlens.models.encoding import Encoding
from factlens.models.fitting import check_length
from factlens.models.given import a_model
from factlens.models.spellings import warn_of_spelling
from factlens.progress import Share
from factlens.signatures import taking
from factlens.spelling import Wording
from factlens.tracing.answers import Measurement, measurement_of
from factlens.tracing.corruption import Corrupted, corrupt
from factlens.tracing.growing import Update, at_work, grow, share_done
from factlens.tracing.knowing import saying
from factlens.tracing.labels import label_estimate
from factlens.tracing.metrics import TraceMetric
from factlens.tracing.options import DEFAULTS, OPTIONS, TraceOptions, checked_options, with_present_names
from factlens.tracing.ownership import check_trace
from factlens.tracing.protocol import AUTO, FIXED, Corruption
from factlens.tracing.result import Trace, a_trace
from factlens.tracing.rounds import rounds_of
from factlens.tracing.runs import Runs
from factlens.tracing.schedule import is_brief
from factlens.tracing.separation import MOST
from factlens.tracing.starting import both_runs, started


@taking(OPTIONS.values())
def stream(
    model: Model,
    fact: Fact,
    *,
    stop: Event | None = None,
    **options: Unpack[TraceOptions],
) -> Iterator[Update]:
    """Trace a fact, and yield the grids while they fill.

    The model is run clean, then with its subject corrupted, then with one clean state put back at a time (Meng et
    al. 2022, Section 2): a restored run, which others call a patched run. The first update brings an estimate of
    every cell. Then the whole grid comes for the first noise sample, which says more than the estimate, and after that
    for the others: the numbers so far are means over the samples at hand. (Where the whole is less than about two
    seconds of one core, all samples come at once: see `factlens.tracing.schedule.is_brief`.) Each time the rows come in
    the order of what they usually tell: last subject token, last token, rest of the subject, rest of the prompt. Stop
    whenever you like: just leave the loop. Between two updates the model is free for others, who must not change its
    weights.

    Parameters
    ----------
    model
        The model.
    fact
        What to trace; its target plays no role.
    stop
        Set it from another thread to end the stream, in the middle of a pass if need be.
    **options
        As in `factlens.tracing.options.TraceOptions`.

    Yields
    ------
    Update
        The trace so far.

    Raises
    ------
    FactError
        If the prompt is unusable, or an option makes no sense. An argument that is wrong by itself is refused by
        this very call, everything else when the first update is asked for.
    NumericalError
        If the model answers with NaN or infinity.
    MetricError
        If a function of your own gives anything but a finite number for each run.
    WeightsChanged
        If the model's weights were edited between two updates.
    Interrupted
        If `stop` was set.

    Warns
    -----
    TextWarning
        If the prompt or an answer is read as it is written, and that may not be meant: a second beginning-of-text
        token, white space at the end, an answer that the model spells otherwise.
    """
    # A generator would look at its arguments only when the first update is asked for.
    return _checked(model, fact, stop, options, watched=True)


def _checked(
    model: Model, fact: Fact, stop: Event | None, options: Mapping[str, Any], *, watched: bool
) -> Iterator[Update]:
    """Check all arguments of a trace, and return its updates."""
    model, fact, stop = a_model("model", model), a_fact("fact", fact), optional(event, "stop", stop)
    options = checked_options(model, options)
    return _updates(model, model.as_read(fact), stop=stop, watched=watched, **options)


def _updates(
    model: Model,
    fact: Fact,
    *,
    kinds: tuple[str, ...],
    corruption: Corruption,
    samples: int | str,
    seed: int,
    window: int,
    window_convention: str,
    metric: TraceMetric,
    answer: Wording | None,
    contrast: Wording | None,
    estimate: str | None,
    memory: int | None,
    stop: Event | None,
    watched: bool,
) -> Iterator[Update]:
    """Trace a fact; parameters as of `stream`, none of them left open, and whether the updates are looked at."""

    def begin() -> tuple[Trace, Encoding, Runs, Measurement, int]:
        encoding = model.encode(fact)
        measurement = measurement_of(model, fact, metric, answer, contrast)
        most = MOST if isinstance(samples, str) else samples
        corrupted = corrupt(model, fact, encoding, corruption, most, seed)
        check_length(
            model.name,
            model.max_tokens,
            corrupted.embedded.shape[1] + len(measurement.forced),
            what="With the other subject in its subject's place, the prompt",
            advice="Take a shorter subject.",
            read=len(measurement.forced),
            of=len(measurement.answer),
        )
        runs, measurement, guess = both_runs(
            model, encoding, corrupted, measurement, kinds, window, window_convention, estimate
        )
        if measurement.reads_the_end:
            for wording in (answer, contrast):
                warn_of_spelling(model, fact.prompt, wording, runs.clean.logits[0, 0])
        trace = started(
            model,
            Weights.of(model),
            fact,
            encoding,
            runs,
            measurement,
            kinds,
            answer_given=answer,
            contrast=contrast,
            sampling=AUTO if isinstance(samples, str) and runs.samples > 1 else FIXED,
            **saying(model, fact, encoding, measurement, runs)._asdict(),
            corruption=corruption,
            noise_level=corrupted.level,
            seed=seed,
            window=window,
            window_convention=window_convention,
            first=corrupted.first,
        )
        if guess is not None:
            trace.estimate = label_estimate(guess, trace.samples)
        return trace, encoding, runs, measurement, corrupted.first

    trace, encoding, runs, measurement, first = at_work(model, stop, begin, watched=True)
    yield Update(trace, (), share_done(trace))
    watched = watched and not is_brief(model, runs, first, len(trace.kinds))
    rounds = rounds_of(runs.samples, watched=watched, auto=trace.sampling == AUTO)
    yield from grow(model, trace, encoding, runs, measurement, rounds, first=first, memory=memory, stop=stop)


def stream_rest(
    model: Model, trace: Trace, *, memory: int | None = None, stop: Event | None = None
) -> Iterator[Update]:
    """Compute the cells that a trace lacks, and yield it while it fills: the rest of a stream that was stopped.

    The clean and the corrupted run are computed again, from what the trace records; the cells that it has are kept.

    Parameters
    ----------
    model
        The traced model, with the edits that it had then.
    trace
        A trace that is not complete; it is filled in place.
    memory, stop
        As for `stream`.

    Yields
    ------
    Update
        The trace so far; the first before anything was added.

    Raises
    ------
    WrongModel
        If the trace is another model's, or was made with other edits than the model carries.
    WeightsChanged, NumericalError, Interrupted
        As for `stream`.
    """
    model, trace = a_model("model", model), a_trace("trace", trace)
    memory, stop = optional(whole, "memory", memory, least=1), optional(event, "stop", stop)
    return _rest(model, trace, memory, stop, watched=True)


def _rest(model: Model, trace: Trace, memory: int | None, stop: Event | None, *, watched: bool) -> Iterator[Update]:
    """Compute what a trace lacks; see `stream_rest`."""

    def begin() -> tuple[Encoding, Corrupted, Runs, Measurement]:
        check_trace(model, trace)
        encoding = model.encode(trace.fact)
        corrupted = corrupt(model, trace.fact, encoding, trace.corruption, trace.samples.sizes["sample"], trace.seed)
        measurement = Measurement.of(trace)
        runs, measurement, _ = both_runs(
            model, encoding, corrupted, measurement, trace.kinds, trace.window, trace.window_convention, estimate=None
        )
        return encoding, corrupted, runs, measurement

    encoding, corrupted, runs, measurement = at_work(model, stop, begin, watched=True)
    yield Update(trace, (), share_done(trace))
    # What a stream began is completed as a stream.
    begun = bool((np.isnan(trace.samples.values).any(-1) & np.isfinite(trace.samples.values).any(-1)).any())
    watched = begun or (watched and not is_brief(model, runs, corrupted.first, len(trace.kinds)))
    rounds = rounds_of(runs.samples, watched=watched, auto=trace.sampling == AUTO)
    yield from grow(model, trace, encoding, runs, measurement, rounds, first=corrupted.first, memory=memory, stop=stop)


@by_itself("Tracing")
def resume(model: Model, trace: Trace, *, progress: Share | bool | None = None, stop: Event | None = None) -> Trace:
    """Complete a trace that was stopped, and return it.

    Parameters
    ----------
    model, trace, stop
        As for `stream_rest`.
    progress
        As for `trace`.

    Returns
    -------
    Trace
        The same object, complete.

    Raises
    ------
    WrongModel, WeightsChanged, NumericalError
        As `stream_rest` does.
    Interrupted
        On `stop` and on the kernel's interrupt; its ``partial`` is the trace so far.
    """
    model, trace, stop = a_model("model", model), a_trace("trace", trace), optional(event, "stop", stop)
    tell = optional(function, "progress", progress)
    try:
        for update in _rest(model, trace, None, stop, watched=False):
            if tell is not None:
                tell(update.progress)
    except KeyboardInterrupt as error:
        raise Interrupted("Tracing was stopped; the grid so far is in the exception's .partial.", trace) from error
    return trace


@taking({**OPTIONS, "estimate": replace(OPTIONS["estimate"], default=None)}.values())
@by_itself("Tracing")
def trace(
    model: Model,
    fact: Fact,
    *,
    progress: Share | bool | None = None,
    stop: Event | None = None,
    **options: Unpack[TraceOptions],
) -> Trace:
    """Trace a fact and return the whole of it.

    Parameters
    ----------
    model, fact, stop
        As for `stream`.
    progress
        Called with the share of the cells that is computed. Default: a bar shows it, in a notebook or a terminal;
        False: nothing does.
    **options
        As in `factlens.tracing.options.TraceOptions`; no estimate by default, since only the whole trace is returned.

    Returns
    -------
    Trace
        All cells computed.

    Raises
    ------
    Interrupted
        On `stop` and on the kernel's interrupt; its ``partial`` is the trace so far. It is a `KeyboardInterrupt`.
    """
    asked = with_present_names(options)
    refuse_unknown("A trace", asked, DEFAULTS)
    tell = optional(function, "progress", progress)
    latest: Trace | None = None
    try:
        for update in _checked(model, fact, stop, {"estimate": None, **asked}, watched=False):
            latest = update.trace
            if tell is not None:
                tell(update.progress)
    except KeyboardInterrupt as error:
        raise Interrupted("Tracing was stopped; the grid so far is in the exception's .partial.", latest) from error
    assert latest is not None  # a stream yields at least once
    return latest
