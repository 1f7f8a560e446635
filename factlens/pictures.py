"""Static pictures as SVG text: for saved notebooks, for ``demo.html``, for anywhere without a kernel.

Plain strings from numbers: no JavaScript, no outside file, every text escaped. Always in light colours, so that a
saved picture looks the same wherever it is opened.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import pairwise
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np

from factlens.escaping import html
from factlens.visible import closed, clusters, columns, isolated, visible

if TYPE_CHECKING:
    from factlens.evaluation import Report
    from factlens.models import Answer
    from factlens.tracing import Average, Trace

INK, FAINT, PAPER = "#1c2430", "#5f6b7a", "#ffffff"
# The darkest shade of each kind, in the manner of the paper: purple, green, red. The title carries the kind as well.
SHADES = {"state": (84, 39, 143), "mlp": (0, 104, 55), "attn": (165, 15, 21)}
OTHER_SHADE = (8, 48, 107)
OLD, NEW = "#8a94a3", "#2563c4"
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Roboto, sans-serif'"


def as_image(svg: str, alt: str) -> str:
    """Return an SVG as an HTML image that holds it: sanitizers of untrusted notebooks drop SVG elements, not images."""
    data = b64encode(svg.encode("utf-8", "replace")).decode()
    return f'<img alt="{html(alt)}" style="max-width: 100%" src="data:image/svg+xml;base64,{data}">'


def trace_svg(trace: Trace) -> str:
    """Draw the grids of a trace: tokens down, layers across, one panel per kind, as many in a row as fit.

    Colours run from white (the corrupted run) to the kind's darkest shade (the clean run), whichever of the two is
    the larger number. A cell that was estimated but not computed is a stripe on grey.
    """
    row_height, top, gap = 20, 66, 34
    tokens, layers, kinds = len(trace.tokens), trace.n_layers, trace.kinds
    labels, template = [trace.label(i) for i in range(tokens)], set(trace.template_tokens)
    titles = [trace.title(kind) for kind in kinds]
    cell = min(22, max(5, 340 // layers))
    left = 24 + max(_length(label, 12) for label in labels)
    # A title may be wider than a panel of few layers.
    pitch = gap + max(layers * cell, *(_length(title, 11) for title in titles))
    columns = int(min(len(kinds), max(1, (1240 - left) // pitch)))
    panel_height = tokens * row_height
    step_down = panel_height + 84
    below = top - 24 + -(-len(kinds) // columns) * step_down
    said = (
        f"{trace.measured}: clean {_brief(trace, trace.high)}, subject corrupted {_brief(trace, trace.low)} · "
        f"{trace.corrupted_by} · {trace.model}"
    ) + (f", edited {len(trace.edits)} ×" if trace.edits else "")
    answer = f" → {isolated(trace.shown_answer.strip() or '␣')}"
    prompt = visible(trace.fact.prompt)
    lines = 24 + max(_length(said, 11), _length(prompt + answer, 14))
    width = max(left + columns * pitch, min(900, lines))
    parts = [
        _text(12, 22, isolated(_fit(prompt, 14, width - 24 - _length(answer, 14))) + answer, size=14, weight="600"),
        _text(12, 40, _fit(said, 11, width - 24), size=11, fill=FAINT),
    ]
    start, stop = trace.subject_range
    scores, span = trace.scores.values, trace.high - trace.low
    shares = (scores - trace.low) / (span or np.inf)
    guesses = np.full_like(shares, np.nan)
    if trace.estimate is not None:
        guesses = np.where(np.isnan(shares), (trace.estimate.values - trace.low) / (span or np.inf), np.nan)
    seen: set[tuple[int, int, int]] = set()
    for n, kind in enumerate(kinds):
        x, y = left + n % columns * pitch, top + n // columns * step_down
        dark = shade_of(kind)
        if n % columns == 0:
            for i, label in enumerate(labels):
                weight, fill = "600" if start <= i < stop else "400", FAINT if i in template else INK
                at = (x - 8, y + (i + 0.7) * row_height)
                parts.append(_text(*at, label, size=12, anchor="end", weight=weight, fill=fill))
        parts.append(_text(x, y - 7, titles[n], size=11, weight="600"))
        parts.append(f"<g transform='translate({x:.0f} {y})'>")
        parts.append(_cells(shares[n], guesses[n], dark, cell, row_height))
        parts.append(_notes(trace, n, scores, labels, cell, row_height))
        parts.append("</g>")
        for layer in range(0, layers, max(1, -(-layers // 12))):
            middle = x + (layer + 0.5) * cell
            parts.append(_text(middle, y + panel_height + 14, str(layer), size=10, anchor="middle", fill=FAINT))
        if dark not in seen:
            seen.add(dark)
            parts.append(_scale(x, y + panel_height + 26, 120, dark, trace.low, trace.high))
    if not trace.complete:
        stripes = "; a stripe is an estimate from gradients" if np.isfinite(guesses).any() else ""
        parts.append(_text(left, below, f"incomplete: grey cells were not computed{stripes}", size=10, fill=FAINT))
    return _svg(width, below + 10, parts, f"Causal tracing of {trace.fact.prompt}")


def shade_of(kind: str) -> tuple[int, int, int]:
    """Return the darkest shade of a kind: a severed path has that of what is severed, a head that of attention."""
    family = "mlp" if kind == "severed_mlp" else "attn" if kind.startswith(("severed", "head")) else kind
    return SHADES.get(family, OTHER_SHADE)


def _cells(shares: np.ndarray, guesses: np.ndarray, dark: tuple[int, int, int], width: int, height: int) -> str:
    """Draw a grid as one path per shade, in which neighbours of one shade are one stroke.

    A rectangle per cell would make the picture of a large model ten times as long as the trace itself.
    """
    shown = [
        _strokes(np.where(np.isnan(shares), _MISSING, _level(shares)), dark, 1),
        _strokes(np.where(np.isnan(guesses), _NOTHING, _level(guesses)), dark, 0.4),
    ]
    rows, columns = shares.shape
    lines = "".join(f"M{i * width} 0v{rows * height}" for i in range(1, columns))
    lines += "".join(f"M0 {i * height}h{columns * width}" for i in range(1, rows))
    return (
        f"<g transform='translate(0 {height / 2:g}) scale({width} {height})'>{''.join(shown)}</g>"
        f"<path d='{lines}' stroke='{PAPER}' stroke-width='{1 if width > 10 else 0.5}'/>"
        f"<rect x='-1' y='-1' width='{columns * width + 2}' height='{rows * height + 2}' "
        "fill='none' stroke='#dfe3e8'/>"
    )


# Shades are told apart in so many steps, more than the eye can see.
_LEVELS, _MISSING, _NOTHING = 64, -1, -2


def _level(shares: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(np.clip(np.nan_to_num(shares), 0, 1) * _LEVELS))


def _strokes(levels: np.ndarray, dark: tuple[int, int, int], thickness: float) -> str:
    """Draw every run of cells of one level in a row, in units of cells."""
    paths: dict[int, list[str]] = {}
    for y, row in enumerate(levels.astype(int)):
        edges = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
        for begin, end in pairwise(edges):
            paths.setdefault(int(row[begin]), []).append(f"M{begin} {y}h{end - begin}")
    paths.pop(_NOTHING, None)
    return "".join(
        f"<path stroke='{_shade(dark, np.nan if level == _MISSING else level / _LEVELS, 0, 1)}' "
        f"stroke-width='{thickness}' d='{''.join(strokes)}'/>"
        for level, strokes in paths.items()
    )


def _notes(trace: Trace, n: int, scores: np.ndarray, labels: Sequence[str], width: int, height: int) -> str:
    """Put the numbers where the mouse finds them: of each cell, or where there are very many, of each row's best."""
    title, better = trace.title(trace.kinds[n]), 1 if trace.high >= trace.low else -1
    notes = []
    for token, row in enumerate(scores[n]):
        if scores.size <= 600:
            for layer, score in enumerate(row):
                guess = np.nan if trace.estimate is None else float(trace.estimate.values[n, token, layer])
                estimated = "" if np.isnan(guess) else f", estimated as {_number(guess)}"
                value = f"not computed{estimated}" if np.isnan(score) else _number(score)
                notes.append((layer, token, 1, f"{labels[token]}, layer {layer}, {title}: {value}"))
        else:
            found = "not computed"
            if np.isfinite(row).any():
                best = int(np.nanargmax(better * row))
                found = f"most at layer {best}: {_number(row[best])}"
            notes.append((0, token, len(row), f"{labels[token]}, {title}: {found}"))
    boxes = (
        f"<rect x='{x * width}' y='{y * height}' width='{cells * width}' height='{height}'>"
        f"<title>{html(note)}</title></rect>"
        for x, y, cells, note in notes
    )
    return f"<g fill='transparent'>{''.join(boxes)}</g>"


