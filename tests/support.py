"""Small models made on the spot, for tests that need an architecture rather than knowledge; one that is busy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedTokenizerFast

import factlens as fl

TEXT = [
    "The Space Needle is in downtown Seattle, and the Eiffel Tower is in Paris.",
    "In Paris, the Eiffel Tower is near the river. Everyone in Paris knows that Paris is the capital of France.",
    "Zürich and São Paulo are cities; 東京 is the capital of Japan 🗼 and Reykjavík of Iceland.",
]

_LLAMA = {
    "hidden_size": 48,
    "intermediate_size": 112,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
_GPT2 = {"n_layer": 5, "n_embd": 48, "n_head": 4, "n_positions": 64}
# Windows of four tokens are shorter than every prompt of the tests; some families alternate short and full layers.
_SLIDING = {"sliding_window": 4, "head_dim": 12}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}

#: A small configuration per family of the map.
SHAPES: dict[str, dict[str, Any]] = {
    "arcee": _LLAMA,
    "bloom": {"hidden_size": 48, "n_layer": 5, "n_head": 4},
    "codegen": {**_GPT2, "rotary_dim": 8},
    "cohere": {**_LLAMA, "logit_scale": 1.0},
    "cohere2": {**_LLAMA, **_SLIDING, "logit_scale": 1.0},
    "ernie4_5": {**_LLAMA, "head_dim": 12},
    "exaone4": {**_LLAMA, **_SLIDING, "sliding_window_pattern": 2},
    "falcon": {"hidden_size": 48, "num_hidden_layers": 5, "num_attention_heads": 4},
    "gemma": {**_LLAMA, "head_dim": 12},
    "gemma2": {**_LLAMA, **_SLIDING, "query_pre_attn_scalar": 12},
    "gemma3_text": {**_LLAMA, **_SLIDING, "query_pre_attn_scalar": 12, "sliding_window_pattern": 2},
    "glm": {**_LLAMA, "head_dim": 12},
    "glm4": {**_LLAMA, "head_dim": 12},
    "gpt2": _GPT2,
    "gpt_neo": {
        "hidden_size": 48,
        "num_layers": 5,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 2], [["global"], 1]],
        "window_size": 4,
        "max_position_embeddings": 64,
    },
    "gpt_neox": {**_LLAMA, "rotary_pct": 0.25},
    "gpt_oss": {
        **_LLAMA,
        **_SLIDING,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "intermediate_size": 32,
        "attn_implementation": "eager",
    },
    "gptj": {**_GPT2, "rotary_dim": 8},
    "granite": {**_LLAMA, "residual_multiplier": 0.5, "logits_scaling": 0.25, "embedding_multiplier": 3.0},
    "helium": {**_LLAMA, "head_dim": 12},
    "llama": _LLAMA,
    "llama4_text": {
        **_LLAMA,
        "head_dim": 12,
        "intermediate_size": 32,
        "intermediate_size_mlp": 64,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "attention_chunk_size": 4,
    },
    "ministral": {**_LLAMA, **_SLIDING},
    "mistral": {**_LLAMA, **_SLIDING},
    "mixtral": {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    "nemotron": {**_LLAMA, "head_dim": 12},
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "olmo3": {**_LLAMA, "sliding_window": 4},
    "olmoe": {**_LLAMA, "num_experts": 4, "num_experts_per_tok": 2},
    "opt": {
        "hidden_size": 48,
        "ffn_dim": 112,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 24,
        "do_layer_norm_before": False,
        "max_position_embeddings": 64,
    },
    "phi": _LLAMA,
    "phi3": {**_LLAMA, "sliding_window": 4},
    "qwen2": {**_LLAMA, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2},
    "qwen2_moe": {**_LLAMA, **_EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 32},
    "qwen3": {**_LLAMA, "head_dim": 16},
    "qwen3_moe": {**_LLAMA, **_EXPERTS, "num_experts": 4, "head_dim": 12},
    "seed_oss": {**_LLAMA, "head_dim": 12},
    "smollm3": {**_LLAMA, "no_rope_layer_interval": 2},
    "stablelm": {**_LLAMA, "partial_rotary_factor": 0.5},
    "starcoder2": {**_LLAMA, "sliding_window": 4},
}


#: Models that also see, and which model of text they have inside.
SEEING = {"gemma3": "gemma3_text", "llava": "llama", "mistral3": "mistral"}
_EYE = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SHAPES |= {kind: SHAPES[text] for kind, text in SEEING.items()}

#: How much to scale up the random weights, so that effects are far from zero.
SCALES = {"falcon": 5, "opt": 10}


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


def reading(kind: str, settings: dict[str, Any]) -> Any:
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings))


def seeing(kind: str, settings: dict[str, Any]) -> Any:
    """The text part as `settings` say, beside an eye of the kind's own, as small as can be."""
    eye = AutoConfig.for_model(kind).vision_config.model_type
    text = {**settings, "model_type": SEEING[kind]}
    config = AutoConfig.for_model(
        kind, text_config=text, vision_config={**_EYE, "model_type": eye, "image_size": 28, "patch_size": 14}
    )
    return AutoModelForImageTextToText.from_config(config)


def small_model(
    kind: str, *, bos: bool = False, dtype: torch.dtype = torch.float32, seed: int = 0, **config: object
) -> fl.Model:
    """A random model of an architecture, its weights scaled up so that effects are far from zero."""
    torch.manual_seed(seed)
    tok = tokenizer(bos)
    settings = {**SHAPES[kind], "vocab_size": len(tok), "bos_token_id": 0, "eos_token_id": 0, **config}
    module = (seeing(kind, settings) if kind in SEEING else reading(kind, settings)).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(SCALES.get(kind, 3))
    return fl.wrap(module.to(dtype), tok, name=f"small {kind}")


def lent(model: fl.Model) -> Iterator[fl.Model]:
    """Lend a shared model to a test, and take it back unedited: a test that leaves it edited has failed."""
    yield model
    left = model.edits
    while model.edits:
        model.undo()
    assert left == (), "the test left its edits on the shared model"


@contextmanager
def other_thread_has(model: fl.Model, *, unedited: bool = False) -> Iterator[threading.Thread]:
    """Have another thread hold the model for the block, as a long computation would; the block gets this thread."""
    has, go = threading.Event(), threading.Event()

    def hold() -> None:
        with model.unedited() if unedited else model.exclusive():
            has.set()
            go.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert has.wait(30)
        yield holder
    finally:
        go.set()
        holder.join(30)
