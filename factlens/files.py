"""Files that factlens writes: each whole or not at all; arrays in safetensors, everything else as JSON. No pickle."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from factlens.arguments import a_path
from factlens.bounded import ANOTHER, open_file, parse_json, read_text
from factlens.errors import FileFormatError, FileNotWritten
from factlens.tensors import read_arrays, read_header, write_tensors

# Writing -------------------------------------------------------------------------------------------------------------

_ADVICE = {
    errno.ENOENT: "Make its folder first, or name another one.",
    errno.ENOTDIR: "What stands for its folder is a file: name a folder.",
    errno.EISDIR: "It is a folder: name a file in it.",
    errno.ENOSPC: "Make room there, or name another folder.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
_ADVICE |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Name a folder that you may write to.")
_ADVICE |= dict.fromkeys((errno.EDQUOT, errno.EFBIG), _ADVICE[errno.ENOSPC])
_LONGEST_NAME = 200


def write_file(path: str | Path, write: Callable[[IO[bytes]], object]) -> Path:
    """Write a file, which takes the place of an old one only once it is complete.

    An old file keeps its mode; a new one has the mode that the process gives to new files (its umask). Through a
    symbolic link the file is written that it points to.

    Parameters
    ----------
    path
        The file.
    write
        Writes to the stream that it is given.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileNotWritten
        If it cannot be written: no such folder, no permission, no space. The old file is as it was then, as it is
        after every other error and after an interrupt, and nothing else is left in the folder.
    """
    path = Path(path)
    try:
        _replace(Path(os.path.realpath(path)), write)
    except OSError as error:
        raise _explained(path, error) from error
    except ValueError as error:
        if "\0" not in str(path):
            raise
        raise FileNotWritten(f"{str(path)!r} cannot be the name of a file. Choose another one.") from error
    return path


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file as `write_file` does, from bytes."""
    return write_file(path, lambda stream: stream.write(data))


def write_text(path: str | Path, text: str) -> Path:
    """Write a file as `write_file` does, from a text, in UTF-8; half a character becomes a question mark."""
    return write_bytes(path, text.encode("utf-8", "replace"))


def write_json(path: str | Path, content: object, *, indent: int | None = None) -> Path:
    """Write a file as `write_file` does, from what JSON can say; characters are written as they are."""
    return write_bytes(path, json_bytes(content, indent=indent) + b"\n")


def json_bytes(content: object, *, indent: int | None = None) -> bytes:
    """Return JSON for people: characters as they are, but for halves of characters, which UTF-8 lacks."""
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=indent).encode()
    except UnicodeEncodeError:
        return json.dumps(content, allow_nan=False, indent=indent).encode()


def move_file(made: Path, path: str | Path) -> Path:
    """Put a file that another library has made where `write_file` would have written it, with the mode it would have.

    Raises
    ------
    FileNotWritten
        As `write_file`.
    """
    target = Path(os.path.realpath(path))
    try:
        old = _old(target)
        if old:
            _give(made, old)
        else:
            made.chmod(_new_mode(made.parent))
        made.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise _explained(path, error) from error
        with made.open("rb") as stream:  # a link led to another disk
            write_file(target, lambda copy: shutil.copyfileobj(stream, copy))
        made.unlink()
    return Path(path)


def _new_mode(folder: Path) -> int:
    """Return the mode of new files in a folder; to ask for the umask is to change it for all threads."""
    probe = folder / f"{secrets.token_hex(4)}.part"
    try:
        with open(probe, "xb"):
            return stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink(missing_ok=True)


def _explained(path: str | Path, error: OSError) -> FileNotWritten:
    reason = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, "Name another file.")
    return FileNotWritten(f"{path} could not be written: {reason}. {advice}", reason, error.errno)


def _replace(target: Path, write: Callable[[IO[bytes]], object]) -> None:
    old = _old(target)
    # A name of its own: several processes may be writing the same file. No longer than a name may be.
    name = target.name
    while len(os.fsencode(name)) > _LONGEST_NAME:
        name = name[:-1]
    unfinished = target.with_name(f"{name}.{secrets.token_hex(4)}.part")
    # Twice, since an interrupt may come just when the first is about to tidy up.
    try:
        try:
            with open(unfinished, "xb", opener=_for_the_owner if old else None) as stream:
                write(stream)
                stream.flush()
                _sync(stream.fileno())
            if old:
                _give(unfinished, old)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    finally:
        unfinished.unlink(missing_ok=True)


def _old(target: Path) -> os.stat_result | None:
    """Return what is known of an old file; raise OSError where something else stands in its place."""
    if target.is_symlink():  # all other links have been followed
        raise OSError(errno.ELOOP, "symbolic links lead round in a circle")
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "there is a folder of that name")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "there is a pipe or a device of that name")
    return status


def _for_the_owner(path: str, flags: int) -> int:
    # What replaces a private file is not to be read by others while it is written.
    return os.open(path, flags, 0o600)


