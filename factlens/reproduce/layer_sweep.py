"""Does tracing say where to edit? Edit success by layer against tracing effect, after Hase et al. (2023).

They edit every fact at every layer, trace it, and ask how much of the edits' success the tracing effect at the edited
layer explains, beyond which layer it is: next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from factlens.drawing.colours import before_colour, series
from factlens.drawing.figure import colour_map, drawn_with, finish, new_figure
from factlens.drawing.look import SCREEN, Look
from factlens.editing import METHODS, defaults
from factlens.editing.methods import DEFAULT_METHOD
from factlens.errors import FactError
from factlens.evaluation import Record, Report, evaluate
from factlens.models import Model
from factlens.moments import default_moments
from factlens.reproduce.fig2 import traces
from factlens.reproduce.folder import Folder
from factlens.reproduce.published import EXPLAINED, key_of
from factlens.reproduce.sweep_summary import summary
from factlens.tracing import Trace
from factlens.tracing.sites import KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def layer_sweep(
    model: Model,
    records: Sequence[Record],
    folder: Folder,
    *,
    method: str = DEFAULT_METHOD,
    layers: Sequence[int] | None = None,
    kind: str = "state",
    samples: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Edit every record at every layer, trace every record, and set the two against each other.

    Parameters
    ----------
    model, records, folder
        As for the other experiments. Records that the model does not know are left out.
    method
        A method that edits one layer.
    layers
        Which layers. Default: all.
    kind
        Whose tracing effect: ``"state"``, as in Hase et al., ``"mlp"`` or ``"attn"``.
    samples
        Corrupted runs per fact.
    seed
        Of edits.

    Returns
    -------
    pandas.DataFrame
        One row per layer.

    Raises
    ------
    FactError
        If `kind` is none of the three, or as `factlens.evaluation.evaluate`.
    """
    if kind not in KINDS:
        raise FactError(f"kind must be one of {', '.join(map(repr, KINDS))}, not {kind!r}.")
    results = list(traces(model, [record.fact for record in records], folder, samples))
    traced = [(record, trace) for record, trace in zip(records, results, strict=True) if isinstance(trace, Trace)]
    chosen = list(range(model.n_layers)) if layers is None else list(layers)
    if METHODS[method].needs_moments:
        # The text is written once for all layers, and not again for each.
        default_moments(model, chosen, seed=seed)
    progress = folder.progress("edits")
    report = evaluate(
        model,
        [record for record, _ in traced],
        method={f"layer {layer}": {"method": method, "layers": layer, "seed": seed} for layer in chosen},
        generate=False,
        seed=seed,
        store=folder.store,
        progress=lambda so_far, total: progress(len(so_far.outcomes), total),
    )
    folder.written.append(report.save(folder.path / "report.json.gz"))
    pairs = paired(report, dict(traced), kind)
    folder.csv("pairs", pairs, index=False)
    table = by_layer(report, pairs, chosen)
    folder.table("layers", table)
    shares = explained(pairs)
    folder.table("explained", beside_published(shares, model.name))
    folder.figure("layers", draw(table, pairs, kind, Look.of(folder.look)))
    default = defaults(model, method).layers[-1]
    of_each = {str(name): float(share) for name, share in shares["R²"].items()}
    folder.summary(summary(report, pairs, dict(traced), of_each, method, default, kind))
    return table


def paired(report: Report, traced: dict[Record, Trace], kind: str) -> pd.DataFrame:
    """Return one row per record and layer: the rewrite score of the edit, and the tracing effect at its layer.

    The rewrite score is ``(p_after - p_before) / (1 - p_before)`` of the new object (Hase et al. 2023, section 4); the
    tracing effect is that at the subject's last token, as a share of the total effect.
    """
    rows = []
    for outcome in report.judged:
        trace, layer = traced[outcome.record], int(outcome.label.removeprefix("layer "))
        assert outcome.after is not None
        before, after = (m.readings[0].probabilities[1] for m in (outcome.before, outcome.after))
        effect = trace.effects.sel(kind=kind).values[trace.subject_range[1] - 1, layer]
        rows.append(
            {
                "record": outcome.record.name,
                "layer": layer,
                "rewrite_score": (after - before) / (1 - before),
                "tracing_effect": float(effect),
                "share": float(effect) / trace.total_effect if trace.total_effect > 0 else np.nan,
            }
        )
    return pd.DataFrame(rows)


