"""The value v*: what a layer has to put out at the subject's last token for the model to say the new object.

Found by gradient descent on a vector δ that is added there (Meng et al. 2022, Equation 4; for MEMIT, Meng et al.
2023, Equation 16). Facts do not share anything, so many are optimised in one batch; each stops when it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from factlens.editing.hparams import ValueHparams
from factlens.editing.prompts import Prompts
from factlens.editing.tail import Place, Tail
from factlens.editing.taking import Said, answers_of
from factlens.errors import NumericalError
from factlens.models.hooks import without_gradients
from factlens.models.interrupts import interruption_point
from factlens.progress import Share

_NOT_FINITE = "The optimisation of v* gave NaN or infinity. Lower learning_rate, or use bfloat16 or float32."


@dataclass(frozen=True)
class Values:
    """The optimised values of some facts.

    Attributes
    ----------
    optimised
        What the site should put out for the bare prompt: v* or z, ``(facts, width)``.
    keys, outputs
        The down projection's input and the MLP's output now, averaged over contexts, ``(facts, ·)``.
    bare_keys, bare_outputs
        The same of the bare prompt alone.
    report
        For each fact the losses of every step, and the norms of δ and of what it was added to.
    with_value
        For each fact what the model says of its target after the bare prompt, with δ added.

    All tensors are float64 on the CPU.
    """

    optimised: Tensor
    keys: Tensor
    outputs: Tensor
    bare_keys: Tensor
    bare_outputs: Tensor
    report: tuple[dict[str, Any], ...]
    with_value: tuple[Said, ...]

    @classmethod
    def joined(cls, parts: Sequence[Values]) -> Values:
        """Return the values of several batches of facts as one."""
        tensors = {name: torch.cat([getattr(part, name) for part in parts]) for name in _TENSORS}
        return cls(
            **tensors,
            report=tuple(report for part in parts for report in part.report),
            with_value=tuple(answer for part in parts for answer in part.with_value),
        )

    def apart(self) -> list[Values]:
        """Return the values of each fact by itself."""
        return [
            Values(
                **{name: getattr(self, name)[i : i + 1] for name in _TENSORS},
                report=self.report[i : i + 1],
                with_value=self.with_value[i : i + 1],
            )
            for i in range(len(self.optimised))
        ]


_TENSORS = ("optimised", "keys", "outputs", "bare_keys", "bare_outputs")


@torch.enable_grad()
def optimise_values(
    tail: Tail,
    prompts: Prompts,
    site: Place,
    hparams: ValueHparams,
    *,
    progress: Share | None = None,
) -> Values:
    """Find δ for every fact such that the model says its target.

    The loss of one fact is Equation 4 as the published code computes it: the mean negative log-likelihood of the
    target over contexts, plus ``kl_factor`` times the KL divergence of what should stay ("{subject} is a", read at the
    subject's last token) from its unedited prediction, plus ``weight_decay ‖δ‖ / ‖v₀‖²``; after every step
    ``‖δ‖ ≤ clamp ‖v₀‖``.

    Parameters
    ----------
    tail
        The layer to be edited and all above it, on these prompts.
    prompts
        Facts, their contexts, and what should stay.
    site
        Whose output δ is added to: ``"mlp"`` (ROME) or ``"block"`` (MEMIT).
    hparams
        Settings.
    progress
        Called with the share of steps done.

    Raises
    ------
    NumericalError
        If the loss is not finite.
    Interrupted
        If the event of `factlens.models.interrupts.stopped_by` was set.
    """
    start = (tail.values if site == "mlp" else tail.states)[prompts.bare]
    facts, length = prompts.facts, start.norm(dim=1)
    delta = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=hparams.learning_rate)
    limit = hparams.clamp * length
    unedited: Tensor | None = None
    losses: list[list[dict[str, float]]] = [[] for _ in range(facts)]
    says: dict[int, Said] = {}
    running = torch.ones(facts, dtype=torch.bool, device=start.device)
    part = _Part.of(tail, prompts, running)
    for step in range(hparams.steps):
        interruption_point()
        with without_gradients(part.tail.model.model):
            logits = part.tail.logits(site, delta[part.fact], part.reads)
        logs = logits.to(start).log_softmax(-1)
        stated, stays = logs[: len(part.tokens)], logs[len(part.tokens) :]
        # Every context of a fact has the same number of target tokens: the mean over all is the mean of the means.
        nll = _mean(-stated.gather(1, part.tokens[:, None])[:, 0], part.stated_of, facts)
        if unedited is None:
            unedited = stays.detach()
        divergence = F.kl_div(unedited[part.preserved], stays, log_target=True, reduction="none").sum(-1)
        kl = _mean(divergence, part.preserved_of, facts)
        decay = hparams.weight_decay * delta.norm(dim=1) / length**2
        loss = nll + hparams.kl_factor * kl + decay
        terms = torch.stack([loss, nll, kl, decay]).detach().cpu()
        for i in running.nonzero()[:, 0].tolist():
            losses[i].append(dict(zip(("loss", "nll", "kl", "decay"), terms[:, i].tolist(), strict=True)))
        if not bool(torch.isfinite(loss[running]).all()):
            raise NumericalError(_NOT_FINITE)
        if progress is not None:
            progress((step + 1) / hparams.steps)
        running &= (loss >= hparams.stop_loss).detach()
        if not bool(running.any()) or step == hparams.steps - 1:
            says |= part.says(logits)
            break
        # Gradients for δ alone: the user's parameters keep theirs.
        (delta.grad,) = torch.autograd.grad(loss[running].sum(), [delta])
        before = delta.detach().clone()
        optimiser.step()
        with torch.no_grad():
            delta.copy_(torch.where(running[:, None], delta, before))
            norm = delta.norm(dim=1)
            if not bool(torch.isfinite(norm).all()):
                raise NumericalError(_NOT_FINITE)
            delta.mul_(torch.where(norm > limit, limit / norm.clamp_min(1e-30), 1.0)[:, None])
        # Facts that are done need not be run any more; leaving them out costs a copy of the rest.
        if int(running.sum()) <= 0.75 * part.facts:
            # Of those, δ has not moved since it gave these logits; what it gives for the others is read again.
            says |= part.says(logits)
            part = _Part.of(tail, prompts, running)
    change = delta.detach()
    return Values(
        optimised=_wide(start) + _wide(change),
        keys=_wide(prompts.mean(tail.keys)),
        outputs=_wide(prompts.mean(tail.values)),
        bare_keys=_wide(tail.keys[prompts.bare]),
        bare_outputs=_wide(tail.values[prompts.bare]),
        report=tuple(
            {"losses": losses[i], "delta_norm": float(change[i].norm()), "value_norm": float(length[i])}
            for i in range(facts)
        ),
        with_value=tuple(says[i] for i in range(facts)),
    )


@dataclass(frozen=True)
class _Part:
    """The rows of the facts that are still being optimised, and what is read from them.

    `stated_bare` are the reads that are of a fact's bare prompt; they are among the first, which are of targets.
    """

    tail: Tail
    fact: Tensor
    reads: Tensor
    tokens: Tensor
    stated_of: Tensor
    preserved: Tensor
    preserved_of: Tensor
    stated_bare: Tensor
    facts: int

    @classmethod
    def of(cls, tail: Tail, prompts: Prompts, running: Tensor) -> _Part:
        chosen = running[prompts.fact]
        rows = chosen.nonzero()[:, 0]
        place = chosen.cumsum(0) - 1
        stated = prompts.targets[chosen[prompts.targets[:, 0]]]
        preserved = chosen[prompts.preserved[:, 0]].nonzero()[:, 0]
        reads = torch.cat([stated[:, :2], prompts.preserved[preserved]])
        return cls(
            tail=tail if bool(chosen.all()) else tail.only(rows),
            fact=prompts.fact[rows],
            reads=torch.stack([place[reads[:, 0]], reads[:, 1]], 1),
            tokens=stated[:, 2],
            stated_of=prompts.fact[stated[:, 0]],
            preserved=preserved,
            preserved_of=prompts.fact[prompts.preserved[preserved, 0]],
            stated_bare=torch.isin(stated[:, 0], prompts.bare).nonzero()[:, 0],
            facts=int(running.sum()),
        )

    def says(self, logits: Tensor) -> dict[int, Said]:
        """Return what the logits of a pass say of each fact's target after its bare prompt."""
        bare = self.stated_bare
        facts = self.stated_of[bare].unique().tolist()
        return dict(zip(facts, answers_of(logits[bare], self.tokens[bare], self.stated_of[bare], facts), strict=True))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)


def _mean(values: Tensor, fact: Tensor, facts: int) -> Tensor:
    """Average values by the fact they belong to; 0 where a fact has none."""
    total = values.new_zeros(facts).index_add(0, fact, values)
    return total / torch.bincount(fact, minlength=facts).clamp_min(1)
