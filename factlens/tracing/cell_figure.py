"""What a cell knows, as bars and as one long table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factlens.drawing.bars_figure import BarPanel, bars_figure
from factlens.drawing.look import Look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from factlens.tracing.cell_details import CellDetails

_MOST = 12
"""Heads or neurons in a figure."""


def plot_details(details: CellDetails, axis: str, look: Look) -> Figure:
    """Return a figure with the top answers of each run, and the largest shares of heads or neurons."""
    parts = [
        BarPanel(f"{run} run", "probability", [a.text for a in answers], {run: [a.probability for a in answers]})
        for run, answers in details.lens.items()
    ]
    if details.heads:
        heads = sorted(sorted(details.heads, key=lambda share: -abs(share.clean))[:_MOST])
        bars = {"corrupted": [head.corrupted for head in heads], "clean": [head.clean for head in heads]}
        parts.append(BarPanel("attention heads", axis, [f"head {head.head}" for head in heads], bars, share=False))
    if details.neurons:
        neurons = details.neurons[:_MOST]
        bars = {"when clean": [one.contribution for one in neurons]}
        parts.append(BarPanel("neurons", axis, [f"neuron {one.neuron}" for one in neurons], bars, share=False))
    return bars_figure("Drawing a cell", parts, look)


def details_frame(details: CellDetails) -> pd.DataFrame:
    """Return one row per number: what it is of, the run, the place, head or neuron, the token, the number."""
    import pandas as pd

    rows: list[tuple[str, str, int | None, str, float | None]] = []
    for run, answers in details.lens.items():
        rows += [("top answer", run, i, answer.text, answer.probability) for i, answer in enumerate(answers, 1)]
        rows.append(("rank of the answer", run, None, details.answer, details.rank[run]))
        rows.append(("probability of the answer", run, None, details.answer, details.probability[run]))
        rows.append(("cosine to the answer", run, None, details.answer, details.cosine[run]))
    for head in details.heads or ():
        rows += [("head", "clean", head.head, "", head.clean), ("head", "corrupted", head.head, "", head.corrupted)]
    for one in details.neurons or ():
        rows += [("activation", run, one.neuron, "", getattr(one, run)) for run in ("clean", "corrupted")]
        rows.append(("contribution", "clean", one.neuron, "", one.contribution))
    for run, total in (details.total or {}).items():
        rows.append(("whole output", run, None, "", total))
    frame = pd.DataFrame(rows, columns=["what", "run", "number", "token", "value"])
    return frame.astype({"number": "Int64", "value": float})
