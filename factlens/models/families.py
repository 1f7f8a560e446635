"""Where each architecture keeps its parts: one entry per family.

An entry names modules as they are called inside the Hugging Face model. `wrap` and `load` look the
entry up by ``config.model_type`` and then check it by running the model, so an entry that no longer
fits fails at once and by name. To use an architecture that is not here, build a `Family` by hand and
pass it: ``factlens.wrap(model, tokenizer, family=Family(...))``; ``print(model)`` shows the names.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn

from factlens.arguments import a_text, optional


@dataclass(frozen=True)
class Family:
    """The names of the modules that tracing and editing touch.

    Parameters
    ----------
    blocks
        The list of transformer blocks, from the model: ``"transformer.h"``.
    attention, mlp
        The modules, from a block, whose outputs are what attention and MLP bring to the residual. Where the block
        normalises that output before it is added (Gemma 2, OLMo 2), the output is taken before the norm. Where a
        module adds the residual itself (BLOOM), its last linear map is named instead.
    out
        The attention's output projection, from a block: its input is the heads' outputs side by side.
    down
        The MLP's down projection, from a block: the matrix that maps keys to values. None for mixtures of
        experts, which have no such single matrix: they can be traced but not edited.
    embedding
        The token embedding, from the model; its output is what tracing corrupts.
    norm, head
        The final normalisation and the unembedding, from the model.

    Examples
    --------
    >>> Family(
    ...     blocks="model.layers",
    ...     attention="self_attn",
    ...     mlp="mlp",
    ...     out="self_attn.o_proj",
    ...     down="mlp.down_proj",
    ...     embedding="model.embed_tokens",
    ...     norm="model.norm",
    ...     head="lm_head",
    ... ).down
    'mlp.down_proj'
    """

    blocks: str
    attention: str
    mlp: str
    out: str
    down: str | None
    embedding: str
    norm: str
    head: str

    def __post_init__(self) -> None:
        for name in ("blocks", "attention", "mlp", "out", "embedding", "norm", "head"):
            a_text(name, getattr(self, name), example="'model.layers'")
        optional(a_text, "down", self.down, example="'mlp.down_proj'")


_LLAMA = Family(
    blocks="model.layers",
    attention="self_attn",
    mlp="mlp",
    out="self_attn.o_proj",
    down="mlp.down_proj",
    embedding="model.embed_tokens",
    norm="model.norm",
    head="lm_head",
)
_GPT2 = Family(
    blocks="transformer.h",
    attention="attn",
    mlp="mlp",
    out="attn.c_proj",
    down="mlp.c_proj",
    embedding="transformer.wte",
    norm="transformer.ln_f",
    head="lm_head",
)
_EXPERTS = replace(_LLAMA, down=None)

FAMILIES: dict[str, Family] = {
    "bloom": Family(
        blocks="transformer.h",
        attention="self_attention.dense",
        mlp="mlp.dense_4h_to_h",
        out="self_attention.dense",
        down="mlp.dense_4h_to_h",
        embedding="transformer.word_embeddings",
        norm="transformer.ln_f",
        head="lm_head",
    ),
    "codegen": replace(_GPT2, out="attn.out_proj", down="mlp.fc_out"),
    "falcon": Family(
        blocks="transformer.h",
        attention="self_attention",
        mlp="mlp",
        out="self_attention.dense",
        down="mlp.dense_4h_to_h",
        embedding="transformer.word_embeddings",
        norm="transformer.ln_f",
        head="lm_head",
    ),
    "gpt2": _GPT2,
    "gpt_neo": replace(_GPT2, out="attn.attention.out_proj"),
    "gpt_neox": Family(
        blocks="gpt_neox.layers",
        attention="attention",
        mlp="mlp",
        out="attention.dense",
        down="mlp.dense_4h_to_h",
        embedding="gpt_neox.embed_in",
        norm="gpt_neox.final_layer_norm",
        head="lm_head",
    ),
    "gptj": replace(_GPT2, out="attn.out_proj", down="mlp.fc_out"),
    "opt": Family(
        blocks="model.decoder.layers",
        attention="self_attn",
        mlp="fc2",
        out="self_attn.out_proj",
        down="fc2",
        embedding="model.decoder.embed_tokens",
        norm="model.decoder.final_layer_norm",
        head="lm_head",
    ),
    "phi": replace(_LLAMA, out="self_attn.dense", down="mlp.fc2", norm="model.final_layernorm"),
    "starcoder2": replace(_LLAMA, down="mlp.c_proj"),
    **dict.fromkeys(
        (
            "arcee",
            "cohere",
            "cohere2",
            "ernie4_5",
            "exaone4",
            "gemma",
            "gemma2",
            "gemma3_text",
            "glm",
            "glm4",
            "granite",
            "helium",
            "llama",
            "ministral",
            "mistral",
            "nemotron",
            "olmo",
            "olmo2",
            "olmo3",
            "phi3",
            "qwen2",
            "qwen3",
            "seed_oss",
            "smollm3",
            "stablelm",
        ),
        _LLAMA,
    ),
    "llama4_text": replace(_EXPERTS, mlp="feed_forward"),
    **dict.fromkeys(("gpt_oss", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"), _EXPERTS),
}

_LINEAR = "most of its layers carry a state from token to token, and no attention keys and values to start a sweep from"
#: What cannot be traced as it is, and why: by the type of the configuration, without "_text" at its end.
REFUSED: dict[str, str] = {
    **dict.fromkeys(("qwen3_5", "qwen3_5_moe", "qwen3_next"), _LINEAR),
    "gemma3n": "its blocks pass four streams on side by side, so that there is no single hidden state to restore",
    "gemma4": "its layers read embeddings of their own from the token ids, which a corrupted prompt does not have",
    "gpt_bigcode": "its forward pass counts the rows at its beginning, and the sweep adds some on the way",
    "mpt": "its attention takes masks of true and false only, and none that is added",
}


def family_of(model: nn.Module) -> Family | None:
    """Return where a model keeps its parts; None if it is unknown.

    A model that also sees or hears keeps its text part somewhere inside, as the very module that a model of text alone
    has for its base. It is found by what it is, under any name: the module that has the text part's configuration
    and the blocks where that one's family keeps them.

    Parameters
    ----------
    model
        A Hugging Face model.
    """
    config: Any = getattr(model, "config", None)
    kind = str(getattr(config, "model_type", None))
    if kind in FAMILIES or not hasattr(config, "get_text_config"):
        return FAMILIES.get(kind)
    text = config.get_text_config()
    family = FAMILIES.get(str(getattr(text, "model_type", None)))
    if family is None or text is config:
        return None
    base, _, blocks = family.blocks.partition(".")
    for path, part in model.named_modules():
        if path and getattr(part, "config", None) is text and has_part(part, blocks):
            moved = {
                field.name: f"{path}.{value.removeprefix(f'{base}.')}"
                for field in fields(family)
                if isinstance(value := getattr(family, field.name), str) and value.startswith(f"{base}.")
            }
            return replace(family, **moved)
    return None


def is_known(config: Any) -> bool:
    """Whether the map has the architecture of a model, or of its text part, as far as the configuration tells."""
    text = config.get_text_config()
    return any(getattr(one, "model_type", None) in FAMILIES for one in (config, text))


def refusal_of(config: Any) -> str | None:
    """Return why a model of this configuration cannot be traced, if that is known."""
    return REFUSED.get(str(getattr(config, "model_type", None)).removesuffix("_text"))


def has_part(module: nn.Module, path: str) -> bool:
    """Whether there is a module under a path."""
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True
