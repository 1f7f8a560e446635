"""What a sweep over layers says, in words: whether editing works best at the layer of the causal peak."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from factlens.evaluation import Record, Report
from factlens.evaluation.intervals import interval
from factlens.reproduce.peaks import Peak, markdown, number, peak_of, percent
from factlens.reproduce.published import EXPLAINED
from factlens.tracing import Trace
from factlens.tracing.statistics import mean_interval

REFERENCE = "gpt-j-6b"
"""The model that the published text is about."""
KINDS = ("state", "mlp")
"""Whose peak is told: that of what is swept by default, and of what ROME edits."""


def summary(
    report: Report,
    pairs: pd.DataFrame,
    traced: Mapping[Record, Trace],
    shares: Mapping[str, float],
    method: str,
    default: int,
    kind: str,
) -> list[str]:
    """Return paragraphs in Markdown.

    Parameters
    ----------
    report, pairs, traced
        The edits, a row for each fact and layer, and the traces.
    shares
        R² of the rewrite score by what explains it.
    method, default
        How the facts were edited, and which layer the method edits by itself.
    kind
        Whose tracing effect is in `pairs`.
    """
    scores = pairs.pivot(index="record", columns="layer", values="rewrite_score").dropna()
    effects = pairs.pivot(index="record", columns="layer", values="tracing_effect").loc[scores.index]
    layers = [int(layer) for layer in scores.columns]
    facts = len(scores)
    lines = [f"{facts} facts were traced, and edited by {method} at each of {len(layers)} layers."]
    if len(report.skipped):
        reason = report.skipped[0].error
        lines.append(f"{len(report.skipped)} of {len(report.outcomes)} edits could not be made: {reason}")
    if not facts:
        return lines
    best = peak_of(scores.to_numpy(), layers)
    causal = {one: _causal_peak(traced, one) for one in KINDS}
    swept = peak_of(effects.to_numpy(), layers)
    lines += [
        _table(report, best, causal, layers),
        _coincidence(method, scores, best, swept, kind, default),
        _correlation(scores, effects, kind),
        _explained(shares),
        "Intervals are 95 %, over facts: bootstrap for layers, S and rank correlations, Student's for effects, rewrite "
        "scores and differences.",
    ]
    return lines


def _causal_peak(traced: Mapping[Record, Trace], kind: str) -> Peak:
    """Return the peak over all layers at the subject's last token, whichever of them were edited."""
    at_subject = [trace.effects.sel(kind=kind).values[trace.subject_range[1] - 1] for trace in traced.values()]
    return peak_of(np.stack(at_subject))


def _table(report: Report, best: Peak, causal: Mapping[str, Peak], layers: Sequence[int]) -> str:
    body = [
        [f"tracing effect of {kind}, last subject token, all layers", percent(*peak[1:4]), peak.where, peak.site]
        for kind, peak in causal.items()
    ]
    body.append(["rewrite score of edits", number(*best[1:4]), best.where, best.site])
    numbers: dict[Any, dict[str, Any]] = report.summary().to_dict("index")  # type: ignore[assignment]
    of_score = {layer: row for layer in layers if (row := numbers.get((f"layer {layer}", "score")))}
    if of_score:
        row = max(of_score.values(), key=lambda one: one["after"])
        best_ones = [layer for layer in layers if of_score[layer]["after"] == row["after"]]
        good = [layer for layer in layers if of_score[layer]["after"] >= row["after_low"]]
        shown = percent(row["after"], row["after_low"], row["after_high"])
        where = f"layer{'s' * (len(best_ones) > 1)} {', '.join(map(str, best_ones))}"
        body.append(["S of edits (ES, PS and NS)", shown, where, f"within its interval: {', '.join(map(str, good))}"])
    return markdown(["", "largest mean", "there", "at least half of it"], body)


def _coincidence(method: str, scores: pd.DataFrame, best: Peak, swept: Peak, kind: str, default: int) -> str:
    """Say whether the best layer is that of the causal peak, and what it costs to edit at the latter instead."""
    edited = f"**Does {method}'s best layer coincide with the causal peak?** Among the layers that were edited "
    peaks = f"the tracing effect of {kind} is largest at {swept.where}, and the rewrite score at {best.where}. "
    lost = (scores[best.layer] - scores[swept.layer]).to_numpy(dtype=np.float64)
    lower, upper = (float(bound) for bound in mean_interval(lost))
    if best.layer == swept.layer:
        verdict = "They coincide."
    else:
        gap = f"editing at the causal peak, the rewrite score is {number(float(lost.mean()), lower, upper)} lower"
        verdict = f"They do not coincide: {gap}." if lower > 0 else f"These facts do not tell the two apart: {gap}."
    own = f" By itself, {method} edits layer {default} of this model."
    if default in scores.columns:
        own = f"{own[:-1]}, with a rewrite score of {number(float(scores[default].mean()))}."
    return edited + peaks + verdict + own


def _correlation(scores: pd.DataFrame, effects: pd.DataFrame, kind: str) -> str:
    """Say how layers rank by tracing effect and by success: for each fact, and on average."""
    each = np.array([_rank(effects.loc[fact], scores.loc[fact]) for fact in scores.index])
    each = each[np.isfinite(each)]
    middle, lower, upper = _bootstrap_mean(each)
    whole = _rank(effects.mean(), scores.mean())
    sign = "more" if lower > 0 else "less" if upper < 0 else "neither more nor less"
    return (
        f"**Rank correlation** over layers between the tracing effect of {kind} and the rewrite score: "
        f"{number(middle, lower, upper)}, the mean over {len(each)} facts of each one's own; {number(whole)} between "
        f"the two mean curves. Where tracing has the larger effect, edits succeed {sign}."
    )


def _rank(one: pd.Series, other: pd.Series) -> float:
    if one.nunique() < 2 or other.nunique() < 2:
        return math.nan
    return float(spearmanr(one, other).statistic)


def _bootstrap_mean(values: np.ndarray) -> tuple[float, float, float]:
    middle = interval([values])
    return middle.mean, middle.low, middle.high


def _explained(shares: Mapping[str, float]) -> str:
    source, reference = EXPLAINED[REFERENCE]
    both, layer = shares["layer and tracing effect"], shares["layer"]
    return (
        f"**Variance of the rewrite score** explained (R²) by the layer: {number(layer)}; by the tracing effect: "
        f"{number(shares['tracing effect'])}; by both: {number(both)}, so that the effect adds {number(both - layer)}. "
        f"In GPT-J the layer explains {reference['layer']}, and the effect adds "
        f"{reference['layer and tracing effect'] - reference['layer']:.3f} ({source})."
    )
