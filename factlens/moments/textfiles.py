"""Texts out of local files: paragraphs of plain text, lines of JSON, compressed or not, and a hash that names them."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, cast

from factlens.errors import FactlensError

ENDINGS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
# A paragraph is cut here, so that a file without blank lines, or of one line, is not read into memory whole.
_LONGEST = 1 << 16
# Of larger files, only so many bytes at both ends are hashed: gigabytes would take longer than reading what is needed.
_WHOLE, _ENDS = 1 << 28, 1 << 24


def text_files(path: Path) -> list[Path]:
    """Return the file, or the files of a folder in the order of their names.

    Raises
    ------
    FactlensError
        If there is none that can be read as text.
    """
    known = ", ".join(ENDINGS)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(ENDINGS))
        if not found:
            raise FactlensError(f"The folder {path} has no file that ends in {known}.")
        return found
    if not path.exists():
        raise FactlensError(
            f"There is no file or folder {path}. Text comes from a file that ends in {known}, a folder of such, or "
            "a dataset, hf:name."
        )
    if not path.name.endswith(ENDINGS):
        raise FactlensError(f"{path} ends in none of {known}, which say how it is to be read: rename or convert it.")
    return [path]


def fingerprint_of(path: Path, files: Sequence[Path]) -> str:
    """Return a name for these files from their names below `path`, their sizes and what is in them."""
    digest, size = hashlib.sha256(), 0
    for file in files:
        length = file.stat().st_size
        name = file.name if file == path else file.relative_to(path).as_posix()
        digest.update(json.dumps([name, length]).encode())
        size += length
        with file.open("rb") as stream:
            if length <= _WHOLE:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
            else:
                digest.update(stream.read(_ENDS))
                stream.seek(-_ENDS, 2)
                digest.update(stream.read(_ENDS))
    count = "" if len(files) == 1 else f"{len(files)} files, "
    return f"{path.resolve().name} ({count}{size} bytes, sha256 {digest.hexdigest()[:16]})"


def texts_in(files: Sequence[Path], column: str) -> Iterator[str]:
    """Yield the texts of the files, one file after the other.

    Raises
    ------
    FactlensError
        If a file is damaged, is not UTF-8, or has a line without text; the message names the file and line.
    """
    for file in files:
        compressed = file.name.endswith(".gz")
        with cast("IO[bytes]", gzip.open(file)) if compressed else file.open("rb") as stream:
            plain = file.name.removesuffix(".gz").endswith(".txt")
            yield from paragraphs(stream, str(file)) if plain else _json_lines(stream, str(file), column)


def paragraphs(stream: IO[bytes], name: str) -> Iterator[str]:
    """Yield what stands between blank lines, in pieces of some ten thousand words where that is longer."""
    piece: list[str] = []
    length = 0
    for line in _lines(stream, name, _LONGEST):
        piece.append(line)
        length += len(line)
        if not line.strip() or length >= _LONGEST:
            if text := "".join(piece).strip():
                yield text
            piece, length = [], 0
    if text := "".join(piece).strip():
        yield text


def _json_lines(stream: IO[bytes], name: str, column: str) -> Iterator[str]:
    for number, line in enumerate(_lines(stream, name, -1), 1):
        if not line.strip():
            continue
        try:
            record: Any = json.loads(line)
        except json.JSONDecodeError as error:
            raise FactlensError(f"{name}, line {number}, is not JSON: {error}. Each line must be a record.") from error
        text = record.get(column) if isinstance(record, dict) else record
        if not isinstance(text, str):
            has = f"it has {', '.join(record) or 'nothing'}" if isinstance(record, dict) else f"it is {line[:40]!r}"
            raise FactlensError(f"{name}, line {number}, has no text in a column {column!r}: {has}. Name the column.")
        yield text


def _lines(stream: IO[bytes], name: str, longest: int) -> Iterator[str]:
    # utf-8-sig: a byte order mark is no part of the text.
    reader = TextIOWrapper(stream, encoding="utf-8-sig")
    try:
        while line := reader.readline(longest):
            yield line
    except UnicodeDecodeError as error:
        raise FactlensError(
            f"{name} is not UTF-8 ({error.reason} {error.object[error.start]:#04x}). Convert it, for example with "
            "iconv -f latin1 -t utf-8."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FactlensError(f"{name} is damaged, it cannot be decompressed: {error}.") from error
    finally:
        reader.detach()
