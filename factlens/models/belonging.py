"""Which weights something belongs to: a base, known by its fingerprint, and the edits on it, known by their content.

Labels are for people. Two edits of the same fact at the same layer read alike and may still be different numbers, so
code that compares, resumes, caches or joins goes by fingerprint and ids.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from factlens.errors import WrongModel
from factlens.models.weights import LowRank, WeightEdit, WeightTerm

if TYPE_CHECKING:
    from factlens.models.model import Model

SHORT = 8
"""Digits of an id that people are shown."""
_LISTED = 6
_OF_NUMPY = (torch.float16, torch.float32, torch.float64)


class Weights(NamedTuple):
    """The weights that something was computed on.

    Attributes
    ----------
    name
        What the model is called; None where only its fingerprint is known.
    fingerprint
        Of the unedited weights.
    edit_ids, labels
        The applied edits, oldest first: by content, and in words.
    """

    name: str | None
    fingerprint: str
    edit_ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Model) -> Weights:
        """Return the weights that a model has now; the caller holds ``model.exclusive()`` where that may change."""
        edits = model.edits
        return cls(model.name, model.fingerprint, ids_of(edits), tuple(map(str, edits)))

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """What tells these weights from others: fingerprint and ids, no names."""
        return self.fingerprint, self.edit_ids


def ids_of(edits: Iterable[WeightEdit]) -> tuple[str, ...]:
    """Return the ids of edits, in their order."""
    return tuple(map(edit_id, edits))


def edit_id(edit: WeightEdit) -> str:
    """Return the id of an edit: its own if it has one, else the digest of what it adds to the weights."""
    own = getattr(edit, "id", None)
    return own if isinstance(own, str) else digest_of(edit.updates)


def digest_of(
    updates: Sequence[WeightTerm],
    *,
    method: str = "",
    layers: Sequence[int] = (),
    keys: Mapping[int, Tensor] | None = None,
) -> str:
    """Return sixteen hex digits of an edit's content, the same on every machine and after saving and loading.

    Parameters
    ----------
    updates
        The terms: of each the parameter, the kind, the layout, and every value of its factors count.
    method, layers
        How and where it was made.
    keys
        What later edits will take from it, by layer.
    """
    digest = hashlib.sha256()

    def take(*words: object) -> None:
        digest.update(json.dumps(words).encode() + b"\n")

    def take_values(name: str, values: Tensor) -> None:
        # bfloat16, which numpy lacks, is saved as float32, which holds all of its values: both are the same numbers.
        unknown = values.is_floating_point() and values.dtype not in _OF_NUMPY
        array = (values.float() if unknown else values).detach().cpu().numpy()
        take(name, array.dtype.name, array.shape)
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(plain.reshape(-1).view(np.uint8).data)

    take(method, [int(layer) for layer in layers])
    for update in updates:
        if isinstance(update, LowRank):
            take("low rank", update.parameter, bool(update.transposed))
            take_values("left", update.left)
            take_values("right", update.right)
        else:
            take("dense", update.parameter)
            take_values("change", update.change)
    for layer, columns in sorted((keys or {}).items()):
        take_values(f"keys {layer}", columns)
    return digest.hexdigest()[:16]


def named(labels: Sequence[str], edit_ids: Sequence[str]) -> str:
    """Return edits in words, each with the first digits of its id: ``The Louvre → Rome (rome, layer 2) [1f2e3d4c]``."""
    # What was made by hand may have labels only.
    ids = [*edit_ids, *[""] * (len(labels) - len(edit_ids))]
    words = [f"{label} [{one[:SHORT]}]" if one else label for label, one in zip(labels, ids, strict=False)]
    more = f", and {len(words) - _LISTED} more" if len(words) > _LISTED else ""
    return ", ".join(words[:_LISTED]) + more


def check_belongs(
    weights: Model | Weights,
    what: str,
    *,
    name: str | None,
    fingerprint: str,
    edit_ids: Sequence[str] | None = None,
    labels: Sequence[str] = (),
    again: str | None = None,
    other: str | None = None,
) -> None:
    """Raise `WrongModel` unless something belongs to the weights at hand.

    Parameters
    ----------
    weights
        The weights at hand: a model's, or those of something else that it is put together with.
    what
        What is asked about, at the beginning of a sentence: ``"This trace"``.
    name, fingerprint
        The model that it belongs to.
    edit_ids, labels
        The edits that were applied for it, oldest first. None where it does not depend on them.
    again
        What helps besides putting the edits back: ``"trace again"``.
    other
        What `weights` are the weights of, where that is no model: ``"the trace of 'Rome is in'"``.

    Raises
    ------
    WrongModel
        Saying which model, or which edits, it belongs to, which there are, and what to do.
    """
    now = weights if isinstance(weights, Weights) else Weights.of(weights)
    if fingerprint != now.fingerprint:
        same = name is not None and name == now.name
        alike = " The names are alike: mind the revision, and the number format." if same else ""
        theirs = f"{other}, of {_model(now)}" if other else _model(now)
        way = "Keep what belongs to different models apart." if other else "Load the model that it belongs to."
        raise WrongModel(f"{what} belongs to {_model(Weights(name, fingerprint))}, not to {theirs}.{alike} {way}")
    if edit_ids is not None and tuple(edit_ids) != now.edit_ids:
        then = Weights(name, fingerprint, tuple(edit_ids), tuple(labels))
        if other:
            raise WrongModel(
                f"{what} was made with {_edits(then)}, but {other} with {_edits(now)}. "
                "Keep what belongs to different weights apart."
            )
        or_else = f", or {again}" if again else ""
        raise WrongModel(
            f"{what} was made with {_edits(then)}, but {now.name or 'the model'} now carries {_edits(now)}. "
            f"{_way_back(then, now)}{or_else}."
        )


def _model(weights: Weights) -> str:
    called = "the model" if weights.name is None else repr(weights.name)
    return f"{called} (fingerprint {weights.fingerprint})"


def _edits(weights: Weights) -> str:
    if not weights.edit_ids:
        return "no edits"
    return f"the edits {named(weights.labels, weights.edit_ids)}"


def _way_back(then: Weights, now: Weights) -> str:
    """Say how to change the applied edits into those of `then`."""
    ways = []
    if too_many := _without(now, then):
        ways.append(f"undo {too_many}")
    if lacking := _without(then, now):
        ways.append(f"apply {lacking}")
    if not ways:
        ways.append("put the edits into that order (model.reorder)")
    advice = " and ".join(ways)
    return advice[:1].upper() + advice[1:]


def _without(some: Weights, others: Weights) -> str:
    """Return those edits of the one that the other has not, in words."""
    left = Counter(some.edit_ids) - Counter(others.edit_ids)
    labels = dict(zip(some.edit_ids, some.labels, strict=False))
    missing = list(left.elements())
    return named([labels.get(one, "an edit") for one in missing], missing)
