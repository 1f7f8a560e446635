"""Passes that begin in the middle of a prompt: what they look back at, and where they are."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer


class PrefixLayer(DynamicLayer):
    """One layer's keys and values left of the tokens that are run: served to every pass, never grown.

    A pass may have several times as many rows as the prefix, which then stands before each of them in turn.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Return the prefix and these states behind it."""
        return _after_prefix(self.keys, key_states), _after_prefix(self.values, value_states)


def _after_prefix(prefix: Tensor, states: Tensor) -> Tensor:
    """Put the prefix before every row's own states, in one copy."""
    samples, heads, before = prefix.shape[:3]
    if before == 0:
        return states
    whole = states.new_empty(len(states), heads, before + states.shape[2], states.shape[3])
    whole[:, :, before:] = states
    whole.view(-1, samples, heads, whole.shape[2], states.shape[3])[:, :, :, :before] = prefix
    return whole


def takes_positions(module: nn.Module) -> bool:
    """Whether a model is told the positions of its tokens."""
    return "position_ids" in inspect.signature(type(module).forward).parameters
