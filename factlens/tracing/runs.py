"""The two runs that everything else is computed from: clean and corrupted, kept layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from factlens.models import Model
from factlens.models.encoding import Encoding
from factlens.models.hooks import all_of, on_input, on_output
from factlens.models.model import check_finite

MODULE_KINDS = ("mlp", "attn")


@dataclass(frozen=True)
class Runs:
    """What is kept of one forward pass over ``S + 1`` rows: the clean prompt, and S corrupted copies.

    Attributes
    ----------
    residual
        Input of each block, ``(S + 1, tokens, width)``; row 0 is clean.
    modules
        For ``"mlp"`` and ``"attn"``: the module's clean output in each layer, ``(tokens, width)``.
    keys, values
        The corrupted runs' attention keys and values in each layer, ``(S, heads, tokens, head width)``.
    clean, corrupted
        Logits after the last token, ``(vocabulary,)`` and ``(S, vocabulary)``, float32.
    """

    residual: list[Tensor]
    modules: dict[str, list[Tensor]]
    keys: list[Tensor]
    values: list[Tensor]
    clean: Tensor
    corrupted: Tensor

    @property
    def samples(self) -> int:
        """Number of corrupted rows, S."""
        return len(self.corrupted)

    @property
    def tokens(self) -> int:
        """Number of tokens in the prompt."""
        return int(self.residual[0].shape[1])


@torch.no_grad()
def run_clean_and_corrupted(model: Model, encoding: Encoding, noise: np.ndarray) -> Runs:
    """Run the clean prompt and its corrupted copies in one batch, and keep the states.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    encoding
        The prompt.
    noise
        Added to the embeddings of the subject's tokens, ``(S, subject tokens, width)``.

    Raises
    ------
    NumericalError
        If the model answers with NaN or infinity.
    """
    ids = torch.tensor([encoding.ids], device=model.device)
    start, stop = encoding.subject_range
    embedded = model.embedding(ids).repeat(len(noise) + 1, 1, 1)
    # Added in float64 and rounded once, as in the published code.
    embedded[1:, start:stop] += torch.from_numpy(noise).to(embedded.device)
    residual: list[Tensor] = []
    modules: dict[str, list[Tensor]] = {kind: [] for kind in MODULE_KINDS}
    cache = DynamicCache(config=model.model.config)
    # Copies, since some architectures add to a module's output in place after the hook has seen it.
    hooks = [on_input(block, _keep(residual, lambda hidden: hidden.clone())) for block in model.blocks]
    for layer in range(model.n_layers):
        for kind, module in (("mlp", model.mlp(layer)), ("attn", model.attention(layer))):
            hooks.append(on_output(module, _keep(modules[kind], lambda output: output[0].clone())))
    with all_of(hooks):
        logits = model.model(inputs_embeds=embedded, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    logits = check_finite(logits[:, -1].float(), model.name)
    return Runs(
        residual=residual,
        modules=modules,
        keys=[layer.keys[1:] for layer in cache.layers],
        values=[layer.values[1:] for layer in cache.layers],
        clean=logits[0],
        corrupted=logits[1:],
    )


def _keep(into: list[Tensor], choose: Callable[[Tensor], Tensor]) -> Callable[[Tensor], None]:
    def keep(hidden: Tensor) -> None:
        into.append(choose(hidden))

    return keep
