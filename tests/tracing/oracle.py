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
        rows = hidden.view(len(noise) + 1, len(encoding.ids), -1)  # OPT flattens batch and tokens around its MLP
        rows[1:, token] = rows[0, token]
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
    noise = np.random.RandomState(seed).randn(samples, stop - start, model.embedding_width) * level
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


# The same protocol, for everything else that can be traced: clean values recorded once, then one full pass per cell
# over the corrupted rows.


def module_of(model: fl.Model, site: str, layer: int) -> torch.nn.Module:
    """The module a site belongs to; of ``"head"`` it is the input that counts."""
    return {
        "state": lambda: model.blocks[layer],
        "mlp": lambda: model.mlp(layer),
        "attn": lambda: model.attention(layer),
        "head": lambda: model.attention_out(layer),
    }[site]()


@torch.no_grad()
def run(model: fl.Model, embedded: torch.Tensor, patches: list, positions: int) -> tuple[torch.Tensor, dict]:
    """One full forward pass. `patches` are ``(site, layer, position, part of the vector, value)``.

    Returns the logits at the last `positions`, and each site's outputs as ``{(site, layer): (rows, tokens, d)}``.
    """
    rows, tokens = embedded.shape[:2]
    seen = {}
    handles = []

    def watch(site, layer):
        def change(output):
            hidden = (output[0] if isinstance(output, tuple) else output).clone()
            grid = hidden.view(rows, tokens, -1)
            for where, at_layer, position, part, value in patches:
                if (where, at_layer) == (site, layer):
                    grid[:, position, part] = value
            seen[site, layer] = grid.clone()
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        module = module_of(model, site, layer)
        if site == "head":
            return module.register_forward_pre_hook(lambda _m, args: (change(args[0]), *args[1:]))
        return module.register_forward_hook(lambda _m, _a, output: change(output))

    # Heads before the rest: where a family's attention is its output projection, both are the same module.
    for site in ("head", "state", "mlp", "attn"):
        handles += [watch(site, layer) for layer in range(model.n_layers)]
    try:
        logits = model.model(inputs_embeds=embedded).logits[:, -positions:].float()
    finally:
        for handle in handles:
            handle.remove()
    return logits, seen


def patches_of(
    model: fl.Model, kind: str, layer: int, window: range, clean: dict, corrupted: dict, token: int, at: int
):
    """What is put in for one cell."""
    everything = slice(None)
    if kind in ("mlp", "attn"):
        return [(kind, i, at, everything, clean[kind, i][0, token]) for i in window]
    if kind.startswith("head."):
        width = clean["head", layer].shape[-1] // model.n_heads
        part = slice(int(kind[5:]) * width, (int(kind[5:]) + 1) * width)
        return [("head", layer, at, part, clean["head", layer][0, token, part])]
    patches = [("state", layer, at, everything, clean["state", layer][0, token])]
    if kind.startswith("severed_"):
        site = kind.removeprefix("severed_")
        # At all layers, as in the paper; up to the restored one nothing is changed by it.
        patches += [(site, i, at, everything, corrupted[site, i][:, at]) for i in range(model.n_layers)]
    return patches


def grids(
    model: fl.Model,
    clean_ids: list[int],
    embedded: torch.Tensor,
    at: list[int],
    kinds: list[str],
    windows: list[range],
    score,
    positions: int = 1,
    tokens: int | None = None,
) -> dict:
    """Every grid as ``(token, layer, sample)``, high and low; `score` takes ``(rows, positions, vocabulary)``."""
    with torch.no_grad():
        clean_embedded = model.embedding(torch.tensor([clean_ids]))
    clean_logits, clean = run(model, clean_embedded, [], positions)
    low, corrupted = run(model, embedded, [], positions)
    found: dict = {"high": float(score(clean_logits)[0]), "low": score(low).numpy()}
    tokens = len(clean_ids) if tokens is None else tokens
    for kind in kinds:
        found[kind] = np.zeros((tokens, model.n_layers, len(embedded)))
        for token in range(tokens):
            for layer in range(model.n_layers):
                patches = patches_of(model, kind, layer, windows[layer], clean, corrupted, token, at[token])
                found[kind][token, layer] = score(run(model, embedded, patches, positions)[0]).numpy()
    return found
