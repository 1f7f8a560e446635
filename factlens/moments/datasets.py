"""Text from a dataset of the Hugging Face Hub, streamed: nothing is downloaded but what is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from factlens import hub
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
    name, config, split, column = hub.parts_of(spec, "name:config:split:column")
    name, _, revision = name.partition("@")
    split, column = split or "train", column or "text"
    datasets = hub.library(spec)
    commit = _commit(name, revision)

    def stream() -> Any:
        with hub.explained(name):
            return datasets.load_dataset(name, config or None, split=split, revision=commit, streaming=True)

    def read(skip: int) -> Iterator[str]:
        rows = stream()
        with hub.explained(name):
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

    with hub.explained(name):
        return str(HfApi().dataset_info(name, revision=revision or None).sha)
