"""Where each architecture keeps its parts: one entry per family.

An entry names modules as they are called inside the Hugging Face model. `wrap` and `load` look the
entry up by ``config.model_type`` and then check it by running the model, so an entry that no longer
fits fails at once and by name. To use an architecture that is not here, build a `Family` by hand and
pass it: ``factlens.wrap(model, tokenizer, family=Family(...))``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """The names of the modules that tracing and editing touch.

    Parameters
    ----------
    blocks
        The list of transformer blocks, from the model: ``"transformer.h"``.
    attention, mlp
        The attention and the MLP, from a block; each output is what the block adds to the residual.
    down
        The MLP's down projection, from a block: the matrix that maps keys to values.
    embedding
        The token embedding, from the model; its output is what tracing corrupts.
    """

    blocks: str
    attention: str
    mlp: str
    down: str
    embedding: str


_GPT2 = Family(blocks="transformer.h", attention="attn", mlp="mlp", down="mlp.c_proj", embedding="transformer.wte")
_LLAMA = Family(
    blocks="model.layers", attention="self_attn", mlp="mlp", down="mlp.down_proj", embedding="model.embed_tokens"
)

FAMILIES: dict[str, Family] = {
    "gpt2": _GPT2,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
}
