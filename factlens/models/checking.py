"""Is the family map right for this very model? Run it on a few tokens and look."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from factlens.errors import UnknownArchitecture
from factlens.models.hooks import tensor_of
from factlens.models.model import Model

TOKENS = 4


@torch.no_grad()
def check(model: Model) -> None:
    """Run `model` on four tokens and compare what its parts do with what the family map says.

    Every named module must fire once per layer and carry ``(batch, tokens, width)``; the token embedding,
    fed back as ``inputs_embeds``, must give the logits that the tokens gave; the implementation of
    attention must take an additive mask.

    Raises
    ------
    UnknownArchitecture
        Naming the first thing that is not so.
    """
    implementation = getattr(model.model.config, "_attn_implementation", None)
    if implementation not in (None, "eager", "sdpa"):
        raise UnknownArchitecture(
            f"{model.name} uses the attention implementation {implementation!r}, which takes no additive mask. "
            "Call model.set_attn_implementation('sdpa') first."
        )
    if model.n_layers == 0:
        raise UnknownArchitecture(f"{model.name} has no blocks under {model.family.blocks!r}.")
    seen: dict[str, list[Any]] = {}
    handles = []
    try:
        for layer, block in enumerate(model.blocks):
            for part in ("attention", "mlp", "down"):
                path = getattr(model.family, part)
                try:
                    module = block.get_submodule(path)
                except AttributeError:
                    raise UnknownArchitecture(
                        f"Layer {layer} of {model.name} has no {path!r}, where the family map expects its {part}."
                    ) from None
                handles.append(_record(module, seen, f"{part} of layer {layer}"))
            handles.append(_record(block, seen, f"block {layer}"))
        handles.append(_record(model.embedding, seen, "embedding"))
        ids = torch.arange(TOKENS, device=model.device)[None]
        with model.exclusive():
            logits = model.model(input_ids=ids).logits
            fired = {name: list(outputs) for name, outputs in seen.items()}
            again = model.model(inputs_embeds=tensor_of(fired["embedding"][0])).logits if "embedding" in fired else None
    finally:
        for handle in handles:
            handle.remove()
    expected = (1, TOKENS, model.width)
    for name in [*(f"{p} of layer {i}" for i in range(model.n_layers) for p in ("attention", "mlp", "down"))]:
        _one(model, fired, name, expected)
    blocks = [_one(model, fired, f"block {i}", expected) for i in range(model.n_layers)]
    _one(model, fired, "embedding", expected)
    if again is None or not torch.allclose(logits, again, atol=1e-3, rtol=1e-3, equal_nan=True):
        raise UnknownArchitecture(
            f"{model.name} gives other logits when its token embeddings are passed as inputs_embeds, so the corrupted "
            "run would not be the run that the method asks for."
        )
    model.returns_tuple = isinstance(blocks[0], tuple)


def _one(model: Model, fired: dict[str, list[Any]], name: str, expected: tuple[int, ...]) -> Any:
    outputs = fired.get(name, [])
    if len(outputs) != 1:
        raise UnknownArchitecture(f"The {name} of {model.name} ran {len(outputs)} times in one forward pass, not once.")
    shape = tuple(tensor_of(outputs[0]).shape)
    if shape != expected:
        raise UnknownArchitecture(f"The {name} of {model.name} gives shape {shape}; {expected} was expected.")
    return outputs[0]


def _record(module: nn.Module, seen: dict[str, list[Any]], name: str) -> Any:
    def hook(_module: nn.Module, _args: Any, output: Tensor | tuple[Any, ...]) -> None:
        seen.setdefault(name, []).append(output)

    return module.register_forward_hook(hook)
