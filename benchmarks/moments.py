"""Second moments: how much slower collecting them is than the forward pass that it needs, side by side in one run.

    python benchmarks/moments.py                        # a random model of GPT-2 small's shape, layer 5
    python benchmarks/moments.py --layers 3,5 --sequence 256 --tokens 32768 --device cuda
    python benchmarks/moments.py --model FOLDER --own 2000,5000 --layers 1,2,3,4 --rounds 1

"Bare" is the model's own forward pass over the same rows of tokens, cut and on the device already, stopped before the
deepest layer's down projection, with nothing kept. "Ours" is `factlens.moments.collect`, from text to statistic. It
computes GPT-2's activation in one kernel, as all of factlens does; "bare, fused" is the bare pass with that. The ways
take turns, and medians are over the rounds.

With `--own` the text is what the model writes itself. "Writing, then reading" lets it write 64 texts at a time, makes
them strings, tokenises these and reads them for their keys; "keys while writing" is what factlens does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

import factlens as fl
from benchmarks.tracing import SHAPES, random_model, synchronise, timed
from factlens.models.hooks import fused_activations, run_until_stopped, stopping_before
from factlens.models.sampling import sample_texts
from factlens.moments import SecondMoment, collect, own_corpus
from factlens.moments.rows import TokenRows


def bare(model: fl.Model, deepest: int, batches: list[Tensor], *, fused: bool) -> None:
    module = model.down_projection(deepest).module
    with torch.no_grad(), stopping_before(module), fused_activations(model.model) if fused else nullcontext():
        for ids in batches:
            run_until_stopped(lambda ids=ids: model.model(input_ids=ids, use_cache=False))
    synchronise()


def own_text(model: fl.Model, layers: list[int], amounts: list[int], length: int, rounds: int) -> None:
    """Print how long second moments of the model's own text take, by two ways, and the share of every part of it."""

    def texts() -> Iterator[str]:
        for number in count():
            yield from sample_texts(model, 64, length - 1, number, top_k=50)

    for tokens in amounts:
        ways: dict[str, Callable[[], object]] = {
            "writing, then reading": lambda tokens=tokens: collect(
                model, layers, texts(), tokens=tokens, corpus="its own", sequence=length
            ),
            "keys while writing": lambda tokens=tokens: collect(
                model, layers, own_corpus(model, sequence=length), tokens=tokens, sequence=length
            ),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, run in ways.items():
                seconds[name].append(timed(run))
        for name, taken in seconds.items():
            median = statistics.median(taken)
            print(f"  {tokens:7,} tokens, {name:22} {median:7.1f} s ({tokens / median:,.0f} tokens/s)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=sorted(SHAPES), default="gpt2")
    parser.add_argument("--model", help="what factlens.load takes, in the place of a random model")
    parser.add_argument("--own", help="how many tokens of the model's own text: 2000 or 2000,5000,20000")
    parser.add_argument("--layers", default="5", help="5, or 3,5")
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--sequence", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.model:
        model = fl.load(options.model, device=options.device, dtype=options.dtype)
    else:
        model = random_model(SHAPES[options.shape], options.device, options.dtype)
    layers = [int(layer) for layer in options.layers.split(",")]
    if options.own:
        print(f"{model}, layers {options.layers}, {torch.get_num_threads()} threads, median of {options.rounds}")
        own_text(model, layers, [int(amount) for amount in options.own.split(",")], options.sequence, options.rounds)
        return
    corpus = fl.load("atlas", device="cpu").corpus
    texts = [text for text, _ in zip(corpus(0), range(options.tokens // 8), strict=False)]
    # What one pass of ours takes on a CPU and elsewhere.
    batch = (4096 if model.device.type == "cpu" else 16384) // options.sequence
    rows, batches = TokenRows(model, iter(texts), options.sequence), []
    while sum(ids.numel() for ids in batches) < options.tokens:
        left = (options.tokens - sum(ids.numel() for ids in batches)) // options.sequence
        batches.append(rows.take(min(batch, left)).to(model.device))
    tokens = sum(ids.numel() for ids in batches)

    def ours() -> dict[int, SecondMoment]:
        return collect(model, layers, texts, tokens=tokens, corpus="atlas's", sequence=options.sequence)

    ways: dict[str, Callable[[], object]] = {
        "bare": lambda: bare(model, layers[-1], batches, fused=False),
        "bare, fused": lambda: bare(model, layers[-1], batches, fused=True),
        "ours": ours,
    }
    print(
        f"{options.model or options.shape}, layers {options.layers}, {tokens:,} tokens in rows of {options.sequence}, "
        f"{model.dtype} on {model.device}, {torch.get_num_threads()} threads, median of {options.rounds}"
    )
    for run in ways.values():
        run()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, run in ways.items():
            synchronise()
            began = time.perf_counter()
            run()
            synchronise()
            rates[name].append(tokens / (time.perf_counter() - began))
    for name, found in rates.items():
        print(f"  {name:12} {statistics.median(found):8,.0f} tokens/s ({min(found):,.0f} to {max(found):,.0f})")
    for name in ("bare", "bare, fused"):
        shares = [a / b for a, b in zip(rates["ours"], rates[name], strict=True)]
        print(f"  ours / {name}: {statistics.median(shares):.0%} ({min(shares):.0%} to {max(shares):.0%})")


if __name__ == "__main__":
    main()
