"""Pictures in few bytes: a palette of 256 colours needs a third of what all the colours of smoothed edges need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture so that no colour is far off, and those of areas are nearest to what they were.

    Pillow's own palettes have no bound on how far a colour may be moved.
    """
    pixels = np.asarray(picture.convert("RGB"), np.int64)
    packed, places, counts = np.unique(pixels @ np.array([65536, 256, 1]), return_inverse=True, return_counts=True)
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)
    weights = (
        counts**0.25
    )  # a colour of some hundred pixels, as a cell has, goes before one that is as far off on an edge
    nearest = np.zeros(len(colours), np.uint8)
    off = np.full(len(colours), 256)
    palette: list[int] = []
    while len(palette) < 256 and off.any():
        palette.append(int((off * weights).argmax()))
        now = np.abs(colours - colours[palette[-1]]).max(axis=-1)
        nearest[now < off] = len(palette) - 1
        off = np.minimum(off, now)
    small = Image.fromarray(nearest[places.reshape(pixels.shape[:2])])
    small.putpalette(colours[palette].astype(np.uint8).tobytes())
    small.save(path, optimize=True)
