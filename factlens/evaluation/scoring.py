"""Probabilities of whole objects after prompts, in batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from factlens.arguments import function, items, optional, some_texts
from factlens.errors import ArgumentError
from factlens.evaluation.metrics import object_probability, token_accuracy
from factlens.models import Model
from factlens.models.continuing import whole_texts
from factlens.models.given import a_model
from factlens.models.interruptible import interruptible
from factlens.models.interrupts import interruption_point
from factlens.models.model import check_finite
from factlens.models.padding import pad
from factlens.progress import Share
from factlens.spelling import Wording, a_wording

BATCH = 64


class Reading(NamedTuple):
    """What the model says after one prompt.

    Attributes
    ----------
    probabilities
        One per option: the geometric mean of its tokens' probabilities, ``exp(-nll)``, as in the published
        evaluation (for a single token, its probability).
    top
        The most probable next token; one that ends inside a character, with what the model says next up to its end.
    leads
        One per option: whether greedy decoding says it.
    token_accuracy
        One per option: the share of its tokens that are the most probable ones, each after the right ones before it.
    written
        What the model writes on its own, up to its end (`factlens.evaluation.written`); None if it was not asked.
    """

    probabilities: tuple[float, ...]
    top: str
    leads: tuple[bool, ...]
    token_accuracy: tuple[float, ...]
    written: str | None = None


@torch.no_grad()
def read(
    model: Model,
    prompts: Sequence[str],
    options: Sequence[Sequence[Wording]],
    *,
    progress: Share | None = None,
) -> list[Reading]:
    """Score `options` after each of `prompts`, teacher-forced.

    Parameters
    ----------
    model
        The model.
    prompts
        Texts up to the object.
    options
        For each prompt, the objects to score.
    progress
        Called with the share that is done.

    Raises
    ------
    FactError
        If there are not as many lists of objects as prompts, or one of the texts is blank or too long.
    """
    model, prompts = a_model("model", model), some_texts("prompts", prompts)
    progress = optional(function, "progress", progress)
    each = items("options", options, "for each prompt, the objects to score", "[['Seattle', 'Paris']]")
    options = [
        [
            a_wording(f"options[{i}][{j}]", option)
            for j, option in enumerate(items(f"options[{i}]", objects, "objects in a list", "['Seattle', 'Paris']"))
        ]
        for i, objects in enumerate(each)
    ]
    if len(options) != len(prompts):
        raise ArgumentError(
            f"options has {len(options)} lists of objects for {len(prompts)} prompts: give one for each."
        )
    jobs = [
        (i, *model.encode_option(prompt, option, role="object"))
        for i, prompt in enumerate(prompts)
        for option in options[i]
    ]
    # Objects of one token after one prompt are read from the same row, which is run once.
    rows = list(dict.fromkeys((*prompt, *option[:-1]) for _, prompt, option in jobs))
    rows.sort(key=len)
    asked: dict[tuple[int, ...], list[int]] = {row: [] for row in rows}
    for job, (_, prompt, option) in enumerate(jobs):
        asked[(*prompt, *option[:-1])].append(job)
    scores: list[tuple[float, float]] = [(math.nan, math.nan)] * len(jobs)
    tops: list[list[int]] = [[] for _ in prompts]
    encoded: list[tuple[int, ...]] = [()] * len(prompts)
    with model.exclusive():
        for start in range(0, len(rows), BATCH):
            interruption_point()
            if progress is not None:
                progress(start / len(rows))
            part = rows[start : start + BATCH]
            ids, mask = pad([list(row) for row in part], model.device)
            with interruptible(model.blocks):
                logits = model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            for number, row in enumerate(part):
                for job in asked[row]:
                    i, prompt, option = jobs[job]
                    at = logits[number, len(prompt) - 1 : len(row)].float()
                    logs = check_finite(at, model.name).log_softmax(-1)
                    token_logs = logs.gather(1, torch.tensor(option, device=at.device)[:, None])[:, 0]
                    best = at.argmax(-1).tolist()
                    scores[job] = object_probability(token_logs.tolist()), token_accuracy(best, option)
                    tops[i], encoded[i] = best[:1], prompt
        whole = whole_texts(model, encoded, tops)
    by_prompt: list[list[tuple[float, float]]] = [[] for _ in prompts]
    for (i, *_), score in zip(jobs, scores, strict=True):
        by_prompt[i].append(score)
    leading = [text or model.text_of(top) for text, top in zip(whole, tops, strict=True)]
    return [
        Reading(tuple(p for p, _ in pairs), top, tuple(a == 1 for _, a in pairs), tuple(a for _, a in pairs))
        for pairs, top in zip(by_prompt, leading, strict=True)
    ]
