"""The exact sweep: many cells in a single walk through the layers.

A restored run at (token t, layer l) is the corrupted run itself below layer l and left of token t. So nothing there
is computed again: the walk starts at the first layer that differs, each cell *joins* the batch as S more rows at the
layer where it departs from the corrupted run, only the tokens from t on are processed, and they look back at the
corrupted run's keys and values. Hooks on the unchanged Hugging Face model do it. The numbers are those of one full
forward pass per cell, which ``tests/tracing/oracle.py`` computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from factlens.models import Model
from factlens.models.hooks import fused_activations
from factlens.models.partial import Entry, mlp_only_at, run_from
from factlens.models.unembedding import narrowed
from factlens.tracing.cells import Cell, Track, tracks_for
from factlens.tracing.runs import SOURCES, Runs, reading
from factlens.tracing.sites import MLP


@torch.no_grad()
def sweep(model: Model, runs: Runs, cells: Sequence[Cell], columns: Sequence[int] = ()) -> Tensor:
    """Compute restored runs.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    runs
        Its clean and corrupted runs.
    cells
        What to restore, at one token or several. All rows begin at the first of these tokens, so tokens that stand
        far apart are better swept apart.
    columns
        The only columns of the logits to compute, where `can_narrow` says that it can be done. Default: all.

    Returns
    -------
    torch.Tensor
        Logits at the positions that are read, ``(cells, S, positions, vocabulary or columns)``, float32.
    """
    tracks, track_of = tracks_for(cells)
    start = min(runs.at[cell.token] for cell in cells)
    first = tracks[0].joins
    walk = _Walk(model, runs, tracks, start, first)
    # The row that enters is a stand-in, replaced where the first cells join. Everything that depends on the number of
    # rows is put right at each block; positions have batch one and broadcast.
    logits = run_from(
        model,
        first,
        1,
        [*walk.hooks(), *([narrowed(model, columns)] if columns else [])],
        entering=walk.entering,
        prefix=[(runs.keys[i][:, :, :start], runs.values[i][:, :, :start]) for i in range(first, model.n_layers)],
        positions=torch.arange(start, runs.tokens, device=model.device)[None],
    )
    each: Tensor = logits.float().view(len(tracks), runs.samples, runs.positions, -1)
    return each if track_of == list(range(len(tracks))) else each[torch.tensor(track_of, device=each.device)]


class _Walk:
    """The hooks of one sweep."""

    def __init__(self, model: Model, runs: Runs, tracks: Sequence[Track], start: int, first: int) -> None:
        self.model, self.runs, self.tracks, self.start, self.first = model, runs, tracks, start, first
        self.tokens = runs.tokens - start
        # Looked up once: a configuration is slow to ask.
        self.heads = model.n_heads

    def hooks(self) -> Iterator[Any]:
        """Yield the context managers that turn a partial pass of the model into the sweep."""
        model = self.model
        yield fused_activations(model.model)
        for layer in range(self.first, model.n_layers):
            rows = sum(track.joins <= layer for track in self.tracks)
            setting: dict[str, list[int]] = {}
            for i, track in enumerate(self.tracks[:rows]):
                # A trunk is set in its own window, which contains the windows of what forks from it.
                if layer in track.cell.layers:
                    setting.setdefault(str(track.cell.site.source), []).append(i)
            for source, members in setting.items():
                yield SOURCES[source].around(model, layer, self._setting(members, source, layer))
            yield self._mlp_where_needed(layer, rows, setting.get(MLP, ()))
        yield reading(model, self.runs.positions)

    def entering(self, layer: int, hidden: Tensor) -> Entry:
        """Append the rows that join at a block's input, and make mask and biases fit their number."""
        joining = [track for track in self.tracks if track.joins == layer]
        if joining:
            parts = [] if layer == self.first else [hidden]
            hidden = torch.cat([*parts, *(self._joined(track, hidden) for track in joining)])
        mask = self.runs.masks[layer]
        return Entry(hidden, mask.additive(self.start, self.runs.tokens, hidden), mask.alibi_for(len(hidden)))

    def _joined(self, track: Track, hidden: Tensor) -> Tensor:
        samples = self.runs.samples
        if track.forks is not None:
            return hidden[track.forks * samples : (track.forks + 1) * samples]
        rows = self.runs.corrupted.residual[track.joins][:, self.start :].to(hidden.device)
        if track.cell.site.restores_state:
            rows = rows.clone()
            rows[:, self._offset(track)] = self.runs.clean.residual[track.joins][0, track.cell.token].to(rows.device)
        return rows

    def _offset(self, track: Track) -> int:
        return self.runs.at[track.cell.token] - self.start

    def _setting(self, members: Sequence[int], source: str, layer: int) -> Any:
        """Return a function that sets what a source gives at each track's own token."""
        runs, samples = self.runs, self.runs.samples
        clean, corrupted = runs.clean.outputs[source][layer], runs.corrupted.outputs[source][layer]
        width = clean.shape[-1]
        each = width // self.heads

        # Tracks that take the same value at the same place are written together.
        alike: dict[tuple[int, bool, int | None], list[int]] = {}
        for i in members:
            cell = self.tracks[i].cell
            key = cell.token, cell.site.severed, cell.site.head
            alike.setdefault(key, []).extend(range(i * samples, (i + 1) * samples))
        writes = []
        for (token, severed, head), places in alike.items():
            values = corrupted[:, runs.at[token]].repeat(len(places) // samples, 1) if severed else clean[:, token]
            part = slice(None) if head is None else slice(head * each, (head + 1) * each)
            writes.append(
                (torch.tensor(places, device=clean.device), runs.at[token] - self.start, part, values[:, part])
            )

        def put(output: Tensor) -> Tensor:
            # Outputs are fresh tensors and are written in place; an input may be another module's.
            changed = output.clone() if SOURCES[source].at_input else output
            rows = changed.view(-1, self.tokens, width)
            for places, offset, part, values in writes:
                rows[places.to(rows.device), offset, part] = values.to(rows.device)
            return changed

        return put

    def _mlp_where_needed(self, layer: int, rows: int, setting: Sequence[int]) -> Any:
        """Return a context in which the MLP runs only at positions whose output is used.

        Unused are: outputs that are set anyway; in the last layer, all but the positions that are read.
        """
        needed = torch.ones(rows, self.tokens, dtype=torch.bool)
        if layer == self.model.n_layers - 1:
            needed[:, : self.tokens - self.runs.positions] = False
        for i in setting:
            needed[i, self._offset(self.tracks[i])] = False
        return mlp_only_at(self.model, layer, needed.repeat_interleave(self.runs.samples, 0))
