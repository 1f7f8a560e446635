"""Files that come from the page, and names for those that go to it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from factlens.errors import FileFormatError
from factlens.escaping import file_stem

T = TypeVar("T")

LARGEST_FILE = 256 * 2**20
"""Bytes of the largest file that is taken from the page."""


class Savable(Protocol):
    """What can write itself to a file."""

    def save(self, path: Path) -> Path:
        """Write it, and say where."""


def read_bytes(data: bytes, load: Callable[[Path], T], instead: str) -> T:
    """Read what a file from the page holds.

    Parameters
    ----------
    data
        The file.
    load
        Reads and checks a file of the kind that is wanted.
    instead
        What to do in a cell with a file that is too large.

    Raises
    ------
    FileFormatError
        If the file is too large, or `load` refuses it.
    """
    if len(data) > LARGEST_FILE:
        raise FileFormatError(
            f"The file has {len(data) / 2**20:.0f} MB; from the page at most {LARGEST_FILE / 2**20:.0f} MB are taken. "
            f"Load it in a cell: {instead}."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "the file"
        path.write_bytes(data)
        try:
            return load(path)
        except FileFormatError as error:
            raise FileFormatError(str(error).replace(str(path), "The file")) from error


def bytes_of(what: Savable) -> bytes:
    """Return the file that something would be saved as."""
    with tempfile.TemporaryDirectory() as folder:
        return what.save(Path(folder) / "it").read_bytes()


def file_name(label: str, otherwise: str) -> str:
    """Return a file name that any system takes."""
    return f"{file_stem(label, otherwise)}.safetensors"
