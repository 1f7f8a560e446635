"""Text from a dataset of the Hugging Face Hub, streamed: nothing is downloaded but what is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from factlens.errors import FactlensError


def dataset_corpus(spec: str) -> tuple[str, Callable[[int], Iterator[str]]]:
    """Return the identity of a dataset's text, which names its commit, and a function that reads it from a text on.

    Parameters
    ----------
    spec
        ``"name:config:split:column"``; left out or empty, the config is the dataset's own, the split ``train`` and
        the column ``text``. After the name may stand ``@`` and a branch, tag or commit.

    Raises
    ------
    FactlensError
        If the library is not installed, the Hub cannot be reached, or there is no such dataset or column.
    """
    parts = spec.split(":")
    if len(parts) > 4 or not parts[0]:
        raise FactlensError(f"hf:{spec} names no dataset: write hf:name:config:split:column, or only hf:name.")
    name, config, split, column = (*parts, *[""] * (4 - len(parts)))
    name, _, revision = name.partition("@")
    split, column = split or "train", column or "text"
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise FactlensError(
            f"Reading hf:{spec} needs the library that streams datasets: pip install 'factlens[text]'. Without it, a "
            "local file or folder of text serves as well."
        ) from error
    commit = _commit(name, revision)

    def stream() -> Any:
        with _explained(name):
            return datasets.load_dataset(name, config or None, split=split, revision=commit, streaming=True)

    def read(skip: int) -> Iterator[str]:
        rows = stream()
        with _explained(name):
            for row in rows.skip(skip) if skip else rows:
                if column not in row:
                    raise FactlensError(
                        f"{name} has no column {column!r}, but {', '.join(row)}: name one, hf:name:config:split:column."
                    )
                # A row without text counts, so that skipping some later counts alike.
                text = row[column] or ""
                if not isinstance(text, str):
                    raise FactlensError(f"The column {column!r} of {name} holds {type(text).__name__}, not text.")
                yield text

    return f"hf:{name}@{commit[:12]}:{config}:{split}:{column}", read


def _commit(name: str, revision: str) -> str:
    """Return the commit that a revision of a dataset stands for today."""
    from huggingface_hub import HfApi

    with _explained(name):
        return str(HfApi().dataset_info(name, revision=revision or None).sha)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say what may help: the libraries raise a different error for every way in which a name or the network is bad."""
    try:
        yield
    except FactlensError:
        raise
    except Exception as error:
        raise FactlensError(
            f"The dataset {name!r} cannot be read ({type(error).__name__}: {error}). It takes a network connection and "
            "a name, config and split that the Hub has; a local file or folder of text needs neither."
        ) from error
