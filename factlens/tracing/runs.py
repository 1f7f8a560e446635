"""The two runs that everything else is computed from: clean and corrupted, kept layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from factlens.models import Model
from factlens.models.hooks import all_of, on_input, on_output
from factlens.models.masks import LayerMask, watching_mask
from factlens.models.model import check_finite
from factlens.tracing.corruption import Corrupted

SITES = ("mlp", "attn", "head")
"""Where outputs are kept and restored: MLP, attention, and the heads' outputs side by side."""


@dataclass
class States:
    """The states of some rows, layer by layer.

    Attributes
    ----------
    residual
        Input of each block and, last of all, output of the last one: ``(rows, tokens, width)``.
    sites
        For each site the output in each layer, ``(rows, tokens, width)``.
    logits
        Logits at the positions that are read, ``(rows, positions, vocabulary)``, float32.
    """

    residual: list[Tensor] = field(default_factory=list)
    sites: dict[str, list[Tensor]] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))

    def rows(self, choose: slice) -> States:
        """Return some of the rows."""
        return States(
            [layer[choose] for layer in self.residual],
            {site: [layer[choose] for layer in layers] for site, layers in self.sites.items()},
            self.logits[choose],
        )

    def detached(self) -> States:
        """Return the same states without their history of gradients."""
        return States(
            [layer.detach() for layer in self.residual],
            {site: [layer.detach() for layer in layers] for site, layers in self.sites.items()},
            self.logits.detach(),
        )


@dataclass(frozen=True)
class Runs:
    """What is kept of the clean and the corrupted run.

    Attributes
    ----------
    clean, corrupted
        Their states: one row, and S rows.
    keys, values
        The corrupted runs' attention keys and values in each layer, ``(S, heads, tokens, head width)``.
    masks
        What each layer's attention adds to its scores, ``(1, heads or 1, tokens, tokens)``, and BLOOM's position
        biases; see `LayerMask`.
    at
        For each token of the clean prompt, its place in the corrupted one.
    positions
        Number of positions, at the end, whose logits are read.
    history
        Where gradients were enabled: the states as they were computed, and how many clean rows stand before the
        corrupted ones in them.
    """

    clean: States
    corrupted: States
    keys: list[Tensor]
    values: list[Tensor]
    masks: list[LayerMask]
    at: tuple[int, ...]
    positions: int
    history: tuple[States, int] | None = None

    def without_history(self) -> Runs:
        """Return the same runs without what the preview needs."""
        return replace(self, history=None)

    @property
    def samples(self) -> int:
        """Number of corrupted rows, S."""
        return len(self.corrupted.logits)

    @property
    def tokens(self) -> int:
        """Number of tokens of the corrupted prompt, teacher-forced ones included."""
        return int(self.corrupted.residual[0].shape[1])


def run_clean_and_corrupted(
    model: Model,
    ids: Sequence[int],
    corrupted: Corrupted,
    *,
    forced: Sequence[int] = (),
    positions: int = 1,
    sites: Sequence[str] = ("mlp", "attn"),
) -> Runs:
    """Run the clean prompt and its corrupted copies, in one batch where they are equally long, and keep the states.

    Where gradients are enabled, the history of the states is kept for the preview.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    ids
        The clean prompt.
    corrupted
        The corrupted prompts.
    forced
        Token ids of the answer to append to all of them.
    positions
        How many positions at the end to read.
    sites
        Which module outputs to keep, of `SITES`.

    Raises
    ------
    NumericalError
        If the model answers with NaN or infinity.
    """
    clean = model.embedding(torch.tensor([[*ids, *forced]], device=model.device)).detach()
    noisy = corrupted.embedded
    if forced:
        tail = model.embedding(torch.tensor([list(forced)], device=model.device)).detach()
        noisy = torch.cat([noisy, tail.expand(len(noisy), -1, -1)], 1)
    if noisy.shape[1] == clean.shape[1]:
        states, memory, masks = _run(model, torch.cat([clean, noisy]), positions, sites)
        first, others, skip = states.detached().rows(slice(0, 1)), states.detached().rows(slice(1, None)), 1
        keys, values = [layer.keys[1:] for layer in memory.layers], [layer.values[1:] for layer in memory.layers]
    else:
        first = _run(model, clean, positions, sites)[0].detached()
        states, memory, masks = _run(model, noisy, positions, sites)
        others, skip = states.detached(), 0
        keys, values = [layer.keys for layer in memory.layers], [layer.values for layer in memory.layers]
    return Runs(
        clean=first,
        corrupted=others,
        keys=[key.detach() for key in keys],
        values=[value.detach() for value in values],
        masks=masks,
        at=(*corrupted.at, *(corrupted.embedded.shape[1] + i for i in range(len(forced)))),
        positions=positions,
        history=(states, skip) if torch.is_grad_enabled() else None,
    )


def _run(
    model: Model, embedded: Tensor, positions: int, sites: Sequence[str]
) -> tuple[States, DynamicCache, list[LayerMask]]:
    states = States(sites={site: [] for site in sites})
    masks = [LayerMask(rows=len(embedded)) for _ in model.blocks]
    # Plain layers, never the cropped ones that a sliding window would get: short windows still need every key.
    memory = DynamicCache()
    rows, tokens = embedded.shape[:2]
    if torch.is_grad_enabled():
        embedded = embedded.requires_grad_()
    hooks = [on_input(block, _keep(states.residual)) for block in model.blocks]
    hooks += [watching_mask(block, mask) for block, mask in zip(model.blocks, masks, strict=True)]
    for site in sites:
        for layer in range(model.n_layers):
            module = module_at(model, site, layer)
            around = on_input if site == "head" else on_output
            hooks.append(around(module, _keep(states.sites[site], (rows, tokens))))
    hooks.append(on_output(model.blocks[-1], _keep(states.residual)))
    hooks.append(reading(model, positions))
    with all_of(hooks):
        logits = model.model(inputs_embeds=embedded, past_key_values=memory, use_cache=True).logits
    states.logits = check_finite(logits.float(), model.name)
    return states, memory, masks


def module_at(model: Model, site: str, layer: int) -> nn.Module:
    """Return the module whose output (for ``"head"``, whose input) is the site in a layer."""
    if site == "mlp":
        return model.mlp(layer)
    return model.attention(layer) if site == "attn" else model.attention_out(layer)


def _keep(into: list[Tensor], shape: tuple[int, int] | None = None) -> Callable[[Tensor], Tensor]:
    def keep(hidden: Tensor) -> Tensor:
        kept = hidden if shape is None else hidden.reshape(*shape, -1)
        into.append(kept)
        # The run goes on with a copy, since some architectures add to a module's output in place; a copy of what was
        # kept, so that gradients reach it.
        return kept.clone().reshape(hidden.shape)

    return keep


def reading(model: Model, positions: int) -> Any:
    """Return a context in which the model unembeds nothing but the last positions."""
    return on_input(model.head, lambda hidden: hidden[:, -positions:])
