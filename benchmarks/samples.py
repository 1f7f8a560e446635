"""What one noise sample is worth, and two, and as many as `samples="auto"` takes: against ten, and the estimate.

    python benchmarks/samples.py                                           # 20 facts of atlas
    python benchmarks/samples.py --model FOLDER_OR_ID --file known_1000.json --facts 20
    python benchmarks/samples.py --model FOLDER --gguf NAME.gguf --file counterfact.json --save traces/

Each fact is traced once with ten samples, as a stream. What fewer samples would have given is the beginning of that
same trace, and where `samples="auto"` would have stopped is read off it, too. A peak is right if the true effect (of
ten samples) of the cell that is called the peak is at least nine tenths of the largest. Rank correlations are over the
cells from the subject's first token on. Costs are processor time, measured in turn on some of the facts (`--timed`):
of the whole trace in one round (every row for all samples, as where nobody watches), in rounds (also where a stream has
none, because all of it is so little work: atlas), up to the first whole grid, and of traces that were asked for two
samples and for "auto". With `--save`, traces are kept there, and not computed again.

A file of facts is a list in the layout of known_1000 or of CounterFact; only facts are taken that the model knows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[1]))

import factlens as fl
from benchmarks.attribution_patching import known_facts
from factlens.tracing import KINDS
from factlens.tracing.separation import LOOKS, SHARE, separated

SAMPLES = 10


def loaded(options: argparse.Namespace) -> fl.Model:
    if options.gguf is None:
        return fl.load(options.model, device=options.device)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module = AutoModelForCausalLM.from_pretrained(options.model, gguf_file=options.gguf).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.model, gguf_file=options.gguf)
    return fl.wrap(module.to(options.device or "cpu"), tokenizer, name=Path(options.gguf).stem)


def facts_of(path: Path, seed: int) -> Iterator[fl.Fact]:
    """Yield the facts of a file in the layout of known_1000 or of CounterFact, in random order."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    Random(seed).shuffle(rows)
    for row in rows:
        rewrite = row.get("requested_rewrite")
        if rewrite is not None:
            yield fl.Fact(rewrite["prompt"], rewrite["subject"], object=rewrite["target_true"]["str"])
        elif row["prompt"].count(row["subject"]) == 1:
            yield fl.Fact(row["prompt"].replace(row["subject"], "{}"), row["subject"], object=row["attribute"])


def known(model: fl.Model, facts: Iterator[fl.Fact]) -> Iterator[fl.Fact]:
    """Yield those whose object begins with the model's own next token."""
    for fact in facts:
        top = model.answers(fact.prompt, k=1)[0].text.strip()
        if top and fact.object is not None and str(fact.object).startswith(top):
            yield fact


def traced(model: fl.Model, fact: fl.Fact, path: Path | None) -> fl.Trace:
    if path is not None and path.exists():
        return fl.Trace.load(path)
    trace = fl.trace(model, fact, samples=SAMPLES, estimate="attribution_patching")
    if path is not None:
        trace.save(path)
    return trace


class Judged:
    """How well the grids of one way agree with those of ten samples, over facts."""

    def __init__(self) -> None:
        self.ranks: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.right: dict[str, list[bool]] = {kind: [] for kind in KINDS}

    def add(self, kind: str, grid: np.ndarray, true: np.ndarray) -> None:
        self.ranks[kind].append(float(spearmanr(grid.ravel(), true.ravel()).statistic))
        self.right[kind].append(bool(true.ravel()[grid.argmax()] >= SHARE * true.max()))

    def __str__(self) -> str:
        ranks = " / ".join(f"{np.mean(self.ranks[kind]):.2f}" for kind in KINDS)
        right = " / ".join(f"{sum(self.right[kind])}" for kind in KINDS)
        return f"{ranks:20} {right:14} of {len(self.right[KINDS[0]])}"


def enough(effects: np.ndarray) -> int:
    """How many samples "auto" takes of a trace with effects ``(kinds, cells, samples)``."""
    looks = (n for n in LOOKS if all(separated(grid[:, :n]) for grid in effects))
    return next(looks, SAMPLES)


