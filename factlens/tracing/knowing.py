"""Whether the model knows the fact that is traced, and what it says: read off the clean run where that has it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from factlens.errors import FactError
from factlens.models.continuing import whole_texts
from factlens.models.model import check_finite

if TYPE_CHECKING:
    from factlens.facts import Fact
    from factlens.models import Model
    from factlens.models.encoding import Encoding
    from factlens.tracing.answers import Measurement
    from factlens.tracing.runs import Runs


class Saying(NamedTuple):
    """What a trace keeps of it; see `factlens.tracing.Trace`."""

    known: bool | None
    says: str | None
    says_probability: float | None


def logits_of(model: Model, prompt: Sequence[int], wished: Sequence[int]) -> Tensor:
    """Return the logits where each token of an object would stand behind a prompt, ``(tokens, vocabulary)``, float32.

    As long as every token is right, greedy decoding reads just these tokens: one pass tells whether it gives them.
    """
    ids = torch.tensor([[*prompt, *wished[:-1]]], device=model.device)
    logits = model.model(input_ids=ids, use_cache=False, logits_to_keep=len(wished)).logits[0]
    return check_finite(logits.float(), model.name)


@torch.no_grad()
def saying(model: Model, fact: Fact, encoding: Encoding, measurement: Measurement, runs: Runs) -> Saying:
    """Return what the model says behind the prompt, and whether that is the fact's object.

    The rule is that of `factlens.trace_many`: greedy decoding gives the object, all its tokens. The clean run tells
    that where it has read these tokens, as where the object is what is measured; else another pass of the one prompt
    does.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    fact, encoding
        What is traced.
    measurement, runs
        What is measured of it, and its clean run.
    """
    says, share, best = None, None, list[int]()
    if measurement.reads_the_end:
        logits = runs.clean.logits[0]
        best = logits.argmax(-1).tolist()
        says = whole_texts(model, [encoding.ids], [best[:1]])[0] or model.text_of(best[:1])
        share = float(logits[0].softmax(-1)[best[0]])
    return Saying(_gives_object(model, fact, measurement, best), says, share)


def _gives_object(model: Model, fact: Fact, measurement: Measurement, best: list[int]) -> bool | None:
    """Return whether greedy decoding gives the object; `best` are the likeliest tokens where the answer is read."""
    if fact.object is None:
        return None
    # An object that cannot be read behind this prompt is no reason not to trace it.
    with suppress(FactError):
        prompt, wished = model.encode_option(fact.prompt, fact.object, role="object")
        if best and best[0] != wished[0]:
            return False
        read = len(wished) <= len(best) and measurement.answer[: len(wished) - 1] == tuple(wished[:-1])
        if not (best and read):
            best = logits_of(model, prompt, wished).argmax(-1).tolist()
        return best[: len(wished)] == list(wished)
    return None
