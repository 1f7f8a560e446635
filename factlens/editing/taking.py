"""Whether an edit took: what the model says after each fact's prompt before it, with v* put in, and after it.

Everywhere here p(target) is the probability of the *whole* target after the *bare* prompt: the product over the
target's tokens, each after the right ones before it. (The probabilities of `factlens.evaluation` are geometric means
over tokens, as published.) An edit has two halves: a value v* that makes the model say the target when it stands at the
subject's last token, and weights that put it out there. Either can fail, and each wants another remedy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from factlens.editing.prompts import target_of
from factlens.errors import FactError, NumericalError
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.hooks import on_input
from factlens.models.interruptible import interruptible
from factlens.models.interrupts import interruption_point
from factlens.models.padding import pad
from factlens.models.weights import WeightEdit
from factlens.typed import Check, flag, number_within, optional, record, text

_ROWS = 64
_NAMED = 3
"""So many facts are named in a warning."""
_GAIN = 1.01
"""A target whose probability has grown by a smaller factor has gained nothing."""


class Said(NamedTuple):
    """What the model says of one target after its bare prompt.

    Attributes
    ----------
    probability
        p(target), the product over its tokens, from 0 to 1; NaN where the model answers NaN.
    leads
        Whether greedy decoding says it: each of its tokens is the most probable one after those before it.
    """

    probability: float
    leads: bool


@dataclass(frozen=True)
class Took:
    """Whether an edit of one fact took.

    Attributes
    ----------
    before
        p(target) after the bare prompt without the edit (with all earlier ones).
    with_value
        The same with v* put in at the subject's last token, the weights as they were. For ROME and EMMET v* is added
        to the output of the layer's MLP, for MEMIT and AlphaEdit to that of the last layer's block. None for
        fine-tuning, which has no v*.
    after
        The same with the edit in the weights and nothing put in; NaN if the model answers NaN then, or the weights
        cannot hold the edit.
    value_leads, leads
        Whether greedy decoding says the target with v* put in (None for fine-tuning), and after the edit.
    advice
        Why it did not take and what to change, in words; empty if it took.
    """

    before: float
    with_value: float | None
    after: float
    value_leads: bool | None
    leads: bool
    advice: str = ""

    @property
    def failed(self) -> Literal["value", "weights"] | None:
        """Which half failed; None if the edit took. This is the rule, and the only place where it stands.

        An edit took if greedy decoding says the whole target after it: then the model answers with it. How probable
        that is plays no role, since a share that means much for one model means little for another. Else the value
        failed where the model does not say the target with v* put in either; and the weights where it does, or where
        there is no v* (fine-tuning).
        """
        if self.leads:
            return None
        return "value" if self.value_leads is False else "weights"

    @property
    def gained(self) -> bool:
        """Whether the target is more probable after the edit than before, by at least a hundredth."""
        return self.after > _GAIN * self.before

    @property
    def numbers(self) -> str:
        """The three numbers for a glance: ``0.001 before, 0.99 with v*, 0.98 after``."""
        between = "" if self.with_value is None else f"{shown_share(self.with_value)} with v*, "
        return f"{shown_share(self.before)} before, {between}{shown_share(self.after)} after"


def shown_share(probability: float) -> str:
    """Write a probability for a glance, small ones with two digits: ``0.98``, ``0.00051``, ``> 0.99``."""
    if math.isnan(probability):
        return "NaN"
    return "> 0.99" if probability > 0.995 else f"{probability:.2g}"


# In words ------------------------------------------------------------------------------------------------------------


def summary_of(facts: Sequence[Fact], taken: Sequence[Took]) -> str:
    """Return in a few words for how many facts an edit took, with the numbers of a single one; empty if unknown."""
    if not taken:
        return ""
    count = f"took {sum(one.failed is None for one in taken)} of {len(taken)}"
    if len(taken) > 1:
        return count
    (one,) = taken
    return f"{count}: p({facts[0].target!s:.80}) {shown_share(one.before)} → {shown_share(one.after)}"


def warning_of(facts: Sequence[Fact], taken: Sequence[Took]) -> str:
    """Return which facts an edit did not take for, which half failed and what to change; empty if it took for all."""
    failed = [(fact, one) for fact, one in zip(facts, taken, strict=False) if one.failed is not None]
    if not failed:
        return ""
    many = f" for {len(failed)} of {len(taken)} facts" if len(taken) > 1 else ""
    lines = [f"The edit did not take{many}."]
    for fact, one in failed[:_NAMED]:
        lines.append(
            f"{fact.subject:.80} → {fact.target!s:.80}: p({fact.target!s:.80}) {one.numbers}. {one.advice}".rstrip()
        )
    if len(failed) > _NAMED:
        lines.append(f"And {len(failed) - _NAMED} more; edit.taken has them all.")
    return "\n".join(lines)


# Reading -------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def say(model: Model, facts: Sequence[Fact], *, at_the_end: Callable[[Fact, Tensor], None] | None = None) -> list[Said]:
    """Return what the model says of each fact's target, as it is now; the caller holds ``model.exclusive()``.

    Parameters
    ----------
    model
        The model.
    facts
        Facts with targets. They are run in padded batches, which changes no result but for rounding.
    at_the_end
        Called with each fact and what the model says at the end of its prompt, logits ``(vocabulary,)``.

    Raises
    ------
    FactError, PromptTooLong
        If a target has no token, or does not fit into the model behind its prompt.
    """
    options = [model.encode_option(fact.prompt, target_of(fact), role="target") for fact in facts]
    answers: list[Said] = []
    for start in range(0, len(options), _ROWS):
        interruption_point()
        part = options[start : start + _ROWS]
        ids, mask = pad([[*prompt, *target[:-1]] for prompt, target in part], model.device)
        places = [(i, len(prompt) - 1 + j) for i, (prompt, target) in enumerate(part) for j in range(len(target))]
        row, position = torch.tensor(places, device=model.device).T

        def read(hidden: Tensor, row: Tensor = row, position: Tensor = position) -> Tensor:
            return hidden[row.to(hidden.device), position.to(hidden.device)][None]

        with interruptible(model.blocks), on_input(model.head, read):
            logits = model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0]
        tokens = torch.tensor([token for _, target in part for token in target], device=logits.device)
        of = torch.tensor([i for i, (_, target) in enumerate(part) for _ in target], device=logits.device)
        answers += answers_of(logits, tokens, of, range(len(part)))
        if at_the_end is not None:
            for i, fact in enumerate(facts[start : start + _ROWS]):
                at_the_end(fact, logits[int((of == i).nonzero()[0])])
    return answers


def leads_each(model: Model, facts: Sequence[Fact]) -> list[bool]:
    """Return of each fact whether the model says its target; one that it cannot read is simply not said."""
    try:
        return [answer.leads for answer in say(model, facts)]
    except FactError:
        if len(facts) == 1:
            return [False]
        middle = len(facts) // 2
        return leads_each(model, facts[:middle]) + leads_each(model, facts[middle:])


def say_with(model: Model, facts: Sequence[Fact], edit: WeightEdit) -> list[Said]:
    """Return what the model would say of the targets with an edit on its weights, which are not written.

    Parameters as `say`. Where the weights cannot hold the edit, every probability is NaN; applying it is an error.
    """
    try:
        with model.as_edited(edit):
            return say(model, facts)
    except NumericalError:
        return [Said(math.nan, False)] * len(facts)


def answers_of(logits: Tensor, tokens: Tensor, of: Tensor, facts: Sequence[int]) -> list[Said]:
    """Return what logits say of targets.

    Parameters
    ----------
    logits
        ``(targets, vocabulary)``: one row for each token of each target.
    tokens, of
        The token that each row should give, and the fact that it belongs to, ``(targets,)``.
    facts
        The facts that are asked about.
    """
    wide = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
    finite = torch.isfinite(wide).all(-1)
    logs = wide.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
    best = (wide.argmax(-1) == tokens) & finite
    of, logs, best = of.cpu(), torch.where(finite, logs, math.nan).cpu().double(), best.cpu()
    return [Said(math.exp(float(logs[of == fact].sum())), bool(best[of == fact].all())) for fact in facts]


# In files ------------------------------------------------------------------------------------------------------------

_SHARE = number_within(0, 1.001)
_FIELDS = record(
    {
        "before": _SHARE,
        "with_value": optional(_SHARE),
        "after": number_within(0, 1.001, unknown=True),
        "value_leads": optional(flag),
        "leads": flag,
        "advice": text,
    }
)


def took_to_json(took: Took) -> dict[str, Any]:
    """Return what JSON can say; NaN becomes null."""
    return asdict(took) | {"after": None if math.isnan(took.after) else took.after}


def _read(value: Any) -> Took:
    took = Took(**_FIELDS(value))
    if (took.with_value is None) != (took.value_leads is None):
        raise ValueError("of v* there is a probability, or whether it leads, and not both")
    if took.leads and math.isnan(took.after):
        raise ValueError("a target leads whose probability is not known")
    return took


read_took: Check = _read
"""What `took_to_json` has given, or an error."""
