"""How well attribution patching ranks the cells of the exact grids, on facts that atlas knows.

    python benchmarks/attribution_patching.py    # 100 facts; prints what factlens/tracing/estimate_quality.py states

Spearman's rank correlation over the cells from the subject's first token on (left of it every effect is zero), for
each fact and kind; the table gives its mean over facts, the tenth percentile, and how often the strongest estimated
cell is among the three strongest exact ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from random import Random

import numpy as np
from scipy.stats import spearmanr

import factlens as fl
from factlens.models.atlas.knowledge import load_knowledge
from factlens.tracing import KINDS


def known_facts(model: fl.Model, count: int, seed: int = 0) -> Iterator[fl.Fact]:
    """Yield facts of atlas's file, in trained and held-out wordings, that the model answers rightly."""
    random, statements = Random(seed), load_knowledge().statements
    while count:
        statement = random.choice(statements)
        template, subject = statement.parts(random.choice([*statement.trained, *statement.held_out]))
        fact = fl.Fact(template, subject)
        if model.answers(fact.prompt, k=1)[0].text == statement.answer:
            count -= 1
            yield fact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=int, default=100)
    parser.add_argument("--metric", default="probability", choices=["probability", "log_probability"])
    options = parser.parse_args()
    model = fl.load("atlas", device="cpu")
    ranks: dict[str, list[float]] = {kind: [] for kind in KINDS}
    hits: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for fact in known_facts(model, options.facts):
        trace = fl.trace(model, fact, estimate="attribution_patching", metric=options.metric)
        assert trace.estimate is not None
        for kind in KINDS:
            exact = trace.scores.sel(kind=kind).values[trace.subject_range[0] :].ravel()
            guess = trace.estimate.sel(kind=kind).values[trace.subject_range[0] :].ravel()
            ranks[kind].append(float(spearmanr(exact, guess).statistic))
            hits[kind].append(int(guess.argmax()) in np.argsort(exact)[-3:])
    print(f"{options.facts} facts, {options.metric}:")
    for kind in KINDS:
        print(
            f"  {kind:5}  rank correlation {np.mean(ranks[kind]):.2f} (tenth percentile "
            f"{np.quantile(ranks[kind], 0.1):.2f}); strongest estimate among the three strongest cells: "
            f"{np.mean(hits[kind]):.0%}"
        )


if __name__ == "__main__":
    main()
