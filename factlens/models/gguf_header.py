"""What a GGUF file says of itself, checked before anything is made of it.

A file begins with named fields (the architecture and its sizes, the tokenizer) and a table of tensors: name, shape,
format, and where the numbers lie. Files are cut off by downloads, split into parts, or hold no whole language model;
what reads them further on answers with an error from inside numpy, with weights that are made up, or not at all. The
format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import mmap
import os
import struct
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from factlens.bounded import open_file
from factlens.errors import FileFormatError
from factlens.visible import as_label

MAGIC = b"GGUF"
EMBEDDING = "token_embd.weight"
TOKENS = "tokenizer.ggml.tokens"
_AGAIN = "Download or convert it again."
_VERSIONS = (2, 3)
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_LONGEST_NAME, _MOST_DIMENSIONS, _MOST_ENTRIES = 1 << 16, 8, 1 << 20


class Header(NamedTuple):
    """The beginning of a GGUF file.

    Attributes
    ----------
    path
        The file.
    fields
        Numbers and texts by name; of an array, its length.
    shapes
        Of each tensor, in the order of torch: ``(rows, columns)``.
    """

    path: Path
    fields: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]

    @property
    def architecture(self) -> str:
        """What the file calls the architecture."""
        return str(self.fields["general.architecture"])


def begins_like_gguf(path: str | Path) -> bool:
    """Whether a file begins as GGUF files do.

    Raises
    ------
    FileNotFoundError, PermissionError, FileFormatError
        As `factlens.bounded.open_file`.
    """
    with open_file(path) as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read_header(path: str | Path) -> Header:
    """Read the beginning of a GGUF file, and check that the rest can be there.

    Raises
    ------
    FileNotFoundError, PermissionError
        As `factlens.bounded.open_file`.
    FileFormatError
        If it is no GGUF file, one of an unknown version, one that ends too early or contradicts itself, a part of one,
        or one without a whole language model or a usable tokenizer. The message names the field or the tensor.
    """
    path = Path(path)
    with open_file(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            raise FileFormatError(f"{path} is empty. {_AGAIN}")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header, ends = _read(_Cursor(path, data))
    _check_whole(header)
    for name, end in ends.items():
        if end > size:
            raise FileFormatError(
                f"{path} ends after {size:,} bytes, before the numbers of {as_label(name)}, which lie up to byte "
                f"{end:,}: it was cut off. {_AGAIN}"
            )
    check_tokenizer(header)
    return header


def check_tokenizer(header: Header) -> None:
    """Refuse a file whose tokenizer is missing, or names tokens that there are not.

    Raises
    ------
    FileFormatError
        Naming the field.
    """
    path, fields = header.path, header.fields
    other = (
        "Load the model with transformers (from_pretrained(..., gguf_file=...)), its tokenizer from the model's own "
        "repository, and pass both: factlens.wrap(model, tokenizer)."
    )
    needed = ["tokenizer.ggml.model", TOKENS]
    order = ["tokenizer.ggml.merges", "tokenizer.ggml.scores"]  # one of them, by which pieces are joined
    if not any(map(fields.get, order)):
        needed.append(order[fields.get(needed[0]) != "gpt2"])
    for name in needed:
        if not fields.get(name):
            raise FileFormatError(f"{path} has no tokenizer that can be used: its field {name} is missing. {other}")
    tokens, rows = fields[TOKENS], header.shapes[EMBEDDING][0]
    if not isinstance(tokens, int) or tokens > rows:
        raise FileFormatError(
            f"The tokenizer of {path} does not fit its model: {TOKENS} has {tokens} tokens, and the embedding "
            f"({EMBEDDING}) {rows} rows. {other}"
        )
    for name in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        if fields.get(name, tokens) != tokens:
            raise FileFormatError(
                f"The tokenizer of {path} contradicts itself: {name} has {fields[name]} entries for {tokens} tokens. "
                f"{other}"
            )
    for name in (f"tokenizer.ggml.{which}_token_id" for which in ("bos", "eos", "unknown", "padding")):
        token = fields.get(name, 0)
        if not isinstance(token, int) or not 0 <= token < tokens:
            raise FileFormatError(
                f"The tokenizer of {path} does not fit: {name} is {token}, and its {tokens} tokens are numbered from 0 "
                f"to {tokens - 1}. {other}"
            )


def _check_whole(header: Header) -> None:
    path, fields = header.path, header.fields
    if not isinstance(fields.get("general.architecture"), str):
        raise FileFormatError(f"{path} does not say what it holds: its field general.architecture is missing. {_AGAIN}")
    if (parts := fields.get("split.count", 1)) != 1:
        raise FileFormatError(
            f"{path} is one of {parts} parts of a model, which transformers does not read. Join them: llama-gguf-split "
            f"--merge {path.name} whole.gguf, with all of them in one folder."
        )
    if len(header.shapes.get(EMBEDDING, ())) != 2:
        raise FileFormatError(
            f"{path} holds no whole language model: it has no token embedding ({EMBEDDING}) among its "
            f"{len(header.shapes)} tensors. It may be an adapter, the part of a model that sees, or a vocabulary "
            "alone. Name the file of the language model itself."
        )


def _read(cursor: _Cursor) -> tuple[Header, dict[str, int]]:
    """Return the header, and up to where in the file each tensor reaches."""
    if (begins := bytes(cursor.data[:64]))[: len(MAGIC)] != MAGIC:
        raise FileFormatError(
            f"{cursor.path} is no GGUF file: it begins with {begins[:8]!r}, and not with GGUF. {_instead(begins)}"
        )
    cursor.at = len(MAGIC)
    (version,) = cursor.take("I", "its version")
    if version not in _VERSIONS:
        order = " It is in big-endian order." if version & 0xFFFF == 0 else ""
        raise FileFormatError(
            f"{cursor.path} is GGUF of version {version}; transformers reads {' and '.join(map(str, _VERSIONS))}."
            f"{order} Convert it again with a current llama.cpp."
        )
    tensors, count = cursor.take("QQ", "its counts")
    if max(tensors, count) > _MOST_ENTRIES:
        cursor.refuse("its counts", f"it says that it has {count} fields and {tensors} tensors")
    fields: dict[str, Any] = {}
    for number in range(count):
        name = cursor.text(f"the name of field {number}", longest=_LONGEST_NAME)
        fields[name] = cursor.value(f"the field {as_label(name)}")
    shapes: dict[str, tuple[int, ...]] = {}
    reaches: dict[str, int] = {}
    for number in range(tensors):
        name = cursor.text(f"the name of tensor {number}", longest=_LONGEST_NAME)
        what = f"the entry of tensor {as_label(name)}"
        (dimensions,) = cursor.take("I", what)
        if dimensions > _MOST_DIMENSIONS:
            cursor.refuse(what, f"it says that the tensor has {dimensions} dimensions")
        shape = cursor.take(f"{dimensions}Q", what)[::-1]  # ggml names the fastest dimension first
        kind, offset = cursor.take("IQ", what)
        if name in shapes:
            cursor.refuse(what, "the tensor is there twice")
        shapes[name], reaches[name] = shape, offset + _bytes_of(cursor, what, shape, kind)
    alignment = fields.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        cursor.refuse("the field general.alignment", f"it is {alignment!r}")
    start = -(-cursor.at // alignment) * alignment
    return Header(cursor.path, fields, shapes), {name: start + end for name, end in reaches.items()}


def _instead(begins: bytes) -> str:
    """Say what a file that begins so is, where it is one of those that downloads leave, and what to do."""
    if begins.startswith(b"version https://git-lfs"):
        return "It is a pointer of Git LFS, in whose place the file itself goes: git lfs pull."
    if begins.lstrip().startswith(b"<"):
        return "It is a web page, as a download leaves that was answered with an error. Download it again."
    return "Download it again; for safetensors name the folder with the model's config.json."


def _bytes_of(cursor: _Cursor, what: str, shape: tuple[int, ...], kind: int) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    except (ValueError, KeyError):
        cursor.refuse(what, f"its numbers are in the format {kind}, which gguf does not know (pip install -U gguf)")
    return prod(shape) // block * size


class _Cursor:
    """Where in the file one is. What would be read beyond its end is not read."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0

    def refuse(self, what: str, reason: str) -> NoReturn:
        raise FileFormatError(f"{self.path} is damaged at {what}: {reason}. {_AGAIN}")

    def skip(self, count: int, what: str) -> int:
        """Go on by so many bytes; return where one was."""
        before = self.at
        if count > len(self.data) - before:
            self.refuse(what, f"the file ends after {len(self.data):,} bytes, in the middle of it")
        self.at += count
        return before

    def take(self, form: str, what: str) -> tuple[Any, ...]:
        form = f"<{form}"
        return struct.unpack_from(form, self.data, self.skip(struct.calcsize(form), what))

    def text(self, what: str, longest: int = 1 << 26) -> str:
        (length,) = self.take("Q", what)
        if length > longest:
            self.refuse(what, f"a text of {length} bytes")
        start = self.skip(length, what)
        return self.data[start : self.at].decode("utf-8", errors="replace")

    def value(self, what: str) -> Any:
        """Return a field's number or text; of an array, its length."""
        (kind,) = self.take("I", what)
        if kind in _NUMBERS:
            return self.take(_NUMBERS[kind], what)[0]
        if kind == _TEXT:
            return self.text(what)
        if kind != _ARRAY:
            self.refuse(what, f"a value of the unknown kind {kind}")
        inner, count = self.take("IQ", what)
        if inner in _NUMBERS:
            self.skip(count * struct.calcsize(_NUMBERS[inner]), what)
        elif inner == _TEXT:
            if 8 * count > len(self.data):
                self.refuse(what, f"it says that it has {count} texts, more than fit into the file")
            for _ in range(count):
                self.skip(self.take("Q", what)[0], what)
        else:
            self.refuse(what, f"an array of the kind {inner}")
        return count
