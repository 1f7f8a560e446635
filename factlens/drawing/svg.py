"""SVG as text, element by element: no JavaScript, no outside file, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence

from factlens.drawing.colours import INK, PAPER
from factlens.escaping import html
from factlens.visible import closed, clusters, columns

_FONT = "font-family='system-ui, -apple-system, Segoe UI, Roboto, sans-serif'"


def document(width: float, height: float, parts: Sequence[str], alt: str) -> str:
    """Return a whole picture of elements."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' aria-label='{html(alt)}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' "
        f"style='direction:ltr;max-width:100%;height:auto' {_FONT}>"
        f"<rect width='100%' height='100%' fill='{PAPER}'/>{''.join(parts)}</svg>"
    )


def text(
    x: float, y: float, words: str, *, size: int, fill: str = INK, anchor: str = "start", weight: str = "400"
) -> str:
    """Return a line of text that begins, ends or has its middle at ``x``, and stands on ``y``."""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{fill}' text-anchor='{anchor}' "
        f"font-weight='{weight}'>{html(words)}</text>"
    )


def rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    """Return a filled rectangle."""
    left, top, across, down = (str(at) if isinstance(at, int) else f"{at:.1f}" for at in (x, y, width, height))
    return f"<rect x='{left}' y='{top}' width='{across}' height='{down}' fill='{fill}'/>"


def length(words: str, size: int) -> float:
    """Return roughly how wide a text is: there is no font here to ask."""
    wide = (0.0, 0.57, 1.0)
    return size * sum(wide[columns(c)] for c in words)


def fit(words: str, size: int, width: float) -> str:
    """Return a text without its middle where it is too long; no character is cut."""
    if length(words, size) <= width:
        return words
    parts = clusters(words)
    keep = max(2, int(len(parts) * width / length(words, size)) - 1)
    return f"{closed(''.join(parts[: keep - keep // 2]))}…{closed(''.join(parts[len(parts) - keep // 2 :]))}"
