"""Text as evidence: what a model writes, what it predicts elsewhere, how well it reads ordinary text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteriaList

from factlens.models import Model
from factlens.models.interruptible import interruptible
from factlens.models.interrupts import interruption_point
from factlens.models.model import check_finite
from factlens.models.padding import pad
from factlens.progress import Share

BATCH = 64
LENGTH = 100
"""Tokens of a generated text, its beginning included, as in the published evaluation."""
TOP = 5
"""Each token is drawn among this many most probable ones, as in the published evaluation."""


@torch.no_grad()
def generate(
    model: Model,
    prompts: Sequence[str],
    *,
    seed: int = 0,
    length: int = LENGTH,
    greedy: bool = False,
    progress: Share | None = None,
) -> list[str]:
    """Let the model go on with each of `prompts`, sampling among its five most probable tokens.

    The seed is the call's own (the published evaluation has none), so the same weights write the same text, and the
    global random state is neither used nor changed. Texts do not stop at an end-of-text token.

    Parameters
    ----------
    model
        The model.
    prompts
        Beginnings of texts.
    seed
        Of the sampling.
    length
        Tokens of the longest text, its beginning included; less where the model reads less. What is as long already
        stays as it is.
    greedy
        Take the most probable token every time, instead of sampling.
    progress
        Called with the share that is done.

    Returns
    -------
    list of str
        The texts, beginnings included.
    """
    encoded = [_ids(model, prompt) for prompt in prompts]
    limit = min(length, model.max_tokens or length)
    short = [i for i, row in enumerate(encoded) if len(row) < limit]
    if not short:
        return list(prompts)
    rows = [encoded[i] for i in short]
    longest = max(map(len, rows))
    # Padding on the left, so that every row ends where the writing begins.
    ids = torch.zeros((len(rows), longest), dtype=torch.long, device=model.device)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = torch.tensor(row, device=model.device)
        mask[i, longest - len(row) :] = 1
    drawing = {"do_sample": False} if greedy else {"do_sample": True, "top_k": TOP, "top_p": 1.0, "temperature": 1.0}
    config = GenerationConfig(**drawing, max_new_tokens=limit - longest, pad_token_id=0)
    devices = [model.device] if model.device.type == "cuda" else []

    def after_a_token(written: Tensor, scores: Tensor, **_: object) -> Tensor:
        interruption_point()
        if progress is not None:
            progress((written.shape[1] - longest) / (limit - longest))
        return torch.zeros(len(written), dtype=torch.bool, device=written.device)

    with model.exclusive(), torch.random.fork_rng(devices), interruptible(model.blocks):
        torch.manual_seed(seed)
        written = model.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([after_a_token]),
        )
    texts = list(prompts)
    for i, row, text in zip(short, rows, written, strict=True):
        texts[i] = str(model.tokenizer.decode(text[longest - len(row) :].tolist(), skip_special_tokens=True))
    return texts


@torch.no_grad()
def next_logs(model: Model, prompts: Sequence[str]) -> Tensor:
    """Return the log-probabilities of the token after each prompt, ``(prompts, vocabulary)``, float32 on the CPU."""
    rows = [model.ids_of(prompt, what="An unrelated prompt", advice="Shorten it.") for prompt in prompts]
    logs = []
    with model.exclusive():
        for start in range(0, len(rows), BATCH):
            interruption_point()
            part = rows[start : start + BATCH]
            ids, mask = pad(part, model.device)
            with interruptible(model.blocks):
                logits = model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            last = torch.stack([logits[i, len(row) - 1] for i, row in enumerate(part)])
            logs.append(check_finite(last.float(), model.name).log_softmax(-1).cpu())
    return torch.cat(logs)


def kl_divergence(before: Tensor, after: Tensor) -> float:
    """Return the mean over prompts of ``KL(before ‖ after) = Σ p_before (log p_before - log p_after)``, in nats.

    The drift of whole predictions, where success sees only two objects (Hoelscher-Obermaier et al. 2023, for
    neighbours; here it is taken over prompts that the edit has nothing to do with).
    """
    return float((before.exp() * (before - after)).sum(-1).mean())


@torch.no_grad()
def perplexity(model: Model, texts: Sequence[str]) -> float:
    """Return ``exp`` of the mean ``-log p`` over all tokens of `texts` but the first of each, given those before it.

    That is the perplexity of Jelinek et al. (1977), over tokens and not over words: numbers of models with different
    tokenizers cannot be compared. Texts longer than the model reads are cut. NaN where no text has two tokens.
    """
    rows = [_ids(model, text)[: model.max_tokens] for text in texts]
    rows = [row for row in rows if len(row) > 1]
    total, count = 0.0, 0
    with model.exclusive():
        for start in range(0, len(rows), BATCH):
            interruption_point()
            part = rows[start : start + BATCH]
            ids, mask = pad(part, model.device)
            with interruptible(model.blocks):
                logits = model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            logs = check_finite(logits.float(), model.name).log_softmax(-1)
            token_logs = logs[:, :-1].gather(-1, ids[:, 1:, None])[..., 0].double()
            read = mask[:, 1:].bool()
            total -= float(token_logs[read].sum())
            count += int(read.sum())
    return math.exp(total / count) if count else math.nan


def _ids(model: Model, text: str) -> list[int]:
    """Tokenise a text that may be longer than the model reads: what is too much is left out, or left as it is."""
    ids = list(model.tokenizer(text)["input_ids"])
    model.check_ids(ids)
    return ids
