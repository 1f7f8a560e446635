"""How a trace fills: round by round of noise samples, row by row, sweep by sweep."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from factlens.errors import WeightsChanged
from factlens.models import Model
from factlens.models.encoding import Encoding
from factlens.models.interrupts import interruption_point, interrupts_held, stopped_by
from factlens.models.settling import settled
from factlens.models.unembedding import can_narrow
from factlens.tracing.answers import Measurement
from factlens.tracing.cells import Cell, cells_of_row
from factlens.tracing.protocol import AUTO
from factlens.tracing.result import Trace
from factlens.tracing.rounds import only
from factlens.tracing.runs import Runs
from factlens.tracing.schedule import cells_within, sweeps_for, telling_order
from factlens.tracing.separation import LOOKS, separated
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


def grow(
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
        if auto and samples.start in LOOKS and growing.enough(samples.start):
            yield Update(trace, (), share_done(trace))
            return
        some = only(runs, samples)
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
                yield Update(trace, tuple(dict.fromkeys(cell.token for cell in part)), share_done(trace), samples)


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

        scores = at_work(self._model, self._stop, work)
        _fill([self._numbers(cell, samples) for cell in cells], scores)

    def enough(self, samples: int) -> bool:
        """Return whether the first so many samples, which every cell has, are enough; then the trace is cut to them."""
        trace = self._trace
        effects = trace.measure.better * (trace.samples.values[..., :samples] - trace.low_samples[:samples])
        if not all(separated(grid.reshape(-1, samples)) for grid in effects):
            return False

        def settle() -> None:
            self._look(full=True)
            _cut(trace, samples)

        at_work(self._model, self._stop, settle)
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
    columns = measurement.columns if can_narrow(model) else ()
    if columns:
        return measurement.score_of_columns(sweep(model, runs, cells, columns)).cpu().numpy()
    return _scores(measurement, sweep(model, runs, cells)).cpu().numpy()


@settled
def at_work(model: Model, stop: Event | None, work: Callable[[], T], *, watched: bool = False) -> T:
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


def share_done(trace: Trace) -> float:
    """Return which share of the cells' samples a trace has."""
    return float(np.isfinite(trace.samples.values).mean())
