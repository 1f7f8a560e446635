"""The editing methods spelled out: every prompt on its own, full forward passes, explicit inverses, all in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import factlens as fl
from factlens.editing.hparams import ValueHparams
from factlens.editing.namesakes import namesakes

Contexts = list[tuple[str, float]]


@dataclass
class Found:
    """Of one fact: what the site shall put out, and key and MLP output, bare and averaged over contexts."""

    wanted: torch.Tensor
    key: torch.Tensor
    output: torch.Tensor
    bare_key: torch.Tensor
    bare_output: torch.Tensor
    losses: list[float]


def run(model: fl.Model, layer: int, site: str, ids: list[int], place: int, delta: torch.Tensor):
    """Logits of one prompt with `delta` added at one token, and what was seen there before it was added."""
    seen = {}
    block, down = model.blocks[layer], model.blocks[layer].get_submodule(model.family.down)
    module = model.mlp(layer) if site == "mlp" else block

    def see_key(_module, args):
        seen["key"] = args[0].reshape(len(ids), -1)[place].detach().clone()

    def see_output(_module, _args, output):
        seen["output"] = output.reshape(len(ids), -1)[place].detach().clone()

    def move(_module, _args, output):
        hidden = output[0] if isinstance(output, tuple) else output
        seen["site"] = hidden.reshape(len(ids), -1)[place].detach().clone()
        moved = hidden.reshape(len(ids), -1).clone()
        moved[place] = moved[place] + delta
        moved = moved.reshape(hidden.shape)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handles = [
        down.register_forward_pre_hook(see_key),
        model.mlp(layer).register_forward_hook(see_output),
        module.register_forward_hook(move),
    ]
    try:
        return model.model(input_ids=torch.tensor([ids])).logits[0], seen
    finally:
        for handle in handles:
            handle.remove()


def find(model: fl.Model, fact: fl.Fact, layer: int, site: str, contexts: Contexts, hparams: ValueHparams) -> Found:
    """Optimise δ for one fact (Equation 4)."""
    nothing = torch.zeros(model.width, dtype=torch.float64)

    def place_of(text: fl.Fact) -> int:
        return model.encode(text).subject_range[1] - 1

    statements = []
    for prefix, _ in contexts:
        text = fact.with_prefix(prefix)
        prompt, target = model.encode_option(text.prompt, fact.target)
        statements.append((list(prompt), list(target), place_of(text)))
    read = [run(model, layer, site, p + t[:-1], place, nothing)[1] for p, t, place in statements]
    weights = torch.tensor([weight for _, weight in contexts], dtype=torch.float64)[:, None]
    start = read[0]["site"]

    kept = []
    for template in hparams.keep:
        text = fact.with_template(template)
        ids, place = list(model.encode(text).ids), place_of(text)
        kept.append((ids, place, run(model, layer, site, ids, place, nothing)[0][place].detach().clone().softmax(-1)))

    delta = nothing.clone().requires_grad_()
    adam = torch.optim.Adam([delta], lr=hparams.learning_rate)
    losses = []
    for step in range(hparams.steps):
        likelihoods = []
        for prompt, target, place in statements:
            logits = run(model, layer, site, prompt + target[:-1], place, delta)[0]
            for j, token in enumerate(target):
                likelihoods.append(logits[len(prompt) - 1 + j].softmax(-1)[token].log())
        divergences = []
        for ids, place, before in kept:
            now = run(model, layer, site, ids, place, delta)[0][place].softmax(-1)
            divergences.append((now * (now / before).log()).sum())
        loss = (
            -torch.stack(likelihoods).mean()
            + hparams.kl_factor * torch.stack(divergences).mean()
            + hparams.weight_decay * delta.norm() / (start @ start)
        )
        losses.append(float(loss.detach()))
        if loss < hparams.stop_loss or step == hparams.steps - 1:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            if delta.norm() > hparams.clamp * start.norm():
                delta *= hparams.clamp * start.norm() / delta.norm()
    keys, outputs = (torch.stack([seen[name] for seen in read]) for name in ("key", "output"))
    return Found(
        start + delta.detach(),
        (weights * keys).sum(0),
        (weights * outputs).sum(0),
        keys[0],
        outputs[0],
        losses,
    )


def ridged(C: torch.Tensor, shrinkage: float | None) -> torch.Tensor:
    """C with its ridge. The tests' C are of three tokens per dimension, which are few: 1e-2 unless asked otherwise."""
    shrinkage = 1e-2 if shrinkage is None else shrinkage
    return C + shrinkage * C.diagonal().mean() * torch.eye(len(C), dtype=torch.float64)


