"""Passes that can be ended at every block, forwards and backwards: of a large model, one alone takes seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from factlens.models.hooks import all_of, before
from factlens.models.interrupts import interruption_point


def interruptible(blocks: Iterable[nn.Module]) -> Any:
    """Return a context in which passes have an interruption point before each of these blocks."""

    def enter(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        interruption_point()
        on_the_way_back(args[0] if args else kwargs.get("hidden_states"))

    return all_of([before(block, enter) for block in blocks])


def on_the_way_back(hidden: Any) -> None:
    """Put an interruption point where a backward pass comes by what reaches a block."""
    if isinstance(hidden, Tensor) and hidden.requires_grad:
        hidden.register_hook(_point)


def _point(_gradient: Tensor) -> None:
    interruption_point()
