"""`load` and `wrap`: from a name, or from what the notebook already holds, to a checked `Model`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from factlens.arguments import a_path, a_text, instance, optional, shown
from factlens.errors import ArgumentError, UnknownArchitecture
from factlens.models.bundled import ATLAS, WEIGHTS
from factlens.models.checking import check, check_numbers
from factlens.models.families import FAMILIES, Family, family_of, has_part, refusal_of
from factlens.models.given import a_device, a_dtype, a_family, a_tokenizer
from factlens.models.guests import check_not_compiled, without_wrapper
from factlens.models.model import Model


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
    ArgumentError
        If a device or a number format is unknown or not to be had here, or another argument is of the wrong type.
    UnknownArchitecture
        If the architecture is not in the family map, or does not behave as the map says; or if the repository brings
        code of its own that transformers would have to run, which factlens never does.
    OSError
        From transformers, if there is no such model.
    """
    from transformers import AutoConfig, AutoTokenizer

    source = str(a_path("name", name, folder=True, expected="'atlas', a Hugging Face Hub id, or a local folder"))
    place = _best_device() if device is None else a_device("device", device)
    dtype = optional(a_dtype, "dtype", dtype)
    revision, family = optional(a_text, "revision", revision), optional(a_family, "family", family)
    if source == ATLAS:
        source = str(WEIGHTS)
        dtype = dtype or torch.float32
    elif Path(source).expanduser().exists():
        source = str(Path(source).expanduser())
    with _without_their_code(source):
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        with _quietly(str(name) == ATLAS):
            module = _class_for(config).from_pretrained(
                source, revision=revision, dtype=dtype or "auto", trust_remote_code=False
            )
    module.to(place)
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
        A Hugging Face causal language model, on any device. Of peft's wrapper around one the model inside is taken, in
        which the adapters stand and act.
    tokenizer
        Its fast tokenizer.
    name
        What to call it. Default: the name it was loaded by.
    family
        Where the architecture keeps its parts, for one that factlens does not know.

    Raises
    ------
    ArgumentError
        If `model` is no module, has no configuration or no numbers, if `tokenizer` is no fast tokenizer, gives no
        offsets or has no tokens, or if another argument is of the wrong type.
    UnknownArchitecture
        If the architecture is not in the family map, does not behave as the map says, or is not causal: its tokens
        see those behind them.
    """
    check_not_compiled(model, name if isinstance(name, str) else "The model")
    model = without_wrapper(model)
    _check_parts(model, tokenizer)
    name, family = optional(a_text, "name", name), optional(a_family, "family", family)
    kind = getattr(getattr(model, "config", None), "model_type", None)
    family = family or family_of(model)
    if family is None:
        if reason := refusal_of(model):
            raise UnknownArchitecture(f"{kind} cannot be traced: {reason}.")
        raise UnknownArchitecture(
            f"factlens does not know the architecture {kind or type(model).__name__!r} "
            f"(it knows {', '.join(sorted(FAMILIES))}). Say where its parts are: "
            "factlens.wrap(model, tokenizer, family=factlens.Family(blocks=..., attention=..., mlp=..., out=..., "
            "down=..., embedding=..., norm=..., head=...)); print(model) shows the names."
        )
    label = name or getattr(model.config, "name_or_path", "") or str(kind)
    for part in ("blocks", "embedding", "head"):
        path = getattr(family, part)
        if not has_part(model, path):
            raise UnknownArchitecture(
                f"{label} has no module {path!r}, where the family map expects its {part}. It must be a causal "
                "language model with a head (AutoModelForCausalLM), not a bare base model."
            )
    wrapped = Model(model, tokenizer, family, label, check)
    with wrapped.exclusive():  # which checks it
        return wrapped


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


@contextmanager
def _without_their_code(source: str) -> Iterator[None]:
    """Say clearly what transformers says of a repository whose own code it would have to run, or does not know."""
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            if "recogni" not in str(error).lower():
                raise
            reason = str(error).splitlines()[0][:300]
            raise UnknownArchitecture(
                f"{source} is no causal language model that transformers knows: {reason}"
            ) from error
        raise UnknownArchitecture(
            f"{source} brings code of its own, and factlens never runs a repository's code. If you have read it and "
            "trust it, load model and tokenizer yourself with transformers (from_pretrained(..., "
            "trust_remote_code=True)), then take them: factlens.wrap(model, tokenizer, family=factlens.Family(...))."
        ) from error


def _check_parts(model: Any, tokenizer: Any) -> None:
    """Refuse what is no model, and a tokenizer that cannot say where its tokens stand in the text."""
    if isinstance(model, Model):
        raise ArgumentError("model is a factlens model already: use it as it is; model.model is what it wraps.")
    if isinstance(model, (str, Path)):
        raise ArgumentError(f"model must be a module, not its name: factlens.load({shown(model)}) loads one by name.")
    example = "AutoModelForCausalLM.from_pretrained('gpt2')"
    if isinstance(getattr(model, "model", None), torch.nn.Module) and not isinstance(model, torch.nn.Module):
        raise ArgumentError(
            f"model must be a module, and this {type(model).__name__} has one inside: factlens.wrap(it.model, "
            "it.tokenizer) takes model and tokenizer out of a pipeline."
        )
    instance("model", model, torch.nn.Module, "a causal language model of transformers", example)
    check_numbers(model, "model")
    a_tokenizer("tokenizer", tokenizer)
    if not hasattr(getattr(model, "config", None), "get_text_config"):
        raise ArgumentError(
            f"model must be a model of transformers, whose config says how many layers it has: this "
            f"{type(model).__name__} has no such config. For one inside a wrapper pass what it wraps: model.module."
        )
    if getattr(model.config, "is_encoder_decoder", False):
        raise UnknownArchitecture(
            f"{model.config.model_type} is an encoder with a decoder, which reads prompt and answer apart. factlens "
            "traces causal language models, which go on from the prompt: AutoModelForCausalLM."
        )


def _class_for(config: Any) -> Any:
    """Return what loads a model: of text, or of text and pictures where there is no other."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )

    seeing = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING
    return AutoModelForImageTextToText if seeing else AutoModelForCausalLM


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
