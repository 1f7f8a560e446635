"""Reading files that may come from anywhere: ordinary files only, no larger than they may be, JSON without traps.

A file may come from the network, from a page, or out of a crash. Reading it always ends, takes no more memory than is
said here, and fails with an error that names the file.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import zlib
from pathlib import Path
from typing import IO, Any, NoReturn

from factlens.errors import FileFormatError

LARGEST_TEXT = 1 << 30
"""Bytes of the largest text that is read whole, after decompression."""
MOST_VALUES = 1 << 26
"""Most values of a JSON text: a Python object each, which takes many times the bytes of the text."""
DEEPEST = 64
"""How deeply lists and objects of a JSON text may be nested; ours are nested less than ten deep."""
# Text is some ten times as long as when it is compressed, and lists of numbers some fifty times. What a bomb swells to
# is a thousand times its size. The first megabytes are no danger.
_SWELLS, _HARMLESS = 200, 1 << 24
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


def open_file(path: str | Path) -> IO[bytes]:
    """Open an ordinary file to read it. A folder, a pipe or a device is refused, and not waited for.

    Raises
    ------
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    FileFormatError
        If it is no ordinary file, or cannot be read for another reason.
    """
    try:
        stream = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller closes it)
    except NotADirectoryError as error:  # what stands for a folder in the path is a file: so there is nothing in it
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except (FileNotFoundError, PermissionError):
        raise
    except IsADirectoryError as error:
        raise FileFormatError(f"{path} is a folder, not a file: name a file in it.") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise FileFormatError(f"{str(path)!r} cannot be read: {_reason(error)}. Name an ordinary file.") from error
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.close()
    raise FileFormatError(f"{path} is a pipe or a device, not a file: save what comes out of it, and name that file.")


def read_text(path: str | Path) -> str:
    """Return the text of a file that factlens has written, which is in UTF-8, decompressed if need be.

    What users have written is read by `factlens.decoding.read_text`, in any encoding.

    Raises
    ------
    FileNotFoundError, PermissionError, FileFormatError
        As `read_data`; also if it is no UTF-8.
    """
    try:
        return read_data(path).decode("utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise FileFormatError(f"{path} is no text in UTF-8: {error.reason} {byte:#04x}. {ANOTHER}") from error


def read_data(path: str | Path, *, largest: int | None = None) -> bytes:
    """Return what is in a file, decompressed if it begins as gzip files do.

    Raises
    ------
    FileNotFoundError, PermissionError, FileFormatError
        As `open_file`; also if the file is damaged, or is larger than `largest` bytes (by default `LARGEST_TEXT`). Of a
        small file that swells to more than that, no more than that is decompressed.
    """
    largest = LARGEST_TEXT if largest is None else largest
    with open_file(path) as stream:
        if os.fstat(stream.fileno()).st_size > largest:
            _too_large(path, largest)
        first = stream.read(len(_GZIP))
        stream.seek(0)
        source: IO[bytes] = gzip.GzipFile(fileobj=stream) if first == _GZIP else stream  # type: ignore[assignment]
        content = bytearray()
        try:
            while chunk := source.read(_CHUNK):
                content += chunk
                if len(content) > largest:
                    _too_large(path, largest)
            return bytes(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileFormatError(f"{path} is damaged, it cannot be decompressed: {error}. {ANOTHER}") from error
        except OSError as error:
            raise FileFormatError(f"{path} cannot be read: {_reason(error)}. {ANOTHER}") from error
        except MemoryError as error:
            raise FileFormatError(f"{path} does not fit into the memory of this machine.") from error


ANOTHER = "Take another copy of the file, or make it again."
"""What to do with a file that is damaged."""


def decompressing(stream: IO[bytes], path: str | Path) -> IO[bytes]:
    """Return what a gzip file holds, decompressed as it is read; a bomb is refused as soon as it swells like one.

    Reading raises what `gzip.GzipFile` raises where the file is damaged, and FileFormatError where it is a bomb.
    """
    return io.BufferedReader(_Inflated(stream, str(path)), _CHUNK)


class _Inflated(io.RawIOBase):
    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._name = stream, name
        self._inflated = gzip.GzipFile(fileobj=stream)
        self._swelled = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._inflated.readinto(buffer)
        self._swelled += count
        if self._swelled > max(_HARMLESS, _SWELLS * self._stream.tell()):
            raise FileFormatError(
                f"{self._name} swells to more than {_SWELLS} times its size: that is no text, but a file made to fill "
                "the memory. Take another copy of it, or decompress it yourself."
            )
        return count


def parse_json(text: str) -> Any:
    """Return what a JSON text says; NaN and Infinity, which Python writes, are numbers here.

    Raises
    ------
    ValueError
        If it is no JSON, names a field twice, is nested too deeply, or holds too many values. The message says why,
        and is to be completed with the name of the file.
    """
    # Every value but the first of a list or object comes after one of these.
    if text.count(",") + text.count("[") + text.count("{") > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    try:
        value = json.loads(text, object_pairs_hook=_each_once)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {DEEPEST} deep") from error
    except MemoryError as error:
        raise ValueError("it does not fit into the memory of this machine") from error
    if _depth_exceeds(value, DEEPEST):
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} stands in it twice")
    return fields


def _depth_exceeds(value: Any, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _without_waiting(path: str, flags: int) -> int:
    # A pipe without a writer would keep `open` waiting for one.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _too_large(path: str | Path, largest: int) -> NoReturn:
    raise FileFormatError(
        f"{path} holds more than {largest / 2**20:,.0f} MB, the most that is read. Split it into several files."
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
