"""ROME: rank-one editing of one MLP down projection (Meng et al. 2022, Section 3.1).

The down projection W of one layer is read as a linear memory that maps keys to values. To store a new fact,

1. the key k* is the projection's input at the subject's last token, averaged over contexts (Equation 3);
2. the value v* is the output there that makes the model say the new object: found by gradient descent on a
   vector δ added to the output (Equation 4);
3. W + Λ (C⁻¹k*)ᵀ with Λ = (v* − Wk*) / (C⁻¹k*)ᵀk* stores the pair with the least disturbance of the keys that C
   describes (Equation 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Event
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from factlens.editing.hparams import RomeHparams
from factlens.errors import Interrupted, NumericalError
from factlens.facts import Fact
from factlens.models import LowRank, Model
from factlens.models.hooks import all_of, on_input, on_output, passing_through, without_gradients
from factlens.models.model import pad
from factlens.moments import SecondMoment

KL_TEMPLATE = "{} is a"


@dataclass(frozen=True)
class Batch:
    """The prompts of one edit as one padded batch: the fact behind every prefix, then the prompt of the KL term.

    Attributes
    ----------
    ids, mask
        Token ids and attention mask, ``(contexts + 1, longest)``. Each row of the fact is followed by the target
        but for its last token (teacher forcing).
    last_subject
        Position of the subject's last token in each row.
    predicts
        ``(row, position, token)`` of every target token: the logits at `position` should give `token`.
    """

    ids: Tensor
    mask: Tensor
    last_subject: Tensor
    predicts: Tensor

    @property
    def contexts(self) -> int:
        """Number of rows that state the fact; the KL prompt comes after them."""
        return len(self.ids) - 1


def make_batch(model: Model, fact: Fact, prefixes: Sequence[str]) -> Batch:
    """Tokenise a fact behind each prefix, with its target, and the prompt of the KL term."""
    rows, places, predicts = [], [], []
    for i, prefix in enumerate(prefixes):
        stated = fact.with_prefix(prefix)
        prompt, target = model.encode_option(stated.prompt, str(fact.target))
        rows.append([*prompt, *target[:-1]])
        places.append(model.encode(stated).last_subject)
        predicts += [(i, len(prompt) - 1 + j, token) for j, token in enumerate(target)]
    essence = model.encode(fact.with_template(KL_TEMPLATE))
    rows.append(list(essence.ids))
    places.append(essence.last_subject)
    ids, mask = pad(rows, model.device)
    return Batch(ids, mask, torch.tensor(places, device=model.device), torch.tensor(predicts, device=model.device))


@dataclass(frozen=True)
class States:
    """What the unedited model computes on a batch at the layer to be edited.

    Attributes
    ----------
    keys, values
        The down projection's input and the MLP's output at the subject's last token, ``(rows, ·)``, float32 or
        wider.
    residual
        The block's input at every token, from which later passes can start.
    """

    keys: Tensor
    values: Tensor
    residual: Tensor


@torch.no_grad()
def read_states(model: Model, layer: int, batch: Batch) -> States:
    """Run the batch once and keep what the edit is computed from."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def hook(hidden: Tensor) -> None:
            seen[name] = hidden.clone()

        return hook

    hooks = [
        on_input(model.blocks[layer], keep("residual")),
        on_input(model.down_projection(layer).module, keep("keys")),
        on_output(model.mlp(layer), keep("values")),
    ]
    with all_of(hooks):
        model.model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False, logits_to_keep=1)
    rows = torch.arange(len(batch.ids), device=batch.ids.device)
    wide = torch.promote_types(model.dtype, torch.float32)
    keys, values = (seen[name][rows, batch.last_subject].to(wide) for name in ("keys", "values"))
    return States(keys, values, seen["residual"])


