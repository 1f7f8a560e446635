"""In which order the rows come, and how many cells one sweep takes on.

All of it from shapes, never from clocks, so that a trace is split alike every time; no choice here changes a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from factlens.models import Model
from factlens.models.encoding import Encoding
from factlens.tracing.cells import Cell
from factlens.tracing.runs import Runs

# FLOPs of one sweep, roughly: a fraction of a second on two cores, and on an accelerator.
_CPU_SWEEP = 40 * 10**9
_GPU_SWEEP = 5 * 10**12
# FLOPs that fit into the time a pass takes when there is nothing to compute: what is worth wasting to save a sweep.
_CPU_PASS = 2 * 10**8
_GPU_PASS = 5 * 10**11


def telling_order(encoding: Encoding, first: int, model: Model, runs: Runs, kinds: int) -> Iterator[tuple[int, ...]]:
    """Yield token rows to compute, from `first` on: last subject token, last token and back, rest of the subject.

    Neighbouring rows are swept together where the tokens that are then computed in vain cost less than another pass
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
            # A row that begins earlier than it must computes so many tokens in vain.
            waste = sum(runs.at[other] - runs.at[token] for other in group)
            if group and waste * each > spare:
                yield tuple(group)
                group = []
            group.append(token)
        if group:
            yield tuple(group)


def flops_per_cell(model: Model, runs: Runs, tokens: int) -> float:
    """Return roughly what it costs to run S rows of so many tokens through all layers."""
    weights = sum(parameter.numel() for parameter in model.blocks[0].parameters()) * model.n_layers
    return 2.0 * weights * runs.samples * tokens


def cells_within(memory: int | None, model: Model, runs: Runs) -> int:
    """How many cells one sweep takes on: as many as memory allows, and no more than keep Stop within reach."""
    on_cpu = model.device.type == "cpu"
    if memory is None:
        memory = int(torch.cuda.mem_get_info(model.device)[0] * 0.5) if model.device.type == "cuda" else 2**30
    vocabulary = runs.clean.logits.shape[-1]
    floats = runs.samples * (runs.tokens * 16 * model.width + 3 * runs.positions * vocabulary)
    # A cell goes through half of the layers on average.
    flops = max(1.0, flops_per_cell(model, runs, runs.tokens) / 2)
    return max(1, int(min(memory // (4 * floats), (_CPU_SWEEP if on_cpu else _GPU_SWEEP) // flops)))


def in_parts(cells: Sequence[Cell], at_once: int) -> Iterator[Sequence[Cell]]:
    """Split cells into sweeps of at most `at_once`, those that join late apart from those that join early."""
    if len(cells) <= at_once:
        yield cells
        return
    ordered = sorted(cells, key=lambda cell: cell.joins)
    for i in range(0, len(ordered), at_once):
        yield ordered[i : i + at_once]
