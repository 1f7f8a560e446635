"""Grids as SVG: for saved notebooks, for pages, for anywhere without a kernel."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from factlens.drawing.colours import FAINT, INK, LINE, PAPER, family, shade
from factlens.drawing.grid import GridPicture
from factlens.drawing.numbers import precise
from factlens.drawing.svg import document, fit, length, rect, text
from factlens.escaping import html
from factlens.visible import isolated

_ROW, _TOP, _GAP = 20, 66, 34
_MANY = 600
"""With more cells than this, notes are by row."""
# Shades are told apart in so many steps, more than the eye can see.
_LEVELS, _MISSING, _NOTHING = 64, -1, -2


def grid_svg(picture: GridPicture) -> str:
    """Draw grids: rows down, layers across, panels side by side, as many in a row as fit.

    Colours run from white (`low`) to the family's darkest shade (`high`); either of the two may be the larger number.
    A cell that was estimated but not computed is a stripe on grey.
    """
    layers, panels = picture.layers, picture.panels
    labels = [row.label for row in picture.rows]
    cell = 22 if picture.roomy else min(22, max(5, 340 // layers))
    left = 24 + max(length(label, 12) for label in labels)
    # A title may be wider than a panel of few layers.
    pitch = _GAP + max(layers * cell, *(length(panel.title, 11) for panel in panels))
    columns = len(panels) if picture.roomy else int(min(len(panels), max(1, (1240 - left) // pitch)))
    height = len(labels) * _ROW
    step_down = height + 84
    below = _TOP - 24 + -(-len(panels) // columns) * step_down
    lines = 24 + max(length(line, 11) for line in (picture.subtitle, *picture.footnotes))
    legend = picture.legend("a stripe is an estimate from gradients")
    lines = max(lines, 24 + length(picture.title + picture.ending, 14), *(left + length(line, 10) for line in legend))
    width = max(left + columns * pitch, lines if picture.roomy else min(900, lines))
    title = isolated(fit(picture.title, 14, width - 24 - length(picture.ending, 14))) + picture.ending
    parts = [
        text(12, 22, title, size=14, weight="600"),
        text(12, 40, fit(picture.subtitle, 11, width - 24), size=11, fill=FAINT),
    ]
    shares, estimates = picture.shares(picture.drawn), picture.shown_estimates
    guesses = np.full_like(shares, np.nan) if estimates is None else picture.shares(estimates)
    scaled: set[tuple[int, int, int]] = set()
    for n, panel in enumerate(panels):
        x, y = left + n % columns * pitch, _TOP + n // columns * step_down
        dark = family(panel.family).dark
        if n % columns == 0:
            for i, row in enumerate(picture.rows):
                weight, fill = "600" if row.strong else "400", FAINT if row.faint else INK
                at = (x - 8, y + (i + 0.7) * _ROW)
                parts.append(text(*at, row.label, size=12, anchor="end", weight=weight, fill=fill))
        parts.append(text(x, y - 7, panel.title, size=11, weight="600"))
        parts.append(f"<g transform='translate({x:.0f} {y})'>")
        parts += [_cells(shares[n], guesses[n], dark, cell), _notes(picture, n, cell), "</g>"]
        for layer in range(0, layers, max(1, -(-layers // 12))):
            middle = x + (layer + 0.5) * cell
            parts.append(text(middle, y + height + 14, str(layer), size=10, anchor="middle", fill=FAINT))
        if dark not in scaled:
            scaled.add(dark)
            parts.append(_scale(x, y + height + 26, dark, picture.low, picture.high))
    for i, line in enumerate(legend):
        parts.append(text(left, below + 16 * i, fit(line, 10, width - left), size=10, fill=FAINT))
    below += 16 * max(0, len(legend) - 1)
    for i, line in enumerate(picture.footnotes):
        parts.append(text(12, below + 14 + 16 * i, line, size=11, fill=FAINT))
    return document(width, below + 10 + 16 * len(picture.footnotes), parts, picture.alt)


def _cells(shares: np.ndarray, guesses: np.ndarray, dark: tuple[int, int, int], width: int) -> str:
    """Draw a grid as one path per shade, in which neighbours of one shade are one stroke.

    A rectangle per cell would make the picture of a large model ten times as long as the trace itself.
    """
    shown = [
        _strokes(np.where(np.isnan(shares), _MISSING, _level(shares)), dark, 1),
        _strokes(np.where(np.isnan(guesses), _NOTHING, _level(guesses)), dark, 0.4),
    ]
    rows, columns = shares.shape
    lines = "".join(f"M{i * width} 0v{rows * _ROW}" for i in range(1, columns))
    lines += "".join(f"M0 {i * _ROW}h{columns * width}" for i in range(1, rows))
    return (
        f"<g transform='translate(0 {_ROW / 2:g}) scale({width} {_ROW})'>{''.join(shown)}</g>"
        f"<path d='{lines}' stroke='{PAPER}' stroke-width='{1 if width > 10 else 0.5}'/>"
        f"<rect x='-1' y='-1' width='{columns * width + 2}' height='{rows * _ROW + 2}' "
        f"fill='none' stroke='{LINE}'/>"
    )


def _level(shares: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(np.clip(np.nan_to_num(shares), 0, 1) * _LEVELS))


def _strokes(levels: np.ndarray, dark: tuple[int, int, int], thickness: float) -> str:
    """Draw every run of cells of one level in a row, in units of cells."""
    paths: dict[int, list[str]] = {}
    for y, row in enumerate(levels.astype(int)):
        edges = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
        for begin, end in pairwise(edges):
            paths.setdefault(int(row[begin]), []).append(f"M{begin} {y}h{end - begin}")
    paths.pop(_NOTHING, None)
    return "".join(
        f"<path stroke='{shade(dark, np.nan if level == _MISSING else level / _LEVELS)}' "
        f"stroke-width='{thickness}' d='{''.join(strokes)}'/>"
        for level, strokes in paths.items()
    )


def _notes(picture: GridPicture, n: int, width: int) -> str:
    """Put the numbers where the mouse finds them: of each cell, or where there are very many, of each row's best."""
    title, better = picture.panels[n].title, 1 if picture.high >= picture.low else -1
    notes = []
    for i, (label, row) in enumerate(zip([row.label for row in picture.rows], picture.values[n], strict=True)):
        if picture.roomy or picture.values.size <= _MANY:
            notes += [
                (layer, i, 1, f"{label}, layer {layer}, {title}: {picture.said_of(n, i, layer)}")
                for layer in range(len(row))
            ]
        else:
            most = picture.missing
            if np.isfinite(row).any():
                best = int(np.nanargmax(better * row))
                most = f"most at layer {best}: {picture.number(row[best])}"
            notes.append((0, i, len(row), f"{label}, {title}: {most}"))
    boxes = (
        f"<rect x='{x * width}' y='{y * _ROW}' width='{cells * width}' height='{_ROW}'>"
        f"<title>{html(note)}</title></rect>"
        for x, y, cells, note in notes
    )
    return f"<g fill='transparent'>{''.join(boxes)}</g>"


def _scale(x: float, y: int, dark: tuple[int, int, int], low: float, high: float) -> str:
    steps, width = 24, 120
    boxes = [rect(x + i * width / steps, y, width / steps + 0.5, 8, shade(dark, i / (steps - 1))) for i in range(steps)]
    ends = text(x, y + 20, precise(low), size=10, fill=FAINT)
    return "".join(boxes) + ends + text(x + width, y + 20, precise(high), size=10, anchor="end", fill=FAINT)
