"""What averaged traces say, in words: where the early and the late site are, next to GPT-2 XL's."""

from __future__ import annotations

import numpy as np

from factlens.reproduce.peaks import Peak, markdown, peak_of, percent
from factlens.reproduce.published import EDITED_IN_GPT2_XL, TRACING, key_of
from factlens.tracing import Average
from factlens.tracing.statistics import mean_interval

LAST_SUBJECT, LAST = "last subject token", "last token"
REFERENCE = "gpt2-xl"
"""The model that the published text is about."""


def summary(result: Average) -> list[str]:
    """Return paragraphs in Markdown: the numbers with their intervals, the early site, the late site."""
    every = {
        (kind, role): peak_of(result.each["effect"].sel(kind=kind, role=role).values)
        for kind in ("state", "mlp", "attn")
        for role in (LAST_SUBJECT, LAST)
        # After the last layer the last token's state is the answer itself.
        if (kind, role) != ("state", LAST)
    }
    left_out = f"; {len(result.skipped)} more could not be traced" if result.skipped else ""
    return [
        f"{result.n} facts were traced{left_out}. With the subject corrupted, the answer's probability falls from "
        f"{percent(result.high)} to {percent(result.low)}. The states at single layers, and the outputs of MLPs and "
        f"attention in windows of {result.window} layers, bring this much of it back, on average over facts:",
        _table(result, every),
        _early(result, every),
        _late(result, every),
        "Intervals are 95 %, over facts: Student's for an effect at its layer, bootstrap for the layer of the largest.",
    ]


def _table(result: Average, every: dict[tuple[str, str], Peak]) -> str:
    reference = TRACING[REFERENCE]
    of_paper = {
        ("state", LAST_SUBJECT): f"{reference.state} %, layer {reference.state_layer}",
        ("mlp", LAST_SUBJECT): f"{reference.mlp} %",
        ("attn", LAST_SUBJECT): f"{reference.attn} %",
    }
    total = percent(result.total_effect, *result.total_interval())
    body = [["total effect", total, "", "", f"{reference.total} %"]]
    for (kind, role), peak in every.items():
        effect = percent(peak.mean, peak.lower, peak.upper)
        body.append([f"{kind}, {role}", effect, peak.where, peak.site, of_paper.get((kind, role), "")])
    paper = "Meng et al. 2022, GPT-2 XL (48 layers)"
    return markdown(["effect", "largest mean", "there", "at least half of it", paper], body)


def _early(result: Average, every: dict[tuple[str, str], Peak]) -> str:
    peak = every["mlp", LAST_SUBJECT]
    words = (
        f"**Early site**, MLPs at the subject's last token: {peak.where} of {result.n_layers}, {peak.site}. "
        f"{_against(result, every, LAST_SUBJECT, 'mlp', 'attn')}"
    )
    if key_of(result.model) != REFERENCE:
        words += f" In GPT-2 XL it lies in the middle of the network, and {EDITED_IN_GPT2_XL} there."
    return words


def _late(result: Average, every: dict[tuple[str, str], Peak]) -> str:
    early, late = every["mlp", LAST_SUBJECT], every["attn", LAST]
    order = "behind" if late.layer > early.layer else "not behind"
    return (
        f"**Late site**, attention at the prompt's last token: {late.where}, {late.site}, {order} the early one. "
        f"{_against(result, every, LAST, 'attn', 'mlp')}"
    )


def _against(result: Average, every: dict[tuple[str, str], Peak], role: str, one: str, other: str) -> str:
    """Say whether a kind brings back more than another at the same token, each at its peak, fact by fact."""
    values = [
        result.each["effect"].sel(kind=kind, role=role).values[:, every[kind, role].layer] for kind in (one, other)
    ]
    difference = np.subtract(*values).astype(np.float64)
    lower, upper = (float(bound) for bound in mean_interval(difference))
    verdict = "more" if lower > 0 else "less" if upper < 0 else "not clearly more or less"
    names = {"mlp": "MLPs", "attn": "attention"}
    return (
        f"There {names[one]} bring{'s' if one == 'attn' else ''} back {verdict} than {names[other]} "
        f"{'do' if other == 'mlp' else 'does'}: a difference of {percent(float(difference.mean()), lower, upper)}."
    )