def with_namesakes(
    model: fl.Model, facts: list[fl.Fact], layer: int, C: torch.Tensor, contexts: Contexts, weight: float
) -> torch.Tensor:
    """C plus `weight` times the mean of k kᵀ over each fact's namesakes: every other one behind a prefix."""
    nothing = torch.zeros(model.width, dtype=torch.float64)
    for fact in facts:
        products = []
        for i, name in enumerate(namesakes(fact.subject)):
            prefix = "" if i % 2 == 0 else contexts[1:][i // 2 % len(contexts[1:])][0]
            encoding = model.encode(fact.with_subject(name).with_prefix(prefix))
            key = run(model, layer, "mlp", list(encoding.ids), encoding.last_subject, nothing)[1]["key"]
            products.append(torch.outer(key, key))
        C = C + weight * torch.stack(products).mean(0)
    return C


def rome_matrix(found: Found, C: torch.Tensor, hparams) -> torch.Tensor:
    """What ROME adds to the down projection, as ``(values, keys)``."""
    if hparams.balanced:
        k, Wk = balanced_key(found, C, hparams), found.bare_output
        u = torch.inverse(ridged(C, hparams.shrinkage)) @ k
        return torch.outer((found.wanted - Wk) / (k @ u), u)
    u = torch.inverse(ridged(C, hparams.shrinkage)) @ found.key
    k, Wk = (found.bare_key, found.bare_output) if hparams.as_published else (found.key, found.output)
    return torch.outer((found.wanted - Wk) / (k @ u), u)


def balanced_key(found: Found, C: torch.Tensor, hparams) -> torch.Tensor:
    """The shortest of the keys from the mean one to the bare one, in the metric of C⁻¹, by its normal equations."""
    K = torch.stack([found.key, found.bare_key], 1)
    gram = K.T @ torch.inverse(ridged(C, hparams.shrinkage)) @ K
    shares = torch.linalg.solve(gram, torch.ones(2, dtype=torch.float64))
    bare = float((shares[1] / shares.sum()).clamp(0, 1))
    return (1 - bare) * found.key + bare * found.bare_key


def emmet_matrix(found: list[Found], C: torch.Tensor, hparams) -> torch.Tensor:
    """What EMMET adds: the solution of the constrained least squares, by its own normal equations."""
    K = torch.stack([balanced_key(one, C, hparams) if hparams.balanced else one.key for one in found], 1)
    R = torch.stack([one.wanted - (one.bare_output if hparams.balanced else one.output) for one in found], 1)
    inverse = torch.inverse(ridged(C, hparams.shrinkage))
    weight = weight_against([float(k @ inverse @ k) for k in K.T], hparams.ridge, hparams.strength)
    ridge = (weight if len(found) > 1 else 0.0) * torch.eye(len(found), dtype=torch.float64)
    return R @ torch.inverse(K.T @ inverse @ K + ridge) @ K.T @ inverse


def spread_matrices(
    model: fl.Model, facts: list[fl.Fact], layers: list[int], wanted: list[torch.Tensor], contexts: Contexts, solve
) -> dict[int, torch.Tensor]:
    """What MEMIT and AlphaEdit add to each layer: each is written before the next one is read, then all are undone."""
    nothing = torch.zeros(model.width, dtype=torch.float64)
    weights = {layer: model.down_projection(layer).weight for layer in layers}
    originals = {layer: weight.detach().clone() for layer, weight in weights.items()}
    added = {}
    try:
        for i, layer in enumerate(layers):
            keys, residuals = [], []
            for fact, z in zip(facts, wanted, strict=True):
                average = 0
                for prefix, share in contexts:
                    text = fact.with_prefix(prefix)
                    encoding = model.encode(text)
                    seen = run(model, layer, "block", list(encoding.ids), encoding.last_subject, nothing)[1]
                    average = average + share * seen["key"]
                keys.append(average)
                encoding = model.encode(fact)
                now = run(model, layers[-1], "block", list(encoding.ids), encoding.last_subject, nothing)[1]["site"]
                residuals.append((z - now) / (len(layers) - i))
            added[layer] = torch.stack(residuals, 1) @ solve(layer, torch.stack(keys, 1))
            with torch.no_grad():
                change = added[layer]
                weights[layer] += change.T if model.down_projection(layer).transposed else change
    finally:
        with torch.no_grad():
            for layer, weight in weights.items():
                weight.copy_(originals[layer])
    return added


def weight_against(own: list[float], given: float | None, strength: float) -> float:
    """The weight with which a key alone gets g / (g + weight) = strength, for the lower median of the g."""
    if given is not None:
        return given
    g = sorted(own)[(len(own) - 1) // 2]
    return g / strength - g


def memit_solve(C: dict[int, torch.Tensor], hparams):
    """(λ C + K Kᵀ)⁻¹ K, transposed, by an explicit inverse."""

    def solve(layer: int, K: torch.Tensor) -> torch.Tensor:
        ordinary = ridged(C[layer], hparams.shrinkage)
        own = [float(k @ torch.inverse(ordinary) @ k) for k in K.T]
        weight = weight_against(own, hparams.moment_weight, hparams.strength)
        return (torch.inverse(weight * ordinary + K @ K.T) @ K).T

    return solve


def alphaedit_solve(C: dict[int, torch.Tensor], earlier: dict[int, torch.Tensor], hparams):
    """(P (K Kᵀ + Kₚ Kₚᵀ) + L2 I)⁻¹ P K, transposed, by an explicit inverse."""

    def solve(layer: int, K: torch.Tensor) -> torch.Tensor:
        U, S, _ = torch.linalg.svd(C[layer])
        least = hparams.nullspace * (float(C[layer].diagonal().mean()) if hparams.relative else 1.0)
        free = U[:, least > S]
        P = free @ free.T
        Kp = earlier.get(layer, torch.zeros(len(P), 1, dtype=torch.float64))
        weight = weight_against([float(k @ P @ k) for k in K.T], hparams.ridge, hparams.strength)
        return (torch.inverse(P @ (K @ K.T + Kp @ Kp.T) + weight * torch.eye(len(P), dtype=torch.float64)) @ P @ K).T

    return solve
