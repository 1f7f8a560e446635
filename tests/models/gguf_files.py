"""Small GGUF files, written by the gguf package from a small model as llama.cpp's converter would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

import factlens as fl
from tests.support import small_model, tokenizer

SETTINGS: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "tie_word_embeddings": False}
_PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def original() -> fl.Model:
    """The model that is written into the files."""
    return small_model("llama", **SETTINGS)


def write(
    path: Path,
    *,
    architecture: str = "llama",
    quantised: bool = False,
    without: tuple[str, ...] = (),
    fields: dict[str, Any] | None = None,
    rows: int | None = None,
) -> Path:
    """Write the original; `without` some fields and tensors, with some other `fields`, or fewer `rows` of embedding."""
    model, tok = original().model, tokenizer()
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    tokens = tok.convert_ids_to_tokens(range(len(tok)))
    merges = [" ".join(pair) for pair in _merges(tok)]
    said: dict[str, Any] = {
        f"{architecture}.context_length": config.max_position_embeddings,
        f"{architecture}.embedding_length": config.hidden_size,
        f"{architecture}.feed_forward_length": config.intermediate_size,
        f"{architecture}.block_count": config.num_hidden_layers,
        f"{architecture}.attention.head_count": config.num_attention_heads,
        f"{architecture}.attention.head_count_kv": config.num_key_value_heads,
        f"{architecture}.rope.dimension_count": config.hidden_size // config.num_attention_heads,
        f"{architecture}.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        f"{architecture}.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.token_type": [3] + [1] * (len(tokens) - 1),
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        **(fields or {}),
    }
    for name, value in said.items():
        if name not in without:
            _add(writer, name, value)
    for name, tensor in model.state_dict().items():
        where, values = _named(name, config), tensor.detach().numpy()
        if where is None or where in without:
            continue
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        if where == "token_embd.weight" and rows is not None:
            values = values[:rows]
        kind = gguf.GGMLQuantizationType.Q8_0
        if quantised and values.ndim == 2:
            writer.add_tensor(where, gguf.quants.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)
        else:
            writer.add_tensor(where, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _merges(tok: Any) -> list[tuple[str, str]]:
    import json

    merges = json.loads(tok.backend_tokenizer.to_str())["model"]["merges"]
    return [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in merges]


def _named(name: str, config: Any) -> str | None:
    ends = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    module, _, what = name.rpartition(".")
    if module in ends:
        return f"{ends[module]}.{what}"
    layer, _, part = module.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{_PARTS[part]}.{what}" if part in _PARTS else None


def _add(writer: gguf.GGUFWriter, name: str, value: Any) -> None:
    match value:
        case str():
            writer.add_string(name, value)
        case bool():
            writer.add_bool(name, value)
        case int():
            writer.add_uint32(name, value)
        case float():
            writer.add_float32(name, value)
        case list():
            writer.add_array(name, value)


def error_between(one: fl.Model, other: fl.Model) -> float:
    """By how much the logits of two models differ at most."""
    ids = torch.arange(12)[None]
    with torch.no_grad():
        return float((one.model(ids).logits - other.model(ids).logits).abs().max())
