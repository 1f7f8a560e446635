"""What attention heads and neurons write towards the answer: direct logit attribution.

A block adds its attention's and its MLP's output to the residual, and the answer's logit is read from the residual by
a norm and a row of the unembedding. With the norm's scale frozen at its value in the clean run, the logit is a sum over
everything that was ever added, so each head and each neuron has its share (Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits"; TransformerLens' ``ActivationCache.apply_ln_to_stack``). Shares are direct: what
later layers make of an output is not counted.

The map from a module's output to the logit is found by running the model's own parts on a few probes, and is checked
on the clean run, rather than by knowing how each family writes its norms. Where a part is not of the expected form,
there is no answer rather than a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from factlens.models import Model
from factlens.models.hooks import Kept, on_input, passing_through
from factlens.models.partial import run_from
from factlens.models.quantised import is_quantised
from factlens.models.unembedding import tail
from factlens.tracing.runs import SOURCES, States
from factlens.tracing.sites import ATTENTION, MLP, PARTS

# Large enough that the small constant in a norm's square root does not count, small enough for float16.
_PROBE = 1024.0


@dataclass(frozen=True)
class Frozen:
    """A norm with its scale held fixed, or a plain gain: ``v -> gain * v``, or ``gain * (v - mean(v))``.

    Constants that are added are left out: they belong to no head and no neuron.

    Attributes
    ----------
    gain
        Shape ``(width,)``, float32.
    centred
        Whether the mean is taken off first, as LayerNorm does.
    """

    gain: Tensor
    centred: bool

    def back(self, direction: Tensor) -> Tensor:
        """Return the direction in the input whose product with ``v`` is that of `direction` with the output."""
        pulled = self.gain * direction
        return pulled - pulled.mean() if self.centred else pulled


def freeze(function: Callable[[Tensor], Tensor], at: Tensor) -> Frozen | None:
    """Find out what a function does to a vector, and freeze the scale by which it divides.

    Parameters
    ----------
    function
        Maps ``(rows, width)`` to ``(rows, width)``, each row alone: a plain gain per component, a LayerNorm or an
        RMSNorm, with or without weights and bias.
    at
        The vector whose scale is kept, ``(width,)``.

    Returns
    -------
    Frozen or None
        None if the function is none of these.
    """
    width = len(at)
    ones = torch.ones(width, device=at.device)
    signs = ones.clone()
    signs[1::2] = -1
    # Without mean, so that centring leaves it alone; no component is zero.
    probe = (_PROBE * (signs - signs.mean())).to(at.dtype)
    outputs = function(torch.stack([torch.zeros_like(at), probe, 2 * probe, (_PROBE * ones).to(at.dtype), at])).float()
    if outputs.shape[-1] != width:
        return None
    once, twice, level, output = outputs[1:] - outputs[0]
    probe, vector, slack = probe.float(), at.float(), _slack(at.dtype)
    if close(twice, 2 * once, slack):
        gain, centred = once / probe, False
    elif close(twice, once, slack):
        centred = bool(level.norm() <= slack * once.norm())
        vector = vector - vector.mean() if centred else vector
        slope = once * probe.square().mean().sqrt() / probe
        # What came out is slope * given / scale: read the scale off it, with any small constant in it.
        gain = slope * ((slope * vector) @ output) / (slope * vector).square().sum()
    else:
        return None
    return Frozen(gain, centred) if close(gain * vector, output, slack) else None


def close(value: Tensor, expected: Tensor, slack: float) -> bool:
    """Whether two vectors differ by no more than `slack` times the length of the second; never with NaN."""
    return bool((value - expected).norm() <= slack * expected.norm())


def _slack(dtype: torch.dtype) -> float:
    return 1e-3 if torch.finfo(dtype).bits >= 32 else 3e-2


def unembedding_row(model: Model, token_id: int) -> Tensor | None:
    """Return a token's row of the unembedding, ``(unembedding width,)``, float32; None where it cannot be read."""
    weight = getattr(model.head, "weight", None)
    return weight[token_id].detach().float() if _readable(weight) else None


