"""Who sees whom: the attention masks of a run, layer by layer, for passes that begin in its middle."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from factlens.models.hooks import before
from factlens.models.interruptible import on_the_way_back
from factlens.models.interrupts import interruption_point


@dataclass
class LayerMask:
    """What a layer's attention is told about who sees whom, as Hugging Face made it for the whole prompt.

    It differs between layers where some look back through a sliding window only, and it is not None where position
    biases (ALiBi) are added to it. Taking it from the run itself is right for all of them.
    """

    mask: Tensor | None = None
    alibi: Tensor | None = None
    rows: int = 1

    def full(self, tokens: int, like: Tensor) -> Tensor:
        """Return the mask of the whole prompt, to be added to attention scores: ``(rows or 1, heads or 1, T, T)``."""
        lowest = torch.finfo(like.dtype).min
        if self.mask is None:
            return torch.full((tokens, tokens), lowest, dtype=like.dtype, device=like.device).triu(1)[None, None]
        if self.mask.dtype == torch.bool:
            zeros = torch.zeros(self.mask.shape, dtype=like.dtype, device=like.device)
            return zeros.masked_fill(~self.mask.to(like.device), lowest)
        return self.mask.to(like)

    def additive(self, start: int, tokens: int, like: Tensor) -> Tensor:
        """Return the mask of the tokens from `start` on where all rows are alike, batch one."""
        return self.full(tokens, like)[:1, :, start:]

    def alibi_for(self, rows: int) -> Tensor | None:
        """Return the position biases for another number of rows, where they are alike in all of them."""
        if self.alibi is None:
            return None
        each = len(self.alibi) // self.rows
        return self.alibi[:each].repeat(rows, *[1] * (self.alibi.ndim - 1))


def with_argument(
    block: nn.Module, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a call's arguments with one of them set, by position or by name as the block expects it."""
    place = _place(type(block).forward, name)
    if place is not None and place < len(args):
        return (*args[:place], value, *args[place + 1 :]), kwargs
    return args, {**kwargs, name: value}


def argument(block: nn.Module, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return one argument of a call, by position or by name; None if it is missing."""
    place = _place(type(block).forward, name)
    return args[place] if place is not None and place < len(args) else kwargs.get(name)


@lru_cache(maxsize=64)
def _place(forward: Callable[..., Any], name: str) -> int | None:
    names = list(inspect.signature(forward).parameters)[1:]
    return names.index(name) if name in names else None


def watching_mask(block: nn.Module, into: LayerMask) -> Any:
    """Return a context that keeps what `block` is told about who sees whom."""

    def watch(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        interruption_point()
        on_the_way_back(argument(module, "hidden_states", args, kwargs))
        mask = argument(module, "attention_mask", args, kwargs)
        into.mask = mask if isinstance(mask, Tensor) else None
        into.alibi = argument(module, "alibi", args, kwargs)

    return before(block, watch)
