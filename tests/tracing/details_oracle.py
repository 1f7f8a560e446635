"""What a cell knows, computed in the plainest way: norms written out family by family, nothing probed."""

from __future__ import annotations

import torch
from torch import nn

import factlens as fl

#: Families whose norms multiply by one plus their weight.
ONE_PLUS = {"gemma", "gemma2", "gemma3_text", "nemotron"}
#: Families that normalise a module's output before they add it, and what they call these norms.
POST = {
    "exaone4": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "gemma2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "gemma3_text": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "glm4": ("post_self_attn_layernorm", "post_mlp_layernorm"),
    "olmo2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "olmo3": ("post_attention_layernorm", "post_feedforward_layernorm"),
}
#: Families that multiply a module's output before they add it.
FACTOR = {"granite": 0.5}


@torch.no_grad()
def shaken(model: fl.Model, seed: int = 3) -> fl.Model:
    """Give the biases and the norms' weights values of their own: as they are made, most are zeros or ones."""
    random = torch.Generator().manual_seed(seed)
    for parameter in model.model.parameters():
        if parameter.ndim == 1:
            parameter += 0.3 * torch.randn(len(parameter), generator=random).to(parameter.dtype)
    return model


def norm_share(kind: str, norm: nn.Module, state: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """What a norm makes of a part of its input, its scale being that of the whole."""
    eps = next((getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name)), 1e-5)
    weight = getattr(norm, "weight", torch.ones(1))
    if kind in ONE_PLUS:
        weight = 1 + weight
    if "RMS" in type(norm).__name__:
        return weight * part / (state.square().mean() + eps).sqrt()
    return weight * (part - part.mean()) / (state.var(unbiased=False) + eps).sqrt()


@torch.no_grad()
def share(
    model: fl.Model,
    kind: str,
    site: str,
    layer: int,
    whole: torch.Tensor,
    last: torch.Tensor,
    part: torch.Tensor,
    answer: int,
) -> float:
    """What a part of a module's output brings to the answer's logit.

    `whole` is the module's clean output, `last` the clean state after all layers.
    """
    if kind in POST:
        norm = model.blocks[layer].get_submodule(POST[kind][site == "mlp"])
        part = norm_share(kind, norm, whole, part)
    part = FACTOR.get(kind, 1.0) * part
    final = model.model.get_submodule(model.family.norm)
    return float(model.head.weight[answer] @ norm_share(kind, final, last, part))


@torch.no_grad()
def linear(module: nn.Module, given: torch.Tensor, keep: slice) -> torch.Tensor:
    """What some inputs of a linear module bring to its output, without the bias."""
    masked = torch.zeros_like(given)
    masked[keep] = given[keep]
    return module(masked) - module(torch.zeros_like(given))
