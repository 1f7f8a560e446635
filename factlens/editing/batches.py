"""v* of as many facts at once as memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from factlens.editing.contexts import contexts_for, continuations
from factlens.editing.hparams import ValueHparams
from factlens.editing.methods.base import Problem
from factlens.editing.prompts import Context, make_prompts
from factlens.editing.tail import Place, Tail
from factlens.editing.values import Values, optimise_values
from factlens.progress import Share

V = TypeVar("V", bound=ValueHparams)

_CPU_BYTES = 2**31


def contexts_of(problem: Problem[V]) -> Sequence[Context]:
    """Return what the facts of a problem are looked at behind: what it brings, or else samples of the model."""
    return contexts_for(problem.model, problem.hparams) if problem.contexts is None else problem.contexts


def values_of(problem: Problem[V], contexts: Sequence[Context], site: Place) -> Values:
    """Optimise v* of every fact of a problem, fewer at once when memory turns out to hold less.

    Parameters
    ----------
    problem
        What is to be solved. v* is put in at the last of its layers. Values that it brings are returned as they are.
    contexts
        In which the facts are looked at.
    site
        Whose output δ is added to: ``"mlp"`` or ``"block"``.
    """
    if problem.values is not None:
        return problem.values
    model, facts, layer, hparams = problem.model, problem.facts, problem.layers[-1], problem.hparams
    at_once = _facts_within(problem, len(contexts))
    batches: list[Values] = []
    done = 0
    while done < len(facts):
        part = facts[done : done + at_once]
        share = None if problem.progress is None else _share(problem.progress, done, len(part), len(facts))
        try:
            written = [continuations(model, fact, hparams) for fact in part]
            prompts = make_prompts(model, part, contexts, hparams.keep, written)
            batches.append(optimise_values(Tail.read(model, layer, prompts), prompts, site, hparams, progress=share))
        except torch.OutOfMemoryError:
            if len(part) == 1:
                raise
            at_once = len(part) // 2
            continue
        done += len(part)
    return Values.joined(batches)


def _share(progress: Share, done: int, part: int, whole: int) -> Share:
    return lambda share: progress((done + share * part) / whole)


def _facts_within(problem: Problem[V], contexts: int) -> int:
    """Estimate how many facts fit into memory at once, from their number of tokens; it changes no result."""
    model, hparams = problem.model, problem.hparams
    free = torch.cuda.mem_get_info(model.device)[0] * 0.5 if model.device.type == "cuda" else _CPU_BYTES
    longest = max(len(model.encode(fact).ids) for fact in problem.facts)
    vocabulary = int(model.model.get_input_embeddings().weight.shape[0])
    # Per row: a prompt's activations with their gradients in the layers above, and a few copies of its logits.
    floats = longest * 40 * model.width * (model.n_layers - problem.layers[-1]) + 4 * vocabulary
    rows = contexts + len(hparams.keep) + hparams.keep_samples
    return max(1, int(free // (4 * floats * rows)))
