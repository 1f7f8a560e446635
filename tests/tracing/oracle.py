"""Causal tracing as the paper says it: one full forward pass of S + 1 rows for every cell, nothing kept."""

from __future__ import annotations

import numpy as np
import torch

import factlens as fl


@torch.no_grad()
def restored_probability(
    model: fl.Model, fact: fl.Fact, noise: np.ndarray, answer: int, token: int, modules: list[torch.nn.Module]
) -> np.ndarray:
    """Probability of `answer` in each corrupted row while `modules` give row 0's output at `token`."""
    encoding = model.encode(fact)
    start, stop = encoding.subject_range

    def corrupt(_module, _args, output):
        output = output.clone()
        output[1:, start:stop] += torch.from_numpy(noise)
        return output

    def restore(_module, _args, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[1:, token] = hidden[0, token]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handles = [model.embedding.register_forward_hook(corrupt)]
    handles += [module.register_forward_hook(restore) for module in modules]
    try:
        ids = torch.tensor([encoding.ids]).repeat(len(noise) + 1, 1)
        logits = model.model(input_ids=ids).logits
    finally:
        for handle in handles:
            handle.remove()
    return logits[1:, -1].float().softmax(-1)[:, answer].numpy()


def trace(model: fl.Model, fact: fl.Fact, *, samples: int, level: float, window: int, seed: int = 1) -> dict:
    """Everything a trace holds, in plain numpy: answer, high, low and a grid ``(token, layer, sample)`` per kind."""
    encoding = model.encode(fact)
    start, stop = encoding.subject_range
    noise = np.random.RandomState(seed).randn(samples, stop - start, model.width) * level
    with torch.no_grad():
        clean = model.model(input_ids=torch.tensor([encoding.ids])).logits[0, -1].float().softmax(-1)
    answer = int(clean.argmax())
    layers, tokens = model.n_layers, len(encoding.ids)
    grids = {kind: np.zeros((tokens, layers, samples)) for kind in ("state", "mlp", "attn")}
    for token in range(tokens):
        for layer in range(layers):
            near = range(max(0, layer - window // 2), min(layers, layer - (-window // 2)))
            modules = {
                "state": [model.blocks[layer]],
                "mlp": [model.mlp(i) for i in near],
                "attn": [model.attention(i) for i in near],
            }
            for kind, grid in grids.items():
                grid[token, layer] = restored_probability(model, fact, noise, answer, token, modules[kind])
    return {
        "answer": answer,
        "high": float(clean[answer]),
        "low": restored_probability(model, fact, noise, answer, 0, []),
        **grids,
    }
