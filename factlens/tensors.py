"""The safetensors format, read within bounds and written as a stream.

A file is eight bytes with the length of its header, the header (JSON: for each array its number format, shape, and
first and last byte, and a few texts under ``__metadata__``), and the arrays one after the other. The library of that
name opens files by their names only, lets only their owner read those that it writes, and copies every array
first. What it writes is read here, and the other way round.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from factlens.bounded import parse_json

LARGEST_HEADER = 1 << 25
"""Bytes of the largest header: some hundred thousand facts."""
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
# The library aligns the arrays to this.
_ALIGNED = 8


@dataclass(frozen=True)
class Header:
    """What a file says of itself, not yet checked against what it holds.

    Attributes
    ----------
    metadata
        Its texts.
    arrays
        Entries of its arrays, as they were read.
    start, stop
        Where its arrays begin, and where the file ends.
    """

    metadata: dict[str, str]
    arrays: dict[str, Any]
    start: int
    stop: int


def read_header(stream: IO[bytes]) -> Header:
    """Read the header of a file; nothing that it promises is allocated.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    size = os.fstat(stream.fileno()).st_size
    length = int.from_bytes(stream.read(_ALIGNED), "little")
    if size < _ALIGNED or not 2 <= length <= size - _ALIGNED:
        raise ValueError("it does not begin with a header")
    if length > LARGEST_HEADER:
        raise ValueError(f"its header has {length / 2**20:,.0f} MB, and at most {LARGEST_HEADER / 2**20:.0f} are read")
    arrays = parse_json(stream.read(length).decode("utf-8"))
    metadata = arrays.pop("__metadata__", {}) if isinstance(arrays, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its header is none of a safetensors file")
    return Header(metadata, arrays, _ALIGNED + length, size)


def read_arrays(stream: IO[bytes], header: Header) -> dict[str, np.ndarray]:
    """Read all arrays of a file, once it is clear that it holds them: side by side, without a gap, to its end.

    Raises
    ------
    ValueError
        If it does not, or a number format is one that numpy lacks.
    """
    places = sorted((_place(name, entry) for name, entry in header.arrays.items()), key=lambda place: place[3:])
    end = 0
    for name, _, _, start, stop in places:
        if start != end:
            raise ValueError(f"its array {name!r} does not begin where the one before it ends")
        end = stop
    if end != header.stop - header.start:
        raise ValueError(f"its arrays have {end} bytes, and it holds {header.stop - header.start}")
    if end > _memory():
        raise ValueError(f"its arrays have {end / 2**30:,.0f} GB, more than the memory of this machine")
    stream.seek(header.start)
    arrays = {}
    for name, dtype, shape, _, _ in places:
        try:
            array = np.empty(shape, dtype)
        except MemoryError as error:
            raise ValueError(f"its array {name!r} does not fit into the memory of this machine") from error
        bytes_of, at = array.reshape(-1).view(np.uint8).data, 0
        while at < len(bytes_of):
            count = stream.readinto(bytes_of[at:])  # type: ignore[attr-defined]
            if not count:
                raise ValueError("it ends too early")
            at += count
        arrays[name] = array
    return arrays


def _memory() -> float:
    """Return the bytes of memory that there are; some systems give away more, and fail when it is used."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not known here
        return math.inf


def _place(name: str, entry: Any) -> tuple[str, np.dtype[Any], tuple[int, ...], int, int]:
    """Return an array's name, number format and shape, and its first and last byte."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"its header does not say what the array {name!r} is")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"its header does not say where the array {name!r} is")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
        raise ValueError(f"its array {name!r} has the number format {entry['dtype']!r:.20}, which numpy lacks")
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    start, stop = offsets
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"its array {name!r} has {stop - start} bytes, which are not {shape} numbers")
    return name, dtype, tuple(shape), start, stop


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48 for value in values
    )


def write_tensors(stream: IO[bytes], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays, contiguous and little-endian, and texts.

    Raises
    ------
    ValueError
        If the header would be larger than one that is read.
    TypeError
        If the format has no name for the numbers of an array.
    """
    # The widest numbers first: every array then begins at a multiple of its numbers' size.
    rows = sorted(arrays.items(), key=lambda row: (-row[1].itemsize, row[0]))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in rows:
        if array.dtype.str not in _NAMES:
            raise TypeError(f"Numbers of the format {array.dtype} cannot be written to a file.")
        header[name] = {
            "dtype": _NAMES[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
    data = json.dumps(header, separators=(",", ":")).encode()
    data += b" " * (-len(data) % _ALIGNED)
    if len(data) > LARGEST_HEADER:
        raise ValueError(f"its header would have {len(data) / 2**20:,.0f} MB, more than are read back")
    stream.write(len(data).to_bytes(_ALIGNED, "little"))
    stream.write(data)
    for _, array in rows:
        stream.write(array.reshape(-1).view(np.uint8).data)
