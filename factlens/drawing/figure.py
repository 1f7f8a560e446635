"""The one door to matplotlib: empty figures, the settings that a look stands for, and figures as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from io import BytesIO
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from factlens.drawing.colours import PALETTES, diverging_ramp, family, ramp
from factlens.drawing.look import SCREEN, Fit, Look, letters_from
from factlens.drawing.svg import length
from factlens.errors import ArgumentError
from factlens.escaping import mathless
from factlens.extras import needs
from factlens.visible import without_isolates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


FORMATS = ("pdf", "svg", "png")
_SHARPER = 2
"""So many pixels of a picture for one of the page, for screens that have them."""
_FALLBACK = "DejaVu Sans"
# Settings of matplotlib are the whole process's: two threads that change them would put back each other's.
_settings = RLock()
# Letters as letters, fonts with the file, and no random names in it; of the size that was asked for, on white.
_FILES: Mapping[str, Any] = {
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "factlens",
    "savefig.bbox": None,
    "savefig.transparent": False,
}
# In points, at the usual size of letters.
_LINES: Mapping[str, float] = {
    "axes.linewidth": 0.8,
    "axes.labelpad": 4.0,
    "axes.titlepad": 6.0,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "lines.markersize": 6.0,
    "patch.linewidth": 1.0,
    "hatch.linewidth": 1.0,
}
_TICKS: Mapping[str, float] = {"width": 0.8, "size": 3.5, "pad": 3.5}


def needs_matplotlib(what: str) -> None:
    """Refuse to do something that draws figures where matplotlib is missing.

    Raises
    ------
    FactlensError
        If it cannot be imported; the message begins with `what`, and names the extra that brings it.
    """
    needs("matplotlib", "plot", what)


def new_figure(what: str, width: float, height: float) -> Figure:
    """Return an empty figure, in inches, which a notebook shows; no backend, no window, no state that others see.

    Raises
    ------
    FactlensError
        As `needs_matplotlib`.
    """
    needs_matplotlib(what)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    # What IPython asks a value for. With pyplot's inline backend at work it asks that instead: shown once in any case.
    vars(figure)["_repr_png_"] = partial(_as_png, figure)
    return figure


def _as_png(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """Return a picture for a notebook, and its size on the page in pixels."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=_SHARPER * figure.dpi)
    width, height = (round(float(inches) * figure.dpi) for inches in figure.get_size_inches())
    return file.getvalue(), {"width": width, "height": height}


# Looks ---------------------------------------------------------------------------------------------------------------


@contextmanager
def drawn_with(what: str, look: Look) -> Iterator[None]:
    """Have the letters and lines of a look in force for what is drawn in the block.

    Parameters
    ----------
    what
        As for `needs_matplotlib`.
    look
        The look.

    Raises
    ------
    ArgumentError
        If its font is not installed.
    """
    needs_matplotlib(what)
    settings: dict[str, Any] = {}
    if look.font is not None:
        settings["font.family"] = _families(look)
    if look.font_size is not None:
        settings |= {name: points * look.scale for name, points in _LINES.items()}
        settings |= {"font.size": look.size, "axes.titlesize": "medium", "axes.labelsize": "medium"}
        settings |= {"legend.fontsize": "small", "figure.titlesize": "medium"}
    with _set(settings):
        yield


@contextmanager
def _set(settings: Mapping[str, Any]) -> Iterator[None]:
    """Change settings for the block. Only these are put back: others may have been changed meanwhile."""
    import matplotlib

    # Their names are literals to a type checker, of which only matplotlib has the list.
    settled: Any = matplotlib.rcParams
    with _settings:
        before = {name: settled[name] for name in settings}
        settled.update(settings)
        try:
            yield
        finally:
            settled.update(before)


def _families(look: Look) -> list[str]:
    """Return the fonts of a look, and behind them the one that is always there."""
    from matplotlib.font_manager import fontManager

    installed = {entry.name for entry in fontManager.ttflist}
    names = [look.font] if isinstance(look.font, str) else list(look.font or ())
    for name in names:
        if name not in installed:
            near = get_close_matches(name, installed, n=3, cutoff=0.4) or sorted(installed)[:3]
            raise ArgumentError(
                f"font must be one that matplotlib can load, not {name!r:.80}. Installed are, for instance, "
                f"{', '.join(near)}."
            )
    return [*names, *([] if _FALLBACK in names else [_FALLBACK])]