def _give(path: Path, old: os.stat_result) -> None:
    """Give a file the owner, as far as that may be done, and the mode of an old one."""
    new = path.stat()
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(OSError):
            os.chown(path, old.st_uid, old.st_gid)
    path.chmod(stat.S_IMODE(old.st_mode))


def _sync(descriptor: int) -> None:
    """Have the file on disk before its name is: after a power cut the name must not stand for an empty file."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems know no such thing
            raise


# Records: a JSON record and arrays in one safetensors file -----------------------------------------------------------


def write_record(
    path: str | Path, kind: str, schema: int, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Path:
    """Write one file of a kind such as ``"factlens.trace"``; an existing file is replaced only once it is complete.

    Raises
    ------
    FileNotWritten
        As `write_file`; also if the record is larger than one that is read.
    """
    path = a_path("path", path)
    header = json.dumps({"format": kind, "schema": schema, **record})
    rows = {name: np.asarray(array, array.dtype.newbyteorder("<"), order="C") for name, array in arrays.items()}
    metadata = {"factlens": header, "checksum": _checksum_of_arrays(header, rows)}
    try:
        return write_file(path, lambda stream: write_tensors(stream, rows, metadata))
    except ValueError as error:
        raise FileNotWritten(f"{path} could not be written: {error}. Save fewer facts in a file.") from error


def read_record(
    path: str | Path, kind: str, schema: int, *earlier: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file of one kind: its JSON record and its arrays. `earlier` are other schemas that the caller reads.

    Raises
    ------
    FileFormatError
        If it is no such file, is damaged, or has another schema than this version reads.
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    """
    path = a_path("path", path)
    with open_file(path) as stream:
        try:
            header = read_header(stream)
            text = header.metadata.get("factlens", "{}")
            # Before any array is read: the wrong file may be a model of many gigabytes.
            record = check_kind(path, parse_json(text), kind, schema, *earlier)
            arrays = read_arrays(stream, header)
        except FileFormatError:
            raise
        except (OSError, ValueError) as error:
            raise FileFormatError(f"{path} is not a file that factlens wrote: {error}. {ANOTHER}") from error
    if header.metadata.get("checksum") != _checksum_of_arrays(text, arrays):
        raise FileFormatError(f"{path} is damaged: what is in it is not what was written. {ANOTHER}")
    return record, arrays


def check_kind(path: str | Path, record: Any, kind: str, schema: int, *earlier: int) -> dict[str, Any]:
    """Return a file's record if it is of the wanted kind and schema, or an earlier one that the caller reads.

    Raises
    ------
    FileFormatError
        Otherwise.
    """
    if not isinstance(record, dict) or record.get("format") != kind:
        raise FileFormatError(f"{path} holds no {kind.removeprefix('factlens.')}.")
    read = (schema, *earlier)
    if record.get("schema") not in read or isinstance(record.get("schema"), bool):
        raise FileFormatError(
            f"{path} has schema {record.get('schema')!r:.20}; this version of factlens reads "
            f"{' and '.join(map(str, read))}. Read it with "
            "the version that wrote it, or make it again."
        )
    return record


@contextlib.contextmanager
def complete(path: str | Path, what: str) -> Iterator[None]:
    """Say of a file whose content is looked at in the block that it is no complete `what`, where that turns out.

    Raises
    ------
    FileFormatError
        In place of an error in the block that the content has caused.
    """
    try:
        yield
    except FileFormatError:
        raise
    # ValueError is what checks raise. The others are raised by numbers and names that no check has thought of.
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, MemoryError) as error:
        raise FileFormatError(f"{path} is not a complete factlens {what}: {error}. {ANOTHER}") from error


def fields_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record holds beside the name of its format."""
    return {name: value for name, value in record.items() if name not in ("format", "schema")}


def checksum(content: object) -> str:
    """Return eight hex digits of what JSON can say; the order of fields counts, the layout of the text does not."""
    return f"{zlib.crc32(json.dumps(content, separators=(',', ':')).encode()):08x}"


def check_sum(where: str | Path, content: dict[str, Any]) -> None:
    """Take the checksum out of what a file says, and check it.

    Raises
    ------
    FileFormatError
        If the rest is not what was written.
    """
    written = content.pop("checksum", None)
    if written != checksum(content):
        raise FileFormatError(f"{where} is damaged: what is in it is not what was written. {ANOTHER}")


def read_json(path: str | Path, what: str) -> Any:
    """Return what a file says in JSON.

    Raises
    ------
    FileFormatError
        If it is no JSON; the message calls it no `what` of factlens.
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    """
    try:
        return parse_json(read_text(path))
    except FileFormatError:
        raise
    except ValueError as error:
        raise FileFormatError(f"{path} is damaged, or not a {what} of factlens: {error}. {ANOTHER}") from error


def _checksum_of_arrays(header: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return eight hex digits of record and arrays; the format itself notices a missing byte, not a changed one."""
    total = zlib.crc32(header.encode())
    for name, array in sorted(arrays.items()):
        total = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), total)
        total = zlib.crc32(array.reshape(-1).view(np.uint8).data, total)
    return f"{total:08x}"
