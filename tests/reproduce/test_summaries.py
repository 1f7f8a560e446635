"""What is said of the numbers, and that it is what the numbers say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import factlens as fl
from factlens.reproduce import fig2_summary, sweep_summary
from factlens.reproduce.peaks import markdown, number, peak_of, percent
from factlens.tracing.labels import label_samples
from factlens.tracing.statistics import mean_interval
from tests.tracing.made import made_trace


def test_the_peak_of_a_curve() -> None:
    curve = np.array([0.1, 0.3, 0.6, 1.0, 0.5, 0.4, 0.9])
    facts = curve + np.random.default_rng(0).normal(0, 0.01, (12, 1))
    peak = peak_of(facts)
    assert (peak.layer, peak.first, peak.last) == (3, 2, 4), "what is high again behind a gap is another site"
    assert (peak.layer_low, peak.layer_high) == (3, 3)
    assert (peak.lower, peak.upper) == pytest.approx([float(bound) for bound in mean_interval(facts[:, 3])])
    assert (peak.where, peak.site) == ("layer 3 [3, 3]", "layers 2 to 4")
    named = peak_of(facts[:, [0, 3]], [0, 30])
    assert (named.layer, named.first, named.last, named.site) == (30, 30, 30, "layer 30")


def test_a_peak_that_few_facts_hold_is_not_sure() -> None:
    facts = np.zeros((10, 4))
    facts[:5, 0] = 1
    facts[5:, 3] = 1.1
    peak = peak_of(facts)
    assert (peak.layer, peak.layer_low, peak.layer_high) == (3, 0, 3)
    alone = peak_of(facts[:1])
    assert np.isnan([alone.lower, alone.upper]).all()
    assert percent(alone.mean, alone.lower, alone.upper) == "100.0 %"


def test_numbers_and_tables() -> None:
    assert percent(0.0661, 0.05, 0.08) == "6.6 % [5.0, 8.0]"
    assert number(-0.333, -0.5, 0.25) == "-0.33 [-0.50, 0.25]"
    assert percent(float("nan")) == number(float("nan")) == "–"
    assert markdown(["a", "b"], [["1 | 2", "3\n4"]]) == "| a | b |\n| --- | --- |\n| 1 \\| 2 | 3 4 |"


def traces(mlp: int, attn: int, state: int = 1) -> list[fl.Trace]:
    """Six traces of the same facts: MLPs have a bump at a layer at the subject's last token, attention at the end."""
    made = []
    for number_of_fact in range(6):
        random = np.random.default_rng(number_of_fact)
        values = 0.1 + random.uniform(0, 0.02, (3, 6, 8, 2))
        for kind, token, layer in ((0, 2, state), (1, 2, mlp), (2, 5, attn)):
            values[kind, token, layer] += 0.4 + 0.05 * random.uniform()
            values[kind, token, layer - 1] += 0.25
        tokens = ("The", " Space", " Needle", " is", " in", " downtown")
        labelled = label_samples(values.astype(np.float32), ("state", "mlp", "attn"), tokens, (1, 3))
        made.append(replace(made_trace(samples=2), samples=labelled))
    return made


def test_where_the_sites_are() -> None:
    averaged = fl.average(traces(mlp=2, attn=5))
    text = "\n\n".join(fig2_summary.summary(averaged))
    assert "6 facts were traced." in text
    assert f"| total effect | {percent(0.8, *averaged.total_interval())}" in text
    interval = averaged.interval().sel(kind="mlp", role="last subject token", layer=2)
    effect = float(averaged.effects.sel(kind="mlp", role="last subject token", layer=2))
    shown = percent(effect, *map(float, interval))
    assert f"| mlp, last subject token | {shown} | layer 2 [2, 2] | layers 1 to 2 | 6.6 % |" in text
    assert "**Early site**, MLPs at the subject's last token: layer 2 [2, 2] of 8, layers 1 to 2." in text
    assert "There MLPs bring back more than attention does" in text
    assert "ROME edits layer 17 there" in text
    assert (
        "**Late site**, attention at the prompt's last token: layer 5 [5, 5], layers 4 to 5, behind the early" in text
    )
    assert "There attention brings back more than MLPs do" in text
    assert "not behind the early one" in "".join(fig2_summary.summary(fl.average(traces(mlp=6, attn=3))))


def swept(best: int, apart: float = 1) -> str:
    """The summary of a sweep over three layers, in which the state's effect is largest at layer 3."""
    layers, each = (1, 3, 6), traces(mlp=3, attn=5, state=3)

    def others(layer: int, i: int) -> float:
        return 0.1 * layer - 0.02 * i if apart else 0.44 + 0.1 * (-1) ** i + layer / 6

    rows = [
        {
            "record": f"case {i}",
            "layer": layer,
            "tracing_effect": trace.effects.sel(kind="state").values[2, layer],
            "rewrite_score": 0.9 + 0.02 * i if layer == best else others(layer, i),
        }
        for i, trace in enumerate(each)
        for layer in layers
    ]
    pairs = pd.DataFrame(rows)
    score = pd.DataFrame(
        {"after": [0.5, 0.9, 0.85], "after_low": [0.4, 0.8, 0.7], "after_high": [0.6, 1.0, 0.9]},
        index=pd.MultiIndex.from_tuples([(f"layer {layer}", "score") for layer in layers]),
    )
    report: Any = SimpleNamespace(skipped=(), outcomes=rows, summary=lambda: score)
    shares = {"layer": 0.7, "tracing effect": 0.1, "layer and tracing effect": 0.75}
    traced: Any = dict(enumerate(each))
    text = "\n\n".join(sweep_summary.summary(report, pairs, traced, shares, "rome", 6, "state"))
    ranks = [spearmanr(one.tracing_effect, one.rewrite_score).statistic for _, one in pairs.groupby("record")]
    assert f"the rewrite score: {np.mean(ranks):.2f} [" in text
    return text


def test_whether_the_best_layer_is_the_causal_peak() -> None:
    text = swept(best=3)
    assert "largest at layer 3 [3, 3], and the rewrite score at layer 3 [3, 3]. They coincide." in text
    assert "By itself, rome edits layer 6 of this model, with a rewrite score of 0.55." in text
    assert "S of edits (ES, PS and NS) | 90.0 % [80.0, 100.0] | layer 3 | within its interval: 3, 6 |" in text
    assert "Where tracing has the larger effect, edits succeed more." in text
    assert "by both: 0.75, so that the effect adds 0.05. In GPT-J the layer explains 0.947" in text
    text = swept(best=6)
    assert "and the rewrite score at layer 6 [6, 6]. They do not coincide: editing at the causal peak, " in text
    assert "the rewrite score is 0.70 [" in text
    assert "edits succeed more" not in text
    assert "These facts do not tell the two apart" in swept(best=6, apart=0)
