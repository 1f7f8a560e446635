"""What calibrations have chosen, read back: the part of their files that editing needs.

`factlens.calibration` measures and writes; it stands above this room. A file is named by the fingerprint of the model,
so that no other model's settings are ever taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from factlens.caches import cache_for
from factlens.errors import FactlensWarning, FileFormatError
from factlens.files import check_kind, check_sum, complete, fields_of, read_json
from factlens.typed import Check, many, mapping, plain, record, text, whole
from factlens.warned import warn

FORMAT, SCHEMA = "factlens.calibration", 1
CALIBRATED = "calibrated"
"""What the source of a calibration's choice begins with."""


@dataclass(frozen=True)
class Choice:
    """What a calibration has chosen for a method.

    Attributes
    ----------
    layers
        The layers to edit.
    settings
        Every setting of the method.
    source
        Where they are from, in words: ``"calibrated 2026-11-27 on 24 facts: S 94 ± 3"``.
    """

    layers: tuple[int, ...]
    settings: dict[str, Any]
    source: str


_CHOICE = record({"layers": many(whole(), least=1, unique=True), "settings": mapping(plain()), "source": text})


def read_choice(value: Any) -> Choice:
    """Return a choice as JSON has it, or raise a ValueError that says what is wrong with it."""
    return Choice(**_CHOICE(value))


read_choices: Check = mapping(read_choice)


def calibration_folder() -> Path:
    """Where calibrations are kept: ``calibrations`` in ``$FACTLENS_CACHE``, or in the user's cache folder."""
    return cache_for("calibrations")


def calibration_file(fingerprint: str) -> Path:
    """Return the file that holds the calibration of a model."""
    return calibration_folder() / f"{fingerprint}.json"


def calibration_content(path: str | Path) -> dict[str, Any]:
    """Return the fields of a file of a calibration, of which only the checksum has been checked.

    Raises
    ------
    FileFormatError
        If it is no such file, is damaged, or comes from another version's format.
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    """
    content = fields_of(check_kind(path, read_json(path, "calibration"), FORMAT, SCHEMA))
    check_sum(path, content)
    return content


def stored_choices(fingerprint: str) -> dict[str, Choice]:
    """Return what the stored calibration of a model has chosen, by method; empty if there is none.

    A file that cannot be used is passed over; a warning says so.
    """
    path = calibration_file(fingerprint)
    try:
        status = path.stat()
    except (OSError, ValueError):
        return {}
    return _choices(path, fingerprint, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _choices(path: Path, fingerprint: str, changed: int, size: int) -> dict[str, Choice]:
    """Read a file that was last changed then; views ask again and again."""
    try:
        content = calibration_content(path)
        with complete(path, "calibration"):
            if content["fingerprint"] != fingerprint:
                raise ValueError(f"it is of the model {content['fingerprint']!r:.40}")
            choices: dict[str, Choice] = read_choices(content["choices"])
            return choices
    except OSError as error:
        reason = error.strerror or str(error)
    except FileFormatError as error:
        reason = str(error)
    warn(FactlensWarning(f"The calibration in {path} is not used: {reason} factlens.calibrate(model) makes it anew."))
    return {}
