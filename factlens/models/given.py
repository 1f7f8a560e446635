"""A model, its layers, and how it is to be loaded, as the caller passes them: checked before anything is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from factlens.arguments import instance, items, plain, refuse, shown
from factlens.errors import ArgumentError, LayerError
from factlens.models.families import Family
from factlens.models.layers import written_as_number
from factlens.models.model import Model


def a_model(name: str, value: Any) -> Model:
    """Return the argument `name` if it is a model of ours.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    expected = "a factlens model: factlens.load('atlas'), or factlens.wrap(model, tokenizer)"
    return instance(name, value, Model, expected)


def a_layer(model: Model, name: str, value: Any) -> int:
    """Return a layer that the model has, also where its number is one of numpy's.

    Raises
    ------
    LayerError
        If there is no such layer, or `value` is no number.
    """
    layer = plain(value)
    if isinstance(layer, bool) or not isinstance(layer, int):
        raise LayerError(
            f"{name} must be a whole number from 0 to {model.n_layers - 1}, which number the layers of {model.name}, "
            f"not {shown(value)}.{written_as_number(name, layer)}"
        )
    return model.check_layer(layer)


def some_layers(model: Model, name: str, value: Any) -> tuple[int, ...]:
    """Return layers that the model has, in ascending order and each once; one may stand alone.

    Raises
    ------
    LayerError
        As `a_layer`.
    ArgumentError
        If there is none.
    """
    alone = plain(value)
    if isinstance(alone, (int, float, str)) or alone is None:
        return (a_layer(model, name, alone),)
    each: Iterable[Any] = items(name, value, "a layer, or layers in a list", example="[3, 4]")
    chosen = tuple(sorted({a_layer(model, f"{name}[{i}]", layer) for i, layer in enumerate(each)}))
    if not chosen:
        raise ArgumentError(f"{name} is empty: name at least one layer, such as {name}=[{model.n_layers // 3}].")
    return chosen


def a_family(name: str, value: Any) -> Family:
    """Return the argument `name` if it says where an architecture keeps its parts.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    return instance(name, value, Family, "a factlens.Family, which names the modules of an architecture")


def a_tokenizer(name: str, value: Any) -> Any:
    """Return the argument `name` if it is a tokenizer that says where its tokens stand in the text.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    expected = "a fast tokenizer of transformers, which gives character offsets"
    example = "AutoTokenizer.from_pretrained('gpt2', use_fast=True)"
    if isinstance(value, type) or not callable(value) or not getattr(value, "is_fast", False):
        inner = getattr(value, "tokenizer", None)
        if not isinstance(value, type) and callable(inner) and getattr(inner, "is_fast", False):
            raise ArgumentError(
                f"{name} must be {expected}, not {shown(value)}, which has one inside: pass its .tokenizer."
            )
        refuse(name, value, expected, example)
    try:
        size, offsets = len(value), value("a b", return_offsets_mapping=True)["offset_mapping"]
        has_offsets = all(len(span) == 2 for span in offsets)
    except Exception as error:
        raise ArgumentError(
            f"{name} must be {expected}, which this {type(value).__name__} does not ({type(error).__name__}: "
            f"{shown(str(error))}). For example {name}={example}."
        ) from error
    if not has_offsets or size == 0:
        raise ArgumentError(
            f"{name} has no tokens: this {type(value).__name__} is empty. For example {name}={example}."
        )
    return value


def a_device(name: str, value: Any) -> torch.device:
    """Return the device that is meant.

    Raises
    ------
    ArgumentError
        If there is no such device, or this machine or this build of torch has none.
    """
    expected, example = "a device such as 'cpu', 'cuda', 'cuda:1' or 'mps'", "'cpu'"
    if not isinstance(value, (str, torch.device)):
        refuse(name, value, expected, example)
    try:
        device = torch.device(value)
    except RuntimeError:
        refuse(name, value, expected, example)
    if device.type == "meta":
        refuse(name, value, "a device that holds numbers, such as 'cpu'", example)
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0].split(". ")[0][:200] if str(error) else type(error).__name__
        raise ArgumentError(
            f"{name} must be one that torch can use here, which {shown(str(value))} is not ({reason}). For example "
            f"{name}='cpu'."
        ) from error
    return device


def a_device_map(name: str, value: Any) -> Any:
    """Return how accelerate is to place a model: a rule by name, a device for all of it, or one for each module.

    Raises
    ------
    ArgumentError
        If it is nothing of that.
    """
    expected = f"one of {', '.join(_RULES)}, a device, or a dict with a device for each module"
    if value is None:
        return None
    if isinstance(value, str) and value in _RULES:
        return value
    if isinstance(value, (str, torch.device)):
        return a_device(name, value)
    if not isinstance(value, dict) or not value:
        refuse(name, value, expected, "'auto'")
    for module, place in value.items():
        number = isinstance(place, int) and not isinstance(place, bool)
        if not isinstance(module, str) or not (number or isinstance(place, (str, torch.device))):
            refuse(name, value, expected, "'auto'")
        if place != "disk":
            _check_place(f"{name}[{module!r}]", place)
    return value


def _check_place(name: str, place: Any) -> None:
    if isinstance(place, int):
        try:
            place = torch.device(place)
        except RuntimeError:
            refuse(name, place, "the number of an accelerator, of which this machine has none, or 'cpu'", "'cpu'")
    a_device(name, place)


_RULES = ("auto", "balanced", "balanced_low_0", "sequential")
_FORMATS = ("float32", "bfloat16", "float16", "float64")


def a_dtype(name: str, value: Any) -> str | torch.dtype:
    """Return the number format that is meant, or ``"auto"``.

    Raises
    ------
    ArgumentError
        If it is none in which weights can be traced.
    """
    short = str(value).removeprefix("torch.") if isinstance(value, (str, torch.dtype)) else ""
    if short == "auto":
        return "auto"
    if short not in _FORMATS:
        refuse(
            name, str(value) if isinstance(value, torch.dtype) else value, f"one of {', '.join(_FORMATS)}", "'float32'"
        )
    dtype: torch.dtype = getattr(torch, short)
    return dtype
