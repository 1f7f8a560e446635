"""Probabilities of whole objects after prompts, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from factlens.models import Model
from factlens.models.model import check_finite, pad

BATCH = 64


class Reading(NamedTuple):
    """What the model says after one prompt.

    Attributes
    ----------
    probabilities
        One per option: the geometric mean of its tokens' probabilities, ``exp(-nll)``, as in the published
        evaluation (for a single token, its probability).
    top
        The most probable next token.
    leads
        One per option: whether greedy decoding says it.
    token_accuracy
        One per option: the share of its tokens that are the most probable ones, each after the right ones before it.
    """

    probabilities: tuple[float, ...]
    top: str
    leads: tuple[bool, ...]
    token_accuracy: tuple[float, ...]


@torch.no_grad()
def read(model: Model, prompts: Sequence[str], options: Sequence[Sequence[str]]) -> list[Reading]:
    """Score `options` after each of `prompts`, teacher-forced.

    Parameters
    ----------
    model
        The model.
    prompts
        Texts up to the object.
    options
        For each prompt, the objects to score.
    """
    jobs = [(i, *model.encode_option(prompt, option)) for i, prompt in enumerate(prompts) for option in options[i]]
    scores: list[list[tuple[float, float]]] = [[] for _ in prompts]
    tops = [""] * len(prompts)
    with model.exclusive():
        for start in range(0, len(jobs), BATCH):
            part = jobs[start : start + BATCH]
            ids, mask = pad([[*prompt, *option[:-1]] for _, prompt, option in part], model.device)
            logits = model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            for row, (i, prompt, option) in enumerate(part):
                at = logits[row, len(prompt) - 1 : len(prompt) - 1 + len(option)].float()
                wanted = torch.tensor(option, device=at.device)
                logs = check_finite(at, model.name).log_softmax(-1)
                probability = float(logs.gather(1, wanted[:, None]).mean().exp())
                scores[i].append((probability, float((at.argmax(-1) == wanted).float().mean())))
                tops[i] = tops[i] or model.token(int(at[0].argmax()))
    return [
        Reading(tuple(p for p, _ in found), top, tuple(a == 1 for _, a in found), tuple(a for _, a in found))
        for found, top in zip(scores, tops, strict=True)
    ]
