"""The three runs of one cell, computed again from what a trace records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from factlens.models import Model
from factlens.models.hooks import Kept, all_of, on_output
from factlens.tracing.answers import Measurement
from factlens.tracing.cells import Cell, cells_of_row
from factlens.tracing.corruption import corrupt
from factlens.tracing.result import Trace
from factlens.tracing.runs import SOURCES, Runs, reading, run_clean_and_corrupted
from factlens.tracing.sites import HEADS, PARTS, site_of


@dataclass(frozen=True)
class Rerun:
    """The clean and the corrupted run of a trace, computed again.

    Attributes
    ----------
    runs
        Both, with the outputs of MLP and attention, and of the heads where the cell has a part in theirs.
    measurement
        What the trace measured.
    neurons
        Input of the layer's down projection: ``(1, tokens, neurons)`` clean, and ``(S, tokens, neurons)`` corrupted.
        None if it was not asked for, or there is none.
    """

    runs: Runs
    measurement: Measurement
    neurons: tuple[Tensor, Tensor] | None


@torch.no_grad()
def run_again(model: Model, trace: Trace, kind: str, layer: int) -> Rerun:
    """Run the clean and the corrupted prompts of a trace again: same noise, same answer, same tokens.

    Parameters
    ----------
    model
        The traced model; the caller holds ``model.exclusive()``.
    trace
        What to repeat.
    kind, layer
        The cell that is looked into, which decides what is kept.
    """
    encoding = model.encode(trace.fact)
    measurement = Measurement.of(trace)
    corrupted = corrupt(model, trace.fact, encoding, trace.corruption, trace.samples.sizes["sample"], trace.seed)
    site, active = site_of(kind), Kept()
    sources = (*PARTS, *((HEADS,) if site.shares == "heads" else ()), *((site.source,) if site.source else ()))
    watch = []
    if site.shares == "neurons" and model.family.down is not None:
        down = model.blocks[layer].get_submodule(model.family.down)
        watch.append(active.input(down, lambda hidden: hidden.flatten(0, -2).clone()))
    with all_of(watch):
        runs = run_clean_and_corrupted(
            model,
            encoding.ids,
            corrupted,
            forced=measurement.forced,
            positions=measurement.positions,
            sources=dict.fromkeys(sources),
        )
    neurons = None
    if active:
        # One batch or two, rows of tokens or flattened (OPT): the clean row's tokens come first.
        flat, clean_tokens = torch.cat(active), len(encoding.ids) + len(measurement.forced)
        neurons = flat[None, :clean_tokens], flat[clean_tokens:].view(runs.samples, runs.tokens, -1)
    return Rerun(runs, measurement, neurons)


def residuals_of(model: Model, trace: Trace, rerun: Rerun, kind: str, token: int, layer: int) -> dict[str, Tensor]:
    """Return the residual where it leaves the layer at the token, per run: ``(1, width)``, and twice ``(S, width)``."""
    runs = rerun.runs
    cells = cells_of_row([kind], token, trace.window, model.n_layers, trace.window_convention)
    # A grid's last layer of states is known without computing, so it has no cells.
    behind = range(layer + 1, layer + 1)
    cell = next((cell for cell in cells if cell.layer == layer), Cell(site_of(kind), token, layer, behind))
    return {
        "clean": runs.clean.residual[layer + 1][:, token],
        "corrupted": runs.corrupted.residual[layer + 1][:, runs.at[token]],
        "restored": restored_run(model, rerun, cell)[0],
    }


@torch.no_grad()
def restored_run(model: Model, rerun: Rerun, cell: Cell) -> tuple[Tensor, Tensor]:
    """Run the corrupted prompts in full with a cell restored: the plain way, without the sweep.

    Returns
    -------
    tuple of torch.Tensor
        The residual where it leaves the cell's layer at its token, ``(S, width)``; the logits at the positions that
        are read, ``(S, positions, vocabulary)``, float32.
    """
    runs, site, place = rerun.runs, cell.site, rerun.runs.at[cell.token]
    hooks, left = [], Kept()

    def putting(value: Tensor, part: slice = slice(None)) -> Callable[[Tensor], Tensor]:
        def put(output: Tensor) -> Tensor:
            changed = output.clone()
            changed.view(runs.samples, runs.tokens, -1)[:, place, part] = value[..., part].to(output.device)
            return changed

        return put

    if site.restores_state:
        state = runs.clean.residual[cell.joins][:, cell.token]
        hooks.append(on_output(model.blocks[cell.joins - 1], putting(state)))
    for layer in cell.layers:
        source = str(site.source)
        if site.severed:
            value = runs.corrupted.outputs[source][layer][:, place]
        else:
            value = runs.clean.outputs[source][layer][:, cell.token]
        width = value.shape[-1] // model.n_heads
        part = slice(None) if site.head is None else slice(site.head * width, (site.head + 1) * width)
        hooks.append(SOURCES[source].around(model, layer, putting(value, part)))
    # Registered after the hook that puts the state in, so that it sees what was put.
    hooks.append(left.output(model.blocks[cell.layer], lambda output: output[:, place].clone()))
    with all_of([*hooks, reading(model, runs.positions)]):
        logits = model.model(inputs_embeds=runs.embedded, use_cache=False).logits
    return left[0], logits.float()
