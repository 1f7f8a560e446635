"""What to change about an edit that did not take: settings of its own method, with their values, and the direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from factlens.editing.hparams import (
    AlphaEditHparams,
    EmmetHparams,
    FineTuneHparams,
    Hparams,
    MemitHparams,
    RomeHparams,
    ValueHparams,
)
from factlens.editing.taking import Said, Took, shown_share
from factlens.facts import Fact
from factlens.models import Dense
from factlens.models.weights import WeightTerm

_NEARLY = 0.999
"""From this share of a limit on, it was reached."""
_NOT_PUT_OUT = "the weights do not put it out after the bare prompt"


@dataclass(frozen=True)
class Circumstances:
    """How an edit was made, as far as advice depends on it.

    Attributes
    ----------
    layers, default_layers, n_layers
        The layers it changes, those it would change by default, and how many the model has.
    hparams
        The method's settings.
    facts
        How many facts were edited together.
    identity
        Whether C was the identity matrix.
    updates
        What it adds to the weights.
    """

    layers: Sequence[int]
    default_layers: Sequence[int]
    n_layers: int
    hparams: Hparams
    facts: int = 1
    identity: bool = False
    updates: Sequence[WeightTerm] = ()

    @property
    def largest(self) -> float:
        """The largest change of a single weight by a term that is a whole matrix; 0 without such terms."""
        return max((float(term.change.abs().max()) for term in self.updates if isinstance(term, Dense)), default=0.0)


def all_taken(
    facts: Sequence[Fact],
    before: Sequence[Said],
    with_value: Sequence[Said],
    after: Sequence[Said],
    made: Circumstances,
    report: Mapping[str, Any],
) -> tuple[Took, ...]:
    """Put together for each fact what was said of its target, with advice where the edit did not take.

    Parameters
    ----------
    facts
        The facts.
    before, with_value, after
        What the model says of each target without the edit, with v* put in (empty where there is none), and after.
    made
        How the edit was made.
    report
        As `factlens.editing.solving.Solution.report`: for each fact, or for all of them together.
    """
    found = []
    values: Sequence[Said | None] = with_value or [None] * len(facts)
    reports = report.get("facts", [report] * len(facts))
    for fact, then, between, now, own in zip(facts, before, values, after, reports, strict=True):
        value = (None, None) if between is None else (between.probability, between.leads)
        took = Took(then.probability, value[0], now.probability, value[1], now.leads)
        found.append(replace(took, advice=advice(fact, took, made, own)))
    return tuple(found)


def advice(fact: Fact, took: Took, made: Circumstances, report: Mapping[str, Any]) -> str:
    """Return why an edit did not take and what to change; empty if it took.

    Parameters
    ----------
    fact
        The fact.
    took
        The numbers.
    made
        How the edit was made.
    report
        What happened while v* of the fact was optimised, or while the model was fine-tuned: ``losses``, and for v*
        ``delta_norm`` and ``value_norm``.
    """
    if took.failed is None:
        return ""
    if isinstance(made.hparams, FineTuneHparams):
        why, tries = _of_finetuning(made, made.hparams, report)
    elif isinstance(made.hparams, ValueHparams) and took.failed == "value":
        why, tries = _of_value(fact, made, made.hparams, report)
        lead = "reached only" if took.with_value and took.with_value > 1.01 * took.before else "stayed at"
        why = f"v* itself {lead} p {shown_share(took.with_value or 0.0)}: {why}"
    else:
        why, tries = _of_weights(made)
        why = f"v* reached p {shown_share(took.with_value or 0.0)}, but {why}"
    nothing = "" if took.gained else "The target gained nothing. "
    why = why if why.startswith("v*") else why[:1].upper() + why[1:]
    return f"{nothing}{why}. Try {_listed(tries)}."


def _of_value(
    fact: Fact, made: Circumstances, hparams: ValueHparams, report: Mapping[str, Any]
) -> tuple[str, list[str]]:
    losses, layer = report["losses"], made.layers[-1]
    if layer == made.n_layers - 1 and fact.subject_span[1] < len(fact.prompt):
        return f"no attention above layer {layer}, the model's last, reads the subject's token", [_layer(made)]
    if hparams.steps == 1:
        return "steps=1 takes no step", [_now("more steps", "steps", hparams)]
    longer = [_now("more steps", "steps", hparams), _now("a larger learning_rate", "learning_rate", hparams)]
    if report["delta_norm"] >= _NEARLY * hparams.clamp * report["value_norm"]:
        return "its length limit was reached", [_now("a larger clamp", "clamp", hparams), _layer(made), longer[0]]
    if len(losses) < hparams.steps:
        stop = [_now("a smaller stop_loss", "stop_loss", hparams), _layer(made)]
        return f"the optimisation ended at a loss of {losses[-1]['loss']:.2g}, below stop_loss", stop
    held = hparams.kl_factor * losses[-1]["kl"]
    if max(held, losses[-1]["decay"]) > losses[-1]["nll"]:
        name = "kl_factor" if held >= losses[-1]["decay"] else "weight_decay"
        return f"{name} held it back", [_now(f"a smaller {name}", name, hparams), *longer]
    return "all steps were used", [*longer, _layer(made)]


def _of_weights(made: Circumstances) -> tuple[str, list[str]]:
    hparams, tries, why = made.hparams, [], _NOT_PUT_OUT
    if made.identity:
        tries.append("the model's own second moments instead of the identity (moments=None)")
    if isinstance(hparams, MemitHparams):
        why = "the weights moved too little"
        tries.append(_now("a smaller moment_weight", "moment_weight", hparams))
    elif isinstance(hparams, AlphaEditHparams):
        why = "the weights moved too little"
        tries.append(_now("a larger nullspace", "nullspace", hparams))
        tries.append(_now("a smaller ridge", "ridge", hparams))
    elif isinstance(hparams, EmmetHparams) and made.facts > 1:
        tries.append(_now("a smaller ridge", "ridge", hparams))
    prefixed = isinstance(hparams, ValueHparams) and (hparams.contexts or hparams.openings)
    if prefixed and not (isinstance(hparams, RomeHparams) and hparams.as_published):
        # The closed form is solved for the mean key, and the bare prompt has a key of its own.
        tries.append(_now("a larger bare_share", "bare_share", hparams))
    return why, [*tries, _layer(made)]


def _of_finetuning(made: Circumstances, hparams: FineTuneHparams, report: Mapping[str, Any]) -> tuple[str, list[str]]:
    losses = [step["loss"] for step in report["losses"]]
    longer = [_now("more steps", "steps", hparams), _now("a larger learning_rate", "learning_rate", hparams)]
    if hparams.limit is not None and made.largest >= _NEARLY * hparams.limit:
        return "weights reached the limit", [_now("a larger limit", "limit", hparams), _layer(made)]
    if losses[-1] < hparams.stop_loss:
        smaller = _now("a smaller stop_loss", "stop_loss", hparams)
        return f"training ended at a loss of {losses[-1]:.2g}, below stop_loss", [smaller]
    return f"training ended at a loss of {losses[-1]:.2g} after all its steps", [*longer, _layer(made)]


def _now(change: str, setting: str, hparams: Hparams) -> str:
    value = getattr(hparams, setting)
    return f"{change} (now {'as published' if value is None else format(value, 'g')})"


def _layer(made: Circumstances) -> str:
    """Name the direction of the method's default layer, where that is another one."""
    now, default = made.layers[-1], made.default_layers[-1]
    if now == default:
        return f"another layer (now {now})"
    return f"{'an earlier' if now > default else 'a later'} layer (now {now}, by default {default})"


def _listed(tries: Sequence[str]) -> str:
    return tries[0] if len(tries) == 1 else f"{', '.join(tries[:-1])} or {tries[-1]}"
