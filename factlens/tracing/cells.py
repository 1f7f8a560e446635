"""Cells of a grid, and the tracks of the sweep that compute them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factlens.tracing.sites import Site, site_of


@dataclass(frozen=True)
class Cell:
    """One restored run.

    Attributes
    ----------
    site, token, layer
        Where it stands in the grids; `layer` is the middle of a window.
    layers
        The layers whose output of the site's source, at this token, is set: to the clean value, or, where the path is
        severed, to the corrupted one. They begin at the block at whose input the run departs from the corrupted run,
        and that also where there are none of them: behind the layer whose state is restored.
    """

    site: Site
    token: int
    layer: int
    layers: range

    @property
    def kind(self) -> str:
        """The grid that it stands in."""
        return self.site.name

    @property
    def joins(self) -> int:
        """The block at whose input the run departs from the corrupted run."""
        return self.layers.start


def cells_of_row(kinds: Sequence[str], token: int, window: int, n_layers: int, convention: str = "code") -> list[Cell]:
    """Return the cells of one token row that need computing.

    States of the last layer are left out: only the token's own answer is read from them, so they are known.
    """
    return [
        Cell(site, token, layer, site.layers(layer, window, n_layers, convention))
        for site in map(site_of, kinds)
        for layer in range(n_layers - 1 if site.restores_state else n_layers)
    ]


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
        if cell.site.windowed:
            longest = trunks.setdefault((cell.kind, cell.token, cell.joins), cell)
            if cell.layers.stop > longest.layers.stop:
                trunks[cell.kind, cell.token, cell.joins] = cell
    joining: dict[Cell, tuple[int, Cell | None]] = {}
    same: list[Cell] = []
    for cell in cells:
        trunk = trunks.get((cell.kind, cell.token, cell.joins), cell)
        if trunk is cell or trunk.layers == cell.layers:
            joining.setdefault(trunk, (trunk.joins, None))
            same.append(trunk)
        else:
            joining[cell] = (cell.layers.stop, trunk)
            same.append(cell)
    ordered = sorted(joining, key=lambda cell: joining[cell][0])
    place = {cell: i for i, cell in enumerate(ordered)}
    tracks = []
    for cell in ordered:
        joins, source = joining[cell]
        tracks.append(Track(cell, joins, None if source is None else place[source]))
    return tracks, [place[cell] for cell in same]
