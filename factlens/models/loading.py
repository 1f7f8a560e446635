"""`load` and `wrap`: from a name, or from what the notebook already holds, to a checked `Model`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from factlens.errors import UnknownArchitecture
from factlens.models.checking import check
from factlens.models.families import FAMILIES, Family
from factlens.models.model import Model

ATLAS = "atlas"


def load(
    name: str | Path = ATLAS,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
    family: Family | None = None,
) -> Model:
    """Load a language model by name.

    Parameters
    ----------
    name
        ``"atlas"``, the small model that ships with factlens; a Hugging Face Hub id such as
        ``"gpt2-xl"``; or a local folder.
    device
        Where to put it. Default: CUDA if there is one, else Apple's MPS, else the CPU.
    dtype
        Number format. Default: float32 for atlas, what the checkpoint says otherwise.
    revision
        Branch, tag or commit on the Hub.
    family
        Where the architecture keeps its parts, for one that factlens does not know.

    Raises
    ------
    UnknownArchitecture
        If the architecture is not in the family map, or does not behave as the map says.
    OSError
        From transformers, if there is no such model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = str(name)
    if source == ATLAS:
        source = str(files("factlens.models") / "atlas" / "weights")
        dtype = dtype or torch.float32
    elif Path(source).expanduser().exists():
        source = str(Path(source).expanduser())
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
    with _quietly(str(name) == ATLAS):
        module = AutoModelForCausalLM.from_pretrained(source, revision=revision, dtype=dtype or "auto")
    module.to(device or _best_device())
    model = wrap(module, tokenizer, name=str(name), family=family)
    if str(name) == ATLAS:
        from factlens.models.atlas.corpus import corpus

        model.corpus = partial(corpus, documents=1_000_000)
    return model


def wrap(model: Any, tokenizer: Any, *, name: str | None = None, family: Family | None = None) -> Model:
    """Take a model and tokenizer that the notebook already holds.

    Nothing is copied: edits change the weights of `model` itself, and `Model.undo` restores them.
    The architecture is checked by running it on a few tokens.

    Parameters
    ----------
    model
        A Hugging Face causal language model, on any device.
    tokenizer
        Its fast tokenizer.
    name
        What to call it. Default: the name it was loaded by.
    family
        Where the architecture keeps its parts, for one that factlens does not know.

    Raises
    ------
    UnknownArchitecture
        If the architecture is not in the family map, or does not behave as the map says.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    found = family or FAMILIES.get(str(kind))
    if found is None:
        raise UnknownArchitecture(
            f"factlens does not know the architecture {kind or type(model).__name__!r} "
            f"(it knows {', '.join(sorted(FAMILIES))}). Say where its parts are: "
            "factlens.wrap(model, tokenizer, family=factlens.Family(blocks=..., attention=..., mlp=..., out=..., "
            "down=..., embedding=..., norm=..., head=...)); print(model) shows the names."
        )
    label = name or getattr(model.config, "name_or_path", "") or str(kind)
    for part in ("blocks", "embedding", "head"):
        path = getattr(found, part)
        if not _has(model, path):
            raise UnknownArchitecture(
                f"{label} has no module {path!r}, where the family map expects its {part}. It must be a causal "
                "language model with a head (AutoModelForCausalLM), not a bare base model."
            )
    wrapped = Model(model, tokenizer, found, label)
    check(wrapped)
    return wrapped


def _has(module: torch.nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True


@contextmanager
def _quietly(quiet: bool) -> Iterator[None]:
    """Show no progress bar for a model that loads in a blink."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    if quiet:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if quiet and shown:
            logging.enable_progress_bar()


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
