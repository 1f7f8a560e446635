"""Grids for a terminal."""

from __future__ import annotations

import numpy as np

from factlens.drawing.grid import GridPicture
from factlens.visible import columns

_RAMP = " ░▒▓█"


def grid_text(picture: GridPicture) -> str:
    """Draw grids side by side: two characters per cell, darker for a larger share; layers are counted below."""
    # The mark of a row that matters has a column of its own.
    labels = [row.label if row.strong else f"{row.label} " for row in picture.rows]
    width, panel = max(map(columns, labels)), 2 * picture.layers
    shares = np.nan_to_num(picture.shares(picture.drawn).clip(0, 1))
    axis = "".join(f"{layer % 100:<2d}" for layer in range(picture.layers))
    lines = [[" " * width, *(one.name.ljust(panel)[:panel] for one in picture.panels)]]
    for i, label in enumerate(labels):
        grids = ("".join(_RAMP[round(4 * share)] * 2 for share in grid[i]) for grid in shares)
        lines.append([" " * (width - columns(label)) + label, *grids])
    lines.append([" " * width, *[axis] * len(picture.panels)])
    return "\n".join(map("   ".join, lines))