def _brief(trace: Trace, value: float) -> str:
    """Write a number for a glance: shares in percent, everything else as it is."""
    if not trace.measure.share:
        return f"{value:.2f}".replace("-", "−")
    if 0 < value < 0.001:
        return "<0.1%"
    return f"{value:.1%}" if 0 < value < 0.01 else f"{value:.0%}"


def _number(value: float) -> str:
    """Write a number for comparing cells."""
    return f"{value:.3g}".replace("-", "−")


def average_svg(average: Average, titles: Mapping[str, str], metric: str) -> str:
    """Draw average indirect effects side by side: roles down, layers across, one shade per kind, one scale for all.

    Parameters
    ----------
    average
        What to draw.
    titles
        What to write above the panel of each kind.
    metric
        What to call what was measured.
    """
    cell_width, cell_height, top, gap, left = 22, 20, 64, 34, 178
    grids, layers, skipped = average.effects, average.n_layers, average.skipped_reasons()
    bounds = average.interval().values
    roles = [str(role) for role in grids["role"].values]
    better = average.measure.better
    high = max(0.0, float((better * grids).max()))
    panel = layers * cell_width
    # A title may be wider than a panel of few layers.
    pitch = gap + max(panel, *(int(6.3 * len(title)) for title in titles.values()))
    bottom = top + len(roles) * cell_height
    facts = f"{average.n} fact{'' if average.n == 1 else 's'}"
    left_out = f" · {len(average.skipped)} left out" if skipped else ""
    said = (
        f"{average.model}{left_out} · {metric}: clean {average.high:.3f}, subject corrupted {average.low:.3f} · "
        f"{average.headline}"
    )
    parts = [
        _text(12, 22, f"Average indirect effects over {facts}", size=14, weight="600"),
        _text(12, 40, said, size=11, fill=FAINT),
    ]
    for i, role in enumerate(roles):
        parts.append(_text(left - 8, top + (i + 0.7) * cell_height, role, size=12, anchor="end"))
    for n, kind in enumerate(average.kinds):
        x0, dark = left + n * pitch, shade_of(kind)
        parts.append(_text(x0, top - 7, titles[kind], size=11, weight="600"))
        for (row, layer), effect in np.ndenumerate(grids.values[n]):
            x, y = x0 + layer * cell_width, top + row * cell_height
            lower, upper = bounds[:, n, row, layer]
            interval = "" if np.isnan(lower) else f" [{lower:.3f}, {upper:.3f}]"
            value = "no such token" if np.isnan(effect) else f"{effect:.3f}{interval}"
            parts.append(
                f"<rect x='{x}' y='{y}' width='{cell_width - 1}' height='{cell_height - 1}' "
                f"fill='{_shade(dark, better * effect, 0, high)}'>"
                f"<title>{html(roles[row])}, layer {layer}, {html(titles[kind])}: {value}</title></rect>"
            )
        parts.append(
            f"<rect x='{x0 - 1}' y='{top - 1}' width='{panel + 1}' height='{bottom - top + 1}' "
            "fill='none' stroke='#dfe3e8'/>"
        )
        for layer in range(0, layers, max(1, -(-layers // 12))):
            x = x0 + (layer + 0.5) * cell_width
            parts.append(_text(x, bottom + 14, str(layer), size=10, anchor="middle", fill=FAINT))
        parts.append(_scale(x0, bottom + 28, min(panel, 120), dark, 0, better * high))
    # An error's text may be long, and errors many; all of it is in the result's `skipped`.
    reasons = [shorten(f"{count} left out: {reason}", 110, placeholder=" ...") for reason, count in skipped.items()][:5]
    for i, reason in enumerate(reasons):
        parts.append(_text(12, bottom + 74 + 16 * i, reason, size=11, fill=FAINT))
    longest = max(len(line) for line in (said, *reasons))
    width = max(left + len(average.kinds) * pitch + 10, int(24 + 6.2 * longest))
    return _svg(width, bottom + 64 + 16 * len(reasons), parts, f"Average indirect effects on {average.model}")


def report_svg(report: Report, roles: dict[str, str]) -> str:
    """Draw the probability of the old and the new object before and after an edit, averaged over each role's probes."""
    frame = report.to_dataframe()
    found = [role for role in roles if role in set(frame["role"])]
    left, bar, row, top = 190, 210, 46, 58
    parts = [
        _text(12, 22, report.labels[0], size=14, weight="600"),
        _text(left, 44, "before", size=11, weight="600"),
        _text(left + bar + 70, 44, "after", size=11, weight="600"),
    ]
    for i, role in enumerate(found):
        rows = frame[frame["role"] == role]
        y = top + i * row
        parts.append(_text(left - 12, y + 15, roles[role], size=12, anchor="end"))
        parts.append(
            _text(
                left - 12,
                y + 29,
                f"{len(rows)} prompt{'s' if len(rows) > 1 else ''}",
                size=10,
                anchor="end",
                fill=FAINT,
            )
        )
        for x, when in ((left, "before"), (left + bar + 70, "after")):
            for dy, name, colour in ((0, "old", OLD), (16, "new", NEW)):
                share = float(rows[f"p_{name}_{when}"].mean())
                parts.append(f"<rect x='{x}' y='{y + dy}' width='{bar}' height='13' fill='#eef1f5'/>")
                parts.append(f"<rect x='{x}' y='{y + dy}' width='{bar * share:.1f}' height='13' fill='{colour}'/>")
                parts.append(_text(x + bar + 6, y + dy + 11, f"{share:.0%} {name}", size=10, fill=FAINT))
    return _svg(left + 2 * bar + 140, top + len(found) * row + 8, parts, f"Before and after {report.labels[0]}")


def answers_svg(title: str, columns: Sequence[tuple[str, Sequence[Answer]]]) -> str:
    """Draw lists of top answers side by side, such as before and after an edit."""
    label, bar, row, top = 110, 130, 20, 56
    parts = [_text(12, 22, title, size=14, weight="600")]
    for n, (name, answers) in enumerate(columns):
        x = 12 + n * (label + bar + 60)
        parts.append(_text(x, 44, name, size=11, weight="600"))
        for i, answer in enumerate(answers):
            y = top + i * row
            parts.append(_text(x + label - 8, y + 12, isolated(answer.shown.strip() or "␣"), size=12, anchor="end"))
            length = bar * answer.probability
            parts.append(f"<rect x='{x + label}' y='{y + 1}' width='{length:.1f}' height='14' fill='{NEW}'/>")
            parts.append(_text(x + label + length + 5, y + 12, f"{answer.probability:.1%}", size=10, fill=FAINT))
    rows = max(len(answers) for _, answers in columns)
    return _svg(12 + len(columns) * (label + bar + 60), top + rows * row + 8, parts, title)


def _shade(dark: tuple[int, int, int], score: float, low: float, high: float) -> str:
    """Colour between white (the corrupted run) and `dark` (the clean one); grey for what was not computed."""
    if np.isnan(score):
        return "#dfe3e8"
    share = float(np.clip((score - low) / max(high - low, 1e-12), 0, 1))
    return "#" + "".join(f"{round(255 + (shade - 255) * share):02x}" for shade in dark)


def _scale(x: float, y: float, width: float, dark: tuple[int, int, int], low: float, high: float) -> str:
    steps = 24
    boxes = [
        f"<rect x='{x + i * width / steps:.1f}' y='{y}' width='{width / steps + 0.5:.1f}' height='8' "
        f"fill='{_shade(dark, i / (steps - 1), 0, 1)}'/>"
        for i in range(steps)
    ]
    ends = _text(x, y + 20, _number(low), size=10, fill=FAINT)
    return "".join(boxes) + ends + _text(x + width, y + 20, _number(high), size=10, anchor="end", fill=FAINT)


def _length(text: str, size: int) -> float:
    """Roughly how wide a text is: there is no font here to ask."""
    wide = (0.0, 0.57, 1.0)
    return size * sum(wide[columns(c)] for c in text)


def _fit(text: str, size: int, width: float) -> str:
    """Leave out the middle of a text that is too long; no character is cut."""
    if _length(text, size) <= width:
        return text
    parts = clusters(text)
    keep = max(2, int(len(parts) * width / _length(text, size)) - 1)
    return f"{closed(''.join(parts[: keep - keep // 2]))}…{closed(''.join(parts[len(parts) - keep // 2 :]))}"


def _text(
    x: float, y: float, text: str, *, size: int, fill: str = INK, anchor: str = "start", weight: str = "400"
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{fill}' text-anchor='{anchor}' "
        f"font-weight='{weight}'>{html(text)}</text>"
    )


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' aria-label='{html(title)}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' "
        f"style='direction:ltr;max-width:100%;height:auto' {_FONT}>"
        f"<rect width='100%' height='100%' fill='{PAPER}'/>{''.join(parts)}</svg>"
    )
