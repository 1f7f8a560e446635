"""Look into one cell of a trace: run its three runs again and read what stands there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from factlens.arguments import a_text, plain, shown, whole
from factlens.errors import ArgumentError, FactError
from factlens.models import Answer, Model
from factlens.models.given import a_layer, a_model
from factlens.models.model import check_finite
from factlens.models.pieces import with_character
from factlens.models.settling import settled
from factlens.models.unembedding import tail
from factlens.tracing.cell_details import RUNS, CellDetails, HeadShare, NeuronShare
from factlens.tracing.direct_logit_attribution import (
    answer_direction,
    head_contributions,
    unembedding_row,
    weight_towards,
)
from factlens.tracing.ownership import check_trace
from factlens.tracing.rerun import Rerun, residuals_of, run_again
from factlens.tracing.result import Trace, a_trace
from factlens.tracing.sites import HEADS, site_of


@settled
@torch.no_grad()
def details(model: Model, trace: Trace, kind: str, token: int, layer: int, *, k: int = 5) -> CellDetails:
    """Return what a cell of a trace knows of the answer.

    The clean and the corrupted run of that very trace, and the restored run of the cell, are computed again, which
    takes about as long as three answers of the model.

    Parameters
    ----------
    model
        The model that was traced, with the edits that it carried then.
    trace
        The trace; it need not be complete.
    kind, token, layer
        The cell.
    k
        How many top answers, and top neurons, to return.

    Returns
    -------
    CellDetails
        Top answers by the logit lens, closeness to the answer, and the shares of heads or neurons.

    Raises
    ------
    FactError
        If the trace has no such kind or token, or `k` is not positive.
    LayerError
        If the model has no such layer.
    WrongModel
        If the trace is another model's, or was made with other edits than the model carries.
    NumericalError
        If the model answers with NaN or infinity.
    """
    model, trace, kind = a_model("model", model), a_trace("trace", trace), a_text("kind", kind, example="'mlp'")
    token, layer, k = plain(token), a_layer(model, "layer", layer), whole("k", k, least=1, example="5")
    with model.watched():
        check_trace(model, trace)
        _check_cell(trace, kind, token)
        rerun = run_again(model, trace, kind, layer)
        residuals = residuals_of(model, trace, rerun, kind, token, layer)
        row = unembedding_row(model, trace.answer_id)
        readings = {run: _read(model, residuals[run], trace.answer_id, row, k) for run in RUNS}
        shares = _shares(model, rerun, kind, token, layer, row, k)
    return CellDetails(
        kind=kind,
        token=token,
        piece=trace.tokens[token],
        layer=layer,
        answer=model.token(trace.answer_id),
        answer_id=trace.answer_id,
        score=_number(trace.scores.sel(kind=kind).values[token, layer]),
        effect=_number(trace.effects.sel(kind=kind).values[token, layer]),
        interval=_interval(trace, kind, token, layer),
        lens={run: reading.lens for run, reading in readings.items()},
        rank={run: reading.rank for run, reading in readings.items()},
        probability={run: reading.probability for run, reading in readings.items()},
        cosine={run: reading.cosine for run, reading in readings.items()},
        total=shares.total,
        heads=shares.heads,
        neurons=shares.neurons,
        whole_answer=_whole_answer(model, trace),
    )


def _whole_answer(model: Model, trace: Trace) -> str | None:
    """Return the first token of a trace's answer up to the end of the character in which it ends; None if it is whole.

    A given answer continues with its other tokens; after the model's own, the trace records how it continues.
    """
    first, *others = trace.answer_ids
    return with_character(model.tokenizer, [first], others) if others else trace.whole_answer


def _check_cell(trace: Trace, kind: str, token: int) -> None:
    if kind not in trace.kinds:
        raise FactError(f"The kind {kind!r} was not traced; there are {', '.join(trace.kinds)}.")
    if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < len(trace.tokens):
        raise ArgumentError(
            f"There is no token {shown(token)}: the prompt's {len(trace.tokens)} tokens are numbered 0 to "
            f"{len(trace.tokens) - 1}."
        )


@dataclass(frozen=True)
class _Reading:
    lens: list[Answer]
    rank: int
    probability: float
    cosine: float | None


def _read(model: Model, residual: Tensor, answer: int, row: Tensor | None, k: int) -> _Reading:
    state, logits = tail(model, residual)
    probabilities = check_finite(logits, model.name).softmax(-1).mean(0).cpu()
    top = probabilities.topk(min(k, len(probabilities)))
    cosine = None if row is None else torch.cosine_similarity(state, row.to(state.device), -1).mean().item()
    return _Reading(
        # These are not continued: after them would come what the whole model says, and they are what one layer says at
        # one token. So of a part of a character the bytes are shown.
        [Answer(model.token(i), i, p) for i, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)],
        int((probabilities > probabilities[answer]).sum()) + 1,
        probabilities[answer].item(),
        cosine,
    )


@dataclass(frozen=True)
class _Shares:
    total: dict[str, float] | None = None
    heads: tuple[HeadShare, ...] | None = None
    neurons: tuple[NeuronShare, ...] | None = None


def _shares(model: Model, rerun: Rerun, kind: str, token: int, layer: int, row: Tensor | None, k: int) -> _Shares:
    site = site_of(kind)
    if site.shares is None:
        return _Shares()
    part = site.family
    runs, place = rerun.runs, rerun.runs.at[token]
    direction = answer_direction(model, runs.clean, part, layer, token, row)
    if direction is None:
        return _Shares()

    def both(source: str) -> tuple[Tensor, Tensor]:
        return runs.clean.outputs[source][layer][:, token], runs.corrupted.outputs[source][layer][:, place]

    clean, corrupted = ((output.to(direction) @ direction).mean().item() for output in both(part))
    total = {"clean": clean, "corrupted": corrupted}
    if site.shares == "heads":
        shares = [head_contributions(model, layer, outputs, direction) for outputs in both(HEADS)]
        each = [share.mean(0).tolist() for share in shares if share is not None]
        heads = tuple(HeadShare(i, *pair) for i, pair in enumerate(zip(*each, strict=True))) if each else None
        return _Shares(total, heads=heads)
    if rerun.neurons is None or model.family.down is None:
        return _Shares(total)
    towards = weight_towards(model, model.blocks[layer].get_submodule(model.family.down), direction)
    if towards is None:
        return _Shares(total)
    active, noisy = (
        activations[:, at].to(towards).mean(0) for activations, at in zip(rerun.neurons, (token, place), strict=True)
    )
    brought = active * towards
    chosen = brought.abs().topk(min(k, len(brought))).indices.tolist()
    return _Shares(
        total,
        neurons=tuple(NeuronShare(i, active[i].item(), noisy[i].item(), brought[i].item()) for i in chosen),
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _interval(trace: Trace, kind: str, token: int, layer: int) -> tuple[float, float] | None:
    lower, upper = (float(bound[token, layer]) for bound in trace.interval().sel(kind=kind).values)
    return None if np.isnan(lower) else (lower, upper)
