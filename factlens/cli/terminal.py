"""What several commands show in the terminal: a trace's grids, answers, how far a computation is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

import factlens as fl
from factlens.progress import Share
from factlens.timing import TimeLeft
from factlens.tracing import Replacement
from factlens.tracing.protocol import METRICS, kind_name
from factlens.visible import columns, isolated

if TYPE_CHECKING:
    from factlens.models import Answer

_RAMP = " ░▒▓█"


def say(text: str) -> None:
    """Print a line at once, also where the output is no terminal."""
    print(text, flush=True)


def show_trace(trace: fl.Trace) -> None:
    """Print the grids: one character pair per cell, darker where more of the answer comes back."""
    corruption = (
        f"replaced by “{isolated(trace.corruption.subject)}”"
        if isinstance(trace.corruption, Replacement)
        else f"corrupted (noise {trace.noise_level:.3f}, {trace.samples.sizes['sample']} samples)"
    )
    answer = isolated(trace.shown_answer.strip())
    if trace.whole_answer is not None:
        answer += f" (measured: its first token, {trace.answer.strip()})"
    say(
        f"“{isolated(trace.fact.prompt)}” → {answer}: {METRICS[trace.metric]} = {trace.high:.2f} clean, "
        f"{trace.low:.2f} with the subject {corruption}\n"
    )
    start, stop = trace.subject_range
    pieces = [isolated(piece.strip() or "␣") for piece in trace.tokens]
    labels = [f"{piece}{'*' if start <= i < stop else ' '}" for i, piece in enumerate(pieces)]
    width = max(map(columns, labels))
    panel = 2 * trace.n_layers
    say("   ".join([" " * width, *(kind_name(kind).ljust(panel)[:panel] for kind in trace.kinds)]))
    share = ((trace.scores - trace.low) / (trace.total_effect or 1.0)).clip(0, 1).values
    for i, label in enumerate(labels):
        rows = ["".join(_RAMP[round(4 * value)] * 2 for value in np.nan_to_num(grid[i])) for grid in share]
        say("   ".join([" " * (width - columns(label)) + label, *rows]))
    axis = "".join(f"{layer % 100:<2d}" for layer in range(trace.n_layers))
    say("   ".join([" " * width, *[axis] * len(trace.kinds)]))
    for kind in trace.kinds:
        peak = trace.peak(kind)
        where = f"“{isolated(peak.piece.strip() or '␣')}”, layer {peak.layer}"
        say(f"{kind_name(kind)}: most comes back at {where} (+{peak.effect:.2f})")


def show_answers(before: Iterable[Answer], after: Iterable[Answer]) -> None:
    """Print the likeliest answers before and after an edit."""
    for name, answers in (("before", before), ("after", after)):
        say(f"{name:>7}: " + ", ".join(f"{isolated(a.shown.strip() or '␣')} {a.probability:.1%}" for a in answers))


@contextmanager
def progress_line() -> Iterator[Share]:
    """Show how far a computation is: on a line that is overwritten in a terminal, else a line for every tenth."""
    line, shown, terminal = TimeLeft(), -1, sys.stderr.isatty()

    def show(share: float) -> None:
        nonlocal shown
        text = line(share)
        if terminal:
            print(f"\r{text:40}", end="", file=sys.stderr, flush=True)
        elif int(10 * share) > shown:
            print(text, file=sys.stderr, flush=True)
            shown = int(10 * share)

    try:
        yield show
    finally:
        if terminal:
            print(file=sys.stderr)
