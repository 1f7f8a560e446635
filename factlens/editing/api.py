"""`edit`: one call from facts with targets to a changed model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

import torch

from factlens import warned
from factlens.arguments import event, flag, function, instance, optional, plain, refuse, shown, some_texts, whole
from factlens.bar import by_itself, of_stages
from factlens.editing.advice import Circumstances, all_taken
from factlens.editing.contexts import check_prefixes, check_written_texts
from factlens.editing.hparams import Defaults, Hparams
from factlens.editing.listed import listed_settings
from factlens.editing.looking import look
from factlens.editing.methods import DEFAULT_METHOD, METHODS, Problem
from factlens.editing.prompts import kept_prompt
from factlens.editing.record import Edit
from factlens.editing.settings import by_look, defaults, is_open
from factlens.editing.taking import Said, say, say_with, shown_share
from factlens.errors import ArgumentError, EditWarning, FactError, FactlensWarning, PromptTooLong, WrongModel
from factlens.facts import Fact, some_facts
from factlens.models import Model
from factlens.models.belonging import Weights, check_belongs
from factlens.models.given import a_model, some_layers
from factlens.models.interrupts import stopped_by
from factlens.models.model import check_finite
from factlens.models.settling import settled
from factlens.models.spellings import warn_of_spelling
from factlens.moments import Corpus, SecondMoment, cached, default_moments, default_tokens, open_corpus
from factlens.moments.corpora import Source, a_source
from factlens.moments.own import collecting
from factlens.notices import Notice, cited
from factlens.progress import Share, Stage, StageShare
from factlens.signatures import taking
from factlens.spelling import Wording

_EXAMPLE = "{3: moment}"
# Eight rows, from fewer of which nothing can be said about how they scatter; a smaller number is a layer's by mistake.
_FEWEST_TOKENS = 512


STAGES = {"where": 0.2, "second moment": 0.5, "value": 0.28, "answers": 0.02}
"""What an edit says that it is at, in this order, and about which part of the time each takes on a language model."""


@taking(listed_settings().values())
@by_itself("Editing", of_stages(STAGES))
@settled
def edit(
    model: Model,
    facts: Fact | Iterable[Fact],
    *,
    method: str = DEFAULT_METHOD,
    layers: int | Sequence[int] | None = None,
    moments: SecondMoment | Mapping[int, SecondMoment] | Source | int | None = None,
    apply: bool = True,
    progress: StageShare | bool | None = None,
    stop: Event | None = None,
    **hparams: Any,
) -> Edit:
    """Make the model give facts their new objects, by changing MLP down projections.

    Whether it took is said for each fact in `Edit.taken`: the probability of the target after the bare prompt before,
    with v* put in, and after. If some did not take, one `EditWarning` says which, which half failed (the value, or the
    weights), and what to change. The edit is applied all the same.

    After `stop` come the settings of the methods, each with those that have it and its default there; for some models
    a method has others (`factlens.editing.defaults`). What is left out is as the method has it. A method that was
    registered later takes the settings of its own class.

    Parameters
    ----------
    model
        The model; edits it already carries stay, and the new one is computed on top of them.
    facts
        What to change, each with its `target`: one fact, or many at once.
    method
        One of `factlens.editing.METHODS`: ``"rome"`` (one fact), ``"emmet"`` (many in one layer), ``"memit"``,
        ``"alphaedit"`` (many, over several layers), fine-tuning (``"ft"``, ``"ft_l"``, ``"lora"``), or one that was
        registered there.
    layers
        Which layer or layers to edit. Default: the method's for the model; `factlens.editing.defaults` says from where.
    moments
        Second moments of the layers' keys, for the methods that need them; or text from which to collect them: the
        path of a file or a folder, ``hf:name``, strings in a list, or a `factlens.moments.Corpus`. They are collected
        once for a text, and then read from disk (`factlens.moments.cached`). A number: from so many tokens of the
        model's own text. Default: from as many as `factlens.moments.default_tokens` says, which are few where the
        model writes them itself. `SecondMoment.identity_matrix` gives the identity, which is never used unasked.
    apply
        Apply the edit to the model's weights. It can be undone with ``model.undo()``.
    progress
        Called with what is being done (``"where"``: looking where the model keeps facts, ``"second moment"``,
        ``"value"``, ``"answers"``: asking what it says after the edit) and the share of it that is done. Default: a bar
        shows it, in a notebook or a terminal; False: nothing does.
    stop
        Set it from another thread to give up; nothing is changed then.
    **hparams
        Settings of the method, as its class of settings has them (its file in `factlens.editing.methods`).

    Returns
    -------
    Edit
        The record of the change.

    Warns
    -----
    EditWarning
        If it did not take for some of the facts: the model does not say their targets after it (`Took.failed` has the
        rule). Where warnings are turned into errors, nothing is applied.

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
    FileFormatError
        If `moments` is a file of text that is damaged, or in an unknown encoding.
    WeightsChanged
        If other code changed the weights meanwhile, or a weight on which edits lie.
    Interrupted
        If `stop` was set.
    """
    model, apply = a_model("model", model), flag("apply", apply)
    progress, stop = optional(function, "progress", progress), optional(event, "stop", stop)
    moments = some_moments("moments", moments)
    chosen, settings = settle(model, method, layers, hparams)
    way = METHODS[method]
    requests = (facts,) if isinstance(facts, Fact) else tuple(some_facts("facts", facts))
    _check_facts(requests, method)
    requests = tuple(map(model.as_read, requests))
    _check_apart(requests)
    _check_kept(model, requests, settings)
    with model.watched(stop), stopped_by(stop):
        looking = _named(progress, Stage("where", "looking where the model keeps facts"))
        default = looked_up_defaults(model, method, requests[0] if layers is None else None, stop, looking)
        if layers is None:
            chosen, settings = settle(model, method, default.layers, hparams)
        weights = Weights.of(model)
        before = _check_wanted(model, requests)
        check_written_texts(model, requests, settings)
        used_moments = {}
        if way.needs_moments:
            stage = collecting(model, chosen, moments if isinstance(moments, Corpus) else None)
            used_moments = _moments_for(model, chosen, moments, settings.seed, _named(progress, stage), stop)
        value = _named(progress, Stage("value", way.doing))
        solution = way.solve(Problem(model, requests, chosen, used_moments, settings, value))
        if (asking := _named(progress, Stage("answers", "asking whether it took"))) is not None:
            asking(0.0)
        after = say_with(model, requests, solution)
        model.check_unchanged(*weights.key, "edited", "Edit again")
        made = Circumstances(
            method=way,
            layers=chosen,
            default_layers=default.layers,
            n_layers=model.n_layers,
            hparams=settings,
            facts=len(requests),
            identity=any(moment.is_identity for moment in used_moments.values()),
            updates=solution.updates,
        )
        record = Edit(
            method=method,
            facts=requests,
            layers=chosen,
            updates=solution.updates,
            hparams=asdict(settings),
            moment="; ".join(moment.described for moment in used_moments.values()),
            model=model.name,
            fingerprint=weights.fingerprint,
            report={"defaults": _source_of(default, layers, hparams), **solution.report},
            keys=solution.keys,
            taken=all_taken(requests, before, solution.with_value, after, made, solution.report),
        )
        _warn(record, apply)
        if apply:
            model.apply(record)
        return record


def quiet_edit(model: Model, facts: Fact | Iterable[Fact], **options: Any) -> Edit:
    """As `edit`, without its `EditWarning`: for callers that say in their own way what took."""
    warnings: list[FactlensWarning] = []
    try:
        with warned.warnings_kept() as warnings:
            return edit(model, facts, **options)
    finally:
        for warning in warnings:
            if not isinstance(warning, EditWarning):
                warned.warn(warning)


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
    check_prefixes(model, settings)
    chosen = some_layers(model, "layers", default.layers if layers is None else layers)
    most = METHODS[method].most_layers
    if most is not None and len(chosen) > most:
        count = "one layer" if most == 1 else f"at most {most} layers"
        raise FactError(f"{method} edits {count}, not {len(chosen)}: {', '.join(map(str, chosen))}.")
    for layer in chosen:
        model.check_editable(layer)
    return chosen, settings


def some_moments(name: str, value: Any) -> dict[int, SecondMoment] | Corpus | int | None:
    """Return the argument `name` as second moments by layer, a text that is there, or a number of tokens.

    None is returned for None.

    Raises
    ------
    ArgumentError
        If it is none of these.
    FactlensError
        If there is no such text.
    """
    if value is None:
        return None
    if isinstance(value, SecondMoment):
        return {value.layer: value}
    if isinstance(plain(value), int) and not isinstance(plain(value), bool):
        example = f"100_000 (a number of tokens; for second moments themselves, {_EXAMPLE})"
        return whole(name, value, least=_FEWEST_TOKENS, example=example)
    if isinstance(value, list | tuple):
        return open_corpus(list(some_texts(name, value, empty=True)))
    if isinstance(value, Corpus | str | Path):
        return open_corpus(a_source(name, value))
    if not isinstance(value, Mapping):
        refuse(
            name,
            value,
            "a SecondMoment, a mapping from layers to them, text (a path, hf:name, strings in a list, a Corpus), or "
            "how many tokens of the model's own text",
            _EXAMPLE,
        )
    return {
        plain(layer): instance(f"{name}[{shown(layer)}]", moment, SecondMoment, "a factlens.moments.SecondMoment")
        for layer, moment in value.items()
    }


def _check_facts(facts: Sequence[Fact], method: str) -> None:
    if not facts:
        raise FactError("There is no fact to edit.")
    for fact in facts:
        if fact.target is None:
            raise FactError(
                f"The fact {fact.prompt!r} has no target: say what the model should answer, Fact(..., target='Paris')."
            )
    most = METHODS[method].most_facts
    if most is not None and len(facts) > most:
        count = "one fact" if most == 1 else f"at most {most} facts"
        others = ", ".join(repr(name) for name, other in METHODS.items() if other.most_facts is None)
        raise FactError(
            f"{method} stores {count} at a time, not {len(facts)}. Edit them one after the other, or at once with one "
            f"of the methods {others}."
        )


def _check_apart(facts: Sequence[Fact]) -> None:
    """Refuse two facts that are asked for in the same words."""
    first: dict[str, Fact] = {}
    for fact in facts:
        other = first.get(fact.prompt)
        first[fact.prompt] = fact
        if other is not None:
            what = "for twice" if other.target == fact.target else f"to be both {other.target!r} and {fact.target!r}"
            raise FactError(f"{fact.prompt!r} is asked {what}; give it once.")


def _check_kept(model: Model, facts: Sequence[Fact], settings: Hparams) -> None:
    """Refuse a prompt to be kept as it was that has no place for a fact's subject, or does not fit into the model."""
    for i, template in enumerate(getattr(settings, "keep", ())):
        for fact in facts:
            try:
                kept_prompt(model, fact, template)
            except PromptTooLong:
                raise
            except FactError as error:
                raise ArgumentError(f"keep[{i}] must be a prompt that {shown(fact.subject)} fits: {error}") from error


