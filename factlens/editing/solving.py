"""From a method's name to its updates: what each method shares with the others, and where they part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from factlens.editing.contexts import contexts_for, continuations
from factlens.editing.hparams import (
    AlphaEditHparams,
    EmmetHparams,
    FineTuneHparams,
    Hparams,
    LoraHparams,
    MemitHparams,
    RomeHparams,
    ValueHparams,
)
from factlens.editing.methods.alphaedit import null_space
from factlens.editing.methods.emmet import equality_update
from factlens.editing.methods.finetune import finetuned
from factlens.editing.methods.lora import low_rank_finetuned
from factlens.editing.methods.rome import rank_one_update
from factlens.editing.prompts import Context, make_prompts
from factlens.editing.record import Edit
from factlens.editing.spreading import least_squares, spread_updates
from factlens.editing.tail import Site, Tail
from factlens.editing.taking import Said
from factlens.editing.values import Values, optimise_values
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.weights import WeightTerm
from factlens.moments import SecondMoment

ONE_FACT = frozenset({"rome"})
"""Methods that store a single fact."""
ONE_LAYER = frozenset({"rome", "emmet"})
"""Methods that edit a single layer."""
WITH_MOMENTS = frozenset({"rome", "emmet", "memit", "alphaedit"})
"""Methods that need second moments of the keys."""

Progress = Callable[[float], None]
_CPU_BYTES = 2**31


@dataclass(frozen=True)
class Solution:
    """What a method found.

    Attributes
    ----------
    updates
        The terms to add to the weights.
    report
        What happened: for each fact, or for all of them together, losses and norms.
    with_value
        What the model says of each fact's target with v* put in; empty for fine-tuning, which has none.
    keys
        Keys at each layer, ``(keys, facts)``, where later edits need to know them.
    """

    updates: tuple[WeightTerm, ...]
    report: dict[str, Any]
    with_value: tuple[Said, ...] = ()
    keys: dict[int, Tensor] = field(default_factory=dict)


def solve(
    model: Model,
    facts: Sequence[Fact],
    method: str,
    layers: Sequence[int],
    moments: dict[int, SecondMoment],
    hparams: Hparams,
    progress: Progress | None,
) -> Solution:
    """Run a method; the caller has checked everything and holds ``model.exclusive()``."""
    if isinstance(hparams, FineTuneHparams):
        prompts = make_prompts(model, facts, [Context("", 1.0)])
        if isinstance(hparams, LoraHparams):
            return Solution(*low_rank_finetuned(model, prompts, layers, hparams, progress=progress))
        return Solution(*finetuned(model, prompts, layers, hparams, progress=progress))
    assert isinstance(hparams, ValueHparams)
    contexts = contexts_for(model, hparams)
    site: Site = "mlp" if method in ONE_LAYER else "block"
    values = _values(model, facts, contexts, layers[-1], site, hparams, progress)
    report: dict[str, Any] = {"facts": list(values.report)}
    projection = model.down_projection(layers[-1])
    if isinstance(hparams, RomeHparams):
        return Solution((rank_one_update(projection, values, moments[layers[-1]], hparams),), report, values.said)
    if isinstance(hparams, EmmetHparams):
        return Solution((equality_update(projection, values, moments[layers[-1]], hparams),), report, values.said)
    if isinstance(hparams, MemitHparams):
        closed = least_squares(moments, hparams)
    else:
        assert isinstance(hparams, AlphaEditHparams)
        closed = null_space(moments, _earlier_keys(model, layers), hparams)
    updates, keys = spread_updates(model, make_prompts(model, facts, contexts), layers, values.wanted, closed)
    return Solution(tuple(updates), report, values.said, keys if isinstance(hparams, AlphaEditHparams) else {})


def _values(
    model: Model,
    facts: Sequence[Fact],
    contexts: Sequence[Context],
    layer: int,
    site: Site,
    hparams: ValueHparams,
    progress: Progress | None,
) -> Values:
    """Optimise as many facts at once as memory holds, fewer when it turns out to hold less."""
    at_once = _facts_within(model, facts, contexts, layer, hparams)
    found: list[Values] = []
    done = 0
    while done < len(facts):
        part = facts[done : done + at_once]
        share = None if progress is None else _share(progress, done, len(part), len(facts))
        try:
            written = [continuations(model, fact, hparams) for fact in part]
            prompts = make_prompts(model, part, contexts, hparams.keep, written)
            tail = Tail.read(model, layer, prompts)
            found.append(optimise_values(tail, prompts, site, hparams, progress=share))
        except torch.OutOfMemoryError:
            if len(part) == 1:
                raise
            at_once = len(part) // 2
            continue
        done += len(part)
    return Values.joined(found)


def _share(progress: Progress, done: int, part: int, whole: int) -> Progress:
    return lambda share: progress((done + share * part) / whole)


def _facts_within(
    model: Model, facts: Sequence[Fact], contexts: Sequence[Context], layer: int, hparams: ValueHparams
) -> int:
    """Estimate how many facts fit into memory at once, from their number of tokens; it changes no result."""
    free = torch.cuda.mem_get_info(model.device)[0] * 0.5 if model.device.type == "cuda" else _CPU_BYTES
    longest = max(len(model.encode(fact).ids) for fact in facts)
    vocabulary = int(model.model.get_input_embeddings().weight.shape[0])
    # Per row: a prompt's activations with their gradients in the layers above, and a few copies of its logits.
    floats = longest * 40 * model.width * (model.n_layers - layer) + 4 * vocabulary
    rows = len(contexts) + len(hparams.keep) + hparams.keep_samples
    return max(1, int(free // (4 * floats * rows)))


def _earlier_keys(model: Model, layers: Sequence[int]) -> dict[int, Tensor]:
    """Return the keys of the edits in force that were made by AlphaEdit, by layer."""
    earlier: dict[int, list[Tensor]] = {}
    for edit in model.edits:
        if isinstance(edit, Edit):
            for layer, keys in edit.keys.items():
                earlier.setdefault(layer, []).append(keys)
    return {layer: torch.cat(earlier[layer], 1) for layer in layers if layer in earlier}
