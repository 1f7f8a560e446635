"""Causal tracing, ours against the plain protocol, side by side in one run.

    python benchmarks/tracing.py                                  # atlas, and a random model of GPT-2 small's shape
    python benchmarks/tracing.py --shape gpt2-xl --device cuda --dtype bfloat16
    python benchmarks/tracing.py --model gpt2-xl --device cuda    # a real checkpoint
    python benchmarks/tracing.py --model path/to/model.gguf
    python benchmarks/tracing.py --scaling docs/tracing-cost.svg  # cost against tokens, layers and samples

The plain protocol is one full forward pass of S + 1 rows per cell, as in the published code. Of larger models only
some of its cells are run, spread over the grid, and their time is scaled up; the table says so. Every cell that is
run is compared with ours. FLOPs are counted by torch while the passes run; "bound" is ours in time over what the
counted FLOPs would take at the rate of a matrix product of 2048 × 2048, measured in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

import factlens as fl
from factlens.drawing.figure import new_figure
from factlens.tracing import KINDS
from tests.tracing.oracle import restored_probability

SAMPLES = 10
SHAPES = {
    "gpt2": {},
    "gpt2-xl": {"n_layer": 48, "n_embd": 1600, "n_head": 25},
    "tiny": {"n_layer": 6, "n_embd": 256, "n_head": 8},
}


def random_model(shape: dict[str, int], device: str | None = None, dtype: str = "float32") -> fl.Model:
    """A random GPT-2 of some shape, with its vocabulary of 50,257 and atlas's tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    module = GPT2LMHeadModel(GPT2Config(**shape)).eval()
    return fl.wrap(module.to(device or "cpu", getattr(torch, dtype)), fl.load("atlas").tokenizer, name="random")


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(run: Callable[[], object]) -> float:
    synchronise()
    began = time.perf_counter()
    run()
    synchronise()
    return time.perf_counter() - began


def counted(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def product_rate(model: fl.Model) -> float:
    """FLOPs per second of a large matrix product, on the model's device and in its number format."""
    side = 2048 if model.device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=model.device).to(model.dtype) for _ in range(2))
    return 2 * side**3 / min(timed(lambda: a @ b) for _ in range(10))


class Plain:
    """The plain protocol on one fact, or on every so many-th of its cells."""

    def __init__(self, model: fl.Model, fact: fl.Fact, trace: fl.Trace, kinds: tuple[str, ...], every: int) -> None:
        start, stop = trace.subject_range
        self.noise = np.random.RandomState(1).randn(SAMPLES, stop - start, model.embedding_width) * trace.noise_level
        self.model, self.fact, self.trace = model, fact, trace
        cells = [(k, t, i) for k in kinds for t in range(len(trace.tokens)) for i in range(model.n_layers)]
        self.cells, self.share = cells[::every], len(cells[::every]) / len(cells)

    def modules(self, kind: str, layer: int) -> list[torch.nn.Module]:
        if kind == "state":
            return [self.model.blocks[layer]]
        part = self.model.mlp if kind == "mlp" else self.model.attention
        return [part(i) for i in self.trace.window_of(layer)]

    def run(self) -> float:
        """Run the cells; return the largest difference from our trace."""
        worst = 0.0
        for kind, token, layer in self.cells:
            modules = self.modules(kind, layer)
            found = restored_probability(self.model, self.fact, self.noise, self.trace.answer_id, token, modules)
            ours = self.trace.samples.sel(kind=kind).values[token, layer]
            worst = max(worst, float(np.abs(found - ours).max()))
        return worst


def compare(name: str, model: fl.Model, fact: fl.Fact, rounds: int, every: int) -> None:
    """Time both ways in turn for each kind and for all three at once, and print a line for each."""
    encoding = model.encode(fact)
    print(
        f"\n{name}: {model.n_layers} layers × {model.width}, vocabulary {model.head.weight.shape[0]}, "
        f"{len(encoding.ids)} tokens with the subject at {list(encoding.subject_range)}, {SAMPLES} samples, "
        f"{model.dtype}, {torch.get_num_threads()} threads, median of {rounds}"
    )
    rate = product_rate(model)
    for kinds in (*((kind,) for kind in KINDS), KINDS):

        def ours(kinds: tuple[str, ...] = kinds) -> fl.Trace:
            return fl.trace(model, fact, samples=SAMPLES, kinds=kinds)

        plain = Plain(model, fact, ours(), kinds, every)
        worst = plain.run()
        pairs = [(timed(ours), timed(plain.run) / plain.share) for _ in range(rounds)]
        ratios = [b / a for a, b in pairs]
        flops, plain_flops = counted(ours), counted(plain.run) / plain.share
        seconds = statistics.median(a for a, _ in pairs)
        print(
            f"  {'+'.join(kinds):15} ours {seconds:7.3f} s, plain {statistics.median(b for _, b in pairs):8.3f} s"
            f"{'' if every == 1 else f' (1 cell in {every})'}: ratio {statistics.median(ratios):5.1f} "
            f"({min(ratios):.1f} to {max(ratios):.1f}); {flops / 1e9:7.1f} GFLOP against {plain_flops / 1e9:8.1f}, "
            f"ratio {plain_flops / flops:5.1f}; bound {seconds * rate / flops:4.2f}; differ by {worst:.0e}",
            flush=True,
        )
    arrivals(model, fact)


