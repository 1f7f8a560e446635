"""The layers to edit in a model of which nothing was measured and nothing published: where it looks facts up.

A look asks the model about general knowledge, traces the first few facts that it knows at the subject's last token, and
takes the last layer whose MLP still has three fifths of the largest effect. What it costs is a few forward passes; it
is made once for each model. No rule finds the best layer of every model: `factlens.calibrate` measures it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from threading import Event
from typing import NamedTuple
from weakref import WeakKeyDictionary

from torch import nn

from factlens.editing.taking import leads_each
from factlens.errors import FactError, NumericalError
from factlens.facts import Fact
from factlens.knowledge.pool import pool
from factlens.models import Model
from factlens.progress import Share
from factlens.tracing.subject import MlpRow, mean_row, mlp_row

_TRACED, _FEWEST, _ASKED, _AT_ONCE = 12, 3, 96, 16
"""Facts that are traced; without so many, nothing can be said; how many are asked about at most, and at once."""
_LEAST_TOTAL = 0.05
"""A fact whose answer loses less of its probability with its subject says nothing of where that is read."""


class Look(NamedTuple):
    """Where a model looks facts up.

    Attributes
    ----------
    layer
        The (last) layer to edit.
    source
        How that was found, in words.
    """

    layer: int
    source: str


_looks: WeakKeyDictionary[nn.Module, tuple[str, Look | None]] = WeakKeyDictionary()


def looked(model: Model) -> Look | None:
    """Return what a look at the model has found, if there was one with the weights that it has."""
    fingerprint, look = _looks.get(model.model, ("", None))
    return look if fingerprint == model.known_fingerprint else None


def look(model: Model, fact: Fact, stop: Event | None = None, progress: Share | None = None) -> Look | None:
    """Look where the model looks facts up, unless that is known: first general knowledge, else the fact at hand.

    Parameters
    ----------
    model
        The model; the caller holds it. It is looked at without the edits that it carries.
    fact
        What is to be edited, for a model that knows nothing of general knowledge. What is found by it counts for this
        edit alone.
    stop
        Set it from another thread to stop.
    progress
        Called with the share that is done.

    Returns
    -------
    Look or None
        None where the model reads no fact off its subject.

    Raises
    ------
    Interrupted
        If `stop` was set.
    """
    fingerprint = model.known_fingerprint
    with model.unedited():
        if _looks.get(model.model, ("", None))[0] != fingerprint:
            _looks[model.model] = fingerprint, _by_knowledge(model, stop, progress or (lambda _share: None))
        by_knowledge = _looks[model.model][1]
        if by_knowledge is not None:
            return by_knowledge
        row = _row(model, fact, stop)
        layer = None if row is None else row.layer
        return None if layer is None else Look(layer, "the last layer with much of the MLP's effect on this fact")


def _by_knowledge(model: Model, stop: Event | None, progress: Share) -> Look | None:
    rows: list[MlpRow] = []
    asked = 0.0

    def tell(of_asked: float) -> None:
        # Enough facts have been traced, or all have been asked about, whichever comes first.
        nonlocal asked
        asked = of_asked
        progress(max(asked, len(rows) / _TRACED))

    for fact in _facts_known_to(model, tell):
        row = _row(model, fact, stop)
        if row is not None:
            rows.append(row)
        tell(asked)
        if len(rows) == _TRACED:
            break
    layer = mean_row(rows).layer if len(rows) >= _FEWEST else None
    if layer is None:
        return None
    return Look(layer, f"the last layer with much of the MLP's effect, by {len(rows)} facts that the model knows")


def _row(model: Model, fact: Fact, stop: Event | None) -> MlpRow | None:
    try:
        row = mlp_row(model, fact, samples=1, stop=stop)
    except (FactError, NumericalError):
        # A fact that this tokenizer reads otherwise, or a model that answers NaN: the edit itself says so, if need be.
        return None
    return None if row is None or row.total < _LEAST_TOTAL or row.layer is None else row


def _facts_known_to(model: Model, tell: Share) -> Iterator[Fact]:
    """Yield facts of general knowledge that greedy decoding gives: of each relation in turn, one about a subject.

    `tell` is called with the share of them that has been asked about.
    """
    subjects: set[str] = set()
    relations = [
        [
            Fact(relation.templates[0], subject, target=answer, object=answer)
            for subject, answer in relation.objects.items()
        ]
        for relation in pool()
    ]
    facts = [fact for turn in zip_longest(*relations) for fact in turn if fact is not None][:_ASKED]
    for start in range(0, len(facts), _AT_ONCE):
        tell(start / len(facts))
        some = facts[start : start + _AT_ONCE]
        for fact, leads in zip(some, leads_each(model, some), strict=True):
            if leads and fact.subject not in subjects:
                subjects.add(fact.subject)
                yield fact
