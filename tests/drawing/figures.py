"""One result of every kind that can be drawn, made up from numbers; and what is to be seen in a figure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

import factlens as fl
from factlens.calibration import Calibration
from factlens.calibration.trials import Result, Trial
from factlens.drawing.look import Look
from factlens.editing.calibrated import Choice
from factlens.evaluation import AnswerChange, Checks, Measured, Outcome, Reading, Record, Report
from factlens.models import Answer
from factlens.reproduce import layer_sweep, sequential
from factlens.tracing import CellDetails, Comparison
from factlens.tracing.cell_details import RUNS, HeadShare, NeuronShare
from tests.tracing.made import made_trace

TOKENS = ("The", " Space", " Needle", " is", " in", " downtown")
DEEP = {"layers": 48, "window": 10, "kinds": ("state", "mlp", "attn", "severed_mlp")}


def average() -> fl.Average:
    return fl.average([made_trace(), made_trace(high=0.8), made_trace(low=0.2)])


def comparison() -> Comparison:
    return Comparison(made_trace(), made_trace(low=0.2, answer=" Paris"), ("before", "after"))


def details(*, neurons: bool = False) -> CellDetails:
    said = [(" Seattle", 0.9), (" Paris", 0.05), (" the", 0.02), (" a", 0.01), (" San Francisco", 0.005)]
    shares: dict[str, Any] = {"heads": tuple(HeadShare(i, (-1) ** i * i / 9, i / 18) for i in range(16))}
    if neurons:
        shares = {"neurons": tuple(NeuronShare(100 * i, 1.0, 0.5, 0.3 - i / 10) for i in range(5))}
    return CellDetails(
        kind="mlp" if neurons else "attn",
        token=2,
        piece=" Needle",
        layer=3,
        answer=" Seattle",
        answer_id=7,
        score=0.4,
        effect=0.3,
        interval=(0.2, 0.4),
        lens={run: [Answer(text, i, share) for i, (text, share) in enumerate(said)] for run in RUNS},
        rank=dict.fromkeys(RUNS, 1),
        probability=dict.fromkeys(RUNS, 0.9),
        cosine={**dict.fromkeys(RUNS, 0.5), "corrupted": None},
        total={"clean": 2.5, "corrupted": -0.5},
        **shares,
    )


def report(labels: tuple[str, ...] = ("rome", "memit", "a_method")) -> Report:
    outcomes = []
    for label in labels:
        for i in range(3):
            fact = fl.Fact("{} is in", f"Town {i}", target="Rome")
            checks = Checks.of(fact, "Paris", paraphrases=["Where is it?"], neighbours=[("Oslo is in", "Norway")])
            before, after = (
                Measured(tuple(Reading((p, 1 - p), " x", (p > 0.5, p < 0.5), (0.0, 1.0)) for _ in checks.probes))
                for p in (0.9, 0.2 + 0.15 * i)
            )
            outcomes.append(Outcome(label, Record(fact, checks, f"record {i}"), before, after, 1.5))
    recipes = {label: {"method": label, "layers": [3, 4], "seed": 0, "steps": 25} for label in labels}
    about = {"model": "made up", "fingerprint": "0123456789abcdef", "way": "single", "recipes": recipes, "seed": 0}
    return Report(tuple(outcomes), len(outcomes), about)


def calibration() -> Calibration:
    def trial(method: str, layer: int, split: str, share: float) -> Trial:
        results = [Result(f"{i}", share, min(1.0, share + 0.1), 0.9, 0.1) for i in range(2 + 4 * (split != "train"))]
        return Trial(method, (layer,), {"seed": 0}, split, tuple(results), 1.0)

    methods = ("rome", "memit", "emmet", "alphaedit")
    trials = [
        trial(method, layer, "train", 0.2 + 0.1 * ((layer + i) % 7))
        for i, method in enumerate(methods)
        for layer in range(8)
    ]
    trials += [trial(method, 3, "held out", 0.9) for method in methods]
    choices = {method: Choice((3,), {"seed": 0}, "calibrated") for method in methods}
    effects = tuple(np.linspace(0.1, 0.4, 8).tolist())
    return Calibration("made up", "0123456789abcdef", "2026-11-27", 0, 9, effects, tuple(trials), choices)


def answers() -> AnswerChange:
    shares = ((" Seattle", 0.93, 0.01), (" Paris", 0.001, 0.97), (" the", 0.02, 0.005), (" a city of", 0.01, 0.01))
    edits, ids = ("The Space Needle → Paris (rome, layer 3)",), ("1f2e3d4c5b6a7980",)
    return AnswerChange("The Space Needle is in", "made up", "0123456789abcdef", shares, edits, ids)


def swept(**options: Any) -> Figure:
    draw = np.random.RandomState(0)
    pairs = pd.DataFrame(
        {"layer": np.tile(range(8), 9), "tracing_effect": draw.rand(72), "rewrite_score": draw.rand(72)}
    )
    table = pairs.groupby("layer").mean().assign(neighbour_success=0.9, paraphrase_success=0.7)
    return layer_sweep.draw(table, pairs, "state", Look.of(options))


def chained(**options: Any) -> Figure:
    rows = [
        {
            "method": method,
            "edits": n,
            "healthy": 1 - n / 200,
            "rewrite_leads": 0.9,
            "neighbour_success": 0.8,
            "perplexity": 9 + n,
        }
        for method in ("rome", "memit", "alphaedit")
        for n in range(0, 100, 10)
    ]
    return sequential.draw(pd.DataFrame(rows), Look.of(options))


def drawn(result: Any, **own: Any) -> Callable[..., Figure]:
    return lambda **options: result.plot(**own, **options)


#: A function for each figure that there is; it takes the options of `Look`.
FIGURES: dict[str, Callable[..., Figure]] = {
    "trace": drawn(made_trace()),
    "effects": drawn(made_trace(), effects=True),
    "deep trace": drawn(made_trace(**DEEP)),
    "stopped trace": drawn(made_trace(computed=0.5, estimated=True)),
    "average": drawn(average()),
    "lines": drawn(average(), lines=True),
    "comparison": drawn(comparison()),
    "comparison of one kind": drawn(comparison(), kind="mlp"),
    "heads": drawn(details()),
    "neurons": drawn(details(neurons=True)),
    "report": drawn(report()),
    "calibration": drawn(calibration()),
    "answers": drawn(answers()),
    "layer sweep": swept,
    "sequential": chained,
}
#: What has a caption and tables.
RESULTS: dict[str, Any] = {
    "trace": made_trace(),
    "average": average(),
    "comparison": comparison(),
    "heads": details(),
    "neurons": details(neurons=True),
    "report": report(),
    "calibration": calibration(),
    "answers": answers(),
}


def texts_of(figure: Figure) -> list[SimpleNamespace]:
    """The words of a figure that are seen, each with its box in pixels."""
    figure.draw_without_rendering()
    texts: list[Text] = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        legend = axes.get_legend()
        texts += [axes.title, *axes.texts, *(legend.get_texts() if legend else ())]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts.append(axis.label)
            texts += [
                label
                for tick in axis.get_major_ticks()
                for label in (tick.label1, tick.label2)
                if low <= tick.get_loc() <= high
            ]
    return [
        SimpleNamespace(words=text.get_text(), box=text.get_window_extent(), size=text.get_fontsize())
        for text in texts
        if text.get_visible() and text.get_text().strip()
    ]


def collisions(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of words that overlap, and words that leave the figure (with an empty second word)."""
    texts = texts_of(figure)
    width, height = figure.get_size_inches() * figure.dpi
    bad = [
        (one.words, other.words)
        for one, other in combinations(texts, 2)
        if min(one.box.x1, other.box.x1) - max(one.box.x0, other.box.x0) > 1
        and min(one.box.y1, other.box.y1) - max(one.box.y0, other.box.y0) > 1
    ]
    outside = [
        (text.words, "")
        for text in texts
        if text.box.x0 < -1 or text.box.y0 < -1 or text.box.x1 > width + 1 or text.box.y1 > height + 1
    ]
    return bad + outside
