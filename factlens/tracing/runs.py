"""The two runs that everything else is computed from: clean and corrupted, kept layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from factlens.models import Model
from factlens.models.hooks import Kept, all_of, on_input, on_output
from factlens.models.masks import LayerMask, watching_mask
from factlens.models.model import check_finite
from factlens.tracing.corruption import Corrupted
from factlens.tracing.sites import ATTENTION, HEADS, MLP


@dataclass(frozen=True)
class Source:
    """A module of each block, whose output (or input) is kept, and set in restored runs.

    Attributes
    ----------
    module
        Finds it, from a model and a layer.
    at_input
        Whether its input is meant.
    """

    module: Callable[[Model, int], nn.Module]
    at_input: bool = False

    def around(self, model: Model, layer: int, change: Callable[[Tensor], Tensor | None]) -> Any:
        """Return a context in which ``change(hidden)`` is called on what the module gives in a layer."""
        return (on_input if self.at_input else on_output)(self.module(model, layer), change)


SOURCES = {
    MLP: Source(Model.mlp),
    ATTENTION: Source(Model.attention),
    HEADS: Source(Model.attention_out, at_input=True),
}
"""Where that stands in a model which a `factlens.tracing.sites.Site` can set."""


@dataclass
class States:
    """The states of some rows, layer by layer.

    Attributes
    ----------
    residual
        Input of each block and, last of all, output of the last one: ``(rows, tokens, width)``.
    outputs
        For each source the output in each layer, ``(rows, tokens, width)``.
    logits
        Logits at the positions that are read, ``(rows, positions, vocabulary)``, float32.
    """

    residual: list[Tensor] = field(default_factory=list)
    outputs: dict[str, list[Tensor]] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))

    def rows(self, choose: slice) -> States:
        """Return some of the rows."""
        return States(
            [layer[choose] for layer in self.residual],
            {source: [layer[choose] for layer in layers] for source, layers in self.outputs.items()},
            self.logits[choose],
        )

    def detached(self) -> States:
        """Return the same states without their history of gradients."""
        return States(
            [layer.detach() for layer in self.residual],
            {source: [layer.detach() for layer in layers] for source, layers in self.outputs.items()},
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
    embedded
        Token embeddings of the corrupted prompts with the forced tokens of the answer, ``(S, tokens, width)``.
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
    embedded: Tensor
    at: tuple[int, ...]
    positions: int
    history: tuple[States, int] | None = None

    def without_history(self) -> Runs:
        """Return the same runs without what an estimate needs."""
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
    sources: Iterable[str],
) -> Runs:
    """Run the clean prompt and its corrupted copies, in one batch where they are equally long, and keep the states.

    Where gradients are enabled, the history of the states is kept for the estimate.

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
    sources
        Which module outputs to keep, of `SOURCES`.

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
        states, memory, masks = _run(model, torch.cat([clean, noisy]), positions, sources)
        first, others, skip = states.detached().rows(slice(0, 1)), states.detached().rows(slice(1, None)), 1
        keys, values = [layer.keys[1:] for layer in memory.layers], [layer.values[1:] for layer in memory.layers]
    else:
        first = _run(model, clean, positions, sources)[0].detached()
        states, memory, masks = _run(model, noisy, positions, sources)
        others, skip = states.detached(), 0
        keys, values = [layer.keys for layer in memory.layers], [layer.values for layer in memory.layers]
    return Runs(
        clean=first,
        corrupted=others,
        keys=[key.detach() for key in keys],
        values=[value.detach() for value in values],
        masks=masks,
        embedded=noisy.detach(),
        at=(*corrupted.at, *(corrupted.embedded.shape[1] + i for i in range(len(forced)))),
        positions=positions,
        history=(states, skip) if torch.is_grad_enabled() else None,
    )


def _run(
    model: Model, embedded: Tensor, positions: int, sources: Iterable[str]
) -> tuple[States, DynamicCache, list[LayerMask]]:
    residual, outputs = Kept(), {source: Kept() for source in sources}
    masks = [LayerMask(rows=len(embedded)) for _ in model.blocks]
    # Plain layers, never the cropped ones that a sliding window would get: short windows still need every key.
    memory = DynamicCache()
    rows, tokens = embedded.shape[:2]
    if torch.is_grad_enabled():
        embedded = embedded.requires_grad_()

    def by_token(hidden: Tensor) -> Tensor:
        return hidden.reshape(rows, tokens, -1)

    # All of it shielded: some architectures add to a module's output in place.
    hooks = [on_input(block, residual.keep(shielded=True)) for block in model.blocks]
    hooks += [watching_mask(block, mask) for block, mask in zip(model.blocks, masks, strict=True)]
    for source, by_layer in outputs.items():
        keep = by_layer.keep(by_token, shielded=True)
        hooks += [SOURCES[source].around(model, layer, keep) for layer in range(model.n_layers)]
    hooks.append(on_output(model.blocks[-1], residual.keep(shielded=True)))
    hooks.append(reading(model, positions))
    with all_of(hooks):
        logits = model.model(inputs_embeds=embedded, past_key_values=memory, use_cache=True).logits
    return States(residual, {**outputs}, check_finite(logits.float(), model.name)), memory, masks


def reading(model: Model, positions: int) -> Any:
    """Return a context in which the model unembeds nothing but the last positions."""
    return on_input(model.head, lambda hidden: hidden[:, -positions:])
