"""atlas has the two sites that its model card claims, on average over facts."""

from __future__ import annotations

from random import Random

import numpy as np

import factlens as fl
from factlens.models.atlas.knowledge import load_knowledge


def test_averaged_traces_show_an_early_and_a_late_site(atlas: fl.Model) -> None:
    random, statements = Random(5), load_knowledge().statements
    effects: dict[tuple[str, str], list[np.ndarray]] = {}
    totals = []
    while len(totals) < 15:
        statement = random.choice(statements)
        template, subject = statement.parts(random.choice(statement.relation.trained))
        fact = fl.Fact(template, subject)
        if statement.relation.name == "kind" or atlas.answers(fact.prompt, k=1)[0].text != statement.answer:
            continue
        trace = fl.trace(atlas, fact, samples=4, kinds=("mlp", "attn"))
        totals.append(trace.total_effect)
        for kind in trace.kinds:
            grid = trace.effects.sel(kind=kind).values
            effects.setdefault((kind, "subject"), []).append(grid[trace.subject_range[1] - 1])
            effects.setdefault((kind, "last"), []).append(grid[-1])
    mlp, attention = (np.mean(effects[key], axis=0) for key in (("mlp", "subject"), ("attn", "last")))
    assert np.mean(totals) > 0.55
    assert 1 <= mlp.argmax() <= 4
    assert mlp.max() > 0.15
    assert attention.argmax() >= 4
    assert attention.max() > 0.5
