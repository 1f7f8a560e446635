"""`Look`: how a figure is drawn for a paper. Its size, letters and colours, and how panels fit into that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from factlens.arguments import a_text, number, one_of, optional, plain, refuse, refuse_unknown, some_texts
from factlens.drawing.colours import PALETTES
from factlens.errors import ArgumentError
from factlens.signatures import options_from

MM = 25.4
"""Millimetres in an inch; an inch has 72 points."""
_POINTS = 72.0
USUAL_SIZE = 10.0
"""Of letters, in points, that matplotlib's own widths of lines go with."""
_COLUMNS = 3
_EXAMPLE = "'DejaVu Sans'"


class LookOptions(TypedDict, total=False):
    """The options that every figure takes; `Look` says what each is."""

    width_mm: float | None
    height_mm: float | None
    font: str | Sequence[str] | None
    font_size: float | None
    palette: str
    letters: bool | str


@dataclass(frozen=True)
class Look:
    """How a figure looks.

    Parameters
    ----------
    width_mm, height_mm
        Of the whole figure, in millimetres. Without a width it is as on the screen; without a height it is as high as
        its rows need.
    font
        A font that is installed, or several: a letter that the first one lacks is taken from the next. None: the one
        that matplotlib is set to.
    font_size
        In points. Numbers on axes, colour bars and legends are a sixth smaller. None: matplotlib's own.
    palette
        ``"kind"``: purple, green and red as in Meng et al. (2022). ``"safe"``: one map from yellow to blue, and colours
        that colour-blind eyes tell apart. ``"grey"``: for print without colours, lines and bars told apart by dashes
        and hatching as well.
    letters
        Whether panels are lettered a, b, c; or the letter to begin with.
    """

    width_mm: float | None = None
    height_mm: float | None = None
    font: str | Sequence[str] | None = None
    font_size: float | None = None
    palette: str = "kind"
    letters: bool | str = False

    def __post_init__(self) -> None:
        checked = {
            "width_mm": optional(number, "width_mm", self.width_mm, least=20, most=1200, example="88"),
            "height_mm": optional(number, "height_mm", self.height_mm, least=15, most=1200, example="60"),
            "font": optional(_fonts, "font", self.font),
            "font_size": optional(number, "font_size", self.font_size, least=3, most=40, example="7"),
            "palette": one_of("palette", self.palette, PALETTES),
            "letters": _letters(self.letters),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, options: LookOptions) -> Look:
        """Return the look that options ask for.

        Raises
        ------
        ArgumentError
            If one of them is unknown, or is not what it must be.
        """
        refuse_unknown("A figure", options, (field.name for field in fields(cls)))
        return cls(**options)

    @property
    def for_paper(self) -> bool:
        """Whether the figure has a size of its own: then what can stand in its caption stands there."""
        return self.width_mm is not None or self.height_mm is not None

    @property
    def size(self) -> float:
        """Size of letters, in points."""
        return USUAL_SIZE if self.font_size is None else self.font_size

    @property
    def scale(self) -> float:
        """How thick lines are and how long ticks, as a share of what is usual."""
        return self.size / USUAL_SIZE

    def inches(self, width: float, height: float, most: float = math.inf) -> tuple[float, float]:
        """Return width and height in inches: what is asked for, and what is given here where nothing is.

        Where only one of the two is asked for, the other one keeps the shape; but a height is `most` at most.
        """
        if self.height_mm is not None:
            down = self.height_mm / MM
            return width * down / height if self.width_mm is None else self.width_mm / MM, down
        if self.width_mm is None:
            return width, height
        across = self.width_mm / MM
        return across, min(most, height * across / width)


@dataclass(frozen=True)
class Fit:
    """What panels of one size need, in points of letters and of paper.

    Attributes
    ----------
    panels
        How many there are.
    left
        Room for what stands beside the first panel of each row.
    wide
        The least width of a panel, its colour bar included.
    high
        Height of a panel's inside.
    around
        Height of what stands above and below that: title, numbers, the name of the axis.
    below
        Room below all panels.
    most
        The most panels in a row.
    """

    panels: int
    left: float
    wide: float
    high: float
    around: float
    below: float = 0.0
    most: int = _COLUMNS

    def into(self, look: Look) -> tuple[int, float, float]:
        """Return how many panels stand in a row, and the size of the figure in inches.

        Raises
        ------
        ArgumentError
            If the height that is asked for has no room for the rows.
        """
        assert look.for_paper
        most = min(self.most, self.panels)
        # Without a width there is as much as all panels side by side need.
        points = self.left + most * self.wide if look.width_mm is None else look.width_mm / MM * _POINTS
        columns = max(1, min(most, int((points - self.left) // self.wide)))
        rows = math.ceil(self.panels / columns)
        needed = rows * (self.high + self.around) + self.below
        height = needed if look.height_mm is None else look.height_mm / MM * _POINTS
        # Rows may stand a little closer than they like to.
        if height < (least := rows * (0.8 * self.high + self.around) + self.below):
            raise ArgumentError(
                f"height_mm must be at least {math.ceil(least * MM / _POINTS)} for {rows} "
                f"row{'s' if rows > 1 else ''} of panels with letters of {look.size:g} points, not "
                f"{look.height_mm:g}. Leave it out, or take a smaller font_size, or a larger width_mm."
            )
        return columns, points / _POINTS, height / _POINTS


def _fonts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (a_text(name, value, example=_EXAMPLE),)
    fonts = some_texts(name, value, example=_EXAMPLE)
    return fonts or refuse(name, value, "a font, or several in a list", _EXAMPLE)


def _letters(value: Any) -> bool | str:
    scalar = plain(value)
    if isinstance(scalar, bool) or (
        isinstance(scalar, str) and len(scalar) == 1 and scalar.isascii() and scalar.isalpha()
    ):
        return scalar
    return refuse("letters", value, "True or False, or the letter to begin with", "'a'")


def letters_from(start: bool | str, count: int) -> list[str]:
    """Return letters for panels, from one on; after z comes z2, since a figure has no more panels than that."""
    if start is False:
        return [""] * count
    first = ord("a" if start is True else start)
    last = ord("z") if first >= ord("a") else ord("Z")
    return [chr(first + i) if first + i <= last else f"{chr(last)}{first + i - last + 1}" for i in range(count)]


SCREEN = Look()
PAPER: LookOptions = {"width_mm": 88, "font": ("DejaVu Sans",), "font_size": 7}
"""What files have by default: a column of most journals, in the font that matplotlib brings along."""


LOOK = options_from(Look, *(field.name for field in fields(Look)))
"""The options of a look, for the signatures of what draws."""
