"""Tracing many facts: one outcome after the other, or their average at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Event
from typing import Any, Unpack

import torch

from factlens.arguments import event, function, optional
from factlens.bar import by_itself, of_count
from factlens.errors import ArgumentError, FactError, Interrupted
from factlens.facts import Fact, some_facts
from factlens.models import Model
from factlens.models.continuing import whole_texts
from factlens.models.given import a_model
from factlens.models.spellings import better_spelling
from factlens.progress import Count
from factlens.signatures import taking
from factlens.tracing.answers import check_contrast
from factlens.tracing.averages import Average, Skipped, average
from factlens.tracing.corruption import noise_level
from factlens.tracing.engine import trace
from factlens.tracing.knowing import logits_of
from factlens.tracing.options import OPTIONS, ManyOptions, checked_options
from factlens.tracing.protocol import Corruption, Noise
from factlens.tracing.result import Trace

NOT_KNOWN = "The model answers otherwise."
"""Why a fact is skipped that the model does not know."""
SPELLED_OTHERWISE = "The model spells the object otherwise."
"""Why a fact is skipped whose object the model begins with a space more, or less; its answer is how it does."""


_OTHERWISE: dict[str, dict[str, Any]] = {
    "corruption": {
        "meaning": f"{OPTIONS['corruption'].meaning} The noise is of three σ over\n"
        "the subjects of all `facts`, skipped ones included, as in the paper: every fact gets noise of the same size.\n"
        "(For a single trace σ is over its own subject.)"
    },
    "contrast": {
        "meaning": f"{OPTIONS['contrast'].meaning}\nDefault: each fact's target, where the metric needs a contrast."
    },
    "estimate": {"default": None},
}
_EACH = [
    replace(option, **_OTHERWISE.get(name, {}))
    for name, option in OPTIONS.items()
    if name in ManyOptions.__annotations__
]


@taking(_EACH)
def trace_many(
    model: Model,
    facts: Iterable[Fact],
    *,
    stop: Event | None = None,
    progress: Count | None = None,
    **options: Unpack[ManyOptions],
) -> Iterator[Trace | Skipped]:
    """Trace many facts, and yield each one's trace as soon as it is complete.

    A fact that the model does not know, or that cannot be traced, is yielded as `Skipped` in its turn, with the
    reason. The model knows a fact if greedy decoding continues the prompt with the fact's object, all its tokens;
    for an object of one token this is the paper's rule, which leaves out objects of several tokens. A fact without an
    object counts as known. What is measured is the object, or the model's own answer where there is none.

    Parameters
    ----------
    model
        The model.
    facts
        What to trace.
    stop
        Set it from another thread to stop, in the middle of a pass if need be.
    progress
        Called after each fact with the number of facts done and of all facts.
    **options
        As in `factlens.tracing.options.TraceOptions`, the same for every fact.

    Yields
    ------
    Trace or Skipped
        One for each fact, in their order.

    Raises
    ------
    FactError
        If an option makes no sense.
    Interrupted
        On `stop`, and on the kernel's interrupt while a fact is being traced.
    NumericalError, WeightsChanged
        As `factlens.stream`.
    """
    model, facts = a_model("model", model), some_facts("facts", facts)
    stop, progress = optional(event, "stop", stop), optional(function, "progress", progress)
    # A generator would see the options only when its first fact is asked for.
    return _outcomes(model, facts, stop, progress, _completed(model, facts, options))


@taking(_EACH)
@by_itself("Tracing facts", of_count("facts"))
def average_over(
    model: Model,
    facts: Iterable[Fact],
    *,
    stop: Event | None = None,
    progress: Count | bool | None = None,
    **options: Unpack[ManyOptions],
) -> Average:
    """Trace many facts and average their effects by the role of each token (Meng et al. 2022, Figure 2).

    Short for ``average(trace_many(model, facts, ...))``.

    Parameters
    ----------
    model, facts, stop
        As for `trace_many`. Note the default of ``corruption``: three σ over the subjects of all `facts`.
    progress
        As for `trace_many`. Default: a bar shows it, in a notebook or a terminal; False: nothing does.
    **options
        As for `trace_many`.

    Returns
    -------
    Average
        Over the facts that the model knows; the others are in its ``skipped``.

    Raises
    ------
    FactError
        If no fact could be traced (the message counts the reasons), or an option makes no sense.
    Interrupted
        On `stop` and on the kernel's interrupt; its ``partial`` is the average over the facts traced to their end, or
        None if there was none. It is a `KeyboardInterrupt`.
    """
    tell = optional(function, "progress", progress)
    return average(trace_many(model, facts, stop=stop, progress=tell, **options))


def _outcomes(
    model: Model, facts: Sequence[Fact], stop: Event | None, progress: Count | None, options: dict[str, Any]
) -> Iterator[Trace | Skipped]:
    for done, fact in enumerate(facts, start=1):
        if stop is not None and stop.is_set():
            raise Interrupted(f"Stopped after {done - 1} of {len(facts)} facts.")
        outcome = _outcome(model, fact, stop, options)
        if progress is not None:
            progress(done, len(facts))
        yield outcome


def _outcome(model: Model, fact: Fact, stop: Event | None, options: dict[str, Any]) -> Trace | Skipped:
    if options["metric"].contrasted and options["contrast"] is None:
        options = {**options, "contrast": fact.target}
    try:
        read = model.as_read(fact, warned=False)
        if (mismatch := _says_instead(model, read, stop)) is not None:
            return Skipped(fact, *mismatch)
        return trace(model, fact, stop=stop, answer=fact.object, **options)
    except FactError as error:
        return Skipped(fact, str(error))


@torch.no_grad()
def _says_instead(model: Model, fact: Fact, stop: Event | None) -> tuple[str, str] | None:
    """Return why a fact's object is no answer of the model's, and what greedy decoding gives in its place.

    That goes up to the first wrong token, and where that ends inside a character, up to that character's end. None if
    greedy decoding gives the object.
    """
    if fact.object is None:
        return None
    prompt, object_ids = model.encode_option(fact.prompt, fact.object, role="object")
    with model.exclusive(stop):
        logits = logits_of(model, prompt, object_ids)
    best = logits.argmax(-1).tolist()
    wrong = next((i for i, token in enumerate(object_ids) if best[i] != token), None)
    if wrong is None:
        return None
    instead = [*object_ids[:wrong], best[wrong]]
    text = whole_texts(model, [prompt], [instead])[0] or model.text_of(instead)
    otherwise = wrong == 0 and better_spelling(model, fact.prompt, fact.object, logits[0]) is not None
    return (SPELLED_OTHERWISE if otherwise else NOT_KNOWN), text


def _completed(model: Model, facts: Sequence[Fact], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with the default corruption filled in.

    Raises
    ------
    FactError
        If one of them makes no sense for any fact: such an error is not to pass for a fact that cannot be used.
    """
    if "answer" in options:
        raise ArgumentError(
            "answer cannot be one for many facts: give each fact its own, factlens.Fact(..., object='Seattle')."
        )
    default = options.get("corruption") is None
    options = checked_options(model, {"estimate": None, **options})
    check_contrast(options["metric"], options["contrast"])
    del options["answer"]
    corruption: Corruption = options["corruption"]
    if default and facts:
        corruption = Noise(subjects=tuple(fact.subject for fact in facts))
    if isinstance(corruption, Noise) and corruption.subjects is not None and corruption.shape != "multivariate":
        # Once for all facts, since it takes as long as tokenising all subjects; they stay on record.
        corruption = replace(corruption, level=noise_level(model, (), corruption))
    return {**options, "corruption": corruption}
