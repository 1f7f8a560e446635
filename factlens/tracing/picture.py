"""What is drawn of a trace and of an average: the descriptions that `factlens.drawing` reads, and their pictures."""

from __future__ import annotations

from dataclasses import replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from factlens.drawing.colours import series
from factlens.drawing.figure import drawn_with, finish, panels
from factlens.drawing.grid import GridPicture, Panel, Row
from factlens.drawing.grid_figure import grid_figure
from factlens.drawing.grid_svg import grid_svg
from factlens.drawing.html import as_image
from factlens.drawing.look import SCREEN, Fit, Look
from factlens.drawing.numbers import brief, counted, fixed
from factlens.tracing.sites import Site
from factlens.tracing.trust import total_in_words
from factlens.visible import as_label, isolated, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from factlens.tracing.averages import Average
    from factlens.tracing.result import Trace

_REASONS, _LONGEST_REASON = 5, 110


def title_of(site: Site, window: int) -> str:
    """Return what stands above the grid of a site."""
    return f"{site.label}, window of {window} layers" if site.windowed else site.label


def panels_of(result: Trace | Average) -> tuple[Panel, ...]:
    """Return the panels of a result, one per kind."""
    return tuple(Panel(site.label, title_of(site, result.window), site.family) for site in result.sites)


def trace_picture(trace: Trace, *, effects: bool = False) -> GridPicture:
    """Describe the grids of a trace: tokens down, from the corrupted run to the clean one.

    With `effects` the numbers are ``scores - low``.
    """
    percent, zero = trace.measure.share, trace.low if effects else 0.0
    total, better = trace.total_effect, trace.measure.better
    # Noise is not to be stretched to vivid colours, so the scale is never shorter than it.
    lower, upper = trace.total_interval()
    reach = max(abs(total), np.nan_to_num((upper - lower) / 2)) * (np.sign(total) or better)
    (start, stop), template = trace.subject_range, set(trace.template_tokens)
    subtitle = (
        f"{trace.measured}: clean {brief(trace.high, percent)}, subject corrupted {brief(trace.low, percent)} · "
        f"{trace.corrupted_by} · {trace.model}"
    ) + (f", edited {len(trace.edits)} ×" if trace.edits else "")
    label = trace.measure.label
    scale = trace.measured.replace(f"{label}, ", f"{label}\n", 1)
    return GridPicture(
        title=visible(trace.fact.prompt),
        ending=f" → {as_label(trace.shown_answer)}",
        subtitle=subtitle,
        alt=f"Causal tracing of {trace.fact.prompt}",
        rows=tuple(Row(piece, start <= i < stop, i in template) for i, piece in enumerate(trace.tokens)),
        panels=panels_of(trace),
        values=(trace.effects if effects else trace.scores).values,
        estimates=None if trace.estimate is None else trace.estimate.values - zero,
        low=trace.low - zero,
        high=trace.high - zero if abs(reach) == abs(total) else trace.low + float(reach) - zero,
        scale=f"effect on {scale}" if effects else scale,
        complete=bool(np.isfinite(trace.samples.values[..., 0]).all()),
        nothing=trace.within_noise.values,
        remarks=(*trace.remarks, f"{total_in_words(trace)} · {trace.trust}"),
    )


def trace_svg(trace: Trace) -> str:
    """Draw the grids of a trace as SVG."""
    return grid_svg(trace_picture(trace))


def trace_image(trace: Trace) -> str:
    """Draw the grids of a trace as an image for HTML."""
    alt = f"Causal tracing of {isolated(trace.fact.prompt)} → {as_label(trace.shown_answer)}"
    return as_image(trace_svg(trace), alt)


def plot_trace(trace: Trace, *, effects: bool = False, look: Look = SCREEN) -> Figure:
    """Return a figure with one panel per kind; see `Trace.plot`."""
    width, height = max(3.6, 1.2 + 0.08 * trace.n_layers), 0.8 + 0.28 * len(trace.tokens)
    return grid_figure("Drawing a trace", trace_picture(trace, effects=effects), width, height, beside=1.2, look=look)


