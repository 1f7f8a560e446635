"""Files that factlens writes: arrays in safetensors, everything else as JSON in the header. No pickle, no torch."""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from factlens.errors import FileFormatError


def write_record(
    path: str | Path, kind: str, schema: int, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Path:
    """Write one file of a kind such as ``"factlens.trace"``; an existing file is replaced only once it is complete.

    Raises
    ------
    OSError
        If the file cannot be written: no such folder, no permission, no space.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = Path(path)
    header = json.dumps({"format": kind, "schema": schema, **record})
    rows = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    # A name of its own: several processes may be writing the same file.
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        save_file(rows, unfinished, {"factlens": header, "checksum": _checksum(header, rows)})
        unfinished.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def read_record(path: str | Path, kind: str, schema: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file of one kind: its JSON record and its arrays.

    Raises
    ------
    FileFormatError
        If it is no such file, is damaged, or has another schema than this version reads.
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            header = metadata.get("factlens", "{}")
            # Before any array is read: the wrong file may be a model of many gigabytes.
            record = _checked(path, json.loads(header), kind, schema)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (FileNotFoundError, PermissionError):
        raise
    # TypeError and AttributeError: a number format that numpy does not have.
    except (SafetensorError, OSError, json.JSONDecodeError, TypeError, AttributeError) as error:
        raise FileFormatError(f"{path} is not a file that factlens wrote: {error}.") from error
    if metadata.get("checksum") != _checksum(header, arrays):
        raise FileFormatError(f"{path} is damaged: what is in it is not what was written.")
    return record, arrays


def _checksum(header: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return eight hex digits of record and arrays; safetensors itself notices a missing byte, not a changed one."""
    total = zlib.crc32(header.encode())
    for name, array in sorted(arrays.items()):
        total = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), total)
        total = zlib.crc32(array.reshape(-1).view(np.uint8).data, total)
    return f"{total:08x}"


def _checked(path: str | Path, record: Any, kind: str, schema: int) -> dict[str, Any]:
    """Return a file's record if it is of the wanted kind and schema."""
    if not isinstance(record, dict) or record.get("format") != kind:
        raise FileFormatError(f"{path} holds no {kind.removeprefix('factlens.')}.")
    if record.get("schema") != schema:
        raise FileFormatError(f"{path} has schema {record.get('schema')!r}; this version of factlens reads {schema}.")
    return record
