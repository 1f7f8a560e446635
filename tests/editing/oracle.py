"""ROME spelled out: every prompt on its own, full forward passes, an explicit inverse, everything in float64."""

from __future__ import annotations

from dataclasses import asdict

import torch

import factlens as fl
from factlens.editing.hparams import RomeHparams


def rome_matrix(
    model: fl.Model, fact: fl.Fact, layer: int, prefixes: list[str], C: torch.Tensor, hparams: RomeHparams
) -> torch.Tensor:
    """The matrix that ROME adds to the down projection of `layer`, as ``(values, keys)``."""
    assert model.dtype == torch.float64
    mlp, down = model.mlp(layer), model.blocks[layer].get_submodule(model.family.down)

    def run(ids, place, delta):
        seen = {}

        def see_key(_module, args):
            seen["key"] = args[0][0, place].detach()

        def move(_module, _args, output):
            seen["value"] = output[0, place].detach()
            moved = output.clone()
            moved[0, place] = moved[0, place] + delta
            return moved

        handles = [down.register_forward_pre_hook(see_key), mlp.register_forward_hook(move)]
        try:
            return model.model(input_ids=torch.tensor([ids])).logits[0], seen
        finally:
            for handle in handles:
                handle.remove()

    def place_of(text: fl.Fact) -> int:
        return model.encode(text).subject_range[1] - 1

    nothing = torch.zeros(model.width, dtype=torch.float64)
    statements = []
    for prefix in prefixes:
        text = fact.with_prefix(prefix)
        prompt, target = model.encode_option(text.prompt, fact.target)
        statements.append((list(prompt), list(target), place_of(text)))
    essence = fact.with_template("{} is a")
    essence_ids, essence_place = list(model.encode(essence).ids), place_of(essence)

    read = [run(prompt + target[:-1], place, nothing)[1] for prompt, target, place in statements]
    keys = torch.stack([seen["key"] for seen in read])
    values = torch.stack([seen["value"] for seen in read])
    v0 = values[0]
    unedited = run(essence_ids, essence_place, nothing)[0][essence_place].detach().softmax(-1)

    delta = nothing.clone().requires_grad_()
    adam = torch.optim.Adam([delta], lr=hparams.learning_rate)
    for step in range(hparams.steps):
        likelihoods = []
        for prompt, target, place in statements:
            logits = run(prompt + target[:-1], place, delta)[0]
            for j, token in enumerate(target):
                likelihoods.append(logits[len(prompt) - 1 + j].softmax(-1)[token].log())
        now = run(essence_ids, essence_place, delta)[0][essence_place].softmax(-1)
        kl = (now * (now / unedited).log()).sum()
        loss = (
            -torch.stack(likelihoods).mean() + hparams.kl_factor * kl + hparams.weight_decay * delta.norm() / (v0 @ v0)
        )
        if loss < hparams.stop_loss or step == hparams.steps - 1:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            if delta.norm() > hparams.clamp * v0.norm():
                delta *= hparams.clamp * v0.norm() / delta.norm()
    v_star = v0 + delta.detach()

    ridge = hparams.shrinkage * C.diagonal().mean() * torch.eye(len(C), dtype=torch.float64)
    u = torch.inverse(C + ridge) @ keys.mean(0)
    k, Wk = (keys[0], values[0]) if hparams.as_published else (keys.mean(0), values.mean(0))
    return torch.outer((v_star - Wk) / (k @ u), u)


def settings(**changes: object) -> RomeHparams:
    return RomeHparams(**{**asdict(RomeHparams()), **changes})
