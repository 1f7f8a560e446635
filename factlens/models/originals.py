"""Passes with other weights, such as the original ones, of which other threads see nothing: no number is written.

`Model.unedited` writes the original weights, and a call of the model in another thread meets them meanwhile. For a
look at what the model would say without its edits, or with one more, that is too much: here each module that holds
such a weight computes with a copy of itself instead, which has the other one, for passes of this thread only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from factlens.models.hooks import foreign_forward

Forward = Callable[..., Any]


def forwards_with(module: nn.Module, others: Mapping[Tensor, Tensor]) -> list[tuple[nn.Module, Forward]] | None:
    """Return the modules that hold one of some weights, each with what it would compute with another in its place.

    Parameters
    ----------
    module
        The model.
    others
        For each of the parameters the values to compute with.

    Returns
    -------
    list of (module, forward), or None
        None where a module computes something that was put in its ``forward``'s place (as models are that
        `device_map` has spread): that is bound to the module itself.
    """
    forwards: list[tuple[nn.Module, Forward]] = []
    for part in module.modules():
        held = {name: others[p] for name, p in part._parameters.items() if p is not None and p in others}
        if not held:
            continue
        if foreign_forward(part) is not None:
            return None
        stand_in = copy.copy(part)
        stand_in.__dict__.pop("forward", None)
        # The copy is shallow: it has the module's own table of parameters, which stays as it is.
        stand_in._parameters = {**part._parameters, **held}  # type: ignore[dict-item]
        forwards.append((part, stand_in.forward))
    return forwards