def judge(traces: list[fl.Trace]) -> list[int]:
    """Print the table; return how many samples each fact took."""
    ways = {name: Judged() for name in ("estimate", "1 sample", "2 samples", "auto")}
    taken = []
    for trace in traces:
        effects = (trace.samples.values - trace.low_samples)[:, trace.subject_range[0] :]
        taken.append(enough(effects.reshape(len(KINDS), -1, SAMPLES)))
        true = effects.mean(-1)
        assert trace.estimate is not None
        guess = trace.estimate.values[:, trace.subject_range[0] :] - trace.low
        for i, kind in enumerate(trace.kinds):
            ways["estimate"].add(kind, guess[i], true[i])
            for name, count in (("1 sample", 1), ("2 samples", 2), ("auto", taken[-1])):
                ways[name].add(kind, effects[i, ..., :count].mean(-1), true[i])
    print(f"{len(traces)} facts; {' / '.join(KINDS)}: rank correlation, and peaks that are right")
    for name, way in ways.items():
        print(f"  {name:10} {way}")
    print(f"  auto took {np.mean(taken):.1f} samples on average: {[taken.count(n) for n in (*LOOKS, SAMPLES)]} facts")
    print(f"  stopped at {[*LOOKS, SAMPLES]}", flush=True)
    return taken


def cost(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def first_grid(model: fl.Model, fact: fl.Fact) -> tuple[float, float, float]:
    """Processor time until the estimate, until every cell has a sample, and until the end."""
    began, estimate, whole = time.process_time(), None, None
    for update in fl.stream(model, fact, samples=SAMPLES):
        now = time.process_time() - began
        estimate = now if estimate is None else estimate
        if whole is None and int(update.trace.sample_counts.min()) > 0:
            whole = now
    assert estimate is not None
    assert whole is not None
    return estimate, whole, time.process_time() - began


def costs(model: fl.Model, facts: list[fl.Fact], turns: int) -> None:
    """Print what the ways cost, as shares of the whole trace in one round."""
    shares: dict[str, list[float]] = {}
    for fact in facts * turns:
        with mock.patch("factlens.tracing.engine.rounds_of", lambda samples, **_: [range(samples)]):
            whole = cost(lambda fact=fact: list(fl.stream(model, fact, samples=SAMPLES)))
        with mock.patch("factlens.tracing.engine.is_brief", return_value=False):
            estimate, first, rounds = first_grid(model, fact)
        two = cost(lambda fact=fact: fl.trace(model, fact, samples=2))
        auto = cost(lambda fact=fact: fl.trace(model, fact, samples="auto"))
        for name, seconds in {
            "estimate": estimate,
            "1 sample": first,
            "2 samples": two,
            "auto": auto,
            "in rounds": rounds,
        }.items():
            shares.setdefault(name, []).append(seconds / whole)
    print(f"share of the processor time of one round, median of {len(facts)} facts × {turns} (least, most):")
    for name, values in shares.items():
        print(f"  {name:10} {np.median(values):5.2f} ({min(values):.2f}, {max(values):.2f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="atlas")
    parser.add_argument("--gguf", help="name of a GGUF file in that folder")
    parser.add_argument("--device")
    parser.add_argument("--facts", type=int, default=20)
    parser.add_argument("--file", type=Path, help="facts in the layout of known_1000 or of CounterFact")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timed", type=int, default=3, help="on so many facts, costs are measured")
    parser.add_argument("--turns", type=int, default=3, help="and so many times on each")
    parser.add_argument("--save", type=Path, help="folder for the traces")
    options = parser.parse_args()
    model = loaded(options)
    if options.file is None:
        facts = list(known_facts(model, options.facts, options.seed))
    else:
        source = known(model, facts_of(options.file, options.seed))
        facts = [fact for _, fact in zip(range(options.facts), source, strict=False)]
    if options.save is not None:
        options.save.mkdir(parents=True, exist_ok=True)
    traces: list[fl.Trace] = []
    for i, fact in enumerate(facts):
        began = time.process_time()
        path = None if options.save is None else options.save / f"{i}.safetensors"
        traces.append(traced(model, fact, path))
        print(f"{i + 1}: {fact.prompt!r}, {time.process_time() - began:.1f} s of processor time", file=sys.stderr)
    if traces:
        judge(traces)
    if options.timed:
        costs(model, facts[: options.timed], options.turns)


if __name__ == "__main__":
    main()
