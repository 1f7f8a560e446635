"""What it costs to know that the weights are what they were, as a share of the work it is done for.

    python benchmarks/identity.py                                 # atlas, and a random model of GPT-2 small's shape
    python benchmarks/identity.py --model gpt2-xl --device cuda   # a real checkpoint

Before anything is computed, and at its end, every value of every parameter is looked at again (`factlens.models.
identity`). The time that is spent with it is counted inside of whole traces and edits, so that the share is of the very
run that it is divided by; medians of some rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import factlens as fl
from benchmarks.tracing import SAMPLES, random_model, timed
from factlens.models.identity import Inventory
from factlens.tracing import KINDS

FACT = fl.Fact("{} is in the city of", "The Space Needle", target="Paris")


@contextmanager
def looking() -> Iterator[list[float]]:
    """Count the seconds that looks take in the block."""
    seconds: list[float] = []
    real: dict[str, Any] = {name: getattr(Inventory, name) for name in ("find", "changed")}

    def counting(look: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return look(*args, **kwargs)
            finally:
                seconds.append(time.perf_counter() - began)

        return counted

    for name, look in real.items():
        setattr(Inventory, name, counting(look))
    try:
        yield seconds
    finally:
        for name, look in real.items():
            setattr(Inventory, name, look)


def measure(name: str, model: fl.Model, rounds: int) -> None:
    weights = model._record.weights
    size = sum(p.numel() * p.element_size() for p in model.model.parameters())
    full = statistics.median(timed(lambda: weights.changed(full=True)) for _ in range(rounds))
    quick = statistics.median(timed(lambda: weights.changed(full=False)) for _ in range(10 * rounds))
    print(
        f"\n{name}: {size / 2**20:,.0f} MB in {len(weights.slots)} tensors, {model.dtype}, "
        f"{torch.get_num_threads()} threads, median of {rounds}"
    )
    print(f"one full look {1e3 * full:.2f} ms ({size / full / 1e9:.1f} GB/s), a quick one {1e3 * quick:.3f} ms")
    print(f"{'':24} {'whole':>10} {'looking':>10} {'share':>8}")
    work: dict[str, Callable[[], object]] = {
        "trace, states": lambda: fl.trace(model, FACT, samples=SAMPLES, kinds=("state",)),
        "trace, all kinds": lambda: fl.trace(model, FACT, samples=SAMPLES, kinds=KINDS),
        "edit (ft, 10 steps)": lambda: fl.edit(model, FACT, method="ft", layers=1, steps=10, apply=False),
        "answers": lambda: model.answers(FACT.prompt),
    }
    for what, run in work.items():
        run()
        pairs = []
        for _ in range(rounds):
            with looking() as seconds:
                pairs.append((timed(run), sum(seconds)))
        whole = statistics.median(pair[0] for pair in pairs)
        looked = statistics.median(pair[1] for pair in pairs)
        print(f"{what:24} {1e3 * whole:>7.1f} ms {1e3 * looked:>7.2f} ms {looked / whole:>8.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a checkpoint to load instead of the two models")
    parser.add_argument("--device")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if options.model:
        measure(options.model, fl.load(options.model, device=options.device), options.rounds)
        return
    measure("atlas", fl.load("atlas", device=options.device), options.rounds)
    measure("GPT-2 small's shape, random", random_model({}, options.device), max(1, options.rounds // 2))


if __name__ == "__main__":
    main()
