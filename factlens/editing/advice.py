"""What to change about an edit that did not take: settings of its own method, with their values, and the direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from factlens.editing.hparams import Hparams, ValueHparams
from factlens.editing.taking import Said, Took, shown_share
from factlens.facts import Fact
from factlens.models import Dense
from factlens.models.weights import WeightTerm

if TYPE_CHECKING:
    from factlens.editing.methods.base import Method

NEARLY = 0.999
"""From this share of a limit on, it was reached."""
NOT_PUT_OUT = "the weights do not put it out after the bare prompt"

Reason = tuple[str, list[str]]
"""Why an edit did not take, and what to try."""


@dataclass(frozen=True)
class Circumstances:
    """How an edit was made, as far as advice depends on it.

    Attributes
    ----------
    method
        The method.
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

    method: Method[Any]
    layers: Sequence[int]
    default_layers: Sequence[int]
    n_layers: int
    hparams: Any
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
    """Put together what the model says of each fact's target, with advice where the edit did not take.

    Parameters
    ----------
    facts
        The facts.
    before, with_value, after
        What the model says of each target without the edit, with v* put in (empty where there is none), and after.
    made
        How the edit was made.
    report
        As `factlens.editing.methods.Solution.report`: for each fact, or for all of them together.
    """
    taken = []
    values: Sequence[Said | None] = with_value or [None] * len(facts)
    reports = report.get("facts", [report] * len(facts))
    for fact, old, between, new, own in zip(facts, before, values, after, reports, strict=True):
        value = (None, None) if between is None else (between.probability, between.leads)
        took = Took(old.probability, value[0], new.probability, value[1], new.leads)
        taken.append(replace(took, advice=advice(fact, took, made, own)))
    return tuple(taken)


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
    if took.failed == "value":
        why, tries = _of_value(fact, made, report)
        lead = "reached only" if took.with_value and took.with_value > 1.01 * took.before else "stayed at"
        why = f"v* itself {lead} p {shown_share(took.with_value or 0.0)}: {why}"
    else:
        why, tries = made.method.advise(made, report)
        if took.with_value is not None:
            why = f"v* reached p {shown_share(took.with_value)}, but {why}"
        if made.identity:
            tries = ["the model's own second moments instead of the identity (moments=None)", *tries]
    nothing = "" if took.gained else "The target gained nothing. "
    why = why if why.startswith("v*") else why[:1].upper() + why[1:]
    return f"{nothing}{why}. Try {_listed(tries)}."


def _of_value(fact: Fact, made: Circumstances, report: Mapping[str, Any]) -> Reason:
    hparams, layer = made.hparams, made.layers[-1]
    if layer == made.n_layers - 1 and fact.subject_span[1] < len(fact.prompt):
        return f"no attention above layer {layer}, the model's last, reads the subject's token", [another_layer(made)]
    if not isinstance(hparams, ValueHparams):
        return "it was not found", [another_layer(made)]
    losses = report["losses"]
    if hparams.steps == 1:
        return "steps=1 takes no step", [now("more steps", "steps", hparams)]
    longer = [now("more steps", "steps", hparams), now("a larger learning_rate", "learning_rate", hparams)]
    if report["delta_norm"] >= NEARLY * hparams.clamp * report["value_norm"]:
        return "its length limit was reached", [now("a larger clamp", "clamp", hparams), another_layer(made), longer[0]]
    if len(losses) < hparams.steps:
        stop = [now("a smaller stop_loss", "stop_loss", hparams), another_layer(made)]
        return f"the optimisation ended at a loss of {losses[-1]['loss']:.2g}, below stop_loss", stop
    held = hparams.kl_factor * losses[-1]["kl"]
    if max(held, losses[-1]["decay"]) > losses[-1]["nll"]:
        name = "kl_factor" if held >= losses[-1]["decay"] else "weight_decay"
        return f"{name} held it back", [now(f"a smaller {name}", name, hparams), *longer]
    return "all steps were used", [*longer, another_layer(made)]


# What to try, in words, for the methods' own advice, too --------------------------------------------------------------


def now(change: str, setting: str, hparams: Hparams) -> str:
    """Return a change of a setting with the value that it has: ``a larger clamp (now 4)``."""
    value = getattr(hparams, setting)
    return f"{change} (now {'as published' if value is None else format(value, 'g')})"


def larger_bare_share(made: Circumstances) -> list[str]:
    """Return as advice a larger share of the bare prompt in the mean key, where that is of more than the bare prompt.

    The closed form is solved for the mean key, and the bare prompt has a key of its own.
    """
    prefixed = made.hparams.contexts or made.hparams.openings
    return [now("a larger bare_share", "bare_share", made.hparams)] if prefixed else []


def another_layer(made: Circumstances) -> str:
    """Name the direction of the method's default layer, where that is another one."""
    now, default = made.layers[-1], made.default_layers[-1]
    if now == default:
        return f"another layer (now {now})"
    return f"{'an earlier' if now > default else 'a later'} layer (now {now}, by default {default})"


def _listed(tries: Sequence[str]) -> str:
    return tries[0] if len(tries) == 1 else f"{', '.join(tries[:-1])} or {tries[-1]}"
