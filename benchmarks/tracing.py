"""Causal tracing, ours against the plain protocol, side by side in one run.

    python benchmarks/tracing.py                    # atlas and a GPT-2-small-shaped random model
    python benchmarks/tracing.py gpt2-xl --device cuda

The plain protocol is one full forward pass of S + 1 rows per cell, as in the published code. On larger models only
some of its cells are run, spread over the grid, and their time is scaled up; the table says so. FLOPs are counted by
torch while the passes run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

import factlens as fl
from factlens.tracing.windows import default_window, window_layers
from tests.tracing.oracle import restored_probability

SAMPLES = 10


def gpt2_small_shape() -> fl.Model:
    """A random model of GPT-2 small's shape, with atlas's tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = fl.load("atlas").tokenizer
    torch.manual_seed(0)
    return fl.wrap(GPT2LMHeadModel(GPT2Config()).eval(), tokenizer, name="gpt2 shape (random)")


def plain_cells(model: fl.Model, fact: fl.Fact, trace: fl.Trace, every: int) -> tuple[int, Callable[[], None]]:
    """Return how many cells the plain protocol has, and a function that runs every `every`-th of them."""
    start, stop = trace.subject_range
    noise = np.random.RandomState(1).randn(SAMPLES, stop - start, model.width) * trace.noise_level
    cells = []
    for token in range(len(trace.tokens)):
        for layer in range(model.n_layers):
            near = window_layers(layer, default_window(model.n_layers), model.n_layers)
            cells.append((token, [model.blocks[layer]]))
            cells.append((token, [model.mlp(i) for i in near]))
            cells.append((token, [model.attention(i) for i in near]))

    def run() -> None:
        for token, modules in cells[::every]:
            restored_probability(model, fact, noise, trace.answer_id, token, modules)

    return len(cells), run


def timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def counted(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def compare(model: fl.Model, fact: fl.Fact, rounds: int, every: int) -> None:
    """Time both ways in turn, and print one line."""

    def ours() -> fl.Trace:
        return fl.trace(model, fact, samples=SAMPLES)

    trace = ours()
    total, plain = plain_cells(model, fact, trace, every)
    share = len(range(0, total, every)) / total
    pairs = [(timed(ours), timed(plain) / share) for _ in range(rounds)]
    ratios = [b / a for a, b in pairs]
    flops, plain_flops = counted(ours), counted(plain) / share
    note = "" if every == 1 else f" (1 cell in {every} run, scaled)"
    print(
        f"{model.name:24} {len(trace.tokens):3d} tokens × {model.n_layers} layers × 3 kinds: "
        f"ours {statistics.median(a for a, _ in pairs):7.2f} s, plain {statistics.median(b for _, b in pairs):7.2f} s"
        f"{note}, ratio {statistics.median(ratios):5.1f} (min {min(ratios):.1f}, max {max(ratios):.1f}); "
        f"FLOPs {flops / 1e9:.1f} G against {plain_flops / 1e9:.1f} G, ratio {plain_flops / flops:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="a Hub id or folder; default: atlas and a random GPT-2 shape")
    parser.add_argument("--device")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, default=8, help="of the plain protocol, run one cell in so many")
    options = parser.parse_args()
    fact = fl.Fact("{} is in downtown", subject="The Space Needle")
    longer = fl.Fact("It is said that, as everyone knows, {} can be found in the city of", "The Space Needle")
    if options.model:
        compare(fl.load(options.model, device=options.device), fact, options.rounds, options.every)
        return
    atlas = fl.load("atlas", device=options.device)
    compare(atlas, fact, options.rounds, 1)
    compare(atlas, longer, options.rounds, 1)
    compare(gpt2_small_shape(), fact, options.rounds, options.every)


if __name__ == "__main__":
    main()
