"""Causal tracing of one fact, as a stream of growing grids or all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
import torch

from factlens.errors import FactError, Interrupted, WeightsChanged
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.encoding import Encoding
from factlens.tracing.corruption import draw_noise, spread_of_noise
from factlens.tracing.result import KINDS, Trace, label_samples
from factlens.tracing.runs import Runs, run_clean_and_corrupted
from factlens.tracing.sweep import cells_of_row, in_parts, sweep
from factlens.tracing.windows import default_window

# FLOPs of one sweep, roughly: a fraction of a second on two cores, and on an accelerator.
_CPU_SWEEP = 20 * 10**9
_GPU_SWEEP = 5 * 10**12


@dataclass(frozen=True)
class Update:
    """One step of a stream.

    Attributes
    ----------
    trace
        The trace so far. It is the same object in every update, and fills up as the stream goes on.
    token
        The token row that has just grown; None in the first update, which brings `Trace.high`, `Trace.low` and the
        cells that are known without computing.
    progress
        Share of the cells that are done, 0 to 1.
    """

    trace: Trace
    token: int | None
    progress: float


def stream(
    model: Model,
    fact: Fact,
    *,
    kinds: Sequence[str] = KINDS,
    samples: int = 10,
    seed: int = 1,
    window: int | None = None,
    noise: float = 3.0,
    noise_level: float | None = None,
    subjects: Sequence[str] | None = None,
    memory: int | None = None,
) -> Iterator[Update]:
    """Trace a fact, and yield the grids while they fill.

    The model is run clean, then with Gaussian noise on the subject's token embeddings, then with one clean
    state put back at a time (Meng et al. 2022, Section 2). Rows come in the order of what they usually tell:
    last subject token, last token, rest of the subject, rest of the prompt. Stop whenever you like: just leave
    the loop. Between two updates the model is free for others, who must not change its weights.

    Parameters
    ----------
    model
        The model.
    fact
        What to trace; its target plays no role, the traced answer is the model's own.
    kinds
        What to restore: ``"state"`` (block output), ``"mlp"``, ``"attn"`` (module outputs, over a window of layers).
    samples
        Number of corrupted runs, S.
    seed
        Seed of the noise.
    window
        Layers restored together for ``mlp`` and ``attn``. Default: ten, scaled down for shallow models.
    noise
        Standard deviation of the noise in multiples of σ, the spread of the subject's token embeddings.
    noise_level
        The standard deviation itself, instead of `noise`.
    subjects
        Names over whose tokens σ is taken, instead of this subject's; the paper takes a thousand.
    memory
        Bytes that one sweep may use for its activations. Default: what the device has to spare. Never changes a result.

    Yields
    ------
    Update
        The trace so far.

    Raises
    ------
    FactError
        If the prompt is unusable, or an option makes no sense.
    NumericalError
        If the model answers with NaN or infinity.
    WeightsChanged
        If the model's weights were edited between two updates.
    """
    kinds = tuple(dict.fromkeys(kinds))
    window = default_window(model.n_layers) if window is None else window
    _check_options(kinds, samples, window, noise, noise_level)
    with model.exclusive():
        encoding = model.encode(fact)
        level = _level(model, encoding, noise, noise_level, subjects)
        n_subject = encoding.subject_range[1] - encoding.subject_range[0]
        runs = run_clean_and_corrupted(model, encoding, draw_noise(samples, n_subject, model.width, level, seed))
        edits = model.edits
    trace = _start(model, fact, encoding, runs, kinds, noise_level=level, seed=seed, window=window)
    yield Update(trace, None, _progress(trace))
    cells = cells_of_row(kinds, window, model.n_layers)
    at_once = _cells_within(memory, model, runs)
    for token in _telling_order(encoding):
        queue = list(in_parts(cells, at_once))
        while queue:
            part = queue.pop(0)
            with model.exclusive():
                if model.edits != edits:
                    raise WeightsChanged("The model's weights were edited while it was being traced. Trace again.")
                try:
                    logits = sweep(model, runs, token, part)
                except torch.OutOfMemoryError:
                    if len(part) == 1:
                        raise
                    at_once = len(part) // 2
                    queue = [half for whole in [part, *queue] for half in in_parts(whole, at_once)]
                    continue
                scores = logits.softmax(-1)[..., trace.answer_id].cpu().numpy()
            for cell, score in zip(part, scores, strict=True):
                trace.samples.values[kinds.index(cell.kind), token, cell.layer] = score
            yield Update(trace, token, _progress(trace))


def trace(model: Model, fact: Fact, *, stop: Event | None = None, **options: object) -> Trace:
    """Trace a fact and return the whole of it.

    Parameters
    ----------
    model, fact
        As for `stream`.
    stop
        Set it from another thread to stop after the current step.
    **options
        As for `stream`.

    Returns
    -------
    Trace
        All cells computed.

    Raises
    ------
    Interrupted
        On `stop` and on the kernel's interrupt; its ``partial`` is the trace so far. It is a `KeyboardInterrupt`.
    """
    found: Trace | None = None
    try:
        for update in stream(model, fact, **options):  # type: ignore[arg-type]
            found = update.trace
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise Interrupted("Tracing was stopped; the grid so far is in the exception's .partial.", found) from error
    assert found is not None  # a stream yields at least once
    return found


def _check_options(kinds: Sequence[str], samples: int, window: int, noise: float, level: float | None) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise FactError(f"kinds must be some of {', '.join(KINDS)}, not {list(unknown or kinds)}.")
    if samples < 1:
        raise FactError(f"samples must be at least 1, not {samples}.")
    if window < 1:
        raise FactError(f"window must be at least 1 layer, not {window}.")
    if not (noise if level is None else level) > 0:
        raise FactError("The noise must be positive: without it nothing is corrupted, and there is nothing to restore.")


def _level(
    model: Model, encoding: Encoding, multiple: float, level: float | None, subjects: Sequence[str] | None
) -> float:
    if level is not None:
        return level
    start, stop = encoding.subject_range
    return spread_of_noise(model, encoding.ids[start:stop], multiple, subjects)


def _start(model: Model, fact: Fact, encoding: Encoding, runs: Runs, kinds: tuple[str, ...], **settings: Any) -> Trace:
    """Return a trace with everything that is known after the clean and the corrupted run."""
    answer = int(runs.clean.argmax())
    high = float(runs.clean.softmax(-1)[answer])
    low = runs.corrupted.softmax(-1)[:, answer].contiguous().cpu().numpy()
    values = np.full((len(kinds), len(encoding.ids), model.n_layers, runs.samples), np.nan, np.float32)
    # Left of the subject the corrupted run is the clean run: restoring a state there changes nothing.
    values[:, : encoding.subject_range[0]] = low
    if "state" in kinds:
        # Nothing but the last token's answer is read from the last layer.
        values[kinds.index("state"), :, -1] = low
        values[kinds.index("state"), -1, -1] = high
    return Trace(
        fact=fact,
        model=model.name,
        fingerprint=model.fingerprint,
        tokens=encoding.pieces,
        token_ids=encoding.ids,
        subject_range=encoding.subject_range,
        answer=model.token(answer),
        answer_id=answer,
        high=high,
        low_samples=low,
        samples=label_samples(values, kinds, encoding.pieces, encoding.subject_range),
        edits=tuple(map(str, model.edits)),
        **settings,
    )


def _telling_order(encoding: Encoding) -> list[int]:
    """Token rows to compute: last subject token, last token, rest of the subject, the rest."""
    start, stop = encoding.subject_range
    last = len(encoding.ids) - 1
    return list(dict.fromkeys([stop - 1, last, *range(stop - 2, start - 1, -1), *range(stop, last)]))


def _progress(trace: Trace) -> float:
    return float(np.isfinite(trace.samples.values[..., 0]).mean())


def _cells_within(memory: int | None, model: Model, runs: Runs) -> int:
    """How many cells one sweep takes on: as many as memory allows, and no more than keep Stop within reach.

    Both limits are estimates from shapes, never from clocks, so that a trace is split alike every time.
    """
    on_cpu = model.device.type == "cpu"
    if memory is None:
        memory = int(torch.cuda.mem_get_info(model.device)[0] * 0.5) if model.device.type == "cuda" else 2**30
    vocabulary = runs.clean.shape[-1]
    floats = runs.samples * (runs.tokens * 16 * model.width + 3 * vocabulary)
    weights = sum(parameter.numel() for parameter in model.blocks[0].parameters()) * model.n_layers
    flops = 2 * weights * runs.samples * runs.tokens
    return max(1, min(memory // (4 * floats), (_CPU_SWEEP if on_cpu else _GPU_SWEEP) // flops))
