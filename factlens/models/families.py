"""Where each architecture keeps its parts: one entry per family.

An entry names modules as they are called inside the Hugging Face model. `wrap` and `load` look the
entry up by ``config.model_type`` and then check it by running the model, so an entry that no longer
fits fails at once and by name. To use an architecture that is not here, build a `Family` by hand and
pass it: ``factlens.wrap(model, tokenizer, family=Family(...))``; ``print(model)`` shows the names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


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
    **dict.fromkeys(("gpt_oss", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"), _EXPERTS),
}
