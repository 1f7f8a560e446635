"""Calibrations as text, as HTML, as a table and as a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from factlens.calibration.trials import LEAST, Trial
from factlens.drawing.colours import OLD
from factlens.drawing.figure import new_figure
from factlens.drawing.html import paragraph, table
from factlens.editing.methods import METHODS
from factlens.escaping import mathless

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from factlens.calibration.result import Calibration

_COLUMNS = ("method", "layers", "settings", "S held out", "S of the default", "facts tuned on, held out")
_OF_TRIALS = (
    *("method", "layers", "settings", "split", "facts", "score", "score_low", "score_high", "efficacy"),
    *("paraphrase", "neighbourhood", "seconds", "chosen", "note"),
)


def as_text(calibration: Calibration) -> str:
    """Return a line for each method, below one about the whole."""
    rows = [_COLUMNS, *_rows(calibration)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"<factlens.Calibration {_headline(calibration)}", *lines]) + ">"


def as_html(calibration: Calibration) -> str:
    """Return a table for a notebook; everything in it is escaped."""
    return paragraph(_headline(calibration)) + table(_COLUMNS, _rows(calibration), left=True)


def useless(trials: Sequence[Trial]) -> bool:
    """Whether enough was tried, and what is left of it is of no use: S is 0, throughout or on facts held out."""
    last = [trial for trial in trials if trial.split == "held out"] or trials
    return len(trials) >= LEAST and not any(trial.works for trial in last)


def score_text(trial: Trial | None) -> str:
    """Return S of a trial with half the width of its interval, in percent: ``94.1 ± 3.0``; a dash for none."""
    if trial is None:
        return "–"
    mean, low, high, _ = trial.score
    if math.isnan(mean):
        return "–"
    return f"{100 * mean:.1f}" if math.isnan(low) else f"{100 * mean:.1f} ± {50 * (high - low):.1f}"


def layers_text(layers: tuple[int, ...]) -> str:
    """Return layers for a glance: ``3``, ``1–3``, ``1, 4``."""
    if len(layers) > 1 and layers == tuple(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]}–{layers[-1]}"
    return ", ".join(map(str, layers))


def _headline(calibration: Calibration) -> str:
    counts = f"{calibration.facts} known facts, {len(calibration.trials)} trials"
    return f"of {calibration.model} ({calibration.fingerprint}), made {calibration.made}: {counts}"


def _rows(calibration: Calibration) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for method in dict.fromkeys([*calibration.defaults, *(trial.method for trial in calibration.trials)]):
        choice = calibration.choices.get(method)
        if choice is None:
            tried = [trial for trial in calibration.trials if trial.method == method]
            why = "nothing that was tried works" if useless(tried) else "the time was too short"
            rows.append((method, "–", why, "–", "–", "–"))
            continue
        held_out, default = calibration.trial_of(method), calibration.baseline_of(method)
        tuned = calibration.trial_of(method, "train")
        before = score_text(default)
        if default is not None:
            before += f" (layer {layers_text(default.layers)})"
        counts = ", ".join(str(len(trial.results)) if trial else "0" for trial in (tuned, held_out))
        settings = _settings(method, choice.settings) or "–"
        rows.append((method, layers_text(choice.layers), settings, score_text(held_out), before, counts))
    return rows


def _settings(method: str, settings: object) -> str:
    """Return the settings that calibrations of a method try, as they are passed to `factlens.edit`."""
    tries = METHODS[method].tries if method in METHODS else {}
    there = settings if isinstance(settings, dict) else {}
    return ", ".join(f"{name}={_value(there[name])}" for name in tries if there.get(name) is not None)


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def as_frame(calibration: Calibration) -> pd.DataFrame:
    """Return one row per trial."""
    import pandas as pd

    rows = []
    for trial in calibration.trials:
        score, (efficacy, paraphrase, neighbourhood) = trial.score, trial.shares
        choice = calibration.choices.get(trial.method)
        rows.append(
            {
                "method": trial.method,
                "layers": layers_text(trial.layers),
                "settings": _settings(trial.method, dict(trial.settings)),
                "split": trial.split,
                "facts": len(trial.results),
                "score": score.mean,
                "score_low": score.low,
                "score_high": score.high,
                "efficacy": efficacy,
                "paraphrase": paraphrase,
                "neighbourhood": neighbourhood,
                "seconds": trial.seconds,
                "chosen": choice is not None
                and trial in (calibration.trial_of(trial.method), calibration.trial_of(trial.method, "train")),
                "note": trial.note,
            }
        )
    return pd.DataFrame(rows, columns=list(_OF_TRIALS))


def plot_calibration(calibration: Calibration) -> Figure:
    """Draw the MLP's effect by layer as bars, and below it each method's best S by the last layer it edits.

    Points are of the few facts that every place was tried on; the chosen layers have a larger one, of facts held out.
    """
    figure = new_figure("Drawing a calibration", 6.4, 4.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    above.bar(range(len(calibration.effects)), calibration.effects, color=OLD)
    above.set_ylabel("MLP's effect at the\nlast subject token", fontsize=8)
    for i, method in enumerate(dict.fromkeys(trial.method for trial in calibration.trials)):
        tried = [trial for trial in calibration.trials if trial.method == method and trial.split == "train"]
        few = min((len(trial.results) for trial in tried), default=0)
        best: dict[int, float] = {}
        for trial in tried:
            score = trial.score.mean
            if len(trial.results) == few and not math.isnan(score):
                last = trial.layers[-1]
                best[last] = max(best.get(last, 0.0), 100 * score)
        layers = sorted(best)
        below.plot(layers, [best[layer] for layer in layers], "o-", ms=3, lw=1, color=f"C{i}", label=mathless(method))
        if (final := calibration.trial_of(method)) is not None:
            mean, low, high, _ = final.score
            spread = None if math.isnan(low) else [[100 * (mean - low)], [100 * (high - mean)]]
            below.errorbar([final.layers[-1]], [100 * mean], yerr=spread, fmt="D", ms=6, color=f"C{i}", capsize=3)
    below.set_xlabel("layer (the last one edited)")
    below.set_ylabel("S, in %")
    below.set_ylim(0, 103)
    below.xaxis.get_major_locator().set_params(integer=True)
    if below.lines:
        below.legend(frameon=False, fontsize=8)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
