"""The prompts of some edits as one padded batch: each fact behind its contexts, then what should stay as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from factlens.facts import Fact
from factlens.models import Model
from factlens.models.encoding import Encoding
from factlens.models.padding import pad
from factlens.slots import SLOT
from factlens.spelling import Wording


@dataclass(frozen=True)
class Context:
    """Text in front of a prompt.

    Attributes
    ----------
    text
        The text; empty for the bare prompt.
    weight
        Its share in the mean key. The mean likelihood counts all contexts alike, as the published code does.
    """

    text: str
    weight: float


BARE = (Context("", 1.0),)
"""The bare prompt alone."""


@dataclass(frozen=True)
class Prompts:
    """Rows of tokens, and what is read from them.

    Attributes
    ----------
    ids, mask
        Token ids and attention mask, ``(rows, longest)``, padded on the right. Rows that state a fact are followed by
        its target but for the last token (teacher forcing).
    lookup
        Position of the subject's last token in each row, ``(rows,)``.
    lengths
        Number of tokens of each row, ``(rows,)``.
    fact
        Which fact each row belongs to, ``(rows,)``.
    weight
        Each row's share in its fact's mean key, ``(rows,)``; 0 for rows that keep something as it was.
    targets
        ``(targets, 3)``: row, position, and the token that the logits there should give.
    preserved
        ``(prompts, 2)``: row and position where the prediction should stay.
    facts
        Number of facts.
    """

    ids: Tensor
    mask: Tensor
    lookup: Tensor
    lengths: Tensor
    fact: Tensor
    weight: Tensor
    targets: Tensor
    preserved: Tensor
    facts: int

    @property
    def bare(self) -> Tensor:
        """The row of each fact's bare prompt, ``(facts,)``: its first."""
        first = torch.full((self.facts,), len(self.ids), device=self.fact.device)
        rows = torch.arange(len(self.ids), device=self.fact.device)
        return first.scatter_reduce(0, self.fact, rows, "amin")

    def mean(self, rows: Tensor) -> Tensor:
        """Average some value of every row over each fact's contexts: ``(rows, ...)`` to ``(facts, ...)``."""
        total = rows.new_zeros(self.facts, rows.shape[1])
        return total.index_add(0, self.fact.to(rows.device), rows * self.weight.to(rows)[:, None])


def make_prompts(
    model: Model,
    facts: Sequence[Fact],
    contexts: Sequence[Context],
    keep: Sequence[str] = (),
    written: Sequence[Sequence[str]] = (),
) -> Prompts:
    """Tokenise facts behind each context, with their targets, and the prompts whose predictions should stay.

    Parameters
    ----------
    model
        The model.
    facts
        Facts with targets.
    contexts
        What to put in front; the first one is the bare prompt's.
    keep
        Templates such as ``"{} is a"``. The prediction is kept at the subject's last token, as in the published code.
    written
        For each fact, texts that follow its subject. The prediction is kept from the subject's last token on.

    Raises
    ------
    PromptTooLong
        If a prompt does not fit into the model.
    """
    rows: list[list[int]] = []
    lookup: list[int] = []
    fact_of: list[int] = []
    weights: list[float] = []
    targets: list[tuple[int, int, int]] = []
    preserved: list[tuple[int, int]] = []
    for i, fact in enumerate(facts):
        for context in contexts:
            stated = fact.with_prefix(context.text)
            prompt, target = model.encode_option(stated.prompt, target_of(fact), role="target", bare=fact.prompt)
            targets += [(len(rows), len(prompt) - 1 + j, token) for j, token in enumerate(target)]
            rows.append([*prompt, *target[:-1]])
            lookup.append(model.encode(stated).last_subject)
            weights.append(context.weight)
            fact_of.append(i)
        for template in keep:
            encoding = kept_prompt(model, fact, template)
            preserved.append((len(rows), encoding.last_subject))
            rows.append(list(encoding.ids))
            lookup.append(encoding.last_subject)
            weights.append(0.0)
            fact_of.append(i)
        for text in written[i] if written else ():
            stated = Fact(fact.subject + text.rstrip(), span=(0, len(fact.subject)))
            what = "What the model itself writes about the subject, which the edit keeps as it was (keep_samples=),"
            encoding = model.encode(stated, what=what, advice="Lower keep_tokens.")
            preserved += [(len(rows), at) for at in range(encoding.last_subject, len(encoding.ids))]
            rows.append(list(encoding.ids))
            lookup.append(encoding.last_subject)
            weights.append(0.0)
            fact_of.append(i)
    ids, mask = pad(rows, model.device)

    def tensor(values: list[int]) -> Tensor:
        return torch.tensor(values, device=model.device)

    return Prompts(
        ids,
        mask,
        tensor(lookup),
        tensor([len(row) for row in rows]),
        tensor(fact_of),
        torch.tensor(weights, dtype=torch.float64 if model.device.type != "mps" else torch.float32).to(model.device),
        torch.tensor(targets, device=model.device),
        torch.tensor(preserved, device=model.device).reshape(-1, 2).long(),
        len(facts),
    )


def target_of(fact: Fact) -> Wording:
    """Return the new object of a fact that has one."""
    assert fact.target is not None  # facts without are refused before
    return fact.target


def kept_prompt(model: Model, fact: Fact, template: str) -> Encoding:
    """Tokenise a prompt about a fact's subject whose prediction should stay as it was.

    Raises
    ------
    PromptTooLong
        If it does not fit into the model.
    FactError
        If the template has no place for the subject.
    """
    what = f"The prompt {template!r:.80} with the subject in it, which the edit keeps as it was (keep=),"
    slot = SLOT if SLOT in template else None
    return model.encode(fact.with_template(template, slot=slot), what=what, advice="Leave it out, or shorten it.")