def _check_wanted(model: Model, facts: Sequence[Fact]) -> list[Said]:
    """Return what the model says of the targets now.

    A subject that ends inside a token is refused, a model that answers NaN, and a single fact that it answers already.
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

    def check_spelling(fact: Fact, logits: torch.Tensor) -> None:
        warn_of_spelling(model, fact.prompt, fact.target, logits)

    before = say(model, facts, at_the_end=check_spelling)
    check_finite(torch.tensor([one.probability for one in before]), model.name)
    if before[0].leads and len(facts) == 1:
        raise FactError(
            f"The model already answers {facts[0].prompt!r} with {facts[0].target!r}. "
            "Choose another new object to edit it."
        ).at(Notice("target", already(facts[0].target, before[0].probability)))
    return before


def already(target: Wording | None, probability: float) -> str:
    """Say that a new object is what the model says already."""
    share = shown_share(probability)
    equals = "" if share.startswith(">") else "= "
    return (
        f"The model says {cited(str(target))} here already, with p {equals}{share}: an edit would change nothing. "
        "Write another new object."
    )


def _warn(made: Edit, applied: bool) -> None:
    """Warn of the facts that an edit did not take for, at the line that has called `edit`."""
    if message := made.warning:
        what = "It is applied all the same: model.undo() takes it back." if applied else "It is not applied yet."
        warned.warn(EditWarning(f"{message}\n{what}"))


def _moments_for(
    model: Model,
    layers: Sequence[int],
    moments: Mapping[int, SecondMoment] | Corpus | int | None,
    seed: int,
    progress: Share | None,
    stop: Event | None,
) -> dict[int, SecondMoment]:
    if moments is None or isinstance(moments, int):
        return default_moments(model, layers, tokens=moments, seed=seed, progress=progress, stop=stop)
    if isinstance(moments, Corpus):
        tokens = default_tokens(model, layers, moments)
        return cached(model, layers, moments, tokens=tokens, progress=progress, stop=stop)
    for layer in layers:
        if layer not in moments:
            has = ", ".join(str(moment.layer) for moment in moments.values())
            raise WrongModel(f"There is no second moment for layer {layer} among those given (layer {has}).")
        moment = moments[layer]
        check_belongs(model, f"This second moment ({moment.identity})", name=None, fingerprint=moment.fingerprint)
        if moment.layer != layer:
            raise WrongModel(f"This second moment is of {moment.identity}, not of layer {layer}.")
    return {layer: moments[layer] for layer in layers}


def looked_up_defaults(
    model: Model, method: str, fact: Fact | None, stop: Event | None, progress: Share | None = None
) -> Defaults:
    """Return the defaults of a method; where nothing says where to edit the model, a look does, unless it need not."""
    place = look(model, fact, stop, progress) if fact is not None and is_open(model, method) else None
    return defaults(model, method) if place is None else by_look(model, method, place)


def _source_of(default: Defaults, layers: int | Sequence[int] | None, hparams: Mapping[str, Any]) -> str:
    """Say where layers and settings are from that the caller has left open."""
    own = (["layers"] if layers is not None else []) + sorted(hparams)
    return f"{default.source}; but for {', '.join(own)}" if own else default.source


def _named(progress: StageShare | None, name: str) -> Share | None:
    return None if progress is None else lambda share: progress(name, share)
