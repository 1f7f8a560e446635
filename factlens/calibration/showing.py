"""Calibrations as text, as HTML, as a table and as a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from factlens import __version__
from factlens.calibration.trials import LEAST, Trial
from factlens.drawing.colours import before_colour, series
from factlens.drawing.figure import drawn_with, finish, new_figure
from factlens.drawing.html import paragraph, table
from factlens.drawing.look import SCREEN, Look
from factlens.drawing.tables import Table
from factlens.editing.methods import METHODS
from factlens.escaping import mathless
from factlens.visible import line

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


def as_table(calibration: Calibration) -> Table:
    """Return what was chosen for each method and how good it is, for a paper."""
    return Table(_COLUMNS, _rows(calibration), 3)


def caption_of(calibration: Calibration) -> str:
    """Return the caption of a calibration, on one line."""
    chosen = "; ".join(
        f"{method}: layer{'' if len(choice.layers) == 1 else 's'} {layers_text(choice.layers)}"
        + (f", {settings}" if (settings := _settings(method, choice.settings)) else "")
        for method, choice in calibration.choices.items()
    )
    return line(
        f"Calibration {_headline(calibration)}, seed {calibration.seed}. S is the harmonic mean of efficacy, "
        "paraphrase and neighbourhood success; small points are the best settings at each layer, on the few facts that "
        "every place was tried on, and diamonds what was chosen, on facts held out, with 95 % intervals. The bars are "
        f"the mean indirect effect of the MLP at the subject’s last token. Chosen: {chosen or 'nothing'}. "
        f"factlens {__version__}."
    )


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


def plot_calibration(calibration: Calibration, look: Look = SCREEN) -> Figure:
    """Draw the MLP's effect by layer as bars, and below it each method's best S by the last layer it edits.

    Points are of the few facts that every place was tried on; the chosen layers have a larger one, of facts held out.
    """
    what = "Drawing a calibration"
    with drawn_with(what, look):
        figure = new_figure(what, *look.inches(6.4, 4.8, most=4.0))
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
        above.bar(range(len(calibration.effects)), calibration.effects, color=before_colour(look.palette))
        above.set_ylabel("MLP's effect at the\nlast subject token", fontsize="small")
        for i, method in enumerate(dict.fromkeys(trial.method for trial in calibration.trials)):
            best, style = _best_by_layer(calibration, method), series(look.palette, i)
            line_of = {"color": style.colour, "ls": style.dash, "marker": style.marker}
            size = 3 * look.scale
            below.plot(list(best), list(best.values()), ms=size, lw=look.scale, label=mathless(method), **line_of)
            if (final := calibration.trial_of(method)) is not None:
                mean, low, high, _ = final.score
                spread = None if math.isnan(low) else [[100 * (mean - low)], [100 * (high - mean)]]
                at, ends = [final.layers[-1]], {"ms": 2 * size, "capsize": size, "elinewidth": look.scale}
                below.errorbar(at, [100 * mean], yerr=spread, fmt="D", color=style.colour, **ends)
        below.set_xlabel("layer (the last one edited)")
        below.set_ylabel("S, in %")
        below.set_ylim(0, 103)
        below.xaxis.get_major_locator().set_params(integer=True)
        if below.lines and look.for_paper:
            figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")
        elif below.lines:
            below.legend(frameon=False, fontsize="small")
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
        return finish(figure, look, (above, below))


def _best_by_layer(calibration: Calibration, method: str) -> dict[int, float]:
    """Return a method's best S, in percent, by the last layer that it edits; of the few facts of every place."""
    tried = [trial for trial in calibration.trials if trial.method == method and trial.split == "train"]
    few = min((len(trial.results) for trial in tried), default=0)
    best: dict[int, float] = {}
    for trial in tried:
        score = trial.score.mean
        if len(trial.results) == few and not math.isnan(score):
            last = trial.layers[-1]
            best[last] = max(best.get(last, 0.0), 100 * score)
    return dict(sorted(best.items()))