def arrivals(model: fl.Model, fact: fl.Fact) -> None:
    """Say when the estimate and the first whole row arrive, as shares of the whole time."""
    shares: list[tuple[float, float]] = []
    for _ in range(5):
        synchronise()
        began = time.perf_counter()
        estimate = row = None
        for update in fl.stream(model, fact, samples=SAMPLES):
            now = time.perf_counter() - began
            estimate = now if estimate is None else estimate
            done = np.isfinite(update.trace.samples.values[:, list(update.tokens)]).all() if update.tokens else False
            row = now if row is None and done else row
        whole = time.perf_counter() - began
        shares.append((estimate / whole, (row or whole) / whole))  # type: ignore[operator]
    print(
        f"  all three kinds: estimate after {statistics.median(a for a, _ in shares):.0%} of the time, first row after "
        f"{statistics.median(b for _, b in shares):.0%}"
    )


def scaling(path: Path) -> None:
    """Plot counted work and time against tokens, layers and samples, on a small model."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    base = {"tokens": 16, "layers": 6, "samples": 10}
    ranges = {"tokens": [10, 16, 24, 32, 48], "layers": [3, 6, 12, 18, 24], "samples": [1, 3, 10, 20, 40]}
    figure = new_figure("Drawing what it costs", 10, 3.2)
    for axes, (name, values) in zip(figure.subplots(1, 3), ranges.items(), strict=True):
        work, seconds = [], []
        for value in values:
            setting = {**base, name: value}
            model = random_model({**SHAPES["tiny"], "n_layer": setting["layers"]})
            fact = _prompt(model, setting["tokens"], words)

            def ours(model: fl.Model = model, fact: fl.Fact = fact, samples: int = setting["samples"]) -> fl.Trace:
                return fl.trace(model, fact, samples=samples)

            work.append(counted(ours) / 1e9)
            seconds.append(min(timed(ours) for _ in range(3)))
            print(f"{name} {value}: {work[-1]:.2f} GFLOP, {seconds[-1]:.3f} s", flush=True)
        axes.plot(values, np.array(work) / work[1], "o-", color="#54278f", label="counted FLOPs")
        axes.plot(values, np.array(seconds) / seconds[1], "s--", color="#a50f15", label="time")
        power = 1 if name == "samples" else 2
        axes.plot(values, (np.array(values) / values[1]) ** power, ":", color="0.5", label=f"{name}{'²' * (power > 1)}")
        axes.set(xscale="log", yscale="log", xlabel=name, title=f"against {name}")
        axes.set_xticks(values, [str(value) for value in values], minor=False)
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=8)
    figure.axes[0].set_ylabel(f"cost, relative to {base}", fontsize=8)
    figure.savefig(path)


def _prompt(model: fl.Model, tokens: int, words: list[str]) -> fl.Fact:
    """A prompt of so many tokens that begins with the subject."""
    text: list[str] = []
    while len(model.encode(fl.Fact(" ".join(["{}", *text]), "The Space Needle")).ids) < tokens:
        text.append(words[len(text) % len(words)])
    return fl.Fact(" ".join(["{}", *text]), "The Space Needle")


def atlas_facts() -> dict[str, fl.Fact]:
    return {
        "atlas, subject first": fl.Fact("{} is in downtown", "The Space Needle"),
        "atlas, subject in the middle": fl.Fact("If you want to see {}, you have to travel to", "the Space Needle"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a Hub id, a folder or a .gguf file")
    parser.add_argument("--shape", choices=sorted(SHAPES), help="a random model of this shape")
    parser.add_argument("--device")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, default=12, help="of the plain protocol, run one cell in so many")
    parser.add_argument("--scaling", type=Path, help="write a figure of the cost instead")
    options = parser.parse_args()
    if options.dtype == "float32":
        torch.set_float32_matmul_precision("high")  # TF32 where there is such a thing, for both ways alike
    long = {"subject first": "{} is in the city of the", "subject in the middle": "It is said {} is in the"}
    if options.scaling:
        scaling(options.scaling)
        return
    models: dict[str, Any] = {}
    if options.model:
        models[options.model] = fl.load(options.model, device=options.device, dtype=options.dtype)
    elif options.shape:
        models[f"{options.shape} shape"] = random_model(SHAPES[options.shape], options.device, options.dtype)
    else:
        atlas = fl.load("atlas", device=options.device)
        for name, fact in atlas_facts().items():
            compare(name, atlas, fact, options.rounds, 1)
        models["gpt2 shape"] = random_model(SHAPES["gpt2"], options.device, options.dtype)
    for name, model in models.items():
        for place, template in long.items():
            compare(f"{name}, {place}", model, fl.Fact(template, "The Space Needle"), options.rounds, options.every)


if __name__ == "__main__":
    main()
