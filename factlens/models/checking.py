"""Is the family map right for this very model? Run it on a few tokens and look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from factlens.errors import ArgumentError, UnknownArchitecture
from factlens.models.encoding import closing_of
from factlens.models.hooks import after, all_of, on_output, tensor_of
from factlens.models.model import Model

TOKENS = 4


def check_numbers(module: nn.Module, name: str) -> None:
    """Refuse a model of which a part is shapes only.

    Raises
    ------
    ArgumentError
        Naming a parameter.
    """
    # Parts that accelerate has put aside are on the meta device, too; its hooks bring them for each pass.
    if any(hasattr(part, "_hf_hook") for part in module.modules()):
        return
    for path, parameter in module.named_parameters():
        if parameter.is_meta:
            raise ArgumentError(
                f"{name} has no numbers: {path!r} is on the meta device, which holds shapes only. Load it with its "
                "weights: AutoModelForCausalLM.from_pretrained(name), outside of torch.device('meta')."
            )


@torch.no_grad()
def check(model: Model) -> None:
    """Run `model` on four tokens and compare what its parts do with what the family map says.

    Every named module must fire once per layer and carry ``(batch, tokens, width)``; putting a module's own
    output back must change nothing, and putting zeros there must change something; the token embedding, fed back as
    ``inputs_embeds``, must give the logits that the tokens gave; the implementation of attention must take an
    additive mask; no token may see those behind it; the tokenizer must add nothing after a text.

    Raises
    ------
    UnknownArchitecture
        Naming the first thing that is not so.
    ArgumentError
        If a part of the model has lost its numbers.
    """
    check_numbers(model.model, model.name)
    implementation = getattr(model.model.config.get_text_config(), "_attn_implementation", None)
    if implementation not in (None, "eager", "sdpa"):
        raise UnknownArchitecture(
            f"{model.name} uses the attention implementation {implementation!r}, which takes no additive mask. "
            "Call model.set_attn_implementation('sdpa') first."
        )
    _check_special_tokens(model)
    if model.n_layers == 0:
        raise UnknownArchitecture(f"{model.name} has no blocks under {model.family.blocks!r}.")
    seen: dict[str, list[Any]] = {}
    parts = [part for part in ("attention", "mlp", "out", "down") if getattr(model.family, part) is not None]
    watched: list[Any] = []
    for layer, block in enumerate(model.blocks):
        for part in parts:
            path = getattr(model.family, part)
            try:
                module = block.get_submodule(path)
            except AttributeError:
                raise UnknownArchitecture(
                    f"Layer {layer} of {model.name} has no {path!r}, where the family map expects its {part}."
                ) from None
            watched.append(_record(module, seen, f"{part} of layer {layer}"))
        watched.append(_record(block, seen, f"block {layer}"))
    watched += [_record(model.embedding, seen, "embedding"), _record(model.head, seen, "unembedding")]
    norm = _norm(model)
    if norm is not None:
        watched.append(_record(norm, seen, "final norm"))
    ids = torch.arange(TOKENS, device=model.device)[None]
    with model.exclusive(), all_of(watched):
        logits = model.model(input_ids=ids).logits
        fired = {name: list(outputs) for name, outputs in seen.items()}
        again = model.model(inputs_embeds=tensor_of(fired["embedding"][0])).logits if "embedding" in fired else None
        _check_restoring(model, ids, logits, parts)
        _check_causal(model, ids, logits)
    for name in [*(f"{p} of layer {i}" for i in range(model.n_layers) for p in parts)]:
        _one(model, fired, name, model.width)
    blocks = [_one(model, fired, f"block {i}", model.width) for i in range(model.n_layers)]
    _one(model, fired, "embedding", model.model.get_input_embeddings().weight.shape[1])
    if norm is not None:
        _one(model, fired, "final norm", model.width)
    _one(model, fired, "unembedding", logits.shape[-1])
    if again is None or not torch.allclose(logits, again, atol=1e-3, rtol=1e-3, equal_nan=True):
        raise UnknownArchitecture(
            f"{model.name} gives other logits when its token embeddings are passed as inputs_embeds, so the corrupted "
            "run would not be the run that the method asks for."
        )
    model.returns_tuple = isinstance(blocks[0], tuple)


def _check_restoring(model: Model, ids: Tensor, logits: Tensor, parts: Sequence[str]) -> None:
    """Put each part's own output back in its place: if that changes the answer, a hook does not do what it should."""
    for part in ("attention", "mlp"):
        if part not in parts:
            continue
        modules = [block.get_submodule(getattr(model.family, part)) for block in model.blocks]
        with all_of(on_output(module, lambda hidden: hidden.clone()) for module in modules):
            same = model.model(input_ids=ids).logits
        with all_of(on_output(module, torch.zeros_like) for module in modules):
            other = model.model(input_ids=ids).logits
        if not torch.allclose(logits, same, atol=1e-3, rtol=1e-3, equal_nan=True):
            raise UnknownArchitecture(
                f"Restoring the clean output of every {part} changes what {model.name} answers; it cannot be traced."
            )
        if torch.equal(logits, other):
            raise UnknownArchitecture(
                f"The {part} named by the family map has no influence on what {model.name} answers; name the module "
                "whose output reaches the residual."
            )


