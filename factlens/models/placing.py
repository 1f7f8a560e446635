"""Whether a device map has a place for every part of a model, asked before any weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from factlens.arguments import shown
from factlens.errors import ArgumentError


def check_covers(device_map: Mapping[str, Any], kind: Any, config: Any) -> None:
    """Refuse a map that names what the model has not, or leaves out what it has.

    Parameters
    ----------
    device_map
        A device for each module; ``""`` stands for all the rest.
    kind, config
        The class of transformers that makes the model, and its configuration.

    Raises
    ------
    ArgumentError
        Naming the module.
    """
    with torch.device("meta"):
        module = kind.from_config(config)
    tensors = list(module.state_dict())
    named = {name for name, _ in module.named_modules()} | set(tensors)
    for name in device_map:
        if name not in named:
            raise ArgumentError(
                f"device_map names {shown(name)}, and the model has no such module; it has "
                f"{', '.join(map(repr, _parts(module)))}. print(model) shows all of them."
            )
    without = [] if "" in device_map else [name for name in tensors if not _is_within(name, device_map)]
    if without:
        modules = list(dict.fromkeys(name.rpartition(".")[0] for name in without))
        more = f" and {len(modules) - 1} more modules" if len(modules) > 1 else ""
        raise ArgumentError(
            f"device_map has no device for {modules[0]}{more}: it must cover the whole model. The name '' stands for "
            f"all that is not named: device_map={{..., '': 'cpu'}}. Or let accelerate place it: device_map='auto'."
        )


def _is_within(tensor: str, device_map: Mapping[str, Any]) -> bool:
    return any(tensor == name or tensor.startswith(f"{name}.") for name in device_map)


def _parts(module: Any) -> list[str]:
    """Return the names of the uppermost modules, and of those in them where it is one that has the blocks."""
    outer = [name for name, _ in module.named_children()]
    inner = [f"{name}.{child}" for name in outer for child, _ in module.get_submodule(name).named_children()]
    return [*outer, *inner]
