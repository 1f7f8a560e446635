"""In which order the rows come, and how many cells one sweep computes.

All of it from shapes, never from clocks, so that a trace is split alike every time; no choice here changes a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import ceil

import torch

from factlens.models import Model
from factlens.models.encoding import Encoding
from factlens.tracing.cells import Cell
from factlens.tracing.runs import Runs

# FLOPs of one sweep, roughly: a second on two cores, a fraction of one on an accelerator. Fewer and larger ones would
# fill the batches no better, and update the grid less often.
_CPU_SWEEP = 128 * 10**9
_GPU_SWEEP = 5 * 10**12
# FLOPs of a whole grid, for all its samples, that are too few for rounds: passes of so little work take as long for one
# sample as for some, so that a first round would add a tenth to the whole (atlas), and come when a third of it is over.
_CPU_BRIEF = _CPU_SWEEP // 4
_GPU_BRIEF = _GPU_SWEEP // 4
# FLOPs that fit into the time a pass takes when there is nothing to compute: what is worth wasting to save a sweep.
_CPU_PASS = 4 * 10**8
_GPU_PASS = 5 * 10**11


def telling_order(encoding: Encoding, first: int, model: Model, runs: Runs, kinds: int) -> Iterator[tuple[int, ...]]:
    """Yield token rows to compute, from `first` on: last subject token, last token and back, rest of the subject.

    Neighbouring rows are swept together where the tokens that are then computed for nothing cost less than another pass
    through the layers.
    """
    stop = encoding.subject_range[1]
    last = len(encoding.ids) - 1
    yield (stop - 1,)
    each = flops_per_cell(model, runs, 1) * kinds * model.n_layers / 2
    spare = _CPU_PASS if model.device.type == "cpu" else _GPU_PASS
    for rows in (range(last, stop - 1, -1), range(stop - 2, first - 1, -1)):
        group: list[int] = []
        for token in rows:
            # A row that begins earlier than it must computes so many tokens for nothing.
            waste = sum(runs.at[other] - runs.at[token] for other in group)
            if group and waste * each > spare:
                yield tuple(group)
                group = []
            group.append(token)
        if group:
            yield tuple(group)


def is_brief(model: Model, runs: Runs, first: int, kinds: int) -> bool:
    """Return whether the whole grid, from token `first` on, comes so soon that no part of it need be shown."""
    rows = runs.tokens - runs.at[first]
    # On average a cell joins half-way up, and its row begins half-way along.
    work = flops_per_cell(model, runs, rows) / 4 * rows * kinds * model.n_layers
    return work < (_CPU_BRIEF if model.device.type == "cpu" else _GPU_BRIEF)


def flops_per_cell(model: Model, runs: Runs, tokens: int) -> float:
    """Return roughly what it costs to run S rows of so many tokens through all layers."""
    weights = sum(parameter.numel() for parameter in model.blocks[0].parameters()) * model.n_layers
    return 2.0 * weights * runs.samples * tokens


def cells_within(memory: int | None, model: Model, runs: Runs, tokens: int) -> int:
    """Return how many cells of so many tokens fit into memory at once, at least one."""
    if memory is None:
        memory = int(torch.cuda.mem_get_info(model.device)[0] * 0.5) if model.device.type == "cuda" else 2**30
    vocabulary = runs.clean.logits.shape[-1]
    floats = runs.samples * (tokens * 16 * model.width + 3 * runs.positions * vocabulary)
    return max(1, memory // (4 * floats))


def sweeps_for(cells: Sequence[Cell], at_most: int, model: Model, runs: Runs) -> list[Sequence[Cell]]:
    """Split cells into sweeps of about equal work, those that join late apart from those that join early.

    No sweep has more than `at_most` cells, and none so much work that the grid visibly stops growing.
    """
    tokens = runs.tokens - min(runs.at[cell.token] for cell in cells)
    vocabulary, n_layers = runs.clean.logits.shape[-1], model.n_layers
    layer = flops_per_cell(model, runs, tokens) / n_layers
    unembedding = 2.0 * vocabulary * model.width * runs.samples * runs.positions
    ordered = sorted(cells, key=lambda cell: cell.joins)
    work = list(accumulate(layer * (n_layers - cell.joins) + unembedding for cell in ordered))
    budget = _CPU_SWEEP if model.device.type == "cpu" else _GPU_SWEEP
    parts = min(len(cells), max(ceil(work[-1] / budget), ceil(len(cells) / at_most)))
    sweeps: list[list[Cell]] = [[]]
    for cell, done in zip(ordered, [0.0, *work[:-1]], strict=True):
        if len(sweeps[-1]) == at_most or (sweeps[-1] and done >= work[-1] * len(sweeps) / parts):
            sweeps.append([])
        sweeps[-1].append(cell)
    return list(sweeps)
