"""Static pictures as SVG text: for saved notebooks, for ``demo.html``, for anywhere without a kernel.

Plain strings from numbers: no JavaScript, no outside file, every text escaped. Always in light colours, so that a
saved picture looks the same wherever it is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from factlens.evaluation import Report
    from factlens.models import Answer
    from factlens.tracing import Trace

INK, FAINT, PAPER = "#1c2430", "#5f6b7a", "#ffffff"
# The darkest shade of each kind, in the manner of the paper: purple, green, red. The title carries the kind as well.
SHADES = {"state": (84, 39, 143), "mlp": (0, 104, 55), "attn": (165, 15, 21)}
TITLES = {"state": "hidden state", "mlp": "MLP output", "attn": "attention output"}
OLD, NEW = "#8a94a3", "#2563c4"
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Roboto, sans-serif'"


def trace_svg(trace: Trace) -> str:
    """Draw the grids of a trace side by side: tokens down, layers across, one shade per kind."""
    cell_width, cell_height, top, gap = 22, 20, 64, 34
    tokens, layers = len(trace.tokens), trace.n_layers
    labels = [_token_label(trace, i) for i in range(tokens)]
    left = 24 + 7.2 * max(len(label) for label in labels)
    panel = layers * cell_width
    width = left + len(trace.kinds) * (panel + gap) + 10
    height = top + tokens * cell_height + 64
    parts = [
        _text(12, 22, f"{trace.fact.prompt} → {trace.answer.strip()}", size=14, weight="600"),
        _text(
            12,
            40,
            f"{trace.model} · p({trace.answer.strip()}): clean {trace.high:.0%}, subject corrupted {trace.low:.0%} · "
            f"{trace.samples.sizes['sample']} noise samples, seed {trace.seed}",
            size=11,
            fill=FAINT,
        ),
    ]
    start, stop = trace.subject_range
    for i, label in enumerate(labels):
        weight = "600" if start <= i < stop else "400"
        y = top + (i + 0.7) * cell_height
        parts.append(_text(left - 8, y, label, size=12, anchor="end", weight=weight))
    scores = trace.scores
    for n, kind in enumerate(trace.kinds):
        x0 = left + n * (panel + gap)
        window = "" if kind == "state" else f", {trace.window} layers at a time"
        parts.append(_text(x0, top - 7, TITLES[kind] + window, size=11, weight="600"))
        for (token, layer), score in np.ndenumerate(scores.sel(kind=kind).values):
            x, y = x0 + layer * cell_width, top + token * cell_height
            colour = _shade(SHADES[kind], score, trace.low, trace.high)
            said = "not computed" if np.isnan(score) else f"{score:.3f}"
            parts.append(
                f"<rect x='{x:.0f}' y='{y}' width='{cell_width - 1}' height='{cell_height - 1}' fill='{colour}'>"
                f"<title>{_safe(labels[token])}, layer {layer}, {TITLES[kind]}: {said}</title></rect>"
            )
        parts.append(
            f"<rect x='{x0 - 1:.0f}' y='{top - 1}' width='{panel + 1}' height='{tokens * cell_height + 1}' "
            "fill='none' stroke='#dfe3e8'/>"
        )
        step = max(1, -(-layers // 12))
        for layer in range(0, layers, step):
            x = x0 + (layer + 0.5) * cell_width
            parts.append(_text(x, top + tokens * cell_height + 14, str(layer), size=10, anchor="middle", fill=FAINT))
        parts.append(_scale(x0, top + tokens * cell_height + 28, min(panel, 120), SHADES[kind], trace.low, trace.high))
    if not trace.complete:
        parts.append(_text(left, height - 4, "incomplete: grey cells were not computed", size=10, fill=FAINT))
    return _svg(width, height, parts, f"Causal tracing of {trace.fact.prompt}")


def report_svg(report: Report, roles: dict[str, str]) -> str:
    """Draw the probability of the old and the new object before and after an edit, averaged over each role's probes."""
    frame = report.to_dataframe()
    found = [role for role in roles if role in set(frame["role"])]
    left, bar, row, top = 190, 210, 46, 58
    parts = [
        _text(12, 22, str(report.edit.label), size=14, weight="600"),
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
    return _svg(left + 2 * bar + 140, top + len(found) * row + 8, parts, f"Before and after {report.edit.label}")


def answers_svg(title: str, columns: Sequence[tuple[str, Sequence[Answer]]]) -> str:
    """Draw lists of top answers side by side, such as before and after an edit."""
    label, bar, row, top = 110, 130, 20, 56
    parts = [_text(12, 22, title, size=14, weight="600")]
    for n, (name, answers) in enumerate(columns):
        x = 12 + n * (label + bar + 60)
        parts.append(_text(x, 44, name, size=11, weight="600"))
        for i, answer in enumerate(answers):
            y = top + i * row
            parts.append(_text(x + label - 8, y + 12, answer.text.strip() or "␣", size=12, anchor="end"))
            length = bar * answer.probability
            parts.append(f"<rect x='{x + label}' y='{y + 1}' width='{length:.1f}' height='14' fill='{NEW}'/>")
            parts.append(_text(x + label + length + 5, y + 12, f"{answer.probability:.1%}", size=10, fill=FAINT))
    rows = max(len(answers) for _, answers in columns)
    return _svg(12 + len(columns) * (label + bar + 60), top + rows * row + 8, parts, title)


def _token_label(trace: Trace, token: int) -> str:
    start, stop = trace.subject_range
    text = trace.tokens[token].strip() or "␣"
    return text + ("*" if start <= token < stop else "")


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
    ends = _text(x, y + 20, f"{low:.2f}", size=10, fill=FAINT)
    return "".join(boxes) + ends + _text(x + width, y + 20, f"{high:.2f}", size=10, anchor="end", fill=FAINT)


def _text(
    x: float, y: float, text: str, *, size: int, fill: str = INK, anchor: str = "start", weight: str = "400"
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{fill}' text-anchor='{anchor}' "
        f"font-weight='{weight}'>{_safe(text)}</text>"
    )


def _safe(text: str) -> str:
    """Escape for SVG, and show control characters, which XML does not allow, as a replacement mark."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' aria-label='{_safe(title)}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' style='max-width:100%;height:auto' {_FONT}>"
        f"<rect width='100%' height='100%' fill='{PAPER}'/>{''.join(parts)}</svg>"
    )
