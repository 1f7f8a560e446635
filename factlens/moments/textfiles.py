"""Texts out of local files: paragraphs of plain text, lines of JSON, compressed or not, and a hash that names them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from io import IncrementalNewlineDecoder
from pathlib import Path
from typing import IO

from factlens.bounded import ANOTHER, decompressing, open_file, parse_json
from factlens.decoding import UTF8, codec_of, pieces
from factlens.errors import FactlensError, FileFormatError

ENDINGS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
# A paragraph is cut here, so that a file without blank lines, or of one line, is not read into memory whole.
_LONGEST = 1 << 16
# A line of JSON must be read whole: longer ones are refused.
_LONGEST_JSON = 1 << 26
# Of larger files, only so many bytes at both ends are hashed: gigabytes would take longer than reading what is needed.
_WHOLE, _ENDS = 1 << 28, 1 << 24
# How many times longer a compressed text is when it is decompressed.
_INFLATES = 4


def text_files(path: Path) -> list[Path]:
    """Return the file, or the files of a folder in the order of their names.

    Raises
    ------
    FactlensError
        If there is none that can be read as text.
    """
    endings = ", ".join(ENDINGS)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(ENDINGS))
        if not files:
            raise FactlensError(f"The folder {path} has no file that ends in {endings}.")
        return files
    if not path.exists():
        raise FactlensError(
            f"There is no file or folder {path}. Text comes from a file that ends in {endings}, a folder of such, or "
            "a dataset, hf:name."
        )
    if not path.name.endswith(ENDINGS):
        raise FactlensError(f"{path} ends in none of {endings}, which say how it is to be read: rename or convert it.")
    return [path]


def fingerprint_of(path: Path, files: Sequence[Path], encoding: str = UTF8) -> str:
    """Return a name for these files from their names below `path`, and the sizes and contents of their texts in UTF-8.

    The same text in another encoding has the same name. Of a file that is too large to be read through, the bytes at
    both ends are taken, with the encoding.

    Raises
    ------
    FileFormatError
        As `texts_in`.
    """
    digest, size = hashlib.sha256(), 0
    for file in files:
        name = file.name if file == path else file.relative_to(path).as_posix()
        length, parts = _contents(file, encoding)
        digest.update(json.dumps([name, length]).encode())
        size += length
        for part in parts:
            digest.update(part)
    count = "" if len(files) == 1 else f"{len(files)} files, "
    return f"{path.resolve().name} ({count}{size} bytes, sha256 {digest.hexdigest()[:16]})"


def _contents(file: Path, encoding: str) -> tuple[int, Iterable[bytes]]:
    """Return how many bytes a text has in UTF-8, and these bytes; of a large file what stands for it."""
    compressed = file.name.endswith(".gz")
    with open_file(file) as raw:
        size = os.fstat(raw.fileno()).st_size
        first = raw.read(min(size, _ENDS))
        codec, mark = (encoding, 0) if compressed else codec_of(first, str(file), encoding)
        if size > (_WHOLE // _INFLATES if compressed else _WHOLE):
            raw.seek(-_ENDS, 2)
            return size - mark, [first[mark:], raw.read(_ENDS), b"" if codec == UTF8 else codec.encode()]
    plain = codec == UTF8 and not compressed
    return size - mark if plain else sum(map(len, _in_utf8(file, encoding))), _in_utf8(file, encoding)


def _in_utf8(file: Path, encoding: str) -> Iterator[bytes]:
    with open_file(file) as raw:
        stream = decompressing(raw, file) if file.name.endswith(".gz") else raw
        for piece in _decoded(stream, str(file), encoding):
            yield piece.encode("utf-8", "surrogatepass")


def texts_in(files: Sequence[Path], column: str, encoding: str = UTF8) -> Iterator[str]:
    """Yield the texts of the files, one file after the other.

    Raises
    ------
    FileFormatError
        If a file is damaged, is not in this encoding, or swells to hundreds of times its size; the message names it.
    FactlensError
        If a line has no text; the message names the file and line.
    """
    for file in files:
        compressed = file.name.endswith(".gz")
        with open_file(file) as raw:
            stream = decompressing(raw, file) if compressed else raw
            if file.name.removesuffix(".gz").endswith(".txt"):
                yield from paragraphs(stream, str(file), encoding)
            else:
                yield from _json_lines(stream, str(file), column, encoding)


def paragraphs(stream: IO[bytes], name: str, encoding: str = UTF8) -> Iterator[str]:
    """Yield what stands between blank lines, in pieces of some ten thousand words where that is longer."""
    piece: list[str] = []
    length = 0
    for line in _lines(stream, name, _LONGEST, encoding):
        piece.append(line)
        length += len(line)
        if not line.strip() or length >= _LONGEST:
            if text := "".join(piece).strip():
                yield text
            piece, length = [], 0
    if text := "".join(piece).strip():
        yield text


def _json_lines(stream: IO[bytes], name: str, column: str, encoding: str) -> Iterator[str]:
    for number, line in enumerate(_lines(stream, name, _LONGEST_JSON, encoding), 1):
        if not line.strip():
            continue
        if len(line) == _LONGEST_JSON:
            raise FileFormatError(f"{name}, line {number}, has more than {_LONGEST_JSON:,} characters: split its text.")
        try:
            record = parse_json(line)
        except ValueError as error:
            where = f"{name}, line {number},"
            raise FileFormatError(f"{where} is not JSON: {error}. Each line must be a record.") from error
        text = record.get(column) if isinstance(record, dict) else record
        if not isinstance(text, str):
            has = f"it has {', '.join(record) or 'nothing'}" if isinstance(record, dict) else f"it is {line[:40]!r}"
            raise FactlensError(f"{name}, line {number}, has no text in a column {column!r}: {has}. Name the column.")
        yield text


def _lines(stream: IO[bytes], name: str, longest: int, encoding: str) -> Iterator[str]:
    """Yield the lines of a file, each with a single newline at its end, and longer ones in parts."""
    ends = IncrementalNewlineDecoder(None, translate=True)
    parts: list[str] = []
    held = 0
    for piece in _decoded(stream, name, encoding):
        text, begin = ends.decode(piece), 0
        while (end := text.find("\n", begin, begin + longest - held) + 1) or len(text) - begin >= longest - held:
            end = end or begin + longest - held
            yield "".join((*parts, text[begin:end]))
            parts, held, begin = [], 0, end
        parts.append(text[begin:])
        held += len(text) - begin
    # A return at the end of a piece waits for what comes next.
    if text := "".join((*parts, ends.decode("", final=True))):
        yield text


def _decoded(stream: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    try:
        yield from pieces(stream, name, encoding)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileFormatError(f"{name} is damaged, it cannot be decompressed: {error}. {ANOTHER}") from error
