"""Cells of a grid, and the tracks of the sweep that compute them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from factlens.tracing.protocol import SEVERED, head_of, is_windowed
from factlens.tracing.windows import window_layers


@dataclass(frozen=True)
class Cell:
    """One restored run.

    Attributes
    ----------
    kind, token, layer
        Where it stands in the grids; `layer` is the window's centre for ``mlp`` and ``attn``.
    joins
        The block at whose input the run departs from the corrupted run.
    clean_state
        Whether it joins with the token's clean state in place.
    site, layers
        The layers whose output at `site`, at this token, is set: to the clean value, or, where the path is severed,
        to the corrupted one.
    head
        The only head that is set; None for all of the output.
    severed
        Whether the outputs are set to their corrupted values.
    """

    kind: str
    token: int
    layer: int
    joins: int
    clean_state: bool = False
    site: str | None = None
    layers: range = range(0)
    head: int | None = None
    severed: bool = False


def cells_of_row(kinds: Sequence[str], token: int, window: int, n_layers: int, convention: str = "code") -> list[Cell]:
    """Return the cells of one token row that need computing.

    States of the last layer are left out: only the token's own answer is read from them, so they are known.
    """
    cells = []
    for kind in kinds:
        for layer in range(n_layers):
            if is_windowed(kind):
                layers = window_layers(layer, window, n_layers, convention)
                cells.append(Cell(kind, token, layer, layers.start, site=kind, layers=layers))
            elif (head := head_of(kind)) is not None:
                cells.append(Cell(kind, token, layer, layer, site="head", layers=range(layer, layer + 1), head=head))
            elif layer + 1 < n_layers:
                cell = Cell(kind, token, layer, layer + 1, clean_state=True)
                if kind in SEVERED:
                    cell = replace(cell, site=SEVERED[kind], layers=range(layer + 1, n_layers), severed=True)
                cells.append(cell)
    return cells


@dataclass(frozen=True)
class Track:
    """S rows of a sweep's batch, from the block where they join to the end.

    Attributes
    ----------
    cell
        What is restored in them.
    joins
        The block at whose input they join.
    forks
        Position among the tracks of the one they are copied from; None for a copy of the corrupted run.
    """

    cell: Cell
    joins: int
    forks: int | None = None


def tracks_for(cells: Sequence[Cell]) -> tuple[list[Track], list[int]]:
    """Return the tracks that compute some cells, in the order of joining, and each cell's track.

    Windows that are clipped at the same first layer do the same work up to the end of the shorter one. They share a
    trunk, the longest of them, and fork from it where they end; equal ones share a track altogether.
    """
    trunks: dict[tuple[object, ...], Cell] = {}
    for cell in cells:
        if is_windowed(cell.kind):
            known = trunks.setdefault((cell.kind, cell.token, cell.joins), cell)
            if cell.layers.stop > known.layers.stop:
                trunks[cell.kind, cell.token, cell.joins] = cell
    wanted: dict[Cell, tuple[int, Cell | None]] = {}
    same: list[Cell] = []
    for cell in cells:
        trunk = trunks.get((cell.kind, cell.token, cell.joins), cell)
        if trunk is cell or trunk.layers == cell.layers:
            wanted.setdefault(trunk, (trunk.joins, None))
            same.append(trunk)
        else:
            wanted[cell] = (cell.layers.stop, trunk)
            same.append(cell)
    ordered = sorted(wanted, key=lambda cell: wanted[cell][0])
    place = {cell: i for i, cell in enumerate(ordered)}
    tracks = []
    for cell in ordered:
        joins, source = wanted[cell]
        tracks.append(Track(cell, joins, None if source is None else place[source]))
    return tracks, [place[cell] for cell in same]
