"""Small models made on the spot, for tests that need an architecture rather than knowledge."""

from __future__ import annotations

from functools import cache

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

import factlens as fl

TEXT = [
    "The Space Needle is in downtown Seattle, and the Eiffel Tower is in Paris.",
    "In Paris, the Eiffel Tower is near the river. Everyone in Paris knows that Paris is the capital of France.",
    "Zürich and São Paulo are cities; 東京 is the capital of Japan 🗼 and Reykjavík of Iceland.",
]

SHAPES = {
    "gpt2": {"n_layer": 5, "n_embd": 48, "n_head": 4, "n_positions": 64},
    "llama": {
        "hidden_size": 48,
        "intermediate_size": 112,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
    },
}
for _like_llama in ("mistral", "qwen2", "qwen3"):
    SHAPES[_like_llama] = dict(SHAPES["llama"])


@cache
def tokenizer(bos: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer in which names take several tokens; with `bos`, one that adds a first token."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=340,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if bos:
        raw.post_processor = processors.TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def small_model(
    kind: str, *, bos: bool = False, dtype: torch.dtype = torch.float32, seed: int = 0, **config: object
) -> fl.Model:
    """A random model of an architecture, its weights scaled up so that effects are far from zero."""
    torch.manual_seed(seed)
    tok = tokenizer(bos)
    settings = {**SHAPES[kind], "vocab_size": len(tok), "bos_token_id": 0, "eos_token_id": 0, **config}
    module = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings)).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    return fl.wrap(module.to(dtype), tok, name=f"small {kind}")
