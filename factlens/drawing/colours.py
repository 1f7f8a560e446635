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


# For papers ----------------------------------------------------------------------------------------------------------

PALETTES = ("kind", "safe", "grey")
# Behind white; the first is the page's own (js/src/heatmap/palettes.ts).
_STOPS = {"safe": ((240, 222, 140), (146, 140, 118), (22, 52, 104)), "grey": ((26, 26, 26),)}
_BELOW, _ABOVE = ((150, 190, 235), (20, 70, 150)), ((250, 190, 120), (165, 70, 0))
# Oklab (Björn Ottosson's perceptual colour space): from linear light to cones, and from their cube roots to lightness
# and two colours. Equal steps there look equal.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.793617785, -0.0040720468],
        [1.9779984951, -2.428592205, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.808675766],
    ]
)


class Series(NamedTuple):
    """How one line, or the bars of one sort, are told from the others."""

    colour: str
    dash: str
    marker: str
    hatch: str


# Okabe and Ito (2008) without black and yellow, which are hard to tell from letters and from paper.
_SERIES_COLOURS = {
    "kind": tuple(f"C{i}" for i in range(10)),
    "safe": ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"),
    "grey": ("#1a1a1a", "#5c5c5c", "#8c8c8c", "#b5b5b5"),
}
_DASHES, _MARKERS, _HATCHES = ("-", "--", "-.", ":"), "osD^vPX", ("", "///", "...", "\\\\\\", "xxx")


def series(palette: str, number: int) -> Series:
    """Return the look of the line, or of the bars, with a number; in grey, dashes and hatches tell them apart too."""
    colours = _SERIES_COLOURS[palette]
    colour, turn = colours[number % len(colours)], number // len(colours)
    if palette == "kind":
        return Series(colour, "-", "o", "")
    step = number if palette == "grey" else turn
    return Series(colour, _DASHES[step % 4], _MARKERS[number % len(_MARKERS)], _HATCHES[step % 5])


def before_colour(palette: str) -> str:
    """Return the colour of what was before an edit: a pale grey."""
    return {"kind": OLD, "safe": "#b4b4b4", "grey": "#e2e2e2"}[palette]


def ramp(palette: str, steps: int = 256) -> np.ndarray:
    """Return the colours of a palette from white to its darkest: shape ``(steps, 3)``, from 0 to 1."""
    return _through(((255, 255, 255), *_STOPS[palette]), steps)


def diverging_ramp(steps: int = 256) -> np.ndarray:
    """Return colours for differences: blue below zero, white, orange above; told apart by most eyes."""
    half = steps // 2
    below, above = (_through(((255, 255, 255), *stops), half + 1) for stops in (_BELOW, _ABOVE))
    return np.concatenate([below[:0:-1], above[steps % 2 == 0 :]])


def _through(stops: tuple[tuple[int, int, int], ...], steps: int) -> np.ndarray:
    lab = np.cbrt(_linear(np.array(stops) / 255) @ _CONES.T) @ _LAB.T
    at = np.linspace(0, len(stops) - 1, steps)
    between = np.stack([np.interp(at, np.arange(len(stops)), lab[:, i]) for i in range(3)], -1)
    light = (between @ np.linalg.inv(_LAB).T) ** 3 @ np.linalg.inv(_CONES).T
    return _encoded(light.clip(0, 1))


def _linear(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4))


def _encoded(light: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))
