"""Models out of GGUF files: transformers makes plain numbers of them, and here they are checked.

The file is checked first (`factlens.models.gguf_header`), then its architecture, and only then are weights read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from factlens.errors import FactlensError, FileFormatError, UnknownArchitecture
from factlens.extras import needs
from factlens.models.gguf_header import Header, read_header
from factlens.models.origins import Origin

#: While a file is read, names in modules of gguf and transformers stand for something else.
_one_at_a_time = Lock()


def need_gguf() -> None:
    """Refuse to read GGUF without what reads it.

    Raises
    ------
    FactlensError
        Naming what to install.
    """
    for module in ("gguf", "accelerate"):
        needs(module, "gguf", "Loading a GGUF file")


def header_of(origin: Origin, revision: str | None) -> Header:
    """Return the checked header of a GGUF file, which is fetched if it lies on the Hub.

    Raises
    ------
    FactlensError
        If a package is missing.
    FileFormatError
        As `read_header`.
    OSError
        If there is no such file.
    """
    from transformers.utils import cached_file

    need_gguf()
    return read_header(Path(cached_file(origin.place, origin.gguf, revision=revision)))


@contextmanager
def reading(header: Header) -> Iterator[None]:
    """Have transformers read a file in the block, once and with one progress bar; say what to do where it fails.

    Raises
    ------
    UnknownArchitecture
        If transformers reads no such architecture from GGUF.
    FileFormatError
        For any other error but those of the system.
    """
    import transformers

    try:
        with _one_at_a_time, _one_bar(header), _one_reading():
            yield
    except (FactlensError, OSError, MemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:300]}"
        if "architecture" in str(error) and "support" in str(error):
            raise UnknownArchitecture(
                f"{header.path} holds a model of the architecture {header.architecture!r}, which transformers "
                f"{transformers.__version__} does not read from GGUF. Take the model as its makers published it: "
                "factlens.load with its Hub id."
            ) from error
        if "mismatched_sizes" in reason:
            reason = "its tensors have other sizes than its fields say, as the table above shows"
        raise FileFormatError(
            f"transformers cannot read {header.path}, a model of the architecture {header.architecture!r} ({reason}). "
            "Download it again, take another file of the same model, or the model as its makers published it."
        ) from error


def as_plain_numbers(options: dict[str, Any]) -> None:
    """Ask transformers for weights that can be edited; newer versions can also leave them packed, on some devices.

    They are float32 where nothing else is asked for. Asked for ``"auto"``, transformers takes a file that is called
    .GGUF for a pickle.
    """
    import transformers

    if options["dtype"] == "auto":
        options["dtype"] = torch.float32
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)


def without_marks(module: Any) -> None:
    """Take off a model what says that it is quantised: it is not any more, and can be saved and converted."""
    module.hf_quantizer = None
    for owner, name in ((module.config, "quantization_config"), (module, "quantization_method")):
        if hasattr(owner, name):
            delattr(owner, name)


@contextmanager
def _one_reading() -> Iterator[None]:
    """Do once what transformers does again and again, for seconds each.

    It reads the beginning of a file for configuration, tokenizer and weights, and makes the table of the names of
    tensors for each module of the model.
    """
    import gguf

    theirs = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, each in theirs.items():
        setattr(gguf, name, lru_cache(maxsize=1)(each))
    try:
        yield
    finally:
        for name, each in theirs.items():
            setattr(gguf, name, each)


@contextmanager
def _one_bar(header: Header) -> Iterator[None]:
    """Show one progress bar while numbers are read: in a terminal or a notebook, and gone when all are there."""
    from transformers import modeling_gguf_pytorch_utils as reader
    from transformers.utils import logging

    theirs = reader.tqdm
    enabled = logging.is_progress_bar_enabled()
    in_notebook = any(kind.__module__ == "tqdm.notebook" for kind in theirs.__mro__)
    shows = enabled and (in_notebook or sys.stderr.isatty())
    words = {"desc": f"Reading {header.path.name}", "unit": " tensors", "leave": False, "disable": not shows}
    reader.tqdm = lambda each, **_theirs: theirs(each, **words)
    logging.disable_progress_bar()  # that of putting them into the model, which takes a blink
    try:
        yield
    finally:
        reader.tqdm = theirs
        if enabled:
            logging.enable_progress_bar()