@torch.enable_grad()
def optimise_value(
    model: Model,
    layer: int,
    batch: Batch,
    states: States,
    hparams: RomeHparams,
    *,
    progress: Callable[[float], None] | None = None,
    stop: Event | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """Find δ such that the model says the target when the MLP's output at the subject's last token is moved by it.

    The loss is Equation 4 as the published code computes it: mean negative log-likelihood of the target over
    contexts, plus ``kl_factor`` times the KL divergence of "{subject} is a" from its unedited prediction (taken at
    the subject's last token), plus ``weight_decay ‖δ‖ / ‖v₀‖²``; after every step ``‖δ‖ ≤ clamp ‖v₀‖``.

    Parameters
    ----------
    model, layer, batch
        Where and on what.
    states
        What `read_states` found. v₀, the MLP's output at the subject's last token, is that of the bare prompt.
    hparams
        Settings.
    progress, stop
        Called with the share of steps done; set to end the optimisation.

    Returns
    -------
    delta, report
        δ in float32, and the losses of every step.

    Raises
    ------
    NumericalError
        If the loss is not finite.
    Interrupted
        If `stop` was set.
    """
    value = states.values[0]
    rows = torch.arange(len(batch.ids), device=value.device)
    delta = torch.zeros_like(value, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=hparams.learning_rate)
    limit = float(hparams.clamp * value.norm())
    unedited: Tensor | None = None
    losses: list[dict[str, float]] = []

    def add_delta(output: Tensor) -> Tensor:
        moved = output.clone()
        moved[rows, batch.last_subject] += delta.to(output.dtype)
        return moved

    # Nothing below the edited layer depends on δ: every pass starts at that layer, from the states kept there.
    def from_the_layer() -> list[AbstractContextManager[None]]:
        return [
            passing_through(model.blocks[:layer], model.returns_tuple),
            on_input(model.blocks[layer], lambda _: states.residual),
            on_output(model.mlp(layer), add_delta),
            without_gradients(model.model),
        ]

    for step in range(hparams.steps):
        with all_of(from_the_layer()):
            logits = model.model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
        row, position, token = batch.predicts.T
        target = -logits[row, position].to(value).log_softmax(-1).gather(1, token[:, None])[:, 0]
        nll = target.mean()  # every context has the same number of target tokens: the mean of the means
        essence = logits[-1, batch.last_subject[-1]].to(value).log_softmax(-1)
        unedited = essence.detach() if unedited is None else unedited
        kl = F.kl_div(unedited, essence, log_target=True, reduction="sum")
        decay = hparams.weight_decay * delta.norm() / value.norm() ** 2
        loss = nll + hparams.kl_factor * kl + decay
        terms = {"loss": loss, "nll": nll, "kl": kl, "decay": decay}
        losses.append({name: float(term.detach()) for name, term in terms.items()})
        if not bool(torch.isfinite(loss)):
            raise NumericalError(
                "The optimisation of v* gave NaN or infinity. Lower learning_rate, or use bfloat16 or float32."
            )
        if progress is not None:
            progress((step + 1) / hparams.steps)
        if stop is not None and stop.is_set():
            raise Interrupted("The edit was stopped; the weights are as they were.")
        if loss < hparams.stop_loss or step == hparams.steps - 1:
            break
        # Gradients for δ alone: the user's parameters keep theirs.
        (delta.grad,) = torch.autograd.grad(loss, [delta])
        optimiser.step()
        with torch.no_grad():
            norm = float(delta.detach().norm())
            if norm > limit:
                delta.mul_(limit / norm)
    report = {"losses": losses, "delta_norm": float(delta.detach().norm()), "value_norm": float(value.norm())}
    return delta.detach(), report


def rank_one_update(
    model: Model,
    layer: int,
    states: States,
    delta: Tensor,
    moment: SecondMoment,
    hparams: RomeHparams,
) -> LowRank:
    """Return the closed-form update of Equation 2, solved in float64.

    Parameters
    ----------
    model, layer
        Where.
    states
        Keys and values; the last row is the KL prompt's and plays no part here.
    delta
        δ, so that v* is the bare prompt's value plus δ.
    moment
        C at this layer.
    hparams
        `shrinkage`, and `as_published`.
    """
    keys, values = states.keys[:-1].double().cpu(), states.values[:-1].double().cpu()
    key = keys.mean(0)
    direction = moment.solve(key, hparams.shrinkage)
    # The published code has two keys: the mean over contexts in C⁻¹k, the bare prompt's elsewhere. R-ROME takes the
    # mean throughout. A bias of the projection stands in the values on both sides, and cancels.
    stored, current = (keys[0], values[0]) if hparams.as_published else (key, values.mean(0))
    wanted = values[0] + delta.double().cpu()
    value = (wanted - current) / (stored @ direction)
    # Both factors of one size, so that neither over- nor underflows when it is kept in float32.
    scale = (value.norm() / direction.norm()).clamp_min(1e-30).sqrt()
    return model.down_projection(layer).rank_one((value / scale).float(), (direction * scale).float())
