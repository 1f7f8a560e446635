"""Whether two pictures show the same: strict about what a reader would notice, patient about how edges are drawn.

Browsers differ in how they smooth the edges of letters and lines, and may set a letter a fraction of a pixel further.
So a pixel of one picture may have any value that the other has within one pixel of there, and beyond these, near an
edge, a part of the edge's height. In flat areas hardly anything is allowed: there a difference is a colour. Both
pictures are looked at from the other: a word that is missing from one has strokes in the other alone.

What is left are pixels without a likeness. A few may be anywhere; many together are something that changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.int16]
Marks = NDArray[np.bool_]
Places = NDArray[np.intp]

#: By so many pixels a picture may be larger in one direction.
LARGER = 1
#: By so many pixels an edge may lie further.
REACH = 1
#: By so many of 255 levels a flat area may differ.
FLAT = 6
#: By so much of the height of an edge its pixels may differ beyond what is there.
STEEP = 0.5
#: So many pixels without a likeness may lie in a square with sides of TILE pixels, wherever it is put …
IN_TILE = 12
TILE = 16
#: … and this share of the whole picture may be without one.
IN_ALL = 0.001


@dataclass(frozen=True)
class Likeness:
    """What comparing two pictures has found: ``why`` says how they differ, and is empty where they are alike."""

    why: str
    pixels: Pixels
    unlike: Marks

    def __bool__(self) -> bool:
        return not self.why

    def marks(self) -> Image.Image:
        """The second picture made pale, with the pixels in red that have no likeness in the other."""
        pale = (255 - 0.35 * (255 - self.pixels.mean(axis=-1, keepdims=True))).astype(np.uint8).repeat(3, axis=-1)
        pale[self.unlike] = (220, 0, 0)
        return Image.fromarray(pale)


def compare(wanted: Image.Image, found: Image.Image) -> Likeness:
    """Compare two pictures of the same thing; neither counts for more."""
    apart = max(abs(found.width - wanted.width), abs(found.height - wanted.height))
    width, height = min(found.width, wanted.width), min(found.height, wanted.height)
    old, new = (np.asarray(picture.convert("RGB"), np.int16)[:height, :width] for picture in (wanted, found))
    # Where the very same pixel is alike there is no need to look around it, and mostly it is.
    unlike = (np.abs(old - new) > FLAT).any(axis=-1)
    rows, columns = np.nonzero(unlike)
    unlike[rows, columns] = _without_likeness(old, new, rows, columns) | _without_likeness(new, old, rows, columns)
    why = []
    if apart > LARGER:
        why.append(f"it has {found.width} × {found.height} pixels instead of {wanted.width} × {wanted.height}")
    most, left, top = _fullest_tile(unlike)
    if most > IN_TILE:
        why.append(f"{most} of the {TILE} × {TILE} pixels from ({left}, {top}) on differ")
    if (share := float(unlike.mean())) > IN_ALL:
        why.append(f"{share:.2%} of all pixels differ")
    return Likeness(", ".join(why), new, unlike)


def _without_likeness(of: Pixels, among: Pixels, rows: Places, columns: Places) -> Marks:
    """Which of these pixels of one picture have a colour that the other has nowhere near."""
    padded = np.pad(among, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
    lowest = highest = among[rows, columns]
    for down in range(2 * REACH + 1):
        for right in range(2 * REACH + 1):
            near = padded[rows + down, columns + right]
            lowest, highest = np.minimum(lowest, near), np.maximum(highest, near)
    slack = FLAT + STEEP * (highest - lowest)
    here = of[rows, columns]
    return np.asarray(((here < lowest - slack) | (here > highest + slack)).any(axis=-1))


def _fullest_tile(unlike: Marks) -> tuple[int, int, int]:
    """The most marked pixels that any square holds, and its upper left corner."""
    if not unlike.any():
        return 0, 0, 0
    sums = np.pad(unlike.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0)))
    height, width = (min(TILE, side) for side in unlike.shape)
    held = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(held.argmax(), held.shape)
    return int(held[top, left]), int(left), int(top)
