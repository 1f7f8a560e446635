"""Colours: always light, so that a saved picture looks the same everywhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

INK, FAINT, PAPER = "#1c2430", "#5f6b7a", "#ffffff"
LINE = "#dfe3e8"
"""Frames, and cells without a number."""
OLD, NEW = "#8a94a3", "#2563c4"
"""What was before an edit, and what the edit is about."""


class Family(NamedTuple):
    """The colours of grids that show one sort of thing: the darkest shade as RGB, and the colour map in matplotlib."""

    dark: tuple[int, int, int]
    map: str


# In the manner of Meng et al. (2022): purple, green, red. Titles say what is shown as well.
_FAMILIES = {
    "state": Family((84, 39, 143), "Purples"),
    "mlp": Family((0, 104, 55), "Greens"),
    "attn": Family((165, 15, 21), "Reds"),
}
_OTHER = Family((8, 48, 107), "Blues")


def family(name: str) -> Family:
    """Return the colours of a family: ``"state"``, ``"mlp"``, ``"attn"``; any other is blue."""
    return _FAMILIES.get(name, _OTHER)


def shade(dark: tuple[int, int, int], share: float) -> str:
    """Return the colour of a share, from white for 0 to `dark` for 1; grey for NaN."""
    if np.isnan(share):
        return LINE
    share = float(np.clip(share, 0, 1))
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in dark)
