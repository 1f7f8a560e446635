"""Data sets of the Hugging Face Hub, ``hf:name:config:split``: a network and the library datasets are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from factlens.errors import FactError, FactlensError

PREFIX = "hf:"


def parts_of(spec: str, form: str) -> list[str]:
    """Return the parts of what stands behind ``hf:``, empty texts for those left out.

    Parameters
    ----------
    spec, form
        What the user wrote, and all that may be written: ``"name:config:split"``. Only the name must be there.

    Raises
    ------
    FactError
        If there is no name, or more than `form` has.
    """
    parts, most = spec.split(":"), form.count(":") + 1
    if len(parts) > most or not parts[0]:
        raise FactError(f"{PREFIX}{spec} names no data set: write {PREFIX}{form}, or only {PREFIX}name.")
    return [*parts, *[""] * (most - len(parts))]


def library(spec: str) -> Any:
    """Return the library that loads data sets.

    Raises
    ------
    FactlensError
        If it is not installed.
    """
    try:
        return import_module("datasets")
    except ImportError as error:
        raise FactlensError(
            f"Reading {PREFIX}{spec} needs the library datasets: pip install 'factlens[text]'. A local file needs none."
        ) from error


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Say what may help: the libraries raise a different error for every way in which a name or the network is bad.

    Raises
    ------
    FactlensError
        In place of any other error in the block.
    """
    try:
        yield
    except FactlensError:
        raise
    except Exception as error:
        raise FactlensError(
            f"The data set {name!r} cannot be read ({type(error).__name__}: {error}). It takes a network connection "
            "and a name, config and split that the Hub has; a local file needs neither."
        ) from error
