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

from factlens.drawing.figure import new_figure
from factlens.editing.methods import DEFAULT_METHOD
from factlens.errors import FactError
from factlens.evaluation import Record, Report, evaluate
from factlens.models import Model
from factlens.reproduce.fig2 import traces
from factlens.reproduce.folder import Folder
from factlens.reproduce.published import EXPLAINED, key_of
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
    found = list(traces(model, [record.fact for record in records], folder, samples))
    known = [(record, trace) for record, trace in zip(records, found, strict=True) if isinstance(trace, Trace)]
    chosen = list(range(model.n_layers)) if layers is None else list(layers)
    progress = folder.progress("edits")
    report = evaluate(
        model,
        [record for record, _ in known],
        method={f"layer {layer}": {"method": method, "layers": layer, "seed": seed} for layer in chosen},
        generate=False,
        seed=seed,
        store=folder.store,
        progress=lambda so_far, wanted: progress(len(so_far.outcomes), wanted),
    )
    folder.written.append(report.save(folder.path / "report.json.gz"))
    pairs = paired(report, dict(known), chosen, kind)
    folder.csv("pairs", pairs, index=False)
    table = by_layer(report, pairs, chosen)
    folder.table("layers", table)
    folder.table("explained", beside_published(explained(pairs), model.name))
    folder.figure("layers", draw(table, pairs, kind))
    return table


def paired(report: Report, known: dict[Record, Trace], layers: Sequence[int], kind: str) -> pd.DataFrame:
    """Return one row per record and layer: the rewrite score of the edit, and the tracing effect at its layer.

    The rewrite score is ``(p_after - p_before) / (1 - p_before)`` of the new object (Hase et al. 2023, section 4); the
    tracing effect is that at the subject's last token, as a share of the total effect.
    """
    rows = []
    for outcome in report.judged:
        trace, layer = known[outcome.record], int(outcome.label.removeprefix("layer "))
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
        here, found = pairs[pairs.layer == layer], summary.loc[f"layer {layer}"]
        row = {"layer": layer, "tracing_effect": here.tracing_effect.mean(), "rewrite_score": here.rewrite_score.mean()}
        row |= {
            name: found["after"][name]
            for name in ("rewrite_success", "paraphrase_success", "neighbour_success", "score", "other_leads")
            if name in found.index
        }
        varied = len(here) > 2 and here.tracing_effect.nunique() > 1 and here.rewrite_score.nunique() > 1
        row["rank_correlation"] = spearmanr(here.tracing_effect, here.rewrite_score).statistic if varied else np.nan
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
    found = {name: _r_squared(design, score) for name, design in designs.items()}
    return pd.DataFrame({"R²": found}).rename_axis("explained by")


def beside_published(found: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return R² with the published ones of the model in a second column, where there are any."""
    if published := EXPLAINED.get(key_of(model)):
        source, numbers = published
        found = found.assign(**{source: pd.Series(numbers)})
    return found


def _r_squared(design: np.ndarray, values: np.ndarray) -> float:
    spread = ((values - values.mean()) ** 2).sum()
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return float(1 - (left**2).sum() / spread) if spread > 0 else float("nan")


def draw(table: pd.DataFrame, pairs: pd.DataFrame, kind: str) -> Figure:
    """Draw both against the layer, and one against the other."""
    figure = new_figure("Drawing the sweep", 9.5, 3.4)
    left, right = figure.subplots(1, 2)
    left.plot(table.index, table.rewrite_score, "o-", ms=3, color="C0", label="rewrite score of edits")
    for name, style in (("neighbour_success", "s--"), ("paraphrase_success", "^--")):
        if name in table:
            left.plot(table.index, table[name], style, ms=3, lw=1, color="0.5", label=name.replace("_", " "))
    peak = table.tracing_effect.abs().max()
    left.plot(
        table.index, table.tracing_effect / (peak or 1), "o-", ms=3, color="C3", label=f"tracing effect of {kind}"
    )
    left.set(xlabel="layer", ylabel="mean over facts (effect: of its peak)", ylim=(-0.05, 1.08))
    left.legend(frameon=False, fontsize=7)
    dots = right.scatter(pairs.tracing_effect, pairs.rewrite_score, c=pairs.layer, s=9, cmap="viridis", alpha=0.7)
    right.set(xlabel=f"tracing effect of {kind} at the edited layer", ylabel="rewrite score")
    figure.colorbar(dots, ax=right, label="layer")
    left.xaxis.get_major_locator().set_params(integer=True)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
