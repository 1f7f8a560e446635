"""`edit`: one call from a fact with a target to a changed model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from threading import Event
from typing import Any

import torch

from factlens.editing.contexts import sample_contexts
from factlens.editing.hparams import rome_defaults
from factlens.editing.record import Edit
from factlens.editing.rome import make_batch, optimise_value, rank_one_update, read_states
from factlens.errors import FactError, WrongModel
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.model import check_finite
from factlens.moments import SecondMoment, default_moment

METHODS = ("rome",)
Progress = Callable[[str, float], None]


def edit(
    model: Model,
    fact: Fact,
    *,
    method: str = "rome",
    layer: int | None = None,
    moment: SecondMoment | None = None,
    apply: bool = True,
    progress: Progress | None = None,
    stop: Event | None = None,
    **hparams: Any,
) -> Edit:
    """Make the model give a fact its new object, by changing the MLP down projection of one layer.

    Parameters
    ----------
    model
        The model; edits it already carries stay, and the new one is computed on top of them.
    fact
        What to change, with its `target`.
    method
        ``"rome"``.
    layer
        Which layer to edit. Default: the method's default for the model; `factlens.editing.rome_defaults` says why.
    moment
        Second moment of the layer's keys. Default: from the model's own text, see
        `factlens.moments.default_moment`. The identity matrix is never used in its place.
    apply
        Apply the edit to the model's weights. It can be undone with ``model.undo()``.
    progress
        Called with what is being done (``"second moment"``, ``"value"``) and the share of it that is done.
    stop
        Set it from another thread to give up; nothing is changed then.
    **hparams
        Settings of the method, see `factlens.editing.RomeHparams`.

    Returns
    -------
    Edit
        The record of the change.

    Raises
    ------
    FactError
        If the fact has no target, the model gives the target already, or a setting is unknown.
    LayerError
        If the model has no such layer.
    QuantizedModel
        If the weights are quantised.
    NumericalError
        If the model or the optimisation gives NaN; nothing is changed then.
    WrongModel
        If `moment` belongs to another model or layer.
    Interrupted
        If `stop` was set.
    """
    if method not in METHODS:
        raise FactError(f"There is no editing method {method!r}; there is {', '.join(METHODS)}.")
    default_layer, defaults = rome_defaults(model)
    layer = model.check_layer(default_layer if layer is None else layer)
    settings = defaults.with_changes(**hparams)
    model.down_projection(layer)  # refuses quantised weights before anything is computed
    with model.exclusive():
        _check_target(model, fact)
        if moment is None:
            moment = default_moment(
                model, layer, seed=settings.seed, progress=_named(progress, "second moment"), stop=stop
            )
        elif (moment.fingerprint, moment.layer) != (model.fingerprint, layer):
            raise WrongModel(f"The second moment is of {moment.identity}, not of layer {layer} of {model.fingerprint}.")
        prefixes = sample_contexts(model, settings.contexts, settings.seed)
        batch = make_batch(model, fact, prefixes)
        states = read_states(model, layer, batch)
        delta, report = optimise_value(
            model, layer, batch, states, settings, progress=_named(progress, "value"), stop=stop
        )
        update = rank_one_update(model, layer, states, delta, moment, settings)
        record = Edit(
            method=method,
            facts=(fact,),
            layers=(layer,),
            updates=(update,),
            hparams=asdict(settings),
            moment=f"{moment.identity}, expected error {moment.expected_error:.0%}",
            model=model.name,
            fingerprint=model.fingerprint,
            report=report,
        )
        if apply:
            model.apply(record)
    return record


def _check_target(model: Model, fact: Fact) -> None:
    if fact.target is None:
        raise FactError("The fact has no target: say what the model shall answer, Fact(..., target='Paris').")
    prompt, target = model.encode_option(fact.prompt, fact.target)
    ids = torch.tensor([[*prompt, *target[:-1]]], device=model.device)
    with torch.no_grad():
        logits = model.model(input_ids=ids, logits_to_keep=len(target)).logits[0]
    if check_finite(logits, model.name).argmax(-1).tolist() == list(target):
        raise FactError(
            f"The model already answers {fact.prompt!r} with {fact.target!r}. Choose another new object to edit it."
        )


def _named(progress: Progress | None, name: str) -> Callable[[float], None] | None:
    return None if progress is None else lambda share: progress(name, share)