def _check_causal(model: Model, ids: Tensor, logits: Tensor) -> None:
    """Read another last token: if that changes the logits before it, the model is not causal."""
    other = ids.clone()
    other[0, -1] = 0
    before, after = (out[:, :-1].float() for out in (logits, model.model(input_ids=other).logits))
    # Experts compute for as many tokens as come to them, which changes the rounding of short number formats. An
    # encoder with fresh weights may leak no more than a thousandth of its logits.
    share = 1e-4 if logits.element_size() >= 4 else 0.03
    leak = (before - after).abs().nan_to_num(posinf=0).max()
    if leak > share * before.nan_to_num().abs().max():
        raise UnknownArchitecture(
            f"In {model.name} a token sees those behind it, as in an encoder (BERT). factlens traces causal language "
            "models, which go on from the prompt: AutoModelForCausalLM, with is_decoder=True in an encoder's config."
        )


def _check_special_tokens(model: Model) -> None:
    """Know what the tokenizer adds: something before a text is fine (BOS), something after it is not."""
    if closing := closing_of(model.tokenizer, model.tokenizer("a b")["input_ids"]):
        raise UnknownArchitecture(
            f"The tokenizer of {model.name} ends every text with {closing!r}, so the model would not be asked to "
            "continue the prompt. Set tokenizer.add_eos_token = False."
        )


def _norm(model: Model) -> nn.Module | None:
    """Return the final norm; None where this very model is built without (OPT-350m leaves the attribute empty)."""
    parent, _, name = model.family.norm.rpartition(".")
    try:
        norm: nn.Module | None = getattr(model.model.get_submodule(parent), name)
        return norm
    except AttributeError:
        pass
    raise UnknownArchitecture(
        f"{model.name} has no {model.family.norm!r}, where the family map expects its final norm."
    )


def _one(model: Model, fired: dict[str, list[Any]], name: str, width: int) -> Any:
    outputs = fired.get(name, [])
    if len(outputs) != 1:
        raise UnknownArchitecture(f"The {name} of {model.name} ran {len(outputs)} times in one forward pass, not once.")
    shape = tuple(tensor_of(outputs[0]).shape)
    # Some blocks flatten batch and tokens around their MLP (OPT).
    if shape not in ((1, TOKENS, width), (TOKENS, width)):
        raise UnknownArchitecture(f"The {name} of {model.name} gives shape {shape}; {(1, TOKENS, width)} was expected.")
    return outputs[0]


def _record(module: nn.Module, seen: dict[str, list[Any]], name: str) -> Any:
    def hook(_module: nn.Module, _args: Any, output: Tensor | tuple[Any, ...]) -> None:
        seen.setdefault(name, []).append(output)

    return after(module, hook)
