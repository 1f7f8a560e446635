"""What every result offers to a paper: a figure, tables and a caption, in one way for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factlens.arguments import a_path, a_text, flag, number, one_of, optional, refuse
from factlens.drawing.figure import FORMATS, figure_bytes
from factlens.drawing.look import PAPER
from factlens.drawing.tables import Table, frame_csv, table_latex
from factlens.files import write_bytes, write_text
from factlens.signatures import copy_of, options_from, taking

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Tabled:
    """A result that is a table, with a caption."""

    def caption(self) -> str:
        """Return what a figure or a table of it should say below itself: every setting, and the main numbers."""
        raise NotImplementedError

    def _frame(self) -> pd.DataFrame:
        """Return all of its numbers."""
        raise NotImplementedError

    def _table(self, part: str | None) -> Table:
        """Return what a paper would show of them."""
        raise NotImplementedError

    def to_csv(self, path: str | Path | None = None) -> str | Path:
        """Return all numbers as CSV, or write them to a file and return its path.

        A text that a spreadsheet would take for a formula gets an apostrophe before it.

        Parameters
        ----------
        path
            The file; None returns the text.
        """
        path = optional(a_path, "path", path)
        return _given_out(frame_csv(self._frame()), path)

    def to_latex(
        self, path: str | Path | None = None, *, part: str | None = None, caption: bool = True, label: str = ""
    ) -> str | Path:
        """Return a table for LaTeX, or write it to a file and return its path; it needs the package booktabs.

        Parameters
        ----------
        path
            The file; None returns the text.
        part
            Which of several tables; of a trace and an average one of its kinds. None: the summary.
        caption
            Whether the table has its caption.
        label
            What a reference calls it by.
        """
        path, part = optional(a_path, "path", path), optional(a_text, "part", part, example="'mlp'")
        label = a_text("label", label, empty=True, example="'tab:trace'")
        words = self.caption() if flag("caption", caption) else ""
        return _given_out(table_latex(self._table(part), words, label), path)


class Exported(Tabled):
    """A result that is also a figure."""

    def __init_subclass__(cls) -> None:
        """Show the options of the result's own `plot` in the signature of its `save_figure`."""
        super().__init_subclass__()
        if "plot" in vars(cls):
            names = [name for name in inspect.signature(vars(cls)["plot"]).parameters if name != "self"]
            options = options_from(vars(cls)["plot"], *names)
            usual = {option.name: PAPER.get(option.name, option.default) for option in options}
            listed = [replace(option, default=usual[option.name]) for option in options]
            setattr(cls, "save_figure", taking(listed)(copy_of(Exported.save_figure)))  # noqa: B010

    def save_figure(self, path: str | Path, *, dpi: float = 300, **options: Any) -> Path:
        """Write the figure to a file for a paper; needs ``factlens[plot]``.

        The file has exactly the size that is asked for, letters are letters (TrueType fonts in a PDF, text in an SVG),
        the caption is in its metadata, and it has no date in it: the same result gives the same bytes.

        Parameters
        ----------
        path
            A file that ends in ``.pdf``, ``.svg`` or ``.png``.
        dpi
            Pixels for each inch of a PNG; in a PDF or an SVG, of the cells of a grid.
        **options
            Those of `plot`. Those that are left out are of a paper: ``width_mm=88``, one column of most journals,
            ``font="DejaVu Sans"``, which matplotlib brings along, and ``font_size=7``.
        """
        path = a_path("path", path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            refuse("path", str(path), "a file that ends in .pdf, .svg or .png", "'figure.pdf'")
        return write_bytes(path, figure_file(self, kind, {"dpi": dpi, **options}))


def figure_file(result: Exported, kind: str, options: Mapping[str, Any]) -> bytes:
    """Return a figure of a result as the bytes of a file.

    Parameters
    ----------
    result
        The result.
    kind
        One of `factlens.drawing.figure.FORMATS`.
    options
        Those of its `plot`, and ``dpi``; those that are left out are of a paper.

    Raises
    ------
    ArgumentError
        If one of them is not what it must be.
    """
    chosen: dict[str, Any] = {**PAPER, **options}
    dpi = number("dpi", chosen.pop("dpi", 300), least=36, most=2400, example="300")
    plot: Callable[..., Figure] = getattr(result, "plot")  # noqa: B009  (each result has its own options)
    return figure_bytes(plot(**chosen), one_of("kind", kind, FORMATS), dpi=dpi, caption=result.caption())


def no_part(part: str | None, there: tuple[str, ...] = ()) -> None:
    """Refuse the name of a table that a result does not have.

    Raises
    ------
    ArgumentError
        If it is neither None nor one of those that are there.
    """
    if part is not None and part not in there:
        refuse("part", part, f"None or one of {', '.join(there)}" if there else "None: there is one table only")


def _given_out(text: str, path: Path | None) -> str | Path:
    return text if path is None else write_text(path, text)
