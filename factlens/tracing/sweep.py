"""The exact sweep: all cells of one token row in a single walk through the layers.

A restored run at (token t, layer l) is the corrupted run itself below layer l and left of token t. So
nothing there is computed again: the walk starts at the first layer that differs, each cell *joins* the
batch as S more rows at the layer where it departs from the corrupted run, only the tokens from t on are
processed, and they look back at the corrupted run's keys and values. Two hooks per layer do it on the
unchanged Hugging Face model. The numbers are those of one full forward pass per cell, which
``tests/tracing/oracle.py`` computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from factlens.models import Model
from factlens.models.hooks import all_of, on_input, on_output, passing_through
from factlens.tracing.runs import MODULE_KINDS, Runs
from factlens.tracing.windows import window_layers


@dataclass(frozen=True)
class Cell:
    """One restored run of a token row.

    Attributes
    ----------
    kind, layer
        What is restored, and the layer it is counted at (the window's centre for ``mlp`` and ``attn``).
    joins
        The block at whose input the cell departs from the corrupted run.
    restored
        The layers whose module output is set to its clean value; empty for ``state``, which joins with
        the clean state already in place.
    """

    kind: str
    layer: int
    joins: int
    restored: range


def cells_of_row(kinds: Sequence[str], window: int, n_layers: int) -> list[Cell]:
    """Return the cells of one token row in the order in which they join.

    The last layer's ``state`` is left out: at the last token it is the clean answer itself, elsewhere
    nothing reads it.
    """
    cells = []
    for kind in kinds:
        for layer in range(n_layers):
            if kind in MODULE_KINDS:
                restored = window_layers(layer, window, n_layers)
                cells.append(Cell(kind, layer, restored.start, restored))
            elif layer + 1 < n_layers:
                cells.append(Cell(kind, layer, layer + 1, range(0)))
    return sorted(cells, key=lambda cell: cell.joins)


@torch.no_grad()
def sweep(model: Model, runs: Runs, token: int, cells: Sequence[Cell]) -> Tensor:
    """Compute restored runs of one token row.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    runs
        Its clean and corrupted runs.
    token
        The token whose states are restored.
    cells
        What to restore, in the order of joining.

    Returns
    -------
    torch.Tensor
        Logits after the last token, ``(cells, S, vocabulary)``, float32.
    """
    samples, first = runs.samples, cells[0].joins
    hooks = [passing_through(model.blocks[:first], model.returns_tuple)]
    for layer in sorted({cell.joins for cell in cells}):
        hooks.append(on_input(model.blocks[layer], _Join(runs, token, cells, layer, keep=layer > first)))
    for layer in range(first, model.n_layers):
        for kind, module in (("mlp", model.mlp(layer)), ("attn", model.attention(layer))):
            rows = [i for i, cell in enumerate(cells) if cell.kind == kind and layer in cell.restored]
            if rows:
                hooks.append(on_output(module, _Restore(runs.modules[kind][layer][token], rows, samples)))
    # The row that enters is a stand-in, replaced where the first cells join. Positions and mask have batch one and
    # broadcast over however many rows there are by then. The mask is additive: eager attention adds what it gets.
    stand_in = runs.residual[0][:1, token:]
    positions = torch.arange(token, runs.tokens, device=model.device)[None]
    mask = torch.full((runs.tokens, runs.tokens), torch.finfo(model.dtype).min, dtype=model.dtype, device=model.device)
    with all_of(hooks):
        logits = model.model(
            inputs_embeds=stand_in,
            position_ids=positions,
            attention_mask=mask.triu(1)[None, None, token:],
            past_key_values=_prefix(runs, token),
            use_cache=True,
            logits_to_keep=1,
        ).logits
    last: Tensor = logits[:, -1]
    return last.float().view(len(cells), samples, -1)


class _Join:
    """Append, at a block's input, the rows of the cells that join there."""

    def __init__(self, runs: Runs, token: int, cells: Sequence[Cell], layer: int, keep: bool) -> None:
        self.keep = keep
        joining = [cell for cell in cells if cell.joins == layer]
        self.rows = runs.residual[layer][1:, token:].repeat(len(joining), 1, 1)
        for i, cell in enumerate(joining):
            if cell.kind not in MODULE_KINDS:
                self.rows[i * runs.samples : (i + 1) * runs.samples, 0] = runs.residual[layer][0, token]

    def __call__(self, hidden: Tensor) -> Tensor:
        rows = self.rows.to(hidden.device)
        return torch.cat([hidden, rows]) if self.keep else rows


class _Restore:
    """Set a module's output at the swept token to its clean value, in the rows of some cells."""

    def __init__(self, clean: Tensor, cells: Sequence[int], samples: int) -> None:
        self.clean = clean
        self.rows = torch.tensor([i * samples + s for i in cells for s in range(samples)], device=clean.device)

    def __call__(self, output: Tensor) -> Tensor:
        output = output.clone()
        output[self.rows.to(output.device), 0] = self.clean.to(output.device)
        return output


class _PrefixLayer(DynamicLayer):
    """The corrupted run's keys and values left of the swept token: served to every cell, never grown."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        cells = len(key_states) // len(self.keys)
        keys = torch.cat([self.keys.repeat(cells, 1, 1, 1), key_states], dim=-2)
        values = torch.cat([self.values.repeat(cells, 1, 1, 1), value_states], dim=-2)
        return keys, values


def _prefix(runs: Runs, token: int) -> DynamicCache:
    cache = DynamicCache()
    cache.layers = [
        _PrefixLayer(keys[:, :, :token], values[:, :, :token])
        for keys, values in zip(runs.keys, runs.values, strict=True)
    ]
    return cache


def in_parts(cells: Sequence[Cell], at_once: int) -> Iterator[Sequence[Cell]]:
    """Split the cells of a row into sweeps of at most `at_once`; later ones start at later layers."""
    for i in range(0, len(cells), at_once):
        yield cells[i : i + at_once]
