"""Bytes of a user's text file to text: in the encoding that the user names, or an error that says which to name.

UTF-8 unless something else is asked for. A byte order mark is no part of a text, and says that a file is in UTF-16 or
UTF-32 (a spreadsheet's "Unicode text" is). No other encoding is guessed, and no byte is left out or replaced: a file
that is not in the encoding is refused, with the place of the first byte that does not fit and how its line reads in the
encodings that it may be in.

A file is decoded in pieces, and a whole one by the same code, so that both give the same.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NoReturn

from factlens.arguments import a_text, refuse
from factlens.bounded import read_data
from factlens.errors import FileFormatError
from factlens.likely import readings

UTF8 = "utf-8"
_PIECE = 1 << 16
# How much in front of and behind a byte that does not fit is looked at.
_NEAR = 1 << 12
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-16", "utf-32")
# They make text of bytes, but files are not written in them: they would read a backslash or a hyphen as something else.
_NOT_OF_FILES = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7")


def an_encoding(name: str, value: Any) -> str:
    """Return the name by which Python knows an encoding of text.

    Raises
    ------
    ArgumentError
        If Python knows none of this name, or it is something else than an encoding of text files.
    """
    asked = a_text(name, value, example="'cp1252'")
    expected = "an encoding of text that Python knows, such as 'utf-8', 'cp1252' or 'shift_jis'"
    try:
        codec = codecs.lookup(asked)
        codecs.getincrementaldecoder(asked)
    except (LookupError, ValueError):  # ValueError: a null character, or half of one, in the name
        refuse(name, value, expected)
    # Codecs from bytes to bytes, such as zip, are not for text; only decoding something says so.
    try:
        b"a".decode(asked)
    except LookupError:
        refuse(name, value, expected)
    except UnicodeError:
        pass  # UTF-16 has no character of one byte
    plain = codec.name.replace("_", "-")
    if plain in _NOT_OF_FILES:
        refuse(name, value, expected)
    return UTF8 if plain == "utf-8-sig" else codec.name


def read_text(path: str | Path, encoding: str = UTF8) -> str:
    """Return the text of a user's file, decompressed if it begins as gzip files do.

    Raises
    ------
    ArgumentError
        If there is no such encoding.
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    FileFormatError
        If it is not in this encoding, or `factlens.bounded.read_data` refuses it.
    """
    return decode(read_data(path), str(path), encoding)


def decode(data: bytes, name: str, encoding: str = UTF8) -> str:
    """Return the text that bytes of a file say.

    Raises
    ------
    ArgumentError, FileFormatError
        As `pieces`.
    """
    return "".join(pieces(BytesIO(data), name, encoding))


def pieces(stream: IO[bytes], name: str, encoding: str = UTF8) -> Iterator[str]:
    """Yield the text of a file, piece by piece; line ends are as they are in the file.

    Parameters
    ----------
    stream
        The file.
    name
        What to call it in an error.
    encoding
        What it is in.

    Raises
    ------
    ArgumentError
        If there is no such encoding.
    FileFormatError
        If the file is not in this encoding.
    """
    data = stream.read(_PIECE)
    codec, mark = codec_of(data, name, encoding)
    decoder = codecs.getincrementaldecoder(codec)("strict")
    place, near = _Place(), b""
    data, begun = data[mark:] or stream.read(_PIECE), mark > 0
    while True:
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            _refuse(stream, name, codec, error, place, near + data)
        except UnicodeError as error:
            raise FileFormatError(f"{name} is no text in {_called(codec)}: {error}. {_advice([])}") from error
        if text and not begun:
            # In gb18030 and others the mark is a character like any other.
            text, begun = text.removeprefix("\ufeff"), True
        if text:
            place.go_on(text)
            yield text
        if not data:
            return
        near = (near + data)[-_NEAR:]
        data = stream.read(_PIECE)


def codec_of(first: bytes, name: str, encoding: str) -> tuple[str, int]:
    """Return by which codec a file is read that begins with these bytes, and how many of them are a byte order mark.

    Raises
    ------
    ArgumentError
        If there is no such encoding.
    FileFormatError
        If the file cannot be in this encoding: its mark says another one, or it should have a mark and has none.
    """
    codec = an_encoding("encoding", encoding)
    mark, marked = next(((mark, codec) for mark, codec in _MARKS if first.startswith(mark)), (b"", ""))
    if marked:
        if codec in (UTF8, marked, marked[:-3]):
            return marked, len(mark)
        raise FileFormatError(f"{name} begins with the byte order mark of {_called(marked[:6])}, {_not_in(codec)}")
    if codec in _WIDE and first:
        raise FileFormatError(
            f"{name} does not begin with a byte order mark, so that {codec} does not say which byte of a character "
            f"comes first. Pass encoding='{codec}-le', or encoding='{codec}-be' if the text then makes no sense."
        )
    _check_beginning(first, name, codec)
    return codec, 0


def _check_beginning(first: bytes, name: str, codec: str) -> None:
    """Refuse an encoding in which the beginning of a file can be read, but says nothing."""
    if codec.startswith(_WIDE):
        # Every line end has a byte that is null.
        if len(first) > 3 and first.isascii() and 0 not in first:
            raise FileFormatError(f"{name} is plain ASCII, {_not_in(codec)}")
        return
    # Latin text in UTF-16 has a null in every other byte, and nothing else has.
    for nulls, wide in (((False, True) * 2, "utf-16-le"), ((True, False) * 2, "utf-16-be")):
        if tuple(byte == 0 for byte in first[:4]) == nulls:
            raise FileFormatError(
                f"{name} is no text in {_called(codec)}, but seems to be in {_called(wide)}. {_advice([wide])}"
            )
    if codec == UTF8 or first.isascii():
        return
    try:
        text = codecs.getincrementaldecoder(UTF8)("strict").decode(first)
    except UnicodeDecodeError:
        return
    # Where a byte is a character, none of them stand as those of UTF-8 do. Where two are, some words do.
    alone = len(bytes(range(0xC0, 0xE0)).decode(codec, "replace")) == 32
    if sum(not character.isascii() for character in text) >= (1 if alone else 4):
        raise FileFormatError(f"{name} begins with text in UTF-8, {_not_in(codec)}")


class _Place:
    """Where in a text one is: how many lines lie behind, and how many characters of this one."""

    def __init__(self) -> None:
        self.lines = self.characters = 0
        self.plain = True  # only ASCII so far
        self._returned = False

    def go_on(self, text: str) -> None:
        # A line ends with \n, \r, or both, which may come in two pieces.
        ends = text.count("\n") + text.count("\r") - text.count("\r\n")
        self.lines += ends - (self._returned and text.startswith("\n"))
        last = max(text.rfind("\n"), text.rfind("\r"))
        self.characters = len(text) - last - 1 + (self.characters if last < 0 else 0)
        self.plain = self.plain and text.isascii()
        self._returned = text.endswith("\r")


def _refuse(
    stream: IO[bytes], name: str, codec: str, error: UnicodeDecodeError, place: _Place, near: bytes
) -> NoReturn:
    """Raise the error for a byte that does not fit, which the last of the bytes `near` are about."""
    fits = error.object[: error.start]
    place.go_on(fits.decode(codec, "ignore"))
    if not near.endswith(error.object):
        near = error.object
    where = len(near) - len(error.object) + error.start
    try:
        near += stream.read(_NEAR)
    except Exception:  # what is behind it cannot be read, which is another matter
        near += b""
    likely = [] if codec.startswith(_WIDE) else readings(near, where, codec)
    message = f"{name} is no text in {_called(codec)}: in line {place.lines + 1}, column {place.characters + 1} is the "
    message += f"byte 0x{error.object[error.start]:02x} ({error.reason}). "
    if likely:
        message += f"There it reads {'; '.join(f'{text!r} in {one}' for one, text in likely)}. "
    if codec == UTF8 and not place.plain:
        # Another encoding would misread what is before it.
        raise FileFormatError(
            f"{message}What stands before it is in UTF-8: correct this place, or make the file again."
        ) from error
    raise FileFormatError(message + _advice([one for one, _ in likely])) from error


def _advice(likely: list[str]) -> str:
    otherwise = "or save the file in UTF-8."
    if not likely:
        return f"Pass the encoding that it is in, such as encoding='cp1252' (--encoding cp1252), {otherwise}"
    others = f" (or {', '.join(map(repr, likely[1:]))}: the one that reads right)" if len(likely) > 1 else ""
    return f"Pass encoding='{likely[0]}'{others}, on the command line --encoding {likely[0]}; {otherwise}"


def _not_in(codec: str) -> str:
    return f"not in {_called(codec)}. Leave the encoding out (encoding=, or --encoding on the command line)."


def _called(codec: str) -> str:
    return codec.upper() if codec.startswith("utf") else codec