def average_picture(average: Average) -> GridPicture:
    """Describe average indirect effects: roles down, one scale from zero for all kinds, with 95 % intervals."""
    grids, skipped, better = average.effects, average.skipped_reasons(), average.measure.better
    left_out = f" · {len(average.skipped)} left out" if skipped else ""
    # An error's text may be long, and errors many; all of it is in the result's `skipped`.
    reasons = [f"{count} left out: {reason}" for reason, count in skipped.items()][:_REASONS]
    return GridPicture(
        title=f"Average indirect effects over {counted(average.n, 'fact')}",
        subtitle=(
            f"{average.model}{left_out} · {average.measure.label}: clean {fixed(average.high)}, "
            f"subject corrupted {fixed(average.low)} · {average.headline}"
        ),
        alt=f"Average indirect effects on {average.model}",
        rows=tuple(Row(str(role)) for role in grids["role"].values),
        panels=panels_of(average),
        values=grids.values,
        bounds=average.interval().values,
        low=0.0,
        high=better * max(0.0, float((better * grids).max())),
        scale=f"AIE on {average.measure.label}",
        missing="no such token",
        footnotes=tuple(shorten(reason, _LONGEST_REASON, placeholder=" ...") for reason in reasons),
        number=fixed,
        roomy=True,
    )


def average_svg(average: Average) -> str:
    """Draw average indirect effects as SVG."""
    return grid_svg(average_picture(average))


def plot_average(average: Average, look: Look = SCREEN) -> Figure:
    """Return a figure with one heatmap per kind; see `Average.plot`."""
    picture = average_picture(average)
    # One scale for all, so that shades compare across kinds; without any positive effect it is empty.
    rows = tuple(Row(row.text.capitalize()) for row in picture.rows)
    picture = replace(picture, high=picture.high or float(average.measure.better), rows=rows)
    return _headed(grid_figure("Drawing an average", picture, 3.4, 2.3, beside=1.6, look=look), average, look)


def plot_average_lines(average: Average, level: float, look: Look = SCREEN) -> Figure:
    """Return a figure with one panel of lines per kind; see `Average.plot_lines`."""
    what, titles = "Drawing an average", [panel.title for panel in panels_of(average)]
    grids, bounds, layers = average.effects, average.interval(level), np.arange(average.n_layers)
    em = look.size
    fit = Fit(len(titles), 5 * em, 22 * em, 13 * em, 6 * em, 8 * em)
    with drawn_with(what, look):
        figure, axes = panels(what, titles, 3.4, 3.0, beside=1.6, look=look, fit=fit)
        for panel, kind in zip(axes, average.kinds, strict=True):
            panel.axhline(0, color="0.7", linewidth=0.8 * look.scale)
            for i, role in enumerate(grids["role"].values):
                if not int(average.count[i]):
                    continue
                # Solid for the subject, dashed for what follows it: six colours alone are hard to tell apart.
                style = "-" if i < 3 else "--"
                colour = series(look.palette, i % 3 if look.palette == "grey" else i).colour
                values = grids.sel(kind=kind, role=role).values
                panel.plot(layers, values, style, color=colour, label=str(role).capitalize())
                lower, upper = bounds.sel(kind=kind, role=role).values
                panel.fill_between(layers, lower, upper, color=colour, alpha=0.2, linewidth=0)
        measured = f"AIE on {average.measure.label}"
        axes[0].set_ylabel(measured if look.for_paper else f"{measured}, with {level:.0%} intervals", fontsize="small")
        keys = axes[0].get_legend_handles_labels()
        plain: dict[str, Any] = {"fontsize": "small", "frameon": False}
        if look.for_paper:
            figure.legend(*keys, loc="outside lower center", ncols=2, **plain)
        else:
            figure.legend(*keys, loc="outside right upper", **plain)
        return _headed(finish(figure, look, axes), average, look)


def _headed(figure: Figure, average: Average, look: Look) -> Figure:
    if look.for_paper:  # there the caption says it
        return figure
    title = f"Average indirect effects over {counted(average.n, 'fact')}\n{average.model}, {average.headline}"
    figure.suptitle(title, fontsize="medium", parse_math=False)
    return figure
