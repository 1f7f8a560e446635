"""Passes that begin in the middle of a model, and of a prompt.

The blocks below the first one hand on a stand-in; from there on a block is given rows, masks and position biases in the
place of what reaches it, and its attention looks back at the attention keys and values of another pass. An MLP can run
where its output is used, and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from factlens.models.hooks import all_of, before, passing_through, replacing_forward
from factlens.models.interruptible import on_the_way_back
from factlens.models.interrupts import interruption_point
from factlens.models.masks import argument, with_argument
from factlens.models.model import Model


@dataclass(frozen=True)
class Entry:
    """What a block is given.

    Attributes
    ----------
    hidden
        Its input, ``(rows, tokens, width)``.
    mask
        What its attention adds to its scores, ``(rows or 1, heads or 1, tokens, tokens with the prefix)``.
    alibi
        BLOOM's position biases; None for models without.
    """

    hidden: Tensor
    mask: Tensor
    alibi: Tensor | None = None


def run_from(
    model: Model,
    first: int,
    rows: int,
    contexts: Iterable[Any] = (),
    *,
    entering: Callable[[int, Tensor], Entry] | None = None,
    prefix: Sequence[tuple[Tensor, Tensor]] = (),
    positions: Tensor | None = None,
) -> Tensor:
    """Run a model from one of its blocks on, and return the logits.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    first
        The first block that computes anything; the number of blocks if none does.
    rows
        How many rows there are in the stand-in. They may become more, where `entering` says so.
    contexts
        Other interventions on this pass.
    entering
        Called with a layer and what reaches its block, which is the stand-in at the first; returns what the block is
        given in its place.
    prefix
        Attention keys and values left of the tokens that are run, for each layer from `first` on.
    positions
        Positions of the tokens in the prompt, ``(rows or 1, tokens)``. Without them there is one token.
    """
    tokens = 1 if positions is None else positions.shape[1]
    stand_in = torch.zeros(rows, tokens, model.embedding_width, dtype=model.dtype, device=model.device)
    options: dict[str, Any] = {}
    if prefix:
        options["past_key_values"] = cache = DynamicCache()
        # Layers below are passed through and never ask for theirs; the model only asks how long they are.
        cache.layers = [PrefixLayer(*prefix[max(0, layer - first)]) for layer in range(model.n_layers)]
    if positions is not None and takes_positions(model):
        options["position_ids"] = positions
    hooks = [passing_through(model.blocks[:first], model.returns_tuple)]
    if entering is not None:
        hooks += [_entering(model, layer, entering) for layer in range(first, model.n_layers)]
    with all_of([*hooks, *contexts]):
        logits: Tensor = model.model(inputs_embeds=stand_in, use_cache=bool(prefix), **options).logits
    return logits


def takes_positions(model: Model) -> bool:
    """Whether the model is told where its tokens stand, and does not tell that from the mask alone."""
    return "position_ids" in inspect.signature(type(model.model).forward).parameters


def _entering(model: Model, layer: int, entering: Callable[[int, Tensor], Entry]) -> Any:
    def enter(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        interruption_point()
        entry = entering(layer, argument(block, "hidden_states", args, kwargs))
        on_the_way_back(entry.hidden)
        args, kwargs = with_argument(block, "hidden_states", args, kwargs, entry.hidden)
        args, kwargs = with_argument(block, "attention_mask", args, kwargs, entry.mask)
        if entry.alibi is not None:
            args, kwargs = with_argument(block, "alibi", args, kwargs, entry.alibi)
        return args, kwargs

    return before(model.blocks[layer], enter)


def mlp_only_at(model: Model, layer: int, needed: Tensor) -> Any:
    """Return a context in which a layer's MLP runs only at some positions, and gives zeros at the others.

    Parameters
    ----------
    model, layer
        Which MLP.
    needed
        Where its output is used, ``(rows, tokens)``, bool. A pass of another shape runs all of it.
    """
    # Gathering and scattering cost about as much as a twentieth of the MLP.
    if needed.float().mean() > 0.95:
        return nullcontext()
    index, mlp = needed.flatten().nonzero()[:, 0], model.mlp(layer)
    real = mlp.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if len(args) == 1 and not kwargs else None
        if not isinstance(hidden, Tensor) or hidden.shape[:2] != needed.shape:
            return real(*args, **kwargs)
        if not len(index):
            return hidden.new_zeros(*needed.shape, model.width)
        places = index.to(hidden.device)
        result = real(hidden.flatten(0, 1)[places][None])
        if not isinstance(result, Tensor):
            return real(*args, **kwargs)
        output = result.new_zeros(needed.numel(), result.shape[-1])
        output[places] = result[0]
        return output.view(*needed.shape, -1)

    return replacing_forward([mlp], forward)


class PrefixLayer(DynamicLayer):
    """One layer's attention keys and values left of the tokens that are run: served to every pass, never grown.

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
