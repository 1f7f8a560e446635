"""`edit`: one call from facts with targets to a changed model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from threading import Event
from typing import Any

import torch

from factlens.editing import methods
from factlens.editing.hparams import Hparams, defaults
from factlens.editing.record import Edit
from factlens.errors import FactError, WrongModel
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.interrupts import stopped_by
from factlens.models.model import check_finite
from factlens.moments import SecondMoment, default_moments

Progress = Callable[[str, float], None]


def edit(
    model: Model,
    facts: Fact | Iterable[Fact],
    *,
    method: str = "rome",
    layers: int | Sequence[int] | None = None,
    moments: SecondMoment | Mapping[int, SecondMoment] | None = None,
    apply: bool = True,
    progress: Progress | None = None,
    stop: Event | None = None,
    **hparams: Any,
) -> Edit:
    """Make the model give facts their new objects, by changing MLP down projections.

    Parameters
    ----------
    model
        The model; edits it already carries stay, and the new one is computed on top of them.
    facts
        What to change, each with its `target`: one fact, or many at once.
    method
        ``"rome"`` (one fact), ``"emmet"`` (many in one layer), ``"memit"``, ``"alphaedit"`` (many, over several
        layers), or fine-tuning: ``"ft"``, ``"ft_l"``, ``"lora"`` (needs the extra ``factlens[lora]``).
    layers
        Which layer or layers to edit. Default: the method's for the model; `factlens.editing.defaults` says from where.
    moments
        Second moments of the layers' keys, for the methods that need them. Default: from the model's own text, see
        `factlens.moments.default_moments`. `SecondMoment.identity_matrix` gives the identity, which is never used
        unasked.
    apply
        Apply the edit to the model's weights. It can be undone with ``model.undo()``.
    progress
        Called with what is being done (``"second moment"``, ``"value"``) and the share of it that is done.
    stop
        Set it from another thread to give up; nothing is changed then.
    **hparams
        Settings of the method: the classes of `factlens.editing.hparams` list them.

    Returns
    -------
    Edit
        The record of the change.

    Raises
    ------
    FactError
        If a fact has no target, two facts contradict each other, the method takes a single fact, the model gives a
        single one already, or a setting is unknown. The message names the fact.
    LayerError
        If the model has no such layer, or the method edits a single one.
    QuantizedModel
        If the weights are quantised, or not there to be changed.
    NumericalError
        If the model or the optimisation gives NaN; nothing is changed then.
    WrongModel
        If `moments` belong to another model or layer.
    Interrupted
        If `stop` was set.
    """
    chosen, settings = settle(model, method, layers, hparams)
    wanted = (facts,) if isinstance(facts, Fact) else tuple(facts)
    _check_facts(wanted, method)
    with model.exclusive(stop), stopped_by(stop):
        _check_wanted(model, wanted)
        known = {}
        if method in methods.WITH_MOMENTS:
            known = _moments_for(model, chosen, moments, settings.seed, _named(progress, "second moment"), stop)
        solution = methods.solve(model, wanted, method, chosen, known, settings, _named(progress, "value"))
        record = Edit(
            method=method,
            facts=wanted,
            layers=chosen,
            updates=solution.updates,
            hparams=asdict(settings),
            moment="; ".join(moment.described for moment in known.values()),
            model=model.name,
            fingerprint=model.fingerprint,
            report=solution.report,
            keys=solution.keys,
        )
        if apply:
            model.apply(record)
    return record


def settle(
    model: Model, method: str, layers: int | Sequence[int] | None, hparams: Mapping[str, Any]
) -> tuple[tuple[int, ...], Hparams]:
    """Return layers and settings that are left open as the method's defaults for the model, the others checked.

    Raises
    ------
    FactError, LayerError, QuantizedModel
        As `edit`.
    """
    default = defaults(model, method)
    settings = default.hparams.with_changes(**hparams)
    chosen = _check_layers(model, method, default.layers if layers is None else layers)
    for layer in chosen:
        model.check_editable(layer)
    return chosen, settings


def _check_layers(model: Model, method: str, layers: int | Sequence[int]) -> tuple[int, ...]:
    named = layers if isinstance(layers, Iterable) and not isinstance(layers, str) else [layers]
    chosen = tuple(sorted({model.check_layer(layer) for layer in named}))
    if not chosen:
        raise FactError("layers is empty: name the layer to edit, or leave it out.")
    if len(chosen) > 1 and method in methods.ONE_LAYER:
        raise FactError(f"{method} edits one layer, not {len(chosen)}: {', '.join(map(str, chosen))}.")
    return chosen


def _check_facts(facts: Sequence[Fact], method: str) -> None:
    if not facts:
        raise FactError("There is no fact to edit.")
    for fact in facts:
        if not isinstance(fact, Fact):
            raise FactError(f"facts must be factlens.Fact objects, not {type(fact).__name__}.")
        if fact.target is None:
            raise FactError(
                f"The fact {fact.prompt!r} has no target: say what the model shall answer, Fact(..., target='Paris')."
            )
    if len(facts) > 1 and method in methods.ONE_FACT:
        raise FactError(
            f"{method} stores one fact at a time, not {len(facts)}. Edit them one after the other, or at once with "
            "method='emmet', 'memit' or 'alphaedit'."
        )
    first: dict[str, Fact] = {}
    for fact in facts:
        other = first.get(fact.prompt)
        first[fact.prompt] = fact
        if other is not None:
            what = "twice" if other.target == fact.target else f"to be both {other.target!r} and {fact.target!r}"
            raise FactError(f"{fact.prompt!r} is wanted {what}; give it once.")


def _check_wanted(model: Model, facts: Sequence[Fact]) -> None:
    """Refuse what the tokenizer spoils, a model that answers NaN, and a single fact that it answers already.

    Among many, such a fact is held in place with the others.
    """
    for fact in facts:
        encoding = model.encode(fact)
        if encoding.ends_inside:
            raise FactError(
                f"The subject {fact.subject!r} ends in the middle of a token in {fact.prompt!r}: the tokenizer reads "
                f"{encoding.pieces[encoding.last_subject]!r} as one token, so its key would not be the subject's. "
                "Let the subject end where a word ends."
            )
    options = [model.encode_option(fact.prompt, str(fact.target)) for fact in facts]
    prompt, target = options[0]
    ids = torch.tensor([[*prompt, *target[:-1]]], device=model.device)
    with torch.no_grad():
        logits = model.model(input_ids=ids, logits_to_keep=len(target)).logits[0]
    if check_finite(logits, model.name).argmax(-1).tolist() == list(target) and len(facts) == 1:
        raise FactError(
            f"The model already answers {facts[0].prompt!r} with {facts[0].target!r}. "
            "Choose another new object to edit it."
        )


def _moments_for(
    model: Model,
    layers: Sequence[int],
    moments: SecondMoment | Mapping[int, SecondMoment] | None,
    seed: int,
    progress: Callable[[float], None] | None,
    stop: Event | None,
) -> dict[int, SecondMoment]:
    if moments is None:
        return default_moments(model, layers, seed=seed, progress=progress, stop=stop)
    given = {moments.layer: moments} if isinstance(moments, SecondMoment) else dict(moments)
    for layer in layers:
        if layer not in given:
            has = ", ".join(str(moment.layer) for moment in given.values())
            raise WrongModel(f"There is no second moment for layer {layer} among those given (layer {has}).")
        if (given[layer].fingerprint, given[layer].layer) != (model.fingerprint, layer):
            raise WrongModel(
                f"The second moment is of {given[layer].identity}, not of layer {layer} of {model.fingerprint}."
            )
    return {layer: given[layer] for layer in layers}


def _named(progress: Progress | None, name: str) -> Callable[[float], None] | None:
    return None if progress is None else lambda share: progress(name, share)