def by_layer(report: Report, pairs: pd.DataFrame, layers: Sequence[int]) -> pd.DataFrame:
    """Return one row per layer: how edits there did, the mean tracing effect, and their rank correlation over facts."""
    summary, rows = report.summary(), []
    for layer in layers:
        at_layer, scores = pairs[pairs.layer == layer], summary.loc[f"layer {layer}"]
        row = {
            "layer": layer,
            "tracing_effect": at_layer.tracing_effect.mean(),
            "rewrite_score": at_layer.rewrite_score.mean(),
        }
        row |= {
            name: scores["after"][name]
            for name in ("rewrite_success", "paraphrase_success", "neighbour_success", "score", "other_leads")
            if name in scores.index
        }
        varied = len(at_layer) > 2 and at_layer.tracing_effect.nunique() > 1 and at_layer.rewrite_score.nunique() > 1
        row["rank_correlation"] = (
            spearmanr(at_layer.tracing_effect, at_layer.rewrite_score).statistic if varied else np.nan
        )
        rows.append(row)
    return pd.DataFrame(rows).set_index("layer")


def explained(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return R² of the rewrite score, regressed on the layer, on the tracing effect, and on both."""
    layers = pd.get_dummies(pairs.layer).to_numpy(dtype=float)
    effect = pairs[["tracing_effect"]].to_numpy(dtype=float)
    one = np.ones_like(effect)
    score = pairs.rewrite_score.to_numpy(dtype=float)
    designs = {
        "layer": layers,
        "tracing effect": np.hstack([one, effect]),
        "layer and tracing effect": np.hstack([layers, effect]),
    }
    shares = {name: _r_squared(design, score) for name, design in designs.items()}
    return pd.DataFrame({"R²": shares}).rename_axis("explained by")


def beside_published(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return R² with the published ones of the model in a second column, where there are any."""
    if published := EXPLAINED.get(key_of(model)):
        source, numbers = published
        table = table.assign(**{source: pd.Series(numbers)})
    return table


def _r_squared(design: np.ndarray, values: np.ndarray) -> float:
    spread = ((values - values.mean()) ** 2).sum()
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return float(1 - (left**2).sum() / spread) if spread > 0 else float("nan")


def draw(table: pd.DataFrame, pairs: pd.DataFrame, kind: str, look: Look = SCREEN) -> Figure:
    """Draw both against the layer, and one against the other; where there is little room, below each other."""
    what, narrow = "Drawing the sweep", look.for_paper and (look.width_mm or 180) < 140
    with drawn_with(what, look):
        figure = new_figure(what, *look.inches(*((4.2, 6.8) if narrow else (9.5, 3.4))))
        left, right = figure.subplots(*((2, 1) if narrow else (1, 2)))
        size, ours, effects = 3 * look.scale, series(look.palette, 0), series(look.palette, 3)
        grey = "0.5" if look.palette == "kind" else before_colour("safe")
        left.plot(table.index, table.rewrite_score, "o-", ms=size, color=ours.colour, label="rewrite score of edits")
        for name, style in (("neighbour_success", "s--"), ("paraphrase_success", "^--")):
            if name in table:
                label = name.replace("_", " ")
                left.plot(table.index, table[name], style, ms=size, lw=look.scale, color=grey, label=label)
        peak, label = table.tracing_effect.abs().max(), f"tracing effect of {kind}"
        shares, dash = table.tracing_effect / (peak or 1), ":" if look.palette == "grey" else "-"
        left.plot(table.index, shares, f"o{dash}", ms=size, color=effects.colour, label=label)
        left.set(xlabel="layer", ylabel="mean over facts (effect: of its peak)", ylim=(-0.05, 1.08))
        if look.for_paper:
            figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
        else:
            left.legend(frameon=False, fontsize="small")
        colours = "viridis" if look.palette == "kind" else colour_map("", look.palette)
        edges = {} if look.palette == "kind" else {"edgecolors": "0.3", "linewidths": 0.3 * look.scale}
        dots = right.scatter(
            pairs.tracing_effect, pairs.rewrite_score, c=pairs.layer, s=size**2, cmap=colours, alpha=0.7, **edges
        )
        right.set(xlabel=f"tracing effect of {kind} at the edited layer", ylabel="rewrite score")
        figure.colorbar(dots, ax=right, label="layer")
        left.xaxis.get_major_locator().set_params(integer=True)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        return finish(figure, look, (left, right))
