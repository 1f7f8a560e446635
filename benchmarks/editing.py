"""Editing, ours against the plain way, side by side in one run.

    python benchmarks/editing.py                             # random model of GPT-2 small's shape, and atlas
    python benchmarks/editing.py --shape atlas               # atlas only
    python benchmarks/editing.py --shape gpt2-xl --device cuda --facts 1000

v*       a full forward and backward pass of every context in every step, against passes that start at the edited
         layer and at the subject's last token
batch    facts optimised one by one against many in one batch, on the same cached passes
solve    MEMIT's (λ C + K Kᵀ)⁻¹ K by a factorisation as large as the keys, against the matrix inversion lemma on the
         factor of C that is kept
whole    one ROME edit and one MEMIT edit, seconds

Results are compared in the same run. Moments have `benchmarks/moments.py`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

import factlens as fl
from benchmarks.tracing import SHAPES, random_model
from factlens.editing.contexts import contexts_for
from factlens.editing.methods.memit import MemitHparams, least_squares
from factlens.editing.methods.rome import RomeHparams
from factlens.editing.prompts import Prompts, make_prompts
from factlens.editing.tail import Tail
from factlens.editing.values import optimise_values
from factlens.models.hooks import on_output, without_gradients
from factlens.moments import SecondMoment

NAMES = ("Space Needle", "Eiffel Tower", "Colosseum", "Louvre", "Brandenburg Gate", "Golden Gate Bridge", "Prado")
PLACES = ("Rome", "Paris", "Berlin", "Madrid", "London", "Tokyo", "Moscow", "Vienna", "Oslo", "Cairo")


def facts_of(count: int) -> list[fl.Fact]:
    """So many different facts."""
    templates = ("The {} is in the city of", "Everybody knows that the {} stands in", "In the year 1900 the {} was in")
    made = [fl.Fact(t, name, target=place) for place in PLACES for t in templates for name in NAMES]
    more = [replace(fact, subject=f"{fact.subject} {i}") for i in range(count // len(made) + 1) for fact in made]
    return more[:count]


def timed(run: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


@torch.enable_grad()
def plain_value(model: fl.Model, layer: int, prompts: Prompts, hparams: RomeHparams) -> Tensor:
    """δ by full passes: all contexts as one padded batch, all tokens, all layers, logits everywhere, every step."""
    rows = torch.arange(len(prompts.ids), device=prompts.ids.device)
    seen: list[Tensor] = []
    delta: Tensor | None = None

    def add(output: Tensor) -> Tensor:
        seen.append(output[rows, prompts.lookup].detach())
        moved = output.clone()
        moved[rows, prompts.lookup] += 0 if delta is None else delta
        return moved

    def run() -> Tensor:
        with on_output(model.mlp(layer), add), without_gradients(model.model):
            return model.model(input_ids=prompts.ids, attention_mask=prompts.mask, use_cache=False).logits

    with torch.no_grad():
        before = run()[prompts.preserved[:, 0], prompts.preserved[:, 1]].log_softmax(-1)
    start = seen[0][prompts.bare][0]
    delta = torch.zeros_like(start, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=hparams.learning_rate)
    row, position, token = prompts.targets.T
    for step in range(hparams.steps):
        logits = run()
        nll = -logits[row, position].log_softmax(-1).gather(1, token[:, None]).mean()
        now = logits[prompts.preserved[:, 0], prompts.preserved[:, 1]].log_softmax(-1)
        kl = (now.exp() * (now - before)).sum(-1).mean()
        loss = nll + hparams.kl_factor * kl + hparams.weight_decay * delta.norm() / start.norm() ** 2
        if float(loss.detach()) < hparams.stop_loss or step == hparams.steps - 1:
            break
        (delta.grad,) = torch.autograd.grad(loss, [delta])
        adam.step()
        with torch.no_grad():
            delta.mul_(min(1.0, float(hparams.clamp * start.norm() / delta.norm())))
    return start + delta.detach()


def compare(name: str, ours: Callable[[], Tensor], plain: Callable[[], Tensor], rounds: int) -> None:
    """Time both in turn; print medians, the ratio, and how far the results are apart."""
    spent = [(timed(ours), timed(plain)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*spent, strict=True))
    ratios = sorted(b / a for a, b in spent)
    found, expected = ours(), plain()
    apart = float((found - expected).norm() / expected.norm())
    print(
        f"  {name:44} ours {mine:8.3f} s, plain {other:8.3f} s: ratio {other / mine:5.1f} "
        f"({ratios[0]:.1f} to {ratios[-1]:.1f}); differ by {apart:.0e}",
        flush=True,
    )


def values(model: fl.Model, layer: int, rounds: int, batch: int) -> None:
    hparams = RomeHparams(stop_loss=0.0)
    contexts = contexts_for(model, hparams)

    def ours(facts: list[fl.Fact]) -> Tensor:
        prompts = make_prompts(model, facts, contexts, hparams.keep)
        with model.exclusive():
            return optimise_values(Tail.read(model, layer, prompts), prompts, "mlp", hparams).optimised

    def plain(facts: list[fl.Fact]) -> Tensor:
        prompts = make_prompts(model, facts, contexts, hparams.keep)
        with model.exclusive():
            return plain_value(model, layer, prompts, hparams)[None].double().cpu()

    one, many = facts_of(1), facts_of(batch)
    compare("v* of one fact, 20 steps, 21 contexts", lambda: ours(one), lambda: plain(one), rounds)
    compare(
        f"v* of {batch} facts at once against one by one",
        lambda: ours(many),
        lambda: torch.cat([ours([fact]) for fact in many]),
        min(3, rounds),
    )


def solves(width: int, edits: int, rounds: int) -> None:
    hparams = MemitHparams()
    keys = torch.randn(3 * width, width)
    moment = SecondMoment((keys.T @ keys).double(), len(keys), 0, "none", "random keys")
    new = torch.randn(width, edits, dtype=torch.float64)
    solve = least_squares({0: moment}, hparams)
    began = time.perf_counter()
    solve(0, new)
    print(f"  the factor of C, once for all edits of a layer: {time.perf_counter() - began:.2f} s")
    C = moment.matrix.double()
    compare(
        f"MEMIT's solve, {edits} edits, keys {width} wide",
        lambda: solve(0, new),
        lambda: torch.linalg.solve(hparams.moment_weight * C + new @ new.T, new),
        rounds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a Hub id, a folder or a .gguf file, instead of a shape")
    parser.add_argument("--shape", choices=[*sorted(SHAPES), "atlas"], action="append")
    parser.add_argument("--device")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--facts", type=int, help="also time one ROME edit, and MEMIT with so many facts, as wholes")
    options = parser.parse_args()
    for shape in [None] if options.model else options.shape or ("gpt2", "atlas"):
        if shape is None:
            model = fl.load(options.model, device=options.device, dtype=options.dtype)
        elif shape == "atlas":
            model = fl.load("atlas", device=options.device)
        else:
            model = random_model(SHAPES[shape], options.device, options.dtype)
        layer = model.n_layers // 2 - 1
        print(
            f"\n{model.name}: {model.n_layers} layers × {model.width}, layer {layer}, {model.dtype}, {model.device}, "
            f"{torch.get_num_threads()} threads, medians"
        )
        values(model, layer, options.rounds, options.batch)
        solves(model.down_projection(layer).key_width, 100, options.rounds)
        if options.facts:
            wholes(model, layer, options.facts)


def wholes(model: fl.Model, layer: int, facts: int) -> None:
    one = timed(lambda: fl.edit(model, facts_of(1)[0], layers=layer, apply=False))
    print(f"  one ROME edit, second moment included: {one:.2f} s")
    one = timed(lambda: fl.edit(model, facts_of(2)[1], layers=layer, apply=False))
    print(f"  one more: {one:.2f} s")
    many = timed(lambda: fl.edit(model, facts_of(facts), method="memit", apply=False))
    print(f"  MEMIT, {facts} facts, second moments included: {many:.1f} s", flush=True)


if __name__ == "__main__":
    main()