def finish(figure: Figure, look: Look, lettered: Sequence[Axes] = ()) -> Figure:
    """Give ticks, which matplotlib makes only when it draws them, the look of the rest; letter panels.

    Parameters
    ----------
    figure
        What was drawn with the look.
    look
        The look.
    lettered
        The panels, in order.
    """
    ticks: dict[str, Any] = {}
    if look.font_size is not None:
        ticks = {name: points * look.scale for name, points in _TICKS.items()} | {"labelsize": look.size / 1.2}
    if look.font is not None:
        ticks["labelfontfamily"] = _families(look)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_tick_params(which="both", **ticks)
    for axes, letter in zip(lettered, letters_from(look.letters, len(lettered)), strict=True):
        # To the left of the panel, at the height of its title: room that the names of its rows leave.
        axes.annotate(
            letter,
            (0, 1),
            (-0.6 * look.size, 0.6 * look.size),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="baseline",
            fontweight="bold",
            fontsize="large" if look.font_size is None else look.size * 1.15,
        )
    return figure


def colour_map(name: str, palette: str) -> Colormap | str:
    """Return the colour map of a family of sites in a palette."""
    assert palette in PALETTES
    return family(name).map if palette == "kind" else _map(palette, ramp(palette))


def diverging_map() -> Colormap:
    """Return the colour map of differences."""
    return _map("differences", diverging_ramp())


def _map(name: str, colours: np.ndarray) -> Colormap:
    from matplotlib.colors import ListedColormap

    return ListedColormap(colours, f"factlens {name}")


def panels(
    what: str, titles: Sequence[str], width: float, height: float, *, beside: float, look: Look = SCREEN, fit: Fit
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a titled panel by layer for each title, at most three in a row.

    Parameters
    ----------
    what
        As for `new_figure`.
    titles
        What stands above each panel.
    width, height
        Of a panel on the screen, in inches.
    beside
        Room beside all panels there.
    look
        The figure's look; where that has a size, `fit` says how the panels go into it.
    fit
        What the panels need.
    """
    if look.for_paper:
        columns, across, down = fit.into(look)
        rows = -(-len(titles) // columns)
    else:
        columns = min(fit.most, len(titles))
        rows = -(-len(titles) // columns)
        across, down = width * columns + beside, height * rows + 0.4
    figure = new_figure(what, across, down)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten().tolist()
    for surplus in axes[len(titles) :]:
        surplus.remove()
    for panel, title in zip(axes, titles, strict=False):
        if look.for_paper and length(title, 1) * look.size > 0.7 * (72 * across - fit.left) / columns:
            title = title.replace(", ", ",\n", 1)
        panel.set_title(mathless(title), fontsize="medium")
        panel.set_xlabel("layer")
        # Also where another row stands below, which may be shorter.
        panel.xaxis.set_tick_params(labelbottom=True)
        panel.xaxis.get_major_locator().set_params(integer=True)
    return figure, axes[: len(titles)]


# Files ---------------------------------------------------------------------------------------------------------------


def figure_bytes(figure: Figure, kind: str, *, dpi: float = 300, caption: str = "") -> bytes:
    """Return a figure as a file of exactly its size, the same bytes every time.

    Parameters
    ----------
    figure
        The figure.
    kind
        ``"pdf"``, ``"svg"`` or ``"png"``.
    dpi
        Pixels for each inch; of a PDF and an SVG those of the cells of a grid, all else is drawn with lines.
    caption
        What it shows, kept in the file's metadata.
    """
    from factlens import __version__

    by = f"factlens {__version__}, https://matplotlib.org"
    caption = without_isolates(caption)
    about: dict[str, dict[str, str | None]] = {
        "pdf": {"Subject": caption or None, "Creator": by, "CreationDate": None},
        "svg": {"Description": caption or None, "Creator": by, "Date": None},
        "png": {"Description": caption or None, "Software": by},
    }
    metadata = {name: value for name, value in about[kind].items() if value is not None or "Date" in name}
    file = BytesIO()
    width, height = (float(inches) for inches in figure.get_size_inches())
    with _set(_FILES):
        try:
            if kind == "png":
                # Whole pixels, the nearest ones: matplotlib would cut the last part of one off.
                figure.set_size_inches((round(width * dpi) + 0.25) / dpi, (round(height * dpi) + 0.25) / dpi)
            figure.savefig(file, format=kind, dpi=dpi, metadata=metadata, facecolor="white")
        finally:
            figure.set_size_inches(width, height)
    return file.getvalue()
