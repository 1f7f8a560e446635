"""atlas, the model that ships with factlens: where it lies, how it is recognised, and what was tuned for it."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from typing import Any, NamedTuple

import torch
from safetensors import safe_open

ATLAS = "atlas"
FOLDER = files("factlens.models") / ATLAS
WEIGHTS = FOLDER / "weights"

_EMBEDDING = "transformer.wte.weight"
_SHAPE = ("model_type", "n_layer", "n_embd", "n_head", "n_positions", "vocab_size")


class Tuned(NamedTuple):
    """Where an editing method edits atlas, with which of its settings, and where both are from."""

    layers: tuple[int, ...]
    settings: dict[str, Any]
    source: str


def is_atlas(module: Any) -> bool:
    """Whether a model is atlas, under any name: by its token embedding, which edits leave alone."""
    config = json.loads((WEIGHTS / "config.json").read_text())
    if any(getattr(module.config, name, None) != config[name] for name in _SHAPE):
        return False
    embedding = module.get_input_embeddings().weight
    if embedding.is_meta:
        return False
    with safe_open(str(WEIGHTS / "model.safetensors"), "pt") as tensors:
        ours: torch.Tensor = tensors.get_tensor(_EMBEDDING)
    return torch.equal(ours.to(embedding.dtype), embedding.detach().cpu())


def tuned() -> dict[str, Tuned]:
    """Return what was tuned for atlas, by editing method."""
    table = tomllib.loads((FOLDER / "defaults.toml").read_text())
    settings: dict[str, dict[str, Any]] = {method: {} for method in table["layers"]}
    for part in table["settings"]:
        for method in part.pop("of"):
            settings[method] |= part
    return {
        method: Tuned(tuple(layers), settings[method], table["source"]) for method, layers in table["layers"].items()
    }
