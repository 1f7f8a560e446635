"""Causal tracing of one fact, as a stream of growing grids or all at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from factlens.arguments import event, optional, refuse_unknown, whole
from factlens.errors import Interrupted, WeightsChanged
from factlens.facts import Fact, a_fact
from factlens.models import Model
from factlens.models.belonging import Weights
from factlens.models.continuing import whole_texts
from factlens.models.encoding import Encoding
from factlens.models.fitting import check_length
from factlens.models.given import a_model
from factlens.models.hooks import without_gradients
from factlens.models.interrupts import interruption_point, interrupts_held, stopped_by
from factlens.models.settling import settled
from factlens.models.spellings import warn_of_spelling
from factlens.spelling import Wording
from factlens.tracing.answers import Measurement, measurement_of
from factlens.tracing.cells import Cell, cells_of_row
from factlens.tracing.corruption import Corrupted, corrupt
from factlens.tracing.estimates import ATTRIBUTION_PATCHING, ESTIMATES
from factlens.tracing.knowing import saying
from factlens.tracing.metrics import MetricFunction, TraceMetric, own_metric
from factlens.tracing.options import DEFAULTS, checked_options, with_present_names
from factlens.tracing.ownership import check_trace
from factlens.tracing.protocol import AUTO, FIXED, Corruption
from factlens.tracing.result import Trace, a_trace, label_estimate, label_samples
from factlens.tracing.rounds import only, rounds_of
from factlens.tracing.runs import Runs, run_clean_and_corrupted
from factlens.tracing.schedule import cells_within, sweeps_for, telling_order
from factlens.tracing.separation import LOOKS, MOST, separated
from factlens.tracing.sites import KINDS, site_of
from factlens.tracing.sweep import sweep

T = TypeVar("T")
_AT_ONCE = 2**20


@dataclass(frozen=True)
class Update:
    """One step of a stream.

    Attributes
    ----------
    trace
        The trace so far. It is the same object in every update, and fills up as the stream continues.
    tokens
        The token rows that have just grown; empty in the first update, which brings `Trace.high`, `Trace.low`, the
        estimate of every cell, and the cells that are known without computing.
    progress
        Share of the cells' samples that are done, 0 to 1.
    samples
        The noise samples that those rows have just got, ``[start, stop)``; empty in the first update. How many each
        cell has is in `Trace.sample_counts`.
    """

    trace: Trace
    tokens: tuple[int, ...]
    progress: float
    samples: range = range(0)


def stream(
    model: Model,
    fact: Fact,
    *,
    kinds: Sequence[str] = KINDS,
    corruption: Corruption | None = None,
    samples: int | str = 10,
    seed: int = 1,
    window: int | None = None,
    window_convention: str = "code",
    metric: str | TraceMetric | MetricFunction = "probability",
    answer: Wording | None = None,
    contrast: Wording | None = None,
    estimate: str | None = ATTRIBUTION_PATCHING,
    memory: int | None = None,
    stop: Event | None = None,
    preview: bool | None = None,
) -> Iterator[Update]:
    """Trace a fact, and yield the grids while they fill.

    The model is run clean, then with its subject corrupted, then with one clean state put back at a time (Meng et
    al. 2022, Section 2): a restored run, which others call a patched run. The first update brings an estimate of
    every cell. Then the whole grid comes for the first noise sample, which says more than the estimate, and after that
    for the others, a few at a time: the numbers so far are means over the samples at hand. Each time the rows come in
    the order of what they usually tell: last subject token, last token, rest of the subject, rest of the prompt. Stop
    whenever you like: just leave the loop. Between two updates the model is free for others, who must not change its
    weights.

    Parameters
    ----------
    model
        The model.
    fact
        What to trace; its target plays no role.
    kinds
        What to restore: ``"state"`` (block output); ``"mlp"``, ``"attn"`` (module outputs, over a window of layers);
        ``"head"`` for every attention head's output in one layer, ``"head.3"`` for one of them; ``"severed_mlp"``,
        ``"severed_attn"`` for a state whose token keeps its corrupted MLP (attention) outputs, as in Figure 3.
    corruption
        `Noise` of three σ by default, or a `Replacement` by another subject.
    samples
        Number of corrupted runs, S; a replacement has one. ``"auto"``: as many as it takes until the cell with the
        largest effect of each kind is separated from all that have less than nine tenths of it, at most ten. The result
        is the trace with that number. See `factlens.tracing.separation` for the rule.
    seed
        Seed of the noise.
    window
        Layers restored together for ``mlp`` and ``attn``. Default: ten, scaled down for shallow models.
    window_convention
        ``"code"``: a window of ten is [l - 5, l + 4], as in the published code and figures. ``"paper"``: it is
        [l - 4, l + 5], as in the published text.
    metric
        ``"probability"``, ``"log_probability"``, or ``"logit_difference"`` against `contrast`; or a function of your
        own, of the logits where the answer is read, ``(..., positions, vocabulary)``, the ids of the answer's tokens
        and those of the contrast's, that gives one number for each run, ``(...)``: see `factlens.tracing.TraceMetric`.
    answer
        What to measure; several tokens are teacher-forced, and count together. Default: the model's own top token. A
        space is put in front of it where the text calls for one (`factlens.spelling`); `factlens.Exactly` is taken as
        it is.
    contrast
        The answer to compare with, by the same rule, for ``"logit_difference"`` and functions of
        your own.
    estimate
        How to estimate all cells first: ``"attribution_patching"``, which costs one backward pass. None: not at all.
    memory
        Bytes that one sweep may use for its activations. Default: what the device has to spare. Never changes a result.
    stop
        Set it from another thread to end the stream, in the middle of a pass if need be.
    preview
        Deprecated: True is ``estimate="attribution_patching"``, False is ``estimate=None``.

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
    arguments = {
        "kinds": kinds,
        "corruption": corruption,
        "samples": samples,
        "seed": seed,
        "window": window,
        "window_convention": window_convention,
        "metric": metric,
        "answer": answer,
        "contrast": contrast,
        "estimate": estimate,
        "memory": memory,
        "preview": preview,
    }
    # A generator would look at its arguments only when the first update is asked for.
    return _checked(model, fact, stop, arguments, watched=True)


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
    """Trace a fact; parameters as of `stream`, none of them left open, and whether somebody looks at the updates."""

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
        runs, measurement, guess = _both_runs(
            model, encoding, corrupted, measurement, kinds, window, window_convention, estimate
        )
        if measurement.reads_the_end:
            for wording in (answer, contrast):
                warn_of_spelling(model, fact.prompt, wording, runs.clean.logits[0, 0])
        trace = _start(
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

    trace, encoding, runs, measurement, first = _at_work(model, stop, begin, watched=True)
    yield Update(trace, (), _progress(trace))
    rounds = rounds_of(runs.samples, watched=watched, auto=trace.sampling == AUTO)
    yield from _grow(model, trace, encoding, runs, measurement, rounds, first=first, memory=memory, stop=stop)


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
        runs, measurement, _ = _both_runs(
            model, encoding, corrupted, measurement, trace.kinds, trace.window, trace.window_convention, estimate=None
        )
        return encoding, corrupted, runs, measurement

    encoding, corrupted, runs, measurement = _at_work(model, stop, begin, watched=True)
    yield Update(trace, (), _progress(trace))
    # What a stream began is completed as a stream.
    begun = bool((np.isnan(trace.samples.values).any(-1) & np.isfinite(trace.samples.values).any(-1)).any())
    rounds = rounds_of(runs.samples, watched=watched or begun, auto=trace.sampling == AUTO)
    yield from _grow(model, trace, encoding, runs, measurement, rounds, first=corrupted.first, memory=memory, stop=stop)


def resume(model: Model, trace: Trace, *, stop: Event | None = None) -> Trace:
    """Complete a trace that was stopped, and return it.

    Parameters
    ----------
    model, trace, stop
        As for `stream_rest`.

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
    try:
        for _ in _rest(model, trace, None, stop, watched=False):
            pass
    except KeyboardInterrupt as error:
        raise Interrupted("Tracing was stopped; the grid so far is in the exception's .partial.", trace) from error
    return trace


def _grow(
    model: Model,
    trace: Trace,
    encoding: Encoding,
    runs: Runs,
    measurement: Measurement,
    rounds: Iterable[range],
    *,
    first: int,
    memory: int | None,
    stop: Event | None,
) -> Iterator[Update]:
    """Compute what is not known yet: round by round of samples, in each the most telling rows first."""
    kinds, window, convention = trace.kinds, trace.window, trace.window_convention
    fits = sys.maxsize
    growing = _Growing(model, trace, stop)
    auto = trace.sampling == AUTO
    for samples in rounds:
        some = only(runs, samples)
        if auto and growing.enough(samples.start):  # as where the last step before a stop was a round's last
            yield Update(trace, (), _progress(trace))
            return
        for tokens in telling_order(encoding, first, model, some, len(kinds)):
            cells = growing.lacking(
                [cell for token in tokens for cell in cells_of_row(kinds, token, window, trace.n_layers, convention)],
                samples,
            )
            if not cells:
                continue
            row = runs.tokens - min(runs.at[token] for token in tokens)
            at_most = min(cells_within(memory, model, some, row), fits // (row * len(samples)))
            queue = sweeps_for(cells, max(1, at_most), model, some)
            while queue:
                part = queue.pop(0)
                try:
                    growing.add(part, samples, partial(_swept, model, some, measurement, part))
                except torch.OutOfMemoryError:
                    if len(part) == 1:
                        raise
                    fits = len(part) // 2 * row * len(samples)
                    queue = [half for whole in [part, *queue] for half in _halves(whole) if half]
                    continue
                over = auto and growing.enough(samples.stop)
                yield Update(trace, tuple(dict.fromkeys(cell.token for cell in part)), _progress(trace), samples)
                if over:
                    return


class _Growing:
    """A trace to which cells are added, and which keeps none that may be of other weights than the rest.

    Others may change the weights at any time, also without leaving a sign. So all of them are looked at again before
    the last cells are added, and in between whenever that costs next to nothing.
    """

    def __init__(self, model: Model, trace: Trace, stop: Event | None) -> None:
        self._model, self._trace, self._stop = model, trace, stop
        self._unsure: list[tuple[Cell, range]] = []
        self._place = {kind: place for place, kind in enumerate(trace.kinds)}

    def lacking(self, cells: Sequence[Cell], samples: range) -> list[Cell]:
        """Return those of some cells that are not known for all of some samples."""
        return [cell for cell in cells if np.isnan(self._numbers(cell, samples)).any()]

    def _numbers(self, cell: Cell, samples: range) -> np.ndarray:
        """Return a cell's numbers for some samples, to be read or written."""
        place = self._place[cell.kind], cell.token, cell.layer, slice(samples.start, samples.stop)
        return np.asarray(self._trace.samples.values[place])

    def add(self, cells: Sequence[Cell], samples: range, compute: Callable[[], np.ndarray]) -> None:
        """Compute some cells and add them; raise `WeightsChanged` if the weights are not those of the others."""
        trace = self._trace
        lacking = sum(int(np.isnan(self._numbers(cell, samples)).sum()) for cell in cells)
        last = int(np.isnan(trace.samples.values).sum()) == lacking

        def work() -> np.ndarray:
            scores = compute()
            self._unsure = [*self._unsure, *((cell, samples) for cell in cells)]
            self._look(full=last)
            return scores

        scores = _at_work(self._model, self._stop, work)
        _fill([self._numbers(cell, samples) for cell in cells], scores)

    def enough(self, samples: int) -> bool:
        """Return whether a trace with so many samples is all that is asked for; then it is cut to them."""
        trace = self._trace
        so_far = trace.samples.values[..., :samples]
        if samples not in LOOKS or trace.samples.sizes["sample"] <= samples or np.isnan(so_far).any():
            return False
        effects = trace.measure.better * (so_far - trace.low_samples[:samples])
        if not all(separated(grid.reshape(-1, samples)) for grid in effects):
            return False

        def settle() -> None:
            self._look(full=True)
            _cut(trace, samples)

        _at_work(self._model, self._stop, settle)
        return True

    def _look(self, *, full: bool) -> None:
        """Look at the weights; if they were changed, forget what may be theirs."""
        trace = self._trace
        try:
            sure = self._model.check_unchanged(trace.fingerprint, trace.edit_ids, "traced", "Trace again", full=full)
        except WeightsChanged:
            for cell, samples in self._unsure:
                self._numbers(cell, samples)[:] = np.nan
            raise
        if sure:
            self._unsure = []


def _swept(model: Model, runs: Runs, measurement: Measurement, cells: Sequence[Cell]) -> np.ndarray:
    return _scores(measurement, sweep(model, runs, cells)).cpu().numpy()


def trace(model: Model, fact: Fact, *, stop: Event | None = None, **options: Any) -> Trace:
    """Trace a fact and return the whole of it.

    Parameters
    ----------
    model, fact, stop
        As for `stream`.
    **options
        As for `stream`; ``estimate`` is None by default, since only the whole trace is returned.

    Returns
    -------
    Trace
        All cells computed.

    Raises
    ------
    Interrupted
        On `stop` and on the kernel's interrupt; its ``partial`` is the trace so far. It is a `KeyboardInterrupt`.
    """
    options = with_present_names(options)
    refuse_unknown("A trace", options, DEFAULTS)
    latest: Trace | None = None
    try:
        for update in _checked(model, fact, stop, {"estimate": None, **options}, watched=False):
            latest = update.trace
    except KeyboardInterrupt as error:
        raise Interrupted("Tracing was stopped; the grid so far is in the exception's .partial.", latest) from error
    assert latest is not None  # a stream yields at least once
    return latest


@settled
def _at_work(model: Model, stop: Event | None, work: Callable[[], T], *, watched: bool = False) -> T:
    """Do some work with the model to oneself; the kernel's interrupt, and `stop`, end it only where they do no harm.

    Parameters
    ----------
    watched
        Look at every weight first, since the numbers will be recorded as those of these weights.
    """
    take = model.watched if watched else model.exclusive
    with interrupts_held() as interrupted, take(interrupted, stop), stopped_by(stop):
        interruption_point()
        return work()


def _both_runs(
    model: Model,
    encoding: Encoding,
    corrupted: Corrupted,
    measurement: Measurement,
    kinds: Sequence[str],
    window: int,
    convention: str,
    estimate: str | None,
) -> tuple[Runs, Measurement, np.ndarray | None]:
    """Run clean and corrupted; fill in the model's own answer; estimate the grids."""
    sources = dict.fromkeys(site.source for site in map(site_of, kinds) if site.source)
    with torch.set_grad_enabled(estimate is not None), without_gradients(model.model):
        runs = run_clean_and_corrupted(
            model, encoding.ids, corrupted, forced=measurement.forced, positions=measurement.positions, sources=sources
        )
        measurement = measurement.with_own_answer(int(runs.clean.logits[0, -1].argmax()))
        guess = None
        if estimate is not None:
            guess = ESTIMATES[estimate](runs, measurement, kinds, window, convention, model.n_heads)
    return runs.without_history(), measurement, guess


def _start(
    model: Model,
    weights: Weights,
    fact: Fact,
    encoding: Encoding,
    runs: Runs,
    measurement: Measurement,
    kinds: tuple[str, ...],
    *,
    first: int,
    **settings: Any,
) -> Trace:
    """Return a trace with everything that is known after the clean and the corrupted run."""
    low = measurement.score(runs.corrupted.logits).contiguous().cpu().numpy()
    values = np.full((len(kinds), len(encoding.ids), model.n_layers, runs.samples), np.nan, np.float32)
    # Left of the subject the corrupted run is the clean run: restoring a state there changes nothing.
    values[:, :first] = low
    # Nothing but the token's own answer is read from the last layer.
    last = [i for i, kind in enumerate(kinds) if site_of(kind).restores_state]
    if last:
        values[last, :, -1] = low
        for token in range(len(encoding.ids)):
            position = runs.at[token] - (runs.tokens - runs.positions)
            if position >= 0:
                logits = runs.corrupted.logits.clone()
                logits[:, position] = runs.clean.logits[0, position]
                values[last, token, -1] = measurement.score(logits).cpu().numpy()
    return Trace(
        fact=fact,
        model=model.name,
        fingerprint=weights.fingerprint,
        edits=weights.labels,
        edit_ids=weights.edit_ids,
        tokens=encoding.pieces,
        token_ids=encoding.ids,
        subject_range=encoding.subject_range,
        template_tokens=encoding.template_tokens,
        answer=model.text_of(measurement.answer),
        whole_answer=whole_texts(model, [encoding.ids], [measurement.answer])[0],
        answer_ids=measurement.answer,
        contrast_ids=measurement.contrast,
        metric=measurement.metric.name,
        own_metric=own_metric(measurement.metric),
        high=float(measurement.score(runs.clean.logits)[0]),
        low_samples=low,
        samples=label_samples(values, kinds, encoding.pieces, encoding.subject_range),
        **settings,
    )


def _scores(measurement: Measurement, logits: Tensor) -> Tensor:
    # A softmax over a large vocabulary is waiting for memory, unless it goes through a few rows at a time.
    at_once = max(1, _AT_ONCE // logits[0].numel())
    return torch.cat([measurement.score(part) for part in logits.split(at_once)])


def _halves(cells: Sequence[Cell]) -> tuple[Sequence[Cell], Sequence[Cell]]:
    return cells[: len(cells) // 2], cells[len(cells) // 2 :]


def _fill(cells: Sequence[np.ndarray], scores: np.ndarray) -> None:
    """Add what was computed; what was there stays."""
    for numbers, score in zip(cells, scores, strict=True):
        np.copyto(numbers, score, where=np.isnan(numbers))


def _cut(trace: Trace, count: int) -> None:
    """Forget all noise samples but the first so many: what is left is the trace with that number.

    The noise of n samples begins with that of fewer, so it is the same trace to the bit, as far as batches allow.
    """
    left = trace.samples.isel(sample=slice(count)).copy()
    vars(trace).update(samples=left, low_samples=trace.low_samples[:count].copy())


def _progress(trace: Trace) -> float:
    return float(np.isfinite(trace.samples.values).mean())