def _readable(weight: object) -> TypeGuard[Tensor]:
    """Whether a weight is a matrix of plain numbers in memory: not quantised, not kept elsewhere."""
    return isinstance(weight, Tensor) and weight.is_floating_point() and weight.ndim == 2 and not weight.is_meta


def answer_direction(
    model: Model, clean: States, part: str, layer: int, token: int, row: Tensor | None
) -> Tensor | None:
    """Return the direction whose product with a module's output is its direct contribution to a logit.

    The logit is the one before scaling (Cohere, Granite) and capping (Gemma 2). Norms on the way, the final one and
    the one that some families have behind each module (Gemma 2, OLMo 2), keep the scale that they have in the clean
    run at this token.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    clean
        The clean run, with the outputs of attention and MLP.
    part
        Which of the two, of `factlens.tracing.sites.PARTS`.
    layer, token
        Where the output is.
    row
        The unembedding's row of the answer.

    Returns
    -------
    torch.Tensor or None
        ``(width,)``, float32. None where the model does not simply add the output to the residual (OPT-350m), or
        does more than normalise before it unembeds.
    """
    outputs = {name: clean.outputs[name][layer][0, token] for name in PARTS}
    added = {name: _added(model, layer, name, output[None])[0] for name, output in outputs.items()}
    before, after = clean.residual[layer][0, token].float(), clean.residual[layer + 1][0, token].float()
    whole = before + added[ATTENTION].to(before.device) + added[MLP].to(before.device)
    if row is None or not close(whole.to(after.device), after, _slack(outputs[part].dtype)):
        return None
    last = freeze(lambda rows: tail(model, rows)[0], clean.residual[-1][0, token])
    block = freeze(lambda rows: _added(model, layer, part, rows), outputs[part])
    if last is None or block is None:
        return None
    return block.back(last.back(row.to(last.gain.device)).to(block.gain.device))


def _added(model: Model, layer: int, part: str, rows: Tensor) -> Tensor:
    """Return what a block adds to the residual when one of its two modules returns `rows`, ``(n, width)``, float32.

    The block runs on a residual of zeros with its other module silenced, so that nothing else is in what it returns.
    """
    block, added = model.blocks[layer], Kept()
    contexts = [
        passing_through(model.blocks[layer + 1 :], model.returns_tuple),
        on_input(block, torch.zeros_like),
        *(SOURCES[other].around(model, layer, torch.zeros_like) for other in PARTS if other != part),
        SOURCES[part].around(model, layer, lambda output: rows.to(output.device).view_as(output)),
        added.output(block, lambda output: output[:, 0].float()),
    ]
    run_from(model, layer, len(rows), contexts)
    return added[0]


def weight_towards(model: Model, module: nn.Module, direction: Tensor) -> Tensor | None:
    """Return what each input of a linear module brings to a direction of its output.

    Parameters
    ----------
    model
        The model it belongs to.
    module
        The linear module.
    direction
        Shape ``(outputs,)``, float32.

    Returns
    -------
    torch.Tensor or None
        ``(inputs,)``, float32. None for anything but unquantised ``Linear`` and ``Conv1D`` in memory.
    """
    weight = getattr(module, "weight", None)
    if is_quantised(model.model.config, module) or not _readable(weight):
        return None
    if not isinstance(module, nn.Linear | Conv1D):
        return None
    # Conv1D keeps (inputs, outputs), Linear (outputs, inputs).
    matrix = weight.detach() if isinstance(module, Conv1D) else weight.detach().T
    return matrix.float() @ direction.to(matrix.device)


def head_contributions(model: Model, layer: int, outputs: Tensor, direction: Tensor) -> Tensor | None:
    """Return what each head brings to the answer.

    Parameters
    ----------
    model, layer
        Whose heads.
    outputs
        The heads' outputs side by side, ``(rows, heads * head width)``.
    direction
        From `answer_direction`, for attention.

    Returns
    -------
    torch.Tensor or None
        ``(rows, heads)``, float32; without the bias of the output projection, which belongs to no head. None where
        that projection is not plain.
    """
    towards = weight_towards(model, model.attention_out(layer), direction)
    if towards is None:
        return None
    return (outputs.to(towards) * towards).view(len(outputs), model.n_heads, -1).sum(-1)
