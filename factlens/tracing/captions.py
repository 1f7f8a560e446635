"""Captions: what a figure or a table of a trace should say below itself, in sentences, with every setting.

All is of the result itself but for the version of factlens, which is the one that writes the caption.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from factlens import __version__
from factlens.drawing.numbers import brief, counted, precise
from factlens.tracing.metrics import TraceMetric
from factlens.tracing.protocol import AUTO, Noise, Replacement
from factlens.tracing.trust import total_in_words
from factlens.visible import as_label, isolated, line

if TYPE_CHECKING:
    from factlens.tracing.averages import Average
    from factlens.tracing.cell_details import CellDetails
    from factlens.tracing.result import Trace
    from factlens.tracing.sites import Site

_SHAPES = {
    "gaussian": "Gaussian noise",
    "uniform": "uniform noise",
}
_REASONS = 3
WRITTEN_BY = f"factlens {__version__}"


def caption_of(trace: Trace) -> str:
    """Return the caption of a trace, on one line."""
    parts = [
        _head(trace),
        *_answer(trace),
        _runs(trace),
        _corruption(trace),
        *_windows(trace.sites, trace.window, trace.window_convention),
        *_edits(trace.edits, trace.edit_ids),
        *_sentences((total_in_words(trace), trace.trust, *trace.remarks)),
        *_cells(trace),
        f"{WRITTEN_BY}.",
    ]
    return line(" ".join(parts))


def average_caption(average: Average) -> str:
    """Return the caption of an average, on one line."""
    share = average.measure.share
    lower, upper = average.total_interval()
    interval = "" if isnan(lower) else f" [{brief(lower, share)}, {brief(upper, share)}]"
    counts = ", ".join(
        f"{int(n)} {role}" for role, n in zip(average.count["role"].values, average.count.values, strict=True)
    )
    reasons = [f"{count} × {as_label(reason)}" for reason, count in average.skipped_reasons().items()][:_REASONS]
    if average.corruption is None:
        corruption = "Each subject was replaced by another one."
    else:
        corruption = f"Subjects were corrupted by {_noise(average.corruption)}."
    parts = [
        f"{average.model} ({average.fingerprint[:8]}): average indirect effects over {counted(average.n, 'fact')}, by "
        "the role of a token in its prompt.",
        f"Measured: {_measured(average.measure)}, on average {brief(average.high, share)} in the clean run and "
        f"{brief(average.low, share)} in the corrupted ones; average total effect "
        f"{brief(average.total_effect, share)}{interval}.",
        corruption,
        *_windows(average.sites, average.window, average.window_convention),
        *_edits(average.edits, average.edit_ids),
        f"Tokens by role: {counts}.",
        *([f"Left out: {len(average.skipped)} facts ({'; '.join(reasons)})."] if reasons else []),
        "Intervals are 95 %, over facts." if average.n > 1 else "One fact gives no interval.",
        f"{WRITTEN_BY}.",
    ]
    return line(" ".join(parts))


def details_caption(details: CellDetails, where: str) -> str:
    """Return the caption of what a cell knows, on one line; `where` is the cell in words."""
    answer = as_label(details.answer if details.whole_answer is None else details.whole_answer)
    parts = [
        f"What the cell knows of the answer “{answer}”: {where}.",
        "Next tokens are read from the residual stream where it leaves that layer, in the clean, the corrupted and the "
        "restored run, by the final norm and the unembedding (logit lens); probabilities are means over the samples.",
    ]
    if details.heads is not None or details.neurons is not None:
        what = "attention heads" if details.heads is not None else "neurons"
        parts.append(
            f"Shares of {what} are direct contributions to the answer’s logit, with norms frozen at the clean run."
        )
    if details.effect is not None:
        interval = "" if details.interval is None else f" [{', '.join(map(precise, details.interval))}]"
        parts.append(f"The cell’s indirect effect is {precise(details.effect)}{interval}.")
    return line(" ".join([*parts, f"{WRITTEN_BY}."]))


def _head(trace: Trace) -> str:
    answer = isolated(trace.shown_answer.strip())
    return f"{trace.model} ({trace.fingerprint[:8]}): “{isolated(trace.fact.prompt)}” → “{answer}”."


def _answer(trace: Trace) -> list[str]:
    """Say whose the answer is, and which part of it is measured where that is not all."""
    parts = []
    if trace.answer_given is None:
        parts.append("The answer is the model’s own.")
    if trace.whole_answer is not None:
        parts.append(f"Measured: its first token, {trace.answer.strip()}.")
    elif len(trace.answer_ids) > 1:
        parts.append(f"All {len(trace.answer_ids)} tokens of it count.")
    return parts


def _runs(trace: Trace) -> str:
    share = trace.measure.share
    what = _measured(trace.measure)
    if trace.contrast is not None:
        what += f" between “{as_label(trace.answer)}” and “{as_label(str(trace.contrast))}”"
    return (
        f"One part of the clean run at a time is restored. Measured: {what}, {brief(trace.high, share)} in the clean "
        f"run and {brief(trace.low, share)} in the corrupted one; an effect is what a restored part adds to the latter."
    )


def _measured(metric: TraceMetric) -> str:
    unit = f" ({metric.unit})" if metric.unit and not metric.share else ""
    return f"{isolated(metric.title)}{unit}"


def _corruption(trace: Trace) -> str:
    """Say how the subject was corrupted, and how often."""
    subject = isolated(trace.fact.subject)
    if isinstance(trace.corruption, Replacement):
        return f"The subject “{subject}” was replaced by “{isolated(trace.corruption.subject)}”."
    assert trace.noise_level is not None
    auto = ", as many as it took to tell the leading cells" if trace.sampling == AUTO else ""
    count = trace.samples.sizes["sample"]
    return (
        f"The subject “{subject}” was corrupted by {_noise(trace.corruption)}: "
        f"{counted(count, 'noise sample')}{auto}, seed {trace.seed}, noise level {trace.noise_level:.3g}."
    )


def _noise(noise: Noise) -> str:
    where = "in place of" if noise.replace else "on"
    if noise.shape == "multivariate":
        whose = "the vocabulary’s" if noise.subjects is None else f"{len(noise.subjects)} subjects’"
        times = noise.multiple if noise.level is None else noise.level
        return f"Gaussian noise with the covariance of {whose} embeddings, times {times:.3g}, {where} its embeddings"
    if noise.level is not None:
        size = f"of level {noise.level:.3g}"
    elif noise.subjects is not None:
        size = f"of {noise.multiple:g} σ of {len(noise.subjects)} subjects"
    else:
        size = f"of {noise.multiple:g} σ of the subject itself"
    return f"{_SHAPES[noise.shape]} {size} {where} its embeddings"


def _windows(sites: Sequence[Site], window: int, convention: str) -> list[str]:
    labels = [site.label for site in sites if site.windowed]
    if not labels:
        return []
    return [f"{_listed(labels)} restored over windows of {window} layers (as in the {convention})."]


def _edits(labels: Sequence[str], ids: Sequence[str]) -> list[str]:
    if not labels:
        return []
    # Here and not above: a trace is read where there is no torch.
    from factlens.models.belonging import named

    return [f"Edits in force: {named(labels, ids)}."]


def _cells(trace: Trace) -> list[str]:
    parts = []
    if trace.within_noise.values.any():
        parts.append("Effects that the noise samples do not tell from none are drawn as none.")
    if not (trace.sample_counts.values > 0).all():
        parts.append("Incomplete: hatched, struck or grey cells were not computed.")
    elif not np.isfinite(trace.samples.values).all():
        parts.append("Incomplete: not every cell has all noise samples.")
    return parts


def _sentences(texts: Iterable[str]) -> list[str]:
    return [f"{text[:1].upper()}{text[1:]}." for text in texts]


def _listed(words: Sequence[str]) -> str:
    listed = ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
    return listed[:1].upper() + listed[1:]
