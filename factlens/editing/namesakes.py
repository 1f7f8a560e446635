"""Other subjects that end in the same word, whose keys an edit leaves alone.

A key is read at the subject's last token, and in the lower layers says more of that token than of what stands before
it: the keys of "Smith Glacier" and "Pine Island Glacier" are nearly the same, and what is stored for one is given for
the other. C, a mean over ordinary text, hardly knows such keys: the word is rare. So names are made up that end in it,
from the beginnings of other names, and the mean of their keys' products is added to C with a weight. The closed forms
then store the fact by what tells its subject from its namesakes. Not part of the published methods.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from factlens.editing.hparams import SolvedHparams
from factlens.editing.lookups import keys_and_states
from factlens.editing.methods.base import Problem
from factlens.editing.prompts import Context
from factlens.errors import FactError
from factlens.facts import Fact
from factlens.knowledge.pool import pool
from factlens.models import Model
from factlens.models.padding import pad
from factlens.moments import SecondMoment
from factlens.moments.second import Shrinkage

V = TypeVar("V", bound=SolvedHparams)

MANY = 24
"""So many names for each subject."""


def namesakes(subject: str, count: int = MANY) -> tuple[str, ...]:
    """Return made-up names that end in a subject's last word; none for a subject of a single word.

    >>> namesakes("Smith Glacier", 2)  # doctest: +SKIP
    ('Nigeria Glacier', 'The Brandenburg Glacier')
    """
    *first, last = subject.split()
    if not first:
        return ()
    beginnings = {tuple(name.split()[:-1]) or (name,) for relation in pool() for name in relation.objects}
    ordered = sorted(beginnings - {tuple(first)})
    random.Random(subject).shuffle(ordered)
    return tuple(" ".join((*words, last)) for words in ordered[:count])


@dataclass(frozen=True)
class Guarded:
    """C with the products of some keys beside it.

    Attributes
    ----------
    moment
        C.
    keys
        The keys, each multiplied by the root of its weight, ``(keys, names)``, float64.
    """

    moment: SecondMoment
    keys: Tensor

    def solve(self, keys: Tensor, shrinkage: Shrinkage) -> Tensor:
        """Return ``(C + N Nᵀ)⁻¹ keys`` with N the keys beside C, which is shrunk as `SecondMoment.solve` does it."""
        # By the matrix inversion lemma: the factor of C serves all edits.
        solved, across = self.moment.solve(keys, shrinkage), self.moment.solve(self.keys, shrinkage)
        small = torch.eye(self.keys.shape[1], dtype=torch.float64) + self.keys.T @ across
        answer: Tensor = solved - across @ torch.linalg.solve(small, self.keys.T @ solved)
        return answer


Memory = SecondMoment | Guarded
"""What says which keys an update should leave alone."""


def guarded(problem: Problem[V], contexts: Sequence[Context]) -> Mapping[int, Memory]:
    """Return the second moments of a problem, with the keys of its subjects' namesakes beside them.

    Parameters
    ----------
    problem
        With the setting `namesakes`, the weight that the namesakes of each fact have together. At 1 they count as much
        as all ordinary text.
    contexts
        Every other namesake stands behind one of them, as the fact does when its key is read.
    """
    weight = problem.hparams.namesakes
    if not weight:
        return problem.moments
    of_facts = [_keys(problem.model, fact, contexts, problem.layers) for fact in problem.facts]
    of_facts = [keys for keys in of_facts if keys]
    if not of_facts:
        return problem.moments
    return {
        layer: Guarded(moment, torch.cat([(weight / len(keys[layer])) ** 0.5 * keys[layer].T for keys in of_facts], 1))
        for layer, moment in problem.moments.items()
    }


def _keys(model: Model, fact: Fact, contexts: Sequence[Context], layers: Sequence[int]) -> dict[int, Tensor]:
    """Return the keys of a fact's namesakes by layer, ``(names, keys)``; nothing where it has none."""
    rows = []
    for i, name in enumerate(namesakes(fact.subject)):
        # Bare, and behind each prefix in turn.
        context = contexts[0 if i % 2 == 0 or len(contexts) == 1 else 1 + i // 2 % (len(contexts) - 1)]
        # A beginning that is too long for the model says nothing of the fact.
        with suppress(FactError):
            encoding = model.encode(fact.with_subject(name).with_prefix(context.text))
            rows.append(list(encoding.ids)[: encoding.last_subject + 1])
    if not rows:
        return {}
    ids, mask = pad(rows, model.device)
    lookup = torch.tensor([len(row) - 1 for row in rows], device=model.device)
    return keys_and_states(model, ids, mask, lookup, layers)[0]
