"""A model that says what a test wants: after each token it is told to follow up, the one that it is told."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from transformers import PreTrainedTokenizerFast

import factlens as fl
from tests.support import reading, tokenizer


def chained(follows: Mapping[int, int], tok: PreTrainedTokenizerFast | None = None, *, positions: int = 64) -> fl.Model:
    """A GPT-2 whose blocks add next to nothing, so that each token alone decides which comes next."""
    torch.manual_seed(0)
    tok = tokenizer() if tok is None else tok
    settings = {"n_layer": 2, "n_embd": 64, "n_head": 4, "n_positions": positions, "tie_word_embeddings": False}
    module = reading("gpt2", {**settings, "vocab_size": len(tok), "bos_token_id": 0, "eos_token_id": 0}).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.05)
        for norm in (module.transformer.ln_f, *(n for block in module.transformer.h for n in (block.ln_1, block.ln_2))):
            norm.weight.fill_(1)
        words = module.transformer.wte.weight
        words.normal_()
        for token, following in follows.items():
            module.lm_head.weight[following] += 0.2 * torch.nn.functional.layer_norm(words[token], (64,))
    return fl.wrap(module, tok, name="chained")


def chain(tok: PreTrainedTokenizerFast, *texts: str) -> dict[int, int]:
    """What follows what in some texts, each token of which is in one of them once."""
    rows = [tok(text, add_special_tokens=False)["input_ids"] for text in texts]
    return {token: following for row in rows for token, following in pairwise(row)}
